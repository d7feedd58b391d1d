package simulation

import (
	"cmp"
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing/synctest"
	"time"
)

// A call is one call of a process that reaches the outside. Its goroutine is
// parked until the world lets it go on.
type call struct {
	process *process
	name    string // such as "put D": what it is, without ids
	about   string // of what; tells calls of one name apart
	by      int    // goroutine; tells apart those that are alike, and is asked for only then
	at      time.Time
	number  int // in the order in which times were given
	resume  chan fate
	told    chan int // its goroutine, after tells
}

// A fate is what becomes of a process at a call.
type fate int

const (
	lives      fate = iota
	endsBefore      // the effect does not happen
	endsAfter       // it happens, and nobody learns of it
	tells           // it goes on to wait, and tells which goroutine it is
)

// A desk is where calls are parked.
type desk struct {
	mu      sync.Mutex
	arrived []*call
	wake    chan struct{} // holds one when something arrived
	parked  []*call       // have a time; the world's alone
	numbers int
}

// park waits until the world lets the call go on and then has the effect, unless
// the process has ended. A process that ended is left by Goexit, which no
// recover can stop: nothing that its goroutines would still do comes to pass.
func (d *desk) park(ctx context.Context, p *process, name, about string, effect func()) error {
	c := &call{process: p, name: name, about: about, resume: make(chan fate)}
	d.mu.Lock()
	d.arrived = append(d.arrived, c)
	d.mu.Unlock()
	select {
	case d.wake <- struct{}{}:
	default:
	}
	f := <-c.resume
	if f == tells {
		c.told <- goroutine()
		f = <-c.resume
	}
	if f == endsBefore {
		runtime.Goexit()
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	effect()
	if f == endsAfter {
		runtime.Goexit()
	}
	return nil
}

// goroutine returns the number of the calling goroutine. On one thread of Go
// code they are numbered in the order in which they are made.
func goroutine() int {
	var b [32]byte
	text := b[len("goroutine "):runtime.Stack(b[:], false)]
	n := 0
	for _, c := range text {
		if c < '0' || c > '9' {
			break
		}
		n = 10*n + int(c-'0')
	}
	return n
}

// settle waits until every goroutine is parked or waits for time, and gives
// those calls a time that arrived since: in an order that does not depend on
// which came first.
func (d *desk) settle(after func(*call) time.Duration) {
	synctest.Wait()
	select {
	case <-d.wake:
	default:
	}
	d.mu.Lock()
	arrived := d.arrived
	d.arrived = nil
	d.mu.Unlock()
	inOrder(arrived)
	now := time.Now()
	for _, c := range arrived {
		d.numbers++
		c.number, c.at = d.numbers, now
		if !c.process.ended {
			c.at = now.Add(after(c))
		}
		d.parked = append(d.parked, c)
	}
}

// inOrder sorts calls. Which goroutine a call is of takes longer to find out than
// anything else here, so only those are asked that are alike in all else.
func inOrder(calls []*call) {
	slices.SortStableFunc(calls, compareCalls)
	for i := 1; i < len(calls); i++ {
		if compareCalls(calls[i-1], calls[i]) == 0 {
			calls[i-1].ask()
			calls[i].ask()
		}
	}
	slices.SortStableFunc(calls, func(a, b *call) int { return cmp.Or(compareCalls(a, b), cmp.Compare(a.by, b.by)) })
}

func compareCalls(a, b *call) int {
	return cmp.Or(cmp.Compare(a.process.number, b.process.number), cmp.Compare(a.name, b.name), cmp.Compare(a.about, b.about))
}

// ask has the goroutine of a parked call tell its number.
func (c *call) ask() {
	if c.by == 0 {
		c.told = make(chan int)
		c.resume <- tells
		c.by = <-c.told
	}
}

// first returns the parked call that ends first; nil if none is parked.
func (d *desk) first() *call {
	var first *call
	for _, c := range d.parked {
		if first == nil || c.at.Before(first.at) || c.at.Equal(first.at) && c.number < first.number {
			first = c
		}
	}
	return first
}

// pass lets a call go on to its fate.
func (d *desk) pass(c *call, f fate) {
	d.parked = slices.DeleteFunc(d.parked, func(other *call) bool { return other == c })
	c.resume <- f
}

// wait blocks until something arrives, or a time comes.
func (d *desk) wait(until time.Time) {
	t := time.NewTimer(time.Until(until))
	defer t.Stop()
	select {
	case <-d.wake:
	case <-t.C:
	}
}
