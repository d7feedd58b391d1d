package control

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ringback/shared/gateway"
	"ringback/shared/limiter"
	"ringback/shared/provider"
	"ringback/shared/storage"
	"ringback/shared/storage/storagetest"
	"ringback/shared/test/gatewaytest"
)

func TestRegistrationIsTested(t *testing.T) {
	w := newWorld(t)
	s, c := w.granted(direct)
	r := w.register(c, s.ID, RegistrationChange{})
	w.register(c, s.ID, RegistrationChange{EventTypes: &[]string{"*"}})
	e := gatewaytest.Must(w.TestRegistration(t.Context(), c, r.ID))(w)
	want := provider.Event{
		ID: e.ID, Source: s.ID, Provider: direct, Type: gateway.TestEventType, Received: w.Now, Time: w.Now, ContentType: "application/json", Recipient: r.ID,
		Payload: []byte(`{"registration":"` + r.ID + `","message":"This is a test of your registration."}`),
	}
	if diff := cmp.Diff(want, e); diff != "" {
		t.Errorf("TestRegistration (-want +got):\n%s", diff)
	}
	if es := w.events(); len(es) != 1 || es[0].ID != e.ID || !json.Valid(es[0].Payload) || es[0].Recipient != r.ID {
		t.Errorf("events %+v, want the test's", es)
	}
	if again := gatewaytest.Must(w.TestRegistration(t.Context(), c, r.ID))(w); again.ID == e.ID {
		t.Error("a second test is the same event")
	}
	if w.Work(); len(w.Requests) != 2 {
		t.Errorf("the endpoint was called %d times, want twice", len(w.Requests))
	}
	w.WantErr("TestRegistration by another", gatewaytest.ErrOf(w.TestRegistration(t.Context(), w.other(), r.ID)), storage.ErrNotFound)
	w.OK(gatewaytest.ErrOf(w.DisableRegistration(t.Context(), c, r.ID)))
	w.WantUnwritten("disabled", func() {
		w.WantErr("TestRegistration of a disabled one", gatewaytest.ErrOf(w.TestRegistration(t.Context(), c, r.ID)), storage.ErrConflict)
	})
	w.OK(gatewaytest.ErrOf(w.EnableRegistration(t.Context(), c, r.ID)))
	w.WantFaultsReported("TestRegistration", func() storagetest.Operation {
		return storagetest.Operation{Do: func() error { return gatewaytest.ErrOf(w.TestRegistration(t.Context(), c, r.ID)) }}
	})
	w.Queue.Fail = storagetest.ErrBroken
	w.WantErr("TestRegistration without a queue", gatewaytest.ErrOf(w.TestRegistration(t.Context(), c, r.ID)), storage.ErrUnavailable)
	w.Queue.Fail = nil
	bad := r
	bad.ID, bad.Source = w.ID("reg"), "no source"
	w.Put(gateway.RegistrationKey(bad.ID), bad)
	w.Put(gateway.SourceKey("no source"), s)
	w.WantErr("TestRegistration on what is no source", gatewaytest.ErrOf(w.TestRegistration(t.Context(), c, bad.ID)), storage.ErrInvalid)
	w.OK(w.DeleteSource(t.Context(), s.ID, true))
	w.WantErr("TestRegistration of a removed one", gatewaytest.ErrOf(w.TestRegistration(t.Context(), c, r.ID)), storage.ErrConflict)
}

func TestJobIsOfOneRegistration(t *testing.T) {
	w := newWorld(t)
	s, c := w.granted(direct)
	c.Limits.Jobs = 100
	r := w.register(c, s.ID, RegistrationChange{})
	span := Span{Since: w.Now.Add(-time.Hour), Until: w.Now, Rate: 2000}
	for kind, f := range map[gateway.JobKind]func(Caller, string, string, Span) (gateway.Job, error){
		gateway.JobRecover: func(c Caller, id, r string, s Span) (gateway.Job, error) {
			return w.StartRecover(t.Context(), c, id, r, s)
		},
		gateway.JobReplay: func(c Caller, id, r string, s Span) (gateway.Job, error) {
			return w.StartReplay(t.Context(), c, id, r, s)
		},
		gateway.JobRelease: func(c Caller, id, r string, s Span) (gateway.Job, error) {
			return w.StartRelease(t.Context(), c, id, r, s)
		},
	} {
		id := w.ID("job")
		j := gatewaytest.Must(f(c, id, r.ID, span))(w)
		want := gateway.Job{
			ID: id, Kind: kind, Tenant: c.Tenant, Registration: r.ID, Source: s.ID, Since: span.Since, Until: span.Until, Rate: span.Rate,
			Status: gateway.JobRunning, Claim: j.Claim, Created: w.Now, Updated: w.Now,
		}
		if diff := cmp.Diff(want, j); diff != "" {
			t.Errorf("%s (-want +got):\n%s", kind, diff)
		}
		if got := gatewaytest.Must(w.JobOf(t.Context(), c, id))(w); cmp.Diff(want, got) != "" {
			t.Errorf("JobOf the %s = %+v, want %+v", kind, got, want)
		}
		w.WantUnwritten(string(kind), func() {
			w.WantErr(string(kind)+" until its beginning", gatewaytest.ErrOf(f(c, w.ID("job"), r.ID, Span{Since: w.Now, Until: w.Now})), storage.ErrInvalid)
			w.WantErr(string(kind)+" until before its beginning", gatewaytest.ErrOf(f(c, w.ID("job"), r.ID, Span{Since: w.Now, Until: w.Now.Add(-1)})), storage.ErrInvalid)
			for _, rate := range []float64{-1, limiter.MinRate * 0.999, math.NaN()} {
				w.WantErr(fmt.Sprint(kind, " at ", rate), gatewaytest.ErrOf(f(c, w.ID("job"), r.ID, Span{Since: span.Since, Rate: rate})), storage.ErrInvalid)
			}
			w.WantErr(string(kind)+" of another's", gatewaytest.ErrOf(f(w.other(), w.ID("job"), r.ID, span)), storage.ErrNotFound)
			w.WantErr(string(kind)+" of none", gatewaytest.ErrOf(f(c, w.ID("job"), "reg_9", span)), storage.ErrNotFound)
		})
		w.WantErr(string(kind)+" of a moment", gatewaytest.ErrOf(f(c, w.ID("job"), r.ID, Span{Since: w.Now, Until: w.Now.Add(time.Millisecond)})), nil)
		w.WantErr(string(kind)+" until now", gatewaytest.ErrOf(f(Operator(), w.ID("job"), r.ID, Span{})), ErrLimit)
		w.WantFaultsReported(string(kind), func() storagetest.Operation {
			id := w.ID("job")
			for _, j := range gatewaytest.MustPage(w.Jobs(t.Context(), c, "", storage.PageRequest{}))(w) {
				gatewaytest.Must(w.gw.CancelJob(t.Context(), j.ID))(w)
				w.OK(w.Store.Delete(t.Context(), gateway.TenantLinkKey(c.Tenant, "J", j.ID), storage.AnyRev))
			}
			return storagetest.Operation{Do: func() error { return gatewaytest.ErrOf(f(c, id, r.ID, Span{})) }}
		})
	}
	w.OK(gatewaytest.ErrOf(w.DisableRegistration(t.Context(), c, r.ID)))
	w.WantUnwritten("disabled", func() {
		w.WantErr("StartRecover of a disabled one", gatewaytest.ErrOf(w.StartRecover(t.Context(), c, w.ID("job"), r.ID, Span{})), storage.ErrConflict)
	})
}

func TestReplayNeedsAFullHistory(t *testing.T) {
	w := newWorld(t)
	s, c := w.granted(direct)
	r := w.register(c, s.ID, RegistrationChange{})
	w.OK(gatewaytest.ErrOf(w.ChangeSource(t.Context(), s.ID, SourceChange{History: new(gateway.FailureHistory)})))
	w.WantUnwritten("failures", func() {
		w.WantErr("StartReplay", gatewaytest.ErrOf(w.StartReplay(t.Context(), c, w.ID("job"), r.ID, Span{})), storage.ErrConflict)
	})
	w.WantErr("StartRecover", gatewaytest.ErrOf(w.StartRecover(t.Context(), c, w.ID("job"), r.ID, Span{})), nil)
}

func TestTenantHasRoomForSoManyJobs(t *testing.T) {
	w := newWorld(t)
	s, c := w.granted(direct)
	r, ordered := w.register(c, s.ID, RegistrationChange{}), w.register(c, s.ID, RegistrationChange{})
	start := func(c Caller, id string) error {
		return gatewaytest.ErrOf(w.StartRecover(t.Context(), c, id, r.ID, Span{}))
	}
	first := w.ID("job")
	w.WantErr("the first job", start(c, first), nil)
	w.WantErr("the first job again", start(c, first), nil)
	w.WantErr("a second job", start(c, w.ID("job")), ErrLimit)
	w.WantErr("a second job, by the operator", start(Operator(), w.ID("job")), ErrLimit)
	two := c
	two.Limits.Jobs = 2
	secondJob := w.ID("job")
	w.WantErr("a second job of two", start(two, secondJob), nil)
	w.WantErr("a third job of two", start(two, w.ID("job")), ErrLimit)
	gatewaytest.Must(w.CancelJobOf(t.Context(), c, first))(w)
	w.WantErr("a third job of two, when one was cancelled", start(two, w.ID("job")), nil)
	w.Put(gateway.TenantLinkKey(c.Tenant, "J", "job_9"), gateway.Link{ID: "job_9"}) // its row has expired
	w.WantErr("a second job, when one is gone", start(two, w.ID("job")), ErrLimit)

	for _, j := range gatewaytest.MustPage(w.Jobs(t.Context(), c, "", storage.PageRequest{}))(w) {
		gatewaytest.Must(w.CancelJobOf(t.Context(), c, j.ID))(w)
	}
	w.OK(gatewaytest.ErrOf(w.DisableRegistration(t.Context(), c, ordered.ID)))
	w.OK(gatewaytest.ErrOf(w.EnableRegistration(t.Context(), c, ordered.ID))) // the release that follows does not count
	w.WantErr("a job beside the release of the last moment", start(c, w.ID("job")), nil)
}

func TestJobsThatTenantsAskForCount(t *testing.T) {
	for _, tt := range []struct {
		kind  gateway.JobKind
		since time.Duration // before its start
		want  bool
	}{
		{gateway.JobRecover, 0, true},
		{gateway.JobReplay, 0, true},
		{gateway.JobRelease, heldBefore, false},
		{gateway.JobRelease, time.Minute, false},
		{gateway.JobRelease, time.Minute + 1, true},
		{gateway.JobErasure, time.Hour, false},
		{gateway.JobRemoval, time.Hour, false},
		{gateway.JobCode, time.Hour, false},
	} {
		if got := counts(gateway.Job{Kind: tt.kind, Created: gatewaytest.Start, Since: gatewaytest.Start.Add(-tt.since)}); got != tt.want {
			t.Errorf("counts(%s since %v) = %v, want %v", tt.kind, tt.since, got, tt.want)
		}
	}
}

func TestErasureNamesWhatItEmpties(t *testing.T) {
	w := newWorld(t)
	s := w.source(direct)
	match := gateway.Match{"message": {"m"}}
	w.WantUnwritten("refused", func() {
		w.WantErr("StartErasure of no source", gatewaytest.ErrOf(w.StartErasure(t.Context(), w.ID("job"), w.source2(), match)), storage.ErrNotFound)
		w.WantErr("StartErasure of everything", gatewaytest.ErrOf(w.StartErasure(t.Context(), w.ID("job"), s.ID, nil)), storage.ErrInvalid)
		w.WantErr("StartErasure of nothing", gatewaytest.ErrOf(w.StartErasure(t.Context(), w.ID("job"), s.ID, gateway.Match{})), storage.ErrInvalid)
		w.WantErr("StartErasure by an unknown key", gatewaytest.ErrOf(w.StartErasure(t.Context(), w.ID("job"), s.ID, gateway.Match{"bot": {"b"}})), storage.ErrInvalid)
	})
	id := w.ID("job")
	j := gatewaytest.Must(w.StartErasure(t.Context(), id, s.ID, match))(w)
	if j.ID != id || j.Kind != gateway.JobErasure || j.Source != s.ID || !cmp.Equal(j.Match, match) || j.Tenant != "" || j.Status != gateway.JobRunning {
		t.Errorf("StartErasure = %+v", j)
	}
	if row, ok := w.Row(gateway.ListKey("jobs", id)); !ok || !row.Expires.Equal(w.Now.Add(jobListed)) {
		t.Errorf("the job is listed %v, until %v, want 30 days", ok, row.Expires)
	}
	w.WantFaultsReported("StartErasure", func() storagetest.Operation {
		id := w.ID("job")
		return storagetest.Operation{Do: func() error { return gatewaytest.ErrOf(w.StartErasure(t.Context(), id, s.ID, match)) }, Done: func() {
			if !w.Stored(gateway.ListKey("jobs", id)) || !w.Stored(gateway.JobKey(id)) {
				t.Error("the job is not stored and listed")
			}
		}}
	})
}

func TestJobsAreListedByPages(t *testing.T) {
	w := newWorld(t)
	s, c := w.granted(direct)
	c.Limits.Jobs = 100
	r := w.register(c, s.ID, RegistrationChange{})
	var mine, operators []string
	for range 5 {
		w.Pass(time.Second)
		mine = append(mine, gatewaytest.Must(w.StartRecover(t.Context(), c, w.ID("job"), r.ID, Span{}))(w).ID)
		operators = append(operators, gatewaytest.Must(w.StartErasure(t.Context(), w.ID("job"), s.ID, gateway.Match{"message": {"m"}}))(w).ID)
	}
	w.Put(gateway.ListKey("jobs", "job_0"), gateway.Link{ID: "job_0"}) // its row has expired
	for _, tt := range []struct {
		name   string
		c      Caller
		tenant string
		want   []string
	}{{"a tenant", c, "", mine}, {"a tenant, by the operator", Operator(), c.Tenant, mine}, {"the operator", Operator(), "", operators}} {
		got := gatewaytest.IDs(pages(w, func(at storage.PageRequest) ([]gateway.Job, string, error) {
			return w.Jobs(t.Context(), tt.c, tt.tenant, at)
		}), func(j gateway.Job) string { return j.ID })
		if !slices.Equal(got, tt.want) {
			t.Errorf("Jobs of %s = %v, want %v", tt.name, got, tt.want)
		}
	}
	_, _, err := w.Jobs(t.Context(), w.other(), c.Tenant, storage.PageRequest{})
	w.WantErr("Jobs of another tenant", err, storage.ErrNotFound)
	w.WantErr("JobOf another tenant", gatewaytest.ErrOf(w.JobOf(t.Context(), w.other(), mine[0])), storage.ErrNotFound)
	w.WantErr("JobOf the operator's", gatewaytest.ErrOf(w.JobOf(t.Context(), c, operators[0])), storage.ErrNotFound)
	w.WantErr("JobOf none", gatewaytest.ErrOf(w.JobOf(t.Context(), c, "job_9")), storage.ErrNotFound)
	w.WantErr("JobOf none, by the operator", gatewaytest.ErrOf(w.JobOf(t.Context(), Operator(), "job_9")), storage.ErrNotFound)
}

func TestJobThatWasDecidedCannotBeCancelled(t *testing.T) {
	w := newWorld(t)
	s, c := w.granted(direct)
	r := w.register(c, s.ID, RegistrationChange{})
	recovering := gatewaytest.Must(w.StartRecover(t.Context(), c, w.ID("job"), r.ID, Span{}))(w)
	w.WantUnwritten("another's", func() {
		w.WantErr("CancelJobOf another's", gatewaytest.ErrOf(w.CancelJobOf(t.Context(), w.other(), recovering.ID)), storage.ErrNotFound)
		w.WantErr("CancelJobOf none", gatewaytest.ErrOf(w.CancelJobOf(t.Context(), c, "job_9")), storage.ErrNotFound)
	})
	j := gatewaytest.Must(w.CancelJobOf(t.Context(), c, recovering.ID))(w)
	if got := gatewaytest.Must(w.JobOf(t.Context(), c, recovering.ID))(w); j.Status != gateway.JobCancelled || got.Status != gateway.JobCancelled {
		t.Errorf("CancelJobOf = %+v, JobOf after it = %+v, want it cancelled", j, got)
	}
	for _, kind := range []gateway.JobKind{gateway.JobErasure, gateway.JobReseal} {
		j := gatewaytest.Must(w.StartListed(t.Context(), gateway.Job{Kind: kind, Source: s.ID}))(w)
		if got := gatewaytest.Must(w.CancelJobOf(t.Context(), Operator(), j.ID))(w); got.Status != gateway.JobCancelled {
			t.Errorf("CancelJobOf a job of kind %s = %+v, want it cancelled", kind, got)
		}
	}
	for _, kind := range []gateway.JobKind{gateway.JobRemoval, gateway.JobCode} {
		j := gatewaytest.Must(w.StartListed(t.Context(), gateway.Job{Kind: kind, Tenant: "ten_8"}))(w)
		w.WantUnwritten(string(kind), func() {
			w.WantErr("CancelJobOf a job of kind "+string(kind), gatewaytest.ErrOf(w.CancelJobOf(t.Context(), Operator(), j.ID)), storage.ErrConflict)
		})
	}
}

func TestQueuesTellTheirDepth(t *testing.T) {
	w := newWorld(t)
	w.Store.Heal()
	w.Queue.Depths = map[storage.QueueName]storage.Depth{storage.EventsQueue: {Waiting: 1, Dead: 2}, storage.RetryQueue: {Delayed: 3}, storage.SlowQueue: {InFlight: 4}}
	got, err := w.DeadLetters(t.Context())
	if diff := cmp.Diff(w.Queue.Depths, got); diff != "" || err != nil {
		t.Errorf("DeadLetters: %v (-want +got):\n%s", err, diff)
	}
	w.Queue.Fail = storagetest.ErrBroken
	_, err = w.DeadLetters(t.Context())
	if w.WantErr("DeadLetters without a queue", err, storagetest.ErrBroken); !strings.Contains(err.Error(), string(storage.EventsQueue)) {
		t.Errorf("DeadLetters without a queue: %v, want it to name the queue", err)
	}
}

func TestStepsAreOfThisPackagesJobs(t *testing.T) {
	w := newWorld(t)
	steps := Steps(w.gw)
	for _, kind := range []gateway.JobKind{gateway.JobRemoval, gateway.JobErasure, gateway.JobCode} {
		if steps[kind] == nil {
			t.Errorf("there is no step for jobs of kind %s", kind)
		}
	}
	if len(steps) != 3 || w.Gateway() != w.gw {
		t.Errorf("%d steps, want 3; Gateway() is the world's: %v", len(steps), w.Gateway() == w.gw)
	}
}
