package api

import (
	"context"
	"maps"
	"slices"
	"time"

	"ringback/shared/control"
	"ringback/shared/gateway"
	"ringback/shared/ident"
	"ringback/shared/storage"
)

// A job is durable work in chunks.
type job struct {
	ID           string              `json:"id"`
	Kind         string              `json:"kind"`
	Status       string              `json:"status" enum:"running,done,cancelled,failed"`
	Why          string              `json:"why,omitempty"`
	Tenant       string              `json:"tenant,omitempty"`
	Registration string              `json:"registration,omitempty"`
	Source       string              `json:"source,omitempty"`
	Group        string              `json:"group,omitempty"`
	Match        map[string][]string `json:"match,omitempty"`
	Since        time.Time           `json:"since,omitzero"`
	Until        time.Time           `json:"until,omitzero"`
	Rate         float64             `json:"rate,omitempty" doc:"deliveries per second that were asked for"`
	Done         int                 `json:"done" doc:"rows dealt with"`
	Skipped      int                 `json:"skipped"`
	Created      time.Time           `json:"created"`
	Updated      time.Time           `json:"updated"`
}

func jobView(j gateway.Job) job {
	return job{
		ID: j.ID, Kind: string(j.Kind), Status: string(j.Status), Why: j.Why, Tenant: j.Tenant, Registration: j.Registration,
		Source: j.Source, Group: j.Group, Match: j.Match, Since: j.Since, Until: j.Until, Rate: j.Rate, Done: j.Done, Skipped: j.Skipped,
		Created: j.Created, Updated: j.Updated,
	}
}

// tested names the event that a test sent.
type tested struct {
	Event    string `json:"event"`
	Delivery string `json:"delivery" doc:"there soon"`
}

func (s workAPI) testRegistration(ctx context.Context, c control.Caller, in *ByID) (*body[tested], error) {
	e, err := s.control.TestRegistration(ctx, c, in.ID)
	return &body[tested]{tested{e.ID, ident.Delivery(in.ID, e.ID)}}, err
}

type spanInput struct {
	Once
	ByID
	Body struct {
		Since time.Time `json:"since"`
		Until time.Time `json:"until,omitzero" doc:"of replay-missing"`
		Rate  float64   `json:"rate,omitempty" doc:"deliveries per second, at least one an hour; default: as the registration's limits have it, else 50"`
	}
}

// A startJob starts a job under id, about a registration.
type startJob func(ctx context.Context, c control.Caller, id, registration string, span control.Span) (gateway.Job, error)

// starter returns the operation that starts jobs by start.
func (s workAPI) starter(start startJob) func(context.Context, control.Caller, *spanInput) (*created[job], error) {
	return func(ctx context.Context, c control.Caller, in *spanInput) (*created[job], error) {
		span := control.Span{Since: in.Body.Since.UTC(), Until: in.Body.Until.UTC(), Rate: in.Body.Rate}
		return s.started(ctx, c, in.Once, in, func(id string) (gateway.Job, error) { return start(ctx, c, id, in.ID, span) })
	}
}

func (s *server) started(ctx context.Context, c control.Caller, o Once, asked any, start func(id string) (gateway.Job, error)) (*created[job], error) {
	return createOnce(ctx, s, o, "job", asked, func(id string) (job, error) {
		j, err := start(id)
		return jobView(j), err
	}, func(id string) (job, error) {
		j, err := s.control.JobOf(ctx, c, id)
		return jobView(j), err
	})
}

type dryRunInput struct {
	ByID
	Body struct {
		Since      time.Time  `json:"since"`
		EventTypes *[]string  `json:"event_types,omitempty"`
		Match      matchField `json:"match,omitempty"`
	}
}

type dryRun struct {
	Looked   int     `json:"looked" doc:"events that the tenant may have, newest first"`
	Matched  int     `json:"matched"`
	Complete bool    `json:"complete" doc:"all since then were looked at"`
	Events   []event `json:"events" nullable:"false" doc:"the newest 100 that match"`
}

func (s workAPI) dryRun(ctx context.Context, c control.Caller, in *dryRunInput) (*body[dryRun], error) {
	ch, err := RegistrationFields{EventTypes: in.Body.EventTypes, Match: in.Body.Match}.change()
	if err != nil {
		return nil, err
	}
	run, err := s.history.DryRunRegistration(ctx, c, in.ID, in.Body.Since.UTC(), ch)
	v := dryRun{Looked: run.Looked, Matched: run.Matched, Complete: run.Complete, Events: []event{}}
	for _, e := range run.Events {
		v.Events = append(v.Events, eventView(e))
	}
	return &body[dryRun]{v}, err
}

func (s workAPI) listJobs(ctx context.Context, c control.Caller, in *listOfTenant) (*body[page[job]], error) {
	jobs, next, err := s.control.Jobs(ctx, c, in.Tenant, in.place())
	return pageOf(jobs, next, jobView), err
}

func (s workAPI) getJob(ctx context.Context, c control.Caller, in *ByID) (*body[job], error) {
	j, err := s.control.JobOf(ctx, c, in.ID)
	return &body[job]{jobView(j)}, err
}

func (s workAPI) cancelJob(ctx context.Context, c control.Caller, in *ByID) (*body[job], error) {
	j, err := s.control.CancelJobOf(ctx, c, in.ID)
	return &body[job]{jobView(j)}, err
}

type erasureInput struct {
	Once
	Body struct {
		Source string              `json:"source"`
		Match  map[string][]string `json:"match"`
	}
}

func (s workAPI) createErasure(ctx context.Context, c control.Caller, in *erasureInput) (*created[job], error) {
	return s.started(ctx, c, in.Once, in, func(id string) (gateway.Job, error) {
		return s.control.StartErasure(ctx, id, in.Body.Source, in.Body.Match)
	})
}

// queueDepth is about how many messages a queue has.
type queueDepth struct {
	Queue    string `json:"queue" enum:"events,retry,slow"`
	Waiting  int    `json:"waiting"`
	InFlight int    `json:"in_flight"`
	Delayed  int    `json:"delayed"`
	Dead     int    `json:"dead" doc:"dead letters"`

	OldestDue time.Time `json:"oldest_due,omitzero" doc:"of the retry queue: when the oldest of what should have been handed out fell due; left out if nothing is late"`
}

func (s workAPI) deadLetters(ctx context.Context, _ control.Caller, _ *empty) (*body[page[queueDepth]], error) {
	depths, err := s.control.DeadLetters(ctx)
	if err != nil {
		return nil, err
	}
	late, err := s.g.PastDue(ctx)
	return pageOf(slices.Sorted(maps.Keys(depths)), "", func(q storage.QueueName) queueDepth {
		d := depths[q]
		v := queueDepth{Queue: string(q), Waiting: d.Waiting, InFlight: d.InFlight, Delayed: d.Delayed, Dead: d.Dead}
		if q == storage.RetryQueue {
			v.OldestDue = late
		}
		return v
	}), err
}

type redriveInput struct {
	Queue string `path:"queue" enum:"events,retry,slow"`
}

func (s workAPI) redrive(ctx context.Context, _ control.Caller, in *redriveInput) (*empty, error) {
	return nil, s.g.Queue.Redrive(ctx, storage.QueueName(in.Queue))
}
