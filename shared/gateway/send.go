package gateway

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"ringback/shared/message"
	"ringback/shared/provider"
	"ringback/shared/storage"
)

// resendMargin is kept of the time for the answer: no resend of what the queue refused begins later.
const resendMargin = 500 * time.Millisecond

// send sends ms in as few calls as the queue's limits allow, and what was refused again.
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
		if timeLeft(ctx) < resendMargin {
			break
		}
	}
	return fmt.Errorf("send %d messages to %s: %w: %v", len(ms), q, storage.ErrUnavailable, last)
}

// enqueue sends as to the events queue. What the queue refuses is sent again
// as long as there is time; then the error wraps storage.ErrUnavailable.
func (c *core) enqueue(ctx context.Context, as []message.InboundEvent) error {
	if len(as) == 0 {
		return nil
	}
	ms, err := message.Pack(as, c.fairGroup(as[0].Source))
	if err != nil {
		return err
	}
	return c.send(ctx, storage.EventsQueue, ms)
}

// SendTo queues an event of the gateway's own. The same id makes the same event, so it may be called again.
func (c *core) SendTo(ctx context.Context, e provider.Event) error {
	if !OwnEvent(&e) || e.ID == "" {
		return fmt.Errorf("send an event of our own: %w: want its id and whom it is for", storage.ErrInvalid)
	}
	return c.enqueue(ctx, []message.InboundEvent{{Event: e, Token: Digest(e.ID + e.Recipient)}})
}

// A path is the queue that leads to a later attempt, and the group of its
// messages: the slow queue is served tenant by tenant.
type path struct {
	queue storage.QueueName
	group string
}

var fastPath = path{queue: storage.RetryQueue}

// retryPath returns the slow path if slow says so, or if the registration's endpoint is not known to be fast.
func (c *core) retryPath(ctx context.Context, slow bool, registration, tenant string) path {
	if !slow {
		fast, err := c.fast(ctx, registration, tenant, "")
		slow = err == nil && !fast // else whoever receives the message finds out
	}
	if slow {
		return path{storage.SlowQueue, tenant}
	}
	return fastPath
}

// fast reports whether attempts for a registration may be made outside the slow
// queue. An empty url stands for the one that is known.
func (c *core) fast(ctx context.Context, registration, tenant, url string) (bool, error) {
	if c.speeds == nil || tenant == "" {
		return !c.limiter.Slow(registration), nil
	}
	return c.speeds.AllowsBatch(ctx, tenant, registration, url)
}

// sendSelf sends the message of h over p, to be received after delay. A failure is no error: what it is for falls due.
func (c *core) sendSelf(ctx context.Context, p path, h message.Header, hops int, delay time.Duration) {
	h.SelfSends = hops
	m, err := p.message(h, delay)
	if err == nil {
		err = c.send(ctx, p.queue, []storage.Message{m})
	}
	if err != nil {
		c.Log.Warn("retry", "kind", string(h.Kind), "id", h.ID, "outcome", "not sent", "why", err.Error())
		if c.SingleProcess { // else there is no tick in this process
			c.keepUnsent(p.queue, m)
		}
	}
}

// unsent are messages that this process could not send.
type unsent struct {
	mu sync.Mutex
	ms []unsentMessage
}

// A unsentMessage is a message for a queue, to be received at a time.
type unsentMessage struct {
	queue storage.QueueName
	m     storage.Message
	at    time.Time
}

type unsentMessages map[storage.QueueName][]storage.Message

const maxUnsent = 10_000 // what is forgotten falls due

func (c *core) keepUnsent(q storage.QueueName, ms ...storage.Message) {
	c.unsent.mu.Lock()
	defer c.unsent.mu.Unlock()
	for _, m := range ms[:min(len(ms), maxUnsent-len(c.unsent.ms))] {
		c.unsent.ms = append(c.unsent.ms, unsentMessage{q, m, time.Now().Add(m.Delay)})
	}
}

// takeUnsent returns what keepUnsent kept, each with what is left of its delay.
func (c *core) takeUnsent() unsentMessages {
	c.unsent.mu.Lock()
	defer c.unsent.mu.Unlock()
	out := unsentMessages{}
	for _, u := range c.unsent.ms {
		u.m.Delay = max(time.Until(u.at), 0)
		out[u.queue] = append(out[u.queue], u.m)
	}
	c.unsent.ms = nil
	return out
}

func (p path) message(h message.Header, delay time.Duration) (storage.Message, error) {
	body, err := h.Pack()
	return storage.Message{Body: body, Delay: min(max(delay, 0), storage.MaxDelay), Group: p.group}, err
}
