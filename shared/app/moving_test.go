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
	"ringback/shared/storage"
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
	other.endpoints.at = w.endpoints.at
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
	all, part, form *endpoint // of whole, narrow and the app that was set by code
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
	scenario(t, func(t *testing.T, w *world) {
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

// withoutHead returns the lines of parts but headers, whose seals differ.
func withoutHead(t *testing.T, parts [][]byte) []string {
	t.Helper()
	var out []string
	for line := range bytes.Lines(bytes.Join(parts, nil)) {
		if !bytes.HasPrefix(line, []byte(`{"kind":"ringback"`)) {
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
		return len(h.all.accepted()) == 1 && len(h.part.accepted()) == 1 && w.forms(h.form, "group_chat") == 1
	})
	for _, p := range h.all.seen() {
		if !p.valid || p.header.Get("X-Tenant") != "sealed" || p.text(w.t, "message") != "after the move" {
			w.t.Errorf("delivered %s with header %q, signature valid %v", p.body, p.header.Get("X-Tenant"), p.valid)
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
	scenario(t, func(t *testing.T, w *world) {
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

func TestImportWritesNothingThatItCannotRead(t *testing.T) {
	scenario(t, func(t *testing.T, w *world) {
		h := w.house()
		whole := bytes.Join(w.export(), nil)
		sealed := h.whole.Endpoint.URL
		to := w.another()
		for name, part := range map[string]string{
			"nothing":                 "",
			"no header":               string(whole[bytes.IndexByte(whole, '\n')+1:]),
			"another version":         strings.Replace(string(whole), `"version":1`, `"version":2`, 1),
			"a newer row":             strings.Replace(string(whole), `{"v":1`, `{"v":9`, 1),
			"an unknown kind":         string(whole) + `{"kind":"delivery","data":{"v":1}}` + "\n",
			"a cut line":              string(whole[:len(whole)-20]),
			"an id that is no id":     strings.Replace(string(whole), h.whole.ID, "reg_#", 1),
			"a secret of another row": strings.Replace(string(whole), sealed, h.narrow.Endpoint.URL, 1),
			"an unknown provider":     strings.Replace(string(whole), `"provider":"smartbots"`, `"provider":"pigeon"`, 1),
		} {
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
		to.restartWith("1 another key ring of no fewer than 32 characters", nil)
		if _, err := to.transfer().Import(t.Context(), whole, false); !errors.Is(err, storage.ErrInvalid) {
			t.Errorf("import under another key ring: %v, want ErrInvalid", err)
		}
		if _, _, err := w.transfer().Export(context.Background(), "nonsense!"); !errors.Is(err, storage.ErrInvalid) {
			t.Errorf("export from a cursor that is none: %v, want ErrInvalid", err)
		}
	})
}

// TestGatewayMovesFromOneMachineToAWSAndBack moves all between the backends, and
// uses it in each place.
func TestGatewayMovesFromOneMachineToAWSAndBack(t *testing.T) {
	onAWS(t, func(t *testing.T, aws *cloudtest.Backend) {
		w := newWorld(t, 0)
		h := w.house()
		parts := w.export()
		there := newWorldOn(t, aws)
		there.endpoints.at = w.endpoints.at
		if added, kept := there.imports(parts, false); added != 17 || kept != 0 {
			t.Fatalf("on AWS: added %d, kept %d; want 17 and 0", added, kept)
		}
		if diff := cmp.Diff(withoutHead(t, parts), withoutHead(t, there.export())); diff != "" {
			t.Errorf("exported from AWS (-before +after):\n%s", diff)
		}
		there.livesOn(h)
		h.form = there.endpoints.at["app.example"] // it was set there again
		for _, e := range []*endpoint{h.all, h.part, h.form} {
			e.forget()
		}
		h.narrow = again(there, func() (gateway.Registration, error) {
			return there.control().Registration(t.Context(), h.tenant, h.narrow.ID)
		})
		back := w.another()
		back.imports(there.export(), false)
		back.livesOn(h)
	})
}
