package control

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"ringback/shared/egress"
	"ringback/shared/gateway"
	"ringback/shared/storage"
)

// Limits of an endpoint's headers.
const (
	MaxHeaders     = 20
	MaxHeaderValue = 1 << 10
)

// endpoint returns the endpoint with a URL and headers, encrypted for the registration id. *** keeps what old has;
// an empty URL, or nil headers, keeps all of it. The error wraps storage.ErrInvalid and repeats no value.
func (rr *registrations) endpoint(id string, old gateway.Endpoint, sent string, headers map[string]string) (gateway.Endpoint, error) {
	to, pk := old, gateway.RegistrationKey(id).PK
	before := ""
	var err error
	if old.URL != "" {
		if before, err = rr.gw.Keys.Open(pk, "url", old.URL); err != nil {
			return to, err
		}
	}
	plain := before
	if sent != "" || old.URL == "" {
		if plain, err = egress.Merge(plain, sent); err != nil {
			return to, fmt.Errorf("url: %w: %v", storage.ErrInvalid, err)
		}
		if err := rr.gw.Egress.CheckURL(plain); err != nil {
			return to, fmt.Errorf("url: %w: %v", storage.ErrInvalid, err)
		}
		to.URL, to.RedactedURL = rr.gw.Keys.Seal(pk, "url", plain), egress.Redact(plain)
		if plain != before {
			to.ConsentedAt = time.Time{}
		}
	}
	if headers != nil {
		if to.Headers, err = rr.headers(pk, old.Headers, headers); err != nil {
			return to, err
		}
	}
	for name, sealed := range to.Headers {
		if sealed == old.Headers[name] && !egress.SameOrigin(before, plain) {
			return to, fmt.Errorf("headers: %w: a URL with another scheme, host or port needs their values again", storage.ErrInvalid)
		}
	}
	if u, err := url.Parse(plain); err == nil && u.User != nil && to.Headers["Authorization"] != "" {
		return to, fmt.Errorf("headers: %w: want either Authorization or a login in the URL", storage.ErrInvalid)
	}
	return to, nil
}

// checkEndpoint returns an error wrapping storage.ErrInvalid unless to, encrypted for the registration id, is valid.
func (rr *registrations) checkEndpoint(id string, to gateway.Endpoint) error {
	pk := gateway.RegistrationKey(id).PK
	plain, err := rr.gw.Keys.Open(pk, "url", to.URL)
	if err != nil {
		return err
	}
	headers := map[string]string{}
	for name, sealed := range to.Headers {
		if headers[name], err = rr.gw.Keys.Open(pk, "header", sealed); err != nil {
			return err
		}
	}
	_, err = rr.endpoint(id, gateway.Endpoint{}, plain, headers)
	return err
}

// headers encrypts sent under canonical names; *** keeps what old has.
func (rr *registrations) headers(pk string, old, sent map[string]string) (map[string]string, error) {
	if len(sent) > MaxHeaders {
		return nil, fmt.Errorf("headers: %w: want at most %d", storage.ErrInvalid, MaxHeaders)
	}
	out := make(map[string]string, len(sent))
	for _, name := range slices.Sorted(maps.Keys(sent)) {
		if err := checkHeader(name, sent[name]); err != nil {
			return nil, err
		}
		canonical := http.CanonicalHeaderKey(name)
		switch _, twice := out[canonical]; {
		case twice:
			return nil, fmt.Errorf("headers: %w: a name stands there twice", storage.ErrInvalid)
		case sent[name] != hiddenText:
			out[canonical] = rr.gw.Keys.Seal(pk, "header", sent[name])
		case old[canonical] == "":
			return nil, fmt.Errorf("headers: %w: there is no value to keep", storage.ErrInvalid)
		default:
			out[canonical] = old[canonical]
		}
	}
	return out, nil
}

// checkHeader checks a header by RFC 9110, sections 5.1 and 5.5, and refuses those of the connection and of the
// gateway.
func checkHeader(name, value string) error {
	notToken := func(r rune) bool {
		return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("!#$%&'*+-.^_`|~", r))
	}
	control := func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }
	switch {
	case name == "" || len(name) > gateway.MaxName || strings.ContainsFunc(name, notToken):
		return fmt.Errorf("headers: %w: want names of letters, digits and -", storage.ErrInvalid)
	case reservedHeader(strings.ToLower(strings.ReplaceAll(name, "_", "-"))): // some servers read _ as -
		return fmt.Errorf("headers: %w: the connection's and Ringback's own cannot be set", storage.ErrInvalid)
	case len(value) > MaxHeaderValue || strings.ContainsFunc(value, control) || strings.TrimSpace(value) != value:
		return fmt.Errorf("headers: %w: want values of at most %d bytes without control characters", storage.ErrInvalid, MaxHeaderValue)
	}
	return nil
}

// reservedHeader reports whether a header, in lower case, is of the connection
// (RFC 9110, section 7.6.1), says who calls, or is made by the gateway.
func reservedHeader(name string) bool {
	switch name {
	case "connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade", "expect",
		"host", "content-length", "content-type", "content-encoding", "accept-encoding", "idempotency-key",
		"forwarded", "via", "x-real-ip", "http2-settings":
		return true
	}
	starts := []string{"webhook-", "ringback-", "proxy-", "x-ringback-", "x-forwarded-"}
	return slices.ContainsFunc(starts, func(start string) bool { return strings.HasPrefix(name, start) })
}
