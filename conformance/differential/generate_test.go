package differential_test

import (
	"crypto"
	"fmt"
	"slices"
	"strings"
)

// choices are the bytes that a token is made from. If they run out, every choice is the
// first one.
type choices struct{ rest []byte }

func (c *choices) byte() byte {
	if len(c.rest) == 0 {
		return 0
	}
	b := c.rest[0]
	c.rest = c.rest[1:]
	return b
}

// below returns a number from 0 to n-1.
func (c *choices) below(n int) int {
	if n > 256 {
		return (int(c.byte())<<8 | int(c.byte())) % n
	}
	return int(c.byte()) % n
}

func (c *choices) chance(percent int) bool { return c.below(100) >= 100-percent }

func pick[T any](c *choices, list []T) T { return list[c.below(len(list))] }

// A draft is a token before it is put together. Names and values are JSON texts,
// so that they can be wrong.
type draft struct {
	algorithm algorithm // to sign with
	key       crypto.Signer
	salt      int // of PSS
	header    object
	payload   object
	texts     [2]changes[string] // of header and payload as JSON texts
	codes     [2]changes[string] // of the same, encoded, before they are signed
	signature changes[[]byte]
	compact   changes[string]
}

// changes are made one after another.
type changes[T any] []func(T) T

func (list changes[T]) make(v T) T {
	for _, change := range list {
		v = change(v)
	}
	return v
}

type object []field

type field struct{ name, value string }

// set replaces a value, or adds it.
func (o *object) set(name, value string) {
	for i := range *o {
		if (*o)[i].name == name {
			(*o)[i].value = value
			return
		}
	}
	*o = append(*o, field{name, value})
}

func (o *object) remove(name string) {
	*o = slices.DeleteFunc(*o, func(f field) bool { return f.name == name })
}

func (o object) String() string {
	fields := make([]string, len(o))
	for i, f := range o {
		fields[i] = f.name + ":" + f.value
	}
	return "{" + strings.Join(fields, ",") + "}"
}

func quote(text string) string { return `"` + text + `"` }

// newDraft returns a token that all judges accept.
func (w *world) newDraft(a algorithm) *draft {
	d := &draft{algorithm: a, key: w.keys[a.kid]}
	d.header = object{{`"alg"`, quote(a.name)}, {`"kid"`, quote(a.kid)}, {`"typ"`, `"at+jwt"`}}
	d.payload = object{
		{`"iss"`, quote(issuer)}, {`"sub"`, `"alice"`}, {`"aud"`, quote(resource)}, {`"client_id"`, `"client"`},
		{`"exp"`, fmt.Sprint(now + 300)}, {`"iat"`, fmt.Sprint(now - 5)}, {`"jti"`, `"8f6b"`}, {`"scope"`, `"read write"`},
	}
	d.salt = d.hashSize()
	return d
}

func (d *draft) hashSize() int {
	if d.algorithm.hash == 0 {
		return 0
	}
	return d.algorithm.hash.Size()
}

// token puts the draft together.
func (d *draft) token() string {
	header := d.codes[0].make(encode(d.texts[0].make(d.header.String())))
	payload := d.codes[1].make(encode(d.texts[1].make(d.payload.String())))
	signed := header + "." + payload
	signature := d.signature.make(d.algorithm.sign(d.key, signed, d.salt))
	return d.compact.make(signed + "." + encode(signature))
}

// generate makes a token from the bytes. It is mostly a good token with one or two
// changes that a library might mishandle.
func (w *world) generate(data []byte) string {
	c := &choices{data}
	d := w.newDraft(pick(c, algorithms))
	for range pick(c, []int{1, 1, 1, 2, 1, 2, 1, 3, 1, 0, 1, 2, 1, 1, 2, 4}) {
		change := pick(c, everything)
		change(w, c, d)
	}
	return d.token()
}

// A change does one thing to a draft.
type change func(w *world, c *choices, d *draft)

// everything has weights, because otherwise noise would be too frequent.
var everything = slices.Concat(
	repeat(6, change(changeType), changeKeyID, changeAlgorithm, changeHeaderMember),
	repeat(5, change(changeNames)),
	repeat(9, change(changeClaim), changeDate),
	repeat(4, change(changeAudience), changeExtra, changeShape),
	repeat(5, change(changeText), changeString),
	repeat(4, change(changeCode), changeSignature),
	repeat(2, change(changeCompact), changeSigner, changeBounds),
	repeat(1, change(changeNoise), changePayload, changeSalt),
)

func repeat(times int, list ...change) (all []change) {
	for range times {
		all = append(all, list...)
	}
	return all
}

func changeType(_ *world, c *choices, d *draft) {
	if c.chance(15) {
		d.header.remove(`"typ"`)
		return
	}
	d.header.set(`"typ"`, pick(c, []string{
		`"JWT"`, `"jwt"`, `"AT+JWT"`, `"at+JWT"`, `"application/at+jwt"`, `"APPLICATION/AT+JWT"`, `"application/jwt"`, `"at\u002bjwt"`, `"at+jwt;v=1"`,
		`"dpop+jwt"`, `"logout+jwt"`, `"secevent+jwt"`, `"client-authentication+jwt"`, `"JOSE"`, `"at+jwt "`, `""`, `1`, `null`, `true`, `["at+jwt"]`, `{}`,
		`"application/application/at+jwt"`, `"application/"`, `"at+\u212awt"`, `"at+jwt\u0000"`,
	}))
}

func changeKeyID(_ *world, c *choices, d *draft) {
	if c.chance(20) {
		d.header.remove(`"kid"`)
		return
	}
	own := d.algorithm.kid
	d.header.set(`"kid"`, pick(c, []string{
		`"rsa"`, `"p256"`, `"p384"`, `"p521"`, `"ed25519"`, `""`, `"unknown"`, `1`, `null`, `true`, `[]`, `[` + quote(own) + `]`, `{}`,
		quote(strings.ToUpper(own)), quote(own + " "), quote(own + `\u0000`), `"\u00` + fmt.Sprintf("%x", own[0]) + own[1:] + `"`,
		quote(strings.Repeat("k", 256)), quote(strings.Repeat("k", 257)), `"../../rsa"`, `"\ud800"`, quote("\xff"),
	}))
}

// changeAlgorithm changes the header's alg, and sometimes also the algorithm that is
// used.
func changeAlgorithm(w *world, c *choices, d *draft) {
	if c.chance(40) {
		other := pick(c, algorithms)
		d.header.set(`"alg"`, quote(other.name))
		if other.kid == d.algorithm.kid && c.chance(50) {
			d.algorithm = other
			d.salt = d.hashSize()
		}
		return
	}
	own := d.algorithm.name
	d.header.set(`"alg"`, pick(c, []string{
		`"Ed25519"`, `"EdDSA"`, quote(strings.ToLower(own)), quote(strings.ToUpper(own)), quote(own + " "), `"\u00` + fmt.Sprintf("%x", own[0]) + own[1:] + `"`,
		`"none"`, `"None"`, `"HS256"`, `"ES256K"`, `"Ed448"`, `""`, `null`, `1`, `[` + quote(own) + `]`, `{}`, quote(own + `\u0000`),
	}))
	if c.chance(10) {
		d.header.remove(`"alg"`)
	}
}

func changeHeaderMember(_ *world, c *choices, d *draft) {
	jwk := `{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`
	f := pick(c, []field{
		{`"cty"`, `"JWT"`}, {`"cty"`, `"jwt"`}, {`"cty"`, `"application/jwt"`}, {`"cty"`, `"json"`}, {`"cty"`, `""`}, {`"cty"`, `1`}, {`"cty"`, `null`}, {`"cty"`, `"at+jwt"`},
		{`"crit"`, `[]`}, {`"crit"`, `["exp"]`}, {`"crit"`, `["b64"]`}, {`"crit"`, `["alg"]`}, {`"crit"`, `["x","x"]`}, {`"crit"`, `"b64"`}, {`"crit"`, `null`}, {`"crit"`, `[""]`}, {`"crit"`, `[1]`},
		{`"b64"`, `true`}, {`"b64"`, `false`}, {`"b64"`, `null`}, {`"b64"`, `"false"`}, {`"zip"`, `"DEF"`}, {`"enc"`, `"A256GCM"`}, {`"enc"`, `null`},
		{`"jku"`, `"https://evil.example/jwks"`}, {`"jku"`, `1`}, {`"jku"`, `null`}, {`"x5u"`, `"https://evil.example/"`}, {`"x5u"`, `[]`}, {`"x5t"`, `"AAAA"`}, {`"x5t"`, `1`}, {`"x5t#S256"`, `"AAAA"`}, {`"x5t#S256"`, `{}`},
		{`"x5c"`, `[]`}, {`"x5c"`, `["AAAA"]`}, {`"x5c"`, `"AAAA"`}, {`"x5c"`, `null`}, {`"x5c"`, `[1]`},
		{`"jwk"`, jwk}, {`"jwk"`, `{}`}, {`"jwk"`, `null`}, {`"jwk"`, `"x"`}, {`"jwk"`, `{"kty":"oct","k":"AAAA"}`}, {`"jwk"`, `[]`},
		{`"nonce"`, `"x"`}, {`"nonce"`, `1`}, {`"nonce"`, `null`}, {`"iss"`, quote(issuer)}, {`"sub"`, `"bob"`}, {`"aud"`, `[]`}, {`"epk"`, `{}`}, {`"p2c"`, `1000000000`},
		{`"exp"`, `1`}, {`"url"`, `"x"`}, {`"x"`, `1`}, {`"X"`, `1e400`}, {`""`, `""`}, {`"apu"`, `1`}, {`"iv"`, `1`}, {`"tag"`, `"="`}, {`"p2s"`, `1`},
	})
	d.header.set(f.name, f.value)
	if f.name == `"crit"` && c.chance(60) {
		d.header.set(pick(c, []string{`"exp"`, `"b64"`, `"x"`, `""`}), pick(c, []string{`1`, `true`, `false`, `"y"`}))
	}
}

// document chooses header or payload.
func (d *draft) document(c *choices) (o *object, which int) {
	if c.chance(30) {
		return &d.header, 0
	}
	return &d.payload, 1
}

// changeNames adds a member twice, in another case or in another spelling, or
// respells the one that is there.
func changeNames(_ *world, c *choices, d *draft) {
	o, _ := d.document(c)
	f := pick(c, *o)
	bare := strings.Trim(f.name, `"`)
	if bare == "" {
		return
	}
	escaped := fmt.Sprintf(`"\u%04x%s"`, bare[0], bare[1:])
	name := pick(c, []string{
		f.name, escaped, quote(strings.ToUpper(bare)), quote(strings.ToUpper(bare[:1]) + bare[1:]), quote(strings.ReplaceAll(bare, "s", "ſ")),
		quote(strings.ReplaceAll(bare, "k", "\u212a")), quote(bare + " "), quote(bare + `\u0000`), quote(bare + "\u200b"), quote("x" + bare),
	})
	value := pick(c, []string{f.value, `"mallory"`, `null`, `1`, `"none"`, `[]`, `{}`, `"` + issuer + `/"`, `4000000000`})
	switch c.below(4) {
	case 0:
		*o = append(*o, field{name, value})
	case 1:
		*o = slices.Insert(*o, 0, field{name, value})
	default:
		o.remove(f.name)
		*o = append(*o, field{name, f.value})
	}
}

// values are JSON that is unusual but well-formed, and some that only looks so.
var values = []string{
	`null`, `true`, `false`, `0`, `-0`, `1`, `-1`, `1.5`, `1e2`, `1E+2`, `1e-2`, `1e400`, `-1e400`, `1e-400`, `9007199254740993`, `18446744073709551616`, `0.1e1`,
	`123456789012345678901234567890123456789012345678901234567890`, `""`, `"x"`, `" "`, `"a b"`, `"\u0000"`, `"a\u0000b"`, `"\/"`, `"\ud83d\ude00"`, `"` + "\U0001F600" + `"`, `"` + "\uFFFD" + `"`, `"` + "\u2028" + `"`, `"\uFFFE"`, `"` + "\x7f" + `"`,
	`[]`, `[null]`, `[1]`, `["x"]`, `["x","x"]`, `["x",1]`, `[[]]`, `[["x"]]`, `[{}]`, `{}`, `{"x":1}`, `{"":""}`, `{"a":{"a":{"a":1}}}`, `[{"b":1},{"b":1}]`, `{"x":1,"X":2}`,
	`{"x":1,"x":2}`, `[{"y":{"z":1,"\u007a":2}}]`, `"\ud800"`, `["\udc00"]`, "\"\xff\"", "\"\xc0\x80\"", "\"\xed\xa0\x80\"", `"\ud800\u0041"`,
	`01`, `1.`, `.5`, `+1`, `NaN`, `Infinity`, `-`, `1e`, `0x10`, `1_000`, `nul`, `TRUE`, `'x'`, `"` + "\n" + `"`, `"` + "\t" + `"`, `"\x41"`, `"\u12"`, `[1,]`, `[,]`, `{"a":1,}`, `{a:1}`, ``, `"`, `[`, `{"a"}`, `{1:2}`,
	`12345678901234567890e-10`, `1.0000000000000000000000001`, `4.9e-324`, `1e308`, `1e309`, `-1.8e308`,
}

// A named claim has a meaning to some library, and values that are valid or nearly so.
type named struct {
	name   string
	values []string
}

var claims = []named{
	{`"iss"`, []string{
		`"` + issuer + `/"`, `"HTTPS://login.example.com"`, `"https:\/\/login.example.com"`, `"https://login.example.com:443"`, `"\u0068ttps://login.example.com"`, `[` + quote(issuer) + `]`, quote(issuer + `\u0000`), quote(" " + issuer),
	}},
	{`"sub"`, nil}, {`"client_id"`, nil}, {`"jti"`, nil}, {`"aud"`, nil}, {`"exp"`, nil}, {`"nbf"`, nil}, {`"iat"`, nil}, {`"auth_time"`, nil},
	{`"scope"`, []string{`["read","write"]`, `["read write"]`, `[""]`, `"read  write"`, `[]`, `"a\tb"`, `"\"\\"`}},
	{`"azp"`, []string{`"client"`, `"another"`, quote(resource), `["client"]`}},
	{`"acr"`, []string{`"1"`, `1`, `["1"]`}}, {`"amr"`, []string{`["pwd"]`, `"pwd"`}},
	{`"token_type"`, []string{`"Bearer"`, `"DPoP"`, `["Bearer"]`}},
	{`"nonce"`, nil}, {`"at_hash"`, nil}, {`"c_hash"`, nil}, {`"s_hash"`, nil}, {`"events"`, []string{`{"http://schemas.openid.net/event/backchannel-logout":{}}`}},
	{`"token_use"`, kinds}, {`"typ"`, kinds},
	{`"cnf"`, append(around("jkt"), around("x5t#S256")...)},
	{`"cnf"`, []string{
		`{"JKT":"x"}`, `{"jk\u0074":"x"}`, `{"x5t#s256":"x"}`, `{"jkt":"x","x5t#S256":"x"}`, `{"jkt":"","x5t#S256":"x"}`, `{"jwk":{}}`, `{"kid":"x"}`, `{"x":{"jkt":"x"}}`, `[{"jkt":"x"}]`, wide(`"jkt":"x"`),
	}},
	{`"act"`, append(around("sub"), append(around("iss"), around("client_id")...)...)},
	{`"act"`, []string{
		`{"sub":"a","iss":"https://a.example","client_id":"c"}`, `{"sub":"a","act":{"sub":"b"}}`, `{"sub":"a","act":{"sub":1}}`, `{"sub":"a","act":"b"}`, `{"SUB":1}`, `{"s\u0075b":1}`, `{"sub":"a","sub":"b"}`, `{"sub":"a","aud":1}`,
		`[{"sub":"a"}]`, wide(`"sub":"a"`),
	}},
	{`"authorization_details"`, elements(around("type"))},
	{`"authorization_details"`, []string{
		`[]`, `{"type":"a"}`, `"[]"`, `[{"type":"a"},{"type":"b","x":[]}]`, `[{"type":"a"},{}]`, `[{"type":"a"},"a"]`, `[{"type":"a"},null]`, `[["type","a"]]`, `[{"TYPE":"a"}]`, `[{"t\u0079pe":"a"}]`, `[{"x":{"type":"a"}}]`, `[{"type":"a","type":"b"}]`,
		`[ { "type" : "a" } ]`, `[` + wide(`"type":"a"`) + `]`, `[{"type":"a"},` + wide(`"type":"a"`) + `]`,
	}},
	{`"scp"`, []string{`"read"`, `["read"]`, `["read write"]`, `[1]`, `{"read":true}`}},
	{`"roles"`, []string{`["a"]`, `[ "a"]`, `[1]`, `"a"`, `{"a":1}`}}, {`"groups"`, []string{`["a"]`, `"a"`, `[{"value":"a"}]`}},
	{`"ver"`, []string{`"2.0"`, `"1.0"`, `1`, `1.0`, `1e0`}}, {`"tid"`, []string{`"7b3c"`, `["7b3c"]`}}, {`"uid"`, []string{`"alice"`, `["alice"]`}},
	{`"cid"`, []string{`"client"`, `"another"`, `["client"]`}}, {`"appid"`, []string{`"client"`, `"another"`, `["client"]`}}, {`"uti"`, []string{`"8f6b"`, `1`}}, {`"idtyp"`, []string{`"app"`, `"user"`, `1`}},
	{`"email"`, []string{`"alice@example.com"`, `["alice@example.com"]`}}, {`"email_verified"`, []string{`true`, `"true"`}}, {`"name"`, nil},
}

// kinds are the names that issuers give, or might give, to their tokens in token_use or
// typ.
var kinds = []string{
	`"id"`, `"access"`, `"ID"`, `"Refresh"`, `"Bearer"`, `"logout"`, `"\u0069d"`, `"access_token"`, `"id_token"`, `"Offline"`, `"refresh_token"`, `"DPoP"`, `"id "`, `"\u0131d"`, `["id"]`, `"JWT"`,
}

// around makes objects of one member, good and bad ones.
func around(name string) (objects []string) {
	for _, value := range []string{`"x"`, `""`, `null`, `1`, `["x"]`, `{"x":"x"}`, `"\u0078"`, `"\ud800"`} {
		objects = append(objects, `{"`+name+`":`+value+`}`)
	}
	return objects
}

// elements puts each value into an array of its own.
func elements(values []string) (arrays []string) {
	for _, value := range values {
		arrays = append(arrays, "["+value+"]")
	}
	return arrays
}

// wide makes an object of 257 members, one more than the maximum.
func wide(member string) string {
	var out strings.Builder
	for i := range 256 {
		fmt.Fprintf(&out, `,"m%d":1`, i)
	}
	return "{" + member + out.String() + "}"
}

func changeClaim(_ *world, c *choices, d *draft) {
	claim := pick(c, claims)
	if c.chance(15) {
		d.payload.remove(claim.name)
		return
	}
	value := pick(c, values)
	if claim.values != nil && c.chance(60) {
		value = pick(c, claim.values)
	}
	d.payload.set(claim.name, value)
}

// changeDate sets a date near a boundary, in all spellings of a number.
func changeDate(_ *world, c *choices, d *draft) {
	name := pick(c, []string{`"exp"`, `"nbf"`, `"iat"`, `"exp"`, `"auth_time"`})
	if c.chance(30) {
		d.payload.set(name, pick(c, []string{
			`0`, `-0`, `-1`, `-0.5`, `0.5`, `-1e9`, `1e9`, `4e9`, `253402300799`, `253402300800`, `253402300799.5`, `9223372036854775807`, `9223372036854775808`, `-9223372036854775809`, `18446744073709551616`, `4611686018427387904`,
			`1e19`, `1e308`, `1e309`, `1e-9`, `1e-999`, `0e999`, `0e99999999999`, `1e99999999999`, `1e-99999999999`, `"1800000300"`, `"1700000000"`, `"2033-01-01T00:00:00Z"`, `"2023-11-14T22:13:20Z"`, `""`, `null`, `true`, `[1800000300]`, `{}`, `1800000300.`, `01800000300`, `0x6b49d32c`, `1_800_000_300`, `NaN`, `-Infinity`,
			`180000030000e-2`, `18000003e2`, `1.8000003e9`, `1.8000003E+9`, `18000003E+02`, `1800000300.000000000000000000000001`, `1800000300e0`, `-1800000300`, `1799999969.9999999999999`, `1799999970.9999999999999`,
			`253402300799.0000000001`, `253402300799.9999999`, `2534023007990000000001e-10`, `2534023007995e-1`, `-0e64`, `0e64`, `0e65`, `0E-64`, `0E-65`, `0e+064`, `0e-0000000000000065`, `1e-64`, `1e64`, `9e-65`,
			`0.` + zeros(54) + `18e64`, `0.` + zeros(55) + `18e65`, `1800000300.` + zeros(53), `1800000300.` + zeros(54), `1700000000` + zeros(50) + `e-50`, `1700000000` + zeros(51) + `e-51`,
		}))
		return
	}
	base := pick(c, []int64{now, now - leeway, now + leeway}) + int64(c.below(7)) - 3
	format := pick(c, []string{"%d", "%d.0", "%d.5", "%d.25", "%d.999999999", "%d.9999999999", "%d.000000001", "%de0", "%d00e-2", "%d.5e0", "%d5e-1", "%dE+0", "%d.9999999", "%d.0000001",
		"%d." + strings.Repeat("9", 51) + "e0", "%d." + strings.Repeat("9", 52) + "e0", "0.%de10", "%d" + zeros(50) + "e-50", "0." + zeros(49) + "%de59", "%d9999999995e-10", "0.0%dE+11"})
	d.payload.set(name, fmt.Sprintf(format, base))
}

func zeros(count int) string { return strings.Repeat("0", count) }

func changeAudience(_ *world, c *choices, d *draft) {
	own := quote(resource)
	d.payload.set(`"aud"`, pick(c, []string{
		`[` + own + `]`, `["other",` + own + `]`, `[` + own + `,1]`, `[` + own + `,null]`, `[` + own + `,[]]`, `[[` + own + `]]`, `[]`, `{}`, `{"aud":` + own + `}`, `null`, `""`, `[""]`, `["",` + own + `]`, `"other"`, `"https://api.example.com/"`, `"https://api.example.com.evil"`,
		`"HTTPS://api.example.com"`, `"https:\/\/api.example.com"`, `"` + resource + ` other"`, `"client"`, `["client","client"]`, `["client",` + own + `]`, `1`, `true`, `"\u0068ttps://api.example.com"`, `[` + own + `,` + own + `]`, quote(resource + `\u0000`), `["\ud800",` + own + `]`, `[` + own + `,]`,
	}))
	if c.chance(15) {
		d.payload.set(`"client_id"`, own)
	}
	if c.chance(10) {
		d.payload.set(`"azp"`, own)
	}
}

// changeExtra adds a member that no library uses.
func changeExtra(_ *world, c *choices, d *draft) {
	o, _ := d.document(c)
	name := pick(c, []string{`"x"`, `"extra"`, `""`, `"\u0000"`, `"__proto__"`, `"a.b"`, `"` + "\u00e9" + `"`, `"\ud83d\ude00"`, `"` + "\uFFFD" + `"`, `"\ud800"`, "\"\xff\"", `"\/"`, `"keys"`, `"kty"`, `"payload"`, `"ciphertext"`, `"signatures"`})
	*o = append(*o, field{name, pick(c, values)})
}

// changeShape makes documents deep, long or wide, around the bounds.
func changeShape(_ *world, c *choices, d *draft) {
	o, _ := d.document(c)
	near := c.below(5) - 2
	switch c.below(7) {
	case 0:
		depth := 15 + near
		*o = append(*o, field{`"x"`, strings.Repeat("[", depth) + strings.Repeat("]", depth)})
	case 1:
		depth := 15 + near
		*o = append(*o, field{`"x"`, strings.Repeat(`{"a":`, depth) + "1" + strings.Repeat("}", depth)})
	case 2:
		for i := len(*o); i < 256+near; i++ {
			*o = append(*o, field{fmt.Sprintf(`"m%d"`, i), "1"})
		}
	case 3:
		*o = append(*o, field{`"x"`, "[1" + strings.Repeat(",1", 2048-len(*o)+near) + "]"})
	case 4:
		*o = append(*o, field{`"x"`, quote(strings.Repeat("[{,", 700))})
	case 5:
		*o = append(*o, field{`"x"`, strings.Repeat("[", 100) + strings.Repeat("]", 100)})
	default:
		slices.Reverse(*o)
	}
}

// changeText changes the JSON text in ways that do not concern single members.
func changeText(_ *world, c *choices, d *draft) {
	_, which := d.document(c)
	at, b, wide := c.below(1024), c.byte(), strings.Repeat(" ", 10+c.below(4))
	space := pick(c, []string{" ", "\t", "\r\n", "\n", "\v", "\f", "\u00a0", "\x00", "\ufeff", "\u2028", "//\n", "/**/"})
	change := pick(c, []func(string) string{
		func(s string) string { return strings.ReplaceAll(s, ",", " ,\n\t") },
		func(s string) string { return strings.ReplaceAll(s, `":`, "\" :\r\n ") },
		func(s string) string { return space + s },
		func(s string) string { return s + space },
		func(s string) string { return wide + s },
		func(s string) string { return strings.Replace(s, ",", space+",", 1) },
		func(s string) string { return s[:max(0, len(s)-1)] + ",}" },
		func(s string) string { return s + pick(c, []string{"{}", "}", "x", "null", ",", "\x00", s}) },
		func(s string) string { return s[:max(0, len(s)-1)] },
		func(s string) string { return strings.Replace(s, ",", ",,", 1) },
		func(s string) string { return splice(s, at, 1, string([]byte{b})) },
		func(s string) string { return splice(s, at, 1, "") },
		func(s string) string { return splice(s, at, 0, string([]byte{b})) },
		func(s string) string { return "[" + s + "]" },
		func(s string) string { return strings.ReplaceAll(s, `"`, `'`) },
		func(s string) string { return utf16Of(s) },
		func(s string) string { return "" },
		func(s string) string { return encode(s) },
	})
	d.texts[which] = append(d.texts[which], change)
}

// splice puts text in the place of some bytes of s. Any place will do.
func splice(s string, at, bytes int, text string) string {
	at %= len(s) + 1
	return s[:at] + text + s[min(len(s), at+bytes):]
}

func utf16Of(s string) string {
	var out strings.Builder
	for _, c := range []byte(s) {
		out.WriteByte(c)
		out.WriteByte(0)
	}
	return out.String()
}

// changeString puts something odd inside a string that is there.
func changeString(_ *world, c *choices, d *draft) {
	o, _ := d.document(c)
	i := c.below(len(*o))
	odd := pick(c, []string{
		`\u0041`, `\ud800`, `\udc00`, `\ud83d\ude00`, "\xff", "\xc3", "\xed\xa0\x80", "\uFFFD", `\u0000`, "\x00", "\n", "\t", "\x1f", "\x7f", "\u0085", "\u2029", `\`, `\x`, `\u`, `\u00g0`, `\U0041`, `\'`, `"`, `\"`, `\\`, `\/`, "\U0001F600", "\xf4\x90\x80\x80", `\uD83D\uDE00`, `\ud83d`, `\ud83d\ud83d\ude00`, `\ude00\ud83d`,
	})
	f := &(*o)[i]
	target := &f.value
	if c.chance(25) {
		target = &f.name
	}
	if at := strings.LastIndexByte(*target, '"'); at > 0 {
		*target = (*target)[:at] + odd + (*target)[at:]
	}
}

// respell returns a change of an encoded part: into another spelling of the same
// bytes, or into one of others.
func respell(c *choices) func(string) string {
	at, newline := c.below(1024), pick(c, []string{"\n", "\r\n", "\r", "\n\n"})
	more := pick(c, []string{"A", "A", "g", "N", "k", "0"}) // where it makes a byte: NUL, white space
	odd := pick(c, []string{" ", "=", "%3D", "\x00", "\t", "*", "é", "~", "-", "\u200b", "+", "/", ","})
	return pick(c, []func(string) string{
		func(s string) string { return s + strings.Repeat("=", (4-len(s)%4)%4) },
		func(s string) string { return strings.NewReplacer("-", "+", "_", "/").Replace(s) },
		func(s string) string { return splice(s, at, 0, newline) },
		func(s string) string { return s + newline },
		spareBits,
		func(s string) string { return splice(s, at, 0, odd) },
		func(s string) string { return s + "=" },
		func(s string) string { return s + more },
		func(s string) string { return s[:len(s)*3/4] },
		func(s string) string {
			return strings.NewReplacer("-", "+", "_", "/").Replace(s) + strings.Repeat("=", (4-len(s)%4)%4)
		},
		func(s string) string { return "" },
	})
}

// spareBits sets a bit of the last character that carries no data, if there is one.
func spareBits(s string) string {
	if len(s)%4 < 2 {
		return s
	}
	last := strings.IndexByte(alphabet, s[len(s)-1])
	return s[:len(s)-1] + string(alphabet[(last|1)&63])
}

func changeCode(_ *world, c *choices, d *draft) {
	_, which := d.document(c)
	d.codes[which] = append(d.codes[which], respell(c))
}

// changeCompact changes the finished token.
func changeCompact(_ *world, c *choices, d *draft) {
	space := pick(c, []string{" ", "\n", "\t", "\r\n", "\u00a0", "\x00", "\v", "\x85"})
	respelled, which := respell(c), c.below(3)
	d.compact = append(d.compact, pick(c, []func(string) string{
		func(s string) string { return changePart(s, 2, respelled) },
		func(s string) string { return changePart(s, which, respelled) },
		func(s string) string { return s + space },
		func(s string) string { return space + s },
		func(s string) string { return strings.Replace(s, ".", space+".", 1) },
		func(s string) string { return s + "." },
		func(s string) string { return "." + s },
		func(s string) string { return s + ".AAAA.AAAA" },
		func(s string) string { return strings.Replace(s, ".", "", 1) },
		func(s string) string { return strings.Replace(s, ".", "..", 1) },
		func(s string) string { return "Bearer " + s },
		func(s string) string { return changePart(s, 2, func(string) string { return "" }) },
		func(s string) string { return flattened(s) },
		func(s string) string { return s + "," + s },
	}))
}

func changePart(token string, which int, change func(string) string) string {
	parts := strings.Split(token, ".")
	which = min(which, len(parts)-1)
	parts[which] = change(parts[which])
	return strings.Join(parts, ".")
}

// flattened is the JSON serialization (RFC 7515 §7.2.2).
func flattened(token string) string {
	parts := append(strings.Split(token, "."), "", "", "")
	return `{"protected":"` + parts[0] + `","payload":"` + parts[1] + `","signature":"` + parts[2] + `"}`
}

// changePayload replaces the claims with something else.
func changePayload(w *world, c *choices, d *draft) {
	whole := pick(c, []string{`null`, `[]`, `"x"`, ``, `1`, `{}`, `nested`, `{}{}`, `true`, "nested text"})
	switch whole {
	case "nested":
		whole = w.newDraft(pick(c, algorithms)).token()
	case "nested text":
		whole = quote(w.newDraft(pick(c, algorithms)).token())
	}
	d.texts[1] = append(d.texts[1], func(string) string { return whole })
}

// changeSalt signs with another length of salt (RFC 7518 §3.5).
func changeSalt(w *world, c *choices, d *draft) {
	if !d.algorithm.pss {
		d.algorithm, _ = algorithmNamed(pick(c, []string{"PS256", "PS384", "PS512"}))
		d.key = w.keys[d.algorithm.kid]
		d.header.set(`"alg"`, quote(d.algorithm.name))
		d.header.set(`"kid"`, quote(d.algorithm.kid))
	}
	d.salt = pick(c, []int{0, 20, 32, 48, 64, 31, 33, 1, 128})
}

// changeSigner signs with a key that does not fit the header.
func changeSigner(w *world, c *choices, d *draft) {
	switch c.below(4) {
	case 0:
		d.key = w.strangers[d.algorithm.kid]
	case 1:
		d.signAs(w, pick(c, algorithms))
	case 2:
		d.signWithOtherCurve(w, c)
	default:
		d.header.set(`"kid"`, quote(pick(c, algorithms).kid))
	}
}

func (d *draft) signAs(w *world, a algorithm) {
	d.algorithm, d.key = a, w.keys[a.kid]
	d.salt = d.hashSize()
}

// signWithOtherCurve makes what RFC 7518 §3.4 excludes: ES512 with P-256, say.
func (d *draft) signWithOtherCurve(w *world, c *choices) {
	d.algorithm, _ = algorithmNamed(pick(c, []string{"ES512", "ES384", "ES256"}))
	kid := pick(c, []string{"p256", "p256", "p384", "p256", "p521"})
	d.key = w.keys[kid]
	d.header.set(`"alg"`, quote(d.algorithm.name))
	d.header.set(`"kid"`, quote(kid))
}

// changeBounds makes the header, or the payload and so the whole token, long: around
// the bounds, or far beyond. It uses white space, which no library rejects as a member.
func changeBounds(_ *world, c *choices, d *draft) {
	which := c.below(2)
	length := 12150 + c.below(64) // of the payload of a token of 16 KiB, with a short header and signature
	if which == 0 {
		length = 4096 + c.below(7) - 3
	}
	length += pick(c, []int{0, 0, 0, -100, 100, 4000})
	d.texts[which] = append(d.texts[which], func(s string) string {
		brace, rest := s[:min(len(s), 1)], s[min(len(s), 1):]
		return brace + strings.Repeat(" ", max(0, length-len(s))) + rest
	})
}

// changeNoise flips, drops or adds bytes anywhere.
func changeNoise(_ *world, c *choices, d *draft) {
	at, b, kind := c.below(65536), c.byte(), c.below(2)
	text := pick(c, []string{string([]byte{b}), string(alphabet[b%64]), ""})
	d.compact = append(d.compact, func(s string) string { return splice(s, at, kind, text) })
}
