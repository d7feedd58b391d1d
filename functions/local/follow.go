package main

import (
	"context"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"time"
)

const (
	pollInterval     = time.Second
	deepPollInterval = 30 * time.Second
	deepPages        = 20
	newFor           = 2 * time.Minute // a delivery that is older is not new, and forgotten
)

// A seenDelivery is what is shown of a delivery, as the API tells it.
type seenDelivery struct {
	ID           string    `json:"id"`
	Event        string    `json:"event"`
	EventType    string    `json:"event_type"`
	Registration string    `json:"registration"`
	Status       string    `json:"status"`
	Created      time.Time `json:"created"`
	Last         *struct {
		StatusCode int    `json:"status_code"`
		Class      string `json:"class"`
		Took       string `json:"took"`
	} `json:"last_attempt"`
}

// A follower finds the deliveries that are new. The API lists the newest event first by the provider's own time, where
// there is one, so most looks read a page; every deepEvery one goes further back, for events that come late.
type follower struct {
	client       *client
	registration string // empty: all of the key's

	from time.Time            // by the server's clock; what was created before is not new
	deep time.Time            // when the next deep look is due, by this machine's clock
	seen map[string]time.Time // delivery to its creation
}

// look returns the deliveries that no look before has found, oldest first.
func (f *follower) look(ctx context.Context) ([]seenDelivery, error) {
	now := time.Now()
	deep := !now.Before(f.deep)
	found, err := f.pages(ctx, deep)
	if err != nil {
		return nil, err
	}
	if deep {
		f.deep = now.Add(deepPollInterval)
	}
	for _, d := range found {
		f.seen[d.ID] = d.Created
	}
	maps.DeleteFunc(f.seen, func(_ string, created time.Time) bool { return created.Before(f.from) })
	slices.SortStableFunc(found, func(a, b seenDelivery) int { return a.Created.Compare(b.Created) })
	return found, nil
}

// pages reads pages until one holds nothing new, or, if the look is a deep one, as many as there are.
func (f *follower) pages(ctx context.Context, deep bool) (found []seenDelivery, err error) {
	query := url.Values{"limit": {"50"}}
	if f.registration != "" {
		query.Set("registration", f.registration)
	}
	if deep && !f.from.IsZero() {
		query.Set("since", f.from.Format(time.RFC3339))
	}
	for range deepPages {
		var page struct {
			Data []seenDelivery `json:"data"`
			Next string         `json:"next_cursor"`
		}
		at, err := f.client.get(ctx, "/v1/deliveries", query, &page)
		if err != nil {
			return nil, err
		}
		if from := at.Add(-newFor); from.After(f.from) {
			f.from = from
		}
		fresh := slices.DeleteFunc(page.Data, f.known)
		found = append(found, fresh...)
		if page.Next == "" || !deep && len(fresh) == 0 {
			break
		}
		query.Set("cursor", page.Next)
	}
	return found, nil
}

func (f *follower) known(d seenDelivery) bool {
	_, seen := f.seen[d.ID]
	return seen || d.Created.Before(f.from)
}

// begin takes what is there already for seen.
func (f *follower) begin(ctx context.Context) error {
	f.seen = map[string]time.Time{}
	_, err := f.look(ctx)
	return err
}

// follow calls show with each delivery that is new since begin until ctx ends, when it returns nil,
// or the gateway refuses for good. What may pass is told to trouble.
func (f *follower) follow(ctx context.Context, show func(context.Context, seenDelivery), trouble func(error)) error {
	for wait := pollInterval; ; {
		pause(ctx, wait)
		found, err := f.look(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil && !passes(err):
			return err
		case err != nil:
			trouble(fmt.Errorf("%w; trying again", err))
			wait = waitAfter(err)
			continue
		}
		for _, d := range found {
			show(ctx, d)
		}
		wait = pollInterval
	}
}
