package api

import (
	"context"
	"time"

	"ringback/shared/control"
	"ringback/shared/gateway"
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
	Rate         float64             `json:"rate,omitempty" doc:"requested deliveries per second"`
	Done         int                 `json:"done" doc:"rows that are done"`
	Skipped      int                 `json:"skipped"`
	Created      time.Time           `json:"created"`
	Updated      time.Time           `json:"updated"`
}

func jobView(j gateway.Job) job {
	return job{
		ID: j.ID, Kind: string(j.Kind), Status: string(j.Status), Why: j.Reason, Tenant: j.Tenant, Registration: j.Registration,
		Source: j.Source, Group: j.Group, Match: j.Match, Since: j.Since, Until: j.Until, Rate: j.Rate, Done: j.Done, Skipped: j.Skipped,
		Created: j.Created, Updated: j.Updated,
	}
}

type spanInput struct {
	Once
	ByID
	Body struct {
		Since time.Time `json:"since"`
		Until time.Time `json:"until,omitzero" doc:"of replay-missing"`
		Rate  float64   `json:"rate,omitempty" doc:"deliveries per second, at least one an hour; default: as in the registration's limits, otherwise 50"`
	}
}

// starter returns the operation that starts jobs by start, which makes one under id, about a registration.
func (s jobAPI) starter(
	start func(ctx context.Context, c control.Caller, id, registration string, span control.Span) (gateway.Job, error),
) func(context.Context, control.Caller, *spanInput) (*created[job], error) {
	return func(ctx context.Context, c control.Caller, in *spanInput) (*created[job], error) {
		span := control.Span{Since: in.Body.Since.UTC(), Until: in.Body.Until.UTC(), Rate: in.Body.Rate}
		return s.started(ctx, c, in.Once, in, func(id string) (gateway.Job, error) { return start(ctx, c, id, in.ID, span) })
	}
}

func (s *server) started(ctx context.Context, c control.Caller, o Once, input any, start func(id string) (gateway.Job, error)) (*created[job], error) {
	return createOnce(ctx, s, o, "job", input, func(id string) (job, error) {
		j, err := start(id)
		return jobView(j), err
	}, func(id string) (job, error) {
		j, err := s.control.JobOf(ctx, c, id)
		return jobView(j), err
	})
}

func (s jobAPI) listJobs(ctx context.Context, c control.Caller, in *listOfTenant) (*body[page[job]], error) {
	jobs, next, err := s.control.Jobs(ctx, c, in.Tenant, in.pageRequest())
	return pageOf(jobs, next, jobView), err
}

func (s jobAPI) getJob(ctx context.Context, c control.Caller, in *ByID) (*body[job], error) {
	j, err := s.control.JobOf(ctx, c, in.ID)
	return &body[job]{jobView(j)}, err
}

func (s jobAPI) cancelJob(ctx context.Context, c control.Caller, in *ByID) (*body[job], error) {
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

func (s jobAPI) createErasure(ctx context.Context, c control.Caller, in *erasureInput) (*created[job], error) {
	return s.started(ctx, c, in.Once, in, func(id string) (gateway.Job, error) {
		return s.control.StartErasure(ctx, id, in.Body.Source, in.Body.Match)
	})
}
