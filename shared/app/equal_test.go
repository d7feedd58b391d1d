package app_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"ringback/shared/control"
)

// TestEqualPacketsWithoutIDAndTimeAreFactsOfTheirOwn blocks, unblocks and blocks
// again, by packets that carry neither id nor time: the tenant must end with what
// the provider ended with.
func TestEqualPacketsWithoutIDAndTimeAreFactsOfTheirOwn(t *testing.T) {
	scenario(t, func(t *testing.T, w *world) {
		s, path := w.source(control.SourceChange{Provider: "tencent-chat", SDKAppID: ptr(uint64(1400000002))})
		_, e := w.register(w.tenant(s, nil), s, "states.example", control.RegistrationChange{EventTypes: &[]string{"*"}})
		for n, command := range []string{"Sns.CallbackBlackListAdd", "Sns.CallbackBlackListDelete", "Sns.CallbackBlackListAdd"} {
			w.tencent(path, command, `"PairList":[{"From_Account":"a","To_Account":"b"}]`)
			w.within(time.Hour, "delivered", func() bool { return len(e.Succeeded()) > n })
		}
	})
}

// TestPiecesUnderOneMessageKeyAreDeliveredEach streams a bot's reply, of which each
// piece comes under the message's key, and has the provider repeat each.
func TestPiecesUnderOneMessageKeyAreDeliveredEach(t *testing.T) {
	scenario(t, func(t *testing.T, w *world) {
		s, path := w.source(control.SourceChange{Provider: "tencent-chat", SDKAppID: ptr(uint64(1400000002))})
		_, e := w.register(w.tenant(s, nil), s, "pieces.example", control.RegistrationChange{EventTypes: &[]string{"*"}})
		at := time.Now().Unix()
		for n, text := range []string{"He", "Hello", "Hello!"} {
			piece := fmt.Sprintf(`"From_Account":"bot","To_Account":"b","MsgKey":"1_2_%d","SendMsgResult":0,`+
				`"MsgBody":[{"MsgType":"TIMTextElem","MsgContent":{"Text":%q}}]`, at, text)
			for range 2 {
				w.tencent(path, "C2C.CallbackAfterSendMsg", piece)
			}
			w.within(time.Hour, "delivered", func() bool { return len(e.Succeeded()) > n })
		}
		if n := len(e.Succeeded()); n != 3 {
			t.Errorf("three pieces, each sent twice: %d events, want 3", n)
		}
	})
}

// tencent sends a packet of a source without a token.
func (w *world) tencent(path, command, members string) {
	w.t.Helper()
	w.post(path+"?SdkAppid=1400000002&CallbackCommand="+command, "application/json",
		fmt.Sprintf(`{"CallbackCommand":%q,%s}`, command, strings.TrimSpace(members)), http.StatusOK)
}
