package groups

import (
	"context"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"ringback/shared/control"
	"ringback/shared/gateway"
	"ringback/shared/storage"
)

// codeRounds is the number of iterations for a security code's hash: the minimum of the OWASP Password Storage
// Cheat Sheet for PBKDF2-HMAC-SHA512.
const codeRounds = 210_000

// sha1Hex returns the SHA-1 of a security code, which SmartBots takes too (secret_sha1).
func sha1Hex(code string) string {
	sum := sha1.Sum([]byte(code))
	return hex.EncodeToString(sum[:])
}

// hashCode returns the slow salted hash of a code's SHA-1: "p1.<base64 of 16 bytes salt and 32 of hash>".
func hashCode(sha1 string) string {
	salt := make([]byte, 16)
	rand.Read(salt)
	return "p1." + base64.RawStdEncoding.EncodeToString(append(salt, stretch(sha1, salt)...))
}

// verifyCode reports whether hash is of the code with that SHA-1. For an empty hash it takes as long and reports false.
func verifyCode(hash, sha1 string) bool {
	stored, err := base64.RawStdEncoding.DecodeString(strings.TrimPrefix(hash, "p1."))
	known := err == nil && len(stored) == 48
	if !known {
		stored = make([]byte, 48)
	}
	same := hmac.Equal(stretch(sha1, stored[:16]), stored[16:])
	return same && known
}

func stretch(sha1 string, salt []byte) []byte {
	sum, err := pbkdf2.Key(sha512.New, sha1, salt, codeRounds, 32)
	if err != nil {
		panic(err) // unreachable: only FIPS mode refuses, and only shorter salts and keys
	}
	return sum
}

// How many security codes may be waiting: of one tenant or owner, and in all. This bounds the wait of the next.
const (
	maxPerTenant = 2
	maxWaiting   = 8
)

// A hashQueue verifies security codes one at a time, since each takes a core for 0.1 s.
type hashQueue struct {
	slot    chan struct{} // full while a code is verified
	mu      sync.Mutex
	waiting map[string]int // by tenant or owner
}

func newHashQueue() *hashQueue {
	return &hashQueue{slot: make(chan struct{}, 1), waiting: map[string]int{}}
}

// run calls f when it is c's turn. The error is a *control.RateLimitError if c, or too many others, wait already;
// the operator always waits.
func (l *hashQueue) run(ctx context.Context, c control.Caller, f func()) error {
	who := c.Tenant + c.Group
	add := func(n int) bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		if n > 0 && who != "" && (l.waiting[who] >= maxPerTenant || l.waiting[who] == 0 && len(l.waiting) >= maxWaiting) {
			return false
		}
		if l.waiting[who] += n; l.waiting[who] == 0 {
			delete(l.waiting, who)
		}
		return true
	}
	if !add(1) {
		return &control.RateLimitError{Code: "too_many_calls", What: "security codes", Limit: fmt.Sprintf("%d at once", maxPerTenant), RetryAfter: time.Second}
	}
	defer add(-1)
	select {
	case l.slot <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-l.slot }()
	f()
	return nil
}

// How many wrong codes a tenant may try: for a group, and over all names.
const (
	maxGuesses    = 5
	maxAllGuesses = 30
	guessWindow   = 15 * time.Minute
)

// Guesses are the times of a tenant's tries that were not found right, and the digests of the folded group names.
type Guesses struct {
	At    []time.Time `json:"at"`
	Names []string    `json:"names"`
}

// guess records that tenant tries a code for a group's name, whether or not such a group exists. The error wraps
// control.ErrLimit after too many wrong ones. It is recorded before the code is verified, so that concurrent tries
// count.
func (g *Groups) guess(ctx context.Context, tenant, name string) (time.Time, error) {
	now := g.gw.Clock()
	name = guessed(name)
	_, err := storage.Change(ctx, g.gw.Store, guessKey(tenant), func(gs *Guesses, r *storage.Row) error {
		byName, all := 0, *gs
		gs.At, gs.Names = nil, nil
		for i, other := range all.Names {
			if now.Sub(all.At[i]) >= guessWindow {
				continue
			}
			gs.At, gs.Names = append(gs.At, all.At[i]), append(gs.Names, other)
			if other == name {
				byName++
			}
		}
		if byName >= maxGuesses || len(gs.At) >= maxAllGuesses {
			return fmt.Errorf("security code: %w: too many wrong codes, try again in %v", control.ErrLimit, guessWindow)
		}
		gs.At, gs.Names = append(gs.At, now), append(gs.Names, name)
		r.Expires = now.Add(guessWindow)
		return nil
	})
	return now, err
}

// guessedRight removes what guess recorded.
func (g *Groups) guessedRight(ctx context.Context, tenant, name string, right time.Time) error {
	name = guessed(name)
	_, err := storage.Change(ctx, g.gw.Store, guessKey(tenant), func(gs *Guesses, r *storage.Row) error {
		for i, other := range gs.Names {
			if other == name && gs.At[i].Equal(right) {
				gs.At, gs.Names = slices.Delete(gs.At, i, i+1), slices.Delete(gs.Names, i, i+1)
				break
			}
		}
		r.Expires = right.Add(guessWindow)
		return nil
	})
	return err
}

func guessed(name string) string { return gateway.Digest(control.FoldName(name)) }

func guessKey(tenant string) storage.Key {
	return storage.Key{Table: storage.Registrations, PK: "W#" + tenant, SK: "W"}
}
