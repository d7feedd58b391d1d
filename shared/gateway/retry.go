package gateway

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"ringback/shared/message"
	"ringback/shared/storage"
)

const (
	claimsPerSend = 10               // rows a shard claims before it sends their messages; a crash strands about as many
	overdueSpread = 30 * time.Second // overdue rows are spread over it
	runMargin     = 5 * time.Second  // time left unused at the end of the invocation
	idleRuns      = 2                // runs in a row that find messages and none in flight, after which nothing more is sent
	// maxWait exceeds every wait with its jitter. A row due later, unless its rate limit asked for that, was
	// written by a wrong clock.
	maxWait = 29 * time.Hour
)

// retries claim what falls due.
type retries struct {
	*core

	idle [2]atomic.Int32 // for each of retryQueues: runs in a row that found messages and none in flight
}

// retryQueues lead to later attempts.
var retryQueues = [...]storage.QueueName{storage.RetryQueue, storage.SlowQueue}

// Retry runs every minute and claims what falls due within Lookahead: one conditional write a row, then a message
// delayed to the exact second. Two Retries may run at the same time. A queue with more than MaxBacklog messages
// gets none, since that would only add to the backlog.
func (rt *retries) Retry(ctx context.Context) error {
	start, t := rt.Clock(), &retryRun{}
	rt.clockSteady() // notice a clock that was set
	for i, q := range retryQueues {
		closed, err := rt.paused(ctx, q, &rt.idle[i])
		if err != nil {
			return err
		}
		if closed {
			t.paused = append(t.paused, q)
		}
	}
	if len(t.paused) == len(retryQueues) {
		return nil
	}
	t.unsent = rt.takeUnsent()
	return rt.pass(ctx, start, t)
}

// paused reports whether q gets no messages in this run, and logs why.
func (rt *retries) paused(ctx context.Context, q storage.QueueName, untaken *atomic.Int32) (bool, error) {
	depth, err := rt.Queue.Depth(ctx, q)
	switch {
	case err != nil:
		return false, fmt.Errorf("depth of the %s queue: %w", q, err)
	case depth.Waiting > rt.MaxBacklog:
		rt.Log.Warn("retry", "queue", string(q), "outcome", "braked", "waiting", depth.Waiting)
		return true, nil
	case depth.Waiting == 0 || depth.InFlight > 0:
		untaken.Store(0)
	case untaken.Add(1) >= idleRuns:
		rt.Log.Warn("retry", "queue", string(q), "outcome", "nobody takes messages", "waiting", depth.Waiting)
		return true, nil
	}
	return false, nil
}

// Recover claims again what an earlier process had claimed, since its messages may not have been sent. It is for
// the only process of a machine, before that receives messages; elsewhere such rows fall due again.
func (rt *retries) Recover(ctx context.Context) error {
	return rt.pass(ctx, rt.Clock(), &retryRun{recover: true})
}

// pass runs all shards of the due index in parallel, sends what could not be sent, and logs the run. A shard that fails
// does not stop the others: the next run finds its rows again.
func (rt *retries) pass(ctx context.Context, start time.Time, t *retryRun) error {
	var wg sync.WaitGroup
	errs := make([]error, storage.DueShards)
	for shard := range storage.DueShards {
		wg.Go(func() {
			err := guarded(func() error { return rt.runShard(ctx, shard, start, t) })
			if errs[shard] = err; err != nil {
				rt.Log.Error("retry", append([]any{"shard", shard, "outcome", "left"}, errorFields(err)...)...)
			}
		})
	}
	wg.Wait()
	for _, q := range retryQueues {
		errs = append(errs, rt.sendOrDefer(ctx, q, t.unsent[q]))
	}
	rt.count(DueAge, t.oldest(start).Seconds())
	rt.Log.Info("retry", "outcome", "done", "claimed", t.claimed, "oldest", t.oldest(start), "took", rt.Clock().Sub(start))
	return errors.Join(errs...)
}

// PastDue returns when the oldest overdue row fell due; zero if none is overdue.
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

// A retryRun is the state of one Retry over all shards.
type retryRun struct {
	mu              sync.Mutex
	claimed         int
	oldestDue       time.Time      // the earliest due time seen
	unsent          unsentMessages // too few to fill a send yet
	paused          []storage.QueueName
	perRegistration map[string]int // rows claimed, by registration
	recover         bool           // claim again what an earlier process had claimed
}

// addAndTakeFull adds ms for q and returns as many as fill whole sends. A send of ten messages is billed like a
// send of one, and most shards have one or two: 3 + 9 pending messages make one send of ten and keep two.
func (t *retryRun) addAndTakeFull(q storage.QueueName, ms []storage.Message) []storage.Message {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := append(t.unsent[q], ms...)
	n := len(all) / storage.MaxSend * storage.MaxSend
	if t.unsent == nil {
		t.unsent = unsentMessages{}
	}
	t.unsent[q] = slices.Clone(all[n:])
	return all[:n:n]
}

// withinShare returns the rows of due that this run claims: at most most of each registration, so that one
// registration's backlog delays no other's deliveries.
func (t *retryRun) withinShare(due []storage.DueRow, most int, slow func(registration string) bool) []storage.DueRow {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.perRegistration == nil {
		t.perRegistration = map[string]int{}
	}
	return slices.DeleteFunc(due, func(d storage.DueRow) bool {
		kind, rest, _ := strings.Cut(d.PK, "#")
		registration, _, _ := strings.Cut(rest, "#")
		if kind == "J" {
			return slices.Contains(t.paused, storage.RetryQueue)
		}
		t.perRegistration[registration]++
		return t.perRegistration[registration] > most && !t.recover || slow(registration) && slices.Contains(t.paused, storage.SlowQueue)
	})
}

func (t *retryRun) add(rows []storage.DueRow, claimed int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.claimed += claimed
	for _, r := range rows {
		if t.oldestDue.IsZero() || r.Due.Before(t.oldestDue) {
			t.oldestDue = r.Due
		}
	}
}

func (t *retryRun) oldest(now time.Time) time.Duration {
	if t.oldestDue.IsZero() {
		return 0
	}
	return max(now.Sub(t.oldestDue), 0)
}

// runShard claims what falls due in a shard. In each minute it also looks, in one shard, for rows due later than
// any wait.
func (rt *retries) runShard(ctx context.Context, shard int, start time.Time, t *retryRun) error {
	until := start.Add(Lookahead)
	if t.recover {
		until = start.Add(maxClaimTTL + maxSelfSendDelay + Lookahead)
	}
	err := rt.claimDue(ctx, shard, "", until, t)
	if err == nil && start.Minute()%storage.DueShards == shard {
		err = rt.claimDue(ctx, shard, storage.DueFrom(start.Add(maxWait)), start.Add(100*365*24*time.Hour), t)
	}
	return err
}

// claimDue claims the rows of a shard that are due until a time and enqueues them, page by page, while time is left. It
// leaves out the rows of a registration that are over its share of the backlog; they stay due.
func (rt *retries) claimDue(ctx context.Context, shard int, cursor string, until time.Time, t *retryRun) error {
	for timeLeft(ctx) > runMargin && ctx.Err() == nil {
		due, next, err := rt.Store.Due(ctx, shard, until, cursor, storage.MaxPageRows)
		if err != nil {
			return fmt.Errorf("due shard %d: %w", shard, err)
		}
		t.add(due, 0)
		for due = t.withinShare(due, rt.MaxBacklog, rt.limiter.Slow); len(due) > 0; {
			n := min(len(due), claimsPerSend)
			handed, err := rt.claimAndEnqueue(ctx, due[:n], t)
			t.add(nil, handed)
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

// claimAndEnqueue claims due rows and sends a message for each, together with those of other shards.
func (rt *retries) claimAndEnqueue(ctx context.Context, due []storage.DueRow, t *retryRun) (int, error) {
	keys := make([]storage.Key, len(due))
	for i, d := range due {
		keys[i] = d.Key
	}
	rows, err := rt.Store.Get(ctx, keys...)
	if err != nil {
		return 0, fmt.Errorf("get due rows: %w", err)
	}
	handed, ms := 0, unsentMessages{}
	for _, row := range rows {
		switch q, m, err := rt.claimRow(ctx, row, t); {
		case err != nil:
			rt.Log.Error("retry", "pk", row.PK, "sk", row.SK, "outcome", "left", "why", err.Error())
		case q != "":
			ms[q] = append(ms[q], m)
			handed++
		}
	}
	var errs []error
	for _, q := range retryQueues {
		errs = append(errs, rt.sendOrDefer(ctx, q, t.addAndTakeFull(q, ms[q])))
	}
	return handed, errors.Join(errs...)
}

// sendOrDefer sends the messages of claimed rows, or leaves them to the next run.
func (rt *retries) sendOrDefer(ctx context.Context, q storage.QueueName, ms []storage.Message) error {
	err := rt.send(ctx, q, ms)
	if err != nil {
		rt.keepUnsent(q, ms...)
	}
	return err
}

// claimRow claims a due row by one conditional write and returns its message and queue. The queue is empty if
// another process claimed it, or there is nothing to do now.
func (rt *retries) claimRow(ctx context.Context, row storage.Row, t *retryRun) (_ storage.QueueName, m storage.Message, _ error) {
	now := rt.Clock()
	ahead := row.Due.Sub(now)
	if row.Due.IsZero() || ahead > Lookahead && ahead <= maxWait && !t.recover {
		return "", m, nil // the index was behind
	}
	start, was := later(row.Due, now), row.Rev
	switch {
	case ahead > maxWait:
		start = now
	case ahead > Lookahead: // claimed by an earlier process
		start = later(row.Due.Add(-claimTTL), now)
	}
	var h message.Header
	var tenant string
	var err error
	kind, rest, _ := strings.Cut(row.PK, "#")
	switch kind {
	case "D":
		row, h, tenant, start, err = rt.claimDelivery(row, start, t)
	case "J":
		row, h, err = claimJob(row, start)
	case "L":
		row, h, tenant, err = claimLane(row, start, now)
	case "R":
		row, h, tenant, err = claimProbe(row, start)
	default:
		err = fmt.Errorf("row of kind %q is due: %w", kind, storage.ErrInvalid)
	}
	if err != nil || h.Kind == "" {
		return "", m, err
	}
	to := fastPath
	if kind != "J" {
		registration, _, _ := strings.Cut(rest, "#")
		to = rt.retryPath(ctx, kind == "R", registration, tenant)
	}
	if slices.Contains(t.paused, to.queue) {
		return "", m, nil
	}
	h.SelfSends = 1
	row.Rev = storage.NewRev()
	switch err := storage.Retry(ctx, func() error { return rt.Store.Put(ctx, row, was) }); {
	case errors.Is(err, storage.ErrConflict):
		return "", m, nil
	case err != nil:
		return "", m, fmt.Errorf("claim %s %s: %w", row.PK, row.SK, err)
	}
	m, err = to.message(h, start.Sub(now))
	return to.queue, m, err
}

// claimDelivery returns a delivery's row with a new claim, the header of its message (of no kind if there is
// nothing to attempt), its tenant, and when the message is to be received.
func (rt *retries) claimDelivery(row storage.Row, start time.Time, t *retryRun) (_ storage.Row, _ message.Header, tenant string, _ time.Time, _ error) {
	d, err := ReadDelivery(row)
	if err != nil {
		return row, message.Header{}, "", start, err
	}
	now := rt.Clock()
	switch early := d.due.Sub(now) > Lookahead; {
	case early && d.due.Sub(now) > maxWait && d.RateGranted, early && t.recover && d.Unacked == 0 && d.due.Sub(now) <= maxWait:
		return row, message.Header{}, "", start, nil // it waits for its rate limit, or its time
	case early && t.recover:
		start = later(d.NextAttempt, now)
	}
	if start.Equal(now) {
		start = now.Add(rt.randomUpTo(overdueSpread)).Truncate(time.Millisecond)
	}
	after := d.newClaim(start)
	row, err = after.row(rt.Retention)
	return row, after.header(), d.Tenant, start, err
}
