package tokencache_test

import (
	"crypto/sha256"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/accesstoken/accesstoken/internal/tokencache"
)

func TestKeyOfIsSHA256(t *testing.T) {
	for name, token := range map[string]string{
		"no token":       "",
		"a short token":  "opaque",
		"a JWT":          strings.Repeat("eyJhbGciOiJSUzI1NiJ9.", 40),
		"a huge token":   strings.Repeat("x", 1<<20),
		"after a longer": "opaque",
	} {
		if got, want := tokencache.KeyOf(token), tokencache.Key(sha256.Sum256([]byte(token))); got != want {
			t.Errorf("%s: got %x; want %x", name, got, want)
		}
	}
}

func TestKeysOfManyGoroutinesDoNotMix(t *testing.T) {
	var wait sync.WaitGroup
	for i := range 8 {
		wait.Go(func() {
			for j := range 200 {
				token := strings.Repeat(strconv.Itoa(i), j)
				if got, want := tokencache.KeyOf(token), tokencache.Key(sha256.Sum256([]byte(token))); got != want {
					t.Errorf("KeyOf: got %x; want %x", got, want)
				}
			}
		})
	}
	wait.Wait()
}

func TestKeyOfAllocatesNothing(t *testing.T) {
	token := strings.Repeat("x", 902)
	tokencache.KeyOf(token)
	if n := testing.AllocsPerRun(1000, func() { tokencache.KeyOf(token) }); n > 0 {
		t.Errorf("KeyOf: got %v allocations; want 0", n)
	}
}

func TestAHitAllocatesNothing(t *testing.T) {
	cache, key := tokencache.New(1<<20), tokencache.KeyOf("token")
	cache.Put(key, new(string), 100)
	if n := testing.AllocsPerRun(1000, func() { cache.Get(key) }); n > 0 {
		t.Errorf("Get: got %v allocations; want 0", n)
	}
}

func TestTheCacheKeepsWhatItIsGiven(t *testing.T) {
	const big = 1 << 20
	a, b := tokencache.KeyOf("a"), tokencache.KeyOf("b")
	for _, test := range []struct {
		name string
		do   func(*tokencache.Cache)
		a, b string // "" is not there
	}{
		{"nothing put", func(*tokencache.Cache) {}, "", ""},
		{"one put", func(c *tokencache.Cache) { c.Put(a, "one", 100) }, "one", ""},
		{"two put", func(c *tokencache.Cache) { c.Put(a, "one", 100); c.Put(b, "two", 100) }, "one", "two"},
		{"put again", func(c *tokencache.Cache) { c.Put(a, "one", 100); c.Put(a, "two", 200) }, "two", ""},
		{"dropped", func(c *tokencache.Cache) { c.Put(a, "one", 100); c.Put(b, "two", 100); c.Drop(a) }, "", "two"},
		{"dropped before it was put", func(c *tokencache.Cache) { c.Drop(a); c.Put(a, "one", 100) }, "one", ""},
		{"cleared", func(c *tokencache.Cache) { c.Put(a, "one", 100); c.Put(b, "two", 100); c.Clear() }, "", ""},
		{"cleared and put", func(c *tokencache.Cache) { c.Put(a, "one", 100); c.Clear(); c.Put(a, "two", 100) }, "two", ""},
		{"as large as the cache", func(c *tokencache.Cache) { c.Put(a, "one", big) }, "one", ""},
		{"larger than the cache", func(c *tokencache.Cache) { c.Put(a, "one", big+1); c.Put(b, "two", 100) }, "", "two"},
	} {
		t.Run(test.name, func(t *testing.T) {
			cache := tokencache.New(big)
			test.do(cache)
			for _, entry := range []struct {
				name string
				key  tokencache.Key
				want string
			}{{"a", a, test.a}, {"b", b, test.b}} {
				got, _ := cache.Get(entry.key).(string)
				if got != entry.want {
					t.Errorf("Get(%s): got %q; want %q", entry.name, got, entry.want)
				}
			}
		})
	}
}

// kept counts the bytes of the entries that can still be had.
func kept(cache *tokencache.Cache) (bytes int) {
	for i := range entries {
		if size, ok := cache.Get(tokencache.KeyOf(strconv.Itoa(i))).(int); ok {
			bytes += size
		}
	}
	return bytes
}

const entries = 5_000

func TestTheCacheIsBoundedByBytes(t *testing.T) {
	const bound = 64 << 10
	for name, size := range map[string]func(i int) int{
		"small entries": func(int) int { return 100 },
		"large entries": func(int) int { return bound / 3 },
		"of all sizes":  func(i int) int { return 1 + i%5000 },
	} {
		t.Run(name, func(t *testing.T) {
			cache := tokencache.New(bound)
			for i := range entries {
				cache.Put(tokencache.KeyOf(strconv.Itoa(i)), size(i), size(i))
			}
			if got := kept(cache); got > bound || got < bound/4 {
				t.Errorf("after %d entries: got %d bytes; want at most %d, and some", entries, got, bound)
			}
		})
	}
}

func TestTheCacheIsBoundedUnderConcurrentUse(t *testing.T) {
	const bound = 64 << 10
	cache := tokencache.New(bound)
	var wait sync.WaitGroup
	for worker := range 8 {
		wait.Go(func() {
			for i := range entries / 8 {
				key := tokencache.KeyOf(strconv.Itoa(worker*entries/8 + i))
				cache.Put(key, 100, 100)
				if size, ok := cache.Get(key).(int); ok && size != 100 {
					t.Errorf("Get: got %d; want what was put", size)
				}
				switch i % 500 {
				case 100:
					cache.Drop(key)
				case 200:
					cache.Clear()
				}
			}
		})
	}
	wait.Wait()
	cache.Put(tokencache.KeyOf("last"), 100, 100)
	if got := kept(cache); got > bound {
		t.Errorf("got %d bytes; want at most %d", got, bound)
	}
}

// Entries that are smaller than 256 bytes are bounded by their number.
func TestTheCacheIsBoundedByEntries(t *testing.T) {
	const bound = 128 << 10
	cache := tokencache.New(bound)
	for i := range entries {
		cache.Put(tokencache.KeyOf(strconv.Itoa(i)), 1, 1)
	}
	if got := kept(cache); got > bound/256 || got < bound/512 {
		t.Errorf("got %d entries; want at most %d, and at least half of them", got, bound/256)
	}
}

func TestDroppingAKeyLeavesAllOthers(t *testing.T) {
	const most = 500
	cache := tokencache.New(1 << 20)
	for i := range most {
		cache.Put(tokencache.KeyOf(strconv.Itoa(i)), 1, 1)
	}
	cache.Drop(tokencache.KeyOf("0"))
	if got := kept(cache); got != most-1 {
		t.Errorf("got %d entries; want %d", got, most-1)
	}
}

// When all that there is was asked for often, something has to go all the same.
func TestWhatIsInUseMakesRoomWhenAllIs(t *testing.T) {
	const most, size = 100, 1 << 10
	cache := tokencache.New(most * size)
	for i := range most {
		key := tokencache.KeyOf(strconv.Itoa(i))
		cache.Put(key, size, size)
		for range 10 {
			cache.Get(key)
		}
	}
	cache.Put(tokencache.KeyOf(strconv.Itoa(most)), size, size)
	if got := kept(cache); got != most*size {
		t.Errorf("got %d bytes; want %d", got, most*size)
	}
}

// A goroutine that is left when the bubble ends fails the test.
func TestTheCacheOwnsNoGoroutine(t *testing.T) {
	synctest.Test(t, func(*testing.T) {
		cache := tokencache.New(1 << 10)
		for i := range 1000 {
			key := tokencache.KeyOf(fmt.Sprint(i))
			cache.Put(key, i, 100)
			cache.Get(key)
		}
		cache.Drop(tokencache.KeyOf("999"))
		cache.Clear()
	})
}
