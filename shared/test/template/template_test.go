package template

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"ringback/shared/test/proofs"
)

// A rule is something that must hold for template.yaml, with edits of its text
// each of which makes it false.
type rule struct {
	name   string
	holds  func(stack) error
	breaks []edit
}

// An edit replaces an old text by a new one.
type edit struct{ old, new string }

// without is the edit that takes a line out, given without the white space
// around it.
func without(line string) edit { return edit{old: "\n" + line + "\n"} }

// variants returns template with the edit made at each place where it can be,
// one at a time.
func (e edit) variants(template string) []string {
	var out []string
	if line := strings.Trim(e.old, "\n"); e == without(line) {
		lines := strings.SplitAfter(template, "\n")
		for i := range lines {
			if strings.TrimSpace(lines[i]) == line {
				out = append(out, strings.Join(slices.Delete(slices.Clone(lines), i, i+1), ""))
			}
		}
		return out
	}
	for i := 0; ; i += len(e.old) {
		next := strings.Index(template[i:], e.old)
		if next < 0 {
			return out
		}
		i += next
		out = append(out, template[:i]+e.new+template[i+len(e.old):])
	}
}

func TestTemplateKeepsEachRuleAndBreaksItWhenEdited(t *testing.T) {
	template := readFile(t, "template.yaml")
	s, err := parse(template)
	if err != nil {
		t.Fatalf("template.yaml: %v", err)
	}
	for _, r := range slices.Concat(generalRules, functionRules, permissionRules, dataRules, queueRules, httpRules, alarmRules) {
		t.Run(r.name, func(t *testing.T) {
			if err := r.holds(s.with(nil)); err != nil {
				t.Error(err)
			}
			for _, e := range r.breaks {
				checkBreaks(t, r, e, template)
			}
		})
	}
}

func checkBreaks(t *testing.T, r rule, e edit, template string) {
	t.Helper()
	if !proofs.Full() {
		return
	}
	variants := e.variants(template)
	if len(variants) == 0 {
		t.Errorf("template.yaml lacks %q, which an edit replaces", e.old)
	}
	for i, v := range variants {
		s, err := parse(v)
		if err != nil {
			t.Errorf("place %d of %q by %q: no template any more: %v", i+1, e.old, e.new, err)
		} else if r.holds(s.with(nil)) == nil {
			t.Errorf("place %d of %q by %q: the rule still holds", i+1, e.old, e.new)
		}
	}
}

func TestLinterFindsNothing(t *testing.T) {
	if testing.Short() {
		t.Skip("runs cfn-lint for seconds")
	}
	linter, err := exec.LookPath("cfn-lint")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("cfn-lint is not on the PATH: pip install cfn-lint")
		}
		t.Skip("cfn-lint is not on the PATH: pip install cfn-lint")
	}
	readFile(t, "template.yaml") // so that the result is not cached when it changes
	out, err := exec.CommandContext(t.Context(), linter, "../../../template.yaml").CombinedOutput()
	if err != nil {
		t.Errorf("cfn-lint template.yaml: %v\n%s", err, out)
	}
}
