package tencentchat

import (
	"fmt"
	"strings"

	"ringback/shared/provider/form"
)

// query holds the parameters of a callback's URL (1047/34354).
type query struct {
	sdkAppID, command, requestTime, sign parameter
	kept                                 string // the documented ones but RequestTime and Sign, as they came, in ASCII
}

// parameter is one whose meaning is unclear if it comes twice.
type parameter struct {
	text  string // decoded, the last one
	times int
}

func (q *query) repeated() bool {
	return max(q.sdkAppID.times, q.command.times, q.requestTime.times, q.sign.times) > 1
}

// readQuery takes names in any case: Tencent writes SdkAppid here and SdkAppId
// for sibling products on the same machinery.
func readQuery(raw string) query {
	var q query
	kept := make([]string, 0, 8)
	for part, f := range form.Fields(raw) {
		p, keep := q.of(f.Name)
		if p != nil {
			p.text = strings.ToValidUTF8(f.Value, "\uFFFD") // as in JSON
			p.times++
		}
		if keep {
			kept = append(kept, escaped(part))
		}
	}
	q.kept = strings.Join(kept, "&")
	return q
}

// escaped returns part with the bytes percent-encoded that no URL holds as they
// are (RFC 3986, section 2), since rows and messages hold text.
func escaped(part string) string {
	strange := func(r rune) bool { return r <= ' ' || r > '~' }
	if !strings.ContainsFunc(part, strange) {
		return part
	}
	var b strings.Builder
	for i := range len(part) {
		if c := part[i]; strange(rune(c)) {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// of returns where the named parameter is put, nil if its value is not looked
// at, and whether it is kept with the event.
func (q *query) of(name string) (p *parameter, keep bool) {
	switch {
	case strings.EqualFold(name, "SdkAppid"):
		return &q.sdkAppID, true
	case strings.EqualFold(name, "CallbackCommand"):
		return &q.command, true
	case strings.EqualFold(name, "RequestTime"):
		return &q.requestTime, false
	case strings.EqualFold(name, "Sign"):
		return &q.sign, false
	case strings.EqualFold(name, "contenttype"), strings.EqualFold(name, "ClientIP"), strings.EqualFold(name, "OptPlatform"):
		return nil, true
	}
	return nil, false
}
