package api

import (
	"context"
	"errors"
	"fmt"
	"time"

	"ringback/shared/control"
	"ringback/shared/gateway"
	"ringback/shared/groups"
	"ringback/shared/storage"
)

// A group is a SmartBots group. Its security code is never shown.
type group struct {
	ID       string    `json:"id"`
	Source   string    `json:"source"`
	Name     string    `json:"name"`
	UUID     string    `json:"uuid" doc:"Second Life's"`
	GroupID  string    `json:"group_id"`
	Created  time.Time `json:"created"`
	OwnerKey string    `json:"owner_key,omitempty" doc:"API key of the group's owner; shown once"`
	Note     string    `json:"note,omitempty"`
}

func groupView(g gateway.Group) group {
	return group{ID: g.ID, Source: g.Source, Name: g.Name, UUID: g.UUID, GroupID: g.GroupID, Created: g.Created}
}

// An app is a registration made with a group's code, as the group's owner sees it.
type app struct {
	ID      string    `json:"id" doc:"of the registration"`
	AppName string    `json:"app_name"`
	Created time.Time `json:"created"`
}

type createGroupInput struct {
	Once
	Body struct {
		Source       string `json:"source"`
		Name         string `json:"name"`
		UUID         string `json:"uuid"`
		GroupID      string `json:"group_id,omitempty"`
		SecurityCode string `json:"security_code"`
	}
}

func (s groupAPI) createGroup(ctx context.Context, c control.Caller, in *createGroupInput) (*created[group], error) {
	b := in.Body
	return createOnce(ctx, s.server, in.Once, "grp", in, func(id string) (group, error) {
		made, key, err := s.groups.CreateGroup(ctx, id, groups.GroupChange{Source: b.Source, Name: b.Name, UUID: b.UUID, GroupID: b.GroupID, Code: b.SecurityCode})
		v := groupView(made)
		v.OwnerKey = key
		return v, err
	}, func(id string) (group, error) {
		made, err := s.groups.Group(ctx, c, id)
		v := groupView(made)
		v.Note = note
		return v, err
	})
}

type connectGroupInput struct {
	ByID
	Body struct {
		Name         string `json:"name" minLength:"1" maxLength:"200" doc:"as it is listed with SmartBots"`
		SecurityCode string `json:"security_code" minLength:"1" maxLength:"200"`
	}
}

func (s groupAPI) connectGroup(ctx context.Context, _ control.Caller, in *connectGroupInput) (*body[group], error) {
	g, err := s.groups.ConnectGroup(ctx, in.ID, in.Body.Name, in.Body.SecurityCode)
	if refusal, ok := errors.AsType[*groups.Refusal](err); ok {
		err = fmt.Errorf("SmartBots: %w: %s", storage.ErrInvalid, refusal.Text)
	}
	return &body[group]{groupView(g)}, err
}

func (s groupAPI) listGroups(ctx context.Context, c control.Caller, in *ListParameters) (*body[page[group]], error) {
	found, next, err := s.groups.Groups(ctx, c, in.pageRequest())
	return pageOf(found, next, groupView), err
}

func (s groupAPI) getGroup(ctx context.Context, c control.Caller, in *ByID) (*body[group], error) {
	g, err := s.groups.Group(ctx, c, in.ID)
	return &body[group]{groupView(g)}, err
}

type changeGroupInput struct {
	ByID
	Body struct {
		Name         string `json:"name,omitempty"`
		UUID         string `json:"uuid,omitempty"`
		GroupID      string `json:"group_id,omitempty"`
		SecurityCode string `json:"security_code,omitempty"`
	}
}

func (s groupAPI) changeGroup(ctx context.Context, c control.Caller, in *changeGroupInput) (*body[group], error) {
	b := in.Body
	g, err := s.groups.ChangeGroup(ctx, c, in.ID, groups.GroupChange{Name: b.Name, UUID: b.UUID, GroupID: b.GroupID, Code: b.SecurityCode})
	return &body[group]{groupView(g)}, err
}

func (s groupAPI) deleteGroup(ctx context.Context, _ control.Caller, in *ByID) (*empty, error) {
	err := s.control.DeleteGroup(ctx, in.ID)
	s.forgetKeys()
	return nil, err
}

func (s groupAPI) rotateOwnerKey(ctx context.Context, _ control.Caller, in *ByID) (*body[group], error) {
	key, err := s.groups.RotateOwnerKey(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	s.forgetKeys()
	g, err := s.groups.Group(ctx, control.Operator(), in.ID)
	v := groupView(g)
	v.OwnerKey = key
	return &body[group]{v}, err
}

func (s groupAPI) listApps(ctx context.Context, c control.Caller, in *listOfSource) (*body[page[app]], error) {
	rs, next, err := s.groups.Apps(ctx, c, in.ID, in.pageRequest())
	return pageOf(rs, next, func(r gateway.Registration) app { return app{r.ID, r.AppName, r.Created} }), err
}

type deleteAppInput struct {
	ByID
	App string `path:"app" maxLength:"200"`
}

func (s groupAPI) deleteApp(ctx context.Context, c control.Caller, in *deleteAppInput) (*empty, error) {
	return nil, s.groups.RemoveApp(ctx, c, in.ID, in.App)
}
