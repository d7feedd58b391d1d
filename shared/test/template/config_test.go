package template

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"ringback/shared/config"
)

// A variable is one of those of config.Config, with what its comment says.
type variable struct {
	name, preset     string // preset: the default that Load knows
	about, unit, def string
}

// others are variables that the template sets for the Go runtime.
var others = []string{"GOMEMLIMIT"}

// fixedOnAWS are variables that no parameter changes on AWS: their defaults hold
// there.
var fixedOnAWS = []string{"MAX_BACKLOG", "MAX_CONCURRENCY", "SMARTBOTS_URL"}

func TestEveryVariableSaysItsUnitAndItsDefault(t *testing.T) {
	for _, v := range variables(t) {
		preset := v.preset
		if preset == "" {
			preset = "none"
		}
		if v.about == "" || v.unit == "" || v.def != preset && !strings.HasPrefix(v.def, preset+", ") && !strings.HasPrefix(v.def, "AWS_ENDPOINT_URL") {
			t.Errorf("comment of %s: about %q, unit %q, default %q; want all three, and the default %s", v.name, v.about, v.unit, v.def, preset)
		}
	}
}

func TestTemplateSetsTheVariablesThatThereAre(t *testing.T) {
	s, err := parse(readFile(t, "template.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	known, set := map[string]variable{}, map[string]bool{}
	for _, v := range variables(t) {
		known[v.name] = v
	}
	for _, function := range s.functions() {
		env := s.environment(function)
		for name := range env {
			set[name] = true
			if _, ok := known[name]; !ok && !slices.Contains(others, name) {
				t.Errorf("%s is given %s, which nothing reads", function, name)
			}
		}
		for name, v := range known {
			if strings.HasSuffix(v.def, "must be set") && env[name] == nil {
				t.Errorf("%s lacks %s", function, name)
			}
		}
	}
	for name := range known {
		if !set[name] && !strings.HasPrefix(name, "AWS_") && !slices.Contains(fixedOnAWS, name) {
			t.Errorf("no function is given %s", name)
		}
	}
}

func TestDefaultsOfTheTemplateLoad(t *testing.T) {
	s, err := parse(readFile(t, "template.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, function := range s.functions() {
		for _, level := range list(get(s.parameters["LogLevel"], "AllowedValues")) {
			sub(s.parameters["LogLevel"])["Default"] = level
			env := s.environment(function)
			if _, err := config.Load(func(name string) string { return s.resolve(env[name]) }); err != nil {
				t.Errorf("environment of %s with LogLevel %v: %v", function, level, err)
			}
		}
	}
}

// resolve returns what v is in a stack with default parameters. A resource's
// name or attribute is an address with the resource's name.
func (s stack) resolve(v any) string {
	o, ok := v.(object)
	if !ok {
		if v == nil {
			return ""
		}
		return fmt.Sprint(v)
	}
	if name, ok := o["Ref"].(string); ok {
		if p := s.parameters[name]; p != nil {
			return fmt.Sprint(get(p, "Default"))
		}
		return "https://" + name + ".example.com"
	}
	if name, ok := o["Fn::GetAtt"].(string); ok {
		return "https://" + strings.ToLower(strings.Split(name, ".")[0]) + ".example.com"
	}
	if branches := list(o["Fn::If"]); len(branches) == 3 {
		if s.true(s.conditions[fmt.Sprint(branches[0])]) {
			return s.resolve(branches[1])
		}
		return s.resolve(branches[2])
	}
	return placeholder.ReplaceAllStringFunc(fmt.Sprint(list(o["Fn::Sub"])[0]), func(name string) string {
		return s.resolve(ref(strings.Trim(name, "${}")))
	})
}

func (s stack) true(condition any) bool {
	if l := list(get(condition, "Fn::Equals")); len(l) == 2 {
		return s.resolve(l[0]) == s.resolve(l[1])
	}
	if l := list(get(condition, "Fn::Not")); len(l) == 1 {
		return !s.true(l[0])
	}
	if name, ok := get(condition, "Condition").(string); ok {
		return s.true(s.conditions[name])
	}
	return !slices.ContainsFunc(list(get(condition, "Fn::And")), func(c any) bool { return !s.true(c) })
}

// The table of variables in the README has a row for each, in any order.
func TestReadmeListsEveryVariable(t *testing.T) {
	b, err := os.ReadFile("../../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]string{}
	for _, line := range strings.Split(string(b), "\n") {
		if name, ok := strings.CutPrefix(line, "| `"); ok {
			name, _, _ = strings.Cut(name, "`")
			rows[name] = line
		}
	}
	for _, v := range variables(t) {
		want := fmt.Sprintf("| `%s` | %s | %s |", v.name, v.unit, v.def)
		if !strings.HasPrefix(rows[v.name], want) {
			t.Errorf("README.md: row of %s is\n%s\nwant\n%s %s |", v.name, rows[v.name], want, v.about)
		}
	}
}

// variables reads the struct and its comments. A comment ends with a sentence
// on the unit and one on the default.
func variables(t *testing.T) []variable {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "../../config/config.go", nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]variable{}
	ast.Inspect(file, func(n ast.Node) bool {
		field, ok := n.(*ast.Field)
		if !ok || field.Tag == nil {
			return true
		}
		tag := reflect.StructTag(strings.Trim(field.Tag.Value, "`"))
		v := variable{name: tag.Get("env"), preset: tag.Get("envDefault")}
		comment := strings.Join(strings.Fields(field.Doc.Text()), " ")
		comment, v.def, _ = strings.Cut(strings.TrimSuffix(comment, "."), " Default: ")
		comment = strings.TrimSuffix(comment, ".")
		if i := strings.LastIndex(comment, ". "); i >= 0 {
			v.about, v.unit = comment[:i+1], comment[i+2:]
		}
		out[v.name] = v
		return true
	})
	names := slices.Sorted(maps.Keys(out))
	if len(names) < 20 {
		t.Fatalf("config.Config has the variables %v, want more", names)
	}
	all := make([]variable, len(names))
	for i, name := range names {
		all[i] = out[name]
	}
	return all
}
