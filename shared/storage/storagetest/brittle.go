package storagetest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"ringback/shared/storage"
)

// An Operation calls a Store; Done checks what must hold after it.
type Operation struct {
	Do   func() error
	Done func() // nil: nothing to check
}

// WantFaultsReported does an Operation on s, and again for each of its calls to the Store, prepared afresh, with that
// call failing: the Operation must then return the call's error, and complete when it is repeated.
func WantFaultsReported(t *testing.T, s *Brittle, what string, prepare func() Operation) {
	t.Helper()
	want := func(what string, err, want error) {
		t.Helper()
		if !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", what, err, want)
		}
	}
	calls := 0
	for n := 0; n <= calls; n++ {
		d := prepare()
		s.FailAt(n)
		err := d.Do()
		failed := s.Heal()
		if n == 0 {
			calls = s.calls
		}
		if failed != "" {
			want(fmt.Sprintf("%s, whose call %d (%s) fails", what, n, failed), err, ErrBroken)
			what := fmt.Sprintf("%s again, whose call %d (%s) had failed", what, n, failed)
			err = d.Do()
			want(what, err, nil)
		} else {
			want(what, err, nil)
		}
		if err == nil && d.Done != nil {
			d.Done()
		}
		if t.Failed() {
			return
		}
	}
	if calls == 0 {
		t.Errorf("%s: no call to the Store", what)
	}
}

// ErrBroken is the error of a failing call of a Brittle.
var ErrBroken = errors.New("the Store does not answer")

// A Brittle is a Store of which one call fails, even if it is repeated. Get returns rows in another order than asked.
type Brittle struct {
	storage.Store
	mu     sync.Mutex
	calls  int
	fails  int // number of the failing call; 0: none
	failed string
	last   string
	FailOn string // prefix of calls that fail; empty: none
	writes int
	OnPut  func(storage.Row) // before each Put
}

// Writes counts the calls of Put and Delete that did not fail.
func (s *Brittle) Writes() int { s.mu.Lock(); defer s.mu.Unlock(); return s.writes }

// FailAt makes the n-th call from now on fail; 0: none.
func (s *Brittle) FailAt(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls, s.fails, s.failed, s.last = 0, n, "", ""
}

// Heal makes all calls succeed, and returns which one failed.
func (s *Brittle) Heal() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fails = 0
	return s.failed
}

// call counts a call, unless name is that of the call before, which it repeats.
func (s *Brittle) call(what, name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if name == "" || name != s.last {
		s.calls++
	}
	s.last = name
	if s.FailOn != "" && strings.HasPrefix(what, s.FailOn) {
		return ErrBroken
	}
	if s.fails != 0 && s.calls == s.fails {
		s.failed = what
		return ErrBroken
	}
	return nil
}

// Get implements storage.Store.
func (s *Brittle) Get(ctx context.Context, keys ...storage.Key) ([]storage.Row, error) {
	if err := s.call(fmt.Sprint("Get ", keys), ""); err != nil {
		return nil, err
	}
	rows, err := s.Store.Get(ctx, keys...)
	if n := len(rows); n > 1 { // they come in any order
		rows = append(rows[1:n:n], rows[0])
	}
	return rows, err
}

// List implements storage.Store.
func (s *Brittle) List(ctx context.Context, q storage.Query) (storage.Page, error) {
	if err := s.call("List "+q.PK+" "+q.From, ""); err != nil {
		return storage.Page{}, err
	}
	return s.Store.List(ctx, q)
}

// Put implements storage.Store.
func (s *Brittle) Put(ctx context.Context, r storage.Row, oldRev string) error {
	if err := s.call("Put "+r.PK+" "+r.SK, r.Rev); err != nil {
		return err
	}
	if s.OnPut != nil {
		s.OnPut(r)
	}
	s.mu.Lock()
	s.writes++
	s.mu.Unlock()
	return s.Store.Put(ctx, r, oldRev)
}

// Delete implements storage.Store.
func (s *Brittle) Delete(ctx context.Context, k storage.Key, oldRev string) error {
	if err := s.call("Delete "+k.PK+" "+k.SK, k.PK+k.SK); err != nil {
		return err
	}
	s.mu.Lock()
	s.writes++
	s.mu.Unlock()
	return s.Store.Delete(ctx, k, oldRev)
}
