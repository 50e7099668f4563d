package spiffeauth

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"time"

	"github.com/spiffe/go-spiffe/v2/proto/spiffe/workload"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/accesstoken/accesstoken/jwks"
)

const firstMessage = 5 * time.Second

var (
	errLate     = fmt.Errorf("no message came within %v", firstMessage)
	errNoBundle = errors.New("spiffeauth: the Workload API sent no bundle")
	errClosed   = errors.New("spiffeauth: the source is closed")
)

// watch follows the bundles until the Source is closed. After a stream has ended, the
// next begins at once if a message had come, and after a growing pause otherwise.
func (s *Source) watch() {
	pause := time.Duration(0)
	for s.ended.Err() == nil {
		messages, err := s.follow()
		if s.ended.Err() != nil {
			break
		}
		s.lose(err)
		pause = min(max(2*pause, 100*time.Millisecond), mostDelay)
		if messages > 0 {
			pause = 100 * time.Millisecond
		}
		select {
		case <-time.After(pause/2 + rand.N(pause/2)):
		case <-s.ended.Done():
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lost = errClosed
	s.drop(errClosed)
}

// follow reads one stream, and returns the number of good messages and why it ended. The
// agent sends the first message without delay (SPIFFE Workload API §4.3).
func (s *Source) follow() (messages int, err error) {
	ctx, cancel := context.WithCancelCause(outgoing(s.ended))
	defer cancel(nil)
	late := time.AfterFunc(firstMessage, func() { cancel(errLate) })
	defer late.Stop()
	stream, err := s.api.FetchJWTBundles(ctx, &workload.JWTBundlesRequest{}, grpc.WaitForReady(true))
	for err == nil {
		var message *workload.JWTBundlesResponse
		if message, err = stream.Recv(); err != nil {
			break
		}
		late.Stop()
		if s.receive(message.GetBundles()) {
			messages++
		}
	}
	if context.Cause(ctx) == errLate {
		err = fmt.Errorf("%w: %s", errLate, status.Convert(err).Message())
	}
	return messages, err
}

// receive takes a message, which has all bundles; one that is missing was withdrawn
// (SPIFFE Workload API §4.4). A message without any is discarded (§4.5), because the
// agent's own trust domain must be there.
func (s *Source) receive(bundles map[string][]byte) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(bundles) == 0 {
		s.logger.Warn("spiffeauth: the Workload API sent no bundle at all; the earlier ones are kept for a while")
		s.doubt(errNoBundle)
		return false
	}
	if s.last == nil || s.lost != nil {
		s.logger.Info("spiffeauth: the Workload API sends bundles", "count", len(bundles))
	}
	s.last, s.lost = bundles, nil
	for _, k := range s.domains {
		s.update(k)
	}
	return true
}

// update gives a trust domain its bundle of the last message. The caller holds mu.
func (s *Source) update(k *keys) {
	if s.last == nil {
		return
	}
	document, found := s.last[k.url]
	if !found {
		k.withdraw()
		return
	}
	bundle, err := jwks.ReadWorkloadBundle(document)
	if err != nil {
		s.logger.Warn("spiffeauth: a bundle cannot be read; the earlier one is kept for a while", "trust_domain", k.url, "error", err)
		k.fail(fmt.Errorf("spiffeauth: the bundle of %s cannot be read", k.url), time.Now())
		return
	}
	if err := bundle.Omitted(); err != nil {
		s.logger.Warn("spiffeauth: keys of a bundle are not used", "trust_domain", k.url, "error", err)
	}
	k.set(bundle)
}

// lose notes that there is no stream. If the agent says that this workload is entitled to
// nothing, the bundles are withdrawn (SPIFFE Workload API §6.2.2).
func (s *Source) lose(err error) {
	text := describe(err)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lost == nil || s.last == nil && s.lost == errNoMessage {
		s.logger.Warn("spiffeauth: no connection to the Workload API; keys are kept for a while", "error", text, "usable_for", s.usable)
	}
	s.doubt(errors.New("spiffeauth: the Workload API cannot be used: " + text))
	if status.Code(err) == codes.PermissionDenied {
		s.drop(s.lost)
	}
}

// doubt notes that the last message may be out of date. The caller holds mu.
func (s *Source) doubt(err error) {
	if s.lost == nil {
		s.since = time.Now()
	}
	s.lost = err
	for _, k := range s.domains {
		k.fail(err, s.since)
	}
}

// drop forgets all bundles. The caller holds mu.
func (s *Source) drop(err error) {
	s.last = nil
	for _, k := range s.domains {
		k.drop(err)
	}
}

// describe says what went wrong, without more than that of a server's own text.
func describe(err error) string {
	switch code := status.Code(err); {
	case errors.Is(err, io.EOF):
		return "the agent ended the stream"
	case code == codes.PermissionDenied:
		return "the agent has no identity for this workload; register one"
	case code == codes.Unknown:
		return err.Error()
	default:
		return fmt.Sprintf("%v: %s", code, status.Convert(err).Message())
	}
}
