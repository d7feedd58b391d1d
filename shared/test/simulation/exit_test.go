package simulation

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"ringback/shared/test/proofs"
)

// Variables that tell a process of TestProcessThatExitsLosesNothing its part.
const (
	endVariable   = "SIM_END"   // the point
	exitsVariable = "SIM_EXITS" // the folder in which it exits there
	findsVariable = "SIM_FINDS" // the folder in which another one did
)

// Exit codes that are no failures.
const (
	exited     = 3 // at the point
	otherCalls = 4 // a second process came to the point by other calls than the first
	mostTries  = 10
)

// TestProcessThatExitsLosesNothing plays each run twice: in a process that exits at
// the point, so that nothing is closed and no lock is freed, and in one that comes to
// the same point by the same calls, and goes on with the file that the first left. Under
// load about one in a hundred comes there by other calls, and both are played again.
func TestProcessThatExitsLosesNothing(t *testing.T) {
	if testing.Short() {
		t.Skip("ends real processes, which -short leaves out")
	}
	if !inProgram(t) {
		return
	}
	if text := os.Getenv(endVariable); text != "" {
		var end point
		if err := json.Unmarshal([]byte(text), &end); err != nil {
			t.Fatal(err)
		}
		p := restarted
		p.exits, p.finds = os.Getenv(exitsVariable), os.Getenv(findsVariable)
		if w := playScript(t, p, "deliveries", end); len(w.hit) == 0 && !t.Failed() {
			os.Exit(otherCalls)
		}
		return
	}
	points, every := pointsOf(t, restarted, "deliveries"), proofs.Length(0, 9, 3)
	for n := every / 2; n < len(points); n += every {
		code := otherCalls
		for try := 0; code == otherCalls && try < mostTries; try++ {
			dir := t.TempDir()
			if code = playPart(t, points[n], exitsVariable+"="+dir); code == exited {
				code = playPart(t, points[n], findsVariable+"="+dir)
			}
		}
		if code != 0 {
			t.Errorf("%+v: a process exited with %d, want 0", points[n], code)
		}
	}
}

// playPart starts a process and returns its exit code.
func playPart(t *testing.T, end point, env string) int {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(end)
	if err != nil {
		t.Fatal(err)
	}
	cmd := command(t, self, endVariable+"="+string(text), env)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case !errors.As(err, &exit):
		t.Fatal(err)
	case exit.ExitCode() != exited && exit.ExitCode() != otherCalls:
		t.Logf("%s", out)
	}
	return exit.ExitCode()
}

// exit ends the process of the test at once, and leaves what it had come to beside
// the file.
func (w *world) exit() {
	if err := os.WriteFile(filepath.Join(w.plan.exits, "sum"), fmt.Append(nil, w.sum), 0o600); err != nil {
		panic(err)
	}
	os.Exit(exited)
}

// found returns the folder of a process that exited, if it had come to here.
func (w *world) found() string {
	sum, err := os.ReadFile(filepath.Join(w.plan.finds, "sum"))
	if err != nil {
		panic(err)
	}
	if string(sum) != fmt.Sprint(w.sum) {
		os.Exit(otherCalls)
	}
	return w.plan.finds
}
