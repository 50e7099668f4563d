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

// The credentials that the introspection endpoint demands, as
// client_secret_basic or client_secret_post. They have reserved characters on
// purpose: a client that does not form-encode them before it makes them a Basic
// credential (RFC 6749 §2.3.1) is refused.
const (
	ClientID     = "orders:api"
	ClientSecret = "a:b/c+d%20e f&g=h?\"i\""
)

const introspectionJWT = "application/token-introspection+jwt" // RFC 9701 §4

// Opaque returns an opaque token that the introspection endpoint knows; see
// [Server.Remember] for what it says about it.
func (s *Server) Opaque(claims Claims) string {
	token := rand.Text()
	s.Remember(token, claims)
	return token
}

// Remember makes the introspection endpoint know token, whatever it looks like,
// and replaces what it knew before. The answer has these defaults:
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
// There is no scope unless one is given. The endpoint says what it is told: it
// calls a token active whose exp has passed, until [Server.Revoke].
//
// A request whose Accept has application/token-introspection+jwt is answered
// with the same in a JWT (RFC 9701), signed with RS256, for [ClientID]. Other
// such answers are made with [Server.Sign] and given by [Server.Handle].
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

// Null is a claim that is null: in an introspection answer, some servers write that for
// what they leave out, where a nil in [Claims] leaves it out.
//
//	as.Opaque(Claims{"client_id": Null, "scope": Null})
var Null json.Marshaler = null{}

type null struct{}

func (null) MarshalJSON() ([]byte, error) { return []byte("null"), nil }

// BreakToken gives the introspection endpoint a fault that only the questions about
// this token meet, over that of [Server.Break], until [Server.MendToken]: one client's
// odd answer, at an endpoint that is well for all others.
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

// MendToken takes the fault of [Server.BreakToken] away, if there is one.
func (s *Server) MendToken(token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.oddTokens, token)
}

// odd is the introspection endpoint, but for single tokens.
type odd struct {
	server   *Server
	endpoint http.Handler
}

func (o odd) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	defer unblock(r.Context(), w)()
	received, _ := io.ReadAll(io.LimitReader(r.Body, 1<<20)) // an error comes again to who reads on
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

// Revoke makes the introspection endpoint forget token, so that it is not
// active any more.
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
	// PostForm is of the body alone: a token in the query is no token.
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

// writeSigned writes an answer as RFC 9701 §5 has it.
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

// authenticatesTwice reports a client that uses two methods at once, which
// RFC 6749 §2.3 forbids. A client_id alone is no method.
func authenticatesTwice(r *http.Request) bool {
	return r.Header.Get("Authorization") != "" && r.PostForm.Has("client_secret")
}

// repeated reports a parameter that comes twice (RFC 6749 §3.2).
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
