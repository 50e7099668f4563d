package accesstoken

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/accesstoken/accesstoken/internal/jose"
	"github.com/accesstoken/accesstoken/internal/shape"
)

// An Actor is the party that acts on behalf of the subject (act, RFC 8693 §4.1). If a
// member is absent, its field is empty.
type Actor struct {
	Issuer   string // iss; if it is absent, the actor is one of the token's own issuer
	Subject  string // sub
	ClientID string // client_id
}

// A Confirmation says what the token is bound to: a key, a client certificate, or
// both (cnf, RFC 7800). If a member is absent, its field is empty.
type Confirmation struct {
	KeyThumbprint         string // jkt: the RFC 7638 thumbprint of a DPoP key (RFC 9449 §6.1)
	CertificateThumbprint string // x5t#S256: of a client certificate (RFC 8705 §3.1)
}

// An AuthorizationDetail is one element of authorization_details, with the members
// that RFC 9396 §2 defines. [AuthorizationDetail.Decode] reads other members. If you
// do not know a Type, you should treat the element as granting nothing.
type AuthorizationDetail struct {
	Type       string   `json:"type"`       // what kind of authorization this is
	Identifier string   `json:"identifier"` // of one resource
	Locations  []string `json:"locations"`  // of the resources, usually URLs
	Actions    []string `json:"actions"`    // that are allowed there
	DataTypes  []string `json:"datatypes"`  // that are asked for
	Privileges []string `json:"privileges"` // levels or kinds of privilege

	raw    []byte
	voided []string // members that are there, but null or ""; set for policies only
}

// Decode reads all members into v, as [Claims.Decode] does.
func (d AuthorizationDetail) Decode(v any) error {
	if d.raw == nil {
		return errors.New("accesstoken: this authorization detail was not read from a token; there is nothing to decode")
	}
	return decode(bytes.Clone(d.raw), v)
}

// ClientItself reports whether the client acts for itself without a user, as with
// the client credentials grant. If so, Subject does not name a user, even if a user
// has the same name (RFC 9700 §4.15). The rules are those of RFC 9068 §2.2 and the
// Profile. False can also mean that the token does not say.
func (c Claims) ClientItself() bool { return c.facts != nil && c.facts.withoutUser }

// Actor returns the party that currently acts on behalf of the subject (act), or false
// if the token has no act. If act is malformed, or has more than 8 actors, Actor returns
// no name and true, because another party acts with the token all the same. Earlier
// actors are for information only; Decode reads them (RFC 8693 §4.1). Claims that say who
// may act, such as may_act, name no actor.
func (c Claims) Actor() (Actor, bool) {
	if c.facts == nil || !c.facts.delegated {
		return Actor{}, false
	}
	if c.facts.extras.actor == nil {
		return Actor{}, true
	}
	return Actor(*c.facts.extras.actor), true
}

// Confirmation returns what the token is bound to, or false if it is a bearer token.
// If the request was accepted, its sender has proved possession of the key, the
// certificate, or both.
func (c Claims) Confirmation() (Confirmation, bool) {
	if c.facts == nil || c.facts.extras == nil || !c.facts.extras.bound.Present {
		return Confirmation{}, false
	}
	return Confirmation{c.facts.extras.bound.KeyThumbprint, c.facts.extras.bound.CertificateThumbprint}, true
}

// AuthTime returns when the user authenticated (auth_time), or zero if the claim is
// absent or not a date.
func (c Claims) AuthTime() (when time.Time) {
	c.read("auth_time", func(value string) { when, _ = jose.NumericDate(value) })
	return when
}

// ACR returns the authentication context class (acr), or "" if the claim is absent
// or not a string.
func (c Claims) ACR() (class string) {
	c.read("acr", func(value string) { class, _ = jose.String(value) })
	return class
}

// AMR returns the authentication methods (amr), or nil if the claim is absent or not
// an array of strings.
func (c Claims) AMR() (methods []string) {
	c.read("amr", func(value string) {
		if list, ok := jose.Strings(value); ok {
			methods = list
		}
	})
	return methods
}

// Groups returns the groups of the subject, from the claim groups or where the
// Profile finds them. If the token has none there, Groups returns nil. The claim may
// be a string, or an array of strings and of objects with a string in value (RFC 9068
// §2.2.3.1, RFC 7643 §4.1.2). Groups returns an error if the claim has another form,
// or if _claim_names lists the claim. Its value is then elsewhere, usually because it
// is too long (OpenID Connect Core §5.6.2).
func (c Claims) Groups() ([]string, error) { return c.values(c.rules().Groups, "groups") }

// Roles returns the roles of the subject, as Groups does the groups. For Keycloak,
// these are the roles of the realm.
func (c Claims) Roles() ([]string, error) { return c.values(c.rules().Roles, "roles") }

// Entitlements returns the entitlements of the subject, as Groups does the groups.
func (c Claims) Entitlements() ([]string, error) {
	return c.values(c.rules().Entitlements, "entitlements")
}

// AuthorizationDetails returns what was authorized in detail (authorization_details,
// RFC 9396 §9.1), or nil if the claim is absent. If the claim is not an array of
// objects with a type each, or a member has the wrong type, it returns an error and
// no details.
func (c Claims) AuthorizationDetails() (details []AuthorizationDetail, err error) {
	c.read("authorization_details", func(value string) { details, err = detailsIn(value) })
	return details, err
}

func detailsIn(value string) ([]AuthorizationDetail, error) {
	elements, ok := jose.Elements(value)
	if !ok {
		return nil, errors.New("accesstoken: expected an array in authorization_details (RFC 9396 §2)")
	}
	details := make([]AuthorizationDetail, len(elements))
	for i, element := range elements {
		detail := AuthorizationDetail{raw: []byte(element)}
		if err := decode(detail.raw, &detail); err != nil {
			return nil, err
		}
		if detail.Type == "" {
			return nil, errors.New("accesstoken: expected a type in each object of authorization_details (RFC 9396 §2)")
		}
		details[i] = detail
	}
	return details, nil
}

func (c Claims) rules() *shape.Rules {
	if c.facts == nil {
		return RFC9068.rules()
	}
	return c.facts.issuer.rules
}

// read calls found with the JSON value of a claim, if the claim is present.
func (c Claims) read(claim string, found func(value string)) {
	if value := c.member(claim); value != "" {
		found(value)
	}
}

// member returns the JSON value of a claim, or "" if the claim is absent. If the
// answer about a JWT has null for the claim, the JWT's value counts, if there is one.
func (c Claims) member(claim string) (found string) {
	raws, err := c.raws()
	if err != nil {
		return ""
	}
	for _, raw := range raws {
		found = cmp.Or(memberIn(string(raw), claim), found)
		if found != "" && found != "null" {
			return found
		}
	}
	return found
}

// memberIn returns the JSON value of a member of an object in JSON that was read before,
// or "". If the JSON is not an object, it has no members.
func memberIn(object, name string) string {
	found := [1]string{}
	jose.Find(object, []string{name}, found[:])
	return found[0]
}

// textIn is memberIn for a string, without its quotes.
func textIn(payload, name string) string {
	text, _ := jose.String(memberIn(payload, name))
	return text
}

// values reads the list at the end of a path of members, or in the standard claim if
// path is nil.
func (c Claims) values(path []string, standard string) (values []string, err error) {
	if path == nil {
		path = []string{standard}
	}
	raw := c.member(path[0])
	if c.isLeftOut(path[0]) {
		return nil, fmt.Errorf("accesstoken: the issuer left out %q because it is too long (_claim_names); request it from the issuer", path[0])
	}
	ok := true
	for _, step := range path[1:] {
		ok = ok && (raw == "" || raw[0] == '{' || raw[0] == '[' && strings.Trim(step, "0123456789") == "")
		raw = jose.At(raw, []string{step})
	}
	values, isList := listOf(raw)
	if !ok || !isList {
		return nil, fmt.Errorf("accesstoken: expected strings, or objects with a value, in the claim %q", path[0])
	}
	return values, nil
}

// isLeftOut reports whether _claim_names lists the claim, so that its value is
// elsewhere.
func (c Claims) isLeftOut(claim string) (out bool) {
	c.read("_claim_names", func(names string) {
		out = memberIn(names, claim) != ""
	})
	return out
}

// listOf reads what RFC 7643 §2.4 calls a multi-valued attribute. A single string
// counts as a list of one, because some serializers write it so. Null and absent
// both mean an empty list (§2.5).
func listOf(value string) (list []string, ok bool) {
	if value == "" || value == "null" {
		return nil, true
	}
	if text, ok := jose.String(value); ok {
		return []string{text}, true
	}
	elements, ok := jose.Elements(value)
	for _, element := range elements {
		text, is := jose.String(element)
		if !is {
			text, is = jose.String(memberIn(element, "value"))
		}
		if !is {
			return nil, false
		}
		list = append(list, text)
	}
	return list, ok
}
