package api_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"ringback/shared/api/apitest"
)

// TestExampleOfEachOperationIsTaken sends the example of each operation that takes JSON. The operation may find nothing
// at its path, or nothing to do, but must find the example valid.
func TestExampleOfEachOperationIsTaken(t *testing.T) {
	doc, err := apitest.Document() // which holds each example against its schema
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t)
	s := w.setting()
	reg := w.Want(201, s.key, "POST", "/v1/registrations", object{"source": s.smartbots, "url": "https://tenant.example/in"}).ID()
	sent := 0
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			if op.RequestBody == nil || op.RequestBody.Value.Content["application/json"] == nil {
				continue
			}
			body, err := json.Marshal(op.RequestBody.Value.Content["application/json"].Example)
			if err != nil || string(body) == "null" {
				t.Errorf("%s has no example: %v", op.OperationID, err)
				continue
			}
			ids := map[string]string{"registrations": reg, "sources": s.direct, "tenants": s.tenant}
			at := strings.NewReplacer("{id}", ids[strings.Split(path, "/")[2]], "{key}", "x").Replace(path)
			if strings.HasSuffix(at, "/") || strings.Contains(at, "//") {
				at = strings.Replace(path, "{id}", "x", 1)
			}
			text := strings.NewReplacer("src_01", s.smartbots, "ten_01", s.other).Replace(string(body))
			a := w.Call(operatorKey, method, at, text)
			if a.Code == http.StatusForbidden {
				a = w.Call(s.key, method, at, text)
			}
			if a.Code >= 500 || a.Code == 400 || a.Code == 403 || a.Code == 415 || a.Text("detail") == "validation failed" {
				t.Errorf("%s with its example %s: %d %s", op.OperationID, text, a.Code, a.Raw)
			}
			sent++
		}
	}
	if sent < 24 {
		t.Errorf("%d examples were sent, want 24 or more", sent)
	}
}

// TestExampleOfEachWebhookIsADelivery wants an example of each that is as the webhook says, and that Delivery refuses
// it without any one of its members, or with another.
func TestExampleOfEachWebhookIsADelivery(t *testing.T) {
	doc, err := apitest.Document()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"delivery", "registration.test", "callback_removed"} {
		hook := doc.Webhooks[name]
		if hook == nil {
			t.Errorf("the document has no webhook %s", name)
			continue
		}
		for kind, media := range hook.Post.RequestBody.Value.Content {
			example, _ := media.Example.(map[string]any)
			if err := apitest.Delivery(name, encoded(t, kind, example)); err != nil || len(example) == 0 {
				t.Errorf("example of %s: %v", name, err)
			}
			for member := range example {
				less := object(example).With(member, nil)
				delete(less, member)
				if apitest.Delivery(name, encoded(t, kind, less)) == nil {
					t.Errorf("%s is a delivery without %s", name, member)
				}
			}
			if apitest.Delivery(name, encoded(t, kind, object(example).With("more", "x"))) == nil {
				t.Errorf("%s is a delivery with a member that is not described", name)
			}
		}
	}
}

func encoded(t *testing.T, kind string, members map[string]any) []byte {
	t.Helper()
	if kind == "application/json" {
		body, err := json.Marshal(members)
		if err != nil {
			t.Fatal(err)
		}
		return body
	}
	form := url.Values{}
	for name, v := range members {
		form.Set(name, v.(string))
	}
	return []byte(form.Encode())
}
