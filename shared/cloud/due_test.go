package cloud_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	"ringback/shared/cloud"
	"ringback/shared/cloud/dynamotest"
	"ringback/shared/storage"

	"github.com/google/go-cmp/cmp"
)

// TestDuePageThatEndsEarlySkipsNothing reads rows of both tables, of which
// DynamoDB gives fewer at a time than it is asked for: it may end a page
// wherever it likes ("Query" in the Amazon DynamoDB API Reference).
func TestDuePageThatEndsEarlySkipsNothing(t *testing.T) {
	out := &http.Transport{}
	t.Cleanup(out.CloseIdleConnections)
	pages := shortPages{out, map[string]int{}}
	cfg := testConfig(cloud.Endpoints{DynamoDB: dynamotest.Endpoint(t)})
	b, err := cloud.OpenOver(cfg, &http.Client{Transport: pages})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Store.CreateTables(t.Context()); err != nil {
		t.Fatal(err)
	}
	at := time.UnixMilli(1_900_000_000_000).UTC()
	shard := newKey().DueShard()
	want := map[storage.Key]time.Time{}
	// The first ten of the registrations fall due an hour before all else, the
	// rest of both in turn.
	for _, table := range []storage.Table{storage.Deliveries, storage.Registrations} {
		for n := 0; n < 30; {
			r := storage.Row{Key: newKey(), Rev: storage.NewRev(), Due: at.Add(time.Duration(n) * time.Second)}
			if r.Table = table; r.DueShard() != shard {
				continue
			}
			if table == storage.Registrations && n < 10 {
				r.Due = r.Due.Add(-time.Hour)
			}
			if err := b.Store.Put(t.Context(), r, ""); err != nil {
				t.Fatalf("Put: %v", err)
			}
			want[r.Key] = r.Due
			n++
		}
	}
	for _, tt := range []struct {
		deliveries, registrations, limit int
		until                            time.Duration
	}{
		{2, 5, 10, time.Hour}, {5, 2, 10, time.Hour}, {1, 100, 100, time.Hour}, {100, 1, 100, time.Hour}, {3, 3, 4, time.Hour},
		{100, 100, 7, time.Hour}, {100, 100, 60, time.Hour}, {100, 100, 100, time.Hour},
		{100, 100, 5, -time.Minute}, {100, 100, 10, -time.Minute}, {1, 1, 1, -time.Minute}, // registrations alone
	} {
		pages.limits[cfg.AWS.DeliveriesTable], pages.limits[cfg.AWS.RegistrationsTable] = tt.deliveries, tt.registrations
		t.Run(fmt.Sprintf("%+v", tt), func(t *testing.T) {
			got := map[storage.Key]time.Time{}
			var last time.Time
			for after, n := "", 0; n == 0 || after != ""; n++ {
				rows, next, err := b.Store.Due(t.Context(), shard, at.Add(tt.until), after, tt.limit)
				if err != nil || len(rows) > tt.limit || n > len(want) {
					t.Fatalf("page %d of Due(%d) = %d rows, %v", n, tt.limit, len(rows), err)
				}
				for _, r := range rows {
					if _, twice := got[r.Key]; twice || r.Due.Before(last) {
						t.Errorf("page %d of Due(%d) holds %v, which came before or falls due before %v, the one before it", n, tt.limit, r, last)
					}
					got[r.Key], last = r.Due, r.Due
				}
				after = next
			}
			want := maps.Clone(want)
			maps.DeleteFunc(want, func(_ storage.Key, due time.Time) bool { return due.After(at.Add(tt.until)) })
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("rows of all pages of Due(%d) (-want +got):\n%s", tt.limit, diff)
			}
		})
	}
}

// shortPages takes Query requests to DynamoDB and lowers their Limit to the
// table's.
type shortPages struct {
	out    http.RoundTripper
	limits map[string]int
}

func (s shortPages) RoundTrip(r *http.Request) (*http.Response, error) {
	if strings.HasSuffix(r.Header.Get("X-Amz-Target"), ".Query") {
		var in map[string]json.RawMessage
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
			return nil, err
		}
		var table string
		var limit int
		if err := json.Unmarshal(in["TableName"], &table); err != nil {
			return nil, err
		}
		if err := json.Unmarshal(in["Limit"], &limit); err != nil {
			return nil, err
		}
		in["Limit"] = json.RawMessage(fmt.Sprint(min(limit, s.limits[table])))
		body, err := json.Marshal(in)
		if err != nil {
			return nil, err
		}
		r = r.Clone(r.Context())
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	}
	return s.out.RoundTrip(r)
}
