package main

import (
	"context"
	"errors"
	"fmt"
)

// killCallers is how many connections callbacks come from until the kill.
const killCallers = 16

// kill ends the runner in the middle of its work, again and again, and waits
// for all that any of them acknowledged.
func (b *bench) kill(ctx context.Context) error {
	return b.on(ctx, func(s *stage) error {
		most := 2 * b.killAfter
		l := newLedger(1, warm+(b.kills+1)*most)
		if err := s.endpoints(ctx, l); err != nil {
			return err
		}
		if err := s.warmUp(ctx, l); err != nil {
			return err
		}
		for round := range b.kills {
			if err := s.killed(ctx, l, warm+round*most, most); err != nil {
				return err
			}
		}
		if err := errors.Join(l.wait(ctx, s.patience), s.runner.idle(ctx)); err != nil {
			return err
		}
		m := measurement{}
		if err := s.sizes(m, l); err != nil {
			return err
		}
		l.refused.Store(0) // by runners that were being killed
		return errors.Join(b.add(fmt.Sprintf("kill -9 under load, %d times", b.kills), "kill", m), l.check())
	})
}

// killed floods with up to most callbacks, kills the runner as soon as enough of
// them are acknowledged, and starts the next.
func (s *stage) killed(ctx context.Context, l *ledger, from, most int) error {
	before := l.acknowledged()
	flooded := make(chan bool)
	go func() {
		defer close(flooded)
		s.generator(l, groupA).flood(ctx, from, from+most, killCallers) // it ends in errors, as it must
	}()
	waiting, cancel := context.WithTimeout(ctx, s.patience)
	defer cancel()
	err := until(waiting, poll, func() (bool, error) { return l.acknowledged()-before >= s.killAfter, nil })
	s.runner.kill()
	<-flooded
	if err != nil {
		return fmt.Errorf("wait for %d acknowledged callbacks: %w", s.killAfter, err)
	}
	s.runner, err = startRunner(s.binary, s.dir)
	return err
}
