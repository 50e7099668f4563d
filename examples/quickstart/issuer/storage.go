package issuer

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	jose "github.com/go-jose/go-jose/v4"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
)

const (
	tokenLifetime = 5 * time.Minute
	loginLifetime = 10 * time.Minute // for an authorization request, and for a login session
	rotateEvery   = 10 * time.Minute
	backdatedBy   = time.Hour
)

var errUnknown = errors.New("the authorization request, code, token or client is unknown or has expired")

// storage implements op.Storage in memory, for one user and for demonstrations only.
type storage struct {
	url       string
	user      User
	clients   map[string]Client
	resources map[string]Resource
	keys      *keyRing

	mu       sync.Mutex
	requests map[string]*authRequest // by ID
	codes    map[string]string       // authorization code -> ID of its request
	logins   map[string]login        // by session
	tokens   map[string]*token       // by ID
	late     map[string]bool         // states whose tokens must be backdated
	started  map[string]time.Time    // request ID -> when it arrived, for sweep
}

// A login is what a user has shown, and when.
type login struct {
	since time.Time
	acr   string
}

// A token is the server's record of an access token.
type token struct {
	id, subject, clientID string
	resource              string
	scopes                []string
	state                 string // of the flow in which it was issued
	issued, expiry        time.Time
}

func newStorage(c Config) (*storage, error) {
	keys, err := newKeyRing(tokenLifetime, rotateEvery)
	if err != nil {
		return nil, err
	}
	s := &storage{
		url: c.URL, user: c.User, keys: keys,
		clients: map[string]Client{}, resources: map[string]Resource{},
		requests: map[string]*authRequest{}, codes: map[string]string{}, logins: map[string]login{},
		tokens: map[string]*token{}, late: map[string]bool{}, started: map[string]time.Time{},
	}
	for _, client := range c.Clients {
		s.clients[client.ID] = client
	}
	for _, resource := range c.Resources {
		s.resources[resource.ID] = resource
	}
	return s, nil
}

// sweep deletes old data, so that memory does not grow in a long demonstration. The
// caller must hold s.mu.
func (s *storage) sweep() {
	old := time.Now().Add(-loginLifetime)
	maps.DeleteFunc(s.tokens, func(_ string, t *token) bool { return t.expiry.Before(old) })
	maps.DeleteFunc(s.logins, func(_ string, l login) bool { return l.since.Before(old) })
	maps.DeleteFunc(s.started, func(id string, came time.Time) bool {
		if came.Before(old) {
			delete(s.requests, id)
		}
		return came.Before(old)
	})
	maps.DeleteFunc(s.codes, func(_, id string) bool { return s.requests[id] == nil })
}

// CreateAuthRequest stores an authorization request. op has already checked that it is
// well-formed.
func (s *storage) CreateAuthRequest(ctx context.Context, r *oidc.AuthRequest, _ string) (op.AuthRequest, error) {
	// Every client should use PKCE (RFC 9700 §2.1.1), with S256 if it can (RFC 7636 §4.2).
	if r.CodeChallenge == "" || r.CodeChallengeMethod != oidc.CodeChallengeMethodS256 {
		return nil, oidc.ErrInvalidRequest().WithDescription("code_challenge with the method S256 is required")
	}
	// withIss adds iss to the query, so the response must be in the query too.
	if r.ResponseMode != "" && r.ResponseMode != oidc.ResponseModeQuery {
		return nil, oidc.ErrInvalidRequest().WithDescription("response_mode must be query")
	}
	n := notesFrom(ctx)
	if _, ok := s.resources[n.resource]; !ok {
		return nil, invalidTarget("resource must be the identifier of a registered resource server")
	}
	n.state = r.State
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sweep()
	a := &authRequest{id: rand.Text(), request: *r, resource: n.resource, backdate: s.late[r.State], arrived: time.Now()}
	delete(s.late, r.State)
	s.requests[a.id] = a
	s.started[a.id] = a.arrived
	return a, nil
}

// invalidTarget returns the error invalid_target (RFC 8707 §2).
func invalidTarget(description string) error {
	return (&oidc.Error{ErrorType: oidc.InvalidTarget}).WithDescription("%s", description)
}

func (s *storage) request(id string) (*authRequest, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a, ok := s.requests[id]
	return a, ok
}

// allow records the resource owner's consent.
func (s *storage) allow(a *authRequest, subject string, l login) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a.subject, a.login, a.allowed = subject, l, true
}

func (s *storage) AuthRequestByID(ctx context.Context, id string) (op.AuthRequest, error) {
	a, ok := s.request(id)
	if !ok {
		return nil, errUnknown
	}
	notesFrom(ctx).state = a.request.State
	return a, nil
}

func (s *storage) SaveAuthCode(_ context.Context, id, code string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.codes[code] = id
	return nil
}

// AuthRequestByCode returns the request for a code and deletes both, because a code can
// be used only once (RFC 6749 §4.1.2). The code is spent even if the token request fails
// later.
func (s *storage) AuthRequestByCode(ctx context.Context, code string) (op.AuthRequest, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a, ok := s.requests[s.codes[code]]
	if !ok {
		return nil, errUnknown
	}
	delete(s.codes, code)
	delete(s.requests, a.id)
	n := notesFrom(ctx)
	n.state, n.backdate = a.request.State, a.backdate
	return a, nil
}

func (s *storage) DeleteAuthRequest(_ context.Context, id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.requests, id)
	delete(s.started, id)
	return nil
}

// CreateAccessToken sets the content of the token. The resource parameter of the token
// request must equal that of the authorization request, to which the resource owner has
// consented (RFC 8707 §2.2).
func (s *storage) CreateAccessToken(ctx context.Context, r op.TokenRequest) (string, time.Time, error) {
	a, ok := r.(*authRequest)
	if !ok {
		return "", time.Time{}, oidc.ErrUnsupportedGrantType()
	}
	if notesFrom(ctx).resource != a.resource {
		return "", time.Time{}, invalidTarget("resource differs from the resource of the authorization request")
	}
	if s.clients[a.GetClientID()].JWT {
		a.audience = []string{a.resource}
	}
	issued := time.Now()
	if a.backdate {
		issued = issued.Add(-backdatedBy)
	}
	t := &token{
		id: rand.Text(), subject: a.subject, clientID: a.GetClientID(), resource: a.resource,
		scopes: a.GetScopes(), state: a.GetState(), issued: issued, expiry: issued.Add(tokenLifetime),
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tokens[t.id] = t
	return t.id, t.expiry, nil
}

// GetPrivateClaimsFromRequest returns the claims that op omits from its JWTs: scope (RFC
// 9068 §2.2.3), with all granted scopes, including profile, and what is known of the login
// (RFC 9068 §2.2.1).
func (s *storage) GetPrivateClaimsFromRequest(_ context.Context, r op.TokenRequest, _ []string) (map[string]any, error) {
	claims := map[string]any{"scope": strings.Join(r.GetScopes(), " ")}
	if a, ok := r.(*authRequest); ok {
		a.audience = nil // op makes the ID token next, and only the client is in its aud
		claims["acr"], claims["auth_time"] = a.login.acr, a.login.since.Unix()
	}
	return claims, nil
}

// live returns the token with this ID. If it was revoked or has expired, ok is false.
func (s *storage) live(id string) (t *token, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, ok = s.tokens[id]
	return t, ok && time.Now().Before(t.expiry)
}

// RevokeToken serves the revocation endpoint (RFC 7009). If the token is unknown, it
// returns no error (RFC 7009 §2.2).
func (s *storage) RevokeToken(_ context.Context, id, _, clientID string) *oidc.Error {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, ok := s.tokens[id]
	if !ok {
		return nil
	}
	if t.clientID != clientID {
		return oidc.ErrInvalidClient().WithDescription("the token was issued to a different client")
	}
	delete(s.tokens, id)
	return nil
}

// SetIntrospectionFromToken serves the introspection endpoint (RFC 7662). If the token is
// unknown, or for a different resource server, the response is "not active" (RFC 7662
// §4).
func (s *storage) SetIntrospectionFromToken(ctx context.Context, r *oidc.IntrospectionResponse, id, subject, clientID string) error {
	t, ok := s.live(id)
	if !ok || t.subject != subject || s.resources[t.resource].ClientID != clientID {
		return errUnknown
	}
	notesFrom(ctx).state = t.state
	r.Scope = t.scopes
	r.ClientID = t.clientID
	r.TokenType = oidc.BearerToken
	r.Expiration = oidc.FromTime(t.expiry)
	r.IssuedAt = oidc.FromTime(t.issued)
	r.NotBefore = oidc.FromTime(t.issued)
	r.Subject = t.subject
	r.Audience = oidc.Audience{t.resource}
	r.Issuer = s.url
	r.JWTID = t.id
	return nil
}

// SetUserinfoFromToken serves the UserInfo endpoint (OpenID Connect Core §5.3).
func (s *storage) SetUserinfoFromToken(ctx context.Context, info *oidc.UserInfo, id, subject, _ string) error {
	t, ok := s.live(id)
	if !ok || t.subject != subject || !slices.Contains(t.scopes, oidc.ScopeOpenID) {
		return errUnknown
	}
	notesFrom(ctx).state = t.state
	s.describe(info, t.scopes)
	return nil
}

// SetUserinfoFromRequest fills the ID token.
func (s *storage) SetUserinfoFromRequest(_ context.Context, info *oidc.UserInfo, _ op.IDTokenRequest, scopes []string) error {
	s.describe(info, scopes)
	return nil
}

func (s *storage) describe(info *oidc.UserInfo, scopes []string) {
	info.Subject = s.user.Subject
	if slices.Contains(scopes, oidc.ScopeProfile) {
		info.Name = s.user.Name
		info.PreferredUsername = s.user.Login
	}
}

// SetUserinfoFromScopes does nothing. op calls it before SetUserinfoFromRequest, for the
// sake of older storages.
func (s *storage) SetUserinfoFromScopes(context.Context, *oidc.UserInfo, string, string, []string) error {
	return nil
}

func (s *storage) GetClientByClientID(ctx context.Context, id string) (op.Client, error) {
	client, ok := s.clients[id]
	if !ok {
		return nil, errUnknown
	}
	c := opClient{Client: client}
	if notesFrom(ctx).backdate {
		c.skew = backdatedBy
	}
	return c, nil
}

// AuthorizeClientIDSecret authenticates clients at the token endpoint and resource
// servers at the introspection endpoint.
func (s *storage) AuthorizeClientIDSecret(_ context.Context, id, secret string) error {
	known := s.clients[id].Secret
	for _, r := range s.resources {
		if r.ClientID == id {
			known = r.ClientSecret
		}
	}
	if known == "" || subtle.ConstantTimeCompare([]byte(known), []byte(secret)) != 1 {
		return errors.New("the client id or the client secret is wrong")
	}
	return nil
}

// login starts a login session if the name and the password are right, and the code, if there
// is one.
func (s *storage) login(name, password, code string) (session string, ok bool) {
	right := subtle.ConstantTimeCompare([]byte(name), []byte(s.user.Login)) &
		subtle.ConstantTimeCompare([]byte(password), []byte(s.user.Password))
	l := login{time.Now(), ACRPassword}
	if code != "" {
		l.acr = ACRCode
		right &= subtle.ConstantTimeCompare([]byte(code), []byte(s.user.Code))
	}
	if right != 1 {
		return "", false
	}
	session = rand.Text()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.logins[session] = l
	return session, true
}

func (s *storage) loggedIn(session string) (l login, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l, ok = s.logins[session]
	return l, ok && time.Since(l.since) < loginLifetime
}

func (s *storage) TerminateSession(_ context.Context, userID, clientID string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	maps.DeleteFunc(s.tokens, func(_ string, t *token) bool { return t.subject == userID && t.clientID == clientID })
	clear(s.logins)
	return nil
}

func (s *storage) Health(context.Context) error { return nil }

// The other methods of op.Storage are for grants that this server does not support.

func (s *storage) CreateAccessAndRefreshTokens(context.Context, op.TokenRequest, string) (string, string, time.Time, error) {
	return "", "", time.Time{}, oidc.ErrUnsupportedGrantType()
}

func (s *storage) TokenRequestByRefreshToken(context.Context, string) (op.RefreshTokenRequest, error) {
	return nil, oidc.ErrUnsupportedGrantType()
}

func (s *storage) GetRefreshTokenInfo(context.Context, string, string) (string, string, error) {
	return "", "", op.ErrInvalidRefreshToken
}

func (s *storage) GetPrivateClaimsFromScopes(context.Context, string, string, []string) (map[string]any, error) {
	return nil, nil // op calls GetPrivateClaimsFromRequest instead
}

func (s *storage) GetKeyByIDAndClientID(context.Context, string, string) (*jose.JSONWebKey, error) {
	return nil, errUnknown
}

func (s *storage) ValidateJWTProfileScopes(context.Context, string, []string) ([]string, error) {
	return nil, oidc.ErrUnsupportedGrantType()
}
