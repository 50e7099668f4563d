package tokencache_test

import (
	"crypto/aes"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"os"
	"os/exec"
	"slices"
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

// The argument for the keys of a cache bounds the degree of a polynomial: one for each
// 16 bytes of the token, and one for its length. So the largest token has to enter the
// key as that polynomial and no other, which is evaluated here bit by bit.
func TestTheKeyOfA64KiBTokenIsAPolynomialOfDegree4097(t *testing.T) {
	secret := [16]byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}
	if !tokencache.New(1 << 20).Keyed() {
		return // SHA-256, of which nothing has to be argued
	}
	whole := strings.Repeat("eyJhbGciOiJSUzI1NiJ9.", 64<<10/21+1)
	for _, test := range []struct{ size, degree int }{
		{0, 1}, {1, 2}, {16, 2}, {17, 3}, {16 << 10, 1025}, {64<<10 - 1, 4097}, {64 << 10, 4097},
	} {
		got := tokencache.KeyUnder(secret, whole[:test.size])
		want, degree := gmac(t, secret, []byte(whole[:test.size]))
		if got != want {
			t.Errorf("%d bytes: got the key %x; want %x", test.size, got, want)
		}
		if degree != test.degree {
			t.Errorf("%d bytes: got degree %d; want %d", test.size, degree, test.degree)
		}
	}
}

// gmac is GMAC under the nonce of zeros by the letter of NIST SP 800-38D §6.4, and
// the degree of the polynomial in its key.
func gmac(t *testing.T, secret [16]byte, token []byte) (key tokencache.Key, degree int) {
	t.Helper()
	block, err := aes.NewCipher(secret[:])
	if err != nil {
		t.Fatal(err)
	}
	var h, sum, counter [16]byte
	block.Encrypt(h[:], h[:])
	counter[15] = 1
	block.Encrypt(counter[:], counter[:])
	var length [16]byte
	binary.BigEndian.PutUint64(length[:8], 8*uint64(len(token)))
	padded := append(token, make([]byte, (16-len(token)%16)%16)...)
	for piece := range slices.Chunk(append(padded, length[:]...), 16) {
		subtle.XORBytes(sum[:], sum[:], piece)
		sum = product(sum, h)
		degree++
	}
	subtle.XORBytes(key[:16], sum[:], counter[:])
	return key, degree
}

// product multiplies in the field of GCM (§6.3): the first bit is the coefficient of
// the lowest power, and 0xe1 stands for 1 + x + x^2 + x^7.
func product(a, b [16]byte) (z [16]byte) {
	for i := range 128 {
		if a[i/8]>>(7-i%8)&1 == 1 {
			subtle.XORBytes(z[:], z[:], b[:])
		}
		odd := b[15]&1 == 1
		for j := 15; j > 0; j-- {
			b[j] = b[j]>>1 | b[j-1]<<7
		}
		b[0] >>= 1
		if odd {
			b[0] ^= 0xe1
		}
	}
	return z
}
