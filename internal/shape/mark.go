package shape

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"unicode/utf8"
)

// A Mark is one demand on a token. It is kept as text, so that marks compare by ==. Two
// marks are equal if they were made from equal arguments.
type Mark struct{ text string }

// The first element of a mark's text says what the mark demands.
const (
	opHas     = "has"     // these claims, none of them null
	opWithout = "without" // none of these claims
	opIs      = "is"      // a claim with one of these values
	opPrefix  = "prefix"  // a claim that is a string with this prefix
	opAnyOf   = "any"     // one of these marks
	opBeyond  = "beyond"  // an aud that names more than the client
	opFault   = "fault"   // arguments that make no mark

	// These are for built-in profiles only.
	opGrant   = "grant"   // of Entra ID
	opAccount = "account" // of Kubernetes
	opClient  = "client"  // sub is the client, with a suffix
)

// Has is [dialect.Has].
func Has(claims ...string) Mark { return ofClaims(opHas, claims) }

// Without is [dialect.Without].
func Without(claims ...string) Mark { return ofClaims(opWithout, claims) }

// Is is [dialect.Is].
func Is(claim string, values ...any) Mark {
	if !utf8.ValidString(claim) {
		return fault("a claim's name is not valid UTF-8")
	}
	elements := []any{opIs, claim}
	for _, value := range values {
		switch v := reflect.ValueOf(value); {
		case v.Kind() == reflect.String && utf8.ValidString(v.String()):
			elements = append(elements, v.String())
		case v.Kind() == reflect.Bool:
			elements = append(elements, v.Bool())
		case v.CanInt():
			elements = append(elements, v.Int())
		case v.CanUint():
			elements = append(elements, v.Uint())
		default:
			return fault(fmt.Sprintf("Is(%q) has a value of type %T; expected a string, a bool or an integer", claim, value))
		}
	}
	return mark(elements...)
}

// HasPrefix is [dialect.HasPrefix].
func HasPrefix(claim, prefix string) Mark {
	if !utf8.ValidString(claim) || !utf8.ValidString(prefix) {
		return fault("a claim's name or prefix is not valid UTF-8")
	}
	return mark(opPrefix, claim, prefix)
}

// AnyOf is [dialect.AnyOf].
func AnyOf(marks ...Mark) Mark {
	elements := []any{opAnyOf}
	for _, m := range marks {
		switch {
		case m.text == "":
			m = fault("a Mark is empty; make it with a function of package dialect")
		case strings.HasPrefix(m.text, `["`+opAnyOf+`"`): // each level would be read again for each one above it
			m = fault("AnyOf is within AnyOf; list all the marks in one AnyOf")
		}
		elements = append(elements, json.RawMessage(m.text))
	}
	return mark(elements...)
}

// AudienceBeyondClient is [dialect.AudienceBeyondClient].
func AudienceBeyondClient() Mark { return mark(opBeyond) }

// Grant demands what access tokens of Entra ID have: scopes or, in a token for an
// application, roles. It also refuses tokens for Microsoft Graph by their header, which
// has a nonce.
func Grant() Mark { return mark(opGrant) }

// ServiceAccount demands a sub that names a service account of Kubernetes.
func ServiceAccount() Mark { return mark(opAccount) }

// SubjectIsClient demands a sub that is the client, perhaps followed by the suffix. If
// user is not empty, it is a claim that only tokens for a user have.
func SubjectIsClient(suffix, user string) Mark { return mark(opClient, suffix, user) }

func ofClaims(op string, claims []string) Mark {
	elements := []any{op}
	for _, claim := range claims {
		if !utf8.ValidString(claim) {
			return fault("a claim's name is not valid UTF-8")
		}
		elements = append(elements, claim)
	}
	return mark(elements...)
}

func fault(text string) Mark { return mark(opFault, text) }

func mark(elements ...any) Mark {
	text, err := json.Marshal(elements)
	if err != nil {
		panic(err) // never happens: the elements are strings, integers, bools and other marks
	}
	return Mark{string(text)}
}

// String describes the mark, for example "ver 1", "no azp" or "typ Bearer or DPoP in the
// payload".
func (m Mark) String() string {
	n := nodeOf(m)
	return n.phrase()
}
