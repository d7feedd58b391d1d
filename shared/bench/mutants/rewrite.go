package main

import (
	"bytes"
	"cmp"
	"slices"
	"strconv"
	"strings"
)

// An edit puts text in place of what stands from one offset to another.
type edit struct {
	from, to int
	text     string
}

// switches is the package that mutated files import.
const switches = module + "shared/bench/mutants/mutant"

// A mutation is a change that was drawn, and has a number of its own.
type mutation struct {
	*change
	number int
}

// rewrite returns the files in which mutations stand, with each of them behind
// its switch. Where one lies in another, so do their switches. No line moves
// unless a change holds several.
func rewrite(ms []mutation) map[string][]byte {
	ms = slices.Clone(ms)
	slices.SortFunc(ms, func(a, b mutation) int { // the outer first
		return cmp.Or(cmp.Compare(a.file, b.file), cmp.Compare(a.start, b.start), cmp.Compare(b.end, a.end), cmp.Compare(a.number, b.number))
	})
	edits := map[string][]edit{}
	text := map[string][]byte{}
	for _, m := range ms {
		if text[m.file] == nil {
			text[m.file] = m.source.text[m.file]
			at := m.source.clause[m.file]
			edits[m.file] = []edit{{at, at, "; import mutant \"" + switches + "\""}}
		}
		for i, e := range m.edits {
			e.text = strings.ReplaceAll(e.text, number, strconv.Itoa(m.number))
			if closing := i == 1; closing {
				edits[m.file] = slices.Insert(edits[m.file], 0, e) // of two that end here the inner one ends first
			} else {
				edits[m.file] = append(edits[m.file], e)
			}
		}
	}
	for name, es := range edits {
		text[name] = splice(text[name], es)
	}
	return text
}

func splice(b []byte, edits []edit) []byte {
	slices.SortStableFunc(edits, func(a, b edit) int { return cmp.Compare(a.from, b.from) })
	var out bytes.Buffer
	at := 0
	for _, e := range edits {
		out.Write(b[at:e.from])
		out.WriteString(e.text)
		at = e.to
	}
	out.Write(b[at:])
	return out.Bytes()
}
