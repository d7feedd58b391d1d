package gateway

import (
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"ringback/shared/egress"
	"ringback/shared/ident"
	"ringback/shared/keyring"
	"ringback/shared/provider"
	"ringback/shared/schedule"
	"ringback/shared/storage"
)

// A verdict is what an answer's status code decides.
type verdict struct {
	class    egress.Class
	status   Status        // of the delivery after its first attempt, one wait left
	why      string        // of a final one that was not accepted
	hint     time.Duration // of a Retry-After of 2 min that came along
	longWait bool          // the next wait is a minute at least
	explains bool          // there is a sentence for people
}

var (
	accepted = verdict{class: egress.OK, status: Succeeded}
	gone     = verdict{class: egress.Status4xx, status: Failed, why: "gone", explains: true}
	busyNow  = verdict{class: egress.Status5xx, status: Pending, hint: 2 * time.Minute, explains: true}
	tooMany  = verdict{class: egress.Status4xx, status: Pending, hint: 2 * time.Minute, longWait: true, explains: true}
)

func refusedAs(c egress.Class) verdict { return verdict{class: c, status: Pending, explains: true} }

// verdicts lists the codes that mean something of their own, or that one might
// think do; verdictOf knows the rest.
var verdicts = map[int]verdict{
	200: accepted, 201: accepted, 202: accepted, 204: accepted, 206: accepted, 226: accepted, 299: accepted,
	300: refusedAs(egress.Status3xx), 301: refusedAs(egress.Status3xx), 302: refusedAs(egress.Status3xx), 303: refusedAs(egress.Status3xx),
	304: refusedAs(egress.Status3xx), 307: refusedAs(egress.Status3xx), 308: refusedAs(egress.Status3xx),
	400: refusedAs(egress.Status4xx), 401: refusedAs(egress.Status4xx), 403: refusedAs(egress.Status4xx), 404: refusedAs(egress.Status4xx),
	405: refusedAs(egress.Status4xx), 408: refusedAs(egress.Status4xx), 409: refusedAs(egress.Status4xx), 410: gone,
	413: refusedAs(egress.Status4xx), 422: refusedAs(egress.Status4xx), 425: refusedAs(egress.Status4xx), 429: tooMany,
	500: refusedAs(egress.Status5xx), 501: refusedAs(egress.Status5xx), 502: refusedAs(egress.Status5xx), 503: busyNow,
	504: refusedAs(egress.Status5xx), 505: refusedAs(egress.Status5xx), 507: refusedAs(egress.Status5xx), 511: refusedAs(egress.Status5xx),
}

func verdictOf(code int) verdict {
	if v, ok := verdicts[code]; ok {
		return v
	}
	switch {
	case code < 200:
		return refusedAs(egress.Status1xx)
	case code < 300:
		return accepted
	case code < 400:
		return refusedAs(egress.Status3xx)
	case code < 500:
		return refusedAs(egress.Status4xx)
	}
	return refusedAs(egress.Status5xx)
}

// answers is a transport that answers everything with one code, and asks to
// wait for 2 min.
type answers int

func (code answers) RoundTrip(r *http.Request) (*http.Response, error) {
	h := http.Header{"Retry-After": {"120"}, "Location": {"https://elsewhere.example/"}}
	return &http.Response{StatusCode: int(code), Header: h, Body: io.NopCloser(strings.NewReader("seen")), Request: r}, nil
}

func TestEveryStatusCodeHasItsVerdict(t *testing.T) {
	keys, err := keyring.Parse("1 a key ring of no fewer than 32 characters")
	if err != nil {
		t.Fatal(err)
	}
	at := time.Now()
	id := ident.New("reg", at)
	pk := RegistrationKey(id).PK
	r := &Registration{
		ID: id, Format: Raw, Schedule: schedule.Schedule{Waits: []time.Duration{5 * time.Second, 5 * time.Minute}},
		Endpoint: Endpoint{URL: keys.Seal(pk, "url", "https://tenant.example/")},
		Secrets:  []keyring.Secret{{Sealed: keys.Seal(pk, "secret", "whsec_"+base64.StdEncoding.EncodeToString([]byte("a secret of no fewer than 24 bytes")))}},
	}
	eventID, err := ident.Event("src-00000001", "", at, "status codes")
	if err != nil {
		t.Fatal(err)
	}
	e := &provider.Event{ID: eventID, Source: "src-00000001", Type: TestEventType, Received: at, Payload: []byte("{}"), Recipient: id}
	for code := 100; code <= 599; code++ {
		t.Run(fmt.Sprint(code), func(t *testing.T) {
			g, err := New(Config{Store: nowhere{}, Queue: nowhere{}, Keys: keys, Egress: &egress.Client{Transport: answers(code)}})
			if err != nil {
				t.Fatal(err)
			}
			d := newDelivery(e, r, at)
			a, _ := g.post(t.Context(), &task{e: e, r: r, d: d})
			after, _ := d.record(a, r.Schedule, 0.5, true)
			got := verdict{a.Class, after.Status, after.Reason, a.RetryAfter, a.slow(), a.Error != ""}
			if want := verdictOf(code); got != want {
				t.Errorf("answer %d: %+v, want %+v", code, got, want)
			}
			if a.StatusCode != code || string(a.Response) != "seen" && code != http.StatusSwitchingProtocols {
				t.Errorf("answer %d is recorded as %d %q", code, a.StatusCode, a.Response)
			}
			wait := after.NextAttempt.Sub(a.At.Add(a.Took))
			if after.Status == Pending && (wait < got.hint-time.Millisecond || got.longWait && wait < schedule.SlowDownWait-time.Millisecond || got.hint == 0 && wait > 10*time.Second) {
				t.Errorf("answer %d: next attempt after %v, with a wait of 5s, a hint of %v, slow %v", code, wait, got.hint, got.longWait)
			}
		})
	}
}

// nowhere is the Store and Queue of a gateway that asks neither.
type nowhere struct {
	storage.Store
	storage.Queue
}
