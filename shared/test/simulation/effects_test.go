package simulation

import (
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"ringback/shared/test/proofs"
)

// A point is where a process ends: before or after an effect, the nth of its name
// in a run, from 0.
type point struct {
	Effect string
	Nth    int
	After  bool
}

func (p point) kind() string {
	return map[bool]string{false: "before ", true: "after "}[p.After] + p.Effect
}

// effects are all that scripts must have. Each is tried.
var effects = []string{
	"POST", "delete L", "delete M", "delete S R", "delete of events", "delete of retry",
	"put A", "put D", "put E", "put G A", "put G G", "put G K", "put J", "put K K", "put L", "put M", "put M *", "put N N",
	"put R H", "put R R", "put S C", "put S G", "put S R", "put S S", "put S V",
	"put T G", "put T J", "put T K", "put T N", "put T R", "put T T", "put W W", "send to events", "send to retry",
}

// atEffect counts the effects of a script's run, and returns the fate that the
// plan has for the process at this one.
func (w *world) atEffect(c *call) fate {
	kind, _, _ := strings.Cut(c.name, " ")
	if c.process.w == nil || !slices.Contains([]string{"put", "delete", "send", "POST"}, kind) {
		return lives
	}
	nth := w.effects[c.name]
	w.effects[c.name]++
	i := slices.IndexFunc(w.plan.ends, func(p point) bool { return p.Effect == c.name && p.Nth == nth })
	if i < 0 {
		return lives
	}
	w.hit = append(w.hit, w.plan.ends[i])
	switch {
	case !w.plan.ends[i].After:
		return endsBefore
	case w.plan.embedded && kind == "delete" && strings.HasPrefix(c.name, "delete of "):
		w.after(time.Millisecond, func() { // the file deletes messages when their handler has returned
			w.crashed++
			w.end(c.process)
		})
		return lives
	default:
		return endsAfter
	}
}

// How one process follows another.
var (
	restarted = plan{embedded: true, alone: true, workers: 1, concurrent: 8}
	takenOver = plan{workers: 2, concurrent: 1}              // others wait for the end of its leases
	hastened  = plan{workers: 2, concurrent: 1, hasty: true} // what it had received comes again while its leases hold
)

// playScript plays a script in which processes end at some points.
func playScript(t *testing.T, p plan, script string, ends ...point) *world {
	t.Helper()
	p.seed, p.script, p.ends, p.clean, p.atOnce, p.active = 1, script, ends, true, 256, time.Hour
	p.byCode, p.failures, p.lanes = script == "group", script == "failures", script == "group" || script == "lane"
	w := run(t, p, rand.New(rand.NewPCG(p.seed, 5)), traceWanted())
	if len(w.broken) > 0 {
		t.Errorf("%s, where a process ends at %+v: %s", script, ends, w.broken[0])
	}
	return w
}

// pointsOf returns where processes are to end in a script's run: at each effect at
// full length, otherwise before the first of a name and after the last.
func pointsOf(t *testing.T, p plan, script string) []point {
	t.Helper()
	var out []point
	w := playScript(t, p, script)
	for _, name := range slices.Sorted(maps.Keys(w.effects)) {
		for n, last := 0, w.effects[name]-1; n <= last; n++ {
			if n == 0 || proofs.Full() {
				out = append(out, point{name, n, false})
			}
			if n == last || proofs.Full() {
				out = append(out, point{name, n, true})
			}
		}
	}
	return out
}

// endAtEach plays each script with an end at each of its points, or at one of so
// many.
func endAtEach(t *testing.T, p plan, every int) {
	t.Helper()
	hit, runs := map[string]int{}, 0
	for _, script := range slices.Sorted(maps.Keys(scripts)) {
		points := pointsOf(t, p, script)
		for n := every / 2; n < len(points); n += every {
			runs++
			for _, end := range playScript(t, p, script, points[n]).hit {
				hit[end.kind()]++
			}
		}
	}
	t.Logf("in %d runs processes ended %v", runs, hit)
	for _, name := range effects {
		if every == 1 && (hit["before "+name] == 0 || hit["after "+name] == 0) {
			t.Errorf("no process ended before and after %s", name)
		}
	}
}

func TestProcessThatIsTakenOverLosesNothing(t *testing.T) {
	if inProgram(t) {
		endAtEach(t, takenOver, proofs.Length(9, 1, 1))
		endAtEach(t, hastened, proofs.Length(1000, 5, 1))
	}
}

func TestProcessThatIsRestartedLosesNothing(t *testing.T) {
	if inProgram(t) {
		endAtEach(t, restarted, proofs.Length(1000, 7, 1))
	}
}

func TestTwoProcessesThatEndLoseNothing(t *testing.T) {
	if testing.Short() {
		t.Skip("plays pairs of ends, which -short leaves out")
	}
	if !inProgram(t) {
		return
	}
	rng := rand.New(rand.NewPCG(1, 1))
	for _, p := range []plan{takenOver, hastened} {
		both := 0
		for _, script := range slices.Sorted(maps.Keys(scripts)) {
			points := pointsOf(t, p, script)
			for range proofs.Length(0, 10, 200) {
				if w := playScript(t, p, script, pick(rng, points...), pick(rng, points...)); len(w.hit) == 2 {
					both++
				}
			}
		}
		if both == 0 {
			t.Error("no two processes ended in a run")
		}
	}
}

// TestStragglerIsMarkedThoughItsRunnerEnded ends one process before the first chat
// is in its lane, and the next one when it has attempted the second, and told
// nobody.
func TestStragglerIsMarkedThoughItsRunnerEnded(t *testing.T) {
	if !inProgram(t) {
		return
	}
	w := playScript(t, takenOver, "lane", point{"put E", 0, true}, point{"POST", 0, true})
	late := map[string]bool{}
	for _, p := range w.posts {
		late[p.item.text] = late[p.item.text] || p.late
	}
	if first, second := w.items[0].text, w.items[1].text; len(w.hit) != 2 || w.posts[0].item != w.items[1] || !late[first] || late[second] {
		t.Errorf("after %d ends: %s came first, late are %v; want 2 ends, %s first, and %s alone late", len(w.hit), w.posts[0].item.text, late, second, first)
	}
}

// insideVariable tells a test that it is in the program that build made.
const insideVariable = "SIM_INSIDE"

// inProgram reports whether a test is in the program that build made. If it is
// not, the test is played there.
func inProgram(t *testing.T) bool {
	t.Helper()
	if os.Getenv(insideVariable) != "" {
		return true
	}
	cmd := command(t, program(t), insideVariable+"=1")
	out, err := cmd.CombinedOutput()
	if t.Logf("%s", out); err != nil {
		t.Error(err)
	}
	return false
}

// command is a program that plays this test, on one thread of Go code.
func command(t *testing.T, program string, env ...string) *exec.Cmd {
	cmd := exec.CommandContext(t.Context(), program, "-test.v", "-test.run", "^"+t.Name()+"$", "-test.timeout", "0")
	if testing.Short() {
		cmd.Args = append(cmd.Args, "-test.short")
	}
	cmd.Env = slices.Concat(os.Environ(), []string{"GOMAXPROCS=1", "GOGC=400"}, env)
	return cmd
}
