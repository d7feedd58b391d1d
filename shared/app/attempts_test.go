package app_test

import (
	"net/http"
	"slices"
	"testing"
	"time"

	"ringback/shared/control"
	"ringback/shared/gateway"
	"ringback/shared/storage"
)

// TestEveryAttemptIsListed refuses and accepts in turn: what a delivery keeps by
// itself is listed too, and moves into a row when a resend takes its place.
func TestEveryAttemptIsListed(t *testing.T) {
	for _, ordered := range []bool{false, true} {
		scenario(t, func(t *testing.T, w *world) {
			s, path := w.smartBots()
			c := w.tenant(s, nil)
			r, e := w.register(c, s, "moody.example", control.RegistrationChange{Ordered: &ordered})
			codes := []int{500, 200, 500, 200, 200}
			e.RespondWith(func(n int, _ *http.Request) (int, http.Header) { return codes[min(n, len(codes)-1)], http.Header{} })
			w.chat(path, groupA, "hello")
			w.within(time.Hour, "accepted", func() bool {
				ds := w.deliveries(c, r.ID)
				return len(ds) == 1 && ds[0].Status == gateway.Succeeded
			})
			if w.weak != 0 {
				return // whose attempts may be more
			}
			w.wantAttempts(c, r, codes[:2])
			for n := 3; n <= len(codes); n++ {
				time.Sleep(time.Second) // attempts of one millisecond are in no order
				d := w.deliveries(c, r.ID)[0]
				if _, err := w.lists().ResendDelivery(t.Context(), c, d.ID); err != nil {
					t.Fatal(err)
				}
				w.within(time.Hour, "resent", func() bool { return len(e.Posts()) == n && !w.deliveries(c, r.ID)[0].Manual })
				w.wantAttempts(c, r, codes[:n])
			}
		})
	}
}

// wantAttempts compares the status codes of the attempts of r's delivery, in
// pages of every size.
func (w *world) wantAttempts(c control.Caller, r gateway.Registration, want []int) {
	w.t.Helper()
	d := w.deliveries(c, r.ID)[0]
	for limit := range len(want) + 2 {
		var got []int
		for at, more := (storage.PageRequest{Limit: limit}), true; more; more = at.Cursor != "" {
			page, next, err := w.lists().Attempts(w.t.Context(), d, at)
			if err != nil || limit > 0 && len(page) > limit || len(got) > len(want) {
				w.t.Fatalf("attempts in pages of %d: %d after %v, %v", limit, len(page), got, err)
			}
			for _, a := range page {
				got = append(got, a.StatusCode)
			}
			at.Cursor = next
		}
		if !slices.Equal(got, want) {
			w.t.Errorf("attempts in pages of %d: %v, want %v", limit, got, want)
		}
	}
}
