package main

import (
	"fmt"
	"io"
	"testing"
	"time"
)

// findTime is how long each rate is played: the backlog of the start is gone by
// its middle, if it ever goes.
const findTime = 10 * time.Minute

// find looks for the highest rate that is carried, within a tenth.
func find(t *testing.T, a Assumptions, out io.Writer) error {
	a.For = min(a.For, findTime)
	a.print(out)
	low, high := 0.0, 0.0
	for rate := a.Rate; ; rate *= 1.5 {
		why, err := try(t, a, rate, out)
		if err != nil {
			return err
		}
		if why != "" {
			high = rate
			break
		}
		low = rate
	}
	for low == 0 || high/low > 1.1 {
		rate := (low + high) / 2
		if rate < 1 {
			return fmt.Errorf("nothing is carried")
		}
		why, err := try(t, a, rate, out)
		if err != nil {
			return err
		}
		if why == "" {
			low = rate
		} else {
			high = rate
		}
	}
	fmt.Fprintf(out, "\ncarried: %.0f callbacks/s; not: %.0f\n", low, high)
	return nil
}

func try(t *testing.T, a Assumptions, rate float64, out io.Writer) (why string, err error) {
	a.Rate = rate
	w, err := play(t, a)
	if err != nil {
		return "", err
	}
	if err := w.m.conserved(w); err != nil {
		return "", fmt.Errorf("not conserved at %.0f/s: %w", rate, err)
	}
	why = w.overloaded()
	verdict := "carried"
	if why != "" {
		verdict = why
	}
	fmt.Fprintf(out, "%8.0f/s  healthy, second half: %s  $%.2f a million  %s\n", rate, quantiles(w.m.settled[healthy]), w.perMillion(), verdict)
	return why, nil
}

// overloaded returns what an operator would be alarmed by in the second half,
// by the alarms of template.yaml, or which backlog grows; nothing if all is
// well.
func (w *world) overloaded() string {
	const (
		mostAge  = 5 * time.Minute // of OldestDueAge and EventsAge
		noise    = 2 * time.Second // of the oldest message
		halfTime = 2
	)
	points := w.m.points
	middle, last := points[len(points)/halfTime], points[len(points)-1]
	switch {
	case last.refused > middle.refused:
		return fmt.Sprintf("callbacks are refused: %.0f in the second half", last.refused-middle.refused)
	case len(w.events.dead)+len(w.retries.dead)+len(w.slow.dead) > 0:
		return "dead letters"
	case last.oldest > mostAge:
		return fmt.Sprintf("events wait for %v", last.oldest.Round(time.Second))
	case last.oldest > noise && last.oldest >= middle.oldest:
		return fmt.Sprintf("the oldest event waits for %v, and did for %v at half-time", last.oldest.Round(time.Second), middle.oldest.Round(time.Second))
	case last.oldestDue > mostAge:
		return fmt.Sprintf("the oldest due delivery is %v late", last.oldestDue.Round(time.Second))
	case last.retries > float64(w.a.Brake):
		return fmt.Sprintf("%.0f retries wait, more than the brake", last.retries)
	}
	return ""
}
