package embedded

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"ringback/shared/storage"
)

// callers are how many goroutines call at once.
var callers = []int{16, 64, 256}

// BenchmarkPut puts rows as large as a delivery. cpu-µs/op counts both the
// process's user and system time.
func BenchmarkPut(b *testing.B) {
	data := []byte(`{"pad":"` + strings.Repeat("d", 500) + `"}`)
	for _, n := range callers {
		b.Run(fmt.Sprint("callers=", n), func(b *testing.B) {
			db := openBench(b)
			concurrently(b, n, func(i int) error {
				return db.Put(context.Background(), benchRow("D", i, data, nil), "")
			})
		})
	}
}

// BenchmarkSend sends messages of 1 KiB, each in a Send of its own.
func BenchmarkSend(b *testing.B) {
	m := []storage.Message{{Body: strings.Repeat("m", 1024)}}
	for _, n := range callers {
		b.Run(fmt.Sprint("callers=", n), func(b *testing.B) {
			db := openBench(b)
			concurrently(b, n, func(int) error { return db.Send(context.Background(), storage.EventsQueue, m)[0] })
		})
	}
}

// BenchmarkGet gets rows as large as a delivery, one a call.
func BenchmarkGet(b *testing.B) {
	data := []byte(`{"pad":"` + strings.Repeat("d", 500) + `"}`)
	db := openBench(b)
	for i := range 1000 {
		if err := db.Put(context.Background(), benchRow("D", i, data, nil), ""); err != nil {
			b.Fatal(err)
		}
	}
	concurrently(b, 16, func(i int) error {
		_, err := db.Get(context.Background(), benchRow("D", i%1000, nil, nil).Key)
		return err
	})
}

// BenchmarkDue asks for what is due where nothing is, as the schedule does for
// every shard each minute.
func BenchmarkDue(b *testing.B) {
	db := openBench(b)
	concurrently(b, 1, func(i int) error {
		_, _, err := db.Due(context.Background(), i%storage.DueShards, time.Now(), "", 100)
		return err
	})
}

// BenchmarkCycle does what one event needs of the file: its message is sent,
// received and deleted, and a handler puts a row with the payload and one for
// the delivery.
func BenchmarkCycle(b *testing.B) {
	body := strings.Repeat("m", 1024)
	for _, n := range callers {
		b.Run(fmt.Sprint("callers=", n), func(b *testing.B) {
			db := openBench(b)
			var handled sync.WaitGroup
			handled.Add(b.N)
			ctx, stop := context.WithCancel(context.Background())
			var served sync.WaitGroup
			served.Go(func() {
				db.Serve(ctx, storage.EventsQueue, Consumer{Concurrency: n, Handler: cycleHandler(b, db, &handled)})
			})
			concurrently(b, n, func(int) error {
				return db.Send(ctx, storage.EventsQueue, []storage.Message{{Body: body}})[0]
			}, handled.Wait)
			stop()
			served.Wait()
		})
	}
}

func cycleHandler(b *testing.B, db *DB, handled *sync.WaitGroup) storage.Handler {
	data := []byte(`{"pad":"` + strings.Repeat("d", 500) + `"}`)
	var next atomic.Int64
	return func(ctx context.Context, ms []storage.Received) ([]string, error) {
		var batch sync.WaitGroup
		for _, m := range ms {
			batch.Go(func() {
				i := int(next.Add(1))
				if err := db.Put(ctx, benchRow("E", i, data[:200], []byte(m.Body)), ""); err != nil {
					b.Error(err)
				}
				if err := db.Put(ctx, benchRow("D", i, data, nil), ""); err != nil {
					b.Error(err)
				}
				handled.Done()
			})
		}
		batch.Wait()
		return nil, nil
	}
}

// benchRow returns a row in one of 16 partitions, with a key that grows.
func benchRow(kind string, i int, data, body []byte) storage.Row {
	return storage.Row{
		Key:     storage.Key{Table: storage.Deliveries, PK: fmt.Sprintf("%s#src-0123456789#%d", kind, i%16), SK: fmt.Sprintf("evt_%040d", i)},
		Rev:     storage.NewRev(),
		Data:    data,
		Body:    body,
		Expires: time.Now().Add(14 * 24 * time.Hour),
	}
}

// concurrently calls fn b.N times from n goroutines, then after, and reports
// calls a second and CPU time a call.
func concurrently(b *testing.B, n int, fn func(i int) error, after ...func()) {
	b.Helper()
	var next atomic.Int64
	var wg sync.WaitGroup
	b.ReportAllocs()
	b.ResetTimer()
	used := cpuTime(b)
	for range n {
		wg.Go(func() {
			for i := int(next.Add(1)); i <= b.N; i = int(next.Add(1)) {
				if err := fn(i); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	for _, fn := range after {
		fn()
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "ops/s")
	b.ReportMetric(float64((cpuTime(b)-used).Microseconds())/float64(b.N), "cpu-µs/op")
}

func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func openBench(b *testing.B) *DB {
	b.Helper()
	db, err := Open(context.Background(), b.TempDir(), Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := db.Close(); err != nil {
			b.Error(err)
		}
	})
	return db
}
