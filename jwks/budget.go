package jwks

import (
	"strings"
	"time"

	"golang.org/x/time/rate"
)

// A missBudget decides which unknown kids are worth a fetch: one per cooldown,
// and a burst. A kid that a fetch was already made for in vain may spend only
// what is there beyond a reserve, so that stale tokens which keep coming, of
// however many kids, never starve a rotation; yet a key that is published after
// its first token came is found as soon as the budget is whole again.
type missBudget struct {
	limiter *rate.Limiter
	vain    map[question]struct{}
}

const (
	missBurst = 2
	maxVain   = 256 // at most 64 KiB of kids
)

func newMissBudget(cooldown time.Duration) missBudget {
	return missBudget{rate.NewLimiter(rate.Every(cooldown), missBurst), make(map[question]struct{})}
}

// spend reports whether q may cause a fetch, and takes it off the budget.
func (b missBudget) spend(q question) bool {
	now := time.Now()
	const rounding = 0.01
	if _, vain := b.vain[q.subject()]; vain && b.limiter.TokensAt(now) < missBurst-rounding {
		return false
	}
	return b.limiter.AllowN(now, 1)
}

// inVain remembers that a good answer had no key for q, which had caused it. It
// copies the texts: they are cut from whole tokens, which would be kept.
func (b missBudget) inVain(q question) {
	if len(b.vain) == maxVain {
		clear(b.vain)
	}
	q = q.subject()
	b.vain[question{strings.Clone(q.kid), strings.Clone(q.alg)}] = struct{}{}
}

// subject is what is absent: the kid, whatever alg it came with, or any key
// for the alg of a token without kid.
func (q question) subject() question {
	if q.kid != "" {
		return question{kid: q.kid}
	}
	return q
}
