package simulation

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"ringback/shared/provider"
	"ringback/shared/provider/tencentchat"
)

const (
	sdkAppID     = 1400000000 // of the first source
	tencentToken = "a token of the console"
)

// A callback is what a provider sends, again if it is not answered with success.
type callback struct {
	source      *source
	items       []*item
	contentType string
	query       string // without proofs
	body        []byte
	tries       int // left
	every       time.Duration
	acked       bool
}

// textOf finds in a body which item it is about.
var textOf = regexp.MustCompile(`thing-\d+-of-\d+`)

// newItem makes the next thing that s reports.
func (w *world) newItem(s *source) *item {
	s.items++
	group := pick(w.rng, s.groups...)
	if w.plan.lanes {
		group = s.groups[0]
	}
	i := &item{
		text:   fmt.Sprintf("thing-%d-of-%d", s.items, slices.Index(w.sources, s)),
		source: s, natural: s.Provider != "smartbots",
	}
	now := time.Now().UTC()
	switch s.Provider {
	case "smartbots":
		i.payload = []byte(url.Values{"action": {"group_chat"}, "group_uuid": {group}, "message": {i.text}}.Encode())
		i.keys = map[string][]string{"group": {group}}
	case "direct":
		i.payload = fmt.Appendf(nil, `{"message_uuid":%q, "channel_type":%q,"callback_event":"delivered","status":"delivered","status_time":%q}`,
			i.text, group, now.Format(time.RFC3339))
		i.keys = map[string][]string{"message": {i.text}, "channel": {group}, "status": {"delivered"}}
	default:
		i.payload = fmt.Appendf(nil, `{"CallbackCommand":"Bot.OnGroupMessage","GroupId":%q,"From_Account":"ann","Random":%d,"MsgSeq":%d, "MsgTime":%d,"MsgBody":[{"MsgType":"TIMTextElem","MsgContent":{"Text":%q}}],"EventTime":%d}`,
			group, w.rng.IntN(1e6), s.items, now.Unix(), i.text, now.UnixMilli())
		i.keys = map[string][]string{"group": {group}, "from": {"ann"}}
	}
	w.items = append(w.items, i)
	return i
}

// kind is the routing key by which the simulation's matches choose.
func (s *source) kind() string {
	if s.Provider == "direct" {
		return "channel"
	}
	return "group"
}

// newCallback makes a callback of things that are new, or, as a provider's
// repeat does, of some that were sent before.
func (w *world) newCallback(s *source) *callback {
	n := 1
	if s.Provider == "direct" {
		if n = 1 + w.rng.IntN(4); w.rng.IntN(20) == 0 && !w.ordered(s) {
			n = 110 // more than a message takes
		}
	}
	c := w.callbackOf(s, n)
	if old := w.itemsOf(s); s.Provider != "smartbots" && w.rng.IntN(4) == 0 && len(old) > n {
		c.items[0] = pick(w.rng, old[:len(old)-n]...)
	}
	c.write()
	return c
}

// callbackOf makes a callback of n things that are new.
func (w *world) callbackOf(s *source, n int) *callback {
	c := &callback{source: s, contentType: "application/json", tries: 1, every: 5 * time.Minute}
	if s.Provider == "direct" {
		c.tries = 300 // "every 5 minutes for 24 hours"
	}
	for range n {
		c.items = append(c.items, w.newItem(s))
	}
	c.write()
	return c
}

// ordered reports whether a registration on s is: each of Direct's messages would
// have a lane of its own, which takes its time behind an open circuit.
func (w *world) ordered(s *source) bool {
	return slices.ContainsFunc(w.wishes, func(r *wish) bool { return r.ordered && r.source == s })
}

func (w *world) itemsOf(s *source) []*item {
	return slices.DeleteFunc(slices.Clone(w.items), func(i *item) bool { return i.source != s })
}

// write puts the items into a body.
func (c *callback) write() {
	switch c.source.Provider {
	case "smartbots":
		c.contentType = "application/x-www-form-urlencoded"
		c.body = c.items[0].payload
	case "direct":
		var payloads []string
		for _, i := range c.items {
			payloads = append(payloads, string(i.payload))
		}
		c.body = []byte("[" + strings.Join(payloads, ",\n") + "]")
	default:
		c.query = fmt.Sprintf("SdkAppid=%d&CallbackCommand=Bot.OnGroupMessage&contenttype=json&ClientIP=127.0.0.1&OptPlatform=RESTAPI", c.source.SDKAppID)
		c.body = c.items[0].payload
	}
}

// send sends a callback, and again later if its provider does so.
func (w *world) send(c *callback) {
	p := w.process("ingest")
	for _, i := range c.items {
		if i.sends++; i.sent.IsZero() {
			i.sent = time.Now()
		}
	}
	c.tries--
	w.say("%s sends %s and so on, %d in all", c.source.Provider, c.items[0].text, len(c.items))
	cb := &provider.Callback{
		Method: http.MethodPost, Query: c.query, Header: http.Header{"Content-Type": {c.contentType}}, Body: c.body,
		Received: p.g.Now().UTC(),
	}
	if c.source.Provider == "tencent-chat" {
		cb.Query = tencentchat.SignQuery(c.query, tencentToken, time.Now())
	}
	id, key, _ := strings.Cut(c.source.path, "/")
	go func() {
		ctx, cancel := context.WithTimeout(p.ctx, ingestTimeout)
		defer cancel()
		reply := p.g.Ingest(ctx, c.source.Provider, id, key, cb)
		p.do(context.Background(), "answer to the provider", c.items[0].text, func() { w.acknowledge(c, reply.StatusCode) })
	}()
	w.after(c.every, func() {
		switch {
		case c.acked || c.tries == 0:
			w.coming--
		default:
			w.send(c)
		}
	})
}

// acknowledge notes the answer to a callback.
func (w *world) acknowledge(c *callback, status int) {
	if status != http.StatusOK {
		w.say("the provider is answered %d", status)
		if status < 500 {
			w.fail("%s is refused with %d, want 200 or 503", c.items[0].text, status)
		}
		return
	}
	c.acked = true
	for _, i := range c.items {
		if !i.queued && !w.plan.embedded {
			w.fail("%s is acknowledged, and was in no message", i.text)
		}
		if i.acked.IsZero() {
			i.acked = time.Now()
		}
	}
}
