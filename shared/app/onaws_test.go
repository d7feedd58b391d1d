package app_test

import (
	"context"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"ringback/shared/cloud"
	"ringback/shared/cloud/bubble"
	"ringback/shared/cloud/dynamotest"
	"ringback/shared/cloud/sqstest"
	"ringback/shared/config"
	"ringback/shared/gateway"
)

// everywhere is scenario, and runs f on the cloud backend too: DynamoDB's
// protocol at a server outside of the bubble, SQS' and Lambda's event source
// mappings inside, where time is virtual for them too.
func everywhere(t *testing.T, f func(t *testing.T, w *world)) {
	scenario(t, f)
	t.Run("on AWS", func(t *testing.T) {
		dynamoDB, now := dynamotest.Endpoint(t), time.Now()
		synctest.Test(t, func(t *testing.T) {
			time.Sleep(time.Until(now)) // rows of the year 2000 would have expired in DynamoDB
			f(t, newWorldOn(t, newOnAWS(t, dynamoDB)))
		})
	})
}

// outside is the way out of bubbles.
var outside = bubble.NewCouriers(16)

// onAWS is the cloud backend of a world.
type onAWS struct {
	server *sqstest.Server
	client *http.Client
	store  *sparing
	queue  gateway.Queue
}

const (
	sqsEndpoint = "http://sqs.example"
	handlerTime = 30 * time.Second // of the worker's function, as in template.yaml
)

func newOnAWS(t *testing.T, dynamoDB string) *onAWS {
	t.Helper()
	b := &onAWS{server: &sqstest.Server{}}
	b.client = &http.Client{Transport: split{sqstest.Client(b.server).Transport, outside}}
	open, err := cloud.OpenOver(config.Config{AWS: config.AWS{
		RegistrationsTable: "r-" + gateway.NewRev(), DeliveriesTable: "d-" + gateway.NewRev(),
		EventsQueueURL: sqstest.URL(sqsEndpoint, "events"), RetryQueueURL: sqstest.URL(sqsEndpoint, "retry"),
		EventsDeadURL: sqstest.URL(sqsEndpoint, "events-dead"), RetryDeadURL: sqstest.URL(sqsEndpoint, "retry-dead"),
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
	if err := sqstest.CreateQueues(t.Context(), queues, 6*handlerTime, gateway.MaxReceives, "events", "retry"); err != nil {
		t.Fatal(err)
	}
	b.store, b.queue = &sparing{Store: open.Store}, open.Queue
	return b
}

// split sends requests to SQS, or elsewhere.
type split struct{ sqs, other http.RoundTripper }

func (s split) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Host == "sqs.example" {
		return s.sqs.RoundTrip(r)
	}
	return s.other.RoundTrip(r)
}

// serve hands the messages of a queue to h, in batches as Lambda does.
func (b *onAWS) serve(ctx context.Context, q gateway.QueueName, h gateway.Handler) {
	m := &sqstest.Mapping{
		SQS: sqstest.Connect(sqsEndpoint, b.client), QueueURL: sqstest.URL(sqsEndpoint, string(q)), Batch: 5, Timeout: handlerTime, Function: cloud.SQS(h),
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for b.server.Await(ctx, string(q)) {
				m.Once(ctx, 0)
			}
		})
	}
	wg.Wait()
}

// sparing is a Store that does not ask for what falls due in a shard where, by
// all that was put, nothing does: in days of virtual time most ticks find
// nothing, and each would ask all shards of both tables.
type sparing struct {
	gateway.Store
	mu    sync.Mutex
	puts  int
	noted map[int][]noted // by shard
}

// A noted is a row that was put, or is about to be, with a due time.
type noted struct {
	key gateway.Key
	due time.Time
	n   int // of the put
}

// Put notes r before, since it may be done though the answer is lost, and after,
// since what was noted before may have been dropped meanwhile.
func (s *sparing) Put(ctx context.Context, r gateway.Row, was string) error {
	s.note(r)
	defer s.note(r)
	return s.Store.Put(ctx, r, was)
}

func (s *sparing) note(r gateway.Row) {
	if r.Due.IsZero() {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.noted == nil {
		s.noted = map[int][]noted{}
	}
	s.puts++
	shard := r.DueShard()
	s.noted[shard] = append(s.noted[shard], noted{r.Key, r.Due, s.puts})
}

func (s *sparing) Due(ctx context.Context, shard int, until time.Time, after string, limit int) ([]gateway.DueRow, string, error) {
	s.mu.Lock()
	puts, any := s.puts, after != ""
	for _, n := range s.noted[shard] {
		any = any || !n.due.After(until)
	}
	s.mu.Unlock()
	if !any {
		return nil, "", nil
	}
	rows, next, err := s.Store.Due(ctx, shard, until, after, limit)
	if err == nil && after == "" && next == "" {
		s.drop(shard, until, puts, rows)
	}
	return rows, next, err
}

// drop forgets what was noted as due until a time, by the first so many puts,
// and is not among rows, which are all that is.
func (s *sparing) drop(shard int, until time.Time, puts int, rows []gateway.DueRow) {
	due := map[gateway.Key]bool{}
	for _, r := range rows {
		due[r.Key] = true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var kept []noted
	for _, n := range s.noted[shard] {
		if n.due.After(until) || n.n > puts || due[n.key] {
			kept = append(kept, n)
		}
	}
	s.noted[shard] = kept
}
