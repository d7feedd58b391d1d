// Package pipeline holds no code, only tests of the six functions as they are
// deployed: built by functions/Makefile for this machine, set by the
// environment that template.yaml gives them, started under a Runtime API, and
// fed by queues as Lambda's event source mappings do.
package pipeline
