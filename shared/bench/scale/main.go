// Command scale plays an hour of the gateway on AWS in virtual time, at loads
// that no test can make, and says where it would break.
//
//	go run ./shared/bench/scale                          # 10,000 callbacks/s for an hour, on an account made for it
//	go run ./shared/bench/scale -sample 400              # the same, faster and coarser; 100 is slower and finer
//	go run ./shared/bench/scale -size medium -rate 500   # Size medium at 500 callbacks/s
//	go run ./shared/bench/scale -size small -find        # the largest load that Size small carries
//	go run ./shared/bench/scale -help                    # every assumption is a flag
//
// # What is real and what is a model
//
// Gateway.Ingest, FanOut, Redeliver and Retry run as they are deployed, with
// their schedule, circuits, caches and paging, in as many instances as Lambda
// would have environments. Their Store, Queue and network are models of
// DynamoDB, SQS with its event source mappings, Lambda, Scheduler, API Gateway
// and tenants' endpoints; the files of this package name the source of each
// figure. shared/bench/bill has the prices.
//
// # Sampling
//
// 36 million events are too many to play. With -sample n, one of n sources is
// played, with all its registrations and its whole traffic; what all sources
// share (concurrency, pollers, throttles, tables, due shards, the tick) has an
// n-th of its size. The noisy source is always there, thinned to an n-th.
//
// It keeps: what a source, a registration, its circuit and its keys see, since
// each instance of the worker sees of them what it would see in full: one
// sampled slot stands for n environments, among which messages are spread; the
// rates of hot keys of a source that is not thinned; how full queues and pools
// are. The noisy source's keys are counted times n, and played in full for some
// seconds of their own (the close-up).
//
// It distorts: queues and pools are lumpier (n environments come and go as
// one), so latency has a longer tail; a scaled limit of DynamoDB is averaged
// over √n seconds, since fewer requests are less even; a source's version is
// read more often than in full where thinning makes its events rare; caches are
// never too small, since they hold an n-th. Compare -sample 100 and 1000 to see
// how much it matters.
package main

import (
	"flag"
	"fmt"
	"os"
	"testing"
)

func main() {
	a, mode := flags(os.Args[1:])
	inTest(func(t *testing.T) error {
		if mode.find {
			return find(t, a, os.Stdout)
		}
		return report(t, a, mode.closeUp, os.Stdout)
	})
}

// inTest runs f in a test, since only tests have virtual time, and ends the
// process. testing.Main is for programs that stand in for "go test".
func inTest(f func(t *testing.T) error) {
	os.Args = os.Args[:1]
	flag.CommandLine = flag.NewFlagSet(os.Args[0], flag.ExitOnError)
	testing.Main(func(string, string) (bool, error) { return true, nil }, []testing.InternalTest{{Name: "scale", F: func(t *testing.T) {
		if err := f(t); err != nil {
			fmt.Fprintln(os.Stderr, "scale:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}}}, nil, nil)
}
