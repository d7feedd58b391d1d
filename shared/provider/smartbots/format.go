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

// parseBody returns the fields of body, a form or a multipart form, or reports that it is JSON.
func parseBody(contentType string, body []byte) (fields []form.Field, isJSON bool) {
	if len(contentType) >= 10 && strings.EqualFold(contentType[:10], "multipart/") {
		_, parameters, err := mime.ParseMediaType(contentType)
		boundary := parameters["boundary"]
		if err == nil && boundary != "" && bytes.Contains(body, []byte("--"+boundary)) {
			return parts(body, boundary), false
		}
	}
	text := jsonscan.Trim(body)
	if len(text) > 0 && (text[0] == '{' || text[0] == '[') {
		return nil, true
	}
	return form.All(string(text)), false
}

// parts returns the fields of a multipart form up to its end, or to where it is malformed. A part without a name is
// left out.
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
