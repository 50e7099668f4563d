package spiffeauth_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spiffe/go-spiffe/v2/proto/spiffe/workload"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/grpcauth"
	"github.com/accesstoken/accesstoken/integrations/spiffeauth"
	"github.com/accesstoken/accesstoken/internal/testkit"
	"github.com/accesstoken/accesstoken/middleware"
	"github.com/accesstoken/accesstoken/scopes"
)

// A stub answers FetchJWTSVID in a bubble, where there is no network.
type stub struct {
	workload.SpiffeWorkloadAPIClient
	calls atomic.Int64
	fetch func(ctx context.Context, call int64) (string, error)
}

func (s *stub) FetchJWTSVID(ctx context.Context, _ *workload.JWTSVIDRequest, _ ...grpc.CallOption) (*workload.JWTSVIDResponse, error) {
	text, err := s.fetch(ctx, s.calls.Add(1))
	if err != nil {
		return nil, err
	}
	return &workload.JWTSVIDResponse{Svids: []*workload.JWTSVID{{Svid: text}}}, nil
}

// minted is an SVID for an hour; its jti tells it from others.
func minted(life time.Duration, call int64) string {
	return as.Sign(map[string]any{"typ": "JWT", "alg": "ES256"}, map[string]any{
		"sub": workerID, "aud": "orders", "exp": time.Now().Add(life).Unix(), "jti": fmt.Sprint(call), // without iat
	})
}

// wantToken wants a token, the same as before or another.
func wantToken(t *testing.T, c *spiffeauth.Credentials, before string, same bool) string {
	t.Helper()
	text, err := c.Token(t.Context())
	if err != nil || (text == before) != same {
		t.Helper()
		t.Errorf("after %v: got %v, the same token: %v; want the same: %v", time.Now().Format(time.TimeOnly), err, text == before, same)
	}
	return text
}

// A token serves until its end, and is replaced after half of its life by the call that
// comes then, which does not wait.
func TestATokenIsReplacedAfterHalfOfItsLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := &stub{fetch: func(ctx context.Context, call int64) (string, error) {
			if call > 1 {
				time.Sleep(9 * time.Second) // a slow agent
			}
			return minted(time.Hour, call), nil
		}}
		source := spiffeauth.NewSourceOf(api)
		c := source.Credentials("orders")
		first := wantToken(t, c, "", false)
		time.Sleep(30*time.Minute - time.Second)
		wantToken(t, c, first, true)
		if api.calls.Load() != 1 {
			t.Errorf("before half of the life: got %d fetches; want 1", api.calls.Load())
		}
		time.Sleep(time.Second)
		began := time.Now()
		for range 100 {
			wantToken(t, c, first, true)
		}
		if time.Since(began) != 0 {
			t.Errorf("a slow agent: the calls waited %v; want no wait", time.Since(began))
		}
		time.Sleep(10 * time.Second)
		second := wantToken(t, c, first, false)
		if api.calls.Load() != 2 {
			t.Errorf("got %d fetches; want one for all calls", api.calls.Load())
		}
		time.Sleep(59*time.Minute + 54*time.Second) // 5 s before its end
		began = time.Now()
		wantToken(t, c, second, false)
		if time.Since(began) != 9*time.Second {
			t.Errorf("at the end of a token: the call waited %v; want that it waits for the next", time.Since(began))
		}
	})
}

// A token that is good serves on while the agent fails, and the agent is asked once a
// second at most.
func TestAnAgentThatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken := false
		api := &stub{fetch: func(_ context.Context, call int64) (string, error) {
			if broken {
				return "", status.Error(codes.Unavailable, "away")
			}
			return minted(time.Hour, call), nil
		}}
		c := spiffeauth.NewSourceOf(api).Credentials("orders")
		first := wantToken(t, c, "", false)
		broken = true
		time.Sleep(40 * time.Minute)
		for range 50 {
			wantToken(t, c, first, true)
			time.Sleep(100 * time.Millisecond)
		}
		if calls := api.calls.Load(); calls < 5 || calls > 7 {
			t.Errorf("in 5 s: got %d fetches; want one for each second", calls)
		}
		time.Sleep(20 * time.Minute)
		for range 10 {
			if _, err := c.Token(t.Context()); err == nil || !strings.Contains(err.Error(), "away") {
				t.Errorf("after the end: got %v; want what went wrong", err)
			}
		}
		broken = false
		time.Sleep(time.Second)
		wantToken(t, c, first, false)
	})
}

// Calls that need a token share one fetch. A caller that gives up takes no other along.
func TestOneFetchServesAllCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := &stub{fetch: func(ctx context.Context, call int64) (string, error) {
			select {
			case <-time.After(3 * time.Second):
				return minted(time.Hour, call), nil
			case <-ctx.Done():
				return "", ctx.Err()
			}
		}}
		c := spiffeauth.NewSourceOf(api).Credentials("orders")
		hasty, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var wait sync.WaitGroup
		wait.Go(func() {
			if _, err := c.Token(hasty); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("the hasty caller: got %v; want the end of its time", err)
			}
		})
		for range 50 {
			wait.Go(func() { wantToken(t, c, "", false) })
		}
		wait.Wait()
		if api.calls.Load() != 1 {
			t.Errorf("got %d fetches; want 1", api.calls.Load())
		}
	})
}

// A hanging agent is given up after 10 s.
func TestAnAgentThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := &stub{fetch: func(ctx context.Context, _ int64) (string, error) {
			<-ctx.Done()
			return "", status.FromContextError(ctx.Err()).Err()
		}}
		began := time.Now()
		_, err := spiffeauth.NewSourceOf(api).Credentials("orders").Token(t.Context())
		if err == nil || time.Since(began) != 10*time.Second {
			t.Errorf("got %v after %v; want an error after 10s", err, time.Since(began))
		}
	})
}

// Nothing that the agent sends goes out unless it is a JWT-SVID for the audience.
func TestWhatTheAgentSendsIsLookedAt(t *testing.T) {
	a := newAgent(t)
	source := a.source(t)
	for name, text := range map[string]string{
		"no token":             "",
		"not a token":          "x",
		"for another audience": svid(as, workerID, []string{"billing"}, time.Minute),
		"expired":              svid(as, workerID, []string{"orders"}, -time.Second),
		"a WIT":                as.Sign(map[string]any{"typ": "wit+jwt"}, map[string]any{"sub": workerID, "aud": "orders", "exp": time.Now().Add(time.Minute).Unix()}),
	} {
		a.change(func() { a.mint = func(context.Context, []string) (string, error) { return text, nil } })
		if got, err := source.Credentials("orders").Token(t.Context()); err == nil || got != "" || strings.Contains(err.Error(), "billing") {
			t.Errorf("%s: got %q, %v; want an error without the token", name, got, err)
		}
	}
	asked := a.calls()
	if _, err := source.Credentials("").Token(t.Context()); err == nil || a.calls() != asked {
		t.Errorf("without an audience: got %v after %d calls; want an error at once", err, a.calls()-asked)
	}
	_ = source.Close()
	if _, err := source.Credentials("orders").Token(t.Context()); err == nil {
		t.Error("after Close: got a token; want an error")
	}
}

// health answers to calls that have passed.
type health struct {
	healthpb.UnimplementedHealthServer
}

func (health) Check(ctx context.Context, _ *healthpb.HealthCheckRequest) (*healthpb.HealthCheckResponse, error) {
	if claims, ok := accesstoken.FromContext(ctx); !ok || claims.Subject != workerID || !claims.ClientItself() {
		return nil, status.Error(codes.Internal, "no caller")
	}
	return &healthpb.HealthCheckResponse{Status: healthpb.HealthCheckResponse_SERVING}, nil
}

// serveGRPC starts a gRPC server over TLS, and returns its address.
func serveGRPC(t *testing.T, options ...grpc.ServerOption) (address string) {
	t.Helper()
	listener := testkit.Must(listenLoopback())
	server := grpc.NewServer(options...)
	healthpb.RegisterHealthServer(server, health{})
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	return listener.Addr().String()
}

func dial(t *testing.T, address string, options ...grpc.DialOption) healthpb.HealthClient {
	t.Helper()
	conn, err := grpc.NewClient(address, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return healthpb.NewHealthClient(conn)
}

// A workload calls another, over gRPC and HTTP, with tokens of the agent and nothing
// else.
func TestAWorkloadCallsAnother(t *testing.T) {
	a := newAgent(t)
	source := a.source(t)
	v := validator(t, source.Issuer(domain))
	policy := accesstoken.Policy{Scopes: scopes.None(), SPIFFEIDs: []string{domain + "/ns/prod/*"}}
	auth := testkit.Must(grpcauth.New(v, &grpcauth.Options{Methods: map[string]accesstoken.Policy{healthpb.Health_Check_FullMethodName: policy}}))
	certificate, pool := tlsPair(t)
	address := serveGRPC(t, append(auth.ServerOptions(), grpc.Creds(credentials.NewServerTLSFromCert(&certificate)))...)
	c := source.Credentials(testkit.Resource)
	client := dial(t, address, grpc.WithTransportCredentials(credentials.NewClientTLSFromCert(pool, "")), grpc.WithPerRPCCredentials(c), grpc.WithUnaryInterceptor(c.UnaryInterceptor))
	if _, err := client.Check(t.Context(), &healthpb.HealthCheckRequest{}); err != nil {
		t.Errorf("gRPC: got %v; want it accepted", err)
	}
	server := httptest.NewTLSServer(middleware.New(v, nil).RequirePolicy(policy).Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		claims, ok := accesstoken.FromContext(r.Context())
		_, _ = fmt.Fprint(w, claims.Subject, ok)
	})))
	defer server.Close()
	httpClient := &http.Client{Transport: c.RoundTripper(server.Client().Transport)}
	response, err := httpClient.Get(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	if body := drain(t, response.Body); response.StatusCode != 200 || body != workerID+"true" {
		t.Errorf("HTTP: got %d %s; want 200", response.StatusCode, body)
	}
	if a.calls() != 1 {
		t.Errorf("the agent was asked %d times; want once for both", a.calls())
	}
}

// A token is never sent in the clear.
func TestATokenNeedsTLS(t *testing.T) {
	a := newAgent(t)
	c := a.source(t).Credentials("orders")
	seen := atomic.Bool{}
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { seen.Store(true) }))
	defer server.Close()
	if _, err := (&http.Client{Transport: c.RoundTripper(nil)}).Post(server.URL, "text/plain", strings.NewReader("a")); err == nil || seen.Load() {
		t.Errorf("HTTP: got %v, a request: %v; want an error before any request", err, seen.Load())
	}
	if _, err := grpc.NewClient(serveGRPC(t), grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithPerRPCCredentials(c)); err == nil {
		t.Error("gRPC: got a connection without TLS; want an error")
	}
	if a.calls() != 0 {
		t.Errorf("the agent was asked %d times; want never", a.calls())
	}
}

// A redirect takes no token to another host, and back from there neither.
func TestARedirectTakesNoTokenElsewhere(t *testing.T) {
	a := newAgent(t)
	c := a.source(t).Credentials("orders")
	var mu sync.Mutex
	var seen []string
	var home *httptest.Server
	record := func(w http.ResponseWriter, r *http.Request, next string) {
		mu.Lock()
		defer mu.Unlock()
		seen = append(seen, fmt.Sprintf("%s %v", r.URL.Path, r.Header.Get("Authorization") != ""))
		if next != "" {
			http.Redirect(w, r, next, http.StatusTemporaryRedirect)
		}
	}
	away := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { record(w, r, home.URL+"/back") }))
	defer away.Close()
	home = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		record(w, r, map[string]string{"/": "/second", "/second": away.URL + "/away", "/back": home.URL + "/again"}[r.URL.Path])
	}))
	defer home.Close()
	response, err := (&http.Client{Transport: c.RoundTripper(home.Client().Transport)}).Get(home.URL + "/")
	if err != nil {
		t.Fatal(err)
	}
	_ = drain(t, response.Body)
	mu.Lock()
	defer mu.Unlock()
	if got := strings.Join(seen, ", "); got != "/ true, /second true, /away false, /back false, /again false" {
		t.Errorf("got the requests %s; want a token until the other host", got)
	}
}

// A service that refuses a token gets another one, once; the agent is not asked for more
// than one a second, whatever the service answers.
func TestARefusedTokenIsReplacedOnce(t *testing.T) {
	a := newAgent(t)
	minting := atomic.Int64{}
	a.change(func() {
		a.mint = func(_ context.Context, audience []string) (string, error) {
			return as.Sign(map[string]any{"typ": "JWT"}, map[string]any{"sub": workerID, "aud": audience, "exp": time.Now().Add(time.Minute).Unix(), "jti": fmt.Sprint(minting.Add(1))}), nil
		}
	})
	refuse, calls := atomic.Int64{}, atomic.Int64{}
	var first atomic.Value
	interceptor := func(ctx context.Context, r any, _ *grpc.UnaryServerInfo, _ grpc.UnaryHandler) (any, error) {
		calls.Add(1)
		sent, _ := metadata.FromIncomingContext(ctx)
		token := sent["authorization"][0]
		if refuse.Load() == 2 || refuse.Load() == 1 && (first.CompareAndSwap(nil, token) || first.Load() == token) {
			return nil, status.Error(codes.Unauthenticated, "no")
		}
		return &healthpb.HealthCheckResponse{}, nil
	}
	certificate, pool := tlsPair(t)
	address := serveGRPC(t, grpc.UnaryInterceptor(interceptor), grpc.Creds(credentials.NewServerTLSFromCert(&certificate)))
	c := a.source(t).Credentials("orders")
	client := dial(t, address, grpc.WithTransportCredentials(credentials.NewClientTLSFromCert(pool, "")), grpc.WithPerRPCCredentials(c), grpc.WithUnaryInterceptor(c.UnaryInterceptor))
	refuse.Store(1)
	if _, err := client.Check(t.Context(), &healthpb.HealthCheckRequest{}); err != nil || calls.Load() != 2 || minting.Load() != 2 {
		t.Errorf("one refused token: got %v after %d calls with %d tokens; want 2 and 2", err, calls.Load(), minting.Load())
	}
	refuse.Store(2)
	for range 20 {
		if _, err := client.Check(t.Context(), &healthpb.HealthCheckRequest{}); status.Code(err) != codes.Unauthenticated {
			t.Errorf("every token refused: got %v; want the service's answer", err)
		}
	}
	held := svid(as, workerID, []string{"orders"}, time.Minute)
	a.change(func() { a.mint = func(context.Context, []string) (string, error) { return held, nil } })
	same, before := a.source(t).Credentials("orders"), calls.Load()
	again := dial(t, address, grpc.WithTransportCredentials(credentials.NewClientTLSFromCert(pool, "")), grpc.WithPerRPCCredentials(same), grpc.WithUnaryInterceptor(same.UnaryInterceptor))
	if _, err := again.Check(t.Context(), &healthpb.HealthCheckRequest{}); status.Code(err) != codes.Unauthenticated || calls.Load() != before+1 {
		t.Errorf("the agent has no other token: got %v after %d calls; want one call", err, calls.Load()-before)
	}
	if minting.Load() > 4 || before > 26 {
		t.Errorf("every token refused: got %d tokens and %d calls; want at most one more token a second", minting.Load(), calls.Load())
	}
}

// An agent that is away is no fault of the service.
func TestWithoutATokenTheCallIsUnavailable(t *testing.T) {
	a := newAgent(t)
	a.change(func() {
		a.mint = func(context.Context, []string) (string, error) {
			return "", status.Error(codes.PermissionDenied, "no identity issued")
		}
	})
	certificate, pool := tlsPair(t)
	address := serveGRPC(t, grpc.Creds(credentials.NewServerTLSFromCert(&certificate)))
	c := a.source(t).Credentials("orders")
	client := dial(t, address, grpc.WithTransportCredentials(credentials.NewClientTLSFromCert(pool, "")), grpc.WithPerRPCCredentials(c), grpc.WithUnaryInterceptor(c.UnaryInterceptor))
	if _, err := client.Check(t.Context(), &healthpb.HealthCheckRequest{}); status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), "no identity for this workload") {
		t.Errorf("got %v; want Unavailable, and why", err)
	}
}
