package accesstoken

import (
	"slices"

	"github.com/accesstoken/accesstoken/internal/jose"
	"github.com/accesstoken/accesstoken/internal/shape"
)

// The checks of this file run once for each token, after its signature was verified
// or its issuer has answered. They check the kind of the token, its claims, and what
// the configuration lists.

// checkJWT checks a verified token by the profile and the lists, and returns its
// claims in the terms of RFC 9068. If the issuer must still be asked, it checks only
// the kind of token, the form of scope and the client, because the answer may have
// what the JWT leaves out.
func (i *issuer) checkJWT(token *jose.Token, own *jose.Claims) (shape.Reading, error) {
	claims := i.rules.Read(own, token.Payload, false)
	if !i.settings.AlwaysIntrospect {
		err := i.checkWhole(token.Header, own, &claims, token.Payload)
		return claims, err
	}
	err := i.refuse(i.rules.CheckKind(token.Header, &claims))
	if err == nil && claims.Fault != "" {
		err = refusal(ClaimInvalid, claims.Fault)
	}
	if err == nil {
		err = i.refuse(i.rules.CheckScope(&claims))
	}
	if err != nil {
		return claims, i.advise(err, token.Header, own, token.Payload)
	}
	if claims.ClientID == "" {
		return claims, nil
	}
	return claims, i.checkClient(claims.ClientID)
}

// checkWhole checks all claims. If the token is of another kind than configured, it
// tells the operator what to set. own are the claims before translation.
func (i *issuer) checkWhole(header *jose.Header, own *jose.Claims, claims *shape.Reading, raw string) error {
	err := i.refuse(i.rules.Check(header, claims))
	if err == nil {
		err = i.checkTenant(claims)
	}
	if err != nil {
		return i.advise(err, header, own, raw)
	}
	claims.Issuer = i.url // one name for a user, even if iss has several spellings
	return i.checkLists(&claims.Claims, raw)
}

// checkJoined checks the combined claims of a JWT and the answer about it. The kind
// of token was checked by the JWT alone, except for marks in aud, which the JWT may
// leave out.
func (i *issuer) checkJoined(claims *shape.Reading, jwt, answer string) error {
	err := i.refuse(i.rules.CheckClaims(claims))
	if err == nil {
		err = i.refuse(i.rules.CheckAddressee(claims))
	}
	if err == nil {
		err = i.checkTenant(claims)
	}
	if err != nil {
		return i.warnings.refuse(err, "both the JWT and the introspection answer were looked at; have the issuer put the claim into one of them")
	}
	claims.Issuer = i.url
	return i.checkLists(&claims.Claims, jwt, answer)
}

// checkTenant requires an accepted tenant, if there are tenants.
func (i *issuer) checkTenant(claims *shape.Reading) *Error {
	if i.tenants == nil || slices.Contains(i.tenants, claims.Tenant) {
		return nil
	}
	return refusal(ClaimInvalid, "tid is not the issuer's tenant, or not among Tenants")
}

// checkLists requires what Clients and Demand list. raws are the JSON objects of the
// claims: a JWT, an answer, or both.
func (i *issuer) checkLists(claims *jose.Claims, raws ...string) error {
	if err := i.checkClient(claims.ClientID); err != nil {
		return err
	}
	return i.checkDemand(raws...)
}

// checkClient requires a client of the list, if there is a list.
func (i *issuer) checkClient(id string) error {
	if i.settings.Clients == nil || slices.Contains(i.settings.Clients, id) {
		return nil
	}
	return i.warnings.refuse(refusal(ClaimInvalid, i.rules.ClientClaims(" or ")+" is not among Clients"),
		"if the client may call this resource server, add it to Clients")
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
	return i.warnings.refuse(refusal(ClaimInvalid, "a claim does not have a value that Demand lists"),
		"if that token may call this resource server, add its values to Demand")
}

// isOneOf reports whether a claim's JSON value is listed. The value can be a string,
// true or false, or an array of strings of which one is listed.
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
