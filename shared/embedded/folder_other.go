//go:build !linux && !darwin

package embedded

import "io"

// lockFolder does nothing here: the lock file is the only lock.
func lockFolder(string) (io.Closer, error) { return io.NopCloser(nil), nil }
