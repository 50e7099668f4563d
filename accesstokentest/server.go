// Package accesstokentest runs an OAuth 2.0 authorization server for tests of
// resource servers. It is for tests only.
//
// The server listens on 127.0.0.1 over TLS, on a port of its own. It publishes
// metadata and keys, signs JWT access tokens (RFC 9068), knows opaque tokens and
// answers introspection (RFC 7662):
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
// It can be wrong on purpose. [Server.Sign] and [Server.SignRaw] put genuine
// signatures under wrong tokens; [Server.Rotate], [Server.Withdraw] and
// [Server.Replace] change keys at an awkward time; [Server.Break] makes an
// endpoint slow, stuck, junk or gone, until [Server.Mend]:
//
//	as.Break(accesstokentest.JWKSPath, accesstokentest.Fault{Status: 503})
//	...
//	as.Mend(accesstokentest.JWKSPath)
//
// For what no [Fault] describes, [Server.Handle] replaces an endpoint by any
// handler. [Server.Requests], [Server.Serving] and [Server.NotModified] count
// who asks. The server has real sockets, so waits take real time, and a test in
// a [testing/synctest] bubble cannot use it.
//
// The key set has a strong ETag, made of its content, and answers 304 to an
// If-None-Match that names it (RFC 9110 §13.1.2). It says nothing on how long it
// is fresh: a test that wants a Cache-Control gives it by [Fault].
//
// A test of a handler alone needs no server: [NewContext] makes the context
// that a handler sees behind any adapter.
//
// Nothing here guards anything. The credentials are constants, the TLS
// certificate is the one of [net/http/httptest], whose private key is public,
// and every token stays in memory until Close.
package accesstokentest

import (
	"context"
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

// TB is what a Server needs of a test: *[testing.T], *[testing.B] and
// *[testing.F] have it.
type TB interface {
	Helper()
	Cleanup(func())
	Fatalf(format string, args ...any)
}

// Server is an authorization server on loopback. It is safe for concurrent use.
//
// A method that cannot do what it is asked, for instance to sign claims that
// are not JSON, ends the test; on a server from [Start] it panics.
type Server struct {
	// URL is the issuer: "https://127.0.0.1:", then the port.
	URL string

	tb        TB // nil on a server from Start
	http      *httptest.Server
	cancel    context.CancelFunc      // ends the context of every request
	endpoints map[string]http.Handler // as they were built, read-only

	mu          sync.RWMutex
	current     keyring
	published   keyring
	behind      node
	answers     map[string]json.RawMessage // introspection responses by token
	replaced    map[string]http.Handler
	faults      map[string]Fault
	requests    map[string]int
	serving     map[string]int
	notModified int
}

// NewServer starts a server that is closed when the test ends.
func NewServer(t TB) *Server {
	t.Helper()
	s, err := Start()
	if err != nil {
		t.Fatalf("%v", err)
	}
	s.tb = t
	t.Cleanup(s.Close)
	return s
}

// Start starts a server for a TestMain or an Example, where there is no test to
// close it: the caller does.
func Start() (*Server, error) {
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("accesstokentest: no port on loopback: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	keys := newKeyring()
	s := &Server{
		cancel:    cancel,
		current:   keys,
		published: keys,
		answers:   make(map[string]json.RawMessage),
		replaced:  make(map[string]http.Handler),
		faults:    make(map[string]Fault),
		requests:  make(map[string]int),
		serving:   make(map[string]int),
	}
	s.endpoints = map[string]http.Handler{
		OAuthMetadataPath:  http.HandlerFunc(s.serveMetadata),
		OpenIDMetadataPath: http.HandlerFunc(s.serveMetadata),
		JWKSPath:           http.HandlerFunc(s.serveJWKS),
		IntrospectionPath:  http.HandlerFunc(s.serveIntrospection),
	}
	s.http = &httptest.Server{
		Listener: listener,
		Config: &http.Server{
			Handler:     http.HandlerFunc(s.serve),
			BaseContext: func(net.Listener) context.Context { return ctx },
		},
	}
	s.http.StartTLS()
	s.URL = s.http.URL
	return s, nil
}

// Close shuts the server down and ends its goroutines. It ends the context of
// every request and then waits for their handlers, so a handler that hangs on
// purpose should hang on its request's context. Closing twice is fine.
func (s *Server) Close() {
	s.cancel()
	s.http.Close()
}

// Client returns an HTTP client that trusts this server, and every other
// [Server] too. It is the same on every call.
func (s *Server) Client() *http.Client {
	return s.http.Client()
}

// JWKSURI returns the URL of the key set.
func (s *Server) JWKSURI() string {
	return s.URL + JWKSPath
}

// IntrospectionEndpoint returns the URL of the introspection endpoint, which
// demands [ClientID] and [ClientSecret].
func (s *Server) IntrospectionEndpoint() string {
	return s.URL + IntrospectionPath
}

// Metadata returns what both metadata endpoints publish, as a copy: a test that
// wants it different changes a member and serves it with [Server.Handle]. Of
// the endpoints it names, authorization and token answer 404: this server
// issues tokens by method call.
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

// Handle replaces the endpoint at path, or adds one there. A nil handler
// restores what was there at first. Requests that are already being served are
// not affected.
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
		s.fatalf("accesstokentest: %s: the path %q does not begin with a slash", method, path)
	}
}

// Endpoint returns the genuine endpoint at path, whatever [Server.Handle] or
// [Server.Break] put there: for a replacement that only records or alters.
// Where there is none it returns a handler that answers 404.
func (s *Server) Endpoint(path string) http.Handler {
	if h, ok := s.endpoints[path]; ok {
		return h
	}
	return http.NotFoundHandler()
}

// Requests returns how many requests have arrived at path, replaced, broken or
// not, with those that are still being served.
func (s *Server) Requests(path string) int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.requests[path]
}

// Serving returns how many requests at path are being served: those that a
// [Fault] keeps waiting, for instance. A request whose client has its answer, or
// has gone away, may count for a moment longer.
func (s *Server) Serving(path string) int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.serving[path]
}

// NotModified returns how many requests the genuine key set has answered with
// 304: the client had it already.
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
		return broken{fault, h}
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

// matches reports whether an If-None-Match names etag, which has no comma in
// it. Weak tags match too (RFC 9110 §13.1.2).
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

// fatalf ends the test, or panics where there is none.
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
	// The client may be gone: that is its own affair.
	_ = json.NewEncoder(w).Encode(v)
}

// override returns defaults with claims laid over them; a nil claim removes.
func override(defaults, claims map[string]any) map[string]any {
	all := maps.Clone(defaults)
	maps.Copy(all, claims)
	maps.DeleteFunc(all, func(_ string, v any) bool { return v == nil })
	return all
}
