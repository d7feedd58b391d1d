package groups

import (
	"errors"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"ringback/shared/gateway"
)

// FuzzUpstream reads answers of SmartBots that nobody documented. Only a clear
// OK is one, and what is passed on is one short line of text.
func FuzzUpstream(f *testing.F) {
	for _, text := range []string{`{"result":"OK","group_uuid":"5B1F"}`, "OK\r\n", "result=FAIL&resulttext=BOT%20NOT%20EXISTS", "ACCESS DENIED", "\x00\x1b[31m\u202e", `{"result":"ok"}`, "NOT OK"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, body string) {
		a, err := readUpstream(body)
		if err == nil {
			if a.Result != "OK" || !strings.Contains(body, "OK") && !strings.ContainsAny(body, `\%`) {
				t.Errorf("%q is taken for OK: %+v", body, a)
			}
			return
		}
		var no *Refusal
		if !errors.As(err, &no) || no.Text == "" || len(no.Text) > gateway.MaxName || !utf8.ValidString(no.Text) || strings.ContainsFunc(no.Text, unicode.IsControl) {
			t.Errorf("%q is refused with %v, want one line of at most %d bytes", body, err, gateway.MaxName)
		}
	})
}
