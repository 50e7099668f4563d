package spiffeauth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/spiffe/go-spiffe/v2/proto/spiffe/workload"
	"github.com/spiffe/go-spiffe/v2/svid/jwtsvid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Credentials are this workload's JWT-SVIDs for the calls to one service. They are the
// PerRPCCredentials of a gRPC connection, and make an http.RoundTripper. Make one with
// [Source.Credentials] for each audience. It is safe for concurrent use.
//
// A JWT-SVID is used until its end, and replaced after half of its life: the first call
// after that has it fetched, and no call waits while the held one is good. Without a good
// one, all calls share one fetch. After a failed fetch, the agent is not asked again for a
// second.
type Credentials struct {
	source   *Source
	audience string

	mu     sync.Mutex
	token  token
	flight *flight
	failed error     // of the last fetch
	pause  time.Time // after a failed fetch, none begins before it
	again  time.Time // no refused token is replaced before it
}

// A token is a JWT-SVID. The zero token is good for nothing.
type token struct {
	text  string
	renew time.Time // after half of the life
	end   time.Time
}

// A flight is one fetch, which belongs to no single call.
type flight struct {
	done  chan struct{}
	token token
	err   error
}

const (
	fetchTimeout = 10 * time.Second

	// asking is how often the agent is asked at most, after a failed fetch or after a
	// service has refused a token.
	asking = time.Second

	// earliest is how long before its end a JWT-SVID is no longer sent, or a tenth of its
	// life if that is shorter.
	earliest = 5 * time.Second
)

// Credentials returns the credentials for calls to the service that has this audience. If
// it is empty, every call fails.
func (s *Source) Credentials(audience string) *Credentials {
	return &Credentials{source: s, audience: audience}
}

// Token returns a JWT-SVID. It waits for the agent only if no good one is held.
func (c *Credentials) Token(ctx context.Context) (string, error) {
	now := time.Now()
	c.mu.Lock()
	held := c.token
	f, err := c.seek(now)
	c.mu.Unlock()
	switch {
	case now.Before(held.end):
		return held.text, nil
	case err != nil:
		return "", err
	}
	select {
	case <-f.done:
		return f.token.text, f.err
	case <-ctx.Done():
		return "", fmt.Errorf("spiffeauth: no JWT-SVID yet: %w", ctx.Err())
	}
}

// seek returns the flight to wait for, and begins one if the held token is past half of
// its life. The caller holds mu.
func (c *Credentials) seek(now time.Time) (*flight, error) {
	switch {
	case c.audience == "":
		return nil, errors.New("spiffeauth: the audience is empty; name the service that is called")
	case now.Before(c.token.renew):
		return nil, nil
	case c.flight != nil:
		return c.flight, nil
	case c.failed != nil && now.Before(c.pause):
		return nil, c.failed
	}
	f := &flight{done: make(chan struct{})}
	if !c.source.begin(func() { c.fly(f) }) {
		return nil, errClosed
	}
	c.flight = f
	return f, nil
}

// fly makes one fetch, and stores what it brought.
func (c *Credentials) fly(f *flight) {
	defer close(f.done)
	ctx, cancel := context.WithTimeout(c.source.ended, fetchTimeout)
	defer cancel()
	f.token, f.err = c.source.fetch(ctx, c.audience)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.flight, c.failed = nil, f.err
	if f.err != nil {
		c.pause = time.Now().Add(asking)
		return
	}
	c.token = f.token
}

// fetch asks the agent for a JWT-SVID. Its signature is not verified, because the agent
// is trusted; its audience is, so that no token goes to a service that it is not for.
func (s *Source) fetch(ctx context.Context, audience string) (token, error) {
	response, err := s.api.FetchJWTSVID(outgoing(ctx), &workload.JWTSVIDRequest{Audience: []string{audience}})
	if err != nil {
		return token{}, fmt.Errorf("spiffeauth: no JWT-SVID: %s", describe(err))
	}
	if len(response.GetSvids()) == 0 {
		return token{}, errors.New("spiffeauth: the agent sent no JWT-SVID")
	}
	text := response.GetSvids()[0].GetSvid() // the default identity (SPIFFE Workload API §8)
	svid, err := jwtsvid.ParseInsecure(text, []string{audience})
	if err != nil {
		return token{}, errors.New("spiffeauth: the agent sent a JWT-SVID that is malformed, expired or for another audience")
	}
	now := time.Now()
	life := svid.Expiry.Sub(now)
	if life <= 0 {
		return token{}, errors.New("spiffeauth: the agent sent a JWT-SVID that has expired; compare the clocks")
	}
	return token{text, now.Add(life / 2), svid.Expiry.Add(-min(earliest, life/10))}, nil
}

// replace reports whether a token other than the refused one is held, or can be fetched.
func (c *Credentials) replace(ctx context.Context, refused string) bool {
	c.mu.Lock()
	now := time.Now()
	if c.token.text == refused && now.Before(c.again) {
		c.mu.Unlock()
		return false
	}
	if c.token.text == refused {
		c.token, c.again = token{}, now.Add(asking)
	}
	c.mu.Unlock()
	text, err := c.Token(ctx)
	return err == nil && text != refused
}

// A used value notes which token a call has sent.
type used struct {
	mu   sync.Mutex
	text string
}

type usedKey struct{}

// GetRequestMetadata implements credentials.PerRPCCredentials. If there is no token, the
// call fails with Unavailable.
func (c *Credentials) GetRequestMetadata(ctx context.Context, _ ...string) (map[string]string, error) {
	text, err := c.Token(ctx)
	if err != nil {
		return nil, status.Error(codes.Unavailable, err.Error()) // gRPC would make it Unauthenticated
	}
	if note, ok := ctx.Value(usedKey{}).(*used); ok {
		note.mu.Lock()
		note.text = text
		note.mu.Unlock()
	}
	return map[string]string{"authorization": "Bearer " + text}, nil
}

// RequireTransportSecurity returns true, because a JWT-SVID is a bearer token (JWT-SVID
// §7.3).
func (c *Credentials) RequireTransportSecurity() bool { return true }

// UnaryInterceptor is optional, for grpc.WithUnaryInterceptor beside
// grpc.WithPerRPCCredentials. If a service answers Unauthenticated, it calls once more
// with another JWT-SVID, if the agent has one. Such an answer comes before a method runs,
// so nothing happens twice.
func (c *Credentials) UnaryInterceptor(ctx context.Context, method string, request, reply any, conn *grpc.ClientConn, invoke grpc.UnaryInvoker, options ...grpc.CallOption) error {
	note := &used{}
	ctx = context.WithValue(ctx, usedKey{}, note)
	err := invoke(ctx, method, request, reply, conn, options...)
	if status.Code(err) != codes.Unauthenticated {
		return err
	}
	note.mu.Lock()
	refused := note.text
	note.mu.Unlock()
	if refused == "" || !c.replace(ctx, refused) {
		return err
	}
	return invoke(ctx, method, request, reply, conn, options...)
}

// RoundTripper returns an http.RoundTripper that adds a JWT-SVID to each request, which
// must be https. It replaces an Authorization field. A redirect to another host gets
// none. If next is nil, it is http.DefaultTransport.
func (c *Credentials) RoundTripper(next http.RoundTripper) http.RoundTripper {
	if next == nil {
		next = http.DefaultTransport
	}
	return &roundTripper{c, next}
}

type roundTripper struct {
	credentials *Credentials
	next        http.RoundTripper
}

func (t *roundTripper) RoundTrip(r *http.Request) (*http.Response, error) {
	switch {
	case !isForFirstHost(r):
		return t.next.RoundTrip(r)
	case r.URL.Scheme != "https":
		closeBody(r)
		return nil, errors.New("spiffeauth: the request is not https, and a JWT-SVID would be readable on the way")
	}
	text, err := t.credentials.Token(r.Context())
	if err != nil {
		closeBody(r)
		return nil, err
	}
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+text)
	return t.next.RoundTrip(r)
}

// isForFirstHost reports whether no redirect has led to another host, also on the way.
func isForFirstHost(r *http.Request) bool {
	for earlier := r.Response; earlier != nil; earlier = earlier.Request.Response {
		if earlier.Request == nil || earlier.Request.URL.Host != r.URL.Host {
			return false
		}
	}
	return true
}

// closeBody closes the body of a request that is not sent, as a RoundTripper must.
func closeBody(r *http.Request) {
	if r.Body != nil {
		_ = r.Body.Close()
	}
}
