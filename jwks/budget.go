package jwks

import (
	"strings"
	"time"

	"golang.org/x/time/rate"
)

// A missBudget decides which unknown kids may cause a fetch: one per cooldown, with a
// burst of missBurst. If a kid is known to be absent, it can spend only the surplus above
// a reserve of one fetch. For a second chance see spend. So stale tokens that keep coming,
// of up to maxAbsent kids, do not block a rotation for long. A token whose signature
// failed can spend only the surplus, too.
type missBudget struct {
	limiter  *rate.Limiter
	cooldown time.Duration
	absent   map[question]absence
}

// An absence records that good answers had no such key, or that the key was withdrawn.
type absence struct {
	noted time.Time // when inVain or withdrawn last recorded it
	asOf  time.Time // when the last fetch began whose answer lacked the key
	often bool      // absent more than once, or withdrawn
}

const (
	missBurst = 2
	maxAbsent = 256 // at most 64 KiB of kids

	// rounding is the tolerance for the limiter's tokens, which are floating point.
	rounding = 0.01

	// mostRetryMiss limits the RetryAfter of a request that the budget refuses. It is
	// shorter than some cooldowns, because a fetch for another token may come earlier, and
	// answers the request too.
	mostRetryMiss = 30 * time.Second
)

func newMissBudget(cooldown time.Duration) missBudget {
	return missBudget{rate.NewLimiter(rate.Every(cooldown), missBurst), cooldown, make(map[question]absence)}
}

// spend reports whether q may cause a fetch, and if so takes the fetch off the budget.
// If q was absent once, it may spend the reserve a cooldown later, because some
// issuers sign with a key a moment before all their servers publish it.
func (b missBudget) spend(q question, now time.Time) bool {
	if b.reserved(q, now) {
		return b.spendSurplus(now)
	}
	return b.limiter.AllowN(now, 1)
}

// allows reports whether spend would return true now.
func (b missBudget) allows(q question, now time.Time) bool {
	if b.reserved(q, now) {
		return b.hasSurplus(now)
	}
	return b.limiter.TokensAt(now) >= 1
}

// hasSurplus reports whether a fetch leaves the reserve of one fetch.
func (b missBudget) hasSurplus(now time.Time) bool {
	return b.limiter.TokensAt(now) >= missBurst-rounding
}

// spendSurplus takes one fetch off the budget, if the reserve of one fetch then remains,
// and reports whether it did.
func (b missBudget) spendSurplus(now time.Time) bool {
	return b.hasSurplus(now) && b.limiter.AllowN(now, 1)
}

// reserved reports whether q may spend only the surplus.
func (b missBudget) reserved(q question, now time.Time) bool {
	was, absent := b.absent[q.subject()]
	again := !was.often && now.Sub(was.noted) >= b.cooldown
	return absent && !again
}

// wait estimates when q may cause a fetch, and returns at most mostRetryMiss. The real
// wait can be longer, for example if other questions cause fetches before.
func (b missBudget) wait(q question, now time.Time) time.Duration {
	need := 1.0
	if b.reserved(q, now) {
		need = missBurst
	}
	missing := max(need-b.limiter.TokensAt(now), 0)
	return min(time.Duration(missing*float64(b.cooldown)), mostRetryMiss)
}

// isAbsent reports whether q is certain to have no key, because a fetch that began
// within the last cooldown brought no key for q.
func (b missBudget) isAbsent(q question, now time.Time) bool {
	was, absent := b.absent[q.subject()]
	return absent && now.Sub(was.asOf) < b.cooldown
}

// answered updates all absences from a good answer. began is when its fetch began. The set
// is complete, so a key that was absent is now either in the set, or still absent.
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

// inVain records that the fetch that q caused brought no key for q. began is when that
// fetch began.
func (b missBudget) inVain(q question, began time.Time) {
	_, before := b.absent[q.subject()]
	b.note(q.subject(), absence{time.Now(), began, before})
}

// withdrawn records that the issuer has withdrawn the kid. began is when the fetch began
// that showed it.
func (b missBudget) withdrawn(kid string, began time.Time) {
	b.note(question{kid: kid}, absence{time.Now(), began, true})
}

// note records an absence. It clones the strings of q, because substrings would keep whole
// tokens alive. If there are too many absences, an arbitrary one is forgotten, so its kid
// counts as new.
func (b missBudget) note(q question, is absence) {
	for other := range b.absent {
		if len(b.absent) < maxAbsent {
			break
		}
		delete(b.absent, other)
	}
	b.absent[question{strings.Clone(q.kid), strings.Clone(q.alg)}] = is
}

// subject returns what an absence is noted for: the kid alone, whatever its alg, or
// for a token without a kid its alg.
func (q question) subject() question {
	if q.kid != "" {
		return question{kid: q.kid}
	}
	return q
}
