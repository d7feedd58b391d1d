//go:build linux || darwin

package embedded

import (
	"errors"
	"os"
	"syscall"
)

// lockFolder locks the folder itself until f is closed, in addition to the lock file, which somebody may remove. A
// file system that cannot lock folders is no error.
func lockFolder(dir string) (f *os.File, err error) {
	if f, err = os.Open(dir); err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); errors.Is(err, syscall.EWOULDBLOCK) {
		f.Close()
		return nil, errInUse
	}
	return f, nil
}
