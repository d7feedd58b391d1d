package gateway

import (
	"context"
	"errors"
	"fmt"

	"ringback/shared/message"
	"ringback/shared/storage"
)

// redeliveries handle the messages of the retry and slow queues.
type redeliveries struct {
	*core
	events     *events
	deliveries *deliveries
	attempter  *attempter
	lanes      *lanes
	jobs       *jobs
}

// Redeliver is the Handler of the retry queue: later attempts, resends, and chunks of jobs. A message with a stale
// claim is dropped; its row says what happens next.
func (rs *redeliveries) Redeliver(ctx context.Context, ms []storage.Received) ([]string, error) {
	return rs.redeliverAll(ctx, ms, false)
}

// RedeliverSlow is the Handler of the slow queue: the same for endpoints not known to be fast.
func (rs *redeliveries) RedeliverSlow(ctx context.Context, ms []storage.Received) ([]string, error) {
	return rs.redeliverAll(ctx, ms, true)
}

// redeliverAll handles a batch of the retry or the slow queue, each message by its kind.
func (rs *redeliveries) redeliverAll(ctx context.Context, ms []storage.Received, slow bool) ([]string, error) {
	verb, queue := "retry", storage.RetryQueue
	if slow {
		verb, queue = "slow", storage.SlowQueue
	}
	return rs.eachMessage(ctx, verb, ms, func(ctx context.Context, m storage.Received) error {
		h, _, err := message.Read(m.Body)
		switch {
		case err != nil:
			return err
		case h.Kind == message.Retry:
			return rs.redeliver(ctx, h, m.Receives == lostAfterReceives, slow)
		case h.Kind == message.Job:
			return rs.jobs.runJob(ctx, h)
		case h.Kind == message.Lane:
			return rs.lanes.runLane(ctx, h, m.Receives == lostAfterReceives, slow)
		case h.Kind == message.Probe:
			return rs.probe(ctx, h)
		}
		return fmt.Errorf("message of kind %q on the %s queue: %w", h.Kind, queue, ErrUnreadable)
	})
}

// lostAfterReceives is the receive at which a message's claim counts as lost: workers took it up before and
// recorded nothing.
const lostAfterReceives = 3

// redeliver makes the attempt that h asks for, if its claim is current. lost says that the claim counts as lost,
// slow that h comes from the slow queue.
func (rs *redeliveries) redeliver(ctx context.Context, h message.Header, lost, slow bool) error {
	d, err := rs.deliveries.LoadDelivery(ctx, h.ID)
	switch {
	case errors.Is(err, storage.ErrNotFound):
		return nil
	case err != nil:
		return err
	case !d.holdsClaim(h.Claim):
		return errors.Join(rs.deliveries.repairEvent(ctx, d), rs.attempter.circuit.ensureProbe(ctx, d))
	}
	return rs.attempt(ctx, d, h, lost, slow)
}

// attempt is redeliver for a delivery whose claim was checked.
func (rs *redeliveries) attempt(ctx context.Context, d Delivery, h message.Header, lost, slow bool) error {
	if lost {
		if over, err := rs.attempter.circuit.countLostClaim(ctx, &d, nil); over || err != nil {
			return err
		}
	}
	e, r, rev, err := rs.attempter.load(ctx, d)
	if err != nil {
		return rs.attempter.circuit.endUnattemptable(ctx, d, r, err)
	}
	return rs.attempter.attempt(ctx, &task{e: e, r: r, rev: rev, d: d, fromSlowQueue: slow, selfSends: h.SelfSends}, &redelivery{rs, h})
}

// A redelivery is the recorder for a message of the retry or slow queue, whose claim it holds.
type redelivery struct {
	rs *redeliveries
	h  message.Header
}

func (re *redelivery) ineligible(ctx context.Context, t *task, verdict Status, why string) error {
	return re.rs.deliveries.endIneligible(ctx, t.d, verdict, why)
}

// proceed reports whether the claim still allows a POST. A parked delivery is a probe, which the circuit allows.
func (re *redelivery) proceed(ctx context.Context, t *task) (bool, error) {
	now := re.rs.Clock()
	if t.d.Parked() || t.d.mayPost(re.h.Claim, now, t.r.timeout()) {
		return true, nil
	}
	return false, re.rs.deliveries.reschedule(ctx, t.d, now, re.h.SelfSends, t.fromSlowQueue)
}

func (re *redelivery) postponed(ctx context.Context, t *task, s permit) error {
	if s.probe && t.d.Parked() {
		if err := re.rs.attempter.circuit.probeEnded(ctx, &t.d); err != nil {
			return err
		}
	}
	switch {
	case t.d.Parked() && !s.rateGranted:
		return nil // until the next probe
	case s.circuitOpen:
		return re.rs.attempter.circuit.park(ctx, t.d)
	}
	t.d.RateGranted = s.rateGranted
	return re.rs.deliveries.reschedule(ctx, t.d, s.retryAt, re.h.SelfSends, s.viaSlowQueue || t.fromSlowQueue)
}

// unwritable keeps the claim: the row falls due again, later each time.
func (re *redelivery) unwritable(ctx context.Context, t *task) error {
	_, err := re.rs.attempter.circuit.countLostClaim(ctx, &t.d, t.r)
	return err
}

func (re *redelivery) attempted(ctx context.Context, t *task, a Attempt) error {
	ds, selfSends := re.rs.deliveries, re.h.SelfSends
	after, self, err := ds.recordAttempt(ctx, t.d, a, t.r.Schedule, ds.Random(), selfSends < maxSelfSends)
	switch {
	case errors.Is(err, storage.ErrNotFound): // erased
		return nil
	case err != nil:
		return err
	}
	if t.d = after; self {
		ds.sendRetry(ctx, &t.d, selfSends+1, false)
	}
	return re.rs.attempter.circuit.ensureProbe(ctx, after) // another holder of this message may have parked it
}

// Resend claims one more attempt of a delivery in any status, at once, outside its schedule. The error wraps
// storage.ErrNotFound.
func (rs *redeliveries) Resend(ctx context.Context, id string) (Delivery, error) {
	now := rs.Clock()
	d, err := rs.deliveries.ChangeDelivery(ctx, id, func(d Delivery) (Delivery, error) { return d.resend(now), nil })
	if err != nil {
		return d, fmt.Errorf("resend %s: %w", id, err)
	}
	rs.deliveries.sendRetry(ctx, &d, 1, false)
	return d, nil
}
