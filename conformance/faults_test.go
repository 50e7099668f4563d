package conformance

import (
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/accesstoken/accesstoken"
)

// TestNoFaultLetsAnybodyIn is OPS-02: if a server that the library asks fails in any
// way, no request passes, and no good token is called bad.
func TestNoFaultLetsAnybodyIn(t *testing.T) {
	opaque := canary + "-opaque"
	introspected := setup{Issuer: issuerSetup{Introspection: true}}
	both := setup{Issuer: issuerSetup{Introspection: true, AlwaysIntrospect: true}}
	for _, point := range []struct {
		name   string
		spoil  func(fault string) state
		config setup
		token  recipe
	}{
		{"metadata", func(fault string) state { return state{Metadata: fault} }, setup{}, recipe{}},
		{"keys", func(fault string) state { return state{JWKS: fault} }, setup{}, recipe{}},
		{"introspection", func(fault string) state { return state{Introspection: fault} }, introspected, recipe{Literal: &opaque, Answer: goodAnswer()}},
		{"introspection of a JWT", func(fault string) state { return state{Introspection: fault} }, both, recipe{Answer: goodAnswer()}},
	} {
		for _, fault := range everyFault() {
			point.config.HTTPTimeout = "100ms"
			t.Run(point.name+" "+fault, func(t *testing.T) {
				s := earth.play(t, vector{Config: point.config, Issuer: point.spoil(fault)})
				_, err := s.validator.Validate(t.Context(), accesstoken.Bearer(earth.token(t, point.token)))
				var refused *accesstoken.Error
				if !errors.As(err, &refused) || refused.HTTPStatus() < http.StatusInternalServerError {
					t.Errorf("got %v; want a refusal that does not blame the token", err)
				}
			})
		}
	}
}

// everyFault are the faults of the cases, and more answers that are not usable.
func everyFault() []string {
	all := slices.Sorted(maps.Keys(faults))
	for _, status := range []int{204, 205, 300, 301, 302, 307, 308, 400, 401, 403, 404, 410, 418, 429, 500, 502, 503, 504} {
		all = append(all, fmt.Sprint(status))
	}
	for _, body := range []string{"", "{}", "null", "true", "[]", `""`, "0", `{"active":"true"}`, `{"active":1}`, `{"active":true`, `{"keys":[]}`, `{"keys":null}`,
		`{"keys":[{}]}`, `{"issuer":"${other}","jwks_uri":"${other}/jwks"}`, `{"issuer":null}`, `{"error":"server_error"}`, "\xff", "<html>"} {
		all = append(all, "body:"+body)
	}
	return all
}

// TestBadTokensCannotBeToldApart is OPS-13: the answer is the same, whichever check
// fails.
func TestBadTokensCannotBeToldApart(t *testing.T) {
	wire := wireReasons(t)
	first, played := map[string]string{}, map[string]bool{}
	reasons := map[accesstoken.Reason]bool{}
	for _, g := range groups(t) {
		for _, v := range g.vectors {
			kind := v.ID + string(v.Reason)
			if v.Only != "" || v.Lines != nil || v.Config.DPoP != nil || v.Config.Metadata || wire[v.Reason] != string(accesstoken.TokenInvalid) || played[kind] {
				continue
			}
			played[kind], reasons[v.Reason] = true, true
			t.Run(v.ID+" "+v.Name, func(t *testing.T) { wantSameAnswer(t, v, first) })
		}
	}
	for reason, said := range wire {
		if said == string(accesstoken.TokenInvalid) && !reasons[reason] {
			t.Errorf("no case plays %s, which the wire does not tell apart", reason)
		}
	}
}

func wantSameAnswer(t *testing.T, v vector, first map[string]string) {
	t.Helper()
	s := earth.play(t, v)
	earth.set(t, s)
	token := earth.token(t, v.Token)
	for _, c := range earth.transports {
		if !v.goesOver(c) {
			continue
		}
		a := ask(t, c, v.request(t, earth, token, c))
		a.header.Del("Date")
		a.trailer.Del("grpc-status-details-bin") // a map, in any order; its message is compared
		text := fmt.Sprint(a.status, a.code, a.details, a.text())
		if first[c.name] == "" {
			first[c.name] = text
		}
		if text != first[c.name] {
			t.Errorf("%s: got %q; want %q as for other bad tokens", c.name, text, first[c.name])
		}
	}
}

// TestReasonsStayFew is OPS-14: reasons are labels of metrics, so a client must not be
// able to create new ones.
func TestReasonsStayFew(t *testing.T) {
	known := slices.Collect(maps.Values(reasons(t)))
	s := earth.play(t, vector{Issuer: state{Warm: true}})
	random := rand.New(rand.NewPCG(1, 2))
	heard := map[accesstoken.Reason]int{}
	for range 500 {
		_, err := s.validator.Validate(t.Context(), accesstoken.Bearer(spoilt(random, earth.token(t, madeUp(random)))))
		var refused *accesstoken.Error
		if !errors.As(err, &refused) {
			t.Fatalf("got %v; want a refusal", err)
		}
		if heard[refused.Reason]++; !slices.Contains(known, refused.Reason) || !slices.Contains(known, refused.Public().Reason) {
			t.Errorf("got the reasons %q, %q; want constants of this library", refused.Reason, refused.Public().Reason)
		}
	}
	if len(heard) < 4 || len(heard) > 12 {
		t.Errorf("got %v; want several reasons, and not many", heard)
	}
}

// madeUp returns a token with random texts.
func madeUp(random *rand.Rand) recipe {
	text := members(fmt.Sprintf(`{"x": "MADE_UP_%d"}`, random.Uint64()))["x"]
	changes := members("{}")
	changes[[]string{"iss", "aud", "nbf", "exp"}[random.IntN(4)]] = text
	if random.IntN(3) == 0 {
		header := members("{}")
		header[[]string{"alg", "kid", "typ", "crit"}[random.IntN(4)]] = text
		return recipe{Header: header, Claims: changes, Sign: "Ed25519"}
	}
	return recipe{Header: members(`{"alg": "Ed25519"}`), Claims: changes}
}

// spoilt changes a part of every second token.
func spoilt(random *rand.Rand, token string) string {
	if random.IntN(2) == 0 {
		return token
	}
	parts := strings.Split(token, ".")
	part := random.IntN(len(parts))
	junk := make([]byte, random.IntN(40))
	for i := range junk {
		junk[i] = byte(random.Uint32())
	}
	parts[part] = base64.RawURLEncoding.EncodeToString(junk)
	return strings.Join(parts, ".")
}
