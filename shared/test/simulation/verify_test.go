package simulation

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"ringback/shared/gateway"
	"ringback/shared/storage"
)

// A delivery is what its row says that the rules are about.
type delivery struct {
	row          storage.Row
	registration string
	event        string

	Status  gateway.Status
	Why     string
	Made    int
	Claim   int
	Lost    int
	Start   time.Time
	Created time.Time
	Anew    time.Time
	Since   time.Time
	Lane    bool
}

func (w *world) deliveries() map[string][]delivery {
	out := map[string][]delivery{}
	for _, r := range w.on.all(storage.Deliveries, "D#") {
		d := w.readDelivery(r)
		out[d.registration] = append(out[d.registration], d)
	}
	return out
}

func (w *world) readDelivery(r storage.Row) delivery {
	d := delivery{row: r, event: r.SK}
	d.registration, _, _ = strings.Cut(strings.TrimPrefix(r.PK, "D#"), "#")
	if err := json.Unmarshal(r.Data, &d); err != nil {
		w.fail("row %s %s: %v", r.PK, r.SK, err)
	}
	return d
}

// verify checks what must hold when all is at rest.
func (w *world) verify() {
	w.learnIDs()
	w.learnApps()
	all := w.deliveries()
	for _, ds := range all {
		for _, d := range ds {
			w.verifyRow(d)
		}
	}
	for _, r := range w.wishes {
		for _, i := range w.items {
			if w.must(r, i) {
				w.verifyDelivered(r, i, all[r.id], "was acknowledged")
			}
		}
		for _, d := range all[r.id] {
			w.verifyEnd(r, d)
		}
		for _, j := range r.jobs {
			w.verifyJob(r, j, all[r.id])
		}
		w.verifyResends(r)
		w.verifyOnce(r)
		w.verifyOrder(r)
		w.verifyWaits(r)
	}
	w.verifyWork()
}

// learnIDs finds in the events' rows under which ids things were begun that
// nobody was sent.
func (w *world) learnIDs() {
	for _, r := range w.on.all(storage.Deliveries, "E#") {
		text := textOf.Find(r.Body)
		if text == nil {
			continue
		}
		if i := w.itemNamed(string(text)); i != nil && !slices.Contains(i.ids, r.SK) {
			i.ids = append(i.ids, r.SK)
		}
	}
}

// learnApps finds which registrations set_http_callback made.
func (w *world) learnApps() {
	for _, row := range w.on.all(storage.Registrations, "R#") {
		var reg gateway.Registration
		if row.SK != "R" || json.Unmarshal(row.Data, &reg) != nil {
			continue
		}
		for _, r := range w.wishes {
			if r.app != "" && r.app == reg.AppUUID && r.tenant.id == reg.Tenant {
				r.id = reg.ID
			}
		}
	}
}

// verifyRow checks that a delivery is final, or that something will be done
// about it.
func (w *world) verifyRow(d delivery) {
	if d.Status == gateway.Pending || !d.row.Due.IsZero() {
		w.fail("delivery %s of %s is %s, due %v, though nothing is due any more", d.event, d.registration, d.Status, d.row.Due)
	}
}

// verifyDelivered checks that i came to r, or that a row says why not.
func (w *world) verifyDelivered(r *wish, i *item, ds []delivery, what string) {
	for _, p := range r.posts {
		if p.item == i && p.accepted {
			return
		}
	}
	for _, d := range ds {
		if slices.Contains(i.ids, d.event) {
			return // verifyEnd looks at it
		}
	}
	w.fail("%s %s and never came to %s, and no row tells why; it is %v", i.text, what, r.id, i.ids)
}

// verifyEnd checks that a delivery may have ended as it did.
func (w *world) verifyEnd(r *wish, d delivery) {
	now := time.Now()
	posts, accepted, wasGone := 0, 0, false
	for _, p := range r.posts {
		if p.id == d.event {
			posts++
			wasGone = wasGone || p.status == 410
			if p.accepted {
				accepted++
			}
		}
	}
	what := fmt.Sprintf("delivery %s to %s is %s, %s, after %d POSTs (%d recorded)", d.event, r.id, d.Status, d.Why, posts, d.Made)
	switch d.Status {
	case gateway.Succeeded:
		if accepted == 0 {
			w.fail("%s: none of them was accepted", what)
		}
	case gateway.Failed:
		switch {
		case d.Why == "gone" && wasGone:
		case d.Why == "exhausted":
			w.verifyExhausted(r, d, posts, what)
		default:
			w.fail("%s, for no good reason", what)
		}
	case gateway.Held:
		w.verifyHeld(r, d, what)
	case gateway.Cancelled:
		w.verifyCancelled(r, d, what, now)
	}
}

// verifyExhausted checks that the schedule was used up: its attempts, or behind
// an open circuit its time.
func (w *world) verifyExhausted(r *wish, d delivery, posts int, what string) {
	fewest, shortest := 1000, 1000*time.Hour
	for _, c := range r.waits {
		sum := time.Duration(0)
		for n := range c.value.Len() {
			sum += c.value.Wait(n)
		}
		fewest, shortest = min(fewest, c.value.Len()+1), min(shortest, sum*12/10+time.Hour)
	}
	began := d.Created
	if d.Anew.After(began) {
		began = d.Anew
	}
	inTime := d.Since.Sub(began) > shortest-5*time.Second
	if (d.Made < fewest || posts < fewest) && !inTime {
		w.fail("%s: want %d, or an open circuit for %v", what, fewest, shortest)
	}
}

// verifyHeld checks that a delivery waits for a registration that is disabled,
// or was disabled when it was held and has been enabled without asking for what
// was held before.
func (w *world) verifyHeld(r *wish, d delivery, what string) {
	stored, ok := w.registration(r.id)
	if !ok {
		w.fail("%s, of no registration", what)
		return
	}
	from, to := d.Since.Add(-w.slack()), d.Since.Add(w.slack())
	switch {
	case d.Why == "tenant_disabled":
		enabled := r.tenant.disabled[len(r.tenant.disabled)-1]
		now := time.Now()
		if r.tenant.disabled.always(now, now, isFalse) && r.state.always(enabled.start, now, is(gateway.Enabled)) {
			w.fail("%s: the tenant is enabled since %v, and so is the registration", what, enabled.end)
		}
	case stored.State == gateway.Enabled && !d.Since.Before(stored.Since.Add(-5*time.Second)):
		w.fail("%s at %v: the registration was enabled at %v", what, d.Since, stored.Since)
	case stored.Reason == "nothing was accepted for five days":
		if stored.Since.Sub(r.lastOK) < 5*24*time.Hour {
			w.fail("%s: the endpoint accepted at %v, five days before %v", what, r.lastOK, stored.Since)
		}
	case !r.state.ever(from, to, is(gateway.Disabled)):
		w.fail("%s at %v: nobody disabled it", what, d.Since)
	}
}

func (w *world) registration(id string) (gateway.Registration, bool) {
	for _, row := range w.on.all(storage.Registrations, "R#"+id) {
		var r gateway.Registration
		if row.SK == "R" && json.Unmarshal(row.Data, &r) == nil {
			return r, true
		}
	}
	return gateway.Registration{}, false
}

// verifyCancelled checks that what a delivery was for had gone.
func (w *world) verifyCancelled(r *wish, d delivery, what string, now time.Time) {
	i := w.ids[d.event]
	removed := r.state.ever(d.Created, now, is(gateway.Removed)) || r.group != nil
	revoked := i != nil && !r.tenant.covers(i, d.Created.Add(-w.slack()), now)
	if !removed && !revoked && i != nil {
		w.fail("%s: neither the registration nor the grant has gone", what)
	}
}

// verifyResends checks that what was asked for once more came once more, unless
// the endpoint could not be called any more.
func (w *world) verifyResends(r *wish) {
	now := time.Now()
	for _, again := range r.resends {
		i := w.ids[again.id]
		from := again.start.Add(-w.slack())
		if i == nil || !r.state.always(from, now, is(gateway.Enabled)) || !r.tenant.disabled.always(from, now, isFalse) || !r.tenant.covers(i, from, now) {
			continue
		}
		if !slices.ContainsFunc(r.posts, func(p *post) bool { return p.id == again.id && !p.end.Before(again.start) }) {
			w.fail("%s was to be sent to %s again at %v, and was not", again.id, r.id, again.start)
		}
	}
}

// verifyOrder checks that an ordered registration had never two at once of one
// group, or one message of Direct's, and was told what was late. Only resends
// pass the lane by.
func (w *world) verifyOrder(r *wish) {
	if !r.ordered || len(r.asked) > 0 {
		return
	}
	seen := map[string]bool{}
	for n, p := range r.posts {
		first := !seen[p.id]
		seen[p.id] = true
		for _, before := range r.posts[:n] {
			switch {
			case p.item == nil || before.item == nil || !sameLane(p.item, before.item):
			case before.end.After(p.at):
				w.fail("%s got %s at %v while it had %s until %v", r.id, p.item.text, p.at, before.item.text, before.end)
			case first && !p.late && w.surelyOlder(p.item, before.item):
				w.fail("%s got %s at %v after %s, and not as late", r.id, p.item.text, p.at, before.item.text)
			}
		}
	}
}

// surelyOlder reports whether a had been received before b was sent: then it was
// sent once, and clocks were right.
func (w *world) surelyOlder(a, b *item) bool {
	return w.plan.skew == 0 && w.plan.jumps == 0 && a.sends == 1 && !a.acked.IsZero() && a.acked.Before(b.sent)
}

func sameLane(a, b *item) bool {
	return slices.Equal(a.keys["group"], b.keys["group"]) && slices.Equal(a.keys["message"], b.keys["message"])
}

// verifyOnce checks that nothing came twice where nothing went wrong, and that a
// process that ended had at most one POST repeated.
func (w *world) verifyOnce(r *wish) {
	if !w.plan.clean || w.unclaimed() {
		return
	}
	accepted := map[string]int{}
	for _, p := range r.posts {
		if p.accepted {
			accepted[p.id]++
		}
	}
	for id, n := range accepted {
		asked := 1 + w.crashed
		for _, again := range r.resends {
			if again.id == id {
				asked++
			}
		}
		if n > asked && !r.repeats {
			w.fail("%s accepted %s %d times, want %d after %d processes that ended", r.id, id, n, asked, w.crashed)
		}
	}
}

// unclaimed reports whether twins of a message may both deliver its events: those
// of a provider without natural keys are not claimed where a history of failures
// is kept.
func (w *world) unclaimed() bool { return w.plan.twins && w.plan.failures }

// released reports whether a schedule may have begun anew, with what was held.
func (r *wish) released() bool {
	return len(r.state) > 2 || len(r.tenant.disabled) > 1 || len(r.jobs) > 0
}

// verifyWaits checks that attempts were no closer to each other than the
// schedule has them, where nobody asked for more.
func (w *world) verifyWaits(r *wish) {
	if !w.plan.clean || w.crashed > 0 || w.unclaimed() || r.repeats || len(r.resends) > 0 || len(r.waits) > 1 || r.released() {
		return
	}
	last, made := map[string]*post{}, map[string]int{}
	waits := r.waits.latest()
	for _, p := range r.posts {
		before, n := last[p.id], made[p.id]
		if before != nil && n <= waits.Len() {
			if least := waits.Wait(n-1) * 8 / 10; p.at.Sub(before.at) < least-time.Second {
				w.fail("%s got %s again after %v, want %v at least", r.id, p.id, p.at.Sub(before.at), least)
			}
		}
		last[p.id], made[p.id] = p, n+1
	}
}

// verifyJob checks that a job left nothing out: what had failed or was held
// since its time when it was asked for, and what a registration had missed.
func (w *world) verifyJob(r *wish, j *work, ds []delivery) {
	rows := w.on.all(storage.Deliveries, "J#"+j.id)
	var job gateway.Job
	if len(rows) != 1 || json.Unmarshal(rows[0].Data, &job) != nil || job.Status != gateway.JobDone {
		return
	}
	if j.kind == gateway.JobReplay {
		w.verifyReplay(r, j, ds)
		return
	}
	status := map[gateway.JobKind]gateway.Status{gateway.JobRecover: gateway.Failed, gateway.JobRelease: gateway.Held}[j.kind]
	from, to := j.since.Add(2*w.plan.skew), j.start.Add(-2*w.plan.skew)
	for _, d := range ds {
		if d.Status == status && !d.Since.Before(from) && d.Since.Before(to) {
			w.fail("%s of %s at %v left out delivery %s, %s since %v", j.kind, r.id, j.start, d.event, d.Status, d.Since)
		}
	}
}

// verifyReplay checks that r has what it might have had since j's time.
func (w *world) verifyReplay(r *wish, j *work, ds []delivery) {
	now := time.Now()
	for _, i := range w.items {
		if i.acked.IsZero() || !i.acked.Before(j.start.Add(-2*w.plan.skew)) || i.sent.Before(j.since.Add(2*w.plan.skew)) {
			continue
		}
		if r.wants(i, j.start, now) && r.tenant.covers(i, i.sent.Add(-w.slack()), now) {
			w.verifyDelivered(r, i, ds, fmt.Sprintf("was to be replayed at %v", j.start))
		}
	}
}

// verifyWork checks that jobs are over.
func (w *world) verifyWork() {
	for _, r := range w.on.all(storage.Deliveries, "J#") {
		if strings.Contains(string(r.Data), `"status":"running"`) {
			w.fail("job %s still runs: %s", r.PK, r.Data)
		}
	}
}

// unfinished tells what is still to be done.
func (w *world) unfinished() string {
	var b strings.Builder
	for _, d := range w.deeds {
		fmt.Fprintf(&b, "deed: %s, tried %d times\n", d.name, d.tries)
	}
	for _, c := range w.parked {
		fmt.Fprintf(&b, "call: %s %s\n", c.name, c.about)
	}
	for _, prefix := range []string{"D#", "J#", "L#"} {
		for _, r := range w.on.all(storage.Deliveries, prefix) {
			if !r.Due.IsZero() {
				fmt.Fprintf(&b, "row: %s %s due %v: %s\n", r.PK, r.SK, r.Due, r.Data)
			}
		}
	}
	return b.String()
}
