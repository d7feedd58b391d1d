package cloud

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
)

// TestBackoffGrowsToItsLimit draws so often that a limit lower by a fiftieth is
// noticed: each draw passes it with a chance of one in fifty.
func TestBackoffGrowsToItsLimit(t *testing.T) {
	for n, longest := range map[int]time.Duration{
		1: 50 * time.Millisecond, 2: 100 * time.Millisecond, 4: 400 * time.Millisecond, 5: 800 * time.Millisecond, 6: 800 * time.Millisecond, 50: 800 * time.Millisecond,
	} {
		var most time.Duration
		for range 5000 {
			d := backoff(n)
			if d < time.Millisecond || d > longest+time.Millisecond {
				t.Errorf("backoff(%d) = %v, want from 1 ms to %v", n, d, longest)
			}
			most = max(most, d)
		}
		if most <= longest/50*49+time.Millisecond {
			t.Errorf("longest of 5,000 backoff(%d) = %v, want about %v", n, most, longest)
		}
	}
}

type invoker struct {
	lambda.Handler
	err error
}

func (i invoker) Invoke(_ context.Context, payload []byte) ([]byte, error) { return payload, i.err }

// TestMetricsAreWrittenWhateverBecameOfTheInvocation also writes them where
// nobody takes them.
func TestMetricsAreWrittenWhateverBecameOfTheInvocation(t *testing.T) {
	failed := errors.New("refused by the test")
	for _, want := range []error{nil, failed} {
		var out bytes.Buffer
		m := &Metrics{Service: "s", Out: &out}
		m.Add("count", 1)
		got, err := flushing{invoker{err: want}, m}.Invoke(t.Context(), []byte("in"))
		if err != want || string(got) != "in" || !strings.Contains(out.String(), `"count":1`) {
			t.Errorf("Invoke = %s, %v, wrote %q; want in, %v and the count", got, err, out.String(), want)
		}
		m.Out = full{}
		m.Add("count", 1)
		if _, err := (flushing{invoker{err: want}, m}).Invoke(t.Context(), nil); err != want {
			t.Errorf("Invoke where nobody takes the metrics: %v, want %v", err, want)
		}
	}
}

func TestFlushTellsWhenNobodyTakesTheLine(t *testing.T) {
	m := &Metrics{Out: full{}}
	if err := m.Flush(); err != nil {
		t.Errorf("Flush of nothing = %v, want nil", err)
	}
	m.Add("count", 1)
	if err := m.Flush(); !errors.Is(err, errFull) {
		t.Errorf("Flush = %v, want %v", err, errFull)
	}
}

var errFull = errors.New("full")

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errFull }
