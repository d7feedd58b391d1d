package transfer

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"ringback/shared/control"
	"ringback/shared/gateway"
	"ringback/shared/storage"
)

// ExportVersion is the version of the lines that Export writes, and the only one that Import takes.
const ExportVersion = 1

// A part of an export ends before it exceeds this, by a row at most, so that a Lambda can send and receive it (6
// MB, "Lambda quotas").
const (
	exportBytes = 2 << 20
	exportLines = 1_000
)

// Kinds of lines. The others are rows of the kind that their name says.
const (
	exportHead         = "ringback" // the first line of every part
	exportEnd          = "end"      // the last line of every part
	exportSource       = "source"
	exportCallbackKey  = "callback_key"
	exportTenant       = "tenant"
	exportAPIKey       = "api_key"
	exportGrant        = "grant"
	exportGroup        = "group"
	exportRegistration = "registration"
)

// An exportLine is one line of an export.
type exportLine struct {
	Kind    string          `json:"kind"`
	Data    json.RawMessage `json:"data"`             // of the row, as it is stored
	Expires time.Time       `json:"expires,omitzero"` // of the row
}

// An exportHeader names the gateway that wrote a part, and lets the reader check its key ring.
type exportHeader struct {
	Version int    `json:"version"`
	Gateway string `json:"gateway"`
	Seal    string `json:"seal"` // the gateway's id, encrypted
}

// An exportFoot is the last line: the next part's cursor, and the key ring's signature of all lines before it and
// the cursor.
type exportFoot struct {
	Next      string `json:"next_cursor"`
	Signature string `json:"signature"`
}

// The name that a header's seal is encrypted for, and a part signed for.
const exportPK, exportField = "export", "gateway"

// signedPart returns the bytes that a part's signature covers.
func signedPart(lines []byte, next string) []byte { return append(slices.Clone(lines), next...) }

// exported are the lists of an export, in the order of its lines.
var exported = []scanPart{
	{"sources", gateway.SourceKey, "C#"}, {"tenants", gateway.TenantKey, "K#"}, {"groups", gateway.GroupKey, "K#"},
	{"keys", func(id string) storage.Key { return gateway.ListKey("keys", id) }, ""},
	{"tenants", gateway.TenantKey, "G#"}, {"tenants", gateway.TenantKey, "R#"},
}

// Export returns a part of all that is configured, as lines of JSON, and the cursor of the next part, empty
// after the last: sources, callback keys, tenants, API keys by their hashes, groups, grants and
// registrations. Secrets stay sealed, and each part is signed by the key ring. Events, deliveries and jobs
// are not in it, nor what is being removed. What is changed meanwhile may be in it or not.
func (tr *Transfer) Export(ctx context.Context, cursor string) ([]byte, string, error) {
	text, err := base64.RawURLEncoding.DecodeString(cursor)
	if err != nil {
		return nil, "", fmt.Errorf("cursor: %w: want one that a part ended with", storage.ErrInvalid)
	}
	at, err := parseScanCursor(string(text))
	if err != nil {
		return nil, "", err
	}
	x := &exportPart{g: tr}
	x.write(exportHead, exportHeader{ExportVersion, tr.gw.ID(), tr.gw.Keys.Seal(exportPK, exportField, tr.gw.ID())})
	done := false
	for !done && err == nil {
		if at.Part < len(exported) {
			x.list = exported[at.Part]
		}
		at, done, err = tr.scan(ctx, exported, at, func(r storage.Row) error { return x.add(ctx, r) })
	}
	switch {
	case errors.Is(err, errEnough):
		cursor = base64.RawURLEncoding.EncodeToString([]byte(at.String()))
	case err != nil:
		return nil, "", fmt.Errorf("export: %w", err)
	default:
		cursor = ""
	}
	x.write(exportEnd, exportFoot{cursor, tr.gw.Keys.Sign(exportPK, signedPart(x.out.Bytes(), cursor))})
	return x.out.Bytes(), cursor, x.err
}

// errEnough ends a scan.
var errEnough = errors.New("enough")

// An exportPart is a part while it is written.
type exportPart struct {
	g     *Transfer
	list  scanPart // being scanned
	out   bytes.Buffer
	lines int
	err   error // of encoding
}

func (x *exportPart) write(kind string, data any) {
	b, err := json.Marshal(data)
	x.err = errors.Join(x.err, err)
	x.line(exportLine{Kind: kind, Data: b})
}

func (x *exportPart) line(l exportLine) {
	x.lines++
	x.err = errors.Join(x.err, json.NewEncoder(&x.out).Encode(l))
}

// add writes the export's line for a scanned row, unless the part is full.
func (x *exportPart) add(ctx context.Context, r storage.Row) error {
	if x.out.Len() >= exportBytes || x.lines >= exportLines {
		return errEnough
	}
	kind, rest, _ := strings.Cut(r.SK, "#")
	_, id, _ := strings.Cut(r.PK, "#")
	switch {
	case r.Key == gateway.SourceKey(id):
		return x.row(exportSource, r)
	case r.Key == gateway.TenantKey(id):
		t, err := storage.Decoded[gateway.Tenant](r)
		return x.thing(exportTenant, r, t.Removing, err)
	case r.Key == gateway.GroupKey(id):
		grp, err := storage.Decoded[gateway.Group](r)
		return x.thing(exportGroup, r, grp.Removed, err)
	case kind == "C":
		return x.row(exportCallbackKey, r)
	case kind == "G":
		source, grant, _ := strings.Cut(rest, "#")
		return x.rowAt(ctx, exportGrant, gateway.GrantKey(source, id, grant))
	case kind == "R":
		return x.registration(ctx, rest)
	}
	return x.keys(ctx, r) // under K#, or in the operator's list
}

// row writes a row as it is, unless it has expired.
func (x *exportPart) row(kind string, r storage.Row) error {
	if !r.Expired(x.g.gw.Clock()) {
		x.line(exportLine{Kind: kind, Data: r.Data, Expires: r.Expires})
	}
	return nil
}

// rowAt writes the row under k if it exists.
func (x *exportPart) rowAt(ctx context.Context, kind string, k storage.Key) error {
	rows, err := x.g.gw.Store.Get(ctx, k)
	if err != nil || len(rows) == 0 {
		return err
	}
	return x.row(kind, rows[0])
}

// thing writes a tenant or a group that is not being removed, when the scan's first list names it.
func (x *exportPart) thing(kind string, r storage.Row, removed bool, err error) error {
	switch {
	case err != nil:
		return err
	case removed:
		return errNoneBelow
	case x.list.below != "K#":
		return nil
	}
	return x.row(kind, r)
}

// keys writes an API key with its earlier secrets.
func (x *exportPart) keys(ctx context.Context, r storage.Row) error {
	p, err := storage.Decoded[control.KeyLocation](r)
	for _, hash := range p.Hashes {
		err = errors.Join(err, x.rowAt(ctx, exportAPIKey, gateway.APIKeyRow(hash)))
	}
	return err
}

// registration writes a registration unless it is removed, or void because its group has another code by now.
func (x *exportPart) registration(ctx context.Context, id string) error {
	r, row, err := storage.Load[gateway.Registration](ctx, x.g.gw.Store, gateway.RegistrationKey(id))
	gone := r.State == gateway.Removed
	if err == nil && !gone && r.Group != "" {
		var grp gateway.Group
		grp, err = x.g.control.LiveGroup(ctx, r.Group)
		gone = grp.Rev != r.GroupRev
	}
	switch {
	case errors.Is(err, storage.ErrNotFound), err == nil && gone:
		return nil
	case err != nil:
		return err
	}
	return x.row(exportRegistration, row)
}
