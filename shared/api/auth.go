package api

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"golang.org/x/time/rate"

	"ringback/shared/control"
)

// minOperatorKey is the length of the shortest operator key in characters.
const minOperatorKey = 32

// Bounds of the caches of keys and rates: a key that was deleted or has expired ends
// within 30 s, and guessing costs no read each time.
const (
	knownKeys   = 10_000
	knownRates  = 10_000
	keyFresh    = 15 * time.Second
	refuseFresh = 2 * time.Second
)

// known is the remembered result of a look-up of a key.
type known struct {
	caller control.Caller
	key    control.APIKey
	err    error     // wraps control.ErrUnauthorized, or nil
	until  time.Time // then it is to be asked for again
}

// A call is what is noted about one request for its log line.
type call struct {
	caller    control.Caller
	operation string
	pattern   string
	why       string // reason of a problem; holds nothing of the request
}

type callKey struct{}

// callOf returns the notes of the request that ctx belongs to.
func callOf(ctx context.Context) *call {
	c, ok := ctx.Value(callKey{}).(*call)
	if !ok {
		return &call{}
	}
	return c
}

// bearer returns the token of an Authorization header (RFC 6750, section 2.1),
// whose scheme may be in any case (RFC 9110, section 11.1).
func bearer(header string) string {
	scheme, token, _ := strings.Cut(header, " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(token)
}

// admit finds the caller by its key, stores it in c, and checks that it may call c's operation: scope and rate limit,
// of which the call takes cost.
func (s *server) admit(ctx context.Context, c *call, key string, cost int) error {
	found, err := s.callerOf(ctx, key)
	c.caller = found.caller
	switch {
	case err != nil:
		return err
	case !allowed(c.operation, found.caller.Scope):
		return fmt.Errorf("key: %w: its scope does not allow this call", control.ErrForbidden)
	}
	return s.limitRate(found.caller, cost)
}

// callerOf returns the caller with this key. The error wraps ErrUnauthorized.
func (s *server) callerOf(ctx context.Context, key string) (known, error) {
	if key == "" {
		return known{}, fmt.Errorf("key: %w", control.ErrUnauthorized)
	}
	sum := sha256.Sum256([]byte(key))
	if s.operator != nil && subtle.ConstantTimeCompare(sum[:], s.operator[:]) == 1 {
		return known{caller: control.Operator()}, nil
	}
	now := time.Now()
	k, ok := s.keys.Get(sum)
	if !ok || !now.Before(k.until) {
		k = known{until: now.Add(keyFresh)}
		k.caller, k.key, k.err = s.control.CallerOf(ctx, key)
		switch {
		case errors.Is(k.err, control.ErrUnauthorized):
			k.until = now.Add(refuseFresh)
		case k.err != nil:
			return known{}, k.err
		}
		s.keys.Add(sum, k)
	}
	if k.err == nil && !k.key.Expires.IsZero() && !now.Before(k.key.Expires) {
		k.err = fmt.Errorf("key expired: %w", control.ErrUnauthorized)
	}
	return k, k.err
}

// forgetKeys empties the cache, so that this process sees a change of keys at once.
func (s *server) forgetKeys() { s.keys.Purge() }

// limitRate takes cost calls from the caller's budget: a second's worth at once, and
// as much each second. The operator has no limit.
func (s *server) limitRate(c control.Caller, cost int) error {
	if c.Scope == control.ScopeOperator {
		return nil
	}
	most := c.Limits.APICallsPerSecond
	name := c.Tenant + "/" + c.Group
	l, ok := s.rates.Get(name)
	if !ok || l.Limit() != rate.Limit(most) {
		l = rate.NewLimiter(rate.Limit(most), max(int(math.Ceil(most)), 1))
		if old, had, _ := s.rates.PeekOrAdd(name, l); had && old.Limit() == l.Limit() {
			l = old
		} else if had {
			s.rates.Add(name, l)
		}
	}
	r := l.ReserveN(time.Now(), min(cost, l.Burst()))
	if wait := r.Delay(); wait > 0 {
		r.Cancel()
		return &control.RateLimitError{Code: "too_many_calls", What: "calls", Limit: fmt.Sprintf("%v a second", most), RetryAfter: wait}
	}
	return nil
}
