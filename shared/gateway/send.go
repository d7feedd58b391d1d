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

// resendMargin is time left for the response: no resend starts later.
const resendMargin = 500 * time.Millisecond

// send sends ms in as few calls as the queue's limits allow, and sends those again that failed.
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

// sendBatch makes one call of Send, and up to four more for the messages that failed. It gives up at once after an error
// that no retry mends.
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

// enqueue sends as to the events queue, and sends those again that failed, while there is time. After that the error
// wraps storage.ErrUnavailable.
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

// SendTo queues an event of the gateway's own. It may be called again: the same id is the same event.
func (c *core) SendTo(ctx context.Context, e provider.Event) error {
	if !OwnEvent(&e) || e.ID == "" {
		return fmt.Errorf("send an event of our own: %w: want its id and whom it is for", storage.ErrInvalid)
	}
	return c.enqueue(ctx, []message.InboundEvent{{Event: e, Token: Digest(e.ID + e.Recipient)}})
}

// A path is the queue of a later attempt and its message group: the slow queue is served tenant by tenant.
type path struct {
	queue storage.QueueName
	group string
}

var fastPath = path{queue: storage.RetryQueue}

// retryPath returns the slow queue's path if slow is set, or if the endpoint is not known to be fast.
func (c *core) retryPath(ctx context.Context, slow bool, registration, tenant string) path {
	if !slow {
		fast, err := c.fast(ctx, registration, tenant, "")
		slow = err == nil && !fast // otherwise the receiver of the message finds out
	}
	if slow {
		return path{storage.SlowQueue, tenant}
	}
	return fastPath
}

// fast reports whether a registration's endpoint may be attempted outside the slow queue. An empty url means the
// one that is known.
func (c *core) fast(ctx context.Context, registration, tenant, url string) (bool, error) {
	if c.speeds == nil || tenant == "" {
		return !c.limiter.Slow(registration), nil
	}
	return c.speeds.AllowsBatch(ctx, tenant, registration, url)
}

// sendSelf sends h over p with a delay. A failure is only logged: the row falls due.
func (c *core) sendSelf(ctx context.Context, p path, h message.Header, selfSends int, delay time.Duration) {
	h.SelfSends = selfSends
	m, err := p.message(h, delay)
	if err == nil {
		err = c.send(ctx, p.queue, []storage.Message{m})
	}
	if err != nil {
		c.Log.Warn("retry", "kind", string(h.Kind), "id", h.ID, "outcome", "not sent", "why", err.Error())
		if c.SingleProcess { // elsewhere this process runs no Retry
			c.keepUnsent(p.queue, m)
		}
	}
}

// unsent holds messages that this process could not send.
type unsent struct {
	mu sync.Mutex
	ms []unsentMessage
}

// An unsentMessage is a message for a queue, and when to receive it.
type unsentMessage struct {
	queue storage.QueueName
	m     storage.Message
	at    time.Time
}

type unsentMessages map[storage.QueueName][]storage.Message

const maxUnsent = 10_000 // a message over the limit is dropped: its row falls due

func (c *core) keepUnsent(q storage.QueueName, ms ...storage.Message) {
	c.unsent.mu.Lock()
	defer c.unsent.mu.Unlock()
	for _, m := range ms[:min(len(ms), maxUnsent-len(c.unsent.ms))] {
		c.unsent.ms = append(c.unsent.ms, unsentMessage{q, m, time.Now().Add(m.Delay)})
	}
}

// takeUnsent returns the unsent messages, each with the rest of its delay.
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
