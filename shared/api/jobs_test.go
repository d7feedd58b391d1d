package api_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"ringback/shared/storage"
	"ringback/shared/test/gatewaytest"
)

func TestRemovedTenantLeavesNothing(t *testing.T) {
	w := newWorld(t)
	s := w.setting()
	w.work()
	e := newEndpoint(t)
	r := w.Want(201, s.key, "POST", "/v1/registrations", object{"source": s.smartbots, "url": e.URL})
	w.Want(201, s.key, "POST", "/v1/keys", object{"scope": "read"})
	w.form(w.callbackURL(s.smartbots), chat("gone soon"))
	gatewaytest.Await(t, "the delivery", func() bool {
		return len(w.Want(200, s.key, "GET", "/v1/deliveries?status=succeeded", nil).List(t)) == 1
	})
	job := w.Want(202, operatorKey, "DELETE", "/v1/tenants/"+s.tenant, nil)
	w.Want(401, s.key, "GET", "/v1/me", nil)
	gatewaytest.Await(t, "the removal", func() bool {
		return w.Want(200, operatorKey, "GET", "/v1/jobs/"+job.ID(), nil).Text("status") == "done"
	})
	w.Want(404, operatorKey, "GET", "/v1/tenants/"+s.tenant, nil)
	w.Want(404, operatorKey, "GET", "/v1/registrations/"+r.ID(), nil)
	if got := w.Want(200, operatorKey, "GET", "/v1/sources/"+s.smartbots+"/grants", nil).List(t); len(got) != 0 {
		t.Errorf("grants %v, want none", got)
	}
	if got := w.Want(200, operatorKey, "GET", "/v1/tenants", nil).List(t); len(got) != 1 || got[0]["id"] != s.other {
		t.Errorf("tenants %v, want the other alone", got)
	}
	w.Want(204, operatorKey, "DELETE", "/v1/sources/"+s.smartbots, nil)
}

func TestErasureTakesPayloadsAway(t *testing.T) {
	w := newWorld(t)
	s := w.setting()
	w.work()
	at := w.callbackURL(s.smartbots)
	w.form(at, chat("erase me"))
	other := chat("keep me")
	other.Set("group_uuid", "11111111-1111-4111-8111-111111111111")
	w.form(at, other)
	list := func() []object {
		return w.Want(200, operatorKey, "GET", "/v1/events?source="+s.smartbots, nil).List(t)
	}
	gatewaytest.Await(t, "both events", func() bool { return len(list()) == 2 })
	w.Want(422, operatorKey, "POST", "/v1/erasures", object{"source": s.smartbots})
	w.Want(422, operatorKey, "POST", "/v1/erasures", object{"source": s.smartbots, "match": object{}})
	job := w.Want(202, operatorKey, "POST", "/v1/erasures", object{"source": s.smartbots, "match": object{"group": []string{chatGroup}}}, "Idempotency-Key", "e")
	if again := w.Want(202, operatorKey, "POST", "/v1/erasures", object{"source": s.smartbots, "match": object{"group": []string{chatGroup}}}, "Idempotency-Key", "e"); again.ID() != job.ID() {
		t.Errorf("repeated as %s, want the same job %s", again.ID(), job.ID())
	}
	gatewaytest.Await(t, "the erasure", func() bool {
		return w.Want(200, operatorKey, "GET", "/v1/jobs/"+job.ID(), nil).Text("status") == "done"
	})
	erased := 0
	for _, e := range list() {
		raw := w.Call(operatorKey, "GET", fmt.Sprint("/v1/events/", e["id"], "/raw"), nil)
		if e["erased"] == true {
			erased++
			if raw.Code != 404 {
				t.Errorf("payload of an erased event: %d %q", raw.Code, raw.Raw)
			}
		} else if raw.Raw != other.Encode() {
			t.Errorf("payload of the other event %q", raw.Raw)
		}
	}
	if erased != 1 {
		t.Errorf("%d events erased, want 1", erased)
	}
	if got := w.Want(200, operatorKey, "GET", "/v1/jobs", nil).List(t); len(got) != 1 || got[0]["id"] != job.ID() {
		t.Errorf("jobs %v, want the erasure", got)
	}
}

func TestOneRecoveryRunsAtATime(t *testing.T) {
	w := newWorld(t) // without a worker jobs stay running
	s := w.setting()
	r := w.Want(201, s.key, "POST", "/v1/registrations", object{"source": s.smartbots, "url": "https://tenant.example/"})
	path := "/v1/registrations/" + r.ID()
	since := object{"since": "2026-01-01T00:00:00Z"}
	job := w.Want(202, s.key, "POST", path+"/recover", since)
	w.Want(409, s.key, "POST", path+"/replay-missing", since)
	w.Want(409, s.key, "POST", path+"/release", since)
	if got := w.Want(200, s.key, "POST", "/v1/jobs/"+job.ID()+"/cancel", nil).Text("status"); got != "cancelled" {
		t.Errorf("job is %q, want cancelled", got)
	}
	w.Want(202, s.key, "POST", path+"/replay-missing", since)
	w.Want(422, s.key, "POST", path+"/recover", object{})
	w.Want(404, s.otherKey, "POST", path+"/recover", since)
	if got := w.Want(200, s.key, "GET", "/v1/jobs", nil).List(t); len(got) != 2 {
		t.Errorf("%d jobs, want 2", len(got))
	}
}

func TestRateOfAJobIsSetWhenItIsMade(t *testing.T) {
	w := newWorld(t) // without a worker jobs stay running
	s := w.setting()
	r := w.Want(201, s.key, "POST", "/v1/registrations", object{"source": s.smartbots, "url": "https://tenant.example/"})
	for _, call := range []string{"recover", "replay-missing", "release"} {
		at := "/v1/registrations/" + r.ID() + "/" + call
		job := w.Want(202, s.key, "POST", at, object{"since": "2026-01-01T00:00:00Z", "rate": 2000})
		if got := w.Want(200, s.key, "POST", "/v1/jobs/"+job.ID()+"/cancel", nil).Object["rate"]; got != 2000.0 {
			t.Errorf("%s: rate %v, want 2000", call, got)
		}
		for _, rate := range []float64{-1, 1e-9} {
			w.Want(422, s.key, "POST", at, object{"since": "2026-01-01T00:00:00Z", "rate": rate})
		}
	}
}

func TestSourceWithoutFullHistorySaysSo(t *testing.T) {
	w := newWorld(t)
	s := w.setting()
	if got := w.Want(200, operatorKey, "PATCH", "/v1/sources/"+s.smartbots, object{"history": "failures"}).Text("history"); got != "failures" {
		t.Fatalf("history %q, want failures", got)
	}
	r := w.Want(201, s.key, "POST", "/v1/registrations", object{"source": s.smartbots, "url": "https://tenant.example/"})
	for _, call := range []string{"/replay-missing", "/dry-run"} {
		w.Want(409, s.key, "POST", "/v1/registrations/"+r.ID()+call, object{"since": "2026-01-01T00:00:00Z"})
	}
}

func TestDeadLettersAreCountedAndRedriven(t *testing.T) {
	w := newWorld(t)
	got := w.Want(200, operatorKey, "GET", "/v1/dead-letters", nil).List(t)
	if len(got) != 3 || got[0]["queue"] != "events" || got[1]["queue"] != "retry" || got[2]["queue"] != "slow" {
		t.Errorf("dead letters %v, want those of events, retry and slow", got)
	}
	if got[1]["oldest_due"] != nil {
		t.Errorf("oldest_due %v while nothing is due, want none", got[1]["oldest_due"])
	}
	for n, q := range []storage.QueueName{storage.EventsQueue, storage.RetryQueue, storage.SlowQueue} {
		for range n + 1 {
			if err := w.g.Queue.Send(t.Context(), q, []storage.Message{{Body: "{}", Delay: storage.MaxDelay}})[0]; err != nil {
				t.Fatal(err)
			}
		}
	}
	late := time.Now().UTC().Add(-10 * time.Minute).Truncate(time.Millisecond)
	for i, due := range []time.Time{late.Add(time.Minute), late, time.Now().Add(time.Hour)} {
		row := storage.Row{Key: storage.Key{Table: storage.Deliveries, PK: fmt.Sprint("D#", i), SK: "late"}, Rev: storage.NewRev(), Data: []byte("{}"), Due: due}
		if err := w.g.Store.Put(t.Context(), row, storage.AnyRev); err != nil {
			t.Fatal(err)
		}
	}
	got = w.Want(200, operatorKey, "GET", "/v1/dead-letters", nil).List(t)
	if got[1]["oldest_due"] != late.Format(time.RFC3339Nano) || got[0]["oldest_due"] != nil || got[2]["oldest_due"] != nil {
		t.Errorf("queues %v, want the retry queue's oldest due %s", got, late)
	}
	for n, q := range got {
		if want := float64(n + 1); q["delayed"] != want || q["dead"] != 0.0 {
			t.Errorf("the %v queue has %v delayed messages and %v dead letters, want %v and none", q["queue"], q["delayed"], q["dead"], want)
		}
		w.Want(202, operatorKey, "POST", fmt.Sprintf("/v1/dead-letters/%v/redrive", q["queue"]), nil)
	}
	w.Want(422, operatorKey, "POST", "/v1/dead-letters/others/redrive", nil)
}

func TestListsOfManyRegistrationsAskForOne(t *testing.T) {
	w := newWorld(t)
	s := w.setting()
	for i := range 26 {
		w.Want(201, s.key, "POST", "/v1/registrations", object{"source": s.direct, "url": fmt.Sprint("https://tenant.example/", i)})
	}
	for _, path := range []string{"/v1/deliveries", "/v1/events"} {
		if a := w.Want(400, s.key, "GET", path, nil); !strings.Contains(a.Raw, "registration") {
			t.Errorf("GET %s: %s, want it to ask for a registration", path, a.Raw)
		}
		w.Want(200, s.key, "GET", path+"?source="+s.smartbots, nil)
	}
	w.Want(400, operatorKey, "GET", "/v1/deliveries", nil)
	w.Want(400, operatorKey, "GET", "/v1/events", nil)
	w.Want(200, operatorKey, "GET", "/v1/events?source="+s.direct, nil)
	w.Want(201, s.key, "POST", "/v1/registrations", object{"source": s.smartbots, "url": "https://tenant.example/"})
	w.Want(422, s.key, "GET", "/v1/deliveries?cursor=nonsense&source="+s.smartbots, nil)
	seen := 0
	for cursor := ""; ; {
		a := w.Want(200, s.key, "GET", "/v1/registrations?limit=10&cursor="+url.QueryEscape(cursor), nil)
		seen += len(a.List(t))
		if cursor = a.Text("next_cursor"); cursor == "" {
			break
		}
	}
	if seen != 27 {
		t.Errorf("pages hold %d registrations, want 27", seen)
	}
}

func TestReleasedAfterEnable(t *testing.T) {
	w := newWorld(t)
	s := w.setting()
	w.work()
	e := newEndpoint(t)
	r := w.Want(201, s.key, "POST", "/v1/registrations", object{"source": s.smartbots, "url": e.URL})
	w.Want(200, s.key, "POST", "/v1/registrations/"+r.ID()+"/disable", nil)
	w.form(w.callbackURL(s.smartbots), chat("held"))
	gatewaytest.Await(t, "the held delivery", func() bool {
		return len(w.Want(200, s.key, "GET", "/v1/deliveries?status=held", nil).List(t)) == 1
	})
	w.Want(200, s.key, "POST", "/v1/registrations/"+r.ID()+"/enable", nil)
	w.Want(202, s.key, "POST", "/v1/registrations/"+r.ID()+"/release", object{"since": time.Now().Add(-time.Hour).UTC().Format(time.RFC3339)})
	gatewaytest.Await(t, "nothing held", func() bool {
		return len(w.Want(200, s.key, "GET", "/v1/deliveries?status=held", nil).List(t)) == 0
	})
}
