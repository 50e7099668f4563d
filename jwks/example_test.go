package jwks_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/MicahParks/jwkset"
	"github.com/MicahParks/keyfunc/v3"
	"github.com/golang-jwt/jwt/v5"

	"github.com/accesstoken/accesstoken/jwks"
)

// published starts an authorization server's key set endpoint.
func published() *httptest.Server {
	body := document(jwk(&ecKey().PublicKey, "2026-11", members{"alg": "ES256", "use": "sig"}))
	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, body) }))
}

func ExampleNewCache() {
	server := published()
	defer server.Close()

	cache, err := jwks.NewCache(jwks.Config{URL: server.URL})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer cache.Close()
	fmt.Println("warm:", cache.Warm(context.Background()))

	keys, generation, err := cache.Keys(context.Background(), "2026-11", "ES256")
	fmt.Println("known kid:", len(keys), generation, err)
	keys, generation, err = cache.Keys(context.Background(), "made up", "ES256")
	fmt.Println("unknown kid:", len(keys), generation, err)
	_, _, err = cache.Keys(context.Background(), "2026-11", "RS256")
	fmt.Println("wrong alg:", err)
	// Output:
	// warm: <nil>
	// known kid: 1 1 <nil>
	// unknown kid: 0 1 <nil>
	// wrong alg: jwks: the key does not fit this algorithm
}

func ExampleCache_Keyfunc() {
	server := published()
	defer server.Close()
	cache, err := jwks.NewCache(jwks.Config{URL: server.URL})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer cache.Close()

	token := jwt.NewWithClaims(jwt.SigningMethodES256, jwt.MapClaims{"sub": "alice"})
	token.Header["kid"] = "2026-11"
	raw, _ := token.SignedString(ecKey())

	parser := jwt.NewParser(jwt.WithValidMethods([]string{"ES256"}))
	parsed, err := parser.Parse(raw, cache.Keyfunc)
	fmt.Println(parsed.Claims.GetSubject())
	fmt.Println(err)

	token.Header["kid"] = "made up"
	raw, _ = token.SignedString(ecKey())
	_, err = parser.Parse(raw, cache.Keyfunc)
	fmt.Println("bad token:", errors.Is(err, jwkset.ErrKeyNotFound))
	// Output:
	// alice <nil>
	// <nil>
	// bad token: true
}

// If your program has a keyfunc, change one line. Replace
//
//	k, err := keyfunc.NewDefault([]string{url})
//
// by the keyfunc.New below, and its keys come from the cache.
func ExampleCache_Storage() {
	server := published()
	defer server.Close()
	cache, err := jwks.NewCache(jwks.Config{URL: server.URL})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer cache.Close()

	k, err := keyfunc.New(keyfunc.Options{Storage: cache.Storage()})
	if err != nil {
		fmt.Println(err)
		return
	}
	token := jwt.NewWithClaims(jwt.SigningMethodES256, jwt.MapClaims{"sub": "alice"})
	token.Header["kid"] = "2026-11"
	raw, _ := token.SignedString(ecKey())
	parsed, err := jwt.Parse(raw, k.Keyfunc, jwt.WithValidMethods([]string{"ES256"}))
	fmt.Println(parsed.Valid, err)
	// Output: true <nil>
}

func ExampleCache_State() {
	server := published()
	defer server.Close()
	cache, err := jwks.NewCache(jwks.Config{
		URL: server.URL,
		OnFetch: func(f jwks.Fetch) {
			fmt.Println("fetched:", f.Added, f.Err)
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("warm:", cache.Warm(context.Background()))
	state := cache.State()
	cache.Close() // waits for the hook

	fmt.Println("holding:", state.KeyIDs, "generation", state.Generation)
	fmt.Println("usable for:", state.UsableUntil.Sub(state.FetchedAt).Round(time.Minute))
	// Unordered output:
	// warm: <nil>
	// fetched: [2026-11] <nil>
	// holding: [2026-11] generation 1
	// usable for: 24h0m0s
}

func ExampleStatic() {
	key, err := jwkset.NewJWKFromKey(&ecKey().PublicKey, jwkset.JWKOptions{Metadata: jwkset.JWKMetadataOptions{KID: "test"}})
	if err != nil {
		fmt.Println(err)
		return
	}
	set := jwks.Static(key)
	fmt.Println(set.Err())
	keys, _, err := set.Keys(context.Background(), "test", "ES256")
	fmt.Println(len(keys), err)

	secret, _ := jwkset.NewJWKFromKey([]byte("shared"), jwkset.JWKOptions{Marshal: jwkset.JWKMarshalOptions{Private: true}})
	fmt.Println(jwks.Static(secret).Err())
	// Output:
	// <nil>
	// 1 <nil>
	// jwks: key 0: it is symmetric; a shared secret has no place in a key set
}

func ExampleFromKeyfunc() {
	k, err := keyfunc.NewJWKSetJSON([]byte(document(jwk(&ecKey().PublicKey, "a", nil))))
	if err != nil {
		fmt.Println(err)
		return
	}
	source := jwks.FromKeyfunc(k)
	keys, _, err := source.Keys(context.Background(), "a", "ES256")
	fmt.Println(len(keys), err)
	keys, _, err = source.Keys(context.Background(), "b", "ES256")
	fmt.Println(len(keys), err)
	// Output:
	// 1 <nil>
	// 0 <nil>
}

// A SPIFFE trust domain publishes its keys in a bundle. Only those for JWT-SVIDs are
// used here.
func ExampleReadBundle() {
	bundle, err := jwks.ReadBundle([]byte(`{"spiffe_sequence": 7, "spiffe_refresh_hint": 300, "keys": [
		{"use": "jwt-svid", "kid": "1", "kty": "EC", "crv": "P-256",
			"x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4", "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"},
		{"use": "x509-svid", "kty": "EC", "crv": "P-256",
			"x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4", "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"}
	]}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(bundle.Len(), "key; read it again after", bundle.RefreshHint())
	// Output: 1 key; read it again after 5m0s
}
