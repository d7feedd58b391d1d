package api

import (
	"cmp"
	_ "embed"
	"encoding/json"
	"net/http"
	"reflect"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"
)

const jsonType = "application/json"

// documentJSON is what the document holds besides operations with an input and output:
// webhooks, which are what tenants receive, above all.
//
//go:embed document.json
var documentJSON []byte

// newDocument returns the OpenAPI document without its operations.
func newDocument(version string) *huma.OpenAPI {
	doc := &huma.OpenAPI{}
	if err := json.Unmarshal(documentJSON, doc); err != nil {
		panic(err) // unreachable: the file is part of this package
	}
	doc.Info.Version = cmp.Or(version, "1")
	doc.Components.Schemas = huma.NewMapRegistry("#/components/schemas/", huma.DefaultSchemaNamer)
	return doc
}

// describeRequest adds the body of an input to op.
func (s *server) describeRequest(op *huma.Operation, in reflect.Type) {
	f, ok := in.FieldByName("Body")
	if !ok {
		return
	}
	op.RequestBody = &huma.RequestBody{Required: f.Type.Kind() != reflect.Pointer, Content: s.content(in, f)}
	op.MaxBodyBytes, op.BodyReadTimeout = maxBody, 10*time.Second
	if media := op.RequestBody.Content[jsonType]; media != nil {
		media.Schema.PrecomputeMessages()
		media.Example = operations()[op.OperationID].Example
	} else {
		op.MaxBodyBytes, op.BodyReadTimeout = maxImport, time.Minute
	}
}

// describeResponses adds to op its errors and an output, and sets the status.
func (s *server) describeResponses(op *huma.Operation, out reflect.Type) {
	op.Responses = map[string]*huma.Response{}
	problem := s.doc.Components.Schemas.Schema(reflect.TypeFor[huma.ErrorModel](), true, "")
	for _, status := range problemStatuses {
		op.Responses[strconv.Itoa(status)] = &huma.Response{
			Description: http.StatusText(status), Content: map[string]*huma.MediaType{problemType: {Schema: problem}},
		}
	}
	success := &huma.Response{Headers: map[string]*huma.Param{}}
	status := http.StatusNoContent
	for _, f := range reflect.VisibleFields(out) {
		if name := f.Tag.Get("header"); name != "" {
			success.Headers[name] = &huma.Header{Schema: huma.SchemaFromField(s.doc.Components.Schemas, f, "")}
		} else {
			success.Content, status = s.content(out, f), http.StatusOK
		}
	}
	op.DefaultStatus = cmp.Or(op.DefaultStatus, status)
	success.Description = http.StatusText(op.DefaultStatus)
	op.Responses[strconv.Itoa(op.DefaultStatus)] = success
}

// content describes the body of an input or output: JSON, or text or bytes as its tags contentType and format say.
func (s *server) content(parent reflect.Type, body reflect.StructField) map[string]*huma.MediaType {
	if name := body.Tag.Get("contentType"); name != "" {
		return map[string]*huma.MediaType{name: {Schema: &huma.Schema{Type: huma.TypeString, Format: body.Tag.Get("format")}}}
	}
	return map[string]*huma.MediaType{jsonType: {Schema: huma.SchemaFromField(s.doc.Components.Schemas, body, parent.Name()+body.Name)}}
}

// describeProblems corrects Huma's description of an error.
func (s *server) describeProblems() {
	schemas := s.doc.Components.Schemas.Map()
	delete(schemas["ErrorDetail"].Properties, "value") // no response repeats what was sent
	schemas["ErrorModel"].Properties["code"] = &huma.Schema{Type: huma.TypeString, Description: "of a 429: too_many_calls, too_many_registrations"}
}

func (s *server) render() []byte {
	document, err := json.Marshal(s.doc)
	if err != nil {
		panic(err) // unreachable: the document depends on nothing but this package
	}
	return document
}

func (s *server) openAPI(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/openapi+json")
	w.Write(s.document())
}
