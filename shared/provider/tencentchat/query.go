package tencentchat

import (
	"fmt"
	"strings"

	"ringback/shared/provider/form"
)

// query holds the parameters of a callback's URL (1047/34354), decoded.
type query struct {
	sdkAppID, command, requestTime, sign string
	repeated                             bool   // one of these occurs twice, so that it is unclear which counts
	documented                           string // the documented parameters without RequestTime and Sign, verbatim, in ASCII
}

// readQuery accepts names in any case: Tencent writes SdkAppid here, and SdkAppId for sibling products.
func readQuery(raw string) query {
	var q query
	parameters := [...]struct {
		name  string
		text  *string // nil: it is not used
		kept  bool
		times int
	}{
		{"SdkAppid", &q.sdkAppID, true, 0}, {"CallbackCommand", &q.command, true, 0},
		{"RequestTime", &q.requestTime, false, 0}, {"Sign", &q.sign, false, 0},
		{"contenttype", nil, true, 0}, {"ClientIP", nil, true, 0}, {"OptPlatform", nil, true, 0},
	}
	kept := make([]string, 0, 8)
	for part, f := range form.Fields(raw) {
		for i := range parameters {
			p := &parameters[i]
			if !strings.EqualFold(f.Name, p.name) {
				continue
			}
			if p.kept {
				kept = append(kept, escaped(part))
			}
			if p.text != nil {
				*p.text = strings.ToValidUTF8(f.Value, "\uFFFD") // as in JSON
				p.times++
				q.repeated = q.repeated || p.times > 1
			}
		}
	}
	q.documented = strings.Join(kept, "&")
	return q
}

// escaped returns part with percent escapes for the bytes that no URL holds verbatim (RFC 3986, section 2), since rows
// and messages hold text.
func escaped(part string) string {
	mustEscape := func(r rune) bool { return r <= ' ' || r > '~' }
	if !strings.ContainsFunc(part, mustEscape) {
		return part
	}
	var b strings.Builder
	for i := range len(part) {
		if c := part[i]; mustEscape(rune(c)) {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}
