// Package form reads application/x-www-form-urlencoded text as leniently as the senders of callbacks write
// it: net/url refuses a bare semicolon and a broken percent escape, and forgets the order.
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

// usualFields is how many fields a form has at most, usually.
const usualFields = 32

// Fields yields the text of each field of a form as it stands there, without the ampersand, and its decoded name and
// value. A plus sign is a space, and so is %20, since a sender may write either [inferred]; a percent sign that begins
// no escape stands for itself, and so does a semicolon. Decoded text need not be UTF-8. Empty fields are left out.
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

// All returns what Fields yields, but the text.
func All(raw string) []Field {
	fields := make([]Field, 0, min(strings.Count(raw, "&")+1, usualFields))
	for _, f := range Fields(raw) {
		fields = append(fields, f)
	}
	return fields
}

// Object returns fields as a JSON object of strings, in the order in which the names first come; a name that
// comes again has an array of its values. Broken UTF-8 becomes U+FFFD.
func Object(fields []Field) json.RawMessage {
	size := len("{}")
	values := make(map[string]int, len(fields)) // how many a name has
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
			continue // it was written where it came first
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

// appendString appends s as JSON. Text that stands in JSON as it is, and most does, is not given to
// encoding/json, which would take most of a delivery's time of writing its body.
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
