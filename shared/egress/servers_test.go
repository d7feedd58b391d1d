package egress

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// newClient returns a client that may call the loopback.
func newClient(t testing.TB) *Client {
	t.Helper()
	c := &Client{Allow: []netip.Prefix{
		netip.MustParsePrefix("127.0.0.0/8"),
		netip.MustParsePrefix("::1/128"),
	}}
	t.Cleanup(c.CloseIdle)
	return c
}

// serve starts an HTTP server.
func serve(t testing.TB, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return server
}

// silent is a network in which nobody answers.
type silent struct{}

func (silent) RoundTrip(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, r.Context().Err()
}

// A rawConn is a server's side of a connection.
type rawConn struct {
	net.Conn
	number int // from 0, in the order of connecting
	read   []byte
}

// serveRaw starts a server that calls handle with each connection and closes
// the connection afterwards. It returns its http URL.
func serveRaw(t testing.TB, handle func(*rawConn)) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	ctx, cancel := context.WithCancel(context.Background())
	wg.Go(func() {
		for n := 0; ; n++ {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			stop := context.AfterFunc(ctx, func() { conn.Close() })
			wg.Go(func() {
				defer stop()
				defer conn.Close()
				handle(&rawConn{Conn: conn, number: n})
			})
		}
	})
	t.Cleanup(func() {
		cancel()
		listener.Close()
		wg.Wait()
	})
	return "http://" + listener.Addr().String()
}

// request reads a whole request with a Content-Length and returns its body.
func (c *rawConn) request() (string, error) {
	for {
		if head, body, ok := bytes.Cut(c.read, []byte("\r\n\r\n")); ok {
			_, length, _ := strings.Cut(string(head), "Content-Length: ")
			n := 0
			for _, digit := range strings.SplitN(length, "\r\n", 2)[0] {
				n = n*10 + int(digit-'0')
			}
			if len(body) >= n {
				c.read = body[n:]
				return string(body[:n]), nil
			}
		}
		buffer := make([]byte, 4096)
		n, err := c.Conn.Read(buffer)
		if err != nil {
			return "", err
		}
		c.read = append(c.read, buffer[:n]...)
	}
}

func (c *rawConn) write(text string) error {
	_, err := io.WriteString(c.Conn, text)
	return err
}

// wait returns when the client has closed the connection.
func (c *rawConn) wait() { io.Copy(io.Discard, c.Conn) }

// A dnsAnswer is what the name server says to a question for IPv4 addresses.
type dnsAnswer struct {
	addr   string // empty: none
	code   byte   // RCODE
	silent bool   // no answer at all
}

// serveDNS starts a name server on the loopback that answers the questions for
// IPv4 addresses, counted from 0, by answer and knows no IPv6. It returns a
// resolver that asks it. https://www.rfc-editor.org/rfc/rfc1035#section-4
func serveDNS(t *testing.T, answer func(query int) dnsAnswer) *net.Resolver {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		buffer := make([]byte, 512)
		for query := 0; ; {
			n, from, err := conn.ReadFrom(buffer)
			if err != nil {
				return
			}
			question, isA := dnsQuestion(buffer[:n])
			a := answer(query)
			if isA {
				query++
			} else {
				a.addr = ""
			}
			if !a.silent {
				conn.WriteTo(dnsReply(question, a), from)
			}
		}
	})
	running, stop := context.WithCancel(context.Background())
	t.Cleanup(func() {
		stop()
		conn.Close()
		wg.Wait()
	})
	address := conn.LocalAddr().String()
	return &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(running, "udp", address)
		if err == nil {
			context.AfterFunc(running, func() { conn.Close() }) // else it outlives a lookup that was given up
		}
		return conn, err
	}}
}

// dnsQuestion returns the header and question of message, and whether it asks
// for IPv4 addresses.
func dnsQuestion(message []byte) (question []byte, isA bool) {
	end := 12
	for message[end] != 0 {
		end += int(message[end]) + 1
	}
	end += 5 // the root label, type and class
	return message[:end], binary.BigEndian.Uint16(message[end-4:]) == 1
}

// dnsReply returns the answer a to question.
func dnsReply(question []byte, a dnsAnswer) []byte {
	reply := append([]byte(nil), question...)
	reply[2], reply[3] = 0x81, 0x80|a.code          // a recursive answer
	copy(reply[4:], []byte{0, 1, 0, 0, 0, 0, 0, 0}) // one question
	if a.addr != "" {
		reply[7] = 1 // one answer
		addr := netip.MustParseAddr(a.addr).As4()
		reply = append(reply, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4) // the same name, A, IN, no TTL
		reply = append(reply, addr[:]...)
	}
	return reply
}

// fullListener returns the address of a listener that takes no more
// connections: nobody accepts, and its queue is full.
func fullListener(t *testing.T) string {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Close(fd) })
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	address := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(name.(*syscall.SockaddrInet4).Port)).String()
	for {
		conn, err := net.DialTimeout("tcp", address, patience)
		if err != nil {
			return address
		}
		t.Cleanup(func() { conn.Close() })
	}
}
