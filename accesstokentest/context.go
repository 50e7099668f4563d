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

// NewContext returns a context with the claims of a validated access token in
// it, as a handler sees it behind any adapter: for tests of handlers, without a
// server. [accesstoken.FromContext] finds the claims there.
//
// The defaults are those of [Server.Claims], with the issuer
// "https://login.example.com". They are the claims of a real token, signed and
// validated on the spot, so nothing gets through that no access token could
// have, such as an exp in the past or a sub that is a number: NewContext panics.
// Which issuer and which audience the claims name is for the test to say, and
// client_id, jti and aud may be removed, as some issuers leave them out.
func NewContext(ctx context.Context, claims Claims) context.Context {
	validated, err := validate(ctx, accessTokenClaims("https://login.example.com", claims))
	if err != nil {
		panic(fmt.Sprintf("accesstokentest: NewContext: no access token has these claims: %v", err))
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

// names returns the issuer and the audience that a payload names. What is
// neither a string nor an array of strings it leaves for the validator to refuse.
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

// contextKey is the key of the tokens behind NewContext. Nobody else trusts it.
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

// testKeys mark the claims that they verify as those of a test, which every
// Validator's Check takes for its own.
type testKeys struct{ *jwks.Set }

// ForTests implements carried.TestKeys.
func (testKeys) ForTests(carried.Key) {}

func (k staticKey) sign(payload []byte) string {
	header := []byte(`{"typ":"at+jwt","alg":"EdDSA","kid":"accesstokentest"}`)
	return must(compact(header, payload, func(input string) ([]byte, error) {
		return jwt.SigningMethodEdDSA.Sign(input, k.private)
	}))
}
