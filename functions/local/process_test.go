package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
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
)

// asRunner in the environment makes the test's own binary the runner, so that
// the tests end real processes.
const asRunner = "RINGBACK_TEST_RUNNER"

func TestMain(m *testing.M) {
	if os.Getenv(asRunner) != "" {
		main()
		return
	}
	os.Exit(m.Run())
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
	_, rest, _ := strings.Cut(p.awaitLine(p.out, "listening on "), "listening on ")
	p.base, _, _ = strings.Cut(rest, ",")
	return p
}

// startCommand starts a command line that goes on until the test ends.
func startCommand(t *testing.T, args ...string) *process {
	t.Helper()
	p := &process{t: t, out: newSpoken(), log: newSpoken(), done: make(chan error, 1)}
	p.cmd = exec.Command(os.Args[0], args...)
	p.cmd.Env = append(os.Environ(), asRunner+"=1", "RINGBACK_OPERATOR_KEY=")
	p.cmd.Stdout, p.cmd.Stderr = p.out, p.log
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { p.done <- p.cmd.Wait() }()
	t.Cleanup(func() {
		p.cmd.Process.Kill()
		<-p.done
	})
	return p
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
	resp, err := http.DefaultClient.Do(req)
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

func TestKilledRunnerLosesNothingThatItAcknowledged(t *testing.T) {
	dir, rec := t.TempDir(), newReceiver(t)
	p := startRunner(t, dir)
	path, _ := p.setUp(rec)
	var acknowledged []string
	for round := range 4 {
		rec.refuse.Store(int64(8 * (round % 2))) // ten in a row would open the circuit for a minute
		acknowledged = append(acknowledged, p.load(path, fmt.Sprint("r", round, "-"), 400, 800)...)
		p = startRunner(t, dir)
	}
	eventually(t, "every acknowledged event at the receiver", func() bool { return len(rec.missing(acknowledged)) == 0 })
	rec.mu.Lock()
	defer rec.mu.Unlock()
	duplicates := 0
	for text, ids := range rec.got {
		duplicates += len(ids) - 1
		for _, id := range ids {
			if id != ids[0] {
				t.Errorf("event %s arrived under two webhook-ids", text)
			}
		}
	}
	if rec.bad > 0 {
		t.Errorf("%d deliveries are not signed by the registration's secret", rec.bad)
	}
	t.Logf("%d acknowledged over 4 kills, all arrived, %d duplicates", len(acknowledged), duplicates)
}

// load sends chats from eight connections until enough were acknowledged, then
// kills the runner in the middle of it. It returns what was acknowledged.
func (p *process) load(path, prefix string, enough, most int) []string {
	var mu sync.Mutex
	var acknowledged []string
	killed := make(chan struct{})
	var next atomic.Int64
	var once sync.Once
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for n := next.Add(1); n <= int64(most); n = next.Add(1) {
				text := fmt.Sprint(prefix, n)
				if !p.chat(path, text) {
					return
				}
				mu.Lock()
				acknowledged = append(acknowledged, text)
				if len(acknowledged) == enough {
					once.Do(func() { close(killed) })
				}
				mu.Unlock()
			}
		})
	}
	<-killed
	p.kill()
	wg.Wait()
	return acknowledged
}

func TestRefusedDeliverySucceedsOnRetryOverRealSockets(t *testing.T) {
	rec := newReceiver(t)
	p := startRunner(t, t.TempDir())
	path, key := p.setUp(rec)
	rec.refuse.Store(1)
	if !p.chat(path, "hello") {
		t.Fatal("callback was refused")
	}
	eventually(t, "delivered on retry", func() bool { return len(rec.missing([]string{"hello"})) == 0 })
	eventually(t, "recorded", func() bool {
		list := p.call(key, "GET", "/v1/deliveries?status=succeeded", nil, 200)
		return len(list["data"].([]any)) == 1
	})
	list := p.call(key, "GET", "/v1/deliveries", nil, 200)
	id := list["data"].([]any)[0].(map[string]any)["id"].(string)
	attempts := p.call(key, "GET", "/v1/deliveries/"+id, nil, 200)["attempts"].([]any)
	if len(attempts) != 2 {
		t.Errorf("delivery shows %d attempts, want the refused and the accepted one: %v", len(attempts), attempts)
	}
}

func TestInterruptedRunnerExitsZeroAndGoesOnLater(t *testing.T) {
	dir, rec := t.TempDir(), newReceiver(t)
	p := startRunner(t, dir)
	path, _ := p.setUp(rec)
	rec.refuse.Store(1)
	if !p.chat(path, "hello") {
		t.Fatal("callback was refused")
	}
	p.interrupt()
	startRunner(t, dir)
	eventually(t, "delivered by the second runner", func() bool { return len(rec.missing([]string{"hello"})) == 0 })
}

func TestSecondRunnerOnOneFolderSaysSo(t *testing.T) {
	dir := t.TempDir()
	startRunner(t, dir)
	var log bytes.Buffer
	second := exec.Command(os.Args[0], "-addr", "127.0.0.1:0", "-data", dir)
	second.Env = append(os.Environ(), asRunner+"=1")
	second.Stderr = &log
	err := second.Run()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 1 || !strings.Contains(log.String(), dir) {
		t.Errorf("second runner: %v, %q; want exit 1 and the folder's name", err, log.String())
	}
}

func TestSetHTTPCallbackGetsForms(t *testing.T) {
	rec := newReceiver(t)
	p := startRunner(t, t.TempDir())
	path, key := p.setUp(rec)
	group := "5b1f0c52-0a5e-4a0c-9a5a-1f6d2f0e7c11"
	source := strings.Split(path, "/")[3]
	p.call(p.operatorKey(), "POST", "/v1/groups", map[string]any{
		"source": source, "name": "Harbor Crew", "security_code": "1234", "uuid": group, "group_id": "harbor-crew",
	}, 201)
	narrow := p.call(key, "POST", "/v1/keys", map[string]any{"scope": "set_http_callback", "name": "app"}, 201)
	got := p.call("", "GET", "/api/simple.html?action=set_http_callback&apikey="+narrow["api_key"].(string)+
		"&secret=1234&group=Harbor+Crew&app_name=Bot&app_uuid=7e0c2a9e-63c5-4d24-8f8e-6a2f0f1d9b10&url="+rec.URL+"/form", nil, 200)
	if got["result"] != "OK" || got["group_uuid"] != group || got["group_id"] != "harbor-crew" {
		t.Fatalf("set_http_callback: %v", got)
	}
	body := "action=group_chat&group_uuid=" + group + "&message=hi"
	resp, err := http.Post(p.base+path, "application/x-www-form-urlencoded", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	eventually(t, "callback_set and the chat as it came", func() bool {
		rec.mu.Lock()
		defer rec.mu.Unlock()
		set, chat := false, false
		for _, form := range rec.forms {
			set = set || strings.Contains(form, "action=callback_set")
			chat = chat || form == body
		}
		return set && chat
	})
}

func TestSendPlaysASampleAsItsProviderWould(t *testing.T) {
	p := startRunner(t, t.TempDir())
	source := p.call(p.operatorKey(), "POST", "/v1/sources", map[string]any{
		"provider": "tencent-chat", "name": "test", "sdk_app_id": 1400000001, "token": "xxxxyyyy",
	}, 201)
	to := p.base + strings.TrimPrefix(source["callback_url"].(string), "http://ringback.invalid")
	file := filepath.Join(t.TempDir(), "sample.json")
	text := `{"version":"2.0","rawPath":"/callbacks/tencent-chat/x/y","rawQueryString":"SdkAppid=1400000001&CallbackCommand=State.StateChange",
		"headers":{"content-type":"application/json"},"requestContext":{"http":{"method":"POST"}},
		"body":"{\"CallbackCommand\":\"State.StateChange\",\"EventTime\":1760000001000}"}`
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := command(context.Background(), []string{"send", file, "--to", to}, &out); err == nil || !strings.Contains(out.String(), "401") {
		t.Errorf("unsigned: %v, %s; want 401", err, out.String())
	}
	out.Reset()
	if err := command(context.Background(), []string{"send", file, "--to", to, "--token", "xxxxyyyy"}, &out); err != nil || !strings.Contains(out.String(), "200 OK") {
		t.Errorf("signed: %v, %s", err, out.String())
	}
	out.Reset()
	if err := command(context.Background(), []string{"send", "--lambda", "--token", "xxxxyyyy", file}, &out); err != nil || !strings.Contains(out.String(), "Sign=") {
		t.Errorf("as a Lambda input: %v, %s", err, out.String())
	}
}
