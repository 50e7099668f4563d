package tokencache_test

import (
	"bytes"
	"encoding/binary"
	"flag"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/accesstoken/accesstoken/internal/tokencache"
)

var flood = flag.Int("flood", 250_000, "how many new keys TestAFloodOfNewKeys puts")

// A fact is a value that knows its key, and has the size that it is said to have.
type fact struct {
	key  tokencache.Key
	body [factBytes - factOverhead]byte
}

const (
	factBytes    = 600 // what a usual token's facts are reckoned at
	factOverhead = 230 // of it the key twice, and the cache's own entry
)

// keyFrom returns a key that begins and ends with a number.
func keyFrom(first, last uint64) (key tokencache.Key) {
	binary.BigEndian.PutUint64(key[:], first)
	binary.BigEndian.PutUint64(key[len(key)-8:], last)
	return key
}

// scattered returns the key of a number, as random as those of tokens. No two
// numbers have one.
func scattered(n int) tokencache.Key {
	return keyFrom(scatteredNumber(n), uint64(n))
}

func heap() int64 {
	for range 3 {
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// Keys that are seen once, nine times as many as there is room for, and with
// -flood 10000000 four hundred times, neither fill the memory nor drive out those that are in use.
func TestAFloodOfNewKeys(t *testing.T) {
	const bound, used = 16 << 20, 1_000
	before := heap()
	cache := tokencache.New(bound)
	put := func(n int) {
		key := scattered(n)
		cache.Put(key, &fact{key: key}, factBytes)
	}
	for n := range used {
		put(n)
	}
	for n := range *flood {
		put(used + n)
		cache.Get(scattered(n % used))
	}
	grown := heap() - before
	if grown > bound {
		t.Errorf("the heap has grown by %d MiB; want at most %d", grown>>20, bound>>20)
	}
	kept, others := 0, 0
	for n := range used + *flood {
		switch found, ok := cache.Get(scattered(n)).(*fact); {
		case ok && found.key != scattered(n):
			t.Fatalf("key %d: got the fact of another", n)
		case ok && n < used:
			kept++
		case ok:
			others++
		}
	}
	t.Logf("after %d keys: %d of the %d in use are there, and %d others; %d MiB", *flood, kept, used, others, grown>>20)
	if kept < used*99/100 {
		t.Errorf("got %d of %d keys in use; want 99 of a hundred", kept, used)
	}
	if held := (kept + others) * factBytes; held > bound || held < bound/2 {
		t.Errorf("got %d bytes held; want at most %d, and no less than half", held, bound)
	}
}

// Keys that an unkeyed hash would put into one place are nothing special: all
// are held, none is taken for another, and a flood of them drives out as little
// as one of others.
func TestCraftedKeysAreAsGoodAsOthers(t *testing.T) {
	const keys, room, size = 5_000, 1_250, 256
	for name, crafted := range map[string]func(n int) tokencache.Key{
		"scattered":                          scattered,
		"in sequence":                        func(n int) tokencache.Key { return keyFrom(0, uint64(n)) },
		"in sequence, from the other end":    func(n int) tokencache.Key { return keyFrom(uint64(n), 0) },
		"whose first half is the same":       func(n int) tokencache.Key { return keyFrom(^uint64(0), scatteredNumber(n)) },
		"whose last half is the same":        func(n int) tokencache.Key { return keyFrom(scatteredNumber(n), ^uint64(0)) },
		"whose halves are equal":             func(n int) tokencache.Key { return keyFrom(scatteredNumber(n), scatteredNumber(n)) },
		"whose halves add up to the same":    func(n int) tokencache.Key { return keyFrom(scatteredNumber(n), -scatteredNumber(n)) },
		"whose low bits are the same":        func(n int) tokencache.Key { return keyFrom(uint64(n)<<40, uint64(n)<<40) },
		"whose halves differ by a few bits":  func(n int) tokencache.Key { return keyFrom(1<<(n%64), uint64(n)) },
		"that are multiples of a power of 2": func(n int) tokencache.Key { return keyFrom(uint64(n)<<16, 0) },
	} {
		t.Run(name, func(t *testing.T) {
			roomy, tight := tokencache.New(16*keys*size), tokencache.New(room*size)
			for n := range keys {
				key := crafted(n)
				roomy.Put(key, n, size)
				tight.Put(key, n, size)
				tight.Get(crafted(n % 100))
			}
			inUse, held := 0, 0
			for n := range keys {
				if got := roomy.Get(crafted(n)); got != n {
					t.Fatalf("key %d: got %v; want it held", n, got)
				}
				got := tight.Get(crafted(n))
				if got != nil && got != n {
					t.Fatalf("key %d: got %v, the value of another", n, got)
				}
				if got == n {
					held++
				}
				if got == n && n < 100 {
					inUse++
				}
			}
			if inUse < 99 || held > room || held < room/2 {
				t.Errorf("got %d keys held, and %d of 100 in use; want up to %d, and 99", held, inUse, room)
			}
		})
	}
}

// scatteredNumber is the step of SplitMix64, which has no two numbers meet.
func scatteredNumber(n int) uint64 {
	z := uint64(n+1) * 0x9e3779b97f4a7c15
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// A million tokens that are next to each other, by a bit, by their length or by
// what they begin or end with, have a million keys.
func TestAMillionNeighbouringTokensHaveAMillionKeys(t *testing.T) {
	const tokens = 1_000_000
	cache := tokencache.New(1 << 20)
	base := []byte(strings.Repeat("eyJhbGciOiJFUzI1NiJ9.", 10))
	zeros := strings.Repeat("\x00", 2_000)
	seen := make(map[tokencache.Key]struct{}, tokens)
	add := func(token string) { seen[cache.KeyOf(token)] = struct{}{} }
	count := 0
	for i := range 8 * len(base) { // one bit
		base[i/8] ^= 1 << (i % 8)
		add(string(base))
		base[i/8] ^= 1 << (i % 8)
		count++
	}
	for i := range 8 * len(base) { // two
		for j := i + 1; j < 8*len(base) && count < tokens/2; j++ {
			base[i/8] ^= 1 << (i % 8)
			base[j/8] ^= 1 << (j % 8)
			add(string(base))
			base[i/8] ^= 1 << (i % 8)
			base[j/8] ^= 1 << (j % 8)
			count++
		}
	}
	for n := range len(base) + 1 { // what it begins with, itself among it
		add(string(base[:n]))
		count++
	}
	for n := 1; n <= len(zeros); n++ { // nothing but a length
		add(zeros[:n])
		count++
	}
	for number := uint64(0); count < tokens; number++ { // the same 900 bytes, and a number after or before them
		var end [8]byte
		binary.BigEndian.PutUint64(end[:], number)
		if number%2 == 0 {
			add(string(base) + string(end[:]))
		} else {
			add(string(end[:]) + string(base))
		}
		count++
	}
	if len(seen) != tokens {
		t.Errorf("got %d keys for %d tokens; want one for each", len(seen), tokens)
	}
}

// Of the largest tokens, those that differ by one bit, by a length, by the order of
// their blocks or by changes that cancel each other in a plain sum have keys of their
// own.
func TestTheLargestTokensThatAreNeighboursHaveKeysOfTheirOwn(t *testing.T) {
	const size, block = 64 << 10, 16
	cache := tokencache.New(1 << 20)
	base := []byte(strings.Repeat("eyJhbGciOiJFUzI1NiJ9.", size/21+1))[:size]
	zeros := strings.Repeat("\x00", size)
	seen, count := map[tokencache.Key]struct{}{}, 0
	add := func(token string) {
		seen[cache.KeyOf(token)] = struct{}{}
		count++
	}
	add(string(base))
	for n := range size / block {
		at := n * block
		base[at] ^= 1 // one bit of each block
		add(string(base))
		base[(at+block)%size] ^= 1 // and the same of the next, which a sum would not see
		add(string(base))
		base[at] ^= 1
		base[(at+block)%size] ^= 1
		add(zeros[:size-n]) // nothing but a length
	}
	for n := range 512 { // two blocks in each other's place
		a, b := base[n*block:(n+1)*block], base[size-(n+1)*block:size-n*block]
		swapped := bytes.Clone(base)
		copy(swapped[n*block:], b)
		copy(swapped[size-(n+1)*block:], a)
		if !bytes.Equal(a, b) {
			add(string(swapped))
		}
	}
	if len(seen) != count {
		t.Errorf("got %d keys for %d tokens; want one for each", len(seen), count)
	}
}

// Under puts, drops and clears from all sides a key has its own value or none,
// the bound holds, and what is cleared is gone.
func TestEveryKeyHasItsOwnValueWhateverElseIsGoingOn(t *testing.T) {
	const bound, workers, keys = 1 << 20, 8, 4_000
	cache := tokencache.New(bound)
	var wait sync.WaitGroup
	for worker := range workers {
		wait.Go(func() {
			random := rand.New(rand.NewPCG(1, uint64(worker)))
			for range 10_000 {
				key := scattered(random.IntN(keys))
				switch action := random.IntN(1_000); {
				case action == 0:
					cache.Clear()
				case action < 100:
					cache.Drop(key)
				case action < 500:
					cache.Put(key, &fact{key: key}, factBytes)
				default:
					if found, ok := cache.Get(key).(*fact); ok && found.key != key {
						t.Error("got the value of another key")
					}
				}
			}
		})
	}
	wait.Wait()
	for n := range keys {
		cache.Put(scattered(n), &fact{key: scattered(n)}, factBytes)
	}
	held := 0
	for n := range keys {
		if cache.Get(scattered(n)) != nil {
			held += factBytes
		}
	}
	if held > bound || held < bound/2 {
		t.Errorf("got %d bytes held; want at most %d, and no less than half", held, bound)
	}
	cache.Clear()
	for n := range keys {
		if cache.Get(scattered(n)) != nil {
			t.Fatalf("key %d after Clear: got a value; want none", n)
		}
	}
}

// What was dropped while others are at work stays away until it is put again,
// since a fact that is dropped is one that no longer holds.
func TestWhatIsDroppedStaysAway(t *testing.T) {
	cache := tokencache.New(1 << 20)
	stop := make(chan struct{})
	var noise sync.WaitGroup
	for worker := range 4 {
		noise.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
					key := scattered(1_000 + worker*500_000_000 + n)
					cache.Put(key, &fact{key: key}, factBytes)
					cache.Get(scattered(n % 1_000))
				}
			}
		})
	}
	for n := range 1_000 {
		key := scattered(n)
		cache.Put(key, &fact{key: key}, factBytes)
		cache.Drop(key)
		for range 5 {
			if cache.Get(key) != nil {
				t.Errorf("key %d: got a value after Drop; want none", n)
			}
		}
	}
	close(stop)
	noise.Wait()
}

// A cleared cache gives the memory back.
func TestAClearedCacheHoldsNoValues(t *testing.T) {
	const keys = 50_000
	before := heap()
	cache := tokencache.New(64 << 20)
	for n := range keys {
		cache.Put(scattered(n), &fact{key: scattered(n)}, factBytes)
	}
	full := heap() - before
	cache.Clear()
	if grown := heap() - before; grown > full/4 {
		t.Errorf("got %d of %d bytes left; want next to nothing", grown, full)
	}
	t.Logf("an entry with its key takes %d bytes beside a value of %d", full/keys-int64(len(fact{}.body)+len(tokencache.Key{})), len(fact{}.body)+len(tokencache.Key{}))
	runtime.KeepAlive(cache)
}
