package main

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// A target is a package to mutate and those whose tests may notice, its own
// first; all by their folders.
type target struct {
	folder string
	tests  []string
}

// targets are the packages whose code decides what becomes of an event.
var targets = []target{
	{"shared/gateway", []string{"shared/gateway", "shared/app", "shared/api", "shared/test/simulation"}},
	{"shared/message", []string{"shared/message", "shared/gateway", "shared/app", "shared/api", "shared/test/simulation"}},
	{"shared/control", []string{"shared/control", "shared/api", "shared/groups", "shared/app", "shared/test/simulation"}},
	{"shared/embedded", []string{"shared/embedded", "shared/app"}},
	{"shared/cloud", []string{"shared/cloud"}},
	{"shared/egress", []string{"shared/egress", "shared/app"}},
	provider("shared/provider"),
	provider("shared/provider/direct"),
	provider("shared/provider/form"),
	provider("shared/provider/item"),
	provider("shared/provider/jsonscan"),
	provider("shared/provider/smartbots"),
	provider("shared/provider/tencentchat"),
}

func provider(folder string) target {
	return target{folder, []string{folder, "shared/provider/all", "shared/gateway", "shared/app"}}
}

// choose returns the targets that a list such as gateway,provider names.
func choose(list string) (chosen []target, err error) {
	if list == "" {
		return targets, nil
	}
	for name := range strings.SplitSeq(list, ",") {
		folder := path.Join("shared", name)
		named := func(t target) bool { return t.folder == folder || strings.HasPrefix(t.folder, folder+"/") }
		if !slices.ContainsFunc(targets, named) {
			return nil, fmt.Errorf("-only: no package %s is mutated", folder)
		}
		for _, t := range targets {
			if named(t) {
				chosen = append(chosen, t)
			}
		}
	}
	return chosen, nil
}
