// Package isolation measures, in virtual time, what a tenant feels of others whose
// endpoints are bad in some way: on one process, and on ten that take batches of
// ten. It is tests alone, since a bubble of testing/synctest wants one; its command
// writes the table of shared/docs/isolation.md:
//
//	go test ./shared/bench/isolation -timeout 60m -run TestNeighbours -all -update
package isolation
