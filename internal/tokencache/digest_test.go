package tokencache_test

import (
	"crypto/sha256"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/cpu"

	"github.com/accesstoken/accesstoken/internal/tokencache"
)

// Tokens that differ by a byte, a length or their end have different keys, and
// one token has one key.
func TestKeysOfACacheTellTokensApart(t *testing.T) {
	cache := tokencache.New(1 << 20)
	base := strings.Repeat("eyJhbGciOiJSUzI1NiJ9.", 40)
	seen := map[tokencache.Key]string{}
	tokens := []string{"", "x", base, base + "A", base[1:], base[:len(base)-1], base + "\x00", "\x00" + base, strings.Repeat("\x00", 16), strings.Repeat("\x00", 32)}
	for i := range base {
		changed := []byte(base)
		changed[i] ^= 1
		tokens = append(tokens, string(changed))
	}
	for _, token := range tokens {
		key := cache.KeyOf(token)
		if other, taken := seen[key]; taken && other != token {
			t.Errorf("got one key for %.40q and %.40q", other, token)
		}
		seen[key] = token
		if again := cache.KeyOf(token); again != key {
			t.Errorf("%.40q: got %x and %x; want one key", token, key, again)
		}
	}
}

// A key is worth something in its own cache only: who learns one, or finds two
// tokens with one key elsewhere, has learnt nothing about this one.
func TestCachesHaveKeysOfTheirOwn(t *testing.T) {
	a, b := tokencache.New(1<<20), tokencache.New(1<<20)
	const token = "eyJhbGciOiJSUzI1NiJ9.e30.AA"
	if !a.Keyed() {
		if a.KeyOf(token) != tokencache.Key(sha256.Sum256([]byte(token))) {
			t.Error("without a secret key: got something else than SHA-256")
		}
		return
	}
	if a.KeyOf(token) == b.KeyOf(token) {
		t.Error("got the same key in two caches; want a secret of each")
	}
	if a.KeyOf(token) == tokencache.KeyOf(token) {
		t.Error("got the SHA-256 of the token; want a keyed hash")
	}
}

// Where the processor makes GMAC cheap, keys have the secret of their cache in them.
func TestKeysHaveASecretWhereItIsCheap(t *testing.T) {
	cheap := cpu.X86.HasAES && cpu.X86.HasPCLMULQDQ || cpu.ARM64.HasAES && cpu.ARM64.HasPMULL
	if got := tokencache.New(1 << 20).Keyed(); got != cheap {
		t.Errorf("got %v; want %v on this processor", got, cheap)
	}
}

func TestKeysOfACacheAllocateNothing(t *testing.T) {
	cache, token := tokencache.New(1<<20), strings.Repeat("x", 902)
	cache.KeyOf(token)
	if n := testing.AllocsPerRun(1000, func() { cache.KeyOf(token) }); n > 0 {
		t.Errorf("got %v allocations; want 0", n)
	}
}

func TestKeysOfACacheInManyGoroutines(t *testing.T) {
	cache := tokencache.New(1 << 20)
	var wait sync.WaitGroup
	for i := range 8 {
		token := strings.Repeat(strconv.Itoa(i), 100*i)
		want := cache.KeyOf(token)
		wait.Go(func() {
			for range 200 {
				if got := cache.KeyOf(token); got != want {
					t.Errorf("got %x; want %x", got, want)
				}
			}
		})
	}
	wait.Wait()
}

// In FIPS 140-3 mode there is no GMAC with a nonce of one's own.
func TestKeysInFIPSModeAreSHA256(t *testing.T) {
	const inside = "TOKENCACHE_TEST_FIPS"
	if os.Getenv(inside) != "" {
		cache := tokencache.New(1 << 20)
		if cache.Keyed() || cache.KeyOf("token") != tokencache.KeyOf("token") {
			t.Error("got a keyed hash; want SHA-256")
		}
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestKeysInFIPSModeAreSHA256$", "-test.v")
	cmd.Env = append(os.Environ(), inside+"=1", "GODEBUG=fips140=only")
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS") {
		t.Errorf("got %v:\n%s", err, out)
	}
}
