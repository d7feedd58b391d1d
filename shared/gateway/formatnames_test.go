package gateway_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"ringback/shared/circuit"
	"ringback/shared/control"
	"ringback/shared/gateway"
	"ringback/shared/groups"
	"ringback/shared/storage"
)

// TestFormatKeepsItsNames reads each row that stands in the file of this
// release's format, writes it again, and wants every name and value that it had:
// what has another name needs another format.
func TestFormatKeepsItsNames(t *testing.T) {
	b, err := os.ReadFile(fmt.Sprintf("testdata/format-%d.jsonl", storage.RowFormat))
	if err != nil {
		t.Fatal(err)
	}
	checked := map[string]int{}
	s := bufio.NewScanner(bytes.NewReader(b))
	for s.Scan() {
		var line struct{ Row *storage.Row }
		if err := json.Unmarshal(s.Bytes(), &line); err != nil {
			t.Fatal(err)
		}
		if line.Row == nil {
			continue
		}
		kind := kindOfCommitted(line.Row.Key)
		v := committedAs(kind)
		if v == nil {
			continue
		}
		checked[kind]++
		if err := storage.Decode(*line.Row, v); err != nil {
			t.Errorf("%s: %v", kind, err)
			continue
		}
		again, err := storage.Encode(v)
		if err != nil {
			t.Fatal(err)
		}
		var was, is map[string]any
		if err := json.Unmarshal(line.Row.Data, &was); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(again, &is); err != nil {
			t.Fatal(err)
		}
		if missing := lacks(is, was); missing != "" {
			t.Errorf("%s: %s of %s is lost in %s", kind, missing, line.Row.Data, again)
		}
	}
	if len(checked) < 20 {
		t.Errorf("rows of %d kinds are compared (%v), want 20 at least", len(checked), checked)
	}
}

func TestLostNamesAreSeen(t *testing.T) {
	was := map[string]any{"a": 1., "b": map[string]any{"c": "d"}}
	for _, tt := range []struct {
		name string
		is   map[string]any
		want string
	}{
		{"the same", map[string]any{"a": 1., "b": map[string]any{"c": "d"}}, ""},
		{"one more", map[string]any{"a": 1., "b": map[string]any{"c": "d"}, "e": 1.}, ""},
		{"one less", map[string]any{"b": map[string]any{"c": "d"}}, "a"},
		{"one less within another", map[string]any{"a": 1., "b": map[string]any{}}, "b.c"},
		{"another value", map[string]any{"a": 2., "b": map[string]any{"c": "d"}}, "a"},
	} {
		if got := lacks(tt.is, was); got != tt.want {
			t.Errorf("%s: lacks %q, want %q", tt.name, got, tt.want)
		}
	}
}

// lacks returns what of was is not in is, or differs.
func lacks(is, was map[string]any) string {
	for name, v := range was {
		inner, ok := v.(map[string]any)
		if !ok {
			if fmt.Sprint(is[name]) != fmt.Sprint(v) {
				return name
			}
			continue
		}
		there, _ := is[name].(map[string]any)
		if missing := lacks(there, inner); missing != "" {
			return name + "." + missing
		}
	}
	return ""
}

func kindOfCommitted(k storage.Key) string {
	pk, _, _ := strings.Cut(k.PK, "#")
	if sk, _, _ := strings.Cut(k.SK, "#"); len(sk) == 1 {
		return pk + "/" + sk
	}
	return pk
}

// committedAs returns what rows of a kind are read into; nil for those that hold
// no more than that they are there.
func committedAs(kind string) any {
	return map[string]any{
		"S/S": new(gateway.Source), "S/V": new(gateway.Version), "S/C": new(gateway.CallbackKey), "S/G": new(gateway.Grant), "S/R": new(gateway.Link),
		"T/T": new(gateway.Tenant), "T/R": new(control.TenantRegistration), "T/G": new(gateway.Link), "K/K": new(control.APIKey),
		"R/R": new(gateway.Registration), "R/H": new(circuit.Health), "M": new(gateway.Link), "G/G": new(gateway.Group), "G/A": new(control.App),
		"N/N": new(control.Reservation), "W/W": new(groups.Guesses), "I/I": new(control.IdempotencyRecord), "L": new(gateway.Link),
		"E": new(gateway.EventRow), "D": new(gateway.Delivery), "A": new(gateway.Attempt), "J/J": new(gateway.Job), "L/L": new(gateway.Lane), "L/W": new(gateway.Waiting),
	}[kind]
}
