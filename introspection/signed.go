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

// A KeySource holds the public keys of the authorization server's signed answers. It
// must be safe for concurrent use.
//
// Keys returns the keys that may verify a signature with this kid ("" if the header has
// none) and this alg. If there are more than four, only the first four are tried. Keys
// must return when ctx ends. An error means that the source could not find out; an empty
// result means that no such key exists. In both cases nothing is known of the token. The
// generation is not used.
type KeySource interface {
	Keys(ctx context.Context, kid, alg string) (keys []crypto.PublicKey, generation uint64, err error)
}

// The type of a signed answer, as typ and as media type (RFC 9701 §4, §5).
const (
	signedType      = "token-introspection+jwt"
	signedMediaType = "application/" + signedType
)

const (
	// maxAge bounds an answer's age by its iat. A server makes an answer when it is
	// asked, so an older answer was made for an earlier request and may be outdated.
	maxAge = 3 * time.Minute

	// leeway is how far an answer's iat and nbf can be in the future, and its exp in the
	// past, because clocks differ (RFC 7519 §4.1.4).
	leeway = 30 * time.Second

	// maxAttempts bounds how many keys are tried on one answer's signature.
	maxAttempts = 4
)

// An answerVerifier verifies that a signed answer is from the authorization server and
// for this client (RFC 9701 §5).
type answerVerifier struct {
	keys       KeySource
	algorithms []string
	issuer     string
	audience   string // this client's ClientID
}

// verifier returns nil if answers are plain JSON.
func (c Config) verifier() *answerVerifier {
	if c.Keys == nil {
		return nil
	}
	algorithms := slices.Clone(c.Algorithms)
	if algorithms == nil {
		algorithms = jose.DefaultAlgorithms()
	}
	return &answerVerifier{keys: c.Keys, algorithms: algorithms, issuer: c.Issuer, audience: c.ClientID}
}

// accept returns the media type that the client requests (RFC 7662 §2.2, RFC 9701 §4).
func (c *Client) accept() string {
	if c.verifier != nil {
		return signedMediaType
	}
	return "application/json"
}

// checkKeys checks Keys and the settings that it needs. It detects a nil pointer, for
// example the result of a failed jwks.NewCache. If the source has a method Err, the
// faults that it returns are added.
func (c Config) checkKeys() (faults []error) {
	if c.Keys == nil && c.Algorithms != nil {
		return []error{errors.New("introspection: Algorithms is for signed answers only; set Keys as well")}
	}
	if c.Keys == nil {
		return nil
	}
	if c.Algorithms != nil && len(c.Algorithms) == 0 {
		faults = append(faults, errors.New("introspection: Algorithms is empty, so every signed answer would be rejected; leave it nil, or list at least one"))
	}
	for _, algorithm := range c.Algorithms {
		if !jose.Supported(algorithm) {
			faults = append(faults, fmt.Errorf("introspection: Algorithms has %q, which is not supported; use the alg of a digital signature (RFC 7518 §3.1)", algorithm))
		}
	}
	if c.Issuer == "" {
		faults = append(faults, errors.New("introspection: Issuer is empty; Keys needs it, because the iss of signed answers is checked (RFC 9701 §5)"))
	}
	if c.ClientID == "" {
		faults = append(faults, errors.New("introspection: ClientID is empty; Keys needs it, because the aud of signed answers is checked (RFC 9701 §5)"))
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

// verify returns the token_introspection of an answer whose signature and claims are
// valid. Other members of the JWT are not about the token (RFC 9701 §5) and are ignored,
// even if their names suggest it.
func (v *answerVerifier) verify(ctx context.Context, answer fetch.Response, now time.Time) ([]byte, error) {
	if mediaType, _, err := mime.ParseMediaType(answer.Header.Get("Content-Type")); err != nil || mediaType != signedMediaType {
		return nil, errors.New("the answer's Content-Type is not " + signedMediaType)
	}
	token, err := jose.Parse(string(answer.Body))
	switch {
	case errors.Is(err, jose.ErrNotJWT):
		return nil, errors.New("the answer is not a signed JWT; encrypted ones are not supported")
	case err != nil:
		return nil, fmt.Errorf("the signed answer: %w", err)
	}
	if err := v.checkSignature(ctx, token); err != nil {
		return nil, fmt.Errorf("the signed answer: %w", err)
	}
	if err := v.checkClaims(token.Payload, now); err != nil {
		return nil, fmt.Errorf("the signed answer: %w", err)
	}
	answered, err := tokenIntrospection(token.Payload)
	return []byte(answered), err
}

// checkSignature verifies the signature, and requires the typ that no other kind of JWT
// has (RFC 8725 §3.11). Otherwise, for example, an access token that the same key signed
// could pass as an answer. HMAC is not accepted, because a key source has no shared
// secrets.
func (v *answerVerifier) checkSignature(ctx context.Context, token jose.Token) error {
	switch {
	case !token.HasMediaType(signedType):
		return errors.New("expected the typ " + signedType)
	case !jose.Supported(token.Algorithm):
		return errors.New("expected the alg of a digital signature")
	case !slices.Contains(v.algorithms, token.Algorithm):
		return errors.New("expected an alg that is in Algorithms")
	case !token.HasPossibleSignature():
		return jose.ErrSignature
	}
	keys, _, err := v.keys.Keys(ctx, token.KeyID, token.Algorithm)
	switch {
	case ctx.Err() != nil: // ctx is the context of the call: its error must not pass for an error of the caller's context
		return errors.New("the key source did not return in time")
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

// checkClaims checks iss, aud and iat (RFC 9701 §5), and exp and nbf if they are present
// (RFC 7519 §4.1).
func (v *answerVerifier) checkClaims(payload string, now time.Time) error {
	claims, err := jose.ReadClaims(payload)
	if err != nil {
		return err
	}
	switch {
	case claims.Fault != "":
		return fmt.Errorf("%s (RFC 7519 §4.1)", claims.Fault)
	case claims.Issuer != v.issuer:
		return fmt.Errorf("expected its iss to be %q", v.issuer)
	case !slices.Contains(claims.Audience, v.audience):
		return errors.New("expected its aud to contain ClientID")
	case claims.IssuedAt.IsZero():
		return errors.New("it has no iat")
	case now.Sub(claims.IssuedAt) > maxAge:
		return fmt.Errorf("its iat is %v, more than %v ago", claims.IssuedAt.UTC(), maxAge)
	case now.Add(leeway).Before(claims.IssuedAt):
		return fmt.Errorf("its iat is %v, which is in the future", claims.IssuedAt.UTC())
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

// A keysError has the text of a KeySource's error. It does not wrap that error: if it
// matched a context's error or an error of this package, callers would misread it.
type keysError struct {
	text  string
	after time.Duration
}

func (e *keysError) Error() string { return "the key source failed: " + e.text }

// RetryAfter returns how long to wait before the source may have the keys.
func (e *keysError) RetryAfter() time.Duration { return e.after }
