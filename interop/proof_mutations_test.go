//go:build interop

package interop_test

import (
	"crypto"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// The request that proofs are made for. The path has an encoded character that needs no
// encoding, and one that needs it.
const (
	provedPath = "/orders/~7%2Fb"
	provedURL  = resource + provedPath
)

// proofBases asks for tokens that are bound to keys of each kind.
func proofBases(t *testing.T, s *server) (list []*base) {
	t.Helper()
	own, thief := signingKeys(t)
	for _, algorithm := range []string{"ES256", "ES384", "EdDSA", "PS256", "RS256"} {
		b := &base{algorithm: algorithm, published: own, unpublished: thief}
		for i := range b.bound {
			b.bound[i] = s.issueBoundTo(t, signerOf(t, b.key()), "bound", resource, "read")
		}
		list = append(list, b)
	}
	return list
}

// fresh returns the base with a proof of this moment.
func (b base) fresh() *base {
	hash := sha256.Sum256([]byte(b.bound[0]))
	b.header = object{{`"typ"`, `"dpop+jwt"`}, {`"alg"`, quote(b.algorithm)}, {`"jwk"`, jwkObject(b.key()).String()}}
	b.claims = object{{`"jti"`, quote(newSecret())}, {`"htm"`, `"GET"`}, {`"htu"`, quote(provedURL)}, {`"iat"`, moment(0)}, {`"ath"`, quote(encode(hash[:]))}}
	b.token = b.sign(b.header.String(), b.claims.String())
	b.other = b.sign(b.header.String(), b.claims.with("jti", quote(newSecret())).String())
	return &b
}

// jwkObject has the members that a thumbprint is made of (RFC 7638 §3.2).
func jwkObject(key crypto.Signer) (jwk object) {
	members := jwkOf("", key, false)
	for _, name := range slices.Sorted(maps.Keys(members)) {
		if name != "kid" && name != "use" {
			jwk = append(jwk, member{quote(name), quote(members[name])})
		}
	}
	return jwk
}

// asks returns the head of a request that the proof is for. If method or target are
// given, they replace those of the proof. Both are what a proxy would forward.
func asks(method, target string, lines ...string) []string {
	return append([]string{method + " " + target + " HTTP/1.1", "Host: " + strings.TrimPrefix(resource, "https://"), "X-Forwarded-Proto: https", "Content-Length: 0"}, lines...)
}

// proved is a request with the token and a proof.
func (b *base) proved(proof string) []string {
	return asks("GET", provedPath, "Authorization: DPoP "+b.bound[0], "DPoP: "+proof)
}

// proofMutations are all mutations of proofs. They include those mutations of tokens
// that apply to any JWT.
func proofMutations() (all []mutation) {
	for _, group := range []struct {
		name  string
		list  []mutation
		whole bool // makes the request as well
	}{
		{"other keys", otherKeyMutations(), false},
		{"alg", ofAnyJWT(algorithmMutations()), false},
		{"typ", proofTypeMutations(), false},
		{"jwk", append(proofKeyMutations(), rsaKeyMutations()...), false},
		{"other header parameters", ofAnyJWT(headerMutations()), false},
		{"the header's JSON", headerTextMutations(), false},
		{"the payload's JSON", proofTextMutations(), false},
		{"htm", methodMutations(), false},
		{"htu", targetMutations(), false},
		{"ath", hashMutations(), false},
		{"iat, nbf and exp", proofTimeMutations(), false},
		{"jti", proofIDMutations(), false},
		{"nonce and other claims", proofClaimMutations(), false},
		{"base64url", encodingMutations(), false},
		{"serialization", serializationMutations(), false},
		{"signature", append(ofAnyJWT(signatureMutations()), sends("of another key", func(b *base) string {
			return b.signedBy(b.algorithm, b.unpublished[keyOf[b.algorithm]], b.input())
		})), false},
		{"the field", fieldMutations(), true},
		{"the request", proofRequestMutations(), true},
		{"the host", hostMutations(), true},
	} {
		for _, m := range group.list {
			m.group = group.name
			if lines := m.lines; !group.whole {
				m.lines = func(b *base) []string { return b.proved(strings.TrimPrefix(lines(b)[0], "Authorization: Bearer ")) }
			}
			all = append(all, m)
		}
	}
	return all
}

// ofAnyJWT leaves out mutations of typ, and of the issuer's keys, which a proof does not
// name.
func ofAnyJWT(list []mutation) []mutation {
	return slices.DeleteFunc(list, func(m mutation) bool {
		return slices.ContainsFunc([]string{"kid", "jwk", "jku", "typ", "issuer", "unpublished"}, func(word string) bool { return strings.Contains(m.name, word) }) ||
			m.name == "made anew"
	})
}

// otherKeyMutations are good proofs by keys of other kinds.
func otherKeyMutations() (list []mutation) {
	for _, algorithm := range []string{"ES384", "EdDSA", "PS256", "RS256"} {
		list = append(list, only(algorithm, sends("a key for "+algorithm, func(b *base) string { return b.token }))...)
	}
	return append(list, only("EdDSA", sends("a key for EdDSA, under the name Ed25519", func(b *base) string {
		return b.signedAs("Ed25519", b.header, b.key())
	}))...)
}

func proofTypeMutations() []mutation {
	list := []mutation{
		inHeader("typ absent", func(b *base) object { return b.header.without("typ") }),
		inHeader("typ twice, the same", func(b *base) object { return b.header.and("typ", `"dpop+jwt"`) }),
		inHeader("typ twice, JWT first", func(b *base) object { return b.header.after("typ", `"JWT"`) }),
		inHeader("typ twice, JWT last", func(b *base) object { return b.header.and("typ", `"JWT"`) }),
		inHeader("typ under the name TYP", func(b *base) object { return b.header.named("typ", `"TYP"`) }),
		inHeader("typ under an escaped name", func(b *base) object { return b.header.named("typ", escapedName("typ")) }),
	}
	for _, value := range []string{
		`"JWT"`, `"jwt"`, `"at+jwt"`, `"DPOP+JWT"`, `"DPoP+JWT"`, `"application/dpop+jwt"`, `"Application/dpop+jwt"`, `"application/DPoP+jwt"`, `"text/dpop+jwt"`, `"dpop+jwt "`, `" dpop+jwt"`,
		`"dpop+jwt;charset=utf-8"`, `"dpop"`, `"dpop jwt"`, `"dpop-jwt"`, `"dpop+jwt+x"`, `"dpop+jwt\u0000"`, `"dpop+\u006awt"`, `"client-authentication+jwt"`,
		`""`, `null`, `1`, `true`, `["dpop+jwt"]`, `{"dpop+jwt":1}`,
	} {
		list = append(list, header("typ", value))
	}
	return list
}

// inJWK changes the key in the header, and signs again.
func inJWK(name string, change func(b *base, jwk object) object) mutation {
	return inHeader("jwk "+name, func(b *base) object { return b.header.with("jwk", change(b, jwkObject(b.key())).String()) })
}

func proofKeyMutations() []mutation {
	d := func(b *base) string { return quote(jwkOf("", b.key(), true)["d"]) }
	thief := func(b *base) crypto.Signer { return b.unpublished[keyOf[b.algorithm]] }
	list := []mutation{
		inHeader("jwk absent", func(b *base) object { return b.header.without("jwk") }),
		sends("jwk absent, in the payload", func(b *base) string {
			return b.sign(b.header.without("jwk").String(), b.claims.and("jwk", b.header.get("jwk")).String())
		}),
		inHeader("jwk under the name JWK", func(b *base) object { return b.header.named("jwk", `"JWK"`) }),
		inHeader("jwk under an escaped name", func(b *base) object { return b.header.named("jwk", escapedName("jwk")) }),
		inHeader("jwk in an array", func(b *base) object { return b.header.with("jwk", "["+b.header.get("jwk")+"]") }),
		inHeader("jwk as a string", func(b *base) object { return b.header.with("jwk", quote(b.header.get("jwk"))) }),
		inHeader("jwk in a set", func(b *base) object { return b.header.with("jwk", `{"keys":[`+b.header.get("jwk")+"]}") }),
		inHeader("jwk with spaces", func(b *base) object {
			return b.header.with("jwk", strings.NewReplacer(",", " ,\n", ":", " : ").Replace(b.header.get("jwk")))
		}),
		inHeader("jwk twice, the same", func(b *base) object { return b.header.and("jwk", b.header.get("jwk")) }),
		inHeader("jwk twice, another key first", func(b *base) object { return b.header.after("jwk", jwkObject(thief(b)).String()) }),
		inHeader("jwk twice, another key last", func(b *base) object { return b.header.and("jwk", jwkObject(thief(b)).String()) }),
		inHeader("jwk of another key", func(b *base) object { return b.header.with("jwk", jwkObject(thief(b)).String()) }),
		sends("jwk of another key, which signs", func(b *base) string {
			return b.signedAs(b.algorithm, b.header.with("jwk", jwkObject(thief(b)).String()), thief(b))
		}),
		sends("jwk of a key for ES384, which signs", func(b *base) string {
			return b.signedAs("ES384", b.header.with("jwk", jwkObject(b.published[p384Key]).String()), b.published[p384Key])
		}),
		inJWK("with its members in another order", func(_ *base, k object) object { slices.Reverse(k); return k }),
		inJWK("with its d", func(b *base, k object) object { return k.and("d", d(b)) }),
		inJWK("with its d first", func(b *base, k object) object { return k.after("d", d(b)) }),
		inJWK("with the d of another key", func(b *base, k object) object { return k.and("d", quote(jwkOf("", thief(b), true)["d"])) }),
		inJWK("with kty oct and k", func(_ *base, k object) object { return object{{`"kty"`, `"oct"`}, {`"k"`, `"AAAA"`}} }),
		inJWK("with k", func(_ *base, k object) object { return k.and("k", `"AAAA"`) }),
		inJWK("with an escaped D", func(b *base, k object) object { return append(k, member{`"\u0064"`, d(b)}) }),
		inJWK("with D", func(b *base, k object) object { return k.and("D", d(b)) }),
		inJWK("of an RSA key, whose members are there too", func(b *base, k object) object {
			return k.and("n", quote(jwkOf("", b.published[rsaKey], false)["n"])).and("e", `"AQAB"`)
		}),
		inJWK("x and y exchanged", func(_ *base, k object) object { return k.with("x", k.get("y")).with("y", k.get("x")) }),
		inJWK("x of another key", func(b *base, k object) object { return k.with("x", jwkObject(thief(b)).get("x")) }),
		inJWK("y negated", func(b *base, k object) object {
			y := new(big.Int).SetBytes(must(base64.RawURLEncoding.DecodeString(k.text("y"))))
			return k.with("y", quote(encode(y.Sub(b.ec().Params().P, y).FillBytes(make([]byte, 32))))) // the other point with this x
		}),
		inJWK("not on the curve", func(_ *base, k object) object { return k.with("y", quote(encode(make([]byte, 32)))) }),
		inJWK("at infinity", func(_ *base, k object) object {
			return k.with("x", quote(encode(make([]byte, 32)))).with("y", quote(encode(make([]byte, 32))))
		}),
		inJWK("with the numbers of the key in decimal", func(b *base, k object) object { return k.with("x", `1`).with("y", `2`) }),
		inJWK("x twice, the same", func(_ *base, k object) object { return k.and("x", k.get("x")) }),
		inJWK("x twice, that of another key first", func(b *base, k object) object { return k.after("x", jwkObject(thief(b)).get("x")) }),
		inJWK("x twice, that of another key last", func(b *base, k object) object { return k.and("x", jwkObject(thief(b)).get("x")) }),
		inJWK("kty twice, RSA first", func(_ *base, k object) object { return k.after("kty", `"RSA"`) }),
		inJWK("x under an escaped name", func(_ *base, k object) object { return k.named("x", `"\u0078"`) }),
		inJWK("x under the name X", func(_ *base, k object) object { return k.named("x", `"X"`) }),
	}
	for _, name := range []string{"p", "q", "dp", "dq", "qi", "priv"} {
		list = append(list, inJWK("with "+name, func(_ *base, k object) object { return k.and(name, quote(encode(make([]byte, 32)))) }))
	}
	for _, m := range []member{
		{"d", `null`}, {"d", `""`}, {"d", `1`}, {"oth", `[]`},
		{"kid", `"x"`}, {"kid", `1`}, {"use", `"sig"`}, {"use", `"enc"`}, {"use", `1`}, {"alg", `"ES256"`}, {"alg", `"RS256"`}, {"alg", `"none"`},
		{"key_ops", `["verify"]`}, {"key_ops", `["sign"]`}, {"key_ops", `[]`}, {"key_ops", `"verify"`}, {"ext", `true`}, {"ext", `false`}, {"iat", `1`}, {"exp", `1`},
		{"x5c", `["AAAA"]`}, {"x5u", `"http://127.0.0.1:1/x5u"`}, {"x5t", `"AAAA"`}, {"jku", `"http://127.0.0.1:1/jwks"`}, {"unknown", `{"y":1}`}, {"__proto__", `{"d":"x"}`}, {"cnf", `{}`},
	} {
		list = append(list, inJWK("and "+m.name+" "+m.value, func(_ *base, k object) object { return k.and(m.name, m.value) }))
	}
	for _, m := range []member{
		{"kty", `"RSA"`}, {"kty", `"OKP"`}, {"kty", `"oct"`}, {"kty", `"ec"`}, {"kty", `"EC "`}, {"kty", `""`}, {"kty", `null`}, {"kty", `1`}, {"kty", `["EC"]`},
		{"crv", `"P-384"`}, {"crv", `"p-256"`}, {"crv", `"secp256k1"`}, {"crv", `"Ed25519"`}, {"crv", `"prime256v1"`}, {"crv", `""`}, {"crv", `null`}, {"crv", `["P-256"]`},
		{"x", `null`}, {"x", `""`}, {"x", `1`}, {"x", `"AA"`}, {"y", `null`}, {"y", `""`}, {"y", `"AQ"`},
	} {
		list = append(list, inJWK(m.name+" "+m.value, func(_ *base, k object) object { return k.with(m.name, m.value) }))
	}
	for _, name := range []string{"kty", "crv", "x", "y"} {
		list = append(list, inJWK("without "+name, func(_ *base, k object) object { return k.without(name) }))
	}
	for said, change := range map[string]func(x string) string{
		"padded":              padded,
		"with spare bits set": spare,
		"with a zero in front": func(x string) string {
			return encode(append([]byte{0}, must(base64.RawURLEncoding.DecodeString(x))...))
		},
		"with a zero behind":  func(x string) string { return encode(append(must(base64.RawURLEncoding.DecodeString(x)), 0)) },
		"cut short":           func(x string) string { return encode(must(base64.RawURLEncoding.DecodeString(x))[:31]) },
		"in hexadecimal":      func(x string) string { return hex.EncodeToString(must(base64.RawURLEncoding.DecodeString(x))) },
		"with a space inside": func(x string) string { return x[:20] + " " + x[20:] },
		"with a space behind": func(x string) string { return x + " " },
	} {
		list = append(list, inJWK("x "+said, func(_ *base, k object) object { return k.with("x", quote(change(k.text("x")))) }))
	}
	slices.SortStableFunc(list, func(a, b mutation) int { return strings.Compare(a.name, b.name) })
	return list
}

// rsaKeyMutations write the key of a PS256 proof in another way.
func rsaKeyMutations() []mutation {
	bytesOf := func(k object, name string) []byte { return must(base64.RawURLEncoding.DecodeString(k.text(name))) }
	return only("PS256",
		inJWK("n with a zero in front", func(_ *base, k object) object {
			return k.with("n", quote(encode(append([]byte{0}, bytesOf(k, "n")...))))
		}),
		inJWK("e with a zero in front", func(_ *base, k object) object { return k.with("e", `"AAEAAQ"`) }),
		inJWK("n padded", func(_ *base, k object) object { return k.with("n", quote(padded(k.text("n")))) }),
		inJWK("n absent", func(_ *base, k object) object { return k.without("n") }),
		inJWK("e absent", func(_ *base, k object) object { return k.without("e") }),
		inJWK("e 1", func(_ *base, k object) object { return k.with("e", `"AQ"`) }),
		inJWK("with all that is private", func(b *base, k object) object {
			private := jwkOf("", b.key(), true)
			for _, name := range []string{"d", "p", "q", "dp", "dq", "qi"} {
				k = k.and(name, quote(private[name]))
			}
			return k
		}),
		inJWK("with its d alone", func(b *base, k object) object { return k.and("d", quote(jwkOf("", b.key(), true)["d"])) }),
		inJWK("with its p alone", func(b *base, k object) object { return k.and("p", quote(jwkOf("", b.key(), true)["p"])) }),
		inJWK("with oth", func(_ *base, k object) object { return k.and("oth", `[{"r":"AA","d":"AA","t":"AA"}]`) }),
		inJWK("n of 1024 bits", func(_ *base, k object) object { return k.with("n", k.get("n")[:170]+`"`) }))
}

// proofTextMutations are about the JSON of the payload.
func proofTextMutations() (list []mutation) {
	for _, change := range textChanges() {
		list = append(list, sends("payload "+change.name, func(b *base) string { return b.sign(b.header.String(), change.change(b.claims.String())) }))
	}
	bad := map[string]string{"jti": `"another"`, "htm": `"POST"`, "htu": quote(otherResource), "iat": `1`, "ath": `"x"`}
	for _, name := range slices.Sorted(maps.Keys(bad)) {
		list = append(list, twice(name, bad[name])...)
		list = append(list,
			inClaims(name+" absent", func(b *base) object { return b.claims.without(name) }),
			inClaims(name+" with its name in upper case", func(b *base) object { return b.claims.named(name, quote(strings.ToUpper(name))) }),
			inClaims(name+" with its name escaped", func(b *base) object { return b.claims.named(name, escapedName(name)) }),
			inClaims(name+" beside a bad one in upper case", func(b *base) object { return b.claims.and(strings.ToUpper(name), bad[name]) }))
		for _, value := range []string{`null`, `true`, `0`, `""`, `" "`, `[]`, `{}`} {
			list = append(list, claim(name, value))
		}
		list = append(list, claimFrom(name, "in an array", func(b *base) string { return "[" + b.claims.get(name) + "]" }))
	}
	return list
}

func methodMutations() (list []mutation) {
	for _, value := range []string{
		`"get"`, `"Get"`, `"gEt"`, `"POST"`, `"HEAD"`, `"*"`, `"GET "`, `" GET"`, `"GET\u0000"`, `"\u0047ET"`, `"GET,POST"`, `"GET POST"`, `"GET /"`, `"G\u0395T"`, `1`, `["POST","GET"]`,
	} {
		list = append(list, claim("htm", value))
	}
	return list
}

// targetMutations are about the URL.
func targetMutations() (list []mutation) {
	for _, value := range []string{
		// the scheme and who is asked
		"HTTPS://api.example.com" + provedPath, "https://API.example.COM" + provedPath, "https://api.example.com:443" + provedPath, "https://api.example.com:0443" + provedPath,
		"https://api.example.com:" + provedPath, "https://api.example.com:80" + provedPath, "https://api.example.com:8443" + provedPath, "https://api.example.com:65979" + provedPath,
		"http://api.example.com" + provedPath, "http://api.example.com:443" + provedPath, "wss://api.example.com" + provedPath, "//api.example.com" + provedPath, provedPath, provedPath[1:],
		"api.example.com" + provedPath, "https:/api.example.com" + provedPath, "https:api.example.com" + provedPath, "https:///api.example.com" + provedPath, `https:\\api.example.com` + provedPath,
		"https://user@api.example.com" + provedPath, "https://user:secret@api.example.com" + provedPath, "https://@api.example.com" + provedPath, "https://:@api.example.com" + provedPath,
		"https://api.example.com@evil.example" + provedPath, "https://evil.example@api.example.com" + provedPath, "https://evil.example" + provedPath, "https://api.example.com.evil.example" + provedPath,
		"https://api.example.com." + provedPath, "https://api%2Eexample.com" + provedPath, "https://%61pi.example.com" + provedPath, "https://аpi.example.com" + provedPath, "https://ａpi.example.com" + provedPath,
		"https://api。example.com" + provedPath, "https://ap\u00adi.example.com" + provedPath, "https://127.0.0.1" + provedPath, "https://[::1]" + provedPath, "https://" + provedPath, "https://" + provedPath[1:],
		// the path
		resource + "/orders/%7E7%2Fb", resource + "/orders/%7e7%2Fb", resource + "/orders/~7%2fb", resource + "/orders/~7/b", resource + "/orders/~7%252Fb", resource + "/%6frders/~7%2Fb",
		resource + "/orders/%377%2Fb", resource + "/orders/~%37%2Fb", resource + "/orders%2F~7%2Fb", resource + "/./orders/~7%2Fb", resource + "/x/../orders/~7%2Fb", resource + "/../orders/~7%2Fb",
		resource + "/orders/./~7%2Fb", resource + "/orders/%2E/~7%2Fb", resource + "/x/%2e%2e/orders/~7%2Fb", resource + "/x/.%2e/orders/~7%2Fb", resource + "//orders/~7%2Fb", resource + "/orders//~7%2Fb",
		provedURL + "/", provedURL + "/.", provedURL + "/..", provedURL + "/x", provedURL + "/x/..", resource + "/orders/~7", resource + "/orders", resource + "/", resource, resource + "/Orders/~7%2Fb",
		resource + "/orders/~7%2FB", resource + `\orders\~7%2Fb`, resource + `/orders/x\..\~7%2Fb`, provedURL + ";x", provedURL + "%", provedURL + "%zz", provedURL + "%00", provedURL + "%20", provedURL + "é", provedURL + "=", provedURL + "*",
		// the rest
		provedURL + "?", provedURL + "?page=2", provedURL + "?page=2&x=%zz", provedURL + "?é", provedURL + "#", provedURL + "#x", provedURL + "?a#b", provedURL + "?a=/../..", provedURL + "#?",
		" " + provedURL, provedURL + " ", "\t" + provedURL, provedURL + "\n", "https://api.exam\nple.com" + provedPath, resource + "/ord\ters/~7%2Fb", provedURL + "\x00", "\ufeff" + provedURL, provedURL + "," + provedURL, "<" + provedURL + ">",
		"*", strings.ToUpper(provedURL), "https://https://api.example.com" + provedPath, "javascript:alert(1)", "data:,x", "file:///etc/passwd", "urn:x:y",
	} {
		list = append(list, claimFrom("htu", strconv.QuoteToASCII(value), func(*base) string { return quote(value) }))
	}
	said := func(name, value string) mutation {
		return claimFrom("htu", name, func(*base) string { return value })
	}
	return append(list,
		said("with a query of 2000 characters", quote(provedURL+"?"+strings.Repeat("x", 2000))),
		said("with escaped solidi", strings.ReplaceAll(quote(provedURL), "/", `\/`)),
		said("escaped", strings.Replace(quote(provedURL), "h", `\u0068`, 1)),
		said("in an array, behind another", "["+quote(otherResource)+","+quote(provedURL)+"]"),
		said("in an object", `{"href":`+quote(provedURL)+"}"),
		said("1", `1`))
}

func hashMutations() []mutation {
	of := func(name string, hash func(token []byte) string) mutation {
		return claimFrom("ath", name, func(b *base) string { return quote(hash([]byte(b.bound[0]))) })
	}
	sum := func(token []byte) []byte { d := sha256.Sum256(token); return d[:] }
	standard := base64.StdEncoding.EncodeToString
	return []mutation{
		claimFrom("ath", "of another token", func(b *base) string { return quote(encode(sum([]byte(b.bound[1])))) }),
		of("of nothing", func([]byte) string { return encode(sum(nil)) }),
		of("padded", func(token []byte) string { return padded(encode(sum(token))) }),
		of("with spare bits set", func(token []byte) string { return spare(encode(sum(token))) }),
		of("in the other alphabet, padded", func(token []byte) string { return standard(sum(token)) }),
		of("in hexadecimal", func(token []byte) string { return hex.EncodeToString(sum(token)) }),
		of("of the hexadecimal hash", func(token []byte) string { return encode([]byte(hex.EncodeToString(sum(token)))) }),
		of("in upper case", func(token []byte) string { return strings.ToUpper(encode(sum(token))) }),
		of("with a space behind", func(token []byte) string { return encode(sum(token)) + " " }),
		of("with a line feed behind", func(token []byte) string { return encode(sum(token)) + "\n" }),
		of("the left half, as at_hash has it", func(token []byte) string { return encode(sum(token)[:16]) }),
		of("cut short", func(token []byte) string { return encode(sum(token)[:31]) }),
		of("of SHA-384", func(token []byte) string { return encode(digest(crypto.SHA384, string(token))) }),
		of("of SHA-512", func(token []byte) string { return encode(digest(crypto.SHA512, string(token))) }),
		of("of SHA-1", func(token []byte) string { return encode(digest(crypto.SHA1, string(token))) }),
		of("of the scheme and the token", func(token []byte) string { return encode(sum(append([]byte("DPoP "), token...))) }),
		of("of the token's signature", func(token []byte) string {
			return encode(sum(token[strings.LastIndexByte(string(token), '.')+1:]))
		}),
		of("the token itself", func(token []byte) string { return string(token) }),
		claimFrom("ath", "escaped", func(b *base) string {
			hash := encode(sum([]byte(b.bound[0])))
			return fmt.Sprintf(`"\u%04x%s"`, hash[0], hash[1:])
		}),
		inClaims("ath under the name at_hash", func(b *base) object { return b.claims.named("ath", `"at_hash"`) }),
	}
}

// proofTimeMutations keep away from the limits that the servers have (10, 30, 60 and
// 300 s), by 10 s at least.
func proofTimeMutations() (list []mutation) {
	dated := func(name, said string, value func() string) {
		list = append(list, claimFrom(name, said, func(*base) string { return value() }))
	}
	for _, d := range []struct {
		said string
		from int
	}{
		{"30 s ago", -30}, {"45 s ago", -45}, {"90 s ago", -90}, {"four minutes ago", -240}, {"six minutes ago", -360}, {"an hour ago", -3600}, {"a year ago", -365 * 86400},
		{"20 s ahead", 20}, {"45 s ahead", 45}, {"four minutes ahead", 240}, {"six minutes ahead", 360}, {"an hour ahead", 3600}, {"ten years ahead", 3652 * 86400},
	} {
		for _, name := range []string{"iat", "nbf", "exp"} {
			dated(name, d.said, func() string { return moment(d.from) })
		}
	}
	for _, name := range []string{"iat", "nbf", "exp"} {
		in := map[string]int{"exp": 60, "nbf": -60, "iat": 0}[name]
		dated(name, "as a string", func() string { return quote(moment(in)) })
		dated(name, "with .0 behind", func() string { return moment(in) + ".0" })
		dated(name, "with a fraction", func() string { return moment(in-1) + ".5" })
		dated(name, "with the exponent 0", func() string { return moment(in) + "e0" })
		dated(name, "with an exponent", func() string { return moment(in)[:1] + "." + moment(in)[1:] + "E+9" })
		dated(name, "negated", func() string { return "-" + moment(in) })
		dated(name, "in milliseconds", func() string { return moment(in) + "000" })
		for _, value := range []string{`-1`, `1`, `1e400`, `1e300`, `9223372036854775808`, `18446744073709551616`, `NaN`, `"x"`} {
			list = append(list, claim(name, value))
		}
		if name != "iat" { // that is among the required ones
			for _, value := range []string{`null`, `true`, `0`, `""`, `[]`, `{}`} {
				list = append(list, claim(name, value))
			}
		}
	}
	return list
}

func proofIDMutations() (list []mutation) {
	for _, value := range []string{
		`"x"`, `1`, `1.5`, `{"x":1}`, `"\u0000"`, `"a b"`, `"é"`, `"😀"`, `"\ud800"`, `"a\nb"`, `"' OR 1=1"`, `"../../x"`, `"9b2a4b1e-9f9c-4a53-9f0a-4a0d5cb4a9b6"`,
		quote(strings.Repeat("a", 500)), quote(strings.Repeat("b", 600)), quote(strings.Repeat("c", 4000)), quote(strings.Repeat("d", 7000)),
	} {
		list = append(list, claim("jti", value))
	}
	return append(list, claimFrom("jti", "of 300 characters in 600 bytes", func(*base) string { return quote(strings.Repeat("é", 300)) }))
}

func proofClaimMutations() (list []mutation) {
	for _, m := range []member{
		{"nonce", `"never-issued"`}, {"nonce", `""`}, {"nonce", `null`}, {"nonce", `1`}, {"nonce", `["x"]`}, {"nonce", `true`}, {"nonce", `{}`},
		{"iss", `"https://login.example.com"`}, {"iss", `1`}, {"sub", `"admin"`}, {"sub", `1`}, {"aud", `"https://other.example.com"`}, {"aud", `1`}, {"client_id", `"another"`}, {"scope", `"admin"`},
		{"cnf", `{"jkt":"x"}`}, {"cnf", `1`}, {"at_hash", `"x"`}, {"s_hash", `1`}, {"azp", `"x"`}, {"events", `{}`}, {"active", `false`}, {"alg", `"none"`}, {"typ", `"JWT"`}, {"jwk", `{}`},
		{"b64", `false`}, {"crit", `["x"]`}, {"unknown", `{"x":[1]}`}, {"__proto__", `{"htm":"POST"}`}, {"", `1`}, {"x", quote(strings.Repeat("x", 3000))}, {"x", quote(strings.Repeat("x", 7000))},
	} {
		list = append(list, inClaims(quote(m.name)+" "+shown(m.value)+" in the payload", func(b *base) object { return b.claims.and(m.name, m.value) }))
	}
	return list
}

// fieldMutations do not change the proof: {P} is a good proof, {Q} another one, {T} the
// token and {U} another token with the same key.
func fieldMutations() []mutation {
	field := func(name, text string) mutation {
		return mutation{name: name, lines: func(b *base) []string {
			text := strings.NewReplacer("{P}", b.token, "{Q}", b.other, "{T}", b.bound[0], "{U}", b.bound[1]).Replace(text)
			return asks("GET", provedPath, strings.Split(text, "\r\n")...)
		}}
	}
	proof := func(name, text string) mutation { return field(name, "Authorization: DPoP {T}\r\n"+text) }
	return []mutation{
		proof("no proof", "X-Nothing: 1"),
		proof("an empty line", "DPoP:"),
		proof("two lines", "DPoP: {P}\r\nDPoP: {Q}"),
		proof("two lines, the same", "DPoP: {P}\r\nDPoP: {P}"),
		proof("two lines, an empty one first", "DPoP:\r\nDPoP: {P}"),
		proof("two lines, an empty one last", "DPoP: {P}\r\nDPoP:"),
		proof("two lines, an invalid one first", "DPoP: x\r\nDPoP: {P}"),
		proof("two lines, an invalid one last", "DPoP: {P}\r\nDPoP: x"),
		proof("two lines, in other case", "DPoP: {P}\r\ndpop: {Q}"),
		proof("two with a comma between", "DPoP: {P}, {Q}"),
		proof("two with a comma alone between", "DPoP: {P},{Q}"),
		proof("two with a space between", "DPoP: {P} {Q}"),
		proof("two with a semicolon between", "DPoP: {P};{Q}"),
		proof("a comma behind", "DPoP: {P},"),
		proof("a comma in front", "DPoP: ,{P}"),
		proof("a semicolon behind", "DPoP: {P};"),
		proof("a parameter behind", "DPoP: {P};x=1"),
		proof("a word behind", "DPoP: {P} x"),
		proof("field name in lower case", "dpop: {P}"),
		proof("field name in upper case", "DPOP: {P}"),
		proof("field name in mixed case", "DpOp: {P}"),
		proof("no space behind the colon", "DPoP:{P}"),
		proof("a tab behind the colon", "DPoP:\t{P}"),
		proof("three spaces behind the colon", "DPoP:   {P}"),
		proof("a space behind the proof", "DPoP: {P} "),
		proof("a tab behind the proof", "DPoP: {P}\t"),
		proof("a space before the colon", "DPoP : {P}"),
		proof("a folded line", "DPoP:\r\n {P}"),
		proof("a byte order mark in front", "DPoP: \ufeff{P}"),
		proof("NUL behind", "DPoP: {P}\x00"),
		proof("in quotes", `DPoP: "{P}"`),
		proof("as a byte sequence", "DPoP: :{P}:"),
		proof("behind the scheme DPoP", "DPoP: DPoP {P}"),
		proof("behind the scheme Bearer", "DPoP: Bearer {P}"),
		proof("percent-encoded in one place", "DPoP: %65{P}"),
		proof("field X-DPoP", "X-DPoP: {P}"),
		proof("field DPoP-Proof", "DPoP-Proof: {P}"),
		proof("field Cookie", "Cookie: DPoP={P}"),
		proof("the token for a proof", "DPoP: {T}"),
		field("scheme in lower case", "Authorization: dpop {T}\r\nDPoP: {P}"),
		field("scheme in upper case", "Authorization: DPOP {T}\r\nDPoP: {P}"),
		field("scheme Bearer, with the proof", "Authorization: Bearer {T}\r\nDPoP: {P}"),
		field("scheme Bearer, without a proof", "Authorization: Bearer {T}"),
		field("scheme Token, with the proof", "Authorization: Token {T}\r\nDPoP: {P}"),
		field("no token", "DPoP: {P}"),
		field("the scheme alone", "Authorization: DPoP\r\nDPoP: {P}"),
		field("the proof for a token", "Authorization: DPoP {P}\r\nDPoP: {P}"),
		field("another token of the same key", "Authorization: DPoP {U}\r\nDPoP: {P}"),
		field("two spaces behind the scheme", "Authorization: DPoP  {T}\r\nDPoP: {P}"),
		field("a tab behind the scheme", "Authorization: DPoP\t{T}\r\nDPoP: {P}"),
		field("the token in quotes", "Authorization: DPoP \"{T}\"\r\nDPoP: {P}"),
		field("a parameter behind the token", "Authorization: DPoP {T}, proof=\"{P}\"\r\nDPoP: {P}"),
		field("two Authorization lines, the same", "Authorization: DPoP {T}\r\nAuthorization: DPoP {T}\r\nDPoP: {P}"),
		field("two Authorization lines, DPoP and Bearer", "Authorization: DPoP {T}\r\nAuthorization: Bearer {T}\r\nDPoP: {P}"),
		field("two Authorization lines, Bearer and DPoP", "Authorization: Bearer {T}\r\nAuthorization: DPoP {T}\r\nDPoP: {P}"),
		field("DPoP and Bearer with a comma between", "Authorization: DPoP {T}, Bearer {T}\r\nDPoP: {P}"),
	}
}

// proofRequestMutations make another request with a good proof, or with one for it.
func proofRequestMutations() (list []mutation) {
	request := func(name, method, target string, change func(claims object) object, lines ...string) {
		list = append(list, mutation{name: name, lines: func(b *base) []string {
			proof := b.sign(b.header.String(), change(b.claims).String())
			return asks(method, target, append([]string{"Authorization: DPoP " + b.bound[0], "DPoP: " + proof}, lines...)...)
		}})
	}
	same := func(claims object) object { return claims }
	to := func(name, value string) func(claims object) object {
		return func(claims object) object { return claims.with(name, quote(value)) }
	}
	again := to("jti", "used-again")
	request("a jti for the first time", "GET", provedPath, again)
	request("a jti that was used before", "GET", provedPath, again)
	request("a jti that was used before, for another URL", "GET", "/orders", func(claims object) object { return again(claims).with("htu", quote(resource+"/orders")) })
	for _, method := range []string{"POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD", "get", "QUERY"} {
		request("request "+method, method, provedPath, same)
		request("request "+method+", and htm matches", method, provedPath, to("htm", method))
	}
	for _, target := range []string{
		provedPath + "?page=2", provedPath + "?", "/orders/%7E7%2Fb", "/orders/~7%2fb", "/orders/~7/b", "/orders/~7%252Fb", "/./orders/~7%2Fb", "/x/../orders/~7%2Fb", "/%2e/orders/~7%2Fb", "//orders/~7%2Fb", provedPath + "/", "/", "/orders",
	} {
		request("request for "+target, "GET", target, same)
	}
	for _, path := range []string{"//orders", "//evil.example/orders", "/orders//7", "/a;b=c", "/a%00b", "/a%C3%A9", "/a'b", "/a|b", "/a%7Cb", `/a\b`, "/a@b:c", "/%", "/a//../b", "/..", "/.", "/a%2e%2e/b"} {
		request("request for "+path+", and htu matches", "GET", path, to("htu", resource+path))
	}
	return list
}

// hostMutations are requests with another host name. An attacker's server that collects
// proofs for itself could replay them here.
func hostMutations() []mutation {
	named := func(name, htu string, lines ...string) mutation {
		return mutation{name: name, lines: func(b *base) []string {
			proof := b.sign(b.header.String(), b.claims.with("htu", quote(htu)).String())
			return append([]string{"GET " + provedPath + " HTTP/1.1"}, append(lines, "Authorization: DPoP "+b.bound[0], "DPoP: "+proof)...)
		}}
	}
	const evil = "https://evil.example" + provedPath
	return []mutation{
		named("Host of an attacker, and htu matches", evil, "Host: evil.example", "X-Forwarded-Proto: https"),
		named("X-Forwarded-Host of an attacker, and htu matches", evil, "Host: api.example.com", "X-Forwarded-Host: evil.example", "X-Forwarded-Proto: https"),
		named("Host of an attacker, and a good proof", provedURL, "Host: evil.example", "X-Forwarded-Proto: https"),
		named("X-Forwarded-Proto http, and htu matches", "http://api.example.com"+provedPath, "Host: api.example.com", "X-Forwarded-Proto: http"),
		named("no X-Forwarded-Proto, and a good proof", provedURL, "Host: api.example.com"),
		named("Host with the port 443, and a good proof", provedURL, "Host: api.example.com:443", "X-Forwarded-Proto: https"),
		named("Host in upper case, and a good proof", provedURL, "Host: API.EXAMPLE.COM", "X-Forwarded-Proto: https"),
	}
}
