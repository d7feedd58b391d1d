package embedded

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"ringback/shared/storage"
	"ringback/shared/test/proofs"
)

// TestMain lets the test's program play a process that dies.
func TestMain(m *testing.M) {
	switch dir := os.Getenv("EMBEDDED_TEST_DIR"); os.Getenv("EMBEDDED_TEST_ROLE") {
	case "poisoned events":
		runPoisoned(dir, storage.EventsQueue)
	case "poisoned slow":
		runPoisoned(dir, storage.SlowQueue)
	case "writing":
		runWriting(dir)
	default:
		os.Exit(m.Run())
	}
}

// runPoisoned serves until it receives "poison", which ends the process at
// once; or ends with 0 when nothing waits any more.
func runPoisoned(dir string, name storage.QueueName) {
	ctx := context.Background()
	db, err := Open(ctx, dir, Options{})
	if err != nil {
		panic(err)
	}
	log, err := os.OpenFile(filepath.Join(dir, "log"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		panic(err)
	}
	go db.Serve(ctx, name, Consumer{Concurrency: 1, Batch: 1, Handler: func(_ context.Context, ms []storage.Received) ([]string, error) {
		fmt.Fprintln(log, ms[0].Body, ms[0].Receives)
		if ms[0].Body == "poison" {
			os.Exit(3)
		}
		return nil, nil
	}})
	for range time.Tick(time.Millisecond) {
		d, err := db.Depth(ctx, name)
		if err != nil {
			panic(err)
		}
		if d.Waiting+d.InFlight+d.Delayed == 0 {
			os.Exit(0)
		}
	}
}

func TestMessageThatEndsTheProcessBecomesADeadLetter(t *testing.T) {
	proofs.Long(t)
	for _, name := range []storage.QueueName{storage.EventsQueue, storage.SlowQueue} {
		t.Run(string(name), func(t *testing.T) { testPoison(t, name) })
	}
}

func testPoison(t *testing.T, name storage.QueueName) {
	dir := t.TempDir()
	db, err := Open(t.Context(), dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	mustSend(t, db, name, storage.Message{Body: "poison", Group: "g0"}, storage.Message{Body: "late", Delay: time.Second})
	for i := range 50 {
		mustSend(t, db, name, storage.Message{Body: fmt.Sprint("innocent ", i), Group: fmt.Sprint("g", i%3)})
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	crashes := 0
	for play(t, dir, "poisoned "+string(name)) != 0 {
		if crashes++; crashes > storage.MaxReceives {
			t.Fatalf("poison ended the process %d times, want at most %d", crashes, storage.MaxReceives)
		}
	}
	log, err := os.ReadFile(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range 50 {
		if line := fmt.Sprintf("innocent %d 1\n", i); !strings.Contains(string(log), line) {
			t.Errorf("no %q in\n%s", line, log)
		}
	}
	if crashes != storage.MaxReceives {
		t.Errorf("poison ended the process %d times, want %d", crashes, storage.MaxReceives)
	}
	db = openTest(t, dir, Options{})
	wantDepth(t, db, name, storage.Depth{Dead: 1})
}

// play runs the test's program in a role and returns its exit code.
func play(t *testing.T, dir, role string) int {
	t.Helper()
	out, err := player(t, dir, role).CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if exit == nil {
		return 0
	}
	if exit.ExitCode() != 3 {
		t.Fatalf("%s: %v\n%s", role, err, out)
	}
	return 3
}

func player(t *testing.T, dir, role string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self)
	cmd.Env = append(os.Environ(), "EMBEDDED_TEST_DIR="+dir, "EMBEDDED_TEST_ROLE="+role)
	return cmd
}

// runWriting puts rows and sends messages, and says which were answered, until
// it is killed.
func runWriting(dir string) {
	ctx := context.Background()
	db, err := Open(ctx, dir, Options{})
	if err != nil {
		panic(err)
	}
	answered := make(chan int)
	for w := range 8 {
		go func() {
			for i := w; ; i += 8 {
				r := storage.Row{Key: numbered(i), Rev: "r", Data: []byte(fmt.Sprint(i))}
				m := []storage.Message{{Body: fmt.Sprint(i), Group: fmt.Sprint("g", i%5)}}
				err := errors.Join(db.Put(ctx, r, ""), db.Send(ctx, storage.EventsQueue, m)[0], db.Send(ctx, storage.SlowQueue, m)[0])
				if err != nil {
					panic(err)
				}
				answered <- i
			}
		}()
	}
	for i := range answered {
		fmt.Println(i)
	}
}

func numbered(i int) storage.Key {
	return storage.Key{Table: storage.Deliveries, PK: fmt.Sprint("p", i%8), SK: fmt.Sprint(i)}
}

func TestAnsweredWritesSurviveAKill(t *testing.T) {
	dir := t.TempDir()
	cmd := player(t, dir, "writing")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var answered []int
	for lines := bufio.NewScanner(out); lines.Scan(); {
		i, err := strconv.Atoi(lines.Text())
		if err != nil {
			t.Fatal(err)
		}
		if answered = append(answered, i); len(answered) == 2000 {
			cmd.Process.Kill()
		}
	}
	cmd.Wait() // it was killed
	db := openTest(t, dir, Options{})
	for _, i := range answered {
		if rows, err := db.Get(t.Context(), numbered(i)); err != nil || len(rows) != 1 || string(rows[0].Data) != fmt.Sprint(i) {
			t.Fatalf("Get of row %d = %v, %v", i, rows, err)
		}
	}
	for _, name := range []storage.QueueName{storage.EventsQueue, storage.SlowQueue} {
		got := receiveAll(t, db, name)
		for _, i := range answered {
			if _, ok := slices.BinarySearch(got, fmt.Sprint(i)); !ok {
				t.Fatalf("message %d of %s was answered and did not come", i, name)
			}
		}
	}
}

// receiveAll serves a queue until no message is left and returns the bodies of
// those that came, sorted.
func receiveAll(t *testing.T, db *DB, name storage.QueueName) []string {
	t.Helper()
	var mu sync.Mutex
	var bodies []string
	stop := serve(t, db, name, Consumer{Handler: func(_ context.Context, ms []storage.Received) ([]string, error) {
		mu.Lock()
		defer mu.Unlock()
		for _, m := range ms {
			bodies = append(bodies, m.Body)
		}
		return nil, nil
	}})
	waitEmpty(t, db, name)
	stop()
	slices.Sort(bodies)
	return bodies
}

// waitEmpty waits until the deletion of the last message is committed, and ends
// the test if nothing becomes of those that are left.
func waitEmpty(t *testing.T, db *DB, name storage.QueueName) {
	t.Helper()
	const patience = 10 * time.Second / time.Millisecond // in rounds
	var left, still int
	for tick := time.Tick(time.Millisecond); ; <-tick {
		d, err := db.Depth(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		was := left
		left = d.Waiting + d.InFlight + d.Delayed
		if left == 0 {
			return
		}
		if still++; left != was {
			still = 0
		}
		if still > int(patience) {
			t.Fatalf("%d messages are left and none comes: %+v", left, d)
		}
	}
}
