// Package item makes the parts of a provider.Item that all providers make in the same way: types, natural keys,
// routing keys, and items that are set aside.
package item

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"ringback/shared/provider"
	"ringback/shared/provider/jsonscan"
	"ringback/shared/storage"
)

// ContentType returns cb's Content-Type, or otherwise if there is none, it is longer than
// provider.MaxContentTypeBytes, or rows and messages cannot hold it (storage.ValidText).
func ContentType(cb *provider.Callback, otherwise string) string {
	if v := cb.Header.Get("Content-Type"); v != "" && len(v) <= provider.MaxContentTypeBytes && storage.ValidText(v) {
		return v
	}
	return otherwise
}

// Type returns name, or <provider>.unnamed if name is empty or longer than a registration can name
// (provider.MaxEventTypeBytes). Invalid UTF-8 becomes U+FFFD.
func Type(providerName, name string) string {
	name = strings.ToValidUTF8(name, "\uFFFD")
	if name == "" || len(name) > provider.MaxEventTypeBytes {
		return providerName + ".unnamed"
	}
	return name
}

// Key joins parts so that different lists give different texts.
func Key(parts ...string) string {
	size := 0
	for _, p := range parts {
		size += len(p) + 4
	}
	b := make([]byte, 0, size)
	for _, p := range parts {
		b = strconv.AppendInt(b, int64(len(p)), 10)
		b = append(append(b, ':'), p...)
	}
	return string(b)
}

// Hash returns the SHA-256 of b in hex: the natural key of an item that has no better one.
func Hash(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// AddKey adds a routing key's value to keys, with U+FFFD for invalid UTF-8. It ignores a value that is empty, present,
// longer than a registration can name (provider.MaxMatchValue), or would bring all values above provider.MaxKeysBytes.
func AddKey(keys map[string][]string, kind, value string) {
	value = strings.ToValidUTF8(value, "\uFFFD")
	if value == "" || len(value) > provider.MaxMatchValue || slices.Contains(keys[kind], value) {
		return
	}
	size := len(value)
	for _, values := range keys {
		for _, v := range values {
			size += len(v)
		}
	}
	if size <= provider.MaxKeysBytes {
		keys[kind] = append(keys[kind], value)
	}
}

// SetAside returns an item for a part of a callback that is malformed or too large, with its first
// provider.MaxUnreadableBytes.
func SetAside(providerName string, b []byte) provider.Item {
	n := min(len(b), provider.MaxUnreadableBytes)
	return provider.Item{Type: providerName + ".unreadable", Payload: b[:n:n], Unreadable: true}
}

// A List collects the items of a callback. It bounds those that are set aside, since each takes a row.
type List struct {
	items []provider.Item
	aside int
}

// Add adds it, up to one more than provider.MaxItems.
func (l *List) Add(it provider.Item) {
	if len(l.items) <= provider.MaxItems {
		l.items = append(l.items, it)
	}
}

// SetAside adds what the function SetAside returns, up to provider.MaxUnreadable times.
func (l *List) SetAside(providerName string, b []byte) {
	if l.aside++; l.aside <= provider.MaxUnreadable {
		l.Add(SetAside(providerName, b))
	}
}

// All returns the items, with a last one that says how many more were set aside. The error wraps provider.ErrTooLarge
// if there are more than provider.MaxItems.
func (l *List) All(providerName string) ([]provider.Item, error) {
	if len(l.items) > provider.MaxItems {
		return nil, fmt.Errorf("items: %w: want at most %d", provider.ErrTooLarge, provider.MaxItems)
	}
	if more := l.aside - provider.MaxUnreadable; more > 0 {
		l.Add(SetAside(providerName, fmt.Appendf(nil, "%d more items could not be read", more)))
	}
	return l.items, nil
}

// Usable reports whether b, which is valid JSON, can be an item: an object of at most provider.MaxPayloadBytes, not
// nested too deep.
func Usable(b []byte) bool {
	return jsonscan.Value(b).IsObject() && len(b) <= provider.MaxPayloadBytes && !jsonscan.TooDeep(b)
}

// Time returns t in UTC, or the zero time if its year is outside 1970 to 9999, which some readers do not accept.
func Time(t time.Time) time.Time {
	if t = t.UTC(); t.Year() < 1970 || t.Year() > 9999 {
		return time.Time{}
	}
	return t
}

// JSON returns e's payload, which is JSON, without white space and byte order mark around it and with U+FFFD for
// invalid UTF-8, otherwise verbatim. The payload of an event that was set aside becomes a string.
func JSON(e *provider.Event) (json.RawMessage, error) {
	if e.Unreadable {
		return json.Marshal(string(e.Payload))
	}
	return bytes.ToValidUTF8(jsonscan.Trim(e.Payload), []byte("\uFFFD")), nil
}
