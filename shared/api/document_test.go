package api_test

import (
	"strings"
	"testing"

	"ringback/shared/api/apitest"
	"ringback/shared/storage"
)

func TestOpenAPIDocumentIsValid(t *testing.T) {
	doc, err := apitest.Document()
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(doc.OpenAPI, "3.1") {
		t.Errorf("document is of OpenAPI %q, want 3.1", doc.OpenAPI)
	}
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			if op.OperationID == "" || op.Summary == "" {
				t.Errorf("%s %s: operation without id or summary", method, path)
			}
		}
	}
}

// nowhere is the Store and Queue of a gateway that asks neither.
type nowhere struct {
	storage.Store
	storage.Queue
}
