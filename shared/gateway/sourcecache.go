package gateway

import (
	"context"
	"errors"
	"fmt"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/sync/singleflight"

	"ringback/shared/ident"
	"ringback/shared/provider"
	"ringback/shared/storage"
)

// How long ingest goes by what it knows of a source.
const (
	sourceTTL        = 30 * time.Second // an acceptance; a withdrawn credential ends within it
	refusalTTL       = time.Second      // no callback is rejected because of an older entry
	staleTTL         = 15 * time.Minute // if the Store cannot be read
	sourceCacheSize  = 10_000           // callback URLs that are remembered
	unknownCacheSize = 1_000            // wrong ones, so that guessing costs little memory
)

// An account is a source as one of its callback keys names it, opened.
type account struct {
	Source
	label       string
	until       time.Time // of the callback key; zero: no end
	credentials provider.Credentials
	readAt      time.Time // when it was read, by the monotonic clock
}

// An ingester takes callbacks in. It remembers accounts by source and callback key.
type ingester struct {
	*core
	known   *lru.Cache[string, account]
	unknown *lru.Cache[string, time.Time]
	loading singleflight.Group
}

// account returns the account that a callback URL names. It is at most as old as age, unless the Store does not
// respond. The error wraps storage.ErrNotFound or storage.ErrUnavailable.
func (in *ingester) account(ctx context.Context, provider, source, key string, age time.Duration) (account, error) {
	name := source + "/" + key
	now, start := in.Clock(), time.Now()
	a, ok := in.known.Get(name)
	if ok && start.Sub(a.readAt) < age {
		return a.valid(provider, now)
	}
	if at, missing := in.unknown.Get(name); missing && start.Sub(at) < refusalTTL {
		return account{}, storage.ErrNotFound
	}
	loaded, err, _ := in.loading.Do(name, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), min(timeLeft(ctx), ackTimeout)) // others, who came later, wait for it too
		defer cancel()
		return in.loadAccount(ctx, source, key)
	})
	switch {
	case errors.Is(err, storage.ErrNotFound):
		in.known.Remove(name)
		in.unknown.Add(name, start)
		return account{}, storage.ErrNotFound
	case err != nil && ok && start.Sub(a.readAt) < staleTTL:
		return a.valid(provider, now)
	case err != nil:
		return account{}, fmt.Errorf("source %s: %w: %v", source, storage.ErrUnavailable, err)
	}
	a = loaded.(account)
	in.unknown.Remove(name)
	in.known.Add(name, a)
	return a.valid(provider, now)
}

// valid returns a, or storage.ErrNotFound if its key has ended or it is of another provider.
func (a account) valid(provider string, now time.Time) (account, error) {
	if a.Provider != provider || !a.until.IsZero() && !now.Before(a.until) {
		return account{}, storage.ErrNotFound
	}
	return a, nil
}

// loadAccount reads the source and the callback key in one call. The key is
// found by its hash, so the time that a wrong one takes says nothing about it.
func (in *ingester) loadAccount(ctx context.Context, source, secret string) (account, error) {
	if _, err := ident.SourceNumber(source); err != nil || secret == "" {
		return account{}, storage.ErrNotFound
	}
	now, start := in.Clock(), time.Now()
	rows, err := in.Store.Get(ctx, SourceKey(source), CallbackKeyKey(source, secret))
	if err != nil {
		return account{}, fmt.Errorf("get source: %w", err)
	}
	if len(rows) != 2 {
		return account{}, storage.ErrNotFound
	}
	var a account
	var key CallbackKey
	for _, r := range rows {
		if r.SK == "S" {
			err = errors.Join(err, storage.Decode(r, &a.Source))
		} else {
			err = errors.Join(err, storage.Decode(r, &key))
		}
	}
	if err != nil {
		return account{}, err
	}
	a.label, a.until, a.readAt = key.Label, key.Until, start
	a.credentials, err = a.Source.credentials(in.Keys, now)
	return a, err
}
