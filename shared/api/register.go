package api

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"reflect"
	"strconv"

	"github.com/danielgtaylor/huma/v2"
)

// A request is what Huma reads for an operation that takes a body.
type request struct {
	Body *json.RawMessage // as it is described; nil: there was none
}

// A reply is what Huma writes for any; nil is the status alone. Its headers are
// hidden, since each output describes those that it has.
type reply struct {
	Replayed    string `header:"Idempotent-Replayed" hidden:"true"`
	ETag        string `header:"ETag" hidden:"true"`
	ContentType string `header:"Content-Type" hidden:"true"`
	Disposition string `header:"Content-Disposition" hidden:"true"`
	Body        any
}

// An output is what an operation returns. It has a Body unless its reply is nil;
// its other fields are headers.
type output interface{ reply() *reply }

// register makes an operation of f, which takes a pointer to an in and returns one to an out.
//
// Huma's handling of a call is compiled anew for each pair of types that huma.Register is given, which made a
// tenth of the binary when it was given each in and out. So it is given a request and a reply, or nothing and
// a reply; in and out are described here, and a call's in is made in parts: of the parameters by
// takeParameters, and of the request.
func (s *server) register(op huma.Operation, in, out reflect.Type, f func(ctx context.Context, in any) (output, error)) {
	s.takeParameters(&op, in)
	s.describeBody(&op, in)
	answer := s.describeAnswer(&op, out)
	serve := func(ctx context.Context, r *request) (*reply, error) {
		c := callOf(ctx)
		if err := r.decode(c.input); err != nil {
			c.wrong = append(c.wrong, &huma.ErrorDetail{Message: err.Error(), Location: "body"})
		}
		if c.wrong != nil {
			return nil, huma.Error422UnprocessableEntity("validation failed")
		}
		o, err := f(ctx, c.input.Interface())
		if err != nil {
			return nil, s.failed(ctx, err)
		}
		return o.reply(), nil
	}
	op.Hidden = true // what Huma would describe is a reply
	op.Responses = map[string]*huma.Response{}
	if op.RequestBody != nil {
		huma.Register(s.api, op, serve)
	} else {
		huma.Register(s.api, op, func(ctx context.Context, _ *struct{}) (*reply, error) { return serve(ctx, &request{}) })
	}
	op.Hidden = false // beside the errors that Huma did describe, the answer
	op.Responses[strconv.Itoa(op.DefaultStatus)] = answer
	s.api.OpenAPI().AddOperation(&op)
}

// decode sets the Body of an input, if there was one.
func (r *request) decode(input reflect.Value) error {
	if r.Body == nil {
		return nil
	}
	if repeats(*r.Body) {
		return errors.New("expected no member twice in an object")
	}
	return json.Unmarshal(*r.Body, input.Elem().FieldByName("Body").Addr().Interface())
}

// repeats reports whether an object in a JSON text has two members of one name:
// readers differ in which of them counts (RFC 8259, section 4).
func repeats(text []byte) bool {
	type level struct {
		names map[string]bool // of an object
		named bool            // its next value has its name
	}
	levels := []level{{}}
	for d := json.NewDecoder(bytes.NewReader(text)); ; {
		t, err := d.Token()
		if err != nil {
			return false
		}
		at := &levels[len(levels)-1]
		name, isText := t.(string)
		if isText && at.names != nil && !at.named {
			if at.names[name] {
				return true
			}
			at.names[name], at.named = true, true
			continue
		}
		at.named = false
		switch t {
		case json.Delim('{'):
			levels = append(levels, level{names: map[string]bool{}})
		case json.Delim('['):
			levels = append(levels, level{})
		case json.Delim('}'), json.Delim(']'):
			levels = levels[:len(levels)-1]
		}
	}
}

// describeBody adds the body of an input to op.
func (s *server) describeBody(op *huma.Operation, in reflect.Type) {
	if f, ok := in.FieldByName("Body"); ok {
		op.RequestBody = &huma.RequestBody{Required: f.Type.Kind() != reflect.Pointer, Content: s.content(in, f)}
	}
}

// describeAnswer returns what op answers with an output, and sets the status.
func (s *server) describeAnswer(op *huma.Operation, out reflect.Type) *huma.Response {
	answer := &huma.Response{Headers: map[string]*huma.Param{}}
	status := http.StatusNoContent
	for _, f := range reflect.VisibleFields(out) {
		if name := f.Tag.Get("header"); name != "" {
			answer.Headers[name] = &huma.Header{Schema: huma.SchemaFromField(s.schemas(), f, "")}
		} else {
			answer.Content, status = s.content(out, f), http.StatusOK
		}
	}
	op.DefaultStatus = cmp.Or(op.DefaultStatus, status)
	answer.Description = http.StatusText(op.DefaultStatus)
	return answer
}

// content describes the body of an input or output: JSON, or bytes of the type that its tag names.
func (s *server) content(of reflect.Type, body reflect.StructField) map[string]*huma.MediaType {
	if name := body.Tag.Get("contentType"); name != "" {
		return map[string]*huma.MediaType{name: {Schema: &huma.Schema{Type: huma.TypeString, Format: "binary"}}}
	}
	return map[string]*huma.MediaType{"application/json": {Schema: huma.SchemaFromField(s.schemas(), body, of.Name()+body.Name)}}
}

func (s *server) schemas() huma.Registry { return s.api.OpenAPI().Components.Schemas }
