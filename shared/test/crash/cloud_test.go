package crash

import (
	"context"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"ringback/shared/cloud"
	"ringback/shared/cloud/dynamotest"
	"ringback/shared/cloud/sqstest"
	"ringback/shared/config"
	"ringback/shared/storage"
	"ringback/shared/test/proofs"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
)

// onAWS is the backend on AWS: DynamoDB at an endpoint, SQS and Lambda's event
// source mappings within the bubble, where time is virtual for them too.
type onAWS struct {
	client  *http.Client
	backend *cloud.Backend
}

const sqsEndpoint = "http://sqs.example"

// visibility is that of the queues that template.yaml makes.
const visibility = 6 * handlerTime

func newOnAWS(t *testing.T, dynamoDB string) *onAWS {
	t.Helper()
	b := &onAWS{client: &http.Client{Transport: &split{
		sqs: sqstest.Client(&sqstest.Server{}).Transport,
		// A kept connection would wait for the network, and time in a bubble with it.
		other: &http.Transport{DisableKeepAlives: true},
	}}}
	var err error
	if b.backend, err = cloud.OpenOver(config.Config{AWS: config.AWS{
		RegistrationsTable: "r-" + storage.NewRev(), DeliveriesTable: "d-" + storage.NewRev(),
		EventsQueueURL: sqstest.URL(sqsEndpoint, "events"), RetryQueueURL: sqstest.URL(sqsEndpoint, "retry"), SlowQueueURL: sqstest.URL(sqsEndpoint, "slow"),
		EventsDeadURL: sqstest.URL(sqsEndpoint, "events-dead"), RetryDeadURL: sqstest.URL(sqsEndpoint, "retry-dead"), SlowDeadURL: sqstest.URL(sqsEndpoint, "slow-dead"),
		Region: "us-east-1", AccessKeyID: "test", SecretAccessKey: "test",
		Endpoints: config.Endpoints{DynamoDB: dynamoDB, SQS: sqsEndpoint},
	}}, b.client); err != nil {
		t.Fatal(err)
	}
	if err := b.backend.Store.CreateTables(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := sqstest.CreateQueues(t.Context(), b.sqs(), visibility, storage.MaxReceives, "events", "retry", "slow"); err != nil {
		t.Fatal(err)
	}
	return b
}

// split sends requests to SQS, or elsewhere.
type split struct{ sqs, other http.RoundTripper }

func (s *split) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Host == "sqs.example" {
		return s.sqs.RoundTrip(r)
	}
	return s.other.RoundTrip(r)
}

func (b *onAWS) sqs() *sqs.Client { return sqstest.Connect(sqsEndpoint, b.client) }

func (b *onAWS) alone() bool { return false }

func (b *onAWS) begin(*testing.T) (storage.Store, storage.Queue) {
	return b.backend.Store, b.backend.Queue
}

func (b *onAWS) end(*testing.T) {}

func (b *onAWS) serve(ctx context.Context, q storage.QueueName, h storage.Handler) {
	m := &sqstest.Mapping{
		SQS: b.sqs(), QueueURL: sqstest.URL(sqsEndpoint, string(q)), Concurrency: 4, Timeout: handlerTime, Function: cloud.SQS(h),
	}
	m.Run(ctx)
}

// onAWSRunner plays a scenario on the cloud backend in virtual time.
func onAWSRunner(dynamoDB string) runner {
	return func(t *testing.T, sc scenario, ends ...point) *outside {
		t.Helper()
		now := time.Now()
		out := &outside{Ends: ends}
		synctest.Test(t, func(t *testing.T) {
			time.Sleep(time.Until(now)) // rows of the year 2000 would have expired in DynamoDB
			out.Begin = time.Now()
			w := &world{t: t, out: out, on: newOnAWS(t, dynamoDB)}
			w.play(sc)
		})
		return out
	}
}

func TestFunctionThatEndsOnAWSLosesNothing(t *testing.T) {
	if !proofs.Full() {
		t.Skip("ends functions on DynamoDB, for RINGBACK_PROOFS=full")
	}
	r := onAWSRunner(dynamotest.Endpoint(t))
	playAll(t, r, each(t, r, deliveries, failures, lane, groupOfApps))
}
