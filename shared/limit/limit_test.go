package limit

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"ringback/shared/storage"
	"ringback/shared/test/proofs"
)

// TestRateHoldsOverProcesses has ten processes work on a backlog, of which half
// freeze for ten minutes wherever they are just then.
func TestRateHoldsOverProcesses(t *testing.T) {
	proofs.Long(t)
	for _, tt := range []struct {
		name      string
		perSecond float64
		skew      time.Duration // of a process' clock, more each time
		freeze    bool
		least     int // in any minute; most is that of the rate and a twentieth
		most      int
	}{
		{"60 a minute", 1, 0, false, 57, 63},
		{"60 a minute, and half of the processes freeze", 1, 0, true, 57, 63},
		{"60 a minute, by clocks that are apart", 1, time.Second, false, 57, 63},
		{"30 a minute", 0.5, 0, false, 28, 32},
		{"1200 a minute, in blocks", 20, 0, false, 1140, 1260},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				db, begun := newStore(t), time.Now()
				minutes := 6
				if tt.freeze {
					minutes = 14
				}
				f := newFleet(int(tt.perSecond*60*float64(minutes+1)) + 200)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				var ps []*process
				for i := range 10 {
					ps = append(ps, f.start(ctx, t, db, time.Duration(i)*tt.skew/2, max(10, int(2*tt.perSecond)), Request{Rate: rateKey, PerSecond: tt.perSecond}))
				}
				if time.Sleep(2*time.Minute + 3*time.Millisecond); tt.freeze {
					for _, p := range ps[:5] {
						p.freeze()
					}
					time.Sleep(10 * time.Minute)
					for _, p := range ps[:5] {
						p.thaw()
					}
				}
				time.Sleep(time.Until(begun.Add(time.Duration(minutes) * time.Minute)))
				cancel()
				synctest.Wait()
				time.Sleep(time.Minute)
				least, most := 1<<30, 0
				for s := 150; s <= (minutes-1)*600; s += 2 { // tenths, from when the backlog has its turns
					n := f.within(begun.Add(time.Duration(s)*100*time.Millisecond), time.Minute)
					least, most = min(least, n), max(most, n)
				}
				if least < tt.least || most > tt.most {
					t.Errorf("%d to %d attempts begun in a minute, want %d to %d", least, most, tt.least, tt.most)
				}
				if f.waiting() == 0 {
					t.Error("there was no backlog to the end")
				}
			})
		})
	}
}

// TestConcurrencyHoldsOverProcesses has ten processes work on a backlog; half of them
// end with what they have under way, and their leases with it.
func TestConcurrencyHoldsOverProcesses(t *testing.T) {
	proofs.Long(t)
	synctest.Test(t, func(t *testing.T) {
		db, f := newStore(t), newFleet(600)
		f.took = 500 * time.Millisecond
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var ps []*process
		for range 10 {
			ps = append(ps, f.start(ctx, t, db, 0, 5, Request{Leases: leaseKey, Concurrency: 3, Timeout: 15 * time.Second}))
		}
		time.Sleep(time.Minute)
		if n, most := f.within(time.Now().Add(-30*time.Second), 30*time.Second), f.mostAtOnce(); most != 3 || n < 100 {
			t.Errorf("%d attempts at once, %d in 30 s of half a second each; want 3, and at least 100", most, n)
		}
		for _, p := range ps[:5] {
			p.freeze()
		}
		time.Sleep(30 * time.Second)
		if n := f.within(time.Now().Add(-5*time.Second), 5*time.Second); n < 20 {
			t.Errorf("half a minute after processes ended, %d attempts in 5 s: want at least 20", n)
		}
		for _, p := range ps[:5] {
			p.thaw()
		}
		cancel()
		time.Sleep(time.Minute)
		if most := f.mostAtOnce(); most > 3 {
			t.Errorf("%d attempts at once: want 3", most)
		}
	})
}

// A spy is a Store that counts, and does what the test wants.
type spy struct {
	storage.Store
	mu         sync.Mutex
	gets, puts int
	after      func(context.Context) error // each Put
}

func (s *spy) Get(ctx context.Context, ks ...storage.Key) ([]storage.Row, error) {
	s.mu.Lock()
	s.gets++
	s.mu.Unlock()
	return s.Store.Get(ctx, ks...)
}

func (s *spy) Put(ctx context.Context, r storage.Row, was string) error {
	s.mu.Lock()
	s.puts++
	after := s.after
	s.mu.Unlock()
	err := s.Store.Put(ctx, r, was)
	if after != nil {
		return errors.Join(err, after(ctx))
	}
	return err
}

// used returns how many rows were read and written since it was last called.
func (s *spy) used() (gets, puts int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	gets, puts, s.gets, s.puts = s.gets, s.puts, 0, 0
	return gets, puts
}

func clock() time.Time { return storage.UTC(time.Now()) }

// TestRowsCostAWriteEach counts what attempts of each kind cost.
func TestRowsCostAWriteEach(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &spy{Store: newStore(t)}
		l := New(s, clock)
		for _, tt := range []struct {
			name       string
			turn       Request
			asks       int // at once
			gets, puts int
			begin      int
		}{
			{"no limit", Request{Rate: rateKey, Leases: leaseKey, Reserved: true}, 100, 0, 0, 100},
			{"the first by a rate", Request{Rate: rateKey, PerSecond: 0.1}, 1, 0, 1, 1},
			{"a turn instead", Request{Rate: rateKey, PerSecond: 0.1}, 1, 0, 1, 0},
			{"many at once", Request{Rate: rateKey, PerSecond: 0.1}, 100, 0, 2, 0},
			{"a lease, there and back", Request{Leases: leaseKey, Concurrency: 1}, 1, 0, 2, 1},
			{"many leases at once", Request{Leases: leaseKey, Concurrency: 50}, 50, 0, 4, 50},
			{"both", Request{Rate: storage.Key{Table: storage.Registrations, PK: "R#reg_2", SK: "A"}, PerSecond: 1, Leases: leaseKey, Concurrency: 1}, 1, 0, 3, 1},
		} {
			var begin, wait sync.WaitGroup
			var mu sync.Mutex
			n := 0
			begin.Add(1)
			for range tt.asks {
				wait.Go(func() {
					leave, _, err := l.Acquire(t.Context(), tt.turn)
					if err != nil {
						t.Errorf("%s: %v", tt.name, err)
					}
					if begin.Wait(); leave != nil {
						leave()
						mu.Lock()
						n++
						mu.Unlock()
					}
				})
			}
			time.Sleep(time.Second)
			begin.Done()
			wait.Wait()
			if gets, puts := s.used(); gets != tt.gets || puts > tt.puts || tt.asks == 1 && puts != tt.puts || n != tt.begin {
				t.Errorf("%s: %d begin, %d reads and %d writes; want %d, %d and %d", tt.name, n, gets, puts, tt.begin, tt.gets, tt.puts)
			}
		}
	})
}

// TestHighRateIsTakenInBlocks has a process make 40 attempts a second where 1,000
// may be made.
func TestHighRateIsTakenInBlocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &spy{Store: newStore(t)}
		l := New(s, clock)
		for second := range 10 {
			for range 40 {
				begun := time.Now()
				leave, _, err := l.Acquire(t.Context(), Request{Rate: rateKey, PerSecond: 1000})
				if err != nil || leave == nil || time.Since(begun) > batchWait {
					t.Fatalf("second %d: after %v %v; want the right at once", second, time.Since(begun), err)
				}
				time.Sleep(max(25*time.Millisecond-time.Since(begun), 0))
			}
		}
		if _, puts := s.used(); puts < 10 || puts > 30 {
			t.Errorf("%d writes in 10 s, want one a second, and a few more in the first", puts)
		}
	})
}

// TestPlaceThatWasNotUsedInTimeIsAskedForAnew freezes a process after its row was
// written, until others have turns for an hour.
func TestPlaceThatWasNotUsedInTimeIsAskedForAnew(t *testing.T) {
	for _, turn := range []Request{{Rate: rateKey, PerSecond: 1}, {Leases: leaseKey, Concurrency: 1, Timeout: time.Second}} {
		synctest.Test(t, func(t *testing.T) {
			s := &spy{Store: newStore(t)}
			s.after = func(ctx context.Context) error {
				s.after = nil
				time.Sleep(10 * time.Minute)
				return storage.Put(ctx, s.Store, rateKey, record{clock(), value{rate: rate{clock(), clock().Add(time.Hour), time.Second}}}, storage.AnyRev)
			}
			if leave, at, err := New(s, clock).Acquire(t.Context(), turn); err != nil || leave == nil {
				t.Fatalf("a process that thaws gets %v, %v; want the right", at, err)
			}
			turn.Reserved = true
			for n := range 3 {
				leave, at, err := New(s, clock).Acquire(t.Context(), turn)
				if mine := turn.PerSecond > 0 && n < 2; mine != (leave != nil) || err != nil { // within the slack
					t.Errorf("%d more began beside it at %v, %v", n, at, err)
				}
			}
		})
	}
}

// TestProcessThatIsTooSlowBeginsNothing has each write take longer than a place
// lasts.
func TestProcessThatIsTooSlowBeginsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &spy{Store: newStore(t)}
		s.after = func(context.Context) error { time.Sleep(permitTTL); return nil }
		leave, at, err := New(s, clock).Acquire(t.Context(), Request{Rate: rateKey, PerSecond: 1, Leases: leaseKey, Concurrency: 1})
		if leave != nil || !at.Equal(clock()) || err != nil {
			t.Errorf("Enter = %v, %v at %v; want no right, to be asked for at once", at, err, clock())
		}
		if leave, at, err := New(s.Store, clock).Acquire(t.Context(), Request{Leases: leaseKey, Concurrency: 1}); leave == nil {
			t.Errorf("afterwards Enter = %v, %v; want the lease, since it was given back", at, err)
		}
	})
}

// TestRowThatCannotBeWrittenGivesNothing fails the Store for all who ask, and ends
// the time of one of them.
func TestRowThatCannotBeWrittenGivesNothing(t *testing.T) {
	outage := errors.New("no answer")
	synctest.Test(t, func(t *testing.T) {
		s := &spy{Store: newStore(t)}
		l, turn := New(s, clock), Request{Rate: rateKey, PerSecond: 1, Leases: leaseKey, Concurrency: 1}
		s.after = func(context.Context) error { time.Sleep(time.Second); return outage }
		var wait sync.WaitGroup
		for range 5 {
			wait.Go(func() {
				if leave, _, err := l.Acquire(t.Context(), turn); leave != nil || !errors.Is(err, outage) {
					t.Errorf("while the store is out Enter = %v, want no right and its error", err)
				}
			})
		}
		wait.Wait()
		s.after = nil
		time.Sleep(time.Minute) // what was written nevertheless ends by itself
		if leave, _, err := l.Acquire(t.Context(), turn); leave == nil || err != nil {
			t.Errorf("afterwards Enter = %v, want the right", err)
		}
	})
}

// TestOneWithoutTimeTakesNothingFromOthers has who writes for all run out of time.
func TestOneWithoutTimeTakesNothingFromOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &spy{Store: newStore(t)}
		s.after = func(ctx context.Context) error {
			select {
			case <-ctx.Done():
			case <-time.After(100 * time.Millisecond):
			}
			return ctx.Err()
		}
		l, turn := New(s, clock), Request{Rate: rateKey, PerSecond: 0.1}
		var wait sync.WaitGroup
		for i, d := range []time.Duration{time.Hour, 250 * time.Millisecond, time.Hour, 50 * time.Millisecond, 150 * time.Millisecond} {
			wait.Go(func() {
				time.Sleep(time.Duration(i) * time.Millisecond)
				ctx, cancel := context.WithTimeout(t.Context(), d)
				defer cancel()
				leave, at, err := l.Acquire(ctx, turn)
				switch over := d < time.Hour; {
				case over && !errors.Is(err, context.DeadlineExceeded):
					t.Errorf("ask %d, with %v: %v, want no more time", i, d, err)
				case !over && (err != nil || leave == nil && at.IsZero()):
					t.Errorf("ask %d: %v, want the right or a turn", i, err)
				}
			})
		}
		wait.Wait()
	})
}

// TestLeaseThatAnotherGaveBackIsFree has one process know that all are taken.
func TestLeaseThatAnotherGaveBackIsFree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db, turn := newStore(t), Request{Leases: leaseKey, Concurrency: 1, Timeout: time.Minute}
		mine, other := New(db, clock), New(db, clock)
		leave, _, err := other.Acquire(t.Context(), turn)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if leave, _, err := mine.Acquire(t.Context(), turn); leave != nil || err != nil {
				t.Errorf("beside another Enter = %v, want no right and no error", err)
			}
		}
		leave()
		if leave, _, err := mine.Acquire(t.Context(), turn); leave == nil {
			t.Errorf("after another gave it back Enter = %v, want the lease", err)
		}
	})
}

// TestLeaseIsGivenBackAfterTheCallIsOver ends the context of an attempt.
func TestLeaseIsGivenBackAfterTheCallIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, turn := New(newStore(t), clock), Request{Leases: leaseKey, Concurrency: 1, Timeout: time.Minute}
		ctx, cancel := context.WithCancel(t.Context())
		leave, _, err := l.Acquire(ctx, turn)
		if err != nil {
			t.Fatal(err)
		}
		cancel()
		leave()
		if leave, _, err := l.Acquire(t.Context(), turn); leave == nil {
			t.Errorf("afterwards Enter = %v, want the lease", err)
		}
	})
}

// TestWrongClockHoldsNothingUp has a process a year ahead take a place.
func TestWrongClockHoldsNothingUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := newStore(t)
		wrong := New(db, func() time.Time { return clock().AddDate(1, 0, 0) })
		turn := Request{Rate: rateKey, PerSecond: 1, Leases: leaseKey, Concurrency: 1, Timeout: 15 * time.Second}
		for range 3 {
			if _, _, err := wrong.Acquire(t.Context(), turn); err != nil {
				t.Fatal(err)
			}
		}
		if leave, at, err := New(db, clock).Acquire(t.Context(), turn); leave == nil || err != nil {
			t.Errorf("beside a clock that is wrong Enter = %v, %v; want the right", at, err)
		}
	})
}

// TestRowsEndWhenNothingIsAskedFor looks when a row may vanish.
func TestRowsEndWhenNothingIsAskedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := newStore(t)
		l := New(db, clock)
		for range 10 { // turns up to 9 s ahead
			if _, _, err := l.Acquire(t.Context(), Request{Rate: rateKey, PerSecond: 1}); err != nil {
				t.Fatal(err)
			}
		}
		if _, _, err := l.Acquire(t.Context(), Request{Leases: leaseKey, Concurrency: 1, Timeout: time.Minute}); err != nil {
			t.Fatal(err)
		}
		for k, least := range map[storage.Key]time.Duration{rateKey: rowGrace + 7*time.Second, leaseKey: rowGrace + time.Minute} {
			rows, err := db.Get(t.Context(), k)
			if err != nil || len(rows) != 1 {
				t.Fatalf("%d rows %s, %v; want one", len(rows), k.SK, err)
			}
			if d := time.Until(rows[0].Expires); d < least || d > least+20*time.Second {
				t.Errorf("row %s ends in %v, want %v or a little more", k.SK, d, least)
			}
		}
	})
}
