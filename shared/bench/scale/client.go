package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"ringback/shared/storage"
)

// A role is what a gateway is for.
type role int

const (
	setUp role = iota // before time counts
	ingest
	worker
	retry
)

// tries is how often the SDK tries a request that is throttled ("Retry
// behavior", standard mode).
const tries = 3

// A client is Store and Queue of one environment.
//
// Retry is one environment for all sources. It gets through an n-th of the rows
// because each call takes it n times as long, and each page has an n-th of the
// rows, so that it looks at its deadline as often. What it does for several rows
// at once counts for each by its share. What it reads to remember it would be
// forgotten by then, so such a read takes as long as ever, and the next write
// makes up for it.
type client struct {
	w    *world
	role role
	name string // of the environment; tells calls apart that are made at the same instant
	owed *float64
}

// call waits as long as a call takes: mean on average.
func (c client) call(ctx context.Context, mean time.Duration, share float64, what, about string) error {
	if c.role == setUp {
		return nil
	}
	w := c.w
	if c.role == retry {
		mean = time.Duration(float64(mean) * w.n * share)
	}
	time.Sleep(mean/2 + time.Duration(float64(mean)/2*w.exponential(what, c.name+about)))
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// dynamo makes a request, again as the SDK does while it is throttled.
func (c client) dynamo(ctx context.Context, share float64, what, about string, do func() error) error {
	for try := 1; ; try++ {
		if err := c.call(ctx, dynamoTime, share, what, about); err != nil {
			return err
		}
		c.w.mu.Lock()
		err := do()
		c.w.mu.Unlock()
		if err != errThrottled || try == tries {
			return err
		}
		time.Sleep(time.Duration(c.w.chance("backoff", c.name+about) * float64(50*time.Millisecond<<try)))
	}
}

// share is how much of a call that Retry makes for ten or a hundred rows falls
// on those that it makes it for in the sample.
func (c client) share(rows, of int) float64 {
	if c.role == retry {
		return float64(rows) / float64(of)
	}
	return 1
}

// owe puts off a share of a call.
func (c client) owe(share float64) {
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	*c.owed += share
}

// pay returns what was put off.
func (c client) pay() float64 {
	if c.role != retry {
		return 0
	}
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	owed := *c.owed
	*c.owed = 0
	return owed
}

func (c client) Get(ctx context.Context, keys ...storage.Key) (out []storage.Row, err error) {
	if err := storage.CheckGet(keys); err != nil || len(keys) == 0 {
		return nil, err
	}
	share := 1.0
	if strings.HasPrefix(keys[0].PK, "D#") {
		share = c.share(len(keys), 10)
	} else if c.role == retry {
		share = 1 / c.w.n
		c.owe(1 - share)
	}
	err = c.dynamo(ctx, share, "get", keys[0].PK+" "+keys[0].SK, func() error {
		out, err = c.w.tables.get(keys)
		return err
	})
	return out, err
}

func (c client) Put(ctx context.Context, r storage.Row, was string) error {
	if err := r.Check(); err != nil {
		return err
	}
	return c.dynamo(ctx, 1+c.pay(), "put", r.PK+" "+r.SK, func() error {
		if c.role == retry {
			c.w.m.moved += c.w.n
		}
		return c.w.tables.put(r, was)
	})
}

func (c client) Delete(context.Context, storage.Key, string) error {
	return fmt.Errorf("not modelled: delete")
}

func (c client) List(ctx context.Context, q storage.Query) (p storage.Page, err error) {
	err = c.dynamo(ctx, 1, "list", q.PK+" "+q.From, func() error {
		p, err = c.w.tables.list(q)
		return err
	})
	return p, err
}

func (c client) Due(ctx context.Context, shard int, until time.Time, after string, limit int) (out []storage.DueRow, next string, err error) {
	limit = max(limit/c.w.a.Sample, 1)
	var last storage.DueRow
	if ms, ok := storage.ParseDueFrom(after); ok {
		last = storage.DueRow{Due: time.UnixMilli(ms)}
	} else if after != "" {
		parts := strings.SplitN(after, " ", 3)
		ns, _ := strconv.ParseInt(parts[0], 10, 64)
		last = storage.DueRow{Key: storage.Key{PK: parts[1], SK: parts[2]}, Due: time.Unix(0, ns)}
	}
	c.w.mu.Lock()
	for _, d := range c.w.tables.due[shard] {
		if d.Due.After(until) || len(out) == limit {
			break
		}
		if after == "" || compareDue(d, last) > 0 {
			out = append(out, d)
		}
	}
	c.w.tables.meter(&c.w.tables.readUnits, max(1/c.w.n, float64(len(out))/100))
	c.w.mu.Unlock()
	if len(out) == limit {
		end := out[len(out)-1]
		next = fmt.Sprintf("%d %s %s", end.Due.UnixNano(), end.PK, end.SK)
	}
	return out, next, c.call(ctx, dynamoTime, float64(max(len(out), 1))/100, "due", strconv.Itoa(shard)+after)
}

func (c client) Send(ctx context.Context, name storage.QueueName, ms []storage.Message) []error {
	errs := storage.CheckSend(name, ms)
	share := c.share(len(ms), storage.MaxSend)
	err := c.call(ctx, sqsTime, share, "send", string(name)+strconv.Itoa(len(ms[0].Body)))
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	q := c.w.queue(name)
	q.requests += c.w.n * share
	if ms[0].Group != "" {
		q.fair += c.w.n * share
	}
	for i, m := range ms {
		if err != nil {
			errs[i] = err
		}
		if errs[i] == nil {
			c.w.sent++
			q.add(message{number: c.w.sent, body: m.Body}, m.Delay)
		}
	}
	return errs
}

// Depth is of the whole.
func (c client) Depth(ctx context.Context, name storage.QueueName) (storage.Depth, error) {
	err := c.call(ctx, sqsTime, 1/c.w.n, "depth", string(name))
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	q := c.w.queue(name)
	n := c.w.a.Sample
	return storage.Depth{Waiting: n * len(q.waiting), InFlight: n * len(q.inFlight), Delayed: n * len(q.later), Dead: n * len(q.dead)}, err
}

func (c client) Redrive(context.Context, storage.QueueName) error {
	return fmt.Errorf("not modelled: redrive")
}
