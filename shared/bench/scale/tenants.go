package main

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// tail is how many times the median the slowest of a hundred answers takes.
const tail = 6.0

// sigma makes it so: answers are distributed log-normally, and 2.326 is the
// normal distribution's 99th percentile.
var sigma = math.Log(tail) / 2.326

// networkTime is from the worker to an endpoint with a connection that is kept.
const networkTime = 20 * time.Millisecond

// payload is a callback of 1 KiB about a group's message. Random names it.
func payload(seq int, group string) []byte {
	head := fmt.Sprintf(`{"CallbackCommand":"Group.CallbackAfterSendMsg","GroupId":%q,"Type":"Public","From_Account":"user-0001",`+
		`"Operator_Account":"user-0001","Random":%d,"MsgSeq":%d,"MsgTime":%d,"OnlineOnlyFlag":0,"MsgBody":[{"MsgType":"TIMTextElem","MsgContent":{"Text":"`,
		group, seq, seq, time.Now().Unix())
	const end = `"}}],"CloudCustomData":""}`
	return append(append([]byte(head), strings.Repeat("a", max(1024-len(head)-len(end), 0))...), end...)
}

// sequence returns the number that payload put into b; -1 if there is none.
func sequence(b []byte) int {
	_, rest, _ := bytes.Cut(b, []byte(`"Random":`))
	digits, _, _ := bytes.Cut(rest, []byte(","))
	n, err := strconv.Atoi(string(digits))
	if err != nil {
		return -1
	}
	return n
}

// tenants are all endpoints, in place of the network.
type tenants struct{ w *world }

func (t tenants) RoundTrip(r *http.Request) (*http.Response, error) {
	w := t.w
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	to := w.registrations[w.hosts[r.URL.Host]]
	name := "webhook-id" // as it is sent
	id := r.Header[name][0]
	w.mu.Lock()
	w.m.posted(w, to, id)
	w.mu.Unlock()
	time.Sleep(networkTime)
	if to.kind == hanging {
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	median := w.a.Answer
	if to.kind == noisy {
		median = w.a.NoisyAnswer
	}
	if to.kind != refusing {
		w.mu.Lock()
		w.m.arrived(w, sequence(body), to.kind)
		w.mu.Unlock()
	}
	time.Sleep(time.Duration(float64(median) * math.Exp(sigma*w.normal(id))))
	status := http.StatusOK
	if to.kind == refusing {
		status = http.StatusInternalServerError
	}
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: http.NoBody, Request: r}, nil
}
