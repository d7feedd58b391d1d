package api_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ringback/shared/api"
	"ringback/shared/api/apitest"
	"ringback/shared/test/gatewaytest"
)

func TestEveryOperationHasScopes(t *testing.T) {
	doc, err := apitest.Document()
	if err != nil {
		t.Fatal(err)
	}
	var described []string
	for _, item := range doc.Paths.Map() {
		for _, op := range item.Operations() {
			if op.Security != nil && len(*op.Security) == 0 { // open, or with a key in the form
				continue
			}
			described = append(described, op.OperationID)
		}
	}
	slices.Sort(described)
	if diff := cmp.Diff(api.Operations(), described); diff != "" {
		t.Errorf("operations in the table of scopes (-) and in the document (+):\n%s", diff)
	}
}

func TestCallWithoutAGoodKeyIsRefused(t *testing.T) {
	w := newWorld(t)
	s := w.setting()
	end := "0"
	if strings.HasSuffix(s.key, end) {
		end = "1"
	}
	for _, tt := range []struct{ name, key string }{
		{"no key", ""},
		{"no such key", "rbk_06h055n6nfk8ihladhl6qeuo0c_abcdefghijklmnopqrstuv0123456789"},
		{"key with another end", s.key[:len(s.key)-1] + end},
		{"operator key cut short", operatorKey[:len(operatorKey)-1]},
		{"a very long key", "rbk_" + strings.Repeat("x", 10_000)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := w.Want(401, tt.key, "GET", "/v1/me", nil)
			if got := a.Header.Get("WWW-Authenticate"); got != "Bearer" {
				t.Errorf("WWW-Authenticate %q, want Bearer", got)
			}
		})
	}
	if strings.Contains(w.Log.String(), s.key[:len(s.key)-1]) {
		t.Error("a key stands in the log")
	}
}

func TestDisabledTenantIsRefused(t *testing.T) {
	w := newWorld(t)
	s := w.setting()
	w.Want(200, s.key, "GET", "/v1/me", nil)
	w.Want(200, operatorKey, "POST", "/v1/tenants/"+s.tenant+"/disable", nil)
	w.Want(401, s.key, "GET", "/v1/me", nil)
	w.Want(200, operatorKey, "POST", "/v1/tenants/"+s.tenant+"/enable", nil)
	w.Want(200, s.key, "GET", "/v1/me", nil)
}

func TestDeletedAndExpiredKeysAreRefused(t *testing.T) {
	w := newWorld(t)
	s := w.setting()
	gone := w.Want(201, s.key, "POST", "/v1/keys", object{"scope": "read"})
	w.Want(200, gone.Text("api_key"), "GET", "/v1/me", nil)
	w.Want(204, s.key, "DELETE", "/v1/keys/"+gone.ID(), nil)
	w.Want(401, gone.Text("api_key"), "GET", "/v1/me", nil)

	short := w.keyForAMoment(s.key)
	gatewaytest.Await(t, "the key to expire", func() bool { return w.Call(short.Text("api_key"), "GET", "/v1/me", nil).Code == 401 })
	w.Want(422, s.key, "POST", "/v1/keys", object{"scope": "read", "expires": "2020-01-01T00:00:00Z"})
}

// keyForAMoment makes a key that expires as soon as may be: the longer it takes
// to make one, the later.
func (w *world) keyForAMoment(key string) gatewaytest.Reply {
	w.t.Helper()
	for life := 50 * time.Millisecond; ; life *= 4 {
		soon := time.Now().Add(life).UTC().Format(time.RFC3339Nano)
		if short := w.Call(key, "POST", "/v1/keys", object{"scope": "read", "expires": soon}); short.Code == 201 || life > time.Minute {
			return short
		}
	}
}

func TestTenantMakesNoKeyBeyondItself(t *testing.T) {
	w := newWorld(t)
	s := w.setting()
	w.Want(403, s.key, "POST", "/v1/keys", object{"scope": "operator"})
	w.Want(403, s.key, "POST", "/v1/keys", object{"scope": "group-owner"})
	w.Want(422, s.key, "POST", "/v1/keys", object{"scope": "everything"})
	w.Want(404, s.key, "POST", "/v1/keys", object{"scope": "full", "tenant": s.other})
	w.Want(404, s.key, "GET", "/v1/keys?tenant="+s.other, nil)
	w.Want(422, operatorKey, "POST", "/v1/keys", object{"scope": "full"})
	other := w.Want(201, operatorKey, "POST", "/v1/keys", object{"scope": "operator", "name": "deputy"})
	w.Want(200, other.Text("api_key"), "GET", "/v1/tenants", nil)
	if got := w.Want(200, operatorKey, "GET", "/v1/keys", nil).List(t); len(got) != 1 || got[0]["id"] != other.ID() {
		t.Errorf("operator's keys %v, want the one", got)
	}
}

func TestTenantThatCallsTooOftenWaits(t *testing.T) {
	w := newWorld(t)
	a := w.Want(201, operatorKey, "POST", "/v1/tenants", object{"name": "busy", "limits": object{"api_calls_per_second": 3}})
	refused := 0
	for range 10 {
		got := w.Call(a.Text("api_key"), "GET", "/v1/me", nil)
		if got.Code == 429 {
			refused++
			if got.Header.Get("Retry-After") != "1" {
				t.Errorf("Retry-After %q, want 1", got.Header.Get("Retry-After"))
			}
		}
	}
	if refused < 5 {
		t.Errorf("%d of 10 calls at once refused, want all but about 3", refused)
	}
}

// An attempt at another's thing: what stands in the path is filled in from
// what the first tenant has.
func TestNobodyReachesWhatIsNotTheirs(t *testing.T) { onBoth(t, nobodyReaches) }

func nobodyReaches(t *testing.T, w *world) {
	s := w.setting()
	w.work()
	e := newEndpoint(t)
	r := w.Want(201, s.key, "POST", "/v1/registrations", object{"source": s.smartbots, "url": e.URL, "description": "MARK"})
	w.form(w.callbackURL(s.smartbots), chat("MARK"))
	var d object
	gatewaytest.Await(t, "the delivery", func() bool {
		list := w.Want(200, s.key, "GET", "/v1/deliveries?status=succeeded", nil).List(t)
		if len(list) == 1 {
			d = list[0]
		}
		return len(list) == 1
	})
	job := w.Want(202, s.key, "POST", "/v1/registrations/"+r.ID()+"/recover", object{"since": "2026-01-01T00:00:00Z"})
	group := w.Want(201, operatorKey, "POST", "/v1/groups", object{"source": s.smartbots, "name": "MARK", "security_code": "MARK-code", "uuid": chatGroup, "group_id": "MARK"})
	second := w.Want(201, operatorKey, "POST", "/v1/groups", object{"source": s.smartbots, "name": "another", "security_code": "c", "uuid": chatGroup, "group_id": "g"})
	apiKey := w.Want(201, s.key, "POST", "/v1/keys", object{"scope": "read", "name": "MARK"})
	callbackKey := w.Want(201, operatorKey, "POST", "/v1/sources/"+s.direct+"/keys", object{"label": "MARK"})
	grants := w.Want(200, operatorKey, "GET", "/v1/sources/"+s.direct+"/grants", nil).List(t)

	narrow := func(scope string) string {
		return w.Want(201, s.otherKey, "POST", "/v1/keys", object{"scope": scope}).Text("api_key")
	}
	strangers := map[string]string{
		"full key of another tenant": s.otherKey, "read key of another tenant": narrow("read"),
		"set_http_callback key of another tenant": narrow("set_http_callback"), "owner of another group": second.Text("owner_key"),
		"nobody": "",
	}
	ids := map[string]string{
		"sources": s.direct, "tenants": s.tenant, "keys": apiKey.ID(), "groups": group.ID(), "registrations": r.ID(),
		"events": fmt.Sprint(d["event"]), "deliveries": fmt.Sprint(d["id"]), "jobs": job.ID(), "dead-letters": "events",
		"{key}": callbackKey.ID(), "{grant}": fmt.Sprint(grants[0]["id"]), "{app}": r.ID(),
	}
	doc, err := apitest.Document()
	if err != nil {
		t.Fatal(err)
	}
	before := w.picture(s)
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			if !strings.HasPrefix(path, "/v1/") {
				continue
			}
			resource, _, _ := strings.Cut(strings.TrimPrefix(path, "/v1/"), "/")
			at := strings.NewReplacer("{id}", ids[resource], "{queue}", "events", "{key}", ids["{key}"], "{grant}", ids["{grant}"], "{app}", ids["{app}"]).Replace(path)
			for who, key := range strangers {
				a := w.Call(key, method, at, anyBody(op.OperationID, s, r.ID()))
				w.wantLogged(a, op.OperationID, key)
				switch {
				case strings.Contains(a.Raw, "MARK") || strings.Contains(a.Raw, s.key):
					t.Errorf("%s, %s: %s %s answers %d with another's: %s", who, op.OperationID, method, at, a.Code, a.Raw)
				case a.Code < 300 && strings.Contains(path, "{"):
					t.Errorf("%s, %s: %s %s answers %d %s", who, op.OperationID, method, at, a.Code, a.Raw)
				case key == "" && a.Code != 401:
					t.Errorf("nobody, %s: %d, want 401", op.OperationID, a.Code)
				}
			}
		}
	}
	if diff := cmp.Diff(before, w.picture(s)); diff != "" {
		t.Errorf("what the first tenant has was changed:\n%s", diff)
	}
}

// wantLogged fails the test if a was refused and the last line of the log does
// not tell the operation, the status, and whose key was used.
func (w *world) wantLogged(a gatewaytest.Reply, operation, key string) {
	w.t.Helper()
	if a.Code < 400 {
		return
	}
	line := w.Log.Last(1)
	wants := []string{`"msg":"api"`, `"outcome":"refused"`, fmt.Sprintf(`"code":%d`, a.Code), fmt.Sprintf(`"operation":%q`, operation)}
	if id, _, ok := strings.Cut(strings.TrimPrefix(key, "rbk_"), "_"); ok {
		wants = append(wants, `"key":"key_`+id+`"`)
	}
	for _, want := range wants {
		if !strings.Contains(line, want) {
			w.t.Errorf("%s answered %d, logged %s, want %s in it", operation, a.Code, line, want)
		}
	}
}

// TestBodiesOfTheScopingTestsAreGood sees to it that no call is refused for its
// body before it is asked whose the thing is.
func TestBodiesOfTheScopingTestsAreGood(t *testing.T) {
	doc, err := apitest.Document()
	if err != nil {
		t.Fatal(err)
	}
	s := setting{tencent: "src-1", direct: "src-2", smartbots: "src-3", tenant: "ten_1", other: "ten_2"}
	for path, item := range doc.Paths.Map() {
		for _, op := range item.Operations() {
			if op.RequestBody == nil || !strings.HasPrefix(path, "/v1/") {
				continue
			}
			media := op.RequestBody.Value.Content["application/json"]
			if media == nil {
				continue // lines of an export
			}
			body := anyBody(op.OperationID, s, "reg_1")
			if body == nil && !op.RequestBody.Value.Required {
				continue
			}
			var plain any
			b, err := json.Marshal(body)
			if err == nil {
				err = json.Unmarshal(b, &plain)
			}
			if err == nil {
				err = media.Schema.Value.VisitJSON(plain)
			}
			if err != nil {
				t.Errorf("%s would be refused for its body %s: %v", op.OperationID, b, err)
			}
		}
	}
}

// picture is what the operator and the first tenant see.
func (w *world) picture(s setting) map[string]any {
	out := map[string]any{}
	for path, key := range map[string]string{
		"/v1/registrations": s.key, "/v1/keys": s.key, "/v1/me": s.key, "/v1/events": s.key, "/v1/groups": operatorKey, "/v1/sources": operatorKey,
		"/v1/sources/" + s.direct + "/keys": operatorKey, "/v1/sources/" + s.direct + "/grants": operatorKey,
	} {
		out[path] = w.Want(200, key, "GET", path, nil).Object
	}
	return out
}

// anyBody is a body with which the operation would do something.
func anyBody(operation string, s setting, registration string) any {
	switch operation {
	case "create-source":
		return object{"provider": "direct", "name": "x"}
	case "create-tenant":
		return object{"name": "x"}
	case "create-grant":
		return object{"tenant": s.other}
	case "create-group":
		return object{"source": s.smartbots, "name": "x", "security_code": "x", "uuid": chatGroup}
	case "connect-group":
		return object{"name": "x", "security_code": "x"}
	case "create-registration":
		return object{"source": s.direct, "url": "https://tenant.example/"}
	case "create-key":
		return object{"scope": "full", "tenant": s.tenant}
	case "create-erasure":
		return object{"source": s.smartbots, "match": object{"group": []string{chatGroup}}}
	case "rotate-source-token":
		return object{"token": "x"}
	case "rotate-source-basic":
		return object{"basic": object{"login": "a", "password": "b"}}
	case "rotate-raw-token":
		return object{"raw_token": "x"}
	case "recover-registration", "replay-missing", "release-registration", "dry-run-registration":
		return object{"since": "2026-01-01T00:00:00Z"}
	case "enable-registration":
		return object{"held": "skip"}
	case "change-source", "change-tenant":
		return object{"name": "changed"}
	case "change-registration":
		return object{"description": "changed"}
	case "change-group":
		return object{"security_code": "changed"}
	case "create-callback-key", "rotate-callback-key", "rotate-key", "rotate-registration":
		return object{}
	}
	return nil
}

func TestReadKeyChangesNothing(t *testing.T) {
	w := newWorld(t)
	s := w.setting()
	r := w.Want(201, s.key, "POST", "/v1/registrations", object{"source": s.direct, "url": "https://tenant.example/"})
	read := w.Want(201, s.key, "POST", "/v1/keys", object{"scope": "read"}).Text("api_key")
	w.Want(200, read, "GET", "/v1/registrations/"+r.ID(), nil)
	w.Want(200, read, "GET", "/v1/deliveries", nil)
	for _, tt := range []struct{ method, path string }{
		{"DELETE", ""}, {"POST", "/disable"}, {"POST", "/rotate"}, {"POST", "/test"},
	} {
		w.Want(403, read, tt.method, "/v1/registrations/"+r.ID()+tt.path, nil)
	}
	w.Want(403, read, "POST", "/v1/keys", object{"scope": "full"})
	w.Want(403, read, "GET", "/v1/keys", nil)
}
