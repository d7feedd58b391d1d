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
	"ringback/shared/test/gatewaytest"
)

func TestNameIsWhoseIsThere(t *testing.T) {
	w := newWorld(t)
	key := gateway.GroupNameKey("name")
	there := func(id string) storage.Key { return gateway.GroupKey(id) }
	claim := func(id string) error { return w.reserveName(t.Context(), key, id, there) }
	w.WantErr("a free name", claim("grp_1"), nil)
	w.WantUnwritten("again", func() { w.WantErr("the same once more", claim("grp_1"), nil) })
	w.WantErr("another's at once", claim("grp_2"), storage.ErrConflict)
	w.Pass(unusedName - time.Millisecond)
	w.WantErr("another's, who may still come", claim("grp_2"), storage.ErrConflict)
	w.Put(gateway.GroupKey("grp_1"), gateway.Group{ID: "grp_1"})
	w.Pass(time.Hour)
	w.WantErr("another's, who is there", claim("grp_2"), storage.ErrConflict)
	w.OK(w.Store.Delete(t.Context(), gateway.GroupKey("grp_1"), storage.AnyRev))
	w.WantErr("one whose owner is gone", claim("grp_2"), nil)
	if c, _, err := storage.Load[Reservation](t.Context(), w.Store, key); err != nil || c.ID != "grp_2" || !c.At.Equal(w.Now) {
		t.Errorf("the name is %+v's (%v), want grp_2's from now on", c, err)
	}
	w.WantErr("FreeName by another", w.FreeName(t.Context(), key, "grp_1"), nil)
	if !w.Stored(key) {
		t.Error("FreeName by another freed the name")
	}
	w.WantErr("FreeName", w.FreeName(t.Context(), key, "grp_2"), nil)
	if w.Stored(key) {
		t.Error("FreeName did not free the name")
	}
	w.WantErr("FreeName again", w.FreeName(t.Context(), key, "grp_2"), nil)
}

func TestNameThatTookItsMinuteIsFree(t *testing.T) {
	w := newWorld(t)
	key := gateway.GroupNameKey("name")
	w.OK(w.reserveName(t.Context(), key, "grp_1", gateway.GroupKey))
	w.Pass(unusedName)
	w.WantErr("a name that nobody used for a minute", w.reserveName(t.Context(), key, "grp_2", gateway.GroupKey), nil)
}

func TestFaultWhileANameIsTakenIsTold(t *testing.T) {
	w := newWorld(t)
	key := gateway.GroupNameKey("name")
	w.WantFaultsReported("claimName of another's", func() storagetest.Operation {
		w.Put(key, Reservation{ID: "grp_1", At: w.Now.Add(-time.Hour)})
		return storagetest.Operation{Do: func() error { return w.reserveName(t.Context(), key, "grp_2", gateway.GroupKey) }}
	})
	w.WantFaultsReported("FreeName", func() storagetest.Operation {
		w.Put(key, Reservation{ID: "grp_1", At: w.Now})
		return storagetest.Operation{Do: func() error { return w.FreeName(t.Context(), key, "grp_1") }, Done: func() {
			if w.Stored(key) {
				t.Error("the name is taken still")
			}
		}}
	})
	w.WantFaultsReported("ClaimGroupName", func() storagetest.Operation {
		return storagetest.Operation{Do: func() error { return w.ReserveGroupName(t.Context(), w.ID("x"), "grp_1") }}
	})
}

func TestNameFreedWhileItIsTakenStaysTaken(t *testing.T) {
	w := newWorld(t)
	key := gateway.GroupNameKey("name")
	w.Put(key, Reservation{ID: "grp_1", At: w.Now})
	err := w.FreeName(t.Context(), key, "grp_1")
	w.WantErr("FreeName", err, nil)
	w.Put(key, Reservation{ID: "grp_1", At: w.Now})
	rival := &rivalStore{Store: w.Store.Store, before: func() { w.Put(key, Reservation{ID: "grp_2", At: w.Now}) }}
	w.Store.Store = rival
	w.WantErr("FreeName while another took it", w.FreeName(t.Context(), key, "grp_1"), storage.ErrConflict)
	if c, _, err := storage.Load[Reservation](t.Context(), w.Store, key); err != nil || c.ID != "grp_2" {
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
	w.OK(w.ReserveGroupName(t.Context(), "Club", "grp_1"))
	err := w.ReserveGroupName(t.Context(), " cLUB", "grp_2")
	if w.WantErr("ClaimGroupName of another's", err, storage.ErrConflict); err == nil || !strings.HasPrefix(err.Error(), "name: ") {
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
	w.WantErr("LiveGroup of none", err, storage.ErrNotFound)
	of.Removed = true
	w.Put(gateway.GroupKey(of.ID), of)
	_, err = w.LiveGroup(t.Context(), of.ID)
	w.WantErr("LiveGroup of a removed one", err, storage.ErrNotFound)
	w.Store.FailAt(1)
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
			return gatewaytest.ErrOf(w.ChangeTenant(t.Context(), c.Tenant, TenantChange{Name: &text}))
		},
		"source": func(text string) error {
			return gatewaytest.ErrOf(w.ChangeSource(t.Context(), s.ID, SourceChange{Name: &text}))
		},
		"key": func(text string) error {
			_, _, err := w.CreateAPIKey(t.Context(), c, w.ID("key"), APIKey{Scope: ScopeRead, Name: text})
			return err
		},
		"description": func(text string) error {
			return gatewaytest.ErrOf(w.ChangeRegistration(t.Context(), c, r.ID, 0, RegistrationChange{Description: &text}))
		},
		"group": func(text string) error {
			return CheckGroup(gateway.Group{Name: text, UUID: "5b1f0000-0000-4000-8000-000000000001"})
		},
	} {
		for _, text := range []string{"a", "Ä ß 日本語 😀 e\u0301", "a-b_c (d), \"e\""} {
			w.WantErr(name+" "+text, set(text), nil)
		}
		for _, text := range []string{"a\nb", "a\x00b", "a\u0085b", "a\u200bb", "a\u202eb", "a\u00a0b", "a\u2028b", "a\ufeffb", "a\u00adb", "a\xffb", "a\tb"} {
			w.WantErr(fmt.Sprintf("%s %q", name, text), set(text), storage.ErrInvalid)
		}
	}
}
