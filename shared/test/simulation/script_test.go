package simulation

import (
	"slices"
	"time"

	"ringback/shared/gateway"
	"ringback/shared/schedule"
)

// scripts are what happens in runs in which nothing goes wrong except that
// processes end.
var scripts = map[string]func(*world){
	"deliveries": (*world).deliver, "failures": (*world).deliver, "lane": (*world).deliverInOrder, "group": (*world).deliverByCode,
}

// deliver is a callback of three items for two registrations, of which one is
// disabled for a while, and the endpoint of the other fails once; a release; and a
// resend, except where the history is one of failures.
func (w *world) deliver() {
	s, t := w.begin("direct")
	disabled, failing := w.endpoint(t, s, well, false), w.endpoint(t, s, failsOnce, false)
	w.disable(disabled)
	w.rest()
	w.sendUntilAcked(s, 3)
	w.play(w.atRest)
	w.enable(disabled, true)
	w.play(w.atRest)
	if !w.plan.failures {
		w.resend(failing)
		w.play(w.atRest)
	}
	w.wantAccepted()
}

// deliverInOrder is three chats of a group, a second apart, for an ordered
// registration whose endpoint fails once.
func (w *world) deliverInOrder() {
	s, t := w.begin("smartbots")
	w.endpoint(t, s, failsOnce, true)
	for range 3 {
		w.sendUntilAcked(s, 1)
		over := false
		w.after(time.Second, func() { over = true })
		w.play(func() bool { return over })
	}
	w.play(w.atRest)
	w.wantAccepted()
}

// deliverByCode is a registration by the code of a group, which is sent the
// group's chat until the code is changed.
func (w *world) deliverByCode() {
	s, _ := w.begin("smartbots")
	w.makeGroup()
	w.play(w.atRest)
	w.sendUntilAcked(s, 1)
	w.play(w.atRest)
	w.changeCode(nil)
	w.play(w.atRest)
	var got []string
	for _, p := range w.posts {
		got = append(got, p.action)
	}
	if got = slices.Compact(got); !slices.Equal(got, []string{"callback_set", "group_chat", "callback_removed"}) {
		w.fail("the app was sent %q, want the chat after callback_set and before callback_removed", got)
	}
}

// begin makes a source and a tenant that is granted all of it.
func (w *world) begin(provider string) (*source, *tenant) {
	w.calm = true
	w.makeSource(provider)
	w.makeTenant()
	w.rest()
	w.grant(w.tenants[0], w.sources[0], nil)
	w.rest()
	return w.sources[0], w.tenants[0]
}

// endpoint registers for all of a source.
func (w *world) endpoint(t *tenant, s *source, m mood, ordered bool) *wish {
	r := w.newWish(t, s)
	r.mood, r.ordered, r.paced = m, ordered, false
	r.match, r.waits = since(time.Now(), gateway.Match(nil)), since(time.Now(), schedule.Schedule{})
	w.register(r)
	w.rest()
	return r
}

// sendUntilAcked sends a callback of n items, again soon until it is acknowledged.
func (w *world) sendUntilAcked(s *source, n int) {
	c := w.callbackOf(s, n)
	c.tries, c.every = 10, 10*time.Second
	w.coming++
	w.send(c)
	w.play(func() bool { return c.acked })
}

// wantAccepted checks that endpoints accepted all that was acknowledged.
func (w *world) wantAccepted() {
	for _, r := range w.wishes {
		for _, i := range w.items {
			if w.must(r, i) && !slices.ContainsFunc(i.ids, r.accepted) {
				w.fail("%s was acknowledged, and %s never accepted it", i.text, r.id)
			}
		}
	}
}
