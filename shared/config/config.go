// Package config reads a deployment's settings from environment variables and is the only place that names them. No
// variable holds a secret: those of AWS name the secret in Secrets Manager.
package config

import (
	"log/slog"
	"net/netip"
	"time"
)

// Config has all settings. The comment of a field ends with its unit and its default, which a test compares with the
// documentation.
type Config struct {
	// PublicURL is the address under which providers and tenants reach the gateway. Callback URLs begin with
	// it, and no endpoint may be below it. A URL; a final slash is cut off. Default: none.
	PublicURL string `env:"PUBLIC_URL"`

	// History is the retention of events, finished deliveries and attempts.
	// A duration of at least 216h (9 days). Default: 336h.
	History time.Duration `env:"HISTORY" envDefault:"336h"`

	// MaxConcurrency is the most POSTs that one process has in flight, not counting those of the slow queue.
	// A number. Default: 256.
	MaxConcurrency int `env:"MAX_CONCURRENCY" envDefault:"256"`

	// MaxBacklog is the number of messages in the retry or the slow queue above which
	// the retry function enqueues nothing more to it. A number. Default: 10000.
	MaxBacklog int `env:"MAX_BACKLOG" envDefault:"10000"`

	// FirstAttempt is how long a first attempt, or a retry of a fast endpoint, may take in a batch
	// before it goes to the slow queue; 0: no limit, for a process that does not handle messages in batches.
	// A duration of 0 or 100ms to 15s. Default: 0.
	FirstAttempt time.Duration `env:"FIRST_ATTEMPT" envDefault:"0"`

	// Paused makes the gateway send no request, neither to endpoints nor to providers, for example on a restored
	// backup; callbacks wait in the queue. true or false. Default: false.
	Paused bool `env:"PAUSED" envDefault:"false"`

	// FairQueues sends each message with its source as message group, so that SQS serves quiet
	// sources first; SQS bills it $0.10 more per million. true or false. Default: false.
	FairQueues bool `env:"FAIR_QUEUES" envDefault:"false"`

	// AllowEndpoints are private address ranges in which endpoints may be, such as 10.1.0.0/16.
	// CIDR prefixes, separated by commas. Default: none.
	AllowEndpoints []netip.Prefix `env:"ALLOW_ENDPOINTS"`

	// SmartBotsURL is where the gateway looks up groups and checks security codes, unless the source has a URL of its
	// own. A URL. Default: https://api.mysmartbots.com/api/simple.html.
	SmartBotsURL string `env:"SMARTBOTS_URL" envDefault:"https://api.mysmartbots.com/api/simple.html"`

	// LogLevel is the lowest level that is logged. DEBUG, INFO, WARN or ERROR. Default: INFO.
	LogLevel slog.Level `env:"LOG_LEVEL" envDefault:"INFO"`

	AWS AWS
}

// AWS has the settings of the backend on AWS. Load accepts it empty, since the embedded backend needs none of it;
// cloud.Open checks it.
type AWS struct {
	// RegistrationsTable is the table of all that does not expire. A table's name. Default: none, must be set.
	RegistrationsTable string `env:"REGISTRATIONS_TABLE"`

	// DeliveriesTable is the table whose rows expire. A table's name. Default: none, must be set.
	DeliveriesTable string `env:"DELIVERIES_TABLE"`

	// EventsQueueURL is the queue from ingest to the worker. A queue's URL. Default: none, must be set.
	EventsQueueURL string `env:"EVENTS_QUEUE_URL"`

	// RetryQueueURL is the queue of retries. A queue's URL. Default: none, must be set.
	RetryQueueURL string `env:"RETRY_QUEUE_URL"`

	// SlowQueueURL is the queue of deliveries to endpoints that are not known to be fast.
	// A queue's URL. Default: none, must be set.
	SlowQueueURL string `env:"SLOW_QUEUE_URL"`

	// EventsDeadURL is the dead-letter queue of the events queue. Without it the API counts no dead letters and a
	// redrive fails. A queue's URL. Default: none.
	EventsDeadURL string `env:"EVENTS_DEAD_URL"`

	// RetryDeadURL is the dead-letter queue of the retry queue. A queue's URL. Default: none.
	RetryDeadURL string `env:"RETRY_DEAD_URL"`

	// SlowDeadURL is the dead-letter queue of the slow queue. A queue's URL. Default: none.
	SlowDeadURL string `env:"SLOW_DEAD_URL"`

	// KeyRingSecret is the secret with the keys that encrypt secrets in rows. Only the ingest functions, the worker
	// and the API read it. A Secrets Manager secret's ARN. Default: none.
	KeyRingSecret string `env:"KEY_RING_SECRET"`

	// OperatorKeySecret is the secret with the operator's key. Only the API reads it.
	// A Secrets Manager secret's ARN. Default: none.
	OperatorKeySecret string `env:"OPERATOR_KEY_SECRET"`

	// Service is the value of the metrics' only dimension. A name. Default: ringback.
	Service string `env:"SERVICE" envDefault:"ringback"`

	// Region is where tables, queues and secrets are. A region's name. Default: none, set by Lambda.
	Region string `env:"AWS_REGION"`

	// AccessKeyID is the first part of the function's credentials. Profiles and single sign-on are not supported,
	// since the code for them is a fifth of a function's binary; outside of Lambda, `aws configure export-credentials
	// --format env` prints the variables. An access key's id. Default: none, set by Lambda.
	AccessKeyID string `env:"AWS_ACCESS_KEY_ID"`

	// SecretAccessKey is the second part of the credentials. A secret access key. Default: none, set by Lambda.
	SecretAccessKey string `env:"AWS_SECRET_ACCESS_KEY"`

	// SessionToken is the third part of the credentials; those of an IAM user have none.
	// A session token. Default: none, set by Lambda.
	SessionToken string `env:"AWS_SESSION_TOKEN"`

	Endpoints Endpoints
}

// Endpoints replace AWS's own endpoints where they are set, for example by an emulator's.
type Endpoints struct {
	// All is the endpoint of each service whose own variable is not set. A URL without path. Default: none.
	All string `env:"AWS_ENDPOINT_URL"`

	// DynamoDB is the endpoint of the tables. A URL without path. Default: AWS_ENDPOINT_URL.
	DynamoDB string `env:"AWS_ENDPOINT_URL_DYNAMODB"`

	// SQS is the endpoint of the queues. A URL without path. Default: AWS_ENDPOINT_URL.
	SQS string `env:"AWS_ENDPOINT_URL_SQS"`

	// Secrets is the endpoint of Secrets Manager. A URL without path. Default: AWS_ENDPOINT_URL.
	Secrets string `env:"AWS_ENDPOINT_URL_SECRETS_MANAGER"`
}
