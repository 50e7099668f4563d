package jwks

import (
	"strings"
	"time"

	"golang.org/x/time/rate"
)

// A missBudget decides which unknown kids are worth a fetch: one per cooldown,
// and a burst. What it knows to be absent may spend only what is there beyond a
// reserve, so that stale tokens which keep coming, of however many kids, never
// starve a rotation.
type missBudget struct {
	limiter  *rate.Limiter
	cooldown time.Duration
	absent   map[question]absence
}

// An absence is a good answer that had no such key.
type absence struct {
	noted time.Time
	often bool // more than once, or the key was withdrawn
}

const (
	missBurst = 2
	maxAbsent = 256 // at most 64 KiB of kids
)

func newMissBudget(cooldown time.Duration) missBudget {
	return missBudget{rate.NewLimiter(rate.Every(cooldown), missBurst), cooldown, make(map[question]absence)}
}

// spend reports whether q may cause a fetch, and takes it off the budget. What
// was absent once gets a second chance a cooldown later, reserve or not: some
// issuers sign with a key a moment before all their servers publish it.
func (b missBudget) spend(q question, now time.Time) bool {
	was, absent := b.absent[q.subject()]
	again := !was.often && now.Sub(was.noted) >= b.cooldown
	const rounding = 0.01
	if absent && !again && b.limiter.TokensAt(now) < missBurst-rounding {
		return false
	}
	return b.limiter.AllowN(now, 1)
}

// inVain remembers that a fetch that q caused brought no key for it.
func (b missBudget) inVain(q question) {
	_, before := b.absent[q.subject()]
	b.note(q.subject(), before)
}

// withdrawn remembers that the issuer has taken the kid back.
func (b missBudget) withdrawn(kid string) { b.note(question{kid: kid}, true) }

// note copies the texts: they are cut from whole tokens, which would be kept.
// When there are too many, any one is forgotten: that costs a fetch at most.
func (b missBudget) note(q question, often bool) {
	for other := range b.absent {
		if len(b.absent) < maxAbsent {
			break
		}
		delete(b.absent, other)
	}
	b.absent[question{strings.Clone(q.kid), strings.Clone(q.alg)}] = absence{time.Now(), often}
}

// subject is what is absent: the kid, whatever alg it came with, or any key
// for the alg of a token without kid.
func (q question) subject() question {
	if q.kid != "" {
		return question{kid: q.kid}
	}
	return q
}
