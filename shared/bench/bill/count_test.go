package bill

import (
	"cmp"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"ringback/shared/control"
	"ringback/shared/gateway"
	"ringback/shared/schedule"
)

// A load is what the gateway is given to do.
type load struct {
	provider string // default: tencent-chat
	events   int
	fanOut   int  // registrations that want each event
	slow     bool // endpoints take SlowTime
	failing  int  // percent of the deliveries, each refused three times; 100: for ever
	history  gateway.History
	schedule schedule.Schedule
	plays    int // of which the mean is taken; default 1
}

// retried are the waits of a load: two that the worker sends itself, and one
// that the tick hands out.
var retried = schedule.Schedule{Waits: []time.Duration{5 * time.Second, 5 * time.Minute, 16 * time.Minute}}

// afterwards is how long events come after the last one that is refused: until
// its retries are made.
const afterwards = 28 * time.Minute

// count returns what AWS meters for one event, except for what an idle gateway
// uses too: the mean of l's plays.
func (l load) count(t *testing.T, dynamoDB string) (u Usage) {
	t.Helper()
	plays := max(l.plays, 1)
	for range plays {
		one := l.play(t, dynamoDB)
		for i, sum := range u.values() {
			*sum += *one.values()[i]
		}
	}
	return u.Each(float64(plays))
}

// play plays l once, in virtual time.
func (l load) play(t *testing.T, dynamoDB string) (u Usage) {
	t.Helper()
	now := time.Now()
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(now)) // rows of the year 2000 would have expired in DynamoDB
		w := newWorld(t, dynamoDB)
		w.prepare(l)
		w.callBack()
		w.settle()
		w.endpoint.refuse(l)
		if w.endpoint.slow = l.slow; l.slow {
			for range 3 { // then it is known
				w.callBack()
				w.settle()
			}
		}
		idle := w.idle()
		w.reset()
		w.flow(l)
		w.settle()
		u = w.counted()
		t.Logf("rows put for %d events: %v", l.events, w.meters.puts)
		u = u.Without(idle.Each(1 / u.Retry.Invocations))
	})
	return u.Each(float64(l.events))
}

// flow calls back, a batch at a time, while the worker works and the minute's
// tick runs.
func (w *world) flow(l load) {
	w.t.Helper()
	minute, lines := time.Now(), w.lines()
	every := 15 * time.Second
	if l.failing > 0 && l.failing < 100 {
		every = afterwards / time.Duration(l.events/2/Batch)
	}
	for i := range l.events {
		w.callBack()
		if i%Batch != Batch-1 {
			continue
		}
		w.work(lines[0])
		if time.Since(minute) >= time.Minute {
			minute = time.Now()
			w.tick()
		}
		w.retryBatch(&lines[1])
		w.retryBatch(&lines[2])
		time.Sleep(every)
	}
}

// retryBatch lets the worker take messages from a queue of later attempts as
// soon as there are enough for a batch, or they have waited for a minute.
func (w *world) retryBatch(l *line) {
	w.t.Helper()
	n := w.depth(l.name).Waiting
	if n > 0 && l.since.IsZero() {
		l.since = time.Now()
	}
	for ; n >= l.batch || n > 0 && time.Since(l.since) > time.Minute; n -= l.batch {
		w.work(*l)
	}
	if n <= 0 {
		l.since = time.Time{}
	}
}

// prepare makes a source and its registrations.
func (w *world) prepare(l load) {
	w.t.Helper()
	ctx, g := w.t.Context(), w.worker.gateway
	w.provider = cmp.Or(l.provider, tencentChat)
	source := control.SourceChange{Provider: w.provider, Name: new("a source"), History: &l.history}
	if w.provider == tencentChat {
		source.SDKAppID = new(uint64(1400000001))
	}
	_, err := control.New(g).CreateSource(ctx, sourceID, source)
	must(w.t, err)
	_, err = control.New(g).PutCallbackKey(ctx, "cbk_0000000000000000000000bill", sourceID, "", keyText)
	must(w.t, err)
	_, _, err = control.New(g).CreateTenant(ctx, tenantID, "a tenant", gateway.Limits{})
	must(w.t, err)
	_, err = control.New(g).CreateGrant(ctx, "grt_0000000000000000000000bill", sourceID, tenantID, nil)
	must(w.t, err)
	for n := range l.fanOut {
		id := fmt.Sprintf("reg_%026d", n)
		_, _, err := control.New(g).CreateRegistration(ctx, control.Caller{Scope: control.ScopeFull, Tenant: tenantID}, id, sourceID, control.RegistrationChange{
			URL: new(fmt.Sprintf("https://%d.example/hook", n)), EventTypes: &[]string{"*"}, Schedule: &l.schedule,
		})
		must(w.t, err)
	}
}

// refuse lets the endpoints refuse what l says: spread evenly over the first
// half of the events, so that none is under way when the last event comes.
func (e *endpoint) refuse(l load) {
	e.mu.Lock()
	defer e.mu.Unlock()
	first := len(e.ids)
	e.refuses = func(host string, id, before int) bool {
		if l.failing == 0 || l.failing == 100 {
			return l.failing == 100
		}
		var n int
		fmt.Sscanf(host, "%d.", &n)
		return before < 3 && id-first < l.events/2 && (id-first+n)%(50/l.failing) == 0
	}
}

// settle works until no message waits and no delivery is due, with the tick in
// each minute in which it has something to do.
func (w *world) settle() {
	w.t.Helper()
	for {
		later := 0
		for _, l := range w.lines() {
			for w.depth(l.name).Waiting > 0 {
				w.work(l)
			}
			d := w.depth(l.name)
			later += d.Waiting + d.Delayed + d.InFlight
		}
		if later > 0 {
			time.Sleep(30 * time.Second)
			continue
		}
		due := w.meters.puts.next()
		if due.IsZero() {
			return
		}
		time.Sleep(time.Until(due.Add(-gateway.Lookahead / 2)))
		w.tick()
	}
}

// idle returns what a tick uses that has nothing to do.
func (w *world) idle() Usage {
	w.reset()
	w.tick()
	return w.counted()
}
