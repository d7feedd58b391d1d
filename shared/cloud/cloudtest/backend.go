// Package cloudtest opens the cloud backend for tests. DynamoDB is a server of package dynamotest; SQS and Lambda's
// event source mappings run in the process. It works in synctest bubbles, with their virtual time: Couriers carry the
// requests to DynamoDB out of a bubble.
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

	// handlerTime is the worker's time limit in template.yaml, where a message's visibility timeout is six times that.
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

// Open makes tables and queues. Requests go to the DynamoDB server through out.
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

// split sends requests to SQS, and all others to other.
type split struct{ sqs, other http.RoundTripper }

func (s split) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Host == sqsHost {
		return s.sqs.RoundTrip(r)
	}
	return s.other.RoundTrip(r)
}

// Serve calls h with batches of a queue's messages, as Lambda does, until ctx ends. Calls that have begun then are
// finished.
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
