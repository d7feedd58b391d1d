package sqstest_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ringback/shared/cloud/sqstest"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/google/go-cmp/cmp"
)

const endpoint = "http://sqs.test"

func TestDelayedMessageArrivesWhenItsTimeHasCome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := connect(t, 30*time.Second)
		start := time.Now()
		send(t, c, types.SendMessageBatchRequestEntry{MessageBody: aws.String("late"), DelaySeconds: 600})
		for len(receive(t, c, 20)) == 0 {
		}
		if got := time.Since(start); got != 10*time.Minute {
			t.Errorf("message with a delay of 10 min arrived after %v", got)
		}
	})
}

func TestMessageThatIsNotDeletedComesAgainAndThenDies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := connect(t, 30*time.Second)
		send(t, c, types.SendMessageBatchRequestEntry{MessageBody: aws.String("poison")})
		var counts []string
		var times []time.Duration
		start := time.Now()
		for len(counts) < 5 {
			for _, m := range receive(t, c, 20) {
				counts = append(counts, m.Attributes["ApproximateReceiveCount"])
				times = append(times, time.Since(start))
			}
		}
		if diff := cmp.Diff([]string{"1", "2", "3", "4", "5"}, counts); diff != "" {
			t.Errorf("receive counts (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff([]time.Duration{0, 30e9, 60e9, 90e9, 120e9}, times); diff != "" {
			t.Errorf("receive times (-want +got):\n%s", diff)
		}
		time.Sleep(time.Minute) // virtual
		if got := receive(t, c, 0); len(got) != 0 {
			t.Errorf("sixth receive returned %d messages, want none", len(got))
		}
		if got := depth(t, c, "q-dead"); got != "1 0 0" {
			t.Errorf("dead-letter queue holds %s, want one message", got)
		}
	})
}

func TestMovedDeadLetterStartsAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := connect(t, time.Second)
		send(t, c, types.SendMessageBatchRequestEntry{MessageBody: aws.String("poison"), MessageGroupId: aws.String("tenant")})
		var id string
		for range 5 {
			id = *receive(t, c, 20)[0].MessageId
		}
		time.Sleep(time.Minute) // virtual
		receive(t, c, 0)
		in := &sqs.StartMessageMoveTaskInput{SourceArn: aws.String(sqstest.ARN("q-dead")), DestinationArn: aws.String(sqstest.ARN("q"))}
		if _, err := c.StartMessageMoveTask(t.Context(), in); err != nil {
			t.Fatalf("StartMessageMoveTask: %v", err)
		}
		m := receive(t, c, 20)[0]
		if *m.MessageId == id || m.Attributes["ApproximateReceiveCount"] != "1" || m.Attributes["MessageGroupId"] != "tenant" {
			t.Errorf("moved message is %s with %v, want another id than %s, count 1 and its group", *m.MessageId, m.Attributes, id)
		}
		tasks, err := c.ListMessageMoveTasks(t.Context(), &sqs.ListMessageMoveTasksInput{SourceArn: in.SourceArn})
		if err != nil || len(tasks.Results) != 1 || *tasks.Results[0].Status != "COMPLETED" {
			t.Errorf("ListMessageMoveTasks = %+v, %v; want one that is completed", tasks, err)
		}
	})
}

func TestEntriesAreRefusedOneByOne(t *testing.T) {
	c := connect(t, time.Second)
	out := send(t, c,
		types.SendMessageBatchRequestEntry{MessageBody: aws.String("good \t\n\r é 漢 🙂 \uE000 \uFFFD")},
		types.SendMessageBatchRequestEntry{MessageBody: aws.String("bad \x00")},
		types.SendMessageBatchRequestEntry{MessageBody: aws.String("bad \uFFFE")},
		types.SendMessageBatchRequestEntry{MessageBody: aws.String("x"), DelaySeconds: 901},
		types.SendMessageBatchRequestEntry{MessageBody: aws.String("x"), MessageGroupId: aws.String(strings.Repeat("g", 129))},
	)
	var codes []string
	for _, f := range out.Failed {
		codes = append(codes, *f.Id+" "+*f.Code)
	}
	want := []string{"1 InvalidMessageContents", "2 InvalidMessageContents", "3 InvalidParameterValue", "4 InvalidParameterValue"}
	if diff := cmp.Diff(want, codes); diff != "" || len(out.Successful) != 1 {
		t.Errorf("SendMessageBatch took %d, refused (-want +got):\n%s", len(out.Successful), diff)
	}
}

func TestBatchIsRefusedAsAWhole(t *testing.T) {
	c := connect(t, time.Second)
	eleven := make([]types.SendMessageBatchRequestEntry, 11)
	for i := range eleven {
		eleven[i] = types.SendMessageBatchRequestEntry{Id: aws.String(fmt.Sprint(i)), MessageBody: aws.String("x")}
	}
	half := strings.Repeat("x", 1<<19+1)
	for _, tt := range []struct {
		name    string
		entries []types.SendMessageBatchRequestEntry
		code    string
	}{
		{"eleven", eleven, "TooManyEntriesInBatchRequest"},
		{"none", []types.SendMessageBatchRequestEntry{}, "EmptyBatchRequest"},
		{"one id twice", []types.SendMessageBatchRequestEntry{eleven[1], eleven[1]}, "BatchEntryIdsNotDistinct"},
		{"over 1 MiB", []types.SendMessageBatchRequestEntry{
			{Id: aws.String("a"), MessageBody: &half}, {Id: aws.String("b"), MessageBody: &half},
		}, "BatchRequestTooLong"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := c.SendMessageBatch(t.Context(), &sqs.SendMessageBatchInput{QueueUrl: aws.String(sqstest.URL(endpoint, "q")), Entries: tt.entries})
			if err == nil || !strings.Contains(err.Error(), tt.code) {
				t.Errorf("SendMessageBatch: %v, want %s", err, tt.code)
			}
		})
	}
}

func TestUnknownRequestsAreRefused(t *testing.T) {
	server := &sqstest.Server{}
	for _, tt := range []struct{ target, body, want string }{
		{"AmazonSQS.PurgeQueue", "{}", "UnknownOperation"},
		{"AmazonSQS.CreateQueue", `{"QueueName":"q","tags":{"a":"b"}}`, "UnknownInput"},
		{"AmazonSQS.CreateQueue", `{"QueueName":"q.fifo"}`, "InvalidParameterValue"},
		{"AmazonSQS.CreateQueue", `{"QueueName":"q","Attributes":{"Policy":"{}"}}`, "InvalidAttributeName"},
		{"AmazonSQS.ReceiveMessage", `{"QueueUrl":"http://x/1/none"}`, "QueueDoesNotExist"},
	} {
		r, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, endpoint, strings.NewReader(tt.body))
		r.Header.Set("X-Amz-Target", tt.target)
		resp, err := sqstest.Client(server).Do(r)
		if err != nil {
			t.Fatalf("%s: %v", tt.target, err)
		}
		body, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != http.StatusBadRequest || !strings.Contains(string(body), tt.want) {
			t.Errorf("%s %s answered %d %s, want 400 and %s", tt.target, tt.body, resp.StatusCode, body, tt.want)
		}
	}
}

func TestMessageIsGivenBackByItsReceiver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := connect(t, time.Hour)
		send(t, c, types.SendMessageBatchRequestEntry{MessageBody: aws.String("a")})
		receipt := receive(t, c, 0)[0].ReceiptHandle
		change := func(seconds int32) error {
			_, err := c.ChangeMessageVisibility(t.Context(), &sqs.ChangeMessageVisibilityInput{
				QueueUrl: aws.String(sqstest.URL(endpoint, "q")), ReceiptHandle: receipt, VisibilityTimeout: seconds})
			return err
		}
		if err := change(0); err != nil {
			t.Fatalf("ChangeMessageVisibility: %v", err)
		}
		if n := len(receive(t, c, 0)); n != 1 {
			t.Errorf("a message given back was received %d times, want 1", n)
		}
		if err := change(0); err == nil || !strings.Contains(err.Error(), "MessageNotInflight") {
			t.Errorf("ChangeMessageVisibility with an old receipt: %v, want MessageNotInflight", err)
		}
	})
}

func TestMappingDeletesWhatTheFunctionFinished(t *testing.T) {
	for _, tt := range []struct {
		name  string
		reply func(events.SQSEvent) (events.SQSEventResponse, error)
		left  string // visible, in flight, delayed
	}{
		{"all", func(events.SQSEvent) (events.SQSEventResponse, error) { return events.SQSEventResponse{}, nil }, "0 0 0"},
		{"all but one", func(e events.SQSEvent) (events.SQSEventResponse, error) {
			return again(e.Records[1].MessageId), nil
		}, "0 1 0"},
		{"error", func(events.SQSEvent) (events.SQSEventResponse, error) {
			return events.SQSEventResponse{}, errors.New("down")
		}, "0 3 0"},
		{"empty identifier", func(events.SQSEvent) (events.SQSEventResponse, error) { return again(""), nil }, "0 3 0"},
		{"unknown identifier", func(events.SQSEvent) (events.SQSEventResponse, error) { return again("x"), nil }, "0 3 0"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := connect(t, time.Minute)
			send(t, c, types.SendMessageBatchRequestEntry{MessageBody: aws.String("a")},
				types.SendMessageBatchRequestEntry{MessageBody: aws.String("b")}, types.SendMessageBatchRequestEntry{MessageBody: aws.String("c")})
			m := sqstest.Mapping{SQS: c, QueueURL: sqstest.URL(endpoint, "q"),
				Function: func(_ context.Context, e events.SQSEvent) (events.SQSEventResponse, error) { return tt.reply(e) }}
			if got := m.Once(t.Context(), 0); got != 3 {
				t.Fatalf("Once took %d messages, want 3", got)
			}
			if got := depth(t, c, "q"); got != tt.left {
				t.Errorf("visible, in flight, delayed: %s, want %s", got, tt.left)
			}
		})
	}
}

func TestBatchOfMoreThanTenIsGathered(t *testing.T) {
	c := connect(t, time.Minute)
	for range 5 {
		var ten []types.SendMessageBatchRequestEntry
		for range 10 {
			ten = append(ten, types.SendMessageBatchRequestEntry{MessageBody: aws.String("a")})
		}
		send(t, c, ten...)
	}
	var batches []int
	m := sqstest.Mapping{SQS: c, QueueURL: sqstest.URL(endpoint, "q"), Batch: 27,
		Function: func(_ context.Context, e events.SQSEvent) (events.SQSEventResponse, error) {
			batches = append(batches, len(e.Records))
			return again(e.Records[len(e.Records)-1].MessageId), nil
		}}
	for range 3 {
		m.Once(t.Context(), 0)
	}
	if diff := cmp.Diff([]int{27, 23}, batches); diff != "" {
		t.Errorf("batches of 50 messages (-want +got):\n%s", diff)
	}
	if got, want := depth(t, c, "q"), "0 2 0"; got != want {
		t.Errorf("visible, in flight, delayed: %s, want %s", got, want)
	}
}

func TestFunctionThatTakesTooLongGetsItsBatchAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := connect(t, 180*time.Second)
		send(t, c, types.SendMessageBatchRequestEntry{MessageBody: aws.String("a")})
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Second)
		defer cancel()
		var calls []time.Duration
		start := time.Now()
		m := sqstest.Mapping{SQS: c, QueueURL: sqstest.URL(endpoint, "q"), Timeout: 30 * time.Second, Concurrency: 2,
			Function: func(ctx context.Context, _ events.SQSEvent) (events.SQSEventResponse, error) {
				calls = append(calls, time.Since(start))
				<-ctx.Done()
				return events.SQSEventResponse{}, nil
			}}
		m.Run(ctx)
		if diff := cmp.Diff([]time.Duration{0, 180e9}, calls); diff != "" {
			t.Errorf("calls of a function that hangs (-want +got):\n%s", diff)
		}
	})
}

func again(id string) events.SQSEventResponse {
	return events.SQSEventResponse{BatchItemFailures: []events.SQSBatchItemFailure{{ItemIdentifier: id}}}
}

// connect returns a client of a new server with the queue q.
func connect(t *testing.T, visibility time.Duration) *sqs.Client {
	t.Helper()
	c := sqstest.Connect(endpoint, sqstest.Client(&sqstest.Server{}))
	if err := sqstest.CreateQueues(t.Context(), c, visibility, 5, "q"); err != nil {
		t.Fatal(err)
	}
	return c
}

func send(t *testing.T, c *sqs.Client, entries ...types.SendMessageBatchRequestEntry) *sqs.SendMessageBatchOutput {
	t.Helper()
	for i := range entries {
		entries[i].Id = aws.String(fmt.Sprint(i))
	}
	out, err := c.SendMessageBatch(t.Context(), &sqs.SendMessageBatchInput{QueueUrl: aws.String(sqstest.URL(endpoint, "q")), Entries: entries})
	if err != nil {
		t.Fatalf("SendMessageBatch: %v", err)
	}
	return out
}

func receive(t *testing.T, c *sqs.Client, wait int32) []types.Message {
	t.Helper()
	out, err := c.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{
		QueueUrl: aws.String(sqstest.URL(endpoint, "q")), WaitTimeSeconds: wait, MaxNumberOfMessages: 10,
		MessageSystemAttributeNames: []types.MessageSystemAttributeName{"All"},
	})
	if err != nil {
		t.Fatalf("ReceiveMessage: %v", err)
	}
	return out.Messages
}

// depth returns how many messages of the queue are visible, in flight, delayed.
func depth(t *testing.T, c *sqs.Client, queue string) string {
	t.Helper()
	out, err := c.GetQueueAttributes(t.Context(), &sqs.GetQueueAttributesInput{
		QueueUrl: aws.String(sqstest.URL(endpoint, queue)), AttributeNames: []types.QueueAttributeName{"All"},
	})
	if err != nil {
		t.Fatalf("GetQueueAttributes: %v", err)
	}
	a := out.Attributes
	return a["ApproximateNumberOfMessages"] + " " + a["ApproximateNumberOfMessagesNotVisible"] + " " + a["ApproximateNumberOfMessagesDelayed"]
}

func TestAwaitEndsWhenAMessageCanBeReceived(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &sqstest.Server{}
		c := sqstest.Connect(endpoint, sqstest.Client(s))
		if err := sqstest.CreateQueues(t.Context(), c, 30*time.Second, 5, "q"); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		time.AfterFunc(time.Minute, func() {
			send(t, c, types.SendMessageBatchRequestEntry{MessageBody: aws.String("late"), DelaySeconds: 600})
		})
		for _, want := range []time.Duration{11 * time.Minute, 11*time.Minute + 30*time.Second} { // at once, and after its visibility
			if !s.Await(ctx, "q") || time.Since(start) != want {
				t.Errorf("awaited for %v, want %v", time.Since(start), want)
			}
			receive(t, c, 0)
		}
		if s.Await(ctx, "q-dead") || time.Since(start) != time.Hour {
			t.Errorf("awaited an empty queue for %v, want until the context's end", time.Since(start))
		}
		if s.Await(t.Context(), "none") {
			t.Error("awaited a queue that there is not, want false")
		}
	})
}
