package simulation

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"ringback/shared/app"
	"ringback/shared/gateway"
	"ringback/shared/provider/all"
	"ringback/shared/storage"
	"ringback/shared/transfer"
)

// A process is one life of a gateway.
type process struct {
	w      *world // nil: it is not of a gateway, and never ends
	number int
	role   string
	g      *gateway.Gateway
	ctx    context.Context // ends with the process
	cancel context.CancelFunc
	wrong  atomic.Int64 // how far its clock is ahead, in nanoseconds

	ended   bool // the world's alone
	running int  // handlers
}

// newProcess starts a process for a role.
func (w *world) newProcess(role string) *process {
	w.processes++
	p := &process{w: w, number: w.processes, role: role}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	settings := w.settings
	settings.MaxConcurrency = w.plan.atOnce
	var err error
	p.g, err = app.New(settings, app.Parts{Steps: transfer.Steps,
		Store: processStore{p}, Queue: processQueue{p}, Keys: w.keys, Providers: all.Providers(),
		SingleProcess: w.plan.alone, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		panic(err) // unreachable: it has a Store and a Queue
	}
	p.g.Egress.Transport = processTransport{p}
	p.g.Random = byInstant
	p.g.Now = func() time.Time { return time.Now().Add(time.Duration(p.wrong.Load())) }
	w.setClock(p)
	w.alive = append(w.alive, p)
	return p
}

// byInstant is a number in [0,1) that follows from the instant at which it is
// drawn, whatever else is drawn then.
func byInstant() float64 {
	x := uint64(time.Now().UnixNano())
	for range 3 {
		x = (x ^ x>>33) * 0xff51afd7ed558ccd
	}
	return float64(x>>11) / (1 << 53)
}

// setClock makes p's clock wrong by up to two seconds.
func (w *world) setClock(p *process) {
	if w.plan.skew > 0 {
		p.wrong.Store(w.rng.Int64N(2*int64(w.plan.skew)) - int64(w.plan.skew))
	}
}

func (p *process) do(ctx context.Context, name, about string, effect func()) error {
	return p.w.park(ctx, p, name, about, effect)
}

// processStore is the Store of a process.
type processStore struct{ *process }

func (s processStore) Get(ctx context.Context, keys ...storage.Key) (out []storage.Row, err error) {
	name, about := "get", ""
	if len(keys) > 0 {
		name, about = "get "+kindOf(keys[0]), keys[0].PK+" "+keys[0].SK
	}
	if gone := s.do(ctx, name, about, func() { out, err = s.w.store().Get(ctx, keys...) }); gone != nil {
		return nil, gone
	}
	return out, err
}

func (s processStore) Put(ctx context.Context, r storage.Row, was string) (err error) {
	about := r.PK + " " + r.SK
	if gone := s.do(ctx, "put "+kindOf(r.Key), about, func() { err = s.w.store().Put(ctx, r, was) }); gone != nil {
		return gone
	}
	return err
}

func (s processStore) Delete(ctx context.Context, k storage.Key, was string) (err error) {
	about := k.PK + " " + k.SK
	if gone := s.do(ctx, "delete "+kindOf(k), about, func() { err = s.w.store().Delete(ctx, k, was) }); gone != nil {
		return gone
	}
	return err
}

func (s processStore) List(ctx context.Context, q storage.Query) (p storage.Page, err error) {
	about := q.PK + " " + q.From + " " + q.After
	if gone := s.do(ctx, "list "+kindOf(storage.Key{Table: q.Table, PK: q.PK}), about, func() { p, err = s.w.store().List(ctx, q) }); gone != nil {
		return p, gone
	}
	return p, err
}

// Due does not park for a shard in which nothing was due for long: most are so.
func (s processStore) Due(ctx context.Context, shard int, until time.Time, after string, limit int) (out []storage.DueRow, next string, err error) {
	if s.w.on.nothingDue(shard, until) {
		return nil, "", nil
	}
	if gone := s.do(ctx, "due", string(rune('a'+shard))+after, func() { out, next, err = s.w.store().Due(ctx, shard, until, after, limit) }); gone != nil {
		return nil, "", gone
	}
	return out, next, err
}

// kindOf names the kind of row that k is of: the letters before the ids.
func kindOf(k storage.Key) string {
	pk, _, _ := strings.Cut(k.PK, "#")
	if k.Table == storage.Deliveries {
		return pk
	}
	sk, _, _ := strings.Cut(k.SK, "#")
	if len(sk) != 1 {
		sk = "" // an id
	}
	return strings.TrimSpace(pk + " " + sk)
}

// processQueue is the Queue of a process.
type processQueue struct{ *process }

func (q processQueue) Send(ctx context.Context, name storage.QueueName, ms []storage.Message) (errs []error) {
	about, _, _ := strings.Cut(ms[0].Body, `"e":`) // what follows may be in any order
	if gone := q.do(ctx, "send to "+string(name), about, func() { errs = q.w.queue().Send(ctx, name, ms) }); gone != nil {
		errs = make([]error, len(ms))
		for i := range errs {
			errs[i] = gone
		}
	}
	return errs
}

func (q processQueue) Depth(ctx context.Context, name storage.QueueName) (d storage.Depth, err error) {
	if gone := q.do(ctx, "depth of "+string(name), "", func() { d, err = q.w.queue().Depth(ctx, name) }); gone != nil {
		return d, gone
	}
	return d, err
}

func (q processQueue) Redrive(ctx context.Context, name storage.QueueName) (err error) {
	if gone := q.do(ctx, "redrive of "+string(name), "", func() { err = q.w.queue().Redrive(ctx, name) }); gone != nil {
		return gone
	}
	return err
}

// processTransport is the way of a process to the tenants.
type processTransport struct{ *process }

func (t processTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := bodyOf(r)
	if err != nil {
		return nil, err
	}
	r.Header = arrived(r.Header)
	var a answer
	about := r.URL.Host + " " + r.Header.Get("Webhook-Id")
	if gone := t.do(r.Context(), "POST", about, func() { a = t.w.arrive(t.process, r, body) }); gone != nil {
		return nil, gone
	}
	return a.travel(r)
}
