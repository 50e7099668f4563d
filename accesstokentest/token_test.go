package accesstokentest_test

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/MicahParks/jwkset"
	"github.com/MicahParks/keyfunc/v3"
	"github.com/golang-jwt/jwt/v5"

	"github.com/accesstoken/accesstoken/accesstokentest"
)

// fetchKeys reads the published key set with another library.
func fetchKeys(t *testing.T, as *accesstokentest.Server) keyfunc.Keyfunc {
	t.Helper()
	_, contentType, body := get(t, as, accesstokentest.JWKSPath)
	if contentType != "application/jwk-set+json" {
		t.Errorf("got content type %q; want application/jwk-set+json", contentType)
	}
	keys, err := keyfunc.NewJWKSetJSON(body)
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// part returns the n-th part of a compact token as bytes.
func part(t *testing.T, token string, n int) []byte {
	t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("got %d parts; want 3", len(parts))
	}
	b, err := base64.RawURLEncoding.DecodeString(parts[n])
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func object(t *testing.T, raw []byte) map[string]any {
	t.Helper()
	var members map[string]any
	if err := json.Unmarshal(raw, &members); err != nil {
		t.Fatal(err)
	}
	return members
}

func TestTokenIsAnAccessToken(t *testing.T) {
	as := accesstokentest.NewServer(t)
	token, err := jwt.Parse(as.Token(nil), fetchKeys(t, as).Keyfunc,
		jwt.WithValidMethods([]string{"RS256"}),
		jwt.WithIssuer(as.URL),
		jwt.WithAudience("https://api.example.com"),
		jwt.WithSubject("alice"),
		jwt.WithExpirationRequired(),
		jwt.WithIssuedAt(),
	)
	if err != nil {
		t.Fatal(err)
	}
	if got := token.Header["typ"]; got != "at+jwt" {
		t.Errorf("got typ %v; want at+jwt", got)
	}
	if got := token.Header["kid"]; got != as.KeyID("RS256") {
		t.Errorf("got kid %v; want %v", got, as.KeyID("RS256"))
	}
	claims := token.Claims.(jwt.MapClaims)
	if got := claims["client_id"]; got != "client" {
		t.Errorf("got client_id %v; want client", got)
	}
	if got := claims["exp"].(float64) - claims["iat"].(float64); got != 300 {
		t.Errorf("got a life of %v seconds; want 300", got)
	}
	if got, has := claims["scope"]; has {
		t.Errorf("got scope %v; want none", got)
	}
}

func TestTokensAreDistinct(t *testing.T) {
	as := accesstokentest.NewServer(t)
	a, b := object(t, part(t, as.Token(nil), 1)), object(t, part(t, as.Token(nil), 1))
	if a["jti"] == b["jti"] {
		t.Errorf("got jti %v twice", a["jti"])
	}
}

func TestClaimsOverrideAndRemove(t *testing.T) {
	as := accesstokentest.NewServer(t)
	given := accesstokentest.Claims{"aud": []string{"a", "b"}, "scope": "x", "sub": nil}
	got := object(t, part(t, as.Token(given), 1))
	if want := []any{"a", "b"}; !reflect.DeepEqual(got["aud"], want) {
		t.Errorf("got aud %v; want %v", got["aud"], want)
	}
	if got["scope"] != "x" {
		t.Errorf("got scope %v; want x", got["scope"])
	}
	if sub, has := got["sub"]; has {
		t.Errorf("got sub %v; want none", sub)
	}
	if len(given) != 3 {
		t.Errorf("the caller's claims were changed: %v", given)
	}
}

func TestEveryPublishedAlgorithmSigns(t *testing.T) {
	as := accesstokentest.NewServer(t)
	keys := fetchKeys(t, as)
	kids := make(map[string]bool)
	for _, k := range as.Keys() {
		members := k.Marshal()
		alg := members.ALG.String()
		t.Run(alg, func(t *testing.T) {
			if members.USE != jwkset.UseSig || members.D != "" || kids[members.KID] {
				t.Errorf("got use %q, kid %q, private %v; want sig, unique, false", members.USE, members.KID, members.D != "")
			}
			kids[members.KID] = true
			token := as.Sign(map[string]any{"typ": "at+jwt", "alg": alg}, as.Claims(nil))
			if got := object(t, part(t, token, 0))["kid"]; got != members.KID || as.KeyID(alg) != members.KID {
				t.Errorf("got kid %v and KeyID %v; want %v", got, as.KeyID(alg), members.KID)
			}
			if alg == "Ed25519" {
				verifyEd25519(t, keys, members.KID, token)
				return
			}
			if _, err := jwt.Parse(token, keys.Keyfunc, jwt.WithValidMethods([]string{alg})); err != nil {
				t.Error(err)
			}
		})
	}
	if len(kids) != 11 {
		t.Errorf("got %d keys; want 11", len(kids))
	}
}

// verifyEd25519 replaces golang-jwt, which does not know this algorithm name.
func verifyEd25519(t *testing.T, keys keyfunc.Keyfunc, kid, token string) {
	t.Helper()
	jwk, err := keys.Storage().KeyRead(t.Context(), kid)
	if err != nil {
		t.Fatal(err)
	}
	input := token[:strings.LastIndex(token, ".")]
	if !ed25519.Verify(jwk.Key().(ed25519.PublicKey), []byte(input), part(t, token, 2)) {
		t.Error("the signature is wrong")
	}
}

func TestServersShareNoKey(t *testing.T) {
	as, other := accesstokentest.NewServer(t), accesstokentest.NewServer(t)
	stranger := other.Sign(map[string]any{"typ": "at+jwt", "kid": as.KeyID("RS256")}, as.Claims(nil))
	if _, err := jwt.Parse(stranger, fetchKeys(t, as).Keyfunc); err == nil {
		t.Error("a token of one server verifies with the keys of another")
	}
}

func TestSignDefaults(t *testing.T) {
	as := accesstokentest.NewServer(t)
	kid := as.KeyID("RS256")
	cases := []struct {
		name   string
		header map[string]any
		want   map[string]any
	}{
		{"no header", nil, map[string]any{"alg": "RS256", "kid": kid}},
		{"kid of one's own", map[string]any{"kid": "k"}, map[string]any{"alg": "RS256", "kid": "k"}},
		{"kid that is no string", map[string]any{"kid": true}, map[string]any{"alg": "RS256", "kid": true}},
		{"kid removed", map[string]any{"alg": "ES256", "kid": nil}, map[string]any{"alg": "ES256"}},
		{"alg removed", map[string]any{"alg": nil}, map[string]any{"kid": kid}},
		{"alg that is no string", map[string]any{"alg": true}, map[string]any{"alg": true, "kid": kid}},
		{"critical extension", map[string]any{"crit": []string{"b64"}, "b64": false},
			map[string]any{"alg": "RS256", "kid": kid, "crit": []any{"b64"}, "b64": false}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			token := as.Sign(c.header, map[string]any{"iss": "x"})
			if got := object(t, part(t, token, 0)); !reflect.DeepEqual(got, c.want) {
				t.Errorf("got header %v; want %v", got, c.want)
			}
			if got := object(t, part(t, token, 1)); !reflect.DeepEqual(got, map[string]any{"iss": "x"}) {
				t.Errorf("got claims %v; want iss alone", got)
			}
		})
	}
}

func TestSignRawKeepsTheBytes(t *testing.T) {
	as := accesstokentest.NewServer(t)
	keys := fetchKeys(t, as)
	header, payload := `{"alg":"RS256","alg":"none"}`, "{\"iss\":1,\"iss\":2} \xff"
	token := as.SignRaw("RS256", []byte(header), []byte(payload))
	if got := string(part(t, token, 0)); got != header {
		t.Errorf("got header %q; want %q", got, header)
	}
	if got := string(part(t, token, 1)); got != payload {
		t.Errorf("got payload %q; want %q", got, payload)
	}
	jwk, err := keys.Storage().KeyRead(t.Context(), as.KeyID("RS256"))
	if err != nil {
		t.Fatal(err)
	}
	input := token[:strings.LastIndex(token, ".")]
	if err := jwt.SigningMethodRS256.Verify(input, part(t, token, 2), jwk.Key()); err != nil {
		t.Error(err)
	}
}

func TestAlgorithmsThatMustBeRefused(t *testing.T) {
	as := accesstokentest.NewServer(t)
	none := as.Sign(map[string]any{"alg": "none"}, nil)
	if !strings.HasSuffix(none, ".") {
		t.Errorf("none: got a signature in %q; want none", none)
	}
	confused := as.Sign(map[string]any{"alg": "HS256"}, nil)
	if got := len(part(t, confused, 2)); got != 32 {
		t.Errorf("HS256: got a signature of %d bytes; want 32", got)
	}
	for _, token := range []string{none, confused} {
		if got := object(t, part(t, token, 0))["kid"]; got != as.KeyID("RS256") {
			t.Errorf("got kid %v; want that of RS256", got)
		}
		if _, err := jwt.Parse(token, fetchKeys(t, as).Keyfunc); err == nil {
			t.Error("another library accepts the token")
		}
	}
}

func TestRotateAndWithdraw(t *testing.T) {
	as := accesstokentest.NewServer(t)
	first, firstKeys := as.Token(nil), fetchKeys(t, as)
	as.Rotate()
	second := as.Token(nil)

	verifies := func(when, token string, keys keyfunc.Keyfunc, want bool) {
		t.Helper()
		_, err := jwt.Parse(token, keys.Keyfunc)
		if got := err == nil; got != want {
			t.Errorf("%s: got verified %v (%v); want %v", when, got, err, want)
		}
	}
	verifies("new token, old key set", second, firstKeys, false)
	rotated := fetchKeys(t, as)
	verifies("old token after rotation", first, rotated, true)
	verifies("new token after rotation", second, rotated, true)
	if got := len(as.Keys()); got != 22 {
		t.Errorf("after rotation: got %d keys; want 22", got)
	}

	as.Withdraw()
	withdrawn := fetchKeys(t, as)
	verifies("old token after withdrawal", first, withdrawn, false)
	verifies("new token after withdrawal", second, withdrawn, true)
	if got := len(as.Keys()); got != 11 {
		t.Errorf("after withdrawal: got %d keys; want 11", got)
	}
}

func TestReplaceKeepsTheKeyIDs(t *testing.T) {
	as := accesstokentest.NewServer(t)
	oldest := as.Token(nil)
	as.Rotate()
	old, oldKeys, published := as.Token(nil), fetchKeys(t, as), as.Keys()
	kid := as.KeyID("RS256")

	as.Replace()
	replaced, newKeys := as.Token(nil), fetchKeys(t, as)
	for name, c := range map[string]struct {
		token string
		keys  keyfunc.Keyfunc
		want  bool
	}{
		"new token, new key set":                      {replaced, newKeys, true},
		"new token, old key set":                      {replaced, oldKeys, false},
		"old token, new key set":                      {old, newKeys, false},
		"token of the generation before, new key set": {oldest, newKeys, true},
	} {
		if _, err := jwt.Parse(c.token, c.keys.Keyfunc); (err == nil) != c.want {
			t.Errorf("%s: got verified %v (%v); want %v", name, err == nil, err, c.want)
		}
	}
	if got := as.KeyID("RS256"); got != kid {
		t.Errorf("got key ID %s; want %s as before", got, kid)
	}
	for i, k := range as.Keys() {
		now, before := k.Marshal(), published[i].Marshal()
		if now.KID != before.KID || now.ALG != before.ALG {
			t.Errorf("key %d: got %s for %s; want %s for %s", i, now.KID, now.ALG, before.KID, before.ALG)
		}
		same := now.N == before.N && now.X == before.X
		if want := i < 11; same != want { // the previous keys stay published
			t.Errorf("key %d: got the same material %v; want %v", i, same, want)
		}
	}

	as.Rotate()
	as.Withdraw()
	if got := len(as.Keys()); got != 11 {
		t.Errorf("got %d keys after a withdrawal; want 11", got)
	}
}

// rotating is a claim that rotates the keys while it is encoded.
type rotating struct{ as *accesstokentest.Server }

func (r rotating) MarshalJSON() ([]byte, error) {
	r.as.Rotate()
	return []byte(`"alice"`), nil
}

func TestTokenMadeDuringARotationVerifies(t *testing.T) {
	as := accesstokentest.NewServer(t)
	token := as.Sign(map[string]any{"alg": "ES256"}, accesstokentest.Claims{"sub": rotating{as}})
	if _, err := jwt.Parse(token, fetchKeys(t, as).Keyfunc); err != nil {
		t.Error(err)
	}
}

func TestSignWithoutClaims(t *testing.T) {
	as := accesstokentest.NewServer(t)
	if got := string(part(t, as.Sign(nil, nil), 1)); got != "{}" {
		t.Errorf("no claims: got %s; want {}", got)
	}
	if got := string(part(t, as.Sign(nil, accesstokentest.Claims{"sub": nil}), 1)); got != `{"sub":null}` {
		t.Errorf("a nil claim: got %s; want null", got)
	}
}

func TestDatesAreNumbers(t *testing.T) {
	as := accesstokentest.NewServer(t)
	exp := time.Now().Add(time.Hour).Unix()
	got := object(t, part(t, as.Token(accesstokentest.Claims{"exp": exp}), 1))
	if got["exp"] != float64(exp) {
		t.Errorf("got exp %v; want %v", got["exp"], exp)
	}
}
