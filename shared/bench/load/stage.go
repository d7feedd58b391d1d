package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"time"
)

// Groups that chats are of: those of the first endpoint, and of the second.
const (
	groupA = "5b1f0c52-0a5e-4a0c-9a5a-1f6d2f0e7c11"
	groupB = "7e0c2a9e-63c5-4d24-8f8e-6a2f0f1d9b10"
)

// warm is how many callbacks come before what is measured.
const warm = 50

// A stage is a runner on a data folder of its own with one source.
type stage struct {
	*bench
	dir      string
	runner   *runner
	receiver *receiver // nil: no deliveries
	source   string
	path     string // of the source's callback
}

// newStage starts a runner on an empty file and makes the source.
func (b *bench) newStage(ctx context.Context) (*stage, error) {
	parent, err := os.MkdirTemp(b.scratch, "stage-*")
	if err != nil {
		return nil, err
	}
	s := &stage{bench: b, dir: filepath.Join(parent, "data")}
	if s.runner, err = startRunner(b.binary, s.dir); err != nil {
		return nil, err
	}
	var source struct {
		ID          string `json:"id"`
		CallbackURL string `json:"callback_url"`
	}
	err = s.runner.call(ctx, operatorKey, http.MethodPost, "/v1/sources", map[string]any{"provider": "smartbots", "name": "load"}, &source)
	if err != nil {
		return nil, errors.Join(err, s.close())
	}
	u, err := url.Parse(source.CallbackURL)
	if err != nil {
		return nil, errors.Join(err, s.close())
	}
	s.source, s.path = source.ID, u.Path
	return s, nil
}

// close ends the runner as Ctrl-C does, and removes its file.
func (s *stage) close() error {
	err := s.runner.stop()
	return errors.Join(err, s.remove())
}

func (s *stage) remove() error {
	if s.receiver != nil {
		s.receiver.close()
	}
	return os.RemoveAll(filepath.Dir(s.dir))
}

// wide are limits that are in nobody's way.
var wide = map[string]any{"registrations_per_source": 1000, "api_calls_per_second": 1000, "concurrency": 1000}

// tenant makes a tenant that may have all of the source, with limits other than
// the default if there are any, and returns its key.
func (s *stage) tenant(ctx context.Context, name string, limits map[string]any) (string, error) {
	var tenant struct {
		ID  string `json:"id"`
		Key string `json:"api_key"`
	}
	in := map[string]any{"name": name}
	if limits != nil {
		in["limits"] = limits
	}
	if err := s.runner.call(ctx, operatorKey, http.MethodPost, "/v1/tenants", in, &tenant); err != nil {
		return "", err
	}
	return tenant.Key, s.runner.call(ctx, operatorKey, http.MethodPost, "/v1/sources/"+s.source+"/grants", map[string]any{"tenant": tenant.ID}, nil)
}

// register makes a registration at an endpoint; without a group, of all chats.
func (s *stage) register(ctx context.Context, tenantKey string, endpoint int, group string) error {
	in := map[string]any{"source": s.source, "url": s.receiver.url(endpoint)}
	if group != "" {
		in["match"] = map[string][]string{"group": {group}}
	}
	return s.runner.call(ctx, tenantKey, http.MethodPost, "/v1/registrations", in, nil)
}

// endpoints serves so many endpoints, notes in l what they get, and registers
// them all for groupA.
func (s *stage) endpoints(ctx context.Context, l *ledger) error {
	if err := s.receive(l); err != nil {
		return err
	}
	key, err := s.tenant(ctx, "load", wide)
	for i := range l.endpoints {
		if err == nil {
			err = s.register(ctx, key, i, groupA)
		}
	}
	return err
}

// receive serves endpoints that note in l what they get.
func (s *stage) receive(l *ledger) (err error) {
	s.receiver, err = newReceiver(s.noting(l))
	return err
}

func (s *stage) generator(l *ledger, group string) *generator {
	return &generator{addr: s.runner.addr, path: s.path, group: group, ledger: l}
}

// fileMiB returns how large the database is, and its log.
func (s *stage) fileMiB() (database, log float64, err error) {
	size := func(name string) float64 {
		info, e := os.Stat(filepath.Join(s.dir, name))
		switch {
		case errors.Is(e, fs.ErrNotExist):
			return 0
		case e != nil:
			err = e
			return 0
		}
		return float64(info.Size()) / (1 << 20)
	}
	return size("ringback.db"), size("ringback.db-wal"), err
}

// A used is what was used so far.
type used struct {
	runner, own    time.Duration
	objects, bytes float64 // that the runner allocated
}

// begin returns what was used so far. To read the allocations takes processor
// time of the runner: here they come first, in sum last.
func (s *stage) begin(ctx context.Context) (u used, err error) {
	if u.objects, u.bytes, err = s.runner.allocated(ctx); err != nil {
		return u, err
	}
	u.runner, err = s.runner.cpu()
	u.own = ownCPU()
	return u, err
}

// sum notes in m what n deliveries cost since before, how large memory and file
// are, and what was lost or came twice.
func (s *stage) sum(ctx context.Context, m measurement, before used, n int, l *ledger) error {
	runner, err1 := s.runner.cpu()
	own := ownCPU()
	allocated, bytes, err2 := s.runner.allocated(ctx)
	each := float64(max(n, 1))
	m[cpu], m[ownCost] = (runner-before.runner).Seconds()/each*1000, (own-before.own).Seconds()/each*1000
	m[objects], m[kib] = (allocated-before.objects)/each, (bytes-before.bytes)/each/1024
	return errors.Join(err1, err2, s.sizes(m, l))
}

func (s *stage) sizes(m measurement, l *ledger) error {
	peak, err := s.runner.memory("VmHWM")
	if err != nil {
		return err
	}
	database, log, err := s.fileMiB()
	if err != nil {
		return err
	}
	m[memory], m[file] = peak, database+log
	m[acknowledged], m[lost], m[duplicated] = float64(l.acknowledged()), float64(l.lost()), float64(l.repeats.Load())
	if s.receiver != nil && s.receiver.failed.Load() > 0 {
		return fmt.Errorf("the receiver got %d requests that are no delivery", s.receiver.failed.Load())
	}
	return nil
}

// warmUp sends the first callbacks and waits for them.
func (s *stage) warmUp(ctx context.Context, l *ledger) error {
	if _, err := s.generator(l, groupA).flood(ctx, 0, warm, 8); err != nil {
		return err
	}
	return errors.Join(l.wait(ctx, s.patience), s.runner.idle(ctx))
}
