package simulation

import (
	"context"
	"fmt"
	"time"

	"ringback/shared/control"
	"ringback/shared/gateway"
	"ringback/shared/groups"
	"ringback/shared/ident"
	"ringback/shared/schedule"
)

// A group is a SmartBots group with applications that know its code.
type group struct {
	gateway.Group
	code    int
	busy    bool
	changed time.Time // its code, last
}

// makeGroup makes a group and an application of each tenant, if the plan wants
// that and there is a source for it.
func (w *world) makeGroup() {
	for _, s := range w.sources {
		if s.Provider != "smartbots" || !w.plan.byCode {
			continue
		}
		of := &group{}
		id := ident.New("grp", time.Now())
		w.groups = append(w.groups, of)
		w.undertake("a group", func(ctx context.Context, g *gateway.Gateway) (err error) {
			of.Group, _, err = groups.New(control.New(g), "").CreateGroup(ctx, id, groups.GroupChange{Source: s.ID, Name: "Harbor Crew", UUID: s.groups[0], Code: "code 0"})
			return err
		}, func(err error) {
			w.wantDone("a group")(err)
			for n, t := range w.tenants {
				w.setCallback(of, s, t, n)
			}
		})
	}
}

// setCallback registers an application of a tenant by the group's code.
func (w *world) setCallback(of *group, s *source, t *tenant, n int) {
	now := time.Now()
	r := &wish{
		tenant: t, source: s, group: of, mood: w.someMood(), raw: true, busy: true, id: fmt.Sprint("app ", n),
		app:  fmt.Sprintf("7e0c2a9e-63c5-4d24-8f8e-6a2f0f1d9b%02d", n),
		host: since(now, w.newHost()), match: since(now, gateway.Match{"group": {s.groups[0]}}), waits: since(now, schedule.Schedule{}),
		state: history[gateway.State]{{value: gateway.Removed}},
	}
	w.wishes = append(w.wishes, r)
	c := r.state.begin(gateway.Enabled)
	w.undertake("set_http_callback", func(ctx context.Context, g *gateway.Gateway) error {
		_, err := groups.New(control.New(g), "").SetHTTPCallback(ctx, t.caller(), groups.CallbackRequest{
			Group: "Harbor Crew", Secret: fmt.Sprint("code ", of.code), AppName: "An app",
			AppUUID: r.app, URL: "https://" + r.host.latest() + "/hook",
		})
		return err
	}, func(err error) {
		r.busy = false
		r.state.settle(c, err)
	})
}

// changeCode gives a group another code, which removes what was made with the
// old one.
func (w *world) changeCode(*wish) {
	for _, of := range w.groups {
		if of.busy || of.ID == "" {
			continue
		}
		of.busy = true
		of.code++
		var ended []func(error)
		for _, r := range w.wishes {
			if r.group == of && !r.busy {
				c := r.state.begin(gateway.Removed)
				ended = append(ended, func(err error) { r.state.settle(c, err) })
			}
		}
		w.undertake("change of the code", func(ctx context.Context, g *gateway.Gateway) error {
			_, err := groups.New(control.New(g), "").ChangeGroup(ctx, control.Operator(), of.ID, groups.GroupChange{Code: fmt.Sprint("code ", of.code)})
			return err
		}, func(err error) {
			of.busy = false
			of.changed = time.Now()
			for _, f := range ended {
				f(err)
			}
		})
	}
}
