package accesstoken_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/accesstokentest"
	"github.com/accesstoken/accesstoken/jwks"
)

// A specimen is a token before it is signed.
type specimen struct {
	header, claims map[string]any
}

// sign signs with EdDSA, which is the fastest, unless the header has another alg.
func (s specimen) sign(as *accesstokentest.Server) string {
	header := maps.Clone(s.header)
	if header["alg"] == nil {
		header["alg"] = "EdDSA"
	}
	return as.Sign(header, s.claims)
}

func (s specimen) clone() specimen { return specimen{maps.Clone(s.header), maps.Clone(s.claims)} }

func (s specimen) String() string {
	header, _ := json.Marshal(s.header)
	claims, _ := json.Marshal(s.claims)
	return fmt.Sprintf("%s %s", header, claims)
}

// specimens are tokens of all shapes that are recorded or documented, by the profile.
func specimens(t *testing.T) map[string][]specimen {
	t.Helper()
	found := map[string][]specimen{}
	for _, all := range []map[string][]shape{recordings(t), documented(t)} {
		for _, issuer := range slices.Sorted(maps.Keys(all)) {
			for _, s := range all[issuer] {
				header, _ := s.filled(t, "", s.Header).(map[string]any)
				claims, _ := s.filled(t, "", s.Claims).(map[string]any)
				delete(header, "kid")
				delete(header, "alg")
				if header["typ"] == nil {
					delete(header, "typ")
				}
				found[s.Profile] = append(found[s.Profile], specimen{header, claims})
			}
		}
	}
	return found
}

// claimsToMutate are the claims that some check reads, and some that none does.
var claimsToMutate = []string{
	"iss", "sub", "aud", "exp", "nbf", "iat", "jti", "client_id", "azp", "scope", "cnf", "act", "nonce", "at_hash", "c_hash", "s_hash", "events",
	"token_use", "typ", "scp", "appid", "cid", "uid", "uti", "tid", "idtyp", "ver", "roles", "email", "email_verified", "groups", "sid", "v", "firebase",
	"role", "aal", "session_id", "sts", "type", "common_name", "applicationId", "permissions", "project_id", "job_id", "tfp",
}

// mutated changes a specimen in one to three places.
func mutated(random *rand.Rand, s specimen) specimen {
	s = s.clone()
	for range 1 + random.IntN(3) {
		name := claimsToMutate[random.IntN(len(claimsToMutate))]
		switch random.IntN(8) {
		case 0, 1:
			delete(s.claims, name)
		case 2:
			types := []any{"JWT", "at+jwt", "application/at+jwt", "AT+JWT", "jwt", "logout+jwt", "dpop+jwt", "secevent+jwt", "oauth-id-jag+jwt", "ID", "refresh", "JOSE", "", 1, nil}
			s.header["typ"] = types[random.IntN(len(types))]
		case 3:
			delete(s.header, "typ")
		default:
			s.claims[name] = anyValue(random)
		}
	}
	return s
}

func anyValue(random *rand.Rand) any {
	values := []any{
		nil, true, false, 0, 1, 2, 1.5, json.RawMessage("1.0"), "1", "1.0", "2.0", "", "x", "a b", "client", "other", "client@clients", "id", "ID", "Refresh", "logout",
		"access", "Bearer", "DPoP", "app", "user", resource, []any{}, []any{"a"}, []any{"a b"}, []any{""}, []any{1}, []any{resource}, []any{"client"},
		[]any{resource, "client"}, []any{"access", "id"}, map[string]any{}, map[string]any{"sub": "a"}, shapedTenant, shapedIssuer, "login.example.com",
		"system:serviceaccount:prod:orders", shapedTrustDomain + "/a", shapedTrustDomain, "spiffe://other.example/a", "system:serviceaccount:prod", time.Now().Add(-time.Hour).Unix(), time.Now().Add(time.Hour).Unix(),
	}
	return values[random.IntN(len(values))]
}

// verdictOf is what a Validator decides about a token, and what it reads in it.
func verdictOf(t *testing.T, v *accesstoken.Validator, token string) string {
	t.Helper()
	claims, err := v.Validate(t.Context(), accesstoken.Bearer(token))
	if err != nil {
		return string(reasonOf(t, err))
	}
	groups, _ := claims.Groups()
	roles, _ := claims.Roles()
	return fmt.Sprintf("OK %q %q %q %q %q %v %q %q", claims.Issuer, claims.Subject, claims.ClientID, claims.ID, claims.Scopes(), claims.ClientItself(), groups, roles)
}

func reasonOf(t *testing.T, err error) accesstoken.Reason {
	t.Helper()
	refused, ok := err.(*accesstoken.Error)
	if !ok {
		t.Fatalf("got %v; want an *accesstoken.Error", err)
	}
	return refused.Reason
}

// validatorOf returns a validator of one issuer whose keys are those of the server.
func validatorOf(t *testing.T, as *accesstokentest.Server, issuer accesstoken.Issuer) *accesstoken.Validator {
	t.Helper()
	issuer.Keys = jwks.Static(as.Keys()...)
	return newValidator(t, as, func(c *accesstoken.Config) { c.Issuers = []accesstoken.Issuer{issuer} })
}
