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

// generationTTL is how long a source's version is believed without a look, so
// that a change of its registrations takes effect within 2 s.
const generationTTL = time.Second

// loadTimeout is how long one look at a version may take.
const loadTimeout = 5 * time.Second

// Bounds on what the worker remembers.
const (
	postingCacheSize      = 10_000 // lists of the match index
	maxCachedPosting      = 1_000  // registrations; longer lists are paged each time
	registrationCacheSize = 20_000
	grantCacheSize        = 10_000
)

// A generation tells the worker what of a source's match index is in use. Its
// row's revision is new after every published change of the source.
type generation struct {
	Patterns map[string][]string `json:"patterns"` // routing-key kind, * for none → event type patterns
}

type cachedGeneration struct {
	generation
	Rev    string
	readAt time.Time // when it was read
}

// atGeneration is something that was read while the source had the revision rev.
type atGeneration[T any] struct {
	rev   string
	value T
}

// matcher remembers what matching needs. All but versions is kept under the
// version's revision, so a new one makes the rest unknown at once.
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

// Publish makes a change of source known: to this process at once, to others within versionFresh. It adds the
// patterns of hints to those in use; that is done before the hints' entries are written.
//
// Where another was faster, it published after this change was written, and so for both: of any
// number at once none need write again but those with patterns that are new.
func (f *matcher) Publish(ctx context.Context, source string, add ...IndexEntry) error {
	late := false
	_, err := storage.Change(ctx, f.Store, generationKey(source), func(v *generation, _ *storage.Row) error {
		if !v.addPatterns(add) && late {
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

// addPatterns adds the patterns of hints, and reports whether any was new.
func (v *generation) addPatterns(hints []IndexEntry) bool {
	added := false
	for _, h := range hints {
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

// Generation returns the source's version, at most versionFresh old.
func (f *matcher) Generation(ctx context.Context, source string) (cachedGeneration, error) {
	v, ok := f.generations.Get(source)
	if ok && time.Since(v.readAt) < generationTTL {
		return *v, nil
	}
	got, err, _ := f.loading.Do(source, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), loadTimeout) // others wait for it too
		defer cancel()
		at := time.Now() // as the wall clock goes wrong, the monotonic one does not
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

// postingsFor returns the index entries under which registrations that may want e stand, in order.
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

// A cursor is where a search for registrations stands.
type cursor struct {
	Posting IndexEntry `json:"s"`
	After   string     `json:"a"` // registration
}

// match returns the registrations that want e and may have it, from a place on, at most limit of
// them, and the place where to go on; nil after the last. Each registration is found once; by
// several calls for one event twice, if its entries changed meanwhile.
func (f *matcher) match(ctx context.Context, e *provider.Event, from *cursor, limit int) ([]*Registration, *cursor, error) {
	if e.Unreadable {
		return nil, nil, nil
	}
	v, err := f.Generation(ctx, e.Source)
	if err != nil {
		return nil, nil, err
	}
	streams := v.postingsFor(e)
	var found []*Registration
	var walked []IndexEntry // by calls before
	seen := map[string]bool{}
	for i, s := range streams {
		after := ""
		if from != nil {
			walked = streams[:i]
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
				got, err := f.eligible(ctx, v, e, walked, seen, page)
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

// failuresOnly reports whether a leaves rows only where something fails: its source keeps no more, its
// registrations fit one row, and nobody can have begun it before. From the second receive on every
// outcome is written, so that what a crashed run did is repeated once, not each time.
func (f *matcher) failuresOnly(ctx context.Context, a message.InboundEvent, long bool) (bool, error) {
	if long || a.Repeated || OwnEvent(&a.Event) || a.Unreadable {
		return false, nil
	}
	v, err := f.Generation(ctx, a.Source)
	if err != nil {
		return false, err
	}
	s, err := loadCached(ctx, f.Store, f.sources, v.Rev, a.Source, SourceKey(a.Source))
	if ignoring(err, storage.ErrNotFound) != nil { // else it was deleted meanwhile; its events are still delivered
		return false, fmt.Errorf("source %s: %w", a.Source, err)
	}
	return s.History == FailureHistory, nil
}

// posting returns registrations of one stream after a place, in order, and whether
// there are more. The entries are hints: a superset.
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

// eligible returns those of ids, in their order, that want e and may have it, unless they were seen
// in this call, or found in one of the streams that calls before walked.
func (f *matcher) eligible(ctx context.Context, v cachedGeneration, e *provider.Event, walked []IndexEntry, seen map[string]bool, ids []string) ([]*Registration, error) {
	rs, err := f.registrationsOf(ctx, v.Rev, ids)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(rs, func(a, b *Registration) int { return cmp.Compare(a.ID, b.ID) })
	out := rs[:0]
	for _, r := range rs {
		if seen[r.ID] || r.State == Removed || !r.Wants(e) || r.wasIndexed(walked, e) {
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

// indexSettleTime is how long before an event came r's entries must have been as they are for every list that is
// read for it to hold them: workers know a source as it was a second ago, and clocks differ.
const indexSettleTime = time.Minute

// wasIndexed reports whether r was certainly in one of streams when it was walked
// for e. r as it is now may have entries that it had not then.
func (r *Registration) wasIndexed(streams []IndexEntry, e *provider.Event) bool {
	return len(streams) > 0 && r.Indexed.Before(e.Received.Add(-indexSettleTime)) &&
		slices.ContainsFunc(r.IndexEntries(), func(h IndexEntry) bool { return slices.Contains(streams, h) })
}

// registrationsOf returns those of ids that exist, as they were when the source had the revision
// rev, or later. Others have them too: they are only read.
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

// storedRegistration returns a registration as it is stored.
func (f *matcher) storedRegistration(ctx context.Context, id string) (Registration, error) {
	r, _, err := storage.Load[Registration](ctx, f.Store, RegistrationKey(id))
	return r, err
}

// registration returns a registration no older than a second, or storage.ErrNotFound.
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
