//go:build interop

package interop_test

import (
	"fmt"
	"slices"
	"strings"
)

// A mutation changes a good token, or the request around it, in one place. If the change
// is inside the token, it is signed again with the issuer's own key, so that the change
// is the only possible reason for a refusal.
type mutation struct {
	group, name string
	only        string                 // the one algorithm it is about; "" for every one
	lines       func(b *base) []string // of the request's header
}

// mutations are all mutations, in the order in which they are sent.
func mutations() (all []mutation) {
	for _, group := range []struct {
		name string
		list []mutation
	}{
		{"alg", algorithmMutations()},
		{"typ", typeMutations()},
		{"kid", keyMutations()},
		{"other header parameters", headerMutations()},
		{"the header's JSON", headerTextMutations()},
		{"the payload's JSON", claimsTextMutations()},
		{"claims of the wrong type", claimTypeMutations()},
		{"iss", issuerMutations()},
		{"aud", audienceMutations()},
		{"exp, nbf and iat", timeMutations()},
		{"scope", scopeMutations()},
		{"sub, client_id and jti", identityMutations()},
		{"cnf", confirmationMutations()},
		{"marks of other tokens", otherTokenMutations()},
		{"base64url", encodingMutations()},
		{"serialization", serializationMutations()},
		{"signature", signatureMutations()},
		{"request", requestMutations()},
	} {
		for _, m := range group.list {
			m.group = group.name
			all = append(all, m)
		}
	}
	return all
}

func bearer(token string) []string { return []string{"Authorization: Bearer " + token} }

// sends returns a mutation with its own function that makes the token.
func sends(name string, token func(b *base) string) mutation {
	return mutation{name: name, lines: func(b *base) []string { return bearer(token(b)) }}
}

// inHeader changes the header and signs again.
func inHeader(name string, change func(b *base) object) mutation {
	return sends(name, func(b *base) string { return b.sign(change(b).String(), b.claims.String()) })
}

// inClaims changes the payload and signs again.
func inClaims(name string, change func(b *base) object) mutation {
	return sends(name, func(b *base) string { return b.sign(b.header.String(), change(b).String()) })
}

// header gives a header parameter another value.
func header(name, value string) mutation {
	return inHeader(name+" "+shown(value), func(b *base) object { return b.header.with(name, value) })
}

// claim gives a claim another value.
func claim(name, value string) mutation {
	return inClaims(name+" "+shown(value), func(b *base) object { return b.claims.with(name, value) })
}

// claimOf gives a claim a value made from its own.
func claimOf(name, said string, change func(own string) string) mutation {
	return inClaims(name+" "+said, func(b *base) object { return b.claims.with(name, quote(change(b.claims.text(name)))) })
}

// claimFrom gives a claim a value that depends on the token.
func claimFrom(name, said string, value func(b *base) string) mutation {
	return inClaims(name+" "+said, func(b *base) object { return b.claims.with(name, value(b)) })
}

// only restricts a list of mutations to one algorithm.
func only(algorithm string, list ...mutation) []mutation {
	for i := range list {
		list[i].only = algorithm
	}
	return list
}

// shown returns a value in the form for names of mutations.
func shown(value string) string {
	if len(value) > 48 {
		return fmt.Sprintf("%s… (%d characters)", value[:16], len(value))
	}
	return value
}

func typeMutations() []mutation {
	list := []mutation{inHeader("typ absent", func(b *base) object { return b.header.without("typ") })}
	for _, value := range []string{
		`"JWT"`, `"jwt"`, `"AT+JWT"`, `"At+Jwt"`, `"application/at+jwt"`, `"APPLICATION/AT+JWT"`, `"Application/at+jwt"`,
		`"at+jwt "`, `" at+jwt"`, `"at+jwt;charset=utf-8"`, `"at-jwt"`, `"at jwt"`, `"at+jwt+x"`, `"application/jwt"`, `"text/at+jwt"`,
		`"application/application/at+jwt"`, `"/at+jwt"`, `"at+jwt\u0000"`, `"\u0430t+jwt"`, `"at+\u006awt"`, `"at%2Bjwt"`,
		`"id_token"`, `"dpop+jwt"`, `"logout+jwt"`, `"secevent+jwt"`, `"token-introspection+jwt"`, `"oauth-authz-req+jwt"`,
		`"client-authentication+jwt"`, `"entity-statement+jwt"`, `"kb+jwt"`, `"dc+sd-jwt"`, `"vc+jwt"`, `"JOSE"`, `"JWE"`,
		`""`, `null`, `1`, `true`, `["at+jwt"]`, `{"at+jwt":1}`,
	} {
		list = append(list, header("typ", value))
	}
	return list
}

func keyMutations() []mutation {
	list := []mutation{
		inHeader("kid absent", func(b *base) object { return b.header.without("kid") }),
		inHeader("kid in upper case", func(b *base) object { return b.header.with("kid", quote(strings.ToUpper(keyOf[b.algorithm]))) }),
		inHeader("kid with a space behind", func(b *base) object { return b.header.with("kid", quote(keyOf[b.algorithm]+" ")) }),
		inHeader("kid in an array", func(b *base) object { return b.header.with("kid", "["+b.header.get("kid")+"]") }),
		inHeader("kid escaped", func(b *base) object {
			return b.header.with("kid", fmt.Sprintf(`"\u%04x%s"`, keyOf[b.algorithm][0], keyOf[b.algorithm][1:]))
		}),
		inHeader("kid of the other key of this type", func(b *base) object { return b.header.with("kid", quote(b.second())) }),
		inHeader("kid of a key of another type", func(b *base) object {
			return b.header.with("kid", quote(map[bool]string{true: rsaKey, false: p256Key}[keyOf[b.algorithm] == p256Key]))
		}),
		sends("kid and signature of the other key of this type", func(b *base) string {
			return b.signedAs(b.algorithm, b.header.with("kid", quote(b.second())), b.published[b.second()])
		}),
		sends("kid absent, signature of the other key of this type", func(b *base) string {
			return b.signedAs(b.algorithm, b.header.without("kid"), b.published[b.second()])
		}),
		sends("kid unknown, signature of an unknown key", func(b *base) string {
			return b.signedAs(b.algorithm, b.header.with("kid", `"unknown"`), b.unpublished[keyOf[b.algorithm]])
		}),
	}
	for _, value := range []string{
		`"unknown"`, `""`, `null`, `0`, `1`, `true`, `{}`, `[]`, `"../../etc/passwd"`, `"' OR 1=1 --"`, `"http://127.0.0.1/key"`, `"__proto__"`,
		quote(strings.Repeat("k", 300)), quote(strings.Repeat("k", 2500)),
	} {
		list = append(list, header("kid", value))
	}
	return list
}

func issuerMutations() []mutation {
	return []mutation{
		claimOf("iss", "with a slash behind", func(own string) string { return own + "/" }),
		claimOf("iss", "with a path", func(own string) string { return own + "/tenant" }),
		claimOf("iss", "with a query", func(own string) string { return own + "?" }),
		claimOf("iss", "with a fragment", func(own string) string { return own + "#" }),
		claimOf("iss", "with a user", func(own string) string { return strings.Replace(own, "://", "://a@", 1) }),
		claimOf("iss", "with a space behind", func(own string) string { return own + " " }),
		claimOf("iss", "with a space in front", func(own string) string { return " " + own }),
		claimOf("iss", "with NUL behind", func(own string) string { return own + "\x00" }),
		claimOf("iss", "with a line feed behind", func(own string) string { return own + "\n" }),
		claimOf("iss", "in upper case", strings.ToUpper),
		claimOf("iss", "with the scheme https", func(own string) string { return strings.Replace(own, "http:", "https:", 1) }),
		claimOf("iss", "without a scheme", func(own string) string { return strings.TrimPrefix(own, "http://") }),
		claimOf("iss", "with localhost", func(own string) string { return strings.Replace(own, "127.0.0.1", "localhost", 1) }),
		claimOf("iss", "with another port", func(own string) string { return own + "0" }),
		claimOf("iss", "cut short", func(own string) string { return own[:len(own)-1] }),
		claimOf("iss", "twice in one string", func(own string) string { return own + " " + own }),
		claimFrom("iss", "escaped", func(b *base) string { return strings.Replace(b.claims.get("iss"), "h", `\u0068`, 1) }),
		claimFrom("iss", "with escaped solidi", func(b *base) string { return strings.ReplaceAll(b.claims.get("iss"), "/", `\/`) }),
		claimFrom("iss", "in an array", func(b *base) string { return "[" + b.claims.get("iss") + "]" }),
		claimFrom("iss", "in an array with another", func(b *base) string { return "[" + b.claims.get("iss") + `,"x"]` }),
		claim("iss", quote("https://login.example.com")),
		claim("iss", quote("http://127.0.0.1")),
	}
}

func audienceMutations() []mutation {
	own, other := quote(resource), quote(otherResource)
	list := []mutation{claimOf("aud", "the client", func(string) string { return "jwt" }), claimFrom("aud", "the issuer", func(b *base) string { return b.claims.get("iss") })}
	for said, value := range map[string]string{
		"another":                   other,
		"in an array":               "[" + own + "]",
		"first of two":              "[" + own + "," + other + "]",
		"last of two":               "[" + other + "," + own + "]",
		"twice in an array":         "[" + own + "," + own + "]",
		"among a hundred":           "[" + strings.Repeat(other+",", 99) + own + "]",
		"another, in an array":      "[" + other + "]",
		"in an array in an array":   "[[" + own + "]]",
		"beside an array":           "[" + own + ",[" + other + "]]",
		"beside a number":           "[" + own + ",1]",
		"behind a number":           "[1," + own + "]",
		"beside null":               "[" + own + ",null]",
		"beside an object":          "[" + own + ",{}]",
		"beside an empty string":    "[" + own + `,""]`,
		"in an object":              `{"aud":` + own + "}",
		"a member's name":           "{" + own + ":true}",
		"with a slash behind":       quote(resource + "/"),
		"with a path":               quote(resource + "/v1"),
		"with a query":              quote(resource + "?"),
		"with a fragment":           quote(resource + "#"),
		"with the port 443":         quote(resource + ":443"),
		"with a dot behind":         quote(resource + "."),
		"of a longer name":          quote(resource + ".example.net"),
		"cut short":                 quote(resource[:len(resource)-1]),
		"the host alone":            quote(strings.TrimPrefix(resource, "https://")),
		"with the scheme http":      quote(strings.Replace(resource, "https", "http", 1)),
		"in upper case":             quote(strings.ToUpper(resource)),
		"with an upper-case host":   quote(strings.Replace(resource, "api", "API", 1)),
		"with a space behind":       quote(resource + " "),
		"with a space in front":     quote(" " + resource),
		"with NUL behind":           quote(resource + "\x00"),
		"with NUL and more":         quote(resource + "\x00.example.net"),
		"two, with a space between": quote(resource + " " + otherResource),
		"two, with a comma between": quote(resource + "," + otherResource),
		"percent-encoded":           quote(strings.ReplaceAll(resource, ":", "%3A")),
		"escaped":                   strings.Replace(own, "h", `\u0068`, 1),
		"with escaped solidi":       strings.ReplaceAll(own, "/", `\/`),
		"a pattern":                 `"https://*.example.com"`,
		"a star":                    `"*"`,
	} {
		list = append(list, inClaims("aud "+said, func(b *base) object { return b.claims.with("aud", value) }))
	}
	slices.SortStableFunc(list, func(a, b mutation) int { return strings.Compare(a.name, b.name) })
	return list
}

func scopeMutations() []mutation {
	list := []mutation{}
	for _, value := range []string{
		`"read"`, `"read  write"`, `" read"`, `"read "`, `"read\twrite"`, `"read\nwrite"`, `"read,write"`, `"\"read\""`, `"re\\ad"`, `"é"`, `"read read"`,
		`["read","write"]`, `["read write"]`, `["read",1]`, `[["read"]]`, `{"read":true}`,
		quote(strings.TrimSpace(strings.Repeat("scope:read ", 200))),
	} {
		list = append(list, claim("scope", value))
	}
	return append(list,
		inClaims("scp beside scope", func(b *base) object { return b.claims.with("scp", `["admin"]`) }),
		inClaims("scp in place of scope", func(b *base) object { return b.claims.without("scope").with("scp", `["read"]`) }))
}

func identityMutations() (list []mutation) {
	for _, name := range []string{"sub", "client_id", "jti"} {
		list = append(list,
			claimFrom(name, "in an array", func(b *base) string { return "[" + b.claims.get(name) + "]" }),
			claimFrom(name, "in an object", func(b *base) string { return `{"value":` + b.claims.get(name) + `}` }),
			claimOf(name, "with NUL behind", func(own string) string { return own + "\x00" }),
			claimOf(name, "with a line feed", func(own string) string { return own + "\nx" }),
			claimOf(name, "in upper case", strings.ToUpper),
			claim(name, `"é"`),
			claim(name, quote(strings.Repeat("x", 1000))))
	}
	return list
}

func confirmationMutations() []mutation {
	thumbprint := quote(encode(make([]byte, 32)))
	list := []mutation{inClaims("cnf with the issuer's own key", func(b *base) object {
		return b.claims.with("cnf", `{"jwk":`+publicJWK(b)+`}`)
	})}
	for said, value := range map[string]string{
		"with jkt":                              `{"jkt":` + thumbprint + `}`,
		"with an empty jkt":                     `{"jkt":""}`,
		"with jkt null":                         `{"jkt":null}`,
		"with jkt 1":                            `{"jkt":1}`,
		"with jkt in another case":              `{"JKT":` + thumbprint + `}`,
		"with x5t#S256":                         `{"x5t#S256":` + thumbprint + `}`,
		"with jkt and x5t#S256":                 `{"jkt":` + thumbprint + `,"x5t#S256":` + thumbprint + `}`,
		"with kid":                              `{"kid":"x"}`,
		"with jku":                              `{"jku":"https://login.example.com/jwks"}`,
		"with an unknown member":                `{"unknown":"x"}`,
		"empty":                                 `{}`,
		"null":                                  `null`,
		"a string":                              `"x"`,
		"a number":                              `1`,
		"false":                                 `false`,
		"an empty array":                        `[]`,
		"an array":                              `[{"jkt":` + thumbprint + `}]`,
		"in upper case, which is another claim": ``,
	} {
		if value == "" {
			list = append(list, inClaims("cnf "+said, func(b *base) object { return b.claims.and("CNF", `{"jkt":`+thumbprint+`}`) }))
			continue
		}
		list = append(list, inClaims("cnf "+said, func(b *base) object { return b.claims.with("cnf", value) }))
	}
	slices.SortStableFunc(list, func(a, b mutation) int { return strings.Compare(a.name, b.name) })
	return list
}

func otherTokenMutations() []mutation {
	list := only("ES256",
		sends("an ID token", func(b *base) string { return b.id }),
		sends("an opaque access token", func(b *base) string { return b.opaque }),
		sends("a refresh token", func(b *base) string { return b.refresh }))
	list = append(list, sends("an access token for another resource server", func(b *base) string { return b.other }))
	for _, m := range []member{
		{"nonce", `"n-0S6_WzA2Mj"`}, {"nonce", `null`}, {"at_hash", `"77QmUPtjPfzWtF2AnpK9RQ"`}, {"c_hash", `"LDktKdoQak3Pk0cnXxCltA"`}, {"s_hash", `"x"`},
		{"events", `{"http://schemas.openid.net/event/backchannel-logout":{}}`},
		{"token_use", `"id"`}, {"token_use", `"refresh"`}, {"token_use", `"access"`}, {"token_use", `1`},
		{"typ", `"ID"`}, {"typ", `"Refresh"`}, {"typ", `"Logout"`}, {"typ", `"Bearer"`}, {"typ", `1`},
		{"azp", `"another"`}, {"azp", `1`}, {"sid", `"x"`}, {"sid", `1`}, {"htm", `"GET"`}, {"htu", `"https://api.example.com"`}, {"ath", `"x"`},
		{"acr", `"1"`}, {"acr", `1`}, {"amr", `["pwd"]`}, {"amr", `"pwd"`}, {"amr", `[1]`}, {"auth_time", `1700000000`}, {"auth_time", `"x"`}, {"auth_time", `-1`},
		{"act", `{"sub":"admin"}`}, {"act", `"admin"`}, {"act", `{"sub":1}`}, {"may_act", `"admin"`},
		{"authorization_details", `[{"type":"payment"}]`}, {"authorization_details", `{"type":"payment"}`}, {"authorization_details", `[{}]`}, {"authorization_details", `"x"`},
		{"active", `false`}, {"token_introspection", `{"active":false}`}, {"status", `{"status_list":{"idx":0,"uri":"https://login.example.com/status"}}`},
		{"_sd", `["x"]`}, {"vct", `"x"`}, {"roles", `["admin"]`}, {"groups", `1`}, {"entitlements", `"x"`}, {"crit", `["x"]`}, {"alg", `"none"`},
	} {
		list = append(list, inClaims(m.name+" "+shown(m.value)+" in the payload", func(b *base) object { return b.claims.and(m.name, m.value) }))
	}
	return list
}

// requestMutations change the request, not the token.
func requestMutations() []mutation {
	line := func(name, text string) mutation {
		return mutation{name: name, only: "ES256", lines: func(b *base) []string {
			return strings.Split(strings.NewReplacer("{T}", b.token, "{O}", b.other).Replace(text), "\r\n")
		}}
	}
	return []mutation{
		line("scheme in lower case", "Authorization: bearer {T}"),
		line("scheme in upper case", "Authorization: BEARER {T}"),
		line("scheme in mixed case", "Authorization: bEaReR {T}"),
		line("field name in lower case", "authorization: Bearer {T}"),
		line("field name in upper case", "AUTHORIZATION: Bearer {T}"),
		line("no space behind the colon", "Authorization:Bearer {T}"),
		line("a tab behind the colon", "Authorization:\tBearer {T}"),
		line("three spaces behind the colon", "Authorization:   Bearer {T}"),
		line("a space before the colon", "Authorization : Bearer {T}"),
		line("two spaces behind the scheme", "Authorization: Bearer  {T}"),
		line("ten spaces behind the scheme", "Authorization: Bearer          {T}"),
		line("a tab behind the scheme", "Authorization: Bearer\t{T}"),
		line("a space and a tab behind the scheme", "Authorization: Bearer \t{T}"),
		line("no space behind the scheme", "Authorization: Bearer{T}"),
		line("a no-break space behind the scheme", "Authorization: Bearer\xc2\xa0{T}"),
		line("a space behind the token", "Authorization: Bearer {T} "),
		line("a tab behind the token", "Authorization: Bearer {T}\t"),
		line("a line folded behind the scheme", "Authorization: Bearer\r\n {T}"),
		line("a line folded behind the token", "Authorization: Bearer {T}\r\n x"),
		line("token in quotes", `Authorization: Bearer "{T}"`),
		line("token in single quotes", `Authorization: Bearer '{T}'`),
		line("token in angle brackets", `Authorization: Bearer <{T}>`),
		line("token in braces", `Authorization: Bearer {{T}}`),
		line("a comma behind the token", "Authorization: Bearer {T},"),
		line("a comma in front of the token", "Authorization: Bearer ,{T}"),
		line("a semicolon behind the token", "Authorization: Bearer {T};"),
		line("a parameter behind the token", `Authorization: Bearer {T}, realm="api"`),
		line("a word behind the token", "Authorization: Bearer {T} x"),
		line("two tokens with a space between", "Authorization: Bearer {T} {T}"),
		line("two tokens with a comma between", "Authorization: Bearer {T},{T}"),
		line("two credentials with a comma between", "Authorization: Bearer {T}, Bearer {T}"),
		line("Basic and Bearer with a comma between", "Authorization: Basic YTpi, Bearer {T}"),
		line("Bearer and Basic with a comma between", "Authorization: Bearer {T}, Basic YTpi"),
		line("the same line twice", "Authorization: Bearer {T}\r\nAuthorization: Bearer {T}"),
		line("two lines, the bad token last", "Authorization: Bearer {T}\r\nAuthorization: Bearer {O}"),
		line("two lines, the bad token first", "Authorization: Bearer {O}\r\nAuthorization: Bearer {T}"),
		line("two lines, Basic first", "Authorization: Basic YTpi\r\nAuthorization: Bearer {T}"),
		line("two lines, Basic last", "Authorization: Bearer {T}\r\nAuthorization: Basic YTpi"),
		line("two lines, an empty one first", "Authorization:\r\nAuthorization: Bearer {T}"),
		line("two lines, an empty one last", "Authorization: Bearer {T}\r\nAuthorization:"),
		line("no credentials", "X-Nothing: 1"),
		line("an empty line", "Authorization:"),
		line("the scheme alone", "Authorization: Bearer"),
		line("the scheme and a space", "Authorization: Bearer "),
		line("the token alone", "Authorization: {T}"),
		line("the scheme twice", "Authorization: Bearer Bearer {T}"),
		line("a colon behind the scheme", "Authorization: Bearer: {T}"),
		line("a comma behind the scheme", "Authorization: Bearer, {T}"),
		line("the scheme in quotes", `Authorization: "Bearer" {T}`),
		line("the token as a parameter", `Authorization: Bearer token="{T}"`),
		line("the token as access_token", "Authorization: Bearer access_token={T}"),
		line("scheme DPoP, without a proof", "Authorization: DPoP {T}"),
		line("scheme DPoP, with an invalid proof", "Authorization: DPoP {T}\r\nDPoP: x"),
		line("scheme Bearer, with an invalid proof", "Authorization: Bearer {T}\r\nDPoP: x"),
		line("scheme Token", "Authorization: Token {T}"),
		line("scheme JWT", "Authorization: JWT {T}"),
		line("scheme OAuth", "Authorization: OAuth {T}"),
		line("scheme Basic", "Authorization: Basic {T}"),
		line("scheme Negotiate", "Authorization: Negotiate {T}"),
		line("scheme Bearer2", "Authorization: Bearer2 {T}"),
		line("field Proxy-Authorization", "Proxy-Authorization: Bearer {T}"),
		line("field X-Authorization", "X-Authorization: Bearer {T}"),
		line("field X-Access-Token", "X-Access-Token: {T}"),
		line("field Cookie", "Cookie: access_token={T}"),
		line("field X-Forwarded-Access-Token", "X-Forwarded-Access-Token: {T}"),
		line("NUL behind the token", "Authorization: Bearer {T}\x00"),
		line("NUL behind the scheme", "Authorization: Bearer\x00{T}"),
		line("DEL behind the token", "Authorization: Bearer {T}\x7f"),
		line("a byte order mark in front of the scheme", "Authorization: \ufeffBearer {T}"),
		line("a vertical tab behind the token", "Authorization: Bearer {T}\v"),
	}
}
