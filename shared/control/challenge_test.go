package control

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"ringback/shared/egress"
	"ringback/shared/gateway"
	"ringback/shared/storage"
	"ringback/shared/storage/storagetest"
	"ringback/shared/test/gatewaytest"
)

// consents is an endpoint that answers a challenge with an origin and a rate.
func consents(origin, rate string) func(*http.Request) (int, http.Header) {
	return func(*http.Request) (int, http.Header) {
		h := http.Header{}
		if origin != "" {
			h.Set(allowedOrigin, origin)
		}
		if rate != "" {
			h.Set(allowedRate, rate)
		}
		return http.StatusNoContent, h
	}
}

// challenged makes a source and a tenant whose endpoints must consent.
func (w *world) challenged() (gateway.Source, Caller) {
	w.t.Helper()
	s, c := w.granted(direct)
	w.OK(gatewaytest.ErrOf(w.ChangeTenant(w.t.Context(), c.Tenant, TenantChange{Limits: &gateway.Limits{RequireChallenge: true}})))
	c.Limits.RequireChallenge = true
	return s, c
}

func TestConsentIsOfOurOriginAndAtARate(t *testing.T) {
	w := newWorld(t)
	for _, tt := range []struct {
		name         string
		code         int
		origin, rate string
		want         float64
		consents     bool
	}{
		{"ours", 200, "ringback.example", "", 0, true},
		{"ours in capitals", 200, " RINGBACK.example ", "", 0, true},
		{"any", 200, " * ", "", 0, true},
		{"another", 200, "other.example", "", 0, false},
		{"none", 200, "", "", 0, false},
		{"ours in a refusal", 500, "ringback.example", "", 0, true},
		{"no answer", 0, "ringback.example", "", 0, false},
		{"a rate", 200, "*", " 120 ", 2, true},
		{"the least rate", 200, "*", "1", 1.0 / 60, true},
		{"any rate", 200, "*", "*", 0, true},
		{"no rate", 200, "*", "0", 0, true},
		{"a rate below 0", 200, "*", "-60", 0, true},
		{"a rate of another", 200, "other.example", "60", 0, false},
	} {
		rate, err := w.consent(egress.Response{StatusCode: tt.code, Header: http.Header{allowedOrigin: {tt.origin}, allowedRate: {tt.rate}}, Error: "no route"})
		var no *consentError
		if rate != tt.want || (err == nil) != tt.consents || err != nil && !errors.As(err, &no) {
			t.Errorf("consent of %s = %v, %v, want %v, %v", tt.name, rate, err, tt.want, tt.consents)
		}
	}
	_, err := w.consent(egress.Response{Error: "no route"})
	if err == nil || !strings.HasSuffix(err.Error(), "no route") {
		t.Errorf("consent of an endpoint that is not reached: %v, want it to say why", err)
	}
}

func TestEndpointIsAskedForItsConsent(t *testing.T) {
	w := newWorld(t)
	s, c := w.challenged()
	w.Respond = consents("ringback.example", "60")
	r := w.register(c, s.ID, RegistrationChange{URL: new("https://tenant.example/in?a=b"), Headers: map[string]string{"X-Key": "k"}})
	if r.State != gateway.Enabled || !r.Endpoint.ConsentedAt.Equal(w.Now) || r.Rate != 1 {
		t.Errorf("a registration whose endpoint consents: %+v, want it enabled, at 1/s", r)
	}
	if len(w.Requests) != 1 {
		t.Fatalf("the endpoint was asked %d times, want once", len(w.Requests))
	}
	req := w.Requests[0]
	if req.Method != http.MethodOptions || req.URL.String() != "https://tenant.example/in?a=b" {
		t.Errorf("it was asked with %s %s", req.Method, req.URL)
	}
	for name, want := range map[string]string{
		"X-Key": "k", "User-Agent": "Ringback/1", gateway.ViaHeader: w.gw.ID(), gateway.RequestOrigin: "ringback.example",
	} {
		if got := strings.Join(req.Header[name], ""); got != want {
			t.Errorf("it was asked with %s: %q, want %q", name, got, want)
		}
	}
	line := w.Logged.String()
	if !strings.Contains(line, `msg=challenge registration=`+r.ID) || !strings.Contains(line, "host=tenant.example code=204 outcome=") || strings.Contains(line, "a=b") {
		t.Errorf("the challenge is logged as %s, want the host and the outcome alone", line)
	}
	for _, tt := range []struct {
		name  string
		asked float64
		rate  string
		want  float64
	}{{"a lower rate of its own", 0.5, "60", 0.5}, {"a higher rate of its own", 3, "60", 1}, {"the same", 1, "60", 1}, {"no limit", 3, "", 3}} {
		w.Respond = consents("*", tt.rate)
		if r := w.register(c, s.ID, RegistrationChange{Rate: &tt.asked}); r.Rate != tt.want {
			t.Errorf("with %s, the rate is %v, want %v", tt.name, r.Rate, tt.want)
		}
	}
}

func TestEndpointIsAskedForASealedHeaderOfItsOwn(t *testing.T) {
	w := newWorld(t)
	s, c := w.challenged()
	w.Respond = consents("*", "")
	r := w.register(c, s.ID, RegistrationChange{Headers: map[string]string{"X-Key": "k"}})
	r.Endpoint.ConsentedAt = time.Time{}
	for name, broken := range map[string]func(*gateway.Endpoint){
		"URL":    func(e *gateway.Endpoint) { e.URL = "s1.1.x" },
		"header": func(e *gateway.Endpoint) { e.Headers = map[string]string{"X-Key": "s1.1.x"} },
	} {
		other := r
		broken(&other.Endpoint)
		asked := len(w.Requests)
		err := w.requireConsent(t.Context(), &other)
		var no *consentError
		if err == nil || errors.As(err, &no) || errors.Is(err, storage.ErrInvalid) || len(w.Requests) != asked || !other.Endpoint.ConsentedAt.IsZero() {
			t.Errorf("prove with a %s that cannot be opened: %v, want an error of ours, and nobody asked", name, err)
		}
	}
}

func TestNobodyIsAskedWhoNeedNotConsent(t *testing.T) {
	w := newWorld(t)
	s, c := w.granted(direct)
	w.Respond = consents("", "")
	if r := w.register(c, s.ID, RegistrationChange{}); r.State != gateway.Enabled || !r.Endpoint.ConsentedAt.IsZero() || len(w.Requests) != 0 {
		t.Errorf("a registration of a tenant whose endpoints need not consent: %+v, asked %d times", r, len(w.Requests))
	}
}

func TestEndpointThatMustConsentIsInStandardFormat(t *testing.T) {
	w := newWorld(t)
	s, c := w.challenged()
	w.Respond = consents("*", "")
	id := w.ID("reg")
	_, _, err := w.CreateRegistration(t.Context(), c, id, s.ID, RegistrationChange{URL: new(endpointURL), Format: new(gateway.Raw)})
	w.WantErr("CreateRegistration in raw format", err, storage.ErrInvalid)
	if w.Stored(gateway.RegistrationKey(id)) || len(w.Requests) > 0 {
		t.Errorf("a registration that was refused is stored %v, its endpoint asked %d times", w.Stored(gateway.RegistrationKey(id)), len(w.Requests))
	}
	r := w.register(c, s.ID, RegistrationChange{})
	w.WantUnwritten("raw", func() {
		w.WantErr("ChangeRegistration to raw format", gatewaytest.ErrOf(w.ChangeRegistration(t.Context(), c, r.ID, 0, RegistrationChange{Format: new(gateway.Raw)})), storage.ErrInvalid)
	})
}

func TestRegistrationWaitsForConsent(t *testing.T) {
	w := newWorld(t)
	s, c := w.challenged()
	w.Respond = consents("other.example", "")
	r := w.register(c, s.ID, RegistrationChange{})
	if r.State != gateway.Disabled || !strings.HasPrefix(r.Reason, reasonNoConsent) || !strings.Contains(r.Reason, "ringback.example") || !r.Endpoint.ConsentedAt.IsZero() {
		t.Fatalf("a registration whose endpoint does not consent: %+v, want it disabled, and why", r)
	}
	change := func(ch RegistrationChange) (gateway.Registration, error) {
		return w.ChangeRegistration(t.Context(), c, r.ID, 0, ch)
	}
	w.Respond = func(*http.Request) (int, http.Header) { return 0, nil }
	got := gatewaytest.Must(change(RegistrationChange{URL: new("https://tenant.example/2")}))(w)
	if got.State != gateway.Disabled || !strings.HasPrefix(got.Reason, reasonNoConsent) || !strings.Contains(got.Reason, "asked with OPTIONS") || got.Endpoint.RedactedURL != "https://tenant.example/2" {
		t.Errorf("after a change of the URL to one that is not reached: %+v, want it disabled, and why now", got)
	}
	w.WantUnwritten("enable", func() {
		w.WantErr("EnableRegistration", gatewaytest.ErrOf(w.EnableRegistration(t.Context(), c, r.ID)), storage.ErrConflict)
	})
	asked := len(w.Requests)
	w.OK(gatewaytest.ErrOf(change(RegistrationChange{Description: new("x")})))
	if len(w.Requests) != asked {
		t.Error("a change of the description asks the endpoint")
	}
	w.Respond = consents("*", "")
	w.Pass(time.Hour)
	got = gatewaytest.Must(change(RegistrationChange{URL: new("https://tenant.example/3")}))(w)
	if got.State != gateway.Enabled || got.Reason != "" || !got.Since.Equal(w.Now) || !got.Endpoint.ConsentedAt.Equal(w.Now) {
		t.Errorf("after a change of the URL to one that consents: %+v, want it enabled now", got)
	}
	if js := gatewaytest.MustPage(w.Jobs(t.Context(), c, "", storage.PageRequest{}))(w); len(js) != 1 || js[0].Kind != gateway.JobRelease {
		t.Errorf("jobs %+v, want the release of what was held", js)
	}
	if err := gatewaytest.ErrOf(change(RegistrationChange{Format: new(gateway.Standard)})); err != nil {
		t.Errorf("a change that leaves all as it is: %v", err)
	}
	if js := gatewaytest.MustPage(w.Jobs(t.Context(), c, "", storage.PageRequest{}))(w); len(js) != 1 {
		t.Errorf("jobs after a change of an enabled registration %+v, want no other", js)
	}
}

func TestConsentIsOfOneURL(t *testing.T) {
	w := newWorld(t)
	s, c := w.challenged()
	w.Respond = consents("*", "")
	r := w.register(c, s.ID, RegistrationChange{})
	proven := w.Now
	w.Pass(time.Hour)
	got := gatewaytest.Must(w.ChangeRegistration(t.Context(), c, r.ID, 0, RegistrationChange{URL: new(endpointURL)}))(w)
	if !got.Endpoint.ConsentedAt.Equal(proven) || len(w.Requests) != 1 {
		t.Errorf("the same URL again: %+v, asked %d times, want it proven as it was", got.Endpoint, len(w.Requests))
	}
	w.Respond = consents("", "")
	w.WantUnwritten("another URL", func() {
		w.WantErr("ChangeRegistration to a URL that does not consent",
			gatewaytest.ErrOf(w.ChangeRegistration(t.Context(), c, r.ID, 0, RegistrationChange{URL: new("https://tenant.example/2")})), storage.ErrInvalid)
	})
	w.OK(gatewaytest.ErrOf(w.DisableRegistration(t.Context(), c, r.ID)))
	got = gatewaytest.Must(w.ChangeRegistration(t.Context(), c, r.ID, 0, RegistrationChange{URL: new("https://tenant.example/2")}))(w)
	if got.State != gateway.Disabled || got.Reason != "by request" || !got.Endpoint.ConsentedAt.IsZero() {
		t.Errorf("a disabled one's URL that does not consent: %+v, want it disabled by request, unproven", got)
	}
	w.Respond = consents("*", "")
	got = gatewaytest.Must(w.ChangeRegistration(t.Context(), c, r.ID, 0, RegistrationChange{URL: new("https://tenant.example/3")}))(w)
	if got.State != gateway.Disabled || got.Reason != "by request" || !got.Endpoint.ConsentedAt.Equal(w.Now) {
		t.Errorf("a disabled one's URL that consents: %+v, want it disabled by request, proven", got)
	}
	got = gatewaytest.Must(w.EnableRegistration(t.Context(), c, r.ID))(w)
	if got.State != gateway.Enabled {
		t.Errorf("EnableRegistration of one that has consented = %+v", got)
	}
}

func TestEnablingAsksForConsent(t *testing.T) {
	w := newWorld(t)
	s, c := w.challenged()
	w.Respond = consents("", "")
	r := w.register(c, s.ID, RegistrationChange{})
	w.Respond = consents("*", "60")
	w.Pass(time.Minute)
	got := gatewaytest.Must(w.EnableRegistration(t.Context(), c, r.ID))(w)
	if got.State != gateway.Enabled || !got.Endpoint.ConsentedAt.Equal(w.Now) || got.Rate != 1 {
		t.Errorf("EnableRegistration of one that consents now = %+v", got)
	}
	w.Store.FailAt(2) // the tenant, of whom it is asked whether there must be consent
	_, err := w.ChangeRegistration(t.Context(), c, r.ID, 0, RegistrationChange{URL: new("https://tenant.example/2")})
	w.WantErr("ChangeRegistration without a Store", err, storagetest.ErrBroken)
	w.Store.Heal()
	w.Respond = consents("", "")
	waits := w.register(c, s.ID, RegistrationChange{})
	w.Respond = consents("*", "")
	w.Store.FailOn = fmt.Sprint("Get ", []storage.Key{gateway.HealthKey(waits.ID)}) // it forgets failures when it is enabled
	_, err = w.ChangeRegistration(t.Context(), c, waits.ID, 0, RegistrationChange{URL: new("https://tenant.example/2")})
	w.WantErr("ChangeRegistration that enables, without a Store", err, storagetest.ErrBroken)
	w.Store.FailOn = ""
	w.WantFaultsReported("CreateRegistration that must consent", func() storagetest.Operation {
		id := w.ID("reg")
		by := c
		by.Limits.RegistrationsPerSource = 1_000
		return storagetest.Operation{Do: func() error {
			_, _, err := w.CreateRegistration(t.Context(), by, id, s.ID, RegistrationChange{URL: new(endpointURL)})
			return err
		}}
	})
}
