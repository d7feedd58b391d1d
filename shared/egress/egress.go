// Package egress is the one HTTP client that calls tenants. It refuses addresses that are not public when the
// connection is dialled, follows no redirect, bounds time and memory, and lets no URL, credential or secret into an
// error.
package egress

import (
	"net/http"
	"strings"
	"time"
)

// A Class says why a request failed. The set is closed.
type Class string

const (
	OK             Class = ""                // 2xx
	DNS            Class = "dns"             // the name has no address
	Connect        Class = "connect"         // no connection
	TLS            Class = "tls"             // handshake or certificate
	Timeout        Class = "timeout"         // no complete response header in time
	Reset          Class = "reset"           // the connection ended before the response
	BlockedAddress Class = "blocked_address" // the address is not public, or the port is refused
	BadResponse    Class = "bad_response"    // not HTTP, or a header over the limit
	BadURL         Class = "bad_url"         // the endpoint's URL is malformed or not allowed
	Status1xx      Class = "status_1xx"
	Status3xx      Class = "status_3xx" // redirects are not followed
	Status4xx      Class = "status_4xx"
	Status5xx      Class = "status_5xx"
	StatusOther    Class = "status_other" // outside 100 to 599
	Internal       Class = "internal"     // our own fault; the endpoint was not called
)

// Limits on a response.
const (
	ReadResponseBytes = 64 << 10 // of the body, read so that the connection can be reused
	KeepResponseBytes = 4 << 10  // of the body, stored for people to see
	MaxResponseHeader = 32 << 10
)

// A Request is one POST, or OPTIONS, to a tenant's endpoint.
type Request struct {
	URL     string        // may hold login:password@
	Query   string        // raw; appended to the URL's own
	Header  http.Header   // sent under exactly these names
	Body    []byte        // sent verbatim, with its Content-Length
	Timeout time.Duration // for the whole exchange, at most the Client's; zero: the Client's
}

// A Response is the result of a Request.
type Response struct {
	StatusCode int           // 0 if no response came
	Header     http.Header   // nil if no response came
	Body       []byte        // the first KeepResponseBytes, unzipped
	Took       time.Duration // until the response header, or the failure
	Class      Class
	Error      string // a sentence for people; holds no secret, and no URL except where a redirect leads
}

// explained says what each Class except OK means, in a sentence for people.
var explained = map[Class]string{
	DNS:            "The name of the endpoint's host could not be resolved.",
	Connect:        "No connection to the endpoint could be made.",
	TLS:            "The TLS handshake with the endpoint did not succeed.",
	Timeout:        "The endpoint did not respond in time.",
	Reset:          "The connection ended before the endpoint responded.",
	BlockedAddress: "The endpoint's address must not be called.",
	BadResponse:    "The endpoint's response could not be read as HTTP.",
	BadURL:         "The endpoint's URL cannot be used.",
	Status1xx:      "The endpoint responded with an informational status and nothing else.",
	Status3xx:      "The endpoint responded with a redirect, which is not followed.",
	Status4xx:      "The endpoint failed the request with a status from 400 to 499.",
	Status5xx:      "The endpoint failed with a status from 500 to 599.",
	StatusOther:    "The endpoint responded with a status that HTTP does not define.",
	Internal:       "The gateway itself could not call the endpoint.",
}

// Explain returns a sentence for people that says what c means; "" for OK and unknown classes.
func Explain(c Class) string { return explained[c] }

// sentence returns Explain(c) with detail, if there is any.
func sentence(c Class, detail string) string {
	if detail == "" {
		return Explain(c)
	}
	return strings.TrimSuffix(Explain(c), ".") + ": " + detail + "."
}
