package gateway

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"ringback/shared/provider"
	"ringback/shared/storage"
)

// sendAgain is kept of the time for the answer: no resend of what the queue
// refused begins later.
const sendAgain = 500 * time.Millisecond

// send sends ms in as few calls as the queue's limits allow, and what was
// refused again.
func (c *core) send(ctx context.Context, q storage.QueueName, ms []storage.Message) error {
	for len(ms) > 0 {
		n, size := 0, 0
		for n < len(ms) && n < storage.MaxSend && (n == 0 || size+len(ms[n].Body) <= storage.MaxMessageBytes) {
			size += len(ms[n].Body)
			n++
		}
		if err := c.sendBatch(ctx, q, ms[:n]); err != nil {
			return err
		}
		ms = ms[n:]
	}
	return nil
}

func (c *core) sendBatch(ctx context.Context, q storage.QueueName, ms []storage.Message) error {
	var last error
	for range 5 {
		errs := c.Queue.Send(ctx, q, ms)
		var left []storage.Message
		for i, err := range errs {
			switch {
			case errors.Is(err, storage.ErrTooLarge) || errors.Is(err, storage.ErrInvalid):
				return fmt.Errorf("send to %s: %w", q, err)
			case err != nil:
				left, last = append(left, ms[i]), err
			}
		}
		if ms = left; len(ms) == 0 {
			return nil
		}
		if timeLeft(ctx) < sendAgain {
			break
		}
	}
	return fmt.Errorf("send %d messages to %s: %w: %v", len(ms), q, storage.ErrUnavailable, last)
}

// enqueue sends as to the events queue. What the queue refuses is sent again
// as long as there is time; then the error wraps storage.ErrUnavailable.
func (c *core) enqueue(ctx context.Context, as []arrival) error {
	if len(as) == 0 {
		return nil
	}
	ms, err := packEvents(as, c.fairGroup(as[0].Source))
	if err != nil {
		return err
	}
	return c.send(ctx, storage.EventsQueue, ms)
}

// SendTo queues an event of the gateway's own. The same id makes the same
// event, so it may be called again.
func (c *core) SendTo(ctx context.Context, e provider.Event) error {
	if !Own(&e) || e.ID == "" {
		return fmt.Errorf("send an event of our own: %w: want its id and whom it is for", storage.ErrInvalid)
	}
	return c.enqueue(ctx, []arrival{{Event: e, token: Digest(e.ID + e.Only)}})
}

// sendSelf puts the message of h on the retry queue, to be received after delay.
// A failure is no error: what it is for falls due.
func (c *core) sendSelf(ctx context.Context, h header, hops int, delay time.Duration) {
	h.Hops = hops
	m, err := retryMessageOf(h, delay)
	if err == nil {
		err = c.send(ctx, storage.RetryQueue, []storage.Message{m})
	}
	if err != nil {
		c.Log.Warn("retry", "kind", string(h.Kind), "id", h.ID, "outcome", "not sent", "why", err.Error())
		if c.Alone { // else there is no tick in this process
			c.keepUnsent(m)
		}
	}
}

// unsent are messages of the retry queue that this process could not send.
type unsent struct {
	mu sync.Mutex
	ms []storage.Message
	at []time.Time // when each is to be received
}

const mostUnsent = 10_000 // what is forgotten falls due

func (c *core) keepUnsent(ms ...storage.Message) {
	c.unsent.mu.Lock()
	defer c.unsent.mu.Unlock()
	for _, m := range ms[:min(len(ms), mostUnsent-len(c.unsent.ms))] {
		c.unsent.ms, c.unsent.at = append(c.unsent.ms, m), append(c.unsent.at, time.Now().Add(m.Delay))
	}
}

// takeUnsent returns what keepUnsent kept, each with what is left of its delay.
func (c *core) takeUnsent() []storage.Message {
	c.unsent.mu.Lock()
	defer c.unsent.mu.Unlock()
	ms, at := c.unsent.ms, c.unsent.at
	c.unsent.ms, c.unsent.at = nil, nil
	for i := range ms {
		ms[i].Delay = max(time.Until(at[i]), 0)
	}
	return ms
}

func retryMessageOf(h header, delay time.Duration) (storage.Message, error) {
	body, err := packHeader(h)
	return storage.Message{Body: body, Delay: min(max(delay, 0), storage.MaxDelay)}, err
}
