package limiter

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/sync/singleflight"

	"ringback/shared/storage"
)

const (
	speedsTTL     = 5 * time.Second // how long a process trusts what it read
	writeInterval = time.Second     // between two writes of a process
	maxPending    = 100             // observations that wait for a write
)

// A SpeedStore keeps the Speeds of each tenant in a row, for all processes.
type SpeedStore struct {
	store storage.Store
	key   func(tenant string) storage.Key
	clock func() time.Time

	mu         sync.Mutex
	cached     *lru.Cache[string, *cachedSpeeds]
	loading    singleflight.Group
	recentSlow float64 // slow ones among about the last twenty attempts for fast endpoints
}

// cachedSpeeds are what this process knows of a tenant's Speeds.
type cachedSpeeds struct {
	Speeds
	readAt  time.Time
	wroteAt time.Time
	pending []observation // not written yet
}

// If more than about maxRecentSlow of a process's last twenty attempts for fast endpoints were slow, each further slow
// one makes its endpoint slow at once: many endpoints turn slow together.
const maxRecentSlow = 5

// adjust returns seen, marked slow where maxRecentSlow says so.
func (bs *SpeedStore) adjust(known Speed, o Outcome, seen Stats) Stats {
	if !known.Fast || !o.Attempted && !o.Interrupted {
		return seen
	}
	if bs.recentSlow *= 0.95; o.slow() {
		bs.recentSlow++
		seen.Slow = seen.Slow || bs.recentSlow > maxRecentSlow
	}
	return seen
}

// An observation is an attempt that changes a tenant's Speeds.
type observation struct {
	registration, url string
	Outcome
	seen Stats
	now  time.Time
}

// with returns b after observations, and whether one of them changed it.
func (b Speeds) with(observations ...observation) (_ Speeds, changed bool) {
	for _, n := range observations {
		after, different := b.After(n.registration, n.url, n.Outcome, n.seen, n.now)
		b, changed = after, changed || different
	}
	return b, changed
}

// NewSpeedStore returns a SpeedStore whose rows have the keys that key returns.
func NewSpeedStore(s storage.Store, key func(tenant string) storage.Key, clock func() time.Time) *SpeedStore {
	bs := &SpeedStore{store: s, key: key, clock: clock}
	bs.cached, _ = lru.New[string, *cachedSpeeds](MaxEndpoints)
	return bs
}

// AllowsBatch reports whether attempts for a tenant's registration may be made in a batch of messages. It learns what
// other processes saw within 5 s. An empty url means the known one.
func (bs *SpeedStore) AllowsBatch(ctx context.Context, tenant, registration, url string) (bool, error) {
	bs.mu.Lock()
	p := getOrAdd(bs.cached, tenant)
	fresh := time.Since(p.readAt) < speedsTTL
	b := p.Speeds
	bs.mu.Unlock()
	if !fresh {
		var err error
		if b, err = bs.load(ctx, tenant); err != nil {
			return false, err
		}
	}
	return b.AllowsBatch(registration, digest(url), bs.clock()), nil
}

// load reads a tenant's Speeds, once for all concurrent callers. The read may be stale by a moment, as it then costs
// half.
func (bs *SpeedStore) load(ctx context.Context, tenant string) (Speeds, error) {
	v, err, _ := bs.loading.Do(tenant, func() (any, error) {
		var b Speeds
		start, k := time.Now(), bs.key(tenant)
		q := storage.Query{Table: k.Table, PK: k.PK}.Prefix(k.SK)
		err := storage.Each(context.WithoutCancel(ctx), bs.store, q, func(r storage.Row) error { return storage.Decode(r, &b) })
		if err != nil {
			return b, fmt.Errorf("endpoints of %s: %w", tenant, err)
		}
		bs.mu.Lock()
		defer bs.mu.Unlock()
		p := getOrAdd(bs.cached, tenant)
		b, _ = b.with(p.pending...)
		p.Speeds, p.readAt = b, start
		return b, nil
	})
	return v.(Speeds), err
}

// Record notes how an attempt for a tenant's registration ended and what this process saw of its endpoint. It writes
// changes at most once a second, together with those that could not be written before.
func (bs *SpeedStore) Record(ctx context.Context, tenant, registration, url string, o Outcome, seen Stats) error {
	bs.mu.Lock()
	p, now := getOrAdd(bs.cached, tenant), time.Now()
	n := observation{registration, digest(url), o, bs.adjust(p.Endpoints[registration], o, seen), bs.clock()}
	if b, changed := p.Speeds.with(n); changed && len(p.pending) < maxPending {
		p.Speeds, p.pending = b, append(p.pending, n)
	}
	if len(p.pending) == 0 || now.Sub(p.wroteAt) < writeInterval {
		bs.mu.Unlock()
		return nil
	}
	observations := p.pending
	p.pending, p.wroteAt = nil, now
	bs.mu.Unlock()
	b, err := storage.Change(ctx, bs.store, bs.key(tenant), func(b *Speeds, _ *storage.Row) error {
		after, changed := b.with(observations...)
		if *b = after; changed {
			return nil
		}
		return storage.ErrUnchanged
	})
	bs.mu.Lock()
	defer bs.mu.Unlock()
	if err != nil {
		p.pending = append(observations, p.pending...)
		return err
	}
	b, _ = b.with(p.pending...)
	p.Speeds, p.readAt = b, now
	return nil
}

// digest shortens a URL so that a row holds thousands.
func digest(url string) string {
	if url == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(url))
	return base64.RawURLEncoding.EncodeToString(sum[:6])
}
