package jose

import (
	"strings"
	"time"
)

// Claims are the members of a JWT payload or an introspection answer that the
// checks are about, each with the type its RFC gives it. Zero means absent.
type Claims struct {
	Issuer          string    // iss
	Subject         string    // sub
	ClientID        string    // client_id
	AuthorizedParty string    // azp
	ID              string    // jti
	Audience        []string  // aud: a string or an array of strings (RFC 7519 §4.1.3); an empty one is not nil
	Expiry          time.Time // exp
	NotBefore       time.Time // nbf
	IssuedAt        time.Time // iat
	Scope           string    // scope, space-delimited
	ScopeList       []string  // scope, when it came as an array of strings
	TokenType       string    // token_type, of an introspection answer

	OtherKind bool // has the marks of an ID, refresh or logout token
	OtherUse  bool // says so itself, in token_use or typ; OtherKind as well

	Confirmation Confirmation // cnf (RFC 7800)

	// Fault names the first member that has a wrong type, or "". A claim of the
	// wrong type is never taken for an absent one.
	Fault string
}

// A Confirmation tells what a token is bound to.
type Confirmation struct {
	Present     bool // there is a cnf
	Thumbprint  bool // it has jkt: a DPoP key (RFC 9449 §6.1)
	Certificate bool // it has x5t#S256: a client certificate (RFC 8705 §3.1)
}

// ReadClaims reads the claims of a payload. Its errors match [ErrMalformed].
func ReadClaims(payload []byte) (Claims, error) {
	var c Claims
	if err := Object(payload, c.read); err != nil {
		return Claims{}, ErrMalformed
	}
	return c, nil
}

func (c *Claims) read(name, value []byte) error {
	ok := true
	switch string(name) {
	case "iss":
		c.Issuer, ok = String(value)
	case "sub":
		c.Subject, ok = String(value)
	case "client_id":
		c.ClientID, ok = String(value)
	case "azp":
		c.AuthorizedParty, ok = String(value)
	case "jti":
		c.ID, ok = String(value)
	case "aud":
		c.Audience, ok = readAudience(value)
	case "exp":
		c.Expiry, ok = NumericDate(value)
	case "nbf":
		c.NotBefore, ok = NumericDate(value)
	case "iat":
		c.IssuedAt, ok = NumericDate(value)
	case "auth_time":
		_, ok = NumericDate(value)
	case "acr":
		_, ok = String(value)
	case "amr":
		_, ok = Strings(value)
	case "scope":
		ok = c.readScope(value)
	case "token_type":
		c.TokenType, ok = String(value)
	case "nonce", "at_hash", "c_hash", "s_hash", "events":
		c.OtherKind = true
	case "token_use", "typ":
		ok = c.readKind(value)
	case "cnf":
		ok = c.Confirmation.read(value)
	}
	if !ok && c.Fault == "" {
		c.Fault = string(name)
	}
	return nil
}

// readKind reads the members by which issuers tell their tokens apart in the
// payload: token_use (Cognito, Hydra) and typ (Keycloak).
func (c *Claims) readKind(value []byte) bool {
	kind, ok := String(value)
	switch strings.ToLower(kind) {
	case "id", "refresh", "offline", "logout", "id_token", "refresh_token":
		c.OtherKind, c.OtherUse = true, true
	}
	return ok
}

func readAudience(value []byte) ([]string, bool) {
	if one, ok := String(value); ok {
		return []string{one}, true
	}
	return Strings(value)
}

func (c *Claims) readScope(value []byte) (ok bool) {
	if c.Scope, ok = String(value); ok {
		return true
	}
	c.ScopeList, ok = Strings(value)
	return ok
}

// read accepts an object with at least one member (RFC 7800 §3.1).
func (c *Confirmation) read(value []byte) bool {
	members := 0
	err := Object(value, func(name, value []byte) error {
		members++
		switch string(name) {
		case "jkt":
			c.Thumbprint = true
		case "x5t#S256":
			c.Certificate = true
		}
		return nil
	})
	c.Present = true
	return err == nil && members > 0
}
