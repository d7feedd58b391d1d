// Package browsertest gives tests the pages of a headless Chromium, which is
// Debian's package chromium.
package browsertest

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// A Browser is one Chromium for all tests of a process, since to start it takes
// longer than most of them. The zero value starts it with its first page. It is
// safe for concurrent use.
type Browser struct {
	mu  sync.Mutex
	ctx context.Context // of its first tab; nil: not started
	end context.CancelFunc
	err error // why it could not be started
}

// errNone says that there is no Chromium to start.
var errNone = errors.New("chromium is not on PATH")

// Page returns the context of a page that shares neither window nor cookies
// with another and ends with the test. Without a Chromium on PATH the test is
// skipped, or fails if CI=true.
func (b *Browser) Page(t testing.TB) context.Context {
	t.Helper()
	browser, err := b.start()
	if errors.Is(err, errNone) && os.Getenv("CI") != "true" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatalf("start Chromium: %v", err)
	}
	page, end := chromedp.NewContext(browser, chromedp.WithNewBrowserContext())
	t.Cleanup(func() { chromedp.Cancel(page); end() })
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
