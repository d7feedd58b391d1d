package control

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"ringback/shared/egress"
	"ringback/shared/gateway"
	"ringback/shared/storage"
)

// The handshake by which an endpoint consents to deliveries ("HTTP 1.1 Web Hooks for Event Delivery",
// CloudEvents, section 4, "Abuse Protection"). The status of the answer does not matter; the header does.
const (
	allowedOrigin = "Webhook-Allowed-Origin" // our origin, or *
	allowedRate   = "Webhook-Allowed-Rate"   // requests a minute, or *

	challengeTime = 5 * time.Second
)

// reasonNoConsent begins the Why of a registration whose endpoint did not consent.
const reasonNoConsent = "unproven: "

// An consentError says why an endpoint that must consent did not.
type consentError struct{ reason string }

func (e *consentError) Error() string { return e.reason }

// newConsentError returns an *unprovenError as one that wraps is and begins with what, and any other error as it is.
func newConsentError(err error, what string, sentinel error) error {
	if refused, ok := errors.AsType[*consentError](err); ok {
		return fmt.Errorf("%s: %w: %s", what, sentinel, refused.reason)
	}
	return err
}

// consentForNew returns a new registration, disabled if its endpoint must consent and does not.
func (rr *registrations) consentForNew(ctx context.Context, r gateway.Registration) (gateway.Registration, error) {
	err := rr.requireConsent(ctx, &r)
	refused, unproven := errors.AsType[*consentError](err)
	if !unproven {
		return r, err
	}
	r.State, r.Reason = gateway.Disabled, reasonNoConsent+refused.reason
	return r, nil
}

// consentForChange returns r after a change of its URL or format. One that is enabled
// stays so only with consent; one that waits for consent is enabled by it.
func (rr *registrations) consentForChange(ctx context.Context, r gateway.Registration) (gateway.Registration, error) {
	err := rr.requireConsent(ctx, &r)
	refused, unproven := errors.AsType[*consentError](err)
	waits := r.State == gateway.Disabled && strings.HasPrefix(r.Reason, reasonNoConsent)
	switch {
	case unproven && waits:
		r.Reason = reasonNoConsent + refused.reason
		return r, nil
	case unproven && r.State == gateway.Disabled:
		return r, nil // it is asked again when it is enabled
	case err != nil:
		return r, newConsentError(err, "url", storage.ErrInvalid)
	case waits:
		r.State, r.Reason, r.Since = gateway.Enabled, "", rr.gw.Clock()
	}
	return r, nil
}

// requireConsent asks r's endpoint for its consent, if the tenant's endpoints must give it and this one has not, and
// notes it in r. The error is an *unprovenError if it does not, and wraps storage.ErrInvalid if r is not in
// standard format: a handler that was written for the provider cannot consent.
func (rr *registrations) requireConsent(ctx context.Context, r *gateway.Registration) error {
	t, err := rr.Tenant(ctx, r.Tenant)
	switch {
	case err != nil || !t.Limits.RequireChallenge:
		return err
	case r.Format != gateway.Standard:
		return fmt.Errorf("format: %w: want standard: the tenant's endpoints must consent, which belongs to that format", storage.ErrInvalid)
	case !r.Endpoint.ConsentedAt.IsZero():
		return nil
	}
	answer, err := rr.challenge(ctx, *r)
	if err != nil {
		return err
	}
	rate, err := rr.consent(answer)
	if err != nil {
		return err
	}
	r.Endpoint.ConsentedAt = rr.gw.Clock()
	if rate > 0 && (r.Rate == 0 || r.Rate > rate) {
		r.Rate = rate
	}
	return nil
}

// challenge sends the OPTIONS request of the handshake to r's endpoint, with the headers of its deliveries.
func (rr *registrations) challenge(ctx context.Context, r gateway.Registration) (egress.Response, error) {
	pk := gateway.RegistrationKey(r.ID).PK
	to, err := rr.gw.Keys.Open(pk, "url", r.Endpoint.URL)
	if err != nil {
		return egress.Response{}, err
	}
	req := egress.Request{URL: to, Timeout: challengeTime, Header: http.Header{}}
	for name, sealed := range r.Endpoint.Headers {
		plain, err := rr.gw.Keys.Open(pk, "header", sealed)
		if err != nil {
			return egress.Response{}, err
		}
		gateway.SetHeader(req.Header, name, plain)
	}
	gateway.SetHeader(req.Header, "User-Agent", "Ringback/1")
	gateway.SetHeader(req.Header, gateway.ViaHeader, rr.gw.ID())
	gateway.SetHeader(req.Header, gateway.RequestOrigin, rr.gw.Origin())
	answer := rr.gw.Egress.Options(ctx, req)
	rr.gw.Log.Debug("challenge", "registration", r.ID, "tenant", r.Tenant, "host", egress.Host(r.Endpoint.RedactedURL),
		"code", answer.StatusCode, "outcome", string(answer.Class), "took", answer.Took)
	return answer, nil
}

// consent reads the answer to a challenge. It returns how many deliveries a
// second the endpoint allows, 0 if it names no limit, or an *unprovenError.
func (rr *registrations) consent(answer egress.Response) (rate float64, err error) {
	allowed := strings.TrimSpace(answer.Header.Get(allowedOrigin))
	switch {
	case answer.StatusCode == 0:
		return 0, &consentError{"the endpoint was asked with OPTIONS for its consent: " + answer.Error}
	case allowed != "*" && !strings.EqualFold(allowed, rr.gw.Origin()):
		return 0, &consentError{"the endpoint's answer to OPTIONS has no WebHook-Allowed-Origin with " + rr.gw.Origin() + " or *"}
	}
	if n, err := strconv.Atoi(strings.TrimSpace(answer.Header.Get(allowedRate))); err == nil && n > 0 {
		rate = float64(n) / 60
	}
	return rate, nil
}
