package api_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"ringback/shared/api/apitest"
	"ringback/shared/provider"
	"ringback/shared/test/gatewaytest"
)

// An endpoint is a tenant's endpoint on the loopback interface.
type endpoint struct {
	*httptest.Server
	mu     sync.Mutex
	status int // of its answers; 0: 200
	got    []received
}

type received struct {
	header http.Header
	body   string
}

func newEndpoint(t testing.TB) *endpoint {
	e := &endpoint{}
	e.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		data, _ := io.ReadAll(r.Body)
		e.mu.Lock()
		e.got = append(e.got, received{r.Header, string(data)})
		status := e.status
		e.mu.Unlock()
		if status != 0 {
			w.WriteHeader(status)
		}
		io.WriteString(w, "an answer")
	}))
	t.Cleanup(e.Close)
	return e
}

func (e *endpoint) answer(status int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.status = status
}

func (e *endpoint) all() []received {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]received(nil), e.got...)
}

// form sends a SmartBots callback to a source, by its callback URL.
func (w *world) form(callbackURL string, values url.Values) {
	w.t.Helper()
	parts := strings.Split(strings.TrimPrefix(callbackURL, w.g.PublicURL+"/callbacks/"), "/")
	cb := &provider.Callback{
		Method: "POST", Body: []byte(values.Encode()), Received: time.Now(),
		Header: http.Header{"Content-Type": {"application/x-www-form-urlencoded"}},
	}
	if r := w.g.Ingest(w.t.Context(), parts[0], parts[1], parts[2], cb); r.StatusCode != 200 {
		w.t.Fatalf("callback: answer %d", r.StatusCode)
	}
}

func (w *world) callbackURL(source string) string {
	w.t.Helper()
	return w.Want(200, operatorKey, "GET", "/v1/sources/"+source, nil).Text("callback_url")
}

const chatGroup = "5b1f0c52-0a5e-4a0c-9a5a-1f6d2f0e7c11"

func chat(message string) url.Values {
	return url.Values{"action": {"group_chat"}, "group_uuid": {chatGroup}, "speaker_name": {"Nadia Quill"}, "message": {message}}
}

func TestDeliveryIsListedShownAndResent(t *testing.T) {
	w := newWorld(t)
	s := w.setting()
	w.work()
	e := newEndpoint(t)
	r := w.Want(201, s.key, "POST", "/v1/registrations", object{"source": s.smartbots, "url": e.URL + "/in", "match": object{"group": []string{chatGroup}}})
	w.form(w.callbackURL(s.smartbots), chat("the dock is open"))
	gatewaytest.Await(t, "a delivery", func() bool { return len(e.all()) == 1 })

	var d object
	gatewaytest.Await(t, "the delivery in the list", func() bool {
		list := w.Want(200, s.key, "GET", "/v1/deliveries?status=succeeded&registration="+r.ID(), nil).List(t)
		if len(list) == 1 {
			d = list[0]
		}
		return len(list) == 1
	})
	if d["event_type"] != "group_chat" || d["status"] != "succeeded" {
		t.Errorf("delivery is %v, want a succeeded group_chat", d)
	}
	one := w.Want(200, s.key, "GET", fmt.Sprint("/v1/deliveries/", d["id"]), nil)
	attempts, _ := one.Object["attempts"].([]any)
	if len(attempts) != 1 || attempts[0].(map[string]any)["answer"] != "an answer" {
		t.Errorf("delivery %s, want one attempt with the answer", one.Raw)
	}
	event := w.Want(200, s.key, "GET", fmt.Sprint("/v1/events/", d["event"]), nil)
	data, _ := event.Object["data"].(map[string]any)
	if data["message"] != "the dock is open" {
		t.Errorf("event %s, want the message in data", event.Raw)
	}
	if err := apitest.Delivery("delivery", []byte(e.all()[0].body)); err != nil {
		t.Error(err)
	}
	raw := w.Want(200, s.key, "GET", fmt.Sprint("/v1/events/", d["event"], "/raw"), nil)
	if raw.Raw != chat("the dock is open").Encode() {
		t.Errorf("raw is %q, want the bytes that came", raw.Raw)
	}
	for name, want := range map[string]string{
		"Content-Type": "application/octet-stream", "X-Content-Type-Options": "nosniff", "Cache-Control": "no-store",
	} {
		if got := raw.Header.Get(name); got != want {
			t.Errorf("raw with %s %q, want %q", name, got, want)
		}
	}
	if !strings.HasPrefix(raw.Header.Get("Content-Disposition"), "attachment") {
		t.Errorf("raw with Content-Disposition %q, want an attachment", raw.Header.Get("Content-Disposition"))
	}
	w.Want(202, s.key, "POST", fmt.Sprint("/v1/deliveries/", d["id"], "/resend"), nil)
	gatewaytest.Await(t, "the resend", func() bool { return len(e.all()) == 2 })
	if a, b := e.all()[0].header.Get("Webhook-Id"), e.all()[1].header.Get("Webhook-Id"); a != b || a != d["event"] {
		t.Errorf("webhook-id %q, resent as %q, want the event's id %v twice", a, b, d["event"])
	}
	list := w.Want(200, s.key, "GET", "/v1/events", nil).List(t)
	if len(list) != 1 || list[0]["id"] != d["event"] {
		t.Errorf("events %v, want the one", list)
	}
}

func TestRegistrationsTestIsDelivered(t *testing.T) {
	w := newWorld(t)
	s := w.setting()
	w.work()
	e := newEndpoint(t)
	for _, format := range []string{"standard", "raw"} {
		r := w.Want(201, s.key, "POST", "/v1/registrations", object{"source": s.smartbots, "url": e.URL, "format": format})
		a := w.Want(202, s.key, "POST", "/v1/registrations/"+r.ID()+"/test", nil)
		gatewaytest.Await(t, format+" test event", func() bool {
			for _, got := range e.all() {
				if got.header.Get("Webhook-Id") == a.Text("event") && strings.Contains(got.body, r.ID()) {
					if err := apitest.Delivery("registration.test", []byte(got.body)); format == "standard" && err != nil {
						t.Error(err)
					}
					return true
				}
			}
			return false
		})
		gatewaytest.Await(t, "its delivery", func() bool { return w.Call(s.key, "GET", "/v1/deliveries/"+a.Text("delivery"), nil).Code == 200 })
	}
}

func TestFailedDeliveriesAreFoundByStatus(t *testing.T) {
	w := newWorld(t)
	s := w.setting()
	w.work()
	e := newEndpoint(t)
	e.answer(410)
	r := w.Want(201, s.key, "POST", "/v1/registrations", object{"source": s.smartbots, "url": e.URL})
	w.form(w.callbackURL(s.smartbots), chat("nobody hears"))
	gatewaytest.Await(t, "the failed delivery", func() bool {
		return len(w.Want(200, s.key, "GET", "/v1/deliveries?status=failed", nil).List(t)) == 1
	})
	if got := w.Want(200, s.key, "GET", "/v1/deliveries?status=succeeded", nil).List(t); len(got) != 0 {
		t.Errorf("succeeded deliveries %v, want none", got)
	}
	gatewaytest.Await(t, "the registration disabled by 410", func() bool {
		return w.Want(200, s.key, "GET", "/v1/registrations/"+r.ID(), nil).Text("state") == "disabled"
	})
}

func TestPagesOfDeliveriesJoinToTheWhole(t *testing.T) {
	w := newWorld(t)
	s := w.setting()
	w.work()
	e := newEndpoint(t)
	w.Want(201, s.key, "POST", "/v1/registrations", object{"source": s.smartbots, "url": e.URL + "/a"})
	w.Want(201, s.key, "POST", "/v1/registrations", object{"source": s.smartbots, "url": e.URL + "/b"})
	at := w.callbackURL(s.smartbots)
	const events = 30
	for i := range events {
		w.form(at, chat(fmt.Sprint("line ", i)))
	}
	gatewaytest.Await(t, "all deliveries", func() bool { return len(e.all()) == 2*events })
	for _, path := range []string{"/v1/deliveries?limit=7", "/v1/events?limit=7"} {
		want := 2 * events
		if strings.Contains(path, "events") {
			want = events
		}
		var seen map[any]bool
		gatewaytest.Await(t, path+" to hold them all", func() bool {
			seen = map[any]bool{}
			for cursor := ""; ; {
				a := w.Want(200, s.key, "GET", path+"&cursor="+url.QueryEscape(cursor), nil)
				for _, o := range a.List(t) {
					if seen[o["id"]] {
						t.Fatalf("%s: %v stands on two pages", path, o["id"])
					}
					seen[o["id"]] = true
				}
				if cursor = a.Text("next_cursor"); cursor == "" {
					return len(seen) == want
				}
			}
		})
	}
}

func TestGrantRevokedHidesPayloadsAndRefusesResend(t *testing.T) {
	w := newWorld(t)
	s := w.setting()
	w.work()
	e := newEndpoint(t)
	w.Want(201, s.key, "POST", "/v1/registrations", object{"source": s.smartbots, "url": e.URL})
	w.form(w.callbackURL(s.smartbots), chat("a secret of the group"))
	var d object
	gatewaytest.Await(t, "the delivery", func() bool {
		list := w.Want(200, s.key, "GET", "/v1/deliveries?status=succeeded", nil).List(t)
		if len(list) == 1 {
			d = list[0]
		}
		return len(list) == 1
	})
	grants := w.Want(200, operatorKey, "GET", "/v1/sources/"+s.smartbots+"/grants", nil).List(t)
	w.Want(204, operatorKey, "DELETE", fmt.Sprint("/v1/sources/", s.smartbots, "/grants/", grants[0]["id"]), nil)
	for _, path := range []string{"/v1/events", fmt.Sprint("/v1/events/", d["event"]), fmt.Sprint("/v1/events/", d["event"], "/raw"), "/v1/deliveries", fmt.Sprint("/v1/deliveries/", d["id"])} {
		if a := w.Call(s.key, "GET", path, nil); strings.Contains(a.Raw, "a secret") || strings.Contains(a.Raw, chatGroup) {
			t.Errorf("GET %s after the grant was revoked: %s", path, a.Raw)
		}
	}
	w.Want(403, s.key, "POST", fmt.Sprint("/v1/deliveries/", d["id"], "/resend"), nil)
	w.Want(404, s.key, "POST", "/v1/registrations", object{"source": s.smartbots, "url": e.URL})
}

func TestDryRunLooksAtWhatTheTenantMayHave(t *testing.T) {
	w := newWorld(t)
	s := w.setting()
	w.work()
	e := newEndpoint(t)
	r := w.Want(201, s.key, "POST", "/v1/registrations", object{"source": s.smartbots, "url": e.URL, "event_types": []string{"group_invite"}})
	w.form(w.callbackURL(s.smartbots), chat("hello"))
	since := time.Now().Add(-time.Hour).UTC().Format(time.RFC3339)
	gatewaytest.Await(t, "the event", func() bool {
		return len(w.Want(200, operatorKey, "GET", "/v1/events?source="+s.smartbots, nil).List(t)) == 1
	})
	path := "/v1/registrations/" + r.ID() + "/dry-run"
	if a := w.Want(200, s.key, "POST", path, object{"since": since}); a.Object["matched"] != 0.0 || a.Object["looked"] != 1.0 {
		t.Errorf("dry run %s, want 1 looked at, none matched", a.Raw)
	}
	if a := w.Want(200, s.key, "POST", path, object{"since": since, "event_types": []string{"group_*"}}); a.Object["matched"] != 1.0 {
		t.Errorf("dry run with group_*: %s, want 1 matched", a.Raw)
	}
	w.Want(200, s.key, "PATCH", "/v1/registrations/"+r.ID(), object{"event_types": []string{"group_chat"}})
	w.Want(202, s.key, "POST", "/v1/registrations/"+r.ID()+"/replay-missing", object{"since": since})
	gatewaytest.Await(t, "the replay", func() bool { return len(w.Want(200, s.key, "GET", "/v1/deliveries", nil).List(t)) > 0 })
	if got := w.Want(200, s.key, "GET", "/v1/deliveries", nil).List(t); len(got) != 1 || got[0]["replay"] != true {
		t.Errorf("deliveries after the replay %v, want the one", got)
	}
}
