package app_test

import (
	"fmt"
	"testing"
	"time"

	"ringback/shared/control"
	"ringback/shared/gateway"
	"ringback/shared/ident"
	"ringback/shared/schedule"
	"ringback/shared/test/gatewaytest"
)

func TestRecoverAttemptsAgainBehindAnOpenCircuit(t *testing.T) {
	scenarioOfDays(t, func(t *testing.T, w *world) {
		s, path := w.smartBots()
		c := w.tenant(s, nil)
		r, e := w.register(c, s, "mended.example", control.RegistrationChange{Schedule: &schedule.Schedule{Waits: []time.Duration{30 * time.Second}}})
		e.RespondWith(gatewaytest.Always(500))
		start := w.later()
		for n := range 20 {
			w.chat(path, groupA, fmt.Sprint(n))
		}
		w.within(12*time.Hour, "all failed", func() bool {
			failed := 0
			for _, d := range w.deliveries(c, r.ID) {
				if d.Status == gateway.Failed {
					failed++
				}
			}
			return failed >= 20
		})
		e.RespondWith(nil)
		w.later() // what fails while the job is asked for is not its affair
		again(w, func() (gateway.Job, error) {
			return w.control().StartRecover(t.Context(), c, ident.New("job", time.Now()), r.ID, control.Span{Since: start})
		})
		w.within(12*time.Hour, "all recovered", func() bool { return len(e.Succeeded()) >= 20 })
	})
}
