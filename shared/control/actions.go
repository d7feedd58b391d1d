package control

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"ringback/shared/gateway"
	"ringback/shared/ident"
	"ringback/shared/provider"
	"ringback/shared/storage"
)

// jobListed is how long a job without a tenant stays in the operator's list.
const jobListed = 30 * 24 * time.Hour

// TestRegistration queues an event of type registration.test for a registration of c's and returns its id.
// The error wraps storage.ErrConflict if the registration is not enabled.
func (wk *actions) TestRegistration(ctx context.Context, c Caller, id string) (provider.Event, error) {
	r, err := wk.Registration(ctx, c, id)
	if err != nil {
		return provider.Event{}, err
	}
	if r.State != gateway.Enabled {
		return provider.Event{}, fmt.Errorf("test: %w: the registration is not enabled", storage.ErrConflict)
	}
	s, err := wk.Source(ctx, r.Source)
	if err != nil {
		return provider.Event{}, err
	}
	now := wk.gw.Clock()
	e := provider.Event{Source: r.Source, Provider: s.Provider, Type: gateway.TestEventType, Received: now, Time: now, ContentType: "application/json", Recipient: r.ID}
	if e.ID, err = ident.Event(r.Source, "", now, gateway.TestEventType, storage.NewRev()); err != nil {
		return e, err
	}
	e.Payload, _ = json.Marshal(struct { // two strings always encode
		Registration string `json:"registration"`
		Message      string `json:"message"`
	}{r.ID, "This is a test of your registration."})
	return e, wk.gw.SendTo(ctx, e)
}

// A Span is the range of time that a job works on, and the rate at which it makes deliveries due.
type Span struct {
	Since, Until time.Time // Until is for replay-missing only; zero: now
	Rate         float64   // deliveries per second, within the registration's limits; zero: those, or 50 without any
}

// StartRecover starts the job that makes the deliveries due again that failed in a span of time.
func (wk *actions) StartRecover(ctx context.Context, c Caller, id, registration string, s Span) (gateway.Job, error) {
	return wk.startFor(ctx, c, id, registration, gateway.JobRecover, s)
}

// StartReplay starts the job that delivers what a registration would have received since a time. The error wraps
// storage.ErrConflict if the source's history is not full.
func (wk *actions) StartReplay(ctx context.Context, c Caller, id, registration string, s Span) (gateway.Job, error) {
	return wk.startFor(ctx, c, id, registration, gateway.JobReplay, s)
}

// StartRelease starts the job that makes deliveries due that were held since a time.
func (wk *actions) StartRelease(ctx context.Context, c Caller, id, registration string, s Span) (gateway.Job, error) {
	return wk.startFor(ctx, c, id, registration, gateway.JobRelease, s)
}

// startFor checks a job of a registration and starts it.
func (wk *actions) startFor(ctx context.Context, c Caller, id, registration string, kind gateway.JobKind, s Span) (gateway.Job, error) {
	r, err := wk.Registration(ctx, c, registration)
	switch {
	case err != nil:
		return gateway.Job{}, err
	case r.State != gateway.Enabled:
		return gateway.Job{}, fmt.Errorf("%s: %w: the registration is not enabled", kind, storage.ErrConflict)
	case !s.Until.IsZero() && !s.Until.After(s.Since):
		return gateway.Job{}, fmt.Errorf("until: %w: want a time after since", storage.ErrInvalid)
	case gateway.RateTooLow(s.Rate):
		return gateway.Job{}, fmt.Errorf("rate: %w: want deliveries per second, at least one an hour (1/3600), or 0 for the registration's own", storage.ErrInvalid)
	}
	if kind == gateway.JobReplay {
		if err := wk.RequireFullHistory(ctx, r.Source); err != nil {
			return gateway.Job{}, err
		}
	}
	if err := wk.checkJobLimit(ctx, c, r.Tenant, id); err != nil {
		return gateway.Job{}, err
	}
	return wk.gw.StartJob(ctx, gateway.Job{ID: id, Kind: kind, Tenant: r.Tenant, Registration: r.ID, Source: r.Source, Since: s.Since, Until: s.Until, Rate: s.Rate})
}

// RequireFullHistory returns an error wrapping storage.ErrConflict unless the source's history is full.
func (wk *actions) RequireFullHistory(ctx context.Context, source string) error {
	s, err := wk.Source(ctx, source)
	if err == nil && s.History != gateway.FullHistory {
		return fmt.Errorf("source: %w: its history is not full", storage.ErrConflict)
	}
	return err
}

// checkJobLimit returns an error wrapping ErrLimit if the tenant runs as many jobs as it may.
func (wk *actions) checkJobLimit(ctx context.Context, c Caller, tenant, id string) error {
	running := 0
	err := wk.each(ctx, gateway.TenantKey(tenant).PK, "J#", func(job string, _ storage.Row) error {
		j, err := wk.gw.Job(ctx, job)
		if err == nil && j.ID != id && j.Status == gateway.JobRunning && counts(j) {
			running++
		}
		return nil
	})
	if most := c.Limits.OrDefault().Jobs; err == nil && running >= most {
		return fmt.Errorf("jobs: %w: %d is running; wait for its end or cancel it", ErrLimit, running)
	}
	return err
}

// counts reports whether a tenant started j itself. The short release that follows an enable does not count.
func counts(j gateway.Job) bool {
	switch j.Kind {
	case gateway.JobRecover, gateway.JobReplay:
		return true
	case gateway.JobRelease:
		return j.Created.Sub(j.Since) > time.Minute
	}
	return false
}

// StartErasure starts the job that empties the events of a source that match.
func (wk *actions) StartErasure(ctx context.Context, id, source string, match gateway.Match) (gateway.Job, error) {
	s, err := wk.Source(ctx, source)
	if err != nil {
		return gateway.Job{}, err
	}
	if match == nil {
		return gateway.Job{}, fmt.Errorf("match: %w: want at least one routing key", storage.ErrInvalid)
	}
	if err := match.Check(wk.gw.Providers[s.Provider].KeyKinds()); err != nil {
		return gateway.Job{}, err
	}
	return wk.StartListed(ctx, gateway.Job{ID: id, Kind: gateway.JobErasure, Source: source, Match: match})
}

// StartListed starts a job that the operator's list shows.
func (wk *actions) StartListed(ctx context.Context, j gateway.Job) (gateway.Job, error) {
	if j.ID == "" {
		j.ID = ident.New("job", wk.gw.Clock())
	}
	row := storage.Row{Key: gateway.ListKey("jobs", j.ID), Expires: wk.gw.Clock().Add(jobListed)}
	if err := storage.PutRow(ctx, wk.gw.Store, row, gateway.Link{ID: j.ID}, storage.AnyRev); err != nil {
		return j, err
	}
	return wk.gw.StartJob(ctx, j)
}

// Jobs returns a page of a tenant's jobs, or of the operator's own.
func (wk *actions) Jobs(ctx context.Context, c Caller, tenant string, at storage.PageRequest) ([]gateway.Job, string, error) {
	tenant, err := c.TenantIn(tenant)
	if err != nil {
		return nil, "", err
	}
	q, start := storage.Query{Table: storage.Registrations, PK: gateway.ListKey("jobs", "").PK}, ""
	if tenant != "" {
		q.PK, start = gateway.TenantKey(tenant).PK, "J#"
	}
	return storage.ListPage(ctx, wk.gw.Store, at.Query(q, start), func(r storage.Row) (gateway.Job, error) {
		return wk.gw.Job(ctx, strings.TrimPrefix(r.SK, start))
	})
}

// JobOf returns a job of c's.
func (wk *actions) JobOf(ctx context.Context, c Caller, id string) (gateway.Job, error) {
	j, err := wk.gw.Job(ctx, id)
	if err != nil {
		return j, err
	}
	return j, c.Owns(j.Tenant)
}

// CancelJobOf ends a job of c's after the chunk that runs now.
func (wk *actions) CancelJobOf(ctx context.Context, c Caller, id string) (gateway.Job, error) {
	j, err := wk.JobOf(ctx, c, id)
	switch {
	case err != nil:
		return j, err
	case j.Kind == gateway.JobRemoval || j.Kind == gateway.JobCode:
		return j, fmt.Errorf("job: %w: what it does has been decided and cannot stop halfway", storage.ErrConflict)
	}
	return wk.gw.CancelJob(ctx, id)
}

// DeadLetters returns the number of messages in each queue.
func (wk *actions) DeadLetters(ctx context.Context) (map[storage.QueueName]storage.Depth, error) {
	out := map[storage.QueueName]storage.Depth{}
	for _, q := range [...]storage.QueueName{storage.EventsQueue, storage.RetryQueue, storage.SlowQueue} {
		d, err := wk.gw.Queue.Depth(ctx, q)
		if err != nil {
			return nil, fmt.Errorf("depth of %s: %w", q, err)
		}
		out[q] = d
	}
	return out, nil
}
