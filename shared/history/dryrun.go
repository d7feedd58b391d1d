package history

import (
	"context"
	"fmt"
	"time"

	"ringback/shared/control"
	"ringback/shared/gateway"
	"ringback/shared/storage"
)

// How far back a dry run scans.
const (
	dryRunEvents    = 1_000
	dryRunTime      = 5 * time.Second
	dryRunMaxEvents = 100
)

// A DryRun is what a registration would have received.
type DryRun struct {
	Scanned  int     // events scanned, newest first
	Matched  int     // of them
	Events   []Event // the newest matches, without payload
	Complete bool    // all events since the time were scanned
}

// DryRunRegistration returns which stored events since a time c's registration would have received, with another
// match or other event types if given.
func (h *History) DryRunRegistration(ctx context.Context, c control.Caller, id string, since time.Time, ch control.RegistrationChange) (DryRun, error) {
	r, err := h.control.Registration(ctx, c, id)
	if err != nil {
		return DryRun{}, err
	}
	if r.State == gateway.Removed {
		return DryRun{}, fmt.Errorf("registration: %w", storage.ErrNotFound)
	}
	if r, err = h.control.Altered(ctx, c, r, ch); err != nil {
		return DryRun{}, err
	}
	if err := h.control.RequireFullHistory(ctx, r.Source); err != nil {
		return DryRun{}, err
	}
	return h.dryRun(ctx, r, since)
}

// dryRun matches r against stored events, newest first, until it has read dryRunEvents or dryRunTime is over.
func (h *History) dryRun(ctx context.Context, r gateway.Registration, since time.Time) (DryRun, error) {
	v, err := h.gw.Generation(ctx, r.Source)
	if err != nil {
		return DryRun{}, err
	}
	run := DryRun{Events: []Event{}}
	end := h.gw.Clock().Add(dryRunTime)
	q := Query{Source: r.Source, Since: since, Limit: storage.MaxPageRows}
	for run.Scanned < dryRunEvents && h.gw.Clock().Before(end) {
		page, next, err := h.eventsOfSource(ctx, q)
		if err != nil {
			return run, err
		}
		for _, l := range page {
			if err := h.try(ctx, v.Rev, &r, l, &run); err != nil {
				return run, err
			}
		}
		if next == "" {
			run.Complete = true
			break
		}
		q.Cursor = next
	}
	return run, nil
}

// try adds one event to a dry run.
func (h *History) try(ctx context.Context, rev string, r *gateway.Registration, l Event, run *DryRun) error {
	if l.Recipient != "" {
		return nil
	}
	ok, err := h.gw.MayReplay(ctx, rev, &l.Event, r)
	if err != nil || !ok {
		return err
	}
	run.Scanned++
	if !r.Wants(&l.Event) {
		return nil
	}
	run.Matched++
	if len(run.Events) < dryRunMaxEvents {
		l.Payload = nil
		run.Events = append(run.Events, l)
	}
	return nil
}
