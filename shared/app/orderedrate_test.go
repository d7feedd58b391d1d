package app_test

import (
	"fmt"
	"testing"
	"time"

	"ringback/shared/control"
)

func TestOrderedRegistrationWithARateGetsEverything(t *testing.T) {
	scenario(t, func(t *testing.T, w *world) {
		s, path := w.smartBots()
		c := w.tenant(s, nil)
		_, e := w.register(c, s, "spaced.example", control.RegistrationChange{Ordered: ptr(true), Rate: ptr(0.5)})
		for n := range 10 {
			w.chat(path, groupA, fmt.Sprint(n))
			w.chat(path, groupB, fmt.Sprint(n))
		}
		w.within(time.Hour, "all delivered", func() bool { return len(e.Succeeded()) >= 20 })
	})
}
