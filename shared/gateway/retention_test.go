package gateway

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"ringback/shared/storage"
	"ringback/shared/test/proofs"
)

// names returns n ids of registrations, from the first on.
func names(first, n int) (ids []string) {
	for i := range n {
		ids = append(ids, fmt.Sprintf("reg_%02d", first+i))
	}
	return ids
}

// TestEventNamesTheUnfinishedDeliveriesItIsKeptFor opens an event for deliveries,
// and wants it without an expiry, or with one as late as any can need.
func TestEventNamesTheUnfinishedDeliveriesItIsKeptFor(t *testing.T) {
	k := Retention{History: 10 * 24 * time.Hour, Held: 20 * 24 * time.Hour}
	far, few := noon.Add(k.maxUnfinished()), noon.Add(time.Hour)
	const day = 24 * time.Hour
	for _, tt := range []struct {
		name    string
		er      EventRow
		expires time.Time
		ids     []string

		open    []string
		wide    bool
		until   time.Time // expires
		changed bool
	}{
		{"none", EventRow{}, time.Time{}, nil, nil, false, time.Time{}, false},
		{"none of what expires", EventRow{}, few, nil, nil, false, time.Time{}, true},
		{"the first", EventRow{}, few, names(0, 1), names(0, 1), false, time.Time{}, true},
		{"the first again", EventRow{Unfinished: names(0, 1)}, time.Time{}, names(0, 1), names(0, 1), false, time.Time{}, false},
		{"the first again, and it would expire", EventRow{Unfinished: names(0, 1)}, few, names(0, 1), names(0, 1), false, time.Time{}, true},
		{"another", EventRow{Unfinished: names(0, 1)}, time.Time{}, names(1, 1), names(0, 2), false, time.Time{}, true},
		{"one that is there and another", EventRow{Unfinished: names(0, 1)}, time.Time{}, names(0, 2), names(0, 2), false, time.Time{}, true},
		{"as many as it can name", EventRow{Unfinished: names(0, 39)}, time.Time{}, names(39, 1), names(0, 40), false, time.Time{}, true},
		{"one more", EventRow{Unfinished: names(0, 40)}, time.Time{}, names(40, 1), nil, true, far, true},
		{"more at once", EventRow{}, few, names(0, 41), nil, true, far, true},
		{"one of what is wide", EventRow{ManyUnfinished: true}, far, names(0, 1), nil, true, far, false},
		{"one of what is wide, a day later", EventRow{ManyUnfinished: true}, far.Add(-day), names(0, 1), nil, true, far.Add(-day), false},
		{"one of what is wide, more than a day later", EventRow{ManyUnfinished: true}, far.Add(-day - 1), names(0, 1), nil, true, far, true},
		{"one of chunks", EventRow{Chunked: true, ManyUnfinished: true}, far, names(0, 1), nil, true, far, false},
		{"one of chunks that an earlier release began", EventRow{Chunked: true}, few, names(0, 1), nil, true, far, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			er, r := tt.er, storage.Row{Expires: tt.expires}
			er.Unfinished = slices.Clone(er.Unfinished)
			changed := er.markUnfinished(&r, k, noon, tt.ids...)
			if !slices.Equal(er.Unfinished, tt.open) || er.ManyUnfinished != tt.wide || !r.Expires.Equal(tt.until) || changed != tt.changed {
				t.Errorf("open(%v) = %v: open %v, wide %v, expires %v; want %v, %v, %v, %v", tt.ids, changed, er.Unfinished, er.ManyUnfinished, r.Expires, tt.changed, tt.open, tt.wide, tt.until)
			}
			er.expires = r.Expires
			for _, id := range tt.ids {
				if !er.lastsFor(id, k, noon) {
					t.Errorf("needs(%s) = false after it was opened, want true", id)
				}
			}
			if got := er.lastsFor("reg_none", k, noon); got != tt.wide {
				t.Errorf("needs of a stranger = %v, want %v", got, tt.wide)
			}
			if later := noon.Add(day + 1); er.lastsFor("reg_none", k, later) {
				t.Errorf("needs of a stranger more than a day later = true, want it to be kept for longer")
			}
		})
	}
}

// TestEventLastsUntilTheLastDeliveryIsFinished finishes deliveries, some of which
// are held.
func TestEventLastsUntilTheLastDeliveryIsFinished(t *testing.T) {
	k := Retention{History: 10 * 24 * time.Hour, Held: 20 * 24 * time.Hour}
	history, hold, long := noon.Add(k.History), noon.Add(k.Held), noon.Add(90*24*time.Hour)
	never, before := time.Time{}, noon.Add(time.Hour)
	for _, tt := range []struct {
		name    string
		er      EventRow
		expires time.Time
		id      string
		until   time.Time

		open    []string
		held    time.Time // er.Until
		want    time.Time // expires
		changed bool
	}{
		{"the only one", EventRow{Unfinished: names(0, 1)}, never, "reg_00", never, nil, never, history, true},
		{"one of two", EventRow{Unfinished: names(0, 2)}, never, "reg_00", never, names(1, 1), never, never, true},
		{"one that is not there", EventRow{Unfinished: names(0, 1)}, never, "reg_07", never, names(0, 1), never, never, false},
		{"one where none is", EventRow{}, before, "reg_00", never, nil, never, before, false},
		{"the only one is held", EventRow{Unfinished: names(0, 1)}, never, "reg_00", hold, nil, hold, hold, true},
		{"one of two is held", EventRow{Unfinished: names(0, 2)}, never, "reg_01", hold, names(0, 1), hold, never, true},
		{"the last one, and another is held", EventRow{Unfinished: names(0, 1), HeldUntil: hold}, never, "reg_00", never, nil, hold, hold, true},
		{"the last one, and another was held for less", EventRow{Unfinished: names(0, 1), HeldUntil: before}, never, "reg_00", never, nil, before, history, true},
		{"one that was never open is held", EventRow{}, before, "reg_00", hold, nil, hold, hold, true},
		{"one is held for no longer than another", EventRow{HeldUntil: hold}, hold, "reg_00", hold, nil, hold, hold, false},
		{"one is held for less than it lasts", EventRow{}, long, "reg_00", hold, nil, hold, long, true},
		{"one of what is wide", EventRow{ManyUnfinished: true}, long, "reg_00", never, nil, never, long, false},
		{"one of what is wide is held", EventRow{ManyUnfinished: true}, before, "reg_00", hold, nil, hold, hold, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			er, r := tt.er, storage.Row{Expires: tt.expires}
			er.Unfinished = slices.Clone(er.Unfinished)
			changed := er.markFinished(&r, k, noon, tt.id, tt.until)
			if !slices.Equal(er.Unfinished, tt.open) || !er.HeldUntil.Equal(tt.held) || !r.Expires.Equal(tt.want) || changed != tt.changed {
				t.Errorf("finish(%s, %v) = %v: open %v, until %v, expires %v; want %v, %v, %v, %v", tt.id, tt.until, changed, er.Unfinished, er.HeldUntil, r.Expires, tt.changed, tt.open, tt.held, tt.want)
			}
		})
	}
}

func TestEventOfManyLastsForTheLongestScheduleAHoldAndTheHistory(t *testing.T) {
	k := Retention{History: 10 * 24 * time.Hour, Held: 20 * 24 * time.Hour}
	if want := 7*24*time.Hour*12/10 + 2*time.Hour + k.Held + k.History; k.maxUnfinished() != want {
		t.Errorf("longest() = %v, want %v", k.maxUnfinished(), want)
	}
}

func TestHoldsOfOneDayEndTogetherAfterEachOfThem(t *testing.T) {
	k := Retention{Held: 30 * 24 * time.Hour}
	midnight := noon.Truncate(24 * time.Hour)
	want := midnight.Add(31 * 24 * time.Hour)
	for _, at := range []time.Time{midnight, noon, midnight.Add(24*time.Hour - 1)} {
		if got := k.heldUntil(at); !got.Equal(want) {
			t.Errorf("heldUntil(%v) = %v, want %v", at, got, want)
		}
	}
}

// TestEventOfAHeldDeliveryLastsUntilTheHoldEnds holds the only delivery of an
// event: at its first attempt, at a later one, and by either history.
func TestEventOfAHeldDeliveryLastsUntilTheHoldEnds(t *testing.T) {
	for _, h := range []History{FullHistory, FailureHistory} {
		for _, retry := range []bool{false, true} {
			t.Run(fmt.Sprintf("history %q, at a retry %v", h, retry), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					y := newYard(t, h)
					y.answer = refuses
					r := y.register("tenant.example", every(time.Minute))
					if !retry {
						disabled(r)
						y.alter(r)
					}
					d := y.delivered(r)
					if retry {
						time.Sleep(time.Minute)
						disabled(r)
						y.alter(r)
						y.redelivered(d, 1)
						d = y.delivery(r, d.Event)
					}
					er, row := y.event(d.Event)
					ends := y.row(d).Expires
					if d.Status != Held || len(er.Unfinished) > 0 || row.Expires.Before(ends) || row.Expires.After(ends.Add(24*time.Hour)) {
						t.Errorf("%s until %v; its event, open for %v, lasts until %v; want it held, and the event for that long and a day at most", d.Status, ends, er.Unfinished, row.Expires)
					}
					if len(row.Body) == 0 {
						t.Error("the event of a held delivery has no payload")
					}
				})
			})
		}
	}
}

// TestEventIsKeptFromBeforeADeliveryIsUnfinishedUntilAfter looks at the order in
// which the rows of a delivery that fails, is tried again and is accepted are
// written.
func TestEventIsKeptFromBeforeADeliveryIsUnfinishedUntilAfter(t *testing.T) {
	for _, h := range []History{FullHistory, FailureHistory} {
		synctest.Test(t, func(t *testing.T) {
			y := newYard(t, h)
			y.answer = refuses
			r := y.register("tenant.example", every(time.Minute))
			y.store.written()
			d := y.delivered(r)
			rows := y.store.written("E#", "D#")
			last := len(rows) - 1
			if last < 1 || rows[last].PK[0] != 'D' || rows[last-1].PK[0] != 'E' || !rows[last-1].Expires.IsZero() {
				t.Errorf("history %q, after the first attempt: rows %v; want the event without an expiry, then the delivery", h, kindsOf(rows))
			}
			y.answer = nil
			time.Sleep(time.Minute)
			y.redelivered(d, 1)
			rows = y.store.written("E#", "D#")
			if len(rows) != 2 || rows[0].PK[0] != 'D' || rows[1].PK[0] != 'E' || !rows[1].Expires.Equal(y.Clock().Add(y.Retention.History).Truncate(time.Millisecond)) {
				t.Errorf("history %q, after it was accepted: rows %v; want the delivery, then the event with an expiry of %v from now", h, kindsOf(rows), y.Retention.History)
			}
		})
	}
}

func kindsOf(rows []storage.Row) (out []string) {
	for _, r := range rows {
		out = append(out, fmt.Sprintf("%.2s expires %v", r.PK, r.Expires))
	}
	return out
}

// TestDeliveryThatAnotherWroteFinishesItsEventIfThatIsOver writes a pending
// delivery over a revision that another changed.
func TestDeliveryThatAnotherWroteFinishesItsEventIfThatIsOver(t *testing.T) {
	for _, tt := range []struct {
		name string
		then func(Delivery) Delivery // what another makes of it
		open bool
	}{
		{"it failed", func(d Delivery) Delivery { d.Claim++; return d.end(Failed, "gone", noon) }, false},
		{"it was accepted", func(d Delivery) Delivery { d.Claim++; return d.end(Succeeded, "", noon) }, false},
		{"it goes on", func(d Delivery) Delivery { return d.postpone(noon.Add(time.Hour)) }, true},
		{"it was accepted and is resent", func(d Delivery) Delivery { return d.end(Succeeded, "", noon).resend(noon) }, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				y := newYard(t, FullHistory)
				y.answer = refuses
				r := y.register("tenant.example", every(time.Minute))
				d := y.delivered(r)
				other := tt.then(d)
				row, err := other.row(y.Retention)
				if err != nil {
					t.Fatal(err)
				}
				row.Rev = storage.NewRev()
				if err := y.store.Put(t.Context(), row, d.rev); err != nil { // and the process ends
					t.Fatal(err)
				}
				mine := d.postpone(y.Clock().Add(time.Minute))
				if err := y.putDelivery(t.Context(), &mine, d.rev); !errors.Is(err, storage.ErrConflict) {
					t.Errorf("putDelivery over another's write: %v, want ErrConflict", err)
				}
				if er, row := y.event(d.Event); slices.Contains(er.Unfinished, r.ID) != tt.open || row.Expires.IsZero() != tt.open {
					t.Errorf("the event is open for %v, and expires %v; want it open %v", er.Unfinished, row.Expires, tt.open)
				}
			})
		})
	}
}

// TestMessageOfWhatIsFinishedFinishesItsEvent has a process end between the write
// of the delivery and that of its event.
func TestMessageOfWhatIsFinishedFinishesItsEvent(t *testing.T) {
	for _, tt := range []struct {
		name string
		now  func(Delivery) Delivery
		open bool
	}{
		{"succeeded", func(d Delivery) Delivery { d.Claim++; return d.end(Succeeded, "", noon) }, false},
		{"failed", func(d Delivery) Delivery { d.Claim++; return d.end(Failed, "", noon) }, false},
		{"pending, by another claim", func(d Delivery) Delivery { return d.newClaim(noon) }, true},
		{"held", func(d Delivery) Delivery { return d.hold(reasonDisabled, noon) }, true},
		{"resent, by another claim", func(d Delivery) Delivery { d.Claim++; return d.end(Failed, "", noon).resend(noon) }, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				y := newYard(t, FullHistory)
				y.answer = refuses
				r := y.register("tenant.example", every(time.Minute))
				d := y.delivered(r)
				after := tt.now(d)
				row, err := after.row(y.Retention)
				if err != nil {
					t.Fatal(err)
				}
				row.Rev = storage.NewRev()
				if err := y.store.Put(t.Context(), row, d.rev); err != nil {
					t.Fatal(err)
				}
				if y.redelivered(d, 1) {
					t.Error("the message comes again, want it dropped")
				}
				if er, _ := y.event(d.Event); slices.Contains(er.Unfinished, r.ID) != tt.open {
					t.Errorf("the event is open for %v, want it open %v", er.Unfinished, tt.open)
				}
			})
		})
	}
}

// TestDeliveriesOfOneEventShareTheWriteThatKeepsIt has thirty deliveries ask for
// their event to be kept while a write is under way.
func TestDeliveriesOfOneEventShareTheWriteThatKeepsIt(t *testing.T) {
	const deliveries = 30
	y := newYard(t, FailureHistory)
	a := y.arrival()
	f := &fanOut{Event: &a.Event, fs: y.fanOuts, inbound: a, failuresOnly: true}
	y.store.written()
	underWay := &retention{done: make(chan struct{})}
	f.newest = underWay
	var wg sync.WaitGroup
	for _, id := range names(0, deliveries) {
		wg.Go(func() {
			d := Delivery{Registration: id}
			if err := f.retain(t.Context(), &d); err != nil || !d.retained {
				t.Errorf("keep(%s) = %v, kept %v; want nil, true", id, err, d.retained)
			}
		})
	}
	for asked := 0; asked < deliveries; runtime.Gosched() {
		f.mu.Lock()
		if f.next != nil {
			asked = len(f.next.ids)
		}
		f.mu.Unlock()
	}
	close(underWay.done)
	wg.Wait()
	if n := len(y.store.written("E#")); n != 1 {
		t.Errorf("%d writes of the event for %d deliveries, want one", n, deliveries)
	}
	if er, row := y.event(a.ID); len(er.Unfinished) != deliveries || !row.Expires.IsZero() || string(row.Body) != string(a.Payload) {
		t.Errorf("the event is open for %d, expires %v, payload %q; want %d, never and %q", len(er.Unfinished), row.Expires, row.Body, deliveries, a.Payload)
	}
}

// TestDeliveriesThatShareAWriteShareItsFailure keeps an event that is gone.
func TestDeliveriesThatShareAWriteShareItsFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		y := newYard(t, FullHistory)
		a := y.arrival()
		f := &fanOut{Event: &a.Event, fs: y.fanOuts}
		var wg sync.WaitGroup
		for _, id := range names(0, 5) {
			wg.Go(func() {
				d := Delivery{Registration: id}
				if err := f.retain(t.Context(), &d); !errors.Is(err, storage.ErrNotFound) || d.retained {
					t.Errorf("keep(%s) of an event that is gone = %v, kept %v; want ErrNotFound, false", id, err, d.retained)
				}
			})
		}
		wg.Wait()
	})
}

// TestResendOfWhatIsFinishedKeepsItsEventUntilItIsRecorded resends a delivery that
// was accepted, or failed, long ago.
func TestResendOfWhatIsFinishedKeepsItsEventUntilItIsRecorded(t *testing.T) {
	proofs.Long(t)
	for _, status := range []int{200, 410} {
		synctest.Test(t, func(t *testing.T) {
			y := newYard(t, FullHistory)
			y.answer = func(landed) int { return status }
			r := y.register("tenant.example")
			d := y.delivered(r)
			if _, row := y.event(d.Event); row.Expires.IsZero() || !d.Final() {
				t.Fatalf("after %d: %s, the event expires %v; want it final, and an expiry", status, d.Status, row.Expires)
			}
			r.State = Enabled
			y.alter(r)
			time.Sleep(24 * time.Hour)
			d, err := y.Resend(t.Context(), d.ID)
			if err != nil {
				t.Fatal(err)
			}
			if er, row := y.event(d.Event); !slices.Contains(er.Unfinished, r.ID) || !row.Expires.IsZero() {
				t.Errorf("after the resend of what is %s: open for %v, expires %v; want it open for %s, and never", d.Status, er.Unfinished, row.Expires, r.ID)
			}
			time.Sleep(time.Minute)
			if y.redelivered(d, 1) || y.made() != 2 {
				t.Errorf("%d POSTs, want the first one and the resend", y.made())
			}
			if er, row := y.event(d.Event); len(er.Unfinished) > 0 || !row.Expires.Equal(y.Clock().Add(y.Retention.History)) {
				t.Errorf("after the attempt: open for %v, expires %v; want none, and %v", er.Unfinished, row.Expires, y.Clock().Add(y.Retention.History))
			}
		})
	}
}
