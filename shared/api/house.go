package api

import (
	"context"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"ringback/shared/control"
	"ringback/shared/gateway"
)

// Lines of JSON, as an export holds them, and the size of the largest part in bytes that is taken: what API
// Gateway encodes in base64 is a third larger, and a Lambda takes 6 MB ("Lambda quotas").
const (
	jsonLines = "application/x-ndjson"
	maxImport = 4 << 20
)

// addHouse adds what is for another key ring, and for moving from one machine to AWS.
func (s transferAPI) addHouse() {
	add(s.server, "reseal", s.reseal)
	export := described("export")
	export.Responses = map[string]*huma.Response{"200": {Description: "OK", Content: map[string]*huma.MediaType{
		jsonLines: {Schema: &huma.Schema{Type: huma.TypeString}},
	}, Headers: map[string]*huma.Param{"Content-Type": {Schema: &huma.Schema{Type: huma.TypeString}}}}}
	huma.Register(s.api, export, s.export)
	take := described("import")
	take.MaxBodyBytes, take.BodyReadTimeout = maxImport, time.Minute
	huma.Register(s.api, take, s.importPart)
}

func (s transferAPI) reseal(ctx context.Context, c control.Caller, in *Once) (*created[job], error) {
	return s.started(ctx, c, *in, in, func(id string) (gateway.Job, error) { return s.transfer.StartReseal(ctx, id) })
}

type exportInput struct {
	Cursor string `query:"cursor" maxLength:"4096" doc:"next_cursor of the part before"`
}

func (s transferAPI) export(ctx context.Context, in *exportInput) (*reply, error) {
	part, _, err := s.transfer.Export(ctx, in.Cursor)
	if err != nil {
		return nil, s.failed(ctx, err)
	}
	return &reply{ContentType: jsonLines, Body: part}, nil
}

type importInput struct {
	Check   bool   `query:"check" doc:"read and judge everything, and write nothing"`
	RawBody []byte `contentType:"application/x-ndjson"`
}

type imported struct {
	Added map[string]int `json:"added" nullable:"false"`
	Kept  map[string]int `json:"kept" nullable:"false" doc:"there already under their id, and left as they are"`
}

func (s transferAPI) importPart(ctx context.Context, in *importInput) (*body[imported], error) {
	done, err := s.transfer.Import(ctx, in.RawBody, in.Check)
	if err != nil {
		return nil, s.failed(ctx, err)
	}
	s.forgetKeys()
	return &body[imported]{imported(done)}, nil
}
