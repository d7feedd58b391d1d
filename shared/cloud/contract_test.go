package cloud_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"testing"
	"time"

	"ringback/shared/cloud"
	"ringback/shared/cloud/dynamotest"
	"ringback/shared/cloud/sqstest"
	"ringback/shared/config"
	"ringback/shared/storage"
	"ringback/shared/storage/storagetest"
	"ringback/shared/test/proofs"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

// TestStore runs on what AWS_ENDPOINT_URL_DYNAMODB names, if that is set, which
// may be a real account's: with the credentials of the environment, in tables
// with random names that are deleted at the end.
func TestStore(t *testing.T) {
	cfg := accountOf(t, testConfig(cloud.Endpoints{DynamoDB: dynamotest.Endpoint(t)}), "AWS_ENDPOINT_URL_DYNAMODB")
	b, err := cloud.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	t.Cleanup(func() { deleteTables(t, cfg.AWS) })
	if err := b.Store.CreateTables(t.Context()); err != nil {
		t.Fatalf("CreateTables: %v", err)
	}
	storagetest.Store(t, func(*testing.T) storage.Store { return b.Store })
}

// TestQueue runs on what AWS_ENDPOINT_URL_SQS names, if that is set, as
// TestStore does; by the clock on the wall only then and at full length.
func TestQueue(t *testing.T) {
	given := os.Getenv("AWS_ENDPOINT_URL_SQS")
	if !proofs.Full() && given == "" {
		storagetest.QueueInVirtualTime(t, func(t *testing.T) storagetest.ServedQueue {
			return openServedOver(t, sqsEndpoint, sqstest.Client(&sqstest.Server{}))
		})
		return
	}
	storagetest.Queue(t, func(t *testing.T) storagetest.ServedQueue {
		if given != "" {
			return openServed(t, given)
		}
		server := httptest.NewServer(&sqstest.Server{Late: 200 * time.Millisecond})
		t.Cleanup(server.Close)
		return openServed(t, server.URL)
	})
}

// accountOf returns cfg with the region and credentials of the environment if
// the endpoint comes from there.
func accountOf(t *testing.T, cfg config.Config, variable string) config.Config {
	t.Helper()
	for name, to := range map[string]*string{
		"AWS_REGION": &cfg.AWS.Region, "AWS_ACCESS_KEY_ID": &cfg.AWS.AccessKeyID,
		"AWS_SECRET_ACCESS_KEY": &cfg.AWS.SecretAccessKey, "AWS_SESSION_TOKEN": &cfg.AWS.SessionToken,
	} {
		if v := os.Getenv(name); v != "" && os.Getenv(variable) != "" {
			*to = v
		}
	}
	return cfg
}

func credentialsOf(c config.AWS) aws.CredentialsProvider {
	return aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{AccessKeyID: c.AccessKeyID, SecretAccessKey: c.SecretAccessKey, SessionToken: c.SessionToken}, nil
	})
}

func deleteTables(t *testing.T, c config.AWS) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	db := dynamodb.New(dynamodb.Options{
		Region: c.Region, Credentials: credentialsOf(c), BaseEndpoint: &c.Endpoints.DynamoDB, HTTPClient: client,
	})
	for _, name := range []string{c.RegistrationsTable, c.DeliveriesTable} {
		if _, err := db.DeleteTable(context.Background(), &dynamodb.DeleteTableInput{TableName: &name}); err != nil {
			t.Errorf("delete table %s: %v", name, err)
		}
	}
}

// TestQueueOnMoto asks a server that others wrote for a second opinion. It does
// not move dead letters, and its threads race, so only what one caller after
// the other does is compared.
func TestQueueOnMoto(t *testing.T) {
	q := openServed(t, startMoto(t))
	ms := []storage.Message{{Body: "plain"}, {Body: "é 漢 🙂 \t\r\n\uFFFD", Group: "tenant"}, {Body: "late", Delay: time.Second}}
	for i, err := range q.Send(t.Context(), storage.EventsQueue, ms) {
		if err != nil {
			t.Fatalf("Send: message %d: %v", i, err)
		}
	}
	d, err := q.Depth(t.Context(), storage.EventsQueue)
	if want := (storage.Depth{Waiting: 2, Delayed: 1}); err != nil || d != want {
		t.Errorf("Depth = %+v, %v; want %+v", d, err, want)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	left := map[string]bool{ms[0].Body: true, ms[1].Body: true, ms[2].Body: true}
	q.mapping(storage.EventsQueue, func(_ context.Context, got []storage.Received) ([]string, error) {
		for _, m := range got {
			delete(left, m.Body)
		}
		if len(left) == 0 {
			cancel()
		}
		return nil, nil
	}, 1).Run(ctx)
	if len(left) > 0 {
		t.Errorf("did not arrive: %v", left)
	}
}

// A served is a Queue with the mappings that Lambda would have. Its client waits
// longer for 1 MiB messages than the one for AWS does: the server is as slow as
// the race detector makes it.
type served struct {
	*cloud.Queue
	sqs  *sqs.Client
	urls map[storage.QueueName]string
}

// openServed makes queues with random names, which are deleted at the end.
func openServed(t *testing.T, endpoint string) served {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{}}
	t.Cleanup(client.CloseIdleConnections)
	return openServedOver(t, endpoint, client)
}

func openServedOver(t *testing.T, endpoint string, client *http.Client) served {
	t.Helper()
	cfg := accountOf(t, testConfig(cloud.Endpoints{SQS: endpoint}), "AWS_ENDPOINT_URL_SQS")
	s := served{
		sqs:  sqs.New(sqs.Options{Region: cfg.AWS.Region, Credentials: credentialsOf(cfg.AWS), BaseEndpoint: &endpoint, HTTPClient: client}),
		urls: map[storage.QueueName]string{},
	}
	random := storage.NewRev()
	cfg.AWS.EventsQueueURL, cfg.AWS.EventsDeadURL = s.makeQueue(t, storage.EventsQueue, random)
	cfg.AWS.RetryQueueURL, cfg.AWS.RetryDeadURL = s.makeQueue(t, storage.RetryQueue, random)
	cfg.AWS.SlowQueueURL, cfg.AWS.SlowDeadURL = s.makeQueue(t, storage.SlowQueue, random)
	b, err := cloud.OpenOver(cfg, client)
	if err != nil {
		t.Fatalf("OpenOver: %v", err)
	}
	s.Queue = b.Queue
	return s
}

// makeQueue makes a queue and its dead-letter queue and returns their URLs.
func (s served) makeQueue(t *testing.T, name storage.QueueName, random string) (url, dead string) {
	t.Helper()
	dead = s.createQueue(t, string(name)+"-"+random+"-dead", nil)
	got, err := s.sqs.GetQueueAttributes(t.Context(), &sqs.GetQueueAttributesInput{QueueUrl: &dead, AttributeNames: []types.QueueAttributeName{"QueueArn"}})
	if err != nil {
		t.Fatal(err)
	}
	s.urls[name] = s.createQueue(t, string(name)+"-"+random, map[string]string{
		"VisibilityTimeout": strconv.Itoa(int(storagetest.Visibility / time.Second)),
		"RedrivePolicy":     fmt.Sprintf(`{"deadLetterTargetArn":%q,"maxReceiveCount":%d}`, got.Attributes["QueueArn"], storage.MaxReceives),
	})
	return s.urls[name], dead
}

func (s served) createQueue(t *testing.T, name string, attributes map[string]string) string {
	t.Helper()
	out, err := s.sqs.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: &name, Attributes: attributes})
	if err != nil {
		t.Fatalf("create queue %s: %v", name, err)
	}
	t.Cleanup(func() {
		if _, err := s.sqs.DeleteQueue(context.Background(), &sqs.DeleteQueueInput{QueueUrl: out.QueueUrl}); err != nil {
			t.Errorf("delete queue %s: %v", name, err)
		}
	})
	return *out.QueueUrl
}

func (s served) Serve(ctx context.Context, q storage.QueueName, h storage.Handler) error {
	s.mapping(q, h, 4).Run(ctx)
	return nil
}

func (s served) mapping(q storage.QueueName, h storage.Handler, concurrency int) *sqstest.Mapping {
	return &sqstest.Mapping{SQS: s.sqs, QueueURL: s.urls[q], Concurrency: concurrency, Function: cloud.SQS(h)}
}
