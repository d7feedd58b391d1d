package gateway_test

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"ringback/shared/control"
	"ringback/shared/egress"
	"ringback/shared/gateway"
	"ringback/shared/history"
)

// TestEventThatWaitedForRoomGoesByWhatIsKnownThen disables a registration while
// its event waits for room in the process.
func TestEventThatWaitedForRoomGoesByWhatIsKnownThen(t *testing.T) {
	for _, disable := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			g, out, tenants := newGateway(t, 0), &outbox{}, &accepting{}
			worker := processOf(t, g, out, http.StatusOK)
			worker.Egress = &egress.Client{Transport: tenants}
			c, path := smartBots(t, g)
			r := register(t, g, c, path.source)
			leave := gateway.FillRoom(worker)
			go func() {
				time.Sleep(5 * time.Second)
				if disable {
					if _, err := control.New(g).DisableRegistration(t.Context(), c, r.ID); err != nil {
						t.Error(err)
					}
				}
				time.Sleep(5 * time.Second)
				leave()
			}()
			out.pass(t, worker, path)
			ds, _, err := history.New(control.New(g)).Deliveries(t.Context(), c, history.Query{Registration: r.ID})
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

// TestCrowdedOutDeliveryWaitsForItsTurn has an event come for an endpoint that
// takes 10 s for each of as many attempts as it may have.
func TestCrowdedOutDeliveryWaitsForItsTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out, g := &outbox{}, newGateway(t, 0)
		worker := processOf(t, g, out, http.StatusOK)
		c, path := smartBots(t, g)
		r := register(t, g, c, path.source)
		gateway.Crowd(worker, r.ID, 10*time.Second)
		out.pass(t, worker, path)
		ds, _, err := history.New(control.New(g)).Deliveries(t.Context(), c, history.Query{Registration: r.ID})
		if err != nil || len(ds) != 1 {
			t.Fatalf("deliveries %+v, %v, want one", ds, err)
		}
		if in := time.Until(ds[0].Start); ds[0].Status != gateway.Pending || in < 5*time.Second || in > 15*time.Second {
			t.Errorf("%s, looked at in %v; want it pending for 10 s, half of it more or less", ds[0].Status, in)
		}
	})
}
