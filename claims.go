package accesstoken

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"time"
	"unsafe"

	"github.com/accesstoken/accesstoken/internal/jose"
	"github.com/accesstoken/accesstoken/scopes"
)

// Claims say who is calling. They are a value: a handler may do with its copy
// what it likes, and reaches nothing that another request sees.
//
// A user is the pair of Issuer and Subject, never the Subject alone (RFC 7519
// §4.1.2). When a client acts for itself, [Claims.ClientItself] tells.
//
// Claims are untrusted input for whatever comes next: SQL, paths, logs.
type Claims struct {
	_        [0]func()
	Issuer   string    // iss
	Subject  string    // sub; empty when an introspection answer names none, or the profile lets it be absent
	ClientID string    // client_id; empty when the profile lets it be absent
	ID       string    // jti; empty when the profile lets it be absent
	Expiry   time.Time // exp; zero when an introspection answer has none
	IssuedAt time.Time // iat; zero when an introspection answer has none

	facts   *facts
	payload *byte // of the request's own token, base64url; nil when introspected
}

// End returns when the token stops being accepted: exp, or iat + Issuer.MaxAge if
// that is earlier, + Config.Leeway. It is zero if the token has no exp, as
// introspected ones may. Whatever outlives the request,
// a stream or a socket, has to end then.
func (c Claims) End() time.Time {
	if c.Expiry.IsZero() || c.facts == nil {
		return c.Expiry
	}
	end := c.Expiry
	if oldest := c.facts.issuer.settings.MaxAge; oldest > 0 && c.IssuedAt.Add(oldest).Before(end) {
		end = c.IssuedAt.Add(oldest)
	}
	return end.Add(c.facts.issuer.leeway)
}

// Scopes returns the scopes that were granted. A token without the claim has
// none.
func (c Claims) Scopes() scopes.Set {
	if c.facts == nil {
		return scopes.Set{}
	}
	return c.facts.scope
}

// Audience returns a copy of the resource servers that the token names (aud).
func (c Claims) Audience() []string {
	if c.facts == nil {
		return nil
	}
	return slices.Clone(c.facts.audience)
}

// Decode reads all claims of the token, or all members of the introspection
// answer, into v, a pointer to a struct or a map. With Issuer.AlwaysIntrospect it
// reads both: of what both
// have, the answer's, which is newer, and the scopes that both have. Names match exactly, also in
// their case. Numbers stay exact: in an any they arrive as [json.Number].
// Members that v has no place for go into its field tagged `json:",embed"`, a
// map[string]any or map[string]json.RawMessage, or are left out.
func (c Claims) Decode(v any) error {
	raw, err := c.raw()
	if err != nil {
		return err
	}
	return decode(bytes.Clone(raw), v) // v may have methods that write into what they are given
}

func decode(raw []byte, v any) error {
	if err := jose.Unmarshal(raw, v); err != nil {
		return fmt.Errorf("accesstoken: the claims do not fit %T: %w", v, err)
	}
	return nil
}

// raw returns the JSON that the claims came from.
func (c Claims) raw() ([]byte, error) {
	raws, err := c.raws()
	if err != nil || len(raws) == 1 {
		return raws[0], err
	}
	return jose.Merge(raws[1], raws[0], c.granted), nil
}

// granted puts the scopes that both JWT and answer have in place of what either says,
// in the form in which it is said.
func (c Claims) granted(name, value string) string {
	switch {
	case name != "scope" && (name != "scp" || !c.facts.issuer.rules.scp):
		return value
	case value[0] != '[':
		return jose.Quote(c.facts.scope.String())
	}
	var list []string
	for scope := range c.facts.scope.All() {
		list = append(list, jose.Quote(scope))
	}
	return "[" + strings.Join(list, ",") + "]"
}

// raws returns the JSON objects that the claims came from, at least one: the answer
// first, which is newer than the JWT.
func (c Claims) raws() (raws [][]byte, err error) {
	if c.facts != nil && c.facts.answer() != nil {
		raws = append(raws, c.facts.answer())
	}
	if c.payload != nil {
		payload, err := base64.RawURLEncoding.DecodeString(unsafe.String(c.payload, c.facts.payload[1]-c.facts.payload[0]))
		if err != nil {
			return [][]byte{nil}, err // it was decoded before
		}
		raws = append(raws, payload)
	}
	if raws == nil {
		return [][]byte{nil}, errors.New("accesstoken: these claims come from no token; there is nothing to decode")
	}
	return raws, nil
}

// String names the issuer only: logs get no claims by accident.
func (c Claims) String() string { return fmt.Sprintf("accesstoken.Claims(issuer %q)", c.Issuer) }

// Format prints what String returns, under every verb.
func (c Claims) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, c.String()) }

// MarshalJSON returns what LogValue does: a structured log is full of JSON.
// What a response is to hold, its handler names.
func (c Claims) MarshalJSON() ([]byte, error) {
	return json.Marshal(map[string]string{"issuer": c.Issuer, "client_id": c.ClientID})
}

// LogValue returns issuer and client id. What else a log may hold is for its
// owner to say: log claims.Subject where that is wanted.
func (c Claims) LogValue() slog.Value {
	return slog.GroupValue(slog.String("issuer", c.Issuer), slog.String("client_id", c.ClientID))
}
