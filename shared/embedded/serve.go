package embedded

import (
	"cmp"
	"container/list"
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"sync"
	"time"

	"ringback/shared/storage"
)

// maxBatch is the largest batch of a handler ("ReceiveMessage", Amazon SQS API Reference).
const maxBatch = 10

// A Consumer says how Serve hands out messages.
type Consumer struct {
	Handler     storage.Handler
	Batch       int           // messages a call of Handler, at most; 1 to 10, by default 10
	Concurrency int           // calls at once; by default 1
	Timeout     time.Duration // of the context of a call; by default the visibility timeout
}

// An inFlightBatch is with a handler.
type inFlightBatch struct {
	messages []message // receives includes this one
	deadline time.Time // when its messages become visible again
	element  *list.Element
	expired  bool // they did
}

// Serve hands messages of the queue to c until ctx ends; then it waits for running handlers and for the commit of
// their results. A handler's context does not end with ctx. A panic of the handler counts as its error. Messages that
// it did not finish are received again after the visibility timeout, counted from when they were received.
func (db *DB) Serve(ctx context.Context, name storage.QueueName, c Consumer) error {
	if err := name.Check(); err != nil {
		return err
	}
	q := db.queue(name)
	c, err := c.withDefaults(q.visibility)
	if err != nil {
		return err
	}
	var running sync.WaitGroup
	db.dispatch(ctx, q, c, &running)
	running.Wait()
	return db.flush()
}

func (c Consumer) withDefaults(visibility time.Duration) (Consumer, error) {
	c.Batch = cmp.Or(c.Batch, maxBatch)
	c.Concurrency = cmp.Or(c.Concurrency, 1)
	c.Timeout = cmp.Or(c.Timeout, visibility)
	if c.Handler == nil || c.Batch < 0 || c.Batch > maxBatch || c.Concurrency < 0 || c.Timeout < 0 {
		return c, fmt.Errorf("%w: consumer", storage.ErrInvalid)
	}
	return c, nil
}

// dispatch starts a handler for each batch, within c's limits, until ctx ends.
func (db *DB) dispatch(ctx context.Context, q *queue, c Consumer, running *sync.WaitGroup) {
	wake := q.join(c)
	defer q.leave(c, wake)
	slots := make(chan struct{}, c.Concurrency)
	handling := context.WithoutCancel(ctx)
	if q.isBackground() {
		handling = context.WithValue(handling, backgroundKey{}, true)
	}
	for {
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			return
		}
		f := q.next(ctx, db, c, wake)
		if f == nil {
			return
		}
		running.Go(func() {
			growStack()
			db.finish(q, f, c, c.handle(handling, q.name, f))
			<-slots
		})
	}
}

// isBackground reports whether what q's handlers write goes into background commits.
func (q *queue) isBackground() bool { return q.name != storage.EventsQueue }

// growStack gives a new goroutine at once the stack that a handler needs. Otherwise its stack would be doubled, and
// copied, three times.
//
//go:noinline
func growStack() {
	var stack [12 << 10]byte
	runtime.KeepAlive(&stack)
}

func (q *queue) join(c Consumer) (wake chan struct{}) {
	wake = make(chan struct{}, 1)
	q.mu.Lock()
	defer q.mu.Unlock()
	q.consumers = append(q.consumers, wake)
	q.idleCapacity += c.Concurrency * c.Batch
	q.changed = true
	wakeUp(q.loader)
	return wake
}

func (q *queue) leave(c Consumer, wake chan struct{}) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.consumers = slices.DeleteFunc(q.consumers, func(w chan struct{}) bool { return w == wake })
	q.idleCapacity -= c.Concurrency * c.Batch
}

// next waits for messages and returns a batch of them; nil when ctx ends.
func (q *queue) next(ctx context.Context, db *DB, c Consumer, wake chan struct{}) *inFlightBatch {
	for ctx.Err() == nil {
		f, save := q.receive(c.Batch)
		if save {
			db.writer.submitAs(q.isBackground(), saveHanded{q})
		}
		if f != nil {
			return f
		}
		select {
		case <-wake:
		case <-ctx.Done():
		}
	}
	return nil
}

// receive returns a batch of at most n messages, nil if none is ready, and whether a saveHanded must be submitted.
func (q *queue) receive(n int) (f *inFlightBatch, save bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	ms := make([]message, 0, n)
	ms, q.marked = shift(ms, q.marked)
	marked := len(ms)
	ms, q.ready = shift(ms, q.ready)
	if len(ms) == 0 {
		return nil, false
	}
	for i := range ms {
		ms[i].receives++
	}
	for _, m := range ms[marked:] {
		q.readySize -= len(m.body)
		q.handed = m.id
	}
	f = &inFlightBatch{messages: ms, deadline: time.Now().Add(q.visibility)}
	f.element = q.inFlightBatches.PushBack(f)
	q.inFlight += len(ms)
	q.idleCapacity -= n
	if q.inFlightBatches.Len() == 1 || q.mustRead() {
		wakeUp(q.loader)
	}
	save = q.handed > q.committed.handed && !q.savingHanded
	q.savingHanded = q.savingHanded || save
	return f, save
}

// shift moves messages from the front of src to dst, up to dst's capacity.
func shift(dst, src []message) (grown, rest []message) {
	n := min(cap(dst)-len(dst), len(src))
	dst = append(dst, src[:n]...)
	clear(src[:n])
	return dst, src[n:]
}

// handle calls c's handler and returns the messages of f that must be received again.
func (c Consumer) handle(ctx context.Context, name storage.QueueName, f *inFlightBatch) (unfinished []message) {
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	ms := make([]storage.Received, len(f.messages))
	for i, m := range f.messages {
		ms[i] = storage.Received{Body: m.body, Receipt: strconv.Itoa(i), Receives: m.receives}
	}
	receipts, err := c.call(ctx, ms)
	if err != nil {
		slog.ErrorContext(ctx, "handle messages", "queue", name, "messages", len(ms), "error", err)
		return f.messages
	}
	for _, r := range receipts {
		i, err := strconv.Atoi(r)
		if err != nil || i < 0 || i >= len(f.messages) {
			slog.ErrorContext(ctx, "handle messages", "queue", name, "messages", len(ms), "error", "unknown receipt")
			return f.messages
		}
		unfinished = append(unfinished, f.messages[i])
	}
	return unfinished
}

// call turns a panic of the handler into an error.
func (c Consumer) call(ctx context.Context, ms []storage.Received) (unfinished []string, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return c.Handler(ctx, ms)
}
