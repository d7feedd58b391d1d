package gateway

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"ringback/shared/limiter"
	"ringback/shared/message"
	"ringback/shared/provider"
	"ringback/shared/storage"
)

const (
	maxParallelEvents  = 64  // of one message
	splitAfterReceives = 3   // a packed message received this often is split into messages of one event
	chunkSize          = 100 // registrations of one chunk
)

// fanOuts deliver events to their registrations.
type fanOuts struct {
	*core
	matcher       *matcher
	events        *events
	deliveries    *deliveries
	attempter     *attempter
	lanes         *lanes
	notifier      *notifier
	firstAttempts *limiter.Shares // in memory, shared by tenants
}

// FanOut is the Handler of the events queue. It claims each event, attempts a delivery for each matched
// registration, and records each outcome at once. A message is finished when all of that is stored; a failure of a
// tenant's endpoint never makes it come back.
func (fs *fanOuts) FanOut(ctx context.Context, ms []storage.Received) ([]string, error) {
	return fs.eachMessage(ctx, "fanout", ms, fs.fanOutMessage)
}

func (fs *fanOuts) fanOutMessage(ctx context.Context, m storage.Received) error {
	h, as, err := message.Read(m.Body)
	switch {
	case err != nil:
		return err
	case h.Kind == message.Chunk:
		return fs.fanOutChunk(ctx, h)
	case h.Kind == message.Events && len(as) > 1 && m.Receives >= splitAfterReceives:
		return fs.sendSingles(ctx, as, nil)
	case h.Kind == message.Events:
		for i := range as {
			as[i].Repeated = as[i].Repeated || m.Receives > 1
		}
		return fs.fanOutEvents(ctx, m, as)
	}
	return fmt.Errorf("message of kind %q on the events queue: %w", h.Kind, ErrUnreadable)
}

// fanOutEvents fans out all events of m. Those that failed are sent again, one a message, with one log line for
// all. If m has a single event, m itself comes back instead.
func (fs *fanOuts) fanOutEvents(ctx context.Context, m storage.Received, as []message.InboundEvent) error {
	if len(as) == 1 {
		return fs.fanOutEvent(ctx, as[0])
	}
	errs := make([]error, len(as))
	var group errgroup.Group
	group.SetLimit(maxParallelEvents)
	for i, a := range as {
		group.Go(func() error {
			if err := guarded(func() error { return fs.fanOutEvent(ctx, a) }); err != nil {
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
	if unsent := fs.sendSingles(ctx, as, errs); unsent != nil {
		return errors.Join(err, unsent)
	}
	fs.logRetry("fanout", m, err)
	return nil
}

// sendSingles sends the events of as for which errs has an error, or all if errs is nil, one a message. An event
// that another run claimed is delayed until that claim ends.
func (fs *fanOuts) sendSingles(ctx context.Context, as []message.InboundEvent, errs []error) error {
	var ms []storage.Message
	for i := range as {
		var delay time.Duration
		var busy *claimedError
		switch {
		case errs != nil && errs[i] == nil:
			continue
		case errs != nil && errors.As(errs[i], &busy):
			delay = min(max(busy.until.Sub(fs.Clock()), 0), storage.MaxDelay)
		}
		as[i].Repeated = true
		body, err := message.PackOne(as[i : i+1])
		if err != nil {
			return err
		}
		ms = append(ms, storage.Message{Body: body, Delay: delay, Group: fs.fairGroup(as[i].Source)})
	}
	return fs.send(ctx, storage.EventsQueue, ms)
}

// A claimedError says that another run claimed the event.
type claimedError struct{ until time.Time }

func (e *claimedError) Error() string { return "another run has the event" }

// fanOutEvent finds the recipients of a, claims the event and delivers it to them. There are three ways on from the
// claim. Example: an event for 3 registrations is new, so deliverAll makes 3 first attempts. Its worker dies after the
// second one; the message is received again, the claim says resumed, and resumeFanOut attempts only what has no
// delivery yet. An event for more registrations than a row can list is sent on in chunks, each with a claim of its own.
//
// The error is nil for a duplicate. It is a *claimedError while another run has the claim: the message must stay in the
// queue until that run has finished or its lease is over.
func (fs *fanOuts) fanOutEvent(ctx context.Context, a message.InboundEvent) error {
	start := fs.Clock()
	if err := fs.notifyDisconnected(ctx, &a.Event); err != nil {
		return err
	}
	rs, long, err := fs.recipients(ctx, a)
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
	f := &fanOut{Event: &a.Event, fs: fs, inbound: a, match: ids}
	if f.failuresOnly, err = fs.matcher.failuresOnly(ctx, a, long); err != nil {
		return err
	}
	if f.failuresOnly && a.NoNaturalKey {
		return fs.deliverAll(ctx, f, rs)
	}
	row := newEventRow(a, ids, long, fs.newRunID(), fs.leaseEnd(ctx))
	if !f.failuresOnly && !long {
		row.Unfinished = fs.notAtOnce(ctx, rs)
	}
	claim, er, err := fs.events.claimEvent(ctx, a, row, f.failuresOnly)
	f.retainedFor = er.Unfinished
	switch {
	case err != nil:
		return fmt.Errorf("begin event %s: %w", a.ID, err)
	case claim == duplicate:
		fs.count(DuplicateEvents, 1)
		fs.Log.Debug("fanout", "provider", a.Provider, "source", a.Source, "event", a.ID, "outcome", "repeat")
		return nil
	case claim == claimedByOther:
		return &claimedError{er.Lease}
	case claim == newlyClaimed:
		fs.count(Events, 1)
	}
	switch {
	case er.Chunked:
		err = fs.sendChunks(ctx, &a.Event)
	case claim == resumed:
		err = fs.resumeFanOut(ctx, f, er.Match)
	default:
		err = fs.deliverAll(ctx, f, rs)
	}
	outcome := "done"
	if err != nil {
		outcome = "again"
	}
	fs.Log.Debug("fanout", "provider", a.Provider, "source", a.Source, "event", a.ID, "outcome", outcome,
		"registrations", len(rs), "long", er.Chunked, "took", fs.Clock().Sub(start))
	return err
}

// notAtOnce returns the ids of those rs whose delivery waits in a lane or in the slow queue. Their event is
// retained from its first write on.
func (fs *fanOuts) notAtOnce(ctx context.Context, rs []*Registration) (ids []string) {
	for _, r := range rs {
		fast, err := fs.fast(ctx, r.ID, r.Tenant, r.Endpoint.RedactedURL)
		if r.Ordered || err == nil && !fast {
			ids = append(ids, r.ID)
		}
	}
	return ids
}

// notifyDisconnected sends source.disconnected if e says that our registration at SmartBots was removed: SmartBots
// sends callback_removed then, and calls no more ("Set HTTP callback to be called on group events", SmartBots). It
// is sent at most once an hour for each label and group.
func (fs *fanOuts) notifyDisconnected(ctx context.Context, e *provider.Event) error {
	if e.Type != CallbackRemoved || !aboutSource(e) {
		return nil
	}
	group := slices.Sorted(slices.Values(e.Keys["group"]))
	about := strings.Join(append([]string{"upstream", e.Label}, group...), "\x00")
	return fs.notifier.notifyOf(ctx, sourceDisconnected, e.Source, e.Provider, "", about, operationalData{
		Why: "SmartBots removed the callback of this gateway; set it again", Group: strings.Join(group, " "), Label: e.Label,
	})
}

// recipients returns the registrations that a is delivered to, or chunked if there are more than an EventRow can list.
func (fs *fanOuts) recipients(ctx context.Context, a message.InboundEvent) ([]*Registration, bool, error) {
	if a.Recipient != "" {
		r, err := fs.matcher.storedRegistration(ctx, a.Recipient) // the event may tell of the registration's change a moment ago
		if errors.Is(err, storage.ErrNotFound) {
			return nil, false, nil
		}
		return []*Registration{&r}, false, err
	}
	rs, next, err := fs.matcher.match(ctx, &a.Event, nil, maxInlineRegistrations+1)
	return rs, next != nil || len(rs) > maxInlineRegistrations, err
}

const (
	// maxFirstAttempts is how many first attempts a process holds in memory, queued or in flight: 256 events for a
	// hundred registrations each would take half a gigabyte.
	maxFirstAttempts = 384
	// maxParallelDeferred of those over their tenant's share are deferred at a time.
	maxParallelDeferred = 16
)

// deliverAll attempts e for all of rs in parallel, each tenant within its share, and records each outcome.
// Deliveries over the share wait a moment for those of the same tenant and then go to the slow queue: no tenant
// waits for another's endpoint.
func (fs *fanOuts) deliverAll(ctx context.Context, f *fanOut, rs []*Registration) error {
	f.standard = sync.OnceValues(func() ([]byte, error) { return standardBody(fs.Providers[f.Provider], f.Event) })
	requested, errs := time.Now(), make([]error, len(rs))
	deliver := func(i int, over bool) {
		if !over {
			defer fs.firstAttempts.Release(rs[i].Tenant)
		}
		errs[i] = guarded(func() error { return f.deliver(ctx, rs[i], requested, over) })
	}
	var first []int
	full := map[string][]int{} // by tenant
	for i, r := range rs {
		if fs.firstAttempts.TryAcquire(r.Tenant) {
			first = append(first, i)
		} else {
			full[r.Tenant] = append(full[r.Tenant], i)
		}
	}
	tenants := slices.Collect(maps.Keys(full))
	parallel(len(first)+len(tenants), func(i int) {
		if i < len(first) {
			deliver(first[i], false)
			return
		}
		tenant := tenants[i-len(first)]
		places := fs.firstAttempts.Waiter(tenant, len(full[tenant]))
		var late, over errgroup.Group
		over.SetLimit(maxParallelDeferred)
		for _, i := range full[tenant] {
			group, room := &late, places.Acquire(ctx, limiter.MaxQueueWait-time.Since(requested))
			if !room {
				group = &over
			}
			group.Go(func() error { deliver(i, !room); return nil })
		}
		late.Wait()
		over.Wait()
	})
	return errors.Join(errs...)
}

// resumeFanOut continues the fan-out of a run that ended: it attempts those of ids that still exist and have no
// delivery yet.
func (fs *fanOuts) resumeFanOut(ctx context.Context, f *fanOut, ids []string) error {
	e := f.Event
	keys := make([]storage.Key, len(ids))
	for i, id := range ids {
		keys[i] = DeliveryKey(id, e.ID)
	}
	rows, err := storage.GetAll(ctx, fs.Store, keys)
	if err != nil {
		return fmt.Errorf("deliveries of %s: %w", e.ID, err)
	}
	there := map[string]bool{} // by registration
	for _, row := range rows {
		d, err := ReadDelivery(row)
		if err == nil {
			err = fs.attempter.circuit.ensureProbe(ctx, d)
		}
		if err != nil {
			return err
		}
		there[d.Registration] = true
	}
	missing := slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return there[id] })
	v, err := fs.matcher.Generation(ctx, e.Source)
	if err != nil {
		return err
	}
	rs, err := fs.matcher.registrationsOf(ctx, v.Rev, missing)
	if err != nil {
		return err
	}
	return fs.deliverAll(ctx, f, rs)
}

// A FanOutRow is one chunk of a large fan-out, and where the next chunk starts.
type FanOutRow struct {
	IDs  []string `json:"ids"`
	Next *cursor  `json:"next,omitempty"`

	// From the event, to fail its deliveries with a notice should it be gone.
	Type     string    `json:"type,omitempty"`
	Received time.Time `json:"received,omitzero"`
}

// sendChunks stores the registrations of a large fan-out in chunks and sends a message for each. The list stored
// first wins, so a resumed run sends the same chunks and continues after them.
func (fs *fanOuts) sendChunks(ctx context.Context, e *provider.Event) error {
	var from *cursor
	var ms []storage.Message
	for n := 0; n == 0 || from != nil; n++ {
		stored, err := fs.storeChunk(ctx, e, n, from)
		if err != nil {
			return err
		}
		if len(stored.IDs) > 0 {
			body, err := message.Header{Kind: message.Chunk, Source: e.Source, Event: e.ID, Chunk: n}.Pack()
			if err != nil {
				return err
			}
			ms = append(ms, storage.Message{Body: body, Group: fs.fairGroup(e.Source)})
		}
		if from = stored.Next; from == nil || len(ms) == storage.MaxSend {
			if err := fs.send(ctx, storage.EventsQueue, ms); err != nil {
				return err
			}
			ms = nil
		}
	}
	return nil
}

// storeChunk returns chunk n. If it is not stored yet, it is matched from the cursor on and stored.
func (fs *fanOuts) storeChunk(ctx context.Context, e *provider.Event, n int, from *cursor) (FanOutRow, error) {
	return storage.Change(ctx, fs.Store, FanOutKey(e.ID, n), func(list *FanOutRow, row *storage.Row) error {
		if row.Rev != "" {
			return storage.ErrUnchanged
		}
		rs, next, err := fs.matcher.match(ctx, e, from, chunkSize)
		if err != nil {
			return err
		}
		*list = FanOutRow{Next: next, Type: e.Type, Received: e.Received}
		for _, r := range rs {
			list.IDs = append(list.IDs, r.ID)
		}
		row.Expires = later(e.Received, fs.Clock()).Add(fs.Retention.maxUnfinished())
		return nil
	})
}

// fanOutChunk delivers to the registrations of one chunk. A lease of its own keeps a second run out.
func (fs *fanOuts) fanOutChunk(ctx context.Context, h message.Header) error {
	list, _, err := storage.Load[FanOutRow](ctx, fs.Store, FanOutKey(h.Event, h.Chunk))
	if err != nil {
		return fmt.Errorf("chunk %d of %s: %w", h.Chunk, h.Event, err)
	}
	e, _, err := fs.events.LoadEvent(ctx, h.Event)
	switch {
	case errors.Is(err, storage.ErrNotFound):
		return fs.expireChunk(ctx, h, list)
	case err != nil:
		return err
	}
	if err := fs.claimChunk(ctx, h); err != nil {
		return err
	}
	for ids := range slices.Chunk(list.IDs, storage.MaxPageRows) {
		if err := fs.resumeFanOut(ctx, &fanOut{Event: e, fs: fs}, ids); err != nil {
			return err
		}
	}
	return nil
}

// expireChunk fails the deliveries of a chunk whose event is gone, with a notice for each.
func (fs *fanOuts) expireChunk(ctx context.Context, h message.Header, list FanOutRow) error {
	for _, id := range list.IDs {
		r, _, err := fs.matcher.registration(ctx, h.Source, id)
		if errors.Is(err, storage.ErrNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		d := newDelivery(&provider.Event{ID: h.Event, Source: h.Source, Type: list.Type, Received: list.Received}, r, fs.Clock())
		if err := fs.attempter.circuit.endUnattemptable(ctx, d, r, errExpired); err != nil {
			return err
		}
	}
	return nil
}

// A leaseRow claims a chunk for one run.
type leaseRow struct {
	Run   string    `json:"run"`
	Lease time.Time `json:"lease"`
}

func (fs *fanOuts) claimChunk(ctx context.Context, h message.Header) error {
	key := FanOutKey(h.Event, h.Chunk)
	key.SK = "L"
	run, now := fs.newRunID(), fs.Clock()
	_, err := storage.Change(ctx, fs.Store, key, func(l *leaseRow, r *storage.Row) error {
		held := EventRow{Run: l.Run, Lease: l.Lease}
		if held.checkClaim("", run, now, fs.SingleProcess) == claimedByOther {
			return &claimedError{l.Lease}
		}
		l.Run, l.Lease = run, fs.leaseEnd(ctx)
		r.Expires = l.Lease.Add(24 * time.Hour)
		return nil
	})
	return err
}
