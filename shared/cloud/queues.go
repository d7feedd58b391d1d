package cloud

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"ringback/shared/config"
	"ringback/shared/storage"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	smtypes "github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

// The queues' attributes, as template.yaml sets them.
const (
	queueRetention  = 14 * 24 * time.Hour
	queueVisibility = 200 * time.Second
	queueWait       = 20 * time.Second // of a receive
)

// CreateQueues makes the events, the retry and the slow queue with these names, and for each a dead-letter queue whose
// name ends in -dead, with the attributes that template.yaml sets. It returns c with their URLs. It does not change a
// queue that exists. If no server listens where c overrides an endpoint, the error names the variable within 2 s.
func CreateQueues(ctx context.Context, c config.AWS, events, retry, slow string) (config.AWS, error) {
	if err := reach(ctx, c.Endpoints, new(net.Dialer).DialContext); err != nil {
		return c, err
	}
	client := newHTTPClient()
	defer client.CloseIdleConnections()
	q := &Queue{sqs: sqs.NewFromConfig(awsConfig(c, client), func(o *sqs.Options) { o.BaseEndpoint = optional(c.Endpoints.SQS) })}
	var err error
	if c.EventsQueueURL, c.EventsDeadURL, err = q.createPair(ctx, events); err != nil {
		return c, err
	}
	if c.RetryQueueURL, c.RetryDeadURL, err = q.createPair(ctx, retry); err != nil {
		return c, err
	}
	c.SlowQueueURL, c.SlowDeadURL, err = q.createPair(ctx, slow)
	return c, err
}

// createPair makes a dead-letter queue and then its queue, and returns their URLs.
func (q *Queue) createPair(ctx context.Context, name string) (url, dead string, err error) {
	seconds := func(d time.Duration) string { return strconv.Itoa(int(d / time.Second)) }
	if dead, err = q.create(ctx, name+"-dead", map[string]string{"MessageRetentionPeriod": seconds(queueRetention)}); err != nil {
		return "", "", err
	}
	arn, err := q.arn(ctx, dead)
	if err != nil {
		return "", "", fmt.Errorf("find queue %s-dead: %w", name, err)
	}
	url, err = q.create(ctx, name, map[string]string{
		"MessageRetentionPeriod":        seconds(queueRetention),
		"VisibilityTimeout":             seconds(queueVisibility),
		"ReceiveMessageWaitTimeSeconds": seconds(queueWait),
		"RedrivePolicy":                 fmt.Sprintf(`{"deadLetterTargetArn":%q,"maxReceiveCount":%d}`, arn, storage.MaxReceives),
	})
	return url, dead, err
}

func (q *Queue) create(ctx context.Context, name string, attributes map[string]string) (url string, err error) {
	found, err := q.sqs.GetQueueUrl(ctx, &sqs.GetQueueUrlInput{QueueName: aws.String(name)})
	if err == nil {
		return aws.ToString(found.QueueUrl), nil
	}
	if _, absent := errors.AsType[*types.QueueDoesNotExist](err); !absent {
		return "", fmt.Errorf("find queue %s: %w", name, err)
	}
	made, err := q.sqs.CreateQueue(ctx, &sqs.CreateQueueInput{QueueName: aws.String(name), Attributes: attributes})
	if err != nil {
		return "", fmt.Errorf("create queue %s: %w", name, err)
	}
	return aws.ToString(made.QueueUrl), nil
}

// CreateSecret stores text as a secret with this name and returns its ARN and text. If there is one of this name, it
// changes nothing and returns that one's ARN and text. The error never holds a text.
func (b *Backend) CreateSecret(ctx context.Context, name, text string) (arn, stored string, err error) {
	client := b.secretsManager()
	made, err := client.CreateSecret(ctx, &secretsmanager.CreateSecretInput{Name: aws.String(name), SecretString: aws.String(text)})
	if err == nil {
		return aws.ToString(made.ARN), text, nil
	}
	if _, exists := errors.AsType[*smtypes.ResourceExistsException](err); !exists {
		return "", "", fmt.Errorf("create secret %s: %w", name, err)
	}
	found, err := client.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: aws.String(name)})
	if err != nil {
		return "", "", fmt.Errorf("read secret %s: %w", name, err)
	}
	return aws.ToString(found.ARN), aws.ToString(found.SecretString), nil
}
