package gateway

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ringback/shared/circuit"
	"ringback/shared/message"
	"ringback/shared/storage"
)

// behindACircuit returns two deliveries of r that failed once and are due. The
// circuit of r is open, and its next probe is an hour away.
func (y *yard) behindACircuit(r *Registration, change func(*Delivery)) (ds []Delivery) {
	y.Helper()
	for range 2 {
		ds = append(ds, y.dueAt(y.refused(r), y.Clock(), change))
	}
	y.put(HealthKey(r.ID), circuit.Health{Open: true, Since: y.Clock(), ProbeFailed: y.Clock(), Interval: time.Hour, ProbeAt: y.Clock().Add(time.Hour)})
	y.circuits.healths.Purge()
	return ds
}

// TestProbeEndsWhatIsSpent has the whole time of two deliveries' schedule be over, and
// a third one's not, while each probe fails.
func TestProbeEndsWhatIsSpent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		y := newYard(t, FullHistory)
		y.answer = refuses
		r := y.register("tenant.example", every(time.Hour, time.Hour))
		var ds []Delivery
		for n := range 3 {
			time.Sleep(time.Second)
			d := y.parkedBehind(r, 1)[0]
			if n < 2 {
				d.Created = d.Created.Add(-30 * 24 * time.Hour)
				if err := y.putDelivery(t.Context(), &d, d.rev); err != nil {
					t.Fatal(err)
				}
			}
			ds = append(ds, d)
		}
		y.alterHealth(r, func(h circuit.Health) circuit.Health {
			h.ProbeFailed, h.OldestParked = y.Clock(), ds[0].Event
			return h
		})
		made := y.made()
		ended := func(d Delivery) bool { now := y.delivery(r, d.Event); return now.Final() }
		err := y.work(&outage{}, func() bool { return ended(ds[0]) && ended(ds[1]) }, false)
		if err != nil {
			t.Fatalf("what is spent does not end: %v: %s", err, y.said.String())
		}
		for _, d := range ds[:2] {
			if d := y.delivery(r, d.Event); d.Status != Failed || d.Reason != reasonExhausted || d.Attempts != 0 {
				t.Errorf("what is spent is %s (%s) after %d attempts, want it exhausted without", d.Status, d.Reason, d.Attempts)
			}
		}
		d := y.delivery(r, ds[2].Event)
		if y.made() != made+1 || d.Attempts != 1 || !d.Parked() || d.NextAttempt.Sub(d.Last.At) < 48*time.Minute {
			t.Errorf("%d POSTs, %d of what is not spent, which is parked %v until %v; want one, and it parked until an hour after", y.made()-made, d.Attempts, d.Parked(), d.NextAttempt)
		}
		if n := strings.Count(y.said.String(), `"outcome":"exhausted"`); n != 2 {
			t.Errorf("%d ends in the log, want two: %s", n, y.said.String())
		}
	})
}

// TestNothingStaysParkedForWhatIsGone has the registration of what is parked be
// unreadable, and then disabled or gone.
func TestNothingStaysParkedForWhatIsGone(t *testing.T) {
	for want, end := range map[Status]func(*yard, *Registration) error{
		Held: func(y *yard, r *Registration) error { r.State = Disabled; y.alter(r); return nil },
		Cancelled: func(y *yard, r *Registration) error {
			return errors.Join(y.store.Delete(y.Context(), RegistrationKey(r.ID), storage.AnyRev), y.Publish(y.Context(), y.source))
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			u := &unreadable{}
			y := newYard(t, FullHistory, func(c *Config) { u.Store, c.Store = c.Store, u })
			r := y.register("tenant.example", every(time.Minute))
			ds := y.behindACircuit(r, func(*Delivery) {})
			y.tick()
			for _, d := range ds {
				y.redelivered(y.delivery(r, d.Event), 1)
			}
			y.alter(r)
			u.once = RegistrationKey(r.ID)
			if !y.receive(y.RedeliverSlow, y.message(message.Header{Kind: message.Probe, ID: r.ID}), 1) {
				t.Error("a probe that cannot read the registration is done, want it again")
			}
			if err := end(y, r); err != nil {
				t.Fatal(err)
			}
			is := func(d Delivery) bool { return y.delivery(r, d.Event).Status == want }
			if err := y.work(&outage{}, func() bool { return is(ds[0]) && is(ds[1]) }, false); err != nil {
				t.Errorf("%s: %v: %s", want, err, y.said.String())
			}
		})
	}
}

// TestTickSaysThatDueRowsCannotBeRead has the store fail between the index and the
// rows.
func TestTickSaysThatDueRowsCannotBeRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := &unreadable{}
		y := newYard(t, FullHistory, func(c *Config) { u.Store, c.Store = c.Store, u })
		r := y.register("tenant.example", every(time.Minute))
		u.once = DeliveryKey(r.ID, y.refused(r).Event)
		if n, err := y.retries.claimAndEnqueue(t.Context(), []storage.DueRow{{Key: u.once}}, &retryRun{}); n != 0 || !errors.Is(err, storage.ErrUnavailable) {
			t.Errorf("handOut = %d, %v; want %v", n, err, storage.ErrUnavailable)
		}
	})
}

// pagesOf is a Store that lists some rows a page.
type pagesOf struct {
	storage.Store
	rows int
}

func (p *pagesOf) List(ctx context.Context, q storage.Query) (storage.Page, error) {
	q.Limit = p.rows
	return p.Store.List(ctx, q)
}

// TestListOfRegistrationsIsReadPageByPage has three registrations come on two pages.
func TestListOfRegistrationsIsReadPageByPage(t *testing.T) {
	p := &pagesOf{rows: 2}
	y := newYard(t, FullHistory, func(c *Config) { p.Store, c.Store = c.Store, p })
	var want []string
	for range 3 {
		want = append(want, y.register("tenant.example").ID)
	}
	slices.Sort(want)
	v, err := y.attempter.matcher.Generation(t.Context(), y.source)
	if err != nil {
		t.Fatal(err)
	}
	if got, more, err := y.attempter.matcher.posting(t.Context(), v, y.source, IndexEntry{RoutingKey: "*", Pattern: "*"}, ""); !slices.Equal(got, want) || more || err != nil {
		t.Errorf("list = %v, more %v, %v; want %v", got, more, err, want)
	}
}
