package introspection_test

import (
	"context"
	"crypto"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/accesstokentest"
	"github.com/accesstoken/accesstoken/internal/testkit"
	"github.com/accesstoken/accesstoken/introspection"
	"github.com/accesstoken/accesstoken/jwks"
)

const signedType = "application/token-introspection+jwt"

// A keySource is a function that finds keys.
type keySource func(ctx context.Context, kid, alg string) ([]crypto.PublicKey, error)

func (f keySource) Keys(ctx context.Context, kid, alg string) ([]crypto.PublicKey, uint64, error) {
	keys, err := f(ctx, kid, alg)
	return keys, 0, err
}

// newDemanding makes a client of the server that demands signed answers; change,
// which may be nil, has the last word about its Config.
func newDemanding(t testing.TB, as *accesstokentest.Server, change func(*introspection.Config)) *introspection.Client {
	t.Helper()
	config := introspection.Config{
		Endpoint:     as.IntrospectionEndpoint(),
		ClientID:     accesstokentest.ClientID,
		ClientSecret: accesstokentest.ClientSecret,
		Issuer:       as.URL,
		Keys:         jwks.Static(as.Keys()...),
		HTTPClient:   as.Client(),
	}
	if change != nil {
		change(&config)
	}
	client, err := introspection.NewClient(config)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func seconds(sinceNoon time.Duration) int64 { return noon.Add(sinceNoon).Unix() }

type object = map[string]any

// envelope returns the claims of a good answer that says this of a token, with
// changes laid over them; nil takes a claim out.
func envelope(as *accesstokentest.Server, says any, changes object) object {
	claims := object{"iss": as.URL, "aud": accesstokentest.ClientID, "iat": seconds(0), "token_introspection": says}
	for name, value := range changes {
		claims[name] = value
		if value == nil {
			delete(claims, name)
		}
	}
	return claims
}

var typed = object{"typ": "token-introspection+jwt"}

// asking asks, at noon, a server that gives this answer.
func asking(t *testing.T, as *accesstokentest.Server, contentType, body string) (introspection.Response, error) {
	t.Helper()
	as.Handle(accesstokentest.IntrospectionPath, answers(200, contentType, body))
	client := newDemanding(t, as, nil)
	return client.IntrospectWith(t.Context(), token, introspection.Options{Now: func() time.Time { return noon }})
}

// wantBroken fails the test unless nothing is known of the token.
func wantBroken(t *testing.T, response introspection.Response, err error) {
	t.Helper()
	if err == nil || response.Active || response.Raw != nil {
		t.Fatalf("got %+v, %v; want an error and nothing else", response, err)
	}
	for _, other := range []error{introspection.ErrClientRefused, introspection.ErrTokenType, introspection.ErrUnsupportedTokenType,
		context.Canceled, context.DeadlineExceeded} {
		if errors.Is(err, other) {
			t.Errorf("got %v; want an error that says nothing is known", err)
		}
	}
	if !strings.HasPrefix(err.Error(), "introspection: ") {
		t.Errorf("got %q; want it to begin with the package's name", err)
	}
	wantNoCanary(t, "the error", fmt.Sprintf("%v %+v %#v", err, err, err))
}

func TestINTRO14ASignedAnswerIsAskedForAndRead(t *testing.T) {
	as := accesstokentest.NewServer(t)
	cache, err := jwks.NewCache(jwks.Config{Issuer: as.URL, HTTPClient: as.Client()})
	if err != nil {
		t.Fatal(err)
	}
	defer cache.Close()
	var accepts []string
	as.Handle(accesstokentest.IntrospectionPath, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		accepts = append(accepts, r.Header.Values("Accept")...)
		as.Endpoint(accesstokentest.IntrospectionPath).ServeHTTP(w, r)
	}))
	client := newDemanding(t, as, func(config *introspection.Config) { config.Keys = cache })
	opaque := as.Opaque(accesstokentest.Claims{"scope": "a b", "tenant": "acme"})

	response, err := client.Introspect(t.Context(), opaque)
	if err != nil || !response.Active || response.Subject != "alice" || response.Issuer != as.URL || !response.Scope.Has("b") ||
		!slices.Equal(response.Audience, []string{"https://api.example.com"}) {
		t.Errorf("got %+v, %v; want alice with scope a b", response, err)
	}
	var members object
	if err := json.Unmarshal(response.Raw, &members); err != nil || members["tenant"] != "acme" || members["token_introspection"] != nil {
		t.Errorf("Raw: got %s, %v; want the token_introspection alone", response.Raw, err)
	}
	as.Revoke(opaque)
	response, err = client.Introspect(t.Context(), opaque)
	if got := whole(response); err != nil || got != whole(introspection.Response{}) {
		t.Errorf("revoked: got %s, %v; want the zero Response", got, err)
	}
	if want := []string{signedType, signedType}; !slices.Equal(accepts, want) {
		t.Errorf("Accept: got %q; want %q", accepts, want)
	}
}

func TestINTRO14WhatASignedAnswerMayBe(t *testing.T) {
	as := accesstokentest.NewServer(t)
	active := object{"active": true, "sub": "alice"}
	good := as.Sign(typed, envelope(as, active, nil))
	with := func(changes object) string { return as.Sign(typed, envelope(as, active, changes)) }
	for name, answer := range map[string]struct{ contentType, body string }{
		"nothing special":              {signedType, good},
		"a media type in capitals":     {"Application/Token-Introspection+JWT", good},
		"a charset":                    {signedType + "; charset=utf-8", good},
		"typ with application/":        {signedType, as.Sign(object{"typ": signedType}, envelope(as, active, nil))},
		"typ in capitals":              {signedType, as.Sign(object{"typ": "Token-Introspection+JWT"}, envelope(as, active, nil))},
		"no kid":                       {signedType, as.Sign(object{"typ": "token-introspection+jwt", "kid": nil}, envelope(as, active, nil))},
		"ES256":                        {signedType, as.Sign(object{"typ": "token-introspection+jwt", "alg": "ES256"}, envelope(as, active, nil))},
		"Ed25519":                      {signedType, as.Sign(object{"typ": "token-introspection+jwt", "alg": "Ed25519"}, envelope(as, active, nil))},
		"aud is an array with us":      {signedType, with(object{"aud": []string{"urn:other", accesstokentest.ClientID}})},
		"iat 3 minutes ago":            {signedType, with(object{"iat": seconds(-3 * time.Minute)})},
		"iat as our clock is slow":     {signedType, with(object{"iat": seconds(30 * time.Second)})},
		"exp is to come":               {signedType, with(object{"exp": seconds(time.Second)})},
		"exp is over as clocks differ": {signedType, with(object{"exp": seconds(-29 * time.Second)})},
		"nbf is over":                  {signedType, with(object{"nbf": seconds(-time.Second)})},
		"nbf as our clock is slow":     {signedType, with(object{"nbf": seconds(30 * time.Second)})},
		"a jti":                        {signedType, with(object{"jti": "1"})},
	} {
		t.Run(name, func(t *testing.T) {
			response, err := asking(t, as, answer.contentType, answer.body)
			if err != nil || !response.Active || response.Subject != "alice" {
				t.Errorf("got %+v, %v; want alice", response, err)
			}
		})
	}
}

// Whoever takes one of these for a yes lets strangers in; whoever takes one for
// a no logs everybody out.
func TestINTRO14EverythingElseIsABrokenAnswer(t *testing.T) {
	as, stranger := accesstokentest.NewServer(t), accesstokentest.NewServer(t)
	active := object{"active": true, "sub": "alice"}
	claims := envelope(as, active, nil)
	with := func(changes object) string { return as.Sign(typed, envelope(as, active, changes)) }
	says := func(token any) string { return as.Sign(typed, envelope(as, token, nil)) }
	headed := func(header object) string { return as.Sign(header, claims) }
	raw := func(header, payload string) string { return as.SignRaw("RS256", []byte(header), []byte(payload)) }
	begin := fmt.Sprintf(`{"iss":%q,"aud":%q,"iat":%d,`, as.URL, accesstokentest.ClientID, seconds(0))
	header := fmt.Sprintf(`{"alg":"RS256","typ":"token-introspection+jwt","kid":%q`, as.KeyID("RS256"))
	good := as.Sign(typed, claims)
	parts := strings.Split(good, ".")
	other := strings.Split(as.Sign(typed, envelope(as, object{"active": false}, nil)), ".")
	for name, answer := range map[string]struct{ contentType, body string }{
		"plain JSON":                           {"application/json", `{"active":true}`},
		"plain JSON that says no":              {"application/json", `{"active":false}`},
		"plain JSON under the media type":      {signedType, `{"active":true}`},
		"plain JSON under a type that ends so": {"application/token-introspection+jwt+json", `{"active":true}`},
		"a JWT under JSON's media type":        {"application/json", good},
		"a JWT under that of JWTs":             {"application/jwt", good},
		"a JWT under HTML's":                   {"text/html", good},
		"a JWT under none":                     {"", good},
		"a media type that is malformed":       {signedType + "; =", good},
		"an error page":                        {"text/html", `<p>{"active":true}`},
		"encrypted":                            {signedType, "eyJhbGciOiJSU0EtT0FFUCIsImVuYyI6IkEyNTZHQ00ifQ.a.b.c.d"},
		"encrypted, in three parts":            {signedType, raw(header+`,"enc":"A256GCM"}`, begin+`"token_introspection":{"active":true}}`)},
		"nested":                               {signedType, raw(header+`,"cty":"JWT"}`, begin+`"token_introspection":{"active":true}}`)},
		"empty":                                {signedType, ""},
		"in quotes":                            {signedType, `"` + good + `"`},
		"and a line end":                       {signedType, good + "\n"},
		"two parts":                            {signedType, parts[0] + "." + parts[1]},
		"four parts":                           {signedType, good + "." + parts[2]},
		"no typ":                               {signedType, headed(nil)},
		"typ JWT":                              {signedType, headed(object{"typ": "JWT"})},
		"an access token's typ":                {signedType, headed(object{"typ": "at+jwt"})},
		"typ that is no string":                {signedType, headed(object{"typ": []string{"token-introspection+jwt"}})},
		"typ of the same beginning":            {signedType, headed(object{"typ": "token-introspection+jwt+x"})},
		"alg none":                             {signedType, headed(object{"typ": "token-introspection+jwt", "alg": "none"})},
		"alg HS256, with the public key":       {signedType, headed(object{"typ": "token-introspection+jwt", "alg": "HS256"})},
		"alg that is no string":                {signedType, headed(object{"typ": "token-introspection+jwt", "alg": 1})},
		"a critical extension":                 {signedType, headed(object{"typ": "token-introspection+jwt", "crit": []string{"x"}, "x": 1})},
		"another alg's key":                    {signedType, headed(object{"typ": "token-introspection+jwt", "kid": as.KeyID("ES256")})},
		"a key nobody knows":                   {signedType, headed(object{"typ": "token-introspection+jwt", "kid": "unknown"})},
		"a stranger's signature":               {signedType, stranger.Sign(typed, claims)},
		"a stranger's, with our kid":           {signedType, stranger.Sign(object{"typ": "token-introspection+jwt", "kid": as.KeyID("RS256")}, claims)},
		"no signature":                         {signedType, parts[0] + "." + parts[1] + "."},
		"another answer's signature":           {signedType, parts[0] + "." + parts[1] + "." + other[2]},
		"no iss":                               {signedType, with(object{"iss": nil})},
		"iss is empty":                         {signedType, with(object{"iss": ""})},
		"iss is another":                       {signedType, with(object{"iss": stranger.URL})},
		"iss with a slash more":                {signedType, with(object{"iss": as.URL + "/"})},
		"iss is an array":                      {signedType, with(object{"iss": []string{as.URL}})},
		"no aud":                               {signedType, with(object{"aud": nil})},
		"aud is another":                       {signedType, with(object{"aud": "other"})},
		"aud is an array of others":            {signedType, with(object{"aud": []string{"other", "https://api.example.com"}})},
		"aud is an empty array":                {signedType, with(object{"aud": []string{}})},
		"aud has a number":                     {signedType, with(object{"aud": []any{accesstokentest.ClientID, 1}})},
		"aud in another case":                  {signedType, with(object{"aud": strings.ToUpper(accesstokentest.ClientID)})},
		"no iat":                               {signedType, with(object{"iat": nil})},
		"iat is null":                          {signedType, raw(header+`}`, strings.Replace(begin, fmt.Sprint(seconds(0)), "null", 1)+`"token_introspection":{"active":true}}`)},
		"iat is a string":                      {signedType, with(object{"iat": fmt.Sprint(seconds(0))})},
		"iat is zero":                          {signedType, with(object{"iat": 0})},
		"iat a second too old":                 {signedType, with(object{"iat": seconds(-3*time.Minute - time.Second)})},
		"iat a second too far ahead":           {signedType, with(object{"iat": seconds(31 * time.Second)})},
		"exp is over":                          {signedType, with(object{"exp": seconds(-30 * time.Second)})},
		"exp is a string":                      {signedType, with(object{"exp": "2000000000"})},
		"nbf is to come":                       {signedType, with(object{"nbf": seconds(31 * time.Second)})},
		"no token_introspection":               {signedType, with(object{"token_introspection": nil})},
		"active beside it instead":             {signedType, with(object{"token_introspection": nil, "active": true, "sub": "alice"})},
		"inactive beside it instead":           {signedType, with(object{"token_introspection": nil, "active": false})},
		"the member in another case":           {signedType, with(object{"token_introspection": nil, "Token_Introspection": active})},
		"the member further down":              {signedType, with(object{"token_introspection": nil, "x": object{"token_introspection": active}})},
		"the member is null":                   {signedType, says(nil)},
		"the member is true":                   {signedType, says(true)},
		"the member is a string":               {signedType, says(`{"active":true}`)},
		"the member is an array":               {signedType, says([]any{active})},
		"the member is empty":                  {signedType, says(object{})},
		"the member, and active beside it":     {signedType, as.Sign(typed, envelope(as, object{"sub": "alice"}, object{"active": true}))},
		"the member twice":                     {signedType, raw(header+`}`, begin+`"token_introspection":{"active":false},"token_introspection":{"active":true}}`)},
		"the member twice, escaped":            {signedType, raw(header+`}`, begin+`"token_introspection":{"active":false},"token_\u0069ntrospection":{"active":true}}`)},
		"iss twice":                            {signedType, raw(header+`}`, begin+`"iss":"x","token_introspection":{"active":true}}`)},
		"active twice":                         {signedType, raw(header+`}`, begin+`"token_introspection":{"active":false,"active":true}}`)},
		"two objects":                          {signedType, raw(header+`}`, begin+`"token_introspection":{"active":true}}{}`)},
		"a payload that is no JSON":            {signedType, raw(header+`}`, "active")},
		"active is a string":                   {signedType, says(object{"active": "true"})},
		"active is a string that says no":      {signedType, says(object{"active": "false"})},
		"active is 1":                          {signedType, says(object{"active": 1})},
		"active is null":                       {signedType, says(object{"active": nil})},
		"exp of the token is a string":         {signedType, says(object{"active": true, "exp": "2000000000"})},
		"scope of the token is an array":       {signedType, says(object{"active": true, "scope": []string{"a"}})},
		"too large":                            {signedType, says(object{"active": true, "x": strings.Repeat("x", 64<<10)})},
		"with the token in its iss":            {signedType, with(object{"iss": token})},
		"with the token in a member's name":    {signedType, with(object{token: "x", "iat": "x"})},
	} {
		t.Run(name, func(t *testing.T) {
			response, err := asking(t, as, answer.contentType, answer.body)
			wantBroken(t, response, err)
		})
	}
}

func TestINTRO14ErrorsSayWhatIsWrong(t *testing.T) {
	as := accesstokentest.NewServer(t)
	active := object{"active": true}
	for says, body := range map[string]string{
		"encrypted ones are not supported":      "a.b.c.d.e",
		"the alg of a digital signature":        as.Sign(object{"typ": "token-introspection+jwt", "alg": "HS256"}, envelope(as, active, nil)),
		"it has no iat":                         as.Sign(typed, envelope(as, active, object{"iat": nil})),
		"its iat is 2026-03-01 11:00:00":        as.Sign(typed, envelope(as, active, object{"iat": seconds(-time.Hour)})),
		"iss to be \"" + as.URL + "\"":          as.Sign(typed, envelope(as, active, object{"iss": "x"})),
		"has no token_introspection":            as.Sign(typed, envelope(as, nil, object{"token_introspection": nil})),
		`expected "active" to be true or false`: as.Sign(typed, envelope(as, object{"active": 1}, nil)),
	} {
		_, err := asking(t, as, signedType, body)
		if err == nil || !strings.Contains(err.Error(), says) || !strings.Contains(err.Error(), as.IntrospectionEndpoint()) {
			t.Errorf("got %v; want it to name the endpoint and say %q", err, says)
		}
	}
}

// The claims of the JWT are about the answer: not one is taken for the token's.
func TestINTRO14OnlyTokenIntrospectionIsRead(t *testing.T) {
	as := accesstokentest.NewServer(t)
	beside := object{"active": true, "sub": "mallory", "scope": "admin", "exp": seconds(time.Hour), "client_id": "mallory", "token_type": "Bearer"}
	inactive, err := asking(t, as, signedType, as.Sign(typed, envelope(as, object{"active": false, "sub": "alice"}, beside)))
	if got := whole(inactive); err != nil || got != whole(introspection.Response{}) {
		t.Errorf("inactive: got %s, %v; want the zero Response", got, err)
	}
	active, err := asking(t, as, signedType, as.Sign(typed, envelope(as, object{"active": true}, beside)))
	active.Raw = nil
	if got := whole(active); err != nil || got != whole(introspection.Response{Active: true}) {
		t.Errorf("active: got %s, %v; want an active answer with nothing else", got, err)
	}
	refresh, err := asking(t, as, signedType, as.Sign(typed, envelope(as, object{"active": true, "token_type": "refresh_token"}, beside)))
	if !errors.Is(err, introspection.ErrTokenType) {
		t.Errorf("a refresh token: got %+v, %v; want ErrTokenType", refresh, err)
	}
}

// Nothing sets the clock here: it is the real one.
func TestINTRO14TheClock(t *testing.T) {
	as := accesstokentest.NewServer(t)
	for age, good := range map[time.Duration]bool{0: true, time.Hour: false, -time.Hour: false} {
		claims := envelope(as, object{"active": true}, object{"iat": time.Now().Add(-age).Unix()})
		as.Handle(accesstokentest.IntrospectionPath, answers(200, signedType, as.Sign(typed, claims)))
		response, err := newDemanding(t, as, nil).Introspect(t.Context(), token)
		if (err == nil) != good || response.Active != good {
			t.Errorf("made %v ago: got active %t, %v; want %t", age, response.Active, err, good)
		}
	}
}

// An error status is what it is without a signature.
func TestINTRO14ErrorsNeedNoSignature(t *testing.T) {
	as := accesstokentest.NewServer(t)
	client := newDemanding(t, as, func(config *introspection.Config) { config.ClientSecret = "wrong" })
	if _, err := client.Introspect(t.Context(), token); !errors.Is(err, introspection.ErrClientRefused) {
		t.Errorf("got %v; want ErrClientRefused", err)
	}
}

// A lateError knows when to ask again.
type lateError struct{}

func (lateError) Error() string             { return "no keys today" }
func (lateError) RetryAfter() time.Duration { return 7 * time.Second }

func TestINTRO14KeysThatCannotBeHad(t *testing.T) {
	as, stranger := accesstokentest.NewServer(t), accesstokentest.NewServer(t)
	strangers := jwks.Static(stranger.Keys()...)
	of := func(set *jwks.Set, kid string) crypto.PublicKey {
		keys, _, err := set.Keys(t.Context(), kid, "RS256")
		if err != nil || len(keys) != 1 {
			t.Fatalf("got %d keys, %v; want 1", len(keys), err)
		}
		return keys[0]
	}
	wrong, right := of(strangers, stranger.KeyID("RS256")), of(jwks.Static(as.Keys()...), as.KeyID("RS256"))
	for _, test := range []struct {
		name string
		keys keySource
		says string // what the error has to say; "" when the answer is good
	}{
		{"the right key", func(context.Context, string, string) ([]crypto.PublicKey, error) {
			return []crypto.PublicKey{right}, nil
		}, ""},
		{"it is the fourth", func(context.Context, string, string) ([]crypto.PublicKey, error) {
			return []crypto.PublicKey{wrong, nil, "no key", right}, nil
		}, ""},
		{"it is the fifth", func(context.Context, string, string) ([]crypto.PublicKey, error) {
			return []crypto.PublicKey{wrong, wrong, wrong, wrong, right}, nil
		}, "no key of the issuer"},
		{"there is none", func(context.Context, string, string) ([]crypto.PublicKey, error) { return nil, nil }, "no key of the issuer"},
		{"an error", func(context.Context, string, string) ([]crypto.PublicKey, error) { return nil, lateError{} }, "no keys today"},
		{"an error beside a key", func(context.Context, string, string) ([]crypto.PublicKey, error) {
			return []crypto.PublicKey{right}, lateError{}
		}, "no keys today"},
		{"a panic", func(context.Context, string, string) ([]crypto.PublicKey, error) { panic("canary") }, "panicked"},
	} {
		t.Run(test.name, func(t *testing.T) {
			client := newDemanding(t, as, func(config *introspection.Config) { config.Keys = test.keys })
			response, err := client.Introspect(t.Context(), as.Opaque(nil))
			if test.says == "" {
				if err != nil || !response.Active {
					t.Errorf("got active %t, %v; want true", response.Active, err)
				}
				return
			}
			wantBroken(t, response, err)
			if !strings.Contains(err.Error(), test.says) {
				t.Errorf("got %v; want it to say %q", err, test.says)
			}
			var timed interface{ RetryAfter() time.Duration }
			if strings.Contains(test.name, "an error") && (!errors.As(err, &timed) || timed.RetryAfter() != 7*time.Second) {
				t.Errorf("got %v; want RetryAfter to be the source's", err)
			}
		})
	}
	t.Run("a cache whose server is down", func(t *testing.T) {
		cache, err := jwks.NewCache(jwks.Config{URL: as.JWKSURI(), HTTPClient: as.Client(), Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		defer cache.Close()
		as.Break(accesstokentest.JWKSPath, accesstokentest.Fault{Status: 503})
		defer as.Mend(accesstokentest.JWKSPath)
		client := newDemanding(t, as, func(config *introspection.Config) { config.Keys = cache })
		response, err := client.Introspect(t.Context(), as.Opaque(nil))
		wantBroken(t, response, err)
	})
}

// The end of the call's own time is not the end of the caller's.
func TestINTRO14KeysThatDoNotCome(t *testing.T) {
	as := accesstokentest.NewServer(t)
	signed := as.Sign(typed, envelope(as, object{"active": true}, nil))
	synctest.Test(t, func(t *testing.T) {
		client, err := introspection.NewClient(introspection.Config{
			Endpoint:     as.IntrospectionEndpoint(),
			ClientID:     accesstokentest.ClientID,
			ClientSecret: accesstokentest.ClientSecret,
			Issuer:       as.URL,
			Keys: keySource(func(ctx context.Context, _, _ string) ([]crypto.PublicKey, error) {
				<-ctx.Done()
				return nil, ctx.Err()
			}),
			HTTPClient: &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
				return &http.Response{StatusCode: 200, Header: http.Header{"Content-Type": {signedType}}, Body: io.NopCloser(strings.NewReader(signed)), Request: r}, nil
			})},
		})
		if err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		response, err := client.Introspect(t.Context(), token)
		wantBroken(t, response, err)
		if took := time.Since(begin); took != 5*time.Second {
			t.Errorf("took %v; want the Timeout", took)
		}
	})
}

func TestINTRO14KeysAreAskedForByHeader(t *testing.T) {
	as := accesstokentest.NewServer(t)
	var asked []string
	source := keySource(func(_ context.Context, kid, alg string) ([]crypto.PublicKey, error) {
		asked = append(asked, kid+" "+alg)
		return nil, nil
	})
	claims := envelope(as, object{"active": true}, nil)
	good := as.Sign(object{"typ": "token-introspection+jwt", "kid": "k", "alg": "ES256"}, claims)
	for _, body := range []string{
		as.Sign(object{"typ": "token-introspection+jwt", "alg": "none"}, claims),
		as.Sign(object{"typ": "token-introspection+jwt", "alg": "HS256"}, claims),
		as.SignRaw("RS256", []byte(`{"typ":"token-introspection+jwt","alg":"RS1"}`), []byte(`{}`)),
		as.Sign(object{"typ": "at+jwt"}, claims),
		good[:len(good)-2], // a byte less of signature
		good,
	} {
		as.Handle(accesstokentest.IntrospectionPath, answers(200, signedType, body))
		client := newDemanding(t, as, func(config *introspection.Config) { config.Keys = source })
		_, _ = client.Introspect(t.Context(), token)
	}
	if want := []string{"k ES256"}; !slices.Equal(asked, want) {
		t.Errorf("asked for %q; want %q: nothing for what cannot be an answer", asked, want)
	}
}

func TestINTRO14Faults(t *testing.T) {
	as := accesstokentest.NewServer(t)
	for _, test := range []struct {
		name   string
		issuer string
		keys   introspection.KeySource
		faults []string // one for each line
	}{
		{"nothing is wrong", as.URL, jwks.Static(as.Keys()...), nil},
		{"Keys without Issuer", "", jwks.Static(as.Keys()...), []string{"Issuer is empty"}},
		{"Keys without ClientID", as.URL, jwks.Static(as.Keys()...), []string{"ClientID is empty"}},
		{"the nil of a constructor that failed", as.URL, (*jwks.Cache)(nil), []string{"*jwks.Cache is nil"}},
		{"a source that knows its fault", as.URL, jwks.Static(), []string{"Keys: jwks: a static set needs a key"}},
		{"everything at once", "", jwks.Static(), []string{"Issuer is empty", "needs a key"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			config := introspection.Config{Endpoint: as.IntrospectionEndpoint(), ClientID: "api", AuthMethod: introspection.Bearer,
				BearerToken: func(context.Context) (string, error) { return token, nil }, Issuer: test.issuer, Keys: test.keys}
			if strings.Contains(test.name, "without ClientID") {
				config.ClientID = ""
			}
			client, err := introspection.NewClient(config)
			if len(test.faults) == 0 {
				if err != nil || client == nil {
					t.Errorf("got %v, %v; want a client", client, err)
				}
				return
			}
			if err == nil || client != nil {
				t.Fatalf("got %v, %v; want an error and nothing else", client, err)
			}
			lines := strings.Split(err.Error(), "\n")
			if len(lines) != len(test.faults) {
				t.Fatalf("got %d faults; want %d:\n%v", len(lines), len(test.faults), err)
			}
			for i, line := range lines {
				if !strings.HasPrefix(line, "introspection: ") || !strings.Contains(line, test.faults[i]) {
					t.Errorf("line %d: got %q; want it to begin with the package and say %q", i, line, test.faults[i])
				}
			}
		})
	}
}

func TestINTRO14AValidatorThatDemandsSignedAnswers(t *testing.T) {
	as := accesstokentest.NewServer(t)
	v := newValidator(t, as, accesstoken.Issuer{Introspection: newDemanding(t, as, nil)})
	opaque := as.Opaque(nil)
	claims, err := v.Validate(t.Context(), accesstoken.Bearer(opaque))
	if err != nil || claims.Subject != "alice" {
		t.Errorf("got %q, %v; want alice", claims.Subject, err)
	}
	if _, err := v.Validate(t.Context(), accesstoken.Bearer("unknown")); !errors.Is(err, accesstoken.TokenInactive) {
		t.Errorf("got %v; want TokenInactive", err)
	}
	as.Handle(accesstokentest.IntrospectionPath, answers(200, "application/json", `{"active":true}`))
	if _, err := v.Validate(t.Context(), accesstoken.Bearer("another")); !errors.Is(err, accesstoken.IntrospectionUnavailable) {
		t.Errorf("plain JSON: got %v; want IntrospectionUnavailable", err)
	}
}

// newValidator trusts the server, in these ways.
func newValidator(t *testing.T, as *accesstokentest.Server, issuer accesstoken.Issuer) *accesstoken.Validator {
	t.Helper()
	issuer.URL = as.URL
	return testkit.NewValidator(t, as, func(c *accesstoken.Config) { c.Issuers = []accesstoken.Issuer{issuer} })
}

// RFC 9701 §8: the same key may have signed both.
func TestINTRO15AnAnswerIsNoAccessToken(t *testing.T) {
	as := accesstokentest.NewServer(t)
	var genuine atomic.Pointer[string]
	as.Handle(accesstokentest.IntrospectionPath, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		record := httptest.NewRecorder()
		as.Endpoint(accesstokentest.IntrospectionPath).ServeHTTP(record, r)
		body := record.Body.String()
		genuine.Store(&body)
		answers(record.Code, record.Header().Get("Content-Type"), body)(w, r)
	}))
	client := newDemanding(t, as, nil)
	if response, err := client.Introspect(t.Context(), as.Opaque(nil)); err != nil || !response.Active {
		t.Fatalf("got %+v, %v; want an active answer", response, err)
	}
	asked := as.Requests(accesstokentest.IntrospectionPath)
	for name, issuer := range map[string]accesstoken.Issuer{
		"RFC 9068":           {},
		"ZITADEL":            {Profile: accesstoken.Zitadel},
		"relaxed":            {Relax: accesstoken.Relax{Typ: true, JTI: true, ClientID: true, ScopeArray: true}, Accept: acceptAll},
		"with introspection": {Introspection: client},
	} {
		v := newValidator(t, as, issuer)
		for which, answer := range map[string]string{
			"a genuine answer":                  *genuine.Load(),
			"one with an access token's claims": as.Sign(typed, as.Claims(accesstokentest.Claims{"token_introspection": object{"active": true}})),
			"the same, typ with its prefix":     as.Sign(object{"typ": signedType}, as.Claims(nil)),
		} {
			if _, err := v.Validate(t.Context(), accesstoken.Bearer(answer)); !errors.Is(err, accesstoken.TokenTypeMismatch) {
				t.Errorf("%s: %s: got %v; want TokenTypeMismatch", name, which, err)
			}
		}
	}
	if got := as.Requests(accesstokentest.IntrospectionPath); got != asked {
		t.Errorf("the endpoint was asked about them: got %d times; want 0", got-asked)
	}
}

// acceptAll leaves the verdict to everything else.
func acceptAll(context.Context, accesstoken.Claims) error { return nil }
