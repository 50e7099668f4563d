package conformance_test

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"regexp"
	"slices"
	"strconv"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/grpcauth"
)

// TestEachCarrierIsWhatItSays: the protocol that is spoken, and whether TLS is
// under it. Without it all carriers could be one.
func TestEachCarrierIsWhatItSays(t *testing.T) {
	s := earth.play(t, vector{})
	if _, err := earth.carriers.set(s); err != nil {
		t.Fatal(err)
	}
	type connection struct {
		proto  string
		secure bool
	}
	sent := request{method: "GET", lines: []string{"Bearer " + earth.token(t, recipe{})}}
	for name, want := range map[string]connection{
		"net/http over HTTP/1.1":           {"HTTP/1.1", true},
		"net/http over HTTP/2":             {"HTTP/2.0", true},
		"net/http over HTTP/2 without TLS": {"HTTP/2.0", false},
		"Echo":                             {"HTTP/1.1", true},
	} {
		i := slices.IndexFunc(earth.carriers.all, func(c carrier) bool { return c.name == name })
		if i < 0 {
			t.Errorf("no carrier is called %q", name)
			continue
		}
		a := ask(t, earth.carriers.all[i], sent)
		if got := (connection{a.proto, a.secure}); got != want {
			t.Errorf("%s: got %v; want %v", name, got, want)
		}
	}
}

// TestEveryRequestToAnIssuerIsCounted: that a server is untouched would be easy
// to say if nobody looked.
func TestEveryRequestToAnIssuerIsCounted(t *testing.T) {
	before := earth.requests()
	s := earth.play(t, vector{})
	if _, err := s.validator.Validate(t.Context(), accesstoken.Bearer(earth.token(t, recipe{}))); err != nil {
		t.Fatal(err)
	}
	const metadataAndKeys = 2
	if got := earth.grew(before); got["as"] != metadataAndKeys || len(got) != 1 {
		t.Errorf("got %v requests; want 2 to as, and no others", got)
	}
	answer, err := earth.client(0).Get(earth.other.URL + "/any/path")
	if err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close()
	if got := earth.grew(before); got["other"] != 1 {
		t.Errorf("got %v requests; want 1 to other, whatever the path", got)
	}
}

// A row is one row of the outcome matrix.
type row struct {
	Row       string             `json:"row"`
	Cause     string             `json:"cause"`
	Walk      string             `json:"walk"` // how it is reached: one of walks
	Reason    accesstoken.Reason `json:"reason"`
	Wire      string             `json:"wire"` // the ErrorInfo reason; "" for no ErrorInfo
	Status    int                `json:"status"`
	Error     string             `json:"error"` // of the challenge
	Challenge bool               `json:"challenge"`
	Code      string             `json:"code"` // as google.golang.org/grpc/codes prints it
}

func (r row) expectation(t *testing.T) expectation {
	t.Helper()
	for code := range codes.Code(17) {
		if code.String() == r.Code {
			return expectation{outcome: outcome{r.Status, code, r.Error, r.Challenge}, reason: r.Reason, wire: r.Wire}
		}
	}
	t.Fatalf("no gRPC code is called %q", r.Code)
	return expectation{}
}

// A walk says how a row is reached on a stage. The zero walk is a handler that
// refuses with the row's error, whose feature need not exist yet.
type walk struct {
	says    func(t *testing.T, w *world, s *scene, r row) error // by the handlers; nil: they let everybody in
	vector  vector                                              // what is sent, and to whom
	scene   func(t *testing.T, w *world, s *scene)              // changes the validator
	rpc     string                                              // method without a rule
	only    string                                              // name of the carrier
	told    accesstoken.Reason                                  // what OnRefuse hears, if not the row's reason
	unheard bool                                                // OnRefuse heard of it when it was made
}

var walks = map[string]walk{
	"error": {says: func(_ *testing.T, _ *world, _ *scene, r row) error { return &accesstoken.Error{Reason: r.Reason} }},
	"deny": {says: func(_ *testing.T, _ *world, _ *scene, r row) error {
		return accesstoken.Deny(r.Reason, errors.New("no"))
	}},
	"in the stream":              {says: func(_ *testing.T, _ *world, _ *scene, r row) error { return &accesstoken.Error{Reason: r.Reason} }, only: "gRPC stream"},
	"deadline":                   {says: contextError(context.DeadlineExceeded), unheard: true},
	"canceled":                   {says: contextError(context.Canceled), unheard: true},
	"any error":                  {says: anyError, unheard: true},
	"hook panics":                {scene: panickingHook, told: accesstoken.CredentialsMissing},
	"keys panic":                 {scene: panickingKeys},
	"bound to a key, as Bearer":  {vector: vector{Config: offered, Token: boundTo("jkt"), Proof: &recipe{}, Lines: []string{"Bearer ${token}"}}},
	"not bound, as DPoP":         {vector: vector{Config: offered, Proof: &recipe{}}},
	"no proof":                   {vector: vector{Config: offered, Token: boundTo("jkt"), Lines: []string{"DPoP ${token}"}}},
	"a proof by another key":     {vector: vector{Config: offered, Token: boundTo("jkt"), Proof: &recipe{Signer: "thief"}}},
	"a proof again":              {vector: vector{Config: offered, Token: boundTo("jkt"), Proof: &recipe{}, Twice: true}},
	"no nonce":                   {vector: vector{Config: setup{DPoP: &dpopSetup{Nonces: true}}, Token: boundTo("jkt"), Proof: &recipe{}}},
	"no memory of proofs":        {vector: vector{Config: setup{DPoP: &dpopSetup{Store: "down"}}, Token: boundTo("jkt"), Proof: &recipe{}}},
	"another certificate":        {vector: vector{Token: boundTo("x5t"), Certificate: "thief"}},
	"bound to nobody knows what": {vector: vector{Token: recipe{Claims: members(`{"cnf": {"kid": "${canary}"}}`)}}},
	"no rule":                    {says: func(_ *testing.T, _ *world, _ *scene, r row) error { return accesstoken.Deny(r.Reason, nil) }, rpc: "Unlisted"},
}

var offered = setup{DPoP: &dpopSetup{}}

// boundTo makes a token that is bound to the sender's key, or certificate.
func boundTo(what string) recipe {
	name := map[string]string{"jkt": "jkt", "x5t": "x5t#S256"}[what]
	return recipe{Claims: members(`{"cnf": {"` + name + `": "${` + what + `}"}}`)}
}

// anyError is what a hook's error becomes: nobody knows what it means.
func anyError(_ *testing.T, _ *world, s *scene, _ row) error {
	return s.validator.Refuse(context.Background(), errors.New("a hook does not work"))
}

// contextError returns what the validator says when the caller's context ends
// while the keys are being fetched.
func contextError(cause error) func(*testing.T, *world, *scene, row) error {
	return func(t *testing.T, w *world, s *scene, _ row) error {
		t.Helper()
		ctx, end := context.WithCancel(t.Context())
		if errors.Is(cause, context.DeadlineExceeded) {
			ctx, end = context.WithDeadline(t.Context(), w.now.AddDate(-1, 0, 0))
		}
		end()
		s.validator = must(accesstoken.NewValidator(accesstoken.Config{
			Resource:   resource,
			Issuers:    []accesstoken.Issuer{{URL: w.as.URL}},
			HTTPClient: w.as.Client(),
		}))
		t.Cleanup(func() { _ = s.validator.Close() })
		_, err := s.validator.Validate(ctx, accesstoken.Bearer(w.token(t, recipe{})))
		if !errors.Is(err, cause) || !errors.Is(err, accesstoken.Unavailable) {
			t.Fatalf("Validate: got %v; want an error that matches %v and Unavailable", err, cause)
		}
		return err
	}
}

func panickingHook(t *testing.T, w *world, s *scene) {
	t.Helper()
	s.open(t, accesstoken.Config{
		Resource:   resource,
		Issuers:    []accesstoken.Issuer{{URL: w.as.URL}},
		HTTPClient: w.as.Client(),
		Logger:     s.logger(),
		OnRefuse: func(ctx context.Context, refused *accesstoken.Error) {
			s.onRefuse(ctx, refused)
			panic("the hook does not work")
		},
	})
}

func panickingKeys(t *testing.T, w *world, s *scene) {
	t.Helper()
	s.open(t, accesstoken.Config{
		Resource: resource,
		Issuers:  []accesstoken.Issuer{{URL: w.as.URL, Keys: noKeys{}}},
		Logger:   s.logger(),
		OnRefuse: s.onRefuse,
	})
}

type noKeys struct{}

func (noKeys) Keys(context.Context, string, string) ([]crypto.PublicKey, uint64, error) {
	panic("the key source does not work")
}

// TestMatrix walks every row on every carrier (OUT-01), against a table that
// was written from the requirements and not from the library's own.
func TestMatrix(t *testing.T) {
	rows := load[[]row](t, "testdata/matrix.json")
	for _, r := range rows {
		t.Run(r.Row+" "+r.Cause, func(t *testing.T) { walkRow(t, earth, r) })
	}
	for n := range 40 {
		name := fmt.Sprintf("M%02d", n+1)
		if !slices.ContainsFunc(rows, func(r row) bool { return r.Row == name }) {
			t.Errorf("no row is called %s", name)
		}
	}
}

func walkRow(t *testing.T, w *world, r row) {
	way, ok := walks[r.Walk]
	if !ok {
		t.Fatalf("walk %q means nothing", r.Walk)
	}
	s := w.play(t, way.vector)
	token := w.token(t, way.vector.Token)
	if way.scene != nil {
		way.scene(t, w, s)
	}
	var says error
	if way.says != nil {
		says = way.says(t, w, s, r)
		s.told() // what making the error has told
	}
	stage, err := w.carriers.set(s)
	if err != nil {
		t.Fatal(err)
	}
	stage.says = says
	e, asked := r.expectation(t), 0
	e.dpop = way.vector.offer(s)
	for _, c := range w.carriers.all {
		if way.only != "" && c.name != way.only || !way.vector.goesOver(c) {
			continue
		}
		asked++
		sent := way.vector.request(t, w, token, c)
		sent.rpc = way.rpc
		if way.told == accesstoken.CredentialsMissing {
			sent.lines = nil
		}
		if way.vector.Twice {
			s.letIn(t, stage, c, sent)
		}
		a := ask(t, c, sent)
		e.check(t, a)
		checkCanary(t, a.carrier, a.text(), "")
		way.checkTold(t, e, a.carrier, s.told())
	}
	if asked == 0 {
		t.Errorf("no carrier is called %q", way.only)
	}
}

func (way walk) checkTold(t *testing.T, e expectation, carrier string, told []*accesstoken.Error) {
	t.Helper()
	if way.told != "" {
		e.reason, e.outcome = way.told, outcomes["NOCRED"]
	}
	if way.unheard {
		return
	}
	e.checkTold(t, carrier, told, "")
}

// reasons reads the constants of type Reason out of the library's source, so
// that none can be forgotten here.
func reasons(t *testing.T) map[string]accesstoken.Reason {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "../reason.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]accesstoken.Reason{}
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || len(spec.Values) != 1 {
			return true
		}
		if kind, ok := spec.Type.(*ast.Ident); ok && kind.Name == "Reason" {
			found[spec.Names[0].Name] = accesstoken.Reason(must(strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)))
		}
		return true
	})
	return found
}

// TestReasons holds the form of google.rpc.ErrorInfo (OUT-04), and that the
// matrix knows every reason and the library every one of the matrix.
func TestReasons(t *testing.T) {
	form := regexp.MustCompile(`^[A-Z][A-Z0-9_]+[A-Z0-9]$`)
	inMatrix := map[accesstoken.Reason]bool{accesstoken.TokenInvalid: true, accesstoken.Unavailable: true, "": true}
	for _, r := range load[[]row](t, "testdata/matrix.json") {
		inMatrix[r.Reason] = true
	}
	constants := reasons(t)
	if len(constants) < len(inMatrix)-1 {
		t.Errorf("got %d constants in reason.go; want one for each of the %d reasons", len(constants), len(inMatrix)-1)
	}
	for name, reason := range constants {
		if !form.MatchString(string(reason)) || len(reason) > 63 {
			t.Errorf("%s: got %q; want %v of at most 63 characters", name, reason, form)
		}
		if !inMatrix[reason] {
			t.Errorf("%s: no row of the matrix has %q", name, reason)
		}
	}
}

// TestUnavailableNeverBlamesTheToken is OUT-02 for every reason: where the
// status is 5xx, a client must find nothing that makes it throw its token away.
func TestUnavailableNeverBlamesTheToken(t *testing.T) {
	for name, reason := range reasons(t) {
		if reason == accesstoken.TokenInvalid || reason == accesstoken.Unavailable {
			continue // a name on the wire and a class: no error has them
		}
		refused := &accesstoken.Error{Reason: reason}
		header := refused.Header()
		switch status := refused.HTTPStatus(); {
		case status < 500:
			if refused.RetryAfter() != 0 {
				t.Errorf("%s: got RetryAfter %v with status %d; want 0", name, refused.RetryAfter(), status)
			}
		case header["Www-Authenticate"] != nil || refused.Public().Params != nil:
			t.Errorf("%s: got the challenge %q with status %d; want none", name, header["Www-Authenticate"], status)
		case status == 503 && header.Get("Retry-After") < "1":
			t.Errorf("%s: got Retry-After %q; want at least 1", name, header.Get("Retry-After"))
		case (status == 503) != errors.Is(refused, accesstoken.Unavailable):
			t.Errorf("%s: got status %d; want it to agree with errors.Is(err, Unavailable)", name, status)
		}
	}
}

// TestDeny: an application's own no is row M25 whatever it is called, and on
// gRPC it has its own name if that has the form of one.
func TestDeny(t *testing.T) {
	for given, want := range map[accesstoken.Reason]string{
		"ACCOUNT_CLOSED":          "ACCOUNT_CLOSED",
		"POLICY_DENIED":           "POLICY_DENIED",
		accesstoken.TokenExpired:  "TOKEN_EXPIRED", // a name only: the status stays that of a denial
		"":                        "POLICY_DENIED",
		"account closed":          "POLICY_DENIED",
		"ACCOUNT_CLOSED_":         "POLICY_DENIED",
		"ACCOUNT\r\nX: " + canary: "POLICY_DENIED",
		"ACCOUNT_CLOSED_BECAUSE_SOMEBODY_WANTED_A_REASON_OF_MORE_THAN_63_": "POLICY_DENIED",
	} {
		t.Run(strconv.Quote(string(given)), func(t *testing.T) {
			s := earth.play(t, vector{})
			stage, err := earth.carriers.set(s)
			if err != nil {
				t.Fatal(err)
			}
			stage.says = accesstoken.Deny(given, errors.New(canary))
			e := expectation{outcome: outcomes["FORBID"], reason: accesstoken.Reason(want), wire: want}
			sent := request{method: "POST", lines: []string{"Bearer " + earth.token(t, recipe{})}}
			for _, c := range earth.carriers.all {
				a := ask(t, c, sent)
				e.check(t, a)
				checkCanary(t, a.carrier, a.text(), "")
			}
		})
	}
}

// TestGRPCMethodsWithoutARule: no spelling of a method gets around the rules
// (GRPC-04, GRPC-05), of single methods or of a whole service, and what does not
// exist cannot be told from what is closed.
func TestGRPCMethodsWithoutARule(t *testing.T) {
	s := earth.play(t, vector{})
	stage, err := earth.carriers.set(s)
	if err != nil {
		t.Fatal(err)
	}
	sent := request{lines: []string{"Bearer " + earth.token(t, recipe{})}}
	e := expectation{outcome: outcomes["FORBID"], reason: accesstoken.PolicyDenied, wire: "POLICY_DENIED"}
	refused := func(rpc string) {
		t.Helper()
		for _, c := range earth.carriers.only(false) {
			sent.rpc = rpc
			a := ask(t, c, sent)
			a.carrier += " " + rpc
			e.check(t, a)
			e.checkTold(t, a.carrier, s.told(), sent.lines[0])
		}
	}
	for _, rpc := range []string{"Unlisted", "NotThere", "/", "/../Get", "/" + service + "/Get"} {
		refused(rpc)
	}
	stage.grpc = must(grpcauth.New(s.validator, &grpcauth.Options{Methods: map[string]accesstoken.Policy{
		"/" + service[:len(service)-1] + "/*": s.policy, // a service whose name begins ours
		"/" + service + "X/*":                 s.policy, // and one that ours begins
		"/" + service + ".Get/*":              s.policy,
	}}))
	refused("")
	if ran := len(stage.ran()); ran != 0 {
		t.Errorf("the handlers ran %d times; want none", ran)
	}
}

// TestATokenEndsBetweenTwoRequests on the same connection (BEARER-19): nothing
// that was remembered outlives exp and the leeway by a second.
func TestATokenEndsBetweenTwoRequests(t *testing.T) {
	s := earth.play(t, vector{})
	stage, err := earth.carriers.set(s)
	if err != nil {
		t.Fatal(err)
	}
	sent := request{method: "GET", lines: []string{"Bearer " + earth.token(t, recipe{})}}
	const end = 300*time.Second + 30*time.Second // exp of the good claims, and the default leeway
	for _, c := range earth.carriers.all {
		for _, later := range []time.Duration{0, end - time.Second} {
			s.later.Store(int64(later))
			expectation{outcome: outcomes["OK"]}.check(t, ask(t, c, sent))
		}
		s.later.Store(int64(end))
		e := expectation{outcome: outcomes["INVTOK"], reason: accesstoken.TokenExpired, wire: "TOKEN_EXPIRED"}
		e.check(t, ask(t, c, sent))
		e.checkTold(t, c.name, s.told(), "")
		if ran := len(stage.ran()); ran != 2 {
			t.Errorf("%s: the handler ran %d times; want twice", c.name, ran)
		}
	}
}

// TestNothingIsAskedForNothing is OPS-06: what a look at the token refuses costs
// no request to anybody, however much of it comes.
func TestNothingIsAskedForNothing(t *testing.T) {
	free := []accesstoken.Reason{
		accesstoken.CredentialsMissing, accesstoken.SchemeUnsupported, accesstoken.CredentialsMalformed, accesstoken.CredentialsAmbiguous,
		accesstoken.TokenTooLarge, accesstoken.TokenMalformed, accesstoken.IssuerUnknown, accesstoken.AlgorithmNotAllowed,
	}
	demanded := map[accesstoken.Reason]int{}
	for _, g := range groups(t) {
		for _, v := range g.vectors {
			if slices.Contains(free, v.Reason) && slices.Contains(v.Untouched, "as") && slices.Contains(v.Untouched, "other") {
				demanded[v.Reason]++
			}
		}
	}
	for _, reason := range free {
		if demanded[reason] == 0 {
			t.Errorf("no case demands that %s costs no request", reason)
		}
	}
}

// TestTheCanarySings: every reason that this library can find by itself is
// among the cases, and so was played with a canary in the token.
func TestTheCanarySings(t *testing.T) {
	played := map[accesstoken.Reason]bool{accesstoken.TokenInvalid: true, accesstoken.Unavailable: true}
	for _, g := range groups(t) {
		for _, v := range g.vectors {
			played[v.Reason] = true
		}
	}
	elsewhere := []accesstoken.Reason{
		accesstoken.StepUpRequired, accesstoken.TransportInsecure, accesstoken.StatusUnavailable, accesstoken.AuthorizationDetailsInsufficient,
		accesstoken.PolicyDenied, accesstoken.InternalError, // not of a token; TestMatrix walks them
	}
	for name, reason := range reasons(t) {
		if !played[reason] && !slices.Contains(elsewhere, reason) {
			t.Errorf("%s: no case plays it", name)
		}
	}
}
