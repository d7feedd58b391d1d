package console_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"ringback/shared/embedded"
	"ringback/shared/storage"
	"ringback/shared/test/gatewaytest"
	"ringback/shared/test/proofs"
)

func TestKeyThatMayOnlyReadFindsNothingToChange(t *testing.T) {
	t.Parallel()
	w := stuff(t, "Harbour")
	read := w.OK(w.key, "POST", "/v1/keys", object{"scope": "read", "name": "viewer"}).Text("api_key")
	b := newBrowser(t, w.world, desk)
	b.signIn(read)
	for _, page := range w.tenant {
		if strings.HasPrefix(page, "registrations/new") || strings.HasSuffix(page, "/edit") || page == "keys" {
			continue // its menu and its pages do not lead there
		}
		b.open("/console/" + page)
		const offers = `Array.from(document.querySelectorAll("main button, main .button"), (b) => b.textContent).filter((name) => /Resend|Rotate|Delete|Disable|Enable|Change|New|test|Recover|Replay|Release/.test(name)).join(", ")`
		if got := b.text(offers); got != "" {
			t.Errorf("/console/%s offers %s, want nothing that changes", page, got)
		}
	}
	if got := b.text(`document.querySelector("header nav").innerText`); strings.Contains(got, "Keys") {
		t.Errorf("the menu is %q, want no keys", got)
	}
	b.wantNoErrors()
}

func TestNarrowKeyIsToldThatThereIsNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	tenant := w.OK(operatorKey, "POST", "/v1/tenants", object{"name": "Acme"}).Text("api_key")
	key := w.OK(tenant, "POST", "/v1/keys", object{"scope": "set_http_callback"}).Text("api_key")
	b := newBrowser(t, w, phone)
	b.signIn(key)
	b.sees("Nothing to see with this key")
	b.wantNoErrors()
}

func TestOwnerOfAGroupRemovesAnApplication(t *testing.T) {
	t.Parallel()
	w := stuff(t, "Harbour")
	b := newBrowser(t, w.world, phone)
	b.signIn(w.ownerKey)
	b.click("Harbour")
	b.until("the application", `document.querySelector("[aria-label='Connected applications'] tbody tr") !== null`)
	if text := b.text("document.body.textContent"); strings.Contains(text, appUUID) {
		t.Error("the owner sees an app_uuid")
	}
	b.click("Remove")
	b.sees("It is notified, and receives nothing more")
	b.click("Remove")
	b.sees("No application is connected")
	b.wantNoErrors()
}

func TestPageOfADeletedKeyAsksForAnother(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	tenant := w.OK(operatorKey, "POST", "/v1/tenants", object{"name": "Acme"})
	b := newBrowser(t, w, desk)
	b.signIn(tenant.Text("api_key"))
	me := w.OK(tenant.Text("api_key"), "GET", "/v1/me", nil)
	w.OK(operatorKey, "DELETE", "/v1/keys/"+me.Text("key")+"?tenant="+tenant.Text("id"), nil)
	b.click("Registrations")
	b.sees("API key")
	b.signIn(operatorKey)
	b.sees("No source yet")
}

func TestPageTellsThatTheGatewayIsAway(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := newBrowser(t, w, desk)
	b.signIn(operatorKey)
	w.CloseClientConnections()
	w.Listener.Close()
	b.click("Tenants")
	b.sees("The gateway does not answer.")
	b.sees("Try again")
}

func TestSetUpStepsNameWhatIsToBeEntered(t *testing.T) {
	if !proofs.Full() {
		t.Skip("clicks through pages, for RINGBACK_PROOFS=full")
	}
	t.Parallel()
	w := newWorld(t)
	b := newBrowser(t, w, desk)
	b.signIn(operatorKey)
	b.open("/console/sources/new")
	b.fill("Name", "Support")
	b.fill("SDKAppID", "1400000001")
	b.fill("Authentication token", "tencent-token")
	b.click("Create source")
	b.sees("Switch on the retry of callbacks that time out")
	b.sees("set the same token that this source has")
	source := w.OK(operatorKey, "GET", "/v1/sources", nil).Data()[0]
	if got := b.text(`document.querySelector(".steps input").value`); got != source.Text("callback_url") {
		t.Errorf("the steps say to enter %q, want the callback URL", got)
	}

	b.open("/console/sources/new")
	b.choose("Provider", "Direct messaging")
	b.fill("Name", "SMS")
	b.fill("Login", "ringback")
	b.fill("Password", "a password of the source")
	b.click("Create source")
	b.sees("callbackEvents")
	if got := b.text(`document.querySelector(".steps input").value`); !strings.HasPrefix(got, "http://LOGIN:PASSWORD@127.0.0.1:") {
		t.Errorf("callbackUrl is %q, want places for login and password", got)
	}
	if got := b.text(`String(Array.from(document.querySelectorAll(".steps > li")).filter((step) => step.textContent === "").length)`); got != "0" {
		t.Errorf("%s steps say nothing", got)
	}
	if strings.Contains(b.text("document.body.textContent"), "a password of the source") {
		t.Error("the page shows the password")
	}
	b.wantNoErrors()
}

func TestGroupIsRegisteredAtSmartBotsByAButton(t *testing.T) {
	if !proofs.Full() {
		t.Skip("clicks through pages, for RINGBACK_PROOFS=full")
	}
	t.Parallel()
	asked := make(chan url.Values, 1)
	bots := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.ParseForm()
		asked <- r.PostForm
		io.WriteString(w, `{"result":"OK","group_uuid":"`+groupUUID+`","group_id":"harbor-crew"}`)
	}))
	t.Cleanup(bots.Close)
	w := newWorld(t)
	source := w.OK(operatorKey, "POST", "/v1/sources", object{"provider": "smartbots", "name": "Bots", "upstream": object{"api_key": "a key", "base_url": bots.URL}})
	b := newBrowser(t, w, phone)
	b.signIn(operatorKey)
	b.open("/console/sources/" + source.Text("id"))
	b.click("Register a group at SmartBots")
	b.fill("Group", "Harbor Crew")
	b.fill("Group Security Code", "the code")
	b.click("Register")
	b.sees("No application is connected")
	b.sees(groupUUID)
	if got := <-asked; got.Get("group") != "Harbor Crew" || got.Get("secret") != "the code" || got.Get("url") != source.Text("callback_url") {
		t.Errorf("SmartBots was asked %v, want the group, its code and the source's callback URL", got)
	}
	b.wantNoErrors()
}

func TestQueuesTellHowLateTheScheduleIs(t *testing.T) {
	if !proofs.Full() {
		t.Skip("clicks through pages, for RINGBACK_PROOFS=full")
	}
	t.Parallel()
	w := newWorld(t)
	b := newBrowser(t, w, desk)
	b.signIn(operatorKey)
	b.open("/console/queues")
	b.sees("on time")
	row := storage.Row{
		Key: storage.Key{Table: storage.Deliveries, PK: "unknown#", SK: "late"}, Rev: storage.NewRev(), Data: []byte("{}"),
		Due: time.Now().UTC().Add(-10 * time.Minute),
	}
	if err := w.db.Put(t.Context(), row, storage.AnyRev); err != nil {
		t.Fatal(err)
	}
	b.sees("past due")
	b.sees("10 min")
	b.wantNoErrors()
}

func TestDeadLettersAreRedrivenByAButton(t *testing.T) {
	if !proofs.Full() {
		t.Skip("clicks through pages, for RINGBACK_PROOFS=full")
	}
	t.Parallel()
	w := openWorld(t, embedded.Options{Relaxed: true, Visibility: 2 * time.Second}) // so that five receives take seconds
	b := newBrowser(t, w, phone)
	b.signIn(operatorKey)
	b.open("/console/queues")
	b.sees("no dead letters")
	if errs := w.db.Send(t.Context(), storage.EventsQueue, []storage.Message{{Body: "not one of ours"}}); errs[0] != nil {
		t.Fatal(errs[0])
	}
	b.until("the dead letter", `Array.from(document.querySelectorAll("button"), (b) => b.textContent).includes("Redrive")`)
	const marks = `Array.from(document.querySelectorAll("section"), (s) => s.querySelector("h2").textContent + ": " + s.querySelector(".count .badge").textContent).join(", ")`
	if got, want := b.text(marks), "Events queue: dead letters, Retry queue: no dead letters, Slow queue: no dead letters"; got != want {
		t.Errorf("the queues say %q, want %q", got, want)
	}
	b.click("Redrive")
	b.sees("What was delivered already is not delivered twice")
	b.click("Redrive")
	b.sees("no dead letters")
	b.wantNoErrors()
}

func TestRegistrationIsTriedNarrowedAndReplayed(t *testing.T) {
	if !proofs.Full() {
		t.Skip("clicks through pages, for RINGBACK_PROOFS=full")
	}
	t.Parallel()
	w := newWorld(t)
	b := newBrowser(t, w, desk)
	source := w.OK(operatorKey, "POST", "/v1/sources", object{"provider": "smartbots", "name": "Harbour"}).Text("id")
	tenant := w.OK(operatorKey, "POST", "/v1/tenants", object{"name": "Acme"})
	key := tenant.Text("api_key")
	w.OK(operatorKey, "POST", "/v1/sources/"+source+"/grants", object{"tenant": tenant.Text("id")})
	r := w.OK(key, "POST", "/v1/registrations", object{"source": source, "url": newEndpoint(t).URL, "description": "Invitations", "event_types": []string{"group_invite"}}).Text("id")
	w.form(source, chat("the dock is open"))
	gatewaytest.Await(t, "the event", func() bool { return len(w.OK(operatorKey, "GET", "/v1/events?source="+source, nil).Data()) == 1 })

	b.signIn(key)
	b.open("/console/registrations/" + r)
	b.click("Change")
	b.sees("1 of 18 documented types are wanted.")
	b.fill("Others and patterns", "group_*")
	b.click("Dry run")
	b.do("run", submit("Dry run"))
	b.sees("1 of 1 event that you may have would be delivered.")
	b.click("Add a routing key")
	b.do("type a value", chromedp.SendKeys(`.match textarea`, "another group"))
	b.do("run", submit("Dry run"))
	b.sees("0 of 1 event that you may have would be delivered.")
	b.click("Remove")
	b.click("Save")
	b.sees("Deliver again")
	b.click("Replay what was missed")
	b.do("replay", submit("Replay what was missed"))
	b.sees("1 row processed")
	b.until("the replayed delivery", `document.querySelector("[aria-label='Newest deliveries']").innerText.includes("group_chat")`)
	b.wantNoErrors()
}

func TestPayloadKeepsItsNumbers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	at := w.OK(operatorKey, "POST", "/v1/sources", object{"provider": "direct", "name": "SMS"})
	const item = `{"message_uuid":"3f0a7d0e-7a55-4d6d-9f6e-6e0f3a1c0001","callback_event":"price","channel_type":"SMS","price":4.20,"parts":12345678901234567890,"note":"{\"a\": [1,2]}","none":[],"price_time":"2025-03-01T09:15:03Z"}`
	resp, err := http.Post(at.Text("callback_url"), "application/json", strings.NewReader("["+item+"]"))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	var events []object
	gatewaytest.Await(t, "the event", func() bool {
		events = w.OK(operatorKey, "GET", "/v1/events?source="+at.Text("id"), nil).Data()
		return len(events) == 1
	})
	b := newBrowser(t, w, desk)
	b.signIn(operatorKey)
	b.open("/console/events/" + events[0].Text("id"))
	for _, want := range []string{`"price": 4.20,`, `"parts": 12345678901234567890,`, `"note": "{\"a\": [1,2]}",`, `"none": [],`} {
		if got := b.text(`document.querySelector("pre").textContent`); !strings.Contains(got, want) {
			t.Errorf("payload is shown as\n%s\nwant it to hold %s", got, want)
		}
	}
	b.wantNoErrors()
}

func TestChangedLimitsKeepTheOthers(t *testing.T) {
	if !proofs.Full() {
		t.Skip("clicks through pages, for RINGBACK_PROOFS=full")
	}
	t.Parallel()
	w := newWorld(t)
	at := "/v1/tenants/" + w.OK(operatorKey, "POST", "/v1/tenants", object{"name": "Acme", "limits": object{"require_challenge": true, "deliveries_per_second": 2.5}}).Text("id")
	b := newBrowser(t, w, desk)
	b.signIn(operatorKey)
	b.open("/console/" + strings.TrimPrefix(at, "/v1/"))
	b.click("Change name and limits")
	b.fill("Jobs at once", "3")
	b.click("Save")
	gatewaytest.Await(t, "the change", func() bool {
		limits, _ := w.OK(operatorKey, "GET", at, nil)["limits"].(map[string]any)
		return limits["jobs"] == 3.0
	})
	limits, _ := w.OK(operatorKey, "GET", at, nil)["limits"].(map[string]any)
	if limits["require_challenge"] != true || limits["deliveries_per_second"] != 2.5 || limits["registrations_per_source"] != 50.0 {
		t.Errorf("limits after a change of one: %v, want the others as they were", limits)
	}
	b.wantNoErrors()
}

func TestSecretsAreReencryptedByAJob(t *testing.T) {
	if !proofs.Full() {
		t.Skip("clicks through pages, for RINGBACK_PROOFS=full")
	}
	t.Parallel()
	w := newWorld(t)
	w.OK(operatorKey, "POST", "/v1/sources", object{"provider": "tencent-chat", "name": "Support", "sdk_app_id": 1400000001, "token": "tencent-token"})
	b := newBrowser(t, w, phone)
	b.signIn(operatorKey)
	b.open("/console/keys")
	b.click("Re-encrypt")
	b.sees("Re-encrypt all secrets?")
	b.click("Re-encrypt")
	b.sees("Re-encryption of secrets")
	b.until("the end of the job", `document.querySelector(".job .badge")?.textContent === "done"`)
	b.wantNoErrors()
}
