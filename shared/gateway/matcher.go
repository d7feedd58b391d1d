package gateway

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/sync/singleflight"

	"ringback/shared/message"
	"ringback/shared/provider"
	"ringback/shared/storage"
)

// generationTTL is how long a process relies on a source's generation, so that a change of its registrations takes
// effect within 2 s.
const generationTTL = time.Second

// loadTimeout bounds one read of a generation.
const loadTimeout = 5 * time.Second

// Sizes of the matcher's caches.
const (
	postingCacheSize      = 10_000 // postings
	maxCachedPosting      = 1_000  // registrations; a longer posting is read page by page each time
	registrationCacheSize = 20_000
	grantCacheSize        = 10_000
)

// A generation is the state of a source's match index: which kinds of routing keys and which patterns it uses. Its
// row gets a new revision with every published change of the source.
type generation struct {
	Patterns map[string][]string `json:"patterns"` // kind of routing key, * for none → patterns of event types
}

type cachedGeneration struct {
	generation
	Rev    string
	readAt time.Time // by the monotonic clock
}

// atGeneration is a value read while the source was at the generation rev.
type atGeneration[T any] struct {
	rev   string
	value T
}

// A matcher finds the registrations of an event by an inverted index: each registration stands in postings, one
// for each pair of routing key and event type pattern. All caches except generations are valid for one generation:
// a new one invalidates them at once.
type matcher struct {
	*core
	generations   *lru.Cache[string, *cachedGeneration]
	loading       singleflight.Group
	postings      *lru.Cache[string, atGeneration[[]string]]
	registrations *lru.Cache[string, atGeneration[*Registration]]
	grants        *lru.Cache[string, atGeneration[[]Grant]]
	groups        *lru.Cache[string, *atGeneration[Group]]
	tenants       *lru.Cache[string, *atGeneration[Tenant]]
	sources       *lru.Cache[string, *atGeneration[Source]]
}

func newMatcher(c *core) *matcher {
	return &matcher{
		core: c, generations: newCache[*cachedGeneration](registrationCacheSize), postings: newCache[atGeneration[[]string]](postingCacheSize),
		registrations: newCache[atGeneration[*Registration]](registrationCacheSize), grants: newCache[atGeneration[[]Grant]](grantCacheSize),
		groups: newCache[*atGeneration[Group]](grantCacheSize), tenants: newCache[*atGeneration[Tenant]](grantCacheSize), sources: newCache[*atGeneration[Source]](grantCacheSize),
	}
}

// Publish starts a new generation of source, known in this process at once and in others within generationTTL. It
// adds the patterns of entries before the entries are written.
//
// A caller that loses the race to another need not write again unless it has new patterns: the other published
// after this caller's change was stored.
func (f *matcher) Publish(ctx context.Context, source string, entries ...IndexEntry) error {
	late := false
	_, err := storage.Change(ctx, f.Store, generationKey(source), func(v *generation, _ *storage.Row) error {
		if !v.addPatterns(entries) && late {
			return storage.ErrUnchanged
		}
		late = true
		return nil
	})
	f.generations.Remove(source)
	if err != nil {
		return fmt.Errorf("publish %s: %w", source, err)
	}
	return nil
}

// addPatterns adds the patterns of entries and reports whether any was new.
func (v *generation) addPatterns(entries []IndexEntry) bool {
	added := false
	for _, h := range entries {
		kind, _, _ := strings.Cut(h.RoutingKey, "=")
		if slices.Contains(v.Patterns[kind], h.Pattern) {
			continue
		}
		if v.Patterns == nil {
			v.Patterns = map[string][]string{}
		}
		v.Patterns[kind] = append(v.Patterns[kind], h.Pattern)
		added = true
	}
	return added
}

// Generation returns the source's generation, at most generationTTL old.
func (f *matcher) Generation(ctx context.Context, source string) (cachedGeneration, error) {
	v, ok := f.generations.Get(source)
	if ok && time.Since(v.readAt) < generationTTL {
		return *v, nil
	}
	got, err, _ := f.loading.Do(source, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), loadTimeout) // other callers wait for it too
		defer cancel()
		at := time.Now() // monotonic: the wall clock may be set
		v, row, err := storage.Load[generation](ctx, f.Store, generationKey(source))
		if err != nil && !errors.Is(err, storage.ErrNotFound) {
			return nil, err
		}
		known := &cachedGeneration{generation: v, Rev: row.Rev, readAt: at}
		f.generations.Add(source, known)
		return known, nil
	})
	if err != nil {
		return cachedGeneration{}, fmt.Errorf("version of %s: %w", source, err)
	}
	return *got.(*cachedGeneration), nil
}

// postingsFor returns the postings that can hold registrations for e, in order. Example: an event delivered with
// group=g1, on a source that uses {"*": ["delivered"], "group": ["*"]}, has the postings ("*", "delivered") and
// ("group=g1", "*").
func (v generation) postingsFor(e *provider.Event) []IndexEntry {
	var out []IndexEntry
	for kind, patterns := range v.Patterns {
		values := e.Keys[kind]
		if kind == "*" {
			values = []string{""}
		}
		for _, p := range patterns {
			if !WantsType([]string{p}, e.Type) {
				continue
			}
			for _, value := range values {
				key := kind
				if kind != "*" {
					key += "=" + value
				}
				out = append(out, IndexEntry{key, p})
			}
		}
	}
	slices.SortFunc(out, compareIndexEntries)
	return slices.Compact(out)
}

// A cursor is where match goes on.
type cursor struct {
	Posting IndexEntry `json:"s"`
	After   string     `json:"a"` // id of the last registration
}

// match returns at most limit registrations that want e and may have it, after the cursor from, and the cursor to
// go on from; nil after the last. One call returns each registration once. A further call may return one again
// whose entries changed meanwhile.
func (f *matcher) match(ctx context.Context, e *provider.Event, from *cursor, limit int) ([]*Registration, *cursor, error) {
	if e.Unreadable {
		return nil, nil, nil
	}
	v, err := f.Generation(ctx, e.Source)
	if err != nil {
		return nil, nil, err
	}
	postings := v.postingsFor(e)
	var found []*Registration
	var searched []IndexEntry // by earlier calls
	seen := map[string]bool{}
	for i, s := range postings {
		after := ""
		if from != nil {
			searched = postings[:i]
			switch c := compareIndexEntries(s, from.Posting); {
			case c < 0:
				continue
			case c == 0:
				after = from.After
			}
		}
		for more := true; more; {
			var ids []string
			if ids, more, err = f.posting(ctx, v, e.Source, s, after); err != nil {
				return nil, nil, err
			}
			for page := range slices.Chunk(ids, storage.MaxPageRows) {
				got, err := f.eligible(ctx, v, e, searched, seen, page)
				if err != nil {
					return nil, nil, err
				}
				if room := limit - len(found); len(got) > room {
					if room > 0 {
						after = got[room-1].ID
					}
					return append(found, got[:room]...), &cursor{s, after}, nil
				}
				found, after = append(found, got...), page[len(page)-1]
			}
		}
	}
	return found, nil, nil
}

// failuresOnly reports whether a's fan-out writes rows only where something fails: its source keeps no more
// history, its registrations fit into one row, and no run can have claimed it before. A message that is received
// again writes every outcome, so that a crash repeats deliveries once and not each time.
func (f *matcher) failuresOnly(ctx context.Context, a message.InboundEvent, long bool) (bool, error) {
	if long || a.Repeated || OwnEvent(&a.Event) || a.Unreadable {
		return false, nil
	}
	v, err := f.Generation(ctx, a.Source)
	if err != nil {
		return false, err
	}
	s, err := loadCached(ctx, f.Store, f.sources, v.Rev, a.Source, SourceKey(a.Source))
	if ignoring(err, storage.ErrNotFound) != nil { // a source deleted meanwhile: its events are still delivered
		return false, fmt.Errorf("source %s: %w", a.Source, err)
	}
	return s.History == FailureHistory, nil
}

// posting returns registration ids of one posting after an id, in order, and whether there are more. Some may not
// match any more.
func (f *matcher) posting(ctx context.Context, v cachedGeneration, source string, s IndexEntry, after string) ([]string, bool, error) {
	name := source + "\x00" + s.RoutingKey + "\x00" + s.Pattern
	if l, ok := f.postings.Get(name); ok && l.rev == v.Rev {
		n, there := slices.BinarySearch(l.value, after)
		if there {
			n++
		}
		return l.value[n:], false, nil
	}
	q := storage.Query{Table: storage.Registrations, PK: indexPK(source, s.RoutingKey), Consistent: true}.Prefix(s.Pattern + "#")
	if after != "" {
		q.After = s.Pattern + "#" + after
	}
	var ids []string
	for {
		page, err := f.Store.List(ctx, q)
		if err != nil {
			return nil, false, fmt.Errorf("match %s: %w", source, err)
		}
		for _, r := range page.Rows {
			ids = append(ids, r.SK[len(s.Pattern)+1:])
		}
		if page.Next == "" && after == "" && len(ids) <= maxCachedPosting {
			f.postings.Add(name, atGeneration[[]string]{v.Rev, ids})
		}
		if page.Next == "" || len(ids) >= maxCachedPosting || after != "" && len(ids) > 0 {
			return ids, page.Next != "", nil
		}
		q.After = page.Next
	}
}

// eligible returns those of ids, in order, that want e and may have it, except those in seen and those that an
// earlier call found in one of the postings in walked.
func (f *matcher) eligible(ctx context.Context, v cachedGeneration, e *provider.Event, searched []IndexEntry, seen map[string]bool, ids []string) ([]*Registration, error) {
	rs, err := f.registrationsOf(ctx, v.Rev, ids)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(rs, func(a, b *Registration) int { return cmp.Compare(a.ID, b.ID) })
	out := rs[:0]
	for _, r := range rs {
		if seen[r.ID] || r.State == Removed || !r.Wants(e) || r.wasIndexed(searched, e) {
			continue
		}
		seen[r.ID] = true
		switch verdict, _, err := f.eligibility(ctx, v.Rev, e, r); {
		case err != nil:
			return nil, err
		case verdict != Cancelled:
			out = append(out, r)
		}
	}
	return out, nil
}

// indexSettleTime is how long r's entries must be unchanged before an event's receipt for every posting read for
// that event to hold r: workers know a generation from a second ago, and clocks differ.
const indexSettleTime = time.Minute

// wasIndexed reports whether r certainly stood in one of the postings when they were read for e. Entries that
// changed since then prove nothing.
func (r *Registration) wasIndexed(postings []IndexEntry, e *provider.Event) bool {
	return len(postings) > 0 && r.Indexed.Before(e.Received.Add(-indexSettleTime)) &&
		slices.ContainsFunc(r.IndexEntries(), func(h IndexEntry) bool { return slices.Contains(postings, h) })
}

// registrationsOf returns those of ids that exist, as they were at the generation rev or later. They are shared:
// only read them.
func (f *matcher) registrationsOf(ctx context.Context, rev string, ids []string) ([]*Registration, error) {
	out := make([]*Registration, 0, len(ids))
	var missing []storage.Key
	for _, id := range ids {
		if r, ok := f.registrations.Get(id); ok && r.rev == rev {
			out = append(out, r.value)
		} else {
			missing = append(missing, RegistrationKey(id))
		}
	}
	rows, err := storage.GetAll(ctx, f.Store, missing)
	if err != nil {
		return nil, fmt.Errorf("get %d registrations: %w", len(missing), err)
	}
	for _, row := range rows {
		r := &Registration{}
		if err := storage.Decode(row, r); err != nil {
			return nil, err
		}
		f.registrations.Add(r.ID, atGeneration[*Registration]{rev, r})
		out = append(out, r)
	}
	return out, nil
}

// storedRegistration reads a registration past the cache.
func (f *matcher) storedRegistration(ctx context.Context, id string) (Registration, error) {
	r, _, err := storage.Load[Registration](ctx, f.Store, RegistrationKey(id))
	return r, err
}

// registration returns a registration at most generationTTL old, and the generation. The error wraps
// storage.ErrNotFound.
func (f *matcher) registration(ctx context.Context, source, id string) (*Registration, string, error) {
	v, err := f.Generation(ctx, source)
	if err != nil {
		return nil, "", err
	}
	rs, err := f.registrationsOf(ctx, v.Rev, []string{id})
	if err != nil {
		return nil, "", err
	}
	if len(rs) == 0 {
		return nil, "", storage.ErrNotFound
	}
	return rs[0], v.Rev, nil
}
