package cloud_test

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"testing"

	"ringback/shared/cloud/dynamotest"
)

// moto is the one moto_server of all tests, started for the first that asks.
var moto motoServer

type motoServer struct {
	once    sync.Once
	process *exec.Cmd
	read    sync.WaitGroup // of what it says
	url     string         // empty: it does not run
	said    strings.Builder
}

// startMoto returns the URL of a moto_server that has nothing in it; without one on
// PATH that works the test ends by dynamotest.Missing. It is slow: with -short the
// test is skipped.
func startMoto(t *testing.T) string {
	t.Helper()
	if testing.Short() {
		t.Skip("moto takes long")
	}
	moto.once.Do(moto.start)
	if moto.url == "" {
		dynamotest.Missing(t, "moto_server: "+moto.said.String())
	}
	resp, err := http.Post(moto.url+"/moto-api/reset", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	http.DefaultClient.CloseIdleConnections()
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("moto's reset: %s", resp.Status)
	}
	return moto.url
}

var motoRuns = regexp.MustCompile(`Running on (http://127\.0\.0\.1:\d+)`)

func (m *motoServer) start() {
	m.process = exec.Command("moto_server", "-H", "127.0.0.1", "-p", "0")
	m.process.Env = append(m.process.Environ(), "PYTHONUNBUFFERED=1")
	out, err := m.process.StderrPipe()
	if err == nil {
		err = m.process.Start()
	}
	if err != nil {
		m.said.WriteString(err.Error())
		return
	}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if found := motoRuns.FindStringSubmatch(lines.Text()); found != nil {
			m.url = found[1]
			m.read.Go(func() { io.Copy(io.Discard, out) })
			return
		}
		fmt.Fprintln(&m.said, lines.Text())
	}
}

// stop ends the server, if it was started.
func (m *motoServer) stop() {
	if m.process == nil || m.process.Process == nil {
		return
	}
	m.process.Process.Kill()
	m.read.Wait()
	m.process.Wait()
}
