// Package transfer moves the configuration: export.go writes it as lines, import.go and importrows.go read them at
// another gateway with the same key ring, and reseal.go encrypts its secrets again. Each scans the rows by the
// functions below.
package transfer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"ringback/shared/control"
	"ringback/shared/gateway"
	"ringback/shared/storage"
)

// A Transfer moves the configuration of one gateway. It is safe for concurrent use.
type Transfer struct {
	gw      *gateway.Gateway
	control *control.Control
}

// New returns the Transfer of c's gateway.
func New(c *control.Control) *Transfer { return &Transfer{gw: c.Gateway(), control: c} }

// Steps returns the steps of jobs of package control and of re-encryption, for the Steps of g if its process runs jobs.
func Steps(g *gateway.Gateway) map[gateway.JobKind]gateway.Step {
	steps := control.Steps(g)
	steps[gateway.JobReseal] = New(control.New(g)).resealStep
	return steps
}

// A scanPart is one of the gateway's lists, with the rows below each object that it names.
type scanPart struct {
	list  string
	key   func(id string) storage.Key
	below string // prefix of the SKs in the object's partition; empty: no rows below it
}

// A scanCursor is a position in a scan of the configuration. Zero is the beginning.
type scanCursor struct {
	Part  int    `json:"part"`
	ID    string `json:"id,omitempty"`    // of the last object
	Below bool   `json:"below,omitempty"` // the rows below it come next
	After string `json:"after,omitempty"` // the last row below it
}

func parseScanCursor(text string) (scanCursor, error) {
	var s scanCursor
	if text == "" {
		return s, nil
	}
	if err := json.Unmarshal([]byte(text), &s); err != nil || s.Part < 0 || storage.CheckKeyParts(s.ID, s.After) != nil {
		return scanCursor{}, fmt.Errorf("cursor: %w: want one that a page ended with", storage.ErrInvalid)
	}
	return s, nil
}

// String returns s as parseStop reads it.
func (s scanCursor) String() string {
	b, _ := json.Marshal(s) // numbers and texts cannot fail
	return string(b)
}

// scan shows f the rows of at most one page from a stop on: a thing of a list, or what stands below it. It
// returns where to go on, and true after the last. If f returns an error, the stop is before the row that it
// was shown. What is made meanwhile may be passed over.
func (tr *Transfer) scan(ctx context.Context, parts []scanPart, at scanCursor, f func(storage.Row) error) (scanCursor, bool, error) {
	if at.Part >= len(parts) {
		return at, true, nil
	}
	next := tr.scanNext
	if at.Below {
		next = tr.scanBelow
	}
	at, err := next(ctx, parts[at.Part], at, f)
	return at, at.Part >= len(parts), err
}

// errNoneBelow, returned by the function that a tour calls, passes over what stands below that thing.
var errNoneBelow = errors.New("nothing below")

// scanNext shows the next thing of a list, or goes on to the next list.
func (tr *Transfer) scanNext(ctx context.Context, p scanPart, at scanCursor, f func(storage.Row) error) (scanCursor, error) {
	page, err := tr.gw.Store.List(ctx, storage.Query{Table: storage.Registrations, PK: gateway.ListKey(p.list, "").PK, After: at.ID, Limit: 1, Consistent: true})
	switch {
	case err != nil:
		return at, fmt.Errorf("list %s: %w", p.list, err)
	case len(page.Rows) == 0 && page.Next == "":
		return scanCursor{Part: at.Part + 1}, nil
	case len(page.Rows) == 0:
		return scanCursor{Part: at.Part, ID: page.Next}, nil
	}
	next := scanCursor{Part: at.Part, ID: page.Rows[0].SK}
	rows, err := tr.gw.Store.Get(ctx, p.key(next.ID))
	if err != nil {
		return at, fmt.Errorf("get %s of %s: %w", next.ID, p.list, err)
	}
	if len(rows) == 0 {
		return next, nil // a create that crashed, or a removal that goes on
	}
	switch err := f(rows[0]); {
	case errors.Is(err, errNoneBelow):
		return next, nil
	case err != nil:
		return at, err
	}
	next.Below = p.below != ""
	return next, nil
}

func (tr *Transfer) scanBelow(ctx context.Context, p scanPart, at scanCursor, f func(storage.Row) error) (scanCursor, error) {
	q := storage.Query{Table: storage.Registrations, PK: p.key(at.ID).PK, Consistent: true}.Prefix(p.below)
	q.After = at.After
	page, err := tr.gw.Store.List(ctx, q)
	if err != nil {
		return at, fmt.Errorf("list %s: %w", q.PK, err)
	}
	for _, r := range page.Rows {
		if err := f(r); err != nil {
			return at, err
		}
		at.After = r.SK
	}
	at.After, at.Below = page.Next, page.Next != ""
	return at, nil
}
