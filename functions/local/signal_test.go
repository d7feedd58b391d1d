package main

import (
	"net/http"
	"os"
	"os/exec"
	"syscall"
	"testing"
)

func TestHangupEndsTheRunnerInOrder(t *testing.T) {
	p := startRunner(t, t.TempDir())
	p.cmd.Process.Signal(syscall.SIGHUP)
	err := <-p.done
	p.done <- err
	if err != nil {
		t.Errorf("after SIGHUP: %v, want exit 0\n%s", err, p.log)
	}
}

// TestRunnerOutlivesItsTerminal starts one as nohup does, and closes what reads its log.
func TestRunnerOutlivesItsTerminal(t *testing.T) {
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("sh", "-c", `trap "" HUP; exec "$0" "$@" 2>&3`, os.Args[0], "-addr", "127.0.0.1:0", "-data", t.TempDir())
	cmd.ExtraFiles = []*os.File{write}
	p := &process{t: t, out: newSpoken(), log: newSpoken(), done: make(chan error, 1)}
	p.begin(cmd)
	write.Close()
	base := p.listens()
	read.Close()
	for range 2 {
		p.cmd.Process.Signal(syscall.SIGHUP)
		resp, err := http.Post(base+"/callbacks/direct/none/none", "text/plain", nil) // one line of the log
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusNotFound {
			t.Errorf("answered %s, want 404", resp.Status)
		}
	}
}
