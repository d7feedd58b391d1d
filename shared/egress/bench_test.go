package egress

import (
	"bufio"
	"bytes"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"
)

// allocations is the budget of one POST on a kept-alive connection, of which
// net/http makes about 45.
const allocations = 60

func TestPostStaysWithinItsAllocations(t *testing.T) {
	c, r := newClient(t), benchmarkRequest(serveRaw(t, acceptAll))
	c.Post(t.Context(), r)
	got := testing.AllocsPerRun(500, func() {
		if got := c.Post(t.Context(), r); got.Class != OK {
			t.Fatalf("Post = %+v, want OK", got)
		}
	})
	if got > allocations {
		t.Errorf("a POST made %.0f allocations, want at most %d", got, allocations)
	}
}

// TestAnswersShareABuffer reads answers without a body, of which nothing is kept.
func TestAnswersShareABuffer(t *testing.T) {
	c := &Client{}
	c.once.Do(c.prepare)
	if got := testing.AllocsPerRun(100, func() { c.read(http.NoBody) }); got > 0 {
		t.Errorf("reading an answer made %.0f allocations, want none", got)
	}
}

// BenchmarkPost sends 1 KiB over the loopback to a receiver that allocates
// nothing. The CPU time is that of both sides.
func BenchmarkPost(b *testing.B) {
	c, r := newClient(b), benchmarkRequest(serveRaw(b, acceptAll))
	b.ReportAllocs()
	start := cpuTime(b)
	for b.Loop() {
		if got := c.Post(b.Context(), r); got.Class != OK {
			b.Fatalf("Post = %+v, want OK", got)
		}
	}
	b.ReportMetric(float64(cpuTime(b)-start)/float64(b.N), "cpu-ns/op")
}

func BenchmarkPostConcurrently(b *testing.B) {
	c, r := newClient(b), benchmarkRequest(serveRaw(b, acceptAll))
	b.ReportAllocs()
	b.SetParallelism(16)
	start := cpuTime(b)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if got := c.Post(b.Context(), r); got.Class != OK {
				b.Errorf("Post = %+v, want OK", got)
			}
		}
	})
	b.ReportMetric(float64(cpuTime(b)-start)/float64(b.N), "cpu-ns/op")
}

func benchmarkRequest(url string) Request {
	return Request{
		URL: url + "/callbacks?key=1",
		Header: http.Header{
			"Content-Type":      {"application/json"},
			"Idempotency-Key":   {},
			"User-Agent":        {"Ringback"},
			"webhook-id":        {"evt_1"},
			"webhook-signature": {"v1," + strings.Repeat("a", 44)},
			"webhook-timestamp": {"1700000000"},
		},
		Body: bytes.Repeat([]byte("b"), 1024),
	}
}

// acceptAll accepts each request, whose body must have 1,024 bytes.
func acceptAll(c *rawConn) {
	answer := []byte("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
	reader := bufio.NewReaderSize(c.Conn, 4096)
	for {
		line, err := reader.ReadSlice('\n')
		if err != nil {
			return
		}
		if len(line) > len("\r\n") {
			continue
		}
		if _, err := reader.Discard(1024); err != nil {
			return
		}
		if _, err := c.Conn.Write(answer); err != nil {
			return
		}
	}
}

// cpuTime returns the CPU time that the process has used.
func cpuTime(tb testing.TB) time.Duration {
	tb.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
