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

// fromEvents ends the ContentType of an item of the array Events, so that Raw wraps it again: otherwise it looks like
// a callback that Tencent sent without the array.
const fromEvents = "; of=Events"

// Parse reads one packet, or the push results in the array Events (1047/67552), whatever the Content-Type, which is
// not documented [inferred]. The query names the command, since some packets do not; a packet that names another is a
// forgery, whose error wraps provider.ErrForbidden. {} holds no item: the console sends it to check the URL. Elements
// of Events that are no objects, too large or of another command are set aside. Other errors wrap
// provider.ErrUnreadable or provider.ErrTooLarge.
func (Provider) Parse(cb *provider.Callback) (provider.Reading, error) {
	body := jsonscan.Trim(cb.Body)
	if !json.Valid(body) || !jsonscan.Value(body).IsObject() {
		return provider.Reading{}, fmt.Errorf("body: %w: want a JSON object", provider.ErrUnreadable)
	}
	q := readQuery(cb.Query)
	if len(q.documented) > provider.MaxQueryBytes {
		return provider.Reading{}, fmt.Errorf("query: %w: want at most %d bytes", provider.ErrTooLarge, provider.MaxQueryBytes)
	}
	r := provider.Reading{ContentType: contentType(cb), Query: q.documented}
	p := packet{scanned.Pick(body)}
	var err error
	switch events := p.Value("Events"); {
	case p.Members == 0:
	case events.IsArray() && (q.command == "" || isPush(q.command)):
		r.ContentType += fromEvents
		r.Items, err = split(events, q.command)
	default:
		r.Items, err = single(cb.Body, &p, q.command)
	}
	return r, err
}

// contentType returns cb's Content-Type, without fromEvents.
func contentType(cb *provider.Callback) string {
	const otherwise = "application/json"
	if v := item.ContentType(cb, otherwise); !strings.HasSuffix(v, fromEvents) {
		return v
	}
	return otherwise
}

// single returns the one item that is a whole body.
func single(body []byte, p *packet, command string) ([]provider.Item, error) {
	switch {
	case len(body) > provider.MaxPayloadBytes:
		return nil, fmt.Errorf("body: %w: want at most %d bytes", provider.ErrTooLarge, provider.MaxPayloadBytes)
	case jsonscan.TooDeep(body):
		return nil, fmt.Errorf("body: %w: want at most %d levels", provider.ErrUnreadable, jsonscan.MaxDepth)
	case p.contradicts(command):
		return nil, fmt.Errorf("CallbackCommand of query and body: %w", provider.ErrForbidden)
	}
	return []provider.Item{p.item(command, body)}, nil
}

// split returns the items of Events. The error wraps provider.ErrForbidden if items contradict the query's command and
// none agrees with it.
func split(events jsonscan.Value, command string) ([]provider.Item, error) {
	var l item.List
	var read, forged int
	for element := range jsonscan.Elements(events) {
		if !item.Usable(element) {
			l.SetAside(name, element)
			continue
		}
		p := packet{scanned.Pick(element)}
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

// A packet is a body, or an element of Events.
type packet struct{ jsonscan.Picked }

// scanned are the members that are read. Group packets say Random and GroupId, one-to-one packets MsgRandom, push
// results GroupID.
var scanned = jsonscan.NamesOf("CallbackCommand", "GroupId|GroupID", "TopicId", "From_Account", "To_Account", "AtRobots_Account",
	"MsgKey", "MsgSeq", "MsgBody", "MsgTime", "Random|MsgRandom", "SendMsgResult", "EventTime", "OperateType", "Seq",
	"PushID|TaskId", "PushStage", "PushPlatform", "EventType", "TaskTime", "Events")

// contradicts reports whether the query and p name different commands.
func (p *packet) contradicts(command string) bool {
	own := p.Text("CallbackCommand")
	return own != "" && command != "" && own != command
}

// item returns p as an item. The query's command precedes p's own.
func (p *packet) item(command string, payload []byte) provider.Item {
	command = cmp.Or(command, p.Text("CallbackCommand"))
	it := provider.Item{Type: item.Type(name, command), Time: p.time(command), Keys: p.keys(command), Payload: payload}
	it.NaturalKey, it.StableTime = p.naturalKey(command, payload)
	return it
}

// keys returns the routing keys. In a group a message is for the bots that AtRobots_Account names; the names in its
// text are written by people and do not count.
func (p *packet) keys(command string) map[string][]string {
	keys := make(map[string][]string, 4)
	item.AddKey(keys, "group", p.Text("GroupId"))
	item.AddKey(keys, "topic", p.Text("TopicId"))
	item.AddKey(keys, "from", p.Text("From_Account"))
	if bots := p.Value("AtRobots_Account"); bots.IsArray() {
		for bot := range jsonscan.Elements(bots) {
			item.AddKey(keys, "bot", bot.Text())
		}
	}
	if command == "Bot.OnC2CMessage" {
		item.AddKey(keys, "bot", p.Text("To_Account"))
	}
	return keys
}
