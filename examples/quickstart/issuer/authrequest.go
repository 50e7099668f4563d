package issuer

import (
	"slices"
	"time"

	"github.com/zitadel/oidc/v3/pkg/oidc"
)

// An authRequest is an authorization request. It lives from the client's request
// through login and consent until the token endpoint redeems its code.
type authRequest struct {
	id       string
	request  oidc.AuthRequest
	resource string // the resource server that the token will be for (RFC 8707)
	backdate bool
	arrived  time.Time

	// Set when the resource owner consents.
	subject string
	login   login
	allowed bool

	// audience is the aud of the next token that op makes. op calls GetAudience for the
	// access token and then for the ID token, and the two have different audiences.
	audience []string
}

// isMetBy reports whether a login session is enough, so that the user need not log in again.
// A login for this very request is always enough, because acr_values is a wish (OpenID
// Connect Core §3.1.2.1): a user who has no code gets a token whose acr says so.
func (a *authRequest) isMetBy(l login) bool {
	if !l.since.Before(a.arrived) {
		return true
	}
	if most := a.request.MaxAge; most != nil && time.Since(l.since) > time.Duration(*most)*time.Second {
		return false
	}
	return len(a.request.ACRValues) == 0 || slices.Contains(a.request.ACRValues, l.acr)
}

func (a *authRequest) GetID() string          { return a.id }
func (a *authRequest) GetACR() string         { return a.login.acr }
func (a *authRequest) GetAMR() []string       { return []string{"pwd"} }
func (a *authRequest) GetAudience() []string  { return a.audience }
func (a *authRequest) GetAuthTime() time.Time { return a.login.since }
func (a *authRequest) GetClientID() string    { return a.request.ClientID }
func (a *authRequest) GetCodeChallenge() *oidc.CodeChallenge {
	return &oidc.CodeChallenge{Challenge: a.request.CodeChallenge, Method: a.request.CodeChallengeMethod}
}
func (a *authRequest) GetNonce() string                   { return a.request.Nonce }
func (a *authRequest) GetRedirectURI() string             { return a.request.RedirectURI }
func (a *authRequest) GetResponseType() oidc.ResponseType { return a.request.ResponseType }
func (a *authRequest) GetResponseMode() oidc.ResponseMode { return a.request.ResponseMode }
func (a *authRequest) GetScopes() []string                { return a.request.Scopes }
func (a *authRequest) GetState() string                   { return a.request.State }
func (a *authRequest) GetSubject() string                 { return a.subject }
func (a *authRequest) Done() bool                         { return a.allowed }
