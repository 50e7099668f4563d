package issuer

import (
	"slices"
	"time"

	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
)

// A Client is a registered client of the authorization server.
type Client struct {
	ID, Secret  string
	Name        string // shown on the consent page
	RedirectURI string // matched exactly (RFC 9700 §2.1)
	Scopes      []string
	JWT         bool // if set, its access tokens are JWTs; otherwise they are opaque
}

// opClient implements op.Client for a Client.
type opClient struct {
	Client
	skew time.Duration // how far its tokens are backdated
}

func (c opClient) GetID() string                       { return c.ID }
func (c opClient) RedirectURIs() []string              { return []string{c.RedirectURI} }
func (c opClient) PostLogoutRedirectURIs() []string    { return nil }
func (c opClient) ApplicationType() op.ApplicationType { return op.ApplicationTypeWeb }
func (c opClient) AuthMethod() oidc.AuthMethod         { return oidc.AuthMethodBasic }
func (c opClient) ResponseTypes() []oidc.ResponseType {
	return []oidc.ResponseType{oidc.ResponseTypeCode}
}
func (c opClient) GrantTypes() []oidc.GrantType   { return []oidc.GrantType{oidc.GrantTypeCode} }
func (c opClient) LoginURL(id string) string      { return "/login?id=" + id }
func (c opClient) IDTokenLifetime() time.Duration { return tokenLifetime }
func (c opClient) DevMode() bool                  { return false }
func (c opClient) ClockSkew() time.Duration       { return c.skew }
func (c opClient) IsScopeAllowed(scope string) bool {
	return slices.Contains(c.Scopes, scope)
}
func (c opClient) IDTokenUserinfoClaimsAssertion() bool { return false }
func (c opClient) RestrictAdditionalIdTokenScopes() func([]string) []string {
	return func(scopes []string) []string { return scopes }
}
func (c opClient) RestrictAdditionalAccessTokenScopes() func([]string) []string {
	return func(scopes []string) []string { return scopes }
}
func (c opClient) AccessTokenType() op.AccessTokenType {
	if c.JWT {
		return op.AccessTokenTypeJWT
	}
	return op.AccessTokenTypeBearer
}
