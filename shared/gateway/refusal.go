package gateway

import (
	"errors"

	"ringback/shared/provider"
	"ringback/shared/storage"
)

// A refusal is an error of ours with the one of a provider's contract that its
// caller is told of. It reads as ours does.
type refusal struct{ err, reply error }

func (r *refusal) Error() string   { return r.err.Error() }
func (r *refusal) Unwrap() []error { return []error{r.reply, r.err} }

// asRefusal returns err as a Provider's Reply knows it: what the source's rows and the queue say has a name
// in the contract, and what has none stays as it is, which is answered like ErrUnavailable.
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
