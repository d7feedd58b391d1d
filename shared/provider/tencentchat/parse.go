package tencentchat

import (
	"cmp"
	"encoding/json"
	"fmt"
	"strings"

	"ringback/shared/provider"
	"ringback/shared/provider/item"
	"ringback/shared/provider/jsonscan"
)

// ofEvents ends the ContentType of an item that came in the array Events, so
// that Raw knows to wrap it again: an item of Events and a callback that
// Tencent sent without the array are otherwise alike.
const ofEvents = "; of=Events"

// Parse reads one packet, or the push results in the array Events (1047/67552),
// whatever the Content-Type, which is not documented [inferred]. The query names the command, since some packets do
// not; a packet that names another is refused as a forgery, with an error
// wrapping provider.ErrForbidden. {} holds no item: the console sends it to check
// the URL. Of Events, what is not an object, too large or of another command is
// set aside. Errors wrap provider.ErrUnreadable or provider.ErrTooLarge else.
func (Provider) Parse(cb *provider.Callback) (provider.Reading, error) {
	body := jsonscan.Trim(cb.Body)
	if !json.Valid(body) || !jsonscan.Value(body).IsObject() {
		return provider.Reading{}, fmt.Errorf("body: %w: want a JSON object", provider.ErrUnreadable)
	}
	q := readQuery(cb.Query)
	if len(q.kept) > provider.MaxQueryBytes {
		return provider.Reading{}, fmt.Errorf("query: %w: want at most %d bytes", provider.ErrTooLarge, provider.MaxQueryBytes)
	}
	r := provider.Reading{ContentType: contentType(cb), Query: q.kept}
	p := readPacket(body)
	switch {
	case p.members == 0:
		return r, nil
	case p.events.IsArray() && (q.command.text == "" || isPush(q.command.text)):
		items, err := split(p.events, q.command.text)
		if err != nil {
			return provider.Reading{}, err
		}
		r.ContentType += ofEvents
		r.Items = items
		return r, nil
	}
	it, err := single(cb.Body, p, q.command.text)
	if err != nil {
		return provider.Reading{}, err
	}
	r.Items = []provider.Item{it}
	return r, nil
}

// contentType returns what cb's items are kept under, which never says ofEvents.
func contentType(cb *provider.Callback) string {
	const otherwise = "application/json"
	if v := item.ContentType(cb, otherwise); !strings.HasSuffix(v, ofEvents) {
		return v
	}
	return otherwise
}

// single returns the item that is a whole body.
func single(body []byte, p packet, command string) (provider.Item, error) {
	switch {
	case len(body) > provider.MaxPayloadBytes:
		return provider.Item{}, fmt.Errorf("body: %w: want at most %d bytes", provider.ErrTooLarge, provider.MaxPayloadBytes)
	case jsonscan.TooDeep(body):
		return provider.Item{}, fmt.Errorf("body: %w: want at most %d levels", provider.ErrUnreadable, jsonscan.MaxDepth)
	case p.contradicts(command):
		return provider.Item{}, fmt.Errorf("CallbackCommand of query and body: %w", provider.ErrForbidden)
	}
	return p.item(command, body), nil
}

// split returns the items of Events. The error wraps provider.ErrForbidden if
// items contradict the query's command and none agrees with it.
func split(events jsonscan.Value, command string) ([]provider.Item, error) {
	var l item.List
	var read, forged int
	for element := range jsonscan.Elements(events) {
		if !item.Usable(element) {
			l.SetAside(name, element)
			continue
		}
		p := readPacket(element)
		if p.contradicts(command) {
			forged++
			l.SetAside(name, element)
			continue
		}
		read++
		l.Add(p.item(command, element))
	}
	if forged > 0 && read == 0 {
		return nil, fmt.Errorf("CallbackCommand of query and Events: %w", provider.ErrForbidden)
	}
	return l.All(name)
}

func isPush(command string) bool { return strings.HasPrefix(command, "Push.") }

// packet holds what is looked at in a body or an item of Events.
type packet struct {
	members                                 int
	command                                 jsonscan.Value
	groupID, topicID, from, to, bots        jsonscan.Value
	msgKey, msgSeq, msgTime, random, result jsonscan.Value
	msgBody                                 jsonscan.Value
	eventTime, operateType, seq             jsonscan.Value
	pushID, pushStage, platform, eventType  jsonscan.Value
	taskTime                                jsonscan.Value
	events                                  jsonscan.Value
}

// readPacket reads a JSON object. Of repeated members the last one counts.
func readPacket(object []byte) packet {
	var p packet
	for name, v := range jsonscan.Members(object) {
		p.members++
		if to := p.of(name); to != nil {
			*to = v
		}
	}
	return p
}

// of returns where the named member is put, or nil. Group packets say Random
// and GroupId, one-to-one packets MsgRandom, push results GroupID.
func (p *packet) of(name []byte) *jsonscan.Value {
	switch string(name) {
	case "CallbackCommand":
		return &p.command
	case "GroupId", "GroupID":
		return &p.groupID
	case "TopicId":
		return &p.topicID
	case "From_Account":
		return &p.from
	case "To_Account":
		return &p.to
	case "AtRobots_Account":
		return &p.bots
	case "MsgKey":
		return &p.msgKey
	case "MsgSeq":
		return &p.msgSeq
	case "MsgBody":
		return &p.msgBody
	case "MsgTime":
		return &p.msgTime
	case "Random", "MsgRandom":
		return &p.random
	case "SendMsgResult":
		return &p.result
	case "EventTime":
		return &p.eventTime
	case "OperateType":
		return &p.operateType
	case "Seq":
		return &p.seq
	case "PushID", "TaskId":
		return &p.pushID
	case "PushStage":
		return &p.pushStage
	case "PushPlatform":
		return &p.platform
	case "EventType":
		return &p.eventType
	case "TaskTime":
		return &p.taskTime
	case "Events":
		return &p.events
	}
	return nil
}

// contradicts reports whether both the query and p name a command, and not the
// same one.
func (p *packet) contradicts(command string) bool {
	own := p.command.Text()
	return own != "" && command != "" && own != command
}

// item returns p as an item. The query's command goes before p's own.
func (p *packet) item(command string, payload []byte) provider.Item {
	command = cmp.Or(command, p.command.Text())
	it := provider.Item{
		Type:    item.Type(name, command),
		Time:    p.time(command),
		Keys:    p.keys(command),
		Payload: payload,
	}
	it.NaturalKey, it.Stable = p.naturalKey(command, payload)
	return it
}

// keys returns the routing keys. In a group a message is for the bots that it
// names; their names in the text are written by people and do not count.
func (p *packet) keys(command string) map[string][]string {
	keys := make(map[string][]string, 4)
	item.AddKey(keys, "group", p.groupID.Text())
	item.AddKey(keys, "topic", p.topicID.Text())
	item.AddKey(keys, "from", p.from.Text())
	if p.bots.IsArray() {
		for bot := range jsonscan.Elements(p.bots) {
			item.AddKey(keys, "bot", bot.Text())
		}
	}
	if command == "Bot.OnC2CMessage" {
		item.AddKey(keys, "bot", p.to.Text())
	}
	return keys
}
