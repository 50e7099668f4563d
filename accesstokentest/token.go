package accesstokentest

import (
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/accesstoken/accesstoken/dialect"
)

// Claims are the claims of a token, by their names on the wire. A value can be
// anything that [encoding/json] can encode. A date is a number of seconds, for
// example time.Now().Unix(). If a method has defaults, a claim replaces the
// default of its name and nil removes it.
type Claims map[string]any

// Token returns a JWT access token (RFC 9068) that is genuinely signed with RS256,
// and valid unless the given claims make it invalid:
//
//	{"typ": "at+jwt", "alg": "RS256", "kid": ...}
//
// The payload is s.Claims(claims). The token is also registered at the
// introspection endpoint, with the same claims.
func (s *Server) Token(claims Claims) string {
	claims = s.Claims(claims)
	token := s.Sign(map[string]any{"typ": "at+jwt"}, claims)
	s.remember(token, override(Claims{"active": true, "token_type": "Bearer"}, claims))
	return token
}

// TokenOf returns a token as an issuer makes it that has this Dialect, or the
// [accesstoken.Profile] whose Dialect method returned it. For example:
//
//	as.TokenOf(accesstoken.Okta.Dialect(), accesstokentest.Claims{"scope": "orders:read"})
//
// A Validator with that Profile or Dialect accepts the token. The claims and their
// defaults are those of [Server.Token], under their names in RFC 9068: TokenOf puts
// client_id, scope, jti, groups, roles and entitlements where the issuer has them, and
// adds what Kind demands. Claims in Optional, except sub, are left out unless you give
// them. If the issuer names a tenant, it is "11111111-2222-3333-4444-555555555555"; list
// it in Issuer.Tenants. If Issuer.Demand is set, give the claims that it lists. A claim
// that you give under the issuer's own name, such as azp, is signed as it is, so you can
// make tokens that are wrong.
//
// The token is also registered at the introspection endpoint, with the same claims and
// with scope as you give it.
func (s *Server) TokenOf(d *dialect.Dialect, claims Claims) string {
	if d == nil {
		s.fatalf("accesstokentest: TokenOf: the Dialect is nil; Profile.Dialect returns that of a profile")
	}
	typ, whole, err := d.Spec().Specimen(s.Claims(nil), claims)
	if err != nil {
		s.fatalf("accesstokentest: TokenOf: the Dialect has faults: %v", err)
	}
	header := map[string]any{"typ": typ}
	if typ == "" {
		header = nil
	}
	token := s.Sign(header, whole)
	answer := override(Claims{"active": true, "token_type": "Bearer"}, whole)
	if scope, isText := claims["scope"].(string); isText {
		answer["scope"] = scope // RFC 7662 §2.2
	}
	s.remember(token, answer)
	return token
}

// Claims returns the claims that [Server.Token] signs: the given claims over
// these defaults:
//
//	iss        the server's URL
//	sub        "alice"
//	aud        "https://api.example.com"
//	client_id  "client"
//	iat        now
//	exp        in five minutes
//	jti        unique
//
// There is no scope unless you give one.
func (s *Server) Claims(claims Claims) Claims {
	return accessTokenClaims(s.URL, claims)
}

// Sign signs exactly these claims and this header, with two defaults in the
// header: if not given, alg is RS256 and kid is the ID of the signing key. A nil
// header member is removed; a nil claim becomes null. The signature is genuine,
// made with the current key for alg, so you can make tokens with exactly one
// fault. For example:
//
//	as.Sign(map[string]any{"typ": "JWT"}, as.Claims(nil))                      // the wrong type
//	as.Sign(map[string]any{"typ": "at+jwt", "kid": other.KeyID("RS256")}, ...) // the kid of a different server
//	as.Sign(map[string]any{"typ": "at+jwt", "alg": "ES256"}, as.Claims(nil))   // a valid token
//
// The algorithms are those of [Server.Keys] and those that [Server.SignRaw] adds.
// If alg is removed or not a string, the token is signed with RS256.
func (s *Server) Sign(header, claims map[string]any) string {
	alg, ok := override(Claims{"alg": defaultAlgorithm}, header)["alg"].(string)
	if !ok {
		alg = defaultAlgorithm
	}
	if claims == nil {
		claims = Claims{}
	}
	key := s.signingKey(alg)
	header = override(Claims{"alg": alg, "kid": key.kid}, header)
	return s.sign(key, alg, s.marshal("header", header), s.marshal("claims", claims))
}

// SignRaw signs any bytes as header and payload, with the current key for alg.
// The header is not read, so you can make tokens that are not JSON, contain a
// member twice or contradict themselves. If the header needs a kid, get it from
// [Server.KeyID].
//
// SignRaw also has algorithms that a resource server must refuse. With "none" the
// signature is empty. HS256, HS384 and HS512 use the RSA public key in PEM as
// their secret, as in an algorithm confusion attack (RFC 8725 §2.1). For these
// four, KeyID returns the kid of RS256.
func (s *Server) SignRaw(alg string, header, payload []byte) string {
	return s.sign(s.signingKey(alg), alg, header, payload)
}

func (s *Server) sign(key key, alg string, header, payload []byte) string {
	token, err := compact(header, payload, func(input string) ([]byte, error) {
		switch alg {
		case "none":
			return nil, nil
		case "HS256", "HS384", "HS512":
			return jwt.GetSigningMethod(alg).Sign(input, key.pem())
		default:
			return key.method.Sign(input, key.private)
		}
	})
	if err != nil {
		s.fatalf("accesstokentest: signing with %s failed: %v", alg, err)
	}
	return token
}

// pem returns the public key in PEM, the form in which public keys are usually
// distributed.
func (k key) pem() []byte {
	der := must(x509.MarshalPKIXPublicKey(k.private.Public()))
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

// accessTokenClaims returns the claims that RFC 9068 §2.2 requires, overridden by
// claims.
func accessTokenClaims(issuer string, claims Claims) Claims {
	now := time.Now()
	return override(Claims{
		"iss":       issuer,
		"sub":       "alice",
		"aud":       "https://api.example.com",
		"client_id": "client",
		"iat":       now.Unix(),
		"exp":       now.Add(5 * time.Minute).Unix(),
		"jti":       rand.Text(),
	}, claims)
}
