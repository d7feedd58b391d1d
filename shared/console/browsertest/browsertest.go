// Package browsertest gives tests the pages of a headless Chromium, which is Debian's package chromium.
package browsertest

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
)

// A Browser is one Chromium for all tests of a process, since to start it takes longer than most of them. The zero
// value starts it with its first page. It is safe for concurrent use.
type Browser struct {
	mu   sync.Mutex
	ctx  context.Context // of its first tab; nil: not started
	end  context.CancelFunc
	err  error             // why it could not be started
	idle []context.Context // pages that a test has left
}

// errNone says that there is no Chromium to start.
var errNone = errors.New("chromium is not on PATH")

// Page returns the context of a page that shares neither window nor cookies with another of its time and ends with the
// test. It may be one that an earlier test left, without that one's cookies: a new one costs a process. With -short the
// test is skipped; without a Chromium on PATH too, unless CI=true: then it fails.
func (b *Browser) Page(t testing.TB) context.Context {
	t.Helper()
	SkipShort(t)
	browser, err := b.start()
	if errors.Is(err, errNone) && os.Getenv("CI") != "true" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatalf("start Chromium: %v", err)
	}
	page := b.left()
	if page == nil {
		page = newPage(t, browser)
	}
	ctx, end := context.WithCancel(page) // ends what listens to the page
	t.Cleanup(func() {
		end()
		if clear(page) == nil {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.idle = append(b.idle, page)
		}
	})
	return ctx
}

// left takes a page that a test has left, nil if there is none.
func (b *Browser) left() context.Context {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.idle) == 0 {
		return nil
	}
	page := b.idle[0]
	b.idle = b.idle[1:]
	return page
}

// clear takes away what a test has left on a page.
func clear(page context.Context) error {
	ctx, cancel := context.WithTimeout(page, 10*time.Second)
	defer cancel()
	if err := chromedp.Do(ctx, chromedp.Navigate("about:blank")); err != nil {
		return err
	}
	_, err := chromedp.Call(ctx, network.ClearBrowserCookies, cdp.Empty{})
	return err
}

// newPage opens a page; it is closed with the browser.
func newPage(t testing.TB, browser context.Context) context.Context {
	t.Helper()
	page, _ := chromedp.NewContext(browser, chromedp.WithNewBrowserContext())
	// Keys go to the page that has the focus, and each of ours has it.
	focus := emulation.SetFocusEmulationEnabledParams{Enabled: true}
	if err := chromedp.Do(page); err != nil {
		t.Fatalf("open a page: %v", err)
	}
	if _, err := chromedp.Call(page, emulation.SetFocusEmulationEnabled, focus); err != nil {
		t.Fatalf("give the page the focus: %v", err)
	}
	return page
}

// SkipShort skips a test in a browser with -short. Call it before what is dear to set up.
func SkipShort(t testing.TB) {
	t.Helper()
	if testing.Short() {
		t.Skip("needs a browser: skipped with -short")
	}
}

// start returns the context of the running browser.
func (b *Browser) start() (context.Context, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ctx != nil || b.err != nil {
		return b.ctx, b.err
	}
	at, err := exec.LookPath("chromium")
	if err != nil {
		b.err = errNone
		return nil, b.err
	}
	options := []chromedp.ExecAllocatorOption{chromedp.ExecPath(at)}
	for _, name := range []string{
		"headless", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-background-networking",
		"disable-component-update", "disable-sync", "disable-dev-shm-usage", "disable-background-timer-throttling",
		"disable-renderer-backgrounding", "disable-backgrounding-occluded-windows",
	} {
		options = append(options, chromedp.Flag(name, true))
	}
	allocated, endAll := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, endTab := chromedp.NewContext(allocated)
	b.end = func() { chromedp.Cancel(ctx); endTab(); endAll() }
	if b.err = chromedp.Do(ctx); b.err != nil {
		b.end()
		return nil, b.err
	}
	b.ctx = ctx
	return b.ctx, nil
}

// Close ends the browser, if it was started. No page may be asked for then.
func (b *Browser) Close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ctx != nil {
		b.end()
	}
}
