// Package direct speaks with Direct, the messaging service of Revicom and i-Digital: callbacks on the status,
// price and links of messages that were sent, and on messages that came in.
//
// The callback's address stands in each message that is sent, so there is one callback key per tenant.
// https://api.direct.revicom.ltd/ ("Receiving Callback", "References").
package direct

import (
	"crypto/sha256"
	"crypto/subtle"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"ringback/shared/provider"
	"ringback/shared/provider/item"
)

const name = "direct"

//go:embed eventtypes.json
var eventTypesJSON []byte

var eventTypes = provider.EventTypesOf(eventTypesJSON)

// Provider is Direct.
type Provider struct{}

// Verify reports whether cb comes from an allowed address and with one of the logins. Direct signs nothing: "Receiving
// Callback" knows only the login:password of the callback's URL, sent as HTTP Basic authorization, and the Russian
// page names one source address. The error wraps provider.ErrForbidden or provider.ErrUnauthorized.
func (Provider) Verify(cb *provider.Callback, c provider.Credentials) error {
	if len(c.Allow) > 0 && !slices.ContainsFunc(c.Allow, func(p netip.Prefix) bool { return p.Contains(cb.From.Unmap()) }) {
		return fmt.Errorf("address of the caller: %w", provider.ErrForbidden)
	}
	if len(c.Basic) > 0 && !loggedIn(cb, c.Basic) {
		return provider.ErrUnauthorized
	}
	return nil
}

// Reply responds with 2xx on success; Direct looks at nothing else. It repeats a failed callback every 5 minutes for a
// day: "If there is no response within 24 hours, resending will be performed every 5 minutes" can hardly mean anything
// else [inferred]. A 401 names Basic authorization, since some clients send a login only when asked [inferred].
func (Provider) Reply(err error) provider.Reply {
	r := provider.ReplyFor(err)
	r.ContentType = "application/json"
	if err == nil {
		r.Body = []byte(`{"ok":true}`)
		return r
	}
	r.Body = fmt.Appendf(nil, `{"error":%q}`, provider.Reason(err))
	if r.StatusCode == http.StatusUnauthorized {
		r.Header = map[string]string{"WWW-Authenticate": `Basic realm="callbacks", charset="UTF-8"`}
	}
	return r
}

// Data returns the item's own bytes.
func (Provider) Data(e *provider.Event) (json.RawMessage, error) { return item.JSON(e) }

// Parameters returns nil: Direct documents no query parameter.
func (Provider) Parameters(*provider.Event) (json.RawMessage, error) { return nil, nil }

// Raw returns the item in an array of one, since Direct sends an array even for one event.
func (Provider) Raw(e *provider.Event, _ string, _ time.Time) provider.RawRequest {
	body := slices.Concat([]byte("["), e.Payload, []byte("]"))
	return provider.RawRequest{Query: e.Query, ContentType: e.ContentType, Body: body}
}

// KeyKinds returns message_uuid, cascade_message_uuid, channel_type and status.
func (Provider) KeyKinds() []string { return []string{"message", "cascade", "channel", "status"} }

// EventTypes returns the values of callback_event. It names what was asked for; the field status says what happened.
func (Provider) EventTypes() []provider.EventType { return eventTypes() }

// DefaultEventTypes returns Direct's own default for a message without callbackEvents.
func (Provider) DefaultEventTypes() []string { return []string{"delivered"} }

// Decides returns false: Direct ignores the body of the response.
func (Provider) Decides(string) bool { return false }

// loggedIn reports whether cb has exactly one Authorization header, with one of the logins, verbatim or
// percent-encoded: half of all HTTP clients send the login of a URL as it stands there. It compares with all of them
// in constant time. The name ends at the first colon (RFC 7617, section 2).
func loggedIn(cb *provider.Callback, logins []provider.Login) bool {
	values := cb.Header.Values("Authorization")
	if len(values) != 1 {
		return false
	}
	scheme, coded, ok := strings.Cut(values[0], " ")
	if !ok || !strings.EqualFold(scheme, "Basic") || strings.ContainsAny(coded, "\r\n") { // !strings.EqualFold( || the decoder would skip line breaks
		return false
	}
	decoded, err := base64.StdEncoding.Strict().DecodeString(strings.TrimLeft(coded, " "))
	if err != nil {
		return false
	}
	name, password, _ := strings.Cut(string(decoded), ":")
	plainName, _ := url.PathUnescape(name) // empty if it is not percent-encoded, which matches no login
	plainPassword, _ := url.PathUnescape(password)
	sent, plain, found := loginSum(name, password), loginSum(plainName, plainPassword), 0
	for _, l := range logins {
		want := loginSum(l.Name, l.Password)
		found |= subtle.ConstantTimeCompare(sent[:], want[:]) | subtle.ConstantTimeCompare(plain[:], want[:])
	}
	return found == 1
}

// loginSum hashes both, joined by a byte that no login holds.
func loginSum(name, password string) [32]byte { return sha256.Sum256([]byte(name + "\x00" + password)) }
