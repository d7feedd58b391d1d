package simulation

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// A patch changes a file of the tree for one build, and nowhere else.
type patch struct {
	file string // from the root of the module
	old  string // stands in it once
	new  string
}

// virtual makes the gateway fit for a run that a seed decides: what holds a mutex
// over a call can be seen to wait, and deliveries that fail at one instant share a
// write whichever of them comes first, which the bubble leaves open.
var virtual = []patch{
	{"shared/gateway/firstattempt.go", "\t\tdefer close(k.done)\n", "\t\tdefer close(k.done)\n\t\ttime.Sleep(time.Nanosecond)\n"},
	{"shared/gateway/firstattempt.go", `"sync"`, `sync "ringback/shared/test/simulation/virtual"`},
	{"shared/groups/securitycode.go", "codeRounds = 210_000", "codeRounds = 1"}, // time is what it is made to take
}

// virtualPackage is what they import. It exists in the overlay alone.
const virtualPackage = `package virtual

import "sync"

type Mutex struct {
	once sync.Once
	free chan struct{}
}

func (m *Mutex) Lock() {
	m.once.Do(func() { m.free = make(chan struct{}, 1) })
	m.free <- struct{}{}
}

func (m *Mutex) Unlock() { <-m.free }
`

// plantedPackage tells which bug of bugs_test.go this process has, counted from 1.
const plantedPackage = `package planted

import (
	"os"
	"strconv"
)

var number, _ = strconv.Atoi(os.Getenv("SIM_BUG"))

func Is(n int) bool { return n == number }
`

// overlayVariable names a file such as -overlay takes. What it replaces is patched
// in place of the repository's own files, so that the simulation can be played
// with the mutants of shared/bench/mutants.
const overlayVariable = "SIM_OVERLAY"

type overlay struct{ Replace map[string]string }

// replaced returns the text of what overlayVariable replaces.
func replaced(t *testing.T) map[string]string {
	t.Helper()
	var under overlay
	files := map[string]string{}
	if name := os.Getenv(overlayVariable); name != "" {
		if err := json.Unmarshal([]byte(read(t, name)), &under); err != nil {
			t.Fatal(err)
		}
	}
	for name, file := range under.Replace {
		files[name] = read(t, file)
	}
	return files
}

// built is the program without planted bugs, in a folder of its own.
var built struct {
	once         sync.Once
	dir, program string
}

func TestMain(m *testing.M) {
	code := m.Run()
	os.RemoveAll(built.dir)
	os.Exit(code)
}

// program returns the program without planted bugs, which is built once for all tests.
func program(t *testing.T) string {
	t.Helper()
	built.once.Do(func() {
		var err error
		if built.dir, err = os.MkdirTemp("", "simulation"); err != nil {
			t.Fatal(err)
		}
		built.program = build(t, built.dir)
	})
	return built.program
}

// build builds this package's tests with patches in dir, and returns the program. It
// has the flags with which other tests build functions, so that what is below is
// compiled once for all.
func build(t *testing.T, dir string, patches ...patch) string {
	t.Helper()
	root, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	files := replaced(t)
	files[filepath.Join(root, "shared/test/simulation/virtual/virtual.go")] = virtualPackage
	files[filepath.Join(root, "shared/test/simulation/planted/planted.go")] = plantedPackage
	for _, p := range slices.Concat(virtual, patches) {
		name := filepath.Join(root, p.file)
		if files[name] == "" {
			files[name] = read(t, name)
		}
		if n := strings.Count(files[name], p.old); n != 1 {
			t.Fatalf("%s holds %q %d times, want once: the patch does not fit any more", p.file, p.old, n)
		}
		files[name] = strings.Replace(files[name], p.old, p.new, 1)
	}
	over := overlay{map[string]string{}}
	for name, text := range files {
		over.Replace[name] = write(t, filepath.Join(dir, strings.ReplaceAll(strings.TrimPrefix(name, root), "/", "_")), text)
	}
	list, err := json.Marshal(over)
	if err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(dir, "simulation.test")
	cmd := exec.CommandContext(t.Context(), "go", "test", "-c", "-trimpath", "-ldflags=-s -w", "-vet=off", "-overlay", write(t, filepath.Join(dir, "overlay.json"), string(list)), "-o", out, ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if said, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build the simulation: %v\n%s", err, said)
	}
	return out
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func write(t *testing.T, name, text string) string {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}
