package introspection_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/accesstoken/accesstoken/accesstokentest"
	"github.com/accesstoken/accesstoken/introspection"
)

// Some servers write null for what they leave out.
func TestAMemberThatIsNullIsAbsent(t *testing.T) {
	members := []string{"scope", "client_id", "username", "token_type", "exp", "iat", "nbf", "sub", "aud", "iss", "jti", "cnf", "act", "azp", "amr", "acr", "auth_time", "authorization_details", "token_use", "typ", "nonce"}
	all := `{"active":true`
	for _, name := range members {
		body := fmt.Sprintf(`{"active":true,%q:null}`, name)
		all += fmt.Sprintf(`,%q:null`, name)
		response, err := newClient(t, serve(t, answers(200, "application/json", body)), nil).Introspect(t.Context(), token)
		response.Raw = nil
		if err != nil || whole(response) != whole(introspection.Response{Active: true}) {
			t.Errorf("%s: got %s, %v; want an active answer with nothing else", name, whole(response), err)
		}
	}
	response, err := newClient(t, serve(t, answers(200, "application/json", all+"}")), nil).Introspect(t.Context(), token)
	response.Raw = nil
	if err != nil || whole(response) != whole(introspection.Response{Active: true}) {
		t.Errorf("all of them: got %s, %v; want an active answer with nothing else", whole(response), err)
	}
	t.Run("in a signed answer", func(t *testing.T) {
		as := accesstokentest.NewServer(t)
		response, err := asking(t, as, signedType, as.Sign(typed, envelope(as, object{"active": true, "client_id": nil, "scope": nil}, nil)))
		if err != nil || !response.Active || response.ClientID != "" {
			t.Errorf("got %s, %v; want an active answer without client", whole(response), err)
		}
	})
	t.Run("in what another replica stored", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			e := &endpoint{answer: always(fmt.Sprintf(`{"active":true,"client_id":null,"sub":"alice","exp":%d}`, time.Now().Add(time.Hour).Unix()))}
			m := &memory{}
			wantAnswer(t, sharing(t, e, m, nil, nil), token, "active")
			synctest.Wait()
			wantAnswer(t, sharing(t, e, m, nil, nil), token, "active")
			wantAsked(t, e, 1)
		})
	})
	t.Run("but a token_type that is demanded is not there", func(t *testing.T) {
		client := newClient(t, serve(t, answers(200, "application/json", `{"active":true,"token_type":null}`)), func(c *introspection.Config) { c.RequireTokenType = true })
		if _, err := client.Introspect(t.Context(), token); !errors.Is(err, introspection.ErrTokenType) {
			t.Errorf("got %v; want ErrTokenType", err)
		}
	})
	t.Run("and what is null further down is not", func(t *testing.T) {
		for _, body := range []string{`{"active":true,"cnf":{"jkt":null}}`, `{"active":true,"aud":[null]}`, `{"active":null}`, `{"active":true,"sub":null,"sub":"a"}`} {
			if response, err := newClient(t, serve(t, answers(200, "application/json", body)), nil).Introspect(t.Context(), token); err == nil {
				t.Errorf("%s: got %s; want an error", body, whole(response))
			}
		}
	})
}

func TestAResponsePrintsNoClaims(t *testing.T) {
	response := introspection.Response{Active: true, ClientID: "web", Subject: "canary-alice", Audience: []string{"canary-aud"}, Issuer: "https://login.example.com",
		ID: "canary-id", TokenType: "canary-type", Raw: json.RawMessage(`{"active":true,"email":"canary@example.com"}`)}
	const want = `introspection.Response(active true, issuer "https://login.example.com", client "web")`
	for _, verb := range verbs {
		if verb == "%p" {
			continue // fmt asks no method of a value, and prints all
		}
		if got := fmt.Sprintf(verb, response); verb != "%T" && got != want || strings.Contains(got, "canary") {
			t.Errorf("%s: got %q; want %q", verb, got, want)
		}
		wantNoCanary(t, verb+" of a pointer", fmt.Sprintf(verb, &response))
		wantNoCanary(t, verb+" of a struct around it", fmt.Sprintf(verb, struct{ R introspection.Response }{response}))
		wantNoCanary(t, verb+" of a list", fmt.Sprintf(verb, []any{response}))
	}
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("asked", "response", response)
	slog.New(slog.NewJSONHandler(&log, nil)).Info("asked", "response", response, "pointer", &response)
	wantNoCanary(t, "slog", log.String())
	text, err := json.Marshal([]any{response, &response})
	if !strings.Contains(string(text), `"client_id":"web"`) || err != nil {
		t.Errorf("JSON: got %s, %v; want the client", text, err)
	}
	wantNoCanary(t, "JSON", string(text))
}

func TestAClientNamesItsIssuer(t *testing.T) {
	server := serve(t, answers(200, "application/json", `{"active":true}`))
	if got := newClient(t, server, nil).Issuer(); got != "" {
		t.Errorf("unset: got %q; want nothing", got)
	}
	if got := newClient(t, server, func(c *introspection.Config) { c.Issuer = issuer }).Issuer(); got != issuer {
		t.Errorf("got %q; want %q", got, issuer)
	}
}
