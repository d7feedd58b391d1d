package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// readBytes is the most that the receiver takes of a request, and the generator
// of an answer, at once.
const readBytes = 16 << 10

// A receiver is the tenants' endpoints, /0 and up. It speaks just as much HTTP
// as net/http's client needs, since what it costs is taken from the runner that
// is measured beside it.
type receiver struct {
	ln     net.Listener
	note   func(endpoint, n int, webhookID []byte)
	hang   [2]atomic.Int64 // how long the first two endpoints take to answer, in nanoseconds
	failed atomic.Int64    // connections on which something came that is no delivery

	mu    sync.Mutex
	conns map[net.Conn]bool
}

// newReceiver serves endpoints that call note for each delivery.
func newReceiver(note func(endpoint, n int, webhookID []byte)) (*receiver, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	r := &receiver{ln: ln, note: note, conns: map[net.Conn]bool{}}
	go r.accept()
	return r, nil
}

func (r *receiver) url(endpoint int) string {
	return fmt.Sprintf("http://%s/%d", r.ln.Addr(), endpoint)
}

func (r *receiver) accept() {
	for {
		c, err := r.ln.Accept()
		if err != nil {
			return // closed
		}
		r.mu.Lock()
		r.conns[c] = true
		r.mu.Unlock()
		go r.serve(c)
	}
}

// close ends all connections.
func (r *receiver) close() {
	r.ln.Close()
	r.mu.Lock()
	defer r.mu.Unlock()
	for c := range r.conns {
		c.Close()
	}
}

func (r *receiver) serve(c net.Conn) {
	defer func() {
		c.Close()
		r.mu.Lock()
		delete(r.conns, c)
		r.mu.Unlock()
	}()
	in := bufio.NewReaderSize(c, readBytes)
	for {
		d, err := readDelivery(in)
		if err != nil {
			if errors.Is(err, errNoDelivery) {
				r.failed.Add(1)
			}
			return
		}
		r.note(d.endpoint, d.number, d.webhookID)
		if d.endpoint < len(r.hang) {
			if hang := time.Duration(r.hang[d.endpoint].Load()); hang > 0 {
				time.Sleep(hang)
			}
		}
		if _, err := io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"); err != nil {
			return
		}
	}
}

var errNoDelivery = errors.New("not a delivery")

type receivedDelivery struct {
	endpoint  int
	number    int // of the callback
	webhookID []byte
}

// readDelivery reads a POST whose body holds "seq":"<number>".
func readDelivery(in *bufio.Reader) (d receivedDelivery, err error) {
	line, err := in.ReadSlice('\n')
	if err != nil {
		return d, err
	}
	path, ok := bytes.CutPrefix(line, []byte("POST /"))
	i := bytes.IndexByte(path, ' ')
	if !ok || i < 0 {
		return d, errNoDelivery
	}
	if d.endpoint, err = strconv.Atoi(string(path[:i])); err != nil {
		return d, errNoDelivery
	}
	length := -1
	err = eachHeader(in, func(name, value []byte) {
		switch {
		case bytes.EqualFold(name, []byte("content-length")):
			length, _ = strconv.Atoi(string(value))
		case bytes.EqualFold(name, []byte("webhook-id")):
			d.webhookID = bytes.Clone(value)
		}
	})
	if err != nil {
		return d, err
	}
	if length < 0 || length > readBytes {
		return d, errNoDelivery
	}
	body, err := in.Peek(length)
	if err != nil {
		return d, err
	}
	d.number, err = sequence(body)
	in.Discard(length)
	return d, err
}

func sequence(body []byte) (int, error) {
	_, rest, ok := bytes.Cut(body, []byte(`"seq":"`))
	if !ok || len(rest) < sequenceDigits {
		return 0, errNoDelivery
	}
	n, err := strconv.Atoi(string(rest[:sequenceDigits]))
	if err != nil {
		return 0, errNoDelivery
	}
	return n, nil
}

// eachHeader calls f for the header fields that follow, and reads the empty
// line after them.
func eachHeader(in *bufio.Reader, f func(name, value []byte)) error {
	for {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return err
		}
		if line = bytes.TrimRight(line, "\r\n"); len(line) == 0 {
			return nil
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		f(name, bytes.TrimSpace(value))
	}
}
