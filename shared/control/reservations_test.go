package control

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"ringback/shared/gateway"
	"ringback/shared/storage"
	"ringback/shared/storage/storagetest"
)

func TestNameIsWhoseIsThere(t *testing.T) {
	w := newWorld(t)
	key := gateway.GroupNameKey("name")
	there := func(id string) storage.Key { return gateway.GroupKey(id) }
	claim := func(id string) error { return w.reserveName(t.Context(), key, id, there) }
	w.wantErr("a free name", claim("grp_1"), nil)
	w.wantUnwritten("again", func() { w.wantErr("the same once more", claim("grp_1"), nil) })
	w.wantErr("another's at once", claim("grp_2"), storage.ErrConflict)
	w.pass(unusedName - time.Millisecond)
	w.wantErr("another's, who may still come", claim("grp_2"), storage.ErrConflict)
	w.put(gateway.GroupKey("grp_1"), gateway.Group{ID: "grp_1"})
	w.pass(time.Hour)
	w.wantErr("another's, who is there", claim("grp_2"), storage.ErrConflict)
	w.ok(w.store.Delete(t.Context(), gateway.GroupKey("grp_1"), storage.AnyRev))
	w.wantErr("one whose owner is gone", claim("grp_2"), nil)
	if c, _, err := storage.Load[Reservation](t.Context(), w.store, key); err != nil || c.ID != "grp_2" || !c.At.Equal(w.now) {
		t.Errorf("the name is %+v's (%v), want grp_2's from now on", c, err)
	}
	w.wantErr("FreeName by another", w.FreeName(t.Context(), key, "grp_1"), nil)
	if !w.stored(key) {
		t.Error("FreeName by another freed the name")
	}
	w.wantErr("FreeName", w.FreeName(t.Context(), key, "grp_2"), nil)
	if w.stored(key) {
		t.Error("FreeName did not free the name")
	}
	w.wantErr("FreeName again", w.FreeName(t.Context(), key, "grp_2"), nil)
}

func TestNameThatTookItsMinuteIsFree(t *testing.T) {
	w := newWorld(t)
	key := gateway.GroupNameKey("name")
	w.ok(w.reserveName(t.Context(), key, "grp_1", gateway.GroupKey))
	w.pass(unusedName)
	w.wantErr("a name that nobody used for a minute", w.reserveName(t.Context(), key, "grp_2", gateway.GroupKey), nil)
}

func TestFaultWhileANameIsTakenIsTold(t *testing.T) {
	w := newWorld(t)
	key := gateway.GroupNameKey("name")
	w.wantFaultsTold("claimName of another's", func() storagetest.Operation {
		w.put(key, Reservation{ID: "grp_1", At: w.now.Add(-time.Hour)})
		return storagetest.Operation{Do: func() error { return w.reserveName(t.Context(), key, "grp_2", gateway.GroupKey) }}
	})
	w.wantFaultsTold("FreeName", func() storagetest.Operation {
		w.put(key, Reservation{ID: "grp_1", At: w.now})
		return storagetest.Operation{Do: func() error { return w.FreeName(t.Context(), key, "grp_1") }, Done: func() {
			if w.stored(key) {
				t.Error("the name is taken still")
			}
		}}
	})
	w.wantFaultsTold("ClaimGroupName", func() storagetest.Operation {
		return storagetest.Operation{Do: func() error { return w.ReserveGroupName(t.Context(), w.id("x"), "grp_1") }}
	})
}

func TestNameFreedWhileItIsTakenStaysTaken(t *testing.T) {
	w := newWorld(t)
	key := gateway.GroupNameKey("name")
	w.put(key, Reservation{ID: "grp_1", At: w.now})
	err := w.FreeName(t.Context(), key, "grp_1")
	w.wantErr("FreeName", err, nil)
	w.put(key, Reservation{ID: "grp_1", At: w.now})
	rival := &rivalStore{Store: w.store.Store, before: func() { w.put(key, Reservation{ID: "grp_2", At: w.now}) }}
	w.store.Store = rival
	w.wantErr("FreeName while another took it", w.FreeName(t.Context(), key, "grp_1"), storage.ErrConflict)
	if c, _, err := storage.Load[Reservation](t.Context(), w.store, key); err != nil || c.ID != "grp_2" {
		t.Errorf("the name is %+v's, %v, want grp_2's", c, err)
	}
}

func TestGroupNamesAreComparedFolded(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		same bool
	}{
		{"Club", "cLUB", true},
		{" Club\t", "club", true},
		{"C lub", "club", false},
		{"Straße", "STRAßE", true},
		{"ſ", "S", true},
		{"K", "k", true}, // Kelvin sign
		{"Σ", "ς", true},
		{"club", "clubs", false},
		{"\u00e9", "e\u0301", false}, // composed and not
	} {
		if got := FoldName(tt.a) == FoldName(tt.b); got != tt.same {
			t.Errorf("FoldName(%q) and of %q: the same %v, want %v", tt.a, tt.b, got, tt.same)
		}
	}
	if got := FoldName("club"); got != "CLUB" {
		t.Errorf("FoldName(club) = %q, want the smallest of each letter", got)
	}
	w := newWorld(t)
	w.ok(w.ReserveGroupName(t.Context(), "Club", "grp_1"))
	err := w.ReserveGroupName(t.Context(), " cLUB", "grp_2")
	if w.wantErr("ClaimGroupName of another's", err, storage.ErrConflict); err == nil || !strings.HasPrefix(err.Error(), "name: ") {
		t.Errorf("ClaimGroupName of another's: %v, want it to say that it is the name", err)
	}
}

func TestGroupThatIsRemovedIsNotThere(t *testing.T) {
	w := newWorld(t)
	s := w.source(gateway.SmartBots)
	of := w.group(s.ID, "club")
	if got, err := w.LiveGroup(t.Context(), of.ID); err != nil || got.Name != "club" {
		t.Errorf("LiveGroup = %+v, %v", got, err)
	}
	_, err := w.LiveGroup(t.Context(), "grp_9")
	w.wantErr("LiveGroup of none", err, storage.ErrNotFound)
	of.Removed = true
	w.put(gateway.GroupKey(of.ID), of)
	_, err = w.LiveGroup(t.Context(), of.ID)
	w.wantErr("LiveGroup of a removed one", err, storage.ErrNotFound)
	w.store.FailAt(1)
	if _, err = w.LiveGroup(t.Context(), of.ID); !errors.Is(err, storagetest.ErrBroken) || errors.Is(err, storage.ErrNotFound) {
		t.Errorf("LiveGroup without a Store: %v", err)
	}
}

// TestNamesHoldNothingUnseen gives what people name a text that looks like another.
func TestNamesHoldNothingUnseen(t *testing.T) {
	w := newWorld(t)
	s, c := w.granted(gateway.SmartBots)
	r := w.register(c, s.ID, RegistrationChange{})
	for name, set := range map[string]func(text string) error{
		"tenant": func(text string) error {
			return second(w.ChangeTenant(t.Context(), c.Tenant, TenantChange{Name: &text}))
		},
		"source": func(text string) error { return second(w.ChangeSource(t.Context(), s.ID, SourceChange{Name: &text})) },
		"key": func(text string) error {
			_, _, err := w.CreateAPIKey(t.Context(), c, w.id("key"), APIKey{Scope: ScopeRead, Name: text})
			return err
		},
		"description": func(text string) error {
			return second(w.ChangeRegistration(t.Context(), c, r.ID, 0, RegistrationChange{Description: &text}))
		},
		"group": func(text string) error {
			return CheckGroup(gateway.Group{Name: text, UUID: "5b1f0000-0000-4000-8000-000000000001"})
		},
	} {
		for _, text := range []string{"a", "Ä ß 日本語 😀 e\u0301", "a-b_c (d), \"e\""} {
			w.wantErr(name+" "+text, set(text), nil)
		}
		for _, text := range []string{"a\nb", "a\x00b", "a\u0085b", "a\u200bb", "a\u202eb", "a\u00a0b", "a\u2028b", "a\ufeffb", "a\u00adb", "a\xffb", "a\tb"} {
			w.wantErr(fmt.Sprintf("%s %q", name, text), set(text), storage.ErrInvalid)
		}
	}
}
