package api

import (
	"context"
	"time"

	"ringback/shared/control"
	"ringback/shared/storage"
)

// An apiKey is an API key without its secret.
type apiKey struct {
	ID      string     `json:"id"`
	Scope   string     `json:"scope"`
	Name    string     `json:"name,omitempty"`
	Tenant  string     `json:"tenant,omitempty"`
	Group   string     `json:"group,omitempty"`
	Created time.Time  `json:"created"`
	Expires time.Time  `json:"expires,omitzero"`
	Old     []validity `json:"old,omitempty" doc:"replaced ones that are still valid"`
	APIKey  string     `json:"api_key,omitempty" doc:"shown once"`
	Note    string     `json:"note,omitempty"`
}

func keyView(k control.APIKey) apiKey {
	return apiKey{ID: k.ID, Scope: string(k.Scope), Name: k.Name, Tenant: k.Tenant, Group: k.Group, Created: k.Created, Expires: k.Expires}
}

func listedKeyView(k control.ListedKey) apiKey {
	v := keyView(k.APIKey)
	for _, old := range k.Old {
		v.Old = append(v.Old, validity{old.Created, old.Expires})
	}
	return v
}

// me describes the caller.
type me struct {
	Key    string  `json:"key" doc:"id of the key; operator for the operator's own"`
	Scope  string  `json:"scope"`
	Tenant *tenant `json:"tenant,omitempty"`
	Group  string  `json:"group,omitempty"`
}

func (s keyAPI) getMe(ctx context.Context, c control.Caller, _ *empty) (*body[me], error) {
	m := me{Key: c.Key, Scope: string(c.Scope), Group: c.Group}
	if c.Tenant == "" {
		return &body[me]{m}, nil
	}
	t, err := s.control.Tenant(ctx, c.Tenant)
	m.Tenant = new(tenantView(t))
	return &body[me]{m}, err
}

type createKeyInput struct {
	Once
	Body struct {
		Scope   string    `json:"scope" doc:"full, read, set_http_callback; the operator also: operator"`
		Name    string    `json:"name,omitempty"`
		Expires time.Time `json:"expires,omitzero"`
		Tenant  string    `json:"tenant,omitempty" doc:"of the operator's calls"`
	}
}

func (s keyAPI) createKey(ctx context.Context, c control.Caller, in *createKeyInput) (*created[apiKey], error) {
	if in.Body.Tenant != "" && c.Scope != control.ScopeOperator && in.Body.Tenant != c.Tenant {
		return nil, storage.ErrNotFound
	}
	ask := control.APIKey{Scope: control.Scope(in.Body.Scope), Name: in.Body.Name, Expires: in.Body.Expires.UTC(), Tenant: in.Body.Tenant}
	return createOnce(ctx, s.server, in.Once, "key", in, func(id string) (apiKey, error) {
		made, text, err := s.control.CreateAPIKey(ctx, c, id, ask)
		v := keyView(made)
		v.APIKey = text
		return v, err
	}, func(id string) (apiKey, error) {
		listed, err := s.control.APIKey(ctx, c, in.Body.Tenant, id)
		v := keyView(listed.APIKey)
		v.Note = note
		return v, err
	})
}

// OfTenant is the parameter with which the operator names a tenant.
type OfTenant struct {
	Tenant string `query:"tenant" maxLength:"200" doc:"of the operator's calls: whose"`
}

type listOfTenant struct {
	ListParameters
	OfTenant
}

func (s keyAPI) listKeys(ctx context.Context, c control.Caller, in *listOfTenant) (*body[page[apiKey]], error) {
	keys, next, err := s.control.APIKeys(ctx, c, in.Tenant, in.pageRequest())
	return pageOf(keys, next, listedKeyView), err
}

type KeyInput struct {
	ByID
	OfTenant
}

func (s keyAPI) getKey(ctx context.Context, c control.Caller, in *KeyInput) (*body[apiKey], error) {
	k, err := s.control.APIKey(ctx, c, in.Tenant, in.ID)
	return &body[apiKey]{listedKeyView(k)}, err
}

type rotateKeyInput struct {
	KeyInput
	Body *rotation
}

func (s keyAPI) rotateKey(ctx context.Context, c control.Caller, in *rotateKeyInput) (*body[apiKey], error) {
	overlap, err := in.Body.overlap(control.DefaultOverlap)
	if err != nil {
		return nil, err
	}
	k, text, err := s.control.RotateAPIKey(ctx, c, in.Tenant, in.ID, overlap)
	s.forgetKeys()
	v := keyView(k)
	v.APIKey = text
	return &body[apiKey]{v}, err
}

func (s keyAPI) deleteKey(ctx context.Context, c control.Caller, in *KeyInput) (*empty, error) {
	err := s.control.DeleteAPIKey(ctx, c, in.Tenant, in.ID)
	s.forgetKeys()
	return nil, err
}
