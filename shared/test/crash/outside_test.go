package crash

import (
	"bytes"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"ringback/shared/gateway"
	"ringback/shared/storage"
)

// A point is where a process ends: before or after an effect, which is given
// by its number, from 0, among all of the run.
type point struct {
	Effect int
	After  bool
}

// outside is what outlives the processes of a run: the tenants' endpoints, the
// people who call, and the book of all effects. It can be saved, for
// processes that really exit.
type outside struct {
	mu    sync.Mutex
	Now   time.Time // when it was saved
	Begin time.Time // of the run
	Step  int       // of the scenario; those before were answered
	Posts []post
	Names []string // of all effects so far
	Ends  []point  // where processes end
	Hit   []string // the effects at which one did
	Rows  []storage.Key
	known map[storage.Key]bool
}

// A post is one POST that came to an endpoint.
type post struct {
	Host   string
	ID     string // webhook-id
	Item   string // what the body is about: a message, or an action
	Late   bool   // said to be older than one that came before it
	Status int
}

// next counts one more effect and says whether the process ends at it.
func (o *outside) next(name string) (before, after bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.Names = append(o.Names, name)
	i := slices.IndexFunc(o.Ends, func(p point) bool { return p.Effect == len(o.Names)-1 })
	if i < 0 {
		return false, false
	}
	o.Hit = append(o.Hit, name)
	return !o.Ends[i].After, o.Ends[i].After
}

// addRow notes that a row was written, or was about to be.
func (o *outside) addRow(k storage.Key) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.known == nil {
		o.known = map[storage.Key]bool{}
		for _, k := range o.Rows {
			o.known[k] = true
		}
	}
	if !o.known[k] {
		o.known[k] = true
		o.Rows = append(o.Rows, k)
	}
}

// RoundTrip is one POST to an endpoint.
func (o *outside) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	id, late := "webhook-id", gateway.LateHeader // as they are sent
	p := post{Host: r.URL.Host, ID: strings.Join(r.Header[id], ""), Item: itemOf(body), Late: r.Header[late] != nil, Status: http.StatusOK}
	if (p.Host == refusing || p.Host == ordered) && p.Item == items[0] && !slices.ContainsFunc(o.Posts, p.sameItem) {
		p.Status = http.StatusInternalServerError
	}
	o.Posts = append(o.Posts, p)
	return &http.Response{StatusCode: p.Status, Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(nil)), Request: r}, nil
}

func (p post) sameItem(q post) bool { return p.Host == q.Host && p.Item == q.Item }

// accepted returns the POSTs of an item that host has accepted.
func (o *outside) accepted(host, item string) []post {
	o.mu.Lock()
	defer o.mu.Unlock()
	var out []post
	for _, p := range o.Posts {
		if p.Host == host && p.Item == item && p.Status == http.StatusOK {
			out = append(out, p)
		}
	}
	return out
}

// itemsAt returns the items that host has seen, in their order.
func (o *outside) itemsAt(host string) []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	var out []string
	for _, p := range o.Posts {
		if p.Host == host {
			out = append(out, p.Item)
		}
	}
	return out
}

// place returns when p came, among all POSTs.
func (o *outside) place(p post) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Index(o.Posts, p)
}

func (o *outside) rows() []storage.Key {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.Rows)
}

func (o *outside) names() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.Names)
}
