package accesstoken_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/accesstokentest"
	"github.com/accesstoken/accesstoken/internal/testkit"
	"github.com/accesstoken/accesstoken/jwks"
	"github.com/accesstoken/accesstoken/scopes"
)

// ordered are classes from weak to strong, as some of these tests configure them.
var ordered = []string{"urn:x:loa:1", "urn:x:loa:2", "urn:x:loa:10"}

// ago returns a NumericDate of the past.
func ago(d time.Duration) int64 { return time.Now().Add(-d).Unix() }

// STEP-03 to STEP-05, STEP-09 to STEP-16.
func TestStepUp(t *testing.T) {
	as := accesstokentest.NewServer(t)
	v := newValidator(t, as, func(c *accesstoken.Config) { c.ACROrder = ordered })
	acr := func(values ...string) accesstoken.Policy { return accesstoken.Policy{ACR: values} }
	age := func(d time.Duration) accesstoken.Policy { return accesstoken.Policy{MaxAuthAge: d} }
	amr := func(values ...string) accesstoken.Policy { return accesstoken.Policy{AMR: values} }
	type claims = accesstokentest.Claims
	const minute = time.Minute
	for name, test := range map[string]struct {
		claims    claims
		policy    accesstoken.Policy
		want      accesstoken.Reason // "" is let in
		challenge string             // after the realm and the error
	}{
		"no demand, no login": {claims{}, accesstoken.Policy{}, "", ""},

		"the acr":                   {claims{"acr": "mfa"}, acr("mfa"), "", ""},
		"one of them":               {claims{"acr": "b"}, acr("a", "b"), "", ""},
		"another acr":               {claims{"acr": "pwd"}, acr("mfa"), accesstoken.StepUpRequired, `acr_values="mfa"`},
		"no acr":                    {claims{}, acr("mfa"), accesstoken.StepUpRequired, `acr_values="mfa"`},
		"null acr":                  {claims{"acr": accesstokentest.Null}, acr("mfa"), accesstoken.StepUpRequired, `acr_values="mfa"`},
		"an empty acr":              {claims{"acr": ""}, acr("mfa"), accesstoken.StepUpRequired, `acr_values="mfa"`},
		"acr as a list":             {claims{"acr": []string{"mfa"}}, acr("mfa"), accesstoken.StepUpRequired, `acr_values="mfa"`},
		"acr as a number":           {claims{"acr": 2}, acr("2"), accesstoken.StepUpRequired, `acr_values="2"`},
		"acr in other letters":      {claims{"acr": "MFA"}, acr("mfa"), accesstoken.StepUpRequired, `acr_values="mfa"`},
		"2 is not weaker than 10":   {claims{"acr": "10"}, acr("2"), accesstoken.StepUpRequired, `acr_values="2"`},
		"a stronger acr":            {claims{"acr": ordered[2]}, acr(ordered[1]), "", ""},
		"the same acr":              {claims{"acr": ordered[1]}, acr(ordered[1]), "", ""},
		"a weaker acr":              {claims{"acr": ordered[0]}, acr(ordered[1]), accesstoken.StepUpRequired, `acr_values="urn:x:loa:2"`},
		"the weakest that would do": {claims{}, acr(ordered[2], "mfa", ordered[1]), accesstoken.StepUpRequired, `acr_values="mfa urn:x:loa:2"`},
		"an acr out of the order":   {claims{"acr": "mfa"}, acr(ordered[0]), accesstoken.StepUpRequired, `acr_values="urn:x:loa:1"`},

		"a fresh login":             {claims{"auth_time": ago(20 * time.Second)}, age(30 * time.Second), "", ""},
		"as old as it may be":       {claims{"auth_time": ago(5*minute - 5*time.Second)}, age(5 * minute), "", ""},
		"too old":                   {claims{"auth_time": ago(5*minute + 2*time.Second)}, age(5 * minute), accesstoken.StepUpRequired, `max_age="300"`},
		"no auth_time":              {claims{}, age(5 * minute), accesstoken.StepUpRequired, `max_age="300"`},
		"iat is no login":           {claims{"iat": ago(0)}, age(5 * minute), accesstoken.StepUpRequired, `max_age="300"`},
		"amr is no login":           {claims{"amr": []string{"mfa"}}, age(5 * minute), accesstoken.StepUpRequired, `max_age="300"`},
		"auth_time ahead, by skew":  {claims{"auth_time": ago(-20 * time.Second)}, age(5 * minute), "", ""},
		"auth_time in the future":   {claims{"auth_time": ago(-2 * minute)}, age(5 * minute), accesstoken.StepUpRequired, `max_age="300"`},
		"auth_time in milliseconds": {claims{"auth_time": ago(0) * 1000}, age(5 * minute), accesstoken.StepUpRequired, `max_age="300"`},
		"auth_time as a text":       {claims{"auth_time": fmt.Sprint(ago(0))}, age(5 * minute), accesstoken.StepUpRequired, `max_age="300"`},

		"a method":               {claims{"amr": []string{"pwd", "otp"}}, amr("hwk", "otp"), "", ""},
		"another method":         {claims{"amr": []string{"pwd"}}, amr("otp"), accesstoken.PolicyDenied, ""},
		"no amr":                 {claims{}, amr("otp"), accesstoken.PolicyDenied, ""},
		"amr as a text":          {claims{"amr": "otp"}, amr("otp"), accesstoken.PolicyDenied, ""},
		"both acr and amr":       {claims{"acr": "mfa"}, accesstoken.Policy{ACR: []string{"mfa"}, AMR: []string{"otp"}}, accesstoken.PolicyDenied, ""},
		"the acr before the amr": {claims{}, accesstoken.Policy{ACR: []string{"mfa"}, AMR: []string{"otp"}}, accesstoken.StepUpRequired, `acr_values="mfa"`},

		"all at once": {claims{"scope": "a b"}, accesstoken.Policy{Scopes: scopes.All("a", "b"), ACR: []string{"mfa"}, MaxAuthAge: minute}, accesstoken.StepUpRequired,
			`acr_values="mfa", max_age="60", scope="a b"`},
		"scopes come first": {claims{"scope": "a"}, accesstoken.Policy{Scopes: scopes.All("b"), ACR: []string{"mfa"}}, accesstoken.ScopeInsufficient, `scope="b"`},

		"a client for itself": {claims{"sub": "client", "client_id": "client"}, acr("mfa"), accesstoken.PolicyDenied, ""},
		"a client with an acr": {claims{"sub": "client", "client_id": "client", "acr": "mfa", "auth_time": ago(0)},
			accesstoken.Policy{ACR: []string{"mfa"}, MaxAuthAge: minute}, accesstoken.PolicyDenied, ""},
		"a client, and amr": {claims{"sub": "client", "client_id": "client", "amr": []string{"otp"}}, amr("otp"), accesstoken.PolicyDenied, ""},

		"And: both": {claims{"acr": ordered[2]}, acr(ordered[0]).And(acr(ordered[1])), "", ""},
		"And: one":  {claims{"acr": ordered[0]}, acr(ordered[0]).And(acr(ordered[1])), accesstoken.StepUpRequired, `acr_values="urn:x:loa:2"`},
		"And: the other way": {claims{"acr": ordered[0]}, acr(ordered[1]).And(acr(ordered[0])), accesstoken.StepUpRequired,
			`acr_values="urn:x:loa:2"`},
		"And: the shorter age":   {claims{"auth_time": ago(3 * minute)}, age(5 * minute).And(age(2 * minute)), accesstoken.StepUpRequired, `max_age="120"`},
		"And: the first age":     {claims{"acr": "a", "auth_time": ago(3 * minute)}, age(2 * minute).And(acr("a")), accesstoken.StepUpRequired, `acr_values="a", max_age="120"`},
		"And: the only age":      {claims{"auth_time": ago(3 * minute)}, acr().And(age(2 * minute)), accesstoken.StepUpRequired, `max_age="120"`},
		"And: amr of both":       {claims{"amr": []string{"otp"}}, amr("otp").And(amr("hwk")), accesstoken.PolicyDenied, ""},
		"And: amr of both, met":  {claims{"amr": []string{"otp", "hwk"}}, amr("otp").And(amr("hwk")), "", ""},
		"And: acr, and then amr": {claims{"acr": "mfa"}, acr("mfa").And(amr("otp")), accesstoken.PolicyDenied, ""},
		"And: of three": {claims{"acr": ordered[1]}, acr(ordered[0]).And(acr(ordered[1])).And(acr(ordered[2])), accesstoken.StepUpRequired,
			`acr_values="urn:x:loa:10"`},
		"And: what they have in common": {claims{"acr": "a"}, acr("a", "b").And(acr("b", "c")), accesstoken.StepUpRequired, `acr_values="b"`},
	} {
		t.Run(name, func(t *testing.T) {
			token := as.Token(test.claims)
			for _, how := range []string{"verified", "cached"} {
				_, err := v.Authorize(t.Context(), accesstoken.Bearer(token), test.policy)
				if test.want == "" {
					if err != nil {
						t.Errorf("%s: got %v; want it accepted", how, err)
					}
					continue
				}
				refused := wantReason(t, err, test.want)
				lines := refused.Header().Values("WWW-Authenticate")
				switch {
				case test.challenge == "" && lines != nil:
					t.Errorf("%s: got %q; want no challenge", how, lines)
				case test.challenge != "" && (len(lines) != 1 || !strings.HasSuffix(lines[0], `", `+test.challenge)):
					t.Errorf("%s: got %q; want it to end with %s", how, lines, test.challenge)
				case test.want == accesstoken.StepUpRequired && !strings.Contains(lines[0], `error="insufficient_user_authentication"`):
					t.Errorf("%s: got %q", how, lines)
				}
				for _, name := range []string{"acr_values", "max_age", "scope"} { // STEP-14
					if got := refused.Public().Params[name]; (got != "") != strings.Contains(test.challenge, name+"=") || got != "" && !strings.Contains(test.challenge, name+`="`+got+`"`) {
						t.Errorf("%s: got %s %q for gRPC; want it as in %s", how, name, got, test.challenge)
					}
				}
			}
		})
	}
}

// STEP-09: the login grows older, although nothing is read again.
func TestACachedTokenIsRefusedOnceItsLoginIsTooOld(t *testing.T) {
	as := accesstokentest.NewServer(t)
	var clock testkit.Clock
	var refused accesstoken.Claims
	v := newValidator(t, as, func(c *accesstoken.Config) {
		c.Now = clock.Now
		c.OnRefuse = func(ctx context.Context, _ *accesstoken.Error) { refused, _ = accesstoken.FromContext(ctx) }
	})
	policy := accesstoken.Policy{Scopes: scopes.None(), MaxAuthAge: 5 * time.Minute, ACR: []string{"mfa"}}.
		And(accesstoken.Policy{ACR: []string{"other", "mfa"}, AMR: []string{"otp"}})
	token := accesstoken.Bearer(as.Token(accesstokentest.Claims{"auth_time": ago(0), "acr": "mfa", "amr": []string{"otp"}}))
	claims, err := v.Authorize(t.Context(), token, policy)
	if err != nil {
		t.Fatal(err)
	}
	if got := testing.AllocsPerRun(100, func() { _, _ = v.Authorize(t.Context(), token, policy) }); got != 0 {
		t.Errorf("got %v allocations; want none", got)
	}
	clock.Advance(5*time.Minute + 2*time.Second)
	_, err = v.Authorize(t.Context(), token, policy)
	wantReason(t, err, accesstoken.StepUpRequired)
	if !isHit(refused, claims) {
		t.Error("the login is too old: the token was read again; want it judged by what was read at first")
	}
	wantReason(t, v.Check(t.Context(), claims, policy), accesstoken.StepUpRequired)
	again, err := v.Authorize(t.Context(), token, accesstoken.Policy{Scopes: scopes.None()})
	if err != nil || !isHit(again, claims) {
		t.Errorf("without the demand: got %v, a hit %v; want it accepted, and still cached", err, isHit(again, claims))
	}
	if err := v.Check(t.Context(), claims, accesstoken.Policy{Scopes: scopes.None()}); err != nil {
		t.Errorf("without the demand: got %v; want it accepted", err)
	}
}

// STEP-03: auth_time and max_age are whole seconds. If a fraction counted, an authorization
// server could take for fresh what is refused here, and the client would get the same
// challenge again.
func TestTheAgeOfALoginIsCountedInWholeSeconds(t *testing.T) {
	as, clock := accesstokentest.NewServer(t), new(frozen)
	login := time.Now().Truncate(time.Second)
	clock.set(login)
	v := newValidator(t, as, func(c *accesstoken.Config) { c.Now = clock.now })
	token := accesstoken.Bearer(as.Token(accesstokentest.Claims{"auth_time": login.Unix()}))
	for age, want := range map[time.Duration]accesstoken.Reason{
		time.Minute:                   "",
		time.Minute + time.Second - 1: "",
		time.Minute + time.Second:     accesstoken.StepUpRequired,
	} {
		clock.set(login.Add(age))
		if _, err := v.Authorize(t.Context(), token, accesstoken.Policy{MaxAuthAge: time.Minute}); want == "" && err != nil {
			t.Errorf("after %v: got %v; want it accepted", age, err)
		} else if want != "" {
			wantReason(t, err, want)
		}
	}
}

// STEP-08, D15: what cannot work is a fault when the route is set up.
func TestPolicyErr(t *testing.T) {
	as := accesstokentest.NewServer(t)
	v := newValidator(t, as, func(c *accesstoken.Config) { c.ACROrder = ordered })
	with := func(p accesstoken.Policy) accesstoken.Policy {
		p.Scopes = scopes.None()
		return p
	}
	acr := func(values ...string) accesstoken.Policy { return with(accesstoken.Policy{ACR: values}) }
	for name, test := range map[string]struct {
		policy accesstoken.Policy
		want   string // "" is no fault
	}{
		"nothing":                    {accesstoken.Policy{}, "the policy has no Scopes"},
		"no demand on the login":     {with(accesstoken.Policy{}), ""},
		"an age":                     {with(accesstoken.Policy{MaxAuthAge: 30 * time.Second}), ""},
		"an age below zero":          {with(accesstoken.Policy{MaxAuthAge: -time.Second}), "MaxAuthAge is -1s; expected whole seconds"},
		"half a second":              {with(accesstoken.Policy{MaxAuthAge: 90*time.Second + 1}), "expected whole seconds"},
		"less than the leeway":       {with(accesstoken.Policy{MaxAuthAge: 29 * time.Second}), "less than the Leeway of 30s"},
		"acr":                        {acr("a", "urn:x:y"), ""},
		"an empty list":              {with(accesstoken.Policy{ACR: []string{}}), "ACR or AMR is set but empty"},
		"an empty list of methods":   {with(accesstoken.Policy{AMR: []string{}}), "ACR or AMR is set but empty"},
		"an empty acr":               {acr("a", ""), "ACR is"},
		"acr with a space":           {acr("a b"), "ACR is"},
		"acr with a quote":           {acr(`a"b`), "ACR is"},
		"acr with a backslash":       {acr(`a\b`), "ACR is"},
		"acr with a control":         {acr("a\r\nb"), "ACR is"},
		"acr that is not ASCII":      {acr("ä"), "ACR is"},
		"an empty method":            {with(accesstoken.Policy{AMR: []string{""}}), "AMR has an empty element"},
		"And: a fault of the second": {acr("a").And(acr("b c")), "ACR is"},
		"And: nothing in common":     {acr("a").And(acr("b")), "have no ACR in common"},
		"And: in common by order":    {acr(ordered[0]).And(acr(ordered[2])), ""},
		"And: something in common":   {acr("a", "b").And(acr("b")), ""},
		"And: methods":               {with(accesstoken.Policy{AMR: []string{"a"}}).And(with(accesstoken.Policy{AMR: []string{"b"}})), ""},
	} {
		err := v.PolicyErr(test.policy)
		if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v; want %q", name, err, test.want)
		}
		if test.want == "" || name == "nothing" {
			continue
		}
		// A policy that is made later is a misconfiguration, not a refusal of the token.
		_, err = v.Authorize(t.Context(), accesstoken.Bearer(as.Token(accesstokentest.Claims{"acr": "a"})), test.policy)
		wantReason(t, err, accesstoken.ResourceServerMisconfigured)
	}
	if err := new(accesstoken.Validator).PolicyErr(acr("a")); err == nil {
		t.Error("of the zero Validator: got nil; want an error")
	}
}

func TestACROrderFaults(t *testing.T) {
	for want, order := range map[string][]string{
		"ACROrder is set but empty":     {},
		"ACROrder has an empty element": {"a", ""},
		`ACROrder[1] is "a"`:            {"a", "a"},
		`ACROrder[0] is "a b"`:          {"a b"},
	} {
		_, err := accesstoken.NewValidator(accesstoken.Config{Resource: resource, Issuers: []accesstoken.Issuer{{URL: "https://login.example.com"}}, ACROrder: order})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v; want %q", order, err, want)
		}
	}
}

// STEP-13, D15: the operator is told once for each claim, because users would log in again
// and again.
func TestTheOperatorIsToldThatALoginMayNotHelp(t *testing.T) {
	as := accesstokentest.NewServer(t)
	var log, weakLog lockedBuffer
	v := newValidator(t, as, func(c *accesstoken.Config) { c.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
	quiet := newValidator(t, as, func(c *accesstoken.Config) { c.Logger = slog.New(slog.NewTextHandler(&weakLog, nil)) })
	for _, claims := range []accesstokentest.Claims{{"acr": "pwd", "auth_time": ago(0)}, {"acr": "mfa", "auth_time": ago(time.Hour)}} {
		_, err := quiet.Authorize(t.Context(), accesstoken.Bearer(as.Token(claims)), accesstoken.Policy{ACR: []string{"mfa"}, MaxAuthAge: time.Minute})
		wantReason(t, err, accesstoken.StepUpRequired)
	}
	for range 3 {
		for _, test := range []struct {
			claims accesstokentest.Claims
			policy accesstoken.Policy
		}{
			{nil, accesstoken.Policy{ACR: []string{"mfa"}}},
			{nil, accesstoken.Policy{MaxAuthAge: time.Minute}},
			{accesstokentest.Claims{"auth_time": ago(0) * 1000}, accesstoken.Policy{MaxAuthAge: time.Minute}},
			{accesstokentest.Claims{"acr": 1}, accesstoken.Policy{ACR: []string{"mfa"}}},
			{accesstokentest.Claims{"acr": "canary"}, accesstoken.Policy{ACR: []string{"mfa"}}},
			{accesstokentest.Claims{"auth_time": ago(time.Hour)}, accesstoken.Policy{MaxAuthAge: time.Minute}},
		} {
			_, err := v.Authorize(t.Context(), accesstoken.Bearer(as.Token(test.claims)), test.policy)
			wantReason(t, err, accesstoken.StepUpRequired)
		}
	}
	if strings.Contains(weakLog.String(), "level=WARN") {
		t.Errorf("a login that is merely too weak or too old: got %s; want no warning", weakLog.String())
	}
	for _, want := range []string{"the token has no acr", "acr is not a string", "the token has no auth_time", "auth_time is in the future, or is no date"} {
		if got := strings.Count(log.String(), want); got != 1 {
			t.Errorf("%q: got %d times in %s; want once", want, got, log.String())
		}
	}
	if got := strings.Count(log.String(), "level=WARN"); got != 4 || strings.Contains(log.String(), "canary") {
		t.Errorf("got %d warnings: %s; want 4, and none about a login that is merely too weak or too old", got, log.String())
	}
}

// STEP-15: of a JWT and an answer, what both say counts, and of two times the older.
func TestTheLoginOfAJWTAndAnAnswer(t *testing.T) {
	as := accesstokentest.NewServer(t)
	v := newValidator(t, as, func(c *accesstoken.Config) {
		c.Issuers[0].Introspection, c.Issuers[0].AlwaysIntrospect = introspecting(t, as, nil), true
		c.Issuers[0].Keys = jwks.Static(as.Keys()...)
	})
	type claims = accesstokentest.Claims
	strict := accesstoken.Policy{ACR: []string{"mfa"}, MaxAuthAge: time.Minute, AMR: []string{"otp"}}
	login := claims{"acr": "mfa", "auth_time": ago(0), "amr": []string{"otp", "pwd"}}
	change := func(name string, value any) claims {
		changed := claims{}
		for name, value := range login {
			changed[name] = value
		}
		changed[name] = value
		return changed
	}
	good := func() claims { return change("acr", "mfa") }
	for name, test := range map[string]struct {
		jwt, answer claims
		want        accesstoken.Reason
	}{
		"both":                 {good(), good(), ""},
		"the JWT alone":        {good(), claims{}, ""},
		"the answer alone":     {claims{}, good(), ""},
		"neither":              {claims{}, claims{}, accesstoken.StepUpRequired},
		"another acr":          {good(), change("acr", "pwd"), accesstoken.StepUpRequired},
		"the answer is older":  {good(), change("auth_time", ago(time.Hour)), accesstoken.StepUpRequired},
		"the JWT is older":     {change("auth_time", ago(time.Hour)), good(), accesstoken.StepUpRequired},
		"an unreadable answer": {good(), change("auth_time", "now"), accesstoken.StepUpRequired},
		"an unreadable JWT":    {change("auth_time", "now"), good(), accesstoken.StepUpRequired},
		"acr as a number":      {change("acr", 1), good(), accesstoken.StepUpRequired},
		"an answer's number":   {good(), change("acr", 1), accesstoken.StepUpRequired},
		"an empty acr":         {change("acr", ""), good(), accesstoken.StepUpRequired},
		"an answer's empty":    {good(), change("acr", ""), accesstoken.StepUpRequired},
		"another method":       {good(), change("amr", []string{"pwd"}), accesstoken.PolicyDenied},
		"amr as a text":        {change("amr", "otp"), good(), accesstoken.PolicyDenied},
		"an answer's text":     {good(), change("amr", "otp"), accesstoken.PolicyDenied},
		"a method in common":   {good(), change("amr", []string{"otp"}), ""},
	} {
		t.Run(name, func(t *testing.T) {
			test.jwt["jti"], test.answer["jti"] = name, name
			token := as.Token(test.jwt)
			as.Remember(token, as.Claims(test.answer))
			_, err := v.Authorize(t.Context(), accesstoken.Bearer(token), strict)
			if test.want == "" && err != nil {
				t.Errorf("got %v; want it accepted", err)
			} else if test.want != "" {
				wantReason(t, err, test.want)
			}
		})
	}
	opaque := as.Opaque(good())
	if _, err := v.Authorize(t.Context(), accesstoken.Bearer(opaque), strict); err != nil {
		t.Errorf("an opaque token: got %v; want it accepted", err)
	}
}

// A clock that panics while a policy is judged refuses the request.
func TestAClockThatPanicsInAPolicy(t *testing.T) {
	as := accesstokentest.NewServer(t)
	calls := 0
	v := newValidator(t, as, func(c *accesstoken.Config) {
		c.Now = func() time.Time {
			if calls++; calls > 1 {
				panic("canary")
			}
			return time.Now()
		}
	})
	_, err := v.Authorize(t.Context(), accesstoken.Bearer(as.Token(accesstokentest.Claims{"auth_time": ago(0)})), accesstoken.Policy{MaxAuthAge: time.Minute})
	if refused := wantReason(t, err, accesstoken.InternalError); strings.Contains(refused.Error(), "canary") {
		t.Errorf("got %v; want no text of the panic", refused)
	}
}

// STEP-06: whatever a policy has, its challenge can be read.
func FuzzStepUpChallenge(f *testing.F) {
	f.Add("urn:x:mfa", "pwd", 60)
	f.Add(`a"b`, "\r\n", -1)
	v, err := accesstoken.NewValidator(accesstoken.Config{Resource: resource, Issuers: []accesstoken.Issuer{{URL: "https://login.example.com"}}})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = v.Close() })
	f.Fuzz(func(t *testing.T, one, other string, seconds int) {
		policy := accesstoken.Policy{Scopes: scopes.None(), ACR: []string{one, other}, MaxAuthAge: time.Duration(seconds) * time.Second}
		if v.PolicyErr(policy) != nil {
			return
		}
		ctx := accesstokentest.NewContext(t.Context(), nil)
		claims, ok := accesstoken.FromContext(ctx)
		if !ok {
			t.Fatal("no claims")
		}
		refused := wantReason(t, v.Check(ctx, claims, policy), accesstoken.StepUpRequired)
		want := fmt.Sprintf(`acr_values="%s %s"`, one, other)
		if one == other {
			want = fmt.Sprintf(`acr_values=%q`, one)
		}
		if policy.MaxAuthAge > 0 {
			want += fmt.Sprintf(`, max_age="%d"`, seconds)
		}
		if got := refused.Header().Get("WWW-Authenticate"); !strings.HasSuffix(got, want) {
			t.Errorf("got %s; want it to end with %s", got, want)
		}
	})
}

// Code that authenticates callers by itself can say how they logged in.
func TestAPolicyReadsTheLoginOfAnIdentity(t *testing.T) {
	v := newStaticValidator(t)
	strict := accesstoken.Policy{Scopes: scopes.None(), ACR: []string{"mfa"}, MaxAuthAge: time.Minute}
	for payload, want := range map[string]accesstoken.Reason{
		fmt.Sprintf(`{"acr":"mfa","auth_time":%d}`, ago(0)):         "",
		fmt.Sprintf(`{"acr":"mfa","auth_time":%d}`, ago(time.Hour)): accesstoken.StepUpRequired,
		`{}`: accesstoken.StepUpRequired,
	} {
		claims, err := v.Vouch(accesstoken.Identity{Issuer: "sessions", Subject: "alice", Expiry: time.Now().Add(time.Hour), Payload: []byte(payload)})
		if err != nil {
			t.Fatal(err)
		}
		if err := v.Check(t.Context(), claims, strict); want == "" && err != nil {
			t.Errorf("%s: got %v; want it accepted", payload, err)
		} else if want != "" {
			wantReason(t, err, want)
		}
	}
}

// D15: And loses no demand, also none that is a fault, and none whose field of the result was
// cleared.
func TestAndLosesNoDemand(t *testing.T) {
	as := accesstokentest.NewServer(t)
	v := newValidator(t, as, func(c *accesstoken.Config) { c.DetailTypes = detailTypes() })
	token := accesstoken.Bearer(as.Token(nil))
	empty := accesstoken.Policy{Details: []accesstoken.DetailRequirement{}}
	plain := accesstoken.Policy{Scopes: scopes.None()}
	cleared := accesstoken.Policy{ACR: []string{"a"}}.And(accesstoken.Policy{ACR: []string{"a", "b"}})
	cleared.ACR = nil
	for name, test := range map[string]struct {
		policy accesstoken.Policy
		want   accesstoken.Reason
	}{
		"an empty list first":                    {empty.And(plain), accesstoken.ResourceServerMisconfigured},
		"an empty list second":                   {plain.And(empty), accesstoken.ResourceServerMisconfigured},
		"an empty list, and one that has a type": {plain.And(empty).And(accesstoken.Policy{Details: []accesstoken.DetailRequirement{{Type: "payment"}}}), accesstoken.ResourceServerMisconfigured},
		"a cleared ACR":                          {cleared, accesstoken.StepUpRequired},
		"a cleared ACR, and then another demand": {plain.And(cleared), accesstoken.StepUpRequired},
	} {
		_, err := v.Authorize(t.Context(), token, test.policy)
		if test.want != "" && err == nil {
			t.Errorf("%s: got it accepted; want %s", name, test.want)
			continue
		}
		wantReason(t, err, test.want)
	}
}
