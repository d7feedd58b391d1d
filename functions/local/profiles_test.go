package main

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

func TestProfilesAreServedWhereAsked(t *testing.T) {
	p := startRunner(t, t.TempDir(), "-pprof", "127.0.0.1:0")
	_, url, _ := strings.Cut(p.awaitLine(p.out, "profiles on "), "profiles on ")
	resp, err := http.Get(url + "goroutine?debug=1")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, err := io.ReadAll(resp.Body); err != nil || !strings.Contains(string(body), "goroutine profile:") {
		t.Errorf("GET goroutine: %v, %.100s, want a profile", err, body)
	}
	if status, _ := p.get(p.operatorKey(), "/debug/pprof/"); status != http.StatusNotFound {
		t.Errorf("GET /debug/pprof/ where callbacks come: %d, want 404", status)
	}
}

func TestProfilesAreForThisMachineAlone(t *testing.T) {
	for _, addr := range []string{"0.0.0.0:6060", ":6060", "192.0.2.1:6060", "[::]:6060", "localhost:6060"} {
		_, stderr, code := ended(t, "-pprof", addr, "-data", t.TempDir())
		if code != 1 || !strings.Contains(stderr, "-pprof: want an address of this machine alone") {
			t.Errorf("local -pprof %s: exit %d, %q; want 1 and what is wanted", addr, code, stderr)
		}
	}
}
