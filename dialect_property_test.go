package accesstoken_test

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/accesstokentest"
	"github.com/accesstoken/accesstoken/dialect"
)

// A profile and its Dialect decide alike about every token, and read the same in it. A
// Dialect under another name is compiled as one of a user, and may differ from Google and
// Hydra only where no Dialect can say what they say.
func TestAProfileAndItsDialectDecideAlike(t *testing.T) {
	as, random := accesstokentest.NewServer(t), rand.New(rand.NewPCG(5, 6))
	all, accepted := specimens(t), 0
	for name, profile := range profiles() {
		issuer := shapedIssuerOf(profile)
		byProfile := validatorOf(t, as, issuer)
		issuer.Profile, issuer.Dialect = accesstoken.RFC9068, profile.Dialect()
		byDialect := validatorOf(t, as, issuer)
		renamed := issuer
		renamed.Dialect = profile.Dialect()
		renamed.Dialect.Name = "renamed" // which makes it a user's, by whose marks less is known
		renamed.Accept = func(context.Context, accesstoken.Claims) error { return nil }
		byRenamed := validatorOf(t, as, renamed)
		for of := range all {
			count := 5
			if of == name {
				count = 60
			}
			for _, s := range all[of] {
				for range count {
					m := mutated(random, s)
					token := m.sign(as)
					want := verdictOf(t, byProfile, token)
					if strings.HasPrefix(want, "OK") {
						accepted++
					}
					if got := verdictOf(t, byDialect, token); got != want {
						t.Errorf("%s, %v: got %s by the Dialect; want %s", name, m, got, want)
					}
					if got := verdictOf(t, byRenamed, token); got != want && strings.HasPrefix(got, "OK") && !isBeyondDialects(name, m) {
						t.Errorf("%s, %v: got %s by the Dialect under another name; want %s", name, m, got, want)
					}
				}
			}
		}
	}
	if accepted < 300 {
		t.Errorf("got %d tokens accepted; want more, or the test compares little", accepted)
	}
}

// isBeyondDialects reports what only a profile can say: that iss may leave out https://,
// that an empty aud is an absent one, and that ID tokens with events are accepted.
func isBeyondDialects(profile string, s specimen) bool {
	audience, isList := s.claims["aud"].([]any)
	_, hasEvents := s.claims["events"]
	return profile == "Google" && (hasEvents || s.claims["iss"] == strings.TrimPrefix(shapedIssuer, "https://")) ||
		profile == "Hydra" && isList && len(audience) == 0
}

// An ID token has azp here, and aud names the client, or the API beside it. No profile
// whose credentials are access tokens accepts any, even if aud is right.
func TestNoProfileAcceptsAnIDToken(t *testing.T) {
	as := accesstokentest.NewServer(t)
	for name, profile := range profiles() {
		v := validatorOf(t, as, shapedIssuerOf(profile))
		for form := range 16 {
			idToken := idTokenOf(form)
			switch profile {
			case accesstoken.EntraV2, accesstoken.EntraV1, accesstoken.EntraExternalID:
				delete(idToken.claims, "azp") // which Entra ID puts into access tokens only
			}
			for _, typ := range []string{"JWT", ""} {
				idToken.header["typ"] = typ
				if typ == "" {
					delete(idToken.header, "typ")
				}
				verdict := verdictOf(t, v, idToken.sign(as))
				if strings.HasPrefix(verdict, "OK") && !profile.Dialect().IDTokens {
					t.Errorf("%s, %v: got %s; want it refused", name, idToken, verdict)
				}
			}
		}
	}
}

// idTokenOf returns one of 16 forms of an ID token.
func idTokenOf(form int) specimen {
	now := time.Now()
	claims := map[string]any{
		"iss": shapedIssuer, "sub": "x-sub", "aud": resource, "azp": resource, "exp": now.Add(time.Minute).Unix(), "iat": now.Unix(),
		"tid": shapedTenant, "jti": "1",
	}
	if form&1 != 0 {
		claims["nonce"] = "n"
	}
	if form&2 != 0 {
		claims["at_hash"], claims["c_hash"] = "h", "h"
	}
	if form&4 != 0 {
		claims["auth_time"], claims["acr"], claims["amr"], claims["sid"], claims["roles"], claims["groups"] = now.Unix(), "1", []string{"pwd"}, "s", []string{"a"}, []string{"a"}
		claims["email"], claims["email_verified"], claims["ver"] = "a@example.com", true, "2.0"
	}
	if form&8 != 0 {
		claims["aud"], claims["azp"] = []string{shapedClient, resource}, shapedClient
	}
	return specimen{map[string]any{}, claims}
}

// A dialectCase is a Dialect that was made up, and a token that it should accept.
type dialectCase struct {
	issuer accesstoken.Issuer
	good   specimen
}

// anyDialect makes a Dialect up, and a token that has what it demands. Many of the
// Dialects are faulty, so that the test finds out which of them start.
func anyDialect(random *rand.Rand) dialectCase {
	now := time.Now()
	d := &dialect.Dialect{Name: "random", ScopeArray: random.IntN(2) == 0, IDTokens: random.IntN(4) == 0}
	claims := map[string]any{
		"iss": shapedIssuer, "sub": "alice", "aud": []string{resource}, "exp": now.Add(time.Minute).Unix(), "iat": now.Unix(), "jti": "1", "client_id": "client", "scope": "a",
	}
	pick := func(from ...string) (some []string) {
		for _, one := range from {
			if random.IntN(3) == 0 {
				some = append(some, one)
			}
		}
		return some
	}
	d.Types = pick("jwt", "at+jwt", "", "JOSE", "logout+jwt", "refresh", "id")
	d.Optional = pick("client_id", "jti", "sub", "aud", "iat", "exp")
	for _, name := range d.Optional {
		if random.IntN(2) == 0 {
			delete(claims, name)
		}
	}
	d.Client, d.Scope = pick("azp", "cid", "nonce", "/client/id"), pick("scp", "scope")
	for _, name := range d.Client {
		claims[name] = "client"
		if name == "/client/id" {
			claims["client"] = map[string]any{"id": "client"}
		}
	}
	for range random.IntN(4) {
		d.Kind = append(d.Kind, anyMark(random, claims))
	}
	issuer := accesstoken.Issuer{URL: shapedIssuer, Dialect: d, Algorithms: []string{"EdDSA"}}
	if random.IntN(2) == 0 {
		issuer.Clients = []string{"client"}
	}
	if random.IntN(4) == 0 {
		issuer.Demand, claims["team"] = map[string][]string{"team": {"red"}}, "red"
	}
	header := map[string]any{"typ": "at+jwt"}
	if len(d.Types) > 0 {
		header["typ"] = d.Types[random.IntN(len(d.Types))]
	}
	if header["typ"] == "" {
		delete(header, "typ")
	}
	return dialectCase{issuer, specimen{header, claims}}
}

// anyMark makes a mark up, and puts into the claims what it demands.
func anyMark(random *rand.Rand, claims map[string]any) dialect.Mark {
	name := claimsToMutate[random.IntN(len(claimsToMutate))]
	switch random.IntN(6) {
	case 0:
		delete(claims, name)
		return dialect.Without(name)
	case 1:
		claims["v"] = 2
		return dialect.Is("v", 2, "two", true)
	case 2:
		claims["sub"] = "user:alice"
		return dialect.HasPrefix("sub", "user:")
	case 3:
		claims["realm"] = map[string]any{"v": []any{map[string]any{"w": true}}}
		return dialect.AnyOf(dialect.Is("/realm/v/0/w", true), dialect.AudienceBeyondClient(), dialect.Without("x"))
	case 4:
		return dialect.AudienceBeyondClient()
	}
	if _, ok := claims[name]; !ok {
		claims[name] = "x"
	}
	return dialect.Has(name)
}

// What no Dialect can say away.
func TestNoDialectAcceptsWhatIsNoAccessToken(t *testing.T) {
	as, other, random := accesstokentest.NewServer(t), accesstokentest.NewServer(t), rand.New(rand.NewPCG(7, 8))
	started, accepted := 0, 0
	for range 4000 {
		test := anyDialect(random)
		if issuerFaults(t, test.issuer) != "" {
			continue
		}
		started++
		v := validatorOf(t, as, test.issuer)
		if !strings.HasPrefix(verdictOf(t, v, test.good.sign(as)), "OK") {
			continue
		}
		accepted++
		for name, token := range neverAccepted(as, other, test) {
			if verdict := verdictOf(t, v, token); strings.HasPrefix(verdict, "OK") {
				t.Errorf("%s: got %s for a change of %v by %v; want it refused", name, verdict, test.good, test.issuer.Dialect)
			}
		}
	}
	if started < 250 || accepted < 200 {
		t.Errorf("got %d Dialects that start, of which %d accept their token; want more, or the test shows little", started, accepted)
	}
}

// neverAccepted are changes of a good token with which it must be refused.
func neverAccepted(as, other *accesstokentest.Server, test dialectCase) map[string]string {
	changed := func(header, claims map[string]any) string {
		s := test.good.clone()
		maps.Copy(s.header, header)
		maps.Copy(s.claims, claims)
		for name, value := range claims {
			if value == nil {
				delete(s.claims, name)
			}
		}
		return s.sign(as)
	}
	token := test.good.sign(as)
	flipped := strings.ReplaceAll(token[len(token)-40:], "A", "B")
	if strings.HasSuffix(token, flipped) {
		flipped = "A" + flipped[1:]
	}
	tokens := map[string]string{
		"a bad signature":        token[:len(token)-40] + flipped,
		"a key of another":       test.good.sign(other),
		"a foreign iss":          changed(nil, map[string]any{"iss": "https://other.example.com"}),
		"a slash more":           changed(nil, map[string]any{"iss": shapedIssuer + "/"}),
		"no iss":                 changed(nil, map[string]any{"iss": nil}),
		"an exp that is past":    changed(nil, map[string]any{"exp": time.Now().Add(-time.Hour).Unix()}),
		"no exp":                 changed(nil, map[string]any{"exp": nil}),
		"an alg off the list":    changed(map[string]any{"alg": "ES256"}, nil),
		"a foreign aud":          changed(nil, map[string]any{"aud": "https://other.example.com"}),
		"neither sub nor client": changed(nil, map[string]any{"sub": nil, "client_id": nil, "azp": nil, "cid": nil, "client": nil}),
	}
	for _, kind := range []string{"id", "ID", "refresh", "Offline", "logout", "id_token", "refresh_token"} {
		tokens["typ "+kind] = changed(nil, map[string]any{"typ": kind})
		tokens["token_use "+kind] = changed(nil, map[string]any{"token_use": kind})
		tokens["header "+kind] = changed(map[string]any{"typ": kind}, nil)
	}
	for _, typ := range []string{"logout+jwt", "dpop+jwt", "secevent+jwt", "oauth-id-jag+jwt", "token-introspection+jwt"} {
		tokens["header "+typ] = changed(map[string]any{"typ": typ}, nil)
	}
	d := test.issuer.Dialect
	if _, hasEvents := test.good.claims["events"]; !hasEvents && strings.Contains(d.String(), "events") {
		tokens["events"] = changed(nil, map[string]any{"events": map[string]any{}})
	}
	for claim, demanded := range map[string]string{"nonce": "no nonce", "at_hash": "no at_hash"} {
		if strings.Contains(d.String(), demanded) {
			tokens[claim] = changed(nil, map[string]any{claim: "x"})
		}
	}
	if strings.Contains(d.String(), "does not name the client") && !slices.Contains(d.Optional, "client_id") {
		tokens["an aud that names the client"] = changed(nil, map[string]any{"aud": []string{resource, "client"}})
	}
	return tokens
}

// Every Dialect that accepts more than at+jwt has something that ID tokens do not meet.
func TestADialectWithoutAMarkDemandsWhatCanBeProved(t *testing.T) {
	for _, d := range []*dialect.Dialect{
		{Types: []string{"jwt"}},
		{Types: []string{"at+jwt", "jwt"}, Client: []string{"azp"}},
		{Types: []string{""}, Kind: []dialect.Mark{dialect.Has("sid")}},
		{Types: []string{"jwt"}, Kind: []dialect.Mark{dialect.Is("email_verified", true), dialect.HasPrefix("sub", "a")}},
		{Types: []string{"jwt"}, Kind: []dialect.Mark{dialect.Without("azp", "nonce")}},
		{Types: []string{"jwt"}, Kind: []dialect.Mark{dialect.AnyOf(dialect.Has("scp"), dialect.Without("nonce"))}},
		{Types: []string{"jwt"}, Kind: []dialect.Mark{dialect.AudienceBeyondClient()}},
	} {
		if got := fmt.Sprint(d); !strings.Contains(got, "no nonce") || !strings.Contains(got, "an aud that does not name the client") {
			t.Errorf("got %s; want it to demand no nonce, and an aud that does not name the client", got)
		}
	}
}
