package dialect_test

import (
	"testing"

	"github.com/accesstoken/accesstoken/dialect"
)

func TestMarksPrintWhatTheyDemand(t *testing.T) {
	for _, test := range []struct {
		mark dialect.Mark
		want string
	}{
		{dialect.Has("sid"), "sid"},
		{dialect.Has("firebase", "auth_time"), "firebase and auth_time"},
		{dialect.Without("at_hash", "c_hash", "nonce"), "no at_hash, c_hash or nonce"},
		{dialect.Is("v", 2), "v 2"},
		{dialect.Is("ver", "2.0", "access token"), `ver "2.0" or "access token"`},
		{dialect.Is("typ", "Bearer", "DPoP"), "typ Bearer or DPoP in the payload"},
		{dialect.Is("/realm/enabled", true), "realm.enabled true"},
		{dialect.HasPrefix("sub", "spiffe://example.org/"), "sub that begins with spiffe://example.org/"},
		{dialect.AnyOf(dialect.Has("scp"), dialect.Is("v", 2)), "scp or v 2"},
		{dialect.AnyOf(dialect.Without("email"), dialect.Is("email_verified", true)), "email_verified beside email"},
		{dialect.AudienceBeyondClient(), "an aud that names more than the client"},
		{dialect.Mark{}, "a Mark is empty; make it with a function of package dialect"},
	} {
		if got := test.mark.String(); got != test.want {
			t.Errorf("got %s; want %s", got, test.want)
		}
	}
}

func TestMarksCompare(t *testing.T) {
	type revision int
	for name, test := range map[string]struct {
		a, b  dialect.Mark
		equal bool
	}{
		"the same arguments":           {dialect.Is("v", 2), dialect.Is("v", 2), true},
		"integers of different types":  {dialect.Is("v", 2), dialect.Is("v", uint8(2)), true},
		"an integer of a type of ours": {dialect.Is("v", 2), dialect.Is("v", revision(2)), true},
		"a number and a string":        {dialect.Is("v", 2), dialect.Is("v", "2"), false},
		"a bool and a string":          {dialect.Is("v", true), dialect.Is("v", "true"), false},
		"claims in another order":      {dialect.Has("a", "b"), dialect.Has("b", "a"), false},
		"one claim and two":            {dialect.Has("a,b"), dialect.Has("a", "b"), false},
		"nested marks":                 {dialect.AnyOf(dialect.Has("a"), dialect.Without("b")), dialect.AnyOf(dialect.Has("a"), dialect.Without("b")), true},
		"a name that looks like JSON":  {dialect.Has(`a","b`), dialect.Has("a", "b"), false},
	} {
		if got := test.a == test.b; got != test.equal {
			t.Errorf("%s: got %v; want %v", name, got, test.equal)
		}
	}
}

func TestADialectPrintsItself(t *testing.T) {
	clerk := &dialect.Dialect{
		Name: "Clerk", Types: []string{"jwt"}, Client: []string{"azp"}, Optional: []string{"jti", "aud"},
		Kind: []dialect.Mark{dialect.Is("v", 2), dialect.Has("sid")},
	}
	for _, test := range []struct {
		dialect *dialect.Dialect
		want    string
	}{
		{new(dialect.Dialect), "the dialect relaxes nothing"},
		{clerk, "Clerk relaxes: typ is jwt; the client is in azp; the token's id may be absent; aud may be absent. " +
			"It demands: no at_hash, c_hash, s_hash or events; v 2; sid; a client among Issuer.Clients"},
		{&dialect.Dialect{Name: "X", Types: []string{"JWT", ""}, Tenant: "org", Optional: []string{"iat"}}, "X relaxes: typ is jwt; typ may be absent; iat may be absent. " +
			"It demands: no nonce; no at_hash, c_hash, s_hash or events; an aud that does not name the client; org of the issuer's tenant"},
		{&dialect.Dialect{Name: "X", IDTokens: true}, "X relaxes: ID tokens are accepted as credentials. It demands: no events; a client among Issuer.Clients, or what Issuer.Demand says"},
		{&dialect.Dialect{Name: "X", ScopeArray: true}, "X relaxes: the scopes may be an array. It demands: no nonce; no at_hash, c_hash, s_hash or events"},
	} {
		if got := test.dialect.String(); got != test.want {
			t.Errorf("got %s; want %s", got, test.want)
		}
	}
}
