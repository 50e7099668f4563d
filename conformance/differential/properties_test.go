package differential_test

import (
	"crypto/rsa"
	"math/big"
	"slices"
	"strings"
	"unicode"
)

// properties are what can be about a token that explains a difference. Each looks
// at the token only. What a class gives after a property's name goes to it as of.
var properties = map[string]func(in *input, of string) bool{
	// The text (RFC 6750 §2.1, RFC 7515 §2).
	"newline":      func(in *input, _ string) bool { return strings.ContainsAny(in.token, "\r\n") },
	"space around": func(in *input, _ string) bool { return strings.TrimFunc(in.token, unicode.IsSpace) != in.token },
	"other alphabet": func(in *input, _ string) bool {
		return in.anyPart(func(p part) bool { return strings.ContainsAny(p.foreign, "+/=~") })
	},
	"spare bits":      func(in *input, _ string) bool { return in.anyPart(func(p part) bool { return p.spare && !p.odd }) },
	"length of token": func(in *input, _ string) bool { return len(in.token) > 16<<10 },

	// The JSON of header or payload (RFC 8259, RFC 7515 §4, RFC 7519 §4).
	"name twice":        inEither(func(d *document) bool { return d.duplicate }),
	"name twice inside": inEither(func(d *document) bool { return d.inside }),
	"invalid UTF-8":     inEither(func(d *document) bool { return d.badUTF8 }),
	"lone surrogate":    inEither(func(d *document) bool { return d.surrogate }),
	"depth":             inEither(func(d *document) bool { return d.depth > 16 }),
	"members":           inEither(func(d *document) bool { return d.members > 256 }),
	"elements":          inEither(func(d *document) bool { return d.commas > 2048 }),
	"length of header":  func(in *input, _ string) bool { return in.compact() && len(in.parts[0].raw) > 4096 },
	"payload no object": func(in *input, _ string) bool { return in.compact() && !in.payload.isObject() },
	"text after":        func(in *input, of string) bool { return in.part(of).trailing },
	"space around header": func(in *input, _ string) bool {
		return in.header.isObject() && strings.Trim(in.header.text, " \t\r\n") != in.header.text
	},
	"outsize number": func(in *input, of string) bool { return in.part(of).root != nil && in.part(of).outsize },

	// The header.
	"header member":     func(in *input, of string) bool { return in.header.has(of) },
	"header not string": func(in *input, of string) bool { n := in.header.get(of); return n != nil && !n.isString() },
	"header no text": func(in *input, of string) bool {
		n := in.header.get(of)
		return n != nil && n.kind != '"' && n.kind != 'n'
	},
	"content type JWT": func(in *input, _ string) bool {
		n := in.header.get("cty")
		return n.isString() && isMedia(n.text, "jwt")
	},
	"no kid":      func(in *input, _ string) bool { return in.header.isObject() && in.kid() == "" },
	"no alg":      func(in *input, _ string) bool { return in.header.isObject() && in.alg() == "" },
	"alg":         func(in *input, of string) bool { return in.alg() == of },
	"other curve": func(in *input, _ string) bool { return in.otherCurve() },
	"type":        (*input).otherType,
	"header null": func(in *input, of string) bool { n := in.header.get(of); return n != nil && n.kind == 'n' },
	"crit b64": func(in *input, _ string) bool {
		n := in.header.get("crit")
		return n.isStrings() && len(n.elements) > 0 && !slices.ContainsFunc(n.elements, func(e node) bool { return e.text != "b64" })
	},
	"empty crit": func(in *input, _ string) bool {
		n := in.header.get("crit")
		return n != nil && (n.kind == 'n' || n.kind == '[' && len(n.elements) == 0)
	},
	"unreadable jwk": func(in *input, _ string) bool {
		n := in.header.get("jwk")
		return n != nil && n.kind != 'n' && !n.get("kty").isString()
	},
	"symmetric jwk":     func(in *input, _ string) bool { return in.header.get("jwk").get("kty").is("oct") },
	"certificate chain": func(in *input, _ string) bool { return in.unreadableChain() },

	// The claims.
	"claim no text":  func(in *input, of string) bool { n := in.claim(of); return n != nil && !n.isString() },
	"claim no date":  func(in *input, of string) bool { n := in.claim(of); return n != nil && n.kind != '0' },
	"date range":     func(in *input, of string) bool { return outOfRange(in.claim(of)) },
	"claim null":     func(in *input, of string) bool { n := in.claim(of); return n != nil && n.kind == 'n' },
	"claim no texts": func(in *input, of string) bool { n := in.claim(of); return n != nil && !n.isStrings() },
	"scope type": func(in *input, _ string) bool {
		n := in.claim("scope")
		return n != nil && !n.isString() && !n.isStrings()
	},
	"scope list":               func(in *input, _ string) bool { return in.strict && in.claim("scope").isStrings() },
	"scope element":            func(in *input, _ string) bool { return in.brokenScope() },
	"claim missing":            func(in *input, of string) bool { return in.payload.isObject() && in.lacks(of) },
	"claim missing in RFC9068": func(in *input, of string) bool { return in.strict && in.payload.isObject() && in.lacks(of) },
	"confirmation": func(in *input, _ string) bool {
		n := in.claim("cnf")
		return n != nil && (n.kind != '{' || len(n.members) == 0)
	},
	"bound by":     func(in *input, of string) bool { return in.claim("cnf").get(of) != nil },
	"bound":        func(in *input, _ string) bool { return in.claim("cnf") != nil },
	"another kind": func(in *input, _ string) bool { return !in.strict && in.anotherKind() },
	"only client":  func(in *input, _ string) bool { return !in.strict && in.onlyClient() },

	// The clock.
	"expired": func(in *input, _ string) bool { d, ok := dateOf(in.claim("exp")); return ok && in.ended(d) },
	"to come": func(in *input, of string) bool {
		d, ok := dateOf(in.claim(of))
		return ok && d.cut().Cmp(seconds(now+leeway)) > 0
	},
	"rounds up":        func(in *input, of string) bool { return roundsUp(in.claim(of)) },
	"ends this second": func(in *input, _ string) bool { return in.endsThisSecond() },

	// The signature.
	"salt": func(in *input, _ string) bool { return in.otherSalt() },
}

func inEither(has func(*document) bool) func(*input, string) bool {
	return func(in *input, _ string) bool { return has(in.header) || has(in.payload) }
}

func (in *input) anyPart(has func(part) bool) bool { return slices.ContainsFunc(in.parts, has) }

func (in *input) part(name string) *document {
	if name == "header" {
		return in.header
	}
	return in.payload
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
	return n == nil || n.is("")
}

func (in *input) brokenScope() bool {
	n := in.claim("scope")
	return n.isStrings() && slices.ContainsFunc(n.elements, func(e node) bool { return e.text == "" || strings.Contains(e.text, " ") })
}

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
	if n == nil || n.kind != '0' {
		return false
	}
	d, ok := dateOf(n)
	return strings.HasPrefix(n.raw, "-") || !ok || d.Cmp(seconds(253402300799)) > 0 || d.tiny
}

func (in *input) ended(d date) bool { return !d.tiny && d.cut().Cmp(seconds(now-leeway)) <= 0 }

// endsThisSecond reports an end in the second of the clock, for those who read a
// float64 and cut its fraction off: they think that it is over.
func (in *input) endsThisSecond() bool {
	d, ok := dateOf(in.claim("exp"))
	return ok && !in.ended(d) && date{Rat: inFloat(d)}.floor().Cmp(seconds(now-leeway)) == 0
}

// roundsUp reports a date whose nearest float64 lies in a later second: near our
// time they are 240 ns apart.
func roundsUp(n *node) bool {
	d, ok := dateOf(n)
	return ok && !outOfRange(n) && date{Rat: inFloat(d)}.floor().Cmp(d.floor()) > 0
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

// unreadableChain reports an x5c that holds no certificates.
func (in *input) unreadableChain() bool {
	n := in.header.get("x5c")
	return n != nil && n.kind != 'n' && (n.kind != '[' || len(n.elements) > 0)
}
