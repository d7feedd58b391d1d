package pipeline

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"ringback/shared/app/samples"
	"ringback/shared/cloud/awsproxy"
	"ringback/shared/cloud/runtimetest"
	"ringback/shared/cloud/sqstest"
	"ringback/shared/test/proofs"
	"ringback/shared/test/tracked"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

const eventsFolder = "../../../events"

// callBack hands a committed callback of Direct to its function.
func (w *world) callBack() {
	w.t.Helper()
	if resp := w.http("Direct", readEvent(w.t, "direct-delivered.json")); resp.StatusCode != http.StatusOK {
		w.t.Fatalf("callback: status %d: %s", resp.StatusCode, resp.Body)
	}
}

// readEvent returns a committed event, as if what it tells of had happened an hour
// ago: a repeat is recognised by a time of the last week.
func readEvent(t *testing.T, name string) json.RawMessage {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(eventsFolder, name))
	if err != nil {
		t.Fatal(err)
	}
	return bytes.ReplaceAll(b, []byte("2025-03-01T09:15:09Z"), []byte(anHourAgo))
}

var anHourAgo = time.Now().Add(-time.Hour).UTC().Format(time.RFC3339)

// register lets the sample's tenant register r for the source of Direct, and
// returns what verifies its deliveries.
func (w *world) register(r *receiver, schedule string) *standardwebhooks.Webhook {
	w.t.Helper()
	var made struct {
		Secret string `json:"secret"`
		APIKey string `json:"api_key"`
	}
	w.api(operatorKey, "POST", "/v1/keys", fmt.Sprintf(`{"tenant":%q,"scope":"full","name":"pipeline"}`, samples.Tenant), 201, &made)
	w.api(made.APIKey, "POST", "/v1/registrations",
		fmt.Sprintf(`{"source":"src-direct00","url":%q,"event_types":["*"],"schedule":%s}`, r.url, schedule), 201, &made)
	wh, err := standardwebhooks.NewWebhook(made.Secret)
	if err != nil {
		w.t.Fatal(err)
	}
	return wh
}

func ignore(string) {}

func TestCallbackReachesTheTenant(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := newReceiver(t, 0)
	wh := w.register(r, `"standard"`)
	w.poll(eventsQueue, ignore)
	w.poll(slowQueue, ignore)
	w.callBack()
	w.within(time.Minute, "a delivery", func() bool { return len(r.got(http.StatusOK)) == 1 })
	p := r.got(http.StatusOK)[0]
	if err := wh.Verify(p.body, p.header); err != nil {
		t.Errorf("signature of the delivery: %v", err)
	}
	var body struct {
		ID, Type, Source string
		Data             json.RawMessage
	}
	var callback events.APIGatewayV2HTTPRequest
	if err := json.Unmarshal(readEvent(t, "direct-delivered.json"), &callback); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(p.body, &body); err != nil || body.Type != "delivered" || body.Source != "src-direct00" || body.ID != p.header.Get("webhook-id") {
		t.Errorf("delivery %s, %v; want an event delivered of src-direct00 with its webhook-id", p.body, err)
	}
	if item := bytes.Trim([]byte(strings.TrimSpace(callback.Body)), "[]"); !bytes.Equal(bytes.TrimSpace(item), body.Data) {
		t.Errorf("data is %s, want the bytes that came: %s", body.Data, item)
	}
	w.callBack() // the provider repeats it
	w.within(time.Minute, "an empty queue", func() bool { return w.dead()["events"].pending() == 0 })
	if n := len(r.got(http.StatusOK)); n != 1 {
		t.Errorf("%d deliveries of a callback that came twice, want 1", n)
	}
}

// TestJobsOfTheAPIAreDoneByTheWorker starts a job whose steps control has, and
// one whose steps transfer has: the worker's main gives it both.
func TestJobsOfTheAPIAreDoneByTheWorker(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.poll(retryQueue, ignore)
	for path, body := range map[string]string{
		"/v1/erasures": `{"source":"src-direct00","match":{"message":["nobody"]}}`,
		"/v1/reseal":   `{}`,
	} {
		var job struct{ ID, Status string }
		w.api(operatorKey, "POST", path, body, 202, &job)
		w.within(time.Minute, path+" is done", func() bool {
			w.api(operatorKey, "GET", "/v1/jobs/"+job.ID, "", 200, &job)
			return job.Status == "done"
		})
	}
}

// TestWorkerKnowsEachOfItsQueues hands it messages that are done at once, since
// there is no such delivery; a batch of a queue that it does not know fails.
func TestWorkerKnowsEachOfItsQueues(t *testing.T) {
	t.Parallel()
	worker := newWorld(t).function("Worker")
	for _, name := range []string{"worker-retry-unknown-delivery.json", "worker-slow-unknown-delivery.json"} {
		var resp events.SQSEventResponse
		got, err := worker.Invoke(t.Context(), readEvent(t, name))
		if err == nil {
			err = json.Unmarshal(got, &resp)
		}
		if err != nil || len(resp.BatchItemFailures) > 0 {
			t.Errorf("Worker with %s: %s, %v; want all done", name, got, err)
		}
	}
	other := bytes.ReplaceAll(readEvent(t, "worker-slow-unknown-delivery.json"), []byte(slowQueue), []byte("ringback-other"))
	if got, err := worker.Invoke(t.Context(), json.RawMessage(other)); err == nil {
		t.Errorf("Worker with messages of another queue: %s, want an error", got)
	}
}

// TestRefusedDeliveryIsRetriedByWorkerAndRetry refuses so often that the worker,
// which sent it to the slow queue first, may not send the delivery to itself once
// more: then it falls due, and the retry function hands it out. By the fourth
// refusal the circuit is open, so the last attempt is its probe.
func TestRefusedDeliveryIsRetriedByWorkerAndRetry(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := newReceiver(t, 4)
	wh := w.register(r, `["5s","5s","5s","5s","5s"]`)
	for _, queue := range []string{eventsQueue, retryQueue, slowQueue} {
		w.poll(queue, ignore)
	}
	w.callBack()
	w.within(time.Minute, "three refusals", func() bool { return len(r.got(http.StatusInternalServerError)) == 3 })
	w.within(3*time.Minute, "a delivery, with a tick now and then", func() bool {
		if _, err := w.function("Retry").Invoke(t.Context(), readEvent(t, "retry-tick.json")); err != nil {
			t.Fatalf("Retry: %v\n%s", err, w.function("Retry").Output())
		}
		return len(r.got(http.StatusOK)) == 1
	})
	if !strings.Contains(w.function("Retry").Output(), `"claimed":1`) {
		t.Errorf("Retry handed nothing out:\n%s", w.function("Retry").Output())
	}
	id := r.got(http.StatusOK)[0].header.Get("webhook-id")
	for _, p := range append(r.got(http.StatusInternalServerError), r.got(http.StatusOK)...) {
		if p.header.Get("webhook-id") != id || wh.Verify(p.body, p.header) != nil {
			t.Errorf("attempt has webhook-id %s, signature %v; want %s, signed", p.header.Get("webhook-id"), wh.Verify(p.body, p.header), id)
		}
	}
}

// TestWorkerThatIsKilledLosesNothing ends the worker's process while it waits for an
// endpoint's response. On AWS the message comes again when the claims of the invocation
// are over.
func TestWorkerThatIsKilledLosesNothing(t *testing.T) {
	if !proofs.Full() {
		t.Skip("waits for the end of a claim, for RINGBACK_PROOFS=full")
	}
	t.Parallel()
	w := newWorldHiding(t, 40*time.Second)
	r := newReceiver(t, 0)
	hangs := make(chan struct{})
	r.hangs = hangs
	wh := w.register(r, `"standard"`)
	for _, queue := range []string{eventsQueue, retryQueue, slowQueue} {
		w.poll(queue, ignore)
	}
	w.callBack()
	select {
	case <-hangs:
	case <-time.After(time.Minute):
		t.Fatalf("no POST within a minute\n%s", w.function("Worker").Output())
	}
	w.replace("Worker")
	w.within(3*time.Minute, "a delivery by the next process", func() bool { return len(r.got(http.StatusOK)) > 0 })
	if p := r.got(http.StatusOK)[0]; wh.Verify(p.body, p.header) != nil {
		t.Errorf("signature of the delivery: %v", wh.Verify(p.body, p.header))
	}
	w.within(3*time.Minute, "the end of its messages", func() bool {
		depths := w.dead()
		return depths["events"] == depth{Queue: "events"} && depths["slow"] == depth{Queue: "slow"}
	})
	if n := len(r.got(http.StatusOK)); n != 1 {
		t.Errorf("%d deliveries, want 1", n)
	}
}

// depth is how many messages a queue has, as the API tells.
type depth struct {
	Queue                            string
	Waiting, InFlight, Delayed, Dead int
}

func (d depth) pending() int { return d.Waiting + d.InFlight + d.Delayed }

// dead asks the API for the queues' depths.
func (w *world) dead() map[string]depth {
	w.t.Helper()
	var page struct {
		Data []struct {
			Queue    string `json:"queue"`
			Waiting  int    `json:"waiting"`
			InFlight int    `json:"in_flight"`
			Delayed  int    `json:"delayed"`
			Dead     int    `json:"dead"`
		} `json:"data"`
	}
	w.api(operatorKey, "GET", "/v1/dead-letters", "", 200, &page)
	out := map[string]depth{}
	for _, d := range page.Data {
		out[d.Queue] = depth{d.Queue, d.Waiting, d.InFlight, d.Delayed, d.Dead}
	}
	return out
}

// TestDeadLettersComeBackByARedrive lets an event fail until it is a dead
// letter, beside a message that nobody can read; after the redrive the event is
// delivered, and the other one dies again.
func TestDeadLettersComeBackByARedrive(t *testing.T) {
	if !proofs.Full() {
		t.Skip("waits for ten receives, for RINGBACK_PROOFS=full")
	}
	t.Parallel()
	w := newWorld(t)
	r := newReceiver(t, 0)
	w.register(r, `"standard"`)
	var poisoned atomic.Int64
	w.poll(eventsQueue, func(body string) {
		if body == poison {
			poisoned.Add(1)
		}
	})
	w.poll(slowQueue, ignore)
	w.callBack()
	w.within(time.Minute, "a delivery, so that the worker knows the registration", func() bool { return len(r.got(http.StatusOK)) == 1 })
	w.within(time.Minute, "its end, before rows cannot be written", func() bool { return w.dead()["events"] == depth{Queue: "events"} })
	w.proxy.Break(func(operation string) awsproxy.Fault {
		if operation == "DynamoDB.PutItem" {
			return awsproxy.ServerError
		}
		return awsproxy.None
	})
	w.http("Direct", readEvent(t, "direct-read.json"))
	w.send(poison)
	w.within(time.Minute, "two dead letters", func() bool { return w.dead()["events"].Dead == 2 })
	if n := poisoned.Load(); n != 5 {
		t.Errorf("poison was received %d times before it was a dead letter, want 5", n)
	}
	w.proxy.Break(nil)
	w.api(operatorKey, "POST", "/v1/dead-letters/events/redrive", "", 202, nil)
	w.within(time.Minute, "the event is delivered", func() bool { return len(r.got(http.StatusOK)) == 2 })
	w.within(time.Minute, "the poison is a dead letter again", func() bool { return w.dead()["events"] == depth{Queue: "events", Dead: 1} })
	if n := poisoned.Load(); n != 10 {
		t.Errorf("poison was received %d times in all, want 10", n)
	}
}

const poison = "neither a header nor a payload"

func (w *world) send(body string) {
	w.t.Helper()
	_, err := sqstest.Connect(w.sqs, w.client).SendMessageBatch(w.t.Context(), &sqs.SendMessageBatchInput{
		QueueUrl: aws.String(sqstest.URL(w.sqs, eventsQueue)),
		Entries:  []types.SendMessageBatchRequestEntry{{Id: aws.String("0"), MessageBody: aws.String(body)}},
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

// failures are the files of events/ whose response is an error, by what their
// names say; all others must find the source, tenant or group that they name.
var failures = regexp.MustCompile(`-(no-key|wrong-key|no-login|wrong-password|unknown-source|unknown-route|unknown-method|unknown-field|other-app|other-command|two-apps|bearer` +
	`|broken-json|message-commented|callback-twice|empty|not-json|not-object|number|get|put)\.json$`)

// TestEveryCommittedEventFindsWhatItSpeaksTo invokes the function that a file in
// events/ is named after, as sam local invoke does, one after the other in one
// process.
func TestEveryCommittedEventFindsWhatItSpeaksTo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	files, err := fs.Glob(tracked.Files("../../.."), "events/*.json")
	if err != nil || len(files) < 100 {
		t.Fatalf("events: %d files, %v; want over 100", len(files), err)
	}
	of := map[string]string{"smartbots": "SmartBots", "tencentchat": "TencentChat", "direct": "Direct", "worker": "Worker", "retry": "Retry", "api": "Api"}
	for _, file := range files {
		file = path.Base(file)
		kind, _, _ := strings.Cut(file, "-")
		name := of[kind]
		got, err := w.function(name).Invoke(t.Context(), readEvent(t, file))
		if err != nil {
			t.Fatalf("%s with %s: %v\n%s", name, file, err, w.function(name).Output())
		}
		if err := checkResponse(name, file, got); err != nil {
			t.Errorf("%s with %s: %v: %s", name, file, err, got)
		}
	}
}

// checkResponse returns an error unless got is what a function is to return for a file.
func checkResponse(name, file string, got json.RawMessage) error {
	switch name {
	case "Retry":
		return nil
	case "Worker":
		var resp events.SQSEventResponse
		if err := json.Unmarshal(got, &resp); err != nil {
			return err
		}
		if bad := strings.Contains(file, "poison") || strings.Contains(file, "newer"); bad != (len(resp.BatchItemFailures) == 1) {
			return fmt.Errorf("%d messages come again", len(resp.BatchItemFailures))
		}
		return nil
	}
	var resp events.APIGatewayV2HTTPResponse
	if err := json.Unmarshal(got, &resp); err != nil {
		return err
	}
	if ok := resp.StatusCode/100 == 2 && !strings.Contains(resp.Body, `"result":"FAIL"`); ok == failures.MatchString(file) {
		return fmt.Errorf("status %d", resp.StatusCode)
	}
	return nil
}

// TestTimesOfEachBinary asserts nothing: it prints how long each takes to
// initialize itself, and to answer when warm.
func TestTimesOfEachBinary(t *testing.T) {
	if !proofs.Full() {
		t.Skip("measures each binary, for RINGBACK_PROOFS=full")
	}
	w := newWorld(t)
	for _, tt := range []struct{ name, file string }{
		{"SmartBots", "smartbots-group-chat.json"}, {"TencentChat", "tencentchat-bot-on-group-message.json"}, {"Direct", "direct-delivered.json"},
		{"Worker", "worker-direct.json"}, {"Retry", "retry-tick.json"}, {"Api", "api-list-sources.json"},
	} {
		f, event := w.function(tt.name), readEvent(t, tt.file)
		var took []time.Duration
		for range 20 {
			start := time.Now()
			if _, err := f.Invoke(t.Context(), event); err != nil {
				t.Fatalf("%s: %v\n%s", tt.name, err, f.Output())
			}
			took = append(took, time.Since(start))
		}
		slices.Sort(took[1:])
		t.Logf("%-11s init %v, first answer %v, warm p50 %v, max %v",
			tt.name, f.Init.Round(100*time.Microsecond), took[0].Round(100*time.Microsecond),
			took[len(took)/2].Round(10*time.Microsecond), took[len(took)-1].Round(10*time.Microsecond))
	}
}

// Bytes that a binary may have, of which each cold start reads a part. The same
// code takes a tenth more where it is not for arm64, as what is deployed is.
const (
	largest             = 12_000_000
	largestApiElsewhere = 13_200_000
)

func TestBinariesAreSmall(t *testing.T) {
	if !proofs.Full() {
		t.Skip("links each function for arm64, for RINGBACK_PROOFS=full")
	}
	for _, name := range readTemplate(t, nil).functions() {
		info, err := os.Stat(bootstrap(t, name))
		if err != nil {
			t.Fatal(err)
		}
		most := int64(largest)
		if name == "Api" && runtime.GOARCH != "arm64" {
			most = largestApiElsewhere
		}
		t.Logf("%-11s %4.1f MB", name, float64(info.Size())/1e6)
		if info.Size() > most {
			t.Errorf("%s has %d bytes, want at most %d", name, info.Size(), most)
		}
	}
}

// TestFunctionWithoutAStoreFailsAtOnce starts each function with nobody at one
// of its endpoints.
func TestFunctionWithoutAStoreFailsAtOnce(t *testing.T) {
	w := newWorld(t)
	for _, name := range w.template.functions() {
		for _, variable := range []string{"AWS_ENDPOINT_URL_DYNAMODB", "AWS_ENDPOINT_URL_SQS"} {
			o := runtimetest.Options{Binary: bootstrap(t, name), Env: append(w.environment(name), variable+"=http://127.0.0.1:1")}
			if output := runtimetest.Failure(t, o); !strings.Contains(output, variable) {
				t.Errorf("%s: %s\nwant that nobody listens at %s", name, output, variable)
			}
		}
	}
}
