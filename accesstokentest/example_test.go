package accesstokentest_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/accesstokentest"
)

// In a test, use [accesstokentest.NewServer] instead, which needs no Close.
func ExampleStart() {
	as, err := accesstokentest.Start()
	if err != nil {
		log.Fatal(err)
	}
	defer as.Close()

	v, err := accesstoken.NewValidator(accesstoken.Config{
		Resource:   "https://api.example.com",
		Issuers:    []accesstoken.Issuer{{URL: as.URL}},
		HTTPClient: as.Client(),
	})
	if err != nil {
		log.Fatal(err)
	}
	defer v.Close()

	ctx := context.Background()
	claims, err := v.Validate(ctx, accesstoken.Bearer(as.Token(accesstokentest.Claims{"sub": "bob"})))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(claims.Subject)

	_, err = v.Validate(ctx, accesstoken.Bearer(as.Token(accesstokentest.Claims{"aud": "https://other.example.com"})))
	fmt.Println(errors.Is(err, accesstoken.AudienceMismatch))
	// Output:
	// bob
	// true
}

// A key server that is down for one request and then works again.
func ExampleServer_Handle() {
	as, err := accesstokentest.Start()
	if err != nil {
		log.Fatal(err)
	}
	defer as.Close()

	as.Handle(accesstokentest.JWKSPath, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		as.Handle(accesstokentest.JWKSPath, nil)
		http.Error(w, "down", http.StatusServiceUnavailable)
	}))
	for range 2 {
		res, err := as.Client().Get(as.JWKSURI())
		if err != nil {
			log.Fatal(err)
		}
		res.Body.Close()
		fmt.Println(res.Status)
	}
	fmt.Println(as.Requests(accesstokentest.JWKSPath), "requests")
	// Output:
	// 503 Service Unavailable
	// 200 OK
	// 2 requests
}

// If the key server is down, a resource server that already has the keys
// continues to work. One that starts now cannot tell whether a token is valid.
func ExampleServer_Break() {
	as, err := accesstokentest.Start()
	if err != nil {
		log.Fatal(err)
	}
	defer as.Close()
	ctx := context.Background()
	running, starting := newValidator(as), newValidator(as)
	defer running.Close()
	defer starting.Close()
	if err := running.Warm(ctx); err != nil {
		log.Fatal(err)
	}

	as.Break(accesstokentest.JWKSPath, accesstokentest.Fault{
		Status: http.StatusServiceUnavailable,
		Header: http.Header{"Retry-After": {"60"}},
		Body:   []byte("<html>down for maintenance</html>"),
	})
	_, err = running.Validate(ctx, accesstoken.Bearer(as.Token(nil)))
	fmt.Println("running:", err)
	_, err = starting.Validate(ctx, accesstoken.Bearer(as.Token(nil)))
	fmt.Println("starting:", errors.Is(err, accesstoken.Unavailable))
	// Output:
	// running: <nil>
	// starting: true
}

func newValidator(as *accesstokentest.Server) *accesstoken.Validator {
	v, err := accesstoken.NewValidator(accesstoken.Config{
		Resource:   "https://api.example.com",
		Issuers:    []accesstoken.Issuer{{URL: as.URL}},
		HTTPClient: as.Client(),
		Logger:     slog.New(slog.DiscardHandler),
	})
	if err != nil {
		log.Fatal(err)
	}
	return v
}

// A key that signs before it is published, as happens behind a cache: the fault
// serves the old key set until Mend.
func ExampleServer_Rotate() {
	as, err := accesstokentest.Start()
	if err != nil {
		log.Fatal(err)
	}
	defer as.Close()
	validate := func() error {
		v := newValidator(as) // has not fetched any keys yet
		defer v.Close()
		_, err := v.Validate(context.Background(), accesstoken.Bearer(as.Token(nil)))
		return err
	}

	published := httptest.NewRecorder()
	as.Endpoint(accesstokentest.JWKSPath).ServeHTTP(published, httptest.NewRequest(http.MethodGet, as.JWKSURI(), nil))
	as.Break(accesstokentest.JWKSPath, accesstokentest.Fault{Body: published.Body.Bytes()})

	as.Rotate()
	fmt.Println("signed, not published:", errors.Is(validate(), accesstoken.KeyNotFound))
	as.Mend(accesstokentest.JWKSPath)
	fmt.Println("published:", validate())
	// Output:
	// signed, not published: true
	// published: <nil>
}

// Tokens with a genuine signature and one fault.
func ExampleServer_Sign() {
	as, err := accesstokentest.Start()
	if err != nil {
		log.Fatal(err)
	}
	defer as.Close()

	idToken := as.Sign(map[string]any{"typ": "JWT"}, as.Claims(accesstokentest.Claims{"nonce": "n"}))
	noExpiry := as.Sign(map[string]any{"typ": "at+jwt"}, as.Claims(accesstokentest.Claims{"exp": nil}))
	twice := as.SignRaw("ES256", fmt.Appendf(nil, `{"alg":"ES256","kid":%q,"kid":"k"}`, as.KeyID("ES256")), []byte(`{}`))
	fmt.Println(idToken != "", noExpiry != "", twice != "")
	// Output: true true true
}

// A test of a handler alone: no server, no token, no middleware.
func ExampleNewContext() {
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		claims, ok := accesstoken.FromContext(r.Context())
		if !ok {
			http.Error(w, "who are you?", http.StatusUnauthorized)
			return
		}
		fmt.Fprintf(w, "%s may read: %v", claims.Subject, claims.Scopes().Has("orders:read"))
	})

	r := httptest.NewRequest(http.MethodGet, "/orders", nil)
	r = r.WithContext(accesstokentest.NewContext(r.Context(), accesstokentest.Claims{"sub": "bob", "scope": "orders:read"}))
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r)
	fmt.Println(w.Body)
	// Output: bob may read: true
}

// A test of a service for Okta gets tokens that look like Okta's: the client is in cid,
// and the scopes are an array in scp.
func ExampleServer_TokenOf() {
	as, err := accesstokentest.Start()
	if err != nil {
		log.Fatal(err)
	}
	defer as.Close()

	v, err := accesstoken.NewValidator(accesstoken.Config{
		Resource:   "https://api.example.com",
		Issuers:    []accesstoken.Issuer{{URL: as.URL, Profile: accesstoken.Okta}},
		HTTPClient: as.Client(),
	})
	if err != nil {
		log.Fatal(err)
	}
	defer v.Close()

	token := as.TokenOf(accesstoken.Okta.Dialect(), accesstokentest.Claims{"client_id": "web", "scope": "orders:read"})
	claims, err := v.Validate(context.Background(), accesstoken.Bearer(token))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(claims.ClientID, claims.Scopes())
	// Output: web orders:read
}
