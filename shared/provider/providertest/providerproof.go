package providertest

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ringback/shared/provider"
)

// testProofs removes and alters the caller's proofs, and lets time pass.
func (pt tester) testProofs(t *testing.T) {
	altered := 0
	for _, c := range pt.cases {
		if c.Want.Refused != "" || pt.Provider.Verify(&c.Callback, pt.Credentials) != nil {
			continue
		}
		for what, cb := range pt.altered(c) {
			altered++
			err := pt.Provider.Verify(&cb, pt.Credentials)
			if err == nil {
				t.Errorf("%s, %s: taken, want a refusal", c.Name, what)
			}
			pt.checkRefusal(t, err)
		}
	}
	if proofs := len(pt.Header) + len(pt.Query); proofs > 0 && altered == 0 {
		t.Errorf("no case has one of the proofs %q, %q", pt.Header, pt.Query)
	}
}

// altered returns copies of c with invalid proofs, by what was changed.
func (pt tester) altered(c ProviderCase) map[string]provider.Callback {
	out := map[string]provider.Callback{}
	for _, name := range pt.Header {
		for _, f := range append(flips(c.Callback.Header.Get(name)), "") {
			cb := c.clone()
			if cb.Header.Del(name); f != "" {
				cb.Header.Set(name, f)
			}
			out["flipped "+name+" to "+strconv.Quote(f)] = cb
		}
	}
	for _, name := range pt.Query {
		proof, ok := parameter(c.Callback.Query, name)
		if !ok {
			continue
		}
		for _, f := range append(flips(proof), "") {
			cb := c.clone()
			cb.Query = replaced(c.Callback.Query, name, f)
			out["flipped "+name+" to "+strconv.Quote(f)] = cb
		}
	}
	for _, by := range []time.Duration{-2 * time.Minute, 2 * time.Minute} {
		if cb := c.clone(); pt.SignsTime {
			cb.Received = cb.Received.Add(by)
			out["moved the time by "+by.String()] = cb
		}
	}
	return out
}

// testReplies wraps each error with a text that no reply may hold.
func (pt tester) testReplies(t *testing.T) {
	const canary = "accept=1 canary"
	if got := pt.Provider.Reply(nil); got.StatusCode != http.StatusOK || got.Header != nil {
		t.Errorf("Reply(nil) = %+v, want status 200 and no header", got)
	}
	for _, err := range []error{
		provider.ErrNotFound, provider.ErrMethod, provider.ErrSignature, provider.ErrUnauthorized, provider.ErrForbidden,
		provider.ErrUnreadable, provider.ErrTooLarge, provider.ErrUnavailable, provider.ErrLoop, provider.ErrCoding,
		errors.New("of no kind"),
	} {
		plain, wrapped := pt.Provider.Reply(err), pt.Provider.Reply(fmt.Errorf("%s: %w", canary, err))
		if diff := cmp.Diff(plain, wrapped); diff != "" {
			t.Errorf("Reply of %v depends on its text, -without +with:\n%s", err, diff)
		}
		if got, want := plain.StatusCode, provider.StatusOf(err); got != want {
			t.Errorf("Reply(%v) has status %d, want %d", err, got, want)
		}
		for name, value := range provider.ReplyFor(err).Header {
			if got := plain.Header[name]; got != value {
				t.Errorf("Reply(%v) has header %s: %q, want %q", err, name, got, value)
			}
		}
		if len(plain.Body) > 200 || (len(plain.Body) > 0) != (plain.ContentType != "") {
			t.Errorf("Reply(%v) = %+v, want a short body with its type", err, plain)
		}
	}
}

// checkRefusal wants err to be nil, or one of provider's errors without a secret, whose reply has its status and holds
// no secret.
func (pt tester) checkRefusal(t *testing.T, err error) {
	t.Helper()
	if err == nil {
		return
	}
	reply := pt.Provider.Reply(err)
	if reply.StatusCode < 400 || reply.StatusCode > 499 {
		t.Errorf("error %v has status %d, want 4xx", err, reply.StatusCode)
	}
	text := fmt.Sprint(err, reply.Header, string(reply.Body))
	for _, secret := range secrets(pt.Credentials) {
		if strings.Contains(text, secret) {
			t.Errorf("error %v or its reply %s holds a secret", err, reply.Body)
		}
	}
}

func parameter(query, name string) (value string, ok bool) {
	q, _ := url.ParseQuery(query)
	return q.Get(name), q.Has(name)
}

// replaced returns query with another value of the parameter, or without it if value is empty.
func replaced(query, name, value string) string {
	q, _ := url.ParseQuery(query)
	if q.Del(name); value != "" {
		q.Set(name, value)
	}
	return q.Encode()
}

// flips returns s with each byte changed in turn.
func flips(s string) []string {
	var out []string
	for i := range len(s) {
		b := []byte(s)
		b[i] ^= 1
		out = append(out, string(b))
	}
	return out
}

func secrets(c provider.Credentials) []string {
	out := slices.Clone(c.Tokens)
	for _, l := range c.Basic {
		out = append(out, l.Password)
	}
	return out
}
