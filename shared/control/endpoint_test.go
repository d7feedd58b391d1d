package control

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"ringback/shared/gateway"
	"ringback/shared/storage"
	"ringback/shared/test/gatewaytest"
)

func TestHeadersThatMayBeSet(t *testing.T) {
	for _, tt := range []struct {
		name, value string
		fits        bool
	}{
		{"X-Key", "value", true},
		{"x-key", "", true},
		{"az.AZ-09!#$%&'*+^`|~", "\tvalue", false},
		{"az.AZ-09!#$%&'*+^`|~", "va\tlue", true},
		{"Authorization", "Bearer key", true},
		{"", "value", false},
		{"X Key", "value", false},
		{"X:Key", "value", false},
		{"X/Key", "value", false},
		{"X@Key", "value", false},
		{"X[Key", "value", false},
		{"X{Key", "value", false},
		{"Schlüssel", "value", false},
		{strings.Repeat("x", gateway.MaxName), "value", true},
		{strings.Repeat("x", gateway.MaxName+1), "value", false},
		{"X-Key", strings.Repeat("x", MaxHeaderValue), true},
		{"X-Key", strings.Repeat("x", MaxHeaderValue+1), false},
		{"X-Key", "a\nb", false},
		{"X-Key", "a\x00b", false},
		{"X-Key", "a\x1fb", false},
		{"X-Key", "a\x7fb", false},
		{"X-Key", " value", false},
		{"X-Key", "value ", false},
		{"X-Key", "välue", true},
		{"Connection", "close", false},
		{"KEEP-ALIVE", "x", false},
		{"Proxy-Connection", "x", false},
		{"TE", "x", false},
		{"Trailer", "x", false},
		{"Transfer-Encoding", "x", false},
		{"Upgrade", "x", false},
		{"Expect", "x", false},
		{"Host", "x", false},
		{"Content-Length", "0", false},
		{"Content-Type", "x", false},
		{"Content-Encoding", "x", false},
		{"Accept-Encoding", "x", false},
		{"Idempotency-Key", "x", false},
		{"Webhook-Id", "x", false},
		{"Webhook-Signature", "x", false},
		{"Ringback-Via", "x", false},
		{"webhook-id", "x", false},
		{"WEBHOOK-TIMESTAMP", "x", false},
		{"ringback-delivery", "x", false},
		{"rINGBACK-aTTEMPT", "x", false},
		{"idempotency-key", "x", false},
		{"Proxy-Authorization", "x", false},
		{"X-Ringback-Anything", "x", false},
		{"X-Forwarded-For", "x", false},
		{"X_Forwarded_For", "x", false},
		{"X_Tenant_Token", "x", true},
		{"Content_Length", "0", false},
		{"Forwarded", "for=192.0.2.1", false},
		{"X-Real-IP", "x", false},
		{"Via", "x", false},
		{"HTTP2-Settings", "x", false},
		{"Webhooks", "x", true},
		{"User-Agent", "x", true},
	} {
		if err := checkHeader(tt.name, tt.value); (err == nil) != tt.fits || err != nil && !errors.Is(err, storage.ErrInvalid) {
			t.Errorf("checkHeader(%.30q, %.30q) = %v, want it to fit: %v", tt.name, tt.value, err, tt.fits)
		}
	}
}

func TestHeadersAreKeptUnderTheirCanonicalNames(t *testing.T) {
	w := newWorld(t)
	s, c := w.granted(direct)
	many := func(n int) map[string]string {
		out := map[string]string{}
		for i := range n {
			out[fmt.Sprintf("X-%d", i)] = "v"
		}
		return out
	}
	r := w.register(c, s.ID, RegistrationChange{Headers: map[string]string{"x-a": "a", "x-b": "b"}})
	change := func(headers map[string]string) (gateway.Registration, error) {
		return w.ChangeRegistration(t.Context(), c, r.ID, 0, RegistrationChange{Headers: headers})
	}
	for name, headers := range map[string]map[string]string{
		"too many":                       many(MaxHeaders + 1),
		"one twice":                      {"X-A": "1", "x-a": "2"},
		"a hidden one that is not there": {"X-C": hiddenText},
		"one that cannot be set":         {"Host": "x"},
	} {
		w.WantUnwritten(name, func() { w.WantErr("headers with "+name, gatewaytest.ErrOf(change(headers)), storage.ErrInvalid) })
	}
	w.Pass(time.Hour)
	got := gatewaytest.Must(change(map[string]string{"X-A": hiddenText, "x-c": "c"}))(w)
	if h := got.Endpoint.Headers; len(h) != 2 || h["X-A"] != r.Endpoint.Headers["X-A"] || w.opened(got, "header", h["X-C"]) != "c" {
		t.Errorf("headers = %v, want X-A as it was and X-C", h)
	}
	if got = gatewaytest.Must(w.ChangeRegistration(t.Context(), c, r.ID, 0, RegistrationChange{Description: new("x")}))(w); len(got.Endpoint.Headers) != 2 {
		t.Errorf("headers after a change of the description = %v, want both", got.Endpoint.Headers)
	}
	w.WantErr("as many headers as there may be", gatewaytest.ErrOf(change(many(MaxHeaders))), nil)
	if got = gatewaytest.Must(change(map[string]string{}))(w); len(got.Endpoint.Headers) != 0 {
		t.Errorf("headers after they were taken away = %v", got.Endpoint.Headers)
	}
}

func TestURLOfAnEndpointIsWriteOnly(t *testing.T) {
	w := newWorld(t)
	s, c := w.granted(direct)
	r := w.register(c, s.ID, RegistrationChange{URL: new("https://login:s3cret@tenant.example/in")})
	change := func(ch RegistrationChange) (gateway.Registration, error) {
		return w.ChangeRegistration(t.Context(), c, r.ID, 0, ch)
	}
	got := gatewaytest.Must(change(RegistrationChange{URL: new("https://***@tenant.example/other")}))(w)
	if url := w.opened(got, "url", got.Endpoint.URL); url != "https://login:s3cret@tenant.example/other" || got.Endpoint.RedactedURL != "https://***@tenant.example/other" {
		t.Errorf("URL sent back as it is shown, with another path: %q, shown as %q", url, got.Endpoint.RedactedURL)
	}
	w.WantUnwritten("refused", func() {
		_, err := change(RegistrationChange{URL: new("https://***@other.example/")})
		if w.WantErr("a hidden login for another host", err, storage.ErrInvalid); err == nil || strings.Contains(err.Error(), "s3cret") || !strings.Contains(err.Error(), "needs its login and password again") {
			t.Errorf("a hidden login for another host: %v", err)
		}
		w.WantErr("an Authorization beside a login", gatewaytest.ErrOf(change(RegistrationChange{Headers: map[string]string{"authorization": "x"}})), storage.ErrInvalid)
		_, _, err = w.CreateRegistration(t.Context(), c, w.ID("reg"), s.ID, RegistrationChange{URL: new("https://***@tenant.example/")})
		w.WantErr("a new registration with a hidden login", err, storage.ErrInvalid)
	})
	w.WantErr("an Authorization in place of a login",
		gatewaytest.ErrOf(change(RegistrationChange{URL: new("https://tenant.example/"), Headers: map[string]string{"authorization": "x"}})), nil)
	w.WantErr("another header beside it", gatewaytest.ErrOf(change(RegistrationChange{Headers: map[string]string{"authorization": "x", "x-key": "y"}})), nil)
	w.WantErr("a login beside an Authorization", gatewaytest.ErrOf(change(RegistrationChange{URL: new("https://login:s3cret@tenant.example/")})), storage.ErrInvalid)
	w.WantErr("a login beside another header", gatewaytest.ErrOf(change(RegistrationChange{URL: new("https://login:s3cret@tenant.example/"), Headers: map[string]string{"x-key": "y"}})), nil)
}

func TestHeaderValuesStayWithTheirOriginAlone(t *testing.T) {
	w := newWorld(t)
	s, c := w.granted(direct)
	kept, anew := map[string]string{"X-A": hiddenText, "X-B": "new"}, map[string]string{"X-A": "new"}
	for _, tt := range []struct {
		name, url string
		headers   map[string]string
		want      error
	}{
		{"another path", "https://tenant.example/other?x=y", nil, nil},
		{"the port that is meant", "https://tenant.example:443/in", nil, nil},
		{"another host", "https://other.example/in", nil, storage.ErrInvalid},
		{"another host, with a hidden value", "https://other.example/in", kept, storage.ErrInvalid},
		{"another host, with the values", "https://other.example/in", anew, nil},
		{"another host, without headers", "https://other.example/in", map[string]string{}, nil},
		{"another port", "https://tenant.example:8443/in", nil, storage.ErrInvalid},
		{"another scheme", "http://tenant.example/in", nil, storage.ErrInvalid},
	} {
		r := w.register(c, s.ID, RegistrationChange{Headers: map[string]string{"X-A": "s3cret"}})
		got, err := w.ChangeRegistration(t.Context(), c, r.ID, 0, RegistrationChange{URL: &tt.url, Headers: tt.headers})
		if w.WantErr(tt.name, err, tt.want); err == nil && tt.headers == nil && w.opened(got, "header", got.Endpoint.Headers["X-A"]) != "s3cret" {
			t.Errorf("%s: headers %v, want X-A as it was", tt.name, got.Endpoint.Headers)
		}
	}
	bots := w.source(gateway.SmartBots)
	change := func(ch UpstreamChange) error {
		return gatewaytest.ErrOf(w.ChangeSource(t.Context(), bots.ID, SourceChange{Upstream: &ch}))
	}
	w.WantErr("an upstream", change(UpstreamChange{APIKey: new("key"), BaseURL: new("https://one.example/a")}), nil)
	w.WantErr("its path", change(UpstreamChange{BaseURL: new("https://one.example/b")}), nil)
	w.WantErr("its host", change(UpstreamChange{BaseURL: new("https://two.example/b")}), storage.ErrInvalid)
	w.WantErr("its host, with a hidden key", change(UpstreamChange{BaseURL: new("https://two.example/b"), APIKey: new(hiddenText)}), storage.ErrInvalid)
	w.WantErr("its host and key", change(UpstreamChange{BaseURL: new("https://two.example/b"), APIKey: new("another")}), nil)
}

func TestEndpointSealedForAnotherIsNotOpened(t *testing.T) {
	w := newWorld(t)
	s, c := w.granted(direct)
	a, b := w.register(c, s.ID, RegistrationChange{}), w.register(c, s.ID, RegistrationChange{})
	b.Endpoint.URL = a.Endpoint.URL
	w.Put(gateway.RegistrationKey(b.ID), b)
	if _, err := w.ChangeRegistration(t.Context(), c, b.ID, 0, RegistrationChange{URL: new("https://tenant.example/x")}); err == nil {
		t.Error("a change of a URL that cannot be opened: no error")
	}
}

func TestTextsWithoutRepeatsKeepTheirOrder(t *testing.T) {
	for _, tt := range []struct{ texts, want []string }{
		{nil, nil},
		{[]string{"b", "a", "b", "a", "c"}, []string{"b", "a", "c"}},
	} {
		if got := unique(tt.texts); !slices.Equal(got, tt.want) {
			t.Errorf("unique(%v) = %v, want %v", tt.texts, got, tt.want)
		}
	}
}
