package control

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"ringback/shared/gateway"
	"ringback/shared/storage"
)

// A betweenStore has another do something before its n-th call.
type betweenStore struct {
	storage.Store
	n    int
	then func()
}

func (s *betweenStore) call() {
	if s.n--; s.n == 0 {
		s.then()
	}
}

func (s *betweenStore) Get(ctx context.Context, keys ...storage.Key) ([]storage.Row, error) {
	s.call()
	return s.Store.Get(ctx, keys...)
}

func (s *betweenStore) Put(ctx context.Context, r storage.Row, was string) error {
	s.call()
	return s.Store.Put(ctx, r, was)
}

func (s *betweenStore) Delete(ctx context.Context, k storage.Key, was string) error {
	s.call()
	return s.Store.Delete(ctx, k, was)
}

func (s *betweenStore) List(ctx context.Context, q storage.Query) (storage.Page, error) {
	s.call()
	return s.Store.List(ctx, q)
}

// interleaved does a and b, each time anew on what prepare makes, with b between any
// two Store calls of a, and judges what is left.
func (w *world) interleaved(what string, prepare func() (a, b, judge func())) {
	w.t.Helper()
	for n := 1; ; n++ {
		a, b, judge := prepare()
		s := &betweenStore{Store: w.Store.Store, n: n, then: b}
		w.Store.Store = s
		a()
		w.Store.Store = s.Store
		if s.n > 0 {
			if n < 4 {
				w.t.Errorf("%s: %d calls to the Store", what, n-1)
			}
			return
		}
		if judge(); w.t.Failed() {
			w.t.Fatalf("%s: before call %d", what, n)
		}
	}
}

func TestDeletedAPIKeyOpensNothingWhateverIsMadeMeanwhile(t *testing.T) {
	w := newWorld(t)
	s, c := w.granted("smartbots")
	id, texts, removed := "", []string(nil), error(nil)
	made := func(_ APIKey, text string, err error) {
		if texts = append(texts, text); known(err) != nil {
			t.Error(err)
		}
	}
	first := func() { id = w.ID("key"); texts = nil }
	create := func() { made(w.CreateAPIKey(t.Context(), c, id, APIKey{Scope: ScopeRead})) }
	rotate := func() { made(w.RotateAPIKey(t.Context(), c, "", id, time.Hour)) }
	rotateNow := func() { made(w.RotateAPIKey(t.Context(), c, "", id, 0)) }
	remove := func() { removed = w.DeleteAPIKey(t.Context(), c, "", id) }
	var of gateway.Group
	createOwner := func() {
		made(w.CreateAPIKey(t.Context(), Operator(), id, APIKey{Scope: ScopeGroupOwner, Group: of.ID}))
	}
	removeGroup := func() { removed = w.DeleteGroup(t.Context(), of.ID) }
	prepareOwner := func() { first(); of = w.group(s.ID, "group "+id); createOwner() }

	// open returns how many texts open the API; each must be of a listed key.
	open := func() (n int) {
		l, err := w.APIKey(t.Context(), c, "", id)
		for _, text := range texts {
			if _, k, called := w.CallerOf(t.Context(), text); called == nil {
				if n++; of.ID == "" && (err != nil || l.Hash != k.Hash && !slices.ContainsFunc(l.Old, func(o APIKey) bool { return o.Hash == k.Hash })) {
					t.Errorf("a key opens that is not listed: %+v, %v", l, err)
				}
			}
		}
		return n
	}
	none := func() {
		if n := open(); n > 0 || removed != nil {
			t.Errorf("delete: %v; %d texts open", removed, n)
		}
	}
	one := func() {
		if n := open(); n != 1 {
			t.Errorf("%d texts open, want 1", n)
		}
	}
	// What is made after the key was deleted is another key of that id, which can be deleted too.
	endable := func() {
		open()
		if removed = known(w.DeleteAPIKey(t.Context(), c, "", id)); !t.Failed() {
			none()
		}
	}
	for _, tt := range []struct {
		what        string
		before      func()
		a, b, judge func()
	}{
		{"rotate x delete", create, rotate, remove, none},
		{"delete x rotate", create, remove, rotate, none},
		{"create x delete", create, create, remove, endable},
		{"delete x create", create, remove, create, endable},
		{"rotate x rotate", create, rotateNow, rotateNow, one},
		{"create x create", create, create, create, one},
		{"create of an owner x delete of the group", prepareOwner, createOwner, removeGroup, none},
		{"delete of the group x create of an owner", prepareOwner, removeGroup, createOwner, none},
	} {
		w.interleaved(tt.what, func() (a, b, judge func()) {
			first()
			tt.before()
			return tt.a, tt.b, tt.judge
		})
	}
}

func TestDeletedCallbackURLIsGoneWhateverIsRotatedMeanwhile(t *testing.T) {
	w := newWorld(t)
	s := w.source(direct)
	id, removed := "", error(nil)
	rotate := func() {
		if _, _, err := w.RotateCallbackKey(t.Context(), s.ID, id, time.Hour); known(err) != nil {
			t.Error(err)
		}
	}
	remove := func() { removed = w.DeleteCallbackKey(t.Context(), s.ID, id) }
	holds := func() (endless int, all string) {
		keys, err := w.callbackKeys(t.Context(), s.ID)
		w.OK(err)
		for _, k := range keys {
			if k.ID == id {
				all += fmt.Sprintf("%+v ", k.CallbackKey)
				if k.Until.IsZero() {
					endless++
				}
			}
		}
		return endless, all
	}
	none := func() {
		if _, all := holds(); all != "" || removed != nil {
			t.Errorf("delete: %v; still there: %s", removed, all)
		}
	}
	one := func() {
		if n, all := holds(); n != 1 {
			t.Errorf("%d keys without end, want 1: %s", n, all)
		}
	}
	for _, tt := range []struct {
		what        string
		a, b, judge func()
	}{
		{"rotate x delete", rotate, remove, none},
		{"delete x rotate", remove, rotate, none},
		{"rotate x rotate", rotate, rotate, one},
	} {
		w.interleaved(tt.what, func() (a, b, judge func()) {
			id = w.ID("cbk")
			_, _, err := w.CreateCallbackKey(t.Context(), id, s.ID, "")
			w.OK(err)
			return tt.a, tt.b, tt.judge
		})
	}
}
