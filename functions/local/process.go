package main

import (
	"io"
	measured "runtime/metrics"
)

// ofProcess are the metrics of the process itself.
var ofProcess = [...]struct{ name, of, help string }{
	{"Goroutines", "/sched/goroutines:goroutines", "Goroutines that live."},
	{"HeapBytes", "/memory/classes/heap/objects:bytes", "Memory of objects that live, or that the collector has not found dead yet."},
}

// writeProcess writes what the process uses now.
func writeProcess(w io.Writer) {
	var samples [len(ofProcess)]measured.Sample
	for i, m := range ofProcess {
		samples[i].Name = m.of
	}
	measured.Read(samples[:])
	for i, m := range ofProcess {
		describe(w, m.name, "gauge", m.help)
		line(w, m.name, "", float64(samples[i].Value.Uint64()))
	}
}
