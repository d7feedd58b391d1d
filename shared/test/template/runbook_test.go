package template

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

var backquoted = regexp.MustCompile("`([A-Za-z]+)`")

// The runbook of the README has a row for each alarm and no other, that says
// what it means and what to do.
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
		if len(cells) != 6 || len(cells[3]) < 20 || len(cells[4]) < 10 {
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
