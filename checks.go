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
	if !i.settings().AlwaysIntrospect {
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
	i.trail.reach(checkLists)
	return claims, i.checkClient(claims.ClientID)
}

// checkWhole checks all claims. If the token is of another kind than configured, it
// tells the operator what to set. own are the claims before translation.
func (i *issuer) checkWhole(header *jose.Header, own *jose.Claims, claims *shape.Reading, raw string) error {
	err := i.refuse(i.rules.Check(header, claims))
	if err == nil {
		i.trail.reach(checkLists)
		err = i.checkTenant(claims)
	}
	if err == nil {
		err = i.checkTrustDomain(claims.Subject)
	}
	if err != nil {
		return i.advise(err, header, own, raw)
	}
	claims.Issuer = i.url // one name for a user, even if iss has several spellings
	return i.checkLists(&claims.Claims, raw)
}

// checkJoined checks the combined claims of a JWT and the answer about it. The kind
// of token was checked by the JWT alone before, and here by what the answer says of it.
func (i *issuer) checkJoined(claims *shape.Reading, jwt, answer string) error {
	err := i.refuse(i.rules.CheckClaims(claims))
	if err == nil {
		err = i.refuse(i.rules.CheckMarks(claims))
	}
	if err == nil {
		i.trail.reach(checkLists)
		err = i.checkTenant(claims)
	}
	if err != nil {
		return i.warnings.refuse(err, "both the JWT and the introspection answer were looked at; have the issuer put the claim into one of them")
	}
	claims.Issuer = i.url
	return i.checkLists(&claims.Claims, jwt, answer)
}

// refuse turns what is wrong with a token into a refusal. If the issuer has neither a
// profile nor a dialect, it adds the advice that another profile, or a field of Relax,
// may accept the token.
func (i *issuer) refuse(fault *shape.Fault) *Error {
	if fault == nil {
		return nil
	}
	reason := ClaimInvalid
	if fault.IsOtherKind {
		reason = TokenTypeMismatch
	}
	refused := refusal(reason, fault.Text)
	if !fault.MayDepart || !i.is(RFC9068) {
		return refused
	}
	refused.advice = "if it is an ID token, the client should send its access token instead; if this issuer does not follow RFC 9068, " +
		"set its Profile (for ZITADEL, accesstoken.Zitadel)"
	if fault.Relax != "" {
		refused.advice += ", or Relax: accesstoken.Relax{" + fault.Relax + ": true}"
	}
	return refused
}

// is reports whether the tokens are judged by a profile.
func (i *issuer) is(p Profile) bool {
	profile, ok := i.settings().profile()
	return ok && profile == p
}

// checkTenant requires an accepted tenant, if there are tenants.
func (i *issuer) checkTenant(claims *shape.Reading) *Error {
	if i.tenants == nil || slices.Contains(i.tenants, claims.Tenant) {
		return nil
	}
	return refusal(ClaimInvalid, "tid is not the issuer's tenant, or not among Tenants")
}

// checkTrustDomain refuses a sub outside the trust domain, whose keys verify only its
// own IDs (SPIFFE Trust Domain and Bundle §3).
func (i *issuer) checkTrustDomain(subject string) *Error {
	if !i.settings().isTrustDomain() || trustDomainOf(subject) == i.url {
		return nil
	}
	return refusal(ClaimInvalid, "sub is not the SPIFFE ID of a workload in the trust domain of URL")
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
	if i.settings().Clients == nil || slices.Contains(i.settings().Clients, id) {
		return nil
	}
	return i.warnings.refuse(refusal(ClaimInvalid, i.rules.ClientClaims(" or ")+" is not among Clients"),
		"if the client may call this resource server, add it to Clients")
}

// checkDemand searches the JSON again, because few issuers have a Demand. Each claim
// must be in at least one object, and must have a listed value wherever it is.
func (i *issuer) checkDemand(raws ...string) error {
	for _, d := range i.demands {
		met, contradicted := false, false
		for _, raw := range raws {
			switch value := jose.At(memberIn(raw, d.path[0]), d.path[1:]); {
			case value == "" || value == "null":
			case isOneOf(value, d.listed):
				met = true
			default:
				contradicted = true
			}
		}
		if !met || contradicted {
			return i.warnings.refuse(refusal(ClaimInvalid, "a claim does not have a value that Demand lists"),
				"if that token may call this resource server, add its values to Demand")
		}
	}
	return nil
}

// isOneOf reports whether a claim's JSON value is listed. The value can be a string, a
// number as its text, true or false, or an array of strings of which at least one is listed.
func isOneOf(value string, listed []string) bool {
	if texts, ok := jose.Strings(value); ok {
		return slices.ContainsFunc(texts, func(text string) bool { return slices.Contains(listed, text) })
	}
	if isNumber := value[0] == '-' || value[0] >= '0' && value[0] <= '9'; isNumber || value == "true" || value == "false" {
		return slices.Contains(listed, value)
	}
	text, ok := jose.String(value)
	return ok && slices.Contains(listed, text)
}
