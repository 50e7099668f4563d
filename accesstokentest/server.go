// Package accesstokentest runs an OAuth 2.0 authorization server for tests of
// resource servers. Use it in tests only.
//
// The server listens on 127.0.0.1 over TLS, on a free port. It publishes
// metadata and keys, signs JWT access tokens (RFC 9068), issues opaque tokens and
// answers introspection requests (RFC 7662). For example:
//
//	as := accesstokentest.NewServer(t)
//	v, err := accesstoken.NewValidator(accesstoken.Config{
//		Resource:   "https://api.example.com",
//		Issuers:    []accesstoken.Issuer{{URL: as.URL}},
//		HTTPClient: as.Client(),
//	})
//	...
//	token := as.Token(accesstokentest.Claims{"sub": "alice", "scope": "orders:read"})
//
// If your issuer departs from RFC 9068, [Server.TokenOf] makes tokens in its form.
//
// You can make the server misbehave. [Server.Sign] and [Server.SignRaw] sign
// wrong tokens with genuine keys. [Server.Rotate], [Server.Withdraw] and
// [Server.Replace] change the keys at any time. [Server.Break] makes an endpoint
// slow, unresponsive, unreadable or unavailable, until [Server.Mend]:
//
//	as.Break(accesstokentest.JWKSPath, accesstokentest.Fault{Status: 503})
//	...
//	as.Mend(accesstokentest.JWKSPath)
//
// You can simulate network faults too. [Server.ForgetConnections] makes
// connections silently discard data, and [Server.ExpireConnections] closes
// connections just as the next request arrives.
//
// If no [Fault] describes what you need, replace an endpoint with your own
// handler by [Server.Handle]. [Server.Requests], [Server.Serving] and
// [Server.NotModified] count the requests. The server uses real sockets, so waits
// take real time and you cannot use it in a [testing/synctest] bubble.
//
// The key set has a strong ETag, derived from its content. If a request's
// If-None-Match contains that ETag, the response is 304 (RFC 9110 §13.1.2). There
// is no Cache-Control; if you need one, set it with a [Fault].
//
// If you test only a handler, you need no server: [NewContext] makes the context
// that a handler gets from every adapter.
//
// The server is not secure. The credentials are constants, the TLS certificate is
// that of [net/http/httptest], whose private key is public, and registered tokens
// stay in memory until [Server.Revoke].
package accesstokentest

import (
	"context"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"

	"github.com/MicahParks/jwkset"
)

// The paths of the endpoints, for [Server.Break], [Server.Handle] and
// [Server.Requests].
const (
	OAuthMetadataPath  = "/.well-known/oauth-authorization-server" // RFC 8414
	OpenIDMetadataPath = "/.well-known/openid-configuration"       // OpenID Connect Discovery
	JWKSPath           = "/jwks"                                   // RFC 7517
	IntrospectionPath  = "/introspect"                             // RFC 7662
)

// TB is the part of [testing.TB] that a Server uses. *[testing.T], *[testing.B]
// and *[testing.F] implement it.
type TB interface {
	Helper()
	Cleanup(func())
	Fatalf(format string, args ...any)
}

// Server is an authorization server on loopback. It is safe for concurrent use.
//
// If a method fails, for example because it cannot encode the claims as JSON, it
// ends the test. On a server from [Start] it panics instead.
type Server struct {
	// URL is the issuer: "https://127.0.0.1:", then the port.
	URL string

	tb        TB // nil on a server from Start
	http      *httptest.Server
	links     *links                  // to the clients
	cancel    context.CancelFunc      // ends the context of every request
	endpoints map[string]http.Handler // the genuine endpoints, read-only
	rsaKeys   []*rsa.PrivateKey       // that this server has had, until Close; under the lock of spareKeys

	mu          sync.RWMutex
	current     keyring
	published   keyring
	behind      node
	answers     map[string]json.RawMessage // introspection responses by token
	replaced    map[string]http.Handler
	faults      map[string]Fault
	oddTokens   map[string]Fault // at the introspection endpoint, by token
	requests    map[string]int
	serving     map[string]int
	notModified int
}

// NewServer starts a server, which is closed when the test t ends.
func NewServer(t TB) *Server {
	t.Helper()
	return closedWith(t, false)
}

// NewHTTP2Server is like [NewServer], but the server also offers HTTP/2, which
// [Server.Client] and other clients that support HTTP/2 then use. A [Fault] with Drop
// resets only its own request, not the connection, so other requests on the
// connection continue.
func NewHTTP2Server(t TB) *Server {
	t.Helper()
	return closedWith(t, true)
}

func closedWith(t TB, http2 bool) *Server {
	t.Helper()
	s, err := start(http2)
	if err != nil {
		t.Fatalf("%v", err)
	}
	s.tb = t
	t.Cleanup(s.Close)
	return s
}

// Start starts a server for a TestMain or an Example, where there is no
// [testing.T]. You must close it yourself.
func Start() (*Server, error) { return start(false) }

func start(http2 bool) (*Server, error) {
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("accesstokentest: cannot listen on 127.0.0.1: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	s := &Server{
		links:    &links{Listener: listener, open: make(map[*link]struct{})},
		cancel:   cancel,
		answers:  make(map[string]json.RawMessage),
		replaced: make(map[string]http.Handler),
		faults:   make(map[string]Fault),
		requests: make(map[string]int),
		serving:  make(map[string]int),
	}
	s.current = s.newKeyring()
	s.published = s.current
	s.endpoints = map[string]http.Handler{
		OAuthMetadataPath:  http.HandlerFunc(s.serveMetadata),
		OpenIDMetadataPath: http.HandlerFunc(s.serveMetadata),
		JWKSPath:           http.HandlerFunc(s.serveJWKS),
		IntrospectionPath:  http.HandlerFunc(s.serveIntrospection),
	}
	s.http = &httptest.Server{
		Listener:    s.links,
		EnableHTTP2: http2,
		Config: &http.Server{
			Handler:     http.HandlerFunc(s.serve),
			BaseContext: func(net.Listener) context.Context { return ctx },
			ConnContext: withLink,
		},
	}
	s.http.StartTLS()
	s.URL = s.http.URL
	return s, nil
}

// Close shuts the server down and ends its goroutines. It cancels the context of
// every request and then waits for all handlers. If your handler hangs on
// purpose, it should wait for its request's context to end. Calling Close twice is
// safe.
func (s *Server) Close() {
	s.cancel()
	s.http.Close()
	s.spareRSAKeys()
}

// Client returns an HTTP client that trusts the certificate of this server, which
// is the same for every [Server]. Every call returns the same client.
func (s *Server) Client() *http.Client {
	return s.http.Client()
}

// JWKSURI returns the URL of the key set.
func (s *Server) JWKSURI() string {
	return s.URL + JWKSPath
}

// IntrospectionEndpoint returns the URL of the introspection endpoint, which
// requires [ClientID] and [ClientSecret].
func (s *Server) IntrospectionEndpoint() string {
	return s.URL + IntrospectionPath
}

// Metadata returns a copy of the document that both metadata endpoints serve. If
// your test needs a different document, change members of the copy and serve it
// with [Server.Handle]. The authorization and token endpoints in the document
// answer 404, because this server issues tokens by method call.
func (s *Server) Metadata() map[string]any {
	return map[string]any{
		"issuer":                                        s.URL,
		"jwks_uri":                                      s.JWKSURI(),
		"introspection_endpoint":                        s.IntrospectionEndpoint(),
		"authorization_endpoint":                        s.URL + "/authorize",
		"token_endpoint":                                s.URL + "/token",
		"response_types_supported":                      []string{"code"},
		"subject_types_supported":                       []string{"public"},
		"id_token_signing_alg_values_supported":         algorithms(),
		"introspection_endpoint_auth_methods_supported": []string{"client_secret_basic", "client_secret_post"},
	}
}

// Handle replaces the endpoint at path, or adds an endpoint. If h is nil, Handle
// restores the genuine endpoint, or removes the added endpoint. Requests that are
// already being served are not affected.
func (s *Server) Handle(path string, h http.Handler) {
	s.checkPath("Handle", path)
	s.mu.Lock()
	defer s.mu.Unlock()
	if h == nil {
		delete(s.replaced, path)
		return
	}
	s.replaced[path] = h
}

func (s *Server) checkPath(method, path string) {
	if !strings.HasPrefix(path, "/") {
		s.fatalf("accesstokentest: %s: the path %q must begin with a slash", method, path)
	}
}

// Endpoint returns the genuine endpoint at path, even if [Server.Handle] or
// [Server.Break] has changed it. For example, your handler can call it and record
// or alter the response. If path has no genuine endpoint, Endpoint returns a
// handler that answers 404.
func (s *Server) Endpoint(path string) http.Handler {
	if h, ok := s.endpoints[path]; ok {
		return h
	}
	return http.NotFoundHandler()
}

// Requests returns how many requests have arrived at path, including those that
// are still being served. It also counts requests to replaced and broken
// endpoints.
func (s *Server) Requests(path string) int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.requests[path]
}

// Serving returns how many requests at path are being served, for example
// because a [Fault] keeps them waiting. A request may still count for a moment
// after its client has received the response or disconnected.
func (s *Server) Serving(path string) int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.serving[path]
}

// NotModified returns how many requests the genuine key set endpoint has answered
// with 304.
func (s *Server) NotModified() int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.notModified
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	defer s.left(r.URL.Path)
	s.arrived(r.URL.Path).ServeHTTP(w, r)
}

// arrived counts a request and returns the handler for it.
func (s *Server) arrived(path string) http.Handler {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests[path]++
	s.serving[path]++
	h, ok := s.replaced[path]
	if !ok {
		h = s.Endpoint(path)
	}
	if fault, ok := s.faults[path]; ok {
		h = broken{fault, h}
	}
	if path == IntrospectionPath && len(s.oddTokens) > 0 {
		return odd{s, h}
	}
	return h
}

func (s *Server) left(path string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.serving[path]--
}

func (s *Server) serveMetadata(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, "application/json", s.Metadata())
}

func (s *Server) serveJWKS(w http.ResponseWriter, r *http.Request) {
	set := jwkset.JWKSMarshal{Keys: []jwkset.JWKMarshal{}}
	for _, key := range s.keysOfANode() {
		set.Keys = append(set.Keys, key.Marshal())
	}
	body := must(json.Marshal(set))
	digest := sha256.Sum256(body)
	etag := `"` + base64.RawURLEncoding.EncodeToString(digest[:]) + `"`
	w.Header().Set("ETag", etag)
	if (r.Method == http.MethodGet || r.Method == http.MethodHead) && matches(r.Header.Values("If-None-Match"), etag) {
		s.countNotModified()
		w.WriteHeader(http.StatusNotModified) // with the ETag (RFC 9110 §15.4.5)
		return
	}
	w.Header().Set("Content-Type", "application/jwk-set+json")
	_, _ = w.Write(body)
}

// matches reports whether an If-None-Match contains etag, which must not contain a
// comma. Weak tags and "*" match too (RFC 9110 §13.1.2).
func matches(ifNoneMatch []string, etag string) bool {
	for tag := range strings.SplitSeq(strings.Join(ifNoneMatch, ","), ",") {
		tag = strings.TrimSpace(tag)
		if tag == "*" || strings.TrimPrefix(tag, "W/") == etag {
			return true
		}
	}
	return false
}

func (s *Server) countNotModified() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.notModified++
}

// fatalf ends the test, or panics if the server is from Start.
func (s *Server) fatalf(format string, args ...any) {
	if s.tb != nil {
		s.tb.Helper()
		s.tb.Fatalf(format, args...)
	}
	panic(fmt.Sprintf(format, args...))
}

func writeJSON(w http.ResponseWriter, status int, contentType string, v any) {
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(status)
	// Fails only if the client has disconnected.
	_ = json.NewEncoder(w).Encode(v)
}

// override returns defaults overridden by claims. A nil claim removes the default.
func override(defaults, claims map[string]any) map[string]any {
	all := maps.Clone(defaults)
	maps.Copy(all, claims)
	maps.DeleteFunc(all, func(_ string, v any) bool { return v == nil })
	return all
}
