package accesstoken_test

import (
	"testing"
	"time"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/accesstokentest"
)

// Each profile has its own claims for the client and its own marks of other tokens:
// where the JWT says one thing and the answer another, there is no telling which is so.
func TestAnAnswerThatDiffersFromTheJWTIsRefused(t *testing.T) {
	as := accesstokentest.NewServer(t)
	okta := accesstokentest.Claims{"cid": "client", "client_id": nil, "ver": 1, "scp": []string{"a"}}
	for _, test := range []struct {
		name        string
		profile     accesstoken.Profile
		jwt, answer accesstokentest.Claims
		want        accesstoken.Reason
	}{
		{"the client is another in cid", accesstoken.Okta, okta, accesstokentest.Claims{"client_id": nil, "cid": "other"}, accesstoken.ClaimInvalid},
		{"the client is another in client_id", accesstoken.Okta, okta, accesstokentest.Claims{"client_id": "other"}, accesstoken.ClaimInvalid},
		{"the client is the same in client_id", accesstoken.Okta, okta, accesstokentest.Claims{"client_id": "client"}, ""},
		{"azp is another", accesstoken.RFC9068, accesstokentest.Claims{"azp": "client"}, accesstokentest.Claims{"azp": "other"}, accesstoken.ClaimInvalid},
		{"azp is the same", accesstoken.RFC9068, accesstokentest.Claims{"azp": "client"}, accesstokentest.Claims{"azp": "client"}, ""},
		{"tid is another", accesstoken.RFC9068, accesstokentest.Claims{"tid": "ours"}, accesstokentest.Claims{"tid": "theirs"}, accesstoken.ClaimInvalid},
		{"tid is the same", accesstoken.RFC9068, accesstokentest.Claims{"tid": "ours"}, accesstokentest.Claims{"tid": "ours"}, ""},
		{"the actor is another", accesstoken.RFC9068, actedFor("clerk"), actedFor("mallory"), accesstoken.ClaimInvalid},
		{"the actor is the same", accesstoken.RFC9068, actedFor("clerk"), actedFor("clerk"), ""},
		{"only the JWT has an actor", accesstoken.RFC9068, actedFor("clerk"), accesstokentest.Claims{}, ""},
		{"only the answer has an actor", accesstoken.RFC9068, accesstokentest.Claims{}, actedFor("clerk"), ""},
		{"the JWT's aud is empty, where that is no better than absent", accesstoken.Hydra, accesstokentest.Claims{"aud": []string{}, "scp": []string{"a"}}, accesstokentest.Claims{}, ""},
		{"the JWT's aud is empty, and the answer's for another", accesstoken.Hydra, accesstokentest.Claims{"aud": []string{}, "scp": []string{"a"}}, accesstokentest.Claims{"aud": "urn:other"}, accesstoken.AudienceMismatch},
		{"no aud in the JWT and no token_type, and typ is at+jwt", accesstoken.RFC9068, accesstokentest.Claims{"aud": nil}, accesstokentest.Claims{"token_type": nil}, ""},
		{"no aud in the JWT and no token_type, and the payload's typ is Bearer", accesstoken.Keycloak, accesstokentest.Claims{"aud": nil, "typ": "Bearer", "azp": "client"}, accesstokentest.Claims{"token_type": nil}, ""},
		{"no aud in the JWT and no token_type, and token_use is access", accesstoken.Cognito, accesstokentest.Claims{"aud": nil, "token_use": "access"}, accesstokentest.Claims{"token_type": nil}, ""},
		{"no aud in the JWT and no token_type, and ver is 1", accesstoken.Okta, accesstokentest.Claims{"aud": nil, "cid": "client", "client_id": nil, "ver": 1, "scp": []string{"a"}}, accesstokentest.Claims{"token_type": nil}, ""},
		{"no aud in the JWT and no token_type, nor a mark", accesstoken.Auth0, accesstokentest.Claims{"aud": nil, "azp": "client"}, accesstokentest.Claims{"token_type": nil}, accesstoken.TokenTypeMismatch},
		{"the JWT's email is not verified", accesstoken.Google, accesstokentest.Claims{"azp": "client", "email": "a@example.com"}, accesstokentest.Claims{}, accesstoken.ClaimInvalid},
		{"the answer's email is not verified", accesstoken.Google, accesstokentest.Claims{"azp": "client"}, accesstokentest.Claims{"email": "a@example.com"}, accesstoken.ClaimInvalid},
		{"the emails are verified", accesstoken.Google, verified("client"), verified("client"), ""},
		{"the JWT has null where the answer verifies its email", accesstoken.Google, accesstokentest.Claims{"azp": "client", "email_verified": accesstokentest.Null}, verified("client"), ""},
		{"the JWT has an email, and null where the answer is verified", accesstoken.Google, accesstokentest.Claims{"azp": "client", "email": "b@example.com", "email_verified": accesstokentest.Null}, verified("client"), accesstoken.ClaimInvalid},
		{"only the JWT has an email", accesstoken.Google, verified("client"), accesstokentest.Claims{}, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			v := completing(t, as, func(c *accesstoken.Config) {
				c.Issuers[0].Profile, c.Issuers[0].Clients = test.profile, []string{"client"}
			})
			typ := "at+jwt"
			if test.profile == accesstoken.Google {
				typ = "JWT"
			}
			token := as.Sign(map[string]any{"typ": typ}, as.Claims(test.jwt))
			as.Remember(token, test.answer)
			_, err := v.Validate(t.Context(), accesstoken.Bearer(token))
			if test.want != "" {
				wantReason(t, err, test.want)
			} else if err != nil {
				t.Errorf("got %v; want nil", err)
			}
		})
	}
}

func actedFor(subject string) accesstokentest.Claims {
	return accesstokentest.Claims{"act": map[string]any{"sub": subject}}
}

func verified(client string) accesstokentest.Claims {
	return accesstokentest.Claims{"azp": client, "email": "a@example.com", "email_verified": true}
}

// Whichever of the two was issued first, began last or ends first counts, and the
// leeway holds to the second.
func TestOfTheTimesOfJWTAndAnswerTheNarrowerCount(t *testing.T) {
	as := accesstokentest.NewServer(t)
	now := time.Now().Truncate(time.Second)
	v := completing(t, as, func(c *accesstoken.Config) {
		c.Now = func() time.Time { return now }
		c.Leeway = 10 * time.Second
	})
	at := func(seconds int) int64 { return now.Add(time.Duration(seconds) * time.Second).Unix() }
	for _, test := range []struct {
		name        string
		jwt, answer accesstokentest.Claims
		want        accesstoken.Reason
	}{
		{"iat of the answer within the leeway", accesstokentest.Claims{"iat": at(0)}, accesstokentest.Claims{"iat": at(10)}, ""},
		{"iat of the answer beyond the leeway", accesstokentest.Claims{"iat": at(0)}, accesstokentest.Claims{"iat": at(11)}, accesstoken.TokenNotYetValid},
		{"nbf of the JWT beyond the leeway", accesstokentest.Claims{"nbf": at(11)}, accesstokentest.Claims{"nbf": at(-60)}, accesstoken.TokenNotYetValid},
		{"nbf of the answer beyond the leeway", accesstokentest.Claims{"nbf": at(-60)}, accesstokentest.Claims{"nbf": at(11)}, accesstoken.TokenNotYetValid},
		{"exp of the JWT alone", accesstokentest.Claims{"exp": at(60)}, accesstokentest.Claims{"exp": nil}, ""},
		{"exp of the JWT alone, which is over", accesstokentest.Claims{"exp": at(-10)}, accesstokentest.Claims{"exp": nil}, accesstoken.TokenExpired},
		{"exp of the answer alone", accesstokentest.Claims{"exp": nil}, accesstokentest.Claims{"exp": at(60)}, ""},
		{"exp of the JWT, which is over", accesstokentest.Claims{"exp": at(-10)}, accesstokentest.Claims{"exp": at(60)}, accesstoken.TokenExpired},
		{"exp of the answer, which is over", accesstokentest.Claims{"exp": at(60)}, accesstokentest.Claims{"exp": at(-10)}, accesstoken.TokenExpired},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := validateBoth(t, as, v, test.jwt, test.answer)
			if test.want != "" {
				wantReason(t, err, test.want)
			} else if err != nil {
				t.Errorf("got %v; want nil", err)
			}
		})
	}
}

// Whether a JWT's own token_type or the answer's says so.
func TestATokenThatCallsItselfADPoPTokenNeedsABinding(t *testing.T) {
	as := accesstokentest.NewServer(t)
	_, err := newValidator(t, as, nil).Validate(t.Context(), accesstoken.Bearer(as.Token(accesstokentest.Claims{"token_type": "DPoP"})))
	wantReason(t, err, accesstoken.BindingRequired)
}
