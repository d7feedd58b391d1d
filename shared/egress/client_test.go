package egress

import (
	"context"
	"encoding/base64"
	"flag"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	flag.Parse()
	flag.Set("test.parallel", "16") // tests that wait leave the processors to others
	goleak.VerifyTestMain(m)
}

// waits is for a test that waits for seconds: it runs beside others, and not with
// -short.
func waits(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("waits for seconds")
	}
	t.Parallel()
}

func TestPostSendsTheRequestAsItWasGiven(t *testing.T) {
	var line, body string
	var header http.Header
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		sent, _ := io.ReadAll(r.Body)
		line, body, header = r.Method+" "+r.RequestURI, string(sent), r.Header
		w.Header().Set("Retry-After", "7")
		io.WriteString(w, "thanks")
	})
	given := http.Header{"Webhook-Id": {"evt_1"}, "X-Two": {"a", "b"}}
	got := newClient(t).Post(t.Context(), Request{
		URL:    server.URL + "/a%2Fb//c;d?key=1%20&z",
		Query:  "SdkAppid=1&x=%zz",
		Header: given,
		Body:   []byte("{\"n\": 1.0}\n\x00\xff"),
	})
	if got.Class != OK || got.StatusCode != 200 || string(got.Body) != "thanks" || got.Header.Get("Retry-After") != "7" {
		t.Errorf("Post = %+v, want 200 with the answer", got)
	}
	if want := "POST /a%2Fb//c;d?key=1%20&z&SdkAppid=1&x=%zz"; line != want {
		t.Errorf("request line %q, want %q", line, want)
	}
	if want := "{\"n\": 1.0}\n\x00\xff"; body != want {
		t.Errorf("body %q, want %q", body, want)
	}
	want := http.Header{"Webhook-Id": {"evt_1"}, "X-Two": {"a", "b"}, "Content-Length": {"13"}, "User-Agent": {"Go-http-client/1.1"}}
	if diff := cmp.Diff(want, header); diff != "" {
		t.Errorf("header (-want +got):\n%s", diff)
	}
}

func TestQueriesAreJoined(t *testing.T) {
	for _, tt := range []struct{ a, b, want string }{
		{"", "", ""},
		{"a=1", "", "a=1"},
		{"", "b=2", "b=2"},
		{"a=1", "b=2", "a=1&b=2"},
		{"a=1&", "b=2", "a=1&b=2"},
	} {
		if got, err := joinQueries(tt.a, tt.b); got != tt.want || err != nil {
			t.Errorf("joinQueries(%q, %q) = %q, %v, want %q", tt.a, tt.b, got, err, tt.want)
		}
	}
}

func TestQueryThatBreaksTheRequestLineIsOurFault(t *testing.T) {
	server := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("the endpoint was called") })
	for _, query := range []string{"a b", "a\r\nHost: x", "a\x7f"} {
		if got := newClient(t).Post(t.Context(), Request{URL: server.URL, Query: query}); got.Class != Internal {
			t.Errorf("Post with query %q: class %q, want %q", query, got.Class, Internal)
		}
	}
}

func TestHeaderThatCannotBeSentIsOurFault(t *testing.T) {
	server := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("the endpoint was called") })
	for _, h := range []http.Header{{"X": {"a\r\nY: b"}}, {"X Y": {"a"}}} {
		if got := newClient(t).Post(t.Context(), Request{URL: server.URL, Header: h}); got.Class != Internal {
			t.Errorf("Post with header %q: class %q, want %q", h, got.Class, Internal)
		}
	}
}

func TestClientThatIsPausedCallsNobody(t *testing.T) {
	server := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("the endpoint was called") })
	c := newClient(t)
	c.Paused = true
	for _, got := range []Response{c.Post(t.Context(), Request{URL: server.URL}), c.Options(t.Context(), Request{URL: server.URL})} {
		if got.Class != Internal || !strings.Contains(got.Error, "paused") {
			t.Errorf("while paused: %+v, want class %q and why", got, Internal)
		}
	}
}

func TestShortBodyIsSentWithItsLength(t *testing.T) {
	var length, body string
	server := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		sent, _ := io.ReadAll(r.Body)
		length, body = r.Header.Get("Content-Length"), string(sent)
	})
	for _, tt := range []struct{ body, length string }{{"", "0"}, {"x", "1"}, {"xy", "2"}} {
		got := newClient(t).Post(t.Context(), Request{URL: server.URL, Body: []byte(tt.body)})
		if got.Class != OK || length != tt.length || body != tt.body {
			t.Errorf("Post of %q = %+v, Content-Length %q and body %q, want OK and %s", tt.body, got, length, body, tt.length)
		}
	}
}

func TestURLCredentialsBecomeBasicAuthorization(t *testing.T) {
	var got string
	server := serve(t, func(_ http.ResponseWriter, r *http.Request) { got = r.Header.Get("Authorization") })
	_, address, _ := strings.Cut(server.URL, "//")
	for _, tt := range []struct{ name, userinfo, own, want string }{
		{"plain", "login:password@", "", "login:password"},
		{"percent-encoded", "log%40in:p%3A%2Fw%25%20d@", "", "log@in:p:/w% d"},
		{"password with a colon", "login:pass:word@", "", "login:pass:word"},
		{"login alone", "login@", "", "login:"},
		{"password alone", ":password@", "", ":password"},
		{"none", "", "", ""},
		{"own header goes first", "login:password@", "Bearer x", "Bearer x"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			header := http.Header{}
			if tt.own != "" {
				header.Set("Authorization", tt.own)
			}
			sent := header.Clone()
			newClient(t).Post(t.Context(), Request{URL: "http://" + tt.userinfo + address, Header: sent})
			want := tt.want
			if want != "" && tt.own == "" {
				want = "Basic " + base64.StdEncoding.EncodeToString([]byte(want))
			}
			if got != want {
				t.Errorf("Authorization %q, want %q", got, want)
			}
			if diff := cmp.Diff(header, sent); diff != "" {
				t.Errorf("the request's header changed (-before +after):\n%s", diff)
			}
		})
	}
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	for _, code := range []int{301, 302, 303, 307, 308} {
		var calls atomic.Int32
		server := serve(t, func(w http.ResponseWriter, r *http.Request) {
			calls.Add(1)
			http.Redirect(w, r, "/again", code)
		})
		got := newClient(t).Post(t.Context(), Request{URL: server.URL, Body: []byte("x")})
		if got.Class != Status3xx || got.StatusCode != code || calls.Load() != 1 {
			t.Errorf("Post answered with %d: %+v after %d calls, want %q after 1", code, got, calls.Load(), Status3xx)
		}
	}
}

func TestConnectionIsUsedAgain(t *testing.T) {
	for _, tt := range []struct {
		name   string
		answer int // bytes
		want   int32
	}{
		{"empty answer", 0, 1},
		{"short answer", 100, 1},
		{"answer as long as what is kept", KeepResponseBytes, 1},
		{"answer as long as what is read", ReadResponseBytes, 1},
		{"answer that is not read to its end", ReadResponseBytes + 8<<10, 5},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var connections atomic.Int32
			server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Write(make([]byte, tt.answer))
			}))
			server.Config.ConnState = func(_ net.Conn, s http.ConnState) {
				if s == http.StateNew {
					connections.Add(1)
				}
			}
			server.Start()
			defer server.Close()
			c := newClient(t)
			for range 5 {
				got := c.Post(t.Context(), Request{URL: server.URL, Body: []byte("x")})
				if want := min(tt.answer, KeepResponseBytes); got.Class != OK || len(got.Body) != want {
					t.Fatalf("Post: class %q with %d bytes, want OK with %d", got.Class, len(got.Body), want)
				}
			}
			if got := connections.Load(); got != tt.want {
				t.Errorf("5 posts made %d connections, want %d", got, tt.want)
			}
		})
	}
}

func TestIdleConnectionsAreClosed(t *testing.T) {
	var connections atomic.Int32
	url := serveRaw(t, func(conn *rawConn) {
		connections.Add(1)
		for _, err := conn.request(); err == nil; _, err = conn.request() {
			conn.write("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		}
	})
	c := newClient(t)
	for _, want := range []int32{1, 1, 2} {
		if want == 2 {
			c.CloseIdle()
		}
		if got := c.Post(t.Context(), Request{URL: url, Body: []byte("x")}); got.Class != OK || connections.Load() != want {
			t.Errorf("Post = %+v over connection %d, want OK over connection %d", got, connections.Load(), want)
		}
	}
}

// A closable is a network that counts how often its idle connections are closed.
type closable struct {
	silent
	closed int
}

func (c *closable) CloseIdleConnections() { c.closed++ }

func TestCloseIdleReachesTheNetworkThatStandsIn(t *testing.T) {
	network := &closable{}
	(&Client{Transport: network}).CloseIdle()
	if network.closed != 1 {
		t.Errorf("CloseIdle of a client that was not used closed idle connections %d times, want once", network.closed)
	}
	(&Client{Transport: silent{}}).CloseIdle() // which has none
}

func TestDeadConnectionIsReplacedOnlyWithAnIdempotencyKey(t *testing.T) {
	for _, tt := range []struct {
		name   string
		header http.Header
		want   Class
		bodies int
	}{
		{"with it", http.Header{"Idempotency-Key": {"evt_1"}}, OK, 3},
		{"with one that is not sent", http.Header{"Idempotency-Key": {}}, OK, 3},
		{"without it", nil, Reset, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var mu sync.Mutex
			var bodies []string
			url := serveRaw(t, func(conn *rawConn) {
				for n := 0; ; n++ {
					body, err := conn.request()
					if err != nil {
						return
					}
					mu.Lock()
					bodies = append(bodies, body)
					mu.Unlock()
					if conn.number == 0 && n == 1 {
						return // kept alive, and dead when it is used again
					}
					conn.write("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
				}
			})
			c := newClient(t)
			r := Request{URL: url, Header: tt.header, Body: []byte("the whole body")}
			if got := c.Post(t.Context(), r); got.Class != OK {
				t.Fatalf("first Post = %+v, want OK", got)
			}
			if got := c.Post(t.Context(), r); got.Class != tt.want {
				t.Errorf("second Post = %+v, want class %q", got, tt.want)
			}
			mu.Lock()
			defer mu.Unlock()
			if want := strings.Repeat("the whole body|", tt.bodies); strings.Join(bodies, "|")+"|" != want {
				t.Errorf("the endpoint got %q, want the body %d times", bodies, tt.bodies)
			}
		})
	}
}

func TestTimeLimitsEndTheExchange(t *testing.T) {
	for _, tt := range []struct {
		name            string
		client, request time.Duration
		want            time.Duration
	}{
		{"neither is set", 0, 0, 15 * time.Second},
		{"the client's", 4 * time.Second, 0, 4 * time.Second},
		{"the request's", 0, 2 * time.Second, 2 * time.Second},
		{"the request asks for more than the client gives", 4 * time.Second, time.Hour, 4 * time.Second},
		{"the request's is negative", 0, -time.Second, 15 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := &Client{Timeout: tt.client, Transport: silent{}}
				got := c.Post(t.Context(), Request{URL: "https://tenant.example/", Timeout: tt.request})
				if got.Class != Timeout || got.Took != tt.want {
					t.Errorf("Post = %q after %v, want %q after %v", got.Class, got.Took, Timeout, tt.want)
				}
			})
		})
	}
}

func TestEndOfOurContextIsNeverTheTenantsRefusal(t *testing.T) {
	for _, tt := range []struct {
		name string
		with func(context.Context) (context.Context, context.CancelFunc)
	}{
		{"stopped", func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(ctx)
			time.AfterFunc(time.Second, cancel)
			return ctx, cancel
		}},
		{"stopped before", func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(ctx)
			cancel()
			return ctx, cancel
		}},
		{"out of time", func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(ctx, time.Second)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := tt.with(t.Context())
				defer cancel()
				got := (&Client{Transport: silent{}}).Post(ctx, Request{URL: "https://tenant.example/"})
				if got.Class != Internal {
					t.Errorf("Post = %+v, want class %q", got, Internal)
				}
			})
		})
	}
}

func TestStopDuringARealExchangeIsOurs(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	url := serveRaw(t, func(conn *rawConn) {
		conn.request()
		cancel()
		conn.wait()
	})
	if got := newClient(t).Post(ctx, Request{URL: url}); got.Class != Internal {
		t.Errorf("Post = %+v, want class %q", got, Internal)
	}
}
