package bill

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ringback/shared/cloud/awsproxy"
	"ringback/shared/cloud/cloudtest"
	"ringback/shared/cloud/sqstest"
)

// Hosts of the network that the test lives in.
const (
	dynamoHost = "dynamodb.example"
	sqsHost    = "sqs.example"
	queuesHost = "queues.example" // behind sqsHost
)

// TestMain puts the hosts of network before what http.DefaultClient reaches,
// since awsproxy passes requests on with that.
func TestMain(m *testing.M) {
	http.DefaultTransport = hosts
	m.Run()
}

var hosts = &network{at: map[string]http.RoundTripper{}, other: cloudtest.NewCouriers(32)}

// A network sends requests to handlers by their host, without sockets, which
// virtual time cannot wait for, and elsewhere by couriers.
type network struct {
	mu    sync.Mutex
	at    map[string]http.RoundTripper
	other cloudtest.Couriers
}

func (n *network) RoundTrip(r *http.Request) (*http.Response, error) {
	n.mu.Lock()
	to := n.at[r.URL.Host]
	n.mu.Unlock()
	switch r.URL.Host {
	case dynamoHost:
		time.Sleep(dynamoTime)
	case sqsHost:
		time.Sleep(sqsTime)
	}
	if to != nil {
		return to.RoundTrip(r)
	}
	return n.other.RoundTrip(r)
}

// serve lets h answer for host until the test ends.
func (n *network) serve(t *testing.T, host string, h http.Handler) {
	t.Helper()
	n.mu.Lock()
	defer n.mu.Unlock()
	n.at[host] = sqstest.Client(h).Transport
	t.Cleanup(func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		delete(n.at, host)
	})
}

// meters count what DynamoDB and SQS bill, and look into what is put.
type meters struct {
	dynamo, sqs *awsproxy.Proxy
	puts        *puts
	groups      *groups
}

func newMeters(t *testing.T, dynamoDB string) meters {
	t.Helper()
	m := meters{dynamo: &awsproxy.Proxy{Target: dynamoDB}, sqs: &awsproxy.Proxy{Target: "http://" + queuesHost}}
	m.puts = &puts{behind: m.dynamo, due: map[string]time.Time{}, kinds: map[string]int{}, gets: map[string]int{}}
	m.groups = &groups{behind: m.sqs}
	hosts.serve(t, queuesHost, &sqstest.Server{})
	hosts.serve(t, dynamoHost, m.puts)
	hosts.serve(t, sqsHost, m.groups)
	return m
}

// add adds what was counted since the last reset to u.
func (m meters) add(u *Usage) {
	for _, c := range m.dynamo.Counts() {
		u.WriteUnits += c.WriteUnits
		u.ReadUnits += c.ReadUnits
	}
	for _, c := range m.sqs.Counts() {
		u.SQSRequests += float64(c.Chunks)
	}
	u.FairRequests += float64(m.groups.sent.Load())
}

func (m meters) reset() {
	m.dynamo.Reset()
	m.sqs.Reset()
	m.groups.sent.Store(0)
	m.puts.mu.Lock()
	defer m.puts.mu.Unlock()
	clear(m.puts.kinds)
	clear(m.puts.gets)
}

// groups passes requests on and counts those that send with a message group;
// none is of more than 64 KiB.
type groups struct {
	behind http.Handler
	sent   atomic.Int64
}

func (g *groups) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	if bytes.Contains(body, []byte(`"MessageGroupId":`)) {
		g.sent.Add(1)
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	g.behind.ServeHTTP(w, r)
}

// puts passes requests on and notes of each row that is put of which kind it
// is, and when it falls due.
type puts struct {
	behind http.Handler
	mu     sync.Mutex
	due    map[string]time.Time
	kinds  map[string]int // rows put
	gets   map[string]int // rows asked for
}

// count returns how many rows of a kind were put.
func (p *puts) count(kind string) int { p.mu.Lock(); defer p.mu.Unlock(); return p.kinds[kind] }

func (p *puts) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	answer := httptest.NewRecorder()
	p.behind.ServeHTTP(answer, r)
	switch _, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), "."); operation {
	case "PutItem":
		p.note(body, answer.Code == http.StatusOK)
	case "GetItem", "BatchGetItem":
		p.noteGet(body)
	}
	maps.Copy(w.Header(), answer.Header())
	w.WriteHeader(answer.Code)
	w.Write(answer.Body.Bytes())
}

// kindOf is what the keys of a kind of rows have in common.
func kindOf(pk, sk string) string {
	kind, _, _ := strings.Cut(pk, "#")
	if len(sk) == 1 {
		kind += " " + sk
	}
	return kind
}

func (p *puts) note(body []byte, done bool) {
	var in struct {
		Item map[string]struct{ S, N string }
	}
	if err := json.Unmarshal(body, &in); err != nil {
		return
	}
	pk, sk := in.Item["pk"].S, in.Item["sk"].S
	p.mu.Lock()
	defer p.mu.Unlock()
	p.kinds[kindOf(pk, sk)]++
	if !done {
		return
	}
	delete(p.due, pk+" "+sk)
	if ms, err := strconv.ParseInt(in.Item["du"].N, 10, 64); err == nil {
		p.due[pk+" "+sk] = time.UnixMilli(ms)
	}
}

// noteGet counts the rows that a request asks for, by kind.
func (p *puts) noteGet(body []byte) {
	type key struct{ PK, SK struct{ S string } }
	var in struct {
		Key          key
		RequestItems map[string]struct{ Keys []key }
	}
	if err := json.Unmarshal(body, &in); err != nil {
		return
	}
	keys := []key{in.Key}
	if in.RequestItems != nil {
		keys = nil
	}
	for _, of := range in.RequestItems {
		keys = append(keys, of.Keys...)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, k := range keys {
		p.gets[kindOf(k.PK.S, k.SK.S)]++
	}
}

// next returns when the next row falls due; zero if none does.
func (p *puts) next() time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	var next time.Time
	for _, due := range p.due {
		if next.IsZero() || due.Before(next) {
			next = due
		}
	}
	return next
}

// String tells how many rows of each kind were put and asked for.
func (p *puts) String() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return fmt.Sprint(p.kinds, ", rows got ", p.gets)
}
