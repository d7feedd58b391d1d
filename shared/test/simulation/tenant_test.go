package simulation

import (
	"context"
	"errors"
	"time"

	"ringback/shared/control"
	"ringback/shared/gateway"
	past "ringback/shared/history"
	"ringback/shared/ident"
	"ringback/shared/storage"
)

// someDeed has somebody do something.
func (w *world) someDeed() {
	r := pick(w.rng, w.wishes...)
	deeds := []func(*wish){
		w.disable, w.enableAgain, w.disable, w.enableAgain, w.delete, w.alter, w.alter, w.rotate, w.resend, w.resend,
		w.recover, w.release, w.replay, w.revoke, w.grantAgain, w.switchTenant, w.redrive, w.changeMood, w.changeMood, w.changeCode,
		func(*wish) { w.makeWish() },
	}
	pick(w.rng, deeds...)(r)
}

// change does something that changes r, unless something does already.
func (w *world) change(r *wish, name string, try func(ctx context.Context, g *gateway.Gateway) error, done func(err error)) {
	r.busy = true
	w.undertake(name+" of "+r.id, try, func(err error) {
		r.busy = false
		done(err)
	})
}

// free reports whether r can be changed by a deed.
func (r *wish) free() bool { return !r.busy && r.group == nil && !r.tenant.busy }

func (w *world) disable(r *wish) {
	if !r.free() {
		return
	}
	c := r.state.begin(gateway.Disabled)
	w.change(r, "disable", func(ctx context.Context, g *gateway.Gateway) error {
		_, err := control.New(g).DisableRegistration(ctx, r.tenant.caller(), r.id)
		return err
	}, func(err error) { r.state.settle(c, err) })
}

// settle ends a change, or forgets one that was refused.
func (h *history[T]) settle(c *change[T], err error) {
	if err == nil {
		c.ended()
		return
	}
	kept := (*h)[:0]
	for _, other := range *h {
		if other != c {
			kept = append(kept, other)
		}
	}
	*h = kept
}

// enableAgain enables r, and often has what was held released.
func (w *world) enableAgain(r *wish) { w.enable(r, false) }

func (w *world) enable(r *wish, release bool) {
	if !r.free() {
		return
	}
	c := r.state.begin(gateway.Enabled)
	w.change(r, "enable", func(ctx context.Context, g *gateway.Gateway) error {
		_, err := control.New(g).EnableRegistration(ctx, r.tenant.caller(), r.id)
		return err
	}, func(err error) {
		r.state.settle(c, err)
		if err == nil && (release || w.rng.IntN(2) == 0) {
			w.release(r)
		}
	})
}

func (w *world) delete(r *wish) {
	if !r.free() || w.rng.IntN(2) == 0 {
		return
	}
	c := r.state.begin(gateway.Removed)
	w.change(r, "delete", func(ctx context.Context, g *gateway.Gateway) error {
		err := control.New(g).DeleteRegistration(ctx, r.tenant.caller(), r.id)
		if errors.Is(err, storage.ErrNotFound) {
			return nil
		}
		return err
	}, func(err error) { r.state.settle(c, err) })
}

// alter gives a registration another endpoint, match or schedule.
func (w *world) alter(r *wish) {
	if !r.free() {
		return
	}
	host, match, waits := w.newHost(), w.someMatch(r.source), w.someSchedule()
	var ch control.RegistrationChange
	var settle func(error)
	switch w.rng.IntN(3) {
	case 0:
		ch.URL = new("https://" + host + "/hook")
		c := r.host.begin(host)
		settle = func(err error) { r.host.settle(c, err) }
	case 1:
		ch.Match = &match
		c := r.match.begin(match)
		settle = func(err error) { r.match.settle(c, err) }
	default:
		ch.Schedule = &waits
		c := r.waits.begin(waits)
		settle = func(err error) { r.waits.settle(c, err) }
	}
	w.change(r, "change", func(ctx context.Context, g *gateway.Gateway) error {
		_, err := control.New(g).ChangeRegistration(ctx, r.tenant.caller(), r.id, 0, ch)
		return err
	}, settle)
}

// rotate gives a registration another signing secret. The one of a try that was
// not answered is never learnt.
func (w *world) rotate(r *wish) {
	if !r.free() {
		return
	}
	overlap := pick(w.rng, 0, time.Hour)
	c := r.secret.begin("")
	var secret string
	w.change(r, "rotation", func(ctx context.Context, g *gateway.Gateway) (err error) {
		_, secret, err = control.New(g).RotateSecret(ctx, r.tenant.caller(), r.id, overlap)
		return err
	}, func(err error) {
		if err == nil {
			r.secret.begin(secret).ended()
		}
		r.secret.settle(c, err)
	})
}

// resend asks for one more attempt of a delivery that was attempted.
func (w *world) resend(r *wish) {
	if len(r.posts) == 0 {
		return
	}
	p := pick(w.rng, r.posts...)
	start := time.Now()
	var asked int
	r.asked = append(r.asked, p.id)
	w.undertake("resend of "+p.id+" to "+r.id, func(ctx context.Context, g *gateway.Gateway) error {
		asked++
		_, err := past.New(control.New(g)).ResendDelivery(ctx, r.tenant.caller(), ident.Delivery(r.id, p.id))
		return err
	}, func(err error) {
		r.repeats = r.repeats || asked > 1
		if err == nil {
			r.resends = append(r.resends, resend{p.id, start, time.Now()})
		}
	})
}

// job starts one of the jobs that deliver again.
func (w *world) job(r *wish, kind gateway.JobKind, start func(ctx context.Context, g *gateway.Gateway, id string, s control.Span) error) {
	if r.group != nil {
		return
	}
	r.repeats = r.repeats || kind != gateway.JobRelease
	j := &work{id: ident.New("job", time.Now()), kind: kind, start: time.Now()}
	if j.since = j.start.Add(-24 * time.Hour); w.plan.script == "" {
		j.since = j.start.Add(-time.Duration(w.rng.Int64N(int64(w.plan.active)*2) + 1))
	}
	w.undertake(string(kind)+" for "+r.id, func(ctx context.Context, g *gateway.Gateway) error {
		return start(ctx, g, j.id, control.Span{Since: j.since})
	}, func(err error) {
		if err == nil {
			r.jobs = append(r.jobs, j)
		}
	})
}

func (w *world) recover(r *wish) {
	w.job(r, gateway.JobRecover, func(ctx context.Context, g *gateway.Gateway, id string, s control.Span) error {
		_, err := control.New(g).StartRecover(ctx, r.tenant.caller(), id, r.id, s)
		return err
	})
}

func (w *world) release(r *wish) {
	w.job(r, gateway.JobRelease, func(ctx context.Context, g *gateway.Gateway, id string, s control.Span) error {
		_, err := control.New(g).StartRelease(ctx, r.tenant.caller(), id, r.id, s)
		return err
	})
}

func (w *world) replay(r *wish) {
	w.job(r, gateway.JobReplay, func(ctx context.Context, g *gateway.Gateway, id string, s control.Span) error {
		_, err := control.New(g).StartReplay(ctx, r.tenant.caller(), id, r.id, s)
		return err
	})
}

// revoke takes a grant from r's tenant.
func (w *world) revoke(r *wish) {
	t := r.tenant
	g := pick(w.rng, t.grants...)
	if t.busy || !g.held.latest() {
		return
	}
	c := g.held.begin(false)
	t.busy = true
	w.undertake("revocation of "+g.id, func(ctx context.Context, gw *gateway.Gateway) error {
		err := control.New(gw).DeleteGrant(ctx, g.source.ID, g.id)
		if errors.Is(err, storage.ErrNotFound) {
			return nil
		}
		return err
	}, func(err error) {
		t.busy = false
		g.held.settle(c, err)
	})
}

func (w *world) grantAgain(r *wish) {
	if !r.tenant.busy {
		w.makeGrant(r.tenant)
	}
}

// switchTenant disables r's tenant, or enables it again.
func (w *world) switchTenant(r *wish) {
	t := r.tenant
	if t.busy {
		return
	}
	disabled := !t.disabled.latest()
	c := t.disabled.begin(disabled)
	t.busy = true
	w.undertake("disabling of "+t.id, func(ctx context.Context, g *gateway.Gateway) error {
		_, err := control.New(g).ChangeTenant(ctx, t.id, control.TenantChange{Disabled: &disabled})
		return err
	}, func(err error) {
		t.busy = false
		t.disabled.settle(c, err)
	})
}

// redrive gives dead letters another chance.
func (w *world) redrive(*wish) {
	w.undertake("redrive", func(ctx context.Context, g *gateway.Gateway) error {
		return errors.Join(g.Queue.Redrive(ctx, storage.EventsQueue), g.Queue.Redrive(ctx, storage.RetryQueue), g.Queue.Redrive(ctx, storage.SlowQueue))
	}, w.wantDone("redrive"))
}

func (w *world) changeMood(r *wish) {
	r.mood = w.someMood()
	w.say("the endpoint of %s is %s now", r.id, r.mood)
}
