//go:build interop

package interop_test

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/middleware"
	"github.com/accesstoken/accesstoken/scopes"
)

const paymentType = "payment_initiation"

// payment is an object of authorization_details.
func payment(amount string, actions ...string) map[string]any {
	return map[string]any{"type": paymentType, "actions": actions, "locations": []string{resource}, "instructedAmount": map[string]string{"currency": "EUR", "amount": amount}}
}

// payments are routes of a bank: a policy demands the action, and the handler the amount of
// the request.
func payments(auth *middleware.Middleware) http.Handler {
	initiate := accesstoken.Policy{Scopes: scopes.None(), Details: []accesstoken.DetailRequirement{{Type: paymentType, Actions: []string{"initiate"}, Location: resource}}}
	return auth.RequirePolicy(initiate).WrapFunc(func(w http.ResponseWriter, r *http.Request) {
		claims, _ := accesstoken.FromContext(r.Context())
		details, err := claims.AuthorizationDetails()
		if err != nil {
			auth.Refuse(w, r, accesstoken.ClaimInvalid)
			return
		}
		for _, detail := range details {
			var granted struct {
				Amount struct {
					Amount string `json:"amount"`
				} `json:"instructedAmount"`
			}
			if detail.Type == paymentType && detail.Decode(&granted) == nil && granted.Amount.Amount == r.FormValue("amount") {
				describe(w, r)
				return
			}
		}
		auth.Refuse(w, r, accesstoken.DetailsInsufficient(payment(r.FormValue("amount"), "initiate")))
	})
}

// TestAuthorizationDetails has alice authorize payments in detail (RFC 9396), over JWTs and
// over opaque tokens, whose details are in the introspection answer.
func TestAuthorizationDetails(t *testing.T) {
	s := startOIDCProviderWith(t, map[string]any{"keys": []any{}, "details": []string{paymentType, "account_information"}})
	if got := s.metadata["authorization_details_types_supported"]; !reflect.DeepEqual(got, []any{paymentType, "account_information"}) {
		t.Errorf("its metadata: got the types %v; want both", got)
	}
	for kind, client := range map[string]string{"opaque": "app", "JWT": "app-jwt"} {
		t.Run(kind, func(t *testing.T) { detailsOf(t, s, client) })
		t.Run(kind+", by the draft", func(t *testing.T) { remediesOf(t, s, client) })
	}
	t.Run("client credentials", func(t *testing.T) {
		rs := s.servePayments(t, false)
		for _, client := range []string{"opaque", "jwt"} {
			form := s.asksFor(resource, "read")
			rs.expect(t, "/?amount=123.50", s.grant(t, client, form).Access, forbidden(accesstoken.AuthorizationDetailsInsufficient))
			form.Set("authorization_details", asJSON(t, []any{payment("123.50", "initiate")}))
			rs.expect(t, "/?amount=123.50", s.grant(t, client, form).Access, allowed())
		}
	})
}

// servePayments starts the bank, by the draft or not.
func (s *server) servePayments(t *testing.T, byDraft bool) *resourceServer {
	t.Helper()
	return serveOn(t, httptest.NewUnstartedServer(nil), accesstoken.Config{
		Issuers:                     []accesstoken.Issuer{{URL: s.issuer, Introspection: newClient(t, s.asks())}},
		DetailTypes:                 map[string]accesstoken.DetailType{paymentType: {}},
		DraftRARMetadataRemediation: byDraft,
	}, payments)
}

// logInFor logs alice in, and has her authorize the details, unless they are nil.
func (s *server) logInFor(t *testing.T, client string, details any) tokens {
	t.Helper()
	request := url.Values{"scope": {"openid offline_access read"}}
	s.askFor(request, resource)
	if details != nil {
		request.Set("authorization_details", asJSON(t, details))
	}
	return s.logInWith(t, newJar(t), client, request)
}

// asJSON returns a value in JSON.
func asJSON(t *testing.T, value any) string {
	t.Helper()
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// detailsOf presents the tokens of one client with right and with wrong details.
func detailsOf(t *testing.T, s *server, client string) {
	rs, insufficient := s.servePayments(t, false), forbidden(accesstoken.AuthorizationDetailsInsufficient)
	elsewhere, split := payment("123.50", "initiate"), payment("123.50", "cancel")
	elsewhere["locations"] = []string{otherResource}
	for name, test := range map[string]struct {
		details any
		want    verdict
	}{
		"the payment":                  {[]any{payment("123.50", "initiate")}, allowed()},
		"the payment, and more":        {[]any{map[string]any{"type": "account_information"}, payment("1.00", "initiate"), payment("123.50", "status", "initiate")}, allowed()},
		"no details":                   {nil, insufficient},
		"another type":                 {[]any{map[string]any{"type": "account_information", "actions": []string{"initiate"}}}, insufficient},
		"another action":               {[]any{payment("123.50", "cancel")}, insufficient},
		"another location":             {[]any{elsewhere}, insufficient},
		"the right half of two":        {[]any{elsewhere, split}, insufficient},
		"another amount":               {[]any{payment("1.00", "initiate")}, insufficient},
		"no amount, which grants none": {[]any{map[string]any{"type": paymentType, "actions": []string{"initiate"}, "locations": []string{resource}}}, insufficient},
	} {
		t.Run(name, func(t *testing.T) {
			token := s.logInFor(t, client, test.details)
			if isJWT := strings.Count(token.Access, ".") == 2; isJWT != (client == "app-jwt") {
				t.Errorf("the token of %s is a JWT: got %v", client, isJWT)
			}
			rs.expect(t, "/?amount=123.50", token.Access, test.want)
			rs.expect(t, "/?amount=123.50", s.refresh(t, client, token.Refresh).Access, test.want)
		})
	}
}

var remediation = regexp.MustCompile(`^Bearer realm="` + regexp.QuoteMeta(resource) + `", error="insufficient_authorization", error_description="[^"]*", authorization_remediation="([\w-]*)"$`)

// remediesOf is a client that knows nothing of payments. It requests what each challenge
// says, first that of the policy and then that of the handler.
func remediesOf(t *testing.T, s *server, client string) {
	rs := s.servePayments(t, true)
	token := s.logIn(t, client).Access
	var told []string
	for range 3 {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, rs.url+"/?"+url.Values{"amount": {"123.50"}}.Encode(), nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Authorization", "Bearer "+token)
		got, _, header := rs.answers(t, http.DefaultClient, request)
		if got == allowed() {
			break
		}
		found := remediation.FindStringSubmatch(header.Get("WWW-Authenticate"))
		if got != invalid(accesstoken.AuthorizationDetailsInsufficient) || found == nil {
			t.Fatalf("got %v, %q; want 401 with the remediation", got, header.Values("WWW-Authenticate"))
		}
		text, err := base64.RawURLEncoding.DecodeString(found[1])
		var content map[string]json.RawMessage
		if err != nil || json.Unmarshal(text, &content) != nil {
			t.Fatalf("got %s; want JSON in base64url", text)
		}
		told = append(told, string(content["authorization_details"]))
		token = s.logInFor(t, client, content["authorization_details"]).Access
	}
	const first = `[{"actions":["initiate"],"locations":["https://api.example.com"],"type":"payment_initiation"}]`
	if len(told) != 2 || told[0] != first || !strings.Contains(told[1], `"instructedAmount":{"amount":"123.50","currency":"EUR"}`) {
		t.Errorf("got the challenges %q; want one of the policy, one of the handler, and then 200", told)
	}
}
