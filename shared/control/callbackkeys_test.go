package control

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"ringback/shared/gateway"
	"ringback/shared/ident"
	"ringback/shared/provider"
	"ringback/shared/storage"
	"ringback/shared/storage/storagetest"
)

func TestSourceHasAFirstCallbackURL(t *testing.T) {
	w := newWorld(t)
	s := w.source(direct)
	_, keys, next, err := w.CallbackKeys(t.Context(), s.ID, storage.PageRequest{})
	w.ok(err)
	if len(keys) != 1 || next != "" || keys[0].Label != "" || keys[0].Source != s.ID || !keys[0].Created.Equal(w.now) || !keys[0].Until.IsZero() {
		t.Fatalf("CallbackKeys = %+v, %q, want one without label and end", keys, next)
	}
	url := must(w.CallbackURL(s, keys[0]))(w)
	want := "https://ringback.example/callbacks/direct/" + s.ID + "/"
	if secret, ok := strings.CutPrefix(url, want); !ok || len(secret) != 32 {
		t.Errorf("CallbackURL = %q, want %s and 32 characters", url, want)
	}
	if first := must(w.FirstCallbackURL(t.Context(), s))(w); first != url {
		t.Errorf("FirstCallbackURL = %q, want %q", first, url)
	}
	w.ok(w.DeleteCallbackKey(t.Context(), s.ID, keys[0].ID))
	if first, err := w.FirstCallbackURL(t.Context(), s); first != "" || err != nil {
		t.Errorf("FirstCallbackURL without keys = %q, %v, want none", first, err)
	}
	w.store.FailAt(1)
	_, err = w.FirstCallbackURL(t.Context(), s)
	w.wantErr("FirstCallbackURL without a Store", err, storagetest.ErrBroken)
}

func TestFirstCallbackURLIsTheOldestThatIsNotReplaced(t *testing.T) {
	w := newWorld(t)
	s := w.source(direct)
	_, keys, _, err := w.CallbackKeys(t.Context(), s.ID, storage.PageRequest{})
	w.ok(err)
	var urls []string
	for n := range 12 { // their rows are sorted by the hash of their secrets
		w.pass(time.Second)
		_, url, err := w.CreateCallbackKey(t.Context(), w.id("cbk"), s.ID, fmt.Sprint(n))
		w.ok(err)
		urls = append(urls, url)
	}
	w.ok(w.DeleteCallbackKey(t.Context(), s.ID, keys[0].ID))
	if got := must(w.FirstCallbackURL(t.Context(), s))(w); got != urls[0] {
		t.Errorf("FirstCallbackURL = %q, want the one that was made first", got)
	}
	_, all, _, err := w.CallbackKeys(t.Context(), s.ID, storage.PageRequest{})
	w.ok(err)
	oldest := slices.MinFunc(all, func(a, b gateway.CallbackKey) int { return strings.Compare(a.ID, b.ID) })
	_, url, err := w.RotateCallbackKey(t.Context(), s.ID, oldest.ID, time.Hour)
	w.ok(err)
	if got := must(w.FirstCallbackURL(t.Context(), s))(w); got != url {
		t.Errorf("FirstCallbackURL = %q, want the one that was rotated in", got)
	}
}

func TestCallbackURLTellsItsLabel(t *testing.T) {
	w := newWorld(t)
	s := w.source(direct)
	id := w.id("cbk")
	k, url, err := w.CreateCallbackKey(t.Context(), id, s.ID, "tenant 1")
	w.ok(err)
	if k.ID != id || k.Label != "tenant 1" || k.Source != s.ID || !k.Created.Equal(w.now) {
		t.Errorf("CreateCallbackKey = %+v", k)
	}
	w.callbackAt(s, url, `{"message_uuid":"m","callback_event":"delivered"}`)
	if es := w.events(); len(es) != 1 || es[0].Label != "tenant 1" {
		t.Errorf("events of the callback: %+v, want one with the label", es)
	}
	w.pass(time.Second)
	w.wantUnwritten("CreateCallbackKey again", func() {
		again, same, err := w.CreateCallbackKey(t.Context(), id, s.ID, "another")
		if w.wantErr("CreateCallbackKey again", err, nil); again != k || same != url {
			t.Errorf("CreateCallbackKey again = %+v, %q, want %+v, %q", again, same, k, url)
		}
	})
	_, other, err := w.CreateCallbackKey(t.Context(), w.id("cbk"), s.ID, "")
	if w.wantErr("CreateCallbackKey of another", err, nil); other == url {
		t.Error("two callback keys have one URL")
	}
}

func TestCallbackKeyThatCannotBeIsNotMade(t *testing.T) {
	w := newWorld(t)
	s := w.source(direct)
	secret := strings.Repeat("s", 32)
	for _, tt := range []struct {
		name          string
		source, label string
		want          error
	}{
		{"no such source", ident.NewSource(), "", storage.ErrNotFound},
		{"too long a label", s.ID, strings.Repeat("x", gateway.MaxName+1), storage.ErrInvalid},
		{"a label that is no text", s.ID, "\xff", storage.ErrInvalid},
		{"a label with a control character", s.ID, "a\nb", storage.ErrInvalid},
		{"the longest label", s.ID, strings.Repeat("x", gateway.MaxName), nil},
	} {
		make := func() {
			_, url, err := w.CreateCallbackKey(t.Context(), w.id("cbk"), tt.source, tt.label)
			if w.wantErr("CreateCallbackKey with "+tt.name, err, tt.want); (url == "") != (tt.want != nil) {
				t.Errorf("CreateCallbackKey with %s: URL %q", tt.name, url)
			}
			_, err = w.PutCallbackKey(t.Context(), w.id("cbk"), tt.source, tt.label, secret)
			w.wantErr("PutCallbackKey with "+tt.name, err, tt.want)
		}
		if tt.want == nil {
			make()
			continue
		}
		w.wantUnwritten(tt.name, make)
	}
	for _, secret := range []string{"", strings.Repeat("s", 19), strings.Repeat("s", 65), strings.Repeat("S", 32), strings.Repeat("s", 31) + "/"} {
		w.wantUnwritten("secret "+secret, func() {
			_, err := w.PutCallbackKey(t.Context(), w.id("cbk"), s.ID, "", secret)
			w.wantErr("PutCallbackKey with the secret "+secret, err, storage.ErrInvalid)
		})
	}
}

func TestCallbackKeyWithAGivenSecret(t *testing.T) {
	w := newWorld(t)
	s := w.source(direct)
	for _, secret := range []string{strings.Repeat("s", 20), strings.Repeat("7", 63) + "-"} {
		id := w.id("cbk")
		url, err := w.PutCallbackKey(t.Context(), id, s.ID, "label", secret)
		if w.wantErr("PutCallbackKey", err, nil); url != "https://ringback.example/callbacks/direct/"+s.ID+"/"+secret {
			t.Errorf("PutCallbackKey = %q", url)
		}
		_, keys, _, err := w.CallbackKeys(t.Context(), s.ID, storage.PageRequest{})
		w.ok(err)
		i := slices.IndexFunc(keys, func(k gateway.CallbackKey) bool { return k.ID == id })
		if i < 0 || keys[i].Label != "label" || keys[i].Source != s.ID || must(w.CallbackURL(s, keys[i]))(w) != url || !keys[i].Created.Equal(w.now) {
			t.Errorf("CallbackKeys = %+v, want one with the label and URL", keys)
		}
		w.pass(time.Second)
		before, _ := w.row(gateway.CallbackKeyKey(s.ID, secret))
		if again, err := w.PutCallbackKey(t.Context(), id, s.ID, "other", secret); err != nil || again != url {
			t.Errorf("PutCallbackKey again = %q, %v, want %q", again, err, url)
		}
		if after, _ := w.row(gateway.CallbackKeyKey(s.ID, secret)); after.Rev != before.Rev {
			t.Error("PutCallbackKey again wrote the key anew")
		}
		_, err = w.PutCallbackKey(t.Context(), w.id("cbk"), s.ID, "", secret)
		w.wantErr("PutCallbackKey of another with the secret", err, storage.ErrConflict)
	}
	n := 0
	w.wantFaultsTold("PutCallbackKey", func() storagetest.Operation {
		n++
		id, secret := w.id("cbk"), fmt.Sprintf("secret-number-%012d", n)
		return storagetest.Operation{Do: func() error { return second(w.PutCallbackKey(t.Context(), id, s.ID, "", secret)) }}
	})
}

func TestRotatedCallbackURLHoldsForTheOverlap(t *testing.T) {
	w := newWorld(t)
	s := w.source(direct)
	id := w.id("cbk")
	_, first, err := w.CreateCallbackKey(t.Context(), id, s.ID, "label")
	w.ok(err)
	takes := func(what, url string, want bool) {
		t.Helper()
		reply := w.gw.Ingest(t.Context(), s.Provider, s.ID, url[strings.LastIndex(url, "/")+1:], postOf(w.now))
		if got := reply.StatusCode/100 == 2; got != want {
			t.Errorf("%s: callback is taken: %v (%d), want %v", what, got, reply.StatusCode, want)
		}
	}
	for _, overlap := range []time.Duration{-1, MaxOverlap + 1} {
		w.wantUnwritten("overlap", func() {
			_, _, err := w.RotateCallbackKey(t.Context(), s.ID, id, overlap)
			w.wantErr(fmt.Sprint("RotateCallbackKey with an overlap of ", overlap), err, storage.ErrInvalid)
		})
	}
	w.pass(time.Minute)
	var k gateway.CallbackKey
	var rotated string
	w.wantPublished("RotateCallbackKey", s.ID, true, func() {
		k, rotated, err = w.RotateCallbackKey(t.Context(), s.ID, id, time.Hour)
		w.ok(err)
	})
	if k.ID != id || k.Label != "label" || !k.Created.Equal(w.now) || !k.Until.IsZero() {
		t.Errorf("RotateCallbackKey = %+v, want a new one without end", k)
	}
	_, keys, _, err := w.CallbackKeys(t.Context(), s.ID, storage.PageRequest{})
	w.ok(err)
	ends := 0
	for _, k := range keys {
		if k.ID == id && k.Until.Equal(w.now.Add(time.Hour)) {
			ends++
		}
	}
	if len(keys) != 3 || ends != 1 {
		t.Errorf("CallbackKeys = %+v, want one that ends in 1h", keys)
	}
	if row, ok := w.row(gateway.CallbackKeyKey(s.ID, first[strings.LastIndex(first, "/")+1:])); !ok || !row.Expires.Equal(w.now.Add(time.Hour)) {
		t.Errorf("the old row expires at %v, want in 1h", row.Expires)
	}
	w.pass(time.Hour - time.Millisecond)
	takes("the old URL at the end of the overlap", first, true)
	before, _ := w.row(gateway.CallbackKeyKey(s.ID, first[strings.LastIndex(first, "/")+1:]))
	_, third, err := w.RotateCallbackKey(t.Context(), s.ID, id, 2*time.Hour) // the first keeps its end
	w.ok(err)
	if after, _ := w.row(before.Key); after.Rev != before.Rev {
		t.Error("the key that ends before the overlap was written anew")
	}
	w.pass(time.Millisecond)
	takes("the old URL after the overlap", first, false)
	takes("the second URL", rotated, true)
	takes("the third URL", third, true)
	_, keys, _, err = w.CallbackKeys(t.Context(), s.ID, storage.PageRequest{})
	w.ok(err)
	if len(keys) != 3 {
		t.Errorf("CallbackKeys after the overlap: %d, want 3", len(keys))
	}
	_, fourth, err := w.RotateCallbackKey(t.Context(), s.ID, id, MaxOverlap)
	w.wantErr("RotateCallbackKey with the longest overlap", err, nil)
	takes("the fourth URL", fourth, true)
	_, _, err = w.RotateCallbackKey(t.Context(), s.ID, w.id("cbk"), 0)
	w.wantErr("RotateCallbackKey of no key", err, storage.ErrNotFound)
	_, _, err = w.RotateCallbackKey(t.Context(), ident.NewSource(), id, 0)
	w.wantErr("RotateCallbackKey of no source", err, storage.ErrNotFound)
}

func TestDeletedCallbackURLIsNotThere(t *testing.T) {
	w := newWorld(t)
	s := w.source(direct)
	id := w.id("cbk")
	_, first, err := w.CreateCallbackKey(t.Context(), id, s.ID, "")
	w.ok(err)
	_, rotated, err := w.RotateCallbackKey(t.Context(), s.ID, id, time.Hour)
	w.ok(err)
	w.wantPublished("DeleteCallbackKey", s.ID, true, func() { w.ok(w.DeleteCallbackKey(t.Context(), s.ID, id)) })
	for _, url := range []string{first, rotated} {
		if w.stored(gateway.CallbackKeyKey(s.ID, url[strings.LastIndex(url, "/")+1:])) {
			t.Error("a row of the deleted key is left")
		}
	}
	if _, keys, _, err := w.CallbackKeys(t.Context(), s.ID, storage.PageRequest{}); err != nil || len(keys) != 1 {
		t.Errorf("CallbackKeys = %+v, %v, want the first one alone", keys, err)
	}
	w.wantErr("DeleteCallbackKey again", w.DeleteCallbackKey(t.Context(), s.ID, id), storage.ErrNotFound)
	w.wantErr("DeleteCallbackKey of no source", w.DeleteCallbackKey(t.Context(), ident.NewSource(), id), storage.ErrNotFound)
	_, _, _, err = w.CallbackKeys(t.Context(), ident.NewSource(), storage.PageRequest{})
	w.wantErr("CallbackKeys of no source", err, storage.ErrNotFound)
}

func TestCallbackKeysAreListedByPages(t *testing.T) {
	w := newWorld(t)
	s := w.source(direct)
	want := []string{ident.From("cbk", time.Time{}, "first "+s.ID)}
	for range 4 {
		id := w.id("cbk")
		_, _, err := w.CreateCallbackKey(t.Context(), id, s.ID, "")
		w.ok(err)
		want = append(want, id)
	}
	got := idsOf(pages(w, func(at storage.PageRequest) ([]gateway.CallbackKey, string, error) {
		_, keys, next, err := w.CallbackKeys(t.Context(), s.ID, at)
		return keys, next, err
	}), func(k gateway.CallbackKey) string { return k.ID })
	slices.Sort(want)
	if slices.Sort(got); !slices.Equal(got, want) {
		t.Errorf("CallbackKeys = %v, want %v", got, want)
	}
}

func TestFaultWhileACallbackKeyIsMadeOrEndedIsTold(t *testing.T) {
	w := newWorld(t)
	s := w.source(direct)
	w.wantFaultsTold("CreateCallbackKey", func() storagetest.Operation {
		id := w.id("cbk")
		return storagetest.Operation{Do: func() error {
			_, _, err := w.CreateCallbackKey(t.Context(), id, s.ID, "")
			return err
		}}
	})
	w.wantFaultsTold("RotateCallbackKey", func() storagetest.Operation {
		id := w.id("cbk")
		_, _, err := w.CreateCallbackKey(t.Context(), id, s.ID, "")
		w.ok(err)
		return storagetest.Operation{
			Do: func() error { _, _, err := w.RotateCallbackKey(t.Context(), s.ID, id, time.Hour); return err },
			Done: func() {
				_, keys, err := w.callbackKey(t.Context(), s.ID, id)
				w.ok(err)
				if open := slices.DeleteFunc(keys, func(k keptKey) bool { return !k.Until.IsZero() }); len(open) != 1 {
					t.Errorf("%d keys without end, want the new one alone", len(open))
				}
			},
		}
	})
	w.wantFaultsTold("DeleteCallbackKey", func() storagetest.Operation {
		id := w.id("cbk")
		_, url, err := w.CreateCallbackKey(t.Context(), id, s.ID, "")
		w.ok(err)
		return storagetest.Operation{
			Do: func() error { return known(w.DeleteCallbackKey(t.Context(), s.ID, id)) },
			Done: func() {
				if w.stored(gateway.CallbackKeyKey(s.ID, url[strings.LastIndex(url, "/")+1:])) {
					t.Error("the row of the deleted key is left")
				}
			},
		}
	})
	w.wantFaultsTold("CallbackKeys", func() storagetest.Operation {
		return storagetest.Operation{Do: func() error { _, _, _, err := w.CallbackKeys(t.Context(), s.ID, storage.PageRequest{}); return err }}
	})
}

func TestCallbackKeyOfANewerReleaseIsNotPassedOver(t *testing.T) {
	w := newWorld(t)
	s := w.source(direct)
	w.newer(gateway.CallbackKeyKey(s.ID, "secret"))
	if url, err := w.FirstCallbackURL(t.Context(), s); err == nil {
		t.Errorf("FirstCallbackURL beside a key of a newer release = %q, want an error", url)
	}
	if _, _, _, err := w.CallbackKeys(t.Context(), s.ID, storage.PageRequest{}); err == nil {
		t.Error("CallbackKeys with one of a newer release: no error")
	}
}

func TestCallbackKeySealedForAnotherSourceIsNotOpened(t *testing.T) {
	w := newWorld(t)
	s, other := w.source(direct), w.source(direct)
	_, keys, _, err := w.CallbackKeys(t.Context(), other.ID, storage.PageRequest{})
	w.ok(err)
	if url, err := w.CallbackURL(s, keys[0]); err == nil || url != "" {
		t.Errorf("CallbackURL of another source's key = %q, %v, want an error", url, err)
	}
	w.put(gateway.CallbackKeyKey(s.ID, "secret"), gateway.CallbackKey{ID: keys[0].ID, Source: s.ID, Sealed: keys[0].Sealed})
	if _, _, err := w.CreateCallbackKey(t.Context(), keys[0].ID, s.ID, ""); err == nil {
		t.Error("CreateCallbackKey again: no error, want that its secret is not opened")
	}
	w.wantErr("DeleteCallbackKey of one that is not opened", w.DeleteCallbackKey(t.Context(), s.ID, keys[0].ID), nil)
}

// postOf is a callback of direct.
func postOf(at time.Time) *provider.Callback {
	return &provider.Callback{
		Method: "POST", Header: map[string][]string{"Content-Type": {"application/json"}},
		Body: []byte(`{"message_uuid":"m","callback_event":"delivered"}`), Received: at,
	}
}
