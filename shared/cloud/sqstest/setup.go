package sqstest

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
)

// Connect returns a client of the SQS at endpoint that sends its requests through c, whose time limit must be more than
// the 20 s of a long poll.
func Connect(endpoint string, c *http.Client) *sqs.Client {
	return sqs.New(sqs.Options{
		Region:       region,
		BaseEndpoint: aws.String(endpoint),
		HTTPClient:   c,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "test", SecretAccessKey: "test"}, nil
		}),
	})
}

// CreateQueues makes each queue of names, and for each a dead-letter queue with "-dead" after the name, which gets the
// messages that were received maxReceives times.
func CreateQueues(ctx context.Context, c *sqs.Client, visibility time.Duration, maxReceives int, names ...string) error {
	for _, name := range names {
		dead := name + "-dead"
		if _, err := c.CreateQueue(ctx, &sqs.CreateQueueInput{QueueName: aws.String(dead)}); err != nil {
			return fmt.Errorf("create queue %s: %w", dead, err)
		}
		_, err := c.CreateQueue(ctx, &sqs.CreateQueueInput{
			QueueName: aws.String(name),
			Attributes: map[string]string{
				"VisibilityTimeout": strconv.Itoa(int(visibility / time.Second)),
				"RedrivePolicy":     fmt.Sprintf(`{"deadLetterTargetArn":%q,"maxReceiveCount":%d}`, ARN(dead), maxReceives),
			},
		})
		if err != nil {
			return fmt.Errorf("create queue %s: %w", name, err)
		}
	}
	return nil
}
