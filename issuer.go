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

// An issuer is an [Issuer] at work, or one of its tenants. It shares nothing with
// that of another.
type issuer struct {
	settings   Issuer
	owner      *Validator
	url        string
	aliases    []string // other spellings of iss
	tenants    []string // nil: tid means nothing
	rules      rules
	algorithms []string
	audience   []string
	keys       KeySource
	owned      *jwks.Cache // the same, when it was made here
	leeway     time.Duration
	hierarchy  hierarchy
	warnings   warnings
	verified   atomic.Bool // a token of this issuer was, once
}

// isOf reports whether claims of this issuer count for a Validator. Those of
// accesstokentest.NewContext do for every one.
func (i *issuer) isOf(v *Validator) bool {
	_, isTest := i.settings.Keys.(carried.TestKeys)
	return i.owner == v || isTest
}

// newIssuers makes an Issuer work: one for each iss that its tokens may have.
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

// keySource returns where the keys come from, and the cache that was made for it.
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

// checkClient demands one of the listed clients, where there is a list.
func (i *issuer) checkClient(id string) error {
	if i.settings.Clients == nil || slices.Contains(i.settings.Clients, id) {
		return nil
	}
	return i.warned(refusal(ClaimInvalid, strings.Join(i.rules.clientClaims(), " or ")+" is not among Clients"),
		"if the client may call this resource server, add it to Clients")
}

// An IssuerError is what keeps one issuer from being used. [Validator.Warm] and
// [Validator.Ready] join one for each such issuer, in the order of Config.Issuers:
// [errors.As] finds the first, and Unwrap() []error of the joined error leads to all.
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

// warm fetches the keys. An issuer that can be asked about its tokens need not
// publish any. After the end of the context no fetch begins.
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

// needsKeys is false for an issuer that can be asked about its tokens.
func (i *issuer) needsKeys() bool {
	return i.settings.Introspection == nil || i.settings.AlwaysIntrospect
}

// ready asks for the keys of an issuer with ReadyWithout as well: that begins the
// fetch of those that are missing.
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

// checkJWT judges a verified token by the profile and the lists, and returns
// what it claims in the words of RFC 9068. Of one that its issuer has yet to be asked
// about, only the kind is judged: the answer may say what the JWT leaves out.
func (i *issuer) checkJWT(token *jose.Token, said *jose.Claims) (jose.Claims, error) {
	claims := i.rules.translate(said)
	if !i.settings.AlwaysIntrospect {
		err := i.checkWhole(token.Header, said, &claims, token.Payload)
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
		return claims, i.advise(err, token.Header, said)
	}
	if claims.ClientID == "" {
		return claims, nil
	}
	return claims, i.checkClient(claims.ClientID)
}

// checkJoined judges what a JWT and the answer about it come to. The kind of token
// was judged by the JWT alone, but for marks of aud, which the JWT may leave out.
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

// checkTenant demands a listed tenant, where there is a list.
func (i *issuer) checkTenant(claims *jose.Claims) *Error {
	if i.tenants == nil || slices.Contains(i.tenants, claims.TenantID) {
		return nil
	}
	return refusal(ClaimInvalid, "tid is not the issuer's tenant, or not among Tenants")
}

// checkWhole judges all that is claimed. It tells the operator what to set when the
// issuer is of another kind than configured: said is what the token says in its own
// words.
func (i *issuer) checkWhole(header *jose.Header, said, claims *jose.Claims, raw string) error {
	err := i.rules.check(header, claims)
	if err == nil {
		err = i.checkTenant(claims)
	}
	if err != nil {
		return i.advise(err, header, said)
	}
	claims.Issuer = i.url // one name for a user, where iss has several spellings
	return i.checkLists(claims, raw)
}

// checkLists demands what the configuration lists, of a JWT, an answer or both: raws
// are the JSON objects that the claims come from.
func (i *issuer) checkLists(claims *jose.Claims, raws ...string) error {
	if err := i.checkClient(claims.ClientID); err != nil {
		return err
	}
	return i.checkDemand(raws...)
}

// checkDemand reads the claims again: few issuers have a Demand. A claim has to be
// in one of the objects, and to have a listed value in each that has it.
func (i *issuer) checkDemand(raws ...string) error {
	if len(i.settings.Demand) == 0 {
		return nil
	}
	met, contradicted := map[string]bool{}, false
	for _, raw := range raws {
		_ = jose.Object(raw, func(name, value string) error { // it was read before
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

// isOneOf compares a claim: a string, true or false, or the strings of an array.
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
