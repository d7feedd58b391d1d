package template

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// An object is a YAML mapping. The short forms of intrinsic functions are
// objects too: !Ref X is {"Ref": "X"}, !If [a, b, c] is {"Fn::If": [a, b, c]}.
type object = map[string]any

// A stack is what template.yaml describes.
type stack struct {
	parameters, mappings, conditions, resources, outputs, globals object

	first   string // resource
	written *stack // the one that with settled
}

func readFile(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile("../../../" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func parse(text string) (stack, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal([]byte(text), &doc); err != nil {
		return stack{}, err
	}
	v, err := value(&doc)
	if err != nil {
		return stack{}, err
	}
	var order struct {
		Resources yaml.Node `yaml:"Resources"`
	}
	if err := doc.Decode(&order); err != nil || len(order.Resources.Content) == 0 {
		return stack{}, fmt.Errorf("no resources: %v", err)
	}
	return stack{
		first:      order.Resources.Content[0].Value,
		parameters: sub(v, "Parameters"), mappings: sub(v, "Mappings"), conditions: sub(v, "Conditions"), resources: sub(v, "Resources"),
		outputs: sub(v, "Outputs"), globals: sub(v, "Globals", "Function"),
	}, nil
}

// value returns n with its intrinsic functions as objects.
func value(n *yaml.Node) (any, error) {
	v, err := plain(n)
	if err != nil || !strings.HasPrefix(n.Tag, "!") || strings.HasPrefix(n.Tag, "!!") {
		return v, err
	}
	switch name := n.Tag[1:]; name {
	case "Ref", "Condition":
		return object{name: v}, nil
	default:
		return object{"Fn::" + name: v}, nil
	}
}

func plain(n *yaml.Node) (any, error) {
	switch n.Kind {
	case yaml.DocumentNode:
		return value(n.Content[0])
	case yaml.MappingNode:
		out := object{}
		for i := 0; i < len(n.Content); i += 2 {
			key := n.Content[i].Value
			if _, twice := out[key]; twice {
				return nil, fmt.Errorf("line %d: %s stands there twice", n.Content[i].Line, key)
			}
			v, err := value(n.Content[i+1])
			if err != nil {
				return nil, err
			}
			out[key] = v
		}
		return out, nil
	case yaml.SequenceNode:
		out := make([]any, len(n.Content))
		for i, c := range n.Content {
			v, err := value(c)
			if err != nil {
				return nil, err
			}
			out[i] = v
		}
		return out, nil
	}
	if strings.HasPrefix(n.Tag, "!") && !strings.HasPrefix(n.Tag, "!!") {
		return n.Value, nil
	}
	var v any
	return v, n.Decode(&v)
}

// get returns what lies under path, nil if nothing does.
func get(v any, path ...string) any {
	for _, key := range path {
		o, _ := v.(object)
		v = o[key]
	}
	return v
}

func sub(v any, path ...string) object {
	o, _ := get(v, path...).(object)
	return o
}

func list(v any) []any {
	if l, ok := v.([]any); ok {
		return l
	}
	if v == nil {
		return nil
	}
	return []any{v}
}

func number(v any) int {
	n, _ := v.(int)
	return n
}

// text returns v as JSON, so that expressions can be compared.
func text(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// chosen are the conditions of what an operator may ask for besides: a size, a
// pause, a key, traces, a boundary.
var chosen = []string{"Reserved", "WorkersBySize", "SlowBySize", "IsPaused", "Traced", "HasKmsKey", "Bounded"}

// with returns the stack whose parameters are set so, the others being the
// default, without its mappings and the conditions that are chosen: what they
// come to stands in their place.
func (s stack) with(set map[string]any) stack {
	if s.written != nil {
		s = *s.written
	}
	s.written = new(s)
	parameters := maps.Clone(s.parameters)
	for name, v := range set {
		parameters[name] = merged(sub(parameters, name), object{"Default": v})
	}
	s.parameters = parameters
	s.globals, s.resources = sub(s.settle(s.globals)), sub(s.settle(s.resources))
	return s
}

// settle returns v as with says, nil for AWS::NoValue.
func (s stack) settle(v any) any {
	switch v := v.(type) {
	case []any:
		out := []any{}
		for _, e := range v {
			if e = s.settle(e); e != nil {
				out = append(out, e)
			}
		}
		return out
	case object:
		if l := list(v["Fn::FindInMap"]); len(l) == 3 {
			return get(s.mappings, fmt.Sprint(l[0]), s.resolve(l[1]), fmt.Sprint(l[2]))
		}
		if l := list(v["Fn::If"]); len(l) == 3 && slices.Contains(chosen, fmt.Sprint(l[0])) {
			branch := l[2]
			if s.true(s.conditions[fmt.Sprint(l[0])]) {
				branch = l[1]
			}
			if text(branch) == text(ref("AWS::NoValue")) {
				return nil
			}
			return s.settle(branch)
		}
		out := object{}
		for key, e := range v {
			if e = s.settle(e); e != nil {
				out[key] = e
			}
		}
		return out
	}
	return v
}

func ref(name string) object    { return object{"Ref": name} }
func getAtt(name string) object { return object{"Fn::GetAtt": name} }

func names(o object) []string { return slices.Sorted(maps.Keys(o)) }

// of returns the names of the resources of a type, in order.
func (s stack) of(kind string) []string {
	var out []string
	for _, name := range names(s.resources) {
		if get(s.resources[name], "Type") == kind {
			out = append(out, name)
		}
	}
	return out
}

func (s stack) functions() []string { return s.of("AWS::Serverless::Function") }

// properties returns those of a resource; a function's hold the globals too.
func (s stack) properties(name string) object {
	p := sub(s.resources, name, "Properties")
	if get(s.resources[name], "Type") != "AWS::Serverless::Function" {
		return p
	}
	return merged(s.globals, p)
}

// merged lays b over a as SAM does with globals: objects are merged, but no
// intrinsic functions.
func merged(a, b object) object {
	out := maps.Clone(a)
	for key, v := range b {
		under, below := out[key].(object)
		over, above := v.(object)
		if below && above && !intrinsic(under) && !intrinsic(over) {
			v = merged(under, over)
		}
		out[key] = v
	}
	return out
}

func intrinsic(o object) bool {
	if len(o) != 1 {
		return false
	}
	name := names(o)[0]
	return name == "Ref" || name == "Condition" || strings.HasPrefix(name, "Fn::")
}

func (s stack) environment(function string) object {
	return sub(s.properties(function), "Environment", "Variables")
}

// used returns the names that v refers to by Ref, GetAtt, Sub or a condition,
// those of conditions resolved.
func (s stack) used(v any) map[string]bool {
	out := map[string]bool{}
	s.walk(v, func(name string) { out[name] = true })
	return out
}

func (s stack) walk(v any, found func(string)) {
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			s.walk(e, found)
		}
	case object:
		for key, e := range v {
			switch name, isText := e.(string); {
			case key == "Ref" && isText:
				found(name)
			case key == "Fn::GetAtt" && isText:
				found(name[:strings.IndexByte(name+".", '.')])
			case key == "Fn::FindInMap":
				s.walk(list(e)[1:], found)
			case key == "Condition" && isText:
				s.walk(s.conditions[name], found)
			case key == "Fn::If":
				s.walk(s.conditions[fmt.Sprint(list(e)[0])], found)
				s.walk(list(e)[1:], found)
			case key == "Fn::Sub":
				l := list(e)
				for _, part := range strings.Split(fmt.Sprint(l[0]), "${")[1:] {
					name, _, _ := strings.Cut(part, "}")
					found(name[:strings.IndexByte(name+".", '.')])
				}
				s.walk(l[1:], found)
			default:
				s.walk(e, found)
			}
		}
	}
}

// faults collects what a rule finds.
type faults []error

func (f *faults) add(format string, args ...any) { *f = append(*f, fmt.Errorf(format, args...)) }

// same adds a fault unless got and want are the same as JSON.
func (f *faults) same(what string, got, want any) {
	if g, w := text(got), text(want); g != w {
		f.add("%s is %s, want %s", what, g, w)
	}
}

func (f faults) err() error { return errors.Join(f...) }
