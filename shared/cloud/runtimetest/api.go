package runtimetest

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// A runtimeAPI serves one process the Runtime API, and the part of the Extensions API that a function needs to get
// SIGTERM.
type runtimeAPI struct {
	next       chan invocation
	ready      chan struct{} // closed at the first request for an event
	initFailed chan string
	closed     chan struct{} // closed when the process has ended
	once       sync.Once
	mu         sync.Mutex
	n          int
	running    map[string]invocation // by request id
}

type invocation struct {
	payload  []byte
	deadline time.Time
	response chan response
}

type response struct {
	payload json.RawMessage
	err     error
}

func newRuntimeAPI() *runtimeAPI {
	return &runtimeAPI{
		next:       make(chan invocation),
		ready:      make(chan struct{}),
		initFailed: make(chan string, 1),
		closed:     make(chan struct{}),
		running:    make(map[string]invocation),
	}
}

func (a *runtimeAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	rest, ok := strings.CutPrefix(r.URL.Path, "/2018-06-01/runtime/")
	id, verb, _ := strings.Cut(strings.TrimPrefix(rest, "invocation/"), "/")
	switch {
	case r.URL.Path == "/2020-01-01/extension/register":
		w.Header().Set("Lambda-Extension-Identifier", "extension")
		io.WriteString(w, "{}")
	case r.URL.Path == "/2020-01-01/extension/event/next":
		a.hold(r)
	case !ok:
		http.NotFound(w, r)
	case rest == "invocation/next":
		a.serveNext(w, r)
	case rest == "init/error":
		body, _ := io.ReadAll(r.Body)
		w.WriteHeader(http.StatusAccepted)
		a.initFailed <- string(body)
	case verb == "response" || verb == "error":
		a.takeResponse(w, r, id, verb == "error")
	default:
		http.NotFound(w, r)
	}
}

// hold sends no response until the function ends.
func (a *runtimeAPI) hold(r *http.Request) {
	select {
	case <-r.Context().Done():
	case <-a.closed:
	}
	panic(http.ErrAbortHandler)
}

func (a *runtimeAPI) serveNext(w http.ResponseWriter, r *http.Request) {
	a.once.Do(func() { close(a.ready) })
	select {
	case i := <-a.next:
		a.mu.Lock()
		a.n++
		id := fmt.Sprintf("request-%d", a.n)
		a.running[id] = i
		a.mu.Unlock()
		w.Header().Set("Lambda-Runtime-Aws-Request-Id", id)
		w.Header().Set("Lambda-Runtime-Deadline-Ms", strconv.FormatInt(i.deadline.UnixMilli(), 10))
		w.Header().Set("Lambda-Runtime-Invoked-Function-Arn", "arn:aws:lambda:us-east-1:123456789012:function:function")
		w.Header().Set("Content-Type", "application/json")
		w.Write(i.payload)
	case <-r.Context().Done():
	case <-a.closed:
	}
}

func (a *runtimeAPI) takeResponse(w http.ResponseWriter, r *http.Request, id string, failed bool) {
	body, err := io.ReadAll(r.Body)
	a.mu.Lock()
	i, ok := a.running[id]
	delete(a.running, id)
	a.mu.Unlock()
	if !ok || err != nil {
		http.Error(w, "unknown invocation "+id, http.StatusBadRequest)
		return
	}
	w.WriteHeader(http.StatusAccepted)
	if failed {
		i.response <- response{err: fmt.Errorf("function failed: %s", body)}
	} else {
		i.response <- response{payload: body}
	}
}
