package gateway

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"ringback/shared/circuit"
	"ringback/shared/ident"
	"ringback/shared/message"
	"ringback/shared/storage"
	"ringback/shared/test/proofs"
)

// An outage is a Store that fails from its n-th call on until it is ended, or, if
// it is brief, in that call alone.
type outage struct {
	storage.Store
	mu    sync.Mutex
	armed bool
	left  int // calls before it
	brief bool
	met   bool
}

// begin arms it anew.
func (o *outage) begin(after int, brief bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.left, o.brief, o.armed, o.met = after, brief, true, false
}

func (o *outage) down() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case !o.armed:
		return nil
	case o.left > 0:
		o.left--
		return nil
	}
	o.met, o.armed = true, !o.brief
	return storage.ErrUnavailable
}

// lasts is down for a call that is made so often that it does not count.
func (o *outage) lasts() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.armed && o.met {
		return storage.ErrUnavailable
	}
	return nil
}

// end ends it if it began, and reports whether it did.
func (o *outage) end() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.armed = o.armed && !o.met
	return o.met
}

func (o *outage) Get(ctx context.Context, keys ...storage.Key) ([]storage.Row, error) {
	if err := o.down(); err != nil {
		return nil, err
	}
	return o.Store.Get(ctx, keys...)
}

func (o *outage) Put(ctx context.Context, r storage.Row, was string) error {
	if err := o.down(); err != nil {
		return err
	}
	return o.Store.Put(ctx, r, was)
}

func (o *outage) Delete(ctx context.Context, k storage.Key, was string) error {
	if err := o.down(); err != nil {
		return err
	}
	return o.Store.Delete(ctx, k, was)
}

func (o *outage) List(ctx context.Context, q storage.Query) (storage.Page, error) {
	if err := o.down(); err != nil {
		return storage.Page{}, err
	}
	return o.Store.List(ctx, q)
}

func (o *outage) Due(ctx context.Context, shard int, until time.Time, after string, limit int) ([]storage.DueRow, string, error) {
	if err := o.lasts(); err != nil {
		return nil, "", err
	}
	return o.Store.Due(ctx, shard, until, after, limit)
}

// work has the gateway receive what was sent, as queues hand it out, and hand out
// what is due, each minute, until done. o ends with the call that it strikes.
func (y *yard) work(o *outage, done func() bool, lossy bool) error {
	y.Helper()
	type letter struct {
		storage.Message
		q  storage.QueueName
		at time.Time
		n  int
	}
	var letters []letter
	tick := time.Now()
	for end := tick.Add(6 * time.Hour); !done(); {
		now := time.Now()
		if now.After(end) {
			return errors.New("not done in 6 h")
		}
		for _, q := range []storage.QueueName{storage.EventsQueue, storage.RetryQueue, storage.SlowQueue} {
			for _, m := range y.out.take(q) {
				letters = append(letters, letter{m, q, now.Add(m.Delay), 0})
			}
		}
		if !now.Before(tick) {
			y.Retry(y.Context())
			o.end()
			tick = now.Add(time.Minute)
			continue
		}
		slices.SortStableFunc(letters, func(a, b letter) int { return a.at.Compare(b.at) })
		if len(letters) == 0 || letters[0].at.After(now) {
			next := tick
			if len(letters) > 0 && letters[0].at.Before(tick) {
				next = letters[0].at
			}
			time.Sleep(next.Sub(now))
			continue
		}
		l := letters[0]
		letters = letters[1:]
		l.n++
		ctx, cancel := context.WithTimeout(y.Context(), time.Minute)
		receipts, err := y.Handlers()[l.q](ctx, []storage.Received{{Body: l.Body, Receipt: "1", Receives: l.n}})
		cancel()
		o.end()
		if lossy {
			y.out.take(storage.RetryQueue)
		}
		if err != nil || len(receipts) > 0 {
			if l.n == 5 {
				return errors.New("a dead letter")
			}
			l.at = now.Add(3 * time.Minute)
			letters = append(letters, l)
		}
	}
	return nil
}

// A passage is events that come at once, and whether they got where they should.
type passage func() (as []message.InboundEvent, done func() bool)

// TestNothingIsLostByAnOutageAtAnyCall has each call of the Store fail that an
// event needs on its way, alone or with all that follow until the call of the
// gateway returns. At full length it is each call, else each fourth.
func TestNothingIsLostByAnOutageAtAnyCall(t *testing.T) {
	proofs.Long(t)
	for _, tt := range []struct {
		name    string
		history History
		begin   func(*yard) passage
		lossy   bool // what workers send is lost, but for events, and left to the tick
	}{
		{"deliveries of each kind", FullHistory, eachKind, false},
		{"deliveries of each kind, history of failures", FailureHistory, eachKind, false},
		{"a lane", FullHistory, oneLane, false},
		{"chunks", FullHistory, chunks, false},
		{"deliveries of each kind, by the tick", FullHistory, eachKind, true},
		{"behind an open circuit", FullHistory, openCircuit, false},
		{"behind an open circuit, history of failures", FailureHistory, openCircuit, false},
		{"behind an open circuit, by the tick", FullHistory, openCircuit, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				o := &outage{}
				y := newYard(t, tt.history, func(c *Config) { o.Store, c.Store = c.Store, o })
				pass := tt.begin(y)
				for n, met := 0, true; met; n += proofs.Length(16, 6, 1) {
					met = false
					for _, brief := range []bool{true, false} {
						as, done := pass()
						body, err := message.PackOne(as)
						if err != nil {
							t.Fatal(err)
						}
						y.out.Send(t.Context(), storage.EventsQueue, []storage.Message{{Body: body}})
						o.begin(n, brief)
						if err := y.work(o, done, tt.lossy); err != nil {
							t.Fatalf("outage at call %d, brief %v: %v: %s", n, brief, err, y.said.String())
						}
						met = o.end() || met
						o.begin(1<<30, true)                                     // never
						if err := y.Publish(t.Context(), y.source); err != nil { // all that is known is read anew
							t.Fatal(err)
						}
						time.Sleep(10 * time.Minute)
					}
				}
			})
		})
	}
}

// ended reports whether the delivery of e for r stands there as status, and e is
// kept for it no more.
func (y *yard) ended(r *Registration, e string, status Status) bool {
	y.Helper()
	d, err := y.LoadDelivery(y.Context(), ident.Delivery(r.ID, e))
	if err != nil || d.Status != status {
		return false
	}
	er, _ := y.event(e)
	return !slices.Contains(er.Unfinished, r.ID)
}

// refusesNext answers the next POST to host with 500.
func (y *yard) refusesNext(host string) {
	refused := false
	y.answer = func(p landed) int {
		if p.host == host && !refused {
			refused = true
			return 500
		}
		return 200
	}
}

func (y *yard) postsTo(host string) (n int) {
	y.mu.Lock()
	defer y.mu.Unlock()
	for _, p := range y.posts {
		if p.host == host {
			n++
		}
	}
	return n
}

// eachKind has an event come for endpoints of each kind.
func eachKind(y *yard) passage {
	plain, ordered := y.register("plain.example"), y.register("ordered.example", inOrder)
	held, failing := y.register("held.example", disabled), y.register("failing.example", every(time.Minute))
	return func() ([]message.InboundEvent, func() bool) {
		a, before := y.arrival(), y.postsTo("plain.example")
		y.refusesNext("failing.example")
		return []message.InboundEvent{a}, func() bool {
			return y.postsTo("plain.example") > before && (y.history == FailureHistory || y.ended(plain, a.ID, Succeeded)) &&
				y.ended(held, a.ID, Held) && y.ended(ordered, a.ID, Succeeded) && y.ended(failing, a.ID, Succeeded)
		}
	}
}

// oneLane has three events come for one lane, whose first attempt is refused.
func oneLane(y *yard) passage {
	r := y.register("ordered.example", inOrder, every(time.Minute))
	return func() ([]message.InboundEvent, func() bool) {
		as := []message.InboundEvent{y.arrival(), y.arrival(), y.arrival()}
		y.refusesNext("ordered.example")
		return as, func() bool {
			return !slices.ContainsFunc(as, func(a message.InboundEvent) bool { return !y.ended(r, a.ID, Succeeded) })
		}
	}
}

// chunks has an event come for more registrations than one message names.
func chunks(y *yard) passage {
	var rs []*Registration
	for i := range maxInlineRegistrations + 1 {
		rs = append(rs, y.register(fmt.Sprintf("n%d.example", i)))
	}
	return func() ([]message.InboundEvent, func() bool) {
		a := y.arrival()
		return []message.InboundEvent{a}, func() bool {
			return !slices.ContainsFunc(rs, func(r *Registration) bool { return !y.ended(r, a.ID, Succeeded) })
		}
	}
}

// openCircuit has two events come for an endpoint whose circuit is open, which
// accepts again.
func openCircuit(y *yard) passage {
	r := y.register("tenant.example")
	return func() ([]message.InboundEvent, func() bool) {
		now, as := y.Clock(), []message.InboundEvent{y.arrival(), y.arrival()}
		y.put(HealthKey(r.ID), circuit.Health{Open: true, Since: now, Interval: time.Minute, ProbeAt: now.Add(time.Minute)})
		y.circuits.healths.Purge()
		return as, func() bool {
			return !slices.ContainsFunc(as, func(a message.InboundEvent) bool { return !y.ended(r, a.ID, Succeeded) })
		}
	}
}
