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

var errUnknown = errors.New("the authorization server does not know it")

// storage is op.Storage in memory. It keeps what one person at one machine
// needs and forgets it with the process: for demonstrations only.
type storage struct {
	url       string
	user      User
	clients   map[string]Client
	resources map[string]Resource
	keys      *keyRing

	mu       sync.Mutex
	requests map[string]*authRequest // by ID
	codes    map[string]string       // authorization code -> ID of its request
	logins   map[string]time.Time    // login session -> when it began
	tokens   map[string]*token       // by ID
	late     map[string]bool         // states whose tokens are to be dated back
	started  map[string]time.Time    // when each request came, for sweep
}

// A token is what the server remembers of an access token.
type token struct {
	id, subject, clientID string
	resource              string
	scopes                []string
	state                 string // of the flow that it came from
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
		requests: map[string]*authRequest{}, codes: map[string]string{}, logins: map[string]time.Time{},
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

// sweep forgets what has run out, so that a long demonstration stays small.
// The caller holds s.mu.
func (s *storage) sweep() {
	old := time.Now().Add(-loginLifetime)
	maps.DeleteFunc(s.tokens, func(_ string, t *token) bool { return t.expiry.Before(old) })
	maps.DeleteFunc(s.logins, func(_ string, began time.Time) bool { return began.Before(old) })
	maps.DeleteFunc(s.started, func(id string, came time.Time) bool {
		if came.Before(old) {
			delete(s.requests, id)
		}
		return came.Before(old)
	})
	maps.DeleteFunc(s.codes, func(_, id string) bool { return s.requests[id] == nil })
}

// CreateAuthRequest takes in an authorization request that op found well-formed.
func (s *storage) CreateAuthRequest(ctx context.Context, r *oidc.AuthRequest, _ string) (op.AuthRequest, error) {
	// RFC 9700 §2.1.1 asks for PKCE from every client, and RFC 7636 §4.2 for S256.
	if r.CodeChallenge == "" || r.CodeChallengeMethod != oidc.CodeChallengeMethodS256 {
		return nil, oidc.ErrInvalidRequest().WithDescription("code_challenge with the method S256 is required")
	}
	// iss is added to the query, so that is where the answer must be.
	if r.ResponseMode != "" && r.ResponseMode != oidc.ResponseModeQuery {
		return nil, oidc.ErrInvalidRequest().WithDescription("the only response_mode here is query")
	}
	n := notesFrom(ctx)
	if _, ok := s.resources[n.resource]; !ok {
		return nil, invalidTarget("the resource parameter must name a resource server that is registered here")
	}
	n.state = r.State
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sweep()
	a := &authRequest{id: rand.Text(), request: *r, resource: n.resource, backdate: s.late[r.State]}
	delete(s.late, r.State)
	s.requests[a.id] = a
	s.started[a.id] = time.Now()
	return a, nil
}

// invalidTarget is the error of RFC 8707 §2.
func invalidTarget(description string) error {
	return (&oidc.Error{ErrorType: oidc.InvalidTarget}).WithDescription("%s", description)
}

func (s *storage) request(id string) (*authRequest, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a, ok := s.requests[id]
	return a, ok
}

// allow notes that the resource owner has consented.
func (s *storage) allow(a *authRequest, subject string, loggedIn time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a.subject, a.authTime, a.allowed = subject, loggedIn, true
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

// AuthRequestByCode hands out a request once: a code is for one use (RFC 6749
// §4.1.2), and an attempt that fails later spends it too.
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

// CreateAccessToken decides what the token will say. The resource parameter of
// the token request must be one the resource owner was asked about (RFC 8707 §2.2).
func (s *storage) CreateAccessToken(ctx context.Context, r op.TokenRequest) (string, time.Time, error) {
	a, ok := r.(*authRequest)
	if !ok {
		return "", time.Time{}, oidc.ErrUnsupportedGrantType()
	}
	if notesFrom(ctx).resource != a.resource {
		return "", time.Time{}, invalidTarget("the token request names another resource than the authorization request")
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

// GetPrivateClaimsFromRequest adds scope, which op leaves out of its JWTs and
// RFC 9068 §2.2.3 asks for: all that was granted, where op would leave out profile.
func (s *storage) GetPrivateClaimsFromRequest(_ context.Context, r op.TokenRequest, _ []string) (map[string]any, error) {
	if a, ok := r.(*authRequest); ok {
		a.audience = nil // the ID token that op makes next is for the client alone
	}
	return map[string]any{"scope": strings.Join(r.GetScopes(), " ")}, nil
}

// live returns a token that is neither revoked nor expired.
func (s *storage) live(id string) (*token, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, ok := s.tokens[id]
	return t, ok && time.Now().Before(t.expiry)
}

// RevokeToken is the revocation endpoint's (RFC 7009). A token that is already
// gone is no error there (§2.2).
func (s *storage) RevokeToken(_ context.Context, id, _, clientID string) *oidc.Error {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, ok := s.tokens[id]
	if !ok {
		return nil
	}
	if t.clientID != clientID {
		return oidc.ErrInvalidClient().WithDescription("the token was issued to another client")
	}
	delete(s.tokens, id)
	return nil
}

// SetIntrospectionFromToken answers RFC 7662. A resource server learns about
// its own tokens only (§4); for any other one the answer is "not active".
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

// SetUserinfoFromToken is the UserInfo endpoint's (OpenID Connect Core §5.3).
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

// op calls SetUserinfoFromScopes before SetUserinfoFromRequest, for older storages.
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

// AuthorizeClientIDSecret authenticates clients, and resource servers that introspect.
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

// login opens a login session when the name and the password are right.
func (s *storage) login(name, password string) (session string, ok bool) {
	right := subtle.ConstantTimeCompare([]byte(name), []byte(s.user.Login)) &
		subtle.ConstantTimeCompare([]byte(password), []byte(s.user.Password))
	if right != 1 {
		return "", false
	}
	session = rand.Text()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.logins[session] = time.Now()
	return session, true
}

func (s *storage) loggedIn(session string) (since time.Time, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	since, ok = s.logins[session]
	return since, ok && time.Since(since) < loginLifetime
}

func (s *storage) TerminateSession(_ context.Context, userID, clientID string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	maps.DeleteFunc(s.tokens, func(_ string, t *token) bool { return t.subject == userID && t.clientID == clientID })
	clear(s.logins)
	return nil
}

func (s *storage) Health(context.Context) error { return nil }

// The rest of op.Storage serves grants that this server does not offer.

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
	return nil, nil // op asks GetPrivateClaimsFromRequest instead
}

func (s *storage) GetKeyByIDAndClientID(context.Context, string, string) (*jose.JSONWebKey, error) {
	return nil, errUnknown
}

func (s *storage) ValidateJWTProfileScopes(context.Context, string, []string) ([]string, error) {
	return nil, oidc.ErrUnsupportedGrantType()
}
