package accesstoken

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// A request may ask about an issuer just after SetIssuers has set it. It then gets that one,
// and nothing is left of the answer when the issuer is taken out again.
func TestAnAnswerThatComesAfterSetIssuers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const url = "https://a.example"
		given := Issuer{URL: url, Keys: aKeySource{}}
		v, err := NewValidator(Config{Resource: "r", ResolveIssuer: func(context.Context, string) (*Issuer, error) { return &given, nil }})
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
		time.Sleep(time.Second) // the late answer counts as a failure for so long
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
