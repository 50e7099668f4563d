package introspection_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/accesstoken/accesstoken/internal/testkit"
	"github.com/accesstoken/accesstoken/introspection"
)

// A gate is an endpoint that answers when the test opens it.
type gate struct {
	arrived chan struct{}
	open    chan struct{}
	calls   atomic.Int32
	ended   atomic.Int32
}

func newGate(t *testing.T, change func(*introspection.Config)) (*gate, *introspection.Client) {
	g := &gate{arrived: make(chan struct{}, 1000), open: make(chan struct{})}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ParseForm() != nil {
			return // the server notices that a client left only once the body is read
		}
		g.calls.Add(1)
		g.arrived <- struct{}{}
		select {
		case <-g.open:
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write([]byte(`{"active":true,"aud":["a"]}`))
		case <-r.Context().Done():
			g.ended.Add(1)
		}
	}))
	t.Cleanup(server.Close)
	config := introspection.Config{Endpoint: server.URL, ClientID: "api", ClientSecret: "s"}
	if change != nil {
		change(&config)
	}
	client, err := introspection.NewClient(config)
	if err != nil {
		t.Fatal(err)
	}
	return g, client
}

func TestINTRO11WhoAsksAboutOneTokenSharesOneCall(t *testing.T) {
	g, client := newGate(t, nil)
	const askers = 200
	first, leave := context.WithCancel(t.Context())
	var asking sync.WaitGroup
	var good atomic.Int32
	ask := func(ctx context.Context) {
		response, err := client.Introspect(ctx, "token")
		if err == nil && response.Active {
			response.Audience[0], response.Raw[0] = "poisoned", 'x' // ours alone: the race detector would see it shared
			good.Add(1)
		} else if ctx == t.Context() {
			t.Errorf("got %v, %v; want an active token", response, err)
		}
	}
	asking.Go(func() { ask(first) })
	<-g.arrived
	for range askers {
		asking.Go(func() { ask(t.Context()) })
	}
	for client.Waiting() < 1+askers {
		runtime.Gosched()
	}
	leave() // who asked first must not take the others along
	for client.Waiting() > askers {
		runtime.Gosched()
	}
	close(g.open)
	asking.Wait()
	if good.Load() != askers || g.calls.Load() != 1 {
		t.Errorf("got %d good answers from %d calls; want %d from 1", good.Load(), g.calls.Load(), askers)
	}
}

// To cancel an exchange of HTTP/1.1 closes its connection, and the next call pays for
// a handshake.
func TestACallOnTheWireIsNotCancelledByThoseWhoLeave(t *testing.T) {
	const askers = 40
	var connections, cut atomic.Int32
	arrived, open := make(chan struct{}), make(chan struct{}, askers)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		arrived <- struct{}{}
		select {
		case <-open:
			answers(200, "application/json", `{"active":true}`)(w, r)
		case <-r.Context().Done():
			cut.Add(1)
		}
	}))
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connections.Add(1)
		}
	}
	server.StartTLS()
	t.Cleanup(server.Close)
	client := newClient(t, server, nil)
	for i := range askers {
		ctx, leave := context.WithCancel(t.Context())
		var asking sync.WaitGroup
		asking.Go(func() {
			if _, err := client.Introspect(ctx, fmt.Sprint(token, i)); !errors.Is(err, context.Canceled) {
				t.Errorf("got %v; want the caller's own context", err)
			}
		})
		<-arrived
		leave()
		asking.Wait()
		open <- struct{}{}
		for deadline := time.Now().Add(10 * time.Second); client.OnWire() > 0; runtime.Gosched() {
			if time.Now().After(deadline) {
				t.Fatal("the call has not ended within 10s")
			}
		}
	}
	if cut.Load() != 0 || connections.Load() != 1 {
		t.Errorf("got %d calls cut off, and %d connections; want 0, and 1", cut.Load(), connections.Load())
	}
}

// What has not begun ends with the last who waits for it.
func TestACallThatWaitsForItsTurnIsGivenUpByTheLastWhoLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &endpoint{answer: active(time.Hour), delay: time.Second}
		client := newCaching(t, e, nil)
		var asking sync.WaitGroup
		for i := range 64 {
			asking.Go(func() { wantAnswer(t, client, fmt.Sprint(i), "active") })
		}
		synctest.Wait()
		for i := range 3 {
			asking.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i+1)*100*time.Millisecond)
				defer cancel()
				if _, err := client.Introspect(ctx, token); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("got %v; want the caller's own context", err)
				}
			})
		}
		asking.Wait()
		time.Sleep(time.Minute)
		wantAsked(t, e, 64)
	})
}

// Whoever asks about a token that is being asked about, though those who began that
// have left, has the answer.
func TestWhoComesAfterTheOthersLeftJoinsTheirCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &endpoint{answer: active(time.Hour), delay: time.Second}
		client := newCaching(t, e, nil)
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		_, _ = client.Introspect(ctx, token)
		wantAnswer(t, client, token, "active")
		wantAsked(t, e, 1)
	})
}

// newBubbled makes a client that calls nobody: its transport is the function.
func newBubbled(t *testing.T, transport roundTrip) *introspection.Client {
	t.Helper()
	client, err := introspection.NewClient(introspection.Config{
		Endpoint:     "https://login.example.com/introspect",
		ClientID:     "api",
		ClientSecret: secret,
		HTTPClient:   &http.Client{Transport: transport},
	})
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func answer(r *http.Request, body string) (*http.Response, error) {
	return &http.Response{StatusCode: 200, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
}

func TestINTRO11AFloodOfTokensIsNoFloodOfCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const askers, most = 200, 64
		var calls atomic.Int32
		open := make(chan struct{})
		client := newBubbled(t, func(r *http.Request) (*http.Response, error) {
			calls.Add(1)
			<-open
			return answer(r, `{"active":true}`)
		})
		var asking sync.WaitGroup
		for i := range askers {
			asking.Go(func() {
				if _, err := client.Introspect(t.Context(), fmt.Sprint(token, i)); err != nil {
					t.Errorf("got %v; want everybody answered in the end", err)
				}
			})
		}
		synctest.Wait()
		if got := calls.Load(); got != most {
			t.Errorf("under way at once: got %d; want %d", got, most)
		}
		close(open)
		asking.Wait()
		if got := calls.Load(); got != askers {
			t.Errorf("in the end: got %d calls; want %d", got, askers)
		}
	})
}

func TestWhoFindsNoPlaceLearnsNothingOfTheToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		open := make(chan struct{})
		client := newBubbled(t, func(r *http.Request) (*http.Response, error) {
			<-open // this transport heeds no context, so that no place becomes free
			return answer(r, `{"active":true}`)
		})
		var asking sync.WaitGroup
		for i := range 64 {
			asking.Go(func() { _, _ = client.Introspect(t.Context(), fmt.Sprint(i)) })
		}
		synctest.Wait()
		response, err := client.Introspect(t.Context(), token)
		if err == nil || response.Active || errors.Is(err, introspection.ErrClientRefused) || errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %+v, %v; want an error that says nothing is known", response, err)
		}
		if text := fmt.Sprint(err); !strings.HasPrefix(text, "introspection: ") {
			t.Errorf("got %q; want it to begin with the package's name", text)
		}
		wantNoCanary(t, "the error", fmt.Sprintf("%v %+v %#v", err, err, err))
		close(open)
		asking.Wait()
	})
}

// A dawdler is a context whose owner has not yet looked at the answer.
type dawdler struct {
	context.Context
	look chan struct{}
}

func (d dawdler) Done() <-chan struct{} {
	<-d.look
	return d.Context.Done()
}

func TestAnAnswerThatIsThereIsNotGivenToWhoComesLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int32
		client := newBubbled(t, func(r *http.Request) (*http.Response, error) {
			if calls.Add(1) == 1 {
				return answer(r, `{"active":true}`)
			}
			return answer(r, `{"active":false}`) // revoked by now
		})
		look := make(chan struct{})
		var asking sync.WaitGroup
		asking.Go(func() {
			response, err := client.Introspect(dawdler{t.Context(), look}, token)
			if err != nil || !response.Active {
				t.Errorf("who came first: got active %v, %v; want true", response.Active, err)
			}
		})
		synctest.Wait() // the answer is there, and nobody has looked at it
		response, err := client.Introspect(t.Context(), token)
		if err != nil || response.Active || calls.Load() != 2 {
			t.Errorf("who came later: got active %v, %v from call %d; want false from the second", response.Active, err, calls.Load())
		}
		close(look)
		asking.Wait()
	})
}

// What is not on the wire yet needs not go there, and costs who comes next nothing.
func TestACallWhoseCallersLeaveBeforeItIsOnTheWireIsNotMade(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int32
		source := make(chan struct{})
		config := introspection.Config{Endpoint: "https://login.example.com/introspect", HTTPClient: &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			calls.Add(1)
			return answer(r, `{"active":true}`)
		})}}
		bearer(func(ctx context.Context) (string, error) {
			<-source // it heeds no context
			return "token", nil
		})(&config)
		client := testkit.Must(introspection.NewClient(config))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, _ = client.Introspect(ctx, token)
		synctest.Wait()
		if got := calls.Load(); got != 0 {
			t.Errorf("got %d calls; want 0 for nobody", got)
		}
		close(source)
		wantAnswer(t, client, token, "active")
		synctest.Wait()
		if got := calls.Load(); got != 1 {
			t.Errorf("got %d calls; want 1", got)
		}
	})
}

// The time in the queue counts: what has its turn late goes on, but nobody waits for it.
func TestNobodyWaitsLongerThanTheTimeoutForACallThatHadToWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &endpoint{answer: active(time.Hour), delay: 4 * time.Second}
		client := newCaching(t, e, nil)
		var asking sync.WaitGroup
		for i := range 64 {
			asking.Go(func() { wantAnswer(t, client, fmt.Sprint(i), "active") })
		}
		synctest.Wait()
		began := time.Now()
		wantAnswer(t, client, token, "unknown") // has its turn after 4 s, and an answer after 8
		if took := time.Since(began); took != 5*time.Second {
			t.Errorf("took %v; want the Timeout, 5s", took)
		}
		asking.Wait()
		time.Sleep(4 * time.Second)
		wantAnswer(t, client, token, "active")
		wantAsked(t, e, 65) // the answer was kept
	})
}

// Who asks about a token whose call had to wait for its turn, and is on the wire by
// now, waits for the answer as anyone does.
func TestACallThatHadToWaitIsJoinedOnceItIsOnTheWire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, _ := newFair(t, func(token string) reply {
			if token == "good" {
				return reply{body: goodBody, delay: time.Second}
			}
			return reply{body: `{"active":false}`, delay: 4900 * time.Millisecond}
		}, nil)
		var all sync.WaitGroup
		for i := range 64 {
			all.Go(func() { _, _ = client.Introspect(t.Context(), fmt.Sprint("other ", i)) })
		}
		synctest.Wait()
		all.Go(func() { _, _ = client.Introspect(t.Context(), "good") })
		time.Sleep(5100 * time.Millisecond) // nothing else is under way
		wantAnswer(t, client, "good", "active")
		all.Wait()
		time.Sleep(10 * time.Second) // until the call is over
	})
}
