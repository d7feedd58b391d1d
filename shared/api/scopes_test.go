package api_test

import (
	"maps"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ringback/shared/api/apitest"
	"ringback/shared/test/proofs"
)

// mayCall lists for each operation the scopes that may call it: the (o)perator,
// a tenant's (f)ull and (r)ead keys, its (s)et_http_callback key, and the
// (g)roup owner. It is written out a second time, beside the API's own table,
// since there one word gives a key what it was never meant to do.
var mayCall = map[string]string{
	"get-me": "ofrsg",

	"create-source": "o", "list-sources": "ofr", "get-source": "ofr", "change-source": "o", "delete-source": "o",
	"rotate-source-token": "o", "rotate-source-basic": "o",

	"create-callback-key": "o", "list-callback-keys": "o", "rotate-callback-key": "o", "delete-callback-key": "o",

	"create-grant": "o", "list-grants": "o", "delete-grant": "o",

	"create-tenant": "o", "list-tenants": "o", "get-tenant": "o", "change-tenant": "o",
	"disable-tenant": "o", "enable-tenant": "o", "delete-tenant": "o",

	"create-key": "of", "list-keys": "of", "get-key": "of", "rotate-key": "of", "delete-key": "of",

	"create-group": "o", "connect-group": "o", "list-groups": "og", "get-group": "og", "change-group": "og", "delete-group": "o",
	"rotate-owner-key": "o", "list-apps": "og", "delete-app": "og",

	"create-registration": "f", "list-registrations": "ofr", "get-registration": "ofr", "change-registration": "f",
	"delete-registration": "of", "enable-registration": "of", "disable-registration": "of",
	"rotate-registration": "f", "rotate-raw-token": "f", "test-registration": "f", "recover-registration": "f",
	"replay-missing": "f", "release-registration": "f", "dry-run-registration": "fr",

	"list-events": "ofr", "get-event": "ofr", "get-event-raw": "ofr",
	"list-deliveries": "ofr", "get-delivery": "ofr", "list-attempts": "ofr", "resend-delivery": "of",

	"list-jobs": "ofr", "get-job": "ofr", "cancel-job": "of",

	"create-erasure": "o", "reseal": "o", "export": "o", "import": "o", "get-dead-letters": "o", "redrive-dead-letters": "o",

	"set-http-callback": "fs", "set-http-callback-by-get": "fs",
}

// open are the operations that take no key.
var open = map[string]bool{"healthz": true}

// TestEachScopeMayCallItsOwnOperationsAlone calls every operation that the
// document describes with a key of every scope. What stands in the paths does
// not exist, so a call that is let through changes nothing that others need.
func TestEachScopeMayCallItsOwnOperationsAlone(t *testing.T) {
	proofs.Long(t)
	w := newWorld(t)
	s := w.setting()
	_, owner := w.group(s)
	keys := map[string]string{"o": operatorKey, "g": owner}
	for letter, scope := range map[string]string{"f": "full", "r": "read", "s": "set_http_callback"} {
		keys[letter] = w.Want(201, s.key, "POST", "/v1/keys", object{"scope": scope}).Text("api_key")
	}
	doc, err := apitest.Document()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			if open[op.OperationID] {
				continue
			}
			at := strings.NewReplacer("{id}", "none", "{queue}", "events", "{key}", "none", "{grant}", "none", "{app}", "none").Replace(path)
			for _, letter := range slices.Sorted(maps.Keys(keys)) {
				if w.lets(method, at, op.OperationID, keys[letter], s) {
					got[op.OperationID] += letter
				}
			}
		}
	}
	want := map[string]string{}
	for id, letters := range mayCall {
		letters := strings.Split(letters, "")
		slices.Sort(letters)
		want[id] = strings.Join(letters, "")
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("scopes that may call each operation, by first letter (-want +got):\n%s", diff)
	}
}

// lets makes a call and reports whether it got past the scopes.
func (w *world) lets(method, path, operation, key string, s setting) bool {
	w.t.Helper()
	if !strings.HasPrefix(path, "/v1/") {
		v := changed(request(key, "https://tenant.example/in"), "group", "nobody's")
		return w.simple(httptest.NewRequest(method, path+"?"+v.Encode(), nil)).ResultText != "apikey: it may not set callbacks"
	}
	a := w.Call(key, method, path, anyBody(operation, s, "none"))
	if a.Code == 401 {
		w.t.Errorf("%s %s answers 401 to a good key", method, path)
	}
	return a.Code != 403 || !strings.Contains(a.Text("detail"), "its scope does not allow this call")
}
