package verify_test

import "testing"

// A peer is one way to verify access tokens. All peers check signature, iss, aud and
// exp. Anything else about a peer is in its row of README.md, which is written from
// here.
type peer struct {
	name    string
	modules []string // modules whose versions are printed
	how     string   // how it is set up, and what was added so that it checks the same as the others
	open    func(tb testing.TB, i *issuer) row

	// accepts are the names, in badTokens, of the bad tokens that this peer accepts
	// with this setup.
	accepts []string
}

// A row is a peer that is ready. It was set up as its own documentation recommends, and
// everything that can be prepared beforehand was prepared.
type row struct {
	serve serve

	// remembers says that the row caches tokens.
	remembers bool

	// renew, unless nil, makes the row forget the tokens that it has seen.
	renew func()
}

// serve checks one credential: a token, or an Authorization line with it.
type serve func(credential string) (caller, error)

// A caller is what a handler reads from the claims. Each row decodes them into a Go
// type with iss, sub, aud, exp, iat, jti, client_id and scope, as in
// [accesstoken.Claims]. To return three strings costs the same in every row.
type caller struct{ subject, client, scope string }

// peers verify a bare token.
var peers = []peer{
	{
		name:    "accesstoken-uncached",
		modules: []string{"github.com/accesstoken/accesstoken"},
		how:     "`NewValidator` with `Keys` from `jwks.NewCache`; a new validator for each 1,024 tokens, made while the clock stands still. As middleware: `middleware`, `echoauth` and `grpcauth` with one scope to demand",
		open:    openUncached,
	},
	{
		name:    "accesstoken-cached",
		modules: []string{"github.com/accesstoken/accesstoken"},
		how:     "the same, one validator that has verified the 1,024 tokens before: its defaults",
		open:    openCached,
	},
	{
		name:    "golang-jwt+keyfunc",
		modules: []string{"github.com/golang-jwt/jwt/v5", "github.com/MicahParks/keyfunc/v3"},
		how:     "`keyfunc.NewDefaultCtx`; `NewParser` with `WithValidMethods`, `WithIssuer`, `WithAudience` and `WithExpirationRequired`; claims that embed `RegisteredClaims`",
		open:    openGolangJWT,
		accepts: []string{typeOfIDToken, criticalHeader},
	},
	{
		name:    "jwx-v3",
		modules: []string{"github.com/lestrrat-go/jwx/v3"},
		how:     "`jwk.NewCache` and its `CachedSet`; `jwt.ParseString` with `WithKeySet`, `WithIssuer`, `WithAudience` and `WithRequiredClaim(\"exp\")`, all made once; private claims by `Get`. Which algorithms are accepted, the keys say. Who needs speed is advised by its documentation to use `jws.Verify` and a struct, and then checks the claims himself",
		open:    openJWX,
		accepts: []string{typeOfIDToken, criticalHeader},
	},
	{
		name:    "go-oidc",
		modules: []string{"github.com/coreos/go-oidc/v3", "github.com/go-jose/go-jose/v4"},
		how:     "`NewRemoteKeySet`; `NewVerifier` with `ClientID` and `SupportedSigningAlgs`; `IDToken.Claims` for the rest. It is made for ID tokens",
		open:    openOIDC,
		accepts: []string{typeOfIDToken},
	},
	{
		name:    "auth0-v3",
		modules: []string{"github.com/auth0/go-jwt-middleware/v3", "github.com/lestrrat-go/jwx/v3"},
		how:     "`jwks.NewCachingProvider` (15 minutes, the default); `validator.New` with `WithCustomClaims`. As middleware: `New` with `WithValidator`, and a look at the scope in the handler",
		open:    openAuth0v3,
		accepts: []string{typeOfIDToken, criticalHeader, withoutExpiry},
	},
	{
		name:    "auth0-v2",
		modules: []string{"github.com/auth0/go-jwt-middleware/v2", "gopkg.in/go-jose/go-jose.v2"},
		how:     "`jwks.NewCachingProvider` with 5 minutes; `validator.New` with `WithCustomClaims`. As middleware: `New`, and a look at the scope in the handler",
		open:    openAuth0v2,
		accepts: []string{typeOfIDToken, withoutExpiry},
	},
	{
		name:    "zitadel",
		modules: []string{"github.com/zitadel/oidc/v3", "github.com/go-jose/go-jose/v4"},
		how:     "`rp.NewRemoteKeySet`; `op.VerifyAccessToken` with a type that embeds `oidc.TokenClaims`. That checks no aud, so `oidc.CheckAudience` comes after it",
		open:    openZitadel,
		accepts: []string{typeOfIDToken, notYetValid},
	},
	{
		name:    "go-jose",
		modules: []string{"github.com/go-jose/go-jose/v4"},
		how:     "`jwt.ParseSigned`, `Claims` with a `JSONWebKeySet` into a struct that embeds `jwt.Claims`, `Validate`. It fetches no keys: they are read once and stay",
		open:    openJose,
		accepts: []string{typeOfIDToken, withoutExpiry},
	},
	{
		name:    "cap",
		modules: []string{"github.com/hashicorp/cap", "github.com/coreos/go-oidc/v3", "github.com/go-jose/go-jose/v4"},
		how:     "`jwt.NewJSONWebKeySet`; `NewValidator` and its `Validate` with `Expected`. It hands over a map, from which the claims are read",
		open:    openCap,
		accepts: []string{typeOfIDToken, withoutExpiry},
	},
}
