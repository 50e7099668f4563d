package introspection

import (
	"slices"
	"time"
)

// A row holds the failures since the last whole answer, and of each token only the last
// failure. For each side, kind of failure and asks, it keeps manyInRow tokens at most,
// which is at most 200 in all.
type row struct {
	began  time.Time
	tokens []failed
	unsent int // failures that no token can have caused
}

type failed struct {
	token   digest
	side    side
	failure failure
	asks    bool // the endpoint sent a Retry-After
}

func (r *row) add(t ticket, failure failure, asks bool, now time.Time) {
	if r.began.IsZero() {
		r.began = now
	}
	if failure == unsent || failure == ours {
		r.unsent++
		return
	}
	r.tokens = slices.DeleteFunc(r.tokens, func(f failed) bool { return f.token == t.token })
	alike := func(f failed) bool { return f.side == t.side && f.failure == failure && f.asks == asks }
	if r.count(alike) < manyInRow {
		r.tokens = append(r.tokens, failed{t.token, t.side, failure, asks})
	}
}

// keepRefusals drops all failures but refusals of this client.
func (r *row) keepRefusals() {
	r.tokens = slices.DeleteFunc(r.tokens, func(f failed) bool { return !f.failure.refusesUs() })
	r.unsent = 0
}

func (r *row) count(counts func(failed) bool) (n int) {
	for _, f := range r.tokens {
		if counts(f) {
			n++
		}
	}
	return n
}

// asksAll reports whether enough tokens got a Retry-After for it to apply to all tokens.
func (r *row) asksAll(few int) bool { return r.count(func(f failed) bool { return f.asks }) >= few }

// opensKnown decides after a failure whether the circuit of known tokens opens, and with
// it the circuit of unknown tokens. few is how many tokens must have met a refusal of
// this client, or a Retry-After.
func (r *row) opensKnown(last failure, few int) bool {
	known := func(f failed) bool { return f.side == knownSide }
	return r.unsent >= breakAfter ||
		last.refusesUs() && r.count(func(f failed) bool { return known(f) && f.failure.refusesUs() }) >= few ||
		r.count(func(f failed) bool { return known(f) && !f.failure.refusesUs() }) >= breakAfter ||
		r.count(func(f failed) bool { return known(f) && f.asks }) >= few
}

// opensUnknown decides after a failure whether the circuit of unknown tokens opens. If
// there has never been a whole answer, one refusal of this client is enough, unless it is
// a 403.
func (r *row) opensUnknown(last failure, few int, never bool, now time.Time) bool {
	unknown := func(f failed) bool { return f.side == unknownSide && !f.failure.refusesUs() }
	return r.count(func(f failed) bool { return unknown(f) && f.failure != internal }) >= breakAfter ||
		r.count(unknown) >= breakAfter && now.Sub(r.began) >= unknownRow ||
		last == refused && never ||
		last.refusesUs() && r.count(func(f failed) bool { return f.failure.refusesUs() }) >= max(few, breakAfter) ||
		r.count(func(f failed) bool { return unknown(f) && f.asks }) >= few
}
