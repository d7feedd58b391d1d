package gateway

// The rows that no other package reads.
type (
	Version = version
	Lane    = lane
	Waiting = waiting
)
