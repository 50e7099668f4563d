package accesstoken_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"slices"
	"time"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/accesstokentest"
	"github.com/accesstoken/accesstoken/introspection"
	"github.com/accesstoken/accesstoken/middleware"
	"github.com/accesstoken/accesstoken/scopes"
)

// exampleValidator stands for a validator of your issuer.
func exampleValidator() (*accesstokentest.Server, *accesstoken.Validator) {
	as, err := accesstokentest.Start()
	if err != nil {
		log.Fatal(err)
	}
	v, err := accesstoken.NewValidator(accesstoken.Config{
		Resource:   "https://api.example.com",
		Issuers:    []accesstoken.Issuer{{URL: as.URL}},
		HTTPClient: as.Client(),
	})
	if err != nil {
		log.Fatal(err)
	}
	return as, v
}

func Example() {
	as, err := accesstokentest.Start() // stands for your authorization server
	if err != nil {
		log.Fatal(err)
	}
	defer as.Close()

	validator, err := accesstoken.NewValidator(accesstoken.Config{
		Resource:   "https://api.example.com",
		Issuers:    []accesstoken.Issuer{{URL: as.URL}},
		HTTPClient: as.Client(),
	})
	if err != nil {
		log.Fatal(err)
	}
	defer validator.Close()

	auth := middleware.New(validator, nil)
	mux := http.NewServeMux()
	mux.Handle("GET /orders", auth.Require(scopes.All("orders:read")).Wrap(http.HandlerFunc(
		func(w http.ResponseWriter, r *http.Request) {
			claims, ok := accesstoken.FromContext(r.Context())
			if !ok { // the route is not behind Wrap
				http.Error(w, "no claims", http.StatusInternalServerError)
				return
			}
			fmt.Fprintf(w, "orders of %s", claims.Subject)
		})))

	r := httptest.NewRequest("GET", "/orders", nil)
	r.Header.Set("Authorization", "Bearer "+as.Token(accesstokentest.Claims{"sub": "alice", "scope": "orders:read"}))
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, r)
	fmt.Println(w.Code, w.Body)
	// Output: 200 orders of alice
}

func ExampleNewValidator() {
	_, err := accesstoken.NewValidator(accesstoken.Config{
		Issuers: []accesstoken.Issuer{{URL: "http://login.example.com", Algorithms: []string{"HS256"}}},
	})
	fmt.Println(err)
	// Output:
	// accesstoken: Resource is empty; name this resource server, for example by its https URL
	// accesstoken: Issuers[0] "http://login.example.com": URL: "http://login.example.com" is not https; plain http is refused except on a loopback host
	// accesstoken: Issuers[0] "http://login.example.com": Algorithms: "HS256" is not supported; choose among [RS256 RS384 RS512 PS256 PS384 PS512 ES256 ES384 ES512 Ed25519 EdDSA], or in a program built with Go 1.27 or later ML-DSA-44, ML-DSA-65 and ML-DSA-87
}

// Opaque tokens of an issuer are shown to its introspection endpoint.
func ExampleNewValidator_opaque() {
	as, err := accesstokentest.Start()
	if err != nil {
		log.Fatal(err)
	}
	defer as.Close()
	client, err := introspection.NewClient(introspection.Config{
		Endpoint:     as.IntrospectionEndpoint(),
		ClientID:     accesstokentest.ClientID,
		ClientSecret: accesstokentest.ClientSecret,
		HTTPClient:   as.Client(),
	})
	if err != nil {
		log.Fatal(err)
	}
	validator, err := accesstoken.NewValidator(accesstoken.Config{
		Resource:   "https://api.example.com",
		Issuers:    []accesstoken.Issuer{{URL: as.URL, Introspection: client}},
		HTTPClient: as.Client(),
	})
	if err != nil {
		log.Fatal(err)
	}
	defer validator.Close()

	token := as.Opaque(accesstokentest.Claims{"sub": "alice"})
	claims, err := validator.Validate(context.Background(), accesstoken.Bearer(token))
	fmt.Println(claims.Subject, err)

	as.Revoke(token)
	_, err = validator.Validate(context.Background(), accesstoken.Bearer(token))
	fmt.Println(err)
	// Output:
	// alice <nil>
	// accesstoken: token inactive: the authorization server reports that the token is not active
}

// An issuer that has no Profile is described by what it lacks.
func ExampleRelax() {
	as, err := accesstokentest.Start()
	if err != nil {
		log.Fatal(err)
	}
	defer as.Close()
	validator, err := accesstoken.NewValidator(accesstoken.Config{
		Resource:   "https://api.example.com",
		Issuers:    []accesstoken.Issuer{{URL: as.URL, Relax: accesstoken.Relax{Typ: true, JTI: true}}},
		HTTPClient: as.Client(),
	})
	if err != nil {
		log.Fatal(err)
	}
	defer validator.Close()

	plain := as.Sign(map[string]any{"typ": "JWT"}, as.Claims(accesstokentest.Claims{"sub": "alice"}))
	claims, err := validator.Validate(context.Background(), accesstoken.Bearer(plain))
	fmt.Println(claims.Subject, err)
	// Output: alice <nil>
}

func ExampleBearer() {
	fmt.Println(accesstoken.Bearer("a secret"))
	// Output: accesstoken.Credentials(redacted)
}

func ExampleCredentialsFrom() {
	as, validator := exampleValidator()
	defer as.Close()
	defer validator.Close()

	twice := http.Header{"Authorization": {"Bearer a", "Bearer b"}}
	_, err := validator.Validate(context.Background(), accesstoken.CredentialsFrom(twice))
	fmt.Println(err)
	// Output: accesstoken: credentials ambiguous: expected one Authorization field; the request has several
}

func ExampleValidator_Validate() {
	as, validator := exampleValidator()
	defer as.Close()
	defer validator.Close()

	token := as.Token(accesstokentest.Claims{"sub": "alice", "scope": "orders:read"})
	claims, err := validator.Validate(context.Background(), accesstoken.Bearer(token))
	fmt.Println(claims.Subject, claims.Scopes(), err)
	// Output: alice orders:read <nil>
}

func ExampleValidator_Authorize() {
	as, validator := exampleValidator()
	defer as.Close()
	defer validator.Close()

	credentials := accesstoken.Bearer(as.Token(accesstokentest.Claims{"scope": "orders:read"}))
	policy := accesstoken.Policy{Scopes: scopes.All("orders:write")}
	_, err := validator.Authorize(context.Background(), credentials, policy)
	fmt.Println(err)
	// Output: accesstoken: scope insufficient: the policy demands All("orders:write")
}

// Check is for the middle of a handler, when it knows what is to be done.
func ExampleValidator_Check() {
	as, validator := exampleValidator()
	defer as.Close()
	defer validator.Close()

	token := as.Token(accesstokentest.Claims{"scope": "orders:admin"})
	claims, err := validator.Validate(context.Background(), accesstoken.Bearer(token))
	if err != nil {
		log.Fatal(err)
	}
	policy := accesstoken.Policy{Scopes: scopes.Any("orders:delete", "orders:admin")}
	fmt.Println(validator.Check(context.Background(), claims, policy))
	// Output: <nil>
}

func ExampleValidator_Warm() {
	as, validator := exampleValidator()
	defer as.Close()
	defer validator.Close()

	err := validator.Warm(context.Background()) // optional: the first request would do it
	fmt.Println(err, validator.Ready())
	// Output: <nil> <nil>
}

// An adapter of your own lets Refuse say how a refusal looks.
func ExampleValidator_Refuse() {
	as, validator := exampleValidator()
	defer as.Close()
	defer validator.Close()

	_, err := validator.Validate(context.Background(), accesstoken.Bearer("junk"))
	refused := validator.Refuse(context.Background(), err)
	fmt.Println(refused.HTTPStatus(), refused.Header().Get("WWW-Authenticate"))
	// Output: 401 Bearer realm="https://api.example.com", error="invalid_token", error_description="the access token is invalid"
}

func ExampleClaims_Decode() {
	as, validator := exampleValidator()
	defer as.Close()
	defer validator.Close()

	token := as.Token(accesstokentest.Claims{"tenant": "acme", "account": int64(9007199254740993)})
	claims, err := validator.Validate(context.Background(), accesstoken.Bearer(token))
	if err != nil {
		log.Fatal(err)
	}
	var private struct {
		Tenant  string `json:"tenant"`
		Account int64  `json:"account"`
	}
	err = claims.Decode(&private)
	fmt.Println(private.Tenant, private.Account, err)
	// Output: acme 9007199254740993 <nil>
}

func ExampleFromContext() {
	ctx := accesstokentest.NewContext(context.Background(), accesstokentest.Claims{"sub": "alice"}) // what a handler gets
	claims, ok := accesstoken.FromContext(ctx)
	fmt.Println(claims.Subject, ok)
	// Output: alice true
}

func ExampleNewContext() {
	ctx := accesstoken.NewContext(context.Background(), accesstoken.Claims{Subject: "alice"})
	claims, ok := accesstoken.FromContext(ctx)
	fmt.Println(claims.Subject, ok)
	// Output: alice true
}

// A handler may know reasons that no token can tell.
func ExampleDeny() {
	refused := accesstoken.Deny("ACCOUNT_CLOSED", errors.New("closed on 1 March"))
	fmt.Println(refused.HTTPStatus(), refused.Public().Reason, refused.Public().Text)
	fmt.Println(refused)
	// Output:
	// 403 ACCOUNT_CLOSED access is denied
	// accesstoken: account closed: denied by the application: closed on 1 March
}

func ExampleError() {
	as, validator := exampleValidator()
	defer as.Close()
	defer validator.Close()

	expired := as.Token(accesstokentest.Claims{"iat": 1700000000, "exp": 1700000300})
	_, err := validator.Validate(context.Background(), accesstoken.Bearer(expired))

	var refused *accesstoken.Error
	if errors.As(err, &refused) {
		fmt.Println(refused.HTTPStatus(), refused.GRPCCode(), refused.Reason)
	}
	fmt.Println(errors.Is(err, accesstoken.TokenExpired), errors.Is(err, accesstoken.Unavailable))
	// Output:
	// 401 16 TOKEN_EXPIRED
	// true false
}

// A realm of Keycloak, whose roles decide.
func ExampleProfile() {
	as, err := accesstokentest.Start() // stands for Keycloak
	if err != nil {
		log.Fatal(err)
	}
	defer as.Close()
	validator, err := accesstoken.NewValidator(accesstoken.Config{
		Resource:   "https://api.example.com",
		Issuers:    []accesstoken.Issuer{{URL: as.URL, Profile: accesstoken.Keycloak, Clients: []string{"shop"}}},
		HTTPClient: as.Client(),
	})
	if err != nil {
		log.Fatal(err)
	}
	defer validator.Close()

	token := as.Sign(map[string]any{"typ": "JWT"}, as.Claims(accesstokentest.Claims{
		"typ": "Bearer", "azp": "shop", "client_id": nil, "realm_access": map[string]any{"roles": []string{"clerk"}},
	}))
	claims, err := validator.Validate(context.Background(), accesstoken.Bearer(token))
	if err != nil {
		log.Fatal(err)
	}
	roles, err := claims.Roles()
	fmt.Println(claims.ClientID, roles, err)
	// Output: shop [clerk] <nil>
}

// Entra ID with the tenants of three customers: one issuer, one set of keys.
func ExampleIssuer_tenants() {
	validator, err := accesstoken.NewValidator(accesstoken.Config{
		Resource: "6b1f0c9e-9a57-4c0b-8a0c-1a2b3c4d5e6f", // the API's client id
		Issuers: []accesstoken.Issuer{{
			URL:         "https://login.microsoftonline.com/{tenantid}/v2.0",
			MetadataURL: "https://login.microsoftonline.com/organizations/v2.0/.well-known/openid-configuration",
			Profile:     accesstoken.EntraV2,
			Tenants: []string{
				"11111111-aaaa-bbbb-cccc-000000000001",
				"11111111-aaaa-bbbb-cccc-000000000002",
				"11111111-aaaa-bbbb-cccc-000000000003",
			},
		}},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer validator.Close()
	fmt.Println("no request was made so far")
	// Output: no request was made so far
}

// What no list can say, a function can: it narrows, and never widens.
func ExampleIssuer_accept() {
	as, err := accesstokentest.Start()
	if err != nil {
		log.Fatal(err)
	}
	defer as.Close()
	validator, err := accesstoken.NewValidator(accesstoken.Config{
		Resource: "https://api.example.com",
		Issuers: []accesstoken.Issuer{{
			URL: as.URL,
			Accept: func(_ context.Context, claims accesstoken.Claims) error {
				if groups, err := claims.Groups(); err != nil || !slices.Contains(groups, "staff") {
					return accesstoken.Deny("NOT_STAFF", err)
				}
				return nil
			},
		}},
		HTTPClient: as.Client(),
	})
	if err != nil {
		log.Fatal(err)
	}
	defer validator.Close()

	_, err = validator.Validate(context.Background(), accesstoken.Bearer(as.Token(accesstokentest.Claims{"groups": []string{"guests"}})))
	fmt.Println(err)
	_, err = validator.Validate(context.Background(), accesstoken.Bearer(as.Token(accesstokentest.Claims{"groups": []string{"staff"}})))
	fmt.Println(err)
	// Output:
	// accesstoken: not staff: denied by the application
	// <nil>
}

// A build server has an API key in place of a token. The route needs not know.
func ExampleConfig_authenticate() {
	as, err := accesstokentest.Start()
	if err != nil {
		log.Fatal(err)
	}
	defer as.Close()
	validator, err := accesstoken.NewValidator(accesstoken.Config{
		Resource: "https://api.example.com",
		Issuers:  []accesstoken.Issuer{{URL: as.URL}},
		Authenticate: func(_ context.Context, r *http.Request) (accesstoken.Identity, error) {
			switch r.Header.Get("X-Api-Key") {
			case "":
				return accesstoken.Identity{}, nil
			case "the key of the build server": // keep digests of random keys instead
				return accesstoken.Identity{
					Issuer: "api-keys", ClientID: "ci", Scopes: scopes.Parse("orders:read"), Expiry: time.Now().Add(time.Hour),
				}, nil
			}
			return accesstoken.Identity{}, accesstoken.TokenInactive
		},
		HTTPClient: as.Client(),
	})
	if err != nil {
		log.Fatal(err)
	}
	defer validator.Close()

	policy := accesstoken.Policy{Scopes: scopes.All("orders:read")}
	for _, header := range []http.Header{
		{"X-Api-Key": {"the key of the build server"}},
		{"X-Api-Key": {"a guess"}},
		{"X-Api-Key": {"the key of the build server"}, "Authorization": {"Bearer junk"}},
		{},
	} {
		r := &http.Request{Method: "GET", RequestURI: "/orders", Header: header}
		claims, err := validator.Authorize(context.Background(), validator.CredentialsOf(r), policy)
		fmt.Println(claims.ClientID, err)
	}
	// Output:
	// ci <nil>
	//  accesstoken: token inactive
	//  accesstoken: token malformed: expected a JWT, or an opaque token of an issuer with Introspection
	//  accesstoken: credentials missing: the request has no Authorization field
}

// A WebSocket was authenticated by its first message, which is no request.
func ExampleValidator_Vouch() {
	as, err := accesstokentest.Start()
	if err != nil {
		log.Fatal(err)
	}
	defer as.Close()
	validator, err := accesstoken.NewValidator(accesstoken.Config{
		Resource:   "https://api.example.com",
		Issuers:    []accesstoken.Issuer{{URL: as.URL}},
		HTTPClient: as.Client(),
	})
	if err != nil {
		log.Fatal(err)
	}
	defer validator.Close()

	claims, err := validator.Vouch(accesstoken.Identity{
		Issuer: "api-keys", Subject: "alice", Scopes: scopes.Parse("chat"), Expiry: time.Now().Add(time.Hour),
		Payload: []byte(`{"roles": ["moderator"]}`),
	})
	if err != nil {
		log.Fatal(err)
	}
	roles, _ := claims.Roles()
	fmt.Println(claims.Subject, roles, time.Until(claims.End()) > time.Hour)
	fmt.Println(validator.Check(context.Background(), claims, accesstoken.Policy{Scopes: scopes.All("chat")}))
	fmt.Println(validator.Check(context.Background(), claims, accesstoken.Policy{Scopes: scopes.All("chat:admin")}))
	// Output:
	// alice [moderator] true
	// <nil>
	// accesstoken: scope insufficient: the policy demands All("chat:admin")
}
