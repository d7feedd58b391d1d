package tencentchat_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"ringback/shared/provider"
	"ringback/shared/provider/item"
	"ringback/shared/provider/tencentchat"
)

// TestNaturalKeyIsWhatARepeatHasInCommon looks at the key itself: one that took
// in too much would not know a repeat.
func TestNaturalKeyIsWhatARepeatHasInCommon(t *testing.T) {
	const at, msg = "1760000000", "1_2_1760000000"
	when := time.Unix(1760000000, 0)
	for _, tt := range []struct {
		name, command, fields string
		key                   []string // behind the command; empty: no part of the packet alone
		stable                time.Time
	}{
		{"C2C", "C2C.CallbackAfterSendMsg", `"From_Account":"a","To_Account":"b","MsgKey":"` + msg + `","SendMsgResult":0,"EventTime":1`, []string{msg, "a", "b", "0", ""}, when},
		{"C2C with a body", "C2C.CallbackAfterSendMsg", `"MsgKey":"` + msg + `","MsgBody":[1]`, []string{msg, "", "", "", item.Hash([]byte("[1]"))}, when},
		{"C2C without MsgKey", "C2C.CallbackAfterSendMsg", `"From_Account":"a","To_Account":"b","EventTime":1760000000`, nil, when},
		{"group", "Group.CallbackAfterSendMsg", `"GroupId":"g","MsgSeq":1,"MsgTime":` + at + `,"Random":7`, []string{"g", "", "1", at, "7", ""}, when},
		{"group, a topic", "Group.CallbackAfterSendMsg", `"GroupId":"g","TopicId":"t","MsgSeq":1,"MsgTime":` + at, []string{"g", "t", "1", at, "", ""}, when},
		{"group without its name", "Group.CallbackAfterSendMsg", `"MsgSeq":1,"MsgTime":` + at, nil, time.Time{}},
		{"group without MsgSeq", "Group.CallbackAfterSendMsg", `"GroupId":"g","MsgTime":` + at, nil, time.Time{}},
		{"group without MsgTime", "Group.CallbackAfterSendMsg", `"GroupId":"g","MsgSeq":1`, nil, time.Time{}},
		{"C2C extension", "C2C.CallbackAfterC2CMsgExtension", `"MsgKey":"` + msg + `","OperateType":1,"Seq":3`, []string{msg, "1", "3"}, when},
		{"C2C extension without Seq", "C2C.CallbackAfterC2CMsgExtension", `"MsgKey":"` + msg + `","OperateType":1`, nil, time.Time{}},
		{"C2C extension without MsgKey", "C2C.CallbackAfterC2CMsgExtension", `"OperateType":1,"Seq":3`, nil, time.Time{}},
		{"group extension", "Group.CallbackAfterGroupMsgExtension", `"GroupId":"g","MsgSeq":2,"OperateType":1,"Seq":3,"EventTime":` + at, []string{"g", "", "2", "1", "3", at}, when},
		{"group extension without its name", "Group.CallbackAfterGroupMsgExtension", `"MsgSeq":2,"OperateType":1,"Seq":3,"EventTime":` + at, nil, when},
		{"group extension without MsgSeq", "Group.CallbackAfterGroupMsgExtension", `"GroupId":"g","OperateType":1,"Seq":3,"EventTime":` + at, nil, when},
		{"group extension without Seq", "Group.CallbackAfterGroupMsgExtension", `"GroupId":"g","MsgSeq":2,"OperateType":1,"EventTime":` + at, nil, when},
		{"push", "Push.OfflinePush", `"PushID":"p","To_Account":"a","PushStage":1,"EventType":2,"PushPlatform":3,"MsgTime":` + at, []string{"p", "a", "1", "2", "3", at}, when},
		{"push of another command", "State.StateChange", `"PushID":"p","To_Account":"a","EventTime":` + at, nil, when},
		{"push without PushID", "Push.OfflinePush", `"To_Account":"a","EventTime":` + at, nil, when},
	} {
		t.Run(tt.name, func(t *testing.T) {
			query := "SdkAppid=5&CallbackCommand=" + tt.command
			body := `{` + tt.fields + `}`
			got := parse(t, query, body).Items[0]
			if len(tt.key) > 0 {
				if want := item.Key(append([]string{tt.command}, tt.key...)...); got.NaturalKey != want || !got.StableTime.Equal(tt.stable) {
					t.Errorf("natural key of %s: %q at %v, want %q at %v", body, got.NaturalKey, got.StableTime, want, tt.stable)
				}
				return
			}
			other := parse(t, query, `{`+tt.fields+`,"Another":1}`).Items[0]
			if known := got.NaturalKey != ""; known == tt.stable.IsZero() || known && got.NaturalKey == other.NaturalKey || !got.StableTime.Equal(tt.stable) {
				t.Errorf("natural key of %s: %q at %v, with another field %q; want that of all its bytes at %v, or none",
					body, got.NaturalKey, got.StableTime, other.NaturalKey, tt.stable)
			}
		})
	}
}

func TestTimeOfAMessageIsThatOfTheEventIfItIsThere(t *testing.T) {
	for _, tt := range []struct {
		command, fields string
		want            int64 // Unix seconds; 0: none
	}{
		{"Group.CallbackAfterSendMsg", `"MsgTime":5,"EventTime":6`, 6},
		{"Group.CallbackAfterSendMsg", `"MsgTime":5`, 5},
		{"C2C.CallbackBeforeSendMsg", `"MsgTime":5`, 5},
		{"Bot.OnGroupMessage", `"MsgTime":5`, 5},
		{"Bot.OnC2CMessage", `"MsgTime":5`, 5},
		{"Group.CallbackAfterReadReceipt", `"MsgTime":5`, 0},
		{"Push.OfflinePush", `"MsgTime":5`, 0},
	} {
		got := parse(t, "SdkAppid=5&CallbackCommand="+tt.command, "{"+tt.fields+"}").Items[0].Time
		if tt.want == 0 && !got.IsZero() || tt.want != 0 && got.Unix() != tt.want {
			t.Errorf("time of %s with %s = %v, want second %d", tt.command, tt.fields, got, tt.want)
		}
	}
}

func TestSizeTellsTheUnitOfATime(t *testing.T) {
	for _, tt := range []struct {
		text string
		want time.Time
	}{
		{"1", time.Unix(1, 0)},
		{"99999999999", time.Unix(99999999999, 0)},
		{"100000000000", time.UnixMilli(100000000000)},
		{"0", time.Time{}},
	} {
		got := parse(t, "SdkAppid=5&CallbackCommand=State.StateChange", `{"EventTime":`+tt.text+`}`).Items[0].Time
		if !got.Equal(tt.want) {
			t.Errorf("time of %s = %v, want %v", tt.text, got, tt.want)
		}
	}
	for key, want := range map[string]int64{"1_2_5": 5, "__5": 5, "_5": 0, "5": 0, "1_2_3_5": 0, "1_2_": 0} {
		it := parse(t, "SdkAppid=5&CallbackCommand=C2C.CallbackAfterMsgWithDraw", `{"MsgKey":"`+key+`"}`).Items[0]
		if want == 0 && !it.StableTime.IsZero() || want != 0 && it.StableTime.Unix() != want {
			t.Errorf("time in MsgKey %q = %v, want second %d", key, it.StableTime, want)
		}
	}
}

func TestProofHoldsForExactlyAMinute(t *testing.T) {
	now := time.Unix(1760000000, 0)
	for _, tt := range []struct {
		by   time.Duration
		want error
	}{
		{-60 * time.Second, nil}, {60 * time.Second, nil}, {-61 * time.Second, provider.ErrSignature}, {61 * time.Second, provider.ErrSignature},
	} {
		cb := provider.Callback{Query: tencentchat.SignQuery("SdkAppid=5", "t", now.Add(tt.by)), Received: now}
		if err := (tencentchat.Provider{}).Verify(&cb, app(5, "t")); !errors.Is(err, tt.want) {
			t.Errorf("Verify of what was signed %v from now: %v, want %v", tt.by, err, tt.want)
		}
	}
}

func TestPacketAndQueryMayFillTheirLimitsExactly(t *testing.T) {
	const start, end = `{"Text":"`, `"}`
	for _, tt := range []struct {
		name        string
		query, body int // bytes
		want        error
	}{
		{"the largest packet", 10, provider.MaxPayloadBytes, nil},
		{"a packet one byte larger", 10, provider.MaxPayloadBytes + 1, provider.ErrTooLarge},
		{"the longest query", provider.MaxQueryBytes, 100, nil},
		{"a query one byte longer", provider.MaxQueryBytes + 1, 100, provider.ErrTooLarge},
	} {
		query := "ClientIP=" + strings.Repeat("1", tt.query-len("ClientIP="))
		body := start + strings.Repeat("x", tt.body-len(start)-len(end)) + end
		_, err := tencentchat.Provider{}.Parse(&provider.Callback{Query: query, Body: []byte(body)})
		if !errors.Is(err, tt.want) {
			t.Errorf("Parse of %s: %v, want %v", tt.name, err, tt.want)
		}
	}
}

func TestCharactersOfAQueryAreKeptOrEscaped(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{"a b", "a%20b"}, {"a~b", "a~b"}, {"a!b", "a!b"}, {"a\x7fb", "a%7Fb"}, {"a\x1fb", "a%1Fb"}, {"a%20b", "a%20b"}, {"a+b", "a+b"},
	} {
		if got := parse(t, "ClientIP="+tt.text, `{"a":1}`).Query; got != "ClientIP="+tt.want {
			t.Errorf("query with %q is kept as %q, want %q", tt.text, got, tt.want)
		}
	}
}

func TestReplyIsTheDocumentedPacket(t *testing.T) {
	for _, tt := range []struct {
		err  error
		code int
		body string
	}{
		{nil, 200, `{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0}`},
		{provider.ErrSignature, 401, `{"ActionStatus":"FAIL","ErrorInfo":"signature does not match","ErrorCode":1}`},
	} {
		got := tencentchat.Provider{}.Reply(tt.err)
		if got.StatusCode != tt.code || got.ContentType != "application/json" || string(got.Body) != tt.body {
			t.Errorf("Reply(%v) = %d %q %s, want %d %s", tt.err, got.StatusCode, got.ContentType, got.Body, tt.code, tt.body)
		}
	}
}
