package gateway

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"strconv"
	"time"
)

// All rows of the gateway. The functions below are the only ones that make keys.
//
//	table          PK                          SK                   what
//	registrations  S#<source>                  S                    Source
//	               S#<source>                  V                    version: which routing-key kinds and patterns are in use
//	               S#<source>                  C#<sha256 of key>    CallbackKey
//	               S#<source>                  G#<tenant>#<grant>   Grant
//	               S#<source>                  R#<registration>     that the registration is on the source
//	               T#<tenant>                  T                    Tenant
//	               T#<tenant>                  R#<registration>     that it is the tenant's
//	               T#<tenant>                  K#<key id>           where the API key is
//	               T#<tenant>                  G#<source>#<grant>   where the grant is
//	               T#<tenant>                  J#<job>              that the job is the tenant's
//	               K#<sha256 of key>           K                    APIKey
//	               R#<registration>            R                    Registration
//	               R#<registration>            H                    Health
//	               M#<source>#<routing key>    <pattern>#<R>        hint: who may want such events
//	               G#<group>                   G                    Group
//	               G#<group>                   A#<tenant>#<app>     App: the registration made by set_http_callback
//	               G#<group>                   K#<key id>           where its owner's API key is
//	               N#<folded group name>       N                    whose name it is; likewise of SDKAppIDs
//	               L#<kind>                    <id>                 lists: sources, tenants, groups, operator keys and jobs
//	               I#<sha256 of who and key>   I                    a create that must not run twice
//	               W#<tenant>#<group>          W                    wrong security codes of the last 15 min
//	deliveries     E#<source>#<shard>          <event>              Event, Body: payload
//	               F#<event>#<n>               F                    100 of an event's registrations
//	               P#<event>                   <registration>       that the event was replayed to it: its own row lists those it was for when it came
//	               D#<registration>#<shard>    <event>              Delivery, Body: start of the last answer
//	               A#<delivery>                <attempt>            Attempt, Body: start of the answer
//	               J#<job>                     J                    Job
//	               L#<registration>#<group>    L                    lane: an ordered registration's queue of one group
//	               L#<registration>#<group>    W#<received>#<event> a delivery that waits in it
const historyShards = 16

func sourceKey(id string) Key       { return Key{Registrations, "S#" + id, "S"} }
func versionKey(source string) Key  { return Key{Registrations, "S#" + source, "V"} }
func tenantKey(id string) Key       { return Key{Registrations, "T#" + id, "T"} }
func registrationKey(id string) Key { return Key{Registrations, "R#" + id, "R"} }
func healthKey(id string) Key       { return Key{Registrations, "R#" + id, "H"} }
func groupKey(id string) Key        { return Key{Registrations, "G#" + id, "G"} }
func groupNameKey(folded string) Key {
	return Key{Registrations, "N#" + digest(folded), "N"}
}
func jobKey(id string) Key { return Key{Deliveries, "J#" + id, "J"} }

func callbackKeyKey(source, secret string) Key {
	return Key{Registrations, "S#" + source, "C#" + digest(secret)}
}

func grantKey(source, tenant, id string) Key {
	return Key{Registrations, "S#" + source, "G#" + tenant + "#" + id}
}

func apiKeyKey(secret string) Key { return Key{Registrations, "K#" + digest(secret), "K"} }

func listKey(kind, id string) Key { return Key{Registrations, "L#" + kind, id} }

func ofTenant(tenant, kind, id string) Key { return Key{Registrations, "T#" + tenant, kind + "#" + id} }

func onSource(source, registration string) Key {
	return Key{Registrations, "S#" + source, "R#" + registration}
}

func appKey(group, tenant, app string) Key {
	return Key{Registrations, "G#" + group, "A#" + tenant + "#" + digest(app)}
}

func hintKey(source, routingKey, pattern, registration string) Key {
	return Key{Registrations, hintPK(source, routingKey), pattern + "#" + registration}
}

// hintPK keeps long values out of the key: DynamoDB takes 2 KiB.
func hintPK(source, routingKey string) string {
	if len(routingKey) > 200 {
		routingKey = "sha256:" + digest(routingKey)
	}
	return "M#" + source + "#" + routingKey
}

func eventKey(id string) (Key, error) {
	source, err := SourceOf(id)
	if err != nil {
		return Key{}, err
	}
	return Key{Deliveries, eventPK(source, historyShard(id)), id}, nil
}

func eventPK(source string, shard int) string { return "E#" + source + "#" + strconv.Itoa(shard) }

func fanOutKey(event string, n int) Key {
	return Key{Deliveries, "F#" + event + "#" + strconv.Itoa(n), "F"}
}

func replayedKey(event, registration string) Key {
	return Key{Deliveries, "P#" + event, registration}
}

func deliveryKey(registration, event string) Key {
	return Key{Deliveries, deliveryPK(registration, historyShard(event)), event}
}

func deliveryPK(registration string, shard int) string {
	return "D#" + registration + "#" + strconv.Itoa(shard)
}

// historyShard spreads the events of a source, and the deliveries of a
// registration, so that no partition takes all writes.
func historyShard(event string) int {
	h := fnv.New32a()
	h.Write([]byte(event))
	return int(h.Sum32() % historyShards)
}

func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return ordered.EncodeToString(sum[:])
}

// RowFormat is the version of rows and messages that this release writes. It
// reads its own and the one before.
const RowFormat = 1

// encode returns v, a struct, as the Data of a row: its JSON object with the
// format version in front.
func encode(v any) ([]byte, error) {
	data, err := json.Marshal(v)
	if err != nil || len(data) < 3 {
		return nil, fmt.Errorf("encode %T: %w", v, err)
	}
	return append(append(make([]byte, 0, len(data)+6), `{"v":1,`...), data[1:]...), nil
}

// load reads one row into a T. The error wraps ErrNotFound if it is not there.
func load[T any](ctx context.Context, s Store, k Key) (T, Row, error) {
	var v T
	rows, err := s.Get(ctx, k)
	if err != nil {
		return v, Row{}, fmt.Errorf("get %s %s: %w", k.PK, k.SK, err)
	}
	if len(rows) == 0 {
		return v, Row{}, ErrNotFound
	}
	return v, rows[0], decode(rows[0], &v)
}

// decode reads a row's Data.
func decode(r Row, v any) error {
	var format struct {
		V int `json:"v"`
	}
	if err := json.Unmarshal(r.Data, &format); err != nil || format.V > RowFormat {
		return fmt.Errorf("decode %s %s: written by a newer release, or not by Ringback", r.PK, r.SK)
	}
	if err := json.Unmarshal(r.Data, v); err != nil {
		return fmt.Errorf("decode %s %s: %w", r.PK, r.SK, err)
	}
	return nil
}

// put writes v under k if the stored revision is was.
func put(ctx context.Context, s Store, k Key, v any, was string) error {
	return putRow(ctx, s, Row{Key: k}, v, was)
}

// putRow is put for a row with more than Data.
func putRow(ctx context.Context, s Store, r Row, v any, was string) error {
	var err error
	if r.Data, err = encode(v); err != nil {
		return err
	}
	r.Rev = NewRev()
	if err := persist(ctx, func() error { return s.Put(ctx, r, was) }); err != nil {
		return fmt.Errorf("put %s %s: %w", r.PK, r.SK, err)
	}
	return nil
}

// persist calls f up to three times until it returns nil or a named error:
// every Store call may be repeated with the same arguments.
func persist(ctx context.Context, f func() error) error {
	var err error
	for range 3 {
		err = f()
		if err == nil || ctx.Err() != nil || errors.Is(err, ErrConflict) || errors.Is(err, ErrTooLarge) || errors.Is(err, ErrInvalid) {
			return err
		}
	}
	return err
}

// errUnchanged, returned by the function that change calls, ends it without a write.
var errUnchanged = errors.New("unchanged")

// change reads the T under k, lets f alter it, and writes it, again if another
// was faster. f gets the zero T and a zero Row if there is none; it may set the
// row's Due, Open and Expires. It returns what is stored in the end.
func change[T any](ctx context.Context, s Store, k Key, f func(v *T, r *Row) error) (T, error) {
	var v T
	err := again(ctx, func() error {
		var row Row
		var err error
		if v, row, err = load[T](ctx, s, k); err != nil && !errors.Is(err, ErrNotFound) {
			return err
		}
		was := row.Rev
		row.Key = k
		switch err := f(&v, &row); {
		case errors.Is(err, errUnchanged):
			return nil
		case err != nil:
			return err
		}
		return putRow(ctx, s, row, v, was)
	})
	return v, err
}

// each calls f for every row of q, a page at a time, until f returns an error.
func each(ctx context.Context, s Store, q Query, f func(Row) error) error {
	for {
		page, err := s.List(ctx, q)
		if err != nil {
			return fmt.Errorf("list %s: %w", q.PK, err)
		}
		for _, r := range page.Rows {
			if err := f(r); err != nil {
				return err
			}
		}
		if page.Next == "" {
			return nil
		}
		q.After = page.Next
	}
}

// prefix bounds q to the SKs that begin with p.
func (q Query) prefix(p string) Query {
	q.From, q.To = p, p[:len(p)-1]+string(p[len(p)-1]+1)
	return q
}

// utc is how instants are stored: UTC, to the millisecond.
func utc(t time.Time) time.Time { return t.UTC().Truncate(time.Millisecond) }
