package gateway

// Metrics counts what happens.
type Metrics interface {
	// Add counts v more of name. It may be called from many goroutines.
	Add(name Metric, v float64)
}

// A Metric is a name under which the gateway counts.
type Metric = string

// The metrics of the gateway. Units has their units.
const (
	Callbacks         Metric = "Callbacks"        // taken in
	RefusedCallbacks  Metric = "RefusedCallbacks" // rejected with an error
	Events            Metric = "Events"           // begun by the worker
	DuplicateEvents   Metric = "DuplicateEvents"  // by the provider, recognised and not delivered again
	AttemptsSucceeded Metric = "AttemptsSucceeded"
	AttemptsFailed    Metric = "AttemptsFailed"
	Expired           Metric = "PayloadsExpired" // deliveries whose payload was gone
	DeliveryLatency   Metric = "DeliveryLatency" // of first attempts that were accepted
	DueAge            Metric = "OldestDue"       // how late the oldest due row is
)

// Units returns the units of the metrics that are worth a time series, as
// CloudWatch names them ("MetricDatum" in the Amazon CloudWatch API Reference).
func Units() map[Metric]string {
	return map[Metric]string{
		Callbacks: "Count", RefusedCallbacks: "Count", Events: "Count", DuplicateEvents: "Count", AttemptsSucceeded: "Count", AttemptsFailed: "Count", Expired: "Count",
		DeliveryLatency: "Milliseconds", DueAge: "Seconds",
	}
}
