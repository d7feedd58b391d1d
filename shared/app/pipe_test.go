package app_test

import (
	"bytes"
	"context"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	lambdaevents "github.com/aws/aws-lambda-go/events"
)

// overHTTP sends the request of e with Go's client to Go's server. The
// connection is a pipe, since a bubble has no sockets.
func overHTTP(t *testing.T, h http.Handler, e lambdaevents.APIGatewayV2HTTPRequest) answered {
	t.Helper()
	l := &pipes{accept: make(chan net.Conn), closed: make(chan struct{})}
	server := &http.Server{Handler: h, ErrorLog: log.New(t.Output(), "server: ", 0)}
	var serving sync.WaitGroup
	serving.Go(func() { server.Serve(l) })
	transport := &http.Transport{DialContext: l.dial, DisableCompression: true}
	defer serving.Wait()
	defer server.Close()
	defer transport.CloseIdleConnections()

	client := &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(plainRequest(t, e))
	if err != nil {
		t.Fatalf("HTTP: %v", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("HTTP: %v", err)
	}
	a := answered{resp.StatusCode, map[string]string{}, string(body)}
	for name, values := range resp.Header {
		if name != "Date" && name != "Content-Length" {
			a.Header[name] = strings.Join(values, ", ")
		}
	}
	return a
}

// plainRequest is what the caller sent to API Gateway.
func plainRequest(t *testing.T, e lambdaevents.APIGatewayV2HTTPRequest) *http.Request {
	t.Helper()
	body := []byte(e.Body)
	if e.IsBase64Encoded {
		body = decodeBase64(t, e.Body)
	}
	at := "http://" + e.RequestContext.DomainName + e.RawPath
	r, err := http.NewRequestWithContext(t.Context(), e.RequestContext.HTTP.Method, at, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.URL.RawQuery = e.RawQueryString
	for name, value := range e.Headers {
		if name != "host" && name != "content-length" { // which Go sets
			r.Header.Set(name, value)
		}
	}
	return r
}

// pipes is a listener that its own dial connects to.
type pipes struct {
	accept chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (l *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case l.accept <- server:
		return client, nil
	case <-l.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (l *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-l.accept:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipes) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "pipe"} }
