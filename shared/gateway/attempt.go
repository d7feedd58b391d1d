package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"ringback/shared/circuit"
	"ringback/shared/egress"
	"ringback/shared/limit"
	"ringback/shared/pace"
	"ringback/shared/provider"
	"ringback/shared/schedule"
	"ringback/shared/storage"
)

// An attempter makes attempts.
type attempter struct {
	*core
	find    *finder
	events  *events
	circuit *circuits
	posts   *pace.Places
	probes  chan struct{} // that are under way: where many are dead, most hang
	targets *lru.Cache[string, *target]
}

func newAttempter(c *core, f *finder, es *events, cs *circuits) *attempter {
	return &attempter{
		core: c, find: f, events: es, circuit: cs, posts: pace.NewPlaces(c.AtOnce, c.Alone),
		probes: make(chan struct{}, max(c.AtOnce/4, 1)), targets: cache[*target](registrationsKnown),
	}
}

// A try is a delivery that is to be attempted now.
type try struct {
	e        *provider.Event
	standard func() ([]byte, error) // e's standard body, written once for all its deliveries; nil: written anew
	r        *Registration
	rev      string // of the source's version under which r was read
	d        Delivery
	asked    time.Time // when the attempt was asked for; zero: now
	over     bool      // its tenant's share of the process is used up
	slow     bool      // it comes from the slow queue
	hops     int       // self-sends so far
}

// after makes t's delivery what it is after a, its first attempt, and reports
// whether the caller must send the next one. Its copies are not to stand in the
// frame of who then waits for the commit.
//
//go:noinline
func (t *try) after(a Attempt, jitter float64) (self bool) {
	t.d, self = t.d.record(a, t.r.Schedule, jitter, true)
	return self
}

// A recorder stores what becomes of a delivery that attempt was called for. The three callers of attempt have one each:
// the fan-out for first attempts, the retry queue for later ones, and the lane for those of its head.
type recorder interface {
	// notWanted stores that the registration is not to have the event: verdict is Held or Cancelled.
	notWanted(ctx context.Context, t *try, verdict Status, why string) error

	// turn reports whether what the caller itself orders by lets the attempt
	// begin. If not, it has stored what the delivery waits for.
	turn(ctx context.Context, t *try) (bool, error)

	// notNow stores that the attempt has to wait as s says. It uses up none.
	notNow(ctx context.Context, t *try, s start) error

	// notWritten stores that the request could not be written, which is our fault: no attempt was made.
	notWritten(ctx context.Context, t *try) error

	// attempted stores a and what follows for the delivery, and sets t.d to that.
	attempted(ctx context.Context, t *try, a Attempt) error
}

// attempt makes one attempt of a delivery, the same for the first and the tenth: is it still wanted, may it
// start, POST, record, consequences for the registration. If it returns an error, nothing is known to be
// stored and the message must come again.
//
// Hundreds of goroutines stand in a POST or a commit at a time. So that their stacks stay small, t is passed
// on and not copied, and what comes before and after the POST has frames of its own.
func (at *attempter) attempt(ctx context.Context, t *try, rec recorder) error {
	s, err := at.ready(ctx, t, rec)
	if err != nil || s.leave == nil {
		return err
	}
	t.r = s.to
	a, cut := at.made(ctx, t, s.leave)
	at.notePace(ctx, t.r, a, cut)
	if cut {
		return rec.notNow(ctx, t, start{at: at.Clock(), slow: true, paced: t.d.Paced})
	}
	return at.finish(ctx, t, rec, a, s.probe)
}

// made makes the attempt, and gives its right back, whatever becomes of it.
func (at *attempter) made(ctx context.Context, t *try, leave func(Attempt, bool)) (a Attempt, cut bool) {
	defer func() { leave(a, cut) }()
	return at.post(ctx, t)
}

// ready returns the right to make t's attempt now. Without it, what the delivery waits for is stored, or how it ended.
func (at *attempter) ready(ctx context.Context, t *try, rec recorder) (start, error) {
	switch verdict, why, err := at.find.may(ctx, t.rev, t.e, t.r); {
	case err != nil:
		return start{}, fmt.Errorf("may %s have %s: %w", t.r.ID, t.e.ID, err)
	case verdict != Pending:
		return start{}, rec.notWanted(ctx, t, verdict, why)
	}
	if mine, err := rec.turn(ctx, t); err != nil || !mine {
		return start{}, err
	}
	s, err := at.mayStart(ctx, t)
	if err != nil || s.leave != nil {
		return s, err
	}
	return s, at.wait(ctx, t, rec, s)
}

// wait stores that t's attempt has to wait as s says, or that it was given up.
func (at *attempter) wait(ctx context.Context, t *try, rec recorder, s start) error {
	if s.open {
		if spent, err := at.circuit.spent(ctx, t.d, t.r); err != nil {
			return err
		} else if spent {
			return at.circuit.exhaust(ctx, t.e, t.r, t.d)
		}
	}
	return rec.notNow(ctx, t, s)
}

// finish records t's attempt a, and draws its consequences.
func (at *attempter) finish(ctx context.Context, t *try, rec recorder, a Attempt, probe bool) error {
	if a.Class == egress.Internal {
		return rec.notWritten(ctx, t)
	}
	if err := at.circuit.heedGone(ctx, t.r, a); err != nil {
		return err
	}
	number := t.d.Made + 1
	err := rec.attempted(ctx, t, a)
	at.logAttempt(ctx, t, number, a, err == nil)
	if err != nil {
		return err
	}
	at.circuit.heed(ctx, t.e, t.r, a, &t.d, probe)
	return nil
}

// Why there is nothing to attempt.
var (
	errErased  = errors.New("the event was erased")
	errExpired = errors.New("the event's row, with the payload, is gone")
)

// subject returns what d is about, and the source's version under which the registration was read. The error
// wraps storage.ErrNotFound if the registration is gone for good, errErased or errExpired if the event is. An
// event that an earlier release began is kept from now on.
func (at *attempter) subject(ctx context.Context, d Delivery) (*provider.Event, *Registration, string, error) {
	r, rev, err := at.find.registration(ctx, d.Source, d.Registration)
	if err != nil {
		return nil, r, rev, err
	}
	e, er, err := at.events.LoadEvent(ctx, d.Event)
	switch {
	case errors.Is(err, storage.ErrNotFound):
		err = errExpired
	case er.Erased:
		err = errErased
	case err == nil && !er.needs(d.Registration, at.Kept, at.Clock()):
		err = at.events.open(ctx, d.Event, nil, d.Registration)
	}
	return e, r, rev, err
}

// A start is the right to make an attempt now, or when there may be one.
type start struct {
	leave func(a Attempt, cut bool) // must be called with the attempt; nil: not now
	to    *Registration             // the registration as it is now
	probe bool                      // of an open circuit, which was taken also where it is denied
	at    time.Time                 // when else
	paced bool                      // at is the place that the rate gave
	open  bool                      // the circuit is why
	slow  bool                      // at the time of at, from the slow queue
}

// mayStart asks circuit, rate, concurrency and the time left for the right to make t's attempt now. Without
// it the delivery waits, and uses up no attempt. If the right came late it is asked again whether the
// registration may have the event: what was known before would be too old.
func (at *attempter) mayStart(ctx context.Context, t *try) (start, error) {
	asked, probe := t.asked, false
	if asked.IsZero() {
		asked = time.Now()
	}
	var err error
	here := t.slow
	if !here && !t.over {
		if here, err = at.fast(ctx, t.r.ID, t.r.Tenant, t.r.Endpoint.Shown); err != nil {
			return start{}, err
		}
	}
	if !t.d.Manual {
		// Who goes on to the slow queue takes no probe along. A probe may be slow.
		var closed time.Time
		switch probe, closed, err = at.circuit.admit(ctx, &t.d, t.slow || here && at.FirstAttempt == 0); {
		case err != nil:
			return start{}, err
		case !closed.IsZero():
			return start{open: true, at: closed}, nil
		}
	}
	if !here || probe && !t.slow && at.FirstAttempt > 0 {
		return at.toSlow(t), nil
	}
	s, err := at.within(ctx, t, asked)
	if s.probe = probe; probe && s.leave != nil {
		s = at.asProbe(s)
	}
	return s, err
}

func (at *attempter) toSlow(t *try) start { return start{slow: true, at: at.Clock(), paced: t.d.Paced} }

// asProbe returns s if there is room for one more probe. Otherwise it gives s back.
func (at *attempter) asProbe(s start) start {
	leave := s.leave
	select {
	case at.probes <- struct{}{}:
		s.leave = func(a Attempt, cut bool) { <-at.probes; leave(a, cut) }
		return s
	default:
		leave(Attempt{}, false)
		return start{open: true, probe: true, at: at.Clock().Add(circuit.FirstInterval)}
	}
}

// within is mayStart once the circuit admits t's attempt, of which it was asked at a time.
func (at *attempter) within(ctx context.Context, t *try, asked time.Time) (start, error) {
	of, err := at.find.tenant(ctx, t.rev, t.r.Tenant)
	if err != nil {
		return start{}, err
	}
	leave, w := at.pace.Enter(ctx, pace.Turn{
		Registration: t.r.ID, Allowance: t.r.allowance(of.Limits, at.AtOnce), Slow: t.slow, Paced: t.d.Paced || t.d.Manual || !at.Alone,
	})
	switch {
	case w.Slow:
		return at.toSlow(t), nil
	case leave == nil && !w.At.IsZero():
		return start{at: w.At, paced: true}, nil
	case leave == nil:
		return start{at: at.Clock().Add(at.crowdedWait(t.hops, w.Turn)), paced: t.d.Paced}, nil
	}
	if !t.slow && !at.posts.Take(t.r.Tenant) && !at.posts.Seek(t.r.Tenant, 1).Await(ctx, pace.Patience) { // the slow queue keeps its own shares
		leave(pace.Outcome{})
		return at.toSlow(t), nil
	}
	end := func(a Attempt, cut bool) {
		if !t.slow {
			at.posts.Leave(t.r.Tenant)
		}
		leave(a.outcome(cut))
	}
	if timeLeft(ctx) < t.r.limit()+answerMargin {
		end(Attempt{}, false)
		return start{at: at.Clock()}, nil
	}
	if time.Since(asked) < versionFresh {
		return at.enter(ctx, t, of.Limits, start{leave: end, to: t.r})
	}
	r, verdict, err := at.judge(ctx, t.e, t.r)
	if err != nil || verdict != Pending {
		end(Attempt{}, false)
		return start{at: at.Clock()}, err // whoever attempts it then finds out why not
	}
	return at.enter(ctx, t, of.Limits, start{leave: end, to: r})
}

// enter returns s if t's attempt is within the limits that hold over all processes. Otherwise it gives s back.
func (at *attempter) enter(ctx context.Context, t *try, l Limits, s start) (start, error) {
	perSecond := t.r.allowance(l, 0).Rate
	if at.Alone || perSecond == 0 && t.r.Concurrency == 0 {
		return s, nil
	}
	end := s.leave
	leave, next, err := at.limits.Enter(ctx, limit.Turn{
		Rate: RateKey(t.r.ID), PerSecond: perSecond, InTurn: t.d.Paced, Resend: t.d.Manual,
		Leases: LeasesKey(t.r.ID), AtOnce: t.r.Concurrency, Lasts: t.r.limit(),
	})
	if leave == nil {
		end(Attempt{}, false)
		if next.IsZero() {
			return start{at: at.Clock().Add(at.crowdedWait(t.hops, 0)), paced: t.d.Paced}, err
		}
		return start{at: next, paced: true}, err
	}
	s.leave = func(a Attempt, cut bool) { leave(); end(a, cut) }
	return s, nil
}

// notePace has all processes know how fast r's endpoint is.
func (at *attempter) notePace(ctx context.Context, r *Registration, a Attempt, cut bool) {
	if at.books == nil {
		return
	}
	if err := at.books.Heed(ctx, r.Tenant, r.ID, r.Endpoint.Shown, a.outcome(cut), at.pace.Look(r.ID)); err != nil {
		at.Log.Warn("pace", "registration", r.ID, "outcome", "not written", "why", err.Error())
	}
}

// crowded is about how long a delivery waits if its registration has all the attempts under way that it may
// have, by how often it waited so already; longer where its turn would not have come by then, since each look
// costs a write and a message.
var crowded = [...]time.Duration{2 * time.Second, 5 * time.Second, 20 * time.Second, time.Minute}

func (at *attempter) crowdedWait(hops int, turn time.Duration) time.Duration {
	wait := max(crowded[min(hops, len(crowded)-1)], turn)
	return wait/2 + at.upTo(wait)
}

// judge returns r as it is now, and what is to become of e for it.
func (at *attempter) judge(ctx context.Context, e *provider.Event, r *Registration) (*Registration, Status, error) {
	now, rev, err := at.find.registration(ctx, r.Source, r.ID)
	switch {
	case errors.Is(err, storage.ErrNotFound):
		return r, Cancelled, nil
	case err != nil:
		return r, "", err
	}
	verdict, _, err := at.find.may(ctx, rev, e, now)
	return now, verdict, err
}

// post makes one POST of t's event to its registration's endpoint, and reports
// whether it was cut off, so that it is no attempt.
func (at *attempter) post(ctx context.Context, t *try) (a Attempt, cut bool) {
	a = Attempt{At: at.Clock(), Manual: t.d.Manual, Claim: t.d.Claim}
	req, err := at.request(t, a.At)
	if err != nil {
		a.Class, a.Error = egress.Internal, "the delivery could not be written"
		at.Log.Error("attempt", "delivery", t.d.ID, "outcome", "internal", "why", err.Error())
		return a, false
	}
	if bound := at.FirstAttempt; bound > 0 && bound < req.Timeout && !t.slow {
		req.Timeout, cut = bound, true
	}
	begun := time.Now()
	resp := at.Egress.Post(ctx, req)
	a.Lasted = time.Since(begun)
	if cut && resp.Class == egress.Timeout {
		return Attempt{}, true
	}
	a.Took, a.StatusCode, a.Class, a.Error, a.Answer = resp.Took, resp.StatusCode, resp.Class, resp.Error, resp.Body
	if resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode == http.StatusServiceUnavailable {
		a.RetryAfter = schedule.RetryAfter(resp.Header, a.At)
	}
	metric := Refused
	if a.Accepted() {
		metric = Accepted
	}
	at.count(metric, 1)
	return a, false
}

// logAttempt writes the line of a, after which the delivery is t.d: at INFO if it failed, with the start of the next
// one, so that an operator sees why a tenant's deliveries fail and when they are tried again; else at DEBUG.
func (at *attempter) logAttempt(ctx context.Context, t *try, number int, a Attempt, recorded bool) {
	level := slog.LevelInfo
	if a.Accepted() {
		level = slog.LevelDebug
	}
	if !at.Log.Enabled(ctx, level) { // the host would be parsed for nothing
		return
	}
	fields := []any{"provider", t.e.Provider, "source", t.e.Source, "event", t.e.ID, "tenant", t.r.Tenant, "registration", t.r.ID,
		"delivery", t.d.ID, "number", number, "host", egress.Host(t.r.Endpoint.Shown), "code", a.StatusCode,
		"outcome", string(a.Class), "took", a.Took}
	if recorded && t.d.Status == Pending {
		fields = append(fields, "next", t.d.Start)
	}
	at.Log.Log(ctx, level, "attempt", fields...)
}
