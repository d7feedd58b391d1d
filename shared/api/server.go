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

// A server is the API of one gateway.
type server struct {
	g        *gateway.Gateway
	control  *control.Control
	history  *history.History
	groups   *groups.Groups
	transfer *transfer.Transfer
	api      huma.API
	operator *[32]byte // SHA-256 of the operator's own key; nil: there is none
	keys     *lru.Cache[[32]byte, known]
	rates    *lru.Cache[string, *rate.Limiter]
	own      *http.ServeMux        // what is written here, not on Huma
	routes   func() *http.ServeMux // all of it
	document func() []byte         // /openapi.json
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
	workAPI         struct{ *server } // jobs, tests and queues
	transferAPI     struct{ *server } // the key ring, export and import
)
