package differential_test

import (
	"crypto/rsa"
	"math/big"
	"slices"
	"strings"
	"unicode"
)

// A property is what can be about a token that explains a difference. It looks at
// the token only. What a class gives after its name goes to it as of.
type property func(in *input, of string) bool

var properties = map[string]property{
	// The text (RFC 6750 §2.1, RFC 7515 §2).
	"newline":         ofToken(func(in *input) bool { return strings.ContainsAny(in.token, "\r\n") }),
	"space around":    ofToken(func(in *input) bool { return strings.TrimFunc(in.token, unicode.IsSpace) != in.token }),
	"other alphabet":  ofPart(func(p part) bool { return strings.ContainsAny(p.foreign, "+/=~") }),
	"spare bits":      ofPart(func(p part) bool { return p.spare && !p.odd }),
	"length of token": ofToken(func(in *input) bool { return len(in.token) > 16<<10 }),

	// The JSON of header or payload (RFC 8259, RFC 7515 §4, RFC 7519 §4).
	"name twice":          inEither(func(d *document) bool { return d.duplicate }),
	"name twice inside":   inEither(func(d *document) bool { return d.inside }),
	"invalid UTF-8":       inEither(func(d *document) bool { return d.badUTF8 }),
	"lone surrogate":      inEither(func(d *document) bool { return d.surrogate }),
	"depth":               inEither(func(d *document) bool { return d.depth > 16 }),
	"members":             inEither(func(d *document) bool { return d.members > 256 }),
	"elements":            inEither(func(d *document) bool { return d.commas > 2048 }),
	"length of header":    ofToken(func(in *input) bool { return in.compact() && len(in.parts[0].raw) > 4096 }),
	"payload no object":   ofToken((*input).payloadNoObject),
	"text after":          func(in *input, of string) bool { return in.document(of).trailing },
	"outsize number":      func(in *input, of string) bool { return in.document(of).root != nil && in.document(of).outsize },
	"space around header": ofToken((*input).spaceAroundHeader),

	// The header.
	"header member":       ofHeader(func(*node) bool { return true }),
	"header no string":    ofHeader(func(n *node) bool { return !n.isString() }),
	"header null":         ofHeader((*node).isNull),
	"header other type":   ofHeader(func(n *node) bool { return !n.isString() && !n.isNull() }),
	"media type JWT":      ofHeader(func(n *node) bool { return n.isString() && isMedia(n.text, "jwt") }),
	"no kid":              ofToken(func(in *input) bool { return in.header.isObject() && in.kid() == "" }),
	"no alg":              ofToken(func(in *input) bool { return in.header.isObject() && in.alg() == "" }),
	"alg":                 func(in *input, of string) bool { return in.alg() == of },
	"other curve":         ofToken((*input).otherCurve),
	"type":                (*input).otherType,
	"empty list":          ofHeader(func(n *node) bool { return n.isNull() || n.isStrings() && len(n.elements) == 0 }),
	"list of nothing but": (*input).listOfNothingBut,
	"key without kty":     ofHeader(func(n *node) bool { return !n.isNull() && !n.get("kty").isString() }),
	"symmetric key":       ofHeader(func(n *node) bool { return n.get("kty").is("oct") }),
	"no certificates":     ofHeader(func(n *node) bool { return !n.isNull() && (n.kind != '[' || len(n.elements) > 0) }),

	// The claims.
	"claim no string":          ofClaim(func(n *node) bool { return !n.isString() }),
	"claim null":               ofClaim((*node).isNull),
	"claim no strings":         ofClaim(func(n *node) bool { return !n.isStrings() }),
	"claim neither":            ofClaim(func(n *node) bool { return !n.isString() && !n.isStrings() }),
	"claim no number":          ofClaim(func(n *node) bool { return n.kind != '0' }),
	"claim out of range":       ofClaim(outOfRange),
	"claim missing":            (*input).lacks,
	"claim missing in RFC9068": inRFC9068((*input).lacks),
	"list in RFC9068":          inRFC9068(ofClaim((*node).isStrings)),
	"scope element":            ofClaim(func(n *node) bool { return n.isStrings() && slices.ContainsFunc(n.elements, isNoScope) }),
	"no confirmation":          ofClaim(func(n *node) bool { return n.kind != '{' || len(n.members) == 0 }),
	"bound by":                 func(in *input, of string) bool { return in.claim("cnf").get(of) != nil },
	"bound":                    ofToken(func(in *input) bool { return in.claim("cnf") != nil }),
	"another kind":             ofToken(func(in *input) bool { return !in.strict && in.anotherKind() }),
	"only client":              ofToken(func(in *input) bool { return !in.strict && in.onlyClient() }),

	// The clock.
	"expired":          ofToken(func(in *input) bool { d, ok := dateOf(in.claim("exp")); return ok && d.ended() }),
	"to come":          ofClaim(func(n *node) bool { d, ok := dateOf(n); return ok && d.cut().Cmp(seconds(now+leeway)) > 0 }),
	"rounds up":        ofClaim(roundsUp),
	"ended, rounds up": ofClaim(func(n *node) bool { d, ok := dateOf(n); return ok && d.ended() && roundsUp(n) }),
	"rounds to come":   ofClaim(roundsToCome),
	"ends this second": ofClaim(endsThisSecond),

	// The signature.
	"salt": ofToken((*input).otherSalt),
}

func ofToken(has func(*input) bool) property {
	return func(in *input, _ string) bool { return has(in) }
}

func ofPart(has func(part) bool) property {
	return func(in *input, _ string) bool { return slices.ContainsFunc(in.parts, has) }
}

func inEither(has func(*document) bool) property {
	return func(in *input, _ string) bool { return has(in.header) || has(in.payload) }
}

// ofHeader is about a member that is there.
func ofHeader(has func(*node) bool) property {
	return func(in *input, of string) bool { n := in.header.get(of); return n != nil && has(n) }
}

// ofClaim is about a claim that is there.
func ofClaim(has func(*node) bool) property {
	return func(in *input, of string) bool { n := in.claim(of); return n != nil && has(n) }
}

// inRFC9068 is a property that matters to the profile RFC9068 only.
func inRFC9068(has property) property {
	return func(in *input, of string) bool { return in.strict && has(in, of) }
}

func (in *input) document(name string) *document {
	if name == "header" {
		return in.header
	}
	return in.payload
}

const jsonSpace = " \t\r\n"

func (in *input) payloadNoObject() bool {
	return in.compact() && !strings.HasPrefix(strings.TrimLeft(in.payload.text, jsonSpace), "{")
}

func (in *input) spaceAroundHeader() bool {
	return in.header.isObject() && strings.Trim(in.header.text, jsonSpace) != in.header.text
}

// listOfNothingBut reports a header member that lists one name, however often;
// of is the member and the name.
func (in *input) listOfNothingBut(of string) bool {
	member, name, _ := strings.Cut(of, " ")
	n := in.header.get(member)
	return n.isStrings() && len(n.elements) > 0 && !slices.ContainsFunc(n.elements, func(e node) bool { return e.text != name })
}

// isMedia compares media types as RFC 7515 §4.1.9 has it.
func isMedia(text, want string) bool {
	text = strings.ToLower(text)
	if rest, cut := strings.CutPrefix(text, "application/"); cut && rest != "" {
		text = rest
	}
	return text == want
}

// otherType reports a typ that the profile does not have; of is "absent" or
// "other".
func (in *input) otherType(of string) bool {
	typ := in.header.get("typ")
	switch {
	case !in.header.isObject() || typ != nil && !typ.isString():
		return false
	case typ == nil:
		return of == "absent" && in.strict
	}
	return of == "other" && !isMedia(typ.text, "at+jwt") && (in.strict || !isMedia(typ.text, "jwt"))
}

// otherCurve reports an ECDSA algorithm with a key of another curve (RFC 7518
// §3.4).
func (in *input) otherCurve() bool {
	a, ok := algorithmNamed(in.alg())
	return ok && a.size != 0 && in.kid() != a.kid && strings.HasPrefix(in.kid(), "p")
}

// lacks reports a claim that is not there, or is the empty string.
func (in *input) lacks(name string) bool {
	n := in.claim(name)
	return in.payload.isObject() && (n == nil || n.is(""))
}

func isNoScope(n node) bool { return n.text == "" || strings.Contains(n.text, " ") }

func (in *input) anotherKind() bool {
	for _, name := range []string{"nonce", "at_hash", "c_hash", "s_hash", "events"} {
		if in.claim(name) != nil {
			return true
		}
	}
	others := []string{"id", "refresh", "offline", "logout", "id_token", "refresh_token"}
	for _, name := range []string{"token_use", "typ"} {
		if n := in.claim(name); n.isString() && slices.Contains(others, strings.ToLower(n.text)) {
			return true
		}
	}
	return false
}

// onlyClient reports an aud whose every member is the client. The empty string is
// whoever is not named.
func (in *input) onlyClient() bool {
	aud := in.claim("aud")
	list := []node{}
	switch {
	case aud.isString():
		list = append(list, *aud)
	case aud.isStrings():
		list = aud.elements
	}
	for _, one := range list {
		if one.text != in.text("client_id") && one.text != in.text("azp") {
			return false
		}
	}
	return len(list) > 0
}

// outOfRange reports a number that is no date from 1970 to 9999: a negative one,
// -0 included, a later one, and one so small that it is read as none at all.
func outOfRange(n *node) bool {
	d, ok := dateOf(n)
	return n.kind == '0' && (!ok || d.tiny || strings.HasPrefix(n.raw, "-") || d.Cmp(seconds(253402300799)) > 0)
}

func (d date) ended() bool { return !d.tiny && d.cut().Cmp(seconds(now-leeway)) <= 0 }

// endsThisSecond reports an end in the second of the clock, for those who read a
// float64 and cut its fraction off: they think that it is over.
func endsThisSecond(n *node) bool {
	d, ok := dateOf(n)
	return ok && !d.ended() && date{Rat: inFloat(d)}.floor().Cmp(seconds(now-leeway)) == 0
}

// roundsUp reports a date whose nearest float64 lies in a later second: near our
// time they are 240 ns apart.
func roundsUp(n *node) bool {
	d, ok := dateOf(n)
	return ok && !outOfRange(n) && date{Rat: inFloat(d)}.floor().Cmp(d.floor()) > 0
}

// roundsToCome reports a beginning that has come when it is read as we read it, and
// whose float64 lies in a second that has not.
func roundsToCome(n *node) bool {
	d, ok := dateOf(n)
	latest := seconds(now + leeway)
	return ok && d.cut().Cmp(latest) <= 0 && date{Rat: inFloat(d)}.floor().Cmp(latest) > 0
}

func inFloat(d date) *big.Rat {
	nearest, _ := d.Float64()
	return new(big.Rat).SetFloat64(nearest)
}

// otherSalt reports a PSS signature that is good but for the length of its salt.
func (in *input) otherSalt() bool {
	a, ok := algorithmNamed(in.alg())
	if !ok || !a.pss || !in.compact() {
		return false
	}
	public := theWorld().keys[a.kid].Public()
	text := in.parts[0].text + "." + in.parts[1].text
	return a.verify(public, text, in.parts[2].raw, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthAuto}) &&
		!a.verify(public, text, in.parts[2].raw, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})
}
