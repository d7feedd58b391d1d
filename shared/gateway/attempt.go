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
	"ringback/shared/limiter"
	"ringback/shared/provider"
	"ringback/shared/schedule"
	"ringback/shared/storage"
)

// An attempter makes attempts.
type attempter struct {
	*core
	matcher    *matcher
	events     *events
	circuit    *circuits
	shares     *limiter.Shares
	probeSlots chan struct{} // one per probe in flight: where many endpoints are dead, most probes hang
	targets    *lru.Cache[string, *target]
}

func newAttempter(c *core, f *matcher, es *events, cs *circuits) *attempter {
	return &attempter{
		core: c, matcher: f, events: es, circuit: cs, shares: limiter.NewShares(c.MaxConcurrency, c.SingleProcess),
		probeSlots: make(chan struct{}, max(c.MaxConcurrency/4, 1)), targets: newCache[*target](registrationCacheSize),
	}
}

// A task is a delivery that is due for an attempt now.
type task struct {
	e             *provider.Event
	standard      func() ([]byte, error) // returns e's standard body, encoded once for all its deliveries; nil: encode it for this one
	r             *Registration
	rev           string // the source's generation under which r was read
	d             Delivery
	requestedAt   time.Time // when the attempt was requested; zero: now
	overShare     bool      // its tenant holds its whole share of this process
	fromSlowQueue bool      // its message was received from the slow queue
	selfSends     int       // self-sends in a row before this message
}

// apply records a, the first attempt, in t's delivery and reports whether the caller must send the next attempt
// itself. It is not inlined, so that its copies of the delivery do not enlarge the stack of a goroutine that waits
// for the commit.
//
//go:noinline
func (t *task) apply(a Attempt, jitter float64) (self bool) {
	t.d, self = t.d.record(a, t.r.Schedule, jitter, true)
	return self
}

// A recorder stores the outcome of attempter.attempt for a delivery. Each of its three callers has one: fanOut for
// first attempts, redelivery for messages of the retry and slow queues, laneHead for the head of a lane.
type recorder interface {
	// ineligible stores that the registration does not get the event: verdict is Held or Cancelled.
	ineligible(ctx context.Context, t *task, verdict Status, why string) error

	// proceed reports whether the attempt may start as far as the caller's own order goes: its claim, or its lane.
	// If not, it has stored what the delivery waits for.
	proceed(ctx context.Context, t *task) (bool, error)

	// postponed stores that the attempt waits for p. It does not count as an attempt.
	postponed(ctx context.Context, t *task, s permit) error

	// unwritable stores that our side could not build the request. No attempt was made.
	unwritable(ctx context.Context, t *task) error

	// attempted stores a with the delivery's next state, and sets t.d to it.
	attempted(ctx context.Context, t *task, a Attempt) error
}

// attempt makes one attempt of a delivery, the same way for the first and the tenth: check eligibility, acquire
// the right to start, POST, record, apply the outcome to the registration. After an error nothing is certain to be
// stored, so the message must be received again.
//
// Hundreds of goroutines wait in a POST or a commit at a time. To keep their stacks small, t is passed by pointer,
// and the code before and after the POST has frames of its own.
func (at *attempter) attempt(ctx context.Context, t *task, rec recorder) error {
	s, err := at.acquire(ctx, t, rec)
	if err != nil || s.release == nil {
		return err
	}
	t.r = s.registration
	a, cut := at.postAndRelease(ctx, t, s.release)
	at.recordSpeed(ctx, t.r, a, cut)
	if cut {
		return rec.postponed(ctx, t, permit{retryAt: at.Clock(), viaSlowQueue: true, rateGranted: t.d.RateGranted})
	}
	return at.record(ctx, t, rec, a, s.probe)
}

// postAndRelease makes the attempt and releases the permit, even if the POST panics.
func (at *attempter) postAndRelease(ctx context.Context, t *task, release func(Attempt, bool)) (a Attempt, cut bool) {
	defer func() { release(a, cut) }()
	return at.post(ctx, t)
}

// acquire returns a permit to make t's attempt now. Without one it has stored what the delivery waits for, or how
// it ended.
func (at *attempter) acquire(ctx context.Context, t *task, rec recorder) (permit, error) {
	switch verdict, why, err := at.matcher.eligibility(ctx, t.rev, t.e, t.r); {
	case err != nil:
		return permit{}, fmt.Errorf("may %s have %s: %w", t.r.ID, t.e.ID, err)
	case verdict != Pending:
		return permit{}, rec.ineligible(ctx, t, verdict, why)
	}
	if mine, err := rec.proceed(ctx, t); err != nil || !mine {
		return permit{}, err
	}
	s, err := at.mayStart(ctx, t)
	if err != nil || s.release != nil {
		return s, err
	}
	return s, at.postpone(ctx, t, rec, s)
}

// postpone stores that t's attempt waits for s, or that the delivery ended while its circuit was open.
func (at *attempter) postpone(ctx context.Context, t *task, rec recorder, s permit) error {
	if s.circuitOpen {
		if expired, err := at.circuit.expiredBehindCircuit(ctx, t.d, t.r); err != nil {
			return err
		} else if expired {
			return at.circuit.endExhausted(ctx, t.e, t.r, t.d)
		}
	}
	return rec.postponed(ctx, t, s)
}

// record stores t's attempt a and applies its outcome to the registration.
func (at *attempter) record(ctx context.Context, t *task, rec recorder, a Attempt, probe bool) error {
	if a.Class == egress.Internal {
		return rec.unwritable(ctx, t)
	}
	if err := at.circuit.disableIfGone(ctx, t.r, a); err != nil {
		return err
	}
	number := t.d.Attempts + 1
	err := rec.attempted(ctx, t, a)
	at.logAttempt(ctx, t, number, a, err == nil)
	if err != nil {
		return err
	}
	at.circuit.applyOutcome(ctx, t.e, t.r, a, &t.d, probe)
	return nil
}

// Reasons why there is nothing to attempt.
var (
	errErased  = errors.New("the event was erased")
	errExpired = errors.New("the event's row, with the payload, is gone")
)

// load returns d's event and registration, and the source's generation under which the registration was read. The
// error wraps storage.ErrNotFound if the registration is gone, errErased or errExpired if the event is. An event
// of an earlier release, which has an expiry, is retained from here on.
func (at *attempter) load(ctx context.Context, d Delivery) (*provider.Event, *Registration, string, error) {
	r, rev, err := at.matcher.registration(ctx, d.Source, d.Registration)
	if err != nil {
		return nil, r, rev, err
	}
	e, er, err := at.events.LoadEvent(ctx, d.Event)
	switch {
	case errors.Is(err, storage.ErrNotFound):
		err = errExpired
	case er.Erased:
		err = errErased
	case err == nil && !er.lastsFor(d.Registration, at.Retention, at.Clock()):
		err = at.events.retain(ctx, d.Event, nil, d.Registration)
	}
	return e, r, rev, err
}

// A permit is the right to make an attempt now; without release it says when to ask again.
type permit struct {
	release      func(a Attempt, cut bool) // must be called with the attempt; nil: not now
	registration *Registration             // as it is stored now
	probe        bool                      // the attempt is the probe of an open circuit; set too when no probe slot was free
	retryAt      time.Time                 // without release: when to ask again
	rateGranted  bool                      // the rate limit gave retryAt
	circuitOpen  bool                      // the circuit is open
	viaSlowQueue bool                      // ask again through the slow queue
}

// mayStart asks, in this order, the circuit, whether the endpoint is fast enough for this queue, the limits and
// shares of this process, the limits over all processes, and the time left. A delivery that has to wait uses up no
// attempt. After more than generationTTL of waiting in here, eligibility is checked again.
//
// Example: an endpoint whose circuit is open, next probe due: of two workers one takes the probe and gets a
// permit; the other gets {circuitOpen, retryAt: the probe after} and parks its delivery.
func (at *attempter) mayStart(ctx context.Context, t *task) (permit, error) {
	requested, probe := t.requestedAt, false
	if requested.IsZero() {
		requested = time.Now()
	}
	var err error
	here := t.fromSlowQueue
	if !here && !t.overShare {
		if here, err = at.fast(ctx, t.r.ID, t.r.Tenant, t.r.Endpoint.RedactedURL); err != nil {
			return permit{}, err
		}
	}
	if !t.d.Manual {
		// A delivery on its way to the slow queue takes no probe with it. The slow queue and SingleProcess allow a
		// slow probe.
		var retryAt time.Time
		switch probe, retryAt, err = at.circuit.admit(ctx, &t.d, t.fromSlowQueue || here && at.FirstAttempt == 0); {
		case err != nil:
			return permit{}, err
		case !retryAt.IsZero():
			return permit{circuitOpen: true, retryAt: retryAt}, nil
		}
	}
	if !here || probe && !t.fromSlowQueue && at.FirstAttempt > 0 {
		return at.deferToSlowQueue(t), nil
	}
	s, err := at.acquireHere(ctx, t, requested)
	if s.probe = probe; probe && s.release != nil {
		s = at.acquireProbeSlot(s)
	}
	return s, err
}

func (at *attempter) deferToSlowQueue(t *task) permit {
	return permit{viaSlowQueue: true, retryAt: at.Clock(), rateGranted: t.d.RateGranted}
}

// acquireProbeSlot adds a probe slot to s, or releases s if none is free.
func (at *attempter) acquireProbeSlot(s permit) permit {
	leave := s.release
	select {
	case at.probeSlots <- struct{}{}:
		s.release = func(a Attempt, cut bool) { <-at.probeSlots; leave(a, cut) }
		return s
	default:
		leave(Attempt{}, false)
		return permit{circuitOpen: true, probe: true, retryAt: at.Clock().Add(circuit.FirstInterval)}
	}
}

// acquireHere asks the limits of this process. The circuit admitted t's attempt, requested at the given time.
func (at *attempter) acquireHere(ctx context.Context, t *task, requested time.Time) (permit, error) {
	tenant, err := at.matcher.tenant(ctx, t.rev, t.r.Tenant)
	if err != nil {
		return permit{}, err
	}
	release, w := at.limiter.Acquire(ctx, limiter.Request{
		Registration: t.r.ID, Allowance: t.r.allowance(tenant.Limits, at.MaxConcurrency), Slow: t.fromSlowQueue, RateGranted: t.d.RateGranted || t.d.Manual || !at.SingleProcess,
	})
	switch {
	case w.Slow:
		return at.deferToSlowQueue(t), nil
	case release == nil && !w.At.IsZero():
		return permit{retryAt: w.At, rateGranted: true}, nil
	case release == nil:
		return permit{retryAt: at.Clock().Add(at.backoff(t.selfSends, w.After)), rateGranted: t.d.RateGranted}, nil
	}
	if !t.fromSlowQueue && !at.shares.TryAcquire(t.r.Tenant) && !at.shares.Waiter(t.r.Tenant, 1).Acquire(ctx, limiter.MaxQueueWait) { // the slow queue keeps its own shares
		release(limiter.Outcome{})
		return at.deferToSlowQueue(t), nil
	}
	end := func(a Attempt, cut bool) {
		if !t.fromSlowQueue {
			at.shares.Release(t.r.Tenant)
		}
		release(a.outcome(cut))
	}
	if timeLeft(ctx) < t.r.timeout()+deadlineMargin {
		end(Attempt{}, false)
		return permit{retryAt: at.Clock()}, nil
	}
	if time.Since(requested) < generationTTL {
		return at.acquireEverywhere(ctx, t, tenant.Limits, permit{release: end, registration: t.r})
	}
	r, verdict, err := at.recheck(ctx, t.e, t.r)
	if err != nil || verdict != Pending {
		end(Attempt{}, false)
		return permit{retryAt: at.Clock()}, err // the message that follows finds out why
	}
	return at.acquireEverywhere(ctx, t, tenant.Limits, permit{release: end, registration: r})
}

// acquireEverywhere adds the rate and concurrency limits that hold over all processes to s, or releases s.
func (at *attempter) acquireEverywhere(ctx context.Context, t *task, l Limits, s permit) (permit, error) {
	perSecond := t.r.allowance(l, 0).Rate
	if at.SingleProcess || perSecond == 0 && t.r.Concurrency == 0 {
		return s, nil
	}
	end := s.release
	leave, next, err := at.limits.Acquire(ctx, limit.Request{
		Rate: RateKey(t.r.ID), PerSecond: perSecond, Reserved: t.d.RateGranted, IgnoreRate: t.d.Manual,
		Leases: LeasesKey(t.r.ID), Concurrency: t.r.Concurrency, Timeout: t.r.timeout(),
	})
	if leave == nil {
		end(Attempt{}, false)
		if next.IsZero() {
			return permit{retryAt: at.Clock().Add(at.backoff(t.selfSends, 0)), rateGranted: t.d.RateGranted}, err
		}
		return permit{retryAt: next, rateGranted: true}, err
	}
	s.release = func(a Attempt, cut bool) { leave(); end(a, cut) }
	return s, nil
}

// recordSpeed shares with all processes whether r's endpoint is fast.
func (at *attempter) recordSpeed(ctx context.Context, r *Registration, a Attempt, cut bool) {
	if at.speeds == nil {
		return
	}
	if err := at.speeds.Record(ctx, r.Tenant, r.ID, r.Endpoint.RedactedURL, a.outcome(cut), at.limiter.Stats(r.ID)); err != nil {
		at.Log.Warn("pace", "registration", r.ID, "outcome", "not written", "why", err.Error())
	}
}

// concurrencyBackoff holds the waits of a delivery whose registration has as many attempts in flight as it may, by
// the number of waits so far. Each costs a write and a message, so a longer queue means a longer wait.
var concurrencyBackoff = [...]time.Duration{2 * time.Second, 5 * time.Second, 20 * time.Second, time.Minute}

func (at *attempter) backoff(selfSends int, turn time.Duration) time.Duration {
	wait := max(concurrencyBackoff[min(selfSends, len(concurrencyBackoff)-1)], turn)
	return wait/2 + at.randomUpTo(wait)
}

// recheck returns r as it is stored now, and e's eligibility for it.
func (at *attempter) recheck(ctx context.Context, e *provider.Event, r *Registration) (*Registration, Status, error) {
	now, rev, err := at.matcher.registration(ctx, r.Source, r.ID)
	switch {
	case errors.Is(err, storage.ErrNotFound):
		return r, Cancelled, nil
	case err != nil:
		return r, "", err
	}
	verdict, _, err := at.matcher.eligibility(ctx, rev, e, now)
	return now, verdict, err
}

// post makes one POST of t's event. cut reports that FirstAttempt ended it: that is no attempt, and the slow queue
// makes it again.
func (at *attempter) post(ctx context.Context, t *task) (a Attempt, cut bool) {
	a = Attempt{At: at.Clock(), Manual: t.d.Manual, Claim: t.d.Claim}
	req, err := at.request(t, a.At)
	if err != nil {
		a.Class, a.Error = egress.Internal, "the delivery could not be written"
		at.Log.Error("attempt", "delivery", t.d.ID, "outcome", "internal", "why", err.Error())
		return a, false
	}
	if bound := at.FirstAttempt; bound > 0 && bound < req.Timeout && !t.fromSlowQueue {
		req.Timeout, cut = bound, true
	}
	begun := time.Now()
	resp := at.Egress.Post(ctx, req)
	a.Total = time.Since(begun)
	if cut && resp.Class == egress.Timeout {
		return Attempt{}, true
	}
	a.Took, a.StatusCode, a.Class, a.Error, a.Response = resp.Took, resp.StatusCode, resp.Class, resp.Error, resp.Body
	if resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode == http.StatusServiceUnavailable {
		a.RetryAfter = schedule.RetryAfter(resp.Header, a.At)
	}
	metric := AttemptsFailed
	if a.Succeeded() {
		metric = AttemptsSucceeded
	}
	at.count(metric, 1)
	return a, false
}

// logAttempt logs a: at INFO if it failed, with the time of the next attempt, so that an operator sees why a
// tenant's deliveries fail and when they are retried; otherwise at DEBUG.
func (at *attempter) logAttempt(ctx context.Context, t *task, number int, a Attempt, recorded bool) {
	level := slog.LevelInfo
	if a.Succeeded() {
		level = slog.LevelDebug
	}
	if !at.Log.Enabled(ctx, level) { // parsing the host costs
		return
	}
	fields := []any{"provider", t.e.Provider, "source", t.e.Source, "event", t.e.ID, "tenant", t.r.Tenant, "registration", t.r.ID,
		"delivery", t.d.ID, "number", number, "host", egress.Host(t.r.Endpoint.RedactedURL), "code", a.StatusCode,
		"outcome", string(a.Class), "took", a.Took}
	if recorded && t.d.Status == Pending {
		fields = append(fields, "next", t.d.NextAttempt)
	}
	at.Log.Log(ctx, level, "attempt", fields...)
}
