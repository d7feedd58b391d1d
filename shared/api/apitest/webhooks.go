package apitest

import (
	"encoding/json"
	"fmt"
	"net/url"
)

// Delivery returns an error if a body is not that of the document's webhook of that name, or has a member that is not
// described: delivery for events of providers, or the type of an event of our own.
func Delivery(name string, body []byte) error {
	doc, err := Document()
	if err != nil {
		return err
	}
	hook := doc.Webhooks[name]
	if hook == nil {
		return fmt.Errorf("%s is no webhook of the document", name)
	}
	for kind, media := range hook.Post.RequestBody.Value.Content {
		members := map[string]any{}
		if kind == "application/x-www-form-urlencoded" {
			form, err := url.ParseQuery(string(body))
			if err != nil {
				return err
			}
			for name := range form {
				members[name] = form.Get(name)
			}
			body, _ = json.Marshal(members) // texts cannot fail
		} else if err := json.Unmarshal(body, &members); err != nil {
			return fmt.Errorf("%s: %v: %s", name, err, body)
		}
		for member := range members {
			if media.Schema.Value.Properties[member] == nil {
				return fmt.Errorf("%s: member %s is not described: %s", name, member, body)
			}
		}
		return conforms(name, media.Schema, body)
	}
	return fmt.Errorf("%s has no body", name)
}
