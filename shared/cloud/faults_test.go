package cloud_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ringback/shared/cloud"
	"ringback/shared/cloud/awsproxy"
	"ringback/shared/cloud/dynamotest"
	"ringback/shared/cloud/sqstest"
	"ringback/shared/storage"
	"ringback/shared/test/proofs"

	"github.com/google/go-cmp/cmp"
)

// TestEveryAnsweredPutIsStoredOnce lets writers append to one row by
// compare-and-set while requests fail before, after and instead of their effect.
func TestEveryAnsweredPutIsStoredOnce(t *testing.T) {
	s, proxy := openBehindProxy(t)
	proxy.Break(sometimes(awsproxy.Throttled, awsproxy.ServerError, awsproxy.LostResponse, awsproxy.Slow))
	key := newKey()
	var wg sync.WaitGroup
	var want []string
	for writer := range 4 {
		for n := range 10 {
			want = append(want, fmt.Sprint(writer, "-", n))
		}
		wg.Go(func() {
			for n := range 10 {
				appendEntry(t, s, key, fmt.Sprint(writer, "-", n))
			}
		})
	}
	wg.Wait()
	proxy.Break(nil)
	var got []string
	if err := json.Unmarshal(getOne(t, s, key).Data, &got); err != nil {
		t.Fatal(err)
	}
	slices.Sort(got)
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("entries of the row (-want +got):\n%s", diff)
	}
}

// appendEntry adds entry to the JSON list in the row, trying until it is there.
func appendEntry(t *testing.T, s *cloud.Store, key storage.Key, entry string) {
	for {
		var list []string
		was := ""
		rows, err := s.Get(t.Context(), key)
		if err != nil {
			continue
		}
		if len(rows) == 1 {
			was = rows[0].Rev
			if err := json.Unmarshal(rows[0].Data, &list); err != nil {
				t.Errorf("row holds %q: %v", rows[0].Data, err)
				return
			}
		}
		if slices.Contains(list, entry) {
			return
		}
		data, _ := json.Marshal(append(list, entry))
		row := storage.Row{Key: key, Rev: storage.NewRev(), Data: data}
		for err = s.Put(t.Context(), row, was); err != nil && !errors.Is(err, storage.ErrConflict); {
			err = s.Put(t.Context(), row, was)
		}
	}
}

func TestPutWhoseAnswerIsLostIsDone(t *testing.T) {
	s, proxy := openBehindProxy(t)
	proxy.Reset()
	lost := false
	proxy.Break(func(string) awsproxy.Fault {
		if lost {
			return awsproxy.None
		}
		lost = true
		return awsproxy.LostResponse
	})
	if err := s.Put(t.Context(), storage.Row{Key: newKey(), Rev: storage.NewRev()}, ""); err != nil {
		t.Errorf("Put whose first answer is lost: %v", err)
	}
	if n := proxy.Counts()["DynamoDB.PutItem"].Requests; n != 2 {
		t.Errorf("it was put %d times, want 2", n)
	}
}

func TestGetAsksAgainForWhatWasLeftUnprocessed(t *testing.T) {
	s, proxy := openBehindProxy(t)
	want := map[storage.Key]bool{}
	var keys []storage.Key
	for n := range 40 {
		r := storage.Row{Key: newKey(), Rev: storage.NewRev()}
		if n%2 == 0 {
			r.Table = storage.Registrations
		}
		if err := s.Put(t.Context(), r, ""); err != nil {
			t.Fatal(err)
		}
		want[r.Key] = true
		keys = append(keys, r.Key)
	}
	proxy.Break(always(awsproxy.Partial))
	rows, err := s.Get(t.Context(), keys...)
	if err != nil {
		t.Fatalf("Get: %v", err)
	}
	got := map[storage.Key]bool{}
	for _, r := range rows {
		got[r.Key] = true
	}
	if diff := cmp.Diff(want, got); diff != "" || len(rows) != len(keys) {
		t.Errorf("Get of %d keys in halves returned %d (-want +got):\n%s", len(keys), len(rows), diff)
	}
}

func TestGetGivesUpWhenNothingIsProcessed(t *testing.T) {
	handler := newUnprocessed()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	cfg := testConfig(cloud.Endpoints{DynamoDB: server.URL})
	b, err := cloud.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	rows, err := b.Store.Get(t.Context(), newKey(), newKey())
	if err == nil || len(rows) != 0 || !strings.Contains(err.Error(), "unprocessed") {
		t.Errorf("Get of which nothing is processed: %d rows, %v; want an error", len(rows), err)
	}
	if got := handler.requests.Load(); got != 5 {
		t.Errorf("Get asked %d times, want 5", got)
	}
}

func TestStoreThatIsSilentIsAskedThreeTimes(t *testing.T) {
	proofs.Long(t)
	s, proxy := openBehindProxy(t)
	var asked atomic.Int64
	proxy.Break(func(string) awsproxy.Fault {
		asked.Add(1)
		return awsproxy.Silent
	})
	if _, err := s.Get(t.Context(), newKey()); err == nil {
		t.Error("Get of a silent store succeeded, want an error")
	}
	if asked.Load() != 3 {
		t.Errorf("a silent store was asked %d times, want 3", asked.Load())
	}
}

func TestCallerWhoseTimeIsOverWaitsNoLonger(t *testing.T) {
	s, proxy := openBehindProxy(t)
	var asked atomic.Int64
	proxy.Break(func(string) awsproxy.Fault {
		asked.Add(1)
		return awsproxy.Silent
	})
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	err := s.Put(ctx, storage.Row{Key: newKey(), Rev: storage.NewRev()}, "")
	if !errors.Is(err, context.DeadlineExceeded) || asked.Load() > 1 {
		t.Errorf("Put with 100 ms to go: %v after it asked %d times, want DeadlineExceeded after one at most", err, asked.Load())
	}
}

func TestMessageThatWasAcknowledgedArrives(t *testing.T) {
	server := &sqstest.Server{}
	direct := httptest.NewServer(server)
	t.Cleanup(direct.Close)
	c := sqstest.Connect(direct.URL, direct.Client())
	if err := sqstest.CreateQueues(t.Context(), c, time.Minute, storage.MaxReceives, "events", "retry", "slow"); err != nil {
		t.Fatal(err)
	}
	proxy := &awsproxy.Proxy{Target: direct.URL}
	proxy.Break(sometimes(awsproxy.Throttled, awsproxy.ServerError, awsproxy.LostResponse, awsproxy.Slow, awsproxy.Partial))
	b, err := cloud.Open(t.Context(), testConfig(cloud.Endpoints{SQS: proxy.Start(t)}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)

	acknowledged := map[string]bool{}
	for batch := range 20 {
		var ms []storage.Message
		for n := range 10 {
			ms = append(ms, storage.Message{Body: fmt.Sprint(batch, "-", n)})
		}
		for i, err := range b.Queue.Send(t.Context(), storage.EventsQueue, ms) {
			if err == nil {
				acknowledged[ms[i].Body] = true
			}
		}
	}
	m := sqstest.Mapping{SQS: c, QueueURL: sqstest.URL(direct.URL, "events"),
		Function: cloud.SQS(func(_ context.Context, ms []storage.Received) ([]string, error) {
			for _, m := range ms {
				delete(acknowledged, m.Body)
			}
			return nil, nil
		})}
	for m.Once(t.Context(), 0) > 0 {
	}
	if len(acknowledged) > 0 {
		t.Errorf("%d acknowledged messages did not arrive: %v", len(acknowledged), acknowledged)
	}
}

// sometimes returns one of faults for a third of the requests.
func sometimes(faults ...awsproxy.Fault) func(string) awsproxy.Fault {
	chance := rand.New(rand.NewPCG(1, 2))
	return func(string) awsproxy.Fault {
		if chance.IntN(3) > 0 {
			return awsproxy.None
		}
		return faults[chance.IntN(len(faults))]
	}
}

func always(f awsproxy.Fault) func(string) awsproxy.Fault {
	return func(string) awsproxy.Fault { return f }
}

// openBehindProxy returns a Store with fresh tables behind a proxy that makes no
// faults yet.
func openBehindProxy(t *testing.T) (*cloud.Store, *awsproxy.Proxy) {
	t.Helper()
	proxy := &awsproxy.Proxy{Target: dynamotest.Endpoint(t)}
	return openBackend(t, cloud.Endpoints{DynamoDB: proxy.Start(t)}).Store, proxy
}
