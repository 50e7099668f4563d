package accesstoken

import (
	"context"
	"crypto"
	"strings"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/accesstoken/accesstoken/internal/jose"
	"github.com/accesstoken/accesstoken/scopes"
)

// facts are what was verified about one token. They never say whether a
// request may pass: that is judged anew each time. A hundred thousand of them
// may be in memory.
type facts struct {
	issuer    *issuer
	subject   string
	clientID  string
	id        string
	audience  []string
	scope     scopes.Set
	implied   scopes.Set // scope, and what Config.ScopeImplies adds
	expiry    time.Time  // zero when an introspection answer has none
	issuedAt  time.Time
	notBefore time.Time

	header      *jose.Header     // of a JWT; nil for an introspected token
	key         crypto.PublicKey // that signed
	generation  atomic.Uint64    // of the key source when the key was last seen in it
	payload     [2]uint16        // where it begins and ends in the token
	withoutUser bool             // the client acts for itself

	rare *rare // nil: the token has nothing of it
}

// rare is what few tokens have.
type rare struct {
	bound  jose.Confirmation
	isDPoP bool        // an introspection answer says that it is a DPoP token
	actor  *jose.Actor // nil: nobody acts for the subject
	answer []byte      // of an introspection, for Decode

	// Of a JWT whose issuer is always asked.
	whole joined // nil: it has not been asked yet
	size  int    // of the facts themselves
}

// newFacts takes over what a token claims, or the answer about it.
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
	}
	if claims.Confirmation.Present || isDPoP(claims.TokenType) || claims.Actor != nil || answer != nil || i.settings.AlwaysIntrospect {
		f.rare = &rare{bound: claims.Confirmation, isDPoP: isDPoP(claims.TokenType), actor: claims.Actor, answer: answer}
	}
	return f
}

// isDPoP reports a token_type of tokens that are bound to a key (RFC 9449 §5).
func isDPoP(tokenType string) bool { return strings.EqualFold(tokenType, "DPoP") }

// claims hands the facts on. The request's own token serves Decode, so that no
// second copy of the payload is kept.
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

// keyHolds reports whether the key that signed is still published. What was
// verified on the strength of a withdrawn key is worth nothing.
func (f *facts) keyHolds(ctx context.Context) (bool, error) {
	keys, generation, err := f.issuer.keys.Keys(ctx, f.header.KeyID, f.header.Algorithm)
	if err != nil {
		return false, keysRefusal(ctx, err)
	}
	if generation != 0 && generation == f.generation.Load() {
		return true, nil
	}
	if !jose.Contains(keys, f.key) {
		return false, nil
	}
	f.generation.Store(generation)
	return true, nil
}

// acceptAge refuses a token that is older, or lives longer, than the issuer's
// tokens may. One that does not say how old it is does not get around that.
func (f *facts) acceptAge(now time.Time, leeway time.Duration) error {
	oldest, longest := f.issuer.settings.MaxAge, f.issuer.settings.MaxLifetime
	switch {
	case oldest == 0 && longest == 0:
		return nil
	case !f.isPartial() && (f.issuedAt.IsZero() || longest > 0 && f.expiry.IsZero()):
		return refusal(ClaimInvalid, "iat or exp is missing, and MaxAge or MaxLifetime is set")
	case f.issuedAt.IsZero():
		return nil // the answer may say it
	case oldest > 0 && now.Sub(f.issuedAt)-leeway > oldest:
		return refusal(ClaimInvalid, "the token is older than MaxAge")
	case longest > 0 && f.expiry.Sub(f.issuedAt) > longest: // a zero exp is long ago
		return refusal(ClaimInvalid, "the token lives longer than MaxLifetime")
	}
	return nil
}

// binding returns what the token is bound to, and whether an introspection answer
// calls it a DPoP token.
func (f *facts) binding() (bound jose.Confirmation, isDPoP bool) {
	if f.rare == nil {
		return bound, false
	}
	return f.rare.bound, f.rare.isDPoP
}

// answer returns the introspection answer that the facts come from, or that has
// completed them; nil if they are a JWT's alone.
func (f *facts) answer() []byte {
	if f.rare == nil {
		return nil
	}
	return f.rare.answer
}

// isPartial reports facts of a JWT that its issuer has yet to be asked about
// (Issuer.AlwaysIntrospect). What the JWT leaves out, the answer may say.
func (f *facts) isPartial() bool {
	return f.issuer.settings.AlwaysIntrospect && f.header != nil && f.answer() == nil
}

// acceptAudience judges aud, unless it is up to the answer.
func (f *facts) acceptAudience() error {
	undecided := f.audience == nil || len(f.audience) == 0 && f.issuer.rules.emptyAudience
	if undecided && f.isPartial() {
		return nil
	}
	return f.issuer.acceptAudience(f.audience)
}

// isBound reports whether the token is of use only to the one it is bound to.
func (f *facts) isBound() bool {
	bound, _ := f.binding()
	return bound.KeyThumbprint != "" || bound.CertificateThumbprint != ""
}

// each calls do for every text that is the token's own.
func (f *facts) each(do func(text *string)) {
	do(&f.subject)
	do(&f.id)
	if f.rare == nil {
		return
	}
	do(&f.rare.bound.KeyThumbprint)
	do(&f.rare.bound.CertificateThumbprint)
	if f.rare.actor != nil {
		do(&f.rare.actor.Issuer)
		do(&f.rare.actor.Subject)
		do(&f.rare.actor.ClientID)
	}
}

// sizeOfFacts is the size of the struct in bytes, and of its entry in the cache.
const sizeOfFacts = 340

// compact copies what is kept out of the payload, all of which would be kept
// with it, and returns the size of the facts in bytes, roughly. Nobody else has
// them yet.
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
	if f.rare != nil {
		size += 180
		f.rare.size = size
	}
	return size
}
