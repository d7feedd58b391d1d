package main

import (
	"encoding/json"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// TestEachLineOfTheLogIsJSON provokes lines of the store, of net/http and a last one.
func TestEachLineOfTheLogIsJSON(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	p := &process{t: t, out: newSpoken(), log: newSpoken(), done: make(chan error, 1), dir: dir}
	p.begin(exec.Command("sh", "-c", `ulimit -n 64 && exec "$0" "$@"`, os.Args[0], "-addr", "127.0.0.1:0", "-data", dir))
	addr := strings.TrimPrefix(p.listens(), "http://")
	resp, err := http.Post("http://"+addr+"/callbacks/direct/none/none", "text/plain", strings.NewReader("garbage"))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	for range 64 { // more than it has descriptors
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	p.awaitLine(p.log, "Accept error")
	second := startCommand(t, "-addr", "127.0.0.1:0", "-data", dir)
	second.done <- <-second.done
	for _, tt := range []struct {
		log  *spoken
		want []string
	}{
		{p.log, []string{`"store"`, `"callback"`, `"http: Accept error`}},
		{second.log, []string{`"ringback: `}},
	} {
		for line := range strings.Lines(tt.log.String()) {
			if err := json.Unmarshal([]byte(line), &map[string]any{}); err != nil {
				t.Errorf("line %q is no JSON object: %v", line, err)
			}
		}
		for _, text := range tt.want {
			if !strings.Contains(tt.log.String(), `"msg":`+text) {
				t.Errorf("no line %s in\n%s", text, tt.log)
			}
		}
	}
}
