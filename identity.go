package accesstoken

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/accesstoken/accesstoken/internal/jose"
	"github.com/accesstoken/accesstoken/scopes"
)

// An Identity is a caller that your own code has authenticated, without an access token:
// see [Config].Authenticate and [Validator.Vouch]. You must set Issuer, Expiry, and Subject
// or ClientID. The zero Identity stands for no caller at all.
type Identity struct {
	_ [0]func()

	// Issuer names what has authenticated the caller, for example "api-keys". It becomes
	// Claims.Issuer, so that Issuer and Subject together still identify one user. It must
	// not be the URL or an alias of any issuer whose tokens are accepted and, if
	// Config.ResolveIssuer is set, not an https URL. At most 512 bytes.
	Issuer string

	// Subject is the user, and ClientID the client. If there is no Subject, or both are the
	// same, the client acts for itself; see [Claims.ClientItself].
	Subject, ClientID string

	// ID identifies the credential, for example the number of an API key. It should not be
	// the credential itself. It may be empty.
	ID string

	// Scopes are the granted scopes, for example scopes.Parse("orders:read").
	Scopes scopes.Set

	// IssuedAt is when the caller was authenticated, or the credential issued. It may be
	// zero.
	IssuedAt time.Time

	// Expiry is when the identity ends, as exp is for a token: with Config.Leeway added. A
	// stream that the caller opens ends then too, so if the credential has no end, set how
	// long a stream may go on, for example an hour.
	Expiry time.Time

	// Payload is a JSON object with further claims, for [Claims.Decode], [Claims.Roles],
	// [Claims.ACR], [Claims.Actor] and the like. It is read as strictly as the payload of a
	// token, but the fields above are not read from it, nor does a cnf in it count. Nil is an
	// empty object.
	Payload json.RawMessage
}

const (
	longestVouched = 512      // bytes of an Identity.Issuer
	mostVouched    = 64 << 10 // bytes of all else in an Identity
)

// fault returns what is wrong with an identity, whatever the configuration, or "". It
// contains nothing of the identity.
func (i Identity) fault() string {
	isInvalid := func(text string) bool { return !utf8.ValidString(text) }
	switch {
	case i.Issuer == "":
		return "Issuer is empty; name what has authenticated the caller, for example api-keys"
	case len(i.Issuer) > longestVouched:
		return fmt.Sprintf("Issuer has more than %d bytes; choose a shorter name", longestVouched)
	case isInvalid(i.Issuer), strings.ContainsFunc(i.Issuer, unicode.IsControl):
		return "Issuer has control characters, or is not UTF-8; choose a plain name"
	case i.Subject == "" && i.ClientID == "":
		return "Subject and ClientID are empty; set the user, the client or both"
	case len(i.Subject)+len(i.ClientID)+len(i.ID)+len(i.Scopes.String())+len(i.Payload) > mostVouched:
		return fmt.Sprintf("Payload and the other fields have more than %d bytes together", mostVouched)
	case isInvalid(i.Subject), isInvalid(i.ClientID), isInvalid(i.ID), isInvalid(i.Scopes.String()):
		return "Subject, ClientID, ID or Scopes are not UTF-8"
	case i.Expiry.IsZero():
		return "Expiry is zero; set when the identity ends, because a stream could otherwise go on for ever"
	case i.Payload != nil && jose.Object(string(i.Payload), func(string, string) error { return nil }) != nil:
		return "Payload is not a JSON object; expected UTF-8, no duplicate names, at most 256 members and 16 levels"
	}
	return ""
}

// isZero reports whether the identity stands for no caller.
func (i Identity) isZero() bool {
	return i.Issuer == "" && i.Subject == "" && i.ClientID == "" && i.ID == "" && i.Scopes == (scopes.Set{}) &&
		i.IssuedAt.IsZero() && i.Expiry.IsZero() && i.Payload == nil
}
