// Package tencentchat speaks with Tencent Cloud Chat (IM): one webhook URL per SDKAppID, to which every
// enabled callback of the app goes, named by CallbackCommand in the query.
//
// Numbers like 1047/34354 are pages of
// https://www.tencentcloud.com/document/product/1047/34354 ("Webhook Overview").
package tencentchat

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"ringback/shared/provider"
	"ringback/shared/provider/form"
	"ringback/shared/provider/item"
)

const name = "tencent-chat"

//go:embed eventtypes.json
var eventTypesJSON []byte

var eventTypes = provider.EventTypesOf(eventTypesJSON)

// Provider is Tencent Cloud Chat.
type Provider struct{}

// Reply responds with the packet that 1047/34354 describes. Tencent treats any status except 200, and any body that is
// not JSON, as a failure; it waits 2 s and by default does not repeat the callback.
func (Provider) Reply(err error) provider.Reply {
	r := provider.ReplyFor(err)
	r.ContentType = "application/json"
	r.Body = []byte(`{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0}`)
	if err != nil {
		r.Body = fmt.Appendf(nil, `{"ActionStatus":"FAIL","ErrorInfo":%q,"ErrorCode":1}`, provider.Reason(err))
	}
	return r
}

// Data returns the packet's own bytes.
func (Provider) Data(e *provider.Event) (json.RawMessage, error) { return item.JSON(e) }

// Parameters returns the query's documented parameters as an object of strings, without Sign and RequestTime.
func (Provider) Parameters(e *provider.Event) (json.RawMessage, error) {
	return form.Object(form.All(e.Query)), nil
}

// Raw returns the packet with the query that it came with. With a token, the query is signed for now; otherwise it has
// no proof, since the original one was made for another receiver and expires after a minute.
func (Provider) Raw(e *provider.Event, token string, now time.Time) provider.RawRequest {
	r := provider.RawRequest{Query: e.Query, ContentType: e.ContentType, Body: e.Payload}
	if token != "" {
		r.Query = SignQuery(e.Query, token, now)
	}
	if contentType, ok := strings.CutSuffix(e.ContentType, fromEvents); ok {
		r.ContentType = contentType
		r.Body = slices.Concat([]byte(`{"Events":[`), e.Payload, []byte(`]}`))
	}
	return r
}

// KeyKinds returns GroupId, TopicId, the bots that are addressed, and From_Account.
func (Provider) KeyKinds() []string { return []string{"group", "topic", "bot", "from"} }

// EventTypes returns the commands with a page below 1047/34354 and those in Tencent's and public SDKs. More will come.
func (Provider) EventTypes() []provider.EventType { return eventTypes() }

// DefaultEventTypes returns nil: an app's callbacks include frequent ones, such as State.StateChange, so a
// registration must name its types.
func (Provider) DefaultEventTypes() []string { return nil }

// Decides reports whether Tencent waits for a decision: commands named Before and Prev ask whether something may
// happen, and the OK of Reply allows it.
func (Provider) Decides(eventType string) bool {
	_, command, _ := strings.Cut(eventType, ".")
	return strings.HasPrefix(command, "CallbackBefore") || strings.HasPrefix(command, "CallbackPrev")
}
