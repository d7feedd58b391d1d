// Package cloudtest is the cloud backend for tests of what runs on it: DynamoDB's
// protocol at a server of dynamotest, SQS' protocol and Lambda's event source
// mappings within the process. It works in bubbles of virtual time
// (testing/synctest), out of which Couriers take the requests to DynamoDB.
package cloudtest

import (
	"context"
	"net/http"
	"sync"
	"testing"
	"time"

	"ringback/shared/cloud"
	"ringback/shared/cloud/sqstest"
	"ringback/shared/config"
	"ringback/shared/storage"
)

const (
	sqsHost     = "sqs.example"
	sqsEndpoint = "http://" + sqsHost

	// What template.yaml gives the worker's function, and six times that to the
	// queues' messages.
	handlerTime = 30 * time.Second
	batch       = 5
	concurrency = 8
)

// A Backend is the cloud backend with tables and queues of its own.
type Backend struct {
	Store storage.Store
	Queue storage.Queue

	server *sqstest.Server
	client *http.Client
}

// Open makes tables at the DynamoDB server, which requests reach through out,
// and queues.
func Open(t testing.TB, dynamoDB string, out http.RoundTripper) *Backend {
	t.Helper()
	b := &Backend{server: &sqstest.Server{}}
	b.client = &http.Client{Transport: split{sqstest.Client(b.server).Transport, out}}
	open, err := cloud.OpenOver(config.Config{AWS: config.AWS{
		RegistrationsTable: "r-" + storage.NewRev(), DeliveriesTable: "d-" + storage.NewRev(),
		EventsQueueURL: sqstest.URL(sqsEndpoint, "events"), RetryQueueURL: sqstest.URL(sqsEndpoint, "retry"), SlowQueueURL: sqstest.URL(sqsEndpoint, "slow"),
		EventsDeadURL: sqstest.URL(sqsEndpoint, "events-dead"), RetryDeadURL: sqstest.URL(sqsEndpoint, "retry-dead"), SlowDeadURL: sqstest.URL(sqsEndpoint, "slow-dead"),
		Region: "us-east-1", AccessKeyID: "test", SecretAccessKey: "test",
		Endpoints: config.Endpoints{DynamoDB: dynamoDB, SQS: sqsEndpoint},
	}}, b.client)
	if err != nil {
		t.Fatal(err)
	}
	if err := open.Store.CreateTables(t.Context()); err != nil {
		t.Fatal(err)
	}
	queues := sqstest.Connect(sqsEndpoint, b.client)
	if err := sqstest.CreateQueues(t.Context(), queues, 6*handlerTime, storage.MaxReceives, "events", "retry", "slow"); err != nil {
		t.Fatal(err)
	}
	b.Store, b.Queue = &sparing{Store: open.Store}, open.Queue
	return b
}

// split sends requests to SQS, or elsewhere.
type split struct{ sqs, other http.RoundTripper }

func (s split) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Host == sqsHost {
		return s.sqs.RoundTrip(r)
	}
	return s.other.RoundTrip(r)
}

// Serve hands the messages of a queue to h, in batches as Lambda does, until ctx
// ends. Those under way are finished.
func (b *Backend) Serve(ctx context.Context, q storage.QueueName, h storage.Handler) {
	m := &sqstest.Mapping{
		SQS: sqstest.Connect(sqsEndpoint, b.client), QueueURL: sqstest.URL(sqsEndpoint, string(q)), Batch: batch, Timeout: handlerTime, Function: cloud.SQS(h),
	}
	var wg sync.WaitGroup
	for range concurrency {
		wg.Go(func() {
			for b.server.Await(ctx, string(q)) {
				m.Once(ctx, 0)
			}
		})
	}
	wg.Wait()
}
