package form_test

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"

	"ringback/shared/provider/form"
)

// FuzzFields wants that no byte of a form is lost but empty fields, that what
// net/url takes is read as net/url reads it, and that Object is JSON that holds
// every name.
func FuzzFields(f *testing.F) {
	for _, raw := range []string{"a=1&b=%31+%2B", "m=%zz%4&n=%", "&&=;=&a", "caf%E9=\xff&caf%C3%A9=1", "a=1&a=2&%61=3", "\u2028=<b>"} {
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		var parts []string
		var fields []form.Field
		got := url.Values{}
		for part, field := range form.Fields(raw) {
			parts, fields = append(parts, part), append(fields, field)
			got.Add(field.Name, field.Value)
		}
		var filled []string
		for part := range strings.SplitSeq(raw, "&") {
			if part != "" {
				filled = append(filled, part)
			}
		}
		if strings.Join(parts, "&") != strings.Join(filled, "&") {
			t.Errorf("Fields(%q): parts %q", raw, parts)
		}
		if want, err := url.ParseQuery(raw); err == nil && want.Encode() != got.Encode() {
			t.Errorf("Fields(%q) = %q, net/url reads %q", raw, got, want)
		}
		var object map[string]any
		if err := json.Unmarshal(form.Object(fields), &object); err != nil {
			t.Fatalf("Object of %q: %v", raw, err)
		}
		for name := range got {
			if _, ok := object[strings.ToValidUTF8(name, "\uFFFD")]; !ok {
				t.Errorf("Object of %q lacks %q: %q", raw, name, object)
			}
		}
	})
}
