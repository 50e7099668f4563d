package differential_test

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"time"

	"github.com/go-jose/go-jose/v4"
	josejwt "github.com/go-jose/go-jose/v4/jwt"
	"github.com/golang-jwt/jwt/v5"
	"github.com/lestrrat-go/jwx/v3/jwk"
	"github.com/lestrrat-go/jwx/v3/jws"
	jwxjwt "github.com/lestrrat-go/jwx/v3/jwt"

	"github.com/accesstoken/accesstoken"
)

// A judge decides whether a token is good, and reads the claims of a good one.
type judge struct {
	name  string
	judge func(token string) (reading, error)
}

// A reading has the claims that all judges return, as one of them reads them.
type reading struct {
	Issuer, Subject, ID string
	Audience            string // %q of the list
	Expiry              int64  // in whole seconds
}

// errPanic is the verdict of a judge that panics.
var errPanic = errors.New("panic")

// ask never panics, whatever the judge does.
func (j *judge) ask(token string) (read reading, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %v", errPanic, p)
		}
	}()
	return j.judge(token)
}

// errTwice is not a verdict: the second answer, which came from the cache, differs from
// the first.
var errTwice = errors.New("the second answer differs from the first")

func judgeWith(v *accesstoken.Validator) func(string) (reading, error) {
	return func(token string) (reading, error) {
		claims, err := v.Validate(context.Background(), accesstoken.Bearer(token))
		if err != nil {
			return reading{}, err
		}
		again, err := v.Validate(context.Background(), accesstoken.Bearer(token))
		if err != nil || readingOf(again) != readingOf(claims) {
			return reading{}, errTwice
		}
		return readingOf(claims), nil
	}
}

func readingOf(claims accesstoken.Claims) reading {
	return reading{
		claims.Issuer, claims.Subject, claims.ID,
		fmt.Sprintf("%q", claims.Audience()), claims.Expiry.Unix(),
	}
}

var errNoExpiry = errors.New("exp is missing")

func newGoJOSE(keys map[string]crypto.Signer) func(string) (reading, error) {
	set := &jose.JSONWebKeySet{}
	for kid, key := range keys {
		set.Keys = append(set.Keys, jose.JSONWebKey{Key: key.Public(), KeyID: kid})
	}
	algorithms := []jose.SignatureAlgorithm{
		jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512,
		jose.ES256, jose.ES384, jose.ES512, jose.EdDSA, "Ed25519",
	}
	expected := josejwt.Expected{Issuer: issuer, AnyAudience: josejwt.Audience{resource}, Time: clock()}
	return func(token string) (reading, error) {
		parsed, err := josejwt.ParseSigned(token, algorithms)
		if err != nil {
			return reading{}, err
		}
		var claims josejwt.Claims
		if err := parsed.Claims(set, &claims); err != nil {
			return reading{}, err
		}
		if claims.Expiry == nil {
			return reading{}, errNoExpiry
		}
		read := reading{claims.Issuer, claims.Subject, claims.ID, fmt.Sprintf("%q", []string(claims.Audience)), claims.Expiry.Time().Unix()}
		return read, claims.ValidateWithLeeway(expected, leeway*time.Second)
	}
}

func newJWX(keys map[string]crypto.Signer) func(string) (reading, error) {
	set := jwk.NewSet()
	for kid, key := range keys {
		imported := must(jwk.Import(key.Public()))
		must(0, imported.Set(jwk.KeyIDKey, kid))
		must(0, set.AddKey(imported))
	}
	options := []jwxjwt.ParseOption{
		jwxjwt.WithKeySet(set, jws.WithInferAlgorithmFromKey(true)),
		jwxjwt.WithIssuer(issuer),
		jwxjwt.WithAudience(resource),
		jwxjwt.WithRequiredClaim("exp"),
		jwxjwt.WithClock(jwxjwt.ClockFunc(clock)),
		jwxjwt.WithAcceptableSkew(leeway * time.Second),
	}
	return func(token string) (reading, error) {
		parsed, err := jwxjwt.ParseString(token, options...)
		if err != nil {
			return reading{}, err
		}
		iss, _ := parsed.Issuer()
		sub, _ := parsed.Subject()
		id, _ := parsed.JwtID()
		audience, _ := parsed.Audience()
		expiry, _ := parsed.Expiration()
		return reading{iss, sub, id, fmt.Sprintf("%q", audience), expiry.Unix()}, nil
	}
}

var errNoKey = errors.New("no key has this kid")

// newGolangJWT is golang-jwt as its README shows it.
func newGolangJWT(keys map[string]crypto.Signer) func(string) (reading, error) {
	find := func(token *jwt.Token) (any, error) {
		kid, _ := token.Header["kid"].(string)
		key, ok := keys[kid]
		if !ok {
			return nil, errNoKey
		}
		return key.Public(), nil
	}
	options := []jwt.ParserOption{
		jwt.WithValidMethods([]string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519"}),
		jwt.WithIssuer(issuer),
		jwt.WithAudience(resource),
		jwt.WithExpirationRequired(),
		jwt.WithIssuedAt(),
		jwt.WithTimeFunc(clock),
		jwt.WithLeeway(leeway * time.Second),
	}
	return func(token string) (reading, error) {
		parsed, err := jwt.Parse(token, find, options...)
		if err != nil {
			return reading{}, err
		}
		sub, err := parsed.Claims.GetSubject()
		if err != nil {
			return reading{}, err
		}
		claims := parsed.Claims.(jwt.MapClaims)
		id, _ := claims["jti"].(string)
		audience, _ := claims.GetAudience()
		expiry, _ := claims.GetExpirationTime()
		iss, _ := claims.GetIssuer()
		return reading{iss, sub, id, fmt.Sprintf("%q", []string(audience)), expiry.Unix()}, nil
	}
}
