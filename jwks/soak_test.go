package jwks_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/accesstoken/accesstoken/jwks"
)

var (
	soakFor  = flag.Duration("soak", time.Second, "how long TestSoak runs")
	soakSeed = flag.Uint64("seed", 0, "what TestSoak does; 0 draws one, which is printed")
)

// The clocks of the soak, short enough that each strikes many times a minute.
const (
	soakRefresh  = 500 * time.Millisecond
	soakUsable   = 3 * time.Second
	soakCooldown = 200 * time.Millisecond
	soakWithdraw = 200 * time.Millisecond
	soakFetch    = 2 * time.Second
	soakSlack    = 2 * time.Second // for the scheduler, with a thousand goroutines under -race
)

// TestSoak lets a thousand goroutines ask for good, stale, made-up and
// withdrawn keys while the issuer rotates, fails in every way and comes back,
// and caches are closed under them. What it decides follows from -seed alone;
// when things happen is up to the scheduler.
func TestSoak(t *testing.T) {
	checkLeaks(t)
	seed := *soakSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("replay with: go test ./jwks -run TestSoak -soak %v -seed %d", *soakFor, seed)
	w := newWorld(t, seed)
	ctx, cancel := context.WithTimeout(t.Context(), *soakFor)
	defer cancel()
	var wg sync.WaitGroup
	wg.Go(func() { w.reign(ctx) })
	wg.Go(func() { w.fail(ctx) })
	wg.Go(func() { w.replace(ctx) })
	for i := range 1000 {
		wg.Go(func() { w.ask(ctx, i) })
	}
	wg.Wait()
	w.server.CloseClientConnections()
	w.current.Load().close(w)
	w.server.Close()
	w.report()
}

// A world is an issuer, its history, and the cache that is tested.
type world struct {
	t       *testing.T
	seed    uint64
	server  *httptest.Server
	current atomic.Pointer[subject]
	keys    []*ecdsa.PrivateKey
	mode    atomic.Int64 // how the issuer answers
	fetches atomic.Int64

	mu        sync.RWMutex
	published []publication // now
	previous  []publication // when a node began to lag
	history   []publication // all
	turn      int           // counts answers while one node of two lags
	goodAt    time.Time     // when it last began a good answer
	laggedAt  time.Time     // when it last began one of a node that lags
	badAt     time.Time     // when it last began another, or was told to
	outage    int           // counts failures that the cache knows of; 0: it knows of a good answer

	accepted, unknown, failed atomic.Int64
	wrong                     atomic.Int64

	heap uint64 // the most that was seen
}

// A subject is one cache and how long it lived.
type subject struct {
	cache *jwks.Cache
	since time.Time
	begun int64    // fetches before it
	found sync.Map // when a kid was last found
}

// A publication is a key under a kid, and when it was there.
type publication struct {
	kid      string
	key      int
	from, to time.Time // to is zero while it is published
}

// The ways to answer.
const (
	well = iota
	slowly
	lagging // every other answer is the previous set
	withError
	withJunk
	withNothing
	notAtAll
	brokenOff
	modes
)

func newWorld(t *testing.T, seed uint64) *world {
	w := &world{t: t, seed: seed}
	for range 32 {
		w.keys = append(w.keys, newECKey())
	}
	w.server = httptest.NewServer(http.HandlerFunc(w.serve))
	w.publish("kid 0", 0)
	w.renew()
	return w
}

func (w *world) rand(of int) *rand.Rand { return rand.New(rand.NewPCG(w.seed, uint64(of))) }

func (w *world) serve(rw http.ResponseWriter, r *http.Request) {
	w.fetches.Add(1)
	mode := w.mode.Load()
	w.mu.Lock()
	var keys []members
	for _, p := range w.served(mode) {
		keys = append(keys, jwk(&w.keys[p.key].PublicKey, p.kid, nil))
	}
	if mode == well || mode == slowly || mode == lagging {
		w.goodAt, w.outage = time.Now(), 0
	} else {
		w.badAt = time.Now()
	}
	w.mu.Unlock()
	body := document(keys...)
	etag := fmt.Sprintf(`"%x"`, len(body)*31+int(body[len(body)/2])) // meets another now and then, as bad servers' do
	switch mode {
	case slowly:
		pause(r.Context(), 100*time.Millisecond)
	case withError:
		rw.WriteHeader(http.StatusServiceUnavailable)
		return
	case withJunk:
		body = "<html>" + body
	case withNothing:
		body = `{"keys":[]}`
	case notAtAll:
		<-r.Context().Done()
		return
	case brokenOff:
		rw.Header().Set("Content-Length", fmt.Sprint(len(body)+1))
	default:
		rw.Header().Set("ETag", etag)
	}
	_, _ = rw.Write([]byte(body))
}

// served returns what the node has that answers. What one that lags serves is not
// withdrawn yet. w.mu is held.
func (w *world) served(mode int64) []publication {
	if mode != lagging {
		return w.published
	}
	if w.turn++; w.turn%2 == 0 || len(w.previous) == 0 {
		return w.published
	}
	w.laggedAt = time.Now()
	for i, p := range w.history {
		if slices.ContainsFunc(w.previous, p.is) {
			w.history[i].to = w.laggedAt
		}
	}
	return w.previous
}

func (p publication) is(other publication) bool {
	return p.kid == other.kid && p.key == other.key && p.from.Equal(other.from)
}

// pause waits without holding up the end.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// reign is what the issuer does to its keys.
func (w *world) reign(ctx context.Context) {
	decide := w.rand(-1)
	for next := 1; ctx.Err() == nil; next++ {
		switch decide.IntN(3) {
		case 0:
			w.publish(fmt.Sprint("kid ", next), decide.IntN(len(w.keys)))
		case 1:
			w.withdraw(decide.IntN(3))
		default: // the same kid, another key
			if kid := w.withdraw(decide.IntN(3)); kid != "" {
				w.publish(kid, decide.IntN(len(w.keys)))
			}
		}
		pause(ctx, time.Duration(decide.IntN(1000))*time.Millisecond)
	}
}

// fail is what happens to its server. Some outages outlast the keys.
func (w *world) fail(ctx context.Context) {
	decide := w.rand(-3)
	for ctx.Err() == nil {
		pause(ctx, time.Duration(decide.IntN(2000))*time.Millisecond)
		mode := min(int64(decide.IntN(modes+3)), modes) % modes
		if mode == well {
			mode = lagging
		}
		w.mu.Lock()
		w.previous = slices.Clone(w.published)
		w.mu.Unlock()
		w.mode.Store(mode)
		d := time.Duration(decide.IntN(1500)) * time.Millisecond
		if decide.IntN(3) == 0 {
			d += 4 * soakUsable
		}
		pause(ctx, d)
		w.mode.Store(well)
	}
}

func (w *world) publish(kid string, key int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.published = append(w.published, publication{kid: kid, key: key, from: time.Now()})
}

// withdraw takes the nth key back, unless it is the last.
func (w *world) withdraw(n int) (kid string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if n >= len(w.published) || len(w.published) == 1 {
		return ""
	}
	p := w.published[n]
	p.to = time.Now()
	w.history = append(w.history, p)
	w.published = append(w.published[:n:n], w.published[n+1:]...)
	return p.kid
}

// replace closes the cache and opens another, now and then.
func (w *world) replace(ctx context.Context) {
	decide := w.rand(-2)
	for {
		pause(ctx, time.Second+time.Duration(decide.IntN(25))*time.Second)
		if ctx.Err() != nil {
			return
		}
		w.weigh()
		old := w.current.Load()
		w.renew()
		old.close(w)
	}
}

func (w *world) weigh() {
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	w.heap = max(w.heap, memory.HeapAlloc)
}

func (w *world) renew() {
	s := &subject{since: time.Now(), begun: w.fetches.Load()}
	cache, err := jwks.NewCache(jwks.Config{
		URL:          w.server.URL,
		Logger:       (&lockedBuffer{}).logger(),
		RefreshAfter: soakRefresh,
		UsableFor:    soakUsable,
		MissCooldown: soakCooldown,
		FetchTimeout: soakFetch,
		WaitTimeout:  soakFetch,
		OnFetch:      func(f jwks.Fetch) { w.fetched(s, f) },

		WithdrawAfter: soakWithdraw,
	})
	if err != nil {
		w.t.Error(err)
		return
	}
	s.cache = cache
	w.mu.Lock()
	defer w.mu.Unlock()
	w.outage = 0
	w.current.Store(s)
}

// fetched learns what the cache knows. An event of another cache, or one that
// was overtaken by a good answer, tells nothing.
func (w *world) fetched(s *subject, f jwks.Fetch) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if f.Err != nil && f.Start.After(w.goodAt) && w.current.Load() == s {
		w.outage++
	}
}

// close closes the cache and checks that it is, and that it asked no more than
// its clocks allow.
func (s *subject) close(w *world) {
	if err := s.cache.Close(); err != nil {
		w.t.Errorf("Close: got %v; want nil", err)
	}
	if keys, _, err := s.cache.Keys(context.Background(), "kid 0", "ES256"); err == nil || keys != nil {
		w.t.Errorf("after Close: got %v, %v; want an error", keys, err)
	}
	lived := time.Since(s.since)
	most := 3 + 2 + int64(lived/soakCooldown) + int64(lived/(soakRefresh/2)) + int64(lived/soakWithdraw)
	if got := w.fetches.Load() - s.begun; got > 2*most {
		w.t.Errorf("got %d fetches in %v; want %d at most", got, lived, 2*most)
	}
}

// ask is one of the thousand.
func (w *world) ask(ctx context.Context, of int) {
	decide := w.rand(of)
	for ctx.Err() == nil {
		kid := w.pick(decide, of)
		limit := time.Duration(1+decide.IntN(2000)) * time.Millisecond
		if decide.IntN(50) == 0 {
			_ = w.current.Load().cache.Ready()
			_ = w.current.Load().cache.State()
		}
		w.try(ctx, kid, limit)
		pause(ctx, time.Duration(decide.IntN(20))*time.Millisecond)
	}
}

// pick chooses a kid that is published, was withdrawn, or never was.
func (w *world) pick(decide *rand.Rand, of int) string {
	w.mu.RLock()
	defer w.mu.RUnlock()
	switch n := decide.IntN(10); {
	case n == 0:
		return fmt.Sprint("made up ", of, decide.Uint64())
	case n == 1 && len(w.history) > 0:
		return w.history[decide.IntN(len(w.history))].kid
	}
	return w.published[decide.IntN(len(w.published))].kid
}

// try asks once and judges the answer.
func (w *world) try(ctx context.Context, kid string, limit time.Duration) {
	bounded, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	s := w.current.Load()
	began, outage := time.Now(), w.knownOutage()
	keys, generation, err := s.cache.Keys(bounded, kid, "ES256")
	if err == nil && limit.Milliseconds()%8 == 0 { // a signature that is wrong
		newer, _, err := s.cache.KeysAfter(bounded, kid, "ES256", generation)
		if errors.Is(err, context.DeadlineExceeded) && bounded.Err() == nil {
			w.errorf("KeysAfter: got %v; want no context error while the context lasts", err)
		}
		for _, key := range newer {
			w.checkKey(kid, key)
		}
	}
	switch {
	case time.Since(began) > limit+soakSlack:
		w.errorf("an answer took %v; want %v at most", time.Since(began), limit)
	case err != nil:
		w.failed.Add(1)
		if errors.Is(err, context.DeadlineExceeded) && bounded.Err() == nil {
			w.errorf("got %v; want no context error while the context lasts", err)
		}
	case len(keys) == 0:
		w.unknown.Add(1)
		if outage != 0 && w.knownOutage() == outage && w.current.Load() == s && s.since.Before(began) {
			w.errorf("kid %q: got a wrong 401 during an outage", kid)
		}
		w.checkAbsent(s, kid, began)
	default:
		w.accepted.Add(1)
		s.found.Store(kid, began)
		for _, key := range keys {
			w.checkKey(kid, key)
		}
	}
}

// errorf says the first few things that are wrong; more would say the same.
func (w *world) errorf(format string, args ...any) {
	if w.wrong.Add(1) <= 20 {
		w.t.Errorf(format, args...)
	}
}

func (w *world) knownOutage() int {
	w.mu.RLock()
	defer w.mu.RUnlock()
	return w.outage
}

// checkAbsent complains about a 401 for a key that has long been there, from
// an issuer that has long been well; while one of its nodes lags, for a key that
// the cache had a moment before.
func (w *world) checkAbsent(s *subject, kid string, at time.Time) {
	w.mu.RLock()
	defer w.mu.RUnlock()
	const long = 2*soakCooldown + soakFetch + soakSlack
	for _, p := range w.published {
		if p.kid != kid || at.Sub(p.from) <= long || at.Sub(w.badAt) <= long {
			continue
		}
		last, _ := s.found.Load(kid)
		had, _ := last.(time.Time)
		if at.Sub(w.laggedAt) > long || at.Sub(s.since) > long && had.After(p.from) && at.Sub(had) < soakUsable/2 {
			w.errorf("kid %q: got a 401; it is published since %v, and was found %v before", kid, at.Sub(p.from), at.Sub(had))
		}
	}
}

// checkKey complains about a key that never was, or is withdrawn for longer
// than the cache may believe in it.
func (w *world) checkKey(kid string, key crypto.PublicKey) {
	w.mu.RLock()
	defer w.mu.RUnlock()
	is := func(p publication) bool { return p.kid == kid && w.keys[p.key].PublicKey.Equal(key) }
	for _, p := range w.published {
		if is(p) {
			return
		}
	}
	for _, p := range w.history {
		if is(p) && time.Since(p.to) < soakUsable+soakFetch+soakSlack {
			return
		}
	}
	w.errorf("kid %q: got a key that is not its own, or was withdrawn long ago", kid)
}

func (w *world) report() {
	w.weigh()
	w.t.Logf("%d found, %d unknown, %d could not be asked; %d fetches; %d wrong; %d MiB of heap at most",
		w.accepted.Load(), w.unknown.Load(), w.failed.Load(), w.fetches.Load(), w.wrong.Load(), w.heap>>20)
	if w.heap > 256<<20 {
		w.t.Errorf("got %d MiB of heap; want 256 at most", w.heap>>20)
	}
	// A second may be too short for an outage that anybody notices.
	if w.accepted.Load() == 0 || w.unknown.Load() == 0 || w.failed.Load() == 0 && *soakFor >= 10*time.Second {
		w.t.Error("want some of each answer, or nothing was tested")
	}
}

// TestSoakOfRotationsWithoutKid lets an issuer with one key and no kid rotate, with
// a node of two that lags, while forged tokens keep coming. A good token is taken
// as soon as the rotation is older than the cooldown, and the nodes agree.
func TestSoakOfRotationsWithoutKid(t *testing.T) {
	checkLeaks(t)
	var mu sync.Mutex
	var turn int
	previous, present := newECKey(), newECKey()
	rotated := time.Now()
	s := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		key := present
		if turn++; turn%2 == 0 && time.Since(rotated) < soakRefresh {
			key = previous
		}
		fmt.Fprint(rw, document(jwk(&key.PublicKey, "", nil)))
	}))
	defer s.Close()
	cache, err := jwks.NewCache(jwks.Config{URL: s.URL, RefreshAfter: 10 * time.Second, MissCooldown: soakCooldown, WithdrawAfter: soakWithdraw})
	if err != nil {
		t.Fatal(err)
	}
	defer cache.Close()
	ctx, cancel := context.WithTimeout(t.Context(), *soakFor)
	defer cancel()
	var wg sync.WaitGroup
	wg.Go(func() {
		for ctx.Err() == nil {
			pause(ctx, 3*soakSlack)
			key := newECKey()
			mu.Lock()
			previous, present, rotated = present, key, time.Now()
			mu.Unlock()
		}
	})
	var taken, early atomic.Int64
	for range 50 {
		wg.Go(func() {
			for ctx.Err() == nil {
				mu.Lock()
				key, since := present, rotated
				mu.Unlock()
				began := time.Now()
				keys, generation, err := cache.Keys(ctx, "", "ES256")
				if err == nil && !contains(keys, key) {
					keys, _, err = cache.KeysAfter(ctx, "", "ES256", generation)
				}
				_, _, _ = cache.KeysAfter(ctx, "", "ES256", generation) // and a forged one
				switch {
				case contains(keys, key):
					taken.Add(1)
				case ctx.Err() == nil && began.Sub(since) > soakRefresh+2*soakCooldown+soakSlack:
					t.Errorf("%v after a rotation: got %d keys, %v; want the key that signs", began.Sub(since), len(keys), err)
					return
				default:
					early.Add(1)
				}
				pause(ctx, 5*time.Millisecond)
			}
		})
	}
	wg.Wait()
	t.Logf("%d taken, %d too early", taken.Load(), early.Load())
	if taken.Load() == 0 {
		t.Error("want some of them taken, or nothing was tested")
	}
}
