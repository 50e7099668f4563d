package shape_test

import (
	"testing"

	"github.com/accesstoken/accesstoken/internal/jose"
	"github.com/accesstoken/accesstoken/internal/shape"
)

const payload = `{"iss":"https://login.example.com","sub":"alice","aud":["a"],"exp":2000000000,"iat":1,"jti":"1","client_id":"c","azp":"c","v":2,"sid":"s","scp":"a b"}`

// A new token costs at most one allocation for what its dialect looks up, and nothing is
// looked up that it does not name.
func TestReadAndCheckAllocateOnceAtMost(t *testing.T) {
	header := &jose.Header{HasType: true, Type: "at+jwt"}
	own, err := jose.ReadClaims(payload)
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		spec shape.Spec
		most float64
	}{
		"RFC 9068":              {shape.Spec{}, 0},
		"what is read anyway":   {shape.Spec{Optional: []string{"jti"}, ScopeArray: true, Kind: []shape.Mark{shape.Without("nonce")}}, 0},
		"claims of the dialect": {shape.Spec{Client: []string{"azp"}, Scope: []string{"scp"}, Kind: []shape.Mark{shape.Is("v", 2), shape.Has("sid")}}, 1},
	} {
		rules, faults := shape.Compile(test.spec)
		if faults != nil {
			t.Fatalf("%s: got %q; want no faults", name, faults)
		}
		got := testing.AllocsPerRun(100, func() {
			reading := rules.Read(&own, payload, false)
			if fault := rules.Check(header, &reading); fault != nil {
				t.Errorf("%s: got %s; want it accepted", name, fault.Text)
			}
		})
		if got > test.most {
			t.Errorf("%s: got %v allocations; want at most %v", name, got, test.most)
		}
	}
}

// A mark is read from its text, so no text of a user must become another mark.
func TestTheTextOfAMarkIsNotMixedUp(t *testing.T) {
	own, _ := jose.ReadClaims(payload)
	for name, mark := range map[string]shape.Mark{
		"a claim with quotes":  shape.Has(`v","sid`),
		"a claim with a slash": shape.Has(`\`),
		"a value with quotes":  shape.Is("sid", `s","s`),
		"HTML":                 shape.Is("sid", "<s>"),
		"another type":         shape.Is("v", "2"),
	} {
		rules, faults := shape.Compile(shape.Spec{Kind: []shape.Mark{mark}})
		if faults != nil {
			t.Fatalf("%s: got %q; want no faults", name, faults)
		}
		reading := rules.Read(&own, payload, false)
		if rules.Check(&jose.Header{HasType: true, Type: "at+jwt"}, &reading) == nil {
			t.Errorf("%s: got the token accepted; want it refused", name)
		}
	}
	const html = `{"x":"<s>&"}`
	read, _ := jose.ReadClaims(html)
	rules, _ := shape.Compile(shape.Spec{Kind: []shape.Mark{shape.Is("x", "<s>&")}})
	reading := rules.Read(&read, html, false)
	if fault := rules.CheckKind(&jose.Header{HasType: true, Type: "at+jwt"}, &reading); fault != nil {
		t.Errorf("got %s; want the value as it was written", fault.Text)
	}
	for _, mark := range []shape.Mark{shape.Has("\xff"), shape.Is("\xff", 1), shape.Is("v", "\xff"), shape.HasPrefix("v", "\xff"), shape.Without("\xff")} {
		if _, faults := shape.Compile(shape.Spec{Kind: []shape.Mark{mark}}); len(faults) == 0 {
			t.Errorf("%v: got no fault; want one, as no token has invalid UTF-8", mark)
		}
	}
}
