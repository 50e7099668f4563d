// Package resourcemetadata publishes the metadata of a resource server (RFC 9728, OAuth
// 2.0 Protected Resource Metadata). With it, a client that knows only the URL of an API
// finds the authorization servers that the API accepts.
//
//	validator, err := accesstoken.NewValidator(accesstoken.Config{
//		Resource: "https://api.example.com/orders",
//		Issuers:  []accesstoken.Issuer{{URL: "https://login.example.com"}},
//		Metadata: &resourcemetadata.Metadata{Name: "Orders", Scopes: []string{"orders:read"}},
//	})
//	…
//	mux.Handle(resourcemetadata.Pattern(validator), resourcemetadata.Handler(validator))
//
// The Validator writes the document, so that it says what is enforced, and every
// challenge names the document's URL in resource_metadata. This package has what you
// set, a handler that serves the document without authentication, and a [Client] that
// reads and checks the documents of other servers.
//
// An adapter that is outside of your router, for example echo.Use(auth.Wrap), also
// serves the document itself.
package resourcemetadata

import (
	"crypto"
	"fmt"
	"net/url"
	"strings"

	"github.com/accesstoken/accesstoken/internal/challenge"
	"github.com/accesstoken/accesstoken/internal/fetch"
)

// Metadata is what the Validator cannot know of a resource server. The Validator adds
// what it enforces: the authorization servers, the methods to send a token, and what it
// knows of proofs of possession. The zero value is a safe default.
type Metadata struct {
	_ [0]func()

	// Resource is the resource identifier (RFC 9728 §1.2), an https URL without a fragment.
	// The document has it as its resource, character for character. If a client found the
	// document through a challenge, Resource must equal the URL that the client requested
	// (§3.3), so for an MCP server it is the URL of the endpoint. If empty, it is
	// Config.Resource, or the ID of accesstoken.Resource. On a loopback host it can be
	// plain http. A query is possible, but the Logger warns of it.
	Resource string

	// Name is the name of the resource server for people (resource_name).
	Name string

	// Documentation is the URL of a page for developers (resource_documentation).
	Documentation string

	// Scopes are those that a client should request to begin with (scopes_supported). The
	// list need not be complete. offline_access is a fault, because it is between the client
	// and the authorization server.
	Scopes []string

	// ClientCertificates says that this server itself, without a proxy, requests client
	// certificates, so that tokens can be bound to them (RFC 8705). If
	// Config.ForwardedCertificate is set, it need not be.
	ClientCertificates bool

	// Extra are further members of the document, for example resource_policy_uri,
	// resource_tos_uri, or "resource_name#it" for a name in Italian (RFC 9728 §2.1). A
	// member that the Validator derives, or that has a field here, is a fault. A value must
	// be what encoding/json can write; null, false and what is empty is left out.
	Extra map[string]any

	// Signer also puts the members into signed_metadata (RFC 9728 §2.2). If nil, the
	// document has no signature.
	Signer *Signer
}

// A Signer signs the metadata, with a lifetime of a day. It signs when the document is
// first asked for, after each change, and again when half of the lifetime has passed. The
// request that needs the new signature waits; others get the earlier document as long as
// its signature is good. If signing fails, the document has the earlier signed_metadata
// until that expires, and then none; the Logger is told.
type Signer struct {
	_ [0]func()

	// Key signs. It must be safe for concurrent use.
	Key crypto.Signer

	// Algorithm is the alg, for example ES256. It must go with the key. HMAC is a fault.
	Algorithm string

	// KeyID is the kid. Clients find the key with it. It may be empty.
	KeyID string

	// Issuer is the iss, the party that attests the members. If empty, it is the resource
	// identifier.
	Issuer string
}

// wellKnown is inserted between the host of an identifier and its path (RFC 9728 §3).
const wellKnown = "/.well-known/oauth-protected-resource"

// longest is the most bytes of a resource identifier.
const longest = 2048

// URL returns the URL of the document of the resource that has this identifier (RFC 9728
// §3). The identifier must be an absolute https URL in lower case, as far as scheme and
// host go, without a fragment, user information, or a port and path segments that a client
// would remove. On a loopback host it can be plain http.
func URL(identifier string) (string, error) {
	if err := fetch.CheckURL(identifier, false); err != nil {
		return "", err
	}
	scheme, rest, _ := strings.Cut(identifier, "://")
	host, path := rest, ""
	if at := strings.IndexAny(rest, "/?"); at >= 0 {
		host, path = rest[:at], rest[at:]
	}
	switch {
	case len(identifier) > longest:
		return "", fmt.Errorf("the identifier has %d bytes; expected at most %d", len(identifier), longest)
	case scheme != strings.ToLower(scheme) || host != strings.ToLower(host):
		return "", fmt.Errorf("%q has capital letters in its scheme or host, which clients write in lower case", fetch.Redact(identifier))
	case !challenge.IsDescription(identifier) || strings.ContainsAny(identifier, " <>`{|}^"):
		return "", fmt.Errorf("%q has characters that a URL must escape", fetch.Redact(identifier))
	case !keepsPort(scheme, host):
		return "", fmt.Errorf("the port of %q is empty, the default or has a zero in front, which clients remove", fetch.Redact(identifier))
	case !isClean(path):
		return "", fmt.Errorf("the path of %q has an empty segment, or one of dots, which clients and routers remove", fetch.Redact(identifier))
	}
	if strings.HasPrefix(path, "/") && (len(path) == 1 || path[1] == '?') {
		path = path[1:] // §3.1
	}
	return scheme + "://" + host + wellKnown + path, nil
}

// keepsPort reports whether clients leave the port of a host as it is, if it has one.
func keepsPort(scheme, host string) bool {
	u := url.URL{Host: host}
	port := u.Port()
	isDefault := port == map[string]string{"https": "443", "http": "80"}[scheme]
	return port == "" && !strings.HasSuffix(host, ":") || port != "" && port[0] != '0' && !isDefault
}

// isClean reports whether routers and clients leave the path of an identifier as it is.
func isClean(pathAndQuery string) bool {
	path, _, _ := strings.Cut(pathAndQuery, "?")
	segments := strings.Split(path, "/")
	for n, segment := range segments {
		decoded, err := url.PathUnescape(segment)
		if err != nil || decoded == "." || decoded == ".." || segment == "" && n > 0 && n < len(segments)-1 {
			return false
		}
	}
	return true
}
