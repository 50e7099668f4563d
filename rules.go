package accesstoken

import (
	"reflect"

	"github.com/accesstoken/accesstoken/dialect"
	"github.com/accesstoken/accesstoken/internal/shape"
)

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
