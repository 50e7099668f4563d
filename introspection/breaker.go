package introspection

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

const (
	breakAfter   = 5 // distinct tokens of one side, or failures in a row of one token
	firstBreak   = 500 * time.Millisecond
	longestBreak = time.Second      // what an outage costs beyond its end, against a probe in that time
	longestAsked = 30 * time.Second // what a Retry-After can ask for
	refusedBreak = 5 * time.Second  // for an endpoint that refuses us

	// jitter is the part of a pause that is left to chance, so that a fleet does not
	// probe in step.
	jitter       = 0.2
	leastRefused = time.Duration((1 - jitter) * float64(refusedBreak))

	// manyInRow tokens of one kind that fail in a row are no chance: of several servers
	// behind a balancer, one or two that refuse us leave the others in use.
	manyInRow = 10

	mostLeft = 4 // probes of one pause that may be on the wire for nobody

	// strangersRow is how long only failures have to come in, before those that an
	// invented token may bring about count against strangers.
	strangersRow = time.Second
)

// A breaker keeps questions from an endpoint that does not answer: theirs, which
// would wait for nothing, and its own, which would not let it recover.
//
// A whole answer proves that the endpoint is up, whatever it says, and closes it. Only
// what fails in a row, with no whole answer since, opens it, and of the failures of
// one token one counts. Tokens that were active before have a circuit of their own:
// no strangers open it. When it opens, that of the strangers does too. A token that
// fails by itself is left alone by itself.
//
// When an open circuit's pause is over, one probe at a time is let through; a call
// that was lost does not hold the probe for longer than it may take.
type breaker struct {
	timeout time.Duration // of one call
	known   knownTokens

	mu       sync.Mutex
	row      row
	circuits [2]circuit // of strangers, and of tokens that were active before
	single   *[singles]single
	answered time.Time // when the last whole answer came that did not refuse us
}

// A side is whose circuit it is.
type side int

const (
	strangers side = iota
	knownSide
)

func (b *breaker) sideOf(d digest) side {
	if b.known.has(d) {
		return knownSide
	}
	return strangers
}

// A circuit is open until a time, and then lets probes through.
type circuit struct {
	until  time.Time // zero: it is closed
	pauses int       // in a row
	period int       // counts openings and closings: a probe of an earlier one is none
	probe  time.Time // until when one is under way at most; zero: none is
	left   int       // probes in this period that nobody waited for to their end
	cause  error     // of the last failure
}

// refuses returns the error of an open circuit.
func (c *circuit) refuses(now time.Time) error {
	switch {
	case c.until.IsZero():
		return nil
	case now.Before(c.until):
		return &openError{c.cause, c.until.Sub(now)}
	case now.Before(c.probe):
		return &openError{c.cause, firstBreak}
	}
	return nil
}

// begin expects that the circuit does not refuse. It returns the period of a probe, or
// zero.
func (c *circuit) begin(now time.Time, longest time.Duration) int {
	if c.until.IsZero() {
		return 0
	}
	c.probe = now.Add(longest)
	return c.period
}

// end reports whether the call was the probe of this period.
func (c *circuit) end(period int) bool {
	if period == 0 || period != c.period {
		return false
	}
	c.probe = time.Time{}
	return true
}

func (c *circuit) open(now time.Time, failed failure, cause error, asked time.Duration) {
	pause := min(firstBreak<<min(c.pauses, 10), longestBreak)
	if failed.refusesUs() {
		pause = refusedBreak
	}
	pause -= time.Duration(rand.Float64() * jitter * float64(pause))
	c.pauses++
	c.period++
	c.until, c.cause, c.probe, c.left = now.Add(max(pause, asked)), cause, time.Time{}, 0
}

func (c *circuit) close() { *c = circuit{period: c.period + 1} }

// A single is what failed of one token.
type single struct {
	token    digest
	failures int // in a row
	failure  failure
	failed   time.Time
	circuit  circuit
}

// singles is how many tokens that fail are remembered, by a part of their digest:
// 1024 of some 150 bytes, from the first failure on. One that is overwritten is
// counted anew.
const singles = 1024

func (b *breaker) singleOf(d digest) *single {
	if b.single == nil {
		b.single = new([singles]single)
	}
	return &b.single[(int(d[0])<<8|int(d[1]))%singles]
}

// refusesSingle lets a token be asked about as soon as others have got an answer, after
// the shortest pause, unless the server has named this one's.
func (b *breaker) refusesSingle(d digest, now time.Time) error {
	if b.single == nil {
		return nil
	}
	s := b.singleOf(d)
	if s.token != d {
		return nil
	}
	if s.failure != limited && b.answered.After(s.failed) && now.Sub(s.failed) >= firstBreak && now.Before(s.circuit.until) {
		s.circuit.until = now
	}
	return s.circuit.refuses(now)
}

// A ticket is for one call.
type ticket struct {
	token        digest
	side         side
	began        time.Time
	probe, alone int // the periods of what it is a probe of
}

// refuses returns an error while the token is not to be asked about, at no cost.
func (b *breaker) refuses(d digest) error {
	side := b.sideOf(d)
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.refusesAt(d, side, time.Now())
}

func (b *breaker) refusesAt(d digest, side side, now time.Time) error {
	if err := b.refusesSingle(d, now); err != nil {
		return err
	}
	return b.circuits[side].refuses(now)
}

// begin lets a call be made, or returns an error that says when to come back. Each
// ticket is given back by end or abandon.
func (b *breaker) begin(d digest) (ticket, error) {
	t := ticket{token: d, side: b.sideOf(d), began: time.Now()}
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.refusesAt(d, t.side, t.began); err != nil {
		return t, err
	}
	longest := b.timeout + time.Second
	t.probe = b.circuits[t.side].begin(t.began, longest)
	if b.single != nil && b.singleOf(d).token == d {
		t.alone = b.singleOf(d).circuit.begin(t.began, longest)
	}
	return t, nil
}

// send notes that what shows who we are is there, and the question goes on the wire
// only now: a probe has its time from here on.
func (b *breaker) send(t ticket) ticket {
	b.mu.Lock()
	defer b.mu.Unlock()
	t.began = time.Now()
	longest := t.began.Add(b.timeout + time.Second)
	if c := &b.circuits[t.side]; t.probe != 0 && t.probe == c.period && !c.probe.IsZero() {
		c.probe = longest
	}
	if t.alone != 0 && b.singleOf(t.token).token == t.token {
		if c := &b.singleOf(t.token).circuit; t.alone == c.period && !c.probe.IsZero() {
			c.probe = longest
		}
	}
	return t
}

// abandon gives a ticket back of whose call nothing was learned.
func (b *breaker) abandon(t ticket) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.circuits[t.side].end(t.probe)
	if t.alone != 0 && b.singleOf(t.token).token == t.token {
		b.singleOf(t.token).circuit.end(t.alone)
	}
}

// release lets another call be the probe, as nobody waits for the answer to this one.
// How it went is noted nevertheless. Of those there are a few at most: callers that
// leave early do not make a flood of probes.
func (b *breaker) release(t ticket) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if c := &b.circuits[t.side]; t.probe != 0 && t.probe == c.period && c.left < mostLeft {
		c.left++
		c.probe = time.Time{}
	}
}

// end notes how a call went.
func (b *breaker) end(t ticket, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	failed, now := failureOf(err), time.Now()
	probed := b.circuits[t.side].end(t.probe)
	b.endSingle(t, failed, err, now)
	switch {
	case failed == queued: // it says nothing
		return
	case failed == answered, failed == unusable:
		b.answered, b.row = now, row{}
		b.closeCircuits(false)
		return
	case failed.refusesUs(): // an answer of an endpoint that is up
		b.row.keepRefusals()
		b.closeCircuits(true)
	}
	// What was asked before the last answer came says nothing newer than that.
	if t.began.Before(b.answered) {
		return
	}
	b.row.add(t, failed, askedFor(err) > 0, now)
	few := b.few(now)
	ofKnown := t.side == knownSide || failed == unsent || failed == ours
	if probed && t.side == knownSide || ofKnown && b.row.opensKnown(failed, few) {
		b.open(knownSide, probed && t.side == knownSide, now, failed, err)
		b.open(strangers, false, now, failed, err)
	}
	if probed && t.side == strangers || b.row.opensStrangers(failed, few, b.answered.IsZero(), now) {
		b.open(strangers, probed && t.side == strangers, now, failed, err)
	}
}

// open opens a circuit, unless it is open: what was asked before that, and fails
// afterwards, says nothing new. A failed probe opens it once more.
func (b *breaker) open(side side, probed bool, now time.Time, failed failure, cause error) {
	c, asked, few := &b.circuits[side], time.Duration(0), b.few(now)
	if probed && few < manyInRow || b.row.asksAll(few) {
		asked = askedFor(cause)
	}
	if probed || c.until.IsZero() {
		c.open(now, failed, cause, asked)
	}
}

// few is how many tokens have to be refused in a row, or told to come back, before that
// is taken for what all would be told. It is 2, unless an answer came a moment ago, as
// it does from the other servers when one of several refuses.
func (b *breaker) few(now time.Time) int {
	if !b.answered.IsZero() && now.Sub(b.answered) < refusedBreak {
		return manyInRow
	}
	return 2
}

func (b *breaker) closeCircuits(butRefusals bool) {
	for i := range b.circuits {
		c := &b.circuits[i]
		if !c.until.IsZero() && !(butRefusals && failureOf(c.cause).refusesUs()) {
			c.close()
		}
	}
}

// endSingle counts what one token meets. An endpoint that was not asked about it says
// nothing of it.
func (b *breaker) endSingle(t ticket, failed failure, err error, now time.Time) {
	if failed == answered && b.single == nil {
		return
	}
	s := b.singleOf(t.token)
	isOurs := s.token == t.token
	probed := isOurs && s.circuit.end(t.alone)
	switch {
	case failed == ours, failed == unsent, failed == queued:
		return
	case failed == answered:
		if isOurs {
			*s = single{}
		}
		return
	case !isOurs:
		*s = single{token: t.token}
	}
	s.failures++
	s.failure, s.failed = failed, now
	if probed || s.failures >= breakAfter || failed.refusesUs() || askedFor(err) > 0 {
		s.circuit.open(now, failed, err, askedFor(err))
	}
}

// isOutage reports whether the endpoint is down by more than one token's word: a
// failure without a connection says so by itself. What an invented token may bring
// about does not count, nor does 429, which comes from an endpoint that is up.
func (b *breaker) isOutage(err error) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch failureOf(err) {
	case unsent:
		return true
	case down, internal:
		return b.row.count(func(f failed) bool {
			return f.failure == down || f.failure == internal && f.side == knownSide
		}) > 1
	}
	return false
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
