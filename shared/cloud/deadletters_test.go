package cloud_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path"
	"strings"
	"testing"

	"ringback/shared/cloud"
	"ringback/shared/cloud/sqstest"
	"ringback/shared/storage"

	"github.com/google/go-cmp/cmp"
)

// attributesOf is an SQS that tells each queue's attributes, by its name, or
// refuses with InvalidAddress, and starts whatever is asked for.
type attributesOf map[string]string

func (of attributesOf) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var in struct{ QueueUrl string }
	json.NewDecoder(r.Body).Decode(&in)
	attributes := of[path.Base(in.QueueUrl)]
	if in.QueueUrl != "" && attributes == "" {
		w.WriteHeader(http.StatusBadRequest)
		io.WriteString(w, `{"__type":"com.amazonaws.sqs#InvalidAddress"}`)
		return
	}
	fmt.Fprintf(w, `{"Attributes":{%s}}`, attributes)
}

func (of attributesOf) open(t *testing.T) *cloud.Queue {
	t.Helper()
	b, err := cloud.OpenOver(testConfig(cloud.Endpoints{SQS: sqsEndpoint}), sqstest.Client(of))
	if err != nil {
		t.Fatal(err)
	}
	return b.Queue
}

func TestDepthIsWhatTheAttributesSay(t *testing.T) {
	const waiting, inFlight, delayed = `"ApproximateNumberOfMessages":"%d"`, `"ApproximateNumberOfMessagesNotVisible":"%d"`, `"ApproximateNumberOfMessagesDelayed":"%d"`
	for _, tt := range []struct {
		queue, dead string
		want        storage.Depth
	}{
		{fmt.Sprintf(waiting+","+inFlight+","+delayed, 1, 20, 300), fmt.Sprintf(waiting+","+inFlight+","+delayed, 4, 50, 600), storage.Depth{Waiting: 1, InFlight: 20, Delayed: 300, Dead: 654}},
		{`"Another":"1"`, fmt.Sprintf(inFlight, 5), storage.Depth{Dead: 5}},
		{fmt.Sprintf(delayed, 5), `"ApproximateNumberOfMessages":"many"`, storage.Depth{Delayed: 5}},
	} {
		got, err := attributesOf{"events": tt.queue, "events-dead": tt.dead}.open(t).Depth(t.Context(), storage.EventsQueue)
		if diff := cmp.Diff(tt.want, got); diff != "" || err != nil {
			t.Errorf("Depth of %s and %s: %v (-want +got):\n%s", tt.queue, tt.dead, err, diff)
		}
	}
}

func TestRedriveTellsWhichQueueFails(t *testing.T) {
	const arn = `"QueueArn":"arn:1"`
	for _, tt := range []struct {
		of    attributesOf
		works bool
	}{
		{attributesOf{"events": arn, "events-dead": arn}, true},
		{attributesOf{"events": arn}, false},
		{attributesOf{"events-dead": arn}, false},
	} {
		err := tt.of.open(t).Redrive(t.Context(), storage.EventsQueue)
		if tt.works != (err == nil) || err != nil && !strings.Contains(err.Error(), "InvalidAddress") {
			t.Errorf("Redrive where %v exist: %v, want that it works: %v, else the code of the queue that does not", tt.of, err, tt.works)
		}
	}
}

func TestQueueThatIsNoneOfOursIsNotAskedFor(t *testing.T) {
	q := attributesOf{}.open(t)
	_, depthErr := q.Depth(t.Context(), "letters")
	for what, err := range map[string]error{
		"Depth": depthErr, "Redrive": q.Redrive(t.Context(), "letters"), "Send": q.Send(t.Context(), "letters", []storage.Message{{Body: "a"}})[0],
	} {
		if !errors.Is(err, storage.ErrInvalid) || !strings.Contains(err.Error(), `"letters"`) || strings.Contains(err.Error(), "dead-letter") {
			t.Errorf("%s of a queue named letters: %v, want ErrInvalid with its name", what, err)
		}
	}
}
