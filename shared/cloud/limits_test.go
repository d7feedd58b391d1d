package cloud

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"ringback/shared/config"
	"ringback/shared/storage"
)

// TestStartEndsWithinItsLimit holds the 1.5 s of Open, with which a function
// ends within the README's 2 s.
func TestStartEndsWithinItsLimit(t *testing.T) {
	for _, tt := range []struct {
		name string
		dial dialer
		took time.Duration
		want error
	}{
		{"packets are swallowed", func(ctx context.Context, _, _ string) (net.Conn, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}, 1500 * time.Millisecond, context.DeadlineExceeded},
		{"nobody listens", func(context.Context, string, string) (net.Conn, error) { return nil, syscall.ECONNREFUSED }, 0, syscall.ECONNREFUSED},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				err := reach(t.Context(), config.Endpoints{DynamoDB: "http://192.0.2.1", SQS: "http://192.0.2.2"}, tt.dial)
				if took := time.Since(start); took != tt.took || !errors.Is(err, tt.want) || !strings.Contains(err.Error(), "AWS_ENDPOINT_URL_DYNAMODB") {
					t.Errorf("reach: %v after %v, want %v of AWS_ENDPOINT_URL_DYNAMODB after %v", err, took, tt.want, tt.took)
				}
			})
		})
	}
}

// TestSilentStoreIsGivenUp holds the limits of a request to AWS.
func TestSilentStoreIsGivenUp(t *testing.T) {
	key := storage.Key{Table: storage.Registrations, PK: "P", SK: "S"}
	for _, tt := range []struct {
		name        string
		left        time.Duration
		least, most time.Duration
	}{
		{"three tries of 1 s and what lies between", time.Minute, 3 * time.Second, 3*time.Second + 152*time.Millisecond},
		{"a caller with 100 ms to go", 100 * time.Millisecond, 100 * time.Millisecond, 100 * time.Millisecond},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client := newHTTPClient()
				client.Transport.(*http.Transport).DialContext = silence
				b := open(config.AWS{Region: "us-east-1", Endpoints: config.Endpoints{DynamoDB: "http://127.0.0.1"}}, client)
				defer b.Close()
				ctx, cancel := context.WithTimeout(t.Context(), tt.left)
				defer cancel()
				start := time.Now()
				err := b.Store.Put(ctx, storage.Row{Key: key, Rev: storage.NewRev()}, "")
				if took := time.Since(start); err == nil || took < tt.least || took > tt.most {
					t.Errorf("Put: %v after %v, want an error after %v to %v", err, took, tt.least, tt.most)
				}
			})
		})
	}
}

// silence connects to somebody who reads and does not answer.
func silence(context.Context, string, string) (net.Conn, error) {
	client, server := net.Pipe()
	go io.Copy(io.Discard, server)
	return client, nil
}
