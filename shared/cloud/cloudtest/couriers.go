package cloudtest

import (
	"bytes"
	"io"
	"net/http"
)

// Couriers take requests out of bubbles and bring the answers back. Outside,
// connections can be kept; inside, one that waits to be used again would make
// time stand still. Couriers are made outside of any bubble and live as long as
// the process: a bubble may not give channels of its own away.
type Couriers chan *courier

type courier struct {
	ask    chan *http.Request
	answer chan brought
}

type brought struct {
	resp *http.Response // with its body read
	err  error
}

// NewCouriers returns n of them: as many requests as are under way at once.
func NewCouriers(n int) Couriers {
	c := make(Couriers, n)
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: n}}
	for range n {
		one := &courier{make(chan *http.Request), make(chan brought)}
		go one.run(client)
		c <- one
	}
	return c
}

func (c *courier) run(client *http.Client) {
	for r := range c.ask {
		resp, err := client.Do(r)
		if err == nil {
			var body []byte
			body, err = io.ReadAll(resp.Body)
			resp.Body.Close()
			resp.Body = io.NopCloser(bytes.NewReader(body))
		}
		c.answer <- brought{resp, err}
	}
}

// RoundTrip lets a courier take r, without its context, which is the bubble's.
// Time stands still until it is back.
func (c Couriers) RoundTrip(r *http.Request) (*http.Response, error) {
	var body []byte
	if r.Body != nil {
		var err error
		if body, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
	}
	out, err := http.NewRequest(r.Method, r.URL.String(), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	out.Header = r.Header.Clone()
	one := <-c
	defer func() { c <- one }()
	one.ask <- out
	b := <-one.answer
	return b.resp, b.err
}
