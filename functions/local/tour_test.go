package main

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"ringback/shared/test/proofs"
)

// The tour of the README is followed word for word: its shell blocks are given
// to bash in their order, beside a runner, and what is written is compared with
// what the README prints. Ports, and what is made anew each time, may differ.
func TestTourOfTheReadmeGoesAsItSays(t *testing.T) {
	proofs.Long(t)
	steps := tour(t)
	if len(steps) < 8 {
		t.Fatalf("the tour has %d steps, want more", len(steps))
	}
	v := newVisitor(t)
	begin := steps[0]
	if begin.script != "go run ./functions/local\n" {
		t.Fatalf("the tour begins with %q, want the command that serves", begin.script)
	}
	v.serve()
	v.expect(begin)
	for _, s := range steps[1:] {
		v.follow(s)
	}
}

// A step is a shell block and what is printed after it.
type step struct {
	script string
	prints []string // lines; … stands for any text, alone for any lines
}

var fence = regexp.MustCompile("(?ms)^```(\\w*)\n(.*?)^```\n")

// tour reads the steps of the README.
func tour(t *testing.T) (steps []step) {
	t.Helper()
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, after, found := strings.Cut(string(readme), "\n### A tour of five minutes\n")
	if !found {
		t.Fatal("the README has no tour")
	}
	section, _, _ := strings.Cut(after, "\n## ")
	for _, block := range fence.FindAllStringSubmatch(section, -1) {
		if block[1] == "sh" {
			steps = append(steps, step{script: block[2]})
			continue
		}
		last := &steps[len(steps)-1]
		last.prints = append(last.prints, strings.Split(strings.TrimSuffix(block[2], "\n"), "\n")...)
	}
	return steps
}

// A visitor follows the tour in a folder of its own.
type visitor struct {
	t     *testing.T
	dir   string
	ports *strings.Replacer // those of the README by free ones
	said  *spoken           // all that was written
	read  int               // lines of it that steps before account for
	shell io.Writer
	steps int
}

func newVisitor(t *testing.T) *visitor {
	t.Helper()
	v := &visitor{t: t, dir: t.TempDir(), said: newSpoken()}
	events, err := filepath.Abs("../../events")
	if err == nil {
		err = os.Symlink(events, filepath.Join(v.dir, "events"))
	}
	if err != nil {
		t.Fatal(err)
	}
	var pairs []string
	for _, port := range []string{"8080", "9000", "9002"} {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		pairs = append(pairs, "127.0.0.1:"+port, ln.Addr().String())
	}
	v.ports = strings.NewReplacer(pairs...)
	return v
}

// command returns what stands for a terminal of the reader.
func (v *visitor) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.Dir = v.dir
	cmd.Env = append(os.Environ(), asRunner+"=1", "RINGBACK_OPERATOR_KEY=", "PUBLIC_URL=")
	cmd.Stdout, cmd.Stderr = v.said, v.said
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // so that what it starts ends with it
	return cmd
}

func (v *visitor) start(cmd *exec.Cmd) {
	v.t.Helper()
	if err := cmd.Start(); err != nil {
		v.t.Fatal(err)
	}
	v.t.Cleanup(func() {
		syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		cmd.Wait()
	})
}

// serve starts the runner, and bash beside it.
func (v *visitor) serve() {
	v.t.Helper()
	self, err := filepath.Abs(os.Args[0])
	if err != nil {
		v.t.Fatal(err)
	}
	runner := v.command(self, "-addr", v.ports.Replace("127.0.0.1:8080"))
	runner.Stderr = io.Discard // its log
	v.start(runner)
	bash := v.command("bash")
	if v.shell, err = bash.StdinPipe(); err != nil {
		v.t.Fatal(err)
	}
	v.start(bash)
	fmt.Fprintf(v.shell, "go() { [ \"$1 $2\" = 'run ./functions/local' ] && shift 2 && %q \"$@\"; }\n", self)
}

// follow gives a step to bash.
func (v *visitor) follow(s step) {
	v.t.Helper()
	v.steps++
	done := fmt.Sprintf("step %d is done", v.steps)
	fmt.Fprintf(v.shell, "%s\necho; echo %s\n", strings.TrimSuffix(v.ports.Replace(s.script), "\n"), done)
	s.prints = append(s.prints, done)
	v.expect(s)
}

// expect waits until what was written since the last step is what the step
// prints. What several processes write may come in another order.
func (v *visitor) expect(s step) {
	v.t.Helper()
	end := time.After(3 * time.Minute)
	for {
		whole := v.said.String()
		lines := strings.Split(whole[:strings.LastIndexByte(whole, '\n')+1], "\n")
		lines = lines[:len(lines)-1]
		missing, left := matchLines(s.prints, lines[v.read:], v.ports)
		if len(missing) == 0 && len(left) == 0 {
			v.read = len(lines)
			return
		}
		select {
		case <-v.said.more:
		case <-end:
			v.t.Fatalf("after\n%swant yet\n%s\ngot besides\n%s\nof\n%s", s.script, strings.Join(missing, "\n"), strings.Join(left, "\n"), strings.Join(lines[v.read:], "\n"))
		}
	}
}

// matchLines pairs the lines that are wanted with those that came, and returns
// what is missing and, unless any lines may come, what is left. Empty ones do
// not count.
func matchLines(want, got []string, ports *strings.Replacer) (missing, left []string) {
	taken := map[int]bool{}
	others := false // may come too
	for _, w := range want {
		if w == "…" || w == "" {
			others = others || w != ""
			continue
		}
		pattern := patternOf(ports.Replace(w))
		found := false
		for i, line := range got {
			if !taken[i] && pattern.MatchString(line) {
				taken[i], found = true, true
				break
			}
		}
		if !found {
			missing = append(missing, w)
		}
	}
	for i, line := range got {
		if !taken[i] && !others && line != "" {
			left = append(left, line)
		}
	}
	return missing, left
}

// anew are the texts that differ from run to run, with what they look like.
var anew = regexp.MustCompile(`…|\b(?:evt|ten|grt|reg|grp|dlv)_[0-9a-v]+|src-[0-9a-v]{8}|rbk_[0-9a-v_]+|/[0-9a-z]{32}|20\d\d-\d\d-\d\dT[\d:.]+Z|\d\d:\d\d:\d\d\.\d{3}|\d[\d.]*m?s\b`)

// patternOf returns what a line looks like whatever is made anew in it.
func patternOf(line string) *regexp.Regexp {
	var b bytes.Buffer
	at := 0
	for _, m := range anew.FindAllStringIndex(line, -1) {
		b.WriteString(regexp.QuoteMeta(line[at:m[0]]))
		switch text := line[m[0]:m[1]]; {
		case text == "…":
			b.WriteString(".*")
		default:
			prefix := regexp.MustCompile(`^(?:[a-z]{3}_|src-|/)?`).FindString(text)
			b.WriteString(regexp.QuoteMeta(prefix) + `[\w:.µ-]+`)
		}
		at = m[1]
	}
	return regexp.MustCompile("^" + b.String() + regexp.QuoteMeta(line[at:]) + " ?$")
}
