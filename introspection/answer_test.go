package introspection_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/accesstoken/accesstoken/accesstokentest"
	"github.com/accesstoken/accesstoken/introspection"
)

// responseWith asks about an opaque token of which the server says more than is
// standard.
func responseWith(t *testing.T, members accesstokentest.Claims) introspection.Response {
	t.Helper()
	as := accesstokentest.NewServer(t)
	client := newDemanding(t, as, func(config *introspection.Config) { config.Keys = nil })
	response, err := client.Introspect(t.Context(), as.Opaque(members))
	if err != nil {
		t.Fatal(err)
	}
	return response
}

func TestDecodeKeepsNamesAndNumbersExact(t *testing.T) {
	response := responseWith(t, accesstokentest.Claims{"account": json.Number("9007199254740993"), "Tenant": "upper",
		"nested": object{"n": json.Number("1e400")}, "list": []any{json.Number("0.10")}})

	var typed struct {
		Account int64  `json:"account"`
		Tenant  string `json:"tenant"`
		Subject string `json:"sub"`
	}
	if err := response.Decode(&typed); err != nil || typed.Account != 9007199254740993 || typed.Tenant != "" || typed.Subject != "alice" {
		t.Errorf("got %+v, %v; want the exact number, and no tenant since only Tenant is there", typed, err)
	}
	var all map[string]any
	if err := response.Decode(&all); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprintf("%T %v", all["account"], all["account"]); got != "json.Number 9007199254740993" {
		t.Errorf("got %s; want the exact number", got)
	}
	if got := fmt.Sprint(all["nested"], all["list"], all["active"]); got != "map[n:1e400] [0.10] true" {
		t.Errorf("got %s; want exact numbers further down", got)
	}
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(response.Raw, &raw); err != nil || string(raw["account"]) != "9007199254740993" {
		t.Errorf("Raw: got %s, %v; want the answer as it came", response.Raw, err)
	}
}

func TestDecodeOfASignedAnswer(t *testing.T) {
	as := accesstokentest.NewServer(t)
	response, err := newDemanding(t, as, nil).Introspect(t.Context(), as.Opaque(accesstokentest.Claims{"tenant": "acme"}))
	if err != nil {
		t.Fatal(err)
	}
	var all map[string]any
	if err := response.Decode(&all); err != nil || all["tenant"] != "acme" || all["token_introspection"] != nil {
		t.Errorf("got %v, %v; want what is said of the token", all, err)
	}
}

func TestDecodeErrorsSayWhereAndNotWhat(t *testing.T) {
	response := responseWith(t, accesstokentest.Claims{"plan": "canary", "nested": object{"canary": "canary"}})
	for name, test := range map[string]struct {
		v    any
		says string
	}{
		"a member": {new(struct {
			Plan int `json:"plan"`
		}), `"plan": a JSON string does not fit int`},
		"a member further down": {new(struct {
			Nested map[string]int `json:"nested"`
		}), `"nested": a JSON string does not fit int`},
		"a list":    {new([]string), "does not fit"},
		"a struct":  {struct{}{}, "does not fit struct {}: expected a pointer"},
		"nothing":   {nil, "does not fit <nil>: expected a pointer"},
		"a nil map": {map[string]any(nil), "does not fit map[string]interface {}: expected a pointer"},
	} {
		err := response.Decode(test.v)
		if err == nil || !strings.HasPrefix(err.Error(), "introspection: ") || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: got %v; want it to say %q", name, err, test.says)
		}
		wantNoCanary(t, name, fmt.Sprintf("%v %+v %#v", err, err, err))
	}
}

func TestDecodeOfWhatIsNotActive(t *testing.T) {
	as := accesstokentest.NewServer(t)
	client := newDemanding(t, as, func(config *introspection.Config) { config.Keys = nil })
	inactive, err := client.Introspect(t.Context(), "unknown")
	if err != nil {
		t.Fatal(err)
	}
	for name, response := range map[string]introspection.Response{
		"an inactive answer":         inactive,
		"one with a Raw of your own": {Raw: json.RawMessage(`{"active":false,"sub":"alice"}`)},
		"one that never came":        {Active: true},
	} {
		all := map[string]any{}
		if err := response.Decode(&all); err == nil || len(all) != 0 || !strings.Contains(err.Error(), "needs an active answer") {
			t.Errorf("%s: got %v, %v; want an error and nothing else", name, all, err)
		}
	}
}

func TestAKindOfTokenThatIsNotIntrospected(t *testing.T) {
	refuses := func(status int, body string) http.HandlerFunc { return answers(status, "application/json", body) }
	for _, test := range []struct {
		name     string
		endpoint http.HandlerFunc
		want     bool
	}{
		{"a 400 that says so", refuses(400, `{"error":"unsupported_token_type","error_description":"structured JWT"}`), true},
		{"another code", refuses(400, `{"error":"unsupported_grant_type"}`), false},
		{"the code in the description", refuses(400, `{"error":"invalid_request","error_description":"unsupported_token_type"}`), false},
		{"the code twice", refuses(400, `{"error":"unsupported_token_type","error":"unsupported_token_type"`), false},
		{"an answer that says it", refuses(200, `{"error":"unsupported_token_type"}`), false},
		{"a server that is out of order", refuses(500, `{"error":"unsupported_token_type"}`), false},
	} {
		t.Run(test.name, func(t *testing.T) {
			response, err := newClient(t, serve(t, test.endpoint), nil).Introspect(t.Context(), token)
			if err == nil || errors.Is(err, introspection.ErrUnsupportedTokenType) != test.want || response.Active {
				t.Errorf("got %+v, %v; want ErrUnsupportedTokenType %t", response, err, test.want)
			}
			if errors.Is(err, introspection.ErrTokenType) || errors.Is(err, introspection.ErrClientRefused) {
				t.Errorf("got %v; want neither ErrTokenType nor ErrClientRefused", err)
			}
			wantNoCanary(t, "the error", fmt.Sprint(err))
		})
	}
}
