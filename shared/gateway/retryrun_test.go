package gateway

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"ringback/shared/circuit"
	"ringback/shared/ident"
	"ringback/shared/message"
	"ringback/shared/provider"
	"ringback/shared/schedule"
	"ringback/shared/storage"
)

// refused has an event refused, and returns its delivery, which waits for a retry.
func (y *yard) refused(r *Registration) Delivery {
	y.Helper()
	y.answer = refuses
	d := y.delivered(r)
	if d.Status != Pending {
		y.Fatalf("a delivery that was refused is %s", d.Status)
	}
	return d
}

// dueAt writes d, changed, so that it is due at a time.
func (y *yard) dueAt(d Delivery, due time.Time, change func(*Delivery)) Delivery {
	y.Helper()
	d.NextAttempt, d.due = due, due
	change(&d)
	if err := y.putDelivery(y.Context(), &d, d.rev); err != nil {
		y.Fatal(err)
	}
	return d
}

// laneOf returns the key of the lane of events without a group.
func (y *yard) laneOf(r *Registration) storage.Key { return laneKey(r.ID, &provider.Event{}) }

// TestWorkerParksNoResendBehindAnOpenCircuit has a delivery and the resend of
// another be due while the circuit of their endpoint is open.
func TestWorkerParksNoResendBehindAnOpenCircuit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		y := newYard(t, FullHistory)
		r := y.register("tenant.example", every(time.Minute, time.Minute))
		plain, resent := y.refused(r), y.refused(r)
		resent, err := y.Resend(t.Context(), resent.ID)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(9 * time.Minute) // the message of the resend was lost
		y.put(HealthKey(r.ID), circuit.Health{Open: true, Since: y.Clock(), Interval: time.Hour, ProbeAt: y.Clock().Add(time.Hour)})
		y.circuits.healths.Purge()
		if hs := y.tick(); len(hs) != 2 {
			t.Fatalf("handed out %+v, want both", hs)
		}
		for _, event := range []string{plain.Event, resent.Event} {
			d := y.delivery(r, event)
			if y.redelivered(d, 1) {
				t.Errorf("the message of %s comes again", d.ID)
			}
		}
		if now := y.delivery(r, plain.Event); !now.Parked() || y.made() != 3 {
			t.Errorf("the other is %s and due at %v after %d POSTs; want it parked, after two first attempts and the resend", now.Status, now.due, y.made())
		}
	})
}

// TestTickHandsOutNothingThatNobodyTakes gives ticks depths of the retry queue.
func TestTickHandsOutNothingThatNobodyTakes(t *testing.T) {
	waiting, empty := storage.Depth{Waiting: 3}, storage.Depth{}
	flying, delayed := storage.Depth{Waiting: 3, InFlight: 1}, storage.Depth{Delayed: 9}
	for _, tt := range []struct {
		name   string
		depths []storage.Depth
		want   bool // the last of the ticks hands out
	}{
		{"nothing waits", []storage.Depth{empty}, true},
		{"messages wait at one tick", []storage.Depth{waiting}, true},
		{"messages wait at two ticks", []storage.Depth{waiting, waiting}, false},
		{"messages wait at three ticks", []storage.Depth{waiting, waiting, waiting}, false},
		{"some were in flight between", []storage.Depth{waiting, flying, waiting}, true},
		{"none waited between", []storage.Depth{waiting, empty, waiting}, true},
		{"all are in flight at last", []storage.Depth{waiting, waiting, flying}, true},
		{"some are delayed", []storage.Depth{delayed, delayed, delayed}, true},
		{"as many as the brake", []storage.Depth{{Waiting: 20, InFlight: 1}}, true},
		{"one above the brake", []storage.Depth{{Waiting: 21, InFlight: 1}}, false},
		{"two ticks above the brake, and one below", []storage.Depth{{Waiting: 21}, {Waiting: 21}, waiting}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				y := newYard(t, FullHistory, func(c *Config) { c.MaxBacklog = 20 })
				r := y.register("tenant.example", every(time.Hour))
				d := y.refused(r)
				var hs []message.Header
				for n, depth := range tt.depths {
					y.out.depth = depth
					if n == len(tt.depths)-1 {
						d = y.dueAt(y.delivery(r, d.Event), y.Clock(), func(*Delivery) {})
					}
					hs = y.tick()
					time.Sleep(time.Minute)
				}
				if got := len(hs) == 1; got != tt.want {
					t.Errorf("after depths %v the tick sent %d messages, want one: %v", tt.depths, len(hs), tt.want)
				}
			})
		})
	}
}

// TestWhatIsDueFurtherThanAnyWaitIsHandedOut has rows be due that a wrong clock
// put far ahead, and ticks in each minute of a quarter of an hour.
func TestWhatIsDueFurtherThanAnyWaitIsHandedOut(t *testing.T) {
	for _, tt := range []struct {
		ahead time.Duration
		paced bool
		want  bool
	}{
		{28 * time.Hour, false, false},
		{maxWait, false, false},
		{maxWait + 20*time.Minute, false, true},
		{20 * 24 * time.Hour, false, true},
		{20 * 24 * time.Hour, true, false},
	} {
		t.Run(fmt.Sprintf("%v ahead, paced %v", tt.ahead, tt.paced), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				y := newYard(t, FullHistory)
				r := y.register("tenant.example")
				due := y.Clock().Add(tt.ahead)
				d := y.dueAt(y.refused(r), due, func(d *Delivery) { d.RateGranted = tt.paced })
				job := Job{ID: ident.New("job", y.Clock()), Kind: JobRelease, Status: JobRunning, Claim: 1}
				l := y.laneOf(r)
				for key, v := range map[storage.Key]any{JobKey(job.ID): job, l: lane{Registration: r.ID, Source: y.source}} {
					if err := storage.PutRow(t.Context(), y.store, storage.Row{Key: key, Due: due}, v, storage.AnyRev); err != nil {
						t.Fatal(err)
					}
				}
				got := map[message.Kind]bool{} // what is handed out and not done falls due again
				for range storage.DueShards {
					for _, h := range y.tick() {
						got[h.Kind] = true
					}
					time.Sleep(time.Minute)
				}
				if others := tt.ahead > maxWait; got[message.Retry] != tt.want || got[message.Job] != others || got[message.Lane] != others {
					t.Errorf("within %d ticks handed out %v; want the delivery %v, job and lane %v", storage.DueShards, got, tt.want, others)
				}
				if now := y.delivery(r, d.Event); tt.want && now.due.After(y.Clock().Add(time.Hour)) {
					t.Errorf("the delivery is due at %v, now is %v", now.due, y.Clock())
				}
			})
		})
	}
}

// TestRecoverHandsOutAnewWhatAFormerProcessHad has a process begin while rows are
// claimed by one that ended, or just wait. A tick leaves them.
func TestRecoverHandsOutAnewWhatAFormerProcessHad(t *testing.T) {
	for _, alone := range []bool{false, true} {
		t.Run(fmt.Sprintf("recovers %v", alone), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				y := newYard(t, FullHistory)
				r := y.register("tenant.example", every(time.Hour))
				now := y.Clock()
				started, waits := now.Add(7*time.Minute), now.Add(10*time.Minute)
				claimed := y.dueAt(y.refused(r), started.Add(2*claimTTL), func(d *Delivery) { d.NextAttempt, d.Unacked = started, 2 })
				waiting := y.dueAt(y.refused(r), waits, func(d *Delivery) { d.Unacked = 0 })
				l := y.laneOf(r)
				job := Job{ID: ident.New("job", now), Kind: JobRelease, Status: JobRunning, Claim: 1}
				for key, v := range map[storage.Key]any{JobKey(job.ID): job, l: lane{Registration: r.ID, Source: y.source, Runner: "dead", Running: true}} {
					if err := storage.PutRow(t.Context(), y.store, storage.Row{Key: key, Due: now.Add(3*time.Minute + claimTTL)}, v, storage.AnyRev); err != nil {
						t.Fatal(err)
					}
				}
				next := y.as(func(c *Config) { c.SingleProcess = alone })
				begin := next.Retry
				if alone {
					begin = next.Recover
				}
				if err := begin(t.Context()); err != nil {
					t.Fatal(err)
				}
				sent := map[string]time.Duration{}
				for _, m := range y.out.take(storage.RetryQueue) {
					h, _, _ := message.Read(m.Body)
					if h.ID != waiting.ID || h.Claim > 1 {
						sent[h.ID] = m.Delay
					}
				}
				for id, want := range map[string]time.Duration{claimed.ID: 7 * time.Minute, job.ID: 3 * time.Minute, l.PK: 3 * time.Minute} {
					if delay, got := sent[id]; got != alone || got && delay != want {
						t.Errorf("%s: sent %v, to be received in %v; want %v, in %v", id, got, delay, alone, want)
					}
				}
				if after := y.delivery(r, waiting.Event); after.Claim != waiting.Claim || !after.due.Equal(waits) {
					t.Errorf("what waits for its time has claim %d and is due at %v; want %d, %v", after.Claim, after.due, waiting.Claim, waits)
				}
				if err := next.Retry(t.Context()); err != nil {
					t.Fatal(err)
				}
				if hs := y.headers(storage.RetryQueue); len(hs) > 0 {
					t.Errorf("the second tick hands out %+v, want nothing", hs)
				}
			})
		})
	}
}

// TestWhatCouldNotBeSentIsSentByTheNextTick breaks the queue for a tick.
func TestWhatCouldNotBeSentIsSentByTheNextTick(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		y := newYard(t, FullHistory)
		r := y.register("tenant.example", every(time.Hour))
		d := y.dueAt(y.refused(r), y.Clock().Add(time.Minute), func(*Delivery) {})
		y.out.take(storage.RetryQueue)
		y.out.broken = true
		if err := y.Retry(t.Context()); err == nil {
			t.Error("a tick that could send nothing returned no error")
		}
		y.out.broken = false
		time.Sleep(time.Minute)
		if err := y.Retry(t.Context()); err != nil {
			t.Fatal(err)
		}
		ms := y.out.take(storage.RetryQueue)
		if len(ms) != 1 || ms[0].Delay != 0 {
			t.Fatalf("sent %+v, want one message without a delay", ms)
		}
		if h, _, _ := message.Read(ms[0].Body); h.ID != d.ID || h.Claim != y.delivery(r, d.Event).Claim {
			t.Errorf("sent %+v, want the current claim of %s", h, d.ID)
		}
	})
}

func TestUnsentMessagesAreKeptInOrderUpToABound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &core{}
		message := func(n int) storage.Message {
			return storage.Message{Body: fmt.Sprint(n), Delay: time.Duration(n%3) * time.Minute}
		}
		for n := range maxUnsent - 1 {
			c.keepUnsent(storage.SlowQueue, message(n))
		}
		c.keepUnsent(storage.SlowQueue, message(maxUnsent-1), message(maxUnsent), message(maxUnsent+1))
		c.keepUnsent(storage.SlowQueue, message(-1))
		time.Sleep(90 * time.Second)
		ms := c.takeUnsent()[storage.SlowQueue]
		if len(ms) != maxUnsent {
			t.Fatalf("kept %d messages, want %d", len(ms), maxUnsent)
		}
		for n, m := range ms {
			if left := max(message(n).Delay-90*time.Second, 0); m.Body != fmt.Sprint(n) || m.Delay != left {
				t.Fatalf("message %d is %+v, want that number, after the %v that are left of its delay", n, m, left)
			}
		}
		if again := c.takeUnsent(); len(again) > 0 {
			t.Errorf("%d messages are taken twice", len(again))
		}
	})
}

// TestLostMessageIsHandedOutWithinFiveMinutes asks when the tick hands out what a
// worker meant to send itself, after each wait that it may.
func TestLostMessageIsHandedOutWithinFiveMinutes(t *testing.T) {
	for _, wait := range []time.Duration{schedule.MinWait, 5 * time.Minute, maxSelfSendDelay / 2} {
		a := Attempt{At: noon, Class: "status_5xx", StatusCode: 500}
		d, self := Delivery{Status: Pending}.record(a, schedule.Schedule{Waits: []time.Duration{wait}}, 0.5, true)
		// It is handed out to be received when it is due, by a tick before that.
		if late := d.due.Sub(d.NextAttempt); !self || late > 5*time.Minute {
			t.Errorf("after a wait of %v: sent by the worker %v, received %v late; want true, 5m0s at most", wait, self, late)
		}
	}
}

// TestClockIsSteadyAnHourAfterItWasSet lets hours pass by steps of a minute, at one
// of which the wall clock is set or drifts.
func TestClockIsSteadyAnHourAfterItWasSet(t *testing.T) {
	for _, tt := range []struct {
		name  string
		alone bool
		at    time.Duration // after the beginning
		by    time.Duration
		drift time.Duration // a minute
		want  []bool        // at once, and after 59, 60, 119, 120, 179 and 180 minutes
	}{
		{"one of many", false, 0, 0, 0, []bool{true, true, true, true, true, true, true}},
		{"alone", true, 0, 0, 0, []bool{false, false, true, true, true, true, true}},
		{"set forward", false, 2 * time.Hour, time.Minute + 2*time.Millisecond, 0, []bool{true, true, true, true, false, false, true}},
		{"set back", false, 2 * time.Hour, -time.Minute - 2*time.Millisecond, 0, []bool{true, true, true, true, false, false, true}},
		{"set by a minute", false, 2 * time.Hour, time.Minute, 0, []bool{true, true, true, true, true, true, true}},
		{"alone, and set", true, time.Hour, -20 * 24 * time.Hour, 0, []bool{false, false, false, false, true, true, true}},
		{"drifting", false, 0, 0, 100 * time.Millisecond, []bool{true, true, true, true, true, true, true}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begun := time.Now()
				c := &core{Config: Config{SingleProcess: tt.alone, Now: func() time.Time {
					now := time.Now()
					now = now.Add(time.Duration(now.Sub(begun)/time.Minute) * tt.drift)
					if tt.by != 0 && time.Since(begun) >= tt.at {
						now = now.Add(tt.by)
					}
					return now
				}}}
				looks := map[int]int{0: 0, 59: 1, 60: 2, 119: 3, 120: 4, 179: 5, 180: 6}
				for minute := range 181 {
					got := c.clockSteady()
					if n, ok := looks[minute]; ok && got != tt.want[n] {
						t.Errorf("steady() after %d minutes = %v, want %v", minute, got, tt.want[n])
					}
					time.Sleep(time.Minute)
				}
			})
		})
	}
}

func TestProbeIsDueAtItsTimeOrIfAWrongClockSetIt(t *testing.T) {
	for in, want := range map[time.Duration]bool{
		-time.Hour: true, -1: true, 0: true, 1: false, time.Hour: false, 2 * circuit.MaxInterval: false, 2*circuit.MaxInterval + 1: true,
	} {
		if got := (circuit.Health{ProbeAt: noon.Add(in)}).ProbeDue(noon); got != want {
			t.Errorf("probeDue %v before its time = %v, want %v", in, got, want)
		}
	}
}

func TestAcceptanceTakesBackAllThatWasSaid(t *testing.T) {
	bad := circuit.Health{Open: true, Since: noon, Interval: time.Hour, ProbeAt: noon, ProbeFailed: noon, FirstFailure: noon, LastFailure: noon}
	at := noon.Add(time.Minute)
	for _, tt := range []struct {
		name string
		h    circuit.Health
		want circuit.Health
	}{
		{"open and failing", bad, circuit.Health{LastSuccess: at}},
		{"failing", circuit.Health{FirstFailure: noon, LastFailure: noon}, circuit.Health{LastSuccess: at}},
		{"open", circuit.Health{Open: true, Interval: time.Minute}, circuit.Health{LastSuccess: at}},
		{"well", circuit.Health{}, circuit.Health{}},
		{"well since", circuit.Health{LastSuccess: noon}, circuit.Health{LastSuccess: noon}},
	} {
		if got := tt.h.AfterSuccess(at); got != tt.want {
			t.Errorf("%s: accepted = %+v, want %+v", tt.name, got, tt.want)
		}
	}
}
