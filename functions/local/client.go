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
	maxResponse  = 4 << 20 // bytes
	shortestWait = time.Second
	longestWait  = 30 * time.Second
	callTimeout  = 30 * time.Second
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
	return &client{server: u, key: key, http: &http.Client{Timeout: callTimeout}}, nil
}

// webURL parses a URL with the scheme http or https and a host.
func webURL(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, errors.New("want a URL such as http://127.0.0.1:8080")
	}
	return u, nil
}

// A problem is a response of the API other than 200.
type problem struct {
	status int
	detail string
	after  time.Duration // from Retry-After; 0: none
}

func (p *problem) Error() string {
	return fmt.Sprintf("the gateway responded %d: %s", p.status, p.detail)
}

// canRetry reports whether the same call may succeed later.
func canRetry(err error) bool {
	p, responded := errors.AsType[*problem](err)
	return !responded || p.status == http.StatusTooManyRequests || p.status >= http.StatusInternalServerError
}

// waitAfter returns how long to wait before a retry of the call that failed with err.
func waitAfter(err error) time.Duration {
	p, responded := errors.AsType[*problem](err)
	if !responded {
		return shortestWait
	}
	return min(max(p.after, shortestWait), longestWait)
}

// get decodes the JSON at path into v and returns the server's time.
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

// read returns the body at path and the server's time. The error is a *problem if the response is not 200.
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
		return nil, time.Time{}, fmt.Errorf("read the response: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, time.Time{}, problemOf(resp, b)
	}
	at, err := http.ParseTime(resp.Header.Get("Date"))
	if err != nil {
		at = time.Now()
	}
	return b, at, nil
}

func problemOf(resp *http.Response, body []byte) *problem {
	var details struct{ Detail, Title string } // RFC 9457
	json.Unmarshal(body, &details)             // a body in another format leaves both empty
	seconds, _ := strconv.Atoi(resp.Header.Get("Retry-After"))
	return &problem{
		status: resp.StatusCode, detail: cmp.Or(details.Detail, details.Title, http.StatusText(resp.StatusCode)),
		after: time.Duration(seconds) * time.Second,
	}
}

// withoutURL returns a client's error without the URL, which may hold a password.
func withoutURL(err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		return u.Err
	}
	return err
}

// pause waits for d, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// printable returns text with U+FFFD in place of control characters, which could move a terminal's cursor.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if strconv.IsPrint(r) {
			return r
		}
		return '\uFFFD'
	}, text)
}
