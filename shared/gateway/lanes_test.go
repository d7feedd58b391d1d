package gateway

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ringback/shared/storage"
	"ringback/shared/test/proofs"
)

// laneNow returns a lane as it is stored.
func (y *yard) laneNow(k storage.Key) (lane, storage.Row) {
	y.Helper()
	l, row, err := storage.Load[lane](y.Context(), y.store, k)
	if err != nil {
		y.Fatal(err)
	}
	return l, row
}

// runLanes receives what was sent for lanes, each at its time, for so long.
func (y *yard) runLanes(long time.Duration) {
	y.Helper()
	for end := time.Now().Add(long); ; {
		ms := y.out.take(storage.RetryQueue)
		if len(ms) == 0 {
			return
		}
		for _, m := range ms {
			if time.Now().Add(m.Delay).After(end) {
				return
			}
			time.Sleep(m.Delay)
			if y.receive(y.Redeliver, m.Body, 1) {
				y.Fatalf("the message comes again: %s", y.said.String())
			}
		}
	}
}

// TestWaitingPlaceIsWrittenBeforeItsLaneIsWoken appends to a lane that is empty,
// and refuses either of the writes.
func TestWaitingPlaceIsWrittenBeforeItsLaneIsWoken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		y := newYard(t, FullHistory)
		r := y.register("tenant.example", inOrder)
		y.store.written()
		y.delivered(r)
		var got []string
		for _, row := range y.store.written("E#", "L#", "D#") {
			got = append(got, row.PK[:2]+row.SK[:1])
		}
		if want := []string{"E#e", "L#W", "L#L", "D#e"}; !slices.Equal(got, want) {
			t.Errorf("written %v, want %v: event, place, lane, delivery", got, want)
		}
		key := y.laneOf(r)
		before, _ := y.laneNow(key)
		y.store.set(refuse(key.PK + " W#"))
		if a := y.arrival(); !y.fanOut(1, a) {
			t.Error("an event without a place in its lane was acknowledged")
		}
		if after, _ := y.laneNow(key); after != before {
			t.Errorf("the lane became %+v though the place was not written, want %+v", after, before)
		}
	})
}

// TestHeadOfALaneIsAttemptedWhenItsArrivalHasSettled receives the message of a lane
// too early, and at its time.
func TestHeadOfALaneIsAttemptedWhenItsArrivalHasSettled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		y := newYard(t, FullHistory)
		r := y.register("tenant.example", inOrder)
		came := y.Clock()
		y.delivered(r)
		ms := y.out.take(storage.RetryQueue)
		if len(ms) != 1 || ms[0].Delay != laneSettleTime {
			t.Fatalf("sent %+v, want one message after %v", ms, laneSettleTime)
		}
		if y.receive(y.Redeliver, ms[0].Body, 1) || y.made() != 0 {
			t.Errorf("%d POSTs at once, want none before %v", y.made(), laneSettleTime)
		}
		if l, _ := y.laneNow(y.laneOf(r)); l.Running || l.Phase != "" || l.Runner == "" {
			t.Errorf("a lane that waits is %+v, want it to have a runner that has not begun", l)
		}
		y.runLanes(time.Minute)
		if y.made() != 1 || y.posts[0].at.Sub(came) < laneSettleTime || y.posts[0].at.Sub(came) > laneSettleTime+time.Second {
			t.Errorf("POSTs %v, want one, %v after %v", y.posts, laneSettleTime, came)
		}
		if l, row := y.laneNow(y.laneOf(r)); l.Runner != "" || l.Running || !row.Due.IsZero() {
			t.Errorf("afterwards the lane is %+v, due %v; want nobody on it", l, row.Due)
		}
	})
}

func TestArrivalSettlesUnlessAWrongClockPutItAhead(t *testing.T) {
	for age, want := range map[time.Duration]bool{
		time.Hour: false, laneSettleTime: false, laneSettleTime - 1: true, 0: true, -30 * time.Second: true, 1 - time.Minute: true, -time.Minute: false, -time.Hour: false,
	} {
		if got := (laneEntry{Received: noon.Add(-age)}).unsettled(noon); got != want {
			t.Errorf("unsettled %v after it came = %v, want %v", age, got, want)
		}
	}
}

// TestLaneIsClosedUntilItsHeldDeliveriesAreBackInIt has a lane worked on while its
// registration's release stands as it may.
func TestLaneIsClosedUntilItsHeldDeliveriesAreBackInIt(t *testing.T) {
	proofs.Long(t)
	running := func(cursor string) *Job { return &Job{Kind: JobRelease, Status: JobRunning, Cursor: cursor} }
	for _, tt := range []struct {
		name    string
		release string
		job     *Job
		since   time.Duration // of the state
		open    bool
	}{
		{"no release", "", nil, 0, true},
		{"not begun", "job_x", running(""), 0, false},
		{"in its first pass", "job_x", running("0 7 evt_x"), 0, false},
		{"in its first pass for days", "job_x", running("0 7 evt_x"), 48 * time.Hour, false},
		{"through once", "job_x", running("1 0 "), 0, true},
		{"done", "job_x", &Job{Status: JobDone}, 0, true},
		{"cancelled", "job_x", &Job{Status: JobCancelled}, 0, true},
		{"not there yet", "job_x", nil, 0, false},
		{"not there, nearly a day after it was enabled", "job_x", nil, RepairWindow - 3*time.Second, false},
		{"not there, a day after it was enabled", "job_x", nil, RepairWindow - laneSettleTime, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				y := newYard(t, FullHistory)
				if tt.job != nil {
					tt.job.ID = tt.release
					y.put(JobKey(tt.release), *tt.job)
				}
				r := y.register("tenant.example", inOrder, func(r *Registration) { r.Release, r.Since = tt.release, y.Clock().Add(-tt.since) })
				y.delivered(r)
				y.runLanes(3 * time.Second)
				if got := y.made() == 1; got != tt.open {
					t.Errorf("%d POSTs, want one: %v", y.made(), tt.open)
				}
				if _, row := y.laneNow(y.laneOf(r)); !tt.open && row.Due.IsZero() {
					t.Error("the lane is closed, and nobody will look at it again")
				}
				if tt.open || tt.job == nil {
					return
				}
				y.put(JobKey(tt.release), Job{ID: tt.release, Status: JobDone})
				time.Sleep(laneRecheck + claimTTL)
				y.tick()
				h := y.message(laneHeader(y.laneOf(r), func() string { l, _ := y.laneNow(y.laneOf(r)); return l.Runner }()))
				if y.receive(y.Redeliver, h, 1); y.made() != 1 {
					t.Errorf("%d POSTs when the release is over, want one", y.made())
				}
			})
		})
	}
}

func TestRunnerSeesWhatIsAppendedWhileItWorksOrBeforeItBegins(t *testing.T) {
	due := noon
	for _, tt := range []struct {
		name string
		l    lane
		due  time.Time
		want bool
	}{
		{"nobody, and not due", lane{}, time.Time{}, false},
		{"nobody, and due", lane{}, due, true},
		{"a message is under way", lane{Runner: "r"}, due, true},
		{"a message is under way, no time", lane{Runner: "r"}, time.Time{}, true},
		{"working", lane{Runner: "r", Running: true, Phase: working}, due, true},
		{"draining", lane{Runner: "r", Running: true, Phase: draining}, due, false},
		{"busy, of an earlier release", lane{Runner: "r", Running: true}, due, false},
	} {
		if got := tt.l.willSee(tt.due); got != tt.want {
			t.Errorf("%s: sees = %v, want %v", tt.name, got, tt.want)
		}
	}
}

// TestAppendBetweenTheStepsOfALeavingRunnerIsNotStranded has an event appended
// before one of the looks that a runner takes before it leaves its lane.
func TestAppendBetweenTheStepsOfALeavingRunnerIsNotStranded(t *testing.T) {
	for step := range 4 {
		for _, phase := range []string{working, ""} { // "": of an earlier release
			t.Run(fmt.Sprintf("step %d, phase %q", step, phase), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					y := newYard(t, FullHistory)
					r := y.register("tenant.example", inOrder)
					key := y.laneOf(r)
					y.put(key, lane{Registration: r.ID, Source: y.source, Runner: "me", Running: true, Phase: phase})
					run := &laneWorker{key: key, runner: "me", lane: lane{Registration: r.ID, Source: y.source, Runner: "me", Running: true, Phase: phase}}
					left, appended := false, false
					for n := range 6 {
						if n == step {
							time.Sleep(time.Second)
							y.store.written()
							y.delivered(r)
							appended = true
						}
						if _, err := y.lanes.head(t.Context(), key); err == nil {
							break // the runner goes on with it
						}
						err := y.releaseLane(t.Context(), run)
						if left = errors.Is(err, errNotRunner); left {
							break
						}
						if err != nil {
							t.Fatal(err)
						}
					}
					if !appended {
						y.delivered(r)
					}
					l, row := y.laneNow(key)
					woken := len(y.out.take(storage.RetryQueue)) == 1
					if left && (!woken || l.Runner == "" || row.Due.IsZero()) {
						t.Errorf("the runner left, and the lane is %+v, due %v, woken %v: stranded", l, row.Due, woken)
					}
					if !left && (woken || l.Runner != "me" || !l.Running) {
						t.Errorf("the runner found it, and the lane is %+v, woken %v; want it still the runner's", l, woken)
					}
				})
			})
		}
	}
}

// TestRunnerLeavesALaneAfterASecondLook drains a lane, with an append between the
// look that found nothing and the write that follows.
func TestRunnerLeavesALaneAfterASecondLook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		y := newYard(t, FullHistory)
		r := y.register("tenant.example", inOrder)
		key := y.laneOf(r)
		state := lane{Registration: r.ID, Source: y.source, Runner: "me", Running: true, Phase: working}
		y.put(key, state)
		run := &laneWorker{key: key, runner: "me", lane: state}
		leave := func(want lane, over bool) {
			t.Helper()
			if err := y.releaseLane(t.Context(), run); errors.Is(err, errNotRunner) != over {
				t.Errorf("leaveLane = %v, want that it left: %v", err, over)
			}
			if l, _ := y.laneNow(key); l.Phase != want.Phase || l.Running != want.Running || l.Runner != want.Runner {
				t.Errorf("the lane is %+v, want %+v", l, want)
			}
		}
		y.store.written()
		y.delivered(r) // the runner works: nothing to say
		if rows := y.store.written("L#"); len(rows) != 1 || !strings.HasPrefix(rows[0].SK, "W#") {
			t.Errorf("an append to a lane that is worked on wrote %d rows, want its place alone: hundreds would contend", len(rows))
		}
		leave(lane{Runner: "me", Running: true, Phase: draining}, false)
		y.delivered(r) // between the second look and the write
		if l, _ := y.laneNow(key); l.Seq != 1 || l.Phase != working {
			t.Errorf("an append to a lane that is drained leaves it %+v, want Seq 1, working", l)
		}
		y.store.written()
		y.delivered(r)
		if rows := y.store.written("L#"); len(rows) != 1 {
			t.Errorf("the next append wrote %d rows, want its place alone", len(rows))
		}
		leave(lane{Runner: "me", Running: true, Phase: working}, false)
		leave(lane{Runner: "me", Running: true, Phase: draining}, false)
		leave(lane{}, true)
		older := lane{Registration: r.ID, Source: y.source, Runner: "me", Running: true, Phase: draining}
		run.lane = older
		older.Seq++ // an append by an earlier release
		y.put(key, older)
		leave(lane{Runner: "me", Running: true, Phase: working}, false)
		y.put(key, lane{Runner: "another"})
		if err := y.releaseLane(t.Context(), run); !errors.Is(err, errNotRunner) {
			t.Errorf("leaveLane of another's lane = %v, want errNotRunner", err)
		}
	})
}

// TestChangeOfALaneTellsWhatItsRunnerDid writes a lane of which the runner
// attempted one, and has another wait for the rate.
func TestChangeOfALaneTellsWhatItsRunnerDid(t *testing.T) {
	y := newYard(t, FullHistory)
	key := y.laneOf(&Registration{ID: "reg_x"})
	for _, tt := range []struct{ stored, run, want lane }{
		{lane{}, lane{Last: "W#2", RateGranted: "W#3"}, lane{Last: "W#2", RateGranted: "W#3"}},
		{lane{Last: "W#5", RateGranted: "W#6"}, lane{Last: "W#2"}, lane{Last: "W#5", RateGranted: "W#6"}},
		{lane{Last: "W#1", RateGranted: "W#2"}, lane{Last: "W#2", RateGranted: "W#3"}, lane{Last: "W#2", RateGranted: "W#3"}},
	} {
		tt.stored.Runner = "me"
		y.put(key, tt.stored)
		run := &laneWorker{key: key, runner: "me", lane: tt.run}
		err := y.changeLane(t.Context(), run, "me", func(*lane, *storage.Row) {})
		if l, _ := y.laneNow(key); err != nil || l.Last != tt.want.Last || l.RateGranted != tt.want.RateGranted || run.lane != l {
			t.Errorf("changeLane of %+v by %+v: %v, stored %+v, known %+v; want last %q, paced %q", tt.stored, tt.run, err, l, run.lane, tt.want.Last, tt.want.RateGranted)
		}
	}
}

// TestDeliveriesOfALaneComeOneAfterTheOther has the first of three refused once.
func TestDeliveriesOfALaneComeOneAfterTheOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		y := newYard(t, FullHistory)
		r := y.register("tenant.example", inOrder, every(time.Minute))
		n := 0
		y.answer = func(landed) int {
			if n++; n == 1 {
				return 500
			}
			return 200
		}
		var ds []Delivery
		for range 3 {
			ds = append(ds, y.delivered(r))
			time.Sleep(time.Millisecond)
		}
		y.runLanes(time.Minute / 2)
		if y.made() != 1 {
			t.Errorf("%d POSTs while the head waits, want one", y.made())
		}
		time.Sleep(10 * time.Minute)
		for _, h := range y.tick() {
			if y.receive(y.Redeliver, y.message(h), 1) {
				t.Errorf("the message comes again: %s", y.said.String())
			}
		}
		for i, d := range ds {
			now := y.delivery(r, d.Event)
			if er, _ := y.event(d.Event); now.Status != Succeeded || len(er.Unfinished) > 0 || now.OutOfOrder {
				t.Errorf("delivery %d: %s, late %v, its event open for %v; want it succeeded", i, now.Status, now.OutOfOrder, er.Unfinished)
			}
		}
		if y.made() != 4 {
			t.Errorf("%d POSTs, want 4", y.made())
		}
	})
}
