package gateway

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"ringback/shared/circuit"
	"ringback/shared/ident"
	"ringback/shared/message"
	"ringback/shared/storage"
)

// A delivery that meets an open circuit is parked: it stays pending, leaves the due index, costs nothing and uses up no
// attempt. Instead the row of its registration's circuit.Health is due while deliveries may be parked: at each probe's
// time a message makes probe attempt the oldest one. Once that succeeds, a job wakes the others (wakeStep).

// park parks d, whose claim the caller holds.
func (cs *circuits) park(ctx context.Context, d Delivery) error {
	after := d.park(cs.Clock())
	if err := cs.deliveries.save(ctx, after, d.rev); err != nil {
		return err
	}
	return cs.ensureProbe(ctx, after)
}

// ensureProbe makes sure that d, stored as parked, will be probed or woken: its circuit may have closed meanwhile,
// and wakeStep may be past d. A crash before it returns makes it run again, when d may be in any state.
func (cs *circuits) ensureProbe(ctx context.Context, d Delivery) error {
	for d.Parked() {
		h, err := cs.readHealth(ctx, d.Registration)
		switch {
		case err != nil:
			return err
		case h.Open && h.Parked && h.OldestParked != "" && h.OldestParked <= d.Event:
			return nil
		case h.Open:
			err = cs.markParked(ctx, d)
		default:
			if d, err = cs.deliveries.LoadDelivery(ctx, d.ID); err == nil && d.Parked() {
				return cs.deliveries.reschedule(ctx, d, later(d.NextAttempt, cs.Clock()), 0, true)
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// markParked makes an open circuit due and has its probes start at d.
func (cs *circuits) markParked(ctx context.Context, d Delivery) error {
	first := false
	h, err := cs.changeHealth(ctx, d.Registration, func(h circuit.Health) circuit.Health {
		if first = h.Open && !h.Parked; first || h.Open && (h.OldestParked == "" || d.Event < h.OldestParked) {
			h.Parked, h.OldestParked, h.Source, h.Tenant = true, d.Event, d.Source, d.Tenant
		}
		return h
	})
	if err == nil && first {
		cs.sendProbe(ctx, d.Registration, h)
	}
	return err
}

// sendProbe sends the message for an early probe; later probes are left to the retry run.
func (cs *circuits) sendProbe(ctx context.Context, id string, h circuit.Health) {
	if h.Open && h.Parked && h.EarlyProbe() {
		cs.sendSelf(ctx, path{storage.SlowQueue, h.Tenant}, message.Header{Kind: message.Probe, ID: id}, 1, h.ProbeAt.Sub(cs.Clock()))
	}
}

// claimProbe returns a circuit.Health's row as claimed, the header of its message, and its tenant. If nobody
// probes, it falls due again.
func claimProbe(row storage.Row, start time.Time) (_ storage.Row, _ message.Header, tenant string, _ error) {
	var h circuit.Health
	if err := storage.Decode(row, &h); err != nil {
		return row, message.Header{}, "", err
	}
	row.Due = start.Add(max(claimTTL, h.Interval+h.ProbeSlack()))
	return row, message.Header{Kind: message.Probe, ID: strings.TrimPrefix(row.PK, "R#")}, h.Tenant, nil
}

// wake starts the job that attempts the deliveries parked for a registration.
func (cs *circuits) wake(ctx context.Context, id string, h circuit.Health) error {
	if !h.Parked {
		return nil
	}
	if _, err := cs.startJob(ctx, Job{Kind: JobWake, Registration: id, Source: h.Source, Since: h.LastSuccess, Cursor: "0 " + h.OldestParked}); err != nil {
		return err
	}
	_, err := cs.changeHealth(ctx, id, func(now circuit.Health) circuit.Health {
		if now.Open == h.Open && now.LastSuccess.Equal(h.LastSuccess) {
			now.Parked, now.OldestParked = false, ""
		}
		return now
	})
	return err
}

// ForgetHealth deletes what is known of a registration's endpoint and wakes its parked deliveries.
func (cs *circuits) ForgetHealth(ctx context.Context, id string) error {
	return storage.CompareAndSwap(ctx, func() error {
		h, row, err := storage.Load[circuit.Health](ctx, cs.Store, HealthKey(id))
		switch {
		case err != nil:
			return ignoring(err, storage.ErrNotFound)
		case !h.Parked:
			cs.healths.Remove(id)
			return cs.Store.Delete(ctx, row.Key, row.Rev)
		}
		h, err = cs.changeHealth(ctx, id, func(h circuit.Health) circuit.Health {
			return circuit.Health{Parked: h.Parked, OldestParked: h.OldestParked, Source: h.Source, Tenant: h.Tenant, Probing: h.Probing}
		})
		if err != nil {
			return err
		}
		return cs.wake(ctx, id, h)
	})
}

// probe attempts the oldest delivery that is parked for a registration and whose time has come, if a probe is due. It
// stays parked: the circuit lets one probe through at a time. Deliveries whose schedule is over are claimed, so that
// workers end them. If the circuit is closed, or nothing may be attempted, it wakes all, and workers find out why.
func (rs *redeliveries) probe(ctx context.Context, h message.Header) error {
	id, cs := h.ID, rs.attempter.circuit
	known, err := cs.readHealth(ctx, id)
	inFlight := false
	if err == nil && known.Probing != "" {
		inFlight, err = rs.repairProbe(ctx, id, known)
	}
	if err != nil || inFlight || !known.Parked {
		return err
	}
	r, _, err := cs.matcher.registration(ctx, known.Source, id)
	now := rs.Clock()
	switch {
	case err != nil && !errors.Is(err, storage.ErrNotFound):
		return err
	case err != nil || r.State != Enabled || !known.Open:
		return cs.wake(ctx, id, known)
	case !known.ProbeDue(now):
		return nil // another worker probes
	}
	var expired []*Delivery
	var next *Delivery
	from := ""
	for d, err := range rs.deliveries.unfinishedFrom(ctx, id, known.OldestParked) {
		if err != nil {
			return err
		}
		late := timeLeft(ctx) <= jobTimeSlice
		if late || d.Parked() || d.Status == Pending && d.Unacked > 0 { // the holder of that claim may park it
			from = cmp.Or(from, d.Event)
		}
		ready := d.Parked() && !d.NextAttempt.After(now)
		over := ready && known.ProbeFailed.After(d.scheduleEnd(r.Schedule))
		if ready && !over {
			next = &d
		}
		if late || next != nil || len(expired) == maxExpired {
			break
		}
		if over {
			d = d.newClaim(storage.UTC(now))
			if err := rs.deliveries.save(ctx, d, d.rev); err != nil {
				return err
			}
			expired = append(expired, &d)
		}
	}
	rs.deliveries.sendRetries(ctx, expired, 1, true)
	if from != known.OldestParked || from == "" {
		_, err = cs.changeHealth(ctx, id, func(now circuit.Health) circuit.Health {
			if now.OldestParked == known.OldestParked { // otherwise another was parked meanwhile
				now.Parked, now.OldestParked = from != "" || known.OldestParked != "", from
			}
			return now
		})
	}
	if err != nil || next == nil {
		return err
	}
	return rs.attempt(ctx, *next, message.Header{Kind: message.Probe, ID: next.ID, Claim: next.Claim, SelfSends: h.SelfSends}, false, true)
}

// repairProbe handles a last probe that did not end, because of a crash. It counts as a lost claim, and the next
// probe takes another delivery.
func (rs *redeliveries) repairProbe(ctx context.Context, id string, h circuit.Health) (inFlight bool, err error) {
	d, err := rs.deliveries.LoadDelivery(ctx, ident.Delivery(id, h.Probing))
	if err != nil {
		return false, ignoring(err, storage.ErrNotFound)
	}
	now, cs := rs.Clock(), rs.attempter.circuit
	switch err := rs.deliveries.repairEvent(ctx, d); {
	case err != nil || !h.Open:
		return false, err
	case now.Before(h.ProbeAt.Add(claimTTL - h.Interval)):
		return d.Parked(), nil
	}
	if err := cs.probeEnded(ctx, &d); err != nil || !d.Parked() {
		return false, err
	}
	d.NextAttempt = storage.UTC(now.Add(max(claimTTLAfter(d.LostClaims), 2*h.Interval)))
	_, err = cs.countLostClaim(ctx, &d, nil)
	return false, err
}

// probeEnded records that d is no longer attempted as a probe.
func (cs *circuits) probeEnded(ctx context.Context, d *Delivery) error {
	_, err := cs.changeHealth(ctx, d.Registration, func(h circuit.Health) circuit.Health { return h.ProbeEnded(d.Event) })
	return err
}

const maxExpired = 1000 // deliveries that one probe ends

// unfinishedFrom returns a registration's unfinished and failed deliveries from an event on, oldest first.
func (ds *deliveries) unfinishedFrom(ctx context.Context, registration, from string) iter.Seq2[Delivery, error] {
	const lot = 25
	return func(yield func(Delivery, error) bool) {
		for {
			keys, next, err := ds.unfinishedPage(ctx, registration, from)
			for n := 1; err == nil && len(keys) > 0; n = min(4*n, lot) { // a probe needs only the first
				var rows []storage.Row
				some := keys[:min(n, len(keys))]
				if rows, err = ds.Store.Get(ctx, some...); err != nil {
					break
				}
				keys = keys[len(some):]
				slices.SortFunc(rows, func(a, b storage.Row) int { return strings.Compare(a.SK, b.SK) })
				for _, row := range rows {
					if !yield(ReadDelivery(row)) {
						return
					}
				}
			}
			if err != nil {
				yield(Delivery{}, fmt.Errorf("open deliveries of %s: %w", registration, err))
				return
			}
			if from = next; from == "" {
				return
			}
		}
	}
}

// unfinishedPage returns a page of a registration's unfinished and failed deliveries from an event on, oldest
// first, and the event to go on from; empty after the last page.
func (ds *deliveries) unfinishedPage(ctx context.Context, registration, from string) (keys []storage.Key, next string, err error) {
	const each = 10 // of a shard
	for shard := range HistoryShards {
		page, err := ds.Store.List(ctx, storage.Query{
			Table: storage.Deliveries, PK: DeliveryPK(registration, shard), Open: true, From: from, Limit: each,
		})
		if err != nil {
			return nil, "", err
		}
		for _, r := range page.Rows {
			keys = append(keys, r.Key)
		}
		if page.Next != "" && (next == "" || page.Next < next) {
			next = page.Next
		}
	}
	slices.SortFunc(keys, func(a, b storage.Key) int { return strings.Compare(a.SK, b.SK) })
	if next == "" {
		return keys, "", nil
	}
	// A shard that has more may have rows between the keys of others: cut there.
	n, _ := slices.BinarySearchFunc(keys, afterEvent(next), func(k storage.Key, sk string) int { return strings.Compare(k.SK, sk) })
	return keys[:n], afterEvent(next), nil
}

// afterEvent returns the smallest text that sorts after an event id.
func afterEvent(event string) string { return event + " " }

// wakeStep makes deliveries due that were parked behind a circuit, which is closed now: oldest first, at the
// registration's rate, starting with ten in the first second and doubling each second. It ends when the circuit
// opens again. A second pass, a minute later, finds what was parked during the first.
func (js *jobs) wakeStep(ctx context.Context, j *Job) (next time.Time, done bool, err error) {
	pass, from, _ := strings.Cut(j.Cursor, " ")
	second := j.Created.Add(secondPassDelay)
	if wait := second.Sub(js.Clock()); pass == "1" && from == "" && wait > 0 && wait <= secondPassDelay {
		return second, false, nil
	}
	if closed, err := js.canWake(ctx, j, from); err != nil || !closed {
		return time.Time{}, err == nil, err
	}
	if err := js.setRate(ctx, j); err != nil {
		return time.Time{}, false, err
	}
	n := min(j.SlowStart(ctx), storage.MaxPageRows)
	if n == 0 {
		return time.Time{}, false, nil
	}
	var rows []storage.Row
	for d, err := range js.deliveries.unfinishedFrom(ctx, j.Registration, from) {
		switch {
		case err != nil:
			return time.Time{}, false, err
		case d.Parked():
			rows = append(rows, storage.Row{Key: DeliveryKey(j.Registration, d.Event)})
		}
		if len(rows) == n {
			break
		}
	}
	if len(rows) == 0 {
		j.Cursor = "1 "
		return time.Time{}, pass == "1", nil
	}
	n, err = js.makeDue(ctx, j, rows, func(ctx context.Context, row storage.Row) (*Delivery, bool, error) {
		d, err := js.deliveries.LoadDelivery(ctx, ident.Delivery(j.Registration, row.SK))
		if err != nil || !d.Parked() {
			return nil, true, ignoring(err, storage.ErrNotFound)
		}
		return &d, false, nil
	})
	if n > 0 {
		j.Cursor = pass + " " + afterEvent(rows[n-1].SK)
	}
	return time.Time{}, false, err
}

// canWake reports whether j's registration may be attempted. If its circuit is open, what is parked from an event
// on stays so.
func (js *jobs) canWake(ctx context.Context, j *Job, from string) (bool, error) {
	r, _, err := js.matcher.registration(ctx, j.Source, j.Registration)
	if err != nil || r.State != Enabled {
		return true, ignoring(err, storage.ErrNotFound)
	}
	h, err := js.circuit.readHealth(ctx, r.ID)
	if err != nil || !h.Open {
		return true, err
	}
	return false, js.circuit.markParked(ctx, Delivery{Registration: r.ID, Event: from, Source: r.Source, Tenant: r.Tenant})
}
