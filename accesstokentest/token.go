package accesstokentest

import (
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// Claims are the claims of a token, by their names on the wire. Values are
// whatever [encoding/json] writes; a date is a number of seconds, such as
// time.Now().Unix(). Where a method has defaults, a claim replaces the default
// and nil removes it.
type Claims map[string]any

// Token returns a valid JWT access token (RFC 9068), signed with RS256:
//
//	{"typ": "at+jwt", "alg": "RS256", "kid": ...}
//
// over s.Claims(claims). The introspection endpoint knows it too, with the same
// claims.
func (s *Server) Token(claims Claims) string {
	claims = s.Claims(claims)
	token := s.Sign(map[string]any{"typ": "at+jwt"}, claims)
	s.remember(token, override(Claims{"active": true, "token_type": "Bearer"}, claims))
	return token
}

// Claims returns what [Server.Token] signs when it is given claims. The
// defaults:
//
//	iss        the server's URL
//	sub        "alice"
//	aud        "https://api.example.com"
//	client_id  "client"
//	iat        now
//	exp        in five minutes
//	jti        unique
//
// There is no scope unless one is given.
func (s *Server) Claims(claims Claims) Claims {
	return accessTokenClaims(s.URL, claims)
}

// Sign signs exactly these claims under exactly this header, but for two
// members of the header: alg is RS256 and kid is the ID of the key, unless
// given. A nil in the header removes a member, a nil claim is null. The signature
// is genuine and made by the current key for alg, so that a token may be wrong in
// one thing only:
//
//	as.Sign(map[string]any{"typ": "JWT"}, as.Claims(nil))                      // the wrong type
//	as.Sign(map[string]any{"typ": "at+jwt", "kid": other.KeyID("RS256")}, ...) // signed by a stranger
//	as.Sign(map[string]any{"typ": "at+jwt", "alg": "ES256"}, as.Claims(nil))   // nothing wrong at all
//
// The algorithms are those of [Server.Keys] and those that [Server.SignRaw] adds.
// Without alg the signature is RS256's.
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

// SignRaw signs any bytes as header and payload, with the current key for alg
// whatever the header says: for what is no JSON, has a member twice or
// contradicts itself. [Server.KeyID] tells the kid that such a header needs.
//
// It has algorithms that a resource server must refuse: "none" leaves the
// signature empty, and HS256, HS384 and HS512 use the RSA public key in PEM as the
// secret, as an attacker does who hopes that the two are confused (RFC 8725 §2.1).
// The kid of these is that of RS256.
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
		s.fatalf("accesstokentest: %s does not sign: %v", alg, err)
	}
	return token
}

// pem returns the public key as the text file that is handed around.
func (k key) pem() []byte {
	der := must(x509.MarshalPKIXPublicKey(k.private.Public()))
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

// accessTokenClaims returns the claims that RFC 9068 §2.2 requires, with claims
// laid over them.
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
