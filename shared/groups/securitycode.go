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
	"time"

	"ringback/shared/control"
	"ringback/shared/gateway"
	"ringback/shared/storage"
)

// codeRounds is how often the hash of a security code is iterated: the least
// that the OWASP Password Storage Cheat Sheet asks of PBKDF2-HMAC-SHA512.
const codeRounds = 210_000

// sha1Hex returns the SHA-1 of a security code, the form in which SmartBots
// takes it too (secret_sha1).
func sha1Hex(code string) string {
	sum := sha1.Sum([]byte(code))
	return hex.EncodeToString(sum[:])
}

// hashCode returns the slow salted hash of the SHA-1 of a code:
// "p1.<base64 of 16 bytes salt and 32 bytes hash>".
func hashCode(sha1 string) string {
	salt := make([]byte, 16)
	rand.Read(salt)
	return "p1." + base64.RawStdEncoding.EncodeToString(append(salt, stretch(sha1, salt)...))
}

// verifyCode reports whether hash is of the code with that SHA-1. An empty hash
// is of none, and takes as long to find out.
func verifyCode(hash, sha1 string) bool {
	kept, err := base64.RawStdEncoding.DecodeString(strings.TrimPrefix(hash, "p1."))
	known := err == nil && len(kept) == 48
	if !known {
		kept = make([]byte, 48)
	}
	same := hmac.Equal(stretch(sha1, kept[:16]), kept[16:])
	return same && known
}

func stretch(sha1 string, salt []byte) []byte {
	sum, err := pbkdf2.Key(sha512.New, sha1, salt, codeRounds, 32)
	if err != nil {
		panic(err) // unreachable: only FIPS mode refuses, and only shorter salts and keys
	}
	return sum
}

// How often a tenant may try a wrong code for a group.
const (
	maxGuesses  = 5
	guessWindow = 15 * time.Minute
)

// Guesses are the times of codes that were tried and not found right.
type Guesses struct {
	At []time.Time `json:"at"`
}

// guess notes that tenant tries a code for the group of that name, known or
// not. The error wraps control.ErrLimit if it was wrong too often. It is noted before
// the code is judged, so that calls at the same moment count.
func (g *Groups) guess(ctx context.Context, tenant, name string) (time.Time, error) {
	now := g.gw.Clock()
	_, err := storage.Change(ctx, g.gw.Store, guessKey(tenant, name), func(gs *Guesses, r *storage.Row) error {
		gs.At = slices.DeleteFunc(gs.At, func(at time.Time) bool { return now.Sub(at) >= guessWindow })
		if len(gs.At) >= maxGuesses {
			return fmt.Errorf("security code: %w: too many wrong codes, try again in %v", control.ErrLimit, guessWindow)
		}
		gs.At = append(gs.At, now)
		r.Expires = now.Add(guessWindow)
		return nil
	})
	return now, err
}

// guessedRight takes back what guess noted.
func (g *Groups) guessedRight(ctx context.Context, tenant, name string, at time.Time) error {
	_, err := storage.Change(ctx, g.gw.Store, guessKey(tenant, name), func(gs *Guesses, r *storage.Row) error {
		if i := slices.IndexFunc(gs.At, at.Equal); i >= 0 {
			gs.At = slices.Delete(gs.At, i, i+1)
		}
		r.Expires = at.Add(guessWindow)
		return nil
	})
	return err
}

func guessKey(tenant, name string) storage.Key {
	return storage.Key{Table: storage.Registrations, PK: "W#" + tenant + "#" + gateway.Digest(control.FoldName(name)), SK: "W"}
}
