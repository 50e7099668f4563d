package accesstoken_test

import (
	"bytes"
	"context"
	"crypto"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/accesstokentest"
	"github.com/accesstoken/accesstoken/introspection"
	"github.com/accesstoken/accesstoken/jwks"
	"github.com/accesstoken/accesstoken/middleware"
	"github.com/accesstoken/accesstoken/scopes"
)

func TestOneTokenEndToEnd(t *testing.T) {
	as := accesstokentest.NewServer(t)
	auth := middleware.New(newValidator(t, as, nil), nil)
	handler := auth.Require(scopes.All("orders:read")).Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		claims, ok := accesstoken.FromContext(r.Context())
		fmt.Fprint(w, ok, " ", claims.Subject, " ", claims.Scopes())
	}))
	for _, test := range []struct {
		name, authorization string
		status              int
		body, challenge     string
	}{
		{"good token", "Bearer " + as.Token(accesstokentest.Claims{"sub": "alice", "scope": "orders:read"}), 200, "true alice orders:read", ""},
		{"no token", "", 401, "an access token is required\n", `Bearer realm="https://api.example.com", scope="orders:read"`},
		{"no scope", "Bearer " + as.Token(nil), 403, "the access token lacks a required scope\n",
			`Bearer realm="https://api.example.com", error="insufficient_scope", error_description="the access token lacks a required scope", scope="orders:read"`},
		{"junk", "Bearer junk", 401, "the access token is invalid\n",
			`Bearer realm="https://api.example.com", error="invalid_token", error_description="the access token is invalid"`},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := httptest.NewRequest("GET", "/", nil)
			if test.authorization != "" {
				r.Header.Set("Authorization", test.authorization)
			}
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, r)
			if w.Code != test.status || w.Body.String() != test.body {
				t.Errorf("got %d %q; want %d %q", w.Code, w.Body, test.status, test.body)
			}
			if got := w.Header().Get("WWW-Authenticate"); got != test.challenge {
				t.Errorf("got challenge %s; want %s", got, test.challenge)
			}
		})
	}
}

func TestACachedTokenEndsWithItsExpiryAndNotBefore(t *testing.T) {
	as, clock := accesstokentest.NewServer(t), new(clock)
	for _, test := range []struct {
		name   string
		leeway time.Duration
		ends   time.Duration
	}{
		{"the default leeway is 30 s", 0, time.Minute + 30*time.Second},
		{"a negative leeway is none", -1, time.Minute},
		{"a leeway of 2 min", 2 * time.Minute, 3 * time.Minute},
	} {
		t.Run(test.name, func(t *testing.T) {
			clock.Set(0)
			v := newValidator(t, as, func(c *accesstoken.Config) { c.Now, c.Leeway = clock.Now, test.leeway })
			token := as.Token(accesstokentest.Claims{"exp": time.Now().Add(time.Minute).Unix()})
			for _, moment := range []time.Duration{0, test.ends - 3*time.Second} {
				clock.Set(moment)
				if _, err := v.Validate(t.Context(), accesstoken.Bearer(token)); err != nil {
					t.Fatalf("%v after issuance: got %v; want it accepted", moment, err)
				}
			}
			clock.Set(test.ends)
			_, err := v.Validate(t.Context(), accesstoken.Bearer(token))
			wantReason(t, err, accesstoken.TokenExpired)
			_, err = v.Validate(t.Context(), accesstoken.Bearer(token))
			wantReason(t, err, accesstoken.TokenExpired)
		})
	}
}

func TestATokenOfTheFutureWaits(t *testing.T) {
	as := accesstokentest.NewServer(t)
	v := newValidator(t, as, nil)
	for _, claim := range []string{"nbf", "iat"} {
		soon := as.Token(accesstokentest.Claims{claim: time.Now().Add(20 * time.Second).Unix()})
		if _, err := v.Validate(t.Context(), accesstoken.Bearer(soon)); err != nil {
			t.Errorf("%s within the leeway: got %v; want it accepted", claim, err)
		}
		late := as.Token(accesstokentest.Claims{claim: time.Now().Add(40 * time.Second).Unix()})
		_, err := v.Validate(t.Context(), accesstoken.Bearer(late))
		wantReason(t, err, accesstoken.TokenNotYetValid)
	}
}

// A countingSource is a KeySource whose keys a test takes away.
type countingSource struct {
	keys       accesstoken.KeySource
	withdrawn  atomic.Bool
	generation atomic.Uint64
	broken     atomic.Bool
}

func (s *countingSource) Keys(ctx context.Context, kid, alg string) ([]crypto.PublicKey, uint64, error) {
	switch {
	case s.broken.Load():
		return nil, 0, errors.New("the source is broken")
	case s.withdrawn.Load():
		return nil, s.generation.Load(), nil
	}
	keys, _, err := s.keys.Keys(ctx, kid, alg)
	return keys, s.generation.Load(), err
}

func TestACachedTokenDiesWithItsKey(t *testing.T) {
	as := accesstokentest.NewServer(t)
	for name, counts := range map[string]bool{"a source that counts generations": true, "a source that does not count": false} {
		t.Run(name, func(t *testing.T) {
			source := &countingSource{keys: jwks.Static(as.Keys()...)}
			next := func() {
				if counts {
					source.generation.Add(1)
				}
			}
			next()
			clock := new(clock)
			v := newValidator(t, as, func(c *accesstoken.Config) { c.Issuers[0].Keys, c.Now = source, clock.Now })
			credentials := accesstoken.Bearer(as.Token(nil))
			validate := func() error { _, err := v.Validate(t.Context(), credentials); return err }
			if err := validate(); err != nil {
				t.Fatalf("got %v; want the token accepted", err)
			}
			next()
			if err := validate(); err != nil {
				t.Fatalf("the set changed and still has the key: got %v; want the token accepted", err)
			}
			source.broken.Store(true)
			wantReason(t, validate(), accesstoken.KeysUnavailable)
			clock.Advance(time.Hour)
			wantReason(t, validate(), accesstoken.TokenExpired) // what is known to have ended needs no key
			clock.Advance(-time.Hour)
			source.broken.Store(false)
			if err := validate(); err != nil {
				t.Fatalf("the source answers again: got %v; want the token accepted", err)
			}
			source.withdrawn.Store(true)
			next()
			wantReason(t, validate(), accesstoken.KeyNotFound)
		})
	}
}

func TestTheSameKeyIDWithAnotherKeyIsNoticed(t *testing.T) {
	as := accesstokentest.NewServer(t)
	token, kid := as.Token(nil), as.KeyID("RS256")
	other := accesstokentest.NewServer(t)
	source := &swappedSource{first: jwks.Static(as.Keys()...), second: jwks.Static(other.Keys()...), kid: other.KeyID("RS256")}
	v := newValidator(t, as, func(c *accesstoken.Config) { c.Issuers[0].Keys = source })
	if _, err := v.Validate(t.Context(), accesstoken.Bearer(token)); err != nil {
		t.Fatalf("kid %s: got %v; want the token accepted", kid, err)
	}
	source.swapped.Store(true)
	_, err := v.Validate(t.Context(), accesstoken.Bearer(token))
	wantReason(t, err, accesstoken.SignatureInvalid)
}

// A swappedSource answers for every kid with another key after a while.
type swappedSource struct {
	first, second accesstoken.KeySource
	kid           string
	swapped       atomic.Bool
}

func (s *swappedSource) Keys(ctx context.Context, kid, alg string) ([]crypto.PublicKey, uint64, error) {
	if s.swapped.Load() {
		keys, _, err := s.second.Keys(ctx, s.kid, alg)
		return keys, 2, err
	}
	return s.first.Keys(ctx, kid, alg)
}

func TestTokensOfAWithdrawnKeyDoNotHoldUpTheNextRotation(t *testing.T) {
	as := accesstokentest.NewServer(t)
	keys, err := jwks.NewCache(jwks.Config{URL: as.JWKSURI(), HTTPClient: as.Client(), WithdrawAfter: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer keys.Close()
	v := newValidator(t, as, func(c *accesstoken.Config) { c.Issuers[0].Keys = keys })
	validate := func(token string) error {
		_, err := v.Validate(t.Context(), accesstoken.Bearer(token))
		return err
	}
	token := as.Token(nil)
	if err := validate(token); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		as.Rotate()
		as.Withdraw()
		withdrawn := token
		if token = as.Token(nil); validate(token) != nil {
			t.Fatalf("a token of the new key: got %v; want it accepted", validate(token))
		}
		for range 3 {
			wantReason(t, validate(withdrawn), accesstoken.KeyNotFound)
		}
	}
	if got := as.Requests(accesstokentest.JWKSPath); got != 3 {
		t.Errorf("got %d fetches; want 3, one for each set", got)
	}
}

func TestASignatureOfImpossibleLengthCostsNoFetch(t *testing.T) {
	as := accesstokentest.NewServer(t)
	v := newValidator(t, as, nil)
	token := as.Token(nil)
	for _, signature := range []string{"", "AAAA", strings.Repeat("A", 1368)} {
		_, err := v.Validate(t.Context(), accesstoken.Bearer(token[:strings.LastIndexByte(token, '.')+1]+signature))
		wantReason(t, err, accesstoken.SignatureInvalid)
	}
	if got := as.Requests(accesstokentest.JWKSPath); got != 0 {
		t.Errorf("got %d fetches; want none", got)
	}
}

func TestAJWTIsNeverTakenForAnOpaqueToken(t *testing.T) {
	permissive, other := accesstokentest.NewServer(t), accesstokentest.NewServer(t)
	v := newValidator(t, permissive, func(c *accesstoken.Config) {
		c.Issuers = []accesstoken.Issuer{{URL: permissive.URL, Introspection: newIntrospection(t, permissive)}, {URL: other.URL}}
	})
	long := other.Sign(map[string]any{"typ": "at+jwt", "x5c": strings.Repeat("A", 5000)}, other.Claims(nil))
	for _, token := range []string{long, "\u00a0" + long, strings.Replace(other.Token(nil), ".", "=.", 1)} {
		if _, err := v.Validate(t.Context(), accesstoken.Bearer(token)); err == nil {
			t.Error("got it accepted; want a refusal")
		}
	}
	if got := permissive.Requests(accesstokentest.IntrospectionPath); got != 0 {
		t.Errorf("one issuer was shown %d JWTs of another; want 0", got)
	}
}

func TestThePolicyIsJudgedOnEveryRequest(t *testing.T) {
	as := accesstokentest.NewServer(t)
	v := newValidator(t, as, nil)
	credentials := accesstoken.Bearer(as.Token(accesstokentest.Claims{"scope": "read"}))
	read, write := accesstoken.Policy{Scopes: scopes.All("read")}, accesstoken.Policy{Scopes: scopes.All("write", "read")}
	for range 2 {
		if _, err := v.Authorize(t.Context(), credentials, read); err != nil {
			t.Fatalf("got %v; want the token accepted for read", err)
		}
		_, err := v.Authorize(t.Context(), credentials, write)
		refused := wantReason(t, err, accesstoken.ScopeInsufficient)
		if got, want := refused.Public().Params["scope"], "write read"; got != want {
			t.Errorf("got scope %q in the challenge; want all that is needed, %q", got, want)
		}
	}
	_, err := v.Authorize(t.Context(), credentials, accesstoken.Policy{Scopes: scopes.All()})
	wantReason(t, err, accesstoken.ResourceServerMisconfigured)
}

func TestCheckJudgesClaimsFurther(t *testing.T) {
	as := accesstokentest.NewServer(t)
	v := newValidator(t, as, nil)
	claims, err := v.Validate(t.Context(), accesstoken.Bearer(as.Token(accesstokentest.Claims{"scope": "b"})))
	if err != nil {
		t.Fatal(err)
	}
	if err := v.Check(t.Context(), claims, accesstoken.Policy{Scopes: scopes.Any("a", "b")}); err != nil {
		t.Errorf("got %v; want b to be enough", err)
	}
	wantReason(t, v.Check(t.Context(), claims, accesstoken.Policy{Scopes: scopes.All("a")}), accesstoken.ScopeInsufficient)
}

// endOfAnswer returns the End of an opaque token whose introspection answer has iat and
// no exp.
func endOfAnswer(t *testing.T, as *accesstokentest.Server, issued time.Time, oldest time.Duration) time.Time {
	t.Helper()
	v := newValidator(t, as, func(c *accesstoken.Config) {
		c.Now, c.Leeway = func() time.Time { return issued }, 10*time.Second
		c.Issuers[0].Introspection, c.Issuers[0].MaxAge = newIntrospection(t, as), oldest
	})
	token := as.Opaque(accesstokentest.Claims{"iat": issued.Unix(), "exp": nil})
	claims, err := v.Validate(t.Context(), accesstoken.Bearer(token))
	if err != nil {
		t.Fatal(err)
	}
	return claims.End()
}

// A handler may take its time, and a stream does.
func TestCheckAndEndGoByTheClock(t *testing.T) {
	as := accesstokentest.NewServer(t)
	moment := time.Unix(1_900_000_000, 0)
	v := newValidator(t, as, func(c *accesstoken.Config) {
		c.Now, c.Leeway = func() time.Time { return moment }, 10*time.Second
	})
	exp := moment.Add(time.Minute)
	claims, err := v.Validate(t.Context(), accesstoken.Bearer(as.Token(accesstokentest.Claims{"iat": moment.Unix(), "exp": exp.Unix()})))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := claims.End(), exp.Add(10*time.Second); !got.Equal(want) {
		t.Errorf("End: got %v; want %v", got, want)
	}
	moment = claims.End().Add(-time.Nanosecond)
	if err := v.Check(t.Context(), claims, accesstoken.Policy{}); err != nil {
		t.Errorf("a nanosecond before the end: got %v; want nil", err)
	}
	moment = claims.End()
	wantReason(t, v.Check(t.Context(), claims, accesstoken.Policy{Scopes: scopes.All("x")}), accesstoken.TokenExpired)
	aging := newValidator(t, as, func(c *accesstoken.Config) {
		c.Now, c.Leeway, c.Issuers[0].MaxAge = func() time.Time { return moment }, 10*time.Second, 20*time.Second
	})
	claims, err = aging.Validate(t.Context(), accesstoken.Bearer(as.Token(accesstokentest.Claims{"iat": moment.Unix(), "exp": moment.Unix() + 60})))
	if want := moment.Truncate(time.Second).Add(30 * time.Second); err != nil || !claims.End().Equal(want) {
		t.Errorf("End with a MaxAge: got %v, %v; want %v", claims.End(), err, want)
	}
	if got := endOfAnswer(t, as, moment, 20*time.Second); !got.Equal(moment.Add(30 * time.Second)) {
		t.Errorf("End without exp, with a MaxAge: got %v; want %v", got, moment.Add(30*time.Second))
	}
	if got := endOfAnswer(t, as, moment, 0); !got.IsZero() {
		t.Errorf("End without exp: got %v; want zero", got)
	}
	if got := (accesstoken.Claims{}).End(); !got.IsZero() {
		t.Errorf("End of nobody's claims: got %v; want zero", got)
	}
	if got := (accesstoken.Claims{Expiry: exp}).End(); !got.Equal(exp) {
		t.Errorf("End of claims made by hand: got %v; want their Expiry", got)
	}
}

func TestAClockThatPanicsInCheckRefuses(t *testing.T) {
	as := accesstokentest.NewServer(t)
	broken := false
	v := newValidator(t, as, func(c *accesstoken.Config) {
		c.Now = func() time.Time {
			if broken {
				panic("a test")
			}
			return time.Now()
		}
	})
	claims, err := v.Validate(t.Context(), accesstoken.Bearer(as.Token(nil)))
	if err != nil {
		t.Fatal(err)
	}
	broken = true
	wantReason(t, v.Check(t.Context(), claims, accesstoken.Policy{}), accesstoken.InternalError)
}

func TestClaimsOfNobodySatisfyNothing(t *testing.T) {
	v := newValidator(t, accesstokentest.NewServer(t), nil)
	nobody, _ := accesstoken.FromContext(t.Context())
	for _, policy := range []accesstoken.Policy{{}, {Scopes: scopes.None()}, {Scopes: scopes.All("a")}} {
		wantReason(t, v.Check(t.Context(), nobody, policy), accesstoken.CredentialsMissing)
	}
}

func TestIssuersAreIslands(t *testing.T) {
	one, two := accesstokentest.NewServer(t), accesstokentest.NewServer(t)
	v := newValidator(t, one, func(c *accesstoken.Config) {
		c.Issuers = []accesstoken.Issuer{{URL: one.URL}, {URL: two.URL, Audience: []string{"urn:two"}, Algorithms: []string{"ES256"}}}
	})
	forged := two.Sign(map[string]any{"typ": "at+jwt", "kid": one.KeyID("RS256")}, one.Claims(nil))
	_, err := v.Validate(t.Context(), accesstoken.Bearer(forged))
	wantReason(t, err, accesstoken.SignatureInvalid)
	forged = two.Sign(map[string]any{"typ": "at+jwt"}, one.Claims(nil))
	_, err = v.Validate(t.Context(), accesstoken.Bearer(forged))
	wantReason(t, err, accesstoken.KeyNotFound)

	es256 := func(audience string) string {
		return two.Sign(map[string]any{"alg": "ES256", "typ": "at+jwt"}, two.Claims(accesstokentest.Claims{"aud": audience}))
	}
	if _, err := v.Validate(t.Context(), accesstoken.Bearer(es256("urn:two"))); err != nil {
		t.Errorf("got %v; want the second issuer's token accepted", err)
	}
	_, err = v.Validate(t.Context(), accesstoken.Bearer(es256(resource)))
	wantReason(t, err, accesstoken.AudienceMismatch)
	_, err = v.Validate(t.Context(), accesstoken.Bearer(two.Token(accesstokentest.Claims{"aud": "urn:two"})))
	wantReason(t, err, accesstoken.AlgorithmNotAllowed)
}

func TestDeparturesFromRFC9068(t *testing.T) {
	as := accesstokentest.NewServer(t)
	zitadel := accesstoken.Issuer{Profile: accesstoken.Zitadel}
	relaxed := func(r accesstoken.Relax) accesstoken.Issuer { return accesstoken.Issuer{Relax: r} }
	plain := func(change accesstokentest.Claims) string {
		return as.Sign(map[string]any{"typ": "JWT"}, as.Claims(change))
	}
	for _, test := range []struct {
		name   string
		issuer accesstoken.Issuer
		token  string
		want   accesstoken.Reason
	}{
		{"typ JWT, strict", accesstoken.Issuer{}, plain(nil), accesstoken.TokenTypeMismatch},
		{"no typ, strict", accesstoken.Issuer{}, as.Sign(nil, as.Claims(nil)), accesstoken.TokenTypeMismatch},
		{"typ JWT, relaxed", relaxed(accesstoken.Relax{Typ: true}), plain(nil), ""},
		{"no typ, relaxed", relaxed(accesstoken.Relax{Typ: true}), as.Sign(nil, as.Claims(nil)), ""},
		{"at+jwt, relaxed", relaxed(accesstoken.Relax{Typ: true}), as.Token(nil), ""},
		{"another kind, relaxed", relaxed(accesstoken.Relax{Typ: true}), as.Sign(map[string]any{"typ": "dpop+jwt"}, as.Claims(nil)), accesstoken.TokenTypeMismatch},
		{"ID token, relaxed", relaxed(accesstoken.Relax{Typ: true}), plain(accesstokentest.Claims{"nonce": "n"}), accesstoken.TokenTypeMismatch},
		{"no jti, strict", accesstoken.Issuer{}, as.Token(accesstokentest.Claims{"jti": nil}), accesstoken.ClaimInvalid},
		{"no jti, relaxed", relaxed(accesstoken.Relax{JTI: true}), as.Token(accesstokentest.Claims{"jti": nil}), ""},
		{"no client_id, strict", accesstoken.Issuer{}, as.Token(accesstokentest.Claims{"client_id": nil}), accesstoken.ClaimInvalid},
		{"no client_id, relaxed", relaxed(accesstoken.Relax{ClientID: true}), as.Token(accesstokentest.Claims{"client_id": nil}), ""},
		{"scope array, strict", accesstoken.Issuer{}, as.Token(accesstokentest.Claims{"scope": []string{"a"}}), accesstoken.ClaimInvalid},
		{"scope array, relaxed", relaxed(accesstoken.Relax{ScopeArray: true}), as.Token(accesstokentest.Claims{"scope": []string{"a", "b"}}), ""},
		{"scope array whose element hides two", relaxed(accesstoken.Relax{ScopeArray: true}), as.Token(accesstokentest.Claims{"scope": []string{"a b"}}), accesstoken.ClaimInvalid},
		{"ZITADEL's typ JWT", zitadel, plain(accesstokentest.Claims{"jti": nil, "client_id": nil}), ""},
		{"ZITADEL's at+jwt", zitadel, as.Token(nil), ""},
		{"no typ, Zitadel", zitadel, as.Sign(nil, as.Claims(nil)), accesstoken.TokenTypeMismatch},
		{"ID token by at_hash, Zitadel", zitadel, plain(accesstokentest.Claims{"at_hash": "x"}), accesstoken.TokenTypeMismatch},
		{"aud is the client only, Zitadel", zitadel, plain(accesstokentest.Claims{"client_id": resource}), accesstoken.TokenTypeMismatch},
		{"aud is azp only, Zitadel", zitadel, plain(accesstokentest.Claims{"client_id": nil, "azp": resource}), accesstoken.TokenTypeMismatch},
		{"a listed client", accesstoken.Issuer{Clients: []string{"printer"}}, as.Token(accesstokentest.Claims{"client_id": "printer"}), ""},
		{"a client that is not listed", accesstoken.Issuer{Clients: []string{"printer"}}, as.Token(accesstokentest.Claims{"client_id": "other"}), accesstoken.ClaimInvalid},
		{"a refresh token of Keycloak, relaxed", relaxed(accesstoken.Relax{Typ: true}), plain(accesstokentest.Claims{"typ": "Refresh"}), accesstoken.TokenTypeMismatch},
		{"token_use id, Zitadel", zitadel, plain(accesstokentest.Claims{"token_use": "id"}), accesstoken.TokenTypeMismatch},
		{"token_use access, Zitadel", zitadel, plain(accesstokentest.Claims{"token_use": "access"}), ""},
		{"a logout token, Zitadel", zitadel, plain(accesstokentest.Claims{"events": map[string]any{}}), accesstoken.TokenTypeMismatch},
		{"aud is the client only, relaxed typ", relaxed(accesstoken.Relax{Typ: true}), plain(accesstokentest.Claims{"client_id": resource}), accesstoken.TokenTypeMismatch},
		{"no aud, strict", accesstoken.Issuer{}, as.Token(accesstokentest.Claims{"aud": nil}), accesstoken.AudienceMismatch},
		{"no aud, accepted", accesstoken.Issuer{DangerouslyAcceptNoAudience: true}, as.Token(accesstokentest.Claims{"aud": nil}), ""},
		{"another aud, no aud accepted", accesstoken.Issuer{DangerouslyAcceptNoAudience: true}, as.Token(accesstokentest.Claims{"aud": "x"}), accesstoken.AudienceMismatch},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.issuer.URL = as.URL
			v := newValidator(t, as, func(c *accesstoken.Config) { c.Issuers = []accesstoken.Issuer{test.issuer} })
			_, err := v.Validate(t.Context(), accesstoken.Bearer(test.token))
			if test.want == "" {
				if err != nil {
					t.Errorf("got %v; want it accepted", err)
				}
				return
			}
			wantReason(t, err, test.want)
		})
	}
}

// newIntrospection makes a client for the server's introspection endpoint.
func newIntrospection(t testing.TB, as *accesstokentest.Server) *introspection.Client {
	t.Helper()
	client, err := introspection.NewClient(introspection.Config{
		Endpoint:     as.IntrospectionEndpoint(),
		ClientID:     accesstokentest.ClientID,
		ClientSecret: accesstokentest.ClientSecret,
		HTTPClient:   as.Client(),
	})
	if err != nil {
		t.Fatalf("NewClient: %v", err)
	}
	return client
}

func TestFormAndConfigurationChooseIntrospectionAndNeverAFailure(t *testing.T) {
	as, stranger := accesstokentest.NewServer(t), accesstokentest.NewServer(t)
	v := newValidator(t, as, func(c *accesstoken.Config) { c.Issuers[0].Introspection = newIntrospection(t, as) })
	good, other := as.Token(nil), as.Token(accesstokentest.Claims{"sub": "mallory"})
	grafted := other[:strings.LastIndexByte(other, '.')] + good[strings.LastIndexByte(good, '.'):]
	for _, test := range []struct {
		name, token string
		want        accesstoken.Reason
		asked       int
	}{
		{"a JWT", good, "", 0},
		{"a JWT with another one's signature", grafted, accesstoken.SignatureInvalid, 0},
		{"a JWT of a stranger", stranger.Token(nil), accesstoken.IssuerUnknown, 0},
		{"a JWT without issuer", as.Token(accesstokentest.Claims{"iss": nil}), accesstoken.IssuerUnknown, 0},
		{"an opaque token that is not known", "junk", accesstoken.TokenInactive, 1},
		{"an opaque token", as.Opaque(nil), "", 1},
		{"a malformed one", "a b", accesstoken.CredentialsMalformed, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			before := as.Requests(accesstokentest.IntrospectionPath)
			_, err := v.Validate(t.Context(), accesstoken.Bearer(test.token))
			if got := as.Requests(accesstokentest.IntrospectionPath) - before; got != test.asked {
				t.Errorf("got %d introspections; want %d", got, test.asked)
			}
			if test.want == "" && err != nil {
				t.Errorf("got %v; want it accepted", err)
			} else if test.want != "" {
				wantReason(t, err, test.want)
			}
		})
	}
}

func TestOpaqueTokensGoToTheIssuerOfTheirPrefixAndToNoOther(t *testing.T) {
	one, two := accesstokentest.NewServer(t), accesstokentest.NewServer(t)
	v := newValidator(t, one, func(c *accesstoken.Config) {
		c.Issuers = []accesstoken.Issuer{
			{URL: one.URL, Introspection: newIntrospection(t, one), TokenPrefix: "one_"},
			{URL: two.URL, Introspection: newIntrospection(t, two), TokenPrefix: "two_"},
		}
	})
	for _, token := range []string{"two_a", "two_a.b", "two_a.b.c", "two_a.b.c.d.e"} {
		two.Remember(token, accesstokentest.Claims{"sub": "bob"})
		claims, err := v.Validate(t.Context(), accesstoken.Bearer(token))
		if err != nil || claims.Issuer != two.URL || claims.Subject != "bob" {
			t.Errorf("%s: got %v, %v; want bob of the second issuer", token, claims, err)
		}
	}
	_, err := v.Validate(t.Context(), accesstoken.Bearer("three_a"))
	wantReason(t, err, accesstoken.TokenMalformed)
	if got := one.Requests(accesstokentest.IntrospectionPath); got != 0 {
		t.Errorf("the first issuer was shown %d tokens of the second; want 0", got)
	}
}

func TestAnIntrospectionAnswerIsCheckedLocally(t *testing.T) {
	as := accesstokentest.NewServer(t)
	v := newValidator(t, as, func(c *accesstoken.Config) { c.Issuers[0].Introspection = newIntrospection(t, as) })
	lax := newValidator(t, as, func(c *accesstoken.Config) {
		c.Issuers[0].Introspection, c.Issuers[0].DangerouslyAcceptNoAudience = newIntrospection(t, as), true
	})
	past := time.Now().Add(-time.Hour).Unix()
	for _, test := range []struct {
		name   string
		v      *accesstoken.Validator
		claims accesstokentest.Claims
		want   accesstoken.Reason
	}{
		{"active", v, nil, ""},
		{"no exp", v, accesstokentest.Claims{"exp": nil}, ""},
		{"no iss, sub, jti, iat", v, accesstokentest.Claims{"iss": nil, "sub": nil, "jti": nil, "iat": nil}, ""},
		{"active, but expired", v, accesstokentest.Claims{"exp": past}, accesstoken.TokenExpired},
		{"another audience", v, accesstokentest.Claims{"aud": "x"}, accesstoken.AudienceMismatch},
		{"no audience", v, accesstokentest.Claims{"aud": nil}, accesstoken.AudienceMismatch},
		{"no audience, accepted", lax, accesstokentest.Claims{"aud": nil}, ""},
		{"another issuer", v, accesstokentest.Claims{"iss": "https://evil.example"}, accesstoken.IssuerUnknown},
		{"bound to a DPoP key", v, accesstokentest.Claims{"cnf": map[string]any{"jkt": "x"}}, accesstoken.BindingRequired},
		{"token_type DPoP", v, accesstokentest.Claims{"token_type": "DPoP"}, accesstoken.BindingRequired},
		{"a refresh token", v, accesstokentest.Claims{"token_type": "refresh_token"}, accesstoken.TokenTypeMismatch},
		{"sub is a number", v, accesstokentest.Claims{"sub": 1}, accesstoken.IntrospectionUnavailable},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := test.v.Validate(t.Context(), accesstoken.Bearer(as.Opaque(test.claims)))
			if test.want == "" {
				if err != nil {
					t.Errorf("got %v; want it accepted", err)
				}
				return
			}
			wantReason(t, err, test.want)
		})
	}
}

func TestARevokedOpaqueTokenIsRefusedAtOnce(t *testing.T) {
	as := accesstokentest.NewServer(t)
	v := newValidator(t, as, func(c *accesstoken.Config) { c.Issuers[0].Introspection = newIntrospection(t, as) })
	token := as.Opaque(nil)
	if _, err := v.Validate(t.Context(), accesstoken.Bearer(token)); err != nil {
		t.Fatal(err)
	}
	as.Revoke(token)
	_, err := v.Validate(t.Context(), accesstoken.Bearer(token))
	wantReason(t, err, accesstoken.TokenInactive)
}

func TestAnOutageIsNeverAnInvalidToken(t *testing.T) {
	as := accesstokentest.NewServer(t)
	down := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "7")
		w.WriteHeader(http.StatusServiceUnavailable)
	})
	jwt, opaque := as.Token(nil), as.Opaque(nil)
	for _, test := range []struct {
		path, token string
		want        accesstoken.Reason
		class       bool
	}{
		{accesstokentest.OAuthMetadataPath, jwt, accesstoken.IssuerUnavailable, true},
		{accesstokentest.JWKSPath, jwt, accesstoken.KeysUnavailable, true},
		{accesstokentest.IntrospectionPath, opaque, accesstoken.IntrospectionUnavailable, true},
	} {
		as.Handle(test.path, down)
		if test.path == accesstokentest.OAuthMetadataPath {
			as.Handle(accesstokentest.OpenIDMetadataPath, down)
		}
		v := newValidator(t, as, func(c *accesstoken.Config) { c.Issuers[0].Introspection = newIntrospection(t, as) })
		_, err := v.Validate(t.Context(), accesstoken.Bearer(test.token))
		refused := wantReason(t, err, test.want)
		if !errors.Is(err, accesstoken.Unavailable) || refused.HTTPStatus() != 503 || refused.Header().Get("WWW-Authenticate") != "" {
			t.Errorf("%s down: got %d %v; want 503 without a challenge, of the class Unavailable", test.path, refused.HTTPStatus(), refused.Header())
		}
		if got := refused.Header().Get("Retry-After"); got == "" || got == "0" {
			t.Errorf("%s down: got Retry-After %q; want at least 1", test.path, got)
		}
		as.Handle(test.path, nil)
		as.Handle(accesstokentest.OpenIDMetadataPath, nil)
	}
}

func TestOurOwnMistakesAre500(t *testing.T) {
	as := accesstokentest.NewServer(t)
	as.Handle(accesstokentest.IntrospectionPath, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) }))
	v := newValidator(t, as, func(c *accesstoken.Config) { c.Issuers[0].Introspection = newIntrospection(t, as) })
	_, err := v.Validate(t.Context(), accesstoken.Bearer("opaque"))
	refused := wantReason(t, err, accesstoken.ResourceServerMisconfigured)
	if errors.Is(err, accesstoken.Unavailable) || refused.HTTPStatus() != 500 {
		t.Errorf("got %d; want 500, not of the class Unavailable", refused.HTTPStatus())
	}

	other := newValidator(t, as, func(c *accesstoken.Config) {
		c.Issuers = []accesstoken.Issuer{{URL: as.URL + "/tenant", MetadataURL: as.URL + accesstokentest.OAuthMetadataPath}}
	})
	_, err = other.Validate(t.Context(), accesstoken.Bearer(as.Token(accesstokentest.Claims{"iss": as.URL + "/tenant"})))
	wantReason(t, err, accesstoken.ResourceServerMisconfigured)
}

func TestTheCallersOwnContextIsToldApart(t *testing.T) {
	as := accesstokentest.NewServer(t)
	as.Handle(accesstokentest.JWKSPath, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	v := newValidator(t, as, nil)
	for _, test := range []struct {
		name string
		end  func(context.Context) (context.Context, context.CancelFunc)
		is   error
		code uint32
	}{
		{"cancelled", func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(ctx)
			cancel()
			return ctx, cancel
		}, context.Canceled, 1},
		{"deadline", func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(ctx, 10*time.Millisecond)
		}, context.DeadlineExceeded, 4},
	} {
		t.Run(test.name, func(t *testing.T) {
			ctx, cancel := test.end(t.Context())
			defer cancel()
			_, err := v.Validate(ctx, accesstoken.Bearer(as.Token(nil)))
			refused := wantReason(t, err, "")
			if !errors.Is(err, test.is) || !errors.Is(err, accesstoken.Unavailable) {
				t.Errorf("got %v; want it to match %v and Unavailable", err, test.is)
			}
			if refused.HTTPStatus() != 503 || refused.GRPCCode() != test.code || refused.Header().Get("Retry-After") == "" {
				t.Errorf("got %d, %d, %v; want 503, %d and Retry-After", refused.HTTPStatus(), refused.GRPCCode(), refused.Header(), test.code)
			}
		})
	}
}

func TestOnRefuseHearsOfEachRefusalOnce(t *testing.T) {
	as := accesstokentest.NewServer(t)
	var heard []accesstoken.Reason
	v := newValidator(t, as, func(c *accesstoken.Config) {
		c.OnRefuse = func(_ context.Context, err *accesstoken.Error) { heard = append(heard, err.Reason) }
	})
	claims, err := v.Validate(t.Context(), accesstoken.Bearer(as.Token(nil)))
	if err != nil || len(heard) != 0 {
		t.Fatalf("got %v and %v heard; want a token accepted in silence", err, heard)
	}
	_, err = v.Validate(t.Context(), accesstoken.Bearer("junk"))
	v.Refuse(t.Context(), err) // as an adapter does with what Authorize returned
	err = v.Check(t.Context(), claims, accesstoken.Policy{Scopes: scopes.All("x")})
	v.Refuse(t.Context(), fmt.Errorf("handler: %w", err))
	v.Refuse(t.Context(), accesstoken.Deny("ACCOUNT_CLOSED", nil))
	v.Refuse(t.Context(), errors.New("somebody else's"))
	want := fmt.Sprint([]accesstoken.Reason{accesstoken.TokenMalformed, accesstoken.ScopeInsufficient, "ACCOUNT_CLOSED", accesstoken.InternalError})
	if got := fmt.Sprint(heard); got != want {
		t.Errorf("got %s; want %s", got, want)
	}
}

func TestForeignCodeThatPanicsRefuses(t *testing.T) {
	as := accesstokentest.NewServer(t)
	hook := newValidator(t, as, func(c *accesstoken.Config) {
		c.OnRefuse = func(context.Context, *accesstoken.Error) { panic("hook") }
	})
	_, err := hook.Validate(t.Context(), accesstoken.Bearer("junk"))
	wantReason(t, err, accesstoken.InternalError)
	if got := hook.Refuse(t.Context(), accesstoken.Deny("X_Y", nil)); got.Reason != accesstoken.InternalError || got.HTTPStatus() != 500 {
		t.Errorf("got %v; want an InternalError", got)
	}

	source := newValidator(t, as, func(c *accesstoken.Config) { c.Issuers[0].Keys = panicking{} })
	_, err = source.Validate(t.Context(), accesstoken.Bearer(as.Token(nil)))
	wantReason(t, err, accesstoken.InternalError)
	if err := source.Warm(t.Context()); err == nil || source.Ready() == nil {
		t.Error("Warm and Ready of a source that panics: got nil; want an error")
	}

	clock := newValidator(t, as, func(c *accesstoken.Config) { c.Now = func() time.Time { panic("clock") } })
	_, err = clock.Validate(t.Context(), accesstoken.Bearer(as.Token(nil)))
	wantReason(t, err, accesstoken.InternalError)
}

func TestWhatWasNeverMadeRefuses(t *testing.T) {
	var zero accesstoken.Validator
	_, err := zero.Validate(t.Context(), accesstoken.Bearer("a"))
	wantReason(t, err, accesstoken.ResourceServerMisconfigured)
	if err := zero.Close(); err != nil {
		t.Errorf("Close: got %v; want nil", err)
	}
	var none *accesstoken.Error
	if got := newStaticValidator(t).Refuse(t.Context(), none); got.HTTPStatus() != 500 || got.Error() == "" {
		t.Errorf("a nil *Error: got %v; want an InternalError", got)
	}
}

type panicking struct{}

func (panicking) Warm(context.Context) error { panic("warm") }
func (panicking) Ready() error               { panic("ready") }
func (panicking) Keys(context.Context, string, string) ([]crypto.PublicKey, uint64, error) {
	panic("key source")
}

func TestTheOperatorIsToldOnceAndOnlyOfGenuineTokens(t *testing.T) {
	as, stranger := accesstokentest.NewServer(t), accesstokentest.NewServer(t)
	var log bytes.Buffer
	v := newValidator(t, as, func(c *accesstoken.Config) {
		c.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	for _, token := range []string{
		stranger.Sign(map[string]any{"typ": "canary", "kid": as.KeyID("RS256")}, as.Claims(accesstokentest.Claims{"sub": "canary", "aud": "canary"})),
		stranger.Token(accesstokentest.Claims{"iss": "https://canary.example"}),
		"canary", "canary.canary.canary",
		as.Sign(map[string]any{"typ": "at+jwt", "kid": "canary"}, as.Claims(accesstokentest.Claims{"sub": "canary"})),
	} {
		if _, err := v.Validate(t.Context(), accesstoken.Bearer(token)); err == nil || strings.Contains(err.Error(), "canary") {
			t.Errorf("got %v; want a refusal that quotes nothing of the token", err)
		}
	}
	if strings.Contains(log.String(), "canary") {
		t.Errorf("unverified text reached the log:\n%s", log.String())
	}
	for range 3 {
		for _, token := range []string{
			as.Sign(map[string]any{"typ": "JWT"}, as.Claims(accesstokentest.Claims{"sub": "secret-sub"})),
			as.Token(accesstokentest.Claims{"aud": "urn:other\r\nforged=1", "sub": "secret-sub"}),
		} {
			_, err := v.Validate(t.Context(), accesstoken.Bearer(token))
			if err == nil {
				t.Fatal("got it accepted; want a refusal")
			}
		}
	}
	for _, want := range []string{
		"Relax{Typ: true}", "accesstoken.Zitadel", "urn:other", "set Audience",
		"see=docs/refusals.md#token_type_mismatch\n", "see=docs/refusals.md#audience_mismatch\n",
	} {
		warned := 0
		for line := range strings.Lines(log.String()) {
			if strings.Contains(line, "level=WARN") && strings.Contains(line, want) {
				warned++
			}
		}
		if warned != 1 {
			t.Errorf("got %d warnings with %q; want one:\n%s", warned, want, log.String())
		}
	}
	if refused := strings.Count(log.String(), "level=DEBUG"); refused != 5+6 {
		t.Errorf("got %d lines at Debug; want one for each refusal:\n%s", refused, log.String())
	}
	if strings.Contains(log.String(), "secret-sub") || strings.Contains(log.String(), "\r") {
		t.Errorf("got a claim, or a broken line, in the log:\n%s", log.String())
	}
}

func TestWarmReadyClose(t *testing.T) {
	as := accesstokentest.NewServer(t)
	v := newValidator(t, as, nil)
	if got := as.Requests(accesstokentest.JWKSPath) + as.Requests(accesstokentest.OAuthMetadataPath); got != 0 {
		t.Errorf("NewValidator made %d requests; want none", got)
	}
	if err := v.Warm(t.Context()); err != nil {
		t.Fatalf("Warm: %v", err)
	}
	if err := v.Ready(); err != nil {
		t.Errorf("Ready after Warm: got %v; want nil", err)
	}
	fetched := as.Requests(accesstokentest.JWKSPath)
	if _, err := v.Validate(t.Context(), accesstoken.Bearer(as.Token(nil))); err != nil || as.Requests(accesstokentest.JWKSPath) != fetched {
		t.Errorf("got %v and %d fetches; want the first token to need none after Warm", err, as.Requests(accesstokentest.JWKSPath)-fetched)
	}
	if err := v.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	_, err := v.Validate(t.Context(), accesstoken.Bearer(as.Token(nil)))
	wantReason(t, err, accesstoken.KeysUnavailable)
	if v.Ready() == nil {
		t.Error("Ready after Close: got nil; want an error")
	}
}

func TestWarmSaysWhatIsWrong(t *testing.T) {
	as := accesstokentest.NewServer(t)
	as.Handle(accesstokentest.JWKSPath, http.NotFoundHandler())
	v := newValidator(t, as, nil)
	if err := v.Warm(t.Context()); err == nil || !strings.Contains(err.Error(), as.URL) || v.Ready() == nil {
		t.Errorf("got %v, Ready %v; want both to name the issuer whose keys are missing", err, v.Ready())
	}
	introspected := newValidator(t, as, func(c *accesstoken.Config) { c.Issuers[0].Introspection = newIntrospection(t, as) })
	if err := introspected.Warm(t.Context()); err != nil || introspected.Ready() != nil {
		t.Errorf("got %v, Ready %v; want an issuer that can be asked to need no keys", err, introspected.Ready())
	}
}

func TestNoGoroutineOutlivesClose(t *testing.T) {
	as := accesstokentest.NewServer(t)
	config := accesstoken.Config{Resource: resource, Issuers: []accesstoken.Issuer{{URL: as.URL}}, HTTPClient: as.Client(), Logger: slog.New(slog.DiscardHandler)}
	for range 20 {
		v, err := accesstoken.NewValidator(config)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := v.Validate(t.Context(), accesstoken.Bearer(as.Token(nil))); err != nil {
			t.Fatal(err)
		}
		_, _ = v.Validate(t.Context(), accesstoken.Bearer(as.Sign(map[string]any{"typ": "at+jwt", "kid": "unknown"}, as.Claims(nil))))
		if err := v.Close(); err != nil {
			t.Fatal(err)
		}
	}
	stacks := make([]byte, 1<<20)
	stacks = stacks[:runtime.Stack(stacks, true)]
	for stack := range strings.SplitSeq(string(stacks), "\n\n") {
		if strings.Contains(stack, "accesstoken/jwks.") || strings.Contains(stack, "internal/fetch.") {
			t.Errorf("a goroutine outlived Close:\n%s", stack)
		}
	}
}

// What another Validator has accepted says nothing about what this one would: it may
// have other audiences, other issuers, and no FAPI2.
func TestCheckRefusesTheClaimsOfAnotherValidator(t *testing.T) {
	as := accesstokentest.NewServer(t)
	ours, theirs := newValidator(t, as, nil), newValidator(t, as, nil)
	token := as.Token(accesstokentest.Claims{"scope": "a"})
	policy := accesstoken.Policy{Scopes: scopes.All("a")}
	if err := ours.Check(t.Context(), good(t, ours, token), policy); err != nil {
		t.Errorf("its own: got %v; want nil", err)
	}
	wantReason(t, ours.Check(t.Context(), good(t, theirs, token), policy), accesstoken.ResourceServerMisconfigured)
	wantReason(t, ours.Check(t.Context(), accesstoken.Claims{Subject: "alice"}, policy), accesstoken.CredentialsMissing)
	claims, ok := accesstoken.FromContext(accesstokentest.NewContext(t.Context(), accesstokentest.Claims{"scope": "a"}))
	if err := ours.Check(t.Context(), claims, policy); err != nil || !ok {
		t.Errorf("those of accesstokentest.NewContext: got %v, %v; want nil", err, ok)
	}
	files, err := ours.ForResource(accesstoken.Resource{ID: "https://files.example"})
	if err != nil {
		t.Fatal(err)
	}
	if err := files.Check(t.Context(), claims, policy); err != nil { // for whatever resource
		t.Errorf("those of accesstokentest.NewContext, at another resource: got %v; want nil", err)
	}
	wantReason(t, ours.Check(t.Context(), claims, accesstoken.Policy{Scopes: scopes.All("b")}), accesstoken.ScopeInsufficient)
}

func TestAZeroValidatorSaysThatItWasNotMade(t *testing.T) {
	v := new(accesstoken.Validator)
	for name, err := range map[string]error{"Warm": v.Warm(t.Context()), "Ready": v.Ready()} {
		if err == nil || !strings.Contains(err.Error(), "not made by NewValidator") {
			t.Errorf("%s: got %v; want an error that says so", name, err)
		}
	}
	if err := v.Close(); err != nil {
		t.Errorf("Close: got %v; want nil", err)
	}
}
