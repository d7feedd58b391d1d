package gateway

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"ringback/shared/egress"
	"ringback/shared/keyring"
	"ringback/shared/provider"
)

// Headers of deliveries, in lower case as Standard Webhooks prints its own: its PHP and Ruby libraries look them
// up so. LateHeader marks a delivery of an ordered registration that is older than one attempted before it, or may
// be, after a crash.
const (
	// ViaHeader lists the gateways that a delivery came through, the sender last, in the grammar of CDN-Loop (RFC
	// 8586, section 2).
	ViaHeader     = "ringback-via"
	LateHeader    = "ringback-late"
	RequestOrigin = "WebHook-Request-Origin" // of a challenge, and of deliveries after it
)

// AttemptTime is the default and longest time limit of an attempt.
const AttemptTime = 15 * time.Second

// timeout returns the time limit of an attempt for r.
func (r *Registration) timeout() time.Duration {
	return min(cmp.Or(max(r.Timeout, 0), AttemptTime), AttemptTime)
}

// request builds the POST of t at now.
func (at *attempter) request(t *task, now time.Time) (egress.Request, error) {
	e, r := t.e, t.r
	to, err := at.target(r, now)
	if err != nil {
		return egress.Request{}, err
	}
	req := egress.Request{URL: to.url, Timeout: r.timeout(), Header: make(http.Header, len(to.headers)+12)}
	for name, value := range to.headers {
		req.Header[name] = []string{value}
	}
	p := at.Providers[e.Provider]
	switch {
	case r.Format == Raw && !OwnEvent(e):
		raw := p.Raw(e, to.rawToken, now)
		req.Query, req.Body = raw.Query, raw.Body
		SetHeader(req.Header, "Content-Type", raw.ContentType)
	case r.Format == Raw:
		req.Body = e.Payload
		SetHeader(req.Header, "Content-Type", e.ContentType)
	default:
		write := t.standard
		if write == nil {
			write = func() ([]byte, error) { return standardBody(p, e) }
		}
		if req.Body, err = write(); err != nil {
			return egress.Request{}, err
		}
		SetHeader(req.Header, "Content-Type", "application/json")
	}
	SetHeader(req.Header, "User-Agent", "Ringback/1")
	req.Header["Idempotency-Key"] = []string{} // Go replays a POST with this key on a dead connection; an empty list is not sent
	SetHeader(req.Header, ViaHeader, strings.Join(append(slices.Clone(e.Via), at.ID()), ", "))
	SetHeader(req.Header, "ringback-delivery", t.d.ID)
	SetHeader(req.Header, "ringback-attempt", strconv.Itoa(t.d.Attempts+1))
	if !r.Endpoint.ConsentedAt.IsZero() {
		SetHeader(req.Header, RequestOrigin, at.Origin())
	}
	if t.d.OutOfOrder {
		SetHeader(req.Header, LateHeader, "true")
	}
	return req, sign(req.Header, to.signers, e.ID, now, req.Body)
}

func SetHeader(h http.Header, name, value string) {
	if value != "" {
		h[name] = []string{value}
	}
}

// sign adds the three headers of Standard Webhooks 1.0 ("Webhook Headers").
func sign(h http.Header, signers []*standardwebhooks.Webhook, id string, now time.Time, body []byte) error {
	signatures := make([]string, len(signers))
	for i, w := range signers {
		var err error
		if signatures[i], err = w.Sign(id, now, body); err != nil {
			return fmt.Errorf("sign: %w", err)
		}
	}
	SetHeader(h, "webhook-id", id)
	SetHeader(h, "webhook-timestamp", fmt.Sprint(now.Unix()))
	SetHeader(h, "webhook-signature", strings.Join(signatures, " "))
	return nil
}

// standardBody returns the body of a standard delivery. It is assembled by hand because encoding/json would change
// the payload's bytes.
func standardBody(p provider.Provider, e *provider.Event) ([]byte, error) {
	data, parameters := json.RawMessage(e.Payload), json.RawMessage(nil)
	var err error
	if !OwnEvent(e) || !json.Valid(data) {
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

// A target is a registration's endpoint, decrypted.
type target struct {
	url      string
	headers  map[string]string
	signers  []*standardwebhooks.Webhook
	rawToken string
	at       time.Time
}

// targetTTL bounds the use of an expired secret.
const targetTTL = 30 * time.Second

// target decrypts r's endpoint and secrets.
func (at *attempter) target(r *Registration, now time.Time) (*target, error) {
	name := fmt.Sprintf("%s %d", r.ID, r.Rev)
	if t, ok := at.targets.Get(name); ok && time.Since(t.at) < targetTTL {
		return t, nil
	}
	pk := RegistrationKey(r.ID).PK
	t := &target{at: time.Now(), headers: make(map[string]string, len(r.Endpoint.Headers))}
	var err error
	if t.url, err = at.Keys.Open(pk, "url", r.Endpoint.URL); err != nil {
		return t, err
	}
	for name, sealed := range r.Endpoint.Headers {
		if t.headers[name], err = at.Keys.Open(pk, "header", sealed); err != nil {
			return t, err
		}
	}
	secrets, err := at.Keys.OpenValid(pk, "secret", r.Secrets, now)
	if err != nil {
		return t, err
	}
	for _, s := range secrets[:min(len(secrets), keyring.MaxValidSecrets)] {
		w, err := standardwebhooks.NewWebhook(s)
		if err != nil {
			return t, fmt.Errorf("secret of %s: not base64", r.ID)
		}
		t.signers = append(t.signers, w)
	}
	tokens, err := at.Keys.OpenValid(pk, "raw_token", r.RawTokens, now)
	if err != nil {
		return t, err
	}
	if len(tokens) > 0 {
		t.rawToken = tokens[0]
	}
	at.targets.Add(name, t)
	return t, nil
}
