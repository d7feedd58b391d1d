package simulation

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"time"

	"ringback/shared/control"
	"ringback/shared/gateway"
	"ringback/shared/ident"
	"ringback/shared/schedule"
)

// setUp makes what there is when a run begins, while all is calm.
func (w *world) setUp() {
	w.calm = true
	providers := []string{"smartbots", "direct", "tencent-chat"}
	w.rng.Shuffle(len(providers), func(i, j int) { providers[i], providers[j] = providers[j], providers[i] })
	for _, p := range providers[:1+w.rng.IntN(2)] {
		w.makeSource(p)
	}
	w.rest()
	for range 1 + w.rng.IntN(3) {
		w.makeTenant()
	}
	w.rest()
	for _, t := range w.tenants {
		for range 1 + w.rng.IntN(2) {
			w.makeGrant(t)
		}
	}
	w.rest()
	for range max(1+w.rng.IntN(4), w.plan.crowd) {
		w.makeWish()
	}
	w.rest()
	w.makeGroup()
	w.rest()
}

// rest waits until all deeds are answered.
func (w *world) rest() {
	w.play(func() bool { return len(w.deeds) == 0 })
}

func (w *world) makeSource(provider string) {
	s := &source{groups: []string{"@TGS#A", "@TGS#B", "@TGS#C"}}
	ch := control.SourceChange{Provider: provider, Name: new("a source")}
	if w.plan.failures {
		ch.History = new(gateway.FailureHistory)
	}
	switch provider {
	case "smartbots":
		s.groups = []string{"5b1f0c52-0a5e-4a0c-9a5a-1f6d2f0e7c11", "5b1f0c52-0a5e-4a0c-9a5a-1f6d2f0e7c12"}
	case "direct":
		s.groups = []string{"SMS", "VIBER"}
	default:
		ch.SDKAppID, ch.Token = new(uint64(sdkAppID+len(w.sources))), new(tencentToken)
	}
	id := ident.NewSource()
	w.sources = append(w.sources, s)
	w.undertake("a source of "+provider, func(ctx context.Context, g *gateway.Gateway) (err error) {
		if s.Source, err = control.New(g).CreateSource(ctx, id, ch); err != nil {
			return err
		}
		at, err := control.New(g).FirstCallbackURL(ctx, s.Source)
		if err != nil {
			return err
		}
		u, err := url.Parse(at)
		if err != nil {
			return err
		}
		s.path = strings.TrimPrefix(u.Path, "/callbacks/"+provider+"/")
		return nil
	}, w.wantDone("a source"))
}

// wantDone is for deeds that nothing can refuse.
func (w *world) wantDone(what string) func(error) {
	return func(err error) {
		if err != nil {
			w.fail("%s: %v", what, err)
		}
	}
}

func (w *world) makeTenant() {
	t := &tenant{id: ident.New("ten", time.Now()), disabled: since(time.Now(), false)}
	w.tenants = append(w.tenants, t)
	limits := gateway.Limits{Concurrency: pick(w.rng, 0, 0, 1, 3)}
	w.undertake("a tenant", func(ctx context.Context, g *gateway.Gateway) error {
		_, _, err := control.New(g).CreateTenant(ctx, t.id, "a tenant", limits)
		return err
	}, w.wantDone("a tenant"))
}

// makeGrant gives a tenant a source, or a part of it.
func (w *world) makeGrant(t *tenant) {
	s := pick(w.rng, w.sources...)
	var match gateway.Match
	if w.rng.IntN(3) == 0 {
		match = gateway.Match{s.kind(): {pick(w.rng, s.groups...)}}
	}
	w.grant(t, s, match)
}

func (w *world) grant(t *tenant, s *source, match gateway.Match) {
	g := &grant{id: ident.New("grt", time.Now()), source: s, match: match, held: history[bool]{{value: false}}}
	t.grants = append(t.grants, g)
	c := g.held.begin(true)
	t.busy = true
	w.undertake("a grant", func(ctx context.Context, gw *gateway.Gateway) error {
		_, err := control.New(gw).CreateGrant(ctx, g.id, s.ID, t.id, g.match)
		return err
	}, func(err error) {
		t.busy = false
		w.wantDone("a grant")(err)
		c.ended()
	})
}

func (w *world) newHost() string {
	w.hosts++
	return fmt.Sprintf("host-%d.example", w.hosts)
}

// someMatch returns what a registration on s may ask for.
func (w *world) someMatch(s *source) gateway.Match {
	if w.rng.IntN(2) == 0 {
		return nil
	}
	return gateway.Match{s.kind(): {pick(w.rng, s.groups...)}}
}

// someSchedule returns a schedule, most of them short.
func (w *world) someSchedule() schedule.Schedule {
	if w.plan.embedded {
		return schedule.Schedule{Waits: []time.Duration{20 * time.Second, time.Minute}}
	}
	return pick(w.rng,
		schedule.Schedule{}, schedule.Schedule{},
		schedule.Schedule{Waits: []time.Duration{}},
		schedule.Schedule{Waits: []time.Duration{30 * time.Second}},
		schedule.Schedule{Waits: []time.Duration{5 * time.Second, 5 * time.Second, time.Minute, 10 * time.Minute}},
		schedule.Schedule{Waits: []time.Duration{20 * time.Minute, time.Hour}},
	)
}

func (w *world) someMood() mood {
	if w.plan.script != "" {
		return well
	}
	return pick(w.rng, well, well, well, well, refuses, busy, hangs, slow, dies, moody, moody, gone)
}

// makeWish registers a tenant for a source of which it is granted something.
func (w *world) makeWish() {
	t := pick(w.rng, w.tenants...)
	w.register(w.newWish(t, pick(w.rng, t.grants...).source))
}

func (w *world) newWish(t *tenant, s *source) *wish {
	now := time.Now()
	return &wish{
		id: ident.New("reg", now), tenant: t, source: s, mood: w.someMood(), raw: w.rng.IntN(3) == 0,
		host: since(now, w.newHost()), match: since(now, w.someMatch(s)), waits: since(now, w.someSchedule()),
		state: history[gateway.State]{{value: gateway.Removed}}, secret: since(now, ""),
		ordered: w.rng.IntN(5) == 0 || w.plan.lanes, paced: w.rng.IntN(8) == 0,
	}
}

func (w *world) register(r *wish) {
	t, s := r.tenant, r.source
	r.busy = true
	ch := control.RegistrationChange{URL: new("https://" + r.host.latest() + "/hook"), Match: new(r.match.latest()), Schedule: new(r.waits.latest()), Ordered: &r.ordered}
	if s.Provider != "direct" { // direct has a default, and needs no other
		ch.EventTypes = &[]string{"*"}
	}
	if r.raw {
		ch.Format = new(gateway.Raw)
	}
	if r.paced {
		ch.Rate = new(0.5)
	}
	w.wishes = append(w.wishes, r)
	c := r.state.begin(gateway.Enabled)
	w.undertake("registration "+r.id, func(ctx context.Context, g *gateway.Gateway) error {
		_, secret, err := control.New(g).CreateRegistration(ctx, t.caller(), r.id, s.ID, ch)
		if err == nil {
			r.secret.begin(secret)
		}
		return err
	}, func(err error) {
		if r.busy = false; err == nil {
			c.ended()
			r.secret[len(r.secret)-1].ended()
			if !w.calm && w.rng.IntN(2) == 0 {
				w.replay(r) // what it missed
			}
		} else {
			w.say("registration %s is refused: %v", r.id, err)
		}
	})
}
