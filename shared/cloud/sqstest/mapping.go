package sqstest

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

// A Mapping receives messages from a queue and calls a function with them, as Lambda's event source mapping with
// ReportBatchItemFailures does. It deletes the messages that the function does not name as failed. Failed ones can be
// received again when their visibility timeout ends; so can the whole batch after an error, or after a response that
// names an unknown message. The queue moves a message that was received too often to its dead-letter queue.
// "Using Lambda with Amazon SQS" in the AWS Lambda Developer Guide.
type Mapping struct {
	SQS         *sqs.Client
	QueueURL    string
	Batch       int           // most messages of an invocation; default 10. More than 10 take several receives
	Concurrency int           // invocations at a time; default 1
	Timeout     time.Duration // of one invocation; default 30 s
	Function    func(context.Context, events.SQSEvent) (events.SQSEventResponse, error)
	Failed      func(error) // called for each failed batch; may be nil
}

// Run receives until ctx ends and then waits for the running invocations, whose contexts do not end with ctx.
func (m *Mapping) Run(ctx context.Context) {
	var wg sync.WaitGroup
	for range max(m.Concurrency, 1) {
		wg.Go(func() {
			for ctx.Err() == nil {
				m.Once(ctx, maxWait*time.Second)
			}
		})
	}
	wg.Wait()
}

// Once waits for messages, calls the function with them and deletes those that did not fail. It returns how many it
// received.
func (m *Mapping) Once(ctx context.Context, wait time.Duration) int {
	ms := m.receive(ctx, wait)
	if len(ms) == 0 {
		return 0
	}
	again, err := m.invoke(context.WithoutCancel(ctx), ms)
	if err == nil {
		err = m.delete(context.WithoutCancel(ctx), ms, again)
	}
	if err != nil && m.Failed != nil {
		m.Failed(err)
	}
	return len(ms)
}

// receive returns a batch. It makes requests for ten messages until a response has fewer.
func (m *Mapping) receive(ctx context.Context, wait time.Duration) (ms []types.Message) {
	batch := cmp.Or(m.Batch, maxBatch)
	for last := false; !last && len(ms) < batch; wait = 0 {
		most := min(batch-len(ms), maxBatch)
		out, err := m.SQS.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
			QueueUrl:                    aws.String(m.QueueURL),
			MaxNumberOfMessages:         int32(most),
			WaitTimeSeconds:             int32(wait / time.Second),
			MessageSystemAttributeNames: []types.MessageSystemAttributeName{types.MessageSystemAttributeNameAll},
		})
		if err != nil {
			return ms
		}
		ms, last = append(ms, out.Messages...), len(out.Messages) < most
	}
	return ms
}

// invoke returns the ids of the messages that failed.
func (m *Mapping) invoke(ctx context.Context, ms []types.Message) (map[string]bool, error) {
	timeout := m.Timeout
	if timeout == 0 {
		timeout = 30 * time.Second
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	resp, err := m.Function(ctx, event(m.QueueURL, ms))
	if err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("function timed out: %w", err)
	}
	known := make(map[string]bool)
	for _, msg := range ms {
		known[aws.ToString(msg.MessageId)] = true
	}
	again := make(map[string]bool)
	for _, f := range resp.BatchItemFailures {
		if !known[f.ItemIdentifier] {
			return nil, fmt.Errorf("answer names message %q, which is not of the batch", f.ItemIdentifier)
		}
		again[f.ItemIdentifier] = true
	}
	return again, nil
}

func event(queueURL string, ms []types.Message) events.SQSEvent {
	var e events.SQSEvent
	name := queueURL[strings.LastIndexByte(queueURL, '/')+1:]
	for _, msg := range ms {
		e.Records = append(e.Records, events.SQSMessage{
			MessageId:      aws.ToString(msg.MessageId),
			ReceiptHandle:  aws.ToString(msg.ReceiptHandle),
			Body:           aws.ToString(msg.Body),
			Md5OfBody:      aws.ToString(msg.MD5OfBody),
			Attributes:     msg.Attributes,
			EventSource:    "aws:sqs",
			EventSourceARN: ARN(name),
			AWSRegion:      region,
		})
	}
	return e
}

func (m *Mapping) delete(ctx context.Context, ms []types.Message, again map[string]bool) error {
	var done []types.DeleteMessageBatchRequestEntry
	for i, msg := range ms {
		if !again[aws.ToString(msg.MessageId)] {
			done = append(done, types.DeleteMessageBatchRequestEntry{Id: aws.String(strconv.Itoa(i)), ReceiptHandle: msg.ReceiptHandle})
		}
	}
	for entries := range slices.Chunk(done, maxBatch) {
		_, err := m.SQS.DeleteMessageBatch(ctx, &sqs.DeleteMessageBatchInput{QueueUrl: aws.String(m.QueueURL), Entries: entries})
		if err != nil {
			return err
		}
	}
	return nil
}
