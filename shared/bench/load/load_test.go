package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"ringback/shared/test/proofs"
)

// built returns the binary of the runner, which all tests share.
var built = sync.OnceValues(func() (string, error) {
	return build(context.Background(), "", scratch)
})

// scratch holds it.
var scratch string

func TestMain(m *testing.M) {
	if slices.Equal(os.Args[1:], []string{answerBare}) { // this is the other process of bare exchanges
		main()
		return
	}
	os.Exit(func() int {
		var err error
		if scratch, err = os.MkdirTemp("", "ringback-load-test-*"); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(scratch)
		return m.Run()
	}())
}

// small returns a bench that plays the scenarios in little, on an endpoint that
// errs as noting says.
func small(t *testing.T, noting func(*ledger) func(int, int, []byte), only ...string) *bench {
	t.Helper()
	if testing.Short() {
		t.Skip("builds and loads a runner, which -short leaves out")
	}
	binary, err := built()
	if err != nil {
		t.Fatal(err)
	}
	b := newBench()
	if err := b.parse([]string{"-deliveries", "200", "-for", "100ms", "-events", "300", "-held", "300", "-kills", "2", "-dir", t.TempDir()}); err != nil {
		t.Fatal(err)
	}
	b.fanOuts, b.rates, b.crowds, b.killAfter = []int{1, 3}, []int{200}, []int{10, 60}, 100
	b.only, b.binary, b.notes = only, binary, t.Output()
	if noting != nil {
		b.noting, b.patience = noting, 3*time.Second
	}
	return b
}

func TestEveryScenarioPlaysAndLosesNothing(t *testing.T) {
	only, rows := []string{"latency", "fanout", "kill"}, 4
	if proofs.Full() {
		only, rows = nil, 19
	}
	b := small(t, nil, only...)
	var out bytes.Buffer
	if err := b.command(t.Context(), &out); err != nil {
		t.Fatal(err)
	}
	for _, r := range b.table {
		m := r.runs[0]
		if _, counted := m[cpu]; counted && (m[objects] < 10 || m[kib] < 1) {
			t.Errorf("%s: %v allocations of %v KiB for a delivery, want tens and more", r.what, m[objects], m[kib])
		}
		if got := r.cell(lost); got != "0" {
			t.Errorf("%s: lost %s, want 0", r.what, got)
		}
		if !strings.Contains(out.String(), r.what) {
			t.Errorf("no row %q in\n%s", r.what, out.String())
		}
	}
	if len(b.table) != rows {
		t.Errorf("%d rows, want %d", len(b.table), rows)
	}
}

func TestSoakTellsWhatTheRunnerUses(t *testing.T) {
	b := small(t, nil)
	b.soakFor = 2 * time.Second
	var out bytes.Buffer
	if err := b.command(t.Context(), &out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"0 lost, 0 twice", "slope/min", "resident MiB"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
}

func TestDeliveryThatAnEndpointForgetsIsCountedAsLost(t *testing.T) {
	b := small(t, func(l *ledger) func(int, int, []byte) {
		return func(endpoint, n int, webhookID []byte) {
			if n != warm+7 {
				l.deliver(endpoint, n, webhookID)
			}
		}
	}, "latency")
	err := b.command(t.Context(), t.Output())
	if err == nil || !strings.Contains(err.Error(), "1 deliveries of acknowledged callbacks lost") {
		t.Fatalf("command = %v, want one delivery lost", err)
	}
	if got := b.table[0].cell(lost); got != "1" {
		t.Errorf("lost %s, want 1", got)
	}
}

func TestDeliveryThatAnEndpointGetsTwiceIsCountedAsRepeated(t *testing.T) {
	b := small(t, func(l *ledger) func(int, int, []byte) {
		return func(endpoint, n int, webhookID []byte) {
			l.deliver(endpoint, n, webhookID)
			if n == warm+7 {
				l.deliver(endpoint, n, webhookID)
			}
		}
	}, "fanout")
	if err := b.command(t.Context(), t.Output()); err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"1", "3"} {
		if got := b.table[i].cell(duplicated); got != want {
			t.Errorf("%s: twice %s, want %s", b.table[i].what, got, want)
		}
	}
}

func TestSecondWebhookIDOfACallbackIsAnError(t *testing.T) {
	l := newLedger(1, 2)
	for _, id := range []string{"evt_1", "evt_1", "evt_2"} {
		l.deliver(0, 0, []byte(id))
	}
	l.deliver(0, 5, []byte("evt_3"))
	if l.arrived.Load() != 1 || l.repeats.Load() != 1 || l.strange.Load() != 2 {
		t.Errorf("%d arrived, %d repeated, %d strange; want 1, 1, 2", l.arrived.Load(), l.repeats.Load(), l.strange.Load())
	}
	if err := l.check(); err == nil {
		t.Error("check = nil")
	}
}
