package api_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"ringback/shared/circuit"
	"ringback/shared/control"
	"ringback/shared/gateway"
	"ringback/shared/storage"
)

// with returns o with one field more or another value of it.
func (o object) with(name string, v any) object {
	out := object{}
	for k, old := range o {
		out[k] = old
	}
	out[name] = v
	return out
}

func (o object) without(name string) object {
	out := o.with(name, nil)
	delete(out, name)
	return out
}

func TestRegistrationIsRefused(t *testing.T) {
	w := newWorld(t)
	s := w.setting()
	good := object{"source": s.tencent, "url": "https://tenant.example/in", "event_types": []string{"Bot.*"}}
	w.want(201, s.key, "POST", "/v1/registrations", good)
	long := strings.Repeat("x", 1025)
	many := object{}
	for i := range 21 {
		many[fmt.Sprint("X-", i)] = "v"
	}
	values := make([]string, 201)
	for i := range values {
		values[i] = fmt.Sprint("g", i)
	}
	for _, tt := range []struct {
		name string
		body any
		code int
	}{
		{"source that is not granted", good.with("source", "src-00000000"), 404},
		{"no source", good.without("source"), 422},
		{"no url", good.without("url"), 422},
		{"url of another scheme", good.with("url", "ftp://tenant.example/"), 422},
		{"url of our own", good.with("url", "https://ringback.example/x"), 422},
		{"private address", good.with("url", "http://10.0.0.1/"), 422},
		{"metadata address", good.with("url", "http://169.254.169.254/latest"), 422},
		{"url with a space", good.with("url", "http://tenant.example/a b"), 422},
		{"hidden login with nothing to keep", good.with("url", "https://***@tenant.example/"), 422},
		{"no event types at tencent-chat", good.without("event_types"), 422},
		{"empty event types", good.with("event_types", []string{}), 422},
		{"star inside an event type", good.with("event_types", []string{"Bot.*.x"}), 422},
		{"unknown routing key", good.with("match", object{"channel": []string{"x"}}), 422},
		{"empty match", good.with("match", object{}), 422},
		{"null match", good.with("match", nil), 422},
		{"empty list in match", good.with("match", object{"bot": []string{}}), 422},
		{"empty value in match", good.with("match", object{"bot": []string{""}}), 422},
		{"too many entries", good.with("match", object{"group": values}), 422},
		{"unknown format", good.with("format", "xml"), 422},
		{"unknown schedule", good.with("schedule", "hourly"), 422},
		{"wait too short", good.with("schedule", []string{"1s"}), 422},
		{"schedule of a wrong type", good.with("schedule", 5), 422},
		{"timeout too long", good.with("timeout", "16s"), 422},
		{"timeout of nothing", good.with("timeout", "0s"), 422},
		{"timeout without a unit", good.with("timeout", "10"), 422},
		{"reserved header", good.with("headers", object{"Webhook-Id": "x"}), 422},
		{"header of the connection", good.with("headers", object{"Host": "x"}), 422},
		{"header with a line break", good.with("headers", object{"X-A": "a\r\nX-B: c"}), 422},
		{"header name with a space", good.with("headers", object{"X A": "a"}), 422},
		{"header value too long", good.with("headers", object{"X-A": long}), 422},
		{"too many headers", good.with("headers", many), 422},
		{"same header twice", good.with("headers", object{"X-A": "1", "x-a": "2"}), 422},
		{"hidden header with nothing to keep", good.with("headers", object{"X-A": "***"}), 422},
		{"Authorization and a login", good.with("headers", object{"Authorization": "x"}).with("url", "https://a:b@tenant.example/"), 422},
		{"raw token in standard format", good.with("raw_token", "t"), 422},
		{"raw token of another provider", object{"source": s.direct, "url": "https://tenant.example/", "format": "raw", "raw_token": "t"}, 422},
		{"negative rate", good.with("rate", -1), 422},
		{"more concurrency than the tenant has", good.with("concurrency", 51), 422},
		{"unknown field", good.with("secret", "x"), 422},
		{"not an object", `[]`, 422},
		{"not JSON", `{"source":`, 400},
		{"nothing", "", 400},
		{"more than a mebibyte", `{"source":"` + strings.Repeat("x", 1<<20) + `"}`, 413},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if a := w.call(s.key, "POST", "/v1/registrations", tt.body); a.code != tt.code {
				t.Errorf("answer %d %s, want %d", a.code, a.raw, tt.code)
			}
		})
	}
	if got := w.want(200, s.key, "GET", "/v1/registrations", nil).list(t); len(got) != 1 {
		t.Errorf("%d registrations, want the good one alone", len(got))
	}
}

func TestDefaultsOfARegistration(t *testing.T) {
	w := newWorld(t)
	s := w.setting()
	for _, tt := range []struct{ source, want string }{
		{s.direct, `"event_types":["delivered"]`},
		{s.smartbots, `"event_types":["*"]`},
	} {
		a := w.want(201, s.key, "POST", "/v1/registrations", object{"source": tt.source, "url": "https://tenant.example/"})
		if !strings.Contains(a.raw, tt.want) {
			t.Errorf("registration %s, want %s", a.raw, tt.want)
		}
	}
}

func TestRawRegistrationOfDecisionsIsWarned(t *testing.T) {
	w := newWorld(t)
	s := w.setting()
	body := object{"source": s.tencent, "url": "https://tenant.example/", "format": "raw", "event_types": []string{"Group.*"}}
	if a := w.want(201, s.key, "POST", "/v1/registrations", body); a.object["warnings"] == nil {
		t.Errorf("answer %s, want a warning that decisions do not go back", a.raw)
	}
	body["event_types"] = []string{"Bot.OnGroupMessage"}
	if a := w.want(201, s.key, "POST", "/v1/registrations", body); a.object["warnings"] != nil {
		t.Errorf("answer %s, want no warning", a.raw)
	}
}

func TestSecretsOfAnEndpointStayWhenSentBackHidden(t *testing.T) {
	w := newWorld(t)
	s := w.setting()
	w.work()
	e := newEndpoint(t)
	with := strings.Replace(e.URL, "http://", "http://login:password@", 1)
	r := w.want(201, s.key, "POST", "/v1/registrations", object{"source": s.smartbots, "url": with + "/a?b=c", "headers": object{"x-token": "header-secret"}})
	if strings.Contains(r.raw, "password") || strings.Contains(r.raw, "header-secret") {
		t.Errorf("answer %s, want no secret of the endpoint", r.raw)
	}
	back := r.object["url"].(string)
	if !strings.Contains(back, "***@") || r.object["headers"].(map[string]any)["X-Token"] != "***" {
		t.Fatalf("answer %s, want url and header with ***", r.raw)
	}
	changed := w.want(200, s.key, "PATCH", "/v1/registrations/"+r.id(), object{"url": back, "headers": object{"X-Token": "***"}, "description": "again"})
	if changed.text("description") != "again" {
		t.Errorf("answer %s, want the new description", changed.raw)
	}
	w.want(202, s.key, "POST", "/v1/registrations/"+r.id()+"/test", nil)
	await(t, "the test event", func() bool { return len(e.all()) == 1 })
	h := e.all()[0].header
	if h.Get("X-Token") != "header-secret" || h.Get("Authorization") != "Basic bG9naW46cGFzc3dvcmQ=" {
		t.Errorf("delivered with X-Token %q and Authorization %q, want what was set at first", h.Get("X-Token"), h.Get("Authorization"))
	}
	w.want(422, s.key, "PATCH", "/v1/registrations/"+r.id(), object{"url": "https://***@elsewhere.example/"})
}

func TestRegistrationIsChangedAtItsRevisionAlone(t *testing.T) {
	w := newWorld(t)
	s := w.setting()
	r := w.want(201, s.key, "POST", "/v1/registrations", object{"source": s.direct, "url": "https://tenant.example/"})
	path := "/v1/registrations/" + r.id()
	etag := w.want(200, s.key, "GET", path, nil).header.Get("ETag")
	w.want(200, s.key, "PATCH", path, object{"description": "one"}, "If-Match", etag)
	w.want(409, s.key, "PATCH", path, object{"description": "two"}, "If-Match", etag)
	w.want(422, s.key, "PATCH", path, object{"description": "two"}, "If-Match", `"x"`)
	if got := w.want(200, s.key, "GET", path, nil).text("description"); got != "one" {
		t.Errorf("description %q, want one", got)
	}
}

func TestMatchIsWidenedByNull(t *testing.T) {
	w := newWorld(t)
	s := w.setting()
	r := w.want(201, s.key, "POST", "/v1/registrations", object{"source": s.direct, "url": "https://tenant.example/", "match": object{"status": []string{"delivered"}}})
	path := "/v1/registrations/" + r.id()
	if a := w.want(200, s.key, "PATCH", path, object{"rate": 5}); a.object["match"] == nil {
		t.Errorf("answer %s, want the match as it was", a.raw)
	}
	if a := w.want(200, s.key, "PATCH", path, `{"match":null}`); a.object["match"] != nil {
		t.Errorf("answer %s, want no match", a.raw)
	}
	w.want(422, s.key, "PATCH", path, `{"match":{}}`)
}

func TestEnableAndDisableMayBeRepeated(t *testing.T) {
	w := newWorld(t)
	s := w.setting()
	r := w.want(201, s.key, "POST", "/v1/registrations", object{"source": s.direct, "url": "https://tenant.example/"})
	path := "/v1/registrations/" + r.id()
	for _, tt := range []struct {
		call, state string
		rev         float64
	}{
		{"/disable", "disabled", 2}, {"/disable", "disabled", 2}, {"/enable", "enabled", 3}, {"/enable", "enabled", 3},
	} {
		a := w.want(200, s.key, "POST", path+tt.call, nil)
		if a.text("state") != tt.state || a.object["rev"] != tt.rev {
			t.Errorf("%s: %s at revision %v, want %s at %v", tt.call, a.text("state"), a.object["rev"], tt.state, tt.rev)
		}
	}
	w.want(200, s.key, "POST", path+"/disable", nil)
	w.want(409, s.key, "POST", path+"/test", nil)
}

func TestDeletedRegistrationIsGone(t *testing.T) {
	w := newWorld(t)
	s := w.setting()
	r := w.want(201, s.key, "POST", "/v1/registrations", object{"source": s.direct, "url": "https://tenant.example/"})
	path := "/v1/registrations/" + r.id()
	w.want(204, s.key, "DELETE", path, nil)
	w.want(404, s.key, "DELETE", path, nil)
	w.want(404, s.key, "PATCH", path, object{"description": "x"})
	w.want(404, s.key, "POST", path+"/enable", nil)
	if a := w.want(200, s.key, "GET", path, nil); a.text("state") != "removed" {
		t.Errorf("answer %s, want the tombstone", a.raw)
	}
	if got := w.want(200, s.key, "GET", "/v1/registrations", nil).list(t); len(got) != 0 {
		t.Errorf("registrations %v, want none", got)
	}
	w.want(204, operatorKey, "DELETE", "/v1/sources/"+s.direct, nil)
}

func TestRegistrationsPerSourceAreLimited(t *testing.T) {
	w := newWorld(t)
	s := w.setting()
	w.want(200, operatorKey, "PATCH", "/v1/tenants/"+s.tenant, object{"limits": object{"registrations_per_source": 2, "api_calls_per_second": 1000}})
	body := object{"source": s.direct, "url": "https://tenant.example/"}
	first := w.want(201, s.key, "POST", "/v1/registrations", body)
	w.want(201, s.key, "POST", "/v1/registrations", body)
	w.want(409, s.key, "POST", "/v1/registrations", body)
	w.want(201, s.key, "POST", "/v1/registrations", body.with("source", s.smartbots))
	w.want(204, s.key, "DELETE", "/v1/registrations/"+first.id(), nil)
	w.want(201, s.key, "POST", "/v1/registrations", body)
}

// TestTenantThatMakesRegistrationsTooFastWaits has a tenant make the last of a
// hundred at once.
func TestTenantThatMakesRegistrationsTooFastWaits(t *testing.T) {
	w := newWorld(t)
	s := w.setting()
	c := control.Caller{Scope: control.ScopeFull, Tenant: s.tenant}
	for range 99 {
		if err := control.New(w.g).TakeCreateToken(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	body := object{"source": s.direct, "url": "https://tenant.example/"}
	w.want(422, s.key, "POST", "/v1/registrations", body.with("url", "no url")) // costs nothing
	made := w.want(201, s.key, "POST", "/v1/registrations", body, "Idempotency-Key", "last")
	a := w.want(429, s.key, "POST", "/v1/registrations", body)
	if a.text("code") != "too_many_registrations" || !slices.Contains([]string{"1", "2"}, a.header.Get("Retry-After")) ||
		a.text("detail") != "registrations: limit reached: want at most 100 at once, and then one in 2s" {
		t.Errorf("answer %s with Retry-After %q, want the code, and to wait for 2 s at most", a.raw, a.header.Get("Retry-After"))
	}
	if again := w.want(201, s.key, "POST", "/v1/registrations", body, "Idempotency-Key", "last"); again.id() != made.id() {
		t.Errorf("the same request again made %s, want %s", again.id(), made.id())
	}
	w.want(429, s.key, "POST", "/v1/registrations", body, "Idempotency-Key", "next")
	w.want(200, s.key, "PATCH", "/v1/registrations/"+made.id(), object{"description": "x"})

	w.group(s)
	if got := w.setCallback(request(s.key, "https://tenant.example/in")); got.Result != "FAIL" || !strings.HasPrefix(got.ResultText, "too many new callbacks; try again in ") {
		t.Errorf("set_http_callback: %+v, want FAIL and when to try again", got)
	}
	if err := storage.Delete(t.Context(), w.g.Store, gateway.CreateRateKey(s.tenant), storage.AnyRev); err != nil { // as it ends by itself
		t.Fatal(err)
	}
	w.want(201, s.key, "POST", "/v1/registrations", body, "Idempotency-Key", "next")
	if got := w.setCallback(request(s.key, "https://tenant.example/in")); got.Result != "OK" {
		t.Errorf("set_http_callback some time later: %+v, want OK", got)
	}
	for control.New(w.g).TakeCreateToken(t.Context(), c) == nil {
	}
	if got := w.setCallback(request(s.key, "https://tenant.example/other")); got.Result != "OK" {
		t.Errorf("set_http_callback of an application that has one: %+v, want OK", got)
	}
}

func TestSourceWithRegistrationsIsDeletedByForceAlone(t *testing.T) {
	w := newWorld(t)
	s := w.setting()
	r := w.want(201, s.key, "POST", "/v1/registrations", object{"source": s.tencent, "url": "https://tenant.example/", "event_types": []string{"*"}})
	w.want(409, operatorKey, "DELETE", "/v1/sources/"+s.tencent, nil)
	w.want(204, operatorKey, "DELETE", "/v1/sources/"+s.tencent+"?force=true", nil)
	w.want(404, operatorKey, "GET", "/v1/sources/"+s.tencent, nil)
	if got := w.want(200, s.key, "GET", "/v1/registrations/"+r.id(), nil).text("state"); got != "removed" {
		t.Errorf("registration of the source is %q, want removed", got)
	}
	if got := w.want(200, s.key, "GET", "/v1/sources", nil).list(t); len(got) != 2 {
		t.Errorf("tenant sees %d sources, want the 2 that are left", len(got))
	}
	w.want(201, operatorKey, "POST", "/v1/sources", object{"provider": "tencent-chat", "name": "again", "sdk_app_id": 1400000001, "token": "t"})
}

func TestSourceIsRefused(t *testing.T) {
	w := newWorld(t)
	w.setting()
	for _, tt := range []struct {
		name string
		body object
		code int
	}{
		{"unknown provider", object{"provider": "telegram", "name": "x"}, 422},
		{"no name", object{"provider": "smartbots"}, 422},
		{"no SDKAppID", object{"provider": "tencent-chat", "name": "x", "token": "t"}, 422},
		{"an SDKAppID that is taken", object{"provider": "tencent-chat", "name": "x", "sdk_app_id": 1400000001, "token": "t"}, 409},
		{"token of another provider", object{"provider": "smartbots", "name": "x", "token": "t"}, 422},
		{"basic of another provider", object{"provider": "smartbots", "name": "x", "basic": object{"login": "a", "password": "b"}}, 422},
		{"upstream of another provider", object{"provider": "direct", "name": "x", "upstream": object{"api_key": "a"}}, 422},
		{"a colon in the login", object{"provider": "direct", "name": "x", "basic": object{"login": "a:b", "password": "b"}}, 422},
		{"allow that is no prefix", object{"provider": "direct", "name": "x", "allow": []string{"everyone"}}, 422},
		{"upstream that is no URL", object{"provider": "smartbots", "name": "x", "upstream": object{"api_key": "a", "base_url": "bots"}}, 422},
		{"unknown history", object{"provider": "direct", "name": "x", "history": "none"}, 422},
		{"unknown field", object{"provider": "direct", "name": "x", "label": "y"}, 422},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if a := w.call(operatorKey, "POST", "/v1/sources", tt.body); a.code != tt.code {
				t.Errorf("answer %d %s, want %d", a.code, a.raw, tt.code)
			}
		})
	}
}

// TestSourceTakesAnAddressAlone tries the form in which Direct's page names the
// address that it calls from.
func TestSourceTakesAnAddressAlone(t *testing.T) {
	w := newWorld(t)
	made := w.want(201, operatorKey, "POST", "/v1/sources", object{
		"provider": "direct", "name": "x", "allow": []string{"185.203.96.7", "::ffff:192.0.2.1", "2001:db8::/32"},
	})
	if got, want := fmt.Sprint(made.object["allow"]), "[185.203.96.7/32 192.0.2.1/32 2001:db8::/32]"; got != want {
		t.Errorf("allow is %s, want %s", got, want)
	}
}

func TestUnfinishedOfARemovedRegistrationIsShownCancelled(t *testing.T) {
	w := newWorld(t)
	s := w.setting()
	w.work()
	e := newEndpoint(t)
	e.answer(500)
	r := w.want(201, s.key, "POST", "/v1/registrations", object{"source": s.smartbots, "url": e.URL, "schedule": []string{"24h"}})
	w.form(w.callbackURL(s.smartbots), chat("pending"))
	list := "/v1/deliveries?registration=" + r.id()
	await(t, "the pending delivery", func() bool {
		return len(w.want(200, s.key, "GET", list+"&status=pending", nil).list(t)) == 1
	})
	w.want(204, s.key, "DELETE", "/v1/registrations/"+r.id(), nil)
	if got := w.want(200, s.key, "GET", list+"&status=cancelled", nil).list(t); len(got) != 1 || got[0]["next_attempt"] != nil {
		t.Errorf("cancelled deliveries %v, want the one, without an attempt to come", got)
	}
	if got := w.want(200, s.key, "GET", list+"&status=pending", nil).list(t); len(got) != 0 {
		t.Errorf("pending deliveries %v, want none", got)
	}
}

// TestParkedDeliverySaysWhatItWaitsFor has the circuit of an endpoint be open.
func TestParkedDeliverySaysWhatItWaitsFor(t *testing.T) {
	w := newWorld(t)
	s := w.setting()
	w.work()
	r := w.want(201, s.key, "POST", "/v1/registrations", object{"source": s.smartbots, "url": newEndpoint(t).URL})
	open := circuit.Health{Open: true, Since: time.Now(), Interval: time.Hour, ProbeAt: time.Now().Add(time.Hour)}
	if err := storage.PutRow(t.Context(), w.g.Store, storage.Row{Key: gateway.HealthKey(r.id())}, open, ""); err != nil {
		t.Fatal(err)
	}
	w.form(w.callbackURL(s.smartbots), chat("parked"))
	await(t, "a delivery that says so", func() bool {
		got := w.want(200, s.key, "GET", "/v1/deliveries?status=pending&registration="+r.id(), nil).list(t)
		return len(got) == 1 && got[0]["why"] == "circuit" && got[0]["next_attempt"] == nil
	})
}

func TestPendingOfADisabledRegistrationIsShownHeld(t *testing.T) {
	w := newWorld(t)
	s := w.setting()
	w.work()
	e := newEndpoint(t)
	e.answer(500)
	r := w.want(201, s.key, "POST", "/v1/registrations", object{"source": s.smartbots, "url": e.URL, "schedule": []string{"24h"}})
	w.form(w.callbackURL(s.smartbots), chat("held"))
	await(t, "the pending delivery", func() bool {
		return len(w.want(200, s.key, "GET", "/v1/deliveries?status=pending", nil).list(t)) == 1
	})
	w.want(200, s.key, "POST", "/v1/registrations/"+r.id()+"/disable", nil)
	if got := w.want(200, s.key, "GET", "/v1/deliveries?status=held", nil).list(t); len(got) != 1 {
		t.Errorf("held deliveries %v, want the one", got)
	}
	if got := w.want(200, s.key, "GET", "/v1/deliveries?status=pending", nil).list(t); len(got) != 0 {
		t.Errorf("pending deliveries %v, want none", got)
	}
}

func TestEnablingAnOrderedRegistrationSaysWhatBecomesOfTheHeld(t *testing.T) {
	w := newWorld(t)
	s := w.setting()
	make := func(ordered bool) string {
		return w.want(201, s.key, "POST", "/v1/registrations", object{"source": s.smartbots, "url": "https://tenant.example/", "ordered": ordered}).id()
	}
	for _, tt := range []struct {
		ordered bool
		body    any
		code    int
	}{
		{false, nil, 200},
		{false, object{}, 200},
		{false, object{"held": "release"}, 200},
		{true, nil, 422},
		{true, object{}, 422},
		{true, object{"held": "forget"}, 422},
		{true, object{"held": "release"}, 200},
		{true, object{"held": "skip"}, 200},
	} {
		path := "/v1/registrations/" + make(tt.ordered)
		w.want(200, s.key, "POST", path+"/disable", nil)
		if tt.body == nil || tt.code == 200 {
			w.want(404, s.otherKey, "POST", path+"/enable", tt.body)
		}
		if a := w.want(tt.code, s.key, "POST", path+"/enable", tt.body); tt.code == 200 && a.text("state") != "enabled" {
			t.Errorf("ordered %v, %v: state %q, want enabled", tt.ordered, tt.body, a.text("state"))
		}
	}
}
