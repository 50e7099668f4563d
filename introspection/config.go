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

// Config says whom to ask, and as whom. Endpoint has to be set, and what the
// AuthMethod needs: ClientID and ClientSecret by default. A Config prints without
// its secrets.
type Config struct {
	_ [0]func()

	// Endpoint is the introspection endpoint: an https URL, or http on a
	// loopback host.
	Endpoint string

	// ClientID and ClientSecret are the resource server's own credentials.
	ClientID     string
	ClientSecret string

	// ClientSecretFrom returns the secret in place of ClientSecret, for a secret that
	// is rotated. What it returns is kept, until the endpoint refuses this client (401,
	// 403 or invalid_client): then it is called again, and the question is put once more
	// with the new secret. If that is the old one, it is called again after 4 s at the
	// earliest, for the next probe. Its error, or panic, means that nothing is known of the
	// token. It is not repeated in ours, as it may hold secrets: log it here. The context
	// ends after Timeout, not with the caller: those who leave early do not keep the secret
	// from being read. It must be safe for concurrent use.
	ClientSecretFrom func(context.Context) (string, error)

	// AuthMethod says how the client authenticates itself; zero is
	// ClientSecretBasic.
	AuthMethod AuthMethod

	// ClientKey signs for PrivateKeyJWT: a key of RSA, P-256, P-384, P-521 or
	// Ed25519, in memory or behind a key service. It must be safe for concurrent
	// use.
	ClientKey crypto.Signer

	// ClientKeyID is the kid by which the server finds ClientKey's public key;
	// empty is none.
	ClientKeyID string

	// ClientKeyAlgorithm is the JWS algorithm (RFC 7518 §3.1), PS256 for example;
	// empty is PS256, ES256, ES384, ES512 or EdDSA, by ClientKey. An RSA key in
	// a service that signs with PKCS #1 v1.5 only needs RS256 here.
	ClientKeyAlgorithm string

	// ClientCertificate is for TLSClientAuth and SelfSignedTLSClientAuth, when
	// HTTPClient is nil: our own client shows it, whatever authorities the server
	// names. An HTTPClient shows what its transport has.
	ClientCertificate *tls.Certificate

	// BearerToken is for Bearer. It returns an access token of the resource
	// server's own, and is called for every call of the endpoint, so it should
	// keep the token while it is good. An oauth2.TokenSource fits:
	//
	//	func(context.Context) (string, error) {
	//		token, err := source.Token()
	//		if err != nil {
	//			return "", err
	//		}
	//		return token.AccessToken, nil
	//	}
	//
	// Its error, or panic, means that nothing is known of the token. It is not
	// repeated in ours, as it may hold secrets: log it here. The context ends after
	// Timeout, not with the caller. It must be safe for concurrent use.
	BearerToken func(context.Context) (string, error)

	// Issuer is the authorization server's own identifier, as in its metadata
	// (RFC 8414 §2): an https URL. It is the audience of what the client signs
	// for it, and must be the issuer of what it signs for the client.
	Issuer string

	// Keys demands signed answers (RFC 9701), and verifies them: a *jwks.Cache,
	// jwks.Static, or your own. Such an answer has to be by Issuer, for ClientID,
	// and made within the last 3 minutes; both have to be set. Encrypted answers
	// are not supported. The Client does not close Keys. Nil: answers are plain
	// JSON.
	Keys KeySource

	// Algorithms are the JWS algorithms of signed answers; nil is every digital
	// signature that is supported. It needs Keys.
	Algorithms []string

	// Timeout bounds one call, from dialing to the last byte; zero is 5 s. What shows
	// who the client is (ClientSecretFrom, ClientKey, BearerToken) has as much time
	// before that, and again before a call that is made once more with a new secret.
	Timeout time.Duration

	// CacheFor is how long an active answer is used again: a token that the
	// server revokes is refused at most that much later. It never outlasts the
	// token, and an answer without exp is not kept. An inactive answer is used
	// again for 5 s, or CacheFor if that is less. Zero: nothing is kept. At most
	// 1 h.
	CacheFor time.Duration

	// DangerouslyServeStaleFor is how long after CacheFor a token that was
	// active is taken to be so while the endpoint cannot be asked, though it
	// may have been revoked. It never outlasts the token. Zero: not at all. At
	// most 15 minutes.
	//
	// The endpoint cannot be asked if there is no connection to it, or if two tokens
	// in a row, with no whole answer in between, got no answer in time, half of one,
	// or a 408 or 5xx; of the 5xx that a server may give for a token that it does not
	// know, such as 500, only those of tokens that were active before count. 429, any
	// other answer and a full queue, of our own or of HTTPClient's transport
	// (MaxConnsPerHost), are no outage.
	DangerouslyServeStaleFor time.Duration

	// Store shares cached answers with other processes that have the same
	// Endpoint, ClientID and StoreKey. It is asked before the endpoint, for a
	// quarter of a second at most; one that fails makes answers slower, never
	// wrong. It needs CacheFor and StoreKey. Nil: answers are not shared.
	Store Store

	// StoreKey is the secret, of 32 random bytes or more, under which values in
	// the Store are encrypted and authenticated.
	StoreKey []byte

	// OnStoreError is told what goes wrong with the Store: an access that fails,
	// a value that was tampered with. Until one call returns there is no other,
	// and what goes wrong in between is not told. Nil: nobody is.
	OnStoreError func(error)

	// RequireTokenType refuses an active answer that has no token_type: some
	// servers leave it out for refresh tokens, and send it for access tokens.
	RequireTokenType bool

	// HTTPClient makes the calls; nil is a client of our own. It is copied, and
	// the copy follows no redirects: the body holds a live token and our secret.
	// Its transport should keep 64 connections (MaxIdleConnsPerHost), as ours
	// does, or most calls under load dial anew.
	//
	// An [http.Transport] is copied as well, and the copy has connections of its own,
	// with the same limits. Those of HTTP/2 are pinged after 2 s of silence and closed
	// 2 s later, unless the transport sets its own SendPingTimeout in HTTP2; a negative
	// one sends no pings. Protocols that were registered with RegisterProtocol are not
	// in the copy. Any other RoundTripper is used as it is; see [Client.Warnings].
	HTTPClient *http.Client

	// DangerouslyAllowHTTP accepts a plain http Endpoint on any host.
	DangerouslyAllowHTTP bool
}

// String names the endpoint, and keeps the secrets.
func (c Config) String() string {
	return "introspection.Config(" + fetch.Redact(c.Endpoint) + ")"
}

// Format prints what String returns, under every verb.
func (c Config) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, c.String()) }

// LogValue returns what String does.
func (c Config) LogValue() slog.Value { return slog.StringValue(c.String()) }

// withDefaults fills in what is zero.
func (c Config) withDefaults() Config {
	if c.AuthMethod == "" {
		c.AuthMethod = ClientSecretBasic
	}
	if c.Timeout == 0 {
		c.Timeout = fetch.DefaultTimeout
	}
	return c
}

// check expects the defaults to be filled in.
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
		faults = append(faults, fmt.Errorf("introspection: CacheFor is %v; at most %v is allowed, and zero for none", c.CacheFor, mostCache))
	}
	if c.DangerouslyServeStaleFor < 0 || c.DangerouslyServeStaleFor > mostStale {
		faults = append(faults, fmt.Errorf("introspection: DangerouslyServeStaleFor is %v; at most %v is allowed", c.DangerouslyServeStaleFor, mostStale))
	}
	if c.Store != nil && (c.CacheFor == 0 || len(c.StoreKey) < 32) {
		faults = append(faults, errors.New("introspection: Store holds what is cached, under a key: set CacheFor, and StoreKey to 32 random bytes or more"))
	}
	if c.Store != nil && c.ClientID == "" {
		faults = append(faults, errors.New("introspection: Store needs ClientID: two resource servers may be told different things about one token"))
	}
	if c.Store == nil && (c.StoreKey != nil || c.OnStoreError != nil) {
		faults = append(faults, errors.New("introspection: StoreKey and OnStoreError are for Store; set it as well"))
	}
	if c.DangerouslyServeStaleFor > 0 && c.CacheFor == 0 {
		faults = append(faults, errors.New("introspection: DangerouslyServeStaleFor serves what is cached; set CacheFor as well"))
	}
	faults = append(faults, c.checkKeys()...)
	return errors.Join(faults...)
}

const (
	mostCache = time.Hour
	mostStale = 15 * time.Minute
)
