package direct

import (
	"cmp"
	"encoding/json"
	"fmt"
	"time"

	"ringback/shared/provider"
	"ringback/shared/provider/item"
	"ringback/shared/provider/jsonscan"
)

// Parse reads a JSON array of objects, whatever the Content-Type. A bare object counts as an array of one, since only
// status changes are documented with an array [inferred]. An item that is no object, has no message_uuid or is too
// large is set aside, because Direct would repeat all items of a failed callback [inferred]. The number of items is
// not documented; a request to send takes a thousand, and here provider.MaxItems and provider.MaxCallbackBytes apply.
// An item of inbound_sent may hold anything [inferred]. An error wraps provider.ErrUnreadable, or provider.ErrTooLarge
// for a bare object.
func (Provider) Parse(cb *provider.Callback) (provider.Reading, error) {
	body := jsonscan.Trim(cb.Body)
	if !json.Valid(body) {
		return provider.Reading{}, fmt.Errorf("body: %w: want JSON", provider.ErrUnreadable)
	}
	r := provider.Reading{ContentType: item.ContentType(cb, "application/json")}
	switch v := jsonscan.Value(body); {
	case v.IsArray():
		var l item.List
		for element := range jsonscan.Elements(v) {
			if it := itemOf(element); it.Unreadable {
				l.SetAside(name, element)
			} else {
				l.Add(it)
			}
		}
		var err error
		r.Items, err = l.All(name)
		return r, err
	case v.IsObject() && len(v) > provider.MaxPayloadBytes:
		return provider.Reading{}, fmt.Errorf("body: %w: want at most %d bytes", provider.ErrTooLarge, provider.MaxPayloadBytes)
	case v.IsObject():
		r.Items = []provider.Item{itemOf(v)}
	default:
		return provider.Reading{}, fmt.Errorf("body: %w: want an array of objects", provider.ErrUnreadable)
	}
	return r, nil
}

// scanned are the members of an item that are read, by the names of "Receiving Callback".
var scanned = jsonscan.NamesOf("message_uuid", "cascade_message_uuid", "channel_type", "callback_event", "status", "status_time",
	"parts", "price", "price_time", "short_url", "click_time")

// A notice is an item with the texts that are read more than once.
type notice struct {
	jsonscan.Picked
	event, message, status, statusTime, priceTime, clickTime string
}

// scan accepts numbers in place of strings.
func scan(b jsonscan.Value) notice {
	p := scanned.Pick(b)
	return notice{
		p, p.Text("callback_event"), p.Text("message_uuid"), p.Text("status"),
		p.Text("status_time"), p.Text("price_time"), p.Text("click_time"),
	}
}

func itemOf(b jsonscan.Value) provider.Item {
	if !item.Usable(b) {
		return item.SetAside(name, b)
	}
	n := scan(b)
	if n.message == "" {
		return item.SetAside(name, b)
	}
	it := provider.Item{Type: item.Type(name, n.event), Keys: make(map[string][]string, 4), Payload: b}
	item.AddKey(it.Keys, "message", n.message)
	item.AddKey(it.Keys, "cascade", n.Text("cascade_message_uuid"))
	item.AddKey(it.Keys, "channel", n.Text("channel_type"))
	item.AddKey(it.Keys, "status", n.status)
	it.NaturalKey, it.StableTime = n.naturalKey(b)
	it.Time = n.time()
	return it
}

// naturalKey returns a key that is the same in repeats of the item b, and the time that is part of it. Direct
// documents no key: these fields tell two facts apart [inferred]. An item without them, or of an unknown kind, is
// identified by all its bytes; without a time its repeats are not recognised.
func (n *notice) naturalKey(b []byte) (string, time.Time) {
	switch {
	case n.event == "price" && n.priceTime != "":
		return item.Key(n.event, n.message, n.priceTime, n.Text("price"), n.Text("parts")), instant(n.priceTime)
	case n.event == "click" && n.clickTime != "":
		return item.Key(n.event, n.message, n.Text("short_url"), n.clickTime), instant(n.clickTime)
	case n.event == "inbound_sent":
		return item.Key(n.event, n.message, n.statusTime), instant(n.statusTime)
	case (n.event == "delivered" || n.event == "sent" || n.event == "read") && n.status != "":
		return item.Key(n.event, n.message, n.status, n.statusTime), instant(n.statusTime)
	}
	return item.Key(n.event, item.Hash(b)), n.time()
}

func (n *notice) time() time.Time { return instant(cmp.Or(n.statusTime, n.priceTime, n.clickTime)) }

// instant parses Direct's ISO 8601 times, documented in UTC to the second (2025-03-01T09:15:02Z). It accepts
// fractions, offsets and a missing Z too [inferred], and returns the zero time for anything else.
func instant(text string) time.Time {
	for _, layout := range [...]string{time.RFC3339, "2006-01-02T15:04:05Z0700", "2006-01-02T15:04:05"} {
		if t, err := time.Parse(layout, text); err == nil {
			return item.Time(t)
		}
	}
	return time.Time{}
}
