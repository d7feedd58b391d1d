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
	"ringback/shared/test/gatewaytest"
	"ringback/shared/test/proofs"
)

func TestRegistrationIsRefused(t *testing.T) {
	w := newWorld(t)
	s := w.setting()
	good := object{"source": s.tencent, "url": "https://tenant.example/in", "event_types": []string{"Bot.*"}}
	w.Want(201, s.key, "POST", "/v1/registrations", good)
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
		{"source that is not granted", good.With("source", "src-00000000"), 404},
		{"no source", good.Without("source"), 422},
		{"no url", good.Without("url"), 422},
		{"url of another scheme", good.With("url", "ftp://tenant.example/"), 422},
		{"url of our own", good.With("url", "https://ringback.example/x"), 422},
		{"private address", good.With("url", "http://10.0.0.1/"), 422},
		{"metadata address", good.With("url", "http://169.254.169.254/latest"), 422},
		{"url with a space", good.With("url", "http://tenant.example/a b"), 422},
		{"hidden login with nothing to keep", good.With("url", "https://***@tenant.example/"), 422},
		{"no event types at tencent-chat", good.Without("event_types"), 422},
		{"empty event types", good.With("event_types", []string{}), 422},
		{"star inside an event type", good.With("event_types", []string{"Bot.*.x"}), 422},
		{"unknown routing key", good.With("match", object{"channel": []string{"x"}}), 422},
		{"empty match", good.With("match", object{}), 422},
		{"null match", good.With("match", nil), 422},
		{"empty list in match", good.With("match", object{"bot": []string{}}), 422},
		{"empty value in match", good.With("match", object{"bot": []string{""}}), 422},
		{"too many entries", good.With("match", object{"group": values}), 422},
		{"unknown format", good.With("format", "xml"), 422},
		{"unknown schedule", good.With("schedule", "hourly"), 422},
		{"wait too short", good.With("schedule", []string{"1s"}), 422},
		{"schedule of a wrong type", good.With("schedule", 5), 422},
		{"timeout too long", good.With("timeout", "16s"), 422},
		{"timeout of nothing", good.With("timeout", "0s"), 422},
		{"timeout without a unit", good.With("timeout", "10"), 422},
		{"reserved header", good.With("headers", object{"Webhook-Id": "x"}), 422},
		{"header of the connection", good.With("headers", object{"Host": "x"}), 422},
		{"header with a line break", good.With("headers", object{"X-A": "a\r\nX-B: c"}), 422},
		{"header name with a space", good.With("headers", object{"X A": "a"}), 422},
		{"header value too long", good.With("headers", object{"X-A": long}), 422},
		{"too many headers", good.With("headers", many), 422},
		{"same header twice", good.With("headers", object{"X-A": "1", "x-a": "2"}), 422},
		{"hidden header with nothing to keep", good.With("headers", object{"X-A": "***"}), 422},
		{"Authorization and a login", good.With("headers", object{"Authorization": "x"}).With("url", "https://a:b@tenant.example/"), 422},
		{"raw token in standard format", good.With("raw_token", "t"), 422},
		{"raw token of another provider", object{"source": s.direct, "url": "https://tenant.example/", "format": "raw", "raw_token": "t"}, 422},
		{"negative rate", good.With("rate", -1), 422},
		{"more concurrency than the tenant has", good.With("concurrency", 51), 422},
		{"unknown field", good.With("secret", "x"), 422},
		{"not an object", `[]`, 422},
		{"not JSON", `{"source":`, 400},
		{"nothing", "", 400},
		{"more than a mebibyte", `{"source":"` + strings.Repeat("x", 1<<20) + `"}`, 413},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if a := w.Call(s.key, "POST", "/v1/registrations", tt.body); a.Code != tt.code {
				t.Errorf("answer %d %s, want %d", a.Code, a.Raw, tt.code)
			}
		})
	}
	if got := w.Want(200, s.key, "GET", "/v1/registrations", nil).List(t); len(got) != 1 {
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
		a := w.Want(201, s.key, "POST", "/v1/registrations", object{"source": tt.source, "url": "https://tenant.example/"})
		if !strings.Contains(a.Raw, tt.want) {
			t.Errorf("registration %s, want %s", a.Raw, tt.want)
		}
	}
}

func TestRawRegistrationOfDecisionsIsWarned(t *testing.T) {
	w := newWorld(t)
	s := w.setting()
	body := object{"source": s.tencent, "url": "https://tenant.example/", "format": "raw", "event_types": []string{"Group.*"}}
	if a := w.Want(201, s.key, "POST", "/v1/registrations", body); a.Object["warnings"] == nil {
		t.Errorf("answer %s, want a warning that decisions do not go back", a.Raw)
	}
	body["event_types"] = []string{"Bot.OnGroupMessage"}
	if a := w.Want(201, s.key, "POST", "/v1/registrations", body); a.Object["warnings"] != nil {
		t.Errorf("answer %s, want no warning", a.Raw)
	}
}

func TestSecretsOfAnEndpointStayWhenSentBackHidden(t *testing.T) {
	w := newWorld(t)
	s := w.setting()
	w.work()
	e := newEndpoint(t)
	with := strings.Replace(e.URL, "http://", "http://login:password@", 1)
	r := w.Want(201, s.key, "POST", "/v1/registrations", object{"source": s.smartbots, "url": with + "/a?b=c", "headers": object{"x-token": "header-secret"}})
	if strings.Contains(r.Raw, "password") || strings.Contains(r.Raw, "header-secret") {
		t.Errorf("answer %s, want no secret of the endpoint", r.Raw)
	}
	back := r.Object["url"].(string)
	if !strings.Contains(back, "***@") || r.Object["headers"].(map[string]any)["X-Token"] != "***" {
		t.Fatalf("answer %s, want url and header with ***", r.Raw)
	}
	changed := w.Want(200, s.key, "PATCH", "/v1/registrations/"+r.ID(), object{"url": back, "headers": object{"X-Token": "***"}, "description": "again"})
	if changed.Text("description") != "again" {
		t.Errorf("answer %s, want the new description", changed.Raw)
	}
	w.Want(202, s.key, "POST", "/v1/registrations/"+r.ID()+"/test", nil)
	gatewaytest.Await(t, "the test event", func() bool { return len(e.all()) == 1 })
	h := e.all()[0].header
	if h.Get("X-Token") != "header-secret" || h.Get("Authorization") != "Basic bG9naW46cGFzc3dvcmQ=" {
		t.Errorf("delivered with X-Token %q and Authorization %q, want what was set at first", h.Get("X-Token"), h.Get("Authorization"))
	}
	w.Want(422, s.key, "PATCH", "/v1/registrations/"+r.ID(), object{"url": "https://***@elsewhere.example/"})
}

func TestRegistrationIsChangedAtItsRevisionAlone(t *testing.T) {
	w := newWorld(t)
	s := w.setting()
	r := w.Want(201, s.key, "POST", "/v1/registrations", object{"source": s.direct, "url": "https://tenant.example/"})
	path := "/v1/registrations/" + r.ID()
	etag := w.Want(200, s.key, "GET", path, nil).Header.Get("ETag")
	w.Want(200, s.key, "PATCH", path, object{"description": "one"}, "If-Match", etag)
	w.Want(409, s.key, "PATCH", path, object{"description": "two"}, "If-Match", etag)
	w.Want(422, s.key, "PATCH", path, object{"description": "two"}, "If-Match", `"x"`)
	if got := w.Want(200, s.key, "GET", path, nil).Text("description"); got != "one" {
		t.Errorf("description %q, want one", got)
	}
}

func TestMatchIsWidenedByNull(t *testing.T) {
	w := newWorld(t)
	s := w.setting()
	r := w.Want(201, s.key, "POST", "/v1/registrations", object{"source": s.direct, "url": "https://tenant.example/", "match": object{"status": []string{"delivered"}}})
	path := "/v1/registrations/" + r.ID()
	if a := w.Want(200, s.key, "PATCH", path, object{"rate": 5}); a.Object["match"] == nil {
		t.Errorf("answer %s, want the match as it was", a.Raw)
	}
	if a := w.Want(200, s.key, "PATCH", path, `{"match":null}`); a.Object["match"] != nil {
		t.Errorf("answer %s, want no match", a.Raw)
	}
	w.Want(422, s.key, "PATCH", path, `{"match":{}}`)
}

func TestEnableAndDisableMayBeRepeated(t *testing.T) {
	w := newWorld(t)
	s := w.setting()
	r := w.Want(201, s.key, "POST", "/v1/registrations", object{"source": s.direct, "url": "https://tenant.example/"})
	path := "/v1/registrations/" + r.ID()
	for _, tt := range []struct {
		call, state string
		rev         float64
	}{
		{"/disable", "disabled", 2}, {"/disable", "disabled", 2}, {"/enable", "enabled", 3}, {"/enable", "enabled", 3},
	} {
		a := w.Want(200, s.key, "POST", path+tt.call, nil)
		if a.Text("state") != tt.state || a.Object["rev"] != tt.rev {
			t.Errorf("%s: %s at revision %v, want %s at %v", tt.call, a.Text("state"), a.Object["rev"], tt.state, tt.rev)
		}
	}
	w.Want(200, s.key, "POST", path+"/disable", nil)
	w.Want(409, s.key, "POST", path+"/test", nil)
}

func TestDeletedRegistrationIsGone(t *testing.T) {
	w := newWorld(t)
	s := w.setting()
	r := w.Want(201, s.key, "POST", "/v1/registrations", object{"source": s.direct, "url": "https://tenant.example/"})
	path := "/v1/registrations/" + r.ID()
	w.Want(204, s.key, "DELETE", path, nil)
	w.Want(404, s.key, "DELETE", path, nil)
	w.Want(404, s.key, "PATCH", path, object{"description": "x"})
	w.Want(404, s.key, "POST", path+"/enable", nil)
	if a := w.Want(200, s.key, "GET", path, nil); a.Text("state") != "removed" {
		t.Errorf("answer %s, want the tombstone", a.Raw)
	}
	if got := w.Want(200, s.key, "GET", "/v1/registrations", nil).List(t); len(got) != 0 {
		t.Errorf("registrations %v, want none", got)
	}
	w.Want(204, operatorKey, "DELETE", "/v1/sources/"+s.direct, nil)
}

func TestRegistrationsPerSourceAreLimited(t *testing.T) {
	w := newWorld(t)
	s := w.setting()
	w.Want(200, operatorKey, "PATCH", "/v1/tenants/"+s.tenant, object{"limits": object{"registrations_per_source": 2, "api_calls_per_second": 1000}})
	body := object{"source": s.direct, "url": "https://tenant.example/"}
	first := w.Want(201, s.key, "POST", "/v1/registrations", body)
	w.Want(201, s.key, "POST", "/v1/registrations", body)
	w.Want(409, s.key, "POST", "/v1/registrations", body)
	w.Want(201, s.key, "POST", "/v1/registrations", body.With("source", s.smartbots))
	w.Want(204, s.key, "DELETE", "/v1/registrations/"+first.ID(), nil)
	w.Want(201, s.key, "POST", "/v1/registrations", body)
}

// TestTenantThatMakesRegistrationsTooFastWaits has a tenant make the last of a
// hundred at once.
func TestTenantThatMakesRegistrationsTooFastWaits(t *testing.T) {
	proofs.Long(t)
	w := newWorld(t)
	s := w.setting()
	c := control.Caller{Scope: control.ScopeFull, Tenant: s.tenant}
	for range 99 {
		if err := control.New(w.g).TakeCreateToken(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	body := object{"source": s.direct, "url": "https://tenant.example/"}
	w.Want(422, s.key, "POST", "/v1/registrations", body.With("url", "no url")) // costs nothing
	made := w.Want(201, s.key, "POST", "/v1/registrations", body, "Idempotency-Key", "last")
	a := w.Want(429, s.key, "POST", "/v1/registrations", body)
	if a.Text("code") != "too_many_registrations" || !slices.Contains([]string{"1", "2"}, a.Header.Get("Retry-After")) ||
		a.Text("detail") != "registrations: limit reached: want at most 100 at once, and then one in 2s" {
		t.Errorf("answer %s with Retry-After %q, want the code, and to wait for 2 s at most", a.Raw, a.Header.Get("Retry-After"))
	}
	if again := w.Want(201, s.key, "POST", "/v1/registrations", body, "Idempotency-Key", "last"); again.ID() != made.ID() {
		t.Errorf("the same request again made %s, want %s", again.ID(), made.ID())
	}
	w.Want(429, s.key, "POST", "/v1/registrations", body, "Idempotency-Key", "next")
	w.Want(200, s.key, "PATCH", "/v1/registrations/"+made.ID(), object{"description": "x"})

	w.group(s)
	if got := w.setCallback(request(s.key, "https://tenant.example/in")); got.Result != "FAIL" || !strings.HasPrefix(got.ResultText, "too many new callbacks; try again in ") {
		t.Errorf("set_http_callback: %+v, want FAIL and when to try again", got)
	}
	if err := storage.Delete(t.Context(), w.g.Store, gateway.CreateRateKey(s.tenant), storage.AnyRev); err != nil { // as it ends by itself
		t.Fatal(err)
	}
	w.Want(201, s.key, "POST", "/v1/registrations", body, "Idempotency-Key", "next")
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
	r := w.Want(201, s.key, "POST", "/v1/registrations", object{"source": s.tencent, "url": "https://tenant.example/", "event_types": []string{"*"}})
	w.Want(409, operatorKey, "DELETE", "/v1/sources/"+s.tencent, nil)
	w.Want(204, operatorKey, "DELETE", "/v1/sources/"+s.tencent+"?force=true", nil)
	w.Want(404, operatorKey, "GET", "/v1/sources/"+s.tencent, nil)
	if got := w.Want(200, s.key, "GET", "/v1/registrations/"+r.ID(), nil).Text("state"); got != "removed" {
		t.Errorf("registration of the source is %q, want removed", got)
	}
	if got := w.Want(200, s.key, "GET", "/v1/sources", nil).List(t); len(got) != 2 {
		t.Errorf("tenant sees %d sources, want the 2 that are left", len(got))
	}
	w.Want(201, operatorKey, "POST", "/v1/sources", object{"provider": "tencent-chat", "name": "again", "sdk_app_id": 1400000001, "token": "t"})
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
			if a := w.Call(operatorKey, "POST", "/v1/sources", tt.body); a.Code != tt.code {
				t.Errorf("answer %d %s, want %d", a.Code, a.Raw, tt.code)
			}
		})
	}
}

// TestSourceTakesAnAddressAlone tries the form in which Direct's page names the
// address that it calls from.
func TestSourceTakesAnAddressAlone(t *testing.T) {
	w := newWorld(t)
	made := w.Want(201, operatorKey, "POST", "/v1/sources", object{
		"provider": "direct", "name": "x", "allow": []string{"185.203.96.7", "::ffff:192.0.2.1", "2001:db8::/32"},
	})
	if got, want := fmt.Sprint(made.Object["allow"]), "[185.203.96.7/32 192.0.2.1/32 2001:db8::/32]"; got != want {
		t.Errorf("allow is %s, want %s", got, want)
	}
}

func TestUnfinishedOfARemovedRegistrationIsShownCancelled(t *testing.T) {
	w := newWorld(t)
	s := w.setting()
	w.work()
	e := newEndpoint(t)
	e.answer(500)
	r := w.Want(201, s.key, "POST", "/v1/registrations", object{"source": s.smartbots, "url": e.URL, "schedule": []string{"24h"}})
	w.form(w.callbackURL(s.smartbots), chat("pending"))
	list := "/v1/deliveries?registration=" + r.ID()
	gatewaytest.Await(t, "the pending delivery", func() bool {
		return len(w.Want(200, s.key, "GET", list+"&status=pending", nil).List(t)) == 1
	})
	w.Want(204, s.key, "DELETE", "/v1/registrations/"+r.ID(), nil)
	if got := w.Want(200, s.key, "GET", list+"&status=cancelled", nil).List(t); len(got) != 1 || got[0]["next_attempt"] != nil {
		t.Errorf("cancelled deliveries %v, want the one, without an attempt to come", got)
	}
	if got := w.Want(200, s.key, "GET", list+"&status=pending", nil).List(t); len(got) != 0 {
		t.Errorf("pending deliveries %v, want none", got)
	}
}

// TestParkedDeliverySaysWhatItWaitsFor has the circuit of an endpoint be open.
func TestParkedDeliverySaysWhatItWaitsFor(t *testing.T) {
	w := newWorld(t)
	s := w.setting()
	w.work()
	r := w.Want(201, s.key, "POST", "/v1/registrations", object{"source": s.smartbots, "url": newEndpoint(t).URL})
	open := circuit.Health{Open: true, Since: time.Now(), Interval: time.Hour, ProbeAt: time.Now().Add(time.Hour)}
	if err := storage.PutRow(t.Context(), w.g.Store, storage.Row{Key: gateway.HealthKey(r.ID())}, open, ""); err != nil {
		t.Fatal(err)
	}
	w.form(w.callbackURL(s.smartbots), chat("parked"))
	gatewaytest.Await(t, "a delivery that says so", func() bool {
		got := w.Want(200, s.key, "GET", "/v1/deliveries?status=pending&registration="+r.ID(), nil).List(t)
		return len(got) == 1 && got[0]["why"] == "circuit" && got[0]["next_attempt"] == nil
	})
}

func TestPendingOfADisabledRegistrationIsShownHeld(t *testing.T) {
	w := newWorld(t)
	s := w.setting()
	w.work()
	e := newEndpoint(t)
	e.answer(500)
	r := w.Want(201, s.key, "POST", "/v1/registrations", object{"source": s.smartbots, "url": e.URL, "schedule": []string{"24h"}})
	w.form(w.callbackURL(s.smartbots), chat("held"))
	gatewaytest.Await(t, "the pending delivery", func() bool {
		return len(w.Want(200, s.key, "GET", "/v1/deliveries?status=pending", nil).List(t)) == 1
	})
	w.Want(200, s.key, "POST", "/v1/registrations/"+r.ID()+"/disable", nil)
	if got := w.Want(200, s.key, "GET", "/v1/deliveries?status=held", nil).List(t); len(got) != 1 {
		t.Errorf("held deliveries %v, want the one", got)
	}
	if got := w.Want(200, s.key, "GET", "/v1/deliveries?status=pending", nil).List(t); len(got) != 0 {
		t.Errorf("pending deliveries %v, want none", got)
	}
}

func TestEnablingAnOrderedRegistrationSaysWhatBecomesOfTheHeld(t *testing.T) {
	w := newWorld(t)
	s := w.setting()
	make := func(ordered bool) string {
		return w.Want(201, s.key, "POST", "/v1/registrations", object{"source": s.smartbots, "url": "https://tenant.example/", "ordered": ordered}).ID()
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
		w.Want(200, s.key, "POST", path+"/disable", nil)
		if tt.body == nil || tt.code == 200 {
			w.Want(404, s.otherKey, "POST", path+"/enable", tt.body)
		}
		if a := w.Want(tt.code, s.key, "POST", path+"/enable", tt.body); tt.code == 200 && a.Text("state") != "enabled" {
			t.Errorf("ordered %v, %v: state %q, want enabled", tt.ordered, tt.body, a.Text("state"))
		}
	}
}
