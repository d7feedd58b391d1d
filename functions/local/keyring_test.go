package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"ringback/shared/transfer"
)

// TestSealingKeysAreChangedAsTheReadmeSays puts a new line in front of the key ring,
// posts to /v1/reseal, and takes the old line away when the job is done.
func TestSealingKeysAreChangedAsTheReadmeSays(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	const sentence = "The keys that encrypt secrets are changed by putting a new line in front of the key ring and `POST /v1/reseal`; the old line may go when the job is done."
	if !strings.Contains(string(readme), sentence) {
		t.Fatalf("README does not say %q, which this test follows", sentence)
	}
	dir, rec := t.TempDir(), newReceiver(t)
	p := startRunner(t, dir)
	path, _ := p.setUp(rec)
	p.kill()
	old, err := os.ReadFile(filepath.Join(dir, keyRingFile))
	if err != nil {
		t.Fatal(err)
	}
	line := strings.Repeat("a-new-line-of-64", 4) + "\n"
	writeRing(t, dir, line+string(old))
	p = startRunner(t, dir)
	job := p.call(p.operatorKey(), "POST", "/v1/reseal", map[string]any{}, 202)["id"].(string)
	eventually(t, "resealed", func() bool {
		j := p.call(p.operatorKey(), "GET", "/v1/jobs/"+job, nil, 200)
		return j["status"] == "done"
	})
	if j := p.call(p.operatorKey(), "GET", "/v1/jobs/"+job, nil, 200); fmt.Sprint(j["skipped"]) != "0" {
		t.Errorf("job %v, want nothing skipped", j)
	}
	p.kill()
	writeRing(t, dir, line)
	p = startRunner(t, dir)
	if !p.chat(path, "after") {
		t.Fatal("callback was refused")
	}
	eventually(t, "delivered under the new key", func() bool { return len(rec.missing([]string{"after"})) == 0 })
	if rec.mu.Lock(); rec.bad > 0 {
		t.Error("the delivery is not signed by the registration's secret")
	}
	rec.mu.Unlock()
}

// TestLostKeyRingIsMissed starts a database without its key ring, and with another.
func TestLostKeyRingIsMissed(t *testing.T) {
	dir, rec := t.TempDir(), newReceiver(t)
	p := startRunner(t, dir)
	path, _ := p.setUp(rec)
	p.kill()
	ring := filepath.Join(dir, keyRingFile)
	own, err := os.ReadFile(ring)
	if err != nil {
		t.Fatal(err)
	}
	for _, other := range []string{"", strings.Repeat("another ", 8)} {
		if err := os.Remove(ring); err != nil {
			t.Fatal(err)
		}
		if other != "" {
			writeRing(t, dir, other)
		}
		q := startCommand(t, "-addr", "127.0.0.1:0", "-data", dir)
		err := <-q.done
		q.done <- err
		exit, ok := errors.AsType[*exec.ExitError](err)
		if !ok || exit.ExitCode() != 1 || !strings.Contains(q.log.String(), transfer.ErrOtherRing.Error()) || !strings.Contains(q.log.String(), ring) {
			t.Errorf("with the key ring %q: %v, want exit 1 and which file is missed\n%s", other, err, q.log)
		}
		if b, _ := os.ReadFile(ring); string(b) != other {
			t.Errorf("the key ring is %q afterwards, want %q", b, other)
		}
		writeRing(t, dir, string(own))
	}
	p = startRunner(t, dir)
	if !p.chat(path, "back") {
		t.Fatal("callback was refused")
	}
	eventually(t, "delivered with the own key ring", func() bool { return len(rec.missing([]string{"back"})) == 0 })
}

func writeRing(t *testing.T, dir, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, keyRingFile), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
