package simulation

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

const (
	usualSeeds = 1000 // of TestSimulation; SIM_SEEDS asks for others
	shareSeeds = 100  // that a process plays before the next one
	mostBroken = 20   // seeds, after which TestSimulation ends
)

// Variables by which TestSeeds is told what to play.
const (
	firstVariable = "SIM_FIRST"
	countVariable = "SIM_COUNT"
	traceVariable = "SIM_TRACE" // not empty: every call is written out
	stopVariable  = "SIM_STOP"  // not empty: the first broken seed is the last
)

func number(t *testing.T, name string, usual uint64) uint64 {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return usual
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("%s=%q: want a number", name, text)
	}
	return n
}

func TestSimulation(t *testing.T) {
	onRequest(t)
	program := build(t)
	if os.Getenv("SIM_SEED") != "" {
		seed := number(t, "SIM_SEED", 0)
		cmd := seeds(t, program, seed, 1, traceVariable+"=1")
		cmd.Stdout = os.Stdout
		if err := cmd.Run(); err != nil {
			t.Errorf("seed %d: %v", seed, err)
		}
		return
	}
	count := number(t, "SIM_SEEDS", usualSeeds)
	if testing.Short() {
		count = shareSeeds
	}
	playSeeds(t, program, number(t, firstVariable, 0), count)
}

// playSeeds has processes play seeds, each a share of them at a time.
func playSeeds(t *testing.T, program string, first, count uint64) {
	t.Helper()
	var next, broken atomic.Uint64
	var players sync.WaitGroup
	for range runtime.NumCPU() {
		players.Go(func() {
			for broken.Load() < mostBroken {
				from := next.Add(shareSeeds) - shareSeeds
				if from >= count {
					return
				}
				r := play(t, program, first+from, min(shareSeeds, count-from))
				for _, text := range r.broken {
					broken.Add(1)
					t.Errorf("%s\nagain with SIM_SEED=%s go test ./shared/simulation -run TestSimulation -v", text, seedOf(text))
				}
				if played := from + shareSeeds; played%(100*shareSeeds) == 0 {
					t.Logf("%d seeds played", played)
				}
			}
		})
	}
	players.Wait()
}

// A result is what came of some seeds.
type result struct {
	broken []string // one text for each broken seed: "seed 4711: what must not be"
	sums   []string // one line for each seed
}

func seedOf(text string) string {
	seed, _, _ := strings.Cut(strings.TrimPrefix(text, "seed "), ":")
	return seed
}

// play has one process play seeds.
func play(t *testing.T, program string, first, count uint64, env ...string) result {
	t.Helper()
	cmd := seeds(t, program, first, count, env...)
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	var r result
	for lines := bufio.NewScanner(bytes.NewReader(out)); lines.Scan(); {
		switch line := lines.Text(); {
		case strings.HasPrefix(line, "seed "):
			if n := len(r.broken); n > 0 && seedOf(r.broken[n-1]) == seedOf(line) {
				continue // the first thing that is wrong is enough
			}
			r.broken = append(r.broken, line)
		case strings.HasPrefix(line, "sum "):
			r.sums = append(r.sums, line)
		}
	}
	if err != nil && len(r.broken) == 0 {
		t.Errorf("seeds from %d on: %v after %d seeds\n%.4000s", first, err, len(r.sums), said.String())
	}
	return r
}

// seeds is the program that plays seeds, on one thread of Go code.
func seeds(t *testing.T, program string, first, count uint64, env ...string) *exec.Cmd {
	cmd := exec.CommandContext(t.Context(), program, "-test.run", "^TestSeeds$", "-test.timeout", "0")
	cmd.Env = append(os.Environ(), "GOMAXPROCS=1", fmt.Sprintf("%s=%d", firstVariable, first), fmt.Sprintf("%s=%d", countVariable, count))
	cmd.Env = append(cmd.Env, env...)
	return cmd
}

// TestSeeds is what the processes of the other tests run.
func TestSeeds(t *testing.T) {
	count := number(t, countVariable, 0)
	if count == 0 {
		t.Skip("skipped: run by TestSimulation")
	}
	var trace io.Writer
	if os.Getenv(traceVariable) != "" {
		trace = os.Stdout
	}
	first := number(t, firstVariable, 0)
	for seed := first; seed < first+count; seed++ {
		broken, sum := simulate(t, seed, trace)
		fmt.Printf("sum %d %d\n", seed, sum)
		for _, text := range broken {
			fmt.Printf("seed %d: %s\n", seed, text)
			t.Fail()
		}
		if t.Failed() && os.Getenv(stopVariable) != "" {
			return
		}
	}
}

func TestSameSeedIsTheSameRun(t *testing.T) {
	onRequest(t)
	const count = 60
	program := build(t)
	whole := play(t, program, 0, count).sums
	var alone []string
	for seed := range uint64(count / 10) {
		alone = append(alone, play(t, program, 10*seed+3, 1).sums...)
	}
	again := play(t, program, 0, count).sums
	differ := 0
	for n, sum := range whole {
		if !onFile(uint64(n)) && sum != again[n] {
			differ++
		}
	}
	if differ > 0 || len(whole) != count {
		t.Errorf("%d of %d seeds made other calls when they were played again", differ, len(whole))
	}
	for _, sum := range alone {
		if !slices.Contains(whole, sum) {
			t.Errorf("%s when it is played alone, another among others", sum)
		}
	}
}

// onRequest skips t unless seeds are asked for: some still end in a failure that
// is not understood, so they are no check yet.
func onRequest(t *testing.T) {
	t.Helper()
	if os.Getenv("SIM_SEEDS") == "" && os.Getenv("SIM_SEED") == "" {
		t.Skip("no seeds are played: set SIM_SEEDS or SIM_SEED")
	}
}
