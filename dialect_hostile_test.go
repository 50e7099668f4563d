package accesstoken_test

import (
	"testing"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/accesstokentest"
	"github.com/accesstoken/accesstoken/dialect"
)

// Each of these dialects once started, and took an ID or refresh token for an access
// token. The API's audience is a client id of the issuer here, as some issuers have it.
func TestNoDialectTakesAnIDTokenByAMarkThatShowsNothing(t *testing.T) {
	id := accesstokentest.Claims{"aud": "web", "client_id": nil, "scope": nil}
	with := func(more accesstokentest.Claims) accesstokentest.Claims {
		all := accesstokentest.Claims{}
		for name, value := range id {
			all[name] = value
		}
		for name, value := range more {
			all[name] = value
		}
		return all
	}
	jwt, optional := []string{"jwt"}, []string{"client_id", "jti"}
	for name, test := range map[string]struct {
		dialect dialect.Dialect
		clients []string
		token   accesstokentest.Claims
	}{
		"the client that is demanded anyway": {dialect.Dialect{Types: jwt, Optional: []string{"jti"}, Kind: []dialect.Mark{dialect.Has("client_id")}}, nil,
			with(accesstokentest.Claims{"client_id": "web", "nonce": "n"})},
		"the claim that names the client": {dialect.Dialect{Types: jwt, Client: []string{"cid"}, Optional: []string{"jti"}, Kind: []dialect.Mark{dialect.Has("cid")}}, nil,
			with(accesstokentest.Claims{"cid": "web", "nonce": "n"})},
		"a refresh token without aud": {dialect.Dialect{Types: jwt, Optional: []string{"aud", "jti"}, Kind: []dialect.Mark{dialect.Has("client_id")}}, []string{"web"},
			with(accesstokentest.Claims{"aud": nil, "client_id": "web", "scope": "offline_access"})},
		"ver, which Entra's ID tokens have": {dialect.Dialect{Types: jwt, Optional: optional, Kind: []dialect.Mark{dialect.Is("ver", "2.0")}}, nil,
			with(accesstokentest.Claims{"ver": "2.0", "nonce": "n"})},
		"tid and oid":                  {dialect.Dialect{Types: jwt, Optional: optional, Kind: []dialect.Mark{dialect.Has("tid", "oid")}}, nil, with(accesstokentest.Claims{"tid": "t", "oid": "o"})},
		"a session":                    {dialect.Dialect{Types: jwt, Optional: optional, Kind: []dialect.Mark{dialect.Has("session_state")}}, nil, with(accesstokentest.Claims{"session_state": "s"})},
		"any typ in the payload":       {dialect.Dialect{Types: jwt, Optional: optional, Kind: []dialect.Mark{dialect.Has("typ")}}, nil, with(accesstokentest.Claims{"typ": "JWT"})},
		"an aud beyond no client":      {dialect.Dialect{Types: jwt, Optional: optional, Kind: []dialect.Mark{dialect.Without("azp"), dialect.AudienceBeyondClient()}}, nil, with(nil)},
		"a client that is the subject": {dialect.Dialect{Types: jwt, Optional: []string{"jti"}, Client: []string{"sub"}}, nil, with(nil)},
		"a client that is the session": {dialect.Dialect{Types: jwt, Optional: []string{"jti"}, Client: []string{"sid"}}, nil, with(accesstokentest.Claims{"sid": "s"})},
		"a client that callers choose": {dialect.Dialect{Types: jwt, Optional: []string{"jti"}, Client: []string{"resource"}}, []string{"good"},
			with(accesstokentest.Claims{"resource": "good", "client_id": "evil"})},
		"ID tokens without aud": {dialect.Dialect{Types: jwt, Client: []string{"azp"}, Optional: []string{"aud", "jti"}, IDTokens: true}, []string{"web"},
			with(accesstokentest.Claims{"aud": nil, "azp": "web", "scope": "offline_access"})},
	} {
		as := accesstokentest.NewServer(t)
		v, err := accesstoken.NewValidator(accesstoken.Config{
			Resource: "web", HTTPClient: as.Client(),
			Issuers: []accesstoken.Issuer{{URL: as.URL, Dialect: &test.dialect, Clients: test.clients}},
		})
		if err != nil {
			continue // a gate has stopped it
		}
		token := as.Sign(map[string]any{"typ": "JWT"}, as.Claims(test.token))
		if claims, err := v.Validate(t.Context(), accesstoken.Bearer(token)); err == nil {
			t.Errorf("%s: got the token of %q accepted; want a fault of the configuration, or a refusal", name, claims.Subject)
		}
		_ = v.Close()
	}
}
