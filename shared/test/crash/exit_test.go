package crash

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"
)

// dirVariable tells the test's own program, started again, that it is the
// process that ends, and where its file lies.
const dirVariable = "CRASH_TEST_DIR"

// TestProcessThatExitsLosesNothing starts its own program for each process,
// which then plays its part of a scenario instead of the test.
func TestProcessThatExitsLosesNothing(t *testing.T) {
	if testing.Short() {
		t.Skip("ends real processes, which -short leaves out")
	}
	if dir := os.Getenv(dirVariable); dir != "" {
		partOfAProcess(t, dir)
		return
	}
	plans := oneOfEach(delivering(each(t, inFileRunner(restarted), deliveries)))
	if !everything {
		plans = plans[:8]
	}
	playAll(t, exitRunner, plans)
}

// partOfAProcess goes on in the folder where the process before has ended,
// until it ends itself or the scenario does.
func partOfAProcess(t *testing.T, dir string) {
	out, err := saved(dir)
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		if out.Now.IsZero() {
			out.Begin = time.Now()
		} else {
			time.Sleep(time.Until(out.Now)) // virtual: each bubble begins in the year 2000
		}
		on := &inFile{dir: dir}
		w := &world{t: t, dir: dir, out: out, on: on}
		defer on.closed(t)
		w.play(deliveries)
	})
}

// exitRunner plays the scenario of deliveries on the embedded backend with
// processes that really exit, so that nothing is closed and no lock is freed.
func exitRunner(t *testing.T, sc scenario, ends ...point) *outside {
	t.Helper()
	dir := t.TempDir()
	if err := (&outside{Ends: ends}).save(dir); err != nil {
		t.Fatal(err)
	}
	for code := exitCode; code != 0; { // 0: the scenario is over, perhaps before it had as many effects
		if code = playPart(t, dir); code != exitCode && code != 0 {
			t.Fatalf("a process exited with %d, want %d or 0", code, exitCode)
		}
	}
	out, err := saved(dir)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// playPart starts a process and returns its exit code.
func playPart(t *testing.T, dir string) int {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self, "-test.run", "^TestProcessThatExitsLosesNothing$")
	cmd.Env = append(os.Environ(), dirVariable+"="+dir)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case !errors.As(err, &exit):
		t.Fatal(err)
	case exit.ExitCode() != exitCode:
		t.Logf("%s", out)
	}
	return exit.ExitCode()
}

// exit saves o in dir and ends the test's process at once. Nothing more can
// happen outside meanwhile.
func (o *outside) exit(dir string) {
	o.mu.Lock()
	o.Now = time.Now()
	if err := o.save(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(exitCode)
}

// exitCode tells an exit that was meant from a failure.
const exitCode = 3

func (o *outside) save(dir string) error {
	b, err := json.Marshal(o)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "outside.json"), b, 0o600)
}

// saved returns what save wrote.
func saved(dir string) (*outside, error) {
	b, err := os.ReadFile(filepath.Join(dir, "outside.json"))
	if err != nil {
		return nil, err
	}
	o := new(outside)
	return o, json.Unmarshal(b, o)
}
