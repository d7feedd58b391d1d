package gateway

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"ringback/shared/limiter"
	"ringback/shared/storage"
)

// A JobKind says what a job does.
type JobKind string

const (
	JobRelease JobKind = "release"        // held deliveries of a registration
	JobRecover JobKind = "recover"        // failed deliveries of a registration since a time
	JobReplay  JobKind = "replay-missing" // events of a source that a registration never got
	JobWake    JobKind = "wake"           // what is parked behind a circuit that closed
	JobRemoval JobKind = "removal"        // all rows of a tenant
	JobCode    JobKind = "code-change"    // registrations made with an older code of a group
	JobErasure JobKind = "erasure"        // payloads of events that match
	JobReseal  JobKind = "reseal"         // secrets under the current key
)

// JobStatus is the state of a job.
type JobStatus string

const (
	JobRunning   JobStatus = "running"
	JobDone      JobStatus = "done"
	JobCancelled JobStatus = "cancelled"
	JobFailed    JobStatus = "failed"
)

// A Job is durable work in chunks. Its row is in the due index while it runs. A chunk ends by storing Cursor and
// may run again after a crash.
type Job struct {
	ID           string    `json:"id"`
	Kind         JobKind   `json:"kind"`
	Tenant       string    `json:"tenant,omitempty"` // empty: the operator's
	Registration string    `json:"registration,omitempty"`
	Source       string    `json:"source,omitempty"`
	Group        string    `json:"group,omitempty"`
	Rev          int       `json:"rev,omitempty"` // of the group
	Match        Match     `json:"match,omitempty"`
	Key          string    `json:"key,omitempty"` // of the key ring, to encrypt under
	Since        time.Time `json:"since,omitzero"`
	Until        time.Time `json:"until,omitzero"`
	Status       JobStatus `json:"status"`
	Reason       string    `json:"why,omitempty"`
	Cursor       string    `json:"cursor,omitempty"`
	Done         int       `json:"done"` // rows handled
	Skipped      int       `json:"skipped,omitempty"`
	Rate         float64   `json:"rate,omitempty"` // requested deliveries/s; zero: the registration's own
	Claim        int       `json:"claim"`
	Created      time.Time `json:"created"`
	Updated      time.Time `json:"updated"`

	limiter.Pacer     // for the deliveries that it makes due
	SelfSends     int `json:"-"` // self-sends before this run
}

// each calls f(0) to f(n-1), as many in parallel as j's rate needs, and returns the first error after all have
// returned.
func (j *Job) each(n int, f func(i int) error) error {
	var group errgroup.Group
	group.SetLimit(j.Concurrency())
	for i := range n {
		group.Go(func() error { return guarded(func() error { return f(i) }) })
	}
	return group.Wait()
}

// shardCursor parses the cursor of a walk over a partition's shards: "<pass> <shard> <SK>".
func shardCursor(text string) (pass, shard int, after string) {
	parts := strings.SplitN(text, " ", 3)
	if len(parts) < 3 {
		return 0, 0, ""
	}
	pass, _ = strconv.Atoi(parts[0])
	shard, _ = strconv.Atoi(parts[1])
	return pass, shard, parts[2]
}

// loadJob returns a stored job. The error wraps storage.ErrNotFound.
func loadJob(ctx context.Context, s storage.Store, id string) (Job, error) {
	j, _, err := storage.Load[Job](ctx, s, JobKey(id))
	if err != nil {
		return j, fmt.Errorf("job %s: %w", id, err)
	}
	return j, nil
}

// RepairWindow is how long after a change a repeated call finishes what a crashed process left undone of it.
const RepairWindow = 24 * time.Hour
