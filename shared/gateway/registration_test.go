package gateway

import (
	"fmt"
	"strings"
	"testing"

	"ringback/shared/provider"
)

func TestRegistrationWantsWhatItNames(t *testing.T) {
	const source, other = "src-00000001", "src-00000002"
	keys := map[string][]string{"group": {"g"}}
	for _, tt := range []struct {
		name string
		r    Registration
		e    provider.Event
		want bool
	}{
		{"all", Registration{EventTypes: []string{"*"}}, provider.Event{Source: source, Type: "a"}, true},
		{"of another source", Registration{EventTypes: []string{"*"}}, provider.Event{Source: other, Type: "a"}, false},
		{"of another type", Registration{EventTypes: []string{"b"}}, provider.Event{Source: source, Type: "a"}, false},
		{"that was set aside", Registration{EventTypes: []string{"*"}}, provider.Event{Source: source, Type: "a", Unreadable: true}, false},
		{"of its group", Registration{EventTypes: []string{"*"}, Match: Match{"group": {"g"}}}, provider.Event{Source: source, Type: "a", Keys: keys}, true},
		{"of another group", Registration{EventTypes: []string{"*"}, Match: Match{"group": {"h"}}}, provider.Event{Source: source, Type: "a", Keys: keys}, false},
		{"for it alone", Registration{EventTypes: []string{"b"}}, provider.Event{Source: other, Type: "a", Recipient: "reg_1"}, true},
		{"for another alone", Registration{EventTypes: []string{"*"}}, provider.Event{Source: source, Type: "a", Recipient: "reg_2"}, false},
		{"operational, of its tenant", Registration{EventTypes: []string{"a", registrationFailing}, Match: Match{"group": {"h"}}},
			provider.Event{Source: source, Type: registrationFailing, Tenant: "ten_1"}, true},
		{"operational, not asked for", Registration{EventTypes: []string{"*"}}, provider.Event{Source: source, Type: registrationFailing, Tenant: "ten_1"}, false},
		{"operational, of another tenant", Registration{EventTypes: []string{registrationFailing}}, provider.Event{Source: source, Type: registrationFailing, Tenant: "ten_2"}, false},
		{"operational, of another source", Registration{EventTypes: []string{registrationFailing}}, provider.Event{Source: other, Type: registrationFailing, Tenant: "ten_1"}, false},
		{"of the source itself", Registration{EventTypes: []string{sourceDisconnected}}, provider.Event{Source: source, Type: sourceDisconnected}, true},
		{"of the source itself, not asked for", Registration{EventTypes: []string{"*"}}, provider.Event{Source: source, Type: sourceDisconnected}, false},
	} {
		tt.r.ID, tt.r.Source, tt.r.Tenant = "reg_1", source, "ten_1"
		if got := tt.r.Wants(&tt.e); got != tt.want {
			t.Errorf("%s: wanted %v, want %v", tt.name, got, tt.want)
		}
	}
}

func TestHintsAreFewAndInOrder(t *testing.T) {
	for _, tt := range []struct {
		name string
		r    Registration
		want string
	}{
		{"all", Registration{EventTypes: []string{"*"}}, "[{* *}]"},
		{"types, one twice", Registration{EventTypes: []string{"b", "a", "b"}}, "[{* a} {* b}]"},
		{"a group", Registration{EventTypes: []string{"b", "a"}, Match: Match{"group": {"h", "g", "h"}}}, "[{group=g a} {group=g b} {group=h a} {group=h b}]"},
		{"the key of fewer values", Registration{EventTypes: []string{"a"}, Match: Match{"bot": {"x", "y"}, "group": {"g"}}}, "[{group=g a}]"},
		{"of two that are alike the first", Registration{EventTypes: []string{"a"}, Match: Match{"group": {"g"}, "bot": {"x"}, "label": {"l"}}}, "[{bot=x a}]"},
		{"operational ones have no keys", Registration{EventTypes: []string{registrationFailing, "a"}, Match: Match{"group": {"g"}}}, "[{* registration.failing} {group=g a}]"},
	} {
		for range 10 { // maps are walked in any order
			if got := fmt.Sprint(tt.r.IndexEntries()); got != tt.want {
				t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
			}
		}
	}
}

func TestOnlyWhatMayBeWantedIsPublished(t *testing.T) {
	for _, tt := range []struct {
		r    Registration
		want int
	}{
		{Registration{ID: "reg_1", State: Enabled}, 1}, {Registration{ID: "reg_1", State: Disabled}, 1},
		{Registration{ID: "reg_1", State: Removed}, 0}, {Registration{State: Enabled}, 0},
	} {
		tt.r.EventTypes = []string{"*"}
		if got := tt.r.PublishedEntries(); len(got) != tt.want {
			t.Errorf("of %q, %q, %v are published, want %d", tt.r.ID, tt.r.State, got, tt.want)
		}
	}
}

func TestMatchAndTypesAreTakenUpToTheirLimits(t *testing.T) {
	value, typ := strings.Repeat("v", provider.MaxMatchValue), strings.Repeat("t", provider.MaxEventTypeBytes)
	for _, tt := range []struct {
		name string
		err  error
		ok   bool
	}{
		{"a value", Match{"bot": {value}}.Check([]string{"bot"}), true},
		{"a longer value", Match{"bot": {value + "v"}}.Check([]string{"bot"}), false},
		{"an empty label", Match{"label": {""}}.Check(nil), true},
		{"an empty value", Match{"bot": {""}}.Check([]string{"bot"}), false},
		{"a good value and a bad one", Match{"bot": {"a", ""}}.Check([]string{"bot"}), false},
		{"a type", CheckEventTypes([]string{typ}), true},
		{"a longer type", CheckEventTypes([]string{typ + "t"}), false},
		{"many types", CheckEventTypes(make100()), true},
		{"too many", CheckEventTypes(append(make100(), "a")), false},
		{"a type with a zero byte", CheckEventTypes([]string{"a\x00"}), false},
		{"no types", CheckEventTypes(nil), true},
		{"a star alone", CheckEventTypes([]string{"*"}), true},
		{"a star at the beginning", CheckEventTypes([]string{"*a"}), false},
		{"a star at the end", CheckEventTypes([]string{"a*"}), true},
		{"a good type and a bad one", CheckEventTypes([]string{"a", ""}), false},
	} {
		if (tt.err == nil) != tt.ok {
			t.Errorf("%s: %v, want it taken: %v", tt.name, tt.err, tt.ok)
		}
	}
}

func make100() []string {
	out := make([]string, MaxEventTypes)
	for i := range out {
		out[i] = fmt.Sprint(i)
	}
	return out
}
