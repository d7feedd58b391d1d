// Package cloud is the backend on AWS: storage.Store on DynamoDB, storage.Queue on SQS, keys from Secrets Manager, and
// the adapters between Lambda's events and the gateway. It is the only package that imports AWS's libraries.
//
// Both tables have the string keys pk and sk and hold one item a row:
//
//	attribute  type  what
//	pk, sk     S     Key.PK, Key.SK
//	rev        S     Row.Rev
//	f          N     format of the item, 1
//	d          S     Row.Data; B if it is not UTF-8
//	b          B     Row.Body
//	z          B     d and b compressed together, in their place where that saves a write unit
//	x          N     Row.Expires, Unix seconds; the table's TTL attribute
//	ds, du     N     Key.DueShard; Row.Due, Unix milliseconds
//	op         S     pk, if Row.Open
//
// and two sparse indexes that project keys alone:
//
//	index  partition  sort  read by
//	due    ds         du    Due
//	open   op         sk    List with Query.Open
//
// For example, a pending delivery due at noon has du = noon and stands in the index due; a finished one has no du and
// stands in no index. CreateTables makes tables and indexes. The package filters expired rows out of what it returns,
// since DynamoDB's TTL may delete them days late.
package cloud

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"time"

	"ringback/shared/config"
	"ringback/shared/storage"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
)

// Names of the indexes of both tables.
const (
	dueIndex  = "due"
	openIndex = "open"
)

// Limits of one request to AWS. A connection may have died while Lambda had the process frozen; then no response
// comes, and no error either. headerLimit, counted from the written request, ends such a try early enough for a second
// one within the 1.5 s that an ack may take.
const (
	tries         = 3
	dialLimit     = 500 * time.Millisecond
	headerLimit   = time.Second
	exchangeLimit = 5 * time.Second // covers a response of up to 16 MB
	idleLimit     = 30 * time.Second
	idleConns     = 64
)

// A Backend is AWS as a function uses it: tables, queues, metrics and secrets.
type Backend struct {
	Store   *Store
	Queue   *Queue
	Metrics *Metrics

	aws     aws.Config
	secrets string // endpoint of Secrets Manager; empty: AWS
}

// Open makes the backend that cfg names. It calls AWS only where cfg overrides an endpoint, for example with an
// emulator or a VPC endpoint: it then checks within 1.5 s that a server listens there. Otherwise it makes no round
// trip, so that a function starts fast, and a missing AWS shows at the first call, after three tries of 1 s each.
// The error names every variable that is missing.
func Open(ctx context.Context, cfg config.Config) (*Backend, error) {
	if err := missing(cfg.AWS); err != nil {
		return nil, err
	}
	if err := reach(ctx, cfg.AWS.Endpoints, new(net.Dialer).DialContext); err != nil {
		return nil, err
	}
	return open(cfg.AWS, newHTTPClient()), nil
}

// OpenOver is Open with the caller's HTTP client and without the check that endpoints listen. The client that Open
// makes itself has time limits and a connection pool, and ignores AWS_CA_BUNDLE.
func OpenOver(cfg config.Config, client aws.HTTPClient) (*Backend, error) {
	if err := missing(cfg.AWS); err != nil {
		return nil, err
	}
	return open(cfg.AWS, client), nil
}

func open(cfg config.AWS, client aws.HTTPClient) *Backend {
	b := &Backend{Metrics: &Metrics{Service: cfg.Service}, aws: awsConfig(cfg, client), secrets: cfg.Endpoints.Secrets}
	b.Store = &Store{
		db:     dynamodb.NewFromConfig(b.aws, func(o *dynamodb.Options) { o.BaseEndpoint = optional(cfg.Endpoints.DynamoDB) }),
		packer: &packer{},
		tables: map[storage.Table]string{storage.Registrations: cfg.RegistrationsTable, storage.Deliveries: cfg.DeliveriesTable},
	}
	b.Queue = &Queue{
		sqs: sqs.NewFromConfig(b.aws, func(o *sqs.Options) { o.BaseEndpoint = optional(cfg.Endpoints.SQS) }),
		urls: map[storage.QueueName]queueURLs{
			storage.EventsQueue: {queue: cfg.EventsQueueURL, dead: cfg.EventsDeadURL},
			storage.RetryQueue:  {queue: cfg.RetryQueueURL, dead: cfg.RetryDeadURL},
			storage.SlowQueue:   {queue: cfg.SlowQueueURL, dead: cfg.SlowDeadURL},
		},
	}
	return b
}

// Close closes idle connections. The Backend stays usable: its next request opens a new connection.
func (b *Backend) Close() {
	if c, ok := b.aws.HTTPClient.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

func awsConfig(cfg config.AWS, client aws.HTTPClient) aws.Config {
	role := aws.Credentials{
		AccessKeyID: cfg.AccessKeyID, SecretAccessKey: cfg.SecretAccessKey, SessionToken: cfg.SessionToken, Source: "environment",
	}
	return aws.Config{
		Region:      cfg.Region,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) { return role, nil }),
		HTTPClient:  client,
		Retryer:     func() aws.Retryer { return newRetryer() },
	}
}

func newRetryer() aws.Retryer {
	return retry.NewStandard(func(o *retry.StandardOptions) {
		o.MaxAttempts = tries
		o.Backoff = retry.BackoffDelayerFunc(func(n int, _ error) (time.Duration, error) {
			return backoff(max(n, 1)), nil
		})
	})
}

func newHTTPClient() *http.Client {
	dialer := &net.Dialer{Timeout: dialLimit, KeepAlive: idleLimit}
	return &http.Client{
		Timeout: exchangeLimit,
		Transport: &http.Transport{
			Proxy:                 http.ProxyFromEnvironment,
			DialContext:           dialer.DialContext,
			TLSClientConfig:       &tls.Config{MinVersion: tls.VersionTLS12, ClientSessionCache: tls.NewLRUClientSessionCache(8)},
			TLSHandshakeTimeout:   dialLimit,
			ResponseHeaderTimeout: headerLimit,
			IdleConnTimeout:       idleLimit,
			MaxIdleConns:          idleConns,
			MaxIdleConnsPerHost:   idleConns,
		},
	}
}

func optional(s string) *string {
	if s == "" {
		return nil
	}
	return aws.String(s)
}
