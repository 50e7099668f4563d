package introspection

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/accesstoken/accesstoken/internal/fetch"
)

// An AuthMethod is how the client authenticates itself. Its value is the name in the
// registries of RFC 7591 §4.2 and RFC 6749 §11.1. A server lists the names in
// introspection_endpoint_auth_methods_supported (RFC 8414 §2).
type AuthMethod string

// The methods, with the settings that they need. It is a fault to set a field that the
// method does not use.
const (
	// ClientSecretBasic sends ClientID and ClientSecret in the Authorization field (RFC
	// 6749 §2.3.1). It is the default. Wherever a method needs ClientSecret,
	// ClientSecretFrom can be set instead.
	ClientSecretBasic AuthMethod = "client_secret_basic"

	// ClientSecretPost sends ClientID and ClientSecret in the form (RFC 6749
	// §2.3.1).
	ClientSecretPost AuthMethod = "client_secret_post"

	// ClientSecretJWT sends a short-lived JWT signed with HS256, so that the secret
	// itself is not sent (OpenID Connect Core §9). It needs ClientID, Issuer, and a
	// ClientSecret of 32 bytes or more.
	ClientSecretJWT AuthMethod = "client_secret_jwt"

	// PrivateKeyJWT sends a short-lived JWT that ClientKey signs (RFC 7523 §2.2).
	// It needs ClientID, ClientKey and Issuer.
	PrivateKeyJWT AuthMethod = "private_key_jwt"

	// TLSClientAuth presents a certificate that an authority issued (RFC 8705
	// §2.1). It needs ClientID, and ClientCertificate or an HTTPClient whose
	// transport has one.
	TLSClientAuth AuthMethod = "tls_client_auth"

	// SelfSignedTLSClientAuth presents a certificate whose key is registered with the
	// server (RFC 8705 §2.2). It needs the same settings as TLSClientAuth.
	SelfSignedTLSClientAuth AuthMethod = "self_signed_tls_client_auth"

	// Bearer sends an access token of the resource server's own (RFC 7662 §2.1).
	// It needs BearerToken, and ClientID only if Keys or Store is set.
	Bearer AuthMethod = "Bearer"
)

// minSecret is the minimum length of an HS256 key in bytes (RFC 7518 §3.2).
const minSecret = 32

// A setting is a field of the Config that only some methods use.
type setting struct {
	name       string
	isSet      bool
	isOptional bool // the methods do not need it
	methods    []AuthMethod
}

func (c Config) settings() []setting {
	secret := []AuthMethod{ClientSecretBasic, ClientSecretPost, ClientSecretJWT}
	certificate := []AuthMethod{TLSClientAuth, SelfSignedTLSClientAuth}
	key := []AuthMethod{PrivateKeyJWT}
	return []setting{
		{"ClientSecret", c.ClientSecret != "", c.ClientSecretFrom != nil, secret},
		{"ClientSecretFrom", c.ClientSecretFrom != nil, true, secret},
		{"ClientKey", c.ClientKey != nil, false, key},
		{"ClientKeyID", c.ClientKeyID != "", true, key},
		{"ClientKeyAlgorithm", c.ClientKeyAlgorithm != "", true, key},
		{"ClientCertificate", c.ClientCertificate != nil, true, certificate},
		{"BearerToken", c.BearerToken != nil, false, []AuthMethod{Bearer}},
	}
}

var authMethods = []AuthMethod{ClientSecretBasic, ClientSecretPost, ClientSecretJWT, PrivateKeyJWT, TLSClientAuth, SelfSignedTLSClientAuth, Bearer}

// checkAuthentication checks the settings of the AuthMethod. Call withDefaults first.
func (c Config) checkAuthentication() (faults []error) {
	if c.ClientID == "" && c.AuthMethod != Bearer {
		faults = append(faults, errors.New("introspection: ClientID is empty; the endpoint needs it to authenticate this client (RFC 7662 §2.1)"))
	}
	if c.Issuer != "" {
		if err := fetch.CheckURL(c.Issuer, c.DangerouslyAllowHTTP); err != nil {
			faults = append(faults, fmt.Errorf("introspection: Issuer: %w", err))
		}
	}
	if !slices.Contains(authMethods, c.AuthMethod) {
		return append(faults, fmt.Errorf("introspection: AuthMethod %q is not supported; use %s", c.AuthMethod, either(authMethods)))
	}
	for _, s := range c.settings() {
		faults = append(faults, s.check(c.AuthMethod)...)
	}
	if c.ClientSecret != "" && c.ClientSecretFrom != nil {
		faults = append(faults, errors.New("introspection: ClientSecret and ClientSecretFrom are both set; leave one out"))
	}
	switch c.AuthMethod {
	case ClientSecretJWT, PrivateKeyJWT:
		faults = append(faults, c.checkAssertion()...)
	case TLSClientAuth, SelfSignedTLSClientAuth:
		faults = append(faults, c.checkCertificate()...)
	}
	return faults
}

func (s setting) check(method AuthMethod) []error {
	isOurs := slices.Contains(s.methods, method)
	switch {
	case s.isSet && !isOurs:
		return []error{fmt.Errorf("introspection: %s is set, but AuthMethod %s does not use it; leave it out, or set AuthMethod to %s", s.name, method, either(s.methods))}
	case !s.isSet && isOurs && !s.isOptional:
		return []error{fmt.Errorf("introspection: %s is not set; AuthMethod %s needs it", s.name, method)}
	}
	return nil
}

// checkAssertion checks the settings of ClientSecretJWT and PrivateKeyJWT. Call it
// only if AuthMethod is one of the two.
func (c Config) checkAssertion() (faults []error) {
	if c.Issuer == "" {
		faults = append(faults, fmt.Errorf("introspection: Issuer is empty; AuthMethod %s needs it as the audience of the JWT that it signs", c.AuthMethod))
	}
	if c.AuthMethod == ClientSecretJWT && c.ClientSecret != "" && len(c.ClientSecret) < minSecret {
		faults = append(faults, fmt.Errorf("introspection: ClientSecret is too short for HS256; it must have %d bytes or more (RFC 7518 §3.2)", minSecret))
	}
	if c.AuthMethod == PrivateKeyJWT && c.ClientKey != nil && c.keyAlgorithm() == "" {
		faults = append(faults, c.keyFault())
	}
	return faults
}

func (c Config) keyFault() error {
	if c.ClientKeyAlgorithm != "" {
		return fmt.Errorf("introspection: ClientKeyAlgorithm %q does not fit ClientKey, a %T; leave it empty to use the key's own", c.ClientKeyAlgorithm, c.ClientKey)
	}
	return fmt.Errorf("introspection: ClientKey, a %T, is not a supported key; set one of RSA (2048 to 8192 bits), P-256, P-384, P-521 or Ed25519", c.ClientKey)
}

// either lists the methods: "a", "a or b", "a, b or c".
func either(methods []AuthMethod) string {
	names := make([]string, len(methods))
	for i, method := range methods {
		names[i] = string(method)
	}
	last := len(names) - 1
	if last == 0 {
		return names[0]
	}
	return strings.Join(names[:last], ", ") + " or " + names[last]
}
