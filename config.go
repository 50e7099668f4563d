package accesstoken

import (
	"context"
	"crypto"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/accesstoken/accesstoken/dialect"
	"github.com/accesstoken/accesstoken/dpop"
	"github.com/accesstoken/accesstoken/introspection"
	"github.com/accesstoken/accesstoken/resourcemetadata"
)

// Config says what a [Validator] accepts. You must set Resource and at least one
// Issuer. The zero value of every other field is a safe default.
type Config struct {
	_ [0]func()

	// Resource identifies this resource server (RFC 8707), usually by its https URL. It is
	// the accepted audience unless an Audience is set, and the realm unless Realm is set.
	Resource string

	// Audience, if not nil, replaces Resource as the list of accepted audiences. They are
	// compared with aud exactly and nothing is normalised, so if an identifier has several
	// spellings, you should list them all.
	Audience []string

	// Issuers are the authorization servers whose tokens are accepted. Each has its own
	// keys, algorithms and profile, and its keys never verify another issuer's tokens.
	Issuers []Issuer

	// ResolveIssuer returns the Issuer of an iss that Issuers do not have, for example from a
	// database of tenants, or nil if no issuer has it. Issuers may then be empty. If the
	// function returns an error, requests with that iss are refused with
	// IssuerUnavailable (503). An Issuer with faults, or with another URL than iss, is a
	// misconfiguration (500).
	//
	// iss is unverified: it is from a token that is well-formed, has an algorithm that may
	// be accepted, and names an https URL of at most 512 bytes. So the function should only
	// look it up, and must not fetch anything from it. It is called at most 100 times a
	// second about an unknown iss, and as often about those that have an Issuer. It is called
	// once at a time for each iss, with a context of its own that ends after 5 s. If it does
	// not return by then, or panics, the request is refused.
	//
	// An answer is used for 5 min. The next request, or call of [Validator.Check], then has
	// the function called again. The old answer counts in the meantime, for an hour at most
	// if calls fail. If the new answer is nil, the issuer is removed as
	// [Validator.SetIssuers] would. At most 10,000 issuers are kept, and each is forgotten
	// after an hour without use. Nil counts for 30 s. The Name of these issuers is
	// "resolved", and Aliases and opaque tokens are not for them.
	ResolveIssuer func(ctx context.Context, iss string) (*Issuer, error)

	// Leeway allows for clock skew in exp, nbf and iat. It is 30 s if zero and none if
	// negative. More than 5 min is a fault. A token ends at exp + Leeway at the latest.
	Leeway time.Duration

	// ScopeImplies lists the narrower scopes that a broader scope includes. For
	// example, with {"admin": {"read", "write"}}, a token with admin satisfies a Policy
	// that needs read. Implied scopes can imply further ones. [Claims.Scopes] returns
	// only the granted scopes. If nil, no scope implies another.
	ScopeImplies map[string][]string

	// ACROrder lists authentication context classes (acr) from weak to strong, for
	// Policy.ACR. If nil, no class is stronger than another.
	ACROrder []string

	// DetailTypes are the types of authorization_details (RFC 9396) that routes demand in
	// Policy.Details, and what absent members of theirs mean. Metadata lists them.
	DetailTypes map[string]DetailType

	// DraftRARMetadataRemediation answers a token whose authorization_details are not enough
	// as draft-ietf-oauth-rar-metadata-remediation-00 says: 401 insufficient_authorization,
	// UNAUTHENTICATED on gRPC. The challenge has, in authorization_remediation, objects for
	// the client to request: those that the handler gave to [DetailsInsufficient], or those of
	// Policy.Details. They are sent only to a caller with a good token, and left out, with a
	// warning, if they take more than 4 KiB. The field follows the draft, so it may change in
	// any release. It needs DetailTypes, and cannot be combined with TokenField.
	DraftRARMetadataRemediation bool

	// DraftRARReferenceKey is the secret for the authorization_reference of the same draft, of
	// at least 32 random bytes. Clients find by the reference a token that they were given for
	// equal details. Instances with the same key and Resource make the same references. If
	// nil, none is sent. It needs DraftRARMetadataRemediation.
	DraftRARReferenceKey []byte

	// DPoP verifies the proofs that come with tokens bound to a key (RFC 9449), and
	// offers the scheme DPoP to clients. If nil, such tokens are refused.
	DPoP *dpop.Verifier

	// ForwardedCertificate should be set if tokens are bound to client certificates
	// (RFC 8705) and a proxy in front of this server ends TLS. Without a proxy, the
	// certificate of the connection is checked. The zero value trusts no header field.
	ForwardedCertificate ForwardedCertificate

	// FAPI2 enforces what the FAPI 2.0 Security Profile demands of resource servers
	// (§5.3.4, §5.4), in the configuration and on every request. Only PS256, ES256 and
	// Ed25519 (also as EdDSA) are allowed, and every token must be bound to its sender. So
	// that revocation takes effect, each issuer must have AlwaysIntrospect or a
	// MaxLifetime of at most 10 min. The settings of introspection clients, of the DPoP
	// verifier, and of key sources with a method FAPI2Err() error are checked too. An
	// HTTPClient is not checked: it must use TLS 1.2 or newer and verify certificates.
	FAPI2 bool

	// Realm is the realm of the challenges. It must be printable ASCII. If empty,
	// Resource is used.
	Realm string

	// Metadata is what to publish of this resource server (RFC 9728). Every challenge then
	// names the document in resource_metadata, and [Validator.ResourceMetadata] returns it;
	// package resourcemetadata serves it. Resource, or Metadata.Resource, must be an https
	// URL. Metadata cannot be combined with TokenField. If nil, nothing is published. It is
	// copied.
	Metadata *resourcemetadata.Metadata

	// HTTPClient fetches the metadata and the keys of every issuer that has neither Keys
	// nor an HTTPClient of its own. If it adds a secret to its requests, such as a token
	// or a client certificate, all of those issuers see the secret, so you should set that
	// client as the HTTPClient of a single Issuer instead. If nil, a default client is
	// used. The client is copied, and the copy follows no redirects. An [http.Transport]
	// is copied for each issuer if possible, so that issuers share no connections; see
	// [jwks.Config].
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

	// TokenField is the header field that holds the bare token, without a scheme, in place
	// of Authorization. For example, it is "Cf-Access-Jwt-Assertion" behind Cloudflare
	// Access. If the field is set by a proxy, the proxy must remove it from what clients
	// send; the token is verified all the same. Authorization is then ignored, and the
	// challenge of a refusal has no more than realm and error, because a client cannot
	// use it. TokenField cannot be combined with DPoP or FAPI2. If empty, tokens come in
	// Authorization (RFC 6750 §2.1).
	TokenField string

	// Authenticate authenticates requests that have no access token in another way, for
	// example by an API key in a field of its own. It is called only if a request brought
	// no credentials at all: with TokenField, if it lacks that field, and otherwise if it
	// has no Authorization line. A malformed or refused token never leads to it. So a
	// caller with good credentials of both kinds is the one of the token.
	//
	// It returns the [Identity] of the caller, which the policy of the route then judges,
	// or the zero Identity if the request brought nothing that it knows, which is refused
	// with CredentialsMissing. An error refuses as an error of a handler does, see
	// [Validator.Refuse]. For example, TokenInactive is for a key that is not good (401),
	// an error of [Deny] for one that may not be used here (403), and one that matches
	// [Unavailable] is for a database that is down (503). Any other error is an
	// InternalError, and so is a panic. The error of a faulty Identity is
	// ResourceServerMisconfigured.
	//
	// ctx is the request's. r is the request itself. If Authenticate reads its body, it has
	// to put a new one in its place. For a gRPC call, r has the method POST, the path of
	// the full method, and the metadata as its header, except names that end in "-bin".
	// Nothing is cached, so Authenticate is called for each request, also for each of an
	// attacker, and for an open gRPC stream with each StreamCheck. Relatives by ForResource
	// share it. It must be safe for concurrent use, and cannot be combined with FAPI2.
	Authenticate func(ctx context.Context, r *http.Request) (Identity, error)

	// Logger receives the operator's warnings, one for each issuer and cause, and each
	// refusal at Debug. It never receives a token. If nil, it is slog.Default().
	Logger *slog.Logger

	// Now is the clock for exp, nbf and iat. If nil, it is time.Now. It must be safe
	// for concurrent use.
	Now func() time.Time

	// OnDecide is called once for each decision, before it is returned: for each Authorize,
	// Validate and Check, accepted or not, and for each refusal that Refuse makes out of the
	// error of a handler. Adapters decide by these. Repeated looks at an open stream are no
	// decisions, but its end is. OnDecide is called before OnRefuse, must be safe for
	// concurrent use, and should be quick, because the request waits for it. If it panics,
	// the request is refused with an InternalError. If nil, a decision costs no more.
	// For counters, see [Validator.Stats].
	OnDecide func(ctx context.Context, d Decision)

	// OnRefuse is called once for each refusal, before the refusal is returned. Its
	// context is derived from the request's. If the caller is known, [FromContext]
	// returns the caller's claims from it until OnRefuse returns. OnRefuse must be safe
	// for concurrent use. If it panics, the refusal becomes an InternalError.
	OnRefuse func(ctx context.Context, err *Error)
}

// An Issuer is an authorization server whose tokens are accepted.
type Issuer struct {
	_ [0]func()

	// URL is the issuer identifier. iss is compared with it and with Aliases, character
	// for character. If MetadataURL, JWKSURI and Keys are unset, URL is also the root of
	// discovery (RFC 8414, OpenID Connect Discovery), and must be https; see
	// DangerouslyAllowHTTP. With JWKSURI or Keys nothing is fetched from it, so it can be,
	// for example, "http://adfs.example.com/adfs/services/trust" or
	// "kubernetes/serviceaccount". A SPIFFE trust domain is "spiffe://example.org"; see the
	// profile SPIFFE.
	URL string

	// Name is the issuer's label in logs, for example "staff". If empty, it is the host
	// of URL, or URL itself if URL has no host. Two issuers cannot have the same Name.
	Name string

	// Aliases are other spellings of iss, for an issuer that clients reach under several
	// names, such as an internal and a public host. Each is compared character for
	// character, and nothing is fetched from it. Claims.Issuer is never an alias. Two
	// issuers cannot share a spelling. If URL has {tenantid}, each alias must have it as
	// well.
	Aliases []string

	// MetadataURL is the address of the metadata, if it cannot be derived from URL. The
	// issuer in the metadata must still equal URL.
	MetadataURL string

	// JWKSURI is the address of the key set. If it is set, discovery is skipped.
	JWKSURI string

	// Keys supplies the keys in place of the cache that the Validator would make. It can
	// be a *jwks.Cache, jwks.Static, jwks.FromKeyfunc, or your own. The Validator does not
	// close Keys. Two issuers must not share one source, because either could then sign
	// for the other. If one issuer has two names, use Aliases.
	Keys KeySource

	// HTTPClient fetches this issuer's metadata and keys, in place of Config.HTTPClient.
	// Only this issuer's servers see its requests, so it can send a secret, such as the
	// token that a Kubernetes API server needs. The client is copied, and the copy
	// follows no redirects. HTTPClient cannot be combined with Keys or
	// Config.PublicAddressesOnly.
	HTTPClient *http.Client

	// ReadyWithout lets [Validator.Ready] succeed without this issuer's keys. While they
	// are missing, this issuer's JWTs are refused (503 in an outage); tokens of other
	// issuers are not affected.
	ReadyWithout bool

	// Introspection asks this issuer about opaque tokens (RFC 7662). If several issuers
	// have it, each needs a TokenPrefix. If the client has an
	// introspection.Config.Issuer, it must be URL or one of Aliases.
	Introspection *introspection.Client

	// AlwaysIntrospect also asks about this issuer's JWTs, after their signature is
	// verified, so that revoked JWTs are refused. It needs Introspection. Both the JWT
	// and the answer must pass, but sub, aud, the client, jti, cnf and roles can be in
	// either. If both have iss, sub, the client, jti, tid, act or cnf, the values must
	// agree. If both have aud, each must name this resource server. If both have scopes,
	// only the common scopes count; if both have exp or iat, the earlier time counts. If
	// the Profile recognises access tokens by neither typ nor a claim, a JWT without aud
	// needs a token_type in the answer.
	AlwaysIntrospect bool

	// TokenPrefix is the text that all opaque tokens of this issuer begin with. It must
	// not begin with the TokenPrefix of another issuer.
	TokenPrefix string

	// Audience replaces Config.Audience for this issuer.
	Audience []string

	// Algorithms lists the accepted alg values; a token with any other alg is refused. If
	// nil, they are RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512,
	// Ed25519, and EdDSA for Ed25519 keys; with FAPI2, only those that it allows, and of
	// a SPIFFE trust domain neither Ed25519 nor EdDSA. ML-DSA-44, ML-DSA-65 and ML-DSA-87
	// (RFC 9964) can be listed in a program built with Go 1.27 or later.
	Algorithms []string

	// Profile describes this issuer's JWT access tokens. The zero value is RFC9068.
	Profile Profile

	// Clients, if not nil, lists the client ids whose tokens are accepted. The client id
	// is in client_id, or where the Profile finds it. Clerk, Cognito and Google need
	// Clients, and so do Keycloak and WorkOS with DangerouslyAcceptNoAudience. Clients
	// cannot be used with Kubernetes, CI, GitLab, Firebase, GoogleIAP and SPIFFE, because
	// their tokens name no client.
	Clients []string

	// Tenants lists the Entra ID tenants (tid) whose tokens are accepted, by GUID. It
	// can be nil if URL names the one tenant, and must be set if URL has {tenantid}. All
	// tenants share one key set, but some keys belong to a single tenant. This restriction
	// is enforced if Keys is nil, is a *jwks.Cache, or has its method For. Tenants must
	// also be set for FusionAuth and for a Dialect with Tenant.
	Tenants []string

	// Demand lists claims that a token must have, each with its accepted values. For
	// example, with {"team": {"red", "blue"}} a token must have team "red" or "blue". A
	// claim matches if it is a string, true, false or a number whose text equals a value,
	// or an array of strings that has a value. A key that begins with a slash is a JSON
	// Pointer (RFC 6901), for example "/firebase/tenant". CI, GitLab, Firebase and
	// GoogleIAP need Demand. iss, aud, exp, nbf, iat, scope, scp and cnf cannot be in
	// Demand.
	Demand map[string][]string

	// Accept, if not nil, is called on every request whose token has passed all checks but
	// the Policy. It can only refuse. To do so it returns a [Reason] of this package such
	// as ClaimInvalid, an error that wraps a Reason, an error of [Deny], or [Unavailable]
	// if Accept could not find out. A panic is an InternalError, and so is any other error
	// unless ctx has ended. Accept must be safe for concurrent use.
	Accept func(ctx context.Context, claims Claims) error

	// MaxAge refuses tokens that were issued (iat) longer ago than MaxAge plus Leeway.
	// MaxLifetime refuses tokens whose exp minus iat is more than MaxLifetime. If either
	// is set, tokens must have iat; for MaxLifetime they must also have exp. If the
	// Dialect makes iat optional, and a token has none, MaxLifetime counts from now.
	// Zero means no limit, but for a SPIFFE trust domain a MaxLifetime of 1 h.
	MaxAge, MaxLifetime time.Duration

	// SingleAudience refuses tokens whose aud names other servers besides this one. If
	// several servers share a scope, a right that was granted for one server could
	// otherwise be used at all of them (RFC 9068 §3, §5). Auth0 adds itself to the aud of
	// a user's token.
	SingleAudience bool

	// Relax drops single demands of RFC 9068, for an issuer without a Profile of its
	// own.
	Relax Relax

	// Dialect describes this issuer's JWT access tokens if no Profile fits. For an
	// example, see package dialect. It cannot be combined with Profile, Relax or
	// DangerouslyAcceptNoAudience. It is copied. If it equals the Dialect of a Profile, it
	// stands for that Profile.
	Dialect *dialect.Dialect

	// DangerouslyAllowHTTP also allows metadata and keys to be fetched over plain http,
	// where an attacker on the network path can replace the keys. It is not needed for
	// a loopback host, or for an http URL from which nothing is fetched.
	DangerouslyAllowHTTP bool

	// DangerouslyAcceptNoAudience accepts tokens without aud, for issuers that send none.
	// Such a token is accepted here whatever resource it was issued for, so you should
	// also set Clients. If a token has aud, it must still name this server.
	DangerouslyAcceptNoAudience bool
}

// A DetailType says what the members of a type of authorization_details mean, as far as
// they are those of RFC 9396 §2. The zero value is the strict one.
type DetailType struct {
	_ [0]func()

	// AbsentIsAny lists the members whose absence from an object grants any value: actions,
	// datatypes, privileges, locations or identifier. An absent member grants nothing
	// otherwise, because the RFC leaves its meaning to the type. A member that is null or
	// empty is not absent, and grants nothing.
	AbsentIsAny []string

	// LocationsBelow also counts a location for everything below it: with
	// "https://api.example.com/a", the object is good for "https://api.example.com/a/b",
	// and not for "https://api.example.com/ab".
	LocationsBelow bool

	// NoReference leaves out authorization_reference if an object of this type is asked for.
	// You should set it if a token with this type is good only once, because no client can
	// then use it again; see Config.DraftRARReferenceKey. It does not enforce that.
	NoReference bool
}

// A KeySource holds one issuer's verification keys. It must be safe for concurrent use.
// It is called for every JWT of the issuer, so it should answer from memory.
//
// Keys returns the public keys that may verify a token with this kid ("" if the header
// has none) and this alg. If the source cannot find out, it should return an error, and
// the request is refused, usually with KeysUnavailable. If the source knows that there
// is no such key, it should return no keys and no error, and the request is refused
// with KeyNotFound.
//
// The generation must change whenever the keys change, so that facts that were
// verified with a withdrawn key are dropped. If the generation is 0, the keys
// themselves are compared on every request.
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

// String returns the resource, without the settings, which may have secrets.
func (c Config) String() string { return fmt.Sprintf("accesstoken.Config(%q)", c.Resource) }

// Format prints what String returns, whatever the verb.
func (c Config) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, c.String()) }

// clone copies all lists, so that the caller can change its own afterwards.
func (c Config) clone() Config {
	c.Audience = slices.Clone(c.Audience)
	c.ScopeImplies = cloneLists(c.ScopeImplies)
	c.ACROrder = slices.Clone(c.ACROrder)
	c.DetailTypes = cloneDetailTypes(c.DetailTypes)
	c.DraftRARReferenceKey = slices.Clone(c.DraftRARReferenceKey)
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
	i.Dialect = cloneDialect(i.Dialect)
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

// cloneDetailTypes copies the map with its lists.
func cloneDetailTypes(types map[string]DetailType) map[string]DetailType {
	types = maps.Clone(types)
	for name, of := range types {
		of.AbsentIsAny = slices.Clone(of.AbsentIsAny)
		types[name] = of
	}
	return types
}
