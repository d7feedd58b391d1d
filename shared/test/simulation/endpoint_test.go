package simulation

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"testing/iotest"
	"time"

	"ringback/shared/gateway"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// A mood is how an endpoint answers.
type mood string

const (
	well      mood = "well"
	refuses   mood = "refuses"    // 500
	failsOnce mood = "fails once" // 500, and is well from then on
	busy      mood = "busy"       // 429 or 503, with Retry-After
	gone      mood = "gone"       // 410
	hangs     mood = "hangs"      // never answers
	slow      mood = "slow"       // takes its time
	dies      mood = "dies"       // the connection breaks, before the header or after it
	moody     mood = "moody"      // each time another of these but gone
)

// An answer is what comes back from an endpoint.
type answer struct {
	status int
	header http.Header
	after  time.Duration
	never  bool // nothing comes back
	broken bool // the connection breaks instead
	cut    bool // it breaks within the body
	post   *post
}

var errBroken = errors.New("connection reset by peer")

// answer returns how an endpoint answers its next POST.
func (w *world) answer(m mood) answer {
	a := answer{status: http.StatusOK, header: http.Header{}}
	if m == moody {
		m = pick(w.rng, well, well, refuses, busy, hangs, slow, dies)
	}
	switch m {
	case refuses, failsOnce:
		a.status = pick(w.rng, 500, 404, 302, 503)
	case busy:
		a.status = pick(w.rng, 429, 503)
		a.header.Set("Retry-After", strconv.Itoa(w.rng.IntN(900)))
	case gone:
		a.status = http.StatusGone
	case hangs:
		a.never, a.status = true, 0
	case slow:
		a.after = time.Duration(w.rng.IntN(13_000)) * time.Millisecond
	case dies:
		if a.cut = w.rng.IntN(2) == 0; !a.cut {
			a.broken, a.status = true, 0
		}
	}
	if !w.calm && w.rng.Float64() < w.plan.lost {
		a.broken = true // whatever it was, nobody learns of it
	}
	return a
}

// travel brings an answer back.
func (a answer) travel(r *http.Request) (*http.Response, error) {
	defer func() { a.post.end = time.Now() }()
	if a.never || a.after > 0 {
		var answered <-chan time.Time
		if !a.never {
			t := time.NewTimer(a.after)
			defer t.Stop()
			answered = t.C
		}
		select {
		case <-answered:
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
	}
	if a.broken {
		return nil, errBroken
	}
	a.post.answered = true
	var body io.Reader = bytes.NewReader([]byte("seen"))
	if a.cut {
		body = iotest.ErrReader(errBroken)
	}
	return &http.Response{StatusCode: a.status, Header: a.header, Body: io.NopCloser(body), Request: r}, nil
}

func bodyOf(r *http.Request) ([]byte, error) {
	if r.Body == nil {
		return nil, nil
	}
	defer r.Body.Close()
	return io.ReadAll(r.Body)
}

// arrived returns h as a server reads it, under canonical names.
func arrived(h http.Header) http.Header {
	out := http.Header{}
	for name, values := range h {
		out[http.CanonicalHeaderKey(name)] = values
	}
	return out
}

// arrive takes a POST in, and checks what must hold of each.
func (w *world) arrive(p *process, r *http.Request, body []byte) answer {
	now := time.Now()
	rec := &post{at: now, id: r.Header.Get("Webhook-Id"), late: r.Header.Get(gateway.LateHeader) != ""}
	to := w.wishAt(r.URL.Host, now)
	if to == nil {
		w.fail("a POST to %s, which no registration names", r.URL.Host)
		return answer{status: http.StatusOK, post: rec}
	}
	rec.wish = to
	if text := textOf.Find(body); text != nil {
		rec.item = w.itemNamed(string(text))
	}
	if form, err := url.ParseQuery(string(body)); err == nil {
		rec.action = form.Get("action")
	}
	w.checkPost(rec, r.Header, body)
	a := w.answer(to.mood)
	if a.post = rec; to.mood == failsOnce {
		to.mood = well
	}
	rec.status = a.status
	rec.accepted = a.status/100 == 2
	if rec.accepted {
		to.lastOK = now
	}
	if a.status == http.StatusGone {
		w.wasGone(to)
	}
	to.posts = append(to.posts, rec)
	w.posts = append(w.posts, rec)
	w.say("%s gets %.80s as %s: %d", r.URL.Host, textOf.Find(body), rec.id, a.status)
	return a
}

// wasGone notes that r's endpoint answered 410. Where nothing goes wrong, and
// nothing of r was changed for a while, r is disabled soon after.
func (w *world) wasGone(r *wish) {
	r.state.begin(gateway.Disabled)
	if !w.plan.clean || w.plan.embedded || time.Since(r.written) < w.slack() {
		return
	}
	was, _ := w.registration(r.id)
	w.after(w.slack(), func() {
		if now, _ := w.registration(r.id); now.State == gateway.Enabled && now.Rev == was.Rev {
			w.fail("%s is enabled, and its endpoint answered 410 %v ago", r.id, w.slack())
		}
	})
}

// wishAt returns whose endpoint is, or was a moment ago, at a host.
func (w *world) wishAt(host string, now time.Time) *wish {
	for _, r := range w.wishes {
		if r.host.ever(now.Add(-w.slack()), now, is(host)) {
			return r
		}
	}
	return nil
}

func (w *world) itemNamed(text string) *item {
	i := slices.IndexFunc(w.items, func(i *item) bool { return i.text == text })
	if i < 0 {
		w.fail("%s arrived, which nobody sent", text)
		return nil
	}
	return w.items[i]
}

// checkPost checks a POST on arrival.
func (w *world) checkPost(p *post, h http.Header, body []byte) {
	from, r := p.at.Add(-w.slack()), p.wish
	w.checkOff(p)
	if !w.signed(r, p.at, h, body) {
		w.fail("%s: the signature of %s does not verify", r.id, p.id)
	}
	if p.item == nil {
		if r.group == nil {
			w.fail("%s got %s with a payload that nobody sent: %s", r.id, p.id, body)
		}
		return
	}
	w.named(p.item, p.id)
	w.checkBytes(p, body)
	switch {
	case !r.granted(p.item, from, p.at):
		w.fail("%s of %s got %s, of which nothing is granted to it", r.id, r.tenant.id, p.item.text)
	case !r.match.ever(p.item.sent, p.at, func(m gateway.Match) bool { return m.Accepts(p.item.keys) }):
		w.fail("%s got %s, which it never asked for", r.id, p.item.text)
	case !r.state.ever(from, p.at, is(gateway.Enabled)):
		w.fail("%s got %s though it is %s", r.id, p.item.text, r.state.latest())
	case !r.tenant.disabled.ever(from, p.at, isFalse):
		w.fail("%s got %s though its tenant is disabled", r.id, p.item.text)
	}
}

// signed reports whether one of the secrets that r may have signed a POST, or
// there is one that the tenant has not learnt yet.
func (w *world) signed(r *wish, at time.Time, h http.Header, body []byte) bool {
	return r.group != nil || r.secret.ever(at.Add(-w.slack()-30*time.Second), at, func(secret string) bool {
		s, err := standardwebhooks.NewWebhook(secret)
		return secret == "" || err == nil && s.Verify(body, h) == nil
	})
}

// checkBytes checks that a payload is what the provider sent.
func (w *world) checkBytes(p *post, body []byte) {
	form := p.item.source.Provider == "smartbots"
	var standard struct {
		ID   string
		Data struct{ Message string }
	}
	switch {
	case p.wish.raw || !form:
		if !bytes.Contains(body, p.item.payload) {
			w.fail("%s arrived as %s, want the bytes that were sent", p.item.text, body)
		}
	}
	if p.wish.raw {
		return
	}
	if err := json.Unmarshal(body, &standard); err != nil || standard.ID != p.id || form && standard.Data.Message != p.item.text {
		w.fail("%s arrived as %s: %v", p.item.text, body, err)
	}
}
