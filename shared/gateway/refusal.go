package gateway

import (
	"errors"

	"ringback/shared/provider"
	"ringback/shared/storage"
)

// A refusal is an error of the gateway with the error of package provider that decides the reply. Its text is the
// gateway's.
type refusal struct{ err, reply error }

func (r *refusal) Error() string   { return r.err.Error() }
func (r *refusal) Unwrap() []error { return []error{r.reply, r.err} }

// asRefusal returns err with the error of package provider that corresponds to it, as a Provider's Reply expects. Any
// other error stays as it is, and Reply treats it like ErrUnavailable.
func asRefusal(err error) error {
	for _, r := range [...]refusal{
		{storage.ErrNotFound, provider.ErrNotFound},
		{storage.ErrTooLarge, provider.ErrTooLarge},
		{storage.ErrUnavailable, provider.ErrUnavailable},
	} {
		if errors.Is(err, r.err) {
			return &refusal{err, r.reply}
		}
	}
	return err
}
