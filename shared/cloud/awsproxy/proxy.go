// Package awsproxy is a proxy for tests, between the gateway and a server of AWS's JSON protocols. It counts what AWS
// would bill and injects faults.
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

// Break injects a fault into each further request: the one that choose returns for its service and operation, such as
// "DynamoDB.PutItem". Calls of choose do not overlap. A nil choose ends all faults.
func (p *Proxy) Break(choose func(operation string) Fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.choose = choose
}

// A Fault is what happens to a request.
type Fault int

// The faults.
const (
	None         Fault = iota
	Throttled          // a throttling error; the server does not get the request
	ServerError        // a 500; the server does not get the request
	LostResponse       // the server does the request, then the connection breaks
	Silent             // no response until the client gives up; the server does not get the request
	SilentDone         // the server does the request; no response until the client gives up
	Slow               // passed on after 100 ms
	Partial            // the server does the first half of a batch, and the response names the rest; other requests: None
)

const slowness = 100 * time.Millisecond

// Start serves p on 127.0.0.1 until the test ends and returns its URL.
func (p *Proxy) Start(t testing.TB) string {
	server := httptest.NewServer(p)
	t.Cleanup(server.Close)
	return server.URL
}

// A call is a request with its response.
type call struct {
	operation string // service and operation
	header    http.Header
	body      []byte
	status    int
	response  []byte
}

// ServeHTTP passes r on, with the fault that is injected into it.
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
	case LostResponse:
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
	w.Write(c.response)
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

// pass sends c, or the first half of it, to the server and stores the response in c.
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
	c.response, err = io.ReadAll(resp.Body)
	return err
}
