package accesstoken

import (
	"reflect"
	"slices"
	"sync"

	"github.com/accesstoken/accesstoken/dialect"
	"github.com/accesstoken/accesstoken/internal/shape"
)

// profileRules compiles the dialects of the profiles once, when the first is needed.
var profileRules = sync.OnceValue(func() map[Profile]*shape.Rules {
	compiled := map[Profile]*shape.Rules{}
	for p, d := range dialects {
		compiled[p], _ = shape.Compile(p.spec(d)) // no faults, as a test shows
	}
	return compiled
})

// rules returns what tokens of the profile are judged by, or nil for an unknown profile.
func (p Profile) rules() *shape.Rules { return profileRules()[p] }

// spec returns the dialect of a profile, with what no Dialect can say.
func (p Profile) spec(d *dialect.Dialect) shape.Spec {
	spec := d.Spec()
	spec.IsProfile = true
	spec.EmptyAudience = p == Hydra
	spec.BareIssuer = p == Google
	switch {
	case p.demandsClients():
		spec.Lists = "a client among Issuer.Clients"
	case p == CI:
		spec.Lists = "what Issuer.Demand says"
	}
	return spec
}

// demandsClients reports whether Issuer.Clients must be set.
func (p Profile) demandsClients() bool { return p == Cognito || p == Google }

// namesNoClient reports whether the tokens never name a client.
func (p Profile) namesNoClient() bool { return p == Kubernetes || p == CI }

// profile returns the profile by which the tokens are judged. A Dialect that equals
// that of a profile stands for it. It returns false for any other Dialect.
func (i Issuer) profile() (Profile, bool) {
	if i.Dialect == nil {
		return i.Profile, true
	}
	for p, d := range dialects {
		if reflect.DeepEqual(d, i.Dialect) {
			return p, true
		}
	}
	return 0, false
}

// rules returns what the issuer's tokens are judged by, and what is wrong with its
// Dialect. For an unknown profile, these are the rules of RFC 9068.
func (i Issuer) rules() (*shape.Rules, []string) {
	p, isProfile := i.profile()
	switch {
	case !isProfile:
		return shape.Compile(i.Dialect.Spec())
	case i.Relax != (Relax{}) && p == RFC9068:
		return shape.Compile(p.spec(i.Relax.dialect()))
	case p.rules() == nil:
		return RFC9068.rules(), nil
	}
	return p.rules(), nil
}

// is reports whether the tokens are judged by a profile.
func (i *issuer) is(p Profile) bool {
	profile, ok := i.settings.profile()
	return ok && profile == p
}

// dialect returns the dialect RFC9068 without what the fields drop.
func (r Relax) dialect() *dialect.Dialect {
	d := &dialect.Dialect{Name: RFC9068.name(), ScopeArray: r.ScopeArray}
	if r.Typ {
		d.Types = []string{"at+jwt", "jwt", ""}
	}
	if r.JTI {
		d.Optional = append(d.Optional, "jti")
	}
	if r.ClientID {
		d.Optional = append(d.Optional, "client_id")
	}
	return d
}

func cloneDialect(d *dialect.Dialect) *dialect.Dialect {
	if d == nil {
		return nil
	}
	c := *d
	c.Types, c.Client, c.Scope, c.Optional = slices.Clone(d.Types), slices.Clone(d.Client), slices.Clone(d.Scope), slices.Clone(d.Optional)
	c.Kind, c.Machine = slices.Clone(d.Kind), slices.Clone(d.Machine)
	return &c
}

// refuse turns what is wrong with a token into a refusal. If the issuer has neither a
// profile nor a dialect, it adds the advice that another profile, or a field of Relax,
// may accept the token.
func (i *issuer) refuse(fault *shape.Fault) *Error {
	if fault == nil {
		return nil
	}
	reason := ClaimInvalid
	if fault.IsOtherKind {
		reason = TokenTypeMismatch
	}
	refused := refusal(reason, fault.Text)
	if !fault.MayDepart || !i.is(RFC9068) {
		return refused
	}
	refused.advice = "if it is an ID token, the client should send its access token instead; if this issuer does not follow RFC 9068, " +
		"set its Profile (for ZITADEL, accesstoken.Zitadel)"
	if fault.Relax != "" {
		refused.advice += ", or Relax: accesstoken.Relax{" + fault.Relax + ": true}"
	}
	return refused
}
