package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A binary holds the tests of one package.
type binary struct {
	folder string // of the package
	dir    string // where the tests run
	file   string
	temp   string // what they leave behind
}

const overlayFile = "overlay.json"

// compile builds, with all mutations behind their switches, the tests that may
// notice one of them.
func compile(ctx context.Context, root, work string, targets []target, ms []mutation) ([]binary, error) {
	overlay := map[string]string{}
	for name, text := range rewrite(ms) {
		overlay[name] = filepath.Join(work, strconv.Itoa(len(overlay))+".go")
		if err := os.WriteFile(overlay[name], text, 0o600); err != nil {
			return nil, err
		}
	}
	replace, err := json.Marshal(map[string]any{"Replace": overlay})
	if err != nil {
		return nil, err
	}
	file := filepath.Join(work, overlayFile)
	if err := os.WriteFile(file, replace, 0o600); err != nil {
		return nil, err
	}
	args := []string{"test", "-c", "-vet=off", "-overlay", file, "-o", work + "/"}
	var binaries []binary
	for _, t := range targets {
		for _, folder := range t.tests {
			b := binary{folder, filepath.Join(root, folder), filepath.Join(work, path.Base(folder)+".test"), filepath.Join(work, path.Base(folder))}
			if !slices.Contains(binaries, b) && slices.ContainsFunc(ms, func(m mutation) bool { return m.source.folder == t.folder }) {
				binaries = append(binaries, b)
				args = append(args, module+folder)
			}
		}
	}
	for _, b := range binaries {
		if err := os.Mkdir(b.temp, 0o700); err != nil {
			return nil, err
		}
	}
	_, err = goCommand(ctx, root, args...)
	return binaries, err
}

// names lists the tests in b, with the examples and the seeds of fuzz targets.
func (b binary) names(ctx context.Context) ([]string, error) {
	out, err := b.command(ctx, "-test.list", "^(Test|Fuzz|Example)").Output()
	return strings.Fields(string(out)), err
}

// run runs tests, as quickly as they are meant to run, and returns whether they
// passed and how long they took. Those that take longer than limit are ended.
func (b binary) run(ctx context.Context, tests []string, limit time.Duration, env ...string) (passed bool, took time.Duration, output []byte) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	cmd := b.command(ctx, "-test.short", "-test.failfast", "-test.run", "^("+strings.Join(tests, "|")+")$")
	cmd.Env = append(cmd.Env, env...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	begun := time.Now()
	err := cmd.Run()
	if err != nil && cmd.Process != nil {
		syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // servers that a panic left behind
	}
	return err == nil, time.Since(begun), out.Bytes()
}

// mostMemory is what a loop without end may fill, in KiB.
const mostMemory = "4000000"

func (b binary) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "sh", append([]string{"-c", `ulimit -d ` + mostMemory + ` && exec "$0" "$@"`, b.file}, args...)...)
	cmd.Dir = b.dir
	cmd.Env = append(os.Environ(), "TMPDIR="+b.temp, "SIM_OVERLAY="+filepath.Join(filepath.Dir(b.file), overlayFile)) // the simulation builds itself
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}                                                             // so that what it starts ends with it
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	return cmd
}

var failed = regexp.MustCompile(`(?m)^(?:--- FAIL: |panic: |fatal error: )(.{1,60})`)

// why returns what failed first.
func why(output []byte) string {
	m := failed.FindSubmatch(output)
	if m == nil {
		return "ended"
	}
	return string(bytes.TrimSpace(m[1]))
}
