package cloud_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path"
	"strings"
	"testing"

	"ringback/shared/cloud"
	"ringback/shared/cloud/sqstest"
	"ringback/shared/config"
	"ringback/shared/storage"
	"ringback/shared/test/proofs"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/google/go-cmp/cmp"
)

func TestCreatedQueuesKeepDeadLetters(t *testing.T) {
	proofs.Long(t)
	onEachSQS(t, func(t *testing.T, c config.AWS) {
		c = createQueues(t, c)
		b, err := cloud.Open(t.Context(), config.Config{AWS: c})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(b.Close)
		for name, url := range map[storage.QueueName]string{storage.EventsQueue: c.EventsQueueURL, storage.RetryQueue: c.RetryQueueURL, storage.SlowQueue: c.SlowQueueURL} {
			if err := b.Queue.Send(t.Context(), name, []storage.Message{{Body: "poison"}})[0]; err != nil {
				t.Fatalf("Send to the %s queue: %v", name, err)
			}
			for n := range storage.MaxReceives {
				if got := receiveAndRefuse(t, c, url); got != 1 {
					t.Fatalf("receive number %d of the %s queue: %d messages, want 1", n+1, name, got)
				}
			}
			if got := receiveAndRefuse(t, c, url); got != 0 {
				t.Errorf("received once more than %d times", storage.MaxReceives)
			}
			want := storage.Depth{Dead: 1}
			if got, err := b.Queue.Depth(t.Context(), name); err != nil || got != want {
				t.Errorf("Depth of %s = %+v, %v; want %+v", name, got, err, want)
			}
		}
	})
}

func TestQueuesCreatedAgainAreTheSame(t *testing.T) {
	onEachSQS(t, func(t *testing.T, c config.AWS) {
		first := createQueues(t, c)
		if diff := cmp.Diff(first, createQueues(t, first)); diff != "" {
			t.Errorf("CreateQueues once more (-first +second):\n%s", diff)
		}
		var got []string
		for _, url := range []string{first.EventsQueueURL, first.EventsDeadURL, first.RetryQueueURL, first.RetryDeadURL, first.SlowQueueURL, first.SlowDeadURL} {
			got = append(got, path.Base(url))
		}
		if diff := cmp.Diff([]string{"test-events", "test-events-dead", "test-retry", "test-retry-dead", "test-slow", "test-slow-dead"}, got); diff != "" {
			t.Errorf("names in the URLs (-want +got):\n%s", diff)
		}
	})
}

func TestCreateQueuesFailsWhereNobodyListens(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := "http://" + l.Addr().String()
	l.Close()
	_, err = cloud.CreateQueues(t.Context(), testConfig(cloud.Endpoints{SQS: closed}).AWS, "a", "b", "c")
	if err == nil || !strings.Contains(err.Error(), "AWS_ENDPOINT_URL_SQS") {
		t.Errorf("CreateQueues: %v, want an error that names AWS_ENDPOINT_URL_SQS", err)
	}
}

// TestQueuesAreCreatedAsTheTemplateDescribesThem holds every request, and that
// the first that is refused is the last.
func TestQueuesAreCreatedAsTheTemplateDescribesThem(t *testing.T) {
	var asked []string
	refuse := -1
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var in struct {
			QueueName, QueueUrl string
			Attributes          map[string]string
		}
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
			t.Errorf("request: %v", err)
		}
		_, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
		name := in.QueueName + path.Base("/"+in.QueueUrl)
		attributes, _ := json.Marshal(in.Attributes)
		asked = append(asked, operation+" "+strings.Trim(name, "/")+" "+string(attributes))
		switch {
		case len(asked)-1 == refuse:
			w.WriteHeader(http.StatusBadRequest)
			io.WriteString(w, `{"__type":"com.amazonaws.sqs#InvalidAddress"}`)
		case operation == "GetQueueUrl":
			w.WriteHeader(http.StatusBadRequest)
			io.WriteString(w, `{"__type":"com.amazonaws.sqs#QueueDoesNotExist"}`)
		default:
			fmt.Fprintf(w, `{"QueueUrl":"http://sqs.test/1/%s","Attributes":{"QueueArn":"arn:%[1]s"}}`, strings.Trim(name, "/"))
		}
	}))
	t.Cleanup(server.Close)
	const dead = `{"MessageRetentionPeriod":"1209600"}`
	const queue = `{"MessageRetentionPeriod":"1209600","ReceiveMessageWaitTimeSeconds":"20","RedrivePolicy":"{\"deadLetterTargetArn\":\"arn:%s-dead\",\"maxReceiveCount\":5}","VisibilityTimeout":"200"}`
	want := []string{
		"GetQueueUrl e-dead null", "CreateQueue e-dead " + dead, "GetQueueAttributes e-dead null", "GetQueueUrl e null", "CreateQueue e " + fmt.Sprintf(queue, "e"),
		"GetQueueUrl r-dead null", "CreateQueue r-dead " + dead, "GetQueueAttributes r-dead null", "GetQueueUrl r null", "CreateQueue r " + fmt.Sprintf(queue, "r"),
		"GetQueueUrl s-dead null", "CreateQueue s-dead " + dead, "GetQueueAttributes s-dead null", "GetQueueUrl s null", "CreateQueue s " + fmt.Sprintf(queue, "s"),
	}
	given := testConfig(cloud.Endpoints{SQS: server.URL}).AWS
	made := given
	made.EventsQueueURL, made.EventsDeadURL = "http://sqs.test/1/e", "http://sqs.test/1/e-dead"
	made.RetryQueueURL, made.RetryDeadURL = "http://sqs.test/1/r", "http://sqs.test/1/r-dead"
	made.SlowQueueURL, made.SlowDeadURL = "http://sqs.test/1/s", "http://sqs.test/1/s-dead"
	got, err := cloud.CreateQueues(t.Context(), given, "e", "r", "s")
	if diff := cmp.Diff(made, got); diff != "" || err != nil {
		t.Errorf("CreateQueues: %v (-want +got):\n%s", err, diff)
	}
	if diff := cmp.Diff(want, asked); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
	for refuse = range want {
		asked = nil
		_, err := cloud.CreateQueues(t.Context(), given, "e", "r", "s")
		name := " queue " + strings.Fields(want[refuse])[1] + ":"
		if err == nil || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), "InvalidAddress") || len(asked) != refuse+1 {
			t.Errorf("CreateQueues of which request %d is refused: %v after %d requests, want an error with %q and no further one", refuse, err, len(asked), name)
		}
	}
}

// TestCreateQueuesClosesItsConnections waits until the server sees an end.
func TestCreateQueuesClosesItsConnections(t *testing.T) {
	closed := make(chan bool, 100)
	server := httptest.NewUnstartedServer(&sqstest.Server{})
	server.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateClosed {
			closed <- true
		}
	}
	server.Start()
	t.Cleanup(server.Close)
	createQueues(t, testConfig(cloud.Endpoints{SQS: server.URL}).AWS)
	for range 2 { // that which reach dialed, and the client's
		<-closed
	}
}

func TestSecretThatIsThereAndCannotBeReadIsTold(t *testing.T) {
	b := answering(t, &answers{of: map[string]string{"CreateSecret": "ResourceExistsException", "GetSecretValue": "InvalidParameterException"}})
	arn, held, err := b.CreateSecret(t.Context(), "key-ring", "hush-hush")
	if arn != "" || held != "" || err == nil || !strings.Contains(err.Error(), "read secret key-ring") || !strings.Contains(err.Error(), "InvalidParameter") {
		t.Errorf("CreateSecret of one that cannot be read = %q, %q, %v, want that it could not be read", arn, held, err)
	}
}

func TestSecretCreatedAgainKeepsItsText(t *testing.T) {
	for name, start := range map[string]func(*testing.T) string{"stand-in": startSecrets, "moto": startMoto} {
		t.Run(name, func(t *testing.T) {
			b, err := cloud.Open(t.Context(), testConfig(cloud.Endpoints{Secrets: start(t)}))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(b.Close)
			arn, held, err := b.CreateSecret(t.Context(), "key-ring", "first")
			if err != nil || !strings.HasPrefix(arn, "arn:") || held != "first" {
				t.Fatalf("CreateSecret = %q, %q, %v; want an ARN and its text", arn, held, err)
			}
			again, held, err := b.CreateSecret(t.Context(), "key-ring", "second")
			if err != nil || again != arn || held != "first" {
				t.Errorf("CreateSecret once more = %q, %q, %v; want %q and the first text", again, held, err, arn)
			}
			if got, err := b.Secret(t.Context(), arn); err != nil || string(got) != "first" {
				t.Errorf("Secret = %q, %v; want the first text", got, err)
			}
		})
	}
}

func TestSecretThatCannotBeCreatedIsNotTold(t *testing.T) {
	refusing := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusBadRequest)
		io.WriteString(w, `{"__type":"InvalidParameterException","message":"no"}`)
	}))
	t.Cleanup(refusing.Close)
	b, err := cloud.Open(t.Context(), testConfig(cloud.Endpoints{Secrets: refusing.URL}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	_, _, err = b.CreateSecret(t.Context(), "key-ring", "hush-hush")
	if err == nil || !strings.Contains(err.Error(), "create secret key-ring") || strings.Contains(err.Error(), "hush-hush") {
		t.Errorf("CreateSecret: %v, want an error with the name and without the text", err)
	}
}

// onEachSQS runs f on the SQS of these tests and, for a second opinion, on one
// that others wrote.
func onEachSQS(t *testing.T, f func(t *testing.T, c config.AWS)) {
	t.Run("sqstest", func(t *testing.T) {
		server := httptest.NewServer(&sqstest.Server{})
		t.Cleanup(server.Close)
		f(t, testConfig(cloud.Endpoints{SQS: server.URL}).AWS)
	})
	t.Run("moto", func(t *testing.T) { f(t, testConfig(cloud.Endpoints{SQS: startMoto(t)}).AWS) })
}

func createQueues(t *testing.T, c config.AWS) config.AWS {
	t.Helper()
	c, err := cloud.CreateQueues(t.Context(), c, "test-events", "test-retry", "test-slow")
	if err != nil {
		t.Fatalf("CreateQueues: %v", err)
	}
	return c
}

// receiveAndRefuse receives from a queue, lets what comes be visible again at
// once, and returns how many messages that was.
func receiveAndRefuse(t *testing.T, c config.AWS, url string) int {
	t.Helper()
	client := sqstest.Connect(c.Endpoints.SQS, &http.Client{Transport: &http.Transport{DisableKeepAlives: true}})
	out, err := client.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: aws.String(url), WaitTimeSeconds: 1})
	if err != nil {
		t.Fatalf("ReceiveMessage: %v", err)
	}
	for _, m := range out.Messages {
		_, err := client.ChangeMessageVisibility(t.Context(), &sqs.ChangeMessageVisibilityInput{
			QueueUrl: aws.String(url), ReceiptHandle: m.ReceiptHandle, VisibilityTimeout: 0,
		})
		if err != nil {
			t.Fatalf("ChangeMessageVisibility: %v", err)
		}
	}
	return len(out.Messages)
}

// startSecrets returns the URL of a Secrets Manager that knows how to create a
// secret and to read it.
func startSecrets(t *testing.T) string {
	t.Helper()
	texts := map[string]string{} // by ARN
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var in struct{ Name, SecretId, SecretString string }
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
			t.Errorf("request: %v", err)
		}
		arn := "arn:aws:secretsmanager:us-east-1:123456789012:secret:" + in.Name + in.SecretId
		if strings.HasPrefix(in.SecretId, "arn:") {
			arn = in.SecretId
		}
		_, there := texts[arn]
		switch {
		case strings.HasSuffix(r.Header.Get("X-Amz-Target"), ".CreateSecret") && there:
			w.WriteHeader(http.StatusBadRequest)
			io.WriteString(w, `{"__type":"ResourceExistsException"}`)
			return
		case strings.HasSuffix(r.Header.Get("X-Amz-Target"), ".CreateSecret"):
			texts[arn] = in.SecretString
		case !there:
			w.WriteHeader(http.StatusBadRequest)
			io.WriteString(w, `{"__type":"ResourceNotFoundException"}`)
			return
		}
		json.NewEncoder(w).Encode(map[string]string{"ARN": arn, "SecretString": texts[arn]})
	}))
	t.Cleanup(server.Close)
	return server.URL
}
