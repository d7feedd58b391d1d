package cloud_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"ringback/shared/cloud"
	"ringback/shared/config"

	"go.uber.org/goleak"
)

// TestMain is a function's main where Lambda runs it, for
// TestStartedFunctionHandlesEvents.
func TestMain(m *testing.M) {
	if os.Getenv("AWS_LAMBDA_RUNTIME_API") != "" {
		b := &cloud.Backend{Metrics: &cloud.Metrics{Service: "started"}}
		cloud.Start(b, cloud.Schedule(func(context.Context) error {
			b.Metrics.Add("Ticks", 1)
			return nil
		}))
	}
	goleak.VerifyTestMain(suite{m})
}

// suite is all tests and the end of what they share.
type suite struct{ *testing.M }

func (s suite) Run() int {
	defer moto.stop()
	return s.M.Run()
}

func TestOpenNamesAllThatIsMissing(t *testing.T) {
	_, err := cloud.Open(t.Context(), config.Config{})
	for _, name := range []string{"REGISTRATIONS_TABLE", "DELIVERIES_TABLE", "EVENTS_QUEUE_URL", "RETRY_QUEUE_URL", "SLOW_QUEUE_URL",
		"AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"} {
		if err == nil || !strings.Contains(err.Error(), name+" is not set") {
			t.Errorf("Open of nothing: %v, want it to name %s", err, name)
		}
	}
}

func TestStartFailsWhereNobodyListens(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := "http://" + l.Addr().String()
	l.Close()
	for _, tt := range []struct {
		name      string
		endpoints cloud.Endpoints
		want      string
	}{
		{"DynamoDB", cloud.Endpoints{DynamoDB: closed}, "AWS_ENDPOINT_URL_DYNAMODB"},
		{"SQS", cloud.Endpoints{SQS: closed}, "AWS_ENDPOINT_URL_SQS"},
		{"secrets", cloud.Endpoints{Secrets: closed}, "AWS_ENDPOINT_URL_SECRETS_MANAGER"},
		{"no URL", cloud.Endpoints{SQS: "127.0.0.1"}, "want a URL"},
		{"address that swallows packets", cloud.Endpoints{DynamoDB: "http://192.0.2.1:8000"}, "AWS_ENDPOINT_URL_DYNAMODB"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := cloud.Open(t.Context(), testConfig(tt.endpoints)); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Open: %v, want an error that names %s", err, tt.want)
			}
		})
	}
}

func TestSecretIsReadAsTextOrBytes(t *testing.T) {
	b := openSecrets(t, map[string]string{
		"arn:text":  `{"SecretString":"key ring"}`,
		"arn:bytes": `{"SecretBinary":"` + base64.StdEncoding.EncodeToString([]byte{0, 0xff}) + `"}`,
	})
	for arn, want := range map[string]string{"arn:text": "key ring", "arn:bytes": "\x00\xff"} {
		got, err := b.Secret(t.Context(), arn)
		if err != nil || string(got) != want {
			t.Errorf("Secret(%s) = %q, %v; want %q", arn, got, err, want)
		}
	}
	if got, err := b.Secret(t.Context(), "arn:none"); err == nil || !strings.Contains(err.Error(), "arn:none") {
		t.Errorf("Secret of none = %q, %v; want an error that names it", got, err)
	}
}

// openSecrets returns a Backend whose Secrets Manager holds answers by ARN.
func openSecrets(t *testing.T, answers map[string]string) *cloud.Backend {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		for arn, answer := range answers {
			if r.Header.Get("X-Amz-Target") == "secretsmanager.GetSecretValue" && strings.Contains(string(body), `"`+arn+`"`) {
				fmt.Fprint(w, answer)
				return
			}
		}
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprint(w, `{"__type":"ResourceNotFoundException"}`)
	}))
	t.Cleanup(server.Close)
	b, err := cloud.Open(t.Context(), testConfig(cloud.Endpoints{Secrets: server.URL}))
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	t.Cleanup(b.Close)
	return b
}
