package storagetest

import (
	"context"
	"encoding/binary"
	"errors"
	"hash/fnv"
	"slices"
	"sync"
	"time"

	"ringback/shared/storage"
)

// ErrWeak is the error of a weakened call, which may have happened.
var ErrWeak = errors.New("weakened: perhaps done")

// A Weakness takes from a Store and a Queue what their contracts do not promise. Its fields are rates from 0, never,
// to 1, always; with a rate of 1 for errors or empty pages nothing ever gets done.
type Weakness struct {
	Seed uint64 // the same for the same decisions

	Refused    float64 // calls that fail without effect
	Lost       float64 // Put, Delete and Send that take effect and fail
	Late       float64 // rows that List and Due show as they were within Lag
	ShortPages float64 // pages with fewer rows than there are
	EmptyPages float64 // pages without rows that are not the last
	Partial    float64 // single messages of a Send that fail, sent or not
	Duplicates float64 // messages that are sent twice
	Delayed    float64 // messages that come late, and so in another order

	Lag time.Duration // of the indexes, and the longest delay of a message
}

// Weak returns the weakness that scenarios run on: everything that may happen does, and most calls succeed.
func Weak(seed uint64) Weakness {
	return Weakness{
		Seed: seed, Refused: 0.02, Lost: 0.02, Late: 0.5, ShortPages: 0.2, EmptyPages: 0.1,
		Partial: 0.02, Duplicates: 0.05, Delayed: 0.3, Lag: time.Second,
	}
}

// Weaken returns s and q with Weak(seed). It uses package time, so it works in a bubble of testing/synctest.
func Weaken(s storage.Store, q storage.Queue, seed uint64) (storage.Store, storage.Queue) {
	return Weak(seed).Weaken(s, q)
}

// Weaken returns s and q with the weaknesses of w. What happens to the n-th call of a kind on a key depends on the
// seed alone, not on other calls.
func (w Weakness) Weaken(s storage.Store, q storage.Queue) (storage.Store, storage.Queue) {
	d := &dice{seed: w.Seed, thrown: map[uint64]uint64{}}
	return &weakStore{s, w, d, newPast(w.Lag)}, &weakQueue{q, w, d}
}

// dice decide by the seed, the thing to decide, and how often it was decided before.
type dice struct {
	seed   uint64
	mu     sync.Mutex
	thrown map[uint64]uint64
}

// roll returns a number from 0 to below 1.
func (d *dice) roll(about ...string) float64 {
	h := fnv.New64a()
	for _, s := range about {
		h.Write([]byte(s))
		h.Write([]byte{0})
	}
	what := h.Sum64()
	d.mu.Lock()
	n := d.thrown[what]
	d.thrown[what]++
	d.mu.Unlock()
	h.Write(binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, n), d.seed))
	return float64(mix(h.Sum64())>>11) / (1 << 53)
}

// mix spreads the bits of x, since the last bytes change few of FNV's upper
// bits (the finalizer of MurmurHash3).
func mix(x uint64) uint64 {
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	x *= 0xc4ceb9fe1a85ec53
	return x ^ x>>33
}

func (d *dice) under(rate float64, about ...string) bool {
	return rate > 0 && d.roll(about...) < rate
}

// A weakStore is a Store that keeps its contract and no more.
type weakStore struct {
	storage.Store
	w    Weakness
	dice *dice
	past *past
}

func (s *weakStore) Get(ctx context.Context, keys ...storage.Key) ([]storage.Row, error) {
	for _, k := range keys {
		if s.dice.under(s.w.Refused/float64(len(keys)), "get", k.PK, k.SK) {
			return nil, ErrWeak
		}
	}
	rows, err := s.Store.Get(ctx, keys...)
	slices.Reverse(rows) // in any order
	return rows, err
}

func (s *weakStore) Put(ctx context.Context, r storage.Row, oldRev string) error {
	return s.write(ctx, r.Key, "put", func() error { return s.Store.Put(ctx, r, oldRev) })
}

func (s *weakStore) Delete(ctx context.Context, k storage.Key, oldRev string) error {
	return s.write(ctx, k, "delete", func() error { return s.Store.Delete(ctx, k, oldRev) })
}

// write remembers the row as it was and calls do.
func (s *weakStore) write(ctx context.Context, k storage.Key, what string, do func() error) error {
	if s.dice.under(s.w.Refused, what, "refused", k.PK, k.SK) {
		return ErrWeak
	}
	if s.w.Late > 0 && k.Check() == nil {
		before, err := s.Store.Get(ctx, k)
		if err != nil {
			return err
		}
		s.past.keep(k, before)
	}
	if err := do(); err != nil {
		return err
	}
	if s.dice.under(s.w.Lost, what, "lost", k.PK, k.SK) {
		return ErrWeak
	}
	return nil
}

func (s *weakStore) List(ctx context.Context, q storage.Query) (storage.Page, error) {
	if s.dice.under(s.w.Refused, "list", q.PK) {
		return storage.Page{}, ErrWeak
	}
	limit := q.PageRows()
	if s.dice.under(s.w.ShortPages, "short", q.PK) && q.Check() == nil {
		q.Limit = 1 + int(s.dice.roll("limit", q.PK)*float64(limit))
	}
	p, err := s.Store.List(ctx, q)
	if err != nil {
		return p, err
	}
	if next, ok := justBefore(q, p.Rows); ok && s.dice.under(s.w.EmptyPages, "empty", q.PK) {
		return storage.Page{Next: next}, nil
	}
	if !q.Consistent {
		p = s.late(q, p)
	}
	return p, nil
}

// justBefore returns the cursor of an empty page of q, which lies between its
// bound and its first row; false if none is known.
func justBefore(q storage.Query, rows []storage.Row) (next string, ok bool) {
	if len(rows) == 0 {
		return "", false
	}
	first := rows[0].SK
	if q.Newest {
		next = first + "\x00"
		return next, len(next) <= storage.MaxKeyBytes && (q.After == "" || next < q.After)
	}
	next = first[:len(first)-1]
	return next, next != "" && next > q.After && next >= q.From && storage.ValidText(next)
}

// late returns p with some rows as they were a moment ago.
func (s *weakStore) late(q storage.Query, p storage.Page) storage.Page {
	stale := map[string]*storage.Row{}
	for k, before := range s.past.partition(q.Table, q.PK) {
		if s.dice.under(s.w.Late, "late", k.PK, k.SK) && inPage(q, p, k.SK) {
			stale[k.SK] = shown(q, before)
		}
	}
	rows := slices.DeleteFunc(p.Rows, func(r storage.Row) bool { _, ok := stale[r.SK]; return ok })
	for _, r := range stale {
		if r != nil {
			rows = append(rows, *r)
		}
	}
	slices.SortFunc(rows, func(a, b storage.Row) int { return order(q, a.SK, b.SK) })
	if n := q.PageRows(); len(rows) > n {
		rows, p.Next = rows[:n], rows[n-1].SK
	}
	p.Rows = rows
	return p
}

// inPage reports whether sk lies in the part of q that p covers.
func inPage(q storage.Query, p storage.Page, sk string) bool {
	return sk >= q.From && (q.To == "" || sk < q.To) &&
		(q.After == "" || order(q, q.After, sk) < 0) &&
		(p.Next == "" || order(q, sk, p.Next) <= 0)
}

// shown returns how q shows row; nil if it does not.
func shown(q storage.Query, row *storage.Row) *storage.Row {
	switch {
	case row == nil || q.Open && !row.Open:
		return nil
	case q.Open:
		return &storage.Row{Key: row.Key}
	}
	return row
}

// order compares SKs in the order of q.
func order(q storage.Query, a, b string) int {
	switch {
	case a == b:
		return 0
	case a < b != q.Newest:
		return -1
	}
	return 1
}
