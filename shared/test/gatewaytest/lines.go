package gatewaytest

import (
	"encoding/json"
	"log/slog"
	"strings"
	"sync"
	"testing"
)

// Lines holds what is written to it, such as the lines of a log. The zero value is
// empty; it is safe for concurrent use.
type Lines struct {
	mu   sync.Mutex
	text strings.Builder
}

// Logger returns a logger to l, of all levels, as JSON.
func (l *Lines) Logger() *slog.Logger {
	return slog.New(slog.NewJSONHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// Write implements io.Writer.
func (l *Lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// String returns all that was written since the last Take.
func (l *Lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// Take returns what String returns, and forgets it.
func (l *Lines) Take() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.text.Reset()
	return l.text.String()
}

// Last returns the last n lines.
func (l *Lines) Last(n int) string {
	all := strings.SplitAfter(l.String(), "\n")
	return strings.Join(all[max(0, len(all)-1-n):], "")
}

// Of returns the lines with a message, at INFO and above.
func (l *Lines) Of(t testing.TB, message string) (out []map[string]any) {
	t.Helper()
	for text := range strings.Lines(l.String()) {
		var line map[string]any
		if err := json.Unmarshal([]byte(text), &line); err != nil {
			t.Fatalf("%v: %s", err, text)
		}
		if line["msg"] == message && line["level"] != "DEBUG" {
			out = append(out, line)
		}
	}
	return out
}
