package gateway

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ringback/shared/schedule"
	"ringback/shared/storage"
)

func TestRecordedAttemptEndsWhatTheClaimHad(t *testing.T) {
	for _, code := range []int{200, 410, 500} {
		d := Delivery{Status: Pending, Claim: 4, Unacked: 3, LostClaims: 7, RateGranted: true, due: noon}
		got, _ := d.record(attempted(code, 4), schedule.Schedule{}, 0.5, false)
		if got.RateGranted || got.Unacked != 0 || got.LostClaims != 0 || got.Claim != 5 {
			t.Errorf("record of %d: paced %v, lost %d, crashes %d, claim %d; want false, 0, 0, 5", code, got.RateGranted, got.Unacked, got.LostClaims, got.Claim)
		}
	}
}

// TestRetriesOfARatedRegistrationKeepItsRate has the deliveries of a burst refused
// and tried again at one instant. Where others may have come late two more may begin.
func TestRetriesOfARatedRegistrationKeepItsRate(t *testing.T) {
	for _, alone := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) { retriesKeepTheRate(t, alone) })
	}
}

func retriesKeepTheRate(t *testing.T, alone bool) {
	y := newYard(t, FullHistory, func(c *Config) { c.SingleProcess = alone })
	y.answer = refuses
	r := y.register("tenant.example", every(time.Minute, time.Minute), func(r *Registration) { r.Rate = 1 })
	var ds []Delivery
	for range 4 { // the first is attempted, the others get places
		ds = append(ds, y.delivered(r))
	}
	for range 2 {
		time.Sleep(3 * time.Minute)
		for i, d := range ds {
			if d = y.delivery(r, d.Event); d.due.IsZero() {
				t.Fatalf("delivery %d is not due", i)
			}
			d = d.newClaim(y.Clock())
			if err := y.putDelivery(t.Context(), &d, d.rev); err != nil {
				t.Fatal(err)
			}
			ds[i] = d
		}
		y.posts = nil
		for _, d := range ds {
			y.redelivered(d, 1)
		}
	}
	if y.made() < 1 || y.made() > 3 || alone && y.made() > 1 {
		t.Errorf("%d retries at one instant by a rate of one a second, want one", y.made())
	}
}

func TestResendThatIsDroppedLeavesThePendingDeliveryDue(t *testing.T) {
	start := noon.Add(time.Hour)
	got := Delivery{Status: Pending, Manual: true, Claim: 3, Unacked: 1, NextAttempt: start, due: noon}.dropManual()
	if got.Status != Pending || got.Manual || !got.due.Equal(start) || got.Claim != 4 || got.Unacked != 0 {
		t.Errorf("dropManual of what is pending: %s, manual %v, due %v, claim %d, lost %d; want pending, due %v, 4, 0", got.Status, got.Manual, got.due, got.Claim, got.Unacked, start)
	}
	synctest.Test(t, func(t *testing.T) {
		y := newYard(t, FullHistory)
		y.answer = refuses
		r := y.register("tenant.example", every(time.Hour, time.Hour))
		d := y.delivered(r)
		d, err := y.Resend(t.Context(), d.ID)
		if err != nil {
			t.Fatal(err)
		}
		disabled(r)
		y.alter(r)
		if y.redelivered(d, 1) || y.made() != 1 {
			t.Errorf("%d POSTs, want the first one alone", y.made())
		}
		d = y.delivery(r, d.Event)
		if d.Status != Pending || d.Manual || d.due.IsZero() {
			t.Errorf("after a resend that was dropped: %s, manual %v, due %v; want it pending and due", d.Status, d.Manual, d.due)
		}
		if er, row := y.event(d.Event); len(er.Unfinished) != 1 || !row.Expires.IsZero() {
			t.Errorf("its event is open for %v, expires %v; want it kept", er.Unfinished, row.Expires)
		}
	})
}

// TestDeliveryThatWaitsForItsTurnIsNotCountedAsLost has a delivery find its
// registration crowded at every turn.
func TestDeliveryThatWaitsForItsTurnIsNotCountedAsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		y := newYard(t, FullHistory)
		y.answer = refuses
		r := y.register("tenant.example", every(time.Minute, time.Minute))
		d := y.delivered(r)
		time.Sleep(time.Minute)
		Crowd(y.Gateway, r.ID, 10*time.Second)
		y.out.take(storage.RetryQueue)
		handed, ticked := 0, 0
		h := d.header()
		h.SelfSends = 1
		for turn := range 15 {
			lost := d.Unacked
			if y.receive(y.RedeliverSlow, y.message(h), 1) {
				t.Fatalf("turn %d: the message comes again: %s", turn, y.said.String())
			}
			d = y.delivery(r, d.Event)
			if d.Status != Pending || d.Unacked > lost || d.LostClaims != 0 || d.Attempts != 1 {
				t.Fatalf("after turn %d: %s (%s), lost %d, crashes %d, made %d; want it pending, lost %d at most, 0, 1", turn+1, d.Status, d.Reason, d.Unacked, d.LostClaims, d.Attempts, lost)
			}
			hs := y.headers(storage.SlowQueue)
			if len(hs) == 0 { // it waits for the tick
				time.Sleep(time.Until(d.due))
				hs = y.tick()
				d = y.delivery(r, d.Event)
				ticked++
			} else {
				handed++
			}
			if len(hs) != 1 {
				t.Fatalf("after turn %d: %d messages, want one", turn+1, len(hs))
			}
			if h = hs[0]; h.SelfSends > maxSelfSends {
				t.Fatalf("after turn %d: %d messages in a row, want %d at most", turn+1, h.SelfSends, maxSelfSends)
			}
			time.Sleep(max(time.Until(d.NextAttempt), 0))
			Crowd(y.Gateway, r.ID, 10*time.Second)
		}
		if handed < 5 || ticked < 3 {
			t.Errorf("handed out again by itself %d times and by the tick %d times, want both", handed, ticked)
		}
	})
}

// TestMessageReceivedForTheThirdTimeCountsAsACrash receives the message of a claim
// for the n-th time.
func TestMessageReceivedForTheThirdTimeCountsAsACrash(t *testing.T) {
	for receives, want := range map[int]int{1: 0, 2: 0, 3: 1, 4: 0} {
		synctest.Test(t, func(t *testing.T) {
			y := newYard(t, FullHistory)
			y.answer = refuses
			r := y.register("tenant.example", every(time.Minute, time.Minute))
			d := y.delivered(r)
			time.Sleep(time.Minute)
			counted := -1
			y.answer = func(landed) int { counted = y.delivery(r, d.Event).LostClaims; return 500 }
			y.redelivered(d, receives)
			if counted != want || y.delivery(r, d.Event).LostClaims != 0 {
				t.Errorf("received %d times: %d crashes at the attempt, %d after it; want %d, 0", receives, counted, y.delivery(r, d.Event).LostClaims, want)
			}
		})
	}
}

// TestTenCrashesInARowEndADelivery loses claims of a delivery.
func TestTenCrashesInARowEndADelivery(t *testing.T) {
	for _, recorded := range []bool{false, true} {
		t.Run(fmt.Sprintf("an attempt recorded %v", recorded), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				y := newYard(t, FullHistory)
				y.answer = refuses
				r := y.register("tenant.example", every(time.Minute, time.Minute, time.Minute))
				d := y.delivered(r)
				lose := func() bool {
					d = y.delivery(r, d.Event)
					over, err := y.circuits.countLostClaim(t.Context(), &d, nil)
					if err != nil {
						t.Fatal(err)
					}
					return over
				}
				for n := 1; n < maxLostClaims; n++ {
					if lose() || y.delivery(r, d.Event).LostClaims != n {
						t.Fatalf("crash %d: %+v; want it counted, and not over", n, y.delivery(r, d.Event))
					}
				}
				if recorded {
					time.Sleep(time.Minute)
					y.redelivered(y.delivery(r, d.Event), 1)
				}
				y.out.take(storage.EventsQueue)
				over := lose()
				d = y.delivery(r, d.Event)
				told, _ := y.singles()
				line := strings.Contains(y.said.String(), `"outcome":"internal"`)
				if recorded {
					if over || d.Status != Pending || d.LostClaims != 1 || line || len(told) > 0 {
						t.Errorf("after a recorded attempt: over %v, %s, crashes %d, logged %v, told %d; want it pending, 1", over, d.Status, d.LostClaims, line, len(told))
					}
					return
				}
				if !over || d.Status != Failed || d.Reason != reasonInternal || !line || len(told) != 1 || told[0].Type != deliveryExhausted {
					t.Errorf("after ten: over %v, %s (%s), logged %v, told %+v; want it failed (%s), a line and %s", over, d.Status, d.Reason, line, told, reasonInternal, deliveryExhausted)
				}
			})
		})
	}
}

// TestClaimThatAnotherTookIsNotLost counts a crash of a claim that is gone.
func TestClaimThatAnotherTookIsNotLost(t *testing.T) {
	y := newYard(t, FullHistory)
	y.answer = refuses
	r := y.register("tenant.example", every(time.Minute))
	d := y.delivered(r)
	other := d.newClaim(y.Clock())
	if err := y.putDelivery(t.Context(), &other, d.rev); err != nil {
		t.Fatal(err)
	}
	if over, err := y.circuits.countLostClaim(t.Context(), &d, r); !over || err != nil {
		t.Errorf("lose of a claim that another took = %v, %v; want true, nil", over, err)
	}
	if now := y.delivery(r, d.Event); now.LostClaims != 0 || now.Claim != other.Claim {
		t.Errorf("crashes %d, claim %d; want 0, %d", now.LostClaims, now.Claim, other.Claim)
	}
}
