package gateway

import (
	"errors"
	"fmt"
	"testing"

	"ringback/shared/provider"
	"ringback/shared/storage"
)

func TestRefusalIsToldAsTheContractKnowsIt(t *testing.T) {
	for _, tt := range []struct {
		name      string
		err, want error // nil: as it is
	}{
		{"a source that is not there", fmt.Errorf("source: %w", storage.ErrNotFound), provider.ErrNotFound},
		{"a body that is too large", fmt.Errorf("callback: %w", storage.ErrTooLarge), provider.ErrTooLarge},
		{"a queue that is away", fmt.Errorf("send: %w", storage.ErrUnavailable), provider.ErrUnavailable},
		{"a signature", provider.ErrSignature, nil},
		{"anything else", errOutage, nil},
	} {
		got := asRefusal(tt.err)
		if got.Error() != tt.err.Error() || !errors.Is(got, tt.err) || tt.want != nil && !errors.Is(got, tt.want) || tt.want == nil && got != tt.err {
			t.Errorf("%s: %v, want an error of the same text that is also %v", tt.name, got, tt.want)
		}
	}
	if err := asRefusal(nil); err != nil {
		t.Errorf("asRefusal(nil) = %v", err)
	}
}
