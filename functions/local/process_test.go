package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"ringback/shared/egress"
	"ringback/shared/embedded"
	"ringback/shared/test/proofs"
)

func TestKilledRunnerLosesNothingThatItAcknowledged(t *testing.T) {
	dir, rec := t.TempDir(), newReceiver(t)
	p := startRunner(t, dir)
	path, _ := p.setUp(rec)
	var acknowledged []string
	enough := proofs.Length(100, 400, 400)
	for round := range proofs.Length(1, 2, 4) {
		rec.refuse.Store(int64(8 * (round % 2))) // ten in a row would open the circuit for a minute
		acknowledged = append(acknowledged, p.load(path, fmt.Sprint("r", round, "-"), enough, 2*enough)...)
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
	t.Logf("%d acknowledged, all arrived, %d duplicates", len(acknowledged), duplicates)
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
	waits(t)
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
	waits(t)
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

// TestRunnerTakesNothingIntoADatabaseThatIsGone takes the file away for a while.
func TestRunnerTakesNothingIntoADatabaseThatIsGone(t *testing.T) {
	dir, rec := t.TempDir(), newReceiver(t)
	p := startRunner(t, dir)
	path, _ := p.setUp(rec)
	file, aside := filepath.Join(dir, "ringback.db"), filepath.Join(t.TempDir(), "ringback.db")
	if err := os.Rename(file, aside); err != nil {
		t.Fatal(err)
	}
	resp, err := http.Post(p.base+path, "application/x-www-form-urlencoded", strings.NewReader("action=group_chat&message=lost"))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("callback: %s, want 503", resp.Status)
	}
	if got := p.call("", "GET", "/readyz", nil, 503); got["why"] != embedded.ErrMoved.Error() {
		t.Errorf("/readyz: %v, want %v", got, embedded.ErrMoved)
	}
	p.awaitLine(p.log, embedded.ErrMoved.Error())
	if err := os.Rename(aside, file); err != nil {
		t.Fatal(err)
	}
	if !p.chat(path, "back") {
		t.Error("callback was refused once the file is back")
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
	if err := command(context.Background(), []string{"send", file, "--to", to}, &out); err == nil || !strings.Contains(out.String(), "401") || !strings.Contains(err.Error(), "want -token") {
		t.Errorf("unsigned: %v, %s; want 401, and what is missing", err, out.String())
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

// Loopback may be an endpoint on one machine, but not the runner's own address,
// whatever its public URL is.
func TestRunnersOwnAddressIsNoEndpoint(t *testing.T) {
	p := startRunner(t, t.TempDir(), "-pprof", "127.0.0.1:0")
	source, key := p.grantedSource()
	_, profiles, _ := strings.Cut(p.awaitLine(p.out, "profiles on "), "profiles on ")
	for _, url := range []string{
		p.base + "/v1/me", strings.Replace(p.base, "127.0.0.1", "localhost", 1), strings.Replace(p.base, "127.0.0.1", "[::ffff:127.0.0.1]", 1),
		strings.TrimSpace(profiles) + "goroutine?debug=2", strings.Replace(p.base, "127.0.0.1", "LOCALHOST.", 1),
	} {
		got := p.call(key, "POST", "/v1/registrations", map[string]any{"source": source.id, "url": url}, 422)
		if want := "url: invalid: it is this gateway's own"; got["detail"] != want {
			t.Errorf("registration of %s: %v, want %q", url, got["detail"], want)
		}
	}
}

// TestLoopbackIsCalledOnlyWhereNobodyElseComesIn looks at where runners listen.
func TestLoopbackIsCalledOnlyWhereNobodyElseComesIn(t *testing.T) {
	near, far := "http://127.0.0.2:9000/", "http://192.0.2.7:9000/"
	for _, tt := range []struct {
		listens string
		url     string
		refused bool
	}{
		{"127.0.0.1:8080", near, false}, {"127.0.0.1:8080", "http://127.0.0.1:8080/", true}, {"127.0.0.1:8080", "http://[::1]:9000/", false},
		{"[::1]:8080", near, false}, {"[::1]:8080", "http://[::1]:8080/", true},
		{"0.0.0.0:8080", near, true}, {"[::]:8080", near, true}, {"192.0.2.1:8080", near, true}, {"192.0.2.1:8080", far, true},
		{"0.0.0.0:8080", "https://example.com/", false},
	} {
		own, allow, err := settings{}.guard(net.TCPAddrFromAddrPort(netip.MustParseAddrPort(tt.listens)))
		if err != nil {
			t.Fatal(err)
		}
		c := &egress.Client{OwnHosts: own, Allow: allow}
		if err := c.CheckURL(tt.url); (err != nil) != tt.refused {
			t.Errorf("a gateway on %s: %s: %v, want refused %v", tt.listens, tt.url, err, tt.refused)
		}
	}
	for _, listens := range []string{"0.0.0.0:8080", "[::]:8080"} { // an operator may allow it, but never our own port
		own, _, err := settings{}.guard(net.TCPAddrFromAddrPort(netip.MustParseAddrPort(listens)))
		if err != nil {
			t.Fatal(err)
		}
		c := &egress.Client{OwnHosts: own, Allow: loopback}
		for host, refused := range map[string]bool{
			"127.0.0.2:8080": true, "[::ffff:127.0.0.9]:8080": true, "127.255.255.254:8080": true, "[::1]:8080": true, "localhost:8080": true, "127.0.0.2:8081": false,
		} {
			if err := c.CheckURL("http://" + host + "/"); (err != nil) != refused {
				t.Errorf("a gateway on %s that may call loopback: %s: %v, want refused %v", listens, host, err, refused)
			}
		}
		if _, _, err := (settings{demo: true}).guard(net.TCPAddrFromAddrPort(netip.MustParseAddrPort(listens))); err == nil {
			t.Errorf("a demo on %s: no error", listens)
		}
	}
}

func TestRunnerThatIsPausedSendsNothingAndLosesNothing(t *testing.T) {
	dir, rec := t.TempDir(), newReceiver(t)
	p := startRunner(t, dir)
	path, _ := p.setUp(rec)
	p.interrupt()
	p = startRunner(t, dir, "-paused")
	if !p.chat(path, "while paused") {
		t.Fatal("a callback was refused")
	}
	p.awaitLine(p.out, "paused")
	if status, body := p.get("", "/readyz"); status != http.StatusOK {
		t.Errorf("ready: %d %s, want 200", status, body)
	}
	waits := `ringback_queue_messages{queue="events",state="waiting"} 1`
	if _, body := p.get(p.operatorKey(), "/metrics"); !strings.Contains(body, waits) {
		t.Errorf("metrics %s, want %s", body, waits)
	}
	if missing := rec.missing([]string{"while paused"}); len(missing) == 0 {
		t.Error("the endpoint got it while the gateway was paused")
	}
	p.interrupt()
	startRunner(t, dir)
	eventually(t, "what waited is delivered", func() bool { return len(rec.missing([]string{"while paused"})) == 0 })
}
