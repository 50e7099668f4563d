package accesstoken_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/accesstokentest"
)

// claimsOf validates a token with these claims.
func claimsOf(t testing.TB, as *accesstokentest.Server, claims accesstokentest.Claims) accesstoken.Claims {
	t.Helper()
	found, err := newValidator(t, as, nil).Validate(t.Context(), accesstoken.Bearer(as.Token(claims)))
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestClaimsSayWhoIsCalling(t *testing.T) {
	as := accesstokentest.NewServer(t)
	issued := time.Now().Truncate(time.Second)
	claims := claimsOf(t, as, accesstokentest.Claims{
		"sub": "alice", "client_id": "printer", "jti": "1", "scope": "a b", "aud": []string{"x", resource},
		"iat": issued.Unix(), "exp": issued.Add(time.Hour).Unix(),
	})
	if claims.Issuer != as.URL || claims.Subject != "alice" || claims.ClientID != "printer" || claims.ID != "1" {
		t.Errorf("got %s, %s, %s, %s; want alice with printer", claims.Issuer, claims.Subject, claims.ClientID, claims.ID)
	}
	if !claims.IssuedAt.Equal(issued) || !claims.Expiry.Equal(issued.Add(time.Hour)) {
		t.Errorf("got %v to %v; want %v and an hour", claims.IssuedAt, claims.Expiry, issued)
	}
	if got := claims.Scopes().String(); got != "a b" {
		t.Errorf("got scopes %q; want %q", got, "a b")
	}
	if got := strings.Join(claims.Audience(), " "); got != "x "+resource {
		t.Errorf("got audience %q; want both", got)
	}
}

func TestNoHandlerReachesAnotherRequestThroughClaims(t *testing.T) {
	as := accesstokentest.NewServer(t)
	v := newValidator(t, as, nil)
	credentials := accesstoken.Bearer(as.Token(nil))
	first, err := v.Validate(t.Context(), credentials)
	if err != nil {
		t.Fatal(err)
	}
	first.Audience()[0] = "poisoned"
	first.Subject = "poisoned"
	second, err := v.Validate(t.Context(), credentials)
	if err != nil || second.Audience()[0] != resource || second.Subject == "poisoned" {
		t.Errorf("got %q, %q, %v; want another request undisturbed", second.Subject, second.Audience(), err)
	}
}

func TestDecodeKeepsNamesAndNumbersExact(t *testing.T) {
	as := accesstokentest.NewServer(t)
	claims := claimsOf(t, as, accesstokentest.Claims{"account": json.Number("9007199254740993"), "Tenant": "upper", "nested": map[string]any{"n": json.Number("1e400")}})

	var typed struct {
		Account int64  `json:"account"`
		Tenant  string `json:"tenant"`
	}
	if err := claims.Decode(&typed); err != nil || typed.Account != 9007199254740993 || typed.Tenant != "" {
		t.Errorf("got %+v, %v; want the exact number, and no tenant since only Tenant is there", typed, err)
	}
	var all map[string]any
	if err := claims.Decode(&all); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprintf("%T %v", all["account"], all["account"]); got != "json.Number 9007199254740993" {
		t.Errorf("got %s; want the exact number", got)
	}
	if got := fmt.Sprint(all["nested"]); got != "map[n:1e400]" {
		t.Errorf("got %s; want the exact number in an inner object", got)
	}
}

func TestDecodeKeepsUnknownMembersExact(t *testing.T) {
	as := accesstokentest.NewServer(t)
	claims := claimsOf(t, as, accesstokentest.Claims{"plan": "gold", "Plan": "upper", "account": json.Number("9007199254740993"), "deep": map[string]any{"n": json.Number("0.10")}})
	var values struct {
		Plan string         `json:"plan"`
		Rest map[string]any `json:",embed"`
	}
	if err := claims.Decode(&values); err != nil || values.Plan != "gold" {
		t.Fatalf("got %+v, %v; want gold", values, err)
	}
	if got := fmt.Sprintf("%T %v %v %v", values.Rest["account"], values.Rest["account"], values.Rest["deep"], values.Rest["Plan"]); got != "json.Number 9007199254740993 map[n:0.10] upper" {
		t.Errorf("got %s; want exact numbers, and Plan, which is not plan", got)
	}
	if _, twice := values.Rest["plan"]; twice {
		t.Error("got plan among the unknown; want only what has no field")
	}
	var raw struct {
		Plan string                     `json:"plan"`
		Rest map[string]json.RawMessage `json:",embed"`
	}
	if err := claims.Decode(&raw); err != nil || string(raw.Rest["deep"]) != `{"n":0.10}` || string(raw.Rest["account"]) != "9007199254740993" {
		t.Errorf("got %s, %v; want the members as they stand", raw.Rest, err)
	}
}

func TestDecodeErrorsSayWhereAndNotWhat(t *testing.T) {
	as := accesstokentest.NewServer(t)
	claims := claimsOf(t, as, accesstokentest.Claims{"plan": "canary"})
	var wrong struct {
		Plan int `json:"plan"`
	}
	err := claims.Decode(&wrong)
	if err == nil || strings.Contains(err.Error(), "canary") || !strings.Contains(err.Error(), `"plan": a JSON string`) {
		t.Errorf("got %v; want an error that names /plan and not its value", err)
	}
	if err := claims.Decode(nil); err == nil {
		t.Error("Decode(nil): got nil; want an error")
	}
	if err := (accesstoken.Claims{}).Decode(&wrong); err == nil {
		t.Error("Decode of claims without a token: got nil; want an error")
	}
}

func TestDecodeOfAnIntrospectedToken(t *testing.T) {
	as := accesstokentest.NewServer(t)
	v := newValidator(t, as, func(c *accesstoken.Config) { c.Issuers[0].Introspection = newIntrospection(t, as) })
	claims, err := v.Validate(t.Context(), accesstoken.Bearer(as.Opaque(accesstokentest.Claims{"tenant": "acme"})))
	if err != nil {
		t.Fatal(err)
	}
	var private struct {
		Tenant string `json:"tenant"`
	}
	if err := claims.Decode(&private); err != nil || private.Tenant != "acme" {
		t.Errorf("got %+v, %v; want acme", private, err)
	}
}

func TestTheContextCarriesClaims(t *testing.T) {
	if _, ok := accesstoken.FromContext(context.Background()); ok {
		t.Error("an empty context: got claims; want none")
	}
	ctx := accesstoken.NewContext(t.Context(), accesstoken.Claims{Subject: "alice"})
	type key struct{}
	claims, ok := accesstoken.FromContext(context.WithValue(ctx, key{}, 1))
	if !ok || claims.Subject != "alice" {
		t.Errorf("got %q, %v; want alice", claims.Subject, ok)
	}
	if ctx.Value(key{}) != nil {
		t.Error("a value under another key: got one; want none")
	}
}

// Everything that prints, prints a mark.
func TestNothingPrintsATokenOrAClaim(t *testing.T) {
	as := accesstokentest.NewServer(t)
	claims := claimsOf(t, as, accesstokentest.Claims{"sub": "canary"})
	for _, value := range []any{accesstoken.Bearer("canary"), claims} {
		pointer := any(&value)
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x", "%X"} {
			for _, v := range []any{value, pointer, []any{value}, map[string]any{"a": value}} {
				if got := fmt.Sprintf(verb, v); strings.Contains(got, "canary") || strings.Contains(got, fmt.Sprintf("%x", "canary")) {
					t.Errorf("%s of %T: got %s", verb, v, got)
				}
			}
		}
		var log bytes.Buffer
		slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "value", value)
		slog.New(slog.NewTextHandler(&log, nil)).Info("x", "value", value)
		if strings.Contains(log.String(), "canary") {
			t.Errorf("slog of %T: got %s", value, log.String())
		}
	}
	// fmt calls no methods on an unexported field, nor under %p.
	hidden := struct{ credentials accesstoken.Credentials }{accesstoken.Bearer("canary")}
	if got := fmt.Sprintf("%v %+v %#v", hidden, hidden, hidden); strings.Contains(got, "canary") {
		t.Errorf("Credentials in an unexported field: got %s", got)
	}
	if got := fmt.Sprintf("%v", []any{hidden, &hidden}); strings.Contains(got, "canary") {
		t.Errorf("Credentials in an unexported field of a list: got %s", got)
	}
	if got, err := json.Marshal(struct{ C accesstoken.Claims }{claims}); err != nil || strings.Contains(string(got), "canary") {
		t.Errorf("JSON of Claims: got %s, %v; want issuer and client only", got, err)
	}
	if got, err := json.Marshal(accesstoken.Bearer("canary")); err != nil || strings.Contains(string(got), "canary") {
		t.Errorf("JSON of Credentials: got %s, %v; want a mark", got, err)
	}
}
