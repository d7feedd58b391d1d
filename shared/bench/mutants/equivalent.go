package main

import (
	_ "embed"
	"strings"
)

// equivalent holds a line that names a mutant, as the table does, and below it an
// indented one that says why it changes nothing that matters.
//
//go:embed equivalent.txt
var equivalent string

var sentences = readSentences(equivalent)

// readSentences returns each mutant's.
func readSentences(text string) map[string]string {
	all := map[string]string{}
	name := ""
	for line := range strings.Lines(text) {
		if line = strings.TrimRight(line, "\n"); strings.HasPrefix(line, "\t") {
			all[name] = strings.TrimSpace(all[name] + " " + strings.TrimSpace(line))
		} else {
			name = line
		}
	}
	return all
}
