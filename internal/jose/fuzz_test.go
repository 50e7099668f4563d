package jose_test

import (
	"encoding/json"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/golang-jwt/jwt/v5"

	"github.com/accesstoken/accesstoken/internal/jose"
)

// traps are payloads and headers that other readers of JSON stumble over.
var traps = []string{
	`{}`, ` {} `, `{"a":1}`, `{"iss":"x","is\u0073":"y"}`, `{"sub":"\ud800"}`, "{\"sub\":\"\xff\"}", "\xef\xbb\xbf{}", `{}{}`, `[]`, `null`,
	`{"exp":1e999}`, `{"exp":-1}`, `{"exp":1700000000.5}`, `{"aud":["a",1]}`, `{"cnf":{"jkt":"a"}}`, `{"scope":["a b"]}`, `{"a":[[[[{"b":{}}]]]]}`,
	`{"alg":"RS256","ALG":"none"}`, `{"alg":"EdDSA","typ":"application/at+jwt","kid":"k"}`, `{"crit":["exp"],"exp":1}`, `{"iſs":"x","ſub":"y"}`,
	`{"n":9007199254740993,"m":123456789012345678901234567890}`, `{"":""}`, "{\"a\u0000\":1}", `{"b64":false}`,
}

// Whatever Object accepts is JSON to everybody else too, and can be written
// again from what it said.
func FuzzObject(f *testing.F) {
	for _, data := range traps {
		f.Add([]byte(data))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		read := func(data []byte) (map[string]json.RawMessage, error) {
			all := map[string]json.RawMessage{}
			return all, jose.Object(data, func(name, value []byte) error {
				if _, twice := all[string(name)]; twice {
					t.Fatalf("%q: got the member %q twice", data, name)
				}
				all[string(name)] = append(json.RawMessage{}, value...)
				jose.String(value)
				jose.Strings(value)
				jose.NumericDate(value)
				return nil
			})
		}
		first, err := read(data)
		if err != nil {
			return
		}
		var theirs map[string]json.RawMessage
		if err := json.Unmarshal(data, &theirs); err != nil || len(theirs) != len(first) {
			t.Fatalf("%q: encoding/json reads %d members, %v; want %d", data, len(theirs), err, len(first))
		}
		for name, value := range theirs {
			if string(first[name]) != string(value) {
				t.Errorf("%q: got %s for %q; want %s", data, first[name], name, value)
			}
		}
		again, err := json.Marshal(first)
		if err != nil {
			t.Fatalf("%q: cannot be written again: %v", data, err)
		}
		second, err := read(again)
		if err != nil || len(second) != len(first) {
			t.Fatalf("%q, written again as %q: got %d members, %v; want %d", data, again, len(second), err, len(first))
		}
		for name := range first {
			if _, ok := second[name]; !ok {
				t.Errorf("%q: the member %q got lost", data, name)
			}
		}
	})
}

// What Parse accepts is put together again to the very same text.
func FuzzParse(f *testing.F) {
	for _, header := range traps {
		f.Add(part(header) + "." + part(`{}`) + ".AAAA")
	}
	f.Add("opaque")
	f.Add("a.b.c.d.e")
	f.Fuzz(func(t *testing.T, text string) {
		token, err := jose.Parse(text)
		if err != nil {
			if !errors.Is(err, jose.ErrNotJWT) && !errors.Is(err, jose.ErrMalformed) && !errors.Is(err, jose.ErrType) {
				t.Errorf("%q: got %v; want an error of this package", text, err)
			}
			return
		}
		header, _, _ := strings.Cut(text, ".")
		if got := header + "." + part(token.Payload) + "." + part(token.Signature); got != text {
			t.Errorf("got %q; want %q", got, text)
		}
		if got := token.SigningInput + "." + part(token.Signature); got != text {
			t.Errorf("got %q; want %q", got, text)
		}
		if part(unpart(t, header)) != header {
			t.Errorf("the header %q has another spelling", header)
		}
		if len(token.KeyID) > 256 || token.Type != "" && !token.HasType {
			t.Errorf("got the header %+v", token.Header)
		}
		for _, a := range algorithms() {
			if token.Verify(a.key.Public()) == nil {
				t.Errorf("%q: got verified under a key of %s, which never signed it", text, a.name)
			}
		}
	})
}

func FuzzReadClaims(f *testing.F) {
	for _, payload := range traps {
		f.Add([]byte(payload))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		claims, err := jose.ReadClaims(payload)
		if err != nil {
			if !errors.Is(err, jose.ErrMalformed) {
				t.Errorf("%q: got %v; want %v", payload, err, jose.ErrMalformed)
			}
			return
		}
		var theirs map[string]any
		if err := json.Unmarshal(payload, &theirs); err != nil && claims.Fault == "" && !strings.ContainsAny(string(payload), "eE0123456789") {
			t.Fatalf("%q: got %+v; encoding/json says %v", payload, claims, err)
		}
		for name, ours := range map[string]string{"iss": claims.Issuer, "sub": claims.Subject, "jti": claims.ID, "client_id": claims.ClientID} {
			text, isString := theirs[name].(string)
			if isString && text != ours {
				t.Errorf("%q: got %s %q; want %q", payload, name, ours, text)
			}
			if _, present := theirs[name]; present && !isString && claims.Fault == "" {
				t.Errorf("%q: got no fault; want one for %s", payload, name)
			}
		}
		if _, present := theirs["cnf"]; present && !claims.Confirmation.Present {
			t.Errorf("%q: got no cnf; want one", payload)
		}
		if _, present := theirs["exp"]; present && claims.Expiry.IsZero() && claims.Fault == "" {
			t.Errorf("%q: got no exp; want one, or a fault", payload)
		}
	})
}

// A date is never later than the number says, and earlier by less than a second.
func FuzzNumericDate(f *testing.F) {
	for _, value := range []string{"0", "1.5", "1700000000.999999999999", "1.7e9", "1E+9", "17e8", "1e999", "-1", `"1"`, "253402300799", "253402300800", "1e-9", "0.1e10"} {
		f.Add(value)
	}
	f.Fuzz(func(t *testing.T, value string) {
		got, ok := jose.NumericDate([]byte(value))
		if !json.Valid([]byte(value)) || strings.TrimSpace(value) != value {
			return // Object hands on no such value
		}
		if !ok {
			if !got.IsZero() {
				t.Errorf("%q: got %v beside a refusal; want the zero time", value, got)
			}
			return
		}
		if got.Unix() < 0 || got.Unix() > 253402300799 || got.IsZero() {
			t.Errorf("%q: got %v; want a date from 1970 to 9999", value, got)
		}
		_, exponent, _ := strings.Cut(strings.ToLower(value), "e")
		if len(exponent) < 5 { // the exact number has to fit the memory
			wantNotAfter(t, value)
		}
	})
}

// theirs is how golang-jwt reads a token when it is told to be strict. It knows
// Ed25519 under its old name only.
func theirs(text string, key any) (*jwt.Token, error) {
	parser := jwt.NewParser(jwt.WithValidMethods([]string{"RS256", "PS256", "ES256", "EdDSA"}),
		jwt.WithJSONNumber(), jwt.WithStrictDecoding(), jwt.WithoutClaimsValidation())
	return parser.Parse(text, func(*jwt.Token) (any, error) { return key, nil })
}

// wantAcceptedByOthers fails the test when golang-jwt refuses what is accepted
// here, or reads something else in it.
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

// FuzzDifferential signs whatever header and payload come, so that the
// signature does not hide what the readers make of them.
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

// Of all the mutations of a signed token only the token itself is accepted.
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

// The same mutations before signing: what is accepted then is read by others in
// the same way.
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
