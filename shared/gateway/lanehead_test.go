package gateway

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ringback/shared/circuit"
	"ringback/shared/message"
	"ringback/shared/provider"
	"ringback/shared/storage"
	"ringback/shared/test/proofs"
)

// TestClaimedLaneIsItsNewRunners hands out lanes that a runner was busy with, or
// not.
func TestClaimedLaneIsItsNewRunners(t *testing.T) {
	now := time.UnixMilli(1_800_000_000_000)
	for _, busy := range []bool{true, false} {
		data, err := storage.Encode(lane{Registration: "reg_1", Tenant: "ten_1", Runner: "old", Running: busy, Seq: 7})
		if err != nil {
			t.Fatal(err)
		}
		row, h, tenant, err := claimLane(storage.Row{Key: storage.Key{PK: "L#reg_1#x", SK: "L"}, Data: data}, now.Add(time.Second), now)
		if err != nil {
			t.Fatal(err)
		}
		l, err := storage.Decoded[lane](row)
		doubt := ""
		if busy {
			doubt = laneSortKey(now.Add(-laneSettleTime))
		}
		if err != nil || l.Running || l.Runner == "old" || l.Runner == "" || l.UncertainBefore != doubt || l.Seq != 7 || !row.Due.Equal(now.Add(time.Second+claimTTL)) ||
			h.Kind != message.Lane || h.ID != row.PK || h.Token != l.Runner || tenant != "ten_1" {
			t.Errorf("busy %v: %+v due %v, message %+v, %v", busy, l, row.Due, h, err)
		}
	}
	if _, _, _, err := claimLane(storage.Row{Data: []byte("{")}, now, now); err == nil {
		t.Error("a lane that cannot be read was claimed")
	}
}

// TestLateIsWhatComesAfterALaterOneWasAttempted holds places against what a lane
// knows.
func TestLateIsWhatComesAfterALaterOneWasAttempted(t *testing.T) {
	for _, tt := range []struct {
		last, doubt string
		straggler   bool
		want        bool
	}{
		{"", "", false, false}, {"W#1", "", false, false}, {"W#2", "", true, false}, {"W#3", "", false, true},
		{"", "W#3", false, false}, {"", "W#3", true, true}, {"", "W#2", true, false}, {"", "W#1", true, false},
	} {
		if got := (lane{Last: tt.last, UncertainBefore: tt.doubt}).outOfOrder(laneEntry{LateArrival: tt.straggler}, "W#2"); got != tt.want {
			t.Errorf("last %q, doubt %q, straggler %v: late %v", tt.last, tt.doubt, tt.straggler, got)
		}
	}
}

// TestLaneGoesOnWithoutADeliveryThatIsErased deletes the row of the first while its
// POST is under way.
func TestLaneGoesOnWithoutADeliveryThatIsErased(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		y := newYard(t, FullHistory)
		r := y.register("tenant.example", inOrder)
		var ds []Delivery
		y.answer = func(landed) int {
			if y.made() == 1 {
				if err := y.store.Delete(t.Context(), DeliveryKey(r.ID, ds[0].Event), storage.AnyRev); err != nil {
					t.Error(err)
				}
			}
			return 200
		}
		for range 2 {
			ds = append(ds, y.delivered(r))
			time.Sleep(time.Millisecond)
		}
		y.runLanes(time.Minute)
		if d := y.delivery(r, ds[1].Event); d.Status != Succeeded || y.made() != 2 || y.exists(DeliveryKey(r.ID, ds[0].Event)) {
			t.Errorf("the second is %s after %d POSTs, the first there: %v", d.Status, y.made(), y.exists(DeliveryKey(r.ID, ds[0].Event)))
		}
	})
}

// TestStragglerOfALaneIsMarkedLate has an event come whose time is before that of
// one which was attempted.
func TestStragglerOfALaneIsMarkedLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		y := newYard(t, FullHistory)
		r := y.register("tenant.example", inOrder)
		straggler := y.arrival()
		time.Sleep(time.Second)
		first := y.delivered(r)
		y.runLanes(time.Minute)
		if y.fanOut(1, straggler) {
			t.Fatal(y.said.String())
		}
		y.runLanes(time.Minute)
		if d := y.delivery(r, straggler.ID); !d.OutOfOrder || y.made() != 2 || !y.posts[1].late || y.posts[0].late || y.delivery(r, first.Event).OutOfOrder {
			t.Errorf("the straggler is late: %v; POSTs %+v", d.OutOfOrder, y.posts)
		}
	})
}

// TestPlaceThatCannotBeReadKeepsItsLane finds such a place at the head.
func TestPlaceThatCannotBeReadKeepsItsLane(t *testing.T) {
	y := newYard(t, FullHistory)
	r := y.register("tenant.example", inOrder)
	key := laneEntry{Event: "evt_1", Received: y.Clock()}.key(y.laneOf(r))
	if err := y.store.Put(t.Context(), storage.Row{Key: key, Data: []byte(`{"v":99}`), Rev: storage.NewRev()}, ""); err != nil {
		t.Fatal(err)
	}
	if w, err := y.lanes.head(t.Context(), y.laneOf(r)); err == nil || errors.Is(err, storage.ErrNotFound) {
		t.Errorf("head = %+v, %v; want that it cannot be read", w, err)
	}
}

// TestTickLeavesWhatItCannotReadOrWhatIsNotDue has rows be given to a tick that
// their index should not hold, or that are of another release.
func TestTickLeavesWhatItCannotReadOrWhatIsNotDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		y := newYard(t, FullHistory)
		r := y.register("tenant.example", every(time.Minute))
		d := y.refused(r)
		for name, change := range map[string]func(*storage.Row){
			"not due":           func(r *storage.Row) { r.Due = time.Time{} },
			"due in an hour":    func(r *storage.Row) { r.Due = y.Clock().Add(time.Hour) },
			"of a newer format": func(r *storage.Row) { r.Due, r.Data = y.Clock(), []byte(`{"v":99}`) },
		} {
			row := y.row(d)
			change(&row)
			y.store.written()
			q, m, err := y.retries.claimRow(t.Context(), row, &retryRun{})
			if q != "" || (err != nil) != strings.Contains(name, "format") || len(y.store.written()) > 0 {
				t.Errorf("%s: message %+v, %v", name, m, err)
			}
		}
	})
}

// TestRecoverLeavesWhatWaits has a delivery wait for its time, of which no message
// was lost.
func TestRecoverLeavesWhatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		y := newYard(t, FullHistory)
		r := y.register("tenant.example", every(time.Minute))
		d := y.dueAt(y.refused(r), y.Clock().Add(9*time.Minute), func(d *Delivery) { d.Unacked = 0 })
		y.out.take(storage.RetryQueue)
		y.store.written()
		if err := y.Recover(t.Context()); err != nil {
			t.Fatal(err)
		}
		if hs := y.headers(storage.RetryQueue); len(hs) > 0 || len(y.store.written()) > 0 || y.delivery(r, d.Event).Claim != d.Claim {
			t.Errorf("handed out: %+v, want nothing", hs)
		}
	})
}

// TestRecoverHandsOutWhatWasLostBeforeItsPlace has a delivery wait for its place by
// the rate, of which a message was lost.
func TestRecoverHandsOutWhatWasLostBeforeItsPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		y := newYard(t, FullHistory)
		d := y.dueAt(y.refused(y.register("tenant.example", every(time.Minute))), y.Clock().Add(9*time.Minute), func(d *Delivery) { d.Unacked, d.RateGranted = 1, true })
		y.out.take(storage.RetryQueue)
		if err := y.Recover(t.Context()); err != nil {
			t.Fatal(err)
		}
		if hs := y.headers(storage.RetryQueue); len(hs) != 1 || hs[0].ID != d.ID {
			t.Errorf("handed out: %+v, want %s", hs, d.ID)
		}
	})
}

// TestLaneWaitsForWhatCannotBeWritten has a head whose URL cannot be decrypted.
func TestLaneWaitsForWhatCannotBeWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		y := newYard(t, FullHistory)
		r := y.register("tenant.example", inOrder, func(r *Registration) { r.Endpoint.URL = "none" })
		d := y.delivered(r)
		y.runLanes(30 * time.Second)
		if d := y.delivery(r, d.Event); d.Status != Pending || d.LostClaims != 1 || y.made() > 0 {
			t.Errorf("it is %s (%s), lost %d times, %d POSTs; want it pending, lost once", d.Status, d.Reason, d.LostClaims, y.made())
		}
	})
}

// TestChunkWhoseEventCannotBeReadComesAgain reads the event while the store is away.
func TestChunkWhoseEventCannotBeReadComesAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := &unreadable{}
		y := newYard(t, FullHistory, func(c *Config) { u.Store, c.Store = c.Store, u })
		event := y.delivered(y.register("tenant.example")).Event
		y.put(FanOutKey(event, 1), FanOutRow{IDs: []string{y.register("other.example").ID}})
		key, err := EventKey(event)
		if err != nil {
			t.Fatal(err)
		}
		u.once = key
		chunk := y.message(message.Header{Kind: message.Chunk, Event: event, Chunk: 1})
		if !y.receive(y.FanOut, chunk, 1) || y.made() != 1 {
			t.Errorf("%d POSTs, want the message again before another", y.made())
		}
		if y.receive(y.FanOut, chunk, 2) || y.made() != 2 {
			t.Errorf("%d POSTs, want that of the chunk", y.made())
		}
	})
}

// TestRetryThatWorkersCouldNotSendIsSentByTheNextTick has the queue fail after a
// POST was refused.
func TestRetryThatWorkersCouldNotSendIsSentByTheNextTick(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		y := newYard(t, FullHistory, func(c *Config) { c.SingleProcess = true })
		r := y.register("tenant.example", every(time.Minute))
		y.answer, y.out.broken = refuses, true
		d := y.delivered(r)
		y.out.broken = false
		if hs := y.tick(); len(hs) != 1 || hs[0].ID != d.ID || hs[0].Claim != d.Claim {
			t.Errorf("the tick sent %+v, want the retry of %s", hs, d.ID)
		}
	})
}

// TestLongRoutingKeyIsIndexedByItsDigest is about keys of 200 bytes and one more.
func TestLongRoutingKeyIsIndexedByItsDigest(t *testing.T) {
	at, over := strings.Repeat("k", 200), strings.Repeat("k", 201)
	if got := indexPK("src-1", at); !strings.HasSuffix(got, at) {
		t.Errorf("hintPK of 200 bytes is %s, want the key in it", got)
	}
	if got := indexPK("src-1", over); strings.Contains(got, at) {
		t.Errorf("hintPK of 201 bytes is %s, want a digest", got)
	}
}

// TestEventThatIsNoIDHasNoKey asks for the keys of what is none.
func TestEventThatIsNoIDHasNoKey(t *testing.T) {
	if key, err := NaturalKeyKey("evt_1"); err == nil {
		t.Errorf("NaturalKeyKey = %v, want an error", key)
	}
	if key, err := EventKey("evt_1"); err == nil {
		t.Errorf("EventKey = %v, want an error", key)
	}
	if key := laneKey("reg_1", &provider.Event{Keys: map[string][]string{"group": {"a"}}}); key == laneKey("reg_1", &provider.Event{}) {
		t.Errorf("the lane of a group is that of none: %v", key)
	}
}

// TestDeliveryThatCrashedOnceTooOftenIsNotPosted receives its message for the
// third time without an outcome, while that cannot be written and then when it can.
func TestDeliveryThatCrashedOnceTooOftenIsNotPosted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		y := newYard(t, FullHistory)
		r := y.register("tenant.example", every(time.Minute))
		d := y.dueAt(y.refused(r), y.Clock().Add(time.Minute), func(d *Delivery) { d.LostClaims, d.due = maxLostClaims-1, d.NextAttempt.Add(claimTTL) })
		time.Sleep(time.Minute)
		y.store.set(refuse("D#"))
		if !y.redelivered(d, lostAfterReceives) || y.made() != 1 {
			t.Errorf("%d POSTs, want the message again before another", y.made())
		}
		y.store.set(nil)
		y.redelivered(d, lostAfterReceives)
		if d := y.delivery(r, d.Event); d.Status != Failed || d.Reason != reasonInternal || y.made() != 1 {
			t.Errorf("%s (%s) after %d POSTs, want it failed (%s) after the first", d.Status, d.Reason, y.made(), reasonInternal)
		}
	})
}

// TestTickHandsOutAllThatIsDueInAShard has more be due in most shards than are
// claimed before their messages are sent.
func TestTickHandsOutAllThatIsDueInAShard(t *testing.T) {
	proofs.Long(t)
	const deliveries = 12 * storage.DueShards
	synctest.Test(t, func(t *testing.T) {
		y := newYard(t, FullHistory)
		y.answer = refuses
		for n := range deliveries {
			a := y.arrival()
			a.Recipient = y.register(fmt.Sprintf("n%d.example", n), every(time.Minute)).ID
			if y.fanOut(1, a) {
				t.Fatal(y.said.String())
			}
		}
		time.Sleep(20 * time.Minute)
		if hs := y.tick(); len(hs) != deliveries {
			t.Errorf("%d of %d are handed out", len(hs), deliveries)
		}
	})
}

// TestProbeIsOfOneProcess has two processes know that a circuit may be probed.
func TestProbeIsOfOneProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		y := newYard(t, FullHistory)
		other := y.as(func(*Config) {})
		r := y.register("tenant.example")
		y.put(HealthKey(r.ID), circuit.Health{Open: true, Since: y.Clock().Add(-time.Hour), Interval: time.Minute, ProbeAt: y.Clock()})
		if _, err := other.circuits.health(t.Context(), r.ID); err != nil {
			t.Fatal(err)
		}
		next := y.Clock().Add(time.Minute)
		mine, _, err := y.circuits.admit(t.Context(), &Delivery{Registration: r.ID}, true)
		if err != nil || !mine {
			t.Fatalf("admit = %v, %v, want the probe", mine, err)
		}
		time.Sleep(time.Millisecond)
		if mine, _, err := other.circuits.admit(t.Context(), &Delivery{Registration: r.ID}, true); err != nil || mine {
			t.Errorf("the other's admit = %v, %v, want none", mine, err)
		}
		if h, _, err := storage.Load[circuit.Health](t.Context(), y.store, HealthKey(r.ID)); err != nil || !h.ProbeAt.Equal(next) {
			t.Errorf("the next probe is at %v, %v; want %v, as the first set it", h.ProbeAt, err, next)
		}
	})
}

// TestDeliveryThatMayBeSpentIsNotPostedUnknown cannot read whether a probe failed
// since the whole time of a delivery's schedule went by.
func TestDeliveryThatMayBeSpentIsNotPostedUnknown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := &unreadable{}
		y := newYard(t, FullHistory, func(c *Config) { u.Store, c.Store = c.Store, u })
		r := y.register("tenant.example", every(time.Minute))
		d := y.dueAt(y.refused(r), y.Clock(), func(d *Delivery) {
			d.Created, d.due = d.Created.Add(-30*24*time.Hour), d.NextAttempt.Add(claimTTL)
		})
		y.circuits.healths.Purge()
		u.once = HealthKey(r.ID)
		if !y.redelivered(d, 1) || y.made() != 1 {
			t.Errorf("%d POSTs, want the message again before another", y.made())
		}
	})
}

// unreadable is a Store of which one row cannot be read once.
type unreadable struct {
	storage.Store
	once storage.Key
}

func (u *unreadable) Get(ctx context.Context, keys ...storage.Key) ([]storage.Row, error) {
	if len(keys) == 1 && keys[0] == u.once {
		u.once = storage.Key{}
		return nil, storage.ErrUnavailable
	}
	return u.Store.Get(ctx, keys...)
}
