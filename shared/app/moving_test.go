package app_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ringback/shared/cloud/cloudtest"
	"ringback/shared/control"
	"ringback/shared/gateway"
	"ringback/shared/ident"
	"ringback/shared/keyring"
	"ringback/shared/storage"
	"ringback/shared/test/gatewaytest"
	"ringback/shared/test/proofs"
	"ringback/shared/transfer"
)

// export returns all parts of an export.
func (w *world) export() [][]byte {
	w.t.Helper()
	var parts [][]byte
	for cursor := ""; ; {
		part := again(w, func() (part []byte, err error) {
			part, next, err := w.transfer().Export(w.t.Context(), cursor)
			if err == nil {
				cursor = next
			}
			return part, err
		})
		if parts = append(parts, part); cursor == "" {
			return parts
		}
	}
}

// imports takes parts in and returns how many lines were added and kept.
func (w *world) imports(parts [][]byte, check bool) (added, kept int) {
	w.t.Helper()
	for _, part := range parts {
		done := again(w, func() (transfer.Imported, error) { return w.transfer().Import(w.t.Context(), part, check) })
		for _, n := range done.Added {
			added += n
		}
		for _, n := range done.Kept {
			kept += n
		}
	}
	return added, kept
}

// another returns a second gateway with nothing in it, which reaches the same
// endpoints.
func (w *world) another() *world {
	w.t.Helper()
	other := newWorld(w.t, w.weak)
	other.endpoints.At = w.endpoints.At
	return other
}

// kinds counts the lines of parts by their kind.
func kinds(t *testing.T, parts [][]byte) map[string]int {
	t.Helper()
	out := map[string]int{}
	for line := range bytes.Lines(bytes.Join(parts, nil)) {
		var l struct{ Kind string }
		if err := json.Unmarshal(line, &l); err != nil {
			t.Fatalf("line %s: %v", line, err)
		}
		out[l.Kind]++
	}
	return out
}

// A house is what is moved.
type house struct {
	source          gateway.Source
	path            string // of its callback URL
	tenant          control.Caller
	key             string // an API key's text
	whole, narrow   gateway.Registration
	all, part, form *gatewaytest.Endpoint // of whole, narrow and the app that was set by code
}

func (w *world) house() house {
	w.t.Helper()
	ctx := w.t.Context()
	var h house
	h.source, h.path = w.smartBots()
	h.tenant = w.tenant(h.source, nil)
	leaving := w.tenant(h.source, nil)
	h.key = again(w, func() (string, error) {
		_, text, err := w.control().CreateAPIKey(ctx, control.Operator(), ident.New("key", time.Now()), control.APIKey{Scope: control.ScopeFull, Tenant: h.tenant.Tenant})
		return text, err
	})
	w.group(h.source, "Harbor Crew", groupA, "1234")
	h.whole, h.all = w.register(h.tenant, h.source, "whole.example", control.RegistrationChange{Headers: map[string]string{"X-Tenant": "sealed"}})
	h.narrow, h.part = w.register(h.tenant, h.source, "narrow.example", control.RegistrationChange{Match: &gateway.Match{"group": {groupA}}})
	gone, _ := w.register(h.tenant, h.source, "gone.example", control.RegistrationChange{})
	w.remove(h.tenant, gone)
	w.register(leaving, h.source, "leaving.example", control.RegistrationChange{})
	h.form = w.setHTTPCallback(h.tenant, "Harbor Crew", "1234", "7e0c2a9e-63c5-4d24-8f8e-6a2f0f1d9b10", "app.example")
	w.within(6*time.Hour, "callback_set", func() bool { return w.forms(h.form, "callback_set") == 1 })
	w.source(control.SourceChange{Provider: "tencent-chat", SDKAppID: ptr(uint64(1400000001)), Token: ptr("tencent-token")})
	again(w, func() (gateway.Tenant, error) {
		return w.control().ChangeTenant(ctx, leaving.Tenant, control.TenantChange{Disabled: ptr(true)})
	})
	h.narrow = again(w, func() (gateway.Registration, error) { return w.control().Registration(ctx, h.tenant, h.narrow.ID) })
	return h
}

func TestMovedGatewayGoesOnUnderItsIDsAndKeys(t *testing.T) {
	scenarioOfDays(t, func(t *testing.T, w *world) {
		h := w.house()
		parts := w.export()
		want := map[string]int{"ringback": 1, "source": 2, "callback_key": 2, "tenant": 2, "api_key": 4, "group": 1, "grant": 2, "registration": 4, "end": 1}
		got := kinds(t, parts)
		if w.weak != 0 {
			want["api_key"] = max(want["api_key"], got["api_key"]) // a lost answer takes its key with it
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("lines by kind (-want +got):\n%s", diff)
		}
		lines := 13 + want["api_key"] // but the first and the last
		to := w.another()
		if added, kept := to.imports(parts, true); added+kept != 0 {
			t.Errorf("a check wrote %d lines, kept %d; want none", added, kept)
		}
		if added, _ := to.imports(parts, false); added != lines && w.weak == 0 {
			t.Errorf("added %d lines, want %d", added, lines)
		}
		if added, kept := to.imports(parts, false); added != 0 || kept != lines {
			t.Errorf("imported again: added %d, kept %d; want 0 and %d", added, kept, lines)
		}
		if diff := cmp.Diff(withoutHead(t, parts), withoutHead(t, to.export())); diff != "" {
			t.Errorf("exported again (-before +after):\n%s", diff)
		}
		to.livesOn(h)
	})
}

// withoutHead returns the lines of parts but headers and ends, whose seals and
// signatures differ.
func withoutHead(t *testing.T, parts [][]byte) []string {
	t.Helper()
	var out []string
	for line := range bytes.Lines(bytes.Join(parts, nil)) {
		if !bytes.HasPrefix(line, []byte(`{"kind":"ringback"`)) && !bytes.HasPrefix(line, []byte(`{"kind":"end"`)) {
			out = append(out, string(line))
		}
	}
	return out
}

// livesOn uses all that h names on w, to which it was moved.
func (w *world) livesOn(h house) {
	w.t.Helper()
	ctx := w.t.Context()
	c := again(w, func() (control.Caller, error) { c, _, err := w.control().CallerOf(ctx, h.key); return c, err })
	if c.Tenant != h.tenant.Tenant {
		w.t.Errorf("the API key is %q's, want %q's", c.Tenant, h.tenant.Tenant)
	}
	r := again(w, func() (gateway.Registration, error) { return w.control().Registration(ctx, c, h.narrow.ID) })
	if diff := cmp.Diff(h.narrow, r); diff != "" {
		w.t.Errorf("registration (-before +after):\n%s", diff)
	}
	w.chat(h.path, groupA, "after the move")
	w.within(6*time.Hour, "both registrations and the app get it", func() bool {
		return len(h.all.Succeeded()) == 1 && len(h.part.Succeeded()) == 1 && w.forms(h.form, "group_chat") == 1
	})
	for _, p := range h.all.Posts() {
		if !p.Valid || p.Header.Get("X-Tenant") != "sealed" || p.Text(w.t, "message") != "after the move" {
			w.t.Errorf("delivered %s with header %q, signature valid %v", p.Body, p.Header.Get("X-Tenant"), p.Valid)
		}
	}
	w.setHTTPCallback(c, "harbor crew", "1234", "7e0c2a9e-63c5-4d24-8f8e-6a2f0f1d9b10", "app.example") // the same registration again
	if got := kinds(w.t, w.export())["registration"]; got != 4 {
		w.t.Errorf("%d registrations, want the four that were moved", got)
	}
	id := ident.NewSource()
	taken := control.SourceChange{Provider: "tencent-chat", Name: ptr("again"), SDKAppID: ptr(uint64(1400000001)), Token: ptr("x")}
	if _, err := w.control().CreateSource(ctx, id, taken); !errors.Is(err, storage.ErrConflict) && w.weak == 0 {
		w.t.Errorf("a second source with the same SDKAppID: %v, want ErrConflict", err)
	}
}

func TestExportComesInPartsOfBoundedSize(t *testing.T) {
	scenarioOfDays(t, func(t *testing.T, w *world) {
		s, _ := w.smartBots()
		c := w.tenant(s, nil)
		match := gateway.Match{"group": nil}
		for n := range 150 {
			match["group"] = append(match["group"], fmt.Sprint(n, strings.Repeat("x", 1000)))
		}
		for n := range 16 { // 150 KiB each
			w.register(c, s, fmt.Sprintf("r%d.example", n), control.RegistrationChange{Match: &match})
		}
		parts := w.export()
		for n, part := range parts {
			if len(part) > 3<<20 {
				t.Errorf("part %d has %d bytes, want at most 3 MiB", n, len(part))
			}
		}
		if got := kinds(t, parts); len(parts) < 2 || got["registration"] != 16 || got["source"] != 1 || got["tenant"] != 1 {
			t.Errorf("%d parts with %v; want several, with each thing once", len(parts), got)
		}
		to := w.another()
		slices.Reverse(parts) // in any order
		to.imports(parts, false)
		if got, want := kinds(t, to.export()), kinds(t, parts); got["registration"] != want["registration"] {
			t.Errorf("%d registrations there, want %d", got["registration"], want["registration"])
		}
	})
}

// resigned signs lines anew, as whoever has the key ring could.
func resigned(t *testing.T, ring, lines string) string {
	t.Helper()
	keys, err := keyring.Parse(ring)
	if err != nil {
		t.Fatal(err)
	}
	whole := strings.SplitAfter(lines, "\n")
	before := strings.Join(whole[:len(whole)-2], "")
	return before + fmt.Sprintf(`{"kind":"end","data":{"next_cursor":"","signature":%q}}`, keys.Sign("export", []byte(before))) + "\n"
}

func TestImportWritesNothingThatItCannotRead(t *testing.T) {
	scenarioOfDays(t, func(t *testing.T, w *world) {
		h := w.house()
		parts := w.export()
		if len(parts) != 1 {
			t.Fatalf("%d parts, want one", len(parts))
		}
		whole := string(parts[0])
		sealed := h.whole.Endpoint.URL
		to := w.another()
		const ring = "1 a key ring of no fewer than 32 characters"
		refused := func(name, part string) {
			t.Helper()
			for _, check := range []bool{true, false} {
				_, err := to.transfer().Import(t.Context(), []byte(part), check)
				if !errors.Is(err, storage.ErrInvalid) || strings.Contains(err.Error(), sealed) {
					t.Errorf("%s, check %v: %v, want ErrInvalid", name, check, err)
				}
			}
			if got := kinds(t, to.export()); len(got) != 2 {
				t.Errorf("%s: wrote %v, want nothing", name, slices.Sorted(maps.Keys(got)))
			}
		}
		lines := strings.SplitAfter(whole, "\n")
		operators := `{"kind":"api_key","data":{"v":1,"id":"key_00000000000000000000000000","scope":"operator","hash":"` + strings.Repeat("0", 52) + `","created":"2026-01-01T00:00:00Z"}}` + "\n"
		for name, part := range map[string]string{
			"nothing":                "",
			"no header":              strings.Join(lines[1:], ""),
			"a line more":            lines[0] + operators + strings.Join(lines[1:], ""),
			"a line after the end":   whole + operators,
			"a line less":            lines[0] + strings.Join(lines[2:], ""),
			"no end":                 strings.Join(lines[:len(lines)-2], ""),
			"an end of before":       strings.Join(lines[:len(lines)-2], "") + `{"kind":"end","data":{"next_cursor":""}}` + "\n",
			"the end of another":     lines[0] + lines[len(lines)-2],
			"another cursor":         strings.Replace(whole, `"next_cursor":""`, `"next_cursor":"e30"`, 1),
			"a cut line":             whole[:len(whole)-20],
			"signed by another ring": resigned(t, "1 another key ring of no fewer than 32 characters", whole),
		} {
			refused(name, part)
		}
		for name, change := range map[string]struct{ old, new string }{
			"another version":         {`"version":1`, `"version":2`},
			"a newer row":             {`{"v":1`, `{"v":9`},
			"an unknown kind":         {`{"kind":"tenant"`, `{"kind":"delivery"`},
			"an id that is no id":     {h.whole.ID, "reg_#"},
			"a secret of another row": {sealed, h.narrow.Endpoint.URL},
			"an unknown provider":     {`"provider":"smartbots"`, `"provider":"pigeon"`},
		} {
			refused(name, resigned(t, ring, strings.Replace(whole, change.old, change.new, 1)))
		}
		for _, row := range []struct{ kind, field, value string }{
			{"source", "name", `""`}, {"source", "ignore_event_types", `["a*b"]`}, {"source", "allow", `["192.0.2.1"]`},
			{"callback_key", "label", `"a\u0000"`},
			{"tenant", "name", `""`}, {"tenant", "limits", `{"api_calls_per_second":-1}`}, {"tenant", "limits", `{"api_calls_per_second":1e999}`},
			{"api_key", "name", `"` + strings.Repeat("x", 201) + `"`}, {"api_key", "scope", `"all"`}, {"api_key", "hash", `"x"`},
			{"grant", "match", `{"pigeon":["x"]}`}, {"grant", "match", `{}`},
			{"group", "name", `"a\u202eb"`}, {"group", "uuid", `""`},
			{"registration", "rate", `1e-300`}, {"registration", "timeout", `1`}, {"registration", "concurrency", `-1`}, {"registration", "format", `"x"`},
			{"registration", "schedule", `"x"`}, {"registration", "match", `{"pigeon":["x"]}`}, {"registration", "event_types", `[]`}, {"registration", "state", `"removed"`},
		} {
			changed := strings.Split(whole, "\n")
			n := slices.IndexFunc(changed, func(line string) bool { return strings.HasPrefix(line, `{"kind":"`+row.kind+`"`) })
			var l struct {
				Kind string                     `json:"kind"`
				Data map[string]json.RawMessage `json:"data"`
			}
			if err := json.Unmarshal([]byte(changed[n]), &l); err != nil {
				t.Fatal(err)
			}
			l.Data[row.field] = json.RawMessage("0")
			data, _ := json.Marshal(l)
			changed[n] = strings.Replace(string(data), `"`+row.field+`":0`, `"`+row.field+`":`+row.value, 1)
			refused(row.kind+" "+row.field+" "+row.value, resigned(t, ring, strings.Join(changed, "\n")))
		}
		to.restartWith("1 another key ring of no fewer than 32 characters", nil)
		if _, err := to.transfer().Import(t.Context(), parts[0], false); !errors.Is(err, storage.ErrInvalid) {
			t.Errorf("import under another key ring: %v, want ErrInvalid", err)
		}
		to.restartWith("2 another key ring of no fewer than 32 characters\n"+ring, nil)
		if added, kept := to.imports(parts, false); added+kept == 0 {
			t.Error("import under a ring whose older key is that of the export: nothing")
		}
		if _, _, err := w.transfer().Export(context.Background(), "nonsense!"); !errors.Is(err, storage.ErrInvalid) {
			t.Errorf("export from a cursor that is none: %v, want ErrInvalid", err)
		}
	})
}

// TestGatewayMovesFromOneMachineToAWSAndBack moves all between the backends, and
// uses it in each place.
func TestGatewayMovesFromOneMachineToAWSAndBack(t *testing.T) {
	proofs.Long(t)
	onAWS(t, func(t *testing.T, aws *cloudtest.Backend) {
		w := newWorld(t, 0)
		h := w.house()
		parts := w.export()
		there := newWorldOn(t, aws)
		there.endpoints.At = w.endpoints.At
		if added, kept := there.imports(parts, false); added != 17 || kept != 0 {
			t.Fatalf("on AWS: added %d, kept %d; want 17 and 0", added, kept)
		}
		if diff := cmp.Diff(withoutHead(t, parts), withoutHead(t, there.export())); diff != "" {
			t.Errorf("exported from AWS (-before +after):\n%s", diff)
		}
		there.livesOn(h)
		h.form = there.endpoints.At["app.example"] // it was set there again
		for _, e := range []*gatewaytest.Endpoint{h.all, h.part, h.form} {
			e.Forget()
		}
		h.narrow = again(there, func() (gateway.Registration, error) {
			return there.control().Registration(t.Context(), h.tenant, h.narrow.ID)
		})
		back := w.another()
		back.imports(there.export(), false)
		back.livesOn(h)
	})
}
