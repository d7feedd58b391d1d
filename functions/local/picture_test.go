package main

import (
	"context"
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"ringback/shared/console/browsertest"
	"ringback/shared/test/proofs"
)

var (
	update   = flag.Bool("update", false, "take the README's picture of the console anew")
	pictures = flag.String("pictures", "", "folder to put pictures of the console's main pages into")
)

// picture is the README's.
const picture = "../../shared/console/console.png"

// The README shows the console as the demo has it. The picture is taken anew by
// go test ./functions/local -run Picture -update, and pictures of the main pages
// to look at by -pictures <folder>. At full length they are taken to see that each
// of the demo's pages can be shown.
func TestPicturesOfTheDemosConsoleAreTaken(t *testing.T) {
	browsertest.SkipShort(t)
	if !*update && *pictures == "" && !proofs.Full() {
		t.Skip("takes pictures with -update, -pictures or RINGBACK_PROOFS=full alone")
	}
	if *pictures == "" {
		*pictures = t.TempDir()
	}
	takeMainPages(t)
	if !*update {
		return
	}
	d := newDemoPage(t, desk)
	d.signIn(d.p.key(filepath.Join(d.p.dir, demoKeyFile(demoTenants[1]))))
	d.open("deliveries/" + d.refused())
	d.save(picture)
	if about, err := os.Stat(picture); err != nil || about.Size() > 150_000 {
		t.Errorf("%s: %v, %d bytes; want at most 150,000", picture, err, about.Size())
	}
}

func TestReadmeLinksThePictureOfTheConsole(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(picture); err != nil || !strings.Contains(string(readme), "](shared/console/console.png)") {
		t.Errorf("the README does not show shared/console/console.png: %v", err)
	}
}

// A screen is what the console is looked at with.
type screen struct {
	name          string
	width, height int64
	dark          bool
}

var (
	desk    = screen{"desk", 1280, 780, false}
	screens = []screen{desk, {"desk-dark", 1280, 780, true}, {"phone", 375, 812, false}, {"phone-dark", 375, 812, true}}
)

// takeMainPages takes pictures of the main pages, as both roles see them.
func takeMainPages(t *testing.T) {
	t.Helper()
	d := newDemoPage(t, desk)
	refused := "deliveries/" + d.refused()
	event := d.p.call(d.p.operatorKey(), "GET", "/v1/"+refused, nil, http.StatusOK)["event"].(string)
	quay := demoTenants[1]
	for _, role := range []struct {
		name, key string
		pages     []string
	}{
		{"operator", d.p.operatorKey(), []string{
			"sources", "sources/" + chatSource, "sources/" + botSource, "sources/" + statusSource, "sources/new", "tenants", "tenants/" + quay.id,
			"groups", "keys", "queues", "events?source=" + statusSource, "deliveries?tenant=" + quay.id, "jobs",
		}},
		{"tenant", d.p.key(filepath.Join(d.p.dir, demoKeyFile(quay))), []string{
			"deliveries", refused, "events", "events/" + event, "registrations", "registrations/" + demoID("reg", "demo3"),
			"registrations/" + demoID("reg", "demo3") + "/edit", "registrations/new?source=" + botSource, "sources", "sources/" + botSource, "keys", "jobs",
		}},
	} {
		d.signOut()
		for _, s := range screens {
			d.look(s)
			if s == desk {
				d.open("")
				d.save(filepath.Join(*pictures, role.name+"-signin.png"))
				d.signIn(role.key)
			}
			for n, path := range role.pages {
				d.open(path)
				d.save(filepath.Join(*pictures, fmt.Sprintf("%s-%s-%02d-%s.png", role.name, s.name, n, strings.NewReplacer("/", "-", "?", "-").Replace(path))))
			}
		}
	}
}

// A demoPage is a page of the demo's console.
type demoPage struct {
	t   *testing.T
	p   *process
	ctx context.Context
}

func newDemoPage(t *testing.T, s screen) *demoPage {
	t.Helper()
	var b browsertest.Browser
	t.Cleanup(b.Close)
	p := startRunner(t, t.TempDir(), "-demo")
	d := &demoPage{t: t, p: p, ctx: b.Page(t)}
	d.look(s)
	return d
}

// refused waits for a delivery that was refused twice and waits for its next
// attempt, and returns its id.
func (d *demoPage) refused() string {
	d.t.Helper()
	id := ""
	eventually(d.t, "a delivery that was refused twice", func() bool {
		list := d.p.call(d.p.operatorKey(), "GET", "/v1/deliveries?status=pending&registration="+demoID("reg", "demo3"), nil, http.StatusOK)["data"].([]any)
		for _, of := range list {
			if delivery := of.(map[string]any); delivery["attempts_made"].(float64) >= 2 {
				id = delivery["id"].(string)
			}
		}
		return id != ""
	})
	return id
}

func (d *demoPage) do(what string, actions ...chromedp.Action[chromedp.Void]) {
	d.t.Helper()
	ctx, cancel := context.WithTimeout(d.ctx, time.Minute)
	defer cancel()
	if err := chromedp.Do(ctx, actions...); err != nil {
		d.t.Fatalf("%s: %v", what, err)
	}
}

func (d *demoPage) look(s screen) {
	d.t.Helper()
	scheme := emulation.MediaFeature{Name: "prefers-color-scheme", Value: "light"}
	if s.dark {
		scheme.Value = "dark"
	}
	media := emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{&scheme}}
	if _, err := chromedp.Call(d.ctx, emulation.SetEmulatedMedia, media); err != nil {
		d.t.Fatalf("set the colours: %v", err)
	}
	if _, err := chromedp.Call(d.ctx, emulation.SetScrollbarsHidden, emulation.SetScrollbarsHiddenParams{Hidden: true}); err != nil {
		d.t.Fatalf("hide the scroll bars: %v", err)
	}
	size := []chromedp.EmulateViewportOption{}
	if s.width < 600 {
		size = append(size, chromedp.EmulateMobile)
	}
	d.do("set the size", chromedp.EmulateViewport(s.width, s.height, size...))
}

// open goes to a page below /console and waits until it has loaded what it
// shows.
func (d *demoPage) open(path string) {
	d.t.Helper()
	d.do("open "+path, chromedp.Navigate(d.p.base+"/console/"+path))
	d.until(`document.querySelector("h1") !== null && document.querySelector(".loading") === null`)
	if alert, err := chromedp.Run(d.ctx, chromedp.Evaluate[string](`document.querySelector(".alert")?.innerText ?? ""`)); err != nil || alert != "" {
		d.t.Errorf("/console/%s shows %q, %v; want no alert", path, alert, err)
	}
}

func (d *demoPage) until(expression string) {
	d.t.Helper()
	d.do("wait for "+expression, chromedp.Poll[chromedp.Void](expression, chromedp.WithPollingInterval(50*time.Millisecond), chromedp.WithPollingTimeout(time.Minute)))
}

func (d *demoPage) signIn(key string) {
	d.t.Helper()
	d.open("")
	d.do("sign in", chromedp.SendKeys("input[type=password]", key), chromedp.Click("form button.primary"))
	d.until(`document.querySelector(".account") !== null && document.querySelector(".loading") === null`)
}

func (d *demoPage) signOut() {
	d.t.Helper()
	d.do("forget who was signed in", chromedp.Navigate(d.p.base+"/console"))
	d.until(`fetch("/console/session", { method: "DELETE" }).then(() => true)`)
}

// save writes the page, or for the README what of it fits the screen, into a
// file.
func (d *demoPage) save(file string) {
	d.t.Helper()
	take := chromedp.FullScreenshot(100)
	if file == picture {
		take = chromedp.CaptureScreenshot()
	}
	shot, err := chromedp.Run(d.ctx, take)
	if err != nil {
		d.t.Fatalf("take %s: %v", file, err)
	}
	if err := os.WriteFile(file, shot, 0o644); err != nil {
		d.t.Fatal(err)
	}
}
