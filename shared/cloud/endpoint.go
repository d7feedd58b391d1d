package cloud

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"time"

	"ringback/shared/config"
)

// Endpoints are URLs that requests to AWS go to in place of AWS's own, such as an emulator's.
type Endpoints = config.Endpoints

// missing returns one error that names each unset variable that the backend needs, or nil if all are set.
func missing(c config.AWS) error {
	var errs []error
	for _, field := range []struct{ variable, value string }{
		{"REGISTRATIONS_TABLE", c.RegistrationsTable},
		{"DELIVERIES_TABLE", c.DeliveriesTable},
		{"EVENTS_QUEUE_URL", c.EventsQueueURL},
		{"RETRY_QUEUE_URL", c.RetryQueueURL},
		{"SLOW_QUEUE_URL", c.SlowQueueURL},
		{"AWS_REGION", c.Region},
		{"AWS_ACCESS_KEY_ID", c.AccessKeyID},
		{"AWS_SECRET_ACCESS_KEY", c.SecretAccessKey},
	} {
		if field.value == "" {
			errs = append(errs, fmt.Errorf("config: %s is not set", field.variable))
		}
	}
	return errors.Join(errs...)
}

// reachLimit is short, since a function that runs into Lambda's own time limit logs no cause.
const reachLimit = 1500 * time.Millisecond

// A dialer is the function net.Dialer.DialContext or a test's.
type dialer func(ctx context.Context, network, address string) (net.Conn, error)

// reach returns nil if a server listens on each overridden endpoint, otherwise an error that names the variable.
func reach(ctx context.Context, e config.Endpoints, d dialer) error {
	ctx, cancel := context.WithTimeout(ctx, reachLimit)
	defer cancel()
	for _, endpoint := range []struct{ variable, url string }{
		{"AWS_ENDPOINT_URL_DYNAMODB", e.DynamoDB},
		{"AWS_ENDPOINT_URL_SQS", e.SQS},
		{"AWS_ENDPOINT_URL_SECRETS_MANAGER", e.Secrets},
	} {
		if endpoint.url == "" {
			continue
		}
		if err := d.try(ctx, endpoint.url); err != nil {
			return fmt.Errorf("reach %s=%q, or AWS_ENDPOINT_URL: %w", endpoint.variable, endpoint.url, err)
		}
	}
	return nil
}

func (d dialer) try(ctx context.Context, endpoint string) error {
	u, err := url.Parse(endpoint)
	if err != nil || u.Hostname() == "" {
		return fmt.Errorf("want a URL such as http://127.0.0.1:8000")
	}
	port := map[string]string{"http": "80", "https": "443"}[u.Scheme]
	c, err := d(ctx, "tcp", net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), port)))
	if err != nil {
		return err
	}
	return c.Close()
}
