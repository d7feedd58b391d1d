package app_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"ringback/shared/control"
	"ringback/shared/embedded"
	"ringback/shared/gateway"
	"ringback/shared/test/gatewaytest"
	"ringback/shared/test/proofs"
)

// served is a world whose queues are served as the local runner does it: one
// message a handler, 256 handlers each, and so many POSTs at once.
func served(t *testing.T, atOnce int) *world {
	w := newWorld(t, 0)
	w.paused, w.attempts = true, atOnce
	w.restart()
	t.Cleanup(gatewaytest.Run(w.g, gatewaytest.On(w.db, embedded.Consumer{Batch: 1, Concurrency: 256, Timeout: time.Minute}), time.Minute))
	return w
}

// delays are endpoints that take their time, by host.
type delays struct {
	to *gatewaytest.Endpoints
	of map[string]func() time.Duration
}

func (d delays) RoundTrip(r *http.Request) (*http.Response, error) {
	if after := d.of[r.URL.Host]; after != nil {
		select {
		case <-time.After(after()):
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
	}
	return d.to.RoundTrip(r)
}

// healthy is how long a well endpoint takes: 20 to 120 ms, the same each time
// that it is made.
func healthy() func() time.Duration {
	var mu sync.Mutex
	r := rand.New(rand.NewPCG(1, 2))
	return func() time.Duration {
		mu.Lock()
		defer mu.Unlock()
		return 20*time.Millisecond + time.Duration(r.Int64N(int64(100*time.Millisecond)))
	}
}

// p99 returns how long 99 of 100 chats take from the callback until a well
// endpoint has them, at so many a second for 8 s, at full
// length 15, while another tenant's
// endpoint gets the same and answers after beside, unless that is 0.
func p99(t *testing.T, perSecond int, beside time.Duration) (p99 time.Duration) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := served(t, 256)
		net := delays{&w.endpoints, map[string]func() time.Duration{"well.example": healthy(), "slow.example": func() time.Duration { return beside }}}
		w.g.Egress.Transport = net
		s, path := w.smartBots()
		_, well := w.register(w.tenant(s, nil), s, "well.example", control.RegistrationChange{})
		if beside > 0 {
			w.register(w.tenant(s, nil), s, "slow.example", control.RegistrationChange{})
		}
		sent := map[string]time.Time{}
		for n := range proofs.Length(8, 8, 15) * perSecond {
			sent[fmt.Sprint(n)] = time.Now()
			w.chat(path, groupA, fmt.Sprint(n))
			time.Sleep(time.Second / time.Duration(perSecond))
		}
		w.within(time.Hour, "all delivered", func() bool { return len(well.Succeeded()) == len(sent) })
		var took []time.Duration
		for _, p := range well.Posts() {
			took = append(took, p.At.Sub(sent[p.Text(t, "message")]))
		}
		slices.Sort(took)
		p99 = took[len(took)*99/100]
	})
	return p99
}

func TestTenantsP99StaysBesideOneThatHangs(t *testing.T) {
	proofs.Long(t)
	for _, perSecond := range proofs.Length([]int{40}, []int{40}, []int{10, 40}) {
		alone := p99(t, perSecond, 0)
		besides := map[string]time.Duration{"never answers": time.Hour}
		if proofs.Full() {
			besides["answers after 10 s"] = 10 * time.Second
		}
		for name, beside := range besides {
			got := p99(t, perSecond, beside)
			t.Logf("%d/s beside one that %s: p99 %v, alone %v", perSecond, name, got, alone)
			if got > alone*12/10 {
				t.Errorf("%d/s beside one that %s: p99 %v, more than 1.2 × %v alone", perSecond, name, got, alone)
			}
		}
	}
}

// TestAttemptThatWaitedIsJudgedAgain has a process whose only POST at a time hangs
// while a registration whose event waits for its turn is disabled.
func TestAttemptThatWaitedIsJudgedAgain(t *testing.T) {
	const groupB = "ffffffff-0a5e-4a0c-9a5a-1f6d2f0e7c11"
	synctest.Test(t, func(t *testing.T) {
		w := served(t, 1)
		s, path := w.smartBots()
		c, other := w.tenant(s, nil), w.tenant(s, nil)
		w.g.Egress.Transport = delays{&w.endpoints, map[string]func() time.Duration{
			"slow.example": func() time.Duration { return 10 * time.Second },
		}}
		_, slow := w.register(other, s, "slow.example", control.RegistrationChange{Match: ptr(gateway.Match{"group": {groupA}})})
		r, waits := w.register(c, s, "waits.example", control.RegistrationChange{Match: ptr(gateway.Match{"group": {groupB}})})
		w.chat(path, groupA, "first")
		time.Sleep(time.Second)
		w.chat(path, groupB, "second")
		time.Sleep(100 * time.Millisecond)
		if _, err := w.control().DisableRegistration(t.Context(), c, r.ID); err != nil {
			t.Fatal(err)
		}
		d := w.wantStatus(c, r, time.Hour, gateway.Held)
		if n := len(waits.Posts()); n != 0 || len(slow.Posts()) != 1 {
			t.Errorf("%d POSTs, %s, to a registration that was disabled before its turn came; %d to the other", n, d.Reason, len(slow.Posts()))
		}
	})
}
