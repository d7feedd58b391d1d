// Package small has one place for each kind of mutant.
package small

import (
	"errors"
	"log/slog"
	"strings"
	"time"
)

var errEmpty = errors.New("empty")

// Longest is a constant: no mutant.
const Longest = 5

func size(n int) string {
	switch {
	case n < 10, n == 50:
		return "odd"
	}
	slog.Info("size", "n", n+1)
	return "even"
}

func area(w, h int) int { return w*h + 1 }

func wait(n int64) time.Duration { return time.Duration(n) + 3*time.Second }

func first(words []string) (string, error) {
	if err := check(words); err != nil {
		return "", err
	}
	return words[0], nil
}

func check(words []string) error {
	if len(words) > 0 &&
		words[0] != "" { // on two lines
		return nil
	}
	return errEmpty
}

func join(words []string) string {
	b := make([]byte, 0, 10*len(words))
	for _, w := range words {
		if w == "-" {
			continue
		}
		each(w, func(r rune) {
			if r == '?' {
				return
			}
			b = append(b, byte(r))
		})
	}
	return string(b)
}

func each(s string, f func(rune)) {
	var read int
	for _, r := range s {
		f(r)
		read++
	}
}

func unused(s string) string { return strings.Repeat(s, 2) }
