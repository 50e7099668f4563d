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

// Config says what a [Validator] accepts. You must set Resource and at least one
// Issuer. The zero value of every other field is a safe default.
type Config struct {
	_ [0]func()

	// Resource identifies this resource server (RFC 8707) by any non-empty string,
	// usually its https URL. It is the accepted audience unless Audience is set, and
	// the realm unless Realm is set.
	Resource string

	// Audience replaces Resource as the list of accepted audiences. A token must name
	// one of them in aud. The comparison is exact and nothing is normalised, so if an
	// identifier has several spellings, you should list them all.
	Audience []string

	// Issuers are the authorization servers whose tokens are accepted. Each has its own
	// keys, algorithms and profile, and its keys never verify another issuer's tokens.
	Issuers []Issuer

	// Leeway allows for clock skew in exp, nbf and iat. It is 30 s if zero, none if
	// negative, and 5 min at most. A token ends at exp + Leeway.
	Leeway time.Duration

	// ScopeImplies lists the narrower scopes that a broader scope includes. For
	// example, with {"admin": {"read", "write"}}, a token with admin satisfies a Policy
	// that needs read. Implied scopes can imply further ones. [Claims.Scopes] returns
	// only the granted scopes. If nil, no scope implies another.
	ScopeImplies map[string][]string

	// DPoP verifies the proofs that come with tokens bound to a key (RFC 9449), and
	// offers the scheme DPoP to clients. If nil, such tokens are refused.
	DPoP *dpop.Verifier

	// ForwardedCertificate should be set if tokens are bound to client certificates
	// (RFC 8705) and a proxy in front of this server ends TLS. Without a proxy, the
	// certificate of the connection is checked. The zero value trusts no header field.
	ForwardedCertificate ForwardedCertificate

	// FAPI2 enforces what the FAPI 2.0 Security Profile demands of resource servers
	// (§5.3.4, §5.4), in the configuration and on every request. Only PS256, ES256 and
	// Ed25519 are allowed, and every token must be bound to its sender. So that
	// revocation takes effect, each issuer must have AlwaysIntrospect or a MaxLifetime
	// of at most 10 min. The settings of introspection clients, of the DPoP verifier,
	// and of key sources with a method FAPI2Err() error are checked too. An HTTPClient
	// is not checked: it must use TLS 1.2 or newer and verify certificates.
	FAPI2 bool

	// Realm is the realm of the challenges. It must be printable ASCII, and is Resource
	// if empty.
	Realm string

	// HTTPClient fetches the metadata and the keys of every issuer that has no
	// HTTPClient of its own. If it adds a secret to its requests, such as a token or a
	// client certificate, all of those issuers see the secret, so you should set such a
	// client as Issuer.HTTPClient. If nil, a default client is used. The client is
	// copied, and the copy follows no redirects. An [http.Transport] is copied for each
	// issuer, so issuers share no connections; see [jwks.Config].
	HTTPClient *http.Client

	// PublicAddressesOnly refuses to fetch metadata and keys from loopback, link-local,
	// private and other addresses that are not public. The check is made at each
	// connection, after the name was resolved. HTTP proxies are bypassed. It cannot be
	// combined with HTTPClient, here or in Issuers.
	PublicAddressesOnly bool

	// MaxTokenSize is the largest accepted token in bytes: 16 KiB if zero, at most 64
	// KiB. A larger token is refused unread with TokenTooLarge. The server in front has
	// its own limit for header fields, for example 1 MiB in net/http and often 8 KiB in
	// proxies.
	MaxTokenSize int

	// Logger receives the operator's warnings, one for each issuer and cause, and each
	// refusal at Debug. It never receives a token. If nil, it is slog.Default().
	Logger *slog.Logger

	// Now is the clock for exp, nbf and iat. If nil, it is time.Now. It must be safe
	// for concurrent use.
	Now func() time.Time

	// OnRefuse is called once for each refusal, before the refusal is returned. Its
	// context is derived from the request's. If the caller is known, [FromContext]
	// returns the caller's claims from it until OnRefuse returns. OnRefuse must be safe
	// for concurrent use. If it panics, the refusal becomes an InternalError.
	OnRefuse func(ctx context.Context, err *Error)
}

// An Issuer is an authorization server whose tokens are accepted.
type Issuer struct {
	_ [0]func()

	// URL is the issuer identifier, and iss must equal it character for character. If
	// MetadataURL, JWKSURI and Keys are unset, it is also the root of discovery (RFC
	// 8414, OpenID Connect Discovery), and must be https. With JWKSURI or Keys nothing
	// is fetched from it, so any non-empty string is accepted, for example
	// "http://adfs.example.com/adfs/services/trust" or "kubernetes/serviceaccount".
	URL string

	// Name is the issuer's label in logs, for example "staff". If empty, it is the host
	// of URL, or URL itself if that has no host. Two issuers cannot have the same Name.
	Name string

	// Aliases are other spellings of iss, for an issuer that clients reach under
	// several names, such as an internal and a public host. Each is compared character
	// for character, and nothing is fetched from it. Claims.Issuer is always URL. Two
	// issuers cannot share a spelling. If URL has {tenantid}, each alias must have it
	// as well.
	Aliases []string

	// MetadataURL is the address of the metadata, if it cannot be derived from URL. The
	// issuer in the metadata must still equal URL.
	MetadataURL string

	// JWKSURI is the address of the key set. If it is set, discovery is skipped.
	JWKSURI string

	// Keys supplies the keys in place of the cache that the Validator would make. It
	// can be a *jwks.Cache, jwks.Static, jwks.FromKeyfunc, or your own. The Validator
	// does not close it. Two issuers cannot share it, because either could then sign
	// for the other. If one issuer has two names, use Aliases.
	Keys KeySource

	// HTTPClient fetches this issuer's metadata and keys, in place of
	// Config.HTTPClient. Only this issuer's servers see its requests, so it can send a
	// secret, such as the token that a Kubernetes API server needs. It is copied, and
	// the copy follows no redirects. It cannot be combined with Keys or
	// Config.PublicAddressesOnly.
	HTTPClient *http.Client

	// ReadyWithout lets [Validator.Ready] succeed without this issuer's keys. While
	// they are missing, this issuer's tokens are refused with 503; tokens of other
	// issuers are not affected.
	ReadyWithout bool

	// Introspection asks this issuer about opaque tokens (RFC 7662). If several issuers
	// have it, each needs a TokenPrefix. If the client has an Issuer
	// (introspection.Config), that must be URL or one of Aliases.
	Introspection *introspection.Client

	// AlwaysIntrospect also asks about this issuer's JWTs, after their signature is
	// verified, so that revoked ones are refused. It needs Introspection. Both the JWT
	// and the answer must pass, but sub, aud, the client, jti, cnf and roles can be in
	// either. If both have iss, sub, the client, jti, tid, act or cnf, the values must
	// agree. If both have aud, each must name this resource server. If both have
	// scopes, only the common ones count, and of exp and iat the earlier. If the
	// Profile recognises access tokens by neither typ nor a claim, a JWT without aud
	// needs a token_type in the answer.
	AlwaysIntrospect bool

	// TokenPrefix is the text that all opaque tokens of this issuer begin with.
	TokenPrefix string

	// Audience replaces Config.Audience for this issuer.
	Audience []string

	// Algorithms lists the accepted alg values; a token with any other is refused. If
	// nil, they are RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512,
	// Ed25519, and EdDSA for Ed25519 keys.
	Algorithms []string

	// Profile describes this issuer's JWT access tokens. The zero value is RFC9068.
	Profile Profile

	// Clients, if not nil, lists the client ids whose tokens are accepted. The client
	// id is in client_id, or where the Profile finds it. Cognito and Google need
	// Clients, and so does Keycloak with DangerouslyAcceptNoAudience. It cannot be used
	// with Kubernetes and CI, because their tokens name no client.
	Clients []string

	// Tenants lists the Entra ID tenants (tid) whose tokens are accepted, by GUID. It
	// can be nil if URL names the one tenant, and must be set if URL has {tenantid}.
	// All tenants share one key set, but some keys belong to a single tenant. This
	// restriction is enforced if Keys is nil, is a *jwks.Cache, or has its method For.
	Tenants []string

	// Demand lists claims that a token must have, each with its accepted values. For
	// example, with {"team": {"red", "blue"}} a token must have team "red" or "blue". A
	// claim matches if it is a string, true or false that equals a value, or an array
	// with such a string. CI needs Demand. Claims that have a field of their own here,
	// such as aud, cannot be in it.
	Demand map[string][]string

	// Accept, if not nil, is called on every request, for a token that has passed all
	// checks but the Policy. It can only refuse. To do so it returns a [Reason] such as
	// ClaimInvalid, an error that wraps one, an error of [Deny], or [Unavailable] if it
	// could not find out. Any other error, and a panic, is an InternalError. It must be
	// safe for concurrent use.
	Accept func(ctx context.Context, claims Claims) error

	// MaxAge refuses tokens that were issued (iat) longer ago than this plus Leeway.
	// MaxLifetime refuses tokens whose exp minus iat is larger. If either is set,
	// tokens must have iat; for MaxLifetime they must also have exp. Zero means no limit.
	MaxAge, MaxLifetime time.Duration

	// SingleAudience refuses tokens whose aud names other servers besides this one. If
	// several servers share a scope, a right that was granted at one could otherwise be
	// used at all (RFC 9068 §3, §5). Auth0 adds itself to the aud of a user's token.
	SingleAudience bool

	// Relax drops single demands of RFC 9068, for an issuer without a Profile of its
	// own.
	Relax Relax

	// DangerouslyAllowHTTP also allows metadata and keys to be fetched over plain http,
	// where an attacker on the network path can replace the keys. It is not needed for
	// a loopback host, or for an http URL from which nothing is fetched.
	DangerouslyAllowHTTP bool

	// DangerouslyAcceptNoAudience accepts tokens without aud, for servers that send
	// none. Every token of the issuer is then accepted here, whatever resource it was
	// issued for, so you should also set Clients. If a token has aud, it must still
	// name this server.
	DangerouslyAcceptNoAudience bool
}

// A KeySource holds one issuer's verification keys. It must be safe for concurrent
// use. It is called on every request, so it should answer from memory.
//
// Keys returns the public keys that may verify a token with this kid ("" if the
// header has none) and this alg. If the source cannot find out, it should return an
// error, and the request is refused with KeysUnavailable. If it knows that there is
// no such key, it should return no keys and no error, and the request is refused
// with KeyNotFound.
//
// The generation must change whenever the keys change, so that facts that were
// verified with a withdrawn key are dropped. If it is 0, the keys themselves are
// compared on every request.
type KeySource interface {
	Keys(ctx context.Context, kid, alg string) (keys []crypto.PublicKey, generation uint64, err error)
}

const (
	defaultLeeway = 30 * time.Second
	maxLeeway     = 5 * time.Minute

	// Tokens signed with ML-DSA-87, the largest in use, need about half of the default.
	// The collision bound of internal/tokencache assumes tokens of at most mostTokenSize.
	defaultTokenSize = 16 << 10
	mostTokenSize    = 64 << 10
)

// faults collects the faults of a Config. Each text begins with the field's name.
type faults []error

func (f *faults) add(format string, args ...any) { *f = append(*f, fmt.Errorf(format, args...)) }

// list reports a list that is set but empty, or has an empty element.
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
		f.add("Leeway is %v; the maximum is %v, so synchronise the clocks instead", c.Leeway, maxLeeway)
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
	taken := map[string]int{} // index of the issuer that has the spelling
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

// clone copies all lists, so that the caller can change its own afterwards.
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

// faults reports faults in one issuer, without regard to the others.
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
		f.add("Introspection is for the issuer %q, so answers about its tokens would count for this one; set introspection.Config.Issuer to URL, or add that issuer to Aliases if both are the same issuer", fetch.Redact(named))
	}
	if i.MaxAge < 0 || i.MaxLifetime < 0 {
		f.add("MaxAge is %v and MaxLifetime %v; expected positive durations, or zero for no limit", i.MaxAge, i.MaxLifetime)
	}
	f.demand(i.Demand)
	return append(f, i.profileFaults()...)
}

// profileFaults reports lists that the profile needs and the issuer lacks. They make
// up for what the profile relaxes.
func (i Issuer) profileFaults() (f faults) {
	r, known := profiles[i.Profile]
	switch {
	case !known:
		f.add("Profile %v is unknown; choose one of this package's", i.Profile)
		return f
	case i.Relax != (Relax{}) && i.Profile != RFC9068:
		f.add("Relax is for the profile RFC9068; the profile %s cannot be relaxed further", r.name)
	}
	if i.Relax.Typ && i.Relax.JTI && i.Relax.ClientID && i.Clients == nil && i.Demand == nil && i.Accept == nil {
		f.add("Relax has Typ, JTI and ClientID, so an ID token could pass all other checks; set Clients, Demand or Accept as well")
	}
	if r.listClients && i.Clients == nil {
		f.add("Clients is nil; the profile %s demands the client ids whose tokens are accepted", r.name)
	}
	if i.Profile == Keycloak && i.DangerouslyAcceptNoAudience && i.Clients == nil {
		f.add("Clients is nil; with DangerouslyAcceptNoAudience the profile Keycloak demands the client ids whose tokens are accepted")
	}
	if r.clientless && i.Clients != nil {
		f.add("Clients is set, but tokens of the profile %s name no client; use Demand", r.name)
	}
	if r.listDemand && i.Demand == nil {
		f.add("Demand is nil; the profile %s demands claims that only your jobs have, such as sub or repository", r.name)
	}
	return append(f, i.tenantFaults()...)
}

// demand reports a Demand that is empty or that no token can meet.
func (f *faults) demand(demand map[string][]string) {
	if demand != nil && len(demand) == 0 {
		f.add("Demand is set but empty; leave it nil for none")
	}
	for _, claim := range slices.Sorted(maps.Keys(demand)) {
		values := demand[claim]
		switch {
		case claim == "" || len(values) == 0 || slices.Contains(values, ""):
			f.add("Demand[%q] has no values, or an empty one; list the accepted values", claim)
		case slices.Contains([]string{"iss", "aud", "exp", "nbf", "iat", "scope", "scp", "cnf"}, claim):
			f.add("Demand[%q] is not allowed; use URL, Audience, MaxAge or a route's Policy for this claim", claim)
		}
	}
}

// hierarchy reports scopes that no token can have.
func (f *faults) hierarchy(implies map[string][]string) {
	for _, broad := range slices.Sorted(maps.Keys(implies)) {
		if err := scopes.All(append([]string{broad}, implies[broad]...)...).Err(); err != nil || len(implies[broad]) == 0 {
			f.add("ScopeImplies[%q] has no scopes, or an invalid one; list scope-tokens (RFC 6749 §3.3)", broad)
		}
	}
}

// checkKeySource reports a source that is a nil pointer, for example because
// jwks.NewCache failed, and the source's own faults if it has a method Err.
func checkKeySource(source KeySource) []error {
	if value := reflect.ValueOf(source); value.Kind() == reflect.Pointer && value.IsNil() {
		return []error{fmt.Errorf("the %T is nil; did its constructor fail?", source)}
	}
	checked, ok := source.(interface{ Err() error })
	if !ok || checked.Err() == nil {
		return nil
	}
	if several, ok := checked.Err().(interface{ Unwrap() []error }); ok {
		return several.Unwrap() // one line for each
	}
	return []error{checked.Err()}
}

// collisions reports settings that two issuers must not share.
func (i Issuer) collisions(other Issuer) (f faults) {
	if i.Name != "" && i.Name == other.Name {
		f.add("both have the Name %q, so the log could not tell them apart", i.Name)
	}
	if i.Keys != nil && reflect.TypeOf(i.Keys).Comparable() && i.Keys == other.Keys {
		f.add("both have the same Keys, so either could sign for the other; %s", i.insteadOfSharing(other))
	}
	// An opaque token is sent to one issuer only, because any other would receive a
	// live token that it did not issue.
	if i.Introspection != nil && other.Introspection != nil &&
		(strings.HasPrefix(i.TokenPrefix, other.TokenPrefix) || strings.HasPrefix(other.TokenPrefix, i.TokenPrefix)) {
		f.add("both have Introspection, and TokenPrefix %q and %q do not tell their tokens apart", other.TokenPrefix, i.TokenPrefix)
	}
	return f
}

// insteadOfSharing advises how two issuers can avoid sharing one KeySource.
func (i Issuer) insteadOfSharing(other Issuer) string {
	if profiles[i.Profile].tenant && profiles[other.Profile].tenant {
		return "for several tenants of Entra ID list them as Tenants of one Issuer, or give each the keys that jwks.Cache.For returns"
	}
	return "if they are one issuer under two names, keep one Issuer and add the other's URL to its Aliases; if not, give each its own Keys"
}
