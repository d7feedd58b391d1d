package api_test

import (
	"strings"
	"testing"

	"ringback/shared/test/proofs"
)

// TestTextThatMustEqualAnothersIsRefusedAsPasted sends every text that has to
// equal what somebody else sends, with what pasting adds to it.
func TestTextThatMustEqualAnothersIsRefusedAsPasted(t *testing.T) {
	proofs.Long(t)
	w := newWorld(t)
	s := w.setting()
	group, _ := w.group(s)
	raw := object{"source": s.tencent, "url": "https://tenant.example/in", "event_types": []string{"Bot.*"}, "format": "raw", "raw_token": "t"}
	r := "/v1/registrations/" + w.Want(201, s.key, "POST", "/v1/registrations", raw).ID()
	source := func(provider, field string, value any) object {
		return object{"provider": provider, "name": "n", field: value}
	}
	bots := object{"source": s.smartbots, "name": "n", "security_code": "c", "uuid": chatGroup}
	for _, tt := range []struct {
		field, key, method, path string
		body                     func(text string) object
	}{
		{"token", operatorKey, "POST", "/v1/sources", func(x string) object { return source("tencent-chat", "token", x).With("sdk_app_id", 1400000002) }},
		{"token", operatorKey, "POST", "/v1/sources/" + s.tencent + "/token/rotate", func(x string) object { return object{"token": x} }},
		{"basic.login", operatorKey, "POST", "/v1/sources", func(x string) object { return source("direct", "basic", object{"login": x, "password": "p"}) }},
		{"basic.password", operatorKey, "POST", "/v1/sources", func(x string) object { return source("direct", "basic", object{"login": "l", "password": x}) }},
		{"basic.password", operatorKey, "POST", "/v1/sources/" + s.direct + "/basic/rotate", func(x string) object { return object{"basic": object{"login": "l", "password": x}} }},
		{"upstream.api_key", operatorKey, "POST", "/v1/sources", func(x string) object { return source("smartbots", "upstream", object{"api_key": x}) }},
		{"upstream.api_key", operatorKey, "PATCH", "/v1/sources/" + s.smartbots, func(x string) object { return object{"upstream": object{"api_key": x}} }},
		{"ignore_event_types", operatorKey, "PATCH", "/v1/sources/" + s.direct, func(x string) object { return object{"ignore_event_types": []string{"sent", x}} }},
		{"label", operatorKey, "POST", "/v1/sources/" + s.direct + "/keys", func(x string) object { return object{"label": x} }},
		{"match.bot", operatorKey, "POST", "/v1/sources/" + s.tencent + "/grants", func(x string) object { return object{"tenant": s.other, "match": object{"bot": []string{x}}} }},
		{"match.group", operatorKey, "POST", "/v1/erasures", func(x string) object { return object{"source": s.smartbots, "match": object{"group": []string{x}}} }},
		{"match.label", s.key, "PATCH", r, func(x string) object { return object{"match": object{"label": []string{"", x}}} }},
		{"event_types", s.key, "POST", "/v1/registrations", func(x string) object { return raw.With("event_types", []string{x}) }},
		{"event_types", s.key, "PATCH", r, func(x string) object { return object{"event_types": []string{"Bot.*", x}} }},
		{"raw_token", s.key, "POST", "/v1/registrations", func(x string) object { return raw.With("raw_token", x) }},
		{"raw_token", s.key, "POST", r + "/raw-token/rotate", func(x string) object { return object{"raw_token": x} }},
		{"security_code", operatorKey, "POST", "/v1/groups", func(x string) object { return bots.With("security_code", x) }},
		{"security_code", operatorKey, "PATCH", "/v1/groups/" + group, func(x string) object { return object{"security_code": x} }},
		{"group_id", operatorKey, "POST", "/v1/groups", func(x string) object { return bots.With("group_id", x) }},
		{"name", operatorKey, "POST", "/v1/groups", func(x string) object { return bots.With("name", "a"+x+"b") }}, // its ends are trimmed
	} {
		for _, text := range []string{" zQ7", "zQ7\r\n", "zQ7\u00a0", "z\x00Q7", "z\u0085Q7", " "} {
			if tt.field == "name" && strings.Trim(text, " \u00a0zQ7") == "" {
				continue
			}
			a := w.Call(tt.key, tt.method, tt.path, tt.body(text))
			if a.Code != 422 || !strings.Contains(a.Raw, tt.field) || strings.Contains(a.Raw, "Q7") {
				t.Errorf("%s %s with %s %q: %d %s; want 422, the field's name and not its value", tt.method, tt.path, tt.field, text, a.Code, a.Raw)
			}
		}
		if a := w.Call(tt.key, tt.method, tt.path, tt.body("zQ 7")); a.Code == 422 {
			t.Errorf("%s %s with a blank within %s: %d %s", tt.method, tt.path, tt.field, a.Code, a.Raw)
		}
	}
}
