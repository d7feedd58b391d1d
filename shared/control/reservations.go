package control

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"ringback/shared/gateway"
	"ringback/shared/storage"
)

// unusedName is how long a reservation holds without its owner's row, as after a create that crashed.
const unusedName = time.Minute

// A Reservation says whose a name is.
type Reservation struct {
	ID string    `json:"id"`
	At time.Time `json:"at"`
}

// reserveName makes k say that a name is id's. The error wraps storage.ErrConflict if it
// is another's, whose row stands under what key makes of its id.
func (b *base) reserveName(ctx context.Context, k storage.Key, id string, key func(id string) storage.Key) error {
	_, err := storage.Change(ctx, b.gw.Store, k, func(c *Reservation, _ *storage.Row) error {
		if c.ID == id {
			return storage.ErrUnchanged
		}
		if c.ID != "" {
			if held, err := b.nameReserved(ctx, *c, key); err != nil || held {
				return cmp.Or(err, storage.ErrConflict)
			}
		}
		*c = Reservation{ID: id, At: b.gw.Clock()}
		return nil
	})
	return err
}

// nameReserved reports whether the owner of a name exists or may be about to be created.
func (b *base) nameReserved(ctx context.Context, c Reservation, key func(id string) storage.Key) (bool, error) {
	if b.gw.Clock().Sub(c.At) < unusedName {
		return true, nil
	}
	rows, err := b.gw.Store.Get(ctx, key(c.ID))
	return len(rows) > 0, err
}

// FreeName gives a name up if it is id's.
func (b *base) FreeName(ctx context.Context, k storage.Key, id string) error {
	c, row, err := storage.Load[Reservation](ctx, b.gw.Store, k)
	if errors.Is(err, storage.ErrNotFound) || err == nil && c.ID != id {
		return nil
	}
	if err != nil {
		return err
	}
	return storage.Delete(ctx, b.gw.Store, k, row.Rev)
}

// CheckName checks the text of a field that people read. The error wraps storage.ErrInvalid if it has more than most
// bytes or characters that nobody sees: control and format characters, and any space except U+0020.
func CheckName(field, text string, most int) error {
	if len(text) > most || !utf8.ValidString(text) || strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return fmt.Errorf("%s: %w: want at most %d bytes of UTF-8 without control and format characters, and no other space than the usual", field, storage.ErrInvalid, most)
	}
	return nil
}

func (b *base) LiveGroup(ctx context.Context, id string) (gateway.Group, error) {
	grp, _, err := storage.Load[gateway.Group](ctx, b.gw.Store, gateway.GroupKey(id))
	if err == nil && grp.Removed {
		err = storage.ErrNotFound
	}
	if err != nil {
		return gateway.Group{}, fmt.Errorf("group: %w", err)
	}
	return grp, nil
}

// FoldName returns name in the one form in which group names are compared: trimmed, each character the smallest of
// those that Unicode's simple case folding takes for the same. Composed and decomposed letters stay different.
func FoldName(name string) string {
	return strings.Map(func(r rune) rune {
		least := r
		for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
			least = min(least, f)
		}
		return least
	}, strings.TrimSpace(name))
}

func (b *base) ReserveGroupName(ctx context.Context, name, id string) error {
	err := b.reserveName(ctx, gateway.GroupNameKey(FoldName(name)), id, gateway.GroupKey)
	if errors.Is(err, storage.ErrConflict) {
		return fmt.Errorf("name: %w: another group has it", storage.ErrConflict)
	}
	return err
}

// CheckGroup returns an error wrapping storage.ErrInvalid unless of could be made.
func CheckGroup(grp gateway.Group) error {
	if grp.Name == "" || len(grp.UUID) != 36 {
		return fmt.Errorf("group: %w: want one with a name and its UUID in Second Life", storage.ErrInvalid)
	}
	return cmp.Or(CheckName("name", grp.Name, gateway.MaxName), CheckName("group_id", grp.GroupID, gateway.MaxName))
}
