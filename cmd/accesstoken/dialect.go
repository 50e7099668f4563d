package main

import (
	"errors"
	"fmt"
	"go/format"
	"log/slog"
	"strconv"
	"strings"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/dialect"
	"github.com/accesstoken/accesstoken/internal/jose"
	"github.com/accesstoken/accesstoken/internal/shape"
	"github.com/accesstoken/accesstoken/jwks"
)

// A specimen is the one token that was given. It is not verified.
type specimen struct {
	header  *jose.Header
	claims  jose.Claims
	payload string
	spec    shape.Spec // what the token shows of its dialect
	rules   *shape.Rules
}

// describe prints the Issuer for a token.
func describe(token string) (string, error) {
	s, err := parse(token)
	if err != nil {
		return "", err
	}
	profile, fits := s.profile()
	if err := s.otherKind(); err != nil && !fits {
		return "", err
	}
	lines := []string{
		"// Made from one token, whose signature was not verified. Other tokens of the issuer",
		"// can have other claims, so try several.",
	}
	switch name := profile.String(); {
	case fits && profile == accesstoken.RFC9068:
		lines = append(lines, "// The token follows RFC 9068, so the issuer needs neither a Profile nor a Dialect.")
	case fits:
		name, _, _ = strings.Cut(name, " ")
		lines = append(lines,
			"// The token fits the profile "+name+". If that profile is made for this issuer, set",
			"// Profile: accesstoken."+name+" in place of the Dialect.")
	}
	lines = append(lines, "accesstoken.Issuer{")
	lines = append(lines, s.issuerFields()...)
	if !fits || profile != accesstoken.RFC9068 {
		lines = append(lines, s.dialectFields()...)
	}
	text, err := format.Source([]byte(strings.Join(append(lines, "}"), "\n")))
	return string(text) + "\n", err
}

// parse reads a token. It refuses what no configuration can accept.
func parse(token string) (*specimen, error) {
	parsed, err := jose.Parse(token)
	switch {
	case errors.Is(err, jose.ErrNotJWT) && strings.Count(token, ".") == 4:
		return nil, errors.New("the input is an encrypted JWT, which is never accepted; have the issuer send signed JWTs, or set the Introspection of its Issuer")
	case errors.Is(err, jose.ErrNotJWT):
		return nil, errors.New("the input is not a JWT, so it has no dialect; if it is an opaque access token, set the Introspection of its Issuer")
	case err != nil:
		return nil, fmt.Errorf("%w; copy the token again, without line breaks", err)
	}
	claims, err := jose.ReadClaims(parsed.Payload)
	switch {
	case err != nil:
		return nil, fmt.Errorf("the payload cannot be read: %w", err)
	case !jose.Supported(parsed.Algorithm):
		return nil, errors.New("the header's alg is not one that is accepted; have the issuer sign with RS256, ES256 or another asymmetric algorithm")
	case claims.Fault != "":
		return nil, fmt.Errorf("%s, so no configuration accepts the token; have the issuer mend it", claims.Fault)
	case claims.Issuer == "":
		return nil, errors.New("iss is missing, so no configuration accepts the token; have the issuer put it into its tokens")
	case claims.Expiry.IsZero():
		return nil, errors.New("exp is missing, so no configuration accepts the token; have the issuer put it into its tokens")
	}
	s := &specimen{header: parsed.Header, claims: claims, payload: parsed.Payload, spec: shape.Suggest(parsed.Header, &claims, parsed.Payload)}
	var faults []string
	s.rules, faults = shape.Compile(s.spec)
	for _, fault := range faults {
		if strings.HasPrefix(fault, "Types ") {
			return nil, errors.New(fault)
		}
	}
	return s, nil
}

// otherKind returns an error if the token has the marks of an ID, refresh or logout
// token.
func (s *specimen) otherKind() error {
	if !s.claims.Nonce && !s.claims.OtherKind && !s.claims.OtherUse {
		return nil
	}
	return errors.New("the token has a nonce, at_hash, c_hash, s_hash or events, or a typ or token_use, as ID, refresh or logout tokens have; " +
		"expected an access token, which the client gets beside it. If ID tokens are the credentials on purpose, see IDTokens in package dialect")
}

// ownIDTokens are the profiles whose credentials are ID tokens without a mark of their
// own, by their issuer.
var ownIDTokens = map[string]accesstoken.Profile{
	"https://accounts.google.com":                 accesstoken.Google,
	"https://cloud.google.com/iap":                accesstoken.GoogleIAP,
	"https://token.actions.githubusercontent.com": accesstoken.CI,
}

// profile returns the one profile that accepts tokens such as this, or false if there
// are several or none. A profile that knows its tokens by typ, by a claim or by iss goes
// before those that do not. Those are not considered if the token has no aud.
func (s *specimen) profile() (accesstoken.Profile, bool) {
	if p, ok := ownIDTokens[s.claims.Issuer]; ok {
		return p, true
	}
	if strings.HasPrefix(s.claims.Issuer, "https://securetoken.google.com/") {
		return accesstoken.Firebase, true
	}
	var marked, others []accesstoken.Profile
	for p := accesstoken.RFC9068; p.Dialect() != nil; p++ {
		spec := p.Dialect().Spec()
		spec.IsProfile = true
		rules, _ := shape.Compile(spec)
		switch known := knownBy(p, s.claims.Issuer); {
		case !s.fits(rules) || known == elsewhere:
		case p == accesstoken.RFC9068:
			return p, true
		case rules.IsMarked || known == here:
			marked = append(marked, p)
		case !spec.IDTokens && s.claims.Audience != nil:
			others = append(others, p)
		}
	}
	switch {
	case len(marked) == 1:
		return marked[0], true
	case len(marked) == 0 && len(others) == 1:
		return others[0], true
	}
	return 0, false
}

// What the issuer's name says about a profile.
const (
	unknown   = iota // nothing
	here             // the profile is for this issuer
	elsewhere        // the profile is for other issuers
)

// knownBy tells apart profiles that accept the same tokens, by the issuer's name.
func knownBy(p accesstoken.Profile, iss string) int {
	var is bool
	switch p {
	case accesstoken.EntraV2:
		is = !strings.Contains(iss, ".ciamlogin.com/")
	case accesstoken.EntraExternalID:
		is = strings.Contains(iss, ".ciamlogin.com/")
	case accesstoken.Firebase:
		is = strings.HasPrefix(iss, "https://securetoken.google.com/")
	case accesstoken.PingOne:
		is = strings.HasPrefix(iss, "https://auth.pingone.")
	case accesstoken.WorkOS:
		is = strings.HasPrefix(iss, "https://api.workos.com")
	default:
		return unknown
	}
	if is {
		return here
	}
	return elsewhere
}

// fits reports whether the rules accept the token, and read its scopes.
func (s *specimen) fits(rules *shape.Rules) bool {
	reading := rules.Read(&s.claims, s.payload, false)
	losesScopes := !reading.Scope.Present && s.spec.Scope != nil
	return rules.Check(s.header, &reading) == nil && !losesScopes
}

// issuerFields returns the fields besides the Dialect.
func (s *specimen) issuerFields() []string {
	lines := []string{"URL: " + strconv.Quote(s.claims.Issuer) + ","}
	if !strings.HasPrefix(s.claims.Issuer, "https://") {
		lines = append(lines, `JWKSURI: "", // TODO: the address of the issuer's keys, because URL is not an https URL`)
	}
	switch len(s.claims.Audience) {
	case 0:
	case 1:
		lines = append(lines, list("Audience", s.claims.Audience)+", // TODO: remove this if it is Config.Resource")
	default:
		lines = append(lines, list("Audience", s.claims.Audience)+", // TODO: keep what names this resource server")
	}
	if clients := s.clients(); clients != nil {
		lines = append(lines, list("Clients", clients)+", // TODO: list all clients that may call, because the tokens have no aud")
	}
	return lines
}

// clients returns the client for Issuer.Clients, which takes the place of aud.
func (s *specimen) clients() []string {
	reading := s.rules.Read(&s.claims, s.payload, false)
	if s.claims.Audience != nil || reading.ClientID == "" {
		return nil
	}
	return []string{reading.ClientID}
}

// dialectFields returns the Dialect, and what is still wrong with it.
func (s *specimen) dialectFields() []string {
	lines := []string{"Dialect: &dialect.Dialect{", `Name: "", // TODO: the issuer's name, for errors`}
	for _, field := range s.spec.Fields() {
		lines = append(lines, field+",")
	}
	lines = append(lines,
		"// TODO: list in Kind what the issuer's access tokens have and its ID tokens lack.",
		"// Compare the two.")
	if own := s.rules.Own(s.payload); own != nil {
		lines = append(lines, "// Such a mark may be on one of these claims, which ID tokens often lack:")
		for _, claim := range own {
			lines = append(lines, "// Kind: []dialect.Mark{dialect.Has("+strconv.Quote(claim)+")},")
		}
	}
	for _, fault := range s.faults() {
		lines = append(lines, "// TODO: "+fault)
	}
	return append(lines, "},")
}

// faults returns what is wrong with the Dialect as it is printed: what NewValidator says,
// or why it refuses this very token.
func (s *specimen) faults() (faults []string) {
	v, err := accesstoken.NewValidator(accesstoken.Config{
		Resource: "resource",
		Issuers: []accesstoken.Issuer{{
			URL: "https://issuer.example.com", Keys: jwks.Static(), Clients: s.clients(),
			Dialect: &dialect.Dialect{
				Types: s.spec.Types, Client: s.spec.Client, Scope: s.spec.Scope, ScopeArray: s.spec.ScopeArray,
				ID: s.spec.ID, Groups: s.spec.Groups, Roles: s.spec.Roles, Optional: s.spec.Optional,
			},
		}},
		Logger: slog.New(slog.DiscardHandler),
	})
	if err == nil {
		_ = v.Close()
	} else {
		for line := range strings.Lines(err.Error()) {
			if _, fault, found := strings.Cut(line, "Dialect."); found {
				faults = append(faults, strings.TrimSpace(fault))
			}
		}
	}
	reading := s.rules.Read(&s.claims, s.payload, false)
	if fault := s.rules.Check(s.header, &reading); fault != nil {
		faults = append(faults, "until Kind has a mark, this very token is refused: "+fault.Text)
	}
	return faults
}

func list(field string, values []string) string {
	var words []string
	for _, value := range values {
		words = append(words, strconv.Quote(value))
	}
	return field + ": []string{" + strings.Join(words, ", ") + "}"
}
