package main

import (
	"strconv"
	"strings"
)

// nasty are texts on which readers have stumbled.
var nasty = []string{
	"\x00", "\xff", "\xc3", "\xed\xa0\x80", "\uFEFF", "\uFFFE", "\uFFFF", "\u2028", "\x7f", "\x1b[31m", "\r\n", "\n", "\r", "\t", "%", "%0", "%00",
	"%zz", "%ff", "%C0%80", "%E2%82", "+", "%2B", "%0D%0A", ";", "&&", "==", "&=", "=&", "{", "}", "[", "]", "{}", "[]", "[[]]", "\"", "'", "\\", "\\\"",
	`\u0000`, `\ud800`, `\udc00\ud800`, `\uZZZZ`, `\x41`, "//", "/*", "*/", ",", ",,", ":", "null", "true", "NaN", "-", "-0", "0x10", "1e999", "-1e-999",
	"1E400", "00", "01", ".5", "5.", "4.20", "9007199254740993", "18446744073709551616", "-9223372036854775808", "99999999999999999999999",
	"1760000000", "1760000000456", "253402300800000", "0", "-1", "../", "..%2f", "<b>&amp;", "${jndi:x}", "' OR 1=1--", "🚀", "＠", "İ", "ſ", "K",
	strings.Repeat("A", 201), strings.Repeat("<", 1025), strings.Repeat("é", 300), strings.Repeat("[", 600), "accept=1", "--b\r\n", "--b--",
}

var paths = []string{"/", "//", "/../", "/prod", "/%2e%2e", "/callbacks/direct/src-direct0b", "/%00"}

var contentTypes = []string{
	"application/json", "application/json; charset=utf-16", "application/x-www-form-urlencoded", "multipart/form-data; boundary=b", "multipart/form-data",
	"multipart/form-data; boundary=\"b c\"", "multipart/mixed; boundary=b", "text/plain; of=Events", "application/json; of=Events", "text/plain", "nonsense/", ";", "",
	"application/json\xff", "a/b; c=" + strings.Repeat("<", 600), "multipart/form-data; boundary=" + strings.Repeat("b", 71),
}

var headers = []string{"Content-Encoding", "Expect", "Ringback-Via", "X-Forwarded-For", "Authorization", "Content-Type", "Content-Length", "Transfer-Encoding", "Cookie"}

// words of each provider that its reader looks for.
var words = map[string][]string{
	"smartbots": strings.Fields("action event type group_uuid group_name group_id group bot_name channel app_uuid amount balance message" +
		" group_chat instant_message group_invite balance_changed callback_set callback_removed 5b1f0c52-0a5e-4a0c-9a5a-1f6d2f0e7c11" +
		" &action=x &amount=1&balance=2 Content-Disposition:form-data;name=action"),
	"tencent-chat": strings.Fields("CallbackCommand GroupId GroupID TopicId From_Account To_Account AtRobots_Account MsgKey MsgSeq MsgTime Random MsgRandom" +
		" SendMsgResult EventTime OperateType Seq PushID TaskId PushStage PushPlatform EventType TaskTime Events Bot.OnGroupMessage Bot.OnC2CMessage" +
		" C2C.CallbackAfterSendMsg Group.CallbackAfterSendMsg Group.CallbackAfterGroupMsgExtension Push.OfflinePush State.StateChange 1_2_1760000000"),
	"direct": strings.Fields("message_uuid cascade_message_uuid channel_type callback_event status status_time parts price price_time short_url click_time" +
		" delivered sent read click inbound_sent item 2025-03-01T09:15:02Z 2025-03-01T09:15:02+05:30 0000-00-00T00:00:00Z 9999-12-31T23:59:60Z"),
}

// invent returns a body of nothing but words and chance.
func (m *maker) invent() []byte {
	switch n := m.IntN(10); {
	case n == 0:
		b := make([]byte, m.IntN(300))
		for i := range b {
			b[i] = byte(m.Uint32())
		}
		return b
	case n == 1:
		return []byte(of(m.chance, nasty))
	case m.provider == "smartbots" && n < 6:
		return m.form()
	case m.provider == "smartbots" && n < 7:
		return m.parts()
	case m.provider == "direct" && n < 9:
		return []byte("[" + m.list(func() string { return m.object(1) }) + "]")
	case m.provider == "tencent-chat" && n < 4:
		return []byte(`{"Events":[` + m.list(func() string { return m.object(1) }) + "]}")
	}
	return []byte(m.object(0))
}

func (m *maker) list(element func() string) string {
	elements := make([]string, m.IntN(5))
	for i := range elements {
		elements[i] = element()
	}
	return strings.Join(elements, ",")
}

func (m *maker) object(depth int) string {
	return "{" + m.list(func() string { return m.quoted() + ":" + m.value(depth+1) }) + "}"
}

// value returns mostly JSON.
func (m *maker) value(depth int) string {
	switch n := m.IntN(12); {
	case n == 0 && depth < 4:
		return m.object(depth)
	case n == 1 && depth < 4:
		return "[" + m.list(func() string { return m.value(depth + 1) }) + "]"
	case n == 2:
		return of(m.chance, nasty)
	case n == 3:
		return strconv.FormatInt(int64(m.Uint64())>>m.IntN(64), 10)
	case n == 4:
		return of(m.chance, []string{"true", "false", "null", `""`, "0", "-1.50e+3"})
	}
	return m.quoted()
}

func (m *maker) quoted() string {
	if m.in(6) {
		return strconv.Quote(of(m.chance, nasty)) // Go's escapes are not all JSON's
	}
	return `"` + of(m.chance, m.words) + `"`
}

func (m *maker) form() []byte {
	var b []byte
	for range m.IntN(8) {
		b = append(append(b, of(m.chance, m.words)...), '=')
		b = append(append(b, m.text()...), '&')
	}
	return b
}

func (m *maker) text() string {
	if m.in(3) {
		return of(m.chance, nasty)
	}
	return of(m.chance, m.words)
}

func (m *maker) parts() []byte {
	var b []byte
	for range m.IntN(5) {
		b = append(b, "--b\r\nContent-Disposition: form-data; name=\""+m.text()+"\"\r\n\r\n"+m.text()+"\r\n"...)
	}
	return append(b, "--b--\r\n"...)
}
