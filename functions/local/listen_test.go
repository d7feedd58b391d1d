package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestListenForwardsWhatTheTenantGets(t *testing.T) {
	waits(t)
	rec, near := newKeeper(t), newKeeper(t)
	p := startRunner(t, t.TempDir())
	source, key := p.grantedSource()
	for _, format := range []string{"standard", "raw"} {
		p.call(key, "POST", "/v1/registrations", map[string]any{"source": source.id, "url": rec.URL + "/" + format, "format": format}, 201)
	}
	l := startListener(t, p, key, "-json", "-forward", near.URL)
	if !p.chat(source.path, "a+%26+b+%F0%9F%99%82&amount=1.50") {
		t.Fatal("callback was refused")
	}
	eventually(t, "two deliveries and two forwarded", func() bool { return len(rec.all()) == 2 && len(near.all()) == 2 })
	for _, want := range rec.all() {
		got := near.like(want.contentType)
		if got.id != want.id || got.id == "" || got.timestamp == "" || got.signature != "" {
			t.Errorf("forwarded %s with id %q, timestamp %q, signature %q; want id %q, a timestamp, and no signature",
				want.path, got.id, got.timestamp, got.signature, want.id)
		}
		if got.body != want.body {
			t.Errorf("forwarded %s\n%s\nwant\n%s", want.path, got.body, want.body)
		}
	}
	for range 2 {
		var h listenedDelivery
		line := l.nextLine()
		if err := json.Unmarshal([]byte(line), &h); err != nil || h.EventType != "group_chat" || h.Status != "succeeded" ||
			h.Last.StatusCode != 200 || h.Forwarded == nil || h.Forwarded.StatusCode != 200 {
			t.Errorf("line %s: %v; want a group_chat that succeeded and was forwarded", line, err)
		}
	}
	l.interrupt()
}

func TestListenPrintsOneLineADelivery(t *testing.T) {
	waits(t)
	p := startRunner(t, t.TempDir())
	path, key := p.setUp(newReceiver(t))
	l := startListener(t, p, key)
	if !p.chat(path, "hello&action=%1b]0;owned%07%1b[31m") { // the type of the event
		t.Fatal("callback was refused")
	}
	line := l.nextLine()
	if !strings.Contains(line, "  succeeded  \uFFFD]0;owned\uFFFD\uFFFD[31m") || !strings.Contains(line, "  evt_") || !strings.Contains(line, "  200 in ") {
		t.Errorf("line %q, want its status, type, event and outcome", line)
	}
	if strings.ContainsAny(line, "\x1b\x07") {
		t.Errorf("line %q moves the cursor or has colours, want neither where there is no terminal", line)
	}
}

func TestListenGoesOnAfterTheGatewayWasAway(t *testing.T) {
	waits(t)
	dir, rec := t.TempDir(), newReceiver(t)
	p := startRunner(t, dir)
	path, key := p.setUp(rec)
	l := startListener(t, p, key, "-json")
	p.kill()
	l.awaitLine(l.log, "trying again")
	again := startRunner(t, dir, "-addr", strings.TrimPrefix(p.base, "http://"))
	if !again.chat(path, "back") {
		t.Fatal("callback was refused")
	}
	if line := l.nextLine(); !strings.Contains(line, `"succeeded"`) {
		t.Errorf("line %s, want the delivery after the gateway came back", line)
	}
}

func TestListenTellsWhatItCannotForward(t *testing.T) {
	waits(t)
	p := startRunner(t, t.TempDir())
	path, key := p.setUp(newReceiver(t))
	l := startListener(t, p, key, "-forward", closedURL(t))
	if !p.chat(path, "hello") {
		t.Fatal("callback was refused")
	}
	if line := l.nextLine(); !strings.Contains(line, "forwarded: ") || !strings.Contains(line, "refused") {
		t.Errorf("line %q, want why it was not forwarded", line)
	}
}

func TestListenThatCannotBeginSaysWhy(t *testing.T) {
	p := startRunner(t, t.TempDir())
	wrong := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(wrong, []byte("rbk_wrong_key\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		args []string
		code int
		want string
	}{
		{"no such file", []string{"-key-file", wrong + "s"}, 1, "-key-file"},
		{"a wrong key", []string{"-key-file", wrong, "-server", p.base}, 1, "401"},
		{"nobody there", []string{"-key-file", wrong, "-server", closedURL(t)}, 1, "refused"},
		{"no URL", []string{"-key-file", wrong, "-server", "127.0.0.1:8080"}, 2, "-server: want a URL"},
		{"no URL to forward to", []string{"-key-file", wrong, "-forward", "3000"}, 2, "-forward: want a URL"},
	} {
		_, stderr, code := ended(t, append([]string{"listen"}, tt.args...)...)
		if code != tt.code || !strings.Contains(stderr, tt.want) || strings.Contains(stderr, "wrong_key") {
			t.Errorf("%s: exit %d, %q; want %d and %q, and never the key", tt.name, code, stderr, tt.code, tt.want)
		}
	}
}

func TestEventThatComesDaysLateIsFoundAndNothingTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &history{}
		for n := range 500 {
			h.add(strconv.Itoa(n), time.Now().Add(-time.Duration(n)*time.Hour), time.Now().Add(-time.Duration(n)*time.Hour))
		}
		c, err := newClient("http://gateway.test", "key")
		if err != nil {
			t.Fatal(err)
		}
		c.http.Transport = h
		f := &follower{client: c}
		if err := f.start(t.Context()); err != nil {
			t.Fatal(err)
		}
		var got []string
		look := func(times int) {
			for range times {
				time.Sleep(pollInterval)
				found, err := f.poll(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				for _, d := range found {
					got = append(got, d.ID)
				}
			}
		}
		for n := range 200 { // more than a page of them between two looks
			h.add("new "+strconv.Itoa(n), time.Now(), time.Now())
		}
		h.add("late", time.Now(), time.Now().Add(-5*24*time.Hour))
		look(1)
		if len(got) != 200 {
			t.Errorf("the first look found %d, want the 200 that are new and not late", len(got))
		}
		look(int(deepPollInterval / pollInterval))
		if len(got) != 201 || got[200] != "late" {
			t.Errorf("a deep look found %q, want the late one", got[min(200, len(got)):])
		}
		look(int(10 * newFor / pollInterval))
		if len(got) != 201 || len(f.seen) != 0 {
			t.Errorf("%d found in the end and %d remembered, want 201 and none", len(got), len(f.seen))
		}
	})
}

func TestColoursAreForTerminalsAndThoseWhoWantThem(t *testing.T) {
	terminal, err := os.Open(os.DevNull) // a character device too
	if err != nil {
		t.Fatal(err)
	}
	defer terminal.Close()
	file, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for _, tt := range []struct {
		name string
		out  io.Writer
		env  map[string]string
		want bool
	}{
		{"a terminal", terminal, nil, true},
		{"NO_COLOR", terminal, map[string]string{"NO_COLOR": "1"}, false},
		{"a dumb terminal", terminal, map[string]string{"TERM": "dumb"}, false},
		{"a file", file, nil, false},
		{"memory", &bytes.Buffer{}, nil, false},
	} {
		if got := coloured(tt.out, func(name string) string { return tt.env[name] }); got != tt.want {
			t.Errorf("%s: coloured = %v, want %v", tt.name, got, tt.want)
		}
	}
	h := listenedDelivery{shownDelivery: shownDelivery{Status: "failed"}, Forwarded: &forwarded{StatusCode: 200}}
	if got := h.text(true); !strings.Contains(got, "\x1b[31mfailed   \x1b[0m") || !strings.Contains(got, "\x1b[32mforwarded: 200\x1b[0m") {
		t.Errorf("line %q, want failed in red and 200 in green", got)
	}
}

// A history is as much of GET /v1/deliveries as is asked: by the provider's
// time, newest first, since a time of receipt.
type history struct{ all []historic }

type historic struct {
	id             string
	received, time time.Time
}

func (h *history) add(id string, received, at time.Time) {
	h.all = append(h.all, historic{id, received, at})
	slices.SortStableFunc(h.all, func(a, b historic) int { return b.time.Compare(a.time) })
}

func (h *history) RoundTrip(r *http.Request) (*http.Response, error) {
	q := r.URL.Query()
	from, _ := strconv.Atoi(q.Get("cursor"))
	limit, _ := strconv.Atoi(q.Get("limit"))
	since, _ := time.Parse(time.RFC3339, q.Get("since"))
	data, next := []shownDelivery{}, ""
	for i := from; i < len(h.all); i++ {
		if i-from == limit {
			next = strconv.Itoa(i)
			break
		}
		if d := h.all[i]; !d.received.Before(since) {
			data = append(data, shownDelivery{ID: d.id, Created: d.received})
		}
	}
	b, err := json.Marshal(map[string]any{"data": data, "next_cursor": next})
	header := http.Header{"Date": {time.Now().UTC().Format(http.TimeFormat)}}
	return &http.Response{StatusCode: 200, Header: header, Body: io.NopCloser(bytes.NewReader(b)), Request: r}, err
}

// A listenerProcess is a listen command under test.
type listenerProcess struct {
	*process
	lines int // that were taken
}

// startListener starts a listen command and waits until it is at it.
func startListener(t *testing.T, p *process, key string, args ...string) *listenerProcess {
	t.Helper()
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, []byte(key+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	l := &listenerProcess{process: startCommand(t, append([]string{"listen", "-server", p.base, "-key-file", file}, args...)...)}
	l.awaitLine(l.log, "listening with the key of tenant test")
	return l
}

// nextLine waits for one more line on stdout.
func (l *listenerProcess) nextLine() string {
	l.t.Helper()
	var all []string
	eventually(l.t, "a line of listen", func() bool {
		all = slices.Collect(strings.Lines(l.out.String()))
		return len(all) > l.lines && strings.HasSuffix(all[l.lines], "\n")
	})
	l.lines++
	return all[l.lines-1]
}

// A keeper is an endpoint that keeps what it gets.
type keeper struct {
	*httptest.Server
	mu   sync.Mutex
	kept []keptPost
}

type keptPost struct{ path, id, timestamp, signature, contentType, body string }

func newKeeper(t *testing.T) *keeper {
	k := &keeper{}
	k.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		k.mu.Lock()
		defer k.mu.Unlock()
		k.kept = append(k.kept, keptPost{r.URL.Path, r.Header.Get("webhook-id"), r.Header.Get("webhook-timestamp"),
			r.Header.Get("webhook-signature"), r.Header.Get("Content-Type"), string(b)})
	}))
	t.Cleanup(k.Close)
	return k
}

func (k *keeper) all() []keptPost {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(k.kept)
}

// like returns the post with a content type.
func (k *keeper) like(contentType string) keptPost {
	for _, p := range k.all() {
		if p.contentType == contentType {
			return p
		}
	}
	return keptPost{}
}
