package cloud_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"math"
	"os"
	"strings"
	"testing"
	"time"

	"ringback/shared/cloud"
	"ringback/shared/cloud/runtimetest"
	"ringback/shared/gateway"
	"ringback/shared/storage"

	"github.com/aws/aws-lambda-go/events"
	"github.com/google/go-cmp/cmp"
)

func TestBatchIsHandedOverWithItsReceiveCounts(t *testing.T) {
	var e events.SQSEvent
	err := json.Unmarshal([]byte(`{"Records":[
		{"messageId":"m1","receiptHandle":"r1","body":"one","attributes":{"ApproximateReceiveCount":"3"}},
		{"messageId":"m2","receiptHandle":"r2","body":"two","attributes":{}}]}`), &e)
	if err != nil {
		t.Fatal(err)
	}
	var got []storage.Received
	resp, err := cloud.SQS(func(_ context.Context, ms []storage.Received) ([]string, error) {
		got = ms
		return []string{"m2"}, nil
	})(t.Context(), e)
	want := []storage.Received{{Body: "one", Receipt: "m1", Receives: 3}, {Body: "two", Receipt: "m2", Receives: 1}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("messages (-want +got):\n%s", diff)
	}
	answer, _ := json.Marshal(resp)
	if wantAnswer := `{"batchItemFailures":[{"itemIdentifier":"m2"}]}`; err != nil || string(answer) != wantAnswer {
		t.Errorf("answer %s, %v; want %s", answer, err, wantAnswer)
	}
}

func TestBatchComesAgainAfterAnErrorOrAPanic(t *testing.T) {
	down := errors.New("down")
	for _, tt := range []struct {
		name string
		h    storage.Handler
		want string
	}{
		{"error", func(context.Context, []storage.Received) ([]string, error) { return nil, down }, "down"},
		{"panic", func(context.Context, []storage.Received) ([]string, error) { panic("oops") }, "oops"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := cloud.SQS(tt.h)(t.Context(), events.SQSEvent{Records: []events.SQSMessage{{MessageId: "m"}}})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("handler that fails: %v, want an error with %q", err, tt.want)
			}
		})
	}
}

func TestHandlersEndBeforeLambdaDoes(t *testing.T) {
	end := time.Now().Add(30 * time.Second)
	ctx, cancel := context.WithDeadline(t.Context(), end)
	defer cancel()
	var queue, tick time.Time
	if _, err := cloud.SQS(func(ctx context.Context, _ []storage.Received) ([]string, error) {
		queue, _ = ctx.Deadline()
		return nil, nil
	})(ctx, events.SQSEvent{}); err != nil {
		t.Fatal(err)
	}
	if err := cloud.Schedule(func(ctx context.Context) error {
		tick, _ = ctx.Deadline()
		return nil
	})(ctx, json.RawMessage(`{}`)); err != nil {
		t.Fatal(err)
	}
	for _, got := range []time.Time{queue, tick} {
		if margin := end.Sub(got); margin != 2*time.Second {
			t.Errorf("handler's context ends %v before Lambda's, want 2 s", margin)
		}
	}
}

func TestHandlerWithoutADeadlineGetsNone(t *testing.T) {
	if err := cloud.Schedule(func(ctx context.Context) error {
		if end, ok := ctx.Deadline(); ok || ctx.Err() != nil {
			t.Errorf("handler's context ends at %v, %v, want no end", end, ctx.Err())
		}
		return nil
	})(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
}

// TestStartedFunctionHandlesEvents runs this test binary as Lambda does.
func TestStartedFunctionHandlesEvents(t *testing.T) {
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	f := runtimetest.Start(t, runtimetest.Options{Binary: binary, Env: os.Environ()})
	for range 2 {
		if got, err := f.Invoke(t.Context(), json.RawMessage(`{}`)); err != nil || string(got) != "null" {
			t.Errorf("Invoke = %s, %v, want null", got, err)
		}
	}
	f.Stop() // so that all it wrote is read
	if n := strings.Count(f.Output(), `"Ticks":1`); n != 2 {
		t.Errorf("two invocations wrote %d lines of metrics:\n%s", n, f.Output())
	}
}

func TestMetricThatIsNoNumberIsTold(t *testing.T) {
	var out bytes.Buffer
	m := &cloud.Metrics{Out: &out}
	m.Add("Ratio", math.NaN())
	if err := m.Flush(); err == nil || !strings.Contains(err.Error(), "encode metrics") || out.Len() > 0 {
		t.Errorf("Flush of what JSON cannot hold = %v, wrote %q, want an error alone", err, &out)
	}
}

func TestMetricsAreOneLineAnInvocation(t *testing.T) {
	var out bytes.Buffer
	m := &cloud.Metrics{Service: "ringback", Out: &out, Units: map[string]string{gateway.Events: "Count", gateway.DeliveryLatency: "Milliseconds"}}
	m.Add(gateway.Events, 2)
	m.Add(gateway.Events, 3)
	m.Add(gateway.DeliveryLatency, 12.5)
	m.Add(gateway.DeliveryLatency, 80)
	m.Add("Unlisted", 1)
	if err := m.Flush(); err != nil {
		t.Fatalf("Flush: %v", err)
	}
	if err := m.Flush(); err != nil {
		t.Fatalf("second Flush: %v", err)
	}
	if n := strings.Count(out.String(), "\n"); n != 1 {
		t.Fatalf("Flush twice wrote %d lines, want 1", n)
	}
	var got struct {
		AWS struct {
			Timestamp         int64
			CloudWatchMetrics []struct {
				Namespace  string
				Dimensions [][]string
				Metrics    []struct{ Name, Unit string }
			}
		} `json:"_aws"`
		Service         string
		Events          float64
		DeliveryLatency []float64
		Unlisted        float64
	}
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatalf("line %s: %v", &out, err)
	}
	if got.Service != "ringback" || got.Events != 5 || !cmp.Equal(got.DeliveryLatency, []float64{12.5, 80}) || got.Unlisted != 1 {
		t.Errorf("line %s, want 5 events and both latencies", &out)
	}
	units := map[string]string{}
	for _, metric := range got.AWS.CloudWatchMetrics[0].Metrics {
		units[metric.Name] = metric.Unit
	}
	if diff := cmp.Diff(map[string]string{"Events": "Count", "DeliveryLatency": "Milliseconds"}, units); diff != "" {
		t.Errorf("series (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([][]string{{"Service"}}, got.AWS.CloudWatchMetrics[0].Dimensions); diff != "" {
		t.Errorf("dimensions (-want +got):\n%s", diff)
	}
}

func TestValuesBeyondALineGoIntoFurtherOnes(t *testing.T) {
	var out bytes.Buffer
	m := &cloud.Metrics{Out: &out, Units: map[string]string{gateway.Events: "Count", gateway.DeliveryLatency: "Milliseconds"}}
	m.Add(gateway.Events, 1)
	for v := range 250 {
		m.Add(gateway.DeliveryLatency, float64(v))
	}
	if err := m.Flush(); err != nil {
		t.Fatalf("Flush: %v", err)
	}
	var values, events float64
	var lines []int
	for d := json.NewDecoder(&out); d.More(); {
		var line struct {
			Events          float64
			DeliveryLatency []float64
		}
		if err := d.Decode(&line); err != nil {
			t.Fatal(err)
		}
		for _, v := range line.DeliveryLatency {
			values += v
		}
		events += line.Events
		lines = append(lines, len(line.DeliveryLatency))
	}
	if !cmp.Equal(lines, []int{100, 100, 50}) || events != 1 || values != 249*250/2 {
		t.Errorf("lines hold %v values that add up to %v, and %v events; want 100, 100, 50, %d and 1", lines, values, events, 249*250/2)
	}
}
