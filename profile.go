package accesstoken

import (
	"fmt"
	"strings"
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

	// CI is for the ID tokens of GitHub Actions, GitLab and the like as credentials.
	// Every account there can get an ID token with our aud, so Demand must name the
	// jobs that may call. A ref alone is not enough: on GitHub, for example, a
	// stranger's pull request can run with the ref of the main branch. You should
	// demand more, such as
	// {"repository_id": {"1296269"}, "ref": {"refs/heads/main"}, "event_name": {"push"}}
	// or the environment of a deployment.
	CI
)

// String returns the profile's name, what it relaxes of RFC 9068 and what it demands
// in return.
func (p Profile) String() string {
	r, ok := profiles[p]
	if !ok {
		return fmt.Sprintf("Profile(%d)", int(p))
	}
	if r.relaxed() == nil {
		return r.name + " relaxes nothing"
	}
	return r.name + " relaxes: " + strings.Join(r.relaxed(), "; ") + ". It demands: " + strings.Join(r.demanded(), "; ")
}

// name returns the profile's name alone.
func (p Profile) name() string {
	if r, ok := profiles[p]; ok {
		return r.name
	}
	return p.String()
}

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

// rules are the rules of one profile. The zero value of each field is the rule of
// RFC 9068.
type rules struct {
	name string

	// What is relaxed.
	types      []string // header typ, in lower case and without application/, in place of at+jwt
	noType     bool     // typ may be absent
	client     []string // claims that name the client, in place of client_id
	noClient   bool     // the client may be absent
	uti        bool     // uti identifies the token, in place of jti
	noTokenID  bool     // the token's id may be absent
	scp        bool     // scp holds the scopes, in place of scope
	scpOrScope bool     // scp or scope holds the scopes
	scopeArray bool     // the scopes may come as an array
	noSubject  bool     // sub may be absent if there is no user
	noAudience bool     // aud may be absent

	emptyAudience bool // aud may be an empty list, which counts as absent
	bareIssuer    bool // iss may omit https://
	idTokens      bool // ID tokens are the credentials

	// Where claims are that Claims has fields or methods for.
	clientSuffix string   // what sub has after the client id if the client acts for itself
	userID       bool     // only a user's token has uid
	clientless   bool     // tokens never name a client
	groups       []string // the path to the groups, in place of groups
	roles        []string // the path to the roles, in place of roles
	entitlements []string // the path to the entitlements, in place of entitlements

	// What is demanded in return.
	refuseNonce       bool     // no nonce, which ID tokens have
	refuseOthers      bool     // no other marks of ID and logout tokens
	refuseAZP         bool     // no azp, which ID tokens have
	audienceNotClient bool     // an aud that names more than the client
	clientNotAudience bool     // an aud that does not name the client
	use               string   // the value of token_use
	kinds             []string // one of these as typ in the payload
	version           string   // the value of ver
	tenant            bool     // tid is an accepted tenant
	grant             bool     // scopes, or roles in a token for an application
	someScope         bool     // a scope claim, which may be empty
	noGraph           bool     // no nonce in the header, which tokens for Microsoft Graph have
	serviceAccount    bool     // sub names a service account
	verifiedEmail     bool     // if there is an email, it is verified
	listClients       bool     // Issuer.Clients is set
	listDemand        bool     // Issuer.Demand is set
}

var profiles = map[Profile]rules{
	RFC9068: {name: "RFC9068"},
	Zitadel: {
		name: "Zitadel", types: []string{"jwt", "at+jwt"}, noClient: true, noTokenID: true,
		refuseNonce: true, refuseOthers: true, refuseAZP: true, audienceNotClient: true,
	},
	Auth0: {
		name: "Auth0", types: []string{"jwt", "at+jwt"}, client: []string{"azp", "client_id"}, noTokenID: true,
		clientSuffix: "@clients", entitlements: []string{"permissions"},
		refuseNonce: true, refuseOthers: true, clientNotAudience: true,
	},
	EntraV2: {
		name: "EntraV2", types: []string{"jwt"}, client: []string{"azp"}, uti: true, noTokenID: true, scp: true,
		refuseNonce: true, refuseOthers: true, version: `"2.0"`, tenant: true, grant: true, noGraph: true,
	},
	EntraV1: {
		name: "EntraV1", types: []string{"jwt"}, client: []string{"appid"}, uti: true, noTokenID: true, scp: true,
		refuseNonce: true, refuseOthers: true, version: `"1.0"`, tenant: true, grant: true, noGraph: true,
	},
	Okta: {
		name: "Okta", types: []string{"at+jwt"}, noType: true, client: []string{"cid"}, scp: true, scopeArray: true, userID: true,
		refuseNonce: true, refuseOthers: true, version: "1",
	},
	Keycloak: {
		name: "Keycloak", types: []string{"jwt", "at+jwt"}, client: []string{"azp", "client_id"},
		roles:        []string{"realm_access", "roles"},
		refuseOthers: true, kinds: []string{"Bearer", "DPoP"},
	},
	Cognito: {
		name: "Cognito", types: []string{"at+jwt"}, noType: true, noAudience: true,
		groups:      []string{"cognito:groups"},
		refuseNonce: true, refuseOthers: true, use: "access", listClients: true,
	},
	Hydra: {
		name: "Hydra", types: []string{"jwt", "at+jwt"}, scp: true, scpOrScope: true, scopeArray: true, emptyAudience: true,
		refuseNonce: true, refuseOthers: true, someScope: true,
	},
	Duende: {
		name: "Duende", scopeArray: true, noSubject: true,
		refuseNonce: true, refuseOthers: true,
	},
	Google: {
		name: "Google", types: []string{"jwt"}, client: []string{"azp"}, noTokenID: true, bareIssuer: true, idTokens: true,
		verifiedEmail: true, listClients: true,
	},
	Kubernetes: {
		name: "Kubernetes", types: []string{"jwt"}, noType: true, noClient: true, clientless: true, noTokenID: true,
		refuseNonce: true, refuseOthers: true, serviceAccount: true,
	},
	CI: {
		name: "CI", types: []string{"jwt"}, noType: true, noClient: true, clientless: true, noTokenID: true, idTokens: true,
		refuseNonce: true, refuseOthers: true, listDemand: true,
	},
}

// relaxed lists in words which rules of RFC 9068 are relaxed.
func (r rules) relaxed() (list []string) {
	say := func(so bool, what string) {
		if so {
			list = append(list, what)
		}
	}
	say(r.idTokens, "ID tokens are accepted as credentials")
	say(r.types != nil, "typ is "+strings.Join(r.types, " or "))
	say(r.noType, "typ may be absent")
	say(r.client != nil, "the client is in "+strings.Join(r.client, " or "))
	say(r.noClient, "the client may be absent")
	say(r.uti, "the token's id is in uti")
	say(r.noTokenID, "the token's id may be absent")
	say(r.scp && !r.scpOrScope, "the scopes are in scp")
	say(r.scpOrScope, "the scopes are in scp or scope")
	say(r.scopeArray, "the scopes may be an array")
	say(r.noSubject, "sub may be absent")
	say(r.noAudience, "aud may be absent")
	say(r.emptyAudience, "aud may be empty where it may be absent")
	say(r.groups != nil, "the groups are in "+strings.Join(r.groups, "."))
	say(r.roles != nil, "the roles are in "+strings.Join(r.roles, "."))
	say(r.entitlements != nil, "the entitlements are in "+strings.Join(r.entitlements, "."))
	say(r.bareIssuer, "iss may leave out https://")
	return list
}

// demanded lists in words what is demanded in addition.
func (r rules) demanded() (list []string) {
	say := func(so bool, what string) {
		if so {
			list = append(list, what)
		}
	}
	say(r.refuseNonce, "no nonce")
	say(r.refuseOthers, "no at_hash, c_hash, s_hash or events")
	say(r.refuseAZP, "no azp")
	say(r.audienceNotClient, "an aud that names more than the client")
	say(r.clientNotAudience, "an aud that does not name the client")
	say(r.use != "", "token_use "+r.use)
	say(r.kinds != nil, "typ "+strings.Join(r.kinds, " or ")+" in the payload")
	say(r.version != "", "ver "+r.version)
	say(r.tenant, "tid of the issuer's tenant")
	say(r.grant, "scopes, or roles in a token for an application")
	say(r.someScope, "a claim with the scopes")
	say(r.noGraph, "no nonce in the header")
	say(r.serviceAccount, "sub system:serviceaccount:<namespace>:<name>")
	say(r.verifiedEmail, "email_verified beside email")
	say(r.listClients, "a client among Issuer.Clients")
	say(r.listDemand, "what Issuer.Demand says")
	return list
}
