package jose_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/accesstoken/accesstoken/internal/jose"
)

func TestFind(t *testing.T) {
	const object = ` {"a":1,"b":{"a":2},"\u0063":"x","d":null,"a/b":[true]} `
	names := []string{"c", "missing", "a", "d", "a/b"}
	values := make([]string, len(names))
	jose.Find(object, names, values)
	if want := []string{`"x"`, "", "1", "null", "[true]"}; !slices.Equal(values, want) {
		t.Errorf("got %q; want %q", values, want)
	}
}

// A claim must not count as absent because the object around it is large.
func TestFindInALargeObject(t *testing.T) {
	object := strings.TrimSuffix(many(400), "}") + `,"last":1}`
	values := []string{""}
	jose.Find(object, []string{"last"}, values)
	if values[0] != "1" {
		t.Errorf("got %q; want 1", values[0])
	}
}

func TestFindAllocatesNothing(t *testing.T) {
	names, values := []string{"sub", "scp"}, make([]string, 2)
	if n := testing.AllocsPerRun(100, func() { jose.Find(goodPayload, names, values) }); n > 0 {
		t.Errorf("got %v allocations; want 0", n)
	}
}

func TestAt(t *testing.T) {
	const value = `{"a":{"b":["x",{"c":1}]},"":2,"0":3}`
	for path, want := range map[string]string{
		"a.b.0": `"x"`, "a.b.1.c": "1", "a.b.2": "", "a.b.-1": "", "a.b.01": "", "a.b.-": "", "a.b.+1": "", "a.x": "", "a.b.0.c": "", "0": "3", "a": `{"b":["x",{"c":1}]}`,
	} {
		if got := jose.At(value, strings.Split(path, ".")); got != want {
			t.Errorf("%s: got %s; want %s", path, got, want)
		}
	}
	if got := jose.At("", []string{"a"}); got != "" {
		t.Errorf("in nothing: got %s; want nothing", got)
	}
	if got := jose.At(value, nil); got != value {
		t.Errorf("without steps: got %s; want the value", got)
	}
}

func TestInteger(t *testing.T) {
	for value, want := range map[string]string{
		"2": "2", "9": "9", strings.Repeat("1", 64): strings.Repeat("1", 64), "2.0": "2", "2e0": "2", "20e-1": "2", "0.2e1": "2", "-2": "-2", "-2.0": "-2", "0": "0", "-0": "0", "0e5": "0", "0e9999": "0", "-0.0E-9999": "0", "18446744073709551615": "18446744073709551615",
	} {
		if got, ok := jose.Integer(value); !ok || got != want {
			t.Errorf("%s: got %q, %v; want %s", value, got, ok, want)
		}
	}
	for _, value := range []string{"2.5", "25e-1", `"2"`, "true", "null", "", "[2]", "{}", "1e999", "-", strings.Repeat("1", 65)} {
		if got, ok := jose.Integer(value); ok {
			t.Errorf("%s: got %q; want it refused", value, got)
		}
	}
}
