package history

import (
	"slices"
	"testing"

	"ringback/shared/control"
	"ringback/shared/gateway"
	"ringback/shared/ident"
	"ringback/shared/storage"
	"ringback/shared/test/gatewaytest"
)

// A world is a Control and its History on a gateway whose clock stands.
type world struct {
	*control.Control
	*History
	*gatewaytest.Still
	t *testing.T
}

const (
	tencentChat = "tencent-chat"
	direct      = "direct"
)

func newWorld(t *testing.T) *world {
	t.Helper()
	still, g := gatewaytest.NewStill(t)
	c := control.New(g)
	return &world{Control: c, History: New(c), Still: still, t: t}
}

// source makes a source of a provider.
func (w *world) source(provider string) gateway.Source {
	w.t.Helper()
	ch := control.SourceChange{Provider: provider, Name: new("a source")}
	return gatewaytest.Must(w.CreateSource(w.t.Context(), ident.NewSource(), ch))(w)
}

// tenant makes a tenant and returns the caller with its first key.
func (w *world) tenant() control.Caller {
	w.t.Helper()
	tn, text, err := w.CreateTenant(w.t.Context(), w.ID("ten"), "acme", gateway.Limits{})
	w.OK(err)
	c, _, err := w.CallerOf(w.t.Context(), text)
	w.OK(err)
	if c.Tenant != tn.ID {
		w.t.Fatalf("CallerOf(first key of %s) = %+v", tn.ID, c)
	}
	return c
}

func (w *world) grant(source string, c control.Caller, m gateway.Match) gateway.Grant {
	w.t.Helper()
	return gatewaytest.Must(w.CreateGrant(w.t.Context(), w.ID("grt"), source, c.Tenant, m))(w)
}

// granted makes a source of a provider and a tenant with a grant of all of it.
func (w *world) granted(provider string) (gateway.Source, control.Caller) {
	w.t.Helper()
	s, c := w.source(provider), w.tenant()
	w.grant(s.ID, c, nil)
	return s, c
}

const endpointURL = "https://tenant.example/in"

func (w *world) register(c control.Caller, source string, ch control.RegistrationChange) gateway.Registration {
	w.t.Helper()
	if ch.URL == nil {
		ch.URL = new(endpointURL)
	}
	r, _, err := w.CreateRegistration(w.t.Context(), c, w.ID("reg"), source, ch)
	w.OK(err)
	return r
}

func (w *world) registration(id string) gateway.Registration {
	w.t.Helper()
	return gatewaytest.Must(w.Registration(w.t.Context(), control.Operator(), id))(w)
}

// delivered has a message of a source of direct be delivered, status and all,
// and does what follows from that.
func (w *world) delivered(s gateway.Source, message string) {
	w.t.Helper()
	w.Callback(s, gatewaytest.Must(w.FirstCallbackURL(w.t.Context(), s))(w), "", gatewaytest.DeliveredStatus(message))
	w.Work()
}

// event returns the row of an event.
func (w *world) event(id string) (gateway.EventRow, storage.Row) {
	w.t.Helper()
	row, _ := w.Row(gatewaytest.Must(gateway.EventKey(id))(w))
	return gatewaytest.Must(storage.Decoded[gateway.EventRow](row))(w), row
}

// eventIDs returns the ids of a source's events, in the order of their coming;
// those of the gateway's own making left out.
func (w *world) eventIDs(source string) []string {
	w.t.Helper()
	ids := []string{}
	for shard := range gateway.HistoryShards {
		q := storage.Query{Table: storage.Deliveries, PK: gateway.EventPK(source, shard), Consistent: true}
		w.OK(storage.Each(w.t.Context(), w.Store, q, func(r storage.Row) error {
			if er, _ := w.event(r.SK); !gateway.OwnEvent(er.Event(source, nil)) {
				ids = append(ids, r.SK)
			}
			return nil
		}))
	}
	slices.Sort(ids)
	return ids
}

// other is a caller with another tenant's key.
func (w *world) other() control.Caller {
	return control.Caller{Scope: control.ScopeFull, Tenant: "ten_9"}
}
