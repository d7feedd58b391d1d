package control

import (
	"context"
	"errors"
	"testing"

	"ringback/shared/gateway"
	"ringback/shared/ident"
	"ringback/shared/message"
	"ringback/shared/provider"
	"ringback/shared/storage"
	"ringback/shared/test/gatewaytest"
)

// A world is a Control on a gateway whose clock stands.
type world struct {
	*Control
	*gatewaytest.Still
	t *testing.T
}

func newWorld(t *testing.T) *world {
	t.Helper()
	still, g := gatewaytest.NewStill(t)
	g.Steps = Steps(g)
	return &world{Control: New(g), Still: still, t: t}
}

// source makes a source of a provider.
func (w *world) source(provider string) gateway.Source {
	w.t.Helper()
	ch := SourceChange{Provider: provider, Name: new("a source")}
	if provider == tencentChat {
		ch.SDKAppID = new(uint64(w.Store.Writes()) + 1)
	}
	return gatewaytest.Must(w.CreateSource(w.t.Context(), ident.NewSource(), ch))(w)
}

// tenant makes a tenant and returns the caller with its first key.
func (w *world) tenant() Caller {
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

func (w *world) grant(source string, c Caller, m gateway.Match) gateway.Grant {
	w.t.Helper()
	return gatewaytest.Must(w.CreateGrant(w.t.Context(), w.ID("grt"), source, c.Tenant, m))(w)
}

// granted makes a source of a provider and a tenant with a grant of all of it.
func (w *world) granted(provider string) (gateway.Source, Caller) {
	w.t.Helper()
	s, c := w.source(provider), w.tenant()
	w.grant(s.ID, c, nil)
	return s, c
}

const endpointURL = "https://tenant.example/in"

func (w *world) register(c Caller, source string, ch RegistrationChange) gateway.Registration {
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
	return gatewaytest.Must(w.Registration(w.t.Context(), Operator(), id))(w)
}

// group makes a group of a source of smartbots.
func (w *world) group(source, name string) gateway.Group {
	w.t.Helper()
	of := gateway.Group{ID: w.ID("grp"), Source: source, Name: name, UUID: "5b1f0000-0000-4000-8000-000000000001", GroupID: "77", Rev: 1, Created: w.Now}
	w.OK(w.ReserveGroupName(w.t.Context(), name, of.ID))
	w.Put(gateway.ListKey("groups", of.ID), gateway.Link{ID: of.ID})
	w.Put(gateway.GroupKey(of.ID), of)
	return of
}

// app makes a registration of c's by the code that a group has.
func (w *world) app(c Caller, of gateway.Group, name string) gateway.Registration {
	w.t.Helper()
	id := w.ID("reg")
	to, err := w.endpoint(id, gateway.Endpoint{}, endpointURL, nil)
	w.OK(err)
	r := gateway.Registration{
		ID: id, Tenant: c.Tenant, Source: of.Source, Created: w.Now, State: gateway.Enabled, Since: w.Now, Endpoint: to, Format: gateway.Raw,
		EventTypes: []string{"group_chat"}, Match: gateway.Match{"group": {of.UUID}}, Group: of.ID, GroupRev: of.Rev, AppName: name, AppUUID: "uuid of " + name,
	}
	r, err = w.PutRegistration(w.t.Context(), gateway.Registration{}, storage.Row{}, r)
	w.OK(err)
	w.Put(gateway.AppKey(of.ID, c.Tenant, r.AppUUID), App{Registration: id, Tenant: c.Tenant})
	return r
}

// rows returns the keys of a partition of the registrations table.
func (w *world) rows(pk string) []string {
	w.t.Helper()
	out := []string{}
	q := storage.Query{Table: storage.Registrations, PK: pk, Consistent: true}
	w.OK(storage.Each(w.t.Context(), w.Store, q, func(r storage.Row) error { out = append(out, r.SK); return nil }))
	return out
}

// published returns the revision of a source's version, which is new after each
// change that was made known.
func (w *world) published(source string) string {
	w.t.Helper()
	r, _ := w.Row(storage.Key{Table: storage.Registrations, PK: gateway.SourceKey(source).PK, SK: "V"})
	return r.Rev
}

// wantPublished fails the test unless f makes a change of source known, or none
// if want is false.
func (w *world) wantPublished(what, source string, want bool, f func()) {
	w.t.Helper()
	before := w.published(source)
	if f(); (w.published(source) != before) != want {
		w.t.Errorf("%s: published %v, want %v", what, !want, want)
	}
}

// events returns the events that wait in the queue.
func (w *world) events() []provider.Event {
	w.t.Helper()
	var out []provider.Event
	for _, m := range w.Queue.Sent {
		if m.Queue == storage.EventsQueue {
			_, as, err := message.Read(m.Body)
			if err != nil {
				w.t.Fatal(err)
			}
			for _, a := range as {
				out = append(out, a.Event)
			}
		}
	}
	return out
}

// callback has a provider call a source, by its first callback URL.
func (w *world) callback(s gateway.Source, body string) {
	w.t.Helper()
	w.Callback(s, gatewaytest.Must(w.FirstCallbackURL(w.t.Context(), s))(w), "", body)
}

// delivered has a message of direct be delivered, status and all, and does what follows from that.
func (w *world) delivered(s gateway.Source, message string) {
	w.t.Helper()
	w.callback(s, gatewaytest.DeliveredStatus(message))
	w.Work()
}

// known returns err, or nil if it says that something is not there (any more).
func known(err error) error {
	if errors.Is(err, storage.ErrNotFound) {
		return nil
	}
	return err
}

// pages returns all of a list, read two a page.
func pages[T any](w *world, list func(storage.PageRequest) ([]T, string, error)) []T {
	w.t.Helper()
	var out []T
	at := storage.PageRequest{Limit: 2}
	for range 100 {
		page, next, err := list(at)
		w.OK(err)
		if len(page) > 2 {
			w.t.Fatalf("page of %d, want 2", len(page))
		}
		if out = append(out, page...); next == "" {
			return out
		}
		at.Cursor = next
	}
	w.t.Fatal("the list does not end")
	return nil
}

// A rivalStore has another do something before the first Delete.
type rivalStore struct {
	storage.Store
	before func()
}

// Delete implements storage.Store.
func (s *rivalStore) Delete(ctx context.Context, k storage.Key, was string) error {
	if f := s.before; f != nil {
		s.before = nil
		f()
	}
	return s.Store.Delete(ctx, k, was)
}
