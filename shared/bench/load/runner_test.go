package main

import "testing"

func TestMetricsAreReadUnderOldAndNewNames(t *testing.T) {
	for name, want := range map[string]string{
		"ringback_Events":       "events",
		"ringback_events_total": "events",
		"ringback_HeapBytes":    "heapbytes",
		"ringback_heap_bytes":   "heapbytes",
		`ringback_Messages{queue="events",state="in_flight"}`:    `messages{queue="events",state="in_flight"}`,
		`ringback_queue_messages{state="dead",queue="schedule"}`: `queuemessages{state="dead",queue="schedule"}`,
	} {
		if got := reduced(name); got != want {
			t.Errorf("reduced(%s) = %s, want %s", name, got, want)
		}
	}
}

func TestQueueWithoutSamplesIsNotIdle(t *testing.T) {
	samples := map[string]float64{
		`queuemessages{state="in_flight",queue="events"}`: 2,
		`queuemessages{state="waiting",queue="events"}`:   1,
		`queuemessages{state="dead",queue="events"}`:      4,
		`queuemessages{state="waiting",queue="retry"}`:    8,
	}
	if n, err := undone(samples); n != 3 || err != nil {
		t.Errorf("undone = %v, %v; want 3", n, err)
	}
	if _, err := undone(map[string]float64{"events": 3}); err == nil {
		t.Error("undone without samples of the queue = nil error, want one")
	}
}
