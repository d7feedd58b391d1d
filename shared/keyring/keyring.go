// Package keyring encrypts the secrets in rows, and says which of those that rotate are valid.
package keyring

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"ringback/shared/storage"
)

// A Ring encrypts secrets before they enter the Store, with AES-256-GCM. A sealed text is "s1.<key id>.<base64 of
// nonce and ciphertext>". Its additional data are the row and field that it was sealed for, so a copy elsewhere does
// not open. A Ring is safe for concurrent use.
type Ring struct {
	current string
	keys    map[string]cipher.AEAD
	signing [][]byte      // one of each line, the current first
	unnamed []cipher.AEAD // of lines without an id
	oldest  [32]byte      // of the last line
}

// Parse reads a key ring: one key a line, "<key id> <text>", where text is any 32 or more characters, which are hashed
// to the key. The first line seals, all open. A line may be a text alone: the last such line has the id "1", the
// others an id made of their text. Empty lines and those that begin with # are skipped.
func Parse(text string) (*Ring, error) {
	r := &Ring{keys: map[string]cipher.AEAD{}}
	unnamedID := ""
	for n, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		id, secret, found := strings.Cut(line, " ")
		if !found {
			sum := sha256.Sum256([]byte("ringback key " + line))
			id, secret = hex.EncodeToString(sum[:4]), line
			unnamedID = id
		}
		secret = strings.TrimSpace(secret)
		if len(secret) < 32 || strings.Contains(id, ".") {
			return nil, fmt.Errorf("key ring line %d: want an id without a dot, a space, and 32 or more characters", n+1)
		}
		if _, twice := r.keys[id]; twice {
			return nil, fmt.Errorf("key ring line %d: the id is used twice", n+1)
		}
		sum := sha256.Sum256([]byte("ringback seal " + secret))
		block, err := aes.NewCipher(sum[:])
		if err == nil {
			r.keys[id], err = cipher.NewGCMWithRandomNonce(block)
		}
		if err != nil {
			return nil, fmt.Errorf("key ring line %d: %w", n+1, err)
		}
		signing := sha256.Sum256([]byte("ringback sign " + secret))
		r.signing = append(r.signing, signing[:])
		if !found {
			r.unnamed = append(r.unnamed, r.keys[id])
		}
		if r.current == "" {
			r.current = id
		}
		r.oldest = sha256.Sum256([]byte("ringback id " + secret)) // the last line stays when keys rotate
	}
	if r.current == "" {
		return nil, fmt.Errorf("key ring: %w: want at least one line of 32 or more characters", storage.ErrInvalid)
	}
	if unnamedID == "" {
		return r, nil
	}
	if r.keys[defaultID] != nil {
		return nil, fmt.Errorf("key ring: one line has the id %s and another has none", defaultID)
	}
	r.keys[defaultID] = r.keys[unnamedID]
	if r.current == unnamedID {
		r.current = defaultID
	}
	return r, nil
}

// defaultID was the id of a text alone when a ring could hold only one, and still is that of the last one. So it may
// name any key that was once the last.
const defaultID = "1"

// GatewayID returns a name that all processes of a gateway share and that reveals nothing of the keys.
func (r *Ring) GatewayID() string { return "gw-" + hex.EncodeToString(r.oldest[:8]) }

// nonceSize is the size of the random nonce in front of the ciphertext.
const nonceSize = 12

// Seal encrypts plain for a field of the row with partition key pk.
func (r *Ring) Seal(pk, field, plain string) string {
	box := r.keys[r.current].Seal(nil, nil, []byte(plain), sealedFor(pk, field))
	return "s1." + r.current + "." + base64.RawStdEncoding.EncodeToString(box)
}

// Open undoes Seal for the same row and field. Its errors quote neither text.
func (r *Ring) Open(pk, field, sealed string) (string, error) {
	version, rest, _ := strings.Cut(sealed, ".")
	id, text, found := strings.Cut(rest, ".")
	if version != "s1" || !found {
		return "", fmt.Errorf("open %s of %s: not a sealed text", field, pk)
	}
	aead, ok := r.keys[id]
	if !ok {
		return "", fmt.Errorf("open %s of %s: key %q is not in the key ring", field, pk, id)
	}
	box, err := base64.RawStdEncoding.Strict().DecodeString(text)
	if err != nil || len(box) < nonceSize {
		return "", fmt.Errorf("open %s of %s: not a sealed text", field, pk)
	}
	plain, err := aead.Open(nil, nil, box, sealedFor(pk, field))
	for i := 0; err != nil && id == defaultID && i < len(r.unnamed); i++ {
		plain, err = r.unnamed[i].Open(nil, nil, box, sealedFor(pk, field))
	}
	if err != nil {
		return "", fmt.Errorf("open %s of %s: sealed by another key or for another row", field, pk)
	}
	return string(plain), nil
}

// Sign returns a HMAC-SHA256 in hex, which proves that somebody who has the ring wrote data for purpose.
func (r *Ring) Sign(purpose string, data []byte) string { return sign(r.signing[0], purpose, data) }

// Signed reports whether signature is Sign's for the same arguments, by any key of the ring.
func (r *Ring) Signed(purpose string, data []byte, signature string) bool {
	return slices.ContainsFunc(r.signing, func(key []byte) bool {
		return hmac.Equal([]byte(sign(key, purpose, data)), []byte(signature))
	})
}

func sign(key []byte, purpose string, data []byte) string {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(purpose + "\x00"))
	mac.Write(data)
	return hex.EncodeToString(mac.Sum(nil))
}

// CurrentID returns the id of the key that seals now.
func (r *Ring) CurrentID() string { return r.current }

// Current reports whether sealed was made with the key that seals now.
func (r *Ring) Current(sealed string) bool { return strings.HasPrefix(sealed, "s1."+r.current+".") }

func sealedFor(pk, field string) []byte { return []byte(pk + "\x00" + field) }

// A Secret is a sealed text with its validity. A rotating secret is a list of them, newest first.
type Secret struct {
	Sealed string    `json:"sealed"`
	Since  time.Time `json:"since"`
	Until  time.Time `json:"until,omitzero"` // zero: no end
}

// MaxValidSecrets is how many secrets of a kind may be valid at a time: every delivery is signed with each.
const MaxValidSecrets = 5

// Valid reports whether s is valid at now.
func (s Secret) Valid(now time.Time) bool { return s.Until.IsZero() || now.Before(s.Until) }

// Rotate returns secrets with a new first one. The others end after overlap at the latest; those that have ended are
// dropped.
func Rotate(secrets []Secret, sealed string, now time.Time, overlap time.Duration) []Secret {
	out := []Secret{{Sealed: sealed, Since: now}}
	for _, s := range secrets {
		if end := now.Add(overlap); s.Until.IsZero() || s.Until.After(end) {
			s.Until = end
		}
		if s.Valid(now) && overlap > 0 {
			out = append(out, s)
		}
	}
	return out
}

// OpenValid returns the plain texts of the secrets that are valid at now, newest first.
func (r *Ring) OpenValid(pk, field string, secrets []Secret, now time.Time) ([]string, error) {
	var out []string
	for _, s := range secrets {
		if !s.Valid(now) {
			continue
		}
		plain, err := r.Open(pk, field, s.Sealed)
		if err != nil {
			return nil, err
		}
		out = append(out, plain)
	}
	return out, nil
}
