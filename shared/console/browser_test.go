package console_test

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"ringback/shared/console/browsertest"
	"ringback/shared/test/proofs"
)

// A browser is a page of a headless Chromium. It notes what the page should not
// do: errors on its console and requests to another host.
type browser struct {
	t     testing.TB
	w     *world
	ctx   context.Context
	mu    sync.Mutex
	wrong []string
}

// A screen is what the page is looked at with.
type screen struct {
	width, height int64
	dark          bool
}

var (
	desk  = screen{width: 1280, height: 900}
	phone = screen{width: 375, height: 812}

	darkPhone = screen{phone.width, phone.height, true}
)

// chromium is the one of all tests.
var chromium browsertest.Browser

func TestMain(m *testing.M) {
	code := m.Run()
	chromium.Close()
	os.Exit(code)
}

// newBrowser opens a page. Without a Chromium on PATH the test is skipped, or
// fails if CI=true.
func newBrowser(t testing.TB, w *world, s screen) *browser {
	t.Helper()
	b := &browser{t: t, w: w, ctx: chromium.Page(t)}
	if err := chromedp.Listen(b.ctx, b.listen); err != nil {
		t.Fatalf("listen to the page: %v", err)
	}
	if _, err := chromedp.Call(b.ctx, network.Enable, network.EnableParams{}); err != nil {
		t.Fatalf("listen to requests: %v", err)
	}
	b.look(s)
	return b
}

// look sets the size and the colours of the screen.
func (b *browser) look(s screen) {
	b.t.Helper()
	media := emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: "light"}}}
	if s.dark {
		media.Features[0].Value = "dark"
	}
	if _, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, media); err != nil {
		b.t.Fatalf("set the colours: %v", err)
	}
	size := chromedp.EmulateViewport(s.width, s.height)
	if s.width < 600 {
		size = chromedp.EmulateViewport(s.width, s.height, chromedp.EmulateMobile)
	}
	b.do("set the size", size)
}

func (b *browser) listen(event any) {
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		b.note("exception: " + e.ExceptionDetails.Text)
		if e.ExceptionDetails.Exception != nil {
			b.note(e.ExceptionDetails.Exception.Description)
		}
	case *runtime.EventConsoleAPICalled:
		if e.Type == "error" || e.Type == "warning" {
			b.note(fmt.Sprintf("console.%s %v", e.Type, e.Args))
		}
	case *log.EventEntryAdded:
		if e.Entry.Level == "error" {
			b.note("log: " + e.Entry.Text + " " + e.Entry.URL)
		}
	case *network.EventRequestWillBeSent:
		if at, err := url.Parse(e.Request.URL); err != nil || at.Scheme != "data" && at.Host != b.w.Listener.Addr().String() {
			b.note("request to another host: " + e.Request.URL)
		}
		if plain, err := url.QueryUnescape(e.Request.URL); err != nil || strings.Contains(plain, "rbk_") || strings.Contains(plain, operatorKey) {
			b.note("a key in an address: " + e.Request.URL)
		}
	}
}

func (b *browser) note(what string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.wrong = append(b.wrong, what)
}

// wantNoErrors fails the test if the page did what it should not.
func (b *browser) wantNoErrors() {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.wrong) > 0 {
		b.t.Errorf("the page did what it should not:\n%s", strings.Join(b.wrong, "\n"))
	}
}

// do runs actions, and fails the test with what the page shows if they take
// more than two minutes, which a machine that is busy with other tests may need.
func (b *browser) do(what string, actions ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, 2*time.Minute)
	defer cancel()
	if err := chromedp.Do(ctx, actions...); err != nil {
		b.t.Fatalf("%s: %v\n%s", what, err, b.shown())
	}
}

// shown is what the page shows, for failures.
func (b *browser) shown() string {
	ctx, cancel := context.WithTimeout(b.ctx, 20*time.Second)
	defer cancel()
	page, _ := chromedp.Run(ctx, chromedp.Evaluate[string]("location.href + '\\n' + document.body.innerText"))
	b.mu.Lock()
	defer b.mu.Unlock()
	return page + "\n" + strings.Join(b.wrong, "\n")
}

// open goes to a page of the console by its address. What was loaded before stays
// loaded, as when one goes back, except at full length.
func (b *browser) open(path string) {
	b.t.Helper()
	const move = `location.origin === %q && document.querySelector("main") !== null
		? (history.pushState(null, "", %q), dispatchEvent(new PopStateEvent("popstate")), "moved") : ""`
	if proofs.Full() || b.text(fmt.Sprintf(move, b.w.URL, path)) == "" {
		b.do("open "+path, chromedp.Navigate(b.w.URL+path))
	}
	b.settled()
}

// settled waits until the page has loaded what it shows.
func (b *browser) settled() {
	b.t.Helper()
	b.until("the page to settle", `document.querySelector("h1") !== null && document.querySelector(".loading") === null`)
}

// until waits until an expression holds.
func (b *browser) until(what, expression string) {
	b.t.Helper()
	b.do("wait for "+what, chromedp.Poll[chromedp.Void](expression, chromedp.WithPollingInterval(100*time.Millisecond), chromedp.WithPollingTimeout(2*time.Minute)))
}

// sees waits until a text is shown.
func (b *browser) sees(text string) {
	b.t.Helper()
	b.until(fmt.Sprintf("%q", text), fmt.Sprintf("document.body.innerText.includes(%q)", text))
}

// top restricts a path to the dialog that is open, if there is one.
const top = `//*[self::dialog[@open] or self::body[not(dialog[@open])]]`

// click presses the button or the link, or opens the summary, of that name.
func (b *browser) click(name string) {
	b.t.Helper()
	at := fmt.Sprintf(top+`//*[self::a or self::button or self::summary][normalize-space(.)=%q]`, name)
	b.do("click "+name, chromedp.Click(at, chromedp.NodeVisible))
}

// fill types into the field of that label.
func (b *browser) fill(label, value string) {
	b.t.Helper()
	at := field(label)
	b.do("find "+label, chromedp.WaitVisible(at), chromedp.Focus(at))
	b.until("the focus on "+label, `(document.activeElement.select(), true)`)
	b.do("fill "+label, chromedp.KeyEvent(value))
}

// choose picks an option of a field by its words.
func (b *browser) choose(label, option string) {
	b.t.Helper()
	at := field(label)
	b.do("find "+label, chromedp.WaitVisible(at))
	pick := fmt.Sprintf(`(() => {
		const select = document.evaluate(%q, document, null, XPathResult.FIRST_ORDERED_NODE_TYPE, null).singleNodeValue;
		const option = Array.from(select.options).find((o) => o.textContent === %q);
		if (!option) return false;
		select.value = option.value;
		return select.dispatchEvent(new Event("change", { bubbles: true }));
	})()`, at, option)
	b.until("the option "+option, pick)
}

// field is the path of the control whose label begins with a text.
func field(label string) string {
	return fmt.Sprintf(top+`//label[starts-with(normalize-space(.),%q)]/following-sibling::*[1]`, label)
}

// text evaluates an expression that is a text.
func (b *browser) text(expression string) string {
	b.t.Helper()
	out, err := chromedp.Run(b.ctx, chromedp.Evaluate[string](expression))
	if err != nil {
		b.t.Fatalf("evaluate %s: %v\n%s", expression, err, b.shown())
	}
	return out
}

// signIn signs in with a key, after signing out if somebody is signed in.
func (b *browser) signIn(key string) {
	b.t.Helper()
	b.open("/console")
	if strings.Contains(b.text("document.body.innerText"), "Sign out") {
		b.click("Sign out")
	}
	b.fill("API key", key)
	b.click("Sign in")
	b.sees("Sign out")
	b.settled()
}

// submit sends the form whose button has that name: where a summary has it too.
func submit(name string) chromedp.Action[chromedp.Void] {
	return chromedp.Click(fmt.Sprintf(`//form//button[normalize-space(.)=%q]`, name), chromedp.NodeVisible)
}
