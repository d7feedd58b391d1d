package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const formType = "application/x-www-form-urlencoded"

const (
	sequenceDigits = 10
	answerTime     = 30 * time.Second // that a callback may take
	leastCallers   = 32               // of a fixed rate
	mostCallers    = 256
)

// A generator is a provider: SmartBots, whose callback of a group chat is a
// form. It speaks just as much HTTP as it needs; see receiver.
type generator struct {
	addr   string // of the runner
	path   string // of the source's callback
	group  string // that the chats are of
	ledger *ledger
}

// flood sends the callbacks from number from up to number to over so many
// connections, each the next as soon as the last is answered. A connection that
// breaks ends its part. It returns when all are answered, and when that began.
func (g *generator) flood(ctx context.Context, from, to, connections int) (time.Time, error) {
	return g.send(ctx, from, to, connections, func(int, time.Time) time.Time { return time.Now() })
}

// pace sends them at so many a second, each at a random moment of its interval,
// whether or not earlier ones are answered, as long as those are not too many.
// Evenly spaced ones never meet each other, and meet those of another generator
// always or never.
func (g *generator) pace(ctx context.Context, from, to int, rate float64) (time.Time, error) {
	callers := min(max(int(rate/2), leastCallers), mostCallers)
	return g.send(ctx, from, to, callers, func(n int, start time.Time) time.Time {
		due := start.Add(time.Duration((float64(n-from) + rand.Float64()) / rate * float64(time.Second)))
		time.Sleep(time.Until(due))
		return due
	})
}

// send sends callbacks over connections, each when due has returned.
func (g *generator) send(ctx context.Context, from, to, connections int, due func(n int, start time.Time) time.Time) (time.Time, error) {
	callers := make([]*caller, 0, connections)
	defer func() {
		for _, c := range callers {
			c.conn.Close()
		}
	}()
	for range connections {
		c, err := g.dial(ctx)
		if err != nil {
			return time.Time{}, err
		}
		callers = append(callers, c)
	}
	start, errs := time.Now(), make([]error, connections)
	var next atomic.Int64
	next.Store(int64(from))
	var wg sync.WaitGroup
	for i, c := range callers {
		wg.Go(func() {
			for errs[i] == nil && ctx.Err() == nil {
				n := int(next.Add(1)) - 1
				if n >= to {
					return
				}
				g.ledger.sending(n, due(n, start))
				var ok bool
				ok, errs[i] = c.call(n)
				if errs[i] == nil {
					g.ledger.answered(n, ok)
				}
			}
		})
	}
	wg.Wait()
	return start, errors.Join(append(errs, ctx.Err())...)
}

// A caller is one connection.
type caller struct {
	conn    net.Conn
	in      *bufio.Reader
	request []byte
	digits  []byte // the part of request that is the callback's number
}

func (g *generator) dial(ctx context.Context) (*caller, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", g.addr)
	if err != nil {
		return nil, err
	}
	c := &caller{conn: conn, in: bufio.NewReaderSize(conn, readBytes), request: g.request()}
	i := bytes.Index(c.request, []byte("seq=")) + len("seq=")
	c.digits = c.request[i : i+sequenceDigits]
	return c, nil
}

// body is a group chat of 1 KiB.
func (g *generator) body() string {
	return "action=group_chat&group_uuid=" + g.group + "&seq=" + strings.Repeat("0", sequenceDigits) +
		"&speaker_name=Nadia+Quill&message=" + strings.Repeat("dock+is+open+", 70)
}

func (g *generator) request() []byte {
	body := g.body()
	return fmt.Appendf(nil, "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s",
		g.path, g.addr, formType, len(body), body)
}

// call sends callback n and reports whether it was acknowledged.
func (c *caller) call(n int) (bool, error) {
	copy(c.digits, fmt.Appendf(nil, "%0*d", sequenceDigits, n))
	c.conn.SetDeadline(time.Now().Add(answerTime))
	if _, err := c.conn.Write(c.request); err != nil {
		return false, err
	}
	line, err := c.in.ReadSlice('\n')
	if err != nil {
		return false, err
	}
	ok, length := bytes.HasPrefix(line, []byte("HTTP/1.1 200 ")), 0
	err = eachHeader(c.in, func(name, value []byte) {
		if bytes.EqualFold(name, []byte("content-length")) {
			length, _ = strconv.Atoi(string(value))
		}
	})
	if err != nil {
		return false, err
	}
	_, err = c.in.Discard(length)
	return ok, err
}
