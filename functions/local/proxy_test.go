package main

import (
	"net/http"
	"strings"
	"testing"
)

// The address that counts for a source's list is the caller's, as a trusted
// proxy tells it.
func TestAddressListLooksBehindATrustedProxy(t *testing.T) {
	p := startRunner(t, t.TempDir(), "-trusted-proxy", "127.0.0.0/8")
	source := p.call(p.operatorKey(), "POST", "/v1/sources", map[string]any{
		"provider": "direct", "name": "test", "allow": []string{"185.203.96.7"},
	}, 201)
	path := strings.TrimPrefix(source["callback_url"].(string), "http://ringback.invalid")
	for _, tt := range []struct {
		forwarded string
		want      int
	}{
		{"", 403}, {"185.203.96.7", 200}, {"185.203.96.7, 127.0.0.1", 200}, {"198.51.100.1, 185.203.96.7", 200},
		{"185.203.96.7, 198.51.100.1", 403}, {"185.203.96.8", 403}, {"unknown", 403},
	} {
		req, err := http.NewRequest("POST", p.base+path, strings.NewReader("[]"))
		if err != nil {
			t.Fatal(err)
		}
		if tt.forwarded != "" {
			req.Header.Set("X-Forwarded-For", tt.forwarded)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != tt.want {
			t.Errorf("forwarded for %q: %d, want %d", tt.forwarded, resp.StatusCode, tt.want)
		}
	}
}
