package api

import (
	"context"
	"time"

	"ringback/shared/control"
	"ringback/shared/gateway"
)

// A callbackKey is one callback URL of a source.
type callbackKey struct {
	ID          string    `json:"id"`
	Label       string    `json:"label"`
	CallbackURL string    `json:"callback_url" doc:"a secret"`
	Created     time.Time `json:"created"`
	Until       time.Time `json:"until,omitzero" doc:"when it ends; absent: it is current"`
}

func callbackKeyView(k gateway.CallbackKey, url string) callbackKey {
	return callbackKey{ID: k.ID, Label: k.Label, CallbackURL: url, Created: k.Created, Until: k.Until}
}

type createCallbackKeyInput struct {
	Once
	ByID
	Body struct {
		Label string `json:"label,omitempty"`
	}
}

func (s callbackKeyAPI) createCallbackKey(ctx context.Context, _ control.Caller, in *createCallbackKeyInput) (*created[callbackKey], error) {
	set := func(id string) (callbackKey, error) {
		k, url, err := s.control.CreateCallbackKey(ctx, id, in.ID, in.Body.Label)
		return callbackKeyView(k, url), err
	}
	return createOnce(ctx, s.server, in.Once, "cbk", in, set, set) // set returns the key if it exists
}

func (s callbackKeyAPI) listCallbackKeys(ctx context.Context, _ control.Caller, in *listOfSource) (*body[page[callbackKey]], error) {
	src, keys, next, err := s.control.CallbackKeys(ctx, in.ID, in.pageRequest())
	out := pageOf(keys, next, func(k gateway.CallbackKey) callbackKey {
		url, openErr := s.control.CallbackURL(src, k)
		if openErr != nil {
			err = openErr
		}
		return callbackKeyView(k, url)
	})
	return out, err
}

type OfCallbackKey struct {
	ByID
	Key string `path:"key" maxLength:"200"`
}

type rotateCallbackKeyInput struct {
	OfCallbackKey
	Body *rotation
}

func (s callbackKeyAPI) rotateCallbackKey(ctx context.Context, _ control.Caller, in *rotateCallbackKeyInput) (*body[callbackKey], error) {
	src, err := s.control.Source(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	otherwise := control.DefaultOverlap
	if src.Provider == "direct" {
		otherwise = control.DirectOverlap
	}
	overlap, err := in.Body.overlap(otherwise)
	if err != nil {
		return nil, err
	}
	k, url, err := s.control.RotateCallbackKey(ctx, in.ID, in.Key, overlap)
	return &body[callbackKey]{callbackKeyView(k, url)}, err
}

func (s callbackKeyAPI) deleteCallbackKey(ctx context.Context, _ control.Caller, in *OfCallbackKey) (*empty, error) {
	return nil, s.control.DeleteCallbackKey(ctx, in.ID, in.Key)
}
