package dpop_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/accesstoken/accesstoken/dpop"
)

func ExampleNewVerifier() {
	verifier, err := dpop.NewVerifier(dpop.Config{URLs: []string{"https://api.example.com"}})
	if err != nil {
		fmt.Println(err)
		return
	}
	key, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	client, _ := dpop.NewSigner(key)

	// The client, whose token is bound to its key, makes a request.
	const token = "the access token"
	r := httptest.NewRequest("GET", "https://api.example.com/orders?page=2", nil)
	proof, err := client.Sign(dpop.Proof{Method: r.Method, URL: r.URL.String(), Token: token})
	if err != nil {
		fmt.Println(err)
		return
	}
	r.Header.Set("Authorization", "DPoP "+token)
	r.Header.Set("DPoP", proof)

	// The server has validated the token, and knows the jkt in its cnf.
	request := dpop.Request{
		Method: r.Method, Path: r.URL.EscapedPath(), Proofs: r.Header.Values("DPoP"),
		Token: token, Thumbprint: client.Thumbprint(),
	}
	fmt.Println("first:", verifier.Verify(r.Context(), request))
	fmt.Println("again:", verifier.Verify(r.Context(), request))
	request.Method = "DELETE"
	fmt.Println("other:", verifier.Verify(r.Context(), request))
	// Output:
	// first: <nil>
	// again: dpop: the proof was used before
	// other: dpop: the proof is not valid for this request: expected the htm to be the method of the request
}

// A server that demands nonces gives one along with its refusal.
func ExampleVerifier_Nonce() {
	verifier, err := dpop.NewVerifier(dpop.Config{
		URLs:     []string{"https://api.example.com"},
		NonceKey: []byte("32 random bytes from your secrets"),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	key, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	client, _ := dpop.NewSigner(key)
	server := func(w http.ResponseWriter, r *http.Request) {
		err := verifier.Verify(r.Context(), dpop.Request{
			Method: r.Method, Path: r.URL.EscapedPath(), Proofs: r.Header.Values("DPoP"),
			Token: "the access token", Thumbprint: client.Thumbprint(),
		})
		if errors.Is(err, dpop.ErrNonce) {
			w.Header().Set("DPoP-Nonce", verifier.Nonce())
			w.Header().Set("Cache-Control", "no-store")
			w.Header().Set("WWW-Authenticate", `DPoP error="use_dpop_nonce"`)
			w.WriteHeader(http.StatusUnauthorized)
		}
	}

	proof := dpop.Proof{Method: "GET", URL: "https://api.example.com/orders", Token: "the access token"}
	for range 2 {
		w, r := httptest.NewRecorder(), httptest.NewRequest("GET", proof.URL, nil)
		signed, _ := client.Sign(proof)
		r.Header.Set("DPoP", signed)
		server(w, r)
		fmt.Println(w.Code, w.Header().Get("WWW-Authenticate"))
		proof.Nonce = w.Header().Get("DPoP-Nonce")
	}
	// Output:
	// 401 DPoP error="use_dpop_nonce"
	// 200
}

func ExampleNewSigner() {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		fmt.Println(err)
		return
	}
	signer, err := dpop.NewSigner(key)
	if err != nil {
		fmt.Println(err)
		return
	}
	// Without a Token the proof is for the authorization server, which binds to the
	// key what it issues.
	proof, err := signer.Sign(dpop.Proof{Method: "POST", URL: "https://login.example.com/token"})
	fmt.Println(proof != "", err)
	_, err = signer.Sign(dpop.Proof{Method: "POST", URL: "/token"})
	fmt.Println(err)
	// Output:
	// true <nil>
	// dpop: Proof.URL: expected an absolute https or http URI without user information, in ASCII
}

func ExampleThumbprint() {
	key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), rfcPoint())
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(dpop.Thumbprint(key)) // the key and the jkt of RFC 9449 §6.1
	// Output:
	// 0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I <nil>
}
