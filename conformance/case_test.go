package conformance_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/accesstoken/accesstoken"
)

// A vector is one case. Zero fields mean that nothing is out of the ordinary.
type vector struct {
	ID   string `json:"id"`
	Name string `json:"name"`
	RFC  string `json:"rfc"`

	Lines   []string         `json:"lines"`   // Authorization lines; nil: "Bearer ${token}"
	Token   recipe           `json:"token"`   // how to make ${token}
	Method  string           `json:"method"`  // HTTP only; "" is GET
	Query   string           `json:"query"`   // HTTP only
	Form    string           `json:"form"`    // HTTP only: the body of a form
	Headers map[string]words `json:"headers"` // beside Authorization; metadata on gRPC
	Only    string           `json:"only"`    // "http", "grpc", "cleartext", or "direct" for what no client would send

	Proof       *recipe  `json:"proof"`       // how to make ${proof}, a DPoP proof; the scheme is then DPoP, if Lines is nil
	Proofs      []string `json:"proofs"`      // DPoP lines; nil: "${proof}", if there is a Proof
	Twice       bool     `json:"twice"`       // the same was sent before, and let in
	Certificate string   `json:"certificate"` // the client's, of the TLS connection: "sender", "thief" or "" for none

	Config setup `json:"config"`
	Issuer state `json:"issuer"`

	Expect    string             `json:"expect"`
	Reason    accesstoken.Reason `json:"reason"`
	Scope     string             `json:"scope"`     // what the challenge asks for
	Granted   *string            `json:"granted"`   // the scopes that the handler finds, unless nil
	Subject   *string            `json:"subject"`   // the subject that the handler finds, unless nil
	Client    *string            `json:"client"`    // the client that the handler finds, unless nil
	Itself    *bool              `json:"itself"`    // whether the client acts for itself, unless nil
	Untouched []string           `json:"untouched"` // servers that get no request: "as", "other"
}

// words are a text, or several.
type words []string

func (w *words) UnmarshalJSON(data []byte) error {
	if jsontext.Value(data).Kind() == '[' {
		return json.Unmarshal(data, (*[]string)(w))
	}
	*w = words{""}
	return json.Unmarshal(data, &(*w)[0])
}

// A recipe makes a token, or a DPoP proof, from a good one.
type recipe struct {
	Signer  string                    `json:"signer"`  // "as" or "other"; "" is as. Of a proof: "sender" or "thief"; "" is sender
	Sign    string                    `json:"sign"`    // the algorithm of the signature; "" is the header's, or RS256; of a proof ES256
	Header  map[string]jsontext.Value `json:"header"`  // set or, with null, removed
	Claims  map[string]jsontext.Value `json:"claims"`  // set or, with null, removed
	Raw     *rawParts                 `json:"raw"`     // in place of Header and Claims
	Mutate  string                    `json:"mutate"`  // what happens to it after signing
	Pad     int                       `json:"pad"`     // bring it up to so many bytes, with another claim
	Literal *string                   `json:"literal"` // any text in place of a JWT
	Answer  map[string]jsontext.Value `json:"answer"`  // what introspection says about it; {} is a good answer
}

type rawParts struct {
	Header  string `json:"header"`  // "" is the good one
	Payload string `json:"payload"` // "" is the good one
}

// A setup is what the resource server is configured with.
type setup struct {
	Audience    []string            `json:"audience"`
	Leeway      string              `json:"leeway"`
	All         []string            `json:"all"`
	Any         []string            `json:"any"`
	Optional    bool                `json:"optional"`
	CORS        bool                `json:"cors"`
	Deadline    string              `json:"deadline"`     // of each request
	HTTPTimeout string              `json:"http_timeout"` // of each question to the issuer
	Implies     map[string][]string `json:"implies"`      // broader scopes
	Issuer      issuerSetup         `json:"issuer"`
	Other       *issuerSetup        `json:"other"` // nil: not an issuer of ours
	DPoP        *dpopSetup          `json:"dpop"`  // nil: the scheme is not offered
	FAPI2       bool                `json:"fapi2"`
	Constrained bool                `json:"sender_constrained"` // the route's policy
	Forwarded   *forwardedSetup     `json:"forwarded"`          // nil: no field is trusted
}

type dpopSetup struct {
	URLs       []string `json:"urls"` // nil: the resource's own
	Algorithms []string `json:"algorithms"`
	Nonces     bool     `json:"nonces"`
	Store      string   `json:"store"` // "" works; "down" does not
}

type forwardedSetup struct {
	Format  string   `json:"format"` // "Client-Cert", "NGINX", "Envoy" or "ALB"
	Field   string   `json:"field"`
	Proxies []string `json:"proxies"` // nil: the loopback addresses, from which every request comes here
}

type issuerSetup struct {
	URL              string              `json:"url"` // "" is the server's own
	Profile          string              `json:"profile"`
	Relax            []string            `json:"relax"`
	Audience         []string            `json:"audience"`
	Algorithms       []string            `json:"algorithms"`
	Clients          []string            `json:"clients"`
	JWKSURI          string              `json:"jwks_uri"`
	MetadataURL      string              `json:"metadata_url"`
	Introspection    bool                `json:"introspection"`
	AlwaysIntrospect bool                `json:"always_introspect"`
	SignedAnswers    bool                `json:"signed_answers"`
	CacheFor         string              `json:"cache_for"`
	TokenPrefix      string              `json:"token_prefix"`
	RequireTokenType bool                `json:"require_token_type"`
	NoAudience       bool                `json:"no_audience"`
	Tenants          []string            `json:"tenants"`
	Demand           map[string][]string `json:"demand"`
	MaxAge           string              `json:"max_age"`
	MaxLifetime      string              `json:"max_lifetime"`
	SingleAudience   bool                `json:"single_audience"`
	Accept           string              `json:"accept"` // what the hook says: see accept
}

// A state is what is the matter with the authorization server "as". A fault is a
// status (302 leads to the other server), "junk", "hang", "drop", "huge", or
// "body:" and the JSON to answer.
type state struct {
	Warm          bool     `json:"warm"`     // the keys were fetched before anything went wrong
	Invented      int      `json:"invented"` // then so many tokens with made-up kids came
	Metadata      string   `json:"metadata"`
	JWKS          string   `json:"jwks"`
	Introspection string   `json:"introspection"`
	Keys          []keyDoc `json:"keys"` // what the key set holds, unless nil
}

// A keyDoc is a JWK: one of a server's, changed, or made up.
type keyDoc struct {
	Of  string                    `json:"of"`  // "as" or "other"; "" is as
	Alg string                    `json:"alg"` // whose key to start from; "" starts from nothing
	Set map[string]jsontext.Value `json:"set"` // set or, with null, removed
}

func (v vector) positive() bool { return v.Expect == "OK" || v.Expect == "ANON" }

// group is the cases of one file.
type group struct {
	name    string
	vectors []vector
}

// load reads a file strictly: a misspelt member would be a case that does not
// test what it says.
func load[T any](t *testing.T, file string) (content T) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &content, json.RejectUnknownMembers(true)); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return content
}

var loadedGroups []group

// groups returns the cases of every file. They are read once, and only read.
func groups(t *testing.T) []group {
	t.Helper()
	if loadedGroups == nil {
		loadedGroups = loadGroups(t)
	}
	return loadedGroups
}

func loadGroups(t *testing.T) (all []group) {
	t.Helper()
	files, err := filepath.Glob("testdata/cases/*.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".json")
		all = append(all, group{name, load[[]vector](t, file)})
	}
	return all
}

// TestTheCasesAreWellMade looks at the data alone.
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
var elsewhere = []string{"ACT", "RAR", "RES"}

// knownIDs reports what a case may say that it shows.
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

// faults finds what would be passed over in silence, so that the case would not
// test what it says.
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
		fault(!slices.Contains([]string{"as", "other"}, name), "untouched means nothing")
	}
	fault((v.Method != "" || v.Query != "" || v.Form != "" || v.Config.Optional || v.Config.CORS) && v.Only != "http", "gRPC has no such thing: say only http")
	fault((v.Config.Optional || v.Config.CORS) && (v.Config.All != nil || v.Config.Any != nil), "an optional route demands nothing")
	fault(v.Config.All != nil && v.Config.Any != nil, "all hides any")
	fault(v.positive() && (v.Scope != "" || len(v.Reason) > 0), "nobody is refused")
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
		"all hides any":                           {Config: setup{All: []string{"a"}, Any: []string{"b"}}},
		"nobody is refused":                       {Expect: "OK", Scope: "a"},
		"no handler runs":                         {Expect: "INVTOK", Subject: &text},
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

// ids are the rows of the matrix and the requirements that a case shows.
func (v vector) ids() []string { return strings.Split(v.ID, "/") }

// agrees reports whether some row of the matrix has the outcome for the reason.
func agrees(matrix []row, v vector) bool {
	want := outcomes[v.Expect]
	for _, r := range matrix {
		if r.Reason == v.Reason && r.Status == want.status && r.Error == want.oauth && r.Code == want.code.String() {
			return true
		}
	}
	return false
}
