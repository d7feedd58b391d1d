// Package api is the HTTP API over the registrations' verbs of a gateway: for the operator, tenants and
// owners of SmartBots groups. It is written code first: the operations in the files by resource, which
// addOperations lists, and what operations.json says of them, make the OpenAPI 3.1 document at /openapi.json.
//
// A call passes guard.go (headers, panics, the log line), auth.go (who, scope and rate; operations.json says
// which scopes each operation takes), register.go (what stands in path, query, header and body) and its
// operation, whose errors problem.go turns into problem details.
package api

import (
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"net/http"
	"sync"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
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
// Huma's routes are made at the first call that may need them and the document when it is asked for: both
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

func (s *server) allRoutes(version string) *http.ServeMux {
	strict()
	mux := http.NewServeMux()
	s.api = humago.New(mux, s.config(version))
	s.api.UseMiddleware(s.authenticate, s.refuseUnknown)
	s.addOperations()
	transferAPI{s}.addHouse()
	s.describe()
	s.addOwn(mux)
	mux.HandleFunc("GET /openapi.json", s.openAPI)
	return mux
}

// addOperations adds those that operations.json tells of, except what addHouse does.
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

	work := workAPI{s}
	add(s, "test-registration", work.testRegistration)
	add(s, "recover-registration", work.starter(s.control.StartRecover))
	add(s, "replay-missing", work.starter(s.control.StartReplay))
	add(s, "release-registration", work.starter(s.control.StartRelease))
	add(s, "dry-run-registration", work.dryRun)
	add(s, "list-jobs", work.listJobs)
	add(s, "get-job", work.getJob)
	add(s, "cancel-job", work.cancelJob)
	add(s, "create-erasure", work.createErasure)
	add(s, "get-dead-letters", work.deadLetters)
	add(s, "redrive-dead-letters", work.redrive)
}

func (s *server) addOwn(mux *http.ServeMux) {
	mux.HandleFunc("/api/simple.html", s.simple)
	mux.HandleFunc("GET /healthz", s.health)
}

// config is Huma's default without its pages, links and content types of its own.
func (s *server) config(version string) huma.Config {
	return huma.Config{
		OpenAPI: &huma.OpenAPI{
			OpenAPI: "3.1.0",
			Info: &huma.Info{
				Title: "Ringback", Version: cmp.Or(version, "1"),
				Description: "Callbacks of chat and messaging providers, delivered to each tenant that registered for them.",
			},
			Components: &huma.Components{
				Schemas: huma.NewMapRegistry("#/components/schemas/", huma.DefaultSchemaNamer),
				SecuritySchemes: map[string]*huma.SecurityScheme{
					"key": {Type: "http", Scheme: "bearer", Description: "An API key, rbk_<id>_<secret>, or the operator's own."},
				},
			},
		},
		Formats:       huma.DefaultFormats,
		DefaultFormat: "application/json",
		Transformers:  []huma.Transformer{s.withoutInput},
	}
}

// describe adds what Huma does not know.
func (s *server) describe() {
	doc := s.api.OpenAPI()
	if detail := doc.Components.Schemas.Map()["ErrorDetail"]; detail != nil {
		delete(detail.Properties, "value") // answers never repeat what was sent
	}
	if problem := doc.Components.Schemas.Map()["ErrorModel"]; problem != nil {
		problem.Properties["code"] = &huma.Schema{Type: huma.TypeString, Description: "of a 429: too_many_calls, too_many_registrations"}
	}
	describeSimple(doc)
	doc.AddOperation(&huma.Operation{
		OperationID: "healthz", Method: http.MethodGet, Path: "/healthz", Summary: "Tell that the API runs",
		Security: []map[string][]string{},
		Responses: map[string]*huma.Response{"200": {Description: "OK", Content: map[string]*huma.MediaType{
			"application/json": {Schema: &huma.Schema{Type: "object", Properties: map[string]*huma.Schema{"status": {Type: "string"}}}},
		}}},
	})
}

func (s *server) render() []byte {
	document, err := json.Marshal(s.api.OpenAPI())
	if err != nil {
		panic(err) // unreachable: the document depends on nothing but this package
	}
	return document
}

func (s *server) openAPI(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/openapi+json")
	w.Write(s.document())
}

func (s *server) health(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.Write([]byte(`{"status":"ok"}` + "\n"))
}
