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

// The handshake by which an endpoint consents to deliveries ("HTTP 1.1 Web Hooks for Event Delivery", CloudEvents,
// section 4, "Abuse Protection"). Only the response's headers matter, not its status.
const (
	allowedOrigin = "Webhook-Allowed-Origin" // our origin, or *
	allowedRate   = "Webhook-Allowed-Rate"   // requests a minute, or *

	challengeTime = 5 * time.Second
)

// reasonNoConsent is the start of the Reason of a registration whose endpoint did not consent.
const reasonNoConsent = "unproven: "

// A consentError says why an endpoint did not consent.
type consentError struct{ reason string }

func (e *consentError) Error() string { return e.reason }

// newConsentError returns a *consentError as an error that wraps sentinel and begins with what; any other error
// unchanged.
func newConsentError(err error, what string, sentinel error) error {
	if refused, ok := errors.AsType[*consentError](err); ok {
		return fmt.Errorf("%s: %w: %s", what, sentinel, refused.reason)
	}
	return err
}

// consentForNew returns a new registration, disabled if its endpoint must consent and did not.
func (rr *registrations) consentForNew(ctx context.Context, r gateway.Registration) (gateway.Registration, error) {
	err := rr.requireConsent(ctx, &r)
	refused, unproven := errors.AsType[*consentError](err)
	if !unproven {
		return r, err
	}
	r.State, r.Reason = gateway.Disabled, reasonNoConsent+refused.reason
	return r, nil
}

// consentForChange returns r after its URL or format changed. An enabled registration stays so only with consent;
// consent enables one that waited for it.
func (rr *registrations) consentForChange(ctx context.Context, r gateway.Registration) (gateway.Registration, error) {
	err := rr.requireConsent(ctx, &r)
	refused, unproven := errors.AsType[*consentError](err)
	waits := r.State == gateway.Disabled && strings.HasPrefix(r.Reason, reasonNoConsent)
	switch {
	case unproven && waits:
		r.Reason = reasonNoConsent + refused.reason
		return r, nil
	case unproven && r.State == gateway.Disabled:
		return r, nil // enabling it asks again
	case err != nil:
		return r, newConsentError(err, "url", storage.ErrInvalid)
	case waits:
		r.State, r.Reason, r.Since = gateway.Enabled, "", rr.gw.Clock()
	}
	return r, nil
}

// requireConsent asks r's endpoint for consent if the tenant's endpoints must give it and this one has not, and
// records it in r. The error is a *consentError if the endpoint refuses, and wraps storage.ErrInvalid unless r has
// the standard format: handlers written for a provider cannot consent.
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
	response, err := rr.challenge(ctx, *r)
	if err != nil {
		return err
	}
	rate, err := rr.consent(response)
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
	response := rr.gw.Egress.Options(ctx, req)
	rr.gw.Log.Debug("challenge", "registration", r.ID, "tenant", r.Tenant, "host", egress.Host(r.Endpoint.RedactedURL),
		"code", response.StatusCode, "outcome", string(response.Class), "took", response.Took)
	return response, nil
}

// consent reads the response to a challenge: the deliveries per second that the endpoint allows, 0 without a
// limit, or a *consentError.
func (rr *registrations) consent(response egress.Response) (rate float64, err error) {
	allowed := strings.TrimSpace(response.Header.Get(allowedOrigin))
	switch {
	case response.StatusCode == 0:
		return 0, &consentError{"the endpoint was asked with OPTIONS for its consent: " + response.Error}
	case allowed != "*" && !strings.EqualFold(allowed, rr.gw.Origin()):
		return 0, &consentError{"the endpoint's response to OPTIONS has no WebHook-Allowed-Origin with " + rr.gw.Origin() + " or *"}
	}
	if n, err := strconv.Atoi(strings.TrimSpace(response.Header.Get(allowedRate))); err == nil && n > 0 {
		rate = float64(n) / 60
	}
	return rate, nil
}
