package gateway

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"ringback/shared/egress"
	"ringback/shared/storage"
)

// The handshake by which an endpoint consents to deliveries ("HTTP 1.1 Web
// Hooks for Event Delivery", CloudEvents, section 4, "Abuse Protection"). The
// status of the answer does not matter; the header does.
const (
	requestOrigin = "Webhook-Request-Origin" // also of every delivery after it
	allowedOrigin = "Webhook-Allowed-Origin" // our origin, or *
	allowedRate   = "Webhook-Allowed-Rate"   // requests a minute, or *

	challengeTime = 5 * time.Second
)

// whyUnproven begins the Why of a registration whose endpoint did not consent.
const whyUnproven = "unproven: "

// An unprovenError says why an endpoint that must consent did not.
type unprovenError struct{ why string }

func (e *unprovenError) Error() string { return e.why }

// asInvalid returns an *unprovenError as one that wraps storage.ErrInvalid, and any
// other error as it is.
func asInvalid(err error) error { return unprovenAs(err, "url", storage.ErrInvalid) }

// asConflict is asInvalid with storage.ErrConflict.
func asConflict(err error) error { return unprovenAs(err, "enable", storage.ErrConflict) }

func unprovenAs(err error, what string, is error) error {
	var no *unprovenError
	if errors.As(err, &no) {
		return fmt.Errorf("%s: %w: %s", what, is, no.why)
	}
	return err
}

// provenNew returns a new registration, disabled if its endpoint must consent
// and does not.
func (g *Gateway) provenNew(ctx context.Context, r Registration) (Registration, error) {
	var no *unprovenError
	err := g.prove(ctx, &r)
	if !errors.As(err, &no) {
		return r, err
	}
	r.State, r.Why = Disabled, whyUnproven+no.why
	return r, nil
}

// provenAgain returns r after a change of its URL or format. One that is enabled
// stays so only with consent; one that waits for consent is enabled by it.
func (g *Gateway) provenAgain(ctx context.Context, r Registration) (Registration, error) {
	err := g.prove(ctx, &r)
	var no *unprovenError
	waits := r.State == Disabled && strings.HasPrefix(r.Why, whyUnproven)
	switch {
	case errors.As(err, &no) && waits:
		r.Why = whyUnproven + no.why
		return r, nil
	case errors.As(err, &no) && r.State == Disabled:
		return r, nil // it is asked again when it is enabled
	case err != nil:
		return r, asInvalid(err)
	case waits:
		r.State, r.Why, r.Since = Enabled, "", g.now()
	}
	return r, nil
}

// prove asks r's endpoint for its consent, if the tenant's endpoints must give
// it and this one has not, and notes it in r. The error is an *unprovenError if
// it does not, and wraps storage.ErrInvalid if r is not in standard format: a handler
// that was written for the provider cannot consent.
func (g *Gateway) prove(ctx context.Context, r *Registration) error {
	t, err := g.Tenant(ctx, r.Tenant)
	switch {
	case err != nil || !t.Limits.RequireChallenge:
		return err
	case r.Format != Standard:
		return fmt.Errorf("format: %w: want standard: the tenant's endpoints must consent, which belongs to that format", storage.ErrInvalid)
	case !r.Endpoint.Proven.IsZero():
		return nil
	}
	answer, err := g.challenge(ctx, *r)
	if err != nil {
		return err
	}
	rate, err := g.consent(answer)
	if err != nil {
		return err
	}
	r.Endpoint.Proven = g.now()
	if rate > 0 && (r.Rate == 0 || r.Rate > rate) {
		r.Rate = rate
	}
	return nil
}

// challenge sends the OPTIONS request of the handshake to r's endpoint, with
// the headers of its deliveries.
func (g *Gateway) challenge(ctx context.Context, r Registration) (egress.Response, error) {
	pk := registrationKey(r.ID).PK
	to, err := g.Keys.Open(pk, "url", r.Endpoint.URL)
	if err != nil {
		return egress.Response{}, err
	}
	req := egress.Request{URL: to, Timeout: challengeTime, Header: http.Header{}}
	for name, sealed := range r.Endpoint.Headers {
		plain, err := g.Keys.Open(pk, "header", sealed)
		if err != nil {
			return egress.Response{}, err
		}
		set(req.Header, name, plain)
	}
	set(req.Header, "User-Agent", "Ringback/1")
	set(req.Header, ViaHeader, g.ID())
	set(req.Header, requestOrigin, g.origin())
	answer := g.Egress.Options(ctx, req)
	g.Log.Debug("challenge", "registration", r.ID, "tenant", r.Tenant, "host", egress.Host(r.Endpoint.Shown),
		"code", answer.StatusCode, "outcome", string(answer.Class), "took", answer.Took)
	return answer, nil
}

// consent reads the answer to a challenge. It returns how many deliveries a
// second the endpoint allows, 0 if it names no limit, or an *unprovenError.
func (g *Gateway) consent(answer egress.Response) (rate float64, err error) {
	allowed := strings.TrimSpace(answer.Header.Get(allowedOrigin))
	switch {
	case answer.StatusCode == 0:
		return 0, &unprovenError{"the endpoint was asked with OPTIONS for its consent: " + answer.Error}
	case allowed != "*" && !strings.EqualFold(allowed, g.origin()):
		return 0, &unprovenError{"the endpoint's answer to OPTIONS has no WebHook-Allowed-Origin with " + g.origin() + " or *"}
	}
	if n, err := strconv.Atoi(strings.TrimSpace(answer.Header.Get(allowedRate))); err == nil && n > 0 {
		rate = float64(n) / 60
	}
	return rate, nil
}
