package gateway

import (
	"context"
	"errors"
	"fmt"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"ringback/shared/circuit"
	"ringback/shared/egress"
	"ringback/shared/provider"
	"ringback/shared/schedule"
	"ringback/shared/storage"
)

const (
	healthTTL  = 5 * time.Second // how long a process relies on a row that it read
	successTTL = time.Minute     // after a success the row is not read, unless a failure came since
)

// circuits keep each endpoint's circuit and apply attempts' outcomes to it.
type circuits struct {
	*core
	matcher    *matcher
	deliveries *deliveries
	notifier   *notifier
	healths    *lru.Cache[string, *cachedHealth] // entries are replaced, never changed
	startJob   func(context.Context, Job) (Job, error)
}

type cachedHealth struct {
	circuit.Health
	readAt      time.Time
	lastFailure time.Time // the last failure that this process saw; zero once the row says nothing against the endpoint
	clearedAt   time.Time // when this process last cleared the row
}

// health returns an endpoint's health, at most healthTTL old.
func (cs *circuits) health(ctx context.Context, id string) (circuit.Health, error) {
	if m := cs.limiter.Stats(id); m.Failures == 0 && time.Since(m.LastSuccess) < successTTL {
		return circuit.Health{}, nil
	}
	if known, ok := cs.healths.Get(id); ok && time.Since(known.readAt) < healthTTL {
		return known.Health, nil
	}
	return cs.readHealth(ctx, id)
}

func (cs *circuits) readHealth(ctx context.Context, id string) (circuit.Health, error) {
	now := time.Now()
	h, _, err := storage.Load[circuit.Health](ctx, cs.Store, HealthKey(id))
	if err != nil && !errors.Is(err, storage.ErrNotFound) {
		return h, fmt.Errorf("health of %s: %w", id, err)
	}
	cs.updateCached(id, func(k *cachedHealth) {
		k.Health, k.readAt = h, now
		if now.After(k.lastFailure) && !h.Suspected() {
			k.lastFailure = time.Time{}
		}
	})
	return h, nil
}

// admit asks the circuit for an attempt of d. While it is open, one caller gets probe each time that a probe is due.
// Every other caller gets in retryAt when to ask again; zero means that the circuit is closed. A caller that leaves
// here unset makes no probe itself, since its queue is not the one for probes: it only learns that a probe is due.
func (cs *circuits) admit(ctx context.Context, d *Delivery, here bool) (probe bool, retryAt time.Time, err error) {
	h, err := cs.health(ctx, d.Registration)
	now := cs.Clock()
	switch {
	case err != nil || !h.Open:
		return false, retryAt, err
	case !h.ProbeDue(now):
		return false, h.RecheckAt(now, cs.Random()), nil
	case !here:
		return true, retryAt, nil
	}
	seen := h.ProbeAt
	h, err = cs.changeHealth(ctx, d.Registration, func(stored circuit.Health) circuit.Health {
		if probe = stored.Open && stored.ProbeAt.Equal(seen); probe {
			stored = stored.ProbeTaken(now)
		}
		if probe && d.Parked() {
			stored.Probing = d.Event
		}
		return stored
	})
	if h.Open && !probe {
		retryAt = h.RecheckAt(now, cs.Random())
	}
	return probe, retryAt, err
}

// changeHealth applies f to the stored Health of registration id and updates this process's copy. It writes nothing if
// f changes nothing. It leaves a due time that is later than wanted by at most the probe's slack, since moving it costs
// twice what the row does.
func (cs *circuits) changeHealth(ctx context.Context, id string, f func(circuit.Health) circuit.Health) (circuit.Health, error) {
	h, err := storage.Change(ctx, cs.Store, HealthKey(id), func(h *circuit.Health, r *storage.Row) error {
		after := f(*h)
		if after == *h {
			return storage.ErrUnchanged
		}
		due := after.Due(cs.Clock(), claimTTL)
		if late := r.Due.Sub(due); late < 0 || late > after.ProbeSlack() {
			r.Due = due
		}
		*h = after
		return nil
	})
	if err != nil {
		return h, fmt.Errorf("health of %s: %w", id, err)
	}
	cs.updateCached(id, func(k *cachedHealth) { k.Health, k.readAt = h, time.Now() })
	return h, nil
}

// disableIfGone disables r if the endpoint responded 410. It runs before a is stored: afterwards no other attempt
// might come to do it. If it fails, a counts as not made.
func (cs *circuits) disableIfGone(ctx context.Context, r *Registration, a Attempt) error {
	if !a.Gone() {
		return nil
	}
	return storage.Retry(ctx, func() error { return cs.disable(ctx, r.ID, r.Rev, reasonGone) })
}

// reasonGone is the reason of a registration that a 410 disabled.
const reasonGone = "the endpoint responded 410 Gone"

// disable disables a registration if its revision is still rev. If publishing fails, other processes learn it from
// the endpoint's next 410.
func (cs *circuits) disable(ctx context.Context, id string, rev int, why string) error {
	r, err := storage.Change(ctx, cs.Store, RegistrationKey(id), func(r *Registration, _ *storage.Row) error {
		if r.Rev != rev || r.State != Enabled {
			return storage.ErrUnchanged
		}
		r.Rev++
		r.State, r.Reason, r.Since = Disabled, why, cs.Clock()
		return nil
	})
	if err != nil {
		return fmt.Errorf("disable %s: %w", id, err)
	}
	if r.Source == "" {
		return nil
	}
	if err := cs.matcher.Publish(ctx, r.Source); err != nil {
		cs.Log.Warn("registration", "registration", id, "outcome", "disabled, not published", "why", err.Error())
	}
	return nil
}

// applyOutcome applies an attempt, after which the delivery is d, to its registration: circuit, operational events, and
// disabling after days of failure. An error here is logged only, since the next attempt leads to the same.
func (cs *circuits) applyOutcome(ctx context.Context, e *provider.Event, r *Registration, a Attempt, d *Delivery, probe bool) {
	err := cs.applyAttempt(ctx, e, r, a, probe)
	if d.Status == Failed && d.Reason == reasonExhausted {
		cs.logExhausted(d)
		err = errors.Join(err, cs.notifier.notify(ctx, deliveryExhausted, e, r, "no attempt was accepted"))
	}
	if err != nil {
		cs.Log.Warn("circuit", "registration", r.ID, "outcome", "not written", "why", err.Error())
	}
}

func (cs *circuits) applyAttempt(ctx context.Context, e *provider.Event, r *Registration, a Attempt, probe bool) error {
	switch {
	case a.Class == egress.Internal:
		return nil
	case a.Succeeded():
		return cs.applySuccess(ctx, e, r)
	case a.Gone():
		return cs.notifier.notify(ctx, registrationDisabled, e, r, reasonGone)
	}
	return cs.applyFailure(ctx, e, r, a, probe)
}

// applySuccess clears what the row says against r's endpoint. A process that saw a failure reads the row until nothing
// is said; others read it now and then, since a failure seen elsewhere would count as the first of five days.
func (cs *circuits) applySuccess(ctx context.Context, e *provider.Event, r *Registration) error {
	known, ok := cs.updateCached(r.ID, nil)
	fresh := circuit.WriteInterval
	if !known.lastFailure.IsZero() {
		fresh = healthTTL
	}
	if !ok || time.Since(known.readAt) >= fresh {
		h, err := cs.readHealth(ctx, r.ID)
		if err != nil {
			return err
		}
		known.Health = h
	}
	if !known.Suspected() {
		return nil
	}
	reopened := false
	h, err := cs.changeHealth(ctx, r.ID, func(h circuit.Health) circuit.Health {
		reopened = h.Open
		return h.AfterSuccess(cs.Clock()).ProbeEnded(e.ID)
	})
	if err != nil {
		return err
	}
	cs.updateCached(r.ID, func(k *cachedHealth) { k.lastFailure, k.clearedAt = time.Time{}, time.Now() })
	if !reopened {
		return nil
	}
	return errors.Join(cs.wake(ctx, r.ID, h), cs.notifier.notify(ctx, registrationRecovered, e, r, "the endpoint accepts again"))
}

// updateCached returns what this process knows of an endpoint and, unless f is nil, has f change it.
func (cs *circuits) updateCached(id string, f func(*cachedHealth)) (was cachedHealth, known bool) {
	k, known := cs.healths.Get(id)
	if known {
		was = *k
	}
	if f != nil {
		now := was
		f(&now)
		cs.healths.Add(id, &now)
	}
	return was, known
}

// applyFailure opens the circuit, or sets its next probe.
func (cs *circuits) applyFailure(ctx context.Context, e *provider.Event, r *Registration, a Attempt, probe bool) error {
	now, failed, m := cs.Clock(), a.At.Add(a.Took), cs.limiter.Stats(r.ID)
	if a.Class == egress.Timeout {
		failed = a.At
	}
	refused := func(h circuit.Health) circuit.Health {
		if probe {
			h = h.ProbeEnded(e.ID)
		}
		return h.AfterFailure(now, failed, m.Failures, probe)
	}
	known, ok := cs.updateCached(r.ID, func(k *cachedHealth) { k.lastFailure = time.Now() })
	switch after := refused(known.Health); {
	case !ok || known.ShouldDisable(now):
	case after == known.Health:
		return nil // as far as this process knows, the row says so already
	case !after.Open && after.LastFailure.Equal(known.LastFailure) && time.Since(known.clearedAt) < healthTTL:
		return nil // cleared a moment ago: an endpoint that fails every second attempt would cost a write each
	}
	opened := false
	h, err := cs.changeHealth(ctx, r.ID, func(h circuit.Health) circuit.Health {
		after := refused(h)
		opened = after.Open && !h.Open
		return after
	})
	switch {
	case err != nil:
		return err
	case h.ShouldDisable(now) && cs.clockSteady():
		const why = "nothing was accepted for five days"
		if err := cs.disable(ctx, r.ID, r.Rev, why); err != nil {
			return err
		}
		return cs.notifier.notify(ctx, registrationDisabled, e, r, why)
	}
	if probe {
		cs.sendProbe(ctx, r.ID, h)
	}
	if opened {
		return cs.notifier.notify(ctx, registrationFailing, e, r, "the endpoint accepts nothing; attempts are spaced out")
	}
	return nil
}

// expiredBehindCircuit reports whether d's whole schedule went by while its circuit was open, and a probe failed
// after that. Then d ends, whatever number of attempts it had. While the next probe is due, d waits for it. Time
// in which no worker ran, or by which the clock was set, ends nothing.
func (cs *circuits) expiredBehindCircuit(ctx context.Context, d Delivery, r *Registration) (bool, error) {
	now := cs.Clock()
	if d.Manual || now.Sub(later(d.Created, d.RestartedAt)) <= circuit.MaxInterval || now.Before(d.scheduleEnd(r.Schedule)) || !cs.clockSteady() {
		return false, nil // the case of each first attempt
	}
	h, err := cs.health(ctx, r.ID)
	return h.Open && h.ProbeFailed.After(d.scheduleEnd(r.Schedule)) && !h.ProbeDue(now), err
}

// endExhausted ends d, whose schedule is over, and notifies the tenant.
func (cs *circuits) endExhausted(ctx context.Context, e *provider.Event, r *Registration, d Delivery) error {
	if err := cs.notifier.notify(ctx, deliveryExhausted, e, r, "the endpoint accepted nothing for the whole time of the schedule"); err != nil {
		return err
	}
	cs.logExhausted(&d)
	return cs.deliveries.save(ctx, d.end(Failed, reasonExhausted, cs.Clock()), d.rev)
}

// endUnattemptable ends d, for which load returned err, if err says that there is nothing to attempt; any other
// err it returns. r is nil if the registration is gone.
func (cs *circuits) endUnattemptable(ctx context.Context, d Delivery, r *Registration, err error) error {
	switch {
	case errors.Is(err, errExpired):
		cs.count(Expired, 1)
		return cs.failAndNotify(ctx, d, r, reasonExpired, "its payload expired: it waited for longer than the retention of events")
	case errors.Is(err, errErased):
		return cs.deliveries.save(ctx, d.Cancel(ReasonErased, cs.Clock()), d.rev)
	case errors.Is(err, storage.ErrNotFound):
		return cs.deliveries.save(ctx, d.Cancel(ReasonDeleted, cs.Clock()), d.rev)
	}
	return err
}

// failAndNotify ends d through no fault of its endpoint: with a log line and an operational event. r is nil if the
// registration is not known.
func (cs *circuits) failAndNotify(ctx context.Context, d Delivery, r *Registration, why, text string) error {
	cs.Log.Error("delivery", "source", d.Source, "event", d.Event, "tenant", d.Tenant, "registration", d.Registration,
		"delivery", d.ID, "attempts", d.Attempts, "outcome", why, "why", text)
	if r != nil {
		s, _, err := storage.Load[Source](ctx, cs.Store, SourceKey(d.Source))
		if err != nil && !errors.Is(err, storage.ErrNotFound) {
			return err
		}
		about := &provider.Event{ID: d.Event, Source: d.Source, Provider: s.Provider, Type: d.EventType}
		if err := cs.notifier.notify(ctx, deliveryExhausted, about, r, text); err != nil {
			return err
		}
	}
	return cs.deliveries.save(ctx, d.fail(why, cs.Clock()), d.rev)
}

// countLostClaim counts a claim that a worker took up and did not record, or whose request could not be built. The
// tenth in a row ends d as failed: nobody can attempt it. r may be nil.
func (cs *circuits) countLostClaim(ctx context.Context, d *Delivery, r *Registration) (over bool, err error) {
	if d.LostClaims++; d.LostClaims < maxLostClaims {
		err := cs.deliveries.putDelivery(ctx, d, d.rev)
		return errors.Is(err, storage.ErrConflict), superseded(err)
	}
	if r == nil {
		r, _, _ = cs.matcher.registration(ctx, d.Source, d.Registration) // it may be the row that nobody can read
	}
	return true, cs.failAndNotify(ctx, *d, r, reasonInternal, "no attempt could be made, or recorded, ten times in a row")
}

func (cs *circuits) logExhausted(d *Delivery) {
	cs.Log.Info("delivery", "source", d.Source, "event", d.Event, "tenant", d.Tenant, "registration", d.Registration,
		"delivery", d.ID, "attempts", d.Attempts, "outcome", reasonExhausted)
}

// scheduleEnd returns when all waits of s, and those that the endpoint asked for, are over for d.
func (d Delivery) scheduleEnd(s schedule.Schedule) time.Time {
	sum := time.Duration(0)
	for n := range s.Len() {
		sum += s.Wait(n)
	}
	return later(d.Created, d.RestartedAt).Add(sum*12/10 + d.RetryAfterSum + circuit.MaxInterval)
}
