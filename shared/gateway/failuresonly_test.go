package gateway

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"ringback/shared/ident"
	"ringback/shared/message"
	"ringback/shared/storage"
	"ringback/shared/test/proofs"
)

// TestThinEventLeavesRowsFromTheSecondReceiveOn has events of a source with a
// history of failures accepted at once.
func TestThinEventLeavesRowsFromTheSecondReceiveOn(t *testing.T) {
	proofs.Long(t)
	for _, tt := range []struct {
		name     string
		receives int
		again    bool
		unique   bool
		rows     bool
	}{
		{"first receive", 1, false, false, false},
		{"first receive of what cannot be a repeat", 1, false, true, false},
		{"second receive", 2, false, false, true},
		{"second receive of what cannot be a repeat", 2, false, true, true},
		{"third receive", 3, false, true, true},
		{"first receive of what was sent again", 1, true, false, true},
		{"first receive of what was sent again and cannot be a repeat", 1, true, true, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				y := newYard(t, FailureHistory)
				r := y.register("tenant.example")
				a := y.arrival()
				a.Repeated, a.NoNaturalKey = tt.again, tt.unique
				if y.fanOut(tt.receives, a) || y.made() != 1 {
					t.Fatalf("%d POSTs, want one", y.made())
				}
				key, _ := EventKey(a.ID)
				if got := y.exists(DeliveryKey(r.ID, a.ID)); got != tt.rows {
					t.Errorf("a row of the delivery: %v, want %v", got, tt.rows)
				}
				if got, want := y.exists(key), tt.rows || !tt.unique; got != want {
					t.Errorf("a row of the event: %v, want %v", got, want)
				}
			})
		})
	}
}

// TestEventIsThinOnlyIfItsSourceKeepsFailuresAlone asks for events of each kind.
func TestEventIsThinOnlyIfItsSourceKeepsFailuresAlone(t *testing.T) {
	for _, tt := range []struct {
		name    string
		history History
		change  func(*message.InboundEvent)
		long    bool
		want    bool
	}{
		{"history of failures", FailureHistory, func(*message.InboundEvent) {}, false, true},
		{"whole history", FullHistory, func(*message.InboundEvent) {}, false, false},
		{"more registrations than its row names", FailureHistory, func(*message.InboundEvent) {}, true, false},
		{"begun before", FailureHistory, func(a *message.InboundEvent) { a.Repeated = true }, false, false},
		{"one of our own", FailureHistory, func(a *message.InboundEvent) { a.Recipient = "reg_x" }, false, false},
		{"unreadable", FailureHistory, func(a *message.InboundEvent) { a.Unreadable = true }, false, false},
		{"its source is gone", FailureHistory, func(a *message.InboundEvent) { a.Source = "src-00000000" }, false, false},
	} {
		y := newYard(t, tt.history)
		a := y.arrival()
		tt.change(&a)
		if got, err := y.fanOuts.matcher.failuresOnly(t.Context(), a, tt.long); got != tt.want || err != nil {
			t.Errorf("%s: thin = %v, %v; want %v", tt.name, got, err, tt.want)
		}
	}
}

// singles returns the messages of the events queue.
func (y *yard) singles() (as []message.InboundEvent, delays []time.Duration) {
	y.Helper()
	for _, m := range y.out.take(storage.EventsQueue) {
		_, got, err := message.Read(m.Body)
		if err != nil || len(got) != 1 {
			y.Fatalf("a message of %d events, %v; want one", len(got), err)
		}
		as, delays = append(as, got[0]), append(delays, m.Delay)
	}
	return as, delays
}

// TestEventThatIsSentAgainSaysSo takes messages apart: because of one event that
// could not be finished, one that another run has, and at the third receive.
func TestEventThatIsSentAgainSaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		y := newYard(t, FullHistory)
		y.register("tenant.example")
		as := []message.InboundEvent{y.arrival(), y.arrival(), y.arrival()}
		for i := range as {
			as[i].Token = as[0].Token
		}
		other := newEventRow(as[2], nil, false, "another.1", y.Clock().Add(10*time.Minute))
		if _, _, err := y.claimEvent(t.Context(), as[2], other, false); err != nil {
			t.Fatal(err)
		}
		key, _ := EventKey(as[0].ID)
		y.store.set(refuse(key.PK + " " + key.SK))
		if y.fanOut(1, as...) {
			t.Error("the message comes again though those that are left were sent")
		}
		sent, delays := y.singles()
		if len(sent) != 2 || sent[0].ID != as[0].ID || sent[1].ID != as[2].ID || !sent[0].Repeated || !sent[1].Repeated {
			t.Errorf("sent %+v; want the first and the last, again", sent)
		}
		if want := []time.Duration{0, 10 * time.Minute}; !slices.Equal(delays, want) {
			t.Errorf("delays %v, want %v: none, and the lease of the run that has it", delays, want)
		}
		y.store.set(nil)
		fresh := []message.InboundEvent{y.arrival(), y.arrival()}
		if posts := y.made(); y.fanOut(3, fresh...) || y.made() != posts {
			t.Error("at the third receive the message comes again, or something was POSTed")
		}
		sent, delays = y.singles()
		if len(sent) != 2 || !sent[0].Repeated || !sent[1].Repeated || delays[0]+delays[1] != 0 {
			t.Errorf("at the third receive sent %+v after %v; want both, again, at once", sent, delays)
		}
		if y.fanOut(2, fresh...) || y.made() != 3 {
			t.Errorf("%d POSTs after the second receive, want 3", y.made())
		}
	})
}

// chunk stores an event for the registrations, and returns the message of its only
// chunk.
func (y *yard) chunk(rs ...*Registration) (event, body string) {
	y.Helper()
	a := y.arrival()
	list := FanOutRow{Type: a.Type, Received: a.Received}
	for _, r := range rs {
		list.IDs = append(list.IDs, r.ID)
	}
	if _, _, err := y.claimEvent(y.Context(), a, newEventRow(a, nil, true, y.newRunID(), y.Clock()), false); err != nil {
		y.Fatal(err)
	}
	y.put(FanOutKey(a.ID, 0), list)
	return a.ID, y.message(message.Header{Kind: message.Chunk, Source: y.source, Event: a.ID})
}

// TestChunkThatTwoRunsHaveIsPostedOnce has a second run get a chunk while the
// first waits for answers, and others when that has ended.
func TestChunkThatTwoRunsHaveIsPostedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		y := newYard(t, FullHistory)
		y.answer = func(landed) int { time.Sleep(10 * time.Second); return 200 }
		first, second := y.register("a.example"), y.register("b.example")
		_, body := y.chunk(first, second)
		var wg sync.WaitGroup
		wg.Go(func() {
			if y.receive(y.FanOut, body, 1) {
				t.Error("the first run failed")
			}
		})
		time.Sleep(5 * time.Second)
		if !y.receive(y.FanOut, body, 2) {
			t.Error("the second run has the chunk too, want it busy")
		}
		wg.Wait()
		if y.made() != 2 {
			t.Errorf("%d POSTs, want one for each of two registrations", y.made())
		}
		time.Sleep(maxLease + leaseMargin)
		if y.receive(y.FanOut, body, 3) || y.made() != 2 {
			t.Errorf("after the lease: %d POSTs, want no more, and the message finished", y.made())
		}
	})
}

// TestChunkWhoseEventIsGoneFailsItsDeliveries takes away the row of an event
// before its chunk is delivered.
func TestChunkWhoseEventIsGoneFailsItsDeliveries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		y := newYard(t, FullHistory)
		first, second := y.register("a.example"), y.register("b.example")
		stranger := &Registration{ID: ident.New("reg", y.Clock())}
		event, body := y.chunk(first, stranger, second)
		key, _ := EventKey(event)
		if err := y.store.Delete(t.Context(), key, storage.AnyRev); err != nil {
			t.Fatal(err)
		}
		if y.receive(y.FanOut, body, 1) {
			t.Errorf("the message comes again: %s", y.said.String())
		}
		for _, r := range []*Registration{first, second} {
			if d := y.delivery(r, event); d.Status != Failed || d.Reason != reasonExpired || d.EventType != "group_chat" || d.Received.IsZero() {
				t.Errorf("%s: %s because of %q, of %s at %v; want it failed, %s", r.ID, d.Status, d.Reason, d.EventType, d.Received, reasonExpired)
			}
		}
		if y.exists(DeliveryKey(stranger.ID, event)) {
			t.Error("a registration that is gone has a delivery")
		}
		if n := strings.Count(y.said.String(), `"outcome":"payload_expired"`); n != 2 || y.counted(Expired) != 2 {
			t.Errorf("%d lines and %v counted, want 2 and 2", n, y.counted(Expired))
		}
		told, _ := y.singles()
		for i, r := range []*Registration{first, second} {
			if len(told) != 2 || told[i].Type != deliveryExhausted || !strings.Contains(string(told[i].Payload), r.ID) {
				t.Fatalf("told %+v; want %s of each", told, deliveryExhausted)
			}
		}
		if y.made() != 0 {
			t.Errorf("%d POSTs, want none", y.made())
		}
	})
}

// TestBegunEventIsJudgedByTokenAndLease asks for one run what to do about an event
// that another began.
func TestBegunEventIsJudgedByTokenAndLease(t *testing.T) {
	for _, tt := range []struct {
		token, run string
		lease      time.Duration
		alone      bool
		want       claimResult
	}{
		{"other", "p.1", time.Hour, false, duplicate},
		{"other", "p.1", -time.Hour, true, duplicate},
		{"mine", "q.1", time.Hour, false, claimedByOther},
		{"mine", "q.1", 1, false, claimedByOther},
		{"mine", "q.1", 0, false, resumed},
		{"mine", "q.1", -1, false, resumed},
		{"mine", "q.1", maxEventLease, false, claimedByOther},
		{"mine", "q.1", maxEventLease + 1, false, resumed},
		{"mine", "p.2", time.Hour, false, resumed},
		{"mine", "p.1", time.Hour, false, claimedByOther},
		{"mine", "p.1", time.Hour, true, claimedByOther},
		{"mine", "q.1", time.Hour, true, resumed},
	} {
		er := EventRow{Token: tt.token, Run: tt.run, Lease: noon.Add(tt.lease)}
		if got := er.checkClaim("mine", "p.2", noon, tt.alone); got != tt.want {
			t.Errorf("judge of token %s and run %s for %v, alone %v = %v, want %v", tt.token, tt.run, tt.lease, tt.alone, got, tt.want)
		}
	}
}

// TestResumedEventKeepsItsFirstMatch has a run end before it delivered to one of
// two registrations, of which the match then changes.
func TestResumedEventKeepsItsFirstMatch(t *testing.T) {
	for _, h := range []History{FullHistory, FailureHistory} {
		t.Run(fmt.Sprintf("history %q", h), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				y := newYard(t, h)
				first := y.register("a.example")
				a := y.arrival()
				if _, _, err := y.claimEvent(t.Context(), a, newEventRow(a, []string{first.ID}, false, "dead.1", y.Clock().Add(time.Minute)), h == FailureHistory); err != nil {
					t.Fatal(err)
				}
				y.register("b.example")
				if !y.fanOut(2, a) || y.made() != 0 {
					t.Error("an event that another run has was not busy")
				}
				time.Sleep(time.Minute)
				if y.fanOut(3, a) || y.made() != 1 {
					t.Errorf("%d POSTs after the lease, want the one of the first match", y.made())
				}
				if _, row := y.event(a.ID); string(row.Body) != string(a.Payload) {
					t.Errorf("payload %q, want %q", row.Body, a.Payload)
				}
				time.Sleep(maxLease + leaseMargin)
				if y.fanOut(4, a) || y.made() != 1 {
					t.Errorf("%d POSTs after a further receive, want no more", y.made())
				}
			})
		})
	}
}
