package accesstoken

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/accesstoken/accesstoken/internal/challenge"
	"github.com/accesstoken/accesstoken/internal/fetch"
	"github.com/accesstoken/accesstoken/internal/jose"
	"github.com/accesstoken/accesstoken/introspection"
)

// Config says what a [Validator] accepts. Resource (or Audience) and one
// Issuer have to be set; zero is a safe default for everything else.
type Config struct {
	_ [0]func()

	// Resource identifies this resource server (RFC 8707): any non-empty
	// string, usually its https URL. It is the accepted audience unless
	// Audience is set, and the realm unless Realm is.
	Resource string

	// Audience replaces Resource as the list of accepted audiences: a token
	// must name one of them in aud. They are compared exactly; several
	// spellings of one identifier are listed, never normalised.
	Audience []string

	// Issuers are the authorization servers whose tokens are accepted. Each has
	// its own keys, algorithms and profile; no key of one ever verifies a token
	// of another.
	Issuers []Issuer

	// Leeway accounts for clock skew in exp, nbf and iat: 30 s if zero, none if
	// negative, at most 5 min. A token ends at exp + Leeway.
	Leeway time.Duration

	// Realm is the realm of the challenges, printable ASCII.
	Realm string

	// HTTPClient fetches metadata and keys; nil is a client of our own. It is
	// copied, and the copy follows no redirects.
	HTTPClient *http.Client

	// Logger receives the operator's warnings: one for each issuer and cause,
	// never a token. nil is slog.Default().
	Logger *slog.Logger

	// Now is the clock for exp, nbf and iat; nil is time.Now. It must be safe
	// for concurrent use.
	Now func() time.Time

	// OnRefuse is called once for each refusal, before it is returned, with the
	// context that was given. It must be safe for concurrent use. A panic in it
	// becomes an InternalError.
	OnRefuse func(ctx context.Context, err *Error)
}

// An Issuer is an authorization server whose tokens are accepted.
type Issuer struct {
	_ [0]func()

	// URL is the issuer identifier: iss must equal it character for character.
	// It is also the root of discovery (RFC 8414, OpenID Connect Discovery).
	URL string

	// MetadataURL is where the metadata is read when it is not derived from
	// URL. Its issuer must still equal URL.
	MetadataURL string

	// JWKSURI is where the keys are read; setting it skips discovery.
	JWKSURI string

	// Keys supplies the keys in place of a cache that the Validator makes: a
	// *jwks.Cache, jwks.Static, jwks.FromKeyfunc, or your own. The Validator
	// does not close it.
	Keys KeySource

	// Introspection asks this issuer about opaque tokens (RFC 7662). With
	// several such issuers each needs its TokenPrefix.
	Introspection *introspection.Client

	// TokenPrefix is what this issuer's opaque tokens begin with.
	TokenPrefix string

	// Audience replaces Config.Audience for this issuer.
	Audience []string

	// Algorithms lists the accepted alg values; nil is RS256, RS384, RS512,
	// PS256, PS384, PS512, ES256, ES384, ES512, Ed25519, and EdDSA for Ed25519
	// keys. The token never chooses.
	Algorithms []string

	// Profile is what this issuer's JWT access tokens look like.
	Profile Profile

	// Clients, unless nil, lists the client ids whose tokens are accepted.
	Clients []string

	// Tenants is for the profiles of Entra ID.
	Tenants []string

	// Relax departs from RFC 9068 field by field, for an issuer that has no
	// Profile of its own.
	Relax Relax

	// DangerouslyAllowHTTP accepts plain http for the issuer and what it names.
	// On a loopback host it always is.
	DangerouslyAllowHTTP bool

	// DangerouslyAcceptNoAudience accepts tokens without any aud, from servers
	// that send none: then every token of the issuer, issued for whatever
	// resource, opens this one. Set Clients as well. A token that has an aud
	// must still name us.
	DangerouslyAcceptNoAudience bool
}

// A KeySource holds one issuer's verification keys. It must be safe for
// concurrent use, and is asked on every request, so it should answer from
// memory.
//
// Keys returns the public keys that may verify a token with this kid ("" when
// the header has none) and this alg. An error means that the source could not
// find out, and refuses the request with KeysUnavailable. No keys means that it
// asked, and the key is not there: KeyNotFound.
//
// The generation changes when the keys do, so that facts cached on the strength
// of a withdrawn key are dropped; with generation 0 the keys themselves are
// compared on every request.
type KeySource interface {
	Keys(ctx context.Context, kid, alg string) (keys []crypto.PublicKey, generation uint64, err error)
}

const (
	defaultLeeway = 30 * time.Second
	maxLeeway     = 5 * time.Minute
)

// faults reports everything that is wrong with the Config itself.
func (c Config) faults() (faults []error) {
	if c.Resource == "" {
		faults = append(faults, errors.New("Resource is empty; name this resource server, for example by its https URL"))
	}
	if !challenge.IsQuotable(c.realm()) {
		faults = append(faults, fmt.Errorf("Realm %q is not printable ASCII; set Realm", c.realm()))
	}
	if c.Audience != nil {
		faults = append(faults, listFaults("Audience", c.Audience)...)
	}
	if c.Leeway > maxLeeway {
		faults = append(faults, fmt.Errorf("Leeway is %v; at most %v is allowed, clocks that differ more need mending", c.Leeway, maxLeeway))
	}
	if len(c.Issuers) == 0 {
		faults = append(faults, errors.New("Issuers is empty; name the authorization server whose tokens are accepted"))
	}
	return append(faults, c.issuerFaults()...)
}

func (c Config) realm() string {
	if c.Realm != "" {
		return c.Realm
	}
	return c.Resource
}

func (c Config) leeway() time.Duration {
	if c.Leeway == 0 {
		return defaultLeeway
	}
	return max(c.Leeway, 0)
}

func (c Config) issuerFaults() (faults []error) {
	for i, issuer := range c.Issuers {
		for _, fault := range issuer.faults() {
			faults = append(faults, fmt.Errorf("Issuers[%d] %q: %w", i, issuer.URL, fault))
		}
		for j, other := range c.Issuers[:i] {
			for _, fault := range issuer.collisions(other) {
				faults = append(faults, fmt.Errorf("Issuers[%d] and Issuers[%d]: %w", j, i, fault))
			}
		}
	}
	return faults
}

// faults reports what is wrong with one issuer, looked at alone.
func (i Issuer) faults() (faults []error) {
	add := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	for _, u := range []struct{ field, url string }{{"URL", i.URL}, {"MetadataURL", i.MetadataURL}, {"JWKSURI", i.JWKSURI}} {
		if u.url == "" && u.field != "URL" {
			continue
		}
		if err := fetch.CheckURL(u.url, i.DangerouslyAllowHTTP); err != nil {
			add("%s: %w", u.field, err)
		}
	}
	if strings.Contains(i.URL, "?") {
		add("URL has a query; an issuer identifier has none (RFC 8414 §2)")
	}
	if i.Keys != nil && (i.JWKSURI != "" || i.MetadataURL != "") {
		add("Keys is set, so JWKSURI and MetadataURL would not be read; set one of them")
	}
	if checked, ok := i.Keys.(interface{ Err() error }); ok && checked.Err() != nil {
		add("Keys: %w", checked.Err())
	}
	for _, list := range []struct {
		field  string
		values []string
	}{{"Audience", i.Audience}, {"Algorithms", i.Algorithms}, {"Clients", i.Clients}} {
		if list.values != nil {
			faults = append(faults, listFaults(list.field, list.values)...)
		}
	}
	for _, algorithm := range i.Algorithms {
		if !jose.Supported(algorithm) {
			add("Algorithms: %q is not supported; choose among %v", algorithm, jose.DefaultAlgorithms())
		}
	}
	if i.TokenPrefix != "" && i.Introspection == nil {
		add("TokenPrefix is for opaque tokens; set Introspection as well")
	}
	return append(faults, i.profileFaults()...)
}

func (i Issuer) profileFaults() (faults []error) {
	if _, known := profiles[i.Profile]; !known {
		faults = append(faults, fmt.Errorf("Profile %v is unknown", i.Profile))
	}
	if i.Relax != (Relax{}) && i.Profile != RFC9068 {
		faults = append(faults, fmt.Errorf("Relax is for the profile RFC9068; %v says by itself what it relaxes", i.Profile))
	}
	if i.Tenants != nil {
		faults = append(faults, errors.New("Tenants is for the profiles of Entra ID"))
	}
	return faults
}

// collisions reports what two issuers may not share.
func (i Issuer) collisions(other Issuer) (faults []error) {
	if i.URL == other.URL {
		faults = append(faults, fmt.Errorf("both have the URL %q", i.URL))
	}
	// An opaque token is sent to one issuer only: sending it round would show
	// a live token to a server that did not issue it.
	if i.Introspection != nil && other.Introspection != nil &&
		(strings.HasPrefix(i.TokenPrefix, other.TokenPrefix) || strings.HasPrefix(other.TokenPrefix, i.TokenPrefix)) {
		faults = append(faults, fmt.Errorf("both have Introspection, and TokenPrefix %q and %q do not tell their tokens apart", other.TokenPrefix, i.TokenPrefix))
	}
	return faults
}

// listFaults wants a list that somebody has set to say something.
func listFaults(field string, values []string) (faults []error) {
	if len(values) == 0 {
		faults = append(faults, fmt.Errorf("%s is set but empty; leave it nil for the default", field))
	}
	if slices.Contains(values, "") {
		faults = append(faults, fmt.Errorf("%s has an empty element", field))
	}
	return faults
}
