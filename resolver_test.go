package accesstoken

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/accesstoken/accesstoken/dialect"
	"github.com/accesstoken/accesstoken/internal/answers"
)

// A request may ask about an issuer just after SetIssuers has set it. It then gets that one,
// and nothing is left of the answer when the issuer is taken out again.
func TestAnAnswerThatComesAfterSetIssuers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const url = "https://a.example"
		given := Issuer{URL: url, Keys: newSigner(t)}
		resolved := newSigner(t)
		v, err := NewValidator(Config{Resource: "r", ResolveIssuer: func(context.Context, string) (*Issuer, error) {
			return &Issuer{URL: url, Keys: resolved}, nil
		}})
		if err != nil {
			t.Fatal(err)
		}
		defer v.Close()
		if err := v.SetIssuers(given); err != nil {
			t.Fatal(err)
		}
		i, err := v.resolveIssuer(t.Context(), url)
		if err != nil || i != v.roster.Load().issuers[url] {
			t.Errorf("got %v, %v; want the issuer of SetIssuers", i, err)
		}
		if err := v.SetIssuers(); err != nil {
			t.Fatal(err)
		}
		i, err = v.resolveIssuer(t.Context(), url)
		if err != nil || i == nil || i.removed.Load() {
			t.Errorf("once SetIssuers has taken it out: got %v, %v; want an issuer that is in use", i, err)
		}
	})
}

// An answer that comes after the time of its call is not an answer. Nil would remove the issuer.
func TestAnAnswerThatComesTooLate(t *testing.T) {
	v, err := NewValidator(Config{Resource: "r", ResolveIssuer: func(context.Context, string) (*Issuer, error) { return nil, nil }})
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	for _, given := range []*Issuer{nil, {URL: "https://a.example"}} {
		ctx, cancel := context.WithCancel(t.Context())
		resolve := func(context.Context, string) (*Issuer, error) { cancel(); return given, nil }
		if g, err := v.askAbout(ctx, resolve, "https://a.example", nil); g != nil || !errors.Is(err, IssuerUnavailable) {
			t.Errorf("%v: got %v, %v; want IssuerUnavailable", given, g, err)
		}
		cancel()
	}
}

// If a new answer has the keys elsewhere, the old cache of keys is closed. If not, it is kept.
func TestAnAnswerWithOtherKeysClosesTheOldCache(t *testing.T) {
	v, err := NewValidator(Config{
		Resource: "r", ResolveIssuer: func(context.Context, string) (*Issuer, error) { return nil, nil },
		HTTPClient: &http.Client{Transport: http.NewFileTransport(http.Dir(t.TempDir()))},
	})
	if err != nil {
		t.Fatal(err)
	}
	answer := func(jwksURI string, old *group) *group {
		g, err := v.acceptIssuer("https://a.example", Issuer{URL: "https://a.example", JWKSURI: jwksURI}, old)
		if err != nil {
			t.Fatal(err)
		}
		v.keep(g, new(answers.Answer[group]))
		if old != nil {
			v.drop(old, g, true)
		}
		v.background.Wait()
		return g
	}
	isClosed := func(g *group) bool {
		_, _, err := g.owned.Keys(t.Context(), "a", "ES256")
		return strings.Contains(fmt.Sprint(err), "the cache is closed")
	}
	first := answer("https://a.example/1", nil)
	same := answer("https://a.example/1", first)
	if same.owned != first.owned || same.members[0] != first.members[0] || isClosed(same) {
		t.Error("the same again: got another cache, or it was closed")
	}
	other := answer("https://a.example/2", same)
	if other.owned == first.owned || !isClosed(first) || isClosed(other) || !first.members[0].removed.Load() {
		t.Error("another JWKSURI: got the old cache open, or the new one closed")
	}
	if err := v.Close(); err != nil {
		t.Error(err)
	}
}

// Claims go on to count for an issuer that has been forgotten if nothing has changed that they
// rest on.
func TestWhenAnIssuerContinues(t *testing.T) {
	s := newSigner(t)
	v, err := NewValidator(Config{Resource: "r", ResolveIssuer: func(context.Context, string) (*Issuer, error) { return nil, nil }})
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	of := func(change func(*Issuer)) *issuer {
		given := Issuer{URL: "https://a.example", Keys: s, Tenants: []string{"a", "b"}, Dialect: &dialect.Dialect{Tenant: "org", Kind: []dialect.Mark{dialect.Has("x")}}}
		change(&given)
		g, err := v.acceptIssuer(given.URL, given, nil)
		if err != nil {
			t.Fatal(err)
		}
		return g.members[0]
	}
	old := of(func(*Issuer) {})
	for name, test := range map[string]struct {
		change func(*Issuer)
		want   bool
	}{
		"nothing":      {func(*Issuer) {}, true},
		"the audience": {func(i *Issuer) { i.Audience = []string{"urn:a"} }, true},
		"the keys":     {func(i *Issuer) { i.Keys = newSigner(t) }, false},
		"the tenants":  {func(i *Issuer) { i.Tenants = []string{"a"} }, false},
		"the clients":  {func(i *Issuer) { i.Clients = []string{"a"} }, false},
	} {
		if got := of(test.change).continues(old); got != test.want {
			t.Errorf("%s changed: got %v; want %v", name, got, test.want)
		}
	}
}
