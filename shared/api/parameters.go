package api

import (
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

// text returns the parameter as it was sent; empty if it was not.
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
