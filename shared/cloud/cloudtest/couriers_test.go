package cloudtest

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestRequestLeavesTheBubbleAndTimeStandsStill(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.WriteHeader(http.StatusTeapot)
		io.WriteString(w, r.Method+" "+r.Header.Get("X-Sent")+" "+string(body))
	}))
	defer server.Close()
	out := NewCouriers(1)
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		for range 3 {
			r, err := http.NewRequest(http.MethodPut, server.URL, strings.NewReader("body"))
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("X-Sent", "header")
			resp, err := out.RoundTrip(r)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(resp.Body)
			if resp.StatusCode != http.StatusTeapot || string(body) != "PUT header body" || err != nil {
				t.Errorf("answer %d %q, %v; want that of the server", resp.StatusCode, body, err)
			}
		}
		if took := time.Since(start); took != 0 {
			t.Errorf("%v went by in the bubble, want none", took)
		}
	})
}

func TestCourierComesBackThoughNobodyAnswers(t *testing.T) {
	server := httptest.NewServer(nil)
	at := server.URL
	server.Close()
	out := NewCouriers(1)
	broken := errors.New("broken")
	synctest.Test(t, func(t *testing.T) {
		for range 2 { // there is one courier: the second call waits for it
			r, err := http.NewRequest(http.MethodGet, at, nil)
			if err != nil {
				t.Fatal(err)
			}
			if resp, err := out.RoundTrip(r); err == nil {
				t.Errorf("answer %d of a server that is gone, want an error", resp.StatusCode)
			}
		}
		r, err := http.NewRequest(http.MethodPost, at, errReader{broken})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := out.RoundTrip(r); !errors.Is(err, broken) {
			t.Errorf("a body that cannot be read: %v, want its error", err)
		}
	})
}

type errReader struct{ err error }

func (r errReader) Read([]byte) (int, error) { return 0, r.err }
