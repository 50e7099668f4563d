package introspection_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/accesstokentest"
	"github.com/accesstoken/accesstoken/introspection"
)

// As an issuer's Introspection, a Client answers for its opaque tokens.
func ExampleNewClient() {
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
	v, err := accesstoken.NewValidator(accesstoken.Config{
		Resource: "https://api.example.com",
		Issuers:  []accesstoken.Issuer{{URL: as.URL, Introspection: client}},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer v.Close()

	opaque := as.Opaque(accesstokentest.Claims{"sub": "alice"})
	claims, err := v.Validate(context.Background(), accesstoken.Bearer(opaque))
	fmt.Println(claims.Subject, err)

	as.Revoke(opaque)
	_, err = v.Validate(context.Background(), accesstoken.Bearer(opaque))
	fmt.Println(errors.Is(err, accesstoken.TokenInactive))
	// Output:
	// alice <nil>
	// true
}

// A Client can be used alone. Then whether the token is for you, and whether it
// has ended, is left to you.
func ExampleClient_Introspect() {
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
	response, err := client.Introspect(context.Background(), as.Opaque(accesstokentest.Claims{"scope": "orders:read"}))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(response.Active, response.Subject, response.Audience, response.Scope)

	response, err = client.Introspect(context.Background(), "unknown")
	fmt.Println(response.Active, err)
	// Output:
	// true alice [https://api.example.com] orders:read
	// false <nil>
}
