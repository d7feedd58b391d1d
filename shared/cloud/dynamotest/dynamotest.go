// Package dynamotest starts dynoxide for tests, a DynamoDB server in one small binary. Of the servers that are
// available it fails the fewest cases of the public conformance suite that was validated against DynamoDB itself.
package dynamotest

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

const version = "1.2.1" // of dynoxide

// Endpoint returns the URL of a DynamoDB server: the one that AWS_ENDPOINT_URL_DYNAMODB names, otherwise a dynoxide
// that it starts and that ends with the test. It runs dynoxide from PATH, otherwise from the user's cache, into which
// it installs it with npm. If all of that fails the test is skipped, or fails with CI=true or
// RINGBACK_REQUIRE_EMULATORS=1.
func Endpoint(t testing.TB) string {
	t.Helper()
	if url := os.Getenv("AWS_ENDPOINT_URL_DYNAMODB"); url != "" {
		return url
	}
	binary, err := find()
	if err != nil {
		Missing(t, "dynoxide: "+err.Error())
	}
	url, err := start(t, binary)
	if err != nil {
		t.Fatalf("start %s: %v", binary, err)
	}
	return url
}

// Missing skips the test because what is missing, or fails it if the environment allows no skipping.
func Missing(t testing.TB, what string) {
	t.Helper()
	if os.Getenv("CI") == "true" || os.Getenv("RINGBACK_REQUIRE_EMULATORS") == "1" {
		t.Fatalf("no %s", what)
	}
	t.Skipf("skipped: no %s", what)
}

// find returns the path of the binary.
func find() (string, error) {
	if path, err := exec.LookPath("dynoxide"); err == nil {
		return path, nil
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	home := filepath.Join(cache, "ringback", "dynoxide-"+version)
	path := filepath.Join(home, "node_modules", platformPackage(), "dynoxide")
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	if err := install(home); err != nil {
		return "", err
	}
	_, err = os.Stat(path)
	return path, err
}

// install lets npm fill a new folder and then renames it to home, since several test binaries may install at the same
// time.
func install(home string) error {
	if err := os.MkdirAll(filepath.Dir(home), 0o755); err != nil {
		return err
	}
	fresh, err := os.MkdirTemp(filepath.Dir(home), "install-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(fresh)
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	npm := exec.CommandContext(ctx, "npm", "install", "--no-audit", "--no-fund", "--prefix", fresh, platformPackage()+"@"+version)
	if out, err := npm.CombinedOutput(); err != nil {
		return fmt.Errorf("npm install: %v: %s", err, strings.TrimSpace(string(out)))
	}
	if err := os.Rename(fresh, home); err != nil && !os.IsExist(err) {
		return err
	}
	return nil
}

// platformPackage is the npm package of the binary, which has Node's name of the platform.
func platformPackage() string {
	arch := runtime.GOARCH
	if arch == "amd64" {
		arch = "x64"
	}
	return "@dynoxide/" + runtime.GOOS + "-" + arch
}

// start runs binary on a free port until the test ends.
func start(t testing.TB, binary string) (string, error) {
	port, err := freePort()
	if err != nil {
		return "", err
	}
	cmd := exec.Command(binary, "--host", "127.0.0.1", "--port", port)
	if err := cmd.Start(); err != nil {
		return "", err
	}
	ended := make(chan struct{})
	go func() {
		cmd.Wait()
		close(ended)
	}()
	t.Cleanup(func() {
		cmd.Process.Kill()
		<-ended
	})
	url := "http://127.0.0.1:" + port
	return url, waitFor(url, ended)
}

func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	return port, err
}

// waitFor returns nil once a server responds at url.
func waitFor(url string, ended <-chan struct{}) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	late := time.After(10 * time.Second)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for {
		resp, err := client.Get(url)
		if err == nil {
			return resp.Body.Close()
		}
		select {
		case <-tick.C:
		case <-ended:
			return fmt.Errorf("it ended before it answered at %s", url)
		case <-late:
			return fmt.Errorf("no answer at %s: %v", url, err)
		}
	}
}
