// Package form reads application/x-www-form-urlencoded text as leniently as
// the senders of callbacks write it: net/url refuses a bare semicolon and a
// broken percent escape, and forgets the order.
package form

import (
	"bytes"
	"encoding/json"
	"iter"
	"strings"
)

// A Field is one name and value.
type Field struct{ Name, Value string }

// Fields yields the text of each field of a form as it stands there, without
// the ampersand, and its decoded name and value. A plus sign is a space, and so
// is %20, since a sender may write either [inferred]; a percent sign that begins
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

// Object returns fields as a JSON object of strings, in the order in which the
// names first come; a name that comes again has an array of its values.
// Broken UTF-8 becomes U+FFFD.
func Object(fields []Field) json.RawMessage {
	var names []string
	values := make(map[string][]string, len(fields))
	for _, f := range fields {
		name := strings.ToValidUTF8(f.Name, "\uFFFD")
		if _, ok := values[name]; !ok {
			names = append(names, name)
		}
		values[name] = append(values[name], strings.ToValidUTF8(f.Value, "\uFFFD"))
	}
	w := writer{}
	w.enc = json.NewEncoder(&w.buf)
	w.enc.SetEscapeHTML(false)
	w.buf.WriteByte('{')
	for i, name := range names {
		if i > 0 {
			w.buf.WriteByte(',')
		}
		w.put(name)
		w.buf.WriteByte(':')
		if v := values[name]; len(v) == 1 {
			w.put(v[0])
		} else {
			w.put(v)
		}
	}
	w.buf.WriteByte('}')
	return w.buf.Bytes()
}

// writer appends JSON values to buf.
type writer struct {
	buf bytes.Buffer
	enc *json.Encoder
}

// put appends a string or a list of strings, which always encode.
func (w *writer) put(v any) {
	w.enc.Encode(v)
	w.buf.Truncate(w.buf.Len() - 1) // the encoder's line feed
}

func decode(s string) string {
	if strings.IndexByte(s, '%') < 0 && strings.IndexByte(s, '+') < 0 {
		return s
	}
	var b strings.Builder
	b.Grow(len(s))
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '+':
			b.WriteByte(' ')
		case s[i] == '%' && i+2 < len(s) && isHex(s[i+1]) && isHex(s[i+2]):
			b.WriteByte(unhex(s[i+1])<<4 | unhex(s[i+2]))
			i += 2
		default:
			b.WriteByte(s[i])
		}
	}
	return b.String()
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

func unhex(c byte) byte {
	if c <= '9' {
		return c - '0'
	}
	return (c | 0x20) - 'a' + 10
}
