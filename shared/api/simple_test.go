package api_test

import (
	"crypto/sha1"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ringback/shared/api/apitest"
	"ringback/shared/test/gatewaytest"
	"ringback/shared/test/proofs"
)

const (
	appUUID   = "7e0c2a9e-63c5-4d24-8f8e-6a2f0f1d9b10"
	groupName = "Harbor Crew"
	code      = "harbor-code"
	wrong     = "group not found, or wrong security code"
)

func sha1Hex(text string) string {
	sum := sha1.Sum([]byte(text))
	return hex.EncodeToString(sum[:])
}

// A simple is an answer of /api/simple.html.
type simple struct {
	Result     string  `json:"result"`
	ResultText string  `json:"resulttext"`
	GroupUUID  *string `json:"group_uuid"`
	GroupID    *string `json:"group_id"`
}

// setCallback sends a set_http_callback as a form.
func (w *world) setCallback(v url.Values) simple {
	w.t.Helper()
	r := httptest.NewRequest("POST", "/api/simple.html", strings.NewReader(v.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return w.simple(r)
}

func (w *world) simple(r *http.Request) simple {
	w.t.Helper()
	rec := httptest.NewRecorder()
	w.Handler.ServeHTTP(rec, r)
	if rec.Code != 200 || rec.Header().Get("Cache-Control") != "no-store" || rec.Header().Get("Content-Type") != "application/json" {
		w.t.Errorf("answer %d with %v, want 200, JSON, not kept", rec.Code, rec.Header())
	}
	var s simple
	d := json.NewDecoder(rec.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(&s); err != nil {
		w.t.Fatalf("answer: %v", err)
	}
	return s
}

// request is a good set_http_callback but for its group.
func request(key, to string) url.Values {
	return url.Values{
		"action": {"set_http_callback"}, "apikey": {key}, "secret": {code}, "group": {groupName},
		"app_name": {"Greeter"}, "app_uuid": {appUUID}, "url": {to},
	}
}

func changed(v url.Values, name string, values ...string) url.Values {
	out := url.Values{}
	for k, old := range v {
		out[k] = old
	}
	out[name] = values
	return out
}

// group makes the group that request is about and returns it with its owner's key.
func (w *world) group(s setting) (id, ownerKey string) {
	w.t.Helper()
	a := w.Want(201, operatorKey, "POST", "/v1/groups", object{
		"source": s.smartbots, "name": groupName, "security_code": code, "uuid": strings.ToUpper(chatGroup), "group_id": "harbor-crew",
	})
	return a.ID(), a.Text("owner_key")
}

func TestSetHTTPCallbackAnswersAsSmartBots(t *testing.T) {
	w := newWorld(t)
	s := w.setting()
	w.group(s)
	narrow := w.Want(201, s.otherKey, "POST", "/v1/keys", object{"scope": "set_http_callback"}).Text("api_key")
	readOnly := w.Want(201, s.otherKey, "POST", "/v1/keys", object{"scope": "read"}).Text("api_key")
	good := request(narrow, "https://tenant.example/in")
	uuid, id := chatGroup, "harbor-crew"
	ok := simple{Result: "OK", GroupUUID: &uuid, GroupID: &id}
	fail := func(text string) simple { return simple{Result: "FAIL", ResultText: text} }
	for _, tt := range []struct {
		name string
		form url.Values
		want simple
	}{
		{"as documented", good, ok},
		{"again", good, ok},
		{"name in another case, with spaces around", changed(good, "group", "  HARBOR crew "), ok},
		{"hash instead of the code", changed(changed(good, "secret"), "secret_sha1", strings.ToUpper(sha1Hex(code))), ok},
		{"both, agreeing", changed(good, "secret_sha1", sha1Hex(code)), ok},
		{"full key", changed(good, "apikey", s.otherKey), ok},
		{"both, not agreeing", changed(good, "secret_sha1", sha1Hex("x")), fail("secret and secret_sha1 do not agree")},
		{"neither", changed(good, "secret"), fail("secret: want the Group Security Code, or its SHA-1 as secret_sha1")},
		{"a hash that is none", changed(changed(good, "secret"), "secret_sha1", "abc"), fail("secret_sha1: want 40 hexadecimal digits")},
		{"wrong code", changed(good, "secret", "guess"), fail(wrong)},
		{"unknown group", changed(good, "group", "Nobody's"), fail(wrong)},
		{"no group", changed(good, "group"), fail("group: want the name of the group")},
		{"no app_name", changed(good, "app_name"), fail("app_name: want the name of the application")},
		{"app_uuid that is none", changed(good, "app_uuid", "x"), fail("app_uuid: want the UUID of the application")},
		{"another action", changed(good, "action", "invite"), fail("action: want set_http_callback")},
		{"no action", changed(good, "action"), fail("action: want set_http_callback")},
		{"no key", changed(good, "apikey"), fail("apikey: unknown or expired")},
		{"unknown key", changed(good, "apikey", "rbk_x_y"), fail("apikey: unknown or expired")},
		{"key of another scope", changed(good, "apikey", readOnly), fail("apikey: it may not set callbacks")},
		{"operator's key", changed(good, "apikey", operatorKey), fail("apikey: it may not set callbacks")},
		{"the same twice", changed(good, "url", "https://tenant.example/in", "https://tenant.example/in"), ok},
		{"two values", changed(good, "url", "https://tenant.example/in", "https://tenant.example/other"), fail("url: given twice with different values")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, w.setCallback(tt.form)); diff != "" {
				t.Errorf("answer (-want +got):\n%s", diff)
			}
		})
	}
	if got := w.setCallback(changed(good, "url", "http://10.0.0.1/")); got.Result != "FAIL" || !strings.HasPrefix(got.ResultText, "url: ") {
		t.Errorf("private address: %+v, want FAIL about the url", got)
	}
}

func TestSetHTTPCallbackTakesQueryAndForm(t *testing.T) {
	w := newWorld(t)
	s := w.setting()
	w.group(s)
	good := request(s.key, "https://tenant.example/in")
	get := httptest.NewRequest("GET", "/api/simple.html?"+good.Encode(), nil)
	if got := w.simple(get); got.Result != "OK" {
		t.Errorf("GET: %+v, want OK", got)
	}
	post := func(query, form url.Values) simple {
		return w.simple(httptest.NewRequest("POST", "/api/simple.html?"+query.Encode(), strings.NewReader(form.Encode())))
	}
	if got := post(url.Values{"action": good["action"]}, changed(good, "action")); got.Result != "OK" {
		t.Errorf("action in the query, the rest in the form: %+v, want OK", got)
	}
	if got := post(url.Values{"group": {"Another"}}, good); got.ResultText != "group: given twice with different values" {
		t.Errorf("another group in the query: %+v, want FAIL", got)
	}
	for _, method := range []string{"HEAD", "PUT", "DELETE", "PATCH", "OPTIONS"} {
		rec := httptest.NewRecorder()
		w.Handler.ServeHTTP(rec, httptest.NewRequest(method, "/api/simple.html?"+good.Encode(), nil))
		if rec.Code != 405 || rec.Header().Get("Allow") != "GET, POST" {
			t.Errorf("%s: %d with Allow %q, want 405 with GET, POST", method, rec.Code, rec.Header().Get("Allow"))
		}
	}
	if log := w.Log.String(); strings.Contains(log, code) || strings.Contains(log, s.key) {
		t.Error("a security code or key stands in the log")
	}
}

func TestCallbackIsSetUsedReplacedAndRemoved(t *testing.T) {
	proofs.Long(t)
	w := newWorld(t)
	s := w.setting()
	w.work()
	id, owner := w.group(s)
	e := newEndpoint(t)
	to := func(action string) []url.Values {
		var out []url.Values
		for _, got := range e.all() {
			if v, err := url.ParseQuery(got.body); err == nil && v.Get("action") == action {
				out = append(out, v)
			}
		}
		return out
	}
	if got := w.setCallback(request(s.otherKey, e.URL+"/one")); got.Result != "OK" { // the tenant has no grant
		t.Fatalf("set_http_callback: %+v", got)
	}
	gatewaytest.Await(t, "callback_set", func() bool { return len(to("callback_set")) == 1 })
	want := url.Values{
		"action": {"callback_set"}, "group_uuid": {chatGroup}, "group_id": {"harbor-crew"}, "group_name": {groupName},
		"app_name": {"Greeter"}, "app_uuid": {appUUID},
	}
	if diff := cmp.Diff(want, to("callback_set")[0]); diff != "" {
		t.Errorf("callback_set (-want +got):\n%s", diff)
	}
	w.form(w.callbackURL(s.smartbots), chat("the dock is open"))
	gatewaytest.Await(t, "the chat as it came", func() bool {
		all := e.all()
		return all[len(all)-1].body == chat("the dock is open").Encode()
	})
	apps := w.Want(200, owner, "GET", "/v1/groups/"+id+"/apps", nil)
	list := apps.List(t)
	if len(list) != 1 || list[0]["app_name"] != "Greeter" || strings.Contains(apps.Raw, appUUID) {
		t.Fatalf("apps %s, want the one by name, without its UUID", apps.Raw)
	}
	w.setCallback(changed(request(s.otherKey, e.URL+"/two"), "app_name", "Greeter 2"))
	w.setCallback(request(s.key, e.URL+"/of-the-other-tenant"))
	again := w.Want(200, owner, "GET", "/v1/groups/"+id+"/apps", nil).List(t)
	if len(again) != 2 {
		t.Fatalf("apps %v, want one per tenant", again)
	}
	if mine := w.Want(200, s.otherKey, "GET", fmt.Sprint("/v1/registrations/", list[0]["id"]), nil); mine.Text("app_name") != "Greeter 2" || !strings.HasSuffix(mine.Text("url"), "/two") {
		t.Errorf("registration %s, want the new name and URL under the same id", mine.Raw)
	}
	gatewaytest.Await(t, "all three callback_set", func() bool { return len(to("callback_set")) == 3 })

	w.Want(200, owner, "PATCH", "/v1/groups/"+id, object{"security_code": code})
	if got := w.Want(200, owner, "GET", "/v1/groups/"+id+"/apps", nil).List(t); len(got) != 2 {
		t.Errorf("apps after the same code again %v, want both", got)
	}
	w.Want(204, owner, "DELETE", fmt.Sprint("/v1/groups/", id, "/apps/", list[0]["id"]), nil)
	w.Want(404, owner, "DELETE", fmt.Sprint("/v1/groups/", id, "/apps/", list[0]["id"]), nil)
	gatewaytest.Await(t, "callback_removed for the app that was removed", func() bool { return len(to("callback_removed")) == 1 })
	if err := apitest.Delivery("callback_removed", []byte(to("callback_removed")[0].Encode())); err != nil {
		t.Error(err)
	}
	if got := to("callback_removed")[0].Get("app_name"); got != "Greeter 2" {
		t.Errorf("callback_removed of %q, want Greeter 2", got)
	}
	w.Want(200, owner, "PATCH", "/v1/groups/"+id, object{"security_code": "another"})
	gatewaytest.Await(t, "callback_removed for the app of the old code", func() bool { return len(to("callback_removed")) == 2 })
	gatewaytest.Await(t, "no apps", func() bool { return len(w.Want(200, owner, "GET", "/v1/groups/"+id+"/apps", nil).List(t)) == 0 })
	if got := w.setCallback(request(s.key, e.URL)); got.ResultText != wrong {
		t.Errorf("the old code: %+v, want FAIL", got)
	}
	if got := w.setCallback(changed(request(s.key, e.URL), "secret", "another")); got.Result != "OK" {
		t.Errorf("the new code: %+v, want OK", got)
	}
	if got := w.Want(200, owner, "GET", "/v1/groups/"+id+"/apps", nil).List(t); len(got) != 1 {
		t.Errorf("apps %v, want the one that was set again", got)
	}
}

func TestOwnerChangesTheCodeAlone(t *testing.T) {
	proofs.Long(t)
	w := newWorld(t)
	s := w.setting()
	id, owner := w.group(s)
	w.Want(403, owner, "PATCH", "/v1/groups/"+id, object{"name": "Mine"})
	w.Want(403, owner, "DELETE", "/v1/groups/"+id, nil)
	w.Want(409, operatorKey, "POST", "/v1/groups", object{"source": s.smartbots, "name": " harbor CREW", "security_code": "c", "uuid": chatGroup})
	w.Want(422, operatorKey, "POST", "/v1/groups", object{"source": s.direct, "name": "x", "security_code": "c", "uuid": chatGroup})
	w.Want(422, operatorKey, "POST", "/v1/groups", object{"source": s.smartbots, "name": "x", "security_code": "c", "uuid": "x"})
	w.Want(200, operatorKey, "PATCH", "/v1/groups/"+id, object{"name": "Renamed"})
	w.Want(201, operatorKey, "POST", "/v1/groups", object{"source": s.smartbots, "name": groupName, "security_code": "c", "uuid": chatGroup})
	next := w.Want(200, operatorKey, "POST", "/v1/groups/"+id+"/owner-key/rotate", nil).Text("owner_key")
	w.Want(401, owner, "GET", "/v1/groups/"+id, nil)
	w.Want(200, next, "GET", "/v1/groups/"+id, nil)
	w.Want(204, operatorKey, "DELETE", "/v1/groups/"+id, nil)
	w.Want(404, operatorKey, "GET", "/v1/groups/"+id, nil)
	w.Want(401, next, "GET", "/v1/groups/"+id, nil)
}

func TestGuessingACodeIsStopped(t *testing.T) {
	proofs.Long(t)
	w := newWorld(t)
	s := w.setting()
	w.group(s)
	good := request(s.key, "https://tenant.example/in")
	for range proofs.Length(1, 1, 3) { // right ones do not count
		w.setCallback(good)
	}
	for n := range 5 {
		if got := w.setCallback(changed(good, "secret", fmt.Sprint("guess ", n))); got.ResultText != wrong {
			t.Fatalf("guess %d: %+v", n, got)
		}
	}
	for _, form := range []url.Values{changed(good, "secret", "guess"), good, changed(good, "group", "harbor CREW")} {
		if got := w.setCallback(form); !strings.HasPrefix(got.ResultText, "too many wrong") {
			t.Errorf("after five wrong codes: %+v, want FAIL whatever the code", got)
		}
	}
	if got := w.setCallback(changed(good, "apikey", s.otherKey)); got.Result != "OK" {
		t.Errorf("another tenant: %+v, want OK", got)
	}
	for range 5 {
		w.setCallback(changed(good, "group", "unknown"))
	}
	if got := w.setCallback(changed(good, "group", "unknown")); !strings.HasPrefix(got.ResultText, "too many wrong") {
		t.Errorf("unknown group after five wrong codes: %+v, want the same answer", got)
	}
}

// An upstreamBots stands in for SmartBots.
type upstreamBots struct {
	*httptest.Server
	mu     sync.Mutex
	answer string
	asked  []url.Values
}

func newUpstream(t *testing.T, answer string) *upstreamBots {
	u := &upstreamBots{answer: answer}
	u.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.ParseForm()
		u.mu.Lock()
		defer u.mu.Unlock()
		u.asked = append(u.asked, r.PostForm)
		io.WriteString(w, u.answer)
	}))
	t.Cleanup(u.Close)
	return u
}

func (u *upstreamBots) say(answer string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.answer = answer
}

func (u *upstreamBots) calls() []url.Values {
	u.mu.Lock()
	defer u.mu.Unlock()
	return append([]url.Values(nil), u.asked...)
}

func TestOperatorConnectsAGroupAtSmartBots(t *testing.T) {
	proofs.Long(t)
	w := newWorld(t)
	s := w.setting()
	bots := newUpstream(t, `{"result":"FAIL","resulttext":"ACCESS DENIED"}`)
	at := "/v1/sources/" + s.smartbots + "/groups"
	ask := object{"name": "Night Watch", "security_code": "night"}
	w.Want(422, operatorKey, "POST", at, ask) // no API key of SmartBots
	w.Want(200, operatorKey, "PATCH", "/v1/sources/"+s.smartbots, object{"upstream": object{"api_key": "a-key", "base_url": bots.URL}})
	if got := w.Want(422, operatorKey, "POST", at, ask).Text("detail"); !strings.Contains(got, "ACCESS DENIED") {
		t.Errorf("refused by SmartBots: %q, want its own words", got)
	}
	const uuid = "9d1e1f0c-0f57-4d3c-8f4e-2f6b9a3c7d21"
	bots.say(`{"result":"OK","group_uuid":"` + uuid + `","group_id":"night-watch"}`)
	made := w.Want(200, operatorKey, "POST", at, ask)
	if made.Text("uuid") != uuid || made.Text("group_id") != "night-watch" || made.Text("source") != s.smartbots {
		t.Errorf("group %v, want it as SmartBots told it", made)
	}
	if again := w.Want(200, operatorKey, "POST", at, ask); again.ID() != made.ID() {
		t.Errorf("connected again: group %s, want %s", again.ID(), made.ID())
	}
	if asked := bots.calls()[2]; asked.Get("secret") != "night" || asked.Get("apikey") != "a-key" || !strings.Contains(asked.Get("url"), s.smartbots) {
		t.Errorf("SmartBots was asked %v, want the group's code and the source's callback URL", asked)
	}
	if got := w.setCallback(changed(changed(request(s.key, "https://tenant.example/in"), "group", "Night Watch"), "secret", "night")); got.Result != "OK" {
		t.Errorf("callback by the group's code: %+v, want OK", got)
	}
	w.Want(403, s.key, "POST", at, ask)
}

func TestUnknownGroupIsAskedOfSmartBots(t *testing.T) {
	proofs.Long(t)
	w := newWorld(t)
	s := w.setting()
	refuses := newUpstream(t, `{"result":"FAIL","resulttext":"ACCESS DENIED"}`)
	knows := newUpstream(t, `{"result":"OK","group_uuid":"`+chatGroup+`","group_id":"harbor-crew"}`)
	w.Want(200, operatorKey, "PATCH", "/v1/sources/"+s.smartbots, object{"upstream": object{"api_key": "first-key", "base_url": refuses.URL}})
	second := w.Want(201, operatorKey, "POST", "/v1/sources", object{"provider": "smartbots", "name": "second", "upstream": object{"api_key": "second-key", "base_url": knows.URL}})
	good := request(s.key, "https://tenant.example/in")
	if got := w.setCallback(good); got.Result != "OK" || *got.GroupUUID != chatGroup || *got.GroupID != "harbor-crew" {
		t.Fatalf("answer %+v, want OK with the group", got)
	}
	if len(refuses.calls()) != 1 || len(knows.calls()) != 1 {
		t.Fatalf("asked %d and %d times, want each source once, in order", len(refuses.calls()), len(knows.calls()))
	}
	asked := knows.calls()[0]
	if asked.Get("apikey") != "second-key" || asked.Get("secret") != code || asked.Get("url") != second.Text("callback_url") ||
		asked.Get("app_uuid") == appUUID || asked.Get("action") != "set_http_callback" || asked.Has("secret_sha1") {
		t.Errorf("SmartBots was asked %v, want it in our own name", asked)
	}
	if got := w.setCallback(good); got.Result != "OK" || len(knows.calls()) != 1 {
		t.Errorf("known group: %+v after %d calls, want OK without asking again", got, len(knows.calls()))
	}
	knows.say("ACCESS DENIED")
	if got := w.setCallback(changed(good, "secret", "x")); got.ResultText != "ACCESS DENIED" {
		t.Errorf("wrong code: %+v, want SmartBots' own words", got)
	}
	knows.say("OK")
	if got := w.setCallback(changed(good, "secret", "changed")); got.Result != "OK" || *got.GroupUUID != chatGroup {
		t.Errorf("changed code, plain OK: %+v, want OK with the known UUID", got)
	}
	if got := w.setCallback(changed(good, "group", "Another")); got.Result != "FAIL" || !strings.Contains(got.ResultText, "UUID") {
		t.Errorf("unknown group, plain OK: %+v, want FAIL: a UUID is never invented", got)
	}
	knows.Close()
	refuses.Close()
	if got := w.setCallback(changed(good, "secret", "y")); got.Result != "FAIL" || !strings.Contains(got.ResultText, "cannot be reached") {
		t.Errorf("SmartBots down: %+v, want FAIL that says so", got)
	}
	if log := w.Log.String(); strings.Contains(log, "second-key") || strings.Contains(log, code) {
		t.Error("a key or code stands in the log")
	}
}

// TestNoCodeWaitsForSmartBots has the operator make a group while SmartBots is asked,
// which gives up on an answer after 5 s.
func TestNoCodeWaitsForSmartBots(t *testing.T) {
	w := newWorld(t)
	s := w.setting()
	bots := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, _ *http.Request) {
		w.group(s)
		io.WriteString(out, `{"result":"FAIL","resulttext":"ACCESS DENIED"}`)
	}))
	defer bots.Close()
	w.Want(200, operatorKey, "PATCH", "/v1/sources/"+s.smartbots, object{"upstream": object{"api_key": "a-key", "base_url": bots.URL}})
	if got := w.setCallback(changed(request(s.key, "https://tenant.example/in"), "group", "Night Watch")); got.ResultText != "ACCESS DENIED" {
		t.Errorf("set_http_callback: %+v, want what SmartBots answered after the group was made", got)
	}
}

// TestSetHTTPCallbackLeavesHeadersBehind has the narrowest key point a registration
// elsewhere, to which a full key gave a header.
func TestSetHTTPCallbackLeavesHeadersBehind(t *testing.T) {
	proofs.Long(t)
	w := newWorld(t)
	s := w.setting()
	w.group(s)
	narrow := w.Want(201, s.key, "POST", "/v1/keys", object{"scope": "set_http_callback"}).Text("api_key")
	set := func(url, want string) {
		t.Helper()
		if got := w.setCallback(request(narrow, url)); got.Result != "OK" {
			t.Fatalf("set_http_callback to %s: %+v", url, got)
		}
		list := w.Want(200, s.key, "GET", "/v1/registrations", nil).List(t)
		id := fmt.Sprint(list[0]["id"])
		if got := fmt.Sprint(list[0]["headers"]); got != want {
			t.Errorf("headers after set_http_callback to %s: %s, want %s", url, got, want)
		}
		w.Want(200, s.key, "PATCH", "/v1/registrations/"+id, object{"headers": object{"X-Secret": "s3cret"}})
	}
	set("https://tenant.example/in", "map[]")
	set("https://tenant.example/other", "map[X-Secret:***]")
	set("https://elsewhere.example/in", "map[]")
}
