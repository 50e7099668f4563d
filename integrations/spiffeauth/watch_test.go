package spiffeauth_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/integrations/spiffeauth"
	"github.com/accesstoken/accesstoken/internal/testkit"
	"github.com/accesstoken/accesstoken/jwks"
)

// What the agent says counts at once, also for tokens that were verified before.
func TestUpdatesOfTheAgentReplaceTheKeys(t *testing.T) {
	a := newAgent(t)
	v := validator(t, a.source(t).Issuer(domain))
	token := good()
	if got := reasonOf(t, v, token); got != "OK" {
		t.Fatalf("got %s; want it accepted", got)
	}
	a.change(func() { a.bundles = map[string][]byte{domain: keysOf(others)} }) // rotated
	eventually(t, v, token, accesstoken.KeyNotFound)
	eventually(t, v, svid(others, workerID, []string{testkit.Resource}, time.Minute), "OK")
	a.change(func() { a.bundles = map[string][]byte{domain: keysOf(as, others)} })
	eventually(t, v, token, "OK")
	a.change(func() { a.bundles = map[string][]byte{domain: []byte(`{"keys":[]}`)} }) // nothing is trusted
	eventually(t, v, token, accesstoken.KeyNotFound)
	a.change(func() { a.bundles = map[string][]byte{domain: keysOf(as)} })
	eventually(t, v, token, "OK")
	a.change(func() { a.bundles = map[string][]byte{other: keysOf(others)} }) // withdrawn
	eventually(t, v, token, accesstoken.KeyNotFound)
	if err := v.Ready(); err == nil || !strings.Contains(err.Error(), "there is no bundle of spiffe://example.org") {
		t.Errorf("got %v; want that there is no bundle", err)
	}
}

// Keys of a bundle that are for something else verify nothing.
func TestKeysForOtherDocumentsVerifyNothing(t *testing.T) {
	for use, want := range map[string]accesstoken.Reason{"": "OK", "jwt-svid": "OK", "x509-svid": accesstoken.KeyNotFound, "wit-svid": accesstoken.KeyNotFound, "sig": accesstoken.KeyNotFound} {
		a := newAgent(t)
		a.change(func() { a.bundles = map[string][]byte{domain: documentOf(use, as)} })
		v := unwarmed(t, a.source(t).Issuer(domain))
		if err := v.Warm(t.Context()); (err == nil) != (want == "OK") {
			t.Errorf("use %q: got %v; want it warm: %v", use, err, want == "OK")
		}
		if got := reasonOf(t, v, good()); got != want {
			t.Errorf("use %q: got %s; want %s", use, got, want)
		}
	}
}

// A federated trust domain is accepted only where it is listed, each with its own keys.
func TestFederatedDomainsAreListed(t *testing.T) {
	a := newAgent(t)
	a.change(func() { a.bundles = map[string][]byte{domain: keysOf(as), other: keysOf(others)} })
	source := a.source(t)
	theirs := svid(others, other+"/a", []string{testkit.Resource}, time.Minute)
	if got := reasonOf(t, validator(t, source.Issuer(domain)), theirs); got != accesstoken.IssuerUnknown {
		t.Errorf("not listed: got %s; want ISSUER_UNKNOWN", got)
	}
	v := validator(t, source.Issuer(domain), source.Issuer(other))
	for name, test := range map[string]struct {
		token string
		want  accesstoken.Reason
	}{
		"listed":                  {theirs, "OK"},
		"our own":                 {good(), "OK"},
		"theirs in our name":      {svid(others, workerID, []string{testkit.Resource}, time.Minute), accesstoken.KeyNotFound},
		"ours in their name":      {svid(as, other+"/a", []string{testkit.Resource}, time.Minute), accesstoken.KeyNotFound},
		"a third trust domain":    {svid(others, "spiffe://third.example/a", []string{testkit.Resource}, time.Minute), accesstoken.IssuerUnknown},
		"for another audience":    {svid(as, workerID, []string{"other"}, time.Minute), accesstoken.AudienceMismatch},
		"for no audience at all":  {svid(as, workerID, []string{}, time.Minute), accesstoken.ClaimInvalid},
		"for an hour and a bit":   {svid(as, workerID, []string{testkit.Resource}, time.Hour+time.Second), accesstoken.ClaimInvalid},
		"of the trust domain":     {svid(as, domain, []string{testkit.Resource}, time.Minute), accesstoken.IssuerUnknown},
		"of a workload elsewhere": {svid(as, "spiffe://example.org.evil/a", []string{testkit.Resource}, time.Minute), accesstoken.IssuerUnknown},
	} {
		if got := reasonOf(t, v, test.token); got != test.want {
			t.Errorf("%s: got %s; want %s", name, got, test.want)
		}
	}
}

// While the agent is away, its last bundle counts, and no request waits. When it is back,
// its news count.
func TestAnAgentRestarts(t *testing.T) {
	a := newAgent(t)
	v := validator(t, a.source(t).Issuer(domain))
	token := good()
	a.stop()
	for range 100 {
		if got := reasonOf(t, v, token); got != "OK" {
			t.Fatalf("the agent is away: got %s; want the last bundle", got)
		}
	}
	a.mu.Lock()
	a.bundles = map[string][]byte{domain: keysOf(others)}
	a.mu.Unlock()
	a.start(t)
	eventually(t, v, token, accesstoken.KeyNotFound)
}

// Before the first message nothing is known, and nothing is refused for good.
func TestAnAgentThatIsNotThereYet(t *testing.T) {
	a := newAgent(t)
	a.stop()
	v := unwarmed(t, a.source(t).Issuer(domain))
	if got := reasonOf(t, v, good()); got != accesstoken.KeysUnavailable {
		t.Errorf("got %s; want KEYS_UNAVAILABLE", got)
	}
	if v.Ready() == nil {
		t.Error("got ready; want it not to be")
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if err := v.Warm(gone); err == nil {
		t.Error("Warm: got nil; want that there are no keys")
	}
	a.start(t)
	if err := v.Warm(t.Context()); err != nil || v.Ready() != nil {
		t.Errorf("got %v, %v; want it ready", err, v.Ready())
	}
	if got := reasonOf(t, v, good()); got != "OK" {
		t.Errorf("got %s; want it accepted", got)
	}
}

// If the agent says that this workload may know nothing, nothing more is accepted; but
// no token is called bad for it.
func TestAWorkloadWithoutIdentityDropsItsKeys(t *testing.T) {
	a := newAgent(t)
	v := validator(t, a.source(t).Issuer(domain))
	token := good()
	a.change(func() { a.denied = true })
	eventually(t, v, token, accesstoken.KeysUnavailable)
	if err := v.Ready(); err == nil || !strings.Contains(err.Error(), "no identity for this workload") {
		t.Errorf("got %v; want the reason", err)
	}
	a.change(func() { a.denied = false })
	eventually(t, v, token, "OK")
}

// What is not a bundle replaces nothing, and spoils no other trust domain.
func TestMessagesThatAreNotBundles(t *testing.T) {
	a := newAgent(t)
	a.change(func() { a.bundles = map[string][]byte{domain: keysOf(as), other: keysOf(others)} })
	logged := &logBuffer{}
	source := testkit.Must(spiffeauth.New(spiffeauth.Config{Address: "unix://" + a.socket, Logger: slog.New(slog.NewTextHandler(logged, nil))}))
	defer source.Close()
	v := validator(t, source.Issuer(domain), source.Issuer(other))
	token, theirs := good(), svid(others, other+"/a", []string{testkit.Resource}, time.Minute)
	a.change(func() { a.bundles = map[string][]byte{domain: []byte("<html>"), other: keysOf(as)} })
	eventually(t, v, theirs, accesstoken.KeyNotFound) // the message has come
	if got := reasonOf(t, v, token); got != "OK" {
		t.Errorf("got %s; want the earlier bundle", got)
	}
	a.change(func() { a.bundles = nil })
	until(t, "a warning", func() bool { return strings.Contains(logged.String(), "no bundle at all") })
	if got := reasonOf(t, v, token); got != "OK" {
		t.Errorf("a message without bundles: got %s; want the earlier bundle", got)
	}
	a.change(func() { a.bundles = map[string][]byte{domain: keysOf(others), other: keysOf(others)} })
	eventually(t, v, token, accesstoken.KeyNotFound)
}

// After UsableFor, what the last bundle says is no longer known.
func TestABundleEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bundle, err := jwks.ReadWorkloadBundle(keysOf(as))
		if err != nil {
			t.Fatal(err)
		}
		source, fail := spiffeauth.NewKeys(domain, bundle, time.Hour)
		kid := as.Keys()[0].Marshal().KID
		alg := as.Keys()[0].Marshal().ALG.String()
		keys := func() int {
			found, _, err := source.Keys(t.Context(), kid, alg)
			if (err == nil) != (len(found) == 1) {
				t.Errorf("got %d keys, %v; want a key or an error", len(found), err)
			}
			return len(found)
		}
		time.Sleep(48 * time.Hour) // the agent has nothing new to say
		if keys() != 1 {
			t.Error("while the agent is there: got no key; want it")
		}
		fail(errors.New("away"))
		time.Sleep(time.Hour - time.Nanosecond)
		fail(errors.New("still away")) // which must not move the end
		if keys() != 1 {
			t.Error("before the end: got no key; want it")
		}
		time.Sleep(time.Nanosecond)
		if keys() != 0 {
			t.Error("at the end: got a key; want none")
		}
	})
}

// A trust domain that is asked for while the agent is away gets its bundle no longer than
// those that were there before.
func TestABundleEndsForLateIssuersToo(t *testing.T) {
	for name, away := range map[string]func(*spiffeauth.Source){
		"the stream ends":       func(s *spiffeauth.Source) { s.Lose(errors.New("away")) },
		"an empty message came": func(s *spiffeauth.Source) { s.Receive(nil) },
	} {
		synctest.Test(t, func(t *testing.T) {
			source := spiffeauth.NewSourceOf(nil)
			source.Receive(map[string][]byte{domain: keysOf(as)})
			away(source)
			time.Sleep(30 * time.Minute)
			away(source)
			key := as.Keys()[0].Marshal()
			late := source.Issuer(domain).Keys
			for _, want := range []int{1, 0} {
				found, _, err := late.Keys(t.Context(), key.KID, key.ALG.String())
				if len(found) != want || (err == nil) != (want == 1) {
					t.Errorf("%s: got %d keys, %v; want %d", name, len(found), err, want)
				}
				time.Sleep(30 * time.Minute)
			}
			source.Receive(map[string][]byte{domain: keysOf(as)})
			if found, _, err := late.Keys(t.Context(), key.KID, key.ALG.String()); len(found) != 1 {
				t.Errorf("%s: the agent is back: got %v; want the key", name, err)
			}
		})
	}
}

// A logBuffer is a buffer for a logger.
type logBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// An outage is one line, however long it is.
func TestTheOperatorIsToldOnce(t *testing.T) {
	a, logged := newAgent(t), &logBuffer{}
	s, err := spiffeauth.New(spiffeauth.Config{Address: "unix://" + a.socket, Logger: slog.New(slog.NewTextHandler(logged, nil))})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	v := validator(t, s.Issuer(domain))
	a.change(func() { a.denied = true })
	eventually(t, v, good(), accesstoken.KeysUnavailable)
	until(t, "more attempts", func() bool {
		a.mu.Lock()
		defer a.mu.Unlock()
		return a.streams > 3
	})
	a.change(func() { a.denied = false })
	eventually(t, v, good(), "OK")
	if got := logged.String(); strings.Count(got, "no connection to the Workload API") != 1 || strings.Count(got, "sends bundles") != 2 {
		t.Errorf("got the log\n%s\nwant one line for the outage, and one for each end of it", got)
	}
}

func TestTheFaultsOfAConfig(t *testing.T) {
	t.Setenv("SPIFFE_ENDPOINT_SOCKET", "")
	for _, config := range []spiffeauth.Config{
		{}, {Address: "/run/agent.sock"}, {Address: "https://agent.example"}, {Address: "tcp://agent.example:80"}, {Address: "unix:///a", UsableFor: -1},
		{Address: "unix:///a", UsableFor: 8 * 24 * time.Hour},
	} {
		if s, err := spiffeauth.New(config); err == nil || s != nil {
			t.Errorf("%+v: got %v, %v; want a fault", config, s, err)
		}
	}
	t.Setenv("SPIFFE_ENDPOINT_SOCKET", "unix:///nowhere/agent.sock")
	s, err := spiffeauth.New(spiffeauth.Config{Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"", "example.org", "spiffe://Example.org", "spiffe://example.org/a", "https://example.org"} {
		if _, err := accesstoken.NewValidator(accesstoken.Config{Resource: "a", Issuers: []accesstoken.Issuer{s.Issuer(name)}}); err == nil {
			t.Errorf("%q: got nil; want a fault", name)
		}
	}
	issuer := s.Issuer(domain)
	if s.Issuer(domain).Keys != issuer.Keys {
		t.Error("got two sources for one trust domain; want one, so that SetIssuers sees no change")
	}
	if err := errors.Join(s.Close(), s.Close()); status.Code(err) != codes.OK && err != nil {
		t.Logf("closed twice: %v", err)
	}
	if _, _, err := issuer.Keys.Keys(t.Context(), "a", "ES256"); fmt.Sprint(err) != "spiffeauth: the source is closed" {
		t.Errorf("got %v; want that the source is closed", err)
	}
}
