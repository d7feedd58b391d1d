package simulation

import (
	"slices"
	"time"
)

// A history is what somebody made of a thing, in order. While a change is under
// way, or if it was never answered, both the values before and after it may be
// the one that holds.
type history[T any] []*change[T]

// A change is one wish to give a thing a value.
type change[T any] struct {
	start time.Time
	end   time.Time // when it was answered; zero: not yet
	value T
}

func since[T any](start time.Time, v T) history[T] {
	return history[T]{{start: start, end: start, value: v}}
}

// begin adds a change that is under way.
func (h *history[T]) begin(v T) *change[T] {
	c := &change[T]{start: time.Now(), value: v}
	*h = append(*h, c)
	return c
}

// ended says that a change was made.
func (c *change[T]) ended() { c.end = time.Now() }

// between returns the values that may have held at some time from one instant
// to another.
func (h history[T]) between(from, to time.Time) []T {
	var out []T
	for i, c := range h {
		over := slices.ContainsFunc(h[i+1:], func(later *change[T]) bool { return !later.end.IsZero() && !later.end.After(from) })
		if !over && !c.start.After(to) {
			out = append(out, c.value)
		}
	}
	return out
}

// ever reports whether is may have held of the value at some time from one
// instant to another.
func (h history[T]) ever(from, to time.Time, is func(T) bool) bool {
	return slices.ContainsFunc(h.between(from, to), is)
}

// always reports whether is held of the value at all times from one instant to
// another.
func (h history[T]) always(from, to time.Time, is func(T) bool) bool {
	values := h.between(from, to)
	return len(values) > 0 && !h[0].start.After(from) && !slices.ContainsFunc(values, func(v T) bool { return !is(v) })
}

// latest returns the value that was asked for last.
func (h history[T]) latest() T { return h[len(h)-1].value }
