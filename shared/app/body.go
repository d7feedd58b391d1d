package app

import (
	"errors"
	"fmt"
	"io"
	"net/http"

	"golang.org/x/sync/semaphore"

	"ringback/shared/provider"
)

const (
	// bodiesInFlight bounds what the bodies of one provider's callbacks take at once, in bytes.
	bodiesInFlight = 32 << 20
	// firstPart is read first: a caller has to send before it is given more room.
	firstPart = 16 << 10
)

// A body takes room for what has come of it, so that who announces much and sends little holds little.
type body struct {
	r    *http.Request
	room *semaphore.Weighted
	held int64
}

// read returns the body. Its error wraps provider.ErrTooLarge for more than provider.MaxCallbackBytes,
// provider.ErrUnavailable if there is no room, and provider.ErrUnreadable if it breaks off.
func (b *body) read() ([]byte, error) {
	if b.r.ContentLength > provider.MaxCallbackBytes {
		return nil, fmt.Errorf("callback: %w: want at most %d bytes", provider.ErrTooLarge, provider.MaxCallbackBytes)
	}
	all := b.r.ContentLength
	if all < 0 { // chunked; a byte more than is allowed, so that too much is seen as such
		all = provider.MaxCallbackBytes + 1
	}
	var out []byte
	for int64(len(out)) < all {
		if len(out) == cap(out) {
			size := min(all, max(firstPart, 2*int64(cap(out))))
			if !b.room.TryAcquire(size) {
				return nil, fmt.Errorf("callbacks in flight: %w: want at most %d bytes", provider.ErrUnavailable, int64(bodiesInFlight))
			}
			b.held += size
			out = append(make([]byte, 0, size), out...)
		}
		n, err := b.r.Body.Read(out[len(out):cap(out)])
		out = out[:len(out)+n]
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("callback: %w: it broke off", provider.ErrUnreadable)
		}
	}
	return out, nil
}

func (b *body) done() { b.room.Release(b.held) }
