//go:build interop

package interop_test

import (
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/accesstoken/accesstoken"
)

// fewestTokens is the minimum number of changed tokens in a run.
const fewestTokens = 500

// unchanged is the name of a token without a mutation.
const unchanged = "unchanged"

// reportFile is the file that a run with -update writes. Other runs compare it.
const reportFile = "ORACLES.md"

// An answer has the verdicts of all resource servers on one request.
type answer struct {
	mutation  mutation
	algorithm string
	ours      verdict
	theirs    map[string]int // statuses, by oracle
}

// accepted reports whether a status means that the token was accepted.
func accepted(status int) bool { return status == http.StatusOK }

// TestOracles sends the same tokens to our resource server and to those of other
// projects. If their verdicts differ, explanationsFile has to say which one is right.
func TestOracles(t *testing.T) {
	published, unpublished := signingKeys(t)
	var signing []any
	for _, kid := range slices.Sorted(maps.Keys(published)) {
		signing = append(signing, jwkOf(kid, published[kid], true))
	}
	s := startOIDCProviderWith(t, map[string]any{"keys": []any{}, "signing": signing})
	oracles := startOracles(t, s)
	rs := serve(t, accesstoken.Issuer{URL: s.issuer})
	list := bases(t, s, published, unpublished)
	expectGoodBases(t, rs, oracles, list)
	var answers []answer
	named := map[string]bool{}
	for _, m := range mutations() {
		if named[m.name] {
			t.Errorf("two mutations are called %q", m.name)
		}
		named[m.name] = true
		for _, b := range list {
			if m.only == "" || m.only == b.algorithm {
				answers = append(answers, present(t, rs, oracles, b, m))
			}
		}
	}
	expectGoodBases(t, rs, oracles, list) // again: no token was refused because it had expired meanwhile
	if len(answers) < fewestTokens {
		t.Errorf("got %d changed tokens; want %d at least", len(answers), fewestTokens)
	}
	explanations, number := readExplanations(t, explanationsFile)
	compareExplanations(t, explanationsFile, answers, number, oracles)
	compareReport(t, reportFile, report(answers, explanations, number, oracles), oracles)
}

// compareReport compares a report with the results, or writes it. If an oracle is
// missing, it does neither.
func compareReport(t *testing.T, file, want string, oracles []oracle) {
	t.Helper()
	complete := true
	for _, o := range oracles {
		if o.absent != nil {
			t.Logf("%s is neither compared nor written, as %s does not run here: %v", file, o.name, o.absent)
			complete = false
		}
	}
	if !complete {
		return
	}
	if *update {
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	written, seen := strings.Split(string(got), "\n"), strings.Split(want, "\n")
	for i := range min(len(written), len(seen)) {
		if written[i] != seen[i] {
			t.Fatalf("%s:%d says\n%s\nand this is what was seen:\n%s\nif that is right, run this test with -update", file, i+1, written[i], seen[i])
		}
	}
	if len(written) != len(seen) {
		t.Errorf("%s has %d lines, and what was seen makes %d: run this test with -update", file, len(written), len(seen))
	}
}

// expectGoodBases sends all servers the tokens as they were issued. Signatures of RS256
// are deterministic, so for these it also checks that a token does not change if it is
// taken apart and signed again.
func expectGoodBases(t *testing.T, rs *resourceServer, oracles []oracle, list []*base) {
	t.Helper()
	for _, b := range list {
		got := present(t, rs, oracles, b, mutation{name: unchanged, lines: func(b *base) []string { return bearer(b.token) }})
		if got.ours.status != http.StatusOK {
			t.Errorf("ours refuses the unchanged token under %s: %+v", b.algorithm, got.ours)
		}
		for name, status := range got.theirs {
			if !accepted(status) {
				t.Errorf("%s refuses the unchanged token under %s with %d; want 200", name, b.algorithm, status)
			}
		}
		if b.algorithm == "RS256" && b.sign(b.header.String(), b.claims.String()) != b.token {
			t.Error("signed again, the unchanged token is another one")
		}
	}
	if t.Failed() {
		t.FailNow()
	}
}

// present sends a token to all servers at once, because its times are made for this
// moment.
func present(t *testing.T, rs *resourceServer, oracles []oracle, b *base, m mutation) answer {
	t.Helper()
	lines := m.lines(b)
	if m.name != unchanged && slices.Equal(lines, bearer(b.token)) {
		t.Errorf("%s, %s: nothing is changed", m.name, b.algorithm)
	}
	return askAll(t, rs, oracles, answer{mutation: m, algorithm: b.algorithm}, func(address string) []string { return get(address, lines...) })
}

// askAll sends a request to all servers and stores their verdicts in an answer.
func askAll(t *testing.T, rs *resourceServer, oracles []oracle, got answer, head func(address string) []string) answer {
	t.Helper()
	m, algorithm := got.mutation, got.algorithm
	got.theirs = map[string]int{}
	statuses := make([]int, len(oracles))
	var group sync.WaitGroup
	for i, o := range oracles {
		if o.absent != nil {
			continue
		}
		group.Go(func() {
			var err error
			if statuses[i], err = ask(t.Context(), o.address, head(o.address)); err != nil {
				t.Errorf("%s: %s, %s: %v", o.name, m.name, algorithm, err)
			}
		})
	}
	rs.refused.Store(nil)
	address := strings.TrimPrefix(rs.url, "http://")
	status, err := ask(t.Context(), address, head(address))
	if err != nil {
		t.Errorf("ours: %s, %s: %v", m.name, algorithm, err)
	}
	got.ours.status = status
	if refused := rs.refused.Load(); refused != nil {
		got.ours.reason = refused.Reason
	}
	group.Wait()
	for i, o := range oracles {
		if o.absent == nil {
			got.theirs[o.name] = statuses[i]
		}
	}
	return got
}
