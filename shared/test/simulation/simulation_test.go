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
	"testing"
	"time"

	"ringback/shared/test/proofs"
)

const (
	usualSeeds = 1000 // of TestSimulation; SIM_SEEDS asks for others
	shareSeeds = 50   // that a process plays before the next one
	mostBroken = 20   // seeds, after which TestSimulation ends
)

// Variables that say what to play. The first three are for whoever runs
// TestSimulation; it tells its processes by the others.
const (
	seedVariable  = "SIM_SEED"  // one, with all its calls
	seedsVariable = "SIM_SEEDS" // so many
	firstVariable = "SIM_FIRST" // from this one on; usually 0
	countVariable = "SIM_COUNT" // so many, in this process
	traceVariable = "SIM_TRACE" // not empty: every call is written out
	stopVariable  = "SIM_STOP"  // not empty: the first broken seed is the last
	bugVariable   = "SIM_BUG"   // which of bugs the gateway has
	bugsVariable  = "SIM_BUGS"  // all: each is searched for from the first seed on
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

// TestSimulation has processes play seeds. In such a process it plays them.
func TestSimulation(t *testing.T) {
	if count := number(t, countVariable, 0); count > 0 {
		playHere(t, number(t, firstVariable, 0), count)
		return
	}
	program := program(t)
	if os.Getenv(seedVariable) != "" {
		seed := number(t, seedVariable, 0)
		cmd := seeds(t, program, seed, 1, traceVariable+"=1")
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		if err := cmd.Run(); err != nil {
			t.Errorf("seed %d: %v", seed, err)
		}
		return
	}
	count := number(t, seedsVariable, proofs.Length(uint64(usualSeeds)/100, usualSeeds/20, usualSeeds))
	newGame(number(t, firstVariable, 0), count).play(t, program)
}

// A game is seeds that processes play, each a share of them at a time.
type game struct {
	start time.Time
	end   uint64 // one after the last seed

	mu      sync.Mutex
	next    uint64   // seed of the next share
	playing []uint64 // first seeds of the shares that are being played
	broken  int
	told    uint64 // of so many thousands it was said that they were played
}

func newGame(first, count uint64) *game {
	return &game{start: time.Now(), next: first, end: first + count, told: first / 1000}
}

func (g *game) play(t *testing.T, program string) {
	t.Helper()
	var players sync.WaitGroup
	for range runtime.NumCPU() {
		players.Go(func() {
			for first, count := g.take(); count > 0; first, count = g.take() {
				r := play(t, program, first, count)
				for _, text := range r.broken {
					t.Errorf("%s\nagain by %s=%s go test -run TestSimulation -v ./shared/test/simulation", text, seedVariable, seedOf(text))
				}
				g.give(t, first, len(r.broken))
			}
		})
	}
	players.Wait()
	t.Logf("all before seed %d were played, after %v", g.next, time.Since(g.start).Round(time.Second))
}

// take returns the next share, of no seeds after the last.
func (g *game) take() (first, count uint64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.broken >= mostBroken {
		return g.next, 0
	}
	first, count = g.next, min(shareSeeds, g.end-g.next)
	g.next += count
	g.playing = append(g.playing, first)
	return first, count
}

// give ends a share, and tells of each thousand seeds before which all were
// played: whoever is interrupted goes on there.
func (g *game) give(t *testing.T, first uint64, broken int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.broken += broken
	g.playing = slices.DeleteFunc(g.playing, func(seed uint64) bool { return seed == first })
	all := g.next
	if len(g.playing) > 0 {
		all = slices.Min(g.playing)
	}
	if all/1000 > g.told {
		g.told = all / 1000
		t.Logf("all before seed %d were played, after %v; to go on from there: %s=%d", all, time.Since(g.start).Round(time.Second), firstVariable, all)
	}
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

// play has one process play seeds. A seed at which it ends is broken.
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
		r.broken = append(r.broken, fmt.Sprintf("seed %d: the process ended: %v\n%.4000s%.4000s", first+uint64(len(r.sums)), err, said.String(), out))
	}
	return r
}

// seeds is the program that plays seeds, on one thread of Go code.
func seeds(t *testing.T, program string, first, count uint64, env ...string) *exec.Cmd {
	cmd := exec.CommandContext(t.Context(), program, "-test.run", "^TestSimulation$", "-test.timeout", "0")
	cmd.Env = append(os.Environ(), "GOMAXPROCS=1", "GOGC=400", fmt.Sprintf("%s=%d", firstVariable, first), fmt.Sprintf("%s=%d", countVariable, count))
	cmd.Env = append(cmd.Env, env...)
	return cmd
}

// traceWanted returns where all calls are to be written; nil for nowhere.
func traceWanted() io.Writer {
	if os.Getenv(traceVariable) == "" {
		return nil
	}
	return os.Stdout
}

// playHere plays seeds in this process, and writes what came of them to standard
// output.
func playHere(t *testing.T, first, count uint64) {
	for seed := first; seed < first+count; seed++ {
		broken, sum := simulate(t, seed, traceWanted())
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
	count := proofs.Length(4, 10, 60)
	program := program(t)
	whole := play(t, program, 0, uint64(count)).sums
	again := play(t, program, 0, uint64(count)).sums
	if len(whole) != count || len(again) != count {
		t.Fatalf("%d and %d of %d seeds were played", len(whole), len(again), count)
	}
	// Runs of one process that lose the same row at the same instant pause alike, and
	// nobody can tell which of them asks first then.
	other := 0
	for n, sum := range whole {
		if !onFile(uint64(n)) && sum != again[n] {
			t.Logf("seed %d made other calls when it was played again", n)
			other++
		}
	}
	if other > 2 {
		t.Errorf("%d of %d seeds made other calls when they were played again, want 2 at most", other, count)
	}
	for seed := uint64(3); seed < uint64(count); seed += 10 {
		if alone := play(t, program, seed, 1).sums; len(alone) != 1 || alone[0] != whole[seed] {
			t.Errorf("%v when it is played alone, %s among others", alone, whole[seed])
		}
	}
}
