package accesstoken

import (
	"context"
	"crypto"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/accesstoken/accesstoken/dpop"
	"github.com/accesstoken/accesstoken/internal/challenge"
	"github.com/accesstoken/accesstoken/internal/fetch"
	"github.com/accesstoken/accesstoken/internal/jose"
	"github.com/accesstoken/accesstoken/introspection"
	"github.com/accesstoken/accesstoken/scopes"
)

// Config says what a [Validator] accepts. Resource and one Issuer have to be
// set; zero is a safe default for everything else.
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

	// ScopeImplies says which scopes a broader one stands for: with
	// {"admin": {"read", "write"}} a token with admin may do what read allows. What
	// is implied may imply more. It counts where a Policy is judged;
	// [Claims.Scopes] is what was granted. Nil: each scope stands for itself.
	ScopeImplies map[string][]string

	// DPoP verifies the proofs that come with tokens bound to a key (RFC 9449), and
	// offers the scheme DPoP to clients. Nil: such tokens are refused.
	DPoP *dpop.Verifier

	// ForwardedCertificate is for a proxy in front that ends TLS, and tokens that
	// are bound to a client certificate (RFC 8705). Without one the connection's own
	// certificate counts. The zero value trusts no header field.
	ForwardedCertificate ForwardedCertificate

	// FAPI2 holds the configuration and every request to what the FAPI 2.0 Security
	// Profile demands of resource servers (§5.3.4, §5.4): PS256, ES256 and Ed25519
	// only, every token bound to its sender, and one that was revoked noticed, for
	// which each issuer needs AlwaysIntrospect or a MaxLifetime of at most 10 min. The
	// introspection clients, the verifier of proofs, and key sources that have a method
	// FAPI2Err() error are asked what their own settings allow. What an HTTPClient does
	// is not looked at: it must use TLS 1.2 or newer and verify certificates.
	FAPI2 bool

	// Realm is the realm of the challenges, printable ASCII.
	Realm string

	// HTTPClient fetches the metadata and the keys of every issuer that has no
	// HTTPClient of its own. A client that adds a secret to its requests, such as a
	// token or a client certificate, therefore shows it to all of those issuers; set
	// it as Issuer.HTTPClient instead. Nil: a client of our own. It is copied, and
	// the copy follows no redirects. So is an [http.Transport], of which each issuer's
	// copy has connections of its own; see [jwks.Config].
	HTTPClient *http.Client

	// PublicAddressesOnly refuses to fetch metadata and keys from loopback,
	// link-local, private and other addresses that are not public, whatever a
	// name resolves to at the time. It uses no proxy, and excludes HTTPClient, here
	// and in Issuers.
	PublicAddressesOnly bool

	// MaxTokenSize is the size in bytes of the largest token that is looked at:
	// 16 KiB if zero, at most 64 KiB. A larger token is refused with TokenTooLarge,
	// whoever issued it. The server in front has a limit of its own for header
	// fields, 1 MiB in net/http and often 8 KiB in proxies.
	MaxTokenSize int

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
	// Unless MetadataURL, JWKSURI or Keys is set, it is also the root of discovery
	// (RFC 8414, OpenID Connect Discovery), and has to be https. With JWKSURI or
	// Keys nothing is fetched from it, so any non-empty string is accepted, such as
	// "http://adfs.example.com/adfs/services/trust" or "kubernetes/serviceaccount".
	URL string

	// Name is the issuer's label in logs, for example "staff". Empty: the host of
	// URL, or URL itself if it has no host. No two issuers can have the same Name.
	Name string

	// Aliases are other spellings of iss, for an issuer that is reached under
	// several names, such as an inner and an outer host. Each is compared character
	// for character, and nothing is fetched from it. Claims.Issuer is always URL. No
	// two issuers can share a spelling. If URL has {tenantid}, each alias must have
	// it as well.
	Aliases []string

	// MetadataURL is where the metadata is read when it is not derived from
	// URL. Its issuer must still equal URL.
	MetadataURL string

	// JWKSURI is where the keys are read; setting it skips discovery.
	JWKSURI string

	// Keys supplies the keys in place of a cache that the Validator makes: a
	// *jwks.Cache, jwks.Static, jwks.FromKeyfunc, or your own. The Validator
	// does not close it. Two issuers cannot have the same one, because either could
	// then sign for the other; for one issuer under two names see Aliases.
	Keys KeySource

	// HTTPClient fetches this issuer's metadata and keys, in place of
	// Config.HTTPClient. No other issuer's server sees its requests, so it can show
	// a secret, such as the token that a Kubernetes API server asks for. It is
	// copied, and the copy follows no redirects. It excludes Keys and
	// Config.PublicAddressesOnly.
	HTTPClient *http.Client

	// ReadyWithout keeps [Validator.Ready] from waiting for this issuer: while its
	// keys cannot be had its own tokens are refused with 503, and the others' pass.
	ReadyWithout bool

	// Introspection asks this issuer about opaque tokens (RFC 7662). With
	// several such issuers each needs its TokenPrefix. If the client has an Issuer
	// (introspection.Config), it must be URL or one of Aliases.
	Introspection *introspection.Client

	// AlwaysIntrospect asks about this issuer's JWTs as well, once their signature is
	// verified, so that revoked ones are refused. JWT and answer must both pass, and
	// the answer completes the JWT: sub, aud, the client, jti, cnf and roles may be in
	// either. What both have must agree in iss, sub, the client, jti, tid, act and cnf,
	// and both must name this resource server if both have aud. The scopes are those
	// that both have, and the earlier exp and iat count. Where the Profile does not
	// tell access tokens by a typ or claim of their own, a JWT without aud needs a
	// token_type in the answer. It needs Introspection.
	AlwaysIntrospect bool

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

	// Clients, unless nil, lists the client ids whose tokens are accepted: in
	// client_id, or where the Profile finds the client. Cognito and Google
	// demand it, as does Keycloak with DangerouslyAcceptNoAudience; the tokens of
	// Kubernetes and CI name no client.
	Clients []string

	// Tenants lists the tenants (tid) of Entra ID whose tokens are accepted, by
	// their GUIDs. It may be nil if URL names the one tenant, and must not be if
	// URL has {tenantid} in its place. All share one set of keys, in which some
	// sign for one tenant only: that is heeded if Keys is nil, a *jwks.Cache or
	// has its method For.
	Tenants []string

	// Demand lists claims that a token must have and, for each, the values of
	// which it must have one, exactly: a string, true or false, or one element
	// of an array. CI demands it. Claims that have a field of their own here,
	// such as aud, do not belong in it.
	Demand map[string][]string

	// Accept, unless nil, judges a token that has passed everything else but
	// the Policy, on every request. It can refuse what would be accepted, never the
	// reverse: with a [Reason] or an error that wraps one, such as
	// ClaimInvalid, with [Deny], or with [Unavailable] if it could not find out.
	// Any other error, and a panic, is an InternalError. It must be safe for
	// concurrent use.
	Accept func(ctx context.Context, claims Claims) error

	// MaxAge refuses tokens whose iat is longer ago, give or take the Leeway;
	// MaxLifetime those whose exp is further from their iat. Both then demand
	// iat, and MaxLifetime exp. Zero: no limit.
	MaxAge, MaxLifetime time.Duration

	// SingleAudience refuses tokens that name somebody else beside this resource
	// server: with one scope for several, a right at one may be a right at all
	// (RFC 9068 §3, §5). Auth0 adds itself to the aud of a user's token.
	SingleAudience bool

	// Relax departs from RFC 9068 field by field, for an issuer that has no
	// Profile of its own.
	Relax Relax

	// DangerouslyAllowHTTP fetches metadata and keys over plain http as well: an
	// attacker on the network path can then replace the keys. A loopback host does
	// not need it, nor does a URL with http from which nothing is fetched.
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

	// The largest real tokens, signed with ML-DSA-87, need about half of the
	// default. The keys of internal/tokencache are argued for tokens of mostTokenSize.
	defaultTokenSize = 16 << 10
	mostTokenSize    = 64 << 10
)

// faults collects what is wrong with a Config, in sentences that begin with the
// field.
type faults []error

func (f *faults) add(format string, args ...any) { *f = append(*f, fmt.Errorf(format, args...)) }

// list wants a list that somebody has set to say something.
func (f *faults) list(field string, values []string) {
	if values != nil && len(values) == 0 {
		f.add("%s is set but empty; leave it nil for the default", field)
	}
	if slices.Contains(values, "") {
		f.add("%s has an empty element", field)
	}
}

// faults reports everything that is wrong with the Config.
func (c Config) faults() (f faults) {
	if c.Resource == "" {
		f.add("Resource is empty; name this resource server, for example by its https URL")
	}
	if !challenge.IsQuotable(c.realm()) {
		f.add("Realm %q is not printable ASCII; set Realm", c.realm())
	}
	f.list("Audience", c.Audience)
	if c.Leeway > maxLeeway {
		f.add("Leeway is %v; at most %v is allowed, clocks that differ more need mending", c.Leeway, maxLeeway)
	}
	if c.PublicAddressesOnly && c.HTTPClient != nil {
		f.add("PublicAddressesOnly and HTTPClient exclude each other; connections are made by the client's own transport")
	}
	if c.MaxTokenSize < 0 || c.MaxTokenSize > mostTokenSize {
		f.add("MaxTokenSize is %d; expected at most %d bytes, or zero for %d", c.MaxTokenSize, mostTokenSize, defaultTokenSize)
	}
	f = append(f, c.ForwardedCertificate.faults()...)
	if c.FAPI2 {
		f = append(f, c.fapiFaults()...)
	}
	f.hierarchy(c.ScopeImplies)
	if len(c.Issuers) == 0 {
		f.add("Issuers is empty; name the authorization server whose tokens are accepted")
	}
	for i, issuer := range c.Issuers {
		for _, fault := range issuer.faults() {
			f.add("Issuers[%d] %q: %w", i, fetch.Redact(issuer.URL), fault)
		}
		if c.PublicAddressesOnly && issuer.HTTPClient != nil {
			f.add("Issuers[%d] %q: HTTPClient and Config.PublicAddressesOnly exclude each other; connections are made by the client's own transport", i, fetch.Redact(issuer.URL))
		}
		for j, other := range c.Issuers[:i] {
			for _, fault := range issuer.collisions(other) {
				f.add("Issuers[%d] and Issuers[%d]: %w", j, i, fault)
			}
		}
	}
	return append(f, c.sharedSpellings()...)
}

// sharedSpellings reports each iss that would name two issuers.
func (c Config) sharedSpellings() (f faults) {
	taken := map[string]int{} // which issuer has it
	for i, issuer := range c.Issuers {
		for _, id := range issuer.identities() {
			for _, spelling := range id.spellings() {
				if j, ok := taken[spelling]; ok && j != i {
					f.add("Issuers[%d] and Issuers[%d]: both have the URL %q, as URL or among Aliases; an iss must name one issuer", j, i, fetch.Redact(spelling))
				}
				taken[spelling] = i
			}
		}
	}
	return f
}

// clone keeps what the caller does with its own lists from mattering any more.
func (c Config) clone() Config {
	c.Audience = slices.Clone(c.Audience)
	c.ScopeImplies = cloneLists(c.ScopeImplies)
	c.ForwardedCertificate.Proxies = slices.Clone(c.ForwardedCertificate.Proxies)
	c.Issuers = slices.Clone(c.Issuers)
	for i := range c.Issuers {
		c.Issuers[i] = c.Issuers[i].clone()
	}
	return c
}

func (i Issuer) clone() Issuer {
	i.Aliases = slices.Clone(i.Aliases)
	i.Audience = slices.Clone(i.Audience)
	i.Algorithms = slices.Clone(i.Algorithms)
	i.Clients = slices.Clone(i.Clients)
	i.Tenants = slices.Clone(i.Tenants)
	i.Demand = cloneLists(i.Demand)
	return i
}

func cloneLists(lists map[string][]string) map[string][]string {
	lists = maps.Clone(lists)
	for name, list := range lists {
		lists[name] = slices.Clone(list)
	}
	return lists
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

func (c Config) maxToken() int {
	if c.MaxTokenSize == 0 {
		return defaultTokenSize
	}
	return c.MaxTokenSize
}

// faults reports what is wrong with one issuer, looked at alone.
func (i Issuer) faults() (f faults) {
	f = append(i.urlFaults(), i.aliasFaults()...)
	if i.Keys != nil && (i.JWKSURI != "" || i.MetadataURL != "") {
		f.add("Keys is set, so JWKSURI and MetadataURL would not be read; set one of them")
	}
	if i.JWKSURI != "" && i.MetadataURL != "" {
		f.add("JWKSURI is set, so MetadataURL would not be read; set one of them")
	}
	if i.Keys != nil && i.HTTPClient != nil {
		f.add("HTTPClient fetches metadata and keys, and Keys supplies them already; set one of them")
	}
	for _, fault := range checkKeySource(i.Keys) {
		f.add("Keys: %w", fault)
	}
	f.list("Audience", i.Audience)
	f.list("Algorithms", i.Algorithms)
	f.list("Clients", i.Clients)
	for _, algorithm := range i.Algorithms {
		if algorithm != "" && !jose.Supported(algorithm) {
			f.add("Algorithms: %q is not supported; choose among %v", algorithm, jose.DefaultAlgorithms())
		}
	}
	if i.AlwaysIntrospect && i.Introspection == nil {
		f.add("AlwaysIntrospect asks the issuer about its JWTs; set Introspection as well")
	}
	if i.TokenPrefix != "" && i.Introspection == nil {
		f.add("TokenPrefix is for opaque tokens; set Introspection as well")
	}
	if named := i.introspectionIssuer(); named != "" && named != i.URL && !slices.Contains(i.Aliases, named) {
		f.add("Introspection is for the issuer %q, so answers about its tokens would count for this one; set introspection.Config.Issuer to URL, or add that issuer to Aliases if both are one", fetch.Redact(named))
	}
	if i.MaxAge < 0 || i.MaxLifetime < 0 {
		f.add("MaxAge is %v and MaxLifetime %v; expected positive durations, or zero for no limit", i.MaxAge, i.MaxLifetime)
	}
	f.demand(i.Demand)
	return append(f, i.profileFaults()...)
}

// profileFaults reports what the profile finds missing: what it relaxes is made
// up for by these lists.
func (i Issuer) profileFaults() (f faults) {
	r, known := profiles[i.Profile]
	switch {
	case !known:
		f.add("Profile %v is unknown; choose one of this package's", i.Profile)
		return f
	case i.Relax != (Relax{}) && i.Profile != RFC9068:
		f.add("Relax is for the profile RFC9068; %s says by itself what it relaxes", r.name)
	}
	if i.Relax.Typ && i.Relax.JTI && i.Relax.ClientID && i.Clients == nil && i.Demand == nil && i.Accept == nil {
		f.add("Relax has Typ, JTI and ClientID, and then an ID token may have all that is left to check; set Clients, Demand or Accept as well")
	}
	if r.listClients && i.Clients == nil {
		f.add("Clients is nil; the profile %s demands the client ids whose tokens are accepted", r.name)
	}
	if i.Profile == Keycloak && i.DangerouslyAcceptNoAudience && i.Clients == nil {
		f.add("Clients is nil; with DangerouslyAcceptNoAudience the profile Keycloak demands the client ids whose tokens are accepted")
	}
	if r.clientless && i.Clients != nil {
		f.add("Clients is set, and no token of the profile %s names a client; use Demand", r.name)
	}
	if r.listDemand && i.Demand == nil {
		f.add("Demand is nil; the profile %s demands claims that tell our jobs from everybody's, such as sub or repository", r.name)
	}
	return append(f, i.tenantFaults()...)
}

// demand wants a Demand that can be met, and says something.
func (f *faults) demand(demand map[string][]string) {
	if demand != nil && len(demand) == 0 {
		f.add("Demand is set but empty; leave it nil for none")
	}
	for _, claim := range slices.Sorted(maps.Keys(demand)) {
		values := demand[claim]
		switch {
		case claim == "" || len(values) == 0 || slices.Contains(values, ""):
			f.add("Demand[%q] has no values, or an empty one; list those of which a token must have one", claim)
		case slices.Contains([]string{"iss", "aud", "exp", "nbf", "iat", "scope", "scp", "cnf"}, claim):
			f.add("Demand[%q]: what is right there is said elsewhere: in URL, Audience, MaxAge, or a route's Policy", claim)
		}
	}
}

// hierarchy wants scopes that a token can have.
func (f *faults) hierarchy(implies map[string][]string) {
	for _, broad := range slices.Sorted(maps.Keys(implies)) {
		if err := scopes.All(append([]string{broad}, implies[broad]...)...).Err(); err != nil || len(implies[broad]) == 0 {
			f.add("ScopeImplies[%q] names no scopes, or something that is none; list scope-tokens (RFC 6749 §3.3)", broad)
		}
	}
}

// checkKeySource finds a source that is none, such as the nil of a failed
// jwks.NewCache, and asks one that knows its own faults.
func checkKeySource(source KeySource) []error {
	if value := reflect.ValueOf(source); value.Kind() == reflect.Pointer && value.IsNil() {
		return []error{fmt.Errorf("the %T is nil; did its constructor fail?", source)}
	}
	checked, ok := source.(interface{ Err() error })
	if !ok || checked.Err() == nil {
		return nil
	}
	if several, ok := checked.Err().(interface{ Unwrap() []error }); ok {
		return several.Unwrap() // a line for each
	}
	return []error{checked.Err()}
}

// collisions reports what two issuers may not share.
func (i Issuer) collisions(other Issuer) (f faults) {
	if i.Name != "" && i.Name == other.Name {
		f.add("both have the Name %q, so the log could not tell them apart", i.Name)
	}
	if i.Keys != nil && reflect.TypeOf(i.Keys).Comparable() && i.Keys == other.Keys {
		f.add("both have the same Keys, so either could sign for the other; %s", i.insteadOfSharing(other))
	}
	// An opaque token is sent to one issuer only: sending it round would show
	// a live token to a server that did not issue it.
	if i.Introspection != nil && other.Introspection != nil &&
		(strings.HasPrefix(i.TokenPrefix, other.TokenPrefix) || strings.HasPrefix(other.TokenPrefix, i.TokenPrefix)) {
		f.add("both have Introspection, and TokenPrefix %q and %q do not tell their tokens apart", other.TokenPrefix, i.TokenPrefix)
	}
	return f
}

// insteadOfSharing says how two issuers get by without one KeySource for both.
func (i Issuer) insteadOfSharing(other Issuer) string {
	if profiles[i.Profile].tenant && profiles[other.Profile].tenant {
		return "for several tenants of Entra ID list them as Tenants of one Issuer, or give each the keys that jwks.Cache.For returns"
	}
	return "if they are one issuer under two names, keep one Issuer and add the other's URL to its Aliases; if not, give each its own Keys"
}
