package transfer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sync/errgroup"

	"ringback/shared/control"
	"ringback/shared/gateway"
	"ringback/shared/provider"
	"ringback/shared/storage"
)

// parallelImports is how many registrations are written in parallel.
const parallelImports = 16

// source plans to write a source and reserve its SDKAppID.
func (m *importPart) source(s gateway.Source, l exportLine) (func(context.Context) error, error) {
	if err := cmp.Or(checkIDs(s.ID), m.opens(gateway.SourceKey(s.ID).PK, &s), m.g.control.CheckSource(s)); err != nil {
		return nil, err
	}
	m.sources[s.ID], m.providers[s.ID] = true, m.g.gw.Providers[s.Provider]
	return func(ctx context.Context) error {
		if err := m.g.control.ReserveSDKAppID(ctx, gateway.Source{ID: s.ID}, control.SourceChange{SDKAppID: &s.SDKAppID}); err != nil {
			return err
		}
		return m.putLinked(ctx, gateway.ListKey("sources", s.ID), gateway.SourceKey(s.ID), s.ID, s, l)
	}, nil
}

func (m *importPart) callbackKey(k gateway.CallbackKey, l exportLine) (func(context.Context) error, error) {
	if err := checkIDs(k.ID, k.Source); err != nil {
		return nil, err
	}
	secret, err := m.g.gw.Keys.Open(gateway.SourceKey(k.Source).PK, "callback_key", k.Sealed)
	if err != nil {
		return nil, errNotOurs
	}
	if err := control.CheckCallbackKey(k.Label, secret); err != nil {
		return nil, err
	}
	return func(ctx context.Context) error { return m.put(ctx, gateway.CallbackKeyKey(k.Source, secret), k, l) }, nil
}

func (m *importPart) tenant(t gateway.Tenant, l exportLine) (func(context.Context) error, error) {
	if err := cmp.Or(checkIDs(t.ID), control.CheckTenant(t)); err != nil {
		return nil, err
	}
	return func(ctx context.Context) error {
		return m.putLinked(ctx, gateway.ListKey("tenants", t.ID), gateway.TenantKey(t.ID), t.ID, t, l)
	}, nil
}

// apiKey checks an exported API key and returns the function that writes it. The export has hashes only, so a key works
// after the import without anybody reading its text.
func (m *importPart) apiKey(k control.APIKey, l exportLine) (func(context.Context) error, error) {
	owners := slices.DeleteFunc([]string{k.Tenant, k.Group}, func(id string) bool { return id == "" })
	if err := cmp.Or(checkIDs(append(owners, k.ID)...), k.CheckScope(control.Operator()), control.CheckName("name", k.Name, gateway.MaxName)); err != nil {
		return nil, err
	}
	if !importHash.MatchString(k.Hash) {
		return nil, fmt.Errorf("hash: %w: want the hash of a key", storage.ErrInvalid)
	}
	return func(ctx context.Context) error {
		if err := m.put(ctx, gateway.APIKeyRow(k.Hash), k, l); err != nil {
			return err
		}
		_, err := storage.Change(ctx, m.g.gw.Store, control.LocationOf(k), func(p *control.KeyLocation, _ *storage.Row) error {
			if p.ID = k.ID; slices.Contains(p.Hashes, k.Hash) {
				return storage.ErrUnchanged
			}
			p.Hashes = append(p.Hashes, k.Hash) // they come newest first
			return nil
		})
		return err
	}, nil
}

// provider returns a source's provider; nil if the source is in a later part.
func (m *importPart) provider(ctx context.Context, source string) (provider.Provider, error) {
	if m.providers[source] == nil {
		s, err := m.g.control.Source(ctx, source)
		if err != nil && !errors.Is(err, storage.ErrNotFound) {
			return nil, err
		}
		m.providers[source] = m.g.gw.Providers[s.Provider]
	}
	return m.providers[source], nil
}

func (m *importPart) grant(ctx context.Context, gr gateway.Grant, l exportLine) (func(context.Context) error, error) {
	p, err := m.provider(ctx, gr.Source)
	err = cmp.Or(err, checkIDs(gr.ID, gr.Source, gr.Tenant))
	if err == nil && p != nil {
		err = gr.Match.Check(p.KeyKinds())
	}
	if err != nil {
		return nil, err
	}
	m.sources[gr.Source] = true
	return func(ctx context.Context) error {
		return m.putLinked(ctx, gateway.TenantLinkKey(gr.Tenant, "G", gr.Source+"#"+gr.ID), gateway.GrantKey(gr.Source, gr.Tenant, gr.ID), gr.ID, gr, l)
	}, nil
}

func (m *importPart) group(grp gateway.Group, l exportLine) (func(context.Context) error, error) {
	if err := cmp.Or(checkIDs(grp.ID, grp.Source), control.CheckGroup(grp)); err != nil {
		return nil, err
	}
	m.sources[grp.Source] = true
	return func(ctx context.Context) error {
		if err := m.g.control.ReserveGroupName(ctx, grp.Name, grp.ID); err != nil {
			return err
		}
		return m.putLinked(ctx, gateway.ListKey("groups", grp.ID), gateway.GroupKey(grp.ID), grp.ID, grp, l)
	}, nil
}

// registration leaves r to writeRegistrations.
func (m *importPart) registration(ctx context.Context, r gateway.Registration) error {
	p, err := m.provider(ctx, r.Source)
	if err := cmp.Or(err, checkIDs(r.ID, r.Source, r.Tenant), m.opens(gateway.RegistrationKey(r.ID).PK, &r), m.g.control.CheckRegistration(r, p)); err != nil {
		return err
	}
	if r.State == gateway.Removed || r.Group != "" && checkIDs(r.Group) != nil {
		return fmt.Errorf("registration: %w: want one that an export holds", storage.ErrInvalid)
	}
	m.sources[r.Source] = true
	m.registrations = append(m.registrations, r)
	return nil
}

// writeRegistrations writes all registrations in the order of PutRegistration, with one publication for each source.
func (m *importPart) writeRegistrations(ctx context.Context) error {
	hints := map[string][]gateway.IndexEntry{}
	for _, r := range m.registrations {
		hints[r.Source] = append(hints[r.Source], r.IndexEntries()...)
	}
	for source, all := range hints {
		if err := m.g.gw.Publish(ctx, source, all...); err != nil {
			return err
		}
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(parallelImports)
	for _, r := range m.registrations {
		group.Go(func() error { return m.writeRegistration(ctx, r) })
	}
	return group.Wait()
}

// writeRegistration writes r's index entries and then r, unless it exists.
func (m *importPart) writeRegistration(ctx context.Context, r gateway.Registration) error {
	g := m.g
	rows, err := g.gw.Store.Get(ctx, gateway.RegistrationKey(r.ID))
	if err != nil {
		return fmt.Errorf("registration %s: %w", r.ID, err)
	}
	if len(rows) > 0 {
		m.count(m.done.Kept, exportRegistration)
		return nil
	}
	for _, h := range r.IndexEntries() {
		if err := storage.Put(ctx, g.gw.Store, gateway.IndexKey(r.Source, h.RoutingKey, h.Pattern, r.ID), gateway.Link{ID: r.ID}, storage.AnyRev); err != nil {
			return err
		}
	}
	if r.Group != "" {
		if err := storage.Put(ctx, g.gw.Store, gateway.AppKey(r.Group, r.Tenant, r.AppUUID), control.App{Registration: r.ID, Tenant: r.Tenant}, storage.AnyRev); err != nil {
			return err
		}
	}
	if err := g.control.ListRegistration(ctx, r); err != nil {
		return err
	}
	return m.put(ctx, gateway.RegistrationKey(r.ID), r, exportLine{Kind: exportRegistration})
}
