package tokencache_test

import (
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/accesstoken/accesstoken/internal/tokencache"
)

// present returns which of the first n entries are there.
func present(cache *tokencache.Cache, n int) (found []int) {
	for i := range n {
		if cache.Get(scattered(i)) != nil {
			found = append(found, i)
		}
	}
	return found
}

// Nine shares put entries up to their parts. A tenth, which has more than its part, puts
// very many that are used, and evicts none of theirs.
func TestANoisyShareEvictsNoReservedEntry(t *testing.T) {
	const bound, quiet = 1 << 20, 9
	for name, test := range map[string]struct{ bytes, each int }{
		"because of the bytes":     {512, bound / 2 / (quiet + 1) / 512},
		"because a set is full":    {16, bound / 256 / 2 / (quiet + 1)},
		"because of a large entry": {bound / 2 / (quiet + 1), 1},
	} {
		t.Run(name, func(t *testing.T) {
			cache, shares := tokencache.New(bound), make([]tokencache.Share, quiet)
			var noisy tokencache.Share
			noise := func(n int) {
				for n := range n {
					key := scattered(1_000_000 + n)
					cache.PutIn(&noisy, key, n, 16+n%1000)
					cache.Get(key)
				}
			}
			noise(1_000)
			for n := range quiet * test.each {
				cache.PutIn(&shares[n%quiet], scattered(n), n, test.bytes)
			}
			before := present(cache, quiet*test.each)
			noise(50_000)
			if after := present(cache, quiet*test.each); !slices.Equal(after, before) || len(after) < quiet*test.each*9/10 {
				t.Errorf("got %d of %d entries, of %d; want all of them, and nine of ten", len(after), len(before), quiet*test.each)
			}
			if held, each, _ := cache.Sizes(&noisy); each[0] < bound/4 || held > bound {
				t.Errorf("got %d bytes for the noisy share, of %d; want at least a quarter of %d", each[0], held, bound)
			}
		})
	}
}

// A share beyond its part makes room for the others, and so do entries without a share.
func TestSharesBeyondTheirPartMakeRoom(t *testing.T) {
	const bound, bytes = 1 << 20, 512
	for name, noisy := range map[string]*tokencache.Share{"a share": {}, "no share": nil} {
		t.Run(name, func(t *testing.T) {
			cache := tokencache.New(bound)
			for n := range 2 * bound / bytes {
				cache.PutIn(noisy, scattered(n), n, bytes)
				cache.Get(scattered(n))
			}
			if held, _, _ := cache.Sizes(); held < bound*3/4 {
				t.Fatalf("alone: got %d bytes; want most of %d", held, bound)
			}
			var late tokencache.Share
			const most = bound / 2 / 2 / bytes
			for n := range most {
				cache.PutIn(&late, scattered(1_000_000+n), n, bytes)
			}
			if _, each, _ := cache.Sizes(&late); each[0] < most*bytes*9/10 {
				t.Errorf("got %d bytes of a share that came late; want nearly all of %d", each[0], most*bytes)
			}
		})
	}
}

// What a share has beyond its part is not reserved for it.
func TestOnlyThePartOfAShareIsReserved(t *testing.T) {
	const bound, bytes = 1 << 20, 512
	cache := tokencache.New(bound)
	var idle, busy tokencache.Share
	for n := range bound * 2 / 5 / bytes {
		cache.PutIn(&idle, scattered(n), n, bytes)
	}
	for n := range 10_000 {
		cache.PutIn(&busy, scattered(1_000_000+n), n, bytes)
		cache.Get(scattered(1_000_000 + n))
	}
	if _, each, _ := cache.Sizes(&idle); each[0] > bound*3/10 || each[0] < bound/5 {
		t.Errorf("got %d bytes; want about a quarter of %d", each[0], bound)
	}
}

// If all entries are reserved, a new one is stored all the same.
func TestModestSharesMakeRoomForOneAnother(t *testing.T) {
	cache := tokencache.New(1 << 20)
	for n := range 50_000 {
		cache.Put(scattered(-1-n), n, 16)
	}
	for n := range 8_000 {
		cache.PutIn(new(tokencache.Share), scattered(n), n, 16)
		if cache.Get(scattered(n)) == nil {
			t.Fatalf("share %d: got nothing; want the entry that was put just now", n)
		}
	}
}

// The entries of an ended share make room even before they are swept.
func TestAnEndedShareMakesRoomAtOnce(t *testing.T) {
	const bound, keys = 1 << 20, 900
	cache := tokencache.New(bound)
	var ended, other tokencache.Share
	for n := range keys {
		cache.PutIn(&ended, scattered(-1-n), n, bound*9/20/keys)
		cache.PutIn(&other, scattered(n), n, bound*9/20/keys)
	}
	before := present(cache, keys)
	present(cache, keys) // and warm
	cache.End(&ended)
	for n := range 8 {
		cache.PutIn(&other, scattered(keys+n), 1, bound*4/100)
	}
	if after := present(cache, keys+8); len(after) < len(before)-5 {
		t.Errorf("got %d entries; want nearly all of %d, and 8 new ones", len(after), len(before))
	}
}

// The table grows while it is swept.
func TestAGrowingTableIsSwept(t *testing.T) {
	for attempt := range 1_000 {
		cache := tokencache.New(1 << 20)
		var ended, other tokencache.Share
		n := 0
		for ; n < 400+attempt; n++ {
			cache.PutIn(&ended, scattered(n), n, 16)
		}
		before := cache.Places()
		cache.End(&ended)
		for i := range 10 {
			cache.PutIn(&other, scattered(-1-i), i, 16)
		}
		if before < 1024 || cache.Places() == before {
			continue // it was swept by then, or did not grow
		}
		for range 4096 / 64 {
			cache.PutIn(&other, scattered(-1), 1, 16)
		}
		if got := present(cache, n); len(got) > 0 {
			t.Errorf("got %d entries of the ended share; want none", len(got))
		}
		return
	}
	t.Error("got no table that grew; want one, or nothing was tested")
}

// The part of a share that was ended is free for the others.
func TestAnEndedShareHasNoEntries(t *testing.T) {
	const bound, bytes, keys = 1 << 20, 512, 900
	cache := tokencache.New(bound)
	var ended, other tokencache.Share
	for n := range keys {
		cache.PutIn(&ended, scattered(n), n, bytes)
		cache.PutIn(&other, scattered(keys+n), n, bytes)
	}
	cache.End(&ended)
	cache.End(&ended)
	if _, _, shares := cache.Sizes(); shares != 1 {
		t.Errorf("after End: got %d shares; want 1", shares)
	}
	cache.PutIn(&ended, scattered(-1), 1, bytes)
	if cache.Get(scattered(-1)) != nil {
		t.Error("put in a share that was ended: got the entry; want nothing")
	}
	for n := range bound / 256 / 64 {
		cache.PutIn(&other, scattered(keys), n, bytes) // the table has at most this many places
	}
	if got := present(cache, keys); len(got) > 0 {
		t.Errorf("got %d entries of the ended share; want none", len(got))
	}
	if held, each, _ := cache.Sizes(&ended, &other); each[0] != 0 || each[1] != held || held < keys*bytes*9/10 {
		t.Errorf("got %d bytes, %v by share; want most of %d, of the other share only", held, each, keys*bytes)
	}
}

// Shares that end one after another, faster than the table is swept, are all removed.
func TestSharesThatEndAllTheTimeAreSwept(t *testing.T) {
	const bound, bytes = 1 << 20, 512
	cache := tokencache.New(bound)
	var lasting tokencache.Share
	for n := range 1_000 {
		share := new(tokencache.Share)
		cache.PutIn(share, scattered(n), n, bytes)
		cache.End(share)
		cache.PutIn(&lasting, scattered(1_000_000), n, bytes)
	}
	if held, _, _ := cache.Sizes(); held > 100*bytes {
		t.Errorf("got %d bytes; want the ended shares swept as others end", held)
	}
}

func TestSharesAreCountedUnderConcurrentUse(t *testing.T) {
	const bound, bytes = 256 << 10, 300
	cache, shares := tokencache.New(bound), make([]*tokencache.Share, 20)
	for i := range shares {
		shares[i] = new(tokencache.Share)
	}
	var wait sync.WaitGroup
	for worker := range 8 {
		wait.Go(func() {
			random := rand.New(rand.NewPCG(2, uint64(worker)))
			for range 5_000 {
				key := scattered(random.IntN(3_000))
				switch action := random.IntN(1_000); {
				case action == 0:
					cache.Clear()
				case action == 1:
					cache.End(shares[random.IntN(5)])
				case action < 50:
					cache.Drop(key)
				default:
					cache.PutIn(shares[random.IntN(len(shares))], key, 1, 1+random.IntN(2*bytes))
					cache.Get(key)
				}
			}
		})
	}
	wait.Wait()
	held, each, counted := cache.Sizes(shares...)
	sum, live := 0, 0
	for i, bytes := range each {
		sum += bytes
		if bytes > 0 && i >= 5 {
			live++
		}
	}
	if sum != held || held > bound {
		t.Errorf("got %d bytes, and %d by share; want the same, and at most %d", held, sum, bound)
	}
	if ended := counted - live; ended < 0 || ended > 5 {
		t.Errorf("got %d shares; want %d, and those of the first 5 that were not ended", counted, live)
	}
	cache.Clear()
	if held, each, counted := cache.Sizes(shares...); held != 0 || counted != 0 || each[10] != 0 {
		t.Errorf("after Clear: got %d bytes, %d shares; want none", held, counted)
	}
}

func TestAnEntryHas64Bytes(t *testing.T) {
	if got := tokencache.SizeOfEntry; got > 64 {
		t.Errorf("got %d bytes; want at most 64, the next size of Go's allocator is 80", got)
	}
}

// An entry without a size would otherwise make the parts of all shares smaller, for good.
func TestAnEntryWithoutASizeMakesNoShare(t *testing.T) {
	cache := tokencache.New(1 << 20)
	var share tokencache.Share
	for n := range 10 {
		cache.PutIn(&share, scattered(n), n, 0)
	}
	if held, each, shares := cache.Sizes(&share); held != 0 || each[0] != 0 || shares != 0 {
		t.Errorf("got %d bytes, %v of the share, %d shares; want none", held, each, shares)
	}
	for n := range 10 {
		cache.Drop(scattered(n))
	}
	cache.PutIn(&share, scattered(11), 11, 16)
	if _, _, shares := cache.Sizes(&share); shares != 1 {
		t.Errorf("got %d shares; want 1", shares)
	}
}

// An entry that is larger than the whole cache must not evict all others before it goes.
func TestAnEntryThatIsTooLargeEvictsNoOther(t *testing.T) {
	cache := tokencache.New(16 << 20) // room enough that no set is full
	for n := range 1000 {
		cache.Put(scattered(n), n, 16)
	}
	cache.Put(scattered(3), "large", 16<<20+1)
	if got := present(cache, 1000); len(got) != 999 || cache.Get(scattered(3)) != nil {
		t.Errorf("got %d entries; want all but number 3", len(got))
	}
}

func TestSweepingLeavesEntriesOfNoShare(t *testing.T) {
	cache := tokencache.New(1 << 20)
	var ended tokencache.Share
	for n := range 10 {
		cache.Put(scattered(n), n, 16)
	}
	cache.PutIn(&ended, scattered(10), 10, 16)
	cache.End(&ended)
	for range cache.Places() {
		cache.Put(scattered(0), 0, 16)
	}
	if got := present(cache, 11); len(got) != 10 {
		t.Errorf("got the entries %v; want those of no share", got)
	}
}
