package app_test

import (
	"encoding/base64"
	"encoding/json"
	"flag"
	"fmt"
	"hash/crc32"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"ringback/shared/gateway"
	"ringback/shared/provider"
	"ringback/shared/provider/providertest"
	"ringback/shared/provider/tencentchat"
	"ringback/shared/storage"
	"ringback/shared/test/proofs"
)

// The callback URL and credentials of the sources that are called. None of
// secrets may appear in a log line.
const (
	hostileSource   = "src-h0st11es"
	hostileKey      = "hostile0callback0key000000000000"
	hostileLabel    = "acme"
	hostileToken    = "xxxxyyyyhostile"
	hostilePassword = "pa:ss wörd"
	hostileAppID    = 1400123456
)

var secrets = []string{hostileKey, hostileToken, hostilePassword, base64.StdEncoding.EncodeToString([]byte("tenant-7:" + hostilePassword))}

func FuzzCallbackOfSmartBots(f *testing.F)   { fuzzCallbacks(f, "smartbots") }
func FuzzCallbackOfTencentChat(f *testing.F) { fuzzCallbacks(f, "tencent-chat") }
func FuzzCallbackOfDirect(f *testing.F)      { fuzzCallbacks(f, "direct") }

// fuzzCallbacks sends whatever the fuzzer makes of the provider's test data and
// of hostile texts through handler, queue and worker, and wants what
// intake.check does. Without the flag -fuzz it sends the seeds. With it the
// worker gets the events of one request in 16, so that most of the time goes
// into requests.
func fuzzCallbacks(f *testing.F, name string) {
	in := newIntake(f, name, faults{})
	fuzzing := flag.Lookup("test.fuzz").Value.String() != ""
	for _, r := range hostileSeeds(f, name, in.now) {
		f.Add(r.method, r.target, r.header, r.body, r.proven)
	}
	f.Fuzz(func(t *testing.T, method, target, header string, body []byte, proven bool) {
		r := hostileRequest{method, target, header, body, proven}
		in.idle = fuzzing && crc32.ChecksumIEEE(r.wire(name, time.Time{}))%16 != 0
		if err := in.check(r); err != nil {
			t.Error(err)
		}
	})
}

// A hostileRequest is what stands in one HTTP/1.1 request.
type hostileRequest struct {
	method, target string
	header         string // lines, each ending with \r\n
	body           []byte
	proven         bool // the proof of who calls is added to it
}

// wire returns r as it is sent, with the proof that its provider gives at now.
func (r hostileRequest) wire(name string, now time.Time) []byte {
	target, header := r.target, r.header
	if r.proven && name == "direct" {
		header += "Authorization: " + "Basic " + secrets[3] + "\r\n"
	}
	if path, query, _ := strings.Cut(target, "?"); r.proven && name == "tencent-chat" {
		target = path + "?" + tencentchat.SignQuery(query, hostileToken, now)
	}
	head := r.method + " " + target + " HTTP/1.1\r\nHost: ringback.example\r\n" + header
	return append(fmt.Appendf(nil, "%sContent-Length: %d\r\n\r\n", head, len(r.body)), r.body...)
}

// folders of the providers' test data, below shared/provider.
var folders = map[string]string{"smartbots": "smartbots", "tencent-chat": "tencentchat", "direct": "direct"}

// hostileSeeds are the provider's test data as they are and as if they
// happened now, and one of those with each of the hostile texts.
func hostileSeeds(tb testing.TB, name string, now time.Time) []hostileRequest {
	path := hostilePath(name)
	var seeds []hostileRequest
	for _, c := range providertest.ProviderCases(tb, "../provider/"+folders[name]+"/testdata") {
		target := path
		if q := withoutProof(c.Callback.Query); q != "" {
			target += "?" + q
		}
		r := hostileRequest{c.Callback.Method, target, contentType(c.Callback.Header.Get("Content-Type")), c.Callback.Body, true}
		seeds = append(seeds, r)
		if fresh := atTime(r.body, now); string(fresh) != string(r.body) {
			r.body = fresh
			seeds = append(seeds, r)
		}
	}
	good := seeds[len(seeds)-1]
	add := func(change func(r *hostileRequest)) {
		r := good
		change(&r)
		seeds = append(seeds, r)
	}
	for i, text := range hostileTexts {
		add(func(r *hostileRequest) { r.body = append(append([]byte{}, r.body[:len(r.body)/2]...), text...) })
		add(func(r *hostileRequest) {
			switch i % 6 { // the fuzzer tries the other places
			case 0:
				r.body = append([]byte(text), r.body...)
			case 1:
				r.header = contentType(text)
			case 2:
				r.header += "Ringback-Via: " + text + "\r\n"
			case 3:
				r.target += "&" + text
			case 4:
				r.target = text + r.target
			default:
				r.body = []byte(text)
			}
		})
	}
	for _, method := range []string{"GET", "PUT", "HEAD", "OPTIONS", "DELETE", "post", "PRI"} {
		add(func(r *hostileRequest) { r.method = method })
	}
	for _, line := range []string{"Content-Encoding: gzip", "Expect: 100-continue", "Transfer-Encoding: chunked", "Content-Length: 3",
		"X-Forwarded-For: 127.0.0.1", "Authorization: Basic eA==", "Cookie: a=b", "Content-Type: multipart/form-data; boundary=b"} {
		add(func(r *hostileRequest) { r.header += line + "\r\n" })
	}
	for _, target := range []string{"/", "//", "/../" + path, "/prod" + path, path + "/" + hostileKey, "/callbacks/" + name + "/" + hostileKey + "/" + hostileSource, "*"} {
		add(func(r *hostileRequest) { r.target = target })
	}
	add(func(r *hostileRequest) { r.proven = false })
	return seeds
}

func hostilePath(name string) string {
	return "/callbacks/" + name + "/" + hostileSource + "/" + hostileKey
}

func contentType(text string) string { return "Content-Type: " + text + "\r\n" }

// hostileTexts are texts on which readers have stumbled.
var hostileTexts = []string{
	"\x00", "\xff", "\xed\xa0\x80", "\uFEFF", "\uFFFF", "\u2028", "\x1b[31m", "\r\n", "\t", "%", "%00", "%zz", "%C0%80", "+", "%0D%0A", ";", "&&", "==",
	"{", "}", "[", "]", "{}", "[]", "[[]]", `{"Events":[]}`, `{"Events":[1,{}]}`, `[1,"a",{},null]`, "\"", "\\", `\u0000`, `\ud800`, `\udc00\ud800`, `\x41`, ",,",
	"null", "true", "NaN", "-0", "0x10", "1e999", "00", ".5", "9007199254740993", "18446744073709551616", "1760000000", "253402300800000", "-1", "../", "..%2f",
	"${jndi:x}", "🚀", "İ", strings.Repeat("A", 201), strings.Repeat("<", 1025), strings.Repeat("[", 600), "accept=1", "--b\r\n\r\n", "--b--",
	"application/json; charset=utf-16", "application/x-www-form-urlencoded", "multipart/form-data", "text/plain; of=Events", "a/b; c=" + strings.Repeat("<", 600),
}

var (
	isoTime    = regexp.MustCompile(`20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ`)
	unixMillis = regexp.MustCompile(`\b1[67]\d{11}\b`)
	unixTime   = regexp.MustCompile(`\b1[67]\d{8}\b`)
)

// atTime returns body with its times moved to now. What is older than a week has
// no time of its own, so its repeats are events.
func atTime(body []byte, now time.Time) []byte {
	body = isoTime.ReplaceAll(body, []byte(now.UTC().Format(time.RFC3339)))
	body = unixMillis.ReplaceAll(body, strconv.AppendInt(nil, now.UnixMilli(), 10))
	return unixTime.ReplaceAll(body, strconv.AppendInt(nil, now.Unix(), 10))
}

// withoutProof returns query without the parameters that Tencent signs with.
func withoutProof(query string) string {
	v, err := url.ParseQuery(query)
	if err != nil {
		return query
	}
	v.Del("RequestTime")
	v.Del("Sign")
	return v.Encode()
}

// TestLargestCallbackIsKeptWhateverItsHeaderHolds sends an item as large as it
// may be, where all that is stored beside it takes several times its length in
// JSON, and a body that is too large. The fuzz targets have small ones alone,
// since large ones take their time.
func TestLargestCallbackIsKeptWhateverItsHeaderHolds(t *testing.T) {
	proofs.Long(t)
	long := strings.Repeat("<", 1000)
	head := `{"message_uuid":"m","GroupId":"` + long + `","channel":"` + long + `","text":"`
	for name := range folders {
		query := "?SdkAppid=" + strconv.Itoa(hostileAppID) + "&CallbackCommand=Push.X&ClientIP=" + strings.Repeat("<", 4000)
		r := hostileRequest{"POST", hostilePath(name) + query, contentType("application/json; a=" + strings.Repeat("<", 20_000)), nil, true}
		in := newIntake(t, name, faults{})
		r.body = []byte(head + strings.Repeat("x", provider.MaxPayloadBytes-len(head)-2) + `"}`)
		if events, err := in.send(r); err != nil || len(events) != 1 {
			t.Errorf("%s: the largest callback is %d events, %v, want 1", name, len(events), err)
		}
		r.body = make([]byte, provider.MaxCallbackBytes+1)
		if events, err := in.send(r); err != nil || events != nil {
			t.Errorf("%s: a callback of a byte too many is %d events, %v, want a refusal", name, len(events), err)
		}
	}
}

// TestPlantedFaultOfACallbackIsFound plants one fault at a time and wants that
// the seeds show it, so that a fuzz target can fail.
func TestPlantedFaultOfACallbackIsFound(t *testing.T) {
	before := func(text string) func(http.Handler, *intake) http.Handler {
		return func(h http.Handler, in *intake) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				in.g.Log.Warn(text)
				h.ServeHTTP(w, r)
			})
		}
	}
	for _, tt := range []struct {
		name     string
		provider string
		faults   faults
		want     string
	}{
		{"an answer of 500", "tencent-chat", faults{handler: func(http.Handler, *intake) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusInternalServerError) })
		}}, "500"},
		{"a refusal that repeats what came", "smartbots", faults{handler: func(h http.Handler, _ *intake) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				h.ServeHTTP(w, r)
				fmt.Fprint(w, r.URL)
			})
		}}, "is none of the provider's"},
		{"a second line", "direct", faults{handler: before("again")}, "2 lines"},
		{"a line with a secret", "direct", faults{handler: before(hostileKey)}, "holds a secret"},
		{"a refusal that is not counted", "direct", faults{metric: func(name gateway.Metric) gateway.Metric {
			return strings.Replace(name, gateway.RefusedCallbacks, "Other", 1)
		}}, "0 refused"},
		{"a provider that loses a byte", "smartbots", onReading(func(r *provider.Reading) {
			r.Items[0].Payload = r.Items[0].Payload[:len(r.Items[0].Payload)-1]
		}), "not the 1 parts of the body"},
		{"a provider that loses an item", "direct", onReading(func(r *provider.Reading) { r.Items = r.Items[1:] }), "parts of the body"},
		{"a message that loses a byte", "direct", faults{message: func(m *storage.Message) {
			m.Body = strings.Replace(m.Body, "message_uuid", "message-uuid", 1)
		}}, "came out of the message as"},
		{"an event whose type changes", "tencent-chat", faults{message: func(m *storage.Message) {
			m.Body = strings.Replace(m.Body, `"y":"Bot.`, `"y":"Bit.`, 1)
		}}, "came out of the message as"},
		{"a message that is not sent", "tencent-chat", faults{loses: true}, "0 events"},
		{"an event that is not delivered", "tencent-chat", faults{types: []string{"another"}}, "was delivered 0 times"},
		{"a repeat that is not recognised", "direct", onReading(func(r *provider.Reading) {
			for i := range r.Items {
				r.Items[i].NaturalKey += storage.NewRev()
			}
		}), "another id"},
		{"a natural key where there is none", "smartbots", onReading(func(r *provider.Reading) {
			r.Items[0].NaturalKey, r.Items[0].StableTime = string(r.Items[0].Payload), time.Now().Truncate(24*time.Hour)
		}), "the same id"},
		{"a delivery that is no JSON", "direct", faults{provider: func(p provider.Provider) provider.Provider { return cutData{p} }}, "no JSON"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			in := newIntake(t, tt.provider, tt.faults)
			var found []string
			for _, r := range hostileSeeds(t, tt.provider, in.now) {
				if err := in.check(r); err != nil {
					if found = append(found, err.Error()); strings.Contains(err.Error(), tt.want) {
						return
					}
				}
			}
			t.Errorf("found %.2000q, want one with %q", found, tt.want)
		})
	}
}

// changed is a provider whose readings are changed.
type changed struct {
	provider.Provider
	change func(*provider.Reading)
}

func onReading(change func(*provider.Reading)) faults {
	return faults{provider: func(p provider.Provider) provider.Provider { return changed{p, change} }}
}

func (c changed) Parse(cb *provider.Callback) (provider.Reading, error) {
	r, err := c.Provider.Parse(cb)
	if err == nil && len(r.Items) > 0 && len(r.Items[0].Payload) > 0 {
		c.change(&r)
	}
	return r, err
}

// cutData is a provider whose data is cut short.
type cutData struct{ provider.Provider }

func (c cutData) Data(e *provider.Event) (json.RawMessage, error) {
	data, err := c.Provider.Data(e)
	return data[:len(data)/2], err
}
