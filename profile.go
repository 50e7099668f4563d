package accesstoken

import (
	"fmt"
	"sync"

	"github.com/accesstoken/accesstoken/dialect"
	"github.com/accesstoken/accesstoken/internal/shape"
)

// A Profile describes an issuer's JWT access tokens. Every profile requires a good
// signature, the exact iss, our aud, exp and iat. If a profile relaxes RFC 9068, it
// demands something else in return, so that no other kind of token from the same
// issuer gets in. Every profile rejects tokens whose typ or token_use says that they
// are ID, refresh or logout tokens. The zero Profile is RFC9068. [Profile.String]
// lists everything that a profile relaxes and demands.
type Profile int

// The profiles.
const (
	// RFC9068 is the JWT profile for access tokens without exceptions: typ is at+jwt,
	// and client_id and jti are required. oidc-provider and others follow it, and Auth0
	// can be configured to.
	RFC9068 Profile = iota

	// Zitadel is for ZITADEL and for servers made with its library
	// github.com/zitadel/oidc. At ZITADEL any client can request any project's aud, so
	// you should check scopes or roles.
	Zitadel

	// Auth0 is for tokens in Auth0's own dialect. Its issuer ends in a slash, for
	// example "https://tenant.eu.auth0.com/". Besides the API, aud may name Auth0's own
	// /userinfo. If the API uses the dialect "rfc9068_profile", use RFC9068.
	Auth0

	// EntraV2 is for Microsoft Entra ID's tokens of version 2.0. The issuer is
	// "https://login.microsoftonline.com/{tenantid}/v2.0", and the audience is the API's
	// client id. For several tenants, write {tenantid} literally, list the Tenants, and
	// set MetadataURL to the metadata of "common" or "organizations".
	EntraV2

	// EntraV1 is for Microsoft Entra ID's tokens of version 1.0. The issuer is
	// "https://sts.windows.net/{tenantid}/", and the audience is the App ID URI or the
	// client id. The API's app registration sets the version of its tokens
	// (requestedAccessTokenVersion). MetadataURL must be
	// "https://login.microsoftonline.com/<tenant>/.well-known/openid-configuration".
	EntraV1

	// Okta is for a custom authorization server, for example
	// "https://dev-1.okta.com/oauth2/default". The org server has no /oauth2/ in its
	// URL, and its access tokens are for Okta itself.
	Okta

	// Keycloak is for a realm, for example "https://sso.example.com/realms/main". Its
	// tokens name an API in aud once the realm has an audience mapper for it.
	Keycloak

	// Cognito is for a user pool of Amazon Cognito. Its tokens have no aud, so Clients
	// is required instead.
	Cognito

	// Hydra is for Ory Hydra with the access token strategy "jwt". Its tokens have the
	// aud that the client requested.
	Hydra

	// Duende is for Duende IdentityServer. Its tokens follow RFC 9068, except that
	// scope is an array, and that sub is missing if there is no user.
	Duende

	// Google is for ID tokens as credentials. Only Google can validate its access
	// tokens, so its service accounts and the Cloud's own proxies send ID tokens
	// instead. Any Google account can get an ID token with our aud, so Clients decides
	// which tokens are accepted. The issuer is "https://accounts.google.com".
	Google

	// Kubernetes is for the projected tokens of service accounts. Subject is
	// "system:serviceaccount:<namespace>:<name>". If the API server protects its keys,
	// set an Issuer.HTTPClient that trusts the cluster's CA and sends a token.
	Kubernetes

	// CI is for the ID tokens of GitHub Actions and the like as credentials. For GitLab,
	// use GitLab. Every account there can get an ID token with our aud, so Demand must
	// name the jobs that may call. A ref alone is not enough: on GitHub, for example, a
	// stranger's pull request can run with the ref of the main branch. You should demand
	// more, such as
	// {"repository_id": {"1296269"}, "ref": {"refs/heads/main"}, "event_name": {"push"}}
	// or the environment of a deployment.
	CI

	// Supabase is for the access tokens of a project of Supabase Auth, with asymmetric
	// signing keys. The issuer is "https://<project>.supabase.co/auth/v1", and the
	// audience is "authenticated". The tokens of every client of the project have that
	// aud, those of third parties as well, so check Claims.ClientID if the project has
	// OAuth clients. It is empty if a user signed in to the project's own application.
	Supabase

	// Firebase is for the ID tokens of Firebase Authentication as credentials. The
	// issuer is "https://securetoken.google.com/<project>", and the audience is the
	// project's id. Demand must say which users may call, for example
	// {"/firebase/sign_in_provider": {"password", "google.com"}}, because a project can
	// let in anonymous users and new ones.
	Firebase

	// Clerk is for Clerk's session tokens of version 2. They have no aud unless you add
	// it, so Clients is required: it lists the origins of your applications. Tokens of
	// a session with the status pending are refused.
	Clerk

	// Authentik is for the access tokens of an OAuth2 provider of authentik. The issuer
	// ends in a slash, for example "https://sso.example.com/application/o/orders/". The
	// aud is the client id of that provider, so the audience lists the clients whose
	// tokens are accepted. The tokens have no scopes.
	Authentik

	// CloudflareAccess is for the application tokens of Cloudflare Access. The issuer is
	// "https://<team>.cloudflareaccess.com", the audience is the application's AUD tag,
	// and JWKSURI must be set. ClientID is that of a service token, and Subject that of
	// a user; a token has one of them. Set Config.TokenField to
	// "Cf-Access-Jwt-Assertion".
	CloudflareAccess

	// GoogleIAP is for the signed headers of Google's Identity-Aware Proxy. The issuer is
	// "https://cloud.google.com/iap", the audience begins with "/projects/", and JWKSURI
	// must be set. Demand says again which users may call, for example
	// {"hd": {"example.com"}}. Set Config.TokenField to "X-Goog-Iap-Jwt-Assertion".
	GoogleIAP

	// Dex is for the tokens of Dex, whose access tokens are made like its ID tokens.
	// Neither kind can be told from the other, so both are credentials. Give the API a
	// client of its own, and have the others ask for it with the scope
	// "audience:server:client_id:<API>". Clients then lists them; they are named in azp.
	Dex

	// SPIFFE is for JWT-SVIDs, with which workloads call each other. URL is the trust
	// domain, for example "spiffe://example.org", and Keys are its bundle, for example from
	// integrations/spiffeauth. If iss is not a configured issuer, it is ignored, and sub,
	// the SPIFFE ID of a workload, finds the trust domain. The workload acts for itself,
	// without scopes, so Policy.SPIFFEIDs says which of them may call. Unless Algorithms
	// lists it, no Ed25519 key counts. If MaxLifetime is zero, it is 1 h.
	SPIFFE

	// AzureADB2C is for the access tokens of Azure AD B2C. The issuer ends in a slash, for
	// example "https://contoso.b2clogin.com/<tenant id>/v2.0/", the audience is the API's
	// application id, and MetadataURL must be the OpenID configuration of a policy. The
	// policies of a tenant usually share one issuer, so you should demand yours, for
	// example {"tfp": {"B2C_1_signin"}}.
	AzureADB2C

	// EntraExternalID is for an external tenant of Microsoft Entra. The issuer is
	// "https://<tenant id>.ciamlogin.com/<tenant id>/v2.0", the audience is the API's
	// client id, and MetadataURL is below "https://<name>.ciamlogin.com/<tenant id>/v2.0".
	// Apart from that it is EntraV2.
	EntraExternalID

	// Logto is for the tokens that Logto issues for an API resource or an organization. It
	// is RFC9068 under another name. The issuer ends in "/oidc". The audience is the
	// resource indicator, or "urn:logto:organization:<id>". If a client requests neither,
	// it gets an opaque token.
	Logto

	// WorkOS is for the session tokens of WorkOS AuthKit. They have no aud until a JWT
	// template adds one, which should name the API, not the client. The issuer is
	// "https://api.workos.com/user_management/<client id>", in older environments
	// "https://api.workos.com", or a domain of yours. JWKSURI must be
	// "https://api.workos.com/sso/jwks/<client id>".
	WorkOS

	// PingOne is for the access tokens of a PingOne environment for your own resource. The
	// issuer is "https://auth.pingone.eu/<environment id>/as", where the end of the host
	// depends on the region.
	PingOne

	// FusionAuth is for the access tokens of FusionAuth, for users who are registered for
	// an application, and for entities with permissions. The audience lists the
	// applications (or target entities) whose tokens are accepted. Tenants is required,
	// because several tenants can have the same issuer. If that is not an https URL, set
	// JWKSURI.
	FusionAuth

	// GitLab is for the ID tokens of GitLab's CI jobs as credentials. It is CI, and in
	// addition it refuses all other tokens of the same issuer, such as the ID tokens of
	// users who log in with GitLab. Demand must name the jobs that may call, for example
	// {"project_id": {"22"}, "ref_protected": {"true"}, "ref_type": {"branch"}}.
	GitLab
)

// String returns the profile's name, what it relaxes of RFC 9068 and what it demands
// in return.
func (p Profile) String() string {
	if r := p.rules(); r != nil {
		return r.String()
	}
	return fmt.Sprintf("Profile(%d)", int(p))
}

// name returns the profile's name alone.
func (p Profile) name() string {
	if d, ok := dialects[p]; ok {
		return d.Name
	}
	return p.String()
}

// Dialect returns what the profile's tokens look like, as a copy that you can change.
// As Issuer.Dialect it is judged as the profile is. It is nil for an unknown profile.
func (p Profile) Dialect() *dialect.Dialect { return cloneDialect(dialects[p]) }

// Relax drops demands of the profile RFC9068, one for each field, for an issuer that
// has no [Profile] of its own. If any field is set, tokens with marks of another
// kind are refused in return: nonce, at_hash, c_hash, s_hash, events, or a token_use
// or typ in the payload that names another kind. If Typ is set, tokens whose aud
// includes their own client (client_id or azp), as an ID token's aud does, are
// refused as well.
//
// If Typ, JTI and ClientID are all set, an ID token can have everything that is
// still checked, so Clients, Demand or Accept is required. With Clients, client_id
// must be one of the listed clients even if ClientID is set.
type Relax struct {
	Typ        bool // accept, besides typ at+jwt, typ JWT or an absent typ; any other typ is still refused
	JTI        bool // accept a token without jti
	ClientID   bool // accept a token without client_id
	ScopeArray bool // accept scope as an array of strings
}

// dialects are what the profiles stand for. Each demands something by which access
// tokens are told from ID tokens, or lists of the issuer (see [Issuer.profileFaults]).
var dialects = map[Profile]*dialect.Dialect{
	RFC9068: {Name: "RFC9068"},
	Zitadel: {
		Name: "Zitadel", Types: []string{"jwt", "at+jwt"}, Optional: []string{"client_id", "jti"},
		Kind: []dialect.Mark{dialect.Without("azp"), dialect.AudienceBeyondClient()},
	},
	Auth0: {
		Name: "Auth0", Types: []string{"jwt", "at+jwt"}, Client: []string{"azp", "client_id"}, Optional: []string{"jti"},
		Entitlements: "permissions", Machine: []dialect.Mark{{Mark: shape.SubjectIsClient("@clients", "")}},
	},
	EntraV2: {
		Name: "EntraV2", Types: []string{"jwt"}, Client: []string{"azp"}, ID: "uti", Tenant: "tid", Scope: []string{"scp"}, Optional: []string{"jti"},
		Kind:    []dialect.Mark{dialect.Without("nonce"), dialect.Is("ver", "2.0"), {Mark: shape.Grant()}},
		Machine: entraMachine,
	},
	EntraV1: {
		Name: "EntraV1", Types: []string{"jwt"}, Client: []string{"appid"}, ID: "uti", Tenant: "tid", Scope: []string{"scp"}, Optional: []string{"jti"},
		Kind:    []dialect.Mark{dialect.Without("nonce"), dialect.Is("ver", "1.0"), {Mark: shape.Grant()}},
		Machine: entraMachine,
	},
	Okta: {
		Name: "Okta", Types: []string{"at+jwt", ""}, Client: []string{"cid"}, Scope: []string{"scp"}, ScopeArray: true,
		Kind:    []dialect.Mark{dialect.Without("nonce"), dialect.Is("ver", 1)},
		Machine: []dialect.Mark{{Mark: shape.SubjectIsClient("", "uid")}},
	},
	Keycloak: {
		Name: "Keycloak", Types: []string{"jwt", "at+jwt"}, Client: []string{"azp", "client_id"}, Roles: "/realm_access/roles",
		Kind: []dialect.Mark{dialect.Is("typ", "Bearer", "DPoP")},
	},
	Cognito: {
		Name: "Cognito", Types: []string{"at+jwt", ""}, Optional: []string{"aud"}, Groups: "cognito:groups",
		Kind: []dialect.Mark{dialect.Without("nonce"), dialect.Is("token_use", "access")},
	},
	Hydra: {
		Name: "Hydra", Types: []string{"jwt", "at+jwt"}, Scope: []string{"scp", "scope"}, ScopeArray: true,
		Kind: []dialect.Mark{dialect.Without("nonce"), dialect.AnyOf(dialect.Has("scp"), dialect.Has("scope"))},
	},
	Duende: {Name: "Duende", ScopeArray: true, Optional: []string{"sub"}},
	Google: {
		Name: "Google", Types: []string{"jwt"}, Client: []string{"azp"}, Optional: []string{"jti"}, IDTokens: true,
		Kind: []dialect.Mark{dialect.AnyOf(dialect.Without("email"), dialect.Is("email_verified", true))},
	},
	Kubernetes: {
		Name: "Kubernetes", Types: []string{"jwt", ""}, Optional: []string{"client_id", "jti"},
		Kind:    []dialect.Mark{dialect.Without("nonce"), {Mark: shape.ServiceAccount()}},
		Machine: []dialect.Mark{{Mark: shape.ServiceAccount()}},
	},
	CI: {
		Name: "CI", Types: []string{"jwt", ""}, Optional: []string{"client_id", "jti"}, IDTokens: true,
		Kind: []dialect.Mark{dialect.Without("nonce", "at_hash", "c_hash", "s_hash", "events")},
	},
	Supabase: {
		Name: "Supabase", Types: []string{"jwt"}, Optional: []string{"client_id", "jti"},
		Kind: []dialect.Mark{dialect.Without("nonce"), dialect.Has("role", "aal", "session_id")},
	},
	Firebase: {
		Name: "Firebase", Types: []string{"jwt", ""}, Optional: []string{"client_id", "jti"}, IDTokens: true,
		Kind: []dialect.Mark{dialect.Without("nonce", "at_hash", "c_hash", "s_hash", "events"), dialect.Has("firebase", "auth_time")},
	},
	Clerk: {
		Name: "Clerk", Types: []string{"jwt"}, Client: []string{"azp"}, Optional: []string{"aud"},
		Kind: []dialect.Mark{
			dialect.Without("nonce"), dialect.Is("v", 2), dialect.Has("sid"),
			dialect.AnyOf(dialect.Without("sts"), dialect.Is("sts", "active")),
		},
	},
	Authentik: {
		Name: "Authentik", Types: []string{"jwt"}, Client: []string{"azp"}, Optional: []string{"jti"},
		Kind: []dialect.Mark{dialect.Has("uid")},
	},
	CloudflareAccess: {
		Name: "CloudflareAccess", Types: []string{"jwt"}, Client: []string{"common_name"}, Optional: []string{"client_id", "jti", "sub"},
		Kind: []dialect.Mark{dialect.Without("nonce"), dialect.Is("type", "app")},
	},
	GoogleIAP: {
		Name: "GoogleIAP", Types: []string{"jwt", ""}, Optional: []string{"client_id", "jti"}, IDTokens: true,
		Kind: []dialect.Mark{dialect.Without("nonce", "at_hash", "c_hash", "s_hash", "events")},
	},
	Dex: {
		Name: "Dex", Types: []string{""}, Client: []string{"azp"}, Optional: []string{"client_id", "jti"}, IDTokens: true,
		Kind: []dialect.Mark{dialect.Without("events")},
	},
	SPIFFE: {
		Name: "SPIFFE", Types: []string{"jwt", "jose", ""}, Optional: []string{"client_id", "jti", "iat"},
		Kind:    []dialect.Mark{dialect.HasPrefix("sub", spiffeScheme)},
		Machine: []dialect.Mark{dialect.HasPrefix("sub", spiffeScheme)},
	},
	AzureADB2C: {
		Name: "AzureADB2C", Types: []string{"jwt"}, Client: []string{"azp"}, Scope: []string{"scp"}, Optional: []string{"jti"},
		Kind: []dialect.Mark{dialect.Is("ver", "1.0"), dialect.Has("scp")},
	},
	EntraExternalID: {
		Name: "EntraExternalID", Types: []string{"jwt"}, Client: []string{"azp"}, ID: "uti", Tenant: "tid", Scope: []string{"scp"}, Optional: []string{"jti"},
		Kind:    []dialect.Mark{dialect.Without("nonce"), dialect.Is("ver", "2.0"), {Mark: shape.Grant()}},
		Machine: entraMachine,
	},
	Logto: {Name: "Logto"},
	WorkOS: {
		Name: "WorkOS", Types: []string{"jwt", ""}, Optional: []string{"client_id"}, Entitlements: "permissions",
		Kind: []dialect.Mark{dialect.HasPrefix("sid", "session_")},
	},
	PingOne: {Name: "PingOne", Types: []string{"at+jwt", ""}, Optional: []string{"jti", "sub"}},
	FusionAuth: {
		Name: "FusionAuth", Types: []string{"jwt"}, Client: []string{"applicationId"}, Tenant: "tid", Optional: []string{"client_id"}, Entitlements: "permissions",
		Kind:    []dialect.Mark{dialect.Without("nonce"), dialect.AnyOf(dialect.Has("applicationId"), dialect.Has("permissions"))},
		Machine: []dialect.Mark{dialect.Without("applicationId")},
	},
	GitLab: {
		Name: "GitLab", Types: []string{"jwt", ""}, Optional: []string{"client_id"}, IDTokens: true,
		Kind: []dialect.Mark{
			dialect.Without("nonce", "at_hash", "c_hash", "s_hash", "events"),
			dialect.Has("namespace_id", "project_id", "pipeline_id", "job_id"),
		},
	},
}

// spiffeScheme begins every SPIFFE ID, and the URL of an Issuer that is a trust domain.
const spiffeScheme = "spiffe://"

// entraMachine are the marks of a token of Entra ID for an application itself.
var entraMachine = []dialect.Mark{dialect.AnyOf(dialect.Without("scp"), dialect.Is("scp", ""), dialect.Mark{Mark: shape.SubjectIsClient("", "")})}

// profileRules compiles the dialects of the profiles once, when the first is needed.
var profileRules = sync.OnceValue(func() map[Profile]*shape.Rules {
	compiled := map[Profile]*shape.Rules{}
	for p, d := range dialects {
		compiled[p], _ = shape.Compile(p.spec(d)) // no faults, as a test shows
	}
	return compiled
})

// rules returns what tokens of the profile are judged by, or nil for an unknown profile.
func (p Profile) rules() *shape.Rules { return profileRules()[p] }

// spec returns the dialect of a profile, with what no Dialect can say.
func (p Profile) spec(d *dialect.Dialect) shape.Spec {
	spec := d.Spec()
	spec.IsProfile = true
	spec.EmptyAudience = p == Hydra
	spec.BareIssuer = p == Google
	switch {
	case p.demandsClients():
		spec.Lists = "a client among Issuer.Clients"
	case p.demandsClaims() != "":
		spec.Lists = "what Issuer.Demand says"
	case p == SPIFFE:
		spec.Lists = "a workload of the trust domain in Issuer.URL"
	}
	return spec
}

// demandsClients reports whether Issuer.Clients must be set.
func (p Profile) demandsClients() bool { return p == Cognito || p == Google || p == Clerk }

// demandsClaims says which claims Issuer.Demand must list, because the credentials are
// ID tokens that name no client, or "".
func (p Profile) demandsClaims() string {
	switch p {
	case CI:
		return "claims that only your jobs have, such as sub or repository"
	case GitLab:
		return "claims that only your jobs have, such as project_id"
	case Firebase:
		return "claims that only your users have, such as /firebase/sign_in_provider"
	case GoogleIAP:
		return "claims that only your users have, such as hd"
	}
	return ""
}

// namesNoClient reports whether the tokens never name a client.
func (p Profile) namesNoClient() bool {
	return p == Kubernetes || p == SPIFFE || p.demandsClaims() != ""
}
