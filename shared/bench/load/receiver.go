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
	second atomic.Pointer[manner] // in which the second endpoint answers; nil: as all others
	failed atomic.Int64           // connections on which something came that is no delivery

	mu    sync.Mutex
	conns map[net.Conn]bool
}

// A manner is how an endpoint answers.
type manner struct {
	name   string
	after  time.Duration
	status int
	drips  bool // a byte a second, of a body that never ends
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
		if m := r.second.Load(); m == nil || d.endpoint != 1 {
			_, err = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		} else {
			err = m.answer(c)
		}
		if err != nil {
			return
		}
	}
}

func (m *manner) answer(c net.Conn) error {
	time.Sleep(m.after)
	length := 0
	if m.drips {
		length = 1 << 16
	}
	_, err := fmt.Fprintf(c, "HTTP/1.1 %d x\r\nContent-Length: %d\r\n\r\n", m.status, length)
	for ; err == nil && length > 0; length-- {
		time.Sleep(time.Second)
		_, err = c.Write([]byte("."))
	}
	return err
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
