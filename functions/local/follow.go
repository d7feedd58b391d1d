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
	newFor           = 2 * time.Minute // older deliveries are not new, and are removed from seen
)

// A shownDelivery is the part of the API's delivery that listen shows.
type shownDelivery struct {
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

// A follower polls for new deliveries. The API lists the newest events first, by the provider's time where there is
// one. So a poll reads pages until one has nothing new, usually one page; an event whose provider sends it late would
// be on a later page, and a deep poll reads those each deepPollInterval.
type follower struct {
	client       *client
	registration string // empty: all that the key may list

	from time.Time            // by the server's clock; a delivery created before it is not new
	deep time.Time            // when the next deep poll is due, by this machine's clock
	seen map[string]time.Time // creation by delivery
}

// poll returns the deliveries that no poll before has found, oldest first.
func (f *follower) poll(ctx context.Context) ([]shownDelivery, error) {
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
	slices.SortStableFunc(found, func(a, b shownDelivery) int { return a.Created.Compare(b.Created) })
	return found, nil
}

// pages reads pages until one has nothing new; a deep poll reads all, up to deepPages.
func (f *follower) pages(ctx context.Context, deep bool) (found []shownDelivery, err error) {
	query := url.Values{"limit": {"50"}}
	if f.registration != "" {
		query.Set("registration", f.registration)
	}
	if deep && !f.from.IsZero() {
		query.Set("since", f.from.Format(time.RFC3339))
	}
	for range deepPages {
		var page struct {
			Data []shownDelivery `json:"data"`
			Next string          `json:"next_cursor"`
		}
		at, err := f.client.get(ctx, "/v1/deliveries", query, &page)
		if err != nil {
			return nil, err
		}
		if from := at.Add(-newFor); from.After(f.from) {
			f.from = from
		}
		unseen := slices.DeleteFunc(page.Data, f.wasSeen)
		found = append(found, unseen...)
		if page.Next == "" || !deep && len(unseen) == 0 {
			break
		}
		query.Set("cursor", page.Next)
	}
	return found, nil
}

func (f *follower) wasSeen(d shownDelivery) bool {
	_, seen := f.seen[d.ID]
	return seen || d.Created.Before(f.from)
}

// start marks the deliveries that exist now as seen.
func (f *follower) start(ctx context.Context) error {
	f.seen = map[string]time.Time{}
	_, err := f.poll(ctx)
	return err
}

// follow calls show with each delivery that is new since start. It returns nil when ctx ends, and an error when a call
// fails in a way that a retry does not help, such as 401. It calls warn with other errors and tries again.
func (f *follower) follow(ctx context.Context, show func(context.Context, shownDelivery), warn func(error)) error {
	for wait := pollInterval; ; {
		pause(ctx, wait)
		found, err := f.poll(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil && !canRetry(err):
			return err
		case err != nil:
			warn(fmt.Errorf("%w; trying again", err))
			wait = waitAfter(err)
			continue
		}
		for _, d := range found {
			show(ctx, d)
		}
		wait = pollInterval
	}
}
