package deployed

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"
)

func TestKeyThatWasRotatedEndsWithinAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		secret, failure, reads := "first", error(nil), 0
		read := func(context.Context) (string, error) { reads++; return secret, failure }
		h, err := Renewed(t.Context(), read, func(secret string) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, secret) })
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, tt := range []struct {
			secret  string
			failure error
			after   time.Duration
			want    string
			reads   int
		}{
			{"first", nil, 0, "first", 1},
			{"second", nil, 59 * time.Second, "first", 1},
			{"second", nil, time.Second, "second", 2},
			{"second", nil, time.Second, "second", 2},
			{"third", errors.New("away"), time.Minute, "second", 3},
			{"third", nil, time.Second, "second", 3},
			{"third", nil, time.Minute, "third", 4},
		} {
			secret, failure = tt.secret, tt.failure
			time.Sleep(tt.after)
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
			if got := w.Body.String(); got != tt.want || reads != tt.reads {
				t.Errorf("%s later, with the secret %s: served with %s after %d reads, want %s after %d", tt.after, tt.secret, got, reads, tt.want, tt.reads)
			}
		}
		if _, err := Renewed(t.Context(), func(context.Context) (string, error) { return "", errors.New("away") }, nil); err == nil {
			t.Error("a secret that cannot be read at the start: no error")
		}
	})
}
