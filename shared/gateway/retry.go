package gateway

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"ringback/shared/storage"
)

const (
	handOutAtOnce = 10               // rows a shard claims before their messages are sent: what a crash strands, about
	spread        = 30 * time.Second // over which overdue rows are spread
	tickMargin    = 5 * time.Second  // of the invocation, kept for the end
)

// retries hand out what falls due.
type retries struct {
	*core
	find       *finder
	deliveries *deliveries
	circuit    *circuits
}

// Retry runs every minute and hands out what falls due within the Horizon: one
// conditional write a row, then a message that comes at the exact second. Two
// Retries may run at once. It hands out nothing while the retry queue is above
// the brake, since each hand-out of a backlog would only add to it.
func (rt *retries) Retry(ctx context.Context) error {
	start := rt.Clock()
	depth, err := rt.Queue.Depth(ctx, storage.RetryQueue)
	if err != nil {
		return fmt.Errorf("depth of the retry queue: %w", err)
	}
	if depth.Waiting > rt.Brake {
		rt.Log.Warn("retry", "outcome", "braked", "waiting", depth.Waiting)
		return nil
	}
	var t tick
	var wg sync.WaitGroup
	errs := make([]error, storage.DueShards)
	for shard := range storage.DueShards {
		wg.Go(func() {
			err := guarded(func() error { return rt.retryShard(ctx, shard, start.Add(Horizon), &t) })
			if errs[shard] = err; err != nil {
				rt.Log.Error("retry", append([]any{"shard", shard, "outcome", "left"}, whyOf(err)...)...)
			}
		})
	}
	wg.Wait()
	errs = append(errs, rt.send(ctx, storage.RetryQueue, t.unsent))
	rt.count(DueAge, t.oldest(start).Seconds())
	rt.Log.Info("retry", "outcome", "done", "handed_out", t.handedOut, "oldest", t.oldest(start), "took", rt.Clock().Sub(start))
	return errors.Join(errs...)
}

// PastDue returns when the oldest row that is late fell due; zero if none is.
func (rt *retries) PastDue(ctx context.Context) (time.Time, error) {
	now := rt.Clock()
	first := now
	for shard := range storage.DueShards {
		due, _, err := rt.Store.Due(ctx, shard, now, "", 1)
		if err != nil {
			return time.Time{}, fmt.Errorf("due shard %d: %w", shard, err)
		}
		if len(due) > 0 && due[0].Due.Before(first) {
			first = due[0].Due
		}
	}
	if first.Equal(now) {
		return time.Time{}, nil
	}
	return first, nil
}

// tick adds up what one Retry did.
type tick struct {
	mu        sync.Mutex
	handedOut int
	first     time.Time         // the oldest due time that was seen
	probes    map[string]bool   // registrations of which one was handed out
	ends      map[string]bool   // registrations of which an end was
	unsent    []storage.Message // fewer than fill a send
}

// full adds ms, and returns as many as fill sends: a send is billed alike for
// one message and for ten, and most shards have one or two.
func (t *tick) full(ms []storage.Message) []storage.Message {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.unsent = append(t.unsent, ms...)
	n := len(t.unsent) / storage.MaxSend * storage.MaxSend
	out := t.unsent[:n:n]
	t.unsent = slices.Clone(t.unsent[n:])
	return out
}

// once adds a registration to probes or ends, and reports whether it was not
// there: the first goes to a worker, for the probe, or to tell of the end.
func (t *tick) once(of *map[string]bool, registration string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if (*of)[registration] {
		return false
	}
	if *of == nil {
		*of = map[string]bool{}
	}
	(*of)[registration] = true
	return true
}

func (t *tick) add(rows []storage.DueRow, handedOut int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.handedOut += handedOut
	for _, r := range rows {
		if t.first.IsZero() || r.Due.Before(t.first) {
			t.first = r.Due
		}
	}
}

func (t *tick) oldest(now time.Time) time.Duration {
	if t.first.IsZero() {
		return 0
	}
	return max(now.Sub(t.first), 0)
}

func (rt *retries) retryShard(ctx context.Context, shard int, until time.Time, t *tick) error {
	cursor := ""
	for timeLeft(ctx) > tickMargin && ctx.Err() == nil {
		due, next, err := rt.Store.Due(ctx, shard, until, cursor, storage.MaxPageRows)
		if err != nil {
			return fmt.Errorf("due shard %d: %w", shard, err)
		}
		for len(due) > 0 {
			n := min(len(due), handOutAtOnce)
			handed, err := rt.handOut(ctx, due[:n], t)
			t.add(due[:n], handed)
			if err != nil {
				return err
			}
			due = due[n:]
		}
		if cursor = next; cursor == "" {
			return nil
		}
	}
	return nil
}

// handOut claims some due rows, for each of which a message is sent, with those
// of other shards.
func (rt *retries) handOut(ctx context.Context, due []storage.DueRow, t *tick) (int, error) {
	keys := make([]storage.Key, len(due))
	for i, d := range due {
		keys[i] = d.Key
	}
	rows, err := rt.Store.Get(ctx, keys...)
	if err != nil {
		return 0, fmt.Errorf("get due rows: %w", err)
	}
	var ms []storage.Message
	for _, row := range rows {
		m, err := rt.handOutRow(ctx, row, t)
		if err != nil {
			rt.Log.Error("retry", "pk", row.PK, "sk", row.SK, "outcome", "left", "why", err.Error())
			continue
		}
		if m != nil {
			ms = append(ms, *m)
		}
	}
	return len(ms), rt.send(ctx, storage.RetryQueue, t.full(ms))
}

// handOutRow claims a row that is due, by one conditional write, and returns the
// message for it; nil if another has it, or if there is nothing to do now.
func (rt *retries) handOutRow(ctx context.Context, row storage.Row, t *tick) (*storage.Message, error) {
	now := rt.Clock()
	if row.Due.IsZero() || row.Due.After(now.Add(Horizon)) {
		return nil, nil // the index lagged
	}
	start, was := later(row.Due, now), row.Rev
	var h header
	var err error
	switch kind, _, _ := strings.Cut(row.PK, "#"); kind {
	case "D":
		if start.Equal(now) {
			start = now.Add(rt.upTo(spread)).Truncate(time.Millisecond)
		}
		row, h, err = rt.claimDelivery(ctx, row, start, t)
	case "J":
		row, h, err = claimJob(row, start)
	case "L":
		row, h, err = claimLane(row, start, now)
	default:
		err = fmt.Errorf("row of kind %q is due: %w", kind, storage.ErrInvalid)
	}
	if err != nil || h.Kind == "" {
		return nil, err
	}
	h.Hops = 1
	row.Rev = storage.NewRev()
	switch err := storage.Persist(ctx, func() error { return rt.Store.Put(ctx, row, was) }); {
	case errors.Is(err, storage.ErrConflict):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("claim %s %s: %w", row.PK, row.SK, err)
	}
	m, err := retryMessageOf(h, start.Sub(now))
	return &m, err
}

// claimDelivery returns a delivery's row as it is when it is handed out, and the
// header of its message; of no kind if there is nothing to attempt.
func (rt *retries) claimDelivery(ctx context.Context, row storage.Row, start time.Time, t *tick) (storage.Row, header, error) {
	d, err := ReadDelivery(row)
	if err != nil {
		return row, header{}, err
	}
	if d.Lost >= maxLost {
		return row, header{}, rt.deliveries.giveUp(ctx, d)
	}
	if moved, err := rt.heldUp(ctx, d, t); moved || err != nil {
		return row, header{}, err
	}
	after := d.handOut(start)
	row, err = after.row(rt.Kept)
	return row, after.header(), err
}

// heldUp moves d on, with one write, if its registration's circuit is open and
// d is not the one that probes it. Nothing is sent, no attempt is used up; only
// the whole time of the schedule ends the delivery. The first one that ends so
// goes to a worker, which tells the tenant.
func (rt *retries) heldUp(ctx context.Context, d Delivery, t *tick) (bool, error) {
	h, err := rt.circuit.health(ctx, d.Registration)
	if err != nil || !h.Open || d.Manual {
		return false, err
	}
	r, _, err := rt.find.registration(ctx, d.Source, d.Registration)
	if errors.Is(err, storage.ErrNotFound) {
		return false, nil // the worker finds out, and cancels
	}
	if err != nil {
		return false, err
	}
	now := rt.Clock()
	switch {
	case d.overtime(r.Schedule, now) && t.once(&t.ends, d.Registration):
		return false, nil
	case d.overtime(r.Schedule, now):
		rt.circuit.logExhausted(&d)
		return true, rt.deliveries.save(ctx, d.close(Failed, whyExhausted, now), d.rev)
	case !h.ProbeAt.After(later(d.due, now)) && t.once(&t.probes, d.Registration):
		return false, nil
	}
	return true, rt.deliveries.save(ctx, d.postpone(h.closedFor(now, r.Schedule.wait(d.Made), rt.Random())), d.rev)
}
