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
	"ringback/shared/test/gatewaytest"
)

func TestSourceHasAFirstCallbackURL(t *testing.T) {
	w := newWorld(t)
	s := w.source(direct)
	_, keys, next, err := w.CallbackKeys(t.Context(), s.ID, storage.PageRequest{})
	w.OK(err)
	if len(keys) != 1 || next != "" || keys[0].Label != "" || keys[0].Source != s.ID || !keys[0].Created.Equal(w.Now) || !keys[0].Until.IsZero() {
		t.Fatalf("CallbackKeys = %+v, %q, want one without label and end", keys, next)
	}
	url := gatewaytest.Must(w.CallbackURL(s, keys[0]))(w)
	want := "https://ringback.example/callbacks/direct/" + s.ID + "/"
	if secret, ok := strings.CutPrefix(url, want); !ok || len(secret) != 32 {
		t.Errorf("CallbackURL = %q, want %s and 32 characters", url, want)
	}
	if first := gatewaytest.Must(w.FirstCallbackURL(t.Context(), s))(w); first != url {
		t.Errorf("FirstCallbackURL = %q, want %q", first, url)
	}
	w.OK(w.DeleteCallbackKey(t.Context(), s.ID, keys[0].ID))
	if first, err := w.FirstCallbackURL(t.Context(), s); first != "" || err != nil {
		t.Errorf("FirstCallbackURL without keys = %q, %v, want none", first, err)
	}
	w.Store.FailAt(1)
	_, err = w.FirstCallbackURL(t.Context(), s)
	w.WantErr("FirstCallbackURL without a Store", err, storagetest.ErrBroken)
}

func TestFirstCallbackURLIsTheOldestThatIsNotReplaced(t *testing.T) {
	w := newWorld(t)
	s := w.source(direct)
	_, keys, _, err := w.CallbackKeys(t.Context(), s.ID, storage.PageRequest{})
	w.OK(err)
	var urls []string
	for n := range 12 { // their rows are sorted by the hash of their secrets
		w.Pass(time.Second)
		_, url, err := w.CreateCallbackKey(t.Context(), w.ID("cbk"), s.ID, fmt.Sprint(n))
		w.OK(err)
		urls = append(urls, url)
	}
	w.OK(w.DeleteCallbackKey(t.Context(), s.ID, keys[0].ID))
	if got := gatewaytest.Must(w.FirstCallbackURL(t.Context(), s))(w); got != urls[0] {
		t.Errorf("FirstCallbackURL = %q, want the one that was made first", got)
	}
	_, all, _, err := w.CallbackKeys(t.Context(), s.ID, storage.PageRequest{})
	w.OK(err)
	oldest := slices.MinFunc(all, func(a, b gateway.CallbackKey) int { return strings.Compare(a.ID, b.ID) })
	_, url, err := w.RotateCallbackKey(t.Context(), s.ID, oldest.ID, time.Hour)
	w.OK(err)
	if got := gatewaytest.Must(w.FirstCallbackURL(t.Context(), s))(w); got != url {
		t.Errorf("FirstCallbackURL = %q, want the one that was rotated in", got)
	}
}

func TestCallbackURLTellsItsLabel(t *testing.T) {
	w := newWorld(t)
	s := w.source(direct)
	id := w.ID("cbk")
	k, url, err := w.CreateCallbackKey(t.Context(), id, s.ID, "tenant 1")
	w.OK(err)
	if k.ID != id || k.Label != "tenant 1" || k.Source != s.ID || !k.Created.Equal(w.Now) {
		t.Errorf("CreateCallbackKey = %+v", k)
	}
	w.Callback(s, url, "", `{"message_uuid":"m","callback_event":"delivered"}`)
	if es := w.events(); len(es) != 1 || es[0].Label != "tenant 1" {
		t.Errorf("events of the callback: %+v, want one with the label", es)
	}
	w.Pass(time.Second)
	w.WantUnwritten("CreateCallbackKey again", func() {
		again, same, err := w.CreateCallbackKey(t.Context(), id, s.ID, "another")
		if w.WantErr("CreateCallbackKey again", err, nil); again != k || same != url {
			t.Errorf("CreateCallbackKey again = %+v, %q, want %+v, %q", again, same, k, url)
		}
	})
	_, other, err := w.CreateCallbackKey(t.Context(), w.ID("cbk"), s.ID, "")
	if w.WantErr("CreateCallbackKey of another", err, nil); other == url {
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
			_, url, err := w.CreateCallbackKey(t.Context(), w.ID("cbk"), tt.source, tt.label)
			if w.WantErr("CreateCallbackKey with "+tt.name, err, tt.want); (url == "") != (tt.want != nil) {
				t.Errorf("CreateCallbackKey with %s: URL %q", tt.name, url)
			}
			_, err = w.PutCallbackKey(t.Context(), w.ID("cbk"), tt.source, tt.label, secret)
			w.WantErr("PutCallbackKey with "+tt.name, err, tt.want)
		}
		if tt.want == nil {
			make()
			continue
		}
		w.WantUnwritten(tt.name, make)
	}
	for _, secret := range []string{"", strings.Repeat("s", 19), strings.Repeat("s", 65), strings.Repeat("S", 32), strings.Repeat("s", 31) + "/"} {
		w.WantUnwritten("secret "+secret, func() {
			_, err := w.PutCallbackKey(t.Context(), w.ID("cbk"), s.ID, "", secret)
			w.WantErr("PutCallbackKey with the secret "+secret, err, storage.ErrInvalid)
		})
	}
}

func TestCallbackKeyWithAGivenSecret(t *testing.T) {
	w := newWorld(t)
	s := w.source(direct)
	for _, secret := range []string{strings.Repeat("s", 20), strings.Repeat("7", 63) + "-"} {
		id := w.ID("cbk")
		url, err := w.PutCallbackKey(t.Context(), id, s.ID, "label", secret)
		if w.WantErr("PutCallbackKey", err, nil); url != "https://ringback.example/callbacks/direct/"+s.ID+"/"+secret {
			t.Errorf("PutCallbackKey = %q", url)
		}
		_, keys, _, err := w.CallbackKeys(t.Context(), s.ID, storage.PageRequest{})
		w.OK(err)
		i := slices.IndexFunc(keys, func(k gateway.CallbackKey) bool { return k.ID == id })
		if i < 0 || keys[i].Label != "label" || keys[i].Source != s.ID || gatewaytest.Must(w.CallbackURL(s, keys[i]))(w) != url || !keys[i].Created.Equal(w.Now) {
			t.Errorf("CallbackKeys = %+v, want one with the label and URL", keys)
		}
		w.Pass(time.Second)
		before, _ := w.Row(gateway.CallbackKeyKey(s.ID, secret))
		if again, err := w.PutCallbackKey(t.Context(), id, s.ID, "other", secret); err != nil || again != url {
			t.Errorf("PutCallbackKey again = %q, %v, want %q", again, err, url)
		}
		if after, _ := w.Row(gateway.CallbackKeyKey(s.ID, secret)); after.Rev != before.Rev {
			t.Error("PutCallbackKey again wrote the key anew")
		}
		_, err = w.PutCallbackKey(t.Context(), w.ID("cbk"), s.ID, "", secret)
		w.WantErr("PutCallbackKey of another with the secret", err, storage.ErrConflict)
	}
	n := 0
	w.WantFaultsReported("PutCallbackKey", func() storagetest.Operation {
		n++
		id, secret := w.ID("cbk"), fmt.Sprintf("secret-number-%012d", n)
		return storagetest.Operation{Do: func() error { return gatewaytest.ErrOf(w.PutCallbackKey(t.Context(), id, s.ID, "", secret)) }}
	})
}

func TestRotatedCallbackURLHoldsForTheOverlap(t *testing.T) {
	w := newWorld(t)
	s := w.source(direct)
	id := w.ID("cbk")
	_, first, err := w.CreateCallbackKey(t.Context(), id, s.ID, "label")
	w.OK(err)
	takes := func(what, url string, want bool) {
		t.Helper()
		reply := w.gw.Ingest(t.Context(), s.Provider, s.ID, url[strings.LastIndex(url, "/")+1:], postOf(w.Now))
		if got := reply.StatusCode/100 == 2; got != want {
			t.Errorf("%s: callback is taken: %v (%d), want %v", what, got, reply.StatusCode, want)
		}
	}
	for _, overlap := range []time.Duration{-1, MaxOverlap + 1} {
		w.WantUnwritten("overlap", func() {
			_, _, err := w.RotateCallbackKey(t.Context(), s.ID, id, overlap)
			w.WantErr(fmt.Sprint("RotateCallbackKey with an overlap of ", overlap), err, storage.ErrInvalid)
		})
	}
	w.Pass(time.Minute)
	var k gateway.CallbackKey
	var rotated string
	w.wantPublished("RotateCallbackKey", s.ID, true, func() {
		k, rotated, err = w.RotateCallbackKey(t.Context(), s.ID, id, time.Hour)
		w.OK(err)
	})
	if k.ID != id || k.Label != "label" || !k.Created.Equal(w.Now) || !k.Until.IsZero() {
		t.Errorf("RotateCallbackKey = %+v, want a new one without end", k)
	}
	_, keys, _, err := w.CallbackKeys(t.Context(), s.ID, storage.PageRequest{})
	w.OK(err)
	ends := 0
	for _, k := range keys {
		if k.ID == id && k.Until.Equal(w.Now.Add(time.Hour)) {
			ends++
		}
	}
	if len(keys) != 3 || ends != 1 {
		t.Errorf("CallbackKeys = %+v, want one that ends in 1h", keys)
	}
	if row, ok := w.Row(gateway.CallbackKeyKey(s.ID, first[strings.LastIndex(first, "/")+1:])); !ok || !row.Expires.Equal(w.Now.Add(time.Hour)) {
		t.Errorf("the old row expires at %v, want in 1h", row.Expires)
	}
	w.Pass(time.Hour - time.Millisecond)
	takes("the old URL at the end of the overlap", first, true)
	before, _ := w.Row(gateway.CallbackKeyKey(s.ID, first[strings.LastIndex(first, "/")+1:]))
	_, third, err := w.RotateCallbackKey(t.Context(), s.ID, id, 2*time.Hour) // the first keeps its end
	w.OK(err)
	if after, _ := w.Row(before.Key); after.Rev != before.Rev {
		t.Error("the key that ends before the overlap was written anew")
	}
	w.Pass(time.Millisecond)
	takes("the old URL after the overlap", first, false)
	takes("the second URL", rotated, true)
	takes("the third URL", third, true)
	_, keys, _, err = w.CallbackKeys(t.Context(), s.ID, storage.PageRequest{})
	w.OK(err)
	if len(keys) != 3 {
		t.Errorf("CallbackKeys after the overlap: %d, want 3", len(keys))
	}
	_, fourth, err := w.RotateCallbackKey(t.Context(), s.ID, id, MaxOverlap)
	w.WantErr("RotateCallbackKey with the longest overlap", err, nil)
	takes("the fourth URL", fourth, true)
	_, _, err = w.RotateCallbackKey(t.Context(), s.ID, w.ID("cbk"), 0)
	w.WantErr("RotateCallbackKey of no key", err, storage.ErrNotFound)
	_, _, err = w.RotateCallbackKey(t.Context(), ident.NewSource(), id, 0)
	w.WantErr("RotateCallbackKey of no source", err, storage.ErrNotFound)
}

func TestDeletedCallbackURLIsNotThere(t *testing.T) {
	w := newWorld(t)
	s := w.source(direct)
	id := w.ID("cbk")
	_, first, err := w.CreateCallbackKey(t.Context(), id, s.ID, "")
	w.OK(err)
	_, rotated, err := w.RotateCallbackKey(t.Context(), s.ID, id, time.Hour)
	w.OK(err)
	w.wantPublished("DeleteCallbackKey", s.ID, true, func() { w.OK(w.DeleteCallbackKey(t.Context(), s.ID, id)) })
	for _, url := range []string{first, rotated} {
		if w.Stored(gateway.CallbackKeyKey(s.ID, url[strings.LastIndex(url, "/")+1:])) {
			t.Error("a row of the deleted key is left")
		}
	}
	if _, keys, _, err := w.CallbackKeys(t.Context(), s.ID, storage.PageRequest{}); err != nil || len(keys) != 1 {
		t.Errorf("CallbackKeys = %+v, %v, want the first one alone", keys, err)
	}
	w.WantErr("DeleteCallbackKey again", w.DeleteCallbackKey(t.Context(), s.ID, id), storage.ErrNotFound)
	w.WantErr("DeleteCallbackKey of no source", w.DeleteCallbackKey(t.Context(), ident.NewSource(), id), storage.ErrNotFound)
	_, _, _, err = w.CallbackKeys(t.Context(), ident.NewSource(), storage.PageRequest{})
	w.WantErr("CallbackKeys of no source", err, storage.ErrNotFound)
}

func TestCallbackKeysAreListedByPages(t *testing.T) {
	w := newWorld(t)
	s := w.source(direct)
	want := []string{ident.From("cbk", time.Time{}, "first "+s.ID)}
	for range 4 {
		id := w.ID("cbk")
		_, _, err := w.CreateCallbackKey(t.Context(), id, s.ID, "")
		w.OK(err)
		want = append(want, id)
	}
	got := gatewaytest.IDs(pages(w, func(at storage.PageRequest) ([]gateway.CallbackKey, string, error) {
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
	w.WantFaultsReported("CreateCallbackKey", func() storagetest.Operation {
		id := w.ID("cbk")
		return storagetest.Operation{Do: func() error {
			_, _, err := w.CreateCallbackKey(t.Context(), id, s.ID, "")
			return err
		}}
	})
	w.WantFaultsReported("RotateCallbackKey", func() storagetest.Operation {
		id := w.ID("cbk")
		_, _, err := w.CreateCallbackKey(t.Context(), id, s.ID, "")
		w.OK(err)
		return storagetest.Operation{
			Do: func() error { _, _, err := w.RotateCallbackKey(t.Context(), s.ID, id, time.Hour); return err },
			Done: func() {
				_, keys, err := w.callbackKey(t.Context(), s.ID, id)
				w.OK(err)
				if open := slices.DeleteFunc(keys, func(k keptKey) bool { return !k.Until.IsZero() }); len(open) != 1 {
					t.Errorf("%d keys without end, want the new one alone", len(open))
				}
			},
		}
	})
	w.WantFaultsReported("DeleteCallbackKey", func() storagetest.Operation {
		id := w.ID("cbk")
		_, url, err := w.CreateCallbackKey(t.Context(), id, s.ID, "")
		w.OK(err)
		return storagetest.Operation{
			Do: func() error { return known(w.DeleteCallbackKey(t.Context(), s.ID, id)) },
			Done: func() {
				if w.Stored(gateway.CallbackKeyKey(s.ID, url[strings.LastIndex(url, "/")+1:])) {
					t.Error("the row of the deleted key is left")
				}
			},
		}
	})
	w.WantFaultsReported("CallbackKeys", func() storagetest.Operation {
		return storagetest.Operation{Do: func() error { _, _, _, err := w.CallbackKeys(t.Context(), s.ID, storage.PageRequest{}); return err }}
	})
}

func TestCallbackKeyOfANewerReleaseIsNotPassedOver(t *testing.T) {
	w := newWorld(t)
	s := w.source(direct)
	w.PutNewer(gateway.CallbackKeyKey(s.ID, "secret"))
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
	w.OK(err)
	if url, err := w.CallbackURL(s, keys[0]); err == nil || url != "" {
		t.Errorf("CallbackURL of another source's key = %q, %v, want an error", url, err)
	}
	w.Put(gateway.CallbackKeyKey(s.ID, "secret"), gateway.CallbackKey{ID: keys[0].ID, Source: s.ID, Sealed: keys[0].Sealed})
	if _, _, err := w.CreateCallbackKey(t.Context(), keys[0].ID, s.ID, ""); err == nil {
		t.Error("CreateCallbackKey again: no error, want that its secret is not opened")
	}
	w.WantErr("DeleteCallbackKey of one that is not opened", w.DeleteCallbackKey(t.Context(), s.ID, keys[0].ID), nil)
}

// postOf is a callback of direct.
func postOf(at time.Time) *provider.Callback {
	return &provider.Callback{
		Method: "POST", Header: map[string][]string{"Content-Type": {"application/json"}},
		Body: []byte(`{"message_uuid":"m","callback_event":"delivered"}`), Received: at,
	}
}
