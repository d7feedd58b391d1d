package main

import (
	"cmp"
	"errors"
	"math"
	"slices"
	"strings"

	"ringback/shared/storage"
)

// tables are both tables with their indexes.
type tables struct {
	w       *world
	rows    map[storage.Key]storage.Row
	lists   map[string][]string // of the registrations table: PK → SKs in order
	due     [storage.DueShards][]storage.DueRow
	heats   map[heatKey]*heat
	writes  map[storage.Table]*space
	reads   map[storage.Table]*space
	dueIn   *space // the due index's writes
	openIn  *space // the open index's
	metered bool   // after the set-up

	writeUnits, readUnits float64
}

func newTables(w *world) *tables {
	return &tables{
		w: w, rows: map[storage.Key]storage.Row{}, lists: map[string][]string{}, heats: map[heatKey]*heat{},
		writes: map[storage.Table]*space{
			storage.Registrations: newSpace(w, newWrites), storage.Deliveries: newSpace(w, max(w.a.WarmWrites, newWrites)),
		},
		reads: map[storage.Table]*space{
			storage.Registrations: newSpace(w, max(w.a.WarmReads, newReads)), storage.Deliveries: newSpace(w, newReads),
		},
		dueIn: newSpace(w, newWrites), openIn: newSpace(w, newWrites),
	}
}

func (t *tables) spaces() map[string]*space {
	return map[string]*space{
		"registrations, writes": t.writes[storage.Registrations], "registrations, reads": t.reads[storage.Registrations],
		"deliveries, writes": t.writes[storage.Deliveries], "deliveries, reads": t.reads[storage.Deliveries],
		"due index, writes": t.dueIn, "open index, writes": t.openIn,
	}
}

// of returns what units of k cost its partition.
func (t *tables) of(k storage.Key, unit string, units float64) demand {
	d := demand{key: heatKey{string(k.Table) + " " + k.PK, unit}, scale: t.w.thinned(k.PK), units: units}
	if unit == "read" {
		d.space, d.limit = t.reads[k.Table], keyReads
	} else {
		d.space, d.limit = t.writes[k.Table], keyWrites
	}
	if strings.HasPrefix(k.PK, "A#") || strings.HasPrefix(k.PK, "F#") {
		d.key.of = string(k.Table) + " " + k.PK[:2] // each is used a few times
		d.limit = math.MaxInt32
	}
	return d
}

// units is what a row costs to write. shared/cloud packs a row of more than one
// unit with a dictionary; an event of 1 KiB then takes one (shared/bench/bill
// counts 2.0 write units for an event and its delivery).
func units(r storage.Row) float64 {
	n := float64(len(r.PK) + len(r.SK) + len(r.Data) + len(r.Body) + 60) // 60: revision, times, names
	if n > 1024 {
		n *= 0.6
	}
	return math.Ceil(n / 1024)
}

func readUnits(r storage.Row) float64 { return math.Ceil(units(r) / 4) }

// indexes returns what a write costs the indexes, from what is stored to what
// is to be. Entering and leaving is one unit, moving two.
func (t *tables) indexes(was, r storage.Row) (ds []demand) {
	if n := moved(!was.Due.IsZero(), !r.Due.IsZero(), !was.Due.Equal(r.Due)); n > 0 {
		shard := r.DueShard()
		ds = append(ds, demand{t.dueIn, heatKey{"due index, shard " + string(rune('a'+shard)), "write"}, keyWrites, t.w.n, n})
	}
	if n := moved(was.Open, r.Open, false); n > 0 {
		ds = append(ds, demand{t.openIn, heatKey{"open index " + r.PK, "write"}, keyWrites, t.w.thinned(r.PK), n})
	}
	return ds
}

func moved(was, is, changed bool) float64 {
	switch {
	case was != is:
		return 1
	case was && changed:
		return 2
	}
	return 0
}

// put is PutItem. The caller holds w.mu.
func (t *tables) put(r storage.Row, was string) error {
	stored, found := t.rows[r.Key]
	ds := append(t.indexes(stored, r), t.of(r.Key, "write", max(units(r), units(stored))))
	conflict := !(found && stored.Rev == r.Rev) && was != storage.AnyRev && stored.Rev != was
	if conflict {
		ds = ds[len(ds)-1:]
	}
	if err := t.grant(ds...); err != nil {
		return err
	}
	for _, d := range ds {
		t.meter(&t.writeUnits, d.units)
	}
	if conflict {
		return &storage.ConflictError{Stored: stored}
	}
	t.move(stored, r)
	t.rows[r.Key] = r
	t.w.m.wrote(t.w, stored, r)
	if !found && r.Table == storage.Registrations {
		at, _ := slices.BinarySearch(t.lists[r.PK], r.SK)
		t.lists[r.PK] = slices.Insert(t.lists[r.PK], at, r.SK)
	}
	return nil
}

func (t *tables) meter(sum *float64, units float64) {
	if t.metered {
		*sum += units * t.w.n
	}
}

// move keeps the due index.
func (t *tables) move(was, r storage.Row) {
	if was.Due.Equal(r.Due) {
		return
	}
	shard := &t.due[r.DueShard()]
	if !was.Due.IsZero() {
		if at, ok := slices.BinarySearchFunc(*shard, storage.DueRow{Key: r.Key, Due: was.Due}, compareDue); ok {
			*shard = slices.Delete(*shard, at, at+1)
		}
	}
	if !r.Due.IsZero() {
		d := storage.DueRow{Key: r.Key, Due: r.Due}
		at, _ := slices.BinarySearchFunc(*shard, d, compareDue)
		*shard = slices.Insert(*shard, at, d)
	}
}

func compareDue(a, b storage.DueRow) int {
	return cmp.Or(a.Due.Compare(b.Due), cmp.Compare(a.PK, b.PK), cmp.Compare(a.SK, b.SK))
}

// get is GetItem or BatchGetItem. The caller holds w.mu.
func (t *tables) get(keys []storage.Key) ([]storage.Row, error) {
	ds := make([]demand, len(keys))
	var out []storage.Row
	for i, k := range keys {
		r, ok := t.rows[k]
		ds[i] = t.of(k, "read", max(readUnits(r), 1))
		if ok {
			out = append(out, r)
		}
	}
	if err := t.grant(ds...); err != nil {
		return nil, err
	}
	for _, d := range ds {
		t.meter(&t.readUnits, d.units)
	}
	return out, nil
}

// list is Query on the registrations table; nothing that is played lists the
// other. The caller holds w.mu.
func (t *tables) list(q storage.Query) (storage.Page, error) {
	if q.Table != storage.Registrations || q.Newest || q.Open {
		return storage.Page{}, errors.New("not modelled: a list of " + string(q.Table))
	}
	var p storage.Page
	for _, sk := range t.lists[q.PK] {
		if sk < q.From || q.To != "" && sk >= q.To || sk <= q.After {
			continue
		}
		if len(p.Rows) == q.PageRows() {
			p.Next = p.Rows[len(p.Rows)-1].SK
			break
		}
		p.Rows = append(p.Rows, t.rows[storage.Key{Table: q.Table, PK: q.PK, SK: sk}])
	}
	d := t.of(storage.Key{Table: q.Table, PK: q.PK}, "read", math.Ceil(float64(len(p.Rows)+1)/8))
	if err := t.grant(d); err != nil {
		return storage.Page{}, err
	}
	t.meter(&t.readUnits, d.units)
	return p, nil
}

// forget drops rows that are final, of which nothing is asked any more, to save
// memory: messages come again within 15 minutes.
func (t *tables) forget(keys []storage.Key) {
	for _, k := range keys {
		delete(t.rows, k)
	}
}
