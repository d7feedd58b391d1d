package api

import (
	"context"
	"time"

	"ringback/shared/control"
	"ringback/shared/gateway"
)

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

func (s grantAPI) addGrants() {
	add(s.server, "create-grant", s.createGrant)
	add(s.server, "list-grants", s.listGrants)
	add(s.server, "delete-grant", s.deleteGrant)
}

type matchField = optional[map[string][]string]

type createGrantInput struct {
	Once
	ByID
	Body struct {
		Tenant string     `json:"tenant"`
		Match  matchField `json:"match,omitempty" doc:"routing key to accepted values: keys AND, values OR, exact text; absent: the whole source"`
	}
}

func (s grantAPI) createGrant(ctx context.Context, _ control.Caller, in *createGrantInput) (*created[grant], error) {
	if err := in.Body.Match.refuseNull("match"); err != nil {
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
	grants, next, err := s.control.Grants(ctx, in.ID, in.place())
	return pageOf(grants, next, grantView), err
}

type deleteGrantInput struct {
	ByID
	Grant string `path:"grant" maxLength:"200"`
}

func (s grantAPI) deleteGrant(ctx context.Context, _ control.Caller, in *deleteGrantInput) (*empty, error) {
	return nil, s.control.DeleteGrant(ctx, in.ID, in.Grant)
}
