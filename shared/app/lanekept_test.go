package app_test

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ringback/shared/control"
	"ringback/shared/gateway"
	"ringback/shared/schedule"
	"ringback/shared/test/proofs"
)

// TestEventsOfALaneLastWhileItWaits refuses one group for longer than events are
// kept, while another's acceptances keep the registration enabled.
func TestEventsOfALaneLastWhileItWaits(t *testing.T) {
	proofs.Long(t)
	synctest.Test(t, func(t *testing.T) {
		day := proofs.Length(6*time.Hour, 6*time.Hour, 24*time.Hour)
		w := newWorld(t, 0)
		w.history = 4 * day
		w.forDays()
		s, path := w.smartBots()
		c := w.tenant(s, nil)
		schedule := schedule.Schedule{Waits: slices.Repeat([]time.Duration{day / 2}, 5)}
		r, e := w.register(c, s, "ordered.example", control.RegistrationChange{Ordered: ptr(true), Schedule: &schedule})
		e.RespondWith(func(_ int, r *http.Request) (int, http.Header) {
			in, err := r.GetBody()
			if err != nil {
				t.Error(err)
			}
			if body, _ := io.ReadAll(in); strings.Contains(string(body), groupA) && !strings.Contains(string(body), "last") {
				return 500, http.Header{}
			}
			return 200, http.Header{}
		})
		for _, text := range []string{"first", "second", "last"} {
			w.chat(path, groupA, text)
			time.Sleep(time.Second)
		}
		start := time.Now()
		for n := 0; w.count(c, r, gateway.Failed) < 2; n++ {
			if time.Since(start) > 7*day {
				t.Fatal("two that are refused for two and a half days each hold up their group for longer than 7 days")
			}
			w.chat(path, groupB, fmt.Sprint(n))
			time.Sleep(day / 4)
		}
		if waited := time.Since(start); waited < w.history {
			t.Fatalf("the last one waited %v, want longer than events are kept", waited)
		}
		w.within(day, "the last one is delivered", func() bool {
			posts := e.Posts()
			return strings.Contains(string(posts[len(posts)-1].Body), "last")
		})
		if n := w.count(c, r, gateway.Cancelled); n != 0 {
			t.Errorf("%d deliveries are cancelled, want none", n)
		}
	})
}
