package tencentchat

import (
	"cmp"
	"strconv"
	"strings"
	"time"

	"ringback/shared/provider/item"
)

// naturalKey returns what is the same in a repeat of p and only there, and the
// time that is part of it; nothing if p carries neither id nor time, since who
// blocks, unblocks and blocks again makes the same bytes twice. Tencent documents
// no key; these are the identifiers it gives [inferred]. The command is always
// part of it, since one message makes several callbacks; the app is not, since a
// source is one app. So is a message's body: it may be edited, or come in pieces.
func (p *packet) naturalKey(command string, payload []byte) (string, time.Time) {
	switch command {
	case "Bot.OnC2CMessage", "C2C.CallbackBeforeSendMsg", "C2C.CallbackAfterSendMsg", "C2C.CallbackAfterMsgWithDraw":
		if key := p.msgKey.Text(); key != "" {
			// The result, since a message that failed may be sent again under its key.
			return item.Key(command, key, p.from.Text(), p.to.Text(), p.result.Text(), p.bodyHash()), timeOfMsgKey(key)
		}
	case "Bot.OnGroupMessage", "Group.CallbackAfterSendMsg":
		// MsgSeq counts within a group, or a topic of it.
		if group, seq, at := p.groupID.Text(), p.msgSeq.Text(), p.msgTime.Text(); group != "" && seq != "" && at != "" {
			return item.Key(command, group, p.topicID.Text(), seq, at, p.random.Text(), p.bodyHash()), instant(at)
		}
	case "C2C.CallbackAfterC2CMsgExtension":
		if key, seq := p.msgKey.Text(), p.seq.Text(); key != "" && seq != "" {
			return item.Key(command, key, p.operateType.Text(), seq), timeOfMsgKey(key)
		}
	case "Group.CallbackAfterGroupMsgExtension":
		if group, msgSeq, seq := p.groupID.Text(), p.msgSeq.Text(), p.seq.Text(); group != "" && msgSeq != "" && seq != "" {
			at := p.eventTime.Text()
			return item.Key(command, group, p.topicID.Text(), msgSeq, p.operateType.Text(), seq, at), instant(at)
		}
	default:
		if id := p.pushID.Text(); id != "" && isPush(command) {
			return p.pushKey(command, id)
		}
	}
	if at := instant(p.eventTime.Text()); !at.IsZero() {
		return item.Key(command, item.Hash(payload)), at
	}
	return "", time.Time{}
}

// bodyHash returns the hash of MsgBody, empty without one.
func (p *packet) bodyHash() string {
	if len(p.msgBody) == 0 {
		return ""
	}
	return item.Hash(p.msgBody)
}

// pushKey is the key of one result of a push. The platform belongs to it, since
// one account may have several devices; the time of the message or task that
// was pushed is the same in all its results.
func (p *packet) pushKey(command, id string) (string, time.Time) {
	at := cmp.Or(p.msgTime.Text(), p.taskTime.Text())
	return item.Key(command, id, p.to.Text(), p.pushStage.Text(), p.eventType.Text(), p.platform.Text(), at), instant(at)
}

// time returns when p happened: EventTime, or for a message that comes without
// it (live groups) the time of the message.
func (p *packet) time(command string) time.Time {
	if t := instant(p.eventTime.Text()); !t.IsZero() {
		return t
	}
	if strings.HasSuffix(command, "SendMsg") || command == "Bot.OnGroupMessage" || command == "Bot.OnC2CMessage" {
		return instant(p.msgTime.Text())
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

// instant reads a Unix time. MsgTime is in seconds, EventTime in milliseconds
// except in push results, so the size tells: 100,000,000,000 is the year 5138
// in seconds and 1973 in milliseconds. What is no such number is the zero time.
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
