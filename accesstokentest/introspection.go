package accesstokentest

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// The credentials that the introspection endpoint requires, sent as
// client_secret_basic or client_secret_post. They contain reserved characters on
// purpose. If a client does not form-encode them in its Basic credentials (RFC
// 6749 §2.3.1), the endpoint answers 401.
const (
	ClientID     = "orders:api"
	ClientSecret = "a:b/c+d%20e f&g=h?\"i\""
)

const introspectionJWT = "application/token-introspection+jwt" // RFC 9701 §4

// Opaque returns a new opaque token that the introspection endpoint knows. See
// [Server.Remember] for the response about it.
func (s *Server) Opaque(claims Claims) string {
	token := rand.Text()
	s.Remember(token, claims)
	return token
}

// Remember registers a token, which can be any string, at the introspection
// endpoint. It replaces an earlier registration of the same token. The response
// has these defaults:
//
//	active      true
//	iss         the server's URL
//	sub         "alice"
//	aud         "https://api.example.com"
//	client_id   "client"
//	iat         now
//	exp         in five minutes
//	token_type  "Bearer"
//
// There is no scope unless you give one. The endpoint does not check the claims:
// for example, a token whose exp has passed stays active until [Server.Revoke].
//
// If the request's Accept contains application/token-introspection+jwt, the
// response is a JWT (RFC 9701) with the same content, signed with RS256, whose
// aud is [ClientID]. If you need a different JWT, make it with [Server.Sign] and
// serve it with [Server.Handle].
func (s *Server) Remember(token string, claims Claims) {
	defaults := s.Claims(Claims{"jti": nil, "active": true, "token_type": "Bearer"})
	s.remember(token, override(defaults, claims))
}

func (s *Server) remember(token string, claims Claims) {
	answer := s.marshal("claims", claims)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answers[token] = answer
}

// Null is a claim whose JSON value is null. Some servers send null for claims that
// they do not have. A nil in [Claims] removes the claim instead. For example:
//
//	as.Opaque(Claims{"client_id": Null, "scope": Null})
var Null json.Marshaler = null{}

type null struct{}

func (null) MarshalJSON() ([]byte, error) { return []byte("null"), nil }

// BreakToken gives the introspection endpoint a fault for requests about this token
// only, until [Server.MendToken]. For this token it replaces a fault of [Server.Break].
// The fault alters the response of the genuine endpoint, even if [Server.Handle] has
// replaced that endpoint. For example:
//
//	as.BreakToken(odd, Fault{Status: 500})
//	as.BreakToken(odd, Fault{Body: []byte(`{"active":true,"sub":1}`)})
func (s *Server) BreakToken(token string, f Fault) {
	s.checkFault("BreakToken", f)
	f.Header, f.Body = f.Header.Clone(), bytes.Clone(f.Body)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.oddTokens == nil {
		s.oddTokens = map[string]Fault{}
	}
	s.oddTokens[token] = f
}

// MendToken removes the fault that [Server.BreakToken] set for the token, if any.
func (s *Server) MendToken(token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.oddTokens, token)
}

// odd is the introspection endpoint while some tokens have faults of their own.
type odd struct {
	server   *Server
	endpoint http.Handler
}

func (o odd) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	defer unblock(r.Context(), w)()
	received, _ := io.ReadAll(io.LimitReader(r.Body, 1<<20)) // the next read of the body returns the error again
	whole := io.MultiReader(bytes.NewReader(received), r.Body)
	r = r.Clone(r.Context())
	r.Body = io.NopCloser(whole)
	form, _ := url.ParseQuery(string(received))
	if fault, ok := o.server.oddToken(form.Get("token")); ok {
		broken{fault, o.server.Endpoint(IntrospectionPath)}.ServeHTTP(w, r)
		return
	}
	o.endpoint.ServeHTTP(w, r)
}

func (s *Server) oddToken(token string) (Fault, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	f, ok := s.oddTokens[token]
	return f, ok
}

// Revoke removes token from the introspection endpoint, which then answers that
// the token is not active.
func (s *Server) Revoke(token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.answers, token)
}

// answer returns the introspection response for token (RFC 7662 §2.2).
func (s *Server) answer(token string) json.RawMessage {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if answer, ok := s.answers[token]; ok {
		return answer
	}
	return json.RawMessage(`{"active":false}`)
}

func (s *Server) serveIntrospection(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		writeError(w, http.StatusMethodNotAllowed, "invalid_request")
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, 1<<20)
	// PostForm holds the parameters of the body only, so a token in the query is
	// ignored.
	if err := r.ParseForm(); err != nil || repeated(r.PostForm) || authenticatesTwice(r) {
		writeError(w, http.StatusBadRequest, "invalid_request")
		return
	}
	if !authenticated(r) {
		w.Header().Set("WWW-Authenticate", `Basic realm="introspection"`)
		writeError(w, http.StatusUnauthorized, "invalid_client")
		return
	}
	token := r.PostForm.Get("token")
	if token == "" {
		writeError(w, http.StatusBadRequest, "invalid_request")
		return
	}
	if strings.Contains(r.Header.Get("Accept"), introspectionJWT) {
		s.writeSigned(w, s.answer(token))
		return
	}
	writeJSON(w, http.StatusOK, "application/json", s.answer(token))
}

// writeSigned writes the response as a JWT (RFC 9701 §5).
func (s *Server) writeSigned(w http.ResponseWriter, answer json.RawMessage) {
	token := s.Sign(map[string]any{"typ": "token-introspection+jwt"}, map[string]any{
		"iss":                 s.URL,
		"aud":                 ClientID,
		"iat":                 time.Now().Unix(),
		"token_introspection": answer,
	})
	w.Header().Set("Content-Type", introspectionJWT)
	_, _ = w.Write([]byte(token))
}

// authenticated reports whether the request has the credentials.
func authenticated(r *http.Request) bool {
	id, secret, ok := r.BasicAuth()
	if !ok {
		return r.PostForm.Get("client_id") == ClientID && r.PostForm.Get("client_secret") == ClientSecret
	}
	id, idErr := url.QueryUnescape(id)
	secret, secretErr := url.QueryUnescape(secret)
	return idErr == nil && secretErr == nil && id == ClientID && secret == ClientSecret
}

// authenticatesTwice reports whether the client uses two authentication methods
// in one request, which RFC 6749 §2.3 forbids. A client_id without a secret does
// not count as a method.
func authenticatesTwice(r *http.Request) bool {
	return r.Header.Get("Authorization") != "" && r.PostForm.Has("client_secret")
}

// repeated reports whether a parameter occurs twice (RFC 6749 §3.2).
func repeated(form url.Values) bool {
	for _, values := range form {
		if len(values) > 1 {
			return true
		}
	}
	return false
}

// writeError writes the error response of RFC 6749 §5.2.
func writeError(w http.ResponseWriter, status int, code string) {
	writeJSON(w, status, "application/json", map[string]string{"error": code})
}
