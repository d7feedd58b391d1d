package cloud

import (
	"errors"
	"fmt"

	"ringback/shared/config"
)

// Endpoints override where AWS is.
type Endpoints = config.Endpoints

// missing returns one error that names every variable without which nothing on
// AWS can be reached, nil if all are set.
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
