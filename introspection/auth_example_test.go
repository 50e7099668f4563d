package introspection_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"
	"log"

	"github.com/accesstoken/accesstoken/introspection"
)

// With PrivateKeyJWT no secret is shared: each call has an assertion that the key
// signs, for one minute. Any crypto.Signer is a key, one of a key service as well.
func ExampleNewClient_privateKeyJWT() {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader) // the server has its public half
	if err != nil {
		log.Fatal(err)
	}
	client, err := introspection.NewClient(introspection.Config{
		Endpoint:    "https://login.example.com/introspect",
		Issuer:      "https://login.example.com",
		ClientID:    "api",
		AuthMethod:  introspection.PrivateKeyJWT,
		ClientKey:   key,
		ClientKeyID: "2026-11",
	})
	fmt.Println(client, err)
	// Output: introspection.Client(https://login.example.com/introspect) <nil>
}

// An access token of the resource server's own comes from any function, and an
// oauth2.TokenSource fits into one.
func ExampleNewClient_bearer() {
	client, err := introspection.NewClient(introspection.Config{
		Endpoint:    "https://login.example.com/introspect",
		AuthMethod:  introspection.Bearer,
		BearerToken: func(context.Context) (string, error) { return "the/token+of==", nil },
	})
	fmt.Println(client, err)
	// Output: introspection.Client(https://login.example.com/introspect) <nil>
}

// A setting that the method does not use is a fault: it may be a mistake for the
// one that it does.
func ExampleNewClient_incorrect() {
	_, err := introspection.NewClient(introspection.Config{
		Endpoint:     "https://login.example.com/introspect",
		ClientID:     "api",
		ClientSecret: "secret",
		AuthMethod:   introspection.PrivateKeyJWT,
	})
	fmt.Println(err)
	// Output:
	// introspection: ClientSecret is set, but AuthMethod private_key_jwt does not use it; leave it out, or set AuthMethod to client_secret_basic, client_secret_post or client_secret_jwt
	// introspection: ClientKey is not set; AuthMethod private_key_jwt needs it
	// introspection: Issuer is empty; AuthMethod private_key_jwt needs it as the audience of the JWT that it signs
}
