package console_test

import (
	"encoding/json"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"ringback/shared/console"
	"ringback/shared/gateway"
	"ringback/shared/provider"
	"ringback/shared/provider/all"
	"ringback/shared/schedule"
)

// bearer is an API that knows one key and answers with what it was asked.
type bearer struct {
	key   string
	calls []*http.Request
}

func (b *bearer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b.calls = append(b.calls, r)
	w.Header().Set("Content-Type", "application/json")
	if r.Header.Get("Authorization") != "Bearer "+b.key {
		w.WriteHeader(http.StatusUnauthorized)
		io.WriteString(w, `{"status":401}`)
		return
	}
	io.WriteString(w, `{"scope":"full"}`)
}

// A page is a browser's side of a console: its cookie and its origin.
type page struct {
	t       testing.TB
	console http.Handler
	origin  string
	cookie  *http.Cookie
}

func newPage(t testing.TB, api http.Handler) *page {
	return &page{t: t, console: console.New(api, console.Config{Keys: keyRing(t)}), origin: "https://ringback.example"}
}

// send makes a request with the cookie and the origin, unless header says
// otherwise, and takes the cookie that is set.
func (p *page) send(method, path, body string, header ...string) *http.Response {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Host = "ringback.example"
	if p.cookie != nil {
		r.AddCookie(p.cookie)
	}
	if p.origin != "" && method != http.MethodGet {
		r.Header.Set("Origin", p.origin)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	rec := httptest.NewRecorder()
	p.console.ServeHTTP(rec, r)
	resp := rec.Result()
	for _, c := range resp.Cookies() {
		if p.cookie = c; c.MaxAge < 0 {
			p.cookie = nil
		}
	}
	return resp
}

// signIn signs in with a key and fails the test unless that is a success.
func (p *page) signIn(key string) {
	p.t.Helper()
	if resp := p.send("POST", "/console/session", `{"key":"`+key+`"}`); resp.StatusCode != http.StatusOK || p.cookie == nil {
		p.t.Fatalf("sign in with a good key: %s, cookie %v, want 200 and one", resp.Status, p.cookie)
	}
}

func TestSessionIsASealedCookieOfTheConsoleAlone(t *testing.T) {
	api := &bearer{key: "rbk_good_key"}
	p := newPage(t, api)
	p.signIn(api.key)
	c := p.cookie
	if !c.HttpOnly || !c.Secure || c.SameSite != http.SameSiteStrictMode || c.Path != "/console" || c.MaxAge != 8*60*60 || c.Domain != "" {
		t.Errorf("cookie %v, want HttpOnly, Secure, SameSite=Strict, for /console and 8 h", c)
	}
	if strings.Contains(c.Value, "good_key") || !strings.HasPrefix(c.Value, "s1.1.") {
		t.Errorf("cookie holds %q, want the key sealed", c.Value)
	}
	p.origin = "http://ringback.example"
	p.signIn(api.key)
	if p.cookie.Secure {
		t.Error("a page without TLS gets a Secure cookie, which its browser would drop")
	}
}

// TestConsoleBehindHTTPSIsKeptThere has a public URL with https: no page without TLS, of
// another machine on the way, may set or read the cookie.
func TestConsoleBehindHTTPSIsKeptThere(t *testing.T) {
	api := &bearer{key: "rbk_good_key"}
	for _, tt := range []struct{ url, name, hsts string }{
		{"https://ringback.example", "__Secure-ringback_console", "max-age=31536000"},
		{"http://ringback.example", "ringback_console", ""},
	} {
		p := newPage(t, api)
		p.console = console.New(api, console.Config{Keys: keyRing(t), PublicURL: tt.url})
		p.origin = tt.url
		p.signIn(api.key)
		if p.cookie.Name != tt.name || p.cookie.Secure != (tt.hsts != "") {
			t.Errorf("%s: cookie %v, want %s", tt.url, p.cookie, tt.name)
		}
		if resp := p.send("GET", "/console/api/v1/me", ""); resp.StatusCode != http.StatusOK || resp.Header.Get("Strict-Transport-Security") != tt.hsts {
			t.Errorf("%s: %s with %v, want 200 and Strict-Transport-Security %q", tt.url, resp.Status, resp.Header, tt.hsts)
		}
		plain := *p.cookie
		if plain.Name = "ringback_console"; tt.hsts != "" {
			p.cookie = &plain
			if resp := p.send("GET", "/console/api/v1/me", ""); resp.StatusCode != http.StatusUnauthorized {
				t.Errorf("%s: %s with a cookie that any page could set, want 401", tt.url, resp.Status)
			}
		}
	}
}

func TestWrongKeyBeginsNoSession(t *testing.T) {
	p := newPage(t, &bearer{key: "rbk_good_key"})
	for _, tt := range []struct {
		name, body string
		want       int
	}{
		{"wrong key", `{"key":"rbk_bad_key"}`, http.StatusUnauthorized},
		{"no key", `{"key":""}`, http.StatusUnprocessableEntity},
		{"not JSON", `key=rbk_good_key`, http.StatusUnprocessableEntity},
		{"too long", `{"key":"` + strings.Repeat("k", 1025) + `"}`, http.StatusUnprocessableEntity},
		{"far too long", `{"key":"` + strings.Repeat("k", 1<<20) + `"}`, http.StatusUnprocessableEntity},
	} {
		t.Run(tt.name, func(t *testing.T) {
			resp := p.send("POST", "/console/session", tt.body)
			if resp.StatusCode != tt.want || p.cookie != nil {
				t.Errorf("sign in: %s, cookie %v, want %d and none", resp.Status, p.cookie, tt.want)
			}
		})
	}
}

func TestSessionBecomesTheBearerOfCalls(t *testing.T) {
	api := &bearer{key: "rbk_good_key"}
	p := newPage(t, api)
	if resp := p.send("GET", "/console/api/v1/me", ""); resp.StatusCode != http.StatusUnauthorized || len(api.calls) != 0 {
		t.Errorf("call without a session: %s and %d calls of the API, want 401 and none", resp.Status, len(api.calls))
	}
	p.signIn(api.key)
	resp := p.send("PATCH", "/console/api/v1/sources/a%2Fb?x=1", `{"name":"n"}`, "Authorization", "Bearer other", "If-Match", `"3"`, "Idempotency-Key", "once", "X-Other", "no")
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("call: %s, want 200", resp.Status)
	}
	got := api.calls[len(api.calls)-1]
	if got.URL.EscapedPath() != "/v1/sources/a%2Fb" || got.URL.RawQuery != "x=1" || got.Method != "PATCH" {
		t.Errorf("the API was asked %s %s?%s, want PATCH /v1/sources/a%%2Fb?x=1", got.Method, got.URL.EscapedPath(), got.URL.RawQuery)
	}
	want := http.Header{"Authorization": {"Bearer rbk_good_key"}, "If-Match": {`"3"`}, "Idempotency-Key": {"once"}}
	if diff := cmp.Diff(want, got.Header); diff != "" {
		t.Errorf("header of the call (-want +got):\n%s", diff)
	}
	for _, outside := range []string{"/console/api/openapi.json", "/console/api/api/simple.html", "/console/api/v1", "/console/api/"} {
		if resp := p.send("GET", outside, ""); resp.StatusCode != http.StatusNotFound {
			t.Errorf("GET %s: %s, want 404", outside, resp.Status)
		}
	}
}

func TestSessionEndsAfterEightHours(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := &bearer{key: "rbk_good_key"}
		p := newPage(t, api)
		p.signIn(api.key)
		cookie := p.cookie
		time.Sleep(8*time.Hour - time.Second)
		if resp := p.send("GET", "/console/api/v1/me", ""); resp.StatusCode != http.StatusOK {
			t.Errorf("call before the end: %s, want 200", resp.Status)
		}
		time.Sleep(time.Second)
		p.cookie = cookie
		if resp := p.send("GET", "/console/api/v1/me", ""); resp.StatusCode != http.StatusUnauthorized || p.cookie != nil {
			t.Errorf("call after 8 h: %s, cookie %v, want 401 and its end", resp.Status, p.cookie)
		}
	})
}

func TestSessionEndsWithItsKey(t *testing.T) {
	api := &bearer{key: "rbk_good_key"}
	p := newPage(t, api)
	p.signIn(api.key)
	cookie := p.cookie
	api.key = "rbk_another"
	if resp := p.send("GET", "/console/api/v1/sources", ""); resp.StatusCode != http.StatusUnauthorized || p.cookie != nil {
		t.Errorf("call with a deleted key: %s, cookie %v, want 401 and its end", resp.Status, p.cookie)
	}
	p.cookie = cookie
	resp := p.send("GET", "/console/session", "")
	if body, _ := io.ReadAll(resp.Body); resp.StatusCode != http.StatusOK || string(body) != "null\n" || p.cookie != nil {
		t.Errorf("who with a deleted key: %s %q, cookie %v, want 200, null and its end", resp.Status, body, p.cookie)
	}
}

func TestSigningOutTakesTheCookieBack(t *testing.T) {
	api := &bearer{key: "rbk_good_key"}
	p := newPage(t, api)
	p.signIn(api.key)
	if resp := p.send("DELETE", "/console/session", ""); resp.StatusCode != http.StatusNoContent || p.cookie != nil {
		t.Errorf("sign out: %s, cookie %v, want 204 and its end", resp.Status, p.cookie)
	}
}

func TestForgedSessionsAreNone(t *testing.T) {
	api := &bearer{key: "rbk_good_key"}
	p := newPage(t, api)
	p.signIn(api.key)
	good := p.cookie.Value
	calls := len(api.calls)
	other := keyRing(t).Seal("source", "token", `{"key":"rbk_good_key","until":"2999-01-01T00:00:00Z"}`)
	for i, value := range []string{"", "x", good[:len(good)-4], good[:20] + "A" + good[21:], strings.Replace(good, "s1.1.", "s1.2.", 1), other} {
		if value == good {
			continue // the change hit the same character
		}
		p.cookie = &http.Cookie{Name: "ringback_console", Value: value}
		if resp := p.send("GET", "/console/api/v1/me", ""); resp.StatusCode != http.StatusUnauthorized {
			t.Errorf("forged session %d: %s, want 401", i, resp.Status)
		}
	}
	if len(api.calls) != calls {
		t.Errorf("the API was called %d times for forged sessions, want never", len(api.calls)-calls)
	}
}

func TestOtherOriginsCannotChangeAnything(t *testing.T) {
	api := &bearer{key: "rbk_good_key"}
	p := newPage(t, api)
	p.signIn(api.key)
	cookie := p.cookie
	const here = "https://ringback.example"
	for _, tt := range []struct {
		name, origin, site string
		want               int
	}{
		{"the page", here, "same-origin", http.StatusOK},
		{"the page in a browser without Sec-Fetch-Site", here, "", http.StatusOK},
		{"another site", "https://evil.example", "cross-site", http.StatusForbidden},
		{"another site in a browser without Sec-Fetch-Site", "https://evil.example", "", http.StatusForbidden},
		{"a sibling", "https://other.ringback.example", "same-site", http.StatusForbidden},
		{"a sandboxed frame", "null", "", http.StatusForbidden},
		{"nobody", "", "", http.StatusForbidden},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, call := range []struct{ method, path string }{
				{"POST", "/console/api/v1/sources"}, {"PATCH", "/console/api/v1/sources/s"}, {"DELETE", "/console/api/v1/sources/s"},
				{"POST", "/console/session"}, {"DELETE", "/console/session"},
			} {
				before := len(api.calls)
				p.cookie, p.origin = cookie, tt.origin
				header := []string{}
				if tt.site != "" {
					header = []string{"Sec-Fetch-Site", tt.site}
				}
				resp := p.send(call.method, call.path, `{"key":"rbk_good_key"}`, header...)
				refused := resp.StatusCode == http.StatusForbidden
				if refused != (tt.want == http.StatusForbidden) || refused && len(api.calls) != before {
					t.Errorf("%s %s: %s and %d calls of the API, want %d", call.method, call.path, resp.Status, len(api.calls)-before, tt.want)
				}
			}
		})
	}
}

func TestProxyThatChangesTheHostIsNamed(t *testing.T) {
	api := &bearer{key: "rbk_good_key"}
	p := newPage(t, api)
	p.origin = "https://public.example"
	if resp := p.send("POST", "/console/session", `{"key":"rbk_good_key"}`); resp.StatusCode != http.StatusForbidden {
		t.Errorf("sign in from an origin that nobody named: %s, want 403", resp.Status)
	}
	p.console = console.New(api, console.Config{Keys: keyRing(t), PublicURL: "https://public.example/ignored"})
	p.signIn(api.key)
}

func TestEveryAnswerForbidsWhatThePageDoesNotNeed(t *testing.T) {
	p := newPage(t, &bearer{key: "rbk_good_key"})
	for _, path := range []string{"/console", "/console/", "/console/deliveries/x", "/console/session", "/console/api/v1/me", "/console/files/x/main.js", file(t, p, "main.js")} {
		h := p.send("GET", path, "").Header
		policy := h.Get("Content-Security-Policy")
		for _, part := range []string{"default-src 'none'", "script-src 'self'", "style-src 'self'", "frame-ancestors 'none'", "require-trusted-types-for 'script'", "form-action 'none'", "base-uri 'none'"} {
			if !strings.Contains(policy, part) {
				t.Errorf("GET %s: policy %q, want %s", path, policy, part)
			}
		}
		if strings.Contains(policy, "unsafe") || strings.Contains(policy, "http") || strings.Contains(policy, "*") {
			t.Errorf("GET %s: policy %q allows more than the page's own files", path, policy)
		}
		want := http.Header{"X-Content-Type-Options": {"nosniff"}, "Referrer-Policy": {"no-referrer"}, "Cross-Origin-Resource-Policy": {"same-origin"}}
		for name, value := range want {
			if diff := cmp.Diff(value, h[name]); diff != "" {
				t.Errorf("GET %s: %s (-want +got):\n%s", path, name, diff)
			}
		}
	}
}

// file returns the address of a file as the page names it.
func file(t testing.TB, p *page, name string) string {
	t.Helper()
	body, err := io.ReadAll(p.send("GET", "/console", "").Body)
	if err != nil {
		t.Fatal(err)
	}
	at := regexp.MustCompile(`/console/files/[0-9a-f]+/` + regexp.QuoteMeta(name)).Find(body)
	if at == nil {
		t.Fatalf("the page names no %s:\n%s", name, body)
	}
	return string(at)
}

func TestFilesAreKeptByBrowsersUntilTheyChange(t *testing.T) {
	p := newPage(t, &bearer{})
	resp := p.send("GET", file(t, p, "main.js"), "")
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "text/javascript; charset=utf-8" || !strings.Contains(resp.Header.Get("Cache-Control"), "immutable") {
		t.Errorf("main.js: %s %v, want a script that may be kept", resp.Status, resp.Header)
	}
	for _, name := range []string{"/console/files/0000/main.js", path.Dir(file(t, p, "main.js")) + "/none.js", path.Dir(file(t, p, "main.js")) + "/index.html"} {
		if resp := p.send("GET", name, ""); resp.StatusCode != http.StatusNotFound {
			t.Errorf("GET %s: %s, want 404", name, resp.Status)
		}
	}
	if got := p.send("GET", "/console", "").Header.Get("Cache-Control"); got != "no-store" {
		t.Errorf("the page has Cache-Control %q, want no-store", got)
	}
}

// sinks take text for HTML, for a script or for a style.
var sinks = regexp.MustCompile(`innerHTML|outerHTML|insertAdjacentHTML|document\.write|createContextualFragment|DOMParser|setHTML|\beval\b|new Function|srcdoc|style=|\.style\b|javascript:`)

// abroad is the address of another host.
var abroad = regexp.MustCompile(`(?:src|href|url\(|import|from)\W{0,4}(?:https?:)?//`)

func TestFilesHoldNoSinkAndNoOtherHost(t *testing.T) {
	files := os.DirFS("files")
	err := fs.WalkDir(files, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := fs.ReadFile(files, name)
		for n, line := range strings.Split(string(b), "\n") {
			if found := sinks.FindString(line); found != "" {
				t.Errorf("%s:%d holds %s, which reads text as code", name, n+1, found)
			}
			if abroad.MatchString(line) {
				t.Errorf("%s:%d names another host: %s", name, n+1, line)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// facts is facts.json.
type facts struct {
	Schedules struct {
		Standard []string `json:"standard"`
		Often    struct {
			Wait  string `json:"wait"`
			Times int    `json:"times"`
		} `json:"every-5-minutes"`
	} `json:"schedules"`
	RoutingKeys  map[string]map[string]string `json:"routing_keys"`
	DefaultTypes map[string][]string          `json:"default_event_types"`
	Operational  map[string]string            `json:"operational"`
}

func readFacts(t testing.TB) facts {
	t.Helper()
	b, err := os.ReadFile("files/facts.json")
	if err != nil {
		t.Fatal(err)
	}
	var f facts
	if err := json.Unmarshal(b, &f); err != nil {
		t.Fatal(err)
	}
	return f
}

func TestSchedulesAreTheGateways(t *testing.T) {
	f := readFacts(t)
	standard := schedule.Schedule{}
	var waits []time.Duration
	for n := range standard.Len() {
		waits = append(waits, standard.Wait(n))
	}
	if diff := cmp.Diff(waits, durations(t, f.Schedules.Standard)); diff != "" {
		t.Errorf("standard schedule (-gateway +facts):\n%s", diff)
	}
	often := schedule.Schedule{Name: "every-5-minutes"}
	if got := durations(t, []string{f.Schedules.Often.Wait})[0]; got != often.Wait(0) || f.Schedules.Often.Times != often.Len() {
		t.Errorf("every-5-minutes: %v × %d, want %v × %d", got, f.Schedules.Often.Times, often.Wait(0), often.Len())
	}
}

func TestRoutingKeysAreTheProviders(t *testing.T) {
	f := readFacts(t)
	for name, p := range all.Providers() {
		keys := slices.Sorted(maps.Keys(f.RoutingKeys[name]))
		want := slices.Sorted(slices.Values(append(p.KeyKinds(), "label")))
		if diff := cmp.Diff(want, keys); diff != "" {
			t.Errorf("routing keys of %s (-gateway +facts):\n%s", name, diff)
		}
		if diff := cmp.Diff(append([]string{}, p.DefaultEventTypes()...), f.DefaultTypes[name]); diff != "" {
			t.Errorf("default event types of %s (-gateway +facts):\n%s", name, diff)
		}
	}
}

func TestOperationalEventsAreThoseThatNoPatternMatches(t *testing.T) {
	f := readFacts(t)
	for _, typ := range []string{"registration.failing", "registration.disabled", "registration.recovered", "delivery.exhausted", "source.disconnected"} {
		byName := gateway.Registration{Source: "s", EventTypes: []string{typ}}
		byPattern := gateway.Registration{Source: "s", EventTypes: []string{"*"}}
		e := &provider.Event{Source: "s", Type: typ}
		if f.Operational[typ] == "" || !byName.Wants(e) || byPattern.Wants(e) {
			t.Errorf("%s: facts say %q, by name %v, by pattern %v, want it among those that no pattern matches", typ, f.Operational[typ], byName.Wants(e), byPattern.Wants(e))
		}
	}
	if len(f.Operational) != 5 {
		t.Errorf("facts name %d events of the gateway itself, want 5", len(f.Operational))
	}
}

func durations(t testing.TB, texts []string) []time.Duration {
	t.Helper()
	var out []time.Duration
	for _, text := range texts {
		d, err := time.ParseDuration(text)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, d)
	}
	return out
}
