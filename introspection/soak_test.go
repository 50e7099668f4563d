package introspection_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/accesstoken/accesstoken/introspection"
)

var (
	soakFor  = flag.Duration("soak", time.Second, "how long TestSoak runs")
	soakSeed = flag.Uint64("seed", 0, "what TestSoak does; 0 draws one, which is printed")
)

const (
	soakTimeout = 4 * time.Second
	soakCache   = 200 * time.Millisecond
	soakSlack   = 3 * time.Second // for the scheduler, with a thousand goroutines under -race

	// How long after the endpoint was mended a good token may still be refused: for its
	// call and the breaker's pause, which is longer after the refusal of this client.
	soakGrace   = soakTimeout + time.Second + soakSlack
	soakRefused = soakTimeout + 5*time.Second + soakSlack
)

// TestSoak lets a thousand goroutines ask about good, revoked, odd and invented tokens,
// and leave early, while the endpoint fails in every way and comes back, its secret is
// rotated, connections are closed and forgotten, and clients are replaced under them.
// What it decides follows from -seed alone; when things happen is up to the scheduler.
func TestSoak(t *testing.T) {
	seed := *soakSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("replay with: go test ./introspection -run TestSoak -soak %v -seed %d", *soakFor, seed)
	w := newSoak(t, seed)
	ctx, cancel := context.WithTimeout(t.Context(), *soakFor)
	defer cancel()
	var wg sync.WaitGroup
	wg.Go(func() { w.fail(ctx) })
	wg.Go(func() { w.disconnect(ctx) })
	wg.Go(func() { w.renewTokens(ctx) })
	wg.Go(func() { w.replace(ctx) })
	for i := range 1000 {
		wg.Go(func() { w.ask(ctx, i) })
	}
	wg.Wait()
	w.close()
	w.report()
}

// A soak is an endpoint, what it knows, and the client that is tested.
type soak struct {
	t      *testing.T
	seed   uint64
	server *httptest.Server
	wires  *wires
	pool   *http.Transport
	client atomic.Pointer[introspection.Client]
	mode   atomic.Int64
	secret atomic.Int64 // the number of the one that is good

	mu     sync.RWMutex
	tokens []soakToken // the good ones, by number
	excuse time.Time   // until when a refusal is the endpoint's doing

	calls, active, inactive, failed, wrong atomic.Int64

	heap, goroutines []int // as they were now and then
}

type soakToken struct {
	name    string
	from    time.Time
	revoked time.Time // zero: it is active
}

const soakTokens = 300

// The ways to answer; the first is well.
var soakModes = []func(w http.ResponseWriter, r *http.Request){
	nil,
	func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) },
	func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) },
	func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(http.StatusTooManyRequests)
	},
	func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>") },
	func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
	func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) },
}

// What a token that begins with odd gets, by its number, while all is well.
var soakOdd = []func(w http.ResponseWriter, r *http.Request){
	answers(200, "application/json", `{"active":true,"sub":1}`),
	answers(200, "application/json", `{"active":true,"x":"`+strings.Repeat("x", 70<<10)+`"}`),
	answers(404, "", ""),
	answers(500, "", ""),
	answers(403, "", ""),
	answers(429, "", "", "Retry-After", "1"),
	func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
}

func newSoak(t *testing.T, seed uint64) *soak {
	w := &soak{t: t, seed: seed}
	for i := range soakTokens {
		w.tokens = append(w.tokens, soakToken{name: fmt.Sprint("good ", i), from: time.Now()})
	}
	w.server = serve(t, w.serve)
	w.pool = w.server.Client().Transport.(*http.Transport).Clone()
	w.pool.MaxIdleConnsPerHost, w.pool.TLSHandshakeTimeout, w.pool.IdleConnTimeout = 64, soakTimeout, 5*time.Second
	w.wires = newWires(t, w.server.Listener.Addr().String())
	w.renew()
	return w
}

func (w *soak) rand(of int) *rand.Rand { return rand.New(rand.NewPCG(w.seed, uint64(of))) }

func (w *soak) renew() {
	config := introspection.Config{
		Endpoint: "https://" + w.wires.listener.Addr().String() + "/introspect",
		ClientID: "api",
		ClientSecretFrom: func(context.Context) (string, error) {
			return fmt.Sprint("secret ", w.secret.Load()), nil
		},
		Timeout:    soakTimeout,
		CacheFor:   soakCache,
		HTTPClient: &http.Client{Transport: w.pool},
	}
	client, err := introspection.NewClient(config)
	if err != nil {
		w.t.Error(err)
		return
	}
	w.client.Store(client)
}

func (w *soak) serve(rw http.ResponseWriter, r *http.Request) {
	w.calls.Add(1)
	token := r.PostFormValue("token")
	if mode := w.mode.Load(); mode != 0 {
		w.isBad()
		soakModes[mode](rw, r)
		return
	}
	_, secret, _ := r.BasicAuth()
	secret, _ = url.QueryUnescape(secret)
	if secret != fmt.Sprint("secret ", w.secret.Load()) {
		answers(401, "application/json", `{"error":"invalid_client"}`)(rw, r)
		return
	}
	if strings.HasPrefix(token, "odd") {
		var n int
		_, _ = fmt.Sscan(token[3:], &n)
		soakOdd[n%len(soakOdd)](rw, r)
		return
	}
	answers(200, "application/json", w.say(token))(rw, r)
}

func (w *soak) say(token string) string {
	w.mu.RLock()
	defer w.mu.RUnlock()
	for _, known := range w.tokens {
		if known.name == token && known.revoked.IsZero() {
			return fmt.Sprintf(`{"active":true,"sub":%q,"client_id":null,"exp":%d}`, token, time.Now().Add(time.Hour).Unix())
		}
	}
	return `{"active":false}`
}

func (w *soak) isBad() {
	grace := soakGrace
	if w.mode.Load() == int64(len(soakModes)-1) {
		grace = soakRefused
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if until := time.Now().Add(grace); until.After(w.excuse) {
		w.excuse = until
	}
}

func soakPause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// fail is what happens to the endpoint. Half of the time it is well for long.
func (w *soak) fail(ctx context.Context) {
	decide := w.rand(-1)
	for ctx.Err() == nil {
		soakPause(ctx, time.Duration(decide.IntN(25_000))*time.Millisecond)
		w.mode.Store(int64(1 + decide.IntN(len(soakModes)-1)))
		w.isBad()
		soakPause(ctx, time.Duration(decide.IntN(2000))*time.Millisecond)
		w.isBad()
		w.mode.Store(0)
	}
}

// disconnect is what happens to the connections: a balancer closes those that are idle,
// which costs nothing, or a middlebox forgets all, which costs what was asked on them.
func (w *soak) disconnect(ctx context.Context) {
	decide := w.rand(-2)
	for ctx.Err() == nil {
		soakPause(ctx, time.Duration(decide.IntN(1500))*time.Millisecond)
		if decide.IntN(40) > 0 {
			w.wires.closeIdle()
			continue
		}
		w.isBad()
		w.wires.forget()
		w.isBad()
	}
}

// renewTokens revokes tokens, issues others in their place, and rotates the secret.
func (w *soak) renewTokens(ctx context.Context) {
	decide := w.rand(-3)
	for n := soakTokens; ctx.Err() == nil; n++ {
		soakPause(ctx, time.Duration(decide.IntN(200))*time.Millisecond)
		w.mu.Lock()
		t := &w.tokens[decide.IntN(soakTokens)]
		if t.revoked.IsZero() {
			t.revoked = time.Now()
		} else {
			*t = soakToken{name: fmt.Sprint("good ", n), from: time.Now()}
		}
		w.mu.Unlock()
		if decide.IntN(40) == 0 {
			w.secret.Add(1)
		}
	}
}

// replace takes another client, now and then, and looks at what all costs.
func (w *soak) replace(ctx context.Context) {
	decide := w.rand(-4)
	for {
		soakPause(ctx, time.Second+time.Duration(decide.IntN(10))*time.Second)
		if ctx.Err() != nil {
			return
		}
		w.weigh()
		if decide.IntN(3) == 0 {
			w.renew()
		}
	}
}

func (w *soak) weigh() {
	runtime.GC()
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	w.heap = append(w.heap, int(memory.HeapAlloc>>20))
	w.goroutines = append(w.goroutines, runtime.NumGoroutine())
}

// ask is one of the thousand.
func (w *soak) ask(ctx context.Context, of int) {
	decide := w.rand(of)
	for n := 0; ctx.Err() == nil; n++ {
		soakPause(ctx, time.Duration(decide.Int64N(int64(min(*soakFor, 12*time.Second)))))
		switch kind := decide.IntN(20); {
		case kind < 2:
			w.tryInvented(ctx, fmt.Sprint("invented ", of, " ", n))
		case kind < 4:
			w.tryInvented(ctx, fmt.Sprint("odd ", decide.IntN(2*len(soakOdd))))
		case kind < 6: // gives up early
			early, cancel := context.WithTimeout(ctx, time.Duration(decide.IntN(5))*time.Millisecond)
			_, _ = w.client.Load().Introspect(early, w.token(decide).name)
			cancel()
		default:
			w.tryGood(ctx, w.token(decide), kind == 19)
		}
	}
}

func (w *soak) token(decide *rand.Rand) soakToken {
	w.mu.RLock()
	defer w.mu.RUnlock()
	return w.tokens[decide.IntN(soakTokens)]
}

func (w *soak) tryInvented(ctx context.Context, token string) {
	response, err := w.client.Load().Introspect(ctx, token)
	if err == nil && response.Active {
		w.errorf("%s: got active", token)
	}
}

// tryGood asks about a token as it was a moment ago, and judges what is said by what was
// the case from then on.
func (w *soak) tryGood(ctx context.Context, was soakToken, fresh bool) {
	began := time.Now()
	response, err := w.client.Load().IntrospectWith(ctx, was.name, introspection.Options{Fresh: fresh})
	took := time.Since(began)
	revoked, excuse := w.since(was)
	switch {
	case ctx.Err() != nil:
	case took > soakTimeout+3*soakSlack:
		w.errorf("%s: an answer took %v; want %v at most", was.name, took, soakTimeout)
	case err != nil:
		w.failed.Add(1)
		if began.After(excuse) {
			w.errorf("%s: refused while the endpoint is well: %v", was.name, err)
		}
		if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
			w.errorf("%s: got %v; want no context error while the context lasts", was.name, err)
		}
	case response.Active:
		w.active.Add(1)
		if response.Subject != was.name {
			w.errorf("%s: got the answer about %q", was.name, response.Subject)
		}
		// A question that was under way when the token was revoked may be shared until it is
		// answered.
		if late := began.Sub(revoked); !revoked.IsZero() && (late > soakCache+soakTimeout || fresh && late > 0) {
			w.errorf("%s: got active %v after it was revoked, fresh %t", was.name, late, fresh)
		}
	default:
		w.inactive.Add(1)
		if revoked.IsZero() {
			w.errorf("%s: got inactive; want active", was.name)
		}
	}
}

// since returns when a token was revoked, if it was, and until when its refusal would be
// the endpoint's doing.
func (w *soak) since(was soakToken) (revoked, excuse time.Time) {
	w.mu.RLock()
	defer w.mu.RUnlock()
	revoked = was.revoked
	for _, t := range w.tokens {
		if t.name == was.name {
			return t.revoked, w.excuse
		}
	}
	if revoked.IsZero() {
		revoked = time.Now() // and replaced since
	}
	return revoked, w.excuse
}

// errorf says the first few things that are wrong; more would say the same.
func (w *soak) errorf(format string, args ...any) {
	if w.wrong.Add(1) <= 20 {
		w.t.Errorf(format, args...)
	}
}

// close closes the endpoint under those that ask.
func (w *soak) close() {
	w.wires.close()
	w.server.CloseClientConnections()
}

func (w *soak) report() {
	w.weigh()
	w.t.Logf("%d active, %d inactive, %d could not be asked; %d calls; %d wrong; MiB of heap %v; goroutines %v",
		w.active.Load(), w.inactive.Load(), w.failed.Load(), w.calls.Load(), w.wrong.Load(), w.heap, w.goroutines)
	if first, last := w.heap[0], w.heap[len(w.heap)-1]; last > first+32 {
		w.t.Errorf("the heap has grown from %d to %d MiB; want it flat", first, last)
	}
	if *soakFor >= 10*time.Second && (w.active.Load() == 0 || w.inactive.Load() == 0 || w.failed.Load() == 0) {
		w.t.Error("want some of each answer, or nothing was tested")
	}
}

// wires is a proxy for connections that may forget them.
type wires struct {
	listener net.Listener
	to       string
	mu       sync.Mutex
	open     map[*wire]struct{}
	closed   bool
	ended    sync.WaitGroup
}

type wire struct {
	near, far net.Conn
	forgotten atomic.Bool
	busy      atomic.Bool  // the last byte came from the client
	last      atomic.Int64 // when, in Unix milliseconds
}

func newWires(t *testing.T, to string) *wires {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wires{listener: listener, to: to, open: map[*wire]struct{}{}}
	w.ended.Go(w.accept)
	return w
}

func (w *wires) accept() {
	for {
		near, err := w.listener.Accept()
		if err != nil {
			return
		}
		far, err := net.Dial("tcp", w.to)
		if err != nil {
			_ = near.Close()
			continue
		}
		one := &wire{near: near, far: far}
		w.mu.Lock()
		w.open[one] = struct{}{}
		if w.closed {
			_, _ = near.Close(), far.Close()
		}
		w.mu.Unlock()
		w.ended.Go(func() { w.copy(one, far, near, func() { one.busy.Store(true) }) })
		w.ended.Go(func() { w.copy(one, near, far, func() { one.busy.Store(false) }) })
	}
}

// copy ends both ways with either; what comes over a forgotten connection is swallowed.
func (w *wires) copy(one *wire, to, from net.Conn, passed func()) {
	buffer := make([]byte, 16<<10)
	for {
		n, err := from.Read(buffer)
		if err != nil {
			break
		}
		if one.forgotten.Load() {
			continue
		}
		passed()
		one.last.Store(time.Now().UnixMilli())
		if _, err := to.Write(buffer[:n]); err != nil {
			break
		}
	}
	_ = one.near.Close()
	_ = one.far.Close()
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.open, one)
}

func (w *wires) each(do func(*wire)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for one := range w.open {
		do(one)
	}
}

func (w *wires) forget() { w.each(func(one *wire) { one.forgotten.Store(true) }) }

func (w *wires) closeIdle() {
	w.each(func(one *wire) {
		if !one.busy.Load() && one.last.Load() > 0 && time.Now().UnixMilli()-one.last.Load() > 500 {
			_ = one.near.Close()
		}
	})
}

func (w *wires) close() {
	_ = w.listener.Close()
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	w.each(func(one *wire) { _, _ = one.near.Close(), one.far.Close() })
	w.ended.Wait()
}
