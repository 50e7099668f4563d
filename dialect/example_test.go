package dialect_test

import (
	"fmt"

	"github.com/accesstoken/accesstoken/dialect"
)

// Clerk names the client in azp, and only its session tokens have v and sid. Beside it,
// Issuer.Clients is needed, because the tokens have no aud.
func ExampleDialect() {
	clerk := &dialect.Dialect{
		Name:     "Clerk",
		Types:    []string{"jwt"},
		Client:   []string{"azp"},
		Optional: []string{"jti", "aud"},
		Kind:     []dialect.Mark{dialect.Is("v", 2), dialect.Has("sid")},
	}
	fmt.Println(clerk)
	// Output:
	// Clerk relaxes: typ is jwt; the client is in azp; the token's id may be absent; aud may be absent. It demands: no at_hash, c_hash, s_hash or events; v 2; sid; a client among Issuer.Clients
}

func ExampleAnyOf() {
	fmt.Println(dialect.AnyOf(dialect.Is("token_use", "access"), dialect.HasPrefix("sub", "service:")))
	// Output: token_use access or sub that begins with service:
}
