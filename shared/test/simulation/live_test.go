package simulation

import (
	"io"
	"math/rand/v2"
	"testing"
	"testing/cryptotest"
	"testing/synctest"
	"time"

	"ringback/shared/config"
	"ringback/shared/keyring"
)

// simulate plays the run of a seed in virtual time and returns what must not
// be, and the sum of all calls.
func simulate(t *testing.T, seed uint64, trace io.Writer) (broken []string, sum uint64) {
	t.Helper()
	rng := rand.New(rand.NewPCG(seed, 5))
	w := run(t, newPlan(seed, rng), rng, trace)
	return w.broken, w.sum
}

// run plays the run of a plan in virtual time and returns the world after it.
func run(t *testing.T, p plan, rng *rand.Rand, trace io.Writer) *world {
	t.Helper()
	w := &world{rng: rng, plan: p, trace: trace, effects: map[string]int{}}
	synctest.Test(t, func(t *testing.T) {
		cryptotest.SetGlobalRandom(t, p.seed)
		w.t = t
		w.wake = make(chan struct{}, 1)
		w.ids = map[string]*item{}
		w.settings = settings(t)
		w.keys = keyRing(t)
		if w.on = newInMemory(w); w.plan.embedded {
			file := newInFile(w)
			defer file.close()
			w.on = file
		}
		weak, _ := w.plan.weakness.Weaken(w.on.store(), w.on.queue())
		w.weakStore = outageStore{weak, w}
		w.weakQueue = outageQueue{weakQueue{w.on.queue(), w}, w}
		w.live()
	})
	return w
}

func settings(t *testing.T) config.Config {
	t.Helper()
	cfg, err := config.Load(func(name string) string { return map[string]string{"PUBLIC_URL": "https://ringback.example"}[name] })
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

func keyRing(t *testing.T) *keyring.Ring {
	t.Helper()
	keys, err := keyring.Parse("1 a key ring of no fewer than 32 characters")
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// live is a run from its beginning to its end.
func (w *world) live() {
	w.say("%+v", w.plan)
	if script := scripts[w.plan.script]; script != nil {
		script(w)
	} else {
		w.byChance()
	}
	if len(w.broken) == 0 {
		w.verify()
	}
	for len(w.alive) > 0 {
		w.end(w.alive[0])
	}
	for {
		time.Sleep(2 * time.Nanosecond) // longer than the overlay has a goroutine sleep
		w.settle(w.takes)
		c := w.first()
		if c == nil {
			return
		}
		w.pass(c, endsBefore)
	}
}

// byChance has happen what the seed chooses, until all is at rest.
func (w *world) byChance() {
	w.setUp()
	w.calm = false
	var at time.Duration
	for range w.plan.things {
		if at += time.Duration(w.rng.Int64N(int64(4 * time.Second))); w.rng.IntN(2) == 0 || at > w.plan.active {
			at = time.Duration(w.rng.Int64N(int64(w.plan.active)))
		}
		w.expect(at)
	}
	for range w.plan.deeds {
		w.after(time.Duration(w.rng.Int64N(int64(w.plan.active))), func() {
			if w.rng.IntN(3) == 0 {
				w.expect(time.Duration(w.rng.Int64N(int64(2 * time.Second))))
			}
			w.someDeed()
		})
	}
	if w.plan.releases {
		for _, r := range w.wishes {
			w.disableAndRelease(r)
		}
	}
	for range w.plan.jumps {
		w.after(time.Duration(w.rng.Int64N(int64(w.plan.active))), func() {
			for _, p := range w.alive {
				w.setClock(p)
			}
		})
	}
	for range w.plan.outages {
		w.after(time.Duration(w.rng.Int64N(int64(w.plan.active))), w.someOutage)
	}
	w.after(w.plan.active, w.becomeCalm)
	w.play(w.atRest)
}

// expect has a callback come in a while.
func (w *world) expect(after time.Duration) {
	w.coming++
	w.after(after, func() { w.send(w.newCallback(pick(w.rng, w.sources...))) })
}

// disableAndRelease has r be disabled, and enabled again while things come for
// it so fast that a process which has not heard of that holds some of them yet.
func (w *world) disableAndRelease(r *wish) {
	at := time.Duration(w.rng.Int64N(int64(w.plan.active / 2)))
	w.after(at, func() { w.disable(r) })
	at += time.Duration(w.rng.Int64N(int64(w.plan.active / 2)))
	w.after(at, func() { w.enable(r, true) })
	for range 8 {
		w.coming++
		w.after(at+time.Duration(w.rng.Int64N(int64(2*time.Second))), func() { w.send(w.newCallback(r.source)) })
	}
}

// becomeCalm ends all that goes wrong. Most endpoints become well, and somebody
// looks after dead letters.
func (w *world) becomeCalm() {
	w.say("all is calm")
	w.calm = true
	for _, r := range w.wishes {
		if r.mood != gone && w.rng.IntN(4) > 0 {
			r.mood = well
		}
	}
	w.lookAfterDead()
}

func (w *world) lookAfterDead() {
	for _, name := range queues {
		if d, err := w.on.queue().Depth(w.t.Context(), name); err == nil && d.Dead > 0 {
			w.redrive(nil)
			break
		}
	}
	if !w.atRest() {
		w.after(10*time.Minute, w.lookAfterDead)
	}
}
