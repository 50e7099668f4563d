package discovery_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/accesstoken/accesstoken/internal/discovery"
)

// A signer signs metadata of https://a.example.
type signer struct {
	public  ed25519.PublicKey
	private ed25519.PrivateKey
}

func newSigner(t *testing.T) signer {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return signer{public, private}
}

func (s signer) sign(header, claims string) string {
	input := encode(header) + "." + encode(claims)
	return input + "." + encode(string(ed25519.Sign(s.private, []byte(input))))
}

func encode(part string) string { return base64.RawURLEncoding.EncodeToString([]byte(part)) }

const (
	header = `{"alg":"EdDSA","kid":"m1"}`
	iss    = `"iss":"https://a.example"`
	uri    = `"jwks_uri":"https://a.example/signed"`
)

// carrying is a document with plain values nobody signed, and this JSON value as
// its signed_metadata.
func carrying(signed string) string {
	return `{"issuer":"https://a.example","jwks_uri":"https://evil.example/jwks","introspection_endpoint":"https://evil.example/introspect","signed_metadata":` + signed + `}`
}

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func at(moment time.Time) func() time.Time { return func() time.Time { return moment } }

func (s signer) source() discovery.Source {
	return discovery.Source{
		Issuer:   "https://a.example",
		SignedBy: func(kid, alg string) []crypto.PublicKey { return []crypto.PublicKey{s.public} },
		Now:      at(noon),
	}
}

func TestDISC09SignedValuesWin(t *testing.T) {
	s := newSigner(t)
	seconds := func(d time.Duration) string { return fmt.Sprint(noon.Add(d).Unix()) }
	keys := discovery.Metadata{Issuer: "https://a.example", JWKSURI: "https://a.example/signed"}
	whole := keys
	whole.IntrospectionEndpoint = "https://a.example/introspect"
	for name, c := range map[string]struct {
		header, claims string
		want           discovery.Metadata
	}{
		"jwks_uri alone":             {header, iss + `,` + uri, keys},
		"both":                       {header, iss + `,` + uri + `,"introspection_endpoint":"https://a.example/introspect"`, whole},
		"the issuer as well":         {header, iss + `,` + uri + `,"issuer":"https://a.example"`, keys},
		"introspection over http":    {header, iss + `,` + uri + `,"introspection_endpoint":"http://a.example/introspect"`, keys},
		"a typ":                      {`{"alg":"EdDSA","typ":"JWT"}`, iss + `,` + uri, keys},
		"a typ in small letters":     {`{"alg":"EdDSA","typ":"jwt"}`, iss + `,` + uri, keys},
		"an hour left":               {header, iss + `,` + uri + `,"exp":` + seconds(time.Hour), keys},
		"over, by less than clocks":  {header, iss + `,` + uri + `,"exp":` + seconds(-29*time.Second), keys},
		"to come, by less than that": {header, iss + `,` + uri + `,"nbf":` + seconds(30*time.Second), keys},
		"iat and jti":                {header, iss + `,` + uri + `,"jti":"1","iat":` + seconds(0), keys},
	} {
		t.Run(name, func(t *testing.T) {
			signed := s.sign(c.header, `{`+c.claims+`}`)
			got, err := answering(t, s.source(), carrying(`"`+signed+`"`))
			if got != c.want || err != nil {
				t.Errorf("got %+v, %v; want %+v", got, err, c.want)
			}
		})
	}
}

func TestDISC09WithoutKeysNothingIsSigned(t *testing.T) {
	s := newSigner(t)
	plain := discovery.Metadata{Issuer: "https://a.example", JWKSURI: "https://evil.example/jwks", IntrospectionEndpoint: "https://evil.example/introspect"}
	for _, signed := range []string{`"` + s.sign(header, `{`+iss+`,`+uri+`}`) + `"`, `"no JWT"`, `null`, `{}`, `1`} {
		got, err := answering(t, discovery.Source{Issuer: "https://a.example"}, carrying(signed))
		if got != plain || err != nil {
			t.Errorf("%.20s: got %+v, %v; want the plain values", signed, got, err)
		}
	}
}

// What nobody signed, nobody uses, and its lack is no fault.
func TestDISC09AnIssuerWithoutKeysSignsThatToo(t *testing.T) {
	s := newSigner(t)
	signed := s.sign(header, `{`+iss+`}`)
	got, err := answering(t, s.source(), `{"issuer":"https://a.example","introspection_endpoint":"https://evil.example/introspect","signed_metadata":"`+signed+`"}`)
	if want := (discovery.Metadata{Issuer: "https://a.example"}); got != want || err != nil {
		t.Errorf("got %+v, %v; want %+v", got, err, want)
	}
}

func TestDISC09EverythingElseIsRefused(t *testing.T) {
	s, other := newSigner(t), newSigner(t)
	good := `{` + iss + `,` + uri + `}`
	with := func(claims string) string { return s.sign(header, `{`+iss+`,`+uri+`,`+claims+`}`) }
	seconds := func(d time.Duration) string { return fmt.Sprint(noon.Add(d).Unix()) }
	hmacked := func(key []byte) string {
		input := encode(`{"alg":"HS256"}`) + "." + encode(good)
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(input))
		return input + "." + encode(string(mac.Sum(nil)))
	}
	whole := s.sign(header, good)
	parts := strings.Split(whole, ".")
	for name, signed := range map[string]string{
		"empty":                     ``,
		"no JWT":                    `signed`,
		"no signature":              parts[0] + "." + parts[1] + ".",
		"two parts":                 parts[0] + "." + parts[1],
		"a part more":               whole + "." + parts[2],
		"a line end":                whole + `\n`,
		"padding":                   whole + "==",
		"other claims":              parts[0] + "." + encode(`{`+iss+`,"jwks_uri":"https://evil.example/jwks"}`) + "." + parts[2],
		"another header":            encode(`{"alg":"EdDSA"}`) + "." + parts[1] + "." + parts[2],
		"another's signature":       other.sign(header, good),
		"alg none":                  encode(`{"alg":"none"}`) + "." + encode(good) + ".",
		"alg none, with one":        s.sign(`{"alg":"none"}`, good),
		"alg in small letters":      s.sign(`{"alg":"eddsa"}`, good),
		"no alg":                    s.sign(`{}`, good),
		"alg of another key":        s.sign(`{"alg":"ES256"}`, good),
		"HMAC with the public key":  hmacked(s.public),
		"HMAC with no key":          hmacked(nil),
		"a critical extension":      s.sign(`{"alg":"EdDSA","crit":["exp"],"exp":1}`, good),
		"b64":                       s.sign(`{"alg":"EdDSA","b64":false}`, good),
		"a nested JWT":              s.sign(`{"alg":"EdDSA","cty":"JWT"}`, good),
		"typ of an access token":    s.sign(`{"alg":"EdDSA","typ":"at+jwt"}`, good),
		"typ of an answer":          s.sign(`{"alg":"EdDSA","typ":"token-introspection+jwt"}`, good),
		"typ is empty":              s.sign(`{"alg":"EdDSA","typ":""}`, good),
		"typ is null":               s.sign(`{"alg":"EdDSA","typ":null}`, good),
		"no iss":                    s.sign(header, `{`+uri+`,"issuer":"https://a.example"}`),
		"iss is null":               s.sign(header, `{"iss":null,`+uri+`,"issuer":"https://a.example"}`),
		"iss of another":            s.sign(header, `{"iss":"https://b.example",`+uri+`}`),
		"iss with a slash more":     s.sign(header, `{"iss":"https://a.example/",`+uri+`}`),
		"iss twice":                 s.sign(header, `{"iss":"https://b.example",`+iss+`,`+uri+`}`),
		"another issuer":            with(`"issuer":"https://b.example"`),
		"issuer with a slash more":  with(`"issuer":"https://a.example/"`),
		"issuer is no string":       with(`"issuer":["https://a.example"]`),
		"expired":                   with(`"exp":` + seconds(-30*time.Second)),
		"expired long ago":          with(`"exp":0`),
		"exp as a string":           with(`"exp":"` + seconds(time.Hour) + `"`),
		"exp is null":               with(`"exp":null`),
		"not yet valid":             with(`"nbf":` + seconds(31*time.Second)),
		"nbf is negative":           with(`"nbf":-1`),
		"aud, as a token has it":    with(`"aud":"https://api.example.com"`),
		"aud is the issuer":         with(`"aud":["https://a.example"]`),
		"aud is empty":              with(`"aud":[]`),
		"signed_metadata inside":    with(`"signed_metadata":"` + whole + `"`),
		"signed_metadata, null":     with(`"signed_metadata":null`),
		"jwks_uri unsigned":         s.sign(header, `{`+iss+`}`),
		"jwks_uri is null":          s.sign(header, `{`+iss+`,"jwks_uri":null}`),
		"jwks_uri is no string":     s.sign(header, `{`+iss+`,"jwks_uri":1}`),
		"jwks_uri twice":            with(uri),
		"jwks_uri over http":        s.sign(header, `{`+iss+`,"jwks_uri":"http://a.example/jwks"}`),
		"introspection is a number": with(`"introspection_endpoint":1`),
		"claims are a list":         s.sign(header, `[`+good+`]`),
		"claims are no JSON":        s.sign(header, `claims`),
		"something behind claims":   s.sign(header, good+good),
	} {
		t.Run(name, func(t *testing.T) {
			wantMismatch(t, s.source(), carrying(`"`+signed+`"`))
		})
	}
	for name, document := range map[string]string{
		"none":                        `{"issuer":"https://a.example","jwks_uri":"https://a.example/jwks"}`,
		"null":                        carrying(`null`),
		"a number":                    carrying(`1`),
		"a list":                      carrying(`["` + whole + `"]`),
		"a JSON serialization":        carrying(`{"payload":"` + parts[1] + `","protected":"` + parts[0] + `","signature":"` + parts[2] + `"}`),
		"in other letters":            strings.Replace(carrying(`"`+whole+`"`), "signed_metadata", "Signed_metadata", 1),
		"a plain issuer that differs": strings.Replace(carrying(`"`+whole+`"`), `"issuer":"https://a.example"`, `"issuer":"https://b.example"`, 1),
	} {
		t.Run(name, func(t *testing.T) { wantMismatch(t, s.source(), document) })
	}
	for name, keys := range map[string][]crypto.PublicKey{
		"no keys":                nil,
		"nil for a key":          {nil},
		"the key of another":     {other.public},
		"the key by its pointer": {&s.public},
		"half a key":             {s.public[:16]},
		"the public key as text": {[]byte(s.public)},
	} {
		t.Run(name, func(t *testing.T) {
			source := s.source()
			source.SignedBy = func(string, string) []crypto.PublicKey { return keys }
			wantMismatch(t, source, carrying(`"`+whole+`"`))
		})
	}
	t.Run("an origin that is not the issuer's", func(t *testing.T) {
		source := s.source()
		source.SameOrigin = true
		signed := s.sign(header, `{`+iss+`,"jwks_uri":"https://keys.example/jwks"}`)
		wantMismatch(t, source, carrying(`"`+signed+`"`))
	})
}

func wantMismatch(t *testing.T, source discovery.Source, document string) {
	t.Helper()
	if !json.Valid([]byte(document)) {
		t.Fatalf("%s is no JSON", document)
	}
	got, err := answering(t, source, document)
	if got != (discovery.Metadata{}) || !errors.Is(err, discovery.ErrMismatch) || errors.Is(err, discovery.ErrUnavailable) {
		t.Errorf("got %+v, %v; want nothing, ErrMismatch", got, err)
	}
}

func TestDISC09KeysAreAskedForByHeader(t *testing.T) {
	s, other := newSigner(t), newSigner(t)
	var asked []string
	source := s.source()
	source.SignedBy = func(kid, alg string) []crypto.PublicKey {
		asked = append(asked, kid+" "+alg)
		return []crypto.PublicKey{other.public, s.public}
	}
	claims := `{` + iss + `,` + uri + `}`
	for _, h := range []string{header, `{"alg":"Ed25519"}`, `{"alg":"none"}`, `{"alg":"HS256","kid":"m1"}`} {
		_, _ = answering(t, source, carrying(`"`+s.sign(h, claims)+`"`))
	}
	if want := []string{"m1 EdDSA", " Ed25519"}; !slices.Equal(asked, want) {
		t.Errorf("asked for %q; want %q: what is good once, and nothing for what is no digital signature", asked, want)
	}
}

func TestDISC09WithAnotherAlgorithm(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	input := encode(`{"alg":"ES256","kid":"m1"}`) + "." + encode(`{`+iss+`,`+uri+`}`)
	digest := sha256.Sum256([]byte(input))
	r, s, err := ecdsa.Sign(rand.Reader, key, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	signature := append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
	source := discovery.Source{
		Issuer:   "https://a.example",
		SignedBy: func(string, string) []crypto.PublicKey { return []crypto.PublicKey{key.Public()} },
	}
	got, err := answering(t, source, carrying(`"`+input+"."+encode(string(signature))+`"`))
	if want := (discovery.Metadata{Issuer: "https://a.example", JWKSURI: "https://a.example/signed"}); got != want || err != nil {
		t.Errorf("got %+v, %v; want %+v", got, err, want)
	}
}

// The clock that is not set is the real one.
func TestDISC09TheClock(t *testing.T) {
	s := newSigner(t)
	source := s.source()
	source.Now = nil
	for _, c := range []struct {
		exp  time.Time
		good bool
	}{{time.Now().Add(time.Hour), true}, {time.Now().Add(-time.Hour), false}} {
		signed := s.sign(header, fmt.Sprintf(`{%s,%s,"exp":%d}`, iss, uri, c.exp.Unix()))
		if _, err := answering(t, source, carrying(`"`+signed+`"`)); (err == nil) != c.good {
			t.Errorf("exp %v: got %v; want good %t", c.exp, err, c.good)
		}
	}
}
