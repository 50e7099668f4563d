package accesstoken

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/accesstoken/accesstoken/internal/fetch"
	"github.com/accesstoken/accesstoken/internal/jose"
	"github.com/accesstoken/accesstoken/internal/panics"
	"github.com/accesstoken/accesstoken/resourcemetadata"
	"github.com/accesstoken/accesstoken/scopes"
)

// largestDocument is the most bytes of a document of metadata.
const largestDocument = 64 << 10

// mostSignature is about the most bytes that a signature, and the names of its claims, add to
// what it signs. ML-DSA-87 has the longest signatures.
const mostSignature = 5 << 10

// derived are the members of the metadata that say what is enforced (RFC 9728 §2). A
// member that is written by hand could say something else, also if only its case differs,
// because encoding/json and other readers ignore case.
var derived = []string{
	"resource", "authorization_servers", "bearer_methods_supported", "dpop_signing_alg_values_supported",
	"dpop_bound_access_tokens_required", "tls_client_certificate_bound_access_tokens",
	"authorization_details_types_supported", "signed_metadata",
}

// named are the members that have a field of their own, each with the name of the field.
var named = [][2]string{{"resource_name", "Name"}, {"resource_documentation", "Documentation"}, {"scopes_supported", "Scopes"}}

// languageTag is the form of a language tag behind a member's name (RFC 9728 §2.1, RFC
// 5646 §2.1).
var languageTag = regexp.MustCompile(`^[A-Za-z]{1,8}(-[A-Za-z0-9]{1,8})*$`)

// A publication is the metadata of one resource server. It is safe for concurrent use.
type publication struct {
	url     string                     // of the document
	fixed   map[string]json.RawMessage // all members but authorization_servers
	signer  *resourcemetadata.Signer   // nil: no signed_metadata
	current atomic.Pointer[edition]    // nil until it is needed
	making  sync.Mutex                 // held while an edition is made
}

// An edition is a document, and the issuers that it was made for.
type edition struct {
	roster   *roster
	document []byte
	renew    time.Time // when to sign it again; zero: never
	signed   string    // the value of signed_metadata, or ""
	expires  time.Time // when signed ends
}

// signedFor is how long a signature lasts.
const signedFor = 24 * time.Hour

// publish returns what a Validator with this face publishes, or nil without Metadata. id
// is the identifier unless Metadata has its own. field names m in the faults.
func publish(field, id string, m *resourcemetadata.Metadata, shown *face, config Config) (p *publication, f faults) {
	if m == nil {
		return nil, nil
	}
	id = cmp.Or(m.Resource, id)
	place, err := resourcemetadata.URL(id)
	if err != nil {
		f.add("%s: %w; set Metadata.Resource to the https URL of this resource server (RFC 9728 §1.2)", field, err)
	}
	if config.TokenField != "" {
		f.add("%s and TokenField exclude each other, because a client that finds the metadata sends its token in Authorization", field)
	}
	f.metadata(field, m)
	members := maps.Clone(m.Extra)
	if members == nil {
		members = map[string]any{}
	}
	certificates := m.ClientCertificates || config.ForwardedCertificate.Format != 0
	members["resource"], members["resource_name"], members["resource_documentation"] = id, m.Name, m.Documentation
	members["scopes_supported"], members["bearer_methods_supported"] = m.Scopes, []string{"header"}
	members["tls_client_certificate_bound_access_tokens"] = certificates
	members["authorization_details_types_supported"] = slices.Sorted(maps.Keys(config.DetailTypes))
	if shown.dpop != nil {
		members["dpop_signing_alg_values_supported"] = shown.dpop.Algorithms()
		members["dpop_bound_access_tokens_required"] = config.FAPI2 && !certificates
	}
	p = &publication{url: place, fixed: map[string]json.RawMessage{}}
	if m.Signer != nil {
		copied := *m.Signer
		copied.Issuer = cmp.Or(copied.Issuer, id)
		p.signer = &copied
	}
	for name, value := range members {
		text, err := json.Marshal(value)
		switch {
		case err != nil:
			f.add("%s.Extra[%q] cannot be written as JSON: %w", field, name, err)
		case !slices.Contains(absent, string(text)):
			p.fixed[name] = text
		}
	}
	if p.fixed["dpop_bound_access_tokens_required"] != nil {
		p.fixed["bearer_methods_supported"] = json.RawMessage("[]") // §2: the scheme Bearer is refused
	}
	if size := p.sizeOf(p.members(nil)); size > largestDocument {
		f.add("%s makes a document of %d bytes; expected at most %d", field, size, largestDocument)
	}
	return p, f
}

// absent lists the values that mean the same as no member (RFC 9728 §3.2).
var absent = []string{"null", "false", `""`, "[]", "{}"}

// metadata reports what is wrong with the members of a document.
func (f *faults) metadata(field string, m *resourcemetadata.Metadata) {
	f.list(field+".Scopes", m.Scopes)
	if s := m.Signer; s != nil && (s.Key == nil || !jose.Supported(s.Algorithm) || !jose.Fits(s.Algorithm, s.Key.Public())) {
		f.add("%s.Signer: Algorithm %q does not go with the Key; set both, for example ES256 with a P-256 key", field, s.Algorithm)
	}
	for _, scope := range m.Scopes {
		switch {
		case scope == "offline_access":
			f.add("%s.Scopes has offline_access, which a client requests from the authorization server for itself; remove it", field)
		case scope != "" && scopes.All(scope).Err() != nil:
			f.add("%s.Scopes: %q is not a scope-token (RFC 6749 §3.3)", field, scope)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(m.Extra)) {
		plain, tag, tagged := strings.Cut(name, "#")
		isNamed := slices.IndexFunc(named, func(one [2]string) bool { return strings.EqualFold(one[0], name) })
		switch {
		case slices.ContainsFunc(derived, func(one string) bool { return strings.EqualFold(one, plain) }):
			f.add("%s.Extra has %q, which follows from the Config; remove it", field, name)
		case isNamed >= 0:
			f.add("%s.Extra has %q; set Metadata.%s", field, name, named[isNamed][1])
		case plain == "" || tagged && !languageTag.MatchString(tag):
			f.add("%s.Extra has %q; expected a name, and a language tag behind a # (RFC 9728 §2.1)", field, name)
		}
	}
}

// advise warns of what is legal, but probably a mistake. p may be nil.
func (p *publication) advise(f *family) {
	if p == nil {
		return
	}
	place, _, hasQuery := strings.Cut(p.url, "?")
	if hasQuery {
		f.logger.Warn("accesstoken: the resource identifier has a query, which RFC 9728 §1.2 advises against",
			"url", place, "advice", "set Metadata.Resource to an identifier without a query, because routers and clients may leave it out")
	}
	for _, name := range slices.Sorted(maps.Keys(p.fixed)) {
		if plain, _, tagged := strings.Cut(name, "#"); tagged && p.fixed[plain] == nil {
			f.logger.Warn("accesstoken: the metadata has "+name+" and no "+plain,
				"url", place, "advice", "also set the member without a language tag, which clients use that do not know the language (RFC 9728 §2.1)")
		}
	}
}

// members returns the members with these authorization servers.
func (p *publication) members(servers []string) map[string]json.RawMessage {
	members := maps.Clone(p.fixed)
	if len(servers) > 0 {
		members["authorization_servers"] = encode(servers)
	}
	return members
}

// sizeOf returns the size of the document with these members. If it is signed, signed_metadata
// has them once more, in base64.
func (p *publication) sizeOf(members map[string]json.RawMessage) int {
	size := len(encode(members))
	if p.signer != nil {
		size += (size + len(encode(p.signer.Issuer)) + len(encode(p.signer.KeyID)) + mostSignature) * 4 / 3
	}
	return size
}

// encode writes a value of which it is known that it can be written.
func encode(value any) json.RawMessage {
	text, _ := json.Marshal(value)
	return text
}

// document returns the document as it is now.
func (p *publication) document(f *family) []byte {
	now, held := f.roster.Load(), p.current.Load()
	if held == nil || held.roster != now || !held.renew.IsZero() && !f.now().Before(held.renew) {
		held = p.make(f, now, held)
	}
	return held.document
}

// make makes the document for these issuers, once if several requests need it. While one
// request makes it, the others get the old one, as long as that is about the same issuers
// and its signature has not expired.
func (p *publication) make(f *family, now *roster, old *edition) *edition {
	if !p.making.TryLock() {
		if old != nil && old.roster == now && f.now().Before(old.expires) {
			return old
		}
		p.making.Lock()
	}
	defer p.making.Unlock()
	held, at := p.current.Load(), f.now()
	if held != nil && held.roster == now && (held.renew.IsZero() || at.Before(held.renew)) {
		return held // another request has made it
	}
	members := p.members(now.authorizationServers())
	if p.sizeOf(members) > largestDocument {
		members = p.members(nil)
		if f.warnings.isNew("metadata " + p.url) {
			f.logger.Warn("accesstoken: the metadata does not list the authorization servers, because it would have more than 64 KiB (logged once)",
				"url", p.url, "advice", "tell clients by other means where they get a token")
		}
	}
	made := &edition{roster: now}
	if p.signer != nil {
		made.sign(p, f, held, members, at)
	}
	made.document = encode(members)
	p.current.Store(made)
	return made
}

// sign adds signed_metadata to the members. If it cannot, it tries again in a minute, and
// the earlier one stays if it is about the same issuers.
func (e *edition) sign(p *publication, f *family, held *edition, members map[string]json.RawMessage, at time.Time) {
	claims := maps.Clone(members)
	e.expires, e.renew = at.Add(signedFor), at.Add(signedFor/2)
	claims["iss"], claims["iat"], claims["exp"] = encode(p.signer.Issuer), encode(at.Unix()), encode(e.expires.Unix())
	signed, err := signMetadata(p.signer, claims)
	if err != nil {
		f.logger.Warn("accesstoken: the metadata could not be signed", "url", p.url, "error", err.Error())
		e.renew = at.Add(time.Minute)
		if held == nil || held.roster != e.roster || !at.Before(held.expires) {
			return
		}
		signed, e.expires = held.signed, held.expires
		if e.renew.After(e.expires) {
			e.renew = e.expires
		}
	}
	e.signed = signed
	if signed != "" {
		members["signed_metadata"] = encode(signed)
	}
}

// signMetadata makes a JWS of the claims. The key may be code of the application.
func signMetadata(s *resourcemetadata.Signer, claims map[string]json.RawMessage) (signed string, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the Signer panicked: %s", panics.Describe(p))
		}
	}()
	header := map[string]string{"alg": s.Algorithm}
	if s.KeyID != "" {
		header["kid"] = s.KeyID
	}
	input := base64.RawURLEncoding.EncodeToString(encode(header)) + "." + base64.RawURLEncoding.EncodeToString(encode(claims))
	signature, err := jose.Sign(s.Key, s.Algorithm, input)
	if err != nil {
		return "", err
	}
	return input + "." + base64.RawURLEncoding.EncodeToString(signature), nil
}

// authorizationServers returns the identifiers of the issuers that a client can get an
// access token for this resource server from.
func (r *roster) authorizationServers() (servers []string) {
	for _, g := range r.groups {
		profile, _ := g.given.profile()
		if slices.Contains(noAuthorizationServers, profile) {
			continue
		}
		for _, i := range g.members {
			if !i.rules.TakesIDTokens() && fetch.CheckURL(i.url, false) == nil {
				servers = append(servers, i.url)
			}
		}
	}
	return servers
}

// noAuthorizationServers are the profiles of issuers that give tokens to workloads or to a
// proxy, and not to clients that ask for one.
var noAuthorizationServers = []Profile{Kubernetes, CI, SPIFFE, CloudflareAccess, GoogleIAP}
