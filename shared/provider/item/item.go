// Package item makes the parts of a provider.Item that every provider makes in
// the same way: types, natural keys, routing keys, and items set aside.
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

// ContentType returns the Content-Type under which cb's items are kept: that of cb, or otherwise if there is none, it
// is longer than provider.MaxContentTypeBytes, or it is no text that rows and messages hold as it is (storage.Carries).
func ContentType(cb *provider.Callback, otherwise string) string {
	if v := cb.Header.Get("Content-Type"); v != "" && len(v) <= provider.MaxContentTypeBytes && storage.ValidText(v) {
		return v
	}
	return otherwise
}

// Type returns name, or <provider>.unnamed if it is empty or longer than a
// registration can name (provider.MaxEventTypeBytes). Broken UTF-8 becomes U+FFFD.
func Type(providerName, name string) string {
	name = strings.ToValidUTF8(name, "\uFFFD")
	if name == "" || len(name) > provider.MaxEventTypeBytes {
		return providerName + ".unnamed"
	}
	return name
}

// Key joins parts so that no two lists give the same text.
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

// Hash returns the SHA-256 of b in hex: the natural key of what has no better.
func Hash(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// AddKey adds a routing key's value to keys, in which broken UTF-8 becomes
// U+FFFD. It leaves out what is empty, is there already, is longer than a registration can name (provider.MaxMatchValue),
// or would bring all values above provider.MaxKeysBytes.
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

// SetAside returns the item that stands for a part of a callback that cannot
// be read or is too large. It keeps the first provider.KeptUnreadable bytes.
func SetAside(providerName string, b []byte) provider.Item {
	n := min(len(b), provider.MaxUnreadableBytes)
	return provider.Item{Type: providerName + ".unreadable", Payload: b[:n:n], Unreadable: true}
}

// A List gathers the items of a callback that has several. What it takes of those
// that cannot be read is bounded, since each is a row.
type List struct {
	items []provider.Item
	aside int
}

// Add adds it; what is past provider.MaxItems only counts.
func (l *List) Add(it provider.Item) {
	if len(l.items) <= provider.MaxItems {
		l.items = append(l.items, it)
	}
}

// SetAside adds what SetAside returns, for the first provider.MostUnreadable.
func (l *List) SetAside(providerName string, b []byte) {
	if l.aside++; l.aside <= provider.MaxUnreadable {
		l.Add(SetAside(providerName, b))
	}
}

// All returns the items, and at the end one that says how many more were set aside.
// The error wraps provider.ErrTooLarge if there are more than provider.MaxItems.
func (l *List) All(providerName string) ([]provider.Item, error) {
	if len(l.items) > provider.MaxItems {
		return nil, fmt.Errorf("items: %w: want at most %d", provider.ErrTooLarge, provider.MaxItems)
	}
	if more := l.aside - provider.MaxUnreadable; more > 0 {
		l.Add(SetAside(providerName, fmt.Appendf(nil, "%d more items could not be read", more)))
	}
	return l.items, nil
}

// Usable reports whether b, which is valid JSON, can be an item: an object of
// at most provider.MaxPayloadBytes that is not nested too deep.
func Usable(b []byte) bool {
	return jsonscan.Value(b).IsObject() && len(b) <= provider.MaxPayloadBytes && !jsonscan.TooDeep(b)
}

// Time returns t in UTC, or the zero time if its year is not one that every reader takes, 1970 to 9999.
func Time(t time.Time) time.Time {
	if t = t.UTC(); t.Year() < 1970 || t.Year() > 9999 {
		return time.Time{}
	}
	return t
}

// JSON returns the payload of e, which is JSON unless e was set aside: without white space and byte order mark around
// it, its bytes as they came but for broken UTF-8, which becomes U+FFFD. What was set aside becomes a string.
func JSON(e *provider.Event) (json.RawMessage, error) {
	if e.Unreadable {
		return json.Marshal(string(e.Payload))
	}
	return bytes.ToValidUTF8(jsonscan.Trim(e.Payload), []byte("\uFFFD")), nil
}
