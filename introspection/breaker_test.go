package introspection_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/accesstoken/accesstoken/introspection"
)

// leaving asks about a token and waits for no answer.
func leaving(t *testing.T, client *introspection.Client, token string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := client.Introspect(ctx, token); ctx.Err() == nil {
		t.Errorf("%s: got %v before the caller left", token, err)
	}
	synctest.Wait()
}

// What opens an endpoint's circuit the second time is what opens it the first time.
func TestAfterAnOutageOneFailureIsNoOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, transport := newFair(t, func(string) reply { return reply{body: goodBody} }, nil)
		knowing(t, client, 10)
		transport.set(func(string) reply { return reply{status: 503} })
		for i := range 5 {
			wantAnswer(t, client, fmt.Sprint("known ", i), "unknown")
		}
		transport.set(func(token string) reply {
			if strings.HasSuffix(token, "odd") || token == "known 8" {
				return reply{status: 503}
			}
			return reply{body: goodBody}
		})
		time.Sleep(time.Second)
		wantAnswer(t, client, "known 6", "active")
		wantAnswer(t, client, "stranger", "active")
		time.Sleep(time.Second)
		wantAnswer(t, client, "odd", "unknown")
		wantAnswer(t, client, "a new stranger", "active")
		time.Sleep(time.Second)
		wantAnswer(t, client, "known 8", "unknown")
		wantAnswer(t, client, "known 7", "active")
	})
}

// Two probes are under way when the first one's caller leaves. The second one fails,
// and the pause begins; what the first one meets later begins no other.
func TestAProbeOfAnEarlierPauseBeginsNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, transport := newFair(t, func(string) reply { return reply{status: 503} }, nil)
		for i := range 6 {
			wantAnswer(t, client, fmt.Sprint("token ", i), "unknown")
		}
		time.Sleep(time.Second)
		transport.set(func(token string) reply {
			if token == "late" {
				return reply{delay: 4 * time.Second, status: 503}
			}
			return reply{status: 503}
		})
		leaving(t, client, "late")
		wantAnswer(t, client, "token 8", "unknown")
		if got := transport.count("token"); got != 6 {
			t.Errorf("asked %d times; want 5, and the second probe", got)
		}
		time.Sleep(4 * time.Second) // the first one has failed
		transport.set(func(string) reply { return reply{body: goodBody} })
		wantAnswer(t, client, "token 9", "active")
	})
}

// A caller that leaves early gets the next one's question asked, but not without end.
func TestOfAPausesProbesAFewAreForNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, transport := newFair(t, func(string) reply { return reply{status: 503} }, nil)
		for i := range 6 {
			wantAnswer(t, client, fmt.Sprint("token ", i), "unknown")
		}
		time.Sleep(time.Second)
		transport.set(func(string) reply { return reply{delay: 4 * time.Second, body: goodBody} })
		for i := range 10 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
			_, _ = client.Introspect(ctx, fmt.Sprint("probe ", i))
			cancel()
			synctest.Wait()
		}
		if got := transport.count("probe"); got != 5 {
			t.Errorf("got %d probes; want 5: 4 for nobody, and the one that holds up others", got)
		}
		time.Sleep(4 * time.Second)
	})
}

func TestAPauseThatTheServerNamesIsKeptForAllOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, transport := newFair(t, func(string) reply { return reply{status: 503, after: "20"} }, nil)
		wantAnswer(t, client, "token a", "unknown")
		wantAnswer(t, client, "token b", "unknown")
		_, err := client.Introspect(t.Context(), "token c")
		if got := retryAfter(err); got != 20*time.Second {
			t.Errorf("RetryAfter: got %v; want the server's 20s", got)
		}
		time.Sleep(20*time.Second - time.Millisecond)
		wantAnswer(t, client, "token c", "unknown")
		if got := transport.count("token"); got != 2 {
			t.Errorf("asked %d times; want 2", got)
		}
		transport.set(func(string) reply { return reply{body: goodBody} })
		time.Sleep(time.Millisecond)
		wantAnswer(t, client, "token c", "active")
	})
}

// 429 is about the one that asks, and others' answers say nothing of it.
func TestATokenThatIsLimitedComesBackWhenTheServerSaid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, transport := newFair(t, func(string) reply { return reply{status: 429, after: "20"} }, nil)
		wantAnswer(t, client, "limited", "unknown")
		transport.set(func(string) reply { return reply{body: goodBody} })
		time.Sleep(time.Second)
		wantAnswer(t, client, "other", "active")
		wantAnswer(t, client, "limited", "unknown")
		time.Sleep(19 * time.Second)
		wantAnswer(t, client, "limited", "active")
	})
}

// A failure that opened nothing is no pause, after which the next one would count more.
func TestATokenThatFailedOnceIsAskedAboutUntilItHasFailedInARow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, transport := newFair(t, func(token string) reply {
			if token == "odd" {
				return reply{status: 500}
			}
			return reply{body: goodBody}
		}, nil)
		wantAnswer(t, client, "odd", "unknown")
		time.Sleep(time.Second)
		wantAnswer(t, client, "other", "active")
		for range 10 {
			wantAnswer(t, client, "odd", "unknown")
		}
		if got := transport.count("odd"); got != 5 {
			t.Errorf("asked %d times; want 5", got)
		}
	})
}

// Five strangers' tokens in a row are enough for what tells of an outage, and after a
// second for what an invented token may bring about. A whole answer is no outage.
func TestWhichStatusesShutTheEndpointForStrangers(t *testing.T) {
	for _, test := range []struct {
		status      int
		atOnce, too bool // after a second
	}{
		{408, true, true}, {429, true, true}, {502, true, true}, {503, true, true}, {504, true, true},
		{500, false, true}, {501, false, true}, {505, false, true},
		{404, false, false}, {418, false, false}, {499, false, false},
	} {
		t.Run(fmt.Sprint(test.status), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, transport := newFair(t, func(string) reply { return reply{status: test.status} }, nil)
				for i := range 6 {
					wantAnswer(t, client, fmt.Sprint("early ", i), "unknown")
				}
				if got := transport.count("early") == 5; got != test.atOnce {
					t.Errorf("asked %d times; want it shut after 5: %v", transport.count("early"), test.atOnce)
				}
				time.Sleep(time.Second)
				for i := range 6 {
					wantAnswer(t, client, fmt.Sprint("late ", i), "unknown")
				}
				if got := transport.count("late") < 6; got != test.too {
					t.Errorf("asked %d times after a second; want it shut: %v", transport.count("late"), test.too)
				}
			})
		})
	}
}

// A caller leaves whose question was the probe of an earlier pause. Those of this pause
// go on one at a time.
func TestWhoLeavesAnEarlierPausesProbeLetsNoOtherThrough(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		delays := map[string]time.Duration{"slow": 2 * time.Second, "earlier": 4900 * time.Millisecond, "probe": 3 * time.Second}
		client, transport := newFair(t, func(token string) reply {
			if delay := delays[token]; delay > 0 {
				return reply{body: goodBody, delay: delay}
			}
			return reply{status: 503}
		}, nil)
		fail := func(name string) {
			for i := range 5 {
				wantAnswer(t, client, fmt.Sprint(name, i), "unknown")
			}
		}
		go wantAnswer(t, client, "slow", "active")
		synctest.Wait()
		fail("first ")
		time.Sleep(500 * time.Millisecond)
		earlier, leave := context.WithCancel(t.Context())
		go func() { _, _ = client.Introspect(earlier, "earlier") }()
		time.Sleep(2 * time.Second) // slow has an answer by now, which ended the pause
		fail("second ")
		time.Sleep(500 * time.Millisecond)
		go wantAnswer(t, client, "probe", "active")
		synctest.Wait()
		leave()
		synctest.Wait()
		wantAnswer(t, client, "another", "unknown")
		if got, probes := transport.count("another"), transport.count("probe"); got != 0 || probes != 1 {
			t.Errorf("asked %d times beside %d probes; want 0 beside 1", got, probes)
		}
		time.Sleep(5 * time.Second)
	})
}

// Whatever a probe fails with, it has not shown that the endpoint is well.
func TestAProbeThatIsForbiddenIsAFailedOne(t *testing.T) {
	for _, name := range []string{"known", "stranger"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, transport := newFair(t, func(string) reply { return reply{body: goodBody} }, nil)
				knowing(t, client, 10)
				transport.set(func(string) reply { return reply{status: 503} })
				time.Sleep(time.Millisecond)
				for i := range 5 {
					wantAnswer(t, client, fmt.Sprint(name, " ", i), "unknown")
				}
				transport.set(func(string) reply { return reply{status: 403} })
				time.Sleep(time.Second)
				before := transport.count(name)
				wantAnswer(t, client, name+" 6", "unknown")
				wantAnswer(t, client, name+" 7", "unknown")
				if got := transport.count(name) - before; got != 1 {
					t.Errorf("asked %d times; want 1, the probe", got)
				}
			})
		})
	}
}

// What shows who we are cannot be had, whatever the token.
func TestWhatFailsOnOurSideShutsTheEndpointForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sources, isDown := 0, false
		client, transport := newFair(t, func(string) reply { return reply{body: goodBody} }, bearer(func(context.Context) (string, error) {
			if sources++; isDown {
				return "", errors.New("down")
			}
			return "token", nil
		}))
		knowing(t, client, 1)
		isDown = true
		time.Sleep(time.Hour) // no token of ours is good for that long
		before := sources
		for i := range 10 {
			wantAnswer(t, client, fmt.Sprint("stranger ", i), "unknown")
		}
		wantAnswer(t, client, "known 0", "unknown")
		if got := sources - before; got != 5 || transport.count("stranger") != 0 {
			t.Errorf("the source was asked %d times, and the endpoint %d; want 5, and 0", got, transport.count("stranger"))
		}
	})
}

// The pause after refusals ends as it was begun, whatever else is refused meanwhile.
func TestARefusalOfATokenThatWasActiveDoesNotProlongTheStrangersPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, transport := newFair(t, func(string) reply { return reply{body: goodBody} }, nil)
		knowing(t, client, 1)
		transport.set(func(string) reply { return reply{status: 403} })
		time.Sleep(time.Minute) // the last answer is long ago
		for i := range 6 {
			wantAnswer(t, client, fmt.Sprint("stranger ", i), "unknown")
		}
		time.Sleep(3 * time.Second)
		wantAnswer(t, client, "known 0", "unknown")
		time.Sleep(2 * time.Second)
		wantAnswer(t, client, "stranger 7", "unknown")
		if strangers, known := transport.count("stranger"), transport.count("known"); strangers != 6 || known != 2 {
			t.Errorf("strangers: asked %d times, known: %d; want 5 and a probe, and 2", strangers, known)
		}
	})
}

func TestATokensFailuresCountInARowOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, transport := newFair(t, nil, nil)
		for _, says := range []reply{{status: 500}, {status: 500}, {status: 500}, {status: 500}, {body: goodBody}, {status: 500}, {status: 500}, {status: 500}, {status: 500}, {status: 500}, {status: 500}} {
			transport.set(func(string) reply { return says })
			_, _ = client.Introspect(t.Context(), "odd")
			time.Sleep(time.Millisecond)
		}
		if got := transport.count("odd"); got != 10 {
			t.Errorf("asked %d times; want 10: four failures, an answer, and five failures in a row", got)
		}
	})
}

func TestAfterATokensPauseOneFailureIsEnough(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, transport := newFair(t, func(string) reply { return reply{status: 503, after: "1"} }, nil)
		wantAnswer(t, client, "odd", "unknown")
		transport.set(func(string) reply { return reply{status: 503} })
		time.Sleep(time.Second)
		for range 5 {
			wantAnswer(t, client, "odd", "unknown")
		}
		if got := transport.count("odd"); got != 2 {
			t.Errorf("asked %d times; want 2", got)
		}
	})
}

func TestATokenThatIsForbiddenIsLeftAloneAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, transport := newFair(t, func(string) reply { return reply{status: 403} }, nil)
		for range 4 {
			wantAnswer(t, client, "odd", "unknown")
			time.Sleep(time.Second)
		}
		if got := transport.count("odd"); got != 1 {
			t.Errorf("asked %d times in four seconds; want 1", got)
		}
	})
}
