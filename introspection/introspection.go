// Package introspection asks an authorization server about opaque tokens: an
// RFC 7662 client for one issuer.
//
//	client, err := introspection.NewClient(introspection.Config{
//		Endpoint:     "https://login.example.com/introspect",
//		ClientID:     "api",
//		ClientSecret: secret,
//	})
//
// The client authenticates itself by a secret, by a JWT that a key signs, by a
// certificate or by an access token of its own: see [AuthMethod].
//
// Set a client as an issuer's Introspection, and the validator asks it about the
// tokens of that issuer that are no JWTs. It can also be used alone.
//
// Nothing is cached unless Config.CacheFor says so: a revoked token is refused
// from the next call on, or at most CacheFor later. Who asks about a token while
// a call about it is under way shares its answer.
//
// An endpoint that does not answer is left alone: for half a second at first and a
// second at most, or for up to half a minute if it asks for that; then one question at a
// time probes it. Any whole answer, also one that cannot be used, proves that it is up,
// and ends that. What counts is how many tokens fail in a row, with no whole answer in
// between:
//
//   - Five tokens that were active before, or five times no connection, and nothing is
//     asked any more.
//   - Five others (strangers) that get no answer, 408, 429, 502, 503 or 504, and no
//     strangers are asked about. Other 5xx, which servers give for tokens that they do
//     not know, count once nothing else has come for a second. Tokens that were active
//     before are asked about nevertheless.
//   - One token that fails five times in a row is left alone by itself.
//
// A Retry-After holds for the token that met it, and for all once two tokens have.
// Its refusal of this client (401, 403) counts once two tokens that were active before,
// five others, or the first one ever met it; the pauses are 5 s then. If a whole answer
// came within the last 5 s, both need ten tokens: one of several servers may be wrong.
//
// Which tokens were active is remembered by digests, 65,536 at most, in 2 MiB; what
// failed of which token, of 1,024 tokens, in 150 KiB. Tokens that were active before go
// first in the queue, and strangers never take all of the places on the wire.
package introspection

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/accesstoken/accesstoken/internal/fetch"
	"github.com/accesstoken/accesstoken/internal/jose"
	"github.com/accesstoken/accesstoken/internal/tokencache"
)

// The errors of [Client.Introspect] that are not a matter of trying again. All
// others mean that the endpoint gave no usable answer: validity is unknown.
var (
	// ErrClientRefused: the endpoint refuses our own credentials (RFC 7662
	// §2.3). It says nothing about the token, and an operator has to look at it. Such
	// an endpoint is asked about every 5 s; in between, this is the error at once.
	ErrClientRefused = errors.New("introspection: the endpoint refuses this client; check ClientID, AuthMethod and what it needs")

	// ErrTokenType: the token is active, and is no access token (RFC 7662 §2.1
	// lets a refresh token be introspected as well).
	ErrTokenType = errors.New("introspection: the token is active, but it is not an access token")

	// ErrUnsupportedTokenType: the endpoint introspects no tokens of this kind
	// (unsupported_token_type, RFC 7009 §2.2.1, with a 400); some say so of JWT
	// access tokens. The token may be good: it has to be judged by other means.
	ErrUnsupportedTokenType = errors.New("introspection: the endpoint does not introspect tokens of this kind")
)

// maxAnswer bounds an answer's size in bytes.
const maxAnswer = 64 << 10

// A Client asks one endpoint. It is safe for concurrent use, and owns no
// goroutine beyond the calls under way and what they have asked of the Config's functions.
type Client struct {
	endpoint         string
	timeout          time.Duration
	requireTokenType bool
	authenticate     authenticator
	secret           *clientSecret // nil: the AuthMethod has none
	config           fapi
	fetch            *fetch.Client
	seal             *seal // nil: answers are plain JSON
	calls            *calls
	cache            *cache
	breaker          *breaker
	connections      *connections
	shared           *sharedStore // nil without a Store
}

// NewClient checks the Config and makes a Client, without any I/O. The error
// reports every fault at once, one to a line.
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
		seal:             config.seal(),
		calls:            newCalls(config.Timeout, &guard.known),
		cache:            newCache(config),
		breaker:          guard,
		connections:      new(connections),
		shared:           newSharedStore(config),
	}, nil
}

// String names the endpoint, and keeps the secret.
func (c *Client) String() string {
	return "introspection.Client(" + fetch.Redact(c.endpoint) + ")"
}

// Format prints what String returns, under every verb.
func (c *Client) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(c.String())) }

// RevocationDelay returns how long after its revocation a token may still be said
// to be active here: CacheFor, and DangerouslyServeStaleFor after that.
func (c *Client) RevocationDelay() time.Duration {
	return c.cache.keepFor + c.cache.grace
}

// Issuer returns Config.Issuer: whose answers these are. It is empty if that is unset.
func (c *Client) Issuer() string { return c.config.issuer }

// Introspect asks whether a token is active and what it stands for. An inactive
// token is no error: the Response says so, and nothing else. An error that is
// none of [ErrClientRefused], [ErrTokenType] and the like means that nothing is
// known of the token; if there is a time to come back, the error has a method
// RetryAfter() time.Duration. No error contains the token or a secret.
//
// Callers that ask about one token at the same time share one call. While it waits for
// its turn it ends with the last of them; once it is on the wire it goes on until the
// answer or its Timeout. At most 64 calls are under way at once, and 1024 wait for their
// turn.
func (c *Client) Introspect(ctx context.Context, token string) (Response, error) {
	return c.IntrospectWith(ctx, token, Options{})
}

// Options say how one question is put.
type Options struct {
	_ [0]func()

	// Fresh asks the endpoint, whatever is cached, and by a call that begins now.
	// The answer is cached as any other.
	Fresh bool

	// Leeway is how long after its exp a token is still good to whoever asks. A
	// cached answer ends then as well.
	Leeway time.Duration

	// Now is the clock by which exp, the cache and a signed answer are judged;
	// nil is time.Now.
	Now func() time.Time
}

// IntrospectWith is [Client.Introspect] with options.
func (c *Client) IntrospectWith(ctx context.Context, token string, options Options) (Response, error) {
	if err := ctx.Err(); err != nil { // nobody waits for the answer: the token stays here
		return Response{}, fmt.Errorf("introspection: %w", err)
	}
	if options.Now == nil {
		options.Now = time.Now
	}
	key := tokencache.KeyOf(token)
	if kept, ok := c.cache.get(key, options.Now(), options.Leeway); ok && !options.Fresh {
		return kept.clone(), nil
	}
	response, err := c.put(ctx, key, token, options)
	switch {
	case err == nil:
		return response, nil
	case ctx.Err() != nil:
		return Response{}, fmt.Errorf("introspection: %w", ctx.Err())
	}
	if kept, ok := c.cache.getStale(key, options.Now(), options.Leeway); ok && !options.Fresh && c.breaker.isOutage(err) {
		return kept.clone(), nil
	}
	return Response{}, err
}

// put puts the question, unless the endpoint is to be left alone.
func (c *Client) put(ctx context.Context, key tokencache.Key, token string, options Options) (Response, error) {
	refuses := func() error { return c.breaker.refuses(digestOf(key)) }
	if c.shared != nil { // which is asked before the endpoint
		refuses = func() error { return nil }
	}
	return c.calls.do(ctx, call{
		key:   key,
		alone: options.Fresh,
		side:  c.breaker.sideOf(digestOf(key)),
		ask:   func(turn turn) (Response, func(), error) { return c.find(turn, key, token, options) },
	}, refuses)
}

// find looks for the answer in the Store, and then asks for it. What it returns
// for later shares it.
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
		c.cache.put(key, Response{}, asked, time.Time{}, 0) // what was kept before is wrong
	}
	if err != nil {
		return Response{}, nil, err
	}
	fresh := c.cache.until(r, asked, options.Leeway)
	c.cache.put(key, r, asked, fresh, options.Leeway)
	now := options.Now()
	return r, func() { c.shared.put(context.Background(), token, r, asked, fresh, now) }, nil
}

// findShared looks for the answer in the Store, and caches it. What another replica
// allows is no more than what we do.
func (c *Client) findShared(ctx context.Context, key tokencache.Key, token string, options Options) (Response, bool) {
	if options.Fresh {
		return Response{}, false
	}
	now := options.Now()
	r, v, ok := c.shared.get(ctx, token)
	if !ok {
		return Response{}, false
	}
	fresh := earlier(v.Fresh, c.cache.until(r, v.Asked, options.Leeway))
	if !now.Before(fresh) || v.Asked.After(now.Add(leeway)) {
		return Response{}, false
	}
	c.cache.put(key, r, v.Asked, fresh, options.Leeway)
	return r, true
}

// askUnlessOpen makes a call, and tells the breaker how it went. If nobody waits for it
// any more, another may be the probe.
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
	c.breaker.end(ticket, err)
	return response, err
}

// prepare makes the request, for as long as somebody waits. What it takes is not of the
// time that the endpoint has: that would be judged by what others are slow at.
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

// askTwice asks once more if the endpoint refuses us, and there is another secret by now.
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

// ask makes the call. Its errors say what they tell of the endpoint, unless they are
// answers.
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
	case answer.Status != 0 && answer.Status != http.StatusOK: // whatever became of its body
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

// refusesClient finds out whether it is us whom the endpoint refuses: by 401 (RFC 7662
// §2.3), or by invalid_client, which some send with a 400 (RFC 6749 §5.2).
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

// refusesTokenType finds out whether the endpoint knows the kind of token, and
// introspects none of it.
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
	if err != nil { // a code that may be another
		return ""
	}
	return code
}
