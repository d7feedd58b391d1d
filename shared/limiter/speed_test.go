package limiter

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"ringback/shared/embedded"
	"ringback/shared/storage"
)

var (
	swift = Outcome{Attempted: true, Succeeded: true, Took: quickLatency - 1}
	late  = Outcome{Attempted: true, Succeeded: true, Took: slowLatency}
	cut   = Outcome{Interrupted: true}
)

// TestBookSaysWhoseAttemptsMayBeBatched has attempts of one endpoint end, and asks
// after each whether the next may be made in a batch.
func TestBookSaysWhoseAttemptsMayBeBatched(t *testing.T) {
	type ended struct {
		Outcome
		Stats
		over time.Duration // the time of the quick ones
		want bool
	}
	run := func(n int) Stats { return Stats{Quick: n} }
	turned := Stats{Slow: true}
	for _, tt := range []struct {
		name  string
		after []ended
	}{
		{"unknown", nil},
		{"one quick", []ended{{swift, run(1), 0, true}}},
		{"one slow", []ended{{late, run(0), 0, false}}},
		{"one refused", []ended{{Outcome{Attempted: true, Took: time.Millisecond}, run(0), 0, false}}},
		{"one refused by what was quick before its URL was another", []ended{{Outcome{Attempted: true, Took: time.Millisecond}, run(7), 0, false}}},
		{"fast and cut once", []ended{{swift, run(1), 0, true}, {cut, run(1), 0, true}}},
		{"fast and cut", []ended{{swift, run(1), 0, true}, {cut, turned, 0, false}, {swift, run(1), 0, false}}},
		{"fast and late", []ended{{swift, run(1), 0, true}, {late, turned, 0, false}, {swift, run(1), 0, false}}},
		{"none made, after slow ones that took too little time", []ended{{swift, run(1), 0, true}, {Outcome{}, turned, 0, true}}},
		{"fast again", []ended{{swift, run(1), 0, true}, {cut, turned, 0, false},
			{swift, run(19), time.Hour, false}, {swift, run(20), time.Minute - 1, false}, {late, run(20), time.Minute, false}, {swift, run(20), time.Minute, true}}},
		{"fast again after two cuts", []ended{
			{swift, run(1), 0, true}, {cut, turned, 0, false}, {swift, run(20), time.Minute, true},
			{cut, turned, 0, false}, {swift, run(20), 2*time.Minute - 1, false}, {swift, run(20), 2 * time.Minute, true},
		}},
		{"fast again after two cuts, proven between them", []ended{
			{swift, run(1), 0, true}, {cut, turned, 0, false}, {swift, run(20), time.Minute, true}, {swift, run(100), time.Minute, true}, {swift, run(101), time.Minute, true},
			{cut, turned, 0, false}, {swift, run(20), time.Minute, true},
		}},
	} {
		b, now, may := Speeds{}, noon, false
		for i, e := range tt.after {
			now = now.Add(11 * time.Minute)
			e.QuickSince = now.Add(-e.over)
			b, _ = b.After("reg_1", "url", e.Outcome, e.Stats, now)
			if may = b.AllowsBatch("reg_1", "url", now); may != e.want {
				t.Errorf("%s: after %d may be batched %v, want %v", tt.name, i+1, may, e.want)
			}
		}
		if len(tt.after) == 0 && b.AllowsBatch("reg_1", "url", now) {
			t.Errorf("%s: may be batched", tt.name)
		}
		if b.AllowsBatch("reg_1", "new", now) || b.AllowsBatch("reg_2", "url", now) {
			t.Errorf("%s: a new URL, or another registration, may be batched", tt.name)
		}
		if may != b.AllowsBatch("reg_1", "", now) {
			t.Errorf("%s: without its URL it may be batched %v, want %v", tt.name, !may, may)
		}
	}
}

// TestManyCutsLeaveProvenEndpointsAlone has endpoints of a tenant turn slow one
// after the other, beside two that stay fast.
func TestManyCutsLeaveProvenEndpointsAlone(t *testing.T) {
	b, now := Speeds{}, noon
	for _, fast := range []string{"new", "proven"} {
		b, _ = b.After(fast, "", swift, Stats{Quick: 1}, now)
	}
	b, _ = b.After("proven", "", swift, Stats{Quick: trustedRun}, now)
	for n := range maxDemotions + 1 {
		if !b.AllowsBatch("new", "", now) {
			t.Fatalf("after %d cuts a fast endpoint may not be batched", n)
		}
		id := fmt.Sprint(n)
		b, _ = b.After(id, "", swift, Stats{Quick: 1}, now)
		now = now.Add(time.Minute)
		b, _ = b.After(id, "", cut, Stats{Slow: true}, now)
	}
	first := noon.Add(time.Minute)
	for at, want := range map[time.Time]bool{now: false, first.Add(demotionWindow): false, first.Add(demotionWindow + 1): true} {
		if got := b.AllowsBatch("new", "", at); got != want || !b.AllowsBatch("proven", "", at) {
			t.Errorf("%v after the first of %d cuts: may be batched %v, want %v, and the proven one always", at.Sub(first), maxDemotions+1, got, want)
		}
	}
	if len(b.Demotions) != maxDemotions+1 {
		t.Errorf("%d cuts are kept, want %d", len(b.Demotions), maxDemotions+1)
	}
}

// TestBookIsBounded knows more endpoints than a row is to hold.
func TestBookIsBounded(t *testing.T) {
	b := Speeds{}
	for n := range maxSpeeds + 10 {
		b, _ = b.After(fmt.Sprint(n), "", swift, Stats{Quick: 1}, noon)
	}
	if len(b.Endpoints) != maxSpeeds || !b.AllowsBatch(fmt.Sprint(maxSpeeds+9), "", noon) {
		t.Errorf("%d endpoints, want %d and the last one among them", len(b.Endpoints), maxSpeeds)
	}
}

// counted counts what a SpeedStore asks of a Store, which fails as long as err is not nil.
type counted struct {
	storage.Store
	gets, puts int
	err        error
}

func (c *counted) List(ctx context.Context, q storage.Query) (storage.Page, error) {
	if c.gets++; c.err != nil || q.Consistent {
		return storage.Page{}, cmp.Or(c.err, errors.New("consistent"))
	}
	return c.Store.List(ctx, q)
}

func (c *counted) Put(ctx context.Context, r storage.Row, rev string) error {
	if c.puts++; c.err != nil {
		return c.err
	}
	return c.Store.Put(ctx, r, rev)
}

// newBooks returns the SpeedStores of so many processes that share a Store.
func newBooks(t *testing.T, n int) ([]*SpeedStore, *counted) {
	t.Helper()
	db, err := embedded.Open(t.Context(), t.TempDir(), embedded.Options{Relaxed: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	c := &counted{Store: db}
	var bs []*SpeedStore
	for range n {
		bs = append(bs, NewSpeedStore(c, func(tenant string) storage.Key {
			return storage.Key{Table: storage.Registrations, PK: "T#" + tenant, SK: "P"}
		}, func() time.Time { return storage.UTC(time.Now()) }))
	}
	return bs, c
}

// TestCutIsKnownToAllProcessesInFiveSeconds has two processes know that an endpoint
// is fast, and one see it turn slow.
func TestCutIsKnownToAllProcessesInFiveSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bs, c := newBooks(t, 2)
		heed := func(o Outcome, seen Stats) {
			if err := bs[0].Record(t.Context(), "ten_1", "reg_1", "https://a.example/", o, seen); err != nil {
				t.Fatal(err)
			}
		}
		batches := func(b *SpeedStore) bool {
			may, err := b.AllowsBatch(t.Context(), "ten_1", "reg_1", "https://a.example/")
			if err != nil {
				t.Fatal(err)
			}
			return may
		}
		if batches(bs[0]) || batches(bs[1]) {
			t.Error("an unknown endpoint may be batched")
		}
		heed(swift, Stats{Quick: 1})
		if !batches(bs[0]) || batches(bs[1]) {
			t.Error("known at once: want it of the process that saw it, and of no other")
		}
		time.Sleep(speedsTTL)
		if !batches(bs[1]) {
			t.Error("after 5s another process does not know that it is fast")
		}
		heed(cut, Stats{Slow: true})
		if batches(bs[0]) || !batches(bs[1]) {
			t.Error("cut: want it known at once in the process that saw it, and in no other")
		}
		time.Sleep(speedsTTL)
		gets := c.gets
		for range 10 {
			if batches(bs[1]) {
				t.Error("after 5s another process does not know that it was cut")
			}
		}
		if c.gets != gets+1 {
			t.Errorf("%d reads in a moment, want one", c.gets-gets)
		}
	})
}

// TestCrowdOfSlowEndpointsIsForgivenLittle has endpoints of two tenants turn slow at
// once, and before that one attempt in fifty be slow.
func TestCrowdOfSlowEndpointsIsForgivenLittle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bs, _ := newBooks(t, 1)
		tenant := func(n int) string { return fmt.Sprint("ten_", n%2) }
		heed := func(n int, o Outcome) (batches bool) {
			if err := bs[0].Record(t.Context(), tenant(n), fmt.Sprint(n), "", o, Stats{Quick: 1}); err != nil {
				t.Fatal(err)
			}
			may, err := bs[0].AllowsBatch(t.Context(), tenant(n), fmt.Sprint(n), "")
			if err != nil {
				t.Fatal(err)
			}
			return may
		}
		const crowd = 10
		for n := range crowd {
			heed(n, swift)
		}
		for n := range 1000 {
			o := swift
			if n%50 == 0 {
				o = late
			}
			if !heed(n%crowd, o) {
				t.Fatal("one slow attempt in fifty makes an endpoint slow")
			}
		}
		for n := range crowd {
			if batches := heed(n, cut); batches != (n < maxRecentSlow) {
				t.Errorf("after %d slow attempts more its endpoint may be batched: %v, want it of the first %d", n+1, batches, maxRecentSlow)
			}
		}
	})
}

// TestBookIsWrittenOnceASecond has endpoints turn fast all the time, and attempts
// that change nothing.
func TestBookIsWrittenOnceASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bs, c := newBooks(t, 2)
		for n := range 50 {
			if err := bs[0].Record(t.Context(), "ten_1", fmt.Sprint(n), "", swift, Stats{Quick: 1}); err != nil {
				t.Fatal(err)
			}
			time.Sleep(100 * time.Millisecond)
		}
		if c.puts != 5 {
			t.Errorf("%d writes in 5s, want 5", c.puts)
		}
		time.Sleep(writeInterval)
		for n := range 50 {
			if err := bs[0].Record(t.Context(), "ten_1", fmt.Sprint(n), "", swift, Stats{Quick: 2}); err != nil {
				t.Fatal(err)
			}
		}
		if c.puts != 6 {
			t.Errorf("%d writes, want one more for what was not written yet", c.puts)
		}
		for n := range 50 {
			if may, err := bs[1].AllowsBatch(t.Context(), "ten_1", fmt.Sprint(n), ""); !may || err != nil {
				t.Fatalf("another process does not know endpoint %d: %v", n, err)
			}
		}
	})
}

// TestBookThatCannotBeWrittenIsWrittenLater has the Store fail for a while.
func TestBookThatCannotBeWrittenIsWrittenLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bs, c := newBooks(t, 2)
		c.err = errors.New("no answer")
		if _, err := bs[0].AllowsBatch(t.Context(), "ten_1", "reg_1", ""); !errors.Is(err, c.err) {
			t.Errorf("it cannot be read: %v, want %v", err, c.err)
		}
		if err := bs[0].Record(t.Context(), "ten_1", "reg_1", "", swift, Stats{Quick: 1}); !errors.Is(err, c.err) {
			t.Errorf("it cannot be written: %v, want %v", err, c.err)
		}
		c.err = nil
		time.Sleep(writeInterval)
		if err := bs[0].Record(t.Context(), "ten_1", "reg_1", "", swift, Stats{Quick: 2}); err != nil {
			t.Fatal(err)
		}
		if may, err := bs[1].AllowsBatch(t.Context(), "ten_1", "reg_1", ""); !may || err != nil {
			t.Errorf("another process may batch %v, %v; want that it is written", may, err)
		}
	})
}
