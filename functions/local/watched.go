package main

import (
	"bytes"
	"net"
	"strconv"
)

// A watched listener calls refused for each request to which net/http responds by itself, since it is no HTTP or its
// header is too large. No handler sees such a request, and it must be counted too.
type watched struct {
	net.Listener
	refused func(status int)
}

func (l watched) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return watchedConn{c, l.refused}, nil
}

type watchedConn struct {
	net.Conn
	refused func(status int)
}

// ownResponse is the end of the header of a response that net/http makes itself (errorHeaders there). A handler's
// response differs: it has a Date.
var ownResponse = []byte("\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n")

func (c watchedConn) Write(b []byte) (int, error) {
	line, _, _ := bytes.Cut(b, []byte("\r\n"))
	if head, isOne := bytes.CutPrefix(line, []byte("HTTP/1.1 ")); isOne && len(head) >= 3 && bytes.HasPrefix(b[len(line):], ownResponse) {
		if status, err := strconv.Atoi(string(head[:3])); err == nil {
			c.refused(status)
		}
	}
	return c.Conn.Write(b)
}
