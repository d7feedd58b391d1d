package examples_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"ringback/shared/control"
	"ringback/shared/egress"
	"ringback/shared/embedded"
	"ringback/shared/gateway"
	"ringback/shared/ident"
	"ringback/shared/provider"
	"ringback/shared/provider/tencentchat"
	"ringback/shared/test/gatewaytest"
	"ringback/shared/transfer"
)

const (
	chatGroup = "5b1f0c52-0a5e-4a0c-9a5a-1f6d2f0e7c11"
	appID     = 1400000001
	rawToken  = "the tenant's own token"
)

// A receiver is an example that runs.
type receiver struct {
	url  string
	said func() string // what it printed since it began
}

// starts are the ways to start a receiver of standard deliveries.
var starts = map[string]func(t *testing.T, secret string) receiver{
	"Go": startGo,
	"Python": func(t *testing.T, secret string) receiver {
		r := start(t, []string{"SIGNING_SECRET=" + secret, "GATEWAY=ringback.example"}, "python3", "receive.py", "0")
		gatewaytest.Await(t, "it to say how it verifies", func() bool { return strings.Contains(r.said(), "verifying ") })
		t.Log(strings.Split(r.said(), "\n")[1])
		return r
	},
	"Node": func(t *testing.T, secret string) receiver {
		return start(t, []string{"SIGNING_SECRET=" + secret, "GATEWAY=ringback.example"}, "node", withLibrary(t, "receive.mjs"), "0")
	},
}

// nodeLibrary is the version of standardwebhooks that is taken from npm.
const nodeLibrary = "1.1.1"

// withLibrary returns a copy of a Node program in a folder that has the library
// of Standard Webhooks, which npm puts into the user's cache once. Where that
// cannot be done the test is skipped, in CI failed.
func withLibrary(t *testing.T, program string) string {
	t.Helper()
	modules, err := installed()
	if err != nil && os.Getenv("CI") == "true" {
		t.Fatal(err)
	}
	if err != nil {
		t.Skipf("skipped: %v", err)
	}
	dir := t.TempDir()
	if err := os.Symlink(modules, filepath.Join(dir, "node_modules")); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	to := filepath.Join(dir, program)
	if err := os.WriteFile(to, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return to
}

// installed returns the folder of modules that holds the library.
var installed = sync.OnceValues(func() (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	home := filepath.Join(cache, "ringback", "standardwebhooks-"+nodeLibrary)
	modules := filepath.Join(home, "node_modules")
	if _, err := os.Stat(filepath.Join(modules, "standardwebhooks", "package.json")); err == nil {
		return modules, nil
	}
	if err := os.MkdirAll(filepath.Dir(home), 0o755); err != nil {
		return "", err
	}
	fresh, err := os.MkdirTemp(filepath.Dir(home), "install-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(fresh)
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	npm := exec.CommandContext(ctx, "npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", fresh, "standardwebhooks@"+nodeLibrary)
	if out, err := npm.CombinedOutput(); err != nil {
		return "", fmt.Errorf("npm install standardwebhooks: %v: %s", err, strings.TrimSpace(string(out)))
	}
	if err := os.Rename(fresh, home); err != nil && !os.IsExist(err) {
		return "", err
	}
	return modules, nil
})

func startGo(t *testing.T, secret string) receiver {
	webhook, err := standardwebhooks.NewWebhook(secret)
	if err != nil {
		t.Fatal(err)
	}
	var out gatewaytest.Lines
	server := httptest.NewServer(&endpoint{Webhook: webhook, Gateway: "ringback.example", Handle: func(typ string, data json.RawMessage) {
		fmt.Fprintln(&out, typ, string(data))
	}})
	t.Cleanup(server.Close)
	return receiver{server.URL, out.String}
}

// start runs a command until the test ends and waits for the line that names
// its address. Without the command the test is skipped, in CI failed.
func start(t *testing.T, env []string, name string, args ...string) receiver {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("%s is not on PATH", name)
		}
		t.Skipf("%s is not on PATH", name)
	}
	var out gatewaytest.Lines
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Env, cmd.Stdout, cmd.Stderr = append(os.Environ(), env...), &out, os.Stderr
	cmd.Env = append(cmd.Env, "PYTHONDONTWRITEBYTECODE=1")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	gatewaytest.Await(t, name+" to listen", func() bool { return strings.Contains(out.String(), "listening on http://") })
	line, _, _ := strings.Cut(out.String(), "\n")
	return receiver{strings.TrimPrefix(line, "listening on "), out.String}
}

// A world is a gateway with its worker, whose deliveries pass a relay that keeps
// them.
type world struct {
	t     *testing.T
	g     *gateway.Gateway
	relay *relay
}

func newWorld(t *testing.T) *world {
	t.Helper()
	db := gatewaytest.Open(t)
	g := gatewaytest.New(t, gateway.Config{
		Store: db, Queue: db, SingleProcess: true,
		Egress: &egress.Client{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}},
	})
	g.Steps = transfer.Steps(g)
	stop := gatewaytest.Run(g, gatewaytest.On(db, embedded.Consumer{Concurrency: 4}), 0)
	t.Cleanup(func() { stop(); g.Egress.CloseIdle() })
	return &world{t: t, g: g, relay: newRelay(t)}
}

// tenant makes a source, a tenant with a grant of it, and returns both and the
// path of the callback URL.
func (w *world) tenant(ch control.SourceChange, l gateway.Limits) (gateway.Source, control.Caller, string) {
	w.t.Helper()
	ctx, name := w.t.Context(), "a source"
	ch.Name = &name
	s, err := control.New(w.g).CreateSource(ctx, ident.NewSource(), ch)
	if err != nil {
		w.t.Fatal(err)
	}
	t, _, err := control.New(w.g).CreateTenant(ctx, ident.New("ten", time.Now()), "a tenant", l)
	if err != nil {
		w.t.Fatal(err)
	}
	if _, err := control.New(w.g).CreateGrant(ctx, ident.New("grt", time.Now()), s.ID, t.ID, nil); err != nil {
		w.t.Fatal(err)
	}
	at, err := control.New(w.g).FirstCallbackURL(ctx, s)
	if err != nil {
		w.t.Fatal(err)
	}
	return s, control.Caller{Scope: control.ScopeFull, Tenant: t.ID}, at[strings.LastIndexByte(at, '/')+1:]
}

// register makes a registration of the relay.
func (w *world) register(c control.Caller, s gateway.Source, ch control.RegistrationChange) (gateway.Registration, string) {
	w.t.Helper()
	ch.URL = &w.relay.URL
	r, secret, err := control.New(w.g).CreateRegistration(w.t.Context(), c, ident.New("reg", time.Now()), s.ID, ch)
	if err != nil {
		w.t.Fatal(err)
	}
	return r, secret
}

// callback sends a callback to a source.
func (w *world) callback(s gateway.Source, key string, cb provider.Callback) {
	w.t.Helper()
	cb.Method, cb.Received = http.MethodPost, time.Now()
	if r := w.g.Ingest(w.t.Context(), s.Provider, s.ID, key, &cb); r.StatusCode != http.StatusOK {
		w.t.Fatalf("callback: answer %d", r.StatusCode)
	}
}

func (w *world) chat(s gateway.Source, key, text string) {
	w.t.Helper()
	form := url.Values{"action": {"group_chat"}, "group_uuid": {chatGroup}, "message": {text}}
	w.callback(s, key, provider.Callback{Body: []byte(form.Encode()), Header: http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}})
}

// A relay passes requests on to a receiver and keeps the POSTs with their
// answers.
type relay struct {
	*httptest.Server
	mu    sync.Mutex
	to    string
	posts []relayed
}

type relayed struct {
	query  string
	header http.Header
	body   []byte
	status int
}

func newRelay(t *testing.T) *relay {
	r := &relay{}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, in *http.Request) {
		body, _ := io.ReadAll(in.Body)
		r.mu.Lock()
		to := r.to
		r.mu.Unlock()
		if to == "" {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		status, header, err := call(in.Context(), in.Method, to+"?"+in.URL.RawQuery, in.Header, body)
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		if in.Method == http.MethodPost {
			r.mu.Lock()
			r.posts = append(r.posts, relayed{in.URL.RawQuery, in.Header, body, status})
			r.mu.Unlock()
		}
		for name, values := range header {
			w.Header()[name] = values
		}
		w.WriteHeader(status)
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *relay) pass(to string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.to = to
}

func (r *relay) all() []relayed {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]relayed(nil), r.posts...)
}

func call(ctx context.Context, method, to string, header http.Header, body []byte) (int, http.Header, error) {
	req, err := http.NewRequestWithContext(ctx, method, to, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	req.Header = header.Clone()
	req.Close = true
	answer, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer answer.Body.Close()
	_, err = io.Copy(io.Discard, bufio.NewReader(answer.Body))
	return answer.StatusCode, answer.Header, err
}

func TestReceiversTakeDeliveriesAndNothingElse(t *testing.T) {
	for name, start := range starts {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			s, c, key := w.tenant(control.SourceChange{Provider: "smartbots"}, gateway.Limits{RequireChallenge: true})
			r, secret := w.register(c, s, control.RegistrationChange{})
			if r.State != gateway.Disabled {
				t.Fatalf("before anybody answers it is %q, want disabled", r.State)
			}
			to := start(t, secret)
			w.relay.pass(to.url)
			if r, err := control.New(w.g).EnableRegistration(t.Context(), c, r.ID); err != nil || r.State != gateway.Enabled {
				t.Fatalf("ownership challenge: state %q, %v", r.State, err)
			}
			w.chat(s, key, "the dock is öpen")
			gatewaytest.Await(t, "the delivery", func() bool { return len(w.relay.all()) == 1 })
			if _, _, err := control.New(w.g).RotateSecret(t.Context(), c, r.ID, time.Hour); err != nil {
				t.Fatal(err)
			}
			w.chat(s, key, "under two signatures")
			gatewaytest.Await(t, "the next delivery", func() bool { return len(w.relay.all()) == 2 })
			for _, p := range w.relay.all() {
				if p.status != http.StatusNoContent {
					t.Errorf("a delivery is answered with %d, want 204: %s", p.status, p.body)
				}
			}
			gatewaytest.Await(t, "the work to be done", func() bool { return strings.Contains(to.said(), "under two signatures") })
			refusesStrangers(t, to, w.relay.all()[0])
			if n := strings.Count(to.said(), "group_chat {"); n != 2 || strings.Contains(to.said(), "forged") {
				t.Errorf("it did the work of %d deliveries, want 2:\n%s", n, to.said())
			}
		})
	}
}

// refusesStrangers sends variants of a delivery to a receiver that has it.
func refusesStrangers(t *testing.T, to receiver, p relayed) {
	t.Helper()
	with := func(name, value string) http.Header {
		h := p.header.Clone()
		h.Set(name, value)
		return h
	}
	without := func(name string) http.Header {
		h := p.header.Clone()
		h.Del(name)
		return h
	}
	sent, err := strconv.ParseInt(p.header.Get("webhook-timestamp"), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	forged := bytes.Replace(p.body, []byte("the dock"), []byte("a forged"), 1)
	for _, tt := range []struct {
		name   string
		header http.Header
		body   []byte
		want   int
	}{
		{"the same again", p.header, p.body, http.StatusNoContent},
		{"another body", p.header, forged, http.StatusUnauthorized},
		{"no body", p.header, nil, http.StatusUnauthorized},
		{"another id", with("webhook-id", "evt_other"), p.body, http.StatusUnauthorized},
		{"another time", with("webhook-timestamp", fmt.Sprint(sent-1)), p.body, http.StatusUnauthorized},
		{"a time that is none", with("webhook-timestamp", "now"), p.body, http.StatusUnauthorized},
		{"another signature", with("webhook-signature", "v1,Z3Vlc3NlZA=="), p.body, http.StatusUnauthorized},
		{"a signature that is none", with("webhook-signature", "v1,%%%"), p.body, http.StatusUnauthorized},
		{"a version that is unknown", with("webhook-signature", strings.Replace(p.header.Get("webhook-signature"), "v1,", "v0,", 1)), p.body, http.StatusUnauthorized},
		{"no signature", without("webhook-signature"), p.body, http.StatusUnauthorized},
		{"no id", without("webhook-id"), p.body, http.StatusUnauthorized},
		{"no time", without("webhook-timestamp"), p.body, http.StatusUnauthorized},
	} {
		status, _, err := call(t.Context(), http.MethodPost, to.url, tt.header, tt.body)
		if err != nil || status != tt.want {
			t.Errorf("%s: answer %d, %v; want %d", tt.name, status, err, tt.want)
		}
	}
}

func TestReceiversRefuseOldDeliveries(t *testing.T) {
	webhook, err := standardwebhooks.NewWebhook("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	if err != nil {
		t.Fatal(err)
	}
	body := []byte(`{"type":"group_chat","data":{}}`)
	for name, start := range starts {
		t.Run(name, func(t *testing.T) {
			to := start(t, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
			for age, want := range map[time.Duration]int{0: http.StatusNoContent, time.Hour: http.StatusUnauthorized, -time.Hour: http.StatusUnauthorized} {
				at := time.Now().Add(-age)
				signature, err := webhook.Sign("evt_1", at, body)
				if err != nil {
					t.Fatal(err)
				}
				h := http.Header{}
				h.Set("webhook-id", "evt_1")
				h.Set("webhook-timestamp", fmt.Sprint(at.Unix()))
				h.Set("webhook-signature", signature)
				if status, _, err := call(t.Context(), http.MethodPost, to.url, h, body); err != nil || status != want {
					t.Errorf("a delivery of %v ago: answer %d, %v; want %d", age, status, err, want)
				}
			}
		})
	}
}

func TestReceiversConsentToTheirGatewayAlone(t *testing.T) {
	for name, start := range starts {
		t.Run(name, func(t *testing.T) {
			to := start(t, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
			for origin, want := range map[string]string{"ringback.example": "ringback.example", "elsewhere.example": "", "": ""} {
				_, header, err := call(t.Context(), http.MethodOptions, to.url, http.Header{"Webhook-Request-Origin": {origin}}, nil)
				if err != nil || header.Get("WebHook-Allowed-Origin") != want {
					t.Errorf("asked by %q: consent to %q, %v; want to %q", origin, header.Get("WebHook-Allowed-Origin"), err, want)
				}
			}
		})
	}
}

func TestHandlerOfTencentWorksUnchangedBehindRaw(t *testing.T) {
	w := newWorld(t)
	id, source, raw := uint64(appID), "the console's token", gateway.Raw
	s, c, key := w.tenant(control.SourceChange{Provider: "tencent-chat", SDKAppID: &id, Token: &source}, gateway.Limits{})
	types, token := []string{"Group.*"}, rawToken
	w.register(c, s, control.RegistrationChange{Format: &raw, EventTypes: &types, RawToken: &token})
	to := start(t, []string{"TOKEN=" + rawToken, fmt.Sprint("SDKAPPID=", appID)}, "python3", "tencent.py", "0")
	w.relay.pass(to.url)
	body := []byte(fmt.Sprintf(`{"CallbackCommand":"Group.CallbackAfterSendMsg","GroupId":"@TGS#1","MsgSeq":7,"Random":1,"MsgTime":%d}`, time.Now().Unix()))
	query := fmt.Sprintf("SdkAppid=%d&CallbackCommand=Group.CallbackAfterSendMsg&contenttype=json&ClientIP=127.0.0.1&OptPlatform=Web", appID)
	w.callback(s, key, provider.Callback{Body: body, Query: tencentchat.SignQuery(query, source, time.Now()), Header: http.Header{}})
	gatewaytest.Await(t, "the delivery", func() bool { return len(w.relay.all()) == 1 })
	p := w.relay.all()[0]
	if p.status != http.StatusOK || !bytes.Equal(p.body, body) {
		t.Errorf("answered with %d to %s, want 200 to the very bytes", p.status, p.body)
	}
	if said := to.said(); !strings.Contains(said, "Group.CallbackAfterSendMsg "+string(body)) {
		t.Errorf("the handler said %q, want the callback", said)
	}
	if status, _, err := call(t.Context(), http.MethodPost, to.url+"/?"+tencentchat.SignQuery(query, source, time.Now()), p.header, body); err != nil || status != http.StatusForbidden {
		t.Errorf("signed with another token: answer %d, %v; want 403", status, err)
	}
}
