package introspection

import (
	"context"
	"crypto"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/accesstoken/accesstoken/internal/fetch"
)

// Config says which endpoint to ask and how to authenticate. Set Endpoint and what the
// AuthMethod needs, which is ClientID and ClientSecret by default. A Config prints
// without its secrets.
type Config struct {
	_ [0]func()

	// Endpoint is the introspection endpoint: an https URL, or http on a loopback host or,
	// with DangerouslyAllowHTTP, on any host.
	Endpoint string

	// ClientID and ClientSecret are the resource server's own credentials.
	ClientID     string
	ClientSecret string

	// ClientSecretFrom returns the secret. Set it instead of ClientSecret if the secret is
	// rotated. The result is kept until the endpoint refuses this client (401, 403,
	// invalid_client or unauthorized_client). Then ClientSecretFrom is called again and,
	// if the secret has changed, the lookup is repeated once. If not, another refusal of
	// that kind calls ClientSecretFrom again, after 4 s at the earliest.
	//
	// If ClientSecretFrom fails or panics, nothing is known of the token. The client's
	// error does not repeat the failure's text, which may hold secrets, so
	// ClientSecretFrom should log it. The context ends after Timeout and not when the
	// caller leaves, because callers that leave early must not keep the secret from being
	// read. ClientSecretFrom must be safe for concurrent use.
	ClientSecretFrom func(context.Context) (string, error)

	// AuthMethod says how the client authenticates itself; zero is
	// ClientSecretBasic.
	AuthMethod AuthMethod

	// ClientKey signs for PrivateKeyJWT: a key of RSA, P-256, P-384, P-521 or
	// Ed25519, in memory or behind a key service. It must be safe for concurrent
	// use.
	ClientKey crypto.Signer

	// ClientKeyID is the kid by which the server finds ClientKey's public key. If it is
	// empty, no kid is sent.
	ClientKeyID string

	// ClientKeyAlgorithm is the JWS algorithm (RFC 7518 §3.1), for example PS256. If it is
	// empty, the type of ClientKey decides: PS256, ES256, ES384, ES512 or EdDSA. If an RSA
	// key is in a service that signs with PKCS #1 v1.5 only, set RS256.
	ClientKeyAlgorithm string

	// ClientCertificate is for TLSClientAuth and SelfSignedTLSClientAuth if HTTPClient is
	// nil. It is presented whatever authorities the server names. An HTTPClient presents
	// the certificates of its transport instead.
	ClientCertificate *tls.Certificate

	// BearerToken is for Bearer. It returns an access token of the resource server's own.
	// BearerToken is called for every request to the endpoint, so it should keep a token
	// while the token is good. For example, with an oauth2.TokenSource:
	//
	//	func(context.Context) (string, error) {
	//		token, err := source.Token()
	//		if err != nil {
	//			return "", err
	//		}
	//		return token.AccessToken, nil
	//	}
	//
	// If BearerToken fails or panics, nothing is known of the token. The client's error
	// does not repeat the failure's text, which may hold secrets, so BearerToken should
	// log it. The context ends after Timeout and not when the caller leaves. BearerToken
	// must be safe for concurrent use.
	BearerToken func(context.Context) (string, error)

	// Issuer is the authorization server's own identifier, as in its metadata (RFC 8414
	// §2): an https URL, or http where Endpoint can be http. It is the audience (aud) of
	// the JWTs with which the client authenticates itself, and the required iss of signed
	// answers.
	Issuer string

	// If Keys is set, answers must be signed (RFC 9701) and these keys verify them: a
	// *jwks.Cache, jwks.Static, or your own source. An answer's iss must be Issuer, its
	// aud must contain ClientID, and its iat must be at most 3 minutes ago and 30 s ahead.
	// Set Issuer and ClientID as well. Encrypted answers are not supported. The Client
	// does not close Keys. If Keys is nil, answers are plain JSON.
	Keys KeySource

	// Algorithms are the JWS algorithms accepted for signed answers; nil means RS256,
	// RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512, Ed25519 and EdDSA.
	// ML-DSA-44, ML-DSA-65 and ML-DSA-87 (RFC 9964) can be listed in a program built with
	// Go 1.27 or later. Algorithms needs Keys.
	Algorithms []string

	// Timeout bounds one call, from dialing to the last byte; zero is 5 s. Before the
	// call, getting the client's own credential (ClientSecretFrom, ClientKey, BearerToken)
	// may take as long again. If a call is repeated with a new secret, the credential and
	// the call each have that time again.
	Timeout time.Duration

	// CacheFor is how long an active answer is reused, at most 1 h. Zero caches nothing.
	// For example, if CacheFor is one minute, a revoked token is refused at most a minute
	// later, unless DangerouslyServeStaleFor is set. An active answer is never reused
	// beyond the token's exp plus Options.Leeway, and without exp it is not cached. An
	// inactive answer is reused for 5 s, or for CacheFor if that is less.
	CacheFor time.Duration

	// DangerouslyServeStaleFor is for how long after CacheFor a token that was active is
	// still reported as active if the endpoint cannot be reached, although the token may
	// have been revoked. This time never extends beyond the token's exp plus
	// Options.Leeway. Zero disables this; the maximum is 15 minutes.
	// DangerouslyServeStaleFor needs CacheFor, and has no effect with Options.Fresh.
	//
	// The endpoint cannot be reached if there is no connection to it, or if two tokens in
	// a row, with no whole answer in between, got no answer in time, a truncated answer,
	// or a 408 or 5xx. Some servers send a 5xx such as 500 for a token that they do not
	// know, so these 5xx count only for tokens that were active before. A 429, any other
	// answer and a full queue are not an outage, whether the queue is the client's own or
	// the queue of HTTPClient's transport (MaxConnsPerHost).
	DangerouslyServeStaleFor time.Duration

	// Store shares cached answers between processes with the same Endpoint, ClientID,
	// Issuer, StoreKey and RequireTokenType, if all of them set Keys or none does. Unless
	// Options.Fresh is set, the Store is read before the endpoint is asked, for 250 ms at
	// most. If the Store fails, answers are slower but never wrong. Store needs CacheFor,
	// ClientID and StoreKey. If Store is nil, answers are not shared.
	Store Store

	// StoreKey is the secret, of 32 random bytes or more, under which values in
	// the Store are encrypted and authenticated.
	StoreKey []byte

	// OnStoreError, if set, is called if the Store fails or holds a value that is not
	// authentic or not readable. Calls are never concurrent: errors that occur while a
	// call is running are dropped. An error of reading is also dropped if every caller has
	// left.
	OnStoreError func(error)

	// RequireTokenType refuses an active answer without token_type. Set it if the server
	// leaves token_type out for refresh tokens but sends it for access tokens.
	RequireTokenType bool

	// HTTPClient makes the calls; nil means a client of our own. HTTPClient is copied, and
	// the copy follows no redirects, because the body holds a live token and may hold the
	// secret. Its transport should keep 64 idle connections (MaxIdleConnsPerHost), as our
	// own transport does; otherwise most calls under load will dial anew.
	//
	// If its transport, or http.DefaultTransport if it has none, is an [http.Transport]
	// whose HTTP/2, if any, is net/http's, the transport is copied as well, and the copy
	// has connections of its own, with the same limits. An HTTP/2 connection is pinged
	// after 2 s of silence and closed 2 s later if there is no reply, unless the transport
	// sets its own times in HTTP2; a negative SendPingTimeout disables the pings. The copy
	// lacks protocols that were added with RegisterProtocol. Any other RoundTripper is
	// used as it is; see [Client.Warnings].
	HTTPClient *http.Client

	// DangerouslyAllowHTTP accepts plain http on any host, for Endpoint and Issuer.
	DangerouslyAllowHTTP bool
}

// String names the endpoint, without the secrets.
func (c Config) String() string {
	return "introspection.Config(" + fetch.Redact(c.Endpoint) + ")"
}

// Format prints what String returns, under every verb.
func (c Config) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, c.String()) }

// LogValue returns what String does.
func (c Config) LogValue() slog.Value { return slog.StringValue(c.String()) }

// withDefaults sets the default AuthMethod and Timeout if they are zero.
func (c Config) withDefaults() Config {
	if c.AuthMethod == "" {
		c.AuthMethod = ClientSecretBasic
	}
	if c.Timeout == 0 {
		c.Timeout = fetch.DefaultTimeout
	}
	return c
}

// check returns the faults of a Config, one to a line. Call withDefaults first.
func (c Config) check() error {
	var faults []error
	if err := fetch.CheckURL(c.Endpoint, c.DangerouslyAllowHTTP); err != nil {
		faults = append(faults, fmt.Errorf("introspection: Endpoint: %w", err))
	}
	faults = append(faults, c.checkAuthentication()...)
	if c.Timeout < 0 {
		faults = append(faults, fmt.Errorf("introspection: Timeout is %v; leave it zero for 5 s", c.Timeout))
	}
	if c.CacheFor < 0 || c.CacheFor > mostCache {
		faults = append(faults, fmt.Errorf("introspection: CacheFor is %v; the maximum is %v, and zero caches nothing", c.CacheFor, mostCache))
	}
	if c.DangerouslyServeStaleFor < 0 || c.DangerouslyServeStaleFor > mostStale {
		faults = append(faults, fmt.Errorf("introspection: DangerouslyServeStaleFor is %v; the maximum is %v, and zero disables it", c.DangerouslyServeStaleFor, mostStale))
	}
	if c.Store != nil && (c.CacheFor == 0 || len(c.StoreKey) < 32) {
		faults = append(faults, errors.New("introspection: Store shares cached answers under a key; set CacheFor, and StoreKey to 32 random bytes or more"))
	}
	if c.Store != nil && c.ClientID == "" {
		faults = append(faults, errors.New("introspection: Store needs ClientID, because two resource servers may get different answers about one token"))
	}
	if c.Store == nil && (c.StoreKey != nil || c.OnStoreError != nil) {
		faults = append(faults, errors.New("introspection: StoreKey and OnStoreError are for Store; set it as well"))
	}
	if c.DangerouslyServeStaleFor > 0 && c.CacheFor == 0 {
		faults = append(faults, errors.New("introspection: DangerouslyServeStaleFor needs cached answers; set CacheFor as well"))
	}
	faults = append(faults, c.checkKeys()...)
	return errors.Join(faults...)
}

const (
	mostCache = time.Hour
	mostStale = 15 * time.Minute
)
