package console_test

import (
	"strings"
	"testing"
)

func TestKeyThatMayOnlyReadFindsNothingToChange(t *testing.T) {
	w := stuff(t, "Harbour")
	read := w.call(w.key, "POST", "/v1/keys", object{"scope": "read", "name": "viewer"}).text("api_key")
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
	b.silent()
}

func TestNarrowKeyIsToldThatThereIsNothing(t *testing.T) {
	w := newWorld(t)
	tenant := w.call(operatorKey, "POST", "/v1/tenants", object{"name": "Acme"}).text("api_key")
	key := w.call(tenant, "POST", "/v1/keys", object{"scope": "set_http_callback"}).text("api_key")
	b := newBrowser(t, w, phone)
	b.signIn(key)
	b.sees("Nothing to see with this key")
	b.silent()
}

func TestOwnerOfAGroupRemovesAnApplication(t *testing.T) {
	w := stuff(t, "Harbour")
	b := newBrowser(t, w.world, phone)
	b.signIn(w.ownerKey)
	b.click("Harbour")
	b.until("the application", `document.querySelector("[aria-label='Connected applications'] tbody tr") !== null`)
	if text := b.text("document.body.textContent"); strings.Contains(text, appUUID) {
		t.Error("the owner sees an app_uuid")
	}
	b.click("Remove")
	b.sees("It is told so, and receives nothing more")
	b.click("Remove")
	b.sees("No application is connected")
	b.silent()
}

func TestPageOfADeletedKeyAsksForAnother(t *testing.T) {
	w := newWorld(t)
	tenant := w.call(operatorKey, "POST", "/v1/tenants", object{"name": "Acme"})
	b := newBrowser(t, w, desk)
	b.signIn(tenant.text("api_key"))
	me := w.call(tenant.text("api_key"), "GET", "/v1/me", nil)
	w.call(operatorKey, "DELETE", "/v1/keys/"+me.text("key")+"?tenant="+tenant.text("id"), nil)
	b.click("Registrations")
	b.sees("API key")
	b.signIn(operatorKey)
	b.sees("No source yet")
}

func TestPageTellsThatTheGatewayIsAway(t *testing.T) {
	w := newWorld(t)
	b := newBrowser(t, w, desk)
	b.signIn(operatorKey)
	w.CloseClientConnections()
	w.Listener.Close()
	b.click("Tenants")
	b.sees("The gateway does not answer.")
	b.sees("Try again")
}
