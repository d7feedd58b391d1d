package app

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"

	"golang.org/x/sync/semaphore"

	"ringback/shared/provider"
)

func TestBodyIsReadWholeOrRefused(t *testing.T) {
	const most = provider.MaxCallbackBytes
	text := func(n int) io.Reader { return strings.NewReader(strings.Repeat("x", n)) }
	broken := iotest.ErrReader(io.ErrUnexpectedEOF)
	for _, tt := range []struct {
		name  string
		body  io.Reader
		says  int64 // Content-Length, -1: chunked
		bytes int   // that are read
		err   error
		held  int64
	}{
		{"empty", text(0), 0, 0, nil, 0},
		{"short", text(5), 5, 5, nil, 5},
		{"short, byte by byte", iotest.OneByteReader(text(100)), 100, 100, nil, 100},
		{"chunked and empty", text(0), -1, 0, nil, firstPart},
		{"chunked", text(3 * firstPart), -1, 3 * firstPart, nil, firstPart + 2*firstPart + 4*firstPart},
		{"as large as may be", text(most), most, most, nil, 2*most - firstPart},
		{"too large", text(0), most + 1, 0, provider.ErrTooLarge, 0},
		{"chunked and too large", text(most + 9), -1, most + 1, nil, 2*most - firstPart + most + 1},
		{"breaks off", io.MultiReader(text(10), broken), 20, 0, provider.ErrUnreadable, 20},
		{"chunked and breaks off", io.MultiReader(text(10), broken), -1, 0, provider.ErrUnreadable, firstPart},
		{"announces much and sends little", io.MultiReader(text(10), broken), most, 0, provider.ErrUnreadable, firstPart},
	} {
		r, _ := http.NewRequest(http.MethodPost, "/", io.NopCloser(tt.body))
		r.ContentLength = tt.says
		b := &body{r: r, room: semaphore.NewWeighted(bodiesInFlight)}
		got, err := b.read()
		if len(got) != tt.bytes || !errors.Is(err, tt.err) || b.held != tt.held {
			t.Errorf("%s: %d bytes, %v, %d held; want %d, %v, %d", tt.name, len(got), err, b.held, tt.bytes, tt.err, tt.held)
		}
		if b.done(); !b.room.TryAcquire(bodiesInFlight) {
			t.Errorf("%s: room is held when it is done", tt.name)
		}
	}
}

func TestBodyFindsNoRoomWhereOthersTakeIt(t *testing.T) {
	room := semaphore.NewWeighted(bodiesInFlight)
	room.TryAcquire(bodiesInFlight - firstPart)
	r, _ := http.NewRequest(http.MethodPost, "/", strings.NewReader(strings.Repeat("x", firstPart+1)))
	b := &body{r: r, room: room}
	if _, err := b.read(); !errors.Is(err, provider.ErrUnavailable) {
		t.Errorf("a body larger than the room that is left: %v, want %v", err, provider.ErrUnavailable)
	}
	if b.done(); !room.TryAcquire(firstPart) {
		t.Error("what it took is not given back")
	}
}
