package accesstoken_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"maps"
	"math/big"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"github.com/MicahParks/jwkset"
	"github.com/golang-jwt/jwt/v5"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/accesstokentest"
	"github.com/accesstoken/accesstoken/introspection"
	"github.com/accesstoken/accesstoken/jwks"
	"github.com/accesstoken/accesstoken/scopes"
)

// What is kept about a verified token is attacked here: by the clock, by whoever
// takes a key or a token back, by other routes and other issuers, and by floods.

// good wants the token to be accepted, and returns its claims. The token is
// copied: that of another request lies elsewhere in memory.
func good(t testing.TB, v *accesstoken.Validator, token string) accesstoken.Claims {
	t.Helper()
	claims, err := v.Validate(context.Background(), accesstoken.Bearer(strings.Clone(token)))
	if err != nil {
		t.Fatalf("got %v; want the token accepted", err)
	}
	return claims
}

// isHit reports whether claims rest on the verification that other ones rest on:
// what was read from a token lies in one place as long as it is remembered, and
// is read into another when the token is verified once more.
func isHit(claims, other accesstoken.Claims) bool {
	return unsafe.StringData(claims.ID) == unsafe.StringData(other.ID)
}

// The tests below tell a hit by this.
func TestAHitIsToldFromAVerification(t *testing.T) {
	as := accesstokentest.NewServer(t)
	one, other, token := newValidator(t, as, nil), newValidator(t, as, nil), as.Token(nil)
	first := good(t, one, token)
	if !isHit(good(t, one, token), first) {
		t.Error("the same token again: got a verification; want a hit")
	}
	if isHit(good(t, other, token), first) {
		t.Error("another validator: got a hit; want a verification")
	}
	if isHit(good(t, one, as.Token(nil)), first) {
		t.Error("another token: got a hit; want a verification")
	}
}

// A frozen clock is a Config.Now that stands still to the nanosecond.
type frozen struct{ nanoseconds atomic.Int64 }

func (f *frozen) now() time.Time  { return time.Unix(0, f.nanoseconds.Load()) }
func (f *frozen) set(m time.Time) { f.nanoseconds.Store(m.UnixNano()) }

func TestACachedTokenIsRefusedToTheNanosecond(t *testing.T) {
	as, clock := accesstokentest.NewServer(t), new(frozen)
	issued := time.Now().Truncate(time.Second)
	in := func(d time.Duration) json.Number {
		return json.Number(fmt.Sprintf("%.1f", float64(issued.Add(d).UnixMilli())/1000))
	}
	for _, test := range []struct {
		name        string
		leeway      time.Duration
		claims      accesstokentest.Claims
		maxAge      time.Duration
		first, last time.Duration // of the time in which it is good, since it was issued; 0: not looked at
		want        accesstoken.Reason
	}{
		{"exp, with the default leeway", 0, accesstokentest.Claims{"exp": in(time.Minute)}, 0, 0, 90*time.Second - 1, accesstoken.TokenExpired},
		{"exp, without leeway", -1, accesstokentest.Claims{"exp": in(time.Minute)}, 0, 0, time.Minute - 1, accesstoken.TokenExpired},
		{"exp within a second", 2 * time.Minute, accesstokentest.Claims{"exp": in(90*time.Second + 500*time.Millisecond)}, 0, 0, 210*time.Second + 500*time.Millisecond - 1, accesstoken.TokenExpired},
		{"MaxAge before exp", 10 * time.Second, nil, time.Minute, 0, 70 * time.Second, accesstoken.ClaimInvalid},
		{"nbf, where the clock is set back", 10 * time.Second, accesstokentest.Claims{"nbf": in(time.Second)}, 0, -9 * time.Second, 0, accesstoken.TokenNotYetValid},
		{"iat, where the clock is set back", 10 * time.Second, nil, 0, -10 * time.Second, 0, accesstoken.TokenNotYetValid},
	} {
		t.Run(test.name, func(t *testing.T) {
			v := newValidator(t, as, func(c *accesstoken.Config) {
				c.Now, c.Leeway, c.Issuers[0].MaxAge = clock.now, test.leeway, test.maxAge
			})
			claims := accesstokentest.Claims{"iat": in(0)}
			maps.Copy(claims, test.claims)
			token := as.Token(claims)
			clock.set(issued.Add(5 * time.Second))
			first := good(t, v, token)
			edge, beyond := test.last, time.Duration(1)
			if test.first != 0 {
				edge, beyond = test.first, -1
			}
			clock.set(issued.Add(edge))
			if !isHit(good(t, v, token), first) {
				t.Error("in its last nanosecond: got a verification; want a hit")
			}
			clock.set(issued.Add(edge + beyond))
			validate(t, v, token, test.want)
			validate(t, v, token, test.want)
		})
	}
}

// A desk answers for a server in the process, without any socket, so that a test
// in a bubble can ask it. It can go on with an older key set, or say nothing.
type desk struct {
	as     *accesstokentest.Server
	asked  atomic.Int64 // for the keys
	silent atomic.Bool
	mu     sync.Mutex
	keys   []jwkset.JWK // nil: those of the server
}

func (d *desk) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	if r.URL.Path == accesstokentest.JWKSPath {
		d.asked.Add(1)
	}
	switch keys := d.published(); {
	case d.silent.Load():
		w.WriteHeader(http.StatusServiceUnavailable)
	case r.URL.Path == accesstokentest.JWKSPath && keys != nil:
		var set jwkset.JWKSMarshal
		for _, key := range keys {
			set.Keys = append(set.Keys, key.Marshal())
		}
		if err := json.NewEncoder(w).Encode(set); err != nil {
			return nil, err
		}
	default:
		d.as.Endpoint(r.URL.Path).ServeHTTP(w, r)
	}
	return w.Result(), nil
}

func (d *desk) published() []jwkset.JWK {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.keys
}

func (d *desk) publish(keys []jwkset.JWK) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.keys = keys
}

// refreshed waits until the keys were fetched anew, which is within the hour.
func refreshed() {
	time.Sleep(time.Hour)
	synctest.Wait()
}

// A withdrawn key is gone for every token that it ever signed, at the first
// request after the key set has been fetched.
func TestACachedTokenIsRefusedOnceItsKeyIsWithdrawn(t *testing.T) {
	for _, test := range []struct {
		name     string
		withdraw func(*accesstokentest.Server)
		want     accesstoken.Reason
	}{
		{"withdrawn", func(as *accesstokentest.Server) { as.Rotate(); as.Withdraw() }, accesstoken.KeyNotFound},
		{"replaced under its kid", (*accesstokentest.Server).Replace, accesstoken.SignatureInvalid},
	} {
		t.Run(test.name, func(t *testing.T) {
			as, newKeys := accesstokentest.NewServer(t), accesstokentest.NewServer(t).Keys()
			synctest.Test(t, func(t *testing.T) {
				server := &desk{as: as}
				v := newValidator(t, as, func(c *accesstoken.Config) { c.HTTPClient = &http.Client{Transport: server} })
				token := as.Token(accesstokentest.Claims{"exp": time.Now().Add(100 * time.Hour).Unix()})
				first := good(t, v, token)
				before := as.Keys()
				refreshed()
				if !isHit(good(t, v, token), first) {
					t.Error("the set was fetched anew, and is the same: got a verification; want a hit")
				}
				server.publish(append(before, newKeys...))
				refreshed()
				if !isHit(good(t, v, token), first) {
					t.Error("the set has grown: got a verification; want a hit")
				}
				test.withdraw(as)
				server.publish(nil)
				refreshed()
				validate(t, v, token, test.want)
				validate(t, v, token, test.want)

				server.publish(before)
				refreshed()
				again := good(t, v, token)
				if isHit(again, first) {
					t.Error("published again: got what was verified before; want it verified anew")
				}
				if !isHit(good(t, v, token), again) {
					t.Error("published again: got verifications; want a hit after the first")
				}
			})
		})
	}
}

// A key that was withdrawn and put back between two requests was never missed:
// both facts hold, that it signed and that it is published.
func TestACachedTokenOutlivesAnAbsenceThatNobodySaw(t *testing.T) {
	as := accesstokentest.NewServer(t)
	synctest.Test(t, func(t *testing.T) {
		server := &desk{as: as}
		v := newValidator(t, as, func(c *accesstoken.Config) { c.HTTPClient = &http.Client{Transport: server} })
		token := as.Token(accesstokentest.Claims{"exp": time.Now().Add(100 * time.Hour).Unix()})
		first := good(t, v, token)
		before := as.Keys()
		as.Replace()
		refreshed()
		server.publish(before)
		refreshed()
		if !isHit(good(t, v, token), first) {
			t.Error("got a verification; want a hit, since the key is there")
		}
	})
}

// When the keys run out, a remembered token is worth no more than a new one.
func TestACachedTokenIsRefusedOnceTheKeysRunOut(t *testing.T) {
	as := accesstokentest.NewServer(t)
	synctest.Test(t, func(t *testing.T) {
		server := &desk{as: as}
		v := newValidator(t, as, func(c *accesstoken.Config) { c.HTTPClient = &http.Client{Transport: server} })
		token := as.Token(accesstokentest.Claims{"exp": time.Now().Add(100 * time.Hour).Unix()})
		first := good(t, v, token)
		server.silent.Store(true)
		time.Sleep(23 * time.Hour)
		if !isHit(good(t, v, token), first) {
			t.Error("within a day: got a verification; want a hit")
		}
		time.Sleep(2 * time.Hour)
		validate(t, v, token, accesstoken.KeysUnavailable)
		server.silent.Store(false)
		time.Sleep(time.Minute)
		good(t, v, token)
	})
}

// A JWT that is remembered is still asked about where its issuer is always asked,
// and an opaque token is never remembered: the only delay is CacheFor.
func TestACachedTokenIsRefusedOnceItIsRevoked(t *testing.T) {
	for _, test := range []struct {
		name     string
		cacheFor time.Duration
		fresh    bool
		delay    time.Duration
	}{
		{"no answer is kept", 0, false, 0},
		{"answers are kept", time.Minute, false, time.Minute},
		{"answers are kept, and the route wants a fresh one", time.Minute, true, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			as, clock := accesstokentest.NewServer(t), new(frozen)
			v := newValidator(t, as, func(c *accesstoken.Config) {
				c.Now = clock.now
				c.Issuers[0].AlwaysIntrospect = true
				c.Issuers[0].Introspection = introspecting(t, as, func(c *introspection.Config) { c.CacheFor = test.cacheFor })
			})
			for kind, token := range map[string]string{"a JWT": as.Token(nil), "opaque": as.Opaque(accesstokentest.Claims{"jti": "opaque"})} {
				start := time.Now()
				clock.set(start)
				authorize := func() (accesstoken.Claims, error) {
					return v.Authorize(t.Context(), accesstoken.Bearer(strings.Clone(token)), accesstoken.Policy{Scopes: scopes.None(), FreshIntrospection: test.fresh})
				}
				first, err := authorize()
				if err != nil {
					t.Fatal(err)
				}
				again, err := authorize()
				if isHit(again, first) != (kind == "a JWT") || err != nil {
					t.Errorf("%s again: got a hit %v, %v; want a hit if it is a JWT", kind, isHit(again, first), err)
				}
				as.Revoke(token)
				if test.delay > 0 {
					clock.set(start.Add(test.delay - 1))
					if _, err := authorize(); err != nil {
						t.Errorf("%s within CacheFor: got %v; want it accepted, as Config.CacheFor says", kind, err)
					}
				}
				clock.set(start.Add(test.delay))
				for range 2 {
					_, err := authorize()
					wantReason(t, err, accesstoken.TokenInactive)
				}
			}
		})
	}
}

// A hundred requests at once, for two routes and with two tokens: what one route
// was content with opens no other.
func TestACachedTokenPassesNoRouteThatDemandsMore(t *testing.T) {
	as := accesstokentest.NewServer(t)
	v := newValidator(t, as, nil)
	routes := []struct {
		policy accesstoken.Policy
		opens  [2]bool // for the reader, for the writer
	}{
		{accesstoken.Policy{Scopes: scopes.All("read")}, [2]bool{true, true}},
		{accesstoken.Policy{Scopes: scopes.All("read", "write")}, [2]bool{false, true}},
	}
	tokens := [2]string{
		as.Token(accesstokentest.Claims{"sub": "reader", "scope": "read"}),
		as.Token(accesstokentest.Claims{"sub": "writer", "scope": "read write"}),
	}
	var wait sync.WaitGroup
	for worker := range 100 {
		wait.Go(func() {
			for i := range 40 {
				who, route := (worker+i)%2, routes[(worker+i/2)%2]
				claims, err := v.Authorize(t.Context(), accesstoken.Bearer(tokens[who]), route.policy)
				switch {
				case (err == nil) != route.opens[who]:
					t.Errorf("token %d: got %v; want it accepted: %v", who, err, route.opens[who])
				case err == nil && claims.Subject != [2]string{"reader", "writer"}[who]:
					t.Errorf("token %d: got the claims of %s", who, claims.Subject)
				}
			}
		})
	}
	wait.Wait()
}

// A mint is an issuer of many tokens: it has one key of ES256, which is quick to
// sign with even under the race detector, and no server.
type mint struct {
	url     string
	private *ecdsa.PrivateKey
	keys    *jwks.Set
}

func newMint(t testing.TB, url string) *mint {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key, err := jwkset.NewJWKFromKey(&private.PublicKey, jwkset.JWKOptions{Metadata: jwkset.JWKMetadataOptions{KID: "k", ALG: "ES256"}})
	if err != nil {
		t.Fatal(err)
	}
	return &mint{url, private, jwks.Static(key)}
}

const mintHeader = `{"alg":"ES256","typ":"at+jwt","kid":"k"}`

// token signs a token whose jti is id. A claim in changes replaces the usual one.
func (m *mint) token(t testing.TB, id int, changes object) string {
	t.Helper()
	return m.sign(t, mintHeader, m.payload(t, id, changes))
}

func (m *mint) payload(t testing.TB, id int, changes object) string {
	t.Helper()
	now := time.Now().Unix()
	claims := object{"iss": m.url, "sub": "alice", "aud": resource, "client_id": "c", "iat": now, "exp": now + 3600, "jti": fmt.Sprintf("id-%08d", id)}
	for name, value := range changes {
		claims[name] = value
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	return string(payload)
}

func (m *mint) sign(t testing.TB, header, payload string) string {
	t.Helper()
	input := spelt(header) + "." + spelt(payload)
	signature, err := jwt.SigningMethodES256.Sign(input, m.private)
	if err != nil {
		t.Fatal(err)
	}
	return input + "." + spelt(string(signature))
}

func spelt(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }

func (m *mint) validator(t testing.TB, change func(*accesstoken.Config)) *accesstoken.Validator {
	t.Helper()
	config := accesstoken.Config{
		Resource: resource,
		Issuers:  []accesstoken.Issuer{{URL: m.url, Keys: m.keys}},
		Logger:   slog.New(slog.DiscardHandler),
	}
	if change != nil {
		change(&config)
	}
	v, err := accesstoken.NewValidator(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = v.Close() })
	return v
}

// resigned returns the other signature of ES256 that is as good as the token's:
// who has (r, s) has (r, n-s).
func resigned(t *testing.T, token string) string {
	t.Helper()
	dot := strings.LastIndexByte(token, '.')
	signature, err := base64.RawURLEncoding.DecodeString(token[dot+1:])
	if err != nil {
		t.Fatal(err)
	}
	s := new(big.Int).SetBytes(signature[32:])
	s.Sub(elliptic.P256().Params().N, s).FillBytes(signature[32:])
	return token[:dot+1] + spelt(string(signature))
}

// nextLetter returns the letter of base64url that differs in the last bit: the
// last letter of 64 bytes has four bits that mean nothing.
func nextLetter(letter byte) string {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	return string(letters[strings.IndexByte(letters, letter)^1])
}

// What is not the remembered token to the last bit is not taken for it.
func TestNothingElseIsTakenForACachedToken(t *testing.T) {
	m, other := newMint(t, "https://one.example"), newMint(t, "https://other.example")
	v := m.validator(t, func(c *accesstoken.Config) {
		c.Issuers = append(c.Issuers, accesstoken.Issuer{URL: other.url, Keys: other.keys})
	})
	token := m.token(t, 1, nil)
	parts := strings.Split(token, ".")
	header, payload, signature := parts[0], parts[1], parts[2]
	raw, err := base64.RawURLEncoding.DecodeString(payload)
	if err != nil {
		t.Fatal(err)
	}
	moved := strings.Replace(string(raw), m.url, other.url, 1)
	stranger := newMint(t, m.url)
	first := good(t, v, token)
	for _, test := range []struct {
		name, token string
		want        accesstoken.Reason
	}{
		{"its header and payload with the key of another", stranger.sign(t, mintHeader, string(raw)), accesstoken.SignatureInvalid},
		{"the same, by an issuer that is trusted as well", other.sign(t, mintHeader, string(raw)), accesstoken.SignatureInvalid},
		{"its payload but for iss, with its signature", header + "." + spelt(moved) + "." + signature, accesstoken.SignatureInvalid},
		{"the signature of another token of its issuer", header + "." + payload + "." + strings.Split(m.token(t, 2, nil), ".")[2], accesstoken.SignatureInvalid},
		{"no signature", header + "." + payload + ".", accesstoken.SignatureInvalid},
		{"a shorter signature", token[:len(token)-2], accesstoken.SignatureInvalid},
		{"unused bits of the last letter", token[:len(token)-1] + nextLetter(token[len(token)-1]), accesstoken.TokenMalformed},
		{"padding", token + "==", accesstoken.TokenMalformed},
		{"more padding than there can be", token + "====", accesstoken.TokenMalformed},
		{"a line feed", token + "\n", accesstoken.CredentialsMalformed},
		{"a carriage return within", token[:len(token)-5] + "\r" + token[len(token)-5:], accesstoken.CredentialsMalformed},
		{"a blank", token + " ", accesstoken.CredentialsMalformed},
		{"a NUL", token + "\x00", accesstoken.CredentialsMalformed},
		{"a blank in front", " " + token, accesstoken.CredentialsMalformed},
		{"a dot", token + ".", accesstoken.TokenMalformed},
		{"the other alphabet", header + "." + payload + "." + strings.NewReplacer("-", "+", "_", "/").Replace(signature) + "+", accesstoken.TokenMalformed},
		{"a letter of the header in the other case", strings.ToUpper(token[:1]) + token[1:], accesstoken.TokenMalformed},
		{"twice", token + token, accesstoken.TokenMalformed},
		{"a blank in the header's JSON", spelt(mintHeader+" ") + "." + payload + "." + signature, accesstoken.SignatureInvalid},
		{"alg none", spelt(`{"alg":"none","typ":"at+jwt","kid":"k"}`) + "." + payload + ".", accesstoken.AlgorithmNotAllowed},
	} {
		t.Run(test.name, func(t *testing.T) {
			validate(t, v, test.token, test.want)
			validate(t, v, test.token, test.want)
		})
	}
	t.Run("the other good signature of ES256", func(t *testing.T) {
		if claims, err := v.Validate(t.Context(), accesstoken.Bearer(resigned(t, token))); err == nil && isHit(claims, first) {
			t.Error("got a hit; want it verified, since its bytes are others")
		}
	})
	if !isHit(good(t, v, token), first) {
		t.Error("the token itself, after all this: got a verification; want a hit")
	}
	t.Run("the same claims of an issuer that is trusted as well", func(t *testing.T) {
		if claims := good(t, v, other.sign(t, mintHeader, moved)); claims.Issuer != other.url || isHit(claims, first) {
			t.Errorf("got the claims of %s; want those of %s", claims.Issuer, other.url)
		}
	})
}

// Who is content with an audience lets in nobody who is not: neither another
// validator, nor another issuer of the same one.
func TestACachedTokenIsForItsAudience(t *testing.T) {
	one, two := newMint(t, "https://one.example"), newMint(t, "https://two.example")
	ours := one.validator(t, func(c *accesstoken.Config) {
		c.Issuers = append(c.Issuers, accesstoken.Issuer{URL: two.url, Keys: two.keys, Audience: []string{"urn:two"}})
	})
	theirs := one.validator(t, func(c *accesstoken.Config) { c.Audience = []string{"urn:theirs"} })
	token := one.token(t, 1, nil)
	for range 2 {
		good(t, ours, token)
		validate(t, theirs, token, accesstoken.AudienceMismatch)
		validate(t, ours, two.token(t, 1, nil), accesstoken.AudienceMismatch)
		good(t, ours, two.token(t, 1, object{"aud": "urn:two"}))
	}
}

// heap returns the bytes that are in use.
func heap() int64 {
	for range 3 { // pools give up what they hold at the second
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// What a token is bound to is kept without the token around it, as everything else
// of it is: what the cache reckons with is what there is.
func TestBoundTokensAreKeptWithoutTheirPayload(t *testing.T) {
	const tokens, most = 400, 2_000
	m, client := newMint(t, "https://one.example"), newHolder(t)
	v := m.validator(t, nil)
	request := httptest.NewRequest("GET", "/orders", nil)
	request.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{client.leaf}}
	before := heap()
	for n := range tokens {
		token := m.token(t, n, object{"cnf": client.cnf(false, true), "groups": strings.Repeat("g", 8_000)})
		request.Header.Set("Authorization", "Bearer "+token)
		if _, err := v.Validate(t.Context(), accesstoken.CredentialsOf(request)); err != nil {
			t.Fatal(err)
		}
	}
	request.Header.Del("Authorization")
	if each := (heap() - before) / tokens; each > most {
		t.Errorf("got %d bytes for each token; want at most %d", each, most)
	}
	runtime.KeepAlive(v)
}

// A hundred thousand tokens that are refused leave nothing behind, whatever is
// wrong with them: nothing grows, and no good token has to give way.
func TestRefusedTokensLeaveNothingInTheCache(t *testing.T) {
	m, stranger := newMint(t, "https://one.example"), newMint(t, "https://one.example")
	v := m.validator(t, func(c *accesstoken.Config) { c.Issuers[0].MaxAge = 12 * time.Hour })
	template := strings.Split(m.token(t, 0, nil), ".")
	signed := func(changes object) func(int) string {
		return func(n int) string { return m.token(t, n, changes) }
	}
	forged := func(header, payload string) func(int) string {
		return func(n int) string {
			return spelt(strings.Replace(header, "%", fmt.Sprint(n), 1)) + "." + spelt(strings.Replace(payload, "%", fmt.Sprint(n), 1)) + "." + template[2]
		}
	}
	now := time.Now().Unix()
	const payload = `{"iss":"https://one.example","sub":"mallory","jti":"%"}`
	const cheap, dear = 15_000, 1_250 // those for which no signature is verified, and the others
	kinds := []struct {
		name  string
		token func(n int) string
		count int
		want  accesstoken.Reason
	}{
		{"alg none", forged(`{"alg":"none","typ":"at+jwt"}`, payload), cheap, accesstoken.AlgorithmNotAllowed},
		{"an unknown kid", forged(`{"alg":"ES256","typ":"at+jwt","kid":"%"}`, payload), cheap, accesstoken.KeyNotFound},
		{"an unknown issuer", forged(mintHeader, `{"iss":"https://%.example"}`), cheap, accesstoken.IssuerUnknown},
		{"no JSON", forged(mintHeader, `{"%`), cheap, accesstoken.TokenMalformed},
		{"no JWT", func(n int) string { return fmt.Sprintf("opaque%d", n) }, cheap, accesstoken.TokenMalformed},
		{"no signature", func(n int) string {
			return spelt(mintHeader) + "." + spelt(strings.Replace(payload, "%", fmt.Sprint(n), 1)) + "."
		}, cheap, accesstoken.SignatureInvalid},
		{"a wrong signature", forged(mintHeader, payload), dear, accesstoken.SignatureInvalid},
		{"the key of a stranger", func(n int) string { return stranger.token(t, n, nil) }, dear, accesstoken.SignatureInvalid},
		{"another audience", signed(object{"aud": "https://other.example"}), dear, accesstoken.AudienceMismatch},
		{"over", signed(object{"exp": now - 3600}), dear, accesstoken.TokenExpired},
		{"not yet", signed(object{"nbf": now + 3600}), dear, accesstoken.TokenNotYetValid},
		{"too old", signed(object{"iat": now - 24*3600}), dear, accesstoken.ClaimInvalid},
		{"bound to a key", signed(object{"cnf": object{"jkt": "x"}}), dear, accesstoken.BindingRequired},
		{"without a client", signed(object{"client_id": ""}), dear, accesstoken.ClaimInvalid},
	}
	var before [100]accesstoken.Claims
	tokens := make([]string, len(before))
	for i := range before {
		tokens[i] = m.token(t, i, nil)
		before[i] = good(t, v, tokens[i])
	}
	total := 0
	for _, kind := range kinds {
		validate(t, v, kind.token(kind.count), kind.want) // what is made once, such as a warning, is there
		size := heap()
		for n := range kind.count {
			if _, err := v.Validate(t.Context(), accesstoken.Bearer(kind.token(n))); err == nil {
				t.Fatalf("%s: got it accepted", kind.name)
			}
		}
		if grown := heap() - size; grown > 200*int64(dear) {
			t.Errorf("%s: %d tokens: the heap has grown by %d bytes; want next to nothing", kind.name, kind.count, grown)
		}
		total += kind.count
	}
	if total != 100_000 {
		t.Errorf("got %d tokens; want 100,000", total)
	}
	for i, token := range tokens {
		if !isHit(good(t, v, token), before[i]) {
			t.Fatalf("good token %d: got a verification; want a hit", i)
		}
	}
}

var flood = flag.Int("flood", 7_000, "how many new tokens TestAFloodOfNewTokensDrivesOutNobody validates")

// New tokens, all of them good, so many that not all have room, neither fill the
// memory nor drive out those that are in use. They are as large as they get
// where a scope stands for many.
func TestAFloodOfNewTokensDrivesOutNobody(t *testing.T) {
	const used, size = 100, 12_000
	var implied []string
	for i := range size / 40 {
		implied = append(implied, fmt.Sprintf("https://api.example.com/scopes/%08d", i))
	}
	m := newMint(t, "https://one.example")
	v := m.validator(t, func(c *accesstoken.Config) { c.ScopeImplies = map[string][]string{"admin": implied} })
	var first [used]accesstoken.Claims
	tokens := make([]string, used)
	for i := range tokens {
		tokens[i] = m.token(t, i, nil)
		first[i] = good(t, v, tokens[i])
	}
	var tried atomic.Int64
	before := heap()
	var wait sync.WaitGroup
	for range 2 {
		wait.Go(func() {
			for n := tried.Add(1); n <= int64(*flood); n = tried.Add(1) {
				if _, err := v.Validate(t.Context(), accesstoken.Bearer(m.token(t, used+int(n), object{"scope": "admin"}))); err != nil {
					t.Errorf("got %v; want it accepted", err)
					return
				}
				if _, err := v.Validate(t.Context(), accesstoken.Bearer(tokens[n%used])); err != nil {
					t.Errorf("got %v; want it accepted", err)
				}
			}
		})
	}
	wait.Wait()
	grown := heap() - before
	if grown < 32<<20 || grown > 72<<20 {
		t.Errorf("after %d tokens of %d bytes: the heap has grown by %d MiB; want some 64, the bound", *flood, size, grown>>20)
	}
	kept := 0
	for i, token := range tokens {
		if isHit(good(t, v, token), first[i]) {
			kept++
		}
	}
	t.Logf("%d of %d tokens in use were kept; %d MiB", kept, used, grown>>20)
	if kept < used*99/100 {
		t.Errorf("got %d of %d tokens that are in use; want 99 of a hundred", kept, used)
	}
}

// What a token has that nobody asks for is not kept with the facts about it, and
// what is kept is little more than what it says: bytes that nobody counts would
// not be bounded.
func TestFactsKeepLittleOfATokenThatSaysMuch(t *testing.T) {
	const tokens = 200
	m := newMint(t, "https://one.example")
	list := func(element string, n int) []string {
		all := make([]string, n)
		for i := range all {
			all[i] = fmt.Sprint(element, i)
		}
		return append(all, resource)
	}
	plain := func(int) string { return mintHeader }
	for _, test := range []struct {
		name   string
		header func(n int) string
		says   object
		most   int // bytes that one token may cost
	}{
		{"nothing out of the ordinary", plain, nil, 1_000},
		{"a large claim of its own", plain, object{"pad": strings.Repeat("x", 8_000)}, 1_000},
		{"many claims of its own", plain, object{"pad": list("role-", 500)}, 1_000},
		{"a large scope", plain, object{"scope": strings.Repeat("a ", 4_000) + "a"}, 9_500},
		{"a large subject", plain, object{"sub": strings.Repeat("\u00e4", 4_000)}, 9_500},
		{"an escaped subject", plain, object{"sub": strings.Repeat("<", 1_000)}, 2_500}, // json writes six bytes for each
		{"many short audiences", plain, object{"aud": list("", 1_000)}, 36_000},
		{"a large actor", plain, object{"act": object{"sub": strings.Repeat("x", 4_000), "act": object{"sub": strings.Repeat("y", 4_000)}}}, 5_500},
		{"a large header, the same for all", func(int) string { return strings.Replace(mintHeader, "{", `{"x":"`+strings.Repeat("x", 3_000)+`",`, 1) }, nil, 1_000},
		{"a large header, another one each time", func(n int) string { return strings.Replace(mintHeader, "{", fmt.Sprintf(`{"x":"%03000d",`, n), 1) }, nil, 1_000},
	} {
		t.Run(test.name, func(t *testing.T) {
			v := m.validator(t, nil)
			token := func(n int) string { return m.sign(t, test.header(n), m.payload(t, n, test.says)) }
			for n := range 100 { // headers are remembered as well, those of a few keys
				good(t, v, token(tokens+n))
			}
			size := heap()
			for n := range tokens {
				good(t, v, token(n))
			}
			got := int(heap()-size) / tokens
			runtime.KeepAlive(v)
			t.Logf("%d bytes for a token of %d", got, len(token(0)))
			if got > test.most {
				t.Errorf("got %d bytes for each token; want at most %d", got, test.most)
			}
		})
	}
}

// A refusal is no fact: what was refused for want of a key is verified when it
// is there.
func TestARefusalIsNotRemembered(t *testing.T) {
	as := accesstokentest.NewServer(t)
	source := &countingSource{keys: jwks.Static(as.Keys()...)}
	v := newValidator(t, as, func(c *accesstoken.Config) { c.Issuers[0].Keys = source })
	token := as.Token(nil)
	source.withdrawn.Store(true)
	validate(t, v, token, accesstoken.KeyNotFound)
	source.withdrawn.Store(false)
	good(t, v, token)
	source.broken.Store(true)
	validate(t, v, token, accesstoken.KeysUnavailable)
	source.broken.Store(false)
	good(t, v, token)
}

// The buffers of a cleared cache, and of a closed validator, hold no facts.
func TestAClosedValidatorKeepsNoFacts(t *testing.T) {
	m := newMint(t, "https://one.example")
	v := m.validator(t, nil)
	good(t, v, m.token(t, 0, nil))
	size := heap()
	for n := range 500 {
		good(t, v, m.token(t, n, object{"scope": string(bytes.Repeat([]byte("x"), 4_000))}))
	}
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
	if grown := heap() - size; grown > 500_000 {
		t.Errorf("the heap has grown by %d bytes; want the facts gone", grown)
	}
	runtime.KeepAlive(v)
}

// withoutKeyIDs returns the keys as an issuer publishes them that names none.
func withoutKeyIDs(t *testing.T, keys []jwkset.JWK) (bare []jwkset.JWK) {
	t.Helper()
	for _, key := range keys {
		m := key.Marshal()
		m.KID = ""
		jwk, err := jwkset.NewJWKFromMarshal(m, jwkset.JWKMarshalOptions{}, jwkset.JWKValidateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		bare = append(bare, jwk)
	}
	return bare
}

// An issuer whose keys have no kid, or always the same, rotates and tells no one.
// The first token under the new key finds out.
func TestARotationThatNoKeyIDAnnouncesIsSeenByItsFirstToken(t *testing.T) {
	for name, withKeyID := range map[string]bool{"keys without kid": false, "the kid is used again": true} {
		t.Run(name, func(t *testing.T) {
			as := accesstokentest.NewServer(t)
			synctest.Test(t, func(t *testing.T) {
				server := &desk{as: as}
				v := newValidator(t, as, func(c *accesstoken.Config) { c.HTTPClient = &http.Client{Transport: server} })
				header := map[string]any{"typ": "at+jwt", "kid": nil}
				publish := func() { server.publish(withoutKeyIDs(t, as.Keys())) }
				if withKeyID {
					header, publish = map[string]any{"typ": "at+jwt"}, func() { server.publish(as.Keys()) }
				}
				sign := func() string { return as.Sign(header, as.Claims(nil)) }
				publish()
				old := sign()
				good(t, v, old)
				time.Sleep(time.Minute) // longer than the cooldown, and long before the refresh
				as.Replace()
				publish()
				before := server.asked.Load()
				good(t, v, sign())
				if asked := server.asked.Load() - before; asked != 1 {
					t.Errorf("the first token: got %d fetches; want 1", asked)
				}
				time.Sleep(15 * time.Second) // a second answer confirms that the old key is gone
				synctest.Wait()
				validate(t, v, old, accesstoken.SignatureInvalid)
				for range 100 { // forged ones find out nothing more
					validate(t, v, old, accesstoken.SignatureInvalid)
				}
				if asked := server.asked.Load() - before; asked != 2 {
					t.Errorf("afterwards: got %d fetches; want 2", asked)
				}
			})
		})
	}
}
