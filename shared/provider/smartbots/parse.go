package smartbots

import (
	"cmp"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"ringback/shared/provider"
	"ringback/shared/provider/form"
	"ringback/shared/provider/item"
	"ringback/shared/provider/jsonscan"
)

// Parse reads one event from a form, a multipart form or a JSON object. Nothing is documented: Content-Type is used
// for multipart alone, a body that begins like JSON is JSON, and any other is a form [inferred]. The item has no
// natural key and no time, since SmartBots sends neither an id nor a time, and people do say the same twice
// [inferred]. An error wraps provider.ErrUnreadable if there is no field, or provider.ErrTooLarge.
func (Provider) Parse(cb *provider.Callback) (provider.Reading, error) {
	if len(cb.Body) > provider.MaxPayloadBytes {
		return provider.Reading{}, fmt.Errorf("body: %w: want at most %d bytes", provider.ErrTooLarge, provider.MaxPayloadBytes)
	}
	contentType := item.ContentType(cb, "")
	otherwise := "application/x-www-form-urlencoded"
	fields, isJSON := parseBody(contentType, cb.Body)
	if isJSON {
		otherwise = "application/json"
		object := jsonscan.Trim(cb.Body)
		if !json.Valid(object) || !item.Usable(object) {
			return provider.Reading{}, fmt.Errorf("body: %w: want a JSON object", provider.ErrUnreadable)
		}
		for name, v := range jsonscan.Members(object) {
			fields = append(fields, form.Field{Name: string(name), Value: v.Text()})
		}
	}
	n := notice(fields)
	if len(n) == 0 {
		return provider.Reading{}, fmt.Errorf("body: %w: want fields", provider.ErrUnreadable)
	}
	it := provider.Item{Type: item.Type(name, n.eventType()), Keys: n.keys(), Payload: cb.Body}
	return provider.Reading{Items: []provider.Item{it}, ContentType: cmp.Or(contentType, otherwise)}, nil
}

// A notice is the fields of a callback.
type notice []form.Field

// text returns the value of a field, of repeated ones the last.
func (n notice) text(name string) string {
	for _, f := range slices.Backward(n) {
		if f.Name == name {
			return f.Value
		}
	}
	return ""
}

// eventType returns the event's name. The page of balance_changed says that its action is instant_message, and shows
// such an example: so one without message but with amount and balance is a balance_changed [inferred].
func (n notice) eventType() string {
	if n.text("action") == "instant_message" && n.text("amount") != "" && n.text("balance") != "" && n.text("message") == "" {
		return "balance_changed"
	}
	return cmp.Or(n.text("action"), n.text("event"), n.text("type"))
}

func (n notice) keys() map[string][]string {
	keys := make(map[string][]string, 4)
	item.AddKey(keys, "group", n.groupKey())
	item.AddKey(keys, "bot", n.text("bot_name"))
	item.AddKey(keys, "bot", n.text("channel"))
	item.AddKey(keys, "app", n.text("app_uuid"))
	return keys
}

// groupKey returns the group's UUID in lower case. The page of group_message confuses group_uuid and group_name, so
// whichever is a UUID counts [inferred].
func (n notice) groupKey() string {
	for _, name := range [...]string{"group_uuid", "group_name", "group_id", "group"} {
		if v := n.text(name); isUUID(v) {
			return strings.ToLower(v)
		}
	}
	return ""
}

// isUUID reports whether s is written 8-4-4-4-12 in hex, as Second Life does.
func isUUID(s string) bool {
	if len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return false
	}
	b, err := hex.DecodeString(strings.ReplaceAll(s, "-", ""))
	return err == nil && len(b) == 16
}
