package main

import (
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ringback/shared/provider"
	"ringback/shared/provider/all"
)

func TestDemoIsAliveAndGoesOnAtTheNextStart(t *testing.T) {
	waits(t)
	dir := t.TempDir()
	p := startRunner(t, dir, "-demo")
	p.demoIsAlive()
	before := p.demoThings()
	p.interrupt()
	p = startRunner(t, dir, "-demo")
	p.demoIsAlive()
	if diff := cmp.Diff(before, p.demoThings()); diff != "" {
		t.Errorf("the second start changed (-before +after):\n%s", diff)
	}
	p.interrupt()
}

func TestDemoMakesAKeyThatWasLostAnew(t *testing.T) {
	dir := t.TempDir()
	p := startRunner(t, dir, "-demo")
	p.awaitLine(p.out, "Quay Support")
	p.interrupt()
	harbor, quay := filepath.Join(dir, demoKeyFile(demoTenants[0])), filepath.Join(dir, demoKeyFile(demoTenants[1]))
	if err := os.Remove(harbor); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(quay, []byte("rbk_wrong_key\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p = startRunner(t, dir, "-demo")
	p.awaitLine(p.out, "Quay Support")
	for _, name := range []string{harbor, quay} {
		if status, body := p.get(p.key(name), "/v1/me"); status != http.StatusOK {
			t.Errorf("GET /v1/me with %s: %d %s, want 200", filepath.Base(name), status, body)
		}
	}
}

func TestDemoInterruptedAtOnceExitsZeroAndIsWholeLater(t *testing.T) {
	waits(t)
	dir := t.TempDir()
	startRunner(t, dir, "-demo").interrupt()
	p := startRunner(t, dir, "-demo")
	p.demoIsAlive()
}

func TestEveryDemoCallbackIsOneThatItsProviderSends(t *testing.T) {
	providers, seen := all.Providers(), map[string]bool{}
	credentials := provider.Credentials{
		SDKAppID: demoSDKAppID, Tokens: []string{demoToken}, Basic: []provider.Login{{Name: demoLogin, Password: demoPassword}},
	}
	for n := range 60 {
		now := time.Now().UTC()
		s := sceneOf(n, now)
		p := providers[demoSources()[s.source].Provider]
		cb := &provider.Callback{Method: http.MethodPost, Query: s.query, Header: http.Header{"Content-Type": {s.contentType}}, Body: []byte(s.body), Received: now}
		req := &http.Request{Header: cb.Header} // shares the header
		if s.source == statusSource {
			req.SetBasicAuth(demoLogin, demoPassword)
		}
		if err := p.Verify(cb, credentials); err != nil {
			t.Errorf("callback %d of %s: Verify: %v", n, s.source, err)
		}
		reading, err := p.Parse(cb)
		if err != nil || len(reading.Items) != 1 || reading.Items[0].Unreadable {
			t.Fatalf("callback %d of %s: Parse: %+v, %v; want one item", n, s.source, reading, err)
		}
		typ := reading.Items[0].Type
		if !slices.ContainsFunc(p.EventTypes(), func(e provider.EventType) bool { return e.Name == typ }) {
			t.Errorf("callback %d of %s has type %s, which is not documented", n, s.source, typ)
		}
		seen[s.source+" "+typ] = true
	}
	if len(seen) < 6 {
		t.Errorf("the demo shows only %v", seen)
	}
}

func TestDemoEndpointFailsNowAndThenAndNeverOpensTheCircuit(t *testing.T) {
	for _, r := range demoRegistrations() {
		inARow, refused := 0, 0
		for n := range 1000 {
			if m := responseFor(r.path, n); m.status == http.StatusOK {
				inARow = 0
				continue
			}
			inARow++
			refused++
			if inARow > 2 {
				t.Errorf("%s: %d refusals in a row", r.path, inARow)
			}
		}
		if moody := r.path == "/quay/status" || r.path == "/harbor/bot"; moody != (refused > 50) {
			t.Errorf("%s: %d of 1000 refused", r.path, refused)
		}
	}
}

// demoIsAlive looks where the demo tells people to look, until each
// registration has got something and something was refused.
func (p *process) demoIsAlive() {
	p.t.Helper()
	page := strings.TrimSuffix(p.awaitLine(p.out, "/console"), " and sign in")
	_, page, _ = strings.Cut(page, "open ")
	if page != p.base+"/console" {
		p.t.Fatalf("the demo names %s, want %s/console", page, p.base)
	}
	if status, _ := p.get("", "/console"); status != http.StatusOK {
		p.t.Errorf("GET %s: %d", page, status)
	}
	p.awaitLine(p.out, "as the operator with the key in the file "+filepath.Join(p.dir, operatorKeyFile))
	for _, tenant := range demoTenants {
		file := filepath.Join(p.dir, demoKeyFile(tenant))
		p.awaitLine(p.out, "as the tenant "+tenant.name+" with the key in the file "+file)
		if me := p.call(p.key(file), "GET", "/v1/me", nil, 200); me["tenant"].(map[string]any)["name"] != tenant.name {
			p.t.Errorf("key in %s is of %v, want %s", file, me, tenant.name)
		}
	}
	since := time.Now().UTC().Format(time.RFC3339)
	for _, r := range demoRegistrations() {
		query := "/v1/deliveries?status=succeeded&since=" + since + "&registration=" + demoID("reg", r.name)
		eventually(p.t, "a delivery at "+r.path, func() bool {
			return len(p.call(p.operatorKey(), "GET", query, nil, 200)["data"].([]any)) > 0
		})
	}
	eventually(p.t, "a refused attempt", func() bool {
		_, body := p.get(p.operatorKey(), "/metrics")
		return !strings.Contains(body, "ringback_attempts_total{outcome=\"failed\"} 0\n")
	})
	if _, body := p.get(p.operatorKey(), "/metrics"); !strings.Contains(body, "ringback_callbacks_total{outcome=\"refused\"} 0\n") {
		p.t.Errorf("callbacks of the demo were refused\n%s", p.log)
	}
}

// demoThings returns what the operator sees of the demo, but for what moves.
func (p *process) demoThings() map[string][]string {
	p.t.Helper()
	out := map[string][]string{}
	for _, kind := range []string{"sources", "tenants", "keys?tenant=" + demoTenants[0].id, "registrations?tenant=" + demoTenants[0].id, "registrations?tenant=" + demoTenants[1].id} {
		for _, of := range p.call(p.operatorKey(), "GET", "/v1/"+kind, nil, 200)["data"].([]any) {
			thing := of.(map[string]any)
			out[kind] = append(out[kind], thing["id"].(string))
		}
	}
	return out
}

// key returns the key that a file holds.
func (p *process) key(file string) string {
	p.t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		p.t.Fatal(err)
	}
	return strings.TrimSpace(string(b))
}
