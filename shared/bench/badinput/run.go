package main

import (
	"context"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"ringback/shared/control"
	"ringback/shared/history"
)

// A plan says what is to be sent.
type plan struct {
	requests uint64 // to each provider
	seed     uint64
	every    uint64 // one in so many goes through the embedded backend too
	seeds    string // folder of the providers, whose testdata are mutated
	plant    plant
}

// part is how many requests a goroutine makes before it takes more.
const part = 500

// maxFindings ends a run: more of the same teach nothing.
const maxFindings = 20

// A finding is a request and what is wrong with what came of it.
type finding struct {
	provider string
	number   uint64
	err      error
	raw      []byte
}

// A tally counts what became of the requests to one provider.
type tally struct {
	requests, notHTTP, accepted, panics, failures int
	refused                                       [600]int // by status
	arrived, bytes                                int      // that came out of the messages
	recognised                                    int      // accepted ones that were sent again
}

func (t *tally) add(o tally) {
	t.requests += o.requests
	t.notHTTP += o.notHTTP
	t.accepted += o.accepted
	t.panics += o.panics
	t.failures += o.failures
	t.arrived += o.arrived
	t.bytes += o.bytes
	t.recognised += o.recognised
	for status, n := range o.refused {
		t.refused[status] += n
	}
}

// A result is what a provider's requests came to.
type result struct {
	provider string
	tally
	took         time.Duration
	kept, stored int // events that were sent on to the embedded backend; that lie there unchanged
	wanted       int // deliveries of these that there must be
	delivered    int
	unreadable   int // deliveries without a body, or in format standard without JSON
	faults       []string
	findings     []finding
}

// run sends the plan's requests to one provider.
func (p plan) run(ctx context.Context, name string) (result, error) {
	w, err := newWorld(ctx, p.plant)
	if err != nil {
		return result{}, err
	}
	defer w.close()
	start := time.Now()
	seeds, err := readSeeds(p.seeds, name, start)
	if err != nil {
		return result{}, err
	}
	s := shift{plan: p, name: name, w: w, seeds: seeds, result: result{provider: name}}
	var working sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		working.Go(func() { s.work(ctx) })
	}
	working.Wait()
	err = s.look(context.WithoutCancel(ctx)) // if it was interrupted, at what was done
	s.result.took = time.Since(start)
	return s.result, err
}

// A shift is a run under way.
type shift struct {
	plan
	name  string
	w     *world
	seeds []request
	next  atomic.Uint64

	mu     sync.Mutex
	kept   []keptEvent
	result result
}

// work makes and judges requests until all are made.
func (s *shift) work(ctx context.Context) {
	j := newJudge(s.name, s.w)
	m := maker{chance: newChance(), provider: s.name, seeds: s.seeds, words: words[s.name]}
	for ctx.Err() == nil {
		from := s.next.Add(part) - part
		if from >= s.requests || s.full() {
			break
		}
		for n := from; n < min(from+part, s.requests); n++ {
			raw := m.make(s.seed, n, time.Now())
			if err := j.judge(ctx, raw, n%s.every == 0); err != nil {
				s.note(finding{s.name, n, err, slices.Clone(raw)})
			}
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.result.add(j.tally)
	s.kept = append(s.kept, j.kept...)
}

func (s *shift) note(f finding) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.result.findings = append(s.result.findings, f)
}

func (s *shift) full() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.result.findings) >= maxFindings
}

// look waits for the worker, and compares what lies in the embedded backend.
func (s *shift) look(ctx context.Context) error {
	r := &s.result
	if err := s.w.drained(ctx); err != nil {
		return err
	}
	r.delivered, r.unreadable, r.faults = int(s.w.posts.all.Load()), int(s.w.posts.unreadable.Load()), s.w.faults.told()
	of := map[string][]keptEvent{} // mutations of a callback may be repeats of it
	for _, k := range s.kept {
		of[k.id] = append(of[k.id], k)
	}
	for id, ks := range of {
		if of[windowBefore(id)] != nil {
			continue // a repeat of what came ten minutes before has no row
		}
		r.kept++
		e, err := history.New(control.New(s.w.g)).EventOf(ctx, control.Operator(), id)
		if err == nil && slices.Contains(ks, keptEvent{id, sha256.Sum256(e.Payload)}) {
			r.stored++
		}
		if !e.Unreadable {
			r.wanted += formats
		}
	}
	return nil
}

// windowBefore returns the id that an event without a time of its own had if it
// came ten minutes earlier: 27 bytes in base32, of which those from 5 to 11 are
// milliseconds.
func windowBefore(id string) string {
	text := strings.ToUpper(strings.TrimPrefix(id, "evt_"))
	b, err := base32.HexEncoding.WithPadding(base32.NoPadding).DecodeString(text)
	if err != nil || len(b) < 11 {
		return ""
	}
	at := binary.BigEndian.Uint64(b[3:11])&(1<<48-1) - uint64((10 * time.Minute).Milliseconds())
	binary.BigEndian.PutUint64(b[3:11], uint64(b[3])<<56|uint64(b[4])<<48|at)
	return "evt_" + strings.ToLower(base32.HexEncoding.WithPadding(base32.NoPadding).EncodeToString(b))
}

// problems returns what is wrong with r besides its findings.
func (r result) problems() []string {
	var out []string
	want := func(ok bool, format string, args ...any) {
		if !ok {
			out = append(out, fmt.Sprintf(format, args...))
		}
	}
	want(r.accepted > r.requests/10, "%d of %d requests were accepted, which is too few to tell anything", r.accepted, r.requests)
	want(r.stored == r.kept && r.kept > 0, "%d of %d events lie in the embedded backend as they came", r.stored, r.kept)
	want(r.delivered >= r.wanted, "%d deliveries, want at least %d", r.delivered, r.wanted)
	want(r.unreadable == 0, "%d deliveries could not be read", r.unreadable)
	return append(out, r.faults...)
}
