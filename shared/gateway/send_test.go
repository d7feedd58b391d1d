package gateway

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ringback/shared/ident"
	"ringback/shared/message"
	"ringback/shared/provider"
	"ringback/shared/storage"
)

// TestSendKeepsWithinTheLimitsOfTheQueue sends messages of given sizes.
func TestSendKeepsWithinTheLimitsOfTheQueue(t *testing.T) {
	const most = storage.MaxMessageBytes
	for _, tt := range []struct {
		name  string
		sizes []int
		want  string // messages of each call
	}{
		{"none", nil, "[]"},
		{"one", []int{1}, "[1]"},
		{"ten", []int{1, 1, 1, 1, 1, 1, 1, 1, 1, 1}, "[10]"},
		{"eleven", []int{1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1}, "[10 1]"},
		{"two that fill a call", []int{most / 2, most / 2}, "[2]"},
		{"two that are a byte too many", []int{most / 2, most/2 + 1}, "[1 1]"},
		{"three of 400 KiB", []int{400 << 10, 400 << 10, 400 << 10}, "[2 1]"},
		{"two of the largest", []int{most, most, 1}, "[1 1 1]"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			queue := &mailbox{}
			c := &core{Config: Config{Queue: queue}}
			var ms []storage.Message
			for _, n := range tt.sizes {
				ms = append(ms, storage.Message{Body: strings.Repeat("x", n)})
			}
			err := c.send(t.Context(), storage.EventsQueue, ms)
			got := []int{}
			for _, call := range queue.calls {
				got = append(got, len(call))
			}
			if sent := len(queue.take(storage.EventsQueue)); fmt.Sprint(got) != tt.want || sent != len(ms) || err != nil {
				t.Errorf("calls with %v messages, %d sent, %v; want %s with all", got, sent, err, tt.want)
			}
		})
	}
}

// TestWhatTheQueueRefusesIsSentAgain has a queue that refuses the second of three
// messages some times.
func TestWhatTheQueueRefusesIsSentAgain(t *testing.T) {
	for _, tt := range []struct {
		name    string
		refused int // times
		err     error
		left    time.Duration // for the answer
		want    error
		calls   int
	}{
		{"not at all", 0, errOutage, time.Second, nil, 1},
		{"once", 1, errOutage, time.Second, nil, 2},
		{"once, as long before the end as may be", 1, errOutage, resendMargin, nil, 2},
		{"once, a moment later", 1, errOutage, resendMargin - time.Nanosecond, storage.ErrUnavailable, 1},
		{"four times", 4, errOutage, time.Second, nil, 5},
		{"always", 100, errOutage, time.Second, storage.ErrUnavailable, 5},
		{"as too large", 1, storage.ErrTooLarge, time.Second, storage.ErrTooLarge, 1},
		{"as invalid", 1, storage.ErrInvalid, time.Second, storage.ErrInvalid, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				queue := &mailbox{}
				c := &core{Config: Config{Queue: queue}}
				ctx, cancel := context.WithTimeout(t.Context(), tt.left)
				defer cancel()
				ms := []storage.Message{{Body: "a"}, {Body: "b"}, {Body: "c"}}
				calls := 0
				queue.refuse = func(_ context.Context, _ storage.QueueName, ms []storage.Message) []error {
					calls++
					errs := make([]error, len(ms))
					for i, m := range ms {
						if m.Body == "b" && calls <= tt.refused {
							errs[i] = tt.err
						}
					}
					return errs
				}
				err := c.send(ctx, storage.EventsQueue, ms)
				if !errors.Is(err, tt.want) || calls != tt.calls {
					t.Errorf("%v after %d calls, want %v after %d", err, calls, tt.want, tt.calls)
				}
				bodies := ""
				for _, m := range queue.take(storage.EventsQueue) {
					bodies += m.Body
				}
				want := "acb"
				if tt.refused == 0 {
					want = "abc"
				} else if tt.want != nil {
					want = "ac"
				}
				if bodies != want {
					t.Errorf("sent %q, want %q: each once", bodies, want)
				}
			})
		})
	}
}

// TestSendEndsWithTheCallThatFails has the second call fail of three.
func TestSendEndsWithTheCallThatFails(t *testing.T) {
	queue := &mailbox{}
	c := &core{Config: Config{Queue: queue}}
	queue.refuse = func(_ context.Context, _ storage.QueueName, ms []storage.Message) []error {
		if ms[0].Body == "10" {
			return []error{storage.ErrInvalid}
		}
		return nil
	}
	var ms []storage.Message
	for n := range 25 {
		ms = append(ms, storage.Message{Body: fmt.Sprint(n)})
	}
	if err := c.send(t.Context(), storage.RetryQueue, ms); !errors.Is(err, storage.ErrInvalid) || len(queue.calls) != 2 {
		t.Errorf("%v after %d calls, want ErrInvalid after 2", err, len(queue.calls))
	}
}

func TestOnlyEventsOfOurOwnAreSent(t *testing.T) {
	w := newWorld(t)
	id, err := ident.Event(w.source, "", noon, "k")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		e    provider.Event
		want error
	}{
		{"for one registration", provider.Event{ID: id, Source: w.source, Type: "any", Recipient: "reg_1"}, nil},
		{"an operational one", provider.Event{ID: id, Source: w.source, Type: registrationFailing, Tenant: w.tenant}, nil},
		{"a provider's", provider.Event{ID: id, Source: w.source, Type: "any"}, storage.ErrInvalid},
		{"too large for a message", provider.Event{ID: id, Source: w.source, Recipient: "reg_1", Payload: []byte(strings.Repeat("x", storage.MaxMessageBytes))}, storage.ErrTooLarge},
		{"without an id", provider.Event{Source: w.source, Type: "any", Recipient: "reg_1"}, storage.ErrInvalid},
	} {
		err := w.SendTo(t.Context(), tt.e)
		if !errors.Is(err, tt.want) {
			t.Errorf("an event %s: %v, want %v", tt.name, err, tt.want)
		}
		if got, want := len(w.queue.take(storage.EventsQueue)), 1; err == nil && got != want || err != nil && got != 0 {
			t.Errorf("an event %s is in the queue %d times, %v", tt.name, got, err)
		}
	}
}

// TestSameEventOfOurOwnIsTheSameMessage sends one twice, as a repeat of a call
// does: the token tells that it is no repeat of another's.
func TestSameEventOfOurOwnIsTheSameMessage(t *testing.T) {
	w := newWorld(t)
	for _, only := range []string{"reg_1", "reg_1", "reg_2"} {
		id, err := ident.Event(w.source, "", noon, "k")
		if err != nil {
			t.Fatal(err)
		}
		if err := w.SendTo(t.Context(), provider.Event{ID: id, Source: w.source, Recipient: only, Received: noon}); err != nil {
			t.Fatal(err)
		}
	}
	hs := w.queue.headers(t, storage.EventsQueue)
	if hs[0].Token != hs[1].Token || hs[0].Token == hs[2].Token || hs[0].Token == "" {
		t.Errorf("tokens %q, %q and %q; want two that are the same, and another", hs[0].Token, hs[1].Token, hs[2].Token)
	}
}

func TestFairQueuesGroupMessagesBySource(t *testing.T) {
	for _, fair := range []bool{false, true} {
		w := newWorld(t, func(c *Config) { c.FairQueues = fair })
		w.arrive(provider.Item{})
		want := ""
		if fair {
			want = w.source
		}
		if got := w.queue.take(storage.EventsQueue)[0].Group; got != want {
			t.Errorf("fair queues %v: message group %q, want %q", fair, got, want)
		}
	}
}

// TestMessageToOneselfComesInTime sends one with delays that a queue cannot keep,
// and one that the queue refuses: that is a line of the log and nothing more.
func TestMessageToOneselfComesInTime(t *testing.T) {
	w := newWorld(t)
	for delay, want := range map[time.Duration]time.Duration{
		-time.Second: 0, 0: 0, time.Minute: time.Minute, storage.MaxDelay: storage.MaxDelay, storage.MaxDelay + 1: storage.MaxDelay,
	} {
		w.sendSelf(t.Context(), fastPath, message.Header{Kind: message.Retry, ID: "dlv_1", Claim: 7}, 2, delay)
		h := w.queue.headers(t, storage.RetryQueue)
		m := w.queue.take(storage.RetryQueue)
		if len(m) != 1 || m[0].Delay != want || h[0].SelfSends != 2 || h[0].ID != "dlv_1" || h[0].Claim != 7 || h[0].Kind != message.Retry {
			t.Errorf("after %v: %+v, header %+v; want one message in %v, hops 2", delay, m, h, want)
		}
	}
	if got := w.log.with(t, "retry"); len(got) != 0 {
		t.Errorf("what was sent is a line of the log: %v", got)
	}
	w.queue.refuse = func(_ context.Context, _ storage.QueueName, ms []storage.Message) []error {
		return []error{storage.ErrInvalid}
	}
	w.sendSelf(t.Context(), fastPath, message.Header{Kind: message.Retry, ID: "dlv_1"}, 1, 0)
	got := w.log.with(t, "retry")
	if len(got) != 1 || got[0]["outcome"] != "not sent" || got[0]["id"] != "dlv_1" || got[0]["kind"] != "retry" {
		t.Errorf("lines of what could not be sent: %v; want one", got)
	}
}
