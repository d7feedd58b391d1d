package app_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"ringback/shared/control"
	"ringback/shared/gateway"
	"ringback/shared/history"
	"ringback/shared/ident"
	"ringback/shared/schedule"
	"ringback/shared/storage"
	"ringback/shared/test/gatewaytest"
	"ringback/shared/test/proofs"
)

// A fading Store fails for good after so many writes, as that of a process that
// ends does.
type fading struct {
	storage.Store
	left *atomic.Int64
}

func (f fading) Put(ctx context.Context, r storage.Row, was string) error {
	if f.left.Add(-1) < 0 {
		return errBroken
	}
	return f.Store.Put(ctx, r, was)
}

func (f fading) Delete(ctx context.Context, k storage.Key, was string) error {
	if f.left.Add(-1) < 0 {
		return errBroken
	}
	return f.Store.Delete(ctx, k, was)
}

// job waits for a job's end.
func (w *world) job(id string) gateway.Job {
	w.t.Helper()
	var j gateway.Job
	w.within(24*time.Hour, "the job ends", func() bool {
		got, err := w.g.Job(w.t.Context(), id)
		j = got
		return err == nil && j.Status != gateway.JobRunning
	})
	return j
}

// A labour is a job in a world where there is work for it.
type labour struct {
	s        gateway.Source
	c        control.Caller
	r        gateway.Registration
	e        *gatewaytest.Endpoint
	since    time.Time
	start    func(id string) (gateway.Job, error)
	finished func() bool
}

const labours = 24 // events that a job deals with

// labours are ways to make work and the job that does it.
var kindsOfLabour = map[gateway.JobKind]func(w *world) labour{
	gateway.JobRecover: func(w *world) labour {
		l := w.failed(labours)
		l.start = func(id string) (gateway.Job, error) {
			return w.control().StartRecover(w.t.Context(), l.c, id, l.r.ID, control.Span{Since: l.since})
		}
		l.finished = func() bool { return len(l.e.Succeeded()) == labours }
		return l
	},
	gateway.JobReplay: func(w *world) labour {
		l := w.labour()
		for n := range labours {
			w.chat(w.path(again(w, func() (string, error) { return w.control().FirstCallbackURL(w.t.Context(), l.s) })), groupA, fmt.Sprint(n))
		}
		time.Sleep(time.Hour)
		l.r, l.e = w.register(l.c, l.s, "late.example", control.RegistrationChange{})
		l.start = func(id string) (gateway.Job, error) {
			return w.control().StartReplay(w.t.Context(), l.c, id, l.r.ID, control.Span{Since: l.since})
		}
		l.finished = func() bool { return len(l.e.Succeeded()) == labours }
		return l
	},
	gateway.JobErasure: func(w *world) labour {
		l := w.failed(labours)
		l.start = func(id string) (gateway.Job, error) {
			return w.control().StartErasure(w.t.Context(), id, l.s.ID, gateway.Match{"group": {groupA}})
		}
		l.finished = func() bool { return w.erased(l.s) == labours }
		return l
	},
	gateway.JobRemoval: func(w *world) labour {
		l := w.failed(labours)
		l.start = func(id string) (gateway.Job, error) {
			j, err := w.control().RemoveTenant(w.t.Context(), l.c.Tenant)
			return j, err
		}
		l.finished = func() bool {
			_, err := w.control().Tenant(w.t.Context(), l.c.Tenant)
			_, gone := w.control().Registration(w.t.Context(), control.Operator(), l.r.ID)
			return errors.Is(err, storage.ErrNotFound) && errors.Is(gone, storage.ErrNotFound)
		}
		return l
	},
}

func (w *world) labour() labour {
	w.t.Helper()
	s, _ := w.smartBots()
	l := labour{s: s, c: w.tenant(s, nil)}
	l.since = w.later()
	return l
}

// later waits for longer than clocks differ, and returns a time in between.
func (w *world) later() time.Time {
	time.Sleep(20 * time.Second)
	return time.Now().Add(-10 * time.Second)
}

// failed is work of which n deliveries failed for good; the endpoint is well
// again.
func (w *world) failed(n int) labour {
	w.t.Helper()
	l := w.labour()
	l.r, l.e = w.register(l.c, l.s, "failed.example", control.RegistrationChange{Schedule: &schedule.Schedule{Waits: []time.Duration{}}})
	l.e.RespondWith(gatewaytest.Always(500))
	path := w.path(again(w, func() (string, error) { return w.control().FirstCallbackURL(w.t.Context(), l.s) }))
	for i := range n {
		if i%8 == 7 { // an acceptance now and then keeps the circuit closed
			w.within(24*time.Hour, "those before failed", func() bool { return w.count(l.c, l.r, gateway.Failed) == i })
			l.e.RespondWith(nil)
			before := len(l.e.Succeeded())
			w.chat(path, groupB, "well")
			w.within(24*time.Hour, "accepted", func() bool { return len(l.e.Succeeded()) > before })
			l.e.RespondWith(gatewaytest.Always(500))
		}
		w.chat(path, groupA, fmt.Sprint(i))
	}
	w.within(24*time.Hour, "all failed", func() bool { return w.count(l.c, l.r, gateway.Failed) == n })
	l.e.RespondWith(nil)
	l.e.Forget()
	time.Sleep(10 * time.Second) // a job looks at what failed before it
	return l
}

// erased counts the events of a source that are.
func (w *world) erased(s gateway.Source) (n int) {
	w.t.Helper()
	for q := (history.Query{Source: s.ID}); ; {
		type page struct {
			events []history.Event
			next   string
		}
		p := again(w, func() (page, error) {
			es, next, err := w.lists().Events(w.t.Context(), control.Operator(), q)
			return page{es, next}, err
		})
		for _, e := range p.events {
			if e.Erased {
				n++
			}
		}
		if q.Cursor = p.next; p.next == "" {
			return n
		}
	}
}

func TestJobsGoOnAfterTheirProcessEnded(t *testing.T) {
	proofs.Long(t)
	for kind, work := range kindsOfLabour {
		t.Run(string(kind), func(t *testing.T) {
			everywhere(t, func(t *testing.T, w *world) {
				l := work(w)
				var left atomic.Int64
				left.Store(35)
				w.restartWith(w.ring, func(s storage.Store) storage.Store { return fading{s, &left} })
				id := ident.New("job", time.Now())
				j, err := l.start(id)
				if err != nil && w.weak == 0 {
					t.Fatal(err)
				}
				if err == nil {
					id = j.ID
				}
				time.Sleep(20 * time.Minute)
				w.restartWith(w.ring, nil)
				if l.finished() && w.weak == 0 {
					t.Fatal("the job was over before its process ended")
				}
				if err != nil {
					id = again(w, func() (gateway.Job, error) { return l.start(id) }).ID
				}
				if j := w.job(id); j.Status != gateway.JobDone || j.Done == 0 {
					t.Errorf("the job is %s, %d done, %s; want done", j.Status, j.Done, j.Reason)
				}
				w.within(24*time.Hour, "all is done", l.finished)
				posts := map[string]int{}
				for _, p := range l.e.Posts() { // those under way when the process ended come again
					if posts[p.Text(t, "message")]++; w.weak == 0 && posts[p.Text(t, "message")] > 2 {
						t.Errorf("event %s was sent %d times, want twice at most", p.Text(t, "message"), posts[p.Text(t, "message")])
					}
				}
			})
		})
	}
}

func TestJobThatIsCancelledEndsWithWhatItDid(t *testing.T) {
	everywhereForDays(t, func(t *testing.T, w *world) {
		l := w.failed(labours)
		var left atomic.Int64
		left.Store(35)
		w.restartWith(w.ring, func(s storage.Store) storage.Store { return fading{s, &left} })
		id := ident.New("job", time.Now())
		if _, err := l.recover(w, id); err != nil && w.weak == 0 {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Minute)
		w.paused = true
		w.restartWith(w.ring, nil)
		again(w, func() (gateway.Job, error) { return l.recover(w, id) }) // if that was lost
		half := w.count(l.c, l.r, gateway.Failed)
		j := again(w, func() (gateway.Job, error) { return w.control().CancelJobOf(t.Context(), l.c, id) })
		if j.Status != gateway.JobCancelled {
			t.Fatalf("job is %s, want cancelled", j.Status)
		}
		w.paused = false
		w.restartWith(w.ring, nil)
		time.Sleep(6 * time.Hour)
		if n := w.count(l.c, l.r, gateway.Failed); n != half || half == 0 || half == labours && w.weak == 0 {
			t.Errorf("%d of %d failed when the job was cancelled half-way, %d later; want no change", half, labours, n)
		}
		if j := w.job(id); j.Status != gateway.JobCancelled {
			t.Errorf("job is %s, want cancelled", j.Status)
		}
	})
}

func (l labour) recover(w *world, id string) (gateway.Job, error) {
	return w.control().StartRecover(w.t.Context(), l.c, id, l.r.ID, control.Span{Since: l.since})
}

func TestJobLeavesLiveTrafficAlone(t *testing.T) {
	everywhereForDays(t, func(t *testing.T, w *world) {
		most, seconds := 160, 90
		if w.weak != 0 {
			most = labours // lists are seldom answered whole
		} else if w.aws != nil {
			most = proofs.Length(80, 80, 160)
		}
		l := w.failed(most)
		l.e.Takes = 200 * time.Millisecond
		well := w.tenant(l.s, gateway.Match{"group": {groupB}})
		_, live := w.register(well, l.s, "live.example", control.RegistrationChange{})
		path := w.path(again(w, func() (string, error) { return w.control().FirstCallbackURL(t.Context(), l.s) }))
		again(w, func() (gateway.Job, error) {
			return l.recover(w, ident.New("job", time.Now()))
		})
		sent := map[string]time.Time{}
		for n := range seconds {
			sent[fmt.Sprint(n)] = time.Now()
			w.chat(path, groupB, fmt.Sprint(n))
			time.Sleep(time.Second)
		}
		w.within(24*time.Hour, "all is recovered, and all that is live delivered", func() bool {
			return len(l.e.Succeeded()) >= most && len(live.Succeeded()) == seconds
		})
		if w.weak != 0 {
			return
		}
		var worst time.Duration
		for _, p := range live.Posts() {
			worst = max(worst, p.At.Sub(sent[p.Text(t, "message")]))
		}
		if worst > time.Second {
			t.Errorf("beside a job live events took up to %v, want at most 1 s", worst)
		}
		var job []time.Time
		for _, p := range l.e.Posts() {
			if p.Text(t, "group_uuid") == groupA {
				job = append(job, p.At)
			}
		}
		// Queues delay by whole seconds, so that each may come up to one before its place.
		if took, least := job[most-1].Sub(job[0]), time.Duration(most-1)*time.Second/50-time.Second; took < least {
			t.Errorf("the job made %d POSTs in %v, want 50 a second: %v at least", most, took, least)
		}
	})
}

func TestErasureReachesWhatWasReplayed(t *testing.T) {
	everywhere(t, func(t *testing.T, w *world) {
		s, path := w.smartBots()
		c := w.tenant(s, nil)
		first, e := w.register(c, s, "first.example", control.RegistrationChange{})
		since := w.later()
		w.chat(path, groupA, "a secret of a data subject")
		w.chat(path, groupB, "another's")
		w.within(6*time.Hour, "delivered", func() bool { return len(e.Succeeded()) == 2 })
		late, f := w.register(c, s, "late.example", control.RegistrationChange{})
		f.RespondWith(gatewaytest.Always(400)) // its answers are kept with each attempt
		again(w, func() (gateway.Job, error) {
			return w.control().StartReplay(t.Context(), c, ident.New("job", time.Now()), late.ID, control.Span{Since: since})
		})
		w.within(6*time.Hour, "replayed", func() bool { return len(f.Posts()) >= 2 })
		id := ident.New("job", time.Now())
		again(w, func() (gateway.Job, error) {
			return w.control().StartErasure(t.Context(), id, s.ID, gateway.Match{"group": {groupA}})
		})
		if j := w.job(id); j.Status != gateway.JobDone || j.Done == 0 {
			t.Fatalf("erasure is %s, %d done", j.Status, j.Done)
		}
		time.Sleep(time.Minute)
		for _, r := range []gateway.Registration{first, late} {
			answers := 0
			for _, d := range w.deliveries(c, r.ID) {
				as := again(w, func() ([]gateway.Attempt, error) {
					as, _, err := w.lists().Attempts(t.Context(), d, storage.PageRequest{})
					return as, err
				})
				if slices.ContainsFunc(as, func(a gateway.Attempt) bool { return strings.Contains(string(a.Response), "seen") }) {
					answers++
				}
			}
			if answers > 1 {
				t.Errorf("%s: answers to %d events are kept, want those to the one that was not erased", r.Endpoint.RedactedURL, answers)
			}
		}
	})
}

func TestDryRunTellsWhatWouldMatch(t *testing.T) {
	proofs.Long(t)
	everywhere(t, func(t *testing.T, w *world) {
		s, path := w.smartBots()
		c := w.tenant(s, gateway.Match{"group": {groupA, groupB}})
		r, e := w.register(c, s, "narrow.example", control.RegistrationChange{Match: &gateway.Match{"group": {groupA}}})
		since := w.later()
		for n := range 6 {
			w.chat(path, []string{groupA, groupB, groupC}[n%3], fmt.Sprint(n))
		}
		w.within(6*time.Hour, "delivered", func() bool { return len(e.Succeeded()) == 2 })
		time.Sleep(6 * time.Hour)
		for _, tt := range []struct {
			ch      control.RegistrationChange
			matched int
		}{
			{control.RegistrationChange{}, 2},
			{control.RegistrationChange{Match: &gateway.Match{"group": {groupB}}}, 2},
			{control.RegistrationChange{Match: &gateway.Match{"group": {groupA, groupB}}}, 4},
			{control.RegistrationChange{Match: &gateway.Match{"group": {groupC}}}, 0},
			{control.RegistrationChange{EventTypes: ptr([]string{"group_message"})}, 0},
		} {
			run := again(w, func() (history.DryRun, error) {
				return w.lists().DryRunRegistration(t.Context(), c, r.ID, since, tt.ch)
			})
			if run.Matched != tt.matched || len(run.Events) != tt.matched || run.Scanned != 4 || !run.Complete {
				t.Errorf("dry run with %+v: %d matched of %d, complete %v; want %d of 4", tt.ch, run.Matched, run.Scanned, run.Complete, tt.matched)
			}
		}
		if n := len(e.Posts()); n != 2 && w.weak == 0 {
			t.Errorf("a dry run delivered something: %d POSTs", n)
		}
	})
}
