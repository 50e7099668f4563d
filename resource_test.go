package accesstoken_test

import (
	"context"
	"crypto"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/MicahParks/jwkset"

	"github.com/accesstoken/accesstoken/dialect"
	"github.com/accesstoken/accesstoken/dpop"
	"github.com/accesstoken/accesstoken/jwks"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/accesstokentest"
	"github.com/accesstoken/accesstoken/middleware"
)

const files = "https://files.example.com"

// forFiles returns a Validator for a second resource server.
func forFiles(t *testing.T, v *accesstoken.Validator, change func(*accesstoken.Resource)) *accesstoken.Validator {
	t.Helper()
	r := accesstoken.Resource{ID: files}
	if change != nil {
		change(&r)
	}
	child, err := v.ForResource(r)
	if err != nil {
		t.Fatal(err)
	}
	return child
}

// Whichever Validator sees a token first, each decides for its own audience, and the keys
// are asked for once for each verification.
func TestOneTokenIsVerifiedOnceForTwoResources(t *testing.T) {
	as := accesstokentest.NewServer(t)
	for name, test := range map[string]struct {
		issuer            func(*accesstoken.Issuer)
		resource          func(*accesstoken.Resource)
		audience          any
		forOurs, forFiles bool
	}{
		"for both":                         {audience: []string{resource, files}, forOurs: true, forFiles: true},
		"for the first":                    {audience: resource, forOurs: true},
		"for the second":                   {audience: files, forFiles: true},
		"for neither":                      {audience: "urn:other"},
		"no aud":                           {},
		"no aud, which the issuer may do":  {issuer: func(i *accesstoken.Issuer) { i.DangerouslyAcceptNoAudience = true }, forOurs: true},
		"no aud, which the second accepts": {resource: func(r *accesstoken.Resource) { r.DangerouslyAcceptNoAudience = true }, forFiles: true},
		"an Audience of the issuer":        {issuer: func(i *accesstoken.Issuer) { i.Audience = []string{"urn:a"} }, audience: "urn:a", forOurs: true},
		"an audience of the issuer for the second": {
			issuer:   func(i *accesstoken.Issuer) { i.Audience = []string{"urn:a"} },
			resource: func(r *accesstoken.Resource) { r.IssuerAudience = map[string][]string{as.URL: {"urn:b"}} },
			audience: "urn:b", forFiles: true,
		},
		"the ID, if the issuer has an audience there": {
			resource: func(r *accesstoken.Resource) { r.IssuerAudience = map[string][]string{as.URL: {"urn:b"}} },
			audience: files,
		},
		"an Audience of the second": {resource: func(r *accesstoken.Resource) { r.Audience = []string{"urn:b"} }, audience: "urn:b", forFiles: true},
	} {
		for _, order := range [][]string{{"ours", "files"}, {"files", "ours"}, {"ours", "files", "ours", "files"}} {
			v := newValidator(t, as, func(c *accesstoken.Config) {
				if test.issuer != nil {
					test.issuer(&c.Issuers[0])
				}
			})
			validators := map[string]*accesstoken.Validator{"ours": v, "files": forFiles(t, v, test.resource)}
			token := as.Token(accesstokentest.Claims{"aud": test.audience})
			for _, which := range order {
				_, err := validators[which].Validate(t.Context(), accesstoken.Bearer(token))
				if want := which == "ours" && test.forOurs || which == "files" && test.forFiles; (err == nil) != want {
					t.Errorf("%s, in the order %q: %s: got %v; want it accepted: %v", name, order, which, err, want)
				}
				if err != nil {
					wantReason(t, err, accesstoken.AudienceMismatch)
				}
			}
		}
	}
}

// A Resource accepts tokens without aud only of issuers that could have the same setting.
func TestTheAudienceThatNoResourceCanWaive(t *testing.T) {
	as := accesstokentest.NewServer(t)
	keys := jwks.Static(as.Keys()...)
	jwt := map[string]any{"typ": "JWT"}
	keycloak := func(clients []string) accesstoken.Issuer {
		return accesstoken.Issuer{URL: as.URL, Keys: keys, Profile: accesstoken.Keycloak, Clients: clients}
	}
	own := func(clients []string) accesstoken.Issuer {
		return accesstoken.Issuer{URL: as.URL, Keys: keys, Clients: clients, Dialect: &dialect.Dialect{Name: "own", Types: []string{"jwt"}, Kind: []dialect.Mark{dialect.Has("custom")}}}
	}
	token := as.Sign(jwt, as.Claims(accesstokentest.Claims{"aud": nil, "typ": "Bearer", "azp": "web", "client_id": "web", "custom": "x"}))
	for name, test := range map[string]struct {
		issuer accesstoken.Issuer
		token  string
		want   bool
	}{
		"of RFC 9068":              {accesstoken.Issuer{URL: as.URL, Keys: keys}, as.Token(accesstokentest.Claims{"aud": nil}), true},
		"of a trust domain":        {trustDomain("example.org", as), svid(as, "spiffe://example.org/a", accesstokentest.Claims{"aud": nil}), false},
		"of Keycloak":              {keycloak(nil), token, false},
		"of Keycloak, its Clients": {keycloak([]string{"web"}), token, true},
		"of a Dialect":             {own(nil), token, false},
		"of a Dialect, Clients":    {own([]string{"web"}), token, true},
	} {
		v := newValidator(t, as, func(c *accesstoken.Config) { c.Issuers = []accesstoken.Issuer{test.issuer} })
		child := forFiles(t, v, func(r *accesstoken.Resource) { r.DangerouslyAcceptNoAudience = true })
		_, err := validateToken(t, child, test.token)
		if test.want && err != nil {
			t.Errorf("a token %s: got %v; want nil", name, err)
		}
		if !test.want {
			wantReason(t, err, accesstoken.AudienceMismatch)
		}
	}
}

// onceRight has the keys of a server for the first question, and then the keys of another
// under the same generation. So only a token that is cached stays good.
type onceRight struct {
	right, wrong accesstoken.KeySource
	asked        atomic.Int32
}

func (k *onceRight) Keys(ctx context.Context, kid, alg string) ([]crypto.PublicKey, uint64, error) {
	source := k.right
	if k.asked.Add(1) > 1 {
		source = k.wrong
	}
	keys, _, err := source.Keys(ctx, kid, alg)
	return keys, 1, err
}

// A token that the first Validator refuses for its audience is verified once all the
// same, if it is for the second.
func TestATokenForAnotherResourceIsKept(t *testing.T) {
	as, other := accesstokentest.NewServer(t), accesstokentest.NewServer(t)
	keysOf := func(as *accesstokentest.Server) accesstoken.KeySource {
		var bare []jwkset.JWK
		for _, key := range as.Keys() {
			marshal := key.Marshal()
			marshal.KID = "k"
			read, err := jwkset.NewJWKFromMarshal(marshal, jwkset.JWKMarshalOptions{}, jwkset.JWKValidateOptions{})
			if err != nil {
				t.Fatal(err)
			}
			bare = append(bare, read)
		}
		return jwks.Static(bare...)
	}
	v := newValidator(t, as, func(c *accesstoken.Config) {
		c.Issuers[0].HTTPClient, c.Issuers[0].Keys = nil, &onceRight{right: keysOf(as), wrong: keysOf(other)}
	})
	child := forFiles(t, v, nil)
	token := accesstoken.Bearer(as.Sign(map[string]any{"kid": "k", "typ": "at+jwt"}, as.Claims(accesstokentest.Claims{"aud": files})))
	_, err := v.Validate(t.Context(), token)
	wantReason(t, err, accesstoken.AudienceMismatch)
	if _, err := child.Validate(t.Context(), token); err != nil {
		t.Errorf("the second Validator: got %v; want the facts of the cache", err)
	}
}

func TestClaimsCountForTheResourceThatTheyAreFor(t *testing.T) {
	as := accesstokentest.NewServer(t)
	v := newValidator(t, as, nil)
	child := forFiles(t, v, nil)
	for audience, want := range map[string][2]accesstoken.Reason{
		resource: {"", accesstoken.AudienceMismatch},
		files:    {accesstoken.AudienceMismatch, ""},
	} {
		by := v
		if audience == files {
			by = child
		}
		claims, err := by.Validate(t.Context(), accesstoken.Bearer(as.Token(accesstokentest.Claims{"aud": audience})))
		if err != nil {
			t.Fatal(err)
		}
		for n, checked := range []*accesstoken.Validator{v, child} {
			err := checked.Check(t.Context(), claims, accesstoken.Policy{})
			if want[n] == "" && err != nil {
				t.Errorf("aud %s, Validator %d: got %v; want nil", audience, n, err)
			}
			if want[n] != "" {
				wantReason(t, err, want[n])
			}
		}
	}
}

// A JWT and the answer about it must both be for the resource, whichever resource the
// issuer was asked for first.
func TestTheAudienceOfAnAnswerIsCheckedForEachResource(t *testing.T) {
	as := accesstokentest.NewServer(t)
	for _, order := range [][2]int{{0, 1}, {1, 0}} {
		v := completing(t, as, nil)
		validators := []*accesstoken.Validator{v, forFiles(t, v, nil)}
		token := as.Token(accesstokentest.Claims{"aud": []string{resource, files}})
		as.Remember(token, accesstokentest.Claims{"aud": resource, "jti": nil})
		for _, n := range order {
			_, err := validators[n].Validate(t.Context(), accesstoken.Bearer(token))
			if n == 0 && err != nil {
				t.Errorf("order %v: the first: got %v; want nil", order, err)
			}
			if n == 1 {
				wantReason(t, err, accesstoken.AudienceMismatch)
			}
		}
	}
}

func TestChallengesNameTheRealmOfTheResource(t *testing.T) {
	v := newValidator(t, accesstokentest.NewServer(t), nil)
	for realm, change := range map[string]func(*accesstoken.Resource){
		files:   nil,
		"files": func(r *accesstoken.Resource) { r.Realm = "files" },
	} {
		w := httptest.NewRecorder()
		middleware.New(forFiles(t, v, change), nil).Wrap(http.NotFoundHandler()).ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
		if got := w.Header().Get("WWW-Authenticate"); got != `Bearer realm="`+realm+`"` {
			t.Errorf("got %s; want the realm %s", got, realm)
		}
	}
}

// A Wrap of one resource inside that of another checks the audience of its own.
func TestAWrapInsideThatOfAnotherResourceChecksItsOwnAudience(t *testing.T) {
	as := accesstokentest.NewServer(t)
	v := newValidator(t, as, nil)
	inner := middleware.New(forFiles(t, v, nil), nil).Wrap(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) }))
	handler := middleware.New(v, nil).Wrap(inner)
	for want, audience := range map[int]any{204: []string{resource, files}, 401: resource} {
		r, w := httptest.NewRequest("GET", "/", nil), httptest.NewRecorder()
		r.Header.Set("Authorization", "Bearer "+as.Token(accesstokentest.Claims{"aud": audience}))
		if handler.ServeHTTP(w, r); w.Code != want {
			t.Errorf("aud %v: got %d; want %d", audience, w.Code, want)
		}
	}
}

func TestAFamilySharesItsIssuersAndItsEnd(t *testing.T) {
	as, other := accesstokentest.NewServer(t), accesstokentest.NewServer(t)
	v := newValidator(t, as, func(c *accesstoken.Config) { c.Issuers = []accesstoken.Issuer{issuerOf(as)} })
	child := forFiles(t, v, nil)
	sibling := forFiles(t, child, func(r *accesstoken.Resource) { r.ID = "urn:sibling" })
	if err := child.SetIssuers(issuerOf(other)); err != nil {
		t.Fatal(err)
	}
	_, err := v.Validate(t.Context(), accesstoken.Bearer(as.Token(nil)))
	wantReason(t, err, accesstoken.IssuerUnknown)
	if _, err := v.Validate(t.Context(), accesstoken.Bearer(other.Token(nil))); err != nil {
		t.Errorf("the issuer that was set by the child: got %v; want nil", err)
	}
	if err := child.Close(); err != nil {
		t.Fatal(err)
	}
	_, err = child.Validate(t.Context(), accesstoken.Bearer(other.Token(accesstokentest.Claims{"aud": files})))
	wantReason(t, err, accesstoken.KeysUnavailable)
	if child.Ready() == nil || v.Ready() != nil {
		t.Errorf("got Ready %v and %v; want only the child closed", child.Ready(), v.Ready())
	}
	if _, err := sibling.Validate(t.Context(), accesstoken.Bearer(other.Token(accesstokentest.Claims{"aud": "urn:sibling"}))); err != nil {
		t.Errorf("the sibling: got %v; want nil", err)
	}
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
	_, err = sibling.Validate(t.Context(), accesstoken.Bearer(other.Token(accesstokentest.Claims{"aud": "urn:sibling"})))
	wantReason(t, err, accesstoken.KeysUnavailable)
	if _, err := sibling.ForResource(accesstoken.Resource{ID: "urn:more"}); err == nil {
		t.Error("ForResource after Close: got no error; want one")
	}
}

func TestFaultsOfAResource(t *testing.T) {
	v := newValidator(t, accesstokentest.NewServer(t), nil)
	withField := newValidator(t, accesstokentest.NewServer(t), func(c *accesstoken.Config) { c.TokenField = "X-Token" })
	for name, test := range map[string]struct {
		v    *accesstoken.Validator
		r    accesstoken.Resource
		want []string
	}{
		"nothing":             {v, accesstoken.Resource{}, []string{"Resource.ID is empty"}},
		"a realm":             {v, accesstoken.Resource{ID: "é"}, []string{"is not printable ASCII"}},
		"an empty audience":   {v, accesstoken.Resource{ID: "r", Audience: []string{}}, []string{"Resource.Audience"}},
		"two faults":          {v, accesstoken.Resource{ID: "r", Audience: []string{""}, IssuerAudience: map[string][]string{"a": nil}}, []string{"Resource.Audience", "is nil"}},
		"DPoP and TokenField": {withField, accesstoken.Resource{ID: "r", DPoP: verifierFor(t, "ES256")}, []string{"Config.TokenField exclude"}},
		"no Validator":        {new(accesstoken.Validator), accesstoken.Resource{ID: "r"}, []string{"not made by NewValidator"}},
	} {
		_, err := test.v.ForResource(test.r)
		if err == nil {
			t.Errorf("%s: got no error; want %q", name, test.want)
			continue
		}
		lines := strings.Split(err.Error(), "\n")
		for _, want := range test.want {
			if len(lines) != len(test.want) || !slices.ContainsFunc(lines, func(line string) bool { return strings.Contains(line, want) }) {
				t.Errorf("%s: got %q; want lines that say %q", name, lines, test.want)
			}
		}
	}
}

// FAPI 2.0 demands as much of each resource server.
func TestFAPI2HoldsForEachResource(t *testing.T) {
	v, err := accesstoken.NewValidator(accesstoken.Config{Resource: resource, FAPI2: true, Issuers: []accesstoken.Issuer{{URL: "https://a.example", MaxLifetime: time.Minute}}})
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	for name, r := range map[string]accesstoken.Resource{
		"tokens without aud":   {ID: files, DangerouslyAcceptNoAudience: true},
		"proofs signed by RSA": {ID: files, DPoP: verifierFor(t, "RS256")},
	} {
		if _, err := v.ForResource(r); err == nil || !strings.Contains(err.Error(), "FAPI2") {
			t.Errorf("%s: got %v; want a fault of FAPI2", name, err)
		}
	}
	child := forFiles(t, v, nil)
	_ = child.Close()
}

// A proof that was accepted for this very request counts for a relative with the same
// verifier, and for no other Validator. It is never enough that claims are in the context.
func TestWhereTheProofOfARequestCounts(t *testing.T) {
	as, client := accesstokentest.NewServer(t), newHolder(t)
	verifier := newVerifier(t)
	withDPoP := func(c *accesstoken.Config) { c.DPoP = verifier }
	v, stranger := newValidator(t, as, withDPoP), newValidator(t, as, withDPoP)
	demanding, err := dpop.NewVerifier(dpop.Config{URLs: []string{resource}, NonceKey: make([]byte, 32)})
	if err != nil {
		t.Fatal(err)
	}
	both := func(r *accesstoken.Resource) { r.ID = "urn:child"; r.Audience = []string{resource} }
	child := forFiles(t, v, both)
	strict := forFiles(t, v, func(r *accesstoken.Resource) { both(r); r.DPoP = demanding })
	token := as.Token(accesstokentest.Claims{"cnf": client.cnf(true, false)})
	for name, test := range map[string]struct {
		outer, inner *accesstoken.Validator
		want         int
	}{
		"a relative with the same verifier": {v, child, 204},
		"a relative that demands a nonce":   {v, strict, 401},
		"a Validator of another family":     {v, stranger, 401},
	} {
		handler := middleware.New(test.outer, nil).Wrap(middleware.New(test.inner, nil).Wrap(
			http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) })))
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, sending{dpop: true, proof: "right"}.request(t, token, client, client))
		if w.Code != test.want {
			t.Errorf("%s: got %d, %s; want %d", name, w.Code, w.Header().Values("WWW-Authenticate"), test.want)
		}
	}
	claims, err := v.Validate(t.Context(), accesstoken.CredentialsOf(sending{dpop: true, proof: "right"}.request(t, token, client, client)))
	if err != nil {
		t.Fatal(err)
	}
	_, err = v.Validate(accesstoken.NewContext(t.Context(), claims), accesstoken.CredentialsOf(sending{dpop: true, proof: "right"}.request(t, token, client, client)))
	if err != nil {
		t.Errorf("with claims of NewContext, and a proof: got %v; want nil", err)
	}
	_, err = v.Validate(accesstoken.NewContext(t.Context(), claims), accesstoken.CredentialsOf(sending{dpop: true, proof: "wrong"}.request(t, token, client, newHolder(t))))
	wantReason(t, err, accesstoken.BindingMismatch)
}

// A token that is refused for its audience is cached only if another resource server of
// the program would accept it. Anyone who has a token for another API could otherwise fill
// the cache. If the token was cached, its signature is not verified again: it still fails
// by its audience after the key was replaced unannounced.
func TestATokenForNoneOfTheResourcesIsNotCached(t *testing.T) {
	as, stranger := accesstokentest.NewServer(t), accesstokentest.NewServer(t)
	for name, test := range map[string]struct {
		audience  string
		resources bool
		want      accesstoken.Reason // after the key was replaced
	}{
		"for another API":                       {"urn:other", false, accesstoken.SignatureInvalid},
		"for another API, with two resources":   {"urn:other", true, accesstoken.SignatureInvalid},
		"for the second resource":               {files, true, accesstoken.AudienceMismatch},
		"for what would be the second resource": {files, false, accesstoken.SignatureInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			source := as
			v := trusting(t, as, func() ([]crypto.PublicKey, uint64, error) {
				return jwks.Static(source.Keys()...).Keys(t.Context(), source.KeyID("RS256"), "RS256")
			})
			if test.resources {
				defer forFiles(t, v, nil).Close()
			}
			token := accesstoken.Bearer(as.Token(accesstokentest.Claims{"aud": test.audience}))
			_, err := v.Validate(t.Context(), token)
			wantReason(t, err, accesstoken.AudienceMismatch)
			source = stranger
			_, err = v.Validate(t.Context(), token)
			wantReason(t, err, test.want)
		})
	}
}
