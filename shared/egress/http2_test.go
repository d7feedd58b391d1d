package egress

import (
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
)

func TestHTTP2EndpointsAreClassified(t *testing.T) {
	waits(t)
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
			t.Parallel()
			c, url := serve2(t, tt.handle)
			c.Timeout = patience
			got := c.Post(t.Context(), secretRequest(url))
			if got.Class != tt.want || !strings.HasPrefix(string(got.Body), tt.body) || len(got.Body) > KeepResponseBytes {
				t.Errorf("Post = %.200v, want class %q with %q", got, tt.want, tt.body)
			}
			got.Body = nil // sent back by the endpoint itself
			wantNoSecret(t, got)
		})
	}
}

// The window of a stream is what an endpoint may send unread.
func TestEndlessHTTP2AnswersAreStoppedByTheirWindow(t *testing.T) {
	const posts, slack = 20, 64 << 10 // bytes of a POST in buffers of the server
	var written atomic.Int64
	c, url := serve2(t, func(w http.ResponseWriter, r *http.Request) {
		chunk := []byte(strings.Repeat("b", 16<<10))
		for n, err := w.Write(chunk); err == nil; n, err = w.Write(chunk) {
			written.Add(int64(n))
		}
	})
	for range posts {
		if got := c.Post(t.Context(), Request{URL: url}); got.Class != OK {
			t.Fatalf("Post = %.200v, want OK", got)
		}
	}
	if got := written.Load() / posts; got > streamBuffer+ReadResponseBytes+slack {
		t.Errorf("an endpoint could send %d bytes, want at most %d", got, streamBuffer+ReadResponseBytes+slack)
	}
}

func TestOneHTTP2ConnectionServesManyPosts(t *testing.T) {
	var posts, others atomic.Int32
	var peer atomic.Value
	c, url := serve2(t, func(_ http.ResponseWriter, r *http.Request) {
		posts.Add(1)
		if old := peer.Swap(r.RemoteAddr); old != nil && old != r.RemoteAddr {
			others.Add(1)
		}
	})
	for range 5 {
		if got := c.Post(t.Context(), Request{URL: url, Body: []byte("x")}); got.Class != OK {
			t.Fatalf("Post = %+v, want OK", got)
		}
	}
	if posts.Load() != 5 || others.Load() != 0 {
		t.Errorf("%d posts, %d of them on another connection than the one before; want 5 and 0", posts.Load(), others.Load())
	}
}

// serve2 starts an HTTP/2 server. It returns a client that trusts it, and its
// URL.
func serve2(t *testing.T, h http.HandlerFunc) (*Client, string) {
	t.Helper()
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor != 2 {
			t.Errorf("the request came over %s, want HTTP/2", r.Proto)
			return
		}
		h(w, r)
	}))
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
