package accesstoken_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/accesstokentest"
	"github.com/accesstoken/accesstoken/jwks"
	"github.com/accesstoken/accesstoken/scopes"
)

// decisions writes down what OnDecide and OnRefuse are told, in order.
type decisions struct {
	mu   sync.Mutex
	told []string
}

func (d *decisions) onDecide(_ context.Context, one accesstoken.Decision) {
	d.add("%q by %q of %q over %q, %s, ended %t", one.Claims.Subject, one.Source, one.Issuer, one.Transport, endOf(one.Err), one.Ended)
}

func (d *decisions) onRefuse(_ context.Context, err *accesstoken.Error) {
	d.add("refused: %s", err.Reason)
}

func (d *decisions) add(format string, args ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.told = append(d.told, fmt.Sprintf(format, args...))
}

func endOf(err *accesstoken.Error) string {
	if err == nil {
		return "accepted"
	}
	return string(err.Reason)
}

// want compares what was told since the last call.
func (d *decisions) want(t *testing.T, want ...string) {
	t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	if fmt.Sprintf("%q", d.told) != fmt.Sprintf("%q", want) {
		t.Errorf("got\n\t%q; want\n\t%q", d.told, want)
	}
	d.told = nil
}

func TestEachDecisionIsToldOnce(t *testing.T) {
	as, asking := accesstokentest.NewServer(t), accesstokentest.NewServer(t)
	now, told := new(clock), new(decisions)
	v := newValidator(t, as, func(c *accesstoken.Config) {
		c.Now, c.OnDecide, c.OnRefuse = now.Now, told.onDecide, told.onRefuse
		c.Issuers[0].Name, c.Issuers[0].Introspection = "staff", introspecting(t, as, nil)
		c.Issuers[0].TokenPrefix = "staff-"
		c.Issuers = append(c.Issuers, accesstoken.Issuer{
			URL: asking.URL, Name: "asking", Keys: jwks.Static(asking.Keys()...), TokenPrefix: "asking-",
			Introspection: introspecting(t, asking, nil), AlwaysIntrospect: true,
			Accept: func(_ context.Context, claims accesstoken.Claims) error {
				if claims.Subject == "mallory" {
					return accesstoken.ClaimInvalid
				}
				return nil
			},
		})
		c.Authenticate = ownCaller
	})
	token := as.Token(accesstokentest.Claims{"scope": "a"})
	authorize := func(token, scope string) accesstoken.Claims {
		claims, _ := v.Authorize(t.Context(), accesstoken.Bearer(token), accesstoken.Policy{Scopes: scopes.All(scope)})
		return claims
	}
	claims := authorize(token, "a")
	told.want(t, `"alice" by "signature" of "staff" over "", accepted, ended false`)
	authorize(token, "a")
	told.want(t, `"alice" by "cache" of "staff" over "", accepted, ended false`)
	authorize(token, "b")
	told.want(t, `"alice" by "cache" of "staff" over "", SCOPE_INSUFFICIENT, ended false`, "refused: SCOPE_INSUFFICIENT")
	as.Remember("staff-1", accesstokentest.Claims{"scope": "a"})
	authorize("staff-1", "a")
	told.want(t, `"alice" by "introspection" of "staff" over "", accepted, ended false`)
	authorize("staff-2", "a")
	told.want(t, `"" by "" of "staff" over "", TOKEN_INACTIVE, ended false`, "refused: TOKEN_INACTIVE")
	authorize("one two", "a")
	told.want(t, `"" by "" of "" over "", CREDENTIALS_MALFORMED, ended false`, "refused: CREDENTIALS_MALFORMED")
	authorize(as.Token(accesstokentest.Claims{"iss": "https://other.example"}), "a")
	told.want(t, `"" by "" of "" over "", ISSUER_UNKNOWN, ended false`, "refused: ISSUER_UNKNOWN")
	authorize(token[:len(token)-4]+"AAAA", "a")
	told.want(t, `"" by "" of "staff" over "", SIGNATURE_INVALID, ended false`, "refused: SIGNATURE_INVALID")
	authorize(as.Token(accesstokentest.Claims{"aud": "urn:other"}), "a")
	told.want(t, `"" by "signature" of "staff" over "", AUDIENCE_MISMATCH, ended false`, "refused: AUDIENCE_MISMATCH")
	authorize(as.Token(accesstokentest.Claims{"sub": accesstokentest.Null}), "a")
	told.want(t, `"" by "signature" of "staff" over "", CLAIM_INVALID, ended false`, "refused: CLAIM_INVALID")

	for _, sub := range []string{"bob", "mallory"} {
		completed := asking.Token(accesstokentest.Claims{"sub": sub, "scope": "a"})
		asking.Remember(completed, accesstokentest.Claims{"sub": sub, "scope": "a"})
		authorize(completed, "a")
	}
	told.want(t, `"bob" by "introspection" of "asking" over "", accepted, ended false`,
		`"mallory" by "introspection" of "asking" over "", CLAIM_INVALID, ended false`, "refused: CLAIM_INVALID")

	_ = v.Check(t.Context(), claims, accesstoken.Policy{})
	_ = v.Check(t.Context(), claims, accesstoken.Policy{Scopes: scopes.All("b")})
	told.want(t, `"alice" by "check" of "staff" over "", accepted, ended false`,
		`"alice" by "check" of "staff" over "", SCOPE_INSUFFICIENT, ended false`, "refused: SCOPE_INSUFFICIENT")
	refused := v.Refuse(accesstoken.NewContext(t.Context(), claims), accesstoken.Deny("CLOSED", nil))
	told.want(t, `"alice" by "check" of "staff" over "", CLOSED, ended false`, "refused: CLOSED")
	v.Refuse(t.Context(), refused)
	told.want(t)
	v.Refuse(t.Context(), errors.New("unknown"))
	told.want(t, `"" by "" of "" over "", INTERNAL_ERROR, ended false`, "refused: INTERNAL_ERROR")

	r := httptest.NewRequest("GET", "/", nil)
	r.Header.Set("X-Api-Key", "key-1")
	vouched, err := v.Authorize(t.Context(), v.CredentialsOf(r), accesstoken.Policy{})
	_ = v.Check(t.Context(), vouched, accesstoken.Policy{})
	told.want(t, `"svc-1" by "vouched" of "" over "", accepted, ended false`, `"svc-1" by "check" of "" over "", accepted, ended false`)
	if err != nil {
		t.Error(err)
	}

	now.Advance(time.Hour)
	authorize(token, "a")
	told.want(t, `"" by "cache" of "staff" over "", TOKEN_EXPIRED, ended false`, "refused: TOKEN_EXPIRED")
	_ = v.Close()
	authorize(token, "a")
	told.want(t, `"" by "" of "" over "", KEYS_UNAVAILABLE, ended false`, "refused: KEYS_UNAVAILABLE")
}

// ownCaller vouches for the API key key-1.
func ownCaller(_ context.Context, r *http.Request) (accesstoken.Identity, error) {
	if r.Header.Get("X-Api-Key") != "key-1" {
		return accesstoken.Identity{}, nil
	}
	return accesstoken.Identity{Issuer: "api-keys", Subject: "svc-1", Expiry: time.Now().Add(time.Hour)}, nil
}

func TestTheNameOfAnIssuerIsToldFromTheConfiguration(t *testing.T) {
	as, told := accesstokentest.NewServer(t), new(decisions)
	v := newValidator(t, as, func(c *accesstoken.Config) {
		c.OnDecide, c.Issuers = told.onDecide, nil
		c.ResolveIssuer = func(_ context.Context, iss string) (*accesstoken.Issuer, error) {
			if iss != as.URL {
				return nil, nil
			}
			return &accesstoken.Issuer{URL: iss, Name: "mine"}, nil
		}
	})
	_, _ = v.Validate(t.Context(), accesstoken.Bearer(as.Token(nil)))
	told.want(t, `"alice" by "signature" of "resolved" over "", accepted, ended false`)
	if err := v.SetIssuers(accesstoken.Issuer{URL: as.URL, Keys: jwks.Static(as.Keys()...)}); err != nil {
		t.Fatal(err)
	}
	_, _ = v.Validate(t.Context(), accesstoken.Bearer(as.Token(nil)))
	told.want(t, fmt.Sprintf(`"alice" by "signature" of %q over "", accepted, ended false`, as.URL[len("https://"):]))
	claims, _ := accesstoken.FromContext(accesstokentest.NewContext(t.Context(), nil))
	_ = v.Check(t.Context(), claims, accesstoken.Policy{})
	told.want(t, `"alice" by "check" of "" over "", accepted, ended false`)
}

// A panic in a hook refuses, also a request that was accepted, and OnRefuse is told.
func TestAPanicInAHookRefuses(t *testing.T) {
	as, told := accesstokentest.NewServer(t), new(decisions)
	for name, test := range map[string]struct {
		token    string
		onDecide func(context.Context, accesstoken.Decision)
		onRefuse func(context.Context, *accesstoken.Error)
		want     []string
	}{
		"OnDecide, accepted": {as.Token(nil), func(context.Context, accesstoken.Decision) { panic("no") }, told.onRefuse, []string{"refused: INTERNAL_ERROR"}},
		"OnDecide, refused":  {"none", func(context.Context, accesstoken.Decision) { panic("no") }, told.onRefuse, []string{"refused: INTERNAL_ERROR"}},
		"OnRefuse":           {"none", nil, func(context.Context, *accesstoken.Error) { panic("no") }, nil},
	} {
		v := newValidator(t, as, func(c *accesstoken.Config) { c.OnDecide, c.OnRefuse = test.onDecide, test.onRefuse })
		claims, err := v.Validate(t.Context(), accesstoken.Bearer(test.token))
		if !errors.Is(err, accesstoken.InternalError) || claims.Subject != "" {
			t.Errorf("%s: got %v with %v; want an InternalError without claims", name, err, claims)
		}
		told.want(t, test.want...)
	}
}
