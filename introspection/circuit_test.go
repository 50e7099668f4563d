package introspection

import (
	"testing"
	"testing/synctest"
	"time"
)

// open lets five unknown tokens fail, so that the circuit of unknown tokens opens, and
// waits for the end of its pause.
func open(t *testing.T, b *breaker) {
	t.Helper()
	for i := range byte(breakAfter) {
		failing, err := b.begin(digest{100 + i})
		if err != nil {
			t.Fatal(err)
		}
		b.end(failing, &failedError{failure: down})
	}
	time.Sleep(longestBreak)
}

func mustBegin(t *testing.T, b *breaker, token byte) ticket {
	t.Helper()
	begun, err := b.begin(digest{token})
	if err != nil {
		t.Fatalf("token %d: got %v; want a ticket", token, err)
	}
	return begun
}

// The callers of a probe may leave while its credential is fetched. If the request is
// sent all the same, it keeps no other probe waiting.
func TestAProbeThatWasReleasedStaysReleasedWhenItIsSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &breaker{timeout: time.Second}
		open(t, b)
		probe := mustBegin(t, b, 1)
		if b.refuses(digest{2}) == nil {
			t.Fatal("a second probe beside the first one may begin; want one at a time")
		}
		b.release(probe)
		b.send(probe)
		if err := b.refuses(digest{2}); err != nil {
			t.Errorf("after the probe was released: got %v; want another probe", err)
		}
	})
}

// The time of a probe starts when it is sent.
func TestAProbeThatIsSentLateHasItsWholeTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &breaker{timeout: time.Second}
		open(t, b)
		probe := mustBegin(t, b, 1)
		time.Sleep(time.Second)
		b.send(probe)
		time.Sleep(2*time.Second - time.Nanosecond)
		if b.refuses(digest{2}) == nil {
			t.Error("another probe may begin in the time of the first one")
		}
		time.Sleep(time.Nanosecond)
		if err := b.refuses(digest{2}); err != nil {
			t.Errorf("after the time of the probe: got %v; want another probe", err)
		}
	})
}

// A probe gets lost, the next one fails, and a third one begins after a new pause. If
// the first one is sent only now, it does not lengthen the time of the third one.
func TestAProbeOfAnEarlierPauseThatIsSentLateHoldsUpNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &breaker{timeout: time.Second}
		open(t, b)
		lost := mustBegin(t, b, 1)
		time.Sleep(2 * time.Second)
		b.end(mustBegin(t, b, 2), &failedError{failure: down})
		time.Sleep(longestBreak)
		mustBegin(t, b, 3)
		time.Sleep(time.Second)
		b.send(lost)
		time.Sleep(time.Second)
		if err := b.refuses(digest{4}); err != nil {
			t.Errorf("after the time of the third probe: got %v; want another probe", err)
		}
	})
}

// The same holds for the circuit that one token has for itself.
func TestAProbeOfOneTokenThatIsSentLateHasItsWholeTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &breaker{timeout: time.Second}
		for range breakAfter {
			b.end(mustBegin(t, b, 1), &failedError{failure: unusable})
		}
		time.Sleep(longestBreak)
		probe := mustBegin(t, b, 1)
		time.Sleep(time.Second)
		b.send(probe)
		time.Sleep(2*time.Second - time.Nanosecond)
		if b.refuses(digest{1}) == nil {
			t.Error("a second probe of the token may begin in the time of the first one")
		}
		time.Sleep(time.Nanosecond)
		if err := b.refuses(digest{1}); err != nil {
			t.Errorf("after the time of the probe: got %v; want another probe", err)
		}
	})
}

// Two tokens may share an entry in the table of failing tokens. The pause of one is not
// the other's.
func TestATokenDoesNotPauseForAnotherWithTheSameEntry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &breaker{timeout: time.Second}
		for range breakAfter {
			b.end(mustBegin(t, b, 1), &failedError{failure: unusable})
		}
		if b.refuses(digest{1}) == nil {
			t.Fatal("the failing token is asked about; want a pause")
		}
		if err := b.refuses(digest{1, 0, 1}); err != nil {
			t.Errorf("the other token: got %v; want that it is asked about", err)
		}
	})
}

// If the caller of a token's own probe leaves before it is sent, the next caller's is the
// probe.
func TestAProbeOfOneTokenThatIsAbandonedKeepsNoOtherWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &breaker{timeout: time.Second}
		for range breakAfter {
			b.end(mustBegin(t, b, 1), &failedError{failure: unusable})
		}
		time.Sleep(longestBreak)
		probe := mustBegin(t, b, 1)
		if b.refuses(digest{1}) == nil {
			t.Fatal("a second probe beside the first one may begin; want one at a time")
		}
		b.abandon(probe)
		if err := b.refuses(digest{1}); err != nil {
			t.Errorf("after the probe was abandoned: got %v; want another probe", err)
		}
	})
}
