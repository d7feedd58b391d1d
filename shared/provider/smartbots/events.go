package smartbots

import (
	"encoding/json"
	"slices"

	"ringback/shared/provider"
)

// EventTypes returns the events of "HTTP Bot Callback Events" and of the Simple
// Groups API. SmartBots adds events on request.
func (Provider) EventTypes() []provider.EventType {
	return slices.Concat(groupEvents(), chatEvents(), offerEvents(), botEvents())
}

// groupEvents are the three of the Simple Groups API, and the Bot API's on
// groups. The fields of the first three are assumed [inferred].
func groupEvents() []provider.EventType {
	return []provider.EventType{
		{
			Name:   "group_chat",
			About:  "Somebody spoke in a group's chat (Simple Groups).",
			Sample: json.RawMessage(`{"action":"group_chat","app_uuid":"7e0c2a9e-63c5-4d24-8f8e-6a2f0f1d9b10","group_uuid":"5b1f0c52-0a5e-4a0c-9a5a-1f6d2f0e7c11","group_id":"harbor-crew","speaker_name":"Nadia Quill","speaker_uuid":"0d9a9c5e-2f64-4d0f-8a4f-31f1a6b1f0aa","message":"hello"}`),
		},
		{
			Name:   "callback_set",
			About:  "The callback of a group was set up (Simple Groups).",
			Sample: json.RawMessage(`{"action":"callback_set","group_uuid":"5b1f0c52-0a5e-4a0c-9a5a-1f6d2f0e7c11","group_id":"harbor-crew","group_name":"Harbor Crew","app_name":"Dock Watch","app_uuid":"7e0c2a9e-63c5-4d24-8f8e-6a2f0f1d9b10"}`),
		},
		{
			Name:   "callback_removed",
			About:  "The callback of a group was removed at the user's request (Simple Groups).",
			Sample: json.RawMessage(`{"action":"callback_removed","group_uuid":"5b1f0c52-0a5e-4a0c-9a5a-1f6d2f0e7c11","group_id":"harbor-crew","group_name":"Harbor Crew","app_name":"Dock Watch","app_uuid":"7e0c2a9e-63c5-4d24-8f8e-6a2f0f1d9b10"}`),
		},
		{
			Name:   "group_message",
			About:  "Somebody spoke in the chat of a group that the bot is in.",
			Sample: json.RawMessage(`{"action":"group_message","bot_name":"Harbor Resident","channel":"48213","cid":"77","group_name":"Harbor Crew","group_uuid":"5b1f0c52-0a5e-4a0c-9a5a-1f6d2f0e7c11","speaker_name":"Nadia Quill","speaker_uuid":"0d9a9c5e-2f64-4d0f-8a4f-31f1a6b1f0aa","message":"dock is open 🚢"}`),
		},
		{
			Name:   "group_invite",
			About:  "Somebody invites the bot to a group; SmartBots waits for a decision and is told nothing, so the bot does not join.",
			Sample: json.RawMessage(`{"action":"group_invite","bot_name":"Harbor Resident","channel":"48213","cid":"78","avatar_name":"Nadia Quill","avatar_uuid":"0d9a9c5e-2f64-4d0f-8a4f-31f1a6b1f0aa","group_name":"Harbor Crew","group_uuid":"5b1f0c52-0a5e-4a0c-9a5a-1f6d2f0e7c11","session_id":"c1f8f3d2-7a30-4f5f-9c6e-2d1d7d0b9a01","system_message":"Nadia Quill invites you to a group"}`),
		},
	}
}

func chatEvents() []provider.EventType {
	return []provider.EventType{
		{
			Name:   "instant_message",
			About:  "An avatar wrote to the bot.",
			Sample: json.RawMessage(`{"action":"instant_message","bot_name":"Harbor Resident","channel":"48213","cid":"79","speaker_type":"AGENT","speaker_name":"Nadia Quill","speaker_uuid":"0d9a9c5e-2f64-4d0f-8a4f-31f1a6b1f0aa","message":"are you there?"}`),
		},
		{
			Name:   "chat_message",
			About:  "An avatar or an object spoke in local chat.",
			Sample: json.RawMessage(`{"action":"chat_message","bot_name":"Harbor Resident","channel":"48213","cid":"80","speaker_type":"OBJECT","speaker_name":"Door bell","speaker_uuid":"6c1b7a55-3a0e-4f0c-8b55-90d3a4c2e7f4","speaker_owner":"0d9a9c5e-2f64-4d0f-8a4f-31f1a6b1f0aa","message":"ding"}`),
		},
		{
			Name:   "start_typing",
			About:  "An avatar begins to write to the bot.",
			Sample: json.RawMessage(`{"action":"start_typing","bot_name":"Harbor Resident","channel":"48213","cid":"81","speaker_name":"Nadia Quill","speaker_uuid":"0d9a9c5e-2f64-4d0f-8a4f-31f1a6b1f0aa"}`),
		},
		{Name: "script_dialog", About: "An object shows the bot a dialog with buttons."},
	}
}

func offerEvents() []provider.EventType {
	return []provider.EventType{
		{
			Name:   "offer_friendship",
			About:  "An avatar offers friendship; accept it by the Bot API.",
			Sample: json.RawMessage(`{"action":"offer_friendship","bot_name":"Harbor Resident","channel":"48213","cid":"82","avatar_name":"Nadia Quill","avatar_uuid":"0d9a9c5e-2f64-4d0f-8a4f-31f1a6b1f0aa","message":"shall we be friends?","session_id":"c1f8f3d2-7a30-4f5f-9c6e-2d1d7d0b9a02"}`),
		},
		{Name: "offer_friendship_accepted", About: "An avatar accepted the bot's offer of friendship."},
		{Name: "offer_friendship_declined", About: "An avatar declined the bot's offer of friendship."},
		{
			Name:   "offer_teleport",
			About:  "An avatar offers a teleport; accept it by the Bot API.",
			Sample: json.RawMessage(`{"action":"offer_teleport","bot_name":"Harbor Resident","channel":"48213","cid":"83","avatar_name":"Nadia Quill","avatar_uuid":"0d9a9c5e-2f64-4d0f-8a4f-31f1a6b1f0aa","message":"come over","slurl":"http://maps.secondlife.com/secondlife/Harbor/12/34/21","session_id":"c1f8f3d2-7a30-4f5f-9c6e-2d1d7d0b9a03"}`),
		},
		{
			Name:   "offer_inventory",
			About:  "An avatar or an object offers something; accept it by the Bot API.",
			Sample: json.RawMessage(`{"action":"offer_inventory","bot_name":"Harbor Resident","channel":"48213","cid":"84","asset_type":"NOTECARD","offer_type":"OFFER","folder":"9a1e4d3c-5b7f-4c62-8f10-6de2a7c5b901","sender_name":"Nadia Quill","sender_uuid":"0d9a9c5e-2f64-4d0f-8a4f-31f1a6b1f0aa","sender_type":"AGENT","object":"Dock rules","session":"c1f8f3d2-7a30-4f5f-9c6e-2d1d7d0b9a04","message":"Dock rules"}`),
		},
	}
}

func botEvents() []provider.EventType {
	return []provider.EventType{
		{
			Name:   "balance_changed",
			About:  "The bot's balance changed.",
			Sample: json.RawMessage(`{"action":"balance_changed","bot_name":"Harbor Resident","channel":"48213","cid":"85","amount":"250","direction":"in","source":"0d9a9c5e-2f64-4d0f-8a4f-31f1a6b1f0aa","destination":"e2b5a1c7-4d09-4b52-9d3c-7f0a1c6d8e55","balance":"1250","trx_type":"5001"}`),
		},
		{
			Name:   "online_status",
			About:  "The bot went on or off line: LOGGED_OUT, CONNECTING, ONLINE, LOGGING_OUT or LOGIN_ERROR.",
			Sample: json.RawMessage(`{"action":"online_status","bot_name":"Harbor Resident","channel":"48213","cid":"86","status":"ONLINE","details":"","location":"Harbor/12/34/21"}`),
		},
		{
			Name:   "teleport_status",
			About:  "The bot's teleport goes on: Start, Progress, Failed, Finished or Cancelled.",
			Sample: json.RawMessage(`{"action":"teleport_status","bot_name":"Harbor Resident","channel":"48213","cid":"87","status":"Finished","message":"","flags":"0","location":"Harbor/12/34/21"}`),
		},
		{Name: "nearby_avatars", About: "Which avatars are near the bot; SmartBots advises against it."},
	}
}
