package discovery

import (
	"errors"
	"fmt"
	"time"

	"github.com/accesstoken/accesstoken/internal/jose"
)

// leeway allows for clock skew when exp and nbf of signed_metadata are checked (RFC 7519
// §4.1.4).
const leeway = 30 * time.Second

// signed returns only the members in the document's signed_metadata (RFC 8414 §2.1).
// Members that are only in the plain document are not signed and are ignored, except
// that a jwks_uri there is an error.
func (s Source) signed(d document) (Metadata, error) {
	text, ok := jose.String(d.signed)
	if !ok {
		return Metadata{}, errors.New("expected a JWT; unsigned metadata is not used, because keys for signed_metadata are configured")
	}
	token, err := jose.Parse(text)
	if err != nil {
		return Metadata{}, err
	}
	if err := s.checkSignature(token); err != nil {
		return Metadata{}, err
	}
	if err := s.checkClaims(token.Payload); err != nil {
		return Metadata{}, err
	}
	signed, err := parse(token.Payload)
	switch {
	case err != nil:
		return Metadata{}, err
	case signed.signed != "": // RFC 8414 §2.1 says that signed_metadata should not be among its own claims
		return Metadata{}, errors.New("expected no signed_metadata among its claims")
	case signed.Issuer != "" && signed.Issuer != s.Issuer:
		return Metadata{}, fmt.Errorf("its issuer is %.200q, but %q is configured", signed.Issuer, s.Issuer)
	case signed.JWKSURI == "" && d.JWKSURI != "":
		return Metadata{}, errors.New("the document has a jwks_uri, but the signed claims have none")
	}
	signed.Issuer = s.Issuer
	return signed.Metadata, nil
}

// checkSignature verifies the signature, which must have a public-key algorithm. RFC 8414
// defines no typ for signed_metadata. So any typ but JWT is refused, because the JWT may
// be of another kind (RFC 8725 §3.11).
func (s Source) checkSignature(token jose.Token) error {
	switch {
	case token.HasType && !token.HasMediaType("jwt"):
		return errors.New("expected its typ to be absent or JWT")
	case !jose.Supported(token.Algorithm):
		return errors.New("expected its alg to be a digital signature algorithm, for example ES256")
	}
	for _, key := range s.SignedBy(token.KeyID, token.Algorithm) {
		if token.Verify(key) == nil {
			return nil
		}
	}
	return errors.New("no trusted key verifies the signature")
}

// checkClaims checks iss, aud, exp and nbf (RFC 7519 §4.1).
func (s Source) checkClaims(payload string) error {
	claims, err := jose.ReadClaims(payload)
	if err != nil {
		return err
	}
	now := time.Now
	if s.Now != nil {
		now = s.Now
	}
	at := now()
	switch {
	case claims.Fault != "":
		return fmt.Errorf("%s (RFC 7519 §4.1)", claims.Fault)
	case claims.Issuer != s.Issuer:
		return fmt.Errorf("its iss is %.200q, but %q is configured", claims.Issuer, s.Issuer)
	case claims.Audience != nil:
		// Metadata has no specific audience. If the JWT has an aud, it is probably a token
		// of the same issuer, signed with the same key (RFC 7519 §4.1.3).
		return errors.New("expected no aud; a JWT with an aud is a token, not metadata")
	case !claims.Expiry.IsZero() && !at.Before(claims.Expiry.Add(leeway)):
		return fmt.Errorf("it expired at %v", claims.Expiry.UTC())
	case at.Add(leeway).Before(claims.NotBefore):
		return fmt.Errorf("it is not valid before %v", claims.NotBefore.UTC())
	}
	return nil
}
