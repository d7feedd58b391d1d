// Package api is the HTTP API over the registrations' verbs of a gateway: for the operator, tenants and
// owners of SmartBots groups. It is written code first: the operations in the files by resource, which
// addOperations lists, with operations.json and document.json make the OpenAPI 3.1 document at /openapi.json.
//
// A call passes guard.go (headers, panics, the log line), handler.go (which reads path, query, header and body
// and has Huma validate them), auth.go (who, scope and rate; operations.json says which scopes each operation
// takes) and its operation, whose errors problem.go turns into problem details.
package api

import (
	"crypto/sha256"
	"net/http"
	"sync"

	"github.com/danielgtaylor/huma/v2"
	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/time/rate"

	"ringback/shared/control"
	"ringback/shared/gateway"
	"ringback/shared/groups"
	"ringback/shared/history"
	"ringback/shared/transfer"
)

// A Config is what an API needs besides its gateway.
type Config struct {
	OperatorKey string // any text of 32 or more characters; shorter: there is no operator's own key
	Version     string // of the description; default "1"

	// SmartBotsURL is the address of SmartBots' own API for sources that name no other; default as groups.New's.
	SmartBotsURL string
}

// New returns the API of g: everything under /v1, /api/simple.html,
// /openapi.json and /healthz. It is safe for concurrent use.
//
// Schemas and routes are made at the first call that may need them and the document when it is asked for: both
// together take three times what the rest of a function's start does, and neither set_http_callback nor the
// console's pages need them.
func New(g *gateway.Gateway, cfg Config) http.Handler {
	c := control.New(g)
	s := &server{g: g, control: c, history: history.New(c), groups: groups.New(c, cfg.SmartBotsURL), transfer: transfer.New(c)}
	s.keys, _ = lru.New[[32]byte, known](knownKeys)
	s.rates, _ = lru.New[string, *rate.Limiter](knownRates)
	if len(cfg.OperatorKey) >= minOperatorKey {
		s.operator = new(sha256.Sum256([]byte(cfg.OperatorKey)))
	}
	s.own = http.NewServeMux()
	s.addOwn(s.own)
	s.routes = sync.OnceValue(func() *http.ServeMux { return s.allRoutes(cfg.Version) })
	s.document = sync.OnceValue(s.render)
	return s.guard()
}

// strict has Huma take names of fields in their own case alone, as it does all names.
var strict = sync.OnceFunc(func() { huma.ValidateStrictCasing = true })

// allRoutes builds the mux and the OpenAPI document from the same operations. It collects all field names in names: only
// those may appear in a problem's location, since any other name comes from the request.
func (s *server) allRoutes(version string) *http.ServeMux {
	strict()
	s.mux, s.doc = http.NewServeMux(), newDocument(version)
	s.names = map[string]bool{"body": true, "query": true, "path": true, "header": true}
	for _, name := range simpleParameters {
		s.names[name] = true
	}
	s.addOperations()
	s.describeProblems()
	for _, schema := range s.doc.Components.Schemas.Map() {
		for name := range schema.Properties {
			s.names[name] = true
		}
	}
	s.addOwn(s.mux)
	s.mux.HandleFunc("GET /openapi.json", s.openAPI)
	return s.mux
}

// addOperations adds those of operations.json.
func (s *server) addOperations() {
	sources := sourceAPI{s}
	add(s, "create-source", sources.createSource)
	add(s, "list-sources", sources.listSources)
	add(s, "get-source", sources.getSource)
	add(s, "change-source", sources.changeSource)
	add(s, "delete-source", sources.deleteSource)
	add(s, "rotate-source-token", sources.rotateToken)
	add(s, "rotate-source-basic", sources.rotateBasic)

	callbackKeys := callbackKeyAPI{s}
	add(s, "create-callback-key", callbackKeys.createCallbackKey)
	add(s, "list-callback-keys", callbackKeys.listCallbackKeys)
	add(s, "rotate-callback-key", callbackKeys.rotateCallbackKey)
	add(s, "delete-callback-key", callbackKeys.deleteCallbackKey)

	grants := grantAPI{s}
	add(s, "create-grant", grants.createGrant)
	add(s, "list-grants", grants.listGrants)
	add(s, "delete-grant", grants.deleteGrant)

	tenants := tenantAPI{s}
	add(s, "create-tenant", tenants.createTenant)
	add(s, "list-tenants", tenants.listTenants)
	add(s, "get-tenant", tenants.getTenant)
	add(s, "change-tenant", tenants.changeTenant)
	add(s, "disable-tenant", tenants.disabler(true))
	add(s, "enable-tenant", tenants.disabler(false))
	add(s, "delete-tenant", tenants.deleteTenant)

	keys := keyAPI{s}
	add(s, "get-me", keys.getMe)
	add(s, "create-key", keys.createKey)
	add(s, "list-keys", keys.listKeys)
	add(s, "get-key", keys.getKey)
	add(s, "rotate-key", keys.rotateKey)
	add(s, "delete-key", keys.deleteKey)

	groups := groupAPI{s}
	add(s, "create-group", groups.createGroup)
	add(s, "connect-group", groups.connectGroup)
	add(s, "list-groups", groups.listGroups)
	add(s, "get-group", groups.getGroup)
	add(s, "change-group", groups.changeGroup)
	add(s, "delete-group", groups.deleteGroup)
	add(s, "rotate-owner-key", groups.rotateOwnerKey)
	add(s, "list-apps", groups.listApps)
	add(s, "delete-app", groups.deleteApp)

	registrations := registrationAPI{s}
	add(s, "create-registration", registrations.createRegistration)
	add(s, "list-registrations", registrations.listRegistrations)
	add(s, "get-registration", registrations.getRegistration)
	add(s, "change-registration", registrations.changeRegistration)
	add(s, "delete-registration", registrations.deleteRegistration)
	add(s, "enable-registration", registrations.enableRegistration)
	add(s, "disable-registration", registrations.disableRegistration)
	add(s, "rotate-registration", registrations.rotateRegistration)
	add(s, "rotate-raw-token", registrations.rotateRawToken)

	history := historyAPI{s}
	add(s, "list-events", history.listEvents)
	add(s, "get-event", history.getEvent)
	add(s, "get-event-raw", history.getRaw)
	add(s, "list-deliveries", history.listDeliveries)
	add(s, "get-delivery", history.getDelivery)
	add(s, "list-attempts", history.listAttempts)
	add(s, "resend-delivery", history.resend)

	jobs := jobAPI{s}
	add(s, "test-registration", jobs.testRegistration)
	add(s, "recover-registration", jobs.starter(s.control.StartRecover))
	add(s, "replay-missing", jobs.starter(s.control.StartReplay))
	add(s, "release-registration", jobs.starter(s.control.StartRelease))
	add(s, "dry-run-registration", jobs.dryRun)
	add(s, "list-jobs", jobs.listJobs)
	add(s, "get-job", jobs.getJob)
	add(s, "cancel-job", jobs.cancelJob)
	add(s, "create-erasure", jobs.createErasure)
	add(s, "get-dead-letters", jobs.deadLetters)
	add(s, "redrive-dead-letters", jobs.redrive)

	transfer := transferAPI{s}
	add(s, "reseal", transfer.reseal)
	add(s, "export", transfer.export)
	add(s, "import", transfer.importPart)
}

func (s *server) addOwn(mux *http.ServeMux) {
	mux.HandleFunc("/api/simple.html", s.simple)
	mux.HandleFunc("GET /healthz", s.health)
}

func (s *server) health(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.Write([]byte(`{"status":"ok"}` + "\n"))
}
