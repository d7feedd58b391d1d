package control

import "ringback/shared/gateway"

// The layers; the package comment tells what is in which.
type (
	base          struct{ gw *gateway.Gateway }
	sources       struct{ *base }
	tenants       struct{ *sources }
	registrations struct{ *tenants }
	work          struct{ *registrations }
	lifecycle     struct{ *work }
)
