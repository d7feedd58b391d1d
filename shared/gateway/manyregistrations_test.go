package gateway_test

import (
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"ringback/shared/control"
	"ringback/shared/gateway"
	"ringback/shared/ident"
	"ringback/shared/message"
	"ringback/shared/storage"
	"ringback/shared/test/proofs"
)

// TestEventForManyRegistrationsOverManyListsIsDelivered has one event wanted by
// lists of the match index of every length: no chunk may hold more than a hundred
// registrations, and each must get a delivery. They are copies of one, so their
// sealed URLs cannot be opened: no POST is made. They are 2,532, at full length
// or with -all 100,000.
func TestEventForManyRegistrationsOverManyListsIsDelivered(t *testing.T) {
	proofs.Long(t)
	g := newGateway(t, 0)
	q := &sent{Queue: g.Queue}
	worker := processOf(t, g, &outbox{}, http.StatusOK)
	worker.Queue, g.Queue, worker.Log = q, q, slog.New(slog.DiscardHandler)
	c, source := tenant(t, g)
	like := register(t, g, c, source)
	lists := map[string]int{"*": 1_101, "d*": 1, "de*": 99, "del*": 100, "deli*": 101, "deliv*": 1_000, "delive*": 0, "delivered": 130}
	if proofs.Full() {
		lists["*"], lists["deliv*"], lists["delivered"] = 48_101, 40_000, 11_598
	}
	wanted := map[string]bool{like.ID: true}
	var writing errgroup.Group
	writing.SetLimit(64)
	for pattern, n := range lists {
		if err := g.Publish(t.Context(), source, gateway.IndexEntry{RoutingKey: "*", Pattern: pattern}); err != nil {
			t.Fatal(err)
		}
		for range n {
			r := like
			r.ID, r.EventTypes = ident.New("reg", time.Now()), []string{pattern}
			wanted[r.ID] = true
			writing.Go(func() error {
				if err := storage.Put(t.Context(), g.Store, gateway.IndexKey(source, "*", pattern, r.ID), gateway.Link{ID: r.ID}, ""); err != nil {
					return err
				}
				return storage.Put(t.Context(), g.Store, gateway.RegistrationKey(r.ID), r, "")
			})
		}
	}
	if err := writing.Wait(); err != nil {
		t.Fatal(err)
	}
	report(t, g, source, "delivered")
	_, events, err := message.Read(q.bodies[0])
	if err != nil || len(events) != 1 {
		t.Fatalf("the message: %d events, %v", len(events), err)
	}
	for ms := q.received(); len(ms) > 0; ms = q.received() {
		for batch := range slices.Chunk(ms, 10) { // as a queue hands them out
			if again, err := worker.FanOut(t.Context(), batch); err != nil || len(again) > 0 {
				t.Fatalf("fan-out: %v again, %v", again, err)
			}
		}
	}
	for n := 0; ; n++ {
		list, _, err := storage.Load[gateway.FanOutRow](t.Context(), g.Store, gateway.FanOutKey(events[0].ID, n))
		if err != nil {
			if n < len(wanted)/100 {
				t.Errorf("chunk %d: %v, want at least %d", n, err, len(wanted)/100)
			}
			break
		}
		if len(list.IDs) > 100 {
			t.Errorf("chunk %d is of %d registrations, want at most 100", n, len(list.IDs))
		}
		for _, id := range list.IDs {
			if !wanted[id] {
				t.Errorf("chunk %d: %s stands in two chunks, or nobody made it", n, id)
			}
			delete(wanted, id)
			if _, err := worker.LoadDelivery(t.Context(), ident.Delivery(id, events[0].ID)); err != nil {
				t.Errorf("%s has no delivery: %v", id, err)
			}
		}
	}
	if len(wanted) > 0 {
		t.Errorf("%d registrations are in no chunk", len(wanted))
	}
}

// TestFindHonoursItsLimitWhereverAListEnds pages through lists that end at, before
// and after the limit.
func TestFindHonoursItsLimitWhereverAListEnds(t *testing.T) {
	g := newGateway(t, 0)
	c, source := tenant(t, g)
	like := register(t, g, c, source)
	all := []string{like.ID}
	for _, pattern := range []string{"d*", "d*", "de*", "de*", "de*", "delivered"} {
		id := ident.New("reg", time.Now())
		if _, _, err := control.New(g).CreateRegistration(t.Context(), c, id, source, control.RegistrationChange{
			URL: ptrTo("https://tenant.example/"), EventTypes: &[]string{pattern},
		}); err != nil {
			t.Fatal(err)
		}
		all = append(all, id)
	}
	for limit := 1; limit <= len(all)+1; limit++ {
		found := map[string]int{}
		pages := gateway.FindAll(t, g, source, "delivered", limit)
		for _, ids := range pages {
			if len(ids) > limit || len(ids) < limit && len(found)+len(ids) < len(all) {
				t.Errorf("limit %d: pages %v", limit, pages)
			}
			for _, id := range ids {
				found[id]++
			}
		}
		for _, id := range all {
			if found[id] != 1 {
				t.Errorf("limit %d: %s is found %d times: %s", limit, id, found[id], strings.ReplaceAll(fmt.Sprint(pages), "reg_", ""))
			}
		}
	}
}

func ptrTo[T any](v T) *T { return &v }
