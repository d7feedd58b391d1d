package cloud

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/url"
	"time"

	"ringback/shared/config"
)

// reachLimit keeps a function that cannot work from running into Lambda's own
// limit, which would name no cause.
const reachLimit = 1500 * time.Millisecond

// A dialer is net.Dialer.DialContext.
type dialer func(ctx context.Context, network, address string) (net.Conn, error)

// reach returns nil if somebody listens on each overridden endpoint, else an
// error that names the variable.
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
