package api

import (
	"context"
	"time"

	"ringback/shared/control"
	"ringback/shared/gateway"
)

// A limits is what a tenant may use; what is 0 or absent is the default.
type limits struct {
	RegistrationsPerSource int     `json:"registrations_per_source,omitempty" doc:"default 50"`
	APICallsPerSecond      float64 `json:"api_calls_per_second,omitempty" doc:"at least one an hour; default 20"`
	DeliveriesPerSecond    float64 `json:"deliveries_per_second,omitempty" doc:"per registration, at least one an hour; default: no limit"`
	Concurrency            int     `json:"concurrency,omitempty" doc:"POSTs at once per registration in each process: a share, no promise of how many there are in all; default 50"`
	Jobs                   int     `json:"jobs,omitempty" doc:"recoveries and replays at once; default 1"`
	RequireChallenge       bool    `json:"require_challenge,omitempty" doc:"endpoints must respond to an OPTIONS request with WebHook-Allowed-Origin before anything is sent to them; standard format only"`
}

// A tenant is a customer of the operator.
type tenant struct {
	ID       string    `json:"id"`
	Name     string    `json:"name"`
	Created  time.Time `json:"created"`
	Disabled bool      `json:"disabled"`
	Removing bool      `json:"removing,omitempty"`
	Limits   limits    `json:"limits" doc:"in force, defaults filled in"`
	APIKey   string    `json:"api_key,omitempty" doc:"of scope full; shown once"`
	Note     string    `json:"note,omitempty"`
}

func tenantView(t gateway.Tenant) tenant {
	return tenant{ID: t.ID, Name: t.Name, Created: t.Created, Disabled: t.Disabled, Removing: t.Removing, Limits: limits(t.Limits.OrDefault())}
}

type createTenantInput struct {
	Once
	Body struct {
		Name   string `json:"name"`
		Limits limits `json:"limits,omitempty"`
	}
}

func (s tenantAPI) createTenant(ctx context.Context, _ control.Caller, in *createTenantInput) (*created[tenant], error) {
	return createOnce(ctx, s.server, in.Once, "ten", in, func(id string) (tenant, error) {
		made, key, err := s.control.CreateTenant(ctx, id, in.Body.Name, gateway.Limits(in.Body.Limits))
		v := tenantView(made)
		v.APIKey = key
		return v, err
	}, func(id string) (tenant, error) {
		made, err := s.control.Tenant(ctx, id)
		v := tenantView(made)
		v.Note = note
		return v, err
	})
}

func (s tenantAPI) listTenants(ctx context.Context, _ control.Caller, in *ListParameters) (*body[page[tenant]], error) {
	found, next, err := s.control.Tenants(ctx, in.pageRequest())
	return pageOf(found, next, tenantView), err
}

func (s tenantAPI) getTenant(ctx context.Context, _ control.Caller, in *ByID) (*body[tenant], error) {
	t, err := s.control.Tenant(ctx, in.ID)
	return &body[tenant]{tenantView(t)}, err
}

type changeTenantInput struct {
	ByID
	Body struct {
		Name     *string `json:"name,omitempty"`
		Limits   *limits `json:"limits,omitempty" doc:"all limits; one that is left out is the default"`
		Disabled *bool   `json:"disabled,omitempty"`
	}
}

func (s tenantAPI) changeTenant(ctx context.Context, _ control.Caller, in *changeTenantInput) (*body[tenant], error) {
	return s.setTenant(ctx, in.ID, control.TenantChange{Name: in.Body.Name, Limits: (*gateway.Limits)(in.Body.Limits), Disabled: in.Body.Disabled})
}

func (s tenantAPI) setTenant(ctx context.Context, id string, ch control.TenantChange) (*body[tenant], error) {
	t, err := s.control.ChangeTenant(ctx, id, ch)
	s.forgetKeys()
	return &body[tenant]{tenantView(t)}, err
}

// disabler returns the operation that disables a tenant, or enables it.
func (s tenantAPI) disabler(disabled bool) func(context.Context, control.Caller, *ByID) (*body[tenant], error) {
	return func(ctx context.Context, _ control.Caller, in *ByID) (*body[tenant], error) {
		return s.setTenant(ctx, in.ID, control.TenantChange{Disabled: &disabled})
	}
}

func (s tenantAPI) deleteTenant(ctx context.Context, _ control.Caller, in *ByID) (*body[job], error) {
	j, err := s.control.RemoveTenant(ctx, in.ID)
	s.forgetKeys()
	return &body[job]{jobView(j)}, err
}

// A grant is what a tenant may receive of a source.
type grant struct {
	ID      string              `json:"id"`
	Source  string              `json:"source"`
	Tenant  string              `json:"tenant"`
	Match   map[string][]string `json:"match,omitempty" doc:"absent: the whole source"`
	Created time.Time           `json:"created"`
}

func grantView(g gateway.Grant) grant {
	return grant{ID: g.ID, Source: g.Source, Tenant: g.Tenant, Match: g.Match, Created: g.Created}
}

type matchField = optional[map[string][]string]

type createGrantInput struct {
	Once
	ByID
	Body struct {
		Tenant string     `json:"tenant"`
		Match  matchField `json:"match,omitempty" doc:"routing key to wanted values: keys AND, values OR, exact text; absent: the whole source"`
	}
}

func (s grantAPI) createGrant(ctx context.Context, _ control.Caller, in *createGrantInput) (*created[grant], error) {
	if err := in.Body.Match.rejectNull("match"); err != nil {
		return nil, err
	}
	return createOnce(ctx, s.server, in.Once, "grt", in, func(id string) (grant, error) {
		made, err := s.control.CreateGrant(ctx, id, in.ID, in.Body.Tenant, in.Body.Match.Value)
		return grantView(made), err
	}, func(id string) (grant, error) {
		made, err := s.control.Grant(ctx, in.ID, id)
		return grantView(made), err
	})
}

func (s grantAPI) listGrants(ctx context.Context, _ control.Caller, in *listOfSource) (*body[page[grant]], error) {
	grants, next, err := s.control.Grants(ctx, in.ID, in.pageRequest())
	return pageOf(grants, next, grantView), err
}

type deleteGrantInput struct {
	ByID
	Grant string `path:"grant" maxLength:"200"`
}

func (s grantAPI) deleteGrant(ctx context.Context, _ control.Caller, in *deleteGrantInput) (*empty, error) {
	return nil, s.control.DeleteGrant(ctx, in.ID, in.Grant)
}
