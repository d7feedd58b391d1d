// Package mutant is what mutated source calls: it says which mutant is on. Only
// files that shared/bench/mutants writes import it.
package mutant

import (
	"os"
	"strconv"
	"sync/atomic"
)

// Most is the largest number of a mutant. The first is 1.
const Most = 10_000

// Chosen and Reached name the environment variables that hold the number of
// the mutant that is on, and the file for the numbers of those that are reached.
const (
	Chosen  = "MUTANT"
	Reached = "MUTANTS_REACHED"
)

var (
	on, _   = strconv.Atoi(os.Getenv(Chosen))
	reached = os.Getenv(Reached)
	seen    [Most + 1]atomic.Bool
)

// On reports whether mutant n is on. The first call for each n notes it in the
// file, a line each, at once: tests may end their process in any way.
func On(n int) bool {
	if reached != "" && !seen[n].Load() && !seen[n].Swap(true) {
		note(n)
	}
	return n == on
}

func note(n int) {
	f, err := os.OpenFile(reached, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		panic(err)
	}
	defer f.Close()
	if _, err := f.WriteString(strconv.Itoa(n) + "\n"); err != nil {
		panic(err)
	}
}

// Pick returns mutated if n is on.
func Pick[T any](n int, written, mutated T) T {
	if On(n) {
		return mutated
	}
	return written
}

type numeric interface {
	~int | ~int8 | ~int16 | ~int32 | ~int64 | ~uint | ~uint8 | ~uint16 | ~uint32 | ~uint64 | ~uintptr | ~float32 | ~float64
}

// Add returns a + b, or a - b if n is on.
func Add[T numeric](n int, a, b T) T {
	if On(n) {
		return a - b
	}
	return a + b
}

// Sub returns a - b, or a + b if n is on.
func Sub[T numeric](n int, a, b T) T {
	if On(n) {
		return a + b
	}
	return a - b
}

// Mul returns a * b, or a / b if n is on.
func Mul[T numeric](n int, a, b T) T {
	if On(n) {
		return a / b
	}
	return a * b
}

// Div returns a / b, or a * b if n is on.
func Div[T numeric](n int, a, b T) T {
	if On(n) {
		return a * b
	}
	return a / b
}
