package scopes_test

import (
	"testing"

	"github.com/accesstoken/accesstoken/scopes"
)

// RFC 6749 §3.3: %x21 / %x23-5B / %x5D-7E.
func TestAScopeTokenMayHaveEveryCharacterOfItsRangesAndNoOther(t *testing.T) {
	for _, scope := range []string{"!", "#", "[", "]", "~", "a~"} {
		if err := scopes.All(scope).Err(); err != nil {
			t.Errorf("All(%q).Err(): got %v; want nil", scope, err)
		}
	}
	for _, scope := range []string{"", " ", "\x1f", `"`, `\`, "\x7f", "a\x7f"} {
		if scopes.All(scope).Err() == nil {
			t.Errorf("All(%q).Err(): got nil; want an error", scope)
		}
	}
}

func TestANoneThatWasSaidStaysSaid(t *testing.T) {
	zero := scopes.Requirement{}
	for name, r := range map[string]scopes.Requirement{
		"None().And(zero)": scopes.None().And(zero),
		"zero.And(None())": zero.And(scopes.None()),
	} {
		if r.IsZero() {
			t.Errorf("%s.IsZero(): got true; want false, somebody has set it", name)
		}
	}
	if !zero.And(zero).IsZero() {
		t.Error("zero.And(zero).IsZero(): got false; want true, nobody has set it")
	}
}

func TestARequirementThatNamesAScopeIsNotZero(t *testing.T) {
	for _, r := range []scopes.Requirement{scopes.All("a"), scopes.Any("a", "b"), scopes.All("a").And(scopes.All("b"))} {
		if r.IsZero() {
			t.Errorf("%v.IsZero(): got true; want false", r)
		}
	}
}

func TestAFaultOfEitherSideStays(t *testing.T) {
	good, bad := scopes.All("a"), scopes.Any()
	for name, r := range map[string]scopes.Requirement{"good.And(bad)": good.And(bad), "bad.And(good)": bad.And(good), "bad.And(bad)": bad.And(bad)} {
		if got := r.Err(); got == nil || got.Error() != bad.Err().Error() {
			t.Errorf("%s.Err(): got %v; want %v", name, got, bad.Err())
		}
	}
	if got := scopes.All().And(bad).Err(); got == nil || got.Error() != scopes.All().Err().Error() {
		t.Errorf("got %v; want the fault that was there first: %v", got, scopes.All().Err())
	}
}

// A scope string that has single spaces, as nearly all have, is kept as it came.
func TestParsingAllocatesNothingForWhatHasSingleSpaces(t *testing.T) {
	if n := testing.AllocsPerRun(100, func() { _ = scopes.Parse("a b") }); n > 0 {
		t.Errorf("got %v allocations; want none", n)
	}
}
