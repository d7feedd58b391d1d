package cloud_test

import (
	"bytes"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"ringback/shared/cloud"
	"ringback/shared/cloud/awsproxy"
	"ringback/shared/cloud/dynamotest"
	"ringback/shared/cloud/sqstest"
	"ringback/shared/storage"

	"github.com/google/go-cmp/cmp"
)

// TestStoreCallsCostWhatTheirCommentsSay runs steps on one row, so that each
// finds what the former left.
func TestStoreCallsCostWhatTheirCommentsSay(t *testing.T) {
	proxy := &awsproxy.Proxy{Target: dynamotest.Endpoint(t)}
	s := openBackend(t, cloud.Endpoints{DynamoDB: proxy.Start(t)}).Store
	key, due := newKey(), time.Now().Add(time.Hour)
	rev := ""
	put := func(r storage.Row) {
		r.Key, r.Rev = key, storage.NewRev()
		if err := s.Put(t.Context(), r, rev); err != nil {
			t.Fatalf("Put: %v", err)
		}
		rev = r.Rev
	}
	const putItem, query = "DynamoDB.PutItem", "DynamoDB.Query"
	for _, step := range []struct {
		name      string
		do        func()
		operation string
		want      awsproxy.Count
	}{
		{"new small row", func() { put(storage.Row{}) }, putItem, awsproxy.Count{Requests: 1, WriteUnits: 1}},
		{"enters one index", func() { put(storage.Row{Due: due}) }, putItem, awsproxy.Count{Requests: 1, WriteUnits: 2}},
		{"moves in it", func() { put(storage.Row{Due: due.Add(1e9)}) }, putItem, awsproxy.Count{Requests: 1, WriteUnits: 3}},
		{"leaves it", func() { put(storage.Row{}) }, putItem, awsproxy.Count{Requests: 1, WriteUnits: 2}},
		{"enters both", func() { put(storage.Row{Due: due, Open: true}) }, putItem, awsproxy.Count{Requests: 1, WriteUnits: 3}},
		{"leaves both", func() { put(storage.Row{}) }, putItem, awsproxy.Count{Requests: 1, WriteUnits: 3}},
		{"body of 3 KiB that packs well", func() { put(storage.Row{Body: bytes.Repeat([]byte("0123456789abcdef"), 192)}) },
			putItem, awsproxy.Count{Requests: 1, WriteUnits: 1}},
		{"failed condition", func() { s.Put(t.Context(), storage.Row{Key: key, Rev: storage.NewRev()}, "") },
			putItem, awsproxy.Count{Requests: 1, WriteUnits: 1}},
		{"get one", func() { s.Get(t.Context(), key) }, "DynamoDB.GetItem", awsproxy.Count{Requests: 1, ReadUnits: 1}},
		{"get one and an absent one", func() { s.Get(t.Context(), key, newKey()) },
			"DynamoDB.BatchGetItem", awsproxy.Count{Requests: 1, ReadUnits: 2}},
		{"list", func() { s.List(t.Context(), storage.Query{Table: key.Table, PK: key.PK}) },
			query, awsproxy.Count{Requests: 1, ReadUnits: 0.5}},
		{"list consistently", func() { s.List(t.Context(), storage.Query{Table: key.Table, PK: key.PK, Consistent: true}) },
			query, awsproxy.Count{Requests: 1, ReadUnits: 1}},
		{"due of an empty shard", func() { s.Due(t.Context(), 0, time.Now(), "", 0) },
			query, awsproxy.Count{Requests: 2, ReadUnits: 1}},
	} {
		proxy.Reset()
		step.do()
		if diff := cmp.Diff(map[string]awsproxy.Count{step.operation: step.want}, proxy.Counts()); diff != "" {
			t.Errorf("cost of %q (-want +got):\n%s", step.name, diff)
		}
	}
}

func TestSendIsBilledByItsBytes(t *testing.T) {
	server := httptest.NewServer(&sqstest.Server{})
	t.Cleanup(server.Close)
	c := sqstest.Connect(server.URL, server.Client())
	if err := sqstest.CreateQueues(t.Context(), c, time.Minute, storage.MaxReceives, "events", "retry", "slow"); err != nil {
		t.Fatal(err)
	}
	proxy := &awsproxy.Proxy{Target: server.URL}
	b, err := cloud.Open(t.Context(), testConfig(cloud.Endpoints{SQS: proxy.Start(t)}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	sendAll(t, b, storage.Message{Body: "small"}, storage.Message{Body: "small"})
	sendAll(t, b, storage.Message{Body: strings.Repeat("x", 64<<10)}, storage.Message{Body: "one more"})
	want := map[string]awsproxy.Count{"SQS.SendMessageBatch": {Requests: 2, Chunks: 3}}
	if diff := cmp.Diff(want, proxy.Counts()); diff != "" {
		t.Errorf("cost of two sends, one over 64 KiB (-want +got):\n%s", diff)
	}
}
