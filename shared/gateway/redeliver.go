package gateway

import (
	"context"
	"errors"
	"fmt"

	"ringback/shared/message"
	"ringback/shared/storage"
)

// redeliveries are what the messages of the retry queue ask for.
type redeliveries struct {
	*core
	events     *events
	deliveries *deliveries
	attempts   *attempter
	lanes      *lanes
	jobs       *jobs
}

// Redeliver is the Handler of the retry queue: later attempts, resends, and the chunks of jobs. A message
// whose claim was superseded is dropped; the row that it was for tells what happens next.
func (rs *redeliveries) Redeliver(ctx context.Context, ms []storage.Received) ([]string, error) {
	return rs.redeliverAll(ctx, ms, false)
}

// RedeliverSlow is the Handler of the slow queue, which carries the same for endpoints that are not known to be fast.
func (rs *redeliveries) RedeliverSlow(ctx context.Context, ms []storage.Received) ([]string, error) {
	return rs.redeliverAll(ctx, ms, true)
}

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
			return rs.redeliver(ctx, h, m.Receives == lostReceives, slow)
		case h.Kind == message.Job:
			return rs.jobs.runJob(ctx, h)
		case h.Kind == message.Lane:
			return rs.lanes.runLane(ctx, h, m.Receives == lostReceives, slow)
		case h.Kind == message.Probe:
			return rs.probe(ctx, h)
		}
		return fmt.Errorf("message of kind %q on the %s queue: %w", h.Kind, queue, ErrUnreadable)
	})
}

// lostReceives is how often a message is received when its claim counts as lost:
// workers took it up before and recorded nothing.
const lostReceives = 3

// redeliver makes the attempt for which h was sent, if that is still wanted. lost
// says that the claim is, slow that it came from the slow queue.
func (rs *redeliveries) redeliver(ctx context.Context, h message.Header, lost, slow bool) error {
	d, err := rs.deliveries.LoadDelivery(ctx, h.ID)
	switch {
	case errors.Is(err, storage.ErrNotFound):
		return nil
	case err != nil:
		return err
	case !d.mine(h.Claim):
		return errors.Join(rs.deliveries.settle(ctx, d), rs.attempts.circuit.wasParked(ctx, d))
	}
	return rs.attempt(ctx, d, h, lost, slow)
}

// attempt is redeliver for a delivery that may be attempted for h.
func (rs *redeliveries) attempt(ctx context.Context, d Delivery, h message.Header, lost, slow bool) error {
	if lost {
		if over, err := rs.attempts.circuit.lose(ctx, &d, nil); over || err != nil {
			return err
		}
	}
	e, r, rev, err := rs.attempts.subject(ctx, d)
	if err != nil {
		return rs.attempts.circuit.endWithout(ctx, d, r, err)
	}
	return rs.attempts.attempt(ctx, &try{e: e, r: r, rev: rev, d: d, slow: slow, hops: h.Hops}, &redelivery{rs, h})
}

// A redelivery is the recorder of what a message of the retry queue asks for, whose claim it has.
type redelivery struct {
	rs *redeliveries
	h  message.Header
}

func (re *redelivery) notWanted(ctx context.Context, t *try, verdict Status, why string) error {
	return re.rs.deliveries.endUnwanted(ctx, t.d, verdict, why)
}

// turn reports whether the claim still gives the right to POST. To a probe the circuit gives it.
func (re *redelivery) turn(ctx context.Context, t *try) (bool, error) {
	now := re.rs.Clock()
	if t.d.Parked() || t.d.mayPost(re.h.Claim, now, t.r.limit()) {
		return true, nil
	}
	return false, re.rs.deliveries.handOutAgain(ctx, t.d, now, re.h.Hops, t.slow)
}

func (re *redelivery) notNow(ctx context.Context, t *try, s start) error {
	if s.probe && t.d.Parked() {
		if err := re.rs.attempts.circuit.probeEnded(ctx, &t.d); err != nil {
			return err
		}
	}
	switch {
	case t.d.Parked() && !s.paced:
		return nil // until the next probe
	case s.open:
		return re.rs.attempts.circuit.park(ctx, t.d)
	}
	t.d.Paced = s.paced
	return re.rs.deliveries.handOutAgain(ctx, t.d, s.at, re.h.Hops, s.slow || t.slow)
}

// notWritten leaves the claim: the row falls due again, later each time.
func (re *redelivery) notWritten(ctx context.Context, t *try) error {
	_, err := re.rs.attempts.circuit.lose(ctx, &t.d, t.r)
	return err
}

func (re *redelivery) attempted(ctx context.Context, t *try, a Attempt) error {
	ds, hops := re.rs.deliveries, re.h.Hops
	after, self, err := ds.recordOver(ctx, t.d, a, t.r.Schedule, ds.Random(), hops < maxHops)
	switch {
	case errors.Is(err, storage.ErrNotFound): // erased
		return nil
	case err != nil:
		return err
	}
	if t.d = after; self {
		ds.sendRetry(ctx, &t.d, hops+1, false)
	}
	return re.rs.attempts.circuit.wasParked(ctx, after) // by another, who has this message too
}

// Resend hands out one more attempt of a delivery in any status, at once. It
// does not count for the schedule. The error wraps storage.ErrNotFound.
func (rs *redeliveries) Resend(ctx context.Context, id string) (Delivery, error) {
	now := rs.Clock()
	d, err := rs.deliveries.ChangeDelivery(ctx, id, func(d Delivery) (Delivery, error) { return d.resend(now), nil })
	if err != nil {
		return d, fmt.Errorf("resend %s: %w", id, err)
	}
	rs.deliveries.sendRetry(ctx, &d, 1, false)
	return d, nil
}
