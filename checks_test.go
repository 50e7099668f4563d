package accesstoken_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/accesstokentest"
	"github.com/accesstoken/accesstoken/jwks"
	"github.com/accesstoken/accesstoken/scopes"
)

func TestCredentialsAreEqualWhenTokenAndProblemAre(t *testing.T) {
	header := func(lines ...string) accesstoken.Credentials {
		return accesstoken.CredentialsFrom(http.Header{"Authorization": lines})
	}
	for _, test := range []struct {
		name        string
		one, two    accesstoken.Credentials
		wantedEqual bool
	}{
		{"the same token", header("Bearer a"), accesstoken.Bearer("a"), true},
		{"other tokens", header("Bearer a"), header("Bearer b"), false},
		{"the same problem", header("Basic a"), header("Basic b"), true},
		{"other problems, neither with a token", header("Basic a"), header("Bearer a", "Bearer a"), false},
		{"none and malformed", header(), header("Bearer"), false},
		{"none, and a token spelt like the reason", header(), accesstoken.Bearer("CREDENTIALS_MISSING"), false},
	} {
		if got := test.one.Equal(test.two); got != test.wantedEqual {
			t.Errorf("%s: got %v; want %v", test.name, got, test.wantedEqual)
		}
	}
	if accesstoken.Bearer("CREDENTIALS_MISSING").Missing() {
		t.Error("a token spelt like the reason is missing; want it to be a token")
	}
}

func TestWhatAProfileDemandsInReturn(t *testing.T) {
	as := accesstokentest.NewServer(t)
	zitadel := func(change accesstokentest.Claims) string {
		return as.Sign(map[string]any{"typ": "JWT"}, as.Claims(change))
	}
	for _, test := range []struct {
		name   string
		issuer accesstoken.Issuer
		token  string
		want   accesstoken.Reason
	}{
		{"a mark of another kind under the strict profile, whose typ says enough", accesstoken.Issuer{}, as.Token(accesstokentest.Claims{"nonce": "n"}), ""},
		{"the same where jti is relaxed", accesstoken.Issuer{Relax: accesstoken.Relax{JTI: true}}, as.Token(accesstokentest.Claims{"nonce": "n"}), accesstoken.TokenTypeMismatch},
		{"jti is relaxed, client_id is not", accesstoken.Issuer{Relax: accesstoken.Relax{JTI: true}}, as.Token(accesstokentest.Claims{"client_id": nil}), accesstoken.ClaimInvalid},
		{"client_id is relaxed, jti is not", accesstoken.Issuer{Relax: accesstoken.Relax{ClientID: true}}, as.Token(accesstokentest.Claims{"jti": nil}), accesstoken.ClaimInvalid},
		{"a scope that is empty", accesstoken.Issuer{Relax: accesstoken.Relax{ScopeArray: true}}, as.Token(accesstokentest.Claims{"scope": []string{"a", ""}}), accesstoken.ClaimInvalid},
		{"no aud is not one of the client only", accesstoken.Issuer{Profile: accesstoken.Zitadel}, zitadel(accesstokentest.Claims{"aud": nil}), accesstoken.AudienceMismatch},
		{"no aud, accepted", accesstoken.Issuer{Profile: accesstoken.Zitadel, DangerouslyAcceptNoAudience: true}, zitadel(accesstokentest.Claims{"aud": nil}), ""},
		{"aud is the client and us", accesstoken.Issuer{Profile: accesstoken.Zitadel}, zitadel(accesstokentest.Claims{"client_id": "c", "aud": []string{"c", resource}}), ""},
		{"aud is the client and an empty text", accesstoken.Issuer{Profile: accesstoken.Zitadel, Audience: []string{"c"}}, zitadel(accesstokentest.Claims{"client_id": "c", "aud": []string{"", "c"}}), accesstoken.TokenTypeMismatch},
		{"aud is an empty text and us, and there is no azp", accesstoken.Issuer{Profile: accesstoken.Auth0}, zitadel(accesstokentest.Claims{"aud": []string{"", resource}}), ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.issuer.URL = as.URL
			v := newValidator(t, as, func(c *accesstoken.Config) { c.Issuers = []accesstoken.Issuer{test.issuer} })
			validate(t, v, test.token, test.want)
		})
	}
}

// A keyFunc is a key source that answers every question alike.
type keyFunc func() ([]crypto.PublicKey, uint64, error)

func (f keyFunc) Keys(context.Context, string, string) ([]crypto.PublicKey, uint64, error) {
	return f()
}

// trusting makes a validator with the key source.
func trusting(t *testing.T, as *accesstokentest.Server, source keyFunc) *accesstoken.Validator {
	t.Helper()
	return newValidator(t, as, func(c *accesstoken.Config) { c.Issuers[0].Keys = source })
}

func TestAKeySourceIsNotTakenAtItsWord(t *testing.T) {
	as := accesstokentest.NewServer(t)
	right, generation, err := jwks.Static(as.Keys()...).Keys(t.Context(), as.KeyID("RS256"), "RS256")
	if err != nil || len(right) != 1 {
		t.Fatalf("got %v, %v; want the key of the server", right, err)
	}
	wrong, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	w, e := crypto.PublicKey(&wrong.PublicKey), crypto.PublicKey(&ec.PublicKey)
	for _, test := range []struct {
		name string
		keys []crypto.PublicKey
		want accesstoken.Reason
	}{
		{"the right key", right, ""},
		{"the right key, fourth", []crypto.PublicKey{w, w, w, right[0]}, ""},
		{"the right key, fifth: four are tried", []crypto.PublicKey{w, w, w, w, right[0]}, accesstoken.SignatureInvalid},
		{"a key of another type first", []crypto.PublicKey{e, right[0]}, ""},
		{"a key of another type only", []crypto.PublicKey{e}, accesstoken.AlgorithmNotAllowed},
		{"another key", []crypto.PublicKey{w}, accesstoken.SignatureInvalid},
		{"no key", nil, accesstoken.KeyNotFound},
	} {
		t.Run(test.name, func(t *testing.T) {
			v := trusting(t, as, func() ([]crypto.PublicKey, uint64, error) { return test.keys, generation, nil })
			validate(t, v, as.Token(nil), test.want)
		})
	}
}

func TestAKeySourceMayRefuseInItsOwnWords(t *testing.T) {
	as := accesstokentest.NewServer(t)
	v := trusting(t, as, func() ([]crypto.PublicKey, uint64, error) { return nil, 0, accesstoken.Deny("LICENCE_ENDED", nil) })
	_, err := v.Validate(t.Context(), accesstoken.Bearer(as.Token(nil)))
	wantReason(t, err, "LICENCE_ENDED")
}

func TestALeewayOfFiveMinutesIsTheLargestAndNoneIsTheSmallest(t *testing.T) {
	as := accesstokentest.NewServer(t)
	ended := as.Token(accesstokentest.Claims{"exp": time.Now().Add(-time.Minute).Unix(), "iat": time.Now().Add(-time.Hour).Unix()})
	for leeway, want := range map[time.Duration]accesstoken.Reason{5 * time.Minute: "", 0: accesstoken.TokenExpired, -1: accesstoken.TokenExpired} {
		validate(t, newValidator(t, as, func(c *accesstoken.Config) { c.Leeway = leeway }), ended, want)
	}
	// A negative leeway is none, not an earlier end.
	validate(t, newValidator(t, as, func(c *accesstoken.Config) { c.Leeway = -2 * time.Hour }), as.Token(nil), "")
}

func TestCheckTellsTheFirstFault(t *testing.T) {
	as := accesstokentest.NewServer(t)
	v := newValidator(t, as, nil)
	claims, err := v.Validate(t.Context(), accesstoken.Bearer(as.Token(accesstokentest.Claims{"scope": "read"})))
	if err != nil {
		t.Fatal(err)
	}
	fresh := accesstoken.Policy{FreshIntrospection: true, Scopes: scopes.All("write")}
	wantReason(t, v.Check(t.Context(), claims, fresh), accesstoken.ScopeInsufficient)
	fresh.Scopes = scopes.All("read")
	wantReason(t, v.Check(t.Context(), claims, fresh), accesstoken.ResourceServerMisconfigured)
}

func TestARefusalOfAForeignErrorKeepsItForTheLog(t *testing.T) {
	v := newValidator(t, accesstokentest.NewServer(t), nil)
	cause := errors.New("the disk is full")
	refused := v.Refuse(t.Context(), cause)
	if wantReason(t, refused, accesstoken.InternalError); !errors.Is(refused, cause) {
		t.Errorf("got %v; want the cause in it", refused)
	}
	if text := v.Refuse(t.Context(), (*accesstoken.Error)(nil)).Error(); text == "" {
		t.Error("got no text for a nil *Error; want one")
	}
}

func TestAnIssuerThatIsAlwaysAskedNeedsItsKeysAllTheSame(t *testing.T) {
	as := accesstokentest.NewServer(t)
	as.Handle(accesstokentest.JWKSPath, http.NotFoundHandler())
	v := newValidator(t, as, func(c *accesstoken.Config) {
		c.Issuers[0].Introspection, c.Issuers[0].AlwaysIntrospect = introspecting(t, as, nil), true
	})
	if err := v.Warm(t.Context()); err == nil {
		t.Error("Warm: got nil; want an error, its keys cannot be had")
	}
	if err := v.Ready(); err == nil {
		t.Error("Ready: got nil; want an error, its keys are missing")
	}
}

// A busy source knows when to ask again.
type busy struct{ error }

func (busy) RetryAfter() time.Duration { return 42 * time.Second }

func TestARefusalPassesOnWhenToAskAgain(t *testing.T) {
	as := accesstokentest.NewServer(t)
	for _, test := range []struct {
		err  error
		want time.Duration
	}{
		{busy{errors.New("too many questions")}, 30 * time.Second},
		{fmt.Errorf("asked in vain: %w", busy{errors.New("too many questions")}), 30 * time.Second},
	} {
		v := trusting(t, as, func() ([]crypto.PublicKey, uint64, error) { return nil, 0, test.err })
		_, err := v.Validate(t.Context(), accesstoken.Bearer(as.Token(nil)))
		if got := wantReason(t, err, accesstoken.KeysUnavailable).RetryAfter(); got != test.want {
			t.Errorf("%v: got %v; want %v", test.err, got, test.want)
		}
	}
}

func TestAnOpaqueTokenIsAskedAboutOnce(t *testing.T) {
	as := accesstokentest.NewServer(t)
	v := newValidator(t, as, func(c *accesstoken.Config) {
		c.Issuers[0].Introspection, c.Issuers[0].AlwaysIntrospect = introspecting(t, as, nil), true
	})
	validate(t, v, as.Opaque(nil), "")
	if got := as.Requests(accesstokentest.IntrospectionPath); got != 1 {
		t.Errorf("got %d introspections; want 1, AlwaysIntrospect is about JWTs", got)
	}
}

func TestSettingsThatExcludeEachOtherAreFoundWhereTheyAre(t *testing.T) {
	source := keyFunc(func() ([]crypto.PublicKey, uint64, error) { return nil, 0, nil })
	for _, test := range []struct {
		name   string
		config accesstoken.Config
		want   string
	}{
		{"public addresses, and a client, with a key source of one's own", accesstoken.Config{
			Resource: resource, PublicAddressesOnly: true, HTTPClient: http.DefaultClient,
			Issuers: []accesstoken.Issuer{{URL: "https://a.example", Keys: source}},
		}, "PublicAddressesOnly and HTTPClient exclude each other"},
		{"keys and metadata", accesstoken.Config{
			Resource: resource,
			Issuers:  []accesstoken.Issuer{{URL: "https://a.example", JWKSURI: "https://a.example/jwks", MetadataURL: "https://a.example/metadata"}},
		}, "JWKSURI is set, so MetadataURL would not be read"},
	} {
		if _, err := accesstoken.NewValidator(test.config); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v; want %q in it", test.name, err, test.want)
		}
	}
}

func TestAClosedValidatorRefusesWhoeverOwnsTheKeys(t *testing.T) {
	as := accesstokentest.NewServer(t)
	v := newValidator(t, as, func(c *accesstoken.Config) {
		c.Issuers[0].Keys, c.Issuers[0].Introspection = jwks.Static(as.Keys()...), introspecting(t, as, nil)
	})
	jwt, opaque := as.Token(nil), as.Opaque(nil)
	validate(t, v, jwt, "")
	validate(t, v, opaque, "")
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
	validate(t, v, jwt, accesstoken.KeysUnavailable)
	validate(t, v, opaque, accesstoken.KeysUnavailable)
}

func TestATokenThatWasVerifiedIsNotVerifiedAgain(t *testing.T) {
	as := accesstokentest.NewServer(t)
	asked := 0
	keys, _, err := jwks.Static(as.Keys()...).Keys(t.Context(), as.KeyID("RS256"), "RS256")
	if err != nil {
		t.Fatal(err)
	}
	v := trusting(t, as, func() ([]crypto.PublicKey, uint64, error) { asked++; return keys, 1, nil })
	token := as.Token(nil)
	for request := 1; request <= 3; request++ {
		if validate(t, v, token, ""); asked != request {
			t.Fatalf("request %d: the source was asked %d times; want once for each request, whether its key still holds", request, asked)
		}
	}
}

func TestAJoinedPolicyDemandsWhatEitherDoes(t *testing.T) {
	for name, demanding := range map[string]accesstoken.Policy{
		"FreshIntrospection": {FreshIntrospection: true},
		"SenderConstrained":  {SenderConstrained: true},
		"SPIFFEIDs":          {SPIFFEIDs: []string{"spiffe://example.org/a"}},
	} {
		for order, joined := range map[string]accesstoken.Policy{
			"first":  demanding.And(accesstoken.Policy{}),
			"second": accesstoken.Policy{}.And(demanding),
		} {
			if joined.FreshIntrospection != demanding.FreshIntrospection || joined.SenderConstrained != demanding.SenderConstrained || !slices.Equal(joined.SPIFFEIDs, demanding.SPIFFEIDs) {
				t.Errorf("%s, %s: got %+v; want %+v", name, order, joined, demanding)
			}
		}
	}
}

// A lateSource has one set of keys, and says something when it is asked for newer ones.
type lateSource struct {
	keyFunc
	after func(ctx context.Context) ([]crypto.PublicKey, uint64, error)
}

func (s lateSource) KeysAfter(ctx context.Context, _, _ string, _ uint64) ([]crypto.PublicKey, uint64, error) {
	return s.after(ctx)
}

func TestNewerKeysAreNotTakenAtTheirSourcesWord(t *testing.T) {
	as := accesstokentest.NewServer(t)
	right, generation, err := jwks.Static(as.Keys()...).Keys(t.Context(), as.KeyID("RS256"), "RS256")
	if err != nil || len(right) != 1 {
		t.Fatalf("got %v, %v; want the key of the server", right, err)
	}
	other, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	wrong := []crypto.PublicKey{&other.PublicKey}
	for _, test := range []struct {
		name string
		keys []crypto.PublicKey
		err  error
		want accesstoken.Reason
	}{
		{"the right key", right, nil, ""},
		{"the right key beside an error", right, errors.New("not so sure"), accesstoken.KeysUnavailable},
		{"an error", nil, errors.New("down"), accesstoken.KeysUnavailable},
		{"no key", nil, nil, accesstoken.SignatureInvalid},
		{"the key that was tried", wrong, nil, accesstoken.SignatureInvalid},
	} {
		t.Run(test.name, func(t *testing.T) {
			v := newValidator(t, as, func(c *accesstoken.Config) {
				c.Issuers[0].Keys = lateSource{
					func() ([]crypto.PublicKey, uint64, error) { return wrong, generation, nil },
					func(context.Context) ([]crypto.PublicKey, uint64, error) { return test.keys, generation + 1, test.err },
				}
			})
			validate(t, v, as.Token(nil), test.want)
		})
	}
}

// A caller that leaves while newer keys are fetched has not heard that the signature is
// wrong.
func TestACallerThatLeavesBeforeNewerKeysAreThereIsToldSo(t *testing.T) {
	as := accesstokentest.NewServer(t)
	other, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	ctx, leave := context.WithCancel(t.Context())
	v := newValidator(t, as, func(c *accesstoken.Config) {
		c.Issuers[0].Keys = lateSource{
			func() ([]crypto.PublicKey, uint64, error) { return []crypto.PublicKey{&other.PublicKey}, 1, nil },
			func(ctx context.Context) ([]crypto.PublicKey, uint64, error) {
				leave()
				<-ctx.Done()
				return nil, 0, ctx.Err()
			},
		}
	})
	_, err = v.Validate(ctx, accesstoken.Bearer(as.Token(nil)))
	if !errors.Is(err, context.Canceled) || errors.Is(err, accesstoken.SignatureInvalid) {
		t.Errorf("got %v; want the end of the caller's own context", err)
	}
}

// Without the request there is no telling which one brought them.
func TestCredentialsOfARequestAreNotEqualToThoseOfNone(t *testing.T) {
	header := http.Header{"Authorization": {"Bearer token"}}
	alone, whole := accesstoken.CredentialsFrom(header), accesstoken.CredentialsOf(&http.Request{Header: header})
	if alone.Equal(whole) || whole.Equal(alone) || !alone.Equal(alone) || !whole.Equal(whole) {
		t.Error("got credentials that are equal with and without a request, or are not equal to themselves")
	}
}

// A proof may be used once, by one request: one that has the same texts is another.
func TestCredentialsOfAnotherRequestAreNotEqual(t *testing.T) {
	line, proof := "DPoP token", "proof.proof"
	request := func(change func(*http.Request)) accesstoken.Credentials {
		r := &http.Request{Method: "GET", Proto: "HTTP/1.1", RequestURI: "/a", Header: http.Header{"Authorization": {line}, "Dpop": {proof}}}
		change(r)
		return accesstoken.CredentialsOf(r)
	}
	whole := request(func(*http.Request) {})
	for _, test := range []struct {
		name   string
		change func(*http.Request)
		want   bool
	}{
		{"the same", func(*http.Request) {}, true},
		{"the same path, with a query", func(r *http.Request) { r.RequestURI = "/a?b" }, true},
		{"another path", func(r *http.Request) { r.RequestURI = "/b" }, false},
		{"another method", func(r *http.Request) { r.Method = "PUT" }, false},
		{"another version", func(r *http.Request) { r.Proto = "HTTP/2.0" }, false},
		{"an equal token", func(r *http.Request) { r.Header["Authorization"] = []string{strings.Clone(line)} }, false},
		{"an equal proof", func(r *http.Request) { r.Header["Dpop"] = []string{strings.Clone(proof)} }, false},
		{"a part of the proof", func(r *http.Request) { r.Header["Dpop"] = []string{proof[:5]} }, false},
		{"the proof twice", func(r *http.Request) { r.Header["Dpop"] = []string{proof, proof} }, false},
		{"no proof", func(r *http.Request) { delete(r.Header, "Dpop") }, false},
	} {
		if got := request(test.change).Equal(whole); got != test.want {
			t.Errorf("%s: got %v; want %v", test.name, got, test.want)
		}
	}
}

// Drivers have errors of their own for a context that has ended.
func TestAcceptThatFailsAfterTheCallerHasLeftIsNoFaultOfOurs(t *testing.T) {
	as := accesstokentest.NewServer(t)
	ctx, leave := context.WithCancel(t.Context())
	v := newValidator(t, as, func(c *accesstoken.Config) {
		c.Issuers[0].Accept = func(context.Context, accesstoken.Claims) error {
			leave()
			return errors.New("the query was cancelled")
		}
	})
	_, err := v.Validate(ctx, accesstoken.Bearer(as.Token(nil)))
	if !errors.Is(err, context.Canceled) || errors.Is(err, accesstoken.InternalError) {
		t.Errorf("got %v; want the end of the caller's own context", err)
	}
}
