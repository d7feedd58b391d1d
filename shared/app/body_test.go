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
		taken int64
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
		b := &body{r: r, memory: semaphore.NewWeighted(maxBodyBytes)}
		got, err := b.read()
		if len(got) != tt.bytes || !errors.Is(err, tt.err) || b.taken != tt.taken {
			t.Errorf("%s: %d bytes, %v, %d taken; want %d, %v, %d", tt.name, len(got), err, b.taken, tt.bytes, tt.err, tt.taken)
		}
		if b.release(); !b.memory.TryAcquire(maxBodyBytes) {
			t.Errorf("%s: memory is not released", tt.name)
		}
	}
}

func TestBodyFindsNoRoomWhereOthersTakeIt(t *testing.T) {
	memory := semaphore.NewWeighted(maxBodyBytes)
	memory.TryAcquire(maxBodyBytes - firstPart)
	r, _ := http.NewRequest(http.MethodPost, "/", strings.NewReader(strings.Repeat("x", firstPart+1)))
	b := &body{r: r, memory: memory}
	if _, err := b.read(); !errors.Is(err, provider.ErrUnavailable) {
		t.Errorf("a body larger than the memory that is left: %v, want %v", err, provider.ErrUnavailable)
	}
	if b.release(); !memory.TryAcquire(firstPart) {
		t.Error("what it took is not given back")
	}
}
