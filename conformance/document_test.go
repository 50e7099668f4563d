package conformance

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

var update = flag.Bool("update", false, "rewrite CONFORMANCE.md and conformance/REQUIREMENTS.md")

// TestTheDocumentIsCurrent checks that the page at the root and the full table are
// generated from the current requirements and cases.
func TestTheDocumentIsCurrent(t *testing.T) {
	for name, want := range map[string]string{"CONFORMANCE.md": document(t), "conformance/REQUIREMENTS.md": table(t)} {
		file := filepath.Join(top, name)
		if *update {
			if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		got, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		gotLines, wantLines := strings.Split(string(got), "\n"), strings.Split(want, "\n")
		for i, line := range wantLines {
			if i >= len(gotLines) || gotLines[i] != line {
				t.Fatalf("%s, line %d: got something else; want %q: make conformance", name, i+1, line)
			}
		}
		if len(gotLines) != len(wantLines) {
			t.Errorf("%s: got %d lines; want %d: make conformance", name, len(gotLines), len(wantLines))
		}
	}
}

// A page is Markdown being written.
type page struct{ bytes.Buffer }

func (p *page) say(format string, args ...any) { fmt.Fprintf(p, format+"\n", args...) }

// row writes a row of a table.
func (p *page) row(cells ...string) {
	escape := strings.NewReplacer("|", `\|`, "\n", " ", "<", "&lt;")
	for i := range cells {
		cells[i] = escape.Replace(cells[i])
	}
	p.say("| %s |", strings.Join(cells, " | "))
}

func (p *page) head(cells ...string) {
	p.row(cells...)
	p.say("|%s", strings.Repeat("---|", len(cells)))
}

func document(t *testing.T) string {
	t.Helper()
	p := new(page)
	var all tally
	for _, g := range groups(t) {
		all = all.plus(count(g.vectors))
	}
	p.say(introduction, all.total(), all.accepted, all.refused, transportList())
	writeOutcomes(p)
	writeSummary(t, p)
	p.say("%s", revocation)
	return p.String()
}

// table has every requirement and every case.
func table(t *testing.T) string {
	t.Helper()
	p := new(page)
	p.say("%s", headOfTable)
	for _, g := range listed {
		writeRequirements(t, p, g.name, g.title)
	}
	writeCases(t, p)
	return p.String()
}

const headOfTable = `<!-- Written by make conformance, from conformance/testdata. A change made here is lost. -->

# Requirements and cases

Every requirement with its source and what shows it, and below them every case. [CONFORMANCE.md](../CONFORMANCE.md) says
how to read them.`

const introduction = `<!-- Written by make conformance, from conformance/testdata. A change made here is lost. -->

# Conformance

How accesstoken meets the requirements of an OAuth 2.0 resource server. [The full table](conformance/REQUIREMENTS.md) has
each requirement with its source and the cases and tests that show it. Both pages are generated from the data that the
tests read. A test fails if they differ, so if the tests of a commit pass, these pages are true for it.

**What was tested.** %d cases: %d requests that must be accepted, %d that must be refused or remain undecided. A case
describes only what is unusual. Everything else is good: the token, the resource server, the authorization server.

**Over which transports.** Each case is sent over
%s,
unless it concerns only one kind ("HTTP", "gRPC", "cleartext" for the transport without TLS), or no client would send it
("direct": the validator is called). If a case has a client certificate, it is not sent over a transport without TLS. Servers
and clients are real and use loopback sockets, with TLS unless the transport says otherwise. The resource has a different
name than these servers, as if they were behind a proxy. Metadata, keys and introspection answers come over TLS from an
authorization server in which each case can cause faults. The clock is stopped, so a case can test a limit to the second.

**What is compared.** The status or code; the challenge, parameter by parameter; all header fields and status details;
whether the handler ran, and which caller it found; what the refusal hook got; which servers were called, and whether the
store of used proofs was. No part of a token, a proof, a claim, a key id or an upstream message may appear in the answer or
in the log. All transports have to agree.

**How you can repeat it** with Go and this repository:

` + "```sh" + `
go test ./conformance                                   # all cases
go test -v -run 'TestConformance/jose' ./conformance    # one group, case by case
make check                                              # all tests that are named here, with the race detector
` + "```" + `

**Levels.** MUST: a published specification requires it, or its absence allows a known attack. SHOULD: on by default. MAY:
optional. "Ours" marks a level that this project has set because the specifications do not. **Results.** "Shown": the
evidence is named, and passes. "Different": deliberately not offered, or done in another way, with the reason.
`

const revocation = `
## How late is a revocation noticed?

| the token | a revocation is noticed |
|---|---|
| a JWT, verified only by its signature | when it ends (exp plus the leeway), or when its key is withdrawn and the key set refreshed |
| a JWT of an issuer with AlwaysIntrospect, or an opaque token | on the next request; with CacheFor set, at most that much later |
| the same, on a route with FreshIntrospection | on the next request |
| the same, while the endpoint does not answer | refused as undecided; with DangerouslyServeStaleFor set, that much later |

Security events and status lists are not offered.`

func transportList() string {
	var names []string
	for _, c := range earth.transports {
		names = append(names, c.name)
	}
	last := len(names) - 1
	return strings.Join(names[:last], ", ") + " and " + names[last]
}

func writeOutcomes(p *page) {
	p.say("## Outcomes\n")
	p.head("code", "HTTP", "error", "gRPC", "meaning")
	for _, o := range []struct{ code, meaning string }{
		{"OK", "the handler runs"},
		{"ANON", "the handler runs, without a caller"},
		{"NOCRED", "there is no access token"},
		{"BADREQ", "the credentials are malformed or ambiguous"},
		{"INVTOK", "the token is bad, or was not sent by the client that it is bound to"},
		{"PROOF", "the DPoP proof is missing, bad, or used up"},
		{"NONCE", "the DPoP proof needs the nonce that the answer has"},
		{"SCOPE", "the token is good but lacks a scope"},
		{"DETAILS", "the token is good but lacks authorization details"},
		{"REMEDY", "the same, answered as draft-ietf-oauth-rar-metadata-remediation-00 says"},
		{"STEPUP", "the token is good, but the user has to log in in another way, or again"},
		{"FORBID", "the application refuses the request"},
		{"UNAVAIL", "undecided, because a server that has to be asked does not work"},
		{"CONFIG", "this resource server is misconfigured"},
		{"DEADLINE", "the caller's deadline passed before the decision"},
	} {
		wire := outcomes[o.code]
		p.row(o.code, fmt.Sprint(wire.status), wire.oauth, wire.code, o.meaning)
	}
	p.say("\nThe ids M01 to M40 of cases are rows of the [outcome matrix](conformance/testdata/matrix.json), all of which are tested.")
}

func writeSummary(t *testing.T, p *page) {
	t.Helper()
	p.say("\n## Summary\n")
	p.head("group", "requirements", "shown", "different", "cases accepted", "cases refused")
	for _, g := range listed {
		results, cases := map[string]int{}, groupTally(t, g.name)
		for _, r := range ofGroup(t, g.name) {
			results[strings.SplitN(r.result(), ":", 2)[0]]++
			results["all"]++
		}
		cells := []string{fmt.Sprintf("[%s](conformance/REQUIREMENTS.md#%s): %s", g.name, strings.ToLower(g.name), g.title)}
		for _, n := range []int{results["all"], results["shown"], results["different"], cases.accepted, cases.refused} {
			cells = append(cells, fmt.Sprint(n))
		}
		p.row(cells...)
	}
	p.say("\nIf a case shows requirements of two groups, it counts in both.")
}

func writeRequirements(t *testing.T, p *page, name, title string) {
	t.Helper()
	cases := casesByID(t)
	p.say("\n## %s\n\n%s.\n", name, title)
	p.head("id", "level", "requirement", "source", "shown by", "result")
	for _, r := range ofGroup(t, name) {
		level := r.Level
		if r.Own {
			level += ", ours"
		}
		p.row(r.ID, level, r.Text, r.Source, r.evidence(t, cases[r.ID]), r.result())
	}
}

// evidence names the cases and tests that show the requirement, with links to the tests.
func (r requirement) evidence(t *testing.T, cases tally) string {
	t.Helper()
	var shown []string
	if cases.total() > 0 {
		shown = append(shown, fmt.Sprintf("%d accepted, %d refused", cases.accepted, cases.refused))
	}
	for _, test := range r.Tests {
		_, name, _ := strings.Cut(test, " ")
		shown = append(shown, fmt.Sprintf("[%s](../%s)", name, fileOf(t, test)))
	}
	return strings.Join(shown, "; ")
}

func (r requirement) result() string {
	if r.Different != "" {
		return "different: " + r.Different
	}
	return "shown"
}

func writeCases(t *testing.T, p *page) {
	t.Helper()
	p.say("\n## Every case\n\nBy file of [testdata/cases](testdata/cases), which has the tokens themselves.")
	for _, g := range groups(t) {
		c := count(g.vectors)
		p.say("\n<details><summary><b>%s</b>: %d accepted, %d refused</summary>\n", g.name, c.accepted, c.refused)
		p.head("shows", "case", "set up", "expected", "reason", "source")
		written := setups(t, g.name)
		for i, v := range g.vectors {
			p.row(v.ID, v.Name, v.circumstances(written[i]), v.Expect, string(v.Reason), v.RFC)
		}
		p.say("\n</details>")
	}
}

// circumstances returns the unusual configuration of a case, if it is short.
func (v vector) circumstances(config jsontext.Value) string {
	const most = 64
	said := map[string]string{"": "", "http": "HTTP", "grpc": "gRPC", "cleartext": "cleartext", "direct": "direct"}[v.Only]
	if 0 < len(config) && len(config) <= most {
		said = strings.TrimPrefix(said+" `"+string(config)+"`", " ")
	}
	return said
}

// setups returns the member config of each case as it is written in the file.
func setups(t *testing.T, name string) (written []jsontext.Value) {
	t.Helper()
	for _, c := range loadLeniently[[]struct {
		Config jsontext.Value `json:"config"`
	}](t, "testdata/cases/"+name+".json") {
		if c.Config != nil {
			if err := c.Config.Compact(); err != nil {
				t.Fatal(err)
			}
		}
		written = append(written, c.Config)
	}
	return written
}

// loadLeniently reads a part of a file that load has read.
func loadLeniently[T any](t *testing.T, file string) (content T) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &content); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return content
}

func ofGroup(t *testing.T, name string) (some []requirement) {
	t.Helper()
	for _, r := range requirements(t) {
		if r.group() == name {
			some = append(some, r)
		}
	}
	return some
}

func count(vectors []vector) (c tally) {
	for _, v := range vectors {
		c.add(v)
	}
	return c
}

// groupTally counts the cases that show some requirement of the group.
func groupTally(t *testing.T, name string) (c tally) {
	t.Helper()
	for _, g := range groups(t) {
		for _, v := range g.vectors {
			if strings.Contains("/"+v.ID, "/"+name+"-") {
				c.add(v)
			}
		}
	}
	return c
}
