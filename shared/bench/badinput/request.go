package main

import (
	"encoding/base64"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"ringback/shared/provider/tencentchat"
)

// A request is an HTTP request before it is written down.
type request struct {
	method, path, query string
	header              [][2]string
	body                []byte
	chunk               int // bytes of a chunk; 0: the body has a Content-Length
}

// write appends the bytes that r is on the wire.
func (r *request) write(b []byte) []byte {
	b = append(append(append(b, r.method...), ' '), r.path...)
	if r.query != "" {
		b = append(append(b, '?'), r.query...)
	}
	b = append(b, " HTTP/1.1\r\nHost: ringback.example\r\n"...)
	for _, h := range r.header {
		b = append(append(append(append(b, h[0]...), ": "...), h[1]...), "\r\n"...)
	}
	if r.chunk == 0 {
		b = append(strconv.AppendInt(append(b, "Content-Length: "...), int64(len(r.body)), 10), "\r\n\r\n"...)
		return append(b, r.body...)
	}
	b = append(b, "Transfer-Encoding: chunked\r\n\r\n"...)
	for rest := r.body; len(rest) > 0; {
		n := min(r.chunk, len(rest))
		b = append(strconv.AppendInt(b, int64(n), 16), "\r\n"...)
		b = append(append(b, rest[:n]...), "\r\n"...)
		rest = rest[n:]
	}
	return append(b, "0\r\n\r\n"...)
}

// set replaces the header fields of that name, in any case, by one.
func (r *request) set(name, value string) {
	kept := make([][2]string, 0, len(r.header)+1)
	for _, h := range r.header {
		if !strings.EqualFold(h[0], name) {
			kept = append(kept, h)
		}
	}
	r.header = append(kept, [2]string{name, value})
}

// prove gives r the proof that its provider would send at now.
func (r *request) prove(provider string, now time.Time) {
	switch provider {
	case "direct":
		r.set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(login.Name+":"+login.Password)))
	case "tencent-chat":
		r.query = tencentchat.SignQuery(withoutProof(r.query), token, now)
	}
}

// withoutProof returns query without the parameters that Tencent signs with.
func withoutProof(query string) string {
	parts := strings.Split(query, "&")
	kept := parts[:0]
	for _, p := range parts {
		if name, _, _ := strings.Cut(p, "="); !strings.EqualFold(name, "RequestTime") && !strings.EqualFold(name, "Sign") {
			kept = append(kept, p)
		}
	}
	return strings.Join(kept, "&")
}

// A chance is a source of choices that a number decides wholly.
type chance struct {
	*rand.Rand
	pcg *rand.PCG
}

func newChance() chance {
	pcg := rand.NewPCG(0, 0)
	return chance{rand.New(pcg), pcg}
}

// in reports true once in n times.
func (c chance) in(n int) bool { return c.IntN(n) == 0 }

// of returns one of all.
func of[T any](c chance, all []T) T { return all[c.IntN(len(all))] }
