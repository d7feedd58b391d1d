package api

import (
	"context"
	"maps"
	"slices"
	"time"

	"ringback/shared/control"
	"ringback/shared/storage"
)

// queueDepth is about how many messages a queue has.
type queueDepth struct {
	Queue    string `json:"queue" enum:"events,retry,slow"`
	Waiting  int    `json:"waiting"`
	InFlight int    `json:"in_flight"`
	Delayed  int    `json:"delayed"`
	Dead     int    `json:"dead" doc:"dead letters"`

	OldestDue time.Time `json:"oldest_due,omitzero" doc:"of the retry queue: due time of the oldest delivery that should be in it already; left out if none is late"`
}

func (s jobAPI) deadLetters(ctx context.Context, _ control.Caller, _ *empty) (*body[page[queueDepth]], error) {
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

func (s jobAPI) redrive(ctx context.Context, _ control.Caller, in *redriveInput) (*empty, error) {
	return nil, s.g.Queue.Redrive(ctx, storage.QueueName(in.Queue))
}
