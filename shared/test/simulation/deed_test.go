package simulation

import (
	"context"
	"errors"
	"slices"
	"time"

	"ringback/shared/control"
	"ringback/shared/gateway"
	"ringback/shared/groups"
	"ringback/shared/storage"
)

// A deed is something that somebody does with the API, and does again until it
// is answered.
type deed struct {
	name    string
	try     func(ctx context.Context, g *gateway.Gateway) error
	done    func(err error)
	process *process // nil: between two tries
	tries   int
}

// undertake begins a deed. done gets nil, or the error with which it was refused
// for good.
func (w *world) undertake(name string, try func(ctx context.Context, g *gateway.Gateway) error, done func(err error)) {
	d := &deed{name: name, try: try, done: done}
	w.deeds = append(w.deeds, d)
	w.say("%s is asked for", name)
	w.attempt(d)
}

func (w *world) attempt(d *deed) {
	p := w.process("api")
	d.process = p
	d.tries++
	go func() {
		ctx, cancel := context.WithTimeout(p.ctx, apiTimeout)
		defer cancel()
		err := d.try(ctx, p.g)
		p.do(context.Background(), "answer", d.name, func() { w.answered(d, err) })
	}()
}

func (w *world) answered(d *deed, err error) {
	d.process = nil
	if err != nil && !refusal(err) {
		w.after(time.Duration(1+w.rng.IntN(10))*time.Second, func() { w.attempt(d) })
		return
	}
	w.say("%s is answered: %v", d.name, err)
	w.deeds = slices.DeleteFunc(w.deeds, func(other *deed) bool { return other == d })
	d.done(err)
}

// refusal reports whether err says that trying again is of no use.
func refusal(err error) bool {
	return slices.ContainsFunc([]error{storage.ErrNotFound, storage.ErrConflict, storage.ErrInvalid, control.ErrLimit, control.ErrForbidden},
		func(target error) bool { return errors.Is(err, target) }) || errors.As(err, new(*groups.Refusal))
}

// abandoned has those ask again who waited for a process that ended.
func (w *world) abandoned(p *process) {
	for _, d := range w.deeds {
		if d.process == p {
			d.process = nil
			w.after(time.Duration(1+w.rng.IntN(10))*time.Second, func() { w.attempt(d) })
		}
	}
}
