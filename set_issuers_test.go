package accesstoken_test

import (
	"context"
	"crypto"
	"fmt"
	"log/slog"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/accesstokentest"
	"github.com/accesstoken/accesstoken/dialect"
	"github.com/accesstoken/accesstoken/jwks"
)

// issuerOf returns an Issuer of the server, whose keys are fetched by discovery.
func issuerOf(as *accesstokentest.Server) accesstoken.Issuer {
	return accesstoken.Issuer{URL: as.URL, HTTPClient: as.Client()}
}

func validateToken(t *testing.T, v *accesstoken.Validator, token string) (accesstoken.Claims, error) {
	t.Helper()
	return v.Validate(t.Context(), accesstoken.Bearer(token))
}

func TestARemovedIssuersTokensAreRefusedAtOnce(t *testing.T) {
	kept, removed := accesstokentest.NewServer(t), accesstokentest.NewServer(t)
	v := newValidator(t, kept, func(c *accesstoken.Config) {
		c.Issuers = []accesstoken.Issuer{issuerOf(kept), issuerOf(removed)}
	})
	keptToken, removedToken := kept.Token(nil), removed.Token(nil)
	keptClaims, err := validateToken(t, v, keptToken)
	if err != nil {
		t.Fatal(err)
	}
	removedClaims, err := validateToken(t, v, removedToken)
	if err != nil {
		t.Fatal(err)
	}
	before := kept.Requests(accesstokentest.JWKSPath)

	if err := v.SetIssuers(issuerOf(kept)); err != nil {
		t.Fatal(err)
	}
	_, err = validateToken(t, v, removedToken)
	wantReason(t, err, accesstoken.IssuerUnknown)
	_, err = validateToken(t, v, removed.Token(nil))
	wantReason(t, err, accesstoken.IssuerUnknown)
	wantReason(t, v.Check(t.Context(), removedClaims, accesstoken.Policy{}), accesstoken.IssuerUnknown)
	if _, err := validateToken(t, v, keptToken); err != nil {
		t.Errorf("a cached token of the issuer that stays: got %v; want nil", err)
	}
	if _, err := validateToken(t, v, kept.Token(nil)); err != nil {
		t.Errorf("a new token of the issuer that stays: got %v; want nil", err)
	}
	if err := v.Check(t.Context(), keptClaims, accesstoken.Policy{}); err != nil {
		t.Errorf("claims of the issuer that stays: got %v; want nil", err)
	}
	if got := kept.Requests(accesstokentest.JWKSPath); got != before {
		t.Errorf("the keys of the issuer that stays were fetched %d times more; want none", got-before)
	}

	if err := v.SetIssuers(issuerOf(kept), issuerOf(removed)); err != nil {
		t.Fatal(err)
	}
	if _, err := validateToken(t, v, removedToken); err != nil {
		t.Errorf("once the issuer is back: got %v; want nil", err)
	}
	wantReason(t, v.Check(t.Context(), removedClaims, accesstoken.Policy{}), accesstoken.IssuerUnknown)
}

func TestABrokenUpdateChangesNothing(t *testing.T) {
	as := accesstokentest.NewServer(t)
	v := newValidator(t, as, nil)
	token := as.Token(nil)
	if _, err := validateToken(t, v, token); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		issuers []accesstoken.Issuer
		faults  int
	}{
		"no issuers":                     {nil, 1},
		"two faults in two issuers":      {[]accesstoken.Issuer{{URL: "https://a.example", MaxAge: -1}, {URL: "http://b.example"}}, 2},
		"one issuer twice":               {[]accesstoken.Issuer{{URL: "https://a.example"}, {URL: "https://a.example"}}, 1},
		"a dialect that takes ID tokens": {[]accesstoken.Issuer{{URL: "https://a.example", Dialect: &dialect.Dialect{IDTokens: true}}}, 1},
	} {
		err := v.SetIssuers(test.issuers...)
		if err == nil || len(strings.Split(err.Error(), "\n")) != test.faults {
			t.Errorf("%s: got %v; want %d faults", name, err, test.faults)
		}
		if _, err := validateToken(t, v, token); err != nil {
			t.Errorf("%s: the issuer of before: got %v; want nil", name, err)
		}
	}
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
	if err := v.SetIssuers(issuerOf(as)); err == nil {
		t.Error("after Close: got no error; want one")
	}
	if err := new(accesstoken.Validator).SetIssuers(issuerOf(as)); err == nil {
		t.Error("of the zero Validator: got no error; want one")
	}
}

// What every request is judged by applies to cached tokens too.
func TestNewSettingsOfAnIssuerCountFromTheNextRequestOn(t *testing.T) {
	as := accesstokentest.NewServer(t)
	v := newValidator(t, as, func(c *accesstoken.Config) { c.Issuers = []accesstoken.Issuer{issuerOf(as)} })
	token := as.Token(nil)
	if _, err := validateToken(t, v, token); err != nil {
		t.Fatal(err)
	}
	issuer := issuerOf(as)
	for _, test := range []struct {
		change func()
		want   accesstoken.Reason
	}{
		{func() { issuer.Audience = []string{"urn:other"} }, accesstoken.AudienceMismatch},
		{func() { issuer.Audience = nil }, ""},
		{func() { issuer.MaxLifetime = 1 }, accesstoken.ClaimInvalid},
		{func() { issuer.MaxLifetime = 0 }, ""},
		{func() {
			issuer.Accept = func(context.Context, accesstoken.Claims) error { return accesstoken.Deny("CLOSED", nil) }
		}, "CLOSED"},
		{func() { issuer.Accept = nil }, ""},
		{func() { issuer.Clients = []string{"nobody"} }, accesstoken.ClaimInvalid},
		{func() { issuer.Clients = nil }, ""},
	} {
		test.change()
		if err := v.SetIssuers(issuer); err != nil {
			t.Fatal(err)
		}
		_, err := validateToken(t, v, token)
		if test.want == "" && err != nil {
			t.Errorf("got %v; want nil", err)
		}
		if test.want != "" {
			wantReason(t, err, test.want)
		}
	}
}

// A turning source calls turn once, while a request waits for its key.
type turning struct {
	accesstoken.KeySource
	turn atomic.Pointer[func()]
}

func (k *turning) Keys(ctx context.Context, kid, alg string) ([]crypto.PublicKey, uint64, error) {
	if turn := k.turn.Swap(nil); turn != nil {
		(*turn)()
	}
	return k.KeySource.Keys(ctx, kid, alg)
}

// If neither the old nor the new settings accept a token, a request during the change does
// not pass by a part of each.
func TestARequestIsJudgedByOneVersionOfTheSettings(t *testing.T) {
	as := accesstokentest.NewServer(t)
	keys := &turning{KeySource: jwks.Static(as.Keys()...)}
	both := accesstoken.Issuer{URL: as.URL, Keys: keys}
	deny := func(context.Context, accesstoken.Claims) error { return accesstoken.Deny("CLOSED", nil) }
	for name, change := range map[string]func(before, after *accesstoken.Issuer){
		"MaxLifetime for Accept": func(before, after *accesstoken.Issuer) { before.Accept, after.MaxLifetime = deny, time.Second },
		"MaxAge for Accept":      func(before, after *accesstoken.Issuer) { before.Accept, after.MaxAge = deny, time.Second },
		"MaxAge for Audience": func(before, after *accesstoken.Issuer) {
			before.Audience, after.MaxAge = []string{"urn:other"}, time.Second
		},
	} {
		before, after := both, both
		change(&before, &after)
		v := newValidator(t, as, func(c *accesstoken.Config) { c.Issuers = []accesstoken.Issuer{before} })
		token := as.Token(accesstokentest.Claims{"iat": time.Now().Add(-time.Minute).Unix()})
		turn := func() {
			if err := v.SetIssuers(after); err != nil {
				t.Error(err)
			}
		}
		for _, when := range []string{"before", "during", "after"} { // cached from the first request on
			if when == "during" {
				keys.turn.Store(&turn)
			}
			if _, err := validateToken(t, v, token); err == nil {
				t.Errorf("%s: a request %s the change: got nil; want a refusal", name, when)
			}
		}
	}
}

// Requests go on while issuers come and go.
func TestIssuersChangeUnderLoad(t *testing.T) {
	kept, other := accesstokentest.NewServer(t), accesstokentest.NewServer(t)
	v := newValidator(t, kept, func(c *accesstoken.Config) { c.Issuers = []accesstoken.Issuer{issuerOf(kept)} })
	keptToken, otherToken := kept.Token(nil), other.Token(nil)
	if _, err := validateToken(t, v, keptToken); err != nil {
		t.Fatal(err)
	}
	var stop atomic.Bool
	var wait sync.WaitGroup
	for range 4 {
		wait.Go(func() {
			for !stop.Load() {
				if _, err := v.Validate(context.Background(), accesstoken.Bearer(keptToken)); err != nil {
					t.Errorf("the issuer that stays: got %v; want nil", err)
					return
				}
				_, _ = v.Validate(context.Background(), accesstoken.Bearer(otherToken))
			}
		})
	}
	for range 200 {
		if err := v.SetIssuers(issuerOf(kept), issuerOf(other)); err != nil {
			t.Error(err)
		}
		if err := v.SetIssuers(issuerOf(kept)); err != nil {
			t.Error(err)
		}
		_, err := v.Validate(t.Context(), accesstoken.Bearer(otherToken))
		wantReason(t, err, accesstoken.IssuerUnknown)
	}
	stop.Store(true)
	wait.Wait()
}

// A deaf transport does not listen to the context of a request.
type deaf struct{ until chan struct{} }

func (d deaf) RoundTrip(*http.Request) (*http.Response, error) {
	<-d.until
	return nil, http.ErrServerClosed
}

// SetIssuers waits for no fetch. Close waits for all of them together, those of removed
// issuers too, and not for one after the other.
func TestFetchesThatHangHoldUpCloseFor5sAltogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const count, removed = 300, 100
		hanging := deaf{make(chan struct{})}
		var issuers []accesstoken.Issuer
		for n := range count {
			issuers = append(issuers, accesstoken.Issuer{URL: fmt.Sprintf("https://tenant-%d.example", n), HTTPClient: &http.Client{Transport: hanging}})
		}
		v, err := accesstoken.NewValidator(accesstoken.Config{Resource: resource, Issuers: issuers, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		_ = v.Ready() // starts a fetch for each
		synctest.Wait()
		began := time.Now()
		if err := v.SetIssuers(issuers[removed:]...); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took > 0 {
			t.Errorf("SetIssuers took %v; want no wait", took)
		}
		err = v.Close()
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("Close took %v; want 5s at most", took)
		}
		if err == nil || len(strings.Split(err.Error(), "\n")) != count-removed {
			t.Errorf("got %v; want an error for each issuer that is left", err)
		}
		close(hanging.until)
	})
}

// A stuck handler writes no line until it is told to go on.
type stuck struct {
	slog.Handler
	wrote, goOn chan struct{}
}

func (h stuck) Handle(context.Context, slog.Record) error {
	h.wrote <- struct{}{}
	<-h.goOn
	return nil
}

func (h stuck) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelWarn }
func (h stuck) WithAttrs([]slog.Attr) slog.Handler               { return h }

// SetIssuers holds a lock while it writes a warning, and the log hangs. No request waits for
// that lock, whether its token is cached or not.
func TestNoRequestWaitsForSetIssuers(t *testing.T) {
	as, log := accesstokentest.NewServer(t), stuck{slog.DiscardHandler, make(chan struct{}), make(chan struct{})}
	v := newValidator(t, as, func(c *accesstoken.Config) {
		c.Issuers, c.Logger = []accesstoken.Issuer{issuerOf(as)}, slog.New(log)
	})
	files, err := v.ForResource(accesstoken.Resource{ID: "https://files.example.com"})
	if err != nil {
		t.Fatal(err)
	}
	cached := as.Token(accesstokentest.Claims{"aud": []string{resource, "https://files.example.com"}})
	claims, err := validateToken(t, v, cached)
	if err != nil {
		t.Fatal(err)
	}
	var change, requests sync.WaitGroup
	change.Go(func() {
		if err := v.SetIssuers(issuerOf(as), accesstoken.Issuer{URL: "https://a.auth0.com", Profile: accesstoken.Auth0}); err != nil {
			t.Error(err)
		}
	})
	<-log.wrote // SetIssuers hangs
	requests.Go(func() {
		for _, validator := range []*accesstoken.Validator{v, files} {
			for _, token := range []string{cached, as.Token(accesstokentest.Claims{"aud": []string{resource, "https://files.example.com"}})} {
				if _, err := validator.Validate(context.Background(), accesstoken.Bearer(token)); err != nil {
					t.Error(err)
				}
			}
		}
		if err := v.Check(context.Background(), claims, accesstoken.Policy{}); err != nil {
			t.Error(err)
		}
	})
	answered := make(chan struct{})
	go func() {
		requests.Wait()
		close(answered)
	}()
	select {
	case <-answered:
	case <-time.After(20 * time.Second):
		t.Error("requests wait for SetIssuers")
	}
	close(log.goOn)
	change.Wait()
	<-answered
}

// Goroutines that make requests with a cached token at the same time, while issuers change,
// never meet at a mutex: the runtime would have noted where.
func TestACachedTokenTakesNoLock(t *testing.T) {
	as, other := accesstokentest.NewServer(t), accesstokentest.NewServer(t)
	v := newValidator(t, as, func(c *accesstoken.Config) { c.Issuers = []accesstoken.Issuer{issuerOf(as)} })
	token := as.Token(nil)
	if _, err := validateToken(t, v, token); err != nil {
		t.Fatal(err)
	}
	defer runtime.SetMutexProfileFraction(runtime.SetMutexProfileFraction(1))
	var wait sync.WaitGroup
	for range 8 {
		wait.Go(func() {
			for range 10_000 {
				if _, err := v.Validate(context.Background(), accesstoken.Bearer(token)); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for range 100 {
		if err := v.SetIssuers(issuerOf(as), issuerOf(other)); err != nil {
			t.Error(err)
		}
		if err := v.SetIssuers(issuerOf(as)); err != nil {
			t.Error(err)
		}
	}
	wait.Wait()
	records := make([]runtime.BlockProfileRecord, 10_000)
	n, ok := runtime.MutexProfile(records)
	if !ok {
		t.Fatalf("got %d places of the profile; want fewer", n)
	}
	for _, record := range records[:n] {
		if path := pathOf(record.Stack()); strings.Contains(path, "sync.(*") && strings.Contains(path, ".(*Validator).Validate") && !strings.Contains(path, "sync.(*Pool)") {
			t.Errorf("requests wait for each other %d times at:\n%s", record.Count, path)
		}
	}
}

// pathOf returns the names of the functions of a stack.
func pathOf(stack []uintptr) string {
	var path strings.Builder
	for frames := runtime.CallersFrames(stack); ; {
		frame, more := frames.Next()
		fmt.Fprintln(&path, frame.Function)
		if !more {
			return path.String()
		}
	}
}
