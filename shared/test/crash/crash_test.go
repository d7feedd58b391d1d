package crash

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"ringback/shared/test/proofs"
)

// everything tells to play each run there is, which takes minutes:
//
//	CRASH=all go test ./shared/test/crash
//
// By default processes end before and after one effect of each name, of which
// those that only a slow scenario has are drawn.
var everything = os.Getenv("CRASH") == "all"

// A runner plays a scenario with processes that end at some points, and
// verifies what came out of it.
type runner func(t *testing.T, sc scenario, ends ...point) *outside

// A planned run is one that is to be played.
type planned struct {
	scenario
	ends []point
	kind string // runs of the same kind are much alike
}

// each plans two runs for each effect: a process ends before it, and after it.
func each(t *testing.T, r runner, scenarios ...scenario) []planned {
	t.Helper()
	var out []planned
	for _, sc := range scenarios {
		for n, name := range r(t, sc).names() {
			out = append(out, planned{sc, []point{{n, false}}, "before " + name}, planned{sc, []point{{n, true}}, "after " + name})
		}
	}
	return out
}

// delivering is what of plans is about deliveries: not what an operator did
// before there were any.
func delivering(plans []planned) []planned {
	return slices.DeleteFunc(plans, func(p planned) bool {
		_, name, _ := strings.Cut(p.kind, " ")
		row, isPut := strings.CutPrefix(name, "put ")
		return isPut && !slices.Contains([]string{"A", "D", "E", "F", "J", "L"}, row)
	})
}

// pairs plans n runs of each scenario in which two processes end, somewhere.
func pairs(t *testing.T, r runner, n int, scenarios ...scenario) []planned {
	t.Helper()
	var out []planned
	for _, sc := range scenarios {
		effects := len(r(t, sc).names())
		for range n {
			a, b := point{rand.N(effects), rand.N(2) == 0}, point{rand.N(effects), rand.N(2) == 0}
			if a.Effect != b.Effect {
				out = append(out, planned{sc, []point{a, b}, fmt.Sprint(a, b)})
			}
		}
	}
	return out
}

// slowRuns is how many runs of slow scenarios are played by default: under the
// race detector each takes seconds.
const slowRuns = 6

// oneOfEach returns a run of each kind, whichever, but slow ones only where
// there is no other, and no more than slowRuns.
func oneOfEach(plans []planned) []planned {
	rand.Shuffle(len(plans), func(i, j int) { plans[i], plans[j] = plans[j], plans[i] })
	slices.SortStableFunc(plans, func(a, b planned) int {
		if a.slow == b.slow {
			return 0
		}
		return map[bool]int{false: -1, true: 1}[a.slow]
	})
	seen, slow := map[string]bool{}, 0
	return slices.DeleteFunc(plans, func(p planned) bool {
		if seen[p.kind] || p.slow && slow == slowRuns {
			return true
		}
		if seen[p.kind] = true; p.slow {
			slow++
		}
		return false
	})
}

// playAll plays one run of each kind, or every run if that is asked for.
func playAll(t *testing.T, r runner, plans []planned) {
	t.Helper()
	all := len(plans)
	if !everything {
		plans = oneOfEach(plans)
	}
	hit := tally{of: map[string]int{}}
	var wg sync.WaitGroup
	todo := make(chan planned)
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for p := range todo {
				t.Run(fmt.Sprint(p.name, p.ends), func(t *testing.T) { hit.add(r(t, p.scenario, p.ends...).Hit) })
			}
		})
	}
	for _, p := range plans {
		todo <- p
	}
	close(todo)
	wg.Wait()
	t.Logf("played %d of %d runs, in which processes ended at %s", len(plans), all, hit.String())
}

// A tally counts the effects at which processes ended.
type tally struct {
	mu sync.Mutex
	of map[string]int
}

func (c *tally) add(names []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, name := range names {
		c.of[name]++
	}
}

func (c *tally) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []string
	for _, name := range slices.Sorted(maps.Keys(c.of)) {
		out = append(out, fmt.Sprintf("%s %d×", name, c.of[name]))
	}
	return strings.Join(out, ", ")
}

// inFileRunner plays a scenario on the embedded backend in virtual time.
func inFileRunner(on inFile) runner {
	return func(t *testing.T, sc scenario, ends ...point) *outside {
		t.Helper()
		dir := t.TempDir()
		out := &outside{Ends: ends}
		synctest.Test(t, func(t *testing.T) {
			out.Begin = time.Now()
			on := on
			on.dir = dir
			w := &world{t: t, out: out, on: &on}
			defer on.closed(t)
			w.play(sc)
		})
		return out
	}
}

// How one process follows another.
var (
	restarted = inFile{}
	replaced  = inFile{takeOver: true}
	// The messages of the former process come before its leases have run out.
	hastened = inFile{takeOver: true, visibility: handlerTime / 2}
)

func TestProcessThatIsRestartedLosesNothing(t *testing.T) {
	if testing.Short() {
		t.Skip("ends processes at each effect, which -short leaves out")
	}
	r := inFileRunner(restarted)
	playAll(t, r, each(t, r, deliveries, lane, groupOfApps))
}

func TestProcessThatIsReplacedLosesNothing(t *testing.T) {
	if !proofs.Full() {
		t.Skip("ends processes at each effect once more, for RINGBACK_PROOFS=full")
	}
	r := inFileRunner(hastened)
	playAll(t, r, delivering(each(t, r, deliveries, failures, lane)))
}

func TestTwoProcessesThatEndLoseNothing(t *testing.T) {
	if !proofs.Full() {
		t.Skip("ends processes at each effect once more, for RINGBACK_PROOFS=full")
	}
	r := inFileRunner(replaced)
	n := 25
	if everything {
		n = 200
	}
	playAll(t, r, pairs(t, r, n, deliveries, lane))
}

// TestStragglerIsMarkedThoughItsRunnerEnded ends one process before the first
// chat is in its lane, and the next one when it has attempted the second, and told
// nobody. Effects come in another order now and then, so it may take some runs.
func TestStragglerIsMarkedThoughItsRunnerEnded(t *testing.T) {
	if testing.Short() {
		t.Skip("ends processes at each effect, which -short leaves out")
	}
	r := inFileRunner(replaced)
	for range 20 {
		stranded := point{slices.Index(r(t, lane).names(), "put E"), true}
		attempted := point{slices.Index(r(t, lane, stranded).names(), "POST "+ordered), true}
		out := r(t, lane, stranded, attempted)
		first, second := out.accepted(ordered, items[0])[0], out.accepted(ordered, items[1])[0]
		if !slices.Equal(out.Hit, []string{"put E", "POST " + ordered}) || out.place(first) < out.place(second) {
			continue
		}
		if !first.Late || second.Late {
			t.Errorf("%q late %v, after %q late %v; want the first alone late", first.Item, first.Late, second.Item, second.Late)
		}
		return
	}
	t.Error("the second chat was never attempted before the first")
}

// TestCodeChangeThatIsCutOffIsToldWhenItIsRepeated ends the process as soon as
// the group has its new code, before the apps can have been told.
func TestCodeChangeThatIsCutOffIsToldWhenItIsRepeated(t *testing.T) {
	if testing.Short() {
		t.Skip("ends processes at each effect, which -short leaves out")
	}
	r := inFileRunner(restarted)
	for n, name := range slices.Backward(r(t, groupOfApps).names()) {
		if name == "put G G" {
			r(t, groupOfApps, point{n, true})
			return
		}
	}
	t.Error("the change of the code wrote no group")
}
