package storagetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"ringback/shared/storage"
)

// Visibility is the visibility timeout of the queues that Queue tests: long
// enough for a handler on a busy machine, short enough to be waited for.
const Visibility = 2 * time.Second

// A ServedQueue is a Queue together with what calls its handlers: the embedded backend on one machine, Lambda's poller
// on AWS.
type ServedQueue interface {
	storage.Queue

	// Serve calls h with the messages of q, in batches of at most ten and several at the same time, until ctx ends. It
	// returns when no call is running.
	Serve(ctx context.Context, q storage.QueueName, h storage.Handler) error
}

// Queue tests the contracts of storage.Queue and storage.Handler. Each call of open returns empty queues with
// Visibility as their visibility timeout. The tests run in parallel, since most of them wait.
func Queue(t *testing.T, open func(t *testing.T) ServedQueue) {
	eachQueueTest(t, func(t *testing.T, test func(t *testing.T, q ServedQueue)) {
		t.Parallel()
		test(t, open(t))
	})
}

// QueueInVirtualTime is Queue for queues that work in a bubble of testing/synctest, where waiting takes no time.
func QueueInVirtualTime(t *testing.T, open func(t *testing.T) ServedQueue) {
	eachQueueTest(t, func(t *testing.T, test func(t *testing.T, q ServedQueue)) {
		synctest.Test(t, func(t *testing.T) { test(t, open(t)) })
	})
}

// eachQueueTest runs all tests; those of one queue run with the events queue and with the slow one, which a backend
// may serve differently.
func eachQueueTest(t *testing.T, run func(t *testing.T, test func(t *testing.T, q ServedQueue))) {
	t.Run("every message arrives in its own queue", func(t *testing.T) { run(t, testArrival) })
	for _, name := range []storage.QueueName{storage.EventsQueue, storage.SlowQueue} {
		for _, tt := range queueTests {
			t.Run(string(name)+": "+tt.name, func(t *testing.T) {
				run(t, func(t *testing.T, q ServedQueue) { tt.test(t, q, name) })
			})
		}
	}
}

var queueTests = []struct {
	name string
	test func(t *testing.T, q ServedQueue, name storage.QueueName)
}{
	{"messages of all groups arrive", testGroups},
	{"every character of XML is carried", testCharacters},
	{"what no queue carries is refused alone", testRefusal},
	{"Send refuses what is over the limits", testSendLimits},
	{"a delayed message is late", testDelay},
	{"what a handler returns comes again", testUnfinished},
	{"an error makes the whole batch come again", testError},
	{"a message that nobody finishes ends as a dead letter and can be moved back", testDead},
	{"Depth tells where messages are", testDepth},
}

func testArrival(t *testing.T, q ServedQueue) {
	names := []storage.QueueName{storage.EventsQueue, storage.RetryQueue, storage.SlowQueue}
	seen, want := map[storage.QueueName]*mailbox{}, map[storage.QueueName][]string{}
	for _, name := range names {
		seen[name] = serve(t, q, name, nil)
	}
	for i := range 300 {
		name := names[i/10%3]
		body := fmt.Sprintf("%s %d", name, i)
		want[name] = append(want[name], body)
		if i%10 == 9 {
			mustSend(t, q, name, want[name][len(want[name])-10:]...)
		}
	}
	for name, m := range seen {
		eventually(t, func() string { return m.missing(want[name]) })
		for _, r := range m.all() {
			if r.Receives < 1 || r.Receipt == "" {
				t.Errorf("received %+v, want a receipt and at least one receive", r)
			}
			if !strings.HasPrefix(r.Body, string(name)) {
				t.Errorf("%s received %q of another queue", name, r.Body)
			}
		}
	}
}

// testGroups has one group with many messages, and several with one each.
func testGroups(t *testing.T, q ServedQueue, name storage.QueueName) {
	var want []string
	for i, group := range append(slices.Repeat([]string{"many"}, 50), "", "!", "a", "A", "~", strings.Repeat("~", storage.MaxGroupChars)) {
		body := fmt.Sprintf("%d of %q", i, group)
		want = append(want, body)
		if err := q.Send(t.Context(), name, []storage.Message{{Body: body, Group: group}})[0]; err != nil {
			t.Fatal(err)
		}
	}
	m := serve(t, q, name, nil)
	eventually(t, func() string { return m.missing(want) })
	eventually(t, func() string { return wantDepth(t, q, name, storage.Depth{}) })
}

// testCharacters sends each legal character once, in few large messages.
func testCharacters(t *testing.T, q ServedQueue, name storage.QueueName) {
	var want []string
	var b strings.Builder
	for r := rune(0); r <= utf8.MaxRune; r++ {
		if s := string(r); utf8.ValidRune(r) && storage.ValidText(s) {
			b.WriteString(s)
		}
		if b.Len() > 900<<10 || r == utf8.MaxRune {
			want = append(want, b.String())
			b.Reset()
		}
	}
	m := serve(t, q, name, nil)
	for _, body := range want {
		mustSend(t, q, name, body)
	}
	eventually(t, func() string { return m.missing(want) })
}

func testRefusal(t *testing.T, q ServedQueue, name storage.QueueName) {
	bad := []string{"\x00", "\x08", "\x0b", "\x0c", "\x0e", "\x1f", "\uFFFE", "\uFFFF", "\xff", "\xc3", "\xed\xa0\x80"}
	m := serve(t, q, name, nil)
	var want []string
	for i, s := range bad {
		good := fmt.Sprintf("good %d", i)
		want = append(want, good)
		errs := q.Send(t.Context(), name, []storage.Message{{Body: "bad" + s}, {Body: good}})
		if len(errs) != 2 || !errors.Is(errs[0], storage.ErrInvalid) || errs[1] != nil {
			t.Errorf("Send of %q and a good one = %v, want ErrInvalid and nil", s, errs)
		}
	}
	eventually(t, func() string { return m.missing(want) })
	for _, r := range m.all() {
		if strings.HasPrefix(r.Body, "bad") {
			t.Errorf("received %q, which was refused", r.Body)
		}
	}
}

func testSendLimits(t *testing.T, q ServedQueue, name storage.QueueName) {
	large := strings.Repeat("x", storage.MaxMessageBytes)
	for _, tt := range []struct {
		name string
		q    storage.QueueName
		ms   []storage.Message
		want error // of each message
	}{
		{"nothing", name, nil, nil},
		{"the largest", name, []storage.Message{{Body: large}}, nil},
		{"too large", name, []storage.Message{{Body: large + "x"}}, storage.ErrTooLarge},
		{"too large together", name, []storage.Message{{Body: large}, {Body: "x"}}, storage.ErrTooLarge},
		{"the most", name, many(storage.MaxSend), nil},
		{"too many", name, many(storage.MaxSend + 1), storage.ErrTooLarge},
		{"the longest delay", name, []storage.Message{{Body: "x", Delay: storage.MaxDelay}}, nil},
		{"too long a delay", name, []storage.Message{{Body: "x", Delay: storage.MaxDelay + time.Nanosecond}}, storage.ErrInvalid},
		{"a negative delay", name, []storage.Message{{Body: "x", Delay: -time.Second}}, storage.ErrInvalid},
		{"no body", name, []storage.Message{{}}, storage.ErrInvalid},
		{"the longest group", name, []storage.Message{{Body: "x", Group: strings.Repeat("g", storage.MaxGroupChars)}}, nil},
		{"too long a group", name, []storage.Message{{Body: "x", Group: strings.Repeat("g", storage.MaxGroupChars+1)}}, storage.ErrInvalid},
		{"another queue", "other", []storage.Message{{Body: "x"}}, storage.ErrInvalid},
	} {
		errs := q.Send(t.Context(), tt.q, tt.ms)
		if len(errs) != len(tt.ms) {
			t.Errorf("Send, %s: %d errors for %d messages", tt.name, len(errs), len(tt.ms))
		}
		for _, err := range errs {
			if !errors.Is(err, tt.want) {
				t.Errorf("Send, %s: %v, want %v", tt.name, err, tt.want)
			}
		}
	}
	m := serve(t, q, name, nil)
	eventually(t, func() string { return m.missing([]string{large}) })
}

func many(n int) []storage.Message {
	ms := make([]storage.Message, n)
	for i := range ms {
		ms[i].Body = fmt.Sprint(i)
	}
	return ms
}

func testDelay(t *testing.T, q ServedQueue, name storage.QueueName) {
	m := serve(t, q, name, nil)
	start := time.Now()
	ms := []storage.Message{{Body: "now"}, {Body: "soon", Delay: time.Second + time.Millisecond}}
	if err := errors.Join(q.Send(t.Context(), name, ms)...); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() string { return m.missing([]string{"now"}) })
	eventually(t, func() string { return m.missing([]string{"soon"}) })
	if took := m.first("soon").Sub(start); took < 2*time.Second {
		t.Errorf("message with a delay of 1.001 s arrived after %v, want whole seconds", took)
	}
}

func testUnfinished(t *testing.T, q ServedQueue, name storage.QueueName) {
	m := serve(t, q, name, func(ms []storage.Received) (again []string, err error) {
		for _, r := range ms {
			if strings.HasPrefix(r.Body, "again") && r.Receives < 3 {
				again = append(again, r.Receipt)
			}
		}
		return again, nil
	})
	mustSend(t, q, name, "again 1", "once 1", "again 2", "once 2")
	eventually(t, func() string {
		for _, body := range []string{"again 1", "again 2"} {
			if n := m.receives(body); n != 3 {
				return fmt.Sprintf("%s was received %d times, want 3", body, n)
			}
		}
		return m.missing([]string{"once 1", "once 2"})
	})
	eventually(t, func() string { return wantDepth(t, q, name, storage.Depth{}) })
	for _, body := range []string{"once 1", "once 2"} {
		if n := m.receives(body); n != 1 {
			t.Errorf("%s was received %d times, want 1", body, n)
		}
	}
	if again := m.first("again 1"); m.last("again 1").Sub(again) < 2*Visibility {
		t.Errorf("again 1 was received three times within %v, want %v between two", m.last("again 1").Sub(again), Visibility)
	}
}

func testError(t *testing.T, q ServedQueue, name storage.QueueName) {
	var failed sync.Map
	m := serve(t, q, name, func(ms []storage.Received) (again []string, err error) {
		for _, r := range ms {
			if _, done := failed.LoadOrStore(r.Body, true); !done {
				err = errors.New("refused by the test")
			}
		}
		return nil, err
	})
	bodies := []string{"a", "b", "c"}
	mustSend(t, q, name, bodies...)
	eventually(t, func() string {
		for _, body := range bodies {
			if n := m.receives(body); n < 2 {
				return fmt.Sprintf("%s was received %d times, want 2", body, n)
			}
		}
		return wantDepth(t, q, name, storage.Depth{})
	})
}
