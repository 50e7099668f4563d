//go:build interop

package interop_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"slices"
	"strings"
)

// publicJWK writes the key under which the token is good, as a token might carry
// it.
func publicJWK(b *base) string {
	return string(must(json.Marshal(jwkOf(keyOf[b.algorithm], b.key(), false))))
}

func publicDER(b *base) []byte { return must(x509.MarshalPKIXPublicKey(b.key().Public())) }

func publicPEM(b *base) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: publicDER(b)})
}

func algorithmMutations() []mutation {
	var list []mutation
	for _, none := range []string{"none", "None", "NONE", "nOnE", "none "} {
		list = append(list,
			sends("alg "+quote(none)+" without a signature", func(b *base) string {
				return encode([]byte(b.header.with("alg", quote(none)).String())) + "." + b.parts()[1] + "."
			}),
			header("alg", quote(none)))
	}
	for _, algorithm := range []string{"HS256", "HS384", "HS512"} {
		for _, secret := range []struct {
			said string
			of   func(b *base) []byte
		}{
			{"the PEM of the key", publicPEM},
			{"the PEM without its last line feed", func(b *base) []byte { return publicPEM(b)[:len(publicPEM(b))-1] }},
			{"the DER of the key", publicDER},
			{"the JWK of the key", func(b *base) []byte { return []byte(publicJWK(b)) }},
			{"nothing", func(*base) []byte { return nil }},
		} {
			list = append(list, sends(algorithm+" with "+secret.said+" as the secret", func(b *base) string {
				return b.signedAs(algorithm, b.header, secret.of(b))
			}))
		}
	}
	list = append(list,
		inHeader("alg absent", func(b *base) object { return b.header.without("alg") }),
		inHeader("alg in lower case", func(b *base) object { return b.header.with("alg", quote(strings.ToLower(b.algorithm))) }),
		inHeader("alg with a space behind", func(b *base) object { return b.header.with("alg", quote(b.algorithm+" ")) }),
		inHeader("alg in an array", func(b *base) object { return b.header.with("alg", "["+quote(b.algorithm)+"]") }),
		inHeader("alg escaped", func(b *base) object {
			return b.header.with("alg", fmt.Sprintf(`"\u%04x%s"`, b.algorithm[0], b.algorithm[1:]))
		}),
		inHeader("alg under an escaped name", func(b *base) object { return b.header.named("alg", escapedName("alg")) }),
		inHeader("alg under the name ALG", func(b *base) object { return b.header.named("alg", `"ALG"`) }),
		inHeader("alg beside ALG none", func(b *base) object { return b.header.and("ALG", `"none"`) }),
		inHeader("alg twice, the same", func(b *base) object { return b.header.and("alg", quote(b.algorithm)) }),
		inHeader("alg twice, none first", func(b *base) object { return b.header.after("alg", `"none"`) }),
		inHeader("alg twice, none last", func(b *base) object { return b.header.and("alg", `"none"`) }))
	for _, value := range []string{
		`""`, `null`, `256`, `true`, `{}`, `[]`, `"RSA"`, `"ES256K"`, `"EdDSA"`, `"Ed25519"`, `"ML-DSA-65"`, `"RSA-OAEP"`, `"dir"`, `"A128KW"`, `"PBES2-HS256+A128KW"`,
		`"SHA256withRSA"`, `"RS1"`, `"ES256\u0000"`, `"http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"`,
	} {
		list = append(list, header("alg", value))
	}
	for _, as := range []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512"} {
		list = append(list, mislabelled(as)...)
	}
	for _, algorithm := range []string{"RS384", "RS512", "PS384", "PS512"} {
		list = append(list, only("RS256", sends("header and signature of "+algorithm, func(b *base) string {
			return b.signedAs(algorithm, b.header, b.key())
		}))...)
	}
	return append(list, only("ES256",
		sends("ES256 with a P-384 key under its own kid", func(b *base) string {
			return b.signedAs("ES256", b.header.with("kid", quote(p384Key)), b.published[p384Key])
		}),
		sends("ES256 with a P-384 key under the kid of the P-256 key", func(b *base) string {
			return b.signedAs("ES256", b.header, b.published[p384Key])
		}),
		sends("ES384 with the P-384 key", func(b *base) string {
			return b.signedAs("ES384", b.header.with("kid", quote(p384Key)), b.published[p384Key])
		}),
		sends("EdDSA with the Ed25519 key", func(b *base) string {
			return b.signedAs("EdDSA", b.header.with("kid", quote(ed25519Key)), b.published[ed25519Key])
		}),
		sends("Ed25519 with the Ed25519 key", func(b *base) string {
			return b.signedAs("Ed25519", b.header.with("kid", quote(ed25519Key)), b.published[ed25519Key])
		}),
		sends("ES256 with the Ed25519 key under its own kid", func(b *base) string {
			return b.signedAs("ES256", b.header.with("kid", quote(ed25519Key)), b.published[ed25519Key])
		}),
		sends("ES384 with the P-384 key under the kid of the P-256 key", func(b *base) string {
			return b.signedAs("ES384", b.header, b.published[p384Key])
		}),
		sends("ES384 with the P-256 key", func(b *base) string { return b.signedAs("ES384", b.header, b.key()) }),
		sends("ES512 with the P-256 key", func(b *base) string { return b.signedAs("ES512", b.header, b.key()) }))...)
}

// mislabelled are tokens whose header names one algorithm, although another one made the
// signature.
func mislabelled(as string) (list []mutation) {
	for _, algorithm := range []string{"RS256", "PS256", "ES256"} {
		if as == algorithm {
			continue
		}
		list = append(list, only(algorithm, inHeader("header says "+as+", signature is of "+algorithm, func(b *base) object {
			return b.header.with("alg", quote(as))
		}))...)
	}
	return list
}

func headerMutations() []mutation {
	list := []mutation{
		inHeader("crit names an absent parameter", func(b *base) object { return b.header.with("crit", `["x"]`) }),
		inHeader("crit names an unknown extension", func(b *base) object { return b.header.with("crit", `["x"]`).with("x", "1") }),
		inHeader("crit names alg", func(b *base) object { return b.header.with("crit", `["alg"]`) }),
		inHeader("crit names typ", func(b *base) object { return b.header.with("crit", `["typ"]`) }),
		inHeader("crit names exp, which is there", func(b *base) object { return b.header.with("crit", `["exp"]`).with("exp", moment(300)) }),
		inHeader("crit names b64, which is true", func(b *base) object { return b.header.with("crit", `["b64"]`).with("b64", "true") }),
		inHeader("crit names b64, which is false, payload encoded", func(b *base) object { return b.header.with("crit", `["b64"]`).with("b64", "false") }),
		sends("crit names b64, which is false, signed that way", func(b *base) string {
			h := encode([]byte(b.header.with("crit", `["b64"]`).with("b64", "false").String()))
			return h + "." + b.parts()[1] + "." + encode(seal(b.algorithm, b.key(), h+"."+b.claims.String()))
		}),
		inHeader("b64 true without crit", func(b *base) object { return b.header.with("b64", "true") }),
		inHeader("b64 false without crit", func(b *base) object { return b.header.with("b64", "false") }),
		inHeader("jwk is the issuer's own key", func(b *base) object { return b.header.with("jwk", publicJWK(b)) }),
		sends("jwk is an attacker's key, which signs", func(b *base) string {
			own := b.unpublished[keyOf[b.algorithm]]
			return b.signedAs(b.algorithm, b.header.with("jwk", string(must(json.Marshal(jwkOf(keyOf[b.algorithm], own, false))))), own)
		}),
		sends("jwk is an attacker's key without kid, which signs", func(b *base) string {
			own := b.unpublished[keyOf[b.algorithm]]
			return b.signedAs(b.algorithm, b.header.without("kid").with("jwk", string(must(json.Marshal(jwkOf("x", own, false))))), own)
		}),
		sends("jku of an attacker, whose key signs", func(b *base) string {
			return b.signedAs(b.algorithm, b.header.with("jku", `"http://127.0.0.1:1/jwks"`), b.unpublished[keyOf[b.algorithm]])
		}),
		inHeader("kid twice, the same", func(b *base) object { return b.header.and("kid", b.header.get("kid")) }),
		inHeader("kid twice, an unknown one first", func(b *base) object { return b.header.after("kid", `"unknown"`) }),
		inHeader("kid twice, an unknown one last", func(b *base) object { return b.header.and("kid", `"unknown"`) }),
		inHeader("typ twice, the same", func(b *base) object { return b.header.and("typ", `"at+jwt"`) }),
		inHeader("typ twice, JWT first", func(b *base) object { return b.header.after("typ", `"JWT"`) }),
		inHeader("typ twice, JWT last", func(b *base) object { return b.header.and("typ", `"JWT"`) }),
		inHeader("typ under an escaped name", func(b *base) object { return b.header.named("typ", escapedName("typ")) }),
		inHeader("typ under the name TYP", func(b *base) object { return b.header.named("typ", `"TYP"`) }),
		inHeader("kid under an escaped name", func(b *base) object { return b.header.named("kid", escapedName("kid")) }),
		inHeader("kid under the name KID", func(b *base) object { return b.header.named("kid", `"KID"`) }),
	}
	for _, m := range []member{
		{"crit", `[]`}, {"crit", `null`}, {"crit", `"exp"`}, {"crit", `{}`}, {"crit", `[1]`}, {"crit", `[""]`}, {"crit", `["x","x"]`}, {"crit", `true`},
		{"jwk", `{}`}, {"jwk", `null`}, {"jwk", `"x"`}, {"jwk", `{"kty":"oct","k":"AAAA"}`},
		{"jku", `"http://127.0.0.1:1/jwks"`}, {"jku", `1`}, {"jku", `"file:///etc/passwd"`},
		{"x5u", `"http://127.0.0.1:1/x5u"`}, {"x5u", `1`}, {"x5c", `["AAAA"]`}, {"x5c", `[]`}, {"x5c", `"AAAA"`}, {"x5t", `"AAAA"`}, {"x5t#S256", `"AAAA"`}, {"x5t", `1`},
		{"zip", `"DEF"`}, {"zip", `1`}, {"enc", `"A128GCM"`}, {"enc", `"none"`}, {"cty", `"JWT"`}, {"cty", `"jwt"`}, {"cty", `"application/jwt"`}, {"cty", `"at+jwt"`},
		{"cty", `"application/json"`}, {"cty", `""`}, {"cty", `1`}, {"cty", `null`},
		{"iss", `"https://login.example.net"`}, {"aud", `"https://other.example.com"`}, {"exp", `1`}, {"exp", `"x"`}, {"sub", `"admin"`}, {"iat", `1`},
		{"nonce", `"x"`}, {"url", `"https://api.example.com"`}, {"epk", `{}`}, {"apu", `"AAAA"`}, {"p2c", `100000000`}, {"p2s", `"AAAA"`}, {"iv", `"AAAA"`}, {"tag", `"AAAA"`},
		{"x", `1`}, {"x", `null`}, {"x", `{"y":[1]}`}, {"client_id", `"x"`}, {"trust_chain", `[]`}, {"svt", `[]`}, {"ppt", `"shaken"`}, {"", `1`}, {"__proto__", `{"alg":"none"}`},
		{"x", quote(strings.Repeat("x", 1500))}, {"x", quote(strings.Repeat("x", 4000))},
	} {
		list = append(list, inHeader(quote(m.name)+" "+shown(m.value)+" in the header", func(b *base) object { return b.header.and(m.name, m.value) }))
	}
	return list
}

func headerTextMutations() (list []mutation) {
	for _, change := range textChanges() {
		list = append(list, sends("header "+change.name, func(b *base) string { return b.sign(change.change(b.header.String()), b.claims.String()) }))
	}
	return list
}

// spare sets bits of the last character that carry no data (RFC 4648 §3.5). The part
// must have such bits.
func spare(part string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	if len(part)%4 == 0 {
		panic("a part of whole bytes has no spare bits")
	}
	last := strings.IndexByte(alphabet, part[len(part)-1])
	return part[:len(part)-1] + alphabet[last+1:last+2]
}

// uneven pads an object so that its encoding has spare bits.
func uneven(o object) string {
	for text := o.String(); ; text = strings.TrimSuffix(text, "}") + " }" {
		if len(text)%3 != 0 {
			return encode([]byte(text))
		}
	}
}

// other64 makes an object whose encoding has characters that the two alphabets do
// not share, and writes it in the other one.
func other64(o object) string {
	text := o.and("x", `"???????~~~~~~~"`).String()
	encoded := base64.RawStdEncoding.EncodeToString([]byte(text))
	if !strings.ContainsAny(encoded, "+/") {
		panic("no character differs")
	}
	return encoded
}

func padded(part string) string { return part + strings.Repeat("=", (4-len(part)%4)%4) }

func encodingMutations() []mutation {
	// Before signing, so that a tolerant reader finds a good signature, and in the
	// signature, which is not signed itself.
	inHeader := func(name string, part func(b *base) string) mutation {
		return sends("header "+name, func(b *base) string { return b.signed(part(b) + "." + b.parts()[1]) })
	}
	inPayload := func(name string, part func(b *base) string) mutation {
		return sends("payload "+name, func(b *base) string { return b.signed(b.parts()[0] + "." + part(b)) })
	}
	inSignature := func(name string, part func(signature string) string) mutation {
		return sends("signature "+name, func(b *base) string { return b.input() + "." + part(b.parts()[2]) })
	}
	middle := func(text string) func(part string) string {
		return func(part string) string { return part[:len(part)/2] + text + part[len(part)/2:] }
	}
	list := []mutation{
		inHeader("padded", func(b *base) string { return padded(uneven(b.header)) }),
		inHeader("in the other alphabet", func(b *base) string { return other64(b.header) }),
		inHeader("with spare bits set", func(b *base) string { return spare(uneven(b.header)) }),
		inPayload("padded", func(b *base) string { return padded(uneven(b.claims)) }),
		inPayload("in the other alphabet", func(b *base) string { return other64(b.claims) }),
		inPayload("with spare bits set", func(b *base) string { return spare(uneven(b.claims)) }),
		inSignature("padded", padded),
		inSignature("with one sign of padding", func(part string) string { return part + "=" }),
		inSignature("with four signs of padding", func(part string) string { return part + "====" }),
		inSignature("with spare bits set", spare),
		sends("signature in the other alphabet", func(b *base) string {
			for {
				token := b.sign(b.header.String(), b.claims.with("jti", quote(rand.Text())).String())
				dot := strings.LastIndexByte(token, '.')
				if signature := token[dot:]; strings.ContainsAny(signature, "-_") {
					return token[:dot] + strings.NewReplacer("-", "+", "_", "/").Replace(signature)
				}
			}
		}),
	}
	for _, c := range []struct{ said, text string }{
		{"a space", " "}, {"a tab", "\t"}, {"NUL", "\x00"}, {"a comma", ","}, {"a tilde", "~"}, {"a percent sign", "%"}, {"an encoded line feed", "%0A"},
		{"an encoded nothing", "%00"}, {"an equals sign", "="}, {"an exclamation mark", "!"}, {"a byte above ASCII", "\xe9"}, {"a soft hyphen", "\u00ad"}, {"a folded line", "\r\n "},
	} {
		list = append(list,
			inHeader("with "+c.said+" inside", func(b *base) string { return middle(c.text)(b.parts()[0]) }),
			inPayload("with "+c.said+" inside", func(b *base) string { return middle(c.text)(b.parts()[1]) }),
			inSignature("with "+c.said+" inside", middle(c.text)))
	}
	return append(list,
		sends("dots percent-encoded", func(b *base) string { return strings.ReplaceAll(b.token, ".", "%2E") }),
		sends("the whole token percent-encoded in one place", func(b *base) string { return fmt.Sprintf("%%%02X%s", b.token[0], b.token[1:]) }),
		sends("the whole token encoded once more", func(b *base) string { return encode([]byte(b.token)) }),
		sends("the whole token in hexadecimal", func(b *base) string { return fmt.Sprintf("%x", b.token) }),
		sends("header in hexadecimal", func(b *base) string { return b.signed(fmt.Sprintf("%x.%s", b.header, b.parts()[1])) }))
}

func serializationMutations() []mutation {
	flattened := func(b *base) string {
		return string(must(json.Marshal(map[string]string{"protected": b.parts()[0], "payload": b.parts()[1], "signature": b.parts()[2]})))
	}
	general := func(b *base) string {
		return fmt.Sprintf(`{"payload":%q,"signatures":[{"protected":%q,"signature":%q}]}`, b.parts()[1], b.parts()[0], b.parts()[2])
	}
	list := []mutation{
		sends("JSON, flattened", flattened),
		sends("JSON, general", general),
		sends("JSON, flattened and encoded", func(b *base) string { return encode([]byte(flattened(b))) }),
		sends("JSON, general and encoded", func(b *base) string { return encode([]byte(general(b))) }),
		sends("no payload, signed that way", func(b *base) string { return b.signed(b.parts()[0] + ".") }),
		sends("no payload, which is detached", func(b *base) string { return b.parts()[0] + ".." + b.parts()[2] }),
		sends("payload not encoded", func(b *base) string { return b.signed(b.parts()[0] + "." + b.claims.String()) }),
		sends("header not encoded", func(b *base) string { return b.signed(b.header.String() + "." + b.parts()[1]) }),
		sends("a nested JWT for a payload", func(b *base) string { return b.sign(b.header.String(), b.token) }),
		sends("a nested JWT and cty for a payload", func(b *base) string { return b.sign(b.header.with("cty", `"JWT"`).String(), b.token) }),
		sends("signed over the payload alone", func(b *base) string { return b.end(seal(b.algorithm, b.key(), b.parts()[1])) }),
		sends("signed over what is not encoded", func(b *base) string {
			return b.end(seal(b.algorithm, b.key(), b.header.String()+"."+b.claims.String()))
		}),
		sends("signed with a line feed behind", func(b *base) string { return b.end(seal(b.algorithm, b.key(), b.input()+"\n")) }),
		sends("signed with a dot behind", func(b *base) string { return b.end(seal(b.algorithm, b.key(), b.input()+".")) }),
	}
	for said, form := range map[string]string{
		"one part":                         "{H}",
		"two parts":                        "{H}.{P}",
		"two parts, header and signature":  "{H}.{S}",
		"no signature":                     "{H}.{P}.",
		"no header":                        ".{P}.{S}",
		"dots alone":                       "..",
		"a fourth part, empty":             "{H}.{P}.{S}.",
		"a fourth part":                    "{H}.{P}.{S}.{S}",
		"five parts":                       "{H}.{P}.{S}.{S}.{S}",
		"five parts, those of a JWE":       "{H}..{P}.{S}.{S}",
		"six parts":                        "{H}.{P}.{S}.{H}.{P}.{S}",
		"two tokens, one behind the other": "{H}.{P}.{S}{H}.{P}.{S}",
		"a dot in front":                   ".{H}.{P}.{S}",
		"two dots in place of one":         "{H}..{P}.{S}",
		"header and payload exchanged":     "{P}.{H}.{S}",
		"payload twice":                    "{H}.{P}{P}.{S}",
		"header twice":                     "{H}{H}.{P}.{S}",
		"signature twice":                  "{H}.{P}.{S}{S}",
		"a tilde behind, as SD-JWT has it": "{H}.{P}.{S}~",
		"two tildes behind":                "{H}.{P}.{S}~~",
		"a letter behind":                  "{H}.{P}.{S}A",
		"a letter in front":                "A{H}.{P}.{S}",
		"a letter behind the header":       "{H}A.{P}.{S}",
		"a letter behind the payload":      "{H}.{P}A.{S}",
		"the word Bearer in front":         "Bearer.{H}.{P}.{S}",
		"a space around the first dot":     "{H} . {P}.{S}",
		"commas in place of dots":          "{H},{P},{S}",
		"a query behind":                   "{H}.{P}.{S}?x=1",
		"a fragment behind":                "{H}.{P}.{S}#x",
		"a slash behind":                   "{H}.{P}.{S}/",
		"everything in lower case":         "{lower}",
	} {
		list = append(list, sends(said, func(b *base) string {
			p := b.parts()
			return strings.NewReplacer("{H}", p[0], "{P}", p[1], "{S}", p[2], "{lower}", strings.ToLower(b.token)).Replace(form)
		}))
	}
	for said, n := range map[string]int{"cut by a character": 1, "cut by two characters": 2, "cut by four characters": 4, "cut by half of the signature": -2} {
		list = append(list, sends(said, func(b *base) string {
			if n < 0 {
				return b.token[:len(b.token)-len(b.parts()[2])/2]
			}
			return b.token[:len(b.token)-n]
		}))
	}
	slices.SortStableFunc(list, func(a, b mutation) int { return strings.Compare(a.name, b.name) })
	return list
}

func signatureMutations() []mutation {
	change := func(name string, change func(signature []byte) []byte) mutation {
		return sends(name, func(b *base) string { return b.end(change(b.signature())) })
	}
	flip := func(at func(signature []byte) int, mask byte) func([]byte) []byte {
		return func(s []byte) []byte { s[at(s)] ^= mask; return s }
	}
	first, last := func([]byte) int { return 0 }, func(s []byte) int { return len(s) - 1 }
	list := []mutation{
		change("first bit changed", flip(first, 0x80)),
		change("first byte's last bit changed", flip(first, 1)),
		change("last bit changed", flip(last, 1)),
		change("last byte's first bit changed", flip(last, 0x80)),
		change("a bit in the middle changed", flip(func(s []byte) int { return len(s) / 2 }, 1)),
		change("all zeros", func(s []byte) []byte { return make([]byte, len(s)) }),
		change("all ones", func(s []byte) []byte { return slices.Repeat([]byte{0xff}, len(s)) }),
		change("the number 1", func(s []byte) []byte { return big.NewInt(1).FillBytes(make([]byte, len(s))) }),
		change("one byte", func(s []byte) []byte { return s[:1] }),
		change("without its last byte", func(s []byte) []byte { return s[:len(s)-1] }),
		sends("without its first byte", func(b *base) string { return cutInFront(b, false, 1) }),
		change("with a zero behind", func(s []byte) []byte { return append(s, 0) }),
		change("with a zero in front", func(s []byte) []byte { return append([]byte{0}, s...) }),
		change("the wrong way round", func(s []byte) []byte { slices.Reverse(s); return s }),
		change("twice", func(s []byte) []byte { return append(s, s...) }),
		sends("of another token", func(b *base) string { return b.input() + b.other[strings.LastIndexByte(b.other, '.'):] }),
		sends("of the issuer's other key of this type", func(b *base) string { return b.signedBy(b.algorithm, b.published[b.second()], b.input()) }),
		sends("of an unpublished key", func(b *base) string {
			return b.signedBy(b.algorithm, b.unpublished[keyOf[b.algorithm]], b.input())
		}),
		sends("payload of another token", func(b *base) string {
			return b.parts()[0] + "." + strings.Split(b.other, ".")[1] + "." + b.parts()[2]
		}),
		sends("made anew", func(b *base) string {
			return b.sign(b.header.String(), b.claims.with("jti", quote(rand.Text())).String())
		}),
		sends("with a leading zero, as it must be", func(b *base) string { return cutInFront(b, true, 0) }),
		sends("without its leading zero", func(b *base) string { return cutInFront(b, true, 1) }),
	}
	list = append(list, curveMutations()...)
	return append(list, rsaMutations()...)
}

// cutInFront makes a token whose signature begins with a zero, or with another byte,
// and leaves that many bytes out. Without its leading zero it is the same number.
func cutInFront(b *base, zero bool, without int) string {
	for {
		token := b.sign(b.header.String(), b.claims.with("jti", quote(rand.Text())).String())
		dot := strings.LastIndexByte(token, '.') + 1
		if signature := must(base64.RawURLEncoding.DecodeString(token[dot:])); (signature[0] == 0) == zero {
			return token[:dot] + encode(signature[without:])
		}
	}
}

func curveMutations() []mutation {
	n := func(b *base) *big.Int { return b.ec().Params().N }
	zero := new(big.Int)
	point := func(name string, change func(b *base, r, s *big.Int) []byte) mutation {
		return sends(name, func(b *base) string {
			r, s := signPoint(b.ec(), crypto.SHA256, b.input())
			return b.end(change(b, r, s))
		})
	}
	return only("ES256",
		point("in DER", func(_ *base, r, s *big.Int) []byte { return must(asn1.Marshal([]*big.Int{r, s})) }),
		point("r is zero", func(_ *base, _, s *big.Int) []byte { return joined(zero, s, 32) }),
		point("s is zero", func(_ *base, r, _ *big.Int) []byte { return joined(r, zero, 32) }),
		point("r is n", func(b *base, _, s *big.Int) []byte { return joined(n(b), s, 32) }),
		point("s is n", func(b *base, r, _ *big.Int) []byte { return joined(r, n(b), 32) }),
		point("r and s are n", func(b *base, _, _ *big.Int) []byte { return joined(n(b), n(b), 32) }),
		point("r and s are 1", func(_ *base, _, _ *big.Int) []byte { return joined(big.NewInt(1), big.NewInt(1), 32) }),
		point("s is n-s, which is good", func(b *base, r, s *big.Int) []byte { return joined(r, new(big.Int).Sub(n(b), s), 32) }),
		point("s is the higher of the two, which is good", func(b *base, r, s *big.Int) []byte {
			if other := new(big.Int).Sub(n(b), s); other.Cmp(s) > 0 {
				s = other
			}
			return joined(r, s, 32)
		}),
		point("r and s exchanged", func(_ *base, r, s *big.Int) []byte { return joined(s, r, 32) }),
		point("r is n-r", func(b *base, r, s *big.Int) []byte { return joined(new(big.Int).Sub(n(b), r), s, 32) }),
		point("r and s in 33 bytes each", func(_ *base, r, s *big.Int) []byte { return joined(r, s, 33) }),
		point("r and s in 48 bytes each", func(_ *base, r, s *big.Int) []byte { return joined(r, s, 48) }),
		point("r and s in 66 bytes each", func(_ *base, r, s *big.Int) []byte { return joined(r, s, 66) }),
		point("r alone", func(_ *base, r, _ *big.Int) []byte { return r.FillBytes(make([]byte, 32)) }),
		sends("ES256 over SHA-384", func(b *base) string {
			r, s := signPoint(b.ec(), crypto.SHA384, b.input())
			return b.end(joined(r, s, 32))
		}),
		sends("ES256 over SHA-1", func(b *base) string {
			r, s := signPoint(b.ec(), crypto.SHA1, b.input())
			return b.end(joined(r, s, 32))
		}),
		sends("ES256 of the P-384 key in 48 bytes each", func(b *base) string {
			r, s := signPoint(b.published[p384Key].(*ecdsa.PrivateKey), crypto.SHA256, b.input())
			return b.end(joined(r, s, 48))
		}))
}

func rsaMutations() []mutation {
	raw := func(key *rsa.PrivateKey, block []byte) []byte {
		m := new(big.Int).SetBytes(block)
		return m.Exp(m, key.D, key.N).FillBytes(make([]byte, key.Size()))
	}
	list := []mutation{}
	for _, salt := range []int{0, 20, 31, 64} {
		list = append(list, only("PS256", sends(fmt.Sprintf("PS256 with a salt of %d bytes", salt), func(b *base) string {
			if salt == 0 {
				return b.end(saltless(b.rsa(), b.input()))
			}
			return b.end(sealPSS(b.rsa(), crypto.SHA256, salt, b.input()))
		}))...)
	}
	list = append(list, only("PS256",
		sends("PS256 with the longest salt", func(b *base) string {
			return b.end(sealPSS(b.rsa(), crypto.SHA256, b.rsa().Size()-2-32, b.input()))
		}),
		sends("PS256 over SHA-384", func(b *base) string { return b.end(sealPSS(b.rsa(), crypto.SHA384, 48, b.input())) }))...)
	return append(list, only("RS256",
		sends("RS256 over SHA-512", func(b *base) string {
			return b.end(must(rsa.SignPKCS1v15(nil, b.rsa(), crypto.SHA512, digest(crypto.SHA512, b.input()))))
		}),
		sends("RS256 over SHA-1", func(b *base) string {
			return b.end(must(rsa.SignPKCS1v15(nil, b.rsa(), crypto.SHA1, digest(crypto.SHA1, b.input()))))
		}),
		sends("RS256 without the name of the hash", func(b *base) string {
			return b.end(must(rsa.SignPKCS1v15(nil, b.rsa(), 0, digest(crypto.SHA256, b.input()))))
		}),
		sends("RS256 without padding", func(b *base) string { return b.end(raw(b.rsa(), digest(crypto.SHA256, b.input()))) }),
		sends("RS256 with short padding and bytes behind", func(b *base) string {
			name := must(base64.StdEncoding.DecodeString("MDEwDQYJYIZIAWUDBAIBBQAEIA==")) // RFC 8017 §9.2
			block := append([]byte{0, 1, 255, 255, 255, 255, 255, 255, 255, 255, 0}, append(name, digest(crypto.SHA256, b.input())...)...)
			return b.end(raw(b.rsa(), append(block, make([]byte, b.rsa().Size()-len(block))...)))
		}),
		sends("RS256 with padding of type 2", func(b *base) string {
			block := slices.Repeat([]byte{1}, b.rsa().Size())
			name := must(base64.StdEncoding.DecodeString("MDEwDQYJYIZIAWUDBAIBBQAEIA=="))
			end := append(append([]byte{0}, name...), digest(crypto.SHA256, b.input())...)
			copy(block, []byte{0, 2})
			copy(block[len(block)-len(end):], end)
			return b.end(raw(b.rsa(), block))
		}),
		sends("RS256, n-s", func(b *base) string {
			s := new(big.Int).SetBytes(b.signature())
			return b.end(s.Sub(b.rsa().N, s).FillBytes(make([]byte, b.rsa().Size())))
		}),
		sends("RS256, s+n", func(b *base) string {
			s := new(big.Int).SetBytes(b.signature())
			return b.end(s.Add(s, b.rsa().N).FillBytes(make([]byte, b.rsa().Size()+1)))
		}),
		sends("RS256, n", func(b *base) string { return b.end(b.rsa().N.Bytes()) }),
		sends("RS256, n-1", func(b *base) string { return b.end(new(big.Int).Sub(b.rsa().N, big.NewInt(1)).Bytes()) }))...)
}

// saltless signs with PSS and an empty salt (RFC 8017 §9.1.1). crypto/rsa cannot do this,
// because its length 0 has a different meaning.
func saltless(key *rsa.PrivateKey, input string) []byte {
	hash := digest(crypto.SHA256, input)
	h := digest(crypto.SHA256, string(make([]byte, 8))+string(hash))
	block := make([]byte, key.Size()-len(h)-1)
	block[len(block)-1] = 1
	for i, at := uint32(0), 0; at < len(block); i, at = i+1, at+32 {
		for j, mask := range digest(crypto.SHA256, string(h)+string([]byte{byte(i >> 24), byte(i >> 16), byte(i >> 8), byte(i)})) {
			if at+j < len(block) {
				block[at+j] ^= mask
			}
		}
	}
	block[0] &= 0x7f
	m := new(big.Int).SetBytes(append(append(block, h...), 0xbc))
	return m.Exp(m, key.D, key.N).FillBytes(make([]byte, key.Size()))
}
