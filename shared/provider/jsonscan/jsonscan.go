// Package jsonscan finds members and elements in JSON text without decoding it, so that all of an item's bytes stay as
// they came. Its functions expect text that json.Valid accepts.
package jsonscan

import (
	"bytes"
	"encoding/json"
	"iter"
	"strings"
	"unicode/utf8"
)

// MaxDepth is how deep an item may be nested, itself included. Common decoders stop soon above it (PHP's json_decode
// at 512), and a delivery nests the item one level deeper.
const MaxDepth = 500

// A Value is the text of one JSON value, without white space around it. The zero Value is a missing member.
type Value []byte

// Trim returns b without white space around it and without a byte order mark in front, which RFC 8259, section 8.1,
// lets a reader ignore.
func Trim(b []byte) []byte {
	b = bytes.TrimPrefix(b, []byte("\uFEFF"))
	return bytes.Trim(b, " \t\r\n")
}

// IsObject reports whether v is an object.
func (v Value) IsObject() bool { return len(v) > 0 && v[0] == '{' }

// IsArray reports whether v is an array.
func (v Value) IsArray() bool { return len(v) > 0 && v[0] == '[' }

// Text returns a string decoded, a number as it is written, and "" for any other value. Lone surrogates and invalid
// UTF-8 become U+FFFD.
func (v Value) Text() string {
	switch {
	case len(v) == 0:
		return ""
	case v[0] == '"':
		return string(unquote(v))
	case v[0] == '-' || '0' <= v[0] && v[0] <= '9':
		return string(v)
	}
	return ""
}

// Members yields the decoded name and the value of each member of an object, in order. Names may repeat: for most
// readers the last one counts (RFC 8259, section 4), so callers overwrite. A name is valid until the next iteration.
func Members(object []byte) iter.Seq2[[]byte, Value] {
	return func(yield func([]byte, Value) bool) {
		for i := next(object, 1); object[i] == '"'; i = next(object, i) {
			nameEnd := endOf(object, i)
			name := unquote(object[i:nameEnd])
			i = next(object, nameEnd)
			valueEnd := endOf(object, i)
			if !yield(name, Value(object[i:valueEnd:valueEnd])) {
				return
			}
			i = valueEnd
		}
	}
}

// Names are the members to read of an object, each with the index of its value in a Picked.
type Names map[string]int

// A Picked holds the members of one object that its Names name.
type Picked struct {
	Members int // number of all members
	names   Names
	values  [24]Value
}

// NamesOf returns the Names of members. Spellings of the same member are joined by a bar: "GroupId|GroupID".
func NamesOf(members ...string) Names {
	ns := Names{}
	for i, names := range members {
		for name := range strings.SplitSeq(names, "|") {
			ns[name] = i
		}
	}
	return ns
}

// Pick reads an object. Of repeated members the last one counts.
func (ns Names) Pick(object []byte) Picked {
	p := Picked{names: ns}
	for name, v := range Members(object) {
		p.Members++
		if i, ok := ns[string(name)]; ok {
			p.values[i] = v
		}
	}
	return p
}

// Value returns the member called name, which must be one of the Names.
func (p *Picked) Value(name string) Value { return p.values[p.names[name]] }

// Text returns the text of the member called name, which must be one of the Names.
func (p *Picked) Text(name string) string { return p.Value(name).Text() }

// Elements yields the values of an array in order.
func Elements(array []byte) iter.Seq[Value] {
	return func(yield func(Value) bool) {
		for i := next(array, 1); array[i] != ']'; i = next(array, i) {
			end := endOf(array, i)
			if !yield(Value(array[i:end:end])) {
				return
			}
			i = end
		}
	}
}

// TooDeep reports whether v is nested deeper than MaxDepth.
func TooDeep(v []byte) bool {
	if bytes.Count(v, []byte("["))+bytes.Count(v, []byte("{")) <= MaxDepth {
		return false
	}
	depth := 0
	for i := 0; i < len(v); i++ {
		switch v[i] {
		case '"':
			i = stringEnd(v, i) - 1
		case '[', '{':
			if depth++; depth > MaxDepth {
				return true
			}
		case ']', '}':
			depth--
		}
	}
	return false
}

// next returns the index of the next byte from i on that is not white space, a comma or a colon.
func next(b []byte, i int) int {
	for {
		switch b[i] {
		case ' ', '\t', '\r', '\n', ',', ':':
			i++
		default:
			return i
		}
	}
}

// endOf returns the index after the value that begins at i.
func endOf(b []byte, i int) int {
	if b[i] == '"' {
		return stringEnd(b, i)
	}
	depth := 0
	for ; i < len(b); i++ {
		switch b[i] {
		case '"':
			i = stringEnd(b, i) - 1
		case '[', '{':
			depth++
		case ']', '}':
			if depth == 0 {
				return i // after a number or a word
			}
			if depth--; depth == 0 {
				return i + 1
			}
		case ',', ' ', '\t', '\r', '\n':
			if depth == 0 {
				return i
			}
		}
	}
	return i
}

// stringEnd returns the index after the string that begins at i: after the first quote that follows an even number of
// backslashes.
func stringEnd(b []byte, i int) int {
	for i++; ; i++ {
		i += bytes.IndexByte(b[i:], '"')
		escapes := i
		for b[escapes-1] == '\\' {
			escapes--
		}
		if (i-escapes)%2 == 0 {
			return i + 1
		}
	}
}

// unquote returns the text of a string; it is a part of quoted unless it needs decoding.
func unquote(quoted []byte) []byte {
	text := quoted[1 : len(quoted)-1]
	if bytes.IndexByte(text, '\\') < 0 && utf8.Valid(text) {
		return text
	}
	var s string
	if json.Unmarshal(quoted, &s) != nil {
		return nil // unreachable: the text is valid JSON
	}
	return []byte(s)
}
