package introspection

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

const (
	breakAfter   = 5 // distinct tokens of one side, calls without a connection or credential, or failures of one token
	firstBreak   = 500 * time.Millisecond
	longestBreak = time.Second      // the longest pause without a refusal or Retry-After, so calls may fail for this long after the endpoint is back; a shorter pause would cause more probes
	longestAsked = 30 * time.Second // the maximum for a Retry-After
	refusedBreak = 5 * time.Second  // the pause if the endpoint refuses this client

	// jitter is the random part of a pause, so that a fleet does not probe in step. For
	// example, a pause of 5 s becomes a pause of 4 to 5 s.
	jitter       = 0.2
	leastRefused = time.Duration((1 - jitter) * float64(refusedBreak))

	// manyInRow is how many tokens in a row must be refused, or get a Retry-After, if a
	// whole answer came just before. If just one or two of several servers behind a
	// balancer refuse this client, the others stay in use.
	manyInRow = 10

	mostLeft = 4 // probes of one pause that may be on the wire after their callers have left

	// unknownRow is how long failures in a row must have gone on before the circuit of
	// unknown tokens opens for failures that an invented token may have caused.
	unknownRow = time.Second
)

// A breaker stops calls to an endpoint that does not answer, so that callers do not wait
// in vain and the endpoint can recover.
//
// A whole answer closes the breaker, even if it cannot be used, because it proves that the
// endpoint is up. A refusal of this client closes the breaker too, except for circuits
// that a refusal has opened. Only failures in a row, with no whole answer since, open the
// breaker, and each token counts once. A call without a connection or credential counts
// each time.
//
// Known tokens, which were active before, have a circuit of their own. A failure that an
// unknown token may cause does not open that circuit. If that circuit opens, the circuit
// of unknown tokens opens as well. Each failing token also has a circuit for itself alone.
//
// When an open circuit's pause is over, one probe at a time is let through. If a probe
// gets lost, the next probe is let through when the time of the lost one is over.
type breaker struct {
	timeout time.Duration // of one call
	known   knownTokens

	mu       sync.Mutex
	row      row
	circuits [2]circuit // by side
	single   *[singles]single
	answered time.Time // when the last whole answer came
}

// A side is the group of tokens, unknown or known, that a token belongs to.
type side int

const (
	unknownSide side = iota
	knownSide
)

func (b *breaker) sideOf(d digest) side {
	if b.known.has(d) {
		return knownSide
	}
	return unknownSide
}

// If open, a circuit lets no call through until a time, and then one probe at a time.
type circuit struct {
	until  time.Time // zero if the circuit is closed
	pauses int       // in a row
	period int       // counts openings and closings; a probe of an earlier period is ignored
	probe  time.Time // the latest time at which the current probe ends; zero: no probe is running
	left   int       // probes of this period that were released
	cause  error     // the last failure
}

// refuses returns an error if the circuit is open and a probe cannot start now.
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

// begin should be called only if refuses has returned nil. If the call becomes a probe, it
// returns the period, and otherwise zero.
func (c *circuit) begin(now time.Time, longest time.Duration) int {
	if c.until.IsZero() {
		return 0
	}
	c.probe = now.Add(longest)
	return c.period
}

// end reports whether the call was a probe of this period, and ends the probe.
func (c *circuit) end(period int) bool {
	if period == 0 || period != c.period {
		return false
	}
	c.probe = time.Time{}
	return true
}

// extend moves the end of a probe, if the probe of this period is running.
func (c *circuit) extend(period int, to time.Time) {
	if period == c.period && !c.probe.IsZero() {
		c.probe = to
	}
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

// A single counts the failures of one token.
type single struct {
	token    digest
	failures int // in a row
	failure  failure
	failed   time.Time
	circuit  circuit
}

// singles is how many failing tokens are remembered. The table, of some 150 bytes for
// each, is made at the first failure, and a part of the digest selects the entry. If
// another token overwrites an entry, the count of the overwritten token starts anew.
const singles = 1024

func (b *breaker) entry(d digest) *single { return &b.single[(int(d[0])<<8|int(d[1]))%singles] }

// failing returns the entry of a token, or nil if the token did not fail of late.
func (b *breaker) failing(d digest) *single {
	if b.single == nil || b.entry(d).token != d {
		return nil
	}
	return b.entry(d)
}

// refusesSingle returns an error while the token's own circuit refuses calls. If a whole
// answer has come since the token failed, for example about another token, the pause is cut
// to firstBreak, counted from the failure, unless the failure was a 429.
func (b *breaker) refusesSingle(d digest, now time.Time) error {
	s := b.failing(d)
	if s == nil {
		return nil
	}
	if s.failure != limited && b.answered.After(s.failed) && now.Sub(s.failed) >= firstBreak && now.Before(s.circuit.until) {
		s.circuit.until = now
	}
	return s.circuit.refuses(now)
}

// A ticket stands for one call.
type ticket struct {
	token        digest
	side         side
	began        time.Time
	probe, alone int // the period of the side's circuit (probe) or the token's (alone), if the call is a probe of it; otherwise zero
}

// refuses returns an error if a call about the token cannot start now. It reserves
// nothing.
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

// begin returns a ticket for a call, or an error that says when to try again. Every
// ticket must go to end or abandon.
func (b *breaker) begin(d digest) (ticket, error) {
	t := ticket{token: d, side: b.sideOf(d), began: time.Now()}
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.refusesAt(d, t.side, t.began); err != nil {
		return t, err
	}
	longest := b.timeout + time.Second
	t.probe = b.circuits[t.side].begin(t.began, longest)
	if s := b.failing(d); s != nil {
		t.alone = s.circuit.begin(t.began, longest)
	}
	return t, nil
}

// send notes that the client's credential is there, so the request goes on the wire now.
// If the call is a probe, its time starts here.
func (b *breaker) send(t ticket) ticket {
	b.mu.Lock()
	defer b.mu.Unlock()
	t.began = time.Now()
	longest := t.began.Add(b.timeout + time.Second)
	b.circuits[t.side].extend(t.probe, longest)
	if s := b.failing(t.token); s != nil {
		s.circuit.extend(t.alone, longest)
	}
	return t
}

// abandon takes back the ticket of a call that ended without a result.
func (b *breaker) abandon(t ticket) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.circuits[t.side].end(t.probe)
	if s := b.failing(t.token); s != nil {
		s.circuit.end(t.alone)
	}
}

// release lets another call be the probe after every caller of this call has left. The
// result of this call still counts. At most mostLeft probes of a pause are released, so
// that callers that leave early cannot cause a flood of probes.
func (b *breaker) release(t ticket) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if c := &b.circuits[t.side]; t.probe != 0 && t.probe == c.period && c.left < mostLeft {
		c.left++
		c.probe = time.Time{}
	}
}

// end counts the result of a call.
func (b *breaker) end(t ticket, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	failed, now := failureOf(err), time.Now()
	probed := b.circuits[t.side].end(t.probe)
	b.endSingle(t, failed, err, now)
	switch {
	case failed == queued: // says nothing about the endpoint
		return
	case failed == answered, failed == unusable:
		b.answered, b.row = now, row{}
		b.closeCircuits(false)
		return
	case failed.refusesUs(): // the endpoint is up, because it answers
		b.row.keepRefusals()
		b.closeCircuits(true)
	}
	// If the call began before the last whole answer came, it says nothing newer.
	if t.began.Before(b.answered) {
		return
	}
	b.row.add(t, failed, askedFor(err) > 0, now)
	few := b.few(now)
	ofKnown := t.side == knownSide || failed == unsent || failed == ours
	if probed && t.side == knownSide || ofKnown && b.row.opensKnown(failed, few) {
		b.open(knownSide, probed && t.side == knownSide, now, failed, err)
		b.open(unknownSide, false, now, failed, err)
	}
	if probed && t.side == unknownSide || b.row.opensUnknown(failed, few, b.answered.IsZero(), now) {
		b.open(unknownSide, probed && t.side == unknownSide, now, failed, err)
	}
}

// open opens a circuit. If the circuit is open already, only a failed probe opens it
// again. Any other call began before the circuit opened and says nothing new.
func (b *breaker) open(side side, probed bool, now time.Time, failed failure, cause error) {
	c, asked, few := &b.circuits[side], time.Duration(0), b.few(now)
	if probed && few < manyInRow || b.row.asksAll(few) {
		asked = askedFor(cause)
	}
	if probed || c.until.IsZero() {
		c.open(now, failed, cause, asked)
	}
}

// few is how many tokens in a row must at least meet a refusal of this client, or a
// Retry-After, before the refusal or the Retry-After applies to other tokens as well. The
// result is 2 or, if a whole answer came within refusedBreak, manyInRow: one of several
// servers may refuse while the others still answer.
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

// endSingle counts the result for one token. If the endpoint was not asked, the result
// says nothing about the token.
func (b *breaker) endSingle(t ticket, failed failure, err error, now time.Time) {
	s := b.failing(t.token)
	probed := s != nil && s.circuit.end(t.alone)
	switch {
	case failed == ours, failed == unsent, failed == queued:
		return
	case failed == answered:
		if s != nil {
			*s = single{}
		}
		return
	case s == nil:
		if b.single == nil {
			b.single = new([singles]single)
		}
		s = b.entry(t.token)
		*s = single{token: t.token}
	}
	s.failures++
	s.failure, s.failed = failed, now
	if probed || s.failures >= breakAfter || failed.refusesUs() || askedFor(err) > 0 {
		s.circuit.open(now, failed, err, askedFor(err))
	}
}

// isOutage reports whether err means that the endpoint is down for all tokens. One failure
// to connect is enough. Otherwise two different tokens must have failed since the last
// whole answer. A failure that an invented token may cause does not count, nor does a 429,
// because an endpoint that sends a 429 is up.
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

// An openError is returned while a circuit is open.
type openError struct {
	cause error
	after time.Duration
}

func (e *openError) Error() string {
	return fmt.Sprintf("introspection: circuit breaker open, so the endpoint is not asked for now; the last failure was: %v", e.cause)
}

func (e *openError) Unwrap() error { return e.cause }

// RetryAfter returns how long to wait before trying again.
func (e *openError) RetryAfter() time.Duration { return e.after }
