package tencentchat

import (
	"strings"

	"ringback/shared/provider/form"
)

// query holds the parameters of a callback's URL (1047/34354).
type query struct {
	sdkAppID, command, requestTime, sign parameter
	kept                                 string // the documented ones but RequestTime and Sign, as they came
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
			p.text = f.Value
			p.times++
		}
		if keep {
			kept = append(kept, part)
		}
	}
	q.kept = strings.Join(kept, "&")
	return q
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
