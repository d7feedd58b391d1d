package all_test

import (
	"strings"
	"testing"

	"ringback/shared/provider"
	"ringback/shared/provider/all"
)

func TestEachProviderCallsItselfByItsName(t *testing.T) {
	for name, p := range all.Providers() {
		reading, err := p.Parse(&provider.Callback{Body: []byte(`{"message_uuid":"m","a":"b"}`)})
		if err != nil || len(reading.Items) != 1 || reading.Items[0].Type != name+".unnamed" {
			t.Errorf("%s: Parse of an event without a name: %+v, %v, want one of type %s.unnamed", name, reading, err, name)
		}
	}
}

func TestEventTypesOfAProviderAreItsOwn(t *testing.T) {
	seen := map[string]string{}
	for name, p := range all.Providers() {
		for _, et := range p.EventTypes() {
			if other := seen[et.Name]; other != "" {
				t.Errorf("event type %s is of %s and %s", et.Name, other, name)
			}
			seen[et.Name] = name
			if p.Decides(et.Name) != strings.Contains(et.About, "waits for a decision") {
				t.Errorf("Decides(%s) = %v, but about says %q", et.Name, p.Decides(et.Name), et.About)
			}
		}
	}
}
