package jose

import (
	"errors"
	"slices"
	"strings"
	"time"
)

// Claims are the members of a JWT payload or an introspection answer that the checks
// use, each with the type that the member has in its RFC. An absent member is zero.
type Claims struct {
	Issuer          string    // iss
	Subject         string    // sub
	ClientID        string    // client_id
	AuthorizedParty string    // azp
	ID              string    // jti
	Audience        []string  // aud: a string or an array of strings (RFC 7519 §4.1.3); an empty array is not nil
	Expiry          time.Time // exp
	NotBefore       time.Time // nbf
	IssuedAt        time.Time // iat
	Scope           Scope     // scope
	TokenType       string    // token_type, of an introspection answer

	Nonce     bool // has a nonce, as ID tokens do
	OtherKind bool // has other marks of an ID or logout token: at_hash, c_hash, s_hash, events
	OtherUse  bool // token_use or typ says that this is an ID, refresh or logout token

	Confirmation Confirmation // cnf (RFC 7800)
	Details      int          // size of authorization_details in bytes; 0 if absent (RFC 9396 §9)
	Login        Login        // acr, auth_time and amr
	Delegated    bool         // has act (RFC 8693 §4.1), in whatever form
	Actor        *Actor       // the outermost act; nil if absent, malformed, or one of more than eight

	// Fault describes the first member that is not as its RFC requires, and begins
	// with the member's name. Fault is "" if there is no such member. It covers the
	// members that checks depend on: iss, sub, aud, exp, nbf, iat, jti, scope, cnf,
	// client_id, azp and token_type. If one of them has the wrong type, it never
	// counts as absent. A member that only an accessor reads, such as amr, causes no
	// fault, because a claim that no check uses should not make a token fail.
	Fault string
}

// A Scope is a scope claim in one of the forms that issuers use.
type Scope struct {
	Present bool     // the token has the claim
	Text    string   // space-delimited (RFC 6749 §3.3)
	List    []string // an array of strings instead; an empty array is not nil
	Fault   bool     // the claim is neither a string nor an array of strings
}

// A Confirmation says what a token is bound to.
type Confirmation struct {
	Present               bool   // the token has a cnf
	KeyThumbprint         string // jkt: of a DPoP key (RFC 9449 §6.1)
	CertificateThumbprint string // x5t#S256: of a client certificate (RFC 8705 §3.1)
}

// A Login says how and when the user authenticated. No check but that of a policy needs it,
// so no form of it is a Fault.
type Login struct {
	IsThere    bool      // one of the claims is there
	BadClass   bool      // acr is not a string, is empty, or is not the same in two that are joined
	BadMethods bool      // amr is not an array of strings
	Unreadable bool      // auth_time is not a date
	Class      string    // acr; "" with BadClass
	Time       time.Time // auth_time
	Methods    []string  // amr; nil with BadMethods
}

// An Actor is the party that acts on behalf of the subject.
type Actor struct{ Issuer, Subject, ClientID string }

// ReadClaims reads the claims of a payload. Its errors match [ErrMalformed]. The
// strings can be substrings of the payload. If a caller keeps a string, it should
// clone the string, because a substring keeps the whole payload alive.
func ReadClaims(payload string) (Claims, error) {
	var r claimsReader
	if err := Object(payload, r.read); err != nil {
		return Claims{}, ErrMalformed
	}
	return r.Claims, nil
}

// ReadAnswer is [ReadClaims] for an introspection answer. If a member is null, it
// counts as absent, because some servers write null for a member that they do not
// have. In a JWT, null is a wrong type.
func ReadAnswer(answer string) (Claims, error) {
	var r claimsReader
	err := Object(answer, func(name, value string) error {
		if value == "null" {
			return nil
		}
		return r.read(name, value)
	})
	if err != nil {
		return Claims{}, ErrMalformed
	}
	return r.Claims, nil
}

type claimsReader struct{ Claims }

func (c *claimsReader) read(name, value string) error {
	ok := true
	switch name {
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
		c.Expiry = c.readDate(name, value)
	case "nbf":
		c.NotBefore = c.readDate(name, value)
	case "iat":
		c.IssuedAt = c.readDate(name, value)
	case "scope":
		c.Scope = ReadScope(value)
		ok = !c.Scope.Fault
	case "token_type":
		c.TokenType, ok = String(value)
	case "nonce":
		c.Nonce = true
	case "at_hash", "c_hash", "s_hash", "events":
		c.OtherKind = true
	case "token_use", "typ":
		c.OtherUse = c.OtherUse || saysOtherUse(value)
	case "cnf":
		ok = c.Confirmation.read(value)
	case "acr", "auth_time", "amr":
		c.Login.read(name, value)
	case "authorization_details":
		c.Details = len(value)
	case "act":
		c.Delegated, c.Actor = true, readActor(value)
	}
	if !ok {
		c.fault(name + " has the wrong type")
	}
	return nil
}

// fault keeps the first fault.
func (c *claimsReader) fault(what string) {
	if c.Fault == "" {
		c.Fault = what
	}
}

// readDate reads a date. Its faults distinguish a number that is not a date from a
// value that is not a number.
func (c *claimsReader) readDate(name, value string) time.Time {
	date, ok := NumericDate(value)
	switch {
	case ok:
	case value[0] == '-' || value[0] >= '0' && value[0] <= '9':
		c.fault(name + " is out of range; expected a date from 1970 to 9999, in at most 64 characters")
	default:
		c.fault(name + " has the wrong type")
	}
	return date
}

func (l *Login) read(name, value string) {
	if value == "null" {
		return
	}
	l.IsThere = true
	switch name {
	case "acr":
		l.Class, _ = String(value)
		l.BadClass = l.Class == ""
	case "auth_time":
		var ok bool
		l.Time, ok = NumericDate(value)
		l.Unreadable = !ok
	case "amr":
		methods, ok := Strings(value)
		if l.BadMethods = !ok; ok {
			l.Methods = methods
		}
	}
}

// saysOtherUse reports whether token_use or typ in the payload says that the token is
// an ID, refresh or logout token. A list is searched as well: for example, ["refresh"]
// says so. Any other value says nothing.
func saysOtherUse(value string) bool {
	if kind, ok := String(value); ok {
		return IsOtherUse(kind)
	}
	kinds, _ := Strings(value)
	return slices.ContainsFunc(kinds, IsOtherUse)
}

// IsOtherUse reports whether a kind of token, as issuers write it into typ or
// token_use, is that of an ID, refresh or logout token.
func IsOtherUse(kind string) bool {
	switch strings.ToLower(kind) {
	case "id", "refresh", "offline", "logout", "id_token", "refresh_token":
		return true
	}
	return false
}

func readAudience(value string) ([]string, bool) {
	if one, ok := String(value); ok {
		return []string{one}, true
	}
	return Strings(value)
}

// ReadScope reads the JSON value of a claim that holds scopes.
func ReadScope(value string) (s Scope) {
	s.Present = true
	ok := false
	if s.Text, ok = String(value); ok {
		return s
	}
	s.List, ok = Strings(value)
	s.Fault = !ok
	return s
}

// read accepts an object with at least one member (RFC 7800 §3.1), in which jkt and
// x5t#S256, if present, are non-empty strings.
func (c *Confirmation) read(value string) bool {
	members := 0
	err := eachMember(value, func(name, value string) error {
		members++
		switch name {
		case "jkt":
			return thumbprint(&c.KeyThumbprint, value)
		case "x5t#S256":
			return thumbprint(&c.CertificateThumbprint, value)
		}
		return nil
	})
	c.Present = true
	return err == nil && members > 0
}

var errMember = errors.New("a member has the wrong type")

func thumbprint(to *string, value string) error {
	if *to, _ = String(value); *to == "" {
		return errMember
	}
	return nil
}

// mostActors is how many actors an act can have: the current one, and those before it.
const mostActors = 8

// readActor reads an object (RFC 8693 §4.1), and returns nil for anything else, also
// if iss, sub or client_id is not a string. It only counts the nested actors, because
// they are information and decide nothing.
func readActor(value string) *Actor {
	if countActors(value) > mostActors {
		return nil
	}
	a := new(Actor)
	err := eachMember(value, func(name, value string) error {
		ok := true
		switch name {
		case "iss":
			a.Issuer, ok = String(value)
		case "sub":
			a.Subject, ok = String(value)
		case "client_id":
			a.ClientID, ok = String(value)
		}
		if !ok {
			return errMember
		}
		return nil
	})
	if err != nil {
		return nil
	}
	return a
}

// countActors returns how many actors are nested in an act, at most one more than
// mostActors.
func countActors(act string) (n int) {
	for act != "" && n <= mostActors {
		before := ""
		err := eachMember(act, func(name, value string) error {
			if name == "act" {
				before = value
			}
			return nil
		})
		if err != nil {
			return n
		}
		act, n = before, n+1
	}
	return n
}
