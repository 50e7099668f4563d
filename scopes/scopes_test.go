package scopes_test

import (
	"fmt"
	"testing"

	"github.com/accesstoken/accesstoken/scopes"
)

func TestHasComparesWholeValuesWithCase(t *testing.T) {
	for _, test := range []struct {
		granted, asked string
		want           bool
	}{
		{"read write", "read", true},
		{"read write", "write", true},
		{"  read   write ", "write", true},
		{"Read", "read", false},
		{"read:all", "read", false},
		{"reader", "read", false},
		{"read", "read:all", false},
		{"read write", "read write", false},
		{"read", "", false},
		{"", "", false},
		{"", "read", false},
		{"read\twrite", "read", false},
	} {
		if got := scopes.Parse(test.granted).Has(test.asked); got != test.want {
			t.Errorf("Parse(%q).Has(%q): got %v; want %v", test.granted, test.asked, got, test.want)
		}
	}
}

func TestRequirements(t *testing.T) {
	a, ab, none := scopes.All("a"), scopes.All("a", "b"), scopes.None()
	for _, test := range []struct {
		name        string
		requirement scopes.Requirement
		granted     string
		want        bool
	}{
		{"all, all there", ab, "b c a", true},
		{"all, one missing", ab, "a", false},
		{"any, first", scopes.Any("a", "b"), "a", true},
		{"any, second", scopes.Any("a", "b"), "b", true},
		{"any, neither", scopes.Any("a", "b"), "c", false},
		{"none asks nothing", none, "", true},
		{"zero asks nothing", scopes.Requirement{}, "", true},
		{"both halves needed", a.And(scopes.Any("b", "c")), "a c", true},
		{"second half missing", a.And(scopes.Any("b", "c")), "a", false},
		{"none and all is all", none.And(a), "", false},
		{"empty All is met by nothing", scopes.All(), "a", false},
		{"empty Any is met by nothing", scopes.Any(), "a", false},
		{"invalid stays invalid", a.And(scopes.All("")), "a", false},
		{"invalid stays invalid, reversed", scopes.All("").And(a), "a", false},
	} {
		if got := test.requirement.MetBy(scopes.Parse(test.granted)); got != test.want {
			t.Errorf("%s: %v met by %q: got %v; want %v", test.name, test.requirement, test.granted, got, test.want)
		}
	}
}

func TestARequirementThatIsEmptyByAccidentIsInvalid(t *testing.T) {
	for name, r := range map[string]scopes.Requirement{
		"All()": scopes.All(), "Any()": scopes.Any(),
		`All("")`: scopes.All(""), `All("a b")`: scopes.All("a b"), `Any("a", "b\"")`: scopes.Any("a", `b"`),
		`All("ä")`: scopes.All("ä"), `All("a\n")`: scopes.All("a\n"), `All("\\")`: scopes.All(`\`),
	} {
		if r.Err() == nil {
			t.Errorf("%s.Err(): got nil; want an error", name)
		}
		if r.IsZero() {
			t.Errorf("%s.IsZero(): got true; want false", name)
		}
	}
	for _, r := range []scopes.Requirement{scopes.All("a"), scopes.Any("a", "b"), scopes.None(), {}} {
		if err := r.Err(); err != nil {
			t.Errorf("%v.Err(): got %v; want nil", r, err)
		}
	}
	if !(scopes.Requirement{}).IsZero() || scopes.None().IsZero() {
		t.Error("IsZero: want it of the zero Requirement only, not of None")
	}
}

func TestRequirementsDoNotShareMemoryWithTheirCaller(t *testing.T) {
	list := []string{"a", "b"}
	r := scopes.Any(list...)
	list[0] = "admin"
	if r.MetBy(scopes.Parse("admin")) {
		t.Error("a change of the caller's slice changed the Requirement")
	}
	base := scopes.All("a")
	one, two := base.And(scopes.All("b")), base.And(scopes.All("c"))
	if !one.MetBy(scopes.Parse("a b")) || !two.MetBy(scopes.Parse("a c")) {
		t.Error("two Requirements made from one disturbed each other")
	}
}

func TestTheChallengeAsksForWhatSuffices(t *testing.T) {
	for _, test := range []struct {
		r    scopes.Requirement
		want string
	}{
		{scopes.All("a", "b"), "a b"},
		{scopes.Any("a", "b"), "a"},
		{scopes.All("a").And(scopes.Any("b", "c")).And(scopes.All("a")), "a b"},
		{scopes.None(), ""},
		{scopes.Any(), ""},
	} {
		if got := test.r.Scopes().String(); got != test.want {
			t.Errorf("%v.Scopes(): got %q; want %q", test.r, got, test.want)
		}
	}
}

func TestMatchingAllocatesNothing(t *testing.T) {
	granted, r := scopes.Parse("a b c d"), scopes.All("c", "d")
	if n := testing.AllocsPerRun(100, func() { _ = r.MetBy(granted) }); n > 0 {
		t.Errorf("MetBy: got %v allocations; want 0", n)
	}
}

func ExampleParse() {
	granted := scopes.Parse("orders:read orders:write")
	fmt.Println(granted.Has("orders:read"), granted.Has("orders"), granted)
	// Output: true false orders:read orders:write
}

func ExampleAll() {
	r := scopes.All("orders:read", "orders:write")
	fmt.Println(r.MetBy(scopes.Parse("orders:read")), r)
	// Output: false All("orders:read", "orders:write")
}

func ExampleAny() {
	r := scopes.Any("orders:read", "admin")
	fmt.Println(r.MetBy(scopes.Parse("admin")), r.Scopes())
	// Output: true orders:read
}

func ExampleNone() {
	fmt.Println(scopes.None().MetBy(scopes.Parse("")), scopes.All().Err())
	// Output: true scopes: All() has no scopes; to accept any valid token, use None()
}

func ExampleRequirement_And() {
	fmt.Println(scopes.All("files:read").And(scopes.Any("eu", "us")))
	// Output: All("files:read") and Any("eu", "us")
}
