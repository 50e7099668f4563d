package accesstoken_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/accesstokentest"
	"github.com/accesstoken/accesstoken/jwks"
)

// A shape is what an issuer's token looks like, without anything that was in it:
// types in place of values, but for what begins with "=" or is no string. An array
// has its elements' shapes.
type shape struct {
	Profile string            `json:"profile"`
	Kind    string            `json:"kind"`
	Outcome string            `json:"outcome"` // "OK", or why it was refused
	Header  map[string]any    `json:"header"`
	Claims  map[string]any    `json:"claims"`
	Fields  map[string]string `json:"fields"` // which claim becomes which field or method of Claims

	place    string // where it is written
	recorded bool
}

func (s shape) isAccessToken() bool { return strings.Contains(s.Kind, "access token") }

// A recording is what make interop has seen of one issuer. If the issuer cannot be run,
// Synthetic says what its shapes were made after.
type recording struct {
	Software  string  `json:"software"`
	Synthetic string  `json:"synthetic"`
	Profile   string  `json:"profile"`
	Tokens    []shape `json:"tokens"`
}

// recordings returns the shapes that were recorded, by the issuer's name.
func recordings(t *testing.T) map[string][]shape {
	t.Helper()
	found := map[string][]shape{}
	for _, file := range glob(t, "testdata/issuers/*.json") {
		var r recording
		readStrictly(t, file, read(t, file), &r)
		for i, s := range r.Tokens {
			s.Profile, s.recorded = r.Profile, r.Synthetic == ""
			s.place = fmt.Sprintf("%s: tokens[%d], %s", file, i, s.Kind)
			issuer := strings.TrimSuffix(filepath.Base(file), ".json")
			found[issuer] = append(found[issuer], s)
		}
	}
	return found
}

// documented returns the shapes that the pages print, by the page's name.
func documented(t *testing.T) map[string][]shape {
	t.Helper()
	found := map[string][]shape{}
	for _, file := range glob(t, "docs/issuers/*.md") {
		text := read(t, file)
		for _, at := range regexp.MustCompile("(?ms)^```json\n(.*?)^```$").FindAllSubmatchIndex(text, -1) {
			s := shape{place: fmt.Sprintf("%s:%d", file, 1+bytes.Count(text[:at[2]], []byte("\n")))}
			readStrictly(t, s.place, text[at[2]:at[3]], &s)
			page := strings.TrimSuffix(filepath.Base(file), ".md")
			found[page] = append(found[page], s)
		}
	}
	return found
}

func glob(t *testing.T, pattern string) []string {
	t.Helper()
	names, err := filepath.Glob(pattern)
	if err != nil || len(names) == 0 {
		t.Fatalf("%s: got %q, %v; want some", pattern, names, err)
	}
	return names
}

func read(t *testing.T, file string) []byte {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func readStrictly(t *testing.T, place string, text []byte, v any) {
	t.Helper()
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(v); err != nil {
		t.Fatalf("%s: %v", place, err)
	}
}

// What real issuers have sent, and what the pages say that others send, is judged
// as it was then.
func TestTheShapesOfRealTokens(t *testing.T) {
	as := accesstokentest.NewServer(t)
	accepted, refused := map[string]bool{}, map[string]bool{}
	for _, all := range []map[string][]shape{recordings(t), documented(t)} {
		for _, issuer := range slices.Sorted(maps.Keys(all)) {
			for _, s := range all[issuer] {
				t.Run(issuer+", "+s.Kind, func(t *testing.T) { s.judge(t, as) })
				accepted[s.Profile] = accepted[s.Profile] || s.Outcome == "OK"
				refused[s.Profile] = refused[s.Profile] || s.Outcome != "OK"
			}
		}
	}
	for name := range profiles() {
		if !accepted[name] || !refused[name] {
			t.Errorf("the profile %s has a shape that is accepted: %v, and one that is refused: %v; want both", name, accepted[name], refused[name])
		}
	}
}

// By the values that a page prints, in place of types, the issuer tells its tokens
// apart: without one of them nothing is accepted.
func TestWhatAPagePrintsAsAValueIsDemanded(t *testing.T) {
	as := accesstokentest.NewServer(t)
	tried := 0
	for _, shapes := range documented(t) {
		for _, s := range shapes {
			for claim, of := range s.Claims {
				if s.Outcome != "OK" || !isValue(of) {
					continue
				}
				tried++
				without := s
				without.Claims = maps.Clone(s.Claims)
				delete(without.Claims, claim)
				without.Outcome, without.Fields = string(accesstoken.TokenTypeMismatch), nil
				without.place += ", without " + claim
				without.judge(t, as)
			}
		}
	}
	if tried == 0 {
		t.Error("no page prints a value")
	}
}

func isValue(of any) bool {
	text, isText := of.(string)
	_, isNumber := of.(float64)
	return isText && strings.HasPrefix(text, "=") || isNumber
}

// A page about an issuer that was run prints what that was seen to send, and may
// print more.
func TestThePagesPrintWhatWasRecorded(t *testing.T) {
	pages := documented(t)
	for issuer, recorded := range recordings(t) {
		compared := 0
		for _, s := range pages[issuer] {
			ofThisKind := func(r shape) bool { return r.Kind == s.Kind }
			if !slices.ContainsFunc(recorded, ofThisKind) {
				continue
			}
			compared++
			if !slices.ContainsFunc(recorded, s.looksLike) {
				t.Errorf("%s: no token in testdata/issuers/%s.json of the kind %q has this shape and outcome", s.place, issuer, s.Kind)
			}
		}
		if compared == 0 {
			t.Errorf("docs/issuers/%s.md prints no token of a kind that testdata/issuers/%s.json has", issuer, issuer)
		}
	}
}

func (s shape) looksLike(r shape) bool {
	return s.Kind == r.Kind && s.Outcome == r.Outcome && reflect.DeepEqual(s.Header, r.Header) && reflect.DeepEqual(s.Claims, r.Claims)
}

// The foot of a page says how its facts were found, where and when.
var source = regexp.MustCompile("(?s)\n---\n\n(Checked against|Written from the source of|Written from the vendor's documentation).*?(?:Recorded|Read) on (\\d{4}-\\d\\d-\\d\\d):\\s<(https://[^>]+)>")

// How the facts of a profile were found stands in one place, its page.
func TestProfilesAreSourced(t *testing.T) {
	means := map[string]string{"Checked against": "run", "Written from the source of": "source", "Written from the vendor's documentation": "documentation"}
	found := map[string]string{}
	for page, shapes := range documented(t) {
		said := source.FindSubmatch(read(t, "docs/issuers/"+page+".md"))
		if said == nil {
			t.Errorf("docs/issuers/%s.md does not end in how its facts were found, with an address and a date", page)
			continue
		}
		if _, err := time.Parse(time.DateOnly, string(said[2])); err != nil {
			t.Errorf("docs/issuers/%s.md: %v", page, err)
		}
		for _, s := range shapes {
			found[s.Profile] = fmt.Sprintf("%s, %s, %s (docs/issuers/%s.md)", means[string(said[1])], said[3], said[2], page)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(profiles())) {
		if found[name] == "" {
			t.Errorf("%s: no page with its tokens says how its facts were found", name)
		}
		t.Logf("%s: %s", name, found[name])
	}
}

// profiles returns all there are, by name.
func profiles() map[string]accesstoken.Profile {
	found := map[string]accesstoken.Profile{}
	for p := accesstoken.RFC9068; !strings.HasPrefix(p.String(), "Profile("); p++ {
		name, _, _ := strings.Cut(p.String(), " ")
		found[name] = p
	}
	return found
}

const (
	shapedIssuer = "https://login.example.com/" + shapedTenant + "/v2.0"
	shapedTenant = "11111111-2222-3333-4444-555555555555"
	shapedClient = "client"

	shapedTrustDomain = "spiffe://example.org"
)

// judge makes a token of the shape. It has our aud whatever it is, which is the
// worst case: that it is for others must not be all that keeps it out.
func (s shape) judge(t *testing.T, as *accesstokentest.Server) {
	profile, known := profiles()[s.Profile]
	if !known {
		t.Fatalf("%s: the profile is %q; expected one of accesstoken's", s.place, s.Profile)
	}
	issuer := shapedIssuerOf(profile)
	issuer.Keys = jwks.Static(as.Keys()...)
	v := newValidator(t, as, func(c *accesstoken.Config) { c.Issuers = []accesstoken.Issuer{issuer} })
	claims, err := v.Validate(t.Context(), accesstoken.Bearer(s.token(t, as)))
	s.expect(t, err)
	for field, claim := range s.Fields {
		if got, want := fieldOf(t, claims, field), s.value(t, claim); got != want {
			t.Errorf("%s: %s is %q; want %q, from %s", s.place, field, got, want, claim)
		}
	}
}

// shapedIssuerOf returns an issuer of the shapes, with the lists that its profile demands.
func shapedIssuerOf(profile accesstoken.Profile) accesstoken.Issuer {
	issuer := accesstoken.Issuer{URL: shapedIssuer, Profile: profile}
	switch profile {
	case accesstoken.Clerk, accesstoken.Cognito, accesstoken.Dex, accesstoken.Google:
		issuer.Clients = []string{shapedClient}
	case accesstoken.FusionAuth:
		issuer.Tenants = []string{shapedTenant}
	case accesstoken.CI, accesstoken.Firebase, accesstoken.GitLab, accesstoken.GoogleIAP:
		issuer.Demand = map[string][]string{"sub": {"x-sub"}}
	case accesstoken.SPIFFE:
		issuer.URL, issuer.Keys = shapedTrustDomain, noKeys{}
		issuer.Algorithms, issuer.MaxLifetime = []string{"RS256", "ES256", "EdDSA"}, time.Hour
	}
	return issuer
}

// expect compares the verdict. For what is recorded and no access token, any refusal
// will do: the reason may have been its own aud, and here it has ours.
func (s shape) expect(t *testing.T, err error) {
	var refused *accesstoken.Error
	outcome := "OK"
	if errors.As(err, &refused) {
		outcome = string(refused.Reason)
	}
	kinds := []string{string(accesstoken.TokenTypeMismatch), string(accesstoken.ClaimInvalid), string(accesstoken.AudienceMismatch)}
	if s.Outcome == outcome || s.recorded && s.Outcome != "OK" && !s.isAccessToken() && slices.Contains(kinds, outcome) {
		return
	}
	t.Errorf("%s: got %s, %v; want %s", s.place, outcome, err, s.Outcome)
}

func (s shape) token(t *testing.T, as *accesstokentest.Server) string {
	header, _ := s.filled(t, "", s.Header).(map[string]any)
	if header["kid"] == nil {
		header["kid"] = nil // none at all
	} else {
		delete(header, "kid") // the real one
	}
	claims, _ := s.filled(t, "", s.Claims).(map[string]any)
	return as.Sign(header, claims)
}

// filled puts values into a shape.
func (s shape) filled(t *testing.T, name string, of any) any {
	switch of := of.(type) {
	case map[string]any:
		object := map[string]any{}
		for member, of := range of {
			object[member] = s.filled(t, member, of)
		}
		return object
	case []any:
		list := []any{}
		for _, element := range of {
			list = append(list, s.filled(t, name, element))
		}
		return list
	case string:
		return s.made(t, name, of)
	}
	return of // a value
}

// made makes a value up.
func (s shape) made(t *testing.T, name, kind string) any {
	literal, isLiteral := strings.CutPrefix(kind, "=")
	switch {
	case isLiteral:
		return literal
	case kind == "null":
		return nil
	case kind == "":
		return ""
	case kind == "boolean":
		return true
	case kind == "number" && name == "exp":
		return time.Now().Add(5 * time.Minute).Unix()
	case kind == "number" && slices.Contains([]string{"iat", "nbf", "auth_time"}, name):
		return time.Now().Unix()
	case kind == "number":
		return 1
	case kind == "string":
		return s.text(name)
	}
	t.Fatalf(`%s: %q is %q; expected string, number, boolean, null, nothing, or = and a value`, s.place, name, kind)
	return nil
}

func (s shape) text(name string) string {
	switch name {
	case "iss":
		return shapedIssuer
	case "aud":
		if s.Outcome == string(accesstoken.AudienceMismatch) && s.isAccessToken() {
			return "https://other.example.com"
		}
		return resource
	case "tid":
		return shapedTenant
	case "client_id", "azp", "appid", "cid":
		return shapedClient
	case "sid":
		if s.Profile == "WorkOS" {
			return "session_1"
		}
	case "sub":
		if s.Profile == "Kubernetes" {
			return "system:serviceaccount:prod:orders"
		}
		if s.Profile == "SPIFFE" {
			return shapedTrustDomain + "/ns/prod/sa/orders"
		}
	}
	return "x-" + name
}

// value returns what a claim of the shape, or a member of it, says as text.
func (s shape) value(t *testing.T, claim string) string {
	var of any = s.Claims
	name, found := claim, false
	for _, name = range strings.Split(claim, ".") {
		members, _ := of.(map[string]any)
		if of, found = members[name]; !found {
			t.Fatalf("%s: fields names %s, which is not among the claims", s.place, claim)
		}
	}
	if list, ok := of.([]any); ok && len(list) == 1 {
		of = list[0]
	}
	return fmt.Sprint(s.filled(t, name, of))
}

// fieldOf returns a field of Claims, or the one value of a list, as text.
func fieldOf(t *testing.T, claims accesstoken.Claims, field string) string {
	list := func(values []string, err error) string {
		if err != nil || len(values) != 1 {
			t.Fatalf("%s: got %q, %v; want one value", field, values, err)
		}
		return values[0]
	}
	switch field {
	case "Subject":
		return claims.Subject
	case "ClientID":
		return claims.ClientID
	case "ID":
		return claims.ID
	case "Scopes":
		return claims.Scopes().String()
	case "Groups":
		return list(claims.Groups())
	case "Roles":
		return list(claims.Roles())
	case "Entitlements":
		return list(claims.Entitlements())
	case "ACR":
		return claims.ACR()
	}
	t.Fatalf("no field of Claims is called %s here", field)
	return ""
}
