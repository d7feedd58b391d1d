package main

import (
	"bytes"
	"math"
	"testing"
	"time"
)

func TestNumbersHaveThreeDigitsOrAllBeforeThePoint(t *testing.T) {
	for v, want := range map[float64]string{
		0: "0", 1: "1", 0.123456: "0.123", 0.0123: "0.012", 1.2345: "1.23", 12.345: "12.3", 99.96: "100.0", 123.45: "123",
		1234.5: "1,234", 12345678: "12,345,678", -1234.5: "-1,234",
	} {
		if got := number(v); got != want {
			t.Errorf("number(%v) = %s, want %s", v, got, want)
		}
	}
}

func TestTableTellsTheSpreadOfRuns(t *testing.T) {
	var tab table
	for _, v := range []float64{30, 10, 20} {
		tab.add("fan-out 1", "fanout", measurement{delivered: v, lost: 0})
	}
	for _, v := range []float64{30, 10, 14, 20} {
		tab.add("fan-out 10", "fanout", measurement{delivered: v})
	}
	tab.add("kill -9", "kill", measurement{duplicated: 4, lost: 0})
	var b bytes.Buffer
	tab.markdown(&b)
	want := "| fan-out 1 | 10–20–30 deliveries/s, 0 lost | `go run ./shared/bench/load -only fanout` |\n" +
		"| fan-out 10 | 10–17–30 deliveries/s | `go run ./shared/bench/load -only fanout` |\n" +
		"| kill -9 | 0 lost, 4 twice | `go run ./shared/bench/load -only kill` |\n"
	if b.String() != want {
		t.Errorf("markdown:\n%swant\n%s", b.String(), want)
	}
}

func TestShareIsOfDeliveriesOrElseOfCallbacks(t *testing.T) {
	var tab table
	tab.add("callbacks", "callbacks", measurement{accepted: 5000})
	tab.add("fan-out 10", "fanout", measurement{accepted: 500, delivered: 4000})
	tab.add("latency", "latency", measurement{p50: 3})
	tab.share(20_000)
	for i, want := range []string{"0.250", "0.200", ""} {
		if got := tab[i].cell(share); got != want {
			t.Errorf("%s: share %q of 20,000 bare exchanges/s, want %q", tab[i].what, got, want)
		}
	}
}

func TestSlopeIsPerMinute(t *testing.T) {
	var samples []sample
	for i := range 5 {
		samples = append(samples, sample{at: time.Duration(i) * 30 * time.Second, file: 7 + 1.5*float64(i)})
	}
	if got := slope(samples, func(x sample) float64 { return x.file }); math.Abs(got-3) > 1e-9 {
		t.Errorf("slope of 1.5 in half a minute = %v, want 3", got)
	}
	if got := slope(samples[:1], func(x sample) float64 { return x.file }); got != 0 {
		t.Errorf("slope of one sample = %v, want 0", got)
	}
}
