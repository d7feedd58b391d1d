package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ringback/shared/cloud/dynamotest"
	"ringback/shared/cloud/runtimetest"
	"ringback/shared/cloud/sqstest"
	"ringback/shared/storage"
	"ringback/shared/test/tracked"
)

// refusals are the files of events/ whose answer is a refusal, by what their
// names say; all others must find what they speak to.
var refusals = regexp.MustCompile(`-(no-key|wrong-key|no-login|wrong-password|unknown-source|unknown-route|unknown-method|unknown-field|other-app|other-command|two-apps|bearer` +
	`|broken-json|message-commented|callback-twice|empty|not-json|not-object|number|get|put)\.json$`)

// TestEveryCommittedEventFindsWhatItSpeaksTo plays each file of events/ on the
// function of its name, as sam local invoke does, after one setup-aws.
func TestEveryCommittedEventFindsWhatItSpeaksTo(t *testing.T) {
	aws, dir := startAWS(t), t.TempDir()
	env := aws.setUp(t, "-data", dir)
	if diff := cmp.Diff(env, aws.setUp(t, "-data", dir)); diff != "" {
		t.Errorf("setup-aws once more (-first +second):\n%s", diff)
	}
	repository := tracked.Files("../..")
	files, err := fs.Glob(repository, "events/*.json")
	if err != nil || len(files) < 100 {
		t.Fatalf("events: %d files, %v; want over 100", len(files), err)
	}
	functions := map[string]*runtimetest.Function{}
	for _, binary := range buildFunctions(t) {
		functions[filepath.Base(binary)] = runtimetest.Start(t, runtimetest.Options{Binary: binary, Env: env})
	}
	for _, file := range files {
		event, err := fs.ReadFile(repository, file)
		if err != nil {
			t.Fatal(err)
		}
		name, _, _ := strings.Cut(filepath.Base(file), "-")
		event = bytes.ReplaceAll(event, []byte(":ringback-"), []byte(":"+aws.name+"-")) // queues by their default names
		answer, err := functions[name].Invoke(t.Context(), json.RawMessage(event))
		var http struct {
			StatusCode int
			Body       string
		}
		json.Unmarshal(answer, &http) // Worker and Retry answer otherwise
		switch ok := http.StatusCode/100 == 2 && !strings.Contains(http.Body, `"result":"FAIL"`); {
		case err != nil:
			t.Errorf("%s: %v\n%s", filepath.Base(file), err, functions[name].Output())
		case name == "worker" || name == "retry":
		case ok == refusals.MatchString(file):
			t.Errorf("%s: %s", filepath.Base(file), answer)
		}
	}
}

// TestWhatSetupAWSPrintsIsForContainersAndHoldsNobodysSecrets wants addresses
// that containers reach, and of credentials none of the shell's.
func TestWhatSetupAWSPrintsIsForContainersAndHoldsNobodysSecrets(t *testing.T) {
	aws := startAWS(t)
	stdout, stderr, code := aws.run(t, "-data", t.TempDir())
	if code != 0 || strings.Contains(stdout, "127.0.0.1") || strings.Count(stdout, "http://host.docker.internal:") != 9 {
		t.Errorf("setup-aws: exit %d, %s%s; want nine addresses at host.docker.internal", code, stdout, stderr)
	}
	for _, name := range []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"} {
		if !strings.Contains(stdout, `"`+name+`": "local"`) {
			t.Errorf("setup-aws prints %s, want local for %s", stdout, name)
		}
	}
}

func TestSetupAWSWithoutSecretsManagerSaysWhatToDo(t *testing.T) {
	aws, dir := startAWS(t), t.TempDir()
	aws.secrets = ""
	stdout, stderr, code := aws.run(t, "-data", dir)
	for _, want := range []string{"KEY_RING_SECRET", "OPERATOR_KEY_SECRET", filepath.Join(dir, "key-ring"), filepath.Join(dir, "operator-key")} {
		if code != 0 || !strings.Contains(stderr, want) || strings.Contains(stdout, "KEY_RING_SECRET") {
			t.Errorf("setup-aws: exit %d, %q on stderr, want 0 and %s", code, stderr, want)
		}
	}
}

func TestSetupAWSRefusesAWSItself(t *testing.T) {
	_, stderr, code := awsAt{}.run(t, "-data", t.TempDir())
	for _, want := range []string{"AWS_ENDPOINT_URL_DYNAMODB", "AWS_ENDPOINT_URL_SQS"} {
		if code != 1 || !strings.Contains(stderr, want) {
			t.Errorf("setup-aws without an emulator: exit %d, %q; want 1 and %s", code, stderr, want)
		}
	}
}

func TestNothingStartsWithoutItsStoreAndItSaysWhy(t *testing.T) {
	closed := awsAt{dynamo: closedURL(t), sqs: serveSQS(t)}
	runtimetest.AtOnce(t, "setup-aws", func() {
		if _, stderr, code := closed.run(t, "-data", t.TempDir()); code != 1 || !strings.Contains(stderr, "AWS_ENDPOINT_URL_DYNAMODB") {
			t.Errorf("setup-aws where no DynamoDB listens: exit %d, %q; want 1 and the variable", code, stderr)
		}
	})
	env := append(closed.environ(), "REGISTRATIONS_TABLE=r", "DELIVERIES_TABLE=d", "EVENTS_QUEUE_URL="+closed.sqs+"/1/e",
		"RETRY_QUEUE_URL="+closed.sqs+"/1/r", "SLOW_QUEUE_URL="+closed.sqs+"/1/s", "KEY_RING_SECRET=arn:k", "OPERATOR_KEY_SECRET=arn:o",
		"AWS_REGION=us-east-1", "AWS_ACCESS_KEY_ID=test", "AWS_SECRET_ACCESS_KEY=test")
	for _, binary := range buildFunctions(t) {
		if output := runtimetest.Failure(t, runtimetest.Options{Binary: binary, Env: env}); !strings.Contains(output, "AWS_ENDPOINT_URL_DYNAMODB") {
			t.Errorf("%s where no DynamoDB listens: %q, want the variable", filepath.Base(binary), output)
		}
	}
}

// awsAt is where emulators listen; empty: nowhere.
type awsAt struct {
	dynamo, sqs, secrets string
	name                 string // for -name: an emulator may have been there before
}

func startAWS(t *testing.T) awsAt {
	t.Helper()
	return awsAt{dynamotest.Endpoint(t), serveSQS(t), serveSecrets(t), "test-" + storage.NewRev()}
}

func (a awsAt) environ() []string {
	return []string{"AWS_ENDPOINT_URL_DYNAMODB=" + a.dynamo, "AWS_ENDPOINT_URL_SQS=" + a.sqs, "AWS_ENDPOINT_URL_SECRETS_MANAGER=" + a.secrets}
}

// run runs setup-aws to its end, with nothing in its environment but a.
func (a awsAt) run(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	var out, log bytes.Buffer
	cmd := exec.Command(os.Args[0], append([]string{"setup-aws", "-name", a.name}, args...)...)
	cmd.Env = append(a.environ(), asRunner+"=1", "AWS_ACCESS_KEY_ID=AKIAOFSOMEBODY", "AWS_SECRET_ACCESS_KEY=secret", "AWS_SESSION_TOKEN=token")
	cmd.Stdout, cmd.Stderr = &out, &log
	var exit *exec.ExitError
	if err := cmd.Run(); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return out.String(), log.String(), cmd.ProcessState.ExitCode()
}

// setUp returns what setup-aws prints as the environment of a process, in order.
func (a awsAt) setUp(t *testing.T, args ...string) []string {
	t.Helper()
	stdout, stderr, code := a.run(t, append(args, "-reach", "")...)
	var printed struct{ Parameters map[string]string }
	if err := json.Unmarshal([]byte(stdout), &printed); code != 0 || err != nil {
		t.Fatalf("setup-aws %q: exit %d, %v, %s", args, code, err, stderr)
	}
	var env []string
	for l := range strings.Lines(stdout) {
		if name, _, found := strings.Cut(strings.TrimSpace(l), `": "`); found {
			name = strings.TrimPrefix(name, `"`)
			env = append(env, name+"="+printed.Parameters[name])
		}
	}
	return env
}

// buildFunctions returns the binaries of all functions.
func buildFunctions(t *testing.T) []string {
	t.Helper()
	binaries, err := built()
	if err != nil {
		t.Fatal(err)
	}
	return binaries
}

// built builds the functions, once, for this machine and otherwise as they are
// deployed, so that the packages which other tests built serve here too. TestMain
// removes them.
var built = sync.OnceValues(func() (binaries []string, err error) {
	args := []string{"build", "-trimpath", "-tags", "lambda.norpc", "-o", builtIn + string(filepath.Separator)}
	for _, name := range []string{"smartbots", "tencentchat", "direct", "worker", "retry", "api"} {
		args = append(args, "ringback/functions/"+name)
		binaries = append(binaries, filepath.Join(builtIn, name))
	}
	cmd := exec.Command("go", args...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("go %q: %w\n%s", args, err, out)
	}
	return binaries, nil
})

var builtIn = filepath.Join(os.TempDir(), fmt.Sprintf("ringback-functions-%d", os.Getpid()))

func serveSQS(t *testing.T) string {
	t.Helper()
	server := httptest.NewServer(&sqstest.Server{})
	t.Cleanup(server.Close)
	return server.URL
}

// serveSecrets serves as much of Secrets Manager as is used.
func serveSecrets(t *testing.T) string {
	t.Helper()
	texts := map[string]string{} // by ARN
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var in struct{ Name, SecretId, SecretString string }
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
			t.Errorf("request: %v", err)
		}
		arn := "arn:" + strings.TrimPrefix(in.Name+in.SecretId, "arn:")
		_, there := texts[arn]
		create := strings.HasSuffix(r.Header.Get("X-Amz-Target"), ".CreateSecret")
		if create == there {
			w.WriteHeader(http.StatusBadRequest)
			io.WriteString(w, map[bool]string{true: `{"__type":"ResourceExistsException"}`, false: `{"__type":"ResourceNotFoundException"}`}[there])
			return
		}
		if create {
			texts[arn] = in.SecretString
		}
		json.NewEncoder(w).Encode(map[string]string{"ARN": arn, "SecretString": texts[arn]})
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// closedURL returns a URL at which nobody listens.
func closedURL(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return "http://" + l.Addr().String()
}
