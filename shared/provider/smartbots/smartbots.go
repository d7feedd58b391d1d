// Package smartbots speaks with SmartBots, whose bots live in Second Life. Two of its products call back, both set up
// by a call named set_http_callback: the Simple Groups API for one group, and the Bot API for one bot.
//
// The body of the former is documented nowhere; what is assumed of it here is
// marked [inferred], and the raw body is kept with every event.
// https://www.mysmartbots.com/dev/docs/HTTP_API/Bot_Commands/set_http_callback
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

// Verify returns nil: SmartBots sends no signature, no secret and no time, and names no address that it calls
// from. The callback's unguessable URL is all that proves who called.
func (Provider) Verify(*provider.Callback, provider.Credentials) error { return nil }

// Reply answers with 200 and no body. SmartBots reads the body as key=value pairs and takes accept=1 as the
// order to join a group ("HTTP Bot Callback"), so a refusal's text has no equals sign either.
func (Provider) Reply(err error) provider.Reply {
	r := provider.ReplyFor(err)
	if err != nil {
		r.ContentType = "application/json"
		r.Body = fmt.Appendf(nil, `{"error":%q}`, provider.Reason(err))
	}
	return r
}

// Data returns a JSON body as it came, and a form as an object of strings; a
// field that comes more than once is an array.
func (Provider) Data(e *provider.Event) (json.RawMessage, error) {
	fields, isJSON := parseBody(e.ContentType, e.Payload)
	if e.Unreadable || isJSON {
		return item.JSON(e)
	}
	return form.Object(fields), nil
}

// Parameters returns nil: SmartBots puts nothing into the query.
func (Provider) Parameters(*provider.Event) (json.RawMessage, error) { return nil, nil }

// Raw returns the body that came, under its own Content-Type.
func (Provider) Raw(e *provider.Event, _ string, _ time.Time) provider.RawRequest {
	return provider.RawRequest{Query: e.Query, ContentType: e.ContentType, Body: e.Payload}
}

// KeyKinds returns the group's UUID, the bot's name and channel id, and the app's UUID.
func (Provider) KeyKinds() []string { return []string{"group", "bot", "app"} }

// EventTypes returns the events of "HTTP Bot Callback Events" and of the Simple Groups API, whose three stand
// first: their fields are assumed [inferred]. SmartBots adds events on request.
func (Provider) EventTypes() []provider.EventType { return eventTypes() }

// DefaultEventTypes returns all.
func (Provider) DefaultEventTypes() []string { return []string{"*"} }

// Decides reports whether eventType is group_invite, which SmartBots takes up
// if the reply says accept=1. A gateway never does.
func (Provider) Decides(eventType string) bool { return eventType == "group_invite" }
