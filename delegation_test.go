package accesstoken_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/accesstokentest"
	"github.com/accesstoken/accesstoken/internal/testkit"
	"github.com/accesstoken/accesstoken/jwks"
	"github.com/accesstoken/accesstoken/scopes"
)

// act returns claims of a delegated token; pairs are the members of act.
func act(pairs ...any) accesstokentest.Claims {
	members := map[string]any{}
	for n := 0; n < len(pairs); n += 2 {
		members[pairs[n].(string)] = pairs[n+1]
	}
	return accesstokentest.Claims{"act": members}
}

// chain returns an act of n actors. The outermost is "actor".
func chain(n int) accesstokentest.Claims {
	text := `{"sub":"actor"}`
	if n > 1 {
		text = `{"sub":"first"}`
		for range n - 2 {
			text = `{"sub":"before","act":` + text + `}`
		}
		text = `{"sub":"actor","act":` + text + `}`
	}
	return accesstokentest.Claims{"act": json.RawMessage(text)}
}

// actedBy returns a policy that demands one of the actors.
func actedBy(actors ...accesstoken.Actor) accesstoken.Policy {
	return accesstoken.Policy{Scopes: scopes.None(), Actors: actors}
}

var undelegated = accesstoken.Policy{Scopes: scopes.None(), RefuseDelegated: true}

// wantVerdict checks that a request is let in, if want is "", or refused for this reason.
func wantVerdict(t *testing.T, what string, err error, want accesstoken.Reason) {
	t.Helper()
	switch {
	case want == "" && err != nil:
		t.Errorf("%s: got %v; want it accepted", what, err)
	case want != "":
		wantReason(t, err, want)
	}
}

// ACT-01 to ACT-03, EXCH-13.
func TestPoliciesOnDelegation(t *testing.T) {
	as := accesstokentest.NewServer(t)
	v := newValidator(t, as, func(c *accesstoken.Config) {
		c.Issuers[0].Introspection, c.Issuers[0].Aliases = newIntrospection(t, as), []string{"our-alias"}
		c.Issuers = append(c.Issuers, accesstoken.Issuer{URL: "https://other.example", Aliases: []string{"other-alias"}, JWKSURI: as.URL + "/none"})
	})
	const denied = accesstoken.PolicyDenied
	actor := accesstoken.Actor{Issuer: as.URL, Subject: "actor"}
	client := accesstoken.Actor{Issuer: as.URL, ClientID: "agent"}
	both := accesstoken.Actor{Issuer: as.URL, Subject: "actor", ClientID: "agent"}
	type claims = accesstokentest.Claims
	for name, test := range map[string]struct {
		claims claims
		policy accesstoken.Policy
		want   accesstoken.Reason // "" is let in
	}{
		"no demand, and delegated": {act("sub", "actor"), accesstoken.Policy{}, ""},
		"no demand, and malformed": {claims{"act": "actor"}, accesstoken.Policy{}, ""},

		"no act":                   {claims{}, undelegated, ""},
		"may_act is not act":       {claims{"may_act": map[string]any{"sub": "actor"}}, undelegated, ""},
		"Act is not act":           {claims{"Act": map[string]any{"sub": "actor"}}, undelegated, ""},
		"act below another claim":  {claims{"x": map[string]any{"act": map[string]any{}}}, undelegated, ""},
		"delegated":                {act("sub", "actor"), undelegated, denied},
		"delegated to itself":      {claims{"sub": "actor", "act": map[string]any{"sub": "actor"}}, undelegated, denied},
		"an act without names":     {act(), undelegated, denied},
		"act as a text":            {claims{"act": "actor"}, undelegated, denied},
		"act as an empty text":     {claims{"act": ""}, undelegated, denied},
		"act as a list":            {claims{"act": []string{"actor"}}, undelegated, denied},
		"act as an empty list":     {claims{"act": []string{}}, undelegated, denied},
		"act as false":             {claims{"act": false}, undelegated, denied},
		"an act with a wrong type": {act("sub", 1), undelegated, denied},
		"nine actors":              {chain(9), undelegated, denied},

		"the actor":                  {act("sub", "actor"), actedBy(actor), ""},
		"one of them":                {act("sub", "actor"), actedBy(accesstoken.Actor{Issuer: as.URL, Subject: "x"}, actor), ""},
		"another actor":              {act("sub", "mallory"), actedBy(actor), denied},
		"in other letters":           {act("sub", "Actor"), actedBy(actor), denied},
		"no actor":                   {claims{}, actedBy(actor), denied},
		"the subject is the actor":   {claims{"sub": "actor", "client_id": "agent"}, actedBy(actor, client), denied},
		"may_act grants nothing":     {claims{"may_act": map[string]any{"sub": "actor"}}, actedBy(actor), denied},
		"may_act of the actor":       {act("sub", "mallory", "may_act", map[string]any{"sub": "actor"}), actedBy(actor), denied},
		"a nested actor":             {act("sub", "mallory", "act", map[string]any{"sub": "actor"}), actedBy(actor), denied},
		"before a nested actor":      {act("sub", "actor", "act", map[string]any{"sub": "mallory"}), actedBy(actor), ""},
		"before a nested malformed":  {act("sub", "actor", "act", map[string]any{"sub": 1}), actedBy(actor), ""},
		"before a nested text":       {act("sub", "actor", "act", "x"), actedBy(actor), ""},
		"the actor as a text":        {claims{"act": "actor"}, actedBy(actor), denied},
		"the actor as a list":        {claims{"act": []any{map[string]any{"sub": "actor"}}}, actedBy(actor), denied},
		"an actor without names":     {act(), actedBy(actor, client), denied},
		"a client_id of wrong type":  {act("sub", "actor", "client_id", 1), actedBy(actor), denied},
		"eight actors":               {chain(8), actedBy(actor), ""},
		"nine actors, and the right": {chain(9), actedBy(actor), denied},

		"the client":                    {act("client_id", "agent"), actedBy(client), ""},
		"the client, and some sub":      {act("client_id", "agent", "sub", "x"), actedBy(client), ""},
		"another client":                {act("client_id", "other"), actedBy(client), denied},
		"the client's name in sub":      {act("sub", "agent"), actedBy(client), denied},
		"the actor's name in client_id": {act("client_id", "actor"), actedBy(actor), denied},
		"the actor, by some client":     {act("sub", "actor", "client_id", "x"), actedBy(actor), ""},
		"both":                          {act("sub", "actor", "client_id", "agent"), actedBy(both), ""},
		"both, without sub":             {act("client_id", "agent"), actedBy(both), denied},
		"both, without client_id":       {act("sub", "actor"), actedBy(both), denied},

		"our iss":                           {act("sub", "actor", "iss", as.URL), actedBy(actor), ""},
		"an alias of ours":                  {act("sub", "actor", "iss", "our-alias"), actedBy(actor), ""},
		"the iss of another issuer":         {act("sub", "actor", "iss", "https://other.example"), actedBy(actor), denied},
		"the iss of a stranger":             {act("sub", "actor", "iss", "https://stranger.example"), actedBy(actor), denied},
		"a stranger, listed":                {act("sub", "actor", "iss", "https://stranger.example"), actedBy(accesstoken.Actor{Issuer: "https://stranger.example", Subject: "actor"}), ""},
		"a stranger, listed, and ours":      {act("sub", "actor"), actedBy(accesstoken.Actor{Issuer: "https://stranger.example", Subject: "actor"}), denied},
		"another issuer, listed":            {act("sub", "actor"), actedBy(accesstoken.Actor{Issuer: "https://other.example", Subject: "actor"}), denied},
		"an actor in the name of another":   {act("sub", "actor", "iss", "https://other.example"), actedBy(accesstoken.Actor{Issuer: "https://other.example", Subject: "actor"}), denied},
		"an actor in the name of its alias": {act("sub", "actor", "iss", "other-alias"), actedBy(accesstoken.Actor{Issuer: "other-alias", Subject: "actor"}), denied},

		"scopes come later": {act("sub", "mallory"), accesstoken.Policy{Scopes: scopes.All("x"), Actors: []accesstoken.Actor{actor}}, denied},
		"scopes come too":   {act("sub", "actor"), accesstoken.Policy{Scopes: scopes.All("x"), Actors: []accesstoken.Actor{actor}}, accesstoken.ScopeInsufficient},
	} {
		t.Run(name, func(t *testing.T) {
			test.claims["jti"] = name
			jwt, opaque := accesstoken.Bearer(as.Token(test.claims)), accesstoken.Bearer(as.Opaque(test.claims))
			for _, how := range []string{"verified", "cached"} {
				_, err := v.Authorize(t.Context(), jwt, test.policy)
				wantVerdict(t, "a JWT, "+how, err, test.want)
				_, err = v.Authorize(t.Context(), opaque, test.policy)
				wantVerdict(t, "opaque, "+how, err, test.want)
			}
		})
	}
	null := accesstokentest.Claims{"act": accesstokentest.Null}
	_, err := v.Authorize(t.Context(), accesstoken.Bearer(as.Token(null)), undelegated)
	wantVerdict(t, "null in a JWT, which is a wrong type", err, denied)
	_, err = v.Authorize(t.Context(), accesstoken.Bearer(as.Opaque(null)), undelegated)
	wantVerdict(t, "null in an answer, which counts as absent", err, "")
}

// ResolveIssuer may know any https issuer, so no other issuer can name its actors.
func TestNoTokenNamesAnActorOfAnIssuerThatResolveIssuerMayKnow(t *testing.T) {
	as := accesstokentest.NewServer(t)
	v := newValidator(t, as, func(c *accesstoken.Config) {
		c.ResolveIssuer = func(context.Context, string) (*accesstoken.Issuer, error) { return nil, nil }
	})
	for iss, want := range map[string]accesstoken.Reason{"https://stranger.example": accesstoken.PolicyDenied, "stranger": "", as.URL: ""} {
		_, err := v.Authorize(t.Context(), accesstoken.Bearer(as.Token(act("sub", "actor", "iss", iss))), actedBy(accesstoken.Actor{Issuer: iss, Subject: "actor"}))
		wantVerdict(t, iss, err, want)
	}
	resolved := testkit.Must(accesstoken.NewValidator(accesstoken.Config{
		Resource: resource, HTTPClient: as.Client(),
		ResolveIssuer: func(_ context.Context, iss string) (*accesstoken.Issuer, error) {
			return &accesstoken.Issuer{URL: iss}, nil
		},
	}))
	t.Cleanup(func() { _ = resolved.Close() })
	_, err := resolved.Authorize(t.Context(), accesstoken.Bearer(as.Token(act("sub", "actor", "iss", as.URL))), actedBy(accesstoken.Actor{Issuer: as.URL, Subject: "actor"}))
	wantVerdict(t, "its own actor", err, "")
}

// ACT-02: handlers and hooks see the subject and the actor, and malformed is not absent.
func TestWhoIsToldOfTheActor(t *testing.T) {
	as := accesstokentest.NewServer(t)
	var told []accesstoken.Actor
	v := newValidator(t, as, func(c *accesstoken.Config) {
		c.OnRefuse = func(ctx context.Context, _ *accesstoken.Error) {
			claims, _ := accesstoken.FromContext(ctx)
			actor, delegated := claims.Actor()
			if !delegated || claims.Subject != "alice" {
				t.Errorf("the hook: got %v, %q; want an actor for alice", delegated, claims.Subject)
			}
			told = append(told, actor)
		}
	})
	delegated := act("sub", "actor", "client_id", "agent", "iss", "https://x.example")
	delegated["sub"] = "alice"
	token := accesstoken.Bearer(as.Token(delegated))
	claims, err := v.Authorize(t.Context(), token, accesstoken.Policy{Scopes: scopes.None()})
	want := accesstoken.Actor{Issuer: "https://x.example", Subject: "actor", ClientID: "agent"}
	if got, ok := claims.Actor(); err != nil || !ok || got != want || claims.Subject != "alice" {
		t.Errorf("the handler: got %+v, %v, for %q, %v; want %+v for alice", got, ok, claims.Subject, err, want)
	}
	_, err = v.Authorize(t.Context(), token, undelegated)
	if refused := wantReason(t, err, accesstoken.PolicyDenied); strings.Contains(refused.Error(), "agent") || len(refused.Header().Values("WWW-Authenticate")) > 0 {
		t.Errorf("got %v, %v; want no claim and no challenge", refused, refused.Header())
	}
	if len(told) != 1 || told[0] != want {
		t.Errorf("the hook: got %+v; want %+v", told, want)
	}
	for _, claims := range []accesstokentest.Claims{chain(9), {"act": 1}} {
		found := claimsOf(t, as, claims)
		if got, ok := found.Actor(); !ok || got != (accesstoken.Actor{}) {
			t.Errorf("%v: got %+v, %v; want an actor without a name", claims, got, ok)
		}
	}
}

// ACT-03: facts are kept, and every request is judged by them, without an allocation.
func TestDelegationIsJudgedOnEveryRequest(t *testing.T) {
	as := accesstokentest.NewServer(t)
	v := newValidator(t, as, func(c *accesstoken.Config) {
		c.Issuers = append(c.Issuers, accesstoken.Issuer{URL: "https://other.example", JWKSURI: as.URL + "/none"})
	})
	plain := accesstoken.Bearer(as.Token(nil))
	delegated := accesstoken.Bearer(as.Token(act("sub", "actor", "iss", "https://stranger.example")))
	allowed := actedBy(accesstoken.Actor{Issuer: as.URL, Subject: "x"}, accesstoken.Actor{Issuer: "https://stranger.example", Subject: "actor"})
	for name, test := range map[string]struct {
		token  accesstoken.Credentials
		policy accesstoken.Policy
	}{
		"no demand":        {delegated, accesstoken.Policy{Scopes: scopes.None()}},
		"of actors":        {delegated, allowed},
		"of undelegated":   {plain, undelegated},
		"of two policies":  {delegated, allowed.And(allowed)},
		"neither, nor act": {plain, accesstoken.Policy{Scopes: scopes.None()}},
	} {
		claims, err := v.Authorize(t.Context(), test.token, test.policy)
		wantVerdict(t, name, err, "")
		wantVerdict(t, name+", by Check", v.Check(t.Context(), claims, test.policy), "")
		if got := testing.AllocsPerRun(100, func() { _, _ = v.Authorize(t.Context(), test.token, test.policy) }); got != 0 {
			t.Errorf("%s: got %v allocations; want none", name, got)
		}
	}
	claims, err := v.Authorize(t.Context(), delegated, allowed)
	wantVerdict(t, "the cached token", err, "")
	wantReason(t, v.Check(t.Context(), claims, undelegated), accesstoken.PolicyDenied)
}

// Of a JWT and an answer, one act is enough to make the token delegated.
func TestTheActorOfAJWTAndAnAnswer(t *testing.T) {
	as := accesstokentest.NewServer(t)
	v := newValidator(t, as, func(c *accesstoken.Config) {
		c.Issuers[0].Introspection, c.Issuers[0].AlwaysIntrospect = introspecting(t, as, nil), true
		c.Issuers[0].Keys = jwks.Static(as.Keys()...)
	})
	const denied, differ = accesstoken.PolicyDenied, accesstoken.ClaimInvalid
	type claims = accesstokentest.Claims
	null := func() claims { return claims{"act": accesstokentest.Null} }
	for name, test := range map[string]struct {
		jwt, answer     claims
		direct, byActor accesstoken.Reason // of a policy that refuses delegated tokens, and of one that demands the actor
	}{
		"neither":                         {claims{}, claims{}, "", denied},
		"both":                            {act("sub", "actor"), act("sub", "actor"), denied, ""},
		"both, and other actors before":   {act("sub", "actor", "act", map[string]any{"sub": "a"}), act("sub", "actor"), denied, ""},
		"the JWT alone":                   {act("sub", "actor"), claims{}, denied, ""},
		"the JWT alone, and null":         {act("sub", "actor"), null(), denied, ""},
		"the answer alone":                {claims{}, act("sub", "actor"), denied, ""},
		"the answer alone, and null":      {null(), act("sub", "actor"), denied, denied},
		"two subjects":                    {act("sub", "actor"), act("sub", "mallory"), differ, differ},
		"two issuers":                     {act("sub", "actor"), act("sub", "actor", "iss", "https://x.example"), differ, differ},
		"two clients":                     {act("sub", "actor", "client_id", "a"), act("sub", "actor", "client_id", "b"), differ, differ},
		"a malformed JWT":                 {claims{"act": "actor"}, act("sub", "actor"), denied, denied},
		"a malformed answer":              {act("sub", "actor"), claims{"act": "actor"}, denied, denied},
		"a malformed JWT alone":           {claims{"act": "actor"}, claims{}, denied, denied},
		"a malformed answer alone":        {claims{}, claims{"act": "actor"}, denied, denied},
		"an answer with too many actors":  {act("sub", "actor"), chain(9), denied, denied},
		"may_act in the answer":           {claims{}, claims{"may_act": map[string]any{"sub": "actor"}}, "", denied},
		"the JWT by may_act of an answer": {act("sub", "mallory"), claims{"may_act": map[string]any{"sub": "actor"}}, denied, denied},
	} {
		t.Run(name, func(t *testing.T) {
			test.jwt["jti"], test.answer["jti"] = name, name
			token := as.Token(test.jwt)
			as.Remember(token, as.Claims(test.answer))
			for range 2 {
				_, err := v.Authorize(t.Context(), accesstoken.Bearer(token), undelegated)
				wantVerdict(t, "RefuseDelegated", err, test.direct)
				_, err = v.Authorize(t.Context(), accesstoken.Bearer(token), actedBy(accesstoken.Actor{Issuer: as.URL, Subject: "actor"}))
				wantVerdict(t, "Actors", err, test.byActor)
			}
		})
	}
}

// Code that authenticates callers by itself can say who acts.
func TestAPolicyReadsTheActorOfAnIdentity(t *testing.T) {
	v := newStaticValidator(t)
	const denied = accesstoken.PolicyDenied
	for payload, want := range map[string]struct{ direct, byActor accesstoken.Reason }{
		``:                            {"", denied},
		`{}`:                          {"", denied},
		`{"may_act":{"sub":"actor"}}`: {"", denied},
		`{"act":{"sub":"actor"}}`:     {denied, ""},
		`{"act":{"sub":"actor","iss":"sessions"}}`:                  {denied, ""},
		`{"act":{"sub":"actor","iss":"https://login.example.com"}}`: {denied, denied},
		`{"act":{"sub":"mallory","act":{"sub":"actor"}}}`:           {denied, denied},
		`{"act":"actor"}`: {denied, denied},
		`{"act":{"sub":"actor","iss":"https://elsewhere.example/"}}`: {denied, denied},
	} {
		claims, err := v.Vouch(accesstoken.Identity{Issuer: "sessions", Subject: "alice", Expiry: time.Now().Add(time.Hour), Payload: []byte(payload)})
		if payload == `` {
			claims, err = v.Vouch(accesstoken.Identity{Issuer: "sessions", Subject: "alice", Expiry: time.Now().Add(time.Hour)})
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, delegated := claims.Actor(); delegated != (want.direct != "") {
			t.Errorf("%s: Actor: got %v", payload, delegated)
		}
		wantVerdict(t, payload, v.Check(t.Context(), claims, undelegated), want.direct)
		for _, issuer := range []string{"sessions", "https://login.example.com"} {
			verdict := want.byActor
			if issuer != "sessions" {
				verdict = denied
			}
			wantVerdict(t, payload+" as one of "+issuer, v.Check(t.Context(), claims, actedBy(accesstoken.Actor{Issuer: issuer, Subject: "actor"})), verdict)
		}
	}
}

// D15: what cannot work is a fault when the route is set up, and a 500 later.
func TestFaultsOfPoliciesOnDelegation(t *testing.T) {
	as := accesstokentest.NewServer(t)
	v := newValidator(t, as, nil)
	a, b := accesstoken.Actor{Issuer: "i", Subject: "a"}, accesstoken.Actor{Issuer: "i", Subject: "b"}
	client := accesstoken.Actor{Issuer: "i", ClientID: "c"}
	for name, test := range map[string]struct {
		policy accesstoken.Policy
		want   string // "" is no fault
	}{
		"undelegated":               {undelegated, ""},
		"an actor":                  {actedBy(a), ""},
		"a client":                  {actedBy(client), ""},
		"an empty list":             {accesstoken.Policy{Scopes: scopes.None(), Actors: []accesstoken.Actor{}}, "Actors accepts no actor"},
		"no issuer":                 {actedBy(a, accesstoken.Actor{Subject: "a", ClientID: "c"}), "Actors[1] does not identify an actor"},
		"only an issuer":            {actedBy(accesstoken.Actor{Issuer: "i"}), "Actors[0] does not identify an actor"},
		"both demands":              {accesstoken.Policy{Scopes: scopes.None(), RefuseDelegated: true, Actors: []accesstoken.Actor{a}}, "both set"},
		"And: both demands":         {undelegated.And(actedBy(a)), "both set"},
		"And: the other way":        {actedBy(a).And(undelegated), "both set"},
		"And: nothing in common":    {actedBy(a).And(actedBy(b)), "Actors accepts no actor"},
		"And: something":            {actedBy(a, b).And(actedBy(b)), ""},
		"And: with an empty list":   {actedBy(a).And(accesstoken.Policy{Actors: []accesstoken.Actor{}}), "Actors accepts no actor"},
		"And: an empty list first":  {accesstoken.Policy{Scopes: scopes.None(), Actors: []accesstoken.Actor{}}.And(actedBy(a)), "Actors accepts no actor"},
		"And: a fault of the other": {undelegated.And(accesstoken.Policy{Actors: []accesstoken.Actor{{}}}), "both set"},
	} {
		err := v.PolicyErr(test.policy)
		if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v; want %q", name, err, test.want)
		}
		if test.want != "" {
			for _, claims := range []accesstokentest.Claims{nil, act("sub", "a", "iss", "i")} {
				_, err = v.Authorize(t.Context(), accesstoken.Bearer(as.Token(claims)), test.policy)
				wantReason(t, err, accesstoken.ResourceServerMisconfigured)
			}
		}
	}
}

func TestAndAcceptsTheActorsThatBothAccept(t *testing.T) {
	subject, client := accesstoken.Actor{Issuer: "i", Subject: "a"}, accesstoken.Actor{Issuer: "i", ClientID: "c"}
	both, other := accesstoken.Actor{Issuer: "i", Subject: "a", ClientID: "c"}, accesstoken.Actor{Issuer: "j", Subject: "a"}
	for name, test := range map[string]struct{ a, b, want []accesstoken.Actor }{
		"neither":               {nil, nil, nil},
		"one":                   {[]accesstoken.Actor{subject}, nil, []accesstoken.Actor{subject}},
		"the other":             {nil, []accesstoken.Actor{subject}, []accesstoken.Actor{subject}},
		"the same":              {[]accesstoken.Actor{subject, client}, []accesstoken.Actor{subject}, []accesstoken.Actor{subject, both}},
		"subject and client":    {[]accesstoken.Actor{subject}, []accesstoken.Actor{client}, []accesstoken.Actor{both}},
		"a narrower one":        {[]accesstoken.Actor{client}, []accesstoken.Actor{both}, []accesstoken.Actor{both}},
		"another issuer":        {[]accesstoken.Actor{subject}, []accesstoken.Actor{other}, []accesstoken.Actor{}},
		"another client":        {[]accesstoken.Actor{both}, []accesstoken.Actor{{Issuer: "i", ClientID: "d"}}, []accesstoken.Actor{}},
		"another subject":       {[]accesstoken.Actor{both}, []accesstoken.Actor{{Issuer: "i", Subject: "b"}}, []accesstoken.Actor{}},
		"each only once":        {[]accesstoken.Actor{subject, subject}, []accesstoken.Actor{subject}, []accesstoken.Actor{subject}},
		"with one of all lists": {[]accesstoken.Actor{other, subject}, []accesstoken.Actor{client, other}, []accesstoken.Actor{other, both}},
	} {
		if got := actedBy(test.a...).And(actedBy(test.b...)).Actors; !reflect.DeepEqual(got, test.want) {
			t.Errorf("%s: got %#v; want %#v", name, got, test.want)
		}
	}
}

// A field that And forgot would open a route.
func TestAndKeepsEveryDemand(t *testing.T) {
	full := accesstoken.Policy{
		Scopes: scopes.All("a"), FreshIntrospection: true, SenderConstrained: true, SPIFFEIDs: []string{"spiffe://example.org/a"},
		RefuseDelegated: true, Actors: []accesstoken.Actor{{Issuer: "i", Subject: "a"}},
		ACR: []string{"a"}, MaxAuthAge: time.Minute, AMR: []string{"a"}, Details: []accesstoken.DetailRequirement{{Type: "a"}},
	}
	for name, got := range map[string]accesstoken.Policy{"first": full.And(accesstoken.Policy{}), "second": accesstoken.Policy{}.And(full)} {
		of := reflect.ValueOf(got)
		for i := range of.NumField() {
			field := of.Type().Field(i)
			if !field.IsExported() {
				continue
			}
			want := reflect.ValueOf(full).Field(i)
			if want.IsZero() {
				t.Errorf("%s is not set here; add it", field.Name)
			}
			if !reflect.DeepEqual(of.Field(i).Interface(), want.Interface()) {
				t.Errorf("%s of the %s policy: got %v; want it kept", field.Name, name, of.Field(i))
			}
		}
	}
}

// An act that cannot be read is the issuer's fault, so the operator is told, once.
func TestTheOperatorIsToldOfAMalformedAct(t *testing.T) {
	as := accesstokentest.NewServer(t)
	var log lockedBuffer
	v := newValidator(t, as, func(c *accesstoken.Config) { c.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
	for _, claims := range []accesstokentest.Claims{{"act": "canary"}, chain(9), {"act": []string{"canary"}}, act("sub", "canary"), nil} {
		_, err := v.Authorize(t.Context(), accesstoken.Bearer(as.Token(claims)), actedBy(accesstoken.Actor{Issuer: as.URL, Subject: "actor"}))
		wantReason(t, err, accesstoken.PolicyDenied)
	}
	if got := strings.Count(log.String(), "level=WARN"); got != 1 || !strings.Contains(log.String(), "act is malformed") || strings.Contains(log.String(), "canary") {
		t.Errorf("got %d warnings: %s; want one, without claims", got, log.String())
	}
}

// The claims of a test can be delegated as well.
func TestPoliciesJudgeTheActorOfTestClaims(t *testing.T) {
	v := newStaticValidator(t)
	ctx := accesstokentest.NewContext(t.Context(), act("sub", "actor"))
	claims := testkit.Must(found(ctx))
	wantReason(t, v.Check(ctx, claims, undelegated), accesstoken.PolicyDenied)
	wantVerdict(t, "its actor", v.Check(ctx, claims, actedBy(accesstoken.Actor{Issuer: claims.Issuer, Subject: "actor"})), "")
}

func found(ctx context.Context) (accesstoken.Claims, error) {
	claims, ok := accesstoken.FromContext(ctx)
	if !ok {
		return claims, accesstoken.CredentialsMissing
	}
	return claims, nil
}

// What is explained has the act that was compared, and no other claim.
func TestAPolicyOnDelegationIsExplained(t *testing.T) {
	as := accesstokentest.NewServer(t)
	v := newValidator(t, as, nil)
	many := actedBy(accesstoken.Actor{Issuer: "i", Subject: "a", ClientID: "c"}, accesstoken.Actor{Issuer: "i", ClientID: "d"})
	for range 5 {
		many.Actors = append(many.Actors, accesstoken.Actor{Issuer: "i", Subject: "z"})
	}
	for _, test := range []struct {
		claims          accesstokentest.Claims
		policy          accesstoken.Policy
		found, expected string
	}{
		{nil, undelegated, `scopes absent, act absent`, `None(); no act`},
		{act("sub", "bob\n"), undelegated, `scopes absent, act {sub "bob\n"}`, `None(); no act`},
		{act("iss", "i", "sub", "bob", "client_id", "app", "x", "y"), undelegated, `scopes absent, act {iss "i", sub "bob", client_id "app"}`, `None(); no act`},
		{accesstokentest.Claims{"act": "bob"}, undelegated, `scopes absent, act malformed, or with more than 8 actors`, `None(); no act`},
		{act(), many, `scopes absent, act {}`, `None(); an act of {iss "i", sub "a", client_id "c"}, {iss "i", client_id "d"}, {iss "i", sub "z"}, {iss "i", sub "z"}, {iss "i", sub "z"} and 2 more`},
		{act("sub", "bob"), accesstoken.Policy{Scopes: scopes.None()}, `scopes absent`, `None()`},
	} {
		e := v.Explain(t.Context(), accesstoken.Bearer(as.Token(test.claims)), test.policy)
		last := e.Checks[len(e.Checks)-1]
		if last.Found != test.found || last.Expected != test.expected {
			t.Errorf("got %s; %s\nwant %s; %s", last.Found, last.Expected, test.found, test.expected)
		}
	}
}
