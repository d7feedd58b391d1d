package template

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"ringback/shared/cloud"
	"ringback/shared/cloud/sqstest"
	"ringback/shared/config"
)

// What setup-aws makes at an emulator is what template.yaml makes on AWS. Here
// shared/cloud makes it at servers that note the requests.

// A recorder notes the bodies of an operation's requests, and answers all
// requests itself or by another handler.
type recorder struct {
	operation string
	answer    http.Handler
	bodies    []object
}

func (r *recorder) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return
	}
	if strings.HasSuffix(req.Header.Get("X-Amz-Target"), "."+r.operation) {
		var o object
		if json.Unmarshal(body, &o) == nil {
			r.bodies = append(r.bodies, o)
		}
	}
	req.Body = io.NopCloser(bytes.NewReader(body))
	r.answer.ServeHTTP(w, req)
}

func serve(t *testing.T, operation string, answer http.HandlerFunc) (*recorder, string) {
	t.Helper()
	r := &recorder{operation: operation, answer: answer}
	server := httptest.NewServer(r)
	t.Cleanup(server.Close)
	return r, server.URL
}

func TestTablesAreTheTemplates(t *testing.T) {
	active := func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, `{"Table":{"TableStatus":"ACTIVE"}}`) }
	tables, url := serve(t, "CreateTable", active)
	expiry := &recorder{operation: "UpdateTimeToLive", answer: tables.answer}
	tables.answer = expiry
	b, err := cloud.OpenOver(config.Config{AWS: config.AWS{
		Region: "us-east-1", AccessKeyID: "test", SecretAccessKey: "test", RegistrationsTable: "RegistrationsTable", DeliveriesTable: "DeliveriesTable",
		EventsQueueURL: url, RetryQueueURL: url, SlowQueueURL: url, Endpoints: config.Endpoints{DynamoDB: url, SQS: url},
	}}, http.DefaultClient)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Store.CreateTables(t.Context()); err != nil {
		t.Fatal(err)
	}
	s := readStack(t)
	if len(tables.bodies) != 2 || len(expiry.bodies) != 2 {
		t.Fatalf("%d tables made, %d with a time to live; want 2 each", len(tables.bodies), len(expiry.bodies))
	}
	for i, made := range tables.bodies {
		name := made["TableName"].(string)
		p := s.properties(name)
		for _, key := range []string{"AttributeDefinitions", "KeySchema", "GlobalSecondaryIndexes", "BillingMode"} {
			if text(made[key]) != text(p[key]) {
				t.Errorf("%s of %s: shared/cloud makes %s, template.yaml has %s", key, name, text(made[key]), text(p[key]))
			}
		}
		if got, want := text(expiry.bodies[i]["TimeToLiveSpecification"]), text(p["TimeToLiveSpecification"]); got != want {
			t.Errorf("time to live of %s: shared/cloud makes %s, template.yaml has %s", name, got, want)
		}
	}
}

func TestQueuesAreTheTemplates(t *testing.T) {
	queues, url := serve(t, "CreateQueue", (&sqstest.Server{}).ServeHTTP)
	c := config.AWS{Region: "us-east-1", AccessKeyID: "test", SecretAccessKey: "test", Endpoints: config.Endpoints{SQS: url}}
	if _, err := cloud.CreateQueues(t.Context(), c, "EventsQueue", "RetryQueue", "SlowQueue"); err != nil {
		t.Fatal(err)
	}
	s := readStack(t)
	made := map[string]object{}
	for _, q := range queues.bodies {
		made[q["QueueName"].(string)] = sub(q, "Attributes")
	}
	for _, queue := range []string{"EventsQueue", "RetryQueue", "SlowQueue"} {
		p := s.properties(queue)
		var redrive struct{ MaxReceiveCount int }
		if err := json.Unmarshal(fmt.Append(nil, made[queue]["RedrivePolicy"]), &redrive); err != nil || redrive.MaxReceiveCount != number(get(p, "RedrivePolicy", "maxReceiveCount")) {
			t.Errorf("%s: shared/cloud lets a message be received %d times, %v; template.yaml %v", queue, redrive.MaxReceiveCount, err, get(p, "RedrivePolicy", "maxReceiveCount"))
		}
		for _, o := range []struct {
			made object
			name string
		}{{made[queue], "VisibilityTimeout"}, {made[queue], "MessageRetentionPeriod"}, {made[queue+"-dead"], "MessageRetentionPeriod"}} {
			if want := strconv.Itoa(number(p[o.name])); o.made[o.name] != want {
				t.Errorf("%s of %s: shared/cloud makes %v, template.yaml has %s", o.name, queue, o.made[o.name], want)
			}
		}
	}
}

func readStack(t *testing.T) stack {
	t.Helper()
	s, err := parse(readFile(t, "template.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	return s.with(nil)
}
