//go:build interop

package interop_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
)

// explanationsFile says for every disagreement which side is right, and why.
const explanationsFile = "testdata/oracles/explanations.json"

// An explanation is one reason for which resource servers differ from ours.
type explanation struct {
	Right  string `json:"right"`  // ours, theirs, or both, where an RFC leaves it open
	Clause string `json:"clause"` // that decides it
	Why    string `json:"why"`
	Differ []struct {
		Oracles   []string `json:"oracles"`
		Mutations []string `json:"mutations"`
	} `json:"differ"`
}

// A difference is an oracle that does not agree with ours about a mutation, under
// one algorithm at least.
type difference struct{ mutation, oracle string }

// readExplanations returns the explanations, and for each difference the number of its
// explanation, from 1.
func readExplanations(t *testing.T, file string) (list []explanation, number map[difference]int) {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(content, &list); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	number = map[difference]int{}
	for i, e := range list {
		if !slices.Contains([]string{"ours", "theirs", "both"}, e.Right) || e.Clause == "" || e.Why == "" {
			t.Errorf("%s: number %d says %q is right by %q; want ours, theirs or both, a clause and a reason", file, i+1, e.Right, e.Clause)
		}
		for _, differ := range e.Differ {
			for _, mutation := range differ.Mutations {
				for _, oracle := range differ.Oracles {
					d := difference{mutation, oracle}
					if number[d] != 0 {
						t.Errorf("%s: %s about %q is explained twice, in %d and %d", file, oracle, mutation, number[d], i+1)
					}
					number[d] = i + 1
				}
			}
		}
	}
	return list, number
}

// differences are those that were seen.
func differences(answers []answer) map[difference]bool {
	seen := map[difference]bool{}
	for _, a := range answers {
		for oracle, status := range a.theirs {
			if accepted(status) != accepted(a.ours.status) {
				seen[difference{a.mutation.name, oracle}] = true
			}
		}
	}
	return seen
}

// compareExplanations fails if a difference has no explanation, or if an explanation has
// no difference although its oracle runs.
func compareExplanations(t *testing.T, file string, answers []answer, number map[difference]int, oracles []oracle) {
	t.Helper()
	seen := differences(answers)
	for d := range seen {
		if number[d] == 0 {
			t.Errorf("%s differs from ours about %q: say in %s who is right, and by which clause", d.oracle, d.mutation, file)
		}
	}
	for d, n := range number {
		runs := slices.ContainsFunc(oracles, func(o oracle) bool { return o.name == d.oracle && o.absent == nil })
		known := slices.ContainsFunc(oracles, func(o oracle) bool { return o.name == d.oracle })
		if !known || runs && !seen[d] {
			t.Errorf("%s does not differ from ours about %q: take it out of number %d in %s", d.oracle, d.mutation, n, file)
		}
	}
}

// report writes ORACLES.md.
func report(answers []answer, explanations []explanation, number map[difference]int, oracles []oracle) string {
	var w strings.Builder
	w.WriteString(reportHead)
	fmt.Fprintf(&w, "%d changes make %d tokens and requests.\n\n", changes(answers), len(answers))
	reportCounts(&w, answers, oracles)
	reportGroups(&w, answers, "tokens")
	reportAccepted(&w, answers)
	reportDifferences(&w, answers, number, oracleNames)
	reportExplanations(&w, explanations)
	return w.String()
}

const reportHead = `# Resource servers of other projects

<!-- Written by go test -C interop -tags interop -count=1 -run '^TestOracles$' . -update -->

The same tokens go to our resource server and to those of other projects. oidc-provider issues good tokens under RS256,
PS256 and ES256. Each is changed in one place, and signed again with the issuer's own key unless the signature is what is
changed, so the change is the only reason to refuse it. ` + "`mutations_test.go`" + ` lists all changes. If verdicts differ,
` + "`testdata/oracles/explanations.json`" + ` says which one is right. The test fails if a difference has no explanation, or if an
explanation has no difference.

Ours has only an issuer and a resource: ` + "`accesstoken.Issuer{URL: issuer}`" + ` behind net/http. The others are set up as
strictly as their documentation allows:

- mod_oauth2: ` + "`testdata/oracles/httpd.conf`" + `. It has no setting for typ. If a jwks_uri is set, it has no setting for issuer
  or audience either, so ` + "`Require oauth2_claim`" + ` compares these. It ignores the Ed25519 key of the key set, and uses the
  others.
- express-oauth2-jwt-bearer: ` + "`strict: true`" + `, with the issuer's URL and the audience.
- oauth4webapi: ` + "`validateJwtAccessToken`" + ` with the three algorithms.
- Spring Security: ` + "`JwtValidators.createAtJwtValidator()`" + ` with issuer and audience, and the three algorithms.

Apache and mod_oauth2 come from Debian, Spring Security is built with Maven on Java 17 or newer, and the other two come
from npm. If one of them is not available, the test logs this and runs without it.

`

// changes is how many mutations there are.
func changes(answers []answer) int {
	names := map[string]bool{}
	for _, a := range answers {
		names[a.mutation.name] = true
	}
	return len(names)
}

func reportCounts(w *strings.Builder, answers []answer, oracles []oracle) {
	w.WriteString("| | version | as ours | accepts, ours refuses | refuses, ours accepts |\n|---|---|--:|--:|--:|\n")
	for _, o := range oracles {
		counts := map[[2]bool]int{}
		for _, a := range answers {
			counts[[2]bool{accepted(a.ours.status), accepted(a.theirs[o.name])}]++
		}
		both := counts[[2]bool{true, true}] + counts[[2]bool{false, false}]
		fmt.Fprintf(w, "| %s | %s | %d | %d | %d |\n", o.name, o.version, both, counts[[2]bool{false, true}], counts[[2]bool{true, false}])
	}
	w.WriteString("\n")
}

// unanimous reports whether all verdicts agree with ours.
func (a answer) unanimous() bool {
	for _, status := range a.theirs {
		if accepted(status) != accepted(a.ours.status) {
			return false
		}
	}
	return true
}

func reportGroups(w *strings.Builder, answers []answer, what string) {
	w.WriteString("| what is changed | " + what + " | all accept | all refuse | verdicts differ |\n|---|--:|--:|--:|--:|\n")
	var order []string
	counts := map[string][3]int{}
	for _, a := range answers {
		if !slices.Contains(order, a.mutation.group) {
			order = append(order, a.mutation.group)
		}
		c := counts[a.mutation.group]
		switch {
		case !a.unanimous():
			c[2]++
		case accepted(a.ours.status):
			c[0]++
		default:
			c[1]++
		}
		counts[a.mutation.group] = c
	}
	for _, group := range order {
		c := counts[group]
		fmt.Fprintf(w, "| %s | %d | %d | %d | %d |\n", group, c[0]+c[1]+c[2], c[0], c[1], c[2])
	}
	w.WriteString("\n")
}

// reportAccepted lists the changes after which all servers still accept a token.
func reportAccepted(w *strings.Builder, answers []answer) {
	w.WriteString("## What all accept\n\n")
	refused, names := map[string]bool{}, []string{}
	for _, a := range answers {
		if !a.unanimous() || !accepted(a.ours.status) {
			refused[a.mutation.name] = true
		}
	}
	for _, a := range answers {
		if !refused[a.mutation.name] && !slices.Contains(names, code(a.mutation.name)) {
			names = append(names, code(a.mutation.name))
		}
	}
	w.WriteString(strings.Join(names, ",\n") + ".\n\n")
}

func code(text string) string { return "`" + strings.ReplaceAll(text, "|", `\|`) + "`" }

func reportDifferences(w *strings.Builder, answers []answer, number map[difference]int, names []string) {
	w.WriteString("## Where verdicts differ\n\nA status in bold differs from ours. The last column has the number of the explanation below.\n\n")
	fmt.Fprintf(w, "| change | ours | %s | |\n|---|---|%s---|\n", strings.Join(names, " | "), strings.Repeat("--:|", len(names)))
	for i := 0; i < len(answers); {
		next := i + 1
		for next < len(answers) && answers[next].mutation.name == answers[i].mutation.name {
			next++
		}
		reportDifference(w, answers[i:next], number, names)
		i = next
	}
	w.WriteString("\n")
}

// reportDifference writes the answers about one mutation, in a row for all
// algorithms if they are the same.
func reportDifference(w *strings.Builder, answers []answer, number map[difference]int, names []string) {
	rows, algorithms := []string{}, map[string][]string{}
	for _, a := range answers {
		if a.unanimous() {
			continue
		}
		row := a.row(number, names)
		if !slices.Contains(rows, row) {
			rows = append(rows, row)
		}
		algorithms[row] = append(algorithms[row], a.algorithm)
	}
	for _, row := range rows {
		which := ""
		if len(algorithms[row]) < len(answers) {
			which = ", " + strings.Join(algorithms[row], " and ")
		}
		fmt.Fprintf(w, "| %s%s | %s |\n", code(answers[0].mutation.name), which, row)
	}
}

// row is what one answer says, and the numbers of its explanations.
func (a answer) row(number map[difference]int, names []string) string {
	cells, numbers := []string{strings.TrimSpace(fmt.Sprint(a.ours.status, " ", a.ours.reason))}, map[int]bool{}
	for _, name := range names {
		status := a.theirs[name]
		if accepted(status) == accepted(a.ours.status) {
			cells = append(cells, fmt.Sprint(status))
			continue
		}
		cells = append(cells, fmt.Sprintf("**%d**", status))
		numbers[number[difference{a.mutation.name, name}]] = true
	}
	var why []string
	for _, n := range slices.Sorted(maps.Keys(numbers)) {
		why = append(why, fmt.Sprint(n))
	}
	return strings.Join(append(cells, strings.Join(why, ", ")), " | ")
}

func reportExplanations(w *strings.Builder, explanations []explanation) {
	w.WriteString("## Who is right\n\n\"The others\" are the servers whose verdict differs from ours. \"Both\" means that the RFCs allow both verdicts.\n\n")
	w.WriteString("| | right | clause | why |\n|--:|---|---|---|\n")
	for i, e := range explanations {
		fmt.Fprintf(w, "| %d | %s | %s | %s |\n", i+1, e.Right, e.Clause, e.Why)
	}
}
