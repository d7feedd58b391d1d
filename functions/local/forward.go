package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"
)

const (
	forwardLimit   = 15 * time.Second // as for a delivery
	formatLifetime = 10 * time.Second // of a registration's format in the cache
	apiTries       = 5
)

// A forwarder sends copies of deliveries to an endpoint near by. They have the delivery's headers except the signature,
// since the API returns no signing secrets.
type forwarder struct {
	client  *client
	to      string
	http    *http.Client
	formats map[string]cachedFormat // by registration
}

type cachedFormat struct {
	format string
	at     time.Time
}

func newForwarder(c *client, to string) *forwarder {
	return &forwarder{
		client: c, to: to, formats: map[string]cachedFormat{},
		http: &http.Client{
			Timeout:       forwardLimit,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

// forwarded is the result of forwarding a delivery.
type forwarded struct {
	StatusCode int    `json:"status_code,omitempty"`
	Took       string `json:"took,omitempty"`
	Error      string `json:"error,omitempty"`
}

func (f *forwarder) forward(ctx context.Context, d shownDelivery) forwarded {
	req, err := f.request(ctx, d)
	if err != nil {
		return forwarded{Error: err.Error()}
	}
	start := time.Now()
	resp, err := f.http.Do(req)
	if err != nil {
		return forwarded{Error: withoutURL(err).Error()}
	}
	took := time.Since(start).Round(time.Millisecond).String()
	defer resp.Body.Close()
	io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10)) // so that the connection can be used again
	return forwarded{StatusCode: resp.StatusCode, Took: took}
}

// request returns the POST of d.
func (f *forwarder) request(ctx context.Context, d shownDelivery) (*http.Request, error) {
	format, err := f.format(ctx, d.Registration)
	if err != nil {
		return nil, err
	}
	var e listenedEvent
	if err := f.get(ctx, "/v1/events/"+d.Event, &e); err != nil {
		return nil, err
	}
	if e.Hidden || e.Erased {
		return nil, errors.New("its payload cannot be had any more")
	}
	body, contentType := e.standard(), "application/json"
	if format == "raw" {
		contentType = e.ContentType
		if body, err = f.raw(ctx, d.Event); err != nil {
			return nil, err
		}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, f.to, bytes.NewReader(body))
	if err != nil {
		return nil, errors.New("-forward: the URL cannot be used")
	}
	req.Header.Set("User-Agent", "Ringback-listen/1")
	req.Header["webhook-id"] = []string{d.Event} // in lower case, as a delivery has them
	req.Header["webhook-timestamp"] = []string{strconv.FormatInt(time.Now().Unix(), 10)}
	req.Header["Idempotency-Key"] = []string{} // lets net/http repeat the POST if a reused connection is dead; not sent
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	return req, nil
}

func (f *forwarder) format(ctx context.Context, registration string) (string, error) {
	cached := f.formats[registration]
	if time.Since(cached.at) < formatLifetime {
		return cached.format, nil
	}
	var r struct{ Format string }
	if err := f.get(ctx, "/v1/registrations/"+registration, &r); err != nil {
		return "", err
	}
	f.formats[registration] = cachedFormat{r.Format, time.Now()}
	return r.Format, nil
}

func (f *forwarder) raw(ctx context.Context, event string) (body []byte, err error) {
	err = withRetries(ctx, func() error {
		body, _, err = f.client.read(ctx, "/v1/events/"+event+"/raw", nil)
		return err
	})
	return body, err
}

func (f *forwarder) get(ctx context.Context, path string, v any) error {
	return withRetries(ctx, func() error {
		_, err := f.client.get(ctx, path, nil, v)
		return err
	})
}

// withRetries calls f until it succeeds or fails in a way that a retry does not help, at most apiTries times.
func withRetries(ctx context.Context, f func() error) error {
	var err error
	for range apiTries {
		if err = f(); err == nil || !canRetry(err) || ctx.Err() != nil {
			return err
		}
		pause(ctx, waitAfter(err))
	}
	return fmt.Errorf("%w, %d times", err, apiTries)
}

// A listenedEvent is an event of the API.
type listenedEvent struct {
	standardBody
	Time        time.Time `json:"time"`
	Received    time.Time `json:"received"`
	ContentType string    `json:"content_type"`
	Hidden      bool      `json:"hidden"`
	Erased      bool      `json:"erased"`
}

// A standardBody is the body of a standard delivery. Numbers are verbatim those of the payload; white space may differ
// from the gateway's own deliveries.
type standardBody struct {
	ID         string          `json:"id"`
	Type       string          `json:"type"`
	Timestamp  time.Time       `json:"timestamp"` // not in the API's event, which has time and received
	Provider   string          `json:"provider"`
	Source     string          `json:"source"`
	Label      string          `json:"label"`
	Parameters json.RawMessage `json:"parameters"`
	Data       json.RawMessage `json:"data"`
}

func (e listenedEvent) standard() []byte {
	body := e.standardBody
	body.Timestamp = cmp.Or(e.Time, e.Received)
	if body.Parameters == nil {
		body.Parameters = json.RawMessage("{}")
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.Encode(body) // cannot fail: text, times and decoded JSON
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}
