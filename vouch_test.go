package accesstoken_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/accesstokentest"
	"github.com/accesstoken/accesstoken/internal/adapter"
	"github.com/accesstoken/accesstoken/internal/testkit"
	"github.com/accesstoken/accesstoken/scopes"
)

// robot is an identity that lasts for an hour, changed if change is not nil.
func robot(change func(*accesstoken.Identity)) accesstoken.Identity {
	identity := accesstoken.Identity{Issuer: "api-keys", Subject: "svc-7", ClientID: "ci", Expiry: time.Now().Add(time.Hour)}
	if change != nil {
		change(&identity)
	}
	return identity
}

func TestVouchedClaimsAreLikeThoseOfAToken(t *testing.T) {
	v := newValidator(t, accesstokentest.NewServer(t), func(c *accesstoken.Config) {
		c.ScopeImplies = map[string][]string{"admin": {"orders:read"}}
	})
	issued, end := time.Now().Add(-time.Minute).Truncate(time.Second), time.Now().Add(time.Hour).Truncate(time.Second)
	payload := json.RawMessage(`{"tenant":"acme","roles":["clerk"],"acr":"gold","auth_time":1700000000,"cnf":{"jkt":"x"},"sub":"mallory","aud":"urn:other"}`)
	claims, err := v.Vouch(accesstoken.Identity{
		Issuer: "api-keys", Subject: "svc-7", ClientID: "ci", ID: "key-1",
		Scopes: scopes.Parse("admin"), IssuedAt: issued, Expiry: end, Payload: payload,
	})
	if err != nil {
		t.Fatal(err)
	}
	copy(payload, `{"tenant":"evil"`) // the caller's memory, not that of the claims
	got := fmt.Sprintln(claims.Issuer, claims.Subject, claims.ClientID, claims.ID, claims.Scopes(), claims.Audience(), claims.IssuedAt.Equal(issued), claims.Expiry.Equal(end), claims.End().Equal(end.Add(30*time.Second)))
	if want := fmt.Sprintln("api-keys", "svc-7", "ci", "key-1", "admin", []string(nil), true, true, true); got != want {
		t.Errorf("got %s; want %s", got, want)
	}
	var private struct {
		Tenant string `json:"tenant"`
	}
	if err := claims.Decode(&private); err != nil || private.Tenant != "acme" {
		t.Errorf("Decode: got %q, %v; want acme", private.Tenant, err)
	}
	roles, err := claims.Roles()
	if err != nil || !slices.Equal(roles, []string{"clerk"}) || claims.ACR() != "gold" || claims.AuthTime().Unix() != 1700000000 {
		t.Errorf("got %q, %v, %q, %v; want those of the payload", roles, err, claims.ACR(), claims.AuthTime())
	}
	if _, bound := claims.Confirmation(); bound {
		t.Error("a cnf of the payload binds the claims; want it ignored")
	}
	if _, ok := claims.Actor(); ok || claims.ClientItself() {
		t.Error("got an actor, or a client that acts for itself; want a user")
	}
	if found, ok := accesstoken.FromContext(accesstoken.NewContext(t.Context(), claims)); !ok || found.Subject != "svc-7" {
		t.Errorf("NewContext: got %v, %v; want the claims", found, ok)
	}
	if strings.Contains(fmt.Sprintf("%v %+v %#v", claims, claims, claims), "svc-7") {
		t.Error("printed: got the subject; want only the issuer")
	}
	for name, policy := range map[accesstoken.Reason]accesstoken.Policy{
		"":                            {Scopes: scopes.All("orders:read")}, // by ScopeImplies
		accesstoken.ScopeInsufficient: {Scopes: scopes.All("orders:write")},
		accesstoken.BindingRequired:   {SenderConstrained: true},
		accesstoken.PolicyDenied:      {FreshIntrospection: true},
	} {
		err := v.Check(t.Context(), claims, policy)
		if name == "" && err != nil {
			t.Errorf("got %v; want nil", err)
		}
		if name != "" {
			wantReason(t, err, name)
		}
	}
}

func TestAnIdentityWithoutPayloadHasNoFurtherClaims(t *testing.T) {
	v := newValidator(t, accesstokentest.NewServer(t), nil)
	claims := testkit.Must(v.Vouch(robot(nil)))
	all := map[string]any{}
	if err := claims.Decode(&all); err != nil || len(all) != 0 {
		t.Errorf("Decode: got %v, %v; want an empty object", all, err)
	}
	if roles, err := claims.Roles(); roles != nil || err != nil {
		t.Errorf("Roles: got %q, %v; want none", roles, err)
	}
}

func TestAVouchedClientWithoutUserActsForItself(t *testing.T) {
	v := newValidator(t, accesstokentest.NewServer(t), nil)
	for subject, want := range map[string]bool{"": true, "ci": true, "alice": false} {
		claims, err := v.Vouch(robot(func(i *accesstoken.Identity) { i.Subject = subject }))
		if err != nil || claims.ClientItself() != want {
			t.Errorf("sub %q: got %v, %v; want %v", subject, claims.ClientItself(), err, want)
		}
	}
}

func TestAFaultyIdentityIsOurMistake(t *testing.T) {
	as := accesstokentest.NewServer(t)
	v := newValidator(t, as, func(c *accesstoken.Config) {
		c.Issuers[0].Aliases = []string{"urn:alias"}
		c.Issuers = append(c.Issuers, accesstoken.Issuer{
			URL: "https://login.example/{tenantid}", Aliases: []string{"https://alias.example/{tenantid}"}, Tenants: []string{"7c2b0a4e-1111-4222-8333-944444444444"},
			JWKSURI: "https://login.example/jwks", Profile: accesstoken.EntraV2,
		})
	})
	for name, change := range map[string]func(*accesstoken.Identity){
		"Issuer is empty":                    func(i *accesstoken.Identity) { i.Issuer = "" },
		"Issuer has more than 512 bytes":     func(i *accesstoken.Identity) { i.Issuer = strings.Repeat("x", 513) },
		"Issuer has control characters":      func(i *accesstoken.Identity) { i.Issuer = "a\nb" },
		"or is not UTF-8; choose":            func(i *accesstoken.Identity) { i.Issuer = "a\xff" },
		"Identity.Issuer names an issuer":    func(i *accesstoken.Identity) { i.Issuer = as.URL },
		"whose tokens are accepted":          func(i *accesstoken.Identity) { i.Issuer = "urn:alias" },
		"or one that ResolveIssuer may know": func(i *accesstoken.Identity) { i.Issuer = "https://login.example/7c2b0a4e-1111-4222-8333-944444444444" },
		"choose a different name":            func(i *accesstoken.Identity) { i.Issuer = "https://alias.example/7c2b0a4e-1111-4222-8333-944444444444" },
		"Subject and ClientID are empty":     func(i *accesstoken.Identity) { i.Subject, i.ClientID = "", "" },
		"Subject, ClientID":                  func(i *accesstoken.Identity) { i.Subject = "canary\xff" },
		"ID or Scopes are not UTF-8":         func(i *accesstoken.Identity) { i.ClientID = "canary\xff" },
		"Scopes are not UTF-8":               func(i *accesstoken.Identity) { i.ID = "canary\xff" },
		"are not UTF-8":                      func(i *accesstoken.Identity) { i.Scopes = scopes.Parse("canary\xff") },
		"Expiry is zero":                     func(i *accesstoken.Identity) { i.Expiry = time.Time{} },
		"more than 65536 bytes together":     func(i *accesstoken.Identity) { i.ID = strings.Repeat("x", 64<<10) },
		"Payload and the other fields": func(i *accesstoken.Identity) {
			i.Payload = json.RawMessage(`{"a":"` + strings.Repeat("x", 64<<10) + `"}`)
		},
		"Payload is not a JSON object": func(i *accesstoken.Identity) { i.Payload = json.RawMessage(`["canary"]`) },
		"expected UTF-8":               func(i *accesstoken.Identity) { i.Payload = json.RawMessage(`{}canary`) },
		"no duplicate names":           func(i *accesstoken.Identity) { i.Payload = json.RawMessage(`{"canary":1,"canary":2}`) },
		"JSON object; expected":        func(i *accesstoken.Identity) { i.Payload = json.RawMessage{} },
	} {
		claims, err := v.Vouch(robot(change))
		wantReason(t, err, accesstoken.ResourceServerMisconfigured)
		if !strings.Contains(fmt.Sprint(err), name) || strings.Contains(fmt.Sprint(err), "canary") || strings.Contains(fmt.Sprint(err), as.URL) {
			t.Errorf("got %v; want it to say %q, and nothing of the identity", err, name)
		}
		if claims.Subject != "" {
			t.Errorf("%s: got claims; want none", name)
		}
	}
	if _, err := v.Vouch(robot(func(i *accesstoken.Identity) {
		i.Issuer, i.Subject, i.ClientID = strings.Repeat("é", 256), strings.Repeat("x", 64<<10), ""
	})); err != nil {
		t.Errorf("the largest identity: got %v; want nil", err)
	}
}

func TestAnIssuerThatMayBeResolvedCannotBeVouchedFor(t *testing.T) {
	v := resolving(t, func(context.Context, string) (*accesstoken.Issuer, error) { return nil, nil }, nil)
	for issuer, want := range map[string]accesstoken.Reason{
		"https://tenant.example/a": accesstoken.ResourceServerMisconfigured,
		"api-keys":                 "",
		"http://tenant.example":    "",
	} {
		_, err := v.Vouch(robot(func(i *accesstoken.Identity) { i.Issuer = issuer }))
		if want == "" && err != nil {
			t.Errorf("%s: got %v; want nil", issuer, err)
		}
		if want != "" {
			wantReason(t, err, want)
		}
	}
	alone := newValidator(t, accesstokentest.NewServer(t), nil)
	if _, err := alone.Vouch(robot(func(i *accesstoken.Identity) { i.Issuer = "https://tenant.example/a" })); err != nil {
		t.Errorf("without ResolveIssuer: got %v; want nil", err)
	}
}

func TestAnIdentityGoesByTheClock(t *testing.T) {
	at := new(clock)
	v := newValidator(t, accesstokentest.NewServer(t), func(c *accesstoken.Config) { c.Now = at.Now })
	now := time.Now()
	_, err := v.Vouch(robot(func(i *accesstoken.Identity) { i.Expiry = now.Add(-31 * time.Second) }))
	wantReason(t, err, accesstoken.TokenExpired)
	_, err = v.Vouch(robot(func(i *accesstoken.Identity) { i.IssuedAt = now.Add(time.Minute) }))
	wantReason(t, err, accesstoken.TokenNotYetValid)
	claims, err := v.Vouch(robot(func(i *accesstoken.Identity) { i.Expiry = now.Add(-20 * time.Second) }))
	if err != nil {
		t.Fatalf("within the leeway: got %v; want nil", err)
	}
	at.Advance(15 * time.Second)
	wantReason(t, v.Check(t.Context(), claims, accesstoken.Policy{}), accesstoken.TokenExpired)
}

// No name, and no Subject, makes an identity a workload of a trust domain.
func TestAnIdentityIsNeverAWorkload(t *testing.T) {
	v := newValidator(t, accesstokentest.NewServer(t), nil)
	claims := testkit.Must(v.Vouch(robot(func(i *accesstoken.Identity) {
		i.Issuer, i.Subject = "spiffe://example.org", "spiffe://example.org/ns/prod/sa/checkout"
	})))
	err := v.Check(t.Context(), claims, accesstoken.Policy{SPIFFEIDs: []string{"spiffe://example.org/ns/prod/*"}})
	wantReason(t, err, accesstoken.PolicyDenied)
}

func TestOnlyTheValidatorThatVouchedAcceptsTheClaims(t *testing.T) {
	as := accesstokentest.NewServer(t)
	v, other := newValidator(t, as, nil), newValidator(t, as, nil)
	child := testkit.Must(v.ForResource(accesstoken.Resource{ID: resource})) // with the same audience
	for name, by := range map[string]*accesstoken.Validator{"parent": v, "child": child} {
		claims := testkit.Must(by.Vouch(robot(nil)))
		for _, checks := range []*accesstoken.Validator{v, child, other} {
			err := checks.Check(t.Context(), claims, accesstoken.Policy{})
			if checks == by && err != nil {
				t.Errorf("%s: got %v; want nil", name, err)
			}
			if checks != by {
				wantReason(t, err, accesstoken.ResourceServerMisconfigured)
			}
		}
	}
}

func TestAValidatorThatDoesNotWorkVouchesForNoCaller(t *testing.T) {
	as := accesstokentest.NewServer(t)
	_, err := new(accesstoken.Validator).Vouch(robot(nil))
	wantReason(t, err, accesstoken.ResourceServerMisconfigured)
	closed := newValidator(t, as, nil)
	claims := testkit.Must(closed.Vouch(robot(nil)))
	_ = closed.Close()
	_, err = closed.Vouch(robot(nil))
	wantReason(t, err, accesstoken.KeysUnavailable)
	if err := closed.Check(t.Context(), claims, accesstoken.Policy{}); err != nil {
		t.Errorf("claims of before: got %v; want nil, as for those of a token", err)
	}
	bound := newValidator(t, as, func(c *accesstoken.Config) {
		c.FAPI2, c.Issuers[0].MaxLifetime = true, 5*time.Minute
	})
	_, err = bound.Vouch(robot(nil))
	wantReason(t, err, accesstoken.ResourceServerMisconfigured)
	broken := newValidator(t, as, func(c *accesstoken.Config) { c.Now = func() time.Time { panic("canary") } })
	_, err = broken.Vouch(robot(nil))
	wantReason(t, err, accesstoken.InternalError)
}

// OnRefuse hears of a refusal of Vouch once, when an adapter writes it.
func TestARefusalOfVouchIsToldWhenItIsWritten(t *testing.T) {
	told := 0
	v := newValidator(t, accesstokentest.NewServer(t), func(c *accesstoken.Config) {
		c.OnRefuse = func(context.Context, *accesstoken.Error) { told++ }
	})
	_, err := v.Vouch(robot(func(i *accesstoken.Identity) { i.Expiry = time.Now().Add(-time.Hour) }))
	if told != 0 {
		t.Errorf("before: got %d; want 0", told)
	}
	refused := v.Refuse(t.Context(), err)
	if told != 1 || refused.HTTPStatus() != http.StatusUnauthorized || !strings.Contains(refused.Header().Get("WWW-Authenticate"), resource) {
		t.Errorf("got %d calls, %d, %v; want one call, 401 and the realm", told, refused.HTTPStatus(), refused.Header())
	}
}

func TestANameThatAnIssuerTakesEndsWhatItStoodFor(t *testing.T) {
	as := accesstokentest.NewServer(t)
	v := newValidator(t, as, nil)
	child := testkit.Must(v.ForResource(accesstoken.Resource{ID: "urn:files"}))
	named := func(name string) accesstoken.Identity {
		return robot(func(i *accesstoken.Identity) { i.Issuer = name })
	}
	taken, ofChild := testkit.Must(v.Vouch(named("urn:a"))), testkit.Must(child.Vouch(named("urn:a")))
	alias, kept := testkit.Must(v.Vouch(named("urn:b"))), testkit.Must(v.Vouch(named("urn:c")))
	gone, stays := adapter.Gone(taken), adapter.Gone(kept)
	if err := v.SetIssuers(issuerOf(as), accesstoken.Issuer{URL: "urn:a", Aliases: []string{"urn:b"}, JWKSURI: as.URL + "/jwks"}); err != nil {
		t.Fatal(err)
	}
	wantReason(t, v.Check(t.Context(), taken, accesstoken.Policy{}), accesstoken.IssuerUnknown)
	wantReason(t, v.Check(t.Context(), alias, accesstoken.Policy{}), accesstoken.IssuerUnknown)
	wantReason(t, child.Check(t.Context(), ofChild, accesstoken.Policy{}), accesstoken.IssuerUnknown)
	if err := v.Check(t.Context(), kept, accesstoken.Policy{}); err != nil {
		t.Errorf("another name: got %v; want nil", err)
	}
	if gone.Err() == nil || stays.Err() != nil {
		t.Errorf("streams: got %v, %v; want the first ended", gone.Err(), stays.Err())
	}
	_, err := v.Vouch(named("urn:a"))
	wantReason(t, err, accesstoken.ResourceServerMisconfigured)

	if err := v.SetIssuers(issuerOf(as)); err != nil {
		t.Fatal(err)
	}
	again, err := v.Vouch(named("urn:a"))
	if err != nil {
		t.Fatalf("once the name is free: got %v; want nil", err)
	}
	if err := v.Check(t.Context(), again, accesstoken.Policy{}); err != nil {
		t.Errorf("once the name is free: got %v; want nil", err)
	}
	wantReason(t, v.Check(t.Context(), taken, accesstoken.Policy{}), accesstoken.IssuerUnknown)
}

// A program may choose very many names. Those that no claims use any more take no memory.
func TestNamesThatAreNoLongerUsedAreForgotten(t *testing.T) {
	v := newValidator(t, accesstokentest.NewServer(t), nil)
	kept := testkit.Must(v.Vouch(robot(nil)))
	gone := adapter.Gone(kept)
	heap := func() uint64 {
		var stats runtime.MemStats
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&stats)
		return stats.HeapAlloc
	}
	vouch := func(round int) {
		for n := range 20_000 {
			testkit.Must(v.Vouch(robot(func(i *accesstoken.Identity) { i.Issuer = fmt.Sprint("tenant-", round, "-", n) })))
		}
	}
	vouch(0)
	before := heap()
	for round := range 5 {
		vouch(round + 1)
		runtime.GC()
	}
	if after := heap(); after > before+8<<20 {
		t.Errorf("got %d KiB more; want about as much as before", (after-before)>>10)
	}
	if err := v.SetIssuers(accesstoken.Issuer{URL: "api-keys", JWKSURI: "https://a.example/jwks"}); err != nil {
		t.Fatal(err)
	}
	if gone.Err() == nil {
		t.Error("claims in use: got no end of their name; want one")
	}
	runtime.KeepAlive(kept)
}

func TestVouchAndSetIssuersAtOnce(t *testing.T) {
	as := accesstokentest.NewServer(t)
	v := newValidator(t, as, nil)
	var wait sync.WaitGroup
	for range 4 {
		wait.Go(func() {
			for range 200 {
				claims, err := v.Vouch(robot(nil))
				if err == nil {
					err = v.Check(context.Background(), claims, accesstoken.Policy{})
				}
				if err != nil && !errors.Is(err, accesstoken.ResourceServerMisconfigured) && !errors.Is(err, accesstoken.IssuerUnknown) {
					t.Errorf("got %v; want nil, or what a taken name gives", err)
				}
			}
		})
	}
	wait.Go(func() {
		for range 20 {
			for _, issuers := range [][]accesstoken.Issuer{{issuerOf(as), {URL: "api-keys", JWKSURI: as.URL + "/jwks"}}, {issuerOf(as)}} {
				if err := v.SetIssuers(issuers...); err != nil {
					t.Error(err)
				}
			}
		}
	})
	wait.Wait()
	if _, err := v.Vouch(robot(nil)); err != nil {
		t.Errorf("got %v; want nil", err)
	}
}
