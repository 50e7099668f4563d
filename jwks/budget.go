package jwks

import (
	"strings"
	"time"

	"golang.org/x/time/rate"
)

// A missBudget decides which unknown kids are worth a fetch: one per cooldown,
// and a burst. What it knows to be absent may spend only what is there beyond a
// reserve, so that stale tokens which keep coming, of however many kids, never
// starve a rotation. The same holds for signatures that failed.
type missBudget struct {
	limiter  *rate.Limiter
	cooldown time.Duration
	absent   map[question]absence
}

// An absence is what good answers without such a key tell.
type absence struct {
	noted time.Time // when the answer came to a fetch for this key
	asOf  time.Time // when the fetch began that last had an answer without it
	often bool      // more than once, or the key was withdrawn
}

const (
	missBurst = 2
	maxAbsent = 256 // at most 64 KiB of kids

	// rounding is for what the limiter has: it counts in floating point.
	rounding = 0.01

	// mostRetryMiss is the longest that a request is told to wait for the budget:
	// any fetch answers it, and one may come earlier.
	mostRetryMiss = 30 * time.Second
)

func newMissBudget(cooldown time.Duration) missBudget {
	return missBudget{rate.NewLimiter(rate.Every(cooldown), missBurst), cooldown, make(map[question]absence)}
}

// spend reports whether q may cause a fetch, and takes it off the budget. What
// was absent once gets a second chance a cooldown later, reserve or not: some
// issuers sign with a key a moment before all their servers publish it.
func (b missBudget) spend(q question, now time.Time) bool {
	if b.reserved(q, now) {
		return b.spendSurplus(now)
	}
	return b.limiter.AllowN(now, 1)
}

// spendSurplus takes one fetch off the budget if the reserve stays.
func (b missBudget) spendSurplus(now time.Time) bool {
	return b.limiter.TokensAt(now) >= missBurst-rounding && b.limiter.AllowN(now, 1)
}

// reserved reports whether q has to leave the reserve to others.
func (b missBudget) reserved(q question, now time.Time) bool {
	was, absent := b.absent[q.subject()]
	again := !was.often && now.Sub(was.noted) >= b.cooldown
	return absent && !again
}

// wait returns how long it takes until q may cause a fetch, if no other does.
func (b missBudget) wait(q question, now time.Time) time.Duration {
	need := 1.0
	if b.reserved(q, now) {
		need = missBurst
	}
	missing := max(need-b.limiter.TokensAt(now), 0)
	return min(time.Duration(missing*float64(b.cooldown)), mostRetryMiss)
}

// isAbsent reports whether q is certain to have no key: an answer to a fetch
// that began within the last cooldown had none.
func (b missBudget) isAbsent(q question, now time.Time) bool {
	was, absent := b.absent[q.subject()]
	return absent && now.Sub(was.asOf) < b.cooldown
}

// answered takes a good answer to a fetch that began then. A set is whole, so
// each key that was known to be absent now is again, or is there.
func (b missBudget) answered(set *keySet, began time.Time) {
	for q, was := range b.absent {
		if keys, err := set.find(q); keys != nil || err != nil {
			delete(b.absent, q)
			continue
		}
		was.asOf = began
		b.absent[q] = was
	}
}

// inVain remembers that a fetch that q caused, and that began then, brought no
// key for it.
func (b missBudget) inVain(q question, began time.Time) {
	_, before := b.absent[q.subject()]
	b.note(q.subject(), absence{time.Now(), began, before})
}

// withdrawn remembers that the issuer has taken the kid back, as the answer to a
// fetch that began then tells.
func (b missBudget) withdrawn(kid string, began time.Time) {
	b.note(question{kid: kid}, absence{time.Now(), began, true})
}

// note copies the texts: they are cut from whole tokens, which would be kept.
// When there are too many, any one is forgotten: that costs a fetch at most.
func (b missBudget) note(q question, is absence) {
	for other := range b.absent {
		if len(b.absent) < maxAbsent {
			break
		}
		delete(b.absent, other)
	}
	b.absent[question{strings.Clone(q.kid), strings.Clone(q.alg)}] = is
}

// subject is what is absent: the kid, whatever alg it came with, or any key
// for the alg of a token without kid.
func (q question) subject() question {
	if q.kid != "" {
		return question{kid: q.kid}
	}
	return q
}
