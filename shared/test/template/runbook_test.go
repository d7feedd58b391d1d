package template

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var backquoted = regexp.MustCompile("`([A-Za-z]+)`")

// The runbook of the README has one row for each alarm and no other, that says what
// it means and what to do; some show on AWS alone.
func TestRunbookHasEachAlarm(t *testing.T) {
	s, err := parse(readFile(t, "template.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	_, after, found := strings.Cut(readFile(t, "README.md"), "\n### Runbook\n")
	if !found {
		t.Fatal("README.md has no section Runbook")
	}
	section, _, _ := strings.Cut(after, "\n#")
	alarms := s.of("AWS::CloudWatch::Alarm")
	rows := map[string]int{}
	for _, line := range strings.Split(section, "\n") {
		cells := strings.Split(line, "|")
		if !strings.HasPrefix(line, "| `") {
			continue
		}
		if len(cells) != 6 || strings.TrimSpace(cells[3]) == "" || strings.TrimSpace(cells[4]) == "" {
			t.Errorf("row %q: want an alarm, what to watch on one machine, what it means, what to do", line)
		}
		for _, name := range backquoted.FindAllStringSubmatch(cells[1], -1) {
			rows[name[1]]++
			if !slices.Contains(alarms, name[1]) {
				t.Errorf("the runbook has a row for %s, which is no alarm of template.yaml", name[1])
			}
		}
	}
	for _, name := range alarms {
		if rows[name] != 1 {
			t.Errorf("the runbook has %d rows for the alarm %s, want 1", rows[name], name)
		}
	}
}

// The page about deploying tells each Size as the template has it.
func TestPageTellsTheSizes(t *testing.T) {
	s, err := parse(readFile(t, "template.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	page := readFile(t, "shared/docs/deploying.md")
	thousands := func(v any) string {
		text := fmt.Sprint(v)
		if len(text) > 3 {
			text = text[:len(text)-3] + "," + text[len(text)-3:]
		}
		return text
	}
	for _, row := range []struct {
		begins string
		cell   func(size object) string
	}{
		{"| workers for the events, the retry and the slow queue |", func(o object) string { return fmt.Sprintf("%v, %v, %v", o["Workers"], o["Workers"], o["Slow"]) }},
		{"| messages in a batch of the events and the retry queue; memory of a worker |", func(o object) string { return fmt.Sprintf("%v; %s MB", o["Batch"], thousands(o["Memory"])) }},
		{"| callbacks/s and calls/s of each route of the API that API Gateway lets in |", func(o object) string { return thousands(o["Callbacks"]) + "; " + thousands(o["Calls"]) }},
		{"| of which are reserved for each provider's callbacks |", func(o object) string {
			if number(o["Reserved"]) == 0 {
				return "none"
			}
			return fmt.Sprint(o["Reserved"])
		}},
	} {
		want := row.begins
		for _, size := range []string{"small", "medium", "large"} {
			cell := row.cell(sub(s.mappings, "Sizes", size))
			want += " " + cell + " |"
		}
		if !strings.Contains(page, want+"\n") {
			t.Errorf("deploying.md lacks the row %s", want)
		}
	}
}
