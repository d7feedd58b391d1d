package pace

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
	bookFresh  = 5 * time.Second // how long a process believes what it read
	bookWrites = time.Second     // between two writes of a process
	mostNotes  = 100             // that wait for one
)

// Books keep the Book of each tenant in a row, for all processes.
type Books struct {
	store storage.Store
	key   func(tenant string) storage.Key
	clock func() time.Time

	mu      sync.Mutex
	books   *lru.Cache[string, *page]
	loading singleflight.Group
	slow    float64 // attempts for fast endpoints, of the last twenty or so
}

// A page is what this process knows of a tenant's Book.
type page struct {
	Book
	read  time.Time
	wrote time.Time
	notes []note // not written yet
}

// More than about so many slow ones among the last twenty attempts for fast endpoints that a process saw make
// each their endpoint slow: a crowd that turns at once is forgiven little.
const mostSlow = 5

// heed tells how seen is to be understood where many endpoints turn slow at a time.
func (bs *Books) heed(known Entry, o Outcome, seen Seen) Seen {
	if !known.Fast || !o.Made && !o.Cut {
		return seen
	}
	if bs.slow *= 0.95; o.slow() {
		bs.slow++
		seen.Slow = seen.Slow || bs.slow > mostSlow
	}
	return seen
}

// A note is an attempt that changes a Book.
type note struct {
	registration, url string
	Outcome
	seen Seen
	now  time.Time
}

// with returns b after notes, and whether one of them changed it.
func (b Book) with(notes ...note) (_ Book, any bool) {
	for _, n := range notes {
		after, changed := b.After(n.registration, n.url, n.Outcome, n.seen, n.now)
		b, any = after, any || changed
	}
	return b, any
}

// NewBooks returns the Books whose rows have a key.
func NewBooks(s storage.Store, key func(tenant string) storage.Key, clock func() time.Time) *Books {
	bs := &Books{store: s, key: key, clock: clock}
	bs.books, _ = lru.New[string, *page](Known)
	return bs
}

// Batches reports whether attempts for a tenant's registration may be made in a batch of messages. What other
// processes saw is known 5 s later. An empty url stands for the one that is known.
func (bs *Books) Batches(ctx context.Context, tenant, registration, url string) (bool, error) {
	bs.mu.Lock()
	p := known(bs.books, tenant)
	fresh := time.Since(p.read) < bookFresh
	b := p.Book
	bs.mu.Unlock()
	if !fresh {
		var err error
		if b, err = bs.load(ctx, tenant); err != nil {
			return false, err
		}
	}
	return b.Batches(registration, digest(url), bs.clock()), nil
}

// load reads a tenant's Book, once for all that ask at a time. It may be a moment old: that costs half.
func (bs *Books) load(ctx context.Context, tenant string) (Book, error) {
	v, err, _ := bs.loading.Do(tenant, func() (any, error) {
		var b Book
		begun, k := time.Now(), bs.key(tenant)
		q := storage.Query{Table: k.Table, PK: k.PK}.Prefix(k.SK)
		err := storage.Each(context.WithoutCancel(ctx), bs.store, q, func(r storage.Row) error { return storage.Decode(r, &b) })
		if err != nil {
			return b, fmt.Errorf("endpoints of %s: %w", tenant, err)
		}
		bs.mu.Lock()
		defer bs.mu.Unlock()
		p := known(bs.books, tenant)
		b, _ = b.with(p.notes...)
		p.Book, p.read = b, begun
		return b, nil
	})
	return v.(Book), err
}

// Heed notes how an attempt for a tenant's registration ended, and what this process saw of its endpoint, and
// writes what changes: at most once a second, and with it what could not be written before.
func (bs *Books) Heed(ctx context.Context, tenant, registration, url string, o Outcome, seen Seen) error {
	bs.mu.Lock()
	p, now := known(bs.books, tenant), time.Now()
	n := note{registration, digest(url), o, bs.heed(p.Endpoints[registration], o, seen), bs.clock()}
	if b, changed := p.Book.with(n); changed && len(p.notes) < mostNotes {
		p.Book, p.notes = b, append(p.notes, n)
	}
	if len(p.notes) == 0 || now.Sub(p.wrote) < bookWrites {
		bs.mu.Unlock()
		return nil
	}
	notes := p.notes
	p.notes, p.wrote = nil, now
	bs.mu.Unlock()
	b, err := storage.Change(ctx, bs.store, bs.key(tenant), func(b *Book, _ *storage.Row) error {
		after, changed := b.with(notes...)
		if *b = after; changed {
			return nil
		}
		return storage.ErrUnchanged
	})
	bs.mu.Lock()
	defer bs.mu.Unlock()
	if err != nil {
		p.notes = append(notes, p.notes...)
		return err
	}
	b, _ = b.with(p.notes...)
	p.Book, p.read = b, now
	return nil
}

// digest shortens a URL, so that a row holds thousands.
func digest(url string) string {
	if url == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(url))
	return base64.RawURLEncoding.EncodeToString(sum[:6])
}
