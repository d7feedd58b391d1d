// Package egress is the one HTTP client that calls tenants. It refuses addresses that are not public when the
// connection is dialled, follows no redirect, bounds time and memory, and lets no URL, credential or secret
// into an error.
package egress

import (
	"net/http"
	"strings"
	"time"
)

// A Class says why a POST was not accepted. The set is closed.
type Class string

const (
	OK             Class = ""                // 2xx
	DNS            Class = "dns"             // the name has no address
	Connect        Class = "connect"         // no connection
	TLS            Class = "tls"             // handshake or certificate
	Timeout        Class = "timeout"         // no whole answer in time
	Reset          Class = "reset"           // the connection ended before the answer
	BlockedAddress Class = "blocked_address" // the address is not public, or the port is refused
	BadResponse    Class = "bad_response"    // cannot be read as HTTP, or a header over the limit
	BadURL         Class = "bad_url"         // the endpoint's URL cannot be used
	Status1xx      Class = "status_1xx"
	Status3xx      Class = "status_3xx" // redirects are not followed
	Status4xx      Class = "status_4xx"
	Status5xx      Class = "status_5xx"
	StatusOther    Class = "status_other" // outside 100 to 599
	Internal       Class = "internal"     // our own fault; the tenant's endpoint was not reached
)

// Limits on an answer.
const (
	ReadResponseBytes = 64 << 10 // read so that the connection can be used again
	KeepResponseBytes = 4 << 10  // kept for people
	MaxResponseHeader = 32 << 10
)

// A Request is one POST, or OPTIONS, to a tenant's endpoint.
type Request struct {
	URL     string        // with login:password@ if the endpoint has it
	Query   string        // raw; put after the URL's own
	Header  http.Header   // sent under exactly these names
	Body    []byte        // sent verbatim, with its Content-Length
	Timeout time.Duration // for the whole exchange, at most the Client's; zero: the Client's
}

// A Response is what became of it.
type Response struct {
	StatusCode int           // 0 if no response came
	Header     http.Header   // nil if no response came
	Body       []byte        // its first KeepAnswerBytes, without gzip
	Took       time.Duration // until the response header, or the failure
	Class      Class
	Error      string // a sentence for people; holds no URL but where a redirect leads, and no secret
}

// explained says of each Class but OK, in a sentence for people, what it means.
var explained = map[Class]string{
	DNS:            "The name of the endpoint's host could not be resolved.",
	Connect:        "No connection to the endpoint could be made.",
	TLS:            "The TLS handshake with the endpoint did not succeed.",
	Timeout:        "The endpoint did not answer in time.",
	Reset:          "The connection ended before the endpoint answered.",
	BlockedAddress: "The endpoint's address must not be called.",
	BadResponse:    "The endpoint's answer could not be read as HTTP.",
	BadURL:         "The endpoint's URL cannot be used.",
	Status1xx:      "The endpoint answered with an informational status and nothing else.",
	Status3xx:      "The endpoint answered with a redirect, which is not followed.",
	Status4xx:      "The endpoint refused the request with a status from 400 to 499.",
	Status5xx:      "The endpoint failed with a status from 500 to 599.",
	StatusOther:    "The endpoint answered with a status that HTTP does not define.",
	Internal:       "The gateway itself could not call the endpoint.",
}

// Explain returns a sentence for people that says what c means; empty for OK and for what is no Class.
func Explain(c Class) string { return explained[c] }

// sentence returns Explain(c) with detail, if there is one.
func sentence(c Class, detail string) string {
	if detail == "" {
		return Explain(c)
	}
	return strings.TrimSuffix(Explain(c), ".") + ": " + detail + "."
}
