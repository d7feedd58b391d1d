// Package crash holds no code, only tests that end the gateway's process before
// and after each of its effects on the outside: a row written or deleted, a
// message sent or deleted, a POST to a tenant.
//
// effects_test.go finds the effects by standing between the gateway and the
// outside, world_test.go starts processes and outlives them, scenario_test.go
// is what happens meanwhile, verify_test.go what must hold afterwards.
package crash
