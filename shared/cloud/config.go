package cloud

import (
	"cmp"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// Config tells where the backend lies. LoadConfig reads it.
type Config struct {
	RegistrationsTable string // REGISTRATIONS_TABLE
	DeliveriesTable    string // DELIVERIES_TABLE
	EventsQueueURL     string // EVENTS_QUEUE_URL
	RetryQueueURL      string // RETRY_QUEUE_URL
	EventsDeadURL      string // EVENTS_DEAD_URL: dead letters of the events queue; default: none, Depth shows 0 and Redrive is refused
	RetryDeadURL       string // RETRY_DEAD_URL: likewise, of the retry queue
	Service            string // SERVICE: dimension of the metrics; default "ringback"

	Region      string          // AWS_REGION
	Credentials aws.Credentials // AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, as Lambda sets them
	Endpoints   Endpoints

	// HTTPClient makes the requests to AWS; default: one with time limits and a
	// pool of its own, which ignores AWS_CA_BUNDLE.
	HTTPClient aws.HTTPClient
}

// LoadConfig reads a Config from the environment that getenv gives. The error
// names every variable that is missing. Credentials come from the variables that
// Lambda sets; profiles and single sign-on are not read, since the code for them
// is a fifth of a function's binary. Elsewhere
// `aws configure export-credentials --format env` turns them into variables.
func LoadConfig(getenv func(string) string) (Config, error) {
	c := Config{
		RegistrationsTable: getenv("REGISTRATIONS_TABLE"),
		DeliveriesTable:    getenv("DELIVERIES_TABLE"),
		EventsQueueURL:     getenv("EVENTS_QUEUE_URL"),
		RetryQueueURL:      getenv("RETRY_QUEUE_URL"),
		EventsDeadURL:      getenv("EVENTS_DEAD_URL"),
		RetryDeadURL:       getenv("RETRY_DEAD_URL"),
		Service:            cmp.Or(getenv("SERVICE"), "ringback"),
		Region:             getenv("AWS_REGION"),
		Credentials: aws.Credentials{
			AccessKeyID:     getenv("AWS_ACCESS_KEY_ID"),
			SecretAccessKey: getenv("AWS_SECRET_ACCESS_KEY"),
			SessionToken:    getenv("AWS_SESSION_TOKEN"),
			Source:          "environment",
		},
		Endpoints: Endpoints{
			DynamoDB: cmp.Or(getenv("AWS_ENDPOINT_URL_DYNAMODB"), getenv("AWS_ENDPOINT_URL")),
			SQS:      cmp.Or(getenv("AWS_ENDPOINT_URL_SQS"), getenv("AWS_ENDPOINT_URL")),
			Secrets:  cmp.Or(getenv("AWS_ENDPOINT_URL_SECRETS_MANAGER"), getenv("AWS_ENDPOINT_URL")),
		},
	}
	return c, c.check()
}

// check returns one error for all that is missing.
func (c Config) check() error {
	var errs []error
	for _, field := range []struct{ variable, value string }{
		{"REGISTRATIONS_TABLE", c.RegistrationsTable},
		{"DELIVERIES_TABLE", c.DeliveriesTable},
		{"EVENTS_QUEUE_URL", c.EventsQueueURL},
		{"RETRY_QUEUE_URL", c.RetryQueueURL},
		{"AWS_REGION", c.Region},
		{"AWS_ACCESS_KEY_ID", c.Credentials.AccessKeyID},
		{"AWS_SECRET_ACCESS_KEY", c.Credentials.SecretAccessKey},
	} {
		if field.value == "" {
			errs = append(errs, fmt.Errorf("config: %s is not set", field.variable))
		}
	}
	return errors.Join(errs...)
}
