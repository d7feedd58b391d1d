package pipeline

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
)

// built is where the bootstraps lie, each in a folder with its function's name.
var built string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "bootstraps-")
	if err != nil {
		panic(err)
	}
	built = dir
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// bootstrap returns the path of a function's binary, which is built once.
func bootstrap(t *testing.T, name string) string {
	t.Helper()
	needsBinaries(t)
	built, err := buildAll()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(built, name, "bootstrap")
}

// buildAll builds all functions as `sam build` does, but for this machine.
var buildAll = sync.OnceValues(func() (string, error) {
	arch := map[string]string{"amd64": "x86_64", "arm64": "arm64"}[runtime.GOARCH]
	for _, name := range []string{"SmartBots", "TencentChat", "Direct", "Worker", "Retry", "Api"} {
		dir := filepath.Join(built, name)
		if err := os.Mkdir(dir, 0o700); err != nil {
			return "", err
		}
		cmd := exec.Command("make", "-s", "-f", "functions/Makefile", "build-"+name, "ARTIFACTS_DIR="+dir, "ARCH="+arch)
		cmd.Dir = "../../.."
		if out, err := cmd.CombinedOutput(); err != nil {
			return "", fmt.Errorf("make build-%s: %v\n%s", name, err, out)
		}
	}
	return built, nil
})

// needsBinaries leaves a test of built functions out with -short.
func needsBinaries(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("builds functions, which -short leaves out")
	}
}
