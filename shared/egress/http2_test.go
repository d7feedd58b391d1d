package egress

import (
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
)

func TestHTTP2EndpointsAreClassified(t *testing.T) {
	for _, tt := range []struct {
		name   string
		handle http.HandlerFunc
		want   Class
		body   string
	}{
		{"accepts", func(w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body) }, OK, "s3cret-body"},
		{"redirects", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(308) }, Status3xx, ""},
		{"says nothing", func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, Timeout, ""},
		{"resets the stream", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, Reset, ""},
		{"sends a header over the limit", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-Bomb", strings.Repeat("b", 2*MaxResponseHeader))
		}, BadResponse, ""},
		{"accepts without end", flood2, OK, "bbbbbbbb"},
		{"accepts, then stalls", func(w http.ResponseWriter, r *http.Request) {
			io.WriteString(w, "half")
			http.NewResponseController(w).Flush()
			<-r.Context().Done()
		}, OK, "half"},
		{"accepts, then resets", func(w http.ResponseWriter, r *http.Request) {
			io.WriteString(w, "half")
			http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}, OK, "half"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, url := serve2(t, tt.handle)
			c.Timeout = patience
			got := c.Post(t.Context(), secretRequest(url))
			if got.Class != tt.want || !strings.HasPrefix(string(got.Body), tt.body) || len(got.Body) > KeepAnswerBytes {
				t.Errorf("Post = %.200v, want class %q with %q", got, tt.want, tt.body)
			}
			got.Body = nil // sent back by the endpoint itself
			wantNoSecret(t, got)
		})
	}
}

func TestEndlessHTTP2AnswersTakeLittleMemory(t *testing.T) {
	const posts, limit = 20, 1 << 20 // bytes per POST on both sides, of which the client may hold 64 KiB
	c, url := serve2(t, flood2)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range posts {
		c.Post(t.Context(), Request{URL: url})
	}
	runtime.ReadMemStats(&after)
	if got := (after.TotalAlloc - before.TotalAlloc) / posts; got > limit {
		t.Errorf("a POST allocated %d bytes, want at most %d", got, limit)
	}
}

func TestOneHTTP2ConnectionServesManyPosts(t *testing.T) {
	var posts, others atomic.Int32
	var peer atomic.Value
	c, url := serve2(t, func(_ http.ResponseWriter, r *http.Request) {
		posts.Add(1)
		if old := peer.Swap(r.RemoteAddr); r.ProtoMajor != 2 || old != nil && old != r.RemoteAddr {
			others.Add(1)
		}
	})
	for range 5 {
		if got := c.Post(t.Context(), Request{URL: url, Body: []byte("x")}); got.Class != OK {
			t.Fatalf("Post = %+v, want OK", got)
		}
	}
	if posts.Load() != 5 || others.Load() != 0 {
		t.Errorf("%d posts, %d of them not on the one HTTP/2 connection; want 5 and 0", posts.Load(), others.Load())
	}
}

// serve2 starts an HTTP/2 server. It returns a client that trusts it, and its
// URL.
func serve2(t *testing.T, h http.HandlerFunc) (*Client, string) {
	t.Helper()
	server := httptest.NewUnstartedServer(h)
	server.EnableHTTP2 = true
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	c := newClient(t)
	c.Roots = server.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	return c, server.URL
}

func flood2(w http.ResponseWriter, _ *http.Request) {
	chunk := []byte(strings.Repeat("b", 16<<10))
	for {
		if _, err := w.Write(chunk); err != nil {
			return
		}
	}
}
