package pipeline

import (
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"ringback/shared/cloud/runtimetest"
)

// What a cold start may take. Lambda gives a function one core at 1,769 MB and
// in proportion less ("Configure Lambda function memory", AWS Lambda Developer
// Guide).
const (
	coldAtFullCPU = 12 * time.Millisecond
	coldAtShare   = 60 * time.Millisecond
	shareOf256MB  = 256. / 1769
)

// TestColdStartIsWithinItsBudget prints how long each binary takes to initialize
// itself, from exec to the first request for an event. Started as often as COLD
// says, on an idle machine, the median is held to the budget; else each is
// started once, and nothing is said of the time.
//
//	COLD=20 go test -run ColdStart -v ./shared/test/pipeline
//
// What that is at the CPU share of 256 MB is computed, not measured: Lambda's
// quota lets a process run for its share of each period, so what takes CPU time
// c takes c/share. c is the process's user and system time until then, of all
// its threads, the mean of all starts since some kernels account in ticks of
// 10 ms. Waiting is not in it: for two connections on loopback that are tried
// and the key ring, which are round trips on AWS, too.
func TestColdStartIsWithinItsBudget(t *testing.T) {
	times, held := 1, false
	if n, err := strconv.Atoi(os.Getenv("COLD")); err == nil && n > 0 {
		times, held = n, true
	}
	w := newWorld(t)
	for _, name := range w.template.functions() {
		var inits []time.Duration
		var cpu time.Duration
		for range times {
			f := runtimetest.Start(t, runtimetest.Options{Binary: bootstrap(t, name), Env: w.environment(name)})
			f.Kill()
			inits = append(inits, f.Init)
			cpu += f.CPU()
		}
		slices.Sort(inits)
		cpu /= time.Duration(times)
		median, share := inits[times/2], time.Duration(float64(cpu)/shareOf256MB)
		t.Logf("%-11s init %5.1f ms (%.1f to %.1f), %4.1f ms of CPU: %5.1f ms at the share of 256 MB",
			name, ms(median), ms(inits[0]), ms(inits[times-1]), ms(cpu), ms(share))
		if held && (median > coldAtFullCPU || share > coldAtShare) {
			t.Errorf("%s: init %v, %v at the share of 256 MB; want at most %v and %v", name, median, share, coldAtFullCPU, coldAtShare)
		}
	}
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
