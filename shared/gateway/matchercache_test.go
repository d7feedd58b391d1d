package gateway

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"ringback/shared/ident"
	"ringback/shared/storage"
)

// reads is a Store that tells what is read.
type reads struct {
	storage.Store
	mu   sync.Mutex
	what []string // "list PK", or PK and SK
}

func (r *reads) Get(ctx context.Context, keys ...storage.Key) ([]storage.Row, error) {
	r.mu.Lock()
	for _, k := range keys {
		r.what = append(r.what, k.PK+" "+k.SK)
	}
	r.mu.Unlock()
	return r.Store.Get(ctx, keys...)
}

func (r *reads) List(ctx context.Context, q storage.Query) (storage.Page, error) {
	r.mu.Lock()
	r.what = append(r.what, "list "+q.PK)
	r.mu.Unlock()
	return r.Store.List(ctx, q)
}

// count returns how much was read of what begins so, but for healths.
func (r *reads) count(prefix string) (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, what := range r.what {
		if strings.HasPrefix(what, prefix) && !strings.HasSuffix(what, " H") {
			n++
		}
	}
	return n
}

// TestWhatIsKnownOfASourceIsReadOnceForEachOfItsVersions counts what events need
// to find their registrations.
func TestWhatIsKnownOfASourceIsReadOnceForEachOfItsVersions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rd := &reads{}
		y := newYard(t, FailureHistory, func(c *Config) { rd.Store, c.Store = c.Store, rd })
		r := y.register("tenant.example")
		for n := 1; n <= 3; n++ {
			for range 3 {
				if y.fanOut(1, y.arrival()) {
					t.Fatalf("the event comes again: %s", y.said.String())
				}
				time.Sleep(5 * time.Second)
			}
			lists, rows, sources, tenants := rd.count("list "+indexPK(y.source, "*")), rd.count(RegistrationKey(r.ID).PK), rd.count(SourceKey(y.source).PK+" S"), rd.count(TenantKey(y.tenant).PK)
			if lists != n || rows != n || sources != n || tenants != n {
				t.Errorf("after %d versions: %d lists, %d registrations, %d sources, %d tenants read", n, lists, rows, sources, tenants)
			}
			y.alter(r)
		}
		if y.made() != 9 {
			t.Errorf("%d POSTs, want 9", y.made())
		}
	})
}

// TestEventIDFloorParts ids by their time, 8 ms apart.
func TestEventIDFloorParts(t *testing.T) {
	source := ident.NewSource()
	at := time.UnixMilli(1_800_000_000_000)
	for _, step := range []time.Duration{8 * time.Millisecond, time.Second, time.Hour} {
		before, err := ident.Event(source, "", at, "zzz")
		if err != nil {
			t.Fatal(err)
		}
		then, err := ident.Event(source, "", at.Add(step), "aaa")
		if err != nil {
			t.Fatal(err)
		}
		if floor := ident.EventFloor(source, at.Add(step)); before >= floor || floor > then {
			t.Errorf("%v apart: %s, floor %s, %s; want them in this order", step, before, floor, then)
		}
	}
}

// TestSourceThatCannotBeReadIsNotThin asks for the history that a source keeps.
func TestSourceThatCannotBeReadIsNotThin(t *testing.T) {
	o := &outage{}
	y := newYard(t, FailureHistory, func(c *Config) { o.Store, c.Store = c.Store, o })
	a := y.arrival()
	if thin, err := y.attempter.matcher.failuresOnly(t.Context(), a, false); !thin || err != nil {
		t.Fatalf("thin = %v, %v; want it thin", thin, err)
	}
	if err := y.Publish(t.Context(), y.source); err != nil {
		t.Fatal(err)
	}
	for n := range 2 {
		o.begin(n, true)
		y.attempter.matcher.sources.Purge()
		y.attempter.matcher.generations.Purge()
		if _, err := y.attempter.matcher.failuresOnly(t.Context(), a, false); !errors.Is(err, storage.ErrUnavailable) {
			t.Errorf("call %d fails: thin says %v, want %v", n, err, storage.ErrUnavailable)
		}
	}
}
