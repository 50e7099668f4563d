package conformance

import (
	"encoding/asn1"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"maps"
	"math/big"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/accesstoken/accesstoken/accesstokentest"
)

// canary is a part of every kid, every opaque token, and every claim except iss, aud
// and typ. It must not appear in any response, error or log line.
const canary = "canaryQ7Z"

const resource = "https://api.example.com"

// texts replaces the variables in the texts of a case.
type texts struct {
	w     *world
	token string
	at    target
	proof string
}

var variable = regexp.MustCompile(`\$\{[^}]*\}`)

func (x texts) expand(text string) string {
	return variable.ReplaceAllStringFunc(text, func(v string) string { return x.value(v[2 : len(v)-1]) })
}

func (x texts) expandAll(list []string) []string {
	var all []string
	for _, text := range list {
		all = append(all, x.expand(text))
	}
	return all
}

func (x texts) value(name string) string {
	word, argument, _ := strings.Cut(name, ":")
	switch word {
	case "as":
		switch argument {
		case "upper":
			return strings.ToUpper(x.w.as.URL)
		case "bare":
			return strings.TrimPrefix(x.w.as.URL, "https://")
		}
		return x.w.as.URL
	case "other":
		return x.w.other.URL
	case "canary":
		return canary
	case "token":
		return x.token
	case "proof":
		return x.proof
	case "htm", "htu", "path", "ath", "next", "nonce":
		return x.ofProof(word, argument)
	case "jkt", "public":
		return x.w.keyText(word, argument)
	case "x5t", "der", "pem", "sha256":
		return x.w.certificates[argument].text(word)
	case "header":
		return inner(x.object(goodHeader()))
	case "claims":
		return inner(x.object(goodClaims()))
	case "good":
		return string(x.w.jwk(keyDoc{Alg: "ES256"}))
	case "jwk":
		return string(x.w.jwk(keyDoc{Of: "other", Alg: "ES256"}))
	case "byte":
		return string(must(hex.DecodeString(argument)))
	case "repeat":
		unit, count, _ := strings.Cut(argument, ":")
		return strings.Repeat(unit, must(strconv.Atoi(count)))
	}
	if seconds, ok := x.w.moment(name); ok {
		return seconds
	}
	panic("conformance: ${" + name + "} means nothing")
}

// moment reads "now", "now+60s" or "now-30s".
func (w *world) moment(text string) (seconds string, ok bool) {
	offset, ok := strings.CutPrefix(text, "now")
	if !ok {
		return "", false
	}
	moment := w.now
	if offset != "" {
		distance, err := time.ParseDuration(offset)
		if err != nil {
			return "", false
		}
		moment = moment.Add(distance)
	}
	return strconv.FormatInt(moment.Unix(), 10), true
}

func goodHeader() map[string]jsontext.Value {
	return members(`{"typ": "at+jwt", "alg": "RS256", "kid": "${canary}-RS256"}`)
}

// goodClaims are the claims that RFC 9068 §2.2 requires, a scope, and a private claim.
func goodClaims() map[string]jsontext.Value {
	return members(`{"iss": "${as}", "sub": "${canary}-subject", "aud": "` + resource + `", "client_id": "${canary}-client",
		"iat": "now", "exp": "now+300s", "jti": "${canary}-id", "scope": "${canary}:scope",
		"private": {"${canary}": ["${canary}"]}}`)
}

func goodAnswer() map[string]jsontext.Value {
	answer := goodClaims()
	maps.Copy(answer, members(`{"active": true, "token_type": "Bearer"}`))
	return answer
}

func members(object string) (m map[string]jsontext.Value) {
	if err := json.Unmarshal([]byte(object), &m); err != nil {
		panic(err)
	}
	return m
}

// object encodes members. It omits a member that is null, and replaces the texts
// "now…" and "raw:…".
func (x texts) object(m map[string]jsontext.Value) []byte {
	var fields []string
	for _, name := range slices.Sorted(maps.Keys(m)) {
		if m[name].Kind() != 'n' {
			fields = append(fields, string(must(json.Marshal(name)))+":"+x.member(m[name]))
		}
	}
	return []byte(x.expand("{" + strings.Join(fields, ",") + "}"))
}

func (x texts) member(value jsontext.Value) string {
	var text string
	if value.Kind() != '"' || json.Unmarshal(value, &text) != nil {
		return string(value)
	}
	if seconds, ok := x.w.moment(text); ok {
		return seconds
	}
	if raw, ok := strings.CutPrefix(text, "raw:"); ok {
		return raw
	}
	return string(value)
}

func inner(object []byte) string {
	return strings.TrimSuffix(strings.TrimPrefix(string(object), "{"), "}")
}

// token makes a token from a recipe.
func (w *world) token(t *testing.T, r recipe) string {
	t.Helper()
	x := texts{w: w}
	token := ""
	if r.Literal != nil {
		token = x.expand(*r.Literal)
	} else {
		token = w.compact(x, r, accessToken)
	}
	token = mutated(t, token, r)
	if r.Answer != nil {
		w.remember(t, x, token, r)
	}
	return token
}

func mutated(t *testing.T, token string, r recipe) string {
	t.Helper()
	if r.Mutate == "" {
		return token
	}
	mutate, ok := mutations[r.Mutate]
	if !ok {
		t.Fatalf("mutate %q means nothing", r.Mutate)
	}
	return mutate(token)
}

// A form describes a good JWT of one kind.
type form struct {
	header, claims func() map[string]jsontext.Value
	alg            string              // of the signature, if the header has no usable alg
	names          string              // the member of the header that names the key
	key            func(string) string // the value of that member, by the algorithm of the signature
}

var accessToken = form{goodHeader, goodClaims, "RS256", "kid", func(alg string) string { return `"${canary}-` + alg + `"` }}

func (w *world) compact(x texts, r recipe, f form) string {
	header, claims := with(f.header(), r.Header), with(f.claims(), r.Claims)
	alg := r.Sign
	if alg == "" {
		alg = signs(header["alg"], f.alg)
	}
	// If the recipe does not set the key, the key is the good one for the signature's
	// algorithm.
	if _, set := r.Header[f.names]; !set {
		header[f.names] = jsontext.Value(f.key(alg))
	}
	rawHeader, rawPayload := x.object(header), x.object(claims)
	if r.Raw != nil && r.Raw.Header != "" {
		rawHeader = []byte(x.expand(r.Raw.Header))
	}
	if r.Raw != nil && r.Raw.Payload != "" {
		rawPayload = []byte(x.expand(r.Raw.Payload))
	}
	if r.Pad > 0 {
		rawHeader, rawPayload = w.pad(x, r, alg, header, claims)
	}
	return w.server(r.Signer).SignRaw(alg, rawHeader, rawPayload)
}

// pad finds a header and a payload that make a token of exactly r.Pad bytes. It varies
// both, because some lengths cannot occur in base64url.
func (w *world) pad(x texts, r recipe, alg string, header, claims map[string]jsontext.Value) (rawHeader, rawPayload []byte) {
	text := func(length int) map[string]jsontext.Value {
		return map[string]jsontext.Value{"pad": jsontext.Value(`"` + strings.Repeat("p", length) + `"`)}
	}
	short := w.server(r.Signer).SignRaw(alg, x.object(header), x.object(with(claims, text(0))))
	for extra := range 4 {
		rawHeader = x.object(with(header, text(extra)))
		for length := (r.Pad - len(short)) * 3 / 4; length > 0; length-- {
			rawPayload = x.object(with(claims, text(length)))
			size := len(short) + encoded(rawHeader) - encoded(x.object(header)) + encoded(rawPayload) - encoded(x.object(with(claims, text(0))))
			if size == r.Pad {
				return rawHeader, rawPayload
			}
			if size < r.Pad {
				break
			}
		}
	}
	panic(fmt.Sprintf("conformance: no token of %d bytes", r.Pad))
}

func encoded(b []byte) int { return base64.RawURLEncoding.EncodedLen(len(b)) }

// signs returns the algorithm to sign with: alg if the tests can sign with it, and if
// not, otherwise.
func signs(alg jsontext.Value, otherwise string) string {
	var text string
	if alg.Kind() == '"' && json.Unmarshal(alg, &text) == nil && slices.Contains(signable, text) {
		return text
	}
	return otherwise
}

var signable = []string{
	"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519",
	"none", "HS256",
}

// with applies changes to a copy of the members. null remains; object omits it.
func with(m, changes map[string]jsontext.Value) map[string]jsontext.Value {
	all := map[string]jsontext.Value{}
	maps.Copy(all, m)
	maps.Copy(all, changes)
	return all
}

func (w *world) remember(t *testing.T, x texts, token string, r recipe) {
	t.Helper()
	var answer accesstokentest.Claims
	defaults := with(goodAnswer(), map[string]jsontext.Value{"iss": jsontext.Value(`"` + w.server(r.Signer).URL + `"`)})
	if err := json.Unmarshal(x.object(with(defaults, r.Answer)), &answer); err != nil {
		t.Fatal(err)
	}
	// Without this, Remember would add its defaults for members that a case removes.
	for _, name := range []string{"iss", "sub", "aud", "client_id", "iat", "exp", "token_type"} {
		if _, set := answer[name]; !set {
			answer[name] = nil
		}
	}
	w.server(r.Signer).Remember(token, answer)
	t.Cleanup(func() { w.server(r.Signer).Revoke(token) })
}

// mutations change a token after it was signed.
var mutations = map[string]func(string) string{
	"flip header":       func(t string) string { return change(t, 0, flip) },
	"flip payload":      func(t string) string { return change(t, 1, flip) },
	"flip signature":    func(t string) string { return change(t, 2, flip) },
	"no signature":      func(t string) string { return change(t, 2, func([]byte) []byte { return nil }) },
	"zero signature":    func(t string) string { return change(t, 2, func(s []byte) []byte { return make([]byte, len(s)) }) },
	"zero r":            func(t string) string { return change(t, 2, func(s []byte) []byte { clear(s[:len(s)/2]); return s }) },
	"zero s":            func(t string) string { return change(t, 2, func(s []byte) []byte { clear(s[len(s)/2:]); return s }) },
	"shorter signature": func(t string) string { return change(t, 2, func(s []byte) []byte { return s[:len(s)-1] }) },
	"longer signature":  func(t string) string { return change(t, 2, func(s []byte) []byte { return append(s, 0) }) },
	"DER signature":     func(t string) string { return change(t, 2, der) },
	"spare bits":        spareBits,
	"pad signature":     func(t string) string { return t + "==" },
	"pad header":        func(t string) string { return strings.Replace(t, ".", "=.", 1) },
	"standard alphabet": func(t string) string { return plant(t, "+/") },
	"line feed":         func(t string) string { return plant(t, "\n") },
	"space":             func(t string) string { return plant(t, " ") },
	"brace":             func(t string) string { return plant(t, "{") },
	"fourth part":       func(t string) string { return t + ".e30" },
	"without signature": func(t string) string { return t[:strings.LastIndexByte(t, '.')] },
	"tilde":             func(t string) string { return t + "~" },
	"disclosures":       func(t string) string { return t + "~WyJzYWx0Iiwic2NvcGUiLCJhZG1pbiJd~" },
	"header alone":      func(t string) string { return t[:strings.IndexByte(t, '.')] },
}

// change decodes one part of a compact token, and encodes it again.
func change(token string, part int, do func([]byte) []byte) string {
	parts := strings.Split(token, ".")
	raw := must(base64.RawURLEncoding.DecodeString(parts[part]))
	parts[part] = base64.RawURLEncoding.EncodeToString(do(raw))
	return strings.Join(parts, ".")
}

// flip changes a bit inside a string of the header or payload, so that the part is
// still JSON.
func flip(part []byte) []byte {
	part[len(part)-3] ^= 1
	return part
}

func der(signature []byte) []byte {
	half := len(signature) / 2
	r, s := new(big.Int).SetBytes(signature[:half]), new(big.Int).SetBytes(signature[half:])
	return must(asn1.Marshal(struct{ R, S *big.Int }{r, s}))
}

// spareBits changes a bit of the last base64url character that carries no data. The
// result is a second spelling of the same signature.
func spareBits(token string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	last := strings.IndexByte(alphabet, token[len(token)-1])
	return token[:len(token)-1] + alphabet[last^1:last^1+1]
}

// plant inserts text into the payload.
func plant(token, text string) string {
	middle := strings.IndexByte(token, '.') + 9
	return token[:middle] + text + token[middle:]
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}
