package app_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ringback/shared/control"
	"ringback/shared/gateway"
	"ringback/shared/storage"
	"ringback/shared/test/proofs"
)

// TestBurstOnOneLaneComesInOrderAndInTime has one group's events come all at once,
// by an endpoint that takes them and by one that refuses the first for a while. Each
// write of the lane's row takes a moment, as it does over a network.
func TestBurstOnOneLaneComesInOrderAndInTime(t *testing.T) {
	proofs.Long(t)
	events := proofs.Length(300, 300, 3_000)
	for _, blocked := range []time.Duration{0, 10 * time.Minute} {
		t.Run(fmt.Sprintf("blocked for %v", blocked), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, 0)
				w.wrap = func(s storage.Store) storage.Store { return slowLanes{s} }
				w.restart()
				s, path := w.smartBots()
				c := w.tenant(s, nil)
				r, e := w.register(c, s, "ordered.example", control.RegistrationChange{Ordered: ptr(true)})
				start := time.Now()
				e.RespondWith(func(int, *http.Request) (int, http.Header) {
					if time.Since(start) < blocked {
						return 500, http.Header{}
					}
					return 200, http.Header{}
				})
				for n := range events {
					w.chat(path, groupA, fmt.Sprintf("%06d", n))
					time.Sleep(time.Millisecond) // the order that is promised is by it
				}
				// A head that was refused before blocked waits 30 min, and up to a fifth more.
				w.within(blocked+37*time.Minute, "the first delivered", func() bool { return len(e.Succeeded()) > 0 })
				w.within(min(time.Minute, time.Duration(events)*60*time.Millisecond), "all delivered", func() bool { return len(e.Succeeded()) == events })
				for _, q := range []storage.QueueName{storage.EventsQueue, storage.RetryQueue, storage.SlowQueue} {
					if d, err := w.g.Queue.Depth(t.Context(), q); err != nil || d.Dead > 0 {
						t.Errorf("%d dead letters of %s, %v", d.Dead, q, err)
					}
				}
				if n := strings.Count(w.log.String(), `"outcome":"again"`); n > 0 {
					t.Errorf("%d messages came again", n)
				}
				var texts []string
				for _, p := range e.Posts() {
					if p.Status == http.StatusOK {
						texts = append(texts, p.Text(t, "message"))
					}
				}
				if !slices.IsSorted(texts) || len(texts) != events {
					t.Errorf("%d events were accepted, in order %v; want %d in order", len(texts), slices.IsSorted(texts), events)
				}
				if n := w.count(c, r, gateway.Succeeded); !proofs.Full() && n != events {
					t.Errorf("%d deliveries succeeded, want %d", n, events)
				}
			})
		})
	}
}

// slowLanes is a Store whose writes of lanes take 10 ms.
type slowLanes struct{ storage.Store }

func (s slowLanes) Put(ctx context.Context, r storage.Row, was string) error {
	if strings.HasPrefix(r.PK, "L#") && r.SK == "L" {
		time.Sleep(10 * time.Millisecond)
	}
	return s.Store.Put(ctx, r, was)
}
