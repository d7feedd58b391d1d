package main

import (
	"bytes"
	"math/bits"
	"strings"
	"time"
)

// A maker makes the requests to one provider.
type maker struct {
	chance
	provider string
	seeds    []request
	words    []string // of the provider
	space    []byte
}

// make returns request number n of the run: three of four are a seed with
// some changes, the others are made of nothing. It is valid until the next.
func (m *maker) make(run, n uint64, now time.Time) []byte {
	m.pcg.Seed(run, bits.Reverse64(n)+uint64(len(m.provider)))
	r := of(m.chance, m.seeds)
	r.header = append([][2]string(nil), r.header...)
	if m.in(4) {
		r.body = m.invent()
	} else {
		r.body = bytes.Clone(r.body)
		for range m.IntN(4) {
			r.body = m.change(r.body)
		}
	}
	if bytes.HasPrefix(r.body, []byte("--b\r\n")) {
		r.set("Content-Type", "multipart/form-data; boundary=b")
	}
	if m.in(8) {
		m.changeHead(&r)
	}
	if !m.in(12) {
		r.prove(m.provider, now)
	}
	if m.in(50) {
		m.changeProof(&r)
	}
	m.space = r.write(m.space[:0])
	if m.in(200) {
		m.space = m.changeBytes(m.space)
	}
	return m.space
}

// change returns b with one change.
func (m *maker) change(b []byte) []byte {
	switch m.IntN(10) {
	case 0:
		return m.changeBytes(b)
	case 1:
		return b[:m.IntN(len(b)+1)]
	case 2: // another request's second half
		other := of(m.chance, m.seeds).body
		return append(b[:m.IntN(len(b)+1):len(b)], other[m.IntN(len(other)+1):]...)
	case 3: // a part again, up to many times
		from := m.IntN(len(b) + 1)
		part := b[from : from+m.IntN(min(len(b)-from, 300)+1)]
		return m.insert(b, bytes.Repeat(part, m.often()))
	case 4, 5:
		return m.insert(b, []byte(of(m.chance, nasty)))
	case 6, 7:
		return m.swap(b)
	case 8:
		return m.whole(b)
	}
	return m.insert(b, []byte(of(m.chance, m.words)))
}

// changeBytes flips, removes or adds single bytes.
func (m *maker) changeBytes(b []byte) []byte {
	for range 1 + m.IntN(4) {
		if len(b) == 0 {
			return append(b, byte(m.Uint32()))
		}
		i := m.IntN(len(b))
		switch m.IntN(3) {
		case 0:
			b[i] ^= 1 << m.IntN(8)
		case 1:
			b = append(b[:i], b[i+1:]...)
		default:
			b[i] = byte(m.Uint32())
		}
	}
	return b
}

// insert puts what somewhere into b: half of the times where a value begins.
func (m *maker) insert(b, what []byte) []byte {
	i := m.IntN(len(b) + 1)
	if m.in(2) {
		if at := bytes.IndexAny(b[i:], ":=,["); at >= 0 {
			i += at + 1
		}
	}
	return append(append(append(make([]byte, 0, len(b)+len(what)), b[:i]...), what...), b[i:]...)
}

// swap puts another value in place of one in b.
func (m *maker) swap(b []byte) []byte {
	from := m.IntN(len(b) + 1)
	at := bytes.IndexAny(b[from:], ":=")
	if at < 0 {
		return b
	}
	from += at + 1
	end := bytes.IndexAny(b[from:], ",&}]")
	if end < 0 {
		end = len(b) - from
	}
	value := m.value(0)
	return append(append(append(make([]byte, 0, len(b)+len(value)), b[:from]...), value...), b[from+end:]...)
}

// whole does something to b as a whole.
func (m *maker) whole(b []byte) []byte {
	switch m.IntN(6) {
	case 0:
		return append([]byte("\uFEFF"), b...)
	case 1:
		return append(append([]byte(" \r\n["), b...), "]\t"...)
	case 2:
		return append(append([]byte(`{"Events":[`), b...), "]}"...)
	case 3:
		n := m.often()
		return []byte("[" + strings.TrimSuffix(strings.Repeat(string(b)+",", n), ",") + "]")
	case 4:
		n := m.often()
		return []byte(strings.Repeat(`{"item":[`, n) + string(b) + strings.Repeat("]}", n))
	}
	if m.in(100) { // about as large as an item or a callback may be
		limit := of(m.chance, []int{256 << 10, 1 << 20}) - 40 + m.IntN(80) - len(b)
		return m.insert(b, bytes.Repeat([]byte(of(m.chance, []string{"x", " ", "%", "é", "\\n"})), max(limit, 0)))
	}
	return append(b, b...)
}

// often is mostly little, and rarely a thousand.
func (m *maker) often() int {
	if m.in(300) {
		return 500 + m.IntN(1000)
	}
	return 1 + m.IntN(4)
}

// changeHead changes what stands before the body.
func (m *maker) changeHead(r *request) {
	switch m.IntN(8) {
	case 0:
		r.method = of(m.chance, []string{"GET", "PUT", "HEAD", "OPTIONS", "DELETE", "post", "PRI", "\x00"})
	case 1:
		r.path = of(m.chance, paths) + r.path
	case 2:
		r.path = string(m.changeBytes([]byte(r.path)))
	case 3:
		r.query = string(m.change([]byte(r.query + "&")))
	case 4:
		r.set("Content-Type", string(m.changeBytes([]byte(of(m.chance, contentTypes)))))
	case 5:
		r.set("Content-Type", of(m.chance, contentTypes))
	case 6:
		r.header = append(r.header, [2]string{of(m.chance, headers), of(m.chance, nasty)})
	default:
		r.chunk = 1 + m.IntN(1+len(r.body))
	}
}

// changeProof damages what proves who called.
func (m *maker) changeProof(r *request) {
	for i, h := range r.header {
		if h[0] == "Authorization" {
			r.header[i][1] = string(m.changeBytes([]byte(h[1])))
		}
	}
	if r.query != "" {
		r.query = string(m.changeBytes([]byte(r.query)))
	}
}
