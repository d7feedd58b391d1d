package app_test

import (
	"testing"
	"time"

	"ringback/shared/control"
	"ringback/shared/gateway"
)

func TestResendOfWhatSucceededIsMadeOnce(t *testing.T) {
	scenarioOfDays(t, func(t *testing.T, w *world) {
		s, path := w.smartBots()
		c := w.tenant(s, nil)
		r, e := w.register(c, s, "again.example", control.RegistrationChange{})
		w.forDays()
		w.chat(path, groupA, "hello")
		d := w.wantStatus(c, r, time.Hour, gateway.Succeeded)
		again(w, func() (gateway.Delivery, error) { return w.g.Resend(t.Context(), d.ID) })
		time.Sleep(24 * time.Hour)
		if n := len(e.Posts()); n != 2 && w.weak == 0 {
			t.Errorf("%d POSTs within a day of one resend, want 2", n)
		}
		if d := w.deliveries(c, r.ID)[0]; d.Status != gateway.Succeeded {
			t.Errorf("status %s, %s after a resend of what succeeded", d.Status, d.Reason)
		}
	})
}
