package jose_test

import (
	"encoding/json"
	"errors"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/accesstoken/accesstoken/internal/jose"
)

// traps are payloads and headers that other JSON readers get wrong.
var traps = []string{
	`{}`, ` {} `, `{"a":1}`, `{"iss":"x","is\u0073":"y"}`, `{"sub":"\ud800"}`, "{\"sub\":\"\xff\"}", "\xef\xbb\xbf{}", `{}{}`, `[]`, `null`,
	`{"exp":1e999}`, `{"exp":-1}`, `{"exp":1700000000.5}`, `{"aud":["a",1]}`, `{"cnf":{"jkt":"a"}}`, `{"scope":["a b"]}`, `{"a":[[[[{"b":{}}]]]]}`,
	`{"alg":"RS256","ALG":"none"}`, `{"alg":"EdDSA","typ":"application/at+jwt","kid":"k"}`, `{"crit":["exp"],"exp":1}`, `{"iſs":"x","ſub":"y"}`,
	`{"n":9007199254740993,"m":123456789012345678901234567890}`, `{"":""}`, "{\"a\u0000\":1}", `{"b64":false}`,
}

// Object accepts exactly the texts that the slow reader accepts, and finds the same
// members and values in them.
func FuzzObject(f *testing.F) {
	for _, data := range traps {
		f.Add([]byte(data))
	}
	for _, size := range []int{16, 17} {
		f.Add([]byte(strings.Repeat(`{"a":`, size) + "0" + strings.Repeat("}", size)))
	}
	for _, size := range []int{256, 257} {
		f.Add([]byte(many(size)))
	}
	for _, size := range []int{2048, 2049} {
		f.Add([]byte(`{"a":[0` + strings.Repeat(",0", size) + "]}"))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var got []slowMember
		err := jose.Object(string(data), func(name, value string) error {
			got = append(got, slowMember{string(name), string(value)})
			return nil
		})
		want, ok := readObjectSlowly(string(data))
		if (err == nil) != ok {
			t.Fatalf("%q: got %v; want accepted %v", data, err, ok)
		}
		if !ok {
			return
		}
		if !slices.Equal(got, want) {
			t.Fatalf("%q: got %q; want %q", data, got, want)
		}
		for _, m := range want {
			wantSameValue(t, m.value)
		}
		var theirs map[string]json.RawMessage
		if err := json.Unmarshal(data, &theirs); err != nil || len(theirs) != len(want) {
			t.Errorf("%q: encoding/json reads %d members, %v; want %d", data, len(theirs), err, len(want))
		}
	})
}

// wantSameValue compares the results of String and Strings with the slow reader's.
func wantSameValue(t *testing.T, value string) {
	t.Helper()
	text, isText := jose.String(value)
	wantText, wantIsText := readStringSlowly(value)
	if text != wantText || isText != wantIsText {
		t.Errorf("String(%q): got %q, %v; want %q, %v", value, text, isText, wantText, wantIsText)
	}
	list, isList := jose.Strings(value)
	wantList, wantIsList := readStringsSlowly(value)
	if isList != wantIsList || isList && !slices.Equal(list, wantList) {
		t.Errorf("Strings(%q): got %q, %v; want %q, %v", value, list, isList, wantList, wantIsList)
	}
}

// Parse accepts exactly the texts that the slow reader accepts. If an accepted token
// is encoded again, the text is the same, so a token has only one spelling.
func FuzzParse(f *testing.F) {
	for _, header := range traps {
		f.Add(part(header) + "." + part(`{}`) + ".AAAA")
	}
	for _, text := range []string{
		"opaque", "a.b.c.d.e", "..", "e30..", "e30.e30.e31", "e30.e30=.AA", "e30.e30.A\n", "e3\n0.e30.AA", "ew.e30.AA", "e30.e30.A",
		part(strings.Repeat(" ", 11)+`{}`) + "..", part(strings.Repeat(" ", 12)+`{}`) + "..", part("\xef\xbb\xbf{}") + "..",
		part(`{"kid":"`+strings.Repeat("k", 256)+`"}`) + "..", part(`{"kid":"`+strings.Repeat("k", 257)+`"}`) + "..",
		part(`{"a":"`+strings.Repeat("k", 4088)+`"}`) + "..", part(`{"a":"`+strings.Repeat("k", 4089)+`"}`) + "..",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		token, err := jose.Parse(text)
		want, ok := readTokenSlowly(text)
		if (err == nil) != ok {
			t.Fatalf("%q: got %v; want accepted %v", text, err, ok)
		}
		if err != nil {
			wantKnownRefusal(t, text, err)
			return
		}
		got := slowToken{token.Algorithm, token.KeyID, token.Type, token.HasType, token.Payload, string(token.Signature)}
		if got != want {
			t.Errorf("%q: got %+v; want %+v", text, got, want)
		}
		header, _, _ := strings.Cut(text, ".")
		if got := header + "." + part(token.Payload) + "." + part(token.Signature); got != text {
			t.Errorf("got %q; want %q", got, text)
		}
		if got := token.SigningInput + "." + part(token.Signature); got != text {
			t.Errorf("got %q; want %q", got, text)
		}
		for _, a := range algorithms() {
			if token.Verify(a.key.Public()) == nil {
				t.Errorf("%q: got verified under a key of %s, which never signed it", text, a.name)
			}
		}
	})
}

// wantKnownRefusal checks that a JWT never counts as an opaque token, which would be
// sent to an introspection endpoint, nor the reverse.
func wantKnownRefusal(t *testing.T, text string, err error) {
	t.Helper()
	if !errors.Is(err, jose.ErrNotJWT) && !errors.Is(err, jose.ErrMalformed) && !errors.Is(err, jose.ErrType) {
		t.Errorf("%q: got %v; want an error of this package", text, err)
	}
	first, _, _ := strings.Cut(text, ".")
	header, _ := decodeSlowly(first)
	threeParts := strings.Count(text, ".") == 2
	if !threeParts && !errors.Is(err, jose.ErrNotJWT) {
		t.Errorf("%q: got %v; want %v", text, err, jose.ErrNotJWT)
	}
	if threeParts && strings.HasPrefix(header, "{") && errors.Is(err, jose.ErrNotJWT) {
		t.Errorf("%q: got %v; want a broken JWT", text, err)
	}
}

// ReadClaims reads the same as the slow reader, and names the first member of a
// wrong type.
func FuzzReadClaims(f *testing.F) {
	for _, payload := range traps {
		f.Add([]byte(payload))
	}
	for _, payload := range []string{
		goodPayload, `{"iss":1,"sub":2}`, `{"aud":[]}`, `{"aud":[["a"]]}`, `{"exp":"1"}`, `{"nbf":1e3,"iat":2.5}`, `{"scope":["a",1]}`, `{"scope":"a b"}`,
		`{"token_use":"ID"}`, `{"typ":"Refresh"}`, `{"typ":1}`, `{"cnf":{}}`, `{"cnf":[]}`, `{"cnf":{"x5t#S256":"","jkt":1}}`, `{"nonce":null}`,
		`{"auth_time":"1"}`, `{"acr":1}`, `{"amr":"pwd"}`, `{"azp":{},"jti":[]}`, `{"client_id":null}`, `{"token_type":"DPoP"}`, `{"events":{}}`,
		`{"scp":["a"],"ver":1,"tid":"t","roles":["r"],"email":"e","email_verified":true}`, `{"act":{"sub":"a","act":{}}}`, `{"act":{"sub":1}}`, `{"act":{"act":{"act":{"act":{"act":{"act":{"act":{"act":{"act":{}}}}}}}}}}`,
		`{"authorization_details":[{"type":"a"}]}`, `{"authorization_details":[{}]}`, `{"appid":"1","cid":2,"uid":"u","uti":null,"idtyp":"app"}`,
	} {
		f.Add([]byte(payload))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		got, err := jose.ReadClaims(string(payload))
		members, ok := readObjectSlowly(string(payload))
		if (err == nil) != ok || err != nil && !errors.Is(err, jose.ErrMalformed) {
			t.Fatalf("%q: got %v; want accepted %v, or %v", payload, err, ok, jose.ErrMalformed)
		}
		var want jose.Claims
		for _, m := range members {
			if ok && !readClaimSlowly(&want, m) && want.Fault == "" {
				want.Fault = m.name
			}
		}
		if faulty, _, _ := strings.Cut(got.Fault, " "); faulty != want.Fault {
			t.Fatalf("%q: got the fault %q; want one of %q", payload, got.Fault, want.Fault)
		}
		if ok && got.Fault == "" && !reflect.DeepEqual(got, want) {
			t.Errorf("%q: got %+v; want %+v", payload, got, want)
		}
	})
}

// readClaimSlowly puts one member into the claims, and says whether it has the
// type that its RFC gives it.
func readClaimSlowly(claims *jose.Claims, m slowMember) bool {
	text, isText := readStringSlowly(m.value)
	list, isList := readStringsSlowly(m.value)
	date, isDate := readDateSlowly(m.value)
	texts := map[string]*string{"iss": &claims.Issuer, "sub": &claims.Subject, "client_id": &claims.ClientID, "azp": &claims.AuthorizedParty,
		"jti": &claims.ID, "token_type": &claims.TokenType}
	dates := map[string]*time.Time{"exp": &claims.Expiry, "nbf": &claims.NotBefore, "iat": &claims.IssuedAt}
	switch {
	case m.name == "token_use" || m.name == "typ":
		others := []string{"id", "refresh", "offline", "logout", "id_token", "refresh_token"}
		for _, kind := range append(list, text) {
			claims.OtherUse = claims.OtherUse || slices.Contains(others, strings.ToLower(kind))
		}
		return true
	case texts[m.name] != nil:
		*texts[m.name] = text
		return isText
	case dates[m.name] != nil:
		*dates[m.name] = date
		return isDate
	}
	switch m.name {
	case "aud":
		if claims.Audience = list; isText {
			claims.Audience = []string{text}
		}
		return isText || isList
	case "scope":
		claims.Scope = jose.Scope{Present: true, Text: text, List: list, Fault: !isText && !isList}
		return isText || isList
	case "nonce":
		claims.Nonce = true
	case "at_hash", "c_hash", "s_hash", "events":
		claims.OtherKind = true
	case "cnf":
		claims.Confirmation.Present = true
		return readMembersSlowly(m.value, 1, map[string]*string{"jkt": &claims.Confirmation.KeyThumbprint, "x5t#S256": &claims.Confirmation.CertificateThumbprint}, true)
	case "authorization_details":
		claims.Details = len(m.value)
	case "acr", "auth_time", "amr":
		if m.value == "null" {
			return true
		}
		claims.Login.IsThere = true
		switch m.name {
		case "acr":
			claims.Login.Class, claims.Login.BadClass = text, text == ""
		case "auth_time":
			claims.Login.Time, claims.Login.Unreadable = date, !isDate
		case "amr":
			claims.Login.Methods, claims.Login.BadMethods = list, !isList
		}
	case "act":
		claims.Delegated = true
		actor := new(jose.Actor)
		if countActorsSlowly(m.value) <= 8 && readMembersSlowly(m.value, 0, map[string]*string{"iss": &actor.Issuer, "sub": &actor.Subject, "client_id": &actor.ClientID}, false) {
			claims.Actor = actor
		}
	}
	return true
}

// countActorsSlowly returns the depth of nested acts that are objects.
func countActorsSlowly(act string) int {
	members, ok := readObjectSlowly(act)
	if !ok {
		return 0
	}
	for _, m := range members {
		if m.name == "act" {
			return 1 + countActorsSlowly(m.value)
		}
	}
	return 1
}

// readMembersSlowly reads an object with at least the given number of members. Some
// of them have to be strings, and perhaps not empty.
func readMembersSlowly(object string, least int, texts map[string]*string, full bool) bool {
	members, ok := readObjectSlowly(object)
	for _, m := range members {
		if texts[m.name] != nil {
			text, isText := readStringSlowly(m.value)
			*texts[m.name] = text
			ok = ok && isText && (text != "" || !full)
		}
	}
	return ok && len(members) >= least
}

// NumericDate agrees with moving the decimal point by hand. It cuts digits off and
// never rounds up, so a date is never later than the number.
func FuzzNumericDate(f *testing.F) {
	for _, value := range []string{
		"0", "1.5", "1700000000.999999999999", "1.7e9", "1E+9", "17e8", "1e999", "-1", `"1"`, "253402300799", "253402300800", "1e-9", "0.1e10",
		"253402300799.5", "253402300799.0000000001", "2.534023007995e11", "253402300799e0", "-0", "0e99999999999999999999", "1e-99999", "0.0000000001e19", "1699999999." + strings.Repeat("9", 60) + "e0", "1700000000.000000001e0",
	} {
		f.Add(value)
	}
	f.Fuzz(func(t *testing.T, value string) {
		if !json.Valid([]byte(value)) || strings.TrimSpace(value) != value {
			return // Object never returns such a value
		}
		got, ok := jose.NumericDate(value)
		want, wantOK := readDateSlowly(value)
		if ok != wantOK || !got.Equal(want) {
			t.Errorf("%q: got %v, %v; want %v, %v", value, got, ok, want, wantOK)
		}
		if !ok && !got.IsZero() || ok && (got.Unix() < 0 || got.Unix() > 253402300799) {
			t.Errorf("%q: got %v, %v; want a date from 1970 to 9999, or none", value, got, ok)
		}
	})
}

// theirs is golang-jwt's reading of a token with its strict options. It knows Ed25519
// only under the old name.
func theirs(text string, key any) (*jwt.Token, error) {
	parser := jwt.NewParser(jwt.WithValidMethods([]string{"RS256", "PS256", "ES256", "EdDSA"}),
		jwt.WithJSONNumber(), jwt.WithStrictDecoding(), jwt.WithoutClaimsValidation())
	return parser.Parse(text, func(*jwt.Token) (any, error) { return key, nil })
}

// wantAcceptedByOthers fails the test if golang-jwt refuses a token that this package
// accepts, or reads something else in it.
func wantAcceptedByOthers(t *testing.T, text string, key any) (accepted bool) {
	t.Helper()
	token, err := jose.Parse(text)
	if err != nil || token.Verify(key) != nil {
		return false
	}
	claims, err := jose.ReadClaims(token.Payload)
	if err != nil {
		return false
	}
	other, err := theirs(text, key)
	if err != nil {
		t.Errorf("%q: got accepted; golang-jwt says %v", text, err)
		return true
	}
	if other.Header["alg"] != token.Algorithm {
		t.Errorf("%q: got alg %q; golang-jwt reads %v", text, token.Algorithm, other.Header["alg"])
	}
	if kid, ok := other.Header["kid"].(string); ok && kid != token.KeyID {
		t.Errorf("%q: got kid %q; golang-jwt reads %q", text, token.KeyID, kid)
	}
	for name, ours := range map[string]string{"iss": claims.Issuer, "sub": claims.Subject, "jti": claims.ID} {
		if text, ok := other.Claims.(jwt.MapClaims)[name].(string); ok && text != ours {
			t.Errorf("%q: got %s %q; golang-jwt reads %q", text, name, ours, text)
		}
	}
	return true
}

const (
	goodHeader  = `{"alg":"EdDSA","kid":"k","typ":"at+jwt"}`
	goodPayload = `{"iss":"https://login.example.com","sub":"alice","aud":["a"],"exp":1700000000.5,"cnf":{"jkt":"x"}}`
)

// FuzzDifferential signs every header and payload, so that a wrong signature does not
// hide a difference between the readers.
func FuzzDifferential(f *testing.F) {
	for _, trap := range traps {
		f.Add(goodHeader, trap)
		f.Add(trap, goodPayload)
	}
	f.Add(goodHeader, goodPayload)
	f.Add(` {"alg":"EdDSA","x":[{}]} `, ` {"iss":"x"}`+"\n")
	f.Fuzz(func(t *testing.T, header, payload string) {
		wantAcceptedByOthers(t, sign(t, jwt.SigningMethodEdDSA, edKey(), header, payload), edKey().Public())
	})
}

// If a signed token is mutated, only the unchanged token is accepted.
func TestMutationsOfValidTokens(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, a := range algorithms() {
		header := strings.Replace(goodHeader, "EdDSA", a.name, 1)
		good := sign(t, a.method, a.key, header, goodPayload)
		if a.name != "Ed25519" && strings.HasSuffix(a.name, "256") && !wantAcceptedByOthers(t, good, a.key.Public()) {
			t.Fatalf("%s: the token itself is not accepted", a.name)
		}
		for range 300 {
			text := mutate(random, good)
			token, err := jose.Parse(text)
			if err == nil && token.Verify(a.key.Public()) == nil && text != good {
				t.Errorf("%s: %q is accepted; want only %q", a.name, text, good)
			}
		}
	}
}

// The same mutations before signing: if such a token is accepted, the other readers
// read it in the same way.
func TestMutationsBeforeSigning(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	accepted := 0
	for range 5_000 {
		header, payload := goodHeader, goodPayload
		if random.IntN(2) == 0 {
			header = mutate(random, header)
		} else {
			payload = mutate(random, payload)
		}
		if wantAcceptedByOthers(t, sign(t, jwt.SigningMethodEdDSA, edKey(), header, payload), edKey().Public()) {
			accepted++
		}
	}
	if accepted == 0 {
		t.Error("no mutation was accepted; the test compares nothing")
	}
}

// mutate changes a text in one to three places.
func mutate(random *rand.Rand, text string) string {
	const pool = "AZaz09-_.=+/ \r\n\t\x00\"\\{}[]:,eE\xffu00"
	for range 1 + random.IntN(3) {
		at, c := random.IntN(len(text)), string(pool[random.IntN(len(pool))])
		switch random.IntN(6) {
		case 0:
			text = text[:at] + c + text[at:]
		case 1:
			text = text[:at] + c + text[at+1:]
		case 2:
			text = text[:at] + text[at+1:] + c
		case 3:
			end := at + random.IntN(len(text)-at)
			text = text[:end] + text[at:]
		case 4:
			text = text[:at] + string([]byte{text[at] ^ 1<<random.IntN(8)}) + text[at+1:]
		case 5:
			text += c
		}
	}
	return text
}
