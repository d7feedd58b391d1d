package api_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ringback/shared/test/gatewaytest"
)

// A consenting is an endpoint that answers OPTIONS with headers of its own.
type consenting struct {
	*httptest.Server
	mu     sync.Mutex
	header map[string]string // of the answer to OPTIONS
	asked  []http.Header     // of OPTIONS
	posted []http.Header
}

func newConsenting(t *testing.T, header map[string]string) *consenting {
	e := &consenting{header: header}
	e.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		e.mu.Lock()
		defer e.mu.Unlock()
		if r.Method != http.MethodOptions {
			e.posted = append(e.posted, r.Header)
			return
		}
		e.asked = append(e.asked, r.Header)
		for name, value := range e.header {
			w.Header().Set(name, value)
		}
	}))
	t.Cleanup(e.Close)
	return e
}

func (e *consenting) answers(header map[string]string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.header = header
}

func (e *consenting) seen() (asked, posted []http.Header) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.asked, e.posted
}

// challenged is a setting whose first tenant's endpoints must consent.
func (w *world) challenged() setting {
	w.t.Helper()
	s := w.setting()
	w.Want(200, operatorKey, "PATCH", "/v1/tenants/"+s.tenant, object{"limits": object{"api_calls_per_second": 100000, "require_challenge": true}})
	return s
}

var allowed = map[string]string{"WebHook-Allowed-Origin": "ringback.example", "WebHook-Allowed-Rate": "120"}

func TestEndpointThatConsentsIsEnabledAndTold(t *testing.T) {
	w := newWorld(t)
	s := w.challenged()
	w.work()
	e := newConsenting(t, allowed)
	at := strings.Replace(e.URL, "//", "//name:a%20password@", 1) + "/hook"
	r := w.Want(201, s.key, "POST", "/v1/registrations", object{"source": s.smartbots, "url": at, "headers": object{"X-Token": "mine"}})
	if r.Text("state") != "enabled" || r.Text("proven") == "" || r.Object["rate"] != 2.0 {
		t.Errorf("registration %s, want it enabled, proven, and at the 120 a minute that were allowed", r.Raw)
	}
	asked, _ := e.seen()
	if len(asked) != 1 {
		t.Fatalf("asked %d times, want once", len(asked))
	}
	for name, want := range map[string]string{"WebHook-Request-Origin": "ringback.example", "X-Token": "mine", "Authorization": "Basic bmFtZTphIHBhc3N3b3Jk"} {
		if got := asked[0].Get(name); got != want {
			t.Errorf("asked with %s %q, want %q", name, got, want)
		}
	}
	w.form(w.callbackURL(s.smartbots), chat("with consent"))
	gatewaytest.Await(t, "the delivery", func() bool { _, posted := e.seen(); return len(posted) == 1 })
	_, posted := e.seen()
	if got := posted[0].Get("WebHook-Request-Origin"); got != "ringback.example" {
		t.Errorf("delivered with origin %q, want ringback.example", got)
	}
}

func TestEndpointThatDoesNotConsentGetsNothing(t *testing.T) {
	for name, header := range map[string]map[string]string{
		"no header":      nil,
		"another origin": {"WebHook-Allowed-Origin": "elsewhere.example"},
		"a rate alone":   {"WebHook-Allowed-Rate": "*"},
		"a list":         {"WebHook-Allowed-Origin": "ringback.example, elsewhere.example"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			s := w.challenged()
			w.work()
			e := newConsenting(t, header)
			r := w.Want(201, s.key, "POST", "/v1/registrations", object{"source": s.smartbots, "url": e.URL})
			path := "/v1/registrations/" + r.ID()
			if r.Text("state") != "disabled" || !strings.HasPrefix(r.Text("why"), "unproven: ") || r.Text("secret") == "" {
				t.Errorf("registration %s, want it disabled as unproven, with its secret", r.Raw)
			}
			w.Want(409, s.key, "POST", path+"/enable", nil)
			w.Want(409, operatorKey, "POST", path+"/enable", nil)
			w.form(w.callbackURL(s.smartbots), chat("held"))
			gatewaytest.Await(t, "the held delivery", func() bool {
				return len(w.Want(200, s.key, "GET", "/v1/deliveries?status=held&registration="+r.ID(), nil).List(t)) == 1
			})
			if _, posted := e.seen(); len(posted) != 0 {
				t.Errorf("%d POSTs without consent", len(posted))
			}
			e.answers(map[string]string{"WebHook-Allowed-Origin": "*"})
			if got := w.Want(200, s.key, "POST", path+"/enable", nil).Text("state"); got != "enabled" {
				t.Errorf("with consent it is %q, want enabled", got)
			}
		})
	}
}

func TestEndpointThatIsNotThereIsUnproven(t *testing.T) {
	w := newWorld(t)
	s := w.challenged()
	e := newConsenting(t, allowed)
	e.Close()
	r := w.Want(201, s.key, "POST", "/v1/registrations", object{"source": s.smartbots, "url": e.URL + "/a-path"})
	if why := r.Text("why"); !strings.Contains(why, "No connection") || strings.Contains(why, "a-path") {
		t.Errorf("why %q, want that there was no connection, without the URL", why)
	}
}

func TestAnotherURLNeedsConsentAnew(t *testing.T) {
	w := newWorld(t)
	s := w.challenged()
	e, other := newConsenting(t, allowed), newConsenting(t, nil)
	r := w.Want(201, s.key, "POST", "/v1/registrations", object{"source": s.smartbots, "url": e.URL})
	path := "/v1/registrations/" + r.ID()
	before := w.Want(200, s.key, "GET", path, nil)
	w.Want(422, s.key, "PATCH", path, object{"url": other.URL})
	if diff := cmp.Diff(before.Object, w.Want(200, s.key, "GET", path, nil).Object); diff != "" {
		t.Errorf("the refused change left (-before +after):\n%s", diff)
	}
	w.Want(200, s.key, "PATCH", path, object{"url": e.URL, "description": "the same"})
	if asked, _ := e.seen(); len(asked) != 1 {
		t.Errorf("asked %d times under the same URL, want once", len(asked))
	}
	other.answers(allowed)
	if got := w.Want(200, s.key, "PATCH", path, object{"url": other.URL}); got.Text("url") != other.URL || got.Text("proven") == "" {
		t.Errorf("with consent %s, want the new URL, proven", got.Raw)
	}
	w.Want(200, s.key, "POST", path+"/disable", nil)
	e.answers(nil)
	if got := w.Want(200, s.key, "PATCH", path, object{"url": e.URL}); got.Text("state") != "disabled" || got.Text("proven") != "" {
		t.Errorf("of a disabled one %s, want the URL changed, and not proven", got.Raw)
	}
	w.Want(409, s.key, "POST", path+"/enable", nil)
}

func TestRegistrationThatWaitsForConsentIsEnabledByIt(t *testing.T) {
	w := newWorld(t)
	s := w.challenged()
	w.work()
	mute, e := newConsenting(t, nil), newConsenting(t, allowed)
	r := w.Want(201, s.key, "POST", "/v1/registrations", object{"source": s.smartbots, "url": mute.URL})
	path := "/v1/registrations/" + r.ID()
	if got := w.Want(200, s.key, "PATCH", path, object{"url": mute.URL + "/other"}); got.Text("state") != "disabled" {
		t.Errorf("under another URL that does not consent either %s, want it disabled", got.Raw)
	}
	if got := w.Want(200, s.key, "PATCH", path, object{"url": e.URL}); got.Text("state") != "enabled" || got.Text("why") != "" {
		t.Errorf("under a URL that consents %s, want it enabled", got.Raw)
	}
	w.form(w.callbackURL(s.smartbots), chat("at last"))
	gatewaytest.Await(t, "the delivery", func() bool { _, posted := e.seen(); return len(posted) == 1 })
}

func TestConsentBelongsToTheStandardFormat(t *testing.T) {
	w := newWorld(t)
	s := w.challenged()
	e := newConsenting(t, allowed)
	w.Want(422, s.key, "POST", "/v1/registrations", object{"source": s.smartbots, "url": e.URL, "format": "raw"})
	r := w.Want(201, s.key, "POST", "/v1/registrations", object{"source": s.smartbots, "url": e.URL})
	w.Want(422, s.key, "PATCH", "/v1/registrations/"+r.ID(), object{"format": "raw"})
	w.Want(201, operatorKey, "POST", "/v1/groups", object{"source": s.smartbots, "name": "Harbor Crew", "security_code": "1234", "uuid": chatGroup, "group_id": "g"})
	form := w.Call("", "GET", "/api/simple.html?action=set_http_callback&apikey="+s.key+"&secret=1234&group=Harbor+Crew&app_name=a&app_uuid="+chatGroup+"&url=https://tenant.example/", nil)
	if form.Text("result") != "FAIL" || !strings.Contains(form.Text("resulttext"), "consent") {
		t.Errorf("set_http_callback: %s, want FAIL for want of consent", form.Raw)
	}
}

func TestTenantWithoutTheRuleIsNotAsked(t *testing.T) {
	w := newWorld(t)
	s := w.setting()
	e := newConsenting(t, nil)
	r := w.Want(201, s.key, "POST", "/v1/registrations", object{"source": s.smartbots, "url": e.URL})
	if asked, _ := e.seen(); r.Text("state") != "enabled" || len(asked) != 0 {
		t.Errorf("registration %s, asked %d times; want it enabled unasked", r.Raw, len(asked))
	}
}
