//go:build interop

package main_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"net/http"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/accesstoken/accesstoken/accesstokentest"
	"github.com/accesstoken/accesstoken/dpop"
)

// A holder has a token that is bound to its key.
type holder struct {
	signer *dpop.Signer
	token  string
}

func (c *cluster) newHolder(t *testing.T) holder {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := dpop.NewSigner(key)
	if err != nil {
		t.Fatal(err)
	}
	claims := accesstokentest.Claims{"token_type": "DPoP", "cnf": map[string]any{"jkt": signer.Thumbprint()}}
	return holder{signer, c.server.Opaque(claims)}
}

// proof returns the header fields of one request to the common URL of the replicas,
// whichever replica gets it.
func (h holder) proof(t *testing.T) http.Header {
	t.Helper()
	proof, err := h.signer.Sign(dpop.Proof{Method: http.MethodGet, URL: resource + "/hello", Token: h.token})
	if err != nil {
		t.Fatal(err)
	}
	return http.Header{"Authorization": {"DPoP " + h.token}, "Dpop": {proof}}
}

func (r *replica) expectProof(t *testing.T, header http.Header, want int) {
	t.Helper()
	got, err := r.send(t, header)
	if err != nil {
		t.Fatal(err)
	}
	if got != want {
		t.Errorf("got %d; want %d", got, want)
	}
}

func TestOneOfAHundredEqualProofsPasses(t *testing.T) {
	c := newCluster(t)
	replicas := []*replica{c.startReplica(t), c.startReplica(t)}
	holder := c.newHolder(t)
	for range 3 {
		same := holder.proof(t)
		got := map[int]int{}
		var mu sync.Mutex
		var all sync.WaitGroup
		for i := range 100 {
			all.Go(func() {
				status, err := replicas[i%2].send(t, same.Clone())
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				defer mu.Unlock()
				got[status]++
			})
		}
		all.Wait()
		if got[http.StatusOK] != 1 || got[http.StatusUnauthorized] != 99 {
			t.Errorf("got the statuses %v; want 200 once and 401 for the others", got)
		}
	}
}

func TestAUseIsForgottenAndSaysNothing(t *testing.T) {
	c := newCluster(t)
	holder := c.newHolder(t)
	used := holder.proof(t)
	c.startReplica(t).expectProof(t, used, http.StatusOK)
	uses := 0
	for name, value := range c.awaitEntries(t, 2) { // the other one is the introspection answer
		if !strings.HasPrefix(name, "dpop:") {
			continue
		}
		uses++
		ttl, err := c.client.PTTL(t.Context(), name).Result()
		if err != nil {
			t.Fatal(err)
		}
		if ttl < 30*time.Second || ttl > 2*time.Minute {
			t.Errorf("ttl: got %v; want as long as the proof is good, which is about a minute", ttl)
		}
		if len(name) != len("dpop:")+64 || value != "1" {
			t.Errorf("got %q: %q; want a digest, and 1", name, value)
		}
	}
	if uses != 1 {
		t.Errorf("got %d uses; want 1", uses)
	}
}

// If Redis does not answer, no proof is accepted, but requests without a proof are
// served.
func TestWithoutRedisNoProofPasses(t *testing.T) {
	for name, signal := range map[string]os.Signal{"killed": syscall.SIGKILL, "hanging": syscall.SIGSTOP} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t)
			replica := c.startReplica(t)
			holder := c.newHolder(t)
			used := holder.proof(t)
			replica.expectProof(t, used, http.StatusOK)
			c.redis.signal(t, signal)
			for _, proof := range []http.Header{used, holder.proof(t)} {
				began := time.Now()
				replica.expectProof(t, proof, http.StatusServiceUnavailable)
				if took := time.Since(began); took > 2500*time.Millisecond {
					t.Errorf("took %v; want about a second", took)
				}
			}
			replica.expect(t, c.server.Opaque(nil), http.StatusOK)

			if name == "hanging" {
				c.redis.signal(t, syscall.SIGCONT)
			} else {
				c.startRedis(t)
			}
			await(t, replica.process, "a proof passes again", func() bool {
				status, err := replica.send(t, holder.proof(t))
				return err == nil && status == http.StatusOK
			})
		})
	}
}
