package transfer

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"sync"

	"ringback/shared/gateway"
	"ringback/shared/provider"
	"ringback/shared/storage"
)

// Imported counts the lines of a part by their kind.
type Imported struct {
	Added map[string]int // written
	Kept  map[string]int // present under their id, and left unchanged
}

// Import takes one part of an export of a gateway with the same key ring: ids, callback paths and keys stay
// what they are. Nothing is written before the part is found to be as it was exported, of version
// ExportVersion, and each row as one that could be created here; with check nothing is written at all. What
// is there already is left as it is, so a part may be imported again, and must be after an error.
//
// The error wraps storage.ErrInvalid and names the line, or storage.ErrConflict if another source has the
// SDKAppID or another group the name.
func (tr *Transfer) Import(ctx context.Context, part []byte, check bool) (Imported, error) {
	m := &importPart{g: tr, sources: map[string]bool{}, providers: map[string]provider.Provider{}, done: Imported{map[string]int{}, map[string]int{}}}
	lines := slices.Collect(bytes.Lines(part))
	for n, text := range lines {
		err := m.read(ctx, n, text)
		if err == nil && n == 0 {
			err = tr.checkSigned(part, lines[len(lines)-1])
		}
		if err != nil {
			return m.done, fmt.Errorf("line %d: %w", n+1, err)
		}
	}
	switch {
	case len(part) == 0:
		return m.done, fmt.Errorf("line 1: %w: want the header of an export first", storage.ErrInvalid)
	case check:
		return m.done, nil
	}
	for n, write := range m.steps {
		if write == nil {
			continue
		}
		if err := write(ctx); err != nil {
			return m.done, fmt.Errorf("line %d: %w", n+1, err)
		}
	}
	if err := m.writeRegistrations(ctx); err != nil {
		return m.done, err
	}
	var errs []error
	for _, source := range slices.Sorted(maps.Keys(m.sources)) {
		errs = append(errs, tr.gw.Publish(ctx, source))
	}
	return m.done, errors.Join(errs...)
}

// checkSigned returns an error wrapping storage.ErrInvalid unless a key of the ring signed part, whose last
// line is given.
func (tr *Transfer) checkSigned(part, last []byte) error {
	var l exportLine
	var foot exportFoot
	if err := errors.Join(json.Unmarshal(last, &l), json.Unmarshal(l.Data, &foot)); err != nil || l.Kind != exportEnd ||
		!tr.gw.Keys.Signed(exportPK, signedPart(part[:len(part)-len(last)], foot.Next), foot.Signature) {
		return fmt.Errorf("signature: %w: want a whole part, as it was exported by this release or a later one under a key of this gateway's ring", storage.ErrInvalid)
	}
	return nil
}

// An importPart is a part that was read, to be written.
type importPart struct {
	g             *Transfer
	steps         []func(context.Context) error // write the lines; nil for a line that writes nothing itself
	registrations []gateway.Registration
	sources       map[string]bool              // sources that the part has something of
	providers     map[string]provider.Provider // of sources

	mu   sync.Mutex
	done Imported
}

// read reads line n, counted from 0, and plans to write it.
func (m *importPart) read(ctx context.Context, n int, text []byte) error {
	var l exportLine
	if err := json.Unmarshal(text, &l); err != nil || l.Data == nil {
		return fmt.Errorf("%w: want a line of an export", storage.ErrInvalid)
	}
	if n == 0 && l.Kind != exportHead {
		return fmt.Errorf("%w: want the header of an export first", storage.ErrInvalid)
	}
	write, err := m.plan(ctx, l)
	m.steps = append(m.steps, write)
	return err
}

// plan returns the function that writes a line; nil if the line writes nothing itself.
func (m *importPart) plan(ctx context.Context, l exportLine) (func(context.Context) error, error) {
	switch l.Kind {
	case exportHead:
		return nil, m.head(l)
	case exportEnd:
		return nil, nil
	case exportSource:
		return planned(l, m.source)
	case exportCallbackKey:
		return planned(l, m.callbackKey)
	case exportTenant:
		return planned(l, m.tenant)
	case exportAPIKey:
		return planned(l, m.apiKey)
	case exportGrant:
		return planned(l, func(gr gateway.Grant, l exportLine) (func(context.Context) error, error) { return m.grant(ctx, gr, l) })
	case exportGroup:
		return planned(l, m.group)
	case exportRegistration:
		return planned(l, func(r gateway.Registration, _ exportLine) (func(context.Context) error, error) {
			return nil, m.registration(ctx, r)
		})
	}
	return nil, fmt.Errorf("kind: %w: want one of version %d", storage.ErrInvalid, ExportVersion)
}

// head checks the part's version and key ring.
func (m *importPart) head(l exportLine) error {
	var h exportHeader
	if err := json.Unmarshal(l.Data, &h); err != nil || h.Version != ExportVersion {
		return fmt.Errorf("version: %w: want an export of version %d", storage.ErrInvalid, ExportVersion)
	}
	if _, err := m.g.gw.Keys.Open(exportPK, exportField, h.Seal); err != nil {
		return fmt.Errorf("seal: %w: want an export that was sealed with a key of this gateway's ring", storage.ErrInvalid)
	}
	return nil
}

// planned decodes a line's data and has plan check it.
func planned[T any](l exportLine, plan func(T, exportLine) (func(context.Context) error, error)) (func(context.Context) error, error) {
	var v T
	if err := storage.Decode(storage.Row{Data: l.Data}, &v); err != nil {
		return nil, fmt.Errorf("%s: %w: want the row that an export holds", l.Kind, storage.ErrInvalid)
	}
	return plan(v, l)
}

// Forms of the ids in an export: a source's, or a prefix and 26 characters; and of API keys' hashes.
var (
	importID   = regexp.MustCompile(`^(src-[0-9a-v]{8}|[a-z]{3}_[0-9a-v]{26})$`)
	importHash = regexp.MustCompile(`^[0-9a-v]{52}$`)
)

func checkIDs(ids ...string) error {
	for _, id := range ids {
		if !importID.MatchString(id) {
			return fmt.Errorf("id: %w: want ids that a gateway made", storage.ErrInvalid)
		}
	}
	return nil
}

// opens returns an error wrapping storage.ErrInvalid unless every encrypted field of row, under pk, can be decrypted.
func (m *importPart) opens(pk string, row any) error {
	err := eachSealed(row, m.g.gw.Clock(), func(field string, text *string) error {
		_, err := m.g.gw.Keys.Open(pk, field, *text)
		return err
	})
	if err != nil {
		return errNotOurs
	}
	return nil
}

// errNotOurs says that a field cannot be decrypted; it repeats nothing of the line.
var errNotOurs = fmt.Errorf("secrets: %w: want those that a key of this gateway's ring sealed for this row", storage.ErrInvalid)

// put writes v under the line's row unless one exists.
func (m *importPart) put(ctx context.Context, k storage.Key, v any, l exportLine) error {
	err := storage.PutRow(ctx, m.g.gw.Store, storage.Row{Key: k, Expires: l.Expires}, v, "")
	switch {
	case errors.Is(err, storage.ErrConflict):
		m.count(m.done.Kept, l.Kind)
		return nil
	case err == nil:
		m.count(m.done.Added, l.Kind)
	}
	return err
}

// putLinked is put after the link to id in a list.
func (m *importPart) putLinked(ctx context.Context, link, k storage.Key, id string, v any, l exportLine) error {
	if err := storage.Put(ctx, m.g.gw.Store, link, gateway.Link{ID: id}, storage.AnyRev); err != nil {
		return err
	}
	return m.put(ctx, k, v, l)
}

func (m *importPart) count(in map[string]int, kind string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	in[kind]++
}
