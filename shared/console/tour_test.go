package console_test

import (
	"net/http"
	"net/url"
	"testing"

	"ringback/shared/test/proofs"
)

// chat is a group's chat line, as SmartBots sends it.
func chat(message string) url.Values {
	return url.Values{
		"action": {"group_chat"}, "group_uuid": {"5b1f0c52-0a5e-4a0c-9a5a-1f6d2f0e7c11"}, "group_name": {"Harbor Crew"},
		"speaker_name": {"Nadia Quill"}, "message": {message},
	}
}

func TestBothRolesGoFromAnEmptyGatewayToAResentEvent(t *testing.T) {
	t.Parallel()
	screens := map[string]screen{"phone": phone}
	if proofs.Full() {
		screens["desk"] = desk
	}
	for name, s := range screens {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			b := newBrowser(t, w, s)
			key := b.setUp()
			e := newEndpoint(t)
			b.register(key, e.URL+"/in")
			b.receive(e)
			b.refused(e)
			b.wantNoErrors()
		})
	}
}

// setUp makes a source, a tenant, a grant, a key and a group as the operator
// does, and returns the tenant's first key.
func (b *browser) setUp() string {
	b.t.Helper()
	b.signIn(operatorKey)
	b.sees("No source yet")
	b.click("New source")
	b.choose("Provider", "SmartBots")
	b.fill("Name", "Harbour")
	b.click("Create source")
	b.sees("Set-up at the provider")
	b.click("New callback URL")
	b.fill("Label", "crew")
	b.click("Create callback URL")
	b.until("the second callback URL", `document.querySelectorAll("[aria-label='Callback URLs'] tbody tr").length === 2`)

	b.click("Tenants")
	b.sees("No tenant yet")
	b.click("New tenant")
	b.fill("Name", "Acme")
	b.click("Create tenant")
	key := b.secret()
	b.sees("Registrations per source")

	b.click("Sources")
	b.click("Harbour")
	b.sees("No grant")
	b.click("New grant")
	b.choose("Tenant", "Acme")
	b.click("Grant")
	b.until("the grant", `document.querySelector("[aria-label='Grants'] tbody tr") !== null`)

	b.click("Groups")
	b.sees("No group yet")
	b.click("New group")
	b.fill("Name", "Harbor Crew")
	b.fill("UUID in Second Life", "5b1f0c52-0a5e-4a0c-9a5a-1f6d2f0e7c11")
	b.fill("Group Security Code", "a code")
	b.click("Create group")
	b.secret()
	b.sees("No application is connected")
	b.click("Queues")
	b.sees("no dead letters")
	return key
}

// secret takes the secret that is told once out of its dialog and closes that.
func (b *browser) secret() string {
	b.t.Helper()
	b.sees("It is shown this once")
	text := b.text(`document.querySelector("dialog[open] input").value`)
	b.click("I have stored it")
	b.until("the dialog to close", `document.querySelector("dialog") === null`)
	return text
}

// register makes a registration as the tenant does, and tests it.
func (b *browser) register(key, endpoint string) {
	b.t.Helper()
	b.signIn(key)
	b.sees("No delivery yet")
	b.click("Registrations")
	b.sees("No registration yet")
	b.click("New registration")
	b.sees("documented types are wanted")
	b.fill("Name", "Crew chat")
	b.fill("Endpoint URL", endpoint)
	b.fill("Others and patterns", "group_*")
	b.sees("documented types are wanted")
	b.click("Create registration")
	if secret := b.secret(); len(secret) < 20 || secret[:6] != "whsec_" {
		b.t.Errorf("signing secret %q, want one that begins with whsec_", secret)
	}
	b.sees("Newest deliveries")
	b.click("Send a test event")
	b.sees("The test event was handed on")
	b.click("see its delivery")
	b.sees("200 Accepted")
}

// receive looks at an event that is delivered while the list is open, and
// resends it.
func (b *browser) receive(e *endpoint) {
	b.t.Helper()
	b.click("Deliveries")
	b.until("the test's delivery", `document.querySelectorAll("tbody tr").length === 1`)
	source := b.w.OK(operatorKey, "GET", "/v1/sources", nil).Data()[0].Text("id")
	b.w.form(source, chat("the dock is open"))
	b.sees("group_chat")
	before := e.received()
	b.click("group_chat")
	b.sees("the dock is open")
	b.sees("200 Accepted")
	b.click("Resend")
	b.sees("200 Accepted (resend)")
	if got := e.received(); got != before+1 {
		b.t.Errorf("the endpoint got %d requests by the resend, want 1", got-before)
	}
}

// refused looks at a delivery that waits for its next attempt, and at a
// recovery.
func (b *browser) refused(e *endpoint) {
	b.t.Helper()
	e.answer(http.StatusGone, "not here")
	b.w.form(b.w.OK(operatorKey, "GET", "/v1/sources", nil).Data()[0].Text("id"), chat("nobody hears"))
	b.click("Deliveries")
	b.choose("Status", "failed")
	b.until("the failed delivery", `document.querySelectorAll("tbody tr").length === 1`)
	b.click("group_chat")
	b.sees("410 Refused")
	b.sees("the endpoint wants no more (410)")
	b.click("Crew chat")
	b.sees("disabled")
	e.answer(http.StatusOK, "thank you")
	b.click("Enable")
	b.sees("enabled")
	b.click("Recover")
	b.do("recover", submit("Recover"))
	b.sees("1 row processed")
	b.until("the recovered delivery", `!document.querySelector("[aria-label='Newest deliveries']").innerText.includes("failed")`)
}
