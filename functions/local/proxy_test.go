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
		list, standard string // X-Forwarded-For and Forwarded, lines of which have | between
		want           int
	}{
		{"", "", 403}, {"185.203.96.7", "", 200}, {"185.203.96.7, 127.0.0.1", "", 200}, {"198.51.100.1, 185.203.96.7", "", 200},
		{"185.203.96.7, 198.51.100.1", "", 403}, {"185.203.96.8", "", 403}, {"unknown", "", 403}, {"185.203.96.7, unknown", "", 403},
		{"185.203.96.7:4711", "", 200}, {"::ffff:185.203.96.7", "", 200}, {"[::ffff:185.203.96.7]:4711", "", 200}, {"[::ffff:185.203.96.7]", "", 200},
		{"185.203.96.7,, 127.0.0.1 ,", "", 200}, {"185.203.96.7|127.0.0.1", "", 200}, {"127.0.0.1|185.203.96.8", "", 403}, {",", "", 403},
		{"", "for=185.203.96.7", 200}, {"", `For="185.203.96.7:4711";proto=https;by=10.0.0.1`, 200}, {"", `for="[::ffff:185.203.96.7]:4711"`, 200},
		{"", "for=198.51.100.1, for=185.203.96.7;host=x", 200}, {"", "for=185.203.96.7|for=127.0.0.1", 200}, {"", "for=185.203.96.7, for=_hidden", 403},
		{"", "for=185.203.96.7, proto=https", 403}, {"", "for=unknown", 403}, {"", "proto=https; for=185.203.96.7", 200},
		{"185.203.96.7", "for=185.203.96.7", 200}, {"185.203.96.8", "for=185.203.96.7", 403}, {"185.203.96.7", "for=185.203.96.8", 403}, {"185.203.96.7", "for=_hidden", 403},
	} {
		req, err := http.NewRequest("POST", p.base+path, strings.NewReader("[]"))
		if err != nil {
			t.Fatal(err)
		}
		for name, lines := range map[string]string{"X-Forwarded-For": tt.list, "Forwarded": tt.standard} {
			if lines != "" {
				req.Header[name] = strings.Split(lines, "|")
			}
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != tt.want {
			t.Errorf("forwarded for %q and %q: %d, want %d", tt.list, tt.standard, resp.StatusCode, tt.want)
		}
	}
}
