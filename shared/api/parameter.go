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
	"github.com/danielgtaylor/huma/v2/queryparam"
)

// A parameter is a field of an operation's input that stands in the path, query or header of a request.
type parameter struct {
	*huma.Param
	field []int // its index
}

// describeParameters adds to op the parameters of an input, as its tags say.
func (s *server) describeParameters(op *huma.Operation, in reflect.Type) []parameter {
	var all []parameter
	for _, f := range reflect.VisibleFields(in) {
		for _, location := range [...]string{"path", "query", "header"} {
			if name := f.Tag.Get(location); name != "" {
				p := &huma.Param{Name: name, In: location, Required: location == "path", Schema: huma.SchemaFromField(s.doc.Components.Schemas, f, "")}
				p.Description = p.Schema.Description
				if location == "query" {
					p.Explode = new(bool)
				}
				op.Parameters = append(op.Parameters, p)
				all = append(all, parameter{p, f.Index})
				s.names[name] = true
			}
		}
	}
	return all
}

func (p parameter) text(r *http.Request) string {
	switch p.In {
	case "path":
		return r.PathValue(p.Name)
	case "query":
		return queryparam.Get(r.URL.RawQuery, p.Name)
	}
	return r.Header.Get(p.Name)
}

// readParameters sets the fields of an input that are parameters, and returns what is wrong with them.
func (h *handler) readParameters(r *http.Request, in reflect.Value) []error {
	result := &huma.ValidateResult{}
	for _, p := range h.parameters {
		text := p.text(r)
		if text == "" {
			continue
		}
		path := huma.NewPathBuffer(nil, 0)
		path.Push(p.In)
		path.Push(p.Name)
		if !utf8.ValidString(text) || strings.ContainsFunc(text, unicode.IsControl) {
			result.Add(path, text, "expected UTF-8 without control characters")
		} else if v, err := parse(in.FieldByIndex(p.field).Addr().Interface(), text); err != nil {
			result.Add(path, text, err.Error())
		} else {
			huma.Validate(h.doc.Components.Schemas, p.Schema, path, huma.ModeWriteToServer, v, result)
		}
	}
	return result.Errors
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

// unknownParameters returns an error for each parameter in the query that the operation does not take.
func (h *handler) unknownParameters(r *http.Request) []error {
	var unknown []error
	for name := range r.URL.Query() {
		if !slices.ContainsFunc(h.op.Parameters, func(p *huma.Param) bool { return p.In == "query" && p.Name == name }) {
			unknown = append(unknown, &huma.ErrorDetail{Message: "unknown query parameter", Location: "query." + name})
		}
	}
	return unknown
}
