package simulation

import (
	"fmt"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"ringback/shared/config"
	"ringback/shared/keyring"
	"ringback/shared/storage"
)

// patience is how long a world that is calm may take to come to rest: the
// longest schedule, and an hour for each thing that may still go wrong.
const patience = 10 * 24 * time.Hour

// mostCalls is how many calls a run may take. Most take a few thousand; where the
// queue takes messages for minutes and never says so, their copies take 170,000.
// Where things come thick and fast, hundreds of deliveries and lanes of an endpoint
// that refuses, or asks for a quarter of an hour each time, ask for their turn for
// days: over 300,000 with seed 373, 323,000 with 7435, 1.6 million with 8651.
func (p plan) mostCalls() int {
	if p.releases {
		return 2_000_000
	}
	return 600_000
}

// A world is one run: processes, what they reach, and who uses them. All of it
// but the processes' goroutines runs on one goroutine.
type world struct {
	desk
	t        *testing.T
	plan     plan
	rng      *rand.Rand
	settings config.Config
	keys     *keyring.Ring
	trace    io.Writer // nil: none

	on        backend
	weakStore storage.Store
	weakQueue storage.Queue
	storeIs   outage
	queueIs   outage
	calm      bool // nothing goes wrong any more

	processes int        // how many there were
	alive     []*process // that have not ended
	events    []event
	counted   int // events so far
	lastTick  time.Time
	crashed   int
	effects   map[string]int // of each name so far, in a run of a script
	hit       []point        // of the plan's ends
	broken    []string       // what must not be
	sum       uint64         // of all calls: the same in every run of the seed

	people
}

// An event is something that happens at a time, if no process ends before.
type event struct {
	at     time.Time
	number int
	do     func()
}

// after has f happen in a while.
func (w *world) after(d time.Duration, f func()) {
	w.counted++
	w.events = append(w.events, event{time.Now().Add(d), w.counted, f})
}

// firstEvent returns the place of the event that comes first; -1 if there is none.
func (w *world) firstEvent() (first int) {
	first = -1
	for i, e := range w.events {
		if first < 0 || e.at.Before(w.events[first].at) || e.at.Equal(w.events[first].at) && e.number < w.events[first].number {
			first = i
		}
	}
	return first
}

// play lets things happen, one after the other, until over holds, something is
// broken, or nothing is left to happen within patience.
func (w *world) play(over func() bool) {
	for end := time.Now().Add(patience); ; {
		w.settle(w.takes)
		now := time.Now()
		if over() || len(w.broken) > 0 {
			return
		}
		if now.After(end) || w.numbers > w.plan.mostCalls() {
			w.fail("not at rest after %v and %d calls:\n%s", now.Sub(end.Add(-patience)), w.numbers, w.unfinished())
			return
		}
		next := end.Add(time.Second)
		e := w.firstEvent()
		if e >= 0 {
			next = w.events[e].at
		}
		c := w.first()
		switch {
		case e >= 0 && !next.After(now):
			do := w.events[e].do
			w.events = slices.Delete(w.events, e, e+1)
			do()
		case c != nil && !c.at.After(now):
			w.letGo(c)
		case w.on.poll() || w.tick():
		default:
			if c != nil {
				next = earlier(next, c.at)
			}
			w.wait(earlier(earlier(next, w.on.nextArrival()), w.nextTick()))
		}
	}
}

func earlier(a, b time.Time) time.Time {
	if b.IsZero() || a.Before(b) {
		return a
	}
	return b
}

// takes returns how long a call takes until it has its effect.
func (w *world) takes(*call) time.Duration {
	if !w.calm && w.plan.slow > 0 && w.rng.Float64() < w.plan.slow {
		return time.Duration(w.rng.Int64N(int64(2 * time.Second)))
	}
	return time.Duration(1+w.rng.IntN(8)) * time.Millisecond
}

// letGo decides the fate of a call and lets it go on.
func (w *world) letGo(c *call) {
	f := lives
	switch {
	case c.process.ended:
		f = endsBefore
	case w.plan.script != "":
		f = w.atEffect(c)
	case !w.calm && c.process.w != nil && w.crashed < w.plan.crashes && w.rng.IntN(80) == 0:
		f = pick(w.rng, endsBefore, endsAfter)
	}
	w.note(c, f)
	w.pass(c, f)
	if f != lives && !c.process.ended {
		w.crashed++
		w.settle(w.takes)
		w.end(c.process)
	}
}

// note adds a call to the trace.
func (w *world) note(c *call, f fate) {
	h := fnv.New64a()
	fmt.Fprint(h, w.sum, time.Now().UnixNano(), c.process.number, c.name, c.about, f)
	w.sum = h.Sum64()
	if w.trace != nil {
		fate := [...]string{"", " (the process ends before it)", " (the process ends after it)"}[f]
		fmt.Fprintf(w.trace, "%s %2d %s: %s %.150s%s\n", time.Now().Format("02 15:04:05.000"), c.process.number, c.process.role, c.name, c.about, fate)
	}
}

// say adds a line about the world to the trace.
func (w *world) say(format string, args ...any) {
	if w.trace != nil {
		fmt.Fprintf(w.trace, "%s    %s\n", time.Now().Format("02 15:04:05.000"), fmt.Sprintf(format, args...))
	}
}

// fail notes something that must not be.
func (w *world) fail(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	w.broken = append(w.broken, time.Now().Format("02 15:04:05.000 ")+text)
	w.say("BROKEN: %s", text)
}

// process returns the process that has a role now.
func (w *world) process(role string) *process {
	if w.plan.alone {
		role = "all" // as on one machine
	}
	for _, p := range w.alive {
		if p.role == role {
			return p
		}
	}
	return w.newProcess(role)
}

// end ends a process: none of its calls has an effect any more.
func (w *world) end(p *process) {
	if p.ended {
		return
	}
	w.say("process %d, %s, has ended", p.number, p.role)
	p.ended = true
	p.cancel()
	w.alive = slices.DeleteFunc(w.alive, func(other *process) bool { return other == p })
	for _, c := range slices.Clone(w.parked) {
		if c.process == p {
			w.pass(c, endsBefore)
		}
	}
	w.on.lost(p)
	w.abandoned(p)
}

// store returns the Store as it is at this moment.
func (w *world) store() storage.Store {
	if w.calm {
		return w.on.store()
	}
	return w.weakStore
}

func (w *world) queue() storage.Queue {
	if w.calm {
		return w.on.queue()
	}
	return w.weakQueue
}
