package groups

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestUpstreamRepliesAreReadInAllForms(t *testing.T) {
	const uuid = "5b1f0c52-0a5e-4a0c-9a5a-1f6d2f0e7c11"
	for _, tt := range []struct {
		name, body, refused string
		want                upstreamReply
	}{
		{"JSON", `{"result":"OK","group_uuid":"5B1F0C52-0a5e-4a0c-9a5a-1f6d2f0e7c11","group_id":"harbor"}`, "", upstreamReply{"OK", "", uuid, "harbor"}},
		{"JSON FAIL", `{"result":"FAIL","resulttext":"ACCESS DENIED"}`, "ACCESS DENIED", upstreamReply{"FAIL", "ACCESS DENIED", "", ""}},
		{"text", "OK\r\n", "", upstreamReply{Result: "OK"}},
		{"another text", "ACCESS DENIED", "ACCESS DENIED", upstreamReply{Result: "ACCESS DENIED", ResultText: "ACCESS DENIED"}},
		{"form", "result=FAIL&resulttext=BOT%20NOT%20EXISTS", "BOT NOT EXISTS", upstreamReply{Result: "FAIL", ResultText: "BOT NOT EXISTS"}},
		{"form OK", "result=OK&group_uuid=" + uuid, "", upstreamReply{Result: "OK", GroupUUID: uuid}},
		{"nothing", "", wrongCode, upstreamReply{}},
		{"control characters", "NO\x00\x1b[31m", "NO  [31m", upstreamReply{Result: "NO\x00\x1b[31m", ResultText: "NO\x00\x1b[31m"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := readUpstream(tt.body)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("readUpstream(%q) (-want +got):\n%s", tt.body, diff)
			}
			var no *Refusal
			switch {
			case tt.refused == "" && err != nil:
				t.Errorf("readUpstream(%q): %v", tt.body, err)
			case tt.refused != "" && (!errors.As(err, &no) || no.Text != tt.refused):
				t.Errorf("readUpstream(%q): %v, want refused with %q", tt.body, err, tt.refused)
			}
		})
	}
}

func TestAppUUIDOfASourceStays(t *testing.T) {
	a := appUUIDOf("src-00000001")
	if a != appUUIDOf("src-00000001") || a == appUUIDOf("src-00000002") || !uuidForm.MatchString(a) || a[14] != '8' {
		t.Errorf("app UUID %q, want a UUID of version 8 that is the source's own", a)
	}
}
