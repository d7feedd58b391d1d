// Package simulation holds no code of the product, only tests: it plays the
// whole gateway in virtual time on both ends of its contracts, and a seed
// decides everything that happens.
//
// The seed chooses sources of all providers and what they report, their
// repeats, how endpoints respond, what tenants and the operator do, how long
// each call takes, which processes end before or after which of their effects,
// how wrong their clocks go, and what Store and Queue do no better than their
// contracts. After a while everything becomes calm: then all that was
// acknowledged must have arrived, or its deliveries must be final by a rule.
//
//	go test -run Simulation ./shared/test/simulation                                            # 50 seeds; a thousand at full length, as in .ci/run
//	SIM_SEEDS=1000000 go test -run Simulation -v -timeout 0 ./shared/test/simulation            # a million
//	SIM_SEEDS=1000000 SIM_FIRST=42000 go test -run Simulation -v -timeout 0 ./shared/test/simulation # as many from one seed on
//	SIM_SEED=4711 go test -run Simulation -v ./shared/test/simulation                           # one again, with all its calls
//
// A run may be interrupted: with -v it tells after each thousand seeds where to
// go on. A seed that fails is printed with the command that plays it again.
//
// # What goes wrong
//
// Processes end before or after any of their effects. Calls take up to two
// seconds, fail, or are done and fail all the same; so do parts of a batch. Messages
// come twice, at once or long after, late, in any order, and are not deleted
// though they were dealt with. Lists and the due index lag by a second, their
// pages are short or empty. Store, Queue or both fail every call for up to
// twenty minutes, or do what they are asked and never say so, or take nothing
// in as on a full disk. Clocks are wrong by up to two seconds, and jump.
// Endpoints fail, ask to wait, hang, respond late, break off before or within
// their response, or are gone.
//
// # A process that ends at each effect
//
// Seeds hit some effects only now and then. So scripts (script_test.go) are played
// besides, in which nothing goes wrong except that a process ends before or after
// one chosen effect: a row put or deleted, a message sent or deleted, a POST. There
// are four: a callback for an endpoint that fails once and for a registration that is
// disabled for a while, with a release and a resend; the same with a history of
// failures; an ordered registration; and an app that is registered by a group's code
// until the code is changed. At full length each effect of each script is tried,
// otherwise the first and the last of its kind, and the test fails if a kind that it
// lists did not occur. The next process starts on the file of the former, or takes
// over from it while its leases hold, or after they have ended. In some runs two
// processes end, and in exit_test.go a real process exits. What must hold is the same,
// and more: endpoints accepted everything that was acknowledged, and each process
// that ended caused at most one POST to be repeated.
//
// # What must hold
//
// At each effect: a callback is acknowledged only after all of it is in durable
// messages; a message is deleted only when all that it was about is recorded for
// every registration, or is in another message; a pending delivery is due, or in
// a lane; what succeeded stays so, claims only grow, and no attempt is forgotten;
// an event has one webhook-id, over all repeats of its provider. At each POST:
// the registration asked for the event, a grant or a code covers it, neither
// registration nor tenant is disabled, the delivery was not cancelled, and no 410
// came, since longer than caches may be old; the signature verifies, the bytes are
// those that were sent. At rest: what was acknowledged arrived, or its delivery
// ended by a rule; none ended with fewer attempts than its schedule has; nothing
// is due; jobs are over and left nothing out; resends were made. Where nothing
// went wrong but endpoints, nothing came twice or too early, and nothing of an
// ordered registration came together.
//
// # Why there is a Store in memory
//
// The product has two backends and no double of either. A million runs on a
// file would take weeks, so the simulation has a model of both contracts in
// memory, in store_test.go and queue_test.go, which no other package can
// import. It passes the same contract tests as the backends (model_test.go),
// storagetest.Weakness takes from it what the contracts do not promise, and a
// share of the seeds is played on the embedded backend too.
//
// # How a seed repeats
//
// Goroutines run in no fixed order, so every call of the gateway that reaches
// the outside parks: a row read or written, a message sent or deleted, a POST.
// When all goroutines are parked or wait for time, the one whose call ends next
// by the seed goes on, alone, to its next call. Random bits come from the
// seed: testing/cryptotest replaces those of crypto/rand, and Gateway.Random
// follows from the instant. It runs in processes of one thread of Go code each.
// So the same seed makes the same calls in the same order at the same instants, which
// TestSameSeedIsTheSameRun compares. What stays to chance is the order in
// which goroutines that wake at the same instant reach the gateway's own
// memory. Runs on the embedded backend are not repeated exactly: its
// goroutines serve its queue by themselves.
package simulation
