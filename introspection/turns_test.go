package introspection

import (
	"context"
	"encoding/binary"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/accesstoken/accesstoken/internal/tokencache"
)

// anyKnown says whether any token is known.
type anyKnown struct{ atomic.Bool }

func (k *anyKnown) any() bool { return k.Load() }

// turns makes calls whose questions wait until ended is closed, and counts those that
// have their turn.
type turns struct {
	*calls
	known anyKnown
	asked atomic.Int64
	ended chan struct{}
	made  uint64
}

func newTurns(t *testing.T, known bool) *turns {
	s := &turns{ended: make(chan struct{})}
	s.known.Store(known)
	s.calls = newCalls(time.Minute, &s.known)
	t.Cleanup(func() { close(s.ended) })
	return s
}

// ask makes a call about a new token, and returns its result.
func (s *turns) ask(ctx context.Context, side side, question question) chan error {
	s.made++
	var key tokencache.Key
	binary.BigEndian.PutUint64((*[8]byte)(key[:8])[:], s.made)
	result := make(chan error, 1)
	go func() {
		_, err := s.do(ctx, call{key: key, side: side, ask: question}, func() error { return nil })
		result <- err
	}()
	synctest.Wait()
	return result
}

func (s *turns) waits(turn) (Response, func(), error) {
	s.asked.Add(1)
	<-s.ended
	return Response{}, nil, nil
}

func (s *turns) start(t *testing.T, n int, side side) {
	for range n {
		s.ask(t.Context(), side, s.waits)
	}
}

func TestUnknownTokensLeaveSixteenPlacesToKnownOnes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newTurns(t, true)
		s.start(t, 60, unknownSide)
		if got := s.asked.Load(); got != 48 {
			t.Errorf("60 unknown tokens: got %d calls at once; want 48", got)
		}
	})
}

func TestKnownTokensTakeEveryPlaceIfNoOtherWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newTurns(t, true)
		s.start(t, 70, knownSide)
		if got := s.asked.Load(); got != 64 {
			t.Errorf("70 known tokens: got %d calls at once; want 64", got)
		}
	})
}

// If the last known token is revoked, the places that were kept for known tokens are free.
// The call that waits longest takes the first of them.
func TestANewCallDoesNotOvertakeOneThatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newTurns(t, true)
		s.start(t, 49, unknownSide)
		s.known.Store(false)
		s.start(t, 1, unknownSide)
		if got := s.asked.Load(); got != 48 {
			t.Errorf("got %d calls at once; want 48, and two that wait in turn", got)
		}
	})
}

func TestAFullQueueKeepsTheUnknownTokensThatCameFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newTurns(t, true)
		s.start(t, 48+maxQueued-1, unknownSide)
		last := s.ask(t.Context(), unknownSide, s.waits)
		select {
		case err := <-s.ask(t.Context(), unknownSide, s.waits):
			if !errors.Is(err, errBusy) {
				t.Errorf("the call for which there is no place: got %v; want errBusy", err)
			}
		default:
			t.Error("the call for which there is no place waits; want errBusy at once")
		}
		select {
		case err := <-last:
			t.Errorf("the last call in the queue: got %v; want that it keeps its place", err)
		default:
		}
	})
}

// A question fetches the client's credential before it sends. If all callers have left by
// then, nothing is sent.
func TestACallThatHasNoCallerLeftIsNotSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newTurns(t, false)
		credential, sent := make(chan struct{}), make(chan error, 1)
		ctx, leave := context.WithCancel(t.Context())
		result := s.ask(ctx, unknownSide, func(turn turn) (Response, func(), error) {
			<-credential
			sent <- turn.send()
			return Response{}, nil, nil
		})
		leave()
		if err := <-result; !errors.Is(err, context.Canceled) {
			t.Errorf("the caller that left: got %v; want context.Canceled", err)
		}
		close(credential)
		if err := <-sent; !errors.Is(err, errLeft) {
			t.Errorf("send: got %v; want errLeft", err)
		}
	})
}
