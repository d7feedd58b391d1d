package gateway_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"ringback/shared/control"
	"ringback/shared/egress"
	"ringback/shared/embedded"
	"ringback/shared/gateway"
	"ringback/shared/ident"
	"ringback/shared/keyring"
	"ringback/shared/provider/all"
	"ringback/shared/storage"
	"ringback/shared/storage/storagetest"
	"ringback/shared/test/proofs"
	"ringback/shared/transfer"
)

// newGateway returns a gateway on the embedded backend, weakened with seed
// unless that is 0.
func newGateway(t *testing.T, seed uint64) *gateway.Gateway {
	t.Helper()
	db, err := embedded.Open(t.Context(), t.TempDir(), embedded.Options{Relaxed: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	keys, err := keyring.Parse("1 a key ring of no fewer than 32 characters")
	if err != nil {
		t.Fatal(err)
	}
	c := gateway.Config{
		Store: db, Queue: db, Keys: keys, Providers: all.Providers(), PublicURL: "https://ringback.example",
		Egress: &egress.Client{}, SingleProcess: true,
	}
	if seed != 0 {
		c.Store, c.Queue = storagetest.Weaken(db, db, seed)
	}
	return made(t, c)
}

// made returns the gateway of c.
func made(t testing.TB, c gateway.Config) *gateway.Gateway {
	t.Helper()
	g, err := gateway.New(c)
	if err != nil {
		t.Fatal(err)
	}
	g.Steps = transfer.Steps(g)
	return g
}

// insist calls f until it returns nil or an answer; a call that failed may be
// repeated.
func insist[T any](t *testing.T, f func() (T, error)) T {
	t.Helper()
	for range 200 {
		v, err := f()
		if err == nil {
			return v
		}
		if !errors.Is(err, storagetest.ErrWeak) {
			t.Fatal(err)
		}
	}
	t.Fatal("200 calls failed")
	panic("unreachable")
}

// tenant makes a source of direct and a tenant with a grant of it.
func tenant(t *testing.T, g *gateway.Gateway) (c control.Caller, source string) {
	t.Helper()
	ctx := t.Context()
	name := "sms"
	s := insist(t, func() (gateway.Source, error) {
		return control.New(g).CreateSource(ctx, ident.NewSource(), control.SourceChange{Provider: "direct", Name: &name})
	})
	tn := insist(t, func() (gateway.Tenant, error) {
		tn, _, err := control.New(g).CreateTenant(ctx, ident.New("ten", time.Now()), "acme", gateway.Limits{})
		return tn, err
	})
	insist(t, func() (gateway.Grant, error) {
		return control.New(g).CreateGrant(ctx, ident.New("grt", time.Now()), s.ID, tn.ID, nil)
	})
	return control.Caller{Key: "key", Scope: control.ScopeFull, Tenant: tn.ID}, s.ID
}

func register(t *testing.T, g *gateway.Gateway, c control.Caller, source string) gateway.Registration {
	t.Helper()
	url := "https://tenant.example/"
	return insist(t, func() (gateway.Registration, error) {
		r, _, err := control.New(g).CreateRegistration(t.Context(), c, ident.New("reg", time.Now()), source, control.RegistrationChange{URL: &url})
		return r, err
	})
}

// TestMatchEntriesAreNeverMissing has changes of one registration take match
// values away and bring them back, at the same time, on a Store that forgets to
// say what it has done.
func TestMatchEntriesAreNeverMissing(t *testing.T) {
	proofs.Long(t)
	for _, seed := range []uint64{0, 1, 2, 3} {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			g := newGateway(t, seed)
			c, source := tenant(t, g)
			r := register(t, g, c, source)
			values := []string{"a", "b", "c"}
			var wg sync.WaitGroup
			for n := range 4 {
				wg.Go(func() {
					dice := rand.New(rand.NewPCG(seed, uint64(n)))
					for range 15 {
						m := gateway.Match{"status": {values[dice.IntN(3)]}}
						if extra := values[dice.IntN(3)]; !slices.Contains(m["status"], extra) {
							m["status"] = append(m["status"], extra)
						}
						_, err := control.New(g).ChangeRegistration(t.Context(), c, r.ID, 0, control.RegistrationChange{Match: &m})
						if err != nil && !errors.Is(err, storagetest.ErrWeak) && !errors.Is(err, storage.ErrConflict) {
							t.Error(err)
						}
						checkEntries(t, g, c, r.ID)
					}
				})
			}
			wg.Wait()
		})
	}
}

// checkEntries fails the test if an entry is missing that the registration
// needs, unless the registration is changed meanwhile.
func checkEntries(t *testing.T, g *gateway.Gateway, c control.Caller, id string) {
	before, err := control.New(g).Registration(t.Context(), c, id)
	if err != nil {
		return
	}
	keys := gateway.Hints(before)
	rows, err := g.Store.Get(t.Context(), keys...)
	if err != nil {
		return
	}
	after, err := control.New(g).Registration(t.Context(), c, id)
	if err == nil && after.Rev == before.Rev && len(rows) < len(keys) {
		t.Errorf("at revision %d %d of %d match entries are there", before.Rev, len(rows), len(keys))
	}
}

func TestRemovedRegistrationHasNoMatchEntries(t *testing.T) {
	g := newGateway(t, 0)
	c, source := tenant(t, g)
	r := register(t, g, c, source)
	keys := gateway.Hints(r)
	if err := control.New(g).DeleteRegistration(t.Context(), c, r.ID); err != nil {
		t.Fatal(err)
	}
	if rows, err := g.Store.Get(t.Context(), keys...); err != nil || len(rows) != 0 {
		t.Errorf("%d of %d match entries are left (%v), want none", len(rows), len(keys), err)
	}
}

func TestCreateThatCrashedIsRepeatedWithTheSameID(t *testing.T) {
	g := newGateway(t, 0)
	now := time.Now()
	g.Now = func() time.Time { return now }
	ctx, c := t.Context(), control.Operator()
	what := control.Create{Key: "k", Body: "body", Prefix: "ten"}
	var made []string
	crash := errors.New("crash")
	_, _, err := control.New(g).Idempotent(ctx, c, what, func(id string) error {
		made = append(made, id)
		if _, _, err := control.New(g).Idempotent(ctx, c, what, func(string) error { t.Error("made twice at once"); return nil }); !errors.Is(err, storage.ErrConflict) {
			t.Errorf("the same call meanwhile: %v, want ErrConflict", err)
		}
		return crash
	})
	if !errors.Is(err, crash) {
		t.Fatalf("Once: %v, want the crash", err)
	}
	make := func(id string) error { made = append(made, id); return nil }
	id, replayed, err := control.New(g).Idempotent(ctx, c, what, make)
	if err != nil || replayed || id != made[0] {
		t.Errorf("after the crash: %q, %v, %v; want %q made anew", id, replayed, err, made[0])
	}
	if id, replayed, err = control.New(g).Idempotent(ctx, c, what, make); err != nil || !replayed || id != made[0] {
		t.Errorf("after the answer: %q, %v, %v; want %q replayed", id, replayed, err, made[0])
	}
	other := what
	other.Body = "another"
	if _, _, err = control.New(g).Idempotent(ctx, c, other, make); !errors.Is(err, storage.ErrInvalid) {
		t.Errorf("another body: %v, want ErrInvalid", err)
	}
	now = now.Add(25 * time.Hour)
	if id, replayed, err = control.New(g).Idempotent(ctx, c, what, make); err != nil || replayed || id == made[0] {
		t.Errorf("a day later: %q, %v, %v; want another id", id, replayed, err)
	}
	if len(made) != 3 {
		t.Errorf("made %d times, want 3", len(made))
	}
}

func TestSDKAppIDOfACreateThatCrashedIsFreed(t *testing.T) {
	g := newGateway(t, 0)
	now := time.Now()
	g.Now = func() time.Time { return now }
	name, app := "chat", uint64(1400000001)
	ch := control.SourceChange{Provider: "tencent-chat", Name: &name, SDKAppID: &app}
	ctx, cancel := context.WithCancel(t.Context())
	g.Store = &failing{Store: g.Store, after: 2, fail: cancel} // the name is taken, the source is not there
	if _, err := control.New(g).CreateSource(ctx, ident.NewSource(), ch); err == nil {
		t.Fatal("the crash did not happen")
	}
	g.Store = g.Store.(*failing).Store
	if _, err := control.New(g).CreateSource(t.Context(), ident.NewSource(), ch); !errors.Is(err, storage.ErrConflict) {
		t.Errorf("at once: %v, want ErrConflict: the first may be under way", err)
	}
	now = now.Add(2 * time.Minute)
	if _, err := control.New(g).CreateSource(t.Context(), ident.NewSource(), ch); err != nil {
		t.Errorf("two minutes later: %v", err)
	}
	if _, err := control.New(g).CreateSource(t.Context(), ident.NewSource(), ch); !errors.Is(err, storage.ErrConflict) {
		t.Errorf("a second source of the SDKAppID: %v, want ErrConflict", err)
	}
}

// failing is a Store whose process ends at the n-th Put.
type failing struct {
	storage.Store
	after int
	fail  func()
}

func (f *failing) Put(ctx context.Context, r storage.Row, was string) error {
	if f.after--; f.after < 1 {
		f.fail()
		return errors.New("the process ended")
	}
	return f.Store.Put(ctx, r, was)
}
