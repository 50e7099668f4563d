package accesstoken_test

import (
	"context"
	"crypto"
	"encoding/json"
	"errors"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/accesstokentest"
	"github.com/accesstoken/accesstoken/jwks"
	"github.com/accesstoken/accesstoken/scopes"
)

// An attempt is a request that gets everything wrong that it can, until it is mended.
type attempt struct {
	holder, thief holder
	proofs        int
	right         bool // the proof is by the holder's key
	header        map[string]any
	claims        accesstokentest.Claims
	twice         bool // the payload has a member twice
	tampered      bool // the signature is another token's
	active        bool // says the issuer
	closed        bool // says Accept
}

func newAttempt(t *testing.T, as *accesstokentest.Server) *attempt {
	a := &attempt{holder: newHolder(t), thief: newHolder(t), proofs: 2, twice: true, tampered: true, closed: true}
	a.header = map[string]any{"typ": "JWT", "alg": "HS256", "kid": "unknown", "crit": []string{"x"}}
	a.claims = as.Claims(accesstokentest.Claims{
		"iss": "https://unknown.example", "aud": "https://other.example", "client_id": "unlisted",
		"exp": time.Now().Add(-time.Hour).Unix(), "pad": strings.Repeat("x", 20<<10),
	})
	delete(a.claims, "jti")
	return a
}

// token signs the claims as they are by now.
func (a *attempt) token(t *testing.T, as *accesstokentest.Server) string {
	payload, err := json.Marshal(a.claims)
	if err != nil {
		t.Fatal(err)
	}
	if a.twice {
		payload = []byte(`{"x":1,"x":2,` + string(payload[1:]))
	}
	header, err := json.Marshal(a.header)
	if err != nil {
		t.Fatal(err)
	}
	alg := a.header["alg"].(string)
	token := as.SignRaw(alg, header, payload)
	if a.tampered {
		other := as.SignRaw(alg, header, []byte(`{}`))
		token = token[:strings.LastIndexByte(token, '.')] + other[strings.LastIndexByte(other, '.'):]
	}
	if a.active {
		as.Remember(token, a.claims)
	}
	return token
}

// credentials are those of the request, under the scheme.
func (a *attempt) credentials(t *testing.T, scheme, token string) accesstoken.Credentials {
	r := httptest.NewRequest("GET", "/orders", nil)
	r.Header.Set("Authorization", scheme+" "+token)
	by := a.thief
	if a.right {
		by = a.holder
	}
	for range a.proofs {
		r.Header.Add("DPoP", by.proof(t, "GET", "/orders", token))
	}
	return accesstoken.CredentialsOf(r)
}

// explained are the names that Explain gives to the checks of the list.
var explained = []string{
	1: "credentials", 2: "size", 3: "header", 4: "payload", 5: "issuer", 6: "key", 7: "signature", 8: "kind", 9: "lists", 10: "clock",
	12: "scheme", 13: "audience", 14: "introspection", 15: "sender", 16: "Accept", 17: "policy",
}

// The order of the checks is the list in the package's documentation: of two faults,
// the one that stands first there is the one that is told.
func TestTheChecksRunInTheOrderOfTheirList(t *testing.T) {
	as := accesstokentest.NewServer(t)
	a := newAttempt(t, as)
	now, withdrawn := time.Now(), false
	keys := jwks.Static(as.Keys()...)
	asking := false
	configure := func(c *accesstoken.Config) {
		c.DPoP, c.Now = newVerifier(t), func() time.Time { return now }
		c.Issuers = []accesstoken.Issuer{
			{
				URL: as.URL, Algorithms: []string{"RS256"}, Clients: []string{"client"},
				Introspection: newIntrospection(t, as), AlwaysIntrospect: asking,
				Keys: sourceFunc(func(ctx context.Context, kid, algorithm string) ([]crypto.PublicKey, uint64, error) {
					if withdrawn {
						return nil, 0, nil
					}
					return keys.Keys(ctx, kid, algorithm)
				}),
				Accept: func(context.Context, accesstoken.Claims) error {
					if a.closed {
						return accesstoken.Deny("CLOSED", nil)
					}
					return nil
				},
			},
			{URL: "https://another.example", Algorithms: []string{"ES256"}, JWKSURI: as.URL + "/none"},
		}
	}
	v := newValidator(t, as, configure)
	asking = true
	asked := newValidator(t, as, configure) // which leaves to the answer what the JWT lacks
	policy := accesstoken.Policy{Scopes: scopes.All("a"), ACR: []string{"mfa"}, Actors: []accesstoken.Actor{{Issuer: as.URL, Subject: "agent"}}}
	remembered := false
	refuses := func(item int, scheme, token string, want accesstoken.Reason, says string) {
		t.Helper()
		credentials := a.credentials(t, scheme, token)
		if e := v.Explain(t.Context(), credentials, policy); !remembered { // Explain verifies a token anew
			last := e.Checks[len(e.Checks)-1]
			if last.OK || last.Name != explained[item] || !errors.Is(e.Err, want) {
				t.Errorf("check %d: Explain says that %q failed, with %v; want %q, with %s", item, last.Name, e.Err, explained[item], want)
			}
		}
		_, err := v.Authorize(t.Context(), credentials, policy)
		if !errors.Is(err, want) || !strings.Contains(err.Error(), says) {
			t.Errorf("check %d: got %v; want %s, about %q", item, err, want, says)
		}
	}
	for _, step := range []struct {
		item int
		want accesstoken.Reason
		says string // what tells refusals for the same reason apart
		mend func()
	}{
		{1, accesstoken.DPoPProofInvalid, "", func() { a.proofs = 1 }},
		{2, accesstoken.TokenTooLarge, "", func() { delete(a.claims, "pad") }},
		{3, accesstoken.TokenTypeMismatch, "", func() { delete(a.header, "crit") }},
		{3, accesstoken.AlgorithmNotAllowed, "", func() { a.header["alg"] = "ES256" }},
		{4, accesstoken.TokenMalformed, "", func() { a.twice = false }},
		{5, accesstoken.IssuerUnknown, "", func() { a.claims["iss"] = as.URL }},
		{5, accesstoken.AlgorithmNotAllowed, "", func() { a.header["alg"] = "RS256" }},
		{6, accesstoken.KeyNotFound, "", func() { a.header["kid"] = as.KeyID("RS256") }},
		{7, accesstoken.SignatureInvalid, "", func() { a.tampered = false }},
		{8, accesstoken.TokenTypeMismatch, "", func() { a.header["typ"] = "at+jwt" }},
		{8, accesstoken.ClaimInvalid, "jti", func() { a.claims["jti"] = "1" }},
		{9, accesstoken.ClaimInvalid, "Clients", func() { a.claims["client_id"] = "client" }},
		{10, accesstoken.TokenExpired, "", func() { a.claims["exp"] = now.Add(time.Minute).Unix() }},
		{12, accesstoken.BindingRequired, "", func() { a.claims["cnf"] = a.holder.cnf(true, false) }},
		{13, accesstoken.AudienceMismatch, "", func() { a.claims["aud"] = resource }},
		{14, accesstoken.TokenInactive, "", func() { a.active = true }},
		{15, accesstoken.BindingMismatch, "", func() { a.right = true }},
		{16, "CLOSED", "", func() { a.closed = false }},
		{17, accesstoken.PolicyDenied, "actor", func() { a.claims["act"] = map[string]any{"sub": "agent"} }},
		{17, accesstoken.ScopeInsufficient, "", func() { a.claims["scope"] = "a" }},
		{17, accesstoken.StepUpRequired, "", func() { a.claims["acr"] = "mfa" }},
	} {
		if step.item == 14 {
			v = asked
		}
		refuses(step.item, "DPoP", a.token(t, as), step.want, step.says)
		step.mend()
	}

	// The token is good now, and from here on its facts are remembered.
	token := a.token(t, as)
	if _, err := v.Authorize(t.Context(), a.credentials(t, "DPoP", token), policy); err != nil {
		t.Fatalf("mended: got %v; want nil", err)
	}
	remembered = true
	now, withdrawn, a.closed = now.Add(time.Hour), true, true
	refuses(10, "Bearer", token, accesstoken.TokenExpired, "")
	now = now.Add(-time.Hour)
	if _, err := v.Authorize(t.Context(), a.credentials(t, "DPoP", token), policy); !errors.Is(err, accesstoken.KeyNotFound) {
		t.Errorf("dropped: got %v; want KEY_NOT_FOUND", err)
	}
	withdrawn, a.closed = false, false
	if _, err := v.Authorize(t.Context(), a.credentials(t, "DPoP", token), policy); err != nil {
		t.Fatalf("published again: got %v; want nil", err)
	}
	withdrawn = true
	refuses(11, "Bearer", token, accesstoken.KeyNotFound, "")
	withdrawn = false
	refuses(12, "Bearer", token, accesstoken.BindingRequired, "")
}

// A sourceFunc is a key source.
type sourceFunc func(ctx context.Context, kid, algorithm string) ([]crypto.PublicKey, uint64, error)

func (f sourceFunc) Keys(ctx context.Context, kid, algorithm string) ([]crypto.PublicKey, uint64, error) {
	return f(ctx, kid, algorithm)
}
