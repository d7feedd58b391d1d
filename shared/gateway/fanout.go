package gateway

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	eventsAtOnce  = 64              // of one batch
	leaseMargin   = 5 * time.Second // a lease outlasts the invocation by so much
	answerMargin  = 2 * time.Second // an attempt ends so long before the invocation does
	splitReceives = 3               // received so often, a packed message is taken apart
	chunkSize     = 100             // registrations of one chunk message
	longRun       = time.Hour       // the lease of a handler whose context has no end
)

var runs atomic.Int64

// newRun names one handler invocation: the process, a dot, a number.
func (g *Gateway) newRun() string { return g.run + "." + strconv.FormatInt(runs.Add(1), 36) }

// FanOut is the Handler of the events queue. It begins each event, attempts a
// delivery for every registration that wants it, and records each outcome as
// soon as it is known. A message is finished when all of that is stored; a
// tenant's refusal never makes it come again.
func (g *Gateway) FanOut(ctx context.Context, ms []Received) ([]string, error) {
	return g.eachMessage(ctx, "fanout", ms, g.fanOutMessage)
}

// eachMessage runs f for all messages at once, and returns the receipts of those
// for which it returned an error or panicked. Each of these is one line of the
// log.
func (g *Gateway) eachMessage(ctx context.Context, verb string, ms []Received, f func(context.Context, Received) error) ([]string, error) {
	errs := make([]error, len(ms))
	atOnce(len(ms), func(i int) { errs[i] = guarded(func() error { return f(ctx, ms[i]) }) })
	var again []string
	for i, err := range errs {
		if err != nil {
			again = append(again, ms[i].Receipt)
			g.logAgain(verb, ms[i], err)
		}
	}
	return again, nil
}

// atOnce calls f for each number below n at once, and returns when all have
// returned. A single call needs no goroutine, nor a stack that grows anew.
func atOnce(n int, f func(i int)) {
	if n == 1 {
		f(0)
		return
	}
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { f(i) })
	}
	wg.Wait()
}

func (g *Gateway) fanOutMessage(ctx context.Context, m Received) error {
	h, as, err := readMessage(m.Body)
	switch {
	case err != nil:
	case h.Kind == chunkMessage:
		err = g.fanOutChunk(ctx, h)
	case h.Kind == eventsMessage && len(as) > 1 && m.Receives >= splitReceives:
		err = g.sendSingles(ctx, as, nil)
	case h.Kind == eventsMessage:
		for i := range as {
			as[i].again = as[i].again || m.Receives > 1
		}
		err = g.fanOutEvents(ctx, m, as)
	default:
		err = fmt.Errorf("message of kind %q on the events queue: %w", h.Kind, ErrUnreadable)
	}
	return err
}

// fanOutEvents fans out all events of m. Those that could not be finished are
// sent again, one a message, which is one line of the log; the message of a single
// event is not, it comes again by itself.
func (g *Gateway) fanOutEvents(ctx context.Context, m Received, as []arrival) error {
	if len(as) == 1 {
		return g.fanOutEvent(ctx, as[0])
	}
	errs := make([]error, len(as))
	var group errgroup.Group
	group.SetLimit(eventsAtOnce)
	for i, a := range as {
		group.Go(func() error {
			if err := guarded(func() error { return g.fanOutEvent(ctx, a) }); err != nil {
				errs[i] = fmt.Errorf("event %s: %w", a.ID, err)
			}
			return nil
		})
	}
	group.Wait()
	err := errors.Join(errs...)
	if err == nil {
		return nil
	}
	if unsent := g.sendSingles(ctx, as, errs); unsent != nil {
		return errors.Join(err, unsent)
	}
	g.logAgain("fanout", m, err)
	return nil
}

// sendSingles sends those of as for which there is an error, or all if errs is
// nil, one a message. The ones that another run has are delayed by its lease.
func (g *Gateway) sendSingles(ctx context.Context, as []arrival, errs []error) error {
	var ms []Message
	for i := range as {
		var delay time.Duration
		var busy *busyError
		switch {
		case errs != nil && errs[i] == nil:
			continue
		case errs != nil && errors.As(errs[i], &busy):
			delay = min(max(busy.until.Sub(g.now()), 0), MaxDelay)
		}
		as[i].again = true
		body, err := packMessage(as[i : i+1])
		if err != nil {
			return err
		}
		ms = append(ms, Message{Body: body, Delay: delay, Group: g.fairGroup(as[i].Source)})
	}
	return g.send(ctx, EventsQueue, ms)
}

// A busyError says that another run has the event.
type busyError struct{ until time.Time }

func (e *busyError) Error() string { return "another run has the event" }

// fanOutEvent does all that one event asks for.
func (g *Gateway) fanOutEvent(ctx context.Context, a arrival) error {
	start := g.now()
	if err := g.heedUpstream(ctx, &a.Event); err != nil {
		return err
	}
	rs, long, err := g.wanted(ctx, a)
	if err != nil {
		return err
	}
	ids := make([]string, 0, len(rs))
	for _, r := range rs {
		ids = append(ids, r.ID)
	}
	if long {
		ids = nil
	}
	f := &fanOut{Event: &a.Event, g: g, arrival: a, match: ids}
	if f.thin, err = g.thin(ctx, a, long); err != nil {
		return err
	}
	if f.thin && a.unique {
		return g.deliverAll(ctx, f, rs)
	}
	answer, er, err := g.begin(ctx, f, ids, long, g.newRun(), g.leaseEnd(ctx))
	switch {
	case err != nil:
		return fmt.Errorf("begin event %s: %w", a.ID, err)
	case answer == repeat:
		g.Log.Debug("fanout", "provider", a.Provider, "source", a.Source, "event", a.ID, "outcome", "repeat")
		return nil
	case answer == busy:
		return &busyError{er.Lease}
	case answer == fresh:
		g.count(Events, 1)
	}
	switch {
	case er.Long:
		err = g.listFanOut(ctx, &a.Event)
	case answer == resumed:
		err = g.deliverMissing(ctx, f, er.Match)
	default:
		err = g.deliverAll(ctx, f, rs)
	}
	g.Log.Debug("fanout", "provider", a.Provider, "source", a.Source, "event", a.ID, "outcome", outcomeText(err),
		"registrations", len(rs), "long", er.Long, "took", g.now().Sub(start))
	return err
}

func outcomeText(err error) string {
	if err != nil {
		return "again"
	}
	return "done"
}

func (g *Gateway) leaseEnd(ctx context.Context) time.Time {
	return g.now().Add(min(timeLeft(ctx), longRun) + leaseMargin)
}

// fairGroup is the message group of a source's messages if the queues are fair.
func (g *Gateway) fairGroup(source string) string {
	if g.FairQueues {
		return source
	}
	return ""
}

// wanted returns the registrations for which a is, or that there are more than
// the event's row can name.
func (g *Gateway) wanted(ctx context.Context, a arrival) ([]*Registration, bool, error) {
	if a.Only != "" {
		r, err := g.registrationNow(ctx, a.Only) // what it is told may be what it has just become
		if errors.Is(err, ErrNotFound) {
			return nil, false, nil
		}
		return []*Registration{&r}, false, err
	}
	rs, next, err := g.find(ctx, &a.Event, nil, maxListed+1)
	return rs, next != nil || len(rs) > maxListed, err
}

// roomFor is how many first attempts a process may have in memory, waiting for
// their turn or under way: 256 events for a hundred registrations each would
// take half a gigabyte. It is more than any list that deliverAll gets.
const roomFor = 384

// deliverAll attempts e for each of rs at once, as far as the process's limit
// allows, and records each outcome. It begins when there is room for all; each
// leaves its own as it ends, so that one that hangs holds up no other. Where room
// came late, registrations are read again.
func (g *Gateway) deliverAll(ctx context.Context, f *fanOut, rs []*Registration) error {
	f.standard = sync.OnceValues(func() ([]byte, error) { return standardBody(g.Providers[f.Provider], f.Event) })
	asked, room := g.now(), int64(len(rs))
	if err := g.room.Acquire(ctx, room); err != nil {
		return fmt.Errorf("deliver %s: %w", f.ID, err)
	}
	if g.now().Sub(asked) >= versionFresh {
		var err error
		rs, err = g.again(ctx, f.Source, rs)
		g.room.Release(room - int64(len(rs))) // of those that are gone
		if err != nil {
			return err
		}
	}
	errs := make([]error, len(rs))
	atOnce(len(rs), func(i int) {
		defer g.room.Release(1)
		errs[i] = guarded(func() error { return f.deliver(ctx, rs[i]) })
	})
	return errors.Join(errs...)
}

// again returns those of rs that still exist, as they are now; none with an error.
func (g *Gateway) again(ctx context.Context, source string, rs []*Registration) ([]*Registration, error) {
	v, err := g.versionOf(ctx, source)
	if err != nil {
		return nil, err
	}
	ids := make([]string, len(rs))
	for i, r := range rs {
		ids[i] = r.ID
	}
	return g.registrationsOf(ctx, v.rev, ids)
}

// deliverMissing goes on with a fan-out that a run before left: those of ids
// that still exist and have no delivery yet.
func (g *Gateway) deliverMissing(ctx context.Context, f *fanOut, ids []string) error {
	e := f.Event
	keys := make([]Key, len(ids))
	for i, id := range ids {
		keys[i] = deliveryKey(id, e.ID)
	}
	there := map[string]bool{}
	if len(keys) > 0 {
		rows, err := g.Store.Get(ctx, keys...)
		if err != nil {
			return fmt.Errorf("deliveries of %s: %w", e.ID, err)
		}
		for _, row := range rows {
			there[row.PK] = true
		}
	}
	var missing []string
	for i, k := range keys {
		if !there[k.PK] {
			missing = append(missing, ids[i])
		}
	}
	v, err := g.versionOf(ctx, e.Source)
	if err != nil {
		return err
	}
	rs, err := g.registrationsOf(ctx, v.rev, missing)
	if err != nil {
		return err
	}
	return g.deliverAll(ctx, f, rs)
}

// A fanOutRow is one chunk of a long fan-out, and where the next one begins.
type fanOutRow struct {
	IDs  []string `json:"ids"`
	Next *place   `json:"next,omitempty"`
}

// listFanOut writes the registrations of a long fan-out in chunks, and sends a
// message for each. The first list that is stored wins, so a resumed run makes
// the same chunks and goes on where they end.
func (g *Gateway) listFanOut(ctx context.Context, e *Event) error {
	var from *place
	for n := 0; ; n++ {
		stored, err := g.fanOutList(ctx, e, n, from)
		if err != nil {
			return err
		}
		if len(stored.IDs) > 0 {
			body, err := packHeader(header{Kind: chunkMessage, Source: e.Source, Event: e.ID, Chunk: n})
			if err != nil {
				return err
			}
			if err := g.send(ctx, EventsQueue, []Message{{Body: body, Group: g.fairGroup(e.Source)}}); err != nil {
				return err
			}
		}
		if from = stored.Next; from == nil {
			return nil
		}
	}
}

// fanOutList stores chunk n, found from a place on, unless it is stored
// already, and returns what is.
func (g *Gateway) fanOutList(ctx context.Context, e *Event, n int, from *place) (fanOutRow, error) {
	key := fanOutKey(e.ID, n)
	stored, _, err := load[fanOutRow](ctx, g.Store, key)
	if !errors.Is(err, ErrNotFound) {
		return stored, err
	}
	rs, next, err := g.find(ctx, e, from, chunkSize)
	if err != nil {
		return stored, err
	}
	mine := fanOutRow{Next: next}
	for _, r := range rs {
		mine.IDs = append(mine.IDs, r.ID)
	}
	row := Row{Key: key, Expires: later(e.Received, g.now()).Add(g.Kept.History)}
	switch err := putRow(ctx, g.Store, row, mine, ""); {
	case errors.Is(err, ErrConflict):
		stored, _, err = load[fanOutRow](ctx, g.Store, key)
		return stored, err
	case err != nil:
		return stored, err
	}
	return mine, nil
}

// fanOutChunk delivers to the registrations of one chunk. Two runs of the same
// chunk are kept apart by a lease of its own.
func (g *Gateway) fanOutChunk(ctx context.Context, h header) error {
	e, _, err := g.loadEvent(ctx, h.Event)
	if errors.Is(err, ErrNotFound) {
		return nil // expired: nobody waits for it any more
	}
	if err != nil {
		return err
	}
	list, _, err := load[fanOutRow](ctx, g.Store, fanOutKey(h.Event, h.Chunk))
	if err != nil {
		return fmt.Errorf("chunk %d of %s: %w", h.Chunk, h.Event, err)
	}
	if err := g.takeChunk(ctx, h); err != nil {
		return err
	}
	for start := 0; start < len(list.IDs); start += MaxPageRows {
		if err := g.deliverMissing(ctx, &fanOut{Event: e, g: g}, list.IDs[start:min(start+MaxPageRows, len(list.IDs))]); err != nil {
			return err
		}
	}
	return nil
}

// A leaseRow keeps two runs of one chunk apart.
type leaseRow struct {
	Run   string    `json:"run"`
	Lease time.Time `json:"lease"`
}

func (g *Gateway) takeChunk(ctx context.Context, h header) error {
	key := fanOutKey(h.Event, h.Chunk)
	key.SK = "L"
	run, now := g.newRun(), g.now()
	_, err := change(ctx, g.Store, key, func(l *leaseRow, r *Row) error {
		held := eventRow{Run: l.Run, Lease: l.Lease}
		if held.judge("", run, now, g.Alone) == busy {
			return &busyError{l.Lease}
		}
		l.Run, l.Lease = run, g.leaseEnd(ctx)
		r.Expires = l.Lease.Add(24 * time.Hour)
		return nil
	})
	return err
}
