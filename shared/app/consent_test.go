package app_test

import (
	"strings"
	"testing"
	"time"

	"ringback/shared/control"
	"ringback/shared/gateway"
	"ringback/shared/ident"
)

func TestEndpointThatMustConsentGetsNothingBefore(t *testing.T) {
	everywhere(t, func(t *testing.T, w *world) {
		s, path := w.smartBots()
		id := ident.New("ten", time.Now())
		again(w, func() (gateway.Tenant, error) {
			tn, _, err := w.control().CreateTenant(t.Context(), id, "a tenant", gateway.Limits{RequireChallenge: true})
			return tn, err
		})
		w.grant(s, id, nil)
		c := control.Caller{Scope: control.ScopeFull, Tenant: id}
		silent := w.endpoints.Add("tenant.example", "")
		r, e := w.register(c, s, "tenant.example", control.RegistrationChange{})
		if r.State != gateway.Disabled || !strings.HasPrefix(r.Reason, "unproven") || silent.Challenges == 0 {
			t.Fatalf("before it consents it is %s, %q, asked %d times; want disabled as unproven", r.State, r.Reason, silent.Challenges)
		}
		w.chat(path, groupA, "too early")
		w.wantStatus(c, r, 6*time.Hour, gateway.Held)
		for _, origin := range []string{"", "elsewhere.example"} {
			e.ConsentTo(origin)
			if _, err := w.control().EnableRegistration(t.Context(), c, r.ID); err == nil {
				t.Errorf("enabled though the endpoint consents to %q", origin)
			}
		}
		e.ConsentTo("ringback.example")
		again(w, func() (gateway.Registration, error) { return w.control().EnableAndRelease(t.Context(), c, r.ID) })
		w.within(12*time.Hour, "delivered", func() bool { return len(e.Succeeded()) == 1 })
		if got := e.Posts()[0].Header.Get("WebHook-Request-Origin"); got != "ringback.example" {
			t.Errorf("delivered with WebHook-Request-Origin %q, want ringback.example", got)
		}
	})
}
