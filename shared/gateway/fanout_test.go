package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"ringback/shared/ident"
	"ringback/shared/limiter"
	"ringback/shared/message"
	"ringback/shared/provider"
	"ringback/shared/storage"
	"ringback/shared/test/proofs"
)

// TestSourceIsDisconnectedByAnEventOfTheWholeAlone looks at what is told of the
// end of a callback.
func TestSourceIsDisconnectedByAnEventOfTheWholeAlone(t *testing.T) {
	w := newWorld(t)
	of := func(typ, only, tenant string) *provider.Event {
		return &provider.Event{Source: w.source, Provider: SmartBots, Type: typ, Recipient: only, Tenant: tenant, Label: "label", Keys: map[string][]string{"group": {"b", "a"}}}
	}
	for _, tt := range []struct {
		e    *provider.Event
		want int
	}{
		{of("group_chat", "", ""), 0}, {of(CallbackRemoved, "reg_1", ""), 0}, {of(CallbackRemoved, "", "ten_1"), 0}, {of(CallbackRemoved, "", ""), 1},
	} {
		if err := w.fanOuts.notifyDisconnected(t.Context(), tt.e); err != nil {
			t.Fatal(err)
		}
		es := w.queue.events(t)
		if len(es) != tt.want {
			t.Fatalf("%+v: told %+v, want %d", tt.e, es, tt.want)
		}
		if tt.want == 0 {
			continue
		}
		var got operationalData
		want := operationalData{Why: "SmartBots removed the callback of this gateway; set it again", Group: "a b", Label: "label"}
		if err := json.Unmarshal(es[0].Payload, &got); err != nil || got != want || es[0].Provider != SmartBots || es[0].Source != w.source || es[0].Tenant != "" {
			t.Errorf("told %+v of %s, %v; want %+v", got, es[0].Source, err, want)
		}
	}
	none := of(CallbackRemoved, "", "")
	none.Source = "none"
	if err := w.fanOuts.notifyDisconnected(t.Context(), none); err == nil {
		t.Error("of no source: told, want an error")
	}
}

// TestEventIsWantedByNoMoreThanItsRowNames asks who wants an event.
func TestEventIsWantedByNoMoreThanItsRowNames(t *testing.T) {
	w := newWorld(t)
	e := message.InboundEvent{Event: *anEvent(w)}
	var first Registration
	for n := 1; n <= maxInlineRegistrations+1; n++ {
		if r := w.register(); n == 1 {
			first = r
		}
		if n < maxInlineRegistrations {
			continue
		}
		if rs, long, err := w.fanOuts.recipients(t.Context(), e); err != nil || long != (n > maxInlineRegistrations) || !long && len(rs) != n {
			t.Errorf("of %d registrations %d want it, more than are listed %v, %v", n, len(rs), long, err)
		}
	}
	for _, tt := range []struct {
		name, only string
		down       bool
		want       int
		err        error
	}{{"one", first.ID, false, 1, nil}, {"one that is gone", "reg_gone", false, 0, nil}, {"one that cannot be read", first.ID, true, 1, errOutage}} {
		if tt.down {
			w.store.failOn("get", "R#")
		}
		e.Recipient = tt.only
		rs, long, err := w.fanOuts.recipients(t.Context(), e)
		if len(rs) != tt.want || long || !errors.Is(err, tt.err) || tt.err == nil && (err != nil || tt.want == 1 && rs[0].ID != first.ID) {
			t.Errorf("%s: %v, long %v, %v; want %d, %v", tt.name, rs, long, err, tt.want, tt.err)
		}
	}
}

// TestEventsOfOneMessageAreWorkedOnByNoMoreThanSoMany has more events than that
// wait for the answers of two endpoints.
func TestEventsOfOneMessageAreWorkedOnByNoMoreThanSoMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		y := newYard(t, FullHistory)
		types := []string{"group_chat", "group_im"} // for two registrations: one may not have so many attempts at once
		for _, typ := range types {
			y.register("tenant.example", func(r *Registration) { r.EventTypes = []string{typ} })
		}
		var as []message.InboundEvent
		for i := range maxParallelEvents + 10 {
			a := y.arrival()
			a.Type, a.Token = types[i%2], "token"
			as = append(as, a)
		}
		var now, most atomic.Int64
		y.answer = func(landed) int {
			n := now.Add(1)
			for old := most.Load(); n > old && !most.CompareAndSwap(old, n); old = most.Load() {
			}
			time.Sleep(100 * time.Millisecond)
			now.Add(-1)
			return 200
		}
		if y.fanOut(1, as...) || y.made() != len(as) || most.Load() != maxParallelEvents {
			t.Errorf("%d POSTs, %d at once; want %d, %d", y.made(), most.Load(), len(as), maxParallelEvents)
		}
	})
}

// TestEventIsOneLineOfTheLog compares the lines of an event, field by field, and
// looks at what becomes of its message and is counted.
func TestEventIsOneLineOfTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, tt := range []struct {
			name    string
			fail    string // the PK of rows that cannot be written
			before  func(*EventRow)
			outcome string // empty: no line
			again   bool
			events  float64
			repeats float64
			posts   int
			long    bool
		}{
			{name: "done", outcome: "done", events: 1, posts: 2},
			{name: "not all is stored", fail: "D#", outcome: "again", again: true, events: 1, posts: 2},
			{name: "it cannot be begun", fail: "E#", again: true},
			{name: "another's", before: func(er *EventRow) { er.Token = "another" }, outcome: "repeat", repeats: 1},
			{name: "another run has it", before: func(er *EventRow) { er.Run, er.Lease = "p.1", er.Received.Add(time.Hour) }, again: true},
			{name: "its run ended", before: func(er *EventRow) {}, outcome: "done", posts: 2},
			{name: "its run ended, and its registrations are in chunks", before: func(er *EventRow) { er.Chunked, er.ManyUnfinished = true, true }, outcome: "done", long: true},
		} {
			w := newWorld(t)
			first, second := w.register(), w.register()
			w.endpoints.react = func(*http.Request) (*http.Response, error) { time.Sleep(3 * time.Millisecond); return nil, nil }
			id := w.arrive(provider.Item{})[0]
			if tt.before != nil {
				m := w.queue.sent[storage.EventsQueue][0]
				_, as, err := message.Read(m.Body)
				if err != nil {
					t.Fatal(err)
				}
				er := newEventRow(as[0], []string{first.ID, second.ID}, false, "dead.1", w.Clock())
				tt.before(&er)
				key, _ := EventKey(id)
				w.put(key, er)
			}
			if tt.fail != "" {
				w.store.failOn("put", tt.fail)
			}
			begun := time.Now()
			again := w.work(storage.EventsQueue, w.FanOut) > 0
			took := time.Since(begun)
			w.store.fail(nil)
			lines := w.log.with(t, "fanout")
			lines = slices.DeleteFunc(lines, func(l map[string]any) bool { return l["level"] == "ERROR" })
			_, posts := w.endpoints.last()
			if again != tt.again || w.counted.of(Events) != tt.events || w.counted.of(DuplicateEvents) != tt.repeats || posts != tt.posts || len(lines) > 1 || len(lines) == 1 != (tt.outcome != "") {
				t.Errorf("%s: again %v, %v events, %v repeats, %d POSTs, lines %v; want %+v", tt.name, again, w.counted.of(Events), w.counted.of(DuplicateEvents), posts, lines, tt)
				continue
			}
			if tt.outcome == "" {
				continue
			}
			want := map[string]any{"time": lines[0]["time"], "level": "DEBUG", "msg": "fanout", "provider": "upstream", "source": w.source, "event": id, "outcome": tt.outcome}
			if tt.outcome != "repeat" {
				want["registrations"], want["long"], want["took"] = 2., tt.long, float64(took)
			}
			if fmt.Sprint(lines[0]) != fmt.Sprint(want) {
				t.Errorf("%s:\n%v, want\n%v", tt.name, lines[0], want)
			}
		}
	})
}

// TestEventsThatCannotBeSentAgainComeAgain has one of two fail while the queue
// takes nothing.
func TestEventsThatCannotBeSentAgainComeAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for broken, want := range map[bool]string{false: `"outcome":"again"`, true: "send 1 messages to"} {
			y := newYard(t, FullHistory)
			y.register("tenant.example")
			as := []message.InboundEvent{y.arrival(), y.arrival()}
			as[1].Token = as[0].Token
			key, _ := EventKey(as[1].ID)
			y.store.set(refuse(key.PK + " " + key.SK))
			y.out.broken = broken
			if again := y.fanOut(1, as...); again != broken || y.made() != 1 {
				t.Errorf("a queue that is broken %v: again %v, %d POSTs; want %v, 1", broken, again, y.made(), broken)
			}
			for _, text := range []string{want, "event " + as[1].ID} {
				if !strings.Contains(y.said.String(), text) {
					t.Errorf("a queue that is broken %v: said %s, want %q in it", broken, y.said.String(), text)
				}
			}
		}
	})
}

// TestRunThatGoesOnReadsWhatIsThere resumes an event whose deliveries, version or
// registrations cannot be read.
func TestRunThatGoesOnReadsWhatIsThere(t *testing.T) {
	w := newWorld(t)
	e := anEvent(w)
	first, second := w.register(), w.register()
	done := newDelivery(e, &first, w.Clock()).end(Succeeded, "", w.Clock())
	if err := w.putDelivery(t.Context(), &done, ""); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name  string
		fails func(string, storage.Key) bool
		err   error
		posts int
	}{
		{"deliveries", func(_ string, k storage.Key) bool { return k.PK[:2] == "D#" }, errOutage, 0},
		{"the version", func(_ string, k storage.Key) bool { return k.SK == "V" }, errOutage, 0},
		{"registrations", func(_ string, k storage.Key) bool { return k.SK == "R" }, errOutage, 0},
		{"nothing", func(string, storage.Key) bool { return false }, nil, 1},
	} {
		w.store.fail(nil)
		w.publish()
		w.store.fail(func(call string, k storage.Key) error {
			if call == "get" && tt.fails(call, k) {
				return errOutage
			}
			return nil
		})
		f := &fanOut{Event: e, fs: w.fanOuts}
		err := w.resumeFanOut(t.Context(), f, []string{first.ID, second.ID, "reg_gone"})
		if _, n := w.endpoints.last(); !errors.Is(err, tt.err) || tt.err == nil && err != nil || n != tt.posts {
			t.Errorf("without %s: %v after %d POSTs, want %v after %d", tt.name, err, n, tt.err, tt.posts)
		}
	}
}

// TestRoomIsLeftByAllThatHadIt delivers while others leave room in time, and
// while they do not: then both go to the slow queue.
func TestRoomIsLeftByAllThatHadIt(t *testing.T) {
	for waits, posts := range map[time.Duration]int{limiter.MaxQueueWait / 2: 2, 2 * limiter.MaxQueueWait: 0} {
		synctest.Test(t, func(t *testing.T) {
			y := newYard(t, FullHistory)
			y.register("a.example")
			y.register("b.example")
			var others []string
			for n := range maxFirstAttempts { // as many tenants as there is room for
				others = append(others, strconv.Itoa(n))
				y.firstAttempts.TryAcquire(others[n])
			}
			go func() {
				time.Sleep(waits)
				for _, o := range others {
					y.firstAttempts.Release(o)
				}
			}()
			if again := y.fanOut(1, y.arrival()); again || y.made() != posts {
				t.Errorf("room after %v: comes again %v, %d POSTs; want %d", waits, again, y.made(), posts)
			}
			if n := len(y.out.take(storage.SlowQueue)); n != 2-posts {
				t.Errorf("room after %v: %d messages in the slow queue, want %d", waits, n, 2-posts)
			}
			time.Sleep(2 * waits)
			for n := range maxFirstAttempts {
				if !y.firstAttempts.TryAcquire(strconv.Itoa(n)) {
					t.Fatalf("room after %v: when all have left there is room for %d, want %d", waits, n, maxFirstAttempts)
				}
			}
		})
	}
}

// TestChunkIsStoredOnceOrAnError lists a chunk while calls of the Store fail, or
// another is faster.
func TestChunkIsStoredOnceOrAnError(t *testing.T) {
	for _, tt := range []struct {
		name   string
		before func(call string, k storage.Key, w *world, key storage.Key) error
		ids    []string // besides the registration's
		err    error
	}{
		{"nothing fails", func(string, storage.Key, *world, storage.Key) error { return nil }, nil, nil},
		{"it cannot be read", failingOn("get", "F#"), nil, errOutage},
		{"who wants it cannot be read", failingOn("get", "S#"), nil, errOutage},
		{"it cannot be written", failingOn("put", "F#"), nil, errOutage},
		{"another is faster", func(call string, k storage.Key, w *world, key storage.Key) error {
			if call == "put" && k == key {
				w.store.fail(nil)
				w.put(key, FanOutRow{IDs: []string{"reg_theirs"}})
			}
			return nil
		}, []string{"reg_theirs"}, nil},
		{"another is faster, and it cannot be read", func(call string, k storage.Key, w *world, key storage.Key) error {
			if call == "put" && k == key {
				w.store.failOn("get", "F#")
				if err := storage.Put(w.t.Context(), w.store.Store, key, FanOutRow{IDs: []string{"reg_theirs"}}, storage.AnyRev); err != nil {
					w.t.Fatal(err)
				}
			}
			return nil
		}, nil, errOutage},
	} {
		w := newWorld(t)
		r, e := w.register(), anEvent(w)
		e.Received = w.Clock()
		key := FanOutKey(e.ID, 3)
		w.store.fail(func(call string, k storage.Key) error { return tt.before(call, k, w, key) })
		got, err := w.storeChunk(t.Context(), e, 3, nil)
		w.store.fail(nil)
		want := tt.ids
		if want == nil {
			want = []string{r.ID}
		}
		if !errors.Is(err, tt.err) || tt.err == nil && (err != nil || !slices.Equal(got.IDs, want) || got.Next != nil) {
			t.Errorf("%s: %+v, %v; want %v, %v", tt.name, got, err, want, tt.err)
		}
		if tt.err != nil {
			continue
		}
		stored, row := load[FanOutRow](w, key)
		if !slices.Equal(stored.IDs, want) || tt.ids == nil && (stored.Type != e.Type || !stored.Received.Equal(e.Received) || row.Expires.Before(e.Received.Add(w.Retention.maxUnfinished()))) {
			t.Errorf("%s: stored %+v until %v; want %v of %s", tt.name, stored, row.Expires, want, e.Type)
		}
		if again, err := w.storeChunk(t.Context(), e, 3, nil); err != nil || !slices.Equal(again.IDs, want) {
			t.Errorf("%s: listed again: %+v, %v; want %v", tt.name, again, err, want)
		}
	}
}

// failingOn fails one kind of call for rows whose PKs begin so.
func failingOn(call, pk string) func(string, storage.Key, *world, storage.Key) error {
	return func(c string, k storage.Key, _ *world, _ storage.Key) error {
		if c == call && k.PK[:2] == pk {
			return errOutage
		}
		return nil
	}
}

// TestChunkIsHadUntilItsLeaseEnds takes a chunk twice.
func TestChunkIsHadUntilItsLeaseEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		h := message.Header{Event: anEvent(w).ID, Chunk: 2}
		key := FanOutKey(h.Event, h.Chunk)
		key.SK = "L"
		for range 2 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			if err := w.claimChunk(ctx, h); err != nil {
				t.Fatal(err)
			}
			cancel()
			l, row := load[leaseRow](w, key)
			if until := w.Clock().Add(time.Minute + leaseMargin); !l.Lease.Equal(until) || !row.Expires.Equal(until.Add(24*time.Hour)) || l.Run == "" {
				t.Errorf("lease %+v, expires %v; want until %v, and a day more", l, row.Expires, until)
			}
			time.Sleep(time.Minute + leaseMargin - time.Millisecond)
			var busy *claimedError
			if err := w.claimChunk(t.Context(), h); !errors.As(err, &busy) || !busy.until.Equal(l.Lease) {
				t.Errorf("before the lease ended: %v until %+v, want busy until %v", err, busy, l.Lease)
			}
			time.Sleep(time.Millisecond)
		}
	})
}

// TestChunkComesAgainAfterAnOutage has calls of the Store fail while a chunk is
// delivered, or ended since its event is gone.
func TestChunkComesAgainAfterAnOutage(t *testing.T) {
	proofs.Long(t)
	for _, tt := range []struct {
		name, call, pk string
		gone           bool // the event
	}{
		{"its list", "get", "F#", false}, {"its event", "get", "E#", false}, {"its lease", "put", "F#", false}, {"its deliveries", "get", "D#", false},
		{"a registration", "get", "R#", true}, {"the end of a delivery", "put", "D#", true}, {"nothing", "", "", false}, {"nothing of what is gone", "", "", true},
	} {
		w := &tampered{}
		y := newYard(t, FullHistory, func(c *Config) { w.Store, c.Store = c.Store, w })
		r := y.register("tenant.example")
		event, body := y.chunk(r)
		if tt.gone {
			key, _ := EventKey(event)
			if err := y.store.Delete(t.Context(), key, storage.AnyRev); err != nil {
				t.Fatal(err)
			}
		}
		w.failOn(tt.call, tt.pk)
		if again := y.receive(y.FanOut, body, 1); again != (tt.call != "") {
			t.Errorf("%s fails: again %v; %s", tt.name, again, y.said.String())
		}
		w.fail(nil)
		want := Succeeded
		if tt.gone {
			want = Failed
		}
		if d, err := y.LoadDelivery(t.Context(), ident.Delivery(r.ID, event)); (tt.call == "") != (err == nil && d.Status == want) {
			t.Errorf("%s fails: the delivery is %q, %v", tt.name, d.Status, err)
		}
	}
}

// TestEventsSentOneByOneWaitForTheLeaseOfAnother takes a message apart whose events
// ended in each way.
func TestEventsSentOneByOneWaitForTheLeaseOfAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		y := newYard(t, FullHistory, func(c *Config) { c.FairQueues = true })
		now := y.Clock()
		for _, tt := range []struct {
			name string
			errs []error
			want []time.Duration
		}{
			{"all", nil, []time.Duration{0, 0, 0, 0, 0}},
			{"those that failed", []error{nil, errOutage, nil, errOutage, nil}, []time.Duration{0, 0}},
			{"those that others have", []error{&claimedError{now.Add(-1)}, &claimedError{now.Add(time.Minute)}, &claimedError{now.Add(time.Hour)}, nil, fmt.Errorf("event: %w", &claimedError{now.Add(1)})},
				[]time.Duration{0, time.Minute, storage.MaxDelay, 1}},
			{"none", make([]error, 5), nil},
		} {
			as := make([]message.InboundEvent, 5)
			for i := range as {
				as[i] = y.arrival()
			}
			if err := y.sendSingles(t.Context(), as, tt.errs); err != nil {
				t.Fatal(err)
			}
			var got []time.Duration
			for _, m := range y.out.take(storage.EventsQueue) {
				if got = append(got, m.Delay); m.Group != y.source {
					t.Errorf("%s: of group %q, want %q", tt.name, m.Group, y.source)
				}
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("%s: sent with %v, want %v", tt.name, got, tt.want)
			}
		}
		large := y.arrival()
		large.Payload = bytes.Repeat([]byte("x"), storage.MaxMessageBytes)
		if err := y.sendSingles(t.Context(), []message.InboundEvent{large}, nil); err == nil || len(y.out.take(storage.EventsQueue)) > 0 {
			t.Errorf("one that fits no message: %v, want an error", err)
		}
	})
}

// TestChunksThatAreListedAreSent has chunks stored before, of which one is empty,
// and the queue take them, or not.
func TestChunksThatAreListedAreSent(t *testing.T) {
	for _, chunks := range []int{1, 2, storage.MaxSend, storage.MaxSend + 1} {
		y := newYard(t, FullHistory)
		a := y.arrival()
		for n := range chunks {
			row := FanOutRow{IDs: []string{"reg_1"}}
			if n == 1 {
				row.IDs = nil
			}
			if n < chunks-1 {
				row.Next = &cursor{After: "reg_1"}
			}
			y.put(FanOutKey(a.ID, n), row)
		}
		y.out.broken = true
		if err := y.sendChunks(t.Context(), &a.Event); !errors.Is(err, storage.ErrUnavailable) {
			t.Errorf("%d chunks for a queue that takes nothing: %v, want %v", chunks, err, storage.ErrUnavailable)
		}
		y.out.broken = false
		if err := y.sendChunks(t.Context(), &a.Event); err != nil {
			t.Fatal(err)
		}
		var got, want []int
		for _, h := range y.headers(storage.EventsQueue) {
			if got = append(got, h.Chunk); h.Kind != message.Chunk || h.Event != a.ID || h.Source != y.source {
				t.Errorf("%d chunks: sent %+v", chunks, h)
			}
		}
		for n := range chunks {
			if n != 1 {
				want = append(want, n)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%d chunks: sent %v, want %v", chunks, got, want)
		}
	}
}

// TestMessageOfAnotherKindIsNotFannedOut puts messages of the retry queue, and of
// a newer release, on the events queue.
func TestMessageOfAnotherKindIsNotFannedOut(t *testing.T) {
	y := newYard(t, FullHistory)
	for _, k := range []message.Header{{Kind: message.Retry, ID: "del_1"}, {Kind: message.Job, ID: "job_1"}, {Kind: "new"}} {
		if !y.receive(y.FanOut, y.message(k), 1) {
			t.Errorf("a message of kind %q is acknowledged", k.Kind)
		}
	}
}

// TestEventOfALaneIsStoredWhole has an event of each history come for an ordered
// registration.
func TestEventOfALaneIsStoredWhole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, h := range []History{FullHistory, FailureHistory} {
			y := newYard(t, h)
			r := y.register("tenant.example", inOrder)
			d := y.delivered(r)
			if er, row := y.event(d.Event); !slices.Equal(er.Unfinished, []string{r.ID}) || !row.Expires.IsZero() || len(row.Body) == 0 || !d.Lane || d.Status != Pending {
				t.Errorf("history %q: the event is kept for %v until %v with %d bytes; want its payload for %s", h, er.Unfinished, row.Expires, len(row.Body), r.ID)
			}
		}
	})
}

// TestFirstAttemptNeedsItsSourcesVersion cannot read it.
func TestFirstAttemptNeedsItsSourcesVersion(t *testing.T) {
	w := newWorld(t)
	r, e := w.register(), anEvent(w)
	f := &fanOut{Event: e, fs: w.fanOuts}
	w.store.failOn("get", "S#")
	if err := f.deliver(t.Context(), &r, time.Now(), false); !errors.Is(err, errOutage) {
		t.Errorf("deliver without the version: %v, want %v", err, errOutage)
	}
	if _, n := w.endpoints.last(); n != 0 {
		t.Errorf("%d POSTs, want none", n)
	}
}
