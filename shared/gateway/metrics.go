package gateway

// Metrics counts what happens. Names and units stand in metrics.go.
type Metrics interface {
	// Add counts v more of name. It may be called from many goroutines.
	Add(name Metric, v float64)
}

// A Metric is a name under which the gateway counts.
type Metric string

// The metrics of the gateway.
const (
	Callbacks        Metric = "Callbacks"        // taken in
	RefusedCallbacks Metric = "RefusedCallbacks" // answered with an error
	Events           Metric = "Events"           // begun by the worker
	Accepted         Metric = "AttemptsAccepted"
	Refused          Metric = "AttemptsRefused"
	Latency          Metric = "CallbackToDelivery" // milliseconds, of first attempts that were accepted
	DueAge           Metric = "OldestDue"          // seconds that the oldest due row is late
)
