package verify_test

import (
	"testing"

	"github.com/MicahParks/keyfunc/v3"
	"github.com/golang-jwt/jwt/v5"
)

type golangClaims struct {
	jwt.RegisteredClaims
	ClientID string `json:"client_id"`
	Scope    string `json:"scope"`
}

func (c *golangClaims) caller() caller { return caller{c.Subject, c.ClientID, c.Scope} }

// golangJWT is also used by the middleware that has no verifier of its own.
type golangJWT struct {
	keys   keyfunc.Keyfunc
	parser *jwt.Parser
}

func newGolangJWT(tb testing.TB, i *issuer) golangJWT {
	tb.Helper()
	keys, err := keyfunc.NewDefaultCtx(tb.Context(), []string{i.jwksURI})
	must(tb, err)
	return golangJWT{keys, jwt.NewParser(
		jwt.WithValidMethods([]string{i.alg}),
		jwt.WithIssuer(issuerURL),
		jwt.WithAudience(audience),
		jwt.WithExpirationRequired(),
	)}
}

func (g golangJWT) parse(token string) (*jwt.Token, *golangClaims, error) {
	claims := &golangClaims{}
	parsed, err := g.parser.ParseWithClaims(token, claims, g.keys.Keyfunc)
	return parsed, claims, err
}

func openGolangJWT(tb testing.TB, i *issuer) row {
	tb.Helper()
	g := newGolangJWT(tb, i)
	return row{serve: func(token string) (caller, error) {
		_, claims, err := g.parse(token)
		if err != nil {
			return caller{}, err
		}
		return claims.caller(), nil
	}}
}
