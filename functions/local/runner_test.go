package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"ringback/shared/api/apitest"
	"ringback/shared/test/proofs"
)

// asRunner in the environment makes the test's own binary the runner, so that
// the tests end real processes.
const asRunner = "RINGBACK_TEST_RUNNER"

func TestMain(m *testing.M) {
	if os.Getenv(asRunner) != "" {
		main()
		return
	}
	flag.Parse()
	flag.Set("test.parallel", "8") // tests that wait leave the processors to others
	os.Exit(m.Run())
}

// waits is proofs.Long for a test that waits for a process of its own, most of the time, and
// so runs beside others.
func waits(t *testing.T) {
	t.Helper()
	proofs.Long(t)
	t.Parallel()
}

// A process is a command under test.
type process struct {
	t    *testing.T
	cmd  *exec.Cmd
	base string // of a runner: http://127.0.0.1:port
	dir  string // of a runner
	out  *spoken
	log  *spoken
	done chan error
}

// startRunner starts a runner on dir, with more flags if need be, and waits
// until it tells its address.
func startRunner(t *testing.T, dir string, more ...string) *process {
	t.Helper()
	p := startCommand(t, append([]string{"-addr", "127.0.0.1:0", "-data", dir, "-public-url", "http://ringback.invalid"}, more...)...)
	p.dir = dir
	p.base = p.listens()
	return p
}

// listens waits until a runner tells its address.
func (p *process) listens() string {
	p.t.Helper()
	_, rest, _ := strings.Cut(p.awaitLine(p.out, "listening on "), "listening on ")
	base, _, _ := strings.Cut(rest, ",")
	return base
}

// startCommand starts a command line that goes on until the test ends.
func startCommand(t *testing.T, args ...string) *process {
	t.Helper()
	p := &process{t: t, out: newSpoken(), log: newSpoken(), done: make(chan error, 1)}
	p.begin(exec.Command(os.Args[0], args...))
	return p
}

// begin starts cmd, in which the test's binary is the runner.
func (p *process) begin(cmd *exec.Cmd) {
	p.t.Helper()
	p.cmd = cmd
	p.cmd.Env = append(os.Environ(), asRunner+"=1", "RINGBACK_OPERATOR_KEY=")
	p.cmd.Stdout, p.cmd.Stderr = p.out, p.log
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	go func() { p.done <- p.cmd.Wait() }()
	p.t.Cleanup(func() {
		p.cmd.Process.Kill()
		<-p.done
	})
}

// awaitLine waits until the process has written a line with text to s, and
// returns the first one.
func (p *process) awaitLine(s *spoken, text string) string {
	p.t.Helper()
	for {
		for l := range strings.Lines(s.String()) {
			if strings.Contains(l, text) && strings.HasSuffix(l, "\n") {
				return strings.TrimSuffix(l, "\n")
			}
		}
		select {
		case <-s.more:
		case err := <-p.done:
			p.done <- err
			p.t.Fatalf("ended before it wrote %q: %v\n%s%s", text, err, p.out, p.log)
		}
	}
}

// interrupt sends Ctrl-C and waits for the end, which is to be exit 0.
func (p *process) interrupt() {
	p.t.Helper()
	p.cmd.Process.Signal(os.Interrupt)
	err := <-p.done
	p.done <- err
	if err != nil {
		p.t.Fatalf("interrupted: %v, want exit 0\n%s", err, p.log)
	}
}

// spoken keeps what a process writes.
type spoken struct {
	mu   sync.Mutex
	text strings.Builder
	more chan struct{} // has one if there may be something new
}

func newSpoken() *spoken { return &spoken{more: make(chan struct{}, 1)} }

func (s *spoken) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case s.more <- struct{}{}:
	default:
	}
	return s.text.Write(b)
}

func (s *spoken) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// kill ends the process as a power cut of its own would.
func (p *process) kill() {
	p.t.Helper()
	p.cmd.Process.Signal(syscall.SIGKILL)
	err := <-p.done
	p.done <- err
}

func (p *process) operatorKey() string {
	p.t.Helper()
	b, err := os.ReadFile(filepath.Join(p.dir, operatorKeyFile))
	if err != nil {
		p.t.Fatal(err)
	}
	return strings.TrimSpace(string(b))
}

// call sends JSON to the API and returns its answer.
func (p *process) call(key, method, path string, in any, want int) map[string]any {
	p.t.Helper()
	body, err := json.Marshal(in)
	if err != nil {
		p.t.Fatal(err)
	}
	req, err := http.NewRequest(method, p.base+path, bytes.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+key)
	req.Header.Set("Content-Type", "application/json")
	resp, err := apitest.Client(p.t).Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	var out map[string]any
	text, _ := io.ReadAll(resp.Body)
	if resp.StatusCode != want || json.Unmarshal(text, &out) != nil {
		p.t.Fatalf("%s %s: %s %s, want %d", method, path, resp.Status, text, want)
	}
	return out
}

// A receiver is a tenant's endpoint on a real socket, which verifies each
// delivery with the Standard Webhooks library.
type receiver struct {
	*httptest.Server
	mu      sync.Mutex
	secrets []string
	got     map[string][]string // the message's text → webhook-ids
	bad     int                 // deliveries whose signature does not verify
	refuse  atomic.Int64        // so many are refused first
	forms   []string            // bodies that are forms
}

func newReceiver(t *testing.T) *receiver {
	r := &receiver{got: map[string][]string{}}
	r.Server = httptest.NewServer(r)
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, _ := io.ReadAll(req.Body)
	if r.refuse.Add(-1) >= 0 {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.verifies(body, req.Header) {
		r.bad++
	}
	if strings.Contains(req.Header.Get("Content-Type"), "form") {
		r.forms = append(r.forms, string(body))
		return
	}
	var delivery struct {
		Data struct {
			Message string `json:"message"`
		} `json:"data"`
	}
	json.Unmarshal(body, &delivery)
	r.got[delivery.Data.Message] = append(r.got[delivery.Data.Message], req.Header.Get("webhook-id"))
}

func (r *receiver) verifies(body []byte, h http.Header) bool {
	for _, s := range r.secrets {
		if wh, err := standardwebhooks.NewWebhook(s); err == nil && wh.Verify(body, h) == nil {
			return true
		}
	}
	return len(r.secrets) == 0
}

func (r *receiver) trust(secret string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.secrets = append(r.secrets, secret)
}

// missing returns the texts that have not arrived.
func (r *receiver) missing(texts []string) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []string
	for _, text := range texts {
		if len(r.got[text]) == 0 {
			out = append(out, text)
		}
	}
	return out
}

// eventually waits for is, for as long as a slow and busy machine may need.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	end := time.Now().Add(3 * time.Minute)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !is() {
		if time.Now().After(end) {
			t.Fatalf("not in three minutes: %s", what)
		}
		<-tick.C
	}
}

// setUp makes a SmartBots source and a tenant with a registration at rec, and
// returns the callback's path.
func (p *process) setUp(rec *receiver) (path, tenantKey string) {
	p.t.Helper()
	source, key := p.grantedSource()
	r := p.call(key, "POST", "/v1/registrations", map[string]any{
		"source": source.id, "url": rec.URL + "/hook", "schedule": []string{"5s", "5s", "5s", "5s", "5s", "5s", "5s", "5s"},
	}, 201)
	rec.trust(r["secret"].(string))
	return source.path, key
}

// A madeSource is a source and the path of its callback.
type madeSource struct{ id, path string }

// grantedSource makes a SmartBots source and a tenant named test that may have
// all of it.
func (p *process) grantedSource() (s madeSource, tenantKey string) {
	p.t.Helper()
	op := p.operatorKey()
	source := p.call(op, "POST", "/v1/sources", map[string]any{"provider": "smartbots", "name": "test"}, 201)
	tenant := p.call(op, "POST", "/v1/tenants", map[string]any{"name": "test"}, 201)
	s = madeSource{source["id"].(string), strings.TrimPrefix(source["callback_url"].(string), "http://ringback.invalid")}
	p.call(op, "POST", "/v1/sources/"+s.id+"/grants", map[string]any{"tenant": tenant["id"]}, 201)
	return s, tenant["api_key"].(string)
}

// chat sends a group chat and reports whether it was acknowledged.
func (p *process) chat(path, text string) bool {
	resp, err := http.Post(p.base+path, "application/x-www-form-urlencoded", strings.NewReader("action=group_chat&message="+text))
	if err != nil {
		return false
	}
	resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}
