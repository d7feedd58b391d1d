package gateway

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"ringback/shared/egress"
	"ringback/shared/ident"
	"ringback/shared/keyring"
	"ringback/shared/provider"
)

// requested returns what would be sent of e to r at noon.
func (w *world) requested(r Registration, e *provider.Event, late bool) (url, query string, h http.Header, body string, err error) {
	req, err := w.attempter.request(&task{e: e, r: &r, d: Delivery{ID: "dlv_1", Attempts: 2, OutOfOrder: late}}, noon)
	return req.URL, req.Query, req.Header, string(req.Body), err
}

func anEvent(w *world) *provider.Event {
	w.t.Helper()
	id, err := ident.Event(w.source, "", noon, "k")
	if err != nil {
		w.t.Fatal(err)
	}
	return &provider.Event{
		ID: id, Source: w.source, Provider: "upstream", Label: "acme", Type: "happened", Received: noon, Time: noon.Add(-time.Minute),
		ContentType: "application/x-thing", Query: "q=1", Payload: []byte(`{"a":1.0}`),
	}
}

// TestDeliveryIsWrittenInItsFormat writes an event of a provider, and two of the
// gateway's own, in both formats.
func TestDeliveryIsWrittenInItsFormat(t *testing.T) {
	w := newWorld(t)
	r := w.register()
	r.RawTokens = []keyring.Secret{
		{Sealed: "ended", Until: noon},
		{Sealed: w.Keys.Seal(RegistrationKey(r.ID).PK, "raw_token", "new")},
		{Sealed: w.Keys.Seal(RegistrationKey(r.ID).PK, "raw_token", "old")},
	}
	theirs, own, form := anEvent(w), anEvent(w), anEvent(w)
	own.Recipient, own.Query = r.ID, ""
	own.Time = time.Time{}
	form.Recipient, form.Payload, form.ContentType = r.ID, []byte("a=1"), "application/x-www-form-urlencoded"
	head := func(at string) string {
		return `{"id":"` + theirs.ID + `","type":"happened","timestamp":"` + at + `","provider":"upstream","source":"` + w.source + `","label":"acme","parameters":`
	}
	for _, tt := range []struct {
		name                     string
		e                        *provider.Event
		format                   Format
		body, query, contentType string
	}{
		{"theirs", theirs, Standard, head("2026-03-01T11:59:00Z") + `{"query":"q=1"},"data":{"a":1.0}}`, "", "application/json"},
		{"our own, of no time", own, Standard, head("2026-03-01T12:00:00Z") + `{},"data":{"a":1.0}}`, "", "application/json"},
		{"our own that is a form", form, Standard, head("2026-03-01T11:59:00Z") + `{"query":"q=1"},"data":a=1}`, "", "application/json"},
		{"theirs", theirs, Raw, `raw {"a":1.0}`, "token=new", "application/x-thing"},
		{"our own that is a form", form, Raw, `a=1`, "", "application/x-www-form-urlencoded"},
	} {
		r.Format = tt.format
		url, query, h, body, err := w.requested(r, tt.e, false)
		if err != nil {
			t.Fatal(err)
		}
		if url != "https://tenant.example/" || query != tt.query || body != tt.body || h.Get("Content-Type") != tt.contentType {
			t.Errorf("%s, %s: to %s with %q of %s\n%s\nwant %q of %s\n%s", tt.name, tt.format, url, query, h.Get("Content-Type"), body, tt.query, tt.contentType, tt.body)
		}
	}
}

// TestDeliverySaysWhoseItIs looks at the headers beside those of the format.
func TestDeliverySaysWhoseItIs(t *testing.T) {
	w := newWorld(t)
	plain := w.register(func(r *Registration) {
		r.Endpoint.Headers = map[string]string{"X-Api-Key": w.Keys.Seal(RegistrationKey(r.ID).PK, "header", "theirs")}
	})
	proven := plain
	proven.Endpoint.ConsentedAt = noon
	e := anEvent(w)
	for _, tt := range []struct {
		name   string
		r      Registration
		late   bool
		origin string
		mark   string
	}{
		{"a plain one", plain, false, "", ""}, {"to one that consented", proven, false, "ringback.example", ""}, {"a late one", plain, true, "", "true"},
	} {
		_, _, h, _, err := w.requested(tt.r, e, tt.late)
		if err != nil {
			t.Fatal(err)
		}
		for name, want := range map[string]string{
			"User-Agent": "Ringback/1", "ringback-via": w.ID(), "webhook-id": e.ID, "webhook-timestamp": fmt.Sprint(noon.Unix()),
			"ringback-delivery": "dlv_1", "ringback-attempt": "3",
			"WebHook-Request-Origin": tt.origin, "ringback-late": tt.mark, "X-Api-Key": "theirs",
		} {
			got, there := h[name]
			if strings.Join(got, "") != want || there != (want != "") || len(got) > 1 {
				t.Errorf("%s: header %s is %q, want %q", tt.name, name, got, want)
			}
		}
	}
	e.ContentType = ""
	plain.Format = Raw
	if _, _, h, _, err := w.requested(plain, e, false); err != nil || h["Content-Type"] != nil {
		t.Errorf("raw without a type: header %q, %v; want none", h["Content-Type"], err)
	}
}

// TestHeadersStandOnTheWireAsStandardWebhooksPrintsThem reads a delivery off a
// socket, and looks its headers up as the specification's PHP and Ruby libraries
// do: by exactly these names, where a server hands them on as they came.
func TestHeadersStandOnTheWireAsStandardWebhooksPrintsThem(t *testing.T) {
	w := newWorld(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	head := make(chan string, 1)
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		var lines strings.Builder
		for scan := bufio.NewScanner(conn); scan.Scan() && scan.Text() != ""; {
			fmt.Fprintln(&lines, scan.Text())
		}
		head <- lines.String()
		fmt.Fprint(conn, "HTTP/1.1 204 No Content\r\n\r\n")
	}()
	r := w.register(func(r *Registration) {
		r.Endpoint.URL = w.Keys.Seal(RegistrationKey(r.ID).PK, "url", "http://"+listener.Addr().String())
	})
	req, err := w.attempter.request(&task{e: anEvent(w), r: &r, d: Delivery{ID: "dlv_1", OutOfOrder: true}}, noon)
	if err != nil {
		t.Fatal(err)
	}
	client := egress.Client{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}
	defer client.CloseIdle()
	if got := client.Post(t.Context(), req); got.Class != egress.OK {
		t.Fatalf("Post = %+v, want OK", got)
	}
	sent := map[string]string{}
	text := <-head
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		sent[name] = value
	}
	for _, name := range []string{"webhook-id", "webhook-timestamp", "webhook-signature", "ringback-via", "ringback-delivery", "ringback-attempt", "ringback-late"} {
		if sent[name] == "" || sent[name] != strings.Join(req.Header[name], "") {
			t.Errorf("%s is %q on the wire, want %q of\n%s", name, sent[name], req.Header[name], text)
		}
	}
	if strings.Contains(strings.ToLower(text), "idempotency-key") {
		t.Errorf("sent\n%s\nwant no Idempotency-Key: what stands between acts upon it", text)
	}
}

// TestEachSecretSigns verifies a delivery with each secret that is valid, by the
// specification's own library.
func TestEachSecretSigns(t *testing.T) {
	w := newWorld(t)
	texts := []string{"the new secret, of 24 bytes or more", "the old secret, of 24 bytes or more"}
	r := w.register(func(r *Registration) {
		r.Secrets = []keyring.Secret{w.secret(r.ID, texts[0]), w.secret(r.ID, texts[1])}
	})
	req, err := w.attempter.request(&task{e: anEvent(w), r: &r}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	name := "webhook-signature" // as it is sent
	if got := strings.Join(req.Header[name], ""); strings.Count(got, " ") != 1 || strings.TrimSpace(got) != got {
		t.Errorf("signatures %q, want one for each secret, with a space between", got)
	}
	for _, text := range texts {
		wh, err := standardwebhooks.NewWebhookRaw([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if err := wh.Verify(req.Body, arrived(req.Header)); err != nil {
			t.Errorf("with %q: %v", text, err)
		}
	}
}

// TestEndedSecretSignsNoMore attempts deliveries while a secret ends: what was
// opened is used for 30 s, and no longer.
func TestEndedSecretSignsNoMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		start := w.Clock()
		r := w.register(func(r *Registration) {
			old := w.secret(r.ID, "the old secret, of 24 bytes or more")
			old.Until = start.Add(10 * time.Second)
			r.Secrets = append(r.Secrets, old)
		})
		for _, tt := range []struct {
			after time.Duration
			want  int
		}{{0, 2}, {targetTTL - time.Millisecond, 2}, {targetTTL, 1}, {time.Hour, 1}} {
			time.Sleep(time.Until(start.Add(tt.after)))
			for _, ahead := range []time.Duration{0, -time.Second} { // by a clock that is set back, too
				to, err := w.attempter.target(&r, w.Clock().Add(ahead))
				if err != nil || len(to.signers) != tt.want {
					t.Errorf("after %v %d secrets sign, %v; want %d: one ended after 10s", tt.after, len(to.signers), err, tt.want)
				}
			}
		}
	})
}

// TestAtMostFiveSecretsSign has as many secrets hold as were once allowed.
func TestAtMostFiveSecretsSign(t *testing.T) {
	w := newWorld(t)
	r := w.register(func(r *Registration) {
		for range 500 {
			r.Secrets = append(r.Secrets, w.secret(r.ID, "an old secret, of 24 bytes or more"))
		}
	})
	to, err := w.attempter.target(&r, w.Clock())
	if err != nil || len(to.signers) != 5 {
		t.Errorf("%d secrets sign, %v; want 5", len(to.signers), err)
	}
}

func TestChangedRegistrationIsOpenedAnew(t *testing.T) {
	w := newWorld(t)
	r := w.register()
	if _, _, _, _, err := w.requested(r, anEvent(w), false); err != nil {
		t.Fatal(err)
	}
	r.Rev++
	r.Endpoint.URL = w.Keys.Seal(RegistrationKey(r.ID).PK, "url", "https://elsewhere.example/")
	if url, _, _, _, err := w.requested(r, anEvent(w), false); url != "https://elsewhere.example/" || err != nil {
		t.Errorf("after a change the delivery goes to %s, %v", url, err)
	}
}

func TestDeliveryThatCannotBeWrittenIsAnError(t *testing.T) {
	w := newWorld(t)
	for name, spoil := range map[string]func(*Registration){
		"the URL is sealed for another row": func(r *Registration) { r.Endpoint.URL = w.Keys.Seal("R#other", "url", "secret") },
		"a header is": func(r *Registration) {
			r.Endpoint.Headers = map[string]string{"X-A": w.Keys.Seal("R#other", "header", "secret")}
		},
		"a secret is": func(r *Registration) { r.Secrets = []keyring.Secret{w.secret("reg_other", "secret")} },
		"a secret is not base64": func(r *Registration) {
			r.Secrets = []keyring.Secret{{Sealed: w.Keys.Seal(RegistrationKey(r.ID).PK, "secret", "whsec_secret!")}}
		},
		"a raw token is sealed for another row": func(r *Registration) {
			r.RawTokens = []keyring.Secret{{Sealed: w.Keys.Seal("R#other", "raw_token", "secret")}}
		},
	} {
		r := w.register(spoil)
		if _, _, _, _, err := w.requested(r, anEvent(w), false); err == nil || strings.Contains(err.Error(), "secret!") {
			t.Errorf("%s: error %v, want one without it", name, err)
		}
	}
	w.upstream.unreadable = provider.ErrUnreadable
	if _, _, _, _, err := w.requested(w.register(), anEvent(w), false); err == nil {
		t.Error("an event whose data its provider cannot read was written")
	}
}

func TestAttemptTakesNoLongerThanAllowed(t *testing.T) {
	for timeout, want := range map[time.Duration]time.Duration{
		0: AttemptTime, -time.Second: AttemptTime, time.Second: time.Second, AttemptTime - 1: AttemptTime - 1, AttemptTime + 1: AttemptTime,
	} {
		r := Registration{Timeout: timeout}
		if got := r.timeout(); got != want {
			t.Errorf("a registration's timeout of %v is %v, want %v", timeout, got, want)
		}
	}
}
