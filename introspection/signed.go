package introspection

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"mime"
	"reflect"
	"slices"
	"time"

	"github.com/accesstoken/accesstoken/internal/fetch"
	"github.com/accesstoken/accesstoken/internal/jose"
)

// A KeySource holds the keys under which an authorization server signs its
// answers. It must be safe for concurrent use.
//
// Keys returns the public keys that may verify a signature with this kid (""
// when the header has none) and this alg; of more than four, the first four are
// tried. It has to return when ctx ends. An error means that the source could not
// find out, and no keys that there is none: either way nothing is known of the
// token. The generation is not used.
type KeySource interface {
	Keys(ctx context.Context, kid, alg string) (keys []crypto.PublicKey, generation uint64, err error)
}

// The type of a signed answer, as typ and as media type (RFC 9701 §4, §5).
const (
	signedType      = "token-introspection+jwt"
	signedMediaType = "application/" + signedType
)

const (
	// maxAge bounds what iat says of an answer's age. An answer is made when it
	// is asked for; an older one was somebody's before, and may not be true any
	// more.
	maxAge = 3 * time.Minute

	// leeway is the difference of two clocks that iat, exp and nbf of an answer
	// allow for (RFC 7519 §4.1.4).
	leeway = 30 * time.Second

	// maxAttempts bounds the signatures that one answer may cost.
	maxAttempts = 4
)

// A seal is what makes an answer the authorization server's word to us (RFC
// 9701 §5).
type seal struct {
	keys       KeySource
	algorithms []string // nil: any that is supported
	issuer     string
	audience   string // our ClientID
}

// seal returns nil when answers are plain JSON.
func (c Config) seal() *seal {
	if c.Keys == nil {
		return nil
	}
	return &seal{keys: c.Keys, algorithms: slices.Clone(c.Algorithms), issuer: c.Issuer, audience: c.ClientID}
}

// accept is the media type of the answers that are read (RFC 7662 §2.2, RFC 9701
// §4).
func (c *Client) accept() string {
	if c.seal != nil {
		return signedMediaType
	}
	return "application/json"
}

// checkKeys finds a source that is none, such as the nil of a failed
// jwks.NewCache, and asks one that knows its own faults.
func (c Config) checkKeys() (faults []error) {
	if c.Keys == nil && c.Algorithms != nil {
		return []error{errors.New("introspection: Algorithms is for signed answers; set Keys as well")}
	}
	if c.Keys == nil {
		return nil
	}
	if c.Algorithms != nil && len(c.Algorithms) == 0 {
		faults = append(faults, errors.New("introspection: Algorithms is empty, so that no signed answer can be accepted; leave it nil, or name some"))
	}
	for _, algorithm := range c.Algorithms {
		if !jose.Supported(algorithm) {
			faults = append(faults, fmt.Errorf("introspection: Algorithms has %q, which is not supported; use the alg of a digital signature (RFC 7518 §3.1)", algorithm))
		}
	}
	if c.Issuer == "" {
		faults = append(faults, errors.New("introspection: Keys is set, and Issuer is empty; a signed answer has to be by somebody (RFC 9701 §5)"))
	}
	if c.ClientID == "" {
		faults = append(faults, errors.New("introspection: Keys is set, and ClientID is empty; a signed answer has to be for somebody (RFC 9701 §5)"))
	}
	if value := reflect.ValueOf(c.Keys); value.Kind() == reflect.Pointer && value.IsNil() {
		return append(faults, fmt.Errorf("introspection: Keys: the %T is nil; did its constructor fail?", c.Keys))
	}
	checked, ok := c.Keys.(interface{ Err() error })
	if !ok || checked.Err() == nil {
		return faults
	}
	several := []error{checked.Err()}
	if joined, ok := checked.Err().(interface{ Unwrap() []error }); ok {
		several = joined.Unwrap() // a line for each
	}
	for _, fault := range several {
		faults = append(faults, fmt.Errorf("introspection: Keys: %w", fault))
	}
	return faults
}

// open returns the token_introspection of a signed answer, and nothing that
// nobody signed. What is beside it in the JWT is not about the token (RFC 9701
// §5), whatever it is called.
func (s *seal) open(ctx context.Context, answer fetch.Response, now time.Time) ([]byte, error) {
	if mediaType, _, err := mime.ParseMediaType(answer.Header.Get("Content-Type")); err != nil || mediaType != signedMediaType {
		return nil, errors.New("the answer is not " + signedMediaType + " by its Content-Type")
	}
	token, err := jose.Parse(string(answer.Body))
	switch {
	case errors.Is(err, jose.ErrNotJWT):
		return nil, errors.New("expected a signed JWT; an encrypted one is not supported")
	case err != nil:
		return nil, fmt.Errorf("the signed answer: %w", err)
	}
	if err := s.checkSignature(ctx, token); err != nil {
		return nil, fmt.Errorf("the signed answer: %w", err)
	}
	if err := s.checkClaims(token.Payload, now); err != nil {
		return nil, fmt.Errorf("the signed answer: %w", err)
	}
	answered, err := tokenIntrospection(token.Payload)
	return []byte(answered), err
}

// checkSignature demands the typ that no other kind of JWT bears (RFC 8725
// §3.11): an access token of the same issuer, which the same key may have
// signed, is no answer. A shared secret (HMAC) is no key of a key source.
func (s *seal) checkSignature(ctx context.Context, token jose.Token) error {
	switch {
	case !token.HasMediaType(signedType):
		return errors.New("expected the typ " + signedType)
	case !jose.Supported(token.Algorithm):
		return errors.New("expected the alg of a digital signature")
	case s.algorithms != nil && !slices.Contains(s.algorithms, token.Algorithm):
		return errors.New("expected an alg that is in Algorithms")
	case !token.HasPossibleSignature():
		return jose.ErrSignature
	}
	keys, _, err := s.keys.Keys(ctx, token.KeyID, token.Algorithm)
	switch {
	case ctx.Err() != nil: // the call's own, which is not the caller's to see
		return errors.New("its keys did not come in time")
	case err != nil:
		return &keysError{err.Error(), retryAfter(err)}
	}
	for _, key := range keys[:min(len(keys), maxAttempts)] {
		if token.Verify(key) == nil {
			return nil
		}
	}
	return errors.New("no key of the issuer verifies the signature")
}

// checkClaims holds iss, aud and iat against RFC 9701 §5, and exp and nbf, which
// need not be there, against RFC 7519 §4.1.
func (s *seal) checkClaims(payload string, now time.Time) error {
	claims, err := jose.ReadClaims(payload)
	if err != nil {
		return err
	}
	switch {
	case claims.Fault != "":
		return fmt.Errorf("%s (RFC 7519 §4.1)", claims.Fault)
	case claims.Issuer != s.issuer:
		return fmt.Errorf("expected its iss to be %q", s.issuer)
	case !slices.Contains(claims.Audience, s.audience):
		return errors.New("expected its aud to name our ClientID")
	case claims.IssuedAt.IsZero():
		return errors.New("expected an iat")
	case now.Sub(claims.IssuedAt) > maxAge:
		return fmt.Errorf("it is from %v, more than %v ago", claims.IssuedAt.UTC(), maxAge)
	case now.Add(leeway).Before(claims.IssuedAt):
		return fmt.Errorf("it is from %v, which is still to come", claims.IssuedAt.UTC())
	case !claims.Expiry.IsZero() && !now.Before(claims.Expiry.Add(leeway)):
		return fmt.Errorf("it expired at %v", claims.Expiry.UTC())
	case now.Add(leeway).Before(claims.NotBefore):
		return fmt.Errorf("it is not valid before %v", claims.NotBefore.UTC())
	}
	return nil
}

// tokenIntrospection returns the member that holds the answer of RFC 7662.
func tokenIntrospection(payload string) (answer string, err error) {
	err = jose.Object(payload, func(name, value string) error {
		if name == "token_introspection" {
			answer = value
		}
		return nil
	})
	if err == nil && answer == "" {
		err = errors.New("the signed answer has no token_introspection")
	}
	return answer, err
}

// A keysError is what a KeySource failed with. It does not wrap that: an error
// of ours, or of a context, is not the endpoint's word.
type keysError struct {
	text  string
	after time.Duration
}

func (e *keysError) Error() string { return "its keys: " + e.text }

// RetryAfter returns when the source may know more.
func (e *keysError) RetryAfter() time.Duration { return e.after }
