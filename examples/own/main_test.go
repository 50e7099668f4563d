package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/accesstokentest"
	"github.com/accesstoken/accesstoken/scopes"
)

const (
	arn = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:loadbalancer/app/ours/50dc6c495c0c9188"
	kid = "12345678-1234-1234-1234-123456789012"
)

// An elb signs as a load balancer does, and serves its key.
type elb struct {
	key     *ecdsa.PrivateKey
	down    atomic.Bool
	fetched atomic.Int32
}

func (e *elb) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	e.fetched.Add(1)
	switch {
	case e.down.Load():
		w.WriteHeader(http.StatusBadGateway)
	case r.URL.Path != "/"+kid:
		w.WriteHeader(http.StatusForbidden)
	default:
		der, _ := x509.MarshalPKIXPublicKey(e.key.Public())
		_ = pem.Encode(w, &pem.Block{Type: "PUBLIC KEY", Bytes: der})
	}
}

// sign returns a JWT whose header is changed; its parts are padded.
func (e *elb) sign(t *testing.T, change map[string]any) string {
	t.Helper()
	header := map[string]any{"typ": "JWT", "alg": "ES256", "kid": kid, "signer": arn, "iss": "https://login.example.com", "client": "c", "exp": time.Now().Add(2 * time.Minute).Unix()}
	for name, value := range change {
		header[name] = value
	}
	part := func(v any) string {
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return base64.URLEncoding.EncodeToString(text)
	}
	signed := part(header) + "." + part(map[string]any{"sub": "alice", "email": "alice@example.com"})
	digest := sha256.Sum256([]byte(signed))
	r, s, err := ecdsa.Sign(rand.Reader, e.key, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	signature := make([]byte, 64)
	r.FillBytes(signature[:32])
	s.FillBytes(signature[32:])
	return signed + "." + base64.URLEncoding.EncodeToString(signature)
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// serve starts the program with one API key, "good", and a load balancer.
func serve(t *testing.T) (as *accesstokentest.Server, balancer *elb, url string) {
	t.Helper()
	as, balancer = accesstokentest.NewServer(t), &elb{key: newKey(t)}
	aws := httptest.NewServer(balancer)
	t.Cleanup(aws.Close)
	keys := keyring{}
	keys.add("good", accesstoken.Identity{Issuer: "api-keys", ClientID: "ci", Scopes: scopes.Parse("orders:read chat")})
	keys.add("weak", accesstoken.Identity{Issuer: "api-keys", ClientID: "ci"})
	v, err := accesstoken.NewValidator(accesstoken.Config{
		Resource: "https://api.example.com", Issuers: []accesstoken.Issuer{{URL: as.URL}}, HTTPClient: as.Client(),
		Authenticate: either(keys.authenticate, newBalancer(arn, aws.URL).authenticate),
	})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(handler(v, keys))
	t.Cleanup(func() { server.Close(); _ = v.Close() })
	return as, balancer, server.URL
}

func get(t *testing.T, url string, header http.Header) (status int, body string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+"/orders", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header = header
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(text)
}

func TestOrders(t *testing.T) {
	as, _, url := serve(t)
	token := "Bearer " + as.Token(accesstokentest.Claims{"scope": "orders:read", "client_id": "web"})
	for name, test := range map[string]struct {
		header http.Header
		status int
		body   string // "" is any
	}{
		"a token":                 {http.Header{"Authorization": {token}}, 200, "orders of web at " + as.URL + "\n"},
		"a key":                   {http.Header{"X-Api-Key": {"good"}}, 200, "orders of ci at api-keys\n"},
		"both":                    {http.Header{"Authorization": {token}, "X-Api-Key": {"good"}}, 200, "orders of web at " + as.URL + "\n"},
		"a bad token and a key":   {http.Header{"Authorization": {"Bearer junk"}, "X-Api-Key": {"good"}}, 401, ""},
		"neither":                 {http.Header{}, 401, ""},
		"an unknown key":          {http.Header{"X-Api-Key": {"bad"}}, 401, ""},
		"two keys":                {http.Header{"X-Api-Key": {"good", "good"}}, 400, ""},
		"a key without the scope": {http.Header{"X-Api-Key": {"weak"}}, 403, ""},
	} {
		if status, body := get(t, url, test.header); status != test.status || test.body != "" && body != test.body {
			t.Errorf("%s: got %d %q; want %d %q", name, status, body, test.status, test.body)
		}
	}
}

// The load balancer's users have no scopes, so they get no further than 403.
func TestTheLoadBalancersUsers(t *testing.T) {
	_, balancer, url := serve(t)
	good := balancer.sign(t, nil)
	for _, test := range []struct {
		name   string
		lines  []string
		status int
	}{
		{"good", []string{good}, 403},
		{"twice", []string{good, good}, 400},
		{"expired", []string{balancer.sign(t, map[string]any{"exp": 1600000000})}, 401},
		{"no exp", []string{balancer.sign(t, map[string]any{"exp": nil})}, 401},
		{"another load balancer", []string{balancer.sign(t, map[string]any{"signer": arn + "x"})}, 401},
		{"another key", []string{(&elb{key: newKey(t)}).sign(t, nil)}, 401},
		{"another algorithm", []string{balancer.sign(t, map[string]any{"alg": "none"})}, 401},
		{"a kid that leads elsewhere", []string{balancer.sign(t, map[string]any{"kid": "../" + kid})}, 401},
		{"a kid that is not published", []string{balancer.sign(t, map[string]any{"kid": "00000000-0000-0000-0000-000000000000"})}, 401},
		{"not a JWT", []string{"alice"}, 401},
	} {
		if status, _ := get(t, url, http.Header{"X-Amzn-Oidc-Data": test.lines}); status != test.status {
			t.Errorf("%s: got %d; want %d", test.name, status, test.status)
		}
	}
	if got := balancer.fetched.Load(); got != 2 {
		t.Errorf("got %d fetches; want one for each kid that may be a key", got)
	}
}

func TestTheClaimsOfTheLoadBalancer(t *testing.T) {
	keys := &elb{key: newKey(t)}
	aws := httptest.NewServer(keys)
	defer aws.Close()
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set("X-Amzn-Oidc-Data", keys.sign(t, nil))
	b := newBalancer(arn, aws.URL)
	identity, err := b.authenticate(t.Context(), r)
	if err != nil || identity.Issuer != "alb" || identity.Subject != "alice" || string(identity.Payload) != `{"email":"alice@example.com","sub":"alice"}` {
		t.Errorf("got %q, %q, %s, %v; want alice", identity.Issuer, identity.Subject, identity.Payload, err)
	}
	keys.down.Store(true)
	if _, err := newBalancer(arn, aws.URL).authenticate(t.Context(), r); !errors.Is(err, accesstoken.Unavailable) {
		t.Errorf("no keys: got %v; want Unavailable", err)
	}
	if _, err := b.authenticate(t.Context(), r); err != nil {
		t.Errorf("no keys, but known: got %v; want nil", err)
	}
	for n := range 10 {
		r.Header.Set("X-Amzn-Oidc-Data", keys.sign(t, map[string]any{"kid": "00000000-0000-0000-0000-00000000000" + string(rune('0'+n))}))
		_, _ = b.authenticate(t.Context(), r)
	}
	if got := keys.fetched.Load(); got > 7 {
		t.Errorf("got %d fetches; want a few", got)
	}
}

func TestTheFirstMessageOfASocket(t *testing.T) {
	as, _, url := serve(t)
	for name, test := range map[string]struct {
		first  string
		status websocket.StatusCode // 0 is an echo
	}{
		"a token":                   {"Bearer " + as.Token(accesstokentest.Claims{"scope": "chat"}), 0},
		"a key":                     {"Key good", 0},
		"a token without the scope": {"Bearer " + as.Token(nil), forbidden},
		"a key without the scope":   {"Key weak", forbidden},
		"a bad token":               {"Bearer junk", unauthorized},
		"a bad key":                 {"Key bad", unauthorized},
		"something else":            {"hello", unauthorized},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			socket, _, err := websocket.Dial(ctx, strings.Replace(url, "http", "ws", 1)+"/chat", nil)
			if err != nil {
				t.Fatal(err)
			}
			defer socket.CloseNow()
			for _, text := range []string{test.first, "hello"} {
				if err := socket.Write(ctx, websocket.MessageText, []byte(text)); err != nil {
					break
				}
			}
			_, text, err := socket.Read(ctx)
			if test.status == 0 && (err != nil || string(text) != "hello") {
				t.Errorf("got %q, %v; want an echo", text, err)
			}
			if test.status != 0 && websocket.CloseStatus(err) != test.status {
				t.Errorf("got %q, %v; want %d", text, err, test.status)
			}
		})
	}
}
