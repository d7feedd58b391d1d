package awsproxy_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"ringback/shared/cloud/awsproxy"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	putItem = "DynamoDB_20120810.PutItem"
	getKeys = "DynamoDB_20120810.BatchGetItem"
	send    = "AmazonSQS.SendMessageBatch"
)

// TestFaultsAreWhatTheirNamesSay runs requests against a server that answers
// with fields of its own, or with what it got as field Got.
func TestFaultsAreWhatTheirNamesSay(t *testing.T) {
	const two = `{"Entries":[{"Id":"a"},{"Id":"b"}]}`
	const keys = `{"RequestItems":{"t":{"Keys":[{"pk":{"S":"1"}},{"pk":{"S":"2"}}],"ConsistentRead":true}}}`
	for _, tt := range []struct {
		name    string
		fault   awsproxy.Fault
		target  string
		body    string
		status  int
		want    []string // in the answer
		reached int64    // requests that came to the server
	}{
		{"none", awsproxy.None, send, two, 200, []string{`"Got":{"Entries":[{"Id":"a"},{"Id":"b"}]}`}, 1},
		{"throttled table", awsproxy.Throttled, putItem, `{}`, 400, []string{"ProvisionedThroughputExceededException"}, 0},
		{"throttled queue", awsproxy.Throttled, send, two, 400, []string{"RequestThrottled"}, 0},
		{"server error", awsproxy.ServerError, putItem, `{}`, 500, []string{"InternalServerError"}, 0},
		{"slow", awsproxy.Slow, putItem, `{}`, 200, []string{`"Got"`}, 1},
		{"part of a send", awsproxy.Partial, send, two, 200,
			[]string{`"Got":{"Entries":[{"Id":"a"}]}`, `"Failed":[{"Code":"InternalError","Id":"b","SenderFault":false}]`}, 1},
		{"part of a get", awsproxy.Partial, getKeys, keys, 200,
			[]string{`"Keys":[{"pk":{"S":"1"}}]`, `"UnprocessedKeys":{"t":{"Keys":[{"pk":{"S":"2"}}],"ConsistentRead":true}}`}, 1},
		{"part of what has none", awsproxy.Partial, putItem, `{}`, 200, []string{`"Got"`}, 1},
		{"lost answer", awsproxy.LostResponse, putItem, `{}`, 0, nil, 1},
		{"silent", awsproxy.Silent, putItem, `{}`, 0, nil, 0},
		{"silent when done", awsproxy.SilentDone, putItem, `{}`, 0, nil, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var reached atomic.Int64
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				reached.Add(1)
				got, _ := io.ReadAll(r.Body)
				fmt.Fprintf(w, `{"Got":%s}`, got)
			}))
			t.Cleanup(server.Close)
			t.Cleanup(http.DefaultClient.CloseIdleConnections)
			proxy := &awsproxy.Proxy{Target: server.URL}
			proxy.Break(func(string) awsproxy.Fault { return tt.fault })
			status, answer := post(t, proxy.Start(t), tt.target, tt.body)
			if status != tt.status || reached.Load() != tt.reached {
				t.Errorf("%s: status %d, %d requests passed on; want %d, %d", tt.name, status, reached.Load(), tt.status, tt.reached)
			}
			for _, want := range tt.want {
				if !strings.Contains(answer, want) {
					t.Errorf("%s: answer %s, want it to hold %s", tt.name, answer, want)
				}
			}
		})
	}
}

// post returns the status of the answer and the answer; 0 if there is none in
// 300 ms.
func post(t *testing.T, url, target, body string) (int, string) {
	t.Helper()
	r, err := http.NewRequest(http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Amz-Target", target)
	client := &http.Client{Timeout: 300 * time.Millisecond, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(r)
	if err != nil {
		return 0, ""
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(answer)
}
