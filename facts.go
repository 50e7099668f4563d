package accesstoken

import (
	"context"
	"crypto"
	"strings"
	"sync/atomic"
	"time"

	"github.com/accesstoken/accesstoken/internal/jose"
	"github.com/accesstoken/accesstoken/scopes"
)

// facts are what was verified about one token. They never say whether a
// request may pass: that is judged anew each time.
type facts struct {
	issuer     *issuer
	iss        string
	subject    string
	clientID   string
	id         string
	audience   []string
	scope      scopes.Set
	implied    scopes.Set // scope, and what Config.ScopeImplies adds
	expiry     time.Time  // zero when an introspection answer has none
	issuedAt   time.Time
	notBefore  time.Time
	bound      jose.Confirmation
	isDPoP     bool             // an introspection answer says that it is a DPoP token
	actor      *jose.Actor      // nil: nobody acts for the subject
	answer     []byte           // of an introspection, for Decode
	key        crypto.PublicKey // that signed; nil for an introspected token
	keyID, alg string
	generation atomic.Uint64 // of the key source when the key was last seen in it

	withoutUser bool // the client acts for itself
}

func newFacts(i *issuer, claims jose.Claims) *facts {
	scope := claims.Scope.Text
	if claims.Scope.List != nil {
		scope = strings.Join(claims.Scope.List, " ")
	}
	granted := scopes.Parse(scope)
	return &facts{
		issuer:    i,
		iss:       claims.Issuer,
		subject:   claims.Subject,
		clientID:  claims.ClientID,
		id:        claims.ID,
		audience:  claims.Audience,
		scope:     granted,
		implied:   i.hierarchy.widen(granted),
		expiry:    claims.Expiry,
		issuedAt:  claims.IssuedAt,
		notBefore: claims.NotBefore,
		bound:     claims.Confirmation,
		isDPoP:    strings.EqualFold(claims.TokenType, "DPoP"),
		actor:     claims.Actor,
	}
}

// claims hands the facts on. The request's own token serves Decode, so that no
// second copy of the payload is kept.
func (f *facts) claims(token string) Claims {
	c := Claims{
		Issuer:   f.iss,
		Subject:  f.subject,
		ClientID: f.clientID,
		ID:       f.id,
		Expiry:   f.expiry,
		IssuedAt: f.issuedAt,
		facts:    f,
	}
	if f.key != nil {
		_, rest, _ := strings.Cut(token, ".")
		c.payload, _, _ = strings.Cut(rest, ".")
	}
	return c
}

// keyHolds reports whether the key that signed is still published. What was
// verified on the strength of a withdrawn key is worth nothing.
func (f *facts) keyHolds(ctx context.Context) (bool, error) {
	keys, generation, err := f.issuer.keys.Keys(ctx, f.keyID, f.alg)
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
	case f.issuedAt.IsZero() || longest > 0 && f.expiry.IsZero():
		return refusal(ClaimInvalid, "iat or exp is missing, and MaxAge or MaxLifetime is set")
	case oldest > 0 && now.Sub(f.issuedAt)-leeway > oldest:
		return refusal(ClaimInvalid, "the token is older than MaxAge")
	case longest > 0 && f.expiry.Sub(f.issuedAt) > longest:
		return refusal(ClaimInvalid, "the token lives longer than MaxLifetime")
	}
	return nil
}

// acceptBinding refuses what is bound to a key: nothing here can check a proof
// of possession, and a bound token without one is a stolen one (RFC 9449 §7.2,
// RFC 8705 §3). A cnf that nobody understands is refused as well; RFC 7800 §3.1
// would have it ignored, which turns a bound token into a bearer token.
func (f *facts) acceptBinding() error {
	switch {
	case f.isDPoP || f.bound.KeyThumbprint != "":
		return refusal(BindingRequired, "the token is bound to a DPoP key, and was sent as a bearer token")
	case !f.bound.Present:
		return nil
	case f.bound.CertificateThumbprint != "":
		return refusal(BindingMismatch, "the token is bound to a client certificate, and none was presented")
	}
	return refusal(BindingRequired, "the token's cnf has no member that can be checked")
}

// size estimates the facts' weight in the cache, in bytes.
func (f *facts) size() int {
	const itself = 460 // the struct, its key in the cache and the cache's own entry
	size := itself + len(f.iss) + len(f.subject) + len(f.clientID) + len(f.id) + len(f.scope.String()) + len(f.keyID)
	if f.implied != f.scope {
		size += len(f.implied.String())
	}
	if f.actor != nil {
		size += 48 + len(f.actor.Issuer) + len(f.actor.Subject) + len(f.actor.ClientID)
	}
	for _, audience := range f.audience {
		size += 16 + len(audience)
	}
	return size
}
