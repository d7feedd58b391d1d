package main

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"ringback/shared/control"
	"ringback/shared/gateway"
	"ringback/shared/limiter"
)

// noisyID is the source of the noisy tenant and its neighbours.
const noisyID = "src-10ud0000"

// A registration is one of the sample.
type registration struct {
	id, source, group string
	app               uint64 // SDKAppID of the source
	kind              kind
	weight            float64 // share of the sample's callbacks
}

// A kind is what is asked of a registration's deliveries.
type kind int

const (
	healthy kind = iota
	neighbour
	noisy
	hanging
	refusing
	kinds
)

func (k kind) dead() bool { return k == hanging || k == refusing }

// Ids are the same in each run.
func registrationID(n int) string { return fmt.Sprintf("reg_%026d", n) }
func sourceID(n int) string       { return fmt.Sprintf("src-%08d", n) }
func appID(n int) uint64          { return uint64(1400000001 + n) }
func callbackKey(source string) string {
	return source[4:] + strings.Repeat("0", 24)
}

// populate makes the sources and registrations of the sample, with the
// gateway's own verbs. What accepts is known to be fast, as it is a moment after its
// first delivery.
func (w *world) populate() error {
	whole := w.a.Rate * (1 - w.a.Noisy) / w.a.PerSource // sources
	sources := 0
	if whole > 0 {
		sources = max(int(whole/w.n+0.5), 1)
	}
	each := (1 - w.a.Noisy) / (whole*float64(w.a.Registrations) + float64(w.a.Neighbours)) // of all callbacks, for a registration that is not noisy
	sampled := whole / float64(max(sources, 1))                                            // sources that one stands for: n, but for rounding
	g := w.newGateway(setUp, "")
	add := func(source string, nth int, k kind, weight float64) error {
		number := len(w.registrations)
		r := registration{id: registrationID(number), source: source, group: "g" + strconv.Itoa(number), app: appID(nth), kind: k, weight: weight}
		w.hosts[r.group+".example"] = len(w.registrations)
		w.registrations = append(w.registrations, r)
		return w.register(g, r)
	}
	if err := w.source(g, noisyID, 0); err != nil {
		return err
	}
	if err := add(noisyID, 0, noisy, w.a.Noisy); err != nil {
		return err
	}
	for range w.a.Neighbours {
		if err := add(noisyID, 0, neighbour, each); err != nil {
			return err
		}
	}
	for s := range sources {
		if err := w.source(g, sourceID(s), s+1); err != nil {
			return err
		}
		for n := range w.a.Registrations {
			if err := add(sourceID(s), s+1, w.kindOf(s*w.a.Registrations+n), each*sampled); err != nil {
				return err
			}
		}
	}
	return nil
}

// kindOf returns what the endpoint of the nth registration of the quiet sources
// is: the shares of the assumptions hold for the first n, whatever n is.
func (w *world) kindOf(nth int) kind {
	dead := func(n int) float64 { return math.Floor(float64(n)*w.a.Dead + 1e-9) }
	before := dead(nth)
	switch {
	case dead(nth+1) == before:
		return healthy
	case math.Ceil((before+1)*w.a.Hangs) > math.Ceil(before*w.a.Hangs):
		return hanging
	}
	return refusing
}

func (w *world) source(g *gateway.Gateway, id string, n int) error {
	ctx := context.Background()
	app, name := appID(n), id
	if _, err := control.New(g).CreateSource(ctx, id, control.SourceChange{Provider: "tencent-chat", Name: &name, SDKAppID: &app}); err != nil {
		return err
	}
	_, err := control.New(g).PutCallbackKey(ctx, fmt.Sprintf("cbk_%026d", n), id, "", callbackKey(id))
	return err
}

func (w *world) register(g *gateway.Gateway, r registration) error {
	ctx, tenant := context.Background(), "ten"+r.id[3:]
	if _, _, err := control.New(g).CreateTenant(ctx, tenant, "a tenant", gateway.Limits{}); err != nil {
		return err
	}
	if _, err := control.New(g).CreateGrant(ctx, "grt"+r.id[3:], r.source, tenant, nil); err != nil {
		return err
	}
	url := "https://" + r.group + ".example/hook"
	_, _, err := control.New(g).CreateRegistration(ctx, control.Caller{Scope: control.ScopeFull, Tenant: tenant}, r.id, r.source, control.RegistrationChange{
		URL: &url, EventTypes: &[]string{"*"}, Match: &gateway.Match{"group": {r.group}},
	})
	if err != nil || r.kind.dead() {
		return err
	}
	o := limiter.Outcome{Attempted: true, Succeeded: true, Took: time.Millisecond} // it was asked before
	return limiter.NewSpeedStore(g.Store, gateway.SpeedsKey, w.now).Record(ctx, tenant, r.id, url, o, limiter.Stats{Quick: 1})
}

// thinned returns how many of the whole one use of what is named by text, a key
// or a message's body, stands for: n if it is of the noisy source.
func (w *world) thinned(text string) float64 {
	if strings.Contains(text, noisyID[4:]) {
		return w.n
	}
	if at := strings.Index(text, registrationID(0)[:25]); at >= 0 && len(text) >= at+30 {
		if n, err := strconv.Atoi(text[at+25 : at+30]); err == nil && n <= w.a.Neighbours {
			return w.n
		}
	}
	return 1
}
