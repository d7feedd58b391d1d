package egress

import "strings"

// Classes returns every Class but OK.
func Classes() []Class {
	return []Class{
		DNS, Connect, TLS, Timeout, Reset, BlockedAddress, BadResponse, BadURL,
		Status1xx, Status3xx, Status4xx, Status5xx, StatusOther, Internal,
	}
}

// Explain returns a sentence for people that says what c means; empty for OK
// and for what is no Class.
func Explain(c Class) string {
	switch c {
	case DNS:
		return "The name of the endpoint's host could not be resolved."
	case Connect:
		return "No connection to the endpoint could be made."
	case TLS:
		return "The TLS handshake with the endpoint did not succeed."
	case Timeout:
		return "The endpoint did not answer in time."
	case Reset:
		return "The connection ended before the endpoint answered."
	case BlockedAddress:
		return "The endpoint's address must not be called."
	case BadResponse:
		return "The endpoint's answer is not HTTP, or its header is too large."
	case BadURL:
		return "The endpoint's URL cannot be used."
	case Status1xx:
		return "The endpoint answered with an informational status and nothing else."
	case Status3xx:
		return "The endpoint answered with a redirect, which is not followed."
	case Status4xx:
		return "The endpoint refused the request with a status from 400 to 499."
	case Status5xx:
		return "The endpoint failed with a status from 500 to 599."
	case StatusOther:
		return "The endpoint answered with a status that HTTP does not define."
	case Internal:
		return "The gateway itself could not call the endpoint."
	}
	return ""
}

// sentence returns Explain(c) with detail, if there is one.
func sentence(c Class, detail string) string {
	if detail == "" {
		return Explain(c)
	}
	return strings.TrimSuffix(Explain(c), ".") + ": " + detail + "."
}
