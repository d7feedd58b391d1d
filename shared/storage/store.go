package storage

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"strconv"
	"strings"
	"time"
)

// Limits that both backends enforce with the same errors, so that the embedded one never promises more than DynamoDB
// ("Service, account, and table quotas in Amazon DynamoDB"; DynamoDB's own item limit is 400 KB).
const (
	MaxRowBytes = 350 << 10 // key, Data and Body of one row
	MaxPageRows = 100       // rows of one Get, List or Due
	DueShards   = 16        // partitions of the due index; may only grow
)

// A Table is one of the two tables: Registrations is kept for ever and backed up, Deliveries holds rows that expire.
type Table string

const (
	Registrations Table = "registrations" // sources, tenants, keys, grants, groups, registrations
	Deliveries    Table = "deliveries"    // events, deliveries, attempts, jobs, lanes
)

// A Key names a row: a partition of a table (PK) and the row's place in its sort order (SK), as in DynamoDB. Neither
// is empty or longer than MaxKeyBytes.
type Key struct {
	Table  Table
	PK, SK string
}

// A Row is what a Store holds. The Store interprets neither Data nor Body.
type Row struct {
	Key
	Rev     string    // chosen by the writer with NewRev, new for each write
	Data    []byte    // JSON object
	Body    []byte    // payload verbatim; nil if there is none
	Due     time.Time // the row is in the due index under this time, to the millisecond; zero: it is not
	Open    bool      // the row is in the open index of its partition
	Expires time.Time // the Store may delete the row after it, to the second; zero: never
}

// AnyRev as the expected revision means: whatever is stored, if anything.
const AnyRev = "*"

// NewRev returns a revision that no other write has.
func NewRev() string {
	var b [12]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// A Query selects a range of one partition, in the order of SK. Example, what tenant t_1 has registered:
// {Table: Registrations, PK: "T#t_1", From: "R#", To: "R$"}.
type Query struct {
	Table      Table
	PK         string
	From, To   string // From ≤ SK < To; an empty one is no bound
	Newest     bool   // descending, from the highest SK
	After      string // Page.Next of the page before: the SK where it ended; that row is left out
	Limit      int    // rows a page; 0: MaxPageRows, which is also the most
	Open       bool   // read the open index instead of the table: rows hold Key alone
	Consistent bool   // see every write that has returned; not with Open
}

// A Page is a part of a Query's rows. It may hold fewer rows than Limit, even none, without being the last page.
type Page struct {
	Rows []Row
	Next string // Query.After of the next page; empty: this is the last one
}

// A DueRow is an entry of the due index, which may lag behind the table: Get the row before acting on it.
type DueRow struct {
	Key
	Due time.Time
}

// A Store keeps rows. It is safe for concurrent use. Each call is atomic per row, but not over several rows, nor
// together with a Queue's Send.
//
// After an error other than those of this package the write may or may not have happened. So every call may be
// repeated with the same arguments: a Put whose revision is already stored returns nil. The times in rows come from
// callers' clocks, which may be wrong by 5 s.
type Store interface {
	// Get returns those rows of at most MaxPageRows keys that exist, in any order. It sees every write that has
	// returned.
	Get(ctx context.Context, keys ...Key) ([]Row, error)

	// Put writes r if the stored revision is oldRev; "" means that no row is stored, AnyRev that it does not matter.
	// Otherwise it returns a *ConflictError with the stored row. A row over MaxRowBytes returns ErrTooLarge, one
	// without a revision ErrInvalid.
	Put(ctx context.Context, r Row, oldRev string) error

	// Delete removes the row if the stored revision is oldRev. It returns nil if no row is stored, and
	// a *ConflictError if another revision is.
	Delete(ctx context.Context, k Key, oldRev string) error

	// List returns a page of q. Unless q.Consistent it may miss the writes of the last second.
	List(ctx context.Context, q Query) (Page, error)

	// Due returns the entries of one shard that are due by until, oldest first, and the cursor for the next page,
	// empty after the last. It may miss the writes of the last second.
	Due(ctx context.Context, shard int, until time.Time, after string, limit int) ([]DueRow, string, error)
}

// DueFrom returns a cursor for Due that skips what is due before t.
func DueFrom(t time.Time) string { return "@" + strconv.FormatInt(t.UnixMilli(), 10) }

// ParseDueFrom undoes DueFrom. It returns false for a Store's own cursor.
func ParseDueFrom(after string) (ms int64, ok bool) {
	text, ok := strings.CutPrefix(after, "@")
	ms, err := strconv.ParseInt(text, 10, 64)
	return ms, ok && err == nil
}

// A ConflictError says that Put or Delete found another revision than expected. errors.Is says that it is ErrConflict.
type ConflictError struct {
	Stored Row // zero if nothing is stored
}

func (e *ConflictError) Error() string { return "row was changed by another" }

func (e *ConflictError) Is(target error) bool { return target == ErrConflict }
