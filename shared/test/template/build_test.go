package template

import (
	"encoding/json"
	"io/fs"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"
	"github.com/google/go-cmp/cmp"

	"ringback/shared/test/tracked"
)

func TestMakefileBuildsEachFunctionTheSameEverywhere(t *testing.T) {
	makefile := readFile(t, "functions/Makefile")
	for _, want := range []string{
		"CGO_ENABLED=0", "GOOS=linux", "GOARCH=$(GOARCH_OF_ARCH)", "-trimpath", "-buildvcs=false", "-tags lambda.norpc",
		"-ldflags '-s -w'", "-o '$(ARTIFACTS_DIR)/bootstrap'", "ARCH ?= arm64\n",
		"\nbuild-%:\n\t$(build) './functions/$(shell echo '$*' | tr A-Z a-z)'\n",
	} {
		if !strings.Contains(makefile, want) {
			t.Errorf("functions/Makefile lacks %q", want)
		}
	}
	s, err := parse(readFile(t, "template.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range s.functions() {
		folder := strings.ToLower(name)
		source := readFile(t, "functions/"+folder+"/main.go")
		if n := strings.Count(source, "\n"); n >= 30 {
			t.Errorf("functions/%s/main.go has %d lines, want under 30", folder, n)
		}
	}
}

func TestEnvironmentsOfSamconfigSetParametersThatThereAre(t *testing.T) {
	s, err := parse(readFile(t, "template.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var settings map[string]any
	if _, err := toml.Decode(readFile(t, "samconfig.toml"), &settings); err != nil {
		t.Fatal(err)
	}
	if version := settings["version"]; version != 0.1 {
		t.Errorf("version = %v, want 0.1", version)
	}
	for _, environment := range []string{"default", "local", "dev", "prod"} {
		of := sub(settings, environment)
		if diff := cmp.Diff(object{"lint": true}, sub(of, "validate", "parameters")); diff != "" {
			t.Errorf("%s: validate (-want +got):\n%s", environment, diff)
		}
		if build := sub(of, "build", "parameters"); build["cached"] != false || build["parallel"] != false {
			t.Errorf("%s: build %v, want neither cached nor parallel", environment, build)
		}
		deploy := sub(of, "deploy", "parameters")
		if environment != "local" && (deploy["capabilities"] != "CAPABILITY_IAM" || deploy["resolve_s3"] != true || deploy["stack_name"] == nil) {
			t.Errorf("%s: deploy %v, want capabilities, resolve_s3 and stack_name", environment, deploy)
		}
		for command, p := range of {
			overrides, _ := get(p, "parameters", "parameter_overrides").(string)
			for _, assignment := range strings.Fields(overrides) {
				checkParameter(t, s, environment+"."+command, assignment)
			}
		}
	}
}

// TestLocalFunctionsAreBuiltApartAndReachEmulatorsAlone wants sam local to be a
// matter of one command: what it runs is not what sam deploy would take, and
// without env.json it does not start.
func TestLocalFunctionsAreBuiltApartAndReachEmulatorsAlone(t *testing.T) {
	var settings map[string]any
	if _, err := toml.Decode(readFile(t, "samconfig.toml"), &settings); err != nil {
		t.Fatal(err)
	}
	const folder = ".aws-sam/local"
	if got := get(settings, "local", "build", "parameters", "build_dir"); got != folder {
		t.Errorf("build_dir = %v, want %s", got, folder)
	}
	for _, command := range []string{"local_invoke", "local_start_api"} {
		want := object{
			"template_file": folder + "/template.yaml", "env_vars": "env.json", "add_host": "host.docker.internal:host-gateway",
			"parameter_overrides": "Arch=x86_64", "skip_pull_image": true,
		}
		if diff := cmp.Diff(want, sub(settings, "local", command, "parameters")); diff != "" {
			t.Errorf("local.%s (-want +got):\n%s", command, diff)
		}
	}
	if ignored := strings.Split(readFile(t, ".gitignore"), "\n"); !slices.Contains(ignored, "/env.json") || !slices.Contains(ignored, "/.aws-sam/") {
		t.Errorf(".gitignore %q, want /env.json and /.aws-sam/", ignored)
	}
}

func checkParameter(t *testing.T, s stack, where, assignment string) {
	t.Helper()
	name, value, _ := strings.Cut(assignment, "=")
	p := s.parameters[name]
	if p == nil {
		t.Errorf("%s sets %s, which is no parameter", where, name)
	}
	options := list(get(p, "AllowedValues"))
	for _, option := range options {
		if text(option) == text(value) || text(option) == value {
			return
		}
	}
	if len(options) > 0 {
		t.Errorf("%s sets %s to %s, want one of %v", where, name, value, options)
	}
}

func TestEveryCommittedCallComesOnARoute(t *testing.T) {
	s, err := parse(readFile(t, "template.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	files, err := fs.Glob(tracked.Files("../../.."), "events/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("events/*.json: %d files, %v", len(files), err)
	}
	for _, file := range files {
		var e struct {
			RouteKey       string
			RequestContext struct{ RouteKey string }
		}
		if err := json.Unmarshal([]byte(readFile(t, file)), &e); err != nil {
			t.Errorf("%s: %v", path.Base(file), err)
		}
		if _, ok := routes(s)[e.RouteKey]; !ok && e.RouteKey != "" || e.RouteKey != e.RequestContext.RouteKey {
			t.Errorf("%s comes on %q and %q, want the same route of template.yaml", path.Base(file), e.RouteKey, e.RequestContext.RouteKey)
		}
	}
}
