package gateway

import (
	"cmp"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"

	"ringback/shared/ident"
	"ringback/shared/message"
	"ringback/shared/storage"
)

// A panicError is a panic, and where it was.
type panicError struct{ text, stack string }

func (e *panicError) Error() string { return "panic: " + e.text }

// guarded turns a panic of f into a *panicError: one poison event must not take the rest of its batch along.
func guarded(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			text, more, _ := strings.Cut(fmt.Sprint(p), "\n") // of singleflight: the stack of the goroutine that panicked
			err = &panicError{text, more + string(debug.Stack())}
		}
	}()
	return f()
}

// logRetry writes the line of a message that comes again, or whose events do, because of err: with the stack
// if that is a panic, and if one event failed, its id.
func (c *core) logRetry(verb string, m storage.Received, err error) {
	var h message.Header
	var as []message.InboundEvent
	_ = guarded(func() error { // what cannot be read is logged all the same
		h, as, _ = message.Read(m.Body)
		return nil
	})
	event := h.Event
	if len(as) == 1 {
		event = as[0].ID
	}
	if _, deliveredEvent, err := ident.SplitDelivery(h.ID); err == nil {
		event = deliveredEvent
	}
	source, _ := ident.SourceOf(event)
	fields := []any{"kind", string(h.Kind), "source", cmp.Or(h.Source, source), "event", event, "id", h.ID, "events", len(as),
		"receives", m.Receives, "outcome", "again"}
	c.Log.Error(verb, append(fields, errorFields(err)...)...)
}

// maxErrorText bounds what one line of the log says of an error: that of a packed message is joined of up to a hundred.
const maxErrorText = 2 << 10

// errorFields returns the fields of the log that say what err is: its text, and the stack of a panic.
func errorFields(err error) []any {
	text := err.Error()
	fields := []any{"why", strings.ToValidUTF8(text[:min(len(text), maxErrorText)], "")}
	var p *panicError
	if errors.As(err, &p) {
		fields = append(fields, "stack", p.stack)
	}
	return fields
}
