package introspection

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/accesstoken/accesstoken/internal/fetch"
)

const (
	breakAfter   = 5 // failures in a row
	firstBreak   = 500 * time.Millisecond
	longestBreak = time.Second      // what an outage costs beyond its end, against a probe in that time
	longestAsked = 30 * time.Second // what a Retry-After can ask for
)

// A breaker keeps requests from an endpoint that does not answer: theirs, which
// would wait for nothing, and its own, which would not let it recover. After
// some failures in a row it is open; then one probe at a time is let through, and
// the first good one closes it. What counts as a failure is that nothing was
// learned of a token, not that one is bad.
type breaker struct {
	mu       sync.Mutex
	failures int // in a row
	opened   int // times in a row
	until    time.Time
	probing  bool
	cause    error // of the last failure
}

// refuses returns an error while the endpoint is left alone, at no cost.
func (b *breaker) refuses() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.open()
}

// allow reports whether to ask now, and whether that is a probe; else the error
// says when.
func (b *breaker) allow() (probe bool, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.open(); err != nil {
		return false, err
	}
	probe = !b.until.IsZero()
	b.probing = probe
	return probe, nil
}

// open expects mu to be held.
func (b *breaker) open() error {
	switch now := time.Now(); {
	case b.until.IsZero():
		return nil
	case now.Before(b.until):
		return &openError{b.cause, b.until.Sub(now)}
	case b.probing:
		return &openError{b.cause, firstBreak}
	}
	return nil
}

// done notes how asking went: err is a failure or nil, after is how long the
// endpoint wants to be left alone.
func (b *breaker) done(probe bool, err error, after time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if probe {
		b.probing = false
		probe = !b.until.IsZero() // another answer may have closed it meanwhile
	}
	if err == nil {
		b.failures, b.opened, b.until, b.cause = 0, 0, time.Time{}, nil
		return
	}
	b.failures++
	b.cause = err
	// What was asked before it opened fails afterwards, and says nothing new.
	if !probe && !b.until.IsZero() || !probe && b.failures < breakAfter && after == 0 {
		return
	}
	pause := min(firstBreak<<min(b.opened, 10), longestBreak)
	pause -= time.Duration(rand.Float64() * 0.2 * float64(pause)) // so that a fleet does not probe in step
	b.opened++
	b.until = time.Now().Add(max(pause, min(after, longestAsked)))
}

// abandon gives back a probe whose answer nobody learned.
func (b *breaker) abandon(probe bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if probe {
		b.probing = false
	}
}

// An openError is the answer while the endpoint is left alone.
type openError struct {
	cause error
	after time.Duration
}

func (e *openError) Error() string {
	return fmt.Sprintf("introspection: the endpoint is left alone for now, after this: %v", e.cause)
}

func (e *openError) Unwrap() error { return e.cause }

// RetryAfter returns when asking again may help.
func (e *openError) RetryAfter() time.Duration { return e.after }

// isFailure tells an endpoint that is out of order from one that has answered,
// whatever it said.
func isFailure(err error) bool {
	for _, answer := range []error{ErrClientRefused, ErrTokenType, ErrUnsupportedTokenType, errBusy} {
		if errors.Is(err, answer) {
			return false
		}
	}
	return err != nil
}

// isOutage is true if the endpoint did not answer. One that did, with what is of
// no use, may be somebody else.
func isOutage(err error) bool {
	unusable := (*unusableError)(nil)
	return (isFailure(err) || errors.Is(err, errBusy)) && !errors.As(err, &unusable) && !errors.Is(err, fetch.ErrTooLarge) && !isAnswer(err)
}

// isAnswer is true of a status by which an endpoint that works says something of
// this request: neither 408, 429 nor 5xx.
func isAnswer(err error) bool {
	status := (*fetch.StatusError)(nil)
	return errors.As(err, &status) && status.Status < 500 && status.Status != http.StatusRequestTimeout && status.Status != http.StatusTooManyRequests
}

// isOfTheToken is true of a status that another token need not get: whoever
// invents tokens must not shut the endpoint for the others.
func isOfTheToken(err error) bool {
	status := (*fetch.StatusError)(nil)
	return errors.As(err, &status) && slices.Contains([]int{400, 413, 414, 422, 431}, status.Status)
}

// An unusableError is an answer that is none.
type unusableError struct{ cause error }

func (e *unusableError) Error() string { return e.cause.Error() }
func (e *unusableError) Unwrap() error { return e.cause }

func retryAfter(err error) time.Duration {
	var asks interface{ RetryAfter() time.Duration }
	if errors.As(err, &asks) {
		return asks.RetryAfter()
	}
	return 0
}
