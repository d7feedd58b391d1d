package gateway

import (
	"crypto/sha256"
	"hash/fnv"
	"strconv"

	"ringback/shared/ident"
	"ringback/shared/storage"
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
//	               T#<tenant>                  P                    limiter.Speeds: which of its endpoints are fast
//	               T#<tenant>                  N                    of package limit: the registrations that it made lately
//	               T#<tenant>                  R#<registration>     that it is the tenant's
//	               T#<tenant>                  K#<key id>           where the API key is
//	               T#<tenant>                  G#<source>#<grant>   where the grant is
//	               T#<tenant>                  J#<job>              that the job is the tenant's
//	               K#<sha256 of key>           K                    APIKey
//	               R#<registration>            R                    Registration
//	               R#<registration>            H                    circuit.Health, due while deliveries are parked
//	               R#<registration>            P, C                 of package limit: when its rate lets attempts begin; those under way
//	               M#<source>#<routing key>    <pattern>#<R>        index entry: R may want such events
//	               G#<group>                   G                    Group
//	               G#<group>                   A#<tenant>#<app>     App: the registration made by set_http_callback
//	               G#<group>                   K#<key id>           where its owner's API key is
//	               N#<folded group name>       N                    whose name it is; likewise of SDKAppIDs
//	               L#<kind>                    <id>                 lists: sources, tenants, groups, operator keys and jobs
//	               I#<sha256 of who and key>   I                    a create that must not run twice
//	               W#<tenant>                  W                    wrong security codes of the last 15 min
//	               house                       ring                 RingSeal: whether the key ring is the one that sealed the rest
//	deliveries     E#<source>#<shard>          <event>              Event, Body: payload
//	               U#<source>#<natural key>    U                    the event of a natural key that has no time, as hashed in its id
//	               F#<event>#<n>               F                    100 of an event's registrations
//	               P#<event>                   <registration>       that the event was replayed to it: its own row lists those it was for when it came
//	               D#<registration>#<shard>    <event>              Delivery, Body: start of the last response
//	               A#<delivery>                <attempt>            Attempt, Body: start of the response
//	               J#<job>                     J                    Job
//	               L#<registration>#<group>    L                    lane: an ordered registration's queue of one group
//	               L#<registration>#<group>    W#<received>#<event> a delivery that waits in it
const HistoryShards = 16

func registrationsKey(pk, sk string) storage.Key {
	return storage.Key{Table: storage.Registrations, PK: pk, SK: sk}
}

func deliveriesKey(pk, sk string) storage.Key {
	return storage.Key{Table: storage.Deliveries, PK: pk, SK: sk}
}

func SourceKey(id string) storage.Key         { return registrationsKey("S#"+id, "S") }
func generationKey(source string) storage.Key { return registrationsKey("S#"+source, "V") }
func TenantKey(id string) storage.Key         { return registrationsKey("T#"+id, "T") }
func RegistrationKey(id string) storage.Key   { return registrationsKey("R#"+id, "R") }
func HealthKey(id string) storage.Key         { return registrationsKey("R#"+id, "H") }
func RateKey(id string) storage.Key           { return registrationsKey("R#"+id, "P") }
func LeasesKey(id string) storage.Key         { return registrationsKey("R#"+id, "C") }
func CreateRateKey(tenant string) storage.Key { return registrationsKey("T#"+tenant, "N") }
func GroupKey(id string) storage.Key          { return registrationsKey("G#"+id, "G") }
func GroupNameKey(folded string) storage.Key  { return registrationsKey("N#"+Digest(folded), "N") }
func SpeedsKey(tenant string) storage.Key     { return registrationsKey("T#"+tenant, "P") }
func JobKey(id string) storage.Key            { return deliveriesKey("J#"+id, "J") }
func CallbackKeyKey(source, secret string) storage.Key {
	return registrationsKey("S#"+source, "C#"+Digest(secret))
}
func GrantKey(source, tenant, id string) storage.Key {
	return registrationsKey("S#"+source, "G#"+tenant+"#"+id)
}
func APIKeyKey(secret string) storage.Key { return registrationsKey("K#"+Digest(secret), "K") }
func ListKey(kind, id string) storage.Key { return registrationsKey("L#"+kind, id) }
func TenantLinkKey(tenant, kind, id string) storage.Key {
	return registrationsKey("T#"+tenant, kind+"#"+id)
}
func SourceLinkKey(source, registration string) storage.Key {
	return registrationsKey("S#"+source, "R#"+registration)
}
func AppKey(group, tenant, app string) storage.Key {
	return registrationsKey("G#"+group, "A#"+tenant+"#"+Digest(app))
}
func IndexKey(source, routingKey, pattern, registration string) storage.Key {
	return registrationsKey(indexPK(source, routingKey), pattern+"#"+registration)
}

// indexPK keeps long values out of the key: DynamoDB takes 2 KiB.
func indexPK(source, routingKey string) string {
	if len(routingKey) > 200 {
		routingKey = "sha256:" + Digest(routingKey)
	}
	return "M#" + source + "#" + routingKey
}

// RingKey is the row by which a wrong key ring is known.
func RingKey() storage.Key { return registrationsKey("house", "ring") }

// A RingSeal is a constant, sealed as the secrets of the other rows are.
type RingSeal struct {
	Sealed string `json:"sealed"`
}

func EventKey(id string) (storage.Key, error) {
	source, err := ident.SourceOf(id)
	if err != nil {
		return storage.Key{}, err
	}
	return deliveriesKey(EventPK(source, historyShard(id)), id), nil
}

// EventPK is the partition of a shard of a source's events.
func EventPK(source string, shard int) string { return "E#" + source + "#" + strconv.Itoa(shard) }

// NaturalKeyKey is the row that claims the natural key of an event without a
// time. Its hash is the rest of the id behind source and time.
func NaturalKeyKey(event string) (storage.Key, error) {
	b, err := ident.DecodeEvent(event)
	if err != nil {
		return storage.Key{}, err
	}
	source, _ := ident.SourceOf(event)
	return deliveriesKey("U#"+source+"#"+ident.Encode(b[11:]), "U"), nil
}

func FanOutKey(event string, n int) storage.Key {
	return deliveriesKey("F#"+event+"#"+strconv.Itoa(n), "F")
}
func ReplayedKey(event, registration string) storage.Key {
	return deliveriesKey("P#"+event, registration)
}
func DeliveryKey(registration, event string) storage.Key {
	return deliveriesKey(DeliveryPK(registration, historyShard(event)), event)
}

// DeliveryPK is the partition of a shard of a registration's deliveries.
func DeliveryPK(registration string, shard int) string {
	return "D#" + registration + "#" + strconv.Itoa(shard)
}

// historyShard spreads the events of a source, and the deliveries of a
// registration, so that no partition takes all writes.
func historyShard(event string) int {
	h := fnv.New32a()
	h.Write([]byte(event))
	return int(h.Sum32() % HistoryShards)
}

// Digest returns SHA-256 of a text, in the base32 of ids.
func Digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return ident.Encode(sum[:])
}

// A Link is an entry in a list of ids.
type Link struct {
	ID string `json:"id"`
}

func SDKAppIDKey(n uint64) storage.Key {
	return registrationsKey("N#"+Digest("sdk_app_id\x00"+strconv.FormatUint(n, 10)), "N")
}
func IdempotencyKey(who, key string) storage.Key {
	return registrationsKey("I#"+Digest(who+"\x00"+key), "I")
}
func APIKeyRow(hash string) storage.Key { return registrationsKey("K#"+hash, "K") }
