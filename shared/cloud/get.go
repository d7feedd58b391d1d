package cloud

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"ringback/shared/storage"
)

// maxEmptyResponses is how many responses in a row may hold none of the requested rows before Get gives up.
// DynamoDB leaves keys out when it throttles, and at 16 MB a response ("BatchGetItem").
const maxEmptyResponses = 5

// Get implements storage.Store with consistent reads: one read unit per 4 KiB of each row, one for an absent row.
func (s *Store) Get(ctx context.Context, keys ...storage.Key) ([]storage.Row, error) {
	if err := storage.CheckGet(keys); err != nil {
		return nil, err
	}
	keys = distinct(keys)
	switch len(keys) {
	case 0:
		return nil, nil
	case 1:
		return s.getOne(ctx, keys[0])
	}
	return s.getBatch(ctx, keys)
}

func distinct(keys []storage.Key) []storage.Key {
	if len(keys) < 2 {
		return keys
	}
	keys = slices.Clone(keys)
	slices.SortFunc(keys, func(a, b storage.Key) int {
		return cmp.Or(cmp.Compare(a.Table, b.Table), cmp.Compare(a.PK, b.PK), cmp.Compare(a.SK, b.SK))
	})
	return slices.Compact(keys)
}

func (s *Store) getOne(ctx context.Context, k storage.Key) ([]storage.Row, error) {
	out, err := s.db.GetItem(ctx, &dynamodb.GetItemInput{
		TableName:      aws.String(s.tables[k.Table]),
		Key:            itemKey(k),
		ConsistentRead: aws.Bool(true),
	})
	if err != nil {
		return nil, fmt.Errorf("get a row of %s: %w", k.Table, err)
	}
	if out.Item == nil {
		return nil, nil
	}
	return s.appendRows(nil, k.Table, []map[string]types.AttributeValue{out.Item})
}

// getBatch requests the keys that a response left out again: at once if the response held some row, otherwise after
// a backoff.
func (s *Store) getBatch(ctx context.Context, keys []storage.Key) ([]storage.Row, error) {
	var rows []storage.Row
	ask := s.batch(keys)
	for empty := 0; ; {
		out, err := s.db.BatchGetItem(ctx, &dynamodb.BatchGetItemInput{RequestItems: ask})
		if err != nil {
			return nil, fmt.Errorf("get %d rows: %w", len(keys), err)
		}
		for t, name := range s.tables {
			if rows, err = s.appendRows(rows, t, out.Responses[name]); err != nil {
				return nil, err
			}
		}
		left := keysIn(out.UnprocessedKeys)
		if left == 0 {
			return rows, nil
		}
		if empty++; left < keysIn(ask) {
			empty = 0
		}
		if empty == maxEmptyResponses {
			return nil, fmt.Errorf("get %d rows: throttled: keys left unprocessed", len(keys))
		}
		ask = out.UnprocessedKeys
		if err := pause(ctx, empty); err != nil {
			return nil, fmt.Errorf("get %d rows: %w", len(keys), err)
		}
	}
}

func (s *Store) batch(keys []storage.Key) map[string]types.KeysAndAttributes {
	ask := make(map[string]types.KeysAndAttributes, len(s.tables))
	for _, k := range keys {
		tableKeys := ask[s.tables[k.Table]]
		tableKeys.ConsistentRead = aws.Bool(true)
		tableKeys.Keys = append(tableKeys.Keys, itemKey(k))
		ask[s.tables[k.Table]] = tableKeys
	}
	return ask
}

func keysIn(ask map[string]types.KeysAndAttributes) int {
	n := 0
	for _, keys := range ask {
		n += len(keys.Keys)
	}
	return n
}

// appendRows appends those of items that have not expired.
func (s *Store) appendRows(rows []storage.Row, t storage.Table, items []map[string]types.AttributeValue) ([]storage.Row, error) {
	now := time.Now()
	for _, item := range items {
		r, err := s.packer.row(t, item)
		if err != nil {
			return nil, fmt.Errorf("read a row of %s: %w", t, err)
		}
		if !expired(r, now) {
			rows = append(rows, r)
		}
	}
	return rows, nil
}

// pause waits for backoff(n), or until ctx ends. For n = 0 it returns at once.
func pause(ctx context.Context, n int) error {
	if n == 0 {
		return ctx.Err()
	}
	t := time.NewTimer(backoff(n))
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// backoff returns a random wait before try n+1, for n from 1: up to 50 ms, 100 ms, 200 ms and so on, at most 800 ms.
func backoff(n int) time.Duration {
	longest := 50 * time.Millisecond << min(n-1, 4)
	return rand.N(longest) + time.Millisecond
}
