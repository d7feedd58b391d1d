package api_test

import (
	"flag"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"ringback/shared/api/apitest"
	"ringback/shared/test/gatewaytest"
	"ringback/shared/test/proofs"
)

// What the two groups of the scoping tests are, and what is said in them.
var marks = map[string]string{
	"22222222-2222-4222-8222-222222222222": "MARK-of-one",
	"11111111-1111-4111-8111-111111111111": "MARK-of-other",
}

// A watched is a tenant that got events of two groups while all was granted.
type watched struct {
	setting
	keys       map[string]string // scope → text
	events     map[string]string // group → event
	deliveries map[string]string // group → delivery
	register   string
}

func (w *world) watched() watched {
	w.t.Helper()
	v := watched{setting: w.setting(), keys: map[string]string{}, events: map[string]string{}, deliveries: map[string]string{}}
	e := newEndpoint(w.t)
	v.register = w.Want(201, v.key, "POST", "/v1/registrations", object{"source": v.smartbots, "url": e.URL}).ID()
	for group, text := range marks {
		form := url.Values{"action": {"group_chat"}, "group_uuid": {group}, "message": {text}}
		w.form(w.callbackURL(v.smartbots), form)
	}
	var list []object
	gatewaytest.Await(w.t, "both deliveries", func() bool {
		list = w.Want(200, v.key, "GET", "/v1/deliveries?status=succeeded", nil).List(w.t)
		return len(list) == 2
	})
	for _, d := range list {
		raw := w.Want(200, v.key, "GET", fmt.Sprint("/v1/events/", d["event"], "/raw"), nil).Raw
		for group, text := range marks {
			if strings.Contains(raw, text) {
				v.events[group], v.deliveries[group] = fmt.Sprint(d["event"]), fmt.Sprint(d["id"])
			}
		}
	}
	for _, scope := range []string{"full", "read", "set_http_callback"} {
		v.keys[scope] = w.Want(201, v.key, "POST", "/v1/keys", object{"scope": scope}).Text("api_key")
	}
	w.revokeAll(v)
	return v
}

func (w *world) revokeAll(v watched) {
	w.t.Helper()
	for _, g := range w.Want(200, operatorKey, "GET", "/v1/sources/"+v.smartbots+"/grants", nil).List(w.t) {
		w.Want(204, operatorKey, "DELETE", fmt.Sprint("/v1/sources/", v.smartbots, "/grants/", g["id"]), nil)
	}
}

// looks are all calls that could show what is kept, on the tenant's own things.
func (v watched) looks(t testing.TB) []string {
	t.Helper()
	doc, err := apitest.Document()
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for path, item := range doc.Paths.Map() {
		if item.Get == nil || !strings.HasPrefix(path, "/v1/") {
			continue
		}
		resource, _, _ := strings.Cut(strings.TrimPrefix(path, "/v1/"), "/")
		for group := range marks {
			ids := map[string]string{
				"registrations": v.register, "events": v.events[group], "deliveries": v.deliveries[group], "sources": v.smartbots, "tenants": v.tenant,
			}
			out = append(out, strings.NewReplacer("{id}", ids[resource], "{key}", "x", "{grant}", "x", "{app}", "x").Replace(path))
		}
	}
	return out
}

// A granted is a grant that holds.
type granted struct{ id, group string } // group: empty for the whole source

func covered(by []granted, group string) bool {
	return slices.ContainsFunc(by, func(g granted) bool { return g.group == "" || g.group == group })
}

// TestOnlyWhatIsGrantedIsSeen draws grants and revocations, and after each looks
// with a key of every scope through the calls at what was let through before.
func TestOnlyWhatIsGrantedIsSeen(t *testing.T) {
	checks := flag.Lookup("rapid.checks").Value
	before := checks.String()
	defer checks.Set(before)
	checks.Set(proofs.Length("15", "15", before)) // of which rapid makes a fifth with -short
	w := newWorld(t)
	w.work()
	v := w.watched()
	looks, groups, path := v.looks(t), slices.Sorted(maps.Keys(marks)), "/v1/sources/"+v.smartbots+"/grants"
	rapid.Check(t, func(rt *rapid.T) {
		w.revokeAll(v)
		var holds []granted
		for range rapid.IntRange(1, 5).Draw(rt, "steps") {
			if len(holds) > 0 && rapid.Bool().Draw(rt, "revoke") {
				i := rapid.IntRange(0, len(holds)-1).Draw(rt, "which")
				w.Want(204, operatorKey, "DELETE", path+"/"+holds[i].id, nil)
				holds = slices.Delete(holds, i, i+1)
			} else {
				group := rapid.SampledFrom(append([]string{""}, groups...)).Draw(rt, "group")
				body := object{"tenant": v.tenant}
				if group != "" {
					body["match"] = object{"group": []string{group}}
				}
				holds = append(holds, granted{w.Want(201, operatorKey, "POST", path, body).ID(), group})
			}
			for _, scope := range slices.Sorted(maps.Keys(v.keys)) {
				look := rapid.SampledFrom(looks).Draw(rt, "look")
				if leak := w.leak(v, v.keys[scope], "GET", look, nil, holds); leak != "" {
					rt.Fatalf("with %v, scope %s: GET %s shows %s", holds, scope, look, leak)
				}
			}
			w.wantTold(rt, v, holds)
		}
	})
}

// leak makes a call and returns what it shows of groups that no grant covers.
func (w *world) leak(v watched, key, method, path string, body any, holds []granted) string {
	w.t.Helper()
	a := w.Call(key, method, path, body)
	for group, text := range marks {
		if !covered(holds, group) && (strings.Contains(a.Raw, text) || strings.Contains(a.Raw, group)) {
			return text
		}
	}
	return ""
}

// wantTold fails the test unless each event is shown, tried and resent exactly
// if a grant covers it.
func (w *world) wantTold(rt *rapid.T, v watched, holds []granted) {
	w.t.Helper()
	since := object{"since": "2026-01-01T00:00:00Z"}
	tried := w.Call(v.key, "POST", "/v1/registrations/"+v.register+"/dry-run", since)
	if leak := w.leak(v, v.key, "POST", "/v1/registrations/"+v.register+"/dry-run", since, holds); leak != "" {
		rt.Fatalf("with %v: a dry run shows %s", holds, leak)
	}
	for group, text := range marks {
		may := covered(holds, group)
		raw := w.Call(v.keys["read"], "GET", "/v1/events/"+v.events[group]+"/raw", nil)
		if told := raw.Code == 200 && strings.Contains(raw.Raw, text); told != may {
			rt.Fatalf("with %v: payload of %s shown %v (%d), want %v", holds, group, told, raw.Code, may)
		}
		if told := strings.Contains(tried.Raw, v.events[group]); told && !may {
			rt.Fatalf("with %v: a dry run names the event of %s", holds, group)
		}
		want := 403
		if may {
			want = 202
		}
		if a := w.Call(v.key, "POST", "/v1/deliveries/"+v.deliveries[group]+"/resend", nil); a.Code != want {
			rt.Fatalf("with %v: resend of %s answers %d, want %d", holds, group, a.Code, want)
		}
	}
}

func TestKeyThatWasRevokedOpensNothing(t *testing.T) {
	w := newWorld(t)
	s := w.setting()
	gone := w.Want(201, s.key, "POST", "/v1/keys", object{"scope": "full"})
	op := w.Want(201, operatorKey, "POST", "/v1/keys", object{"scope": "operator"})
	for _, k := range []gatewaytest.Reply{gone, op} { // known to the process as good
		w.Want(200, k.Text("api_key"), "GET", "/v1/me", nil)
	}
	w.Want(204, s.key, "DELETE", "/v1/keys/"+gone.ID(), nil)
	w.Want(204, operatorKey, "DELETE", "/v1/keys/"+op.ID(), nil)
	w.Want(200, operatorKey, "POST", "/v1/tenants/"+s.other+"/disable", nil)
	doc, err := apitest.Document()
	if err != nil {
		t.Fatal(err)
	}
	for path, item := range doc.Paths.Map() {
		for method, o := range item.Operations() {
			if !strings.HasPrefix(path, "/v1/") {
				continue
			}
			at := strings.NewReplacer("{id}", s.tenant, "{queue}", "events", "{key}", "x", "{grant}", "x", "{app}", "x").Replace(path)
			for who, key := range map[string]string{"deleted": gone.Text("api_key"), "the operator's, deleted": op.Text("api_key"), "of a disabled tenant": s.otherKey} {
				if a := w.Call(key, method, at, anyBody(o.OperationID, s, "")); a.Code != 401 {
					t.Errorf("key %s: %s answers %d, want 401", who, o.OperationID, a.Code)
				}
			}
		}
	}
}
