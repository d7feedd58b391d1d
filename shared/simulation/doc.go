// Package simulation holds no code of the product, only tests: it plays the
// whole gateway in virtual time on both ends of its contracts, and a seed
// decides everything that happens.
//
// The seed chooses sources of all providers and what they report, their
// repeats, the receivers' moods, what tenants and the operator do, how long
// each call takes, which processes end before or after which of their effects,
// how wrong their clocks go, and what Store and Queue do no better than their
// contracts. After a while everything becomes calm: then all that was
// acknowledged must have arrived, or its deliveries must be final by a rule.
//
//	SIM_SEEDS=100 go test ./shared/simulation -run TestSimulation         # a first look; .ci/run plays none yet
//	SIM_SEEDS=1000000 go test ./shared/simulation -run TestSimulation -timeout 0
//	SIM_SEED=4711 go test ./shared/simulation -run TestSimulation -v      # one seed again, with all its effects
//
// # Why there is a Store in memory
//
// The product has two backends and no double of either. A million runs on a
// file would take weeks, so the simulation has a model of both contracts in
// memory, in store_test.go and queue_test.go, which no other package can
// import. It passes the same contract tests as the backends (model_test.go),
// gatewaytest.Weakness takes from it what the contracts do not promise, and a
// share of the seeds is played on the embedded backend too.
//
// # How a seed repeats
//
// Goroutines run in no fixed order, so every call of the gateway that reaches
// the outside parks: a row read or written, a message sent or deleted, a POST.
// When all goroutines are parked or wait for time, the one whose call ends next
// by the seed goes on, alone, to its next call. Random bits come from the
// seed: testing/cryptotest replaces those of crypto/rand, and Gateway.Random
// follows from the instant. It runs in processes of one thread of Go code each. So the same seed makes
// the same calls in the same order at the same instants, which
// TestSameSeedIsTheSameRun compares. What stays to chance is the order in
// which goroutines that wake at the same instant reach the gateway's own
// memory. Runs on the embedded backend are not repeated exactly: its
// goroutines serve its queue by themselves.
package simulation
