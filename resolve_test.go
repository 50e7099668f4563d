package accesstoken_test

import (
	"context"
	"crypto"
	"encoding/base64"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/accesstokentest"
	"github.com/accesstoken/accesstoken/introspection"
	"github.com/accesstoken/accesstoken/jwks"
)

// tenants is a ResolveIssuer that counts its calls.
type tenants struct {
	mu    sync.Mutex
	byURL map[string]accesstoken.Issuer
	err   error
	calls atomic.Int32
	asked []string
}

func (s *tenants) resolve(_ context.Context, iss string) (*accesstoken.Issuer, error) {
	s.calls.Add(1)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, iss)
	if s.err != nil {
		return nil, s.err
	}
	if found, ok := s.byURL[iss]; ok {
		return &found, nil
	}
	return nil, nil
}

func (s *tenants) set(err error, issuers ...accesstoken.Issuer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err, s.byURL = err, map[string]accesstoken.Issuer{}
	for _, i := range issuers {
		s.byURL[i.URL] = i
	}
}

func resolving(t *testing.T, resolve func(context.Context, string) (*accesstoken.Issuer, error), change func(*accesstoken.Config)) *accesstoken.Validator {
	t.Helper()
	config := accesstoken.Config{Resource: resource, ResolveIssuer: resolve}
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

// offline returns an Issuer of the server whose keys need no connection, for synctest.
func offline(as *accesstokentest.Server) accesstoken.Issuer {
	return accesstoken.Issuer{URL: as.URL, Keys: jwks.Static(as.Keys()...)}
}

func TestAnIssuerIsResolvedOnce(t *testing.T) {
	as := accesstokentest.NewServer(t)
	s := new(tenants)
	s.set(nil, issuerOf(as))
	v := resolving(t, s.resolve, nil)
	var wait sync.WaitGroup
	for range 20 {
		token := as.Token(nil)
		wait.Go(func() {
			if _, err := v.Validate(context.Background(), accesstoken.Bearer(token)); err != nil {
				t.Errorf("got %v; want nil", err)
			}
		})
	}
	wait.Wait()
	if got := s.calls.Load(); got != 1 {
		t.Errorf("got %d calls; want 1", got)
	}
	claims, err := validateToken(t, v, as.Token(nil))
	if err != nil || claims.Issuer != as.URL {
		t.Errorf("got the issuer %q, %v; want %q", claims.Issuer, err, as.URL)
	}
	if err := v.Check(t.Context(), claims, accesstoken.Policy{}); err != nil {
		t.Errorf("Check: got %v; want nil", err)
	}
}

// What is no https URL, is too long or malformed, is no reason to ask, nor is a token
// that cannot be good.
func TestWhatResolveIssuerIsNotAskedAbout(t *testing.T) {
	as := accesstokentest.NewServer(t)
	s := new(tenants)
	v := resolving(t, s.resolve, nil)
	long := "https://a.example/" + strings.Repeat("a", 512-len("https://a.example/"))
	for _, iss := range []string{"", "a", "http://a.example", "http://127.0.0.1", "https://", "https://u:p@a.example", "https://a.example?x=1", "https://a.example#f", "HTTPS://a.example", " https://a.example", "https://a.example\n", long + "a"} {
		_, err := validateToken(t, v, as.Token(accesstokentest.Claims{"iss": iss}))
		wantReason(t, err, accesstoken.IssuerUnknown)
	}
	unsigned := as.Token(nil)
	for _, token := range []string{unsigned[:strings.LastIndexByte(unsigned, '.')+1], as.Sign(map[string]any{"alg": "none", "typ": "at+jwt"}, as.Claims(nil)), "opaque", strings.Repeat("a", 20_000)} {
		if _, err := validateToken(t, v, token); err == nil {
			t.Error("got no error; want one")
		}
	}
	if got := s.calls.Load(); got != 0 {
		t.Errorf("got %d calls, about %q; want none", got, s.asked)
	}
	_, err := validateToken(t, v, as.Token(accesstokentest.Claims{"iss": long}))
	wantReason(t, err, accesstoken.IssuerUnknown)
	if got := s.calls.Load(); got != 1 {
		t.Errorf("an iss of 512 bytes: got %d calls; want 1", got)
	}
}

func TestNoSuchIssuerIsNotAFailure(t *testing.T) {
	as := accesstokentest.NewServer(t)
	synctest.Test(t, func(t *testing.T) {
		s := new(tenants)
		v := resolving(t, s.resolve, nil)
		defer v.Close()
		for range 3 {
			_, err := validateToken(t, v, as.Token(nil))
			wantReason(t, err, accesstoken.IssuerUnknown)
		}
		if got := s.calls.Load(); got != 1 {
			t.Errorf("got %d calls; want 1, whose answer counts for 30 s", got)
		}
		time.Sleep(30 * time.Second)
		s.set(errors.New("the database is down"))
		_, err := validateToken(t, v, as.Token(nil))
		wantReason(t, err, accesstoken.IssuerUnavailable)
		s.set(nil, offline(as))
		_, err = validateToken(t, v, as.Token(nil))
		wantReason(t, err, accesstoken.IssuerUnavailable) // for a second
		time.Sleep(time.Second)
		if _, err := validateToken(t, v, as.Token(nil)); err != nil {
			t.Errorf("once the database is back: got %v; want nil", err)
		}
	})
}

// A resolved issuer is asked about again after 5 minutes, by the first request; the old
// answer serves while calls fail, for an hour.
func TestAnOldAnswerServesWhileCallsFail(t *testing.T) {
	as := accesstokentest.NewServer(t)
	synctest.Test(t, func(t *testing.T) {
		s := new(tenants)
		s.set(nil, offline(as))
		v := resolving(t, s.resolve, nil)
		defer v.Close()
		token := as.Token(accesstokentest.Claims{"exp": time.Now().Add(24 * time.Hour).Unix()})
		ask := func(want accesstoken.Reason) {
			t.Helper()
			_, err := validateToken(t, v, token)
			if want == "" && err != nil {
				t.Errorf("got %v; want nil", err)
			}
			if want != "" {
				wantReason(t, err, want)
			}
			synctest.Wait()
		}
		ask("")
		time.Sleep(4 * time.Minute)
		ask("")
		if got := s.calls.Load(); got != 1 {
			t.Errorf("after 4 min: got %d calls; want 1", got)
		}
		time.Sleep(time.Minute)
		ask("")
		if got := s.calls.Load(); got != 2 {
			t.Errorf("after 5 min: got %d calls; want 2", got)
		}
		s.set(errors.New("down"))
		for range 53 { // an answer counts for 54 minutes at least
			time.Sleep(time.Minute)
			ask("")
		}
		time.Sleep(7 * time.Minute)
		ask(accesstoken.IssuerUnavailable)
		s.set(nil, offline(as))
		time.Sleep(time.Second)
		ask("")
		s.set(nil)
		time.Sleep(5 * time.Minute)
		ask("") // and asks
		ask(accesstoken.IssuerUnknown)
	})
}

// An issuer that is there no more takes its claims and streams along; one whose settings
// changed is judged by the new ones.
func TestAnAnswerThatChanges(t *testing.T) {
	as := accesstokentest.NewServer(t)
	synctest.Test(t, func(t *testing.T) {
		s := new(tenants)
		keys := offline(as)
		s.set(nil, keys)
		v := resolving(t, s.resolve, nil)
		defer v.Close()
		token := as.Token(accesstokentest.Claims{"exp": time.Now().Add(time.Hour).Unix()})
		claims, err := validateToken(t, v, token)
		if err != nil {
			t.Fatal(err)
		}
		again := func() error {
			time.Sleep(5 * time.Minute)
			_, _ = validateToken(t, v, token)
			synctest.Wait()
			_, err := validateToken(t, v, token)
			return err
		}
		stricter := keys
		stricter.Audience = []string{"urn:other"}
		s.set(nil, stricter)
		wantReason(t, again(), accesstoken.AudienceMismatch)
		s.set(nil, keys)
		if err := again(); err != nil {
			t.Errorf("the old settings again: got %v; want nil", err)
		}
		if err := v.Check(t.Context(), claims, accesstoken.Policy{}); err != nil {
			t.Errorf("Check: got %v; want nil, as the issuer was there all the time", err)
		}
		s.set(nil)
		wantReason(t, again(), accesstoken.IssuerUnknown)
		wantReason(t, v.Check(t.Context(), claims, accesstoken.Policy{}), accesstoken.IssuerUnknown)
		s.set(nil, keys)
		time.Sleep(30 * time.Second)
		if claims, err = validateToken(t, v, token); err != nil {
			t.Fatal(err)
		}
		stricter = keys
		stricter.Clients = []string{"nobody"}
		s.set(nil, stricter)
		wantReason(t, again(), accesstoken.ClaimInvalid)
		wantReason(t, v.Check(t.Context(), claims, accesstoken.Policy{}), accesstoken.IssuerUnknown)
	})
}

// The keys of an issuer belong to it for as long as it has them.
func TestKeysBelongToAnIssuerThatIsThere(t *testing.T) {
	as := accesstokentest.NewServer(t)
	synctest.Test(t, func(t *testing.T) {
		s := new(tenants)
		first, second := offline(as), offline(as)
		first.URL, second.URL, second.Keys = "https://a.example", "https://b.example", first.Keys
		s.set(nil, first, second)
		v := resolving(t, s.resolve, nil)
		defer v.Close()
		of := func(issuer accesstoken.Issuer) string {
			return as.Token(accesstokentest.Claims{"iss": issuer.URL, "exp": time.Now().Add(time.Hour).Unix()})
		}
		for range 2 { // the second time, the answer about the first one was renewed
			if _, err := validateToken(t, v, of(first)); err != nil {
				t.Errorf("the first issuer: got %v; want nil", err)
			}
			synctest.Wait()
			_, err := validateToken(t, v, of(second))
			wantReason(t, err, accesstoken.ResourceServerMisconfigured)
			time.Sleep(5 * time.Minute)
		}
		s.set(nil, second)
		_, _ = validateToken(t, v, of(first))
		synctest.Wait()
		_, err := validateToken(t, v, of(first))
		wantReason(t, err, accesstoken.IssuerUnknown)
		if _, err := validateToken(t, v, of(second)); err != nil {
			t.Errorf("once the first issuer is gone: got %v; want nil", err)
		}
	})
}

// A request that ends while it waits for an answer is not refused for good.
func TestARequestThatEndsWhileItsIssuerIsLookedUp(t *testing.T) {
	as := accesstokentest.NewServer(t)
	synctest.Test(t, func(t *testing.T) {
		v := resolving(t, func(ctx context.Context, _ string) (*accesstoken.Issuer, error) { <-ctx.Done(); return nil, ctx.Err() }, nil)
		defer v.Close()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := v.Validate(ctx, accesstoken.Bearer(as.Token(nil)))
		if !errors.Is(err, accesstoken.Unavailable) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v; want that it is unavailable, because the context has ended", err)
		}
	})
}

// Claims outlive the answer about their issuer, which nobody may have asked for during an
// hour. Then Check asks.
func TestCheckAsksAboutAnIssuerThatWasForgotten(t *testing.T) {
	as, other := accesstokentest.NewServer(t), accesstokentest.NewServer(t)
	for _, isForgotten := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) { checkLater(t, as, other, isForgotten) })
	}
}

func checkLater(t *testing.T, as, other *accesstokentest.Server, isForgotten bool) {
	same := offline(as)
	stricter, others, configured := same, same, same
	stricter.Audience = []string{"urn:other"}
	others.Clients = []string{"nobody"}
	for name, test := range map[string]struct {
		later func(s *tenants, v *accesstoken.Validator)
		want  accesstoken.Reason
		calls int32
	}{
		"is the same":                    {func(*tenants, *accesstoken.Validator) {}, "", 1},
		"is gone":                        {func(s *tenants, _ *accesstoken.Validator) { s.set(nil) }, accesstoken.IssuerUnknown, 1},
		"has another audience":           {func(s *tenants, _ *accesstoken.Validator) { s.set(nil, stricter) }, accesstoken.AudienceMismatch, 1},
		"has other clients":              {func(s *tenants, _ *accesstoken.Validator) { s.set(nil, others) }, accesstoken.IssuerUnknown, 1},
		"is unknown, because calls fail": {func(s *tenants, _ *accesstoken.Validator) { s.set(errors.New("down")) }, accesstoken.IssuerUnavailable, 1},
		"is in the configuration":        {func(_ *tenants, v *accesstoken.Validator) { _ = v.SetIssuers(configured) }, accesstoken.IssuerUnknown, 0},
		"is of no use, as the token has ended": {func(s *tenants, _ *accesstoken.Validator) {
			s.set(errors.New("down"))
			time.Sleep(24 * time.Hour)
		}, accesstoken.TokenExpired, 0},
	} {
		s := new(tenants)
		s.set(nil, same, offline(other))
		v := resolving(t, s.resolve, nil)
		claims, err := validateToken(t, v, as.Token(accesstokentest.Claims{"exp": time.Now().Add(24 * time.Hour).Unix()}))
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Hour)
		if isForgotten { // to make room for the next
			if _, err := validateToken(t, v, other.Token(nil)); err != nil {
				t.Fatal(err)
			}
		}
		before := s.calls.Load()
		test.later(s, v)
		for range 2 {
			err = v.Check(t.Context(), claims, accesstoken.Policy{})
			if test.want == "" && err != nil {
				t.Errorf("the issuer %s: got %v; want nil", name, err)
			}
			if test.want != "" && !errors.Is(err, test.want) {
				t.Errorf("the issuer %s: got %v; want %s", name, err, test.want)
			}
		}
		if got := s.calls.Load() - before; got != test.calls {
			t.Errorf("the issuer %s: got %d calls; want %d", name, got, test.calls)
		}
		if err := v.Close(); err != nil {
			t.Error(err)
		}
	}
}

// A faulty resolver refuses, and harms only the issuer that it was asked about.
func TestAFaultyResolverHarmsNoOtherIssuer(t *testing.T) {
	as := accesstokentest.NewServer(t)
	client, err := introspection.NewClient(introspection.Config{Endpoint: "https://odd.example/introspect", ClientID: "a", ClientSecret: "b"})
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		good := offline(as)
		for name, test := range map[string]struct {
			resolve func(context.Context, string) (*accesstoken.Issuer, error)
			want    accesstoken.Reason
		}{
			"hangs":              {func(ctx context.Context, _ string) (*accesstoken.Issuer, error) { <-ctx.Done(); return nil, ctx.Err() }, accesstoken.IssuerUnavailable},
			"hangs for a minute": {func(context.Context, string) (*accesstoken.Issuer, error) { time.Sleep(time.Minute); return nil, nil }, accesstoken.IssuerUnavailable},
			"panics":             {func(context.Context, string) (*accesstoken.Issuer, error) { panic("canary") }, accesstoken.InternalError},
			"ends":               {func(context.Context, string) (*accesstoken.Issuer, error) { runtime.Goexit(); return nil, nil }, accesstoken.InternalError},
			"fails":              {func(context.Context, string) (*accesstoken.Issuer, error) { return nil, errors.New("down") }, accesstoken.IssuerUnavailable},
			"another URL":        {func(context.Context, string) (*accesstoken.Issuer, error) { return &good, nil }, accesstoken.ResourceServerMisconfigured},
			"another URL, with keys of its own": {func(context.Context, string) (*accesstoken.Issuer, error) {
				return &accesstoken.Issuer{URL: "https://c.example", Keys: jwks.Static(as.Keys()...)}, nil
			}, accesstoken.ResourceServerMisconfigured},
			"an alias": {func(_ context.Context, iss string) (*accesstoken.Issuer, error) {
				return &accesstoken.Issuer{URL: iss, JWKSURI: "https://a.example/jwks", Aliases: []string{"https://b.example"}}, nil
			}, accesstoken.ResourceServerMisconfigured},
			"introspection of opaque tokens": {func(_ context.Context, iss string) (*accesstoken.Issuer, error) {
				return &accesstoken.Issuer{URL: iss, Introspection: client}, nil
			}, accesstoken.ResourceServerMisconfigured},
			"a fault": {func(_ context.Context, iss string) (*accesstoken.Issuer, error) {
				return &accesstoken.Issuer{URL: iss, MaxAge: -1}, nil
			}, accesstoken.ResourceServerMisconfigured},
			"the keys of another": {func(_ context.Context, iss string) (*accesstoken.Issuer, error) {
				return &accesstoken.Issuer{URL: iss, Keys: good.Keys}, nil
			}, accesstoken.ResourceServerMisconfigured},
			"a key source that panics": {func(_ context.Context, iss string) (*accesstoken.Issuer, error) {
				return &accesstoken.Issuer{URL: iss, Keys: oddSource{}}, nil
			}, accesstoken.InternalError},
		} {
			v := resolving(t, test.resolve, func(c *accesstoken.Config) { c.Issuers = []accesstoken.Issuer{good} })
			began := time.Now()
			_, err := validateToken(t, v, as.Token(accesstokentest.Claims{"iss": "https://odd.example"}))
			wantReason(t, err, test.want)
			if strings.Contains(fmt.Sprint(err), "canary") {
				t.Errorf("%s: got %v; want nothing of the panic's value", name, err)
			}
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("%s: took %v; want 5 s at most", name, took)
			}
			if _, err := validateToken(t, v, as.Token(nil)); err != nil {
				t.Errorf("%s: another issuer: got %v; want nil", name, err)
			}
			if err := v.Close(); err != nil {
				t.Error(err)
			}
			time.Sleep(time.Minute)
		}
	})
}

type oddSource struct{}

func (oddSource) Err() error { panic("canary") }
func (oddSource) Keys(context.Context, string, string) ([]crypto.PublicKey, uint64, error) {
	return nil, 0, nil
}

// A hundred thousand invented issuers in ten seconds cost a thousand calls, and a genuine
// tenant that is known does not feel them.
func TestInventedIssuersCostABoundedNumberOfCalls(t *testing.T) {
	as := accesstokentest.NewServer(t)
	synctest.Test(t, func(t *testing.T) {
		s := new(tenants)
		s.set(nil, offline(as))
		v := resolving(t, s.resolve, nil)
		defer v.Close()
		good := as.Token(nil)
		if _, err := validateToken(t, v, good); err != nil {
			t.Fatal(err)
		}
		// The tokens need no signature, because it is verified later.
		parts := strings.Split(good, ".")
		for second := range 10 {
			for n := range 1000 {
				payload := base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, `{"iss":"https://invented.example/%d/%d"}`, second, n))
				_, err := validateToken(t, v, parts[0]+"."+payload+"."+parts[2])
				if !errors.Is(err, accesstoken.IssuerUnknown) && !errors.Is(err, accesstoken.IssuerUnavailable) {
					t.Fatalf("got %v; want it unknown, or the call refused", err)
				}
			}
			if _, err := validateToken(t, v, as.Token(nil)); err != nil {
				t.Errorf("the known tenant: got %v; want nil", err)
			}
			time.Sleep(time.Second)
		}
		if got := s.calls.Load(); got > 1101 {
			t.Errorf("got %d calls; want at most 100 at once, and 100 a second", got)
		}
	})
}

// Two issuers that are asked about at the same time cannot get the same keys either.
func TestKeysOfAnotherIssuerAreRefusedAtTheSameTime(t *testing.T) {
	as := accesstokentest.NewServer(t)
	keys := jwks.Static(as.Keys()...)
	var both sync.WaitGroup
	both.Add(2)
	v := resolving(t, func(_ context.Context, iss string) (*accesstoken.Issuer, error) {
		both.Done()
		both.Wait()
		return &accesstoken.Issuer{URL: iss, Keys: keys}, nil
	}, nil)
	var accepted, refused atomic.Int32
	var wait sync.WaitGroup
	for _, iss := range []string{"https://a.example", "https://b.example"} {
		token := as.Token(accesstokentest.Claims{"iss": iss})
		wait.Go(func() {
			switch _, err := v.Validate(context.Background(), accesstoken.Bearer(token)); {
			case err == nil:
				accepted.Add(1)
			case errors.Is(err, accesstoken.ResourceServerMisconfigured):
				refused.Add(1)
			}
		})
	}
	wait.Wait()
	if accepted.Load() != 1 || refused.Load() != 1 {
		t.Errorf("got %d accepted, and %d refused for the keys; want one of each", accepted.Load(), refused.Load())
	}
}

// A key source that SetIssuers gives to an issuer is taken from a resolved one.
func TestSetIssuersTakesTheKeysOfAResolvedIssuer(t *testing.T) {
	as := accesstokentest.NewServer(t)
	s := new(tenants)
	s.set(nil, offline(as))
	keys := s.byURL[as.URL].Keys
	v := resolving(t, s.resolve, nil)
	token := as.Token(nil)
	if _, err := validateToken(t, v, token); err != nil {
		t.Fatal(err)
	}
	if err := v.SetIssuers(accesstoken.Issuer{URL: "https://a.example", Keys: keys}); err != nil {
		t.Fatal(err)
	}
	_, err := validateToken(t, v, token)
	wantReason(t, err, accesstoken.ResourceServerMisconfigured)
}

// Invented names do not keep the tokens that they came in.
func TestInventedIssuersKeepLittle(t *testing.T) {
	as := accesstokentest.NewServer(t)
	synctest.Test(t, func(t *testing.T) {
		v := resolving(t, new(tenants).resolve, nil)
		defer v.Close()
		parts := strings.Split(as.Token(nil), ".")
		padding := strings.Repeat("x", 11<<10)
		before := heapInUse()
		for n := range 2000 {
			payload := base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, `{"iss":"https://invented.example/%d","x":"%s"}`, n, padding))
			_, err := validateToken(t, v, parts[0]+"."+payload+"."+parts[2])
			wantReason(t, err, accesstoken.IssuerUnknown)
			time.Sleep(10 * time.Millisecond)
		}
		if grown := heapInUse() - before; grown > 4<<20 {
			t.Errorf("got %d KiB for 2000 names; want 4096 at most", grown>>10)
		}
	})
}

func heapInUse() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// A token cannot name the template of Entra ID's issuers.
func TestATemplateIsNotResolved(t *testing.T) {
	as := accesstokentest.NewServer(t)
	s := new(tenants)
	v := resolving(t, s.resolve, nil)
	_, err := validateToken(t, v, as.Token(accesstokentest.Claims{"iss": "https://login.microsoftonline.com/{tenantid}/v2.0"}))
	wantReason(t, err, accesstoken.IssuerUnknown)
	if got := s.calls.Load(); got != 0 {
		t.Errorf("got %d calls; want none", got)
	}
}

// What the configuration says counts before any answer.
func TestAnIssuerThatIsConfiguredLaterIsNotAskedAbout(t *testing.T) {
	as := accesstokentest.NewServer(t)
	s := new(tenants)
	s.set(nil, offline(as))
	v := resolving(t, s.resolve, nil)
	token := as.Token(nil)
	claims, err := validateToken(t, v, token)
	if err != nil {
		t.Fatal(err)
	}
	stricter := issuerOf(as)
	stricter.Clients = []string{"nobody"}
	if err := v.SetIssuers(stricter); err != nil {
		t.Fatal(err)
	}
	_, err = validateToken(t, v, token)
	wantReason(t, err, accesstoken.ClaimInvalid)
	wantReason(t, v.Check(t.Context(), claims, accesstoken.Policy{}), accesstoken.IssuerUnknown)
	if err := v.SetIssuers(); err != nil {
		t.Fatalf("no issuers: got %v; want nil, because there is ResolveIssuer", err)
	}
	if _, err := validateToken(t, v, token); err != nil {
		t.Errorf("resolved again: got %v; want nil", err)
	}
}
