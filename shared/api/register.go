package api

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
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

// An output is what an operation returns. It has a Body unless its reply is nil; its other fields are headers.
type output interface{ reply() *reply }

// register makes an operation of f, which takes a pointer to an in and returns one to an out.
//
// Huma's handling of a call is compiled anew for each pair of types that huma.Register is given, which made a tenth of
// the binary when it was given each in and out. So it is given a request and a reply, or nothing and a reply; in and
// out are described here, and a call's in is made in parts: of the parameters by takeParameters, and of the request.
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

// A parameter is a field of an operation's input that stands in the path, query or header of a request.
type parameter struct {
	*huma.Param
	field []int // its index
}

// takeParameters adds to op the parameters of an input, as its tags say, and a middleware that begins a
// call's input with them. What is wrong with them is told together with what is wrong with the body.
func (s *server) takeParameters(op *huma.Operation, in reflect.Type) {
	var takes []parameter
	for _, f := range reflect.VisibleFields(in) {
		for _, place := range [...]string{"path", "query", "header"} {
			if name := f.Tag.Get(place); name != "" {
				p := &huma.Param{Name: name, In: place, Required: place == "path", Schema: huma.SchemaFromField(s.schemas(), f, "")}
				p.Description = p.Schema.Description
				if place == "query" {
					p.Explode = new(bool)
				}
				op.Parameters = append(op.Parameters, p)
				takes = append(takes, parameter{p, f.Index})
			}
		}
	}
	op.Middlewares = huma.Middlewares{func(ctx huma.Context, next func(huma.Context)) {
		c := callOf(ctx.Context())
		c.input = reflect.New(in)
		c.wrong = s.read(ctx, takes, c.input.Elem())
		next(ctx)
	}}
}

func (p parameter) text(ctx huma.Context) string {
	switch p.In {
	case "path":
		return ctx.Param(p.Name)
	case "query":
		return ctx.Query(p.Name)
	}
	return ctx.Header(p.Name)
}

// read sets the fields of an input that are parameters, and returns what is wrong with them.
func (s *server) read(ctx huma.Context, parameters []parameter, input reflect.Value) []error {
	res := &huma.ValidateResult{}
	for _, p := range parameters {
		text := p.text(ctx)
		if text == "" {
			continue
		}
		path := huma.NewPathBuffer(nil, 0)
		path.Push(p.In)
		path.Push(p.Name)
		if !utf8.ValidString(text) || strings.ContainsFunc(text, unicode.IsControl) {
			res.Add(path, text, "expected UTF-8 without control characters")
		} else if v, err := parse(input.FieldByIndex(p.field).Addr().Interface(), text); err != nil {
			res.Add(path, text, err.Error())
		} else {
			huma.Validate(s.schemas(), p.Schema, path, huma.ModeWriteToServer, v, res)
		}
	}
	return res.Errors
}

// parse sets a field to what text says, and returns it as huma.Validate takes it.
func parse(field any, text string) (v any, err error) {
	switch f := field.(type) {
	case *string:
		*f = text
		return text, nil
	case *int:
		if *f, err = strconv.Atoi(text); err != nil {
			return nil, errors.New("invalid integer")
		}
		return *f, nil
	case *bool:
		if *f, err = strconv.ParseBool(text); err != nil {
			return nil, errors.New("invalid boolean")
		}
		return *f, nil
	case *time.Time:
		if *f, err = time.Parse(time.RFC3339Nano, text); err != nil {
			return nil, errors.New("invalid date/time")
		}
		return text, nil
	}
	panic("unreachable: no parameter is of another type")
}

// refuseUnknown is a middleware that refuses parameters in the query that the operation does not take.
func (s *server) refuseUnknown(ctx huma.Context, next func(huma.Context)) {
	var unknown []error
	r, _ := humago.Unwrap(ctx)
	for name := range r.URL.Query() {
		if !slices.ContainsFunc(ctx.Operation().Parameters, func(p *huma.Param) bool { return p.In == "query" && p.Name == name }) {
			unknown = append(unknown, &huma.ErrorDetail{Message: "unknown query parameter", Location: "query." + name})
		}
	}
	if unknown != nil {
		huma.WriteErr(s.api, ctx, http.StatusUnprocessableEntity, "validation failed", unknown...)
		return
	}
	next(ctx)
}
