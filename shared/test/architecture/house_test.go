package architecture

import (
	"path"
	"slices"
	"strings"
)

const module = "ringback/"

// A room is a folder and what its code, tests aside, may import: packages of
// the module by their folders, and packages of others, with all below them if
// the path ends in a slash. The standard library is free. In both, {own} stands
// for the folder's own name.
type room struct {
	folder string // a path.Match pattern
	own    []string
	others []string
}

// house lists all rooms that import anything; the first that matches counts.
// The arrows point one way: functions → app and one backend; those → gateway;
// gateway → egress, storage and the providers' contract. The API's half stands
// above the gateway: history, groups and transfer → control → gateway. functions/local has
// the embedded backend and, since it sets up the other on a laptop, the cloud one
// too; it also plays a tenant, who verifies signatures. A folder that is not listed
// may import the standard library alone.
//
// Only shared/cloud speaks to AWS, and only shared/embedded to SQLite. Of the
// functions the worker alone names a Lambda type, to tell its queues apart.
// Tests may import more, such as a server that stands in for AWS. What stands
// aside of the product comes last.
var house = []room{
	{"functions/internal/deployed", []string{"shared/keyring", "shared/app", "shared/cloud", "shared/config", "shared/gateway", "shared/provider"}, nil},
	{"functions/api", []string{"functions/internal/deployed", "shared/api", "shared/console", "shared/cloud", "shared/gateway", "shared/provider/all", "shared/transfer"}, nil},
	{"functions/worker", []string{"functions/internal/deployed", "shared/cloud", "shared/transfer", "shared/provider/all"}, []string{"github.com/aws/aws-lambda-go/"}},
	{"functions/retry", []string{"functions/internal/deployed", "shared/cloud"}, nil},
	{"functions/local", []string{
		"shared/ident", "shared/keyring", "shared/schedule",
		"shared/api", "shared/app", "shared/app/samples", "shared/control", "shared/transfer", "shared/cloud", "shared/config", "shared/console", "shared/embedded",
		"shared/gateway", "shared/provider", "shared/storage", "shared/provider/all", "shared/provider/tencentchat",
	}, []string{"golang.org/x/sync/errgroup", "github.com/standard-webhooks/standard-webhooks/libraries/go"}},
	{".ci", []string{"shared/api", "shared/gateway", "shared/storage"}, nil}, // commands of the check
	{"functions/*", []string{"functions/internal/deployed", "shared/app", "shared/cloud", "shared/provider", "shared/provider/{own}"}, nil},

	{"shared/app", []string{"shared/keyring", "shared/config", "shared/egress", "shared/gateway", "shared/provider", "shared/storage"}, []string{"golang.org/x/sync/semaphore"}},
	{"shared/app/samples", []string{"shared/control", "shared/gateway", "shared/groups", "shared/provider", "shared/storage"}, nil},
	{"shared/api", []string{"shared/ident", "shared/circuit", "shared/keyring", "shared/schedule", "shared/control", "shared/history", "shared/groups", "shared/transfer", "shared/egress", "shared/gateway", "shared/provider", "shared/storage"}, []string{
		"github.com/danielgtaylor/huma/v2/", "github.com/hashicorp/golang-lru/v2", "golang.org/x/time/rate",
	}},
	{"shared/api/apitest", []string{"shared/api", "shared/gateway", "shared/storage"}, []string{"github.com/getkin/kin-openapi/openapi3"}}, // for tests
	{"shared/console", []string{"shared/keyring", "shared/gateway"}, nil},
	{"shared/console/browsertest", nil, []string{"github.com/chromedp/"}}, // for tests
	{"shared/config", nil, []string{"github.com/caarlos0/env/v11"}},

	{"shared/cloud", []string{"shared/config", "shared/storage"}, []string{"github.com/aws/", "github.com/klauspost/compress/zstd"}},
	{"shared/cloud/cloudtest", []string{"shared/cloud", "shared/cloud/sqstest", "shared/config", "shared/storage"}, nil},
	{"shared/cloud/*", nil, []string{"github.com/aws/"}}, // servers for tests
	{"shared/embedded", []string{"shared/storage"}, []string{"modernc.org/sqlite"}},

	{"shared/provider", nil, nil},
	{"shared/provider/all", []string{"shared/provider", "shared/provider/*"}, nil},
	{"shared/provider/providertest", []string{"shared/gateway", "shared/provider", "shared/storage"}, []string{"github.com/google/go-cmp/"}},
	{"shared/provider/form", nil, nil},
	{"shared/provider/jsonscan", nil, nil},
	{"shared/provider/item", []string{"shared/provider", "shared/provider/jsonscan", "shared/storage"}, nil}, // what rows and messages can hold
	{"shared/provider/*", []string{"shared/provider", "shared/provider/form", "shared/provider/item", "shared/provider/jsonscan"}, nil},

	{"shared/control", []string{"shared/ident", "shared/keyring", "shared/limit", "shared/schedule", "shared/egress", "shared/gateway", "shared/provider", "shared/storage"}, nil},
	{"shared/history", []string{"shared/ident", "shared/circuit", "shared/control", "shared/gateway", "shared/provider", "shared/storage"}, []string{"golang.org/x/sync/errgroup"}},
	{"shared/groups", []string{"shared/ident", "shared/keyring", "shared/control", "shared/egress", "shared/gateway", "shared/storage"}, nil},
	{"shared/transfer", []string{"shared/keyring", "shared/control", "shared/gateway", "shared/provider", "shared/storage"}, []string{"golang.org/x/sync/errgroup"}},
	{"shared/gateway", []string{"shared/ident", "shared/circuit", "shared/limit", "shared/message", "shared/limiter", "shared/schedule", "shared/keyring", "shared/egress", "shared/provider", "shared/storage"}, []string{
		"github.com/hashicorp/golang-lru/v2",
		"github.com/standard-webhooks/standard-webhooks/libraries/go",
		"golang.org/x/sync/errgroup", "golang.org/x/sync/singleflight",
	}},
	{"shared/message", []string{"shared/provider", "shared/storage"}, nil},
	{"shared/circuit", nil, nil},
	{"shared/keyring", []string{"shared/storage"}, nil},
	{"shared/limiter", []string{"shared/storage"}, []string{"github.com/hashicorp/golang-lru/v2", "golang.org/x/sync/singleflight"}},
	{"shared/limit", []string{"shared/limiter", "shared/storage"}, []string{"github.com/hashicorp/golang-lru/v2"}},
	{"shared/schedule", []string{"shared/storage"}, nil},
	{"shared/ident", []string{"shared/storage"}, nil},
	{"shared/storage", nil, nil},
	{"shared/storage/storagetest", []string{"shared/storage"}, []string{"github.com/google/go-cmp/"}},
	{"shared/egress", nil, []string{"code.dny.dev/ssrf"}},

	{"shared/test/gatewaytest", []string{ // for tests; nothing above the gateway, whose tests use it from inside
		"shared/config", "shared/egress", "shared/embedded", "shared/gateway", "shared/ident", "shared/keyring", "shared/provider", "shared/provider/all",
		"shared/storage", "shared/storage/storagetest",
	}, []string{"github.com/standard-webhooks/standard-webhooks/libraries/go"}},
	{"shared/bench/mutants", []string{"shared/bench/mutants/mutant"}, nil},
	{"shared/bench/scale", []string{"shared/keyring", "shared/limiter", "shared/control", "shared/transfer", "shared/app", "shared/bench/quantile", "shared/config", "shared/gateway", "shared/provider", "shared/storage", "shared/provider/all"}, nil},
	{"shared/bench/load", []string{"shared/ident", "shared/keyring", // a command; it fills files with the gateway's own verbs
		"shared/control", "shared/transfer", "shared/app", "shared/bench/quantile", "shared/config", "shared/egress", "shared/embedded", "shared/gateway", "shared/provider", "shared/storage", "shared/provider/all",
	}, []string{"golang.org/x/sync/errgroup"}},
}

// aside are the folders of what only tests, measures, explains or shows the
// product, which imports nothing of them; its tests may.
var aside = []string{"shared/test", "shared/bench", "shared/docs", "shared/examples"}

// backends know nothing of each other, not even in tests.
var backends = []string{"shared/cloud", "shared/embedded"}

// wrongImport returns why a file of folder may not import what, or nothing.
func wrongImport(folder, what string, test bool) string {
	inside, ours := strings.CutPrefix(what, module)
	for _, b := range backends {
		if ours && below(b, folder) && !below(b, inside) && slices.ContainsFunc(backends, func(b string) bool { return below(b, inside) }) {
			return "a backend knows no other"
		}
	}
	first, _, _ := strings.Cut(what, "/")
	switch {
	case what == "C":
		return "binaries are built without cgo"
	case ours && !test && isAside(inside) && !isAside(folder):
		return "the product does not need what only tests, measures, explains or shows it"
	case test || !ours && !strings.Contains(first, "."): // the standard library
		return ""
	case ours:
		return notListed(inside, roomOf(folder).own, folder)
	}
	return notListed(what, roomOf(folder).others, folder)
}

func isAside(folder string) bool {
	return slices.ContainsFunc(aside, func(a string) bool { return below(a, folder) })
}

func roomOf(folder string) room {
	for _, r := range house {
		if ok, _ := path.Match(r.folder, folder); ok {
			return r
		}
	}
	return room{}
}

func notListed(what string, list []string, folder string) string {
	for _, pattern := range list {
		pattern = strings.ReplaceAll(pattern, "{own}", path.Base(folder))
		if root, whole := strings.CutSuffix(pattern, "/"); whole && below(root, what) {
			return ""
		}
		if ok, _ := path.Match(pattern, what); ok {
			return ""
		}
	}
	return "it is not among what " + folder + " may import"
}

// below reports whether p is root or something in it.
func below(root, p string) bool { return p == root || strings.HasPrefix(p, root+"/") }
