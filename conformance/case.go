package conformance

import (
	"embed"
	"io/fs"
	"path"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/accesstoken/accesstoken"
)

// A vector is one case. If a field is zero, that part of the case is ordinary.
type vector struct {
	ID   string `json:"id"`
	Name string `json:"name"`
	RFC  string `json:"rfc"`

	Lines   []string         `json:"lines"`   // Authorization lines; nil: "Bearer ${token}", or with a Proof "DPoP ${token}"
	Token   recipe           `json:"token"`   // how to make ${token}
	Method  string           `json:"method"`  // HTTP only; "" is GET
	Query   string           `json:"query"`   // HTTP only
	Form    string           `json:"form"`    // HTTP only: the body of a form
	Headers map[string]words `json:"headers"` // besides Authorization; metadata on gRPC
	Only    string           `json:"only"`    // "http", "grpc", "cleartext", or "direct" for a value that no client would send

	Proof       *recipe  `json:"proof"`       // how to make ${proof}, a DPoP proof
	Proofs      []string `json:"proofs"`      // DPoP lines; nil: "${proof}", if there is a Proof
	Twice       bool     `json:"twice"`       // the same request was sent before, and accepted
	Certificate string   `json:"certificate"` // the client certificate on the TLS connection: "sender", "thief" or "" for none

	Config setup `json:"config"`
	Issuer state `json:"issuer"`

	Expect    string             `json:"expect"`
	Reason    accesstoken.Reason `json:"reason"`
	Scope     string             `json:"scope"` // the scope of the challenge
	ACRValues string             `json:"acr_values"`
	MaxAge    string             `json:"max_age"`
	Remedy    jsontext.Value     `json:"remedy"`    // the authorization_details in authorization_remediation of the challenge; nil: no such parameter
	Granted   *string            `json:"granted"`   // the scopes that the handler finds; nil: those of the good token
	Subject   *string            `json:"subject"`   // the subject that the handler finds; nil: that of the good token
	Client    *string            `json:"client"`    // the client that the handler finds; nil: any
	Itself    *bool              `json:"itself"`    // whether the client acts for itself; nil: either
	Actor     *actor             `json:"actor"`     // the actor that the handler finds; nil: any or none
	Vouched   bool               `json:"vouched"`   // the handler finds the caller of Config.Own, not of a token
	Untouched []string           `json:"untouched"` // servers that must get no request: "as", "other"; and "own", which must not be called
}

// words are one text or several.
type words []string

func (w *words) UnmarshalJSON(data []byte) error {
	if jsontext.Value(data).Kind() == '[' {
		return json.Unmarshal(data, (*[]string)(w))
	}
	*w = words{""}
	return json.Unmarshal(data, &(*w)[0])
}

// A recipe makes a token, or a DPoP proof, by changes to a good token or proof.
type recipe struct {
	Signer  string                    `json:"signer"`  // "as" or "other"; "" is as. For a proof: "sender" or "thief"; "" is sender
	Sign    string                    `json:"sign"`    // the algorithm of the signature; "" is the header's, or RS256; for a proof ES256
	Header  map[string]jsontext.Value `json:"header"`  // set or, with null, removed
	Claims  map[string]jsontext.Value `json:"claims"`  // set or, with null, removed
	Raw     *rawParts                 `json:"raw"`     // replaces Header and Claims
	Mutate  string                    `json:"mutate"`  // a change after signing: one of mutations
	Pad     int                       `json:"pad"`     // size in bytes, reached with a member pad in header and payload
	Literal *string                   `json:"literal"` // any text in place of a JWT
	Answer  map[string]jsontext.Value `json:"answer"`  // changes to the good introspection answer; nil: the token is not known there
}

type rawParts struct {
	Header  string `json:"header"`  // "" is the good header
	Payload string `json:"payload"` // "" is the good payload
}

// A setup is the configuration of the resource server.
type setup struct {
	Audience    []string            `json:"audience"`
	Leeway      string              `json:"leeway"`
	All         []string            `json:"all"`
	Any         []string            `json:"any"`
	Optional    bool                `json:"optional"`
	CORS        bool                `json:"cors"`
	Deadline    string              `json:"deadline"`     // of each request
	HTTPTimeout string              `json:"http_timeout"` // of each request to the issuer
	Implies     map[string][]string `json:"implies"`      // broader scopes
	Issuer      issuerSetup         `json:"issuer"`
	Other       *issuerSetup        `json:"other"` // nil: the server is not a configured issuer
	DPoP        *dpopSetup          `json:"dpop"`  // nil: the scheme is not offered
	FAPI2       bool                `json:"fapi2"`
	TokenField  string              `json:"token_field"`        // "" is Authorization
	Metadata    bool                `json:"metadata"`           // the resource server publishes its metadata
	Own         *ownSetup           `json:"own"`                // nil: callers need a token
	Constrained bool                `json:"sender_constrained"` // the route's policy
	ACR         []string            `json:"acr"`                // the route's policy
	MaxAuthAge  string              `json:"max_auth_age"`       // the route's policy
	AMR         []string            `json:"amr"`                // the route's policy
	ACROrder    []string            `json:"acr_order"`          // from weak to strong
	Details     []detail            `json:"details"`            // the route's policy; its types are configured
	DraftRAR    bool                `json:"draft_rar"`          // the answer to insufficient details is that of the draft
	SPIFFEIDs   []string            `json:"spiffe_ids"`         // the route's policy
	Undelegated bool                `json:"refuse_delegated"`   // the route's policy
	Actors      []actor             `json:"actors"`             // the route's policy
	Forwarded   *forwardedSetup     `json:"forwarded"`          // nil: no header field is trusted
}

// A detail is a requirement on authorization_details.
type detail struct {
	Type       string   `json:"type"`
	Actions    []string `json:"actions"`
	Location   string   `json:"location"`
	Identifier string   `json:"identifier"`
}

// An actor is a member of act, of a policy or of a token.
type actor struct {
	Issuer   string `json:"iss"`
	Subject  string `json:"sub"`
	ClientID string `json:"client_id"`
}

// An ownSetup is a Config.Authenticate that knows every caller with the field X-Api-Key.
type ownSetup struct {
	Issuer string  `json:"issuer"` // "" is api-keys
	Scope  *string `json:"scope"`  // nil: that of the good token
	Ends   string  `json:"ends"`   // how long after the time of the case; "" is an hour
	Says   string  `json:"says"`   // "" is the identity; or "nothing", "deny", "error", "down", "panic" or a reason
}

type dpopSetup struct {
	URLs       []string `json:"urls"` // nil: the URL of the resource
	Algorithms []string `json:"algorithms"`
	Nonces     bool     `json:"nonces"`
	Store      string   `json:"store"` // "" works; "down" does not
}

type forwardedSetup struct {
	Format  string   `json:"format"` // "Client-Cert", "NGINX", "Envoy" or "ALB"
	Field   string   `json:"field"`
	Proxies []string `json:"proxies"` // nil: the loopback addresses, from which all requests of the tests come
}

type issuerSetup struct {
	URL              string              `json:"url"` // "" is the URL of the server
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
	Accept           string              `json:"accept"` // the result of the hook: see accept
}

// A state says what is wrong with the authorization server "as". A fault is a
// status (302 redirects to the other server), "junk", "hang", "drop", "huge", or
// "body:" followed by the JSON to answer with.
type state struct {
	Warm          bool     `json:"warm"`     // the keys were fetched before the faults began
	Invented      int      `json:"invented"` // number of tokens with made-up kids that were sent before the faults began
	Metadata      string   `json:"metadata"`
	JWKS          string   `json:"jwks"`
	Introspection string   `json:"introspection"`
	Keys          []keyDoc `json:"keys"` // the key set; nil: the good one
}

// A keyDoc is a JWK: a server's own key, possibly changed, or a made-up one.
type keyDoc struct {
	Of  string                    `json:"of"`  // "as" or "other"; "" is as
	Alg string                    `json:"alg"` // start from the server's key for this algorithm; "" starts from nothing
	Set map[string]jsontext.Value `json:"set"` // set or, with null, removed
}

func (v vector) positive() bool { return v.Expect == "OK" || v.Expect == "ANON" }

// group is the cases of one file.
type group struct {
	name    string
	vectors []vector
}

//go:embed testdata/*.json testdata/cases/*.json
var data embed.FS

// load reads a file strictly. If it accepted a misspelt member, a case would not
// test what its name says.
func load[T any](t *testing.T, file string) (content T) {
	t.Helper()
	raw, err := data.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, &content, json.RejectUnknownMembers(true)); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return content
}

var loadedGroups []group

// groups returns the cases of every file. The cases are read once, and a caller
// must not change them.
func groups(t *testing.T) []group {
	t.Helper()
	if loadedGroups == nil {
		loadedGroups = loadGroups(t)
	}
	return loadedGroups
}

func loadGroups(t *testing.T) (all []group) {
	t.Helper()
	files, err := fs.Glob(data, "testdata/cases/*.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(path.Base(file), ".json")
		all = append(all, group{name, load[[]vector](t, file)})
	}
	return all
}

// ids are the matrix rows and requirements that a case tests.
func (v vector) ids() []string { return strings.Split(v.ID, "/") }
