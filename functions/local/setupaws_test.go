package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ringback/shared/app"
	"ringback/shared/app/samples"
	"ringback/shared/cloud"
	"ringback/shared/cloud/dynamotest"
	"ringback/shared/cloud/runtimetest"
	"ringback/shared/cloud/sqstest"
	"ringback/shared/config"
	"ringback/shared/keyring"
	"ringback/shared/provider/all"
	"ringback/shared/storage"
)

// TestSetupAWSMakesWhatTheCommittedEventsSpeakTo sends a committed callback of each
// provider to a gateway that is opened with what setup-aws printed. That each
// file of events/ finds its source, tenant and group, shared/test/pipeline tests.
func TestSetupAWSMakesWhatTheCommittedEventsSpeakTo(t *testing.T) {
	emulator, dir := startAWS(t), t.TempDir()
	env := emulator.setUp(t, "-data", dir)
	if diff := cmp.Diff(env, emulator.setUp(t, "-data", dir)); diff != "" {
		t.Errorf("setup-aws once more (-first +second):\n%s", diff)
	}
	cfg, err := config.Load(func(name string) string { return env[name] })
	if err != nil {
		t.Fatal(err)
	}
	b, err := cloud.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	ring, err := b.Secret(t.Context(), cfg.AWS.KeyRingSecret)
	if err != nil {
		t.Fatal(err)
	}
	if key, err := b.Secret(t.Context(), cfg.AWS.OperatorKeySecret); err != nil || strings.TrimSpace(string(key)) != samples.OperatorKey {
		t.Errorf("operator key %q, %v; want that of the samples", key, err)
	}
	keys, err := keyring.Parse(string(ring))
	if err != nil {
		t.Fatal(err)
	}
	g, err := app.New(cfg, app.Parts{Store: b.Store, Queue: b.Queue, Keys: keys, Providers: all.Providers()})
	if err != nil {
		t.Fatal(err)
	}
	for provider, file := range map[string]string{
		"smartbots": "smartbots-group-chat.json", "tencent-chat": "tencentchat-bot-on-group-message.json", "direct": "direct-delivered.json",
	} {
		s, body := readSample(t, filepath.Join("../../events", file))
		req := httptest.NewRequest(s.RequestContext.HTTP.Method, s.RawPath+"?"+s.RawQuery, bytes.NewReader(body))
		for name, value := range s.Headers {
			req.Header.Set(name, value)
		}
		resp := httptest.NewRecorder()
		app.Callback(g, provider).ServeHTTP(resp, req)
		if resp.Code != http.StatusOK {
			t.Errorf("%s: status %d, %s; want 200", file, resp.Code, resp.Body)
		}
	}
	if depth, err := b.Queue.Depth(t.Context(), storage.EventsQueue); err != nil || depth.Waiting != 3 {
		t.Errorf("events queue: %+v, %v; want the three callbacks", depth, err)
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

func TestSetupAWSWithoutDynamoDBSaysWhatIsMissing(t *testing.T) {
	closed := awsAt{dynamo: closedURL(t), sqs: serveSQS(t)}
	runtimetest.AtOnce(t, "setup-aws", func() {
		if _, stderr, code := closed.run(t, "-data", t.TempDir()); code != 1 || !strings.Contains(stderr, "AWS_ENDPOINT_URL_DYNAMODB") {
			t.Errorf("setup-aws where no DynamoDB listens: exit %d, %q; want 1 and the variable", code, stderr)
		}
	})
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

// setUp returns the environment that setup-aws prints for functions outside of
// containers.
func (a awsAt) setUp(t *testing.T, args ...string) map[string]string {
	t.Helper()
	stdout, stderr, code := a.run(t, append(args, "-reach", "")...)
	var printed struct{ Parameters map[string]string }
	if err := json.Unmarshal([]byte(stdout), &printed); code != 0 || err != nil {
		t.Fatalf("setup-aws %q: exit %d, %v, %s", args, code, err, stderr)
	}
	return printed.Parameters
}

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
