// Package config reads what a deployment may set. It is the only place that says which environment
// variables there are; secrets are not among them, only where they lie.
package config

import (
	"log/slog"
	"net/netip"
	"time"
)

// Config is all that can be set. Each field names its unit and its default.
type Config struct {
	// PublicURL is the address under which providers and tenants reach the gateway. Callback URLs begin with
	// it, and it is refused as an endpoint. A URL; a final slash is cut off. Default: none.
	PublicURL string `env:"PUBLIC_URL"`

	// History is how long events, final deliveries and attempts are kept.
	// A duration of at least 216h (9 days). Default: 336h.
	History time.Duration `env:"HISTORY" envDefault:"336h"`

	// MaxConcurrency is how many POSTs one process has in flight, apart from those
	// of the slow queue. A number. Default: 256.
	MaxConcurrency int `env:"MAX_CONCURRENCY" envDefault:"256"`

	// MaxBacklog is the number of messages in the retry or the slow queue above which
	// the retry function enqueues nothing more to it. A number. Default: 10000.
	MaxBacklog int `env:"MAX_BACKLOG" envDefault:"10000"`

	// FirstAttempt is how long a first attempt, or a retry of a fast endpoint, may take in a batch
	// before it is left to the slow queue; 0: no bound, where a batch does not end with its slowest
	// attempt. A duration of 0 or 100ms to 15s. Default: 0.
	FirstAttempt time.Duration `env:"FIRST_ATTEMPT" envDefault:"0"`

	// Paused sends nothing, to endpoints as to providers, as for a copy or a restored
	// backup: what comes in waits. true or false. Default: false.
	Paused bool `env:"PAUSED" envDefault:"false"`

	// FairQueues sends each message with its source as message group, so that SQS serves quiet
	// sources first; SQS bills it $0.10 more per million. true or false. Default: false.
	FairQueues bool `env:"FAIR_QUEUES" envDefault:"false"`

	// AllowEndpoints are address ranges that are not public and may yet be
	// endpoints. CIDR prefixes, separated by commas. Default: none.
	AllowEndpoints []netip.Prefix `env:"ALLOW_ENDPOINTS"`

	// SmartBotsURL is where groups and codes are asked for, unless a source names
	// another place. A URL. Default: https://api.mysmartbots.com/api/simple.html.
	SmartBotsURL string `env:"SMARTBOTS_URL" envDefault:"https://api.mysmartbots.com/api/simple.html"`

	// LogLevel is the least level that is logged. DEBUG, INFO, WARN or ERROR. Default: INFO.
	LogLevel slog.Level `env:"LOG_LEVEL" envDefault:"INFO"`

	AWS AWS
}

// AWS tells where the backend on AWS lies. Load demands none of it, since
// another backend has no use for it; cloud.Open does.
type AWS struct {
	// RegistrationsTable is the table that is kept. A table's name. Default: none, must be set.
	RegistrationsTable string `env:"REGISTRATIONS_TABLE"`

	// DeliveriesTable is the table whose rows end by themselves. A table's name. Default: none, must be set.
	DeliveriesTable string `env:"DELIVERIES_TABLE"`

	// EventsQueueURL is the queue from ingest to the worker. A queue's URL. Default: none, must be set.
	EventsQueueURL string `env:"EVENTS_QUEUE_URL"`

	// RetryQueueURL is the queue of what is attempted again. A queue's URL. Default: none, must be set.
	RetryQueueURL string `env:"RETRY_QUEUE_URL"`

	// SlowQueueURL is the queue of what waits for endpoints that are not known to be
	// fast. A queue's URL. Default: none, must be set.
	SlowQueueURL string `env:"SLOW_QUEUE_URL"`

	// EventsDeadURL is the queue of dead letters of the events queue; without it none are counted
	// and a redrive is refused. A queue's URL. Default: none.
	EventsDeadURL string `env:"EVENTS_DEAD_URL"`

	// RetryDeadURL is the same of the retry queue. A queue's URL. Default: none.
	RetryDeadURL string `env:"RETRY_DEAD_URL"`

	// SlowDeadURL is the same of the slow queue. A queue's URL. Default: none.
	SlowDeadURL string `env:"SLOW_DEAD_URL"`

	// KeyRingSecret is where the keys lie that seal secrets in rows. Only ingest, the worker and
	// the API read it. A Secrets Manager secret's ARN. Default: none.
	KeyRingSecret string `env:"KEY_RING_SECRET"`

	// OperatorKeySecret is where the operator's key lies. Only the API reads it.
	// A Secrets Manager secret's ARN. Default: none.
	OperatorKeySecret string `env:"OPERATOR_KEY_SECRET"`

	// Service is the one dimension of the metrics. A name. Default: ringback.
	Service string `env:"SERVICE" envDefault:"ringback"`

	// Region is where tables, queues and secrets are. A region's name. Default: none, set by Lambda.
	Region string `env:"AWS_REGION"`

	// AccessKeyID is the first part of the function's credentials. Profiles and single sign-on are not read,
	// since the code for them is a fifth of a function's binary; elsewhere `aws configure export-credentials
	// --format env` makes variables of them. An access key's id. Default: none, set by Lambda.
	AccessKeyID string `env:"AWS_ACCESS_KEY_ID"`

	// SecretAccessKey is the second part. A secret access key. Default: none, set by Lambda.
	SecretAccessKey string `env:"AWS_SECRET_ACCESS_KEY"`

	// SessionToken is the third part, which a user's own credentials lack.
	// A session token. Default: none, set by Lambda.
	SessionToken string `env:"AWS_SESSION_TOKEN"`

	Endpoints Endpoints
}

// Endpoints override where AWS is, as for an emulator; empty ones do not.
type Endpoints struct {
	// All stands for each of the others that is not set. A URL without path. Default: none.
	All string `env:"AWS_ENDPOINT_URL"`

	// DynamoDB is where the tables are. A URL without path. Default: AWS_ENDPOINT_URL.
	DynamoDB string `env:"AWS_ENDPOINT_URL_DYNAMODB"`

	// SQS is where the queues are. A URL without path. Default: AWS_ENDPOINT_URL.
	SQS string `env:"AWS_ENDPOINT_URL_SQS"`

	// Secrets is where the secrets are. A URL without path. Default: AWS_ENDPOINT_URL.
	Secrets string `env:"AWS_ENDPOINT_URL_SECRETS_MANAGER"`
}
