package cloud

import (
	"context"
	"errors"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ringback/shared/config"
	"ringback/shared/storage"
)

// TestRetriesOfARequestWaitAsBackoffSays also asks for the wait before the first
// try, which the SDK does not.
func TestRetriesOfARequestWaitAsBackoffSays(t *testing.T) {
	r := newRetryer()
	if got := r.MaxAttempts(); got != 3 {
		t.Errorf("MaxAttempts() = %d, want 3", got)
	}
	for n, longest := range map[int]time.Duration{0: 50 * time.Millisecond, 1: 50 * time.Millisecond, 2: 100 * time.Millisecond, 3: 200 * time.Millisecond} {
		var most time.Duration
		for range 200 {
			d, err := r.RetryDelay(n, nil)
			if err != nil || d < time.Millisecond || d > longest+time.Millisecond {
				t.Errorf("RetryDelay(%d) = %v, %v, want from 1 ms to %v", n, d, err, longest)
			}
			most = max(most, d)
		}
		if most < longest/2 { // of 200 draws
			t.Errorf("longest of 200 RetryDelay(%d) = %v, want about %v", n, most, longest)
		}
	}
}

func TestClientHasTheLimitsOfARequest(t *testing.T) {
	c := newHTTPClient()
	transport := c.Transport.(*http.Transport)
	got := []time.Duration{c.Timeout, transport.ResponseHeaderTimeout, transport.TLSHandshakeTimeout, transport.IdleConnTimeout}
	if diff := cmp.Diff([]time.Duration{5 * time.Second, time.Second, 500 * time.Millisecond, 30 * time.Second}, got); diff != "" {
		t.Errorf("limits of an exchange, its header, a handshake and an idle connection (-want +got):\n%s", diff)
	}
	if transport.MaxIdleConns != 64 || transport.MaxIdleConnsPerHost != 64 {
		t.Errorf("%d idle connections, %d a host, want 64", transport.MaxIdleConns, transport.MaxIdleConnsPerHost)
	}
}

// A keeper is an HTTP client that counts how often its idle connections are
// closed.
type keeper struct {
	bare
	closed *int
}

func (k keeper) CloseIdleConnections() { *k.closed++ }

// A bare is an HTTP client that has no connections.
type bare struct{}

func (bare) Do(*http.Request) (*http.Response, error) { return nil, errors.New("no connection") }

func TestCloseClosesWhatTheClientKeeps(t *testing.T) {
	closed := 0
	open(config.AWS{}, keeper{closed: &closed}).Close()
	open(config.AWS{}, bare{}).Close()
	if closed != 1 {
		t.Errorf("Close of a Backend closed the idle connections %d times, want once", closed)
	}
}

// A hungUp is a connection that notes its end.
type hungUp struct {
	net.Conn
	ends *int
	err  error
}

func (h hungUp) Close() error { *h.ends++; return h.err }

func TestEachEndpointIsDialedAndHungUp(t *testing.T) {
	var dialed []string
	ends := 0
	dial := func(_ context.Context, network, address string) (net.Conn, error) {
		dialed = append(dialed, network+" "+address)
		return hungUp{ends: &ends}, nil
	}
	for _, tt := range []struct {
		endpoints config.Endpoints
		want      []string
	}{
		{config.Endpoints{}, nil},
		{config.Endpoints{DynamoDB: "http://a.test", SQS: "https://b.test/path", Secrets: "http://[::1]:8000"}, []string{"tcp a.test:80", "tcp b.test:443", "tcp [::1]:8000"}},
		{config.Endpoints{Secrets: "https://c.test:1"}, []string{"tcp c.test:1"}},
	} {
		dialed, ends = nil, 0
		if err := reach(t.Context(), tt.endpoints, dial); err != nil {
			t.Errorf("reach(%+v): %v", tt.endpoints, err)
		}
		if diff := cmp.Diff(tt.want, dialed); diff != "" || ends != len(tt.want) {
			t.Errorf("reach(%+v) closed %d connections of (-want +got):\n%s", tt.endpoints, ends, diff)
		}
	}
	for _, endpoint := range []string{"http://", "127.0.0.1", "://", "http://a\x7f"} {
		if err := reach(t.Context(), config.Endpoints{SQS: endpoint}, dial); err == nil || !strings.Contains(err.Error(), "want a URL") || !strings.Contains(err.Error(), "AWS_ENDPOINT_URL_SQS") {
			t.Errorf("reach of %q: %v, want an error that names the variable and asks for a URL", endpoint, err)
		}
	}
	broken := errors.New("broken")
	if err := reach(t.Context(), config.Endpoints{SQS: "http://a.test"}, func(context.Context, string, string) (net.Conn, error) {
		return hungUp{ends: &ends, err: broken}, nil
	}); !errors.Is(err, broken) {
		t.Errorf("reach of what cannot be hung up: %v, want %v", err, broken)
	}
}

// TestKeysAreAskedForOnce gives keys that differ in one part, in every order of
// two and with each of them twice.
func TestKeysAreAskedForOnce(t *testing.T) {
	keys := []storage.Key{
		{Table: storage.Deliveries, PK: "a", SK: "x"}, {Table: storage.Deliveries, PK: "a", SK: "y"}, {Table: storage.Deliveries, PK: "b", SK: "x"},
		{Table: storage.Registrations, PK: "a", SK: "x"}, {Table: storage.Registrations, PK: "a", SK: "y"}, {Table: storage.Registrations, PK: "b", SK: "x"},
	}
	for turn := range keys {
		given := slices.Concat(keys[turn:], keys[:turn], keys[turn:], keys[:turn])
		before := slices.Clone(given)
		if got := distinct(given); !slices.Equal(got, keys) {
			t.Errorf("distinct(%v) = %v, want %v", before, got, keys)
		}
		if !slices.Equal(given, before) {
			t.Errorf("distinct changed its argument from %v to %v", before, given)
		}
	}
	if got := testing.AllocsPerRun(50, func() { distinct(keys[:1]) }); got > 0 {
		t.Errorf("distinct of one key, as most callers have, allocates %v times, want 0", got)
	}
	for _, k := range keys {
		if got := distinct([]storage.Key{k, k}); !slices.Equal(got, []storage.Key{k}) {
			t.Errorf("distinct of %v twice = %v", k, got)
		}
	}
}

func TestRowIsExpiredWhenItsLastSecondIsOver(t *testing.T) {
	row := storage.Row{Expires: time.Unix(100, 0)}
	for _, tt := range []struct {
		row  storage.Row
		now  time.Time
		want bool
	}{
		{row, time.Unix(99, 0), false},
		{row, time.Unix(100, 0), false},
		{row, time.Unix(100, 999_999_999), false},
		{row, time.Unix(101, 0), true},
		{storage.Row{}, time.Unix(101, 0), false},
	} {
		if got := expired(tt.row, tt.now); got != tt.want {
			t.Errorf("expired of a row until %v at %v = %v, want %v", tt.row.Expires, tt.now, got, tt.want)
		}
	}
}
