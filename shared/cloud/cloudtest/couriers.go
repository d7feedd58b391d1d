package cloudtest

import (
	"bytes"
	"io"
	"net/http"
)

// Couriers are goroutines that make requests for synctest bubbles. They run outside of any bubble, since an idle
// connection inside of one would stop its time. They live as long as the process: a channel that is made in a bubble
// cannot be used outside of it.
type Couriers chan *courier

type courier struct {
	requests chan *http.Request
	results  chan result
}

type result struct {
	resp *http.Response // its body is read and in memory
	err  error
}

// NewCouriers starts n couriers, so that n requests can be in flight.
func NewCouriers(n int) Couriers {
	c := make(Couriers, n)
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: n}}
	for range n {
		one := &courier{make(chan *http.Request), make(chan result)}
		go one.run(client)
		c <- one
	}
	return c
}

func (c *courier) run(client *http.Client) {
	for r := range c.requests {
		resp, err := client.Do(r)
		if err == nil {
			var body []byte
			body, err = io.ReadAll(resp.Body)
			resp.Body.Close()
			resp.Body = io.NopCloser(bytes.NewReader(body))
		}
		c.results <- result{resp, err}
	}
}

// RoundTrip lets a courier make the request r, without r's context, which belongs to the bubble. Virtual time stands
// still meanwhile.
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
	one.requests <- out
	res := <-one.results
	return res.resp, res.err
}
