package egress

import (
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestOptionsAsksAtTheExactURL(t *testing.T) {
	var line string
	var header http.Header
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		line, header = r.Method+" "+r.RequestURI, r.Header
		w.Header().Set("WebHook-Allowed-Origin", "*")
		w.WriteHeader(http.StatusMethodNotAllowed)
	})
	got := newClient(t).Options(t.Context(), Request{URL: server.URL + "/a%2Fb?key=1", Header: http.Header{"Webhook-Request-Origin": {"ringback.example"}}})
	if got.StatusCode != 405 || got.Class != Status4xx || got.Header.Get("WebHook-Allowed-Origin") != "*" {
		t.Errorf("Options = %+v, want the answer 405 with its header", got)
	}
	if want := "OPTIONS /a%2Fb?key=1"; line != want {
		t.Errorf("request line %q, want %q", line, want)
	}
	want := http.Header{"Webhook-Request-Origin": {"ringback.example"}, "User-Agent": {"Go-http-client/1.1"}}
	if diff := cmp.Diff(want, header); diff != "" {
		t.Errorf("header (-want +got):\n%s", diff)
	}
}

func TestOptionsIsGuardedAsPostIs(t *testing.T) {
	called := false
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		called = called || r.URL.Path != "/"
		http.Redirect(w, r, "/elsewhere", http.StatusFound)
	})
	blocked := &Client{}
	defer blocked.CloseIdle()
	if got := blocked.Options(t.Context(), Request{URL: server.URL}); got.Class != BlockedAddress {
		t.Errorf("Options to the loopback: class %q, want %q", got.Class, BlockedAddress)
	}
	if got := newClient(t).Options(t.Context(), Request{URL: server.URL}); got.Class != Status3xx || called {
		t.Errorf("Options that is redirected: class %q, followed %v; want %q and not", got.Class, called, Status3xx)
	}
	timed := &Client{Transport: silent{}, Timeout: 1}
	if got := timed.Options(t.Context(), Request{URL: "https://tenant.example/"}); got.Class != Timeout {
		t.Errorf("Options without an answer: class %q, want %q", got.Class, Timeout)
	}
}
