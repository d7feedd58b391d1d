package main

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"fmt"
	"net/http"
	"strings"
	"text/template"
	"time"

	"ringback/shared/provider/tencentchat"
)

// demoInterval is the time between two callbacks.
const demoInterval = 1500 * time.Millisecond

// A scene is a callback as a provider sends it.
type scene struct {
	source      string
	query       string // raw
	contentType string
	body        string
}

// play sends callbacks over HTTP until ctx ends.
func (d *demo) play(ctx context.Context) error {
	client := &http.Client{Timeout: 10 * time.Second}
	defer client.CloseIdleConnections()
	t := time.NewTicker(demoInterval)
	defer t.Stop()
	for n := 0; ctx.Err() == nil; n++ {
		if err := d.send(ctx, client, sceneOf(n, time.Now().UTC())); err != nil && ctx.Err() == nil {
			d.g.Log.Warn("demo", "outcome", "not sent", "why", err.Error())
		}
		select {
		case <-ctx.Done():
		case <-t.C:
		}
	}
	return nil
}

func (d *demo) send(ctx context.Context, client *http.Client, s scene) error {
	source, err := d.control.Source(ctx, s.source)
	if err != nil {
		return err
	}
	callback, err := d.control.FirstCallbackURL(ctx, source)
	if err != nil {
		return err
	}
	path := strings.TrimPrefix(callback, d.g.PublicURL)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, d.base+path+"?"+s.query, strings.NewReader(s.body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", s.contentType)
	if s.source == statusSource {
		req.SetBasicAuth(demoLogin, demoPassword)
	}
	resp, err := client.Do(req)
	if err != nil {
		return withoutURL(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("callback of %s: response %s", s.source, resp.Status)
	}
	return nil
}

// demoTalk is what the demo's people say in the group and ask the bot.
var demoTalk = [...]talk{
	{"Nadia Quill", "nadia", "The regatta starts at eight, meet at the lighthouse.", "When does the regatta start?"},
	{"Tomas Reed", "tomas", "Who has the key to the boathouse?", "How do I get into the boathouse?"},
	{"Mina Aalto", "mina", "I put it behind the blue buoy \U0001F642", "Can you translate “buoy” for me?"},
	{"Noor Haddad", "noor", "Building class tonight: bring your prims & textures.", "Is tonight's class for beginners?"},
	{"Jared Okafor", "jared", "Lag is 40 % down since the restart, nice.", "Show the region's statistics, please."},
}

type talk struct{ Who, Account, Says, Asks string }

//go:embed demo.tmpl
var demoText string

var demoBodies = template.Must(template.New("").Funcs(template.FuncMap{"uuid": demoUUID}).Parse(demoText))

// A moment holds the values that demo.tmpl puts into the bodies.
type moment struct {
	talk
	Bot           string
	N             int // of the callback
	Now           time.Time
	Message, Time string // of a status
}

// sceneOf returns callback number n, at the time now. A message that callback 1 of a round of five reports as sent is
// reported as delivered, or as undelivered, by callback 3.
func sceneOf(n int, now time.Time) scene {
	const formType, jsonType = "application/x-www-form-urlencoded", "application/json"
	round := n / 5
	m := moment{
		talk: demoTalk[round%len(demoTalk)], Bot: quayBot, N: n, Now: now,
		Message: demoUUID(fmt.Sprint(round, now.Format("2006-01-02T15"))), Time: now.Format(time.RFC3339),
	}
	switch n % 5 {
	case 0:
		return scene{botSource, "", formType, m.body("group chat")}
	case 1:
		return scene{statusSource, "", jsonType, m.body("sent")}
	case 2:
		query := fmt.Sprintf("SdkAppid=%d&CallbackCommand=Bot.OnC2CMessage&contenttype=json&ClientIP=127.0.0.1&OptPlatform=iOS", demoSDKAppID)
		return scene{chatSource, tencentchat.SignQuery(query, demoToken, now), jsonType, m.body("question")}
	case 3:
		if round%6 == 5 {
			return scene{statusSource, "", jsonType, m.body("undelivered")}
		}
		return scene{statusSource, "", jsonType, m.body("delivered")}
	}
	return scene{botSource, "", formType, m.body(fmt.Sprint("bot ", round%3))}
}

func (m moment) body(name string) string {
	var b strings.Builder
	if err := demoBodies.ExecuteTemplate(&b, name, m); err != nil {
		panic(err) // unreachable: a test executes each template
	}
	return b.String()
}

// demoUUID returns a UUID that depends on text alone.
func demoUUID(text string) string {
	sum := sha256.Sum256([]byte(text))
	return fmt.Sprintf("%x-%x-%x-%x-%x", sum[:4], sum[4:6], sum[6:8], sum[8:10], sum[10:16])
}
