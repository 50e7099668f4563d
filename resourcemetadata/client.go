package resourcemetadata

import (
	"context"
	"crypto"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/accesstoken/accesstoken/internal/challenge"
	"github.com/accesstoken/accesstoken/internal/fetch"
	"github.com/accesstoken/accesstoken/internal/jose"
)

// A Document is the metadata of a resource server, as a client reads it (RFC 9728 §2).
type Document struct {
	Resource             string   // resource
	AuthorizationServers []string // authorization_servers
	Name                 string   // resource_name
	Documentation        string   // resource_documentation
	Scopes               []string // scopes_supported
	BearerMethods        []string // bearer_methods_supported; if not nil, but empty, bearer tokens are refused
	DPoPAlgorithms       []string // dpop_signing_alg_values_supported
	DPoPRequired         bool     // dpop_bound_access_tokens_required
	ClientCertificates   bool     // tls_client_certificate_bound_access_tokens
	DetailTypes          []string // authorization_details_types_supported

	// SignedBy is the iss of signed_metadata if its signature was verified. Otherwise it is
	// empty.
	SignedBy string

	signed string // signed_metadata
}

// A Client reads the metadata of resource servers, and refuses what it cannot trust. The
// zero value is a safe default. It may be used by several goroutines at once.
type Client struct {
	_ [0]func()

	// HTTPClient makes the requests. It is copied, and redirects are not followed. If nil, a
	// default client is used.
	HTTPClient *http.Client

	// PublicAddressesOnly refuses to connect to loopback, link-local, private and other
	// addresses that are not public (RFC 9728 §7.7). You should set it if a user chooses the
	// resource. It cannot be combined with HTTPClient.
	PublicAddressesOnly bool

	// AnyOrigin allows a document on another scheme, host or port than the resource's.
	AnyOrigin bool

	// Signers are the keys of the issuers whose signed_metadata is trusted (RFC 9728 §2.2),
	// by their iss. Only the members in trusted signed_metadata are used, and no plain ones.
	// If the signature is wrong, the document is refused. signed_metadata of other issuers
	// is ignored.
	Signers map[string]KeySource

	// Now is the clock for exp, nbf and iat of signed_metadata. If nil, it is time.Now.
	Now func() time.Time
}

// A KeySource holds the keys of an issuer, as an accesstoken.KeySource does. A *jwks.Cache
// is one.
type KeySource interface {
	Keys(ctx context.Context, kid, alg string) (keys []crypto.PublicKey, generation uint64, err error)
}

// FromChallenge returns the resource_metadata of a response that asks for a token (RFC 9728
// §5.1), of any scheme, or "" if no challenge has it.
func FromChallenge(header http.Header) string {
	for _, c := range challenge.Read(header.Values("WWW-Authenticate")) {
		if place := c.Params["resource_metadata"]; place != "" {
			return place
		}
	}
	return ""
}

// largest is the most bytes of a document.
const largest = 64 << 10

// Get fetches the metadata of a resource. resource is the URL that was requested, or the
// identifier from which the document's URL is derived. place is what [FromChallenge]
// returned; if it is empty, the document's URL is derived from resource. The document's
// resource must equal resource (§3.3). The request ends after 5 s, or with ctx.
func (c *Client) Get(ctx context.Context, resource, place string) (*Document, error) {
	place, err := c.placeOf(resource, place)
	if err != nil {
		return nil, fmt.Errorf("resourcemetadata: %w", err)
	}
	client := c.client()
	defer client.Close()
	request := fetch.Request{URL: place, Header: http.Header{"Accept": {"application/json"}}, MaxBytes: largest}
	response, err := client.Do(ctx, request)
	switch {
	case response.Status != 0 && response.Status != http.StatusOK:
		return nil, fmt.Errorf("resourcemetadata: %w", request.StatusError(response))
	case err != nil:
		return nil, fmt.Errorf("resourcemetadata: %w", err)
	}
	d, err := c.read(ctx, string(response.Body), resource)
	if err != nil {
		return nil, fmt.Errorf("resourcemetadata: %s: %w", fetch.Redact(place), err)
	}
	return d, nil
}

func (c *Client) client() *fetch.Client {
	if c.PublicAddressesOnly {
		return fetch.NewPublic()
	}
	return fetch.New(c.HTTPClient)
}

// placeOf returns the URL of the document, if it may be fetched.
func (c *Client) placeOf(resource, place string) (string, error) {
	if c.PublicAddressesOnly && c.HTTPClient != nil {
		return "", errors.New("PublicAddressesOnly and HTTPClient exclude each other; connections are made by the client's own transport")
	}
	derived, err := URL(resource)
	switch {
	case err != nil:
		return "", err
	case place == "":
		return derived, nil
	}
	if err := fetch.CheckURL(place, false); err != nil {
		return "", fmt.Errorf("resource_metadata: %w", err)
	}
	if !c.AnyOrigin && !sameOrigin(place, resource) {
		return "", fmt.Errorf("resource_metadata %q has another origin than the resource; set AnyOrigin if that is right", fetch.Redact(place))
	}
	return place, nil
}

// sameOrigin compares the origins of two URLs, in which port 443 may be left out.
func sameOrigin(a, b string) bool {
	x, _ := url.Parse(a) // both were checked
	y, _ := url.Parse(b)
	port := func(u *url.URL) string {
		if u.Port() == "" {
			return map[string]string{"https": "443", "http": "80"}[u.Scheme]
		}
		return u.Port()
	}
	return x.Scheme == y.Scheme && strings.EqualFold(x.Hostname(), y.Hostname()) && port(x) == port(y)
}

// read reads a document and checks it.
func (c *Client) read(ctx context.Context, body, resource string) (*Document, error) {
	d, err := parse(body)
	if err != nil {
		return nil, err
	}
	if d.signed != "" && c.Signers != nil {
		if err := c.trust(ctx, d); err != nil {
			return nil, fmt.Errorf("signed_metadata: %w", err)
		}
	}
	switch {
	case d.Resource != resource:
		return nil, fmt.Errorf("its resource is %.200q; expected %q, so it is not used (RFC 9728 §3.3)", d.Resource, fetch.Redact(resource))
	case slices.ContainsFunc(d.AuthorizationServers, func(server string) bool { return fetch.CheckURL(server, false) != nil }):
		return nil, errors.New("authorization_servers has a text that is not an https URL")
	}
	return d, nil
}

// parse reads the members of a JSON object, which must not have one twice.
func parse(body string) (*Document, error) {
	d := new(Document)
	return d, d.add(body)
}

// add reads the members of a JSON object over those that are there.
func (d *Document) add(body string) error {
	members := map[string]any{
		"resource": &d.Resource, "authorization_servers": &d.AuthorizationServers, "resource_name": &d.Name, "resource_documentation": &d.Documentation,
		"scopes_supported": &d.Scopes, "bearer_methods_supported": &d.BearerMethods, "dpop_signing_alg_values_supported": &d.DPoPAlgorithms,
		"dpop_bound_access_tokens_required": &d.DPoPRequired, "tls_client_certificate_bound_access_tokens": &d.ClientCertificates,
		"authorization_details_types_supported": &d.DetailTypes, "signed_metadata": &d.signed,
	}
	return jose.Body(body, func(name, value string) error {
		if to := members[name]; to != nil && json.Unmarshal([]byte(value), to) != nil {
			return fmt.Errorf("%s has another type than RFC 9728 §2 says", name)
		}
		return nil
	})
}

// leeway allows for clock skew in exp, nbf and iat of signed_metadata.
const leeway = 30 * time.Second

// trust verifies signed_metadata and puts its members in place of the plain ones, if one of
// the Signers has signed it.
func (c *Client) trust(ctx context.Context, d *Document) error {
	token, err := jose.Parse(d.signed)
	if err != nil {
		return err
	}
	claims, err := jose.ReadClaims(token.Payload)
	if err != nil {
		return err
	}
	keys := c.Signers[claims.Issuer]
	if keys == nil {
		return nil
	}
	now := time.Now
	if c.Now != nil {
		now = c.Now
	}
	at := now()
	switch {
	case token.HasType && !token.HasMediaType("jwt"):
		return errors.New("expected its typ to be absent or JWT")
	case !jose.Supported(token.Algorithm):
		return errors.New("expected its alg to be a digital signature algorithm, for example ES256")
	case claims.Fault != "":
		return fmt.Errorf("%s (RFC 7519 §4.1)", claims.Fault)
	case claims.Audience != nil: // such a JWT is probably a token that was signed with the same key
		return errors.New("expected no aud; a JWT with an aud is a token, not metadata")
	case !claims.Expiry.IsZero() && !at.Before(claims.Expiry.Add(leeway)):
		return errors.New("it has expired")
	case at.Add(leeway).Before(claims.NotBefore) || at.Add(leeway).Before(claims.IssuedAt):
		return errors.New("it is not valid yet")
	}
	if err := verify(ctx, keys, token); err != nil {
		return err
	}
	*d = Document{} // an unsigned member could be an attacker's
	if err := d.add(token.Payload); err != nil {
		return err
	}
	if d.signed != "" { // RFC 9728 §2.2
		return errors.New("expected no signed_metadata among its claims")
	}
	d.SignedBy = claims.Issuer
	return nil
}

func verify(ctx context.Context, source KeySource, token jose.Token) error {
	keys, _, err := source.Keys(ctx, token.KeyID, token.Algorithm)
	if err != nil {
		return err
	}
	for _, key := range keys {
		if token.Verify(key) == nil {
			return nil
		}
	}
	return errors.New("no trusted key verifies the signature")
}

// CheckServer reports whether the metadata of an authorization server, a JSON object (RFC
// 8414), confirms the document. If it has protected_resources, they must name the resource
// (RFC 9728 §4). If it has none, nothing is known, and CheckServer returns nil.
func (d *Document) CheckServer(metadata []byte) error {
	var listed []string
	known := false
	err := jose.Object(string(metadata), func(name, value string) error {
		if name != "protected_resources" || value == "null" {
			return nil
		}
		known = true
		return json.Unmarshal([]byte(value), &listed)
	})
	switch {
	case err != nil:
		return fmt.Errorf("resourcemetadata: the authorization server's metadata cannot be read: %w", err)
	case known && !slices.Contains(listed, d.Resource):
		return errors.New("resourcemetadata: the authorization server does not list the resource among its protected_resources, so its tokens may not be for it (RFC 9728 §4)")
	}
	return nil
}
