package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
)

// TestRefusalsBeforeTheHandlerAreOneLineAndOneCount sends what never reaches a
// callback's handler as it is: it is not redirected, and leaves a trace.
func TestRefusalsBeforeTheHandlerAreOneLineAndOneCount(t *testing.T) {
	p := startRunner(t, t.TempDir())
	source, _ := p.grantedSource()
	key := source.path[strings.LastIndex(source.path, "/")+1:]
	for i, tt := range []struct {
		request string // its first line and headers
		status  int
		source  string // in the log
	}{
		{"POST /" + source.path + " HTTP/1.1\r\n", 404, source.id},
		{"POST " + strings.Replace(source.path, "/smartbots", "//smartbots", 1) + " HTTP/1.1\r\n", 404, source.id},
		{"POST /x/.." + source.path + " HTTP/1.1\r\n", 404, source.id},
		{"POST " + source.path + "/ HTTP/1.1\r\n", 404, source.id},
		{"POST " + source.path + "/more HTTP/1.1\r\n", 404, source.id},
		{"POST /callbacks/smartbots/" + source.id + " HTTP/1.1\r\n", 404, source.id},
		{"POST /callbacks/smartbots/" + key + " HTTP/1.1\r\n", 404, ""},
		{"GET " + source.path + " HTTP/1.1\r\n", 405, source.id},
		{"POST /callbacks/nobody/" + source.id + "/" + key + " HTTP/1.1\r\n", 404, ""},
		{"POST " + source.path + " HTTP/1.1\r\nX: " + strings.Repeat("x", 40<<10) + "\r\n", 431, ""},
		{"POST " + source.path + " HTTP/1.1\r\nX : x\r\n", 400, ""},
		{"POST " + source.path + " HTTP/9\r\n", 400, ""},
	} {
		conn, err := net.Dial("tcp", strings.TrimPrefix(p.base, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		fmt.Fprintf(conn, "%sHost: x\r\nContent-Length: 0\r\n\r\n", tt.request)
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil || resp.StatusCode != tt.status || resp.Header.Get("Location") != "" {
			t.Errorf("%.80q: %+v, %v; want %d", tt.request, resp, err, tt.status)
		}
		refused := func() []map[string]any { return p.lines("callback") }
		eventually(t, "a line of the log", func() bool { return len(refused()) > i })
		if l := refused(); len(l) != i+1 || l[i]["source"] != tt.source || l[i]["outcome"] != "refused" || strings.Contains(fmt.Sprint(l[i]), key) {
			t.Errorf("%.80q: %d lines of the log, the last %v; want %d, one more, about source %q and without the key", tt.request, len(l), l[len(l)-1], i+1, tt.source)
		}
		want := fmt.Sprintf("ringback_callbacks_total{outcome=\"refused\"} %d\n", i+1)
		if _, metrics := p.get(p.operatorKey(), "/metrics"); !strings.Contains(metrics, want) {
			t.Errorf("%.80q: metrics lack %q", tt.request, want)
		}
	}
}

// lines returns those of the process's log with a message.
func (p *process) lines(message string) (out []map[string]any) {
	for l := range strings.Lines(p.log.String()) {
		var line map[string]any
		if json.Unmarshal([]byte(l), &line) == nil && line["msg"] == message {
			out = append(out, line)
		}
	}
	return out
}
