// Package runtimetest runs the bootstrap binaries of functions as Lambda does: it serves the Runtime API to one
// process, sends it events and reads its responses.
// "Using the Lambda runtime API for custom runtimes" in the AWS Lambda Developer Guide.
package runtimetest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http/httptest"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// A Function is a running bootstrap binary. It handles one event at a time.
type Function struct {
	// Init is the time from the start of the process to its request for the first event. Lambda calls it initialization.
	Init time.Duration

	limit time.Duration
	api   *runtimeAPI
	cmd   *exec.Cmd
	ended chan struct{} // closed when the process has ended
	turn  sync.Mutex
	out   lockedBuilder
}

// Options tell what to run.
type Options struct {
	Binary string
	Env    []string      // the whole environment, except what Lambda sets
	Limit  time.Duration // of one invocation; default 30 s
	Under  []string      // command and arguments in front of Binary, such as a CPU limiter; default: none
}

// Start starts a function and stops it with SIGTERM when the test ends. The test fails if the function requests no
// event within 10 s, Lambda's limit, or reports that its initialization failed.
func Start(t testing.TB, o Options) *Function {
	t.Helper()
	f, err := start(o)
	if err != nil {
		t.Fatalf("start %s: %v\n%s", o.Binary, err, f.Output())
	}
	t.Cleanup(f.Stop)
	return f
}

// Failure starts a function that must end before it requests an event, within the limit of AtOnce. It returns what the
// process wrote.
func Failure(t testing.TB, o Options) (output string) {
	t.Helper()
	AtOnce(t, o.Binary, func() {
		f, err := start(o)
		if err == nil {
			f.Stop()
			t.Fatalf("%s initialized itself, want a failure", o.Binary)
		}
		<-f.ended
		output = f.Output()
	})
	return output
}

// AtOnce fails the test if f, which starts a process and waits for its end, takes more than 2 s. On a busy machine a
// start alone may take long, so the fastest of five runs counts.
func AtOnce(t testing.TB, what string, f func()) {
	t.Helper()
	const limit = 2 * time.Second
	fastest := time.Duration(math.MaxInt64)
	for range 5 {
		begin := time.Now()
		f()
		if fastest = min(fastest, time.Since(begin)); fastest <= limit {
			return
		}
	}
	t.Errorf("%s took %v to end, want at most %v", what, fastest, limit)
}

const initLimit = 10 * time.Second

func start(o Options) (*Function, error) {
	f := &Function{limit: o.Limit, api: newRuntimeAPI(), ended: make(chan struct{})}
	if f.limit == 0 {
		f.limit = 30 * time.Second
	}
	server := httptest.NewServer(f.api)
	args := append(append([]string{}, o.Under...), o.Binary)
	f.cmd = exec.Command(args[0], args[1:]...)
	f.cmd.Stdout, f.cmd.Stderr = &f.out, &f.out
	f.cmd.Env = append(append([]string{}, o.Env...), lambdaEnv(strings.TrimPrefix(server.URL, "http://"))...)
	begin := time.Now()
	if err := f.cmd.Start(); err != nil {
		server.Close()
		close(f.ended)
		return f, err
	}
	go func() {
		f.cmd.Wait()
		close(f.ended)
		close(f.api.closed)
		server.Close()
	}()
	return f, f.awaitInit(begin)
}

// lambdaEnv returns the variables that Lambda sets beside a function's own.
func lambdaEnv(api string) []string {
	return []string{
		"AWS_LAMBDA_RUNTIME_API=" + api,
		"AWS_LAMBDA_FUNCTION_NAME=function",
		"AWS_LAMBDA_FUNCTION_VERSION=$LATEST",
		"AWS_LAMBDA_FUNCTION_MEMORY_SIZE=256",
		"AWS_LAMBDA_LOG_GROUP_NAME=/aws/lambda/function",
		"AWS_LAMBDA_LOG_STREAM_NAME=stream",
		"_HANDLER=bootstrap",
		"LAMBDA_TASK_ROOT=/var/task",
	}
}

func (f *Function) awaitInit(begin time.Time) error {
	select {
	case <-f.api.ready:
		f.Init = time.Since(begin)
		return nil
	case failure := <-f.api.initFailed:
		f.kill()
		return fmt.Errorf("init error: %s", failure)
	case <-f.ended:
		return errors.New("it ended before it asked for an event")
	case <-time.After(initLimit):
		f.kill()
		return fmt.Errorf("no request for an event within %v", initLimit)
	}
}

// Invoke sends event as JSON to the function and returns its response. The error is the function's own, or says that
// the function ended or exceeded its time limit; then the process has ended, as on Lambda.
func (f *Function) Invoke(ctx context.Context, event any) (json.RawMessage, error) {
	payload, err := json.Marshal(event)
	if err != nil {
		return nil, fmt.Errorf("encode event: %w", err)
	}
	f.turn.Lock()
	defer f.turn.Unlock()
	end := time.NewTimer(f.limit)
	defer end.Stop()
	i := invocation{payload: payload, deadline: time.Now().Add(f.limit), response: make(chan response, 1)}
	select {
	case f.api.next <- i:
	case <-f.ended:
		return nil, errors.New("function has ended")
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-end.C:
		f.kill()
		return nil, fmt.Errorf("function did not ask for an event within %v", f.limit)
	}
	select {
	case r := <-i.response:
		return r.payload, r.err
	case <-f.ended:
		return nil, errors.New("function ended during the invocation")
	case <-ctx.Done():
		f.kill()
		return nil, ctx.Err()
	case <-end.C:
		f.kill()
		return nil, fmt.Errorf("function timed out after %v", f.limit)
	}
}

// Stop ends the function with SIGTERM, and 500 ms later with SIGKILL, as Lambda
// does.
func (f *Function) Stop() {
	f.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-f.ended:
	case <-time.After(500 * time.Millisecond):
		f.kill()
	}
}

// Kill ends the function at once with SIGKILL.
func (f *Function) Kill() { f.kill() }

func (f *Function) kill() {
	f.cmd.Process.Kill()
	<-f.ended
}

// CPU waits for the end of the process and returns the user and system time that it used.
func (f *Function) CPU() time.Duration {
	<-f.ended
	return f.cmd.ProcessState.UserTime() + f.cmd.ProcessState.SystemTime()
}

// Output returns what the function has written to stdout and stderr so far.
func (f *Function) Output() string { return f.out.String() }

// A lockedBuilder is a strings.Builder that is safe for concurrent use.
type lockedBuilder struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lockedBuilder) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuilder) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
