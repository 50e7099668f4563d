package accesstoken

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/accesstoken/accesstoken/internal/carried"
	"github.com/accesstoken/accesstoken/internal/fetch"
	"github.com/accesstoken/accesstoken/internal/jose"
	"github.com/accesstoken/accesstoken/jwks"
)

// An issuer is a configured [Issuer] in use, or one of its tenants. It shares
// nothing with those of another Issuer.
type issuer struct {
	settings   Issuer
	owner      *Validator
	url        string
	aliases    []string // other spellings of iss
	tenants    []string // nil if tid is not checked
	rules      rules
	algorithms []string
	audience   []string
	keys       KeySource
	owned      *jwks.Cache // the same, if it was made here
	leeway     time.Duration
	hierarchy  hierarchy
	warnings   warnings
	verified   atomic.Bool // a token of this issuer was verified once
}

// isOf reports whether a Validator accepts claims of this issuer. Every Validator
// accepts those of accesstokentest.NewContext.
func (i *issuer) isOf(v *Validator) bool {
	_, isTest := i.settings.Keys.(carried.TestKeys)
	return i.owner == v || isTest
}

// newIssuers makes the issuers of one Issuer, one for each iss of its tokens.
func newIssuers(config Config, settings Issuer, implied hierarchy, logger *slog.Logger) ([]*issuer, error) {
	logger = logger.With("name", settings.label())
	keys, owned, err := keySource(config, settings, logger)
	if err != nil {
		return nil, err
	}
	settings.warn(logger)
	var all []*issuer
	for _, id := range settings.identities() {
		all = append(all, &issuer{
			settings:   settings,
			url:        id.url,
			aliases:    id.aliases,
			tenants:    id.tenants,
			rules:      settings.rules(),
			algorithms: firstSet(settings.Algorithms, config.algorithms()),
			audience:   firstSet(settings.Audience, config.Audience, []string{config.Resource}),
			keys:       settings.keysOf(id, keys),
			owned:      owned,
			leeway:     config.leeway(),
			hierarchy:  implied,
			warnings:   warnings{logger: logger, issuer: id.url},
		})
	}
	return all, nil
}

// keySource returns the source of the keys and, if it was made here, the cache.
func keySource(config Config, settings Issuer, logger *slog.Logger) (KeySource, *jwks.Cache, error) {
	if settings.Keys != nil {
		return settings.Keys, nil, nil
	}
	cache, err := jwks.NewCache(jwks.Config{
		URL:                  settings.JWKSURI,
		Issuer:               settings.URL,
		MetadataURL:          settings.MetadataURL,
		HTTPClient:           cmp.Or(settings.HTTPClient, config.HTTPClient),
		PublicAddressesOnly:  config.PublicAddressesOnly,
		Logger:               logger,
		DangerouslyAllowHTTP: settings.DangerouslyAllowHTTP,
	})
	return cache, cache, err
}

func firstSet(lists ...[]string) []string {
	for _, list := range lists {
		if list != nil {
			return list
		}
	}
	return nil
}

// checkClient requires a client of the list, if there is a list.
func (i *issuer) checkClient(id string) error {
	if i.settings.Clients == nil || slices.Contains(i.settings.Clients, id) {
		return nil
	}
	return i.warned(refusal(ClaimInvalid, strings.Join(i.rules.clientClaims(), " or ")+" is not among Clients"),
		"if the client may call this resource server, add it to Clients")
}

// An IssuerError says why one issuer cannot be used. [Validator.Warm] and
// [Validator.Ready] join one for each such issuer, in the order of Config.Issuers.
// [errors.As] finds the first, and Unwrap() []error of the joined error returns all.
type IssuerError struct {
	_ [0]func()

	// Issuer is the URL of the [Issuer], as it was configured.
	Issuer string

	// Err is what went wrong.
	Err error
}

// Error names the issuer and what went wrong.
func (e *IssuerError) Error() string {
	return fmt.Sprintf("issuer %q: %v", fetch.Redact(e.Issuer), e.Err)
}

// Unwrap returns Err.
func (e *IssuerError) Unwrap() error { return e.Err }

// warm fetches the keys. If tokens can be introspected instead, missing keys are not
// an error. If the context has ended, no fetch begins.
func (i *issuer) warm(ctx context.Context) error {
	source, ok := i.keys.(interface{ Warm(context.Context) error })
	switch {
	case !ok:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	}
	if err := source.Warm(ctx); err != nil && (i.needsKeys() || ctx.Err() != nil) {
		return err
	}
	return nil
}

// needsKeys is false if the issuer's tokens are introspected without a signature.
func (i *issuer) needsKeys() bool {
	return i.settings.Introspection == nil || i.settings.AlwaysIntrospect
}

// ready asks the source for an error even if ReadyWithout ignores it, because asking
// starts the fetch of missing keys.
func (i *issuer) ready() error {
	source, ok := i.keys.(interface{ Ready() error })
	if !ok || !i.needsKeys() {
		return nil
	}
	if err := source.Ready(); err != nil && !i.settings.ReadyWithout {
		return err
	}
	return nil
}

func (i *issuer) close() error {
	if i.owned == nil {
		return nil
	}
	return i.owned.Close()
}

// checkJWT checks a verified token by the profile and the lists, and returns its
// claims in the terms of RFC 9068. If the issuer must still be asked, it checks only
// the kind of token, the form of scope and the client, because the answer may have
// what the JWT leaves out.
func (i *issuer) checkJWT(token *jose.Token, own *jose.Claims) (jose.Claims, error) {
	claims := i.rules.translate(own)
	if !i.settings.AlwaysIntrospect {
		err := i.checkWhole(token.Header, own, &claims, token.Payload)
		return claims, err
	}
	err := i.rules.checkKind(token.Header, &claims)
	if err == nil && claims.Fault != "" {
		err = refusal(ClaimInvalid, claims.Fault)
	}
	if err == nil {
		err = i.rules.checkScope(&claims)
	}
	if err != nil {
		return claims, i.advise(err, token.Header, own)
	}
	if claims.ClientID == "" {
		return claims, nil
	}
	return claims, i.checkClient(claims.ClientID)
}

// checkJoined checks the combined claims of a JWT and the answer about it. The kind
// of token was checked by the JWT alone, except for marks in aud, which the JWT may
// leave out.
func (i *issuer) checkJoined(claims *jose.Claims, jwt, answer string) error {
	err := i.rules.checkClaims(claims)
	if err == nil {
		err = i.rules.checkAddressee(claims)
	}
	if err == nil {
		err = i.checkTenant(claims)
	}
	if err != nil {
		return i.warned(err, "both the JWT and the introspection answer were looked at; have the issuer put the claim into one of them")
	}
	claims.Issuer = i.url
	return i.checkLists(claims, jwt, answer)
}

// checkTenant requires an accepted tenant, if there are tenants.
func (i *issuer) checkTenant(claims *jose.Claims) *Error {
	if i.tenants == nil || slices.Contains(i.tenants, claims.TenantID) {
		return nil
	}
	return refusal(ClaimInvalid, "tid is not the issuer's tenant, or not among Tenants")
}

// checkWhole checks all claims. If the token is of another kind than configured, it
// tells the operator what to set. own are the claims before translation.
func (i *issuer) checkWhole(header *jose.Header, own, claims *jose.Claims, raw string) error {
	err := i.rules.check(header, claims)
	if err == nil {
		err = i.checkTenant(claims)
	}
	if err != nil {
		return i.advise(err, header, own)
	}
	claims.Issuer = i.url // one name for a user, even if iss has several spellings
	return i.checkLists(claims, raw)
}

// checkLists requires what Clients and Demand list. raws are the JSON objects of the
// claims: a JWT, an answer, or both.
func (i *issuer) checkLists(claims *jose.Claims, raws ...string) error {
	if err := i.checkClient(claims.ClientID); err != nil {
		return err
	}
	return i.checkDemand(raws...)
}

// checkDemand parses the JSON again, because few issuers have a Demand. Each claim
// must be in at least one object, and must have a listed value wherever it is.
func (i *issuer) checkDemand(raws ...string) error {
	if len(i.settings.Demand) == 0 {
		return nil
	}
	met, contradicted := map[string]bool{}, false
	for _, raw := range raws {
		_ = jose.Object(raw, func(name, value string) error { // never fails: it was read before
			listed, demanded := i.settings.Demand[name]
			switch {
			case !demanded || value == "null":
			case isOneOf(value, listed):
				met[name] = true
			default:
				contradicted = true
			}
			return nil
		})
	}
	if !contradicted && len(met) == len(i.settings.Demand) {
		return nil
	}
	return i.warned(refusal(ClaimInvalid, "a claim does not have a value that Demand lists"),
		"if that token may call this resource server, add its values to Demand")
}

// isOneOf reports whether a claim is listed. It can be a string, true or false, or
// an array of strings with a listed one.
func isOneOf(value string, listed []string) bool {
	if texts, ok := jose.Strings(value); ok {
		return slices.ContainsFunc(texts, func(text string) bool { return slices.Contains(listed, text) })
	}
	if value == "true" || value == "false" {
		return slices.Contains(listed, value)
	}
	text, ok := jose.String(value)
	return ok && slices.Contains(listed, text)
}
