// Package awsproxy stands between the gateway and a server of AWS's JSON
// protocols in tests. It counts what AWS would bill and makes the faults that a
// healthy server does not.
package awsproxy

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// A Proxy passes requests on to Target and counts them. It is safe for
// concurrent use.
type Proxy struct {
	Target string // URL of the server

	mu     sync.Mutex
	choose func(operation string) Fault
	counts map[string]Count
}

// Break lets choose say what becomes of each further request, by its service
// and operation, such as "DynamoDB.PutItem". It is called by one request at a
// time. Nil heals.
func (p *Proxy) Break(choose func(operation string) Fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.choose = choose
}

// A Fault is what becomes of a request.
type Fault int

// The faults.
const (
	None        Fault = iota
	Throttled         // refused for a rate, not passed on
	ServerError       // answered with 500, not passed on
	LostAnswer        // done, then the connection breaks
	Silent            // not passed on; no answer until the client goes away
	SilentDone        // done; no answer until the client goes away
	Slow              // passed on after 100 ms
	Partial           // of a batch only the first half is done; the rest is named in the answer. Others: None
)

const slowness = 100 * time.Millisecond

// Start serves p on 127.0.0.1 until the test ends and returns its URL.
func (p *Proxy) Start(t testing.TB) string {
	server := httptest.NewServer(p)
	t.Cleanup(server.Close)
	return server.URL
}

// A call is a request with its answer.
type call struct {
	operation string // service and operation
	header    http.Header
	body      []byte
	status    int
	answer    []byte
}

// ServeHTTP passes r on, as its fault allows.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	c := &call{operation: operationOf(r.Header.Get("X-Amz-Target")), header: r.Header, body: body}
	switch p.fault(c.operation) {
	case Throttled:
		reply(w, http.StatusBadRequest, throttleOf(c.operation))
		return
	case ServerError:
		reply(w, http.StatusInternalServerError, "InternalServerError")
		return
	case Silent:
		<-r.Context().Done()
		panic(http.ErrAbortHandler)
	case LostAnswer:
		p.pass(c, false)
		panic(http.ErrAbortHandler)
	case SilentDone:
		p.pass(c, false)
		<-r.Context().Done()
		panic(http.ErrAbortHandler)
	case Slow:
		select {
		case <-time.After(slowness):
		case <-r.Context().Done():
		}
		err = p.pass(c, false)
	case Partial:
		err = p.pass(c, true)
	default:
		err = p.pass(c, false)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	w.Header().Set("Content-Type", "application/x-amz-json-1.0")
	w.WriteHeader(c.status)
	w.Write(c.answer)
}

// operationOf turns the header X-Amz-Target, such as
// DynamoDB_20120810.PutItem, into DynamoDB.PutItem.
func operationOf(target string) string {
	service, operation, _ := strings.Cut(target, ".")
	service, _, _ = strings.Cut(service, "_")
	return strings.TrimPrefix(service, "Amazon") + "." + operation
}

func (p *Proxy) fault(operation string) Fault {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.choose == nil {
		return None
	}
	return p.choose(operation)
}

func throttleOf(operation string) string {
	if strings.HasPrefix(operation, "SQS.") {
		return "RequestThrottled"
	}
	return "ProvisionedThroughputExceededException"
}

func reply(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/x-amz-json-1.0")
	w.WriteHeader(status)
	io.WriteString(w, `{"__type":"com.amazonaws#`+code+`","message":"made by awsproxy"}`)
}

// pass sends c on, or the first half of it, and keeps the answer.
func (p *Proxy) pass(c *call, half bool) error {
	c.meter()
	var rest rest
	if half {
		rest = c.halve()
	}
	if err := p.send(c); err != nil {
		return err
	}
	p.count(c)
	return rest.addTo(c)
}

func (p *Proxy) send(c *call) error {
	r, err := http.NewRequest(http.MethodPost, p.Target, bytes.NewReader(c.body))
	if err != nil {
		return err
	}
	r.Header = c.header.Clone()
	r.Header.Del("Accept-Encoding")
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	c.status = resp.StatusCode
	c.answer, err = io.ReadAll(resp.Body)
	return err
}
