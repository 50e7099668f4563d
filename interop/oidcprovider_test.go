//go:build interop

package interop_test

import (
	"bytes"
	"context"
	"crypto"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/introspection"
)

var oidcProviderColumn = column{
	name:    "oidc-provider",
	version: "9.13.3",
	record:  "oidc-provider",
	start:   func(t *testing.T) (*server, error) { return startOIDCProvider(t), nil },
	notes: together(
		none(noJWTs,
			"JWT: revoked", "JWT: revoked, and introspected"),
		map[string]note{
			"JWT: introspected (AlwaysIntrospect)": {"500 RESOURCE_SERVER_MISCONFIGURED", noJWTs},
			"refresh token":                        {"401 AUDIENCE_MISMATCH", "Introspection reports an active token without aud, and nothing else distinguishes it from an access token."},
		},
	),
}

const noJWTs = "oidc-provider does not accept JWTs at its introspection and revocation endpoints (400 `unsupported_token_type`), so `AlwaysIntrospect` cannot be used with it."

func TestOIDCProvider(t *testing.T) {
	keys := newKeys(t)
	s := startOIDCProvider(t, publicJWKs(keys)...)
	t.Run("opaque", func(t *testing.T) { opaqueTokens(t, s, "") })
	t.Run("JWT", func(t *testing.T) { jwtTokens(t, s, "read write") })
	t.Run("algorithms", func(t *testing.T) { signingAlgorithms(t, s) })
	t.Run("credentials", func(t *testing.T) { credentials(t, s, keys) })
	t.Run("signed answers", func(t *testing.T) { signedAnswers(t, s) })
	t.Run("a JWT at introspection", func(t *testing.T) {
		_, err := newClient(t, s.asks()).Introspect(t.Context(), s.issue(t, "jwt", resource, "read"))
		if !errors.Is(err, introspection.ErrUnsupportedTokenType) {
			t.Errorf("got %v; want %v", err, introspection.ErrUnsupportedTokenType)
		}
	})
	t.Run("a JWT, with AlwaysIntrospect", func(t *testing.T) {
		rs := serve(t, accesstoken.Issuer{URL: s.issuer, Introspection: newClient(t, s.asks()), AlwaysIntrospect: true})
		token := s.issue(t, "jwt", resource, "read")
		for range 10 {
			if got, _ := rs.call(t, "/", token); got.status < 500 {
				t.Fatalf("got %+v; want a 5xx, as nobody says that the token is bad", got)
			}
		}
		rs.expect(t, "/", s.issue(t, "opaque", resource, "read"), allowed())
	})
	t.Run("answers", func(t *testing.T) { oidcProviderAnswers(t, s) })
}

// oidcProviderAnswers tests what README.md says about oidc-provider.
func oidcProviderAnswers(t *testing.T, s *server) {
	opaque, user := s.issue(t, "opaque", resource, "read"), s.logIn(t, "app")
	if len(opaque) != 43 || strings.Contains(opaque, ".") {
		t.Errorf("an opaque token has %d characters and %d dots; want 43 and none", len(opaque), strings.Count(opaque, "."))
	}
	expectShape(t, "opaque token", s.introspect(t, opaque),
		"active:true aud:string client_id:string exp:number iat:number iss:string scope:string token_type:string")
	expectShape(t, "opaque token without audience", s.introspect(t, s.issue(t, "opaque", "", "read")),
		"active:true client_id:string exp:number iat:number iss:string scope:string token_type:string")
	expectShape(t, "opaque token of a user", s.introspect(t, user.Access),
		"active:true aud:string client_id:string exp:number iat:number iss:string scope:string sub:string token_type:string")
	expectShape(t, "refresh token", s.introspect(t, user.Refresh),
		"active:true client_id:string exp:number iat:number iss:string scope:string sub:string")
	expectJWT(t, "signed answer", string(s.introspect(t, opaque, "application/token-introspection+jwt")),
		"alg:string kid:string typ:string",
		"aud:string iat:number iss:string token_introspection:object")
	expectShape(t, "unknown token", s.introspect(t, neverIssued), "active:false")
}

// signingAlgorithms tests JWT access tokens under each algorithm.
func signingAlgorithms(t *testing.T, s *server) {
	rs := serve(t, accesstoken.Issuer{URL: s.issuer})
	for _, algorithm := range algorithms {
		t.Run(algorithm, func(t *testing.T) {
			rs.expect(t, "/", s.issue(t, "jwt-"+algorithm, resource, "read"), allowed())
			rs.expect(t, "/", s.issue(t, "jwt-"+algorithm, otherResource, "read"), invalid(accesstoken.AudienceMismatch))
		})
	}
	t.Run("one that is not accepted", func(t *testing.T) {
		rs := serve(t, accesstoken.Issuer{URL: s.issuer, Algorithms: []string{"ES256"}})
		rs.expect(t, "/", s.issue(t, "jwt-ES256", resource, "read"), allowed())
		rs.expect(t, "/", s.issue(t, "jwt-RS256", resource, "read"), invalid(accesstoken.AlgorithmNotAllowed))
	})
}

// credentials tests how the resource server authenticates to the endpoint.
func credentials(t *testing.T, s *server, keys map[string]crypto.Signer) {
	token := s.issue(t, "opaque", resource, "read")
	assertion := func(kid, algorithm string) func(*introspection.Config) {
		return func(c *introspection.Config) {
			c.ClientID, c.ClientSecret, c.AuthMethod, c.Issuer = "resource-server-key", "", introspection.PrivateKeyJWT, s.issuer
			c.ClientKey, c.ClientKeyID, c.ClientKeyAlgorithm = keys[kid], kid, algorithm
		}
	}
	for _, test := range []struct {
		name   string
		change func(*introspection.Config)
		want   verdict
	}{
		{"client_secret_basic", func(c *introspection.Config) {}, allowed()},
		{"client_secret_post", func(c *introspection.Config) {
			c.ClientID, c.AuthMethod = "resource-server-post", introspection.ClientSecretPost
		}, allowed()},
		{"client_secret_jwt", func(c *introspection.Config) {
			c.ClientID, c.AuthMethod, c.Issuer = "resource-server-hmac", introspection.ClientSecretJWT, s.issuer
		}, allowed()},
		{"private_key_jwt, P-256", assertion("p-256", ""), allowed()},
		{"private_key_jwt, RSA", assertion("rsa", ""), allowed()},
		{"private_key_jwt, PS256", assertion("rsa", "PS256"), allowed()},
		{"private_key_jwt, Ed25519", assertion("ed25519", ""), allowed()},
		{"private_key_jwt without kid", func(c *introspection.Config) {
			assertion("p-256", "")(c)
			c.ClientKeyID = ""
		}, allowed()},
		{"private_key_jwt, a key that is not registered", func(c *introspection.Config) {
			assertion("p-256", "")(c)
			c.ClientKey = newKeys(t)["p-256"]
		}, misconfigured()},
		{"private_key_jwt, for another server", func(c *introspection.Config) {
			assertion("p-256", "")(c)
			c.Issuer = "https://login.example.com"
		}, misconfigured()},
		{"client_secret_basic, a wrong secret", func(c *introspection.Config) { c.ClientSecret = "wrong" }, misconfigured()},
		{"client_secret_basic, an unknown client", func(c *introspection.Config) { c.ClientID = "unknown" }, misconfigured()},
		{"client_secret_basic, where private_key_jwt is registered", func(c *introspection.Config) { c.ClientID = "resource-server-key" }, misconfigured()},
	} {
		t.Run(test.name, func(t *testing.T) {
			config := s.asks()
			test.change(&config)
			i := accesstoken.Issuer{URL: s.issuer, Introspection: newClient(t, config)}
			if config.Issuer != "" && config.Issuer != s.issuer {
				i.Aliases = []string{config.Issuer} // without it, two issuers are refused at once
			}
			rs := serve(t, i)
			rs.expect(t, "/", token, test.want)
			rs.expect(t, "/", token, test.want) // with a second assertion
		})
	}
}

// algorithms are those that oidc-provider signs JWT access tokens with here.
var algorithms = []string{"RS256", "PS256", "ES256", "EdDSA"}

// startOIDCProvider starts oidc-provider. The keys are the public JWKs of the
// client resource-server-key.
func startOIDCProvider(t *testing.T, keys ...any) *server {
	t.Helper()
	return startOIDCProviderWith(t, map[string]any{"keys": keys})
}

// startOIDCProviderWith starts it with further settings of its script.
func startOIDCProviderWith(t *testing.T, further map[string]any) *server {
	t.Helper()
	node, dir := installNode(t), installOIDCProvider(t)
	s := &server{issuer: freeURL(t), audience: "resource", secret: newSecret()}
	settings := map[string]any{
		"issuer":      s.issuer,
		"resources":   []string{resource, otherResource},
		"redirectURI": redirectURI,
		"secret":      s.secret,
		"algorithms":  algorithms,
		"keyFile":     filepath.Join(t.TempDir(), "keys.json"),
	}
	maps.Copy(settings, further)
	setting, err := json.Marshal(settings)
	if err != nil {
		t.Fatal(err)
	}
	script, err := os.ReadFile("testdata/oidc-provider.mjs")
	if err != nil {
		t.Fatal(err)
	}
	launch := func() {
		s.process = start(t, "oidc-provider", func(ctx context.Context) *exec.Cmd {
			cmd := exec.CommandContext(ctx, node, "--input-type=module", "-", string(setting))
			cmd.Dir, cmd.Stdin = dir, bytes.NewReader(script) // a script from stdin finds its packages in the working folder
			return cmd
		})
		s.metadata = s.process.await(s.wellKnown("openid-configuration"), s.issuer)
	}
	launch()
	s.introspection = s.endpoint(t, "introspection_endpoint")
	s.rotate = func(t *testing.T) { s.post(t, s.issuer+"/rotate", "", nil) }
	s.away = func(t *testing.T, during func()) {
		s.process.stop()
		during()
		launch()
	}
	return s
}
