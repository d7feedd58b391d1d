package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	maxResponse   = 4 << 20 // bytes of an answer
	refusedWait   = time.Second
	longestWait   = 30 * time.Second
	answersWithin = 30 * time.Second
)

// A client reads a gateway's HTTP API with one key.
type client struct {
	server *url.URL
	key    string
	http   *http.Client
}

func newClient(server, key string) (*client, error) {
	u, err := webURL(server)
	if err != nil {
		return nil, err
	}
	return &client{server: u, key: key, http: &http.Client{Timeout: answersWithin}}, nil
}

// webURL reads a URL that begins with http or https and names a host.
func webURL(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, errors.New("want a URL such as http://127.0.0.1:8080")
	}
	return u, nil
}

// A refusal is an answer of the API other than success.
type refusal struct {
	status int
	detail string
	after  time.Duration // from Retry-After; 0: none
}

func (r *refusal) Error() string {
	return fmt.Sprintf("the gateway answered %d: %s", r.status, r.detail)
}

// passes reports whether the same call may succeed later.
func passes(err error) bool {
	r, refused := errors.AsType[*refusal](err)
	return !refused || r.status == http.StatusTooManyRequests || r.status >= http.StatusInternalServerError
}

// waitAfter returns how long to wait before the same call is made again.
func waitAfter(err error) time.Duration {
	r, refused := errors.AsType[*refusal](err)
	if !refused {
		return refusedWait
	}
	return min(max(r.after, refusedWait), longestWait)
}

// get reads the JSON at path into v and returns the server's time.
func (c *client) get(ctx context.Context, path string, query url.Values, v any) (time.Time, error) {
	b, at, err := c.read(ctx, path, query)
	if err == nil {
		err = json.Unmarshal(b, v)
	}
	if err != nil {
		return at, fmt.Errorf("GET %s: %w", path, err)
	}
	return at, nil
}

// read returns what is at path and the server's time. The error is a *refusal if the gateway refused.
func (c *client) read(ctx context.Context, path string, query url.Values) ([]byte, time.Time, error) {
	u := c.server.JoinPath(path)
	u.RawQuery = query.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, time.Time{}, errors.New("the gateway's URL cannot be used")
	}
	req.Header.Set("Authorization", "Bearer "+c.key)
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, time.Time{}, withoutURL(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxResponse))
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("read the answer: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, time.Time{}, refused(resp, b)
	}
	at, err := http.ParseTime(resp.Header.Get("Date"))
	if err != nil {
		at = time.Now()
	}
	return b, at, nil
}

func refused(resp *http.Response, body []byte) *refusal {
	var problem struct{ Detail, Title string }
	json.Unmarshal(body, &problem) // an answer that is no problem says nothing
	seconds, _ := strconv.Atoi(resp.Header.Get("Retry-After"))
	return &refusal{
		status: resp.StatusCode, detail: cmp.Or(problem.Detail, problem.Title, http.StatusText(resp.StatusCode)),
		after: time.Duration(seconds) * time.Second,
	}
}

// withoutURL returns what a client's error says besides the URL, which may hold a password.
func withoutURL(err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		return u.Err
	}
	return err
}

// pause waits for d, less if ctx ends before.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// printable returns text without what could move a terminal's cursor.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if strconv.IsPrint(r) {
			return r
		}
		return '\uFFFD'
	}, text)
}
