package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"
)

func TestCommandLinesThatCannotBeUnderstoodExitTwo(t *testing.T) {
	for _, tt := range []struct {
		name string
		args []string
		want string // on stderr
	}{
		{"an unknown flag", []string{"-colour"}, "flag provided but not defined: -colour\nTry 'local -help'."},
		{"an unknown command", []string{"serve"}, `command "serve" is not known`},
		{"an argument too many", []string{"-relaxed", "now"}, `argument "now": want flags only`},
		{"an unknown flag of a command", []string{"receive", "-colour"}, "Try 'local receive -help'."},
		{"a command without what it needs", []string{"send"}, "want a file of events/"},
		{"a command with too much", []string{"send", "a.json", "b.json"}, `argument "b.json"`},
		{"a backup into nothing", []string{"backup"}, "want one file"},
		{"a value that is no number", []string{"receive", "-refuse", "many"}, `invalid value "many"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			stdout, stderr, code := ended(t, tt.args...)
			if code != 2 || !strings.Contains(stderr, tt.want) || stdout != "" {
				t.Errorf("local %q: exit %d, %q on stdout, %q on stderr; want 2, nothing, and %q", tt.args, code, stdout, stderr, tt.want)
			}
		})
	}
}

func TestFailureExitsOne(t *testing.T) {
	_, stderr, code := ended(t, "send", "no-such-file.json")
	if code != 1 || !strings.Contains(stderr, "no-such-file.json") {
		t.Errorf("local send of a file that is not there: exit %d, %q; want 1 and its name", code, stderr)
	}
}

func TestHelpIsToldOnStdoutAndExitsZero(t *testing.T) {
	for _, help := range []string{"-help", "--help", "-h", "help"} {
		stdout, stderr, code := ended(t, help)
		if code != 0 || stderr != "" || !strings.Contains(stdout, "-public-url URL") {
			t.Errorf("local %s: exit %d, %q on stderr, %q on stdout; want the flags on stdout", help, code, stderr, stdout)
		}
		for _, c := range subcommands {
			if !strings.Contains(stdout, "  "+c.name+" ") {
				t.Errorf("local %s does not name the command %s", help, c.name)
			}
		}
	}
	for _, c := range subcommands {
		stdout, stderr, code := ended(t, c.name, "--help")
		if code != 0 || stderr != "" || !strings.HasPrefix(stdout, "Usage:\n  local "+c.name) {
			t.Errorf("local %s --help: exit %d, %q on stderr, %q on stdout", c.name, code, stderr, stdout)
		}
	}
}

// ended runs the command line to its end.
func ended(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	var out, log bytes.Buffer
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), asRunner+"=1")
	cmd.Stdout, cmd.Stderr = &out, &log
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return out.String(), log.String(), cmd.ProcessState.ExitCode()
}
