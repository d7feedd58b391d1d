package egress

import "strings"

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
