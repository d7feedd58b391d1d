package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestBackupIsRestoredAsTheReadmeSays backs up beside a runner that has a delivery
// pending, and goes on with the copy in another folder.
func TestBackupIsRestoredAsTheReadmeSays(t *testing.T) {
	waits(t)
	dir, kept, rec := t.TempDir(), t.TempDir(), newReceiver(t)
	p := startRunner(t, dir)
	path, key := p.setUp(rec)
	rec.refuse.Store(1)
	if !p.chat(path, "pending") {
		t.Fatal("callback was refused")
	}
	eventually(t, "an attempt", func() bool {
		return len(p.call(key, "GET", "/v1/deliveries", nil, 200)["data"].([]any)) == 1
	})
	file := filepath.Join(kept, "ringback.db")
	stdout, stderr, code := ended(t, "backup", "-data", dir, file)
	if code != 0 || !strings.Contains(stdout, filepath.Join(dir, keyRingFile)) || !strings.Contains(stdout, filepath.Join(dir, operatorKeyFile)) {
		t.Fatalf("backup: exit %d, %q, %q; want 0, and which keys to copy", code, stdout, stderr)
	}
	if s, err := os.Stat(file); err != nil || s.Mode().Perm() != 0o600 {
		t.Errorf("the copy has mode %v, %v; want 0600", s.Mode(), err)
	}
	for _, name := range []string{keyRingFile, operatorKeyFile} {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(kept, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p.kill()
	restored := startRunner(t, kept)
	eventually(t, "delivered by the restored one", func() bool { return len(rec.missing([]string{"pending"})) == 0 })
	if !restored.chat(path, "after") {
		t.Fatal("callback was refused")
	}
	eventually(t, "delivered by the restored one", func() bool { return len(rec.missing([]string{"after"})) == 0 })
}

func TestBackupReplacesAndMakesNothing(t *testing.T) {
	dir := t.TempDir()
	p := startRunner(t, dir)
	p.kill()
	there, none := filepath.Join(t.TempDir(), "there"), filepath.Join(t.TempDir(), "none")
	if err := os.WriteFile(there, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, stderr, code := ended(t, "backup", "-data", dir, there); code != 1 || !strings.Contains(stderr, there) {
		t.Errorf("backup into a file that is there: exit %d, %q; want 1 and its name", code, stderr)
	}
	if b, err := os.ReadFile(there); string(b) != "mine" {
		t.Errorf("the file that was there has %q, %v", b, err)
	}
	empty := t.TempDir()
	if _, stderr, code := ended(t, "backup", "-data", empty, none); code != 1 || !strings.Contains(stderr, "ringback.db") {
		t.Errorf("backup of a folder without a database: exit %d, %q; want 1", code, stderr)
	}
	if found, _ := os.ReadDir(empty); len(found) > 0 {
		t.Errorf("backup made %v", found)
	}
	if _, err := os.Stat(none); err == nil {
		t.Error("backup of nothing made a file")
	}
}
