package control

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"ringback/shared/gateway"
	"ringback/shared/ident"
	"ringback/shared/schedule"
	"ringback/shared/storage"
	"ringback/shared/storage/storagetest"
	"ringback/shared/test/gatewaytest"
	"ringback/shared/test/proofs"
)

// deliveryRows returns the keys of all rows of a registration's deliveries.
func (w *world) deliveryRows(registration string) []storage.Key {
	w.t.Helper()
	var out []storage.Key
	for shard := range gateway.HistoryShards {
		q := storage.Query{Table: storage.Deliveries, PK: gateway.DeliveryPK(registration, shard), Consistent: true}
		w.OK(storage.Each(w.t.Context(), w.Store, q, func(r storage.Row) error { out = append(out, r.Key); return nil }))
	}
	return out
}

// attemptRows returns how many attempts of a delivery are stored in rows of their own.
func (w *world) attemptRows(delivery string) int {
	w.t.Helper()
	n := 0
	q := storage.Query{Table: storage.Deliveries, PK: "A#" + delivery, Consistent: true}
	w.OK(storage.Each(w.t.Context(), w.Store, q, func(storage.Row) error { n++; return nil }))
	return n
}

// run does a job step by step until it is done, and returns how many steps that took.
func (w *world) run(j *gateway.Job, step gateway.Step) int {
	w.t.Helper()
	for n := 1; n < 1_000; n++ {
		next, done, err := step(w.t.Context(), j)
		if w.OK(err); !next.IsZero() {
			w.t.Errorf("a step asks to go on at %v, want at once", next)
		}
		if done {
			return n
		}
	}
	w.t.Fatal("the job does not end")
	return 0
}

func TestRemovedTenantLeavesNothing(t *testing.T) {
	w := newWorld(t)
	w.Respond = gatewaytest.Fails
	s, c := w.granted(direct)
	bystander := w.tenant()
	w.grant(s.ID, bystander, nil)
	theirs := w.register(bystander, s.ID, RegistrationChange{})
	var rs []gateway.Registration
	for range 12 { // more than a page of its partition
		rs = append(rs, w.register(c, s.ID, RegistrationChange{}))
	}
	gone := w.register(c, s.ID, RegistrationChange{})
	w.OK(w.DeleteRegistration(t.Context(), c, gone.ID))
	for n := range 3 {
		w.delivered(s, fmt.Sprint("m", n))
	}
	mine := w.deliveryRows(rs[0].ID)
	if len(mine) != 3 {
		t.Fatalf("%d deliveries, want 3", len(mine))
	}
	attempted := ident.Delivery(rs[0].ID, mine[0].SK)
	if w.attemptRows(attempted) == 0 {
		t.Fatal("the attempt has no row of its own")
	}
	for _, k := range []storage.Key{gateway.HealthKey(rs[0].ID), gateway.RateKey(rs[0].ID), gateway.LeasesKey(rs[0].ID)} {
		w.Put(k, gateway.Link{ID: "failures, or attempts"})
	}
	release := gatewaytest.Must(w.StartRelease(t.Context(), c, w.ID("job"), rs[0].ID, Span{}))(w)
	key, text, err := w.CreateAPIKey(t.Context(), c, w.ID("key"), APIKey{Scope: ScopeRead})
	w.OK(err)
	w.Queue.Sent = nil
	w.Pass(time.Hour)

	j := gatewaytest.Must(w.RemoveTenant(t.Context(), c.Tenant))(w)
	w.Work()
	if j, err = w.gw.Job(t.Context(), j.ID); err != nil || j.Status != gateway.JobDone || j.Done < 12*3+13+2+1+1 {
		t.Errorf("the removal is %+v, %v, want it done with all rows counted", j, err)
	}
	if rows := w.rows(gateway.TenantKey(c.Tenant).PK); len(rows) != 0 {
		t.Errorf("rows of the tenant %v, want none", rows)
	}
	for name, k := range map[string]storage.Key{
		"list of tenants": gateway.ListKey("tenants", c.Tenant), "API key": gateway.APIKeyRow(key.Hash), "registration": gateway.RegistrationKey(rs[0].ID),
		"health": gateway.HealthKey(rs[0].ID), "its rate": gateway.RateKey(rs[0].ID), "its attempts": gateway.LeasesKey(rs[0].ID), "the removed registration": gateway.RegistrationKey(gone.ID), "registration of its source": gateway.SourceLinkKey(s.ID, rs[0].ID),
		"job": gateway.JobKey(release.ID), "entry": gateway.IndexKey(s.ID, "*", "delivered", rs[0].ID),
	} {
		if w.Stored(k) {
			t.Errorf("%s %v is left", name, k)
		}
	}
	for _, r := range append(slices.Clone(rs), gone) {
		if rows := w.deliveryRows(r.ID); len(rows) != 0 {
			t.Errorf("deliveries %v are left", rows)
		}
	}
	if n := w.attemptRows(attempted); n != 0 {
		t.Errorf("%d attempts are left", n)
	}
	_, _, err = w.CallerOf(t.Context(), text)
	w.WantErr("CallerOf with its key", err, ErrUnauthorized)
	if gs, _, err := w.Grants(t.Context(), s.ID, storage.PageRequest{}); err != nil || len(gs) != 1 || gs[0].Tenant != bystander.Tenant {
		t.Errorf("Grants = %+v, %v, want the other tenant's", gs, err)
	}
	if got := w.registration(theirs.ID); got.State != gateway.Enabled || len(w.deliveryRows(theirs.ID)) != 3 {
		t.Errorf("the other tenant's registration is %s, with %d deliveries", got.State, len(w.deliveryRows(theirs.ID)))
	}
	if ts, _, err := w.Tenants(t.Context(), storage.PageRequest{}); err != nil || len(ts) != 1 {
		t.Errorf("Tenants = %+v, %v, want the other", ts, err)
	}
}

func TestRemovalTakesAPageAtATime(t *testing.T) {
	w := newWorld(t)
	s, c := w.granted(direct)
	r := w.register(c, s.ID, RegistrationChange{})
	for n := range 3 {
		w.delivered(s, fmt.Sprint("m", n))
	}
	j := gateway.Job{ID: w.ID("job"), Kind: gateway.JobRemoval, Tenant: c.Tenant}
	w.Put(gateway.TenantLinkKey(c.Tenant, "J", j.ID), gateway.Link{ID: j.ID})
	shards := map[string]bool{}
	for _, k := range w.deliveryRows(r.ID) {
		shards[k.PK] = true
	}
	// A step a shard with deliveries, then the rows, then the tenant itself.
	if n := w.run(&j, w.removalStep); n != len(shards)+2 {
		t.Errorf("%d steps, want %d", n, len(shards)+2)
	}
	if j.Done != 3+4 { // deliveries; registration, its creation, key, grant
		t.Errorf("%d rows dealt with, want 7", j.Done)
	}
	if rows := w.rows(gateway.TenantKey(c.Tenant).PK); len(rows) != 0 {
		t.Errorf("rows of the tenant %v, want none", rows)
	}
	if _, done, err := w.removalStep(t.Context(), &j); err != nil || !done {
		t.Errorf("a step after the end: done %v, %v", done, err)
	}
}

func TestRemovalOfAGrantIsPublished(t *testing.T) {
	w := newWorld(t)
	s, c := w.granted(direct)
	j := gateway.Job{ID: w.ID("job"), Kind: gateway.JobRemoval, Tenant: c.Tenant}
	w.wantPublished("the removal of a tenant with a grant", s.ID, true, func() { w.run(&j, w.removalStep) })
}

func TestRemovalGoesOnAfterEachFault(t *testing.T) {
	proofs.Long(t)
	w := newWorld(t)
	s := w.source(direct)
	w.WantFaultsReported("removalStep", func() storagetest.Operation {
		c := w.tenant()
		w.grant(s.ID, c, nil)
		r := w.register(c, s.ID, RegistrationChange{})
		event, n := "", 0
		for gateway.DeliveryKey(r.ID, event).PK != gateway.DeliveryPK(r.ID, 0) { // so that each time as many calls follow
			n++
			event = gatewaytest.Must(ident.Event(s.ID, "", w.Now, fmt.Sprint(n)))(w)
		}
		attempted := w.deliveryOf(r, event, gateway.Delivery{EventType: "sent", Received: w.Now, Status: gateway.Pending})
		w.Put(storage.Key{Table: storage.Deliveries, PK: "A#" + attempted, SK: "att_1"}, gateway.Attempt{At: w.Now})
		running := gatewaytest.Must(w.StartRelease(t.Context(), c, w.ID("job"), r.ID, Span{}))(w)
		j := gateway.Job{ID: w.ID("job"), Kind: gateway.JobRemoval, Tenant: c.Tenant}
		w.Put(gateway.TenantLinkKey(c.Tenant, "J", j.ID), gateway.Link{ID: j.ID})
		return storagetest.Operation{
			Do: func() error {
				for range 100 {
					if _, done, err := w.removalStep(t.Context(), &j); err != nil || done {
						return err
					}
				}
				return errors.New("it does not end")
			},
			Done: func() {
				if rows := w.rows(gateway.TenantKey(c.Tenant).PK); len(rows)+len(w.deliveryRows(r.ID))+w.attemptRows(attempted) != 0 || w.Stored(gateway.RegistrationKey(r.ID)) || w.Stored(gateway.JobKey(running.ID)) {
					t.Errorf("rows %v and %d deliveries are left", rows, len(w.deliveryRows(r.ID)))
				}
			},
		}
	})
}

func TestJobOfARemovedTenantIsCancelled(t *testing.T) {
	w := newWorld(t)
	s, c := w.granted(direct)
	r := w.register(c, s.ID, RegistrationChange{})
	running := gatewaytest.Must(w.StartRelease(t.Context(), c, w.ID("job"), r.ID, Span{}))(w)
	cancelled := false
	w.Store.OnPut = func(row storage.Row) {
		if j, err := storage.Decoded[gateway.Job](row); row.Key == gateway.JobKey(running.ID) && err == nil && j.Status == gateway.JobCancelled {
			cancelled = true
		}
	}
	j := gateway.Job{ID: w.ID("job"), Kind: gateway.JobRemoval, Tenant: c.Tenant}
	if w.run(&j, w.removalStep); !cancelled {
		t.Error("the job was not cancelled before its row went")
	}
}

// deliveryOf stores a delivery of an event for r.
func (w *world) deliveryOf(r gateway.Registration, event string, d gateway.Delivery) string {
	w.t.Helper()
	d.Tenant = r.Tenant
	row := storage.Row{Key: gateway.DeliveryKey(r.ID, event), Open: d.Status != gateway.Succeeded}
	if d.Final() {
		row.Expires = d.Received.Add(w.gw.Retention.History)
	}
	w.OK(storage.PutRow(w.t.Context(), w.Store, row, d, storage.AnyRev))
	return ident.Delivery(r.ID, event)
}

// event returns the row of an event.
func (w *world) event(id string) (gateway.EventRow, storage.Row) {
	w.t.Helper()
	row, _ := w.Row(gatewaytest.Must(gateway.EventKey(id))(w))
	return gatewaytest.Must(storage.Decoded[gateway.EventRow](row))(w), row
}

// eventIDs returns the ids of a source's events, in the order of their coming;
// those of the gateway's own making left out.
func (w *world) eventIDs(source string) []string {
	w.t.Helper()
	ids := []string{}
	for shard := range gateway.HistoryShards {
		q := storage.Query{Table: storage.Deliveries, PK: gateway.EventPK(source, shard), Consistent: true}
		w.OK(storage.Each(w.t.Context(), w.Store, q, func(r storage.Row) error {
			if er, _ := w.event(r.SK); !gateway.OwnEvent(er.Event(source, nil)) {
				ids = append(ids, r.SK)
			}
			return nil
		}))
	}
	slices.Sort(ids)
	return ids
}

func TestErasedEventKeepsOnlyThatItCame(t *testing.T) {
	w := newWorld(t)
	s, c := w.granted(tencentChat)
	r := w.register(c, s.ID, RegistrationChange{EventTypes: &[]string{"*"}})
	_, url, err := w.CreateCallbackKey(t.Context(), w.ID("cbk"), s.ID, "label")
	w.OK(err)
	app := gatewaytest.Must(w.Source(t.Context(), s.ID))(w).SDKAppID
	for _, from := range []string{"user", "other"} {
		w.Callback(s, url, fmt.Sprintf("SdkAppid=%d&CallbackCommand=C2C.CallbackAfterSendMsg&ClientIP=192.0.2.1", app),
			fmt.Sprintf(`{"CallbackCommand":"C2C.CallbackAfterSendMsg","From_Account":%q,"To_Account":"to","MsgSeq":1,"MsgTime":4107585600}`, from))
		w.Work()
		w.Pass(time.Second)
	}
	ids := w.eventIDs(s.ID)
	before := map[string]gateway.EventRow{}
	for _, id := range ids {
		er, row := w.event(id)
		if er.Query == "" || er.Keys["from"] == nil || len(row.Body) == 0 || er.Label != "label" {
			t.Fatalf("event %+v with %d bytes, want all of it", er, len(row.Body))
		}
		before[id] = er
	}
	j := gatewaytest.Must(w.StartErasure(t.Context(), w.ID("job"), s.ID, gateway.Match{"from": {"user"}}))(w)
	w.Work()
	if j = gatewaytest.Must(w.gw.Job(t.Context(), j.ID))(w); j.Status != gateway.JobDone || j.Done != 1 {
		t.Errorf("the erasure is %+v, want it done with one event", j)
	}
	for _, id := range ids {
		er, row := w.event(id)
		want := before[id]
		if want.Keys["from"][0] == "user" {
			want.Erased, want.ErasedBy, want.Keys, want.Query = true, j.ID, nil, ""
			if row.Body != nil {
				t.Errorf("the payload of the erased event is left: %d bytes", len(row.Body))
			}
		} else if len(row.Body) == 0 {
			t.Error("the payload of another event is gone")
		}
		if diff := cmp.Diff(want, er, cmpopts.IgnoreUnexported(gateway.EventRow{})); diff != "" {
			t.Errorf("event after the erasure (-want +got):\n%s", diff)
		}
	}
	for _, id := range ids {
		d := gatewaytest.Must(w.gw.LoadDelivery(t.Context(), ident.Delivery(r.ID, id)))(w)
		if erased := before[id].Keys["from"][0] == "user"; d.Status != gateway.Succeeded || (len(d.LastResponse()) == 0) != erased {
			t.Errorf("delivery %s with an answer of %d bytes, of an event that is erased: %v", d.Status, len(d.LastResponse()), erased)
		}
	}
}

func TestErasureEndsWhatIsPendingOfAnEvent(t *testing.T) {
	w := newWorld(t)
	w.Respond = gatewaytest.Fails
	s, c := w.granted(direct)
	pending, held, failed := w.register(c, s.ID, RegistrationChange{}), w.register(c, s.ID, RegistrationChange{}),
		w.register(c, s.ID, RegistrationChange{Schedule: &schedule.Schedule{Waits: []time.Duration{}}})
	w.OK(gatewaytest.ErrOf(w.DisableRegistration(t.Context(), c, held.ID)))
	w.delivered(s, "m")
	w.Queue.Sent = nil
	id := w.eventIDs(s.ID)[0]
	status := func(r gateway.Registration) (gateway.Status, string) {
		d := gatewaytest.Must(w.gw.LoadDelivery(t.Context(), ident.Delivery(r.ID, id)))(w)
		return d.Status, d.Reason
	}
	for r, want := range map[string]gateway.Status{pending.ID: gateway.Pending, held.ID: gateway.Held, failed.ID: gateway.Failed} {
		if got, _ := status(gateway.Registration{ID: r}); got != want {
			t.Fatalf("the delivery is %s, want %s", got, want)
		}
	}
	w.Pass(time.Minute)
	j := gateway.Job{ID: w.ID("job"), Kind: gateway.JobErasure, Source: s.ID, Match: gateway.Match{"message": {"m"}}}
	if n := w.run(&j, w.erasureStep); n != gateway.HistoryShards || j.Done != 1 {
		t.Errorf("%d steps and %d events, want one step a shard, and 1", n, j.Done)
	}
	for r, want := range map[string]gateway.Status{pending.ID: gateway.Cancelled, held.ID: gateway.Cancelled, failed.ID: gateway.Failed} {
		got, why := status(gateway.Registration{ID: r})
		if got != want || (why == "erased") != (want == gateway.Cancelled) {
			t.Errorf("after the erasure the delivery is %s because of %q, want %s", got, why, want)
		}
		if n := w.attemptRows(ident.Delivery(r, id)); n != 0 {
			t.Errorf("%d attempts with their answers are left", n)
		}
	}
}

func TestErasureReachesWhoGotAnEventByAReplayOrInChunks(t *testing.T) {
	w := newWorld(t)
	s, c := w.granted(direct)
	first := w.register(c, s.ID, RegistrationChange{})
	w.delivered(s, "m")
	id := w.eventIDs(s.ID)[0]
	later := w.register(c, s.ID, RegistrationChange{})
	gatewaytest.Must(w.StartReplay(t.Context(), c, w.ID("job"), later.ID, Span{Since: w.Now.Add(-time.Minute)}))(w)
	w.Work()
	answered := func(r gateway.Registration) bool {
		return len(gatewaytest.Must(w.gw.LoadDelivery(t.Context(), ident.Delivery(r.ID, id)))(w).LastResponse()) > 0
	}
	for n := 0; !answered(later); n++ {
		if n == 10 {
			t.Fatal("the replayed event was not delivered in ten minutes")
		}
		w.Pass(time.Minute)
		w.OK(w.gw.Retry(t.Context()))
		w.Work()
	}
	listed, unlisted := w.register(c, s.ID, RegistrationChange{}), w.register(c, s.ID, RegistrationChange{})
	er, row := w.event(id)
	if !slices.Equal(er.Match, []string{first.ID}) {
		t.Fatalf("the event names %v, want %s", er.Match, first.ID)
	}
	for _, r := range []gateway.Registration{listed, unlisted} {
		d, _ := w.Row(gateway.DeliveryKey(first.ID, id))
		d.Key = gateway.DeliveryKey(r.ID, id)
		w.OK(w.Store.Put(t.Context(), d, storage.AnyRev))
	}
	er.Chunked = true
	data := gatewaytest.Must(storage.Encode(er))(w)
	row.Data, row.Rev = data, storage.NewRev()
	w.OK(w.Store.Put(t.Context(), row, storage.AnyRev))
	w.Put(gateway.FanOutKey(id, 0), fanOutRow([]string{listed.ID}, true))
	w.Put(gateway.FanOutKey(id, 1), fanOutRow([]string{unlisted.ID}, false))
	w.Put(gateway.FanOutKey(id, 2), fanOutRow([]string{"reg_9"}, false)) // of a run before; not read
	er, _ = w.event(id)
	if got := gatewaytest.Must(w.fannedOutTo(t.Context(), er))(w); !slices.Equal(got, []string{first.ID, listed.ID, unlisted.ID}) {
		t.Errorf("fannedOutTo = %v, want the row's own and both chunks", got)
	}
	if got := gatewaytest.Must(w.replayedTo(t.Context(), id))(w); !slices.Equal(got, []string{later.ID}) {
		t.Errorf("replayedTo = %v, want %s", got, later.ID)
	}
	er.Chunked = false
	if got := gatewaytest.Must(w.fannedOutTo(t.Context(), er))(w); !slices.Equal(got, []string{first.ID}) {
		t.Errorf("fannedOutTo of an event with few registrations = %v, want %s", got, first.ID)
	}
	j := gateway.Job{ID: w.ID("job"), Kind: gateway.JobErasure, Source: s.ID, Match: gateway.Match{"message": {"m"}}}
	for _, call := range []string{"Get [{deliveries F#", "List P#", "List A#", "Get [{deliveries D#", "Put D#", "Put E#"} {
		w.Store.FailOn = call
		again := j
		var err error
		for range gateway.HistoryShards {
			if _, _, err = w.erasureStep(t.Context(), &again); err != nil {
				break
			}
		}
		w.WantErr("erasureStep whose calls "+call+" fail", err, storagetest.ErrBroken)
	}
	w.Store.FailOn = ""
	w.run(&j, w.erasureStep)
	for name, r := range map[string]gateway.Registration{"its row": first, "a replay": later, "its first chunk": listed, "its second chunk": unlisted} {
		if answered(r) {
			t.Errorf("the answer to a delivery that %s names is left", name)
		}
	}
}

// fanOutRow is a chunk of an event's registrations, of which there is a next.
func fanOutRow(ids []string, more bool) any {
	var next *struct{}
	if more {
		next = &struct{}{}
	}
	b := gateway.FanOutRow{IDs: ids}
	return struct {
		gateway.FanOutRow
		Next *struct{} `json:"next,omitempty"`
	}{b, next}
}

func TestFannedOutEndsWithTheChunkThatIsMissing(t *testing.T) {
	w := newWorld(t)
	id := gatewaytest.Must(ident.Event(ident.NewSource(), "", w.Now, "x"))(w)
	er := gateway.EventRow{ID: id, Chunked: true}
	if got, err := w.fannedOutTo(t.Context(), er); err != nil || len(got) != 0 {
		t.Errorf("fannedOutTo without chunks = %v, %v", got, err)
	}
	w.Put(gateway.FanOutKey(id, 0), fanOutRow([]string{"reg_1"}, true))
	if got, err := w.fannedOutTo(t.Context(), er); err != nil || !slices.Equal(got, []string{"reg_1"}) {
		t.Errorf("fannedOutTo without the second chunk = %v, %v, want the first", got, err)
	}
	w.Store.FailAt(2)
	_, err := w.fannedOutTo(t.Context(), er)
	w.WantErr("fannedOutTo without a Store", err, storagetest.ErrBroken)
}

func TestErasureGoesOnAfterEachFault(t *testing.T) {
	w := newWorld(t)
	w.Respond = gatewaytest.Fails
	s, c := w.granted(direct)
	r := w.register(c, s.ID, RegistrationChange{Match: &gateway.Match{"channel": {"none"}}})
	n := 0
	w.WantFaultsReported("eraseEvent", func() storagetest.Operation {
		n++
		w.OK(gatewaytest.ErrOf(w.ChangeRegistration(t.Context(), c, r.ID, 0, RegistrationChange{Match: new(gateway.Match)})))
		w.Pass(time.Second)
		w.delivered(s, fmt.Sprint("m", n))
		ids := w.eventIDs(s.ID)
		id := ids[len(ids)-1]
		er, row := w.event(id)
		return storagetest.Operation{
			Do: func() error { return w.eraseEvent(t.Context(), "job_1", row.Key, er) },
			Done: func() {
				d := gatewaytest.Must(w.gw.LoadDelivery(t.Context(), ident.Delivery(r.ID, id)))(w)
				if er, row := w.event(id); !er.Erased || row.Body != nil || d.Status != gateway.Cancelled || w.attemptRows(d.ID) != 0 {
					t.Errorf("event erased %v, its delivery %s with %d attempts", er.Erased, d.Status, w.attemptRows(d.ID))
				}
			},
		}
	})
	w.Store.FailAt(1)
	j := gateway.Job{ID: "job_1", Kind: gateway.JobErasure, Source: s.ID, Match: gateway.Match{"message": {"m"}}}
	_, done, err := w.erasureStep(t.Context(), &j)
	if w.WantErr("erasureStep without a Store", err, storagetest.ErrBroken); done {
		t.Error("erasureStep without a Store is done")
	}
}

func TestErasureCountsEachEventOnce(t *testing.T) {
	w := newWorld(t)
	s := w.source(direct)
	for n := range 3 {
		w.delivered(s, fmt.Sprint("m", n))
	}
	match := gateway.Match{"channel": {"SMS"}}
	first := gateway.Job{ID: w.ID("job"), Kind: gateway.JobErasure, Source: s.ID, Match: match}
	w.run(&first, w.erasureStep)
	again := gateway.Job{ID: first.ID, Kind: gateway.JobErasure, Source: s.ID, Match: match} // as after a crash
	w.WantUnwritten("the same job again", func() { w.run(&again, w.erasureStep) })
	other := gateway.Job{ID: w.ID("job"), Kind: gateway.JobErasure, Source: s.ID, Match: match}
	w.WantUnwritten("another job", func() { w.run(&other, w.erasureStep) })
	if first.Done != 3 || again.Done != 3 || other.Done != 0 {
		t.Errorf("events: %d by the job, %d by the same after a crash, %d by another, want 3, 3 and 0", first.Done, again.Done, other.Done)
	}
}

func TestDeletedSourceTakesItsThingsWithIt(t *testing.T) {
	w := newWorld(t)
	s, c := w.granted(gateway.SmartBots)
	other := w.source(gateway.SmartBots)
	of, theirs := w.group(s.ID, "club"), w.group(other.ID, "other")
	w.Put(gateway.ListKey("groups", "grp_9"), gateway.Link{ID: "grp_9"}) // of a create that crashed
	r, app := w.register(c, s.ID, RegistrationChange{}), w.app(c, of, "app")
	w.WantUnwritten("used", func() {
		w.WantErr("DeleteSource with registrations", w.DeleteSource(t.Context(), s.ID, false), storage.ErrConflict)
		w.WantErr("DeleteSource of none", w.DeleteSource(t.Context(), ident.NewSource(), true), storage.ErrNotFound)
	})
	w.wantPublished("DeleteSource", s.ID, true, func() { w.WantErr("DeleteSource by force", w.DeleteSource(t.Context(), s.ID, true), nil) })
	if got := w.registration(r.ID); got.State != gateway.Removed || got.Reason != gateway.ReasonDeleted {
		t.Errorf("its registration is %+v, want it removed", got)
	}
	if got := w.registration(app.ID); got.State != gateway.Removed || got.Reason != gateway.ReasonDeleted {
		t.Errorf("its registration by code is %+v, want it removed", got)
	}
	if es := w.events(); len(es) != 1 || es[0].Recipient != app.ID || es[0].Type != gateway.CallbackRemoved {
		t.Errorf("events %+v, want callback_removed to the app", es)
	}
	if rows := w.rows(gateway.SourceKey(s.ID).PK); !slices.Equal(rows, []string{"V"}) {
		t.Errorf("rows of the source %v, want its version alone", rows)
	}
	if got, _, err := storage.Load[gateway.Group](t.Context(), w.Store, gateway.GroupKey(of.ID)); err != nil || !got.Removed {
		t.Errorf("its group is %+v, %v, want it removed", got, err)
	}
	if _, err := w.LiveGroup(t.Context(), theirs.ID); err != nil {
		t.Errorf("another source's group: %v", err)
	}
	if rows := w.rows(gateway.TenantKey(c.Tenant).PK); slices.ContainsFunc(rows, func(sk string) bool { return sk[0] == 'G' }) {
		t.Errorf("rows of the tenant %v, want no grant", rows)
	}
	w.WantErr("DeleteSource again", w.DeleteSource(t.Context(), s.ID, true), storage.ErrNotFound)
	if ss, _, err := w.Sources(t.Context(), storage.PageRequest{}); err != nil || len(ss) != 1 || ss[0].ID != other.ID {
		t.Errorf("Sources = %+v, %v, want the other", ss, err)
	}
}

func TestDeletedSourceFreesItsSDKAppID(t *testing.T) {
	w := newWorld(t)
	s := w.source(tencentChat)
	app := s.SDKAppID
	w.OK(w.DeleteSource(t.Context(), s.ID, false))
	if w.Stored(gateway.SDKAppIDKey(app)) {
		t.Error("the SDKAppID is taken still")
	}
	w.Put(gateway.SDKAppIDKey(0), Reservation{ID: "x"}) // of nobody
	sms := w.source(direct)
	w.OK(w.DeleteSource(t.Context(), sms.ID, false))
}

func TestDeletingASourceGoesOnAfterEachFault(t *testing.T) {
	proofs.Long(t)
	w := newWorld(t)
	c := w.tenant()
	w.WantFaultsReported("DeleteSource", func() storagetest.Operation {
		s := w.source(gateway.SmartBots)
		w.grant(s.ID, c, nil)
		of := w.group(s.ID, s.ID)
		r, app := w.register(c, s.ID, RegistrationChange{}), w.app(c, of, "app")
		before := w.published(s.ID)
		return storagetest.Operation{
			Do: func() error { return known(w.DeleteSource(t.Context(), s.ID, true)) },
			Done: func() {
				if w.registration(r.ID).State != gateway.Removed || w.registration(app.ID).State != gateway.Removed || w.published(s.ID) == before || len(w.rows(gateway.SourceKey(s.ID).PK)) > 1 {
					t.Errorf("rows %v are left", w.rows(gateway.SourceKey(s.ID).PK))
				}
				if _, err := w.LiveGroup(t.Context(), of.ID); !errors.Is(err, storage.ErrNotFound) {
					t.Errorf("its group: %v", err)
				}
			},
		}
	})
	w.WantFaultsReported("DeleteSource of tencent-chat", func() storagetest.Operation {
		s := w.source(tencentChat)
		return storagetest.Operation{Do: func() error { return known(w.DeleteSource(t.Context(), s.ID, false)) }, Done: func() {
			if w.Stored(gateway.SDKAppIDKey(s.SDKAppID)) {
				t.Error("the SDKAppID is taken still")
			}
		}}
	})
}

func TestDeletedGroupEndsWithItsKeysAndApps(t *testing.T) {
	w := newWorld(t)
	s, c := w.granted(gateway.SmartBots)
	of, theirs := w.group(s.ID, "Club"), w.group(s.ID, "other")
	r, safe := w.app(c, of, "app"), w.app(c, theirs, "app")
	_, text, err := w.CreateAPIKey(t.Context(), Operator(), w.ID("key"), APIKey{Scope: ScopeGroupOwner, Group: of.ID})
	w.OK(err)
	w.wantPublished("DeleteGroup", s.ID, true, func() { w.WantErr("DeleteGroup", w.DeleteGroup(t.Context(), of.ID), nil) })
	got, row, err := storage.Load[gateway.Group](t.Context(), w.Store, gateway.GroupKey(of.ID))
	if err != nil || !got.Removed || got.Rev != of.Rev+1 || !row.Expires.Equal(w.Now.Add(tombstone)) {
		t.Errorf("the group is %+v until %v, %v, want it removed with a new revision for 30 days", got, row.Expires, err)
	}
	_, _, err = w.CallerOf(t.Context(), text)
	w.WantErr("CallerOf with its owner's key", err, ErrUnauthorized)
	if rows := w.rows(gateway.GroupKey(of.ID).PK); slices.ContainsFunc(rows, func(sk string) bool { return sk[0] == 'K' }) {
		t.Errorf("rows of the group %v, want no key", rows)
	}
	if w.Stored(gateway.GroupNameKey(FoldName("club"))) || w.Stored(gateway.ListKey("groups", of.ID)) {
		t.Error("its name is taken still, or it is listed")
	}
	w.Work()
	if got := w.registration(r.ID); got.State != gateway.Removed || got.Reason != gateway.ReasonCode {
		t.Errorf("its registration by code is %+v, want it removed", got)
	}
	if got := w.registration(safe.ID); got.State != gateway.Enabled {
		t.Errorf("another group's registration is %s", got.State)
	}
	before, _ := w.Row(gateway.GroupKey(of.ID))
	w.WantErr("DeleteGroup again", w.DeleteGroup(t.Context(), of.ID), nil)
	if after, _ := w.Row(gateway.GroupKey(of.ID)); after.Rev != before.Rev {
		t.Error("DeleteGroup again wrote the group anew")
	}
	if again, _, _ := storage.Load[gateway.Group](t.Context(), w.Store, gateway.GroupKey(of.ID)); again != got {
		t.Errorf("the group after DeleteGroup again = %+v, want %+v", again, got)
	}
	w.WantErr("DeleteGroup of none", w.DeleteGroup(t.Context(), "grp_9"), storage.ErrNotFound)
}

func TestRowsOfANewerReleaseStopARemoval(t *testing.T) {
	w := newWorld(t)
	s, c := w.granted(gateway.SmartBots)
	of := w.group(s.ID, "club")
	w.PutNewer(storage.Key{Table: storage.Registrations, PK: gateway.GroupKey(of.ID).PK, SK: "K#key_9"})
	if err := w.DeleteGroup(t.Context(), of.ID); err == nil {
		t.Error("DeleteGroup with a key of a newer release: no error")
	}
	w.PutNewer(gateway.AppKey(of.ID, c.Tenant, "app"))
	j := gateway.Job{ID: w.ID("job"), Kind: gateway.JobCode, Group: of.ID}
	if _, done, err := w.codeStep(t.Context(), &j); err == nil || done {
		t.Errorf("codeStep with an app of a newer release: done %v, %v, want an error", done, err)
	}
	w.PutNewer(LocationOf(APIKey{ID: "key_9", Tenant: c.Tenant}))
	j = gateway.Job{ID: w.ID("job"), Kind: gateway.JobRemoval, Tenant: c.Tenant}
	if _, done, err := w.removalStep(t.Context(), &j); err == nil || done || !w.Stored(LocationOf(APIKey{ID: "key_9", Tenant: c.Tenant})) {
		t.Errorf("removalStep with a key of a newer release: done %v, %v, want an error, and the key left", done, err)
	}
	w.PutNewer(gateway.GrantKey(s.ID, c.Tenant, "grt_9"))
	if err := w.DeleteSource(t.Context(), s.ID, true); err == nil || !w.Stored(gateway.SourceKey(s.ID)) {
		t.Errorf("DeleteSource with a grant of a newer release: %v, want an error, and the source left", err)
	}
	sms := w.source(direct)
	event := gatewaytest.Must(ident.Event(sms.ID, "", w.Now, "x"))(w)
	w.PutNewer(gatewaytest.Must(gateway.EventKey(event))(w))
	j = gateway.Job{ID: w.ID("job"), Kind: gateway.JobErasure, Source: sms.ID, Match: gateway.Match{"message": {"m"}}}
	for range gateway.HistoryShards {
		if _, done, err := w.erasureStep(t.Context(), &j); err != nil {
			return
		} else if done {
			t.Error("erasureStep over an event of a newer release: no error")
		}
	}
}

func TestGroupIsPublishedAndCleanedIfItsCodeMoved(t *testing.T) {
	w := newWorld(t)
	s := w.source(gateway.SmartBots)
	of := w.group(s.ID, "club")
	w.wantPublished("PublishGroup", s.ID, true, func() { w.WantErr("PublishGroup", w.PublishGroup(t.Context(), of, false), nil) })
	if len(w.Queue.Sent) != 0 {
		t.Error("a job starts for a group whose code is the same")
	}
	for range 2 {
		w.WantErr("PublishGroup of a new code", w.PublishGroup(t.Context(), of, true), nil)
	}
	j := gatewaytest.Must(w.gw.Job(t.Context(), ident.From("job", of.Created, "code "+of.ID+" 1")))(w)
	if j.Kind != gateway.JobCode || j.Group != of.ID || j.Source != s.ID || j.Rev != of.Rev || j.Tenant != "" {
		t.Errorf("the job is %+v, want the change of the code", j)
	}
	if len(w.Queue.Sent) != 1 {
		t.Errorf("%d messages, want one of the job", len(w.Queue.Sent))
	}
	w.WantFaultsReported("PublishGroup", func() storagetest.Operation {
		of := w.group(s.ID, w.ID("x"))
		return storagetest.Operation{Do: func() error { return w.PublishGroup(t.Context(), of, true) }}
	})
}

func TestChangedCodeRemovesAllAppsPageByPage(t *testing.T) {
	w := newWorld(t)
	s, c := w.granted(gateway.SmartBots)
	of := w.group(s.ID, "club")
	apps := map[string]bool{}
	for n := range storage.MaxPageRows + 1 {
		apps[w.app(c, of, fmt.Sprint(n)).ID] = true
	}
	j := gateway.Job{ID: w.ID("job"), Kind: gateway.JobCode, Group: of.ID, Source: s.ID}
	w.WantUnwritten("the code is the same", func() { w.run(&j, w.codeStep) })
	of.Rev++
	w.Put(gateway.GroupKey(of.ID), of)
	j.Cursor, j.Done = "", 0
	if n := w.run(&j, w.codeStep); n != 2 || j.Done != storage.MaxPageRows+1 {
		t.Errorf("%d steps and %d registrations, want 2 and %d", n, j.Done, storage.MaxPageRows+1)
	}
	told := map[string]bool{}
	for _, e := range w.events() {
		told[e.Recipient] = true
	}
	if !cmp.Equal(told, apps) {
		t.Errorf("%d apps are told, want all %d", len(told), len(apps))
	}
	j = gateway.Job{ID: w.ID("job"), Kind: gateway.JobCode, Group: "grp_9"}
	if _, done, err := w.codeStep(t.Context(), &j); err != nil || !done {
		t.Errorf("codeStep of no group: done %v, %v, want done", done, err)
	}
}

func TestFaultWhileAGroupEndsIsTold(t *testing.T) {
	w := newWorld(t)
	s, c := w.granted(gateway.SmartBots)
	w.WantFaultsReported("DeleteGroup", func() storagetest.Operation {
		of := w.group(s.ID, w.ID("x"))
		_, text, err := w.CreateAPIKey(t.Context(), Operator(), w.ID("key"), APIKey{Scope: ScopeGroupOwner, Group: of.ID})
		w.OK(err)
		return storagetest.Operation{Do: func() error { return w.DeleteGroup(t.Context(), of.ID) }, Done: func() {
			_, _, err = w.CallerOf(t.Context(), text)
			if w.WantErr("CallerOf with its owner's key", err, ErrUnauthorized); w.Stored(gateway.GroupNameKey(FoldName(of.Name))) || w.Stored(gateway.ListKey("groups", of.ID)) {
				t.Error("its name is taken still, or it is listed")
			}
		}}
	})
	w.WantFaultsReported("codeStep", func() storagetest.Operation {
		of := w.group(s.ID, w.ID("x"))
		r := w.app(c, of, "app")
		of.Rev++
		w.Put(gateway.GroupKey(of.ID), of)
		j := gateway.Job{ID: w.ID("job"), Kind: gateway.JobCode, Group: of.ID, Source: s.ID}
		return storagetest.Operation{
			Do: func() error {
				_, done, err := w.codeStep(t.Context(), &j)
				if done == (err != nil) {
					t.Errorf("codeStep is done %v, with %v", done, err)
				}
				return err
			},
			Done: func() {
				if w.registration(r.ID).State != gateway.Removed {
					t.Error("the registration is not removed")
				}
			},
		}
	})
}

func TestChunkOfANewerReleaseIsNotPassedOver(t *testing.T) {
	w := newWorld(t)
	id := gatewaytest.Must(ident.Event(w.source(direct).ID, "", w.Now, "1"))(w)
	w.PutNewer(gateway.FanOutKey(id, 0))
	if ids, err := w.fannedOutTo(t.Context(), gateway.EventRow{ID: id, Chunked: true}); err == nil {
		t.Errorf("fannedOutTo with a chunk of a newer release = %v, want an error", ids)
	}
}
