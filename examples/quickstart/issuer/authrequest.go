package issuer

import (
	"time"

	"github.com/zitadel/oidc/v3/pkg/oidc"
)

// An authRequest is one authorization request on its way from the client
// through login and consent to the token endpoint.
type authRequest struct {
	id       string
	request  oidc.AuthRequest
	resource string // RFC 8707: which resource server the token will be for
	backdate bool

	// Set by the resource owner.
	subject  string
	authTime time.Time
	allowed  bool

	// audience is that of the token op makes next: op asks twice, first for the
	// access token, then for the ID token, and those two are for different readers.
	audience []string
}

func (a *authRequest) GetID() string          { return a.id }
func (a *authRequest) GetACR() string         { return "" }
func (a *authRequest) GetAMR() []string       { return []string{"pwd"} }
func (a *authRequest) GetAudience() []string  { return a.audience }
func (a *authRequest) GetAuthTime() time.Time { return a.authTime }
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
