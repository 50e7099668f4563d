package accesstoken_test

import (
	"bytes"
	"cmp"
	"context"
	"crypto"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/accesstokentest"
	"github.com/accesstoken/accesstoken/dpop"
	"github.com/accesstoken/accesstoken/introspection"
	"github.com/accesstoken/accesstoken/jwks"
	"github.com/accesstoken/accesstoken/scopes"
)

var (
	updateExplained = flag.Bool("update", false, "write testdata/explain.txt")
	explainedCases  = flag.Int("explain", 2_000, "how many random requests TestExplainDecidesAsAuthorize decides")
)

// A puzzle is a request for which Explain gives a reason.
type puzzle struct {
	change func(*accesstoken.Config)
	token  func(s *stage) string
	send   func(s *stage, r *http.Request)
	policy accesstoken.Policy
	before bool // the very same request was accepted before
}

// A stage has what the puzzles need. Its clock stands still.
type stage struct {
	t      *testing.T
	as     *accesstokentest.Server
	holder holder
	now    time.Time
}

func newStage(t *testing.T) *stage {
	return &stage{t, accesstokentest.NewServer(t), newHolder(t), time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC)}
}

func (s *stage) claims(more accesstokentest.Claims) accesstokentest.Claims {
	claims := accesstokentest.Claims{"iss": "https://login.example", "sub": "alice", "client_id": "app", "jti": "1", "aud": resource,
		"iat": s.now.Unix(), "exp": s.now.Add(5 * time.Minute).Unix(), "scope": "orders:read"}
	maps.Copy(claims, more)
	return claims
}

func with(more accesstokentest.Claims) func(*stage) string {
	return func(s *stage) string { return s.as.Token(s.claims(more)) }
}

func (s *stage) play(c puzzle) (*accesstoken.Validator, accesstoken.Credentials) {
	v := newValidator(s.t, s.as, func(config *accesstoken.Config) {
		config.Now = func() time.Time { return s.now }
		config.Issuers = []accesstoken.Issuer{{URL: "https://login.example", Keys: jwks.Static(s.as.Keys()...), Algorithms: []string{"RS256", "ES256"}}}
		if c.change != nil {
			c.change(config)
		}
	})
	r := httptest.NewRequest("GET", "/orders", nil)
	if c.token != nil {
		r.Header.Set("Authorization", "Bearer "+c.token(s))
	}
	if c.send != nil {
		c.send(s, r)
	}
	return v, v.CredentialsOf(r)
}

// puzzles has one request for each reason that Authorize can give.
func (s *stage) puzzles() map[accesstoken.Reason]puzzle {
	good := with(nil)
	withDPoP := func(c *accesstoken.Config) {
		c.DPoP = s.verifier(dpop.Config{NonceKey: bytes.Repeat([]byte("k"), 32)})
	}
	bound := with(accesstokentest.Claims{"cnf": s.holder.cnf(true, false)})
	byDPoP := func(proof func(s *stage, token string) string) func(*stage, *http.Request) {
		return func(s *stage, r *http.Request) {
			token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
			r.Header.Set("Authorization", "DPoP "+token)
			r.Header.Set("DPoP", proof(s, token))
		}
	}
	opaque := func(client *introspection.Client) func(c *accesstoken.Config) {
		return func(c *accesstoken.Config) { c.Issuers[0].Introspection = client }
	}
	inactive := newIntrospection(s.t, s.as)
	revoked := func(s *stage) string {
		token := good(s)
		s.as.Revoke(token)
		return token
	}
	return map[accesstoken.Reason]puzzle{
		"":                               {token: good, policy: accesstoken.Policy{Scopes: scopes.All("orders:read")}},
		accesstoken.CredentialsMissing:   {},
		accesstoken.SchemeUnsupported:    {send: func(_ *stage, r *http.Request) { r.Header.Set("Authorization", "Basic YTpi") }},
		accesstoken.CredentialsMalformed: {send: func(_ *stage, r *http.Request) { r.Header.Set("Authorization", "Bearer") }},
		accesstoken.CredentialsAmbiguous: {token: good, send: func(_ *stage, r *http.Request) { r.Header.Add("Authorization", "Bearer b") }},
		accesstoken.TokenTooLarge:        {token: with(accesstokentest.Claims{"pad": strings.Repeat("x", 16<<10)})},
		accesstoken.TokenMalformed:       {send: func(_ *stage, r *http.Request) { r.Header.Set("Authorization", "Bearer opaque") }},
		accesstoken.AlgorithmNotAllowed:  {token: good, change: func(c *accesstoken.Config) { c.Issuers[0].Algorithms = []string{"EdDSA"} }},
		accesstoken.TokenTypeMismatch: {token: func(s *stage) string {
			return s.as.Sign(map[string]any{"typ": "JWT"}, s.claims(accesstokentest.Claims{"scp": "a"}))
		}},
		accesstoken.IssuerUnknown:     {token: with(accesstokentest.Claims{"iss": "https://login.example/"})},
		accesstoken.KeyNotFound:       {token: func(s *stage) string { return s.as.Sign(map[string]any{"kid": "new"}, s.claims(nil)) }},
		accesstoken.SignatureInvalid:  {token: func(s *stage) string { return foreign(s, good(s)) }},
		accesstoken.TokenExpired:      {token: with(accesstokentest.Claims{"exp": s.now.Add(-time.Minute).Unix()})},
		accesstoken.TokenNotYetValid:  {token: with(accesstokentest.Claims{"nbf": s.now.Add(time.Minute).Unix()})},
		accesstoken.AudienceMismatch:  {token: with(accesstokentest.Claims{"aud": "https://other.example"})},
		accesstoken.ClaimInvalid:      {token: good, change: func(c *accesstoken.Config) { c.Issuers[0].Clients = []string{"web"} }},
		accesstoken.TokenInactive:     {token: revoked, change: func(c *accesstoken.Config) { opaque(inactive)(c); c.Issuers[0].AlwaysIntrospect = true }},
		accesstoken.BindingRequired:   {token: bound, change: withDPoP},
		accesstoken.BindingMismatch:   {token: with(accesstokentest.Claims{"cnf": s.holder.cnf(false, true)})},
		accesstoken.DPoPProofInvalid:  {token: bound, change: withDPoP, send: byDPoP(func(*stage, string) string { return "no proof" })},
		accesstoken.DPoPNonceRequired: {token: bound, change: withDPoP, send: byDPoP(func(s *stage, token string) string { return s.holder.proof(s.t, "GET", "/orders", token) })},
		accesstoken.DPoPProofReplayed: {token: bound, before: true, change: func(c *accesstoken.Config) { c.DPoP = s.verifier(dpop.Config{}) },
			send: byDPoP(func(s *stage, token string) string { return s.proof(token) })},
		accesstoken.StepUpRequired:              {token: with(accesstokentest.Claims{"acr": "pwd"}), policy: accesstoken.Policy{Scopes: scopes.None(), ACR: []string{"mfa"}}},
		accesstoken.ScopeInsufficient:           {token: with(accesstokentest.Claims{"scope": nil, "scp": []string{"orders:write"}}), policy: accesstoken.Policy{Scopes: scopes.All("orders:write")}},
		accesstoken.PolicyDenied:                {token: good, policy: accesstoken.Policy{Scopes: scopes.None(), SPIFFEIDs: []string{"spiffe://example.org/a"}}},
		accesstoken.KeysUnavailable:             {token: good, change: func(c *accesstoken.Config) { c.Issuers[0].Keys = sourceFunc(keysDown) }},
		accesstoken.IssuerUnavailable:           {token: with(accesstokentest.Claims{"iss": "https://tenant.example"}), change: func(c *accesstoken.Config) { c.ResolveIssuer = issuersDown }},
		accesstoken.StatusUnavailable:           {token: good, change: func(c *accesstoken.Config) { c.Issuers[0].Accept = acceptDown }},
		accesstoken.InternalError:               {token: good, change: func(c *accesstoken.Config) { c.Issuers[0].Accept = acceptPanics }},
		accesstoken.ResourceServerMisconfigured: {token: good, policy: accesstoken.Policy{Scopes: scopes.All("a b")}},
		accesstoken.IntrospectionUnavailable:    {token: good, change: func(c *accesstoken.Config) { opaque(deadIntrospection(s))(c); c.Issuers[0].AlwaysIntrospect = true }},
		accesstoken.AuthorizationDetailsInsufficient: {token: good, policy: accesstoken.Policy{Scopes: scopes.None(), Details: []accesstoken.DetailRequirement{{Type: "payment"}}},
			change: func(c *accesstoken.Config) { c.DetailTypes = map[string]accesstoken.DetailType{"payment": {}} }},
	}
}

func (s *stage) verifier(config dpop.Config) *dpop.Verifier {
	config.URLs = []string{resource}
	verifier, err := dpop.NewVerifier(config)
	if err != nil {
		s.t.Fatal(err)
	}
	return verifier
}

func (s *stage) proof(token string) string {
	proof, err := s.holder.signer.Sign(dpop.Proof{Method: "GET", URL: resource + "/orders", Token: token})
	if err != nil {
		s.t.Fatal(err)
	}
	return proof
}

// foreign returns the token with the signature of another.
func foreign(s *stage, token string) string {
	other := s.as.Token(s.claims(accesstokentest.Claims{"sub": "mallory"}))
	return token[:strings.LastIndexByte(token, '.')] + other[strings.LastIndexByte(other, '.'):]
}

func keysDown(context.Context, string, string) ([]crypto.PublicKey, uint64, error) {
	return nil, 0, errors.New("the key service is down")
}

func issuersDown(context.Context, string) (*accesstoken.Issuer, error) {
	return nil, errors.New("the database is down")
}

func acceptDown(context.Context, accesstoken.Claims) error {
	return fmt.Errorf("the accounts are not known: %w", accesstoken.Unavailable)
}

func acceptPanics(context.Context, accesstoken.Claims) error { panic("oops") }

// deadIntrospection is a client whose endpoint answers with 500.
func deadIntrospection(s *stage) *introspection.Client {
	s.as.Handle("/dead", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) }))
	client, err := introspection.NewClient(introspection.Config{Endpoint: s.as.URL + "/dead", ClientID: "api", ClientSecret: "s", HTTPClient: s.as.Client()})
	if err != nil {
		s.t.Fatal(err)
	}
	return client
}

// unexplained are the reasons that Explain does not give, and why.
var unexplained = map[accesstoken.Reason]string{
	accesstoken.TransportInsecure:      "reserved",
	accesstoken.OriginRefused:          "decided by integrations/mcpauth",
	accesstoken.ReplayStoreUnavailable: "the Store is not asked, because that would use the proof up",
	accesstoken.TokenInvalid:           "for clients",
	accesstoken.Unavailable:            "a class",
}

// Each reason has a request whose explanation is written down. It names the check that
// Authorize's refusal comes from, and what to set.
func TestEachReasonIsExplained(t *testing.T) {
	s := newStage(t)
	puzzles := s.puzzles()
	source, err := os.ReadFile("reason.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, found := range regexp.MustCompile(`(?m)^\t\w+ +Reason = "(\w+)"`).FindAllStringSubmatch(string(source), -1) {
		reason := accesstoken.Reason(found[1])
		if _, ok := puzzles[reason]; !ok && unexplained[reason] == "" {
			t.Errorf("%s: got no puzzle", reason)
		}
	}
	var text strings.Builder
	for _, reason := range slices.Sorted(maps.Keys(puzzles)) {
		c := puzzles[reason]
		v, credentials := s.play(c)
		if c.before {
			if _, err := v.Authorize(t.Context(), credentials, c.policy); err != nil {
				t.Errorf("%s: at first got %v; want nil", reason, err)
			}
		}
		e := v.Explain(t.Context(), credentials, c.policy)
		whole := e.String()
		if reason != "" {
			e.Checks = e.Checks[len(e.Checks)-1:]
		}
		fmt.Fprintf(&text, "# %s\n\n%s\n", cmp.Or(reason, "OK"), e)
		_, err := v.Authorize(t.Context(), credentials, c.policy)
		switch {
		case reason == "" && (e.Err != nil || err != nil):
			t.Errorf("got %v and %v; want nil", e.Err, err)
		case reason != "" && (!errors.Is(err, reason) || e.Err == nil || e.Err.Error() != err.Error()):
			t.Errorf("%s: got %v, explained as %v", reason, err, e.Err)
		}
		if c.policy.SPIFFEIDs == nil && strings.Contains(whole, "alice") {
			t.Errorf("%s: got sub, which nothing is compared with, in %s", reason, whole)
		}
	}
	got := strings.NewReplacer(s.as.URL, "https://as.example", s.as.KeyID("RS256"), "kid-1").Replace(text.String())
	got = regexp.MustCompile(`goroutine \d+|0x[0-9a-f]+`).ReplaceAllString(got, "…")
	const file = "testdata/explain.txt"
	if *updateExplained {
		if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if want, err := os.ReadFile(file); err != nil || string(want) != got {
		t.Errorf("the explanations differ from %s (%v); to write it, run go test -run TestEachReasonIsExplained . -update; got\n%s", file, err, got)
	}
}

// Explain says what Authorize decides, whatever comes.
func TestExplainDecidesAsAuthorize(t *testing.T) {
	s := newStage(t)
	var validators []*accesstoken.Validator
	verifier := s.verifier(dpop.Config{})
	for range 8 {
		n := len(validators)
		v, _ := s.play(puzzle{change: func(c *accesstoken.Config) {
			c.DPoP = verifier
			i := &c.Issuers[0]
			if n&1 != 0 {
				i.Clients, i.MaxAge = []string{"app"}, time.Hour
			}
			if n&2 != 0 {
				i.Clients, i.Relax, i.SingleAudience = []string{"app", "x"}, accesstoken.Relax{Typ: true, JTI: true, ClientID: true}, true
			}
			if n&4 != 0 {
				i.Profile, i.Relax = accesstoken.Keycloak, accesstoken.Relax{}
			}
		}})
		validators = append(validators, v)
	}
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 0))
	counts := map[accesstoken.Reason]int{}
	for n := range *explainedCases {
		v, credentials, policy := validators[random.IntN(len(validators))], s.randomCredentials(random), randomPolicy(random)
		e := v.Explain(t.Context(), credentials, policy)
		_, err := v.Authorize(t.Context(), credentials, policy)
		var refused *accesstoken.Error
		errors.As(err, &refused)
		if (refused == nil) != (e.Err == nil) || refused != nil && refused.Error() != e.Err.Error() {
			t.Fatalf("request %d of seed %d: got %v, explained as %v\n%s", n, seed, err, e.Err, e)
		}
		if refused != nil {
			counts[refused.Reason]++
		} else {
			counts[""]++
		}
	}
	if len(counts) < 10 || counts[""] < *explainedCases/100 {
		t.Errorf("seed %d: got the reasons %v; want ten, and requests that pass", seed, counts)
	}
	t.Logf("seed %d: %v", seed, counts)
}

// randomCredentials are of a token that is good but for a few changes.
func (s *stage) randomCredentials(random *rand.Rand) accesstoken.Credentials {
	pick := func(values ...any) any { return values[random.IntN(len(values))] }
	claims, header := s.claims(nil), map[string]any{}
	ago := func(d time.Duration) int64 { return s.now.Add(d).Unix() }
	for range random.IntN(4) {
		name := pick("iss", "aud", "exp", "iat", "nbf", "scope", "client_id", "azp", "jti", "sub", "cnf", "acr", "auth_time", "nonce", "act", "token_use").(string)
		claims[name] = map[string]func() any{
			"iss": func() any { return pick("https://login.example/", "https://other.example", 7, nil) },
			"aud": func() any { return pick("https://other.example", []string{resource, "x"}, []string{}, nil, 7) },
			"exp": func() any { return pick(ago(-time.Hour), ago(-time.Second), ago(48*time.Hour), "7", nil) },
			"iat": func() any { return pick(ago(-2*time.Hour), ago(time.Hour), nil, "7") },
			"nbf": func() any { return pick(ago(time.Second), ago(time.Hour), nil) },
			"cnf": func() any {
				return pick(s.holder.cnf(true, false), s.holder.cnf(false, true), map[string]any{"x": 1}, "x")
			},
			"act": func() any { return pick(map[string]any{"sub": "bob"}, "x") },
		}[name]
		if make, ok := claims[name].(func() any); ok && make != nil {
			claims[name] = make()
		} else {
			claims[name] = pick("app", "x", "", nil, 7, "pwd", ago(-time.Minute), "id")
		}
	}
	for range random.IntN(2) {
		header[pick("typ", "kid", "alg", "crit").(string)] = pick("JWT", "at+jwt", "none", "ES256", "HS256", "x")
	}
	token := s.as.Token(claims)
	if len(header) > 0 && header["alg"] == nil {
		token = s.as.Sign(header, claims)
	}
	switch random.IntN(12) {
	case 0:
		token = foreign(s, token)
	case 1:
		token = token[:random.IntN(len(token))]
	}
	r := httptest.NewRequest("GET", "/orders", nil)
	r.Header.Set("Authorization", pick("Bearer ", "Bearer ", "Bearer ", "DPoP ", "Basic ").(string)+token)
	if random.IntN(3) == 0 {
		r.Header.Set("DPoP", s.proof(token))
	}
	return accesstoken.CredentialsOf(r)
}

func randomPolicy(random *rand.Rand) accesstoken.Policy {
	return []accesstoken.Policy{
		{}, {Scopes: scopes.None()}, {Scopes: scopes.All("orders:read")}, {Scopes: scopes.All("orders:write")},
		{Scopes: scopes.None(), SenderConstrained: true}, {Scopes: scopes.None(), ACR: []string{"pwd"}},
		{Scopes: scopes.None(), MaxAuthAge: time.Minute}, {Scopes: scopes.None(), FreshIntrospection: true},
		{Scopes: scopes.None(), RefuseDelegated: true}, actedBy(accesstoken.Actor{Issuer: "https://login.example", Subject: "bob"}),
	}[random.IntN(10)]
}

// Explain leaves no trace: neither in what is remembered, nor in what is allowed, nor in what
// anybody is told.
func TestExplainLeavesNoTrace(t *testing.T) {
	s := newStage(t)
	var log bytes.Buffer
	told := 0
	verifier := s.verifier(dpop.Config{})
	client, err := introspection.NewClient(introspection.Config{
		Endpoint: s.as.IntrospectionEndpoint(), ClientID: accesstokentest.ClientID, ClientSecret: accesstokentest.ClientSecret,
		HTTPClient: s.as.Client(), CacheFor: time.Hour,
	})
	if err != nil {
		t.Fatal(err)
	}
	v := newValidator(t, s.as, func(c *accesstoken.Config) {
		c.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
		c.OnRefuse = func(context.Context, *accesstoken.Error) { told++ }
		c.DPoP = verifier
		c.Issuers[0].Introspection = client
	})
	counted := func() string {
		s := v.Stats()
		keys, answers := s.Issuers[0].Keys, s.Issuers[0].Introspection
		return fmt.Sprint(s.Decisions, s.Tokens, s.Proofs, keys.Keys, keys.Generation, keys.Budget, keys.Succeeded, keys.NotModified, keys.Failed, keys.Misses, keys.Suppressed,
			answers.Hits, answers.Misses, answers.Stale, answers.Skipped, answers.Busy, answers.Answered, answers.Failed, answers.Bytes, answers.BreakerOpened)
	}
	explain := func(token string, want accesstoken.Reason) {
		t.Helper()
		before := counted()
		e := v.Explain(t.Context(), accesstoken.Bearer(token), accesstoken.Policy{})
		if (want == "") != (e.Err == nil) || want != "" && !errors.Is(e.Err, want) {
			t.Errorf("got %v; want %q\n%s", e.Err, want, e)
		}
		if after := counted(); after != before {
			t.Errorf("the counters before and after:\n%s\n%s", before, after)
		}
	}
	log.Reset() // what NewValidator says

	// Nothing that Explain fetches is kept.
	explain(s.as.Token(nil), "")
	explain(s.as.Token(nil), "")
	if got := s.as.Requests("/jwks"); got != 2 {
		t.Errorf("got %d fetches of keys; want one for each call", got)
	}
	if _, err := v.Validate(t.Context(), accesstoken.Bearer(s.as.Token(nil))); err != nil || s.as.Requests("/jwks") != 3 {
		t.Errorf("afterwards: got %v, and %d fetches; want nil, and 3", err, s.as.Requests("/jwks"))
	}

	// It spends no fetch that unknown kids may cause, so that a rotation is seen.
	for n := range 5 {
		explain(s.as.Sign(map[string]any{"kid": fmt.Sprint("invented", n)}, s.as.Claims(nil)), accesstoken.KeyNotFound)
	}
	s.as.Rotate()
	if _, err := v.Validate(t.Context(), accesstoken.Bearer(s.as.Token(nil))); err != nil {
		t.Errorf("after a rotation: got %v; want nil", err)
	}

	// An answer is not kept either, and an answer that is kept counts.
	opaque := s.as.Opaque(nil)
	explain(opaque, "")
	explain(opaque, "")
	if _, err := v.Validate(t.Context(), accesstoken.Bearer(opaque)); err != nil || s.as.Requests("/introspect") != 3 {
		t.Errorf("got %v, and %d calls; want nil, and 3", err, s.as.Requests("/introspect"))
	}
	explain(opaque, "")
	if got := s.as.Requests("/introspect"); got != 3 {
		t.Errorf("a kept answer: got %d calls; want 3", got)
	}

	// A proof is not used up, and one that is used is refused.
	token := s.as.Token(accesstokentest.Claims{"cnf": s.holder.cnf(true, false)})
	r := httptest.NewRequest("GET", "/orders", nil)
	r.Header.Set("Authorization", "DPoP "+token)
	r.Header.Set("DPoP", s.proof(token))
	credentials := v.CredentialsOf(r)
	for n, want := range []accesstoken.Reason{"", "", accesstoken.DPoPProofReplayed} {
		if n == 2 {
			if _, err := v.Validate(t.Context(), credentials); err != nil {
				t.Errorf("the proof: got %v; want nil", err)
			}
		}
		if e := v.Explain(t.Context(), credentials, accesstoken.Policy{}); (want == "") != (e.Err == nil) || want != "" && !errors.Is(e.Err, want) {
			t.Errorf("the proof, explained for the %d. time: got %v; want %q", n+1, e.Err, want)
		}
	}

	// A correctly signed token that is refused, of which the log would warn.
	explain(s.as.Token(accesstokentest.Claims{"aud": "https://other.example"}), accesstoken.AudienceMismatch)
	if told != 0 || log.Len() != 0 {
		t.Errorf("OnRefuse was told %d times, and the log has %q; want nothing", told, log.String())
	}

	// The claims are no authentication.
	e := v.Explain(t.Context(), accesstoken.Bearer(s.as.Token(nil)), accesstoken.Policy{})
	wantReason(t, v.Check(t.Context(), e.Claims, accesstoken.Policy{Scopes: scopes.None()}), accesstoken.ResourceServerMisconfigured)
	if err := v.Close(); err != nil {
		t.Error(err)
	}
	explain(s.as.Token(nil), accesstoken.KeysUnavailable)
}

// With ResolveIssuer, Explain asks about an issuer that is not known, and forgets it.
func TestExplainAsksAboutAnUnknownIssuer(t *testing.T) {
	s := newStage(t)
	asked := 0
	v := newValidator(t, s.as, func(c *accesstoken.Config) {
		c.Issuers = nil
		c.ResolveIssuer = func(_ context.Context, iss string) (*accesstoken.Issuer, error) {
			asked++
			if iss != s.as.URL {
				return nil, nil
			}
			return &accesstoken.Issuer{URL: iss}, nil
		}
	})
	for n := range 3 {
		if e := v.Explain(t.Context(), accesstoken.Bearer(s.as.Token(nil)), accesstoken.Policy{}); e.Err != nil || asked != n+1 {
			t.Errorf("got %v, asked %d times; want nil, and %d", e.Err, asked, n+1)
		}
	}
	if _, err := v.Validate(t.Context(), accesstoken.Bearer(s.as.Token(nil))); err != nil || asked != 4 {
		t.Errorf("Validate: got %v, asked %d times; want nil, and 4", err, asked)
	}
	if e := v.Explain(t.Context(), accesstoken.Bearer(s.as.Token(nil)), accesstoken.Policy{}); e.Err != nil || asked != 4 {
		t.Errorf("a known one: got %v, asked %d times; want nil, and 4", e.Err, asked)
	}
	e := v.Explain(t.Context(), accesstoken.Bearer(s.as.Token(accesstokentest.Claims{"iss": "https://none.example"})), accesstoken.Policy{})
	wantReason(t, e.Err, accesstoken.IssuerUnknown)
}

// The text of an explanation has neither the token, nor claims that nothing is compared with.
func TestAnExplanationTellsOnlyWhatWasCompared(t *testing.T) {
	s := newStage(t)
	v := newValidator(t, s.as, nil)
	token := s.as.Token(accesstokentest.Claims{"email": "canary@example.com", "sub": "canary-sub", "name": "canary-name", "jti": "canary-id"})
	text := v.Explain(t.Context(), accesstoken.Bearer(token), accesstoken.Policy{Scopes: scopes.All("none")}).String()
	parts := strings.Split(token, ".")
	for _, secret := range append(parts, "canary") {
		if strings.Contains(text, secret) {
			t.Errorf("got %q in %s", secret, text)
		}
	}
	forged := v.Explain(t.Context(), accesstoken.Bearer(s.as.Token(accesstokentest.Claims{"iss": "https://evil\n\x1b[31mok"})), accesstoken.Policy{}).String()
	if strings.Contains(forged, "\x1b") || strings.Contains(forged, "evil\n") {
		t.Errorf("got a control character in %q", forged)
	}
}
