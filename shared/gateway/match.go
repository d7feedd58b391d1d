package gateway

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"ringback/shared/provider"
	"ringback/shared/storage"
)

// A Match names routing keys and their accepted values: keys AND, values OR, exact text. A nil Match accepts
// everything; an empty one is invalid.
type Match map[string][]string

// Limits of a Match.
const (
	MaxIndexEntries = 200 // index entries of one registration: values × patterns
	MaxEventTypes   = 100
)

// Accepts reports whether keys hold, for every key of m, one of its values.
func (m Match) Accepts(keys map[string][]string) bool {
	for key, values := range m {
		if !slices.ContainsFunc(keys[key], func(v string) bool { return slices.Contains(values, v) }) {
			return false
		}
	}
	return true
}

// Check returns an error wrapping storage.ErrInvalid unless m is nil or names known
// kinds, each with at least one value. The error repeats no value.
func (m Match) Check(kinds []string) error {
	if m == nil {
		return nil
	}
	if len(m) == 0 {
		return fmt.Errorf("match: %w: want at least one routing key, or no match at all for everything", storage.ErrInvalid)
	}
	for key, values := range m {
		if key != "label" && !slices.Contains(kinds, key) {
			return fmt.Errorf("match: %w: want only the routing keys label, %s", storage.ErrInvalid, strings.Join(kinds, ", "))
		}
		if len(values) == 0 {
			return fmt.Errorf("match.%s: %w: want at least one value", key, storage.ErrInvalid)
		}
		for _, v := range values {
			if err := CheckText("match."+key, v, 1, provider.MaxMatchValue); err != nil && (v != "" || key != "label") {
				return err
			}
		}
	}
	return nil
}

// indexKind returns the routing key under which m is indexed, the one with the fewest values; empty for a nil Match.
func (m Match) indexKind() string {
	best := ""
	for kind, values := range m {
		if best == "" || len(values) < len(m[best]) || len(values) == len(m[best]) && kind < best {
			best = kind
		}
	}
	return best
}

// CheckText returns an error wrapping storage.ErrInvalid, which names field and does not repeat text, unless text
// could equal a text that others send. White space at an end, from pasting, never does.
func CheckText(field, text string, least, most int) error {
	if len(text) < least || len(text) > most || !utf8.ValidString(text) || strings.TrimSpace(text) != text || strings.ContainsFunc(text, unicode.IsControl) {
		return fmt.Errorf("%s: %w: want %d to %d bytes of UTF-8 without control characters, and without white space at the ends", field, storage.ErrInvalid, least, most)
	}
	return nil
}

// CheckEventTypes returns an error wrapping storage.ErrInvalid unless each pattern is a
// type, or a beginning of types and a final *.
func CheckEventTypes(patterns []string) error {
	if len(patterns) > MaxEventTypes {
		return fmt.Errorf("event_types: %w: want at most %d", storage.ErrInvalid, MaxEventTypes)
	}
	for _, p := range patterns {
		if err := CheckText("event_types", p, 1, provider.MaxEventTypeBytes); err != nil {
			return err
		}
		if i := strings.IndexByte(p, '*'); i >= 0 && i != len(p)-1 || strings.Contains(p, "#") {
			return fmt.Errorf("event_types: %w: want * at the end of an entry only, and no #", storage.ErrInvalid)
		}
	}
	return nil
}

// MatchesType reports whether pattern names typ.
func MatchesType(pattern, typ string) bool {
	if start, ok := strings.CutSuffix(pattern, "*"); ok {
		return strings.HasPrefix(typ, start)
	}
	return pattern == typ
}

// Operational events, made by the gateway.
const (
	registrationFailing   = "registration.failing"
	registrationDisabled  = "registration.disabled"
	registrationRecovered = "registration.recovered"
	deliveryExhausted     = "delivery.exhausted"
	sourceDisconnected    = "source.disconnected"
)

// operational lists them. A pattern with * matches none of them.
var operational = []string{
	registrationFailing, registrationDisabled, registrationRecovered, deliveryExhausted, sourceDisconnected,
}

// CallbackRemoved is the event that tells an app that its registration by code
// is gone ("Set HTTP callback to be called on group events", SmartBots).
const CallbackRemoved = "callback_removed"

// TestEventType is the type of the event that a registration's test sends.
const TestEventType = "registration.test"

// aboutSource reports whether e concerns the source itself: its disconnection, or SmartBots' events about our own
// registration there. Only a grant of the whole source covers it.
func aboutSource(e *provider.Event) bool {
	switch {
	case e.Recipient != "" || e.Tenant != "":
		return false
	case e.Type == sourceDisconnected:
		return true
	}
	return e.Provider == SmartBots && (e.Type == CallbackSet || e.Type == CallbackRemoved)
}

// WantsType reports whether one of patterns names typ.
func WantsType(patterns []string, typ string) bool {
	if slices.Contains(operational, typ) {
		return slices.Contains(patterns, typ)
	}
	return slices.ContainsFunc(patterns, func(p string) bool { return MatchesType(p, typ) })
}

// OwnEvent reports whether the gateway made e, with a JSON object or form of its own as payload.
func OwnEvent(e *provider.Event) bool {
	return e.Recipient != "" || slices.Contains(operational, e.Type)
}

const SmartBots = "smartbots"

// CallbackSet is the event that tells an app that its registration by code was made.
const CallbackSet = "callback_set"
