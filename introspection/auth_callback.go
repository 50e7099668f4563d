package introspection

import (
	"context"
	"fmt"
	"time"
)

// A callback is a function of the Config that may be slow, for example a token source
// that calls a server or a signer that calls a key service.
type callback struct {
	name  string // of the setting or the AuthMethod, for errors
	fn    func(context.Context) (string, error)
	time  time.Duration // limit for one run
	slots chan struct{}
}

func newCallback(name string, time time.Duration, fn func(context.Context) (string, error)) callback {
	return callback{name, fn, time, make(chan struct{}, maxCalls)}
}

// run calls the function and returns its result, or an error if ctx ends first. In that
// case the function continues until its own time limit, because a result that it caches
// helps later calls. If the function ignores its context and hangs, it keeps its slot,
// so at most maxCalls runs can hang.
func (c callback) run(ctx context.Context) (string, error) {
	select {
	case c.slots <- struct{}{}:
	case <-ctx.Done():
		return "", c.lateError()
	}
	type result struct {
		text string
		err  error
	}
	results := make(chan result, 1)
	go func() {
		defer func() { <-c.slots }()
		own, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.time)
		defer cancel()
		text, err := c.call(own)
		results <- result{text, err}
	}()
	select {
	case r := <-results:
		return r.text, r.err
	case <-ctx.Done():
		return "", c.lateError()
	}
}

// call turns an error or a panic of the function into an error that names its type only.
// The text is left out because it may quote a server's response with a secret. The error
// is not wrapped, because a context error in it would pass for an error of the caller's
// context.
func (c callback) call(ctx context.Context) (text string, err error) {
	defer func() {
		if p := recover(); p != nil {
			text, err = "", fmt.Errorf("%s panicked with a %T", c.name, p)
		}
	}()
	text, err = c.fn(ctx)
	if err != nil {
		return "", fmt.Errorf("%s failed with a %T, whose text is left out because it may hold a secret", c.name, err)
	}
	return text, nil
}

func (c callback) lateError() error {
	return fmt.Errorf("%s did not return in time", c.name)
}
