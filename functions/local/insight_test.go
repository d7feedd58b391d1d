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
		{"before the first tick", time.UnixMilli(0), true, false, errNoTick},
		{"after a tick that was long ago", now.Add(-tickLate - time.Second), true, false, errNoTick},
		{"at work", now.Add(-tickLate + time.Minute), true, false, nil},
		{"without its database", now, true, true, errNoWrite},
	} {
		if tt.closed {
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
		}
		r := &readiness{store: db}
		r.tick(tt.ticked)
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
		"ringback_Callbacks 2", "ringback_RefusedCallbacks 1", "ringback_Events 2", "ringback_AttemptsAccepted 2",
		"ringback_AttemptsRefused 1", "ringback_CallbackToDelivery_count 1", `ringback_CallbackToDelivery_bucket{le="+Inf"} 1`,
		"ringback_OldestDue 0", `ringback_Messages{queue="events",state="waiting"} 0`, `ringback_Messages{queue="retry",state="dead"} 0`,
		`ringback_Messages{queue="slow",state="waiting"} 0`,
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
	for _, name := range []string{"ringback_Goroutines", "ringback_HeapBytes"} {
		if !regexp.MustCompile(`(?m)^` + name + ` [1-9]`).MatchString(body) {
			t.Errorf("%s is not above zero:\n%s", name, body)
		}
	}
}

// TestMetricsHaveAllThatTheGatewayCounts wants each metric told of in /metrics.
func TestMetricsHaveAllThatTheGatewayCounts(t *testing.T) {
	var b strings.Builder
	(&metrics{}).write(&b)
	for name := range gateway.Units() {
		if !strings.Contains(b.String(), "# TYPE ringback_"+name+" ") {
			t.Errorf("%s is not in\n%s", name, &b)
		}
	}
	if n := strings.Count(b.String(), "# TYPE "); n != len(gateway.Units()) {
		t.Errorf("%d metrics, want the %d that the gateway counts", n, len(gateway.Units()))
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
	got := regexp.MustCompile(`(?m)^ringback_CallbackToDelivery.*`).FindAllString(b.String(), -1)
	want := []string{
		`ringback_CallbackToDelivery_bucket{le="1"} 2`, `ringback_CallbackToDelivery_bucket{le="2"} 3`,
		`ringback_CallbackToDelivery_bucket{le="5"} 3`, `ringback_CallbackToDelivery_bucket{le="10"} 3`,
		`ringback_CallbackToDelivery_bucket{le="20"} 3`, `ringback_CallbackToDelivery_bucket{le="50"} 3`,
		`ringback_CallbackToDelivery_bucket{le="100"} 3`, `ringback_CallbackToDelivery_bucket{le="200"} 3`,
		`ringback_CallbackToDelivery_bucket{le="500"} 3`, `ringback_CallbackToDelivery_bucket{le="1000"} 3`,
		`ringback_CallbackToDelivery_bucket{le="2000"} 3`, `ringback_CallbackToDelivery_bucket{le="5000"} 3`,
		`ringback_CallbackToDelivery_bucket{le="15000"} 4`, `ringback_CallbackToDelivery_bucket{le="+Inf"} 5`,
		`ringback_CallbackToDelivery_sum 30003.5`, `ringback_CallbackToDelivery_count 5`,
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

var (
	comment   = regexp.MustCompile(`^# (HELP|TYPE) (ringback_\w+) \S.*$`)
	oneSample = regexp.MustCompile(`^(ringback_\w+?)(_bucket|_sum|_count)?(\{\w+="[^"]*"(,\w+="[^"]*")*\})? [0-9.e+]+$`)
)

// metricsOfReadme returns the metrics, with their labels, that the README names.
func metricsOfReadme(t *testing.T) []string {
	t.Helper()
	b, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	names := regexp.MustCompile(`ringback_[A-Z]\w+(\{[^}]*\})?`).FindAllString(string(b), -1)
	if len(names) < 5 {
		t.Errorf("the README names the metrics %v, want more", names)
	}
	return names
}

// checkExposition wants Prometheus' text format: each sample after the help and
// type of its own metric.
func checkExposition(t *testing.T, text string) {
	t.Helper()
	name := ""
	for l := range strings.Lines(text) {
		l = strings.TrimSuffix(l, "\n")
		if m := comment.FindStringSubmatch(l); m != nil {
			name = m[2]
			continue
		}
		if m := oneSample.FindStringSubmatch(l); m == nil || m[1] != name {
			t.Errorf("line %q is no sample of %s", l, name)
		}
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
