// Package spiffeauth connects a service to SPIFFE: it supplies the keys that verify the
// JWT-SVIDs of callers, and the JWT-SVIDs for calls to other services. Both come from the
// SPIFFE Workload API, which a local agent such as SPIRE's serves.
//
//	source, err := spiffeauth.New(spiffeauth.Config{}) // at SPIFFE_ENDPOINT_SOCKET
//	if err != nil {
//		return err
//	}
//	defer source.Close()
//	v, err := accesstoken.NewValidator(accesstoken.Config{
//		Resource: "spiffe://example.org/ns/prod/sa/orders",
//		Issuers:  []accesstoken.Issuer{source.Issuer("spiffe://example.org")},
//	})
//
// For calls, see [Source.Credentials]. If the agent cannot be used, [NewBundle] reads a
// trust domain's keys from an https address or a file. [MatchPeer] compares the caller's
// client certificate with its token.
//
// The package uses go-spiffe, but none of its validation of JWT-SVIDs. That accepts a
// token for any audience if the expected audience is empty, and its reader of JWT bundles
// ignores use.
package spiffeauth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/spiffe/go-spiffe/v2/proto/spiffe/workload"
	"github.com/spiffe/go-spiffe/v2/workloadapi"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"

	"github.com/accesstoken/accesstoken"
)

// Config says how a [Source] reaches the Workload API. The zero value is ready to use if
// the environment has SPIFFE_ENDPOINT_SOCKET.
type Config struct {
	_ [0]func()

	// Address is the address of the Workload API, for example
	// "unix:///run/spire/sockets/agent.sock" or "tcp://127.0.0.1:8000". If empty, it is
	// the value of SPIFFE_ENDPOINT_SOCKET. The connection has no TLS, so a tcp address
	// should be on this host (SPIFFE Workload Endpoint §3).
	Address string

	// UsableFor is how long keys are used after the connection to the agent was lost.
	// Then tokens are refused with KeysUnavailable (503) until the agent is back. It is
	// 24 h if zero, and at most 7 days.
	UsableFor time.Duration

	// Logger receives a line when the agent is lost or back, and when a bundle cannot be
	// read. If nil, it is slog.Default().
	Logger *slog.Logger
}

const (
	defaultUsable = 24 * time.Hour
	mostUsable    = 7 * 24 * time.Hour

	// mostDelay is the longest pause before the agent is tried again.
	mostDelay = 10 * time.Second

	// silence is how long the agent can be silent before it is asked for a sign of life.
	// By default, gRPC servers end connections that ask more often than every 5 minutes.
	silence = 6 * time.Minute
)

// A Source is a connection to the Workload API. Make one with [New], share it, and Close
// it at the end. It is safe for concurrent use.
type Source struct {
	conn   *grpc.ClientConn
	api    workload.SpiffeWorkloadAPIClient
	usable time.Duration
	logger *slog.Logger
	stop   context.CancelFunc
	ended  context.Context // by stop
	wait   sync.WaitGroup

	mu      sync.Mutex
	closed  bool
	domains map[string]*keys  // by URL
	last    map[string][]byte // the bundles of the last message, by URL
	lost    error             // why last may be out of date; nil if it is not
	since   time.Time         // when lost was set
}

var errNoMessage = errors.New("spiffeauth: no message of the Workload API has come yet")

// New makes a Source, and begins to watch the Workload API in the background. It does not
// wait for the agent. If the Config has faults, the error has one line for each of them.
func New(config Config) (*Source, error) {
	target, err := config.target()
	if err := errors.Join(err, usableErr(config.UsableFor)); err != nil {
		return nil, err
	}
	conn, err := grpc.NewClient(target,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 2, Jitter: 0.2, MaxDelay: mostDelay},
			MinConnectTimeout: 5 * time.Second,
		}),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: silence, Timeout: 20 * time.Second}),
	)
	if err != nil {
		return nil, fmt.Errorf("spiffeauth: Address: %w", err)
	}
	s := &Source{
		conn: conn, api: workload.NewSpiffeWorkloadAPIClient(conn),
		usable: usableOf(config.UsableFor), logger: loggerOf(config.Logger),
		domains: map[string]*keys{}, lost: errNoMessage,
	}
	s.ended, s.stop = context.WithCancel(context.Background())
	s.wait.Go(s.watch)
	return s, nil
}

// target returns the address in the form of gRPC.
func (c Config) target() (string, error) {
	address := c.Address
	if address == "" {
		address = os.Getenv(workloadapi.SocketEnv)
	}
	if address == "" {
		return "", fmt.Errorf("spiffeauth: Address and %s are empty; set one to the socket of the agent, such as unix:///run/spire/sockets/agent.sock", workloadapi.SocketEnv)
	}
	target, err := workloadapi.TargetFromAddress(address)
	if err != nil {
		return "", fmt.Errorf("spiffeauth: Address: %w", err)
	}
	return target, nil
}

func usableErr(usable time.Duration) error {
	if usable < 0 || usable > mostUsable {
		return fmt.Errorf("spiffeauth: UsableFor is %v; expected at most %v, or zero for %v", usable, mostUsable, defaultUsable)
	}
	return nil
}

func usableOf(usable time.Duration) time.Duration {
	if usable == 0 {
		return defaultUsable
	}
	return usable
}

func loggerOf(logger *slog.Logger) *slog.Logger {
	if logger == nil {
		return slog.Default()
	}
	return logger
}

// Issuer returns a trust domain as an issuer with its keys, such as
// Issuer("spiffe://example.org"). You can change other fields of it. A federated trust
// domain is accepted only if you list it as well. If the name is not a trust domain,
// NewValidator reports it.
//
// While the agent can be reached, its bundle counts at once: a key that it withdraws
// verifies no token from then on, cached or not, and if it withdraws the bundle, no token
// of the trust domain is accepted. No request waits for the agent. Until its first message
// has come, tokens are refused with KeysUnavailable (503); [accesstoken.Validator.Warm]
// waits for it. If the agent says that this workload has no identity, the keys are dropped.
func (s *Source) Issuer(trustDomain string) accesstoken.Issuer {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := s.domains[trustDomain]
	if k == nil {
		k = newKeys(trustDomain, s.usable)
		s.domains[trustDomain] = k
		s.update(k)
		if s.lost != nil {
			k.fail(s.lost, s.since)
		}
	}
	return accesstoken.Issuer{URL: trustDomain, Profile: accesstoken.SPIFFE, Keys: k}
}

// Close ends the connection and everything that the Source has started, and waits for
// it. Afterwards tokens are refused with KeysUnavailable.
func (s *Source) Close() error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.stop()
	s.wait.Wait()
	return s.conn.Close()
}

// begin runs a function in the background, unless the Source is closed.
func (s *Source) begin(do func()) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.wait.Go(do)
	}
	return !s.closed
}

// outgoing adds what the Workload API demands of every call, so that no server can be
// tricked into making one (SPIFFE Workload Endpoint §5).
func outgoing(ctx context.Context) context.Context {
	return metadata.AppendToOutgoingContext(ctx, "workload.spiffe.io", "true")
}
