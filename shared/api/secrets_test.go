package api_test

import (
	"encoding/base64"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"ringback/shared/api/apitest"
	"ringback/shared/test/proofs"
)

// planted is a text that stands wherever a request can hold one. It may be in
// no answer to a refused request, and never in the log.
const planted = "PLANTED5ecret"

func TestRefusalsRepeatNothingOfTheRequest(t *testing.T) {
	proofs.Long(t)
	w := newWorld(t)
	s := w.setting()
	r := w.Want(201, s.key, "POST", "/v1/registrations", object{"source": s.direct, "url": "https://tenant.example/"})
	doc, err := apitest.Document()
	if err != nil {
		t.Fatal(err)
	}
	wrong := []any{
		planted, object{planted: planted}, []any{planted}, object{"a": object{planted: []any{planted}}}, 5, true,
		planted + "\x00", "http://" + planted + ":" + planted + "@[::1]:99999/%zz", []any{object{planted: planted}},
	}
	ids := map[string]string{"sources": s.direct, "registrations": r.ID(), "tenants": s.tenant}
	for path, item := range doc.Paths.Map() {
		if !strings.HasPrefix(path, "/v1/") {
			continue
		}
		resource, _, _ := strings.Cut(strings.TrimPrefix(path, "/v1/"), "/")
		for method, op := range item.Operations() {
			for _, key := range []string{operatorKey, s.key} {
				if strings.Contains(path, "{") {
					w.silent(key, method, strings.NewReplacer("{id}", planted, "{key}", planted, "{grant}", planted, "{app}", planted, "{queue}", planted).Replace(path), nil)
				}
				w.silent(key, method, path+"?"+planted+"="+planted, nil)
				w.silent(key, method, path+"?limit="+planted+"&cursor="+planted+"."+planted+"&since="+planted+"&status="+planted, nil)
				if op.RequestBody == nil {
					continue
				}
				at := strings.Replace(path, "{id}", ids[resource], 1)
				for _, body := range []any{planted, `{"` + planted, `{"` + planted + `":"` + planted + `"}`, `"` + planted + `"`, `{"name":` + planted + `}`} {
					w.silent(key, method, at, body)
				}
				media := op.RequestBody.Value.Content["application/json"]
				if media == nil {
					continue
				}
				for field := range media.Schema.Value.Properties {
					for _, v := range wrong {
						w.silent(key, method, at, object{field: v, planted: planted}) // refused for the unknown field at least
					}
				}
			}
		}
	}
	for _, header := range []string{"Content-Type", "Accept", "If-Match", "Idempotency-Key"} {
		for _, v := range []string{planted, "application/" + planted, strings.Repeat(planted, 100)} {
			w.silent(s.key, "PATCH", "/v1/registrations/"+r.ID(), object{planted: 1}, header, v)
			w.silent(s.key, "POST", "/v1/registrations", object{"source": planted}, header, v)
		}
	}
	w.silent(planted+strings.Repeat("x", 40), "GET", "/v1/me", nil)
	w.silent("", "GET", "/"+planted+"/../"+planted, nil)
	w.silent("", "PUT", "/v1/"+planted, nil)
	if strings.Contains(w.Log.String(), planted) {
		for line := range strings.Lines(w.Log.String()) {
			if strings.Contains(line, planted) {
				t.Errorf("what was planted stands in the log: %s", line)
			}
		}
	}
}

// silent makes a call that is refused, and fails the test if the answer holds
// what was planted.
func (w *world) silent(key, method, path string, body any, header ...string) {
	w.t.Helper()
	a := w.Call(key, method, path, body, header...)
	if a.Code < 400 && method != "GET" || a.Code >= 500 {
		w.t.Errorf("%s %s with %v: %d %s, want a refusal", method, path, body, a.Code, a.Raw)
	}
	if strings.Contains(a.Raw+fmt.Sprint(a.Header), planted) {
		w.t.Errorf("%s %s: answer %d repeats the request: %s %v", method, path, a.Code, a.Raw, a.Header)
	}
}

func TestSecretsStandInNoLaterAnswerAndNoLog(t *testing.T) {
	w := newWorld(t)
	s := w.setting()
	secrets := []string{operatorKey, s.key, "tencent-token", "direct-password", "upstream-key", "raw-secret", "header-secret", "url-password", "the-code", "new-token", "new-password"}
	op := operatorKey
	w.Want(200, op, "PATCH", "/v1/sources/"+s.smartbots, object{"upstream": object{"api_key": "upstream-key"}})
	group := w.Want(201, op, "POST", "/v1/groups", object{"source": s.smartbots, "name": "Harbor", "security_code": "the-code", "uuid": chatGroup})
	r := w.Want(201, s.key, "POST", "/v1/registrations", object{
		"source": s.tencent, "url": "https://login:url-password@tenant.example/", "event_types": []string{"*"}, "format": "raw",
		"raw_token": "raw-secret", "headers": object{"X-Key": "header-secret"},
	})
	w.Want(200, op, "POST", "/v1/sources/"+s.tencent+"/token/rotate", object{"token": "new-token"})
	w.Want(200, op, "POST", "/v1/sources/"+s.direct+"/basic/rotate", object{"basic": object{"login": "x", "password": "new-password"}})
	secrets = append(secrets, r.Text("secret"), group.Text("owner_key"))
	var seen strings.Builder
	for _, path := range []string{"/v1/sources", "/v1/sources/" + s.smartbots, "/v1/groups", "/v1/tenants", "/v1/keys?tenant=" + s.tenant, "/v1/registrations?tenant=" + s.tenant} {
		seen.WriteString(w.Want(200, op, "GET", path, nil).Raw)
	}
	for _, path := range []string{"/v1/registrations", "/v1/registrations/" + r.ID(), "/v1/keys", "/v1/sources", "/v1/me"} {
		seen.WriteString(w.Want(200, s.key, "GET", path, nil).Raw)
	}
	for _, secret := range secrets {
		if strings.Contains(seen.String(), secret) {
			t.Errorf("%q stands in an answer", secret)
		}
		if strings.Contains(w.Log.String(), secret) {
			t.Errorf("%q stands in the log", secret)
		}
		if raw, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_")); len(raw) > 20 && strings.Contains(seen.String(), string(raw)) {
			t.Errorf("what %q encodes stands in an answer", secret)
		}
	}
}

func TestPanicIsAnsweredAndLogged(t *testing.T) {
	w := newWorld(t)
	w.g.Keys = nil // no verb works without
	a := w.Call(operatorKey, "POST", "/v1/sources", object{"provider": "direct", "name": planted})
	if a.Code != 500 || strings.Contains(a.Raw, planted) {
		t.Errorf("answer %d %s, want a 500 that says nothing", a.Code, a.Raw)
	}
	if log := w.Log.String(); !strings.Contains(log, `"outcome":"panic"`) || strings.Contains(log, planted) {
		t.Errorf("log %s, want the panic without its cause's data", log)
	}
}

func TestAnswersForbidSniffingFramingAndKeeping(t *testing.T) {
	w := newWorld(t)
	for _, path := range []string{"/v1/me", "/v1/tenants", "/healthz", "/api/simple.html", "/nothing", "/openapi.json"} {
		rec := httptest.NewRecorder()
		w.Handler.ServeHTTP(rec, httptest.NewRequest("GET", path, nil))
		for name, want := range map[string]string{
			"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store", "Referrer-Policy": "no-referrer",
			"Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
		} {
			if got := rec.Header().Get(name); got != want && (path != "/openapi.json" || name != "Cache-Control") {
				t.Errorf("GET %s: %s %q, want %q", path, name, got, want)
			}
		}
	}
	if a := w.Want(200, "", "GET", "/healthz", nil); strings.TrimSpace(a.Raw) != `{"status":"ok"}` {
		t.Errorf("/healthz answers %q", a.Raw)
	}
}

func TestRefusalIsLoggedWithWhoAndWhat(t *testing.T) {
	w := newWorld(t)
	s := w.setting()
	w.Want(404, s.key, "GET", "/v1/registrations/reg_none", nil)
	line := w.Log.Last(1)
	for _, want := range []string{`"msg":"api"`, s.tenant, `"route":"/v1/registrations/{id}"`, `"code":404`, `"outcome":"refused"`, `"key":"key_`} {
		if !strings.Contains(line, want) {
			t.Errorf("log line %s, want %s in it", line, want)
		}
	}
}

func TestIdempotentCreateIsMadeOnce(t *testing.T) {
	w := newWorld(t)
	s := w.setting()
	for _, tt := range []struct {
		key, path string
		body      object
		secret    string
	}{
		{operatorKey, "/v1/tenants", object{"name": "twice"}, "api_key"},
		{operatorKey, "/v1/sources", object{"provider": "direct", "name": "twice"}, ""},
		{operatorKey, "/v1/sources/" + s.direct + "/keys", object{"label": "twice"}, ""},
		{operatorKey, "/v1/sources/" + s.direct + "/grants", object{"tenant": s.other}, ""},
		{operatorKey, "/v1/groups", object{"source": s.smartbots, "name": "twice", "security_code": "c", "uuid": chatGroup}, "owner_key"},
		{s.key, "/v1/registrations", object{"source": s.direct, "url": "https://tenant.example/"}, "secret"},
		{s.key, "/v1/keys", object{"scope": "read"}, "api_key"},
	} {
		t.Run(tt.path, func(t *testing.T) {
			first := w.Want(201, tt.key, "POST", tt.path, tt.body, "Idempotency-Key", "key of "+tt.path)
			again := w.Want(201, tt.key, "POST", tt.path, tt.body, "Idempotency-Key", "key of "+tt.path)
			if first.ID() != again.ID() || first.ID() == "" {
				t.Errorf("ids %q and %q, want the same", first.ID(), again.ID())
			}
			if got := again.Header.Get("Idempotent-Replayed"); got != "true" || first.Header.Get("Idempotent-Replayed") != "" {
				t.Errorf("Idempotent-Replayed %q, want true for the repeat alone", got)
			}
			if tt.secret != "" && (first.Text(tt.secret) == "" || again.Text(tt.secret) != "" || again.Text("note") == "") {
				t.Errorf("first %s, repeat %s; want the secret once, and a note that says so", first.Raw, again.Raw)
			}
			other := tt.body.With("description", "other")
			if tt.path != "/v1/registrations" {
				other = tt.body.With("name", "other").With("label", "other")
				for _, name := range []string{"name", "label"} {
					if _, had := tt.body[name]; !had {
						delete(other, name)
					}
				}
			}
			if len(other) == len(tt.body) && fmt.Sprint(other) == fmt.Sprint(tt.body) {
				return
			}
			w.Want(422, tt.key, "POST", tt.path, other, "Idempotency-Key", "key of "+tt.path)
		})
	}
	if got := w.Want(200, s.key, "GET", "/v1/registrations", nil).List(t); len(got) != 1 {
		t.Errorf("%d registrations, want one", len(got))
	}
	w.Want(201, s.otherKey, "POST", "/v1/keys", object{"scope": "read"}, "Idempotency-Key", "key of /v1/keys") // another's key is another
}

func TestRefusedCreateMayBeCorrectedUnderItsKey(t *testing.T) {
	w := newWorld(t)
	s := w.setting()
	body := object{"source": s.direct, "url": "ftp://tenant.example/"}
	w.Want(422, s.key, "POST", "/v1/registrations", body, "Idempotency-Key", "k")
	w.Want(201, s.key, "POST", "/v1/registrations", body.With("url", "https://tenant.example/"), "Idempotency-Key", "k")
}

func TestRotationKeepsTheOldForTheOverlap(t *testing.T) {
	w := newWorld(t)
	s := w.setting()
	k := w.Want(201, s.key, "POST", "/v1/keys", object{"scope": "read"})
	next := w.Want(200, s.key, "POST", "/v1/keys/"+k.ID()+"/rotate", object{"overlap": "1h"})
	if k.Text("api_key") == next.Text("api_key") || next.ID() != k.ID() {
		t.Fatalf("rotated to %s, want another key under the same id", next.Raw)
	}
	for _, key := range []string{k.Text("api_key"), next.Text("api_key")} {
		w.Want(200, key, "GET", "/v1/me", nil)
	}
	listed := w.Want(200, s.key, "GET", "/v1/keys/"+k.ID(), nil)
	old, _ := listed.Object["old"].([]any)
	if len(old) != 1 {
		t.Fatalf("listed %s, want the old one with its end", listed.Raw)
	}
	until, _ := time.Parse(time.RFC3339, old[0].(map[string]any)["until"].(string))
	if left := time.Until(until); left < 59*time.Minute || left > time.Hour {
		t.Errorf("old one ends in %v, want an hour", left)
	}
	w.Want(200, s.key, "POST", "/v1/keys/"+k.ID()+"/rotate", object{"overlap": "0s"})
	for _, key := range []string{k.Text("api_key"), next.Text("api_key")} {
		w.Want(401, key, "GET", "/v1/me", nil)
	}
	w.Want(422, s.key, "POST", "/v1/keys/"+k.ID()+"/rotate", object{"overlap": "-1h"})
	w.Want(422, s.key, "POST", "/v1/keys/"+k.ID()+"/rotate", object{"overlap": "soon"})
}

func TestOverlapsByDefault(t *testing.T) {
	w := newWorld(t)
	s := w.setting()
	keys := func(source string) []object {
		return w.Want(200, operatorKey, "GET", "/v1/sources/"+source+"/keys", nil).List(t)
	}
	for _, tt := range []struct {
		source string
		want   time.Duration
	}{{s.direct, 30 * 24 * time.Hour}, {s.smartbots, 24 * time.Hour}} {
		w.Want(200, operatorKey, "POST", fmt.Sprint("/v1/sources/", tt.source, "/keys/", keys(tt.source)[0]["id"], "/rotate"), nil)
		ends := 0
		for _, k := range keys(tt.source) {
			text, ended := k["until"].(string)
			if !ended {
				continue
			}
			ends++
			until, _ := time.Parse(time.RFC3339, text)
			if left := time.Until(until); left > tt.want || left < tt.want-time.Minute {
				t.Errorf("old callback URL ends in %v, want %v", left, tt.want)
			}
		}
		if ends != 1 {
			t.Errorf("%d callback URLs end, want the old one", ends)
		}
	}
	r := w.Want(201, s.key, "POST", "/v1/registrations", object{"source": s.direct, "url": "https://tenant.example/"})
	rotated := w.Want(200, s.key, "POST", "/v1/registrations/"+r.ID()+"/rotate", object{"overlap": "24h"})
	if secrets, _ := rotated.Object["secrets"].([]any); len(secrets) != 2 || rotated.Text("secret") == r.Text("secret") {
		t.Errorf("rotated to %s, want a new secret beside the old", rotated.Raw)
	}
	token := w.Want(200, operatorKey, "POST", "/v1/sources/"+s.tencent+"/token/rotate", object{"token": "second"})
	if tokens, _ := token.Object["tokens"].([]any); len(tokens) != 2 {
		t.Errorf("source %s, want two tokens", token.Raw)
	}
	w.Want(422, operatorKey, "POST", "/v1/sources/"+s.direct+"/token/rotate", object{"token": "second"})
}
