package providertest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"ringback/shared/gateway"
	"ringback/shared/provider"
	"ringback/shared/storage"
)

// A ProviderTest says what a Provider checks in callbacks.
type ProviderTest struct {
	Provider    provider.Provider
	Dir         string               // of <case>.http and <case>.json
	Credentials provider.Credentials // under which the cases are read
	Header      []string             // header fields that prove who called
	Query       []string             // query parameters that prove who called
	SignsTime   bool                 // a proof ends: Verify looks at Callback.Received
	SignsBody   bool                 // the proof covers the body
}

// A tester is a running ProviderTest.
type tester struct {
	ProviderTest
	cases []ProviderCase
}

// Provider tests that p reads each case as its file says and accepts no altered proof, and the rest of the contract of
// provider.Provider.
func Provider(t *testing.T, p ProviderTest) {
	pt := tester{p, ProviderCases(t, p.Dir)}
	for _, c := range pt.cases {
		t.Run(c.Name, func(t *testing.T) {
			pt.testMeaning(t, c)
			pt.testRepeat(t, c)
			pt.testRaw(t, c)
			pt.testAlteredBody(t, c)
		})
	}
	t.Run("altered proofs are refused", pt.testProofs)
	t.Run("replies hold nothing of the callback", pt.testReplies)
	t.Run("events are described", pt.testEventTypes)
}

// testMeaning compares what the provider reads in a case with its file.
func (pt tester) testMeaning(t *testing.T, c ProviderCase) {
	got := ProviderWant{About: c.Want.About, Received: c.Want.Received, From: c.Want.From}
	before := c.clone()
	reading, err := pt.read(&c.Callback)
	if diff := cmp.Diff(before, c.Callback, compareAddr); diff != "" {
		t.Errorf("Verify and Parse changed the callback, -before +after:\n%s", diff)
	}
	got.Refused = provider.Reason(err)
	got.Status = pt.Provider.Reply(err).StatusCode
	if err == nil {
		got.ContentType, got.Query = reading.ContentType, reading.Query
		for _, it := range reading.Items {
			got.Items = append(got.Items, pt.itemGot(t, reading, it))
		}
	}
	if diff := cmp.Diff(c.Want, got, compareAddr, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("%s, -want +got:\n%s", c.Want.About, diff)
	}
}

// itemGot returns it in the form of a case's file.
func (pt tester) itemGot(t *testing.T, r provider.Reading, it provider.Item) ItemWanted {
	t.Helper()
	e := eventOf(r, it)
	data, err := pt.Provider.Data(e)
	if err != nil || !json.Valid(data) {
		t.Errorf("Data of %s = %s, %v, want JSON", it.Type, data, err)
	}
	parameters, err := pt.Provider.Parameters(e)
	if err != nil || parameters != nil && !json.Valid(parameters) {
		t.Errorf("Parameters of %s = %s, %v, want JSON or none", it.Type, parameters, err)
	}
	kinds := pt.Provider.KeyKinds()
	for kind, values := range it.Keys {
		if !slices.Contains(kinds, kind) || slices.Contains(values, "") || len(values) == 0 {
			t.Errorf("routing key %s of %s is %q, want values that are not empty, of kinds %q", kind, it.Type, values, kinds)
		}
	}
	got := ItemWanted{
		Type: it.Type, NaturalKey: it.NaturalKey != "", Stable: it.StableTime, Time: it.Time, Keys: it.Keys,
		Payload: strings.ToValidUTF8(string(it.Payload), "\uFFFD"), Unreadable: it.Unreadable, Parameters: compact(parameters),
	}
	if !bytes.Equal(data, it.Payload) {
		got.Data = compact(data)
	}
	raw := pt.Provider.Raw(e, "", time.Time{})
	if !bytes.Equal(raw.Body, it.Payload) {
		got.Raw = string(raw.Body)
	}
	if raw.Query != r.Query {
		t.Errorf("Raw of %s has the query %q, want %q", it.Type, raw.Query, r.Query)
	}
	return got
}

// testRepeat reads a case again, an hour later and from a copy in memory.
func (pt tester) testRepeat(t *testing.T, c ProviderCase) {
	first, err := pt.Provider.Parse(&c.Callback)
	again := c.clone()
	again.Received = again.Received.Add(time.Hour)
	second, errAgain := pt.Provider.Parse(&again)
	if fmt.Sprint(err) != fmt.Sprint(errAgain) {
		t.Errorf("Parse of the same callback: error %v, then %v", err, errAgain)
	}
	if diff := cmp.Diff(first, second); diff != "" {
		t.Errorf("Parse of the same callback, -first +second:\n%s", diff)
	}
	for _, problem := range CheckReading(&c.Callback, first) {
		t.Error(problem)
	}
}

// testRaw reads what Raw makes of each item: it must be the same item, and the only one.
func (pt tester) testRaw(t *testing.T, c ProviderCase) {
	reading, _ := pt.read(&c.Callback)
	for _, it := range reading.Items {
		if it.Unreadable {
			continue
		}
		raw := pt.Provider.Raw(eventOf(reading, it), "", c.Want.Received)
		cb := provider.Callback{
			Method: http.MethodPost, Query: raw.Query, Body: raw.Body, Received: c.Want.Received,
			Header: http.Header{"Content-Type": {raw.ContentType}},
		}
		got, err := pt.Provider.Parse(&cb)
		if err != nil || len(got.Items) != 1 {
			t.Errorf("Parse of Raw of %s: %d items, %v, want 1", it.Type, len(got.Items), err)
			continue
		}
		if diff := cmp.Diff(it, got.Items[0]); diff != "" {
			t.Errorf("Parse of Raw of %s, -sent +read:\n%s", it.Type, diff)
		}
	}
}

// testAlteredBody flips each byte of a case's body in turn.
func (pt tester) testAlteredBody(t *testing.T, c ProviderCase) {
	if c.Want.Refused != "" {
		return
	}
	for i := range c.Callback.Body {
		cb := c.clone()
		cb.Body[i] ^= 1
		reading, err := pt.read(&cb)
		if err == nil && pt.SignsBody {
			t.Errorf("byte %d of the body flipped: taken, want %v", i, provider.ErrSignature)
		}
		pt.checkRefusal(t, err)
		for _, problem := range CheckReading(&cb, reading) {
			t.Errorf("byte %d of the body flipped: %s", i, problem)
		}
	}
}

func (pt tester) testEventTypes(t *testing.T) {
	seen := map[string]bool{}
	samples := 0
	for _, et := range pt.Provider.EventTypes() {
		if et.Name == "" || seen[et.Name] || !strings.HasSuffix(et.About, ".") {
			t.Errorf("event type %q, about %q: want each name once, with a sentence", et.Name, et.About)
		}
		seen[et.Name] = true
		if et.Sample != nil {
			samples++
			if !json.Valid(et.Sample) {
				t.Errorf("sample of %s is not JSON: %s", et.Name, et.Sample)
			}
		}
	}
	if samples == 0 {
		t.Error("no event type has a sample")
	}
	if err := gateway.CheckEventTypes(pt.Provider.DefaultEventTypes()); err != nil {
		t.Errorf("DefaultEventTypes: %v", err)
	}
}

// read verifies and parses, as Ingest does.
func (pt tester) read(cb *provider.Callback) (provider.Reading, error) {
	if err := pt.Provider.Verify(cb, pt.Credentials); err != nil {
		return provider.Reading{}, err
	}
	return pt.Provider.Parse(cb)
}

// CheckReading returns what is wrong with r, whatever cb holds: a payload that
// is not part of the body, a type or key that is missing, a text that is too
// long or not UTF-8. It changes cb's body.
func CheckReading(cb *provider.Callback, r provider.Reading) []string {
	problems := checkTexts(r)
	payloads := make([][]byte, len(r.Items))
	for i, it := range r.Items {
		payloads[i] = bytes.Clone(it.Payload)
		if it.Type == "" || len(it.Payload) == 0 || it.Unreadable && it.NaturalKey != "" || !it.StableTime.IsZero() && it.NaturalKey == "" {
			problems = append(problems, fmt.Sprintf("item %d: type %q, natural key %q, %d bytes", i, it.Type, it.NaturalKey, len(it.Payload)))
		}
		if it.Unreadable && len(it.Payload) > provider.MaxUnreadableBytes || len(it.Payload) > provider.MaxPayloadBytes {
			problems = append(problems, fmt.Sprintf("item %d keeps %d bytes", i, len(it.Payload)))
		}
	}
	invert(cb.Body)
	for i, it := range r.Items {
		if invert(payloads[i]); !bytes.Equal(payloads[i], it.Payload) {
			problems = append(problems, fmt.Sprintf("payload of item %d is not part of the body", i))
		}
	}
	invert(cb.Body)
	return problems
}

// CheckRaw returns what is wrong with the requests that p's Raw makes of r's items: each must be read as the same
// item, and the only one.
func CheckRaw(p provider.Provider, r provider.Reading) []string {
	var problems []string
	for i, it := range r.Items {
		if it.Unreadable {
			continue
		}
		raw := p.Raw(eventOf(r, it), "", time.Time{})
		cb := provider.Callback{Method: http.MethodPost, Query: raw.Query, Body: raw.Body, Header: http.Header{"Content-Type": {raw.ContentType}}}
		got, err := p.Parse(&cb)
		if err != nil || len(got.Items) != 1 {
			problems = append(problems, fmt.Sprintf("item %d alone is %.200q: %d items, %v, want 1", i, raw.Body, len(got.Items), err))
			continue
		}
		if diff := cmp.Diff(it, got.Items[0]); diff != "" {
			problems = append(problems, fmt.Sprintf("item %d alone, -sent +read:\n%s", i, diff))
		}
	}
	return problems
}

// checkTexts returns which texts of r do not fit in a row beside the payload.
func checkTexts(r provider.Reading) []string {
	var problems []string
	if len(r.ContentType) > provider.MaxContentTypeBytes || !storage.ValidText(r.ContentType) {
		problems = append(problems, fmt.Sprintf("Content-Type of %d bytes: %.100q", len(r.ContentType), r.ContentType))
	}
	if len(r.Query) > provider.MaxQueryBytes || !storage.ValidText(r.Query) {
		problems = append(problems, fmt.Sprintf("query of %d bytes: %.100q", len(r.Query), r.Query))
	}
	for i, it := range r.Items {
		size, text := 0, utf8.ValidString(it.Type)
		for _, values := range it.Keys {
			for _, v := range values {
				size, text = size+len(v), text && utf8.ValidString(v)
			}
		}
		if len(it.Type) > provider.MaxEventTypeBytes || size > provider.MaxKeysBytes || !text {
			problems = append(problems, fmt.Sprintf("item %d: type %.100q, %d bytes of routing keys: too long or not UTF-8", i, it.Type, size))
		}
	}
	return problems
}

var compareAddr = cmp.Comparer(func(a, b netip.Addr) bool { return a == b })

func eventOf(r provider.Reading, it provider.Item) *provider.Event {
	return &provider.Event{
		Type: it.Type, Time: it.Time, Keys: it.Keys, Payload: it.Payload, Unreadable: it.Unreadable,
		ContentType: r.ContentType, Query: r.Query,
	}
}

func invert(b []byte) {
	for i := range b {
		b[i] = ^b[i]
	}
}

// compact removes the white space between values, the only permitted difference.
func compact(b json.RawMessage) json.RawMessage {
	var buf bytes.Buffer
	if json.Compact(&buf, b) != nil {
		return b
	}
	return buf.Bytes()
}
