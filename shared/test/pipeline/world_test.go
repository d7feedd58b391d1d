package pipeline

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"ringback/shared/app"
	"ringback/shared/app/samples"
	"ringback/shared/cloud"
	"ringback/shared/cloud/awsproxy"
	"ringback/shared/cloud/dynamotest"
	"ringback/shared/cloud/runtimetest"
	"ringback/shared/cloud/sqstest"
	"ringback/shared/config"
	"ringback/shared/keyring"
	"ringback/shared/provider/all"
	"ringback/shared/storage"
	"ringback/shared/transfer"

	"github.com/aws/aws-lambda-go/events"
)

// What the secrets hold.
const (
	keyRing     = "1 a key ring of no fewer than 32 characters"
	operatorKey = "the-operator-key-of-the-committed-samples"
)

// visibility is that of the test's queues: shorter than the template's, so that
// a message that fails comes again soon.
const visibility = 2 * time.Second

// A world is a deployed gateway, but that AWS is played by other servers.
type world struct {
	t        *testing.T
	template *template
	proxy    *awsproxy.Proxy // before DynamoDB
	sqs      string          // endpoint
	secrets  string          // endpoint
	tables   [2]string
	client   *http.Client // of pollers

	mu        sync.Mutex
	functions map[string]*runtimetest.Function
}

// The queues have the names that the Lambda inputs in events/ come from.
const (
	eventsQueue = "ringback-events"
	retryQueue  = "ringback-retry"
	slowQueue   = "ringback-slow"
)

func newWorld(t *testing.T) *world { return newWorldHiding(t, visibility) }

// newWorldHiding is newWorld with queues that hide a received message for so long.
func newWorldHiding(t *testing.T, visibility time.Duration) *world {
	t.Helper()
	needsBinaries(t)
	w := &world{
		t: t, proxy: &awsproxy.Proxy{Target: dynamotest.Endpoint(t)}, functions: map[string]*runtimetest.Function{},
		tables: [2]string{"r-" + storage.NewRev(), "d-" + storage.NewRev()},
		client: &http.Client{Transport: &http.Transport{}},
	}
	t.Cleanup(w.client.CloseIdleConnections)
	queues := httptest.NewServer(&sqstest.Server{})
	t.Cleanup(queues.Close)
	w.sqs = queues.URL
	secrets := httptest.NewServer(secretsManager{"arn:aws:secretsmanager:KeyRing": keyRing, "arn:aws:secretsmanager:OperatorKey": operatorKey})
	t.Cleanup(secrets.Close)
	w.secrets = secrets.URL
	w.template = readTemplate(t, w.names())
	if err := sqstest.CreateQueues(t.Context(), sqstest.Connect(w.sqs, w.client), visibility, storage.MaxReceives, eventsQueue, retryQueue, slowQueue); err != nil {
		t.Fatal(err)
	}
	w.prepare(w.proxy.Start(t))
	return w
}

// names are what the template's references stand for here.
func (w *world) names() map[string]string {
	return map[string]string{
		"AWS::StackName": "ringback", "HttpApi.ApiEndpoint": "https://a1b2c3d4e5.execute-api.us-east-1.amazonaws.com",
		"RegistrationsTable": w.tables[0], "DeliveriesTable": w.tables[1],
		"EventsQueue": sqstest.URL(w.sqs, eventsQueue), "EventsDead": sqstest.URL(w.sqs, eventsQueue+"-dead"),
		"RetryQueue": sqstest.URL(w.sqs, retryQueue), "RetryDead": sqstest.URL(w.sqs, retryQueue+"-dead"),
		"SlowQueue": sqstest.URL(w.sqs, slowQueue), "SlowDead": sqstest.URL(w.sqs, slowQueue+"-dead"),
		"KeyRing": "arn:aws:secretsmanager:KeyRing", "OperatorKey": "arn:aws:secretsmanager:OperatorKey",
		"AllowEndpoints": "127.0.0.0/8", // a parameter: the receivers are on loopback
	}
}

// prepare makes the tables and the sources that the inputs in events/ speak to.
func (w *world) prepare(dynamoDB string) {
	w.t.Helper()
	w.template.names["DynamoDB"] = dynamoDB
	env := map[string]string{}
	for _, v := range w.environment("Api") {
		name, value, _ := strings.Cut(v, "=")
		env[name] = value
	}
	cfg, err := config.Load(func(name string) string { return env[name] })
	if err != nil {
		w.t.Fatal(err)
	}
	b, err := cloud.OpenOver(cfg, w.client)
	if err != nil {
		w.t.Fatal(err)
	}
	if err := b.Store.CreateTables(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
	keys, err := keyring.Parse(keyRing)
	if err != nil {
		w.t.Fatal(err)
	}
	g, err := app.New(cfg, app.Parts{Steps: transfer.Steps, Store: b.Store, Queue: b.Queue, Keys: keys, Providers: all.Providers()})
	if err != nil {
		w.t.Fatal(err)
	}
	if err := samples.Install(w.t.Context(), g); err != nil {
		w.t.Fatal(err)
	}
}

// environment is what a function starts with: the template's variables, what
// Lambda adds, and where the servers are that play AWS.
func (w *world) environment(name string) []string {
	w.t.Helper()
	env, _ := w.template.environment(w.t, name)
	return append(env, "AWS_REGION=us-east-1", "AWS_ACCESS_KEY_ID=test", "AWS_SECRET_ACCESS_KEY=test", "AWS_SESSION_TOKEN=test",
		"AWS_ENDPOINT_URL_DYNAMODB="+w.template.names["DynamoDB"], "AWS_ENDPOINT_URL_SQS="+w.sqs, "AWS_ENDPOINT_URL_SECRETS_MANAGER="+w.secrets)
}

// function returns a running function.
func (w *world) function(name string) *runtimetest.Function {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.functions[name] == nil {
		_, timeout := w.template.environment(w.t, name)
		w.functions[name] = runtimetest.Start(w.t, runtimetest.Options{
			Binary: bootstrap(w.t, name), Env: w.environment(name), Limit: time.Duration(timeout) * time.Second,
		})
	}
	return w.functions[name]
}

// replace ends the process of a function at once and starts another one.
func (w *world) replace(name string) {
	w.t.Helper()
	w.function(name).Kill()
	w.mu.Lock()
	delete(w.functions, name)
	w.mu.Unlock()
	w.function(name)
}

// http invokes a function with a request and returns the answer.
func (w *world) http(name string, e any) events.APIGatewayV2HTTPResponse {
	w.t.Helper()
	var resp events.APIGatewayV2HTTPResponse
	got, err := w.function(name).Invoke(w.t.Context(), e)
	if err == nil {
		err = json.Unmarshal(got, &resp)
	}
	if err != nil {
		w.t.Fatalf("%s: %v\n%s", name, err, w.function(name).Output())
	}
	return resp
}

// api calls the API with a key and decodes the answer into out.
func (w *world) api(key, method, path, body string, status int, out any) {
	w.t.Helper()
	e := events.APIGatewayV2HTTPRequest{
		RawPath: path, Body: body, Headers: map[string]string{"authorization": "Bearer " + key, "content-type": "application/json"},
	}
	e.RequestContext.HTTP.Method, e.RequestContext.HTTP.SourceIP, e.RequestContext.Stage = method, "192.0.2.9", "$default"
	resp := w.http("Api", e)
	if resp.StatusCode != status {
		w.t.Fatalf("%s %s: status %d, want %d: %s", method, path, resp.StatusCode, status, resp.Body)
	}
	if out != nil {
		if err := json.Unmarshal([]byte(resp.Body), out); err != nil {
			w.t.Fatalf("%s %s: %v: %s", method, path, err, resp.Body)
		}
	}
}

// poll hands the messages of a queue to the worker until the test ends, as
// Lambda does, and tells seen of each message before.
func (w *world) poll(queue string, seen func(body string)) {
	w.t.Helper()
	_, timeout := w.template.environment(w.t, "Worker")
	m := &sqstest.Mapping{
		SQS: sqstest.Connect(w.sqs, w.client), QueueURL: sqstest.URL(w.sqs, queue), Timeout: time.Duration(timeout) * time.Second,
		Function: func(ctx context.Context, e events.SQSEvent) (resp events.SQSEventResponse, err error) {
			for _, r := range e.Records {
				seen(r.Body)
			}
			got, err := w.function("Worker").Invoke(ctx, e)
			if err != nil {
				return resp, err
			}
			return resp, json.Unmarshal(got, &resp)
		},
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { m.Run(ctx) })
	w.t.Cleanup(func() {
		cancel()
		running.Wait()
	})
}

// within waits up to d for is to hold.
func (w *world) within(d time.Duration, what string, is func() bool) {
	w.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(d); !is(); <-tick.C {
		if time.Now().After(end) {
			w.t.Fatalf("not within %v: %s\n%s", d, what, w.function("Worker").Output())
		}
	}
}
