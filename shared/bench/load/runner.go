package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// operatorKey is given to every runner.
const operatorKey = "the operator's key of a load test"

// publicURL is what callback URLs begin with.
const publicURL = "http://ringback.invalid"

const (
	endTime   = 30 * time.Second      // that an interrupted runner may take
	clockTick = 10 * time.Millisecond // of /proc/<pid>/stat; USER_HZ is 100 on all Linux that Go runs on
)

// build builds the runner of a source tree, of this one if it is empty, into dir.
func build(ctx context.Context, tree, dir string) (string, error) {
	binary := filepath.Join(dir, "local")
	if _, err := tool(ctx, tree, "go", "build", "-o", binary, "ringback/functions/local"); err != nil {
		return "", fmt.Errorf("build the runner: %w", err)
	}
	return binary, nil
}

// A runner is functions/local as a process of its own.
type runner struct {
	cmd   *exec.Cmd
	addr  string // host:port of the gateway
	pprof string // URL of the profiles
	log   string // the file of its standard error
	ended chan error
}

// startRunner starts a runner on the data folder dir and waits until it tells
// where it listens.
func startRunner(binary, dir string) (*runner, error) {
	log, err := os.OpenFile(dir+".log", os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	r := &runner{log: log.Name(), ended: make(chan error, 1)}
	r.cmd = exec.Command(binary, "-addr", "127.0.0.1:0", "-pprof", "127.0.0.1:0", "-data", dir, "-public-url", publicURL)
	r.cmd.Env = append(os.Environ(), "RINGBACK_OPERATOR_KEY="+operatorKey)
	r.cmd.Stderr = log
	out, err := r.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := r.cmd.Start(); err != nil {
		return nil, err
	}
	told := make(chan bool, 1)
	go func() {
		r.listen(out, told)
		r.ended <- r.cmd.Wait()
	}()
	if !<-told {
		return nil, fmt.Errorf("the runner ended before it listened: %w\n%s", <-r.ended, r.lastWords())
	}
	return r, nil
}

// listen reads what the runner says until it ends, and tells once whether it
// said where it listens.
func (r *runner) listen(out io.Reader, told chan<- bool) {
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if _, rest, ok := strings.Cut(lines.Text(), "profiles on "); ok {
			r.pprof = rest
		}
		if _, rest, ok := strings.Cut(lines.Text(), "listening on http://"); ok {
			r.addr, _, _ = strings.Cut(rest, ",")
			told <- true
		}
	}
	if r.addr == "" {
		told <- false
	}
}

// stop interrupts the runner and waits until it has done what is under way.
func (r *runner) stop() error {
	r.cmd.Process.Signal(os.Interrupt)
	t := time.AfterFunc(endTime, func() { r.cmd.Process.Kill() })
	defer t.Stop()
	err := <-r.ended
	r.ended <- err
	if err != nil {
		return fmt.Errorf("interrupted runner: %w\n%s", err, r.lastWords())
	}
	return nil
}

// lastWords returns the end of what the runner wrote to its standard error.
func (r *runner) lastWords() []byte {
	text, _ := os.ReadFile(r.log)
	return text[max(len(text)-8<<10, 0):]
}

// kill ends the runner at once, wherever it is.
func (r *runner) kill() {
	r.cmd.Process.Kill()
	err := <-r.ended
	r.ended <- err
}

// cpu returns the processor time that the runner used so far.
func (r *runner) cpu() (time.Duration, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", r.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:])) // proc_pid_stat(5): state is the first of them
	user, err1 := strconv.Atoi(fields[11])
	system, err2 := strconv.Atoi(fields[12])
	return time.Duration(user+system) * clockTick, errors.Join(err1, err2)
}

// memory returns a field of /proc/<pid>/status in MiB: VmHWM is the peak,
// VmRSS what there is now.
func (r *runner) memory(field string) (float64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", r.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(text), "\n"+field+":")
	number, _, ok := strings.Cut(strings.TrimSpace(rest), " kB")
	kib, err := strconv.Atoi(number)
	if !ok || err != nil {
		return 0, fmt.Errorf("%s of the runner: %q", field, number)
	}
	return float64(kib) / 1024, nil
}

// allocated returns how many objects the runner allocated so far, and their
// bytes. They are fields of runtime.MemStats, which end the profile as comments.
func (r *runner) allocated(ctx context.Context) (objects, bytes float64, err error) {
	text, err := get(ctx, r.pprof+"allocs?debug=1")
	if err != nil {
		return 0, 0, err
	}
	field := func(name string) (v float64) {
		_, rest, _ := strings.Cut(string(text), "\n# "+name+" = ")
		value, _, _ := strings.Cut(rest, "\n")
		v, e := strconv.ParseFloat(value, 64)
		if e != nil {
			err = fmt.Errorf("%s of the runner: %q", name, value)
		}
		return v
	}
	return field("Mallocs"), field("TotalAlloc"), err
}

// call sends JSON to the API and reads the answer into out, unless that is nil.
func (r *runner) call(ctx context.Context, key, method, path string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	text, err := r.exchange(ctx, key, method, path, body)
	if err == nil && out != nil {
		err = json.Unmarshal(text, out)
	}
	return err
}

func (r *runner) exchange(ctx context.Context, key, method, path string, body []byte) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://"+r.addr+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+key)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode >= 300 {
		err = fmt.Errorf("%s %s: %s %s", method, path, resp.Status, text)
	}
	return text, err
}

// metrics returns the samples of /metrics by their names with labels. Names are
// reduced to what those of AWS metrics, ringback_HeapBytes, share with those of
// Prometheus' convention, ringback_heap_bytes: a runner may be of any commit.
func (r *runner) metrics(ctx context.Context) (map[string]float64, error) {
	text, err := r.exchange(ctx, operatorKey, http.MethodGet, "/metrics", nil)
	if err != nil {
		return nil, err
	}
	samples := map[string]float64{}
	for l := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(strings.TrimSpace(l), " ")
		if v, err := strconv.ParseFloat(value, 64); err == nil {
			samples[reduced(name)] = v
		}
	}
	return samples, nil
}

// reduced returns a sample's name without ringback_, _total, underscores and
// capital letters, and its labels as they are.
func reduced(name string) string {
	name, labels, labelled := strings.Cut(strings.TrimPrefix(name, "ringback_"), "{")
	name = strings.ToLower(strings.ReplaceAll(strings.TrimSuffix(name, "_total"), "_", ""))
	if labelled {
		name += "{" + labels
	}
	return name
}

// undone returns how many messages wait in the events queue or are in flight,
// by their labels alone.
func undone(samples map[string]float64) (float64, error) {
	n, seen := 0.0, false
	for name, v := range samples {
		if strings.Contains(name, `queue="events"`) && (strings.Contains(name, `state="waiting"`) || strings.Contains(name, `state="in_flight"`)) {
			n, seen = n+v, true
		}
	}
	if !seen {
		return 0, errors.New("the runner's metrics do not tell how many messages the events queue has")
	}
	return n, nil
}

// idle waits until nothing is in the events queue: what arrived is recorded.
func (r *runner) idle(ctx context.Context) error {
	return until(ctx, 50*time.Millisecond, func() (bool, error) {
		m, err := r.metrics(ctx)
		if err != nil {
			return false, err
		}
		n, err := undone(m)
		return n == 0, err
	})
}

// ownCPU returns the processor time that this process used so far, for the
// generator and the receiver.
func ownCPU() time.Duration {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
