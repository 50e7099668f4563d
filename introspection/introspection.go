// Package introspection is an RFC 7662 client: it asks one authorization server whether
// opaque tokens are active.
//
//	client, err := introspection.NewClient(introspection.Config{
//		Endpoint:     "https://login.example.com/introspect",
//		ClientID:     "api",
//		ClientSecret: secret,
//	})
//
// The client authenticates itself with a secret, with a signed JWT, with a certificate or
// with an access token of its own; see [AuthMethod].
//
// If you set a client as an issuer's Introspection, the validator asks it about that
// issuer's tokens that are not JWTs. You can also use it alone.
//
// Nothing is cached unless you set Config.CacheFor. A revoked token is refused from the
// next call on, or, if answers are cached, at most CacheFor plus DangerouslyServeStaleFor
// later. Concurrent lookups of the same token share one call.
//
// # Outages
//
// A circuit breaker stops the calls while the endpoint fails. A pause lasts half a second
// at first and a second at most, or up to 30 s if the server sends a Retry-After. Then one
// probe at a time is let through. Any whole answer closes the breaker, even if its content
// is unusable, because it proves that the endpoint is up. A 401, 403, 408, 429, 5xx or
// invalid_client is not a whole answer.
//
// The breaker treats two groups differently: known tokens, which were active when they
// were last looked up, and unknown ones, which an attacker may have invented. It counts
// the tokens that fail in a row, with no whole answer in between:
//
//   - If five known tokens fail, or five calls get no connection or no credential of the
//     client's own, the endpoint is not asked about any token.
//   - If five unknown tokens get no answer, 408, 429, 502, 503 or 504, the endpoint is not
//     asked about unknown tokens. Some servers send other 5xx for tokens that they do not
//     know, so these 5xx count only after the failures have gone on for a second.
//   - If one token fails five times in a row, the endpoint is not asked about that token.
//
// For example, if an attacker sends invented tokens and the server fails on each with a
// 500, unknown tokens have to wait, but known tokens are still looked up.
//
// A Retry-After applies at once to the token that got it. If two unknown tokens got a
// Retry-After, it applies to all unknown tokens. If two known tokens got one, it applies
// to every token.
//
// If the endpoint refuses this client (401, 403 or invalid_client), the pauses are 5 s.
// Every token has to wait after two known tokens were refused like this. Unknown tokens
// have to wait after any five tokens were, or after one 401 or invalid_client if the
// endpoint has never given a whole answer.
//
// If a whole answer came within the last 5 s, a Retry-After and a refusal need ten
// tokens instead, because just one of several servers may be at fault.
//
// The client remembers up to 65,536 known tokens by their digests (2 MiB), and the
// failures of up to 1,024 tokens (150 KiB). Known tokens go first in the queue. If any
// token is known, unknown tokens do not get all of the places on the wire.
package introspection

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/accesstoken/accesstoken/internal/dryrun"
	"github.com/accesstoken/accesstoken/internal/fetch"
	"github.com/accesstoken/accesstoken/internal/jose"
	"github.com/accesstoken/accesstoken/internal/tokencache"
)

// The errors of [Client.Introspect] that trying again does not mend. After any other error
// there is no usable answer, so the token's validity is unknown.
var (
	// ErrClientRefused: the endpoint refuses this client with a 401, 403 or invalid_client
	// (RFC 7662 §2.3). This says nothing about the token, and an operator should check the
	// configuration. If the breaker opens, the endpoint is asked about every 5 s; calls in
	// between fail with this error at once.
	ErrClientRefused = errors.New("introspection: the endpoint refuses this client; check ClientID, AuthMethod and the credentials that it needs")

	// ErrTokenType: the token is active but is not an access token, or lacks the
	// token_type that RequireTokenType requires. RFC 7662 §2.1 allows a server to
	// introspect refresh tokens as well.
	ErrTokenType = errors.New("introspection: the token is active, but it is not an access token")

	// ErrUnsupportedTokenType: the endpoint does not introspect tokens of this kind
	// (unsupported_token_type, RFC 7009 §2.2.1, with a 400). Some servers answer so for
	// JWT access tokens. The token may be good, so the caller should verify it by other
	// means.
	ErrUnsupportedTokenType = errors.New("introspection: the endpoint does not introspect tokens of this kind")
)

// maxAnswer bounds an answer's size in bytes.
const maxAnswer = 64 << 10

// A Client asks one endpoint. It is safe for concurrent use. It has goroutines only for
// calls that are under way, and for the functions and the Store of the Config.
type Client struct {
	endpoint         string
	timeout          time.Duration
	requireTokenType bool
	authenticate     authenticator
	secret           *clientSecret // nil: the AuthMethod has none
	config           fapi
	fetch            *fetch.Client
	verifier         *answerVerifier // nil: answers are plain JSON
	calls            *calls
	cache            *cache
	breaker          *breaker
	connections      *connections
	shared           *sharedStore // nil without a Store
	counts           *counts
}

// NewClient checks the Config and makes a Client, without any I/O. If the Config has
// faults, the error lists all of them, one to a line.
func NewClient(config Config) (*Client, error) {
	config = config.withDefaults()
	if err := config.check(); err != nil {
		return nil, err
	}
	guard, secret := &breaker{timeout: config.Timeout}, config.secret()
	return &Client{
		endpoint:         config.Endpoint,
		timeout:          config.Timeout,
		requireTokenType: config.RequireTokenType,
		authenticate:     config.authentication(secret),
		secret:           secret,
		config:           config.fapi(),
		fetch:            config.newFetch(),
		verifier:         config.verifier(),
		calls:            newCalls(config.Timeout, &guard.known),
		cache:            newCache(config),
		breaker:          guard,
		connections:      new(connections),
		shared:           newSharedStore(config),
		counts:           new(counts),
	}, nil
}

// String names the endpoint, without its query and the client's secret.
func (c *Client) String() string {
	return "introspection.Client(" + fetch.Redact(c.endpoint) + ")"
}

// Format prints what String returns, under every verb.
func (c *Client) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(c.String())) }

// RevocationDelay returns for how long after its revocation a token may still be
// reported as active: CacheFor plus DangerouslyServeStaleFor.
func (c *Client) RevocationDelay() time.Duration {
	return c.cache.keepFor + c.cache.grace
}

// Issuer returns Config.Issuer, which is empty if it is unset.
func (c *Client) Issuer() string { return c.config.issuer }

// Introspect asks whether a token is active and what it stands for. If the token is
// inactive, the Response is zero and the error nil. An error other than
// [ErrClientRefused], [ErrTokenType] and [ErrUnsupportedTokenType] means that nothing is
// known of the token. If an error has a method RetryAfter() time.Duration in its chain,
// the caller should wait that long before it tries again. No error contains the token or a
// secret.
//
// Concurrent callers share one call for each token. While the call waits for its turn, it
// is given up if all callers leave. Once the call is on the wire, it continues until the
// answer or its Timeout. At most 64 calls are on the wire, and 1024 wait for their turn.
func (c *Client) Introspect(ctx context.Context, token string) (Response, error) {
	return c.IntrospectWith(ctx, token, Options{})
}

// Options adjust one lookup.
type Options struct {
	_ [0]func()

	// If Fresh is set, no cached answer is used, and the call is a new one that is not
	// shared. The answer is cached like any other.
	Fresh bool

	// Leeway is for how long after its exp the caller accepts a token. A cached answer
	// is not used later than exp plus Leeway either.
	Leeway time.Duration

	// Now is the clock for exp, the cache and signed answers; nil means time.Now.
	Now func() time.Time
}

// IntrospectWith is [Client.Introspect] with options.
func (c *Client) IntrospectWith(ctx context.Context, token string, options Options) (Response, error) {
	if err := ctx.Err(); err != nil { // the caller has left, so the token is not sent
		return Response{}, fmt.Errorf("introspection: %w", err)
	}
	if options.Now == nil {
		options.Now = time.Now
	}
	key := tokencache.KeyOf(token)
	put, tally := c.put, c.counts
	if dryrun.Is(ctx) {
		put, tally = c.foresee, new(counts)
	}
	if kept, ok := c.cache.get(key, options.Now(), options.Leeway); ok && !options.Fresh {
		tally.hits.Add(1)
		return kept.clone(), nil
	}
	tally.misses.Add(1)
	response, err := put(ctx, key, token, options)
	tally.lookup(err)
	switch {
	case err == nil:
		return response, nil
	case ctx.Err() != nil:
		return Response{}, fmt.Errorf("introspection: %w", ctx.Err())
	}
	if kept, ok := c.cache.getStale(key, options.Now(), options.Leeway); ok && !options.Fresh && c.breaker.isOutage(err) {
		tally.stale.Add(1)
		return kept.clone(), nil
	}
	return Response{}, err
}

// put joins or makes a call about the token. Without a Store, it makes none while the
// breaker is open.
func (c *Client) put(ctx context.Context, key tokencache.Key, token string, options Options) (Response, error) {
	refuses := func() error { return c.breaker.refuses(digestOf(key)) }
	if c.shared != nil { // the Store is read even if the breaker is open
		refuses = func() error { return nil }
	}
	return c.calls.do(ctx, call{
		key:   key,
		alone: options.Fresh,
		side:  c.breaker.sideOf(digestOf(key)),
		ask:   func(turn turn) (Response, func(), error) { return c.find(turn, key, token, options) },
	}, refuses)
}

// find looks for the answer in the Store, and asks the endpoint if the answer is not
// there. If later is not nil, later writes the answer to the Store.
func (c *Client) find(turn turn, key tokencache.Key, token string, options Options) (r Response, later func(), err error) {
	if r, ok := c.findShared(turn.waited, key, token, options); ok {
		c.breaker.known.learn(digestOf(key), r.Active)
		return r, nil, nil
	}
	asked := options.Now()
	r, err = c.askUnlessOpen(turn, key, token, options.Now)
	if err == nil || errors.Is(err, ErrTokenType) {
		c.breaker.known.learn(digestOf(key), r.Active)
	}
	if errors.Is(err, ErrTokenType) {
		c.cache.put(key, Response{}, asked, time.Time{}, 0) // an older cached answer is wrong
	}
	if err != nil {
		return Response{}, nil, err
	}
	fresh := c.cache.until(r, asked, options.Leeway)
	c.cache.put(key, r, asked, fresh, options.Leeway)
	now := options.Now()
	return r, func() { c.shared.put(context.Background(), token, r, asked, fresh, now) }, nil
}

// findShared looks for the answer in the Store, unless Fresh is set, and caches it. If
// another replica keeps answers for longer than this client's settings allow, these
// settings apply.
func (c *Client) findShared(ctx context.Context, key tokencache.Key, token string, options Options) (Response, bool) {
	r, asked, fresh, ok := c.readShared(ctx, token, options)
	if ok {
		c.cache.put(key, r, asked, fresh, options.Leeway)
	}
	return r, ok
}

// readShared returns an answer of the Store that counts now, when the endpoint was asked, and
// until when this client may use the answer.
func (c *Client) readShared(ctx context.Context, token string, options Options) (r Response, asked, fresh time.Time, ok bool) {
	if options.Fresh {
		return Response{}, asked, fresh, false
	}
	now := options.Now()
	r, v, ok := c.shared.get(ctx, token)
	fresh = earlier(v.Fresh, c.cache.until(r, v.Asked, options.Leeway))
	if !ok || !now.Before(fresh) || v.Asked.After(now.Add(leeway)) {
		return Response{}, asked, fresh, false
	}
	return r, v.Asked, fresh, true
}

// askUnlessOpen makes a call unless the breaker refuses it, and reports the result to the
// breaker. If every caller leaves before the request is on the wire, the call ends without
// a result. If they leave later, the call goes on and its result counts, but if it was a
// probe, another call may become the probe: see release.
func (c *Client) askUnlessOpen(turn turn, key tokencache.Key, token string, now func() time.Time) (Response, error) {
	ticket, err := c.breaker.begin(digestOf(key))
	if err != nil {
		return Response{}, err
	}
	learned := false
	defer func() {
		if !learned {
			c.breaker.abandon(ticket)
		}
	}()
	request, err := c.prepare(turn, token)
	if errors.Is(err, errLeft) {
		return Response{}, err
	}
	ticket = c.breaker.send(ticket)
	defer context.AfterFunc(turn.waited, func() { c.breaker.release(ticket) })()
	var response Response
	if err == nil {
		response, err = c.askTwice(request, token, now)
	}
	learned = true
	c.counts.call(err, time.Since(ticket.began))
	c.breaker.end(ticket, err)
	return response, err
}

// prepare builds the request, and stops if every caller leaves. It has a time limit of
// its own, because otherwise a slow key service would count as a slow endpoint.
func (c *Client) prepare(turn turn, token string) (fetch.Request, error) {
	ctx, cancel := context.WithTimeout(context.Background(), c.timeout)
	defer cancel()
	defer context.AfterFunc(turn.waited, cancel)()
	request, err := c.request(ctx, token)
	if left := turn.send(); left != nil {
		return fetch.Request{}, left
	}
	if err != nil {
		return fetch.Request{}, &failedError{ours, fmt.Errorf("introspection: %w", err)}
	}
	return request, nil
}

// askTwice asks a second time if the endpoint refuses the client and ClientSecretFrom
// has a newer secret.
func (c *Client) askTwice(request fetch.Request, token string, now func() time.Time) (Response, error) {
	version := c.secret.current()
	response, err := c.ask(request, now)
	if !errors.Is(err, ErrClientRefused) {
		return response, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), c.timeout)
	defer cancel()
	if !c.secret.renew(ctx, version, failureOf(err)) {
		return response, err
	}
	again, err := c.request(ctx, token)
	if err != nil {
		return Response{}, &failedError{ours, fmt.Errorf("introspection: %w", err)}
	}
	return c.ask(again, now)
}

// ask makes the call. If the error is an answer about the token, it is returned as it is.
// Any other error becomes a failedError, which classifies it for the breaker.
func (c *Client) ask(request fetch.Request, now func() time.Time) (Response, error) {
	ctx, cancel := context.WithTimeout(context.Background(), c.timeout)
	defer cancel()
	ctx, connected := c.connections.watch(ctx, c.timeout)
	defer connected.over()
	answer, err := c.fetch.Do(ctx, request)
	switch {
	case answer.Status == http.StatusForbidden:
		return Response{}, &failedError{forbidden, ErrClientRefused}
	case refusesClient(answer):
		return Response{}, &failedError{refused, ErrClientRefused}
	case refusesTokenType(answer):
		return Response{}, ErrUnsupportedTokenType
	case answer.Status != 0 && answer.Status != http.StatusOK: // even if its body was cut off
		return Response{}, &failedError{failureOfStatus(answer.Status), fmt.Errorf("introspection: %w", request.StatusError(answer))}
	case errors.Is(err, fetch.ErrTooLarge):
		return Response{}, &failedError{unusable, fmt.Errorf("introspection: %w", err)}
	case err != nil && connected.failure() == queued:
		return Response{}, &failedError{queued, errNoConnection}
	case err != nil && ctx.Err() != nil:
		return Response{}, &failedError{connected.failure(), fmt.Errorf("introspection: %s: no answer within %v", fetch.Redact(c.endpoint), c.timeout)}
	case err != nil:
		return Response{}, &failedError{connected.failure(), fmt.Errorf("introspection: %w", err)}
	}
	response, err := c.read(ctx, answer, now)
	switch {
	case errors.Is(err, ErrTokenType):
		return Response{}, ErrTokenType
	case err != nil:
		return Response{}, &failedError{unusable, fmt.Errorf("introspection: %s: %w", fetch.Redact(c.endpoint), err)}
	}
	if response.Active && !c.isAccessToken(response.TokenType) {
		return Response{}, ErrTokenType
	}
	return response, nil
}

// refusesClient reports whether the endpoint refuses this client: with 401 (RFC 7662
// §2.3), or with invalid_client or unauthorized_client, which some servers send with a 400
// (RFC 6749 §5.2). For a 403 it returns false.
func refusesClient(answer fetch.Response) bool {
	switch answer.Status {
	case http.StatusUnauthorized:
		return true
	case http.StatusBadRequest:
		code := errorCode(answer.Body)
		return code == "invalid_client" || code == "unauthorized_client"
	}
	return false
}

// refusesTokenType reports whether the endpoint does not introspect tokens of this kind.
func refusesTokenType(answer fetch.Response) bool {
	return answer.Status == http.StatusBadRequest && errorCode(answer.Body) == "unsupported_token_type"
}

func errorCode(body []byte) (code string) {
	err := jose.Object(string(body), func(name, value string) error {
		if name == "error" {
			code, _ = jose.String(value)
		}
		return nil
	})
	if err != nil { // the body is malformed, so the code may be wrong
		return ""
	}
	return code
}
