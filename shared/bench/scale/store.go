package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"ringback/shared/storage"
)

// DynamoDB.
const (
	dynamoTime = 5 * time.Millisecond // of a call in the region
	keyWrites  = 1000                 // units a second of one partition key ("Best practices for designing partition keys")
	keyReads   = 3000
	newWrites  = 4000 // units a second of a new table or index ("Understanding DynamoDB warm throughput")
	newReads   = 12_000
)

// errThrottled is ProvisionedThroughputExceededException, or ThrottlingException.
var errThrottled = errors.New("throttled")

// A limit is what a table, an index or a partition key takes: so much a second, and so much at
// once as it is deep. Who finds any left takes what is needed, which may be more.
type limit struct {
	name            string
	most            float64 // units a second of the whole
	scale           float64 // units of the whole for one of the sample
	depth, left     float64 // of the sample
	at              time.Time
	used, throttled float64 // units and requests, of the whole
}

// A demand is what a request needs of a limit.
type demand struct {
	*limit
	units float64
}

// demand needs units of a limit, which it makes at its first use. If that is of all sources, it is averaged over
// √n seconds, since the fewer requests of the sample are less even.
func (w *world) demand(name string, most, scale, units float64) demand {
	if w.limits[name] == nil {
		depth := most / math.Sqrt(scale)
		w.limits[name] = &limit{name: name, most: most, scale: scale, depth: depth, left: depth, at: time.Now()}
	}
	return demand{w.limits[name], units}
}

func (w *world) reads(k storage.Key, units float64) []demand {
	most := map[storage.Table]float64{storage.Registrations: w.s.WarmReads, storage.Deliveries: newReads}[k.Table]
	return []demand{w.demand(string(k.Table)+", reads", most, w.n, units), w.demand("reads of "+k.PK, keyReads, w.uses(k.PK), units)}
}

// writes returns what a write needs: of table, key and, to enter or leave the due index, a unit there, to move two. The
// open index, which few rows enter, is not modelled.
func (w *world) writes(was, r storage.Row) []demand {
	most := map[storage.Table]float64{storage.Registrations: newWrites, storage.Deliveries: w.s.WarmWrites}[r.Table]
	n, moves := max(units(r), units(was)), 2.0
	ds := []demand{w.demand(string(r.Table)+", writes", most, w.n, n), w.demand("writes of "+r.PK, keyWrites, w.uses(r.PK), n)}
	if was.Due.Equal(r.Due) {
		return ds
	}
	if was.Due.IsZero() || r.Due.IsZero() {
		moves = 1
	}
	shard := "due index, writes of shard " + string(rune('a'+r.DueShard()))
	return append(ds, w.demand("due index, writes", newWrites, w.n, moves), w.demand(shard, keyWrites, w.n, moves))
}

// grant takes all that is demanded, or nothing: an index that is throttled holds up the write to its table.
func (w *world) grant(ds ...demand) error {
	for _, d := range ds {
		d.left = min(d.left+d.most/d.scale*time.Since(d.at).Seconds(), d.depth)
		if d.at = time.Now(); d.left <= 0 && w.started {
			d.throttled += w.n
			return errThrottled
		}
	}
	for _, d := range ds {
		if w.started {
			d.left -= d.units
			d.used += d.units * d.scale
		}
	}
	return nil
}

// units is what a row costs to write. shared/cloud packs a row of more than one unit with a dictionary.
func units(r storage.Row) float64 {
	const packed, others = 0.6, 60 // others: revision, times, names
	return math.Ceil(packed * float64(len(r.PK)+len(r.SK)+len(r.Data)+len(r.Body)+others) / 1024)
}

// tries is how often the SDK tries a request that is throttled ("Retry behavior", standard mode).
const tries = 3

// A client is the Store and the Queue of one environment, as far as they are played. Retry is one for all sources: each
// of its writes takes n times as long, so that it gets through an n-th of the rows that it would write in full.
type client struct {
	storage.Store
	storage.Queue
	w    *world
	name string // of the environment; tells apart calls that are made at the same instant
}

// call makes a request that takes mean on average, again as the SDK does while it is throttled.
func (c client) call(ctx context.Context, mean time.Duration, what string, do func() error) error {
	for try := 1; ; try++ {
		if c.w.started {
			time.Sleep(mean/2 + time.Duration(float64(mean)/2*c.w.random(c.name+what).ExpFloat64()))
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		c.w.mu.Lock()
		err := do()
		c.w.mu.Unlock()
		if err != errThrottled || try == tries {
			return err
		}
		time.Sleep(time.Duration(c.w.random("backoff"+c.name+what).Float64() * float64(50*time.Millisecond<<try)))
	}
}

func (c client) Get(ctx context.Context, keys ...storage.Key) (out []storage.Row, err error) {
	err = c.call(ctx, dynamoTime, fmt.Sprint("get", keys), func() error {
		var ds []demand
		out = nil
		for _, k := range keys {
			r, ok := c.w.rows[k]
			ds = append(ds, c.w.reads(k, math.Ceil(units(r)/4))...)
			if ok {
				out = append(out, r)
			}
		}
		return c.w.grant(ds...)
	})
	return out, err
}

func (c client) Put(ctx context.Context, r storage.Row, was string) error {
	mean := dynamoTime
	if c.name == retry {
		mean *= time.Duration(c.w.s.Sample)
	}
	return c.call(ctx, mean, "put"+r.PK+r.SK, func() error {
		w := c.w
		stored, found := w.rows[r.Key]
		conflict := !(found && stored.Rev == r.Rev) && was != storage.AnyRev && stored.Rev != was
		if conflict {
			r.Due = stored.Due // no index is written
		}
		if err := w.grant(w.writes(stored, r)...); err != nil {
			return err
		}
		if conflict {
			return &storage.ConflictError{Stored: stored}
		}
		if !found && r.Table == storage.Registrations {
			w.lists[r.PK] = append(w.lists[r.PK], r.SK)
			slices.Sort(w.lists[r.PK])
		}
		if w.rows[r.Key], w.due[r.Key] = r, r.Due; r.Due.IsZero() {
			delete(w.due, r.Key)
		}
		w.wrote(r)
		return nil
	})
}

// List is of the registrations table, of which no list has more than a page; nothing that is played lists the other.
func (c client) List(ctx context.Context, q storage.Query) (p storage.Page, err error) {
	err = c.call(ctx, dynamoTime, "list"+q.PK+q.From, func() error {
		p.Rows = nil
		for _, sk := range c.w.lists[q.PK] {
			if sk >= q.From && (q.To == "" || sk < q.To) && sk > q.After {
				p.Rows = append(p.Rows, c.w.rows[storage.Key{Table: q.Table, PK: q.PK, SK: sk}])
			}
		}
		return c.w.grant(c.w.reads(storage.Key{Table: q.Table, PK: q.PK}, math.Ceil(float64(len(p.Rows)+1)/8))...)
	})
	return p, err
}

// Due returns all in one page: a Retry that cannot write them in its time ends with an error.
func (c client) Due(ctx context.Context, shard int, until time.Time, after string, _ int) (out []storage.DueRow, _ string, _ error) {
	from, _ := storage.ParseDueFrom(after)
	err := c.call(ctx, dynamoTime, fmt.Sprint("due", shard, after), func() error {
		for k, due := range c.w.due {
			if c.w.rows[k].DueShard() == shard && !due.After(until) && due.UnixMilli() >= from {
				out = append(out, storage.DueRow{Key: k, Due: due})
			}
		}
		slices.SortFunc(out, func(a, b storage.DueRow) int {
			return cmp.Or(a.Due.Compare(b.Due), cmp.Compare(a.PK, b.PK), cmp.Compare(a.SK, b.SK))
		})
		return nil
	})
	return out, "", err
}

func (c client) Send(ctx context.Context, name storage.QueueName, ms []storage.Message) []error {
	errs := storage.CheckSend(name, ms)
	err := c.call(ctx, sqsTime, fmt.Sprint("send", name, len(ms[0].Body)), func() error {
		for i, m := range ms {
			if errs[i] == nil {
				c.w.sent++
				c.w.queues[name].add(&message{number: c.w.sent, body: m.Body}, m.Delay)
			}
		}
		return nil
	})
	for i := range errs {
		errs[i] = cmp.Or(errs[i], err)
	}
	return errs
}

// Depth is of the whole, of what Retry asks for.
func (c client) Depth(ctx context.Context, name storage.QueueName) (d storage.Depth, err error) {
	err = c.call(ctx, sqsTime, "depth"+string(name), func() error {
		d.Waiting, d.InFlight = c.w.s.Sample*len(c.w.queues[name].waiting), c.w.s.Sample*c.w.queues[name].busy
		return nil
	})
	return d, err
}
