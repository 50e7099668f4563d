//go:build interop

package interop_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/accesstoken/accesstoken"
)

// A trial is one row of the table: a token of each server is presented to a resource
// server of ours. The result is the answer's status and the reason of a refusal.
type trial struct {
	name string
	want string
	try  func(t *testing.T, s *server) string
}

// trials are the rows of the table.
var trials = []trial{
	{"metadata", "OpenID Connect Discovery and RFC 8414", func(t *testing.T, s *server) string {
		var found []string
		for _, document := range []struct{ name, path string }{
			{"OpenID Connect Discovery", "openid-configuration"},
			{"RFC 8414", "oauth-authorization-server"},
		} {
			if metadata, err := readJSON(t, s.wellKnown(document.path)); err == nil && metadata["issuer"] == s.issuer {
				found = append(found, document.name)
			}
		}
		return strings.Join(found, " and ")
	}},
	{"JWT: client credentials", "200", jwtOf("jwt", "/")},
	{"JWT: authorization code with PKCE", "200", func(t *testing.T, s *server) string {
		return s.presentAs(t, "alice", s.logIn(t, "app-jwt").Access)
	}},
	{"JWT: refresh token grant", "200", func(t *testing.T, s *server) string {
		return s.presentAs(t, "alice", s.refresh(t, "app-jwt", s.logIn(t, "app-jwt").Refresh).Access)
	}},
	{"JWT: the route needs another scope", "403 SCOPE_INSUFFICIENT", jwtOf("jwt", "/write")},
	{"JWT: for another resource server", "401 AUDIENCE_MISMATCH", func(t *testing.T, s *server) string {
		return s.present(t, s.jwts(), "/", s.issue(t, "jwt", otherResource, "read"))
	}},
	{"JWT: another token's signature", "401 SIGNATURE_INVALID", func(t *testing.T, s *server) string {
		token, other := s.issue(t, "jwt", resource, "read"), s.issue(t, "jwt", resource, "read write")
		forged := other[:strings.LastIndexByte(other, '.')] + token[strings.LastIndexByte(token, '.'):]
		return s.present(t, s.jwts(), "/", forged)
	}},
	{"JWT: checked against RFC 9068", "200", func(t *testing.T, s *server) string {
		return s.present(t, accesstoken.Issuer{URL: s.issuer}, "/", s.issue(t, "jwt", resource, "read"))
	}},
	{"JWT: introspected (AlwaysIntrospect)", "200", func(t *testing.T, s *server) string {
		return s.present(t, s.asked(t), "/", s.issue(t, "jwt", resource, "read"))
	}},
	{"JWT: revoked", "200", func(t *testing.T, s *server) string {
		return s.present(t, s.jwts(), "/", s.revoked(t, "jwt"))
	}},
	{"JWT: revoked, and introspected", "401 TOKEN_INACTIVE", func(t *testing.T, s *server) string {
		return s.present(t, s.asked(t), "/", s.revoked(t, "jwt"))
	}},
	{"JWT: encrypted", "401 TOKEN_MALFORMED", func(t *testing.T, s *server) string {
		return s.present(t, s.jwts(), "/", s.issue(t, "jwe", resource, "read"))
	}},
	{"JWT: bound to a DPoP key, sent as Bearer", "401 BINDING_REQUIRED", func(t *testing.T, s *server) string {
		return s.present(t, s.jwts(), "/", s.issueBound(t, "bound", resource, "read"))
	}},
	{"JWT: bound to a DPoP key, with a proof", "200", func(t *testing.T, s *server) string {
		signer := newSigner(t)
		return presentBound(t, s.jwts(), s.issueBoundTo(t, signer, "bound", resource, "read"), signer)
	}},
	{"JWT: bound to a DPoP key, with another key's proof", "401 BINDING_MISMATCH", func(t *testing.T, s *server) string {
		return presentBound(t, s.jwts(), s.issueBound(t, "bound", resource, "read"), newSigner(t))
	}},

	{"opaque: client credentials", "200", opaqueOf("opaque", "/")},
	{"opaque: authorization code with PKCE", "200", func(t *testing.T, s *server) string {
		return s.presentAs(t, "alice", s.logIn(t, "app").Access)
	}},
	{"opaque: refresh token grant", "200", func(t *testing.T, s *server) string {
		return s.presentAs(t, "alice", s.refresh(t, "app", s.logIn(t, "app").Refresh).Access)
	}},
	{"opaque: the route needs another scope", "403 SCOPE_INSUFFICIENT", opaqueOf("opaque", "/write")},
	{"opaque: for another resource server", "401 AUDIENCE_MISMATCH", func(t *testing.T, s *server) string {
		return s.present(t, s.both(t), "/", s.issue(t, "opaque", otherResource, "read"))
	}},
	{"opaque: revoked", "401 TOKEN_INACTIVE", func(t *testing.T, s *server) string {
		return s.present(t, s.both(t), "/", s.revoked(t, "opaque"))
	}},
	{"opaque: the answer is a signed JWT (RFC 9701)", "200", func(t *testing.T, s *server) string {
		config := s.asks()
		config.Issuer, config.Keys = s.issuer, discovered(t, s.issuer)
		return s.present(t, accesstoken.Issuer{URL: s.issuer, Introspection: newClient(t, config)}, "/", s.issue(t, "opaque", resource, "read"))
	}},
	{"introspection: never issued", "401 TOKEN_INACTIVE", func(t *testing.T, s *server) string {
		return s.present(t, s.both(t), "/", neverIssued)
	}},
	{"introspection: our secret is wrong", "500 RESOURCE_SERVER_MISCONFIGURED", func(t *testing.T, s *server) string {
		config := s.asks()
		config.ClientSecret = "wrong"
		return s.present(t, accesstoken.Issuer{URL: s.issuer, Introspection: newClient(t, config)}, "/", neverIssued)
	}},

	{"ID token", "401 TOKEN_TYPE_MISMATCH", func(t *testing.T, s *server) string {
		return s.present(t, s.both(t), "/", s.logIn(t, "app-jwt").ID)
	}},
	{"refresh token", "401 TOKEN_TYPE_MISMATCH", func(t *testing.T, s *server) string {
		return s.present(t, s.both(t), "/", s.logIn(t, "app-jwt").Refresh)
	}},
	{"key rotation under load", "all 200", rotatedUnderLoad},
	{"restart: JWTs during and after it", "200, 200", jwtsInARestart},
	{"restart: opaque during and after it", "503 INTROSPECTION_UNAVAILABLE, 200", opaqueInARestart},
}

// jwts accepts the server's JWTs only.
func (s *server) jwts() accesstoken.Issuer {
	return accesstoken.Issuer{URL: s.issuer, Profile: s.profile}
}

// both accepts opaque tokens as well.
func (s *server) both(t *testing.T) accesstoken.Issuer {
	return accesstoken.Issuer{URL: s.issuer, Profile: s.profile, Introspection: newClient(t, s.asks())}
}

// asked also introspects every JWT.
func (s *server) asked(t *testing.T) accesstoken.Issuer {
	issuer := s.both(t)
	issuer.AlwaysIntrospect = true
	return issuer
}

// jwtOf presents a JWT with the scope read.
func jwtOf(client, path string) func(t *testing.T, s *server) string {
	return func(t *testing.T, s *server) string {
		return s.present(t, s.jwts(), path, s.issue(t, client, resource, "read"))
	}
}

// opaqueOf presents an opaque token with the scope read.
func opaqueOf(client, path string) func(t *testing.T, s *server) string {
	return func(t *testing.T, s *server) string {
		return s.present(t, s.both(t), path, s.issue(t, client, resource, "read"))
	}
}

// present starts a resource server, and presents a token to it.
func (s *server) present(t *testing.T, issuer accesstoken.Issuer, path, token string) string {
	t.Helper()
	got, _ := serve(t, issuer).call(t, path, token)
	return got.String()
}

// presentAs presents a user's token, and checks the caller that the handler found.
func (s *server) presentAs(t *testing.T, user, token string) string {
	t.Helper()
	got, found := serve(t, s.both(t)).call(t, "/", token)
	if got.status == http.StatusOK && (found.Issuer != s.issuer || found.Subject != s.subject(user)) {
		t.Errorf("the handler found %+v; want %s of %s", found, user, s.issuer)
	}
	return got.String()
}

// revoked presents a token that was good and then revoked.
func (s *server) revoked(t *testing.T, client string) (token string) {
	t.Helper()
	token = s.issue(t, client, resource, "read")
	if got := s.present(t, s.both(t), "/", token); got != "200" {
		t.Fatalf("before it is revoked: got %s; want 200", got)
	}
	s.revoke(t, client, token)
	return token
}

// rotatedUnderLoad presents tokens without a pause, new ones and old ones, while
// the server begins to sign with another key.
//
// No token is requested at the moment of the rotation itself. Hydra reads its key twice
// for each token, for kid and for the signature. If the rotation is in between, a token
// names the old key but is signed with the new one.
func rotatedUnderLoad(t *testing.T, s *server) string {
	const workers, after = 4, 100 // tokens under the new key, for each worker
	rs := serve(t, s.jwts())
	old := s.issue(t, "jwt", resource, "read")
	var asking sync.RWMutex
	var rotated atomic.Bool
	var ready, done sync.WaitGroup
	refused := make(chan string, workers)
	for range workers {
		ready.Add(1)
		begun := sync.OnceFunc(ready.Done)
		done.Go(func() {
			defer begun()
			for n := 0; n < after; {
				asking.RLock()
				counts := rotated.Load()
				token := s.issue(t, "jwt", resource, "read")
				asking.RUnlock()
				for _, token := range []string{token, old} {
					if got, _ := rs.call(t, "/", token); got.status != http.StatusOK {
						refused <- got.String()
						return
					}
				}
				begun()
				if counts {
					n++
				}
			}
		})
	}
	ready.Wait() // each has had an answer
	asking.Lock()
	s.rotate(t)
	rotated.Store(true)
	asking.Unlock()
	done.Wait()
	if kid(t, s.issue(t, "jwt", resource, "read")) == kid(t, old) {
		t.Error("the server signs with the same key as before")
	}
	select {
	case got := <-refused:
		return got
	default:
		return "all 200"
	}
}

// jwtsInARestart tests JWTs, seen before or not, while the server is down, and old and
// new ones when it is back.
func jwtsInARestart(t *testing.T, s *server) string {
	rs := serve(t, s.both(t))
	seen, unseen := s.issue(t, "jwt", resource, "read"), s.issue(t, "jwt", resource, "read")
	rs.expect(t, "/", seen, allowed())
	var during string
	s.away(t, func() {
		rs.expect(t, "/", seen, allowed())
		got, _ := rs.call(t, "/", unseen)
		during = got.String()
	})
	rs.expect(t, "/", seen, allowed())
	if got := s.present(t, s.jwts(), "/", unseen); got != "200" { // to a resource server that has just started
		t.Errorf("a token from before, when the server is back: got %s; want 200", got)
	}
	got, _ := rs.call(t, "/", s.issue(t, "jwt", resource, "read"))
	return fmt.Sprintf("%s, %s", during, got)
}

// opaqueInARestart tests opaque tokens while the server restarts.
func opaqueInARestart(t *testing.T, s *server) string {
	rs := serve(t, s.both(t))
	token := s.issue(t, "opaque", resource, "read")
	rs.expect(t, "/", token, allowed())
	var during string
	s.away(t, func() {
		got, _ := rs.call(t, "/", token)
		during = got.String()
	})
	token = s.issue(t, "opaque", resource, "read")
	got, _ := rs.call(t, "/", token)
	again := time.NewTicker(100 * time.Millisecond)
	defer again.Stop()
	for deadline := time.Now().Add(backAgain); got.status == http.StatusServiceUnavailable && time.Now().Before(deadline); <-again.C {
		got, _ = rs.call(t, "/", token)
	}
	return fmt.Sprintf("%s, %s", during, got)
}

// backAgain is the maximum time for which the introspection client does not call an
// endpoint that did not answer.
const backAgain = 10 * time.Second
