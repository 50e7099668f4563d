package shape_test

import (
	"strings"
	"testing"

	"github.com/accesstoken/accesstoken/internal/jose"
	"github.com/accesstoken/accesstoken/internal/shape"
)

// read compiles the dialect, and reads a token with what RFC 9068 demands, without sub,
// client_id and aud, and with the members.
func read(t *testing.T, spec shape.Spec, members string) (*shape.Rules, shape.Reading) {
	t.Helper()
	rules, faults := shape.Compile(spec)
	if faults != nil {
		t.Fatalf("%+v: got %q; want no faults", spec, faults)
	}
	payload := `{"iss":"https://login.example.com","exp":2000000000,"iat":1,"jti":"1"` + members + `}`
	claims, err := jose.ReadClaims(payload)
	if err != nil {
		t.Fatalf("%s: %v", payload, err)
	}
	return rules, rules.Read(&claims, payload, false)
}

// A token must meet every mark of Kind.
func TestWhatMeetsAMark(t *testing.T) {
	grant := func(spec shape.Spec) shape.Spec {
		spec.IsProfile = true
		return spec
	}
	kind := func(marks ...shape.Mark) shape.Spec { return shape.Spec{Kind: marks} }
	for _, test := range []struct {
		spec    shape.Spec
		members string
		met     bool
	}{
		{kind(shape.Has("v")), `,"v":0`, true},
		{kind(shape.Has("v")), `,"v":null`, false},
		{kind(shape.Has("v")), ``, false},
		{kind(shape.Has("v", "w")), `,"v":0`, false},
		{kind(shape.Has("v"), shape.Has("w")), `,"v":0`, false},
		{kind(shape.Has("/v/w")), `,"v":{"w":0}`, true},
		{kind(shape.Has("/v/w")), `,"v":{"x":0}`, false},
		{kind(shape.Without("v")), ``, true},
		{kind(shape.Without("v")), `,"v":null`, false},
		{kind(shape.Without("v", "w")), `,"w":0`, false},
		{kind(shape.HasPrefix("v", "a")), `,"v":"ab"`, true},
		{kind(shape.HasPrefix("v", "a")), `,"v":"b"`, false},
		{kind(shape.HasPrefix("v", "a")), `,"v":["ab"]`, false},
		{kind(shape.HasPrefix("v", "1")), `,"v":1`, false},
		{kind(shape.HasPrefix("v", "a")), ``, false},
		{kind(shape.Is("v", "")), `,"v":""`, true},
		{kind(shape.Is("v", "")), `,"v":1`, false},
		{kind(shape.Is("v", "")), ``, false},
		{kind(shape.Is("v", "a", 2)), `,"v":2.0`, true},
		{kind(shape.Is("v", "a", 2)), `,"v":"2"`, false},
		{kind(shape.Is("v", "2")), `,"v":2`, false},
		{kind(shape.Is("v", 2)), `,"v":[2]`, false},
		{kind(shape.Is("v", false)), `,"v":false`, true},
		{kind(shape.Is("v", false)), `,"v":true`, false},
		{kind(shape.Is("v", false)), ``, false},
		{kind(shape.Is("v", true)), `,"v":true`, true},
		{kind(shape.Is("v", true)), `,"v":1`, false},
		{kind(shape.Is("v", "true")), `,"v":true`, false},
		{kind(shape.AnyOf(shape.Has("v"), shape.Has("w"))), `,"w":1`, true},
		{kind(shape.AnyOf(shape.Has("v"), shape.Has("w"))), `,"x":1`, false},
		{kind(shape.AnyOf(shape.AudienceBeyondClient(), shape.Has("v"))), ``, true},
		{kind(shape.AnyOf(shape.AudienceBeyondClient(), shape.Has("v"))), `,"aud":"c"`, false},
		{kind(shape.AudienceBeyondClient()), ``, true},
		{kind(shape.AudienceBeyondClient()), `,"aud":["c",""]`, false},
		{kind(shape.AudienceBeyondClient()), `,"aud":["c","d"],"azp":"d"`, false},
		{grant(kind(shape.Grant())), `,"roles":["a"]`, true},
		{grant(kind(shape.Grant())), `,"roles":["a"],"idtyp":"app"`, true},
		{grant(kind(shape.Grant())), `,"roles":["a"],"idtyp":"user"`, false},
		{grant(kind(shape.Grant())), `,"roles":[ "a"]`, true},
		{grant(kind(shape.Grant())), `,"roles":"a"`, false},
		{grant(kind(shape.Grant())), `,"roles":[]`, false},
		{grant(kind(shape.Grant())), `,"roles":[1]`, false},
		{grant(kind(shape.Grant())), `,"scope":"a"`, true},
		{grant(kind(shape.Grant())), ``, false},
		{grant(kind(shape.ServiceAccount())), `,"sub":"system:serviceaccount:a:b"`, true},
		{grant(kind(shape.ServiceAccount())), `,"sub":"system:serviceaccount:a:b:c"`, false},
		{grant(kind(shape.ServiceAccount())), `,"sub":"system:serviceaccount::b"`, false},
		{grant(kind(shape.ServiceAccount())), `,"sub":"system:serviceaccount:a:"`, false},
		{grant(kind(shape.ServiceAccount())), `,"sub":"a:b"`, false},
	} {
		rules, reading := read(t, test.spec, merged(test.members))
		if fault := rules.Check(&jose.Header{HasType: true, Type: "at+jwt"}, &reading); (fault == nil) != test.met {
			t.Errorf("%v, %s: got %+v; want it met: %v", test.spec.Kind, test.members, fault, test.met)
		}
	}
}

// If a token lacks a claim that ID tokens have as well, or the scopes, the claim is wrong.
// Otherwise the token is of another kind.
func TestWhatAMarkThatIsNotMetSays(t *testing.T) {
	for _, test := range []struct {
		mark        shape.Mark
		isOtherKind bool
	}{
		{shape.Has("v"), true},
		{shape.Has("v", "sid"), true},
		{shape.Has("sid"), false},
		{shape.Has("scp"), false},
		{shape.Is("v", 1), true},
		{shape.Is("sub", "x"), false},
		{shape.HasPrefix("v", "x"), true},
		{shape.HasPrefix("sub", "x"), false},
		{shape.AnyOf(shape.Has("v"), shape.Has("w")), true},
		{shape.AnyOf(shape.Has("v"), shape.Has("sid")), true},
		{shape.AnyOf(shape.Has("sid"), shape.Is("acr", "x")), false},
		{shape.AnyOf(shape.Without("sub"), shape.Is("email_verified", true)), false},
		{shape.AnyOf(shape.Without("sub"), shape.Is("v", true)), true},
		{shape.AudienceBeyondClient(), true},
		{shape.Without("sid", "sub"), true},
	} {
		rules, reading := read(t, shape.Spec{Scope: []string{"scp"}, Optional: []string{"sub"}, Kind: []shape.Mark{test.mark}}, `,"sub":"alice","client_id":"c","aud":"c"`)
		if fault := rules.Check(&jose.Header{HasType: true, Type: "at+jwt"}, &reading); fault == nil || fault.IsOtherKind != test.isOtherKind {
			t.Errorf("%v: got %+v; want IsOtherKind %v", test.mark, fault, test.isOtherKind)
		}
	}
}

// merged returns the members of alice that members does not replace, and members.
func merged(members string) string {
	base := ""
	for _, member := range []string{`,"sub":"alice"`, `,"client_id":"c"`, `,"aud":["a","c"]`} {
		name, _, _ := strings.Cut(member, ":")
		if !strings.Contains(members, name+":") {
			base += member
		}
	}
	return base + members
}

// Which tokens are those of a client that acts for itself.
func TestWhoseTokenItIs(t *testing.T) {
	optional := []string{"client_id", "sub"}
	suffixed := shape.Spec{Optional: optional, Machine: []shape.Mark{shape.SubjectIsClient("@clients", "user")}}
	beyond := shape.Spec{Optional: optional, Machine: []shape.Mark{shape.AudienceBeyondClient()}}
	for _, test := range []struct {
		spec    shape.Spec
		members string
		itself  bool
	}{
		{shape.Spec{}, `,"sub":"c","client_id":"c"`, true},
		{shape.Spec{}, `,"sub":"alice","client_id":"c"`, false},
		{shape.Spec{Optional: optional}, `,"client_id":"c"`, true},
		{shape.Spec{Optional: optional}, `,"sub":"c"`, false},
		{suffixed, `,"sub":"c@clients","client_id":"c"`, true},
		{suffixed, `,"sub":"c","client_id":"c"`, true},
		{suffixed, `,"sub":"c@clients","client_id":"c","user":"alice"`, false},
		{suffixed, `,"sub":"c@clients","client_id":"c","user":""`, true},
		{suffixed, `,"sub":"d@clients","client_id":"c"`, false},
		{suffixed, `,"sub":"@clients"`, false},
		{beyond, `,"sub":"alice","client_id":"c","aud":["c","a"]`, true},
		{beyond, `,"sub":"alice","client_id":"c","aud":["c"]`, false},
		{beyond, `,"sub":"alice","client_id":"c"`, true},
	} {
		rules, reading := read(t, test.spec, test.members)
		if got := rules.IsClientItself(&reading); got != test.itself {
			t.Errorf("%v, %s: got %v; want %v", test.spec.Machine, test.members, got, test.itself)
		}
	}
}

// An answer to introspection has the claims of RFC 7662, and only its suffix is told by
// Machine.
func TestWhoseAnswerItIs(t *testing.T) {
	suffixed := shape.Spec{Machine: []shape.Mark{shape.SubjectIsClient("@clients", "")}}
	marked := shape.Spec{Machine: []shape.Mark{shape.Is("gty", "x")}}
	for _, test := range []struct {
		spec   shape.Spec
		answer jose.Claims
		itself bool
	}{
		{shape.Spec{}, jose.Claims{Subject: "c", ClientID: "c"}, true},
		{shape.Spec{}, jose.Claims{Subject: "alice", ClientID: "c"}, false},
		{shape.Spec{}, jose.Claims{}, false},
		{suffixed, jose.Claims{Subject: "c@clients", ClientID: "c"}, true},
		{suffixed, jose.Claims{Subject: "alice@clients", ClientID: "c"}, false},
		{marked, jose.Claims{Subject: "c", ClientID: "c"}, true},
		{marked, jose.Claims{Subject: "c@clients", ClientID: "c"}, false},
	} {
		rules, faults := shape.Compile(test.spec)
		if faults != nil {
			t.Fatal(faults)
		}
		if got := rules.IsAnswerOfClient(&test.answer); got != test.itself {
			t.Errorf("%v, sub %q, client_id %q: got %v; want %v", test.spec.Machine, test.answer.Subject, test.answer.ClientID, got, test.itself)
		}
	}
}

// The scopes of an answer are in scope, and no mark finds them elsewhere. In an answer,
// null counts as absent.
func TestAnAnswerIsReadByItsOwnRules(t *testing.T) {
	for _, test := range []struct {
		mark   shape.Mark
		answer string
		met    bool
	}{
		{shape.Has("scope"), `{"scope":"a"}`, true},
		{shape.Has("scp"), `{"scp":"a"}`, false},
		{shape.Without("v"), `{"v":null}`, true},
		{shape.Without("v"), `{"v":0}`, false},
	} {
		rules, faults := shape.Compile(shape.Spec{Scope: []string{"scp", "scope"}, Kind: []shape.Mark{shape.AnyOf(test.mark, shape.Has("never"))}})
		if faults != nil {
			t.Fatal(faults)
		}
		claims, err := jose.ReadAnswer(test.answer)
		if err != nil {
			t.Fatal(err)
		}
		reading := rules.Read(&claims, test.answer, true)
		if fault := rules.CheckMarks(&reading); (fault == nil) != test.met {
			t.Errorf("%v, %s: got %+v; want it met: %v", test.mark, test.answer, fault, test.met)
		}
	}
}

// The words of a refusal name the dialect, and the claims that must not be there, unless
// they are well known.
func TestWhatARefusalNames(t *testing.T) {
	for _, test := range []struct {
		spec shape.Spec
		typ  string
		want string
	}{
		{shape.Spec{}, "x", "the typ is not that of an access token in the Dialect"},
		{shape.Spec{Name: "Acme"}, "x", "the typ is not that of an access token in the Dialect Acme"},
		{shape.Spec{Name: "Keycloak", IsProfile: true}, "x", "the typ is not that of an access token in the profile Keycloak"},
		{shape.Spec{Kind: []shape.Mark{shape.Without("sid")}}, "at+jwt", "the token has claims that ID or logout tokens have"},
		{shape.Spec{Kind: []shape.Mark{shape.Without("sid", "v")}}, "at+jwt", "the token has sid or v"},
	} {
		rules, reading := read(t, test.spec, merged(`,"sid":"s"`))
		fault := rules.Check(&jose.Header{HasType: true, Type: test.typ}, &reading)
		if fault == nil || fault.Text != test.want {
			t.Errorf("%+v: got %+v; want %q", test.spec, fault, test.want)
		}
	}
}
