package api_test

import (
	"strings"
	"testing"

	"ringback/shared/test/proofs"
)

// TestUnknownFieldIsToldWhatThereIs wants the names that an object may hold,
// and not the one that was sent: it may be a secret in the wrong place.
func TestUnknownFieldIsToldWhatThereIs(t *testing.T) {
	w := newWorld(t)
	for _, tt := range []struct {
		name string
		body object
		want string
	}{
		{"of the body", object{"provider": "direct", "name": "D", planted: 1}, `unexpected property: want allow, basic, `},
		{"of an object in it", object{"provider": "direct", "name": "D", "basic": object{"login": "a", "password": "b", planted: 1}}, `unexpected property: want login, password`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := w.Want(422, operatorKey, "POST", "/v1/sources", tt.body).Raw
			if !strings.Contains(got, tt.want) || strings.Contains(got, planted) {
				t.Errorf("answer %s: want %q in it, and no %q", got, tt.want, planted)
			}
		})
	}
}

// TestConflictSaysWithWhat wants the thing that stands in the way, and no word
// of a change that nobody made.
func TestConflictSaysWithWhat(t *testing.T) {
	proofs.Long(t)
	w := newWorld(t)
	s := w.setting()
	group := object{"source": s.smartbots, "name": "Harbor", "security_code": "1234", "uuid": chatGroup}
	w.Want(201, operatorKey, "POST", "/v1/groups", group)
	r := w.Want(201, s.key, "POST", "/v1/registrations", object{"source": s.smartbots, "url": "https://tenant.example/"})
	w.Want(200, s.key, "POST", "/v1/registrations/"+r.ID()+"/disable", nil)
	for _, tt := range []struct {
		name, key, method, path string
		body                    any
		want                    string
	}{
		{"a name that is taken", operatorKey, "POST", "/v1/groups", group, "name: conflict: another group has it"},
		{"a source in use", operatorKey, "DELETE", "/v1/sources/" + s.smartbots, nil, "source: conflict: it has registrations; remove them first, or use force"},
		{"a registration that is disabled", s.key, "POST", "/v1/registrations/" + r.ID() + "/test", nil, "test: conflict: the registration is not enabled"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := w.Want(409, tt.key, tt.method, tt.path, tt.body).Text("detail"); got != tt.want {
				t.Errorf("detail %q, want %q", got, tt.want)
			}
		})
	}
}

func TestRefusalSaysWhatIsWanted(t *testing.T) {
	w := newWorld(t)
	s := w.setting()
	busy := w.Want(201, operatorKey, "POST", "/v1/tenants", object{"name": "busy", "limits": object{"api_calls_per_second": 0.5}}).Text("api_key")
	w.Want(200, busy, "GET", "/v1/me", nil)
	for _, tt := range []struct {
		name, key, method, path string
		body                    any
		contentType             string
		code                    int
		want                    string
	}{
		{"a body that is no JSON", s.key, "POST", "/v1/registrations", `{"source":`, "application/json", 400, "want JSON"},
		{"a number that is too large", operatorKey, "POST", "/v1/sources", `{"provider":"direct","name":"x","sdk_app_id":18446744073709551616}`, "application/json", 422, `[{"message":"cannot be read","location":"body"}]`},
		{"a body of another type", s.key, "POST", "/v1/registrations", `{}`, "text/plain", 415, "want Content-Type application/json"},
		{"a time that is none", s.key, "GET", "/v1/deliveries?since=yesterday", nil, "", 422, "want one such as 2026-03-01T09:15:02Z"},
		{"too many calls", busy, "GET", "/v1/me", nil, "", 429, `"detail":"calls: limit reached: want at most 0.5 a second","code":"too_many_calls"}`},
		{"an address of nobody", operatorKey, "POST", "/v1/sources", object{"provider": "direct", "name": "x", "allow": []string{"all"}}, "application/json", 422, "allow: invalid: want addresses such as 192.0.2.1, or prefixes such as 192.0.2.0/24"},
		{"a label of two lines", operatorKey, "POST", "/v1/sources/" + s.direct + "/keys", object{"label": "a\nb"}, "application/json", 422, "label: invalid: want 0 to 200 bytes of UTF-8 without control characters"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := w.Want(tt.code, tt.key, tt.method, tt.path, tt.body, "Content-Type", tt.contentType).Raw; !strings.Contains(got, tt.want) {
				t.Errorf("answer %s: want %q in it", got, tt.want)
			}
		})
	}
}

// TestRequestIsReadInOneWayAlone sends what readers differ about, and ids that
// nothing can have: neither is done, or told with how rows are kept.
func TestRequestIsReadInOneWayAlone(t *testing.T) {
	w := newWorld(t)
	s := w.setting()
	const spelled = `"provider":"direct","name":"n"`
	for _, tt := range []struct {
		name, key, method, path, body string
		code                          int
	}{
		{"as it is described", operatorKey, "POST", "/v1/sources", `{` + spelled + `}`, 201},
		{"a field in another case", operatorKey, "POST", "/v1/sources", `{"Provider":"direct","name":"n"}`, 422},
		{"a field in two cases", operatorKey, "POST", "/v1/sources", `{` + spelled + `,"Name":"m"}`, 422},
		{"a field twice", operatorKey, "POST", "/v1/sources", `{` + spelled + `,"name":"m"}`, 422},
		{"a field twice, once escaped", operatorKey, "POST", "/v1/sources", `{` + spelled + `,"n\u0061me":"m"}`, 422},
		{"a field of a field twice", operatorKey, "POST", "/v1/sources", `{` + spelled + `,"basic":{"login":"a","password":"b","login":"c"}}`, 422},
		{"a name twice in a map", s.key, "POST", "/v1/registrations", `{"source":"` + s.smartbots + `","url":"https://tenant.example/","match":{"group":["a"],"group":["b"]}}`, 422},
		{"a name in two objects", s.key, "POST", "/v1/registrations", `{"source":"` + s.smartbots + `","url":"https://tenant.example/","headers":{"url":"name"},"match":{"group":["group","group"]}}`, 201},
		{"an id of no UTF-8", s.key, "GET", "/v1/keys/%ff", "", 422},
		{"an id with a control character", s.key, "GET", "/v1/registrations/a%00b", "", 422},
		{"an id in a query", operatorKey, "GET", "/v1/keys?tenant=%ff", "", 422},
		{"too long an id", operatorKey, "POST", "/v1/keys", `{"scope":"full","tenant":"` + strings.Repeat("x", 3000) + `"}`, 404},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var body any
			if tt.body != "" {
				body = tt.body
			}
			a := w.Want(tt.code, tt.key, tt.method, tt.path, body)
			if strings.Contains(a.Raw, "#") || strings.Contains(a.Raw, "\\ufffd") || strings.Contains(a.Raw, "xxx") {
				t.Errorf("answer %s: tells an inner key, or repeats what was sent", a.Raw)
			}
		})
	}
	if got := w.Call("", "GET", "/healthz", nil).Header.Get("Strict-Transport-Security"); got != "max-age=31536000" {
		t.Errorf("Strict-Transport-Security %q behind a public URL with https", got)
	}
}
