package storage

import (
	"cmp"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// Limits of names, the same on both backends.
const (
	MaxKeyBytes   = 1 << 10 // of a PK or an SK; the limit of DynamoDB's sort key
	MaxGroupChars = 128     // of Message.Group ("SendMessage", MessageGroupId)
)

// Check returns nil if k can name a row, otherwise an error wrapping ErrInvalid that does not repeat the key.
func (k Key) Check() error {
	if err := k.Table.check(); err != nil {
		return err
	}
	if k.PK == "" || k.SK == "" {
		return fmt.Errorf("%w: key without PK or SK", ErrInvalid)
	}
	return CheckKeyParts(k.PK, k.SK)
}

// Check returns nil if r can be stored, otherwise an error wrapping ErrInvalid or, over MaxRowBytes, ErrTooLarge.
func (r Row) Check() error {
	if err := r.Key.Check(); err != nil {
		return err
	}
	if r.Rev == "" || r.Rev == AnyRev {
		return fmt.Errorf("%w: row without a revision", ErrInvalid)
	}
	if n := len(r.PK) + len(r.SK) + len(r.Data) + len(r.Body); n > MaxRowBytes {
		return fmt.Errorf("%w: row of %d bytes, at most %d", ErrTooLarge, n, MaxRowBytes)
	}
	return nil
}

// Check returns nil if q is valid, otherwise an error wrapping ErrInvalid.
func (q Query) Check() error {
	if err := q.Table.check(); err != nil {
		return err
	}
	if q.PK == "" {
		return fmt.Errorf("%w: query without PK", ErrInvalid)
	}
	if q.Open && q.Consistent {
		return fmt.Errorf("%w: the open index cannot be read consistently", ErrInvalid)
	}
	if err := checkPageLimit(q.Limit); err != nil {
		return err
	}
	return CheckKeyParts(q.PK, q.From, q.To, q.After)
}

// PageRows returns the most rows that a page of q holds.
func (q Query) PageRows() int { return cmp.Or(q.Limit, MaxPageRows) }

// CheckGet returns nil if keys are valid arguments of Get, otherwise an error wrapping ErrInvalid or, for more than
// MaxPageRows, ErrTooLarge.
func CheckGet(keys []Key) error {
	if len(keys) > MaxPageRows {
		return fmt.Errorf("%w: %d keys, at most %d", ErrTooLarge, len(keys), MaxPageRows)
	}
	for _, k := range keys {
		if err := k.Check(); err != nil {
			return err
		}
	}
	return nil
}

// CheckDue returns the most rows that a page of Due holds; the error wraps ErrInvalid if shard or limit is out of
// range.
func CheckDue(shard, limit int) (rows int, err error) {
	if shard < 0 || shard >= DueShards {
		return 0, fmt.Errorf("%w: due shard %d of %d", ErrInvalid, shard, DueShards)
	}
	return cmp.Or(limit, MaxPageRows), checkPageLimit(limit)
}

// Check returns an error wrapping ErrInvalid unless q is one of the three queues.
func (q QueueName) Check() error {
	if q != EventsQueue && q != RetryQueue && q != SlowQueue {
		return fmt.Errorf("%w: queue %q", ErrInvalid, string(q))
	}
	return nil
}

// CheckSend returns one error per message: nil, or one wrapping ErrTooLarge or ErrInvalid. An unknown queue, more than
// MaxSend messages or more than MaxMessageBytes in all are errors of every message.
func CheckSend(q QueueName, ms []Message) []error {
	errs := make([]error, len(ms))
	batchErr := checkBatch(q, ms)
	for i, m := range ms {
		if errs[i] = batchErr; batchErr == nil {
			errs[i] = m.check()
		}
	}
	return errs
}

func checkBatch(q QueueName, ms []Message) error {
	if err := q.Check(); err != nil {
		return err
	}
	if len(ms) > MaxSend {
		return fmt.Errorf("%w: %d messages, at most %d a send", ErrTooLarge, len(ms), MaxSend)
	}
	n := 0
	for _, m := range ms {
		n += len(m.Body)
	}
	if n > MaxMessageBytes {
		return fmt.Errorf("%w: messages of %d bytes, at most %d a send", ErrTooLarge, n, MaxMessageBytes)
	}
	return nil
}

func (m Message) check() error {
	switch {
	case m.Body == "":
		return fmt.Errorf("%w: message without a body", ErrInvalid)
	case !ValidText(m.Body):
		return fmt.Errorf("%w: message holds a character that no queue carries", ErrInvalid)
	case m.Delay < 0 || m.Delay > MaxDelay:
		return fmt.Errorf("%w: delay of %v, at most %v", ErrInvalid, m.Delay, MaxDelay)
	case !validGroup(m.Group):
		return fmt.Errorf("%w: message group", ErrInvalid)
	}
	return nil
}

// DelaySeconds returns m's delay in whole seconds, rounded up, as queues take it.
func (m Message) DelaySeconds() int { return int((m.Delay + time.Second - 1) / time.Second) }

// ValidText reports whether a message can hold s: valid UTF-8 of the characters that Message names.
func ValidText[T string | []byte](s T) bool {
	for i := 0; i < len(s); {
		if c := s[i]; c < utf8.RuneSelf {
			if c < 0x20 && c != '\t' && c != '\n' && c != '\r' {
				return false
			}
			i++
			continue
		}
		r, n := utf8.DecodeRuneInString(string(s[i:min(i+utf8.UTFMax, len(s))]))
		if r == utf8.RuneError && n == 1 || r == 0xFFFE || r == 0xFFFF {
			return false
		}
		i += n
	}
	return true
}

// validGroup reports whether SQS takes g as a MessageGroupId: letters, digits and ASCII punctuation.
func validGroup(g string) bool {
	return len(g) <= MaxGroupChars && !strings.ContainsFunc(g, func(r rune) bool { return r <= ' ' || r > '~' })
}

func (t Table) check() error {
	if t != Registrations && t != Deliveries {
		return fmt.Errorf("%w: table %q", ErrInvalid, string(t))
	}
	return nil
}

// CheckKeyParts returns an error wrapping ErrInvalid if a part, which may be empty, is too long or not UTF-8.
func CheckKeyParts(parts ...string) error {
	for _, s := range parts {
		if len(s) > MaxKeyBytes {
			return fmt.Errorf("%w: key part of %d bytes, at most %d", ErrInvalid, len(s), MaxKeyBytes)
		}
		if !utf8.ValidString(s) {
			return fmt.Errorf("%w: key is not UTF-8", ErrInvalid)
		}
	}
	return nil
}

func checkPageLimit(limit int) error {
	if limit < 0 || limit > MaxPageRows {
		return fmt.Errorf("%w: page of %d rows, at most %d", ErrInvalid, limit, MaxPageRows)
	}
	return nil
}
