package gateway

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"ringback/shared/circuit"
	"ringback/shared/storage"
)

// behindACircuit returns two deliveries of r that failed once and are due. The
// circuit of r is open, and its next probe is an hour away.
func (y *yard) behindACircuit(r *Registration, change func(*Delivery)) (ds []Delivery) {
	y.Helper()
	for range 2 {
		ds = append(ds, y.dueAt(y.refused(r), y.Clock(), change))
	}
	y.put(HealthKey(r.ID), circuit.Health{Open: true, Since: y.Clock(), Probed: y.Clock(), Interval: time.Hour, ProbeAt: y.Clock().Add(time.Hour)})
	y.circuits.healths.Purge()
	return ds
}

// TestTickEndsWhatIsSpentAndTellsByOne has the whole time of two deliveries'
// schedule be over, and a probe have failed since.
func TestTickEndsWhatIsSpentAndTellsByOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		y := newYard(t, FullHistory)
		r := y.register("tenant.example", every(time.Minute))
		ds := y.behindACircuit(r, func(d *Delivery) { d.Created = d.Created.Add(-30 * 24 * time.Hour) })
		hs, ended := y.tick(), 0
		for _, d := range ds {
			if d := y.delivery(r, d.Event); d.Status == Failed && d.Why == whyExhausted {
				ended++
			} else if d.Status != Pending || len(hs) != 1 || hs[0].ID != d.ID {
				t.Errorf("%s is %s (%s), handed out %+v", d.ID, d.Status, d.Why, hs)
			}
		}
		if ended != 1 || len(hs) != 1 {
			t.Errorf("%d ended, handed out %+v; want one each", ended, hs)
		}
	})
}

// TestWhatIsBehindTheCircuitOfNoRegistrationGoesToAWorker has the registration be
// unreadable, and then gone.
func TestWhatIsBehindTheCircuitOfNoRegistrationGoesToAWorker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := &unreadable{}
		y := newYard(t, FullHistory, func(c *Config) { u.Store, c.Store = c.Store, u })
		r := y.register("tenant.example", every(time.Minute))
		d := y.behindACircuit(r, func(*Delivery) {})[0]
		y.alter(r)
		u.once = RegistrationKey(r.ID)
		y.store.written()
		if q, m, err := y.retries.handOutRow(t.Context(), y.row(d), &tick{}); q != "" || !errors.Is(err, storage.ErrUnavailable) || len(y.store.written()) > 0 {
			t.Errorf("its registration cannot be read: message %+v, %v; want it left", m, err)
		}
		if err := errors.Join(y.store.Delete(t.Context(), RegistrationKey(r.ID), storage.AnyRev), y.Publish(t.Context(), y.source)); err != nil {
			t.Fatal(err)
		}
		if q, m, err := y.retries.handOutRow(t.Context(), y.row(d), &tick{}); q != storage.RetryQueue || err != nil {
			t.Errorf("its registration is gone: message %+v, %v; want one", m, err)
		}
	})
}

// TestTickSaysThatDueRowsCannotBeRead has the store fail between the index and the
// rows.
func TestTickSaysThatDueRowsCannotBeRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := &unreadable{}
		y := newYard(t, FullHistory, func(c *Config) { u.Store, c.Store = c.Store, u })
		r := y.register("tenant.example", every(time.Minute))
		u.once = DeliveryKey(r.ID, y.refused(r).Event)
		if n, err := y.retries.handOut(t.Context(), []storage.DueRow{{Key: u.once}}, &tick{}); n != 0 || !errors.Is(err, storage.ErrUnavailable) {
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
	v, err := y.attempter.find.VersionOf(t.Context(), y.source)
	if err != nil {
		t.Fatal(err)
	}
	if got, more, err := y.attempter.find.list(t.Context(), v, y.source, Hint{RoutingKey: "*", Pattern: "*"}, ""); !slices.Equal(got, want) || more || err != nil {
		t.Errorf("list = %v, more %v, %v; want %v", got, more, err, want)
	}
}
