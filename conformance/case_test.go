package conformance

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
)

// TestTheCasesAreWellMade checks only the data.
func TestTheCasesAreWellMade(t *testing.T) {
	matrix := load[[]row](t, "testdata/matrix.json")
	known := knownIDs(t, matrix)
	seen, positive, total := map[string]bool{}, 0, 0
	for _, g := range groups(t) {
		good := 0
		for _, v := range g.vectors {
			title := g.name + ": " + v.Name
			if v.Name == "" || v.RFC == "" || seen[title] {
				t.Errorf("%s: got a case without its own name or rfc", title)
			}
			seen[title] = true
			for _, id := range v.ids() {
				if !known(id) {
					t.Errorf("%s: got the id %q, which is no row of the matrix and no requirement", title, id)
				}
			}
			for _, fault := range v.faults() {
				t.Errorf("%s: %s", title, fault)
			}
			if v.positive() != (v.Reason == "" && v.Expect != "DEADLINE") {
				t.Errorf("%s: got expect %s with reason %q", title, v.Expect, v.Reason)
			}
			if v.Reason != "" && !agrees(matrix, v) {
				t.Errorf("%s: got %s with reason %s, which no row of the matrix has", title, v.Expect, v.Reason)
			}
			if v.positive() {
				good++
			}
		}
		t.Logf("%-8s %3d cases: %d positive, %d negative", g.name, len(g.vectors), good, len(g.vectors)-good)
		positive, total = positive+good, total+len(g.vectors)
	}
	t.Logf("%-8s %3d cases: %d positive, %d negative", "all", total, positive, total-positive)
	if total < 400 || positive*2 >= total {
		t.Errorf("got %d cases, %d of them positive; want at least 400, and more negative ones than positive", total, positive)
	}
}

// elsewhere are the groups of requirements that have cases here and are not
// listed in requirements.json.
var elsewhere = []string{"RAR", "RES"}

// knownIDs returns the ids of rows and requirements that a case may have.
func knownIDs(t *testing.T, matrix []row) func(id string) bool {
	t.Helper()
	ids := regexp.MustCompile(`^([A-Z]+)-\d\d$`)
	listed := requirements(t)
	return func(id string) bool {
		if m := ids.FindStringSubmatch(id); m != nil {
			return slices.Contains(elsewhere, m[1]) || slices.ContainsFunc(listed, func(r requirement) bool { return r.ID == id })
		}
		return slices.ContainsFunc(matrix, func(r row) bool { return r.Row == id })
	}
}

// faults finds mistakes that would be ignored silently, so that the case would not test
// what its name says.
func (v vector) faults() (faults []string) {
	fault := func(wrong bool, text string) {
		if wrong {
			faults = append(faults, text)
		}
	}
	fault(!slices.Contains([]string{"", "http", "grpc", "cleartext", "direct"}, v.Only), "only means nothing")
	fault(v.Certificate != "" && v.Only == "cleartext", "no certificate is shown without TLS")
	fault(v.Only == "direct" && (v.Proof != nil || v.Certificate != ""), "direct has no request")
	fault(v.Twice && v.Proof == nil, "only a proof is good once")
	fault(!slices.Contains([]string{"", "sender", "thief"}, v.Certificate), "certificate means nothing")
	fault(v.Config.DPoP != nil && !slices.Contains([]string{"", "down"}, v.Config.DPoP.Store), "store means nothing")
	fault(v.Proof == nil && strings.Contains(strings.Join(slices.Concat(v.Lines, v.Proofs), ""), "${proof}"), "there is no proof")
	fault(v.Proof != nil && v.Proof.Answer != nil, "nobody is asked about a proof")
	for _, name := range v.Untouched {
		fault(!slices.Contains([]string{"as", "other", "own"}, name), "untouched means nothing")
	}
	fault((v.Method != "" || v.Query != "" || v.Form != "" || v.Config.Optional || v.Config.CORS) && v.Only != "http", "gRPC has no such thing: say only http")
	fault((v.Config.Optional || v.Config.CORS) && (v.Config.All != nil || v.Config.Any != nil), "an optional route demands nothing")
	fault(v.Vouched && (v.Config.Own == nil || v.Expect != "OK" || v.Lines == nil), "no caller is vouched for")
	fault(v.Config.All != nil && v.Config.Any != nil, "all hides any")
	fault(v.positive() && (v.Scope != "" || v.Remedy != nil || len(v.Reason) > 0), "nobody is refused")
	fault(v.Expect == "REMEDY" && !v.Config.DraftRAR || v.Expect == "DETAILS" && v.Config.DraftRAR, "REMEDY is the outcome of the draft")
	fault(!v.positive() && (v.Granted != nil || v.Subject != nil), "no handler runs")
	if v.Proof != nil {
		faults = append(faults, v.Proof.faults(dpopProof)...)
	}
	return append(append(faults, v.Token.faults(accessToken)...), v.Config.Issuer.faults()...)
}

func (r recipe) faults(f form) (faults []string) {
	fault := func(wrong bool, text string) {
		if wrong {
			faults = append(faults, text)
		}
	}
	raw := rawParts{}
	if r.Raw != nil {
		raw = *r.Raw
	}
	fault(r.Literal != nil && (r.Sign != "" || r.Header != nil || r.Claims != nil || r.Raw != nil || r.Pad != 0), "literal hides the rest of the recipe")
	fault(r.Raw != nil && raw == rawParts{}, "raw is empty")
	fault(r.Pad != 0 && r.Raw != nil, "pad hides raw")
	fault(raw.Payload != "" && r.Claims != nil, "raw hides claims")
	for _, part := range []struct {
		name          string
		changes, good map[string]jsontext.Value
	}{{"header", r.Header, f.header()}, {"claims", r.Claims, f.claims()}, {"answer", r.Answer, goodAnswer()}} {
		for name, value := range part.changes {
			_, ok := part.good[name]
			fault(value.Kind() == 'n' && !ok && name != f.names, part.name+" removes "+name+", which is not there")
		}
	}
	return faults
}

func (i issuerSetup) faults() []string {
	if !i.Introspection && (i.RequireTokenType || i.SignedAnswers || i.CacheFor != "") {
		return []string{"nobody is asked: set introspection"}
	}
	return nil
}

// TestCasesThatWouldPassUnseenAreFaults is the test of the test.
func TestCasesThatWouldPassUnseenAreFaults(t *testing.T) {
	null, text := map[string]jsontext.Value{"expp": jsontext.Value("null")}, ""
	for want, v := range map[string]vector{
		"only means nothing":                      {Only: "https"},
		"untouched means nothing":                 {Untouched: []string{"as", "otter"}},
		"gRPC has no such thing: say only http":   {Query: "access_token=x"},
		"an optional route demands nothing":       {Only: "http", Config: setup{Optional: true, All: []string{"a"}}},
		"no caller is vouched for":                {Vouched: true, Expect: "OK", Lines: []string{}},
		"all hides any":                           {Config: setup{All: []string{"a"}, Any: []string{"b"}}},
		"nobody is refused":                       {Expect: "OK", Scope: "a"},
		"no handler runs":                         {Expect: "INVTOK", Subject: &text},
		"REMEDY is the outcome of the draft":      {Expect: "REMEDY"},
		"literal hides the rest of the recipe":    {Token: recipe{Literal: &text, Sign: "ES256"}},
		"raw is empty":                            {Token: recipe{Raw: &rawParts{}}},
		"pad hides raw":                           {Token: recipe{Pad: 1, Raw: &rawParts{Header: "{}"}}},
		"raw hides claims":                        {Token: recipe{Raw: &rawParts{Payload: "{}"}, Claims: goodClaims()}},
		"header removes expp, which is not there": {Token: recipe{Header: null}},
		"claims removes expp, which is not there": {Token: recipe{Claims: null}},
		"answer removes expp, which is not there": {Token: recipe{Answer: null}},
		"nobody is asked: set introspection":      {Config: setup{Issuer: issuerSetup{CacheFor: "1s"}}},
		"no certificate is shown without TLS":     {Certificate: "sender", Only: "cleartext"},
		"direct has no request":                   {Certificate: "sender", Only: "direct"},
		"only a proof is good once":               {Twice: true},
		"certificate means nothing":               {Certificate: "theif"},
		"store means nothing":                     {Config: setup{DPoP: &dpopSetup{Store: "up"}}},
		"there is no proof":                       {Proofs: []string{"${proof}"}},
		"nobody is asked about a proof":           {Proof: &recipe{Answer: goodAnswer()}},
		"claims removes athh, which is not there": {Proof: &recipe{Claims: members(`{"athh": null}`)}},
	} {
		if got := v.faults(); !slices.Equal(got, []string{want}) {
			t.Errorf("got %q; want %q", got, want)
		}
	}
}

// agrees reports whether some row of the matrix has the outcome for the reason.
func agrees(matrix []row, v vector) bool {
	want := outcomes[v.Expect]
	for _, r := range matrix {
		if r.Reason == v.Reason && r.Status == want.status && r.Error == want.oauth && r.Code == want.code {
			return true
		}
	}
	return false
}
