package api

import (
	"slices"

	"ringback/shared/control"
)

// The groups of scopes that operations take.
var (
	operatorAlone  = []control.Scope{control.ScopeOperator}
	tenantChanges  = []control.Scope{control.ScopeFull}
	tenantReads    = []control.Scope{control.ScopeFull, control.ScopeRead}
	bothChange     = []control.Scope{control.ScopeOperator, control.ScopeFull}
	bothRead       = []control.Scope{control.ScopeOperator, control.ScopeFull, control.ScopeRead}
	groupKeepers   = []control.Scope{control.ScopeOperator, control.ScopeGroupOwner}
	callbackSetter = []control.Scope{control.ScopeFull, control.ScopeSetHTTP}
	everyKey       = []control.Scope{
		control.ScopeOperator, control.ScopeFull, control.ScopeRead, control.ScopeSetHTTP, control.ScopeGroupOwner,
	}
)

// access lists the scopes that may call each operation. It is the one place
// that decides; what belongs to whom is decided by the gateway's verbs.
var access = map[string][]control.Scope{
	"get-me": everyKey,

	"create-source":       operatorAlone,
	"list-sources":        bothRead,
	"get-source":          bothRead,
	"change-source":       operatorAlone,
	"delete-source":       operatorAlone,
	"rotate-source-token": operatorAlone,
	"rotate-source-basic": operatorAlone,

	"create-callback-key": operatorAlone,
	"list-callback-keys":  operatorAlone,
	"rotate-callback-key": operatorAlone,
	"delete-callback-key": operatorAlone,

	"create-grant": operatorAlone,
	"list-grants":  operatorAlone,
	"delete-grant": operatorAlone,

	"create-tenant":  operatorAlone,
	"list-tenants":   operatorAlone,
	"get-tenant":     operatorAlone,
	"change-tenant":  operatorAlone,
	"disable-tenant": operatorAlone,
	"enable-tenant":  operatorAlone,
	"delete-tenant":  operatorAlone,

	"create-key": bothChange,
	"list-keys":  bothChange,
	"get-key":    bothChange,
	"rotate-key": bothChange,
	"delete-key": bothChange,

	"create-group":     operatorAlone,
	"connect-group":    operatorAlone,
	"list-groups":      groupKeepers,
	"get-group":        groupKeepers,
	"change-group":     groupKeepers,
	"delete-group":     operatorAlone,
	"rotate-owner-key": operatorAlone,
	"list-apps":        groupKeepers,
	"delete-app":       groupKeepers,

	"create-registration":  tenantChanges,
	"list-registrations":   bothRead,
	"get-registration":     bothRead,
	"change-registration":  tenantChanges,
	"delete-registration":  bothChange,
	"enable-registration":  bothChange,
	"disable-registration": bothChange,
	"rotate-registration":  tenantChanges,
	"rotate-raw-token":     tenantChanges,
	"test-registration":    tenantChanges,
	"recover-registration": tenantChanges,
	"replay-missing":       tenantChanges,
	"release-registration": tenantChanges,
	"dry-run-registration": tenantReads,

	"list-events":     bothRead,
	"get-event":       bothRead,
	"get-event-raw":   bothRead,
	"list-deliveries": bothRead,
	"get-delivery":    bothRead,
	"list-attempts":   bothRead,
	"resend-delivery": bothChange,

	"list-jobs":  bothRead,
	"get-job":    bothRead,
	"cancel-job": bothChange,

	"create-erasure":       operatorAlone,
	"reseal":               operatorAlone,
	"export":               operatorAlone,
	"import":               operatorAlone,
	"get-dead-letters":     operatorAlone,
	"redrive-dead-letters": operatorAlone,

	setHTTPCallback: callbackSetter,
}

// setHTTPCallback is the operation behind /api/simple.html.
const setHTTPCallback = "set-http-callback"

// allowed reports whether a key of that scope may call the operation. Nobody
// may call one that is not listed.
func allowed(operation string, scope control.Scope) bool {
	return slices.Contains(access[operation], scope)
}
