package main

import (
	"bytes"
	"net"
	"strconv"
)

// A watched listener tells of requests that net/http answers itself, since they
// are not HTTP or their header is too large.
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

// ownAnswer is how the header of an answer ends that no handler wrote (errorHeaders of net/http): those have a Date.
var ownAnswer = []byte("\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n")

func (c watchedConn) Write(b []byte) (int, error) {
	line, _, _ := bytes.Cut(b, []byte("\r\n"))
	if head, isOne := bytes.CutPrefix(line, []byte("HTTP/1.1 ")); isOne && len(head) >= 3 && bytes.HasPrefix(b[len(line):], ownAnswer) {
		if status, err := strconv.Atoi(string(head[:3])); err == nil {
			c.refused(status)
		}
	}
	return c.Conn.Write(b)
}
