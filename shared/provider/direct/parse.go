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

// Parse reads a JSON array of objects, whatever the Content-Type. A bare object
// counts as an array of one, since only status changes are documented with an
// array [inferred]; an empty array holds no items. An array's item that is no
// object, has no message_uuid or is too large is set aside, because a refusal
// would make Direct send all items again [inferred]. How many items there may be
// is not documented; a request to send takes a thousand, and here
// provider.MaxItems and provider.MaxCallbackBytes end an array. The item of inbound_sent may hold
// anything [inferred]. An error wraps
// provider.ErrUnreadable, or provider.ErrTooLarge for a bare object.
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
		if r.Items, err = l.All(name); err != nil {
			return provider.Reading{}, err
		}
	case v.IsObject() && len(v) > provider.MaxPayloadBytes:
		return provider.Reading{}, fmt.Errorf("body: %w: want at most %d bytes", provider.ErrTooLarge, provider.MaxPayloadBytes)
	case v.IsObject():
		r.Items = []provider.Item{itemOf(v)}
	default:
		return provider.Reading{}, fmt.Errorf("body: %w: want an array of objects", provider.ErrUnreadable)
	}
	return r, nil
}

// notice holds what is looked at in an item, by the names of "Receiving
// Callback".
type notice struct {
	messageUUID, cascadeUUID, channelType, event string
	status, statusTime                           string
	parts, price, priceTime                      string
	shortURL, clickTime                          string
}

func itemOf(b jsonscan.Value) provider.Item {
	if !item.Usable(b) {
		return item.SetAside(name, b)
	}
	n := read(b)
	if n.messageUUID == "" {
		return item.SetAside(name, b)
	}
	it := provider.Item{Type: item.Type(name, n.event), Keys: make(map[string][]string, 4), Payload: b}
	item.AddKey(it.Keys, "message", n.messageUUID)
	item.AddKey(it.Keys, "cascade", n.cascadeUUID)
	item.AddKey(it.Keys, "channel", n.channelType)
	item.AddKey(it.Keys, "status", n.status)
	it.NaturalKey, it.Stable = n.naturalKey(b)
	it.Time = n.time()
	return it
}

// read takes numbers and strings alike; of repeated members the last counts.
func read(b jsonscan.Value) notice {
	var n notice
	for name, v := range jsonscan.Members(b) {
		switch string(name) {
		case "message_uuid":
			n.messageUUID = v.Text()
		case "cascade_message_uuid":
			n.cascadeUUID = v.Text()
		case "channel_type":
			n.channelType = v.Text()
		case "callback_event":
			n.event = v.Text()
		case "status":
			n.status = v.Text()
		case "status_time":
			n.statusTime = v.Text()
		case "parts":
			n.parts = v.Text()
		case "price":
			n.price = v.Text()
		case "price_time":
			n.priceTime = v.Text()
		case "short_url":
			n.shortURL = v.Text()
		case "click_time":
			n.clickTime = v.Text()
		}
	}
	return n
}

// naturalKey returns what is the same in a repeat of the item b, and the time
// that is part of it. Direct documents no key: this is what makes two facts
// different [inferred]. An item that lacks it, or is of an unknown kind, is
// known by all its bytes; one without a time is not known again.
func (n notice) naturalKey(b []byte) (string, time.Time) {
	switch {
	case n.event == "price" && n.priceTime != "":
		return item.Key(n.event, n.messageUUID, n.priceTime, n.price, n.parts), instant(n.priceTime)
	case n.event == "click" && n.clickTime != "":
		return item.Key(n.event, n.messageUUID, n.shortURL, n.clickTime), instant(n.clickTime)
	case n.event == "inbound_sent":
		return item.Key(n.event, n.messageUUID, n.statusTime), instant(n.statusTime)
	case (n.event == "delivered" || n.event == "sent" || n.event == "read") && n.status != "":
		return item.Key(n.event, n.messageUUID, n.status, n.statusTime), instant(n.statusTime)
	}
	return item.Key(n.event, item.Hash(b)), n.time()
}

// time returns when the item's event happened.
func (n notice) time() time.Time { return instant(cmp.Or(n.statusTime, n.priceTime, n.clickTime)) }

// instant reads the ISO 8601 times of Direct, documented in UTC to the second
// (2025-03-01T09:15:02Z). Fractions, offsets and a missing Z are taken too
// [inferred]. What cannot be read is the zero time.
func instant(text string) time.Time {
	for _, layout := range [...]string{time.RFC3339, "2006-01-02T15:04:05Z0700", "2006-01-02T15:04:05"} {
		if t, err := time.Parse(layout, text); err == nil {
			return item.Time(t)
		}
	}
	return time.Time{}
}
