//go:build interop

package interop_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/zitadel/oidc/v3/example/server/storage"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
)

// A memory is the storage of ZITADEL's library. The library has an example storage, but
// its tokens are all opaque and for the client itself, so only its types are used here.
// The other methods of op.Storage belong to grants that no test uses.
type memory struct {
	op.Storage
	issuer, secret string

	mu       sync.Mutex
	keys     []opKey // the last one signs
	requests map[string]*opRequest
	codes    map[string]string // to the id of a request
	grants   map[string]*storage.RefreshToken
	tokens   map[string]opToken
}

// An opToken is an access token.
type opToken struct {
	client, subject  string
	audience, scopes []string
	issued, expiry   time.Time
}

func newMemory(t *testing.T, issuer, secret string) *memory {
	t.Helper()
	m := &memory{
		issuer: issuer, secret: secret,
		requests: map[string]*opRequest{}, codes: map[string]string{},
		grants: map[string]*storage.RefreshToken{}, tokens: map[string]opToken{},
	}
	m.addKey(t)
	return m
}

var errUnknown = errors.New("the server does not know it")

// Clients.

// An opClient is the example's client, except for what its name determines.
type opClient struct {
	*storage.Client
	form   op.AccessTokenType
	grants []oidc.GrantType
}

func (c opClient) AccessTokenType() op.AccessTokenType { return c.form }
func (c opClient) GrantTypes() []oidc.GrantType        { return c.grants }
func (c opClient) LoginURL(id string) string           { return "/login?id=" + id }
func (c opClient) IsScopeAllowed(scope string) bool {
	return slices.Contains([]string{"read", "write", resource, otherResource}, scope)
}

func (m *memory) GetClientByClientID(_ context.Context, id string) (op.Client, error) {
	client := opClient{Client: storage.WebClient(id, m.secret, redirectURI)}
	switch id {
	case "jwt", "app-jwt":
		client.form = op.AccessTokenTypeJWT
	case "opaque", "app", "resource-server":
		client.form = op.AccessTokenTypeBearer
	default:
		return nil, errUnknown
	}
	switch id {
	case "jwt", "opaque":
		client.grants = []oidc.GrantType{oidc.GrantTypeClientCredentials}
	case "app", "app-jwt":
		client.grants = []oidc.GrantType{oidc.GrantTypeCode, oidc.GrantTypeRefreshToken}
	}
	return client, nil
}

func (m *memory) AuthorizeClientIDSecret(ctx context.Context, id, secret string) error {
	_, err := m.ClientCredentials(ctx, id, secret)
	return err
}

func (m *memory) ClientCredentials(ctx context.Context, id, secret string) (op.Client, error) {
	if secret != m.secret {
		return nil, errUnknown
	}
	return m.GetClientByClientID(ctx, id)
}

func (m *memory) ClientCredentialsTokenRequest(_ context.Context, id string, asked []string) (op.TokenRequest, error) {
	audience, scopes := split(asked)
	return &oidc.JWTTokenRequest{Subject: id, Audience: audience, Scopes: scopes}, nil
}

// split separates the resource servers that a client requests from the scopes. With
// ZITADEL as well, a client requests an audience by a scope.
func split(asked []string) (audience, scopes []string) {
	for _, scope := range asked {
		if scope == resource || scope == otherResource {
			audience = append(audience, scope)
		} else {
			scopes = append(scopes, scope)
		}
	}
	return audience, scopes
}

// The authorization code flow.

// An opRequest is an authorization request.
type opRequest struct {
	*storage.AuthRequest
	audience []string
}

func (r *opRequest) GetAudience() []string { return r.audience } // of both tokens, as at ZITADEL
func (r *opRequest) Done() bool            { return r.UserID != "" }

func (m *memory) CreateAuthRequest(_ context.Context, r *oidc.AuthRequest, _ string) (op.AuthRequest, error) {
	audience, scopes := split(r.Scopes)
	request := &opRequest{audience: audience, AuthRequest: &storage.AuthRequest{
		ID:            rand.Text(),
		ApplicationID: r.ClientID,
		CallbackURI:   r.RedirectURI,
		TransferState: r.State,
		Scopes:        scopes,
		ResponseType:  r.ResponseType,
		ResponseMode:  r.ResponseMode,
		Nonce:         r.Nonce,
		CodeChallenge: &storage.OIDCCodeChallenge{Challenge: r.CodeChallenge, Method: string(r.CodeChallengeMethod)},
	}}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.requests[request.ID] = request
	return request, nil
}

// logIn notes who uses the browser.
func (m *memory) logIn(id, subject string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if request, ok := m.requests[id]; ok {
		request.UserID = subject
	}
}

func (m *memory) AuthRequestByID(_ context.Context, id string) (op.AuthRequest, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	request, ok := m.requests[id]
	if !ok {
		return nil, errUnknown
	}
	return request, nil
}

func (m *memory) SaveAuthCode(_ context.Context, id, code string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.codes[code] = id
	return nil
}

func (m *memory) AuthRequestByCode(ctx context.Context, code string) (op.AuthRequest, error) {
	m.mu.Lock()
	id := m.codes[code]
	delete(m.codes, code)
	m.mu.Unlock()
	return m.AuthRequestByID(ctx, id)
}

func (m *memory) DeleteAuthRequest(_ context.Context, id string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.requests, id)
	return nil
}

// Tokens.

const lifetime = 5 * time.Minute

func (m *memory) CreateAccessToken(_ context.Context, r op.TokenRequest) (id string, expiry time.Time, err error) {
	client := r.GetSubject() // a client that acts for itself
	if user, ok := r.(interface{ GetClientID() string }); ok {
		client = user.GetClientID()
	}
	now := time.Now()
	id, expiry = rand.Text(), now.Add(lifetime)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.tokens[id] = opToken{client, r.GetSubject(), r.GetAudience(), r.GetScopes(), now, expiry}
	return id, expiry, nil
}

// CreateAccessAndRefreshTokens replaces a refresh token by a new one.
func (m *memory) CreateAccessAndRefreshTokens(ctx context.Context, r op.TokenRequest, old string) (id, refresh string, expiry time.Time, err error) {
	if id, expiry, err = m.CreateAccessToken(ctx, r); err != nil {
		return "", "", time.Time{}, err
	}
	refresh = rand.Text()
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.grants, old)
	m.grants[refresh] = &storage.RefreshToken{
		ApplicationID: m.tokens[id].client, UserID: r.GetSubject(), Audience: r.GetAudience(), Scopes: r.GetScopes(),
	}
	return id, refresh, expiry, nil
}

func (m *memory) TokenRequestByRefreshToken(_ context.Context, refresh string) (op.RefreshTokenRequest, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	grant, ok := m.grants[refresh]
	if !ok {
		return nil, errUnknown
	}
	return storage.RefreshTokenRequestFromBusiness(grant), nil
}

func (m *memory) GetRefreshTokenInfo(_ context.Context, _, refresh string) (subject, id string, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if grant, ok := m.grants[refresh]; ok {
		return grant.UserID, refresh, nil
	}
	return "", "", op.ErrInvalidRefreshToken
}

func (m *memory) RevokeToken(_ context.Context, id, _, client string) *oidc.Error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.tokens[id].client == client {
		delete(m.tokens, id)
	}
	if grant, ok := m.grants[id]; ok && grant.ApplicationID == client {
		delete(m.grants, id)
	}
	return nil
}

func (m *memory) SetIntrospectionFromToken(_ context.Context, answer *oidc.IntrospectionResponse, id, subject, client string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	token, ok := m.tokens[id]
	if !ok || token.subject != subject || client != "resource-server" {
		return errUnknown
	}
	answer.Issuer, answer.JWTID, answer.TokenType = m.issuer, id, oidc.BearerToken
	answer.ClientID, answer.Subject = token.client, token.subject
	answer.Audience, answer.Scope = token.audience, token.scopes
	answer.IssuedAt, answer.NotBefore, answer.Expiration = oidc.FromTime(token.issued), oidc.FromTime(token.issued), oidc.FromTime(token.expiry)
	return nil
}

// GetPrivateClaimsFromScopes leaves op's JWTs as they are.
func (m *memory) GetPrivateClaimsFromScopes(context.Context, string, string, []string) (map[string]any, error) {
	return nil, nil
}

// SetUserinfoFromScopes is about ID tokens.
func (m *memory) SetUserinfoFromScopes(_ context.Context, info *oidc.UserInfo, subject, _ string, _ []string) error {
	info.Subject = subject
	return nil
}

// Keys.

// An opKey is a signing key. It is a public one as [opPublicKey].
type (
	opKey struct {
		id        string
		algorithm jose.SignatureAlgorithm
		private   crypto.Signer
	}
	opPublicKey struct{ opKey }
)

func (k opKey) ID() string                                  { return k.id }
func (k opKey) Key() any                                    { return k.private }
func (k opKey) SignatureAlgorithm() jose.SignatureAlgorithm { return k.algorithm }

func (k opPublicKey) Key() any                           { return k.private.Public() }
func (k opPublicKey) Algorithm() jose.SignatureAlgorithm { return k.algorithm }
func (k opPublicKey) Use() string                        { return "sig" }

// addKey adds a key, which signs from now on: RS256 first, then ES256.
func (m *memory) addKey(t *testing.T) {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	key := opKey{id: rand.Text()}
	var err error
	if len(m.keys)%2 == 0 {
		key.algorithm = jose.RS256
		key.private, err = rsa.GenerateKey(rand.Reader, 2048)
	} else {
		key.algorithm = jose.ES256
		key.private, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	}
	if err != nil {
		t.Fatal(err)
	}
	m.keys = append(m.keys, key)
}

func (m *memory) SigningKey(context.Context) (op.SigningKey, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.keys[len(m.keys)-1], nil
}

func (m *memory) SignatureAlgorithms(context.Context) ([]jose.SignatureAlgorithm, error) {
	return []jose.SignatureAlgorithm{jose.RS256, jose.ES256}, nil
}

func (m *memory) KeySet(context.Context) (set []op.Key, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, key := range m.keys {
		set = append(set, opPublicKey{key})
	}
	return set, nil
}
