package gateway

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ringback/shared/circuit"
	"ringback/shared/ident"
	"ringback/shared/provider"
	"ringback/shared/storage"
)

// TestAttemptThatWaitedGoesWhereItsRegistrationPointsThen has a registration be
// changed while its attempt waits, for room and for the place of another.
func TestAttemptThatWaitedGoesWhereItsRegistrationPointsThen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		y := newYard(t, FullHistory, func(c *Config) { c.MaxConcurrency = 1 })
		moved := y.register("old.example")
		for n := range maxFirstAttempts {
			y.firstAttempts.TryAcquire(strconv.Itoa(n))
		}
		y.attempter.shares.TryAcquire("another")
		go func() {
			time.Sleep(generationTTL * 6 / 10)
			y.firstAttempts.Release("0")
			moved.Endpoint.URL = y.Keys.Seal(RegistrationKey(moved.ID).PK, "url", "https://new.example/")
			y.alter(moved)
			time.Sleep(generationTTL * 6 / 10)
			y.attempter.shares.Release("another")
		}()
		y.fanOut(1, y.arrival())
		if y.postsTo("new.example") != 1 || y.postsTo("old.example") != 0 {
			t.Errorf("%d POSTs to where it pointed, %d to where it points; want one there", y.postsTo("old.example"), y.postsTo("new.example"))
		}
	})
}

// TestAttemptAdmittedBeforeItsCircuitOpenedIsNoProbe opens the circuit while a
// POST is under way.
func TestAttemptAdmittedBeforeItsCircuitOpenedIsNoProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		y := newYard(t, FullHistory)
		r := y.register("tenant.example")
		open := circuit.Health{Open: true, Since: y.Clock(), Interval: time.Minute, ProbeAt: y.Clock().Add(time.Minute)}
		y.answer = func(landed) int {
			y.put(HealthKey(r.ID), open)
			return 500
		}
		y.delivered(r)
		h, _, err := storage.Load[circuit.Health](t.Context(), y.store, HealthKey(r.ID))
		if err != nil || h.Interval != open.Interval || !h.ProbeAt.Equal(open.ProbeAt) || !h.ProbeFailed.IsZero() || !h.Failing() {
			t.Errorf("the health is %+v, %v; want a failure that is noted, and no probe", h, err)
		}
	})
}

// TestFirstAttemptThatMustWaitIsSentOnlyIfItsTimeIsNear has a circuit or a rate
// put it off.
func TestFirstAttemptThatMustWaitIsSentOnlyIfItsTimeIsNear(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*Registration)
		open   bool
		want   int // messages
	}{
		{"a circuit that is open", func(*Registration) {}, true, 0},
		{"a rate whose next place is near", func(r *Registration) { r.Rate = 1. / 60 }, false, 1},
		{"a rate whose next place is far", func(r *Registration) { r.Rate = 1. / 3600 }, false, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			y := newYard(t, FullHistory)
			r := y.register("tenant.example", tt.change, every(time.Minute))
			if tt.open {
				y.put(HealthKey(r.ID), circuit.Health{Open: true, Since: y.Clock(), Interval: time.Minute, ProbeAt: y.Clock().Add(time.Minute)})
			}
			var d Delivery
			for range 3 { // a rate lets the first pass
				d = y.delivered(r)
			}
			ms := y.out.take(storage.RetryQueue)
			if d.Status != Pending || d.NextAttempt.IsZero() || len(ms) < tt.want || tt.want == 0 && len(ms) > 0 {
				t.Errorf("%s: %s, %d messages are sent; want it pending, at least %d", tt.name, d.Status, len(ms), tt.want)
			}
			for _, m := range ms {
				if m.Delay > maxSelfSendDelay {
					t.Errorf("%s: a message is sent with %v, want at most %v", tt.name, m.Delay, maxSelfSendDelay)
				}
			}
		})
	}
}

// TestLaneWhosePayloadIsGoneFailsWhatWaited has the fan-out end after it appended
// to a lane, and the event's row be gone when the lane is worked on.
func TestLaneWhosePayloadIsGoneFailsWhatWaited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		y := newYard(t, FullHistory)
		r := y.register("tenant.example", inOrder)
		a := y.arrival()
		a.Type = "group_im"
		if err := y.lanes.appendToLane(t.Context(), &a.Event, newDelivery(&a.Event, r, y.Clock())); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		for range 5 {
			for _, h := range y.tick() {
				y.receive(y.Redeliver, y.message(h), 1)
			}
			y.runLanes(time.Hour)
			time.Sleep(5 * time.Minute)
		}
		d := y.delivery(r, a.ID)
		if d.Status != Failed || d.Reason != reasonExpired || d.EventType != a.Type || !d.Received.Equal(a.Received) || y.made() != 0 {
			t.Errorf("%s (%s) of type %q, received at %v, %d POSTs; want it failed for its payload, as the event was", d.Status, d.Reason, d.EventType, d.Received, y.made())
		}
	})
}

// TestWhatCannotBeReadIsAnError asks for what needs a row, and none can be read.
func TestWhatCannotBeReadIsAnError(t *testing.T) {
	o := &outage{}
	y := newYard(t, FullHistory, func(c *Config) { o.Store, c.Store = c.Store, o })
	r := y.register("tenant.example", inOrder)
	r.Release = "job_1"
	o.begin(0, false)
	for name, ask := range map[string]func() error{
		"a registration": func() error { _, _, err := y.attempter.matcher.registration(t.Context(), y.source, r.ID); return err },
		"closed lanes":   func() error { _, err := y.lanes.blocked(t.Context(), r); return err },
	} {
		if err := ask(); !errors.Is(err, storage.ErrUnavailable) {
			t.Errorf("%s: %v, want %v", name, err, storage.ErrUnavailable)
		}
	}
}

// TestFinishedEventIsWrittenOnce finishes what is finished.
func TestFinishedEventIsWrittenOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		y := newYard(t, FullHistory)
		r := y.register("tenant.example")
		d := y.delivered(r)
		y.store.written()
		if err := y.events.Release(t.Context(), d.Event, r.ID); err != nil {
			t.Fatal(err)
		}
		if rows := y.store.written("E#"); len(rows) > 0 {
			t.Errorf("written: %+v, want nothing", rows)
		}
	})
}

// TestIDsBeginWithTheirTime holds the text of an id, by which ids are in order of
// time over all releases.
func TestIDsBeginWithTheirTime(t *testing.T) {
	for at, want := range map[time.Time]string{
		time.UnixMilli(0): "reg_000000000",
		time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC): "reg_03e6ljtc0",
	} {
		if got := ident.New("reg", at); !strings.HasPrefix(got, want) {
			t.Errorf("ident.New at %v = %s, want it to begin with %s", at, got, want)
		}
	}
}

// TestDeliveryThatEndsUnclaimedCountsAsClaimed holds the fence of what ends
// without an attempt: claim 0 is that of no delivery.
func TestDeliveryThatEndsUnclaimedCountsAsClaimed(t *testing.T) {
	if d := (Delivery{}).end(Cancelled, "", time.Now()); d.Claim != 1 {
		t.Errorf("claim %d, want 1", d.Claim)
	}
	if d := (Delivery{Claim: 3}).end(Cancelled, "", time.Now()); d.Claim != 3 {
		t.Errorf("claim %d, want 3", d.Claim)
	}
}

// TestPatternsOfOtherTypesAreNotRead asks for the index entries that an event of
// a type reads.
func TestPatternsOfOtherTypesAreNotRead(t *testing.T) {
	v := generation{Patterns: map[string][]string{"*": {"group_*", "object_im"}, "group": {"*", "subscription_*"}}}
	got := v.postingsFor(&provider.Event{Type: "group_chat", Keys: map[string][]string{"group": {"b", "a"}}})
	want := []IndexEntry{{"*", "group_*"}, {"group=a", "*"}, {"group=b", "*"}}
	if !slices.Equal(got, want) {
		t.Errorf("streams = %v, want %v", got, want)
	}
}
