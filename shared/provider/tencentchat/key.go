package tencentchat

import (
	"cmp"
	"strconv"
	"strings"
	"time"

	"ringback/shared/provider/item"
)

// naturalKey returns a key that is the same in repeats of p alone, and the time that is part of it. It returns none if
// p has neither id nor time: to block, unblock and block again sends the same bytes twice. Tencent documents no key;
// these are the identifiers it gives [inferred]. The command is always a part, since one message causes several
// callbacks; so is a message's body, which may be edited or sent in pieces. The app is none, since a source is one app.
func (p *packet) naturalKey(command string, payload []byte) (string, time.Time) {
	switch command {
	case "Bot.OnC2CMessage", "C2C.CallbackBeforeSendMsg", "C2C.CallbackAfterSendMsg", "C2C.CallbackAfterMsgWithDraw":
		if key := p.Text("MsgKey"); key != "" {
			// The result, since a message that failed may be sent again under its key.
			return item.Key(command, key, p.Text("From_Account"), p.Text("To_Account"), p.Text("SendMsgResult"), p.bodyHash()), timeOfMsgKey(key)
		}
	case "Bot.OnGroupMessage", "Group.CallbackAfterSendMsg":
		// MsgSeq counts within a group, or a topic of it.
		if group, seq, at := p.Text("GroupId"), p.Text("MsgSeq"), p.Text("MsgTime"); group != "" && seq != "" && at != "" {
			return item.Key(command, group, p.Text("TopicId"), seq, at, p.Text("Random"), p.bodyHash()), instant(at)
		}
	case "C2C.CallbackAfterC2CMsgExtension":
		if key, seq := p.Text("MsgKey"), p.Text("Seq"); key != "" && seq != "" {
			return item.Key(command, key, p.Text("OperateType"), seq), timeOfMsgKey(key)
		}
	case "Group.CallbackAfterGroupMsgExtension":
		if group, msgSeq, seq := p.Text("GroupId"), p.Text("MsgSeq"), p.Text("Seq"); group != "" && msgSeq != "" && seq != "" {
			at := p.Text("EventTime")
			return item.Key(command, group, p.Text("TopicId"), msgSeq, p.Text("OperateType"), seq, at), instant(at)
		}
	default:
		if id := p.Text("PushID"); id != "" && isPush(command) {
			return p.pushKey(command, id)
		}
	}
	if at := instant(p.Text("EventTime")); !at.IsZero() {
		return item.Key(command, item.Hash(payload)), at
	}
	return "", time.Time{}
}

func (p *packet) bodyHash() string {
	if body := p.Value("MsgBody"); len(body) > 0 {
		return item.Hash(body)
	}
	return ""
}

// pushKey is the key of one result of a push. The platform is a part, since an account may have several devices; the
// time is that of the message or task, the same in all its results.
func (p *packet) pushKey(command, id string) (string, time.Time) {
	at := cmp.Or(p.Text("MsgTime"), p.Text("TaskTime"))
	return item.Key(command, id, p.Text("To_Account"), p.Text("PushStage"), p.Text("EventType"), p.Text("PushPlatform"), at), instant(at)
}

// time returns when p happened: EventTime, or the time of a message that has none (live groups).
func (p *packet) time(command string) time.Time {
	if t := instant(p.Text("EventTime")); !t.IsZero() {
		return t
	}
	if strings.HasSuffix(command, "SendMsg") || command == "Bot.OnGroupMessage" || command == "Bot.OnC2CMessage" {
		return instant(p.Text("MsgTime"))
	}
	return time.Time{}
}

// timeOfMsgKey returns the third part of seq_random_time, Unix seconds.
func timeOfMsgKey(key string) time.Time {
	if i := strings.LastIndexByte(key, '_'); i > 0 && strings.Count(key, "_") == 2 {
		return instant(key[i+1:])
	}
	return time.Time{}
}

// instant parses a Unix time. MsgTime is in seconds, EventTime in milliseconds except in push results, so the size
// decides: 100,000,000,000 is the year 5138 in seconds and 1973 in milliseconds. Anything else is the zero time.
func instant(text string) time.Time {
	n, err := strconv.ParseInt(text, 10, 64)
	switch {
	case err != nil || n <= 0:
		return time.Time{}
	case n < 1e11:
		return time.Unix(n, 0).UTC()
	}
	return item.Time(time.UnixMilli(n))
}
