package runtimetest_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ringback/shared/cloud/runtimetest"

	"github.com/aws/aws-lambda-go/events"
)

// functionEnv is what a template gives to a function.
var functionEnv = []string{
	"REGISTRATIONS_TABLE=r", "DELIVERIES_TABLE=d", "EVENTS_QUEUE_URL=https://e", "RETRY_QUEUE_URL=https://q", "SLOW_QUEUE_URL=https://s",
	"AWS_REGION=us-east-1", "AWS_ACCESS_KEY_ID=test", "AWS_SECRET_ACCESS_KEY=test",
}

func TestFunctionAnswersManyEvents(t *testing.T) {
	f := runtimetest.Start(t, runtimetest.Options{Binary: build(t), Env: functionEnv})
	t.Logf("init took %v", f.Init)
	for _, body := range []string{"one", "two", "three"} {
		got, err := f.Invoke(t.Context(), events.APIGatewayV2HTTPRequest{Body: body})
		if err != nil || !strings.Contains(string(got), `"body":"`+body+`"`) {
			t.Errorf("Invoke with %q = %s, %v; want the body back", body, got, err)
		}
	}
	f.Stop()
	if n := strings.Count(f.Output(), `"Callbacks":1`); n != 3 {
		t.Errorf("three invocations wrote %d lines of metrics:\n%s", n, f.Output())
	}
	if !strings.Contains(f.Output(), "ended in order") {
		t.Errorf("SIGTERM did not reach the function:\n%s", f.Output())
	}
}

func TestFunctionThatEndsOrHangsIsReported(t *testing.T) {
	binary := build(t)
	for _, tt := range []struct{ body, want string }{{"end", "ended during"}, {"hang", "timed out"}} {
		f := runtimetest.Start(t, runtimetest.Options{Binary: binary, Env: functionEnv, Limit: time.Second})
		if got, err := f.Invoke(t.Context(), events.APIGatewayV2HTTPRequest{Body: tt.body}); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("Invoke with %q = %s, %v; want that it %s", tt.body, got, err, tt.want)
		}
		if _, err := f.Invoke(t.Context(), events.APIGatewayV2HTTPRequest{}); err == nil {
			t.Errorf("Invoke after %q succeeded, want that the function has ended", tt.body)
		}
	}
}

func TestFunctionWithoutConfigurationFailsAtOnce(t *testing.T) {
	output := runtimetest.Failure(t, runtimetest.Options{Binary: build(t), Env: functionEnv[1:]})
	if !strings.Contains(output, "REGISTRATIONS_TABLE is not set") {
		t.Errorf("%s\nwant that REGISTRATIONS_TABLE is not set", output)
	}
}

// build returns the bootstrap of testdata/function, made as it is deployed but
// for this machine.
func build(t *testing.T) string {
	t.Helper()
	if testing.Short() {
		t.Skip("building takes long")
	}
	path := filepath.Join(t.TempDir(), "bootstrap")
	cmd := exec.Command("go", "build", "-trimpath", "-tags", "lambda.norpc", "-ldflags", "-s -w", "-o", path, "./testdata/function")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return path
}
