// Package form reads application/x-www-form-urlencoded text as leniently as the senders of callbacks write it: net/url
// refuses a bare semicolon and a malformed percent escape, and loses the order.
package form

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"iter"
	"strings"
)

// A Field is one name and value.
type Field struct{ Name, Value string }

// usualFields is how many fields most forms have at most.
const usualFields = 32

// Fields yields each field of a form: its text without the ampersand, and its decoded name and value. Both a plus sign
// and %20 are a space, since senders write either [inferred]; a semicolon, and a percent sign that begins no escape,
// stand for themselves. Decoded text need not be UTF-8. Empty fields are left out.
func Fields(raw string) iter.Seq2[string, Field] {
	return func(yield func(string, Field) bool) {
		for part := range strings.SplitSeq(raw, "&") {
			if part == "" {
				continue
			}
			name, value, _ := strings.Cut(part, "=")
			if !yield(part, Field{decode(name), decode(value)}) {
				return
			}
		}
	}
}

// All returns the Fields without their texts.
func All(raw string) []Field {
	fields := make([]Field, 0, min(strings.Count(raw, "&")+1, usualFields))
	for _, f := range Fields(raw) {
		fields = append(fields, f)
	}
	return fields
}

// Object returns fields as a JSON object of strings, in the order in which names first occur. A name that occurs more
// than once has an array of its values. Invalid UTF-8 becomes U+FFFD.
func Object(fields []Field) json.RawMessage {
	size := len("{}")
	values := make(map[string]int, len(fields)) // number by name
	for _, f := range fields {
		values[valid(f.Name)]++
		size += len(f.Name) + len(f.Value) + len(`"":"",`)
	}
	var repeated map[string][]string
	if len(values) < len(fields) {
		repeated = groupValues(fields)
	}
	b := append(make([]byte, 0, size), '{')
	for _, f := range fields {
		name := valid(f.Name)
		n := values[name]
		if n == 0 {
			continue // it was written at its first occurrence
		}
		values[name] = 0
		if len(b) > 1 {
			b = append(b, ',')
		}
		b = append(appendString(b, name), ':')
		if n == 1 {
			b = appendString(b, valid(f.Value))
			continue
		}
		b = append(b, '[')
		for i, v := range repeated[name] {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendString(b, v)
		}
		b = append(b, ']')
	}
	return append(b, '}')
}

func groupValues(fields []Field) map[string][]string {
	values := map[string][]string{}
	for _, f := range fields {
		name := valid(f.Name)
		values[name] = append(values[name], valid(f.Value))
	}
	return values
}

func valid(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }

// appendString appends s as JSON. Most text needs no escapes; encoding/json would take most of the time of writing a
// delivery's body.
func appendString(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			return appendEscaped(b, s)
		}
	}
	return append(append(append(b, '"'), s...), '"')
}

func appendEscaped(b []byte, s string) []byte {
	w := bytes.NewBuffer(b)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.Encode(s)                // a string always encodes
	return w.Bytes()[:w.Len()-1] // without the encoder's line feed
}

func decode(s string) string {
	if strings.IndexByte(s, '%') < 0 && strings.IndexByte(s, '+') < 0 {
		return s
	}
	var b strings.Builder
	b.Grow(len(s))
	for i := 0; i < len(s); i++ {
		c := [1]byte{s[i]}
		switch s[i] {
		case '+':
			c[0] = ' '
		case '%':
			if n, _ := hex.Decode(c[:], []byte(s[i+1:min(i+3, len(s))])); n == 1 {
				i += 2
			}
		}
		b.WriteByte(c[0])
	}
	return b.String()
}
