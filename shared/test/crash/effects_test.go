package crash

import (
	"context"
	"encoding/json"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"time"

	"ringback/shared/storage"
)

// A process is one life of the gateway. Once it has ended, nothing that its
// goroutines do reaches the outside, and nothing comes back to them: each ends
// where it tries, as if it had never gone on. They are left by Goexit, which
// no recover can stop.
type process struct {
	out   *outside
	exit  func() // ends the real process; nil: this one is played
	ended chan struct{}
	once  sync.Once
}

// do has one effect on the outside.
func (p *process) do(name string, effect func()) {
	p.check()
	before, after := p.out.next(name)
	if before {
		p.end()
	}
	effect()
	if after {
		p.end()
	}
	p.check()
}

func (p *process) end() {
	p.once.Do(func() {
		if p.exit != nil {
			p.exit()
		}
		close(p.ended)
	})
	runtime.Goexit()
}

func (p *process) check() {
	if p.dead() {
		runtime.Goexit()
	}
}

func (p *process) dead() bool {
	select {
	case <-p.ended:
		return true
	default:
		return false
	}
}

// mortalStore is the Store of a process. It notes which rows were written.
type mortalStore struct {
	storage.Store
	*process
}

func (s mortalStore) Put(ctx context.Context, r storage.Row, was string) (err error) {
	s.out.addRow(r.Key)
	s.do("put "+kindOf(r.Key), func() { err = s.Store.Put(ctx, r, was) })
	return err
}

func (s mortalStore) Delete(ctx context.Context, k storage.Key, was string) (err error) {
	s.do("delete "+kindOf(k), func() { err = s.Store.Delete(ctx, k, was) })
	return err
}

func (s mortalStore) Get(ctx context.Context, keys ...storage.Key) ([]storage.Row, error) {
	defer s.check()
	s.check()
	return s.Store.Get(ctx, keys...)
}

func (s mortalStore) List(ctx context.Context, q storage.Query) (storage.Page, error) {
	defer s.check()
	s.check()
	return s.Store.List(ctx, q)
}

func (s mortalStore) Due(ctx context.Context, shard int, until time.Time, after string, limit int) ([]storage.DueRow, string, error) {
	defer s.check()
	s.check()
	return s.Store.Due(ctx, shard, until, after, limit)
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

// mortalQueue is the Queue of a process.
type mortalQueue struct {
	storage.Queue
	*process
}

func (q mortalQueue) Send(ctx context.Context, name storage.QueueName, ms []storage.Message) (errs []error) {
	q.do("send "+messageKind(ms[0].Body), func() { errs = q.Queue.Send(ctx, name, ms) })
	return errs
}

func (q mortalQueue) Depth(ctx context.Context, name storage.QueueName) (storage.Depth, error) {
	defer q.check()
	q.check()
	return q.Queue.Depth(ctx, name)
}

func (q mortalQueue) Redrive(ctx context.Context, name storage.QueueName) (err error) {
	q.do("redrive "+string(name), func() { err = q.Queue.Redrive(ctx, name) })
	return err
}

func messageKind(body string) string {
	line, _, _ := strings.Cut(body, "\n")
	var h struct {
		Kind string `json:"k"`
	}
	if err := json.Unmarshal([]byte(line), &h); err != nil {
		return "unreadable"
	}
	return h.Kind
}

// untilDeleted is how much later than the handler's answer a process ends that
// ends after the deletion: what hands out messages does that by itself.
const untilDeleted = time.Millisecond

// handler is h within a process. That its messages are deleted is an effect.
func (p *process) handler(name storage.QueueName, h storage.Handler) storage.Handler {
	return func(ctx context.Context, ms []storage.Received) ([]string, error) {
		p.check()
		again, err := h(ctx, ms)
		p.check()
		if err != nil || len(again) == len(ms) {
			return again, err
		}
		before, after := p.out.next("delete of " + string(name))
		switch {
		case before:
			p.end()
		case after:
			time.AfterFunc(untilDeleted, p.end)
		}
		return again, nil
	}
}

// mortalTransport is the way of a process to the tenants.
type mortalTransport struct {
	*process
}

func (t mortalTransport) RoundTrip(r *http.Request) (resp *http.Response, err error) {
	t.do("POST "+r.URL.Host, func() { resp, err = t.out.RoundTrip(r) })
	return resp, err
}
