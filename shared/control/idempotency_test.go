package control

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"ringback/shared/gateway"
	"ringback/shared/ident"
	"ringback/shared/keyring"
	"ringback/shared/storage"
	"ringback/shared/storage/storagetest"
	"ringback/shared/test/gatewaytest"
)

func TestCreateWithoutAKeyRunsEachTime(t *testing.T) {
	w := newWorld(t)
	made := map[string]bool{}
	for range 3 {
		w.WantUnwritten("without a key", func() {
			id, replayed, err := w.Idempotent(t.Context(), Operator(), Create{Prefix: "ten"}, func(id string) error { made[id] = true; return nil })
			if err != nil || replayed || !made[id] || !strings.HasPrefix(id, "ten_") {
				t.Errorf("Once without a key = %q, %v, %v", id, replayed, err)
			}
		})
	}
	if len(made) != 3 {
		t.Errorf("%d ids of 3 creates", len(made))
	}
	wrong := errors.New("wrong")
	_, _, err := w.Idempotent(t.Context(), Operator(), Create{Prefix: "ten"}, func(string) error { return wrong })
	w.WantErr("Once of what fails", err, wrong)
	id, _, err := w.Idempotent(t.Context(), Operator(), Create{Prefix: ident.SourcePrefix}, func(string) error { return nil })
	if _, wrong := ident.SourceNumber(id); err != nil || wrong != nil {
		t.Errorf("Once of a source = %q, %v, want the id of a source", id, err)
	}
}

func TestKeyedCreateRunsOnce(t *testing.T) {
	w := newWorld(t)
	tenant := Caller{Scope: ScopeFull, Tenant: "ten_1"}
	what := Create{Key: "k", Body: "POST /v1/tenants {}", Prefix: "ten"}
	runs := 0
	once := func(c Caller, what Create) (string, bool, error) {
		return w.Idempotent(t.Context(), c, what, func(string) error { runs++; return nil })
	}
	first, replayed, err := once(Operator(), what)
	if err != nil || replayed || runs != 1 {
		t.Fatalf("Once = %q, %v, %v", first, replayed, err)
	}
	for _, d := range []time.Duration{0, time.Minute, idempotencyTTL - time.Minute - time.Millisecond} {
		w.Pass(d)
		w.WantUnwritten("a repeat", func() {
			if id, replayed, err := once(Operator(), what); id != first || !replayed || err != nil || runs != 1 {
				t.Errorf("Once again = %q, %v, %v, want %q replayed", id, replayed, err, first)
			}
		})
	}
	if id, _, err := once(tenant, what); err != nil || runs != 2 || id == first {
		t.Errorf("Once of another caller = %q, %v, want another", id, err)
	}
	other := what
	other.Body = "another"
	if _, _, err := once(Operator(), other); !errors.Is(err, storage.ErrInvalid) || runs != 2 {
		t.Errorf("Once with another body: %v, want ErrInvalid", err)
	}
	w.Pass(time.Millisecond)
	if id, replayed, err := once(Operator(), what); err != nil || replayed || id == first || runs != 3 {
		t.Errorf("Once a day later = %q, %v, %v, want another", id, replayed, err)
	}
	if row, ok := w.Row(gateway.IdempotencyKey("operator", "k")); !ok || !row.Expires.Equal(w.Now.Add(idempotencyTTL)) {
		t.Errorf("the key is kept until %v, want a day", row.Expires)
	}
}

func TestIdempotencyKeyHasALength(t *testing.T) {
	w := newWorld(t)
	make := func(string) error { return nil }
	_, _, err := w.Idempotent(t.Context(), Operator(), Create{Key: strings.Repeat("k", MaxIdempotencyKey), Prefix: "ten"}, make)
	w.WantErr("Once with the longest key", err, nil)
	w.WantUnwritten("too long", func() {
		_, _, err = w.Idempotent(t.Context(), Operator(), Create{Key: strings.Repeat("k", MaxIdempotencyKey+1), Prefix: "ten"}, make)
		w.WantErr("Once with too long a key", err, storage.ErrInvalid)
	})
}

func TestCreateThatWasRefusedGivesItsKeyUp(t *testing.T) {
	w := newWorld(t)
	for i, answer := range []error{storage.ErrInvalid, storage.ErrNotFound, storage.ErrConflict, ErrLimit, ErrForbidden, storage.ErrTooLarge} {
		what := Create{Key: fmt.Sprint(i), Body: "wrong", Prefix: "ten"}
		id, replayed, err := w.Idempotent(t.Context(), Operator(), what, func(string) error { return fmt.Errorf("no: %w", answer) })
		if !errors.Is(err, answer) || replayed || id != "" {
			t.Errorf("Once of what is refused with %v = %q, %v, %v", answer, id, replayed, err)
		}
		if w.Stored(gateway.IdempotencyKey("operator", what.Key)) {
			t.Errorf("the key of a create that was refused with %v is kept", answer)
		}
		what.Body = "corrected"
		if _, replayed, err := w.Idempotent(t.Context(), Operator(), what, func(string) error { return nil }); err != nil || replayed {
			t.Errorf("Once, corrected after %v: %v, %v", answer, replayed, err)
		}
	}
}

func TestCreateThatCrashedIsDoneAgainWithItsID(t *testing.T) {
	w := newWorld(t)
	what := Create{Key: "k", Body: "body", Prefix: "ten"}
	crash := errors.New("crash")
	var ids []string
	_, _, err := w.Idempotent(t.Context(), Operator(), what, func(id string) error { ids = append(ids, id); return crash })
	w.WantErr("Once of what crashes", err, crash)
	if row, ok := w.Row(gateway.IdempotencyKey("operator", "k")); !ok || !row.Expires.Equal(w.Now.Add(idempotencyTTL)) {
		t.Errorf("the key of what crashed is kept until %v (%v), want a day", row.Expires, ok)
	}
	id, replayed, err := w.Idempotent(t.Context(), Operator(), what, func(id string) error { ids = append(ids, id); return nil })
	if err != nil || replayed || len(ids) != 2 || ids[0] != ids[1] || id != ids[0] {
		t.Errorf("Once after a crash = %q, %v, %v; made %v, want twice the same", id, replayed, err, ids)
	}
}

func TestCreateThatStillRunsIsNotRunBesideIt(t *testing.T) {
	w := newWorld(t)
	what := Create{Key: "k", Body: "body", Prefix: "ten"}
	runs := 0
	_, _, err := w.Idempotent(t.Context(), Operator(), what, func(id string) error {
		runs++
		if row, ok := w.Row(gateway.IdempotencyKey("operator", "k")); !ok || !row.Expires.Equal(w.Now.Add(idempotencyTTL)) {
			t.Errorf("while it runs its key is kept until %v, want a day", row.Expires)
		}
		w.Pass(idempotencyLease - time.Millisecond)
		_, replayed, err := w.Idempotent(t.Context(), Operator(), what, func(string) error { t.Error("it runs beside the first"); return nil })
		if w.WantErr("Once while the first runs", err, storage.ErrConflict); replayed {
			t.Error("Once while the first runs is replayed")
		}
		w.Pass(time.Millisecond)
		again, _, err := w.Idempotent(t.Context(), Operator(), what, func(string) error { runs++; return nil })
		if w.WantErr("Once after the lease of the first", err, nil); again != id {
			t.Errorf("Once after the lease = %q, want %q", again, id)
		}
		return nil
	})
	if w.WantErr("Once", err, nil); runs != 2 {
		t.Errorf("%d runs, want 2", runs)
	}
}

func TestFaultOfAKeyedCreateIsTold(t *testing.T) {
	w := newWorld(t)
	n := 0
	w.WantFaultsReported("Once", func() storagetest.Operation {
		n++
		what, runs := Create{Key: fmt.Sprint(n), Body: "body", Prefix: "ten"}, map[string]bool{}
		return storagetest.Operation{
			Do: func() error {
				w.Pass(idempotencyLease)
				_, _, err := w.Idempotent(t.Context(), Operator(), what, func(id string) error { runs[id] = true; return nil })
				return err
			},
			Done: func() {
				if len(runs) != 1 {
					t.Errorf("made under %d ids, want 1", len(runs))
				}
			},
		}
	})
	w.Store.FailAt(3) // Get and Put of the lease come before
	_, _, err := w.Idempotent(t.Context(), Operator(), Create{Key: "refused", Prefix: "ten"}, func(string) error { return ErrLimit })
	w.WantErr("Once whose key cannot be given up", err, storagetest.ErrBroken)
	w.WantErr("Once whose key cannot be given up", err, ErrLimit)
	w.Store.Heal()
	crash := errors.New("crash")
	w.Store.FailAt(3)
	_, _, err = w.Idempotent(t.Context(), Operator(), Create{Key: "crashed", Prefix: "ten"}, func(string) error { return crash })
	w.WantErr("Once whose lease cannot be given up", err, storagetest.ErrBroken)
	w.WantErr("Once whose lease cannot be given up", err, crash)
}

// TestOnceTellsNothingOfItsBody wants what is stored of a create to depend on the
// key ring, and a repeat to be known under its older keys and by a row of before.
func TestOnceTellsNothingOfItsBody(t *testing.T) {
	w := newWorld(t)
	what := Create{Key: "k", Body: "create-group code 4711", Prefix: "grp"}
	once := func(name string, want error) string {
		t.Helper()
		id, _, err := w.Idempotent(t.Context(), Operator(), what, func(string) error { return nil })
		w.WantErr(name, err, want)
		return id
	}
	first := once("the first call", nil)
	key := gateway.IdempotencyKey("operator", "k")
	row, _ := w.Row(key)
	o := gatewaytest.Must(storage.Decoded[IdempotencyRecord](row))(w)
	if o.Body == gateway.Digest(what.Body) {
		t.Error("the row holds a hash of the body, which can be guessed")
	}
	w.gw.Keys = gatewaytest.Must(keyring.Parse("2 another key of no fewer than 32 characters\n1 a key ring of no fewer than 32 characters"))(w)
	if again := once("again under another key", nil); again != first {
		t.Errorf("again under another key: %s, want %s", again, first)
	}
	what.Body = "create-group code 4712"
	once("another body", storage.ErrInvalid)
	o.Body = gateway.Digest(what.Body)
	w.Put(key, o)
	if again := once("again after a release that hashed", nil); again != first {
		t.Errorf("again after a release that hashed: %s, want %s", again, first)
	}
}
