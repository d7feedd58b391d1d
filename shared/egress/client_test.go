package egress

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"
)

var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}

func TestPostSendsTheBodyAsItIs(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusNoContent)
	}))
	defer server.Close()
	c := &Client{Allow: loopback}
	defer c.CloseIdle()
	got := c.Post(t.Context(), Request{URL: server.URL, Body: []byte("{}")})
	if got.Class != OK || got.StatusCode != 204 {
		t.Errorf("Post to %s = %+v, want 204 and class OK", server.URL, got)
	}
}
