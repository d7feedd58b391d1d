package smartbots

import (
	"cmp"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"

	"ringback/shared/provider"
	"ringback/shared/provider/form"
	"ringback/shared/provider/item"
	"ringback/shared/provider/jsonscan"
)

// Parse reads one event from a form, a multipart form or a JSON object. The
// Content-Type tells only multipart, as nothing is documented: a body that
// begins like JSON is JSON and any other a form [inferred]. The item has no
// natural key and no time, since SmartBots sends neither an id nor a time and
// people do say the same twice [inferred]. An error wraps provider.ErrUnreadable if there is
// no field at all, or provider.ErrTooLarge.
func (Provider) Parse(cb *provider.Callback) (provider.Reading, error) {
	if len(cb.Body) > provider.MaxPayloadBytes {
		return provider.Reading{}, fmt.Errorf("body: %w: want at most %d bytes", provider.ErrTooLarge, provider.MaxPayloadBytes)
	}
	contentType := item.ContentType(cb, "")
	otherwise := "application/x-www-form-urlencoded"
	fields, isJSON := formOf(contentType, cb.Body)
	n := readFields(fields)
	if isJSON {
		otherwise = "application/json"
		object := jsonscan.Trim(cb.Body)
		if !json.Valid(object) || !item.Usable(object) {
			return provider.Reading{}, fmt.Errorf("body: %w: want a JSON object", provider.ErrUnreadable)
		}
		n = readJSON(object)
	}
	if n.fields == 0 {
		return provider.Reading{}, fmt.Errorf("body: %w: want fields", provider.ErrUnreadable)
	}
	it := provider.Item{Type: item.Type(name, n.eventType()), Keys: n.keys(), Payload: cb.Body}
	return provider.Reading{Items: []provider.Item{it}, ContentType: cmp.Or(contentType, otherwise)}, nil
}

// notice holds what is looked at in a callback. Of repeated fields the last
// counts. The first three name the event, in this order.
type notice struct {
	action, event, typ                   string
	groupUUID, groupName, groupID, group string
	botName, channel, appUUID            string
	amount, balance, message             string
	fields                               int
}

func (n *notice) set(name, value string) {
	n.fields++
	switch name {
	case "action":
		n.action = value
	case "event":
		n.event = value
	case "type":
		n.typ = value
	case "group_uuid":
		n.groupUUID = value
	case "group_name":
		n.groupName = value
	case "group_id":
		n.groupID = value
	case "group":
		n.group = value
	case "bot_name":
		n.botName = value
	case "channel":
		n.channel = value
	case "app_uuid":
		n.appUUID = value
	case "amount":
		n.amount = value
	case "balance":
		n.balance = value
	case "message":
		n.message = value
	}
}

func readFields(fields []form.Field) notice {
	var n notice
	for _, f := range fields {
		n.set(f.Name, f.Value)
	}
	return n
}

func readJSON(object []byte) notice {
	var n notice
	for name, v := range jsonscan.Members(object) {
		n.set(string(name), v.Text())
	}
	return n
}

// eventType returns the event's name. The page of balance_changed says that its
// action is instant_message, and describes one: a message without text but
// with amount and balance is a change of balance [inferred].
func (n *notice) eventType() string {
	if n.action == "instant_message" && n.amount != "" && n.balance != "" && n.message == "" {
		return "balance_changed"
	}
	return cmp.Or(n.action, n.event, n.typ)
}

func (n *notice) keys() map[string][]string {
	keys := make(map[string][]string, 4)
	item.AddKey(keys, "group", n.groupKey())
	for _, bot := range [...]string{n.botName, n.channel} {
		item.AddKey(keys, "bot", bot)
	}
	item.AddKey(keys, "app", n.appUUID)
	return keys
}

// groupKey returns the group's UUID in lower case. The page of group_message
// has group_uuid and group_name mixed up, so the one that is a UUID is it
// [inferred].
func (n *notice) groupKey() string {
	for _, v := range [...]string{n.groupUUID, n.groupName, n.groupID, n.group} {
		if isUUID(v) {
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
