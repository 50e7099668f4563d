package benchmarks_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/internal/tokencache"
)

// many is the largest number of tokens. They are signed at first use, on all cores, and
// are as long as RS256 tokens.
const many = 100_000

var manyTokens = struct {
	sync.Mutex
	signed []string
}{}

// longTokens returns n different tokens of EdDSA, of the length of an RS256 one.
func longTokens(tb testing.TB, n int) []string {
	tb.Helper()
	i := issuerOf(tb, "EdDSA")
	short := len(issuerOf(tb, "RS256").tokens(tb, 1)[0]) - len(i.tokens(tb, 1)[0])
	manyTokens.Lock()
	defer manyTokens.Unlock()
	if have := len(manyTokens.signed); have < n {
		manyTokens.signed = append(manyTokens.signed, make([]string, n-have)...)
		onAllCores(n-have, func(k int) {
			id := have + k
			manyTokens.signed[id] = i.sign(tb, id, map[string]any{"pad": fmt.Sprintf("%0*d", short*3/4-len(`"pad":"",`), id)})
		})
	}
	return manyTokens.signed[:n]
}

// onAllCores calls do for each number below n.
func onAllCores(n int, do func(k int)) {
	var next atomic.Int64
	var wait sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wait.Go(func() {
			for k := next.Add(1); k <= int64(n); k = next.Add(1) {
				do(int(k - 1))
			}
		})
	}
	wait.Wait()
}

// A watched validator distinguishes hits from verifications: while a token is cached, its
// claims are in the same place in memory.
type watched struct {
	validator *accesstoken.Validator
	tokens    []string
	places    []atomic.Pointer[byte]
}

func watch(v *accesstoken.Validator, tokens []string) *watched {
	return &watched{v, tokens, make([]atomic.Pointer[byte], len(tokens))}
}

// serve validates token k, and reports whether it was cached.
func (w *watched) serve(k int) (hit bool, err error) {
	claims, err := w.validator.Validate(context.Background(), accesstoken.Bearer(w.tokens[k]))
	if err != nil {
		return false, err
	}
	place := unsafe.StringData(claims.ID)
	if w.places[k].Load() == place {
		return true, nil
	}
	w.places[k].Store(place)
	return false, nil
}

// fill validates every token.
func (w *watched) fill(tb testing.TB) {
	tb.Helper()
	onAllCores(len(w.tokens), func(k int) {
		if _, err := w.serve(k); err != nil {
			tb.Error(err)
		}
	})
}

// BenchmarkWorkingSet measures a service with more and more callers, on all cores and in
// random order. A million tokens are too many to sign, so they are used only in the rows
// of the store alone, with entries of the size that is charged for facts. The store has
// room for one in ten of them. The verification after a miss is not included in these
// rows.
func BenchmarkWorkingSet(b *testing.B) {
	for _, size := range []int{1, 100, 10_000, many} {
		w := watch(issuerOf(b, "EdDSA").validator(b), longTokens(b, size))
		w.fill(b)
		b.Run(fmt.Sprintf("tokens=%d/cache=hit", size), func(b *testing.B) {
			parallel(b, func(random *rand.Rand) bool {
				hit, err := w.serve(random.IntN(size))
				if err != nil {
					b.Error(err)
				}
				return hit
			})
		})
	}
	for _, size := range []int{1, 100, 10_000, many, 1_000_000} {
		store, value := tokencache.New(cacheBytes), new(int)
		for n := range size {
			store.Put(numbered(n), value, factBytes)
		}
		b.Run(fmt.Sprintf("tokens=%d/store", size), func(b *testing.B) {
			parallel(b, func(random *rand.Rand) bool {
				key := numbered(random.IntN(size))
				if store.Get(key) != nil {
					return true
				}
				store.Put(key, value, factBytes)
				return false
			})
		})
	}
}

const (
	cacheBytes = 64 << 20 // bound of a validator's cache
	factBytes  = 516      // size that is charged for the facts about one of these tokens
)

// numbered returns a key as random as that of a token.
func numbered(n int) (key tokencache.Key) {
	binary.BigEndian.PutUint64(key[:], uint64(n+1)*0x9e3779b97f4a7c15)
	binary.BigEndian.PutUint64(key[8:], uint64(n))
	return key
}

// parallel measures a function on all cores, which reports whether it was a hit.
func parallel(b *testing.B, do func(*rand.Rand) (hit bool)) {
	var hits atomic.Int64
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		random, own := rand.New(rand.NewPCG(1, rand.Uint64())), int64(0)
		for pb.Next() {
			if do(random) {
				own++
			}
		}
		hits.Add(own)
	})
	b.ReportMetric(100*float64(hits.Load())/float64(b.N), "%hits")
}

// BenchmarkNewTokens measures a thousand callers on all cores, some of which send a token
// that was never seen.
func BenchmarkNewTokens(b *testing.B) {
	const callers = 1_000
	tokens := longTokens(b, many)
	for _, share := range []int{0, 1, 10, 50} {
		b.Run(fmt.Sprintf("new=%d%%", share), func(b *testing.B) {
			w := watch(issuerOf(b, "EdDSA").validator(b), tokens[:callers])
			w.fill(b)
			fresh := watch(w.validator, tokens[callers:])
			var used atomic.Int64
			b.ResetTimer()
			parallel(b, func(random *rand.Rand) bool {
				in, k := w, random.IntN(callers)
				if random.IntN(100) < share {
					in, k = fresh, int(used.Add(1)-1)
				}
				if k >= len(in.tokens) {
					b.Errorf("all of the %d new tokens are used up; want a shorter -benchtime", len(in.tokens))
					return false
				}
				hit, err := in.serve(k)
				if err != nil {
					b.Error(err)
				}
				return hit
			})
		})
	}
}

// BenchmarkMemory measures the memory of all facts about a token, without the token
// itself. Its time is that of one verification.
func BenchmarkMemory(b *testing.B) {
	const tokens = 50_000
	w := watch(nil, longTokens(b, tokens))
	b.Run(fmt.Sprintf("tokens=%d", tokens), func(b *testing.B) {
		each := 0.0
		for b.Loop() {
			b.StopTimer()
			w.validator = issuerOf(b, "EdDSA").validator(b)
			if _, err := w.serve(0); err != nil {
				b.Fatal(err)
			}
			before := heap()
			b.StartTimer()
			w.fill(b)
			b.StopTimer()
			each = float64(heap()-before) / tokens
			must(b, w.validator.Close())
			b.StartTimer()
		}
		b.ReportMetric(float64(b.Elapsed())/float64(b.N)/tokens, "ns/op")
		b.ReportMetric(each, "B/token")
	})
}

// heap returns the bytes that are in use.
func heap() int64 {
	for range 3 { // pools drop their contents at the second collection
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// BenchmarkGC measures 10,000 callers while the garbage collector has nothing to do,
// while handlers produce garbage, and while collections never stop. One request in a
// hundred takes longer than p99-ns.
func BenchmarkGC(b *testing.B) {
	const callers = 10_000
	w := watch(issuerOf(b, "EdDSA").validator(b), longTokens(b, callers))
	w.fill(b)
	for _, collector := range []struct {
		name    string
		disturb func()
	}{
		{"idle", nil},
		{"busy", func() { garbage.Store(new([64 << 10]byte)) }},
		{"endless", runtime.GC},
	} {
		b.Run("collector="+collector.name, func(b *testing.B) {
			defer disturbing(collector.disturb)()
			var lock sync.Mutex
			var all durations
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				random, own := rand.New(rand.NewPCG(1, rand.Uint64())), durations{}
				for pb.Next() {
					start := time.Now()
					if _, err := w.serve(random.IntN(callers)); err != nil {
						b.Error(err)
					}
					own.add(time.Since(start))
				}
				lock.Lock()
				defer lock.Unlock()
				all.join(&own)
			})
			b.ReportMetric(all.quantile(0.99), "p99-ns")
		})
	}
}

var garbage atomic.Pointer[[64 << 10]byte]

// disturbing calls disturb over and over, unless it is nil, until the function
// that it returns is called.
func disturbing(disturb func()) (stop func()) {
	if disturb == nil {
		return func() {}
	}
	done := make(chan struct{})
	var wait sync.WaitGroup
	wait.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
				disturb()
			}
		}
	})
	return func() { close(done); wait.Wait() }
}

// durations are counted in steps of an eighth of their size.
type durations [64 * 8]int64

func (d *durations) add(taken time.Duration) { d[stepOf(taken)]++ }

func stepOf(taken time.Duration) int {
	n := uint64(max(taken, 8))
	exponent := bits.Len64(n) - 1
	return exponent*8 + int(n>>(exponent-3)&7)
}

func (d *durations) join(other *durations) {
	for step, count := range other {
		d[step] += count
	}
}

// quantile returns nanoseconds that a share of all durations does not exceed, by
// an eighth at most.
func (d *durations) quantile(share float64) float64 {
	total := int64(0)
	for _, count := range d {
		total += count
	}
	left := int64(math.Ceil(float64(total) * share))
	for step, count := range d {
		if left -= count; left <= 0 {
			return math.Ldexp(1+float64(step%8+1)/8, step/8)
		}
	}
	return 0
}

// The benchmark above is valid only if this test passes.
func TestQuantilesAreThoseOfASortedList(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var counted durations
	var list []float64
	for range 10_000 {
		taken := time.Duration(random.ExpFloat64() * 10_000)
		counted.add(taken)
		list = append(list, float64(taken))
	}
	slices.Sort(list)
	for _, share := range []float64{0.5, 0.9, 0.99, 1} {
		want := list[int(share*float64(len(list)))-1]
		if got := counted.quantile(share); got < want || got > want*1.126 {
			t.Errorf("%v: got %v; want %v, or up to an eighth more", share, got, want)
		}
	}
}

// The hits of the rows above are real hits.
func TestAWatchedValidatorKnowsAHit(t *testing.T) {
	w := watch(issuerOf(t, "EdDSA").validator(t), longTokens(t, 2))
	for _, test := range []struct {
		token int
		hit   bool
	}{{0, false}, {0, true}, {1, false}, {0, true}, {1, true}} {
		if hit, err := w.serve(test.token); hit != test.hit || err != nil {
			t.Errorf("token %d: got a hit %v, %v; want %v", test.token, hit, err, test.hit)
		}
	}
	if got, want := len(w.tokens[0]), len(issuerOf(t, "RS256").tokens(t, 1)[0]); got != want {
		t.Errorf("got tokens of %d bytes; want the %d of RS256", got, want)
	}
}
