package gateway

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"ringback/shared/provider"
	"ringback/shared/storage"
)

// jobListed is how long a job without a tenant stays in the operator's list.
const jobListed = 30 * 24 * time.Hour

// TestRegistration queues an event of type registration.test for a
// registration of c's and returns its id. The error wraps storage.ErrConflict if the
// registration is not enabled.
func (g *Gateway) TestRegistration(ctx context.Context, c Caller, id string) (provider.Event, error) {
	r, err := g.Registration(ctx, c, id)
	if err != nil {
		return provider.Event{}, err
	}
	if r.State != Enabled {
		return provider.Event{}, fmt.Errorf("test: %w: the registration is not enabled", storage.ErrConflict)
	}
	s, err := g.Source(ctx, r.Source)
	if err != nil {
		return provider.Event{}, err
	}
	now := g.now()
	e := provider.Event{Source: r.Source, Provider: s.Provider, Type: TestEventType, Received: now, Time: now, ContentType: "application/json", Only: r.ID}
	if e.ID, err = eventID(r.Source, "", now, TestEventType, storage.NewRev()); err != nil {
		return e, err
	}
	e.Payload, err = json.Marshal(struct {
		Registration string `json:"registration"`
		Message      string `json:"message"`
	}{r.ID, "This is a test of your registration."})
	if err != nil {
		return e, err
	}
	return e, g.sendTo(ctx, e)
}

// A Span is a time that a job is about.
type Span struct {
	Since, Until time.Time // Until of replay-missing alone; zero: now
}

// StartRecover starts the job that makes due again what failed since a time.
func (g *Gateway) StartRecover(ctx context.Context, c Caller, id, registration string, s Span) (Job, error) {
	return g.startFor(ctx, c, id, registration, JobRecover, s)
}

// StartReplay starts the job that delivers what a registration would have got
// since a time, had it been there. The error wraps storage.ErrConflict if the source
// keeps no full history.
func (g *Gateway) StartReplay(ctx context.Context, c Caller, id, registration string, s Span) (Job, error) {
	return g.startFor(ctx, c, id, registration, JobReplay, s)
}

// StartRelease starts the job that makes due what was held since a time.
func (g *Gateway) StartRelease(ctx context.Context, c Caller, id, registration string, s Span) (Job, error) {
	return g.startFor(ctx, c, id, registration, JobRelease, s)
}

func (g *Gateway) startFor(ctx context.Context, c Caller, id, registration string, kind JobKind, s Span) (Job, error) {
	r, err := g.Registration(ctx, c, registration)
	switch {
	case err != nil:
		return Job{}, err
	case r.State != Enabled:
		return Job{}, fmt.Errorf("%s: %w: the registration is not enabled", kind, storage.ErrConflict)
	case !s.Until.IsZero() && !s.Until.After(s.Since):
		return Job{}, fmt.Errorf("until: %w: want a time after since", storage.ErrInvalid)
	}
	if kind == JobReplay {
		if err := g.fullHistory(ctx, r.Source); err != nil {
			return Job{}, err
		}
	}
	if err := g.roomForJob(ctx, c, r.Tenant, id); err != nil {
		return Job{}, err
	}
	return g.startJob(ctx, Job{ID: id, Kind: kind, Tenant: r.Tenant, Registration: r.ID, Source: r.Source, Since: s.Since, Until: s.Until})
}

func (g *Gateway) fullHistory(ctx context.Context, source string) error {
	s, err := g.Source(ctx, source)
	if err == nil && s.History != FullHistory {
		return fmt.Errorf("source: %w: it keeps no full history", storage.ErrConflict)
	}
	return err
}

// roomForJob returns an error wrapping ErrLimit if as many jobs of the tenant
// run as may.
func (g *Gateway) roomForJob(ctx context.Context, c Caller, tenant, id string) error {
	running := 0
	q := storage.Query{Table: storage.Registrations, PK: tenantKey(tenant).PK, Consistent: true}.Prefix("J#")
	err := storage.Each(ctx, g.Store, q, func(r storage.Row) error {
		j, err := g.Job(ctx, strings.TrimPrefix(r.SK, "J#"))
		if err == nil && j.ID != id && j.Status == JobRunning && j.counts() {
			running++
		}
		return nil
	})
	if most := c.Limits.OrDefault().Jobs; err == nil && running >= most {
		return fmt.Errorf("jobs: %w: %d is running; wait for its end or cancel it", ErrLimit, running)
	}
	return err
}

// counts reports whether j is one that a tenant asked for: not the release of
// the last moment that follows an enable.
func (j Job) counts() bool {
	switch j.Kind {
	case JobRecover, JobReplay:
		return true
	case JobRelease:
		return j.Created.Sub(j.Since) > time.Minute
	}
	return false
}

// StartErasure starts the job that empties the events of a source that match.
func (g *Gateway) StartErasure(ctx context.Context, id, source string, match Match) (Job, error) {
	s, err := g.Source(ctx, source)
	if err != nil {
		return Job{}, err
	}
	if match == nil {
		return Job{}, fmt.Errorf("match: %w: want at least one routing key", storage.ErrInvalid)
	}
	if err := match.Check(g.Providers[s.Provider].KeyKinds()); err != nil {
		return Job{}, err
	}
	return g.startListed(ctx, Job{ID: id, Kind: JobErasure, Source: source, Match: match})
}

// startListed starts a job that the operator's list shows.
func (g *Gateway) startListed(ctx context.Context, j Job) (Job, error) {
	if j.ID == "" {
		j.ID = NewID("job", g.now())
	}
	row := storage.Row{Key: listKey("jobs", j.ID), Expires: g.now().Add(jobListed)}
	if err := storage.PutRow(ctx, g.Store, row, link{j.ID}, storage.AnyRev); err != nil {
		return j, err
	}
	return g.startJob(ctx, j)
}

// Jobs returns a page of a tenant's jobs, or of the operator's own.
func (g *Gateway) Jobs(ctx context.Context, c Caller, tenant string, at storage.Place) ([]Job, string, error) {
	tenant, err := c.tenantIn(tenant)
	if err != nil {
		return nil, "", err
	}
	q, start := storage.Query{Table: storage.Registrations, PK: listKey("jobs", "").PK}, ""
	if tenant != "" {
		q.PK, start = tenantKey(tenant).PK, "J#"
	}
	return storage.Listed(ctx, g.Store, at.Query(q, start), func(r storage.Row) (Job, error) {
		return g.Job(ctx, strings.TrimPrefix(r.SK, start))
	})
}

// JobOf returns a job of c's.
func (g *Gateway) JobOf(ctx context.Context, c Caller, id string) (Job, error) {
	j, err := g.Job(ctx, id)
	if err != nil {
		return j, err
	}
	return j, c.owns(j.Tenant)
}

// CancelJobOf ends a job of c's after the chunk that runs now.
func (g *Gateway) CancelJobOf(ctx context.Context, c Caller, id string) (Job, error) {
	j, err := g.JobOf(ctx, c, id)
	switch {
	case err != nil:
		return j, err
	case j.Kind == JobRemoval || j.Kind == JobCode:
		return j, fmt.Errorf("job: %w: what it does has been decided and cannot stop halfway", storage.ErrConflict)
	}
	return g.CancelJob(ctx, id)
}

// How far a dry run looks back in the history.
const (
	dryRunEvents = 1_000
	dryRunTime   = 5 * time.Second
	dryRunShown  = 100
)

// A DryRun is what a registration would have got.
type DryRun struct {
	Looked   int           // events that were looked at, newest first
	Matched  int           // of them
	Events   []ListedEvent // the newest that match, without payload
	Complete bool          // all events since the time were looked at
}

// DryRunRegistration tells which kept events since a time a registration of
// c's would have got, with another match or other event types if given.
func (g *Gateway) DryRunRegistration(ctx context.Context, c Caller, id string, since time.Time, ch RegistrationChange) (DryRun, error) {
	r, err := g.Registration(ctx, c, id)
	if err != nil {
		return DryRun{}, err
	}
	if r.State == Removed {
		return DryRun{}, fmt.Errorf("registration: %w", storage.ErrNotFound)
	}
	if r, err = g.altered(ctx, c, r, ch); err != nil {
		return DryRun{}, err
	}
	if err := g.fullHistory(ctx, r.Source); err != nil {
		return DryRun{}, err
	}
	return g.dryRun(ctx, r, since)
}

func (g *Gateway) dryRun(ctx context.Context, r Registration, since time.Time) (DryRun, error) {
	v, err := g.versionOf(ctx, r.Source)
	if err != nil {
		return DryRun{}, err
	}
	run := DryRun{Events: []ListedEvent{}}
	end := g.now().Add(dryRunTime)
	q := HistoryQuery{Source: r.Source, Since: since, Limit: storage.MaxPageRows}
	for run.Looked < dryRunEvents && g.now().Before(end) {
		page, next, err := g.eventsOfSource(ctx, q)
		if err != nil {
			return run, err
		}
		for _, l := range page {
			if err := g.try(ctx, v.rev, &r, l, &run); err != nil {
				return run, err
			}
		}
		if next == "" {
			run.Complete = true
			break
		}
		q.Cursor = next
	}
	return run, nil
}

// try adds one event to a dry run.
func (g *Gateway) try(ctx context.Context, rev string, r *Registration, l ListedEvent, run *DryRun) error {
	if l.Only != "" {
		return nil
	}
	ok, err := g.mayReplay(ctx, rev, &l.Event, r)
	if err != nil || !ok {
		return err
	}
	run.Looked++
	if !r.Wants(&l.Event) {
		return nil
	}
	run.Matched++
	if len(run.Events) < dryRunShown {
		l.Payload = nil
		run.Events = append(run.Events, l)
	}
	return nil
}

// DeadLetters tells how many messages each queue has.
func (g *Gateway) DeadLetters(ctx context.Context) (map[storage.QueueName]storage.Depth, error) {
	out := map[storage.QueueName]storage.Depth{}
	for _, q := range [...]storage.QueueName{storage.EventsQueue, storage.RetryQueue} {
		d, err := g.Queue.Depth(ctx, q)
		if err != nil {
			return nil, fmt.Errorf("depth of %s: %w", q, err)
		}
		out[q] = d
	}
	return out, nil
}
