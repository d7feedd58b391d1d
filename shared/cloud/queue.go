package cloud

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"ringback/shared/storage"
)

// A Queue implements storage.Queue on SQS. Open makes one. It receives no messages: Lambda does, and calls the handler
// that the function SQS adapts.
type Queue struct {
	sqs  *sqs.Client
	urls map[storage.QueueName]queueURLs
}

type queueURLs struct {
	queue string
	dead  string // empty in functions that neither count nor redrive dead letters
}

// Send makes one request, which SQS bills once per 64 KiB.
func (q *Queue) Send(ctx context.Context, name storage.QueueName, ms []storage.Message) []error {
	errs := storage.CheckSend(name, ms)
	var entries []types.SendMessageBatchRequestEntry
	for i, m := range ms {
		if errs[i] == nil {
			entries = append(entries, types.SendMessageBatchRequestEntry{
				Id:             aws.String(strconv.Itoa(i)), // index in ms
				MessageBody:    aws.String(m.Body),
				MessageGroupId: optional(m.Group),
				DelaySeconds:   int32(m.DelaySeconds()),
			})
		}
	}
	if len(entries) == 0 {
		return errs
	}
	out, err := q.sqs.SendMessageBatch(ctx, &sqs.SendMessageBatchInput{
		QueueUrl: aws.String(q.urls[name].queue),
		Entries:  entries,
	})
	for _, e := range entries {
		errs[indexOf(e.Id)] = fmt.Errorf("send to the %s queue: %w", name, cmp.Or(err, errNotNamed))
	}
	if err != nil {
		return errs
	}
	for _, sent := range out.Successful {
		errs[indexOf(sent.Id)] = nil
	}
	for _, e := range out.Failed {
		errs[indexOf(e.Id)] = fmt.Errorf("send to the %s queue: failed with %s", name, aws.ToString(e.Code))
	}
	return errs
}

// errNotNamed is the error of a message that the response to a batch names neither as sent nor as failed.
var errNotNamed = errors.New("the response does not name the message")

func indexOf(id *string) int {
	i, _ := strconv.Atoi(aws.ToString(id))
	return i
}

// Depth makes one request, and a second one for the dead letters if their queue is configured.
func (q *Queue) Depth(ctx context.Context, name storage.QueueName) (storage.Depth, error) {
	if err := name.Check(); err != nil {
		return storage.Depth{}, err
	}
	queue := q.urls[name]
	d, err := q.counts(ctx, queue.queue)
	if err != nil {
		return storage.Depth{}, fmt.Errorf("depth of the %s queue: %w", name, err)
	}
	if queue.dead == "" {
		return d, nil
	}
	dead, err := q.counts(ctx, queue.dead)
	if err != nil {
		return storage.Depth{}, fmt.Errorf("depth of the %s dead-letter queue: %w", name, err)
	}
	d.Dead = dead.Waiting + dead.InFlight + dead.Delayed
	return d, nil
}

// counts returns how many messages one queue holds. Dead stays 0.
func (q *Queue) counts(ctx context.Context, url string) (storage.Depth, error) {
	names := []types.QueueAttributeName{
		types.QueueAttributeNameApproximateNumberOfMessages,
		types.QueueAttributeNameApproximateNumberOfMessagesNotVisible,
		types.QueueAttributeNameApproximateNumberOfMessagesDelayed,
	}
	var d storage.Depth
	out, err := q.sqs.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{QueueUrl: aws.String(url), AttributeNames: names})
	if err != nil {
		return d, err
	}
	for i, n := range [...]*int{&d.Waiting, &d.InFlight, &d.Delayed} {
		*n, _ = strconv.Atoi(out.Attributes[string(names[i])])
	}
	return d, nil
}

// Redrive starts a message move task, or does nothing while one runs. The error wraps storage.ErrInvalid if the
// dead-letter queue is not configured.
func (q *Queue) Redrive(ctx context.Context, name storage.QueueName) error {
	if err := name.Check(); err != nil {
		return err
	}
	queue := q.urls[name]
	if queue.dead == "" {
		return fmt.Errorf("%w: redrive of the %s queue: its dead-letter queue is not configured", storage.ErrInvalid, name)
	}
	from, err := q.arn(ctx, queue.dead)
	if err != nil {
		return fmt.Errorf("redrive the %s queue: %w", name, err)
	}
	to, err := q.arn(ctx, queue.queue)
	if err != nil {
		return fmt.Errorf("redrive the %s queue: %w", name, err)
	}
	_, err = q.sqs.StartMessageMoveTask(ctx, &sqs.StartMessageMoveTaskInput{
		SourceArn: aws.String(from), DestinationArn: aws.String(to),
	})
	if err != nil && !q.moving(ctx, from) {
		return fmt.Errorf("redrive the %s queue: %w", name, err)
	}
	return nil
}

func (q *Queue) arn(ctx context.Context, url string) (string, error) {
	out, err := q.sqs.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{
		QueueUrl:       aws.String(url),
		AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameQueueArn},
	})
	if err != nil {
		return "", err
	}
	return out.Attributes[string(types.QueueAttributeNameQueueArn)], nil
}

// moving reports whether a message move task of the dead-letter queue runs. SQS allows one at a time.
func (q *Queue) moving(ctx context.Context, dead string) bool {
	out, err := q.sqs.ListMessageMoveTasks(ctx, &sqs.ListMessageMoveTasksInput{SourceArn: aws.String(dead)})
	return err == nil && slices.ContainsFunc(out.Results, func(t types.ListMessageMoveTasksResultEntry) bool { return aws.ToString(t.Status) == "RUNNING" })
}
