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
	// maxBodyBytes is the most memory, in bytes, that the bodies of one provider's callbacks in flight may take.
	maxBodyBytes = 32 << 20
	// firstPart is the first buffer of a body, in bytes. It grows only when the caller has filled it.
	firstPart = 16 << 10
)

// A body is read into a buffer that doubles with what has arrived. So a caller that announces 4 MiB and sends nothing
// takes 16 KiB of the memory that all callers share, and cannot lock out the others.
type body struct {
	r      *http.Request
	memory *semaphore.Weighted
	taken  int64 // bytes of memory
}

// read returns the body. Its error wraps provider.ErrTooLarge for more than provider.MaxCallbackBytes,
// provider.ErrUnavailable if no memory is free, and provider.ErrUnreadable if the connection breaks.
func (b *body) read() ([]byte, error) {
	if b.r.ContentLength > provider.MaxCallbackBytes {
		return nil, fmt.Errorf("callback: %w: want at most %d bytes", provider.ErrTooLarge, provider.MaxCallbackBytes)
	}
	all := b.r.ContentLength
	if all < 0 { // chunked: one byte more than allowed, so that a body that is too large does not look complete
		all = provider.MaxCallbackBytes + 1
	}
	var out []byte
	for int64(len(out)) < all {
		if len(out) == cap(out) {
			size := min(all, max(firstPart, 2*int64(cap(out))))
			if !b.memory.TryAcquire(size) {
				return nil, fmt.Errorf("callbacks in flight: %w: want at most %d bytes", provider.ErrUnavailable, int64(maxBodyBytes))
			}
			b.taken += size
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

// release gives b's memory back.
func (b *body) release() { b.memory.Release(b.taken) }
