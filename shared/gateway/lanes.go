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
	laneSettleTime = 2 * time.Second  // after arrival, before the head of a lane is attempted
	laneTimeSlice  = 20 * time.Second // of one message; then the lane goes on in another
	laneRecheck    = 10 * time.Second // until a lane that is closed is looked at again
)

// lanes work on the deliveries of ordered registrations.
type lanes struct {
	*core
	matcher    *matcher
	events     *events
	deliveries *deliveries
	attempter  *attempter
	unblocked  *lru.Cache[string, struct{}] // registrations whose lanes are open, each with what closed them
}

// A lane is what the deliveries of one group for an ordered registration wait
// in. The lane, not the delivery, is due; whoever holds Runner works on it.
type lane struct {
	Registration    string `json:"registration"`
	Source          string `json:"source"`
	Tenant          string `json:"tenant,omitempty"` // empty in rows of former releases
	Seq             int    `json:"seq"`              // grows with an append that the runner might not see
	Runner          string `json:"runner,omitempty"` // empty: nobody works on it
	Running         bool   `json:"busy,omitempty"`   // Runner has begun, and has not told what it attempted
	Phase           string `json:"phase,omitempty"`  // of a Runner that is busy
	Last            string `json:"last,omitempty"`   // the place of the last one that was attempted
	UncertainBefore string `json:"doubt,omitempty"`  // a place after all that a runner may have attempted and not told
	RateGranted     string `json:"paced,omitempty"`  // the place of the one that waits for its turn by the rate
}

// The phases of a runner. Before it leaves a lane that it found empty, it says so and looks once more. So an append
// need not change the lane's row, for which hundreds would contend: it is seen then, or sees the phase.
const (
	working  = "working"
	draining = "draining"
)

// willSee reports whether a runner will find what was appended before l was read. One
// without a phase is of an earlier release, and looks at Seq.
func (l lane) willSee(due time.Time) bool {
	if l.Running {
		return l.Phase == working
	}
	return l.Runner != "" || !due.IsZero()
}

// laneEntry is a delivery's place in a lane: "W#<received>#<event>".
type laneEntry struct {
	Event       string    `json:"event"`
	Type        string    `json:"type,omitempty"`
	Received    time.Time `json:"received"`
	LateArrival bool      `json:"straggler,omitempty"` // it came when later ones may have been attempted

	rev string // of the row as read
}

// laneKey returns the row of the lane in which e waits for r: one a SmartBots
// group, Tencent group and topic, or Direct message.
func laneKey(registration string, e *provider.Event) storage.Key {
	group, _ := json.Marshal([][]string{e.Keys["group"], e.Keys["topic"], e.Keys["message"]}) // strings cannot fail
	return storage.Key{Table: storage.Deliveries, PK: "L#" + registration + "#" + Digest(string(group))[:16], SK: "L"}
}

func (w laneEntry) key(l storage.Key) storage.Key {
	return storage.Key{Table: storage.Deliveries, PK: l.PK, SK: laneSortKey(w.Received) + "#" + w.Event}
}

// laneSortKey begins the places of what was received at t.
func laneSortKey(t time.Time) string { return fmt.Sprintf("W#%013d", t.UnixMilli()) }

// outOfOrder reports whether one after w was attempted before it, or may have been.
func (l lane) outOfOrder(w laneEntry, place string) bool {
	return place < l.Last || w.LateArrival && place < l.UncertainBefore
}

// queueInLane puts d at its place in its lane and wakes the lane if nobody works on it. The delivery's own
// row comes last: until it is there, a resumed fan-out does all of this again, which changes nothing.
func (ls *lanes) queueInLane(ctx context.Context, e *provider.Event, d Delivery) error {
	if err := ls.appendToLane(ctx, e, d); err != nil {
		return err
	}
	return ignoring(ls.deliveries.putDelivery(ctx, &d, ""), storage.ErrConflict)
}

func (ls *lanes) appendToLane(ctx context.Context, e *provider.Event, d Delivery) error {
	key := laneKey(d.Registration, e)
	w := laneEntry{Event: e.ID, Type: e.Type, Received: e.Received, LateArrival: ls.Clock().Sub(e.Received) > laneSettleTime}
	if err := storage.Put(ctx, ls.Store, w.key(key), w, storage.AnyRev); err != nil { // it lasts until it leaves the lane
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
			l.Phase = working // it will look again
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

// claimLane returns a lane's row as it is when it is handed out, the header of its message, and its tenant.
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

// errNotRunner says that another took the lane.
var errNotRunner = errors.New("another works on the lane")

// laneWorker is one worker's time with a lane.
type laneWorker struct {
	key       storage.Key
	lane      lane
	runner    string
	selfSends int
	claimLost bool // the head was taken up and not recorded
	slowQueue bool // its messages are in the slow queue
}

// runLane works on a lane, head by head, until it is empty, must wait, or the time is up.
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

// changeLane changes a lane as long as runner has it. Afterwards run holds it.
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
		return cmp.Or(storage.Decode(r, &w), storage.ErrUnchanged) // one is enough
	})
	if err == nil {
		return w, storage.ErrNotFound
	}
	return w, ignoring(err, storage.ErrUnchanged)
}

// unsettled reports whether one that was received before w may still come. What
// was received far ahead was so by a clock that was wrong.
func (w laneEntry) unsettled(now time.Time) bool {
	age := now.Sub(w.Received)
	return age < laneSettleTime && age > -time.Minute
}

// releaseLane leaves an empty lane, once it has said that it will and found it empty
// again, unless something was appended since.
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

// pauseLane leaves the lane until at, to a message of its own or to the tick.
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

// attemptHead attempts the delivery at the head of the lane. It leaves the lane if that is final; if not, the lane
// waits for it. What is ended without an attempt leaves when it is looked at again: another may have changed it.
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
	attemptMade bool // an attempt
}

func (l *laneHead) sortKey() string { return l.w.key(l.run.key).SK }

func (l *laneHead) ineligible(ctx context.Context, t *task, verdict Status, why string) error {
	t.d.RateGranted = false // the lane knows
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

// unwritable counts, as hand-outs do, so that what can never be written does not hold up its lane for ever.
func (l *laneHead) unwritable(ctx context.Context, t *task) error {
	t.d.RateGranted = false // the lane knows
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

// blocked reports whether r's lanes wait for what was held before r was enabled to be put back into them. A job that was
// cancelled, or is over, opens them; one that was not started yet is started when the call that enables is repeated.
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

// laneDelivery returns the delivery that waits at w. If its row is not there
// yet, the fan-out that appended it ended before it wrote that.
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
	case gone: // it is to be told that it was for nothing
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

// popHead takes a delivery whose outcome is stored off its lane, unless it was put there anew since it was looked at.
func (ls *lanes) popHead(ctx context.Context, run *laneWorker, w laneEntry) error {
	err := storage.Persist(ctx, func() error { return ls.Store.Delete(ctx, w.key(run.key), w.rev) })
	if err != nil && !errors.Is(err, storage.ErrConflict) {
		return fmt.Errorf("take %s off its lane: %w", w.Event, err)
	}
	return nil
}
