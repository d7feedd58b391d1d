// Package ident makes the ids of all things, which sort by time, and takes them apart.
package ident

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"strings"
	"time"

	"ringback/shared/storage"
)

// ordered is base32 with an alphabet that keeps the order of the bytes (RFC 4648, section 7, "Base 32 Encoding with
// Extended Hex Alphabet"), in lower case.
var ordered = base32.NewEncoding("0123456789abcdefghijklmnopqrstuv").WithPadding(base32.NoPadding)

// Encode returns b in the base32 of ids, which sorts as b does.
func Encode(b []byte) string { return ordered.EncodeToString(b) }

// New returns prefix, "_" and 26 characters: 48 bits of milliseconds since 1970 and 80 random bits. Ids of one prefix
// sort by creation time.
func New(prefix string, now time.Time) string {
	var b [16]byte
	rand.Read(b[6:])
	putMillis(b[:6], now)
	return prefix + "_" + ordered.EncodeToString(b[:])
}

// From is New with bits of a text's hash in place of the random ones, so that a repeated call returns the same id.
func From(prefix string, at time.Time, text string) string {
	var b [16]byte
	putMillis(b[:6], at)
	sum := sha256.Sum256([]byte(text))
	copy(b[6:], sum[:])
	return prefix + "_" + ordered.EncodeToString(b[:])
}

// NewSource returns "src-" and 8 characters, 40 random bits with which every event id of the source begins. It uses
// [a-z0-9-] alone, as Tencent's console accepts no more in a URL.
func NewSource() string { return "src-" + random(5) }

// NewCallbackSecret returns the secret of a callback URL: 32 characters of [a-z0-9], 160 random bits.
func NewCallbackSecret() string { return random(20) }

func random(n int) string {
	b := make([]byte, n)
	rand.Read(b)
	return Encode(b)
}

const (
	EventPrefix  = "evt_"
	eventIDLen   = len(EventPrefix) + 44
	eventIDBytes = 27 // 5 source, 6 time, 16 hash
)

// Event returns the id of what a source reports: evt_ and, in base32, 40 bits of source id, 48 bits of milliseconds
// and the first 128 bits of SHA-256 over source, label and the parts of the natural key, each preceded by its length.
// So a repeated callback has the ids of the first.
func Event(source, label string, at time.Time, naturalKey ...string) (string, error) {
	var b [eventIDBytes]byte
	number, err := appendSourceNumber(b[:0], source)
	if err != nil {
		return "", err
	}
	putMillis(b[len(number):], at)
	var space [512]byte // most keys fit, without an allocation
	text := appendPart(appendPart(space[:0], source), label)
	for _, part := range naturalKey {
		text = appendPart(text, part)
	}
	sum := sha256.Sum256(text)
	copy(b[11:], sum[:])
	var id [eventIDLen]byte
	return string(ordered.AppendEncode(append(id[:0], EventPrefix...), b[:])), nil
}

func appendPart(b []byte, part string) []byte {
	return append(binary.BigEndian.AppendUint32(b, uint32(len(part))), part...)
}

// SourceOf returns the id of the source that an event id begins with.
func SourceOf(eventID string) (string, error) {
	if _, err := DecodeEvent(eventID); err != nil {
		return "", err
	}
	return "src-" + eventID[len(EventPrefix):len(EventPrefix)+8], nil
}

// EventFloor returns a text that sorts before all ids of the source's events from t on, and after all earlier ones.
func EventFloor(source string, t time.Time) string {
	var ms [6]byte
	putMillis(ms[:], t)
	number, _ := SourceNumber(source)
	return EventPrefix + ordered.EncodeToString(append(append([]byte{}, number...), ms[:]...))[:17]
}

// EventTime returns the time in an event id, zero if id is no event id.
func EventTime(id string) time.Time {
	b, err := DecodeEvent(id)
	if err != nil {
		return time.Time{}
	}
	return time.UnixMilli(int64(binary.BigEndian.Uint64(b[3:11]) & (1<<48 - 1))).UTC()
}

// DecodeEvent returns the 27 bytes of an event id.
func DecodeEvent(id string) ([]byte, error) {
	if len(id) != eventIDLen || !strings.HasPrefix(id, EventPrefix) {
		return nil, fmt.Errorf("event id: %w: want evt_ and 44 characters", storage.ErrInvalid)
	}
	b, err := ordered.DecodeString(id[len(EventPrefix):])
	if err != nil || len(b) != eventIDBytes { // fewer: the decoder skips line breaks
		return nil, fmt.Errorf("event id: %w: want characters 0-9 and a-v", storage.ErrInvalid)
	}
	return b, nil
}

// SourceNumber returns the 5 bytes of a source id.
func SourceNumber(source string) ([]byte, error) { return appendSourceNumber(nil, source) }

func appendSourceNumber(b []byte, source string) ([]byte, error) {
	if len(source) != 12 || !strings.HasPrefix(source, "src-") {
		return nil, fmt.Errorf("source id: %w: want src- and 8 characters", storage.ErrInvalid)
	}
	var text [8]byte
	copy(text[:], source[4:])
	start := len(b)
	b, err := ordered.AppendDecode(b, text[:])
	if err != nil || len(b)-start != 5 { // fewer: the decoder skips line breaks
		return nil, fmt.Errorf("source id: %w: want characters 0-9 and a-v", storage.ErrInvalid)
	}
	return b, nil
}

// Delivery returns the id of an event's delivery for a registration: dlv_ and both ids without their prefixes.
func Delivery(registration, event string) string {
	return "dlv_" + strings.TrimPrefix(registration, "reg_") + strings.TrimPrefix(event, EventPrefix)
}

// SplitDelivery undoes Delivery.
func SplitDelivery(id string) (registration, event string, err error) {
	if len(id) != 4+26+44 || !strings.HasPrefix(id, "dlv_") {
		return "", "", fmt.Errorf("delivery id: %w: want dlv_ and 70 characters", storage.ErrInvalid)
	}
	registration, event = "reg_"+id[4:30], EventPrefix+id[30:]
	if _, err := DecodeEvent(event); err != nil {
		return "", "", fmt.Errorf("delivery id: %w", err)
	}
	return registration, event, nil
}

func putMillis(b []byte, t time.Time) {
	ms := uint64(max(t.UnixMilli(), 0))
	b[0], b[1] = byte(ms>>40), byte(ms>>32)
	binary.BigEndian.PutUint32(b[2:], uint32(ms))
}

// NewFrom is From, and also makes source ids, of which prefix is SourcePrefix.
func NewFrom(prefix string, at time.Time, text string) string {
	if prefix != SourcePrefix {
		return From(prefix, at, text)
	}
	sum := sha256.Sum256([]byte(at.Format(time.RFC3339Nano) + text))
	return SourcePrefix + "-" + ordered.EncodeToString(sum[:5])
}

// SourcePrefix is the prefix that NewFrom takes for a source.
const SourcePrefix = "src"
