package main

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/lestrrat-go/httprc/v3"
	"github.com/lestrrat-go/jwx/v3/jwk"
)

func TestMain(m *testing.M) {
	slog.SetDefault(slog.New(slog.DiscardHandler))
	os.Exit(m.Run())
}

// The comparison is fair only if all do the same work.
func TestTheImplementationsAgree(t *testing.T) {
	for _, i := range implementations {
		for _, fresh := range []time.Duration{0, short} {
			t.Run(fmt.Sprintf("%s, freshness %v", i.name, fresh), func(t *testing.T) {
				trial := newTestTrial(t, i, fresh)
				v, err := trial.warm(0)
				if err != nil {
					t.Fatal(err)
				}
				good := trial.now.sign(nil)
				if err := v.verify(t.Context(), good); err != nil {
					t.Errorf("a good token: got %v; want nil", err)
				}
				for name, token := range badTokens(trial, good) {
					if err := v.verify(t.Context(), token); err == nil {
						t.Errorf("%s: got nil; want an error", name)
					}
				}
			})
		}
	}
}

func badTokens(t *trial, good string) map[string]string {
	other := newKey(t.now.kid)
	unknown := slices.Collect(t.now.forgeries(1))[0]
	payload := strings.Split(good, ".")[1]
	return map[string]string{
		"a bad signature":    other.sign(nil),
		"an unknown kid":     unknown,
		"an unpublished key": t.next.sign(nil),
		"alg none":           base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none","typ":"at+jwt"}`)) + "." + payload + ".",
		"expired":            t.now.sign(jwt.MapClaims{"exp": time.Now().Add(-time.Hour).Unix()}),
		"another audience":   t.now.sign(jwt.MapClaims{"aud": "https://other.example.com"}),
		"another issuer":     t.now.sign(jwt.MapClaims{"iss": "https://other.example.com"}),
	}
}

func newTestTrial(t *testing.T, i implementation, fresh time.Duration) *trial {
	t.Helper()
	trial, err := newTrial(t.Context(), i, fresh)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(trial.close)
	return trial
}

func TestWhoTellsAnOutageFromABadTokenTellsItRight(t *testing.T) {
	tellers := 0
	for _, i := range implementations {
		warm := newTestTrial(t, i, 0)
		v, err := warm.warm(0)
		if err != nil {
			t.Fatal(err)
		}
		told, ok := v.(teller)
		if !ok {
			continue
		}
		tellers++
		for name, token := range badTokens(warm, warm.now.sign(nil)) {
			if err := v.verify(t.Context(), token); told.unavailable(err) {
				t.Errorf("%s, %s: got %v, unavailable; want it to be the token's fault", i.name, name, err)
			}
		}
		cold := newTestTrial(t, i, 0)
		cold.server.say(unavailable)
		err = withoutKeys(t, cold).verify(t.Context(), cold.now.sign(nil))
		if !told.unavailable(err) {
			t.Errorf("%s, server down: got %v, the token's fault; want unavailable", i.name, err)
		}
	}
	if tellers != 3 {
		t.Errorf("got %d that tell; want 3", tellers)
	}
}

// withoutKeys makes a verifier without keys. The constructor of jwx would wait for keys.
func withoutKeys(t *testing.T, cold *trial) verifier {
	t.Helper()
	if cold.name == "jwx" {
		cache, err := jwk.NewCache(cold.life, httprc.NewClient())
		if err != nil {
			t.Fatal(err)
		}
		return jwx{cache, cold.place}
	}
	v, err := cold.open()
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestAColdStart(t *testing.T) {
	found, err := coldStart(newTestTrial(t, implementations[0], 0))
	if err != nil || found.asked != 1000 || found.failed != 0 || found.fetches != 1 {
		t.Errorf("got %v, %v; want 1,000 good answers and 1 fetch", found, err)
	}
}

func TestTheServerSaysWhatItIsTold(t *testing.T) {
	s, err := newServer()
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	defer http.DefaultClient.CloseIdleConnections()
	for n, want := range []answer{{status: 200, body: "keys"}, unavailable} {
		s.say(want)
		response, err := http.Get(s.url)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(response.Body)
		response.Body.Close()
		if response.StatusCode != want.status || string(body) != want.body {
			t.Errorf("got %d %q; want %d %q", response.StatusCode, body, want.status, want.body)
		}
		if got := s.fetches(); got != n+1 {
			t.Errorf("got %d fetches; want %d", got, n+1)
		}
	}
}

type verifierFunc func(ctx context.Context, token string) error

func (f verifierFunc) verify(ctx context.Context, token string) error { return f(ctx, token) }

var errBad = errors.New("bad token")

func TestALoadKeepsItsRateWhateverTheAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := verifierFunc(func(_ context.Context, token string) error {
			switch token {
			case "slow":
				time.Sleep(deadline + time.Second)
			case "bad":
				return errBad
			}
			return nil
		})
		got := load(t.Context(), v, 2, slices.Values([]string{"slow", "bad", "good"}))
		want := []request{
			{0, 11 * time.Second, errTooLate},
			{500 * time.Millisecond, 500 * time.Millisecond, errBad},
			{time.Second, time.Second, nil},
		}
		for n := range want {
			if *got[n] != want[n] {
				t.Errorf("request %d: got %v; want %v", n, *got[n], want[n])
			}
		}
	})
}

func TestAStartingVerifier(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, c := range []struct {
			name          string
			takes         time.Duration
			err           error
			before, after string
		}{
			{"at once", 0, nil, "", ""},
			{"too slow", time.Second, nil, "constructor blocks", ""},
			{"failing", 0, errBad, "constructor fails", "constructor fails"},
		} {
			accept := verifierFunc(func(context.Context, string) error { return nil })
			s := start(&trial{implementation: implementation{open: func(context.Context, place) (verifier, error) {
				time.Sleep(c.takes)
				if c.err != nil {
					return nil, c.err
				}
				return accept, nil
			}}})
			if got, err := s.state(), s.verify(t.Context(), ""); got != c.before || (err == nil) != (got == "") {
				t.Errorf("%s, at first: got %q, %v; want %q", c.name, got, err, c.before)
			}
			<-s.made
			if got, err := s.state(), s.verify(t.Context(), ""); got != c.after || (err == nil) != (got == "") {
				t.Errorf("%s, made: got %q, %v; want %q", c.name, got, err, c.after)
			}
		}
	})
}

func TestFindingsReadWell(t *testing.T) {
	for _, c := range []struct {
		finding finding
		want    string
	}{
		{finding{asked: 1000, fetches: 1}, "0 of 1,000 failed, 1 fetch"},
		{finding{asked: 1000, tells: true, fetches: 0}, "0 of 1,000 failed, 0 fetches"},
		{finding{asked: 49, failed: 25, fetches: 1234567, notes: []string{"", "slowest 3 ms"}}, "**25 of 49 failed**, slowest 3 ms, 1,234,567 fetches"},
		{finding{asked: 49, failed: 25, tells: true}, "**25 of 49 failed** (none as unavailable), 0 fetches"},
		{finding{asked: 49, failed: 25, tells: true, unavailable: 24}, "**25 of 49 failed** (24 as unavailable), 0 fetches"},
		{finding{asked: 49, failed: 25, tells: true, unavailable: 25}, "**25 of 49 failed** (all as unavailable), 0 fetches"},
	} {
		if got := c.finding.String(); got != c.want {
			t.Errorf("got %q; want %q", got, c.want)
		}
	}
}

func TestWhenAndHowFast(t *testing.T) {
	ms := time.Millisecond
	requests := []*request{
		{sent: 0, done: 400 * ms},
		{sent: 100 * ms, done: 101 * ms, err: errBad},
		{sent: 200 * ms, done: 250 * ms},
		{sent: 3000 * ms, done: 3002 * ms, err: errBad},
	}
	for _, c := range []struct{ name, got, want string }{
		{"first success", recovery(requests, 50*ms), "first success after 200 ms"},
		{"no success", recovery([]*request{requests[1], requests[3]}, time.Second), "no success in 2 s"},
		{"latency", latency(requests), "p50 50 ms, p99 400 ms, slowest 400 ms"},
	} {
		if c.got != c.want {
			t.Errorf("%s: got %q; want %q", c.name, c.got, c.want)
		}
	}
}

func TestTheTableRenders(t *testing.T) {
	rows, columns := scenarios[6:9], implementations[:2]
	cells := [][]string{{"a1", "a2"}, {"b1", "b2"}, {"c1", "c2"}}
	text := table{rows: rows, columns: columns, cells: cells}.markdown()
	for _, want := range []string{
		"\n| | accesstoken | keyfunc |\n|---|---|---|\n| **boot**: ", " | a1 | a2 |\n| **outage**: ", " *(freshness 2 s)* | b1 | b2 |\n",
		"side by side", "- **keyfunc**: github.com/MicahParks/keyfunc/v3 v3.",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("got %s\nwant it to contain %q", text, want)
		}
	}
	if strings.Contains(text, "jwx") {
		t.Errorf("got %s\nwant nothing of jwx, which was not chosen", text)
	}
}

func TestChoosing(t *testing.T) {
	for list, want := range map[string]string{"": names(implementations), "jwx": "jwx", "jwx,accesstoken": "accesstoken, jwx"} {
		got, err := choose(implementations, list)
		if err != nil || names(got) != want {
			t.Errorf("%q: got %s, %v; want %s", list, names(got), err, want)
		}
	}
	if _, err := choose(scenarios, "cold,warm"); err == nil || !strings.Contains(err.Error(), `"warm"`) {
		t.Errorf(`got %v; want an error that names "warm"`, err)
	}
}

func TestTheTableIsReplacedInItsFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "README.md")
	write := func(content string) {
		if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("above\n" + begin + "\nold\n" + end + "\nbelow\n")
	if err := replace(file, "new\n"); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(file)
	if want := "above\n" + begin + "\n\nnew\n\n" + end + "\nbelow\n"; err != nil || string(got) != want {
		t.Errorf("got %q, %v; want %q", got, err, want)
	}
	write("no marks")
	if err := replace(file, "new"); err == nil {
		t.Error("no marks: got nil; want an error")
	}
}

func TestConnectionsAreForgottenAndClosed(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(*server)
		want string
	}{
		{"nothing", func(*server) {}, "answered"},
		{"forget", (*server).forget, "no answer"},
		{"hang up", (*server).hangUp, "closed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, err := newServer()
			if err != nil {
				t.Fatal(err)
			}
			defer s.close()
			conn, err := net.Dial("tcp", s.http.Addr)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			get := func() error {
				_ = conn.SetDeadline(time.Now().Add(200 * time.Millisecond))
				fmt.Fprint(conn, "GET /jwks HTTP/1.1\r\nHost: x\r\n\r\n")
				_, err := conn.Read(make([]byte, 4096))
				return err
			}
			if err := get(); err != nil {
				t.Fatalf("the first request: got %v; want an answer", err)
			}
			c.do(s)
			got := "closed"
			switch err := get(); {
			case err == nil:
				got = "answered"
			case errors.Is(err, os.ErrDeadlineExceeded):
				got = "no answer"
			}
			if got != c.want {
				t.Errorf("the second request: got %s; want %s", got, c.want)
			}
			if res, err := http.Get(s.url); err != nil || res.StatusCode != http.StatusOK {
				t.Errorf("another connection: got %v; want an answer", err)
			}
		})
	}
}

func TestAForgedTokenEndsTheRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, run := range []func(*trial) (finding, error){flood, rotationAfterFlood} {
			gullible := verifierFunc(func(context.Context, string) error { return nil })
			if _, err := run(newInMemoryTrial(t, gullible, 0)); err == nil || !strings.Contains(err.Error(), "forged") {
				t.Errorf("got %v; want an error about a forged token", err)
			}
		}
	})
}

// A verifier that fetches for each request, and keeps nothing, has one possible
// result in each scenario.
func TestTheScenariosDoWhatTheySay(t *testing.T) {
	want := map[string][]string{
		"cold":                 {"0 of 1,000 failed, slowest 50 ms, 1,000 fetches"},
		"cancel":               {"0 of 49 failed, slowest 200 ms, 50 fetches"},
		"flood":                {"0 of 200 failed, 10,200 fetches"},
		"rotation":             {"0 of 1,000 failed, first success after 50 ms, 1,000 fetches"},
		"rotation-after-flood": {"0 of 2,000 failed, first success after 50 ms, 3,000 fetches"},
		"rotation-in-flood":    {"0 of 2,000 failed, first success after 50 ms, 43,000 fetches"},
		// One request comes at the moment when the server is back.
		"boot": {
			"**400 of 1,200 failed** (all as unavailable), first success after 0.00 ms, 1,200 fetches",
			"**401 of 1,200 failed** (all as unavailable), first success after 5 ms, 1,200 fetches",
		},
		"outage":     {"**2,000 of 2,000 failed** (all as unavailable), 2,400 fetches"},
		"junk-html":  {"**1,200 of 1,200 failed** (none as unavailable), 1,600 fetches"},
		"junk-empty": {"**1,200 of 1,200 failed** (none as unavailable), 1,600 fetches"},
		"junk-error": {"**1,200 of 1,200 failed** (none as unavailable), 1,600 fetches"},
		"slow":       {"0 of 6,400 failed, p50 4.0 s, p99 4.0 s, slowest 4.0 s, 6,400 fetches"},

		"two-invented-kids":    {"0 of 2,000 failed, first success after 50 ms, 2,002 fetches"},
		"rotation-without-kid": {"0 of 1,000 failed, first success after 50 ms, 1,000 fetches"},
		"lagging-node":         {"**2,000 of 4,000 failed** (none as unavailable), 4,000 fetches"},
		"connection-forgotten": {"0 of 2,000 failed, first success after 50 ms, 2,000 fetches"},
		"idle-closed":          {"0 of 1,000 failed, first success after 50 ms, 1,000 fetches"},
	}
	for _, s := range scenarios {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				forgetful := &forgetful{}
				trial := newInMemoryTrial(t, forgetful, s.fresh)
				forgetful.server = trial.server
				found, err := s.run(trial)
				if err != nil || !slices.Contains(want[s.name], found.String()) {
					t.Errorf("got %q, %v; want %q", found, err, want[s.name])
				}
			})
		})
	}
}

// newInMemoryTrial uses no sockets.
func newInMemoryTrial(t *testing.T, v verifier, fresh time.Duration) *trial {
	return &trial{
		implementation: implementation{open: func(context.Context, place) (verifier, error) { return v, nil }},
		place:          place{fresh: fresh},
		server:         &server{},
		now:            newKey("now"),
		next:           newKey("next"),
		life:           t.Context(),
	}
}

// forgetful checks only the kid.
type forgetful struct{ server *server }

func (f *forgetful) verify(_ context.Context, token string) error {
	answer := f.server.ask()
	time.Sleep(answer.delay)
	if answer.status != 0 {
		return errNoSet
	}
	header, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[0])
	if err != nil {
		return err
	}
	for _, kid := range []string{`"kid":"now"`, `"kid":"next"`} {
		if strings.Contains(string(header), kid) && strings.Contains(answer.body, kid) {
			return nil
		}
	}
	return errBad
}

func (*forgetful) unavailable(err error) bool { return errors.Is(err, errNoSet) }
