package gateway

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"ringback/shared/ident"
	"ringback/shared/message"
	"ringback/shared/provider"
	"ringback/shared/schedule"
	"ringback/shared/storage"
)

const (
	laneSettleTime = 2 * time.Second  // from receipt until the event may be attempted
	laneTimeSlice  = 20 * time.Second // of one message; then the lane continues in another
	laneRecheck    = 10 * time.Second // until a blocked lane is checked again
)

// lanes deliver to ordered registrations, one event at a time per group.
type lanes struct {
	*core
	matcher    *matcher
	events     *events
	deliveries *deliveries
	attempter  *attempter
	unblocked  *lru.Cache[string, struct{}] // registrations whose lanes are open, each with the job that blocked them
}

// A lane is the queue of one group's deliveries to an ordered registration. The lane's row is in the due index,
// not the delivery's; the worker that holds Runner works on it.
type lane struct {
	Registration    string `json:"registration"`
	Source          string `json:"source"`
	Tenant          string `json:"tenant,omitempty"` // empty in rows of earlier releases
	Seq             int    `json:"seq"`              // grows with each append that the runner might not see
	Runner          string `json:"runner,omitempty"` // empty: no worker
	Running         bool   `json:"busy,omitempty"`   // Runner started and did not store what it attempted
	Phase           string `json:"phase,omitempty"`  // of a running Runner
	Last            string `json:"last,omitempty"`   // sort key of the last entry that was attempted
	UncertainBefore string `json:"doubt,omitempty"`  // entries below it may have been attempted by a runner that ended without a record
	RateGranted     string `json:"paced,omitempty"`  // sort key of the entry for which the rate limit gave a time
}

// Phases of a runner. A runner that finds its lane empty sets draining and looks once more before it leaves. So
// most appends need not change the lane's row, for which hundreds would contend: the runner finds the entry, or
// the append finds draining.
const (
	working  = "working"
	draining = "draining"
)

// willSee reports whether a runner will find an entry that was appended before l was read. A runner without a
// phase is of an earlier release and checks Seq.
func (l lane) willSee(due time.Time) bool {
	if l.Running {
		return l.Phase == working
	}
	return l.Runner != "" || !due.IsZero()
}

// A laneEntry is a delivery waiting in a lane. Its sort key is "W#<received>#<event>".
type laneEntry struct {
	Event       string    `json:"event"`
	Type        string    `json:"type,omitempty"`
	Received    time.Time `json:"received"`
	LateArrival bool      `json:"straggler,omitempty"` // it was appended when later ones may have been attempted

	rev string // of the row as read
}

// laneKey returns the lane of e for a registration: one for each SmartBots group, Tencent group and topic, or
// Direct message.
func laneKey(registration string, e *provider.Event) storage.Key {
	group, _ := json.Marshal([][]string{e.Keys["group"], e.Keys["topic"], e.Keys["message"]}) // strings always encode
	return storage.Key{Table: storage.Deliveries, PK: "L#" + registration + "#" + Digest(string(group))[:16], SK: "L"}
}

func (w laneEntry) key(l storage.Key) storage.Key {
	return storage.Key{Table: storage.Deliveries, PK: l.PK, SK: laneSortKey(w.Received) + "#" + w.Event}
}

// laneSortKey is the start of the sort key of an event received at t.
func laneSortKey(t time.Time) string { return fmt.Sprintf("W#%013d", t.UnixMilli()) }

// outOfOrder reports whether an entry after w was attempted before it, or may have been. Example: events at
// 12:00:01 and :02 are attempted, the runner crashes, and one received at :00 arrives late; :02 < UncertainBefore,
// so it is marked.
func (l lane) outOfOrder(w laneEntry, place string) bool {
	return place < l.Last || w.LateArrival && place < l.UncertainBefore
}

// queueInLane appends d to its lane and wakes the lane if no worker has it. The delivery's own row is written
// last: until it is, a resumed fan-out repeats all of this, without effect.
func (ls *lanes) queueInLane(ctx context.Context, e *provider.Event, d Delivery) error {
	if err := ls.appendToLane(ctx, e, d); err != nil {
		return err
	}
	return ignoring(ls.deliveries.putDelivery(ctx, &d, ""), storage.ErrConflict)
}

// appendToLane adds e's delivery to its lane and wakes a runner if none works on the lane. The entry is written before
// the lane's row is changed: a runner that is about to end changes the same row, so that one of the two writes fails and
// either the runner sees the entry or this call sees that a new runner is needed.
func (ls *lanes) appendToLane(ctx context.Context, e *provider.Event, d Delivery) error {
	key := laneKey(d.Registration, e)
	w := laneEntry{Event: e.ID, Type: e.Type, Received: e.Received, LateArrival: ls.Clock().Sub(e.Received) > laneSettleTime}
	if err := storage.Put(ctx, ls.Store, w.key(key), w, storage.AnyRev); err != nil { // no expiry: it stays until it is popped
		return err
	}
	runner, woken := storage.NewRev(), false
	_, err := storage.Change(ctx, ls.Store, key, func(l *lane, r *storage.Row) error {
		if woken = false; l.willSee(r.Due) {
			return storage.ErrUnchanged
		}
		l.Registration, l.Source, l.Tenant = d.Registration, d.Source, d.Tenant
		l.Seq++
		if l.Phase == draining {
			l.Phase = working // the runner looks again
		}
		if woken = l.Runner == "" && r.Due.IsZero(); woken {
			l.Runner, r.Due = runner, ls.Clock().Add(laneSettleTime+claimTTL)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if woken {
		ls.sendSelf(ctx, ls.retryPath(ctx, false, d.Registration, d.Tenant), laneHeader(key, runner), 1, laneSettleTime)
	}
	return nil
}

func laneHeader(key storage.Key, runner string) message.Header {
	return message.Header{Kind: message.Lane, ID: key.PK, Token: runner}
}

// claimLane returns a lane's row with a new claim, the header of its message, and its tenant.
func claimLane(row storage.Row, start, now time.Time) (_ storage.Row, h message.Header, tenant string, _ error) {
	var l lane
	if err := storage.Decode(row, &l); err != nil {
		return row, message.Header{}, "", err
	}
	l.Runner, row.Due = storage.NewRev(), start.Add(claimTTL)
	if l.Running {
		l.Running, l.UncertainBefore = false, max(l.UncertainBefore, laneSortKey(now.Add(-laneSettleTime)))
	}
	var err error
	row.Data, err = storage.Encode(l)
	return row, laneHeader(row.Key, l.Runner), l.Tenant, err
}

// errNotRunner says that another worker took the lane.
var errNotRunner = errors.New("another works on the lane")

// A laneWorker is one message's work on a lane.
type laneWorker struct {
	key       storage.Key
	lane      lane
	runner    string
	selfSends int
	claimLost bool // the head's claim counts as lost
	slowQueue bool // its messages go through the slow queue
}

// runLane works on a lane, head by head, until the lane is empty or has to wait, or the time slice is over.
func (ls *lanes) runLane(ctx context.Context, h message.Header, lost, slow bool) error {
	run := &laneWorker{key: storage.Key{Table: storage.Deliveries, PK: h.ID, SK: "L"}, runner: storage.NewRev(), selfSends: h.SelfSends, claimLost: lost, slowQueue: slow}
	err := ls.changeLane(ctx, run, h.Token, func(l *lane, r *storage.Row) {
		l.Runner, l.Running, l.Phase, r.Due = run.runner, true, working, ls.Clock().Add(claimTTL)
	})
	for begun := time.Now(); err == nil; {
		var w laneEntry
		w, err = ls.head(ctx, run.key)
		switch {
		case errors.Is(err, storage.ErrNotFound):
			err = ls.releaseLane(ctx, run)
		case err != nil:
		case w.unsettled(ls.Clock()):
			err = ls.pauseLane(ctx, run, w.Received.Add(laneSettleTime))
		case time.Since(begun) > laneTimeSlice:
			err = ls.pauseLane(ctx, run, ls.Clock())
		default:
			err = ls.attemptHead(ctx, run, w)
		}
	}
	if errors.Is(err, errNotRunner) {
		return nil
	}
	return err
}

// changeLane changes a lane that runner holds; afterwards run holds it.
func (ls *lanes) changeLane(ctx context.Context, run *laneWorker, runner string, f func(*lane, *storage.Row)) error {
	last, paced := run.lane.Last, run.lane.RateGranted
	l, err := storage.Change(ctx, ls.Store, run.key, func(l *lane, r *storage.Row) error {
		if l.Runner != runner {
			return errNotRunner
		}
		l.Last = max(l.Last, last)
		l.RateGranted = cmp.Or(paced, l.RateGranted)
		f(l, r)
		return nil
	})
	run.lane = l
	return err
}

func (ls *lanes) head(ctx context.Context, l storage.Key) (laneEntry, error) {
	var w laneEntry
	q := storage.Query{Table: storage.Deliveries, PK: l.PK, Consistent: true, Limit: 1}.Prefix("W#")
	err := storage.Each(ctx, ls.Store, q, func(r storage.Row) error {
		w.rev = r.Rev
		return cmp.Or(storage.Decode(r, &w), storage.ErrUnchanged) // the first is enough
	})
	if err == nil {
		return w, storage.ErrNotFound
	}
	return w, ignoring(err, storage.ErrUnchanged)
}

// unsettled reports whether an event received before w may still arrive. A receipt far ahead was dated by a wrong
// clock.
func (w laneEntry) unsettled(now time.Time) bool {
	age := now.Sub(w.Received)
	return age < laneSettleTime && age > -time.Minute
}

// releaseLane gives up an empty lane: first it sets draining, then, if nothing was appended since, it leaves.
func (ls *lanes) releaseLane(ctx context.Context, run *laneWorker) error {
	seen, was, left := run.lane.Seq, run.lane.Phase, false
	err := ls.changeLane(ctx, run, run.runner, func(l *lane, r *storage.Row) {
		switch {
		case was != draining:
			l.Phase = draining
		case l.Seq == seen && l.Phase == draining:
			l.Runner, l.Running, l.Phase, r.Due, left = "", false, "", time.Time{}, true
		default:
			l.Phase = working
		}
	})
	if err == nil && left {
		return errNotRunner
	}
	return err
}

// pauseLane leaves the lane until at, to a message of its own or to the retry run.
func (ls *lanes) pauseLane(ctx context.Context, run *laneWorker, at time.Time) error {
	now := ls.Clock()
	self, next := run.selfSends < maxSelfSends && at.Sub(now) <= maxSelfSendDelay, ""
	err := ls.changeLane(ctx, run, run.runner, func(l *lane, r *storage.Row) {
		l.Running, l.Phase = false, ""
		if self {
			next = storage.NewRev()
			l.Runner, r.Due = next, later(at, now).Add(claimTTL)
			return
		}
		l.Runner, r.Due = "", at
	})
	if err != nil {
		return err
	}
	if self {
		to := ls.retryPath(ctx, run.slowQueue, run.lane.Registration, run.lane.Tenant)
		ls.sendSelf(ctx, to, laneHeader(run.key, next), run.selfSends+1, at.Sub(now))
	}
	return errNotRunner
}

// attemptHead attempts the lane's first delivery. A final one is popped; otherwise the lane waits for it. A delivery
// that ends without an attempt is popped when the lane looks again, since another process may have changed it.
func (ls *lanes) attemptHead(ctx context.Context, run *laneWorker, w laneEntry) error {
	d, err := ls.laneDelivery(ctx, run.lane.Registration, w)
	switch {
	case errors.Is(err, storage.ErrNotFound):
		return ls.popHead(ctx, run, w)
	case err != nil:
		return err
	case d.Status != Pending:
		if err := ls.deliveries.repairEvent(ctx, d); err != nil {
			return err
		}
		return ls.popHead(ctx, run, w)
	}
	if run.claimLost {
		run.claimLost = false
		if over, err := ls.attempter.circuit.countLostClaim(ctx, &d, nil); over || err != nil {
			return err
		}
	}
	e, r, rev, err := ls.attempter.load(ctx, d)
	if err != nil {
		return ls.attempter.circuit.endUnattemptable(ctx, d, r, err)
	}
	head, t := &laneHead{ls: ls, run: run, w: w}, task{e: e, r: r, rev: rev, d: d, fromSlowQueue: run.slowQueue, selfSends: run.selfSends}
	t.d.RateGranted = run.lane.RateGranted == head.sortKey()
	t.d.OutOfOrder = d.OutOfOrder || run.lane.outOfOrder(w, head.sortKey())
	if err := ls.attempter.attempt(ctx, &t, head); err != nil || !head.attemptMade {
		return err
	}
	if t.d.Status == Pending {
		return ls.pauseLane(ctx, run, t.d.NextAttempt)
	}
	return ls.popHead(ctx, run, w)
}

// A laneHead is the recorder of a delivery at the head of a lane.
type laneHead struct {
	ls          *lanes
	run         *laneWorker
	w           laneEntry
	attemptMade bool
}

func (l *laneHead) sortKey() string { return l.w.key(l.run.key).SK }

func (l *laneHead) ineligible(ctx context.Context, t *task, verdict Status, why string) error {
	t.d.RateGranted = false // the lane stores it
	return l.ls.deliveries.endIneligible(ctx, t.d, verdict, why)
}

// proceed reports whether the lane is open.
func (l *laneHead) proceed(ctx context.Context, t *task) (bool, error) {
	closed, err := l.ls.blocked(ctx, t.r)
	if err != nil || !closed {
		return err == nil, err
	}
	return false, l.ls.pauseLane(ctx, l.run, l.ls.Clock().Add(laneRecheck))
}

func (l *laneHead) postponed(ctx context.Context, _ *task, s permit) error {
	if s.rateGranted {
		l.run.lane.RateGranted = l.sortKey()
	}
	l.run.slowQueue = l.run.slowQueue || s.viaSlowQueue
	return l.ls.pauseLane(ctx, l.run, s.retryAt)
}

// unwritable counts a lost claim, so that a request that can never be built does not block its lane forever.
func (l *laneHead) unwritable(ctx context.Context, t *task) error {
	t.d.RateGranted = false // the lane stores it
	if over, err := l.ls.attempter.circuit.countLostClaim(ctx, &t.d, t.r); over || err != nil {
		return err
	}
	return l.ls.pauseLane(ctx, l.run, l.ls.Clock().Add(schedule.SlowDownWait))
}

func (l *laneHead) attempted(ctx context.Context, t *task, a Attempt) error {
	l.run.lane.Last = max(l.run.lane.Last, l.sortKey())
	after, _, err := l.ls.deliveries.recordAttempt(ctx, t.d, a, t.r.Schedule, l.ls.Random(), false)
	switch {
	case errors.Is(err, storage.ErrNotFound): // erased
		t.d.Status = Cancelled
	case err != nil:
		return err
	default:
		t.d = after
	}
	l.attemptMade = true
	return nil
}

// blocked reports whether r's lanes wait until the deliveries held while r was disabled are back in them. The job
// that puts them back unblocks the lanes when it is past its first pass, ends, or is cancelled.
func (ls *lanes) blocked(ctx context.Context, r *Registration) (bool, error) {
	name := r.ID + " " + r.Release
	if r.Release == "" || ls.unblocked.Contains(name) {
		return false, nil
	}
	j, err := loadJob(ctx, ls.Store, r.Release)
	if err != nil && !errors.Is(err, storage.ErrNotFound) {
		return false, err
	}
	pass, _, _ := shardCursor(j.Cursor)
	if err != nil && ls.Clock().Sub(r.Since).Abs() < RepairWindow || err == nil && j.Status == JobRunning && pass == 0 {
		return true, nil
	}
	ls.unblocked.Add(name, struct{}{})
	return false, nil
}

// laneDelivery returns the delivery of w. If its row is missing, the fan-out that appended w crashed before it
// wrote the row.
func (ls *lanes) laneDelivery(ctx context.Context, registration string, w laneEntry) (Delivery, error) {
	id := ident.Delivery(registration, w.Event)
	d, err := ls.deliveries.LoadDelivery(ctx, id)
	if !errors.Is(err, storage.ErrNotFound) {
		return d, err
	}
	source, _ := ident.SourceOf(w.Event)
	r, _, err := ls.matcher.registration(ctx, source, registration)
	if err != nil {
		return d, err
	}
	e, er, err := ls.events.LoadEvent(ctx, w.Event)
	gone := errors.Is(err, storage.ErrNotFound)
	switch {
	case gone: // its end is notified
		e = &provider.Event{ID: w.Event, Source: source, Type: w.Type, Received: w.Received}
	case err != nil || er.Erased:
		return d, cmp.Or(err, storage.ErrNotFound)
	}
	d = newDelivery(e, r, ls.Clock())
	d.Lane, d.retained = true, gone
	if err := ls.deliveries.putDelivery(ctx, &d, ""); err != nil && !errors.Is(err, storage.ErrConflict) {
		return d, err
	}
	return ls.deliveries.LoadDelivery(ctx, id)
}

// popHead removes a delivery whose outcome is stored from its lane, unless it was appended again since it was read.
func (ls *lanes) popHead(ctx context.Context, run *laneWorker, w laneEntry) error {
	err := storage.Retry(ctx, func() error { return ls.Store.Delete(ctx, w.key(run.key), w.rev) })
	if err != nil && !errors.Is(err, storage.ErrConflict) {
		return fmt.Errorf("take %s off its lane: %w", w.Event, err)
	}
	return nil
}
