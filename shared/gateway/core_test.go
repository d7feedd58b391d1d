package gateway

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestGatewayNeedsAStoreAndAQueue(t *testing.T) {
	for _, c := range []Config{{}, {Store: nowhere{}}, {Queue: nowhere{}}} {
		if g, err := New(c); err == nil || g != nil {
			t.Errorf("New(%+v) = %v, %v; want an error", c, g, err)
		}
	}
	if _, err := New(Config{Store: nowhere{}, Queue: nowhere{}}); err != nil {
		t.Errorf("New with both: %v", err)
	}
}

func TestConfigHasDefaults(t *testing.T) {
	const day = 24 * time.Hour
	c := Config{}.withDefaults()
	if c.Log != slog.Default() || c.MaxConcurrency != 256 || c.MaxBacklog != 10_000 || c.Retention != (Retention{14 * day, 30 * day}) {
		t.Errorf("the zero Config becomes %+v", c)
	}
	if now := c.Now(); time.Since(now).Abs() > time.Minute {
		t.Errorf("the clock says %v", now)
	}
	for range 100 {
		if n := c.Random(); n < 0 || n >= 1 {
			t.Errorf("a random number of %v, want one in [0,1)", n)
		}
	}
	log := slog.New(slog.DiscardHandler)
	c = Config{
		Log: log, MaxConcurrency: 1, MaxBacklog: 2, Retention: Retention{History: 9 * day, Held: 3 * day},
		Now: func() time.Time { return noon }, Random: func() float64 { return 0.25 },
	}.withDefaults()
	if c.Log != log || c.MaxConcurrency != 1 || c.MaxBacklog != 2 || c.Retention != (Retention{9 * day, 3 * day}) || !c.Now().Equal(noon) || c.Random() != 0.25 {
		t.Errorf("what was set became %+v", c)
	}
	k := core{Config: c}
	if got := k.randomUpTo(time.Minute); got != 15*time.Second {
		t.Errorf("a random part of a minute is %v, want a quarter", got)
	}
}

func TestOriginIsTheHostThatPeopleKnow(t *testing.T) {
	keys := keyRing(t, oldKey)
	for url, want := range map[string]string{
		"https://ringback.example":       "ringback.example",
		"https://ringback.example:8443/": "ringback.example",
		"":                               keys.GatewayID(),
		"not a URL\x7f":                  keys.GatewayID(),
		"/only/a/path":                   keys.GatewayID(),
	} {
		if got := (&core{Config: Config{PublicURL: url, Keys: keys}}).Origin(); got != want {
			t.Errorf("Origin of %q = %q, want %q", url, got, want)
		}
	}
}

func TestCountsNeedNobodyWhoCounts(t *testing.T) {
	(&core{}).count(Events, 1)
	got := &counts{}
	(&core{Config: Config{Metrics: got}}).count(Events, 3)
	if got.of(Events) != 3 {
		t.Errorf("counted %v, want 3", got.of(Events))
	}
}

// TestLeaseOutlastsTheInvocation has invocations of some length, and one without
// an end.
func TestLeaseOutlastsTheInvocation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &core{Config: Config{}.withDefaults()}
		for _, tt := range []struct{ lasts, want time.Duration }{
			{0, time.Hour + 5*time.Second}, {time.Minute, 65 * time.Second}, {2 * time.Hour, time.Hour + 5*time.Second},
		} {
			ctx, cancel := context.WithCancel(t.Context())
			if tt.lasts > 0 {
				ctx, cancel = context.WithTimeout(t.Context(), tt.lasts)
			}
			if got := c.leaseEnd(ctx).Sub(c.Clock()); got != tt.want {
				t.Errorf("an invocation of %v has a lease of %v, want %v", tt.lasts, got, tt.want)
			}
			cancel()
		}
	})
}

func TestRunsOfAProcessDiffer(t *testing.T) {
	c := &core{process: "process"}
	one, two := c.newRunID(), c.newRunID()
	if one == two || !strings.HasPrefix(one, "process.") || !strings.HasPrefix(two, "process.") {
		t.Errorf("runs %q and %q, want two of one process", one, two)
	}
}

func TestInstantsAreComparedAndStoredInUTC(t *testing.T) {
	after := noon.Add(time.Second)
	if later(noon, after) != after || later(after, noon) != after {
		t.Errorf("later(%v, %v) is not the second", noon, after)
	}
	there := time.Date(2026, 3, 1, 13, 0, 0, 999_999, time.FixedZone("", 3600))
	if got := utcOrZero(there); got != noon {
		t.Errorf("%v is stored as %v, want %v", there, got, noon)
	}
	if got := utcOrZero(time.Time{}); !got.IsZero() {
		t.Errorf("the zero time is stored as %v", got)
	}
	local := &core{Config: Config{Now: func() time.Time { return there }}}
	if got := local.Clock(); got != noon {
		t.Errorf("the clock says %v, want %v", got, noon)
	}
}

func TestEachCallIsMadeOnce(t *testing.T) {
	for _, n := range []int{0, 1, 2, 100} {
		calls := make([]int, n)
		parallel(n, func(i int) { calls[i]++ })
		if want := strings.TrimSpace(strings.Repeat("1 ", n)); fmt.Sprint(calls) != "["+want+"]" {
			t.Errorf("of %d calls each was made %v times, want once", n, calls)
		}
	}
}

func TestEveryMetricHasAUnit(t *testing.T) {
	units := Units()
	for _, m := range []Metric{Callbacks, RefusedCallbacks, Events, AttemptsSucceeded, AttemptsFailed} {
		if units[m] != "Count" {
			t.Errorf("%s is in %q, want Count", m, units[m])
		}
	}
	if units[DeliveryLatency] != "Milliseconds" || units[DueAge] != "Seconds" {
		t.Errorf("%s is in %q and %s in %q, want Milliseconds and Seconds", DeliveryLatency, units[DeliveryLatency], DueAge, units[DueAge])
	}
}
