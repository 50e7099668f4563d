package introspection_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/accesstoken/accesstoken/accesstokentest"
	"github.com/accesstoken/accesstoken/internal/testkit"
	"github.com/accesstoken/accesstoken/introspection"
)

// A guard is an endpoint that knows one secret at a time.
type guard struct {
	mu     sync.Mutex
	secret string
	status int // of a refusal
	calls  int
}

func (g *guard) rotate(secret string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.secret, g.calls = secret, 0
}

func (g *guard) count() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.calls
}

func (g *guard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	g.calls++
	secret, status := g.secret, g.status
	g.mu.Unlock()
	if !knows(r, secret) {
		answers(status, "application/json", `{"error":"invalid_client"}`)(w, r)
		return
	}
	answers(200, "application/json", `{"active":true}`)(w, r)
}

// knows reports whether the request shows the secret by any of the three methods.
func knows(r *http.Request, secret string) bool {
	if _, password, ok := r.BasicAuth(); ok {
		password, _ = url.QueryUnescape(password)
		return password == secret
	}
	if assertion := r.PostFormValue("client_assertion"); assertion != "" {
		_, err := jwt.Parse(assertion, func(*jwt.Token) (any, error) { return []byte(secret), nil }, jwt.WithValidMethods([]string{"HS256"}))
		return err == nil
	}
	return r.PostFormValue("client_secret") == secret
}

func secretNumber(n int) string { return fmt.Sprintf("canary-secret-%d-of-32-bytes-and-more", n) }

// newSourced makes a client of the guard, and returns what sets the number of the secret
// that its source returns, and how often that was read.
func newSourced(t *testing.T, g http.Handler, method introspection.AuthMethod) (client *introspection.Client, number *atomic.Int32, reads *atomic.Int32) {
	number, reads = new(atomic.Int32), new(atomic.Int32)
	server := httptest.NewTLSServer(g)
	t.Cleanup(server.Close)
	client = newClient(t, server, func(c *introspection.Config) {
		c.AuthMethod, c.Issuer, c.ClientSecret = method, issuer, ""
		c.ClientSecretFrom = func(context.Context) (string, error) {
			reads.Add(1)
			return secretNumber(int(number.Load())), nil
		}
	})
	return client, number, reads
}

func TestASecretThatIsRotatedIsReadAgain(t *testing.T) {
	for _, method := range []introspection.AuthMethod{introspection.ClientSecretBasic, introspection.ClientSecretPost, introspection.ClientSecretJWT} {
		for _, status := range []int{401, 403, 400} {
			t.Run(fmt.Sprint(method, status), func(t *testing.T) {
				g := &guard{secret: secretNumber(0), status: status}
				client, number, reads := newSourced(t, g, method)
				for range 10 {
					wantAnswer(t, client, token, "active")
				}
				if got := reads.Load(); got != 1 {
					t.Errorf("read %d times; want once while it is good", got)
				}
				g.rotate(secretNumber(1))
				number.Store(1)
				for range 10 {
					wantAnswer(t, client, token, "active")
				}
				if got, calls := reads.Load(), g.count(); got != 2 || calls != 11 {
					t.Errorf("read %d times, %d calls; want 2, and 11: the refused one was put once more", got, calls)
				}
			})
		}
	}
}

// An endpoint that refuses us is not asked for each request.
func TestARefusedClientAsksOnceInAFewSeconds(t *testing.T) {
	sourced := func(config *introspection.Config) {
		config.ClientSecret = ""
		config.ClientSecretFrom = func(context.Context) (string, error) { return secret, nil }
	}
	for name, change := range map[string]func(*introspection.Config){"a secret": methods["client_secret_basic"], "a source of one": sourced, "a JWT": signedBy(p256Key()),
		"a token": bearer(func(context.Context) (string, error) { return "canary", nil })} {
		t.Run(name, func(t *testing.T) {
			var calls atomic.Int32
			server := serve(t, func(w http.ResponseWriter, r *http.Request) {
				calls.Add(1)
				answers(401, "application/json", `{"error":"invalid_client"}`)(w, r)
			})
			client := newClient(t, server, change)
			for i := range 100 {
				_, err := client.Introspect(t.Context(), fmt.Sprint(token, i%20))
				if !errors.Is(err, introspection.ErrClientRefused) {
					t.Fatalf("got %v; want ErrClientRefused", err)
				}
				if after := retryAfter(err); i > 0 && (after <= 0 || after > 5*time.Second) {
					t.Errorf("RetryAfter: got %v; want up to 5s", after)
				}
				wantNoCanary(t, "the error", fmt.Sprint(err))
			}
			if got := calls.Load(); got != 1 {
				t.Errorf("got %d calls; want 1", got)
			}
		})
	}
}

func TestARefusedClientRecoversOnceThatIsMended(t *testing.T) {
	for quiet, certain := range map[time.Duration]int{0: 10, 5 * time.Second: 2} { // tokens, by how long ago the last answer came
		t.Run(quiet.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, transport := newFair(t, func(string) reply { return reply{body: goodBody} }, nil)
				knowing(t, client, 20)
				time.Sleep(quiet)
				transport.set(func(string) reply { return reply{status: 401} })
				for range 10 {
					for i := range 20 {
						wantAnswer(t, client, fmt.Sprint("known ", i), "unknown")
					}
				}
				if got := transport.count("known"); got != 20+certain {
					t.Errorf("asked %d times; want 20, and %d until it is certain", got, certain)
				}
				transport.set(func(string) reply { return reply{body: goodBody} })
				time.Sleep(5 * time.Second)
				knowing(t, client, 20)
				wantAnswer(t, client, "new", "active")
			})
		})
	}
}

// A firewall may refuse what looks odd to it; that is of the token.
func TestARefusalOfOneTokenIsNotThatOfTheClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reads := 0
		client, transport := newFair(t, func(token string) reply {
			if strings.HasPrefix(token, "odd") {
				return reply{status: 403}
			}
			return reply{body: goodBody}
		}, func(c *introspection.Config) {
			c.ClientSecret = ""
			c.ClientSecretFrom = func(context.Context) (string, error) { reads++; return "secret", nil }
		})
		wantAnswer(t, client, "good", "active")
		for range 1000 {
			_, _ = client.Introspect(t.Context(), "odd one")
			wantAnswer(t, client, "good", "active")
			time.Sleep(5 * time.Millisecond)
		}
		if got := transport.count("odd"); got > 15 {
			t.Errorf("odd: asked %d times in five seconds; want 15 at most", got)
		}
		if reads > 3 {
			t.Errorf("the secret was read %d times in five seconds; want 3 at most", reads)
		}
	})
}

func TestClientSecretFromThatFails(t *testing.T) {
	for name, source := range map[string]func(context.Context) (string, error){
		"an error": func(context.Context) (string, error) { return "canary", errors.New("canary") },
		"a panic":  func(context.Context) (string, error) { panic("canary") },
		"nothing":  func(context.Context) (string, error) { return "", nil },
		"too short, for a JWT": func(context.Context) (string, error) {
			return "canary", nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			var calls atomic.Int32
			server := serve(t, func(http.ResponseWriter, *http.Request) { calls.Add(1) })
			client := newClient(t, server, func(c *introspection.Config) {
				c.AuthMethod, c.Issuer, c.ClientSecret, c.ClientSecretFrom = introspection.ClientSecretJWT, issuer, "", source
			})
			_, err := client.Introspect(t.Context(), token)
			wantNothingKnown(t, err)
			if calls.Load() != 0 || !strings.Contains(fmt.Sprint(err), "ClientSecretFrom") {
				t.Errorf("got %v after %d calls; want it to name ClientSecretFrom, after none", err, calls.Load())
			}
			wantNoCanary(t, "the error", fmt.Sprintf("%v %+v %#v", err, err, err))
		})
	}
	t.Run("as a setting", func(t *testing.T) {
		source := func(context.Context) (string, error) { return secret, nil }
		for change, want := range map[*introspection.Config]string{
			{ClientSecret: secret, ClientSecretFrom: source}:                                                          "both set",
			{AuthMethod: introspection.PrivateKeyJWT, ClientKey: p256Key(), Issuer: issuer, ClientSecretFrom: source}: "ClientSecretFrom is set",
		} {
			change.Endpoint, change.ClientID = "https://login.example.com/introspect", "api"
			if _, err := introspection.NewClient(*change); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v; want it to say %q", err, want)
			}
		}
	})
}

// A server that takes an assertion once refuses one that is sent twice.
func TestAQuestionOnAClosedConnectionIsAskedAgainWithANewAssertion(t *testing.T) {
	for name, change := range methods {
		t.Run(name, func(t *testing.T) {
			var mu sync.Mutex
			used := map[string]int{}
			var closed atomic.Int32
			server := serve(t, func(w http.ResponseWriter, r *http.Request) {
				assertion := r.PostFormValue("client_assertion")
				mu.Lock()
				used[assertion]++
				again := used[assertion] > 1 && assertion != ""
				mu.Unlock()
				switch {
				case r.PostFormValue("token") == "closing" && closed.Add(1) == 1:
					conn, _, err := http.NewResponseController(w).Hijack()
					if err != nil {
						t.Error(err)
						return
					}
					_ = conn.Close() // as a balancer does that closes an idle connection
				case again:
					answers(401, "application/json", `{"error":"invalid_client"}`)(w, r)
				default:
					answers(200, "application/json", `{"active":true}`)(w, r)
				}
			})
			client := newClient(t, server, change)
			wantAnswer(t, client, "first", "active") // its connection is used again
			wantAnswer(t, client, "closing", "active")
			if got := closed.Load(); got != 2 {
				t.Errorf("asked %d times; want once, and once more", got)
			}
		})
	}
}

func TestFAPI2ErrNamesWhatTheProfileDoesNotAllow(t *testing.T) {
	good := introspection.Config{Endpoint: "https://login.example.com/introspect", ClientID: "api", AuthMethod: introspection.PrivateKeyJWT, ClientKey: rsaKey(), Issuer: "https://login.example.com"}
	for _, test := range []struct {
		name   string
		change func(*introspection.Config)
		faults []string
	}{
		{"private_key_jwt with an RSA key", func(*introspection.Config) {}, nil},
		{"P-256", func(c *introspection.Config) { c.ClientKey = p256Key() }, nil},
		{"Ed25519", func(c *introspection.Config) { c.ClientKey = edwardKey() }, nil},
		{"a secret, which the profile leaves open", func(c *introspection.Config) { c.AuthMethod, c.ClientKey, c.ClientSecret = "", nil, secret }, nil},
		{"http on loopback", func(c *introspection.Config) { c.Endpoint = "http://127.0.0.1/introspect" }, nil},
		{"http", func(c *introspection.Config) { c.Endpoint, c.DangerouslyAllowHTTP = "http://login.example.com/i", true }, []string{"Endpoint"}},
		{"stale answers", func(c *introspection.Config) { c.CacheFor, c.DangerouslyServeStaleFor = time.Second, time.Second }, []string{"DangerouslyServeStaleFor"}},
		{"RS256", func(c *introspection.Config) { c.ClientKeyAlgorithm = "RS256" }, []string{"ClientKeyAlgorithm is RS256"}},
		{"P-384", func(c *introspection.Config) { c.ClientKey = p384Key() }, []string{"ClientKeyAlgorithm is ES384"}},
		{"HS256", func(c *introspection.Config) {
			c.AuthMethod, c.ClientKey, c.ClientSecret = introspection.ClientSecretJWT, nil, longSecret
		}, []string{"AuthMethod"}},
		{"signed answers, which may be under RS256", func(c *introspection.Config) { c.Keys = noKeys{} }, []string{"Algorithms is nil"}},
		{"signed answers under RS256", func(c *introspection.Config) { c.Keys, c.Algorithms = noKeys{}, []string{"ES256", "RS256"} }, []string{`Algorithms has "RS256"`}},
		{"signed answers under ES256", func(c *introspection.Config) { c.Keys, c.Algorithms = noKeys{}, []string{"ES256"} }, nil},
		{"keys with faults of their own", func(c *introspection.Config) { c.Keys, c.Algorithms = laxKeys{}, []string{"ES256"} }, []string{"Keys: JWKSURI", "Keys: Dangerously"}},
		{"several", func(c *introspection.Config) {
			c.ClientKeyAlgorithm, c.Keys, c.CacheFor, c.DangerouslyServeStaleFor = "PS512", noKeys{}, time.Second, time.Second
		}, []string{"DangerouslyServeStaleFor", "ClientKeyAlgorithm", "Algorithms"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			config := good
			test.change(&config)
			err := testkit.Must(introspection.NewClient(config)).FAPI2Err()
			if len(test.faults) == 0 {
				if err != nil {
					t.Errorf("got %v; want nil", err)
				}
				return
			}
			if err == nil {
				t.Fatalf("got nil; want %q", test.faults)
			}
			lines := strings.Split(err.Error(), "\n")
			for i, line := range lines {
				if len(lines) != len(test.faults) || !strings.HasPrefix(line, test.faults[i]) {
					t.Fatalf("got %q; want lines that begin with %q", lines, test.faults)
				}
			}
		})
	}
}

type laxKeys struct{ noKeys }

func (laxKeys) FAPI2Err() error {
	return errors.Join(errors.New("JWKSURI is plain http"), errors.New("DangerouslyAllowHTTP is set"))
}

func TestSignedAnswersAreUnderTheAlgorithmsThatAreAllowed(t *testing.T) {
	as := accesstokentest.NewServer(t)
	for algorithm, want := range map[string]string{"RS256": "active", "ES256": "unknown"} {
		client := newDemanding(t, as, func(c *introspection.Config) { c.Algorithms = []string{algorithm} })
		wantAnswer(t, client, as.Opaque(nil), want) // which is signed with RS256
	}
	for want, algorithms := range map[string][]string{"is empty": {}, `"HS256"`: {"HS256"}, `"none"`: {"ES256", "none"}} {
		_, err := introspection.NewClient(introspection.Config{Endpoint: "https://a.example/i", ClientID: "a", ClientSecret: "s", Issuer: "https://a.example", Keys: noKeys{}, Algorithms: algorithms})
		if err == nil || !strings.Contains(err.Error(), "introspection: Algorithms ") || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v; want it to say %s", err, want)
		}
	}
	_, err := introspection.NewClient(introspection.Config{Endpoint: "https://a.example/i", ClientID: "a", ClientSecret: "s", Algorithms: []string{"ES256"}})
	if err == nil || !strings.Contains(err.Error(), "set Keys") {
		t.Errorf("without Keys: got %v; want a fault", err)
	}
}

// secretive accepts one secret.
type secretive struct{ accepts func() string }

func (s secretive) RoundTrip(r *http.Request) (*http.Response, error) {
	_, password, _ := r.BasicAuth()
	status := 401
	if password == s.accepts() {
		status = 200
	}
	return &http.Response{StatusCode: status, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(goodBody)), Request: r}, nil
}

// The server has a new secret, and the vault has it a second later. An endpoint that
// refuses us is asked about every 5 s, and then the vault is as well.
func TestANewSecretIsReadWithTheNextProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		secret, vault := "old", "old"
		client, _ := newFair(t, nil, func(c *introspection.Config) {
			c.ClientSecret, c.ClientSecretFrom = "", func(context.Context) (string, error) { return vault, nil }
			c.HTTPClient = &http.Client{Transport: secretive{func() string { return secret }}}
		})
		knowing(t, client, 5)
		secret = "new"
		ask := func() (good int) {
			for i := range 5 {
				if r, err := client.Introspect(t.Context(), fmt.Sprint("known ", i)); err == nil && r.Active {
					good++
				}
			}
			return good
		}
		began := time.Now()
		ask()
		time.Sleep(time.Second)
		vault = "new"
		for ask() == 0 {
			time.Sleep(50 * time.Millisecond)
		}
		if took := time.Since(began); took > 6*time.Second {
			t.Errorf("got the first answer after %v; want it after 5 s", took)
		}
	})
}

// Each caller leaves before the vault, or the token server, has answered.
func TestCallersThatLeaveEarlyDoNotKeepTheSecretFromBeingRead(t *testing.T) {
	slow := func(ctx context.Context) (string, error) {
		select {
		case <-time.After(500 * time.Millisecond):
			return "secret", nil
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}
	for name, change := range map[string]func(*introspection.Config){
		"ClientSecretFrom": func(c *introspection.Config) { c.ClientSecret, c.ClientSecretFrom = "", slow },
		"BearerToken": func(c *introspection.Config) {
			c.ClientID, c.ClientSecret, c.AuthMethod = "", "", introspection.Bearer
			kept, mine := "", make(chan struct{}, 1) // one reads at a time
			c.BearerToken = func(ctx context.Context) (string, error) {
				mine <- struct{}{}
				defer func() { <-mine }()
				if kept != "" {
					return kept, nil
				}
				token, err := slow(ctx)
				kept = token
				return token, err
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, _ := newFair(t, func(string) reply { return reply{body: goodBody} }, change)
				ask := func() error {
					ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
					defer cancel()
					_, err := client.Introspect(ctx, "token")
					return err
				}
				for range 2 {
					if err := ask(); !errors.Is(err, context.DeadlineExceeded) {
						t.Fatalf("got %v; want the caller's own context to end first", err)
					}
				}
				if err := ask(); err != nil {
					t.Errorf("after 400 ms: got %v; want an answer", err)
				}
			})
		})
	}
}
