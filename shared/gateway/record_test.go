package gateway

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ringback/shared/egress"
	"ringback/shared/ident"
	"ringback/shared/message"
	"ringback/shared/schedule"
	"ringback/shared/storage"
)

// An outcome is that of an attempt which a test records.
type outcome struct {
	late   bool // under a claim that is not the current one
	code   int
	answer int // its bytes
}

// of returns the attempt of o under claim, now.
func (o outcome) of(claim int) Attempt {
	class := egress.OK
	if o.code != 200 {
		class = egress.Status5xx
	}
	return Attempt{
		At: storage.UTC(time.Now()), Took: 7 * time.Millisecond, StatusCode: o.code, Class: class, Error: "as it is", Manual: true,
		Claim: claim, Response: bytes.Repeat([]byte{'a'}, o.answer), RetryAfter: time.Duration(o.code-200) * time.Second,
	}
}

// attemptRows returns the attempts of d that have rows, in the order of their time.
func (w *world) attemptRows(d Delivery) (out []Attempt) {
	w.t.Helper()
	q := storage.Query{Table: storage.Deliveries, PK: "A#" + d.ID, Consistent: true}
	err := storage.Each(w.t.Context(), w.Store, q, func(r storage.Row) error {
		a, err := storage.Decoded[Attempt](r)
		a.Response = r.Body
		out = append(out, a)
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	slices.SortFunc(out, func(a, b Attempt) int { return a.At.Compare(b.At) })
	return out
}

// recorded has one attempt of a delivery accepted at once and then records
// resends, and returns all that were made and the delivery.
func (w *world) recorded(outcomes []outcome) ([]Attempt, Delivery) {
	w.t.Helper()
	r := w.register()
	d := w.delivery(r, w.happen())
	all := []Attempt{{At: d.Last.At, StatusCode: 200, Class: egress.OK, Response: []byte("seen")}}
	for _, o := range outcomes {
		time.Sleep(time.Second)
		a := o.of(d.Claim - 1)
		if !o.late {
			var err error
			if d, err = w.Resend(w.t.Context(), d.ID); err != nil {
				w.t.Fatal(err)
			}
			a.Claim = d.Claim
		}
		after, self, err := w.deliveries.recordAttempt(w.t.Context(), d, a, schedule.Schedule{}, 0.5, true)
		if err != nil || self {
			w.t.Fatalf("recordOver(%+v) = send %v, %v; want false, nil", a, self, err)
		}
		if d = w.delivery(r, d.Event); d.rev != after.rev || d.Claim != after.Claim {
			w.t.Fatalf("recordOver returns claim %d, claim %d is stored", after.Claim, d.Claim)
		}
		all = append(all, a)
	}
	return all, d
}

// TestEachAttemptHasARowUnlessItsDeliveryTellsAllOfIt records resends of what was
// accepted at once, whose attempt stands in the delivery alone.
func TestEachAttemptHasARowUnlessItsDeliveryTellsAllOfIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		for _, tt := range []struct {
			name  string
			then  []outcome
			rows  []int // of the first, 0, and those after it
			last  int
			alone bool
		}{
			{"no resend", nil, nil, 0, true},
			{"one that is accepted", []outcome{{false, 200, 3}}, []int{0}, 1, true},
			{"two that are accepted", []outcome{{false, 200, 3}, {false, 200, 3}}, []int{0, 1}, 2, true},
			{"one that is refused", []outcome{{false, 500, 3}}, []int{0, 1}, 1, false},
			{"one that is accepted after one that is refused", []outcome{{false, 500, 3}, {false, 200, 3}}, []int{0, 1}, 2, true},
			{"an answer that is just kept", []outcome{{false, 200, inlineResponseBytes}}, []int{0}, 1, true},
			{"a longer answer", []outcome{{false, 200, inlineResponseBytes + 1}}, []int{0, 1}, 1, false},
			{"one that is accepted after a longer answer", []outcome{{false, 200, inlineResponseBytes + 1}, {false, 200, 3}}, []int{0, 1}, 2, true},
			{"one that is accepted late", []outcome{{true, 200, 3}}, []int{1}, 0, true},
			{"one that is refused late", []outcome{{true, 500, 3}}, []int{1}, 0, true},
		} {
			all, d := w.recorded(tt.then)
			var want []Attempt
			for _, i := range tt.rows {
				want = append(want, all[i])
			}
			got := w.attemptRows(d)
			same := func(a, b Attempt) bool {
				at := a.At.Equal(b.At)
				answer := bytes.Equal(a.Response, b.Response)
				return at && answer && a.Took == b.Took && a.StatusCode == b.StatusCode && a.Class == b.Class && a.Error == b.Error &&
					a.Manual == b.Manual && a.Claim == b.Claim && a.RetryAfter == b.RetryAfter
			}
			if !slices.EqualFunc(got, want, same) {
				t.Errorf("%s: rows of\n%+v, want\n%+v", tt.name, got, want)
			}
			last := all[tt.last]
			if d.Last.Inline != tt.alone || !d.Last.At.Equal(last.At) || d.Last.StatusCode != last.StatusCode || !bytes.Equal(d.LastResponse(), truncate(last.Response)) {
				t.Errorf("%s: the delivery tells %+v, %d bytes; want attempt %d", tt.name, d.Last, len(d.LastResponse()), tt.last)
			}
			for i, a := range all {
				if got := d.LastIs(a); got != (i == tt.last) {
					t.Errorf("%s: the delivery tells attempt %d: %v", tt.name, i, got)
				}
			}
		}
	})
}

// TestDeliveryWithoutAnAttemptTellsNone looks at one that waits for its first.
func TestDeliveryWithoutAnAttemptTellsNone(t *testing.T) {
	if (Delivery{}).LastIs(Attempt{}) {
		t.Error("a delivery of which no attempt was made tells of one")
	}
}

// TestAttemptThatCannotBeStoredChangesNothing refuses the rows of attempts, or
// those of deliveries.
func TestAttemptThatCannotBeStoredChangesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		for _, tt := range []struct {
			name   string
			before []outcome
			o      outcome
			pk     string
		}{
			{"its own row", []outcome{{false, 500, 3}}, outcome{false, 500, 3}, "A#"},
			{"that of the one before", nil, outcome{false, 200, 3}, "A#"},
			{"its own, too late", nil, outcome{true, 200, 3}, "A#"},
			{"the delivery", nil, outcome{false, 500, 3}, "D#"},
		} {
			_, d := w.recorded(tt.before)
			time.Sleep(time.Second)
			a := tt.o.of(d.Claim - 1)
			if !tt.o.late {
				var err error
				if d, err = w.Resend(t.Context(), d.ID); err != nil {
					t.Fatal(err)
				}
				a.Claim = d.Claim
			}
			w.store.failOn("put", tt.pk)
			if _, _, err := w.deliveries.recordAttempt(t.Context(), d, a, schedule.Schedule{}, 0.5, true); !errors.Is(err, errOutage) {
				t.Errorf("%s: %v, want %v", tt.name, err, errOutage)
			}
			w.store.fail(nil)
			if now, err := w.LoadDelivery(t.Context(), d.ID); err != nil || now.rev != d.rev {
				t.Errorf("%s: the delivery was written, %v", tt.name, err)
			}
		}
	})
}

// TestChangeIsDecidedAnewIfAnotherWasFaster has another write between the read and
// the write of a change.
func TestChangeIsDecidedAnewIfAnotherWasFaster(t *testing.T) {
	errOwn := errors.New("of f")
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		for _, tt := range []struct {
			name  string
			then  func(w *world) // before what is stored is read again
			f     error          // what f returns then
			want  error
			claim int // more than before
		}{
			{"nothing else happens", func(*world) {}, nil, nil, 2},
			{"nothing is to be changed any more", func(*world) {}, storage.ErrUnchanged, nil, 1},
			{"it may not be changed any more", func(*world) {}, errOwn, errOwn, 1},
			{"it cannot be read again", func(w *world) { w.store.failOn("get", "D#") }, nil, errOutage, 1},
		} {
			_, d := w.recorded(nil)
			before, asked := d.Claim, 0
			more := func(d Delivery) (Delivery, error) { d.Claim++; return d, nil }
			_, err := w.ChangeDelivery(t.Context(), d.ID, func(d Delivery) (Delivery, error) {
				if asked++; asked > 1 {
					if d.Claim != before+1 {
						t.Errorf("%s: asked again with claim %d, want %d", tt.name, d.Claim, before+1)
					}
					after, _ := more(d)
					return after, tt.f
				}
				if _, err := w.ChangeDelivery(t.Context(), d.ID, more); err != nil {
					t.Fatal(err)
				}
				tt.then(w)
				return more(d)
			})
			w.store.fail(nil)
			if now, _ := w.LoadDelivery(t.Context(), d.ID); !errors.Is(err, tt.want) || now.Claim != before+tt.claim {
				t.Errorf("%s: %v, %d claims more; want %v, %d", tt.name, err, now.Claim-before, tt.want, tt.claim)
			}
		}
	})
}

// TestDeliveryThatCannotBeReadIsNotMissing asks for what there is not, and for what
// there is while it cannot be read.
func TestDeliveryThatCannotBeReadIsNotMissing(t *testing.T) {
	w := newWorld(t)
	_, d := w.recorded(nil)
	ask := func(id string) error {
		got, err := w.LoadDelivery(t.Context(), id)
		if err == nil && got.ID != id {
			t.Errorf("%s is read as %s", id, got.ID)
		}
		return err
	}
	if err := ask(d.ID); err != nil {
		t.Error(err)
	}
	for _, id := range []string{"nonsense", ident.Delivery(ident.New("reg", time.Now()), d.Event)} {
		if err := ask(id); !errors.Is(err, storage.ErrNotFound) {
			t.Errorf("%s: %v, want ErrNotFound", id, err)
		}
		if _, err := w.ChangeDelivery(t.Context(), id, nil); !errors.Is(err, storage.ErrNotFound) {
			t.Errorf("change %s: %v, want ErrNotFound", id, err)
		}
	}
	w.store.failOn("get", "D#")
	if err := ask(d.ID); !errors.Is(err, errOutage) || errors.Is(err, storage.ErrNotFound) {
		t.Errorf("while it cannot be read: %v, want %v", err, errOutage)
	}
	for _, r := range []storage.Row{
		{Key: DeliveryKey(d.Registration, d.Event), Data: []byte("{")},
		{Key: DeliveryKey(d.Registration, "none"), Data: []byte("{}")},
	} {
		if _, err := ReadDelivery(r); err == nil || !strings.HasPrefix(err.Error(), "delivery: ") {
			t.Errorf("row %s %s of %s: %v, want an error", r.PK, r.SK, r.Data, err)
		}
	}
}

// TestClaimIsHandedOnUpToItsBounds gives a delivery that could not be attempted to
// a later message, or to the tick.
func TestClaimIsHandedOnUpToItsBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		y := newYard(t, FullHistory)
		y.answer = refuses
		r := y.register("tenant.example", every(time.Minute))
		for _, tt := range []struct {
			name string
			in   time.Duration
			hops int
			sent bool
		}{
			{"at once", 0, 0, true},
			{"as late as a message can be", maxSelfSendDelay, 0, true},
			{"later", maxSelfSendDelay + time.Millisecond, 0, false},
			{"for the last time in a row", time.Minute, maxSelfSends - 1, true},
			{"once more", time.Minute, maxSelfSends, false},
		} {
			for _, fails := range []string{"", "another took it", "it cannot be written"} {
				y.store.set(nil)
				d := y.delivered(r)
				d.Unacked = 2
				y.out.take(storage.RetryQueue)
				start, was := y.Clock().Add(tt.in), d.rev
				var want error
				switch fails {
				case "another took it":
					d.rev = "1"
				case "it cannot be written":
					want = storage.ErrUnavailable
					y.store.set(refuse("D#"))
				}
				if err := y.deliveries.reschedule(t.Context(), d, start, tt.hops, false); !errors.Is(err, want) || want == nil && err != nil {
					t.Errorf("%s, %s: %v, want %v", tt.name, fails, err, want)
				}
				ms := y.out.take(storage.RetryQueue)
				rows, err := y.store.Get(context.Background(), DeliveryKey(d.Registration, d.Event))
				if err != nil || len(rows) != 1 {
					t.Fatal(rows, err)
				}
				now, _ := ReadDelivery(rows[0])
				if fails != "" {
					if len(ms) > 0 || now.rev != was {
						t.Errorf("%s, %s: %d messages, written %v; want none", tt.name, fails, len(ms), now.rev != was)
					}
					continue
				}
				lost, due := 0, start
				if tt.sent {
					lost, due = 2, start.Add(4*claimTTL)
				}
				if !now.NextAttempt.Equal(start) || !now.due.Equal(due) || now.Unacked != lost || now.Claim != d.Claim+1 || len(ms) == 1 != tt.sent {
					t.Errorf("%s: %d messages, start %v, due %v, lost %d, claim %d; want sent %v, %v, %v, %d, %d", tt.name,
						len(ms), now.NextAttempt, now.due, now.Unacked, now.Claim, tt.sent, start, due, lost, d.Claim+1)
				}
				if tt.sent {
					if h, _, err := message.Read(ms[0].Body); err != nil || h.SelfSends != tt.hops+1 || h.Claim != now.Claim || ms[0].Delay != tt.in {
						t.Errorf("%s: sent %+v in %v, %v; want hop %d in %v", tt.name, h, ms[0].Delay, err, tt.hops+1, tt.in)
					}
				}
			}
		}
	})
}

// TestEventIsFinishedThoughItWasKeptForThisWrite resends what another ends.
func TestEventIsFinishedThoughItWasKeptForThisWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		y := newYard(t, FullHistory)
		r := y.register("tenant.example")
		d := y.delivered(r)
		mine := d.resend(y.Clock())
		if err := y.putDelivery(t.Context(), &mine, "1"); !errors.Is(err, storage.ErrConflict) {
			t.Errorf("over another revision: %v, want ErrConflict", err)
		}
		if er, row := y.event(d.Event); len(er.Unfinished) > 0 || row.Expires.IsZero() {
			t.Errorf("the event is open for %v, expires %v; want it finished", er.Unfinished, row.Expires)
		}
	})
}

// TestStatusIsShownByWhatItsRegistrationIs looks at each status under each state.
func TestStatusIsShownByWhatItsRegistrationIs(t *testing.T) {
	all := []Status{Pending, Succeeded, Failed, Held, Cancelled}
	for _, tt := range []struct {
		state     State
		eventType string
		want      []Status
	}{
		{Enabled, "", all},
		{Disabled, "", []Status{Held, Succeeded, Failed, Held, Cancelled}},
		{Removed, "", []Status{Cancelled, Succeeded, Failed, Cancelled, Cancelled}},
		{Removed, CallbackRemoved, all},
		{Disabled, CallbackRemoved, []Status{Held, Succeeded, Failed, Held, Cancelled}},
	} {
		for i, s := range all {
			if got := (Delivery{Status: s, EventType: tt.eventType}).VisibleStatus(Registration{State: tt.state}); got != tt.want[i] {
				t.Errorf("%s of %q for a registration that is %s is shown as %s, want %s", s, tt.eventType, tt.state, got, tt.want[i])
			}
		}
	}
}
