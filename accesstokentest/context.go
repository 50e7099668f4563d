package accesstokentest

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/MicahParks/jwkset"
	"github.com/golang-jwt/jwt/v5"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/internal/carried"
	"github.com/accesstoken/accesstoken/jwks"
)

// NewContext returns a context that holds the claims of a validated access
// token, as handlers get it from every adapter. With it you can test a handler
// without a server. [accesstoken.FromContext] returns the claims.
//
// The defaults are those of [Server.Claims], with the issuer
// "https://login.example.com". NewContext signs a real token with the claims and
// validates it. If no valid access token can have these claims, it panics: for
// example, if exp is in the past or sub is a number. You can set any issuer and
// any audience, and you can remove client_id, jti and aud, because some issuers
// leave them out.
func NewContext(ctx context.Context, claims Claims) context.Context {
	validated, err := validate(ctx, accessTokenClaims("https://login.example.com", claims))
	if err != nil {
		panic(fmt.Sprintf("accesstokentest: NewContext: no valid access token can have these claims: %v", err))
	}
	return accesstoken.NewContext(ctx, validated)
}

// validate signs the claims and validates the token for the issuer and the
// audience that it names.
func validate(ctx context.Context, claims Claims) (accesstoken.Claims, error) {
	payload, err := json.Marshal(claims)
	if err != nil {
		return accesstoken.Claims{}, err
	}
	issuer, audience := names(payload)
	if issuer == "" {
		return accesstoken.Claims{}, errors.New("iss is missing or not a string")
	}
	v, err := accesstoken.NewValidator(accesstoken.Config{
		Resource: "accesstokentest",
		Audience: audience,
		Issuers: []accesstoken.Issuer{{
			URL:                         issuer,
			Keys:                        contextKey().source,
			Relax:                       accesstoken.Relax{JTI: true, ClientID: true, ScopeArray: true},
			DangerouslyAcceptNoAudience: true,
		}},
		Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return accesstoken.Claims{}, err
	}
	defer v.Close()
	return v.Validate(context.WithoutCancel(ctx), accesstoken.Bearer(contextKey().sign(payload)))
}

// names returns the issuer and the audience in a payload. It skips values of a
// wrong type, which the validator then refuses.
func names(payload []byte) (issuer string, audience []string) {
	var claims map[string]any
	_ = json.Unmarshal(payload, &claims)
	issuer, _ = claims["iss"].(string)
	switch aud := claims["aud"].(type) {
	case string:
		audience = []string{aud}
	case []any:
		for _, a := range aud {
			if name, ok := a.(string); ok {
				audience = append(audience, name)
			}
		}
	}
	return issuer, audience
}

// contextKey signs the tokens that NewContext makes. Only the validator in
// validate trusts it.
var contextKey = sync.OnceValue(func() staticKey {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	metadata := jwkset.JWKMetadataOptions{KID: "accesstokentest", ALG: jwkset.AlgEdDSA, USE: jwkset.UseSig}
	jwk := must(jwkset.NewJWKFromKey(must(public, err), jwkset.JWKOptions{Metadata: metadata}))
	return staticKey{private, testKeys{jwks.Static(jwk)}}
})

type staticKey struct {
	private ed25519.PrivateKey
	source  accesstoken.KeySource
}

// testKeys mark the claims of the tokens that they verify as claims of a test.
// The Check of every Validator accepts these claims as if that Validator had
// verified them.
type testKeys struct{ *jwks.Set }

// ForTests implements carried.TestKeys.
func (testKeys) ForTests(carried.Key) {}

func (k staticKey) sign(payload []byte) string {
	header := []byte(`{"typ":"at+jwt","alg":"EdDSA","kid":"accesstokentest"}`)
	return must(compact(header, payload, func(input string) ([]byte, error) {
		return jwt.SigningMethodEdDSA.Sign(input, k.private)
	}))
}
