package cloud_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ringback/shared/cloud"
	"ringback/shared/cloud/sqstest"
	"ringback/shared/config"
	"ringback/shared/storage"

	"github.com/google/go-cmp/cmp"
)

const sqsEndpoint = "http://sqs.test"

func TestDelayIsRoundedUpToSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, m := openQueue(t, &sqstest.Server{})
		var arrived []time.Duration
		start := time.Now()
		m.Function = cloud.SQS(func(context.Context, []storage.Received) ([]string, error) {
			arrived = append(arrived, time.Since(start))
			return nil, nil
		})
		sendAll(t, b, storage.Message{Body: "now"}, storage.Message{Body: "soon", Delay: 1001 * time.Millisecond},
			storage.Message{Body: "late", Delay: storage.MaxDelay})
		for len(arrived) < 3 {
			m.Once(t.Context(), 20*time.Second)
		}
		if diff := cmp.Diff([]time.Duration{0, 2 * time.Second, storage.MaxDelay}, arrived); diff != "" {
			t.Errorf("arrival (-want +got):\n%s", diff)
		}
	})
}

func TestMessageIsRedrivenWithItsGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, m := openQueue(t, &sqstest.Server{})
		var receives []int
		m.Function = cloud.SQS(func(_ context.Context, ms []storage.Received) (again []string, err error) {
			receives = append(receives, ms[0].Receives)
			return []string{ms[0].Receipt}, nil
		})
		sendAll(t, b, storage.Message{Body: "poison", Group: "tenant"})
		for depthOf(t, b).Dead == 0 {
			m.Once(t.Context(), 20*time.Second)
		}
		if err := b.Queue.Redrive(t.Context(), storage.EventsQueue); err != nil {
			t.Fatalf("Redrive: %v", err)
		}
		if diff := cmp.Diff(storage.Depth{Waiting: 1}, depthOf(t, b)); diff != "" {
			t.Errorf("Depth after Redrive (-want +got):\n%s", diff)
		}
		m.Once(t.Context(), 0)
		if diff := cmp.Diff([]int{1, 2, 3, 4, 5, 1}, receives); diff != "" {
			t.Errorf("receive counts over a redrive (-want +got):\n%s", diff)
		}
	})
}

func TestEachMessageGetsItsOwnError(t *testing.T) {
	b, _ := openQueue(t, &sqstest.Server{})
	errs := b.Queue.Send(t.Context(), storage.EventsQueue, []storage.Message{
		{Body: "good"}, {Body: "\x00"}, {Body: "too late", Delay: storage.MaxDelay + 1}, {Body: "good as well"},
	})
	for i, want := range []error{nil, storage.ErrInvalid, storage.ErrInvalid, nil} {
		if !errors.Is(errs[i], want) {
			t.Errorf("Send: message %d: %v, want %v", i, errs[i], want)
		}
	}
	if got := depthOf(t, b).Waiting; got != 2 {
		t.Errorf("%d messages wait, want 2", got)
	}
}

func TestMessageThatSQSRefusesGetsItsCode(t *testing.T) {
	answer := `{"Successful":[{"Id":"0","MessageId":"x","MD5OfMessageBody":"0cc175b9c0f1b6a831c399e269772661"}],
		"Failed":[{"Id":"1","Code":"InternalError","SenderFault":false}]}`
	b, _ := openQueue(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.Header.Get("X-Amz-Target"), "SendMessageBatch") {
			w.Write([]byte(answer))
			return
		}
		new(sqstest.Server).ServeHTTP(w, r)
	}))
	errs := b.Queue.Send(t.Context(), storage.EventsQueue, []storage.Message{{Body: "a"}, {Body: "b"}, {Body: "c"}})
	if errs[0] != nil || errs[1] == nil || !strings.Contains(errs[1].Error(), "InternalError") || errs[2] == nil {
		t.Errorf("Send answered with one success and one failure of three: %v", errs)
	}
}

// TestMessageThatSQSDoesNotNameIsNotSent gets answers which leave messages out,
// of which nobody knows whether they are in the queue.
func TestMessageThatSQSDoesNotNameIsNotSent(t *testing.T) {
	const sent = `{"Id":"%d","MessageId":"x","MD5OfMessageBody":"0cc175b9c0f1b6a831c399e269772661"}`
	for _, tt := range []struct {
		name   string
		answer string
		named  []bool
	}{
		{"nothing", `{}`, []bool{false, false, false}},
		{"empty lists", `{"Successful":[],"Failed":[]}`, []bool{false, false, false}},
		{"the first", `{"Successful":[` + fmt.Sprintf(sent, 0) + `]}`, []bool{true, false, false}},
		{"the last", `{"Successful":[` + fmt.Sprintf(sent, 2) + `]}`, []bool{false, false, true}},
		{"all", `{"Successful":[` + fmt.Sprintf(sent+","+sent+","+sent, 2, 0, 1) + `]}`, []bool{true, true, true}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b, _ := openQueue(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if strings.HasSuffix(r.Header.Get("X-Amz-Target"), "SendMessageBatch") {
					w.Write([]byte(tt.answer))
					return
				}
				new(sqstest.Server).ServeHTTP(w, r)
			}))
			errs := b.Queue.Send(t.Context(), storage.EventsQueue, []storage.Message{{Body: "a"}, {Body: "a"}, {Body: "a"}})
			for i, named := range tt.named {
				if ok := errs[i] == nil; ok != named || !ok && errors.Unwrap(errs[i]) == nil {
					t.Errorf("Send answered with %s: message %d: %v, want an error with a reason: %v", tt.answer, i, errs[i], !named)
				}
			}
		})
	}
}

func TestRedriveWithoutADeadLetterQueueIsInvalid(t *testing.T) {
	cfg := testConfig(cloud.Endpoints{SQS: sqsEndpoint})
	cfg.AWS.EventsDeadURL = ""
	b, err := cloud.OpenOver(cfg, sqstest.Client(&sqstest.Server{}))
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Queue.Redrive(t.Context(), storage.EventsQueue); !errors.Is(err, storage.ErrInvalid) {
		t.Errorf("Redrive without a dead-letter queue: %v, want ErrInvalid", err)
	}
}

// openQueue returns a Backend whose SQS is h, and a mapping of its events queue.
func openQueue(t *testing.T, h http.Handler) (*cloud.Backend, *sqstest.Mapping) {
	t.Helper()
	client := sqstest.Client(h)
	c := sqstest.Connect(sqsEndpoint, client)
	if err := sqstest.CreateQueues(t.Context(), c, 200*time.Second, storage.MaxReceives, "events", "retry", "slow"); err != nil {
		t.Fatal(err)
	}
	cfg := testConfig(cloud.Endpoints{SQS: sqsEndpoint})
	b, err := cloud.OpenOver(cfg, client)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	return b, &sqstest.Mapping{SQS: c, QueueURL: cfg.AWS.EventsQueueURL}
}

// testConfig returns a Config of tables that nobody else uses.
func testConfig(endpoints cloud.Endpoints) config.Config {
	name := storage.NewRev()
	return config.Config{AWS: config.AWS{
		RegistrationsTable: "registrations-" + name,
		DeliveriesTable:    "deliveries-" + name,
		EventsQueueURL:     sqstest.URL(endpoints.SQS, "events"),
		RetryQueueURL:      sqstest.URL(endpoints.SQS, "retry"),
		SlowQueueURL:       sqstest.URL(endpoints.SQS, "slow"),
		EventsDeadURL:      sqstest.URL(endpoints.SQS, "events-dead"),
		RetryDeadURL:       sqstest.URL(endpoints.SQS, "retry-dead"),
		SlowDeadURL:        sqstest.URL(endpoints.SQS, "slow-dead"),
		Region:             "us-east-1",
		AccessKeyID:        "test",
		SecretAccessKey:    "test",
		Endpoints:          endpoints,
	}}
}

func sendAll(t *testing.T, b *cloud.Backend, ms ...storage.Message) {
	t.Helper()
	if err := errors.Join(b.Queue.Send(t.Context(), storage.EventsQueue, ms)...); err != nil {
		t.Fatalf("Send: %v", err)
	}
}

func depthOf(t *testing.T, b *cloud.Backend) storage.Depth {
	t.Helper()
	d, err := b.Queue.Depth(t.Context(), storage.EventsQueue)
	if err != nil {
		t.Fatalf("Depth: %v", err)
	}
	return d
}
