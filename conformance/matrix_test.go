package conformance

import (
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

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/grpcauth"
)

// TestEachTransportUsesItsProtocol checks the HTTP version and TLS of each transport.
// Without this test, all transports could be the same one by mistake.
func TestEachTransportUsesItsProtocol(t *testing.T) {
	s := earth.play(t, vector{})
	earth.set(t, s)
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
		i := slices.IndexFunc(earth.transports, func(c transport) bool { return c.name == name })
		if i < 0 {
			t.Errorf("no transport is called %q", name)
			continue
		}
		a := ask(t, earth.transports[i], sent)
		if got := (connection{a.proto, a.secure}); got != want {
			t.Errorf("%s: got %v; want %v", name, got, want)
		}
	}
}

// TestEveryRequestToAnIssuerIsCounted checks the counter on which "untouched" in the
// cases depends.
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

// TestMatrix tests every row on every transport (OUT-01) with a table that was written
// from the requirements, not from the library's own table.
func TestMatrix(t *testing.T) {
	earth.walkAll(t, func(walk) bool { return true })
	rows := load[[]row](t, "testdata/matrix.json")
	for n := range 40 {
		name := fmt.Sprintf("M%02d", n+1)
		if !slices.ContainsFunc(rows, func(r row) bool { return r.Row == name }) {
			t.Errorf("no row is called %s", name)
		}
	}
}

// reasons reads the constants of type Reason from the library's source, so that none
// can be forgotten here.
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

// TestReasons checks the form of google.rpc.ErrorInfo (OUT-04), and that the matrix and
// the library have the same reasons.
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

// TestUnavailableNeverBlamesTheToken is OUT-02 for every reason: if the status is 5xx,
// nothing in the response may make a client discard its token.
func TestUnavailableNeverBlamesTheToken(t *testing.T) {
	for name, reason := range reasons(t) {
		if reason == accesstoken.TokenInvalid || reason == accesstoken.Unavailable {
			continue // these are a name on the wire and a class, which no error has
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

// TestDeny checks that a denial by the application is row M25, whatever its name. If
// the name has the right form, it is sent on gRPC.
func TestDeny(t *testing.T) {
	for given, want := range map[accesstoken.Reason]string{
		"ACCOUNT_CLOSED":          "ACCOUNT_CLOSED",
		"POLICY_DENIED":           "POLICY_DENIED",
		accesstoken.TokenExpired:  "TOKEN_EXPIRED", // only a name: the status is still that of a denial
		"":                        "POLICY_DENIED",
		"account closed":          "POLICY_DENIED",
		"ACCOUNT_CLOSED_":         "POLICY_DENIED",
		"ACCOUNT\r\nX: " + canary: "POLICY_DENIED",
		"ACCOUNT_CLOSED_BECAUSE_SOMEBODY_WANTED_A_REASON_OF_MORE_THAN_63_": "POLICY_DENIED",
	} {
		t.Run(strconv.Quote(string(given)), func(t *testing.T) {
			s := earth.play(t, vector{})
			stage := earth.set(t, s)
			stage.says = accesstoken.Deny(given, errors.New(canary))
			e := expectation{outcome: outcomes["FORBID"], reason: accesstoken.Reason(want), wire: want}
			sent := request{method: "POST", lines: []string{"Bearer " + earth.token(t, recipe{})}}
			for _, c := range earth.transports {
				a := ask(t, c, sent)
				e.check(t, a)
				checkCanary(t, a.transport, a.text(), "")
			}
		})
	}
}

// TestGRPCMethodsWithoutARule checks that no spelling of a method bypasses the rules for
// single methods or a whole service (GRPC-04, GRPC-05). A client cannot distinguish a
// method that does not exist from one that is closed.
func TestGRPCMethodsWithoutARule(t *testing.T) {
	s := earth.play(t, vector{})
	stage := earth.set(t, s)
	sent := request{lines: []string{"Bearer " + earth.token(t, recipe{})}}
	e := expectation{outcome: outcomes["FORBID"], reason: accesstoken.PolicyDenied, wire: "POLICY_DENIED"}
	refused := func(name string) {
		t.Helper()
		for _, c := range earth.only(false) {
			sent.rpc = name
			a := ask(t, c, sent)
			a.transport += " " + name
			e.check(t, a)
			e.checkTold(t, a.transport, s.told(), sent.lines[0])
		}
	}
	for _, name := range []string{"Unlisted", "NotThere", "/", "/../Get", "/" + service + "/Get"} {
		refused(name)
	}
	rpc.guard(&grpcauth.Options{Methods: map[string]accesstoken.Policy{
		"/" + service[:len(service)-1] + "/*": s.policy, // a service whose name begins ours
		"/" + service + "X/*":                 s.policy, // and one that ours begins
		"/" + service + ".Get/*":              s.policy,
	}})
	refused("")
	if ran := len(stage.ran()); ran != 0 {
		t.Errorf("the handlers ran %d times; want none", ran)
	}
}

// TestATokenEndsBetweenTwoRequests uses one connection (BEARER-19): a cached token is
// refused when exp plus the leeway has passed.
func TestATokenEndsBetweenTwoRequests(t *testing.T) {
	s := earth.play(t, vector{})
	stage := earth.set(t, s)
	sent := request{method: "GET", lines: []string{"Bearer " + earth.token(t, recipe{})}}
	const end = 300*time.Second + 30*time.Second // exp of the good claims, and the default leeway
	for _, c := range earth.transports {
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

// TestNothingIsAskedForNothing is OPS-06: if a token can be refused by its text alone,
// it causes no request to an issuer, however often it is sent.
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

// TestTheCanarySings checks that the cases have every reason that this library can find
// by itself, so that each was tested with a canary in the token.
func TestTheCanarySings(t *testing.T) {
	played := map[accesstoken.Reason]bool{accesstoken.TokenInvalid: true, accesstoken.Unavailable: true}
	for _, g := range groups(t) {
		for _, v := range g.vectors {
			played[v.Reason] = true
		}
	}
	elsewhere := []accesstoken.Reason{
		accesstoken.TransportInsecure, accesstoken.StatusUnavailable, accesstoken.OriginRefused, accesstoken.InternalError, // not of a token; TestMatrix walks them
	}
	for name, reason := range reasons(t) {
		if !played[reason] && !slices.Contains(elsewhere, reason) {
			t.Errorf("%s: no case plays it", name)
		}
	}
}
