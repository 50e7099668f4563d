package dpop_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"maps"
	"math/big"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/accesstoken/accesstoken/dpop"
)

// The protected resource request of RFC 9449 §7.1, with the jkt of §6.1.
func TestTheProofOfTheRFC(t *testing.T) {
	const proof = "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19.eyJqdGkiOiJlMWozVl9iS2ljOC1MQUVCIiwiaHRtIjoiR0VUIiwiaHR1IjoiaHR0cHM6Ly9yZXNvdXJjZS5leGFtcGxlLm9yZy9wcm90ZWN0ZWRyZXNvdXJjZSIsImlhdCI6MTU2MjI2MjYxOCwiYXRoIjoiZlVIeU8ycjJaM0RaNTNFc05yV0JiMHhXWG9hTnk1OUlpS0NBcWtzbVFFbyJ9.2oW9RP35yRqzhrtNP86L-Ey71EOptxRimPPToA1plemAgR6pxHF8y6-yqyVnmcw6Fy1dqd-jfxSYoMxhAJpLjA"
	r := dpop.Request{
		Method: "GET", Path: "/protectedresource", Proofs: []string{proof},
		Token: token, Thumbprint: "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I",
	}
	v := verifier(t, dpop.Config{URLs: []string{"https://resource.example.org"}, Now: func() time.Time { return time.Unix(1562262618, 0) }})
	check(t, v, r, "accepted")
	check(t, v, r, "ErrReplayed")
	check(t, verifier(t, dpop.Config{URLs: []string{"https://resource.example.org"}}), r, "ErrProof")
}

// DPOP-23: what the OpenID conformance suite sends to a resource server in its FAPI
// 2.0 plans, those that must succeed among it.
func TestWhatTheFAPISuiteSends(t *testing.T) {
	sign := func(h, c members) string { return signed(p256(), header(p256()).with(h), claims().with(c)) }
	wrong := good(nil)
	first := byte('A')
	if wrong[len(wrong)-40] == 'A' {
		first = 'B'
	}
	tampered := wrong[:len(wrong)-40] + string(first) + wrong[len(wrong)-39:]
	private := jwkOf(p256().Public()).with(members{"d": b64(must(p256().Bytes()))})
	unsecured := strings.Join(strings.Split(sign(members{"alg": "none"}, nil), ".")[:2], ".") + "."
	for _, c := range []struct {
		name  string
		proof []string
		want  string
	}{
		{"a good proof", []string{sign(nil, nil)}, "accepted"},
		{"no proof", nil, "ErrProof: no DPoP header field"},
		{"two header fields", []string{sign(nil, nil), sign(nil, nil)}, "ErrProof: several DPoP header fields"},
		{"two header fields, joined", []string{sign(nil, nil) + ", " + sign(nil, nil)}, "ErrProof: three parts"},
		{"two parts", []string{wrong[:strings.LastIndexByte(wrong, '.')]}, "ErrProof: three parts"},
		{"no typ", []string{sign(members{"typ": nil}, nil)}, "ErrProof: the typ dpop+jwt"},
		{"typ JWT", []string{sign(members{"typ": "JWT"}, nil)}, "ErrProof: the typ dpop+jwt"},
		{"no alg", []string{sign(members{"alg": nil}, nil)}, "ErrProof: expected an alg"},
		{"alg none, unsigned", []string{unsecured}, "ErrProof: expected an alg"},
		{"alg none, signed", []string{sign(members{"alg": "none"}, nil)}, "ErrProof: expected an alg"},
		{"no jwk", []string{sign(members{"jwk": nil}, nil)}, "ErrProof: public key in jwk"},
		{"a private key in jwk", []string{sign(members{"jwk": private}, nil)}, "ErrProof: public key in jwk"},
		{"no jti", []string{sign(nil, members{"jti": nil})}, "ErrProof: jti (at most 512 bytes)"},
		{"no htm", []string{sign(nil, members{"htm": nil})}, "ErrProof: jti (at most 512 bytes)"},
		{"no htu", []string{sign(nil, members{"htu": nil})}, "ErrProof: jti (at most 512 bytes)"},
		{"no iat", []string{sign(nil, members{"iat": nil})}, "ErrProof: jti (at most 512 bytes)"},
		{"no ath", []string{sign(nil, members{"ath": nil})}, "ErrProof: jti (at most 512 bytes)"},
		{"a bad signature", []string{tampered}, "ErrProof: expected a signature"},
		{"another method", []string{sign(nil, members{"htm": "PUT"})}, "ErrProof: the htm"},
		{"another URL", []string{sign(nil, members{"htu": "https://other.example.com/orders"})}, "ErrProof: the htu"},
		{"iat an hour ago", []string{sign(nil, members{"iat": start.Unix() - 3600})}, "ErrProof: a recent iat"},
		{"iat in an hour", []string{sign(nil, members{"iat": start.Unix() + 3600})}, "ErrProof: a recent iat"},
		{"ath of another token", []string{sign(nil, members{"ath": b64(make([]byte, 32))})}, "ErrProof: the ath"},
		{"by another key", []string{signed(stranger(), header(stranger()), claims())}, "ErrKey"},
		{"htu with query and fragment", []string{sign(nil, members{"htu": here + "/orders?a=b#c"})}, "accepted"},
		{"htu with scheme and host in capitals", []string{sign(nil, members{"htu": "HTTPS://API.EXAMPLE.COM/orders"})}, "accepted"},
		{"htu with the default port", []string{sign(nil, members{"htu": "https://api.example.com:443/orders"})}, "accepted"},
		{"unknown members of the header", []string{sign(members{"invalid": "x", "kid": strings.Repeat("k", 999)}, nil)}, "accepted"},
		{"unknown claims", []string{sign(nil, members{"invalid": "x", "aud": 1, "sub": []int{}})}, "accepted"},
		{"iat 10 seconds ago", []string{sign(nil, members{"iat": start.Unix() - 10})}, "accepted"},
		{"iat in 8 seconds", []string{sign(nil, members{"iat": start.Unix() + 8})}, "accepted"},
		{"nbf now, exp in 5 minutes", []string{sign(nil, members{"nbf": start.Unix(), "exp": start.Unix() + 300})}, "accepted"},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := verifier(t, dpop.Config{})
			check(t, v, request(c.proof...), c.want)
			check(t, v, request(good(nil)), "accepted") // then a correct one still works
		})
	}
	t.Run("RS256 under FAPI", func(t *testing.T) {
		v := verifier(t, dpop.Config{Algorithms: []string{"PS256", "ES256", "EdDSA"}})
		r := request(signed(rsaKey(), header(rsaKey()).with(members{"alg": "RS256"}), claims()))
		r.Thumbprint = jkt(rsaKey())
		check(t, v, r, "ErrProof")
		r.Proofs = []string{signed(rsaKey(), header(rsaKey()).with(members{"alg": "PS256"}), claims())}
		check(t, v, r, "accepted")
	})
	t.Run("the same jti twice", func(t *testing.T) {
		v := verifier(t, dpop.Config{})
		check(t, v, request(good(members{"jti": "one"})), "accepted")
		check(t, v, request(good(members{"jti": "one"})), "ErrReplayed")
	})
	t.Run("iat an hour off, with a nonce", func(t *testing.T) {
		v := verifier(t, dpop.Config{NonceKey: make([]byte, 32)})
		for _, off := range []int64{-3600, 3600} {
			check(t, v, request(good(members{"iat": start.Unix() + off})), "ErrNonce")
			check(t, v, request(good(members{"iat": start.Unix() + off, "nonce": v.Nonce()})), "accepted")
		}
	})
}

// DPOP-01, DPOP-21.
func TestThereIsOneProofOfASaneSize(t *testing.T) {
	v := verifier(t, dpop.Config{})
	long := func(size int) string {
		claims, header := claims(), header(p256())
		for x := ""; ; x += "x" { // lengths of base64 have gaps, each part in its own places
			for _, kid := range []string{"", "k"} {
				claims["x"], header["kid"] = strings.Repeat("x", 5000)+x, kid
				if proof := signed(p256(), header, claims); len(proof) == size {
					return proof
				} else if len(proof) > size+8 {
					t.Fatalf("found no proof of %d bytes", size)
				}
			}
		}
	}
	check(t, v, request(long(8192)), "accepted")
	check(t, v, request(long(8193)), "ErrProof: at most 8192 bytes")
	huge := request(strings.Repeat("e", 100_000))
	check(t, v, huge, "ErrProof")
	if n := testing.AllocsPerRun(10, func() { _ = v.Verify(context.Background(), huge) }); n > 0 {
		t.Errorf("100 KB: got %v allocations; want it refused unread", n)
	}
	proof := good(nil)
	for name, line := range map[string]string{
		"empty": "", "dots": "..", "four parts": proof + ".", "a space before": " " + proof, "a space after": proof + " ", "a line break": proof + "\n",
		"padding": strings.Replace(proof, ".", "=.", 1), "quoted": `"` + proof + `"`, "with a scheme": "DPoP " + proof,
		"no payload": strings.Split(proof, ".")[0] + "..x", "no signature": proof[:strings.LastIndexByte(proof, '.')+1],
	} {
		t.Run(name, func(t *testing.T) { check(t, v, request(line), "ErrProof") })
	}
	check(t, v, request(proof), "accepted")
}

// DPOP-02, DPOP-07, DPOP-10, DPOP-15.
func TestClaims(t *testing.T) {
	now := start.Unix()
	hash := claims()["ath"].(string)
	raw := must(base64.RawURLEncoding.DecodeString(hash))
	for _, c := range []struct {
		name   string
		claims members
		want   string
	}{
		{"jti of 512 bytes", members{"jti": strings.Repeat("j", 512)}, "accepted"},
		{"jti of 513 bytes", members{"jti": strings.Repeat("j", 513)}, "ErrProof: jti (at most 512 bytes)"},
		{"jti of 7 KB", members{"jti": strings.Repeat("j", 5000)}, "ErrProof: jti (at most 512 bytes)"},
		{"jti empty", members{"jti": ""}, "ErrProof: jti (at most 512 bytes)"},
		{"jti a number", members{"jti": 1}, "ErrProof: jti (at most 512 bytes)"},
		{"jti null", members{"jti": json.RawMessage("null")}, "ErrProof: jti (at most 512 bytes)"},
		{"jti with NUL and others", members{"jti": "\x00\u2028é"}, "accepted"},
		{"htm in small letters", members{"htm": "get"}, "ErrProof: the htm"},
		{"htm HEAD", members{"htm": "HEAD"}, "ErrProof: the htm"},
		{"htm with a space", members{"htm": "GET "}, "ErrProof: the htm"},
		{"htm a list", members{"htm": []string{"GET"}}, "ErrProof: jti (at most 512 bytes)"},
		{"htu a list", members{"htu": []string{here + "/orders"}}, "ErrProof: jti (at most 512 bytes)"},
		{"ath padded", members{"ath": hash + "="}, "ErrProof: the ath"},
		{"ath in hex", members{"ath": hex.EncodeToString(raw)}, "ErrProof: the ath"},
		{"ath in another spelling", members{"ath": hash[:42] + string(hash[42]+1)}, "ErrProof: the ath"},
		{"ath cut", members{"ath": hash[:42]}, "ErrProof: the ath"},
		{"ath a number", members{"ath": 1}, "ErrProof: jti (at most 512 bytes)"},
		{"iat 60 s ago", members{"iat": now - 60}, "accepted"},
		{"iat 61 s ago", members{"iat": now - 61}, "ErrProof: a recent iat"},
		{"iat 60.001 s ago", members{"iat": float64(now) - 60.001}, "ErrProof: a recent iat"},
		{"iat in 10 s", members{"iat": now + 10}, "accepted"},
		{"iat in 10.5 s", members{"iat": float64(now) + 10.5}, "ErrProof: a recent iat"},
		{"iat in 11 s", members{"iat": now + 11}, "ErrProof: a recent iat"},
		{"iat a string", members{"iat": "1"}, "ErrProof: jti (at most 512 bytes)"},
		{"iat negative", members{"iat": -1}, "ErrProof: jti (at most 512 bytes)"},
		{"iat the beginning", members{"iat": 0}, "ErrProof: a recent iat"},
		{"iat far away", members{"iat": json.Number("253402300799")}, "ErrProof: a recent iat"},
		{"iat beyond all", members{"iat": json.Number("1e40")}, "ErrProof: jti (at most 512 bytes)"},
		{"exp 9 s ago", members{"exp": now - 9}, "accepted"},
		{"exp 10 s ago", members{"exp": now - 10}, "ErrProof: a recent iat"},
		{"exp a string", members{"exp": "tomorrow"}, "ErrProof: jti (at most 512 bytes)"},
		{"nbf in 10 s", members{"nbf": now + 10}, "accepted"},
		{"nbf in 11 s", members{"nbf": now + 11}, "ErrProof: a recent iat"},
		{"nbf a string", members{"nbf": "now"}, "ErrProof: jti (at most 512 bytes)"},
		{"a nonce that nobody asked for", members{"nonce": "x"}, "accepted"},
		{"a nonce that is none", members{"nonce": 1}, "ErrProof: jti (at most 512 bytes)"},
	} {
		t.Run(c.name, func(t *testing.T) { check(t, verifier(t, dpop.Config{}), request(good(c.claims)), c.want) })
	}
}

// What is not strict JSON in strict base64url is refused, though it is signed.
func TestTheFormOfAProof(t *testing.T) {
	h, c := string(must(json.Marshal(header(p256())))), string(must(json.Marshal(claims())))
	more := func(object, member string) string { return object[:len(object)-1] + "," + member + "}" }
	padded := strings.TrimRight(h, "}") + strings.Repeat(" ", 2-(len(h)-1)%3) + "}}" // 3n+1 bytes, of which the last have two spellings
	respelled := func(text string) string { return text[:len(text)-1] + string(text[len(text)-1]+1) }
	for name, input := range map[string]string{
		"accepted":                            b64([]byte(h)) + "." + b64([]byte(c)),
		"a member of the header twice":        b64([]byte(more(h, `"x":1,"x":1`))) + "." + b64([]byte(c)),
		"typ twice, once escaped":             b64([]byte(more(h, `"t\u0079p":"JWT"`))) + "." + b64([]byte(c)),
		"something after the header":          b64([]byte(h+"{}")) + "." + b64([]byte(c)),
		"a header in another spelling":        respelled(b64([]byte(padded))) + "." + b64([]byte(c)),
		"a padded header":                     b64([]byte(padded)) + "==." + b64([]byte(c)),
		"a header with a line break":          b64([]byte(h)) + "\n." + b64([]byte(c)),
		"a header with a byte order mark":     b64([]byte("\ufeff"+h)) + "." + b64([]byte(c)),
		"a claim twice":                       b64([]byte(h)) + "." + b64([]byte(more(c, `"x":1,"x":1`))),
		"htu twice, once escaped":             b64([]byte(h)) + "." + b64([]byte(more(c, `"h\u0074u":"https://api.example.com/orders"`))),
		"something after the claims":          b64([]byte(h)) + "." + b64([]byte(c+" x")),
		"a payload with a line break":         b64([]byte(h)) + "." + b64([]byte(c)) + "\n",
		"a payload that is a list":            b64([]byte(h)) + "." + b64([]byte("["+c+"]")),
		"a payload that is deep":              b64([]byte(h)) + "." + b64([]byte(more(c, `"x":`+strings.Repeat("[", 16)+strings.Repeat("]", 16)))),
		"a payload that is not UTF-8":         b64([]byte(h)) + "." + b64([]byte(more(c, "\"x\":\"\xff\""))),
		"a payload that is empty":             b64([]byte(h)) + ".",
		"a payload in the standard alphabet":  b64([]byte(h)) + "." + base64.RawStdEncoding.EncodeToString([]byte(more(c, `"x":"???>>>"`))),
		"a payload that is no JSON at all":    b64([]byte(h)) + "." + b64([]byte("x")),
		"a payload that ends before its time": b64([]byte(h)) + "." + b64([]byte(c[:len(c)-1])),
	} {
		t.Run(name, func(t *testing.T) {
			want := "ErrProof: three parts"
			if name == "accepted" {
				want = name
			}
			check(t, verifier(t, dpop.Config{}), request(signedInput(p256(), input, nil)), want)
		})
	}
}

// DPOP-03, DPOP-05: and jku is not fetched, since nothing here can fetch.
func TestHeaders(t *testing.T) {
	jwk := jwkOf(p256().Public())
	for _, c := range []struct {
		name   string
		header members
		want   string
	}{
		{"typ in capitals", members{"typ": "DPOP+JWT"}, "accepted"},
		{"typ as a whole media type", members{"typ": "application/dpop+jwt"}, "accepted"},
		{"typ at+jwt", members{"typ": "at+jwt"}, "ErrProof: the typ dpop+jwt"},
		{"typ with more", members{"typ": "dpop+jwt2"}, "ErrProof: the typ dpop+jwt"},
		{"typ a list", members{"typ": []string{"dpop+jwt"}}, "ErrProof: the typ dpop+jwt"},
		{"alg HS256", members{"alg": "HS256"}, "ErrProof: expected an alg"},
		{"alg of another curve", members{"alg": "ES384"}, "ErrProof: expected an alg"},
		{"alg of another type", members{"alg": "PS256"}, "ErrProof: expected an alg"},
		{"alg in small letters", members{"alg": "es256"}, "ErrProof: expected an alg"},
		{"alg RS384, which is not on the list", members{"alg": "RS384"}, "ErrProof: expected an alg"},
		{"alg a number", members{"alg": 256}, "ErrProof: expected an alg"},
		{"crit", members{"crit": []string{"exp"}}, "ErrProof: expected none of crit"},
		{"crit empty", members{"crit": []string{}}, "ErrProof: expected none of crit"},
		{"b64", members{"b64": true}, "ErrProof: expected none of crit"},
		{"zip", members{"zip": "DEF"}, "ErrProof: expected none of crit"},
		{"enc", members{"enc": "A128GCM"}, "ErrProof: expected none of crit"},
		{"keys from elsewhere", members{"kid": 1, "jku": "https://evil.example/", "x5u": "https://evil.example/", "x5c": []string{"?"}}, "accepted"},
		{"more in jwk", members{"jwk": jwk.with(members{"kid": "k", "use": "sig", "alg": "ES256"})}, "accepted"},
		{"jwk a string", members{"jwk": "x"}, "ErrProof: public key in jwk"},
		{"jwk a list", members{"jwk": []any{jwk}}, "ErrProof: public key in jwk"},
		{"jwk null", members{"jwk": json.RawMessage("null")}, "ErrProof: public key in jwk"},
		{"jwk with a member twice", members{"jwk": json.RawMessage(`{"kty":"EC","kty":"EC"}`)}, "ErrProof: unique names"},
		{"jwk oct", members{"jwk": members{"kty": "oct", "k": "c2VjcmV0"}}, "ErrProof: public key in jwk"},
	} {
		t.Run(c.name, func(t *testing.T) {
			check(t, verifier(t, dpop.Config{}), request(signed(p256(), header(p256()).with(c.header), claims())), c.want)
		})
	}
	for _, private := range strings.Fields("d p q dp dq qi oth k priv") {
		t.Run("jwk with "+private, func(t *testing.T) {
			h := header(p256()).with(members{"jwk": jwk.with(members{private: "AA"})})
			check(t, verifier(t, dpop.Config{}), request(signed(p256(), h, claims())), "ErrProof: public key in jwk")
		})
	}
}

// DPOP-05: keys under which a signature means little, each with a good one of its own.
func TestWeakKeys(t *testing.T) {
	t.Setenv("GODEBUG", "rsa1024min=0")
	small := must(rsa.GenerateKey(rand.Reader, 1024))
	p224 := must(ecdsa.GenerateKey(elliptic.P224(), rand.Reader))
	for name, jwk := range map[string]members{
		"RSA of 1024 bits":        jwkOf(&small.PublicKey),
		"RSA with exponent 1":     jwkOf(&rsa.PublicKey{N: rsaKey().N, E: 1}),
		"an even modulus":         jwkOf(&rsa.PublicKey{N: new(big.Int).Lsh(rsaKey().N, 1), E: 65537}),
		"P-224":                   jwkOf(&p224.PublicKey),
		"a point off the curve":   jwkOf(p256().Public()).with(members{"x": b64(make([]byte, 32))}),
		"the identity of Ed25519": {"kty": "OKP", "crv": "Ed25519", "x": b64(append([]byte{1}, make([]byte, 31)...))},
	} {
		t.Run(name, func(t *testing.T) {
			for _, alg := range []string{"ES256", "PS256", "RS256", "EdDSA"} {
				proof := signed(small, members{"typ": "dpop+jwt", "alg": alg, "jwk": jwk}, claims())
				check(t, verifier(t, dpop.Config{}), request(proof), "ErrProof")
			}
		})
	}
}

// DPOP-04, DPOP-11: by each key that is supported, and for its thumbprint only.
func TestKeysAndAlgorithms(t *testing.T) {
	for _, c := range []struct {
		alg string
		key crypto.Signer
	}{
		{"ES256", p256()}, {"ES384", p384()}, {"ES512", p521()}, {"EdDSA", edKey()}, {"Ed25519", edKey()}, {"PS256", rsaKey()}, {"RS256", rsaKey()},
	} {
		t.Run(c.alg, func(t *testing.T) {
			v := verifier(t, dpop.Config{})
			proof := signed(c.key, header(c.key).with(members{"alg": c.alg}), claims())
			r := request(proof)
			for _, other := range []string{"", jkt(stranger()), jkt(c.key) + "=", strings.ToLower(jkt(c.key)), jkt(c.key)[:42]} {
				r.Thumbprint = other
				check(t, v, r, "ErrKey")
			}
			r.Thumbprint = jkt(c.key)
			check(t, v, r, "accepted")
			others := slices.DeleteFunc(v.Algorithms(), func(alg string) bool { return alg == c.alg })
			check(t, verifier(t, dpop.Config{Algorithms: others}), r, "ErrProof")
		})
	}
}

// What the caller leaves empty matches nothing.
func TestAnEmptyRequestIsRefused(t *testing.T) {
	v := verifier(t, dpop.Config{})
	check(t, v, dpop.Request{}, "ErrProof")
	empty := claims()["ath"]
	for name, change := range map[string]func(*dpop.Request){
		"method": func(r *dpop.Request) { r.Method = "" },
		"path":   func(r *dpop.Request) { r.Path = "" },
		"token":  func(r *dpop.Request) { r.Token = "" },
	} {
		t.Run(name, func(t *testing.T) {
			r := request(good(members{"ath": empty}))
			change(&r)
			check(t, v, r, "ErrProof")
			r.Proofs = []string{good(members{"htm": "", "htu": here, "ath": "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU"})} // of ""
			check(t, v, r, "ErrProof")
		})
	}
	r := request(good(members{"ath": "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU"}))
	r.Token = ""
	check(t, v, r, "ErrProof")
}

// DPOP-06: what nobody signed leaves no trace, neither among the proofs nor the keys.
func TestForgedProofsFillNothing(t *testing.T) {
	store := new(countingStore)
	v := verifier(t, dpop.Config{Store: store})
	forge := func(change members) string {
		proof := signed(p256(), header(p256()).with(change), claims())
		return proof[:strings.LastIndexByte(proof, '.')+1] + b64(make([]byte, 64))
	}
	for i := range 100 {
		forged := forge(members{"n": i})
		check(t, v, request(forged), "ErrProof")
		mine := signed(stranger(), header(stranger()).with(members{"n": i}), claims())
		check(t, v, request(mine), "ErrKey")
		if dpop.Knows(v, forged) || dpop.Knows(v, mine) || len(store.uses) > 0 {
			t.Fatalf("got keys known %t, %t, and %d proofs; want none", dpop.Knows(v, forged), dpop.Knows(v, mine), len(store.uses))
		}
	}
	genuine := good(nil)
	check(t, v, request(genuine), "accepted")
	if !dpop.Knows(v, genuine) || len(store.uses) != 1 {
		t.Errorf("got the key known %t, %d proofs; want one of each", dpop.Knows(v, genuine), len(store.uses))
	}
	check(t, v, request(forge(nil)), "ErrProof") // the known key makes no signature good
	r := request(good(nil))
	r.Thumbprint = jkt(stranger())
	check(t, v, r, "ErrKey") // nor itself that of another token
}

// DPOP-16: of a hundred equal proofs at once exactly one passes.
func TestOneOfAHundredPasses(t *testing.T) {
	v := verifier(t, dpop.Config{})
	for range 10 {
		r := request(good(nil))
		var passed, replayed atomic.Int32
		var wait sync.WaitGroup
		begin := make(chan struct{})
		for range 100 {
			wait.Go(func() {
				<-begin
				switch err := v.Verify(t.Context(), r); {
				case err == nil:
					passed.Add(1)
				case errors.Is(err, dpop.ErrReplayed):
					replayed.Add(1)
				}
			})
		}
		close(begin)
		wait.Wait()
		if passed.Load() != 1 || replayed.Load() != 99 {
			t.Errorf("got %d passed, %d replayed; want 1 and 99", passed.Load(), replayed.Load())
		}
	}
}

// DPOP-16: a jti counts for its key and its URL, in whatever spelling.
func TestAJTICountsForItsKeyAndURL(t *testing.T) {
	v := verifier(t, dpop.Config{})
	id := members{"jti": "the same"}
	check(t, v, request(good(id)), "accepted")
	check(t, v, request(good(id.with(members{"htu": "HTTPS://api.example.com:443/x/../%6frders?q"}))), "ErrReplayed")
	check(t, v, request(good(id.with(members{"iat": start.Unix() - 1}))), "ErrReplayed")
	other := request(good(id.with(members{"htu": here + "/other"})))
	other.Path = "/other"
	check(t, v, other, "accepted")
	r := request(signed(edKey(), header(edKey()).with(members{"alg": "EdDSA"}), claims().with(id)))
	r.Thumbprint = jkt(edKey())
	check(t, v, r, "accepted")
}

// DPOP-16: a proof that fits two requests, since two of our URLs overlap, is good for
// one of them.
func TestAProofIsGoodOnceUnderURLsThatOverlap(t *testing.T) {
	v := verifier(t, dpop.Config{URLs: []string{here, here + "/v1", here + "/v1/v2"}})
	for _, c := range []struct{ htu, first, second string }{
		{here + "/v1/orders", "/v1/orders", "/orders"}, {here + "/v1/orders", "/orders", "/v1/orders"},
		{here + "/v1", "/v1", "/"}, {here + "/v1/v2/x", "/x", "/v2/x"}, {here + "/V1/../v1/orders", "/orders", "/v1/orders"},
	} {
		r := request(good(members{"htu": c.htu}))
		r.Path = c.first
		check(t, v, r, "accepted")
		r.Path = c.second
		check(t, v, r, "ErrReplayed")
	}
}

// DPOP-16: at no time is a proof accepted twice, and none is remembered for long.
func TestAProofIsGoodOnceForAsLongAsItIsGood(t *testing.T) {
	for name, config := range map[string]dpop.Config{
		"by iat":               {},
		"by iat, no leeway":    {Leeway: -1},
		"by iat, a long age":   {MaxAge: 5 * time.Minute, Leeway: time.Minute},
		"by nonce":             {NonceKey: make([]byte, 32)},
		"by nonce, short-life": {NonceKey: make([]byte, 32), NonceLifetime: 10 * time.Second},
	} {
		for _, extra := range []members{nil, {"exp": start.Unix() + 20}} {
			now, memory := start.Add(300*time.Millisecond), dpop.NewMemory(0)
			config.Now, config.Store = func() time.Time { return now }, memory
			v := verifier(t, config)
			r := request(good(extra.orNone().with(members{"nonce": v.Nonce()})))
			check(t, v, r, "accepted")
			for now.Before(start.Add(20 * time.Minute)) {
				now = now.Add(250 * time.Millisecond)
				if err := v.Verify(t.Context(), r); err == nil {
					t.Fatalf("%s: accepted again after %v", name, now.Sub(start))
				}
			}
			check(t, v, request(good(members{"iat": now.Unix(), "nonce": v.Nonce()})), "accepted")
			if proofs, clients := dpop.Held(memory); proofs != 1 || clients != 1 {
				t.Errorf("%s: got %d proofs of %d clients held; want the last one only", name, proofs, clients)
			}
		}
	}
}

func (m members) orNone() members {
	if m == nil {
		return members{}
	}
	return m
}

// The Store is told how long to remember: as long as the proof could be accepted at
// an instance whose clock is behind by the leeway, or with nonces by half of their
// lifetime, and a second more.
func TestUntilWhenAUseIsRemembered(t *testing.T) {
	for _, c := range []struct {
		name   string
		config dpop.Config
		claims members
		want   time.Duration
	}{
		{"iat now", dpop.Config{}, members{}, 71 * time.Second},
		{"iat ahead", dpop.Config{}, members{"iat": start.Unix() + 10}, 81 * time.Second},
		{"iat old", dpop.Config{}, members{"iat": start.Unix() - 60}, 11 * time.Second},
		{"exp before the age", dpop.Config{}, members{"exp": start.Unix() + 5}, 26 * time.Second},
		{"exp after the age", dpop.Config{}, members{"exp": start.Unix() + 500}, 71 * time.Second},
		{"no leeway", dpop.Config{Leeway: -1}, members{}, 61 * time.Second},
		// 12:00 begins a slot of 30 s, whose nonce is good in the next two as well.
		{"a nonce", dpop.Config{NonceKey: make([]byte, 32)}, members{"iat": 0}, 121 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			store := new(countingStore)
			c.config.Store = store
			v := verifier(t, c.config)
			check(t, v, request(good(c.claims.with(members{"nonce": v.Nonce()}))), "accepted")
			if use := store.uses[0]; use.Until.Sub(use.Now) != c.want || !use.Now.Equal(start) {
				t.Errorf("got %v from %v; want %v from %v", use.Until.Sub(use.Now), use.Now, c.want, start)
			}
		})
	}
}

// A failingStore fails in one of the ways in which stores do.
type failingStore func(ctx context.Context) (bool, error)

func (f failingStore) Use(ctx context.Context, _ dpop.Use) (bool, error) { return f(ctx) }

// DPOP-16, M32: what cannot be found out is not accepted.
func TestAFailingStoreRefuses(t *testing.T) {
	down := errors.New("connection refused")
	for _, c := range []struct {
		name  string
		store failingStore
		want  error
	}{
		{"an error", func(context.Context) (bool, error) { return false, down }, down},
		{"an error, though the first", func(context.Context) (bool, error) { return true, down }, down},
		{"an error of ours", func(context.Context) (bool, error) { return true, dpop.ErrReplayed }, nil},
		{"a panic", func(context.Context) (bool, error) { panic("store") }, nil},
		{"too slow", func(ctx context.Context) (bool, error) { <-ctx.Done(); return false, ctx.Err() }, context.DeadlineExceeded},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				err := verifier(t, dpop.Config{Store: c.store}).Verify(t.Context(), request(good(nil)))
				if kindOf(err) != "ErrStore" || c.want != nil && !errors.Is(err, c.want) {
					t.Errorf("got %s (%v); want ErrStore, and %v in it", kindOf(err), err, c.want)
				}
			})
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	v := verifier(t, dpop.Config{})
	r := request(good(nil))
	if err := v.Verify(ctx, r); kindOf(err) != "ErrStore" || !errors.Is(err, context.Canceled) {
		t.Errorf("a caller who is gone: got %v; want ErrStore with context.Canceled in it", err)
	}
	check(t, v, r, "accepted")
}

// DPOP-17, DPOP-18: nonces.
func TestNonces(t *testing.T) {
	now := start
	clock := func() time.Time { return now }
	key := []byte(strings.Repeat("k", 32))
	config := dpop.Config{NonceKey: slices.Clone(key), Now: clock}
	v := verifier(t, config)
	clear(config.NonceKey) // ours is a copy
	other := verifier(t, dpop.Config{NonceKey: key, Now: clock})
	foreign := verifier(t, dpop.Config{NonceKey: []byte(strings.Repeat("f", 32)), Now: clock})
	longer := verifier(t, dpop.Config{NonceKey: key, Now: clock, NonceLifetime: time.Hour})
	fresh := func(nonce any) string { return good(members{"nonce": nonce, "iat": now.Unix()}) }

	first := v.Nonce()
	if other.Nonce() != first || foreign.Nonce() == first || longer.Nonce() == first {
		t.Errorf("got %q, %q with the same key, %q with another, %q with another lifetime; want the first two equal", first, other.Nonce(), foreign.Nonce(), longer.Nonce())
	}
	if strings.Trim(first, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") != "" || len(first) != 32 {
		t.Errorf("got %q; want 32 characters of base64url, which are NQCHAR", first)
	}
	for name, nonce := range map[string]any{
		"none": nil, "empty": "", "foreign": foreign.Nonce(), "of another lifetime": longer.Nonce(), "cut": first[:31], "longer": first + "A",
		"changed": first[:31] + string(first[31]^1), "padded": first + "=",
	} {
		t.Run(name, func(t *testing.T) { check(t, v, request(fresh(nonce)), "ErrNonce") })
	}
	check(t, v, request(fresh(1)), "ErrProof")
	for _, c := range []struct {
		at   time.Duration
		want string
	}{
		{-31 * time.Second, "ErrNonce"}, {-30 * time.Second, "accepted"}, {0, "accepted"}, {29 * time.Second, "accepted"},
		{60 * time.Second, "accepted"}, {89999 * time.Millisecond, "accepted"}, {90 * time.Second, "ErrNonce"}, {24 * time.Hour, "ErrNonce"},
	} {
		now = start.Add(c.at)
		check(t, v, request(fresh(first)), c.want)
		check(t, other, request(fresh(first)), c.want)
		check(t, v, request(fresh(v.Nonce())), "accepted")
	}
	if got := verifier(t, dpop.Config{}).Nonce(); got != "" {
		t.Errorf("got %q; want no nonce where none are demanded", got)
	}
}

// No nonce is handed out that is not good for the lifetime, and none is good for more
// than half of it longer.
func TestNoncesLiveAsLongAsIsSaid(t *testing.T) {
	for _, life := range []time.Duration{10 * time.Second, 11 * time.Second, 5 * time.Minute, time.Hour} {
		now := start
		v := verifier(t, dpop.Config{NonceKey: make([]byte, 32), NonceLifetime: life, Now: func() time.Time { return now }})
		for offset := time.Duration(0); offset < life; offset += life / 7 {
			now = start.Add(offset)
			nonce := v.Nonce()
			now = start.Add(offset + life)
			check(t, v, request(good(members{"nonce": nonce})), "accepted")
			now = start.Add(offset + life*3/2)
			check(t, v, request(good(members{"nonce": nonce})), "ErrNonce")
		}
	}
}

// No text of an error has in it what a proof, a token or a key says.
func TestErrorsSayNothingOfTheProof(t *testing.T) {
	const canary = "canary7f3a"
	secrets := []string{canary, token, jkt(p256()), "eyJ"}
	for _, change := range []members{
		{"jti": strings.Repeat(canary, 99)}, {"htm": canary}, {"htu": "https://" + canary + "/"}, {"ath": canary}, {"iat": canary}, {"exp": canary}, {canary: nil, "nonce": canary},
	} {
		v := verifier(t, dpop.Config{NonceKey: make([]byte, 32)})
		err := v.Verify(t.Context(), request(good(change)))
		if err == nil || slices.ContainsFunc(secrets, func(secret string) bool { return strings.Contains(err.Error(), secret) }) {
			t.Errorf("%v: got %v; want an error without it", slices.Collect(maps.Keys(change)), err)
		}
	}
}

// The key of a proof that was good is not read again.
func TestAKnownKeyIsNotReadAgain(t *testing.T) {
	v := verifier(t, dpop.Config{Store: new(countingStore)})
	once := good(nil)
	check(t, v, request(once), "accepted")
	known := testing.AllocsPerRun(50, func() { _ = v.Verify(context.Background(), request(once)) })
	n := 0
	proofs := make([]string, 60)
	for i := range proofs {
		proofs[i] = signed(p256(), header(p256()).with(members{"n": i}), claims())
	}
	unknown := testing.AllocsPerRun(50, func() { _ = v.Verify(context.Background(), request(proofs[n])); n++ })
	if known+15 > unknown {
		t.Errorf("got %v allocations with a known key and %v with others; want far fewer", known, unknown)
	}
}

// A lapsingStore forgets as Redis does: so long after a use as lies between its Now
// and its Until, by a clock of its own.
type lapsingStore struct {
	mu    sync.Mutex
	now   func() time.Time
	until map[[32]byte]time.Time
}

func (s *lapsingStore) Use(_ context.Context, use dpop.Use) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.now().Before(s.until[use.Key]) {
		return false, nil
	}
	s.until[use.Key] = s.now().Add(use.Until.Sub(use.Now))
	return true, nil
}

// TestAProofIsGoodOnceAsFarAsNoncesAreGood: instances whose clocks are as far apart as
// they may be to accept each other's nonces share a store that forgets in time.
func TestAProofIsGoodOnceAsFarAsNoncesAreGood(t *testing.T) {
	for _, apart := range []time.Duration{0, 10 * time.Second, 20 * time.Second, 29 * time.Second} {
		now := start
		store := &lapsingStore{now: func() time.Time { return now }, until: map[[32]byte]time.Time{}}
		key := make([]byte, 32)
		ahead := verifier(t, dpop.Config{Store: store, NonceKey: key, Now: func() time.Time { return now.Add(apart) }})
		behind := verifier(t, dpop.Config{Store: store, NonceKey: key, Now: func() time.Time { return now }})
		proof := good(members{"nonce": ahead.Nonce()})
		check(t, behind, request(good(members{"nonce": ahead.Nonce()})), "accepted")
		check(t, ahead, request(proof), "accepted")
		for range 200 {
			now = now.Add(time.Second)
			if err := behind.Verify(t.Context(), request(proof)); err == nil {
				t.Errorf("clocks %v apart: the proof was accepted again after %v", apart, now.Sub(start))
				break
			}
		}
	}
}
