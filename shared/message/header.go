package message

import (
	"strconv"
	"unicode/utf8"
)

// appendEvents appends h, of a message of events, as JSON. It writes what encoding/json would, at a fraction
// of the cost: every callback pays for it before its acknowledgement, and maps make encoding/json allocate.
func (h Header) appendEvents(b []byte) []byte {
	b = append(b, `{"v":`...)
	b = strconv.AppendInt(b, int64(h.V), 10)
	b = appendMember(b, "k", string(h.Kind))
	b = appendMember(b, "t", h.Token)
	b = appendMember(b, "s", h.Source)
	b = appendMember(b, "p", h.Provider)
	b = appendMember(b, "l", h.Label)
	b = append(b, `,"at":`...)
	b = strconv.AppendInt(b, h.Received, 10)
	b = appendMember(b, "ct", h.ContentType)
	b = appendMember(b, "q", h.Query)
	b = appendMember(b, "via", h.Via)
	b = appendMember(b, "only", h.Recipient)
	b = appendMember(b, "tenant", h.Tenant)
	b = appendFlag(b, "again", h.Repeated)
	b = appendFlag(b, "plain", h.Plain)
	b = append(b, `,"e":[`...)
	for i, p := range h.Events {
		if i > 0 {
			b = append(b, ',')
		}
		b = p.append(b)
	}
	return append(b, `]}`...)
}

func (p packedEvent) append(b []byte) []byte {
	b = append(b, `{"id":`...)
	b = appendText(b, p.ID)
	b = append(b, `,"y":`...)
	b = appendText(b, p.Type)
	if p.Time != 0 {
		b = append(b, `,"at":`...)
		b = strconv.AppendInt(b, p.Time, 10)
	}
	b = appendKeys(b, p.Keys)
	b = appendFlag(b, "f", p.UniqueForever)
	b = appendFlag(b, "q", p.NoNaturalKey)
	b = appendFlag(b, "u", p.Unreadable)
	b = append(b, `,"n":`...)
	b = strconv.AppendInt(b, int64(p.Bytes), 10)
	return append(b, '}')
}

func appendKeys(b []byte, keys map[string][]string) []byte {
	if len(keys) == 0 {
		return b
	}
	b = append(b, `,"k":{`...)
	for kind, values := range keys {
		b = append(appendText(b, kind), ":["...)
		for i, v := range values {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendText(b, v)
		}
		b = append(b, "],"...)
	}
	b[len(b)-1] = '}'
	return b
}

func appendMember(b []byte, name, value string) []byte {
	if value == "" {
		return b
	}
	b = append(append(append(b, `,"`...), name...), `":`...)
	return appendText(b, value)
}

func appendFlag(b []byte, name string, set bool) []byte {
	if !set {
		return b
	}
	return append(append(append(b, `,"`...), name...), `":true`...)
}

// appendText appends s as a JSON string (RFC 8259, section 7). Characters that
// SQS does not carry are escaped; what is no UTF-8 becomes U+FFFD.
func appendText(b []byte, s string) []byte {
	const hex = "0123456789abcdef"
	b = append(b, '"')
	for i := 0; i < len(s); {
		c := s[i]
		switch {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c < ' ':
			b = append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		case c < utf8.RuneSelf:
			b = append(b, c)
		default:
			r, size := utf8.DecodeRuneInString(s[i:])
			switch r {
			case '\ufffe':
				b = append(b, `\ufffe`...)
			case '\uffff':
				b = append(b, `\uffff`...)
			default:
				b = utf8.AppendRune(b, r)
			}
			i += size
			continue
		}
		i++
	}
	return append(b, '"')
}
