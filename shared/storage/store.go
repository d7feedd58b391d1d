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
// does ("Service, account, and table quotas in Amazon DynamoDB"; DynamoDB's own item limit is 400 KB).
const (
	MaxRowBytes = 350 << 10 // key, Data and Body of one row
	MaxPageRows = 100       // rows of one Get, List or Due
	DueShards   = 16        // partitions of the due index; may only grow
)

// A Table is one of the two tables: one that is kept for ever and backed up, one whose rows end by themselves.
type Table string

const (
	Registrations Table = "registrations" // sources, tenants, keys, grants, groups, registrations
	Deliveries    Table = "deliveries"    // events, deliveries, attempts, jobs, lanes
)

// Key names a row: a partition of a table and the row's place in it. PK and SK are not empty, and at most 1 KiB each.
type Key struct {
	Table  Table
	PK, SK string
}

// A Row is what a Store holds. The Store looks at no byte of Data and Body.
type Row struct {
	Key
	Rev     string    // chosen by the writer with NewRev, new for each write
	Data    []byte    // JSON object
	Body    []byte    // payload verbatim; nil if there is none
	Due     time.Time // in the due index under this time (to the millisecond); zero: not in it
	Open    bool      // in the open index of its partition
	Expires time.Time // may vanish after it (to the second); zero: kept
}

// AnyRev as the expected revision writes or deletes whatever is there.
const AnyRev = "*"

// NewRev returns a revision that no other write has.
func NewRev() string {
	var b [12]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// A Query names a part of one partition.
type Query struct {
	Table      Table
	PK         string
	From, To   string // From ≤ SK < To; an empty one sets no bound
	Newest     bool   // from the highest SK downwards
	After      string // the SK where the last page ended; that row is left out
	Limit      int    // rows a page, at most and by default MaxPageRows
	Open       bool   // the open index instead of the table: rows hold Key alone
	Consistent bool   // see all that was written; not with Open
}

// A Page is part of a Query's answer. It may hold fewer rows than Limit, even
// none, and yet not be the last: only an empty Next says so.
type Page struct {
	Rows []Row
	Next string // Query.After of the next page
}

// A DueRow is an entry of the due index. The index lags: Get the row and look.
type DueRow struct {
	Key
	Due time.Time
}

// A Store keeps rows. It is safe for concurrent use. Each call touches single
// rows: nothing is atomic over two of them, nor with a Queue's Send.
//
// An error other than a named one means: perhaps done. Every call may be repeated with the same arguments; a
// Put whose revision is already stored has been done and returns nil, so an answer that was lost costs
// nothing. The times in rows are the callers', up to 5 s wrong.
type Store interface {
	// Get returns those of at most MaxPageRows keys that are stored, in any
	// order, and sees every write that was answered before.
	Get(ctx context.Context, keys ...Key) ([]Row, error)

	// Put writes r if the stored revision is was; an empty was means that nothing is stored, AnyRev that it
	// does not matter. Otherwise the error is a *ConflictError with the stored row. A row that is over
	// MaxRowBytes or has no revision is refused with ErrTooLarge or ErrInvalid.
	Put(ctx context.Context, r Row, was string) error

	// Delete removes the row if the stored revision is was. A row that is not there is deleted already.
	Delete(ctx context.Context, k Key, was string) error

	// List returns a page of q, which may miss the writes of the last second unless q.Consistent.
	List(ctx context.Context, q Query) (Page, error)

	// Due returns what falls due in one shard up to a time, oldest first, and
	// the cursor of the next page, empty after the last. It lags as List does.
	Due(ctx context.Context, shard int, until time.Time, after string, limit int) ([]DueRow, string, error)
}

// DueFrom returns the cursor of Due behind all that falls due before t.
func DueFrom(t time.Time) string { return "@" + strconv.FormatInt(t.UnixMilli(), 10) }

// ParseDueFrom undoes DueFrom; false says that after is a Store's own cursor.
func ParseDueFrom(after string) (ms int64, ok bool) {
	text, ok := strings.CutPrefix(after, "@")
	ms, err := strconv.ParseInt(text, 10, 64)
	return ms, ok && err == nil
}

// A ConflictError says that Put or Delete found another revision than was expected. It is ErrConflict to errors.Is.
type ConflictError struct {
	Stored Row // zero if nothing is stored
}

func (e *ConflictError) Error() string { return "row was changed by another" }

func (e *ConflictError) Is(target error) bool { return target == ErrConflict }
