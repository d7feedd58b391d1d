package control

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"unicode"

	"ringback/shared/gateway"
	"ringback/shared/storage"
)

func (b *base) LiveGroup(ctx context.Context, id string) (gateway.Group, error) {
	of, _, err := storage.Load[gateway.Group](ctx, b.gw.Store, gateway.GroupKey(id))
	if err == nil && of.Removed {
		err = storage.ErrNotFound
	}
	if err != nil {
		return gateway.Group{}, fmt.Errorf("group: %w", err)
	}
	return of, nil
}

// FoldName returns name in the one form in which group names are compared:
// trimmed, each character the smallest of those that Unicode's simple case
// folding takes for the same. Composed and decomposed letters stay different.
func FoldName(name string) string {
	return strings.Map(func(r rune) rune {
		least := r
		for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
			least = min(least, f)
		}
		return least
	}, strings.TrimSpace(name))
}

func (b *base) ClaimGroupName(ctx context.Context, name, id string) error {
	err := b.claimName(ctx, gateway.GroupNameKey(FoldName(name)), id, gateway.GroupKey)
	if errors.Is(err, storage.ErrConflict) {
		return fmt.Errorf("name: %w: another group has it", storage.ErrConflict)
	}
	return err
}

// CheckGroup returns an error wrapping storage.ErrInvalid unless of could be made.
func CheckGroup(of gateway.Group) error {
	if of.Name == "" || len(of.UUID) != 36 {
		return fmt.Errorf("group: %w: want one with a name and its UUID in Second Life", storage.ErrInvalid)
	}
	return cmp.Or(CheckName("name", of.Name, gateway.MaxName), CheckName("group_id", of.GroupID, gateway.MaxName))
}
