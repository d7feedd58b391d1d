// Package receivers holds tenants' endpoints to copy from: each verifies a
// delivery, answers the ownership challenge, and does nothing twice.
//
//	example_test.go  Go, with the library of Standard Webhooks
//	receive.py       Python 3.11 or later, standard library alone
//	receive.mjs      Node 20 or later, standard library alone
//	tencent.py       a handler written for Tencent Cloud Chat, behind a raw registration
//
// The library of Standard Webhooks is "standardwebhooks" at PyPI and npm, and
// verifies what these do by hand.
//
// The tests send each of them deliveries of a gateway, and of whoever is not.
package receivers
