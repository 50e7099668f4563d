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

// Claims say who is calling. They are a value, so a handler can change its copy, and
// no other request sees the change.
//
// A user is identified by Issuer and Subject together, never by Subject alone (RFC
// 7519 §4.1.2). If [Claims.ClientItself] returns true, Subject is no user. If it returns
// false, the token may be a user's, or may not say.
//
// Claims are untrusted input, so you should escape or check them before you use them
// in SQL, paths or logs.
type Claims struct {
	_        [0]func()
	Issuer   string    // iss, in the spelling of Issuer.URL, with the tenant in place of {tenantid}; or Identity.Issuer
	Subject  string    // sub; empty if an introspection answer has none, or the profile lets it be absent
	ClientID string    // client_id, or the profile's claim for it; empty if an introspection answer has none, or the profile or Relax lets it be absent
	ID       string    // jti, or the profile's claim for it; empty if an introspection answer has none, or the profile or Relax lets it be absent
	Expiry   time.Time // exp; zero if an introspection answer has none
	IssuedAt time.Time // iat; zero if an introspection answer has none

	facts   *facts
	payload *byte // of the request's own token, in base64url; nil for an opaque token
}

// End returns when the token stops being accepted at the latest: exp or, if earlier,
// iat + Issuer.MaxAge, plus Config.Leeway. If the token has no exp, as introspected
// ones may, only MaxAge counts, and without it End returns zero. If a stream or a
// socket outlives the request, you should end the stream or socket then.
func (c Claims) End() time.Time {
	if c.facts == nil {
		return c.Expiry
	}
	end := c.Expiry
	if oldest := c.facts.issuer.settings().MaxAge; oldest > 0 && !c.IssuedAt.IsZero() {
		if last := c.IssuedAt.Add(oldest); end.IsZero() || last.Before(end) {
			end = last
		}
	}
	if end.IsZero() {
		return end
	}
	return end.Add(c.facts.issuer.leeway)
}

// issuer returns the issuer of the claims, or nil.
func (c Claims) issuer() *issuer {
	if c.facts == nil {
		return nil
	}
	return c.facts.issuer
}

// Scopes returns the granted scopes. If the token has no scope claim, the set is
// empty.
func (c Claims) Scopes() scopes.Set {
	if c.facts == nil {
		return scopes.Set{}
	}
	return c.facts.scope
}

// Audience returns a copy of aud, the resource servers that the token is for.
func (c Claims) Audience() []string {
	if c.facts == nil {
		return nil
	}
	return slices.Clone(c.facts.audience)
}

// Decode reads all claims of the token, all members of the introspection answer, or
// Identity.Payload into v, a pointer to a struct or a map. For a JWT with Issuer.AlwaysIntrospect it
// reads both. If both have a member, the answer's value is used unless it is null,
// but the scopes are those that both have. Names match exactly, also in their case.
// Numbers stay exact: in an any they are a [json.Number]. If v has no place for a
// member, the member goes into the field tagged `json:",embed"`, a map[string]any or
// map[string]json.RawMessage, or is left out.
func (c Claims) Decode(v any) error {
	raw, err := c.raw()
	if err != nil {
		return err
	}
	return decode(bytes.Clone(raw), v) // methods of v may write into their input
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

// granted returns the granted scopes in place of the value of a scope claim, as a
// string or an array as before. It returns any other value unchanged.
func (c Claims) granted(name, value string) string {
	switch {
	case !c.facts.issuer.rules.IsScope(name):
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

// raws returns the JSON objects that the claims came from, or an error and one nil.
// The answer is first because it is newer than the JWT.
func (c Claims) raws() (raws [][]byte, err error) {
	if c.facts != nil && c.facts.answer() != nil {
		raws = append(raws, c.facts.answer())
	}
	if c.payload != nil {
		payload, err := base64.RawURLEncoding.DecodeString(unsafe.String(c.payload, c.facts.payload[1]-c.facts.payload[0]))
		if err != nil {
			return [][]byte{nil}, err // never happens: it was decoded before
		}
		raws = append(raws, payload)
	}
	if raws == nil {
		return [][]byte{nil}, errors.New("accesstoken: these claims were not read from a token; there is nothing to decode")
	}
	return raws, nil
}

// String names only the issuer, so that logs get no claims by accident.
func (c Claims) String() string { return fmt.Sprintf("accesstoken.Claims(issuer %q)", c.Issuer) }

// Format prints the text of String under every verb.
func (c Claims) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, c.String()) }

// MarshalJSON returns the same members as LogValue, because many structured logs are
// JSON. If a response needs claims, its handler should name them one by one.
func (c Claims) MarshalJSON() ([]byte, error) {
	return json.Marshal(map[string]string{"issuer": c.Issuer, "client_id": c.ClientID})
}

// LogValue returns issuer and client id. If a log should have more, pass it
// explicitly, for example claims.Subject.
func (c Claims) LogValue() slog.Value {
	return slog.GroupValue(slog.String("issuer", c.Issuer), slog.String("client_id", c.ClientID))
}

// claims returns the facts as Claims. For a JWT, Decode reads the request's own
// token, so no second copy of the payload is kept.
func (f *facts) claims(token string) Claims {
	if f == nil {
		return Claims{}
	}
	c := Claims{
		Issuer:   f.issuer.url,
		Subject:  f.subject,
		ClientID: f.clientID,
		ID:       f.id,
		Expiry:   f.expiry,
		IssuedAt: f.issuedAt,
		facts:    f,
	}
	if f.header != nil {
		c.payload = unsafe.StringData(token[f.payload[0]:f.payload[1]])
	}
	return c
}
