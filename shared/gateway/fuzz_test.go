package gateway

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"ringback/shared/ident"
	"ringback/shared/provider"
	"ringback/shared/storage"
)

// FuzzShardCursor reads cursors of jobs that nobody gave out.
func FuzzShardCursor(f *testing.F) {
	f.Add("06h05bpdqi.reg_1", "reg_2", 10)
	f.Add("0 3 evt_1", "~", -1)
	f.Fuzz(func(t *testing.T, text, _ string, _ int) {
		shardCursor(text)
	})
}

// FuzzMatch wants that what a filter names is what it accepts, that no * reaches
// further than the end of a pattern, and that the index leads to a registration
// whenever it wants an event.
func FuzzMatch(f *testing.F) {
	f.Add("Bot.*", "Bot.OnGroupMessage", "bot", "@RBT#001", "@RBT#001")
	f.Add("*", "registration.failing", "group", "", "g")
	f.Add("a*b", "a*b", "label", "", "")
	f.Add("delivered", "delivered", "channel", strings.Repeat("x", 300), "SMS")
	kinds := []string{"group", "bot", "message"}
	f.Fuzz(func(t *testing.T, pattern, typ, kind, wanted, value string) {
		m := Match{kind: {wanted}}
		r := Registration{ID: "reg_1", Source: "src-00000001", Tenant: "ten_1", EventTypes: []string{pattern}, Match: m}
		errTypes, errMatch := CheckEventTypes(r.EventTypes), m.Check(kinds)
		for _, err := range []error{errTypes, errMatch} {
			if err != nil && !errors.Is(err, storage.ErrInvalid) {
				t.Errorf("check of %q and %q: %v, want ErrInvalid", pattern, m, err)
			}
		}
		if errTypes != nil || errMatch != nil {
			return
		}
		e := &provider.Event{Source: r.Source, Type: typ, Keys: map[string][]string{kind: {value}}}
		if slices.Contains(operational, typ) {
			if WantsType(r.EventTypes, typ) != (pattern == typ) {
				t.Errorf("%q wants %q", pattern, typ)
			}
			return
		}
		start, open := strings.CutSuffix(pattern, "*")
		named := typ == pattern || open && strings.HasPrefix(typ, start)
		if got, want := r.Wants(e), named && wanted == value; got != want {
			t.Fatalf("%q of %q wants %q of %q: %v, want %v", pattern, wanted, typ, value, got, want)
		}
		var v generation
		v.addPatterns(r.IndexEntries())
		for _, h := range r.IndexEntries() {
			k := storage.Key{Table: storage.Registrations, PK: indexPK(r.Source, h.RoutingKey), SK: h.Pattern + "#" + r.ID}
			if err := k.Check(); err != nil {
				t.Errorf("index entry %q: %v", h, err)
			}
		}
		if led := slices.ContainsFunc(v.postingsFor(e), func(h IndexEntry) bool { return slices.Contains(r.IndexEntries(), h) }); led != r.Wants(e) {
			t.Errorf("the index of %q leads to %q: %v, want %v", r.IndexEntries(), e.Keys, led, r.Wants(e))
		}
	})
}

// FuzzID wants that ids are read as they are made, and nothing else for one.
func FuzzID(f *testing.F) {
	f.Add("src-gpjqldv6", "acme", "key", int64(1760000000456))
	f.Add("evt_gpjqldv606h05act82h9ptv24r7q9o23h0bv7vhs8m6g", "", "", int64(-1))
	f.Add("dlv_06h05bpfn2m0eb4rm87ooq5ubggpjqldv606h05act82h9ptv24r7q9o23h0bv7vhs8m6g", "", "", int64(1)<<48)
	f.Fuzz(func(t *testing.T, text, label, key string, at int64) {
		if id, err := ident.Event(text, label, time.UnixMilli(at), key); err == nil {
			if source, err := ident.SourceOf(id); err != nil || source != text {
				t.Errorf("the source of %s is %q, %v, want %q", id, source, err, text)
			}
			if other, err := ident.Event(text, label+"x", time.UnixMilli(at), key); err != nil || other == id {
				t.Errorf("two labels have the id %s, %v", id, err)
			}
			const reg = "reg_00000000000000000000000000"
			if r, e, err := ident.SplitDelivery(ident.Delivery(reg, id)); err != nil || r != reg || e != id {
				t.Errorf("delivery of %s is that of %s and %s, %v", id, r, e, err)
			}
			if later, err := ident.Event(text, label, time.UnixMilli(at).Add(time.Hour), key); err != nil || claimOf(later) != claimOf(id) {
				t.Errorf("the natural key of %s and %s, %v, is claimed by two rows", id, later, err)
			}
		}
		if source, err := ident.SourceOf(text); err == nil {
			if _, err := ident.SourceNumber(source); err != nil || !strings.HasPrefix(text[len(ident.EventPrefix):], source[len("src-"):]) {
				t.Errorf("the source of %q is %q, %v", text, source, err)
			}
			if k, err := EventKey(text); err != nil || k.Check() != nil {
				t.Errorf("the row of %q is %v, %v", text, k, err)
			}
		}
		if r, e, err := ident.SplitDelivery(text); err == nil && ident.Delivery(r, e) != text {
			t.Errorf("%q is the delivery of %s and %s, whose id is %s", text, r, e, ident.Delivery(r, e))
		}
	})
}

func TestEqualEventsHaveOneID(t *testing.T) {
	source := ident.NewSource()
	id := func(label, key string, at time.Time) string {
		id, err := ident.Event(source, label, at, key)
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	if first, again := id("a", "bc", noon), id("a", "bc", noon); first != again {
		t.Error("the same event has two ids")
	}
	if id("a", "bc", noon) == id("ab", "c", noon) {
		t.Error("label and key run into each other")
	}
	if claimOf(id("", "k", noon)) != claimOf(id("", "k", noon.Add(time.Hour))) || claimOf(id("", "k", noon)) == claimOf(id("", "l", noon)) {
		t.Error("the row that claims a natural key is not one for each key")
	}
}

// claimOf returns the row that claims the natural key of an event.
func claimOf(id string) storage.Key {
	key, err := NaturalKeyKey(id)
	if err != nil {
		return storage.Key{}
	}
	return key
}

func TestRowOfNoEventIsRefused(t *testing.T) {
	for _, id := range []string{"", "evt_", anEventID(t) + "0"} {
		if _, err := EventKey(id); !errors.Is(err, storage.ErrInvalid) {
			t.Errorf("row of %q: %v, want ErrInvalid", id, err)
		}
		if key := claimOf(id); key != (storage.Key{}) {
			t.Errorf("%q claims the row %+v", id, key)
		}
	}
}
