// Package smartbots speaks with SmartBots, whose bots live in Second Life. Two of its products call back, both set up
// by a call named set_http_callback: the Simple Groups API for one group, and the Bot API for one bot.
//
// The callback body of the former is not documented; assumptions are marked [inferred], and each event keeps the raw
// body. https://www.mysmartbots.com/dev/docs/HTTP_API/Bot_Commands/set_http_callback
package smartbots

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"time"

	"ringback/shared/provider"
	"ringback/shared/provider/form"
	"ringback/shared/provider/item"
)

const name = "smartbots"

//go:embed eventtypes.json
var eventTypesJSON []byte

var eventTypes = provider.EventTypesOf(eventTypesJSON)

// Provider is SmartBots.
type Provider struct{}

// Verify returns nil: SmartBots sends no signature, no secret and no time, and documents no source address. Only the
// callback's unguessable URL proves who called.
func (Provider) Verify(*provider.Callback, provider.Credentials) error { return nil }

// Reply responds with 200 and no body. SmartBots reads the body as key=value pairs and takes accept=1 as the order to
// join a group ("HTTP Bot Callback"), so an error's text holds no equals sign either.
func (Provider) Reply(err error) provider.Reply {
	r := provider.ReplyFor(err)
	if err != nil {
		r.ContentType = "application/json"
		r.Body = fmt.Appendf(nil, `{"error":%q}`, provider.Reason(err))
	}
	return r
}

// Data returns a JSON body verbatim, and a form as an object of strings, with arrays for repeated fields.
func (Provider) Data(e *provider.Event) (json.RawMessage, error) {
	fields, isJSON := parseBody(e.ContentType, e.Payload)
	if e.Unreadable || isJSON {
		return item.JSON(e)
	}
	return form.Object(fields), nil
}

// Parameters returns nil: SmartBots sends no query.
func (Provider) Parameters(*provider.Event) (json.RawMessage, error) { return nil, nil }

// Raw returns the body verbatim, under its own Content-Type.
func (Provider) Raw(e *provider.Event, _ string, _ time.Time) provider.RawRequest {
	return provider.RawRequest{Query: e.Query, ContentType: e.ContentType, Body: e.Payload}
}

// KeyKinds returns the group's UUID, the bot's name and channel id, and the app's UUID.
func (Provider) KeyKinds() []string { return []string{"group", "bot", "app"} }

// EventTypes returns the events of "HTTP Bot Callback Events" and of the Simple Groups API, whose three come first:
// their fields are assumed [inferred]. SmartBots adds events on request.
func (Provider) EventTypes() []provider.EventType { return eventTypes() }

// DefaultEventTypes returns all.
func (Provider) DefaultEventTypes() []string { return []string{"*"} }

// Decides reports whether eventType is group_invite, which SmartBots accepts if the response says accept=1. The
// gateway never says so.
func (Provider) Decides(eventType string) bool { return eventType == "group_invite" }
