package gateway_test

import (
	"testing"
	"testing/synctest"
	"time"

	"ringback/shared/egress"
	"ringback/shared/gateway"
	"ringback/shared/provider"
)

// TestEventThatWaitedForRoomGoesByWhatIsKnownThen disables a registration while
// its event waits for room in the process.
func TestEventThatWaitedForRoomGoesByWhatIsKnownThen(t *testing.T) {
	for _, disable := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			g, out, tenants := newGateway(t, 0), &outbox{}, &accepting{}
			worker := &gateway.Gateway{
				Store: g.Store, Queue: out, Keys: g.Keys, Providers: provider.All(), PublicURL: g.PublicURL,
				Egress: &egress.Client{Transport: tenants},
			}
			c, path := smartBots(t, g)
			r := register(t, g, c, path.source)
			leave := gateway.FillRoom(worker)
			go func() {
				time.Sleep(5 * time.Second)
				if disable {
					if _, err := g.DisableRegistration(t.Context(), c, r.ID); err != nil {
						t.Error(err)
					}
				}
				time.Sleep(5 * time.Second)
				leave()
			}()
			out.pass(t, worker, path)
			ds, _, err := g.Deliveries(t.Context(), c, gateway.HistoryQuery{Registration: r.ID})
			if err != nil || len(ds) != 1 {
				t.Fatalf("deliveries %+v, %v, want one", ds, err)
			}
			want, posts := gateway.Succeeded, 1
			if disable {
				want, posts = gateway.Held, 0
			}
			if ds[0].Status != want || len(tenants.posts) != posts {
				t.Errorf("disabled meanwhile %v: %s after %d POSTs, want %s after %d", disable, ds[0].Status, len(tenants.posts), want, posts)
			}
		})
	}
}
