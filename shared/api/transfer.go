package api

import (
	"context"

	"ringback/shared/control"
	"ringback/shared/gateway"
)

func (s transferAPI) reseal(ctx context.Context, c control.Caller, in *Once) (*created[job], error) {
	return s.started(ctx, c, *in, in, func(id string) (gateway.Job, error) { return s.transfer.StartReseal(ctx, id) })
}

type exportInput struct {
	Cursor string `query:"cursor" maxLength:"4096" doc:"next_cursor of the part before"`
}

type exported struct {
	ContentType string `header:"Content-Type"`
	Body        []byte `contentType:"application/x-ndjson"`
}

func (s transferAPI) export(ctx context.Context, _ control.Caller, in *exportInput) (*exported, error) {
	part, _, err := s.transfer.Export(ctx, in.Cursor)
	return &exported{"application/x-ndjson", part}, err
}

type importInput struct {
	Check bool   `query:"check" doc:"check everything and write nothing"`
	Body  []byte `contentType:"application/x-ndjson" format:"binary"`
}

type imported struct {
	Added map[string]int `json:"added" nullable:"false"`
	Kept  map[string]int `json:"kept" nullable:"false" doc:"existed already under their id, and not changed"`
}

func (s transferAPI) importPart(ctx context.Context, _ control.Caller, in *importInput) (*body[imported], error) {
	done, err := s.transfer.Import(ctx, in.Body, in.Check)
	if err != nil {
		return nil, err
	}
	s.forgetKeys()
	return &body[imported]{imported(done)}, nil
}
