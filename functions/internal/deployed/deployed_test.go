package deployed

import (
	"bytes"
	"encoding/json"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"ringback/shared/keyring"
	"ringback/shared/provider/all"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const ring = "0123456789abcdefghijklmnopqrstuvwxyz"

func TestOpenNamesEveryVariableThatIsMissing(t *testing.T) {
	setenv(t, nil)
	_, err := Open(t.Context(), nil)
	for _, name := range []string{"REGISTRATIONS_TABLE", "DELIVERIES_TABLE", "EVENTS_QUEUE_URL", "RETRY_QUEUE_URL", "SLOW_QUEUE_URL"} {
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("Open with an empty environment: %v, want %s named", err, name)
		}
	}
}

// TestLastWordsAboutABadVariableAreJSON says them as a main does.
func TestLastWordsAboutABadVariableAreJSON(t *testing.T) {
	r, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, was := os.Stdout, slog.Default()
	defer slog.SetDefault(was)
	t.Setenv("LOG_LEVEL", "loud")
	os.Stdout = out
	_, err = Open(t.Context(), nil)
	os.Stdout = stdout
	log.Print(err)
	out.Close()
	var line struct{ Level, Message string }
	if err := json.NewDecoder(r).Decode(&line); err != nil || line.Level != "ERROR" || !strings.Contains(line.Message, "LOG_LEVEL") {
		t.Errorf("line %+v, %v; want one of JSON with the level ERROR that names LOG_LEVEL", line, err)
	}
}

func TestOpenTakesTheKeysFromTheSecret(t *testing.T) {
	secrets := serve(t, map[string]string{"arn:ring": "\n" + ring + "\n"})
	setenv(t, secrets.variables(map[string]string{"KEY_RING_SECRET": "arn:ring"}))
	d, err := Open(t.Context(), all.Providers())
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	defer d.Backend.Close()
	want, err := keyring.Parse(ring)
	if err != nil {
		t.Fatal(err)
	}
	if got := d.Gateway.ID(); got != want.GatewayID() {
		t.Errorf("gateway %s, want the one of the key ring, %s", got, want.GatewayID())
	}
	if len(d.Gateway.Providers) != len(all.Providers()) {
		t.Errorf("gateway knows %d providers, want %d", len(d.Gateway.Providers), len(all.Providers()))
	}
}

func TestOpenRefusesAKeyRingThatCannotBeUsedWithoutShowingIt(t *testing.T) {
	secrets := serve(t, map[string]string{"arn:short": "too-short", "arn:empty": " \n"})
	for arn, want := range map[string]string{
		"":          "config: KEY_RING_SECRET is not set",
		"arn:short": "secret of KEY_RING_SECRET: key ring line 1",
		"arn:empty": "secret of KEY_RING_SECRET: it is empty",
		"arn:none":  "secret of KEY_RING_SECRET: read secret arn:none",
	} {
		setenv(t, secrets.variables(map[string]string{"KEY_RING_SECRET": arn}))
		_, err := Open(t.Context(), nil)
		if err == nil || !strings.HasPrefix(err.Error(), want) || strings.Contains(err.Error(), "too-short") {
			t.Errorf("Open with the key ring %q: %v, want %q and not the key", arn, err, want)
		}
	}
}

func TestOpenKeylessReadsNoSecret(t *testing.T) {
	secrets := serve(t, map[string]string{"arn:ring": ring})
	setenv(t, secrets.variables(map[string]string{"KEY_RING_SECRET": "arn:ring", "OPERATOR_KEY_SECRET": "arn:ring"}))
	d, err := OpenKeyless(t.Context())
	if err != nil {
		t.Fatalf("OpenKeyless: %v", err)
	}
	defer d.Backend.Close()
	if d.Gateway.Keys != nil || len(secrets.asked) > 0 {
		t.Errorf("OpenKeyless: keys %v, asked for %v; want neither", d.Gateway.Keys, secrets.asked)
	}
}

func TestOperatorKeyIsReadWhenAsked(t *testing.T) {
	secrets := serve(t, map[string]string{"arn:ring": ring, "arn:operator": "the operator's key\n"})
	setenv(t, secrets.variables(map[string]string{"KEY_RING_SECRET": "arn:ring", "OPERATOR_KEY_SECRET": "arn:operator"}))
	d, err := Open(t.Context(), nil)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	defer d.Backend.Close()
	if diff := cmp.Diff([]string{"arn:ring"}, secrets.asked); diff != "" {
		t.Errorf("asked by Open (-want +got):\n%s", diff)
	}
	got, err := d.OperatorKey(t.Context())
	if err != nil || got != "the operator's key" {
		t.Errorf("OperatorKey = %q, %v; want the secret without white space", got, err)
	}
}

func TestLinesHaveTheKeysThatLambdaReads(t *testing.T) {
	var out bytes.Buffer
	log := newLogger(&out, slog.LevelWarn)
	log.Info("left out")
	log.Warn("retry", "outcome", "braked", slog.Group("in", slog.String("msg", "stays")))
	var got map[string]any
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatalf("line %q: %v", out.String(), err)
	}
	if got["timestamp"] == nil {
		t.Errorf("line %q has no timestamp", out.String())
	}
	delete(got, "timestamp")
	want := map[string]any{"level": "WARN", "message": "retry", "outcome": "braked", "in": map[string]any{"msg": "stays"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("line (-want +got):\n%s", diff)
	}
}

// A manager serves secrets as Secrets Manager does.
type manager struct {
	url   string
	asked []string // ARNs, in order
}

func serve(t *testing.T, secrets map[string]string) *manager {
	t.Helper()
	m := &manager{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var in struct {
			SecretID string `json:"SecretId"`
		}
		b, _ := io.ReadAll(r.Body)
		if err := json.Unmarshal(b, &in); err != nil {
			t.Errorf("request %q: %v", b, err)
		}
		m.asked = append(m.asked, in.SecretID)
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		text, ok := secrets[in.SecretID]
		if !ok {
			w.WriteHeader(http.StatusBadRequest)
			io.WriteString(w, `{"__type":"ResourceNotFoundException"}`)
			return
		}
		json.NewEncoder(w).Encode(map[string]string{"SecretString": text})
	}))
	t.Cleanup(server.Close)
	m.url = server.URL
	return m
}

// variables returns an environment in which everything is set, and more.
func (m *manager) variables(more map[string]string) map[string]string {
	v := map[string]string{
		"REGISTRATIONS_TABLE": "registrations", "DELIVERIES_TABLE": "deliveries",
		"EVENTS_QUEUE_URL": m.url + "/1/events", "RETRY_QUEUE_URL": m.url + "/1/retry", "SLOW_QUEUE_URL": m.url + "/1/slow",
		"AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test",
		"AWS_ENDPOINT_URL": m.url,
	}
	for name, value := range more {
		v[name] = value
	}
	return v
}

// setenv sets the environment to variables until the test ends, and lets the
// default logger be what it was.
func setenv(t *testing.T, variables map[string]string) {
	t.Helper()
	was := slog.Default()
	t.Cleanup(func() { slog.SetDefault(was) })
	for _, name := range []string{
		"REGISTRATIONS_TABLE", "DELIVERIES_TABLE", "EVENTS_QUEUE_URL", "RETRY_QUEUE_URL", "SLOW_QUEUE_URL", "KEY_RING_SECRET", "OPERATOR_KEY_SECRET",
		"AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_DYNAMODB",
		"AWS_ENDPOINT_URL_SQS", "AWS_ENDPOINT_URL_SECRETS_MANAGER", "HTTP_PROXY", "http_proxy",
	} {
		t.Setenv(name, variables[name])
	}
}
