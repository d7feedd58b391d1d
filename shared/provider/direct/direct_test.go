package direct_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"

	"ringback/shared/provider"
	"ringback/shared/provider/direct"
	"ringback/shared/provider/providertest"
)

var credentials = provider.Credentials{
	Basic: []provider.Login{{Name: "tenant-7", Password: "pa:ss wörd"}, {Name: "tenant-7", Password: "n3xt"}},
	Allow: []netip.Prefix{netip.MustParsePrefix("185.203.96.7/32")},
}

func TestCallbacksMeanWhatTheirFilesSay(t *testing.T) {
	providertest.Provider(t, providertest.ProviderTest{
		Provider:    direct.Provider{},
		Dir:         "testdata",
		Credentials: credentials,
		Header:      []string{"Authorization"},
	})
}

func TestAddressIsCheckedOnlyIfSomeAreNamed(t *testing.T) {
	office := []netip.Prefix{netip.MustParsePrefix("185.203.96.7/32"), netip.MustParsePrefix("2001:db8::/32")}
	for _, tt := range []struct {
		name  string
		allow []netip.Prefix
		from  netip.Addr
		want  error
	}{
		{"no list", nil, netip.MustParseAddr("203.0.113.9"), nil},
		{"no list and an unknown address", nil, netip.Addr{}, nil},
		{"named", office, netip.MustParseAddr("185.203.96.7"), nil},
		{"named, in IPv6 notation", office, netip.MustParseAddr("::ffff:185.203.96.7"), nil},
		{"in a named network", office, netip.MustParseAddr("2001:db8::9"), nil},
		{"another", office, netip.MustParseAddr("185.203.96.8"), provider.ErrForbidden},
		{"unknown", office, netip.Addr{}, provider.ErrForbidden},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := direct.Provider{}.Verify(&provider.Callback{From: tt.from}, provider.Credentials{Allow: tt.allow})
			if !errors.Is(err, tt.want) {
				t.Errorf("Verify of %v: %v, want %v", tt.from, err, tt.want)
			}
		})
	}
}

func TestLoginIsOneOfThoseThatAreValid(t *testing.T) {
	for _, tt := range []struct {
		name   string
		header []string
		want   error
	}{
		{"first login", []string{"Basic " + coded("tenant-7:pa:ss wörd")}, nil},
		{"second login, scheme in lower case", []string{"basic " + coded("tenant-7:n3xt")}, nil},
		{"first login, percent-encoded as in a URL", []string{"Basic " + coded("tenant%2D7:pa%3ass%20w%C3%B6rd")}, nil},
		{"a login of which the password alone is percent-encoded", []string{"Basic " + coded("tenant-7:n3%78t")}, nil},
		{"percent-encoded twice", []string{"Basic " + coded("tenant-7:n3%2578t")}, provider.ErrUnauthorized},
		{"its colon percent-encoded", []string{"Basic " + coded("tenant-7%3An3xt")}, provider.ErrUnauthorized},
		{"the colon of its password instead of its own", []string{"Basic " + coded("tenant-7%3Apa:ss wörd")}, provider.ErrUnauthorized},
		{"a zero byte instead of the colon", []string{"Basic " + coded("tenant-7%00n3xt:")}, provider.ErrUnauthorized},
		{"what is no percent-encoding", []string{"Basic " + coded("tenant-7:n3%7")}, provider.ErrUnauthorized},
		{"two headers", []string{"Basic " + coded("tenant-7:n3xt"), "Basic " + coded("tenant-7:n3xt")}, provider.ErrUnauthorized},
		{"name alone", []string{"Basic " + coded("tenant-7")}, provider.ErrUnauthorized},
		{"password up to its colon", []string{"Basic " + coded("tenant-7:pa")}, provider.ErrUnauthorized},
		{"empty", []string{""}, provider.ErrUnauthorized},
		{"not base64", []string{"Basic tenant-7:n3xt"}, provider.ErrUnauthorized},
		{"bits behind the last character", []string{"Basic dGVuYW50LTc6bjN4dB=="}, provider.ErrUnauthorized},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cb := provider.Callback{Header: http.Header{"Authorization": tt.header}}
			if err := (direct.Provider{}).Verify(&cb, provider.Credentials{Basic: credentials.Basic}); !errors.Is(err, tt.want) {
				t.Errorf("Verify with %q: %v, want %v", tt.header, err, tt.want)
			}
		})
	}
}

func TestOnlyLoginIsAskedFor(t *testing.T) {
	only := provider.Credentials{Basic: credentials.Basic[1:]}
	if err := (direct.Provider{}).Verify(&provider.Callback{}, only); !errors.Is(err, provider.ErrUnauthorized) {
		t.Errorf("Verify of a callback without the only login: %v, want ErrUnauthorized", err)
	}
}

func TestRefusalOfALoginAsksForOne(t *testing.T) {
	got := direct.Provider{}.Reply(provider.ErrUnauthorized)
	if got.StatusCode != http.StatusUnauthorized || !strings.HasPrefix(got.Header["WWW-Authenticate"], "Basic realm=") {
		t.Errorf("Reply(ErrUnauthorized) = %+v, want 401 and a Basic challenge", got)
	}
}

func TestFactsThatDifferHaveDifferentNaturalKeys(t *testing.T) {
	items := []string{
		`{"message_uuid":"m1","callback_event":"delivered","status":"delivered","status_time":"2025-03-01T09:15:02Z"}`,
		`{"message_uuid":"m1","callback_event":"delivered","status":"undelivered","status_time":"2025-03-01T09:15:02Z"}`,
		`{"message_uuid":"m1","callback_event":"delivered","status":"delivered","status_time":"2025-03-01T09:15:03Z"}`,
		`{"message_uuid":"m1","callback_event":"delivered","status":"delivered"}`,
		`{"message_uuid":"m1","callback_event":"delivered"}`,
		`{"message_uuid":"m2","callback_event":"delivered","status":"delivered","status_time":"2025-03-01T09:15:02Z"}`,
		`{"message_uuid":"m1","callback_event":"read","status":"delivered","status_time":"2025-03-01T09:15:02Z"}`,
		`{"message_uuid":"m1","callback_event":"price","price":4.20,"parts":2,"price_time":"2025-03-01T09:15:02Z"}`,
		`{"message_uuid":"m1","callback_event":"price","price":4.30,"parts":2,"price_time":"2025-03-01T09:15:02Z"}`,
		`{"message_uuid":"m1","callback_event":"price","price":4.20,"parts":3,"price_time":"2025-03-01T09:15:02Z"}`,
		`{"message_uuid":"m1","callback_event":"price","price":4.20,"parts":2}`,
		`{"message_uuid":"m1","callback_event":"click","short_url":"https://s.example/a","click_time":"2025-03-01T09:15:02Z"}`,
		`{"message_uuid":"m1","callback_event":"click","short_url":"https://s.example/b","click_time":"2025-03-01T09:15:02Z"}`,
		`{"message_uuid":"m1","callback_event":"click","short_url":"https://s.example/a","click_time":"2025-03-01T09:15:03Z"}`,
		`{"message_uuid":"m1","callback_event":"click","short_url":"https://s.example/a"}`,
		`{"message_uuid":"m1","callback_event":"inbound_sent","status_time":"2025-03-01T09:15:02Z"}`,
		`{"message_uuid":"m1","callback_event":"rated","stars":4}`,
		`{"message_uuid":"m1","callback_event":"rated","stars":5}`,
		`{"message_uuid":"m1"}`,
	}
	reading := parse(t, "["+strings.Join(items, ",")+"]")
	seen := map[string]int{}
	for i, it := range reading.Items {
		if j, ok := seen[it.NaturalKey]; ok {
			t.Errorf("items %s and %s have the same natural key", items[j], items[i])
		}
		seen[it.NaturalKey] = i
	}
}

func TestRepeatInOtherWordsHasTheSameNaturalKey(t *testing.T) {
	for _, pair := range [][2]string{
		{`{"message_uuid":"m1","callback_event":"sent","status":"sent","status_time":"2025-03-01T09:15:02Z","cascade_step":1}`,
			`{ "status_time":"2025-03-01T09:15:02Z", "status":"sent", "callback_event":"sent", "message_uuid":"m1"}`},
		{`{"message_uuid":"m1","callback_event":"price","price":4.20,"parts":2,"price_time":"2025-03-01T09:15:02Z"}`,
			`{"message_uuid":"m1","callback_event":"price","price":"4.20","parts":"2","price_time":"2025-03-01T09:15:02Z","currency":"RUB"}`},
	} {
		got := parse(t, "["+pair[0]+","+pair[1]+"]").Items
		if got[0].NaturalKey != got[1].NaturalKey || !got[0].StableTime.Equal(got[1].StableTime) || got[0].StableTime.IsZero() {
			t.Errorf("keys of %s and %s: %q at %v, %q at %v, want the same", pair[0], pair[1],
				got[0].NaturalKey, got[0].StableTime, got[1].NaturalKey, got[1].StableTime)
		}
	}
}

func TestItemOfAnArrayThatIsTooLargeOrTooDeepIsSetAside(t *testing.T) {
	good := `{"message_uuid":"m1","callback_event":"sent"}`
	large := `{"message_uuid":"m2","text":"` + strings.Repeat("x", provider.MaxPayloadBytes) + `"}`
	deep := `{"message_uuid":"m3","item":` + strings.Repeat("[", 1000) + strings.Repeat("]", 1000) + `}`
	got := parse(t, "["+large+","+good+","+deep+"]").Items
	for i, want := range []string{"direct.unreadable", "sent", "direct.unreadable"} {
		if got[i].Type != want || got[i].Unreadable != (want != "sent") {
			t.Errorf("item %d: type %q, unreadable %v, want %q", i, got[i].Type, got[i].Unreadable, want)
		}
	}
	if got, want := string(got[0].Payload), large[:provider.MaxUnreadableBytes]; got != want {
		t.Errorf("kept %d bytes of the large item, want its first %d", len(got), len(want))
	}
	_, err := direct.Provider{}.Parse(&provider.Callback{Body: []byte(large)})
	if !errors.Is(err, provider.ErrTooLarge) {
		t.Errorf("Parse of a bare object of %d bytes: %v, want ErrTooLarge", len(large), err)
	}
}

func TestThousandItemsAreAThousandEvents(t *testing.T) {
	var items []string
	for i := range 1200 {
		items = append(items, fmt.Sprintf(`{"message_uuid":"m%d","callback_event":"sent","status":"sent","status_time":"2025-03-01T09:15:02Z"}`, i))
	}
	got := parse(t, "["+strings.Join(items, ",\n")+"]").Items
	keys := map[string]bool{}
	for i, it := range got {
		keys[it.NaturalKey] = true
		if string(it.Payload) != items[i] {
			t.Fatalf("item %d: payload %s, want %s", i, it.Payload, items[i])
		}
	}
	if len(got) != 1200 || len(keys) != 1200 {
		t.Errorf("%d items with %d natural keys, want 1200", len(got), len(keys))
	}
}

func FuzzParse(f *testing.F) {
	for _, c := range providertest.ProviderCases(f, "testdata") {
		f.Add(c.Callback.Body)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		cb := provider.Callback{Body: body}
		p := direct.Provider{}
		reading, err := p.Parse(&cb)
		if err != nil {
			if !errors.Is(err, provider.ErrUnreadable) && !errors.Is(err, provider.ErrTooLarge) {
				t.Errorf("Parse: %v", err)
			}
			return
		}
		for _, it := range reading.Items {
			e := provider.Event{Payload: it.Payload, Unreadable: it.Unreadable}
			if data, err := p.Data(&e); err != nil || !json.Valid(data) {
				t.Errorf("Data = %q, %v, want JSON", data, err)
			}
			if raw := p.Raw(&e, "", cb.Received); !it.Unreadable && !bytes.Equal(raw.Body[1:len(raw.Body)-1], it.Payload) {
				t.Errorf("Raw = %q, want the payload in an array", raw.Body)
			}
		}
		for _, problem := range append(providertest.CheckReading(&cb, reading), providertest.CheckRaw(p, reading)...) {
			t.Error(problem)
		}
	})
}

func FuzzVerify(f *testing.F) {
	for _, c := range providertest.ProviderCases(f, "testdata") {
		f.Add(c.Callback.Header.Get("Authorization"))
	}
	f.Add("Basic " + coded("tenant-7:n3xt") + "\n")
	f.Add("BAsiC  " + coded("tenant-7:n3xt"))
	f.Add("Basic " + coded("tenant%2d7:n%33xt"))
	f.Fuzz(func(t *testing.T, header string) {
		cb := provider.Callback{Header: http.Header{"Authorization": {header}}}
		if (direct.Provider{}).Verify(&cb, provider.Credentials{Basic: credentials.Basic}) != nil {
			return
		}
		_, text, _ := strings.Cut(header, " ")
		text = strings.TrimLeft(text, " ")
		given, _ := base64.StdEncoding.DecodeString(text)
		name, password, _ := strings.Cut(string(given), ":")
		plainName, err := url.PathUnescape(name)
		plainPassword, err2 := url.PathUnescape(password)
		sent, plain := provider.Login{Name: name, Password: password}, provider.Login{Name: plainName, Password: plainPassword}
		if !slices.Contains(credentials.Basic, sent) && (err != nil || err2 != nil || !slices.Contains(credentials.Basic, plain)) {
			t.Errorf("Verify took %q", header)
		}
		if coded(name+":"+password) != text {
			t.Errorf("Verify took %q, which is another spelling of the login", header)
		}
	})
}

func BenchmarkParse(b *testing.B) {
	item := `{"message_uuid":"3f0a7d0e-7a55-4d6d-9f6e-6e0f3a1c0001","channel_type":"WHATSAPP","callback_event":"inbound_sent",` +
		`"status":"inbound_sent","status_time":"2025-03-02T10:00:00Z","item":{"contentType":"text","text":"` + strings.Repeat("hello ", 130) + `"}}`
	cb := provider.Callback{
		Header: http.Header{"Authorization": {"Basic " + coded("tenant-7:n3xt")}},
		Body:   []byte("[" + item + "]"),
		From:   netip.MustParseAddr("185.203.96.7"),
	}
	b.ReportAllocs()
	b.SetBytes(int64(len(cb.Body)))
	for b.Loop() {
		if err := (direct.Provider{}).Verify(&cb, credentials); err != nil {
			b.Fatal(err)
		}
		if _, err := (direct.Provider{}).Parse(&cb); err != nil {
			b.Fatal(err)
		}
	}
}

func parse(t *testing.T, body string) provider.Reading {
	t.Helper()
	reading, err := direct.Provider{}.Parse(&provider.Callback{Body: []byte(body)})
	if err != nil {
		t.Fatalf("Parse: %v", err)
	}
	return reading
}

func coded(login string) string { return base64.StdEncoding.EncodeToString([]byte(login)) }
