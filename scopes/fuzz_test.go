package scopes_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/accesstoken/accesstoken/scopes"
)

// words splits the naive way, at every space.
func words(text string) []string {
	return slices.DeleteFunc(strings.Split(text, " "), func(word string) bool { return word == "" })
}

func FuzzParse(f *testing.F) {
	f.Add("a b  c ")
	f.Add(" \t\x00é ")
	f.Add("read read:all READ read")
	f.Fuzz(func(t *testing.T, text string) {
		set, want := scopes.Parse(text), words(text)
		if again := scopes.Parse(set.String()); again != set {
			t.Errorf("Parse(Parse(%q).String()): got %q; want %q", text, again, set)
		}
		if got := slices.Collect(set.All()); !slices.Equal(got, want) {
			t.Errorf("All of %q: got %q; want %q", text, got, want)
		}
		if got := strings.Join(want, " "); got != set.String() {
			t.Errorf("Parse(%q).String(): got %q; want %q", text, set, got)
		}
		for _, word := range want {
			if !set.Has(word) {
				t.Errorf("Parse(%q).Has(%q): got false; want true", text, word)
			}
			for _, near := range []string{word[1:], word[:len(word)-1], word + ":", strings.ToUpper(word), strings.ToLower(word)} {
				if got, want := set.Has(near), slices.Contains(want, near); got != want {
					t.Errorf("Parse(%q).Has(%q): got %v; want %v", text, near, got, want)
				}
			}
		}
		if set.Has("") || len(want) > 1 && set.Has(want[0]+" "+want[1]) {
			t.Errorf("Parse(%q) has the empty scope, or one with a space in it", text)
		}
	})
}

var scopeToken = regexp.MustCompile(`^[\x21\x23-\x5B\x5D-\x7E]+$`) // RFC 6749 §3.3

// A Requirement is met by what a naive reading of its two lists says, and is
// valid if each of them is. The lists are separated by commas.
func FuzzRequirement(f *testing.F) {
	f.Add("a b c", "a,b", "c,d")
	f.Add("a", "a", "b")
	f.Add("read:all Read", "read", "read")
	f.Add(`a"b a\b é`, `a"b`, "a")
	f.Add(`a\b`, `a\b`, "b")
	f.Add("a\x7f", "a\x7f", "!,~")
	f.Add("", "", "")
	f.Fuzz(func(t *testing.T, text, all, either string) {
		granted, demanded, choice := words(text), strings.Split(all, ","), strings.Split(either, ",")
		has := func(scope string) bool { return slices.Contains(granted, scope) }
		lacks := func(scope string) bool { return !has(scope) }
		noToken := func(scope string) bool { return !scopeToken.MatchString(scope) }
		for _, test := range []struct {
			r          scopes.Requirement
			valid, met bool
		}{
			{scopes.All(demanded...), !slices.ContainsFunc(demanded, noToken), !slices.ContainsFunc(demanded, lacks)},
			{scopes.Any(choice...), !slices.ContainsFunc(choice, noToken), slices.ContainsFunc(choice, has)},
			{scopes.All(demanded...).And(scopes.Any(choice...)), !slices.ContainsFunc(slices.Concat(demanded, choice), noToken),
				!slices.ContainsFunc(demanded, lacks) && slices.ContainsFunc(choice, has)},
		} {
			if err := test.r.Err(); (err == nil) != test.valid {
				t.Errorf("%v: got %v; want valid %v", test.r, err, test.valid)
			}
			if got, want := test.r.MetBy(scopes.Parse(text)), test.valid && test.met; got != want {
				t.Errorf("%v, met by %q: got %v; want %v", test.r, text, got, want)
			}
			if test.valid && !test.r.MetBy(test.r.Scopes()) {
				t.Errorf("%v: the challenge asks for %q; want that to suffice", test.r, test.r.Scopes())
			}
		}
	})
}
