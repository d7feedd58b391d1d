package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"ringback/shared/egress"
)

// attemptTime is how long one attempt may take unless the registration says less.
const attemptTime = 15 * time.Second

// limit returns how long one attempt of r may take.
func (r *Registration) limit() time.Duration {
	if r.Timeout > 0 && r.Timeout < attemptTime {
		return r.Timeout
	}
	return attemptTime
}

// deliverFirst makes the first attempt of f's event for r, or records why there
// is none now, and what follows from it.
func (g *Gateway) deliverFirst(ctx context.Context, f *fanOut, r *Registration) error {
	e := f.Event
	v, err := g.versionOf(ctx, e.Source)
	if err != nil {
		return err
	}
	verdict, why, err := g.may(ctx, v.rev, e, r)
	if err != nil {
		return fmt.Errorf("may %s have %s: %w", r.ID, e.ID, err)
	}
	d := newDelivery(e, r, g.now())
	d.Lane = r.Ordered
	switch {
	case verdict == Cancelled:
		return nil // it was never promised
	case verdict == Held:
		return g.recordFirst(ctx, f, d.hold(why, g.now()), nil, false)
	case r.Ordered:
		return g.queueInLane(ctx, f, d)
	}
	s, err := g.mayStart(ctx, v.rev, e, d, r, true, 0)
	if err != nil {
		return err
	}
	if s.leave == nil {
		d.Paced = s.paced
		self := !s.open && s.at.Sub(g.now()) <= maxSelfSend
		return g.recordFirst(ctx, f, d.wait(s.at, self), nil, self)
	}
	r = s.to
	a := g.deliver(ctx, e, r, d)
	s.leave(a)
	if a.Class == egress.Internal {
		return g.recordFirst(ctx, f, d.wait(g.now().Add(slowDown), false), nil, false) // ours, not the tenant's
	}
	if err := g.heedGone(ctx, r, a); err != nil {
		return err
	}
	a.Alone = a.Accepted() // at once: the answer is kept only so far
	after, self := d.record(a, r.Schedule, g.Random(), true)
	if a.Accepted() {
		g.count(Latency, float64(a.At.Add(a.Took).Sub(e.Received).Milliseconds()))
	}
	if err := g.recordFirst(ctx, f, after, &a, self); err != nil {
		return err
	}
	g.heed(ctx, e, r, a, after, s.probe)
	return nil
}

// A start is the right to make an attempt now, or when there may be one.
type start struct {
	leave func(Attempt) // must be called with the attempt; nil: not now
	to    *Registration // the registration as it is now
	probe bool          // of an open circuit
	at    time.Time     // when else
	paced bool          // at is the place that the rate gave
	open  bool          // the circuit is why
}

// mayStart asks circuit, rate, concurrency and the time left for the right to
// attempt d, of e for r, now. Without it the delivery waits, and uses up no
// attempt. If the right came late it is asked again whether r may have e: what
// was known of r before would be too old.
func (g *Gateway) mayStart(ctx context.Context, rev string, e *Event, d Delivery, r *Registration, first bool, hops int) (start, error) {
	var s start
	asked := g.now()
	var probe bool
	if !d.Manual {
		h, ok, err := g.admit(ctx, r.ID)
		if err != nil {
			return s, err
		}
		if probe = ok && h.Open; !ok {
			return start{open: true, at: h.closedFor(g.now(), r.Schedule.wait(d.Made), g.Random())}, nil
		}
	}
	t, err := g.tenant(ctx, rev, r.Tenant)
	if err != nil {
		return s, err
	}
	leave, w := g.pace.enter(ctx, turn{registration: r.ID, allowance: r.allowance(t.Limits, g.AtOnce), first: first, paced: d.Paced || d.Manual})
	switch {
	case leave == nil && !w.at.IsZero():
		return start{at: w.at, paced: true}, nil
	case leave == nil:
		return start{at: g.now().Add(g.crowdedWait(hops, w.turn)), paced: d.Paced}, nil
	}
	if g.posts.Acquire(ctx, 1) != nil {
		leave(Attempt{})
		return start{at: g.now()}, nil
	}
	end := func(a Attempt) {
		g.posts.Release(1)
		leave(a)
	}
	if timeLeft(ctx) < r.limit()+answerMargin {
		end(Attempt{})
		return start{at: g.now()}, nil
	}
	if g.now().Sub(asked) < versionFresh {
		return start{leave: end, to: r, probe: probe}, nil
	}
	r, verdict, err := g.judge(ctx, e, r)
	if err != nil || verdict != Pending {
		end(Attempt{})
		return start{at: g.now()}, err // whoever attempts it then finds out why not
	}
	return start{leave: end, to: r, probe: probe}, nil
}

// judge returns r as it is now, and what is to become of e for it.
func (g *Gateway) judge(ctx context.Context, e *Event, r *Registration) (*Registration, Status, error) {
	now, rev, err := g.registration(ctx, r.Source, r.ID)
	switch {
	case errors.Is(err, ErrNotFound):
		return r, Cancelled, nil
	case err != nil:
		return r, "", err
	}
	verdict, _, err := g.may(ctx, rev, e, now)
	return now, verdict, err
}

// recordFirst stores a delivery whose first attempt was made, or was not to be
// made now. If it exists already, a success closes it and anything else changes
// nothing. self says that the next attempt is the caller's to send.
func (g *Gateway) recordFirst(ctx context.Context, f *fanOut, d Delivery, a *Attempt, self bool) error {
	if f.thin {
		if d.Status == Succeeded {
			return nil // history of failures: it is nowhere, and needs to be nowhere
		}
		if err := g.keepPayload(ctx, f); err != nil {
			return err
		}
	}
	if a != nil && !a.Accepted() {
		if err := g.putAttempt(ctx, d.ID, *a); err != nil {
			return err
		}
	}
	if d.Status == Held {
		if err := g.keepHeld(ctx, d.Event, d.Since); err != nil {
			return err
		}
	}
	err := g.putDelivery(ctx, d, "")
	switch {
	case errors.Is(err, ErrConflict) && a != nil && a.Accepted():
		_, err = g.changeDelivery(ctx, d.ID, func(d Delivery) (Delivery, error) {
			if d.Status == Succeeded {
				return d, errUnchanged
			}
			return d.acceptedLate(*a), nil
		})
		return err
	case errors.Is(err, ErrConflict):
		return nil
	case err != nil:
		return err
	}
	if self {
		g.sendRetry(ctx, d, 1)
	}
	return nil
}

// deliver makes one POST of e to r's endpoint: the same for the first attempt
// and the tenth. It logs one line.
func (g *Gateway) deliver(ctx context.Context, e *Event, r *Registration, d Delivery) Attempt {
	a := Attempt{At: g.now(), Manual: d.Manual, Claim: d.Claim}
	req, err := g.request(e, r, a.At, d.Late)
	if err != nil {
		a.Class, a.Error = egress.Internal, "the delivery could not be written"
		g.Log.Error("attempt", "delivery", d.ID, "outcome", "internal", "why", err.Error())
		return a
	}
	resp := g.Egress.Post(ctx, req)
	a.Took, a.StatusCode, a.Class, a.Error, a.Answer = resp.Took, resp.StatusCode, resp.Class, resp.Error, resp.Body
	if resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode == http.StatusServiceUnavailable {
		a.RetryAfter = retryAfter(resp.Header, a.At)
	}
	metric := Refused
	if a.Accepted() {
		metric = Accepted
	}
	g.count(metric, 1)
	if log := g.Log; log.Enabled(ctx, slog.LevelDebug) { // else the host is parsed for nothing
		log.Debug("attempt", "provider", e.Provider, "source", e.Source, "event", e.ID, "tenant", r.Tenant, "delivery", d.ID,
			"number", d.Made+1, "host", egress.Host(r.Endpoint.Shown), "code", a.StatusCode, "outcome", string(a.Class), "took", a.Took)
	}
	return a
}

// request writes the POST of e to r at now.
func (g *Gateway) request(e *Event, r *Registration, now time.Time, late bool) (egress.Request, error) {
	t, err := g.target(r, now)
	if err != nil {
		return egress.Request{}, err
	}
	req := egress.Request{URL: t.url, Timeout: r.limit(), Header: make(http.Header, len(t.headers)+8)}
	for name, value := range t.headers {
		req.Header[name] = []string{value}
	}
	p := g.Providers[e.Provider]
	switch {
	case r.Format == Raw && !e.own():
		raw := p.Raw(e, t.rawToken, now)
		req.Query, req.Body = raw.Query, raw.Body
		set(req.Header, "Content-Type", raw.ContentType)
	case r.Format == Raw:
		req.Body = e.Payload
		set(req.Header, "Content-Type", e.ContentType)
	default:
		write := e.standard
		if write == nil {
			write = func() ([]byte, error) { return standardBody(p, e) }
		}
		if req.Body, err = write(); err != nil {
			return egress.Request{}, err
		}
		set(req.Header, "Content-Type", "application/json")
	}
	set(req.Header, "User-Agent", "Ringback/1")
	set(req.Header, "Idempotency-Key", e.ID)
	set(req.Header, ViaHeader, g.ID())
	if !r.Endpoint.Proven.IsZero() {
		set(req.Header, requestOrigin, g.origin())
	}
	if late {
		set(req.Header, LateHeader, "true")
	}
	return req, sign(req.Header, t.signers, e.ID, now, req.Body)
}

func set(h http.Header, name, value string) {
	if value != "" {
		h[name] = []string{value}
	}
}

// sign puts the three headers of Standard Webhooks 1.0 ("Webhook Headers").
func sign(h http.Header, signers []*standardwebhooks.Webhook, id string, now time.Time, body []byte) error {
	signature := ""
	for i, w := range signers {
		s, err := w.Sign(id, now, body)
		if err != nil {
			return fmt.Errorf("sign: %w", err)
		}
		if i > 0 {
			signature += " "
		}
		signature += s
	}
	set(h, "Webhook-Id", id)
	set(h, "Webhook-Timestamp", fmt.Sprint(now.Unix()))
	set(h, "Webhook-Signature", signature)
	return nil
}

// standardBody writes the body of a standard delivery. It is put together by
// hand because encoding/json would write the payload's bytes anew.
func standardBody(p Provider, e *Event) ([]byte, error) {
	data, parameters := json.RawMessage(e.Payload), json.RawMessage(nil)
	var err error
	if !e.own() || !json.Valid(data) {
		if data, err = p.Data(e); err != nil {
			return nil, fmt.Errorf("data of %s: %w", e.ID, err)
		}
		if parameters, err = p.Parameters(e); err != nil {
			return nil, fmt.Errorf("parameters of %s: %w", e.ID, err)
		}
	}
	at := e.Time
	if at.IsZero() {
		at = e.Received
	}
	head, err := json.Marshal(struct {
		ID        string    `json:"id"`
		Type      string    `json:"type"`
		Timestamp time.Time `json:"timestamp"`
		Provider  string    `json:"provider"`
		Source    string    `json:"source"`
		Label     string    `json:"label"`
	}{e.ID, e.Type, at, e.Provider, e.Source, e.Label})
	if err != nil {
		return nil, fmt.Errorf("head of %s: %w", e.ID, err)
	}
	b := make([]byte, 0, len(head)+len(parameters)+len(data)+32)
	b = append(b, head[:len(head)-1]...)
	if parameters == nil {
		parameters = json.RawMessage("{}")
	}
	b = append(append(b, `,"parameters":`...), parameters...)
	b = append(append(b, `,"data":`...), data...)
	return append(b, '}'), nil
}

// A target is where and how r's deliveries go, opened.
type target struct {
	url      string
	headers  map[string]string
	signers  []*standardwebhooks.Webhook
	rawToken string
	at       time.Time
}

// targetFresh is how long an opened target is kept: secrets that ended are used
// no longer than that.
const targetFresh = 30 * time.Second

// target opens what r has sealed.
func (g *Gateway) target(r *Registration, now time.Time) (target, error) {
	name := fmt.Sprintf("%s %d", r.ID, r.Rev)
	if t, ok := g.targets.Get(name); ok && now.Sub(t.at) < targetFresh {
		return t, nil
	}
	pk := registrationKey(r.ID).PK
	t := target{at: now, headers: make(map[string]string, len(r.Endpoint.Headers))}
	var err error
	if t.url, err = g.Keys.Open(pk, "url", r.Endpoint.URL); err != nil {
		return t, err
	}
	for name, sealed := range r.Endpoint.Headers {
		if t.headers[name], err = g.Keys.Open(pk, "header", sealed); err != nil {
			return t, err
		}
	}
	secrets, err := g.Keys.opened(pk, "secret", r.Secrets, now)
	if err != nil {
		return t, err
	}
	for _, s := range secrets {
		w, err := standardwebhooks.NewWebhook(s)
		if err != nil {
			return t, fmt.Errorf("secret of %s: not base64", r.ID)
		}
		t.signers = append(t.signers, w)
	}
	tokens, err := g.Keys.opened(pk, "raw_token", r.RawTokens, now)
	if err != nil {
		return t, err
	}
	if len(tokens) > 0 {
		t.rawToken = tokens[0]
	}
	g.targets.Add(name, t)
	return t, nil
}
