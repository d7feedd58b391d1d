package console_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"ringback/shared/console/browsertest"
	"ringback/shared/test/gatewaytest"
	"ringback/shared/test/proofs"
)

// hostile is a text that runs a script where it is taken for HTML.
const hostile = `"><img src=x onerror="window.hit=1"><script>window.hit=1</script>'`

const (
	groupUUID = "5b1f0c52-0a5e-4a0c-9a5a-1f6d2f0e7c11"
	appUUID   = "7e0c2a9e-63c5-4d24-8f8e-6a2f0f1d9b10"
)

// A stuffed world has a text in every field that anyone can fill.
type stuffed struct {
	*world
	key, ownerKey string
	operator      []string // addresses of the operator's pages
	tenant        []string
	owner         []string
}

func stuff(t testing.TB, text string) *stuffed {
	t.Helper()
	w := &stuffed{world: newWorld(t)}
	e := newEndpoint(t)
	e.answer(http.StatusInternalServerError, text)
	m := w.made(text)
	registration := w.OK(w.key, "POST", "/v1/registrations", object{
		"source": m.bots, "url": e.URL + "/" + url.PathEscape(text) + "?q=" + url.QueryEscape(text), "description": text, "event_types": []string{"*", text},
		"match": object{"label": []string{text}}, "headers": object{"X-Text": text},
	}).Text("id")
	w.connect(text, e.URL)
	w.post(m.callback, url.Values{"action": {text}, "group_uuid": {text}, "bot_name": {text}, "app_uuid": {text}, text: {text}})
	var delivery object
	gatewaytest.Await(t, "the delivery that was refused", func() bool {
		rows := w.OK(w.key, "GET", "/v1/deliveries?status=pending&registration="+registration, nil).Data()
		if len(rows) > 0 {
			delivery = rows[0]
		}
		return len(rows) > 0
	})
	shared := []string{"deliveries/" + delivery.Text("id"), "events/" + delivery.Text("event"), "registrations/" + registration, "sources", "sources/" + m.bots, "sources/" + m.tencent, "keys", "jobs"}
	w.operator = append(shared[:len(shared):len(shared)],
		"sources/"+m.direct, "sources/new", "tenants", "tenants/"+m.tenant, "groups", "groups/"+m.group, "deliveries?tenant="+m.tenant,
		"events?source="+m.bots, "registrations?tenant="+m.tenant, "queues", "jobs/"+m.job, url.PathEscape(text))
	if !proofs.Full() {
		shared = shared[:1] // what both roles may see, one has seen
	}
	w.tenant = append(shared[:len(shared):len(shared)],
		"deliveries", "deliveries?type="+url.QueryEscape(text), "events", "registrations", "registrations/"+registration+"/edit", "registrations/new?source="+m.bots)
	w.owner = []string{"groups", "groups/" + m.group}
	return w
}

// made are the ids of what the operator has made.
type made struct {
	bots, tencent, direct, callback, tenant, group, job string
}

// made makes what the operator can, each with the text where it takes one.
func (w *stuffed) made(text string) made {
	w.t.Helper()
	const op = operatorKey
	var m made
	m.bots = w.OK(op, "POST", "/v1/sources", object{
		"provider": "smartbots", "name": text, "ignore_event_types": []string{"not " + text}, "upstream": object{"base_url": "http://127.0.0.1:9/" + url.PathEscape(text)},
	}).Text("id")
	m.tencent = w.OK(op, "POST", "/v1/sources", object{"provider": "tencent-chat", "name": text, "sdk_app_id": 1400000001, "token": "tencent-token"}).Text("id")
	m.direct = w.OK(op, "POST", "/v1/sources", object{"provider": "direct", "name": text, "basic": object{"login": "login", "password": "password"}}).Text("id")
	m.callback = w.OK(op, "POST", "/v1/sources/"+m.bots+"/keys", object{"label": text}).Text("callback_url")
	tenant := w.OK(op, "POST", "/v1/tenants", object{"name": text, "limits": object{"api_calls_per_second": 100000}})
	m.tenant, w.key = tenant.Text("id"), tenant.Text("api_key")
	w.OK(op, "POST", "/v1/sources/"+m.bots+"/grants", object{"tenant": m.tenant})
	w.OK(op, "POST", "/v1/sources/"+m.tencent+"/grants", object{"tenant": m.tenant, "match": object{"from": []string{text}, "label": []string{text}}})
	w.OK(op, "POST", "/v1/keys", object{"scope": "operator", "name": text})
	w.OK(w.key, "POST", "/v1/keys", object{"scope": "read", "name": text})
	group := w.OK(op, "POST", "/v1/groups", object{"source": m.bots, "name": text, "uuid": groupUUID, "group_id": text, "security_code": "code"})
	m.group, w.ownerKey = group.Text("id"), group.Text("owner_key")
	m.job = w.OK(op, "POST", "/v1/erasures", object{"source": m.tencent, "match": object{"from": []string{text}}}).Text("id")
	return m
}

// connect makes a registration by the group's code.
func (w *stuffed) connect(text, endpoint string) {
	w.t.Helper()
	w.post(w.URL+"/api/simple.html", url.Values{
		"action": {"set_http_callback"}, "apikey": {w.key}, "group": {text}, "secret": {"code"}, "app_name": {text}, "app_uuid": {appUUID}, "url": {endpoint},
	})
}

func (w *world) post(at string, values url.Values) {
	w.t.Helper()
	resp, err := http.PostForm(at, values)
	if err != nil {
		w.t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		w.t.Fatalf("POST %s: %s, want 200", at, resp.Status)
	}
}

// each signs in as each role and calls visit for each page, loaded and with all
// that it hides opened.
func (w *stuffed) each(b *browser, visit func(page string)) {
	for _, role := range []struct {
		key   string
		pages []string
	}{{operatorKey, w.operator}, {w.key, w.tenant}, {w.ownerKey, w.owner}} {
		b.signIn(role.key)
		for _, page := range role.pages {
			b.open("/console/" + page)
			b.until("the page to be opened up", `(document.querySelectorAll("details").forEach((d) => (d.open = true)), true)`)
			visit(page)
		}
	}
}

// Each page is loaded once for all checks, since loading takes longer than most of
// them. Axe-core takes longest and is had from npm: it checks every page on both
// screens at full length.
func TestEveryPageStandsWhatAnybodyWrites(t *testing.T) {
	t.Parallel()
	browsertest.SkipShort(t)
	w := stuff(t, hostile+strings.Repeat("AVeryLongNameWithoutASpace", 3))
	b := newBrowser(t, w.world, darkPhone)
	b.open("/console")
	script := ""
	if proofs.Full() {
		script = axe(t)
		b.checkAccessibility(script, "sign-in")
	}
	shown := map[string]bool{}
	w.each(b, func(page string) {
		b.stayedText(page)
		shown[page] = shown[page] || strings.Contains(b.text("document.body.textContent"), "<img src=x onerror=")
		b.fits(page)
		if proofs.Full() {
			b.checkAccessibility(script, page+" on a dark phone")
			b.look(desk)
			b.checkAccessibility(script, page)
			b.look(darkPhone)
		}
	})
	for page := range shown {
		shows := page != "queues" && page != "jobs" && page != "sources/new" && !strings.HasPrefix(page, "%")
		if shows && !shown[page] {
			t.Errorf("/console/%s does not show the text, so it was not tried there", page)
		}
	}
	b.wantNoErrors()
}

// stayedText fails the test for what the page made of text that others wrote.
func (b *browser) stayedText(page string) {
	b.t.Helper()
	if found := b.text(`Array.from(document.querySelectorAll("img, iframe, object, embed, style, [style], script:not([src])"), (e) => e.outerHTML).join("\n") + (window.hit ?? "")`); found != "" {
		b.t.Errorf("/console/%s made elements of text: %s", page, found)
	}
	if links := b.text(`Array.from(document.links, (a) => a.href).filter((h) => !h.startsWith(location.origin + "/console") && !h.endsWith("#content")).join("\n")`); links != "" {
		b.t.Errorf("/console/%s links out of the console: %s", page, links)
	}
}

// fits fails the test if the page is wider than a phone.
func (b *browser) fits(page string) {
	b.t.Helper()
	if wide := b.text(`document.documentElement.scrollWidth > innerWidth ? String(document.documentElement.scrollWidth) : ""`); wide != "" {
		b.t.Errorf("/console/%s is %s px wide, want %d at most", page, wide, phone.width)
	}
}

func TestPayloadsAreDownloadedAndNeverShownAsPages(t *testing.T) {
	t.Parallel()
	w := stuff(t, hostile)
	b := newBrowser(t, w.world, desk)
	b.signIn(w.key)
	b.open("/console/" + w.tenant[0])
	at := b.text(`document.querySelector("a[download]").getAttribute("href")`)
	b.until("the payload's headers", fmt.Sprintf(`fetch(%q).then((r) => { window.got = ["content-type", "content-disposition", "x-content-type-options"].map((n) => r.headers.get(n)).join("|"); return true; })`, at))
	got := b.text("window.got")
	if !strings.HasPrefix(got, "application/octet-stream|attachment") || !strings.HasSuffix(got, "|nosniff") {
		t.Errorf("%s is answered with %q, want an attachment of bytes that are not sniffed", at, got)
	}
}

// axeVersion is the release of axe-core that the pages are judged with.
const axeVersion = "4.14.1"

// axe returns axe-core's script, which npm puts into the user's cache once.
func axe(t testing.TB) string {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(cache, "ringback", "axe-core-"+axeVersion)
	at := filepath.Join(dir, "node_modules", "axe-core", "axe.min.js")
	if b, err := os.ReadFile(at); err == nil {
		return string(b)
	}
	npm, err := exec.LookPath("npm")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("npm is not on PATH, and CI=true: want it installed for axe-core")
		}
		t.Skip("npm is not on PATH: the pages are not judged by axe-core")
	}
	install := exec.Command(npm, "install", "--prefix", dir, "--no-save", "--ignore-scripts", "--no-audit", "--no-fund", "axe-core@"+axeVersion)
	if out, err := install.CombinedOutput(); err != nil {
		t.Fatalf("npm install axe-core: %v\n%s", err, out)
	}
	b, err := os.ReadFile(at)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// checkAccessibility fails the test for what axe-core finds on the page.
func (b *browser) checkAccessibility(script, page string) {
	b.t.Helper()
	const run = `axe.run(document, { resultTypes: ["violations"] }).then((r) => JSON.stringify(r.violations.map((v) => ({
		id: v.id, impact: v.impact, help: v.help, nodes: v.nodes.slice(0, 3).map((n) => n.html.slice(0, 160) + " " + n.failureSummary) }))))`
	b.do("load axe-core", chromedp.Evaluate[chromedp.Void]("if (!window.axe) {"+script+"} undefined"))
	text, err := chromedp.Run(b.ctx, chromedp.Evaluate[string](run, chromedp.EvalAwaitPromise))
	if err != nil {
		b.t.Fatalf("check %s: %v", page, err)
	}
	var found []struct {
		ID, Impact, Help string
		Nodes            []string
	}
	if err := json.Unmarshal([]byte(text), &found); err != nil {
		b.t.Fatalf("check %s: %v in %s", page, err, text)
	}
	for _, v := range found {
		b.t.Errorf("/console/%s: %s (%s): %s\n%s", page, v.ID, v.Impact, v.Help, strings.Join(v.Nodes, "\n"))
	}
}

func TestKeyboardAloneCreatesATenant(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := newBrowser(t, w, desk)
	b.open("/console")
	b.tabTo(`document.activeElement.type === "password"`)
	b.do("type the key", chromedp.KeyEvent(operatorKey), chromedp.KeyEvent(kb.Enter))
	b.sees("No source yet")
	b.tabTo(`document.activeElement.textContent === "Tenants"`)
	b.do("follow the link", chromedp.KeyEvent(kb.Enter))
	b.sees("No tenant yet")
	b.tabTo(`document.activeElement.textContent === "New tenant"`)
	b.do("press the button", chromedp.KeyEvent(kb.Enter))
	b.until("the dialog to have the focus", `document.activeElement.closest("dialog") !== null`)
	b.do("type the name", chromedp.KeyEvent("Acme"), chromedp.KeyEvent(kb.Enter))
	b.sees("It is shown this once")
	b.do("try to lose the secret", chromedp.KeyEvent(kb.Escape))
	b.sees("It is shown this once")
	b.tabTo(`document.activeElement.textContent === "I have stored it"`)
	b.do("close the dialog", chromedp.KeyEvent(kb.Enter))
	b.sees("Registrations per source")
	if got := b.text(`document.activeElement.tagName + " " + document.activeElement.textContent`); got != "H1 Acme" {
		t.Errorf("after the page changed the focus is on %q, want its heading", got)
	}
	b.wantNoErrors()
}

// tabTo presses Tab until an expression holds.
func (b *browser) tabTo(expression string) {
	b.t.Helper()
	for range 60 {
		if b.text("String("+expression+")") == "true" {
			return
		}
		b.do("press Tab", chromedp.KeyEvent(kb.Tab))
	}
	b.t.Fatalf("60 × Tab do not lead to %s\n%s", expression, b.shown())
}
