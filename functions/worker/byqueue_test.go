package main

import (
	"context"
	"strings"
	"testing"

	"github.com/aws/aws-lambda-go/events"
)

func TestABatchGoesToTheHandlerOfItsQueue(t *testing.T) {
	var got string
	handler := func(name string) batchHandler {
		return func(context.Context, events.SQSEvent) (events.SQSEventResponse, error) {
			got = name
			return events.SQSEventResponse{BatchItemFailures: []events.SQSBatchItemFailure{{ItemIdentifier: name}}}, nil
		}
	}
	h := byQueue(map[string]batchHandler{
		"https://sqs.us-east-1.amazonaws.com/123456789012/stack-EventsQueue-1": handler("events"),
		"https://sqs.us-east-1.amazonaws.com/123456789012/stack-RetryQueue-2":  handler("retry"),
		"https://sqs.us-east-1.amazonaws.com/123456789012/stack-SlowQueue-3":   handler("slow"),
	})
	for _, tt := range []struct {
		name, arn, want, wantErr string
	}{
		{"events", "arn:aws:sqs:us-east-1:123456789012:stack-EventsQueue-1", "events", ""},
		{"retries", "arn:aws:sqs:us-east-1:123456789012:stack-RetryQueue-2", "retry", ""},
		{"slow", "arn:aws:sqs:us-east-1:123456789012:stack-SlowQueue-3", "slow", ""},
		{"a queue whose name ends alike", "arn:aws:sqs:us-east-1:123456789012:other-stack-RetryQueue-2", "", "not the events, the retry or the slow queue"},
		{"no queue", "", "", "not the events, the retry or the slow queue"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got = ""
			resp, err := h(t.Context(), events.SQSEvent{Records: []events.SQSMessage{{EventSourceARN: tt.arn}}})
			if got != tt.want || (err == nil) != (tt.wantErr == "") || err != nil && !strings.Contains(err.Error(), tt.wantErr) {
				t.Errorf("batch of %q: handler %q, error %v; want %q, %q", tt.arn, got, err, tt.want, tt.wantErr)
			}
			if err == nil && (len(resp.BatchItemFailures) != 1 || resp.BatchItemFailures[0].ItemIdentifier != tt.want) {
				t.Errorf("batch of %q: answer %+v, want the handler's own", tt.arn, resp)
			}
		})
	}
}

func TestAnEmptyBatchIsDone(t *testing.T) {
	resp, err := byQueue(nil)(t.Context(), events.SQSEvent{})
	if err != nil || len(resp.BatchItemFailures) > 0 {
		t.Errorf("empty batch: %+v, %v; want nothing", resp, err)
	}
}
