package main

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
)

// draw chooses n of the possible mutants, or all if there are fewer, and numbers
// them. One that does not compile is replaced.
func draw(sources []*source, possible []*change, seed uint64, n int) ([]mutation, error) {
	order := rand.New(rand.NewPCG(seed, 0)).Perm(len(possible))
	var drawn []mutation
	for len(drawn) < n && len(order) > 0 {
		more := min(n-len(drawn), len(order))
		for _, i := range order[:more] {
			drawn = append(drawn, mutation{change: possible[i]})
		}
		order = order[more:]
		for i := range drawn {
			drawn[i].number = i + 1
		}
		for _, s := range sources {
			var err error
			if drawn, err = compiling(s, drawn); err != nil {
				return nil, err
			}
		}
	}
	slices.SortFunc(drawn, func(a, b mutation) int { return slices.Index(possible, a.change) - slices.Index(possible, b.change) })
	for i := range drawn {
		drawn[i].number = i + 1
	}
	return drawn, nil
}

// compiling returns ms without those of s that do not compile.
func compiling(s *source, ms []mutation) ([]mutation, error) {
	mutated := func(of []mutation) error {
		text := maps.Clone(s.text)
		maps.Copy(text, rewrite(of))
		_, err := s.check(text, nil)
		return err
	}
	other := func(m mutation) bool { return m.source != s }
	own := slices.DeleteFunc(slices.Clone(ms), other)
	if mutated(own) == nil {
		return ms, nil
	}
	ms = slices.DeleteFunc(ms, func(m mutation) bool { return !other(m) && mutated([]mutation{m}) != nil })
	if err := mutated(slices.DeleteFunc(slices.Clone(ms), other)); err != nil {
		return nil, fmt.Errorf("%s: each mutant compiles, not all together: %w", s.folder, err)
	}
	return ms, nil
}
