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
)

func TestRegistrationIsTested(t *testing.T) {
	w := newWorld(t)
	s, c := w.granted(direct)
	r := w.register(c, s.ID, RegistrationChange{})
	w.register(c, s.ID, RegistrationChange{EventTypes: &[]string{"*"}})
	e := must(w.TestRegistration(t.Context(), c, r.ID))(w)
	want := provider.Event{
		ID: e.ID, Source: s.ID, Provider: direct, Type: gateway.TestEventType, Received: w.now, Time: w.now, ContentType: "application/json", Recipient: r.ID,
		Payload: []byte(`{"registration":"` + r.ID + `","message":"This is a test of your registration."}`),
	}
	if diff := cmp.Diff(want, e); diff != "" {
		t.Errorf("TestRegistration (-want +got):\n%s", diff)
	}
	if es := w.events(); len(es) != 1 || es[0].ID != e.ID || !json.Valid(es[0].Payload) || es[0].Recipient != r.ID {
		t.Errorf("events %+v, want the test's", es)
	}
	if again := must(w.TestRegistration(t.Context(), c, r.ID))(w); again.ID == e.ID {
		t.Error("a second test is the same event")
	}
	if w.work(); len(w.asked) != 2 {
		t.Errorf("the endpoint was called %d times, want twice", len(w.asked))
	}
	w.wantErr("TestRegistration by another", second(w.TestRegistration(t.Context(), w.other(), r.ID)), storage.ErrNotFound)
	w.ok(second(w.DisableRegistration(t.Context(), c, r.ID)))
	w.wantUnwritten("disabled", func() {
		w.wantErr("TestRegistration of a disabled one", second(w.TestRegistration(t.Context(), c, r.ID)), storage.ErrConflict)
	})
	w.ok(second(w.EnableRegistration(t.Context(), c, r.ID)))
	w.wantFaultsTold("TestRegistration", func() storagetest.Operation {
		return storagetest.Operation{Do: func() error { return second(w.TestRegistration(t.Context(), c, r.ID)) }}
	})
	w.queue.fail = storagetest.ErrBroken
	w.wantErr("TestRegistration without a queue", second(w.TestRegistration(t.Context(), c, r.ID)), storage.ErrUnavailable)
	w.queue.fail = nil
	bad := r
	bad.ID, bad.Source = w.id("reg"), "no source"
	w.put(gateway.RegistrationKey(bad.ID), bad)
	w.put(gateway.SourceKey("no source"), s)
	w.wantErr("TestRegistration on what is no source", second(w.TestRegistration(t.Context(), c, bad.ID)), storage.ErrInvalid)
	w.ok(w.DeleteSource(t.Context(), s.ID, true))
	w.wantErr("TestRegistration of a removed one", second(w.TestRegistration(t.Context(), c, r.ID)), storage.ErrConflict)
}

func TestJobIsOfOneRegistration(t *testing.T) {
	w := newWorld(t)
	s, c := w.granted(direct)
	c.Limits.Jobs = 100
	r := w.register(c, s.ID, RegistrationChange{})
	span := Span{Since: w.now.Add(-time.Hour), Until: w.now, Rate: 2000}
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
		id := w.id("job")
		j := must(f(c, id, r.ID, span))(w)
		want := gateway.Job{
			ID: id, Kind: kind, Tenant: c.Tenant, Registration: r.ID, Source: s.ID, Since: span.Since, Until: span.Until, Rate: span.Rate,
			Status: gateway.JobRunning, Claim: j.Claim, Created: w.now, Updated: w.now,
		}
		if diff := cmp.Diff(want, j); diff != "" {
			t.Errorf("%s (-want +got):\n%s", kind, diff)
		}
		if got := must(w.JobOf(t.Context(), c, id))(w); cmp.Diff(want, got) != "" {
			t.Errorf("JobOf the %s = %+v, want %+v", kind, got, want)
		}
		w.wantUnwritten(string(kind), func() {
			w.wantErr(string(kind)+" until its beginning", second(f(c, w.id("job"), r.ID, Span{Since: w.now, Until: w.now})), storage.ErrInvalid)
			w.wantErr(string(kind)+" until before its beginning", second(f(c, w.id("job"), r.ID, Span{Since: w.now, Until: w.now.Add(-1)})), storage.ErrInvalid)
			for _, rate := range []float64{-1, limiter.MinRate * 0.999, math.NaN()} {
				w.wantErr(fmt.Sprint(kind, " at ", rate), second(f(c, w.id("job"), r.ID, Span{Since: span.Since, Rate: rate})), storage.ErrInvalid)
			}
			w.wantErr(string(kind)+" of another's", second(f(w.other(), w.id("job"), r.ID, span)), storage.ErrNotFound)
			w.wantErr(string(kind)+" of none", second(f(c, w.id("job"), "reg_9", span)), storage.ErrNotFound)
		})
		w.wantErr(string(kind)+" of a moment", second(f(c, w.id("job"), r.ID, Span{Since: w.now, Until: w.now.Add(time.Millisecond)})), nil)
		w.wantErr(string(kind)+" until now", second(f(Operator(), w.id("job"), r.ID, Span{})), ErrLimit)
		w.wantFaultsTold(string(kind), func() storagetest.Operation {
			id := w.id("job")
			for _, j := range must2(w.Jobs(t.Context(), c, "", storage.PageRequest{}))(w) {
				must(w.gw.CancelJob(t.Context(), j.ID))(w)
				w.ok(w.store.Delete(t.Context(), gateway.TenantLinkKey(c.Tenant, "J", j.ID), storage.AnyRev))
			}
			return storagetest.Operation{Do: func() error { return second(f(c, id, r.ID, Span{})) }}
		})
	}
	w.ok(second(w.DisableRegistration(t.Context(), c, r.ID)))
	w.wantUnwritten("disabled", func() {
		w.wantErr("StartRecover of a disabled one", second(w.StartRecover(t.Context(), c, w.id("job"), r.ID, Span{})), storage.ErrConflict)
	})
}

func TestReplayNeedsAFullHistory(t *testing.T) {
	w := newWorld(t)
	s, c := w.granted(direct)
	r := w.register(c, s.ID, RegistrationChange{})
	w.ok(second(w.ChangeSource(t.Context(), s.ID, SourceChange{History: new(gateway.FailureHistory)})))
	w.wantUnwritten("failures", func() {
		w.wantErr("StartReplay", second(w.StartReplay(t.Context(), c, w.id("job"), r.ID, Span{})), storage.ErrConflict)
	})
	w.wantErr("StartRecover", second(w.StartRecover(t.Context(), c, w.id("job"), r.ID, Span{})), nil)
}

func TestTenantHasRoomForSoManyJobs(t *testing.T) {
	w := newWorld(t)
	s, c := w.granted(direct)
	r, ordered := w.register(c, s.ID, RegistrationChange{}), w.register(c, s.ID, RegistrationChange{})
	start := func(c Caller, id string) error { return second(w.StartRecover(t.Context(), c, id, r.ID, Span{})) }
	first := w.id("job")
	w.wantErr("the first job", start(c, first), nil)
	w.wantErr("the first job again", start(c, first), nil)
	w.wantErr("a second job", start(c, w.id("job")), ErrLimit)
	w.wantErr("a second job, by the operator", start(Operator(), w.id("job")), ErrLimit)
	two := c
	two.Limits.Jobs = 2
	secondJob := w.id("job")
	w.wantErr("a second job of two", start(two, secondJob), nil)
	w.wantErr("a third job of two", start(two, w.id("job")), ErrLimit)
	must(w.CancelJobOf(t.Context(), c, first))(w)
	w.wantErr("a third job of two, when one was cancelled", start(two, w.id("job")), nil)
	w.put(gateway.TenantLinkKey(c.Tenant, "J", "job_9"), gateway.Link{ID: "job_9"}) // its row has expired
	w.wantErr("a second job, when one is gone", start(two, w.id("job")), ErrLimit)

	for _, j := range must2(w.Jobs(t.Context(), c, "", storage.PageRequest{}))(w) {
		must(w.CancelJobOf(t.Context(), c, j.ID))(w)
	}
	w.ok(second(w.DisableRegistration(t.Context(), c, ordered.ID)))
	w.ok(second(w.EnableRegistration(t.Context(), c, ordered.ID))) // the release that follows does not count
	w.wantErr("a job beside the release of the last moment", start(c, w.id("job")), nil)
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
		if got := counts(gateway.Job{Kind: tt.kind, Created: start, Since: start.Add(-tt.since)}); got != tt.want {
			t.Errorf("counts(%s since %v) = %v, want %v", tt.kind, tt.since, got, tt.want)
		}
	}
}

func TestErasureNamesWhatItEmpties(t *testing.T) {
	w := newWorld(t)
	s := w.source(direct)
	match := gateway.Match{"message": {"m"}}
	w.wantUnwritten("refused", func() {
		w.wantErr("StartErasure of no source", second(w.StartErasure(t.Context(), w.id("job"), w.source2(), match)), storage.ErrNotFound)
		w.wantErr("StartErasure of everything", second(w.StartErasure(t.Context(), w.id("job"), s.ID, nil)), storage.ErrInvalid)
		w.wantErr("StartErasure of nothing", second(w.StartErasure(t.Context(), w.id("job"), s.ID, gateway.Match{})), storage.ErrInvalid)
		w.wantErr("StartErasure by an unknown key", second(w.StartErasure(t.Context(), w.id("job"), s.ID, gateway.Match{"bot": {"b"}})), storage.ErrInvalid)
	})
	id := w.id("job")
	j := must(w.StartErasure(t.Context(), id, s.ID, match))(w)
	if j.ID != id || j.Kind != gateway.JobErasure || j.Source != s.ID || !cmp.Equal(j.Match, match) || j.Tenant != "" || j.Status != gateway.JobRunning {
		t.Errorf("StartErasure = %+v", j)
	}
	if row, ok := w.row(gateway.ListKey("jobs", id)); !ok || !row.Expires.Equal(w.now.Add(jobListed)) {
		t.Errorf("the job is listed %v, until %v, want 30 days", ok, row.Expires)
	}
	w.wantFaultsTold("StartErasure", func() storagetest.Operation {
		id := w.id("job")
		return storagetest.Operation{Do: func() error { return second(w.StartErasure(t.Context(), id, s.ID, match)) }, Done: func() {
			if !w.stored(gateway.ListKey("jobs", id)) || !w.stored(gateway.JobKey(id)) {
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
		w.pass(time.Second)
		mine = append(mine, must(w.StartRecover(t.Context(), c, w.id("job"), r.ID, Span{}))(w).ID)
		operators = append(operators, must(w.StartErasure(t.Context(), w.id("job"), s.ID, gateway.Match{"message": {"m"}}))(w).ID)
	}
	w.put(gateway.ListKey("jobs", "job_0"), gateway.Link{ID: "job_0"}) // its row has expired
	for _, tt := range []struct {
		name   string
		c      Caller
		tenant string
		want   []string
	}{{"a tenant", c, "", mine}, {"a tenant, by the operator", Operator(), c.Tenant, mine}, {"the operator", Operator(), "", operators}} {
		got := idsOf(pages(w, func(at storage.PageRequest) ([]gateway.Job, string, error) {
			return w.Jobs(t.Context(), tt.c, tt.tenant, at)
		}), func(j gateway.Job) string { return j.ID })
		if !slices.Equal(got, tt.want) {
			t.Errorf("Jobs of %s = %v, want %v", tt.name, got, tt.want)
		}
	}
	_, _, err := w.Jobs(t.Context(), w.other(), c.Tenant, storage.PageRequest{})
	w.wantErr("Jobs of another tenant", err, storage.ErrNotFound)
	w.wantErr("JobOf another tenant", second(w.JobOf(t.Context(), w.other(), mine[0])), storage.ErrNotFound)
	w.wantErr("JobOf the operator's", second(w.JobOf(t.Context(), c, operators[0])), storage.ErrNotFound)
	w.wantErr("JobOf none", second(w.JobOf(t.Context(), c, "job_9")), storage.ErrNotFound)
	w.wantErr("JobOf none, by the operator", second(w.JobOf(t.Context(), Operator(), "job_9")), storage.ErrNotFound)
}

func TestJobThatWasDecidedCannotBeCancelled(t *testing.T) {
	w := newWorld(t)
	s, c := w.granted(direct)
	r := w.register(c, s.ID, RegistrationChange{})
	recovering := must(w.StartRecover(t.Context(), c, w.id("job"), r.ID, Span{}))(w)
	w.wantUnwritten("another's", func() {
		w.wantErr("CancelJobOf another's", second(w.CancelJobOf(t.Context(), w.other(), recovering.ID)), storage.ErrNotFound)
		w.wantErr("CancelJobOf none", second(w.CancelJobOf(t.Context(), c, "job_9")), storage.ErrNotFound)
	})
	j := must(w.CancelJobOf(t.Context(), c, recovering.ID))(w)
	if got := must(w.JobOf(t.Context(), c, recovering.ID))(w); j.Status != gateway.JobCancelled || got.Status != gateway.JobCancelled {
		t.Errorf("CancelJobOf = %+v, JobOf after it = %+v, want it cancelled", j, got)
	}
	for _, kind := range []gateway.JobKind{gateway.JobErasure, gateway.JobReseal} {
		j := must(w.StartListed(t.Context(), gateway.Job{Kind: kind, Source: s.ID}))(w)
		if got := must(w.CancelJobOf(t.Context(), Operator(), j.ID))(w); got.Status != gateway.JobCancelled {
			t.Errorf("CancelJobOf a job of kind %s = %+v, want it cancelled", kind, got)
		}
	}
	for _, kind := range []gateway.JobKind{gateway.JobRemoval, gateway.JobCode} {
		j := must(w.StartListed(t.Context(), gateway.Job{Kind: kind, Tenant: "ten_8"}))(w)
		w.wantUnwritten(string(kind), func() {
			w.wantErr("CancelJobOf a job of kind "+string(kind), second(w.CancelJobOf(t.Context(), Operator(), j.ID)), storage.ErrConflict)
		})
	}
}

func TestQueuesTellTheirDepth(t *testing.T) {
	w := newWorld(t)
	w.store.Heal()
	w.queue.depth = map[storage.QueueName]storage.Depth{storage.EventsQueue: {Waiting: 1, Dead: 2}, storage.RetryQueue: {Delayed: 3}, storage.SlowQueue: {InFlight: 4}}
	got, err := w.DeadLetters(t.Context())
	if diff := cmp.Diff(w.queue.depth, got); diff != "" || err != nil {
		t.Errorf("DeadLetters: %v (-want +got):\n%s", err, diff)
	}
	w.queue.fail = storagetest.ErrBroken
	_, err = w.DeadLetters(t.Context())
	if w.wantErr("DeadLetters without a queue", err, storagetest.ErrBroken); !strings.Contains(err.Error(), string(storage.EventsQueue)) {
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
