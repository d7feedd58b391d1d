package pipeline

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// A template is what of template.yaml an environment needs. Short forms of
// intrinsic functions are kept as calls.
type template struct {
	Parameters map[string]struct {
		Default string `yaml:"Default"`
	} `yaml:"Parameters"`
	Mappings   map[string]map[string]map[string]string `yaml:"Mappings"`
	Conditions map[string]yaml.Node                    `yaml:"Conditions"`
	Globals    struct {
		Function function `yaml:"Function"`
	} `yaml:"Globals"`
	Resources map[string]struct {
		Type       string    `yaml:"Type"`
		Properties yaml.Node `yaml:"Properties"`
	} `yaml:"Resources"`

	names map[string]string // what !Ref and !GetAtt of resources stand for; parameters that are not the default
}

type function struct {
	Timeout     int `yaml:"Timeout"`
	Environment struct {
		Variables map[string]yaml.Node `yaml:"Variables"`
	} `yaml:"Environment"`
}

func readTemplate(t *testing.T, names map[string]string) *template {
	t.Helper()
	b, err := os.ReadFile("../../../template.yaml")
	if err != nil {
		t.Fatal(err)
	}
	tp := &template{names: names}
	if err := yaml.Unmarshal(b, tp); err != nil {
		t.Fatal(err)
	}
	return tp
}

// functions returns the names of the functions, in order.
func (tp *template) functions() []string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(tp.Resources)) {
		if tp.Resources[name].Type == "AWS::Serverless::Function" {
			out = append(out, name)
		}
	}
	return out
}

// environment returns the variables of a function, as NAME=value, and the
// seconds that it may take.
func (tp *template) environment(t *testing.T, name string) (env []string, timeout int) {
	t.Helper()
	var own function
	properties := tp.Resources[name].Properties
	if err := properties.Decode(&own); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	all := maps.Clone(tp.Globals.Function.Environment.Variables)
	maps.Copy(all, own.Environment.Variables)
	for variable, v := range all {
		env = append(env, variable+"="+tp.text(t, &v))
	}
	if timeout = own.Timeout; timeout == 0 {
		timeout = tp.Globals.Function.Timeout
	}
	return env, timeout
}

// text returns what n is when the stack is deployed.
func (tp *template) text(t *testing.T, n *yaml.Node) string {
	t.Helper()
	switch n.Tag {
	case "!Ref", "!GetAtt":
		return tp.named(t, n.Value)
	case "!Sub":
		return os.Expand(n.Value, func(name string) string { return tp.named(t, name) })
	case "!FindInMap":
		return tp.Mappings[n.Content[0].Value][tp.text(t, n.Content[1])][n.Content[2].Value]
	case "!If":
		if tp.holds(t, n.Content[0].Value) {
			return tp.text(t, n.Content[1])
		}
		return tp.text(t, n.Content[2])
	}
	if strings.HasPrefix(n.Tag, "!") && !strings.HasPrefix(n.Tag, "!!") {
		t.Fatalf("template.yaml, line %d: %s in an environment", n.Line, n.Tag)
	}
	return n.Value
}

func (tp *template) named(t *testing.T, name string) string {
	t.Helper()
	if v, ok := tp.names[name]; ok {
		return v
	}
	p, ok := tp.Parameters[name]
	if !ok {
		t.Fatalf("template.yaml: an environment refers to %s, which the test does not know", name)
	}
	return p.Default
}

// holds evaluates a condition.
func (tp *template) holds(t *testing.T, name string) bool {
	t.Helper()
	n, ok := tp.Conditions[name]
	if !ok {
		t.Fatalf("template.yaml: no condition %s", name)
	}
	return tp.isTrue(t, &n)
}

func (tp *template) isTrue(t *testing.T, n *yaml.Node) bool {
	t.Helper()
	switch n.Tag {
	case "!Equals":
		return tp.text(t, n.Content[0]) == tp.text(t, n.Content[1])
	case "!Not":
		return !tp.isTrue(t, n.Content[0])
	case "!And":
		return !slices.ContainsFunc(n.Content, func(c *yaml.Node) bool { return !tp.isTrue(t, c) })
	case "!Condition":
		return tp.holds(t, n.Value)
	}
	t.Fatalf("template.yaml, line %d: %s in a condition", n.Line, n.Tag)
	return false
}

func TestEnvironmentIsThatOfTheTemplate(t *testing.T) {
	tp := readTemplate(t, map[string]string{
		"HttpApi.ApiEndpoint": "https://api.example", "AWS::StackName": "stack", "RegistrationsTable": "r", "DeliveriesTable": "d",
		"EventsQueue": "events", "RetryQueue": "retry", "EventsDead": "events-dead", "RetryDead": "retry-dead",
		"SlowQueue": "slow", "SlowDead": "slow-dead",
		"KeyRing": "arn:ring", "OperatorKey": "arn:operator", "HistoryHours": "220", "ExistingDeliveriesTable": "restored",
	})
	if got, want := fmt.Sprint(tp.functions()), "[Api Direct Retry SmartBots TencentChat Worker]"; got != want {
		t.Errorf("functions %s, want %s", got, want)
	}
	env, timeout := tp.environment(t, "Worker")
	for _, want := range []string{
		"PUBLIC_URL=https://api.example", "HISTORY=220h", "REGISTRATIONS_TABLE=r", "DELIVERIES_TABLE=restored",
		"EVENTS_QUEUE_URL=events", "SLOW_QUEUE_URL=slow", "FIRST_ATTEMPT=1s", "KEY_RING_SECRET=arn:ring",
	} {
		if !slices.Contains(env, want) {
			t.Errorf("environment of Worker %q, want %q in it", env, want)
		}
	}
	if timeout != 30 {
		t.Errorf("timeout of Worker %d s, want 30", timeout)
	}
}
