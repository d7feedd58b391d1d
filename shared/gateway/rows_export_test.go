package gateway

// The rows that no other package reads.
type (
	Version = generation
	Lane    = lane
	Waiting = laneEntry
)
