//go:build interop

package main_test

import (
	"bytes"
	"encoding/base64"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/accesstoken/accesstoken/accesstokentest"
)

func TestATokenLookedUpByOneReplicaIsAHitInTheOther(t *testing.T) {
	c := newCluster(t)
	one, two := c.startReplica(t), c.startReplica(t)
	token := c.server.Opaque(nil)
	one.expect(t, token, http.StatusOK)
	c.awaitEntries(t, 1)
	two.expect(t, token, http.StatusOK)
	c.wantAsked(t, 1)
	one.wantNoWarning(t)
	two.wantNoWarning(t)
}

func TestAnEntryIsForgotten(t *testing.T) {
	c := newCluster(t)
	c.startReplica(t).expect(t, c.server.Opaque(nil), http.StatusOK)
	for name := range c.awaitEntries(t, 1) {
		ttl, err := c.client.PTTL(t.Context(), name).Result()
		if err != nil {
			t.Fatal(err)
		}
		if ttl <= 0 || ttl > time.Minute {
			t.Errorf("%s: ttl: got %v; want a minute at most", name, ttl)
		}
	}
}

func TestRedisHoldsNothingToRead(t *testing.T) {
	c := newCluster(t)
	replica := c.startReplica(t)
	active := c.server.Opaque(accesstokentest.Claims{"sub": "canary-subject", "scope": "canary-scope", "client_id": "canary-client"})
	revoked := c.server.Opaque(nil)
	c.server.Revoke(revoked)
	replica.expect(t, active, http.StatusOK)
	replica.expect(t, revoked, http.StatusUnauthorized)
	secrets := []string{active, revoked, "canary", "active", "fresh", resource, c.server.URL, accesstokentest.ClientID}
	for name, value := range c.awaitEntries(t, 2) {
		if !strings.HasPrefix(name, "introspection:") {
			t.Errorf("got a key %q; want the prefix introspection:", name)
		}
		for _, secret := range secrets {
			if strings.Contains(name+" "+value, secret) {
				t.Errorf("%q is readable in %q: %q", secret, name, value)
			}
		}
	}
}

// If Redis is killed or hangs, the introspection endpoint is asked instead. A token
// that was active when it was shared, but has been revoked since, is refused.
func TestARedisThatFailsIsSlowerNeverWrong(t *testing.T) {
	for name, signal := range map[string]os.Signal{"killed": syscall.SIGKILL, "hanging": syscall.SIGSTOP} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t)
			one, two := c.startReplica(t), c.startReplica(t)
			active, revoked := c.server.Opaque(nil), c.server.Opaque(nil)
			one.expect(t, active, http.StatusOK)
			one.expect(t, revoked, http.StatusOK)
			c.awaitEntries(t, 2)
			two.expect(t, active, http.StatusOK) // and has a connection
			c.wantAsked(t, 2)

			c.redis.signal(t, signal)
			c.server.Revoke(revoked)
			began := time.Now()
			two.expect(t, revoked, http.StatusUnauthorized)
			took := time.Since(began)
			t.Logf("took %v", took)
			if took > 2*time.Second {
				t.Errorf("took %v; want a quarter of a second more than without Redis", took)
			}
			two.expect(t, c.server.Opaque(nil), http.StatusOK)
			two.expect(t, "never-issued", http.StatusUnauthorized)
			c.wantAsked(t, 5)
			two.awaitWarning(t, "cannot share introspection answers through Redis")
			if lines := strings.Count(two.output.String(), "\n"); lines != 1 {
				t.Errorf("log: got %d lines; want one a minute", lines)
			}
		})
	}
}

func TestARestartedRedisIsUsedAgain(t *testing.T) {
	c := newCluster(t)
	one, two := c.startReplica(t), c.startReplica(t)
	one.expect(t, c.server.Opaque(nil), http.StatusOK)
	c.awaitEntries(t, 1)
	c.redis.signal(t, syscall.SIGKILL)
	two.expect(t, c.server.Opaque(nil), http.StatusOK)

	c.startRedis(t)
	token := c.server.Opaque(nil)
	one.expect(t, token, http.StatusOK)
	c.awaitEntries(t, 1)
	two.expect(t, token, http.StatusOK)
	c.wantAsked(t, 3)
}

func TestATamperedEntryIsIgnored(t *testing.T) {
	for name, tamper := range map[string]func(mine, other []byte) []byte{
		"a changed byte":        func(mine, _ []byte) []byte { mine[len(mine)/2] ^= 1; return mine },
		"that of another token": func(_, other []byte) []byte { return other },
		"plain": func(_, _ []byte) []byte {
			return []byte(`{"fresh":"2100-01-01T00:00:00Z","answer":{"active":true}}`)
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t)
			one, two := c.startReplica(t), c.startReplica(t)
			token := c.server.Opaque(nil)
			one.expect(t, c.server.Opaque(nil), http.StatusOK)
			others := c.awaitEntries(t, 1)
			one.expect(t, token, http.StatusOK)
			entries := c.awaitEntries(t, 2)
			for name, other := range others {
				delete(entries, name)
				for name, mine := range entries {
					value := tamper([]byte(mine), []byte(other))
					if err := c.client.Set(t.Context(), name, value, redis.KeepTTL).Err(); err != nil {
						t.Fatal(err)
					}
				}
			}
			c.server.Revoke(token)
			two.expect(t, token, http.StatusUnauthorized)
			c.wantAsked(t, 3)
			two.awaitWarning(t, "ignored a value in the Store: authentication failed")
		})
	}
}

func TestFaultsOfTheEnvironment(t *testing.T) {
	key := base64.StdEncoding.EncodeToString(bytes.Repeat([]byte("k"), 31))
	for name, c := range map[string]struct{ redisURL, key, want string }{
		"no Redis":            {"", key, "REDIS_URL is missing or malformed; write it like redis://"},
		"a URL with a secret": {"redis://user:hunter2@%zz", key, "REDIS_URL is missing or malformed; write it like redis://"},
		"no key":              {"redis://127.0.0.1:1", "", "STORE_KEY has 0 bytes"},
		"a key of 31 bytes":   {"redis://127.0.0.1:1", key, "STORE_KEY has 31 bytes"},
		"a key in hex":        {"redis://127.0.0.1:1", "hunter2", "STORE_KEY is not base64"},
	} {
		t.Run(name, func(t *testing.T) {
			p := startProgram(t, "127.0.0.1:0", "REDIS_URL="+c.redisURL, "STORE_KEY="+c.key)
			p.awaitEnd(t)
			got := p.output.String()
			if !strings.Contains(got, c.want) || strings.Contains(got, "hunter2") {
				t.Errorf("got %q; want %q, and no secret", got, c.want)
			}
		})
	}
}
