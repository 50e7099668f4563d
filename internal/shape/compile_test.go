package shape_test

import (
	"strings"
	"testing"

	"github.com/accesstoken/accesstoken/internal/shape"
)

// What a dialect demands in return for what it relaxes, in the words of String.
func TestWhatADialectDemandsInReturn(t *testing.T) {
	const (
		others    = "no at_hash, c_hash, s_hash or events"
		notClient = "an aud that does not name the client"
	)
	jwt := []string{"jwt"}
	for _, test := range []struct {
		spec   shape.Spec
		demand string
		marked bool
	}{
		{shape.Spec{}, "", true},
		{shape.Spec{Types: []string{"at+jwt"}}, "no nonce; " + others, true},
		{shape.Spec{Client: []string{"azp"}}, "no nonce; " + others, true},
		{shape.Spec{Scope: []string{"scp"}}, "no nonce; " + others, true},
		{shape.Spec{ScopeArray: true}, "no nonce; " + others, true},
		{shape.Spec{ID: "uti"}, "no nonce; " + others, true},
		{shape.Spec{Optional: []string{"jti"}}, "no nonce; " + others, true},
		{shape.Spec{Groups: "/a/b"}, "", true},
		{shape.Spec{Types: jwt}, "no nonce; " + others + "; " + notClient, false},
		{shape.Spec{Types: []string{""}}, "no nonce; " + others + "; " + notClient, false},
		{shape.Spec{Types: []string{"at+jwt", "jwt"}}, "no nonce; " + others + "; " + notClient, false},
		{shape.Spec{Types: jwt, Kind: []shape.Mark{shape.Has("v")}}, others + "; v", true},
		{shape.Spec{Types: jwt, Kind: []shape.Mark{shape.HasPrefix("v", "a")}}, others + "; v that begins with a", true},
		{shape.Spec{Types: jwt, Kind: []shape.Mark{shape.Is("v", 1)}}, others + "; v 1", true},
		{shape.Spec{Types: jwt, Kind: []shape.Mark{shape.AnyOf(shape.Has("v"), shape.Has("w"))}}, others + "; v or w", true},
		{shape.Spec{Types: jwt, Kind: []shape.Mark{shape.AnyOf(shape.Has("v"), shape.Has("sub"))}}, "no nonce; " + others + "; v or sub; " + notClient, false},
		{shape.Spec{Types: jwt, Kind: []shape.Mark{shape.Has("scope")}}, "no nonce; " + others + "; scope; " + notClient, false},
		{shape.Spec{Types: jwt, Kind: []shape.Mark{shape.Has("scp")}}, "no nonce; " + others + "; scp; " + notClient, false},
		{shape.Spec{Types: jwt, Kind: []shape.Mark{shape.Has("client_id")}}, "no nonce; " + others + "; client_id; " + notClient, false},
		{shape.Spec{Types: jwt, Client: []string{"cid"}, Kind: []shape.Mark{shape.Has("cid")}}, "no nonce; " + others + "; cid; " + notClient, false},
		{shape.Spec{Types: jwt, Scope: []string{"perms"}, Kind: []shape.Mark{shape.Has("perms")}}, "no nonce; " + others + "; perms; " + notClient, false},
		{shape.Spec{Types: jwt, ID: "uid", Kind: []shape.Mark{shape.Has("uid")}}, "no nonce; " + others + "; uid; " + notClient, false},
		{shape.Spec{Types: jwt, Tenant: "org", Kind: []shape.Mark{shape.Has("org")}}, "no nonce; " + others + "; org; " + notClient + "; org of the issuer's tenant", false},
		{shape.Spec{Types: jwt, Kind: []shape.Mark{shape.Has("typ")}}, "no nonce; " + others + "; typ; " + notClient, false},
		{shape.Spec{Types: jwt, Kind: []shape.Mark{shape.Is("typ", "Bearer")}}, others + "; typ Bearer in the payload", true},
		{shape.Spec{Types: jwt, Kind: []shape.Mark{shape.Has("tid")}}, "no nonce; " + others + "; tid; " + notClient, false},
		{shape.Spec{Types: jwt, IsProfile: true, Kind: []shape.Mark{shape.Has("tid")}}, others + "; tid", true},
		{shape.Spec{Types: jwt, IsProfile: true, Kind: []shape.Mark{shape.Grant()}}, others + "; scopes, or roles in a token for an application; no nonce in the header", false},
		{shape.Spec{Types: jwt, IsProfile: true, Kind: []shape.Mark{shape.ServiceAccount()}}, others + "; sub system:serviceaccount:<namespace>:<name>", false},
		{shape.Spec{Types: jwt, Kind: []shape.Mark{shape.Has("v"), shape.Without("x")}}, others + "; no x; v", true},
		{shape.Spec{Types: jwt, Kind: []shape.Mark{shape.Has("v"), shape.Without("nonce"), shape.Without("x")}}, "no nonce; " + others + "; no x; v", true},
		{shape.Spec{Types: jwt, Kind: []shape.Mark{shape.AudienceBeyondClient(), shape.Without("azp")}}, "no nonce; " + others + "; no azp; an aud that names more than the client", false},
		{shape.Spec{Types: jwt, Kind: []shape.Mark{shape.AudienceBeyondClient(), shape.Without("x")}}, "no nonce; " + others + "; no x; an aud that names more than the client; " + notClient, false},
		{shape.Spec{Types: jwt, Kind: []shape.Mark{shape.Without("azp")}}, "no nonce; " + others + "; no azp; " + notClient, false},
		{shape.Spec{IDTokens: true}, "no events; a client among Issuer.Clients, or what Issuer.Demand says", true},
		{shape.Spec{IDTokens: true, Kind: []shape.Mark{shape.Without("x")}}, "no x; no events; a client among Issuer.Clients, or what Issuer.Demand says", true},
		{shape.Spec{IDTokens: true, Kind: []shape.Mark{shape.Without("nonce"), shape.Without("x")}}, "no nonce; no x; no events; a client among Issuer.Clients, or what Issuer.Demand says", true},
		{shape.Spec{IDTokens: true, Kind: []shape.Mark{shape.Without("at_hash", "c_hash")}}, "no at_hash or c_hash; no events; a client among Issuer.Clients, or what Issuer.Demand says", true},
		{shape.Spec{IDTokens: true, Kind: []shape.Mark{shape.Without("at_hash", "c_hash", "s_hash", "events"), shape.Without("x")}}, others + "; no x; a client among Issuer.Clients, or what Issuer.Demand says", true},
	} {
		rules, faults := shape.Compile(test.spec)
		if faults != nil {
			t.Errorf("%+v: got %q; want no faults", test.spec, faults)
			continue
		}
		if _, got, _ := strings.Cut(rules.String(), "It demands: "); got != test.demand {
			t.Errorf("%+v demands\n%q; want\n%q", test.spec, got, test.demand)
		}
		if rules.IsMarked != test.marked {
			t.Errorf("%+v: IsMarked: got %v; want %v", test.spec, rules.IsMarked, test.marked)
		}
	}
}

// What NewValidator must know of a dialect.
func TestWhatTheRulesSayOfADialect(t *testing.T) {
	noClient, jwt := []string{"client_id"}, []string{"jwt"}
	beyond := []shape.Mark{shape.AudienceBeyondClient(), shape.Without("azp")}
	for _, test := range []struct {
		name                 string
		spec                 shape.Spec
		entra, mayBeIDTokens bool
	}{
		{"at+jwt without a client", shape.Spec{Optional: noClient}, false, false},
		{"jwt", shape.Spec{Types: jwt}, false, false},
		{"jwt without a client", shape.Spec{Types: jwt, Optional: noClient}, false, true},
		{"jwt for more than the client, which may be absent", shape.Spec{Types: jwt, Optional: noClient, Kind: beyond}, false, true},
		{"a profile with tokens for more than the client, which may be absent", shape.Spec{IsProfile: true, Types: jwt, Optional: noClient, Kind: beyond}, false, false},
		{"jwt with a mark, without a client", shape.Spec{Types: jwt, Optional: noClient, Kind: []shape.Mark{shape.Has("v")}}, false, false},
		{"a grant", shape.Spec{Types: jwt, IsProfile: true, Kind: []shape.Mark{shape.Grant()}}, true, false},
		{"a grant before another mark on content", shape.Spec{Types: jwt, IsProfile: true, Kind: []shape.Mark{shape.Grant(), shape.Has("roles")}}, true, false},
	} {
		rules, faults := shape.Compile(test.spec)
		if faults != nil {
			t.Errorf("%s: got %q; want no faults", test.name, faults)
			continue
		}
		if rules.IsEntra != test.entra || rules.MayBeIDTokens != test.mayBeIDTokens {
			t.Errorf("%s: IsEntra and MayBeIDTokens: got %v and %v; want %v and %v", test.name, rules.IsEntra, rules.MayBeIDTokens, test.entra, test.mayBeIDTokens)
		}
	}
}

// A type is a subtype of a media type (RFC 6838 §4.2). An aud that may be absent demands
// a mark, and what is demanded must be possible.
func TestFaultsOfADialect(t *testing.T) {
	marks := func(marks ...shape.Mark) shape.Spec { return shape.Spec{Kind: marks} }
	machine := func(marks ...shape.Mark) shape.Spec { return shape.Spec{Machine: marks} }
	optional := func(claim string) shape.Spec {
		return shape.Spec{Optional: []string{claim}, Kind: []shape.Mark{shape.Without(claim)}}
	}
	for _, test := range []struct {
		spec shape.Spec
		want string // "" if there is no fault
	}{
		{shape.Spec{Types: []string{"a!b~c"}}, ""},
		{shape.Spec{Types: []string{"a b"}}, "not the subtype"},
		{shape.Spec{Types: []string{"a/b"}}, "not the subtype"},
		{shape.Spec{Types: []string{"a;b"}}, "not the subtype"},
		{shape.Spec{Types: []string{"a,b"}}, "not the subtype"},
		{shape.Spec{Types: []string{`a"b`}}, "not the subtype"},
		{shape.Spec{Types: []string{"a\x7f"}}, "not the subtype"},
		{shape.Spec{Types: []string{"é"}}, "not the subtype"},

		{marks(shape.Is("nonce", "x")), `demands "nonce", with which a token is refused`},
		{marks(shape.HasPrefix("nonce", "x")), `demands "nonce", with which a token is refused`},
		{marks(shape.Is("events", "x")), `demands "events", with which a token is refused`},
		{shape.Spec{IDTokens: true, Kind: []shape.Mark{shape.Has("at_hash", "nonce")}}, ""},
		{shape.Spec{Types: []string{"jwt"}, Kind: []shape.Mark{shape.Has("v"), shape.Has("at_hash")}}, `demands "at_hash", with which a token is refused`},

		{marks(shape.Without("client_id")), `forbids "client_id", which every token must have`},
		{shape.Spec{Client: []string{"azp"}, Kind: []shape.Mark{shape.Without("client_id")}}, ""},
		{shape.Spec{Client: []string{"azp", "cid"}, Kind: []shape.Mark{shape.Without("cid")}}, ""},
		{marks(shape.Without("jti")), `forbids "jti", which every token must have`},
		{shape.Spec{ID: "uti", Kind: []shape.Mark{shape.Without("jti")}}, ""},
		{shape.Spec{ID: "uti", Kind: []shape.Mark{shape.Without("uti")}}, `forbids "uti", which every token must have`},
		{marks(shape.Without("iss")), `forbids "iss", which every token must have`},
		{marks(shape.Without("iat")), `forbids "iat", which every token must have`},
		{marks(shape.Without("aud")), `forbids "aud", which every token must have`},
		{optional("sub"), ""},
		{optional("iat"), ""},
		{optional("aud"), ""},
		{optional("jti"), ""},
		{optional("client_id"), ""},
		{machine(shape.Without("sub")), ""},

		{machine(shape.SubjectIsClient("@clients", "user"), shape.Without("user")), ""},
		{machine(shape.Is("user", "x"), shape.Without("user")), `both demands and forbids "user"`},
		{shape.Spec{IsProfile: true, Kind: []shape.Mark{shape.Grant(), shape.Without("idtyp")}}, ""},

		{marks(shape.Is("v", 1, 2), shape.Is("v", 2, 3)), ""},
		{marks(shape.Is("v", "ab"), shape.HasPrefix("v", "a")), ""},
		{marks(shape.HasPrefix("v", "a"), shape.Is("v", "ab")), ""},
		{marks(shape.HasPrefix("v", "a"), shape.Is("v", "b")), "that no token meets"},
		{marks(shape.HasPrefix("v", "1"), shape.Is("v", 1)), "that no token meets"},
		{marks(shape.HasPrefix("v", "a"), shape.HasPrefix("v", "ab")), ""},
		{marks(shape.HasPrefix("v", "ab"), shape.HasPrefix("v", "a")), ""},
		{marks(shape.HasPrefix("w", "a"), shape.HasPrefix("v", "b")), ""},
		{marks(shape.Has("v"), shape.Is("v", 1)), ""},
		{marks(shape.Is("v", 1), shape.Is("w", 2)), ""},

		{marks(shape.Is("typ", "ID")), "refused as an ID, refresh or logout token"},
		{marks(shape.Is("use", "ID")), ""},
		{marks(shape.Is("typ", true)), ""},
		{marks(shape.Is("typ", "Bearer")), ""},
	} {
		_, faults := shape.Compile(test.spec)
		got := strings.Join(faults, "\n")
		if test.want == "" && got != "" || !strings.Contains(got, test.want) || strings.Contains(got, "\n") {
			t.Errorf("%+v: got %q; want %q", test.spec, got, test.want)
		}
	}
}
