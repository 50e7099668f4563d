package differential_test

import (
	"crypto/rsa"
	"slices"
	"strings"
	"unicode"
)

// A property is a fact about a token that explains a difference. It depends only on the
// token. The text after the property's name in a class is passed as of.
type property func(in *input, of string) bool

var properties = map[string]property{
	// The text (RFC 6750 §2.1, RFC 7515 §2).
	"newline":         ofToken(func(in *input) bool { return strings.ContainsAny(in.token, "\r\n") }),
	"space around":    ofToken(func(in *input) bool { return strings.TrimFunc(in.token, unicode.IsSpace) != in.token }),
	"other alphabet":  ofPart(func(p part) bool { return strings.ContainsAny(p.foreign, "+/=~") }),
	"spare bits":      ofPart(func(p part) bool { return p.spare && !p.odd }),
	"length of token": ofToken(func(in *input) bool { return len(in.token) > 16<<10 }),

	// The JSON of header or payload (RFC 8259, RFC 7515 §4, RFC 7519 §4).
	"name twice":           inEither(func(d *document) bool { return d.duplicate }),
	"name twice inside":    inEither(func(d *document) bool { return d.inside }),
	"invalid UTF-8":        inEither(func(d *document) bool { return d.badUTF8 }),
	"lone surrogate":       inEither(func(d *document) bool { return d.surrogate }),
	"depth":                inEither(func(d *document) bool { return d.depth > 16 }),
	"members":              inEither(func(d *document) bool { return d.members > 256 }),
	"elements":             inEither(func(d *document) bool { return d.commas > 2048 }),
	"length of header":     ofToken(func(in *input) bool { return in.compact() && len(in.parts[0].raw) > 4096 }),
	"payload no object":    ofToken((*input).payloadNoObject),
	"text after":           func(in *input, of string) bool { return in.document(of).trailing },
	"outsize number":       func(in *input, of string) bool { return in.document(of).root != nil && in.document(of).outsize },
	"space around header":  ofToken((*input).spaceAroundHeader),
	"signed without space": ofToken((*input).signedWithoutSpace),

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
	"symmetric key":       ofHeader(func(n *node) bool { return n.get("kty").is("oct") && n.get("k").isString() }),
	"empty symmetric key": ofHeader(func(n *node) bool { return n.get("kty").is("oct") && !n.get("k").isString() }),
	"unreadable key":      ofHeader(isUnreadableKey),
	"no certificates":     ofHeader(func(n *node) bool { return !n.isNull() && (n.kind != '[' || len(n.elements) > 0) }),

	// The claims.
	"claim no string":          ofClaim(func(n *node) bool { return !n.isString() }),
	"claim null":               ofClaim((*node).isNull),
	"claim neither":            ofClaim(func(n *node) bool { return !n.isString() && !n.isStrings() }),
	"claim no number":          ofClaim(func(n *node) bool { return n.kind != '0' }),
	"claim out of range":       ofClaim(outOfRange),
	"claim written long":       ofClaim(writtenLong),
	"claim missing":            (*input).lacks,
	"claim missing in RFC9068": inRFC9068((*input).lacks),
	"list in RFC9068":          inRFC9068(ofClaim((*node).isStrings)),
	"scope element":            ofClaim(func(n *node) bool { return n.isStrings() && slices.ContainsFunc(n.elements, isNoScope) }),
	"members inside":           ofClaim(func(n *node) bool { return len(n.members) > 256 }),
	"no confirmation":          ofClaim(func(n *node) bool { return n.kind != '{' || len(n.members) == 0 }),
	"no thumbprint":            ofConfirmation(func(n *node) bool { return !n.isString() || n.text == "" }),
	"bound by":                 ofConfirmation(func(n *node) bool { return n.isString() && n.text != "" }),
	"of type DPoP":             ofClaim(func(n *node) bool { return n.isString() && strings.EqualFold(n.text, "DPoP") }),
	"bound":                    ofToken(func(in *input) bool { return in.claim("cnf") != nil }),
	"another kind":             ofToken(func(in *input) bool { return !in.strict && in.anotherKind() }),
	"another use":              ofClaim(anotherUse),
	"for client":               ofToken(func(in *input) bool { return !in.strict && in.forClient() }),

	// The clock.
	"ended this second": ofClaim(endedThisSecond),
	"ends this second":  ofClaim(endsThisSecond),
	"comes this second": ofClaim(comesThisSecond),
	"rounds up":         ofClaim(roundsUp),

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

// ofConfirmation is about a member of cnf that is there.
func ofConfirmation(has func(*node) bool) property {
	return func(in *input, of string) bool { n := in.claim("cnf").get(of); return n != nil && has(n) }
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

// signedWithoutSpace reports white space around the header that came after the
// signature.
func (in *input) signedWithoutSpace() bool {
	if !in.spaceAroundHeader() {
		return false
	}
	header := encode(strings.Trim(in.header.text, jsonSpace))
	bare := newInput(header + "." + in.parts[1].text + "." + in.parts[2].text)
	return theWorld().genuine(bare) && !theWorld().genuine(in)
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
	marks := []string{"nonce", "at_hash", "c_hash", "s_hash", "events"}
	return slices.ContainsFunc(marks, func(name string) bool { return in.claim(name) != nil })
}

// anotherUse reports a token_use or typ of another kind of token than an access token,
// alone or in a list.
func anotherUse(n *node) bool {
	others := []string{"id", "refresh", "offline", "logout", "id_token", "refresh_token"}
	isOther := func(n node) bool { return slices.Contains(others, strings.ToLower(n.text)) }
	return n.isString() && isOther(*n) || n.isStrings() && slices.ContainsFunc(n.elements, isOther)
}

// isUnreadableKey reports a JWK of which a value cannot be base64 in any alphabet.
func isUnreadableKey(n *node) bool {
	return slices.ContainsFunc([]string{"k", "n", "e", "x", "y"}, func(name string) bool {
		value := n.get(name)
		return value.isString() && strings.Trim(value.text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_=") != ""
	})
}

// forClient reports an aud that names the client. The empty string is not a client.
func (in *input) forClient() bool {
	aud := in.claim("aud")
	list := []node{}
	switch {
	case aud.isString():
		list = append(list, *aud)
	case aud.isStrings():
		list = aud.elements
	}
	for _, one := range list {
		if one.text != "" && (one.text == in.text("client_id") || one.text == in.text("azp")) {
			return true
		}
	}
	return false
}

// outOfRange reports a number that is not a date from 1970 to 9999: it is negative, -0
// included, or later.
func outOfRange(n *node) bool {
	d, ok := dateOf(n)
	return ok && (strings.HasPrefix(n.raw, "-") || d.cut().Cmp(seconds(latest)) > 0)
}

// Our clock with the leeway is at a whole second. If a token ends or begins before the
// next second, libraries that read a float64 and cut its fraction off differ from us.
var (
	end       = seconds(now - leeway)
	beginning = seconds(now + leeway)
)

// endedThisSecond reports an exp that has passed less than a second ago, which others
// do not notice.
func endedThisSecond(n *node) bool {
	d, ok := dateOf(n)
	return ok && d.cut().Cmp(end) <= 0 && d.inFloat().floor().Cmp(end) == 0
}

// endsThisSecond reports an exp in the future that has passed for others.
func endsThisSecond(n *node) bool {
	d, ok := dateOf(n)
	return ok && d.cut().Cmp(end) > 0 && d.inFloat().floor().Cmp(end) == 0
}

// comesThisSecond reports an nbf or iat in the future that has passed for others.
func comesThisSecond(n *node) bool {
	d, ok := dateOf(n)
	return ok && d.cut().Cmp(beginning) > 0 && d.inFloat().floor().Cmp(beginning) == 0
}

// roundsUp reports a date whose nearest float64 is in a later second. At the present
// time, neighbouring float64 values are 240 ns apart.
func roundsUp(n *node) bool {
	d, ok := dateOf(n)
	return ok && !outOfRange(n) && d.inFloat().floor().Cmp(d.floor()) > 0
}

// otherSalt reports a PSS signature that is good except for the length of its salt.
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
