package crash

import (
	"cmp"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// patience is for slow machines, and for the race detector, under which a run
// takes ten times as long.
var patience = flag.Duration("crash.patience", 4*time.Second, "how long each test goes on to play runs; in 10m all are played")

// A runner plays a scenario with processes that end at some points, and
// verifies what came out of it.
type runner func(t *testing.T, sc scenario, ends ...point) *outside

// A planned run is one that is to be played.
type planned struct {
	scenario
	ends []point
	rank int // how many effects of the same name come later
}

// each plans two runs for each effect: a process ends before it, and after it.
func each(t *testing.T, r runner, sc scenario) []planned {
	t.Helper()
	var out []planned
	rank := map[string]int{}
	for n, name := range slices.Backward(r(t, sc).names()) {
		out = append(out, planned{sc, []point{{n, false}}, rank[name]}, planned{sc, []point{{n, true}}, rank[name]})
		rank[name]++
	}
	return out
}

// pairs plans n runs in which two processes end, somewhere.
func pairs(t *testing.T, r runner, sc scenario, n int) []planned {
	t.Helper()
	var out []planned
	for effects := len(r(t, sc).names()); len(out) < n; {
		a, b := point{rand.N(effects), rand.N(2) == 0}, point{rand.N(effects), rand.N(2) == 0}
		if a.Effect != b.Effect {
			out = append(out, planned{sc, []point{a, b}, 0})
		}
	}
	return out
}

// playAll plays runs in any order, but each kind of effect before it comes to
// the same again, until patience ends, and at least some.
func playAll(t *testing.T, r runner, least int, plans []planned) {
	t.Helper()
	rand.Shuffle(len(plans), func(i, j int) { plans[i], plans[j] = plans[j], plans[i] })
	slices.SortStableFunc(plans, func(a, b planned) int { return cmp.Compare(a.rank, b.rank) })
	todo := make(chan planned)
	hit := tally{of: map[string]int{}}
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for p := range todo {
				t.Run(fmt.Sprint(p.name, p.ends), func(t *testing.T) { hit.add(r(t, p.scenario, p.ends...).Hit) })
			}
		})
	}
	played := 0
	for end := time.Now().Add(*patience); played < len(plans) && (played < least || time.Now().Before(end)); played++ {
		todo <- plans[played]
	}
	close(todo)
	wg.Wait()
	t.Logf("played %d of %d runs, in which processes ended at %s", played, len(plans), hit.String())
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
	r := inFileRunner(restarted)
	playAll(t, r, 10, each(t, r, deliveries))
}

func TestProcessThatIsReplacedLosesNothing(t *testing.T) {
	r := inFileRunner(hastened)
	playAll(t, r, 10, each(t, r, deliveries))
}

func TestHistoryOfFailuresLosesNothing(t *testing.T) {
	r := inFileRunner(hastened)
	playAll(t, r, 10, each(t, r, failures))
}

func TestLaneLosesNothing(t *testing.T) {
	r := inFileRunner(hastened)
	playAll(t, r, 10, each(t, r, lane))
}

func TestLaneOfAProcessThatIsRestartedLosesNothing(t *testing.T) {
	r := inFileRunner(restarted)
	playAll(t, r, 10, each(t, r, lane))
}

func TestTwoProcessesThatEndLoseNothing(t *testing.T) {
	r := inFileRunner(replaced)
	playAll(t, r, 10, append(pairs(t, r, deliveries, 100), pairs(t, r, lane, 100)...))
}

func TestChangeOfAGroupsCodeSurvivesACrash(t *testing.T) {
	r := inFileRunner(restarted)
	playAll(t, r, 6, each(t, r, groupOfApps))
}

// TestCodeChangeThatIsCutOffIsToldWhenItIsRepeated ends the process as soon as
// the group has its new code, before the apps can have been told.
func TestCodeChangeThatIsCutOffIsToldWhenItIsRepeated(t *testing.T) {
	r := inFileRunner(restarted)
	for n, name := range slices.Backward(r(t, groupOfApps).names()) {
		if name == "put G G" {
			r(t, groupOfApps, point{n, true})
			return
		}
	}
	t.Error("the change of the code wrote no group")
}
