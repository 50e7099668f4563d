package introspection

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/accesstoken/accesstoken/internal/fetch"
)

// An AuthMethod is how the client authenticates itself, by its name in the
// registry of RFC 7591 §4.2.
type AuthMethod string

// The methods.
const (
	ClientSecretBasic AuthMethod = "client_secret_basic" // the default
	ClientSecretPost  AuthMethod = "client_secret_post"
)

// Config says whom to ask, and as whom. Endpoint, ClientID and ClientSecret
// have to be set.
type Config struct {
	_ [0]func()

	// Endpoint is the introspection endpoint: an https URL, or http on a
	// loopback host.
	Endpoint string

	// ClientID and ClientSecret are the resource server's own credentials.
	ClientID     string
	ClientSecret string

	// AuthMethod says how they are sent; zero is ClientSecretBasic.
	AuthMethod AuthMethod

	// Timeout bounds one call, from dialing to the last byte; zero is 5 s.
	Timeout time.Duration

	// RequireTokenType refuses an active answer that has no token_type: some
	// servers leave it out for refresh tokens, and send it for access tokens.
	RequireTokenType bool

	// HTTPClient makes the calls; nil is a client of our own. It is copied, and
	// the copy follows no redirects: the body holds a live token and our secret.
	HTTPClient *http.Client

	// DangerouslyAllowHTTP accepts a plain http Endpoint on any host.
	DangerouslyAllowHTTP bool
}

// withDefaults fills in what is zero.
func (c Config) withDefaults() Config {
	if c.AuthMethod == "" {
		c.AuthMethod = ClientSecretBasic
	}
	if c.Timeout == 0 {
		c.Timeout = fetch.DefaultTimeout
	}
	return c
}

// check expects the defaults to be filled in.
func (c Config) check() error {
	var faults []error
	if err := fetch.CheckURL(c.Endpoint, c.DangerouslyAllowHTTP); err != nil {
		faults = append(faults, fmt.Errorf("introspection: Endpoint: %w", err))
	}
	if c.ClientID == "" || c.ClientSecret == "" {
		faults = append(faults, errors.New("introspection: ClientID or ClientSecret is empty; the endpoint must know who asks (RFC 7662 §2.1)"))
	}
	if c.AuthMethod != ClientSecretBasic && c.AuthMethod != ClientSecretPost {
		faults = append(faults, fmt.Errorf("introspection: AuthMethod %q is not supported; use %s or %s", c.AuthMethod, ClientSecretBasic, ClientSecretPost))
	}
	if c.Timeout < 0 {
		faults = append(faults, fmt.Errorf("introspection: Timeout is %v; leave it zero for 5 s", c.Timeout))
	}
	return errors.Join(faults...)
}
