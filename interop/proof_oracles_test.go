//go:build interop

package interop_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/dpop"
	"github.com/accesstoken/accesstoken/middleware"
	"github.com/accesstoken/accesstoken/scopes"
)

const (
	proofReport       = "PROOFS.md"
	proofExplanations = "testdata/oracles/proofs.json"
)

var proofOracleNames = []string{modOAuth2, expressJWT, oauth4webapi}

// TestProofs sends the same proofs, each for the first time, to our resource server and
// to those of other projects. If their verdicts differ, proofExplanations has to say
// which one is right.
func TestProofs(t *testing.T) {
	s := startOIDCProvider(t)
	oracles := append([]oracle{startApache(t, s, "dpop")}, startNodeOracles(t, s)...)
	rs := serveProofs(t, s)
	bases := proofBases(t, s)
	expectGoodProofs(t, rs, oracles, bases)
	var answers []answer
	named := map[string]bool{}
	for _, m := range proofMutations() {
		if named[m.name] {
			t.Errorf("two mutations are called %q", m.name)
		}
		named[m.name] = true
		if m.only == "" {
			m.only = "ES256"
		}
		b := bases[slices.IndexFunc(bases, func(b *base) bool { return b.algorithm == m.only })]
		answers = append(answers, presentProof(t, rs, oracles, b, m))
	}
	expectGoodProofs(t, rs, oracles, bases)
	explanations, number := readExplanations(t, proofExplanations)
	compareExplanations(t, proofExplanations, answers, number, oracles)
	compareReport(t, proofReport, reportProofs(answers, explanations, number, oracles), oracles)
}

// serveProofs starts our resource server under the resource's URL. It answers every
// method and path.
func serveProofs(t *testing.T, s *server) *resourceServer {
	t.Helper()
	verifier, err := dpop.NewVerifier(dpop.Config{URLs: []string{resource}})
	if err != nil {
		t.Fatal(err)
	}
	config := accesstoken.Config{Issuers: []accesstoken.Issuer{s.jwts()}, DPoP: verifier}
	return serveOn(t, httptest.NewUnstartedServer(nil), config, func(auth *middleware.Middleware) http.Handler {
		return auth.Require(scopes.None()).Wrap(http.HandlerFunc(describe))
	})
}

// presentProof makes the proof again with the current time.
func presentProof(t *testing.T, rs *resourceServer, oracles []oracle, b *base, m mutation) answer {
	t.Helper()
	head := m.lines(b.fresh())
	return askAll(t, rs, oracles, answer{mutation: m, algorithm: b.algorithm}, func(string) []string { return head })
}

// expectGoodProofs sends unchanged proofs to all servers.
func expectGoodProofs(t *testing.T, rs *resourceServer, oracles []oracle, bases []*base) {
	t.Helper()
	got := presentProof(t, rs, oracles, bases[0], mutation{name: unchanged, lines: func(b *base) []string { return b.proved(b.token) }})
	if got.ours.status != http.StatusOK {
		t.Errorf("ours refuses an unchanged proof: %+v", got.ours)
	}
	for name, status := range got.theirs {
		if !accepted(status) {
			t.Errorf("%s refuses an unchanged proof with %d; want 200", name, status)
		}
	}
	if t.Failed() {
		t.FailNow()
	}
}

// reportProofs writes PROOFS.md.
func reportProofs(answers []answer, explanations []explanation, number map[difference]int, oracles []oracle) string {
	var w strings.Builder
	w.WriteString(proofReportHead)
	fmt.Fprintf(&w, "%d changes make as many proofs and requests.\n\n", changes(answers))
	reportCounts(&w, answers, oracles)
	reportGroups(&w, answers, "proofs")
	reportAccepted(&w, answers)
	reportDifferences(&w, answers, number, proofOracleNames)
	reportExplanations(&w, explanations)
	return w.String()
}

const proofReportHead = `# Resource servers of other projects, and proofs

<!-- Written by go test -C interop -tags interop -count=1 -run '^TestProofs$' . -update -->

The same proofs of possession (RFC 9449) go to our resource server and to those of other projects that verify them. The
tokens are genuine ones of oidc-provider, bound to keys of five kinds. Each proof is changed in one place, and signed
again with the client's own key unless the signature is what is changed. ` + "`proof_mutations_test.go`" + ` lists all changes, and
takes those that any JWT can have from ` + "`mutations_test.go`" + `. If verdicts differ, ` + "`testdata/oracles/proofs.json`" + ` says which
one is right. [ORACLES.md](ORACLES.md) has the same for tokens.

Each server gets a proof once. They share no memory, so each sees the proof for the first time. All of them must see the
same URL, which is ` + "`" + provedURL + "`" + `:

- Ours has ` + "`" + resource + "`" + ` in Config.URLs. It does not use anything else that the request says about its own URL.
- mod_oauth2 makes the URL from the request, so each request comes as from a proxy, with ` + "`Host: api.example.com`" + ` and
  ` + "`X-Forwarded-Proto: https`" + `.
- express-oauth2-jwt-bearer does the same, and Express was told to trust loopback.
- oauth4webapi compares with the URL of the ` + "`Request`" + ` that it gets, which is made from the resource and the request's
  target.

mod_oauth2 has ` + "`type=dpop`" + ` in ` + "`testdata/oracles/httpd.conf`" + `, and express-oauth2-jwt-bearer has ` + "`dpop: { enabled: true }`" + `.
oauth4webapi needs no setting, and has the algorithms RS256, PS256 and ES256. Ours has only the URL. Spring Security gets
no proofs here.

`
