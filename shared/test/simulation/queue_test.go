package simulation

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"ringback/shared/storage"
)

// messages is a model of storage.Queue: three queues, each with its dead letters,
// and a visibility timeout. Whoever receives and finishes tells the order.
type messages struct {
	visibility time.Duration

	mu    sync.Mutex
	lines map[storage.QueueName]*line
	sent  int // how many messages, which numbers them
}

// A line is one queue.
type line struct {
	letters []*letter
	dead    []*letter
}

// A letter is a message in a queue.
type letter struct {
	number   int
	body     string
	receives int
	visible  time.Time // when it can be received, again after it was
}

func newMessages(visibility time.Duration) *messages {
	return &messages{visibility: visibility, lines: map[storage.QueueName]*line{storage.EventsQueue: {}, storage.RetryQueue: {}, storage.SlowQueue: {}}}
}

// Send implements storage.Queue.
func (q *messages) Send(_ context.Context, name storage.QueueName, ms []storage.Message) []error {
	errs := storage.CheckSend(name, ms)
	q.mu.Lock()
	defer q.mu.Unlock()
	for i, m := range ms {
		if errs[i] != nil {
			continue
		}
		q.sent++
		after := time.Duration(m.DelaySeconds()) * time.Second
		q.lines[name].letters = append(q.lines[name].letters, &letter{number: q.sent, body: m.Body, visible: time.Now().Add(after)})
	}
	return errs
}

// sweep moves what was received too often to the dead letters.
func (l *line) sweep(now time.Time) {
	l.letters = slices.DeleteFunc(l.letters, func(m *letter) bool {
		dead := m.receives >= storage.MaxReceives && !m.visible.After(now)
		if dead {
			l.dead = append(l.dead, m)
		}
		return dead
	})
}

// receive hands out up to n messages, chosen by pick from so many.
func (q *messages) receive(name storage.QueueName, n int, pick func(of int) int) []storage.Received {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := time.Now()
	q.lines[name].sweep(now)
	var ready []*letter
	for _, m := range q.lines[name].letters {
		if !m.visible.After(now) {
			ready = append(ready, m)
		}
	}
	var out []storage.Received
	for len(ready) > 0 && len(out) < n {
		i := pick(len(ready))
		m := ready[i]
		ready = slices.Delete(ready, i, i+1)
		m.receives++
		m.visible = now.Add(q.visibility)
		out = append(out, storage.Received{Body: m.body, Receipt: strconv.Itoa(m.number), Receives: m.receives})
	}
	return out
}

// finish deletes what was received, but for those that must come again.
func (q *messages) finish(name storage.QueueName, ms []storage.Received, again []string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, m := range ms {
		if !slices.Contains(again, m.Receipt) {
			q.lines[name].letters = slices.DeleteFunc(q.lines[name].letters, func(l *letter) bool { return strconv.Itoa(l.number) == m.Receipt })
		}
	}
}

// reveal makes what was received visible again at a time.
func (q *messages) reveal(name storage.QueueName, is func(receipt string) bool, at time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, m := range q.lines[name].letters {
		if m.receives > 0 && m.visible.After(at) && is(strconv.Itoa(m.number)) {
			m.visible = at
		}
	}
}

// holds reports whether a message, or a dead letter, says text.
func (q *messages) holds(text string) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	says := func(m *letter) bool { return strings.Contains(m.body, text) }
	for _, l := range q.lines {
		if slices.ContainsFunc(l.letters, says) || slices.ContainsFunc(l.dead, says) {
			return true
		}
	}
	return false
}

// repeat has a message come once more at a time, even if it is finished before.
func (q *messages) repeat(name storage.QueueName, m storage.Received, at time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.sent++
	q.lines[name].letters = append(q.lines[name].letters, &letter{number: q.sent, body: m.Body, visible: at})
}

// firstVisible returns when the next message can be received; false if there
// is none.
func (q *messages) firstVisible(name storage.QueueName) (first time.Time, found bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, m := range q.lines[name].letters {
		if !found || m.visible.Before(first) {
			first, found = m.visible, true
		}
	}
	return first, found
}

// Depth implements storage.Queue.
func (q *messages) Depth(_ context.Context, name storage.QueueName) (storage.Depth, error) {
	if err := name.Check(); err != nil {
		return storage.Depth{}, err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	now := time.Now()
	q.lines[name].sweep(now)
	d := storage.Depth{Dead: len(q.lines[name].dead)}
	for _, m := range q.lines[name].letters {
		switch {
		case !m.visible.After(now):
			d.Waiting++
		case m.receives > 0:
			d.InFlight++
		default:
			d.Delayed++
		}
	}
	return d, nil
}

// Redrive implements storage.Queue.
func (q *messages) Redrive(_ context.Context, name storage.QueueName) error {
	if err := name.Check(); err != nil {
		return err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	l := q.lines[name]
	for _, m := range l.dead {
		q.sent++
		l.letters = append(l.letters, &letter{number: q.sent, body: m.body, visible: time.Now()})
	}
	l.dead = nil
	return nil
}
