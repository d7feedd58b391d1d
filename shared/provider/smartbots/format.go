package smartbots

import (
	"bytes"
	"io"
	"mime"
	"mime/multipart"
	"strings"

	"ringback/shared/provider/form"
	"ringback/shared/provider/jsonscan"
)

// A format is how the fields of a body are written.
type format int

const (
	formBody format = iota
	jsonBody
	multipartBody
)

// contentType names a format that came without a Content-Type.
func (f format) contentType() string {
	if f == jsonBody {
		return "application/json"
	}
	return "application/x-www-form-urlencoded"
}

// formatOf returns how body is written, and the boundary of a multipart one.
func formatOf(contentType string, body []byte) (f format, boundary string) {
	if len(contentType) >= 10 && strings.EqualFold(contentType[:10], "multipart/") {
		_, parameters, err := mime.ParseMediaType(contentType)
		boundary = parameters["boundary"]
		if err == nil && boundary != "" && bytes.Contains(body, []byte("--"+boundary)) {
			return multipartBody, boundary
		}
	}
	if text := jsonscan.Trim(body); len(text) > 0 && (text[0] == '{' || text[0] == '[') {
		return jsonBody, ""
	}
	return formBody, ""
}

// parts returns the fields of a multipart form, up to the end or to where it
// cannot be read. A part without a name is left out.
func parts(body []byte, boundary string) []form.Field {
	var fields []form.Field
	r := multipart.NewReader(bytes.NewReader(body), boundary)
	for {
		part, err := r.NextRawPart()
		if err != nil {
			return fields
		}
		value, err := io.ReadAll(part)
		if name := part.FormName(); name != "" {
			fields = append(fields, form.Field{Name: name, Value: string(value)})
		}
		if err != nil {
			return fields
		}
	}
}
