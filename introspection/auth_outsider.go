package introspection

import (
	"context"
	"fmt"
	"time"
)

// An outsider is a function of the caller's that may wait for others: a token
// source that asks a server, a signer that asks a key service.
type outsider struct {
	name  string // of the setting, or of the method
	run   func(context.Context) (string, error)
	time  time.Duration // for one run
	slots chan struct{}
}

func newOutsider(name string, time time.Duration, run func(context.Context) (string, error)) outsider {
	return outsider{name, run, time, make(chan struct{}, maxCalls)}
}

// ask returns what the function does, and waits no longer than ctx. The function then
// goes on in its own time: what it is about to have, it may keep for those who come
// next. One that heeds no context is left behind with its slot: however long it hangs,
// there are never more than maxCalls of it.
func (o outsider) ask(ctx context.Context) (string, error) {
	select {
	case o.slots <- struct{}{}:
	case <-ctx.Done():
		return "", o.isLate()
	}
	type result struct {
		text string
		err  error
	}
	results := make(chan result, 1)
	go func() {
		defer func() { <-o.slots }()
		own, cancel := context.WithTimeout(context.WithoutCancel(ctx), o.time)
		defer cancel()
		text, err := o.call(own)
		results <- result{text, err}
	}()
	select {
	case r := <-results:
		return r.text, r.err
	case <-ctx.Done():
		return "", o.isLate()
	}
}

// call does not quote what went wrong, which may hold what a server said, and a
// secret with it. Neither does it wrap that: a context error of the function's
// own would be taken for the caller's.
func (o outsider) call(ctx context.Context) (text string, err error) {
	defer func() {
		if p := recover(); p != nil {
			text, err = "", fmt.Errorf("%s panicked with a %T", o.name, p)
		}
	}()
	text, err = o.run(ctx)
	if err != nil {
		return "", fmt.Errorf("%s failed with a %T, which is not repeated here: it may hold a secret", o.name, err)
	}
	return text, nil
}

func (o outsider) isLate() error {
	return fmt.Errorf("%s did not return before the call's time was over", o.name)
}
