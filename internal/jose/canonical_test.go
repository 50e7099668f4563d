package jose_test

import (
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/accesstoken/accesstoken/internal/jose"
)

func TestCanonical(t *testing.T) {
	for value, want := range map[string]string{
		` { "b" : [ 1.50 , 15e-1, 1E2 ] , "a" : "\u0041\/\u00e9" } `: `{"a":"A/é","b":[1.5,1.5,100]}`,
		`{"b":{"d":1,"c":2},"a":null}`:                               `{"a":null,"b":{"c":2,"d":1}}`,
		`9007199254740993`:                                           `9007199254740993`,
		`"<&>"`:                                                      `"<&>"`,
		`{"a":1,"a":2}`:                                              `{"a":1,"a":2}`, // is not valid
		``:                                                           ``,
	} {
		given := []byte(value)
		if got := jose.Canonical(given); got != want || string(given) != value {
			t.Errorf("got %s, and %s is left of the value; want %s, and %s", got, given, want, value)
		}
	}
}

func FuzzCanonical(f *testing.F) {
	f.Add([]byte(`{"b": 1.50, "a": ["\u0041"]}`))
	f.Fuzz(func(t *testing.T, value []byte) {
		once := jose.Canonical(value)
		if twice := jose.Canonical([]byte(once)); twice != once {
			t.Errorf("got %s, and then %s; want the same", once, twice)
		}
		if spaced := jose.Canonical([]byte("\n" + string(value) + " ")); jsontext.Value(value).IsValid() && spaced != once {
			t.Errorf("got %s with spaces, and %s without; want the same", spaced, once)
		}
	})
}
