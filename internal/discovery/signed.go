package discovery

import (
	"errors"
	"fmt"
	"time"

	"github.com/accesstoken/accesstoken/internal/jose"
)

// leeway is the difference of two clocks that exp and nbf of signed_metadata
// allow for (RFC 7519 §4.1.4).
const leeway = 30 * time.Second

// signed returns what the signed_metadata of a document says (RFC 8414 §2.1),
// and that alone: what is only in the plain document is nobody's word.
func (s Source) signed(d document) (Metadata, error) {
	text, ok := jose.String(d.signed)
	if !ok {
		return Metadata{}, errors.New("expected a JWT; without it nothing of the document is used")
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
	case signed.signed != "": // what would win: the inner or the outer one?
		return Metadata{}, errors.New("expected no signed_metadata among its claims")
	case signed.Issuer != "" && signed.Issuer != s.Issuer:
		return Metadata{}, fmt.Errorf("its issuer is %.200q, configured is %q", signed.Issuer, s.Issuer)
	case signed.JWKSURI == "" && d.JWKSURI != "":
		return Metadata{}, errors.New("the document's jwks_uri is not among its claims")
	}
	signed.Issuer = s.Issuer
	return signed.Metadata, nil
}

// checkSignature demands a public-key algorithm, and a typ that no other kind of
// JWT bears (RFC 8725 §3.11): RFC 8414 gives none to this one.
func (s Source) checkSignature(token jose.Token) error {
	switch {
	case token.HasType && !token.HasMediaType("jwt"):
		return errors.New("expected no typ but JWT")
	case !jose.Supported(token.Algorithm):
		return errors.New("expected the alg of a digital signature")
	}
	for _, key := range s.SignedBy(token.KeyID, token.Algorithm) {
		if token.Verify(key) == nil {
			return nil
		}
	}
	return errors.New("no trusted key verifies the signature")
}

// checkClaims holds iss, aud, exp and nbf against RFC 7519 §4.1.
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
		return fmt.Errorf("expected %q to have the type of RFC 7519", claims.Fault)
	case claims.Issuer != s.Issuer:
		return fmt.Errorf("its iss is %.200q, configured is %q", claims.Issuer, s.Issuer)
	case claims.Audience != nil:
		// Metadata is for everybody. A token of the same issuer, which the same
		// key may have signed, is for somebody else (RFC 7519 §4.1.3).
		return errors.New("expected no aud, as a token has it")
	case !claims.Expiry.IsZero() && !at.Before(claims.Expiry.Add(leeway)):
		return fmt.Errorf("it expired at %v", claims.Expiry.UTC())
	case at.Add(leeway).Before(claims.NotBefore):
		return fmt.Errorf("it is not valid before %v", claims.NotBefore.UTC())
	}
	return nil
}
