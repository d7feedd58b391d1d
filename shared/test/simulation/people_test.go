package simulation

import (
	"slices"
	"time"

	"ringback/shared/control"
	"ringback/shared/gateway"
	"ringback/shared/schedule"
)

// slack is how long after a change took effect a POST may still arrive that was
// decided on before: 2 s that a cache may be old, how far two clocks differ, and
// the calls between the decision and the arrival.
func (w *world) slack() time.Duration {
	calls := time.Second
	if w.plan.slow > 0 {
		calls = 16 * time.Second
	}
	return 2*time.Second + 2*w.plan.skew + calls
}

// people are those outside, and what they know.
type people struct {
	sources []*source
	tenants []*tenant
	wishes  []*wish
	groups  []*group
	items   []*item
	posts   []*post
	ids     map[string]*item // by webhook-id
	deeds   []*deed          // under way
	coming  int              // callbacks that are still to be sent
	hosts   int              // so many endpoints had a name
}

// A source is an account at a provider.
type source struct {
	gateway.Source
	path   string // source id and callback key, from the callback URL
	groups []string
	items  int
}

// A tenant is one of the operator's customers.
type tenant struct {
	id       string
	disabled history[bool]
	grants   []*grant
	busy     bool // a deed about the tenant is under way
}

func (t *tenant) caller() control.Caller {
	return control.Caller{Scope: control.ScopeFull, Tenant: t.id}
}

// A grant is what a tenant may have of a source.
type grant struct {
	id     string
	source *source
	match  gateway.Match
	held   history[bool]
}

// A wish is a registration, as its tenant knows it.
type wish struct {
	id      string
	tenant  *tenant
	source  *source
	group   *group // of one made by set_http_callback
	app     string // its app_uuid; the id is learnt when the row is written
	host    history[string]
	match   history[gateway.Match]
	waits   history[schedule.Schedule]
	state   history[gateway.State]
	secret  history[string] // empty: not known yet
	ordered bool
	paced   bool // it has a rate
	raw     bool
	mood    mood
	busy    bool // a deed about it is under way
	posts   []*post
	resends []resend
	asked   []string // events of which a resend was asked for, perhaps in vain
	jobs    []*work
	repeats bool // a job may have delivered again what was accepted
	lastOK  time.Time

	written  time.Time // its row, last
	isOff    bool      // the row says that nothing is to be delivered
	offSince time.Time // when all processes could know of that
}

// A work is a job that was asked for, about what happened since a time.
type work struct {
	id    string
	kind  gateway.JobKind
	since time.Time
	start time.Time // when it was asked for
}

// A resend is one that was asked for and promised.
type resend struct {
	id         string
	start, end time.Time
}

// An item is one thing that a source reports: the same in every repeat.
type item struct {
	text    string // in its payload, and nowhere else
	source  *source
	keys    map[string][]string
	payload []byte
	natural bool      // repeats are recognised
	sent    time.Time // first
	sends   int
	queued  bool      // it was in a message that was durable
	acked   time.Time // first; zero: never
	ids     []string  // under which it came
}

// A post is one POST that arrived at an endpoint.
type post struct {
	at       time.Time
	end      time.Time // when the answer was read, or nobody waited for it any more
	wish     *wish
	item     *item // nil: an event of the gateway's own
	id       string
	action   string // of a form, as SmartBots' applications are sent
	status   int
	accepted bool // the endpoint took it
	answered bool // and its answer came back
	late     bool // it said that it may come after a later one
}

// covers reports whether a grant that t holds at all times from one instant to
// another covers i.
func (t *tenant) covers(i *item, from, to time.Time) bool {
	return slices.ContainsFunc(t.grants, func(g *grant) bool {
		return g.source == i.source && g.match.Accepts(i.keys) && g.held.always(from, to, isTrue)
	})
}

// granted reports whether r may have had i at some time from one instant to
// another: by a grant, or because it was made with the group's code.
func (r *wish) granted(i *item, from, to time.Time) bool {
	return i.source == r.source && (r.group != nil || r.tenant.mayHave(i, from, to))
}

// mayHave reports whether a grant that t held at some time from one instant to
// another covers i.
func (t *tenant) mayHave(i *item, from, to time.Time) bool {
	return slices.ContainsFunc(t.grants, func(g *grant) bool {
		return g.source == i.source && g.match.Accepts(i.keys) && g.held.ever(from, to, isTrue)
	})
}

func isTrue(b bool) bool  { return b }
func isFalse(b bool) bool { return !b }

func is[T comparable](want T) func(T) bool { return func(v T) bool { return v == want } }

func isNot[T comparable](other T) func(T) bool { return func(v T) bool { return v != other } }

// must reports whether i has to be at r in the end, or be final there by a rule:
// it was acknowledged, and nothing that decides about it has changed since
// before it was sent.
func (w *world) must(r *wish, i *item) bool {
	return !i.acked.IsZero() && r.wants(i, i.sent.Add(-w.slack()), time.Now())
}

// wants reports whether at all times from one instant to another r asked for i
// and might have it.
func (r *wish) wants(i *item, from, to time.Time) bool {
	return i.source == r.source && r.state.always(from, to, isNot(gateway.Removed)) &&
		(r.group != nil || r.tenant.covers(i, from, to)) &&
		r.match.always(from, to, func(m gateway.Match) bool { return m.Accepts(i.keys) })
}

// accepted reports whether the endpoint took an event.
func (r *wish) accepted(event string) bool {
	return slices.ContainsFunc(r.posts, func(p *post) bool { return p.id == event && p.accepted })
}

// atRest reports whether nobody waits for anything.
func (w *world) atRest() bool {
	return w.calm && w.coming == 0 && len(w.deeds) == 0 && len(w.parked) == 0 && w.on.idle()
}
