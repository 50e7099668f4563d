package introspection

import (
	"slices"
	"time"
)

// A row is what has failed since the last whole answer: the last failure of each
// token, of at most manyInRow tokens for each side and kind, so of 200 at most.
type row struct {
	began  time.Time
	tokens []failed
	unsent int // failures in which no token had a part
}

type failed struct {
	token   digest
	side    side
	failure failure
	asks    bool // to be left alone for some time
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

// keepRefusals forgets all else.
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

// asksAll decides whether a time to come back is one for all tokens.
func (r *row) asksAll(few int) bool { return r.count(func(f failed) bool { return f.asks }) >= few }

// opensKnown decides after a failure whether tokens that were active before wait, and
// with them all others. few is how many tokens have to be refused, or told to come back.
func (r *row) opensKnown(last failure, few int) bool {
	known := func(f failed) bool { return f.side == knownSide }
	return r.unsent >= breakAfter ||
		last.refusesUs() && r.count(func(f failed) bool { return known(f) && f.failure.refusesUs() }) >= few ||
		r.count(func(f failed) bool { return known(f) && !f.failure.refusesUs() }) >= breakAfter ||
		r.count(func(f failed) bool { return known(f) && f.asks }) >= few
}

// opensStrangers decides after a failure whether strangers wait. Before the first
// answer ever, one refusal of us is enough, but for 403.
func (r *row) opensStrangers(last failure, few int, never bool, now time.Time) bool {
	stranger := func(f failed) bool { return f.side == strangers && !f.failure.refusesUs() }
	return r.count(func(f failed) bool { return stranger(f) && f.failure != internal }) >= breakAfter ||
		r.count(stranger) >= breakAfter && now.Sub(r.began) >= strangersRow ||
		last == refused && never ||
		last.refusesUs() && r.count(func(f failed) bool { return f.failure.refusesUs() }) >= max(few, breakAfter) ||
		r.count(func(f failed) bool { return stranger(f) && f.asks }) >= few
}
