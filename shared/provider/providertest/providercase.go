package providertest

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ringback/shared/provider"
)

// A ProviderCase is a raw HTTP request and the expected result.
type ProviderCase struct {
	Name     string
	Callback provider.Callback
	Want     ProviderWant
}

// ProviderWant is the content of <case>.json.
type ProviderWant struct {
	About       string       `json:"about"`
	Received    time.Time    `json:"received"`         // when the callback comes in
	From        netip.Addr   `json:"from,omitzero"`    // who calls
	Refused     string       `json:"refused,omitzero"` // provider.Reason of the error; empty: taken
	Status      int          `json:"status"`           // of the reply
	ContentType string       `json:"content_type,omitzero"`
	Query       string       `json:"query,omitzero"`
	Items       []ItemWanted `json:"items"`
}

// An ItemWanted is one item of a case. Payload is the text of the item's bytes.
type ItemWanted struct {
	Type       string              `json:"type"`
	NaturalKey bool                `json:"natural_key,omitzero"` // there is one
	Stable     time.Time           `json:"stable,omitzero"`
	Time       time.Time           `json:"time,omitzero"`
	Keys       map[string][]string `json:"keys,omitempty"`
	Payload    string              `json:"payload"`
	Unreadable bool                `json:"unreadable,omitzero"`
	Data       json.RawMessage     `json:"data,omitempty"` // absent: the payload's own bytes
	Parameters json.RawMessage     `json:"parameters,omitempty"`
	Raw        string              `json:"raw,omitzero"` // body of Raw; absent: the payload's own bytes
}

// ProviderCases returns the cases of a folder, at least one.
func ProviderCases(t testing.TB, dir string) []ProviderCase {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*.http"))
	if err != nil || len(names) == 0 {
		t.Fatalf("no cases in %s: %v", dir, err)
	}
	var cases []ProviderCase
	for _, name := range names {
		base := strings.TrimSuffix(name, ".http")
		c := ProviderCase{Name: filepath.Base(base)}
		readJSON(t, base+".json", &c.Want)
		for i, it := range c.Want.Items {
			c.Want.Items[i].Data, c.Want.Items[i].Parameters = compact(it.Data), compact(it.Parameters)
		}
		c.Callback = readCallback(t, name)
		c.Callback.Received, c.Callback.From = c.Want.Received, c.Want.From
		cases = append(cases, c)
	}
	return cases
}

func (c ProviderCase) clone() provider.Callback {
	cb := c.Callback
	cb.Header, cb.Body = cb.Header.Clone(), bytes.Clone(cb.Body)
	return cb
}

func readCallback(t testing.TB, name string) provider.Callback {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(b)))
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return provider.Callback{Method: r.Method, Query: r.URL.RawQuery, Header: r.Header, Body: body}
}

func readJSON(t testing.TB, name string, v any) {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}
