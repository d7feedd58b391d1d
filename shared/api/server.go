package api

import (
	"net/http"

	"github.com/danielgtaylor/huma/v2"
	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/time/rate"

	"ringback/shared/control"
	"ringback/shared/gateway"
	"ringback/shared/groups"
	"ringback/shared/history"
	"ringback/shared/transfer"
)

// maxBody is the size of the largest request body in bytes.
const maxBody = 1 << 20

// maxImport is the size in bytes of the largest part of an export that is taken: what API Gateway encodes in base64 is
// a third larger, and a Lambda takes 6 MB ("Lambda quotas").
const maxImport = 4 << 20

// A server is the API of one gateway.
type server struct {
	g        *gateway.Gateway
	control  *control.Control
	history  *history.History
	groups   *groups.Groups
	transfer *transfer.Transfer
	operator *[32]byte // SHA-256 of the operator's own key; nil: there is none
	keys     *lru.Cache[[32]byte, known]
	rates    *lru.Cache[string, *rate.Limiter]
	own      *http.ServeMux        // what needs no schema
	routes   func() *http.ServeMux // all; the first call of it sets the next three
	mux      *http.ServeMux
	doc      *huma.OpenAPI
	names    map[string]bool // that requests may hold: of parameters and fields
	document func() []byte   // /openapi.json
}

// The calls of a server, by what they are about.
type (
	sourceAPI       struct{ *server }
	callbackKeyAPI  struct{ *server }
	grantAPI        struct{ *server }
	tenantAPI       struct{ *server }
	keyAPI          struct{ *server }
	groupAPI        struct{ *server }
	registrationAPI struct{ *server }
	historyAPI      struct{ *server } // events and deliveries
	jobAPI          struct{ *server } // jobs, test events, dry runs and queues
	transferAPI     struct{ *server } // the key ring, export and import
)
