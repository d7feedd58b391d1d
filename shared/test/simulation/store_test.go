package simulation

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"ringback/shared/storage"
)

// maxPageBytes ends a page early, as DynamoDB does ("Query" in the Amazon
// DynamoDB API Reference: 1 MB a page).
const maxPageBytes = 1 << 20

// rows is a model of storage.Store. It is consistent throughout and forgets
// expired rows at once; storagetest.Weakness makes it worse.
type rows struct {
	mu    sync.Mutex
	parts map[partition][]storage.Row         // in the order of their SKs
	due   [storage.DueShards][]storage.DueRow // in the order of compareDue
	moved [storage.DueShards]time.Time        // when an entry last came or went
}

// A partition is the rows that share a PK.
type partition struct {
	table storage.Table
	pk    string
}

func of(k storage.Key) partition { return partition{k.Table, k.PK} }

func newRows() *rows { return &rows{parts: map[partition][]storage.Row{}} }

// find returns where in its partition k's row stands, or would stand.
func (s *rows) find(k storage.Key) (at int, found bool) {
	return slices.BinarySearchFunc(s.parts[of(k)], k.SK, func(r storage.Row, sk string) int { return strings.Compare(r.SK, sk) })
}

// stored returns k's row unless it has expired.
func (s *rows) stored(k storage.Key) (storage.Row, bool) {
	at, found := s.find(k)
	if !found || expired(s.parts[of(k)][at]) {
		return storage.Row{}, false
	}
	return s.parts[of(k)][at], true
}

func expired(r storage.Row) bool { return !r.Expires.IsZero() && !r.Expires.After(time.Now()) }

// Get implements storage.Store.
func (s *rows) Get(_ context.Context, keys ...storage.Key) ([]storage.Row, error) {
	if err := storage.CheckGet(keys); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []storage.Row
	for i, k := range keys {
		if r, ok := s.stored(k); ok && !slices.Contains(keys[:i], k) {
			out = append(out, r)
		}
	}
	return out, nil
}

// Put implements storage.Store.
func (s *rows) Put(_ context.Context, r storage.Row, was string) error {
	if err := r.Check(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	stored, found := s.stored(r.Key)
	switch {
	case found && stored.Rev == r.Rev:
		return nil
	case was != storage.AnyRev && stored.Rev != was:
		return &storage.ConflictError{Stored: stored}
	}
	s.remove(r.Key)
	s.insert(r)
	return nil
}

// Delete implements storage.Store.
func (s *rows) Delete(_ context.Context, k storage.Key, was string) error {
	if err := k.Check(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if stored, found := s.stored(k); found && was != storage.AnyRev && stored.Rev != was {
		return &storage.ConflictError{Stored: stored}
	}
	s.remove(k)
	return nil
}

func (s *rows) insert(r storage.Row) {
	r.Data, r.Body = bytes.Clone(r.Data), bytes.Clone(r.Body)
	r.Due = r.Due.Truncate(time.Millisecond)
	r.Expires = r.Expires.Truncate(time.Second)
	at, _ := s.find(r.Key)
	s.parts[of(r.Key)] = slices.Insert(s.parts[of(r.Key)], at, r)
	if r.Due.IsZero() {
		return
	}
	d := storage.DueRow{Key: r.Key, Due: r.Due}
	shard := &s.due[r.DueShard()]
	at, _ = slices.BinarySearchFunc(*shard, d, compareDue)
	*shard = slices.Insert(*shard, at, d)
	s.moved[r.DueShard()] = time.Now()
}

func (s *rows) remove(k storage.Key) {
	at, found := s.find(k)
	if !found {
		return
	}
	r := s.parts[of(k)][at]
	if s.parts[of(k)] = slices.Delete(s.parts[of(k)], at, at+1); len(s.parts[of(k)]) == 0 {
		delete(s.parts, of(k))
	}
	shard := &s.due[k.DueShard()]
	if at, found := slices.BinarySearchFunc(*shard, storage.DueRow{Key: k, Due: r.Due}, compareDue); found {
		*shard = slices.Delete(*shard, at, at+1)
		s.moved[k.DueShard()] = time.Now()
	}
}

func compareDue(a, b storage.DueRow) int {
	return cmp.Or(a.Due.Compare(b.Due), cmp.Compare(a.Table, b.Table), cmp.Compare(a.PK, b.PK), cmp.Compare(a.SK, b.SK))
}

// List implements storage.Store.
func (s *rows) List(_ context.Context, q storage.Query) (storage.Page, error) {
	if err := q.Check(); err != nil {
		return storage.Page{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	part := s.parts[partition{q.Table, q.PK}]
	var p storage.Page
	size := 0
	for i := range part {
		r := part[i]
		if q.Newest {
			r = part[len(part)-1-i]
		}
		if !listed(q, r) {
			continue
		}
		if q.Open {
			r = storage.Row{Key: r.Key}
		}
		p.Rows = append(p.Rows, r)
		size += len(r.PK) + len(r.SK) + len(r.Data) + len(r.Body)
		if len(p.Rows) == q.PageRows() || size >= maxPageBytes {
			p.Next = r.SK
			break
		}
	}
	return p, nil
}

// listed reports whether r is in what is left of q.
func listed(q storage.Query, r storage.Row) bool {
	behind := q.After == "" || !q.Newest && r.SK > q.After || q.Newest && r.SK < q.After
	return behind && r.SK >= q.From && (q.To == "" || r.SK < q.To) && (!q.Open || r.Open) && !expired(r)
}

// Due implements storage.Store.
func (s *rows) Due(_ context.Context, shard int, until time.Time, after string, limit int) ([]storage.DueRow, string, error) {
	n, err := storage.CheckDue(shard, limit)
	if err != nil {
		return nil, "", err
	}
	var last storage.DueRow
	if after != "" {
		if err := json.Unmarshal([]byte(after), &last); err != nil {
			return nil, "", fmt.Errorf("%w: cursor", storage.ErrInvalid)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []storage.DueRow
	for _, d := range s.due[shard] {
		if d.Due.After(until) {
			break
		}
		if after != "" && compareDue(d, last) <= 0 {
			continue
		}
		if out = append(out, d); len(out) == n {
			cursor, err := json.Marshal(d)
			return out, string(cursor), err
		}
	}
	return out, "", nil
}

// firstDue returns the earliest time in the due index; zero if it is empty.
func (s *rows) firstDue() (first time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, shard := range s.due {
		for _, d := range shard {
			if _, ok := s.stored(d.Key); !ok {
				continue
			}
			if first.IsZero() || d.Due.Before(first) {
				first = d.Due
			}
			break
		}
	}
	return first
}

// nothingDue reports whether a shard holds nothing up to a time, and its index
// cannot lag any more.
func (s *rows) nothingDue(shard int, until time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	none := len(s.due[shard]) == 0 || s.due[shard][0].Due.After(until)
	return none && time.Since(s.moved[shard]) > 2*time.Second
}

// all returns the rows whose PK begins with a prefix, in order.
func (s *rows) all(t storage.Table, prefix string) []storage.Row {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []storage.Row
	for p, part := range s.parts {
		if p.table == t && strings.HasPrefix(p.pk, prefix) {
			out = append(out, slices.DeleteFunc(slices.Clone(part), expired)...)
		}
	}
	slices.SortFunc(out, func(a, b storage.Row) int { return cmp.Or(cmp.Compare(a.PK, b.PK), cmp.Compare(a.SK, b.SK)) })
	return out
}
