package api

import (
	"maps"
	"slices"
)

// Operations returns those in the table of scopes that a key is sent to as
// Bearer.
func Operations() []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(operations())), func(id string) bool { return id == setHTTPCallback })
}
