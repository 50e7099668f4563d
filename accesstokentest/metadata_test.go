package accesstokentest_test

import (
	"fmt"
	"log"
	"testing"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/accesstokentest"
	"github.com/accesstoken/accesstoken/internal/testkit"
	"github.com/accesstoken/accesstoken/resourcemetadata"
	"github.com/accesstoken/accesstoken/scopes"
)

// In a test, list the policies of all routes, and compare with what you leave out on purpose.
func ExampleUnlistedScopes() {
	v, err := accesstoken.NewValidator(accesstoken.Config{
		Resource: "https://api.example.com",
		Issuers:  []accesstoken.Issuer{{URL: "https://login.example.com"}},
		Metadata: &resourcemetadata.Metadata{Scopes: []string{"orders:read"}},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer v.Close()
	list := accesstoken.Policy{Scopes: scopes.All("orders:read")}
	create := accesstoken.Policy{Scopes: scopes.All("orders:write")}
	fmt.Println(accesstokentest.UnlistedScopes(v, list, create))
	// Output: [orders:write]
}

func TestUnlistedScopes(t *testing.T) {
	as := accesstokentest.NewServer(t)
	for want, test := range map[string]struct {
		metadata *resourcemetadata.Metadata
		policies []accesstoken.Policy
	}{
		"[]":    {&resourcemetadata.Metadata{Scopes: []string{"a", "b"}}, []accesstoken.Policy{{Scopes: scopes.All("b", "a")}, {Scopes: scopes.None()}, {}}},
		"[b c]": {&resourcemetadata.Metadata{Scopes: []string{"a"}}, []accesstoken.Policy{{Scopes: scopes.Any("c", "a")}, {Scopes: scopes.All("b", "c")}}},
		"[a]":   {nil, []accesstoken.Policy{{Scopes: scopes.All("a")}}},
		"[d]":   {&resourcemetadata.Metadata{}, []accesstoken.Policy{{Scopes: scopes.All("d")}}},
	} {
		v := testkit.NewValidator(t, as, func(c *accesstoken.Config) { c.Metadata = test.metadata })
		if got := fmt.Sprint(accesstokentest.UnlistedScopes(v, test.policies...)); got != want {
			t.Errorf("got %s; want %s", got, want)
		}
	}
}
