package accesstoken

import (
	"crypto"
	"strings"
	"sync/atomic"
	"time"

	"github.com/accesstoken/accesstoken/internal/jose"
	"github.com/accesstoken/accesstoken/scopes"
)

// facts are what was verified about one token. They never say whether a request may
// pass, because that is decided anew each time. A hundred thousand of them may be in
// memory.
type facts struct {
	issuer    *issuer
	subject   string
	clientID  string
	id        string
	audience  []string
	scope     scopes.Set
	implied   scopes.Set // scope, and what Config.ScopeImplies adds
	expiry    time.Time  // zero if an introspection answer has none
	issuedAt  time.Time
	notBefore time.Time

	header      *jose.Header     // of a JWT; nil for an opaque token
	key         crypto.PublicKey // that verified the signature
	generation  atomic.Uint64    // of the key source when it last had the key
	payload     [2]uint16        // where it begins and ends in the token
	withoutUser bool             // the client acts for itself
	delegated   bool             // another party acts for the subject; then there are extras

	login   *jose.Login           // acr, auth_time and amr; nil if the token has none of them
	details *authorizationDetails // nil if the token has none
	extras  *extras               // nil if the token has no such facts
}

// extras are facts that few tokens have.
type extras struct {
	bound  jose.Confirmation
	isDPoP bool        // token_type says that the token is a DPoP token
	actor  *jose.Actor // nil if no actor is named, or act cannot be read
	answer []byte      // the introspection answer, for Decode
	also   []string    // aud of the answer, if the JWT may have one too; nil if it has none

	// For a JWT whose issuer has AlwaysIntrospect.
	whole joined // nil until the issuer was asked
	size  int    // of the JWT's own facts, in bytes
}

// newFacts makes the facts of a token, or of the introspection answer about it.
func newFacts(i *issuer, claims *jose.Claims, answer []byte) *facts {
	granted := scopes.Parse(textOf(claims.Scope))
	f := &facts{
		issuer:    i,
		subject:   claims.Subject,
		clientID:  claims.ClientID,
		id:        claims.ID,
		audience:  claims.Audience,
		scope:     granted,
		implied:   i.hierarchy.widen(granted),
		expiry:    claims.Expiry,
		issuedAt:  claims.IssuedAt,
		notBefore: claims.NotBefore,
		delegated: claims.Delegated,
	}
	f.addPrivate(claims)
	if claims.Confirmation.Present || isDPoP(claims.TokenType) || claims.Delegated || answer != nil || i.settings().AlwaysIntrospect {
		f.extras = &extras{bound: claims.Confirmation, isDPoP: isDPoP(claims.TokenType), actor: claims.Actor, answer: answer}
	}
	return f
}

// addPrivate adds the claims that only policies read.
func (f *facts) addPrivate(claims *jose.Claims) {
	if claims.Login.IsThere {
		login := claims.Login
		f.login = &login
	}
	if claims.Details > 0 {
		f.details = &authorizationDetails{size: claims.Details}
	}
}

// isDPoP reports whether a token_type says that the token is bound to a key (RFC
// 9449 §5).
func isDPoP(tokenType string) bool { return strings.EqualFold(tokenType, "DPoP") }

// binding returns what the token is bound to, and whether token_type calls it a DPoP
// token.
func (f *facts) binding() (bound jose.Confirmation, isDPoP bool) {
	if f.extras == nil {
		return bound, false
	}
	return f.extras.bound, f.extras.isDPoP
}

// answer returns the introspection answer that the facts come from or are completed
// with, or nil if they come from a JWT alone.
func (f *facts) answer() []byte {
	if f.extras == nil {
		return nil
	}
	return f.extras.answer
}

// isPartial reports facts of a JWT whose issuer must still be asked
// (AlwaysIntrospect). If the JWT lacks a claim, the answer may have it.
func (f *facts) isPartial() bool {
	return f.issuer.settings().AlwaysIntrospect && f.header != nil && f.answer() == nil
}

// isBound reports whether only the holder of a key or a certificate can use the
// token.
func (f *facts) isBound() bool {
	bound, _ := f.binding()
	return bound.KeyThumbprint != "" || bound.CertificateThumbprint != ""
}

// each calls do for every text that compact must copy and cannot share with other
// tokens.
func (f *facts) each(do func(text *string)) {
	do(&f.subject)
	do(&f.id)
	if f.extras == nil {
		return
	}
	do(&f.extras.bound.KeyThumbprint)
	do(&f.extras.bound.CertificateThumbprint)
	if f.extras.actor != nil {
		do(&f.extras.actor.Issuer)
		do(&f.extras.actor.Subject)
		do(&f.extras.actor.ClientID)
	}
}

// sizeOfFacts is about the size in bytes of the struct and of its entry in the
// cache.
const sizeOfFacts = 356

// compact replaces the texts of f with copies, some shared with other tokens,
// because a substring would keep the whole payload alive. It returns the approximate
// size of the facts in bytes. Call it before other goroutines have the facts.
func (f *facts) compact(s *shared) (size int) {
	length := 0
	f.each(func(text *string) { length += len(*text) })
	var all strings.Builder
	all.Grow(length)
	f.each(func(text *string) { all.WriteString(*text) })
	rest := all.String()
	f.each(func(text *string) { *text, rest = rest[:len(*text)], rest[len(*text):] })

	same := f.implied == f.scope
	scope, ofScope := s.text(f.scope.String())
	implied, ofImplied := scope, 0
	if !same {
		implied, ofImplied = s.text(f.implied.String())
	}
	f.scope, f.implied = scopes.Parse(scope), scopes.Parse(implied)
	var ofClient, ofAudience int
	f.clientID, ofClient = s.text(f.clientID)
	f.audience, ofAudience = s.list(f.audience)
	size = sizeOfFacts + length + ofScope + ofImplied + ofClient + ofAudience
	if f.login != nil {
		var ofClass, ofMethods int
		f.login.Class, ofClass = s.text(f.login.Class)
		f.login.Methods, ofMethods = s.list(f.login.Methods)
		size += 80 + ofClass + ofMethods
	}
	if f.details != nil {
		size += 4 * f.details.size // about what they take once they are read
	}
	if f.extras != nil {
		var ofAlso int
		f.extras.also, ofAlso = s.list(f.extras.also)
		size += 200 + ofAlso
		f.extras.size = size
	}
	return size
}

// textOf returns a scope claim as the text of RFC 6749 §3.3.
func textOf(scope jose.Scope) string {
	if scope.List != nil {
		return strings.Join(scope.List, " ")
	}
	return scope.Text
}

// A joined pointer holds the facts of a JWT joined with the last answer about it.
// While the answer stays the same, nothing is read again.
type joined = atomic.Pointer[facts]

// authorizationDetails are those of a token. They are read once, if a policy asks for them.
type authorizationDetails struct {
	size int          // of the claims that have them, in bytes
	read atomic.Value // a *readDetails
}
