// Package examples holds tenants' endpoints to copy from: each verifies a
// delivery, answers the ownership challenge, and does nothing twice.
//
//	example_test.go  Go, with the library of Standard Webhooks
//	receive.py       Python 3.11 or later, with the library if it is there
//	receive.mjs      Node 20 or later, with the library
//	tencent.py       a handler written for Tencent Cloud Chat, behind a raw registration
//
// The library is "standardwebhooks" at PyPI and npm.
//
// The tests send each of them deliveries of a gateway, and of whoever is not.
// They take Node's library from npm. Python's they use only where it is
// installed, and say so; elsewhere they try what stands in its place.
package examples
