package direct

import (
	"encoding/json"

	"ringback/shared/provider"
)

// EventTypes returns the values of callback_event. An event names what was
// asked for; its field status tells what happened.
func (Provider) EventTypes() []provider.EventType {
	return []provider.EventType{
		{
			Name:   "delivered",
			About:  "A message reached its final status: delivered, undelivered or unsent. Look at status: this event is not success.",
			Sample: json.RawMessage(`{"message_uuid":"3f0a7d0e-7a55-4d6d-9f6e-6e0f3a1c0001","channel_type":"SMS","callback_event":"delivered","status":"undelivered","status_time":"2025-03-02T10:15:02Z","error_code":7060}`),
		},
		{
			Name:   "sent",
			About:  "A message was handed to the carrier.",
			Sample: json.RawMessage(`{"message_uuid":"3f0a7d0e-7a55-4d6d-9f6e-6e0f3a1c0001","channel_type":"SMS","callback_event":"sent","status":"sent","status_time":"2025-03-01T09:15:02Z"}`),
		},
		{
			Name:   "read",
			About:  "A message was read, or not read within its lifetime (status unread).",
			Sample: json.RawMessage(`{"message_uuid":"3f0a7d0e-7a55-4d6d-9f6e-6e0f3a1c0002","channel_type":"VIBER","callback_event":"read","status":"read","status_time":"2025-03-01T09:20:00Z","cascade_message_uuid":"3f0a7d0e-7a55-4d6d-9f6e-6e0f3a1c0001","cascade_step":2}`),
		},
		{
			Name:   "price",
			About:  "The price of a message was set or changed.",
			Sample: json.RawMessage(`{"message_uuid":"3f0a7d0e-7a55-4d6d-9f6e-6e0f3a1c0001","channel_type":"SMS","callback_event":"price","parts":2,"price":4.20,"currency":"RUB","price_time":"2025-03-01T09:15:03Z"}`),
		},
		{
			Name:   "click",
			About:  "Somebody followed a shortened link in a message.",
			Sample: json.RawMessage(`{"message_uuid":"3f0a7d0e-7a55-4d6d-9f6e-6e0f3a1c0001","channel_type":"SMS","callback_event":"click","url":"https://shop.example/spring","short_url":"https://s.example/a1B2","click_time":"2025-03-01T09:31:40Z"}`),
		},
		{
			Name:   "inbound_sent",
			About:  "A message came in from a subscriber.",
			Sample: json.RawMessage(`{"message_uuid":"3f0a7d0e-7a55-4d6d-9f6e-6e0f3a1c0003","channel_type":"WHATSAPP","callback_event":"inbound_sent","status":"inbound_sent","status_time":"2025-03-02T10:00:00Z","item":{"contentType":"text","text":"hello"}}`),
		},
	}
}
