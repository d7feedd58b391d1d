package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"ringback/shared/api/apitest"
	"ringback/shared/embedded"
	"ringback/shared/gateway"
)

func TestRunnerSaysThatItIsReady(t *testing.T) {
	p := startRunner(t, t.TempDir())
	eventually(t, "GET /readyz answers 200", func() bool {
		status, _ := p.get("", "/readyz")
		return status == http.StatusOK
	})
}

func TestReadinessNamesWhatDoesNotWork(t *testing.T) {
	db, err := embedded.Open(t.Context(), t.TempDir(), embedded.Options{})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	for _, tt := range []struct {
		name   string
		ticked time.Time
		inside bool // asked while the consumers run
		closed bool // the database
		want   error
	}{
		{"before the worker", now, false, false, errNoWorker},
		{"before the first tick", time.UnixMilli(0), true, false, errNoRetry},
		{"after a tick that was long ago", now.Add(-retryLate - time.Second), true, false, errNoRetry},
		{"at work", now.Add(-retryLate + time.Minute), true, false, nil},
		{"without its database", now, true, true, errNoWrite},
	} {
		if tt.closed {
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
		}
		r := &readiness{store: db}
		r.retryRan(tt.ticked)
		if tt.inside {
			at := func() error { return checked(t, tt.name, r, tt.want) }
			for range consumers {
				inner := at
				at = func() error { return r.consuming(inner) }
			}
			at()
			continue
		}
		checked(t, tt.name, r, tt.want)
	}
}

func checked(t *testing.T, name string, r *readiness, want error) error {
	t.Helper()
	if err := r.check(t.Context()); !errors.Is(err, want) {
		t.Errorf("%s: check = %v, want %v", name, err, want)
	}
	return nil
}

func TestProcessThatIsNotReadyAnswers503AndWhy(t *testing.T) {
	w := httptest.NewRecorder()
	(&insight{ready: &readiness{}}).serveReady(w, httptest.NewRequest("GET", "/readyz", nil))
	if w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), errNoWorker.Error()) {
		t.Errorf("GET /readyz: %d %s, want 503 and %q", w.Code, w.Body, errNoWorker)
	}
}

func TestMetricsAreForTheOperator(t *testing.T) {
	p := startRunner(t, t.TempDir())
	_, tenantKey := p.setUp(newReceiver(t))
	another := p.call(p.operatorKey(), "POST", "/v1/keys", map[string]any{"scope": "operator", "name": "prometheus"}, 201)
	for _, tt := range []struct {
		name, key string
		want      int
	}{
		{"nobody", "", 401},
		{"a tenant", tenantKey, 401},
		{"a wrong key", strings.Repeat("k", 64), 401},
		{"the operator", p.operatorKey(), 200},
		{"a key of the operator's scope", another["api_key"].(string), 200},
	} {
		if got, _ := p.get(tt.key, "/metrics"); got != tt.want {
			t.Errorf("GET /metrics as %s: %d, want %d", tt.name, got, tt.want)
		}
	}
}

func TestMetricsCountWhatHappened(t *testing.T) {
	waits(t)
	rec := newReceiver(t)
	p := startRunner(t, t.TempDir())
	path, _ := p.setUp(rec)
	rec.refuse.Store(1)
	if !p.chat(path, "refused-first") || !p.chat(path, "accepted") || p.chat(path+"x", "nobody") {
		t.Fatal("callbacks: want two taken in and one refused")
	}
	wanted := []string{
		`ringback_callbacks_total{outcome="accepted"} 2`, `ringback_callbacks_total{outcome="refused"} 1`,
		`ringback_events_total{outcome="new"} 2`, `ringback_attempts_total{outcome="succeeded"} 2`,
		`ringback_attempts_total{outcome="failed"} 1`, "ringback_delivery_latency_seconds_count 1",
		`ringback_delivery_latency_seconds_bucket{le="+Inf"} 1`, "ringback_oldest_due_seconds 0",
		`ringback_queue_messages{queue="events",state="waiting"} 0`, `ringback_queue_messages{queue="retry",state="dead"} 0`,
		`ringback_queue_messages{queue="slow",state="waiting"} 0`,
	}
	var body string
	eventually(t, "all of "+strings.Join(wanted, ", "), func() bool {
		_, body = p.get(p.operatorKey(), "/metrics")
		for _, line := range wanted {
			if !strings.Contains(body, line+"\n") {
				return false
			}
		}
		return true
	})
	checkExposition(t, body)
	for _, name := range metricsOfReadme(t) {
		if !strings.Contains(body, "\n"+name+" ") && !strings.Contains(body, "\n"+name+"{") {
			t.Errorf("the README names the metric %s, which /metrics lacks", name)
		}
	}
	for _, name := range []string{"ringback_goroutines", "ringback_heap_bytes"} {
		if !regexp.MustCompile(`(?m)^` + name + ` [1-9]`).MatchString(body) {
			t.Errorf("%s is not above zero:\n%s", name, body)
		}
	}
}

// TestMetricsHaveAllThatTheGatewayCounts counts a number of its own under each
// of the gateway's metrics, and wants to find it.
func TestMetricsHaveAllThatTheGatewayCounts(t *testing.T) {
	var m metrics
	n := 100.0
	for name := range gateway.Units() {
		n++
		m.Add(name, n)
		var b strings.Builder
		m.write(&b)
		found := n
		if name == gateway.DeliveryLatency {
			found = n / 1000
		}
		if !strings.Contains(b.String(), " "+number(found)+"\n") {
			t.Errorf("%s, of which %v were added, is not in\n%s", name, n, &b)
		}
	}
}

func TestLatencyStandsInItsBucketAndAllAbove(t *testing.T) {
	m := &metrics{}
	for _, v := range []float64{0, 1, 1.5, 15000, 15001} {
		m.Add(gateway.DeliveryLatency, v)
	}
	var b bytes.Buffer
	m.write(&b)
	checkExposition(t, b.String())
	got := regexp.MustCompile(`(?m)^ringback_delivery_latency_seconds.*`).FindAllString(b.String(), -1)
	want := []string{
		`ringback_delivery_latency_seconds_bucket{le="0.001"} 2`, `ringback_delivery_latency_seconds_bucket{le="0.002"} 3`,
		`ringback_delivery_latency_seconds_bucket{le="0.005"} 3`, `ringback_delivery_latency_seconds_bucket{le="0.01"} 3`,
		`ringback_delivery_latency_seconds_bucket{le="0.02"} 3`, `ringback_delivery_latency_seconds_bucket{le="0.05"} 3`,
		`ringback_delivery_latency_seconds_bucket{le="0.1"} 3`, `ringback_delivery_latency_seconds_bucket{le="0.2"} 3`,
		`ringback_delivery_latency_seconds_bucket{le="0.5"} 3`, `ringback_delivery_latency_seconds_bucket{le="1"} 3`,
		`ringback_delivery_latency_seconds_bucket{le="2"} 3`, `ringback_delivery_latency_seconds_bucket{le="5"} 3`,
		`ringback_delivery_latency_seconds_bucket{le="15"} 4`, `ringback_delivery_latency_seconds_bucket{le="+Inf"} 5`,
		`ringback_delivery_latency_seconds_sum 30.0035`, `ringback_delivery_latency_seconds_count 5`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("latency (-want +got):\n%s", diff)
	}
}

func TestConsoleIsServedByTheRunner(t *testing.T) {
	p := startRunner(t, t.TempDir())
	for _, path := range []string{"/console", "/console/registrations"} {
		if status, body := p.get("", path); status != http.StatusOK || !strings.Contains(body, "<html") {
			t.Errorf("GET %s: %d %.200s, want a page", path, status, body)
		}
	}
}

// metricsOfReadme returns the metrics, with their labels, that the README names.
func metricsOfReadme(t *testing.T) []string {
	t.Helper()
	b, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	names := regexp.MustCompile(`ringback_[a-z]\w+(\{[^}]*\})?`).FindAllString(string(b), -1)
	if len(names) < 5 {
		t.Errorf("the README names the metrics %v, want more", names)
	}
	return names
}

// checkExposition wants Prometheus' text format with names by its conventions.
func checkExposition(t *testing.T, text string) {
	t.Helper()
	problems, err := promlint.New(strings.NewReader(text)).Lint()
	if err != nil {
		t.Fatalf("metrics: %v\n%s", err, text)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

// get returns how the runner answers a GET with a key as bearer.
func (p *process) get(key, path string) (status int, body string) {
	p.t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, p.base+path, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	if key != "" {
		req.Header.Set("Authorization", "Bearer "+key)
	}
	resp, err := apitest.Client(p.t).Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}
